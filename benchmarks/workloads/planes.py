"""Planes of networks: `landscape` on every device and in every dtype, the loop one writes oneself, other tools.

All see the same weights, directions, data and cells, on all cores, and take turns. Every answer is compared with
float64.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.contestants import numpy_loop, peers, plain_loop
from benchmarks.harness.asked import Asked, torch
from benchmarks.harness.case import Case, Part, floor, gather, measure, measure_all
from benchmarks.harness.timing import Timed, ratio
from benchmarks.harness.ways import Way, computing, device
from benchmarks.machine.limits import Work
from benchmarks.problems import networks
from benchmarks.problems.network_work import work
from benchmarks.problems.networks import Problem
from benchmarks.reporting import report
from benchmarks.reporting.report import Report, Target
from benchmarks.workloads import memory_mapped

REPEATS = 5
OURS = Way("jax-cpu", "float32")
PLAIN = plain_loop.NAME
# Relative and absolute, of a mean over examples. bfloat16 has 8 bits, in weights, products and losses.
TOLERANCE = {"float32": (1e-5, 1e-6), "float64": (1e-12, 1e-13), "bfloat16": (0.05, 0.05)}
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
    wide=(784, 256, 2000, 15),
    digits=(128, 1797, 31),
    images=((16, 32), 512, 15),
    squared=(128, 1797, 25),
    linear=((100, 1000, 10_000), 500, (21, 101)),
    on_disk=(1_000_000, 64, 51),
    judged=True,
)
QUICK = Sizes(
    wide=(784, 256, 2000, 3),
    digits=(128, 1797, 9),
    images=((16, 32), 512, 3),
    squared=(128, 1797, 7),
    linear=((100, 1000), 500, (21,)),
    on_disk=(100_000, 64, 21),
    judged=False,
)
SMOKE = Sizes(
    wide=(20, 6, 30, 3),
    digits=(6, 40, 4),
    images=((2, 3), 20, 3),
    squared=(6, 40, 3),
    linear=((4, 30), 20, (2, 5)),
    on_disk=(3000, 8, 4),
    judged=False,
)


def run(sizes: Sizes, asked: Asked) -> Report:
    """Measure everything that was asked for."""
    digits = _digits(*sizes.digits)
    parts: list[Callable[[], Part]] = [
        partial(_wide, *sizes.wide, asked),
        partial(_against_all, digits, asked, over_package=8, over_floor=2),
        partial(_derivatives, digits, asked),
        partial(_images, *sizes.images, asked),
        partial(_nothing_hoists, *sizes.squared, asked),
        partial(_linear, *sizes.linear, asked),
        partial(_on_disk, *sizes.on_disk, asked),
    ]
    return gather("planes", sizes, parts, asked)


def _wide(inputs: int, hidden: int, examples: int, side: int, asked: Asked) -> Part:
    problem = networks.perceptron(f"MLP {inputs}-{hidden}-10", networks.noise(examples, inputs), hidden, side)
    return _against_all(problem, asked, over_plain=10, over_package=15, over_floor=2)


def _digits(hidden: int, examples: int, side: int, first: str = "dense") -> Problem:
    squared = ", squared weights" if first == "squared" else ""
    name = f"digits MLP 64-{hidden}-10{squared}"
    return networks.perceptron(name, networks.digits(examples), hidden, side, first)


def _images(channels: tuple[int, int], examples: int, side: int, asked: Asked) -> Part:
    problem = networks.convolutional(networks.digits(examples, images=True), channels, side)
    return _against_all(problem, asked, over_plain=2)


def _nothing_hoists(hidden: int, examples: int, side: int, asked: Asked) -> Part:
    """Weights that enter squared: not affine, so all is to be done in every cell, and no worse than by the loop."""
    problem = _digits(hidden, examples, side, "squared")
    timed, rows = measure(_case(problem, _ours(problem, asked) | _loops(problem, asked)), asked, REPEATS)
    plain = _fastest(timed, PLAIN)
    if OURS not in timed or plain is None:
        return Part(rows)
    claim = f"{problem.title}, nothing to hoist, time over that of the {plain.setting}"
    return Part(rows, [Target(claim, ratio(timed[OURS], timed[plain]), 1.05, "×")])


def _against_all(
    problem: Problem,
    asked: Asked,
    over_plain: float | None = None,
    over_package: float | None = None,
    over_floor: float | None = None,
) -> Part:
    """The risk by everybody: speed over the fastest loop and package, time over that of the nonlinearity alone."""
    calls = _ours(problem, asked) | _loops(problem, asked) | numpy_loop.planes(problem)
    calls |= torch(peers.planes(asked.tools, problem))
    case = _case(problem, calls)
    timed, rows = measure(case, asked, REPEATS)
    targets: list[Target] = []
    if OURS in timed:
        for opponent, limit in ((PLAIN, over_plain), (peers.PACKAGE, over_package)):
            by = _fastest(timed, opponent)
            if by and limit:
                claim = f"{problem.title}, speed over that of {by.by}"
                targets.append(Target(claim, ratio(timed[by], timed[OURS]), limit, "×", more=True))
        if over_floor:
            least = floor(Work(tanh=work(problem).tanh), OURS)
            claim = f"{problem.title}, time over that of its tanh alone"
            targets.append(Target(claim, timed[OURS].median / least, over_floor, "×"))
    return Part(rows, targets, _walked(problem, timed, np.asarray(case.truth(OURS))))


def _ours(problem: Problem, asked: Asked) -> dict[Way, Callable[[], Any]]:
    ways = [Way(backend, dtype) for backend in asked.devices for dtype in asked.dtypes]
    return {way: partial(_first, _evaluation(problem, way)) for way in ways}


def _first(evaluated: Callable[[], list[np.ndarray]]) -> np.ndarray:
    return evaluated()[0]


def _evaluation(problem: Problem, way: Way, quantities: tuple[str, ...] = ("risk",)) -> Callable[[], list[np.ndarray]]:
    typed = problem.typed(jnp.dtype(way.dtype))

    def call() -> list[np.ndarray]:
        with computing(way):
            return typed.evaluate(quantities, [device(way.backend)])

    return call


def _loops(problem: Problem, asked: Asked) -> dict[Way, Callable[[], Any]]:
    return {
        Way(backend, "float32", name, ours=False): call
        for backend in asked.devices
        for name, call in plain_loop.loops(problem, device(backend)).items()
    }


def _case(problem: Problem, calls: Mapping[Way, Callable[[], Any]], every: int = 1) -> Case:
    """The risk in all cells, or, where the truth is slow, compared in every so manyth."""
    truth, needed, count = plain_loop.truth(problem, every)[0], work(problem), len(problem.cells)

    def of(way: Way) -> np.ndarray:
        return truth

    return Case(
        problem.title, calls, of, TOLERANCE, lambda way: needed, cells=count, reads=partial(_read, problem, every)
    )


def _read(problem: Problem, every: int, way: Way, answer: Any) -> np.ndarray:
    """What is compared of an answer, or of the truth: of loss-landscapes the cells that it measures where it should."""
    values = np.asarray(answer)
    compared = values if len(values) != len(problem.cells) else values[::every]
    return compared[peers.right(problem)[::every]] if way.setting.startswith(peers.PACKAGE) else compared


def _fastest(timed: Mapping[Way, Timed], opponent: str) -> Way | None:
    """Of the ways in which an opponent ran on the CPU, the one of least median; None where it did not."""
    ways = [way for way in timed if way.setting.startswith(opponent) and way.backend in ("jax-cpu", "torch")]
    return min(ways, key=lambda way: timed[way].median, default=None)


def _walked(problem: Problem, timed: Mapping[Way, Timed], truth: np.ndarray) -> list[str]:
    """What is wrong in the answers of loss-landscapes and Landscaper."""
    notes, by = [], _fastest(timed, peers.PACKAGE)
    if by:
        off, moved = peers.off_by_one(problem, timed[by].answer, truth)
        notes.append(
            f"{problem.name}: loss-landscapes samples every second row of cells one step off, errors up to {off:.1e}"
            f" ({moved:.1e} once moved by that step); its errors above are those of the other rows"
        )
    by = next((way for way in timed if way.setting.startswith(f"{peers.LANDSCAPER}, ") and not _rescaled(way)), None)
    if by:
        noise, others = peers.noisy(timed[by].answer, truth)
        elsewhere = peers.swapped(problem, timed[by].answer, truth)
        notes.append(
            f"{problem.name}: Landscaper adds noise to its largest loss ({noise:.1e} off; other cells {others:.1e})"
            f" and gives its losses coordinates of other cells (up to {elsewhere:.1e} off, read by them)"
        )
    return notes


def _rescaled(way: Way) -> bool:
    return way.setting.endswith(peers.RESCALED)


def _derivatives(problem: Problem, asked: Asked) -> Part:
    """Risk, in-plane slope and Hessian together, beside the risk alone."""
    title = f"{problem.title}: slopes and Hessians"
    settings = {", ".join(names): names for names in (DERIVATIVES[:1], DERIVATIVES)}
    every = max(1, len(problem.cells) // CHECKED)
    truth = plain_loop.truth(problem, every, derivatives=True)

    def checked(evaluated: Callable[[], list[np.ndarray]]) -> np.ndarray:
        return _flat([values[::every] for values in evaluated()])

    ways = [Way(backend, "float32", setting) for backend in asked.devices for setting in settings]
    calls = {way: partial(checked, _evaluation(problem, way, settings[way.setting])) for way in ways}
    tolerance = {"float32": (1e-4, 1e-5 * max(np.abs(values).max() for values in truth))}
    case = Case(
        title, calls, lambda way: _flat(truth[: len(settings[way.setting])]), tolerance, cells=len(problem.cells)
    )
    timed, rows = measure(case, asked, REPEATS)
    alone, together = (OURS._replace(setting=setting) for setting in settings)
    if alone not in timed:
        return Part(rows)
    return Part(rows, [Target(f"{title}, time over the risk alone", ratio(timed[together], timed[alone]), 8, "×")])


def _flat(arrays: Any) -> np.ndarray:
    return np.concatenate([np.ravel(values) for values in arrays])


def _linear(inputs: tuple[int, ...], examples: int, sides: tuple[int, int], asked: Asked) -> Part:
    """The plane of a linear model is affine to the last: what a cell costs does not depend on the inputs' dimension.

    What a cell costs is the time of a large grid less that of a small one: the products are done once in either.
    """
    grids = [(d, side) for d in inputs for side in sides]
    cases = []
    for d, side in grids:
        problem = networks.linear(networks.noise(examples, d), side)
        others = _loops(problem, asked) if (d, side) == (inputs[-1], sides[0]) else {}
        cases.append(_case(problem, _ours(problem, asked) | others, max(1, len(problem.cells) // CHECKED)))
    found, rows = measure_all(cases, asked, REPEATS)
    if OURS not in found[0]:
        return Part(rows)
    times, more = dict(zip(grids, (timed[OURS].seconds for timed in found), strict=True)), sides[1] ** 2 - sides[0] ** 2
    costs = [float(np.median(times[d, sides[1]] - times[d, sides[0]])) / more for d in inputs]
    listed = ", ".join(f"{cost * 1e6:.2f} µs with {d} inputs" for d, cost in zip(inputs, costs, strict=True))
    claim = f"linear models, cost of a cell with {inputs[-1]} inputs over that with {inputs[0]}"
    return Part(rows, [Target(claim, costs[-1] / costs[0], 1.2, "×")], [f"linear models, one more cell: {listed}"])


def _on_disk(examples: int, features: int, side: int, asked: Asked) -> Part:
    """The risk of memory-mapped data, in a process of its own."""
    if not asked.wants(OURS.backend, OURS.dtype):
        return Part()
    asked.progress("a data set on disk")
    found = memory_mapped.measure(examples, features, side, min(asked.repeats or REPEATS, 3))
    title = f"{found.name}, {examples} examples in a file of {found.file_bytes / 1e6:.0f} MB, {side}×{side} cells"
    columns = report.errors(found.timed.answer, found.truth, *TOLERANCE["float32"])
    columns |= {"milliseconds": found.timed.median / side**2 * 1e3, "passes": found.passes}
    columns |= {"backend": OURS.backend, "dtype": OURS.dtype, "peak_bytes": found.peak_bytes}
    targets = [
        Target(f"{title}, passes over the data", found.passes, 1, ""),
        Target(f"{title}, memory of the process at its peak", found.peak_bytes / 1e9, 1, " GB"),
    ]
    return Part([report.row(title, OURS.by, found.timed, **columns)], targets)
