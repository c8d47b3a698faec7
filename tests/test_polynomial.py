"""The census of one weight: every critical point, and none besides; against scans, SymPy and known instances."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

from landscape.minima.closed_form import _polynomial
from landscape.minima.closed_form._polynomial import CriticalPoint, census, degree, galois, written
from landscape.minima.closed_form._rational import OneWeight
from landscape.objectives import activations
from landscape.objectives.losses import CrossEntropy, HalfSquaredError

LOSSES = {
    "cross_entropy": CrossEntropy(),
    "sigmoid": HalfSquaredError(activations.activation("sigmoid")),
    "tanh": HalfSquaredError(activations.activation("tanh")),
}


def problem(x, y, loss="cross_entropy", l1="0"):
    """One weight with decimal strings or whole numbers as data; a mean."""
    share = Fraction(1, len(x))
    examples = tuple((Fraction(a), Fraction(b), share) for a, b in zip(x, y, strict=True))
    return OneWeight(examples, LOSSES[loss], Fraction(l1), Fraction(0), np.ones(1))


def slope(given, w):
    """dJ/dw in floats, without cancellation where units saturate."""
    w, total = np.asarray(w, float), 0.0
    tanh = given.loss is LOSSES["tanh"]
    for x, y, weight in given.examples:
        z, label = float(x) * w * (2 if tanh else 1), float((1 + y) / 2 if tanh else y)
        up, down = scipy.special.expit(z), scipy.special.expit(-z)
        residual = (1 - label) * up - label * down
        steep = 1.0 if isinstance(given.loss, CrossEntropy) else up * down
        total = total + float(weight * x) * residual * steep * (8 if tanh else 1)
    return total + float(given.l1) * np.sign(w)


def test_the_quintic_of_three_examples():
    """4u⁵ − u⁴ + 3u³ − u² + u − 2 = 0: one positive root, Galois group S₅."""
    found = census(problem([1, 2, 3], [0, 1, 0]))
    assert found.polynomials == ((4, -1, 3, -1, 1, -2),) and found.scale == 1 and found.degree == 5
    (point,) = found.points
    assert (point.kind, point.multiplicity, point.group, point.solvable) == ("minimum", 1, "S5", False)
    root = max(np.roots([4, -1, 3, -1, 1, -2]), key=lambda r: -abs(r.imag) + r.real).real
    np.testing.assert_allclose(point.w, np.log(root), rtol=1e-14)
    assert str(found) == (
        f"Critical points (1): minimum at w = {point.w:.6g}; 4u⁵ − u⁴ + 3u³ − u² + u − 2 = 0, u = e^w"
    )


def test_auer_s_instance():
    """Degree 92 and three zeros, of which two are minima; half sums of squares 0.0869 and 0.4050."""
    given = problem([1, 30], ["0.9", "0.1"], "sigmoid")
    found = census(given)
    assert found.degree == 92 and [p.kind for p in found.points] == ["minimum", "maximum", "minimum"]
    np.testing.assert_allclose([p.w for p in found.minima], [-0.06321, 2.19723], atol=1e-5)
    sums = [2 * float(_polynomial.value(given, p)) for p in found.minima]
    np.testing.assert_allclose(sums, [0.0869, 0.4050], atol=5e-5)
    assert {len(p.factor) - 1 for p in found.points} == {91} and {p.group for p in found.points} == {"A91 or S91"}
    grid = np.linspace(-30, 30, 600_001)
    signs = np.sign(slope(given, grid))
    (changes,) = np.nonzero(signs[1:] != signs[:-1])
    assert len(changes) == 3
    roots = [scipy.optimize.brentq(lambda w: slope(given, w), grid[i], grid[i + 1], xtol=1e-14) for i in changes]
    np.testing.assert_allclose([p.w for p in found.points], roots, atol=1e-12)


def test_isolating_intervals_hold_the_roots_and_no_other():
    found = census(problem([1, 3, 7], ["0.9", "0.2", "0.6"], "sigmoid"))
    polynomial = sympy.Poly(found.polynomials[0], sympy.Symbol("u"))
    assert len(found.points) == polynomial.count_roots(0) - (found.polynomials[0][-1] == 0)
    for point in found.points:
        low, high = (sympy.Rational(b.numerator, b.denominator) for b in point.interval)
        assert polynomial.count_roots(low, high) == 1 and high - low < 1e-17 * high
        assert np.log(float(low)) - 1e-15 <= point.w * float(found.scale) <= np.log(float(high)) + 1e-15


WHOLE = st.integers(1, 5)
LABEL = st.integers(0, 10).map(lambda k: Fraction(k, 10))
DATA = st.dictionaries(WHOLE, LABEL, min_size=1, max_size=3)


@given(DATA, st.sampled_from(sorted(LOSSES)), st.sampled_from(["0", "0.05", "0.4"]), st.sampled_from(["1", "0.5"]))
def test_the_census_is_what_a_scan_finds(data, loss, l1, scale):
    """A change of sign each; where two of them lie closer than the grid, the scan cannot tell."""
    given = problem([Fraction(scale) * k for k in data], list(data.values()), loss, l1)
    found = census(given)
    crossings = [point for point in found.points if point.kind != "degenerate"]
    assert [p.w for p in found.points] == sorted(p.w for p in found.points)
    assert all(a.kind != b.kind for a, b in pairwise(crossings))
    reach = 5 + max((abs(p.w) for p in crossings), default=10.0)
    grid = np.linspace(-reach, reach, 20_000)  # without 0
    signs = np.sign(slope(given, grid))
    (changes,) = np.nonzero(signs[1:] != signs[:-1])
    assume(np.diff([p.w for p in crossings]).min(initial=1.0) > 2 * (grid[1] - grid[0]))
    assert len(changes) == len(crossings)
    for i, point in zip(changes, crossings, strict=True):
        if point.w == 0 and given.l1:
            assert grid[i] < 0 < grid[i + 1]
            continue
        root = scipy.optimize.brentq(lambda w: slope(given, w), grid[i], grid[i + 1], xtol=1e-13)
        np.testing.assert_allclose(point.w, root, atol=1e-9)
        assert signs[i + 1] == (1 if point.kind == "minimum" else -1)


@given(DATA, st.sampled_from(["cross_entropy", "sigmoid", "tanh"]))
def test_the_count_is_sympy_s(data, loss):
    """Sturm's, on the polynomial itself."""
    found = census(problem(list(data), list(data.values()), loss))
    polynomial = sympy.Poly(found.polynomials[0], sympy.Symbol("u"))
    assert len(found.points) == polynomial.count_roots(0) - (found.polynomials[0][-1] == 0)


