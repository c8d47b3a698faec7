"""The neuron: its risk against formulas, inputs of one and of many features, example weights, and bad input."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from tests import problems
from tests.closeness import assert_close

NUMPY = {
    "identity": lambda z: z,
    "sigmoid": problems.sigmoid,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "softplus": problems.softplus,
}


@pytest.mark.parametrize("activation", NUMPY)
@pytest.mark.parametrize("features", [None, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_half_squared_error(activation, features, bias):
    """(1/n) Σ ½(f(w·x + b) − y)², for inputs (n,) and (n, d), and h(x) by `predict`."""
    x, y = problems.classification(0, 19, features or 1)
    x = x if features else x[:, 0]
    objective = ls.neuron(x, y, loss="half_squared_error", activation=activation, bias=bias)
    w = np.array([0.5, -1.25, 2.0], np.float32) if features else np.float32(0.75)
    params = {"w": jnp.asarray(w), **({"b": jnp.float32(-0.3)} if bias else {})}
    z = x.astype(np.float64) @ w if features else x * np.float64(w)
    output = NUMPY[activation](z - 0.3 * bias)
    assert_close(objective.risk(params), np.mean(0.5 * (output - y) ** 2), eps=8)
    assert_close(objective.predict(params, x), output, eps=8, scale=1.0)
    assert {name: leaf.shape for name, leaf in objective.params.items()} == {
        name: p.shape for name, p in params.items()
    }


@pytest.mark.parametrize("features", [None, 3])
def test_cross_entropy(features, dtype):
    """(1/n) Σ softplus(z) − yz."""
    x, y = problems.classification(1, 19, features or 1)
    x, y = (x if features else x[:, 0]).astype(dtype), y.astype(dtype)
    w = np.array([0.5, -1.25, 2.0], dtype) if features else np.asarray(0.75, dtype)
    z = (x.astype(np.float64) @ w if features else x.astype(np.float64) * w) + 0.5
    risk = ls.neuron(x, y).risk({"w": jnp.asarray(w), "b": jnp.asarray(0.5, dtype)})
    assert_close(risk, np.mean(problems.softplus(z) - y * z), eps=8)
    assert risk.dtype == dtype


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_example_weights_are_repeated_examples(reduction, x64):
    """Weights 3, 0, 1, 2 are the same as three, no, one and two copies: risk, gradient and curvature."""
    x, y, counts = np.array([1.0, -2.0, 0.5, 3.0]), np.array([1.0, 1.0, 0.0, 0.0]), np.array([3, 0, 1, 2])
    weighted = ls.neuron(x, y, weights=counts, reduction=reduction)
    repeated = ls.neuron(np.repeat(x, counts), np.repeat(y, counts), reduction=reduction)
    params = {"w": jnp.float64(0.7), "b": jnp.float64(-0.2)}
    for derivative in (lambda f: f, jax.grad, jax.hessian):
        assert_close(jax.jit(derivative(weighted.risk))(params), jax.jit(derivative(repeated.risk))(params), scale=1.0)


def test_structure_is_the_linear_model():
    """The risk is the mean of loss(x̃·θ, y) over the structure's columns: weights in order, then the bias."""
    x, y = problems.classification(2, 11, 3)
    objective = ls.neuron(x, y)
    model = objective.structure
    theta = jnp.asarray([0.5, -1.0, 2.0, 0.25])
    assert model.features.shape == (11, 4)
    assert_close(
        jnp.mean(model.loss(model.features @ theta, model.labels)),
        objective.risk({"w": theta[:3], "b": theta[3]}),
    )
    assert ls.neuron(x, y, bias=False).structure.features.shape == (11, 3)


def test_integers_become_the_default_float():
    """ls.datasets are integers: float32 now, float64 with x64 on, without a warning."""
    assert ls.neuron(*ls.datasets.pair()).params["w"].dtype == jnp.float32
    assert ls.neuron([1, 2], [True, False]).data[1].tolist() == [1.0, 0.0]
    with jax.enable_x64(True):
        assert ls.neuron(*ls.datasets.pair()).params["w"].dtype == jnp.float64


