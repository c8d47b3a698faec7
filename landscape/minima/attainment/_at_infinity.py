"""The half squared error of a neuron: is anything finite as low as its limits at infinity?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from landscape.minima._linear import Linear
from landscape.minima.attainment import _exact, _limits
from landscape.minima.attainment._certificates import Certificate, signed
from landscape.minima.attainment._exact import Exact, Vector
from landscape.minima.attainment._limits import Limit
from landscape.minima.attainment._squares import Minimum, Squares, basins, least, polar, scattered
from landscape.minima.attainment._verdicts import AFFINE, AT_INFINITY, OPEN, SEVERAL, UNDECIDED, UNIQUE, Finding

EQUAL = 1e-9  # of their value, up to which minima are equally low
FITTED = 1e-28  # of the objective's size, below which a minimum is an exact fit, up to rounding
DEPENDENT = 1e-7  # pivots this small beside the largest: the columns are combined anew, exactly
FLAT = 1e-3  # slope of σ below which a search may be on its way to infinity
SEARCHED = "finite minima are searched for numerically, from many starts, and not proved to be all"


@dataclass(frozen=True, eq=False)
class Scaled:
    """The problem in units in which the columns' largest entries are near 1: θ = φ/units."""

    problem: Squares  # in φ
    given: np.ndarray  # x̃ (n, p) as stored
    units: np.ndarray  # (p,), powers of two


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
    with np.errstate(over="ignore", invalid="ignore"):  # a start too far out is left where it is
        return _decided(model, twice=name == "tanh", coercive=bool(penalized.all()))


def _decided(model: Linear, *, twice: bool, coercive: bool) -> Finding:
    scaled = _scaled(model, twice=twice)
    if not np.isfinite(scaled.problem.unit):
        worst = model.labels[np.argmax(np.abs(model.labels))]
        raise ValueError(
            f"`objective.structure.labels` holds {worst:g}, whose squared error is beyond the largest float; "
            "the range of the activation ends at 1."
        )
    if coercive:
        return _coercive(scaled)
    space = _exact.span(model.features)
    fitted = _interpolated(scaled, model.labels, space, twice=twice)
    if fitted is not None:
        return fitted
    if not space.columns:
        return _flat(scaled, space.null)
    if len(space.columns) == 1:
        return _on_a_line(scaled, space)
    return _in_the_plane(scaled)


def _scaled(model: Linear, *, twice: bool) -> Scaled:
    units = _exact.units(model.features)
    weights = 4 * model.weights if twice else model.weights
    # A penalty may hold θ nearer to 0 than σ would: then its own size is the unit, and the rows are small beside it.
    for strength in (np.sqrt(model.l2 / weights.sum()), model.l1 / weights.sum()):
        units = np.maximum(units, np.where(strength > 0, _exact.powers_of_two(strength), 0.0))
    rows = model.features / units
    if twice:
        rows, labels = 2 * rows, 0.5 * (1 + model.labels)
    else:
        labels = model.labels
    problem = Squares(rows, labels, weights, model.l1 / units, model.l2 / units / units)
    return Scaled(problem, model.features, units)


def _coercive(scaled: Scaled) -> Finding:
    minima = least(scaled.problem, scattered(scaled.problem))
    said = f"The penalty grows in every direction, so the minimum is attained; {SEARCHED}."
    return _finite(scaled, minima, said, np.zeros((0, len(scaled.units))))


