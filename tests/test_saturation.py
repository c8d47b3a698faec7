"""Saturation: shares of saturated units and mean |f'|, against NumPy; weights, padding, NaN; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies

import landscape as ls
from landscape.surfaces.saturation import saturation
from tests import problems
from tests.closeness import assert_close

X, Y = (a[:, 0] if a.ndim == 2 else a for a in problems.classification(11, 29, 1))
AXES = {"w": np.array([-30.0, -1.0, 0.0, 4.0]), "b": np.array([-3.0, 0.5])}
W, B = np.meshgrid(*AXES.values(), indexing="ij")
Z = W[..., None] * X.astype(np.float64) + B[..., None]  # (4, 2, n)
DERIVATIVES = {
    "identity": np.ones_like,
    "sigmoid": problems.sigmoid_slope,
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
    "relu": lambda z: (z > 0).astype(float),
    "softplus": problems.sigmoid,
}
STEEPEST = {"sigmoid": 0.25}
NEURONS = {
    name: ls.neuron(X, Y, loss="half_squared_error", activation=name)
    for name in ("identity", "tanh", "relu", "softplus")
}
NEURONS["sigmoid"] = ls.neuron(X, Y)


def neuron(name: str, x: object = X, y: object = Y, **options: object) -> ls.Objective:
    options |= {} if name == "sigmoid" else {"loss": "half_squared_error", "activation": name}
    return ls.neuron(x, y, **options)


def surface(objective, quantity, axes=AXES, **options):
    return ls.evaluate(objective, ls.axes_plane(objective.params, *axes), axes, quantities=[quantity], **options)


def expected(name, threshold=0.01, z=Z, weights=None):
    """(share, mean) over the last axis."""
    size = DERIVATIVES[name](z)
    below = size < threshold * STEEPEST.get(name, 1.0)
    return tuple(np.average(v, axis=-1, weights=weights) for v in (below, size))


@pytest.mark.parametrize("name", DERIVATIVES)
def test_units_of_a_neuron(name):
    """Its activation is known: half squared errors, and cross-entropy."""
    found = surface(NEURONS[name], saturation(NEURONS[name]))
    assert found.saturated.dims == ("w", "b") and found.finite.all()
    share, mean = expected(name)
    assert_close(found.saturated, share, eps=16, scale=1.0)
    assert_close(found.mean_derivative, mean, eps=64, scale=1e-2)


@pytest.mark.parametrize("name", ["sigmoid", "relu"])
def test_units_of_a_weighted_neuron_in_batches(name, x64):
    weights = np.linspace(0.0, 2.0, 29)
    objective = neuron(name, X.astype(float), Y.astype(float), weights=weights)
    found = surface(objective, saturation(objective, threshold=0.5), batch_size=7)
    share, mean = expected(name, 0.5, weights=weights)
    assert found.saturated.dtype == np.float64
    assert_close(found.saturated, share, eps=16, scale=1.0)
    assert_close(found.mean_derivative, mean, eps=64, scale=1e-2)


def test_half_squared_errors_of_a_sigmoid_have_its_derivative():
    objective = ls.neuron(X, Y, loss="half_squared_error", activation="sigmoid")
    found = surface(objective, saturation(objective))
    assert_close(found.mean_derivative, expected("sigmoid")[1], eps=64, scale=1e-2)


@settings(max_examples=15)
@given(strategies.lists(problems.reals(-5.0, 5.0), min_size=9, max_size=9))
def test_saturation_grows_with_the_weight(x):
    """Of a sigmoid at z = w·x: |z| grows with |w|, and σ' falls with |z|."""
    objective = ls.neuron(np.array(x, np.float32), np.arange(9) % 2, bias=False)
    size = np.array([0.0, 0.5, 1.0, 3.0, 9.0, 30.0])
    found = surface(objective, saturation(objective), {"w": np.concatenate([size, -size])})
    shares, means = (found[name].to_numpy().reshape(2, 6) for name in ("saturated", "mean_derivative"))
    assert (np.diff(shares) >= 0).all() and (np.diff(means) <= 1e-7).all()
    assert shares.min() >= 0 and shares.max() <= 1
    np.testing.assert_array_equal(shares[0], shares[1])  # σ' is even


