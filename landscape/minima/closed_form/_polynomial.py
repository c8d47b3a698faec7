"""All critical points of one weight, exactly: roots of a polynomial in u = e^(scale·w).

With inputs xᵢ = s·kᵢ, kᵢ whole, every σ(xᵢw) is u^kᵢ/(1 + u^kᵢ) at u = e^(s·w), so dJ/dw is a rational function of u
whose denominator has no positive root. Its numerator's positive roots are the critical points: all of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

from landscape.minima.closed_form._rational import OneWeight
from landscape.objectives.losses import CrossEntropy

MAX_DEGREE = 400  # roots of this degree take seconds
MAX_GALOIS = 6  # SymPy's Galois groups end here
PRIMES = 400  # below which a cycle type is looked for that decides: of Sₙ's elements about log 2/log n have one
OF_SEVEN = {  # cycle types in AGL(1, 7) and PSL(3, 2), in one of which every transitive group without A₇ lies
    (1,) * 7, (7,), (1, 6), (1, 3, 3), (1, 2, 2, 2), (1, 1, 1, 2, 2), (1, 2, 4),
}  # fmt: skip
ACCURACY = 60  # bits of w: more than float64 has
Coefficients = tuple[int, ...]  # highest power first
Kind = Literal["minimum", "maximum", "degenerate"]


@dataclass(frozen=True, eq=False)
class CriticalPoint:
    """A critical point of one weight: w = log(u)/scale with u in `interval`, which holds no other.

    kind:         by the sign of dJ/dw on both sides; "degenerate" where it is the same.
    multiplicity: of the root u; 0 at the kink of an l1 penalty, w = 0, unless a polynomial has the root 1 there.
    factor:       the irreducible polynomial of u, highest power first; empty at a kink.
    """

    w: float
    interval: tuple[Fraction, Fraction] = field(repr=False)
    kind: Kind
    multiplicity: int
    factor: Coefficients = field(repr=False)

    @property
    def group(self) -> str | None:
        """The Galois group of `factor`, such as "S5", or "A9 or S9"; None where it is not known, and at a kink."""
        return galois(self.factor)[0] if self.factor else None

    @property
    def solvable(self) -> bool | None:
        """Whether u has an expression in radicals: whether `group` is solvable. None where it is not known."""
        return galois(self.factor)[1] if self.factor else True


@dataclass(frozen=True, eq=False)
class Census:
    """All critical points of one weight, w ascending, proved complete.

    scale:       u = e^(scale·w).
    polynomials: integer coefficients, highest power first, of the polynomial whose positive roots they are; two under
                 an l1 penalty, for w < 0 and for w > 0.
    """

    scale: Fraction
    polynomials: tuple[Coefficients, ...]
    points: tuple[CriticalPoint, ...]

    @property
    def degree(self) -> int:
        """The highest degree of the polynomials."""
        return max(map(len, self.polynomials)) - 1

    @property
    def minima(self) -> tuple[CriticalPoint, ...]:
        """Those that are minima."""
        return tuple(point for point in self.points if point.kind == "minimum")

    def __str__(self) -> str:
        found = ", ".join(f"{point.kind} at w = {point.w:.6g}" for point in self.points) or "none"
        if self.degree <= 8:
            rule = " (w < 0), ".join(f"{written(polynomial)} = 0" for polynomial in self.polynomials)
        else:
            rule = f"a polynomial of degree {self.degree} = 0"
        return f"Critical points ({len(self.points)}): {found}; {rule}, u = {exponential(self.scale)}"

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class _Root:
    """A positive root of one polynomial, as a ball (arb) that holds no other; or exact, if it is rational."""

    u: Any
    exact: Fraction | None
    multiplicity: int
    factor: Coefficients

    def side(self) -> int:
        """Sign of u − 1, which is that of w."""
        if self.exact is not None:
            return (self.exact > 1) - (self.exact < 1)
        return 1 if self.u > 1 else -1


def census(problem: OneWeight) -> Census:
    """All critical points of J(w) without an l2 term; `degree` says before how large it will be."""
    folded, scale = _folded(problem)
    numerator, denominator = _derivative(problem, folded, scale)
    below = _primitive(numerator - denominator * _fmpq(problem.l1))
    above = _primitive(numerator + denominator * _fmpq(problem.l1))
    rate = 2 * scale if _is_tanh(problem) else scale
    if not problem.l1:
        points = [_point(root, kind, rate) for root, kind in _kinds(above, _isolated(above))]
        return Census(rate, (_coefficients(above),), tuple(points))
    lower, upper = _isolated(below), _isolated(above)
    points = [_point(root, kind, rate) for root, kind in _kinds(below, lower) if root.side() < 0]
    if above(1) >= 0 >= below(1):
        points.append(_kink(below, lower, above, upper))
    points += [_point(root, kind, rate) for root, kind in _kinds(above, upper) if root.side() > 0]
    return Census(rate, (_coefficients(below), _coefficients(above)), tuple(points))


def degree(problem: OneWeight) -> int:
    """The degree of the polynomial at most, before common factors are left out."""
    wholes = _folded(problem)[0]
    return sum(wholes) if isinstance(problem.loss, CrossEntropy) else 3 * sum(wholes)


def value(problem: OneWeight, point: CriticalPoint) -> Any:
    """A ball (arb) that holds J at a critical point, under half squared error."""
    import flint

    lowest, highest = (flint.arb(_fmpq(bound)) for bound in point.interval)
    folded, scale = _folded(problem)
    u, total = lowest.union(highest), flint.arb(0)
    for whole, (label, weight) in folded.items():
        total += _fmpq(weight * _height(problem)) * (1 / (1 + u**-whole) - _fmpq(label)) ** 2
    return total + _fmpq(problem.l1 / scale) * abs(u.log()) / (2 if _is_tanh(problem) else 1)


def ends(problem: OneWeight) -> tuple[Fraction, Fraction]:
    """The limits of the risk at w → −∞ and w → ∞, under half squared error."""
    pairs, height = _folded(problem)[0].values(), _height(problem)
    below = sum((height * weight * label**2 for label, weight in pairs), start=Fraction(0))
    above = sum((height * weight * (1 - label) ** 2 for label, weight in pairs), start=Fraction(0))
    return below, above


@functools.cache
def galois(factor: Coefficients) -> tuple[str | None, bool | None]:
    """The Galois group's name, and whether it is solvable; None where it is not known."""
    degree = len(factor) - 1
    if degree > MAX_GALOIS:
        return (f"A{degree} or S{degree}", False) if _has_alternating(factor) else (None, None)
    import sympy
    from sympy.polys.numberfields.galoisgroups import galois_group

    group: Any = galois_group(sympy.Poly(factor, sympy.Symbol("u")), by_name=True)[0]
    return group.name, bool(group.get_perm_group().is_solvable)


