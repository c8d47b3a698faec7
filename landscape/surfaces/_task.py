"""A task: what `evaluate` and `explain` are given, checked, and how it will be run, chosen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _checks, _trees
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.objectives import data as _data
from landscape.objectives.data import Batches, num_examples
from landscape.objectives.objective import Objective, check_objective
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _cells, _plan, _tiles
from landscape.surfaces._cells import Measures, Prepared
from landscape.surfaces.quantities import BUILT_IN, GRADIENTS, Accuracy, Metric, Quantity, Risk
from landscape.surfaces.sweep import Sweep, penalties_of, stacked


class Task(NamedTuple):
    """A grid that is about to be measured: everything checked, everything chosen."""

    objective: Objective
    chart: Chart
    axes: dict[str, np.ndarray]
    positions: tuple[np.ndarray, ...]  # the same in the dtype that is computed in
    measures: Measures
    sweep: Sweep
    plan: _plan.Plan
    n: float  # examples; infinity where they have not been counted
    tile_shape: tuple[int, ...]
    cost: _cells.Cost


def planned(
    objective: Objective,
    chart: Chart,
    axes: Mapping[str, Any],
    quantities: Sequence[str | Quantity],
    penalties: Mapping[str, Penalty] | None,
    batch_size: int | None,
    memory: int | None,
) -> Task:
    """Check what `evaluate` is given and choose how to run it."""
    check_objective(objective)
    if batch_size is not None:
        _checks.count("batch_size", batch_size)
    if memory is not None:
        _checks.count("memory", memory, least=2**20, unit=" bytes")
    grid_axes = _checked_axes(chart, axes)
    own = penalties_of(objective, penalties)
    sweep, units = stacked(own, _trees.floating(objective.params))
    # Of a large model without penalties not even the params are read; a small one is compiled once for all penalties.
    large = sum(leaf.nbytes for leaf in jax.tree.leaves(_trees.floating(objective.params))) > 2**16
    if large and not any(penalty.terms for penalty in own):
        sweep = sweep._replace(alpha=None, beta=None, unit_alpha=None, unit_beta=None)
    _checks.x64_matches("objective", objective.params)
    _chart.check_fits("chart", chart, objective.params)
    _warn_below_resolution(chart, grid_axes)
    order = tuple(list(grid_axes).index(name) for name in chart.names)
    measures = _measures(objective, quantities, batch_size, order, units)
    dtype = np.promote_types(objective.dtype, np.float32) if objective.dtype.itemsize >= 4 else np.dtype(np.float32)
    positions = tuple(_cast(name, a, dtype) for name, a in grid_axes.items())
    grid = tuple(len(a) for a in grid_axes.values())
    n = math.inf if isinstance(objective.data, Batches) else objective.n
    plan, cost = _plan_for(objective, chart, measures, dtype, math.prod(grid), batch_size, memory)
    shape = _tiles.tile_shape(grid, plan.tile_cells)
    return Task(objective, chart, grid_axes, positions, measures, sweep, plan, n, shape, cost)


def _plan_for(
    objective: Objective,
    chart: Chart,
    measures: Measures,
    dtype: Any,
    cells: int,
    batch_size: int | None,
    memory: int | None,
) -> tuple[_plan.Plan, _cells.Cost]:
    data = objective.data
    batch = _data.first_batch(data)
    traced = num_examples(batch)
    cost = _cells.cost(measures, _trees.shapes(chart), _trees.shapes(batch), np.dtype(dtype))
    count = cost.hoisted
    terms = sum(math.prod(t.shape) * t.dtype.itemsize for t in cost.terms)
    params = sum(leaf.nbytes for leaf in jax.tree.leaves(_trees.floating(objective.params)))
    sums = sum(math.prod(s.shape) * s.dtype.itemsize for s in jax.tree.leaves(cost.sums))
    risk, k = measures.risk, len(chart.names)
    slope = risk.hessian or (risk.slope and not risk.gradient_norm)
    sizes = _plan.Sizes(
        largest=max(count.intermediates, default=0) / traced,
        all=sum(count.intermediates) / traced,
        terms=terms / traced,
        params=params * (1 + risk.gradient_norm),
        sums=max(sums, 4),
        gradient=risk.gradient_norm,
        streams=1 + k * slope + k * (k + 1) // 2 * risk.hessian,
        grouped=cost.grouped,
    )
    if measures.prepare is not None:
        batch_size = traced  # the losses loop over batches themselves
    elif isinstance(data, Batches):
        return _plan.plan(sizes, cells, math.inf, traced, memory, resident=False), cost
    return _plan.plan(sizes, cells, traced, batch_size, memory, _data.in_memory(data)), cost


def _checked_axes(chart: Chart, axes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    _chart.check("chart", chart)
    if not isinstance(axes, Mapping):
        raise TypeError(
            f"`axes` is a {type(axes).__name__}; give a mapping, {{{chart.names[0]!r}: np.linspace(-1, 1, 51), …}}."
        )
    missing, unknown = [n for n in chart.names if n not in axes], [n for n in axes if n not in chart.names]
    if missing or unknown:
        wrong = {"missing": missing, "unknown": unknown}
        listed = "; ".join(f"{what}: {', '.join(map(repr, names))}" for what, names in wrong.items() if names)
        raise ValueError(
            f"`axes` must name the chart's coordinates, {', '.join(chart.names)}; {listed}. "
            "Give every coordinate a 1-D array of positions."
        )
    if len(axes) > 3:
        raise ValueError(
            f"`axes` has {len(axes)} coordinates; a grid has 1 to 3: its cost grows exponentially with them."
        )
    return {name: _checks.axis(name, values) for name, values in axes.items()}


def _cast(name: str, axis: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The positions in the dtype they are used in; a warning where they run together, an error where they overflow."""
    with np.errstate(over="ignore"):
        cast = axis.astype(dtype)
    if not np.isfinite(cast).all():
        raise ValueError(
            f"`axes[{name!r}]` reaches {np.abs(axis).max():.1e}, which overflows {dtype}; take a smaller range."
        )
    if len(np.unique(cast)) < len(np.unique(axis)):
        warnings.warn(
            f"`axes[{name!r}]` has positions that are equal in {dtype}: cells will repeat. "
            "Use a wider step, or float64.",
            UserWarning,
            stacklevel=3,
        )
    return cast


