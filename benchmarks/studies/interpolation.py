"""Interpolation: what it costs to know a surface everywhere to a tolerance, by `ls.interpolate` and from grids.

Tolerances and errors are shares of the surface's range, errors the largest at random points of the box, against
float64. Seconds are those of evaluating, interpolating and reading the surface at these points, compiled already; the
first call compiles everything. A grid is the least of several that is within the tolerance, read linearly or by cubic
splines; finding it out is not counted, whereas `ls.interpolate` finds its points itself. So does the cubic spline that
checks itself: on nested grids, until the spline of one foretells the new values of the next.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from scipy.interpolate import RectBivariateSpline, RegularGridInterpolator

import landscape as ls
from benchmarks.contestants import numpy_loop, plain_loop
from benchmarks.harness.timing import Timed, race, ratio
from benchmarks.machine.environment import busy, environment
from benchmarks.problems import networks
from benchmarks.problems.networks import NAMES, Network, Problem
from benchmarks.reporting import report
from benchmarks.reporting.report import Progress, Report, Row

REPEATS = 3
OURS = "ls.interpolate"
CHECKED = "cubic spline, checking itself"
COARSEST = 5  # cells along each axis of the first of the nested grids
ADAM = optax.adam(0.01)

Axes = tuple[np.ndarray, np.ndarray]
Box = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Images:
    """The convolutional network, whose cells take longest: with tolerances and a largest grid of its own."""

    examples: int
    channels: tuple[int, int]
    tolerances: tuple[float, ...]
    largest: int  # side


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are."""

    digits: tuple[int, int]  # hidden units, examples
    steps: int  # of Adam, of the network that is trained
    tolerances: tuple[float, ...]
    sides: tuple[int, ...]  # of the grids that are tried, ascending
    points: int  # random positions along each coordinate: errors are measured at all pairs of them
    judged: bool
    images: Images | None = None


FULL = Sizes(
    digits=(128, 1797),
    steps=200,
    tolerances=(1e-2, 1e-3, 1e-4),
    sides=(5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129),
    points=40,
    judged=True,
    images=Images(512, (8, 16), tolerances=(1e-2, 1e-3), largest=65),
)
SMOKE = Sizes(digits=(6, 40), steps=20, tolerances=(1e-1, 1e-2), sides=(5, 7, 13), points=12, judged=False)


@dataclass(frozen=True)
class Subject:
    """A surface on a box of two coordinates, and its values at random points."""

    name: str
    objective: ls.Objective
    plane: ls.Plane
    box: Box
    dtype: str
    at: Axes
    truth: np.ndarray  # at all pairs of `at`, float64

    @property
    def range(self) -> float:
        """The greatest less the least value."""
        return float(np.ptp(self.truth))

    def error(self, values: np.ndarray) -> float:
        """The largest of `values` at these points, as a share of the range."""
        return float(np.abs(values - self.truth).max()) / self.range

    def named(self, axes: Sequence[Any]) -> dict[str, Any]:
        """One for each coordinate of the plane."""
        return dict(zip(self.plane.names, axes, strict=True))


class Answer(NamedTuple):
    """Values at the points, how many evaluations they took, and the error that is stated, a share of the range.

    What states an error finds its points itself, and says by it whether it is within the tolerance.
    """

    values: np.ndarray
    evaluations: int
    stated: float | None = None


def run(sizes: Sizes, repeats: int, progress: Progress) -> Report:
    """Measure everything; `progress` is told what is being measured."""
    where = environment()
    rows: list[Row] = []
    ratios: dict[tuple[float, str], list[tuple[float, float]]] = {}
    for subject, own in _subjects(sizes):
        progress(f"{subject.name}: the least grids")
        sides = least(subject, own.sides, own.tolerances)
        progress(f"{subject.name}: times")
        found = _measured(subject, sides, own.sides[-1], repeats)
        rows += found[0]
        for key, both in found[1].items():
            ratios.setdefault(key, []).append(both)
    notes = [_compared(tolerance, way, both) for (tolerance, way), both in sorted(ratios.items(), reverse=True)]
    notes += [_honest(rows, by) for by in (OURS, CHECKED)]
    images = f" ({sizes.images.largest}² of the CNN)" if sizes.images else ""
    notes.append(
        f"'over': not within the tolerance after so much; grids are square, of at most {sizes.sides[-1]}² cells{images}"
        ". Cubic: splines with not-a-knot ends, as those of RegularGridInterpolator"
    )
    notes.append(
        f"{CHECKED}: on nested grids of {COARSEST}², {2 * COARSEST - 1}², … cells, until the spline of one is within"
        " the tolerance at the new positions of the next, whose spline is read; 'stated' is the largest error there"
    )
    notes += busy(where) if sizes.judged else ["these sizes are too small to judge speed by"]
    return Report("interpolation", asdict(sizes), rows, [], notes, where)


