"""Quantities of a cell: standard errors, gradient norms, slopes, batches, cells in flight, one's own quantity."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.surfaces import _plan
from tests import problems
from tests.closeness import assert_close

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
EVERY = ("risk_stderr", "risk_gradient_norm", "gradient_norm", "slope")
X, Y = (a[:, 0] if a.ndim == 2 else a for a in problems.classification(5, 23, 1))
AXES = {"w": np.array([-2.0, 0.0, 0.5, 3.0]), "b": np.array([-1.0, 0.25, 2.0])}
W, B = np.meshgrid(*AXES.values(), indexing="ij")


def losses_of(x, y):
    """Cross-entropies of every example at every cell, (4, 3, n), float64."""
    z = W[..., None] * x + B[..., None]
    return problems.softplus(z) - y * z


def surface_of(objective, **options):
    """Every quantity of a neuron on AXES."""
    return ls.evaluate(objective, PLANE, AXES, quantities=EVERY, **options)


@pytest.mark.parametrize(("reduction", "size"), [("mean", 1.0), ("sum", 23.0)])
def test_standard_error_is_that_of_the_mean(reduction, size):
    """sd(lossᵢ; ddof = 1)/√n, n times that for a sum."""
    surface = surface_of(ls.neuron(X, Y, reduction=reduction))
    losses = losses_of(X, Y)
    assert_close(surface.risk, size * losses.mean(axis=-1), eps=32)
    expected = size * losses.std(axis=-1, ddof=1) / math.sqrt(23)
    assert_close(surface.risk_stderr, expected, eps=64, scale=size * 1e-2)


def test_equal_weights_change_no_standard_error():
    """All weights 1, or all 2: the same error of a weighted mean."""
    plain = surface_of(ls.neuron(X, Y))
    for weight in (1.0, 2.0):
        weighted = surface_of(ls.neuron(X, Y, weights=np.full(23, weight, np.float32)))
        for name in ("risk", "risk_stderr", "risk_gradient_norm", "slope"):
            assert_close(weighted[name], plain[name].to_numpy(), eps=32, scale=0.1)


def test_examples_of_weight_zero_do_not_count():
    """Padding: risk, standard error and gradient are those of the examples without it, NaN losses included."""
    x = np.concatenate([X, [1.0, -7.0]]).astype(np.float32)
    y = np.concatenate([Y, [0.0, 1.0]]).astype(np.float32)
    weights = np.array([1.0] * 23 + [0.0] * 2, np.float32)
    plain = surface_of(ls.neuron(X, Y))
    padded = ls.neuron(x, y, weights=weights)

    def with_nan(params, batch):
        values, weights = padded.losses(params, batch)
        return jnp.where(weights == 0, jnp.nan, values), weights

    poisoned = ls.Objective(with_nan, padded.data, params=padded.params)
    for objective, batch_size in ((padded, None), (poisoned, None), (poisoned, 5)):
        surface = surface_of(objective, batch_size=batch_size)
        for name in ("risk", "risk_stderr", "risk_gradient_norm", "slope"):
            assert_close(surface[name], plain[name].to_numpy(), eps=32, scale=0.1)


def test_a_batch_of_padding_alone_changes_nothing():
    """Its mean is 0/0, which must not reach the standard error of the others."""
    x, y = np.concatenate([X[:6], X[:3]]), np.concatenate([Y[:6], Y[:3]])
    weights = np.array([1.0] * 6 + [0.0] * 3, np.float32)
    padded = surface_of(ls.neuron(x, y, weights=weights), batch_size=3)
    plain = surface_of(ls.neuron(X[:6], Y[:6]), batch_size=3)
    first = surface_of(ls.neuron(x[::-1].copy(), y[::-1].copy(), weights=weights[::-1].copy()), batch_size=3)
    for name in ("risk", "risk_stderr", "risk_gradient_norm", "slope"):
        assert_close(padded[name], plain[name].to_numpy(), eps=32, scale=0.1)
        assert_close(first[name], plain[name].to_numpy(), eps=32, scale=0.1)
    assert padded.finite.all()


def test_standard_error_of_equal_losses_and_of_one_example():
    """0 at the origin, where every loss is log 2; NaN for one example, whose cell is finite all the same."""
    origin = {"w": [0.0], "b": [0.0]}
    assert float(ls.evaluate(PAIR, PLANE, origin, quantities=("risk_stderr",)).risk_stderr[0, 0]) == 0.0
    one = ls.evaluate(ls.neuron([1.0], [1.0]), PLANE, origin, quantities=("risk_stderr",))
    assert math.isnan(float(one.risk_stderr[0, 0])) and bool(one.finite[0, 0])


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_make_no_difference(batch_size):
    """Also where they do not divide n: means, gradients and standard errors count examples, not batches."""
    objective = ls.neuron(X, Y, weights=np.linspace(0.5, 2.0, 23, dtype=np.float32), penalty=ls.l2(0.1))
    whole, batched = surface_of(objective), surface_of(objective, batch_size=batch_size)
    assert batched.attrs["batch_size"] == min(batch_size, 23)
    for name in ("risk", "risk_stderr", "risk_gradient_norm", "gradient_norm", "slope", "objective"):
        assert_close(batched[name], whole[name].to_numpy(), eps=32, scale=0.1)


def test_weights_over_batches_are_compensated():
    """100000 equal losses of weight 0.7, a few at a time: their mean is the loss; so is that of a metric."""
    n = 100_000
    data = np.zeros(n, np.float32)
    objective = ls.Objective(lambda p, x: (x + p["w"], jnp.full_like(x, 0.7)), data, params={"w": 1.0})
    one = ls.Metric("one", lambda p, x: (x + p["w"], jnp.full_like(x, 0.7)))
    axes = {"w": [1.0, 3.0]}
    for size in (n, 16):
        found = ls.evaluate(
            objective, ls.axes_plane(objective.params, "w"), axes, quantities=("slope", one), batch_size=size
        )
        for name, expected in (("risk", [1.0, 3.0]), ("one", [1.0, 3.0]), ("slope", [[1.0], [1.0]])):
            assert_close(found[name], np.array(expected), eps=8)


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_infinite_losses_stay_infinite(batch_size):
    """What rounding loses from ∞ is nothing, not ∞ − ∞."""
    objective = ls.Objective(lambda p, x: jnp.exp(p["w"] * x), np.array([0, 30, 100], np.float32), params={"w": 1.0})
    metric = ls.Metric("metric", objective.losses)
    plane = ls.axes_plane(objective.params, "w")
    found = ls.evaluate(objective, plane, {"w": [0.0, 1.0, 5.0]}, quantities=[metric], batch_size=batch_size)
    for name in ("risk", "metric"):
        assert found[name].values.tolist() == [1.0, np.inf, np.inf]
    assert found.finite.values.tolist() == [True, False, False]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_derivative_is_taken_through_weights(reduction):
    """Weights that depend on params count as given: in slopes and gradients of batches of any size, and in autodiff."""

    def losses(params: Any, x: Any) -> Any:
        return jnp.square(params["w"] * x - 1), jax.nn.sigmoid(3 * params["w"] * x)

    objective = ls.Objective(losses, X, params={"w": 0.4}, reduction=reduction)
    w, x = 0.4, X.astype(np.float64)
    weights = 1 / (1 + np.exp(-3 * w * x))
    expected = np.sum(weights * 2 * (w * x - 1) * x) / (np.sum(weights) if reduction == "mean" else 1)
    assert_close(objective.gradient(objective.params)["w"], expected, eps=32)
    plane, axes = ls.axes_plane(objective.params, "w"), {"w": [0.4]}
    for size in (None, 5, 1):
        found = ls.evaluate(
            objective, plane, axes, quantities=("slope", "risk_gradient_norm", "plane_hessian"), batch_size=size
        )
        assert_close(found.slope[0, 0], expected, eps=32)
        assert_close(found.risk_gradient_norm[0], abs(expected), eps=32)


def test_large_weights_of_narrow_losses():
    """float16 reaches 65504, and bfloat16 counts to 256: weights are cast to neither."""

    def losses(params: Any, x: Any) -> Any:
        return jnp.square(params["w"].astype(jnp.float16) * x.astype(jnp.float16)), jnp.where(x > 0, 100_001, 99_999)

    objective = ls.Objective(losses, X, params={"w": 0.5})
    plane, axes = ls.axes_plane(objective.params, "w"), {"w": [0.5]}
    alone, beside = (
        ls.evaluate(objective, plane, axes, quantities=("risk_stderr", *more)) for more in ((), ("gradient_norm",))
    )
    assert float(alone.risk_stderr[0]) > 0
    assert_close(beside.risk_stderr, alone.risk_stderr.to_numpy(), eps=32)


def test_sums_over_batches_are_compensated():
    """20000 equal losses, one at a time: adding them up in float32 would be off by hundreds of units."""
    n = 20000
    objective = ls.neuron(np.ones(n, np.float32), np.zeros(n, np.float32))
    surface = ls.evaluate(objective, PLANE, {"w": [0.3], "b": [0.1]}, batch_size=1)
    assert_close(surface.risk[0, 0], problems.softplus(0.4), eps=4)


@pytest.mark.parametrize(("work", "chunk"), [(1, 4), (200, 64), (2**28, 400), (2**28, 2**20)])
def test_cells_in_flight_and_tiles_make_no_difference(monkeypatch, work, chunk):
    """One cell at a time, odd tiles with ragged edges, all at once: the same numbers in the same places."""
    objective = ls.neuron(X, Y, penalty=ls.l1(0.1))
    whole = surface_of(objective, penalties={"a": ls.l1(0.1), "b": ls.l2(1.0)})
    monkeypatch.setattr(_plan, "STEP_WORK", work)
    monkeypatch.setattr(_plan, "CHUNK_BYTES", {jax.default_backend(): chunk})
    tiled = surface_of(objective, penalties={"a": ls.l1(0.1), "b": ls.l2(1.0)})
    assert whole.attrs["tile_shape"] == [4, 3]
    if work < 2**28:
        assert math.prod(tiled.attrs["tile_shape"]) < 12
    assert set(tiled.data_vars) == set(whole.data_vars)
    for name in whole.data_vars:
        assert tiled[name].dims == whole[name].dims
        if name == "finite":
            assert np.array_equal(tiled[name], whole[name])
        else:
            assert_close(tiled[name], whole[name].to_numpy(), eps=4, scale=1.0)


def test_gradient_norms_cover_all_params():
    """‖∇R‖ over the whole tree, not only along the two coordinates, and ‖∇J‖ with the penalty's share."""
    network = problems.network(6).with_penalty(ls.l2(0.05))
    direction = jax.tree.map(jnp.ones_like, network.params)
    line = ls.evaluate(
        network, ls.Plane(network.params, (direction,), names=("c",)), {"c": [0.0, 0.3]}, quantities=("gradient_norm",)
    )
    for i, c in enumerate((0.0, 0.3)):
        params = jax.tree.map(lambda p, c=c: p + jnp.float32(c), network.params)
        for name, gradient in (
            ("risk_gradient_norm", jax.grad(network.risk)(params)),
            ("gradient_norm", jax.grad(network)(params)),
        ):
            squares = sum(float(jnp.sum(jnp.square(leaf))) for leaf in jax.tree.leaves(gradient))
            assert_close(line[name][i], np.asarray(math.sqrt(squares)), eps=32)


