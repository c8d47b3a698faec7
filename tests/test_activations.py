"""Activations: values, derivatives of every order at 0 and in the tails, inverses, residuals, saturation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import landscape as ls
from tests import problems
from tests.closeness import assert_close

NAMES = ("identity", "sigmoid", "tanh", "relu", "softplus")
# Whole and half numbers are exact in float32; 0, the flat tails and the largest exponents are all there.
Z = np.array([-100.0, -80.0, -40.5, -20.0, -17.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 17.0, 20.0, 40.5, 80.0, 100.0])
VALUES = {
    "identity": lambda z: z,
    "sigmoid": problems.sigmoid,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0.0),
    "softplus": problems.softplus,
}
DERIVATIVES = {
    "identity": np.ones_like,
    "sigmoid": problems.sigmoid_slope,
    "tanh": lambda z: 4 * problems.sigmoid_slope(2 * z),  # sech² z
    "relu": lambda z: (z > 0) * 1.0,
    "softplus": problems.sigmoid,
}
# f'(0), f''(0), f'''(0) from the power series.
AT_ZERO = {
    "identity": (1.0, 0.0, 0.0),
    "sigmoid": (0.25, 0.0, -0.125),
    "tanh": (1.0, 0.0, -2.0),
    "relu": (0.0, 0.0, 0.0),
    "softplus": (0.5, 0.25, 0.0),
}


def smallest(dtype: str) -> float:
    """Below this, numbers are denormal and may be flushed to zero."""
    return float(np.finfo(dtype).tiny)


@pytest.mark.parametrize("name", NAMES)
def test_value_and_derivative_to_rounding_in_both_tails(name, dtype):
    """f and f' relative to themselves, where σ(1 − σ) and 1 − tanh² have long become 0."""
    f, z = ls.activation(name), Z[np.abs(Z) <= 40.5]  # sech² 80 leaves float32
    points = jnp.asarray(z, dtype)
    assert_close(f(points), VALUES[name](z), eps=8)
    assert_close(f.derivative(points), DERIVATIVES[name](z), eps=16)
    assert f(points).dtype == f.derivative(points).dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_autodiff_is_the_derivative(name, dtype):
    """`jax.grad`, forward and reverse, 0 and the kink of relu included: relu'(0) = 0."""
    f, points = ls.activation(name), jnp.asarray(Z, dtype)
    expected = DERIVATIVES[name](Z)
    for derivative in (jax.grad(f), lambda z: jax.jvp(f, (z,), (jnp.ones_like(z),))[1]):
        found = jax.jit(jax.vmap(derivative))(points)
        assert_close(found, expected, eps=16, scale=smallest(dtype) / np.finfo(dtype).eps)


@pytest.mark.parametrize("name", NAMES)
def test_first_three_derivatives_at_zero(name, dtype):
    """Autodiff of max(z, 0) and |z| would give 0, ½ or 1 at will."""
    first = jax.grad(ls.activation(name))
    second = jax.grad(first)
    found = jax.jit(lambda z: jnp.stack([first(z), second(z), jax.grad(second)(z)]))(jnp.zeros((), dtype))
    assert_close(found, np.array(AT_ZERO[name]), scale=0.25)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overflows(name, dtype):
    """Values, derivatives and second derivatives at the largest finite numbers are numbers."""
    f, huge = ls.activation(name), 0.1 * float(np.finfo(dtype).max)
    points = jnp.asarray([-huge, -1e5, 1e5, huge], dtype)
    first = jax.grad(f)
    found = jax.jit(jax.vmap(lambda z: jnp.stack([f(z), f.derivative(z), first(z), jax.grad(first)(z)])))(points)
    assert np.isfinite(np.asarray(found)).all()


@pytest.mark.parametrize("name", ["identity", "sigmoid", "tanh", "softplus"])
@given(share=problems.reals(1e-3, 1 - 1e-3))
def test_inverse_undoes_the_activation(name, share):
    """f(f⁻¹(t)) = t for t inside the range."""
    f = ls.activation(name)
    low, high = max(f.low, -5.0), min(f.high, 5.0)
    target = low + share * (high - low)
    with jax.enable_x64(True):
        assert_close(f(f.inverse(target)), np.asarray(target), eps=16, scale=1.0)


