"""What `interpolate` and its result refuse: one message that names the argument, what came, and what to do."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
BOX = {"w": (-1, 1), "b": (-1, 1)}


def flat(x, y):
    return x + y


SQUARE = {"x": (-1, 1), "y": (-1, 1)}
FOUND = ls.interpolate(flat, None, SQUARE)
SWEPT = ls.interpolate(PAIR, PLANE, BOX, tolerance=0.1, penalties={"none": ls.none(), "l2": ls.l2(0.1)})


def refused(error, message, function=PAIR, chart=PLANE, box=BOX, **options):
    with pytest.raises(error, match=message):
        ls.interpolate(function, chart, box, **options)


@pytest.mark.parametrize(
    ("box", "error", "message"),
    [
        ({"w": (-1, 1), "b": (2, 2)}, ValueError, r"`box\['b'\]` is \(2, 2\), which has no extent"),
        (
            {"w": (-1, 1), "b": (2, -2)},
            ValueError,
            r"`box\['b'\]` is \(2, -2\), which has no extent; give lowest < highest",
        ),
        ({"w": (-np.inf, 1), "b": (0, 1)}, ValueError, r"`box\['w'\]` is \(-inf, 1\); a box has finite ends"),
        ({"w": (0, np.nan), "b": (0, 1)}, ValueError, r"`box\['w'\]` is \(0, nan\); a box has finite ends"),
        ({"w": (-1, 1)}, ValueError, "`box` must name the chart's coordinates, w, b; missing: 'b'"),
        (BOX | {"c": (0, 1)}, ValueError, "unknown: 'c'"),
        ({"w": (-1, 0, 1), "b": (0, 1)}, TypeError, r"`box\['w'\]` is \(-1, 0, 1\); give \(lowest, highest\)"),
        ({"w": 3, "b": (0, 1)}, TypeError, r"`box\['w'\]` is 3; give \(lowest, highest\)"),
        ({"w": ("a", "b"), "b": (0, 1)}, TypeError, r"`box\['w'\]\[0\]` must be one number"),
        ([(-1, 1), (-1, 1)], TypeError, "`box` is a list; give a mapping"),
        ({"w": (-1e39, 1), "b": (0, 1)}, ValueError, r"`box\['w'\]` reaches 1.0e\+39, which overflows float32"),
    ],
)
def test_boxes(box, error, message):
    refused(error, message, box=box)


@pytest.mark.parametrize(
    ("tolerance", "error", "message"),
    [
        (
            1e-6,
            ValueError,
            "`tolerance` is 1e-06, and rounding in float32 allows 1.5e-05 at least; for a smaller one turn",
        ),
        (0, ValueError, "`tolerance` is 0; it is a share of the range or the value, between 0 and 1"),
        (1.0, ValueError, "`tolerance` is 1; it is a share"),
        (np.nan, ValueError, "`tolerance` is nan; it is a share"),
        ("fine", TypeError, "`tolerance` must be one number"),
    ],
)
def test_tolerances(tolerance, error, message):
    refused(error, message, tolerance=tolerance)


def test_a_tolerance_below_float64():
    refused(ValueError, r"rounding in float64 allows 2.8e-14 at least\.$", flat, None, SQUARE, tolerance=1e-15)


@pytest.mark.parametrize(
    ("quantities", "error", "message"),
    [
        (("gradient_norm",), ValueError, '"gradient_norm", which jumps where an l1 penalty has its kinks.*ls.evaluate'),
        (("accuracy",), ValueError, r"\"accuracy\", which is a step function .* Measure it on a grid: ls.evaluate"),
        (
            ("slope",),
            ValueError,
            r"'slope', which the interpolant knows itself.*result.on\(axes, quantities=\('slope',\)\)",
        ),
        (("plane_hessian",), ValueError, "'plane_hessian', which the interpolant knows itself"),
        ("risk", TypeError, "`quantities` is the string 'risk'; give a tuple"),
        (("rsik",), ValueError, "`quantities` is 'rsik'; it must be one of"),
        (3, TypeError, "`quantities` is an int; give a tuple"),
    ],
)
def test_quantities(quantities, error, message):
    refused(error, message, quantities=quantities, penalties={"l1": ls.l1(0.1)})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"chart": None}, TypeError, "`chart` is a NoneType; give a Plane, Polar or Boundary"),
        ({"function": flat}, TypeError, "`chart` belongs to an ls.Objective, and `function` is a Python function"),
        ({"function": 3, "chart": None}, TypeError, "`function` is an int; give an ls.Objective with its chart, or"),
        ({"function": PLANE, "chart": PAIR}, TypeError, "`function` is a Plane; give an ls.Objective with its chart"),
        (
            {"function": lambda x: x, "chart": None},
            TypeError,
            r"`function` is called as f\(w, b\), but is defined with \(x\)",
        ),
        (
            {"function": lambda b, w: w, "chart": None},
            ValueError,
            "`function` takes b, w, and is called in the order of",
        ),
        (
            {"function": lambda w, b: w, "chart": None, "batch_size": 3},
            ValueError,
            "`batch_size` is for an ls.Objective",
        ),
        ({"function": lambda w, b: w, "chart": None, "precision": "high"}, ValueError, "`precision` is for an ls.Obj"),
        ({"box": None}, TypeError, r"`box` is missing; give a mapping, box="),
        ({"box": {}}, TypeError, "`box` is empty; give a mapping"),
        ({"store": 5}, TypeError, "`store` is an int; give a path or a URL"),
        ({"max_evaluations": 24}, ValueError, "`max_evaluations` is 24; it must be at least 25"),
        ({"max_evaluations": 1e3}, TypeError, "`max_evaluations` is 1000.0"),
        ({"relative_to": "risk"}, ValueError, "`relative_to` is 'risk'; it must be one of 'range', 'value'"),
        ({"precision": "hi"}, ValueError, "`precision` is 'hi'; it must be one of"),
        ({"penalties": ls.l2(0.1)}, TypeError, "`penalties` is one Penalty; give a mapping"),
    ],
)
def test_options(options, error, message):
    refused(error, message, **options)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("much", TypeError, "`function` returned a str at x = -1, y = -1; wanted one real number"),
        (None, TypeError, "`function` returned a NoneType at x = -1, y = -1; wanted one real number"),
        (np.zeros(2), ValueError, r"`function` returned shape \(2,\) at x = -1, y = -1; wanted one real number"),
        (1j, TypeError, "`function` returned a complex at x = -1, y = -1; wanted one real number"),
    ],
)
def test_what_functions_return(value, error, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(error, message, lambda x, y: value, None, SQUARE)


@pytest.mark.parametrize("value", [np.float32(1.0), jnp.asarray(2.0), np.array([3.0]), 4, True])
def test_what_is_one_number(value):
    found = ls.interpolate(lambda x, y: value, None, SQUARE)
    assert found.minimum().objective == float(np.ravel(value)[0])


def test_a_function_has_no_penalties_and_quantities():
    refused(ValueError, "`penalties` is for an ls.Objective", flat, None, SQUARE, penalties={"a": ls.none()})
    refused(ValueError, "`quantities` is for an ls.Objective", flat, None, SQUARE, quantities=("risk_stderr",))
    refused(ValueError, "`box` calls a coordinate 'risk'; give another name", flat, None, {"risk": (0, 1), "y": (0, 1)})
    four = dict.fromkeys("abcd", (0, 1))
    refused(ValueError, "`box` has 4 coordinates; it has 1 to 3", lambda a, b, c, d: a, None, four)


def test_a_risk_that_is_not_positive_has_no_share():
    refused(
        ValueError,
        r"`relative_to` is \"value\", which is for a positive risk, and it is -2 at \[-1.0, -1.0\]; give \"range\"",
        *(flat, None, SQUARE),
        relative_to="value",
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: FOUND.on({"x": [0, 2], "y": [0]}),
            ValueError,
            r"`axes\['x'\]` has the position 2.0.* outside of the box",
        ),
        (lambda: FOUND.on({"x": [0]}), ValueError, "`axes` must name the chart's coordinates, x, y; missing: 'y'"),
        (lambda: FOUND.on({"x": 0.0, "y": [0]}), ValueError, r"`axes\['x'\]` has shape \(\)"),
        (lambda: FOUND.on([0]), TypeError, "`axes` is a list; give a mapping"),
        (lambda: FOUND.on({"x": [0], "y": [0]}, quantities="slope"), TypeError, "`quantities` is the string 'slope'"),
        (lambda: FOUND.on({"x": [0], "y": [0]}, quantities=("risk",)), ValueError, "one of 'slope', 'plane_hessian'"),
        (lambda: FOUND.minimum("rsik"), ValueError, "`variable` is 'rsik'; it must be one of 'risk'"),
        (
            lambda: FOUND.critical_points("penalty_value"),
            ValueError,
            "critical points of 'penalty_value' are no single",
        ),
        (lambda: FOUND.sel(penalty="l2"), ValueError, "this interpolant has one penalty; leave it out"),
        (lambda: FOUND.level_lines(0.5), TypeError, "`levels` is a float; give a list of values"),
        (lambda: FOUND.level_lines([0.5, np.nan]), ValueError, "`levels` is .*nan.*; give finite values"),
        (lambda: FOUND.level_lines(["a"]), TypeError, r"`levels\[0\]` must be one number"),
        (lambda: ls.Interpolant(3), TypeError, "`data` is an int that is no interpolant; ls.interpolate makes one"),
        (lambda: ls.plot.contour(FOUND), TypeError, r"`surface` is an Interpolant; .*interpolant's `.on\(axes\)`"),
        (lambda: SWEPT.sel(penalty="l3"), ValueError, "`penalty` is 'l3'; it must be one of 'none', 'l2'"),
        (
            lambda: SWEPT.critical_points(),
            ValueError,
            r"has the penalties 'none', 'l2'; choose one: .sel\(penalty='none'\)",
        ),
        (lambda: SWEPT.level_lines([0.5]), ValueError, "choose one"),
        (lambda: ls.save(FOUND, "."), FileExistsError, "exists; results are never overwritten"),
        (lambda: ls.open_interpolant("nowhere.zarr"), FileNotFoundError, "'nowhere.zarr' does not exist"),
    ],
)
def test_the_result(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_level_lines_of_three_coordinates():
    found = ls.interpolate(lambda x, y, z: x * y + z, None, SQUARE | {"z": (0, 1)})
    with pytest.raises(ValueError, match="in three they are surfaces"):
        found.level_lines([0.5])