@pytest.mark.parametrize(("inputs", "kind"), [([1, 2], "degenerate"), ([1, 2, 3], "crossing")])
def test_multiple_roots(inputs, kind):
    """The derivative is linear in the labels: those that give it a root of as many at u = 2 as there are inputs."""
    u, labels = sympy.Symbol("u"), sympy.symbols(f"t:{len(inputs)}")
    terms = [k * u**k * ((1 - t) * u**k - t) / (1 + u**k) ** 3 for k, t in zip(inputs, labels, strict=True)]
    equations = [sympy.diff(sum(terms), u, order).subs(u, 2) for order in range(len(inputs))]
    solution = sympy.solve(equations, labels)
    found = census(problem(inputs, [Fraction(solution[t].p, solution[t].q) for t in labels], "sigmoid"))
    (point,) = [p for p in found.points if p.interval == (2, 2)]
    assert point.multiplicity == len(inputs) and point.factor == (1, -2)
    assert (point.kind == "degenerate") == (kind == "degenerate")
    crossings = [p.kind for p in found.points if p.kind != "degenerate"]
    assert all(a != b for a, b in pairwise(crossings))


def test_a_kink_whose_edge_is_exactly_0():
    """σ(0) − 1 = −½, and l1 of ½: w = 0 is a root as well, and a minimum."""
    (point,) = census(problem([1], [1], "cross_entropy", "0.5")).points
    assert (point.w, point.kind, point.multiplicity, point.factor, point.solvable) == (0.0, "minimum", 1, (), True)


def test_multiplicities_by_hand():
    """(u − 2)²(u − 3)³ through the functions that classify."""
    import flint

    polynomial = flint.fmpz_poly([-2, 1]) ** 2 * flint.fmpz_poly([-3, 1]) ** 3 * flint.fmpz_poly([5, 1])
    roots = _polynomial._isolated(polynomial)
    found = [(root.exact, root.multiplicity, kind) for root, kind in _polynomial._kinds(polynomial, roots)]
    assert found == [(2, 2, "degenerate"), (3, 3, "minimum")]
    found = [kind for _, kind in _polynomial._kinds(-polynomial, roots)]
    assert found == ["degenerate", "maximum"]


def test_roots_closer_than_the_first_precision_are_told_apart():
    """√2 and a rational that agrees with it to 60 digits."""
    import flint

    near = Fraction(sympy.Integer(sympy.floor(sympy.sqrt(2) * 10**60)).p, 10**60)
    polynomial = flint.fmpz_poly([-2, 0, 1]) * flint.fmpz_poly([-near.numerator, near.denominator])
    low, high = _polynomial._isolated(polynomial)
    assert low.exact == near and high.exact is None and low.u < high.u


