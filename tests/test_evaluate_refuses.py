"""Bad input to `evaluate`: the argument, what came, what was wanted, what to do."""

import jax
import numpy as np
import optax
import pytest

import landscape as ls
from landscape.charts.chart import RESERVED
from landscape.surfaces.evaluate import REQUESTED

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
AXES = {"w": [0.0, 1.0], "b": [0.0, 1.0, 2.0]}


@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        ([], ValueError, r"`axes\['w'\]` is empty; an axis needs at least one position"),
        (1.0, ValueError, r"`axes\['w'\]` has shape \(\); an axis is 1-D, such as np.linspace"),
        (np.zeros((2, 2)), ValueError, r"`axes\['w'\]` has shape \(2, 2\); an axis is 1-D"),
        ([0.0, np.nan, np.nan], ValueError, r"`axes\['w'\]` holds 2 of 3 values that are not finite; .* at index 1"),
        ([-np.inf], ValueError, r"`axes\['w'\]` holds 1 of 1 values that are not finite; the first is infinite"),
        (["a"], TypeError, r"`axes\['w'\]` must hold real numbers, got dtype <U1"),
        ([1j], TypeError, r"`axes\['w'\]` must hold real numbers, got dtype complex128"),
        (None, TypeError, r"`axes\['w'\]` must hold real numbers, got dtype object"),
    ],
)
def test_axes_are_one_dimensional_and_finite(positions, error, message):
    with pytest.raises(error, match=message):
        ls.evaluate(PAIR, PLANE, AXES | {"w": positions})


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        (
            {"w": [0.0]},
            ValueError,
            "`axes` must name the chart's coordinates, w, b; missing: 'b'. Give every coordinate",
        ),
        (AXES | {"c": [0.0]}, ValueError, "`axes` must name the chart's coordinates, w, b; unknown: 'c'"),
        ({"w": [0.0], "beta": [0.0]}, ValueError, "missing: 'b'; unknown: 'beta'"),
        ({}, ValueError, "missing: 'w', 'b'"),
        ([[0.0], [1.0]], TypeError, "`axes` is a list; give a mapping, {'w': np.linspace"),
        (None, TypeError, "`axes` is a NoneType; give a mapping"),
    ],
)
def test_axes_name_the_coordinates_of_the_chart(axes, error, message):
    with pytest.raises(error, match=message):
        ls.evaluate(PAIR, PLANE, axes)


def test_more_than_three_axes_are_refused():
    """The cost of a grid grows exponentially with them."""
    objective = ls.neuron(np.ones((2, 4), np.float32), [0, 1])
    names = [f"w[{i}]" for i in range(4)]
    with pytest.raises(ValueError, match="`axes` has 4 coordinates; a grid has 1 to 3"):
        ls.evaluate(objective, ls.axes_plane(objective.params, *names), {name: [0.0] for name in names})


@pytest.mark.parametrize("name", RESERVED)
def test_a_coordinate_may_not_be_called_like_a_result(name):
    """A data set holds one thing under one name."""
    objective = ls.function(lambda p: p[name] ** 2, {name: 1.0})
    with pytest.raises(ValueError, match=f"`chart` calls a coordinate '{name}', which is the name of a result"):
        ls.evaluate(objective, ls.axes_plane(objective.params, name), {name: [0.0]})


def test_the_names_of_results_are_all_reserved():
    """Every variable and dimension that `evaluate`, `minimum`, `compare_flatness` and `Trajectory.on` give."""
    surface = ls.evaluate(
        PAIR, PLANE, AXES, quantities=REQUESTED, penalties={"": ls.none()}, data={"train": PAIR.data, "test": PAIR.data}
    )
    runs = ls.descend(
        PAIR,
        {"sgd": optax.sgd(0.1), "fast": optax.sgd(0.5)},
        {"w": np.zeros(2), "b": np.ones(2)},
        2,
        penalties={"": ls.none(), "λ": ls.l2(1.0)},
    )
    one = PAIR.with_params({"w": 3.0, "b": 1.0})
    flatness = ls.compare_flatness(one, one, 6, key=jax.random.key(0), points=3, zero_vectors=False).surfaces["a"]
    given = {*surface.variables, *ls.minimum(surface).variables, *runs.on(PLANE).variables, *flatness.dims}
    assert {"split", "plane", "accuracy", "coordinate_", "optimizer", "residual", "ties"} <= given
    assert given - {"w", "b", "alpha", "beta"} <= set(RESERVED)


@pytest.mark.parametrize(
    ("quantities", "error", "message"),
    [
        (("hessian",), ValueError, "`quantities` is 'hessian'; it must be one of 'risk', 'risk_stderr'"),
        ("risk", TypeError, r"`quantities` is the string 'risk'; give a tuple, \('risk',\)"),
        ((3,), TypeError, "`quantities` holds 3; give a name out of .* accumulate, merge and finish"),
    ],
)
def test_unknown_quantities(quantities, error, message):
    with pytest.raises(error, match=message):
        ls.evaluate(PAIR, PLANE, AXES, quantities=quantities)


@pytest.mark.parametrize(
    ("penalties", "error", "message"),
    [
        (ls.l2(0.1), TypeError, r"`penalties` is one Penalty; give a mapping, {'λ=0.1': ls.l2\(0.1\)}"),
        ({}, ValueError, "`penalties` is an empty mapping; give at least one entry, or leave it out"),
        ({0.1: ls.l2(0.1)}, TypeError, r"`penalties` has the label 0.1 \(float\); labels are strings"),
        ({"λ": 0.1}, TypeError, r"`penalties\['λ'\]` is a float; make one with ls.l2\(0.1\)"),
        ({"λ": ls.l2(0.1, scope={"v": True})}, ValueError, "`scope` must be a tree of booleans"),
    ],
)
def test_penalties_are_labeled(penalties, error, message):
    with pytest.raises(error, match=message):
        ls.evaluate(PAIR, PLANE, AXES, penalties=penalties)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "`batch_size` is 0; it must be at least 1"),
        ({"batch_size": 2.0}, TypeError, r"`batch_size` is 2.0 \(float\); it must be a whole number"),
        ({"memory": 100}, ValueError, "`memory` is 100; it must be at least 1048576"),
    ],
)
def test_sizes_are_whole_numbers(options, error, message):
    with pytest.raises(error, match=message):
        ls.evaluate(PAIR, PLANE, AXES, **options)


@pytest.mark.parametrize("chart", [None, {"w": 0.0, "b": 0.0}, ("w", "b")])
def test_a_chart_is_wanted(chart):
    with pytest.raises(TypeError, match=r"`chart` is a .*; give a Plane, Polar or Boundary, such as ls.axes_plane"):
        ls.evaluate(PAIR, chart, AXES)


def test_a_chart_of_other_params_is_refused():
    """Its points would not fit the objective's losses."""
    with pytest.raises(ValueError, match=r"`chart` leads to params .*: leaf 'b', float32\[\], is missing"):
        ls.evaluate(PAIR, ls.axes_plane({"u": 0.0, "v": 0.0}, "u", "v"), {"u": [0.0], "v": [0.0]})
    wide = ls.axes_plane({"w": np.zeros(2, np.float32), "b": np.float32(0.0)}, "w[0]", "b")
    with pytest.raises(ValueError, match="`chart`"):
        ls.evaluate(PAIR, wide, {"w[0]": [0.0], "b": [0.0]})
