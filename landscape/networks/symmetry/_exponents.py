"""Which factors units may be multiplied by: of each leaf and axis the power at which a unit's factor appears.

Multiply what comes into a unit by s and divide what goes out by s: under relu nothing changes for any s > 0, under tanh
for s = −1. In general every axis of every value has an exponent e, so that scaling unit u by s_u scales its entries by
s_u^e. A sum wants equal exponents, a product adds them, a matrix product wants them to cancel, tanh wants 0 unless s is
a sign. These are linear equations for the exponents of the params: over the rationals where s > 0, over the integers
modulo 2 where s = ±1. Their solutions are the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from landscape import _jaxprs
from landscape.networks.symmetry import _reading
from landscape.networks.symmetry._reading import Reading

Exponent = dict[int, Fraction]  # a linear form in the unknowns, without the terms that are 0
Exponents = list[list[Exponent]]  # of a value, axis by axis, factor by factor
ALIKE = {"add", "sub", "add_any", "concatenate"}
PASSED = {"neg", "convert_element_type", "reduce_precision", "copy", "stop_gradient", "rev", "cumsum"}
PASSED |= {"slice", "dynamic_slice"}
NOTHING = {"broadcast_in_dim", "convert_element_type", "neg", "reshape", "copy", "transpose", "squeeze", "expand_dims"}
POWERS = {"square": Fraction(2), "sqrt": Fraction(1, 2), "rsqrt": Fraction(-1, 2), "cbrt": Fraction(1, 3)}
LARGEST = {"max", "min", "reduce_max", "reduce_min", "reduce_window_max", "reduce_window_min"}


class Equations:
    """The exponents of a program's values under positive factors, or under signs, and what they must satisfy."""

    def __init__(self, reading: Reading, *, signs: bool) -> None:
        self.reading, self.signs = reading, signs
        self.unknowns: dict[tuple[int, int, int], int] = {}  # (leaf, axis, position in the axis) -> its number
        self.rows: list[Exponent] = []
        self._known: dict[int, Exponents] = {}
        self._zero: set[int] = set()
        program = reading.program
        for value in (*program.arguments, *program.constants):
            self._known[value] = [[{} for _ in axis] for axis in reading.of(value)]
        for value, array in program.constants.items():
            if not np.any(np.asarray(array)) and np.asarray(array).dtype != object:
                self._zero.add(value)
        for leaf in reading.leaves:
            for i, axis in enumerate(reading.of(leaf)):
                for k, number in enumerate(axis):
                    if reading.free(number):
                        unknown = self.unknowns[leaf, i, k] = len(self.unknowns)
                        self._known[leaf][i][k] = {unknown: Fraction(1)}
        for node in program.nodes:
            if all(value in reading.axes for value in node.outputs):  # else nothing of it is needed
                self._follow(node)

    def of(self, value: int) -> Exponents:
        """The exponents of a value."""
        return self._known[value]

    def solutions(self, number: int, first: dict[int, int]) -> tuple[list[tuple[int, int, int]], np.ndarray]:
        """A factor's places in the params, and the exponents there that solve the equations, (solutions, places).

        first: where the program reads each leaf, the order of the places.
        """
        reading = self.reading
        places = [place for place in self.unknowns if reading.of(place[0])[place[1]][place[2]] == number]
        places.sort(key=lambda place: (first.get(place[0], 0), place))
        columns = {self.unknowns[place]: i for i, place in enumerate(places)}
        rows = [[row.get(u, Fraction(0)) for u in columns] for row in self.rows if not columns.keys().isdisjoint(row)]
        return places, _null_space(rows, len(places), signs=self.signs)

    def _follow(self, node: Any) -> None:
        equation, name = node.equation, node.equation.primitive.name
        given = [self._given(value) for value in node.inputs]
        shapes = [self.reading.of(value) for value in node.outputs]
        if name == "split" and given[0] is not None:
            along = equation.params["axis"]
            self._vanish(given[0][along])
            passed = [[{} for _ in s[i]] if i == along else e for s in shapes for i, e in enumerate(given[0])]
            size = len(given[0])
            self._known.update((v, passed[i * size : (i + 1) * size]) for i, v in enumerate(node.outputs))
            return
        if len(node.outputs) != 1:
            self._vanish(exponent for operand in given if operand for axis in operand for exponent in axis)
            self._known.update(
                (v, [[{} for _ in axis] for axis in s]) for v, s in zip(node.outputs, shapes, strict=True)
            )
            return
        (out,), (shape,) = node.outputs, shapes
        if name in _reading.ELEMENTWISE or name == "concatenate":
            exponents = self._elementwise(equation, given, shape)
        else:
            exponents = getattr(self, f"_{name}", self._other)(equation, given, shape)
        self._known[out] = exponents
        nothing = given[0] is None if name in NOTHING else None in given and name in ("dot_general", "mul")
        if nothing or (name == "conv_general_dilated" and None in given):
            self._zero.add(out)

    def _given(self, value: Any) -> Exponents | None:
        """The exponents of an operand; None where it is 0, which fits any."""
        if not _jaxprs.is_value(value):
            return None if not np.any(value.val) else []
        return None if value in self._zero else self._known[value]

    def _elementwise(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        name = equation.primitive.name

        def at(operand: Exponents | None, i: int, k: int) -> Exponent | None:
            if operand is None:
                return None
            return operand[i][k] if len(operand) == len(shape) and len(operand[i]) == len(shape[i]) else {}

        return [
            [self._combined(name, equation, [at(operand, i, k) for operand in given]) for k in range(len(axis))]
            for i, axis in enumerate(shape)
        ]

    def _combined(self, name: str, equation: Any, of: list[Exponent | None]) -> Exponent:
        """The exponent of what an elementwise operation makes of numbers with these."""
        known = [e for e in of if e is not None]
        first = known[0] if known else {}
        if name == "convert_element_type" and not _reading.keeps_numbers(equation):
            self._vanish(known)
            return {}
        if name in PASSED or (name in ALIKE and self._equal(known)):
            return first
        if name in _reading.PRODUCT:
            sign = 1 if name == "mul" else -1
            return self._reduced(_sum(known[0], known[1], sign)) if len(known) == 2 else {}
        if name in ("integer_pow", "pow") or name in POWERS:
            return self._power(name, equation, known)
        if name == "select_n":
            self._vanish(known[:1] if of[0] is not None else ())
            known = [e for e in of[1:] if e is not None]
            self._equal(known)
            return known[0] if known else {}
        if self.signs:
            if name in _reading.ODD:
                return first
            free = name in _reading.EVEN or name == "is_finite" or (name in ("eq", "ne") and len(known) < len(of))
            if not free:
                self._vanish(known)
            return {}
        if name in ("abs", "max", "min"):
            self._equal(known)
            return first
        if name in _reading.COMPARISONS:
            self._equal(known)
        elif name not in ("sign", "is_finite"):
            self._vanish(known)
        return {}

    def _power(self, name: str, equation: Any, known: list[Exponent]) -> Exponent:
        exponent = POWERS.get(name)
        if name == "integer_pow":
            exponent = Fraction(equation.params["y"])
        elif name == "pow" and not _jaxprs.is_value(equation.invars[1]) and hasattr(equation.invars[1], "val"):
            exponent = Fraction(float(equation.invars[1].val)).limit_denominator(10**6)
        whole = exponent is not None and (exponent.denominator == 1 or name == "cbrt")
        if exponent is None or (self.signs and not whole):
            self._vanish(known)
            return {}
        first = known[0] if known else {}
        odd = Fraction(1) if name == "cbrt" and self.signs else exponent
        return self._reduced({u: odd * c for u, c in first.items()})

    def _broadcast_in_dim(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        out = [[{} for _ in axis] for axis in shape]
        for i, own in zip(equation.params["broadcast_dimensions"], given[0] or [], strict=False):
            if len(own) == len(out[i]):
                out[i] = own
        return out

    def _reshape(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        flat = iter([e for axis in given[0] or [] for e in axis])
        return [[next(flat, {}) for _ in axis] for axis in shape]

    def _transpose(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        return [given[0][i] for i in equation.params["permutation"]] if given[0] else _none(shape)

    def _squeeze(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        gone = equation.params["dimensions"]
        return [axis for i, axis in enumerate(given[0]) if i not in gone] if given[0] else _none(shape)

    def _expand_dims(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        kept = iter(given[0] or _none(shape))
        return [[] if i in equation.params["dimensions"] else next(kept) for i in range(len(shape))]

    def _dot_general(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        if given[0] is None or given[1] is None:
            return _none(shape)
        (contracted, batch), (left, right) = equation.params["dimension_numbers"], (given[0], given[1])
        for i, j in zip(*contracted, strict=True):
            self._vanish(_sum(a, b) for a, b in zip(left[i], right[j], strict=False))
        shared = [
            [self._reduced(_sum(a, b)) for a, b in zip(left[i], right[j], strict=False)]
            for i, j in zip(*batch, strict=True)
        ]
        free = [
            axis
            for axes, which in ((left, 0), (right, 1))
            for i, axis in enumerate(axes)
            if i not in contracted[which] and i not in batch[which]
        ]
        return shared + free

    def _conv_general_dilated(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        numbers, out = equation.params["dimension_numbers"], _none(shape)
        if given[0] is None or given[1] is None:
            return out
        images, kernel = given[0], given[1]
        channels, into, outof = images[numbers.lhs_spec[1]], kernel[numbers.rhs_spec[1]], kernel[numbers.rhs_spec[0]]
        if equation.params["feature_group_count"] == 1:
            self._vanish(_sum(a, b) for a, b in zip(channels, into, strict=False))
        else:
            outof = [self._reduced(_sum(a, b)) for a, b in zip(channels, outof, strict=False)]
        out[numbers.out_spec[0]], out[numbers.out_spec[1]] = images[numbers.lhs_spec[0]], outof
        return out

    def _gather(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        out, array = _none(shape), given[0]
        if array is None:
            return out
        kept = _reading.whole_axes(equation)
        self._vanish(e for i, axis in enumerate(array) if i not in kept.values() for e in axis)
        for i, j in kept.items():
            out[i] = array[j]
        return out

    def _other(self, equation: Any, given: list[Exponents | None], shape: Any) -> Exponents:
        """Sums, maxima and what else takes some axes away or cuts them; what is not known wants exponents of 0."""
        name = equation.primitive.name
        first = given[0] if given else None
        if name in _reading.REDUCTIONS and first is not None:
            gone = equation.params["axes"]
            self._vanish(e for i in gone for e in first[i])
            first = [axis for i, axis in enumerate(first) if i not in gone]
        linear = name in ("reduce_sum", "reduce_window_sum") or name in PASSED or (name in LARGEST and not self.signs)
        linear = linear or (name == "pad" and given[1] is None)
        if linear and first is not None and len(first) == len(shape):
            return [
                own if len(own) == len(axis) else [{} for _ in axis] for own, axis in zip(first, shape, strict=True)
            ]
        self._vanish(e for operand in ([first] if linear else given) if operand for axis in operand for e in axis)
        return _none(shape)

    def _vanish(self, exponents: Any) -> None:
        self.rows += [e for e in map(self._reduced, exponents) if e]

    def _equal(self, exponents: Sequence[Exponent]) -> bool:
        self._vanish(_sum(e, exponents[0], -1) for e in exponents[1:])
        return True

    def _reduced(self, exponent: Exponent) -> Exponent:
        if not self.signs:
            return exponent
        return {u: Fraction(1) for u, c in exponent.items() if c % 2}


def _none(shape: Any) -> Exponents:
    return [[{} for _ in axis] for axis in shape]


def _sum(a: Exponent, b: Exponent, sign: int = 1) -> Exponent:
    out = dict(a)
    for unknown, c in b.items():
        out[unknown] = out.get(unknown, Fraction(0)) + sign * c
    return {u: c for u, c in out.items() if c}


def _null_space(rows: list[list[Fraction]], columns: int, *, signs: bool) -> np.ndarray:
    """A basis of the e with rows·e = 0, (solutions, columns): each is 1 at a place of its own, as early as can be."""
    from flint import fmpq, fmpq_mat, nmod_mat

    backwards = [row[::-1] for row in rows] or [
        [Fraction(0)] * columns
    ]  # the last columns are what is solved for first
    if signs:
        reduced, rank = nmod_mat(len(backwards), columns, [int(c) for row in backwards for c in row], 2).rref()
    else:
        entries = [fmpq(c.numerator, c.denominator) for row in backwards for c in row]
        reduced, rank = fmpq_mat(len(backwards), columns, entries).rref()
    table = [[_number(reduced[i, j], signs) for j in range(columns)] for i in range(rank)]
    pivots = [next(j for j, c in enumerate(row) if c) for row in table]
    out = []
    for free in (j for j in range(columns) if j not in pivots):
        solution = np.zeros(columns)
        solution[free] = 1
        for row, pivot in zip(table, pivots, strict=True):
            solution[pivot] = -row[free] % 2 if signs else -row[free]
        out.append(solution[::-1])
    return np.array(out[::-1]).reshape(-1, columns)


def _number(entry: Any, signs: bool) -> float:
    return float(int(entry)) if signs else int(entry.p) / int(entry.q)
