"""Examples last: how a cell's program runs on a CPU, once what is affine in it has been hoisted.

Models compute arrays (examples, …). Where what follows is short, as ten scores are, a processor has nothing to
vectorize over, and a product with so few columns takes half as long again as its transpose. So arrays that begin with
the examples are kept with that axis last, as far as equations have a rule for it; others get their operands as they
were written. Of a cell's own matrices with many columns products are slower that way: then everything stays as it is.

>>> import jax.numpy as jnp
>>> x, w = jnp.ones((6, 3)), jnp.ones((3, 2))
>>> kept, f = arrange([x], lambda terms, at: (jnp.tanh(terms[0] * at[0]) @ (at[0] * w)).max(axis=1), (2.0,))
>>> [array.shape for array in kept], f(kept, (2.0,)).shape
([(3, 6)], (6,))
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from landscape import _cost
from landscape._jaxprs import GROUPS, Node, Program, flatten, is_value, run
from landscape.surfaces import _last_axis

# Derivatives are taken no more, so that calls with rules for them can be entered too.
ENTERED = GROUPS | {"custom_jvp_call", "custom_vjp_call"}
NARROW = 24  # columns: products with fewer gain, others lose (benchmarks/NOTES.md)
WORTH = 4  # entries that gain for each that loses


class Arrangement(NamedTuple):
    """A program, and how it runs."""

    program: Program
    shared: tuple[int, ...]  # what all cells read: the terms, and data that they multiply
    coordinates: tuple[int, ...]
    last: dict[int, bool]  # of each value, whether it is kept with its first axis last
    rules: dict[int, _last_axis.Rule]  # for a node, by its first result


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
    if not found.rules or any(node.equation.effects for node in program.nodes):  # a print belongs to its place
        return terms, f
    values = program.constants | dict(zip(program.arguments, leaves, strict=False))
    kept = [_last_axis.moved(values[v], True) if found.last[v] else values[v] for v in found.shared]
    return kept, lambda own, at: _run(found, own, at)


def _arranged(program: Program, terms: int) -> Arrangement:
    coordinates = program.arguments[terms:]
    moving = set(coordinates)
    for node in program.nodes:
        if moving.intersection(filter(is_value, node.inputs)):
            moving.update(node.outputs)
    data = [v for node in program.nodes for v in _multiplied(node, moving) if v in program.constants]
    shared = (*program.arguments[:terms], *dict.fromkeys(data))
    last = dict.fromkeys(program.avals, False) | {v: len(program.avals[v].shape) > 1 for v in shared}
    rules: dict[int, _last_axis.Rule] = {}
    gain, loss = 0, 0
    for node in program.nodes:
        kept = tuple(is_value(v) and last[v] for v in node.inputs)
        rule = _last_axis.rule(node, kept) if any(kept) else None
        wants = rule.wants if rule else (False,) * len(kept)
        changed = {v for v, now, then in zip(node.inputs, kept, wants, strict=True) if is_value(v) and now != then}
        loss += sum(_cost.size(program.avals[v]) for v in changed & moving)
        if rule:
            rules[node.outputs[0]] = rule
            last |= {v: rule.gives and len(program.avals[v].shape) > 1 for v in node.outputs}
            gained = _gain(node, kept)
            gain, loss = gain + max(gained, 0), loss + max(-gained, 0)
    if gain <= WORTH * loss:
        return Arrangement(program, shared, coordinates, last, {})
    return Arrangement(program, shared, coordinates, last, rules)


def _multiplied(node: Node, moving: set[int]) -> list[int]:
    """What a cell multiplies by a matrix of its own, if that is the same for all cells."""
    if node.equation.primitive.name != "dot_general" or moving.isdisjoint(filter(is_value, node.inputs)):
        return []
    return [v for v in node.inputs if is_value(v) and v not in moving]


def _gain(node: Node, kept: Sequence[bool]) -> int:
    """Entries of operands that are read faster with examples last, negative where more slowly."""
    name, variables = node.equation.primitive.name, node.equation.invars
    if name in _last_axis.REDUCTIONS:
        return _cost.size(variables[0].aval)
    if name != "dot_general":
        return 0
    side = kept.index(True)
    columns = _cost.size(node.equation.outvars[0].aval) // variables[side].aval.shape[0]
    return _cost.size(variables[side].aval) * (1 if columns < NARROW else -1)


def _run(found: Arrangement, kept: Sequence[Any], at: Sequence[Any]) -> Any:
    program = found.program
    values = program.constants | dict(zip((*found.shared, *found.coordinates), (*kept, *at), strict=True))
    for node in program.nodes:
        rule = found.rules.get(node.outputs[0]) or _last_axis.as_written(node)
        given = {}
        for v, wanted in zip(node.inputs, rule.wants, strict=True):
            if is_value(v):
                given[v] = values[v] if found.last[v] == wanted else _last_axis.moved(values[v], wanted)
        results = run([rule.node], given)
        values |= {v: results[v] for v in node.outputs if v in results}
    return program.structure.unflatten([_output(found, values, v) for v in program.outputs])


def _output(found: Arrangement, values: dict[int, Any], v: Any) -> Any:
    if not is_value(v):
        return v.val
    return _last_axis.moved(values[v], False) if found.last[v] else values[v]
