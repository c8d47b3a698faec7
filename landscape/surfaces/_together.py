"""A model that is sharded over the processes of `jax.distributed`: all take part in each tile, process 0 writes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from landscape.tiles import stopping
from landscape.tiles.files import UnwritableError
from landscape.tiles.halfway import Halfway
from landscape.tiles.leases import lease
from landscape.tiles.run import WHOLE, Work, computed, lacking, with_safe
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

    Raises: as `tiles.run.fill`; RuntimeError where another process failed.
    """
    first, error = jax.process_index() == 0, None
    missing = np.zeros(store.manifest.tiling.count, bool)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopping.possible())
        try:
            if first:
                missing[lacking(store)] = True
            if missing.any():
                stack.enter_context(lease(store.files, WHOLE))
        except Exception as failure:  # raised when the others know
            error = failure
        _agree(error)
        missing = np.unpackbits(multihost_utils.broadcast_one_to_all(np.packbits(missing)), count=missing.size)
        for tile in np.flatnonzero(missing == 0).tolist():
            done(tile)
        for tile in np.flatnonzero(missing).tolist():
            _agree(error)
            new = computed(work, tile, None, Halfway(None))
            try:
                if first:
                    store.put(tile, *new)
            except UnwritableError as failure:
                error = with_safe(store, failure)
            done(tile)
        _agree(error)


def _agree(error: Exception | None) -> None:
    """Go on if all processes do: one that failed, or was asked to stop, would let the others wait for ever."""
    stop, failed = np.any(multihost_utils.process_allgather(np.array([stopping.asked(), error is not None])), axis=0)
    if error is not None:
        raise error
    if failed:
        raise RuntimeError("another process failed; its own message says why.")
    if stop:
        stopping.stop()


def on_host(tree: Any) -> Any:
    """Arrays as NumPy's; those of which other processes hold parts are gathered, by all processes at once."""

    def fetched(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            return multihost_utils.process_allgather(leaf, tiled=True)
        return leaf

    return jax.device_get(jax.tree.map(fetched, tree))
