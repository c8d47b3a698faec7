"""Equations on arrays whose first axis is kept last: for each kind the same equation with its axes renumbered.

An array (n, a, b) is kept as (a, b, n): axis 0 is its last one, axis d > 0 stands at d − 1. Arrays of rank 1 stay
as they are. `_examples_last` decides which arrays are kept so.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _cost
from landscape._jaxprs import Node, is_value

ELEMENTWISE = {
    *("neg", "sign", "abs", "floor", "ceil", "round", "is_finite", "not", "exp", "exp2", "expm1", "log", "log1p"),
    *("tanh", "logistic", "sin", "cos", "erf", "sqrt", "rsqrt", "cbrt", "square", "integer_pow", "pow", "add", "sub"),
    *("add_any", "mul", "div", "rem", "max", "min", "and", "or", "xor", "eq", "ne", "lt", "le", "gt", "ge", "copy"),
    *("select_n", "clamp", "convert_element_type", "stop_gradient"),
}
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"}
PLACED = "sharding", "out_sharding"  # params that name axes by their order too


class Rule(NamedTuple):
    """How a node runs: the equation's params where they change, on operands that are kept as it wants them."""

    wants: tuple[bool, ...]  # of each operand, whether its first axis is to be last
    gives: bool  # whether that of the result is
    params: Mapping[str, Any] = {}
    swapped: bool = False  # the second operand first


def moved(array: Array, last: bool) -> Array:
    """The first axis last, or the last one first."""
    if jnp.ndim(array) < 2:
        return array
    return jnp.moveaxis(array, 0, -1) if last else jnp.moveaxis(array, -1, 0)


def rule(node: Node, kept: Sequence[bool]) -> Rule | None:
    """The rule for a node of which some operands are kept with their first axis last; None where there is none."""
    if any(node.equation.params.get(name) is not None for name in PLACED):
        return None
    if any(np.ndim(v.val) for v in node.inputs if not is_value(v)):  # an array that is written into the program
        return None
    found = RULES.get(node.equation.primitive.name)
    return found(node, kept) if found else None


def bind(node: Node, rule: Rule, operands: Sequence[Any]) -> Array:
    """The result; operands in the order in which they were written."""
    equation = node.equation
    with equation.ctx.manager:
        return equation.primitive.bind(
            *(operands[::-1] if rule.swapped else operands), **(equation.params | dict(rule.params))
        )


def rows(node: Node, kept: Sequence[bool]) -> int | None:
    """Of a product, which operand is (n, …) with all axes but n contracted, and kept so; the larger one of two."""
    (contracted, batched), variables = node.equation.params["dimension_numbers"], node.equation.invars
    found = [
        side
        for side in (0, 1)
        if kept[side] and 0 not in contracted[side] and len(contracted[side]) == variables[side].aval.ndim - 1
    ]
    return None if batched[0] or not found else max(found, key=lambda side: _cost.size(variables[side].aval))


def turned_back(node: Node) -> Rule | None:
    """For a transposition of what is written (…, n) to (n, …), kept with n last: nothing is to be done."""
    permutation = node.equation.params["permutation"]
    if permutation != (len(permutation) - 1, *range(len(permutation) - 1)):
        return None
    return Rule((False,), True, {"permutation": tuple(range(len(permutation)))})


def _elementwise(node: Node, _: Sequence[bool]) -> Rule | None:
    """Operands of one rank (axes of size 1 are stretched), or numbers."""
    ranks = {v.aval.ndim for v in node.equation.invars} - {0}
    return Rule((True,) * len(node.inputs), True) if len(ranks) == 1 else None


def _reduction(node: Node, _: Sequence[bool]) -> Rule:
    """Over the first axis too, and the others come back as they were written."""
    rank, axes = node.equation.invars[0].aval.ndim, node.equation.params["axes"]
    return Rule((True,), 0 not in axes, {"axes": tuple(_place(d, rank) for d in axes)})


def _broadcast(node: Node, _: Sequence[bool]) -> Rule:
    shape, places = node.equation.params["shape"], node.equation.params["broadcast_dimensions"]
    first = places[:1] == (0,)  # the operand's first axis becomes the result's
    new = tuple(_place(d, len(shape)) for d in places)
    new = (*new[1:], new[0]) if first else new
    return Rule((first,), True, {"shape": (*shape[1:], shape[0]), "broadcast_dimensions": new})


def _reshape(node: Node, _: Sequence[bool]) -> Rule | None:
    before, after = (variable.aval.shape for variable in (node.equation.invars[0], node.equation.outvars[0]))
    if not after or before[0] != after[0] or node.equation.params["dimensions"] is not None:
        return None
    return Rule((True,), True, {"new_sizes": (*after[1:], after[0])})


def _squeeze(node: Node, _: Sequence[bool]) -> Rule | None:
    dims = node.equation.params["dimensions"]
    return None if 0 in dims else Rule((True,), True, {"dimensions": tuple(d - 1 for d in dims)})


def _transpose(node: Node, _: Sequence[bool]) -> Rule:
    old = node.equation.params["permutation"]
    new, stays = [_place(d, len(old)) for d in old], old[0] == 0
    return Rule((True,), stays, {"permutation": tuple(new[1:] + new[:1] if stays else new)})


def _product(node: Node, kept: Sequence[bool]) -> Rule | None:
    """(n, k)·(k, m), kept as (k, n), becomes (m, k)·(k, n); of (m, k)·(k, n) with (n, k) on the right nothing changes.

    The matrix is transposed by itself: as an operand that is read by columns it would take longer.
    """
    side, precision = rows(node, kept), node.equation.params["precision"]
    if side is None or not isinstance(precision, jax.lax.Precision | tuple | None):  # an algorithm may tell sides apart
        return None
    (contracted, _), variables, other = node.equation.params["dimension_numbers"], node.equation.invars, 1 - side
    turned = contracted[other] == (0,) and variables[other].aval.ndim == 2
    own = {side: tuple(d - 1 for d in contracted[side]), other: (1,) if turned else contracted[other]}
    wants = {side: True, other: turned}
    params: dict[str, Any] = {"dimension_numbers": ((own[other], own[side]), ((), ()))}
    if side == 0 and isinstance(precision, tuple):
        params["precision"] = precision[::-1]
    return Rule((wants[0], wants[1]), side == 0, params, swapped=side == 0)


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
    params = {"dimension_numbers": new, "slice_sizes": (*sizes[1:], sizes[0]), "indices_are_sorted": False}
    return Rule((True, False), False, params)


def _place(axis: int, rank: int) -> int:
    """Where an axis stands when the first is last."""
    return (axis - 1) % rank


RULES: dict[str, Callable[[Node, Sequence[bool]], Rule | None]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(REDUCTIONS, _reduction),
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "dot_general": _product,
    "gather": _gather,
}
