"""Accuracy, metrics of one's own, and the Hessian in the plane."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.surfaces.verify import verify
from tests import problems
from tests.closeness import assert_close

X, SIDE = problems.classification(31, 13, 2)
LABELS = (np.arange(13) % 3).astype(np.int32)
W0 = np.random.default_rng(5).normal(size=(2, 3)).astype(np.float32)
AXES = {"w[0, 0]": np.array([-2.0, 0.5, 3.0]), "w[1, 2]": np.array([-1.0, 0.0])}


def scores(params: Any, x: Any) -> Any:
    return x @ params["w"]


def cross_entropies(params: Any, batch: Any) -> Any:
    x, y = batch
    z = scores(params, x)
    one_hot = y if y.ndim == 2 else jax.nn.one_hot(y, 3)
    return jax.nn.logsumexp(z, axis=1) - jnp.sum(z * one_hot, axis=1)


def classifier(y: Any, **options: Any) -> ls.Objective:
    return ls.Objective(cross_entropies, (X, y), params={"w": W0}, **({"predict": scores} | options))


def surface(objective: ls.Objective, *quantities: Any, **options: Any) -> Any:
    return ls.evaluate(objective, ls.axes_plane(objective.params, *AXES), AXES, quantities=quantities, **options)


def all_scores() -> np.ndarray:
    """(3, 2, 13, 3), in NumPy."""
    w = np.broadcast_to(W0.astype(np.float64), (3, 2, 2, 3)).copy()
    w[..., 0, 0], w[..., 1, 2] = AXES["w[0, 0]"][:, None], AXES["w[1, 2]"][None]
    return np.einsum("nd,abdk->abnk", X.astype(np.float64), w)


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("labels", ["integers", "one-hot"])
def test_accuracy_of_scores(labels, batch_size):
    """The share of examples whose largest score is their label's; batches count by their examples."""
    y = LABELS if labels == "integers" else np.eye(3, dtype=np.float32)[LABELS]
    found = surface(classifier(y), "accuracy", batch_size=batch_size)
    assert found.accuracy.dims == tuple(AXES) and found.accuracy.attrs["long_name"] == "accuracy"
    assert_close(found.accuracy, (all_scores().argmax(axis=-1) == LABELS).mean(axis=-1), eps=4)


def test_accuracy_of_a_neuron():
    """Probabilities above ½ against labels 0 and 1."""
    neuron = ls.neuron(X, SIDE)
    axes = {"w[0]": np.array([-1.0, 2.0]), "w[1]": np.array([0.5]), "b": np.array([0.25, -1.0])}
    found = ls.evaluate(neuron, ls.axes_plane(neuron.params, *axes), axes, quantities=("accuracy",))
    w0, w1, b = np.meshgrid(*axes.values(), indexing="ij")
    z = w0[..., None] * X[:, 0] + w1[..., None] * X[:, 1] + b[..., None]
    assert_close(found.accuracy, ((z > 0) == (SIDE > 0.5)).mean(axis=-1), eps=4)


def test_accuracy_is_weighted_as_the_risk_is():
    """Examples of weight 0 are padding; here those of label 2."""
    padded = ls.Objective(
        lambda params, batch: (cross_entropies(params, batch), (batch[1] < 2).astype(jnp.float32)),
        (X, LABELS),
        params={"w": W0},
        predict=scores,
    )
    found = surface(padded, "accuracy", batch_size=5)
    kept = LABELS < 2
    assert_close(found.accuracy, (all_scores().argmax(axis=-1) == LABELS)[..., kept].mean(axis=-1), eps=4)

    weights = np.arange(13, dtype=np.float32) % 4
    neuron = ls.neuron(X, SIDE, weights=weights)
    found = ls.evaluate(neuron, ls.axes_plane(neuron.params, "w[0]"), {"w[0]": [1.0]}, quantities=("accuracy",))
    right = (X[:, 0] > 0) == (SIDE > 0.5)
    assert_close(found.accuracy, np.average(right, weights=weights)[None], eps=4)
    swept = ls.scale_sweep(neuron, {"w": np.float32([1, 0]), "b": 0.0}, [1.0])
    assert_close(swept.accuracy.to_numpy(), found.accuracy.to_numpy(), eps=4)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (
            lambda: classifier(LABELS, predict=None),
            r"has \"accuracy\", which needs an objective with predict\(params, x",
        ),
        (lambda: ls.function(lambda p: jnp.sum(p["w"]), {"w": W0}), "which needs an objective with predict"),
        (lambda: classifier(LABELS, predict=lambda p, x: scores(p, x)[None]), r"predict returned shape \(1, 13, 3\)"),
        (lambda: classifier(LABELS, predict=lambda p, x: scores(p, x)[:5, 0]), r"predict returned shape \(5,\)"),
        (
            lambda: ls.Objective(
                lambda p, d: jnp.sum(d["x"] @ p["w"], axis=1), {"x": X}, params={"w": W0}, predict=scores
            ),
            r"which needs data that are a pair \(x, labels\); else write an ls.Metric",
        ),
    ],
    ids=["no predict", "no data", "3 axes", "short", "no pair"],
)
def test_accuracy_is_refused(objective, message):
    """Where it is not known what is right."""
    with pytest.raises(ValueError, match=message):
        surface(objective(), "accuracy")


