"""Results on disk: zarr stores with a checksum on every chunk, renamed into place whole."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from landscape import _checks, _trees
from landscape.charts.trajectory import Trajectory

if TYPE_CHECKING:
    import xarray

FORMAT = 1


def save(result: xarray.Dataset | Trajectory, path: str | os.PathLike[str]) -> None:
    """Write a surface or a trajectory as a zarr store (format 3, Zstandard, CRC-32C on every chunk).

    `xarray.open_zarr(path)` reads it too; labels (penalties, optimizers) are then JSON in the attribute `labels`. The
    store is written beside its place and renamed, so an interrupted save leaves nothing half-written.
    Raises: FileExistsError if the path is taken: nothing is overwritten. ValueError for a trajectory whose params are
    not nested dictionaries; TypeError for anything else.
    """
    import zarr

    target = Path(path)
    check_free(target)
    dataset = _widened(_flattened(result))
    labels = {  # as JSON: zarr has no stable string type yet
        str(name): coordinate.to_numpy().astype(str).tolist()
        for name, coordinate in dataset.coords.items()
        if coordinate.dtype.kind in "UO"
    }
    dataset = dataset.drop_vars(labels).assign_attrs(labels=json.dumps(labels, ensure_ascii=False))
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        with warnings.catch_warnings():
            # xarray.open_zarr looks for consolidated metadata first; that they are no part of zarr 3 yet need not worry
            # the user.
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            with zarr.config.set({"array.write_empty_chunks": True}):  # a chunk that is not there is then a lost one
                dataset.to_zarr(partial, mode="w", zarr_format=3, consolidated=True, encoding=_checksummed(dataset))
        os.rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(path: Path) -> None:
    """Raise FileExistsError if something is there, so that long work is not started in vain."""
    if path.exists():
        raise FileExistsError(
            f"{str(path)!r} exists; results are never overwritten: choose another name, or remove it first."
        )


def open_surface(path: str | os.PathLike[str]) -> xarray.Dataset:
    """The surface saved at `path`, in memory, as `evaluate` returned it.

    Raises: FileNotFoundError if there is none; ValueError if it is no surface, or if a checksum fails
    (naming the variable).
    """
    return _open(Path(path), "surface")


def open_trajectory(path: str | os.PathLike[str]) -> Trajectory:
    """The trajectory saved at `path`, in memory, as `descend` returned it. Raises as `open_surface` does."""
    dataset = _open(Path(path), "trajectory")
    named = {name: dataset[name] for name in dataset.data_vars if "param" in dataset[name].attrs}
    params = _trees.nested({v.attrs["param"]: _restored(v) for v in named.values()}) if named else None
    return Trajectory(params, dataset.drop_vars(list(named)))


def _restored(stored: xarray.DataArray) -> Any:
    """A leaf of params as it was, random keys from their data."""
    numbers = stored.to_numpy()
    if "key" not in stored.attrs:
        return numbers
    return jax.random.wrap_key_data(jax.numpy.asarray(numbers), impl=stored.attrs["key"])


def kind_of(path: str | os.PathLike[str]) -> str:
    """ "surface" or "trajectory"."""
    return _attributes(Path(path)).get("kind", "")


def _open(path: Path, kind: str) -> xarray.Dataset:
    import xarray

    attributes = _attributes(path)
    if attributes.get("kind") != kind:
        raise ValueError(f"{str(path)!r} holds {attributes.get('kind', 'no result of this package')!r}, not a {kind}.")
    if attributes.get("format", 0) > FORMAT:
        raise ValueError(
            f"{str(path)!r} has format {attributes['format']}; this version reads up to {FORMAT}: upgrade landscape."
        )
    try:
        dataset = _narrowed(xarray.open_zarr(path, chunks=None).load())
    except (ValueError, RuntimeError, OSError):
        _check_chunks(path, read=True)  # which one it is, xarray does not say
        raise
    _check_chunks(path, read=False)
    labels = json.loads(dataset.attrs.pop("labels", "{}"))
    return dataset.assign_coords({name: v if isinstance(v, str) else (name, v) for name, v in labels.items()})


def _check_chunks(path: Path, read: bool) -> None:
    """Raise ValueError, naming the variable, unless every chunk is there and, if `read`, has its checksum."""
    import zarr

    for name, array in zarr.open_group(path, mode="r").arrays():
        missing = array.nchunks - array.nchunks_initialized  # zarr reads the fill value in their place, without a word
        try:
            if missing:
                raise ValueError(f"{missing} of {array.nchunks} chunks are missing")
            array[...] if read else None
        except (ValueError, RuntimeError, OSError) as error:
            raise ValueError(f"{str(path)!r} is damaged: {name!r} cannot be read ({error}).") from error


def _attributes(path: Path) -> dict[str, Any]:
    import zarr

    if not path.exists():
        raise FileNotFoundError(f"{str(path)!r} does not exist.")
    try:
        return dict(zarr.open_group(path, mode="r").attrs)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is no zarr store: results are folders that `ls.save` or -o wrote.") from error


def _flattened(result: xarray.Dataset | Trajectory) -> xarray.Dataset:
    import xarray

    if isinstance(result, xarray.Dataset):
        return result.assign_attrs({"kind": "surface", "format": FORMAT} | result.attrs)
    if not isinstance(result, Trajectory):
        raise TypeError(
            f"`result` is {_checks.kind(result)}; save a surface (ls.evaluate) or a trajectory (ls.descend)."
        )
    if result.params is None:
        return result.data
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


def _widened(dataset: xarray.Dataset) -> xarray.Dataset:
    """bfloat16, for which zarr has no type, as float32; the attribute `stored_from` keeps its name."""
    narrow = {name: values for name, values in dataset.data_vars.items() if values.dtype.kind == "V"}
    return dataset.assign(
        {name: v.astype(np.float32).assign_attrs(v.attrs, stored_from=v.dtype.name) for name, v in narrow.items()}
    )


def _narrowed(dataset: xarray.Dataset) -> xarray.Dataset:
    """The inverse of `_widened`, exactly."""
    narrow = {name: values for name, values in dataset.data_vars.items() if "stored_from" in values.attrs}
    for name, values in narrow.items():
        restored = values.astype(jax.numpy.dtype(values.attrs["stored_from"]))
        del restored.attrs["stored_from"]
        dataset = dataset.assign({name: restored})
    return dataset


def _checksummed(dataset: xarray.Dataset) -> dict[str, Any]:
    from zarr.codecs import Crc32cCodec, ZstdCodec

    # zarr reads a flipped byte silently unless told to check.
    return {str(name): {"compressors": (ZstdCodec(level=1), Crc32cCodec())} for name in dataset.variables}
