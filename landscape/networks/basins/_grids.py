"""A grid of runs in tiles: how it is cut, computed, and kept in memory or in a store."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _backend, _trees
from landscape._version import __version__
from landscape.analysis import _blocks
from landscape.analysis._runs import SEGMENT_WORK
from landscape.networks.basins import _cells
from landscape.networks.basins._cells import Cell, Kind, Read
from landscape.objectives import tracing
from landscape.objectives.objective import Objective
from landscape.surfaces import _devices, _filling, _plan, io
from landscape.surfaces._devices import Where
from landscape.surfaces._identity import digest, random_numbers
from landscape.tiles.halfway import Halfway
from landscape.tiles.leases import Shard
from landscape.tiles.manifest import Manifest, Named
from landscape.tiles.progress import Progress, Reached
from landscape.tiles.run import EACH, Memory, Tile, run
from landscape.tiles.tiling import Tiling, tile_shape

if TYPE_CHECKING:
    import xarray

PRECISION = "highest"  # of matrix products, as in `descend`
# Measured on CPU (benchmarks/trainability.py): bytes of all that the runs in flight compute in a step. More do not fit
# into a core's own cache; of fewer, operations are too short.
IN_FLIGHT_BYTES = {"cpu": 2**21}
OWN_DIMS = {"end": "coordinate", "signature": "projection"}
LONG_NAMES = {
    "risk": "risk at the end",
    "objective": "objective at the end",
    "gradient_norm": "norm of the objective's gradient at the end",
    "steps_taken": "steps taken",
    "finite": "finite to the end",
    "converged": "converged",
    "measure": "sum over the steps",
    "end": "coordinate of the end",
    "residual": "distance of the end from the chart",
    "signature": "number by which ends are told apart",
}
TAKEN = {*LONG_NAMES, *OWN_DIMS.values(), "computed"}  # names in the result, which no axis may have


class Grid(NamedTuple):
    """What was asked for."""

    objective: Objective
    kind: Kind
    read: Read
    axes: Mapping[str, np.ndarray]  # in the dtype they are computed in
    described: Mapping[str, Mapping[str, Any]]  # the attributes of each axis
    steps: int
    identity: Mapping[str, str]  # beside the objective's, axes, steps and what a cell computes
    attributes: Mapping[str, Any]


class Cut(NamedTuple):
    """How the cells take their turns."""

    tile_shape: tuple[int, ...]
    in_flight: int  # runs at a time
    segment: int  # steps in one call

    def tiling(self, grid: Grid) -> Tiling:
        """The tiles."""
        return Tiling(tuple(grid.axes), tuple(map(len, grid.axes.values())), self.tile_shape)


def computed(
    grid: Grid,
    store: str | os.PathLike[str] | None,
    shard: tuple[int, int] | None,
    devices: Sequence[Any] | None,
    progress: bool | None,
) -> xarray.Dataset:
    """What there is to say of every cell.

    Raises: as `evaluate`.
    """
    import xarray

    started = time.perf_counter()
    share = _devices.shard(shard, store)
    where = _several(_devices.chosen(devices, grid.read))
    cut = _cut(grid, share.count * len(where.devices))
    if store is not None:
        return _kept(grid, cut, store, share, where, progress)
    tiling = cut.tiling(grid)
    place = Memory(tiling)
    with Progress(math.prod(tiling.grid) * grid.steps, "steps", progress) as bar:
        reached = Reached(bar, tiling, grid.steps)
        run(Work(grid, cut, reached.part), place, range(tiling.count), where.devices, reached.tile)
    variables = {name: (array.dims, array.values, _described(name)) for name, array in place.arrays.items()}
    seconds = {"wall_seconds": round(time.perf_counter() - started, 6)}
    return xarray.Dataset(variables, _coordinates(grid, variables), _attributes(grid, cut) | seconds)


def _several(where: Where) -> Where:
    """A thread for each core: runs of a few params are too short for XLA's own threads."""
    if where.devices != [None] or where.together or jax.default_backend() != "cpu":
        return where
    return where._replace(devices=[None] * _backend.usable_cores())