def _has_alternating(factor: Coefficients) -> bool:
    """Whether cycle types prove that the Galois group of an irreducible polynomial of degree n > 6 contains Aₙ.

    Modulo a prime that divides neither the leading coefficient nor the discriminant the degrees of the factors are the
    cycle lengths of an element of the group (Dedekind). A transitive group with a cycle of prime length ℓ > n/2 is
    primitive, and with ℓ < n − 2 contains Aₙ (Jordan 1873); all other cycles of the element are shorter, so that a
    power of it is that cycle alone.
    """
    import flint
    import sympy

    n, ascending = len(factor) - 1, list(reversed(factor))
    for prime in sympy.primerange(PRIMES):
        reduced = flint.nmod_poly([int(c) % prime for c in ascending], prime)
        parts = reduced.factor()[1] if reduced.degree() == n else []
        if not parts or any(power > 1 for _, power in parts):
            continue
        lengths = sorted(part.degree() for part, _ in parts)
        if n == 7 and tuple(lengths) not in OF_SEVEN:
            return True
        if any(n / 2 < length < n - 2 and sympy.isprime(length) for length in lengths):
            return True
    return False


def written(coefficients: Coefficients) -> str:
    """4u⁵ − u + 2 as text."""
    superscripts = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    terms = []
    for power, number in zip(range(len(coefficients) - 1, -1, -1), coefficients, strict=True):
        if number:
            size = "" if abs(number) == 1 and power else str(abs(number))
            letter = "" if power == 0 else "u" if power == 1 else "u" + str(power).translate(superscripts)
            terms.append(("− " if number < 0 else "+ ") + size + letter)
    text = " ".join(terms)
    return "−" + text[2:] if coefficients[0] < 0 else text[2:]


def exponential(scale: Fraction) -> str:
    """u in terms of w, as text."""
    return "e^w" if scale == 1 else f"e^({scale}·w)"


def _is_tanh(problem: OneWeight) -> bool:
    return not isinstance(problem.loss, CrossEntropy) and problem.loss.activation.name == "tanh"


def _height(problem: OneWeight) -> Fraction:
    """½(tanh(z) − t)² = 2(σ(2z) − (1 + t)/2)²."""
    return Fraction(2) if _is_tanh(problem) else Fraction(1, 2)


