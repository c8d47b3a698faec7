"""The manifest: what a store holds and which problem it belongs to, written once, the attributes of its zarr group.

zarr.json                      the manifest, and zarr's metadata of all arrays (consolidated)
risk/c/0/1, …                  one chunk a tile, with its checksum
w/c/0, …                       coordinates
landscape/complete/7.json      the record of tile 7: the checksums of its chunks; written after them
landscape/halfway/7.npz        what a tile that takes long has so far
landscape/writers/0-of-1.json  who is writing
landscape/damaged/…            chunks that were not what their record says
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from landscape.tiles import chunks
from landscape.tiles.tiling import Shape, Tiling

FORMAT = 2
ROOT = "zarr.json"
OURS = ("labels", "manifest", "coordinates")  # attributes of the group that are none of the data set's
UNTILED = Tiling((), (), ())
FILL = {"f": math.nan, "b": False, "c": math.nan}


class Variable(NamedTuple):
    """An array of a store."""

    dims: tuple[str, ...]
    shape: Shape
    dtype: np.dtype  # as it is stored; what zarr has no type for, such as bfloat16, is stored as float32
    attributes: Mapping[str, Any]

    def chunk_shape(self, tiling: Tiling) -> Shape:
        """The shape of a tile's part of it."""
        tile = dict(zip(tiling.dims, tiling.shape, strict=True))
        return tuple(tile.get(dim, size) for dim, size in zip(self.dims, self.shape, strict=True))

    def empty(self) -> np.ndarray:
        """The array where no tile is there yet."""
        return np.full(self.shape, FILL.get(self.dtype.kind, 0), self.dtype)


class Manifest(NamedTuple):
    """What is written once."""

    tiling: Tiling
    variables: Mapping[str, Variable]
    coordinates: Mapping[str, Variable]
    labels: Mapping[
        str, Any
    ]  # coordinates of strings, for which zarr has no stable type yet: one, or a list along its own name
    attributes: Mapping[str, Any]  # of the data set
    identity: Mapping[str, str]  # the problem: fingerprints and settings, by what they are of
    run: Mapping[str, Any]  # how it is computed, as the first run chose it
    made_with: Mapping[str, str]  # versions and device
    checksums: Mapping[str, str]  # of the coordinates, in their order; "" for labels


class Named(NamedTuple):
    """An array and what its dimensions are called."""

    dims: tuple[str, ...]
    values: Any


def variable(array: Named, attributes: Mapping[str, Any], sizes: Mapping[str, int]) -> Variable:
    """How arrays of this kind, whose dimensions have these sizes in the store, are stored."""
    dtype = np.dtype(array.values.dtype)
    if dtype.kind == "V":
        attributes = {**attributes, "stored_from": dtype.name}
        dtype = np.dtype(np.float32)
    shape = tuple(sizes.get(dim, length) for dim, length in zip(array.dims, array.values.shape, strict=True))
    return Variable(array.dims, shape, dtype, attributes)


