"""`evaluate`: an objective, seen through a chart, measured on axes, becomes a labeled data set.

>>> import numpy as np, landscape as ls
>>> pair = ls.neuron(*ls.datasets.pair())
>>> plane = ls.axes_plane(pair.params, "w", "b")
>>> surface = ls.evaluate(pair, plane, {"w": np.linspace(-10, 10, 41), "b": np.linspace(-5, 5, 21)})
>>> surface.risk.dims, surface.risk.shape
(('w', 'b'), (41, 21))
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from landscape import _checks
from landscape.charts import axes as _axes
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.objectives import data as _data
from landscape.objectives.data import Batch, Batches, num_examples
from landscape.objectives.objective import Objective, check_objective
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _cells, _plan, _tiles
from landscape.surfaces._task import Task, planned
from landscape.surfaces.progress import Progress
from landscape.surfaces.provenance import describe
from landscape.surfaces.quantities import BUILT_IN, GRADIENTS, Quantity
from landscape.surfaces.sweep import sweep_coordinates

if TYPE_CHECKING:
    import xarray

PER_PENALTY = ("penalty_value", "penalty_unit", "objective", "gradient_norm")
WITHOUT_DATA = ("penalty_value", "penalty_unit")
REQUESTED = ("risk_stderr", *GRADIENTS, "slope", "plane_hessian", "accuracy")


def evaluate(
    objective: Objective,
    chart: Chart,
    axes: Mapping[str, Any],
    *,
    quantities: Sequence[str | Quantity] = ("risk",),
    penalties: Mapping[str, Penalty] | None = None,
    data: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = "highest",
    progress: bool | None = None,
) -> xarray.Dataset:
    """Measure the objective at every point of a grid on a chart.

    axes:        coordinate name -> 1-D positions, any spacing, 1 to 3 of them: all of the chart's names. The result's
                 dimensions follow the order of this mapping.
    quantities:  names out of "risk_stderr", "accuracy", "slope", "plane_hessian", "risk_gradient_norm",
                 "gradient_norm"; `Metric`s and own `Quantity` objects.
    penalties:   label -> Penalty, a sweep: replaces the objective's own penalty and adds the dimension `penalty` in
                 front. Risk and its gradient are computed once a cell however many there are.
    data:        label -> data, such as {"train": (x, y), "test": (u, v)}: replaces the objective's own data and adds
                 the dimension `split` in front of the axes, where the data matter.
    batch_size:  examples at a time; chosen from `memory` by default. `Batches` come in their own sizes, and are cut
                 where they do not fit.
    memory:      bytes that temporaries may take (default 2 GiB on CPU); halved cells in flight where the device runs
                 out all the same.
    precision:   of matrix products, "highest" unless asked otherwise (JAX's default is TF32 on NVIDIA and
                 bfloat16 on TPU).
    progress:    show a bar; by default where a run lasts over two seconds and standard error is a terminal.

    Returns a Dataset over the axes:
        risk, objective, penalty_value, penalty_unit (penalty at strength 1), finite            always
        risk_stderr          standard error of the mean risk, sd(lᵢ)/√n (NaN for one example)
        risk_gradient_norm   ‖∇R‖ over ALL params, not only in the chart
        gradient_norm        minimum norm over the subdifferential of R + Ω; comes with risk_gradient_norm
        slope                in-chart gradient of the risk, with a last dimension `coordinate`
        plane_hessian        in-chart Hessian of the risk, with last dimensions `coordinate` and `coordinate_`
        accuracy             share of the examples that `objective.predict` gets right
    Whatever is affine in the coordinates is computed once a batch for all cells; `ls.explain` says what.
    objective, penalty_* and gradient_norm carry `penalty` in a sweep. NaN and inf stay as they are, and `finite` is
    False there.
    Attributes hold the provenance: versions, device, dtype, precision, fingerprints, plan and wall time. On a Plane
    those of a coordinate hold `unit_length`, the distance between params one unit apart: its direction's norm.
    Raises: ValueError or TypeError, naming the argument.
    """
    if data is not None:
        return _over_splits(
            objective,
            chart,
            axes,
            data,
            quantities=quantities,
            penalties=penalties,
            batch_size=batch_size,
            memory=memory,
            precision=precision,
            progress=progress,
        )
    started = time.perf_counter()
    _checks.precision(precision)
    task = planned(objective, chart, axes, quantities, penalties, batch_size, memory)
    with jax.default_matmul_precision(precision):
        values, plan = _measured(task, progress)
    _warn_if_nowhere_finite(values)
    attributes = describe(objective, penalties) | {
        "kind": "surface",
        "dtype": str(values["risk"].dtype),
        "chart": _chart.to_json(chart),
        "chart_id": _chart.chart_id(chart),
        "precision": precision,
        "cells_in_flight": plan.in_flight,
        "out_of_memory": "" if plan == task.plan else f"cells in flight halved from {task.plan.in_flight}",
        "tile_shape": list(task.tile_shape),
        "batch_size": plan.batch_size,
        "hoisted": task.hoists,
        "own_quantities": _own(task, values),
    }
    return _dataset(task, values, penalties, attributes, started)


def _own(task: Task, values: dict[str, np.ndarray]) -> list[str]:
    """The variables that quantities of the user's gave; an accuracy may be one."""
    accuracy = any(quantity.is_accuracy for quantity in task.measures.own)
    return [name for name in values if name not in BUILT_IN or (name == "accuracy" and not accuracy)]


