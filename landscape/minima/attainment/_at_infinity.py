"""The half squared error of a neuron: its limits at infinity, and whether anything finite is lower.

A sequence θ → ∞ has a direction d. An example with x̃ᵢ·d ≠ 0 ends at a limit of the activation, by the sign of x̃ᵢ·d;
those on the line x̃ᵢ·d = 0 keep a finite problem with one parameter less. In the plane the directions with an example on
its line are finitely many, and all others are limits of those problems: so the least limit is found by going round.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

import numpy as np

from landscape.minima._linear import Linear
from landscape.minima.attainment import _exact
from landscape.minima.attainment._certificates import Certificate, signed
from landscape.minima.attainment._exact import Exact, Vector
from landscape.minima.attainment._squares import Minimum, Squares, back, basins, least, polar, scattered
from landscape.minima.attainment._verdicts import AFFINE, AT_INFINITY, OPEN, SEVERAL, UNDECIDED, Finding

TIE = 1e-12  # of the objective's size: closer than that a finite minimum and a limit cannot be told apart
SEARCHED = "finite minima are searched for numerically, from many starts, and not proved to be all"


class Limit(NamedTuple):
    """The least value that the objective tends to at infinity."""

    value: float
    direction: Vector  # (p,)
    bound: bool  # whether every example's own infimum adds up to it, so that nothing finite can be lower


class Line(NamedTuple):
    """The least value of the examples on a line, over z = cτ, τ in [−∞, ∞]."""

    value: float
    end: int  # 1 or −1 where τ goes there, 0 where it stays finite
    bound: bool


def neuron(model: Linear) -> Finding:
    """Whether the half squared error of a sigmoid or tanh neuron attains its infimum.

    Raises: ValueError for another activation, a penalty on some parameters, more than 2 parameters without a penalty.
    """
    activation = getattr(model.loss, "activation", None)
    name = "an unknown activation" if activation is None else activation.name
    penalized = (model.l1 > 0) | (model.l2 > 0)
    p = len(penalized)
    if name not in ("sigmoid", "tanh") or not (penalized.all() or (p <= 2 and not penalized.any())):
        raise ValueError(
            f"`objective.structure` says half squared error of {name}, which is not convex, with {p} parameter"
            f"{'s' * (p > 1)}, {int(penalized.sum())} of them penalized. Its limits at infinity are known here for "
            "sigmoid and tanh with at most 2 parameters and no penalty, or with every parameter penalized; for any "
            'number of parameters take loss="cross_entropy", or activation="identity".'
        )
    problem = _squares(model, twice=name == "tanh")
    if penalized.all():
        return _coercive(problem)
    space = _exact.span(model.features)
    if not space.columns:
        return _flat(problem, space.null)
    if len(space.columns) == 1:
        return _on_a_line(problem, space)
    return _in_the_plane(problem)


def _squares(model: Linear, *, twice: bool) -> Squares:
    if twice:
        return Squares(2 * model.features, 0.5 * (1 + model.labels), 4 * model.weights, model.l1, model.l2)
    return Squares(model.features, model.labels, model.weights, model.l1, model.l2)


def _coercive(problem: Squares) -> Finding:
    minima = least(problem, scattered(problem))
    said = f"The penalty grows in every direction, so the minimum is attained; {SEARCHED}."
    return _finite(problem, minima, said, np.zeros((0, problem.rows.shape[1])))


def _flat(problem: Squares, null: tuple[Vector, ...]) -> Finding:
    """No example sees the parameters."""
    theta = np.zeros(problem.rows.shape[1])
    value = float(problem.values(theta[None])[0])
    said = "All features are 0, so the objective is the same everywhere."
    return Finding(AFFINE, said, infimum=value, theta=theta, directions=_floats(null), residual=0.0)


def _on_a_line(problem: Squares, space: _exact.Span) -> Finding:
    """All rows are multiples of one: z = cτ."""
    row, column = problem.rows[space.rows[0]], space.columns[0]
    c = problem.rows[:, column]
    along = np.sign(row[column]) * row / _exact.powers_of_two(np.abs(row).max())
    reduced = replace(problem, rows=c[:, None], l1=np.zeros(1), l2=np.zeros(1))
    minima = least(reduced, basins(reduced, polar(reduced)))
    shape = along[column] * along / (along @ along)  # θ = τ·shape has x̃ᵢ·θ = cᵢτ and the least norm
    minima = [
        one._replace(theta=one.theta[0] * shape, residual=one.residual / abs(float(np.linalg.norm(shape))))
        for one in minima
    ]
    ends = [(_ends(problem, sign * np.sign(c)), sign) for sign in (1, -1)]
    (value, bound), sign = min(ends, key=lambda one: (one[0][0], not one[0][1]))
    limit = Limit(value, tuple(Fraction(float(sign * v)) for v in along), bound)
    return _compared(problem, minima, limit, _floats(space.null))


def _ends(problem: Squares, signs: np.ndarray) -> tuple[float, bool]:
    """The objective where zᵢ goes to ±∞ by sign, and stays 0 for a sign of 0; whether nothing can be lower."""
    at_zero = 0.5 * problem.weights * np.square(0.5 - problem.targets)
    losses = np.where(signs > 0, problem.up, np.where(signs < 0, problem.down, at_zero))
    return float(losses.sum()), bool(_good(problem, signs).all())


def _good(problem: Squares, signs: np.ndarray) -> np.ndarray:
    """Which examples are at their infimum where zᵢ goes to ±∞ by sign; those with a sign of 0 are 0 everywhere."""
    t = problem.targets
    return (signs == 0) | ((signs > 0) & (t >= 1)) | ((signs < 0) & (t <= 0))


def _in_the_plane(problem: Squares) -> Finding:
    limit = _round_the_circle(problem)
    if limit.bound:
        return _compared(problem, [], limit, np.zeros((0, 2)))
    white, triangle = np.linalg.qr(problem.rows)
    turned, along = replace(problem, rows=white), np.array([float(v) for v in limit.direction])
    starts = polar(turned)
    reach = np.abs(problem.rows @ along)
    rays = np.outer(np.geomspace(1, 40, 8) / reach[reach > 1e-12 * reach.max()].min(), triangle @ along)
    minima = back(least(turned, np.concatenate([starts, rays])), triangle)
    return _compared(problem, minima, limit, np.zeros((0, 2)))


def _round_the_circle(problem: Squares) -> Limit:
    """The least limit over all directions in the plane."""
    seen = np.flatnonzero(problem.rows.any(axis=1))
    sides = np.where((problem.rows[:, 1] > 0) | ((problem.rows[:, 1] == 0) & (problem.rows[:, 0] > 0)), 1, -1)
    # Lines through 0, by their angle in [0, π): exact, so that examples on one line are found to be.
    slope = {int(i): _slope(*problem.rows[i]) for i in seen}
    lines = [np.array(list(group)) for _, group in groupby(sorted(slope, key=slope.__getitem__), slope.__getitem__)]
    own = [_line(problem.only(line), problem.rows[line], sides[line]) for line in lines]
    resting, _ = _ends(problem.only(np.setdiff1d(np.arange(len(sides)), seen)), np.zeros(len(sides) - len(seen)))
    positive = np.where(sides > 0, problem.up, problem.down)  # at the end that x̃ᵢ's own side of the line leads to
    negative = np.where(sides > 0, problem.down, problem.up)
    plus, minus = (np.array([v[line].sum() for line in lines]) for v in (positive, negative))
    before = np.concatenate([[0.0], np.cumsum(plus)[:-1]]), np.concatenate([[0.0], np.cumsum(minus)[:-1]])
    after = plus.sum() - before[0] - plus, minus.sum() - before[1] - minus
    rest = np.stack([before[0] + after[1], before[1] + after[0]])  # (2, lines): d to the right of the line, or left
    total = rest + resting + [one.value for one in own]
    close = np.argwhere(total <= total.min() + TIE * problem.unit)
    options = [_limit(problem, lines, own, int(g), 1 if side == 0 else -1, float(total[side, g])) for side, g in close]
    return min(options, key=lambda one: (not one.bound, one.value))


def _slope(x: float, y: float) -> tuple[bool, Fraction]:
    """Increases with the angle of the line through 0 and (x, y), from 0 to π."""
    return (False, Fraction(0)) if y == 0 else (True, -Fraction(float(x)) / Fraction(float(y)))


def _line(problem: Squares, rows: np.ndarray, sides: np.ndarray) -> Line:
    """The least value of examples whose rows are multiples of one another; τ grows along their upper half."""
    t, weights = problem.targets, problem.weights
    if (rows == rows[0]).all():
        mean = float(np.average(t, weights=weights)) if (t != t[0]).any() else float(t[0])
        fitted = min(max(mean, 0.0), 1.0)
        value = 0.5 * float(weights @ np.square(fitted - t))
        if 0 < mean < 1:
            return Line(value, 0, bool((t == t[0]).all()))
        end = int(sides[0]) * (1 if mean >= 1 else -1)
        return Line(value, end, bool(_good(problem, end * sides).all()))
    c = sides * np.linalg.norm(rows, axis=1)
    reduced = replace(problem, rows=c[:, None], l1=np.zeros(1), l2=np.zeros(1))
    finite = least(reduced, basins(reduced, polar(reduced)))[0]
    ends = {sign: _ends(problem, sign * sides) for sign in (1, -1)}
    sign = min(ends, key=lambda s: (ends[s][0], not ends[s][1]))
    value, bound = ends[sign]
    if bound or value <= finite.value or not finite.settled:
        return Line(value, sign, bound)
    return Line(finite.value, 0, False)


def _limit(problem: Squares, lines: list[np.ndarray], own: list[Line], g: int, side: int, value: float) -> Limit:
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
    return Limit(value, direction, bool((_good(problem, signs) | on_line).all()) and own[g].bound)


def _normal(row: np.ndarray) -> Vector:
    """The row turned clockwise from the upper half-plane, of size near 1; exactly orthogonal to it."""
    x, y = row / _exact.powers_of_two(np.abs(row).max())
    up = y > 0 or (y == 0 and x > 0)
    return (Fraction(float(y)), Fraction(float(-x))) if up else (Fraction(float(-y)), Fraction(float(x)))


def _compared(problem: Squares, minima: list[Minimum], limit: Limit, null: np.ndarray) -> Finding:
    """The finite minima beside the least limit at infinity."""
    if limit.bound:
        said = (
            "Along `direction` every example comes as near to its own best as one likes; some have theirs at a limit "
        )
        said += "of the activation, which no finite parameters reach: the infimum is approached, not attained."
        return _escaping(problem, limit, said)
    lowest, gap = min(one.value for one in minima), TIE * problem.unit
    if lowest < limit.value - gap:
        shown = lowest if lowest > gap else 0.0  # an exact fit, up to rounding
        said = f"A finite minimum, {shown:.6g}, is lower than every limit at infinity (the least is "
        said += f"{limit.value:.6g}), so the minimum is attained; {SEARCHED}."
        return _finite(problem, minima, said, null)
    if any(one.settled and one.value <= limit.value + gap for one in minima):
        said = "Undecided: the lowest finite minimum found and the least limit at infinity are equal to rounding."
        return Finding(UNDECIDED, said)
    said = f"Along `direction` the objective tends to {limit.value:.6g}, the least of its limits at infinity, and no "
    said += f"finite minimum found is lower; {SEARCHED}."
    return _escaping(problem, limit, said)


def _escaping(problem: Squares, limit: Limit, said: str) -> Finding:
    sides = np.where(problem.targets >= 0.5, 1, -1)
    products, unit = Exact.of(signed(problem.rows, sides)).times(limit.direction)
    largest = max(abs(v) for v in limit.direction)
    return Finding(
        AT_INFINITY,
        said,
        infimum=limit.value,
        direction=np.array([float(v / largest) for v in limit.direction]),
        margins=np.array([float(p * unit / largest) for p in products]),
        certificate=_certificate(problem, limit) if limit.bound else None,
    )


def _certificate(problem: Squares, limit: Limit) -> Certificate | None:
    """That the examples whose targets are out of reach are separated, and the others not moved."""
    signs = np.where(problem.targets >= 1, 1, np.where(problem.targets <= 0, -1, 0))
    p = problem.rows.shape[1]
    blind = ~problem.rows.any(axis=1) & (signs != 0)
    found = Certificate(
        claim="quasi-complete" if blind.any() or (signs == 0).any() else "complete",
        rows=problem.rows,
        signs=signs,
        free=np.ones(p, bool),
        direction=limit.direction,
        multipliers=blind.astype(np.float64),
        corrections=(),
        loose=np.zeros(p, bool),
    )
    return found if found.verify() else None


def _finite(problem: Squares, minima: list[Minimum], said: str, null: np.ndarray) -> Finding:
    settled = [one for one in minima if one.settled] or minima
    best = min(settled, key=lambda one: one.value)
    several = len(settled) > 1
    if several:
        said += f" {len(settled)} of them are equally low; `minimizer` is one."
    if not best.settled:
        said += " The search did not settle: take minimizer and infimum as approximate."
    return Finding(
        SEVERAL if several else AFFINE if len(null) else OPEN,  # the search proves no uniqueness
        said,
        infimum=best.value,
        theta=best.theta,
        directions=null,
        converged=best.settled,
        residual=best.residual,
    )


def _floats(null: tuple[Vector, ...]) -> np.ndarray:
    return np.array([[float(v) for v in vector] for vector in null])
