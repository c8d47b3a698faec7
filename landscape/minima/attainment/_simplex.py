"""The linear programs of few examples without rounding: SymPy's simplex method over the rationals.

For examples that floating point cannot tell apart: those within 1e-8, say, of being separable, or of being not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from landscape.minima.attainment import _exact
from landscape.minima.attainment._certificates import Certificate
from landscape.minima.attainment._exact import Exact, Span, Vector

MOST = 3_000  # examples times parameters squared: a second or so

Rows = Sequence[Vector]


def separate(blank: Certificate, given: np.ndarray) -> Certificate | None:
    """The certificate of the signed examples (n, p) over the free columns; None where they are more than a few."""
    if given.size * given.shape[1] > MOST:
        return None
    hard, soft = np.flatnonzero(blank.signs != 0), np.flatnonzero(blank.signs == 0)
    space = _exact.span(given[soft])  # directions are sums of its null vectors: soft examples stay at 0
    scale = [Fraction(float(s)) for s in _exact.powers_of_two(np.abs(given).max(axis=0))]
    null = [tuple(v / scale[own] for v in vector) for own, vector in zip(space.others, space.null, strict=True)]
    rows = [tuple(_dot(_fractions(given[i]), vector) for vector in null) for i in hard]
    inner, left = _direction(rows)
    found = replace(blank, claim="attained")
    if inner is not None:
        own = [_dot(coordinates, inner) for coordinates in zip(*null, strict=True)]
        largest = max(abs(v) for v in own)
        whole = np.full(len(blank.free), Fraction(0), object)
        whole[blank.free] = [v / largest for v in own]
        found = replace(blank, claim="quasi-complete" if left or len(soft) else "complete", direction=tuple(whole))
    if found.claim != "complete":
        factors = dict(zip(hard[left].tolist(), _balance([rows[i] for i in left]), strict=True))
        factors |= _rest(given, factors, soft, space)
        largest = max((abs(f) for f in factors.values()), default=Fraction(1)) or Fraction(1)
        factors = {i: f / largest for i, f in factors.items()}
        multipliers = np.zeros(len(given))
        multipliers[list(factors)] = [float(f) for f in factors.values()]
        rest = ((i, f - Fraction(float(f))) for i, f in factors.items())
        found = replace(found, multipliers=multipliers, corrections=tuple((i, f) for i, f in rest if f))
    return found if found.verify() else None


def _rest(given: np.ndarray, factors: dict[int, Fraction], soft: np.ndarray, space: Span) -> dict[int, Fraction]:
    """Multipliers of soft examples that cancel those of hard ones, whose sum lies in their span."""
    basis = soft[list(space.rows)].tolist()
    if not basis or not factors:
        return {}
    rows = [[f * v for v in _fractions(given[i])] for i, f in factors.items()]
    wanted = tuple(-sum(column, Fraction(0)) for column in zip(*rows, strict=True))
    return dict(zip(basis, _exact.solve(Exact.of(given), basis, space.columns, wanted), strict=True))


def _direction(rows: Rows) -> tuple[Vector | None, list[int]]:
    """A direction along which as many rows as possible gain, None if none can; and those that it leaves at zero."""
    if not rows[0]:  # soft examples hold every parameter
        return None, list(range(len(rows)))
    widest, margin = _widest(rows)
    if margin > 0:
        return widest, []
    total, left = None, list(range(len(rows)))
    while left:
        further = _furthest([sum(column) for column in zip(*(rows[i] for i in left), strict=True)], rows)
        kept = [i for i in left if _dot(rows[i], further) == 0]
        if len(kept) == len(left):
            break
        total = further if total is None else tuple(a + b for a, b in zip(total, further, strict=True))
        left = kept
    return total, left


def _widest(rows: Rows) -> tuple[Vector, Fraction]:
    """(d, t) of max t with aᵢ·d ≥ t for all rows and |dⱼ|, |t| ≤ 1."""
    zero, one = Fraction(0), Fraction(1)
    *direction, margin = _furthest([zero] * len(rows[0]) + [one], [(*row, -one) for row in rows])
    return tuple(direction), margin


def _furthest(goal: Sequence[Any], rows: Rows) -> Vector:
    """d of max goal·d with aᵢ·d ≥ 0 for all rows and |dⱼ| ≤ 1, as the difference of two vectors ≥ 0."""
    both = [(*(-a for a in row), *row) for row in rows]
    units = [tuple(Fraction(int(i == j)) for i in range(2 * len(goal))) for j in range(2 * len(goal))]
    most = [Fraction(0)] * len(rows) + [Fraction(1)] * len(units)
    found = _greatest([*goal, *(-g for g in goal)], [*both, *units], most)
    return tuple(a - b for a, b in zip(found[: len(goal)], found[len(goal) :], strict=True))


def _balance(rows: Rows) -> Vector:
    """y with Σ yᵢaᵢ = 0 and yᵢ ≥ 1; there is one where no d moves any of the rows.

    Of y − 1 ≥ 0: each coordinate, with the sign that makes what is wanted of it positive, may grow up to that.
    """
    upper, most = [], []
    for column in zip(*rows, strict=True):
        wanted = -sum(column)
        upper.append([-a for a in column] if wanted < 0 else column)
        most.append(abs(wanted))
    if not upper:
        return (Fraction(1),) * len(rows)
    return tuple(v + 1 for v in _greatest([sum(column) for column in zip(*upper, strict=True)], upper, most))


def _greatest(goal: Sequence[Any], upper: Sequence[Sequence[Any]], most: Sequence[Fraction]) -> Vector:
    """v of max goal·v with upper·v ≤ most and v ≥ 0, where most ≥ 0.

    So v = 0 is feasible: SymPy's search for a feasible point, which may fail, is not needed; from there Bland's rule
    ends at the maximum.
    """
    from sympy.solvers.simplex import linprog

    cost = _matrix([[-g for g in goal]], len(goal))
    _, found = linprog(cost, _matrix(upper, len(goal)), _matrix([[m] for m in most], 1))
    return tuple(Fraction(int(v.numerator), int(v.denominator)) for v in found)


def _matrix(rows: Sequence[Sequence[Any]], columns: int) -> Any:
    from sympy import Matrix, Rational

    return Matrix(len(rows), columns, [Rational(v.numerator, v.denominator) for row in rows for v in row])


def _fractions(row: np.ndarray) -> Vector:
    return tuple(Fraction(float(v)) for v in row)


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))
