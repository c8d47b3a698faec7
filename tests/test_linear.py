"""What certificates and closed forms read of an objective."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.minima._linear import linear

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]])


def test_the_objective_is_the_sum_that_it_says(x64):
    weights = np.array([1.0, 2.0, 3.0])
    for reduction in ("mean", "sum"):
        objective = ls.neuron(
            X, [0, 1, 1], weights=weights, reduction=reduction, penalty=ls.weight_decay(0.1) + ls.l1(0.01)
        )
        read = linear(objective, "attainment")
        assert read.names == ("w[0]", "w[1]", "b") and read.l2.tolist() == [0.05, 0.05, 0]
        theta = np.array([0.3, -0.2, 0.1])
        losses = read.loss(jnp.asarray(read.features @ theta), jnp.asarray(read.labels))
        found = read.weights @ losses + read.l1 @ abs(theta) + read.l2 @ theta**2
        np.testing.assert_allclose(found, objective(read.params(theta)), rtol=1e-14)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_params_and_back(shape, x64):
    for bias in (True, False):
        read = linear(ls.neuron(X, [0, 1, 1], bias=bias), "attainment")
        theta = np.random.default_rng(0).normal(size=(*shape, 3 if bias else 2))
        params = read.params(theta)
        assert params["w"].shape == (*shape, 2) and sorted(params) == (["b", "w"] if bias else ["w"])
        np.testing.assert_array_equal(read.theta(params), theta)


def test_columns_of_one_s_own(x64):
    """Named leaves in the order of the columns, whatever the order in the tree."""

    def losses(params, batch):
        return 0.5 * (batch[0][:, 0] * params["slope"] + params["intercept"] - batch[1]) ** 2

    structure = ls.LinearModel(
        jnp.stack([X[:, 0], jnp.ones(3)], axis=1),
        jnp.asarray(X[:, 1]),
        ls.neuron(X[:, 0], X[:, 1], loss="half_squared_error", activation="identity").structure.loss,
        leaves=("slope", "intercept"),
    )
    params = {"intercept": 0.0, "slope": 0.0}
    objective = ls.Objective(losses, (X[:, :1], X[:, 1]), params=params, structure=structure)
    read = linear(objective, "attainment")
    assert read.names == ("slope", "intercept")
    assert jax.tree.map(float, read.params(np.array([2.0, 1.0]))) == {"intercept": 1.0, "slope": 2.0}
    wrong = ls.Objective(
        losses, (X[:, :1], X[:, 1]), params=params, structure=ls.neuron(X[:, 0], X[:, 1] > 0).structure
    )
    with pytest.raises(ValueError, match=r"has 2 columns for the leaves w, b; the params are intercept.*slope"):
        linear(wrong, "attainment")


def test_without_a_structure():
    bowl = ls.function(lambda p: p["u"] ** 2, {"u": 1.0})
    with pytest.raises(ValueError, match=r"`objective` has no `structure`, which is what attainment reads"):
        linear(bowl, "attainment")
    with pytest.raises(TypeError, match="`objective` is a function"):
        linear(lambda p: p, "attainment")


SQUARE = ls.pointwise_loss("half_squared_error", "identity")


def squares(params, batch):
    return 0.5 * (batch[0] @ params["w"] - batch[1]) ** 2


def of_one_s_own(loss=SQUARE, losses=squares, weights=None, **params):
    data = (X, np.array([0.0, 1.0, 1.0]))
    structure = ls.LinearModel(jnp.asarray(X), jnp.asarray(data[1]), loss, weights, leaves=("w",))
    return ls.Objective(losses, data, params={"w": np.zeros(2), **params}, structure=structure)


def test_frozen_leaves_have_no_columns(x64):
    read = linear(of_one_s_own(k=np.int32(3)), "attainment")
    assert read.names == ("w[0]", "w[1]") and read.params(np.array([1.0, 2.0]))["k"] == 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: of_one_s_own(ls.pointwise_loss("cross_entropy")),
        lambda: of_one_s_own(weights=jnp.array([1.0, 1.0, 3.0])),
        lambda: of_one_s_own(losses=lambda p, batch: squares({"w": p["w"][::-1]}, batch)),
    ],
    ids=["loss", "weights", "order"],
)
def test_a_structure_that_contradicts_the_losses_is_refused(wrong, x64):
    with pytest.raises(ValueError, match="`structure` contradicts `losses`: at params"):
        linear(wrong(), "attainment")


def test_losses_by_name():
    with pytest.raises(TypeError, match=r"`loss` is a str; give ls\.pointwise_loss"):
        ls.LinearModel(jnp.ones((2, 1)), jnp.ones(2), "cross_entropy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs probabilities"):
        ls.pointwise_loss("cross_entropy", "tanh")
    assert ls.pointwise_loss("cross_entropy") == ls.neuron([1.0], [1.0]).structure.loss


def test_small_weights_count(x64):
    """Beside some of 1e200, in a mean as in a sum."""
    weights = [1e200, 1e200, 1e-200, 0.0]
    for reduction in ("mean", "sum"):
        read = linear(ls.neuron([-1.0, 1, 2, -2], [0, 1, 0, 1], weights=weights, reduction=reduction), "attainment")
        assert (read.weights > 0).tolist() == [True, True, True, False]
