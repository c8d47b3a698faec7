"""Block Lanczos with full orthogonalization and thick restarts, on trees.

The basis V has orthonormal vectors as rows, leaves (m + b, *leaf): the first `count` have been multiplied by B, and the
b after them come next. Orthogonalizing BV against V gives the columns of T = VBVᵀ, whatever the basis is: a Krylov
space, Ritz vectors kept at a restart, or a random vector where the space is used up ("breakdown"). So T is right where
three-term recurrences fail: on the zero operator, the identity, low ranks, repeated eigenvalues.

References: Golub & Underwood 1977; Stewart 2001 (Krylov–Schur); Parlett 1998, section 6.9 ("twice is enough").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params

# A remainder below so many eps of ‖B‖ is rounding: the vectors that follow are drawn at random.
BROKEN = 16
ENOUGH, PASSES = 0.7, 4  # of a vector's length that an orthogonalization may leave to be the last one


class Krylov(NamedTuple):
    """A basis, and what is known of the operator on it."""

    basis: Params  # leaves (m + b, *leaf), or (m + b, leaf.size)
    projected: Array  # (m + b, m + b): column j < count is V·B·vⱼ; of entries between those kept, the diagonal
    count: Array  # vectors multiplied by B
    largest: Array  # max ‖Bv‖ over these: the size of B
    phases: Params  # uniform on [0, π): see `_drawn`; their leaves have the shapes of the params
    drawn: Array  # random directions so far


class Ritz(NamedTuple):
    """Eigenpairs of the part of T that is known, c×c, ascending; as NumPy arrays."""

    values: np.ndarray  # (c,)
    vectors: np.ndarray  # (m, c): columns, in the basis
    residuals: np.ndarray  # (c,): ‖Bx − θx‖, from the remainder of the last block


def begin(like: Params, rows: int, block: int, phases: Params, flat: bool = False) -> Krylov:
    """A basis of `rows` vectors at most, which begins with `block` random ones. For compiled code.

    like:   a tree with the leaves' shapes and dtypes.
    phases: random numbers, uniform on [0, π), from which directions are drawn.
    flat:   keep each leaf's dimensions as one: products over several are 20 times slower on CPU. Else leaves keep
            their shapes, and so their sharding.
    """
    dtype = _trees.wide_of(like)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.size if flat else leaf.shape, _trees.wide(leaf)), like)
    basis = jax.tree.map(lambda leaf: jnp.zeros((rows + block, *leaf.shape), leaf.dtype), nothing)
    zero, none = jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
    projected = jnp.zeros((rows + block, rows + block), dtype)
    state = Krylov(basis, projected, none, zero, phases, none)
    return jax.lax.fori_loop(0, block, lambda i, state: _appended(state, nothing, i, rows + block)[0], state)


def absorbed(state: Krylov, product: Params, size: int) -> Krylov:
    """With one more block multiplied: `product` is B times rows count … count + b of the basis, leaves (b, *leaf).

    size: dimension of the space, beyond which no vector is added.
    """
    block = jax.tree.leaves(product)[0].shape[0]
    first, lengths = state.count, jax.vmap(_trees.norm)(product)
    state = state._replace(largest=jnp.maximum(state.largest, jnp.max(lengths).astype(state.largest.dtype)))
    product = stored(product, state.basis, 1)

    def one(i: Array, state: Krylov) -> Krylov:
        vector = jax.tree.map(lambda leaf: leaf[i], product)
        state, column = _appended(state, vector, first + block + i, size)
        projected = jax.lax.dynamic_update_slice_in_dim(state.projected, column[:, None], first + i, axis=1)
        return state._replace(projected=projected)

    return jax.lax.fori_loop(0, block, one, state)._replace(count=first + block)  # a loop compiles once for all


def following(state: Krylov, block: int) -> Params:
    """The block of vectors that B is to be applied to next, leaves (b, *leaf)."""
    rows = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, state.count, block), state.basis)
    return shaped(rows, state.phases)


def ritz(state: Krylov, block: int, size: int) -> Ritz:
    """The eigenpairs of what is known of T, in float64: it is small, and on the host."""
    import scipy.linalg  # threads of NumPy's go on spinning, which slows what JAX computes next by a half

    projected, count = np.asarray(state.projected, np.float64), int(state.count)
    known = min(count, size)
    upper = np.triu(projected[:known, :known])
    values, vectors = scipy.linalg.eigh(upper + np.triu(upper, 1).T, driver="ev")
    last = slice(count - block, known)
    remainder = projected[count : count + block, last] @ vectors[last]
    filled = np.zeros((len(projected) - block, known))
    filled[:known] = vectors
    return Ritz(values, filled, np.linalg.norm(remainder, axis=0))


def combined(state: Krylov, coefficients: Array) -> Params:
    """Σⱼ coefficients[j, i]·vⱼ over the rows that there are coefficients for: leaves (i, *leaf)."""
    return shaped(_mixed(state.basis, coefficients), state.phases)


def _mixed(basis: Params, coefficients: Array) -> Params:
    count = coefficients.shape[0]
    return jax.tree.map(lambda leaf: jnp.tensordot(coefficients.astype(leaf.dtype), leaf[:count], (0, 0)), basis)


def restarted(state: Krylov, kept: Array, values: Array, block: int) -> Krylov:
    """From the Ritz vectors that are kept, as columns (m, p), and the block that comes next."""
    rows, count = kept.shape
    new = _mixed(state.basis, kept)
    basis = jax.tree.map(
        lambda leaf, ritz: jnp.zeros_like(leaf).at[:count].set(ritz).at[count : count + block].set(leaf[rows:]),
        state.basis,
        new,
    )
    projected = (
        jnp.zeros_like(state.projected)
        .at[jnp.arange(count), jnp.arange(count)]
        .set(values.astype(state.projected.dtype))
    )
    return state._replace(basis=basis, projected=projected, count=jnp.asarray(count, state.count.dtype))


def run(times: Callable[[Params], Params], state: Krylov, blocks: Array | int, block: int, size: int) -> Krylov:
    """So many more blocks multiplied by `times`. For compiled code."""
    return jax.lax.fori_loop(0, blocks, lambda _, state: absorbed(state, times(following(state, block)), size), state)


def _appended(state: Krylov, vector: Params, place: Array, size: int) -> tuple[Krylov, Array]:
    """(the basis with what the vector has beyond it, normalized, as row `place`; V·vector with that row's entry).

    Where that is nothing but rounding, a random direction stands there, and the entry is 0; beyond `size`, zeros.
    """
    basis, dtype = state.basis, state.projected.dtype
    first = coefficients(basis, vector, dtype)
    rest = without(vector, basis, first)
    length = _trees.norm(rest).astype(dtype)
    broken = length <= BROKEN * jnp.finfo(dtype).eps * state.largest
    scale = jnp.where(broken, 1, length)
    rest = jax.tree.map(lambda r: r / scale.astype(r.dtype), rest)
    rest = jax.lax.cond(broken, lambda: _drawn(state), lambda: rest)
    rest, second, share = _orthogonal(basis, rest, dtype)
    room = place < size
    row = jax.tree.map(lambda r: jnp.where(room, r, 0)[None], rest)
    basis = jax.tree.map(lambda leaf, r: jax.lax.dynamic_update_slice_in_dim(leaf, r, place, axis=0), basis, row)
    column = first + jnp.where(broken, 0, length * second)
    entry = jnp.where(broken | ~room, 0, length * share)
    column = jax.lax.dynamic_update_slice_in_dim(column, entry[None], place, axis=0)
    return state._replace(basis=basis, drawn=state.drawn + 1), column


def _orthogonal(basis: Params, vector: Params, dtype: jnp.dtype) -> tuple[Params, Array, Array]:
    """(u, c, s) of a unit vector v = Σ cⱼvⱼ + s·u, u of length 1 and orthogonal to the rows.

    Once more as long as much was taken away: what is left of little is rounding along the rows.
    """

    def once(carry: tuple[Params, Array, Array, Array, Array]) -> tuple[Params, Array, Array, Array, Array]:
        rest, removed, share, _, passes = carry
        along = coefficients(basis, rest, dtype)
        rest = without(rest, basis, along)
        left = _trees.norm(rest).astype(dtype)
        scale = jnp.where(left > 0, left, 1)
        rest = jax.tree.map(lambda r: r / scale.astype(r.dtype), rest)
        return rest, removed + share * along, share * left, left, passes + 1

    rows = jax.tree.leaves(basis)[0].shape[0]
    start = (vector, jnp.zeros(rows, dtype), jnp.ones((), dtype), jnp.zeros((), dtype), jnp.int32(0))
    rest, removed, share, *_ = jax.lax.while_loop(lambda c: (c[3] < ENOUGH) & (c[4] < PASSES), once, start)
    return rest, removed, share


def _drawn(state: Krylov) -> Params:
    """A random direction: cos(kφᵢ) of phases that were drawn once, for k = 1, 2, …

    Entries of one are independent, of mean 0; of two, uncorrelated. A cosine compiles and runs many times faster than
    a random number, and all but the first directions are needed at breakdowns only.
    """
    turn = state.drawn + 1
    drawn = jax.tree.map(lambda leaf: jnp.cos(turn.astype(leaf.dtype) * leaf), state.phases)
    return stored(drawn, state.basis, 0)


def coefficients(basis: Params, vector: Params, dtype: jnp.dtype) -> Array:
    """⟨vⱼ, vector⟩ of every row."""
    parts = jax.tree.map(lambda leaf, v: jnp.tensordot(leaf, v, v.ndim).astype(dtype), basis, vector)
    return jax.tree.reduce(jnp.add, parts)


def without(vector: Params, basis: Params, coefficients: Array) -> Params:
    """vector − Σⱼ coefficients[j]·vⱼ."""
    return jax.tree.map(lambda v, leaf: v - jnp.tensordot(coefficients.astype(leaf.dtype), leaf, 1), vector, basis)


def stored(tree: Params, basis: Params, lead: int) -> Params:
    """A tree, leaves (*lead, *leaf), with leaves like the rows of the basis."""
    return jax.tree.map(lambda leaf, rows: leaf.reshape(*leaf.shape[:lead], *rows.shape[1:]), tree, basis)


def shaped(block: Params, like: Params) -> Params:
    """Rows of a basis as vectors, leaves (b, *leaf)."""
    return jax.tree.map(lambda leaf, one: leaf.reshape(leaf.shape[0], *one.shape), block, like)