def least(subject: Subject, sides: Sequence[int], tolerances: Sequence[float]) -> dict[tuple[float, str], int | None]:
    """(tolerance, way of reading) -> the first of the sides whose grid is within the tolerance; None where none is."""
    found: dict[tuple[float, str], int | None] = {(tolerance, way): None for tolerance in tolerances for way in WAYS}
    for side in sides:
        axes, values = _grid(subject, side)
        errors = {way: subject.error(read(axes, values, subject.at)) for way, read in WAYS.items()}
        for (tolerance, way), known in found.items():
            if known is None and errors[way] <= tolerance:
                found[tolerance, way] = side
        if None not in found.values():
            break
    return found


def linear(axes: Axes, values: np.ndarray, at: Axes) -> np.ndarray:
    """Of values on a grid: linear between neighbors along each axis, at all pairs of positions."""
    return RegularGridInterpolator(axes, values)(np.stack(np.meshgrid(*at, indexing="ij"), axis=-1))


def cubic(axes: Axes, values: np.ndarray, at: Axes) -> np.ndarray:
    """The cubic spline along each axis, with not-a-knot ends.

    That of RegularGridInterpolator(method="cubic"), whose solver by default stops at a residual of 1e-5 of the values,
    too early to be within 1e-4 of the range, and is slower.
    """
    return RectBivariateSpline(*axes, values, s=0)(*at)


WAYS: dict[str, Callable[[Axes, np.ndarray, Axes], np.ndarray]] = {"linear": linear, "cubic": cubic}


def _grid(subject: Subject, side: int) -> tuple[Axes, np.ndarray]:
    """Axes over the box and the risk on them, all as float64."""
    axes = _axes(subject, side)
    return axes, _values(subject, axes)


def _axes(subject: Subject, side: int) -> Axes:
    """Even positions along each side of the box that the surface's dtype has, as float64."""
    first, second = (np.linspace(*ends, side, dtype=subject.dtype).astype(np.float64) for ends in subject.box)
    return first, second


def _values(subject: Subject, axes: Axes) -> np.ndarray:
    """The risk that `ls.evaluate` measures at all pairs of positions, as float64."""
    typed = subject.named([positions.astype(subject.dtype) for positions in axes])
    with jax.enable_x64(subject.dtype == "float64"):
        return _risk(subject, ls.evaluate(subject.objective, subject.plane, typed, progress=False))


def _risk(subject: Subject, surface: Any) -> np.ndarray:
    return surface["risk"].transpose(*subject.plane.names).to_numpy().astype(np.float64)


def from_grid(subject: Subject, side: int, way: str) -> Answer:
    """By `ls.evaluate` on a grid, read in one of the ways."""
    return Answer(WAYS[way](*_grid(subject, side), subject.at), side**2)


def nested(largest: int) -> list[int]:
    """Sides of grids, of at most the largest, each with all positions of the one before and those halfway between."""
    sides = [COARSEST]
    while 2 * sides[-1] - 1 <= largest:
        sides.append(2 * sides[-1] - 1)
    return sides


def checked(subject: Subject, tolerance: float, largest: int) -> Answer:
    """By cubic splines of nested grids, until that of one is within the tolerance at the new positions of the next.

    These alone are evaluated: new rows, then new columns of the old rows. The tolerance is of the range seen so far;
    read is the spline of the last grid; stated is the error of the one before.
    """
    sides = nested(largest)
    finest = _axes(subject, sides[-1])
    axes = _thinned(finest, sides[0])
    values, error = _values(subject, axes), float("inf")
    for side in sides[1:]:
        finer = _thinned(finest, side)
        foretold = cubic(axes, values, finer)
        axes, values = finer, _refined(subject, finer, values)
        error = float(np.abs(foretold - values).max() / np.ptp(values))
        if error <= tolerance:
            break
    return Answer(cubic(axes, values, subject.at), values.size, error)


