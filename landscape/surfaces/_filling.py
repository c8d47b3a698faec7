"""Begin a store and fill it, alone, as one of several processes, or together with them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from landscape.surfaces import _together
from landscape.surfaces._devices import Where
from landscape.surfaces.provenance import made_with
from landscape.tiles import run
from landscape.tiles.chunks import DamagedError
from landscape.tiles.leases import Shard
from landscape.tiles.manifest import Manifest
from landscape.tiles.store import Store, check_same, files_at, make_store, open_store

Result = TypeVar("Result")


def begun(
    path: str | os.PathLike[str],
    identity: Mapping[str, str],
    new: Callable[[], tuple[Manifest, dict[str, np.ndarray]]],
    where: Where,
) -> Store:
    """The store of a problem, as somebody has begun it, else a new one.

    Raises: ValueError, with what differs, where it is another problem's; OSError where none can be made.
    """

    def begin(new: Callable[[], tuple[Manifest, dict[str, np.ndarray]]]) -> Store:
        made = make_store(path, *new()) if files_at(path).is_free() else None
        store = made or open_store(path)  # where somebody else was faster, theirs
        check_same(store, identity, made_with())
        if made is None:
            store.mend(lambda: new()[1])
        return store

    if not where.together:
        return begin(new)
    ready = new()  # by all processes: it reads params of which each holds a part
    return _together.in_turn(lambda: begin(lambda: ready))


def filled(
    store: Store,
    work: run.Work,
    shard: Shard,
    where: Where,
    done: Callable[[int], None],
    read: Callable[[Store, bool], Result],
) -> Result:
    """What `read(store, complete=True)` returns once nothing is lacking; raises as `tiles.run.fill`."""
    if where.together:
        _together.fill(store, work, done)
        return read(store, True)
    if len(store.records()) == store.manifest.tiling.count:
        with contextlib.suppress(DamagedError):  # reading finds damage as well as looking for it does
            return read(store, True)
    run.fill(store, work, shard, where.devices, done)
    return read(store, True)
