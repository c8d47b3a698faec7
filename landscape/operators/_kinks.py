"""Kinks of a traced program: where its slope by the params jumps, and which primitive makes it so.

What no derivative flows through makes none: what is compared, what `stop_gradient` cuts off, the largest entry that a
stable softmax takes away again. Nor does |v| or max(v, 0) of a v that cannot be negative, such as a variance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from landscape import _cost, _jaxprs
from landscape._jaxprs import Node, Program, Value

KINKED = {
    "max": "max",
    "min": "min",
    "abs": "abs",
    "sign": "sign",
    "clamp": "clamp",
    "reduce_max": "max",
    "reduce_min": "min",
    "cummax": "max",
    "cummin": "min",
    "reduce_window_max": "max pooling",
    "reduce_window": "max pooling",
    "sort": "sort",
    "top_k": "sort",
    "floor": "rounding",
    "ceil": "rounding",
    "round": "rounding",
    "rem": "rounding",
}
CHOICE = "choice by comparison"
COMPARISONS = {"gt", "ge", "lt", "le"}
RULES = {"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}
LABELED = {"relu", "relu6", "leaky_relu"}  # functions that are named, in place of what they are made of
# The same numbers in another shape or dtype; sums of them; what has the sign of its arguments; what is never negative.
SHAPING = {"reshape", "broadcast_in_dim", "squeeze", "expand_dims", "convert_element_type", "copy", "stop_gradient"}
SUMS = {"reduce_sum", "cumsum"}
KEEPING = SHAPING | SUMS | {"add", "mul", "div", "max", "reduce_max", "transpose", "slice", "concatenate"}
POSITIVE = {"abs", "square", "exp", "exp2", "logistic", "sqrt"}


def kinks(f: Callable[..., Any], arguments: Sequence[Any], moves: Callable[[Any], bool]) -> tuple[str, ...]:
    """Names of the kinks of f in those leaves of its first argument that move."""
    found: dict[str, None] = {}
    program = _jaxprs.flatten(f, arguments, _jaxprs.GROUPS)
    first = [moves(leaf) for leaf in jax.tree.leaves(arguments[0])]
    moving = [*first, *[False] * (len(program.arguments) - len(first))]
    _Reader(program, moving, [False] * len(moving), found).read()
    return tuple(found)


class _Reader:
    """What is known of the values of a program, equation by equation."""

    def __init__(self, program: Program, moving: Sequence[bool], compared: Sequence[bool], found: dict[str, None]):
        self._program, self._found = program, found
        self._moving = {v for v, m in zip(program.arguments, moving, strict=True) if m}  # with a derivative by params
        self._depends = set(self._moving)
        self._compared = {v for v, c in zip(program.arguments, compared, strict=True) if c}
        self._numbers: dict[int, float] = {}
        self._positive: set[int] = set()
        self._same: dict[int, int] = {}  # of a value in another shape, what it was
        self._makers: dict[int, Node] = {}
        self._entered: dict[tuple[int, ...], list[tuple[bool, bool]]] = {}  # of a loop's body, by its results
        self._ends: dict[int, set[int]] = {}  # what largest or smallest entries are in a value
        self._away: set[int] = set()  # those that are taken away from what they are the largest of

    def read(self) -> list[tuple[bool, bool]]:
        """Which results move, and which come from a comparison."""
        for node in self._program.nodes:
            self._learn(node)
        for node in self._differentiated():
            self._judge(node)
        return [(v in self._moving, v in self._compared) for v in self._program.outputs]

    def _learn(self, node: Node) -> None:
        name, inputs, outputs = node.equation.primitive.name, node.inputs, node.outputs
        values = [v for v in inputs if _jaxprs.is_value(v)]
        self._makers.update(dict.fromkeys(outputs, node))
        if self._depends.intersection(values):
            self._depends.update(outputs)
            if name in COMPARISONS:
                self._compared.update(outputs)
        if name != "stop_gradient" and self._moving.intersection(values):
            self._moving.update(v for v in outputs if self._is_float(v))
        if self._compared.intersection(values):
            self._compared.update(v for v in outputs if not self._is_float(v))
        if name == "scan":
            self._learn_scan(node)
        if len(outputs) == 1:
            self._learn_number(name, node, values)

    def _learn_number(self, name: str, node: Node, values: list[int]) -> None:
        (out,), inputs = node.outputs, node.inputs
        if name in SHAPING and self._number(inputs[0]) is not None:
            self._numbers[out] = self._number(inputs[0])  # pyright: ignore[reportArgumentType]
        if name == "sub" and None not in (numbers := [self._number(v) for v in inputs]):
            self._numbers[out] = numbers[0] - numbers[1]  # pyright: ignore[reportOperatorIssue]
        even = name == "integer_pow" and node.equation.params["y"] % 2 == 0
        of_positive = name in KEEPING and all(map(self._is_positive, inputs))
        chosen = name == "select_n" and all(map(self._is_positive, inputs[1:]))
        clipped = name == "max" and any(map(self._is_positive, inputs))
        squared = name in POSITIVE or even or (name == "mul" and inputs[0] == inputs[1])
        if squared or of_positive or chosen or clipped or self._is_variance(node):
            self._positive.add(out)
        moving = [v for v in values if v in self._moving]
        if (name in SHAPING or name == "select_n") and len(moving) == 1:
            self._same[out] = self._source(moving[0])
            self._ends[out] = self._ends.get(moving[0], set())
        if name in ("reduce_max", "reduce_min"):
            self._ends[out] = {out}
        if name == "sub" and len(values) == 2:
            ends = self._ends.get(values[1], set())
            source = self._source(values[0])
            self._away |= {v for v in ends if self._source(self._makers[v].inputs[0]) == source}

    def _learn_scan(self, node: Node) -> None:
        """What the carry becomes, however often the body runs."""
        consts, carried = (node.equation.params[name] for name in ("num_consts", "num_carry"))
        (part,) = _jaxprs.inner(node.equation)
        flags, before = self._flags(node), None
        outputs = self._read_part(part, flags)
        while flags != before:
            before = list(flags)
            for i, (moves, compared) in enumerate(outputs[:carried], consts):
                flags[i] = (flags[i][0] or moves, flags[i][1] or compared)
            outputs = self._read_part(part, flags)
        self._entered[node.outputs] = flags
        for value, (moves, compared) in zip(node.outputs, outputs, strict=True):
            (self._moving.add if moves else self._moving.discard)(value)
            (self._compared.add if compared else self._compared.discard)(value)

    def _flags(self, node: Node) -> list[tuple[bool, bool]]:
        """Which inputs move, and which come from a comparison."""
        return [
            (v in self._moving, v in self._compared) if _jaxprs.is_value(v) else (False, False) for v in node.inputs
        ]

    def _read_part(self, part: Any, flags: Sequence[tuple[bool, bool]], found: dict[str, None] | None = None) -> list:
        closed = part if hasattr(part, "jaxpr") else jex.ClosedJaxpr(part, ())
        program = _jaxprs.flatten(jex.jaxpr_as_fun(closed), closed.in_avals, _jaxprs.GROUPS)
        count = len(program.arguments)  # a branch is given all but the first, which chooses it
        flags = flags[len(flags) - count :] if len(flags) >= count else [(True, False)] * count
        moving, compared = ([flag[i] for flag in flags] for i in (0, 1))
        return _Reader(program, moving, compared, {} if found is None else found).read()

    def _differentiated(self) -> list[Node]:
        """The equations that a derivative of the results flows through."""
        wanted, nodes = {v for v in self._program.outputs if _jaxprs.is_value(v)}, []
        for node in reversed(self._program.nodes):
            if node.equation.primitive.name != "stop_gradient" and wanted.intersection(node.outputs):
                nodes.append(node)
                wanted |= {v for v in node.inputs if _jaxprs.is_value(v) and self._is_float(v)}
        return nodes[::-1]

    def _judge(self, node: Node) -> None:
        name, parts = node.equation.primitive.name, _jaxprs.inner(node.equation)
        values = [v for v in node.inputs if _jaxprs.is_value(v)]
        moves = bool(self._moving.intersection(values))
        if name in RULES:
            self._found.update(_in_rule(parts) if moves else {})
        elif parts:
            flags = self._entered.get(node.outputs) or self._flags(node)
            for part in parts:
                self._read_part(part, flags, self._found)
        elif moves and name in KINKED and not self._is_smooth(name, node):
            self._found[KINKED[name]] = None
        if name != "scan" and any(v in self._compared and not self._is_float(v) for v in values):
            self._found[CHOICE] = None

    def _is_smooth(self, name: str, node: Node) -> bool:
        if name in ("reduce_max", "reduce_min"):
            return node.outputs[0] in self._away
        if name in ("abs", "sign"):
            return self._is_positive(node.inputs[0])
        limits = [n for n in map(self._number, node.inputs) if n is not None]
        if name == "max":
            positive = any(self._is_positive(v) for v in node.inputs if self._number(v) is None)
            return -np.inf in limits or (positive and any(n <= 0 for n in limits))
        return name == "min" and np.inf in limits

    def _is_variance(self, node: Node) -> bool:
        """Whether this is E x² − (E x)²."""
        if node.equation.primitive.name != "sub" or not all(map(_jaxprs.is_value, node.inputs)):
            return False
        squares, summed = self._before(node.inputs[0])
        mean_squared, again = self._before(node.inputs[1])
        if not summed or again or not (self._is_square(squares) and self._is_square(mean_squared)):
            return False
        first, second = (self._makers[v].inputs[0] for v in (squares, mean_squared))
        mean, averaged = self._before(second)
        return averaged and self._before(first)[0] == mean

    def _before(self, value: Value) -> tuple[Value, bool]:
        """What a value is the mean of, or the same in another shape; whether there was a sum."""
        summed = False
        while value in self._makers:
            node = self._makers[value]
            name = node.equation.primitive.name
            inputs = [v for v in node.inputs if _jaxprs.is_value(v) and v in self._depends]
            if name not in SHAPING | SUMS | {"mul", "div"} or len(inputs) != 1:
                break
            value, summed = inputs[0], summed or name in SUMS
        return value, summed

    def _is_square(self, value: Value) -> bool:
        node = self._makers.get(value)
        if node is None:
            return False
        name = node.equation.primitive.name
        return (
            name == "square"
            or (name == "integer_pow" and node.equation.params["y"] == 2)
            or (name == "mul" and node.inputs[0] == node.inputs[1])
        )

    def _source(self, value: Value) -> Value:
        return self._same.get(value, value) if _jaxprs.is_value(value) else None

    def _number(self, value: Value) -> float | None:
        if _jaxprs.is_value(value):
            return self._numbers.get(value)
        return float(value.val) if np.ndim(value.val) == 0 else None

    def _is_positive(self, value: Value) -> bool:
        number = self._number(value)
        if number is None:
            return _jaxprs.is_value(value) and value in self._positive
        return not number < 0  # NaN stands for what is not defined

    def _is_float(self, value: int) -> bool:
        return jnp.issubdtype(self._program.avals[value].dtype, jnp.floating)


def _in_rule(parts: Sequence[Any]) -> dict[str, None]:
    """A function with a derivative of its own is smooth unless it only compares: max(z, 0), and no exponential."""
    names, found = [], {}

    def collect(jaxpr: Any) -> None:
        for equation in _jaxprs.opened(jaxpr).eqns:
            names.append(equation.primitive.name)
            label = equation.params.get("name")
            if label in LABELED:
                found[label] = None
            for part in _jaxprs.inner(equation):
                collect(part)

    for part in parts:
        collect(part)
    if not found and not _cost.FUNCTIONS & set(names):
        found.update({KINKED[name]: None for name in names if name in KINKED})
        found.update({CHOICE: None} if "select_n" in names and COMPARISONS & set(names) else {})
    return found
