"""The largest increase of the risk in a ball: projected gradient ascent from several starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.analysis.sharpness._ball import Ball
from landscape.tiles.progress import Progress

SUFFICIENT = 1e-4  # share of the predicted increase that a step must have (Armijo)
FIRST, LONGEST = 10.0, 1e4  # radii that a step is long before it is projected: long ones are steps of power iteration
LONGER, SHORTER = 2.0, 0.125


class Maximum(NamedTuple):
    """The largest increase that was found, a lower bound of the maximum; and whether it is stationary."""

    value: float
    converged: bool


class _Ascent(NamedTuple):
    """One start: where it is, and what was found on its way."""

    u: Params
    increase: Array
    slope: Params
    step: Array  # multiplies the slope
    highest: Array  # the largest increase of all points that were tried; NaN once one was
    settled: Array  # whether what ⟨slope, v − u⟩ can reach in the ball is nothing beside the increase
    moving: Array


def maximum(ball: Ball, radius: float, starts: Sequence[Params], max_steps: int, bar: Progress) -> Maximum:
    """max over ‖u‖ ≤ ρ of the increase, from u = 0 and from each start moved out to the sphere.

    A point is stationary where ρ‖g‖ − ⟨g, u⟩ ≤ √ε · |increase|, g the slope: the gap of Frank and Wolfe, the most that
    a linear function of this slope gains in the ball. It is 0 where g = 0, and where u = ρ·g/‖g‖.
    """
    dtype = ball.operator.dtype
    size, tolerance = np.asarray(radius, dtype), np.asarray(np.sqrt(np.finfo(dtype).eps), dtype)
    values, settled = [], []
    for u in (ball.zero(), *(_outward(start, size) for start in starts)):
        found = _begun(u, *ball.with_slope(u), size, tolerance)
        for _ in range(max_steps):
            if not found.moving:
                break
            trial = _tried(found, size)
            found = _judged(found, trial, *ball.with_slope(trial), size, tolerance)
        bar.update(1)
        values.append(float(found.highest))
        settled.append(bool(found.settled))
    value = float(np.max(values))  # NaN, once there is one
    return Maximum(value, settled[int(np.argmax(values))] and bool(np.isfinite(value)))


def one_step(ball: Ball, radius: float) -> float:
    """The increase at u = ρ·g/‖g‖, g the slope at u = 0; 0 where that is."""
    _, slope = ball.with_slope(ball.zero())
    return float(ball.increase(_outward(slope, np.asarray(radius, ball.operator.dtype))))


@jax.jit
def _begun(u: Params, increase: Array, slope: Params, radius: Array, tolerance: Array) -> _Ascent:
    return _at(u, increase, slope, FIRST * radius / _length(slope), increase, radius, tolerance)


@jax.jit
def _tried(found: _Ascent, radius: Array) -> Params:
    """One step along the slope, projected onto the ball."""
    moved = jax.tree.map(lambda u, g: u + found.step.astype(g.dtype) * g, found.u, found.slope)
    return _times(jnp.minimum(1, radius / _length(moved)), moved)


@jax.jit
def _judged(found: _Ascent, u: Params, increase: Array, slope: Params, radius: Array, tolerance: Array) -> _Ascent:
    """With the step taken if the increase has grown enough for it, and a shorter one next if not."""
    predicted = _trees.vdot(found.slope, jax.tree.map(jnp.subtract, u, found.u)).astype(increase.dtype)
    better = increase >= found.increase + SUFFICIENT * predicted  # False for NaN
    highest = jnp.maximum(found.highest, increase)
    u, increase, slope = jax.tree.map(
        lambda new, old: jnp.where(better, new, old), (u, increase, slope), (found.u, found.increase, found.slope)
    )
    longer = jnp.minimum(LONGER * found.step, LONGEST * radius / _length(slope))
    return _at(u, increase, slope, jnp.where(better, longer, SHORTER * found.step), highest, radius, tolerance)


def _at(
    u: Params, increase: Array, slope: Params, step: Array, highest: Array, radius: Array, tolerance: Array
) -> _Ascent:
    length = _trees.norm(slope).astype(radius.dtype)
    gap = radius * length - _trees.vdot(slope, u).astype(radius.dtype)
    settled = gap <= tolerance * jnp.abs(increase).astype(radius.dtype)
    too_short = step * length <= jnp.finfo(radius.dtype).eps * radius
    moving = ~settled & ~too_short & jnp.isfinite(increase) & jnp.isfinite(gap)
    return _Ascent(u, increase, slope, step, highest, settled, moving)


@jax.jit
def _outward(u: Params, radius: Array) -> Params:
    """Of length ρ."""
    return _times(radius / _length(u), u)


def _length(tree: Params) -> Array:
    """‖tree‖; 1 for zeros."""
    length = _trees.norm(tree)
    return jnp.where(length > 0, length, jnp.ones_like(length))


def _times(factor: Array, tree: Params) -> Params:
    return jax.tree.map(lambda leaf: factor.astype(leaf.dtype) * leaf, tree)
