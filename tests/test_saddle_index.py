"""The index: quadratic forms and networks with known eigenvalues, along runs, where nothing is finite, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies

import landscape as ls

ORIGIN = {"x": np.zeros(4, "float32")}
DIAGONAL = ls.Objective(
    lambda p, d: 0.5 * jnp.sum(d * p["x"][None] ** 2, axis=1), np.ones((1, 4), "float32"), params=ORIGIN
)


def form(eigenvalues):
    """½ Σ λᵢxᵢ²: one program for all λ, which are data."""
    return DIAGONAL.with_data(np.asarray(eigenvalues, "float32")[None])


@settings(max_examples=15)
@given(strategies.lists(strategies.sampled_from([-3.0, -1.0, 0.0, 0.5, 2.0]), min_size=4, max_size=4))
def test_eigenvalues_of_a_form_are_counted(eigenvalues):
    found = ls.saddle_index(form(eigenvalues), ORIGIN)
    assert int(found["index"]) == sum(value < 0 for value in eigenvalues)
    assert float(found.index_share) == sum(value < 0 for value in eigenvalues) / 4
    assert (float(found.hessian_min), float(found.hessian_max)) == (min(eigenvalues), max(eigenvalues))
    assert found.risk.dims == () and float(found.gradient_norm) == 0 and bool(found.finite)


def test_eigenvalues_within_the_tolerance_are_zero():
    objective = form([-1e-3, -1.0, -1e-7, 10.0])
    counts = [int(ls.saddle_index(objective, ORIGIN, tolerance=t)["index"]) for t in (1e-9, 1e-6, 1e-3, 0.2)]
    assert counts == [3, 2, 1, 0]


def test_the_hessian_of_a_network_is_that_of_jax(x64):
    """Objective, gradient and eigenvalues with a penalty, against jax.hessian of the flattened params."""
    network = ls.mlp((2, 3, 2), output="softmax", loss="cross_entropy")
    x = np.random.default_rng(0).normal(size=(9, 2))
    objective = network.objective(x, np.arange(9) % 2, penalty=ls.l2(0.02))
    params = jax.vmap(lambda key: network.init(key, "uniform"))(jax.random.split(jax.random.key(0), 3))
    found = ls.saddle_index(objective, params)
    assert found.risk.dims == ("point",) and found["index"].dtype == np.int32
    _, restored = jax.flatten_util.ravel_pytree(objective.params)
    hessian = jax.jit(jax.hessian(lambda flat: objective(restored(flat))))
    for i in range(3):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], params)
        flat, _ = jax.flatten_util.ravel_pytree(one)
        eigenvalues = np.linalg.eigvalsh(hessian(flat))
        at = found.isel(point=i)
        np.testing.assert_allclose([at.hessian_min, at.hessian_max], eigenvalues[[0, -1]], rtol=1e-10)
        assert int(at["index"]) == (eigenvalues < -1e-6 * np.abs(eigenvalues).max()).sum()
        np.testing.assert_allclose(at.objective, objective(one), rtol=1e-12)
        np.testing.assert_allclose(at.risk, objective.risk(one), rtol=1e-12)
        gradient, _ = jax.flatten_util.ravel_pytree(objective.gradient(one))
        np.testing.assert_allclose(at.gradient_norm, np.linalg.norm(gradient), rtol=1e-10)
    narrow = ls.saddle_index(objective, params, memory=2**20)
    np.testing.assert_allclose(narrow.hessian_min, found.hessian_min, rtol=1e-10)


def test_float32_is_widened():
    """Curvatures of 1 and −10⁻⁹ are told apart, of params and data in float32; and float32 is what it is afterwards."""
    found = ls.saddle_index(form([1.0, -1e-9, 1.0, 1.0]), ORIGIN, tolerance=1e-12)
    assert int(found["index"]) == 1 and found.hessian_min.dtype == np.float64
    assert jnp.zeros(1).dtype == np.float32


def test_along_a_run_the_dimensions_are_the_trajectory_s():
    """From the saddle at 0 to the wells: the index falls from the number of wells to 0."""
    wells = ls.function(lambda p: jnp.sum((p["x"] ** 2 - 1) ** 2), {"x": np.zeros(3, "float32")})
    starts = {"x": np.array([[0.01, -0.02, 0.01], [0.01, 0.9, 0.02]], "float32")}
    run = ls.descend(wells, {"sgd": optax.sgd(0.05)}, starts, steps=60, record_every=30)
    found = ls.saddle_index(wells, run)
    assert found.risk.dims == run.data.risk.dims == ("optimizer", "start", "step")
    assert found.step.values.tolist() == [0, 30, 60] and found.optimizer.values.tolist() == ["sgd"]
    assert found["index"].values[0, :, 0].tolist() == [3, 2] and (found["index"].values[0, :, -1] == 0).all()
    np.testing.assert_allclose(found.objective, run.data.objective, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.hessian_min[0, 0, 0], 12 * 0.01**2 - 4, rtol=1e-6)


def test_what_is_not_finite_is_flagged():
    points = {"x": np.array([[1.0, 0, 0, 0], [np.inf, 0, 0, 0], [np.nan, 0, 0, 0]], "float32")}
    found = ls.saddle_index(form([1.0, -1, 2, 3]), points)
    assert found.finite.values.tolist() == [True, False, False] and found["index"].values.tolist() == [1, -1, -1]
    assert np.isnan(found.index_share[1:]).all() and np.isnan(found.hessian_min[1:]).all()


def large():
    params = {"x": np.zeros(2001, "float32")}
    return ls.function(lambda p: jnp.sum(p["x"] ** 2), params), params


def narrow():
    return ls.function(lambda p: jnp.sum(p["x"].astype(jnp.float32) ** 2), ORIGIN), ORIGIN


def on_a_chart():
    plane = ls.Plane(ORIGIN, ({"x": np.eye(4, dtype="float32")[0]},), names=("c",))
    return ls.descend(DIAGONAL, optax.sgd(0.1), ORIGIN, steps=1, record=plane)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ls.saddle_index(3, ORIGIN), TypeError, "`objective` is an int; give an Objective"),
        (lambda: ls.saddle_index(*large()), ValueError, "`objective` has 2001 params that move, .* Up to 2000 params"),
        (lambda: ls.saddle_index(*narrow()), ValueError, "`objective` computes its losses in float32"),
        (lambda: ls.saddle_index(DIAGONAL, ORIGIN, tolerance=-1.0), ValueError, "`tolerance` is -1.0"),
        (lambda: ls.saddle_index(DIAGONAL, ORIGIN, memory=3), ValueError, "`memory` is 3; it must be at least 1048576"),
        (
            lambda: ls.saddle_index(DIAGONAL, on_a_chart()),
            ValueError,
            "`params` is a trajectory that keeps coordinates",
        ),
        (
            lambda: ls.saddle_index(DIAGONAL, {"y": ORIGIN["x"]}),
            ValueError,
            "`params` must have the structure of the ob",
        ),
        (
            lambda: ls.saddle_index(DIAGONAL, {"x": np.zeros(3)}),
            ValueError,
            "`params` must have the shapes of the object",
        ),
        (
            lambda: ls.saddle_index(DIAGONAL, {"x": np.zeros((0, 4))}),
            ValueError,
            "`params` must have the shapes of the",
        ),
        (
            lambda: ls.saddle_index(DIAGONAL, {"x": np.zeros((2, 2, 4))}),
            ValueError,
            "`params` must have the shapes of th",
        ),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
