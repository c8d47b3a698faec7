"""A task: what `evaluate` and `explain` are given, checked, and how it will be run, chosen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.charts.plane import Plane
from landscape.charts.resolution import resolutions
from landscape.objectives import data as _data
from landscape.objectives import tracing
from landscape.objectives.data import Batch, Batches, num_examples
from landscape.objectives.models import NeuronLosses
from landscape.objectives.objective import Objective, check_objective
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _cells, _plan
from landscape.surfaces._cells import Measures
from landscape.surfaces._compressed import Compression, check_tolerance, compressed
from landscape.surfaces._curved import CURVATURES, FEW, curved, iterates, passes
from landscape.surfaces.quantities import (
    BUILT_IN,
    GRADIENTS,
    Accuracy,
    Metric,
    Point,
    Quantity,
    Risk,
    VersionedQuantity,
)
from landscape.surfaces.sweep import Sweep, penalties_of, stacked
from landscape.tiles.tiling import tile_shape

EVALUATION = "evaluation"  # the dimension of scattered points
VECTORS = 8  # like the params, that products with the Hessian hold
LISTED = 256  # of them in a tile, most of which may be missing, so that one program serves any number


class Scattered(NamedTuple):
    """Points (P, k) of a chart, in the order of its names, in place of the axes of a grid."""

    points: np.ndarray


class Task(NamedTuple):
    """A grid that is about to be measured: everything checked, everything chosen."""

    objective: Objective
    chart: Chart
    data: Batch  # the objective's, or nodes in their place; a copy where a device has its own
    axes: dict[str, np.ndarray]  # or {EVALUATION: points (P, k)}
    positions: tuple[np.ndarray, ...]  # the same in the dtype that is computed in
    measures: Measures
    sweep: Sweep
    plan: _plan.Plan
    n: float  # examples, or nodes; infinity where they have not been counted
    tile_shape: tuple[int, ...]
    cost: _cells.Cost
    sizes: _plan.Sizes
    compression: Compression

    @property
    def hoists(self) -> bool:
        """Whether anything is computed once a batch."""
        return self.plan.hoist and len(self.cost.terms) > 0


def planned(
    objective: Objective,
    chart: Chart,
    axes: Mapping[str, Any] | Scattered,
    quantities: Sequence[str | Quantity],
    penalties: Mapping[str, Penalty] | None,
    batch_size: int | None,
    memory: int | None,
    tolerance: float | None = None,
    exact: bool = False,
    parts: int = 0,
) -> Task:
    """Check what `evaluate` is given and choose how to run it.

    parts: so many processes share a store; 0 where tiles are not stored.
    """
    check_objective(objective)
    if batch_size is not None:
        _checks.count("batch_size", batch_size)
        if objective.prepare is not None:
            raise ValueError(
                "`batch_size` is a part of the objective where params are prepared, because other batches have other "
                f"statistics: give Objective prepare_batch_size={batch_size} instead."
            )
    if memory is not None:
        _checks.count("memory", memory, least=2**20, unit=" bytes")
    scattered = isinstance(axes, Scattered)
    _chart.check("chart", chart)
    grid_axes = {EVALUATION: axes.points} if isinstance(axes, Scattered) else _checks.axes(chart.names, axes)
    own = penalties_of(objective, penalties)
    sweep, units = stacked(own, _trees.floating(objective.params))
    # Of a large model without penalties not even the params are read; a small one is compiled once for all penalties.
    large = sum(leaf.nbytes for leaf in jax.tree.leaves(_trees.floating(objective.params))) > 2**12
    if large and not any(penalty.terms for penalty in own):
        sweep = sweep._replace(alpha=None, beta=None, unit_alpha=None, unit_beta=None)
    _checks.x64_matches("objective", objective.params)
    _chart.check_fits("chart", chart, objective.params)
    if not scattered:
        _warn_below_resolution(chart, grid_axes)
    order = tuple(range(len(chart.names)) if scattered else (list(grid_axes).index(name) for name in chart.names))
    measures = _measures(objective, chart, quantities, order, units, sweep)
    dtype = _dtype(objective)
    positions = tuple(_cast(name, a, dtype) for name, a in grid_axes.items())
    grid = (LISTED,) if scattered else tuple(len(a) for a in grid_axes.values())
    _checks.instance("exact", exact, bool, "True or False")
    if exact and tolerance is not None:
        raise ValueError("`tolerance` is that of compressed examples, and exact=True compresses none; leave one out.")
    check_tolerance(tolerance, dtype)
    limits = (dtype, math.prod(grid), batch_size, memory, parts)
    data = objective.data
    plan, cost, sizes = _plan_for(objective.params, data, chart, measures, *limits)
    compression = Compression("as exact=True asks")
    if not exact:
        compression, nodes = compressed(objective, chart, positions, measures, sizes.work, tolerance)
        if nodes is not None:
            data, measures = nodes, measures._replace(risk=measures.risk.over_nodes(objective.losses))
            plan, cost, sizes = _plan_for(objective.params, data, chart, measures, *limits)
    n = math.inf if isinstance(data, Batches) else num_examples(data)
    shape = tile_shape(grid, plan.tile_cells)
    plan = plan._replace(in_flight=min(plan.in_flight, math.prod(shape)))
    return Task(objective, chart, data, grid_axes, positions, measures, sweep, plan, n, shape, cost, sizes, compression)


def _plan_for(
    params: Params,
    data: Batch,
    chart: Chart,
    measures: Measures,
    dtype: Any,
    cells: int,
    batch_size: int | None,
    memory: int | None,
    parts: int,
) -> tuple[_plan.Plan, _cells.Cost, _plan.Sizes]:
    first = _data.first_batch(data)
    given = num_examples(first)
    n, most = (math.inf, data.largest) if isinstance(data, Batches) else (given, given)
    if measures.preparation is not None:
        batch_size = given  # the losses loop over batches themselves
    size = given
    for _ in range(2):  # what pays, and what is held, is counted again on a batch as large as was chosen
        batch = jax.tree.map(lambda leaf, size=size: jax.ShapeDtypeStruct((size, *leaf.shape[1:]), leaf.dtype), first)
        cost = _cells.cost(measures, _trees.shapes(chart), _trees.shapes(batch), np.dtype(dtype))
        sizes = _sizes(params, data, measures, cost, size)
        plan = _plan.plan(sizes, cells, n, batch_size, memory, most, parts)
        if plan.batch_size == size:
            break
        size = batch_size = plan.batch_size
    return plan, cost, sizes


def _sizes(params: Params, data: Batch, measures: Measures, cost: _cells.Cost, examples: int) -> _plan.Sizes:
    """What a cell holds, counted on so many examples."""
    first = _data.first_batch(data)
    rows = sum(math.prod(leaf.shape[1:]) * leaf.dtype.itemsize for leaf in jax.tree.leaves(first))
    risk, count = measures.risk, cost.hoisted
    if measures.curved is not None:
        vectors = 1 if iterates(params) else FEW  # multiplied at a time
        count = count._replace(live=(2 + 2 * vectors) * count.live)
    slope = risk.hessian or (risk.slope and not risk.gradient_norm)
    largest = max(4.0, count.largest / examples)  # at least one float
    own = sum(leaf.nbytes for leaf in jax.tree.leaves(_trees.floating(params)))
    repeats = 1 if measures.curved is None else passes(params)
    return _plan.Sizes(
        largest=largest,
        live=max(3 * largest, count.live / examples) * (3 if risk.hessian else 2 if slope or risk.gradient_norm else 1),
        terms=cost.kept / examples,
        row=0 if _data.in_memory(data) else rows,
        params=own * (1 + risk.gradient_norm + (VECTORS if measures.curved is not None else 0)),
        sums=max(4, sum(math.prod(s.shape) * s.dtype.itemsize for s in jax.tree.leaves(cost.sums))),
        one_by_one=cost.grouped or (measures.curved is not None and iterates(params)),
        work=repeats * count.weighted / examples,
        repeats=repeats,
    )


def _dtype(objective: Objective) -> np.dtype:
    """What coordinates are computed in: float32 or wider."""
    return np.promote_types(objective.dtype, np.float32) if objective.dtype.itemsize >= 4 else np.dtype(np.float32)


def _cast(name: str, axis: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The positions in the dtype they are used in; a warning where they run together, an error where they overflow."""
    with np.errstate(over="ignore"):
        cast = axis.astype(dtype)
    if not np.isfinite(cast).all():
        raise ValueError(
            f"`axes[{name!r}]` reaches {np.abs(axis).max():.1e}, which overflows {dtype}; take a smaller range."
        )
    if axis.ndim == 1 and len(np.unique(cast)) < len(np.unique(axis)):
        warnings.warn(
            f"`axes[{name!r}]` has positions that are equal in {dtype}: cells will repeat. "
            "Use a wider step, or float64.",
            UserWarning,
            stacklevel=5,  # of who calls `evaluate`
        )
    return cast


