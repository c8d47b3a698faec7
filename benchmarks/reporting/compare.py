"""`python -m benchmarks compare OLD NEW`: what became slower beyond the noise, and what became wrong."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine.environment import busy, machine_name
from benchmarks.reporting import tables
from benchmarks.reporting.changes import (
    ONCE,
    SLOWER,
    Change,
    Comparison,
    Shift,
    costlier,
    differences,
    grown,
    judged,
    pairs,
)
from benchmarks.reporting.changes import same_machine as on_one_machine
from benchmarks.reporting.report import Row

HEAD = "workload", "by", "old", "new", "new ÷ old", "with its noise", "of core time", "verdict"
EPILOG = f"""\
A row is slower where the whole interval of new ÷ old is above {SLOWER}: that of 95 of 100 resampled pairs of runs,
or from the least to the most where there are few repeats (what was timed once or twice is taken to be right
within {ONCE}×). Rows of one run share the machine's state: where its measured ceilings moved together with the
rows, a row is slower only beyond that. On a busy machine a row that took no more core time is in doubt, not slower.

Judged are the medians, and whether answers are right. Errors that grew, and compile time or memory that at least
doubled (by more than 0.5 s or 100 MB) are notes. Exit status: 1 if anything of landscape's own became slower or
wrong, or is missing in the new run of the same sizes, or if two results of a benchmark have no row in common.
"""


def compare_command(arguments: list[str]) -> int:
    """Print what changed; 1 if something of ours became slower or wrong, or is missing."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks compare",
        description="Compare two runs: what became slower beyond the noise, and what became wrong.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("old", "new"):
        parser.add_argument(name, type=Path, metavar=name.upper(), help="a JSON file of results, or a folder of them")
    options = parser.parse_args(arguments)
    try:
        found, alone = pairs(options.old, options.new)
    except ValueError as error:
        parser.error(str(error))
    comparisons = [judged(*pair) for pair in found]
    print(_text(comparisons, alone))
    return int(any(comparison.worse for comparison in comparisons))


def compare(old: Path, new: Path) -> str:
    """What changed from one file or folder of results to the other, as Markdown.

    Raises: ValueError if they have no benchmark in common, or hold something else.
    """
    found, alone = pairs(old, new)
    return _text([judged(*pair) for pair in found], alone)


def _text(comparisons: list[Comparison], alone: list[str]) -> str:
    lines = [line for comparison in comparisons for line in (*_section(comparison), "")]
    lines += [f"- without a partner: {each}" for each in alone]
    ours = [change for comparison in comparisons for change in comparison.changes if change.new.ours]
    counts = Counter(change.verdict for change in ours)
    counts["became wrong"] = sum(change.old.right and not change.new.right for change in ours)
    counts["missing"] = sum(len(comparison.missing) for comparison in comparisons)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return "\n".join([*lines, f"landscape's own rows: {told or 'none in both'}"])


def _section(comparison: Comparison) -> Iterator[str]:
    old, new = comparison.old, comparison.new
    moments = (tables.moment(each.written) for each in (old, new))
    yield f"## {new.name}: {machine_name(new.environment)}, {', then '.join(moments)}"
    yield ""
    if not on_one_machine(old, new):
        yield f"- ANOTHER MACHINE before: {machine_name(old.environment)}. Times are not comparable, and not judged"
    yield from (f"- differs: {each}" for each in differences(old, new))
    if busy(old.environment) or busy(new.environment):
        loads = (each.environment["load_average"] for each in (old, new))
        yield f"- others kept the machine busy: load average before the start {', then '.join(map(str, loads))}"
    if old.sizes != new.sizes:
        yield "- other sizes: only rows whose workload has the same name are compared"
    for device, shift in comparison.shifts.items():
        yield f"- {device}: {_shifted(shift)}"
    if comparison.changes:
        yield ""
        yield from tables.table(HEAD, [_line(change) for change in comparison.changes])
        yield ""
    yield from _answers(comparison)
    if comparison.apart:
        yield f"- NO ROW IN COMMON: {len(old.rows)} before, {len(new.rows)} now. Compare runs of the same sizes"
        return
    for rows, side in ((comparison.gone, "old"), (comparison.added, "new")):
        if old.sizes != new.sizes:
            yield f"- only in the {side} run: {len(rows)} rows"
        else:
            yield from (f"- only in the {side} run: {_name(row)}" for row in rows)


def _shifted(shift: Shift) -> str:
    """What the machine did, as far as one can tell."""
    rows = f"the rows take {tables.times(shift.rows)} the time (their median)"
    if shift.ceilings is None:
        return f"{rows}; without measured ceilings in both runs, nobody knows how much of it is the machine's"
    told = f"the machine's ceilings, {tables.times(shift.ceilings)} the time; {rows}"
    if shift.factor > 1:
        return f"{told}: THE MACHINE was slower, and a row is called slower only beyond {tables.times(shift.factor)}"
    if shift.factor < 1:
        return f"{told}: THE MACHINE was faster, and a row is called faster only beyond {tables.times(shift.factor)}"
    return told


def _line(change: Change) -> tuple[str, ...]:
    old, new = change.old, change.new
    cores = tables.times(new.core_time / old.core_time) if old.core_time > 0 else ""
    noise = f"{tables.times(change.least)} to {tables.times(change.most)}"
    durations = tables.duration(old.median), tables.duration(new.median)
    return new.workload, new.by, *durations, tables.times(change.ratio), noise, cores, change.verdict


def _answers(comparison: Comparison) -> Iterator[str]:
    """What became wrong, first; then what is right again, errors and costs that grew."""
    for change in comparison.changes:
        if not change.new.right:
            yield f"- {'WRONG NOW' if change.old.right else 'wrong, as before'}: {_name(change.new)}{_grew(change)}"
    yield from (f"- WRONG, and new: {_name(row)}" for row in comparison.added if not row.right)
    for change in comparison.changes:
        if change.new.right and not change.old.right:
            yield f"- right again: {_name(change.new)}"
        elif change.new.right and grown(change):
            yield f"- errors grew: {_name(change.new)}{_grew(change)}"
        if change.new.ours and costlier(change):
            yield f"- note: {_name(change.new)}{_costs(change)}"


def _grew(change: Change) -> str:
    errors = (f"{name.replace('_', ' ')} {old:.1e}, then {new:.1e}" for name, (old, new) in grown(change).items())
    return "".join(f"; {error}" for error in errors)


def _costs(change: Change) -> str:
    shown = {"compiling": tables.duration, "peak_bytes": tables.megabytes}
    called = {"compiling": "compile time", "peak_bytes": "memory"}
    costs = costlier(change).items()
    return "".join(f"; {called[name]} {shown[name](old)}, then {shown[name](new)}" for name, (old, new) in costs)


def _name(row: Row) -> str:
    return f"{row.workload}, by {row.by}"
