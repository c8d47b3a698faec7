"""Whether a surface is measured on compressed examples, and on which: `_compress` for an objective on a chart."""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._callers import outside
from landscape.charts.chart import Chart
from landscape.charts.plane import Plane
from landscape.objectives import data as _data
from landscape.objectives.data import Batch
from landscape.objectives.losses import CrossEntropy, HalfSquaredError, PointwiseLoss
from landscape.objectives.models import NeuronLosses
from landscape.objectives.objective import Objective
from landscape.surfaces import _compress
from landscape.surfaces._cells import Measures
from landscape.surfaces._compress import Integrand, Moments, Nodes
from landscape.surfaces.quantities import Risk

# Operations of a fused loop, as `_cost` counts them, in the time in which an example is added to a moment, and in
# which all else about a compression is done (measured on CPU); and how many times that a run must last to be worth it.
MOMENT_WORK, FIXED_WORK, WORTH = 100, 2**29, 8
READ = 2**16  # inputs that are read at a time
TOLERANCE = {"float32": 2.0**-20, "float64": 2.0**-40}  # below these rounding is all
MANY = 2.0**-20  # for squared errors of many labels, which are small sums of large terms,
SHARP = 2.0**-40  # and for these terms
LONGEST = 4.0  # half the length of a piece, in z, where a loss has no poles (longer ones cancel); 1 if they are π away


class Compression(NamedTuple):
    """How the examples were compressed, or why they were not."""

    why_not: str  # "" if they were
    examples: int = 0
    nodes: int = 0
    degree: int = 0
    error: float = 0.0  # of the risk in units of itself, of other sums in those of the mean size of what is summed
    tolerance: float = 0.0  # that was asked for

    def __str__(self) -> str:
        if self.why_not:
            return f"all, {self.why_not}"
        nodes = f"{self.examples} as {self.nodes} nodes of degree {self.degree}"
        return f"{nodes}, error at most {self.error:.1e} beside rounding"

    def described(self) -> dict[str, Any]:
        """For an attribute: what there is to say of it."""
        return {"why_not": self.why_not} if self.why_not else self._asdict()


def read(attributes: Mapping[Any, Any]) -> list[Compression]:
    """What a surface says, of each split of its data."""
    return [Compression(**part) for part in json.loads(attributes.get("compression", "[]"))]


class Scalar(NamedTuple):
    """z = w·x + b as a function of one number an example: s = x·direction, z = ω·s + b with |ω| ≤ bound."""

    bound: float
    direction: np.ndarray  # (d,), of unit length


def check_tolerance(tolerance: float | None, dtype: np.dtype) -> None:
    """Raises: ValueError for a tolerance that the dtype does not allow."""
    least = TOLERANCE[np.dtype(dtype).name]
    if tolerance is None:
        return
    if not least <= _checks.number("tolerance", tolerance) < 1:
        wider = ", compute in float64 (jax_enable_x64 and float64 data)" if least == TOLERANCE["float32"] else ""
        raise ValueError(
            f"`tolerance` is {tolerance:g}; in {np.dtype(dtype).name} it must be at least {least:.3g}, below which "
            f"rounding is all, and less than 1. Take one in between{wider}, or exact=True."
        )


def compressed(
    objective: Objective,
    chart: Chart,
    positions: Sequence[np.ndarray],
    measures: Measures,
    work: float,
    tolerance: float | None,
) -> tuple[Compression, Batch | None]:
    """The examples as nodes (x, y, weights) if that is possible and saves work.

    work: operations that a cell takes on one example.
    tolerance: what the dtype and the labels allow, where it is None.
    """
    risk, work = measures.risk, work * math.prod(map(len, positions))
    if why_not := _obstacle(objective, measures, work):
        return Compression(why_not), None
    scalar = _scalar(chart, [positions[i] for i in measures.order], objective.params["w"])
    if isinstance(scalar, str):
        return Compression(scalar), None
    if risk.gradient_norm and scalar.direction.size > 1:
        return Compression("because a gradient over all weights needs all of each input"), None
    found = _nodes(objective, scalar, risk, work, tolerance)
    if isinstance(found, str):
        return Compression(found), None
    said, nodes = found
    x, y, weights = (np.pad(one, (0, _rounded(len(one)) - len(one))) for one in nodes)
    if jnp.ndim(_data.first_batch(objective.data)[0]) > 1:
        x = np.outer(x, scalar.direction).astype(x.dtype)
    return said, jax.device_put((x, y, weights), _device_of(objective.data))


