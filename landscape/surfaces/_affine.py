"""The affine prefix: what is affine in a chart's coordinates, computed once a batch instead of once a cell.

Along θ₀ + a·u + b·v everything before the first nonlinearity is affine in (a, b): x·W(a, b) = x·W₀ + a·x·U + b·x·V. Its
three products serve all cells of a tile; a cell adds them up and runs the rest. Found by reading the jaxpr, so the
model is not touched, and what is not affine, or does not pay, stays where it was.

>>> import jax.numpy as jnp
>>> x, u = jnp.ones((3, 8)), jnp.ones((8, 5))
>>> terms, f = hoist(lambda a: jnp.tanh(x @ (a * u)).sum(), (jnp.zeros(()),))
>>> [(at_zero.shape, len(slopes)) for at_zero, slopes in terms]
[((3, 5), 1)]
>>> bool(jnp.allclose(f(terms, (2.0,)), jnp.tanh(x @ (2.0 * u)).sum()))
True
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax import Array

from landscape import _cost
from landscape._cost import Count, Step
from landscape._jaxprs import GROUPS, Node, Program, flatten, is_value, needed, read, run

# Affine in all of their operands at once.
LINEAR = {
    *("add", "add_any", "sub", "neg", "reshape", "broadcast_in_dim", "transpose", "squeeze", "expand_dims", "rev"),
    *("reduce_sum", "cumsum", "slice", "concatenate", "pad", "copy", "reduce_window_sum", "convert_element_type"),
    *("stack", "unstack", "split", "tile"),
}
BILINEAR = {"mul", "dot_general", "conv_general_dilated"}  # affine where exactly one operand is
IN_FIRST = {"div", "gather", "dynamic_slice"}  # affine in the first operand, the others independent of the coordinates
FIXED, AFFINE, OTHER = range(3)  # what a value is in the coordinates

GAIN = 1.05  # hoisted must be this much cheaper than plain, by count

Terms = list[tuple[Array, list[Array]]]  # of each hoisted value: at zero, and its slope along each coordinate


class Split(NamedTuple):
    """A program cut in two: `hoisted` values are computed once a batch, `rest` runs in every cell."""

    program: Program
    affine: tuple[int, ...]
    fixed: tuple[int, ...]
    rest: list[Node]
    before: Count
    after: Count

    @property
    def hoisted(self) -> tuple[int, ...]:
        """All values that cells share."""
        return self.affine + self.fixed

    def terms(self) -> Terms:
        """The hoisted values at zero with their slopes, by one linearization."""
        program = self.program
        nodes = needed(program, self.hoisted, (), effects=False)  # a print belongs to a cell
        zeros = [jnp.zeros((), program.avals[c].dtype) for c in program.arguments]

        def prefix(*coordinates: Array) -> tuple[list[Array], list[Array]]:
            values = run(nodes, program.constants | dict(zip(program.arguments, coordinates, strict=True)))
            return [values[v] for v in self.affine], [values[v] for v in self.fixed]

        at_zero, slope, fixed = jax.linearize(prefix, *zeros, has_aux=True)
        units = [[jnp.ones_like(z) if z is unit else z for z in zeros] for unit in zeros]
        slopes = [slope(*unit) for unit in units]
        return [(value, [s[i] for s in slopes]) for i, value in enumerate(at_zero)] + [(value, []) for value in fixed]

    def finish(self, terms: Terms, coordinates: Sequence[Array]) -> Any:
        """The function's value at these coordinates."""
        values = self.program.constants | dict(zip(self.program.arguments, coordinates, strict=True))
        for v, (moved, slopes) in zip(self.hoisted, terms, strict=True):
            for c, slope in zip(coordinates, slopes, strict=False):
                moved = moved + jnp.asarray(c, slope.dtype) * slope
            values[v] = moved
        values = run(self.rest, values)
        return self.program.structure.unflatten([read(values, v) for v in self.program.outputs])


def hoist(f: Callable[..., Any], coordinates: Sequence[Any]) -> tuple[Terms, Callable[[Terms, Sequence[Array]], Any]]:
    """(terms, g) with g(terms, c) = f(*c), where `terms` do not depend on c. Without gain they are empty, and g is f.

    coordinates: scalars like f's arguments. f may close over traced arrays.
    """
    found = split(f, coordinates)
    if not found.hoisted:
        return [], lambda terms, at: f(*at)
    return found.terms(), found.finish


