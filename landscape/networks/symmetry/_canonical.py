"""One representative of each orbit: balanced by rescaling, signs and order of the units by their incoming weights.

In JAX, so that it can be compiled, and mapped over many params.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from landscape.networks.symmetry._moves import Layer, Move, Place, in_order, rows, transformed, units

SWEEPS = 1000  # over the layers, until nothing is rescaled any more
NEWTON = 30  # steps, where powers other than ±1 occur; for these the equation is linear in log s
BALANCED = 4.0  # rounding units of log s

Leaves = Mapping[str, Array]


@partial(jax.jit, static_argnames="layers")
def canonical(layers: tuple[Layer, ...], leaves: Leaves) -> dict[str, Array]:
    """The representative of the leaves' orbit."""
    out, _ = balance(layers, leaves)
    for layer, places in in_order(layers):
        if not places:
            raise ValueError(f"layer {layer.name!r} has no order: all of its weights lead to other hidden layers.")
        for i in range(layer.signs):
            odd = [place for place in places if place.signs[i]]
            if not odd:
                raise ValueError(
                    f"layer {layer.name!r} has no sign: its weights that flip lead to other hidden layers."
                )
            out = transformed(out, [(layer, _upright(layer, rows(out, odd), i))])
        order = _sorted(rows(out, places))
        out = transformed(out, [(layer, Move(order, *_ones(layer, order)))])
    return out


def _upright(layer: Layer, incoming: Array, i: int) -> Move:
    """The flip of those units whose largest incoming weight is negative."""
    largest = jnp.take_along_axis(incoming, jnp.argmax(jnp.abs(incoming), axis=1)[:, None], axis=1)[:, 0]
    signs, scales = _ones(layer, incoming)
    flips = jnp.where(largest < 0, -1.0, 1.0).astype(incoming.dtype)
    return Move(jnp.arange(layer.size), signs.at[:, i].set(flips), scales)


def _sorted(incoming: Array) -> Array:
    """The order of rows by their first entries, then by the second, and so on: from the last one on, stable sorts."""

    def by(order: Array, column: Array) -> tuple[Array, None]:
        return order[jnp.argsort(column[order], stable=True)], None

    return jax.lax.scan(by, jnp.arange(len(incoming)), incoming.T[::-1])[0]


def _ones(layer: Layer, like: Array) -> tuple[Array, Array]:
    dtype = like.dtype if jnp.issubdtype(like.dtype, jnp.floating) else jnp.zeros(()).dtype
    return jnp.ones((layer.size, layer.signs), dtype), jnp.ones((layer.size, layer.scales), dtype)


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
    """log s of each unit, at which Σ e·‖w‖²·s^2e over its places vanishes; 0 where one side of the unit is all 0.

    Where all e have one sign (a weight that is normalized has no effect by its size), that at which the sum is ±1.
    """
    into, outof = ([p for p in layer.places if sign * p.scales[i] > 0] for sign in (1, -1))
    simple = all(abs(place.scales[i]) == 1 for place in into + outof)
    sides = [_weights(layer, leaves, places, i) for places in (into, outof)]
    one = jnp.zeros(1, sides[0][1].dtype), jnp.ones((1, layer.size), sides[0][1].dtype)
    sides = [side if places else one for side, places in zip(sides, (into, outof), strict=True)]
    alive = (sides[0][1].sum(axis=0) > 0) & (sides[1][1].sum(axis=0) > 0)

    def step(_: int, logs: Array) -> Array:
        sums, slopes = [], []
        for powers, squares in sides:
            parts = jnp.where(alive[None], squares * jnp.exp(2 * powers[:, None] * logs[None]), 1.0)
            sums.append(parts.sum(axis=0))
            slopes.append((2 * powers[:, None] * parts).sum(axis=0) / sums[-1])
        return logs - jnp.where(alive, jnp.log(sums[0] / sums[1]) / (slopes[0] - slopes[1]), 0.0)

    return jax.lax.fori_loop(0, 1 if simple else NEWTON, step, jnp.zeros(layer.size, sides[0][1].dtype))


def _weights(layer: Layer, leaves: Leaves, places: Sequence[Place], i: int) -> tuple[Array, Array]:
    """(powers (places,), |power|·‖w‖² of each place and unit)."""
    if not places:
        return jnp.zeros(0), jnp.zeros((0, layer.size), next(iter(leaves.values())).dtype)
    squares = [
        abs(place.scales[i]) * jnp.sum(jnp.square(units(leaves[place.leaf], place).reshape(layer.size, -1)), axis=1)
        for place in places
    ]
    return jnp.asarray([place.scales[i] for place in places], squares[0].dtype), jnp.stack(squares)