def _warn_if_nowhere_finite(values: dict[str, np.ndarray]) -> None:
    """A surface of NaN is seldom what was meant; a single cell speaks for itself."""
    if values["finite"].size == 1 or values["finite"].any():
        return
    wrong = sorted(name for name, array in values.items() if name != "finite" and not np.isfinite(array).any())
    hint = (
        "probabilities and one-hot labels must be such (see `evaluate`)"
        if wrong == ["accuracy"]
        else ("are labels within the classes, params and data finite, the axes not too wide?")
    )
    warnings.warn(f"{', '.join(wrong)} finite at none of the cells: {hint}", UserWarning, stacklevel=3)


def _measured(task: Task, progress: bool | None) -> tuple[dict[str, np.ndarray], _plan.Plan]:
    """All tiles, and the plan that worked: where the device runs out of memory, half as many cells are in flight."""
    plan = task.plan
    data = task.objective.data

    def compute(positions: tuple[np.ndarray, ...]) -> Mapping[str, np.ndarray]:
        nonlocal plan
        while True:
            try:
                return _through(task, plan, positions, share)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                if plan.in_flight == 1:
                    error.add_note(
                        "landscape: one cell at a time does not fit into the device's memory; give `evaluate` a "
                        f"smaller batch_size than {plan.batch_size}."
                    )
                    raise
                plan = plan._replace(in_flight=plan.in_flight // 2)

    known = data.known if isinstance(data, Batches) else num_examples(data)
    tile, finished = math.prod(task.tile_shape), 0
    with Progress(math.prod(map(len, task.positions)), "cells", progress) as bar:

        def share(examples: int) -> None:
            bar.reach(finished + (tile * examples // known if known else 0))

        def done(cells: int) -> None:
            nonlocal finished
            finished += cells
            bar.reach(finished)

        return _tiles.run(compute, task.positions, task.tile_shape, done), plan


def _through(
    task: Task, plan: _plan.Plan, positions: tuple[np.ndarray, ...], share: Callable[[int], None]
) -> Mapping[str, np.ndarray]:
    """One tile, batch by batch; while a batch is computed the next is read."""
    measures, chart, sweep, data = task.measures, task.chart, task.sweep, task.objective.data
    if plan.batch_size >= task.n:
        (everything,) = _data.batches(data, plan.batch_size)
        return jax.device_get(_cells.whole(measures, plan, chart, everything, sweep, positions))
    sums, fresh, done = _cells.no_sums(task.cost, plan, positions), True, 0
    for batch, size, start, stop in _runs(data, plan):
        jax.block_until_ready(sums)
        share(done)
        run = plan.of_batch(size)
        sums = _cells.steps(measures, run, size, chart, batch, (start, stop), positions, sums, fresh)
        fresh, done = False, done + size * (stop - start)
    return jax.device_get(_cells.finish(measures, plan, chart, sweep, positions, sums))


def _runs(data: Batch, plan: _plan.Plan) -> Iterator[tuple[Batch, int, int, int]]:
    """(examples, batch size, first batch, batch after the last) of each call of the compiled function."""
    for part in [data] if _data.in_memory(data) else _data.batches(data, plan.batch_size):
        size = min(plan.at_once if isinstance(data, Batches) else plan.batch_size, num_examples(part))
        full, rest = divmod(num_examples(part), size)
        for start in range(0, full, plan.batches_a_step):
            yield part, size, start, min(start + plan.batches_a_step, full)
        if rest:
            yield jax.tree.map(lambda leaf, rest=rest: leaf[-rest:], part), rest, 0, 1


def _over_splits(
    objective: Objective, chart: Chart, axes: Mapping[str, Any], data: Mapping[str, Any], **options: Any
) -> xarray.Dataset:
    """A surface for each of the data, along the dimension `split`."""
    import xarray

    check_objective(objective)
    _checks.labels("data", data, '{"train": (x, y), "test": (u, v)}')
    parts = {label: evaluate(objective.with_data(part), chart, axes, **options) for label, part in data.items()}
    first = next(iter(parts.values()))
    joined = xarray.concat(
        [part.drop_vars(WITHOUT_DATA) for part in parts.values()],
        xarray.DataArray(list(parts), dims="split", name="split"),
        combine_attrs="override",
    )
    joined = joined.assign({name: first[name] for name in WITHOUT_DATA})
    attributes = {
        "objective_ids": json.dumps({label: part.attrs["objective_id"] for label, part in parts.items()}),
        "num_examples": [part.attrs["num_examples"] for part in parts.values()],
        "wall_seconds": round(sum(part.attrs["wall_seconds"] for part in parts.values()), 6),
    }
    front = [dim for dim in ("penalty", "split") if dim in joined.dims]
    return joined.transpose(*front, ...)[list(first.data_vars)].assign_attrs(attributes)


def _dataset(
    task: Task,
    values: dict[str, np.ndarray],
    penalties: Mapping[str, Penalty] | None,
    attributes: dict[str, Any],
    started: float,
) -> xarray.Dataset:
    import xarray

    axes, units, variables = task.axes, task.measures.units, {}
    for name, array in values.items():
        extra = array.shape[: array.ndim - len(axes)]
        dims: tuple[str, ...] = tuple(f"{name}_{i}" for i in range(len(extra))) + tuple(axes)
        if name == "penalty_unit":
            # A view: the same numbers for every strength of one kind of penalty.
            array = np.broadcast_to(array, (len(units), *array.shape[1:])) if len(array) == 1 else array[list(units)]
        if name in PER_PENALTY:
            dims, array = (tuple(axes), array[0]) if penalties is None else (("penalty", *axes), array)
        elif name in ("slope", "plane_hessian"):
            dims = (*axes, "coordinate", "coordinate_")[: array.ndim]
            array = np.moveaxis(array, range(len(extra)), range(-len(extra), 0))
        variables[name] = (dims, array, {"long_name": BUILT_IN.get(name, name), "units": "1"})
    described = _axes.described(task.chart)
    coords: dict[str, Any] = {name: (name, a, described[name]) for name, a in axes.items()}
    if penalties is not None:
        coords |= sweep_coordinates(penalties)
    for dim in ("coordinate", "coordinate_"):
        if any(dim in dims for dims, *_ in variables.values()):
            coords[dim] = (dim, list(task.chart.names))
    attributes["wall_seconds"] = round(time.perf_counter() - started, 6)
    return xarray.Dataset(variables, coords, attributes)
