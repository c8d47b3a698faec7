"""Certificates of attainment hold exactly, and fail when anything in them is changed."""

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from landscape.minima.attainment import _exact, _simplex
from landscape.minima.attainment._certificates import signed
from landscape.minima.attainment._exact import Exact, span
from landscape.minima.attainment._separation import separate

ALL = np.ones(2, bool)
OVERLAPPING = np.array([[1.0, 1], [2, 1], [3, 1], [4, 1]]), np.array([-1, 1, -1, 1])
SEPARATED = np.array([[-1.0, 1], [1, 1]]), np.array([-1, 1])
TOUCHING = np.array([[1.0, 1], [2, 1], [2, 1], [3, 1]]), np.array([-1, 1, -1, 1])


def fractions(array):
    """An array of floats as rationals."""
    return [[Fraction(float(v)) for v in row] for row in array]


@pytest.mark.parametrize("scale", [1.0, 1e-300, 3e5])
def test_floats_are_integers_times_powers_of_two(scale):
    array = np.random.default_rng(0).normal(size=(7, 3)) * scale
    array[0, 0], array[1], array[2, 1] = 0.0, 5.0, 2.0**-1060  # zeros, integers, a subnormal
    exact = Exact.of(array)
    for j, e in enumerate(exact.exponents):
        assert [Fraction(int(v)) * Fraction(2) ** e for v in exact.integers[:, j]] == [r[j] for r in fractions(array)]
    vector = (Fraction(1, 3), Fraction(-2), Fraction(10**20, 7))
    products, unit = exact.times(vector)
    assert [p * unit for p in products] == [
        sum(a * v for a, v in zip(r, vector, strict=True)) for r in fractions(array)
    ]
    factors = np.random.default_rng(1).normal(size=7)
    sums = [sum(Fraction(float(y)) * r[j] for y, r in zip(factors, fractions(array), strict=True)) for j in range(3)]
    assert list(exact.combined(factors)) == sums


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5), st.integers(1, 12))
def test_the_rank_and_the_null_space_are_those_of_the_construction(seed, k, inner, n):
    """A product of small integer matrices (n, r)·(r, k): its null space holds that of the second."""
    rng = np.random.default_rng(seed)
    array = (rng.integers(-3, 4, (n, inner)) @ rng.integers(-3, 4, (inner, k))).astype(float)
    found, size = span(array), np.linalg.matrix_rank(array)
    assert len(found.rows) == len(found.columns) == size and len(found.null) == len(found.others) == k - size
    assert sorted(found.columns + found.others) == list(range(k))
    assert np.linalg.matrix_rank(array[np.ix_(found.rows, found.columns)]) == size
    for vector, own in zip(found.null, found.others, strict=True):
        assert not np.any(Exact.of(array).times(vector)[0])
        assert [vector[j] for j in found.others] == [int(j == own) for j in found.others]
    assert _exact.rank_of(found.null) == k - size


def test_rank_is_decided_by_the_last_bit():
    """Floating point sees rank 1; as stored the third row is not a multiple of the first."""
    array = np.array([[1.0, 3.0], [2.0, 6.0], [1.0, np.nextafter(3.0, 4.0)]])
    (vector,) = span(array[:2]).null
    assert vector[0] == -3 * vector[1]
    assert span(array).null == ()


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 12))
def test_the_exact_programs_decide_what_those_in_floating_point_do(seed, p, n):
    """Small integers, some examples soft, some columns penalized: ties and dependent rows are frequent."""
    rng = np.random.default_rng(seed)
    rows, signs = rng.integers(-2, 3, (n, p)).astype(float), rng.integers(-1, 2, n)
    free = rng.random(p) < 0.8
    examples = signed(rows[:, free], signs)
    found = separate(rows, signs, free)
    assert found is not None and found.verify()
    assume((signs != 0).any() and examples.any())  # else there is no program to solve
    blank = replace(found, claim="attained", direction=None, multipliers=np.zeros(n), corrections=())
    exact = _simplex.separate(blank, examples)
    assert exact is not None and exact.claim == found.claim and exact.verify()
    if exact.direction is not None:
        np.testing.assert_array_equal(exact.margins() == 0, found.margins() == 0)


def test_many_examples_are_left_to_floating_point():
    rows, signs = OVERLAPPING
    blank = replace(separate(rows, signs, ALL), multipliers=np.zeros(4), corrections=())
    assert _simplex.separate(blank, signed(rows, signs)) is not None
    many, count = np.tile(rows, (300, 1)), np.tile(signs, 300)
    assert _simplex.separate(replace(blank, rows=many, signs=count), signed(many, count)) is None


def test_the_combination_is_what_cancels():
    rng = np.random.default_rng(0)
    rows, signs = np.column_stack([rng.normal(size=30), np.ones(30)]), np.where(rng.random(30) < 0.5, -1, 1)
    found = separate(rows, signs, ALL)
    assert found is not None and found.claim == "attained" and (found.combination() > 0).all()
    np.testing.assert_allclose(found.combination() @ signed(rows, signs), 0, atol=1e-14)
    np.testing.assert_allclose(found.combination(), found.multipliers, atol=1e-9)