def test_the_gradient_norm_is_zero_at_a_minimizer_on_a_kink():
    """l1(½) and more: the minimizer of the pair is 0 exactly, and so is the norm there; autodiff would give λ√2."""
    axes = {"w": np.array([-0.5, 0.0, 0.5]), "b": np.array([0.0, 0.5])}
    penalties = {"λ=0.5": ls.l1(0.5), "λ=2": ls.l1(2.0)}
    surface = ls.evaluate(PAIR, PLANE, axes, quantities=("gradient_norm",), penalties=penalties)
    assert surface.gradient_norm.sel(w=0.0, b=0.0).values.tolist() == [0.0, 0.0]
    away = surface.gradient_norm.where(~((surface.w == 0) & (surface.b == 0)))
    assert float(away.min()) > 0.1
    assert_close(surface.risk_gradient_norm.sel(w=0.0, b=0.0), np.asarray(0.5))


def test_tiny_gradients_have_a_norm():
    """1e-30 is a number to look at on a logarithmic scale; its square is 0 in float32."""
    far = ls.evaluate(PAIR, PLANE, {"w": [70.0], "b": [0.0]}, quantities=("risk_gradient_norm",))
    assert_close(far.risk_gradient_norm[0, 0], np.asarray(problems.sigmoid(-70.0)), eps=16)


