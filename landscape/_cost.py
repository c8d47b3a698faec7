"""What a traced program costs: operations, and bytes that are live at a time. Counted, not measured."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex

from landscape import _jaxprs

# Weights of the comparison, in units of one operation on an element in a fused loop. Measured on CPU (benchmarks/).
PRODUCT, FUNCTION = 1 / 8, 8.0
CONVOLUTION = 15.0  # an entry of the result, on top of its products
FREE = {"reshape", "broadcast_in_dim", "squeeze", "expand_dims", "copy", "convert_element_type", "iota"}
FUNCTIONS = {
    *("exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "erf", "erf_inv", "sin", "cos", "pow", "lgamma"),
}

MEMORY = {"cpu": 2**31}  # bytes of temporaries that are let live at a time
MEMORY_ACCELERATOR = 2**33


class Count(NamedTuple):
    """What a cell costs."""

    operations: float
    weighted: float  # in operations of a fused loop
    largest: float  # bytes of the largest array computed on the way
    live: float  # bytes of arrays that are needed at one time, nothing fused


class Step(NamedTuple):
    """What an equation does with values, which may be known by anything hashable."""

    equation: Any
    inputs: Sequence[Any]
    outputs: Sequence[Any]


def count(jaxpr: Any) -> Count:
    """What a whole jaxpr costs."""
    equations = _jaxprs.opened(jaxpr).eqns
    steps = [Step(e, [v for v in e.invars if not isinstance(v, jex.Literal)], e.outvars) for e in equations]
    results = [v for v in _jaxprs.opened(jaxpr).outvars if not isinstance(v, jex.Literal)]
    return count_steps(steps, lambda variable: nbytes(variable.aval), results)


def count_steps(
    steps: Sequence[Step], bytes_of: Callable[[Any], int], results: Iterable[Any], made: Iterable[Any] = ()
) -> Count:
    """What equations cost; `made` are values that are put together where they are first read."""
    operations = sum(operations_of(step.equation) for step in steps)
    weighted = sum(weight(step.equation) for step in steps)
    made = set(made)
    largest = max((_largest(step.equation) for step in steps), default=0)
    largest = max(largest, max(map(bytes_of, made), default=0))
    return Count(operations, weighted, largest, _live(steps, bytes_of, set(results), made))


def _live(steps: Sequence[Step], bytes_of: Callable[[Any], int], results: set[Any], made: set[Any]) -> float:
    """The most bytes at one time, of values from their equation to the last that reads them."""
    last = {value: i for i, step in enumerate(steps) for value in step.inputs}
    here: set[Any] = set()
    held, peak = 0, 0.0
    for i, step in enumerate(steps):
        new = {v for v in (*step.outputs, *(v for v in step.inputs if v in made)) if v not in here}
        held += sum(map(bytes_of, new))
        here |= new
        peak = max(peak, held + sum(count(part).live for part in _jaxprs.inner(step.equation)))
        gone = {v for v in (*step.inputs, *step.outputs) if v in here and last.get(v, i) <= i and v not in results}
        held -= sum(map(bytes_of, gone))
        here -= gone
    return peak


def _largest(equation: Any) -> int:
    inner = (_largest(e) for part in _jaxprs.inner(equation) for e in _jaxprs.opened(part).eqns)
    return max((*inner, *(nbytes(v.aval) for v in equation.outvars)), default=0)


def holds(jaxpr: Any, name: str) -> bool:
    """Whether an equation of this name (its beginning) is in a jaxpr, at any depth."""
    return any(
        e.primitive.name.startswith(name) or any(holds(part, name) for part in _jaxprs.inner(e))
        for e in _jaxprs.opened(jaxpr).eqns
    )


def has_moving_kernel(jaxpr: Any, moving: set[Any] | None = None) -> bool:
    """Whether a convolution's kernel depends on the arguments (on those of them that are `moving`)."""
    jaxpr = _jaxprs.opened(jaxpr)
    moving = set(jaxpr.invars) if moving is None else set(moving)
    for e in jaxpr.eqns:
        moves = [not isinstance(v, jex.Literal) and v in moving for v in e.invars]
        if e.primitive.name == "conv_general_dilated" and moves[1]:
            return True
        for part in _jaxprs.inner(e):
            own = _jaxprs.opened(part).invars
            pairs = zip(own, moves, strict=True) if len(own) == len(moves) else ((v, any(moves)) for v in own)
            if has_moving_kernel(part, {v for v, move in pairs if move}):
                return True
        if any(moves):
            moving.update(e.outvars)
    return False


def operations_of(equation: Any) -> float:
    """Operations on numbers: of a product 2 an entry and term, of a loop as often as it runs (once, if unknown)."""
    return _cost(equation, product=1.0, convolution=0.0, function=1.0)


def weight(equation: Any) -> float:
    """Operations weighted by what they take on a processor."""
    return _cost(equation, PRODUCT, CONVOLUTION, FUNCTION)


def _cost(equation: Any, product: float, convolution: float, function: float) -> float:
    name, params = equation.primitive.name, equation.params
    inner = _jaxprs.inner(equation)
    if inner:
        bodies = [sum(_cost(e, product, convolution, function) for e in _jaxprs.opened(j).eqns) for j in inner]
        return (max(bodies) if name == "cond" else sum(bodies)) * params.get("length", 1)
    out = max((size(v.aval) for v in equation.outvars), default=0)
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return product * 2 * out * math.prod(equation.invars[0].aval.shape[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        terms = size(kernel) / kernel.shape[params["dimension_numbers"].rhs_spec[0]]
        return out * (convolution + product * 2 * terms)
    if name in FREE:
        return 0.0
    if name.startswith("scatter"):
        return float(size(equation.invars[-1].aval))
    if name.startswith(("reduce", "cum", "arg")):
        return float(max(size(v.aval) for v in equation.invars))
    return out * (function if name in FUNCTIONS else 1.0)


def size(aval: Any) -> int:
    """Entries of an array."""
    return math.prod(getattr(aval, "shape", ()))


def nbytes(aval: Any) -> int:
    """Bytes of an array."""
    return size(aval) * getattr(getattr(aval, "dtype", None), "itemsize", 4)


def budget(memory: int | None) -> int:
    """Bytes that temporaries may take."""
    return MEMORY.get(jax.default_backend(), MEMORY_ACCELERATOR) if memory is None else memory