def _measures(
    objective: Objective,
    chart: Chart,
    quantities: Sequence[str | Quantity],
    order: tuple[int, ...],
    units: tuple[int, ...],
    sweep: Sweep,
) -> Measures:
    own, names = _checked_quantities(quantities)
    if "accuracy" in names:
        own.insert(0, Metric("accuracy", _accuracy(objective)))
    norm = any(name in names for name in GRADIENTS)
    mean = "mean_curvature" in names
    if mean and not isinstance(chart, Plane):
        raise ValueError(
            f'`quantities` has "mean_curvature", but the chart is {_checks.kind(chart)}: off planes, second '
            "derivatives by coordinates are no curvatures. Take a Plane, or plane_hessian for what it is."
        )
    flags = ("risk_stderr" in names, norm, "slope" in names, mean or "plane_hessian" in names, mean)
    risk = Risk(objective.traced_losses, objective.reduction, *flags)
    fixed = tuple(_fixed(quantity, objective, chart, sweep) for quantity in own)
    curvature = curved(objective, sweep) if any(name in CURVATURES for name in names) else None
    return Measures(risk, fixed, objective.preparation, curvature, order, units)


def _checked_quantities(quantities: Any) -> tuple[list[Quantity], list[str]]:
    """Quantities of one's own, and the names of built-in ones."""
    if isinstance(quantities, str):
        raise TypeError(f"`quantities` is the string {quantities!r}; give a tuple, ({quantities!r},).")
    _checks.instance("quantities", quantities, Iterable, 'a tuple of names and own quantities, such as ("slope",)')
    quantities = tuple(quantities)
    names = [q for q in quantities if isinstance(q, str)]
    for name in names:
        _checks.one_of("quantities", name, BUILT_IN)
    own: list[Quantity] = [q for q in quantities if not isinstance(q, str)]
    for quantity in own:
        methods = (hasattr(quantity, method) for method in ("accumulate", "merge", "finish"))
        if isinstance(quantity, type) or not all(methods):
            raise TypeError(
                f"`quantities` holds {quantity!r}; give a name out of {', '.join(BUILT_IN)}, an ls.Metric, or an "
                "object with accumulate, merge and finish (see landscape.surfaces.quantities)."
            )
    return own, names