def test_slope_is_the_difference_quotient_of_the_risk(x64):
    """In the coordinates of the chart, for a plane with skew directions through a network."""
    network = problems.network(7, "float64")
    generator = np.random.default_rng(8)
    draw = lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype)  # noqa: E731
    plane = ls.Plane(network.params, tuple(jax.tree.map(draw, network.params) for _ in range(2)))
    h, centers = 1e-5, {"alpha": np.array([-0.5, 0.75]), "beta": np.array([0.0, 0.3, 1.0])}
    surface = ls.evaluate(network, plane, centers, quantities=("slope",))
    for name in centers:
        ahead, behind = (ls.evaluate(network, plane, centers | {name: centers[name] + s * h}).risk for s in (1, -1))
        quotient = (ahead.to_numpy() - behind.to_numpy()) / (2 * h)
        np.testing.assert_allclose(surface.slope.sel(coordinate=name), quotient, rtol=1e-6, atol=1e-7)


def test_slopes_of_narrow_params():
    """bfloat16 leaves beside float32 ones: results are float32."""
    objective = ls.function(
        lambda p: jnp.sum(jnp.square(p["w"].astype(jnp.float32))) + p["b"], {"w": jnp.ones(2, jnp.bfloat16), "b": 0.0}
    )
    plane = ls.axes_plane(objective.params, "w[0]", "b")
    surface = ls.evaluate(objective, plane, {"w[0]": [0.5, 3.0], "b": [2.0]}, quantities=EVERY)
    assert surface.risk[:, 0].values.tolist() == [0.25 + 1 + 2, 9 + 1 + 2]
    assert surface.slope.sel(coordinate="w[0]")[:, 0].values.tolist() == [1.0, 6.0]
    assert surface.risk.dtype == surface.slope.dtype == np.float32


