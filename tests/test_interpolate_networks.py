"""Twelve networks: the error is what is stated, within a factor; and far fewer evaluations than pixels are enough."""

import numpy as np
import pytest

import landscape as ls
from tests import networks

pytestmark = pytest.mark.lenient("optax mixes dtypes and ranks")

BOX = {"alpha": (-1.0, 1.0), "beta": (-1.0, 1.0)}
POINTS, PARTS = 10_000, 400


@pytest.mark.parametrize("name", networks.NAMES)
def test_the_error_stated_is_the_true_one_within_a_factor(name):
    """At 10⁴ points the true error is at most 2 times the stated one, and the stated one at most 20 times the true."""
    objective, plane = networks.problem(name)
    found = ls.interpolate(objective, plane, BOX, tolerance=1e-2)
    points = np.random.default_rng(5).uniform(-1, 1, (POINTS, 2))
    true = networks.risk_at(name, points)
    off = np.abs(at(found, points) - true).max()
    stated = found.errors["risk"]
    assert off <= 2 * stated and stated <= 20 * off
    assert found.converged and off <= 1e-2 * np.ptp(true)
    assert found.evaluations < 51 * 51 / 2


def at(found, points):
    """Where no piece is cut, a grid's diagonal is as good as scattered points; in parts, since a grid is square."""
    parts = np.array_split(points, PARTS)
    return np.concatenate([np.diag(found.on(dict(zip(BOX, part.T, strict=True))).risk) for part in parts])


def test_derivatives_err_as_stated():
    for name in ("tanh, trained", "relu, trained"):
        objective, plane = networks.problem(name)
        found = ls.interpolate(objective, plane, BOX, tolerance=1e-3)
        axes = {"alpha": np.linspace(-1, 1, 9), "beta": np.linspace(-1, 1, 9)}
        wanted = ("slope", "plane_hessian")
        true, got = ls.evaluate(objective, plane, axes, quantities=wanted), found.on(axes, quantities=wanted)
        assert float(np.abs(true.slope - got.slope).max()) <= 2 * found.errors["slope"]
        if name.startswith("tanh"):  # a relu has no second derivative at its kinks
            assert float(np.abs(true.plane_hessian - got.plane_hessian).max()) <= 2 * found.errors["plane_hessian"]
