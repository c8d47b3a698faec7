"""Runs of `descend` in a store: which problem it belongs to, and the trajectory that it holds."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import Array

from landscape import _trees
from landscape.analysis import _blocks, _steps
from landscape.analysis._runs import DIMS, Runs, Tracer
from landscape.charts.trajectory import Trajectory, from_records, with_frozen
from landscape.objectives import tracing
from landscape.surfaces import _filling, io
from landscape.surfaces._devices import Where
from landscape.surfaces._identity import digest, random_numbers, record_identity
from landscape.tiles.halfway import Halfway
from landscape.tiles.leases import Shard
from landscape.tiles.manifest import Manifest, Named
from landscape.tiles.progress import Progress, Reached
from landscape.tiles.run import Tile

if TYPE_CHECKING:
    import xarray


class Work:
    """The blocks of a Tracer as tiles: the leaves of their records, numbered."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, tile: int, device: Any, halfway: Halfway) -> Tile:
        """The records of a block."""
        return Tile(_named(self._tracer(tile, device, halfway)), {})


def _named(records: Any) -> dict[str, Named]:
    out = {}
    for i, leaf in enumerate(jax.tree.leaves(records)):
        own = (f"leaf_{i}_axis_{j}" for j in range(np.ndim(leaf) - len(DIMS) - 1))
        out[str(i)] = Named((*DIMS, "step", *own), leaf)
    return out


def trajectory(
    runs: Runs, arrays: Mapping[str, Named], labels: Mapping[str, Any], attributes: Mapping[str, Any]
) -> Trajectory:
    """The trajectory whose records are these leaves."""
    records = runs.structure.unflatten([array.values for array in arrays.values()])
    if runs.inputs.chart is None:
        records["params"] = with_frozen(records["params"], runs.objective.params)
    return from_records(records, labels, runs.recorded, runs.inputs.chart, attributes)


def filled(
    runs: Runs,
    labels: Mapping[str, Any],
    attributes: Mapping[str, Any],
    path: str | os.PathLike[str],
    shard: Shard,
    where: Where,
    progress: bool | None,
) -> Trajectory:
    """The trajectory in the store at `path`, with what was missing computed.

    Raises: as `descend`.
    """
    if runs.inputs.chart is None and not _trees.is_nested_dict(runs.objective.params):
        raise ValueError(
            "`store` keeps params that are nested dictionaries, and the objective's are not; give record= a chart, "
            "and their coordinates are kept."
        )
    asked = identity(runs, labels, attributes)
    store = _filling.begun(path, asked, lambda: _new(runs, labels, attributes, asked), where)
    begun = store.manifest.run["plan"]
    runs = runs._replace(plan=_blocks.Plan(**begun | {"block": tuple(begun["block"])}))
    tiling = runs.tiling
    with Progress(math.prod(tiling.grid) * runs.steps, "steps", progress) as bar:
        reached = Reached(bar, tiling, runs.steps)
        work = Work(Tracer(runs, str(attributes["precision"]), reached.part))

        def flattened(tile: int, device: Any, halfway: Halfway) -> Tile:
            computed = work(tile, device, halfway)
            return Tile(io.named(_flat(runs, computed.arrays, labels, attributes))[0], computed.said)

        return _filling.filled(store, flattened, shard, where, reached.tile, io.trajectory_of)


def _flat(
    runs: Runs, arrays: Mapping[str, Named], labels: Mapping[str, Any], attributes: Mapping[str, Any]
) -> xarray.Dataset:
    """The trajectory of some runs, params and all."""
    lengths = dict(zip(DIMS, arrays["0"].values.shape, strict=False))
    some = {dim: None if labels[dim] is None else np.arange(lengths[dim]) for dim in DIMS}
    return io.flattened(trajectory(runs, arrays, some, attributes))


def identity(runs: Runs, labels: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, str]:
    """What makes two sets of runs the same, by what it is of: nothing else may differ where a run goes on."""
    inputs = runs.inputs
    return runs.objective.identity | {
        "kind": "trajectory",
        "optimizers": ", ".join(
            f"{label} {_optimizer(runs, i)}" for i, label in enumerate(labels["optimizer"] or [""])
        ).strip(),
        "dimensions": ", ".join(dim for dim, own in labels.items() if own is not None),
        "starts": digest(runs.initial),
        "steps": str(runs.steps),
        "record_every": str(runs.programs[0].record_every),
        "record": record_identity(inputs.chart, runs.objective.params),
        "batch_size": str(runs.programs[0].batch_size),
        "key": _key(runs.key),
        "random numbers": random_numbers(),
        "penalties": f"{attributes['penalties']} {digest(inputs.coefficients)}",
        "dtype": str(attributes["dtype"]),
    }


def _optimizer(runs: Runs, i: int) -> str:
    """The fingerprint of what an optimizer does in its first step."""
    program = runs.programs[i]
    one = jax.tree.map(lambda leaf: leaf[0], (runs.inputs.coefficients, runs.initial))
    inputs = runs.inputs._replace(coefficients=one[0])

    def first_step(inputs: Any, params: Any) -> Any:
        return _steps.first_step(program, inputs, params)

    shapes = (_trees.from_shapes(_trees.shapes(tree)) for tree in (inputs, one[1]))
    return tracing.traced("optimizers", first_step, *shapes).version


def _key(key: Array | None) -> str:
    if key is None:
        return "none"
    typed = jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
    return f"{jax.random.key_impl(key) if typed else 'of the default kind'} {_trees.as_numbers(key).tolist()}"


def _new(
    runs: Runs, labels: Mapping[str, Any], attributes: Mapping[str, Any], asked: Mapping[str, str]
) -> tuple[Manifest, dict[str, np.ndarray]]:
    """The manifest of a new store, and its coordinates."""
    import xarray

    block = _named(Tracer(runs, str(attributes["precision"]), lambda tile, share: None).shapes())
    example = _flat(runs, block, labels, attributes)
    arrays, described = io.named(example)
    coordinates: dict[str, Any] = {"step": example["step"]}
    for dim, own in labels.items():
        if own is not None:
            coordinates |= own if isinstance(own, Mapping) else {dim: (dim, own)}
    tiling = runs.tiling
    kept = [i for i, dim in enumerate(DIMS) if labels[dim] is not None]
    tiling = tiling._replace(**{name: tuple(getattr(tiling, name)[i] for i in kept) for name in tiling._fields})
    coords = xarray.Dataset(coords=coordinates).coords
    run = {"plan": runs.plan._asdict()}
    return io.manifest_of(tiling, arrays, described, coords, example.attrs, asked, run)
