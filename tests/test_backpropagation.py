"""Backpropagation by the recursion: equal to autodiff and to finite differences, sums over next units, refusals."""

import itertools
import warnings
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import landscape as ls
from tests.closeness import assert_close

KEY = jax.random.key(0)
CROSS_ENTROPY, SQUARED = "cross_entropy", "half_squared_error"
DEPTHS = {2: (3, 2), 3: (3, 4, 2), 4: (3, 5, 4, 2)}


def problem(network, n=5, dtype="float32", seed=0):
    """Params, inputs and targets: probabilities where the loss needs them."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, network.sizes[0])), rng.normal(size=(n, network.sizes[-1]))
    if network.loss == CROSS_ENTROPY:
        y = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    layers = enumerate(itertools.pairwise(network.sizes), 1)
    params = {f"layer{i}": {"W": rng.uniform(-1, 1, (n, m)), "b": rng.uniform(-1, 1, m)} for i, (n, m) in layers}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf.astype(dtype)), params), x.astype(dtype), y.astype(dtype)


@partial(jax.jit, static_argnums=0)
def by_autodiff(network, params, x, y):
    """∂R/∂params, and ∂loss/∂z of every layer and example: z is perturbed by zeros, whose derivative it is."""

    def total(zeros, params):
        a = x
        for i, zero in enumerate(zeros, 1):
            z = a @ params[f"layer{i}"]["W"] + params[f"layer{i}"]["b"][None] + zero
            a = network.hidden(z)
        return network.losses_of(z, y).sum()

    zeros = [jnp.zeros((len(x), units), x.dtype) for units in network.sizes[1:]]
    by_z, by_params = jax.grad(total, argnums=(0, 1))(zeros, params)
    return by_z, jax.tree.map(lambda leaf: leaf / len(x), by_params)


def scale_of(leaf):
    return float(np.abs(np.asarray(leaf)).max())


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("loss, output", [(SQUARED, "identity"), (CROSS_ENTROPY, "softmax")])
def test_the_recursion_is_autodiff_to_rounding(activation, depth, loss, output):
    network = ls.mlp(DEPTHS[depth], activation=activation, output=output, loss=loss)
    params, x, y = problem(network)
    found = ls.backpropagation(network, params, x, y)
    by_z, by_params = by_autodiff(network, params, x, y)
    # Sums of some ten products of numbers near 1 in float32: rounding is relative to the largest.
    for ours, theirs in zip(
        (*found.delta, *jax.tree.leaves(found.risk_gradient)), (*by_z, *jax.tree.leaves(by_params)), strict=True
    ):
        assert_close(ours, theirs, eps=32, scale=scale_of(theirs))
    assert (found.delta[-1].shape, found.delta[0].shape) == ((5, 2), (5, network.sizes[1]))
    assert found.finite.all() and found.n == 5


@pytest.mark.parametrize(
    "activation, output, loss",
    [
        ("sigmoid", "sigmoid", CROSS_ENTROPY),
        ("softplus", "softmax", SQUARED),
        ("relu", "tanh", SQUARED),
    ],
)
def test_it_passes_as_a_derivation_by_hand(activation, output, loss):
    """Autodiff and finite differences in float64, entry by entry."""
    network = ls.mlp((2, 2, 2), activation=activation, output=output, loss=loss)
    _, x, y = problem(network, n=3)
    objective = network.objective(x, y, penalty=ls.weight_decay(0.3))

    def formula(params):
        return ls.backpropagation(network, params, x, y, penalty=ls.weight_decay(0.3)).gradient

    check = ls.check_gradient(objective, formula, problem(network, seed=1)[0])
    assert check.ok and check.errors.max() < 1e-13 and not check.suspect.any(), str(check)


def test_the_penalty_has_a_share_of_its_own():
    """∂J/∂W = mean of a δᵀ + λW; ∂J/∂b has no λb. An l1 at 0 has its least subgradient."""
    network = ls.mlp((3, 4, 2))
    params, x, y = problem(network)
    found = ls.backpropagation(network, params, x, y, penalty=ls.weight_decay(0.25))
    for layer, before, delta in (("layer1", found.inputs, found.delta[0]), ("layer2", found.a[0], found.delta[1])):
        outer = np.einsum("ni,nj->ij", *(np.asarray(v, "float64") for v in (before, delta))) / 5
        assert_close(found.risk_gradient[layer]["W"], outer, eps=16, scale=scale_of(outer))
        assert_close(
            found.gradient[layer]["W"], outer + 0.25 * np.asarray(params[layer]["W"]), eps=16, scale=scale_of(outer)
        )
        assert_close(found.gradient[layer]["b"], found.risk_gradient[layer]["b"])
        assert_close(found.risk_gradient[layer]["b"], np.asarray(delta).mean(axis=0), eps=16, scale=scale_of(delta))
    zero = jax.tree.map(jnp.zeros_like, params)
    lasso = ls.backpropagation(network, zero, x, y, penalty=ls.l1(100.0))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(lasso.gradient))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(lasso.risk_gradient))


@given(st.integers(0, 2**31 - 1))
def test_a_unit_s_error_is_the_sum_over_the_units_it_feeds(seed):
    network = ls.mlp((3, 5, 4, 2), activation="sigmoid")
    found = ls.backpropagation(network, *problem(network, seed=seed))
    assert [s.shape for s in found.summands] == [(5, 3, 5), (5, 5, 4), (5, 4, 2)]
    for summands, slope, delta in zip(found.summands[1:], found.derivatives, found.delta[:-1], strict=True):
        summands, slope = np.asarray(summands), np.asarray(slope)
        scale = float((np.abs(summands).sum(axis=2) * slope).max())  # the sum itself may cancel
        assert_close(summands.sum(axis=2) * slope, delta, eps=16, scale=scale)


def test_summands_of_an_input_are_the_derivative_by_it_and_those_of_one_example_are_a_row():
    network = ls.mlp((3, 4, 2), activation="tanh")
    params, x, y = problem(network)
    found = ls.backpropagation(network, params, x, y)
    slopes = jax.grad(lambda x: network.losses(params, (x, jnp.asarray(y))).sum())(jnp.asarray(x))
    assert_close(np.asarray(found.summands[0]).sum(axis=2), slopes, eps=32, scale=scale_of(slopes))
    for all_of_them, one in zip(found.summands, found.summands_of(3), strict=True):
        np.testing.assert_array_equal(np.asarray(all_of_them)[3], one)


def test_known_answer_of_two_layers_by_hand():
    """One unit a layer, tanh: δ² = w₂ tanh(w₁x) − y, δ¹ = w₂ δ² (1 − tanh²(w₁x))."""
    network = ls.mlp((1, 1, 1))
    params = {
        "layer1": {"W": jnp.full((1, 1), 0.5), "b": jnp.zeros(1)},
        "layer2": {"W": jnp.full((1, 1), -2.0), "b": jnp.zeros(1)},
    }
    x, y = np.array([1.0, -3.0], "float32"), np.array([0.5, 0.0], "float32")
    found = ls.backpropagation(network, params, x, y)
    hidden = np.tanh(0.5 * x.astype("float64"))
    output = -2 * hidden - y
    assert_close(found.delta[1][:, 0], output)
    assert_close(found.delta[0][:, 0], -2 * output * (1 - hidden**2), eps=8)
    assert_close(found.risk_gradient["layer1"]["W"], np.array([[np.mean(-2 * output * (1 - hidden**2) * x)]]), eps=8)


@pytest.mark.parametrize("gap", [5.0, 20.0, 40.0])  # p₁² of float32 is 0 from 52 on
def test_errors_keep_their_precision_where_the_output_saturates(gap):
    """Of two classes, the right one certain: δ = ∓2p₀p₁² under half squared error, though p₀ − 1 would be 0."""
    network = ls.mlp((1, 2), output="softmax")
    params = {"layer1": {"W": jnp.zeros((1, 2)), "b": jnp.array([gap, 0.0])}}
    found = ls.backpropagation(network, params, [[0.0]], [0])
    p0, p1 = 1 / (1 + np.exp(-gap)), 1 / (1 + np.exp(gap))
    expected = np.array([[-2 * p0 * p1 * p1, 2 * p0 * p1 * p1]])
    assert_close(found.delta[0], expected, eps=2 * gap)  # exp(−gap) itself has a rounding of gap·ε
    right = ls.mlp((1, 1), output="sigmoid", loss=CROSS_ENTROPY)
    params = {"layer1": {"W": jnp.zeros((1, 1)), "b": jnp.array([gap])}}
    assert_close(ls.backpropagation(right, params, [[0.0]], [1.0]).delta[0], np.array([[-p1]]), eps=2 * gap)


def test_one_input_one_output_and_classes_may_lack_an_axis():
    network = ls.mlp((1, 3, 1))
    params, x, y = problem(network)
    flat, full = ls.backpropagation(network, params, x[:, 0], y[:, 0]), ls.backpropagation(network, params, x, y)
    assert flat.inputs.shape == (5, 1)
    for a, b in zip(flat.delta, full.delta, strict=True):
        np.testing.assert_array_equal(a, b)
    classes = ls.mlp((2, 3), output="softmax", loss=CROSS_ENTROPY)
    params, x, _ = problem(classes)
    labels = np.array([0, 2, 1, 1, 0])
    rows = ls.backpropagation(classes, params, x, np.eye(3, dtype="float32")[labels])
    assert_close(ls.backpropagation(classes, params, x, labels).delta[0], rows.delta[0])


def test_results_have_the_dtype_of_the_params_and_compile_once(compilations, x64):
    network = ls.mlp((3, 4, 2))
    params, x, y = problem(network, dtype="float32")
    found = ls.backpropagation(network, params, x.astype("float64"), y.astype("float64"))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves((found.delta, found.risk_gradient, found.losses))} == {
        "float32"
    }
    with compilations() as tally:
        ls.backpropagation(ls.mlp((3, 4, 2)), params, x.astype("float64") + 1, y.astype("float64"))
    assert tally.count == 0


def test_narrowed_input_is_said_once():
    network = ls.mlp((3, 2))
    params, x, y = problem(network)
    with pytest.warns(UserWarning, match="`params, x and y` is float64 but JAX's x64 mode is off") as caught:
        ls.backpropagation(network, params, x.astype("float64"), y)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ls.backpropagation(network, params, x.tolist(), y.tolist())


def test_errors_vanish_with_depth_for_the_sigmoid_and_not_for_relu():
    """E‖Wδ‖² is ‖δ‖² where weights have Glorot's variance, so a sigmoid layer multiplies by f' ≤ ¼."""
    norms = {}
    for activation, variance in (("sigmoid", 1 / 32), ("relu", 2 / 32)):
        network = ls.mlp((32,) * 6, activation=activation)
        params, x, y = problem(network, n=20)
        params = {k: {"W": np.sqrt(3 * variance) * layer["W"], "b": 0 * layer["b"]} for k, layer in params.items()}
        found = ls.backpropagation(network, params, x, y)
        data = found.delta_norms()
        norms[activation] = data.delta_rms.to_numpy()
        assert data.delta_rms.dims == ("layer",) and list(data.layer) == [1, 2, 3, 4, 5]
        by_hand = [np.sqrt(np.mean(np.asarray(delta, "float64") ** 2)) for delta in found.delta]
        np.testing.assert_allclose(norms[activation], by_hand, rtol=1e-5)
    assert norms["sigmoid"][0] / norms["sigmoid"][4] < 0.3**4 and norms["relu"][0] / norms["relu"][4] > 0.3
    assert data.delta_rms.attrs["long_name"] == "root mean square of δ" and data.delta_rms.attrs["units"] == "1"


def test_the_root_mean_square_of_tiny_errors_does_not_underflow():
    network = ls.mlp((1, 1, 1), activation="identity")
    params = network.init(KEY, "constant", scale=1e-25)
    norms = ls.backpropagation(network, params, [[0.0]], [1.0]).delta_norms().delta_rms
    np.testing.assert_allclose(norms, [1e-25, 1.0], rtol=1e-6)


def test_what_is_not_finite_stays_and_is_flagged():
    network = ls.mlp((1, 2, 1), activation="relu")
    params = network.init(KEY, "constant", scale=1.0)
    found = ls.backpropagation(network, params, np.array([1.0, 3e38], "float32"), np.zeros(2, "float32"))
    assert found.finite.tolist() == [True, False] and not np.isfinite(found.delta[0][1]).all()
    assert "1 of 2 examples have numbers that are not finite" in str(found)
    broken, smooth = jax.tree.map(lambda leaf: leaf * jnp.nan, params), ls.mlp((1, 2, 1))
    assert np.isnan(ls.backpropagation(smooth, broken, [[1.0]], [0.0]).delta_norms().delta_rms).all()


def test_it_prints_as_a_table_of_the_layers():
    network = ls.mlp((2, 3, 1), activation="sigmoid", output="sigmoid", loss=CROSS_ENTROPY)
    params = network.init(KEY, "constant", scale=0.0)
    lines = str(ls.backpropagation(network, params, [[1.0, 2.0], [0.0, 1.0]], [1.0, 1.0])).splitlines()
    assert lines[0] == (
        "Backpropagation through 2-3-1 (sigmoid, output sigmoid, cross entropy): 2 examples, risk 0.693147"
    )
    assert lines[1].split() == ["layer", "units", "RMS", "δ", "mean", "f′(z)", "‖∂R/∂W‖", "‖∂R/∂b‖"]
    assert [line.split() for line in lines[2:]] == [
        ["1", "3", "0", "0.25", "0", "0"],
        ["2", "1", "0.5", "0.433", "0.5"],  # a = ½ of three units: ½·½·√3
    ]


NETWORK = ls.mlp((3, 4, 2))
PARAMS, X, Y = problem(NETWORK)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ls.backpropagation(nn.Dense(3), PARAMS, X, Y), r"`network` is a Dense; give an ls.mlp\(.*jax.grad"),
        (lambda: ls.backpropagation((3, 4, 2), PARAMS, X, Y), r"`network` is a tuple; give an ls.mlp"),
        (
            lambda: ls.backpropagation(NETWORK, PARAMS["layer1"], X, Y),
            r"`params` are not like the network's(.|\n)*wanted: layer1/W",
        ),
        (
            lambda: ls.backpropagation(NETWORK, jax.tree.map(lambda leaf: leaf[None], PARAMS), X, Y),
            r"`params` are not like(.|\n)*wanted: layer1/W: float32\[3, 4\](.|\n)*got: +layer1/W: float32\[1, 3, 4\]",
        ),
        (lambda: ls.backpropagation(NETWORK, PARAMS, X[:, :2], Y), r"`x` has shape \(5, 2\); this network's inputs"),
        (lambda: ls.backpropagation(NETWORK, PARAMS, X, Y[:4]), r"`y` is float32 of shape \(4, 2\)"),
        (lambda: ls.backpropagation(NETWORK, PARAMS, X * np.float32(np.nan), Y), r"`x` holds 15 of 15 values"),
        (lambda: ls.backpropagation(NETWORK, PARAMS, X, Y, penalty=0.1), r"`penalty` is a float; give ls.weight_decay"),
        (lambda: ls.backpropagation(NETWORK, PARAMS, X, Y).summands_of(5), r"`example` is 5; there are 5: give 0 to 4"),
        (lambda: ls.backpropagation(NETWORK, PARAMS, X, Y).summands_of(-1), r"`example` is -1"),
        (lambda: ls.backpropagation(NETWORK, PARAMS, X, Y).summands_of(1.5), r"`example` is 1.5"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_the_result_is_what_it_says():
    found = ls.backpropagation(NETWORK, PARAMS, X, Y)
    assert isinstance(found, ls.Backpropagation) and repr(found) == str(found)
    assert jax.tree.structure(found.gradient) == jax.tree.structure(PARAMS) == jax.tree.structure(found.risk_gradient)
