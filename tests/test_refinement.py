"""Pieces and degrees on known functions: the tolerance is met, or it is said that it is not."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import landscape as ls
from landscape.surfaces import _estimate, _refinement

CUBE = {1: {"x": (-1, 1)}, 2: {"x": (-1, 1), "y": (-1, 1)}, 3: {"x": (-1, 1), "y": (-1, 1), "z": (-1, 1)}}
POINTS = 3000


class Counted:
    """A function that knows where it was called."""

    def __init__(self, f):
        self.f, self.calls = f, []

    def __call__(self, *x):
        self.calls.append(x)
        return float(self.f(*x))


def interpolated(f, k=2, **options):
    """The interpolant, warnings aside, and the function with its calls."""
    counted = Counted(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = ls.interpolate(counted, None, options.pop("box", CUBE[k]), **options)
    assert len(counted.calls) == len(set(counted.calls)) == found.evaluations
    return found


def true_error(found, f):
    """The largest error at random points, in units of the range."""
    random = np.random.default_rng(7)
    box = found.box.values()
    points = np.stack([random.uniform(low, high, POINTS) for low, high in box], axis=1)
    values = np.array([f(*point) for point in points])
    off = np.abs(at(found, points) - values)
    return np.nanmax(off) / np.nanmax(found.data["scale"].to_numpy()[0])


def at(found, points):
    """An interpolant at scattered points, piece by piece, by its data alone."""
    from landscape.surfaces import _chebyshev
    from landscape.surfaces._patches import unpack

    values = np.full(len(points), np.nan)
    for patch in unpack(found.data):
        inside = np.all((patch.lower <= points) & (points <= patch.upper), axis=1)
        t = (2 * points[inside] - patch.lower - patch.upper) / patch.widths
        if inside.any():
            values[inside] = _estimate.FORMS[patch.forms[0]].back(_chebyshev.at(patch.coefficients[0], t))
    return values


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_quadratics_are_exact_from_three_nodes_a_coordinate(k, seed):
    random = np.random.default_rng(seed)
    matrix, slope = random.normal(size=(k, k)), random.normal(size=k)
    found = interpolated(lambda *x: np.dot(x, matrix @ x) + slope @ x + 1, k)
    assert found.evaluations == 3**k + _refinement.HABITS[k].checks
    assert found.data["degree"].to_numpy().tolist() == [[2] * k]
    assert true_error(found, lambda *x: np.dot(x, matrix @ x) + slope @ x + 1) < 1e-13
    assert found.error < 1e-12 and found.converged


RUNGE = {
    "runge": lambda x, y: 1 / (1 + 25 * (x**2 + y**2)),
    "ridge": lambda x, y: 1 / (1 + 25 * (x + 0.3 * y) ** 2),
    "cliff": lambda x, y: 1 / (1 + np.exp(-20 * (x - 0.3 * y))),
    "bowl": lambda x, y: np.sqrt(x**2 + y**2 + 0.01),
    "waves": lambda x, y: np.cos(9 * x) * np.sin(4 * y + x),
    "bump": lambda x, y: np.exp(-((x - 0.35) ** 2 + (y + 0.2) ** 2) / 0.05),
    "softplus": lambda x, y: np.logaddexp(0, 20 * x + 10 * y),
}


@pytest.mark.parametrize("name", RUNGE)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_smooth_functions_are_met(name, tolerance):
    found = interpolated(RUNGE[name], tolerance=tolerance)
    assert found.converged and found.error <= tolerance
    assert true_error(found, RUNGE[name]) <= tolerance


@pytest.mark.parametrize("place", np.linspace(-0.9, 0.9, 13).round(3))
def test_a_kink_in_one_coordinate_is_met(place):
    found = interpolated(lambda x: abs(x - place), 1, tolerance=1e-3)
    assert found.converged and true_error(found, lambda x: abs(x - place)) <= 1e-3


@pytest.mark.parametrize("seed", range(6))
def test_the_tip_of_a_cone_is_looked_at(seed):
    place = np.random.default_rng(seed).uniform(-0.6, 0.6, 2)

    def cone(x, y):
        return np.hypot(x - place[0], y - place[1])

    found = interpolated(cone, tolerance=1e-2)
    assert found.converged and true_error(found, cone) <= 3e-2


@pytest.mark.parametrize(("frequency", "tolerance", "most"), [(100, 0.3, 500), (100, 1e-2, 500), (500, 1e-2, 3000)])
def test_oscillations_are_followed(frequency, tolerance, most):
    found = interpolated(lambda x: np.sin(frequency * x), 1, tolerance=tolerance)
    assert found.converged and found.evaluations <= most
    assert true_error(found, lambda x: np.sin(frequency * x)) <= tolerance


def test_a_singular_end_is_reached():
    found = interpolated(lambda x: np.sqrt(x + 1), 1, tolerance=1e-4)
    assert found.converged and true_error(found, lambda x: np.sqrt(x + 1)) <= 1e-4


def test_what_cannot_be_afforded_is_replaced_by_what_can():
    found = interpolated(lambda *x: 1 / (0.02 + np.square(x).sum()), 3, tolerance=1e-3, max_evaluations=4000)
    assert 3000 < found.evaluations <= 4000 and not found.converged


def test_a_kink_in_two_coordinates_is_met_or_said_not_to_be():
    def kink(x, y):
        return abs(x + 0.4 * y - 0.1)

    for tolerance in (3e-2, 1e-4):
        found = interpolated(kink, tolerance=tolerance, max_evaluations=4000)
        assert found.evaluations <= 4000 and found.converged == (tolerance == 3e-2)
        assert true_error(found, kink) <= (tolerance if found.converged else found.error)


def test_a_jump_is_said_to_miss_the_tolerance():
    with pytest.warns(UserWarning, match="error of risk is .* and tolerance=0.001 was asked for: around a jump, or"):
        found = ls.interpolate(lambda x: float(x > 0.3), None, CUBE[1])
    assert not found.converged and found.error > 0.5 and found.evaluations < 1000
    away = np.array([[-0.9], [0.0], [0.25], [0.35], [0.9]])
    np.testing.assert_allclose(at(found, away), [0, 0, 0, 1, 1], atol=1e-12)


def test_degrees_are_those_of_each_axis():
    """An axis along which little happens costs little."""
    found = interpolated(lambda x, y: np.cos(12 * x) + 0.1 * y**2, tolerance=1e-4)
    (degrees,) = found.data["degree"].to_numpy().tolist()
    assert degrees[0] >= 24 and degrees[1] <= 4


def test_raising_a_degree_wastes_nothing():
    """In one piece every evaluation is one of its nodes, or a check."""
    found = interpolated(lambda x, y: np.exp(np.sin(3 * x) + y), tolerance=1e-6)
    assert found.data.sizes["piece"] == 1
    nodes = int(np.prod(found.data["degree"].to_numpy() + 1))
    assert int(found.data["node"].sum()) == nodes
    assert found.evaluations - nodes <= max(_refinement.HABITS[2].checks, nodes // 10) + 10


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_number_of_coordinates(k):
    def wave(*x):
        return np.exp(-np.square(x).sum()) + 0.3 * x[-1]

    found = interpolated(wave, k, tolerance=1e-3)
    assert found.converged and true_error(found, wave) <= 1e-3


def test_what_spans_decades_is_interpolated_as_a_logarithm():
    """Exact for an exponential, of which a polynomial would need a high degree."""
    found = interpolated(lambda x, y: np.exp(20 * x - 7 * y), tolerance=1e-3, relative_to="value")
    assert found.data["form"].to_numpy().tolist() == [[1, 0]] and found.evaluations == 25
    assert "the risk's logarithm is interpolated on 100 % of the pieces" in str(found)


def test_relative_to_the_value_is_everywhere():
    def valley(x, y):
        return 1e-4 + x**2 * (2 + np.sin(2 * y)) + 0.5 * y**2

    found = interpolated(valley, tolerance=1e-2, relative_to="value", max_evaluations=20_000)
    points = np.random.default_rng(0).uniform(-1, 1, (POINTS, 2))
    values = np.array([valley(*point) for point in points])
    assert found.converged and np.max(np.abs(at(found, points) / values - 1)) <= 1e-2


def test_what_is_not_finite_is_isolated():
    """Nothing of it leaks: values are right to the tolerance, or NaN, and NaN reach no further than 1/32 of the box."""

    def half(x, y):
        return np.cos(x) + y if x + y < 0.3 else np.nan

    found = interpolated(half, tolerance=1e-3)
    grid = np.linspace(-1, 1, 101)
    surface = found.on({"x": grid, "y": grid})
    true = np.array([[half(x, y) for y in grid] for x in grid])
    got = surface.risk.to_numpy()
    assert np.nanmax(np.abs(got - true)) <= 1e-3 * 3 and np.array_equal(surface.finite, np.isfinite(got))
    far = grid[:, None] + grid[None] < 0.3 - 2 * 2 / 32
    assert np.isfinite(got[far]).all() and np.isnan(got[np.isnan(true)]).all()
    share = np.isnan(true).mean()
    assert share <= found.not_finite <= share + 0.06 and "of the box is taken as not finite" in str(found)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_infinities_too(bad):
    found = interpolated(lambda x: x if x < 0.5 else bad, 1, tolerance=1e-3)
    surface = found.on({"x": np.array([-1.0, 0.4, 0.6, 1.0])})
    assert surface.finite.values.tolist() == [True, True, False, False]
    assert found.not_finite == pytest.approx(0.25, abs=2e-3)


def test_a_small_finite_region_is_found():
    found = interpolated(lambda x, y: x if x > 0.6 and y > 0.6 else np.nan, tolerance=1e-2)
    assert bool(found.on({"x": [0.9], "y": [0.9]}).finite)


def test_nowhere_finite_is_said():
    with pytest.warns(UserWarning, match="finite nowhere in the box"):
        found = ls.interpolate(lambda x, y: np.nan, None, CUBE[2])
    assert found.not_finite == 1 and np.isnan(found.error) and not found.converged
    assert str(found) == f"interpolant of {found.evaluations} evaluations, finite nowhere"
    with pytest.raises(ValueError, match="the surface is nowhere finite"):
        found.minimum()


def test_a_constant_is_exact():
    found = interpolated(lambda x, y: 3.0)
    assert found.converged and found.evaluations == 25 and found.error < 1e-14


def test_no_more_than_allowed_is_spent_and_the_worst_comes_first():
    def kinks(x, y):
        return abs(x - 0.1) + 1e-3 * abs(y + 0.3)

    few, more = (interpolated(kinks, tolerance=1e-5, max_evaluations=n) for n in (400, 3000))
    assert few.evaluations <= 400 and more.evaluations <= 3000
    assert not few.converged and more.error < few.error


def test_the_least_number_of_evaluations_is_enough_for_something():
    found = interpolated(lambda x, y: np.cos(9 * x), max_evaluations=25)
    assert found.evaluations == 25 and not found.converged and np.isfinite(found.error)


def test_rounding_is_not_refined():
    """Noise of a size that no polynomial explains does not cost all evaluations that there are."""
    random = np.random.default_rng(0)
    noise = {}

    def noisy(x):
        return 1.0 + 1e-13 * x + 1e-15 * noise.setdefault(x, random.normal())

    assert interpolated(noisy, 1).evaluations < 100


def test_the_same_again_is_the_same():
    def f(x, y):
        return abs(x - 0.1) + np.cos(3 * y)

    assert interpolated(f).data.identical(interpolated(f).data)


def test_far_boxes_are_as_good():
    box = {"x": (1e6, 1e6 + 2e-3), "y": (-3e-9, 1e-9)}
    found = interpolated(lambda x, y: np.cos(1e3 * (x - 1e6)) + 1e9 * y, box=box)
    assert found.converged and true_error(found, lambda x, y: np.cos(1e3 * (x - 1e6)) + 1e9 * y) <= 1e-3


@pytest.mark.parametrize("ratio", [0.3, 0.8])
def test_a_geometric_tail_is_summed(ratio):
    slab = ratio ** np.arange(25.0)
    left = _estimate.tail(slab, 2).left
    assert left == pytest.approx(2 * ratio**25 / (1 - ratio), rel=1e-6)
    assert not _estimate.tail(slab, 2).flat and _estimate.tail(np.ones(17), 2).flat
    assert _estimate.tail(slab, 2).ratio == pytest.approx(ratio)


def test_a_power_is_summed_as_one():
    """Of |x| the coefficients are 4/(πn²), every other one, and the error at the kink is their sum beyond: 1/(πn)·2."""
    degree = 64
    slab = 4 / (np.pi * np.maximum(1, np.arange(degree + 1.0)) ** 2)
    true = 2 / (np.pi * degree)
    assert true <= _estimate.tail(slab, 1).left <= 6 * true
