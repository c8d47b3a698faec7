"""Equations on arrays whose first axis is kept last: for each kind the same equation with its axes renumbered.

An array (n, a, b) is kept as (a, b, n): axis 0 is its last one, axis d > 0 stands at d − 1.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from landscape._jaxprs import Node

ELEMENTWISE = {
    *("neg", "sign", "abs", "floor", "ceil", "round", "is_finite", "not", "exp", "exp2", "expm1", "log", "log1p"),
    *("tanh", "logistic", "sin", "cos", "erf", "sqrt", "rsqrt", "cbrt", "square", "integer_pow", "pow", "add", "sub"),
    *("add_any", "mul", "div", "rem", "max", "min", "and", "or", "xor", "eq", "ne", "lt", "le", "gt", "ge", "copy"),
    *("select_n", "clamp", "convert_element_type", "stop_gradient"),
}
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"}


class Rule(NamedTuple):
    """How a node runs."""

    node: Node
    wants: tuple[bool, ...]  # of each of the original node's operands, whether its first axis is to be last
    gives: bool  # whether that of its results is


def as_written(node: Node) -> Rule:
    """As the equation stands."""
    return Rule(node, (False,) * len(node.inputs), False)


def moved(array: Array, last: bool) -> Array:
    """The first axis last, or the last one first."""
    if array.ndim < 2:
        return array
    return jnp.moveaxis(array, 0, -1) if last else jnp.moveaxis(array, -1, 0)


def rule(node: Node, kept: Sequence[bool]) -> Rule | None:
    """The rule for a node of which some operands are kept with their first axis last; None where there is none."""
    name = node.equation.primitive.name
    if name in ELEMENTWISE:
        return _elementwise(node)
    if name in REDUCTIONS:
        return _reduction(node)
    found = {
        "broadcast_in_dim": _broadcast,
        "reshape": _reshape,
        "squeeze": _squeeze,
        "transpose": _transpose,
        "dot_general": _product,
        "gather": _gather,
    }.get(name)
    return found(node, kept) if found else None


def _elementwise(node: Node) -> Rule | None:
    """Operands of one rank (axes of size 1 are stretched), or numbers."""
    ranks = {v.aval.ndim for v in node.equation.invars} - {0}
    return Rule(node, (True,) * len(node.inputs), True) if len(ranks) == 1 else None


def _reduction(node: Node) -> Rule:
    """Over the first axis too, and the others come back as they were written."""
    rank, axes = node.equation.invars[0].aval.ndim, node.equation.params["axes"]
    return _renumbered(node, True, 0 not in axes, axes=tuple(_place(d, rank) for d in axes))


def _broadcast(node: Node, _: Sequence[bool]) -> Rule:
    shape, places = node.equation.params["shape"], node.equation.params["broadcast_dimensions"]
    first = 0 in places  # then it is the operand's first axis, as they are in order
    new = tuple(_place(d, len(shape)) for d in places)
    new = (*new[1:], new[0]) if first else new
    return _renumbered(node, first, True, shape=(*shape[1:], shape[0]), broadcast_dimensions=new)


def _reshape(node: Node, _: Sequence[bool]) -> Rule | None:
    before, after = (variable.aval.shape for variable in (node.equation.invars[0], node.equation.outvars[0]))
    if not after or before[0] != after[0] or node.equation.params["dimensions"] is not None:
        return None
    return _renumbered(node, True, True, new_sizes=(*after[1:], after[0]))


def _squeeze(node: Node, _: Sequence[bool]) -> Rule | None:
    dims = node.equation.params["dimensions"]
    return None if 0 in dims else _renumbered(node, True, True, dimensions=tuple(d - 1 for d in dims))


def _transpose(node: Node, _: Sequence[bool]) -> Rule:
    old = node.equation.params["permutation"]
    new, stays = [_place(d, len(old)) for d in old], old[0] == 0
    return _renumbered(node, True, stays, permutation=tuple(new[1:] + new[:1] if stays else new))


def _product(node: Node, kept: Sequence[bool]) -> Rule | None:
    """(n, k)·(k, m), kept as (k, n), becomes (m, k)·(k, n); of (m, k)·(k, n) with (n, k) on the right nothing changes.

    The matrix is transposed by itself: as an operand that is read by columns it would take longer.
    """
    (contracted, batched), variables = node.equation.params["dimension_numbers"], node.equation.invars
    side = kept.index(True)
    axes, rank = contracted[side], variables[side].aval.ndim
    if all(kept) or batched[0] or 0 in axes or len(axes) != rank - 1:
        return None
    other = 1 - side
    turned = contracted[other] == (0,) and variables[other].aval.ndim == 2
    own = {side: tuple(d - 1 for d in axes), other: (1,) if turned else contracted[other]}
    order = (1, 0) if side == 0 else (0, 1)
    numbers = (tuple(own[i] for i in order), ((), ()))
    equation = node.equation.replace(
        invars=[variables[i] for i in order], params=node.equation.params | {"dimension_numbers": numbers}
    )
    swapped = Node(equation, tuple(node.inputs[i] for i in order), node.outputs)
    return Rule(swapped, (True, turned) if side == 0 else (turned, True), side == 0)


def _gather(node: Node, kept: Sequence[bool]) -> Rule | None:
    """Of single numbers, as labels pick scores."""
    numbers, rank = node.equation.params["dimension_numbers"], node.equation.invars[0].aval.ndim
    if not kept[0] or numbers.offset_dims:
        return None
    pairs = zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True)
    pairs = sorted((_place(d, rank), of) for d, of in pairs)
    new = numbers._replace(
        collapsed_slice_dims=tuple(sorted(_place(d, rank) for d in numbers.collapsed_slice_dims)),
        start_index_map=tuple(_place(d, rank) for d in numbers.start_index_map),
        operand_batching_dims=tuple(d for d, _ in pairs),
        start_indices_batching_dims=tuple(of for _, of in pairs),
    )
    sizes = node.equation.params["slice_sizes"]
    found = _renumbered(node, True, False, dimension_numbers=new, slice_sizes=(*sizes[1:], sizes[0]))
    return found._replace(wants=(True, False))


def _renumbered(node: Node, wants: bool, gives: bool, **params: Any) -> Rule:
    equation = node.equation.replace(params=node.equation.params | params)
    return Rule(node._replace(equation=equation), (wants,), gives)


def _place(axis: int, rank: int) -> int:
    """Where an axis stands when the first is last."""
    return (axis - 1) % rank
