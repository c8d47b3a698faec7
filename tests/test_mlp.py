"""Multilayer perceptrons: both conventions, exact losses, initializers, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from landscape.objectives import losses
from tests.closeness import assert_close

KEY = jax.random.key(0)


def test_one_hidden_layer_is_the_textbook_formula(dtype):
    """Z = σ(α₀ + αx), T = β₀ + βZ, f = softmax(T) (Hastie, Tibshirani & Friedman 2009, equation 11.5)."""
    network = ls.mlp((2, 3, 4), activation="sigmoid", output="softmax", loss="cross_entropy")
    params = network.init(KEY, "uniform")
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(dtype)
    alpha, beta = (params[name] for name in ("layer1", "layer2"))
    hidden = 1 / (1 + np.exp(-(x @ np.asarray(alpha["W"]) + np.asarray(alpha["b"])[None])))
    scores = np.exp(hidden @ np.asarray(beta["W"]) + np.asarray(beta["b"])[None])
    assert_close(network.apply(params, x), scores / scores.sum(axis=1, keepdims=True))


def test_the_squared_error_objective_decays_weights_only(dtype):
    """J = (1/m) Σ ½‖h − y‖² + (λ/2) Σ W²."""
    network = ls.mlp((2, 3, 2))
    params = network.init(KEY, "uniform")
    x, y = (np.random.default_rng(i).normal(size=(5, 2)).astype(dtype) for i in (0, 1))
    objective = network.objective(x, y, penalty=ls.weight_decay(0.3))
    squares = 0.5 * ((np.asarray(network.apply(params, x)) - y) ** 2).sum(axis=1).mean()
    decay = 0.15 * sum(float(jnp.sum(params[layer]["W"] ** 2)) for layer in params)
    assert_close(objective(params), np.asarray(squares + decay, dtype))


def test_softmax_cross_entropy_is_optax_s(dtype):
    z = 3 * jax.random.normal(KEY, (50, 4), dtype)
    y = jax.nn.softmax(jax.random.normal(jax.random.key(1), (50, 4), dtype), axis=1)
    assert_close(losses.softmax_cross_entropy(z, y), optax.softmax_cross_entropy(z, y))
    ours, theirs = (
        jax.grad(lambda z, f=f: f(z, y).sum())(z) for f in (losses.softmax_cross_entropy, optax.softmax_cross_entropy)
    )
    assert_close(ours, theirs, scale=1.0)
    slope = jax.grad(lambda y: losses.softmax_cross_entropy(z, y).sum())(y)
    assert_close(slope, -jax.nn.log_softmax(z, axis=1), scale=1.0)


@pytest.mark.parametrize("gap", [0.0, 1.0, 20.0, 60.0])
def test_certain_classes_keep_their_loss_and_gradient(gap):
    """log(1 + 2e^−gap), and −2e^−gap/(1 + 2e^−gap) for the right one: in float32, beyond where 1 + e^−gap is 1."""
    z, y = jnp.array([[0.0, gap, 0.0]], "float32"), jnp.array([[0.0, 1.0, 0.0]], "float32")
    value, slope = jax.value_and_grad(lambda z: losses.softmax_cross_entropy(z, y).sum())(z)
    np.testing.assert_allclose(float(value), np.log1p(2 * np.exp(-gap)), rtol=1e-6)
    np.testing.assert_allclose(float(slope[0, 1]), -2 * np.exp(-gap) / (1 + 2 * np.exp(-gap)), rtol=1e-6)


def test_the_second_derivative_is_that_of_the_softmax(x64):
    """Hessian diag(p) − ppᵀ."""
    z, y = jax.random.normal(KEY, (4,)), jnp.array([[0.0, 0.0, 1.0, 0.0]])
    p = jax.nn.softmax(z)
    hessian = jax.hessian(lambda z: losses.softmax_cross_entropy(z[None], y)[0])(z)
    assert_close(hessian, jnp.diag(p) - jnp.outer(p, p))


@pytest.mark.parametrize(
    "loss, output", [("cross_entropy", "softmax"), ("half_squared_error", "softmax"), ("cross_entropy", "sigmoid")]
)
def test_classes_are_rows_of_zeros_and_ones(loss, output):
    network = ls.mlp((2, 4, 3), output=output, loss=loss)
    params, x = network.init(KEY), np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    y = np.array([0, 1, 2, 2, 1, 0])
    rows = np.eye(3, dtype="float32")[y]
    expected = network.objective(x, rows).risk(params)
    if output == "softmax":
        assert_close(network.objective(x, y).risk(params), expected)
    h = np.asarray(network.apply(params, x), "float64")
    by_hand = {
        ("cross_entropy", "softmax"): -np.log(h[np.arange(6), y]),
        ("half_squared_error", "softmax"): 0.5 * ((h - rows) ** 2).sum(axis=1),
        ("cross_entropy", "sigmoid"): -(rows * np.log(h) + (1 - rows) * np.log(1 - h)).sum(axis=1),
    }[loss, output]
    np.testing.assert_allclose(float(expected), by_hand.mean(), rtol=1e-5)


def test_one_input_and_one_output_may_lack_an_axis():
    network = ls.mlp((1, 4, 1))
    x, y = np.linspace(-1, 1, 7, dtype="float32"), np.zeros(7, "float32")
    objective = network.objective(x, y)
    params = network.init(KEY)
    assert float(objective.risk(params)) == float(network.objective(x[:, None], y[:, None]).risk(params))
    assert objective.predict(params, objective.data[0]).shape == (7,)


@pytest.mark.parametrize(
    "initializer, std", [("glorot", np.sqrt(2 / (300 + 200))), ("he", np.sqrt(2 / 300)), ("uniform", 1 / np.sqrt(3))]
)
def test_initializers_have_their_spread(initializer, std):
    params = ls.mlp((300, 200, 5)).init(KEY, initializer, scale=0.5)
    np.testing.assert_allclose(float(params["layer1"]["W"].std()), 0.5 * std, rtol=0.02)
    assert bool((params["layer1"]["b"] != 0).any()) == (initializer == "uniform")


def test_equal_units_are_equal_and_constant_ones_constant():
    network = ls.mlp((3, 4, 5, 2))
    params = network.init(KEY, "equal_units")
    for layer, axes in {"layer1": (1,), "layer2": (0, 1), "layer3": (0,)}.items():
        weights = np.asarray(params[layer]["W"])
        first = weights[tuple(slice(1) if axis in axes else slice(None) for axis in (0, 1))]
        assert (weights == first).all() and len(np.unique(first)) == first.size
    constant = network.init(KEY, "constant", scale=0.25)
    assert all((leaf == 0.25).all() for leaf in jax.tree.leaves(constant))


def test_many_starts_at_once_and_compiled_once(compilations):
    network = ls.mlp((2, 3, 1))
    x, y = np.ones((4, 2), "float32"), np.zeros(4, "float32")
    starts = jax.vmap(network.init)(jax.random.split(KEY, 5))
    optimizer = optax.sgd(0.1)
    ls.descend(network.objective(x, y), optimizer, starts, steps=3)
    rebuilt = ls.mlp((2, 3, 1)).objective(x + 1, y)
    with compilations() as tally:
        runs = ls.descend(rebuilt, optimizer, starts, steps=3)
    assert tally.count == 0 and runs.data.sizes["start"] == 5


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ls.mlp(3), r"`sizes` is an int; give the sizes of all layers"),
        (lambda: ls.mlp((3,)), r"`sizes` has 1 numbers"),
        (lambda: ls.mlp((3, 0, 1)), r"`sizes\[1\]` is 0; it must be at least 1 units"),
        (lambda: ls.mlp((3, 2.5, 1)), r"`sizes\[1\]` is 2.5"),
        (lambda: ls.mlp((3, 1), activation="swish"), r"`activation` is 'swish'; it must be one of 'identity'"),
        (lambda: ls.mlp((3, 1), output="max"), r"`output` is 'max'; it must be one of .*'softmax'"),
        (lambda: ls.mlp((3, 1), loss="hinge"), r"`loss` is 'hinge'"),
        (lambda: ls.mlp((3, 1), loss="cross_entropy"), r'`output` is \'identity\', but loss="cross_entropy"'),
        (lambda: ls.mlp((3, 1), output="softmax", loss="cross_entropy"), r'`output` is "softmax" of one output'),
        (lambda: ls.mlp((3, 1)).init(KEY, "zeros"), r"`initializer` is 'zeros'; it must be one of 'glorot'"),
        (lambda: ls.mlp((3, 1)).init(7), r"`key` is an int"),
        (
            lambda: ls.mlp((3, 1)).objective(np.ones((4, 2), "f"), np.ones(4, "f")),
            r"`x` has shape \(4, 2\); .*\(n, 3\)",
        ),
        (lambda: ls.mlp((3, 1)).objective(np.ones((0, 3), "f"), np.ones(0, "f")), r"`x` has shape \(0, 3\)"),
        (
            lambda: ls.mlp((3, 2)).objective(np.ones((4, 3), "f"), np.ones(4, "f")),
            r"`y` is float32 of shape \(4,\); .*\(4, 2\)",
        ),
        (lambda: ls.mlp((3, 1)).objective(np.full((4, 3), np.nan, "f"), np.ones(4, "f")), r"`x` holds 12 of 12 values"),
    ],
)
def test_bad_networks_are_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize(
    "y, message",
    [
        ([0, 1, 3], "`y` holds classes from 0 to 3; wanted 0 to 2"),
        (np.ones((3, 3), "f"), "`y` has rows that sum to between 3 and 3"),
        (np.full((3, 3), -1, "f"), "`y` holds numbers outside"),
        (np.ones(3, "f"), r"`y` is float32 of shape \(3,\); .*or classes 0 to 2 as integers \(3,\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        ls.mlp((2, 3), output="softmax", loss="cross_entropy").objective(np.ones((3, 2), "f"), y)
