"""Closed forms of one weight: roots of the polynomial, thresholds, and Lindemann's theorem."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from landscape.minima.closed_form import _polynomial
from landscape.minima.closed_form._finding import Finding
from landscape.minima.closed_form._polynomial import Census, CriticalPoint
from landscape.minima.closed_form._rational import OneWeight
from landscape.objectives.losses import CrossEntropy

SHOWN = 12  # the highest degree of a polynomial that is printed
TEXT = 80  # characters of a radical that is still worth printing
DIGITS = 1e-20  # relative: the roots of one polynomial are told apart by fewer digits


def one_weight(problem: OneWeight) -> Finding:
    """What the polynomial in u = e^(scale·w) says of the minimizer, or Lindemann's theorem under l2."""
    census, degree = None, _polynomial.degree(problem)
    if not problem.l2 and degree <= _polynomial.MAX_DEGREE:
        census = _polynomial.census(problem)
    convex, slope = isinstance(problem.loss, CrossEntropy), _slope(problem)
    if convex and abs(slope) <= problem.l1 and (problem.l1 or problem.l2):
        reason = (
            f"w = 0, since J is convex and |dR/dw| = {abs(slope)} at 0 does not exceed the l1 strength, {problem.l1}."
        )
        return Finding(True, "threshold", reason, True, 0 * problem.direction, _unique(problem), census)
    if problem.l2:
        return _transcendental(problem, abs(slope) > problem.l1)
    if census is None:
        reason = (
            f"Stationarity is a polynomial in e^(scale·w) of degree up to {degree}, above the limit of "
            f"{_polynomial.MAX_DEGREE}, so nothing is decided; inputs that are small multiples of one number give less."
        )
        return Finding(None, "polynomial", reason, False)
    return _from_census(problem, census)


def _unique(problem: OneWeight) -> np.ndarray:
    return np.zeros((0, len(problem.direction)))


def _slope(problem: OneWeight) -> Fraction:
    """dR/dw at w = 0, exactly."""
    tanh = not isinstance(problem.loss, CrossEntropy) and problem.loss.activation.name == "tanh"
    middle = Fraction(0) if tanh else Fraction(1, 2)
    steepness = Fraction(1) if tanh or isinstance(problem.loss, CrossEntropy) else Fraction(1, 4)
    return sum((w * x * (middle - y) * steepness for x, y, w in problem.examples), start=Fraction(0))


def _transcendental(problem: OneWeight, moves: bool) -> Finding:
    """If w ≠ 0 were algebraic, e^w would not be; but stationarity makes each of them algebraic with the other.

    For w > 0 say: 2βw = −α − N(u)/D(u), u = e^(scale·w), N/D not constant.
    """
    line = "θ = w·x̃; " if np.count_nonzero(problem.direction) > 1 else ""
    if moves:
        reason = (
            f"{line}w and e^w are both transcendental: stationarity makes either algebraic if the other is, which "
            "Lindemann's theorem excludes for w ≠ 0; so neither is rational, nor has an expression in radicals."
        )
        return Finding(False, "transcendental", reason, True)
    reason = f"{line}w = 0 is critical, and all others are transcendental (Lindemann); which is least is not decided."
    return Finding(None, "transcendental", reason, False)


def _from_census(problem: OneWeight, census: Census) -> Finding:
    kind = "threshold" if problem.l1 else "polynomial"
    if isinstance(problem.loss, CrossEntropy):
        least = census.minima
        if not least:
            reason = (
                "The derivative has no zero at all: the risk falls forever as |w| grows, and there is no minimizer."
            )
            return Finding(False, "none", reason, True, census=census)
    else:
        least, decided = _least(problem, census)
        if decided is False:
            reason = "The risk at every finite w lies above its limit at infinity, which is not attained: no minimizer."
            return Finding(False, "none", reason, True, census=census)
        if decided is None:
            reason = (
                "The least of the minima and the limit of the risk at infinity are equal to 30 digits: not decided."
            )
            return Finding(None, kind, reason, False, census=census)
    return _expressed(problem, census, list(least), kind)


def _least(problem: OneWeight, census: Census) -> tuple[list[CriticalPoint], bool | None]:
    """The minima that are least, equal ones too; False where the limit at infinity is less, None where it is equal."""
    import flint

    with flint.ctx.workprec(2 * _polynomial.ACCURACY):
        values = [(_polynomial.value(problem, point), point) for point in census.minima]
        least = [(v, point) for v, point in values if not any(other < v for other, _ in values)]
        if problem.l1:
            return [point for _, point in least], True
        limits = [flint.arb(flint.fmpq(end.numerator, end.denominator)) for end in _polynomial.ends(problem)]
        if not least or any(limit < v for limit in limits for v, _ in least):
            return [], False
        attained = all(v < limit for v, _ in least for limit in limits)
        return [point for _, point in least], True if attained else None


def _expressed(problem: OneWeight, census: Census, least: list[CriticalPoint], kind: str) -> Finding:
    """Whether the minimizer of least norm has an expression in radicals."""
    best = min(least, key=lambda point: (abs(point.w), point.w))
    alike = {point.solvable for point in least} == {best.solvable}
    which = "the minimizer" if len(census.minima) == 1 else "the least of the minima"
    if len(least) > 1:
        which = f"one of {len(least)} minima that are equal to 30 digits"
    u, degree = _polynomial.exponential(census.scale), len(best.factor) - 1
    if best.solvable is None or not alike:
        reason = (
            f"For {which} u = {u} is a root of an irreducible polynomial of degree {degree}; whether its Galois group "
            f"is solvable is not known: that is decided up to degree {_polynomial.MAX_GALOIS}, and by cycle types."
        )
        return Finding(None, kind, reason, False, census=census)
    if not best.solvable:
        equation = f"{_polynomial.written(best.factor)} = 0, irreducible"
        if degree > SHOWN:
            equation = f"an irreducible polynomial of degree {degree}"
        reason = (
            f"For {which} u = {u} is a root of {equation} with the Galois group {best.group}, which is not solvable: "
            "it has no expression in radicals."
        )
        return Finding(False, kind, reason, True, census=census)
    rule = "w = 0" if best.w == 0 else f"w = {_logarithm(census, best)}"
    point, reason = best.w * problem.direction, f"For {which} {rule}."
    return Finding(True, kind, reason, True, point, _unique(problem), census)


def _logarithm(census: Census, point: CriticalPoint) -> str:
    scaled = "" if census.scale == 1 else f"/({census.scale})"
    lowest, highest = point.interval
    if lowest == highest:
        return f"log({lowest}){scaled}"
    text = _radical(point)
    found = f"log(u){scaled} with u a root of {_polynomial.written(point.factor)} = 0, solvable in radicals"
    return found if text is None else f"log({text}){scaled}"


def _radical(point: CriticalPoint) -> str | None:
    """The root in radicals as text, if SymPy has it and it is short."""
    import sympy

    if len(point.factor) > 5:
        return None
    middle: Any = sympy.Rational(*(sum(point.interval) / 2).as_integer_ratio())
    roots = sympy.roots(sympy.Poly(point.factor, sympy.Symbol("u")))
    texts = [str(root) for root in roots if abs(sympy.N(root - middle, 30)) < DIGITS * abs(middle)]
    return next((text for text in texts if len(text) <= TEXT), None)
