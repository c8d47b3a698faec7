"""Products with the Hessian, Gauss–Newton and Fisher matrices against matrices that are written out; and kinks."""

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

import landscape as ls
from landscape.operators import _linear
from tests import problems, spectra
from tests.architectures import ARCHITECTURES

KEY = jax.random.key(0)
KINDS = ["hessian", "gauss_newton", "fisher"]
N = 23


def outputs(params: Any, batch: Any) -> Any:
    return jnp.tanh(batch[0] @ params["hidden"]["kernel"] + params["hidden"]["bias"][None]) @ params["output"]["kernel"]


def logistic(f: Any, batch: Any) -> Any:
    """Two labels each, with the examples' weights where the batch has any."""
    losses = jnp.sum(jax.nn.softplus(f) - batch[1] * f, axis=1)
    return (losses, batch[2]) if len(batch) > 2 else losses


SPLIT = ls.SplitLosses(outputs, logistic)


def network(dtype: str = "float32", weights: Any = None, data: Any = None, **options: Any) -> ls.Objective:
    """A user's own 3-4-2 network with two labels an example."""
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return jnp.asarray(generator.normal(size=shape), dtype)

    params = {"hidden": {"kernel": draw(3, 4), "bias": draw(4)}, "output": {"kernel": draw(4, 2)}}
    arrays = [draw(N, 3), (draw(N, 2) > 0).astype(dtype)]
    arrays += [] if weights is None else [jnp.asarray(weights, dtype)]
    return ls.Objective(SPLIT, tuple(arrays) if data is None else data(arrays), params=params, **options)


def explicit(objective: ls.Objective, kind: str, weights: Any = None) -> np.ndarray:
    """Σ wᵢJᵢᵀHᵢJᵢ / Σ wᵢ or Σ wᵢ∇lᵢ∇lᵢᵀ / Σ wᵢ, from Jacobians."""
    batch = objective.data[:2]
    flat, restored = ravel_pytree(objective.params)
    w = np.ones(N) if weights is None else np.asarray(weights, np.float64)
    if kind == "fisher":
        slopes = np.asarray(jax.jacobian(lambda t: logistic(outputs(restored(t), batch), batch))(flat))
        return np.einsum("n,ni,nj->ij", w, slopes, slopes) / w.sum()
    jacobians = np.asarray(jax.jacobian(lambda t: outputs(restored(t), batch))(flat))
    f = outputs(objective.params, batch)
    curvature = np.asarray(jax.nn.sigmoid(f) * jax.nn.sigmoid(-f))  # Hᵢ is diagonal
    return np.einsum("n,nki,nk,nkj->ij", w, jacobians, curvature, jacobians) / w.sum()


def matrix(objective: ls.Objective, **options: Any) -> np.ndarray:
    return ls.hessian(objective, objective.params, **options).values