def margin(params: Any, batch: Any) -> Any:
    x, _ = batch
    return jnp.max(scores(params, x), axis=1) - scores(params, x)[:, 0]


def weighted(params: Any, batch: Any) -> Any:
    """Only examples of class 1 count, and where one does not, its value may be NaN."""
    values, inside = margin(params, batch), batch[1] == 1
    return jnp.where(inside, values, jnp.nan), inside.astype(jnp.float32)


def test_probabilities_and_one_hot_labels_are_what_they_say():
    """A logit is no probability, a real number no label: NaN, which `finite` flags, and no share of something else."""
    wrong = [
        ls.Objective(
            lambda p, d: jnp.square(d[0] @ p["w"][:, 0] - d[1]),
            (X, SIDE),
            params={"w": 5 * W0},
            predict=lambda p, x: x @ p["w"][:, 0],
        ),
        classifier(np.random.default_rng(0).normal(size=(13, 3)).astype(np.float32)),
    ]
    for objective in wrong:
        with pytest.warns(UserWarning, match="accuracy finite at none of the cells: probabilities and one-hot labels"):
            found = surface(objective, "accuracy")
        assert np.isnan(found.accuracy).all() and not found.finite.any()


def test_accuracy_and_metrics_are_hoisted():
    """The products with the first layer are not done in the cells, as they are not for the risk."""
    x, hidden = np.ones((50, 40), np.float32), np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)

    def predict(params: Any, x: Any) -> Any:
        return jnp.tanh(x @ params["hidden"])

    def entropies(params: Any, batch: Any) -> Any:
        return jax.nn.logsumexp(predict(params, batch[0]), axis=1)

    labels = np.zeros(50, np.int32)
    objective = ls.Objective(entropies, (x, labels), params={"hidden": hidden}, predict=predict)
    plane = ls.Plane(objective.params, ls.random_directions(jax.random.key(0), objective.params, 2))
    axes = {"alpha": [0.0, 1.0], "beta": [0.0]}
    told = ls.explain(objective, plane, axes, quantities=("accuracy", ls.Metric("entropy", entropies)))
    assert "9× float32[50, 30]" in told.hoisted  # three arrays for each of risk, accuracy and entropy
    assert told.operations > 9 * told.operations_left


def test_what_a_metric_reads_may_change():
    """The same function computes something else: it is compiled anew, not looked up."""

    def above(params: Any, batch: Any) -> Any:
        return batch[0][:, 0] > limit

    shares = []
    for end in (-10.0, 10.0):
        limit = end  # read by `above`
        shares.append(float(surface(classifier(LABELS), ls.Metric("share", above)).share[0, 0]))
    assert shares == [1.0, 0.0]


def test_nan_scores_are_no_prediction():
    """The largest of them has an index, but a diverged cell has no accuracy."""
    scores_of_nan = ls.Objective(
        lambda p, d: jnp.square(d[0] @ p["w"][:, 0]),
        (X, LABELS),
        params={"w": W0},
        predict=lambda p, x: jnp.where(p["w"][0, 0] > 1, jnp.nan, x @ p["w"]),
    )
    found = surface(scores_of_nan, "accuracy")
    assert np.isnan(found.accuracy[2]).all() and np.isfinite(found.accuracy[:2]).all()
    assert not found.finite[2].any() and found.finite[:2].all()


def test_an_accuracy_of_ones_own_is_not_verified_as_the_built_in():
    """The name is free where the built-in one is not asked for; `verify` knows which of the two it was."""
    objective = classifier(LABELS)
    own, built_in = surface(objective, ls.Metric("accuracy", margin)), surface(objective, "accuracy")
    assert own.attrs["own_quantities"] == '["accuracy"]' and built_in.attrs["own_quantities"] == "[]"
    assert "accuracy" not in {cell.variable for cell in verify(own, objective, cells=2)}
    assert "accuracy" in {cell.variable for cell in verify(built_in, objective, cells=2)}


def test_what_a_quantity_reads_at_the_end_may_change_too():
    """`finish` is a part of what is compiled."""

    @dataclass(frozen=True)
    class Scaled:
        def accumulate(self, point: Any, batch: Any) -> Any:
            return jnp.sum(point.coordinates)

        def merge(self, a: Any, b: Any) -> Any:
            return a + b

        def finish(self, point: Any, sums: Any, sweep: Any) -> Any:
            return {"scaled": factor * sums}

    found = []
    for value in (1.0, 10.0):
        factor = value  # read by `finish`
        found.append(surface(classifier(LABELS), Scaled()).scaled.to_numpy())
    np.testing.assert_allclose(found[1], 10 * found[0])


def test_metrics_of_a_function_without_data():
    bowl = ls.function(lambda p: jnp.square(p["w"]), {"w": 1.0})
    axes = {"w": [0.0, 2.0]}
    metric = ls.Metric("distance", lambda p, batch: jnp.abs(p["w"])[None])
    found = ls.evaluate(bowl, ls.axes_plane(bowl.params, "w"), axes, quantities=[metric])
    assert found.distance.values.tolist() == [0.0, 2.0]


