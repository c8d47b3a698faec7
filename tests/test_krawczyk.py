"""Certificates of critical points: zeros are proven, points near them and degenerate ones are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import root

import landscape as ls
from landscape.minima._linear import linear
from landscape.minima.critical_points import _krawczyk

LOSSES = ("cross_entropy", "identity", "sigmoid", "tanh", "softplus")


def neuron(x, y, loss, **options):
    if loss == "cross_entropy":
        return ls.neuron(x, y, **options)
    return ls.neuron(x, y, loss="half_squared_error", activation=loss, **options)


def proven(objective, theta, share=1e-6):
    """Half the edges at `theta`, in the order of the columns."""
    proof = _krawczyk.proof(objective, linear(objective, "a test"))
    theta = np.asarray(theta, float)
    return proof.radius(theta, share * np.maximum(np.abs(theta), 1))


def numbers(balls):
    return np.array([[float(v.mid()) for v in row] for row in balls])


def function(x, y, loss):
    """(f, f′, f″ of the loss) in plain NumPy, for rows (x, 1) and l2(0.01): the gradient of the mean."""
    rows = np.stack([x, np.ones_like(x)], axis=1)
    f = {
        "identity": lambda z: (z, np.ones_like(z)),
        "sigmoid": lambda z: (1 / (1 + np.exp(-z)), np.exp(-z) / (1 + np.exp(-z)) ** 2),
        "tanh": lambda z: (np.tanh(z), 1 / np.cosh(z) ** 2),
        "softplus": lambda z: (np.log1p(np.exp(z)), 1 / (1 + np.exp(-z))),
    }

    def gradient(theta):
        z = rows @ theta
        if loss == "cross_entropy":
            slope = 1 / (1 + np.exp(-z)) - y
        else:
            value, derivative = f[loss](z)
            slope = (value - y) * derivative
        return slope @ rows / len(x) + 0.02 * theta

    return gradient


@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives_are_those_of_the_objective(loss, x64):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=5), rng.random(5)
    objective = neuron(x, y, loss, penalty=ls.l2(0.01))
    proof = _krawczyk.proof(objective, linear(objective, "a test"))
    from flint import arb

    theta, step = np.array([0.7, -0.3]), 1e-5
    gradient, hessian = proof.derivatives([arb(float(v)) for v in theta])
    expected = function(x, y, loss)
    np.testing.assert_allclose(numbers([gradient])[0], expected(theta), rtol=1e-12)
    columns = [(expected(theta + step * e) - expected(theta - step * e)) / (2 * step) for e in np.eye(2)]
    np.testing.assert_allclose(numbers(hessian), np.stack(columns, axis=1), rtol=1e-7, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), loss=st.sampled_from(LOSSES))
def test_zeros_are_proven_and_what_is_near_them_is_not(seed, loss):
    import jax

    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=6), rng.random(6)
    with jax.enable_x64(True):
        objective = neuron(x, y, loss, penalty=ls.l2(0.01))
        found = root(function(x, y, loss), rng.normal(size=2), tol=1e-14)
        if not found.success or np.abs(function(x, y, loss)(found.x)).max() > 1e-13:
            return  # the search stopped on its way
        radius = proven(objective, found.x)
        assert radius is not None and radius.max() < 1e-9
        for move in ([1e-3, 0], [0, -1e-3]):
            assert proven(objective, found.x + move) is None


def test_the_radius_holds_the_zero(x64):
    """l2's minimizer of the pair, to 13 digits (w solves 1/(1 + e^w) = 0.2·w), from a point 1e-8 away."""
    pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
    radius = proven(pair, [1.177505264154 + 1e-8, 0.0])
    assert radius is not None and 1e-8 <= radius[0] < 1e-7


def test_each_parameter_has_a_radius_of_its_own(x64):
    """The box holds the zero, as a search from far more digits has it, of features far from 0."""
    mpmath = pytest.importorskip("mpmath")
    x, y = [2000.0 + v for v in (-1.0, 0.5, 1.0, 2.0)], [0.0, 1.0, 0.0, 1.0]
    found = ls.critical_points(ls.neuron(x, y), {"w": np.array([1.0]), "b": np.array([-2000.0])})
    assert found.data.certified.all()
    radius = dict(zip(found.data.parameter.to_numpy(), found.data.radius.to_numpy()[0], strict=True))
    assert radius["w"] < 1e-3 * radius["b"]
    with mpmath.workdps(60):

        def gradient(w, b):
            slopes = [1 / (1 + mpmath.exp(-(w * v + b))) - label for v, label in zip(x, y, strict=True)]
            return [sum(s * v for s, v in zip(slopes, x, strict=True)), sum(slopes)]

        point = {name: found.params[name].item() for name in ("w", "b")}
        exact = mpmath.findroot(gradient, (point["w"], point["b"]))
        for name, value in zip(("w", "b"), exact, strict=True):
            assert abs(value - point[name]) <= radius[name]


def test_weights_and_sums(x64):
    x, y, weights = [1.0, 2.0, -1.0], [1.0, 0.0, 0.0], [1.0, 2.0, 5.0]
    for options in ({"weights": weights}, {"reduction": "sum"}, {"weights": weights, "reduction": "sum"}):
        objective = ls.neuron(x, y, penalty=ls.l2(0.1), **options)
        model = linear(objective, "a test")

        def gradient(theta, model=model):
            slope = model.weights * (1 / (1 + np.exp(-model.features @ theta)) - model.labels)
            return slope @ model.features + 2 * model.l2 * theta

        assert proven(objective, root(gradient, [0.0, 0.0], tol=1e-14).x) is not None


def test_degenerate_and_saturated_points_are_not_proven(x64):
    separable = ls.neuron(*ls.datasets.pair())
    assert proven(separable, [40.0, 0.0]) is None  # gradient 4e-18
    flat = ls.neuron([[1.0, 1.0]], [0.5], bias=False, loss="half_squared_error")
    assert proven(flat, [0.0, 0.0]) is None  # zeros fill a line
    saturated = ls.neuron([1.0], [0.0], bias=False, loss="half_squared_error")
    assert proven(saturated, [-800.0]) is None


def test_where_there_is_no_certificate(x64):
    relu = ls.neuron([1.0, 2.0], [1.0, 2.0], loss="half_squared_error", activation="relu")
    wide = ls.neuron(np.eye(4), np.ones(4) / 2)
    lasso = ls.neuron([1.0], [1.0], penalty=ls.l1(0.1))
    for objective in (relu, wide, lasso):
        assert _krawczyk.proof(objective, linear(objective, "a test")) is None