def _folded(problem: OneWeight) -> tuple[dict[int, tuple[Fraction, Fraction]], Fraction]:
    """{k: (label of σ, ω)} and s, with x = s·k and the k without a common divisor."""
    inputs = [x for x, *_ in problem.examples]
    common = math.lcm(*(x.denominator for x in inputs))
    wholes = [int(x * common) for x in inputs]
    divisor = math.gcd(*wholes)
    labels = [(1 + y) / 2 if _is_tanh(problem) else y for _, y, _ in problem.examples]
    folded = {k // divisor: (y, w) for k, y, (*_, w) in zip(wholes, labels, problem.examples, strict=True)}
    return folded, Fraction(divisor, common)


def _derivative(problem: OneWeight, folded: dict[int, tuple[Fraction, Fraction]], scale: Fraction) -> tuple[Any, Any]:
    """(N, D), fmpq_poly in lowest terms, D > 0 for u > 0, of the derivative in w of the risk:

    Σ ωk·s (σ − y)              cross-entropy
    Σ ωk·s (σ − y) σ(1 − σ)     half squared error; 8 times that for tanh (of 2w, with the labels of σ)
    """
    import flint

    steep = not isinstance(problem.loss, CrossEntropy)
    gain = scale * (8 if _is_tanh(problem) else 1)
    powers = {k: flint.fmpz_poly([1] + [0] * (k - 1) + [1]) ** (3 if steep else 1) for k in folded}
    denominator = flint.fmpz_poly([1])
    for power in powers.values():
        denominator *= power // power.gcd(denominator)
    numerator = flint.fmpq_poly([0])
    for k, (label, weight) in folded.items():
        own = flint.fmpq_poly([_fmpq(-label)] + [0] * (k - 1) + [_fmpq(1 - label)])
        if steep:
            own *= flint.fmpq_poly([0] * k + [1])
        numerator += own * (denominator // powers[k]) * _fmpq(gain * k * weight)
    common = numerator.numer().gcd(denominator)
    return numerator // flint.fmpq_poly(common), flint.fmpq_poly(denominator // common)


def _fmpq(fraction: Fraction) -> Any:
    import flint

    return flint.fmpq(fraction.numerator, fraction.denominator)


def _primitive(polynomial: Any) -> Any:
    """A positive multiple with whole coefficients that have no common divisor."""
    whole = polynomial.numer()
    return whole // whole.content()


def _coefficients(polynomial: Any) -> Coefficients:
    return tuple(int(c) for c in reversed(polynomial.coeffs()))


def _isolated(polynomial: Any) -> list[_Root]:
    """The positive roots, ascending, each in a ball that holds no other, nor 1.

    FLINT proves that its balls hold one root each of an irreducible factor, and which are real. Roots of different
    factors are told apart by more digits.
    """
    import flint

    factors, precision = polynomial.factor()[1], 2 * ACCURACY
    while True:
        with flint.ctx.workprec(precision):
            roots = sorted((r for f, m in factors for r in _positive(f, m)), key=lambda r: _binary(r.u.mid()))
            apart = all(a.u < b.u for a, b in pairwise(roots))
            if apart and all(r.exact == 1 or r.u.log().rel_accuracy_bits() >= ACCURACY for r in roots):
                return roots
        precision *= 2


def _positive(factor: Any, multiplicity: int) -> Iterator[_Root]:
    import flint

    coefficients = _coefficients(factor)
    if factor.degree() == 1:
        exact = Fraction(-coefficients[1], coefficients[0])
        if exact > 0:
            yield _Root(flint.arb(_fmpq(exact)), exact, multiplicity, coefficients)
        return
    for root, _ in factor.complex_roots():
        if root.imag == 0 and root.real > 0:
            yield _Root(root.real, None, multiplicity, coefficients)


def _sign(polynomial: Any, higher: list[_Root]) -> int:
    """Sign of the polynomial just below these, the highest of its positive roots."""
    crossings = sum(root.multiplicity for root in higher)
    return (1 if polynomial[polynomial.degree()] > 0 else -1) * (-1) ** crossings


def _kind(left: int, right: int) -> Kind:
    return "degenerate" if left == right else "minimum" if left < 0 else "maximum"


def _kinds(polynomial: Any, roots: list[_Root]) -> Iterator[tuple[_Root, Kind]]:
    """Each root with what the polynomial's change of sign says."""
    for index, root in enumerate(roots):
        yield root, _kind(_sign(polynomial, roots[index:]), _sign(polynomial, roots[index + 1 :]))


def _kink(below: Any, lower: list[_Root], above: Any, upper: list[_Root]) -> CriticalPoint:
    """w = 0 under l1, where 0 lies between the derivatives on both sides."""
    left = _sign(below, [root for root in lower if root.side() >= 0])
    right = _sign(above, [root for root in upper if root.side() > 0])
    multiplicity = sum(root.multiplicity for root in (*lower, *upper) if root.exact == 1)
    return CriticalPoint(0.0, (Fraction(1), Fraction(1)), _kind(left, right), multiplicity, ())


def _point(root: _Root, kind: Kind, rate: Fraction) -> CriticalPoint:
    import flint

    if root.exact is not None:
        interval = (root.exact, root.exact)
    else:
        center, half = _binary(root.u.mid()), _binary(root.u.rad())
        interval = (center - half, center + half)
    with flint.ctx.workprec(4 * ACCURACY):
        w = 0.0 if root.exact == 1 else float(root.u.log() / _fmpq(rate))
    return CriticalPoint(w, interval, kind, root.multiplicity, root.factor)


def _binary(exact: Any) -> Fraction:
    """A ball of radius 0 as a fraction."""
    mantissa, exponent = exact.man_exp()
    return int(mantissa) * Fraction(2) ** int(exponent)
