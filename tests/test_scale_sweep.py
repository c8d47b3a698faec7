"""Weights multiplied by a number: known risks, decisions, outputs and saturation, by activation; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies

import landscape as ls
from landscape.analysis.scale_sweep import agreement, scale_sweep
from landscape.surfaces.saturation import saturation
from tests import problems
from tests.closeness import assert_close

ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}
SCALES = np.array([0.01, 0.5, 1.0, 3.0, 100.0])
X, LABELS = problems.classification(21, 40, 2)
RNG = np.random.default_rng(7)
HIDDEN, OUTPUT = (RNG.normal(size=shape).astype(np.float32) for shape in ((2, 5), (5, 3)))
CLASSES = RNG.integers(0, 3, 40).astype(np.int32)


class Network:
    """Two layers without biases, x → f(x·hidden)·output: predict, losses, and the hidden units' z."""

    def __init__(self, activation):
        self.f = ACTIVATIONS[activation]

    def preactivations(self, params, batch):
        return batch[0] @ params["hidden"]["kernel"]

    def predict(self, params, x):
        return self.f(self.preactivations(params, (x,))) @ params["output"]["kernel"]

    def losses(self, params, batch):
        scores = self.predict(params, batch[0])
        return jax.nn.logsumexp(scores, axis=1) - jnp.take_along_axis(scores, batch[1][:, None], axis=1)[:, 0]


def network(activation, x=X, y=CLASSES, hidden=HIDDEN, output=OUTPUT, **options):
    own = Network(activation)
    params = {"hidden": {"kernel": hidden}, "output": {"kernel": output}}
    return ls.Objective(own.losses, (x, y), params=params, **({"predict": own.predict} | options))


# One example whose two hidden units see z = (1, 0.1), scores (f(z₁), 1.2·f(z₂)), and z = (100, 10): the same ratio.
WEIGHTS = np.array([[1.0, 0.1]], np.float32)
UNEQUAL = np.array([[1.0, 0.0], [0.0, 1.2]], np.float32)
FIRST_LAYER = {"hidden": {"kernel": True}, "output": {"kernel": False}}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_same_ratio_decides_otherwise_where_units_saturate(activation):
    """(1, 0.1) and (100, 10): class 0 stays, but for sigmoid and tanh, whose units are both at their limit, 1 < 1.2."""
    x, y = np.ones((1, 1), np.float32), np.zeros(1, np.int32)
    objective = network(activation, x, y, WEIGHTS, UNEQUAL)
    found = scale_sweep(objective, objective.params, [1.0, 100.0], scope=FIRST_LAYER)
    saturates = activation in ("sigmoid", "tanh")
    assert found.agreement.values.tolist() == found.accuracy.values.tolist() == [1, 0 if saturates else 1]
    z = np.array([[1.0, 0.1], [100.0, 10.0]])
    curves = {
        "identity": z,
        "relu": z,
        "softplus": problems.softplus(z),
        "sigmoid": problems.sigmoid(z),
        "tanh": np.tanh(z),
    }
    scores = curves[activation] * [1, 1.2]
    assert_close(found.risk, problems.softplus(scores[:, 1] - scores[:, 0]), eps=64, scale=1e-30)
    assert_close(found.output_change[1], np.abs(scores[1] - scores[0]).mean(), eps=16)
    assert_close(found.confidence, problems.sigmoid(np.abs(scores[:, 1] - scores[:, 0])), eps=64)
    assert found.output_change[0] == 0 and found.attrs["not_measured"] == ""


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_homogeneous_networks_keep_their_decisions(activation):
    """h(c·θ) = c²·h(θ) of two layers: only the risk changes, and how sure the network is."""
    objective = network(activation)
    found = scale_sweep(objective, objective.params, SCALES)
    assert (found.agreement == 1).all() and (found.accuracy == found.accuracy[0]).all()
    out = np.asarray(objective.predict(objective.params, X), np.float64)
    assert_close(found.output_change, np.abs(SCALES**2 - 1) * np.abs(out).mean(), eps=64, scale=1e-2)
    scores = SCALES[:, None, None] ** 2 * out
    softmax = np.exp(scores - scores.max(axis=-1, keepdims=True))
    assert_close(found.confidence, (softmax / softmax.sum(axis=-1, keepdims=True)).max(axis=-1).mean(axis=-1), eps=512)
    assert (np.diff(found.confidence) > 0).all()


