"""The store: tiles on disk or at a URL, filled by any number of processes, readable while it grows.

A tile is there once its record is: the record holds the checksums of the tile's chunks and is written after they are
safe, so it never runs ahead of them. A tile has one right answer, so that two writers of one do no harm.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape._callers import outside
from landscape.tiles import chunks, manifest
from landscape.tiles.chunks import DamagedError
from landscape.tiles.files import Files
from landscape.tiles.halfway import Halfway
from landscape.tiles.leases import me
from landscape.tiles.local import Local
from landscape.tiles.manifest import ROOT, Manifest, Named
from landscape.tiles.remote import Remote

if TYPE_CHECKING:
    import xarray

COMPLETE, DAMAGED, HALFWAY = "landscape/complete", "landscape/damaged", "landscape/halfway"
TRIES = 3  # to end with chunks and a record that fit, where two processes write one tile
Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Store:
    """The tiles at one place."""

    files: Files
    manifest: Manifest

    @property
    def name(self) -> str:
        """Its path or URL, as the user wrote it."""
        return self.files.name

    def records(self) -> dict[int, Record]:
        """The record of each complete tile. One that cannot be read is none: the tile is computed again."""
        found = {}
        for name, data in self.files.read_all(COMPLETE).items():
            number, record = name.removesuffix(".json"), _understood(data)
            if number.isdecimal() and record is not None:
                found[int(number)] = record
        return {tile: found[tile] for tile in sorted(found) if tile < self.manifest.tiling.count}

    def has(self, tile: int) -> bool:
        """Whether a tile is complete, its chunks unread."""
        return self.record(tile) is not None

    def all_records(self) -> dict[int, Record]:
        """As `records`; what the list of a network's file system does not show yet is asked for by name."""
        found = self.records()
        for tile in set(range(self.manifest.tiling.count)) - set(found):
            record = self.record(tile)
            if record is not None:
                found[tile] = record
        return found

    def record(self, tile: int) -> Record | None:
        """The record of a tile; None where there is none, or it cannot be read."""
        try:
            return _understood(self.files.read(_record(tile)))
        except FileNotFoundError:
            return None

    def put(self, tile: int, arrays: Mapping[str, Named], said: Mapping[str, Any]) -> None:
        """Write a tile's chunks, then its record, with what is `said` of it."""
        written, record = tile_files(self.manifest, tile, arrays, said)
        ((name, data),) = record.items()
        self.files.write(written)
        for _ in range(TRIES):
            if self.files.add(name, data):
                return
            # Another process was faster. Where its last digits are others, its record may not be that of the chunks
            # which are there now: then all of them are written again.
            there = self.record(tile)
            if there is not None and not self.damaged({tile: there}):
                return
            self.files.write(written)
            self.files.write(record)

    def halfway(self, tile: int) -> Halfway:
        """What a tile that takes long has so far."""
        return Halfway(self.files, f"{HALFWAY}/{tile}.npz")

    def begun(self) -> list[int]:
        """The tiles of which something is kept and that are not complete."""
        kept = [name.rpartition("/")[2].removesuffix(".npz") for name in self.files.names(HALFWAY)]
        return [int(tile) for tile in kept if tile.isdecimal() and not self.has(int(tile))]

    def tidy(self) -> None:
        """Remove what was kept of tiles that somebody else has completed."""
        begun = {f"{HALFWAY}/{tile}.npz" for tile in self.begun()}
        for name in set(self.files.names(HALFWAY)) - begun:
            self.files.remove(name)

    def damaged(self, records: Mapping[int, Record]) -> dict[int, list[str]]:
        """Tiles whose chunks are not what their record says, with the variables."""
        wrong: dict[int, list[str]] = {}
        for tile, record in records.items():
            for name in self._owned(tile):
                try:
                    self._chunk(tile, name, record)
                except (DamagedError, FileNotFoundError):
                    wrong.setdefault(tile, []).append(name)
        return wrong

    def set_aside(self, tile: int, names: list[str]) -> None:
        """Move damaged chunks out of the way, and the tile is no longer complete."""
        stamp = time.strftime("%Y%m%dT%H%M%S")
        self.files.remove(_record(tile))
        for name in names:
            key = self._key(tile, name)
            self.files.move(key, f"{DAMAGED}/{key}-{stamp}-{os.getpid()}")

    def mend(self, coordinates: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Write damaged coordinates again, with a warning."""
        own, wrong = self.manifest, []
        for name, checksum in own.checksums.items():
            try:
                _ = checksum and self._read(name, checksum)
            except ValueError:
                wrong.append(name)
        if wrong:
            values = coordinates()
            keys = {name: manifest.key(name, own.coordinates[name], manifest.UNTILED, 0) for name in wrong}
            self.files.write({key: chunks.encode(values[name]) for name, key in keys.items()})
            are, they = ("is", "it is") if len(wrong) == 1 else ("are", "they are")
            warnings.warn(
                f"{self.name!r}: {', '.join(wrong)} {are} damaged; {they} written again.",
                UserWarning,
                stacklevel=outside(),
            )

    def dataset(self, records: Mapping[int, Record]) -> xarray.Dataset:
        """Everything that these tiles hold, in memory, each chunk compared with its record.

        While tiles are missing, their numbers are NaN (0, False), `computed` is False there, and the attributes
        `tiles` and `tiles_complete` count them.
        Raises: ValueError, naming the variable, where a chunk is damaged.
        """
        import xarray

        own = self.manifest
        if not own.identity and len(records) < own.tiling.count:  # it was written as a whole
            raise ValueError(f"{self.name!r} is damaged: the record of its tile cannot be read.")
        variables: dict[str, Any] = {}
        wholes = self._assembled(records)
        for name, variable in own.variables.items():
            whole = wholes.pop(name)
            attributes = dict(variable.attributes)
            if "stored_from" in attributes:
                whole = whole.astype(np.dtype(attributes.pop("stored_from")))
            variables[name] = (variable.dims, whole, attributes)
        coordinates: dict[str, Any] = {}
        for name, checksum in own.checksums.items():
            if checksum:
                one = own.coordinates[name]
                coordinates[name] = (one.dims, self._read(name, checksum), one.attributes)
            else:
                coordinates[name] = label if isinstance(label := own.labels[name], str) else (name, label)
        attributes = dict(own.attributes)
        if len(records) < own.tiling.count:
            variables["computed"] = (own.tiling.dims, self._computed(records), {"long_name": "tile complete"})
            attributes |= {"tiles": own.tiling.count, "tiles_complete": len(records)}
        return xarray.Dataset(variables, coordinates, attributes)

    def _computed(self, records: Mapping[int, Record]) -> np.ndarray:
        tiling = self.manifest.tiling
        computed = np.zeros(tiling.grid, bool)
        for tile in records:
            computed[tuple(tiling.slices(tile).values())] = True
        return computed

    def _assembled(self, records: Mapping[int, Record]) -> dict[str, np.ndarray]:
        """The variables, tile by tile."""
        variables, tiling = self.manifest.variables, self.manifest.tiling
        shapes = {name: own.chunk_shape(tiling) for name, own in variables.items()}
        wholes = {name: own.empty() for name, own in variables.items() if shapes[name] != own.shape}
        alike: dict[tuple[str, ...], list[str]] = {}  # a tile's chunks of these have one name and one place
        for name, own in variables.items():
            alike.setdefault(own.dims, []).append(name)
        for tile, record in records.items():
            at, covered = tiling.place(tile), tiling.slices(tile)
            for dims, names in alike.items():
                if not manifest.is_first(dims, at):
                    continue
                chunk, (where, inside) = manifest.chunk(dims, at), regions(dims, covered)
                for name in names:
                    part = self._part(name, chunk, record, shapes[name])
                    if name in wholes:
                        wholes[name][where] = part[inside]
                    else:
                        wholes[name] = part.copy()
        return {name: wholes[name] if name in wholes else own.empty() for name, own in variables.items()}

    def _part(self, name: str, chunk: str, record: Record, shape: tuple[int, ...]) -> np.ndarray:
        """A tile of one variable."""
        try:
            data = self.files.read(f"{name}/{chunk}")
            if chunks.said(data) != record["checksums"].get(name):
                raise DamagedError("its checksum is not that in the record of the tile")
            return chunks.decode(data, shape, self.manifest.variables[name].dtype)
        except (DamagedError, FileNotFoundError) as error:
            raise self._damage(name, error) from None

    def _read(self, name: str, checksum: str) -> np.ndarray:
        own = self.manifest.coordinates[name]
        try:
            data = self.files.read(manifest.key(name, own, manifest.UNTILED, 0))
            if chunks.checksum(data) != checksum:
                raise DamagedError("its checksum is not that in the manifest")
            return chunks.decode(data, own.shape, own.dtype).copy()
        except (DamagedError, FileNotFoundError) as error:
            raise self._damage(name, error) from None

    def _damage(self, name: str, error: Exception) -> DamagedError:
        why = "a chunk is missing" if isinstance(error, FileNotFoundError) else str(error)
        cure = "The call that made it, repeated, sets it aside and computes it again." if self.manifest.identity else ""
        return DamagedError(f"{self.name!r} is damaged: {name!r} cannot be read ({why}). {cure}".strip())

    def _chunk(self, tile: int, name: str, record: Record) -> bytes:
        data = self.files.read(self._key(tile, name))
        if chunks.checksum(data) != record["checksums"].get(name):
            raise DamagedError("its checksum is not that in the record of the tile")
        return data

    def _key(self, tile: int, name: str) -> str:
        return manifest.key(name, self.manifest.variables[name], self.manifest.tiling, tile)

    def _owned(self, tile: int) -> list[str]:
        own = self.manifest
        return [name for name, variable in own.variables.items() if manifest.owns(variable, own.tiling, tile)]


def files_at(path: str | os.PathLike[str]) -> Files:
    """The files at a path or URL.

    Raises: ValueError where fsspec does not know the URL's kind, or lacks a package for it.
    """
    text = os.fspath(path)
    if "://" not in text:
        return Local(Path(text))
    if text.startswith("file://"):
        return Local(Path(text.removeprefix("file://")))
    return Remote(text)


def open_store(path: str | os.PathLike[str]) -> Store:
    """The store at a path or URL.

    Raises: FileNotFoundError if nothing is there; ValueError if that is no store of this package, if its manifest is
    damaged, or of another format.
    """
    found = files_at(path)
    try:
        return Store(found, manifest.read(found.name, found.read(ROOT)))
    except (FileNotFoundError, NotADirectoryError):
        if not found.exists():
            raise FileNotFoundError(f"{found.name!r} does not exist.") from None
    raise ValueError(f"{found.name!r} is no store: results are folders that `ls.save`, `store=` or -o wrote.")


def check_same(store: Store, identity: Mapping[str, str], made_with: Mapping[str, str]) -> None:
    """Raise ValueError, listing what differs, unless the store is of the same problem; a warning for other versions."""
    there, before = store.manifest.identity, store.manifest.made_with
    differ = [what for what in {**there, **identity} if there.get(what) != identity.get(what)]
    versions = [what for what in made_with if before.get(what) != made_with[what]]
    made = ", ".join(f"{what} {before.get(what)} there, {made_with[what]} here" for what in versions)
    if not there:
        raise ValueError(
            f"`store` {store.name!r} was saved as a whole; there is nothing to go on with. Take another path."
        )
    if differ:
        listed = "; ".join(f"{w}: {there.get(w)} there, {identity.get(w)} here" for w in differ)
        hint = f" (Fingerprints of programs may change with versions: {made}.)" if versions else ""
        raise ValueError(
            f"`store` {store.name!r} holds another problem; {', '.join(differ)} differ ({listed}). Going on never "
            f"changes the problem: take another path, or what was asked for then.{hint}"
        )
    if versions and len(store.records()) < store.manifest.tiling.count:
        warnings.warn(
            f"`store` {store.name!r} was begun with {made}: numbers of new tiles may differ from the others' in their "
            "last digits.",
            UserWarning,
            stacklevel=outside(),
        )


def make_store(
    path: str | os.PathLike[str],
    new: Manifest,
    coordinates: Mapping[str, np.ndarray],
    tiles: Iterable[tuple[int, Mapping[str, Named]]] = (),
) -> Store | None:
    """A new store, there as a whole with its first tiles or not at all; None if somebody else has just made one."""

    def parts() -> Iterator[Mapping[str, bytes]]:
        yield manifest.files_of(new, coordinates)
        for tile, arrays in tiles:
            yield from tile_files(new, tile, arrays, {})

    return open_store(path) if files_at(path).create(parts(), last=ROOT) else None


def check_free(target: Files) -> None:
    """Raise FileExistsError if something is there, so that long work is not started in vain."""
    if target.exists():
        raise FileExistsError(
            f"{target.name!r} exists; results are never overwritten: choose another name, or remove it first."
        )


def tile_files(
    own: Manifest, tile: int, arrays: Mapping[str, Named], said: Mapping[str, Any]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The chunks of a tile and, to be written after them, its record."""
    written, checksums = {}, {}
    for name, variable in own.variables.items():
        if manifest.owns(variable, own.tiling, tile):
            values = np.asarray(arrays[name].values).astype(variable.dtype, copy=False)
            data = chunks.encode(values)
            written[manifest.key(name, variable, own.tiling, tile)] = data
            checksums[name] = chunks.checksum(data)
    record = {"checksums": checksums, "finished": time.time(), "by": me(), **said}
    return written, {_record(tile): json.dumps(record).encode()}


def place(whole: np.ndarray, dims: tuple[str, ...], part: np.ndarray, covered: Mapping[str, slice]) -> None:
    """Put a tile, which may reach beyond the grid, where it belongs."""
    where, inside = regions(dims, covered)
    whole[where] = part[inside]


def regions(dims: tuple[str, ...], covered: Mapping[str, slice]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The part of the whole that a tile covers, and the part of the tile that lies in the whole."""
    everything = slice(None)
    where = tuple([covered.get(dim, everything) for dim in dims])
    inside = tuple([slice(covered[d].stop - covered[d].start) if d in covered else everything for d in dims])
    return where, inside


def _understood(data: bytes) -> Record | None:
    """A record; None if it is damaged."""
    try:
        record = json.loads(data)
        return record if record["checksums"].keys() and float(record["finished"]) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _record(tile: int) -> str:
    return f"{COMPLETE}/{tile}.json"
