"""Polar and Boundary: round trips, and the minimum of the risk once (w, b) is normalized."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import landscape as ls
from tests import problems
from tests.closeness import assert_close

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")


def plane64() -> ls.Plane:
    """The plane (w, b) in float64; call it with x64 on."""
    return ls.axes_plane({"w": jnp.zeros((), jnp.float64), "b": jnp.zeros((), jnp.float64)}, "w", "b")


@given(log_scale=problems.reals(-20, 20), angle=problems.reals(-math.pi, math.pi, exclude_min=True))
def test_polar_round_trip(log_scale, angle):
    """(log r, φ) → θ → (log r, φ), φ in (−π, π]."""
    with jax.enable_x64(True):
        chart = ls.Polar(plane64())
        point = chart.point((jnp.float64(log_scale), jnp.float64(angle)))
        assert float(jnp.hypot(point["w"], point["b"])) == pytest.approx(math.exp(log_scale), rel=1e-13)
        (back_scale, back_angle), residual = chart.coordinates(point)
        assert float(back_scale) == pytest.approx(log_scale, abs=1e-13)
        assert math.cos(float(back_angle) - angle) == pytest.approx(1.0, abs=1e-13)
        assert -math.pi < float(back_angle) <= math.pi
        assert float(residual) == 0.0


@given(threshold=problems.reals(-50, 50), weight=problems.reals(1e-3, 1e3), sign=st.sampled_from([-1.0, 1.0]))
def test_boundary_round_trip(threshold, weight, sign):
    """(t, w) → (w, −t·w) → (t, w); the neuron is undecided at x = t."""
    with jax.enable_x64(True):
        chart = ls.Boundary(plane64())
        point = chart.point((jnp.float64(threshold), jnp.float64(sign * weight)))
        assert float(point["w"] * threshold + point["b"]) == pytest.approx(0.0, abs=1e-12 * weight)
        (back, slope), residual = chart.coordinates(point)
        assert float(back) == pytest.approx(threshold, rel=1e-13)
        assert (float(slope), float(residual)) == (sign * weight, 0.0)


def test_degenerate_points():
    """The origin has no direction: log r = −∞; w = 0 has no threshold."""
    zero = {"w": jnp.float32(0.0), "b": jnp.float32(0.0)}
    flat = {"w": jnp.float32(0.0), "b": jnp.float32(1.0)}
    assert float(ls.Polar(PLANE).coordinates(zero)[0][0]) == -math.inf
    assert abs(float(ls.Boundary(PLANE).coordinates(flat)[0][0])) == math.inf
    assert math.isnan(float(ls.Boundary(PLANE).coordinates(zero)[0][0]))


def test_residual_is_the_distance_from_the_plane():
    """What the two coordinates do not show, as for the plane itself."""
    params = {"w": jnp.zeros(2), "b": jnp.zeros(())}
    plane = ls.axes_plane(params, "w[0]", "b")
    off = {"w": jnp.asarray([3.0, 2.0]), "b": jnp.asarray(4.0)}
    (log_scale, angle), residual = ls.Polar(plane).coordinates(off)
    assert_close(jnp.stack([log_scale, angle]), np.array([math.log(5.0), math.atan2(4.0, 3.0)]))
    assert float(residual) == 2.0
    assert ls.Boundary(plane).names == ("threshold", "w[0]")


@pytest.mark.parametrize("log_scale", [0.0, 1.0, -2.0])
def test_on_a_circle_the_pair_has_a_minimum(log_scale):
    """‖(w, b)‖ = r fixed: the risk has an interior minimum, w = r and b = 0; without that it has none."""
    angles = np.linspace(-np.pi, np.pi, 181)
    surface = ls.evaluate(PAIR, ls.Polar(PLANE), {"log_scale": [log_scale], "angle": angles})
    best = ls.minimum(surface)
    assert surface.risk.dims == ("log_scale", "angle") and surface.risk.shape == (1, 181)
    assert float(best.angle) == pytest.approx(0.0, abs=1e-12)
    assert bool(best.interior)
    r = math.exp(log_scale)
    assert float(best.objective) == pytest.approx(math.log1p(math.exp(-r)), rel=1e-6)
    expected = problems.pair_risk(r * np.cos(angles), r * np.sin(angles))
    assert_close(surface.risk[0], expected, eps=16)


def test_at_unit_weight_the_pair_has_a_minimum():
    """‖w‖ = 1: the threshold half way between the points, 0; without the restriction the border is lowest."""
    thresholds = np.linspace(-4, 4, 81)
    chart = ls.Boundary(PLANE)
    surface = ls.evaluate(PAIR, chart, {"w": [1.0], "threshold": thresholds})
    best = ls.minimum(surface)
    assert surface.risk.dims == ("w", "threshold")
    assert float(best.threshold) == pytest.approx(0.0, abs=1e-12) and bool(best.interior)
    assert_close(surface.risk[0], problems.pair_risk(np.ones(81), -thresholds), eps=16)
    whole = ls.evaluate(PAIR, chart, {"w": np.linspace(-3, 3, 13), "threshold": thresholds})
    assert not bool(ls.minimum(whole).interior)


def test_slope_is_the_gradient_in_the_charts_own_coordinates():
    """∂R/∂log r = w·R_w + b·R_b, ∂R/∂φ = w·R_b − b·R_w; ∂R/∂t = −w·R_b, ∂R/∂w = R_w − t·R_b: the chain rule by hand."""
    log_scales, angles = np.array([-1.0, 0.0, 0.5]), np.array([-2.0, 0.25, 1.0, 3.0])
    surface = ls.evaluate(PAIR, ls.Polar(PLANE), {"log_scale": log_scales, "angle": angles}, quantities=("slope",))
    r, phi = np.exp(log_scales)[:, None], angles[None, :]
    w, b = r * np.cos(phi), r * np.sin(phi)
    dw, db = problems.pair_gradient(w, b)
    assert_close(surface.slope, np.stack([w * dw + b * db, w * db - b * dw], axis=-1), eps=16, scale=1.0)
    assert surface.slope.dims == ("log_scale", "angle", "coordinate")
    assert surface.coordinate.values.tolist() == ["log_scale", "angle"]

    thresholds, weights = np.array([-1.0, 0.0, 2.5]), np.array([-2.0, 0.5])
    surface = ls.evaluate(PAIR, ls.Boundary(PLANE), {"w": weights, "threshold": thresholds}, quantities=("slope",))
    w, t = weights[:, None], thresholds[None, :]
    dw, db = problems.pair_gradient(w, -t * w)
    assert_close(surface.slope, np.stack([-w * db, dw - t * db], axis=-1), eps=16, scale=1.0)
    assert surface.coordinate.values.tolist() == ["threshold", "w"]


@pytest.mark.parametrize("chart", [ls.Polar, ls.Boundary])
@pytest.mark.parametrize("plane", [ls.axes_plane(PAIR.params, "w"), "w, b", None])
def test_a_plane_of_two_coordinates_is_wanted(chart, plane):
    with pytest.raises(
        ValueError, match=r"`plane` must be a Plane with two coordinates \(weight, bias\), got .*ls.axes_plane"
    ):
        chart(plane)
