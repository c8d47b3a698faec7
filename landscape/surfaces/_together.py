"""A model that is sharded over the processes of `jax.distributed`: all take part in each tile, process 0 writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from landscape.tiles import stopping
from landscape.tiles.halfway import Halfway
from landscape.tiles.leases import lease
from landscape.tiles.run import WHOLE, Work, computed, lacking
from landscape.tiles.store import Store

T = TypeVar("T")


def in_turn(action: Callable[[], T]) -> T:
    """What `action` returns: process 0 goes first, and the others follow if it did not fail.

    Raises: what `action` raises; RuntimeError where it failed in process 0.
    """
    first, failure, result = jax.process_index() == 0, None, None
    if first:
        try:
            result = action()
        except Exception as error:  # raised below, when the others know
            failure = error
    failed = bool(multihost_utils.broadcast_one_to_all(np.array(failure is not None)))
    if failure is not None:
        raise failure
    if failed:
        raise RuntimeError("process 0 failed; its own message says why.")
    return action() if result is None else result


def fill(store: Store, work: Work, done: Callable[[int], None]) -> None:
    """Compute what a store lacks, all processes each tile. What a tile has halfway is not kept.

    Raises: as `tiles.run.fill`.
    """
    count = store.manifest.tiling.count
    missing = np.zeros(count, bool)
    if jax.process_index() == 0:
        missing[lacking(store)] = True
    missing = np.unpackbits(multihost_utils.broadcast_one_to_all(np.packbits(missing)), count=count).astype(bool)
    for tile in np.flatnonzero(~missing).tolist():
        done(tile)
    with stopping.possible():
        if jax.process_index() == 0 and missing.any():
            with lease(store.files, WHOLE):
                _run(store, work, np.flatnonzero(missing).tolist(), done)
        else:
            _run(store, work, np.flatnonzero(missing).tolist(), done)
    multihost_utils.sync_global_devices("landscape: the store is complete")


def _run(store: Store, work: Work, tiles: Sequence[int], done: Callable[[int], None]) -> None:
    for tile in tiles:
        if np.any(multihost_utils.process_allgather(np.array(stopping.asked()))):  # one for all: else the rest wait
            stopping.stop()
        new = computed(work, tile, None, Halfway(None, tile))
        if jax.process_index() == 0:
            store.put(tile, *new)
        done(tile)


def on_host(tree: Any) -> Any:
    """Arrays as NumPy's; those of which other processes hold parts are gathered, by all processes at once."""

    def fetched(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            return multihost_utils.process_allgather(leaf, tiled=True)
        return leaf

    return jax.device_get(jax.tree.map(fetched, tree))