@settings(max_examples=10)
@given(strategies.integers(0, 2**31), problems.reals(1e-3, 1e3))
def test_relu_without_biases_decides_the_same_at_every_scale(seed, scale):
    generator = np.random.default_rng(seed)
    hidden, output = (generator.normal(size=w.shape).astype(np.float32) for w in (HIDDEN, OUTPUT))
    params = {"hidden": {"kernel": hidden}, "output": {"kernel": output}}
    assert scale_sweep(RELU, params, [scale]).agreement.item() == 1


RELU = network("relu")


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_large_weights_saturate(activation):
    """More units the larger the scale, until all but those near z = 0 are; the decisions change."""
    objective = network(activation)
    units = saturation(objective, Network(activation).preactivations, activation)
    scales = np.array([1e-3, 0.1, 1.0, 10.0, 1e5])
    found = scale_sweep(objective, objective.params, scales, saturation=units)
    z = scales[:, None, None] * (X.astype(np.float64) @ HIDDEN)
    slope = problems.sigmoid_slope(z) / 0.25 if activation == "sigmoid" else 4 * problems.sigmoid_slope(2 * z)
    assert_close(found.saturated, (slope < 0.01).mean(axis=(1, 2)), eps=16, scale=1.0)
    assert (np.diff(found.saturated) >= 0).all() and found.saturated[0] == 0 and found.saturated[-1] > 0.99
    assert found.mean_derivative[-1] < 1e-3 * found.mean_derivative[0]
    assert found.agreement[2] == 1 and found.agreement[-1] < 0.95
    # At the limit the hidden units are steps: their values are known, and so are the decisions.
    steps = np.sign(z[-1]) if activation == "tanh" else (z[-1] > 0).astype(float)
    limit = (steps @ OUTPUT.astype(np.float64)).argmax(axis=1)
    start = np.asarray(objective.predict(objective.params, X)).argmax(axis=1)
    assert_close(found.agreement[-1], (limit == start).mean(), eps=4)
    assert_close(found.accuracy[-1], (limit == CLASSES).mean(), eps=4)


def test_the_pair_by_its_closed_form(x64):
    """R(c·1, 0) of the pair; a decision that never changes, ever surer, on units that saturate."""
    pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
    found = scale_sweep(pair, {"w": 1.0, "b": 0.0}, SCALES)
    assert found.risk.dtype == np.float64 and found.risk.dims == ("scale",)
    np.testing.assert_allclose(found.risk, problems.pair_risk(SCALES, np.zeros(5)), rtol=1e-13)
    np.testing.assert_allclose(found.objective, found.risk + 0.1 * SCALES**2, rtol=1e-13)
    np.testing.assert_allclose(found.confidence, problems.sigmoid(SCALES), rtol=1e-13)
    np.testing.assert_allclose(found.mean_derivative, problems.sigmoid_slope(SCALES), rtol=1e-12)
    change = np.abs(problems.sigmoid(SCALES) - problems.sigmoid(np.array(1.0)))
    np.testing.assert_allclose(found.output_change, change, rtol=1e-12, atol=1e-15)
    assert (found.agreement == 1).all() and (found.accuracy == 1).all()
    assert found.saturated.values.tolist() == [0, 0, 0, 0, 1]
    assert found.scale.attrs["long_name"] == "scale of the weights"
    assert found.agreement.attrs["long_name"] == "share of decisions that are those at scale 1"


