"""Conventions: the conversions against what they claim, by running both sides."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from tests import problems
from tests.closeness import assert_close

START = {"w": 0.3, "b": -0.2}


def iterates(objective, learning_rate, steps=25):
    """The points of gradient descent, written out here."""
    params, points = {name: jnp.float64(v) for name, v in START.items()}, []
    gradient = jax.jit(jax.grad(objective))
    for _ in range(steps):
        params = jax.tree.map(lambda p, g: p - learning_rate * g, params, gradient(params))
        points.append(np.array([params["w"], params["b"]]))
    return np.stack(points)


def test_sum_and_mean_take_the_same_steps(x64):
    """Σ lossᵢ + λ‖θ‖² with η is (1/n)Σ lossᵢ + (λ/n)‖θ‖² with nη, and `descend` agrees."""
    x, y = problems.classification(0, 17, 1)
    x, y = x[:, 0].astype(np.float64), y.astype(np.float64)
    total = ls.neuron(x, y, reduction="sum", penalty=ls.l2(0.5))
    mean = ls.neuron(x, y, penalty=ls.l2(ls.strength_from(sum_strength=0.5, n=17)))
    rate = ls.learning_rate_from(sum_learning_rate=0.01, n=17)
    expected = iterates(total, 0.01)
    assert rate == pytest.approx(0.17)
    assert_close(iterates(mean, rate), expected, eps=64, scale=1.0)
    for objective, learning_rate in ((total, 0.01), (mean, rate)):
        run = ls.descend(objective, optax.sgd(learning_rate), {k: np.float64(v) for k, v in START.items()}, 25)
        assert_close(run.params["w"][1:], expected[:, 0], eps=64, scale=1.0)
        assert_close(run.params["b"][1:], expected[:, 1], eps=64, scale=1.0)


def test_a_scaled_objective_takes_the_same_steps_at_a_scaled_rate(x64):
    """c·J with η is J with cη: weights c/n under "sum" make the risk c times the mean."""
    x, y = (a.astype(np.float64) for a in problems.classification(1, 12, 1))
    scaled = ls.neuron(x[:, 0], y, weights=np.full(12, 3.0 / 12), reduction="sum", penalty=3.0 * ls.l2(0.1))
    plain = ls.neuron(x[:, 0], y, penalty=ls.l2(0.1))
    rate = ls.learning_rate_from(scaled=(0.2, 3.0))
    assert_close(iterates(plain, rate), iterates(scaled, 0.2), eps=64, scale=1.0)


def test_input_noise_is_l2_on_the_weights_of_a_linear_model(x64):
    """E over ε of ½(w(x + ε) + b − y)² needs two moments of ε only: ε = ±σ has them, so E is a mean of 2n examples."""
    generator = np.random.default_rng(2)
    x, y, variance = generator.normal(size=9), generator.normal(size=9), 0.49
    options = {"loss": "half_squared_error", "activation": "identity"}
    noisy = ls.neuron(np.concatenate([x + 0.7, x - 0.7]), np.concatenate([y, y]), **options)
    penalty = ls.l2(ls.strength_from(noise_variance=variance), scope="weights")
    penalized = ls.neuron(x, y, penalty=penalty, **options)
    params = dict(zip("wb", jnp.asarray(generator.normal(size=(2, 5))), strict=True))
    assert_close(jax.vmap(penalized)(params), np.asarray(jax.vmap(noisy)(params)), eps=16)
    assert_close(jax.vmap(penalized.gradient)(params), jax.vmap(noisy.gradient)(params), eps=64, scale=1.0)


def test_weight_decay_is_l2_at_half_the_strength():
    """(λ/2)‖W‖² = (λ/2)·‖W‖²."""
    params = {"w": jnp.asarray([1.0, 2.0]), "b": jnp.asarray(3.0)}
    converted = ls.l2(ls.strength_from(weight_decay=0.3), scope="weights")
    assert_close(converted.value(params), np.asarray(ls.weight_decay(0.3).value(params)))
    assert ls.strength_from(weight_decay=0.0) == 0.0


def test_priors(x64):
    """n times the objective is the negative log-posterior up to a constant: its differences are equal."""
    x, y = ls.datasets.o_rings()
    x, n = (x - x.mean()) / x.std(), len(x)
    gauss = ls.neuron(x, y, penalty=ls.l2(ls.strength_from(prior_variance=2.5, n=n)))
    laplace = ls.neuron(x, y, penalty=ls.l1(ls.strength_from(laplace_scale=1.5, n=n)))

    def negative_log_posterior(w, b, log_prior):
        p = problems.sigmoid(w * x + b)
        return -np.sum(y * np.log(p) + (1 - y) * np.log1p(-p)) - log_prior(w) - log_prior(b)

    for objective, log_prior in ((gauss, lambda t: -(t**2) / (2 * 2.5)), (laplace, lambda t: -abs(t) / 1.5)):
        for w, b in ((0.5, -1.0), (-2.0, 0.25)):
            assert_close(n * objective({"w": w, "b": b}), np.asarray(negative_log_posterior(w, b, log_prior)), eps=32)


@pytest.mark.parametrize(
    ("given", "strength"),
    [
        ({"sklearn_C": 2.0, "n": 10}, 1 / 40),
        ({"prior_variance": 2.0, "n": 10}, 1 / 40),
        ({"laplace_scale": 2.0, "n": 10}, 1 / 20),
        ({"weight_decay": 0.5}, 0.25),
        ({"sum_strength": 2.0, "n": 10}, 0.2),
        ({"noise_variance": 0.5}, 0.25),
    ],
)
def test_strengths(given, strength):
    assert ls.strength_from(**given) == pytest.approx(strength, rel=1e-15)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, TypeError, "give exactly one of sklearn_C, .*; got none"),
        ({"sklearn_C": 1.0, "weight_decay": 1.0}, TypeError, "got sklearn_C, weight_decay"),
        ({"sklearn_C": 1.0}, TypeError, "`n`, the number of examples, is needed beside `sklearn_C`"),
        ({"sklearn_C": 0.0, "n": 3}, ValueError, "`sklearn_C` is 0.0; it must be a finite number > 0"),
        ({"prior_variance": float("inf"), "n": 3}, ValueError, "`prior_variance` is inf"),
        ({"laplace_scale": float("nan"), "n": 3}, ValueError, "`laplace_scale` is nan"),
        ({"sum_strength": 1.0, "n": 0}, ValueError, "`n` is 0; it must be at least 1"),
        ({"sum_strength": 1.0, "n": 2.5}, TypeError, r"`n` is 2.5 \(float\); it must be a whole number"),
        ({"weight_decay": -1.0}, ValueError, "`weight_decay` is -1.0; a penalty's strength must be"),
        ({"noise_variance": -1.0}, ValueError, "`noise_variance` is -1.0"),
    ],
)
def test_strength_from_refuses(given, error, message):
    with pytest.raises(error, match=message):
        ls.strength_from(**given)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, TypeError, "give exactly one of sum_learning_rate, scaled; got none"),
        ({"sum_learning_rate": 0.1}, TypeError, "`n`, the number of examples, is needed beside `sum_learning_rate`"),
        ({"sum_learning_rate": 0.0, "n": 3}, ValueError, "`sum_learning_rate` is 0.0"),
        ({"scaled": (0.1, -1.0)}, ValueError, r"`scaled\[1\]` is -1.0"),
    ],
)
def test_learning_rate_from_refuses(given, error, message):
    with pytest.raises(error, match=message):
        ls.learning_rate_from(**given)
