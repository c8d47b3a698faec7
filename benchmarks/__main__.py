"""The command line of the benchmarks: measure, compare two runs, write the README's tables."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.contestants import peers
from benchmarks.harness.asked import Asked
from benchmarks.harness.ways import BACKENDS, DTYPES
from benchmarks.reporting import report
from benchmarks.reporting.compare import compare_command
from benchmarks.reporting.readme import report_command
from benchmarks.reporting.report import Report
from benchmarks.studies import (
    compression,
    explorer,
    growth,
    growth_figure,
    interpolation,
    many_starts,
    minima,
    trainability,
)
from benchmarks.workloads import curvature, descent, latency, neuron, planes, scaling

RESULTS = Path(__file__).parent / "results"
WORKLOADS: dict[str, Any] = {
    "neuron": neuron,
    "planes": planes,
    "descent": descent,
    "curvature": curvature,
    "scaling": scaling,
    "latency": latency,
}
STUDIES: dict[str, Any] = {
    "compression": compression,
    "interpolation": interpolation,
    "minima": minima,
    "many_starts": many_starts,
    "trainability": trainability,
    "trainability_whole": trainability.whole,
    "growth": growth,
    "explorer": explorer,
}
INTERRUPTED = 130  # as shells say it
REPEATS = {"QUICK": 3, "SMOKE": 1}  # in full, what each finds enough
OTHERS: dict[str, Callable[[list[str]], int]] = {"compare": compare_command, "report": report_command}
HELP = f"""\
workloads (each by every backend and dtype, beside what the machine can do at best):
  {", ".join(WORKLOADS)}
studies (a question each, with contestants of their own; --full or --smoke):
  {", ".join(STUDIES)}
  all: everything

other commands:
  python -m benchmarks compare OLD NEW    what became slower beyond the noise (JSON files, or folders of them)
  python -m benchmarks report             write the README's tables and picture from the results
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is named. A missed speed target is printed and no failure; a wrong answer of ours is: exit status 1."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0] in OTHERS:
        return OTHERS[arguments[0]](arguments[1:])
    options = _parser().parse_args(arguments)
    names = options.names or list(WORKLOADS)
    everything = "all" in names
    if everything:
        names = [*WORKLOADS, *STUDIES]
    studies = [name for name in names if name in STUDIES]
    if studies and options.size == "QUICK":
        _parser().error(f"{studies[0]} is a study, which has no quick sizes: give --full (or --smoke)")
    if studies and (options.backends, options.dtypes) != (BACKENDS, DTYPES):
        _parser().error(f"{studies[0]} is a study, with contestants of its own: leave out --backends and --dtypes")
    if "explorer" in names and (lacking := explorer.missing()):
        if not everything:
            _parser().error(lacking)
        names.remove("explorer")
        _progress(f"left out: {lacking}")
    folder = options.out or (RESULTS if options.size == "FULL" and _whole(options) else None)
    if folder is not None:
        _check_writable(folder)
    try:
        return _run(names, options, folder)
    except KeyboardInterrupt:
        print("\ninterrupted: what was finished is kept, the benchmark that was running is not", file=sys.stderr)
        return INTERRUPTED


def _run(names: Sequence[str], options: argparse.Namespace, folder: Path | None) -> int:
    """Measure, keep and print one after another: 0 if all answers of ours are right."""
    wrong = False
    with peers.started() if "torch" in options.backends else nullcontext() as tools:
        repeats = options.repeats or REPEATS.get(options.size)
        asked = Asked(options.backends, options.dtypes, repeats, _progress, tools)
        for name in names:
            found = _measured(name, options.size, asked)
            kept = [] if folder is None else _keep(found, folder)
            print(report.markdown(found))
            print("\n".join(["", *kept, ""]), flush=True)
            wrong |= not found.rows or not all(row.right for row in found.rows if row.ours)
    return int(wrong)


def _whole(options: argparse.Namespace) -> bool:
    """Whether nothing is left out, so that results may take the place of others that were kept."""
    return (options.backends, options.dtypes, options.repeats) == (BACKENDS, DTYPES, None)


def _check_writable(folder: Path) -> None:
    """Before anything is measured."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        _parser().error(f"--out {folder}: nothing can be written there ({error.strerror}); give another folder")


def _measured(name: str, size: str, asked: Asked) -> Report:
    if name in WORKLOADS:
        workload = WORKLOADS[name]
        return workload.run(getattr(workload, size), asked)
    study = STUDIES[name]
    return replace(study.run(getattr(study, size), asked.repeats or study.REPEATS, asked.progress), name=name)


def _keep(found: Report, folder: Path) -> list[str]:
    """Write it: a line for each file."""
    paths = [report.write(found, folder)]
    if found.name == "growth":
        paths.append(paths[0].with_suffix(".png"))
        growth_figure.save(*paths)
    return [f"Written: {path}" for path in paths]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Measure speed, and check every answer against float64.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [*WORKLOADS, *STUDIES, "all"]
    parser.add_argument(
        "names", nargs="*", metavar="NAME", type=_one_of(names), help="what to run (default: all workloads)"
    )
    for option, choices in (("backends", BACKENDS), ("dtypes", DTYPES)):
        listed = ",".join(choices)
        parser.add_argument(
            f"--{option}", type=_list_of(choices), default=choices, help=f"some of {listed}", metavar="A,B"
        )
    size = parser.add_mutually_exclusive_group()
    sizes = {
        "--quick": "small sizes (the default); nothing is kept unless --out is given",
        "--full": "the sizes that the README reports; results are kept in benchmarks/results if all is measured",
        "--smoke": "tiny sizes: shows that everything runs",
    }
    for flag, text in sizes.items():
        size.add_argument(flag, action="store_const", dest="size", const=flag[2:].upper(), help=text)
    parser.set_defaults(size="QUICK")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the JSON files")
    parser.add_argument("--repeats", type=_positive, help="timed runs of each contestant")
    return parser


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"there is no {text!r}; give one of {', '.join(choices)}")
        return text

    return read


def _list_of(choices: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        return tuple(_one_of(choices)(part.strip()) for part in text.split(","))

    return read


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} repeats; give a number, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