def test_biases_stay_unless_all_are_scaled():
    """w·x + b > 0 with b = −1: c·w moves the threshold 1/(c·w); scaled together they decide the same."""
    objective = ls.neuron(np.array([0.3, 0.7, 1.5, 3.0], np.float32), [0, 0, 1, 1])
    params = {"w": np.float32(1), "b": np.float32(-1)}
    scales = [0.5, 1.0, 2.0, 10.0]
    assert scale_sweep(objective, params, scales).agreement.values.tolist() == [0.75, 1, 0.75, 0.5]
    together = scale_sweep(objective, params, scales, scope="all")
    assert (together.agreement == 1).all() and together.scale.attrs["long_name"] == "scale of the params"
    only_bias = scale_sweep(objective, params, scales, scope={"w": False, "b": True})
    assert only_bias.agreement.values.tolist() == [0.75, 1, 0.75, 0.5]  # thresholds 0.5, 1, 2, 10


def test_one_entry_may_be_scaled():
    """An elementwise mask: w = (1, c)."""
    objective = ls.neuron(X, LABELS, bias=False)
    params = {"w": np.array([1.0, 2.0], np.float32)}
    found = scale_sweep(objective, params, [0.0, 1.0, -2.0], scope={"w": np.array([False, True])})
    for value, w in zip(found.risk.values, ([1, 0], [1, 2], [1, -4]), strict=True):
        assert_close(value, np.asarray(objective.risk({"w": np.array(w, np.float32)})), eps=8)


def test_what_is_frozen_stays():
    """Integers, booleans and random keys are no weights, under a mask of all either."""
    objective = problems.masked()
    everything = {name: name != "b" for name in objective.params}
    for scope in ("weights", everything):
        found = scale_sweep(objective, objective.params, [0.0, 1.0, 2.0], scope=scope)
        for value, c in zip(found.risk.values, (0.0, 1.0, 2.0), strict=True):
            scaled = {**objective.params, "w": jnp.float32(c) * objective.params["w"]}
            assert_close(value, np.asarray(objective.risk(scaled)), eps=16)


def test_negative_scales_and_zero():
    """One layer's decisions are turned around; two linear ones undo it. At 0 the first class, and the label 0."""
    objective = ls.neuron(X, LABELS, bias=False)
    params = {"w": np.array([1.0, 2.0], np.float32)}
    found = scale_sweep(objective, params, [-1.0, 0.0, 1e-30])
    zeros = float((X @ params["w"] < 0).mean())
    # At 1e-30 too: σ(z) is ½ to rounding.
    assert_close(found.agreement, np.array([0, zeros, zeros]), eps=4)
    linear = network("identity")
    found = scale_sweep(linear, linear.params, [-1.0, 0.0])
    first = np.asarray(linear.predict(linear.params, X)).argmax(axis=1) == 0
    assert_close(found.agreement, np.array([1.0, first.mean()]), eps=4)


def test_accuracy_is_that_of_the_surface():
    objective = network("tanh")
    plane = ls.Plane(jax.tree.map(jnp.zeros_like, objective.params), (objective.params,), names=("scale",))
    surface = ls.evaluate(objective, plane, {"scale": SCALES}, quantities=["accuracy"])
    found = scale_sweep(objective, objective.params, SCALES)
    assert_close(found.accuracy, surface.accuracy.to_numpy(), eps=4)
    assert_close(found.risk, surface.risk.to_numpy(), eps=16)
    one_hot = np.eye(3, dtype=np.float32)[CLASSES]
    losses = lambda p, batch: jnp.sum((objective.predict(p, batch[0]) - batch[1]) ** 2, axis=1)  # noqa: E731
    encoded = ls.Objective(losses, (X, one_hot), params=objective.params, predict=objective.predict)
    assert_close(scale_sweep(encoded, objective.params, SCALES).accuracy, surface.accuracy.to_numpy(), eps=4)


def test_batches_and_weights():
    """Means over all batches, weighted as the risk; examples of weight 0 do not count."""
    weights = np.concatenate([np.linspace(0.5, 2.0, 30), np.zeros(10)]).astype(np.float32)
    whole = ls.neuron(X, LABELS, weights=weights)
    params = {"w": np.array([1.0, -0.5], np.float32), "b": np.float32(0.7)}
    found = scale_sweep(whole, params, SCALES)
    z = SCALES[:, None] * (X.astype(np.float64) @ params["w"].astype(np.float64)) + 0.7
    same = (z > 0) == (z[2] > 0)
    assert_close(found.agreement, np.average(same, axis=1, weights=weights), eps=16)
    assert_close(found.accuracy, np.average((z > 0) == (LABELS > 0.5), axis=1, weights=weights), eps=16)
    cuts = [(0, 20), (20, 40)]
    parts = [tuple(a[i:j] for a in (X, LABELS, weights)) for i, j in cuts]
    batched = scale_sweep(whole.with_data(ls.Batches(parts)), params, SCALES)
    for name in ("risk", "agreement", "accuracy", "confidence", "output_change", "saturated", "mean_derivative"):
        assert_close(batched[name], found[name].to_numpy(), eps=32, scale=0.1)


