"""Random against grid search: closed forms for one coordinate that matters; all grids; NaN; refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies

import landscape as ls
from landscape.networks.many_starts import search_cost as module

KEY = jax.random.key(0)
FOUR = {"x": np.zeros(4, "float32")}
FIRST = ls.function(lambda p: p["x"][0], FOUR)  # only the first coordinate matters


def test_with_one_coordinate_that_matters_a_grid_wastes_its_points():
    """min of n uniform numbers: median 1 − 2^(−1/n); the grid's least is ½/k, k = n^¼, whatever else it varies."""
    budgets = [16, 81, 256]
    found = ls.search_cost(FIRST, (0.0, 1.0), budgets, key=KEY, repeats=2000)
    assert found.per_axis.values.tolist() == [2, 3, 4] and found.grid_points.values.tolist() == budgets
    np.testing.assert_allclose(found.grid, [1 / 4, 1 / 6, 1 / 8], rtol=1e-6)
    for q, name in ((0.25, "random_lower"), (0.5, "random_median"), (0.75, "random_upper")):
        exact = 1 - (1 - q) ** (1 / np.array(budgets))
        np.testing.assert_allclose(found[name], exact, rtol=0.2)  # of 2000 repeats: standard error up to 4.5 %
    assert (found.random_median < found.grid / 3).all() and found.random.dims == ("budget", "repeat")
    np.testing.assert_array_equal(found.random_median, np.quantile(found.random, 0.5, axis=1).astype("float32"))
    assert (np.diff(found.random, axis=0) <= 0).all()  # budgets share their points


def test_on_a_line_a_grid_is_better():
    """|x| over (−1, 1): a grid of odd n has 0 itself; n random points come to within about 1/n."""
    line = ls.function(lambda p: jnp.abs(p["x"]), {"x": 0.0})
    found = ls.search_cost(line, {"x": (-1.0, 1.0)}, [9, 27], key=KEY, repeats=50)
    assert found.grid_points.values.tolist() == [9, 27]
    np.testing.assert_allclose(found.grid, 0, atol=1e-6)
    assert (found.random_median > 1e-3).all()


def test_a_neuron_s_grid_is_evaluate_s():
    """The penalty included; leaves have their own sides of the box."""
    pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
    found = ls.search_cost(pair, {"w": (-4.0, 8.0), "b": (-1.0, 2.0)}, [10], key=KEY, repeats=3)
    axes = {"w": np.array([-2.0, 2.0, 6.0]), "b": np.array([-0.5, 0.5, 1.5])}
    surface = ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes)
    assert found.grid_points.values.tolist() == [9]
    np.testing.assert_allclose(found.grid[0], surface.objective.min(), rtol=1e-5)
    assert (found.random >= 0.2).all() and found.grid.dtype == np.float32


def test_points_that_are_not_finite_are_counted_and_never_best():
    root = ls.function(lambda p: jnp.sqrt(p["x"]), {"x": 0.0})
    found = ls.search_cost(root, (-1.0, 1.0), [1, 64], key=KEY, repeats=200)
    np.testing.assert_allclose(found.not_finite, 0.5, atol=0.12)  # of 200 points: standard error 0.035
    lone = found.random.sel(budget=1)
    np.testing.assert_allclose(np.isnan(lone).mean(), found.not_finite[0], atol=1e-12)
    assert np.isnan(found.random_median[0]) and np.isfinite(found.random.sel(budget=64)).all()
    assert (found.grid.values[1:] > 0).all()


@given(strategies.integers(1, 10**6), strategies.integers(1, 40))
def test_a_grid_is_the_largest_that_is_no_more_than_the_budget(budget, dims):
    k = module._per_axis(budget, dims)
    assert k**dims <= budget < (k + 1) ** dims


def test_the_middles_of_all_cells():
    shares = module._grid(2, {"a": np.zeros(2, "float32"), "b": np.float32(0)}, 3)
    points = np.column_stack([np.asarray(shares["a"]), np.asarray(shares["b"])])
    assert sorted(map(tuple, points.tolist())) == [
        (a, b, c) for a in (0.25, 0.75) for b in (0.25, 0.75) for c in (0.25, 0.75)
    ]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ls.search_cost(3, (0, 1), [4], key=KEY), TypeError, "`objective` is an int"),
        (lambda: ls.search_cost(FIRST, 1.0, [4], key=KEY), TypeError, r"`box` is 1.0; give \(low, high\)"),
        (
            lambda: ls.search_cost(FIRST, (1.0, 0.0), [4], key=KEY),
            ValueError,
            r"`box` is \(1, 0\); give finite numbers",
        ),
        (lambda: ls.search_cost(FIRST, {"x": (0, np.inf)}, [4], key=KEY), ValueError, r"`box\['x'\]` is \(0, inf\)"),
        (
            lambda: ls.search_cost(FIRST, {"y": (0, 1)}, [4], key=KEY),
            ValueError,
            "`box` must name .*, x; missing: 'x'; unk",
        ),
        (lambda: ls.search_cost(FIRST, (0, 1), 4, key=KEY), TypeError, "`budgets` is an int; give numbers of points"),
        (
            lambda: ls.search_cost(FIRST, (0, 1), [4, 4], key=KEY),
            ValueError,
            r"`budgets` is \[4, 4\]; give at least one",
        ),
        (lambda: ls.search_cost(FIRST, (0, 1), [0], key=KEY), ValueError, r"`budgets\[0\]` is 0"),
        (
            lambda: ls.search_cost(FIRST, (0, 1), [10**6], key=KEY),
            ValueError,
            "`budgets` of up to 1000000 points, 100 `re",
        ),
        (lambda: ls.search_cost(FIRST, (0, 1), [4], key=3), TypeError, "`key` is an int"),
        (lambda: ls.search_cost(FIRST, (0, 1), [4], key=KEY, repeats=0), ValueError, "`repeats` is 0"),
        (lambda: ls.search_cost(FIRST, (0, 1), [4], key=KEY, memory=1), ValueError, "`memory` is 1"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