def _interpolated(scaled: Scaled, labels: np.ndarray, space: _exact.Span, *, twice: bool) -> Finding | None:
    """Where every example is fitted exactly, if that follows from which rows are equal and which independent."""
    if ((np.abs(labels) >= 1) if twice else (labels <= 0) | (labels >= 1)).any():
        return None
    wanted: dict[tuple[float, ...], Fraction] = {}  # tanh(z) or tanh(z/2) by row; of rows x̃ and −x̃ one is kept
    for row, label in zip((scaled.given + 0.0).tolist(), labels.tolist(), strict=True):
        opposite = [0.0 - v for v in row]
        level = Fraction(label) if twice else 2 * Fraction(label) - 1
        key, level = (tuple(row), level) if row >= opposite else (tuple(opposite), -level)
        if wanted.setdefault(key, level) != level:
            return None
    rows, bent = np.array(list(wanted)), np.array([v != 0 for v in wanted.values()])
    if bent.sum() > len(space.columns):
        return None
    straight = np.flatnonzero(~bent)  # where z must be 0, rows may depend on one another; all others must not
    chosen = [*straight[list(_exact.span(rows[straight]).rows)].tolist(), *np.flatnonzero(bent).tolist()]
    if _exact.rank(rows[chosen]) < len(chosen):
        return None
    levels = list(wanted.values())
    z = [Fraction(_inverse(levels[i]) * (1 if twice else 2)) for i in chosen]
    theta = np.array([_exact.rounded(v) for v in _exact.least_norm(rows, chosen, z)])
    said = "Every example is fitted exactly, since examples of equal features have equal targets and the others are "
    said += "independent, so the infimum is 0 and attained"
    said += ", on a whole set: along `directions` no example notices a change." if space.null else ", at one point."
    return Finding(
        AFFINE if space.null else UNIQUE,
        said,
        infimum=0.0,
        theta=theta,
        directions=_floats(space.null, len(theta)),
        residual=_residual(scaled, theta * scaled.units),
    )


def _inverse(level: Fraction) -> float:
    """artanh, right to the last bits also near −1 and 1."""
    if abs(level) < 0.5:
        return math.atanh(level)
    return 0.5 * (math.log(1 + level) - math.log(1 - level))


def _flat(scaled: Scaled, null: tuple[Vector, ...]) -> Finding:
    """No example sees the parameters."""
    theta = np.zeros(len(scaled.units))
    value = float(scaled.problem.values(theta[None])[0])
    said = "All features are 0, so the objective is the same everywhere."
    return Finding(AFFINE, said, infimum=value, theta=theta, directions=_floats(null, len(theta)), residual=0.0)


def _on_a_line(scaled: Scaled, space: _exact.Span) -> Finding:
    """All rows are multiples of one: z = cτ."""
    problem, row = scaled.problem, scaled.given[space.rows[0]]
    column = int(np.abs(row).argmax())
    c = problem.rows[:, column]
    along = np.sign(row[column]) * row / _exact.powers_of_two(np.abs(row[column]))
    reduced = problem.seen_along(c[:, None])
    # θ = τ·shape has x̃ᵢ·θ = cᵢτ and the least norm; φ is that in the columns' units, of which c has one.
    shape = along[column] * along / (along @ along) * (scaled.units / scaled.units[column])
    minima = [one._replace(theta=one.theta[0] * shape) for one in least(reduced, basins(reduced, polar(reduced)))]
    ends = [(_limits.ends_at(problem, sign * np.sign(c)), sign) for sign in (1, -1)]
    (value, bound), sign = min(ends, key=lambda one: (one[0][0], not one[0][1]))
    direction = tuple(Fraction(float(sign * v)) * Fraction(float(u)) for v, u in zip(along, scaled.units, strict=True))
    largest = max(abs(v) for v in direction)
    limit = Limit(value, tuple(v / largest for v in direction), bound, _limits.levels_at(sign * np.sign(c)))
    return _compared(scaled, minima, limit, _floats(space.null, len(row)))


def _in_the_plane(scaled: Scaled) -> Finding:
    problem, limit = scaled.problem, _limits.round_the_circle(scaled.problem)
    none = np.zeros((0, 2))
    if limit.bound:
        return _compared(scaled, [], limit, none)
    white, triangle = _turned(problem.rows)
    turned = problem.seen_along(white)
    starts = np.concatenate([polar(turned), _trials(problem, limit) @ triangle.T])
    minima = [one._replace(theta=np.linalg.solve(triangle, one.theta)) for one in least(turned, starts)]
    return _compared(scaled, minima, limit, none)