@pytest.mark.parametrize(
    ("name", "targets", "expected"),
    [
        ("sigmoid", [0.0, 1.0, -0.1, 1.1, 0.5], [-np.inf, np.inf, np.nan, np.nan, 0.0]),
        ("tanh", [-1.0, 1.0, -1.5, 2.0, 0.0], [-np.inf, np.inf, np.nan, np.nan, 0.0]),
        ("softplus", [0.0, -1.0, math.log(2.0)], [-np.inf, np.nan, 0.0]),
        ("identity", [0.0, -7.0], [0.0, -7.0]),
    ],
)
def test_inverse_at_and_outside_the_ends_of_the_range(name, targets, expected, dtype):
    """A limit that is only approached lies at infinity; beyond there is nothing."""
    found = ls.activation(name).inverse(jnp.asarray(targets, dtype))
    assert_close(found, np.array(expected), scale=1.0)


def test_softplus_inverse_does_not_overflow():
    """log(e^t − 1) = t for large t, where e^t is infinite."""
    assert float(ls.activation("softplus").inverse(1000.0)) == 1000.0


@pytest.mark.parametrize("name", NAMES)
@given(z=problems.reals(-30, 30, width=32), y=problems.reals(-2, 2, width=32))
def test_residual_is_value_minus_label(name, z, y):
    """f(z) − y to absolute rounding everywhere, with ∂/∂z = f' and ∂/∂y = −1."""
    f = ls.activation(name)
    y = y if name != "sigmoid" else abs(y) / 2  # labels of a probability
    with jax.enable_x64(True):
        z, y = jnp.float64(z), jnp.float64(y)
        scale = 1.0 + abs(float(z))
        assert_close(f.residual(z, y), np.asarray(VALUES[name](np.asarray(z)) - y), eps=8, scale=scale)
        slope, minus = jax.grad(f.residual, argnums=(0, 1))(z, y)
        assert_close(slope, np.asarray(DERIVATIVES[name](np.asarray(z))), eps=16)
        assert float(minus) == -1.0


@pytest.mark.parametrize("z", [0.0, 4.0, 12.0, 20.0, 40.0, 80.0])
def test_residual_keeps_its_digits_where_the_unit_saturates_at_the_label(z, dtype):
    """σ(z) − 1 = −σ(−z) and tanh z − 1 = −2σ(−2z): subtracting gives 0 from z = 17, or 9, on in float32."""
    at = jnp.asarray(z, dtype)
    assert_close(ls.activation("sigmoid").residual(at, 1.0), -problems.sigmoid(-z), eps=8)
    assert_close(ls.activation("sigmoid").residual(-at, 0.0), problems.sigmoid(-z), eps=8)
    if z <= 40:
        assert_close(ls.activation("tanh").residual(at, 1.0), np.asarray(-2 * problems.sigmoid(-2 * z)), eps=8)
        assert_close(ls.activation("tanh").residual(-at, -1.0), np.asarray(2 * problems.sigmoid(-2 * z)), eps=8)


@pytest.mark.parametrize(
    ("name", "at_zero", "in_the_tails"),
    [
        ("identity", 0, (0, 0)),
        ("sigmoid", 0, (1, 1)),
        ("tanh", 0, (1, 1)),
        ("relu", 1, (1, 0)),
        ("softplus", 0.5, (1, 0)),
    ],
)
def test_saturation_runs_from_most_sensitive_to_flat(name, at_zero, in_the_tails):
    """1 − |f'|/max|f'| at 0 and at ±60, and within [0, 1] throughout."""
    f = ls.activation(name)
    assert_close(f.saturation(0.0), np.asarray(at_zero, np.float64), scale=1.0)
    assert_close(f.saturation(jnp.asarray([-60.0, 60.0])), np.array(in_the_tails), scale=1.0)
    everywhere = np.asarray(f.saturation(jnp.linspace(-5.0, 5.0, 101)))
    assert (everywhere >= 0).all() and (everywhere <= 1).all()


def test_integers_become_floats():
    """f(0) for an int is a float of JAX's default dtype."""
    assert ls.activation("sigmoid")(0).dtype == jnp.float32
    assert float(ls.activation("sigmoid")(0)) == 0.5
    assert ls.activation("relu")(np.array([-1, 2])).tolist() == [0.0, 2.0]


def test_activations_are_equal_by_name():
    """So that compiled code is found again after a rebuild."""
    assert ls.activation("tanh") == ls.activation("tanh")
    assert hash(ls.activation("tanh")) == hash(ls.activation("tanh"))
    assert ls.activation("tanh") != ls.activation("sigmoid")


def test_relu_has_no_inverse():
    with pytest.raises(ValueError, match="activation 'relu' has no inverse: it is not one-to-one"):
        ls.activation("relu").inverse(1.0)


@pytest.mark.parametrize("name", ["Sigmoid", "", None, 3])
def test_unknown_activations_are_refused_with_the_known_ones(name):
    with pytest.raises(
        ValueError, match=r"`activation` is .*; it must be one of 'identity', 'sigmoid', 'tanh', 'relu'"
    ):
        ls.activation(name)