def _cut(grid: Grid, parts: int) -> Cut:
    """Tiles of a second or three, enough for each of `parts`; in each, as many runs at a time as pay."""
    sizes = tuple(map(len, grid.axes.values()))
    backend = jax.default_backend()
    limit = IN_FLIGHT_BYTES.get(backend, _plan.CHUNK_BYTES_ACCELERATOR)
    plan = _blocks.plan(grid.objective, (1, math.prod(sizes)), limit)
    work = max(1.0, plan.work)  # of a step of a run
    stored = _plan.STORED_WORK.get(backend, _plan.STORED_WORK_ACCELERATOR) / (work * grid.steps)
    share = -(-math.prod(sizes) // (EACH * parts if parts > 1 else 1))
    least = min(plan.block[1], max(share, _blocks.VECTORIZED))
    shape = tile_shape(sizes, max(least, min(int(stored), share)))
    cells = math.prod(shape)
    chunks = -(-cells // least)
    segment = int(min(grid.steps, max(1, SEGMENT_WORK / (work * cells))))
    return Cut(shape, -(-cells // chunks), segment)


class Work:
    """Computes tiles, on any device.

    advanced(tile, share): told which share of its steps a tile has done.
    """

    def __init__(self, grid: Grid, cut: Cut, advanced: Callable[[int, float], None]) -> None:
        self._grid, self._cut, self._advanced = grid, cut, advanced
        self._tiling = cut.tiling(grid)
        self._settings = _devices.settings(PRECISION)
        self._read: dict[Any, Read] = {}
        self._lock = threading.Lock()

    def __call__(self, tile: int, device: Any, halfway: Halfway) -> Tile:
        """A tile, through all steps."""
        kind, cut = self._grid.kind, self._cut
        with self._settings.on(device):
            at = self._positions(tile)
            same = f"{cut} {jax.__version__} {__version__}"
            kept = halfway.load(same)
            with self._lock:  # of several threads, one compiles
                read = self._ready(device, at)
            cells, done = _cells.begin(kind, read, at), 0
            if kept is not None:
                cells, done = _restored(cells, kept), int(kept["done"])
            while done < self._grid.steps:
                count = min(cut.segment, self._grid.steps - done)
                cells = jax.block_until_ready(_cells.advance(kind, read, at, cells, jnp.int32(count)))
                done += count
                self._advanced(tile, done / self._grid.steps)
                halfway.keep(same, partial(_packed, cells, done))
            values = jax.device_get(_cells.end(kind, read, at, cells))
        return Tile({name: self._whole(name, array) for name, array in values.items()}, {})

    def shapes(self) -> dict[str, Named]:
        """Arrays like those of a tile, that take no memory."""
        kind, read = self._grid.kind, self._grid.read

        def one(at: Any) -> Any:
            return _cells.end(kind, read, at, _cells.begin(kind, read, at))

        with self._settings.on(None):
            found = jax.eval_shape(one, self._positions(0))
        return {n: self._whole(n, np.broadcast_to(np.zeros((), v.dtype), v.shape)) for n, v in found.items()}

    def _ready(self, device: Any, at: tuple[jax.Array, ...]) -> Read:
        """What runs read on a device, for which all is compiled."""
        if device not in self._read:
            read = self._grid.read if device is None else jax.device_put(self._grid.read, device)
            cells = _cells.begin(self._grid.kind, read, at)
            cells = _cells.advance(self._grid.kind, read, at, cells, jnp.int32(0))
            jax.block_until_ready(_cells.end(self._grid.kind, read, at, cells))
            self._read[device] = read
        return self._read[device]

    def _positions(self, tile: int) -> tuple[jax.Array, ...]:
        """The axes' numbers of each cell, (chunks, cells in flight); the last cell again and again at the end."""
        taken = self._tiling.take(dict(self._grid.axes), tile)
        chosen = np.arange(-(-math.prod(self._cut.tile_shape) // self._cut.in_flight) * self._cut.in_flight)
        chosen = np.minimum(chosen, math.prod(self._cut.tile_shape) - 1).reshape(-1, self._cut.in_flight)
        return tuple(jnp.asarray(part.ravel()[chosen]) for part in np.meshgrid(*taken, indexing="ij"))

    def _whole(self, name: str, values: np.ndarray) -> Named:
        """The cells of a variable in the tile's shape."""
        shape, own = self._cut.tile_shape, values.shape[2:]
        flat = values.reshape(-1, *own)[: math.prod(shape)]
        return Named((*self._tiling.dims, *([OWN_DIMS[name]] if own else [])), flat.reshape(*shape, *own))


def _packed(cells: Cell, done: int) -> dict[str, np.ndarray]:
    leaves = map(_trees.as_numbers, jax.tree.leaves(cells))
    return {"done": np.array(done)} | {f"leaf{i}": leaf for i, leaf in enumerate(leaves)}


def _restored(cells: Cell, kept: Mapping[str, np.ndarray]) -> Cell:
    leaves, structure = jax.tree.flatten(cells)
    return structure.unflatten([_trees.from_numbers(kept[f"leaf{i}"], leaf) for i, leaf in enumerate(leaves)])


# ---- in a store


def _kept(
    grid: Grid, cut: Cut, path: str | os.PathLike[str], share: Shard, where: Where, progress: bool | None
) -> xarray.Dataset:
    """The data set in the store at `path`, with what was missing computed."""
    asked = _identity(grid)
    store = _filling.begun(path, asked, lambda: _new(grid, cut, asked), where)
    begun = store.manifest.run["cut"]
    cut = Cut(**begun | {"tile_shape": tuple(begun["tile_shape"])})
    tiling = cut.tiling(grid)
    with Progress(math.prod(tiling.grid) * grid.steps, "steps", progress) as bar:
        reached = Reached(bar, tiling, grid.steps)
        work = Work(grid, cut, reached.part)
        return _filling.filled(store, work, share, where, reached.tile, io.surface_of)


def _identity(grid: Grid) -> dict[str, str]:
    """What makes two grids of runs the same, by what it is of."""
    dtype = next(iter(grid.axes.values())).dtype

    def cell(read: Any, at: Any) -> Any:
        kind = grid.kind
        return kind.end(read, at, kind.step(read, at, kind.begin(read, at)))

    shapes = _trees.from_shapes(_trees.shapes(grid.read)), (jax.ShapeDtypeStruct((), dtype),) * len(grid.axes)
    axes = ", ".join(f"{name}[{len(axis)}] {digest(axis)}" for name, axis in grid.axes.items())
    return dict(grid.objective.identity) | {
        "kind": "surface",
        **grid.identity,
        "runs": tracing.traced("optimizer", cell, *shapes).version,
        "penalty": digest(grid.read.inputs.coefficients),
        "axes": axes,
        "steps": str(grid.steps),
        "random numbers": random_numbers(),
        "dtype": str(dtype),
    }


def _new(grid: Grid, cut: Cut, asked: Mapping[str, str]) -> tuple[Manifest, dict[str, np.ndarray]]:
    """The manifest of a new store, and its coordinates."""
    import xarray

    arrays = Work(grid, cut, lambda tile, share: None).shapes()
    coordinates = xarray.Dataset(coords=_coordinates(grid, arrays)).coords
    described = {name: _described(name) for name in arrays}
    run = {"cut": cut._asdict()}
    return io.manifest_of(cut.tiling(grid), arrays, described, coordinates, _attributes(grid, cut), asked, run)


def _described(name: str) -> dict[str, str]:
    return {"long_name": LONG_NAMES[name], "units": "1"}


def _coordinates(grid: Grid, variables: Mapping[str, Any]) -> dict[str, Any]:
    coordinates: dict[str, Any] = {name: (name, axis, grid.described[name]) for name, axis in grid.axes.items()}
    if "end" in variables:
        assert grid.read.inputs.chart is not None
        coordinates["coordinate"] = ("coordinate", list(grid.read.inputs.chart.names))
    return coordinates


def _attributes(grid: Grid, cut: Cut) -> dict[str, Any]:
    return dict(grid.attributes) | {
        "kind": "surface",
        "precision": PRECISION,
        "steps": grid.steps,
        "tile_shape": list(cut.tile_shape),
        "cells_in_flight": cut.in_flight,
    }