def test_the_threshold_is_a_share_of_the_steepest_slope():
    """σ' < ¼·threshold beyond |z| = 2·artanh(√(1 − threshold)): 5.99 at 0.01."""
    edge = 2 * np.arctanh(np.sqrt(0.99))
    objective = ls.neuron([1.0], [1.0], bias=False)
    found = surface(objective, saturation(objective), {"w": np.array([-1.001, -0.999, 0.999, 1.001]) * edge})
    assert found.saturated.values.tolist() == [1, 0, 0, 1]
    found = surface(objective, saturation(objective, threshold=1e-12), {"w": np.array([28.9, 29.1])})
    assert found.saturated.values.tolist() == [0, 1]  # e^−z = 2.5e-13 at 29.02: no 1 − |f'| that would round


HIDDEN = np.random.default_rng(3).normal(size=(40, 6)).astype(np.float32)
INPUTS = np.random.default_rng(4).normal(size=(31, 40)).astype(np.float32)


def hidden(params, batch):
    return batch[0] @ params["hidden"]


def masked_losses(params, batch):
    """Only examples with label 1 count."""
    x, y = batch
    return jnp.square(jnp.tanh(hidden(params, batch)).sum(axis=1)), y.astype(x.dtype)


def network(labels=None):
    return ls.Objective(
        masked_losses, (INPUTS, np.ones(31, np.float32) if labels is None else labels), params={"hidden": HIDDEN}
    )


LINE = ls.Plane({"hidden": np.zeros_like(HIDDEN)}, ({"hidden": HIDDEN},), names=("c",))
SCALES = {"c": np.array([0.01, 0.2, 1.0, 5.0])}
HIDDEN_Z = SCALES["c"][:, None, None] * (INPUTS.astype(np.float64) @ HIDDEN)  # (4, n, 6)


@pytest.mark.parametrize("batch_size", [None, 8])
def test_units_of_a_network(batch_size):
    """All examples and units, the weights those of the losses; hoisted, and in batches."""
    labels = (np.arange(31) % 3 > 0).astype(np.float32)
    objective = network(labels)
    assert saturation(objective, hidden, "tanh") == saturation(objective, hidden, ls.activation("tanh"))
    for f in ("tanh", jnp.tanh) if batch_size is None else ("tanh",):
        quantity = saturation(objective, hidden, f, threshold=0.1)
        found = ls.evaluate(objective, LINE, SCALES, quantities=[quantity], batch_size=batch_size)
        assert found.attrs["hoisted"]
        sizes = 1 / np.cosh(HIDDEN_Z[:, labels > 0]) ** 2
        assert_close(found.saturated, (sizes < 0.1).mean(axis=(1, 2)), eps=16, scale=1.0)
        assert_close(found.mean_derivative, sizes.mean(axis=(1, 2)), eps=128, scale=0.1)


def test_any_elementwise_function():
    """gelu is steeper than 1: max f' = 1.1289 at z = √2. Its derivative has a zero, at z = −0.7518."""
    objective = network()
    quantity = saturation(objective, lambda p, batch: hidden(p, batch).reshape(-1, 2, 3), jax.nn.gelu)
    exact = saturation(objective, hidden, lambda z: jax.nn.gelu(z, approximate=False))
    assert exact.steepest == pytest.approx(1.12890, abs=1e-5)
    sizes = np.abs(np.asarray(jax.vmap(jax.grad(jax.nn.gelu))(jnp.asarray(HIDDEN_Z.ravel(), "float32"))))
    found = ls.evaluate(objective, LINE, SCALES, quantities=[quantity])
    assert_close(found.mean_derivative, sizes.reshape(4, -1).mean(axis=1), eps=128, scale=0.1)
    share = (sizes.reshape(4, -1) < 0.01 * quantity.steepest).mean(axis=1)
    assert_close(found.saturated, share, eps=16, scale=1.0)
    for f, steepest in ((jax.nn.relu, 1), (jax.nn.softplus, 1), (lambda z: 3 * jnp.tanh(z), 3)):
        assert saturation(objective, hidden, f).steepest == pytest.approx(steepest, abs=1e-6)


def test_padding_does_not_count_and_nan_stays():
    """Weight 0: neither the example, nor its NaN. Another NaN makes both results NaN, relu's comparison included."""

    def losses(params, batch):
        return jnp.zeros_like(batch[1]) * params["w"], batch[1]

    def line(params, batch):
        return params["w"] * jnp.where(batch[0] < -5, jnp.nan, batch[0])

    x = np.array([[1.0], [-1.0], [2.0], [-9.0]], np.float32)
    for last, wanted in ((0.0, [1 / 3, 2 / 3]), (1.0, [np.nan, np.nan])):
        data = (x, np.array([1.0, 1.0, 1.0, last], np.float32))
        objective = ls.Objective(losses, data, params={"w": np.float32(1)})
        for f in ("relu", jax.nn.relu):
            found = surface(objective, saturation(objective, line, f), {"w": [1.0]}, batch_size=1)
            assert bool(found.finite.item()) == (last == 0)
            assert_close(np.stack([found.saturated, found.mean_derivative])[:, 0], np.array(wanted, "float32"))


