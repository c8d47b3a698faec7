"""Traced programs: the jaxprs inside of an equation; a program as one flat list of equations, and parts of it run."""

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex

# Their jaxpr says how two numbers become one; it is no program that runs once.
COMBINERS = ("scatter", "reduce", "select_and")


def inner(equation: Any) -> list[Any]:
    """The jaxprs inside an equation: bodies of loops, branches, calls."""
    if equation.primitive.name.startswith(COMBINERS):
        return []
    found = []
    for value in equation.params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(opened(part), "eqns"):
                found.append(part)
    return found


def opened(jaxpr: Any) -> Any:
    """The jaxpr of a closed one; anything else as it is."""
    return getattr(jaxpr, "jaxpr", jaxpr)


# Entered, because they only group equations. A custom_jvp or custom_vjp call stays whole, with its rule: entering one
# would change relu'(0).
GROUPS = {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}  # names differ between versions

UNNAMED = jex.DebugInfo("part", "landscape", None, None)  # a jaxpr wants one

Value = Any  # the number of a value in a program, or a literal


class Node(NamedTuple):
    """One equation of a program."""

    equation: Any
    inputs: tuple[Value, ...]
    outputs: tuple[int, ...]


class Program(NamedTuple):
    """A function as a flat list of equations between numbered values."""

    nodes: list[Node]
    avals: dict[int, Any]  # shape and dtype of each value
    constants: dict[int, Any]
    arguments: tuple[int, ...]  # leaf by leaf
    outputs: tuple[Value, ...]
    structure: Any


def flatten(f: Callable[..., Any], arguments: Sequence[Any], entered: Collection[str]) -> Program:
    """Trace f, of arguments that are trees, and flatten it: groups of equations called `entered` are."""
    closed, shape = jax.make_jaxpr(f, return_shape=True)(*arguments)
    numbers = itertools.count()
    nodes: list[Node] = []
    avals: dict[int, Any] = {}
    constants: dict[int, Any] = {}

    def new(variable: Any) -> int:
        number = next(numbers)
        avals[number] = variable.aval
        return number

    def enter(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Value]) -> list[Value]:
        named: dict[Any, Value] = dict(zip(jaxpr.invars, arguments, strict=True))
        for variable, value in zip(jaxpr.constvars, consts, strict=True):
            named[variable] = new(variable)
            constants[named[variable]] = value
        for equation in jaxpr.eqns:
            inputs = tuple(v if isinstance(v, jex.Literal) else named[v] for v in equation.invars)
            if equation.primitive.name in entered:
                (part,) = inner(equation)
                outputs = enter(opened(part), getattr(part, "consts", ()), inputs)
            else:
                outputs = [new(v) for v in equation.outvars]
                nodes.append(Node(equation, inputs, tuple(outputs)))
            named.update(zip(equation.outvars, outputs, strict=True))
        return [v if isinstance(v, jex.Literal) else named[v] for v in jaxpr.outvars]

    leaves = [new(v) for v in closed.jaxpr.invars]
    outputs = enter(closed.jaxpr, closed.consts, leaves)
    return Program(nodes, avals, constants, tuple(leaves), tuple(outputs), jax.tree.structure(shape))


def needed(program: Program, wanted: Iterable[Value], given: Any, effects: bool = True) -> list[Node]:
    """The equations that lead from `given` values to the wanted ones, in order; with those that have effects."""
    wanted, nodes = {v for v in wanted if is_value(v)} - set(given), []
    for node in reversed(program.nodes):
        if wanted.intersection(node.outputs) or (effects and node.equation.effects):
            nodes.append(node)
            wanted |= {v for v in node.inputs if is_value(v)} - set(given)
    return nodes[::-1]


def run(nodes: list[Node], values: dict[int, Any]) -> dict[int, Any]:
    """Evaluate equations; `values` holds what they read."""
    values = dict(values)
    for equation, inputs, outputs in nodes:
        arguments = zip(equation.invars, inputs, strict=True)
        given = {v: read(values, i) for v, i in arguments if not isinstance(v, jex.Literal)}
        kept = {v: out for v, out in zip(equation.outvars, outputs, strict=True) if not isinstance(v, jex.DropVar)}
        alone = jex.Jaxpr((), list(given), list(kept), [equation], equation.effects, UNNAMED)
        results = jex.jaxpr_as_fun(jex.ClosedJaxpr(alone, ()))(*given.values())
        values.update(zip(kept.values(), results, strict=True))
    return values


def read(values: dict[int, Any], value: Value) -> Any:
    """A value that was computed, or a literal's."""
    return values[value] if is_value(value) else value.val


def is_value(value: Value) -> bool:
    """Whether it is no literal."""
    return isinstance(value, int)
