"""Examples last: how a cell's program runs on a CPU, once what is affine in it has been hoisted.

Models compute arrays (examples, …). Where what follows is short, as ten scores are, a processor has nothing to
vectorize over, and a product with so few columns takes half as long again as its transpose. So arrays that begin with
the examples are kept with that axis last, as far as there are rules for it (`_examples_last_rules`); other equations
get their operands as they were written. Products with many columns are slower that way: where these are most of the
work, everything stays as it is.

>>> import jax.numpy as jnp
>>> x, w = jnp.ones((60, 3)), jnp.ones((3, 2))
>>> kept, f = arrange([x], lambda terms, at: (jnp.tanh(terms[0] * at[0]) @ (at[0] * w)).max(axis=1), (2.0,))
>>> [array.shape for array in kept], f(kept, (2.0,)).shape
([(3, 60)], (60,))
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from landscape import _cost
from landscape._jaxprs import GROUPS, Node, Program, flatten, is_value, needed, read, run
from landscape.surfaces import _examples_last_rules as _rules
from landscape.surfaces._examples_last_rules import Rule

# Derivatives are taken no more, so that calls with rules for them can be entered too.
ENTERED = GROUPS | {"custom_jvp_call", "custom_vjp_call"}
NARROW = 24  # columns: products with fewer gain, others lose; so do reductions over axes of fewer (benchmarks/NOTES.md)
MOVED = 8  # operations that an entry costs which is moved


class Arrangement(NamedTuple):
    """A program, and how it runs."""

    program: Program
    nodes: list[Node]
    shared: tuple[int, ...]  # what all cells read: the terms, and data that they multiply
    coordinates: tuple[int, ...]
    last: dict[int, bool]  # of each value, whether it is kept with its first axis last
    rules: dict[int, Rule]  # for a node, by its first result


def arrange(
    terms: Any, f: Callable[[Any, Sequence[Any]], Any], coordinates: Sequence[Any]
) -> tuple[Any, Callable[[Any, Sequence[Any]], Any]]:
    """(kept, g): what all cells share, `terms` and more, as it is best kept, and g(kept, at) = f(terms, at).

    Both are as they were where nothing gains. They may close over traced arrays. g is not to be differentiated: rules
    for derivatives are no longer in it.
    """
    leaves, structure = jax.tree.flatten(terms)
    scalars = [jax.ShapeDtypeStruct((), jnp.result_type(c)) for c in coordinates]
    program = flatten(lambda own, at: f(structure.unflatten(own), at), (leaves, scalars), ENTERED)
    found = _arranged(program, len(leaves))
    if found is None:
        return terms, f
    values = program.constants | dict(zip(program.arguments, leaves, strict=False))
    kept = [_rules.moved(values[v], True) if found.last[v] else values[v] for v in found.shared]
    return kept, lambda own, at: _run(found, own, at)


def _arranged(program: Program, terms: int) -> Arrangement | None:
    """None where it does not pay, and where something is printed, which belongs to its place."""
    nodes, coordinates = needed(program, program.outputs, ()), program.arguments[terms:]
    if any(node.equation.effects for node in nodes):
        return None
    moving = set(coordinates)
    for node in nodes:
        if moving.intersection(filter(is_value, node.inputs)):
            moving.update(node.outputs)
    data = [v for node in nodes for v in _multiplied(node, moving) if v in program.constants]
    shared = (*program.arguments[:terms], *dict.fromkeys(data))
    last = dict.fromkeys(program.avals, False) | {v: len(program.avals[v].shape) > 1 for v in shared}
    rules, gain = _layout(program, nodes, last, moving)
    return Arrangement(program, nodes, shared, coordinates, last, rules) if gain > 0 else None


def _layout(
    program: Program, nodes: Sequence[Node], last: dict[int, bool], moving: set[int]
) -> tuple[dict[int, Rule], int]:
    """(rules, gain): a rule for each node that has one; `last` is filled in on the way.

    gain: operations that run faster, less those that run more slowly, and what is moved.
    """
    rules: dict[int, Rule] = {}
    columns: set[int] = set()  # products that were written with the examples last
    gain = 0
    for node in nodes:
        kept = tuple(is_value(v) and last[v] for v in node.inputs)
        name, out = node.equation.primitive.name, node.outputs[0]
        rule = _rules.rule(node, kept) if any(kept) else None
        if name == "transpose" and columns.intersection(filter(is_value, node.inputs)):
            rule = _rules.turned_back(node)
        wants = rule.wants if rule else (False,) * len(kept)
        changed = {v for v, now, then in zip(node.inputs, kept, wants, strict=True) if is_value(v) and now != then}
        gain -= sum(_moving(program.avals[v]) for v in changed & moving)
        if rule:
            rules[out], last[out] = rule, rule.gives and len(program.avals[out].shape) > 1
            gain += _gain(node, kept)
            columns |= {out} if name == "dot_general" and not rule.gives else set()
    return rules, gain - sum(_moving(program.avals[v]) for v in program.outputs if is_value(v) and last[v])


def _moving(aval: Any) -> int:
    """What it costs to move the first axis: nothing if it is the only one, or has no length."""
    return 0 if not aval.shape or aval.shape[0] in (1, _cost.size(aval)) else MOVED * _cost.size(aval)


def _multiplied(node: Node, moving: set[int]) -> list[int]:
    """Data that a cell multiplies by a matrix of its own."""
    if node.equation.primitive.name != "dot_general" or moving.isdisjoint(filter(is_value, node.inputs)):
        return []
    fixed = [is_value(v) and v not in moving for v in node.inputs]
    side = _rules.rows(node, fixed)
    return [] if side is None else [node.inputs[side]]


def _gain(node: Node, kept: Sequence[bool]) -> int:
    """Operations that are faster with examples last, negative where slower."""
    name, variables = node.equation.primitive.name, node.equation.invars
    if name in _rules.REDUCTIONS:
        size, out = _cost.size(variables[0].aval), _cost.size(node.equation.outvars[0].aval)
        return size if 0 not in node.equation.params["axes"] and size < NARROW * out else 0
    side = _rules.rows(node, kept) if name == "dot_general" else None
    if side is None:
        return 0
    rows = variables[side].aval
    columns = _cost.size(node.equation.outvars[0].aval) // max(1, rows.shape[0])
    return _cost.size(rows) * columns * (1 if columns < NARROW else -1)


def _run(found: Arrangement, kept: Sequence[Any], at: Sequence[Any]) -> Any:
    program, last = found.program, found.last
    values = program.constants | dict(zip((*found.shared, *found.coordinates), (*kept, *at), strict=True))

    def as_kept(v: Any, wanted: bool) -> Any:
        if not is_value(v):
            return jnp.asarray(v.val, v.aval.dtype)
        return values[v] if last[v] == wanted else _rules.moved(values[v], wanted)

    for node in found.nodes:
        rule = found.rules.get(node.outputs[0])
        if rule:
            operands = [as_kept(v, wanted) for v, wanted in zip(node.inputs, rule.wants, strict=True)]
            values[node.outputs[0]] = _rules.bind(node, rule, operands)
        else:
            given = {v: as_kept(v, False) for v in node.inputs if is_value(v)}
            values |= {v: value for v, value in run([node], given).items() if v not in given}
    return program.structure.unflatten([as_kept(v, False) if is_value(v) else read(values, v) for v in program.outputs])