def close(actual: np.ndarray, expected: np.ndarray, rtol: float = 1e-12) -> None:
    """To so much of the largest entry."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * np.abs(expected).max())


# Known matrices


def test_digits_have_the_hessian_of_jax(x64):
    objective, params, expected = spectra.digits()
    found = ls.hessian(objective, params)
    close(found.values, expected)
    assert found.dims == ("param", "param_") and found.param.values[0] == "layer1/W[0,0]"
    assert found.param.values[-1] == "layer2/b[9]" and (found.values == found.values.T).all()
    at = found.sel(param="layer2/b[3]", param_="layer2/W[1,2]")
    assert float(at) == found.values[-7, -70 + 12]


@pytest.mark.parametrize("name", ["mlp_relu", "rnn_scan", "masked_tokens", "frozen_leaves", "custom_vjp_loss"])
def test_every_kind_of_model(x64, name):
    """Lists of tuples, named tuples, weights, frozen integers, rules of one's own: as jax.hessian of the risk."""
    model = ARCHITECTURES[name]("float64")
    objective = ls.Objective(model.losses, model.data, params=model.params)
    moving = [leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else None for leaf in jax.tree.leaves(objective.params)]
    flat, restored = ravel_pytree(moving)
    tree, leaves = jax.tree.structure(objective.params), jax.tree.leaves(objective.params)

    def risk(theta: Any) -> Any:
        filled = [own if new is None else new for own, new in zip(leaves, restored(theta), strict=True)]
        return objective.risk(tree.unflatten(filled))

    close(matrix(objective), np.asarray(jax.jit(jax.jacrev(jax.grad(risk)))(flat)), 1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_matrices_that_are_written_out(x64, kind, weighted):
    weights = np.random.default_rng(1).uniform(0, 3, N) if weighted else None
    objective = network("float64", weights)
    expected = spectra.dense(objective, objective.params) if kind == "hessian" else explicit(objective, kind, weights)
    close(matrix(objective, kind=kind), expected)
    if kind != "hessian":
        values = np.linalg.eigvalsh(matrix(objective, kind=kind))
        assert values.min() > -1e-12 * values.max()  # positive semi-definite


@pytest.mark.parametrize("kind", KINDS)
def test_how_the_data_are_read_changes_rounding_alone(x64, kind, tmp_path):
    """Batches that do not divide them, batches of every length, memory maps: the weighted mean over all examples."""
    weights = np.random.default_rng(1).uniform(0, 3, N)
    whole = network("float64", weights)
    expected = matrix(whole, kind=kind)
    for size in (7, 100):
        close(matrix(whole, kind=kind, batch_size=size), expected)

    def parts(arrays: Any) -> Any:
        return ls.Batches([tuple(np.asarray(leaf)[i:j] for leaf in arrays) for i, j in ((0, 2), (2, 21), (21, 23))])

    def mapped(arrays: Any) -> Any:
        for i, leaf in enumerate(arrays):
            np.save(tmp_path / f"{i}.npy", np.asarray(leaf))
        return tuple(np.load(tmp_path / f"{i}.npy", mmap_mode="r") for i in range(len(arrays)))

    close(matrix(network("float64", weights, parts), kind=kind), expected)
    close(matrix(network("float64", weights, mapped), kind=kind, batch_size=10), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_and_penalties(x64, kind):
    """A sum is n means; l2(λ) adds 2λ to the diagonal, weight_decay(λ) adds λ on weights, a mask where it is true."""
    objective = network("float64")
    plain = matrix(objective, kind=kind)
    close(matrix(network("float64", reduction="sum"), kind=kind), N * plain)
    close(matrix(objective.with_penalty(ls.l2(0.3)), kind=kind), plain + 0.6 * np.eye(24))
    names = ls.hessian(objective, objective.params).param.values
    weights = np.array(["kernel" in name for name in names])
    close(matrix(objective.with_penalty(ls.weight_decay(0.3)), kind=kind), plain + np.diag(0.3 * weights))
    mask = jax.tree.map(lambda leaf: np.arange(leaf.size).reshape(leaf.shape) % 2 == 0, objective.params)
    inside = np.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(mask)])
    masked = objective.with_penalty(ls.l2(0.3, scope=mask) + ls.l1(5.0))
    close(matrix(masked, kind=kind), plain + np.diag(0.6 * inside))
    summed = network("float64", reduction="sum", penalty=ls.l2(0.3))
    close(matrix(summed, kind=kind), N * plain + 0.6 * np.eye(24))  # the penalty once


@pytest.mark.parametrize("kind", KINDS)
def test_padding_of_weight_0_counts_nothing(x64, kind):
    """Even where its loss is NaN, if its gradient is finite; and where a whole batch is padding."""
    good = network("float64", np.ones(N))

    def padded(arrays: Any) -> Any:
        extra = [np.zeros((5, *leaf.shape[1:])) for leaf in arrays]
        return tuple(np.concatenate([leaf, more]) for leaf, more in zip(arrays, extra, strict=True))

    def undefined(f: Any, batch: Any) -> Any:
        losses, weights = logistic(f, batch)
        return losses + jnp.where(weights == 0, jnp.nan, 0.0), weights

    there = network("float64", np.ones(N), padded)
    bad = ls.Objective(ls.SplitLosses(outputs, undefined), there.data, params=there.params)
    expected = matrix(good, kind=kind)
    close(matrix(bad, kind=kind), expected)
    close(matrix(bad, kind=kind, batch_size=4), expected)  # the last batch is padding alone


