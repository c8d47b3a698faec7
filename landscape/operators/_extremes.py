"""The smallest and largest eigenvalue of an operator, in compiled code: for every cell of a map.

Lanczos by its three-term recurrence, which keeps two vectors and no basis: rounding makes copies of eigenvalues that
have converged, but extreme Ritz values stay eigenvalues to rounding, and β|s| their residual (Paige 1980). Of few
params all columns are computed instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import eigh_tridiagonal

from landscape import _trees
from landscape._trees import Params
from landscape.operators import _space
from landscape.operators._space import Accuracy

FEW = 32  # params, up to which the matrix itself is computed
MOST = 200  # products a cell
LOOKED_AFTER = 8  # products between two looks at the residuals
BROKEN = 16  # eps of the operator's size, below which a remainder is rounding


class Extremes(NamedTuple):
    """What was found; scalars."""

    smallest: Array
    largest: Array
    residual: Array  # the larger of both ‖Bv − λv‖; 0 for a matrix
    converged: Array  # whether both are small enough
    products: Array


class _Lanczos(NamedTuple):
    before: Params
    current: Params  # of length 1
    diagonal: Array  # (MOST,)
    beside: Array  # (MOST,): beside[j] leads from vector j to j + 1
    count: Array
    found: Extremes


def extremes(times: Callable[[Params], Params], like: Params) -> Extremes:
    """Both ends of the spectrum, to residuals that are small (`_space.Accuracy`), or after MOST products.

    times: the product with blocks of vectors, leaves (b, *leaf).
    like:  a tree with the leaves' shapes and dtypes.
    """
    wide = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, _trees.wide(leaf)), like)
    size = sum(leaf.size for leaf in jax.tree.leaves(wide))
    return _of_matrix(times, wide, size) if size <= FEW else _by_lanczos(times, wide, _space.accuracy(like))


def _of_matrix(times: Callable[[Params], Params], like: Params, size: int) -> Extremes:
    columns = _space.flat(times(_space.unit_vectors(jnp.arange(size), like)))
    values = jnp.linalg.eigvalsh((columns + columns.T) / 2)
    return Extremes(values[0], values[-1], jnp.zeros_like(values[0]), jnp.isfinite(values).all(), jnp.int32(size))


def _by_lanczos(times: Callable[[Params], Params], like: Params, accuracy: Accuracy) -> Extremes:
    dtype = _trees.wide_of(like)
    zero = jnp.zeros((), dtype)
    start = _normalized(jax.tree.map(jnp.cos, _trees.phases(jax.random.key(0), like)))[0]  # the same in every cell
    state = _Lanczos(
        jax.tree.map(jnp.zeros_like, like),
        start,
        jnp.zeros(MOST, dtype),
        jnp.zeros(MOST, dtype),
        jnp.int32(0),
        Extremes(zero, zero, zero, jnp.bool_(False), jnp.int32(0)),
    )

    def unsettled(state: _Lanczos) -> Array:
        return (state.count < MOST) & ~state.found.converged & ~jnp.isnan(state.found.residual)

    def longer(state: _Lanczos) -> _Lanczos:
        state = jax.lax.fori_loop(0, LOOKED_AFTER, lambda _, s: _step(times, s), state)
        return state._replace(found=_looked_at(state, accuracy))

    return jax.lax.while_loop(unsettled, longer, state).found


def _step(times: Callable[[Params], Params], state: _Lanczos) -> _Lanczos:
    """One more product. Where the space is used up, zeros follow."""
    j, dtype = state.count, state.diagonal.dtype
    product = jax.tree.map(lambda leaf: leaf[0], times(jax.tree.map(lambda leaf: leaf[None], state.current)))
    previous = jnp.where(j > 0, state.beside[jnp.maximum(j - 1, 0)], 0)
    rest = jax.tree.map(lambda p, b: p - previous.astype(p.dtype) * b, product, state.before)
    alpha = _trees.vdot(state.current, rest).astype(dtype)
    rest = jax.tree.map(lambda r, c: r - alpha.astype(r.dtype) * c, rest, state.current)
    following, length = _normalized(rest)
    length = length.astype(dtype)
    rounding = BROKEN * jnp.finfo(dtype).eps * (jnp.abs(alpha) + previous)
    beta = jnp.where(length <= rounding, 0, length)
    return state._replace(
        before=state.current,
        current=jax.tree.map(lambda f: jnp.where(beta == 0, 0, f), following),
        diagonal=state.diagonal.at[j].set(alpha),
        beside=state.beside.at[j].set(beta),
        count=j + 1,
    )


def _looked_at(state: _Lanczos, accuracy: Accuracy) -> Extremes:
    """Extreme Ritz values, and their residuals β|s|.

    The rows that are still to come stand as the first Rayleigh quotient, uncoupled: within the spectrum.
    """
    places = jnp.arange(MOST, dtype=jnp.int32)
    # Beyond a breakdown all is 0, which need not lie within the spectrum.
    broken = jnp.cumsum(jnp.where(places < state.count, state.beside == 0, False)) > 0
    known = (places < state.count) & ~jnp.concatenate([jnp.zeros(1, bool), broken[:-1]])
    diagonal = jnp.where(known, state.diagonal, state.diagonal[0])
    last = jnp.sum(known, dtype=jnp.int32) - 1
    beside = jnp.where(known & (places < last), state.beside, 0)[:-1]
    scale = jnp.maximum(jnp.max(jnp.abs(diagonal)), jnp.max(jnp.abs(beside)))
    scale = jnp.where(scale > 0, scale, 1)  # the bisection squares entries, which may under- and overflow
    diagonal, beside = diagonal / scale, beside / scale
    ends, residuals = [], []
    for place, outwards in ((0, -1), (MOST - 1, 1)):
        value = eigh_tridiagonal(diagonal, beside, eigvals_only=True, select="i", select_range=(place, place))[0]
        ends.append(scale * value)
        residuals.append(state.beside[last] * jnp.abs(_last_entry(diagonal, beside, value, outwards, last)))
    finite = jnp.isfinite(state.diagonal).all() & jnp.isfinite(state.beside).all()
    smallest, largest, residual = (jnp.where(finite, v, jnp.nan) for v in (*ends, jnp.maximum(*residuals)))
    sizes, left = jnp.abs(jnp.stack(ends)), jnp.stack(residuals)
    small = left <= jnp.maximum(accuracy.relative * sizes, accuracy.floor * jnp.max(sizes))
    return Extremes(smallest, largest, residual, small.all() & finite, state.count)


def _last_entry(diagonal: Array, beside: Array, value: Array, outwards: int, last: Array) -> Array:
    """Of the eigenvector of an extreme eigenvalue of a tridiagonal matrix: two steps of inverse iteration.

    The shift lies just outside the spectrum, so that the matrix is definite and needs no pivots.
    """
    eps = jnp.finfo(diagonal.dtype).eps
    scale = jnp.max(jnp.abs(diagonal)) + 2 * jnp.max(jnp.abs(beside))
    shift = value + outwards * 8 * eps * jnp.where(scale > 0, scale, 1)
    zero = jnp.zeros(1, diagonal.dtype)
    below, above = jnp.concatenate([zero, beside]), jnp.concatenate([beside, zero])
    vector = jnp.where(jnp.arange(len(diagonal), dtype=jnp.int32) <= last, 1, 0).astype(diagonal.dtype)
    for _ in range(2):
        vector = jax.lax.linalg.tridiagonal_solve(below, diagonal - shift, above, vector[:, None])[:, 0]
        vector = vector / jnp.linalg.norm(vector)
    return vector[last]


def _normalized(vector: Params) -> tuple[Params, Array]:
    length = _trees.norm(vector)
    scale = jnp.where(length > 0, length, 1)
    return jax.tree.map(lambda v: v / scale.astype(v.dtype), vector), length
