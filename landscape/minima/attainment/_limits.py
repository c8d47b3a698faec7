"""Where the half squared error of a neuron goes as θ → ∞: its limits, by direction.

A sequence θ → ∞ has a direction d. An example with x̃ᵢ·d ≠ 0 ends at a limit of the activation, by the sign of x̃ᵢ·d;
those on the line x̃ᵢ·d = 0 keep a finite problem with one parameter less. In the plane the directions with an example on
its line are finitely many, and all others are limits of those problems: so the least limit is found by going round.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

import numpy as np

from landscape.minima.attainment import _exact
from landscape.minima.attainment._exact import Exact, Vector
from landscape.minima.attainment._squares import Squares, basins, least, polar

TIE = 1e-12  # of the objective's size: a search that has not settled may still come as much lower


class Limit(NamedTuple):
    """The least value that the objective tends to at infinity."""

    value: float
    direction: Vector  # (p,)
    bound: bool  # whether every example's own infimum adds up to it, so that nothing finite can be lower
    levels: np.ndarray  # σ (n,) of each example there
    doubt: float = 0.0  # how much lower, for rounding, another limit may be


class Line(NamedTuple):
    """The least value of the examples on a line, over z = cτ, τ in [−∞, ∞]."""

    value: float
    end: int  # 1 or −1 where τ goes there, 0 where it stays finite
    bound: bool
    levels: np.ndarray  # σ (m,) of each of them


def levels_at(signs: np.ndarray) -> np.ndarray:
    """σ (n,) where zᵢ goes to ±∞ by sign, and stays 0 for a sign of 0."""
    return np.where(signs > 0, 1.0, np.where(signs < 0, 0.0, 0.5))


def ends_at(problem: Squares, signs: np.ndarray) -> tuple[float, bool]:
    """The objective where zᵢ goes to ±∞ by sign, and stays 0 for a sign of 0; whether nothing can be lower."""
    at_zero = 0.5 * problem.weights * np.square(0.5 - problem.targets)
    losses = np.where(signs > 0, problem.up, np.where(signs < 0, problem.down, at_zero))
    return float(losses.sum()), bool(_good(problem, signs).all())


def _good(problem: Squares, signs: np.ndarray) -> np.ndarray:
    """Which examples are at their infimum where zᵢ goes to ±∞ by sign; those with a sign of 0 are 0 everywhere."""
    t = problem.targets
    return (signs == 0) | ((signs > 0) & (t >= 1)) | ((signs < 0) & (t <= 0))


def round_the_circle(problem: Squares) -> Limit:
    """The least limit over all directions in the plane."""
    seen = np.flatnonzero(problem.rows.any(axis=1))
    sides = np.where((problem.rows[:, 1] > 0) | ((problem.rows[:, 1] == 0) & (problem.rows[:, 0] > 0)), 1, -1)
    # Lines through 0, by their angle in [0, π): exact, so that examples on one line are found to be.
    slope = {int(i): _slope(*problem.rows[i]) for i in seen}
    lines = [np.array(list(group)) for _, group in groupby(sorted(slope, key=slope.__getitem__), slope.__getitem__)]
    own = [_line(problem.only(line), problem.rows[line], sides[line]) for line in lines]
    resting, _ = ends_at(problem.only(np.setdiff1d(np.arange(len(sides)), seen)), np.zeros(len(sides) - len(seen)))
    positive = np.where(sides > 0, problem.up, problem.down)  # at the end that x̃ᵢ's own side of the line leads to
    negative = np.where(sides > 0, problem.down, problem.up)
    plus, minus = (np.array([v[line].sum() for line in lines]) for v in (positive, negative))
    before = np.concatenate([[0.0], np.cumsum(plus)[:-1]]), np.concatenate([[0.0], np.cumsum(minus)[:-1]])
    after = plus.sum() - before[0] - plus, minus.sum() - before[1] - minus
    rest = np.stack([before[0] + after[1], before[1] + after[0]])  # (2, lines): d to the right of the line, or left
    total = rest + resting + [one.value for one in own]
    close = np.argwhere(total <= total.min() + TIE * problem.unit)
    options = [_limit(problem, lines, own, int(g), 1 if side == 0 else -1) for side, g in close]
    best = min(options, key=lambda one: (not one.bound, one.value))
    # Limits of examples in another order are sums in another order: as far as they differ, each may be the least.
    near = [one.value for one in options if one.value <= best.value * (1 + 1e-14)]
    return best._replace(doubt=max(near) - min(near))


def _slope(x: float, y: float) -> tuple[bool, Fraction]:
    """Increases with the angle of the line through 0 and (x, y), from 0 to π."""
    return (False, Fraction(0)) if y == 0 else (True, -Fraction(float(x)) / Fraction(float(y)))


def _line(problem: Squares, rows: np.ndarray, sides: np.ndarray) -> Line:
    """The least value of examples whose rows are multiples of one another; τ grows along their upper half."""
    from scipy.special import expit

    t, weights = problem.targets, problem.weights
    if (rows == rows[0]).all():
        mean = float(np.average(t, weights=weights)) if (t != t[0]).any() else float(t[0])
        fitted = min(max(mean, 0.0), 1.0)
        value = 0.5 * float(weights @ np.square(fitted - t))
        if 0 < mean < 1:
            return Line(value, 0, bool((t == t[0]).all()), np.full(len(t), mean))
        end = int(sides[0]) * (1 if mean >= 1 else -1)
        return Line(value, end, bool(_good(problem, end * sides).all()), levels_at(end * sides))
    c = sides * np.hypot(*rows.T)
    reduced = problem.seen_along((c / _exact.powers_of_two(np.abs(c).max()))[:, None])
    finite = least(reduced, basins(reduced, polar(reduced)))[0]
    ends = {sign: ends_at(problem, sign * sides) for sign in (1, -1)}
    sign = min(ends, key=lambda s: (ends[s][0], not ends[s][1]))
    value, bound = ends[sign]
    if bound or value <= finite.value or not finite.settled:
        return Line(value, sign, bound, levels_at(sign * sides))
    return Line(finite.value, 0, False, expit(reduced.rows @ finite.theta))


def _limit(problem: Squares, lines: list[np.ndarray], own: list[Line], g: int, side: int) -> Limit:
    """The limit along the normal of line g, on one side; turned into the next cell if the line's own τ → ±∞."""
    normals = [_normal(problem.rows[line[0]]) for line in lines]
    direction = tuple(side * v for v in normals[g])
    if own[g].end:
        # Going round from the normal, to the right of the line, toward the line is counterclockwise: to the next one.
        step = own[g].end * side
        turn = g + step
        wrapped = -1 if turn in (-1, len(lines)) else 1
        other = normals[turn % len(lines)]
        direction = tuple(a + wrapped * side * b for a, b in zip(direction, other, strict=True))
    products, _ = Exact.of(problem.rows).times(direction)
    signs = np.sign(products).astype(int)
    on_line = np.zeros(len(signs), bool)
    on_line[lines[g]] = own[g].end == 0
    levels = levels_at(signs)
    levels[on_line] = own[g].levels[: on_line.sum()]
    losses = 0.5 * problem.weights * np.square(levels - problem.targets)
    bound = bool((_good(problem, signs) | on_line).all()) and own[g].bound
    return Limit(math.fsum(losses.tolist()), direction, bound, levels)


def _normal(row: np.ndarray) -> Vector:
    """The row turned clockwise from the upper half-plane, of size near 1; exactly orthogonal to it."""
    x, y = row / _exact.powers_of_two(np.abs(row).max())
    up = y > 0 or (y == 0 and x > 0)
    return (Fraction(float(y)), Fraction(float(-x))) if up else (Fraction(float(-y)), Fraction(float(x)))