def test_metrics_are_weighted_means():
    """Of anything per example, booleans too; in batches of any size, beside one another."""
    z = all_scores()
    margins = z.max(axis=-1) - z[..., 0]
    metrics = (
        ls.Metric("margin", margin),
        ls.Metric("ones", weighted),
        ls.Metric("far", lambda p, d: margin(p, d) > 1),
    )
    for batch_size in (None, 4):
        found = surface(classifier(LABELS), "accuracy", *metrics, batch_size=batch_size)
        assert_close(found.margin, margins.mean(axis=-1), eps=32, scale=1.0)
        assert_close(found.ones, margins[..., LABELS == 1].mean(axis=-1), eps=32, scale=1.0)
        assert_close(found.far, (margins > 1).mean(axis=-1), eps=4)
        assert found.finite.all()


@pytest.mark.parametrize(
    ("metric", "error", "message"),
    [
        (ls.Metric("m", lambda p, d: jnp.mean(margin(p, d))), ValueError, r"`m` returned shape \(\); wanted \(13,\)"),
        (ls.Metric("m", lambda p, d: (margin(p, d), jnp.ones(3))), ValueError, r"`m` returned shape \(3,\); wanted"),
        (
            ls.Metric("m", lambda p, d: (margin(p, d),) * 3),
            TypeError,
            r"`m` returned a tuple of 3; wanted values \(13,\)",
        ),
        (
            ls.Metric("m", lambda p, d: {"a": margin(p, d)}),
            TypeError,
            r"`m` returned a dict; wanted values \(13,\), or",
        ),
        (
            ls.Metric("m", lambda p, d: jax.lax.complex(margin(p, d), margin(p, d))),
            TypeError,
            "`m` returned complex numbers; wanted values",
        ),
        (ls.Metric("m", lambda p, d: margin(p, d) if p["w"][0, 0] > 0 else 0), TypeError, "`m` needs the value of an"),
        (ls.Metric("m", lambda p, d: np.exp(margin(p, d))), TypeError, "`m` hands an array to NumPy"),
        (ls.Metric("risk", margin), ValueError, "calls a result 'risk', a name that is taken; choose another"),
        (ls.Metric("w[0, 0]", margin), ValueError, "a name that is taken"),
        (ls.Metric, TypeError, "`quantities` holds .*; give a name out of .*, an ls.Metric, or an object with accumul"),
    ],
    ids=["scalar", "weights", "three", "dict", "complex", "if", "NumPy", "risk", "coordinate", "class"],
)
def test_metrics_that_are_refused(metric, error, message):
    with pytest.raises(error, match=message):
        surface(classifier(LABELS), metric)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_the_hessian_in_the_plane(x64, batch_size):
    """That of the risk as a function of the coordinates, by `jax.hessian` of the objective itself."""
    network = problems.network(33, "float64", n=11)
    plane = ls.Plane(network.params, ls.random_directions(jax.random.key(2), network.params, 2))
    axes = {"alpha": np.array([-0.5, 0.0, 1.0]), "beta": np.array([0.0, 0.75])}
    found = ls.evaluate(network, plane, axes, quantities=("slope", "plane_hessian"), batch_size=batch_size)
    assert found.plane_hessian.dims == ("alpha", "beta", "coordinate", "coordinate_")
    assert found.coordinate.values.tolist() == found.coordinate_.values.tolist() == ["alpha", "beta"]
    risk = lambda c: network.risk(plane.point(tuple(c)))  # noqa: E731
    both = jax.jit(lambda c: (jax.grad(risk)(c), jax.hessian(risk)(c)))
    for a in axes["alpha"]:
        for b in axes["beta"]:
            slope, hessian = both(jnp.array([a, b]))
            here = found.sel(alpha=a, beta=b)
            np.testing.assert_allclose(here.slope, slope, rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(here.plane_hessian, hessian, rtol=1e-11, atol=1e-12)


def test_the_hessian_on_a_curved_chart_and_beside_the_full_gradient():
    """In the chart's own coordinates, and no other where the gradient over all params is asked for too."""
    pair = ls.neuron(*ls.datasets.pair())
    polar = ls.Polar(ls.axes_plane(pair.params, "w", "b"))
    axes = dict(zip(polar.names, (np.array([0.5, 1.0]), np.array([-0.25, 1.0])), strict=True))
    alone = ls.evaluate(pair, polar, axes, quantities=("plane_hessian",))
    beside = ls.evaluate(pair, polar, axes, quantities=("plane_hessian", "gradient_norm"))
    expected = jax.jit(jax.hessian(lambda c: pair.risk(polar.point(tuple(c)))))(jnp.array([1.0, -0.25]))
    first, second = axes.values()
    for found in (alone, beside):
        here = found.plane_hessian.sel({polar.names[0]: first[1], polar.names[1]: second[0]})
        np.testing.assert_allclose(here, expected, rtol=1e-4, atol=1e-5)
