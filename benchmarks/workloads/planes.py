"""Planes of networks: `landscape` beside the loop one writes in JAX oneself, and beside other tools.

All see the same weights, directions, data and cells, in float32 on all cores, and take turns in one process. Every
answer is compared with float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contestants import peers, plain_loop
from benchmarks.harness import report
from benchmarks.harness.environment import busy, environment
from benchmarks.harness.report import Progress, Report, Row, Target
from benchmarks.harness.timing import Timed, race, ratio
from benchmarks.problems import networks
from benchmarks.problems.networks import Problem
from benchmarks.workloads import memory_mapped

REPEATS = 5
OURS, PLAIN = "landscape", plain_loop.NAME
TOLERANCE = 1e-5, 1e-6  # relative and absolute, of a risk in float32
DERIVATIVES = "risk", "slope", "plane_hessian"
CHECKED = 100  # cells, where the truth is slow


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are; a side is that of a square of cells."""

    wide: tuple[int, int, int, int]  # inputs, hidden units, examples, side
    digits: tuple[int, int, int]  # hidden units, examples, side
    images: tuple[tuple[int, int], int, int]  # channels, examples, side
    squared: tuple[int, int, int]  # as `digits`
    linear: tuple[tuple[int, ...], int, tuple[int, int]]  # inputs, examples, a small and a large side
    on_disk: tuple[int, int, int]  # examples, features, side
    judged: bool  # whether the targets are about these sizes


FULL = Sizes(
    wide=(784, 256, 2000, 25),
    digits=(128, 1797, 51),
    images=((16, 32), 512, 15),
    squared=(128, 1797, 25),
    linear=((100, 1000, 10_000), 500, (21, 101)),
    on_disk=(1_000_000, 64, 51),
    judged=True,
)
QUICK = Sizes(
    wide=(20, 6, 30, 3),
    digits=(6, 40, 4),
    images=((2, 3), 20, 3),
    squared=(6, 40, 3),
    linear=((4, 30), 20, (2, 5)),
    on_disk=(3000, 8, 4),
    judged=False,
)


class Found(NamedTuple):
    """What a part of the run adds to the report."""

    rows: Sequence[Row] = ()
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()


def run(sizes: Sizes, repeats: int, progress: Progress) -> Report:
    """Measure everything; `progress` is told what is being measured."""
    where = environment()
    with peers.started() as process:
        parts = _parts(sizes, repeats, process)
        found = []
        for name, part in parts.items():
            progress(name)
            found.append(part())
    rows, targets, notes = ([item for part in found for item in part[i]] for i in range(3))
    notes = [*([f"skipped: {peers.missing()}"] if peers.missing() else []), *notes]
    if sizes.judged:
        return Report("planes", asdict(sizes), rows, targets, [*notes, *busy(where)], where)
    return Report("planes", asdict(sizes), rows, [], [*notes, "these sizes are too small to judge speed by"], where)


def _parts(sizes: Sizes, repeats: int, process: peers.Peers | None) -> dict[str, Callable[[], Found]]:
    digits = _digits(*sizes.digits)
    return {
        "a wide perceptron": partial(_wide, *sizes.wide, repeats, process),
        "a perceptron on digits": partial(_against_all, digits, repeats, process, over_package=8),
        "its slopes and Hessians": partial(_derivatives, digits, repeats),
        "a convolutional network": partial(_images, *sizes.images, repeats, process),
        "a network where nothing hoists": partial(_nothing_hoists, *sizes.squared, repeats),
        "linear models": partial(_linear, *sizes.linear, repeats),
        "a data set on disk": partial(_on_disk, *sizes.on_disk, repeats),
    }


def _wide(
    inputs: int, hidden: int, examples: int, side: int, repeats: int, process: peers.Peers | None = None
) -> Found:
    problem = networks.perceptron(f"MLP {inputs}-{hidden}-10", networks.noise(examples, inputs), hidden, side)
    return _against_all(problem, repeats, process, over_plain=10, over_package=15)


