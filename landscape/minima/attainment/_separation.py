"""Is there a direction along which no example's loss grows? The linear programs of Albert & Anderson (1984).

HiGHS answers in floating point, within a tolerance; what is returned is only what a certificate proves exactly. Few
examples that it cannot decide are decided in rationals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from landscape.minima.attainment import _exact, _simplex
from landscape.minima.attainment._certificates import Certificate, corrections, signed
from landscape.minima.attainment._exact import Exact, Vector

FEASIBLE = 1e-10  # HiGHS' least tolerance
POSITIVE = 1e-8  # margins above it count, of rows of norm 1 and directions of size 1
AT_ONCE = 2_000  # constraints given to HiGHS at first
DEPENDENT = 1e-7  # pivots this small beside the largest: the columns are combined anew, exactly
ROUNDINGS = (4, 12, 26, 52, 200)  # bits kept of a direction: short numbers first, they are easier to read and multiply


def separate(rows: np.ndarray, signs: np.ndarray, free: np.ndarray) -> Certificate | None:
    """What the examples x̃ (n, p) with signs (n,) do along the free columns (p,); None if no certificate verifies.

    The certificate says nothing yet of the null space: none is loose in it.
    """
    given = signed(rows[:, free], signs)
    blank = Certificate("attained", rows, signs, free, None, np.zeros(len(rows)), (), loose=np.zeros(len(free), bool))
    if not (signs != 0).any() or not given.any():
        return replace(blank, multipliers=np.where(signs != 0, 1.0, 0.0))
    found = _in_floating_point(blank, given)
    settled = found is not None and found.claim != "not attained"
    return found if settled else _simplex.separate(blank, given) or found


def _in_floating_point(blank: Certificate, given: np.ndarray) -> Certificate | None:
    """What HiGHS finds of the signed examples (n, p) over the free columns."""
    signs = blank.signs
    programs = _programs(given, signs)
    left = np.ones(len(programs.rows), bool)
    first, multipliers = programs.box(left)
    gained = programs.rows @ first > POSITIVE
    if not gained.any():
        return _attained(blank, given, programs.multipliers(multipliers), programs)
    widest = programs.max_margin()
    if (programs.rows @ widest > POSITIVE).all() and (given[signs != 0] != 0).any(axis=1).all():
        found = _not_attained(blank, given, programs, widest, np.zeros(0, int), None)
        if found is not None:
            return found
    total, left = first, ~gained
    for _ in range(given.shape[1]):
        further, multipliers = programs.box(left)
        gained = left & (programs.rows @ further > POSITIVE)
        if not gained.any():
            break
        total, left = total + further, left & ~gained
    return _not_attained(blank, given, programs, total, programs.still(left), programs.multipliers(multipliers))


@dataclass(frozen=True, eq=False)
class _Programs:
    """The examples in coordinates in which the columns are orthonormal; then every row has norm 1.

    What the columns' scales, offsets and near-dependence do to an LP solver's tolerances is gone; a sign stays a sign.
    """

    rows: np.ndarray  # (m, r), hard examples that are not 0
    soft: np.ndarray  # (k, r), independent rows that span the soft examples
    hard_index: np.ndarray  # (m,) among the n examples
    soft_index: np.ndarray  # (k,)
    norms: np.ndarray  # (n,), what the rows were divided by
    scale: np.ndarray  # (p,), powers of two
    columns: tuple[int, ...]  # (r,), independent; the others stay at 0
    white: np.ndarray  # (n, r), all examples before they are divided by their norms
    turns: tuple[Vector, ...]  # r columns (r,): what the columns, scaled, were multiplied by, exactly
    triangle: np.ndarray  # (r, r), what they were divided by then

    def box(self, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """max mean over `left` of aᵢ·d with aᵢ·d ≥ 0 for all i and |dⱼ| ≤ 1: d (r,), and y (m + k,) of its dual.

        The dual of a maximum of 0 is Stiemke's: Σ yᵢaᵢ = 0 with yᵢ ≥ 1/m, m = number left.
        """
        goal = self.rows[left].mean(axis=0) if left.any() else np.zeros(self.rows.shape[1])
        found, of_rows, of_soft = _solved(-goal, -self.rows, (-1, 1), self.soft)
        return found, np.concatenate([np.where(left, 1 / max(1, left.sum()), 0.0) - of_rows, of_soft])

    def max_margin(self) -> np.ndarray:
        """max t with aᵢ·d ≥ t for all i and |dⱼ| ≤ 1: d (r,)."""
        r = self.rows.shape[1]
        wide = np.column_stack([-self.rows, np.ones(len(self.rows))])
        soft = np.column_stack([self.soft, np.zeros(len(self.soft))])
        return _solved(-np.eye(r + 1)[r], wide, [(-1, 1)] * r + [(None, 1)], soft)[0][:r]

    def multipliers(self, factors: np.ndarray) -> np.ndarray:
        """y (n,) of the examples, from those of the rows; 1 for examples that are 0."""
        index = np.concatenate([self.hard_index, self.soft_index])
        out = np.where(self.norms == 0, 1.0, 0.0)
        out[index] = factors / self.norms[index]
        return out

    def direction(self, direction: np.ndarray) -> Vector:
        """d (p,) in the columns' own units, times `scale`."""
        from scipy import linalg

        factors = [Fraction(float(f)) for f in linalg.solve_triangular(self.triangle, direction)]
        out = [Fraction(0)] * len(self.scale)
        for i, j in enumerate(self.columns):
            out[j] = sum((f * turn[i] for f, turn in zip(factors, self.turns, strict=True)), Fraction(0))
        return tuple(out)

    def still(self, left: np.ndarray) -> np.ndarray:
        """Which of the n examples a direction leaves at zero: the rows left, and those that are 0."""
        return np.union1d(self.hard_index[left], np.flatnonzero(self.norms == 0))


