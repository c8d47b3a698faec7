"""Connectivity of minima: a curve between two of them, trained to have less of a barrier than the line.

>>> import optax, jax, landscape as ls
>>> ring = ls.function(lambda p: (p["x"] ** 2 + p["y"] ** 2 - 1) ** 2, {"x": 0.0, "y": 0.0})
>>> a, b = {"x": 1.0, "y": 0.0}, {"x": 0.0, "y": 1.0}
>>> found = ls.connect(ring, a, b, key=jax.random.key(0), optimizer=optax.adam(0.01), steps=500)
>>> print(found)
The barrier falls from 0.25 on the line to 0.00... on the Bezier of 3 points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis import _steps, checkpoints
from landscape.charts.chart import Chart
from landscape.charts.curve import Bezier, Polygon
from landscape.charts.plane import Plane
from landscape.charts.through import plane_through
from landscape.charts.trajectory import Trajectory
from landscape.networks.connectivity import _connecting
from landscape.networks.connectivity.barrier import PRECISION, Barrier, barrier_along, ends_of, listed
from landscape.objectives import data as _data
from landscape.objectives.objective import Objective, check_objective
from landscape.surfaces.sweep import penalties_of, stacked

if TYPE_CHECKING:
    import xarray

CURVES: dict[str, type[Bezier | Polygon]] = {"bezier": Bezier, "polygon": Polygon}


@dataclass(frozen=True, eq=False)
class Connection:
    """What `connect` found. Prints as a sentence.

    objective: whose minima are connected.
    curve:     `Bezier` or `Polygon` from a to b, a chart; `curve.points[1:-1]` are the trained bends.
    losses:    DataArray (step,): the objective at the drawn point of the curve, on the step's examples, before the
               step; its coordinate `t` (step,) is where that point was. It is noisy because t is.
    finite:    whether objective, gradient and bends stayed finite; the bends are not moved after that.
    before:    `Barrier` of the straight line from a to b.
    after:     `Barrier` of the curve.
    """

    objective: Objective
    curve: Bezier | Polygon
    losses: xarray.DataArray
    finite: bool
    before: Barrier
    after: Barrier

    def plane(self) -> Plane:
        """The plane through a = (0, 0), b = (1, 0) and the bend: it holds the line and, exactly, the curve.

        Raises: ValueError for more than one bend, which do not lie on one plane with a and b; for one that lies on the
        line.
        """
        first, *bends, last = self.curve.points
        if len(bends) != 1:
            raise ValueError(
                f"`plane` needs a curve with one bend, and this one has {len(bends)}, which lie on no plane with both "
                "ends; choose three points: ls.plane_through(a, b, connection.curve.points[1])."
            )
        return plane_through(first, last, bends[0])

    def trajectory(self, num: int = 51) -> Trajectory:
        """`num` ≥ 2 points of the curve, evenly spaced in t, as steps 0 … num − 1: for `ls.plot.contour(runs=…)`."""
        ts = np.linspace(0, 1, _checks.count("num", num, least=2))
        return checkpoints.trajectory(self.objective, (_at(self.curve, t) for t in ts), np.arange(num))

    def __str__(self) -> str:
        before, after = listed(self.before.height), listed(self.after.height)
        curve = f"{type(self.curve).__name__} of {len(self.curve.points)} points"
        goes = "falls" if bool((self.after.height < self.before.height).all()) else "goes"
        sentence = f"The barrier {goes} from {before} on the line to {after} on the {curve}."
        return sentence if self.finite else f"{sentence} Training did not stay finite, and stopped."

    __repr__ = __str__


def connect(
    objective: Objective,
    a: Params,
    b: Params,
    *,
    key: Array,
    optimizer: optax.GradientTransformation,
    steps: int,
    curve: str = "bezier",
    bends: int = 1,
    batch_size: int | None = None,
    data: Any = None,
    num_points: int = 51,
) -> Connection:
    """Train a curve between two minima, on which the objective stays low.

        minimize over the bends   E J(θ(t)),   t uniform in [0, 1],   θ(0) = a, θ(1) = b

    one t a step, drawn by `key`: the gradient for a bend is its weight at t times that of J at θ(t). Uniform in t and
    not in length, as Garipov et al. train (their equation 2): where the curve is fast, its length counts less.

    a, b:       params like the objective's, the fixed ends.
    key:        draws t and the order of the examples. The same key gives the same curve, bit by bit on one machine.
    optimizer:  of optax, matched by identity: keep one to compile once.
    steps:      how many; all in one compiled scan.
    curve:      "bezier" or "polygon".
    bends:      control points between the ends, at the start evenly spaced on the line.
    batch_size: None for all examples at each step; else mini-batches, one permutation of the examples after another.
    data, num_points: as in `barrier`, for measuring: the bends are trained on the objective's own data.

    Penalties count in training; barriers are those of the risk. Where the start is a saddle by symmetry (the gradient
    has no part across the line), the bends do not leave the line: `after` says so.
    Returns: a `Connection`: curve, losses, finite, before, after.
    Raises: ValueError or TypeError, naming the argument; ValueError where a and b are equal or of different shapes.
    References: Garipov et al. 2018, section 3 (arXiv:1802.10026); batch norm: an objective with `prepare`, as there
    in appendix A.2.

        >>> import jax, optax, landscape as ls
        >>> ring = ls.function(lambda p: (p["x"] ** 2 + p["y"] ** 2 - 1) ** 2, {"x": 0.0, "y": 0.0})
        >>> ends = {"x": 1.0, "y": 0.0}, {"x": 0.0, "y": 1.0}
        >>> found = ls.connect(ring, *ends, key=jax.random.key(0), optimizer=optax.adam(0.01), steps=500)
        >>> float(found.before.height), float(found.after.height) < 0.01, found.finite
        (0.25, True, True)
    """
    check_objective(objective)
    if not _data.in_memory(objective.data):
        raise ValueError(
            "`objective` reads its data from disk or batch by batch; `connect` needs them as arrays in memory: "
            "objective.with_data((x, y))."
        )
    _checks.x64_matches("objective", objective.params)
    _checks.random_key("key", key)
    _checks.instance("optimizer", optimizer, optax.GradientTransformation, "one of optax, such as optax.adam(0.01)")
    kind = _checks.one_of("curve", curve, CURVES)
    _checks.count("bends", bends)
    _checks.count("steps", steps)
    _check_batch_size(batch_size, objective)
    ends = ends_of(objective, a, b)
    line = plane_through(*ends, names=("t",))
    before = barrier_along(objective, line, data=data, num_points=num_points)
    starts = [_trees.floating(_at(line, i / (bends + 1))) for i in range(1, bends + 1)]
    points, losses, finite = _trained(objective, kind, ends, starts, optimizer, steps, batch_size, key)
    found = kind(points)
    after = barrier_along(objective, found, data=data, num_points=num_points)
    return Connection(objective, found, losses, finite, before, after)


def _trained(
    objective: Objective,
    kind: type[Bezier | Polygon],
    ends: tuple[Params, Params],
    starts: list[Params],
    optimizer: optax.GradientTransformation,
    steps: int,
    batch_size: int | None,
    key: Array,
) -> tuple[list[Params], xarray.DataArray, bool]:
    """(all points of the curve, the objective at every step, whether all stayed finite)."""
    import xarray

    key_t, key_order = jax.random.split(key)
    with jax.default_matmul_precision(PRECISION):
        sweep, _ = stacked(penalties_of(objective, None), _trees.floating(objective.params))
        coefficients = jax.tree.map(lambda leaf: leaf[0], (sweep.alpha, sweep.beta))
        weight = _steps.total_weight(objective.traced_losses, objective.params, objective.data)
        inputs = _steps.Inputs(objective.data, objective.params, weight, coefficients, None)
        same = objective.traced_losses, objective.reduction
        program = _steps.Program(*same, optimizer, batch_size, objective.n, record_every=1)
        ts = jax.random.uniform(key_t, (steps,), np.promote_types(objective.dtype, np.float32))
        order = None if batch_size is None else _steps.batch_order(key_order, objective.n, batch_size, steps)
        bends, values, finite = _connecting.trained(program, kind, inputs, ends, starts, ts, order)
    coords = {
        "step": ("step", np.arange(steps), {"long_name": "step", "units": "1"}),
        "t": ("step", np.asarray(ts), {"long_name": "where on the curve", "units": "1"}),
    }
    said = {"long_name": "objective at t", "units": "1"}
    losses = xarray.DataArray(np.asarray(values), coords, ("step",), "losses", said)
    return [ends[0], *(_trees.merged(bend, ends[0]) for bend in bends), ends[1]], losses, bool(finite)


def _check_batch_size(batch_size: int | None, objective: Objective) -> None:
    if batch_size is not None and _checks.count("batch_size", batch_size) > objective.n:
        raise ValueError(
            f"`batch_size` is {batch_size} but there are {objective.n} examples; leave it out for full batches."
        )


@jax.jit
def _point(chart: Chart, t: Array) -> Params:
    return chart.point((t,))


def _at(chart: Chart, t: float) -> Params:
    return _point(chart, np.asarray(t, _checks.default_float()))