def test_float64_input_without_x64_warns_once():
    """One warning that names the arguments and points at the caller's line; none for lists, float32, or with x64 on."""
    x, y = np.array([-1.0, 1.0]), np.array([0.0, 1.0])
    with pytest.warns(UserWarning, match="`x and y` is float64 but JAX's x64 mode is off.*jax_enable_x64") as caught:
        objective = ls.neuron(x, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert objective.params["w"].dtype == jnp.float32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ls.neuron(x.astype(np.float32), y.astype(np.float32))
        ls.neuron([-0.5, 1.0], [0.0, 1.0])
        with jax.enable_x64(True):
            ls.neuron(x, y)


def test_data_sets():
    """The pair, and the 23 launches with 7 failures, as integers."""
    x, y = ls.datasets.pair()
    assert (x.tolist(), y.tolist()) == ([-1, 1], [0, 1])
    temperature, distress = ls.datasets.o_rings()
    assert temperature.shape == distress.shape == (23,)
    assert (temperature.min(), temperature.max(), distress.sum()) == (53, 81, 7)
    assert temperature[distress == 1].tolist() == [70, 57, 63, 70, 53, 75, 58]


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "message"),
    [
        ([1.0, np.nan, np.inf], [0, 1, 1], {}, ValueError, r"`x` holds 2 of 3 values that are not .* NaN, at index 1"),
        ([[1.0, 2.0], [3.0, -np.inf]], [0, 1], {}, ValueError, r"`x` holds 1 of 4 .* is infinite, at index \(1, 1\)"),
        ([1, 2], [0.0, np.nan], {}, ValueError, r"`y` holds 1 of 2 values that are not finite; .* NaN, at index 1"),
        ([], [], {}, ValueError, "`x` has no examples; give at least one"),
        ([1, 2, 3], [0, 1], {}, ValueError, "`x` has 3 examples but `y` has 2; give one label an example"),
        ([1, 2], [[0], [1]], {}, ValueError, r"`y` has shape \(2, 1\); labels are \(n,\).*: pass y\[:, 0\]"),
        ([1, 2], [[0, 1], [1, 0]], {}, ValueError, r"`y` has shape \(2, 2\); labels are \(n,\)"),
        (1.0, [1], {}, ValueError, r"`x` has shape \(\); inputs are \(n,\) for one feature or \(n, d\)"),
        (np.zeros((2, 0), int), [0, 1], {}, ValueError, r"`x` has shape \(2, 0\); inputs are"),
        (np.zeros((2, 1, 1), int), [0, 1], {}, ValueError, r"`x` has shape \(2, 1, 1\)"),
        ([1, 2, 3], [-1, 1, -1], {}, ValueError, r"`y` holds labels outside \[0, 1\] \(2 of 3\), the first is -1 at"
            r" index 0;.*For labels ±1 pass \(y \+ 1\) / 2"),
        ([1, 2], [0, 2], {}, ValueError, r"`y` holds labels outside \[0, 1\] \(1 of 2\), the first is 2 at index 1;"
            r" cross-entropy needs probabilities\. For other targets"),
        (["a", "b"], [0, 1], {}, TypeError, r"`x` must hold real numbers, got dtype <U1"),
        ([1j, 2], [0, 1], {}, TypeError, r"`x` must hold real numbers, got dtype complex128"),
        ([[1, 2], [3]], [0, 1], {}, ValueError, r"`x` is not one array: .*Give rows of equal length"),
        ([1, 2], [0, 1], {"loss": "hinge"}, ValueError, r"`loss` is 'hinge'; it must be one of 'cross_entropy',"),
        ([1, 2], [0, 1], {"activation": "gelu"}, ValueError, r"`activation` is 'gelu'; it must be one of"),
        ([1, 2], [0, 1], {"activation": "tanh"}, ValueError, r"`activation` is 'tanh', but loss=.cross_entropy. needs"),
        ([1, 2], [0, 1], {"reduction": "max"}, ValueError, r"`reduction` is 'max'; it must be one of 'mean', 'sum'"),
        ([1, 2], [0, 1], {"weights": [1]}, ValueError, r"`weights` has shape \(1,\); wanted \(2,\)"),
        ([1, 2], [0, 1], {"weights": [1, -1]}, ValueError, r"`weights` must be ≥ 0 and not all 0"),
        ([1, 2], [0, 1], {"weights": [0, 0]}, ValueError, r"`weights` must be ≥ 0 and not all 0"),
        ([1, 2], [0, 1], {"weights": [1, np.nan]}, ValueError, r"`weights` holds 1 of 2 values that are not finite"),
        ([1, 2], [0, 1], {"penalty": 0.1}, TypeError, r"`penalty` is a float; make one with ls.l2\(0.1\)"),
    ],
)  # fmt: skip
def test_bad_input(x, y, options, error, message):
    """What the argument is called, what came, what was wanted, what to do."""
    with pytest.raises(error, match=message):
        ls.neuron(x, y, **options)


def test_labels_need_not_be_probabilities_under_squared_error():
    """±1, or any number."""
    objective = ls.neuron([1, 2], [-1, 7], loss="half_squared_error", activation="tanh")
    assert_close(objective.risk({"w": 0.0, "b": 0.0}), np.asarray((0.5 + 24.5) / 2))