def _nodes(
    objective: Objective, scalar: Scalar, risk: Risk, work: float, tolerance: float | None
) -> tuple[Compression, Sequence[np.ndarray]] | str:
    """The nodes that take the examples' place, in the dtype of the data, and what to say of them; or why none do."""
    loss = objective.losses.loss  # type: ignore[attr-defined]  # of a neuron
    squares, least = isinstance(loss, HalfSquaredError), TOLERANCE[objective.params["w"].dtype.name]
    gathered = _gathered(objective, scalar, risk, work, least if tolerance is None else tolerance)
    if isinstance(gathered, Gathered) and squares and not gathered.moments.few_labels and not gathered.sharp:
        gathered = _gathered(objective, scalar, risk, work, SHARP)  # labels that came in late
    if isinstance(gathered, str):
        return gathered
    moments, error = gathered.moments, gathered.error
    dtype = np.promote_types(objective.params["w"].dtype, _widest(objective.data))
    nodes, n = moments.nodes(dtype, gauss=squares), moments.examples
    if nodes is None:
        return f"because they are too close together for {dtype}"
    if why_not := _too_little(n, work, moments.degree, moments.labels):
        return why_not
    if 2 * len(nodes.x) > n or not len(nodes.x):
        return f"because {len(nodes.x)} nodes would take their place"
    many = squares and not moments.few_labels
    if tolerance is None:
        tolerance = max(least, MANY) if many else least
    if many:
        error, rounding = _errors_of_squares(loss, risk.stderr, error, float(np.finfo(dtype).eps), moments, nodes)
        if max(error, rounding) > tolerance:
            what = "interpolation" if error > tolerance else f"rounding in {dtype}"
            return (
                f"because squared errors can be so small beside the labels that {what} would change them by "
                f"{max(error, rounding):.0e}"
            )
    said = Compression("", n, len(nodes.x), moments.degree, error, tolerance)
    return said, [one.astype(dtype) for one in nodes[:3]]