def _digits(hidden: int, examples: int, side: int, first: str = "dense") -> Problem:
    squared = ", squared weights" if first == "squared" else ""
    name = f"digits MLP 64-{hidden}-10{squared}"
    return networks.perceptron(name, networks.digits(examples), hidden, side, first)


def _images(
    channels: tuple[int, int], examples: int, side: int, repeats: int, process: peers.Peers | None = None
) -> Found:
    problem = networks.convolutional(networks.digits(examples, images=True), channels, side)
    return _against_all(problem, repeats, process, over_plain=2)


def _nothing_hoists(hidden: int, examples: int, side: int, repeats: int) -> Found:
    """Weights that enter squared: not affine, so all is to be done in every cell, and no worse than by the loop."""
    problem = _digits(hidden, examples, side, "squared")
    timed = race(_ours(problem) | plain_loop.loops(problem), repeats)
    plain = _fastest(timed, PLAIN)
    claim = f"{problem.title}, nothing to hoist, time over that of {plain}"
    rows = _rows(problem, timed, plain_loop.truth(problem)[0])
    return Found(rows, [Target(claim, ratio(timed[OURS], timed[plain]), 1.05, "×")])


def _against_all(
    problem: Problem,
    repeats: int,
    process: peers.Peers | None = None,
    over_plain: float | None = None,
    over_package: float | None = None,
) -> Found:
    """The risk by everybody; at least so many times faster than the fastest plain loop, and than loss-landscapes."""
    timed = race(_ours(problem) | plain_loop.loops(problem) | peers.planes(process, problem), repeats)
    truth, targets = plain_loop.truth(problem)[0], []
    for opponent, limit in ((PLAIN, over_plain), (peers.PACKAGE, over_package)):
        by = _fastest(timed, opponent)
        if by and limit:
            claim = f"{problem.title}, speed over that of {by}"
            targets.append(Target(claim, ratio(timed[by], timed[OURS]), limit, "×", more=True))
    return Found(_rows(problem, timed, truth), targets, _walked(problem, timed, truth))


def _ours(problem: Problem) -> dict[str, Any]:
    return {OURS: lambda: problem.evaluate()[0]}


def _fastest(timed: dict[str, Timed], opponent: str) -> str:
    """Of the ways in which an opponent ran, the one of least median; "" where it did not."""
    ways = [by for by in timed if by.startswith(opponent)]
    return min(ways, key=lambda by: timed[by].median, default="")


def _rows(problem: Problem, timed: dict[str, Timed], truth: np.ndarray, every: int = 1) -> list[Row]:
    """Times per cell, how many times faster than the opponents' fastest, errors (the truth is of every so manyth)."""
    cells = len(problem.cells)
    plain, package = (_fastest(timed, opponent) for opponent in (PLAIN, peers.PACKAGE))
    rows = []
    for by, times in timed.items():
        where = peers.right(problem)[::every] if by.startswith(peers.PACKAGE) else slice(None)
        columns = report.errors(times.answer[::every][where], truth[where], *TOLERANCE)
        columns |= {"times_plain": ratio(timed[plain], times)} if plain else {}
        columns |= {"times_peer": ratio(timed[package], times)} if package else {}
        rows.append(report.row(problem.title, by, times, milliseconds=times.median / cells * 1e3, **columns))
    return rows


def _walked(problem: Problem, timed: dict[str, Timed], truth: np.ndarray) -> list[str]:
    """What is wrong in the answers of loss-landscapes and Landscaper."""
    notes, by = [], _fastest(timed, peers.PACKAGE)
    if by:
        off, moved = peers.off_by_one(problem, timed[by].answer, truth)
        notes.append(
            f"{problem.name}: loss-landscapes samples every second row of cells one step off, errors up to {off:.1e}"
            f" ({moved:.1e} once moved by that step); its errors above are those of the other rows"
        )
    by = next((by for by in timed if by.startswith(peers.LANDSCAPER) and peers.RESCALED not in by), "")
    if by:
        noise, others = peers.noisy(timed[by].answer, truth)
        elsewhere = peers.swapped(problem, timed[by].answer, truth)
        notes.append(
            f"{problem.name}: Landscaper adds noise to its largest loss ({noise:.1e} off; other cells {others:.1e})"
            f" and gives its losses coordinates of other cells (up to {elsewhere:.1e} off, read by them)"
        )
    return notes