@pytest.mark.parametrize("kind", KINDS)
def test_leaves_are_the_diagonal_blocks(x64, kind):
    objective = network("float64")
    whole = ls.hessian(objective, objective.params, kind=kind)
    for leaves in ("hidden", "output/kernel", ["hidden/bias", "output"]):
        block = ls.hessian(objective, objective.params, kind=kind, leaves=leaves)
        close(block.values, whole.sel(param=block.param.values, param_=block.param.values).values)
    assert ls.layers(objective.params) == {"hidden": ("hidden/bias", "hidden/kernel"), "output": ("output/kernel",)}


def test_a_prepared_objective(x64):
    """Batch statistics of the params are a part of the Hessian, and of the Fisher matrix's slopes."""

    def prepare(params: Any, batches: Any) -> Any:
        z = batches[0] @ params["w"]
        return {**params, "mean": jnp.mean(z), "std": jnp.std(z)}

    def losses(given: Any, batch: Any) -> Any:
        return jnp.square(given["b"] * (batch[0] @ given["w"] - given["mean"]) / given["std"] - batch[1])

    x, y = problems.classification(0, 12, 3)
    params = {"w": jnp.array([0.5, -1.0, 2.0]), "b": jnp.array(0.7)}
    data = x.astype(float), y.astype(float)
    objective = ls.Objective(losses, data, params=params, prepare=prepare, prepare_batch_size=6)
    close(matrix(objective), spectra.dense(objective, params), 1e-10)
    flat, restored = ravel_pytree(params)
    slopes = np.asarray(jax.jacobian(lambda t: objective.traced_losses(restored(t), objective.data))(flat))
    close(matrix(objective, kind="fisher"), slopes.T @ slopes / 12, 1e-10)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_narrow_params(kind, dtype):
    """In their own dtype, to its rounding; returned in float32."""
    found = matrix(network(dtype), kind=kind)
    assert found.dtype == np.float32
    close(found, matrix(network("float32"), kind=kind), 8 * float(jnp.finfo(dtype).eps))


def test_sums_over_examples_do_not_overflow_float16():
    """Σ (xᵢrᵢ)² is 8e7 here, and the mean 28000 a number of float16."""
    x = np.random.default_rng(0).normal(size=(3000, 2)).astype("float16")
    y = (100 * x[:, 0]).astype("float16")
    line = ls.SplitLosses(lambda p, b: b[0] @ p["w"], lambda f, b: 0.5 * jnp.square((f - b[1]).astype("float32")))
    objective = ls.Objective(line, (x, y), params={"w": jnp.zeros(2, "float16")})
    wide, slopes = x.astype(float), x.astype(float) * y.astype(float)[:, None]
    close(matrix(objective, kind="fisher"), slopes.T @ slopes / 3000, 1e-2)
    close(matrix(objective, kind="gauss_newton"), wide.T @ wide / 3000, 1e-2)
    close(matrix(objective), wide.T @ wide / 3000, 1e-2)


# Where two of them are the same


def test_gauss_newton_is_the_hessian_of_linear_models(x64):
    x, y = problems.classification(0, N, 3)
    x = x.astype(float)
    point = {"w": np.array([0.3, -1.0, 0.5]), "b": np.array(0.2)}
    for neuron in (ls.neuron(x, y.astype(float)), ls.neuron(x, y.astype(float), weights=np.arange(1.0, N + 1))):
        close(ls.hessian(neuron, point).values, ls.hessian(neuron, point, kind="gauss_newton").values)
    softmax = ls.mlp((3, 4), output="softmax", loss="cross_entropy")
    objective, params = softmax.objective(x, np.arange(N) % 4), softmax.init(KEY, "uniform")
    close(ls.hessian(objective, params).values, ls.hessian(objective, params, kind="gauss_newton").values)