def test_probabilities_of_several_classes_are_no_scores():
    """A predict that ends in a softmax: its largest output is the confidence, as of scores before it."""
    scores = network("tanh")
    probable = network("tanh", predict=lambda p, x: jax.nn.softmax(scores.predict(p, x)))
    found = [scale_sweep(objective, scores.params, SCALES) for objective in (scores, probable)]
    for name in ("confidence", "agreement"):
        assert_close(found[1][name], found[0][name].to_numpy(), eps=64)
    # Probabilities at scale 1 only: elsewhere they are none.
    once = ls.Objective(
        lambda p, batch: jnp.sum(batch[0], axis=1) * p["w"],
        (np.array([[0.25, 0.75]], np.float32), np.array([1], np.int32)),
        params={"w": np.float32(1)},
        predict=lambda p, x: p["w"] * x,
    )
    found = scale_sweep(once, once.params, [1.0, 2.0])
    assert found.confidence[0] == 0.75 and np.isnan(found.confidence[1]) and (found.agreement == 1).all()


def test_no_probability_is_no_decision():
    """NaN at the scales where an output exceeds 1, and flagged."""
    objective = ls.Objective(
        lambda p, batch: (p["w"] * batch[0] + p["b"] - batch[1]) ** 2,
        (np.array([0.2, 0.8], np.float32), np.array([0.0, 1.0], np.float32)),
        params={"w": np.float32(1), "b": np.float32(0)},
        predict=lambda p, x: p["w"] * x + p["b"],
    )
    found = scale_sweep(objective, {"w": np.float32(1), "b": np.float32(0)}, [1.0, 1.2, 2.0])
    assert found.agreement.values[:2].tolist() == [1, 1] and np.isnan(found.agreement[2])
    assert np.isnan(found.confidence[2]) and found.finite.values.tolist() == [True, True, False]


@pytest.mark.parametrize("name", ["identity", "sigmoid", "tanh", "relu", "softplus"])
def test_neurons_decide_alike_whatever_their_activation(name):
    """By the sign of z, in all of which −1 scales the weight, not the bias."""
    x = np.array([-2.0, -1.0, 1.0, 0.5], np.float32)
    objective = ls.neuron(x, [0.0, 0.2, 0.8, 1.0], loss="half_squared_error", activation=name)
    scales = np.array([-1.0, 0.01, 1.0, 100.0])
    found = scale_sweep(objective, {"w": np.float32(1), "b": np.float32(0.3)}, scales)
    same = (scales[:, None] * x + 0.3 > 0) == (x + 0.3 > 0)
    np.testing.assert_array_equal(found.agreement, same.mean(axis=1))