def _programs(given: np.ndarray, signs: np.ndarray) -> _Programs:
    scale = _exact.powers_of_two(np.abs(given).max(axis=0))
    columns = _exact.span(given).columns
    scaled = given[:, list(columns)] / scale[list(columns)]
    turns = tuple(tuple(Fraction(int(i == j)) for i in range(len(columns))) for j in range(len(columns)))
    white, triangle = np.linalg.qr(scaled)
    pivots = np.abs(np.diagonal(triangle))
    if pivots.min() < DEPENDENT * pivots.max():
        turns = _turns(scaled, triangle)
        white, triangle = np.linalg.qr(np.column_stack([_exactly(scaled, turn) for turn in turns]))
    norms = np.where((given != 0).any(axis=1), np.linalg.norm(white, axis=1), 0.0)
    unit = white / np.where(norms > 0, norms, 1.0)[:, None]
    hard, soft = np.flatnonzero((signs != 0) & (norms > 0)), np.flatnonzero(signs == 0)
    soft = soft[list(_exact.span(given[soft]).rows)]
    return _Programs(unit[hard], unit[soft], hard, soft, norms, scale, columns, white, turns, triangle)


def _turns(scaled: np.ndarray, triangle: np.ndarray) -> tuple[Vector, ...]:
    """Combinations of nearly dependent columns that are far from dependent: the columns of R⁻¹, of size 1."""
    from scipy import linalg

    pivots = np.diagonal(triangle).copy()
    # Of a pivot that is all rounding only the order of size is right; one of 0 says less: the size of rounding.
    least = np.finfo(float).eps * np.abs(pivots).max()
    safe = triangle + np.diag(np.where(np.abs(pivots) < least, least, 0.0))
    inverse = linalg.solve_triangular(safe, np.eye(len(pivots)))
    columns = [tuple(Fraction(float(v)) for v in column) for column in inverse.T]
    sizes = [np.abs(_exactly(scaled, column)).max() for column in columns]
    units = [Fraction(float(s)) if s > 0 else Fraction(1) for s in _exact.powers_of_two(np.array(sizes))]
    return tuple(tuple(v / unit for v in column) for column, unit in zip(columns, units, strict=True))


def _exactly(rows: np.ndarray, vector: Vector) -> np.ndarray:
    """A·v (n,), rounded once: right to the last bit however much cancels."""
    products, unit = Exact.of(rows).times(vector)
    return (products * unit.numerator / unit.denominator).astype(np.float64)