@dataclass(frozen=True)
class Accuracy:
    """A user's own quantity: the share of examples on the right side, and how many there were of each class."""

    losses: object = None  # equal by value, as a static argument must be

    def accumulate(self, point, batch):
        x, y = batch
        right = (point.params["w"] * x + point.params["b"] > 0) == (y > 0.5)
        return {"right": right.sum(), "classes": jnp.stack([(y < 0.5).sum(), (y > 0.5).sum()]), "n": y.shape[0]}

    def merge(self, a, b):
        return jax.tree.map(lambda u, v: u + v, a, b)

    def finish(self, point, sums, sweep):
        return {"accuracy": sums["right"] / sums["n"], "class_counts": sums["classes"]}


@pytest.mark.parametrize("batch_size", [None, 4])
def test_ones_own_quantity(batch_size):
    """Scalars get the dimensions of the grid; what else it returns gets one of its own."""
    objective = ls.neuron(X, Y)
    surface = ls.evaluate(objective, PLANE, AXES, quantities=("risk", Accuracy()), batch_size=batch_size)
    right = ((W[..., None] * X + B[..., None] > 0) == (Y > 0.5)).mean(axis=-1)
    assert surface.accuracy.dims == ("w", "b")
    assert_close(surface.accuracy, right)
    counts = surface.class_counts.transpose("w", "b", ...)
    assert counts.shape == (4, 3, 2)
    assert (counts == np.array([(Y < 0.5).sum(), (Y > 0.5).sum()])).all()
    assert surface.accuracy.attrs["long_name"] == "accuracy"


def test_precision_is_recorded():
    """Matrix products are exact float32 unless asked otherwise."""
    x, y = problems.classification(9, 5, 2)
    objective = ls.neuron(x, y)
    plane = ls.axes_plane(objective.params, "b")
    assert ls.evaluate(objective, plane, {"b": [0.0]}).attrs["precision"] == "highest"
    assert ls.evaluate(objective, plane, {"b": [0.0]}, precision="bfloat16").attrs["precision"] == "bfloat16"