def test_both_must_decide_for_an_agreement():
    """NaN where either is NaN, or a probability outside of [0, 1]."""
    now, before = jnp.array([0.2, 0.8, 0.8, 2.0, 0.8]), jnp.array([0.4, 0.6, 0.4, 0.8, 2.0])
    np.testing.assert_array_equal(agreement(now, before), [1, 1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(agreement(before, now), [1, 1, 0, np.nan, np.nan])
    now, before = jnp.array([[1.0, 2.0], [3.0, 1.0], [1.0, jnp.nan]]), jnp.array([[0.0, 9.0], [0.0, 9.0], [0.0, 9.0]])
    np.testing.assert_array_equal(agreement(now, before), [1, 0, np.nan])
    np.testing.assert_array_equal(agreement(before, now), [1, 0, np.nan])


@pytest.mark.parametrize(
    ("objective", "params", "missing", "why"),
    [
        (
            network("tanh", predict=None),
            None,
            {"output_change", "agreement", "confidence", "accuracy"},
            "output_change, agreement, confidence, accuracy: the objective has no predict",
        ),
        (
            ls.Objective(
                lambda p, d: d["x"] * p["w"], {"x": LABELS}, params={"w": np.float32(1)}, predict=lambda p, x: x
            ),
            None,
            {"output_change", "agreement", "confidence", "accuracy"},
            "output_change, agreement, confidence, accuracy: the data are no tuple (x, …)",
        ),
        (
            ls.neuron(X, 3 * LABELS, loss="half_squared_error", activation="identity"),
            {"w": np.ones(2, np.float32), "b": np.float32(0)},
            {"confidence", "accuracy"},
            "confidence, accuracy: outputs of identity are no probabilities",
        ),
        (
            ls.Objective(
                lambda p, d: (d[0] * p["w"] - d[1]) ** 2,
                (3 * LABELS, LABELS),
                params={"w": np.float32(1)},
                predict=lambda p, x: p["w"] * x,
            ),
            None,
            {"agreement", "confidence", "accuracy"},
            "agreement, confidence, accuracy: outputs at scale 1 are NaN, or no probabilities; let predict return "
            "scores (n, K), dataclasses.replace(objective, predict=…)",
        ),
        (
            network("tanh", predict=lambda p, x: (x @ p["hidden"]["kernel"])[:, :1]),
            None,
            {"agreement", "confidence", "accuracy"},
            "agreement, confidence, accuracy: outputs (40, 1) are no (n, K) or (n,)",
        ),
        (
            ls.Objective(
                lambda p, d: d[1][:, 0] * p["w"],
                (X, LABELS[:, None]),
                params={"w": np.float32(1)},
                predict=lambda p, x: p["w"] * x,
            ),
            None,
            {"accuracy"},
            "accuracy: labels of shape (40, 1) and dtype float32 do not fit outputs (40, 2)",
        ),
        (
            ls.Objective(
                lambda p, d: d[2] * p["w"],
                (X, CLASSES, LABELS),
                params={"w": np.float32(1)},
                predict=lambda p, x: p["w"] * x,
            ),
            None,
            {"accuracy"},
            "accuracy: the data are no pair (x, labels)",
        ),
        (
            ls.Objective(
                lambda p, d: jnp.sum(d[1], axis=1) * p["w"],
                (X, X),
                params={"w": np.float32(1)},
                predict=lambda p, x: p["w"] * x,
            ),
            None,
            {"accuracy"},
            "accuracy: labels are not one-hot",
        ),
    ],
)
def test_what_cannot_be_measured_is_left_out_and_says_why(objective, params, missing, why):
    found = scale_sweep(objective, objective.params if params is None else params, [1.0, 2.0])
    every = {"output_change", "agreement", "confidence", "accuracy"}
    assert every - set(found.data_vars) == missing and found.attrs["not_measured"] == why
    assert np.isfinite(found.risk).all() and found.finite.all()


def test_prepared_params_are_prepared_at_scale_1_too():
    """Scores divided by their own mean size: no scale changes them."""
    objective = ls.Objective(
        lambda given, batch: jnp.square(scores_of(given, batch[0])[:, 0]),
        (X, CLASSES % 2),
        params={"w": HIDDEN[:, :2]},
        prepare=lambda p, batches: (p["w"], jnp.abs(batches[0] @ p["w"]).mean()),
        predict=lambda given, x: scores_of(given, x),
    )
    found = scale_sweep(objective, objective.params, [0.5, 1.0, 4.0], scope="all")
    assert_close(found.risk, np.broadcast_to(found.risk.to_numpy()[1], 3), eps=16)
    assert (found.agreement == 1).all() and (found.output_change < 1e-6).all()


def scores_of(given, x):
    w, size = given
    return x @ w / size


def test_the_second_sweep_compiles_nothing(compilations):
    first = network("tanh")
    scale_sweep(first, first.params, SCALES)
    trained = jax.tree.map(lambda leaf: 2 * leaf, first.params)
    with compilations() as tally:
        scale_sweep(first, trained, 2 * SCALES)
    assert tally.count == 0


def test_equal_outputs_of_unequal_penalties():
    """x₁ = x₂: weights (½, ½) and (1, 0) give equal outputs. l2 prefers (½, ½), l1 neither."""
    spread, sparse = ({"w": np.array(w, np.float32)} for w in ([0.5, 0.5], [1.0, 0.0]))
    x = np.array([[1.0, 1.0], [-2.0, -2.0]], np.float32)
    plain = ls.neuron(x, [1, 0], bias=False)
    assert plain.risk(spread) == plain.risk(sparse)
    assert [float(ls.l2(1.0).value(w)) for w in (spread, sparse)] == [0.5, 1.0]
    assert [float(ls.l1(1.0).value(w)) for w in (spread, sparse)] == [1.0, 1.0]


NEURON, PARAMS = ls.neuron(X, LABELS), {"w": np.ones(2, np.float32), "b": np.float32(0)}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: scale_sweep(X, PARAMS, [1.0]), TypeError, "`objective` is a ndarray; give an Objective"),
        (lambda: scale_sweep(NEURON, {"w": 1.0}, [1.0]), ValueError, "`params` must have the structure of the object"),
        (lambda: scale_sweep(NEURON, PARAMS, []), ValueError, r"`scales` has shape \(0,\); give factors, 1-D, such"),
        (lambda: scale_sweep(NEURON, PARAMS, 2.0), ValueError, r"`scales` has shape \(\); give factors, 1-D, such as"),
        (lambda: scale_sweep(NEURON, PARAMS, [[1.0]]), ValueError, r"`scales` has shape \(1, 1\); give factors"),
        (lambda: scale_sweep(NEURON, PARAMS, [1.0, np.nan]), ValueError, "`scales` holds 1 of 2 values that are not f"),
        (lambda: scale_sweep(NEURON, PARAMS, ["a"]), TypeError, "`scales` must hold real numbers"),
        (lambda: scale_sweep(NEURON, NEURON.params, [1.0]), ValueError, "`params` are 0 wherever `scope` is"),
        (
            lambda: scale_sweep(NEURON, {**PARAMS, "b": np.float32(np.inf)}, [1.0]),
            ValueError,
            "`params 'b'` holds 1 of 1 values that are not finite",
        ),
        (lambda: scale_sweep(NEURON, PARAMS, [1.0], scope="biases"), ValueError, "`scope` is 'biases'; it must be one"),
        (lambda: scale_sweep(NEURON, PARAMS, [1.0], scope={"w": True}), ValueError, "`scope` must be a tree of boole"),
        (
            lambda: scale_sweep(NEURON, PARAMS, [1.0], scope={"w": False, "b": False}),
            ValueError,
            "`scope` 'mask' matches no leaf",
        ),
        (
            lambda: scale_sweep(ls.function(lambda p: p["u"], {"u": 1.0}), {"u": 1.0}, [1.0]),
            ValueError,
            "`scope` 'weights' matches no leaf of the params",
        ),
        (
            lambda: scale_sweep(NEURON, PARAMS, [1.0], saturation=0.01),
            TypeError,
            "`saturation` is a float; give ls.saturation",
        ),
        (
            lambda: scale_sweep(RELU, RELU.params, [1.0], saturation=saturation(NEURON)),
            ValueError,
            "`saturation` was made for an objective with other losses",
        ),
        (
            lambda: scale_sweep(network("tanh", predict=lambda p, x: (x,)), RELU.params, [1.0]),
            TypeError,
            "`objective.predict` returned a tuple; wanted one array of real numbers",
        ),
        (
            lambda: scale_sweep(network("tanh", predict=lambda p, x: x.T), RELU.params, [1.0]),
            ValueError,
            r"`objective.predict` returned shape \(2, 40\); wanted \(40, …\), the examples first",
        ),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_function_without_data_has_a_risk():
    bowl = ls.function(lambda p: p["w"] ** 2, {"w": 1.0})
    found = scale_sweep(bowl, {"w": 3.0}, [0.0, 1.0, 2.0])
    assert found.risk.values.tolist() == [0, 9, 36]
