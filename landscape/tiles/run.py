"""Filling a tiling: tiles are dealt to devices, each worked on by one call, and put where they are kept."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from landscape._callers import outside
from landscape.tiles import stopping
from landscape.tiles.files import UnwritableError
from landscape.tiles.halfway import Halfway
from landscape.tiles.leases import Shard, lease, writers
from landscape.tiles.manifest import Named
from landscape.tiles.store import DAMAGED, Store, place
from landscape.tiles.tiling import Tiling

WHOLE = Shard(0, 1)
EACH = 2  # tiles, from which on a further device pays: it compiles, and holds the data, for itself
AGAIN = 1.0  # seconds, after which what looks damaged is looked at again
ROUNDS = 3  # in which a store must become complete


class Tile(NamedTuple):
    """What came of a tile."""

    arrays: Mapping[str, Named]  # of the tile's shape
    said: Mapping[str, Any]  # for its record


class Work(Protocol):
    """Computes a tile on a device (None: wherever its inputs are)."""

    def __call__(self, tile: int, device: Any, halfway: Halfway) -> Tile: ...


class Place(Protocol):
    """Where tiles are kept."""

    def has(self, tile: int) -> bool: ...

    def put(self, tile: int, arrays: Mapping[str, Named], said: Mapping[str, Any]) -> None: ...

    def halfway(self, tile: int) -> Halfway: ...


class Memory:
    """Tiles in memory: whole arrays."""

    def __init__(self, tiling: Tiling) -> None:
        self.arrays: dict[str, Named] = {}
        self._tiling = tiling

    def has(self, tile: int) -> bool:
        """None is there before it was computed."""
        return False

    def put(self, tile: int, arrays: Mapping[str, Named], said: Mapping[str, Any]) -> None:
        """Copy a tile into the whole."""
        tiling = self._tiling
        if tiling.grid == tiling.shape:
            self.arrays = dict(arrays)
            return
        sizes, covered = dict(zip(tiling.dims, tiling.grid, strict=True)), tiling.slices(tile)
        for name, (dims, values) in arrays.items():
            if name not in self.arrays:
                lengths = dict(zip(dims, values.shape, strict=True))
                lengths |= {dim: size for dim, size in sizes.items() if dim in lengths}
                self.arrays[name] = Named(dims, np.empty(tuple(lengths.values()), values.dtype))
            place(self.arrays[name].values, dims, values, covered)

    def halfway(self, tile: int) -> Halfway:
        """Nothing is kept."""
        return Halfway(None)


def order(tiles: Sequence[int], count: int, shard: Shard) -> list[int]:
    """The missing tiles in the order in which a process takes them.

    First its own, index, index + n, …; then what others have left, from the last one on, so that it meets whoever is
    still at work on them.
    """
    missing = set(tiles)
    shares = [range((shard.index + i) % shard.count, count, shard.count) for i in range(shard.count)]
    return [t for t in shares[0] if t in missing] + [t for share in shares[1:] for t in reversed(share) if t in missing]


def run(work: Work, place: Place, tiles: Iterable[int], devices: Sequence[Any], done: Callable[[int], None]) -> None:
    """Compute tiles that are not there yet, one at a time on each device; `done(tile)` is called after each.

    Raises: what `work` raises, after the tiles in hand; `stopping.Stopped` if the run was asked to stop.
    """
    tiles = list(tiles)
    waiting, lock = iter(tiles), threading.Lock()
    failed: list[BaseException] = []
    devices = devices[: max(1, len(tiles) // EACH)]

    def following() -> Iterator[int]:
        while not failed:
            if stopping.asked():
                stopping.stop()
            with lock:
                tile = next(waiting, None)
            if tile is None:
                return
            yield tile

    def on(device: Any) -> None:
        try:
            for tile in following():
                if not place.has(tile):
                    halfway = place.halfway(tile)
                    new = computed(work, tile, device, halfway)
                    with lock if isinstance(place, Memory) else contextlib.nullcontext():
                        if not place.has(tile):  # else another process was faster
                            place.put(tile, *new)
                    halfway.drop()
                with lock:
                    done(tile)
        except BaseException as error:
            failed.append(error)

    if len(devices) == 1:
        on(devices[0])
    else:
        _in_threads(on, devices, failed)
    if failed:
        raise failed[0]


def _in_threads(on: Callable[[Any], None], devices: Sequence[Any], failed: list[BaseException]) -> None:
    """on(device) of all at once. An interruption is a failure: what is in hand is finished; a second one ends that."""
    # Not a pool: at its end, and at that of the interpreter, threads would be waited for. Nor are they joined: after
    # a `join` that was interrupted a thread may count as ended that is not, and tiles would come after the exception.
    ended = [threading.Event() for _ in devices]

    def until(device: Any, end: threading.Event) -> None:
        try:
            on(device)
        finally:
            end.set()

    for device, end in zip(devices, ended, strict=True):
        threading.Thread(target=until, args=(device, end), daemon=True, name=f"tiles on {device}").start()
    try:
        for end in ended:
            end.wait()
    except BaseException as error:
        failed.insert(0, error)
        for end in ended:
            end.wait()


def computed(work: Work, tile: int, device: Any, halfway: Halfway) -> Tile:
    """A tile, with the seconds that it took."""
    started = time.perf_counter()
    arrays, said = work(tile, device, halfway)
    return Tile(arrays, {"seconds": round(time.perf_counter() - started, 6), **said})


def lacking(store: Store) -> list[int]:
    """The tiles that a store lacks. A damaged chunk is set aside, with a warning, and its tile is one of them."""
    records = store.records()
    damaged = store.damaged(records)
    if damaged:  # or just being written, by another process that was as fast
        time.sleep(AGAIN if writers(store.files) else 0)
        found = {tile: store.record(tile) for tile in damaged}
        records |= {tile: record for tile, record in found.items() if record is not None}
        damaged = store.damaged({tile: records[tile] for tile in damaged})
    for tile, names in damaged.items():
        store.set_aside(tile, names)
        warnings.warn(
            f"{store.name!r}: tile {tile} is damaged ({', '.join(names)}); it is computed again, and what was there "
            f"is kept under {DAMAGED}/.",
            UserWarning,
            stacklevel=outside(),
        )
    return [tile for tile in range(store.manifest.tiling.count) if tile not in records or tile in damaged]


def fill(store: Store, work: Work, shard: Shard, devices: Sequence[Any], done: Callable[[int], None]) -> None:
    """Compute what a store lacks, until it is complete; `done(tile)` is called of each, those that are there at once.

    A complete store is not written to.
    Raises: as `run`; UnwritableError where the store cannot be written to (any more), with what is safe.
    """
    tiles = range(store.manifest.tiling.count)
    missing = lacking(store)
    for tile in sorted(set(tiles) - set(missing)):
        done(tile)
    if not missing:
        return
    try:
        with lease(store.files, shard), stopping.possible():
            store.files.sweep()
            for _ in range(ROUNDS):  # another process may set a damaged tile aside
                run(work, store, order(missing, len(tiles), shard), devices, done)
                missing = [tile for tile in tiles if not store.has(tile)]
                if not missing:
                    store.tidy()
                    return
    except UnwritableError as error:
        raise with_safe(store, error) from error
    raise RuntimeError(f"{store.name!r} lacks {len(missing)} tiles although they were computed: somebody removes them.")


def with_safe(store: Store, error: UnwritableError) -> UnwritableError:
    """The error, with how many tiles are safe."""
    safe = f"{len(store.records())} of {store.manifest.tiling.count} tiles are safe"
    return UnwritableError(
        error.errno, f"{error.strerror} ({safe}; mend that and repeat the call to go on)", store.name
    )