def split(f: Callable[..., Any], coordinates: Sequence[Any]) -> Split:
    """Cut f where a cell is cheapest, by count; nothing is hoisted where that gains less than 5 %."""
    program = flatten(f, coordinates, GROUPS)
    kinds = _kinds(program)
    hoisted = _cheapest_cut(program, kinds)
    affine = tuple(v for v in hoisted if kinds[v] == AFFINE)
    plain, rest = needed(program, program.outputs, ()), needed(program, program.outputs, hoisted)
    before, after = _count(program, plain, (), ()), _count(program, rest, affine, hoisted)
    if before.weighted < GAIN * after.weighted:
        return Split(program, (), (), plain, before, before)
    return Split(program, affine, tuple(v for v in hoisted if kinds[v] == FIXED), rest, before, after)


def _kinds(program: Program) -> dict[int, int]:
    """What each value is in the coordinates: independent of them, affine, or other."""
    kinds = dict.fromkeys(program.constants, FIXED) | dict.fromkeys(program.arguments, AFFINE)
    for node in program.nodes:
        of = [FIXED if isinstance(v, jex.Literal) else kinds[v] for v in node.inputs]
        kinds.update(dict.fromkeys(node.outputs, _kind(node.equation, of)))
    return kinds


def _kind(equation: Any, of: list[int]) -> int:
    name = equation.primitive.name
    keys = (jnp.issubdtype(v.aval.dtype, jax.dtypes.prng_key) for v in equation.invars if hasattr(v.aval, "dtype"))
    if equation.effects or OTHER in of or any(keys):  # random numbers stay where they are drawn
        return OTHER
    if AFFINE not in of:
        return FIXED
    one = of.count(AFFINE) == 1
    linear = name in LINEAR or (name in BILINEAR and one) or (name in IN_FIRST and one and of[0] == AFFINE)
    exact = all(_keeps(equation, v) for v, kind in zip(equation.invars, of, strict=True) if kind == AFFINE)
    return AFFINE if linear and exact else OTHER


def _keeps(equation: Any, variable: Any) -> bool:
    """Whether the result is a float at least as wide: rounding to a narrower one is not affine."""
    there, here = variable.aval.dtype, equation.outvars[0].aval.dtype
    if not (jnp.issubdtype(there, jnp.floating) and jnp.issubdtype(here, jnp.floating)):
        return False
    return jnp.finfo(here).nmant >= jnp.finfo(there).nmant and jnp.finfo(here).nexp >= jnp.finfo(there).nexp


def _cheapest_cut(program: Program, kinds: dict[int, int]) -> set[int]:
    """The values to hoist: of each that the rest of the program reads, the cheapest way to have it in every cell.

    That is to hoist it, or to compute it from what was cheapest for its inputs.
    """
    k, hoist_here = len(program.arguments), set()
    cheapest = dict.fromkeys((*program.constants, *program.arguments), 0.0)
    makers = {out: node for node in program.nodes for out in node.outputs}
    for node in program.nodes:
        direct = _cost.weight(node.equation) + sum(cheapest.get(v, 0.0) for v in set(filter(is_value, node.inputs)))
        for v in node.outputs:
            if kinds[v] == OTHER:
                continue
            held = _cost.size(program.avals[v]) * (2.0 * k if kinds[v] == AFFINE else 1.0)
            cheapest[v] = min(direct, held)
            if held < direct:
                hoist_here.add(v)
    cut: set[int] = set()
    open_values = [v for node in program.nodes if OTHER in map(kinds.get, node.outputs) for v in node.inputs]
    pending = [v for v in (*open_values, *program.outputs) if is_value(v)]
    seen: set[int] = set()
    while pending:
        v = pending.pop()
        if v in seen or v not in makers or kinds[v] == OTHER:
            continue
        seen.add(v)
        if v in hoist_here:
            cut.add(v)
        else:
            pending += filter(is_value, makers[v].inputs)
    return cut


def _count(program: Program, nodes: list[Node], affine: Sequence[int], hoisted: Any) -> Count:
    """What nodes cost in a cell, with putting together what was hoisted."""
    together = 2 * len(program.arguments) * sum(_cost.size(program.avals[v]) for v in affine)
    read = sum(_cost.size(program.avals[v]) for v in hoisted if v not in affine)
    steps = [Step(node.equation, list(filter(is_value, node.inputs)), node.outputs) for node in nodes]
    results = filter(is_value, program.outputs)
    alone = _cost.count_steps(steps, lambda v: _cost.nbytes(program.avals[v]), results, affine)
    return alone._replace(operations=alone.operations + together, weighted=alone.weighted + together + read)
