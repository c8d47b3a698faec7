"""`evaluate`: an objective, seen through a chart, measured on axes, becomes a labeled data set.

>>> import numpy as np, landscape as ls
>>> pair = ls.neuron(*ls.datasets.pair())
>>> plane = ls.axes_plane(pair.params, "w", "b")
>>> surface = ls.evaluate(pair, plane, {"w": np.linspace(-10, 10, 41), "b": np.linspace(-5, 5, 21)})
>>> surface.risk.dims, surface.risk.shape
(('w', 'b'), (41, 21))
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.objectives.objective import Batch, Objective, check_objective, num_examples
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _plan, _tiles
from landscape.surfaces.progress import Progress
from landscape.surfaces.provenance import describe
from landscape.surfaces.quantities import BUILT_IN, Point, Quantity, Risk
from landscape.surfaces.sweep import Sweep, penalties_of, stacked, sweep_coordinates

if TYPE_CHECKING:
    import xarray

PER_PENALTY = ("penalty_value", "penalty_unit", "objective", "gradient_norm")


def evaluate(
    objective: Objective,
    chart: Chart,
    axes: Mapping[str, Any],
    *,
    quantities: Sequence[str | Quantity] = ("risk",),
    penalties: Mapping[str, Penalty] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = "highest",
    progress: bool | None = None,
) -> xarray.Dataset:
    """Measure the objective at every point of a grid on a chart.

    axes:        coordinate name -> 1-D positions, any spacing, 1 to 3 of them: all of the chart's names. The result's
                 dimensions follow the order of this mapping.
    quantities:  names out of "risk_stderr", "risk_gradient_norm", "gradient_norm", "slope", and own `Quantity` objects.
    penalties:   label -> Penalty, a sweep: replaces the objective's own penalty and adds the dimension `penalty` in
                 front. Risk and its gradient are computed once a cell however many there are.
    batch_size:  examples at a time; chosen from `memory` by default.
    memory:      bytes that temporaries may take (default 2 GiB on CPU).
    precision:   of matrix products, "highest" unless asked otherwise (JAX's default is TF32 on NVIDIA and
                 bfloat16 on TPU).
    progress:    show a bar; by default where a run lasts over two seconds and standard error is a terminal.

    Returns a Dataset over the axes:
        risk, objective, penalty_value, penalty_unit (penalty at strength 1), finite            always
        risk_stderr          standard error of the mean risk, sd(lᵢ)/√n (NaN for one example)
        risk_gradient_norm   ‖∇R‖ over ALL params, not only in the chart
        gradient_norm        minimum norm over the subdifferential of R + Ω; comes with risk_gradient_norm
        slope                in-chart gradient of the risk, with a last dimension `coordinate`
    objective, penalty_* and gradient_norm carry `penalty` in a sweep. NaN and inf stay as they are, and `finite` is
    False there.
    Attributes hold the provenance: versions, device, dtype, precision, fingerprints, plan and wall time.
    Raises: ValueError or TypeError, naming the argument.
    """
    started = time.perf_counter()
    check_objective(objective)
    grid_axes = _checked_axes(chart, axes)
    measures = _measures(objective, quantities)
    sweep, units = stacked(penalties_of(objective, penalties), objective.params)
    _check_options(batch_size, memory, precision)
    _checks.x64_matches("objective", objective.params)
    _chart.check_fits("chart", chart, objective.params)
    _warn_below_resolution(chart, grid_axes)
    gradient = any(name in quantities for name in ("risk_gradient_norm", "gradient_norm", "slope"))
    plan = _plan.plan(objective, tuple(len(a) for a in grid_axes.values()), batch_size, memory, gradient)
    order = tuple(list(grid_axes).index(name) for name in chart.names)
    dtype = max((_trees.wide(leaf) for leaf in jax.tree.leaves(objective.params)), key=lambda d: d.itemsize)
    positions = tuple(_cast(name, a, dtype) for name, a in grid_axes.items())
    shape = _tiles.tile_shape(tuple(len(a) for a in grid_axes.values()), plan.tile_cells)

    def compute(positions: tuple[np.ndarray, ...]) -> Mapping[str, np.ndarray]:
        return jax.device_get(_tile(measures, plan, order, units, chart, objective.data, sweep, positions))

    with (
        jax.default_matmul_precision(precision),
        Progress(math.prod(map(len, grid_axes.values())), "cells", progress) as bar,
    ):
        values = _tiles.run(compute, positions, shape, bar.update)
    attributes = describe(objective, penalties) | {
        "kind": "surface",
        "dtype": str(values["risk"].dtype),
        "chart": _chart.to_json(chart),
        "chart_id": _chart.chart_id(chart),
        "precision": precision,
        "cells_in_flight": plan.in_flight,
        "tile_shape": list(shape),
        "batch_size": plan.batch_size,
    }
    return _dataset(grid_axes, chart, values, penalties, units, attributes, started)


@partial(jax.jit, static_argnames=("measures", "plan", "order", "units"))
def _tile(
    measures: tuple[Quantity, ...],
    plan: _plan.Plan,
    order: tuple[int, ...],
    units: tuple[int, ...],
    chart: Chart,
    data: Batch,
    sweep: Sweep,
    positions: tuple[Array, ...],
) -> dict[str, Array]:
    """All cells of one tile, vmapped `plan.in_flight` at a time, chunk after chunk; arrays end with its shape."""
    shape = tuple(len(p) for p in positions)
    grid = jnp.stack([c.reshape(-1) for c in jnp.meshgrid(*positions, indexing="ij")], axis=1)  # (cells, k)
    cells = math.prod(shape)
    chunks = -(-cells // plan.in_flight)
    padded = jnp.concatenate([grid, jnp.broadcast_to(grid[-1:], (chunks * plan.in_flight - cells, len(shape)))])
    cell = jax.vmap(partial(_cell, measures, plan.batch_size, order, chart, data, sweep), out_axes=-1)

    # Not lax.map: it would stack the chunks in front, and putting the cells last then copies everything once more.
    def fill(i: Array, filled: dict[str, Array]) -> dict[str, Array]:
        start = i * plan.in_flight
        values = cell(jax.lax.dynamic_slice_in_dim(padded, start, plan.in_flight))
        return {k: jax.lax.dynamic_update_slice_in_dim(v, values[k], start, axis=-1) for k, v in filled.items()}

    shapes = jax.eval_shape(cell, padded[: plan.in_flight])
    empty = {k: jnp.zeros((*v.shape[:-1], chunks * plan.in_flight), v.dtype) for k, v in shapes.items()}
    out = jax.lax.fori_loop(0, chunks, fill, empty)
    out = {name: values[..., :cells].reshape(*values.shape[:-1], *shape) for name, values in out.items()}
    return _spread(out, units, sweep.strengths)


def _spread(out: dict[str, Array], units: tuple[int, ...], strengths: Array | np.ndarray) -> dict[str, Array]:
    """Add what follows from risk and penalty_unit, (P, …): outside the loop over cells, in one pass over memory."""
    unit = out["penalty_unit"]  # (U, …)
    if len(unit) == 1:
        spread = jnp.broadcast_to(unit, (len(units), *unit.shape[1:]))
    else:
        spread = jnp.stack([unit[u] for u in units])
    strengths = jnp.asarray(strengths, unit.dtype).reshape(-1, *[1] * (unit.ndim - 1))
    value = jnp.where(strengths > 0, strengths * spread, 0)  # 0·∞ is NaN, but no penalty is no penalty
    out["penalty_value"], out["objective"] = value, out["risk"][None] + value
    return out


def _cell(
    measures: tuple[Quantity, ...],
    batch_size: int,
    order: tuple[int, ...],
    chart: Chart,
    data: Batch,
    sweep: Sweep,
    positions: Array,
) -> dict[str, Array]:
    """Everything measured at one point: a pure function of its coordinates."""
    coordinates = positions[jnp.asarray(order)]
    point = Point(chart.point(tuple(coordinates)), coordinates, chart)
    out: dict[str, Array] = {}
    for measure in measures:
        sums = _over_batches(partial(measure.accumulate, point), measure.merge, data, batch_size)
        new = measure.finish(point, sums, sweep)
        taken = sorted(set(new) & {*out, *chart.names, *(() if measure is measures[0] else _chart.RESERVED)})
        if taken:
            raise ValueError(
                f"`quantities`: {measure!r} calls a result {taken[0]!r}, a name that is taken; choose another."
            )
        out |= new
    # The penalty grows with its strength: where the largest is finite, all are. (One number a cell, not one a penalty.)
    largest = sweep.largest.astype(out["risk"].dtype)
    highest = out["risk"] + jnp.max(jnp.where(largest > 0, largest * out["penalty_unit"], 0))
    left_out = ("risk_stderr", "penalty_unit", "gradient_norm")
    checked = [highest, *(values for name, values in out.items() if name not in left_out)]
    return out | {"finite": jnp.stack([jnp.isfinite(values).all() for values in checked]).all()}


def _over_batches(
    accumulate: Callable[[Batch], Any], merge: Callable[[Any, Any], Any], data: Batch, batch_size: int
) -> Any:
    """Merge accumulate(batch) over the data in order; the last batch may be short."""
    n = num_examples(data)
    whole = n // batch_size
    if whole == 1 and n == batch_size:
        return accumulate(data)
    batches = jax.tree.map(lambda a: a[: whole * batch_size].reshape(whole, batch_size, *a.shape[1:]), data)
    sums = accumulate(jax.tree.map(lambda a: a[0], batches))
    sums, _ = jax.lax.scan(
        lambda so_far, batch: (merge(so_far, accumulate(batch)), None), sums, jax.tree.map(lambda a: a[1:], batches)
    )
    if n % batch_size:
        sums = merge(sums, accumulate(jax.tree.map(lambda a: a[whole * batch_size :], data)))
    return sums


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


def _check_options(batch_size: int | None, memory: int | None, precision: str) -> None:
    _checks.precision(precision)
    if batch_size is not None:
        _checks.count("batch_size", batch_size)
    if memory is not None:
        _checks.count("memory", memory, least=2**20, unit=" bytes")


def _measures(objective: Objective, quantities: Sequence[str | Quantity]) -> tuple[Quantity, ...]:
    if isinstance(quantities, str):
        raise TypeError(f"`quantities` is the string {quantities!r}; give a tuple, ({quantities!r},).")
    _checks.instance("quantities", quantities, Iterable, 'a tuple of names and own quantities, such as ("slope",)')
    quantities = tuple(quantities)
    names = [q for q in quantities if isinstance(q, str)]
    for name in names:
        _checks.one_of("quantities", name, BUILT_IN)
    norm = "gradient_norm" in names or "risk_gradient_norm" in names
    risk = Risk(objective.losses, objective.reduction, "risk_stderr" in names, norm, "slope" in names)
    own = tuple(q for q in quantities if not isinstance(q, str))
    for quantity in own:
        methods = (hasattr(quantity, method) for method in ("accumulate", "merge", "finish"))
        if isinstance(quantity, type) or not all(methods):
            raise TypeError(
                f"`quantities` holds {quantity!r}; give a name out of {', '.join(BUILT_IN)}, or an object with "
                "accumulate, merge and finish (see landscape.surfaces.quantities)."
            )
        _checks.hashable("quantities", quantity)
    return (risk, *own)


def _warn_below_resolution(chart: Chart, axes: dict[str, np.ndarray]) -> None:
    """Where a step of an axis is lost in the rounding of a leaf, neighboring cells are the same point."""
    directions, origin = getattr(chart, "directions", ()), getattr(chart, "origin", None)
    for name, direction in zip(chart.names, directions, strict=False):
        steps = np.diff(np.sort(axes[name].astype(np.float64)))
        if not len(steps):
            continue
        leaves = _trees.named_leaves(origin)
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


def _dataset(
    axes: dict[str, np.ndarray],
    chart: Chart,
    values: dict[str, np.ndarray],
    penalties: Mapping[str, Penalty] | None,
    units: tuple[int, ...],
    attributes: dict[str, Any],
    started: float,
) -> xarray.Dataset:
    import xarray

    variables = {}
    for name, array in values.items():
        extra = array.shape[: array.ndim - len(axes)]
        dims: tuple[str, ...] = tuple(f"{name}_{i}" for i in range(len(extra))) + tuple(axes)
        if name == "penalty_unit":
            # A view: the same numbers for every strength of one kind of penalty.
            array = np.broadcast_to(array, (len(units), *array.shape[1:])) if len(array) == 1 else array[list(units)]
        if name in PER_PENALTY:
            dims, array = (tuple(axes), array[0]) if penalties is None else (("penalty", *axes), array)
        elif name == "slope":
            dims, array = (*axes, "coordinate"), np.moveaxis(array, 0, -1)
        variables[name] = (dims, array, {"long_name": BUILT_IN.get(name, name), "units": "1"})
    coords: dict[str, Any] = {name: (name, a, {"long_name": name, "units": "1"}) for name, a in axes.items()}
    if penalties is not None:
        coords |= sweep_coordinates(penalties)
    if "slope" in values:
        coords["coordinate"] = ("coordinate", list(chart.names))
    attributes["wall_seconds"] = round(time.perf_counter() - started, 6)
    return xarray.Dataset(variables, coords, attributes)