def _turned(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in which two independent columns are orthonormal: white (n, 2) and R (2, 2), rows = white·R."""
    white, triangle = np.linalg.qr(rows)
    diagonal = np.abs(np.diagonal(triangle))
    if diagonal[1] > DEPENDENT * diagonal[0]:
        return white, triangle
    # What the second column has beside the first is mostly rounding here: it is taken without any, rounded once.
    share = triangle[0, 1] / triangle[0, 0]
    products, unit = Exact.of(rows).times((Fraction(-float(share)), Fraction(1)))
    beside = np.array([_exact.rounded(v * unit) for v in products])
    size = _exact.powers_of_two(np.abs(beside).max())
    white, triangle = np.linalg.qr(np.column_stack([rows[:, 0], beside / size]))
    return white, triangle @ np.array([[1.0, share], [0.0, size]])


def _trials(problem: Squares, limit: Limit) -> np.ndarray:
    """Points (m, p) that run to the limit, with the examples that stay finite where the limit has them."""
    along = np.array([float(v) for v in limit.direction])
    reach = np.abs(problem.rows @ along)
    moving = reach > 1e-12 * reach.max()
    offset = np.zeros(len(along))
    held = np.flatnonzero(~moving & problem.rows.any(axis=1) & (limit.levels > 0) & (limit.levels < 1))
    if len(held):
        row, level = problem.rows[held[0]], limit.levels[held[0]]
        size = np.abs(row).max()
        offset = (np.log(level) - np.log1p(-level)) / size * (row / size) / np.square(row / size).sum()
    trials = offset + np.outer(np.geomspace(1, 700, 24) / reach[moving].min(), along)
    return trials[np.isfinite(trials).all(axis=1)]


def _compared(scaled: Scaled, minima: list[Minimum], limit: Limit, null: np.ndarray) -> Finding:
    """The finite minima beside the least limit at infinity."""
    problem = scaled.problem
    if limit.bound:
        said = (
            "Along `direction` every example comes as near to its own best as one likes; some have theirs at a limit "
        )
        said += "of the activation, which no finite parameters reach: the infimum is approached, not attained."
        return _escaping(scaled, limit, said)
    trials = [Minimum(t, float(problem.values(t[None])[0]), settled=False) for t in _trials(problem, limit)]
    lower = [one for one in minima if _side(problem, one, limit) < 0]
    lower = lower or [one for one in trials if _side(problem, one, limit) < 0]
    if lower:
        lowest = min(one.value for one in lower)
        shown = lowest if lowest > FITTED * problem.unit else 0.0
        said = f"A finite minimum, {shown:.6g}, is lower than every limit at infinity (the least is "
        said += f"{limit.value:.6g}), so the minimum is attained; {SEARCHED}."
        return _finite(scaled, lower, said, null)
    if any(_tied(problem, one, limit) for one in minima):
        said = "Undecided: the lowest finite minimum found and the least limit at infinity are equal to rounding."
        return Finding(UNDECIDED, said)
    said = f"Along `direction` the objective tends to {limit.value:.6g}, the least of its limits at infinity, and no "
    said += f"finite minimum found is lower; {SEARCHED}."
    return _escaping(scaled, limit, said)


def _side(problem: Squares, one: Minimum, limit: Limit) -> int:
    """−1 where a point is lower than the limit, 1 where it is higher, 0 where rounding leaves that open.

    Example by example: what the objective gains on its limit may be far less than its own last bit.
    """
    terms, errors = problem.above(one.theta, limit.levels)
    above, doubt = math.fsum(terms.tolist()), math.fsum(errors.tolist()) + limit.doubt
    return 0 if not abs(above) > doubt else int(np.sign(above))


def _tied(problem: Squares, one: Minimum, limit: Limit) -> bool:
    """Whether a point leaves open if there is a finite minimum as low as the limit.

    A settled one does if rounding cannot tell; one that is not settled may still sink, unless it is on its way to a
    limit at infinity, and comes down to it.
    """
    if one.settled:
        return _side(problem, one, limit) == 0
    return one.value <= limit.value + _limits.TIE * problem.unit and not any(
        _falls(problem, one.theta, along)
        for along in (np.array([float(v) for v in limit.direction]), _own(problem, one))
    )


def _falls(problem: Squares, theta: np.ndarray, along: np.ndarray) -> bool:
    """Whether the objective at infinity along a direction, from θ on, is no higher than at θ."""
    z = problem.rows @ along
    moving = np.abs(z) > 1e-9 * np.abs(problem.rows) @ np.abs(along)
    terms, _ = problem.only(moving).above(theta, (z[moving] > 0).astype(np.float64))
    return bool(moving.any()) and math.fsum(terms.tolist()) >= 0


def _own(problem: Squares, one: Minimum) -> np.ndarray:
    """The direction (p,) in which θ is far out: across the first example that is not, or its own."""
    from scipy.special import expit

    z = problem.rows @ one.theta
    slopes = np.where(problem.rows.any(axis=1), expit(z) * expit(-z), 0.0)
    first = int(slopes.argmax())
    if slopes[first] < FLAT:
        return one.theta
    row = problem.rows[first] / np.abs(problem.rows[first]).max()
    return one.theta - row * (row @ one.theta) / (row @ row)


def _escaping(scaled: Scaled, limit: Limit, said: str) -> Finding:
    sides = np.where(scaled.problem.targets >= 0.5, 1, -1)
    own = [v / Fraction(float(u)) for v, u in zip(limit.direction, scaled.units, strict=True)]
    largest = max(abs(v) for v in own)
    direction = tuple(v / largest for v in own)
    products, unit = Exact.of(signed(scaled.given, sides)).times(direction)
    return Finding(
        AT_INFINITY,
        said,
        infimum=limit.value,
        direction=np.array([float(v) for v in direction]),
        margins=np.array([_exact.rounded(p * unit) for p in products]),
        certificate=_certificate(scaled, direction) if limit.bound else None,
    )


def _certificate(scaled: Scaled, direction: Vector) -> Certificate | None:
    """That the examples whose targets are out of reach are separated, and the others not moved."""
    targets = scaled.problem.targets
    signs = np.where(targets >= 1, 1, np.where(targets <= 0, -1, 0))
    p = len(direction)
    blind = ~scaled.given.any(axis=1) & (signs != 0)
    found = Certificate(
        claim="quasi-complete" if blind.any() or (signs == 0).any() else "complete",
        rows=scaled.given,
        signs=signs,
        free=np.ones(p, bool),
        direction=direction,
        multipliers=blind.astype(np.float64),
        corrections=(),
        loose=np.zeros(p, bool),
    )
    return found if found.verify() else None


def _finite(scaled: Scaled, minima: list[Minimum], said: str, null: np.ndarray) -> Finding:
    best = min(one.value for one in minima)
    best += EQUAL * best + FITTED * scaled.problem.unit
    settled = [one for one in minima if one.settled and one.value <= best]
    lowest = min(settled or minima, key=lambda one: one.value)
    several = len(settled) > 1
    if several:
        said += f" {len(settled)} of them are equally low; `minimizer` is one."
    if not settled:
        said += " The search did not settle: take minimizer and infimum as approximate."
    with np.errstate(over="ignore"):
        theta = lowest.theta / scaled.units
    return Finding(
        SEVERAL if several else AFFINE if len(null) else OPEN,  # the search proves no uniqueness
        said,
        infimum=lowest.value,
        theta=theta,
        directions=null,
        converged=bool(settled),
        residual=_residual(scaled, lowest.theta),
    )


def _residual(scaled: Scaled, phi: np.ndarray) -> float:
    """The norm of the subgradient of least norm, over θ."""
    _, gradient, _ = scaled.problem.smooth(phi)
    return math.hypot(*(scaled.units * scaled.problem.subgradient(phi, gradient)))


def _floats(null: tuple[Vector, ...], p: int) -> np.ndarray:
    return np.array([[_exact.rounded(v) for v in vector] for vector in null]).reshape(-1, p)
