"""Which devices and which share of the tiles a process takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from landscape import _checks
from landscape.tiles.leases import Shard
from landscape.tiles.run import WHOLE


class Settings(NamedTuple):
    """What JAX keeps by thread, and numbers may depend on, for the threads that compute."""

    precision: str
    others: tuple[tuple[Callable[[Any], Any], Any], ...]  # context managers, and their values

    @contextlib.contextmanager
    def on(self, device: Any) -> Iterator[None]:
        """At work on a device; None: wherever what is read is."""
        with contextlib.ExitStack() as stack:
            for setting, value in self.others:
                stack.enter_context(setting(value))
            stack.enter_context(jax.default_matmul_precision(self.precision))
            if device is not None:
                stack.enter_context(jax.default_device(device))
            yield


def settings(precision: str) -> Settings:
    """Those of this thread."""
    kept: dict[str, Callable[[Any], Any]] = {
        "jax_enable_x64": jax.enable_x64,
        "jax_threefry_partitionable": jax.threefry_partitionable,
        "jax_default_prng_impl": jax.default_prng_impl,
        "jax_numpy_dtype_promotion": jax.numpy_dtype_promotion,
        "jax_numpy_rank_promotion": jax.numpy_rank_promotion,
        "jax_debug_nans": jax.debug_nans,
        "jax_debug_infs": jax.debug_infs,
    }
    return Settings(precision, tuple((setting, getattr(jax.config, name)) for name, setting in kept.items()))


class Where(NamedTuple):
    """Where tiles are computed."""

    devices: list[Any]  # that they are dealt to; [None]: one after another, wherever what they read is
    together: bool = False  # what they read is sharded over several processes


def chosen(devices: Sequence[Any] | None, read: Any, batches: bool = False) -> Where:
    """Where tiles are computed that read this tree; and batches, which are read in one thread unless it was asked for.

    Raises: TypeError or ValueError, naming `devices`.
    """
    arrays = [leaf for leaf in jax.tree.leaves(read) if isinstance(leaf, jax.Array)]
    together = not all(leaf.is_fully_addressable for leaf in arrays)
    if devices is not None and any(len(leaf.sharding.device_set) > 1 for leaf in arrays):
        raise ValueError("`devices` deals tiles to single devices, and params or data are sharded; leave it out.")
    if devices is not None:
        return Where(_checked(devices))
    # Nothing that is committed, or sharded over several devices, is moved; nor what the user's default device says.
    if batches or jax.config.jax_default_device is not None or any(leaf.committed for leaf in arrays):  # pyright: ignore
        return Where([None], together)
    local = jax.local_devices()
    return Where(list(local) if len(local) > 1 else [None])


def _checked(devices: Any) -> list[Any]:
    if isinstance(devices, jax.Device) or not isinstance(devices, Sequence):
        raise TypeError(f"`devices` is {_checks.kind(devices)}; give a list of devices, such as jax.local_devices().")
    if not devices:
        raise ValueError("`devices` is empty; give at least one, or leave it out for all.")
    local = jax.local_devices()
    for device in devices:
        if not isinstance(device, jax.Device):
            raise TypeError(f"`devices` holds {_checks.kind(device)}; give JAX devices, such as jax.local_devices().")
        if device.process_index != jax.process_index():
            raise ValueError(f"`devices` holds {device}, which is another process's; this one has {local}.")
    return list(dict.fromkeys(devices))


def shard(given: tuple[int, int] | None, store: Any) -> Shard:
    """The share of this process.

    Raises: TypeError or ValueError, naming `shard`.
    """
    if given is None:
        return Shard(jax.process_index(), jax.process_count()) if store is not None else WHOLE
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError(f"`shard` is {given!r}; give (i, n): this is process i of n, counted from 0.")
    index, count = _checks.count("shard[0]", given[0], least=0), _checks.count("shard[1]", given[1])
    if index >= count:
        raise ValueError(f"`shard` is {given}; of {count} processes the last is number {count - 1}.")
    if store is None:
        raise ValueError("`shard` is a share of a store; give store= a path that all processes see.")
    return Shard(index, count)