@pytest.mark.parametrize(
    ("data", "claim"), [(OVERLAPPING, "attained"), (SEPARATED, "complete"), (TOUCHING, "quasi-complete")]
)
def test_what_is_tampered_with_does_not_verify(data, claim):
    rows, signs = data
    found = separate(rows, signs, ALL)
    assert found is not None and found.claim == claim and found.verify()
    for other in {"attained", "complete", "quasi-complete", "proved"} - {claim}:
        assert not replace(found, claim=other).verify()
    assert not replace(
        found, signs=-signs * np.array([1, *-np.ones(len(signs) - 1, int)])
    ).verify()  # one label flipped
    if claim != "complete":
        assert not replace(found, multipliers=found.multipliers * np.linspace(1, 1 + 1e-15, len(rows))).verify()
        assert not replace(found, multipliers=-found.multipliers).verify()
        assert not replace(found, multipliers=np.zeros(len(rows)), corrections=()).verify()
    if claim != "attained":
        assert not replace(found, direction=tuple(-v for v in found.direction)).verify()
        assert not replace(found, direction=(Fraction(0), Fraction(0))).verify()
        assert not replace(found, free=np.array([False, True])).verify()
        assert not replace(found, direction=None).verify()
    if claim == "quasi-complete":
        nudged = found.direction[0], found.direction[1] + Fraction(1, 10**30)
        assert not replace(found, direction=nudged).verify()


def test_a_null_space_that_is_tampered_with_does_not_verify():
    rows = np.array([[1.0, 1, 1], [2, 2, 1], [3, 3, 1], [4, 4, 1]])
    found = separate(rows, np.array([-1, 1, -1, 1]), np.ones(3, bool))
    assert found is not None
    space = span(rows)
    whole = replace(found, loose=np.ones(3, bool), null=space.null, independent=space.rows)
    assert whole.verify() and len(space.null) == 1
    assert not replace(whole, null=()).verify()
    assert not replace(whole, independent=space.rows[:1]).verify()
    assert not replace(whole, null=((Fraction(1), Fraction(1), Fraction(0)),)).verify()
    assert not replace(whole, null=space.null * 2, independent=space.rows[:1]).verify()
    assert not replace(whole, loose=np.array([True, False, True])).verify()


def test_margins_are_rounded_once_and_exact_zeros_stay():
    rows, signs = TOUCHING
    found = separate(rows, signs, ALL)
    margins = found.margins()
    assert margins[1] == margins[2] == 0 and (margins[[0, 3]] > 0).all()
    expected = [
        s * sum(a * v for a, v in zip(r, found.direction, strict=True))
        for s, r in zip(signs, fractions(rows), strict=True)
    ]
    assert margins.tolist() == [float(v) for v in expected]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 12))
def test_there_is_an_answer_and_it_is_the_same_in_other_units(seed, k, n):
    """Small integers, so that points repeat and lie on one hyperplane; columns and rows of any size."""
    rng = np.random.default_rng(seed)
    rows, signs = rng.integers(-2, 3, (n, k)).astype(float), rng.integers(-1, 2, n)
    found = separate(rows, signs, np.ones(k, bool))
    assert found is not None and found.verify()
    scaled = rows * 2.0 ** rng.integers(-30, 31, k) * 3.0 ** rng.integers(-5, 6, n)[:, None]
    other = separate(scaled, signs, np.ones(k, bool))
    assert other is not None and other.claim == found.claim


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            OVERLAPPING,
            r"Claim: attained, of 4 examples .* with 2 parameters[^\0]*for all 4 of the 4 labeled examples, fr",
        ),
        (SEPARATED, r"Claim: complete[^\0]*> 0 for 2 examples, the least 1 at example 0"),
        (TOUCHING, r"> 0 for 2 examples[^\0]*for all 2 of the 4 labeled examples that d leaves at 0"),
    ],
)
def test_a_proof_is_printed_in_a_few_lines(data, said):
    found = separate(*data, ALL)
    assert re.search(said, str(found)) and len(str(found).splitlines()) <= 4
    assert str(found).endswith("In exact rationals: verified.")
    assert str(replace(found, claim="proved")).endswith("NOT verified.")


def test_what_is_beyond_floats_is_infinite():
    assert _exact.rounded(Fraction(10) ** 400) == np.inf and _exact.rounded(-(Fraction(10) ** 400)) == -np.inf
    assert _exact.rounded(Fraction(1, 10**400)) == 0 and _exact.rounded(Fraction(1, 2)) == 0.5


def test_units_lose_no_bit():
    """Columns of entries near each other in size, far from each other, at the ends of what floats can hold, of 0."""
    array = np.array([[3.0, 1e300, 5e-324, 0.0], [-7.0, 3e-300, 1.7e308, 0.0]])
    units = _exact.units(array)
    for row, scaled in zip(fractions(array), fractions(array / units), strict=True):
        assert row == [a * Fraction(float(u)) for a, u in zip(scaled, units, strict=True)]
    assert units[0] == 8 and units[3] == 1