def test_one_overflowing_unit_is_saturated():
    """z = ∞: σ' = 0, no NaN."""
    objective = ls.neuron(np.array([3e38], np.float32), [1.0], bias=False)
    found = surface(objective, saturation(objective), {"w": [10.0]})
    assert found.saturated.item() == 1 and found.mean_derivative.item() == 0


def test_integers_and_splits():
    """Other data may be integers; each split has its own share."""
    objective = ls.neuron(X, Y)
    other = (np.array([[0], [100]]), np.array([0, 1]))
    axes = {"w": [1.0], "b": [0.0]}
    found = surface(objective, saturation(objective), axes, data={"own": (X[:, None], Y), "other": other})
    assert found.saturated.sel(split="other").item() == 0.5
    objective = ls.neuron([-1, 100], [0, 1])
    assert surface(objective, saturation(objective), axes).saturated.item() == 0.5


def test_made_again_it_is_equal_and_compiles_nothing(compilations):
    first = neuron("tanh")
    surface(first, saturation(first))
    second = neuron("tanh", X + np.float32(1))
    plane = ls.axes_plane(second.params, *AXES)
    again = saturation(second)
    assert again == saturation(first) and hash(again) == hash(saturation(first))
    assert again != saturation(first, threshold=0.1) and again != saturation(neuron("relu"))
    with compilations() as tally:
        ls.evaluate(second, plane, AXES, quantities=[again])
    assert tally.count == 0


def test_other_quantities_are_as_without_it():
    objective = ls.neuron(X, Y)
    found = surface(objective, saturation(objective))
    alone = ls.evaluate(objective, ls.axes_plane(objective.params, *AXES), AXES, exact=True)
    assert_close(found.risk, alone.risk.to_numpy(), eps=8)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: saturation(X), TypeError, "`objective` is a ndarray; give an Objective"),
        (lambda: saturation(network()), ValueError, "`preactivations` is missing, and `objective` is no ls.neuron"),
        (
            lambda: saturation(neuron("relu"), activation="tanh"),
            ValueError,
            "`activation` is given without `preactivations`; a neuron's is known",
        ),
        (lambda: saturation(network(), HIDDEN, "tanh"), TypeError, "`preactivations` is a ndarray; give preactivat"),
        (lambda: saturation(network(), lambda p: 0, "tanh"), TypeError, r"`preactivations` is called as .*\(params, b"),
        (lambda: saturation(network(), hidden), TypeError, "`activation` is a NoneType; beside `preactivations` give"),
        (lambda: saturation(network(), hidden, "gelu"), ValueError, "`activation` is 'gelu'; it must be one of 'ident"),
        (
            lambda: saturation(network(), hidden, lambda z: jnp.stack([z, z])),
            ValueError,
            r"`activation` returned shape \(2,\) for one number; give an elementwise",
        ),
        (lambda: saturation(network(), hidden, jnp.square), ValueError, "`activation` has slopes up to 64 within"),
        (lambda: saturation(network(), hidden, jnp.sign), ValueError, "`activation` has slope 0 everywhere"),
        (lambda: saturation(NEURONS["tanh"], threshold=0), ValueError, "`threshold` is 0; it must be a finite number"),
        (lambda: saturation(NEURONS["tanh"], threshold=2), ValueError, r"`threshold` is 2; .* give one in \(0, 1\]"),
        (lambda: saturation(NEURONS["tanh"], threshold="a"), TypeError, "`threshold` must be one number, got str"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("preactivations", "error", "message"),
    [
        (lambda p, batch: (hidden(p, batch),), TypeError, r"`preactivations` returned a tuple; wanted z \(31, units"),
        (
            lambda p, batch: jax.lax.complex(*[hidden(p, batch)] * 2),
            TypeError,
            "`preactivations` returned complex numbers; wanted z",
        ),
        (lambda p, batch: hidden(p, batch).T, ValueError, r"`preactivations` returned shape \(6, 31\); wanted \(31, u"),
        (lambda p, batch: hidden(p, batch)[:, :0], ValueError, r"`preactivations` returned shape \(31, 0\); wanted"),
    ],
)
def test_what_preactivations_may_not_return(preactivations, error, message):
    objective = network()
    with pytest.raises(error, match=message):
        ls.evaluate(objective, LINE, SCALES, quantities=[saturation(objective, preactivations, "tanh")])
