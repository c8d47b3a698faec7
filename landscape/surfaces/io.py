"""Results in stores: a surface or a trajectory that is whole, or one that grows tile by tile."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from landscape import _checks, _trees
from landscape.charts.trajectory import Trajectory
from landscape.surfaces.provenance import made_with
from landscape.tiles import chunks
from landscape.tiles import manifest as _manifest
from landscape.tiles.manifest import FORMAT, ROOT, Manifest, Named
from landscape.tiles.store import Record, Store, check_free, files_at, make_store, open_store
from landscape.tiles.tiling import Tiling, tile_shape

if TYPE_CHECKING:
    import xarray

    from landscape.surfaces.interpolant import Interpolant  # which needs SciPy

ROUND, RESULT = "round-", "result-"  # in the folder of an interpolant that is being made: stores of their own
CHUNK = 2**26  # bytes of a variable in a tile of what is saved as a whole


def save(result: xarray.Dataset | Trajectory | Interpolant, path: str | os.PathLike[str]) -> None:
    """Write a surface, an interpolant or a trajectory as a store, at a path or any URL of fsspec's.

    zarr 3, CRC-32C on every chunk. `xarray.open_zarr(path)` reads it too; labels (penalties, optimizers) are then JSON
    in the attribute `labels`. A store appears whole or not at all.
    Raises: FileExistsError if the path is taken: nothing is overwritten. ValueError for a trajectory whose params are
    not nested dictionaries, and for a result that is not complete; TypeError for anything else.
    """
    check_free(files_at(path))
    dataset = flattened(result)
    if "tiles_complete" in dataset.attrs:
        raise ValueError(
            f"`result` is not complete, {dataset.attrs['tiles_complete']} of {dataset.attrs['tiles']} tiles; its store "
            "can be gone on with, and a copy of that too: copy the folder."
        )
    arrays, described = named(dataset)
    tiling = _tiling(arrays)
    new = manifest_of(tiling, arrays, described, dataset.coords, dataset.attrs, {}, {})
    tiles = ((tile, _part(arrays, tiling, tile)) for tile in range(tiling.count))
    if make_store(path, *new, tiles=tiles) is None:
        raise FileExistsError(f"{os.fspath(path)!r} has just been written by somebody else; choose another name.")


def _tiling(arrays: Mapping[str, Named]) -> Tiling:
    """Tiles of a result that is there as a whole: chunks of at most CHUNK bytes, as far as dimensions are shared."""
    lengths = {dim: n for array in arrays.values() for dim, n in zip(array.dims, array.values.shape, strict=True)}
    shared = [dim for dim in lengths if sum(dim in array.dims for array in arrays.values()) > len(arrays) / 2]
    grid = tuple(lengths[dim] for dim in shared)
    most = max((array.values.nbytes for array in arrays.values()), default=0)
    return Tiling(tuple(shared), grid, tile_shape(grid, math.prod(grid) * CHUNK // max(most, CHUNK)))


def _part(arrays: Mapping[str, Named], tiling: Tiling, tile: int) -> dict[str, Named]:
    """A tile of whole arrays, filled up at the far edge."""
    sizes, covered = dict(zip(tiling.dims, tiling.shape, strict=True)), tiling.slices(tile)

    def part(array: Named) -> Named:
        inside = array.values[tuple(covered.get(dim, slice(None)) for dim in array.dims)]
        lacks = [(0, sizes[dim] - n if dim in sizes else 0) for dim, n in zip(array.dims, inside.shape, strict=True)]
        return Named(array.dims, np.pad(inside, lacks, mode="edge") if np.any(lacks) else inside)

    return {name: part(array) for name, array in arrays.items()}


def manifest_of(
    tiling: Tiling,
    arrays: Mapping[str, Named],
    described: Mapping[str, Mapping[str, Any]],
    coordinates: Any,
    attributes: Mapping[str, Any],
    identity: Mapping[str, str],
    run: Mapping[str, Any],
) -> tuple[Manifest, dict[str, np.ndarray]]:
    """The manifest of a store whose tiles are like `arrays`, and the numbers of its coordinates."""
    labels = {  # as JSON: zarr has no stable string type yet
        str(name): one.to_numpy().astype(str).tolist() for name, one in coordinates.items() if one.dtype.kind in "UO"
    }
    numbers = {str(name): one for name, one in coordinates.items() if name not in labels}
    sizes = dict(zip(tiling.dims, tiling.grid, strict=True))
    new = Manifest(
        tiling=tiling,
        variables={name: _manifest.variable(array, described[name], sizes) for name, array in arrays.items()},
        coordinates={
            name: _manifest.variable(Named(tuple(map(str, one.dims)), one.to_numpy()), one.attrs, {})
            for name, one in numbers.items()
        },
        labels=labels,
        attributes=attributes,
        identity=identity,
        run=run,
        made_with=made_with(),
        checksums={str(name): "" if name in labels else _checksum(coordinates[name]) for name in coordinates},
    )
    return new, {name: one.to_numpy() for name, one in numbers.items()}


def _checksum(array: xarray.DataArray) -> str:
    return chunks.checksum(chunks.encode(array.to_numpy()))


def open_surface(path: str | os.PathLike[str]) -> xarray.Dataset:
    """The surface saved at `path`, in memory, as `evaluate` returned it.

    One that is still being computed can be opened too: where tiles are missing its numbers are NaN, `finite` and the
    variable `computed`, which is there as long, are False; the attributes `tiles` and `tiles_complete` count them.
    Raises: FileNotFoundError if there is none; ValueError if it is no surface, or if a checksum fails
    (naming the variable).
    """
    return surface_of(_open(path, "surface"))


def surface_of(store: Store, complete: bool = False) -> xarray.Dataset:
    """The surface in a store, which is known to be complete or not."""
    records = store.all_records() if complete else store.records()
    surface = store.dataset(records)
    if not store.manifest.identity:
        return surface
    halved = [record for record in records.values() if "in_flight" in record]
    if halved:
        surface.attrs["cells_in_flight"] = min(record["in_flight"] for record in halved)
    said = f"cells in flight halved from {halved[0]['planned']}" if halved else ""
    return surface.assign_attrs(out_of_memory=said, wall_seconds=_seconds(records))


def open_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """The trajectory saved at `path`, in memory, as `descend` returned it. Raises as `open_surface` does."""
    return trajectory_of(_open(path, "trajectory"))


def open_interpolant(path: str | os.PathLike[str]) -> Interpolant:
    """The interpolant saved at `path`, in memory; or what `interpolate` returned last with store=`path`.

    Raises: as `open_surface`; ValueError for the store of one that is not complete.
    """
    from landscape.surfaces.interpolant import Interpolant

    made = results(path)
    if not made and rounds(path):
        raise ValueError(
            f"{os.fspath(path)!r} holds the evaluations of an interpolant that is not complete: repeat the call of "
            "ls.interpolate to go on."
        )
    store = _open(made[-1] if made else path, "interpolant")
    return Interpolant(store.dataset(store.records()))


def rounds(folder: str | os.PathLike[str]) -> list[str]:
    """The stores of evaluations in the folder of an interpolant that is being made."""
    return [f"{_without_end(folder)}/{name}" for name in files_at(folder).children() if name.startswith(ROUND)]


def results(folder: str | os.PathLike[str]) -> list[str]:
    """The stores of interpolants in such a folder, the last one last."""
    numbers = [name.removeprefix(RESULT) for name in files_at(folder).children() if name.startswith(RESULT)]
    return [f"{_without_end(folder)}/{RESULT}{number}" for number in sorted(map(int, numbers))]


def check_rounds(folder: str | os.PathLike[str]) -> None:
    """Raise ValueError where something else is."""
    others = [name for name in files_at(folder).children() if not name.lstrip(".").startswith((ROUND, RESULT))]
    if others:
        what = (
            f"a store of a {kind_of(folder)}" if ROOT in others else f"{others[0]!r}, which is no round of evaluations"
        )
        raise ValueError(f"`store` {os.fspath(folder)!r} holds {what}; take another path.")


def _without_end(folder: str | os.PathLike[str]) -> str:
    return os.fspath(folder).rstrip("/")


def trajectory_of(store: Store, complete: bool = False) -> Trajectory:
    """The trajectory in a store, which is known to be complete or not."""
    records = store.all_records() if complete else store.records()
    dataset = store.dataset(records)
    if store.manifest.identity:
        dataset = dataset.assign_attrs(wall_seconds=_seconds(records))
    leaves = {name: dataset[name] for name in dataset.data_vars if "param" in dataset[name].attrs}
    params = _trees.nested({v.attrs["param"]: _restored(v) for v in leaves.values()}) if leaves else None
    return Trajectory(params, dataset.drop_vars(list(leaves)))


def _seconds(records: Mapping[int, Record]) -> float:
    return round(sum(record.get("seconds", 0.0) for record in records.values()), 6)


def _restored(stored: xarray.DataArray) -> Any:
    """A leaf of params as it was, random keys from their data."""
    numbers = stored.to_numpy()
    if "key" not in stored.attrs:
        return numbers
    return jax.random.wrap_key_data(jax.numpy.asarray(numbers), impl=stored.attrs["key"])


def kind_of(path: str | os.PathLike[str]) -> str:
    """ "surface", "trajectory" or "interpolant"."""
    if rounds(path):
        return "interpolant"
    return open_store(path).manifest.attributes["kind"]


def _open(path: str | os.PathLike[str], kind: str) -> Store:
    if kind != "interpolant" and rounds(path):
        raise ValueError(f"{os.fspath(path)!r} holds an interpolant, not a {kind}: open it with ls.open_interpolant.")
    store = open_store(path)
    found = store.manifest.attributes["kind"]
    if found != kind:
        what = {"interpolant": "an interpolant"}.get(found, f"a {found}")
        raise ValueError(f"{store.name!r} holds {what}, not a {kind}: open it with ls.open_{found}.")
    return store


def named(dataset: xarray.Dataset) -> tuple[dict[str, Named], dict[str, Mapping[str, Any]]]:
    """The variables of a data set, and their attributes."""
    arrays = {str(name): Named(tuple(map(str, v.dims)), v.to_numpy()) for name, v in dataset.data_vars.items()}
    return arrays, {str(name): v.attrs for name, v in dataset.data_vars.items()}


def flattened(result: xarray.Dataset | Trajectory | Interpolant) -> xarray.Dataset:
    """A result as one data set, a trajectory's params as variables.

    Raises: as `save`.
    """
    import xarray

    data = getattr(result, "data", None)
    if isinstance(data, xarray.Dataset) and data.attrs.get("kind") == "interpolant":
        return data.assign_attrs(format=FORMAT)
    if isinstance(result, xarray.Dataset) and any(v.dtype.kind in "OU" for v in result.data_vars.values()):
        raise ValueError(
            "`result` holds text in its variables, for which stores have no type; write it with result.to_netcdf(path)."
        )
    if isinstance(result, xarray.Dataset):
        return result.assign_attrs({"kind": "surface", "format": FORMAT} | result.attrs)
    if not isinstance(result, Trajectory):
        raise TypeError(
            f"`result` is {_checks.kind(result)}; save a surface (ls.evaluate), an interpolant (ls.interpolate) or a "
            "trajectory (ls.descend); of others the tables, result.data.to_netcdf(path)."
        )
    if result.params is None:
        return result.data.assign_attrs(format=FORMAT)
    if not _trees.is_nested_dict(result.params):
        raise ValueError(
            "`result` has params that are no nested dictionaries, which the store cannot rebuild. "
            "Run descend with record= a chart, or save `result.data`."
        )
    dims = result.data.risk.dims
    leaves = {}
    for i, (path, leaf) in enumerate(_trees.named_leaves(result.params).items()):
        is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        kind = {"key": str(jax.random.key_impl(leaf))} if is_key else {}
        numbers = _trees.as_numbers(leaf)
        own = tuple(f"param_{i}_axis_{j}" for j in range(numbers.ndim - len(dims)))
        leaves[f"param_{i}"] = ((*dims, *own), numbers, {"param": path, **kind})
    return result.data.assign(leaves)
