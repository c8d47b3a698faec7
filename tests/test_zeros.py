"""All zeros of polynomial systems, counted and placed against known answers."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from landscape.surfaces import _chebyshev, _zeros
from landscape.surfaces._zeros import EDGE, NotIsolatedError


def gradient(f, degrees):
    """Of a function's interpolant, as coefficients (k, …)."""
    values = f(*np.meshgrid(*(_chebyshev.nodes(n) for n in degrees), indexing="ij"))
    coefficients = _chebyshev.of_values(values, len(degrees))
    return np.stack([_chebyshev.derivative(coefficients, axis - len(degrees), 2.0) for axis in range(len(degrees))])


def zeros(coefficients):
    """Points, all of them regular."""
    points, regular = _zeros.zeros(coefficients)
    assert regular.all()
    return points


def in_order(points):
    return points[np.lexsort(points.T)]


def test_of_a_cosine():
    coefficients = _chebyshev.of_values(np.cos(9 * _chebyshev.nodes(40)), 1)
    wanted = np.pi / 18 * np.arange(-5, 6, 2)
    np.testing.assert_allclose(np.sort(zeros(coefficients[None])[:, 0]), wanted, atol=1e-13)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-0.95, 0.95), min_size=1, max_size=8, unique=True))
def test_all_roots_are_found_and_no_others(roots):
    """Of polynomials with chosen roots, apart from each other: closer ones may be told as one."""
    roots = np.sort(roots)
    assume(len(roots) == 1 or np.diff(roots).min() >= 0.02)
    found = np.sort(zeros(chebyshev.chebfromroots(roots)[None])[:, 0])
    assert len(found) == len(roots)
    np.testing.assert_allclose(found, roots, atol=1e-7)


def test_critical_points_of_a_product_of_waves():
    """cos 5x · cos 4y: at the zeros of both sines, and of both cosines."""
    found = zeros(gradient(lambda x, y: np.cos(5 * x) * np.cos(4 * y), (32, 32)))
    sines = [(i * np.pi / 5, j * np.pi / 4) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    cosines = [(i * np.pi / 10, j * np.pi / 8) for i in (-3, -1, 1, 3) for j in (-1, 1)]
    wanted = in_order(np.round([*sines, *cosines], 9))
    np.testing.assert_allclose(in_order(np.round(found, 9)), wanted, atol=1e-8)


def test_in_three_coordinates():
    found = zeros(gradient(lambda x, y, z: np.cos(4 * x) + np.cos(3 * y) + np.cos(4 * z), (18, 18, 18)))
    wanted = [(i * np.pi / 4, 0.0, j * np.pi / 4) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert len(found) == 9
    np.testing.assert_allclose(in_order(np.round(found, 9)), in_order(np.array(wanted)), atol=1e-8)


def test_a_quadratics_one_center():
    found = zeros(gradient(lambda x, y: x**2 + y**2 - x * y + 0.2 * x, (2, 2)))
    np.testing.assert_allclose(found, [[-2 / 15, -1 / 15]], atol=1e-14)


def test_none_are_invented():
    assert zeros(gradient(lambda x, y: np.exp(x + 0.3 * y), (12, 12))).shape == (0, 2)


def test_just_beyond_the_edge_counts():
    """Neighboring pieces differ by their errors: one of both must see it."""
    near, far = 1 + EDGE / 2, 1 + 2 * EDGE
    assert len(zeros(chebyshev.chebfromroots([near])[None])) == 1
    assert len(zeros(chebyshev.chebfromroots([far])[None])) == 0


@pytest.mark.parametrize("f", [lambda x, y: x**4 + y**4, lambda x, y: x**3 - 3 * x * y**2])
def test_a_degenerate_point_is_one(f):
    points, regular = _zeros.zeros(gradient(f, (4, 4)))
    np.testing.assert_allclose(points, [[0, 0]], atol=1e-2)
    assert regular.tolist() == [False]


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: (x + y) ** 2,
        lambda x, y: (x**2 + y**2 - 0.25) ** 2,
        lambda x, y: x**2 + 0 * y,
        lambda x, y: 0 * x + 3,
        lambda x, y: np.sin(5 * x) * np.sin(5 * y) ** 2,
    ],
)
def test_lines_of_them_are_refused(f):
    with pytest.raises(NotIsolatedError, match="they fill a line or more, or are too close together"):
        _zeros.zeros(gradient(f, (16, 16)))


def test_a_gradient_with_a_part_that_is_nowhere_0_has_none():
    """Though another is 0 everywhere."""
    for f in (lambda x, y: x + 0 * y, lambda x, y: np.exp(x) + 1e-15 * y):
        assert zeros(gradient(f, (8, 8))).shape == (0, 2)


def test_close_ones_are_told_apart():
    """x³/3 − a²x: a minimum and a maximum, 2a apart."""
    found = zeros(gradient(lambda x: x**3 / 3 - 0.005**2 * x, (3,)))
    np.testing.assert_allclose(np.sort(found[:, 0]), [-0.005, 0.005], rtol=1e-9)
