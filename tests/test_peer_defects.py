"""Mistakes that other tools for loss landscapes make, a test each; the docstrings say which, and whose.

Caught elsewhere: whole tensors scaled under the name of filter normalization, and the last axis guessed to be the
filters' (test_directions: `test_not_whole_tensors_are_scaled`, `test_equinox_kernels_are_out_in` and
`test_axes_by_pattern`).

Not caught, since what would make them is not here yet; whoever adds it adds the test:
- weights of a spectral density taken from the whole matrix of eigenvectors instead of their first components (PyHessian
  before its PR #23, Landscaper): nothing here estimates a spectrum;
- an estimate of the trace that stops at one small change of its running mean (PyHessian): nothing here estimates one;
- cells of loss ≤ 0 taken for ones still to do when a run is resumed (loss-landscape): no run can be resumed. That such
  cells are measured like others is tested.
"""

import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape import plot
from tests import problems
from tests.closeness import assert_close

RECTANGLE = {"u": np.linspace(-2.0, 2.0, 9), "v": np.linspace(-1.0, 3.0, 5)}  # not square, 0 on the grid


def bowl(params: Any) -> Any:
    """u² + 10v: neither symmetric nor positive."""
    return jnp.square(params["u"]) + 10 * params["v"]


def surface(function: Any = bowl, axes: Any = RECTANGLE, **options: Any) -> Any:
    objective = ls.function(function, {"u": 0.25, "v": -0.5})
    return ls.evaluate(objective, ls.axes_plane(objective.params, "u", "v"), axes, **options)


def test_the_center_is_evaluated_and_no_cell_is_a_step_off():
    """loss-landscapes walks the model through the grid in place: every second column is one step off, α = 0 is never
    evaluated. Landscaper adds a step again and again, and its rounding drifts."""
    network = problems.network(21)
    plane = ls.Plane(network.params, ls.random_directions(jax.random.key(1), network.params, 2))
    line = np.linspace(-1.0, 1.0, 41)
    found = ls.evaluate(network, plane, {"alpha": line, "beta": np.array([-0.5, 0.0, 0.5])})
    assert found.alpha.values.tolist() == line.tolist() and 0.0 in found.alpha.values
    assert_close(found.risk.sel(alpha=0.0, beta=0.0), np.asarray(network.risk(network.params)), eps=4)
    single = [ls.evaluate(network, plane, {"alpha": line[i : i + 1], "beta": [0.5]}) for i in (1, 2, 40)]
    assert_close(found.risk.sel(beta=0.5)[[1, 2, 40]], np.concatenate([s.risk[:, 0] for s in single]), eps=16)


def test_the_callers_model_is_left_alone():
    """loss-landscapes leaves the caller's model at the last cell."""
    params = {"w": np.array([1.0, 2.0], np.float32), "b": np.float32(0.5)}
    before = jax.tree.map(np.copy, params)
    x, y = problems.classification(2, 9, 2)
    objective = ls.Objective(lambda p, d: jnp.square(jnp.tanh(d[0] @ p["w"]) + p["b"] - d[1]), (x, y), params=params)
    plane = ls.Plane(params, ls.random_directions(jax.random.key(0), params, 2, normalize="global", zero_vectors=False))
    ls.evaluate(objective, plane, {"alpha": [0.0, 1.0], "beta": [0.0, 2.0]}, quantities=("slope",))
    for tree in (params, objective.params, plane.origin):
        assert jax.tree.all(jax.tree.map(np.array_equal, tree, before))


def test_random_directions_are_orthogonal():
    """Landscaper's "orthogonal" directions have |cos| ≈ 1."""
    network = problems.network(22)
    for normalize in ("filter", "global"):
        u, v = ls.random_directions(jax.random.key(3), network.params, 2, normalize=normalize)
        flat = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(d)]).astype(np.float64) for d in (u, v)]
        assert abs(flat[0] @ flat[1]) / math.prod(map(np.linalg.norm, flat)) < 1e-6


def test_cells_that_are_not_finite_stay_and_no_noise_is_added():
    """Landscaper replaces NaN by the mean and inf by the maximum, and adds noise to maxima. Twice is the same twice."""
    found = surface(lambda p: jnp.where(p["u"] > 1, jnp.nan, jnp.where(p["v"] > 2, jnp.inf, 0 * p["u"] + 7.0)))
    u, v = np.meshgrid(RECTANGLE["u"], RECTANGLE["v"], indexing="ij")
    expected = np.where(u > 1, np.nan, np.where(v > 2, np.inf, 7.0))
    assert np.array_equal(found.risk, expected, equal_nan=True)
    assert np.array_equal(found.finite, np.isfinite(expected))
    assert np.array_equal(surface().risk, surface().risk)