def files_of(manifest: Manifest, coordinates: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """A store without tiles, as files."""
    import zarr
    from zarr.storage import MemoryStore

    tiling, out = manifest.tiling, {}
    attributes = dict(manifest.attributes) | {
        "format": FORMAT,
        # For xarray.open_zarr: coordinates that no dimension is called after.
        "coordinates": " ".join(n for n, own in manifest.coordinates.items() if own.dims != (n,)),
        # Texts, because netCDF, which xarray may write this to, knows no nested attributes.
        "labels": _text(manifest.labels),
        "manifest": _text(
            {
                "identity": manifest.identity,
                "tiles": {"dims": tiling.dims, "grid": tiling.grid, "shape": tiling.shape},
                "variables": list(manifest.variables),
                "coordinates": manifest.checksums,
                "run": manifest.run,
                "made_with": manifest.made_with,
            }
        ),
    }
    group = zarr.group(MemoryStore(out), zarr_format=3, attributes=_plain(attributes))
    for name, own in manifest.coordinates.items():
        _create(group, name, own, UNTILED)
    for name, own in manifest.variables.items():
        _create(group, name, own, tiling)
    files = {name: data.to_bytes() for name, data in out.items()}
    arrays = {name.removesuffix(f"/{ROOT}"): json.loads(data) for name, data in files.items() if name != ROOT}
    # As `zarr.consolidate_metadata` writes them, which warns that they are no part of zarr 3 yet.
    consolidated = {"kind": "inline", "must_understand": False, "metadata": arrays}
    files[ROOT] = json.dumps(json.loads(files[ROOT]) | {"consolidated_metadata": consolidated}, indent=2).encode()
    for name, values in coordinates.items():
        files[key(name, manifest.coordinates[name], UNTILED, 0)] = chunks.encode(values)
    return files


def _create(group: Any, name: str, own: Variable, tiling: Tiling) -> None:
    shape = own.chunk_shape(tiling)
    group.create_array(
        name,
        shape=own.shape,
        chunks=shape or "auto",
        dtype=own.dtype,
        fill_value=FILL.get(own.dtype.kind, 0),
        compressors=chunks.codecs(math.prod(shape) * own.dtype.itemsize),
        dimension_names=own.dims,
        attributes=_plain(own.attributes),
    )


def key(name: str, own: Variable, tiling: Tiling, tile: int) -> str:
    """The file of a tile's chunk."""
    return f"{name}/{chunk(own.dims, tiling.place(tile))}"


def chunk(dims: tuple[str, ...], place: Mapping[str, int]) -> str:
    """What the chunk of the tile at a place is called within its variable."""
    return "/".join(["c", *[str(place.get(dim, 0)) for dim in dims]])


def owns(own: Variable, tiling: Tiling, tile: int) -> bool:
    """Whether the tile holds this variable: of tiles that differ only along other dimensions, the first does."""
    return is_first(own.dims, tiling.place(tile))


def is_first(dims: tuple[str, ...], place: Mapping[str, int]) -> bool:
    """Whether the tile at a place is the first of those that differ only along other dimensions than these."""
    return all(i == 0 for dim, i in place.items() if dim not in dims)


def read(name: str, data: bytes) -> Manifest:
    """The manifest out of the bytes of ROOT; `name` is the store's, for messages.

    Raises: ValueError if they are damaged, of no store of this package, or of another format.
    """
    try:
        root = json.loads(data)
    except ValueError as error:
        raise ValueError(
            f"{name!r} is damaged: its manifest, {ROOT}, cannot be read ({error}). Its tiles cannot be told apart "
            "without it: copy it back from elsewhere, or start a new store."
        ) from None
    attributes = root.get("attributes", {}) if isinstance(root, dict) else {}
    if "kind" not in attributes or "format" not in attributes:
        raise ValueError(f"{name!r} holds no result of this package.")
    if attributes["format"] != FORMAT:
        newer = isinstance(attributes["format"], int) and attributes["format"] > FORMAT
        cure = "upgrade landscape" if newer else "read it with xarray.open_zarr, or compute it again"
        raise ValueError(f"{name!r} has format {attributes['format']}; this version reads format {FORMAT}: {cure}.")
    try:
        return _parsed(attributes, root["consolidated_metadata"]["metadata"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{name!r} is damaged: its manifest, {ROOT}, lacks what belongs there ({error!r}).") from None


def _parsed(attributes: Mapping[str, Any], arrays: Mapping[str, Any]) -> Manifest:
    own = json.loads(attributes["manifest"])
    tiles = own["tiles"]
    stored = {name: _variable(array) for name, array in arrays.items()}
    return Manifest(
        tiling=Tiling(tuple(tiles["dims"]), tuple(map(int, tiles["grid"])), tuple(map(int, tiles["shape"]))),
        variables={name: stored[name] for name in own["variables"]},
        coordinates={name: stored[name] for name, checksum in own["coordinates"].items() if checksum},
        labels=json.loads(attributes["labels"]),
        attributes={name: value for name, value in attributes.items() if name not in OURS},
        identity=own["identity"],
        run=own["run"],
        made_with=own["made_with"],
        checksums=own["coordinates"],
    )


def _variable(array: Mapping[str, Any]) -> Variable:
    dims = array.get("dimension_names") or ()
    return Variable(tuple(dims), tuple(array["shape"]), np.dtype(array["data_type"]), array.get("attributes", {}))


def _text(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_plain(one) for one in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