def test_a_root_close_to_1_has_a_precise_logarithm():
    found = census(problem([1], [Fraction(10**30 + 1, 2 * 10**30)]))  # w = 2e−30
    np.testing.assert_allclose(found.points[0].w, 2e-30, rtol=1e-15)
    found = census(problem([1, 2], [Fraction(1, 2), Fraction(10**30 + 1, 2 * 10**30)]))  # a cubic
    (point,) = found.points
    np.testing.assert_allclose(point.w, 2 * 2 * 1e-30 / 5, rtol=1e-15)  # Newton's first step


@pytest.mark.parametrize("loss", ["sigmoid", "tanh"])
def test_values_and_ends_are_those_of_the_risk(loss):
    given = problem([1, 4], ["0.9", "0.1"], loss, "0")
    for name, w in (("ends", 60.0), ("ends", -60.0)):
        f = np.tanh if loss == "tanh" else lambda z: 1 / (1 + np.exp(-z))
        risk = np.mean([0.5 * (f(w) - 0.9) ** 2, 0.5 * (f(4 * w) - 0.1) ** 2])
        np.testing.assert_allclose(float(_polynomial.ends(given)[int(w > 0)]), risk, rtol=1e-12, err_msg=name)
    penalized = problem([1, 4], ["0.9", "0.1"], loss, "0.01")
    for point in census(penalized).points:
        risk = np.mean([0.5 * (f(point.w) - 0.9) ** 2, 0.5 * (f(4 * point.w) - 0.1) ** 2]) + 0.01 * abs(point.w)
        np.testing.assert_allclose(float(_polynomial.value(penalized, point)), risk, rtol=1e-12)


def test_thresholds_are_those_of_the_pair():
    """One example (1, 1) is what the pair folds to: w = log((1 − λ)/λ), or 0."""
    for l1, root in (("0.1", Fraction(9)), ("0.01", Fraction(99)), ("0.25", Fraction(3))):
        (point,) = census(problem([1], [1], l1=l1)).points
        assert point.interval == (root, root) and point.kind == "minimum"
        np.testing.assert_allclose(point.w, np.log(float(root)), rtol=1e-15)
    for l1 in ("0.5", "0.7"):
        (point,) = census(problem([1], [1], l1=l1)).points
        assert (point.w, point.kind) == (0.0, "minimum")
    assert census(problem([1], [1])).points == ()


def test_groups():
    """Of known quintics and sextics; beyond, those that cycle types prove to be all of Aₙ or Sₙ."""
    assert galois((1, 0, 0, 0, 0, -2)) == ("M20", True)  # u⁵ = 2: Frobenius' group of order 20
    assert galois((1, 0, 0, 0, -1, -1)) == ("S5", False)
    assert galois((1, 0, 0, 0, -1, 0, 1))[1] in (True, False)
    assert galois((1, 0, -2)) == ("S2", True) and galois((1, *([0] * 6), -2)) == (None, None)
    assert galois((1, 0, 0, 0, 0, 0, -1, -1)) == ("A7 or S7", False)  # u⁷ − u − 1, as all of that kind (Serre)
    assert galois((1, *([0] * 7), -1, -1)) == ("A9 or S9", False)
    assert galois((1, 0, 0, 0, 0, 0, -7, 3)) == (None, None)  # PSL(3, 2) (Trinks)
    assert galois((1,) * 11) == (None, None) == galois((1, *([0] * 7), -2))  # cyclic; solvable
    kink = CriticalPoint(0.0, (Fraction(1), Fraction(1)), "minimum", 0, ())
    assert kink.group is None and kink.solvable is True


def test_degrees_are_known_before():
    assert degree(problem([1, 30], ["0.9", "0.1"], "sigmoid")) == 93
    assert degree(problem([2, 4], [0, 1])) == 3  # a common divisor goes into the scale
    assert census(problem([2, 4], ["0.3", "0.6"])).scale == 2
    assert census(problem(["0.1", "0.3"], ["0.3", "0.6"], "tanh")).scale == Fraction(1, 5)


@pytest.mark.parametrize(
    ("coefficients", "text"), [((1, -1), "u − 1"), ((-7, 0, 3), "−7u² + 3"), ((1, *([0] * 11), 5), "u¹² + 5")]
)
def test_polynomials_as_text(coefficients, text):
    assert written(coefficients) == text
