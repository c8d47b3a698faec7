"""Products with blocks of vectors, for compiled code: what depends on the params alone is linearized once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.objectives import footprint
from landscape.objectives.data import Batch, num_examples
from landscape.objectives.objective import Losses, losses_and_weights, reduced
from landscape.objectives.split import Split

CACHED, NARROW = 2**20, 2**12  # bytes on the way to a gradient: of all examples, of one


class Program(NamedTuple):
    """What a product computes: static."""

    losses: Losses
    split: Split | None
    kind: str
    reduction: str
    size: int  # examples at a time


class Inputs(NamedTuple):
    """What a product reads. Trees are like params, with None in place of leaves that are not chosen."""

    moving: Params
    params: Params
    data: Batch  # one batch where they are read batch by batch
    shift: Params  # 2βᵢ, the Hessian of the penalty: numbers, or arrays like the leaf


def linear(program: Program, inputs: Inputs) -> Callable[[Params], Params]:
    """The product with blocks of vectors, leaves (b, *leaf), on data in memory: for compiled code.

    What depends on params alone is computed here, outside of loops that call the result, where one batch is all data.
    """
    n = num_examples(inputs.data)
    if program.size >= n:
        apply, weight = _on_batch(program, inputs)
        return lambda block: finished(program, inputs, block, _mapped(program, inputs, apply, block), weight)

    def part(first: Array | int, size: int, block: Params) -> tuple[Params, Array]:
        cut = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, size), inputs.data)
        return share(program, inputs._replace(data=cut), block)

    def times(block: Params) -> Params:
        def add(i: Array, sums: Any) -> Any:
            return jax.tree.map(jnp.add, sums, part(i * program.size, program.size, block))

        whole = n // program.size
        shapes = jax.eval_shape(lambda b: part(0, program.size, b), block)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        sums = jax.lax.fori_loop(0, whole, add, zeros)
        if n % program.size:
            rest = part(whole * program.size, n % program.size, block)
            sums = jax.tree.map(jnp.add, sums, rest)
        return finished(program, inputs, block, *sums)

    return times


@partial(jax.jit, static_argnames="program")
def times(program: Program, inputs: Inputs, block: Params) -> Params:
    """The product with a block of vectors, on data in memory."""
    return linear(program, inputs)(block)


@partial(jax.jit, static_argnames="program")
def product(program: Program, inputs: Inputs, vector: Params) -> Params:
    """That with a single vector: one call, where adding an axis and taking it away took a call for each leaf."""
    block = jax.tree.map(lambda own, v: jnp.asarray(v, _trees.wide(own))[None], inputs.moving, vector)
    return jax.tree.map(lambda leaf: leaf[0], linear(program, inputs)(block))


@partial(jax.jit, static_argnames="program")
def share(program: Program, inputs: Inputs, block: Params) -> tuple[Params, Array]:
    """(Σ wᵢBᵢv, Σ wᵢ) of one batch."""
    apply, weight = _on_batch(program, inputs)
    return _mapped(program, inputs, apply, block), weight


def _mapped(program: Program, inputs: Inputs, apply: Callable[[Params], Params], block: Params) -> Params:
    """apply to each of a block's vectors; to a single one without a batch dimension, which would slow its products."""
    if jax.tree.leaves(block)[0].shape[0] == 1:
        return jax.tree.map(lambda leaf: leaf[None], apply(jax.tree.map(lambda leaf: leaf[0], block)))
    together = jax.vmap(apply)
    if not _is_large(program, inputs):
        return together(block)
    # By what it is compiled for: the default backend is not where the inputs are, nor what `default_device` says.
    return jax.lax.platform_dependent(block, cpu=partial(jax.lax.map, apply), default=together)


def _is_large(program: Program, inputs: Inputs) -> bool:
    """Whether a CPU better multiplies vectors one after another: what several compute leaves its cache, and what one
    computes of an example is not so narrow that several make better products of matrices.
    """
    shapes = _trees.shapes(inputs.params), _trees.shapes(inputs.data)
    return footprint.computed(program.losses, *shapes) > max(CACHED, NARROW * num_examples(inputs.data))


def finished(program: Program, inputs: Inputs, block: Params, total: Params, weight: Array) -> Params:
    """The risk's product from its sums, and the penalty's."""

    def leaf(total: Array, block: Array, shift: Array) -> Array:
        return reduced(total, weight.astype(total.dtype), program.reduction) + jax.vmap(lambda v: shift * v)(block)

    return jax.tree.map(leaf, total, block, inputs.shift)


def _on_batch(program: Program, inputs: Inputs) -> tuple[Callable[[Params], Params], Array]:
    """(v ↦ Σ wᵢBᵢv in float32 or wider, Σ wᵢ) of one batch."""
    moving = inputs.moving
    weights = losses_and_weights(program.losses, inputs.params, inputs.data)[1]
    weight = jnp.sum(weights)
    safe = jnp.where(weight == 0, jnp.ones_like(weight), weight)  # a batch of padding alone
    # Of the mean, and multiplied after: a sum over examples overflows float16.
    apply = _PRODUCTS[program.kind](program, inputs, weights / safe)

    def wide(vector: Params) -> Params:
        narrow = jax.tree.map(lambda leaf, v: v.astype(leaf.dtype), moving, vector)
        return jax.tree.map(lambda out: out.astype(_trees.wide(out)) * weight.astype(_trees.wide(out)), apply(narrow))

    return wide, weight


def _hessian(program: Program, inputs: Inputs, shares: Array) -> Callable[[Params], Params]:
    def mean(moving: Params) -> Array:
        losses, _ = losses_and_weights(program.losses, _trees.merged(moving, inputs.params), inputs.data)
        return jnp.sum(jnp.where(shares == 0, 0, shares * losses))

    return jax.linearize(jax.grad(mean), inputs.moving)[1]


def _fisher(program: Program, inputs: Inputs, shares: Array) -> Callable[[Params], Params]:
    def losses(moving: Params) -> Array:
        return losses_and_weights(program.losses, _trees.merged(moving, inputs.params), inputs.data)[0]

    _, forward = jax.linearize(losses, inputs.moving)
    backward = jax.linear_transpose(forward, inputs.moving)

    def product(v: Params) -> Params:
        slopes = forward(v)
        return backward(jnp.where(shares == 0, 0, shares * slopes))[0]

    return product


def _gauss_newton(program: Program, inputs: Inputs, shares: Array) -> Callable[[Params], Params]:
    split: Any = program.split

    def outputs(moving: Params) -> Any:
        return split.outputs(_trees.merged(moving, inputs.params), inputs.data)

    def mean(outputs: Any) -> Array:
        losses, _ = losses_and_weights(split.losses_of, outputs, inputs.data)
        return jnp.sum(jnp.where(shares == 0, 0, shares * losses))

    at, forward = jax.linearize(outputs, inputs.moving)
    _, middle = jax.linearize(jax.grad(mean), at)
    backward = jax.linear_transpose(forward, inputs.moving)
    return lambda v: backward(middle(forward(v)))[0]


_PRODUCTS = {"hessian": _hessian, "fisher": _fisher, "gauss_newton": _gauss_newton}