@pytest.mark.parametrize("output, loss", [("softmax", "cross_entropy"), ("tanh", "half_squared_error")])
def test_gauss_newton_of_the_toolkits_networks(x64, output, loss):
    """JᵀHJ of the outputs that the loss is convex in; not the Hessian, and without negative eigenvalues."""
    model = ls.mlp((3, 4, 3), output=output, loss=loss)
    x = np.random.default_rng(0).normal(size=(N, 3))
    y = np.arange(N) % 3 if loss == "cross_entropy" else np.random.default_rng(1).normal(size=(N, 3))
    objective, params = model.objective(x, y), model.init(KEY, "uniform")
    flat, restored = ravel_pytree(params)

    def f(theta: Any) -> Any:
        layers = model.forward(restored(theta), jnp.asarray(x))
        return layers.z[-1] if loss == "cross_entropy" else layers.a[-1]

    jacobians, h = np.asarray(jax.jacobian(f)(flat)), np.asarray(jax.nn.softmax(f(flat), axis=1))
    softmax = np.einsum("nk,kl->nkl", h, np.eye(3)) - np.einsum("nk,nl->nkl", h, h)
    middle = softmax if loss == "cross_entropy" else np.broadcast_to(np.eye(3), (N, 3, 3))
    expected = np.einsum("nki,nkl,nlj->ij", jacobians, middle, jacobians) / N
    found = ls.hessian(objective, params, kind="gauss_newton").values
    close(found, expected, 1e-10)
    assert np.linalg.eigvalsh(found).min() > -1e-12
    assert np.linalg.eigvalsh(ls.hessian(objective, params).values).min() < -1e-3


# The operator


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_an_operator_is_linear_and_symmetric(seed):
    with jax.enable_x64(True):
        objective = network("float64")
        operator = ls.curvature(objective, objective.params)
        generator = np.random.default_rng(seed)
        u, v = (jax.tree.map(lambda leaf: generator.normal(size=leaf.shape), objective.params) for _ in "uv")
        flat = lambda tree: ravel_pytree(tree)[0]  # noqa: E731
        both = operator(jax.tree.map(lambda a, b: 2 * a - 3 * b, u, v))
        np.testing.assert_allclose(flat(both), 2 * flat(operator(u)) - 3 * flat(operator(v)), atol=1e-12)
        np.testing.assert_allclose(flat(v) @ flat(operator(u)), flat(u) @ flat(operator(v)), atol=1e-12)
        assert operator.size == 24 and operator.name == "Hessian"


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_one_after_another_are_vectors_together(monkeypatch, x64, kind):
    """What a CPU does where a product is large; in batches too, the last of which is smaller."""
    objective = network("float64", penalty=ls.l2(0.1))
    block = jax.tree.map(lambda leaf: jnp.arange(3.0 * leaf.size).reshape(3, *leaf.shape), objective.params)
    for batch_size in (None, 5):
        operator = ls.curvature(objective, objective.params, kind=kind, batch_size=batch_size)
        together = _linear.linear(operator.program, operator.inputs)(block)
        with monkeypatch.context() as large:
            large.setattr(_linear, "CACHED", 0)
            large.setattr(_linear, "NARROW", 0)
            assert _linear._is_large(operator.program, operator.inputs)
            after = _linear.linear(operator.program, operator.inputs)(block)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), together, after)


@pytest.mark.parametrize("platform, loops", [("cpu", 1), ("cuda", 0)])
def test_vectors_go_one_after_another_by_what_it_is_compiled_for(monkeypatch, platform, loops):
    """A CPU beside a GPU is not the default backend, and computes all the same what is on it."""
    for name in ("CACHED", "NARROW"):
        monkeypatch.setattr(_linear, name, 0)
    objective = network()
    operator = ls.curvature(objective, objective.params)
    block = jax.tree.map(lambda leaf: jnp.ones((3, *leaf.shape), leaf.dtype), objective.params)
    for default in ("cpu", "gpu"):
        monkeypatch.setattr(jax, "default_backend", lambda default=default: default)
        traced = jax.jit(_linear.linear(operator.program, operator.inputs)).trace(block)
        assert traced.lower(lowering_platforms=(platform,)).as_text().count("stablehlo.while") == loops


def test_vectors_like_the_params_or_like_the_chosen_leaves():
    objective = network()
    operator = ls.curvature(objective, objective.params, leaves="output")
    ones = jax.tree.map(np.ones_like, objective.params)
    there = operator(ones)
    here = operator({"hidden": {"kernel": None, "bias": None}, "output": ones["output"]})
    assert there["hidden"] == {"kernel": None, "bias": None}
    np.testing.assert_array_equal(there["output"]["kernel"], here["output"]["kernel"])


def test_a_second_operator_compiles_nothing(compilations):
    """Other params, data and strengths of the same shapes."""
    first, second = network(penalty=ls.l2(0.1)), network(penalty=ls.l2(0.2))
    second = second.with_params(jax.tree.map(lambda leaf: leaf + 1, second.params))
    vector = jax.tree.map(np.ones_like, first.params)
    ls.curvature(first, first.params)(vector)
    matrix(first)
    with compilations() as tally:
        ls.curvature(second, second.params)(vector)
        matrix(second)
    assert tally.count == 0


