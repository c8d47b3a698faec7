"""A surface in a store: which problem it belongs to, how its tiles are cut, and what is left to compute."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from landscape.objectives.penalties import Penalty
from landscape.surfaces import _dataset, _filling, io
from landscape.surfaces._devices import Where
from landscape.surfaces._identity import chart_identity, digest, penalties_identity, random_numbers
from landscape.surfaces._plan import Plan
from landscape.surfaces._task import EVALUATION, Task
from landscape.surfaces._work import Work
from landscape.tiles.halfway import Halfway
from landscape.tiles.leases import Shard
from landscape.tiles.manifest import Manifest
from landscape.tiles.progress import Progress, Reached
from landscape.tiles.run import Tile
from landscape.tiles.store import Store
from landscape.tiles.tiling import Tiling, tile_shape

if TYPE_CHECKING:
    import xarray


class Problem(NamedTuple):
    """What was asked for."""

    tasks: Sequence[Task]  # one a split
    splits: Sequence[str] | None
    penalties: Mapping[str, Penalty] | None
    batch_size: int | None
    precision: str


def cut(tasks: Sequence[Task], splits: Sequence[str] | None) -> tuple[Tiling, list[Task]]:
    """The tiles of a surface, those of the split that needs the smallest, and the tasks with them."""
    grid = tuple(map(len, tasks[0].positions))
    if EVALUATION in tasks[0].axes:  # all lists of points in tiles of one shape
        return Tiling((EVALUATION,), grid, tasks[0].tile_shape), list(tasks)
    shape = tile_shape(grid, min(math.prod(task.tile_shape) for task in tasks))
    flights = [min(task.plan.in_flight, math.prod(shape)) for task in tasks]
    fitted = [
        task._replace(tile_shape=shape, plan=task.plan._replace(in_flight=flight))
        for task, flight in zip(tasks, flights, strict=True)
    ]
    axes = tuple(tasks[0].axes)
    if splits is None:
        return Tiling(axes, grid, shape), fitted
    return Tiling(("split", *axes), (len(tasks), *grid), (1, *shape)), fitted


def filled(
    problem: Problem, path: str | os.PathLike[str], shard: Shard, where: Where, progress: bool | None
) -> xarray.Dataset:
    """The surface in the store at `path`, with what was missing computed.

    Raises: as `evaluate`.
    """
    store, problem = _store_of(problem, path, where)
    own = store.manifest.tiling
    with Progress(math.prod(own.grid), "cells", progress) as bar:
        reached = Reached(bar, own)
        tasks, swept = problem.tasks, problem.penalties is not None
        work = Work(tasks, own, swept, problem.precision, reached.part, where.together)

        def expanded(tile: int, device: Any, halfway: Halfway) -> Tile:
            computed = work(tile, device, halfway)
            return computed._replace(arrays=_dataset.expanded(computed.arrays, tasks[0].measures.units))

        return _filling.filled(store, expanded, shard, where, reached.tile, io.surface_of)


def _store_of(problem: Problem, path: str | os.PathLike[str], where: Where) -> tuple[Store, Problem]:
    """The store, made if there is none, and the problem in the plan that the store was begun with."""
    asked = identity(problem)
    store = _filling.begun(path, asked, lambda: _new(problem, asked), where)
    run = store.manifest.run
    tasks = [
        task._replace(plan=Plan(**plan), tile_shape=tuple(run["tile_shape"]))
        for task, plan in zip(problem.tasks, run["plans"], strict=True)
    ]
    return store, problem._replace(tasks=tasks)


def identity(problem: Problem) -> dict[str, str]:
    """What makes two surfaces the same, by what it is of: nothing else may differ where a run goes on."""
    task, splits = problem.tasks[0], problem.splits
    same = task.objective.identity | {
        "data": "; ".join(one.objective.identity["data"] for one in problem.tasks),
        "splits": json.dumps(splits),
        "chart": chart_identity(task.chart, task.positions[0].dtype),
        "axes": ", ".join(f"{name}[{len(axis)}] {digest(axis)}" for name, axis in task.axes.items()),
        "quantities": _quantities(task),
        "penalties": penalties_identity(_penalties(problem), task.objective.params),
        "random numbers": random_numbers(),
        "dtype": str(task.positions[0].dtype),
        "precision": problem.precision,
        "batch_size": str(problem.batch_size or "chosen"),
        "examples": "; ".join(dict.fromkeys(map(_examples, problem.tasks))),
    }
    return {"kind": "surface"} | same


def _examples(task: Task) -> str:
    how = task.compression
    return "all" if how.why_not else f"nodes of degree {how.degree}, within {how.tolerance:g}"


def _quantities(task: Task) -> str:
    risk = task.measures.risk
    names = [name for name in ("stderr", "gradient_norm", "slope", "hessian") if getattr(risk, name)]
    return ", ".join([*names, *(own.version for own in task.measures.own)]) or "risk"


def _penalties(problem: Problem) -> Mapping[str, Penalty]:
    return {"": problem.tasks[0].objective.penalty} if problem.penalties is None else problem.penalties


def _new(problem: Problem, asked: dict[str, str]) -> tuple[Manifest, dict[str, np.ndarray]]:
    """The manifest of a new store, and its coordinates."""
    import xarray

    tasks, splits, penalties, _, precision = problem
    tiling, tasks = cut(tasks, splits)
    work = Work(tasks, tiling, penalties is not None, precision, lambda tile, part: None)
    arrays = work.shapes()
    attributes = _dataset.attributes(tasks, splits, arrays, penalties, precision)
    attributes["cells_in_flight"] = tasks[0].plan.in_flight
    coordinates = xarray.Dataset(coords=_dataset.coordinates(tasks[0], arrays, penalties, splits)).coords
    described = {name: _dataset.described(name) for name in arrays}
    run = {"tile_shape": list(tasks[0].tile_shape), "plans": [task.plan._asdict() for task in tasks]}
    return io.manifest_of(tiling, arrays, described, coordinates, attributes, asked, run)