def _errors_of_squares(
    loss: HalfSquaredError, stderr: bool, error: float, eps: float, moments: Moments, nodes: Nodes
) -> tuple[float, float]:
    """What an error in units of the terms of Σ ½(f − y)², and rounding, make of it in units of itself.

    The terms are ½(F + Y)² in the mean, F and Y being the roots of the mean squares of f and y. Where F ≥ 2Y the risk
    is a ninth of that at least; else it is noise, and they are 9·½Y² at most. Of an f that changes its sign in a piece
    the error counts in units of its size there. Squares of losses, of which a standard error is made: both squared.
    """
    variation = 2 * _half(loss) * (0.25 if loss.activation.name == "sigmoid" else 1.0)
    entire = math.isinf(loss.pole_distance)
    half_degree = 0.0 if entire else 4 * variation * (math.pi + math.hypot(math.pi, 1)) ** -(moments.degree // 2)
    size, noise = moments.noise(variation, half_degree)
    if not noise > 0:
        return math.inf, math.inf
    crossing = variation if loss.activation.name == "tanh" else 0.0
    power = 2 if stderr else 1
    of_terms = max(1.0, (math.sqrt(size) + crossing) ** 2 / noise)
    of_places = max(1.0, (math.sqrt(size) + variation) ** 2 / noise)
    return error * (9 * of_terms) ** power, eps * nodes.cancelling * of_places**power


class Gathered(NamedTuple):
    """The moments of all examples and the error of interpolation; sharp: that which squares of many labels need."""

    moments: Moments
    error: float
    sharp: bool


def _gathered(objective: Objective, scalar: Scalar, risk: Risk, work: float, tolerance: float) -> Gathered | str:
    """In one pass over the data; or why the pass is not worth its time."""
    loss, n = objective.losses.loss, _data.known_examples(objective.data)  # type: ignore[attr-defined]  # of a neuron
    labels = loss.degree_in_y * (2 if risk.stderr else 1) + 1
    gathered = None
    for x, y, *weights in _parts(objective.data):
        if not all(np.isfinite(part).all() for part in (x, y, *weights)):
            message = "`data` hold numbers that are not finite: no cell that sums over them will be."
            warnings.warn(message, UserWarning, stacklevel=outside())
            return "because some are not finite"
        if weights and (weights[0] < 0).any():
            return "because some weights are negative"
        s = x.reshape(len(x), -1) @ scalar.direction if x.ndim > 1 else x
        if gathered is None:
            many = isinstance(loss, HalfSquaredError) and len(np.unique(y)) > labels
            wanted = min(tolerance, SHARP) if many else tolerance
            derivatives = (risk.gradient_norm or risk.slope or risk.hessian, risk.hessian)
            found = _degree(loss, risk.stderr, *derivatives, wanted)
            if found is None:
                return f"because no interpolation comes within the tolerance of {wanted:g}"
            if n is not None and (why_not := _too_little(n, work, found[0], labels)):
                return why_not
            gathered = Gathered(Moments(_width(loss, scalar.bound, s), found[0], labels), found[1], wanted <= SHARP)
        gathered.moments.add(s, y, *weights)
        if not gathered.moments.fit:
            return "because they are spread too wide"
        if n is not None and 4 * gathered.moments.expected_nodes(n) > n:
            return "because nearly as many nodes would take their place"
    assert gathered is not None  # there is a batch
    return gathered


def _parts(data: Batch) -> Iterator[tuple[np.ndarray, ...]]:
    """Inputs, labels and weights, so many at a time that they take little room."""
    first = _data.first_batch(data)
    size = max(1, READ // math.prod(np.shape(first[0])[1:]))
    if _data.in_memory(data):  # views of whole arrays
        arrays = [np.asarray(leaf) for leaf in data[:3]]
        for start in range(0, len(arrays[0]), size):
            yield tuple(array[start : start + size] for array in arrays)
        return
    for batch in _data.batches(data, size):
        yield tuple(map(np.asarray, batch[:3]))


def _widest(data: Batch) -> np.dtype:
    """The widest floating dtype of inputs and labels, as JAX sees them; that of integers is float32."""
    dtypes = (jax.dtypes.canonicalize_dtype(leaf.dtype) for leaf in _data.first_batch(data)[:2])
    return max((d for d in dtypes if d.kind == "f"), key=lambda d: d.itemsize, default=np.dtype(np.float32))


def _device_of(data: Batch) -> Any:
    """The device to which data in memory are committed; None where they are not."""
    leaf = _data.first_batch(data)[0]
    return next(iter(leaf.devices())) if isinstance(leaf, Array) and leaf.committed else None


def _obstacle(objective: Objective, measures: Measures, work: float) -> str:
    """Why the examples cannot be compressed, or need not; `work` are the operations on one of them."""
    losses, first = objective.losses, _data.first_batch(objective.data)
    if type(losses) is not NeuronLosses or objective.prepare is not None:
        return "because the losses are not known to be those of a neuron"
    if not losses.loss.pole_distance:
        return "because the activation is not smooth"
    if objective.params["w"].dtype.name not in TOLERANCE:
        return f"because weights of dtype {objective.params['w'].dtype} are too narrow, or frozen"
    if measures.curved is not None:
        return "because the Hessian over all params is more than what the chart sees"
    if measures.own:
        return "because accuracy, and quantities of your own, need not be smooth; measure them in a call of their own"
    if measures.risk.stderr and len(first) > 2:
        return "because a standard error under weights needs each of them"
    if isinstance(first[0], Array) and len(first[0].devices()) > 1:
        return "because they are spread over several devices"
    n = _data.known_examples(objective.data)
    return "" if n is None else _too_little(n, work)


def _too_little(n: int, work: float, degree: int = 1, labels: int = 2) -> str:
    """What to say of n examples that are measured sooner than compressed."""
    small = work * n < WORTH * (MOMENT_WORK * (degree + 1) * labels * n + FIXED_WORK)
    return "because there is too little to save" if small else ""


def _scalar(chart: Chart, coordinates: Sequence[np.ndarray], w: Any) -> Scalar | str:
    """The one number through which an example is seen on this chart; or why there is none."""
    if w.size == 1:
        bound = float(np.abs(_weights(chart, coordinates)).max())
        return Scalar(bound, np.ones(1)) if math.isfinite(bound) else "because some weights are not finite"
    several = "because on this chart an example is seen through more than one number"
    if type(chart) is not Plane:
        return several
    # Along every coordinate, moved or not: derivatives are asked for along all.
    vectors = np.stack([_of_w(tree).ravel() for tree in (chart.origin, *chart.directions)])
    sizes = np.linalg.norm(vectors, axis=1)
    direction = vectors[np.argmax(sizes)] / (sizes.max() or 1.0)
    rest = np.linalg.norm(vectors - np.outer(vectors @ direction, direction), axis=1)
    if (rest > 8 * float(jnp.finfo(w.dtype).eps) * sizes).any():
        return several
    return Scalar(float(np.linalg.norm(_weights(chart, coordinates).reshape(-1, w.size), axis=1).max()), direction)


def _weights(chart: Chart, coordinates: Sequence[np.ndarray]) -> np.ndarray:
    """w at all cells; on a Plane, on which |w| is greatest at a corner, at these."""
    if type(chart) is Plane:
        corners = np.array(list(itertools.product(*((p.min(), p.max()) for p in coordinates))), np.float64)
        return _of_w(chart.origin) + np.tensordot(corners, np.stack([_of_w(d) for d in chart.directions]), axes=1)
    grid = jnp.stack([c.ravel() for c in jnp.meshgrid(*map(jnp.asarray, coordinates))], axis=1)
    return np.asarray(_w_at(chart, grid), np.float64)


def _of_w(tree: Any) -> np.ndarray:
    return _trees.as_numbers(tree["w"]).astype(np.float64)


@jax.jit
def _w_at(chart: Chart, grid: Array) -> Array:
    return jax.vmap(lambda at: chart.point(tuple(at))["w"])(grid)


@lru_cache(maxsize=64)
def _degree(loss: PointwiseLoss, stderr: bool, first: bool, second: bool, tolerance: float) -> tuple[int, float] | None:
    half = _half(loss)
    powers = _powers(loss, stderr, first, second)

    def integrand(values: Any, power: int, relative: bool) -> Integrand:
        return Integrand(lambda u, t: values(half * u) * t**power, relative)

    each = ((values, power, relative) for values, most, relative in powers for power in range(most + 1))
    return _compress.degree_for([integrand(*one) for one in each], tolerance)


def _width(loss: PointwiseLoss, bound: float, first: np.ndarray) -> float:
    """The length of a piece: no more than a few times what the first data reach, whose places rounding would blur."""
    reach = 4 * float(np.abs(first).max()) or 1.0
    return min(reach, 2 * _half(loss) / bound if bound else reach)


def _half(loss: PointwiseLoss) -> float:
    """Half the length of a piece, in z: an entire loss is interpolated on long ones too."""
    return min(loss.pole_distance / math.pi, LONGEST)


def _powers(loss: PointwiseLoss, stderr: bool, first: bool, second: bool) -> list[tuple[Any, int, bool]]:
    """Functions of z that are summed over the examples, each with the highest power of x by which it is multiplied, and
    whether its error is relative: that of the risk is.

    The label enters through the weights: of ½(f − y)² these are f and f².
    """
    f, df, ddf = CURVES["softplus" if isinstance(loss, CrossEntropy) else loss.activation.name]
    if isinstance(loss, CrossEntropy):
        of_risk, of_square = [1], [2]
        slopes, curvatures = [df], [ddf]
    else:
        of_risk, of_square = [1, 2], [3, 4]
        slopes = [df, lambda z: f(z) * df(z)]
        curvatures = [ddf, lambda z: f(z) * ddf(z), lambda z: df(z) ** 2]
    found = [(lambda z, k=k: f(z) ** k, 0, k in of_risk) for k in of_risk + of_square * stderr]
    found += [(slope, 1, False) for slope in slopes * first]
    return found + [(curvature, 2, False) for curvature in curvatures * second]


def _sigmoid(z: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(z))
    return np.where(z > 0, 1, e) / (1 + e)


def _bell(z: np.ndarray) -> np.ndarray:
    return _sigmoid(z) * _sigmoid(-z)


# f, f′ and f″ in float64, whatever JAX computes in.
CURVES = {
    "identity": (lambda z: z, np.ones_like, np.zeros_like),
    "sigmoid": (_sigmoid, _bell, lambda z: _bell(z) * np.tanh(-z / 2)),
    "tanh": (np.tanh, lambda z: 4 * _bell(2 * z), lambda z: -8 * _bell(2 * z) * np.tanh(z)),
    "softplus": (lambda z: np.logaddexp(0, z), _sigmoid, _bell),
}


def _rounded(count: int) -> int:
    """The next of 4, 5, 6, 7, 8, 10, 12, …: few shapes, so that what is compiled serves again."""
    step = 2 ** max(0, math.ceil(math.log2(max(count, 1))) - 3)
    return -(-count // step) * step