def _measures(
    objective: Objective,
    quantities: Sequence[str | Quantity],
    batch_size: int | None,
    order: tuple[int, ...],
    units: tuple[int, ...],
) -> Measures:
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
        _checks.hashable("quantities", quantity)
    if "accuracy" in names:
        own.insert(0, Metric("accuracy", Accuracy(_predict_of(objective))))
    losses = objective.losses
    if objective.prepare is not None:
        losses = Prepared(losses, objective.prepare, _preparing_size(objective.n, batch_size))
    norm = any(name in names for name in GRADIENTS)
    flags = ("risk_stderr" in names, norm, "slope" in names, "plane_hessian" in names)
    return Measures(Risk(losses, objective.reduction, *flags), tuple(own), objective.prepare, order, units)


def _preparing_size(n: int, batch_size: int | None) -> int:
    if batch_size is not None and n % batch_size:
        raise ValueError(
            f"`batch_size` is {batch_size}, which does not divide the {n} examples; `prepare` is given whole batches. "
            "Choose a divisor, or leave it out for one batch of all."
        )
    return batch_size or n


def _predict_of(objective: Objective) -> Any:
    pair = isinstance(_data.first_batch(objective.data), (tuple, list)) and len(_data.first_batch(objective.data)) == 2
    if objective.predict is None or not pair:
        what = (
            "an objective with predict(params, x)" if objective.predict is None else "data that are a pair (x, labels)"
        )
        raise ValueError(f'`quantities` has "accuracy", which needs {what}; else write an ls.Metric.')
    return objective.predict


def _warn_below_resolution(chart: Chart, axes: dict[str, np.ndarray]) -> None:
    """Where a step of an axis is lost in the rounding of a leaf, neighboring cells are the same point."""
    directions, origin = getattr(chart, "directions", ()), getattr(chart, "origin", None)
    for name, direction in zip(chart.names, directions, strict=False):
        steps = np.diff(np.sort(axes[name].astype(np.float64)))
        if not len(steps):
            continue
        leaves = _trees.named_leaves(_trees.floating(origin))
        for (leaf_name, leaf), d in zip(leaves.items(), jax.tree.leaves(direction), strict=True):
            # In float32: of a large model no second copy is made. Only entries that the axis moves count.
            moves, sizes = steps.min() * np.abs(np.asarray(d, np.float32)), np.abs(np.asarray(leaf, np.float32))
            moved = moves > 0
            if moved.any() and (moves[moved] < float(jnp.finfo(leaf.dtype).eps) * sizes[moved]).all():
                move, size = float(moves.max()), float(sizes[moved].max())
                warnings.warn(
                    f"a step of `axes[{name!r}]` moves the leaf {leaf_name!r} by {move:.1e}, below the resolution of "
                    f"{leaf.dtype} at {size:.1e}: cells will repeat. Use a wider step or float64.",
                    UserWarning,
                    stacklevel=3,
                )
                return