# Kinks

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
LABELS = np.arange(6) % 3
WEIGHTS = {"w": np.random.default_rng(1).normal(size=(4, 3)).astype("float32")}


def of(losses: Any, params: Any = WEIGHTS) -> tuple[str, ...]:
    """Kinks of losses(params, x, labels)."""
    return ls.kinks(ls.Objective(lambda p, b: losses(p, *b), (X, LABELS), params=params))


def unit(activation: Any) -> Any:
    return lambda p, x, _: activation(x @ p["w"]).sum(axis=1)


def own_log_sum_exp(p: Any, x: Any, _: Any) -> Any:
    z = x @ p["w"]
    largest = z.max(axis=1, keepdims=True)
    return largest[:, 0] + jnp.log(jnp.exp(z - largest).sum(axis=1)) - z[:, 0]


def recurrent(after: Any) -> Any:
    """A masked recurrent network; what is added up goes through `after`."""

    def losses(p: Any, x: Any, _: Any) -> Any:
        def step(state: Any, t: Any) -> Any:
            new = jnp.tanh(x[:, :3] @ p["w"][:3] + state)
            return jnp.where(t < 3, new, state), after(state).sum(axis=1)

        return jax.lax.scan(step, jnp.zeros((6, 3)), jnp.arange(4))[1].sum(axis=0)

    return losses


SMOOTH = {
    **{
        name: unit(getattr(jax.nn, name))
        for name in ("tanh", "gelu", "softplus", "silu", "mish", "log_sigmoid", "softmax", "log_softmax")
    },
    "standardize": unit(jax.nn.standardize),
    "log_sum_exp": lambda p, x, _: jax.nn.logsumexp(x @ p["w"], axis=1),
    "own log_sum_exp": own_log_sum_exp,
    "softmax where": lambda p, x, _: jax.nn.softmax(x @ p["w"], axis=1, where=x[:, :3] > 0)[:, 0],
    "masked": lambda p, x, _: jax.nn.softmax(jnp.where(x[:, :3] > 0, x @ p["w"], -1e9), axis=1)[:, 0],
    "abs of data": lambda p, x, _: (jnp.abs(x) @ p["w"]).sum(axis=1),
    "relu of data": lambda p, x, _: (jax.nn.relu(x) @ p["w"]).sum(axis=1),
    "stopped": lambda p, x, _: (x @ p["w"] * jax.lax.stop_gradient(jnp.abs(x @ p["w"]))).sum(axis=1),
    "masked recurrent": recurrent(jnp.tanh),
    "dropout": lambda p, x, _: jnp.where(jax.random.bernoulli(KEY, 0.5, (6, 3)), x @ p["w"], 0.0).sum(axis=1),
    "cross entropy": lambda p, x, y: optax.softmax_cross_entropy_with_integer_labels(x @ p["w"], y),
    "one hot": lambda p, x, y: optax.softmax_cross_entropy(x @ p["w"], jax.nn.one_hot(y, 3)),
    "logistic": lambda p, x, y: optax.sigmoid_binary_cross_entropy(x @ p["w"], jax.nn.one_hot(y, 3)).sum(axis=1),
    "log cosh": lambda p, x, y: optax.log_cosh(x @ p["w"], jax.nn.one_hot(y, 3)).sum(axis=1),
}
KINKED = {
    "relu": (unit(jax.nn.relu), {"relu"}),
    "two relus": (unit(lambda z: jax.nn.relu(jax.nn.relu(z) - 1)), {"relu"}),
    "relu in jit": (unit(jax.jit(jax.nn.relu)), {"relu"}),
    "relu in checkpoint": (unit(jax.checkpoint(jax.nn.relu)), {"relu"}),
    "relu6": (unit(jax.nn.relu6), {"relu6"}),
    "leaky_relu": (unit(jax.nn.leaky_relu), {"choice by comparison"}),
    "hard_tanh": (unit(jax.nn.hard_tanh), {"choice by comparison"}),
    "where": (unit(lambda z: jnp.where(z > 0, z, 0.1 * z)), {"choice by comparison"}),
    "where and": (unit(lambda z: jnp.where((z > 0) & (z < 1), z, 0.1 * z)), {"choice by comparison"}),
    "times a mask": (unit(lambda z: z * (z > 0).astype(z.dtype)), {"choice by comparison"}),
    "cond": (
        lambda p, x, _: x[:, 0] * jax.lax.cond(p["w"].sum() > 0, lambda z: z, lambda z: 2 * z, p["w"].sum()),
        {"choice by comparison"},
    ),
    "abs": (unit(jnp.abs), {"abs"}),
    "l1 loss": (lambda p, x, _: jnp.abs(x @ p["w"] - 1.0).sum(axis=1), {"abs"}),
    "maximum": (unit(lambda z: jnp.maximum(z, 0.0)), {"max"}),
    "clip": (unit(lambda z: jnp.clip(z, -1, 1)), {"max", "min"}),
    "difference of squares": (unit(lambda z: jnp.maximum(0.0, z**2 - 1.0)), {"max"}),
    "maxout": (lambda p, x, _: (x @ p["w"]).max(axis=1), {"max"}),
    "smallest": (lambda p, x, _: (x @ p["w"]).min(axis=1), {"min"}),
    "max pooling": (lambda p, x, _: nn.max_pool((x @ p["w"])[..., None], (2,)).sum((1, 2)), {"max pooling"}),
    "median": (lambda p, x, _: jnp.median(x @ p["w"], axis=1), {"sort"}),
    "top_k": (lambda p, x, _: jax.lax.top_k(x @ p["w"], 2)[0].sum(axis=1), {"sort"}),
    "rounding": (unit(lambda z: z * jnp.floor(z)), {"rounding"}),
    "hinge": (lambda p, x, y: optax.hinge_loss((x @ p["w"])[:, 0], 2.0 * (y > 0) - 1), {"max"}),
    "carried": (recurrent(jnp.abs), {"abs"}),
}


