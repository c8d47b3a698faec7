"""Chebyshev interpolation on a box, against NumPy's own polynomials and known functions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from landscape.surfaces import _chebyshev

EXACT = 2.0**-44


def values_of(f, degrees):
    """At the nodes."""
    return f(*np.meshgrid(*(_chebyshev.nodes(n) for n in degrees), indexing="ij"))


def wave(*t):
    """Analytic, different along each axis."""
    return np.exp(sum((i + 1) * 0.3 * own for i, own in enumerate(t))) * np.cos(2 * t[0])


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 6, 8, 16, 48])
def test_nodes_are_those_of_clenshaw_and_curtis(degree):
    nodes = _chebyshev.nodes(degree)
    np.testing.assert_allclose(nodes, -np.cos(np.pi * np.arange(degree + 1) / degree), atol=4e-16)
    assert nodes[0] == -1 and nodes[-1] == 1 and np.array_equal(nodes, -nodes[::-1])


@pytest.mark.parametrize(("degree", "factor"), [(2, 2), (2, 3), (4, 3), (6, 2), (9, 3), (16, 2), (24, 2), (64, 3)])
def test_nodes_are_nested_to_the_last_bit(degree, factor):
    """Else a raised degree would evaluate its old nodes again."""
    assert np.array_equal(_chebyshev.nodes(degree), _chebyshev.nodes(degree * factor)[::factor])


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20))
def test_coefficients_are_those_of_the_polynomial(given_coefficients):
    values = chebyshev.chebval(_chebyshev.nodes(len(given_coefficients) - 1), given_coefficients)
    found = _chebyshev.of_values(values, 1)
    np.testing.assert_allclose(found, given_coefficients, atol=1e-11)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_smooth_function_is_met_everywhere(k):
    coefficients = _chebyshev.of_values(values_of(wave, (18, 20, 16)[:k]), k)
    points = np.random.default_rng(0).uniform(-1, 1, (50, k))
    np.testing.assert_allclose(_chebyshev.at(coefficients, points), wave(*points.T), atol=1e-11)
    axes = [np.linspace(-1, 1, 5 + i) for i in range(k)]
    grid = wave(*np.meshgrid(*axes, indexing="ij"))
    np.testing.assert_allclose(_chebyshev.on_grid(coefficients, axes), grid, atol=1e-11)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_channels_in_front_stay_there(k):
    both = np.stack([values_of(wave, (6, 8, 4)[:k]), 3 * values_of(wave, (6, 8, 4)[:k])])
    points = np.random.default_rng(1).uniform(-1, 1, (4, k))
    found = _chebyshev.at(_chebyshev.of_values(both, k), points)
    assert found.shape == (2, 4)
    np.testing.assert_allclose(found[1], 3 * found[0], rtol=EXACT)


@pytest.mark.parametrize("axis", [-2, -1])
def test_derivatives_are_numpys(axis):
    coefficients = np.random.default_rng(2).normal(size=(5, 4))
    found = _chebyshev.derivative(coefficients, axis, 3.0)
    wanted = chebyshev.chebder(coefficients, axis=axis) * 2 / 3
    assert found.shape == coefficients.shape
    np.testing.assert_allclose(found[: wanted.shape[0], : wanted.shape[1]], wanted, rtol=EXACT)


def test_a_restriction_is_the_same_polynomial():
    coefficients = np.random.default_rng(3).normal(size=(2, 6, 5))
    lower, upper = (-0.3, 0.1), (0.4, 0.9)
    found = _chebyshev.restricted(coefficients, lower, upper)
    t = np.random.default_rng(4).uniform(-1, 1, (20, 2))
    inside = np.array(lower) + (np.array(upper) - np.array(lower)) * (t + 1) / 2
    np.testing.assert_allclose(_chebyshev.at(found, t), _chebyshev.at(coefficients, inside), atol=1e-13)


def test_slabs_decrease_and_hold_the_norms_of_each_degree():
    coefficients = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]])
    first, second = _chebyshev.slabs(coefficients, 2)
    assert first.tolist() == [5.0, 5.0, 5.0]
    np.testing.assert_allclose(second, [np.sqrt(20), np.sqrt(20)], rtol=EXACT)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_interpolants_meet_their_nodes(degree, seed):
    values = np.random.default_rng(seed).normal(size=degree + 1)
    coefficients = _chebyshev.of_values(values, 1)
    np.testing.assert_allclose(_chebyshev.at(coefficients, _chebyshev.nodes(degree)[:, None]), values, atol=1e-12)