@pytest.mark.parametrize("names", [("u", "v"), ("v", "u")])
def test_axes_are_not_swapped_on_a_grid_that_is_not_square(names):
    """Landscaper computes with "ij" and draws with "xy"; loss-landscape breaks where the grid is not square."""
    found = surface(axes={name: RECTANGLE[name] for name in names})
    assert found.risk.dims == names and found.risk.shape == tuple(len(RECTANGLE[name]) for name in names)
    for u, v in ((-2.0, 3.0), (1.5, -1.0), (0.0, 0.0)):
        assert float(found.risk.sel(u=u, v=v)) == u * u + 10 * v


def test_pictures_have_the_axes_of_the_surface(monkeypatch):
    """The same in the picture: what is drawn at (horizontal, vertical) is the cell of these coordinates."""
    import matplotlib.axes

    drawn: list[Any] = []
    for name in ("contour", "contourf", "pcolormesh"):
        original = getattr(matplotlib.axes.Axes, name)

        def spy(self: Any, x: Any, y: Any, z: Any, *args: Any, original: Any = original, **options: Any) -> Any:
            drawn.append((np.asarray(x), np.asarray(y), np.ma.getdata(z)))
            return original(self, x, y, z, *args, **options)

        monkeypatch.setattr(matplotlib.axes.Axes, name, spy)
    figure = plot.contour(surface(), "risk")
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$u$", "$v$")
    fields = [(x, y, z) for x, y, z in drawn if z.shape == (5, 9)]  # the color bar is drawn too
    assert fields
    for x, y, z in fields:
        u, v = np.meshgrid(x, y) if x.ndim == 1 else (x, y)
        assert z.shape == u.shape
        change = np.asarray(z - (np.square(u) + 10 * v))  # drawn as it is, or as the excess over the least
        assert np.ptp(change) < 1e-5


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_derivatives_do_not_grow_with_the_number_of_batches(reduction):
    """loss-landscape's Hessian products are sums over batches; hessian-eigenthings averages batches unweighted, so that
    a short one counts as much as a full one."""
    x, y = problems.classification(4, 11, 1)
    y[8:] = 1.0 - y[8:]  # the short batch differs from the others
    objective = ls.neuron(x[:, 0], y, reduction=reduction)
    plane = ls.axes_plane(objective.params, "w", "b")
    axes = {"w": [0.5], "b": [-0.25]}
    names = ("risk_stderr", "risk_gradient_norm", "slope", "plane_hessian")
    found = [ls.evaluate(objective, plane, axes, quantities=names, batch_size=size) for size in (11, 4, 1)]
    gradient = jax.grad(objective.risk)({"w": jnp.float32(0.5), "b": jnp.float32(-0.25)})
    assert_close(found[1].slope[0, 0], np.array([gradient["w"], gradient["b"]]), eps=32, scale=0.1)
    for other in found[1:]:
        for name in ("risk", *names):
            assert_close(other[name], found[0][name].to_numpy(), eps=32, scale=0.1)


def test_risks_of_zero_and_less_are_cells_like_others():
    """loss-landscape takes a loss ≤ 0 for a cell that is not done, and computes it again or loses it."""
    line = {"u": np.array([-2.0, -1.0, 0.0, 1.0]), "v": np.array([0.0])}
    found = surface(lambda p: p["u"], line, quantities=("risk_gradient_norm",))
    assert found.risk[:, 0].values.tolist() == [-2.0, -1.0, 0.0, 1.0]
    assert found.finite.all() and (found.risk_gradient_norm == 1.0).all()
    least = ls.minimum(found)
    assert (float(least.objective), float(least.u)) == (-2.0, -2.0)


def test_all_batches_count():
    """losscape uses the first eight batches, silently."""
    batches = [np.full(3, i, np.float32) for i in range(20)]
    objective = ls.Objective(lambda p, x: p["u"] * x + 0 * p["v"], ls.Batches(batches), params={"u": 1.0, "v": 0.0})
    found = ls.evaluate(objective, ls.axes_plane(objective.params, "u"), {"u": [1.0, 2.0]})
    assert found.risk.values.tolist() == [9.5, 19.0] and found.attrs["num_examples"] == 60


def test_risk_and_penalty_are_apart():
    """How-do-vits-work's picture mostly shows the l2 term: here the two are stored each, and their sum."""
    found = surface(penalties={"λ=5": ls.l2(5.0)})
    u, v = np.meshgrid(*RECTANGLE.values(), indexing="ij")
    assert_close(found.risk, u**2 + 10 * v, scale=10.0)
    assert_close(found.penalty_value[0], 5 * (u**2 + v**2))
    assert_close(found.objective[0], 6 * u**2 + 10 * v + 5 * v**2, scale=10.0)
    assert json.loads(found.attrs["penalties"]) == {"λ=5": "5·‖θ‖²"}
