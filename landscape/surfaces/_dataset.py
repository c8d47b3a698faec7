"""The labeled data set: what the arrays of a surface are called, their dimensions, coordinates and provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from landscape.charts import axes as _axes
from landscape.charts import chart as _chart
from landscape.objectives.penalties import Penalty
from landscape.surfaces._curved import CURVATURES
from landscape.surfaces._task import EVALUATION, Task
from landscape.surfaces.provenance import describe
from landscape.surfaces.quantities import BUILT_IN
from landscape.surfaces.sweep import sweep_coordinates
from landscape.tiles.manifest import Named

PER_PENALTY = ("penalty_value", "penalty_unit", "objective", "gradient_norm", *CURVATURES)
WITHOUT_DATA = ("penalty_value", "penalty_unit")
UNIT = "unit"  # a dimension in front of penalty_unit while it is computed: one number for each kind of penalty


def named(values: Mapping[str, Any], axes: Sequence[str], swept: bool, split: bool) -> dict[str, Named]:
    """The arrays of a tile of one split, with their dimensions.

    values: arrays that end with the axes; those of PER_PENALTY start with the penalties.
    """
    out = {}
    for name, array in values.items():
        own = array.ndim - len(axes)
        dims = (*(f"{name}_{i}" for i in range(own)), *axes)
        if name in PER_PENALTY:
            dims = (UNIT if name == "penalty_unit" else "penalty", *axes)
            if not swept:
                dims, array = dims[1:], array[0]
        elif name in ("slope", "plane_hessian"):
            dims = (*axes, "coordinate", "coordinate_")[: array.ndim]
            array = np.moveaxis(array, range(own), range(-own, 0))
        if split and name not in WITHOUT_DATA:
            front = dims[:1] if dims[0] == "penalty" else ()
            dims = (*front, "split", *dims[len(front) :])
            array = np.expand_dims(array, len(front))
        out[name] = Named(dims, array)
    return out


def expanded(arrays: Mapping[str, Named], units: Sequence[int]) -> dict[str, Named]:
    """The arrays with penalty_unit for every penalty; a view where there is one kind of them."""
    out = dict(arrays)
    dims, unit = out["penalty_unit"]
    if dims[0] == UNIT:
        spread = np.broadcast_to(unit, (len(units), *unit.shape[1:])) if len(unit) == 1 else unit[list(units)]
        out["penalty_unit"] = Named(("penalty", *dims[1:]), spread)
    return out


def described(name: str) -> dict[str, str]:
    """The attributes of a variable."""
    return {"long_name": BUILT_IN.get(name, name), "units": "1"}


def coordinates(
    task: Task, arrays: Mapping[str, Named], penalties: Mapping[str, Penalty] | None, splits: Sequence[str] | None
) -> dict[str, Any]:
    """The coordinates of a surface."""
    about = _axes.described(task.chart)
    coords: dict[str, Any]
    if EVALUATION in task.axes:
        points = task.axes[EVALUATION]
        coords = {name: (EVALUATION, points[:, i], about[name]) for i, name in enumerate(task.chart.names)}
    else:
        coords = {name: (name, axis, about[name]) for name, axis in task.axes.items()}
    if penalties is not None:
        coords |= sweep_coordinates(penalties)
    if splits is not None:
        coords["split"] = ("split", list(splits))
    for dim in ("coordinate", "coordinate_"):
        if any(dim in array.dims for array in arrays.values()):
            coords[dim] = (dim, list(task.chart.names))
    return coords


def attributes(
    tasks: Sequence[Task],
    splits: Sequence[str] | None,
    arrays: Mapping[str, Named],
    penalties: Mapping[str, Penalty] | None,
    precision: str,
) -> dict[str, Any]:
    """The provenance of a surface but for what only the run can tell."""
    task = tasks[0]
    said = describe(task.objective, penalties) | {
        "kind": "surface",
        "dtype": str(arrays["risk"].values.dtype),
        "chart": _chart.to_json(task.chart),
        "chart_id": _chart.chart_id(task.chart),
        "precision": precision,
        "tile_shape": list(task.tile_shape),
        "batch_size": task.plan.batch_size,
        "hoisted": task.hoists,
        "own_quantities": json.dumps(_own(task, arrays)),
        "compression": json.dumps([task.compression.described() for task in tasks]),
    }
    if splits is not None:
        ids = {label: task.objective.id for label, task in zip(splits, tasks, strict=True)}
        said |= {"objective_ids": json.dumps(ids), "num_examples": [task.objective.n for task in tasks]}
    return said


def out_of_memory(planned: int, left: int) -> str:
    """What happened to the cells in flight."""
    return "" if left == planned else f"cells in flight halved from {planned}"


def _own(task: Task, arrays: Mapping[str, Any]) -> list[str]:
    """The variables that quantities of the user's gave; an accuracy may be one."""
    accuracy = any(quantity.is_accuracy for quantity in task.measures.own)
    return [name for name in arrays if name not in BUILT_IN or (name == "accuracy" and not accuracy)]


def shapes(values: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """Arrays of these shapes that take no memory."""
    return {name: np.broadcast_to(np.zeros((), v.dtype), v.shape) for name, v in values.items()}
