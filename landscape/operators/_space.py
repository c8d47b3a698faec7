"""Krylov spaces of a `Curvature`: compiled where the data are in memory, else product by product."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _cost, _trees
from landscape._trees import Params
from landscape.objectives import data as _data
from landscape.objectives import footprint
from landscape.objectives.data import num_examples
from landscape.operators import _krylov
from landscape.operators._krylov import Krylov
from landscape.operators._linear import Inputs, Program, linear
from landscape.operators.products import Curvature

AT_A_TIME = 8  # vectors multiplied at a time


class Accuracy(NamedTuple):
    """When a residual of λ is small: at most max(relative·|λ|, floor·max |λ|), the second being what rounding leaves.

    Measured by λ itself, as in ARPACK: by the largest |λ| alone, a small eigenvalue would have converged at once.
    """

    relative: float
    floor: float


def accuracy(moving: Params, relative: float | None = None) -> Accuracy:
    """By default √ε of inner products; the floor is 64ε, of leaves in bfloat16 or float16 2ε."""
    leaves = jax.tree.leaves(moving)
    floors = [(64 if leaf.dtype.itemsize >= 4 else 2) * float(jnp.finfo(leaf.dtype).eps) for leaf in leaves]
    usual = max(float(jnp.finfo(_trees.wide(leaf)).eps) for leaf in leaves) ** 0.5
    return Accuracy(usual if relative is None else relative, max(floors))


def vector_bytes(operator: Curvature) -> int:
    """What one vector takes."""
    return sum(leaf.size * _trees.wide(leaf).itemsize for leaf in jax.tree.leaves(operator.inputs.moving))


def at_a_time(operator: Curvature, memory: int | None, most: int = AT_A_TIME) -> int:
    """How many vectors may be multiplied together: each has tangents of what a gradient computes on the way."""
    data = _data.first_batch(operator.objective.data)
    shapes = _trees.shapes(operator.params), _trees.shapes(data)
    share = (operator.program.size or num_examples(data)) / num_examples(data)
    each = 2 * footprint.computed(operator.objective.traced_losses, *shapes) * share + 3 * vector_bytes(operator)
    return max(1, min(most, int(_cost.budget(memory) / each)))


def evenly(count: int, most: int) -> int:
    """How many at a time: a number that divides the count, so that one compiled program does all, if there is one."""
    return next((size for size in range(min(most, count), most // 2, -1) if count % size == 0), min(most, count))


def begin(moving: Params, rows: int, width: int, key: Array) -> Krylov:
    """A basis of `rows` vectors at most, which begins with `width` random ones."""
    whole = all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(moving))
    return _begun(moving, rows, width, key, whole and jax.default_backend() == "cpu")


@partial(jax.jit, static_argnames=("rows", "width", "flat"))
def _begun(moving: Params, rows: int, width: int, key: Array, flat: bool) -> Krylov:
    return _krylov.begin(moving, rows, width, _trees.phases(key, moving), flat)


def advanced(operator: Curvature, state: Krylov, blocks: int, width: int) -> Krylov:
    """With so many more blocks multiplied. The state that is given is used up.

    Raises: ValueError where a product is not finite, with the batch where it is not.
    """
    if operator.resident:
        state = _advanced(operator.program, operator.inputs, state, blocks, width, operator.size)
    else:
        for _ in range(blocks):
            state = _absorbed(state, operator.times(_following(state, width)), operator.size)
    if not np.isfinite(state.projected).all():
        block = _krylov.shaped(jax.tree.map(lambda leaf: leaf[:width], state.basis), state.phases)
        operator.refuse(jax.tree.map(lambda leaf: jnp.where(jnp.isfinite(leaf), leaf, 1), block))
    return state


@partial(jax.jit, static_argnames=("program", "width", "size"), donate_argnames="state")
def _advanced(program: Program, inputs: Inputs, state: Krylov, blocks: int, width: int, size: int) -> Krylov:
    return _krylov.run(linear(program, inputs), state, blocks, width, size)


_absorbed = jax.jit(_krylov.absorbed, static_argnames="size", donate_argnames="state")
_following = jax.jit(_krylov.following, static_argnames="block")


@jax.jit
def without(block: Params, basis: Params) -> Params:
    """Vectors, leaves (b, *leaf), less what they have along the rows of a basis: twice, for rounding."""

    def one(vector: Params) -> Params:
        for _ in range(2):
            along = _krylov.coefficients(basis, vector, _trees.wide_of(basis))
            vector = _krylov.without(vector, basis, along)
        return vector

    return _krylov.shaped(jax.vmap(one)(_krylov.stored(block, basis, 1)), jax.tree.map(lambda leaf: leaf[0], block))


@jax.jit
def unit_vectors(places: Array, like: Params) -> Params:
    """Vectors with one entry of 1, at these places (b,) of all entries in a row: leaves (b, *leaf)."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])

    def ones(leaf: Array, end: int) -> Array:
        return jax.vmap(lambda i: (jnp.arange(end - leaf.size, end) == i).reshape(leaf.shape))(places)

    pairs = zip(leaves, ends, strict=True)
    return structure.unflatten([ones(leaf, int(end)).astype(leaf.dtype) for leaf, end in pairs])


@jax.jit
def flat(block: Params) -> Array:
    """Vectors, leaves (b, *leaf), as rows (b, entries): for matrices of few params."""
    dtype, leaves = _trees.wide_of(block), jax.tree.leaves(block)
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1).astype(dtype) for leaf in leaves], axis=1)