def _thinned(finest: Axes, side: int) -> Axes:
    """So many of the positions along each axis, evenly."""
    first, second = (positions[:: (len(positions) - 1) // (side - 1)] for positions in finest)
    return first, second


def _refined(subject: Subject, axes: Axes, known: np.ndarray) -> np.ndarray:
    """Values on a grid, those at every other position of both axes known already."""
    first, second = axes
    values = np.empty((len(first), len(second)))
    values[::2, ::2] = known
    values[1::2] = _values(subject, (first[1::2], second))
    values[::2, 1::2] = _values(subject, (first[::2], second[1::2]))
    return values


def interpolated(subject: Subject, tolerance: float) -> Answer:
    """By `ls.interpolate`. That it may stop before it is within the tolerance is seen from the error it states."""
    with jax.enable_x64(subject.dtype == "float64"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the estimated error of", UserWarning)
        box = subject.named(subject.box)
        found = ls.interpolate(subject.objective, subject.plane, box, tolerance=tolerance, progress=False)
        return Answer(_risk(subject, found.on(subject.named(subject.at))), found.evaluations, float(found.error))


def _measured(
    subject: Subject, sides: Mapping[tuple[float, str], int | None], largest: int, repeats: int
) -> tuple[list[Row], dict[tuple[float, str], tuple[float, float]]]:
    """Rows; and of the others that are within the tolerance, where ours is too, (evaluations, seconds) over ours."""
    calls: dict[tuple[float, str], Callable[[], Answer]] = {}
    for tolerance in dict.fromkeys(tolerance for tolerance, _ in sides):
        calls[tolerance, OURS] = partial(interpolated, subject, tolerance)
        calls[tolerance, CHECKED] = partial(checked, subject, tolerance, largest)
        calls |= {(tolerance, way): partial(from_grid, subject, sides[tolerance, way] or largest, way) for way in WAYS}
    first = {key: _first(call) for key, call in calls.items()}
    timed = {key: replace(times, first=first[key]) for key, times in race(calls, repeats).items()}
    found: dict[tuple[float, str], Row] = {}
    for (tolerance, way), times in timed.items():
        stated = times.answer.stated
        reached = sides[tolerance, way] is not None if stated is None else stated <= tolerance
        found[tolerance, way] = _row(subject, tolerance, way, times, reached)
    within = {key for key, row in found.items() if row.right and not row.over}
    ratios = {}
    for tolerance, way in found:
        if way != OURS and within >= {(tolerance, way), (tolerance, OURS)}:
            times, ours = timed[tolerance, way], timed[tolerance, OURS]
            ratios[tolerance, way] = times.answer.evaluations / ours.answer.evaluations, ratio(times, ours)
    return list(found.values()), ratios


def _row(subject: Subject, tolerance: float, way: str, times: Timed, reached: bool) -> Row:
    """Right where the error is within the tolerance or, where that is not reached, within what is stated, if any is."""
    answer: Answer = times.answer
    error, stated = subject.error(answer.values), answer.stated
    limit = tolerance if reached else float("inf") if stated is None else stated
    side = round(answer.evaluations**0.5)
    return report.row(
        f"{subject.name}, within {tolerance:g}",
        f"{side}×{side} grid, {way}" if way in WAYS else way,
        times,
        ours=way not in WAYS,
        evaluations=answer.evaluations,
        over=not reached,
        absolute_error=error * subject.range,
        range_error=error,
        stated_error=stated,
        right=error <= limit,
    )


def _first(call: Callable[[], Any]) -> float:
    """Seconds of a call with nothing compiled yet."""
    jax.clear_caches()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _compared(tolerance: float, way: str, ratios: Sequence[tuple[float, float]]) -> str:
    """A note: how one of the others compares over all surfaces."""
    counts, seconds = (f"{min(own):.3g} to {max(own):.3g}×" for own in zip(*ratios, strict=True))
    other = f"the least grid, {way}," if way in WAYS else f"{way},"
    return (
        f"within {tolerance:g}, {other} and {OURS}: {counts} its evaluations, {seconds} its time"
        f" (surfaces where both are: {len(ratios)})"
    )


def _honest(rows: Sequence[Row], by: str) -> str:
    """A note: how the errors of one contestant compare with those that it states."""
    own = [row for row in rows if row.by == by]
    shares = [(row.range_error / row.stated_error, row.workload) for row in own if row.range_error and row.stated_error]
    share, workload = max(shares)
    return f"errors of {by} are at most {share:.2g}× the stated ones ({workload})"


def _subjects(sizes: Sizes) -> Iterator[tuple[Subject, Sizes]]:
    """A network at random weights, trained, with kinks; a convolutional one; a neuron in float64. With their sizes."""
    hidden, examples = sizes.digits
    name = f"digits MLP 64-{hidden}-10"
    start = networks.perceptron(name, networks.digits(examples), hidden, sizes.points)
    relu = Network((("dense", "hidden"), ("relu", ""), ("dense", "out")))
    yield _of_network(f"{name} tanh, random weights", start), sizes
    yield _of_network(f"{name} tanh, trained", _trained(start, sizes.steps)), sizes
    yield _of_network(f"{name} relu, random weights", replace(start, network=relu)), sizes
    if sizes.images:
        yield _cnn(sizes.images, sizes.points), _of_images(sizes, sizes.images)
    yield _o_rings(sizes.points), sizes


def _cnn(images: Images, points: int) -> Subject:
    """A small convolutional network of the digits, with kinks: relu and max-pooling."""
    data = networks.digits(images.examples, images=True)
    problem = networks.convolutional(data, images.channels, points)
    return _of_network(f"digits {problem.name}, random weights", problem)


def _of_images(sizes: Sizes, images: Images) -> Sizes:
    """The sizes with the tolerances and the grids of the convolutional network."""
    return replace(sizes, tolerances=images.tolerances, sides=tuple(n for n in sizes.sides if n <= images.largest))


def _of_network(name: str, problem: Problem) -> Subject:
    box = (-1.0, 1.0), (-1.0, 1.0)
    first, second = _random(box, len(problem.axes[0]))
    at = first.astype(np.float32), second.astype(np.float32)
    truth = plain_loop.truth(replace(problem, axes=at))[0].reshape(len(at[0]), -1)
    title = f"{name}, {len(problem.data[0])} examples"
    return Subject(title, problem.objective, problem.plane, box, "float32", at, truth)


def _trained(problem: Problem, steps: int) -> Problem:
    """After so many steps of Adam on all examples, in filter-normalized directions of its own."""
    runs = ls.descend(problem.objective, ADAM, problem.origin, steps, record_every=steps, progress=False)
    origin = jax.tree.map(lambda leaf: np.asarray(leaf[-1]), runs.params)
    directions = ls.random_directions(jax.random.key(0), origin, len(NAMES), normalize="filter")
    first, second = jax.tree.map(np.asarray, directions)
    return Problem(problem.name, problem.network, problem.data, origin, (first, second), problem.axes)


def _o_rings(points: int) -> Subject:
    """The neuron of the Challenger's O-rings, temperature standardized, in float64."""
    temperature, y = ls.datasets.o_rings()
    x = (temperature - temperature.mean()) / temperature.std()
    with jax.enable_x64(True):
        objective = ls.neuron(x.astype(np.float64), y.astype(np.float64))
        plane = ls.axes_plane(objective.params, "w", "b")
    box = (-6.0, 2.0), (-5.0, 3.0)
    at = _random(box, points)
    cells = np.stack([c.ravel() for c in np.meshgrid(*at, indexing="ij")], axis=1)
    truth = numpy_loop.grid(cells, x, y, False)[0].reshape(points, points)
    return Subject(f"O-rings neuron in float64, {len(x)} examples", objective, plane, box, "float64", at, truth)


def _random(box: Box, count: int) -> Axes:
    """Random positions along each side of a box, ascending: one in each of `count` equal parts."""
    random = np.random.default_rng(2)
    first, second = (low + (high - low) * (np.arange(count) + random.random(count)) / count for low, high in box)
    return first, second
