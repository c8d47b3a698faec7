"""`python -m benchmarks report`: the README's numbers and their picture, from the results of one machine.

No number in the section is written by hand, between the two marks or beside them: `--check` finds it.
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from benchmarks.machine.environment import machine_name
from benchmarks.reporting import limits_figure, report
from benchmarks.reporting.report import Report
from benchmarks.reporting.section import PICTURE, STUDIES, WORKLOADS, processor, section

ROOT = Path(__file__).parents[2]
README, RESULTS = ROOT / "README.md", ROOT / "benchmarks" / "results"
HEADING = "## How fast"
BEGIN = "<!-- begin: `python -m benchmarks report` writes this, from benchmarks/results -->"
END = "<!-- end: `python -m benchmarks report` -->"
NAMED = re.compile(r"`python -m benchmarks report --machine (\S+)`")
NUMBER = re.compile(r"(?<!\w)\d")  # float64 is a word
AGAIN = "run `python -m benchmarks report`"


def report_command(arguments: list[str]) -> int:
    """Write the section and its picture; with `--check`, only say whether they are up to date: 1 if not."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks report",
        description="Write the README's numbers on speed, and their picture, from the results of one machine.",
    )
    parser.add_argument(
        "--machine",
        metavar="NAME",
        help="as in the names of the files in benchmarks/results (default: that with the most complete, newest results;"
        " with --check that which the README names)",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if anything is out of date")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            stale = check(README, RESULTS, options.machine)
            print("\n".join(stale) or f"{README.name} and {PICTURE} are up to date")
            return int(bool(stale))
        print("\n".join(f"Written: {path}" for path in update(README, RESULTS, options.machine)))
    except ValueError as error:
        parser.error(str(error))
    return 0


def update(readme: Path, results: Path, machine: str | None = None) -> list[Path]:
    """Write the section and the picture: their paths.

    Raises: ValueError if the README has no marks, or there are no results of the machine.
    """
    reports, elsewhere = chosen(results, machine)
    before, _, after = _parts(readme)
    panels, picture = limits_figure.panels(reports), results / PICTURE
    if panels:
        limits_figure.draw(panels, processor(reports[0]), picture)
    lines = [BEGIN, *section(reports, elsewhere), END]
    readme.write_text(before + "\n".join(lines) + after, "utf-8")
    return [readme, *([picture] if panels else [])]


def check(readme: Path, results: Path, machine: str | None = None) -> list[str]:
    """What is out of date, a line each; of the machine that the README names, unless another is given.

    Raises: ValueError as `update`.
    """
    before, kept, after = _parts(readme)
    named = NAMED.search(kept)
    reports, elsewhere = chosen(results, machine or (named[1] if named else None))
    stale = []
    for was, wanted in zip_longest(kept.strip("\n").split("\n"), section(reports, elsewhere)):
        if was != wanted:
            stale.append(f"{readme.name} is out of date: {AGAIN}\n  there: {was}\n  wanted: {wanted}")
            break
    panels = limits_figure.panels(reports)
    if panels and limits_figure.drawn(results / PICTURE) != limits_figure.digest(panels, processor(reports[0])):
        stale.append(f"{PICTURE} is missing, or shows other results: {AGAIN}")
    beside = before[before.rfind(HEADING) + len(HEADING) :] + re.split(r"^## ", after, flags=re.MULTILINE)[0]
    for line in beside.splitlines():
        if NUMBER.search(re.sub("`[^`]*`", "", line)):
            stale.append(f"{readme.name} has a number that nothing regenerates: {line!r}")
    return stale


def chosen(results: Path, machine: str | None) -> tuple[list[Report], list[str]]:
    """The reports of one machine, workloads first, and the names of other machines.

    Raises: ValueError if there are none.
    """
    machines: dict[str, dict[str, Report]] = defaultdict(dict)
    for kept in map(report.read, sorted(results.glob("*.json"))):
        machines[machine_name(kept.environment)][kept.name] = kept
    if not machines:
        raise ValueError(f"`{results}` holds no results.\nMake some: `python -m benchmarks all --full`.")
    machine = machine or max(machines, key=lambda name: _completeness(machines[name]))
    if machine not in machines:
        raise ValueError(f"`--machine {machine}` has no results.\nGive one of: {', '.join(sorted(machines))}.")
    own, order = machines[machine], (*WORKLOADS, *STUDIES)
    names = [name for name in order if name in own] + sorted(own.keys() - set(order))
    return [own[name] for name in names], sorted(machines.keys() - {machine})


def _completeness(own: Mapping[str, Report]) -> tuple[int, int, str]:
    return len(own.keys() & set(WORKLOADS)), len(own), max(kept.written for kept in own.values())


def _parts(readme: Path) -> Sequence[str]:
    """What is before, between and after the marks."""
    text = readme.read_text("utf-8")
    found = re.fullmatch(f"(.*){re.escape(BEGIN)}(.*){re.escape(END)}(.*)", text, re.DOTALL)
    if found is None or HEADING not in found[1]:
        raise ValueError(
            f"`{readme}` has no marks in its section '{HEADING}'.\nPut these two lines there:\n{BEGIN}\n{END}"
        )
    return found.groups()