@pytest.mark.lenient("losses of other libraries on integer labels")
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_losses_have_no_kinks(name):
    assert of(SMOOTH[name]) == ()


@pytest.mark.lenient("losses of other libraries on integer labels")
@pytest.mark.parametrize("name", KINKED)
def test_kinks_are_found_by_name(name):
    losses, expected = KINKED[name]
    assert set(of(losses)) == expected


@pytest.mark.lenient("Flax promotes as JAX does by default")
@pytest.mark.parametrize(
    "between, expected",
    [
        ([nn.tanh], set()),
        ([nn.relu], {"relu"}),
        ([nn.LayerNorm(), nn.gelu], set()),
        ([nn.LayerNorm(use_fast_variance=False), nn.gelu], set()),
        ([nn.RMSNorm(), nn.silu], set()),
        ([nn.GroupNorm(num_groups=2), nn.softplus], set()),
    ],
)
def test_flax_models(between, expected):
    model = nn.Sequential([nn.Dense(8), *between, nn.Dense(3)])
    params = model.init(KEY, X)

    def losses(p: Any, x: Any, y: Any) -> Any:
        scores: Any = model.apply(p, x)
        return optax.softmax_cross_entropy_with_integer_labels(scores, y)

    assert set(of(losses, params)) == expected


@pytest.mark.lenient("Equinox promotes as JAX does by default")
@pytest.mark.parametrize("activation, expected", [(jax.nn.tanh, set()), (jax.nn.relu, {"relu"})])
def test_equinox_models(activation, expected):
    layers = [eqx.nn.Linear(4, 8, key=KEY), eqx.nn.LayerNorm(8), eqx.nn.Lambda(activation)]
    model = eqx.nn.Sequential([*layers, eqx.nn.MLP(8, 3, 8, 2, activation=activation, key=KEY)])
    params, static = eqx.partition(model, eqx.is_array)

    def losses(p: Any, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(eqx.combine(p, static))(x), y)

    assert set(of(losses, params)) == expected
    objective = ls.Objective(lambda p, b: losses(p, *b), (X, LABELS), params=params)
    if not expected:
        vector = jax.tree.map(jnp.ones_like, objective.params)
        product = ls.curvature(objective, objective.params)(vector)
        _, exact = jax.jvp(jax.grad(objective.risk), (objective.params,), (vector,))
        for a, b in zip(jax.tree.leaves(product), jax.tree.leaves(exact), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
