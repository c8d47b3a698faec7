"""Whether a surface is measured on compressed examples, and on which: `_compress` for an objective on a chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _checks, _trees
from landscape.charts.chart import Chart
from landscape.charts.plane import Plane
from landscape.objectives import data as _data
from landscape.objectives.data import Batch, Batches, num_examples
from landscape.objectives.losses import CrossEntropy, PointwiseLoss
from landscape.objectives.models import NeuronLosses
from landscape.objectives.objective import Objective
from landscape.surfaces import _compress
from landscape.surfaces._cells import Measures
from landscape.surfaces._compress import Integrand, Moments

# Operations of a fused loop, as `_cost` counts them, in the time in which an example is compressed, and in which all
# else about a compression is done (measured on CPU); and how many times that a run must last for it to be worthwhile.
EXAMPLE_WORK, FIXED_WORK, WORTH = 2_000, 2**29, 8
READ = 2**18  # examples that are read from disk at a time
TOLERANCE = {"float32": 2.0**-20, "float64": 2.0**-40}  # below these rounding is all
LONGEST = 16.0  # half the length of a piece, in z, where a loss has no poles; 1 where they are π away


class Compression(NamedTuple):
    """How the examples were compressed, or why they were not."""

    why_not: str  # "" if they were
    examples: int = 0
    nodes: int = 0
    degree: int = 0
    error: float = 0.0  # of sums over the examples, in units of the mean absolute integrand

    def __str__(self) -> str:
        if self.why_not:
            return f"all, {self.why_not}"
        return f"{self.examples} as {self.nodes} nodes of degree {self.degree}, error at most {self.error:.1e}"


class Scalar(NamedTuple):
    """z = w·x + b as a function of one number an example: s = x·direction, z = ω·s + b with |ω| ≤ bound."""

    bound: float
    direction: np.ndarray  # of unit length, of the shape of w


def checked_tolerance(tolerance: float | None, dtype: np.dtype) -> float:
    """The tolerance, or what the dtype allows. Raises: ValueError where it allows less."""
    least = TOLERANCE[np.dtype(dtype).name]
    if tolerance is None:
        return least
    if not least <= _checks.number("tolerance", tolerance) < 1:
        wider = ", compute in float64 (jax_enable_x64 and float64 data)" if least == TOLERANCE["float32"] else ""
        raise ValueError(
            f"`tolerance` is {tolerance:g}; in {np.dtype(dtype).name} it is at least {least:.1e}, and below 1. Take one"
            f" in between{wider}, or exact=True."
        )
    return float(tolerance)


def compressed(
    objective: Objective,
    chart: Chart,
    positions: Sequence[np.ndarray],
    measures: Measures,
    work: float,
    tolerance: float,
) -> tuple[Compression, Batch]:
    """The examples as nodes (x, y, weights) in the dtype of the params, if that is possible and saves work.

    work: operations that a cell takes on one example.
    """
    risk, work = measures.risk, work * math.prod(map(len, positions))
    if why_not := _obstacle(objective, measures, work):
        return Compression(why_not), None
    loss = objective.losses.loss  # type: ignore[attr-defined]  # NeuronLosses, as `_obstacle` saw to
    scalar = _scalar(chart, [positions[i] for i in measures.order], objective.params["w"])
    if isinstance(scalar, str):
        return Compression(scalar), None
    if risk.gradient_norm and scalar.direction.size > 1:
        return Compression("because a gradient over all weights needs all of each input"), None
    found = _degree(loss, risk.stderr, risk.gradient_norm or risk.slope or risk.hessian, risk.hessian, tolerance)
    if found is None:
        return Compression(f"because no interpolation comes within the tolerance of {tolerance:g}"), None
    moments = _moments(objective, loss, scalar, found[0], risk.stderr)
    if isinstance(moments, str):
        return Compression(moments), None
    nodes = moments.nodes()
    why_not = _too_little(moments.examples, work)
    if 2 * len(nodes.x) > moments.examples:
        why_not = f"because {len(nodes.x)} nodes would take their place"
    if why_not:
        return Compression(why_not), None
    x, y, weights = (np.pad(one, (0, _rounded(len(one)) - len(one))) for one in nodes)
    x = x[:, None] * scalar.direction if scalar.direction.ndim else x
    said = Compression("", moments.examples, len(nodes.x), *found)
    return said, tuple(jnp.asarray(one, objective.params["w"].dtype) for one in (x, y, weights))


def _moments(objective: Objective, loss: PointwiseLoss, scalar: Scalar, degree: int, stderr: bool) -> Moments | str:
    """The moments of all examples, or why there are none."""
    moments = None
    for batch in _data.batches(objective.data, objective.n if _data.in_memory(objective.data) else READ):
        x, y, *weights = map(np.asarray, batch)
        if not all(np.isfinite(part).all() for part in (x, y, *weights)):
            return "because some are not finite"
        s = x if x.ndim == 1 else x @ scalar.direction
        if moments is None:
            width = _width(loss, scalar.bound, s)
            moments = Moments(width, degree, loss.degree_in_y * (2 if stderr else 1) + 1)
        if not moments.add(s, y, *weights):
            return "because they are spread too wide"
    assert moments is not None  # there is a batch
    return moments


def _obstacle(objective: Objective, measures: Measures, work: float) -> str:
    """Why the examples cannot be compressed, or need not; `work` are the operations on one of them."""
    losses = objective.losses
    if not isinstance(losses, NeuronLosses):
        return "because the losses are not known to be those of a neuron (`structure`)"
    if not losses.loss.pole_distance:
        return "because the activation is not smooth"
    if objective.params["w"].dtype.name not in TOLERANCE:
        return f"because {objective.params['w'].dtype} is too narrow for weights of nodes"
    if measures.own:
        return "because a quantity other than of the risk need not be smooth"
    if measures.risk.stderr and len(_data.first_batch(objective.data)) > 2:
        return "because a standard error under weights needs each of them"
    n = objective.data.known if isinstance(objective.data, Batches) else num_examples(objective.data)
    return "" if n is None else _too_little(n, work)


def _too_little(n: int, work: float) -> str:
    """What to say of n examples that are measured sooner than compressed."""
    small = work * n < WORTH * (EXAMPLE_WORK * n + FIXED_WORK)
    return "because there is too little to save" if small else ""


def _scalar(chart: Chart, coordinates: Sequence[np.ndarray], w: Any) -> Scalar | str:
    """The one number through which an example is seen on these cells; or why there is none."""
    weights = _weights(chart, coordinates).reshape(-1, w.size)
    sizes = np.linalg.norm(weights, axis=1)
    longest = int(np.argmax(sizes))
    if not np.isfinite(sizes).all():
        return "because some weights are not finite"
    if w.size == 1 or not sizes[longest]:
        return Scalar(float(sizes[longest]), np.ones(w.shape) / math.sqrt(w.size))
    direction = weights[longest] / sizes[longest]
    rest = np.linalg.norm(weights - np.outer(weights @ direction, direction), axis=1)
    if (rest > 8 * float(jnp.finfo(w.dtype).eps) * sizes).any():
        return "because on this chart an example is seen through more than one number"
    return Scalar(float(sizes[longest]), direction)


def _weights(chart: Chart, coordinates: Sequence[np.ndarray]) -> np.ndarray:
    """w at all cells; on a Plane, on which |w| is greatest at a corner, at these."""
    if isinstance(chart, Plane):
        corners = np.stack(np.meshgrid(*([p.min(), p.max()] for p in coordinates)), axis=-1).reshape(
            -1, len(coordinates)
        )
        trees = (chart.origin, *chart.directions)
        start, *moves = (_trees.as_numbers(tree["w"]).astype(np.float64) for tree in trees)
        return start + np.tensordot(corners.astype(np.float64), np.stack(moves), axes=1)
    grid = jnp.stack([c.ravel() for c in jnp.meshgrid(*map(jnp.asarray, coordinates))], axis=1)
    return np.asarray(jax.jit(jax.vmap(lambda c: chart.point(tuple(c))["w"]))(grid), np.float64)


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