def _solved(
    cost: np.ndarray, upper: np.ndarray, bounds: Any, equal: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """min cost·d with upper·d ≤ 0 and equal·d = 0: d and the marginals of both.

    Of many constraints few bind: HiGHS is given some, then also those that its answer breaks, until it breaks none.
    """
    from scipy.optimize import linprog

    used = np.unique(np.linspace(0, len(upper) - 1, min(len(upper), AT_ONCE)).astype(int))
    while True:
        found = linprog(
            cost,
            A_ub=upper[used],
            b_ub=np.zeros(len(used)),
            A_eq=equal if len(equal) else None,
            b_eq=np.zeros(len(equal)) if len(equal) else None,
            bounds=bounds,
            method="highs",
            options={"primal_feasibility_tolerance": FEASIBLE, "dual_feasibility_tolerance": FEASIBLE},
        )
        if found.x is None:  # d = 0 is feasible and the box is bounded: only HiGHS itself can fail
            raise RuntimeError(f"HiGHS did not solve a linear program of attainment: {found.message}")
        excess = upper @ found.x
        excess[used] = 0.0
        broken = np.flatnonzero(excess > FEASIBLE)
        if not len(broken):
            break
        used = np.concatenate([used, broken[np.argsort(-excess[broken])[: len(used)]]])
    marginals = np.zeros(len(upper))
    marginals[used] = found.ineqlin.marginals
    return found.x, marginals, found.eqlin.marginals


def _attained(
    blank: Certificate, given: np.ndarray, multipliers: np.ndarray, programs: _Programs
) -> Certificate | None:
    """The certificate with these multipliers, made exact."""
    try:
        fixed = corrections(given, multipliers, programs.columns, programs.white)
        found = replace(blank, multipliers=multipliers, corrections=fixed)
    except ZeroDivisionError:
        return None
    return found if found.verify() else None


def _not_attained(
    blank: Certificate,
    given: np.ndarray,
    programs: _Programs,
    toward: np.ndarray,
    still: np.ndarray,
    multipliers: np.ndarray | None,
) -> Certificate | None:
    """The certificate with a direction near this one, exactly 0 on the `still` and the soft examples."""
    hard = blank.signs != 0
    zero = np.union1d(still, np.flatnonzero(~hard)).astype(int)
    moving = np.setdiff1d(np.arange(len(given)), zero)
    scale, direction = programs.scale, programs.direction(toward)
    space = _exact.span(given[zero] / scale)
    for bits in ROUNDINGS:
        exact = _rounded(direction, space, bits)
        size = max((abs(v) for v in exact), default=Fraction(0))
        if size == 0 or (bits < 50 and not ((given / scale)[moving] @ [float(v) for v in exact] > 0).all()):
            continue
        own = [v / Fraction(float(s)) for v, s in zip(exact, scale, strict=True)]
        largest = max(abs(v) for v in own)
        whole = np.full(len(blank.free), Fraction(0), object)
        whole[blank.free] = [v / largest for v in own]
        found = replace(blank, claim="not attained", direction=tuple(whole))
        if found.verify():
            return _kind(found, zero, multipliers, given[zero], space.columns, programs.white[zero])
    return None


def _kind(
    found: Certificate,
    zero: np.ndarray,
    multipliers: np.ndarray | None,
    given: np.ndarray,
    columns: tuple[int, ...],
    white: np.ndarray,
) -> Certificate:
    """Complete if nothing is left at zero; quasi-complete if multipliers prove that nothing else can move."""
    if not len(zero):
        return replace(found, claim="complete")
    factors = np.zeros(len(found.rows))
    if multipliers is not None:
        factors[zero] = multipliers[zero]
    try:
        fixed = corrections(given, factors[zero], columns, white)
    except ZeroDivisionError:
        return found
    proved = replace(
        found, claim="quasi-complete", multipliers=factors, corrections=tuple((int(zero[i]), f) for i, f in fixed)
    )
    return proved if proved.verify() else found


def _rounded(direction: Vector, space: _exact.Span, bits: int) -> Vector:
    """The vector of a null space that is near d/max |dⱼ|: the other columns are rounded to so many bits."""
    largest = max(abs(v) for v in direction) or Fraction(1)
    out = [Fraction(0)] * len(direction)
    for j, vector in zip(space.others, space.null, strict=True):
        factor = Fraction(round(direction[j] / largest * 2**bits), 2**bits)
        out = [o + factor * v for o, v in zip(out, vector, strict=True)]
    return tuple(out)
