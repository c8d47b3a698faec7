"""Measured checkpoints in a store: a tile is one of them, in the order in which they come."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from landscape._trees import Params
from landscape.charts.chart import Chart
from landscape.charts.trajectory import Trajectory
from landscape.objectives.objective import Objective
from landscape.surfaces import _devices, _filling, io
from landscape.surfaces._identity import digest, penalties_identity, random_numbers, record_identity
from landscape.tiles import stopping
from landscape.tiles.files import UnwritableError
from landscape.tiles.leases import lease
from landscape.tiles.manifest import Manifest, Named
from landscape.tiles.progress import Progress
from landscape.tiles.run import lacking, with_safe
from landscape.tiles.store import Store
from landscape.tiles.tiling import Tiling

Columns = list[Any]  # what is kept of one checkpoint


def filled(
    path: str | os.PathLike[str],
    objective: Objective,
    checkpoints: Iterable[Params],
    steps: np.ndarray,
    record: Chart | None,
    options: Mapping[str, Any],
    example: Callable[[], Columns],
    checked: Callable[[str, Params, Params], Params],
    look: Callable[[int, Params], Columns],
    one: Callable[[Columns, np.ndarray], Trajectory],
    progress: bool | None,
) -> tuple[Trajectory, int]:
    """The trajectory in the store, with checkpoints that were missing measured; and how many checkpoints came.

    example: like what `look(index, checkpoint)` returns. one(columns, steps): a trajectory of one step.
    Raises: as `ls.trajectory`; ValueError where a checkpoint is not the one that was measured.
    """
    where = _devices.chosen(None, objective.params)
    if where.together:
        raise ValueError("`store` cannot keep checkpoints that are sharded over several processes; leave it out.")
    asked = _identity(objective, steps, record, options)
    store = _filling.begun(path, asked, lambda: _new(one(example(), steps[:1]), steps, asked), where)
    came = itertools.count()
    missing = set(lacking(store))
    shard = _devices.shard(None, path)  # of several processes all look at all checkpoints, and measure what is missing
    writing = lease(store.files, shard) if missing else contextlib.nullcontext()
    with Progress(len(steps), "checkpoints", progress) as bar, writing, stopping.possible():

        def take(checkpoint: Params) -> None:
            i = next(came)
            if stopping.asked():
                stopping.stop()
            if i < len(steps):
                params = checked(f"checkpoints[{i}]", checkpoint, objective.params)
                fingerprint = digest(params)
                there = store.record(i)
                if i in missing and there is None:
                    started = time.perf_counter()
                    arrays = _named(one(look(i, params), steps[i : i + 1]))
                    seconds = round(time.perf_counter() - started, 6)
                    try:
                        store.put(i, arrays, {"seconds": seconds, "checkpoint": fingerprint})
                    except UnwritableError as error:
                        raise with_safe(store, error) from error
                elif there is None or there.get("checkpoint") != fingerprint:
                    raise _other(store, i, int(steps[i]))
            bar.update(1)

        # `map` lets go of a checkpoint before it asks for the next; a loop variable would hold two of them.
        for _ in map(take, checkpoints):
            pass
    return io.trajectory_of(store, complete=True), next(came)


def _other(store: Store, i: int, step: int) -> ValueError:
    return ValueError(
        f"`checkpoints[{i}]`, of step {step}, is not the one whose numbers `store` {store.name!r} holds; another run "
        "takes another path."
    )


def _identity(
    objective: Objective, steps: np.ndarray, record: Chart | None, options: Mapping[str, Any]
) -> dict[str, str]:
    return objective.identity | {
        "kind": "checkpoints",
        "steps": f"{len(steps)} {digest(steps)}",
        "record": record_identity(record, objective.params),
        "penalty": penalties_identity({"": objective.penalty}, objective.params),
        "random numbers": random_numbers(),
        "batch_size": str(options["batch_size"] or "chosen"),
        "precision": str(options["precision"]),
        "dtype": str(objective.dtype),
    }


def _named(trajectory: Trajectory) -> dict[str, Named]:
    return io.named(io.flattened(trajectory))[0]


def _new(example: Trajectory, steps: np.ndarray, asked: Mapping[str, str]) -> tuple[Manifest, dict[str, np.ndarray]]:
    """The manifest of a new store, and its coordinates."""
    import xarray

    flat = io.flattened(example)
    coordinates = xarray.Dataset(coords={"step": ("step", steps, flat["step"].attrs)}).coords
    tiling = Tiling(("step",), (len(steps),), (1,))
    return io.manifest_of(tiling, *io.named(flat), coordinates, example.data.attrs, asked, {})
