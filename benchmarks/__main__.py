"""`python -m benchmarks neuron [--out DIR]`: run a workload, print its table, write it as JSON."""

import argparse
import sys
from pathlib import Path

from benchmarks.harness import report
from benchmarks.studies import compression, interpolation, many_starts, minima, trainability
from benchmarks.workloads import curvature, neuron, planes, scaling

RESULTS = Path(__file__).parent / "results"
WORKLOADS = {
    "neuron": neuron,
    "compression": compression,
    "planes": planes,
    "interpolation": interpolation,
    "minima": minima,
    "curvature": curvature,
    "many_starts": many_starts,
    "scaling": scaling,
    "trainability": trainability,
    "trainability_whole": trainability.whole,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one workload. A missed speed target is printed and is no failure; a wrong answer is: exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and check the answers.")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--out", type=Path, help="folder of the JSON file (default: benchmarks/results; --quick: none)")
    parser.add_argument("--repeats", type=_positive, help="timed runs of each contestant")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one repeat: shows that everything runs")
    options = parser.parse_args(arguments)

    workload = WORKLOADS[options.workload]
    sizes = workload.QUICK if options.quick else workload.FULL
    found = workload.run(sizes, options.repeats or (1 if options.quick else workload.REPEATS), _progress)
    print(report.markdown(found))
    folder = options.out or (None if options.quick else RESULTS)
    if folder is not None:
        print(f"\nWritten: {report.write(found, folder)}")
    return 0 if all(row.right for row in found.rows) else 1


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} repeats; give 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