def _derivatives(problem: Problem, repeats: int) -> Found:
    """Risk, in-plane slope and Hessian together, beside the risk alone."""
    title = f"{problem.title}: slopes and Hessians"
    ways = {f"{OURS}, {', '.join(asked)}": asked for asked in (DERIVATIVES[:1], DERIVATIVES)}
    timed = race({by: partial(problem.evaluate, asked) for by, asked in ways.items()}, repeats)
    every = max(1, len(problem.cells) // CHECKED)
    truth = plain_loop.truth(problem, every, derivatives=True)
    rows = []
    for by, times in timed.items():
        answer, wanted = (_flat(values) for values in ([v[::every] for v in times.answer], truth[: len(times.answer)]))
        columns = report.errors(answer, wanted, 1e-4, 1e-5 * np.abs(wanted).max())
        per_cell = times.median / len(problem.cells) * 1e3
        rows.append(report.row(title, by, times, milliseconds=per_cell, **columns))
    alone, together = timed.values()
    return Found(rows, [Target(f"{title}, time over the risk alone", ratio(together, alone), 8, "×")])


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(values) for values in arrays])


def _linear(inputs: tuple[int, ...], examples: int, sides: tuple[int, int], repeats: int) -> Found:
    """The plane of a linear model is affine to the last: what a cell costs does not depend on the inputs' dimension.

    What a cell costs is the time of a large grid less that of a small one: the products are done once in either.
    """
    grids = {(d, side): networks.linear(networks.noise(examples, d), side) for d in inputs for side in sides}
    loops = plain_loop.loops(grids[inputs[-1], sides[0]])
    calls = {(d, side, OURS): _ours(problem)[OURS] for (d, side), problem in grids.items()}
    timed = race(calls | {(inputs[-1], sides[0], by): call for by, call in loops.items()}, repeats)
    rows: list[Row] = []
    for (d, side), problem in grids.items():
        own = {by: times for (*grid, by), times in timed.items() if grid == [d, side]}
        every = max(1, len(problem.cells) // CHECKED)
        rows += _rows(problem, own, plain_loop.truth(problem, every)[0], every)
    more = sides[1] ** 2 - sides[0] ** 2
    small, large = ([timed[d, side, OURS].seconds for d in inputs] for side in sides)
    costs = [float(np.median(b - a)) / more for a, b in zip(small, large, strict=True)]
    listed = ", ".join(f"{cost * 1e6:.2f} µs with {d} inputs" for d, cost in zip(inputs, costs, strict=True))
    claim = f"linear models, cost of a cell with {inputs[-1]} inputs over that with {inputs[0]}"
    return Found(rows, [Target(claim, costs[-1] / costs[0], 1.2, "×")], [f"linear models, one more cell: {listed}"])


def _on_disk(examples: int, features: int, side: int, repeats: int) -> Found:
    """The risk of memory-mapped data, in a process of its own."""
    found = memory_mapped.measure(examples, features, side, min(repeats, 3))
    title = f"{found.name}, {examples} examples in a file of {found.file_bytes / 1e6:.0f} MB, {side}×{side} cells"
    columns = report.errors(found.timed.answer, found.truth, *TOLERANCE)
    columns |= {"milliseconds": found.timed.median / side**2 * 1e3, "passes": found.passes}
    row = report.row(title, OURS, found.timed, peak_bytes=found.peak_bytes, **columns)
    targets = [
        Target(f"{title}, passes over the data", found.passes, 1, ""),
        Target(f"{title}, memory of the process at its peak", found.peak_bytes / 1e9, 1, " GB"),
    ]
    return Found([row], targets)
