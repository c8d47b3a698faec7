"""One representative of each orbit: balanced by rescaling, signs and order of the units by their incoming weights.

In JAX, so that it can be compiled, and mapped over many params.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape.networks.symmetry._moves import Layer, Move, Place, in_order, rows, transformed, units

SWEEPS = 1000  # over the layers, until nothing is rescaled any more
NEWTON = 30  # steps, where powers other than ±1 occur; for these the equation is linear in log s
BALANCED = 4.0  # rounding units of log s

Leaves = Mapping[str, Array]


def canonical(layers: tuple[Layer, ...], leaves: Leaves) -> dict[str, Any]:
    """The representative of the leaves' orbit. Of NumPy arrays all but the balancing is done by NumPy."""
    out = dict(leaves)
    if any(layer.scales for layer in layers):
        balanced, _ = balance(layers, leaves)
        out = jax.device_get(balanced) if isinstance(next(iter(leaves.values())), np.ndarray) else balanced
    for layer, places in in_order(layers):
        if not places:
            raise ValueError(f"layer {layer.name!r} has no order: all of its weights lead to other hidden layers.")
        out = transformed(out, [(layer, _upright(layer, places, out))])
        incoming = rows(out, places)
        signs, scales = _ones(layer, incoming)
        out = transformed(out, [(layer, Move(_sorted(incoming), signs, scales))])
    return out


def _upright(layer: Layer, places: Sequence[Place], leaves: Leaves) -> Move:
    """The flips of those units whose largest incoming weight is negative, each way to flip by weights of its own."""
    signs, scales = _ones(layer, leaves[places[0].leaf])
    space, columns = signs.__array_namespace__(), []
    for i in range(layer.signs):
        own = [place for place in places if sum(place.signs) == place.signs[i] == 1]
        if not own:
            raise ValueError(f"layer {layer.name!r} has no sign: its weights that flip lead to other hidden layers.")
        incoming = rows(leaves, own)
        largest = space.take_along_axis(incoming, space.argmax(space.abs(incoming), axis=1)[:, None], axis=1)[:, 0]
        columns.append(space.where(largest < 0, -1.0, 1.0).astype(incoming.dtype))
    return Move(space.arange(layer.size), space.stack(columns, axis=1) if columns else signs, scales)


def _sorted(incoming: Any) -> Any:
    """The order of rows by their first entries, then by the second, and so on."""
    if isinstance(incoming, np.ndarray):
        return np.lexsort(incoming.T[::-1])

    def by(order: Array, column: Array) -> tuple[Array, None]:  # from the last one on, stable sorts
        return order[jnp.argsort(column[order], stable=True)], None

    return jax.lax.scan(by, jnp.arange(len(incoming)), incoming.T[::-1])[0]


def _ones(layer: Layer, like: Any) -> tuple[Any, Any]:
    space = like.__array_namespace__()
    return tuple(space.ones((layer.size, count), like.dtype) for count in (layer.signs, layer.scales))


@partial(jax.jit, static_argnames="layers")
def balance(layers: tuple[Layer, ...], leaves: Leaves) -> tuple[dict[str, Array], dict[str, Array]]:
    """(the leaves rescaled to the least Σθ², the scales (M, rescalings) of each layer).

    It is unique: Σθ² is convex in log s. Layer by layer, until nothing changes.
    """
    scaled = [layer for layer in layers if layer.scales]
    dtype = next((leaf.dtype for leaf in leaves.values()), jnp.dtype(jnp.float32))
    ones = {layer.name: jnp.ones((layer.size, layer.scales), dtype) for layer in layers}
    if not scaled:
        return dict(leaves), ones

    def sweep(state: tuple[dict[str, Array], dict[str, Array], Array, Array]) -> tuple:
        now, total, _, count = state
        largest = jnp.zeros((), dtype)
        for layer in scaled:
            for i in range(layer.scales):
                logs = _balancing(layer, now, i)
                largest = jnp.maximum(largest, jnp.max(jnp.abs(logs)))
                scales = ones[layer.name].at[:, i].set(jnp.exp(logs))
                move = Move(jnp.arange(layer.size), jnp.ones((layer.size, layer.signs), dtype), scales)
                now, total = transformed(now, [(layer, move)]), {**total, layer.name: total[layer.name] * scales}
        return now, total, largest, count + 1

    def unsettled(state: tuple) -> Array:
        return (state[2] > BALANCED * jnp.finfo(dtype).eps) & (state[3] < SWEEPS)

    first = sweep((dict(leaves), ones, jnp.zeros((), dtype), jnp.asarray(0)))
    return jax.lax.while_loop(unsettled, sweep, first)[:2]


def _balancing(layer: Layer, leaves: Leaves, i: int) -> Array:
    """log s of each unit, at which Σ e·‖w‖²·s^2e over its places vanishes.

    Where one side of that equation is all 0 (a dead unit; a weight that is normalized, whose size has no effect), it is
    taken for 1: any s is as good, and this one makes equivalent units equal.
    """
    into, outof = ([p for p in layer.places if sign * p.scales[i] > 0] for sign in (1, -1))
    simple = all(abs(place.scales[i]) == 1 for place in into + outof)
    sides = [_weights(layer, leaves, places, i) for places in (into, outof)]
    dtype = next(iter(leaves.values())).dtype

    def side(powers: Array, logs: Array, at: Array) -> tuple[Array, Array]:
        """(log of the sum, its slope)."""
        terms = logs + 2 * powers[:, None] * at[None]
        total = jax.nn.logsumexp(terms, axis=0) if len(powers) else jnp.full(layer.size, -jnp.inf, dtype)
        shares = jnp.exp(terms - jnp.where(jnp.isfinite(total), total, 0)[None])
        slope = jnp.sum(2 * powers[:, None] * shares, axis=0)
        return jnp.where(jnp.isfinite(total), total, 0), jnp.where(jnp.isfinite(total), slope, 0)

    def step(_: int, at: Array) -> Array:
        (one, rise), (other, fall) = (side(powers, logs, at) for powers, logs in sides)
        alive = rise != fall
        return at - jnp.where(alive, (one - other) / jnp.where(alive, rise - fall, 1), 0)

    return jax.lax.fori_loop(0, 1 if simple else NEWTON, step, jnp.zeros(layer.size, dtype))


def _weights(layer: Layer, leaves: Leaves, places: Sequence[Place], i: int) -> tuple[Array, Array]:
    """(powers (places,), log(|power|·‖w‖²) of each place and unit, without squares that under- or overflow)."""
    dtype = next(iter(leaves.values())).dtype
    logs = []
    for place in places:
        weights = units(leaves[place.leaf], place).reshape(layer.size, -1)
        peak = jnp.max(jnp.abs(weights), axis=1)
        scaled = weights / jnp.where(peak > 0, peak, 1)[:, None]
        logs.append(jnp.log(abs(place.scales[i]) * jnp.sum(jnp.square(scaled), axis=1)) + 2 * jnp.log(peak))
    powers = jnp.asarray([place.scales[i] for place in places], dtype)
    return powers, jnp.stack(logs) if logs else jnp.zeros((0, layer.size), dtype)