def _fixed(quantity: Quantity, objective: Objective, chart: Chart, sweep: Sweep) -> VersionedQuantity:
    """A quantity as it computes now: traced at every call, since what it reads may have changed."""
    name = quantity.name if isinstance(quantity, Metric) else "quantities"
    if isinstance(quantity, Metric) and isinstance(quantity.f, Accuracy):
        name = "predict"
        _checks.hashable(name, quantity.f.predict)
    _checks.hashable(name, quantity)

    def measure(params: Params, coordinates: Array, chart: Chart, batch: Batch, sweep: Sweep) -> Any:
        given = params if objective.preparation is None else objective.preparation(params, batch)
        point = Point(given, coordinates, chart)
        sums = quantity.accumulate(point, batch)
        return quantity.finish(point, quantity.merge(sums, sums), sweep)

    shapes = (_trees.from_shapes(_trees.shapes(t)) for t in (chart, _data.first_batch(objective.data), sweep))
    coordinates = jax.ShapeDtypeStruct((len(chart.names),), _dtype(objective))
    params = _trees.from_shapes(_trees.shapes(objective.params))
    traced = tracing.traced(name, measure, params, coordinates, *shapes)
    return VersionedQuantity(quantity, f"{', '.join(traced.out)} {traced.version}")


def _accuracy(objective: Objective) -> Accuracy:
    batch = _data.first_batch(objective.data)
    sizes = (2, 3) if isinstance(objective.losses, NeuronLosses) else (2,)  # a neuron's may be (x, labels, weights)
    pair = isinstance(batch, (tuple, list)) and len(batch) in sizes
    if objective.predict is None or not pair:
        what = (
            "an objective with predict(params, x)" if objective.predict is None else "data that are a pair (x, labels)"
        )
        raise ValueError(f'`quantities` has "accuracy", which needs {what}; else write an ls.Metric.')
    out = jax.eval_shape(objective.traced_losses, objective.params, batch)
    return Accuracy(objective.predict, objective.losses if isinstance(out, tuple) else None)


def _warn_below_resolution(chart: Chart, axes: dict[str, np.ndarray]) -> None:
    """Where a step of an axis is lost in the rounding of a leaf, neighboring cells are the same point."""
    for name, leaves in zip(chart.names, resolutions(chart), strict=True) if isinstance(chart, Plane) else ():
        step = np.diff(np.sort(axes[name].astype(np.float64))).min(initial=np.inf)
        coarse = next((leaf for leaf in leaves if step < leaf.step), None)
        if coarse is not None:
            warnings.warn(
                f"a step of `axes[{name!r}]` moves the leaf {coarse.leaf!r} by {step * coarse.move:.1e}, below the "
                f"resolution of {coarse.dtype} at {coarse.size:.1e}: cells will repeat. Use a wider step or float64.",
                UserWarning,
                stacklevel=4,  # of who calls `evaluate`
            )
            return
