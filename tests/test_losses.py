"""Losses of one example: digits of tiny ones, derivatives of three orders, soft labels, what a loss says of itself."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import landscape as ls
from landscape.objectives.losses import CrossEntropy, HalfSquaredError
from tests import problems
from tests.closeness import assert_close

CROSS_ENTROPY = CrossEntropy()
SQUARED_SIGMOID = HalfSquaredError(ls.activation("sigmoid"))
SQUARED_TANH = HalfSquaredError(ls.activation("tanh"))
FIVE_DIGITS = 1e-5 / 2


def digits_lost(loss, z, y, value, slope):
    """Relative errors of the float32 loss and its derivative against float64 formulas without cancellation."""
    z = jnp.float32(z)
    found, found_slope = jax.value_and_grad(loss)(z, jnp.float32(y))
    exact = np.float64(z)
    return abs(float(found) / value(exact) - 1), abs(float(found_slope) / slope(exact) - 1)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-12, 1e-30])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_tiny_cross_entropies_keep_five_digits_in_float32(size, label):
    """log(1 + e^−|z|) and its derivative, on the right side of either label."""
    sign = 1.0 if label else -1.0
    errors = digits_lost(
        CROSS_ENTROPY,
        -sign * math.log(math.expm1(size)),
        label,
        lambda z: problems.softplus(-sign * z),
        lambda z: -sign * problems.sigmoid(-sign * z),
    )
    assert max(errors) < FIVE_DIGITS


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-12, 1e-30])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_tiny_squared_errors_of_a_sigmoid_keep_five_digits_in_float32(size, label):
    """½(1 − σ)² = ½σ(−z)²: computing 1 − σ loses all of it."""
    sign = 1.0 if label else -1.0
    errors = digits_lost(
        SQUARED_SIGMOID,
        sign * math.log(1 / math.sqrt(2 * size) - 1),
        label,
        lambda z: 0.5 * problems.sigmoid(-sign * z) ** 2,
        lambda z: -sign * problems.sigmoid(-sign * z) * problems.sigmoid_slope(z),
    )
    assert max(errors) < FIVE_DIGITS


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-12, 1e-30])
@pytest.mark.parametrize("label", [-1.0, 1.0])
def test_tiny_squared_errors_of_a_tanh_keep_five_digits_in_float32(size, label):
    """½(1 − tanh z)² = 2σ(−2z)²."""
    errors = digits_lost(
        SQUARED_TANH,
        label * 0.5 * math.log(2 / math.sqrt(2 * size) - 1),
        label,
        lambda z: 2 * problems.sigmoid(-2 * label * z) ** 2,
        lambda z: -label * 8 * problems.sigmoid(-2 * label * z) * problems.sigmoid_slope(2 * z),
    )
    assert max(errors) < FIVE_DIGITS


@pytest.mark.parametrize("label", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("z", [0.0, 0.5, -3.0, 16.0, -25.0, 60.0])
def test_three_derivatives_of_cross_entropy(z, label, dtype):
    """σ − y, σ', σ'(1 − 2σ), z = 0 included exactly."""
    slope = problems.sigmoid_slope(z)
    expected = [problems.sigmoid(z) - label, slope, slope * (problems.sigmoid(-z) - problems.sigmoid(z))]
    if label == 1.0:
        expected[0] = -problems.sigmoid(-z)
    derivative = CROSS_ENTROPY
    for value in expected:
        derivative = jax.grad(derivative)
        scale = 0.1 if z == 0 else label % 1  # where the exact answer is 0, or a difference of numbers of order 1
        assert_close(
            derivative(jnp.asarray(z, dtype), jnp.asarray(label, dtype)), np.asarray(value), eps=16, scale=scale
        )


def test_going_backward_a_slope_of_cross_entropy_ends_in_a_division_that_changes_nothing():
    """By a number that is 1 but not known to be; the slope is the residual to the last bit, for all z."""
    z = jnp.array([-jnp.inf, -100.0, -3.0, -0.0, 0.0, 1e-6, 20.0, jnp.inf, jnp.nan], jnp.float32)
    for label in (0.0, 0.3, 1.0):
        y = jnp.full_like(z, label)
        slope = jax.grad(lambda z, y=y: CROSS_ENTROPY(z, y).sum())
        assert jax.make_jaxpr(slope)(z).eqns[-1].primitive.name == "div"
        assert np.array_equal(slope(z), ls.activation("sigmoid").residual(z, y), equal_nan=True)


@pytest.mark.parametrize("label", [0.0, 1.0, 0.25])
@pytest.mark.parametrize("name", ["identity", "sigmoid", "tanh", "softplus"])
def test_two_derivatives_of_squared_errors_at_zero(name, label, dtype):
    """(f − y)f' and f'² + (f − y)f''."""
    f, first, second = {
        "identity": (0.0, 1.0, 0.0),
        "sigmoid": (0.5, 0.25, 0.0),
        "tanh": (0.0, 1.0, 0.0),
        "softplus": (math.log(2), 0.5, 0.25),
    }[name]
    loss, at = HalfSquaredError(ls.activation(name)), (jnp.zeros((), dtype), jnp.asarray(label, dtype))
    assert_close(loss(*at), np.asarray(0.5 * (f - label) ** 2), scale=0.1)
    assert_close(jax.grad(loss)(*at), np.asarray((f - label) * first), scale=0.1)
    assert_close(jax.hessian(loss)(*at), np.asarray(first**2 + (f - label) * second), scale=0.1)


def test_relu_is_flat_on_its_dead_side():
    """Squared error of a dead unit: the loss stays ½y², the gradient is 0 up to and including the kink."""
    loss = HalfSquaredError(ls.activation("relu"))
    for z in (-5.0, -0.0, 0.0):
        assert float(loss(jnp.float32(z), jnp.float32(1.0))) == 0.5
        assert float(jax.grad(loss)(jnp.float32(z), jnp.float32(1.0))) == 0.0
    assert float(jax.grad(loss)(jnp.float32(3.0), jnp.float32(1.0))) == 2.0


@pytest.mark.parametrize("label", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_soft_labels(label, dtype):
    """softplus(z) − yz relative to itself (at least the label's entropy), and its minimum at the label's logit."""
    z = np.array([-90.0, -20.0, -3.0, -0.5, 0.0, 0.5, 3.0, 20.0, 90.0])
    label = float(np.asarray(label, dtype))
    expected = np.where(z <= 0, problems.softplus(z) - label * z, problems.softplus(-z) + (1 - label) * z)
    assert_close(CROSS_ENTROPY(jnp.asarray(z, dtype), jnp.full(9, label, dtype)), expected, eps=8)
    at_logit = jnp.asarray(math.log(label / (1 - label)), dtype)
    entropy = -label * math.log(label) - (1 - label) * math.log1p(-label)
    assert_close(CROSS_ENTROPY(at_logit, jnp.asarray(label, dtype)), np.asarray(entropy), eps=8)
    assert_close(jax.grad(CROSS_ENTROPY)(at_logit, jnp.asarray(label, dtype)), np.zeros(()), scale=1.0)


@given(z=problems.reals(-100, 100, width=32), y=problems.reals(0, 1, width=32))
def test_cross_entropy_is_bounded_by_the_entropy_and_symmetric(z, y):
    """loss(z, y) ≥ H(y) ≥ 0, and swapping the classes is changing the sign of z."""
    entropy = -sum(p * math.log(p) for p in (y, 1 - y) if p > 0)
    with jax.enable_x64(True):
        loss = float(CROSS_ENTROPY(jnp.float64(z), jnp.float64(y)))
        swapped = float(CROSS_ENTROPY(jnp.float64(-z), jnp.float64(1 - y)))
    assert loss >= entropy * (1 - 1e-14)
    assert loss == pytest.approx(swapped, rel=1e-13)


def test_derivative_with_respect_to_the_label(dtype):
    """∂/∂y of cross-entropy is −z; of half squared error −(f − y)."""
    z, y = jnp.asarray(1.5, dtype), jnp.asarray(0.25, dtype)
    assert_close(jax.grad(CROSS_ENTROPY, argnums=1)(z, y), np.asarray(-1.5))
    assert_close(jax.grad(SQUARED_TANH, argnums=1)(z, y), np.asarray(-(math.tanh(1.5) - 0.25)))


@pytest.mark.parametrize(("loss", "worst"), [(CROSS_ENTROPY, 1e4), (SQUARED_SIGMOID, 0.5), (SQUARED_TANH, None)])
def test_wrong_by_far_is_large_but_a_number(loss, worst, dtype):
    """z = ±10⁴ on the wrong side: no overflow in value, gradient or curvature."""
    for z, y in ((1e4, 0.0), (-1e4, 1.0)):
        at = jnp.asarray(z, dtype), jnp.asarray(y, dtype)
        assert float(loss(*at)) == (worst or 0.5 * (math.tanh(z) - y) ** 2)
        assert float(jax.grad(loss)(*at)) == (math.copysign(1.0, z) if loss is CROSS_ENTROPY else 0.0)
        assert float(jax.hessian(loss)(*at)) == 0.0


def test_losses_describe_themselves_and_are_equal_by_value():
    """Convexity, degree in y, distance of the poles: what closed forms and compression read."""
    assert (CROSS_ENTROPY.convex, CROSS_ENTROPY.degree_in_y, CROSS_ENTROPY.pole_distance) == (True, 1, math.pi)
    assert (SQUARED_TANH.convex, SQUARED_TANH.degree_in_y, SQUARED_TANH.pole_distance) == (False, 2, math.pi / 2)
    assert HalfSquaredError(ls.activation("identity")).convex
    assert CrossEntropy() == CrossEntropy() and hash(CrossEntropy()) == hash(CrossEntropy())
    assert HalfSquaredError(ls.activation("tanh")) == SQUARED_TANH != SQUARED_SIGMOID
