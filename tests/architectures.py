"""Small models of every kind that the engine must see through, in plain JAX: `ARCHITECTURES[name](dtype)`.

Real structure at toy size. Containers differ on purpose (dictionaries, lists, named tuples), and so do the traps: exact
kinks, rules of differentiation that are not those of the primal, products of params, indices that depend on params.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

N = 7  # examples: prime, so that batches of 3 leave a short one


class Model(NamedTuple):
    """losses(params, batch) -> (n,) or ((n,), (n,)), with its params and data."""

    losses: Callable[[Any, Any], Any]
    params: Any
    data: Any


class Draw:
    """Normal numbers of one dtype, the same sequence in each."""

    def __init__(self, seed: int, dtype: str) -> None:
        self.generator, self.dtype = np.random.default_rng(seed), dtype

    def __call__(self, *shape: int, scale: float = 1.0) -> Array:
        numbers = self.generator.normal(size=shape).astype(np.float32)  # both precisions see the same
        return jnp.asarray(scale * numbers, self.dtype)

    def integers(self, high: int, *shape: int) -> Array:
        return jnp.asarray(self.generator.integers(high, size=shape), jnp.int32)

    def dense(self, inputs: int, outputs: int) -> dict[str, Array]:
        return {"kernel": self(inputs, outputs, scale=inputs**-0.5), "bias": self(outputs, scale=0.3)}


def dense(layer: dict[str, Array], x: Array) -> Array:
    """x·kernel + bias over the last axis, whatever the rank of x."""
    return x @ layer["kernel"] + layer["bias"].reshape((1,) * (x.ndim - 1) + (-1,))


def half_square(output: Array, target: Array) -> Array:
    """½|output − target|², (n, …) -> (n,)."""
    return 0.5 * jnp.sum(jnp.square(output - target), axis=tuple(range(1, output.ndim)))


def logistic(z: Array, y: Array) -> Array:
    """−log of the probability σ(±z) of the label y in {0, 1}."""
    return jax.nn.softplus(z) - y * z


def cross_entropy(logits: Array, labels: Array) -> Array:
    """−log softmax(logits)[label], (…, classes) -> (…)."""
    logs = jax.nn.log_softmax(logits, axis=-1)
    return -jnp.take_along_axis(logs, labels[..., None], axis=-1)[..., 0]


def normalized(x: Array, scale: Array, bias: Array) -> Array:
    """Layer norm over the last axis."""
    away = x - jnp.mean(x, axis=-1, keepdims=True)
    unit = away * lax.rsqrt(jnp.mean(jnp.square(away), axis=-1, keepdims=True) + 1e-5)
    lead = (1,) * (x.ndim - 1)
    return unit * scale.reshape(*lead, -1) + bias.reshape(*lead, -1)


# Perceptrons


def mlp_tanh(dtype: str) -> Model:
    draw = Draw(1, dtype)
    params = {"hidden": draw.dense(3, 5), "output": draw.dense(5, 2)}

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        return half_square(dense(params["output"], jnp.tanh(dense(params["hidden"], x))), y)

    return Model(losses, params, (draw(N, 3), draw(N, 2)))


def mlp_relu(dtype: str) -> Model:
    """Biases of 0 and one input of 0: at the center its units stand on the kink exactly, where relu' is 0."""
    draw = Draw(2, dtype)
    params = [(draw(3, 6), draw(6, scale=0.0)), (draw(6, 4, scale=0.5), draw(4)), (draw(4, 3), draw(3))]

    def losses(params: Any, batch: Any) -> Array:
        x, labels = batch
        *hidden, (kernel, bias) = params
        for weights, shift in hidden:
            x = jax.nn.relu(x @ weights + shift[None])
        return cross_entropy(x @ kernel + bias[None], labels)

    return Model(losses, params, (draw(N, 3).at[2].set(0), draw.integers(3, N)))


def residual(dtype: str) -> Model:
    draw = Draw(3, dtype)
    blocks = [{"into": draw.dense(4, 5), "back": draw.dense(5, 4)} for _ in range(3)]
    params = {"stem": draw.dense(3, 4), "blocks": blocks, "head": draw.dense(4, 1)}

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        x = dense(params["stem"], x)
        for block in params["blocks"]:
            x = x + dense(block["back"], jax.nn.gelu(dense(block["into"], x)))
        return half_square(dense(params["head"], x), y)

    return Model(losses, params, (draw(N, 3), draw(N, 1)))


def layer_norm(dtype: str) -> Model:
    draw = Draw(4, dtype)
    params = {"hidden": draw.dense(3, 5), "norm": {"scale": 1 + draw(5, scale=0.1), "bias": draw(5)}, "out": draw(5)}

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        hidden = normalized(dense(params["hidden"], x), params["norm"]["scale"], params["norm"]["bias"])
        return logistic(jax.nn.silu(hidden) @ params["out"], y)

    return Model(losses, params, (draw(N, 3), (draw(N) > 0).astype(dtype)))


def batch_norm_eval(dtype: str) -> Model:
    """Statistics of training closed over: affine all the way to the first relu."""
    draw = Draw(5, dtype)
    mean, variance = draw(5, scale=0.5), jnp.square(draw(5)) + 0.5
    params = {
        "kernel": draw(3, 5),
        "norm": {"scale": 1 + draw(5, scale=0.2), "bias": draw(5)},
        "head": draw.dense(5, 3),
    }

    def losses(params: Any, batch: Any) -> Array:
        x, labels = batch
        unit = (x @ params["kernel"] - mean[None]) / jnp.sqrt(variance + 1e-5)[None]
        hidden = jax.nn.relu(unit * params["norm"]["scale"][None] + params["norm"]["bias"][None])
        return cross_entropy(dense(params["head"], hidden), labels)

    return Model(losses, params, (draw(N, 3), draw.integers(3, N)))


# Structure: images, sequences, tables


def convolution(dtype: str) -> Model:
    """Two convolutions with relu, max-pool between them, mean over the image, a dense layer."""
    draw = Draw(6, dtype)
    params = {"first": draw(3, 3, 2, 4, scale=0.3), "bias": draw(4), "second": draw(2, 2, 4, 3, scale=0.3)}
    params |= {"head": draw.dense(3, 3)}

    def filtered(x: Array, kernel: Array, padding: str) -> Array:
        return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def losses(params: Any, batch: Any) -> Array:
        images, labels = batch
        x = jax.nn.relu(filtered(images, params["first"], "SAME") + params["bias"].reshape(1, 1, 1, -1))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = jnp.mean(jax.nn.relu(filtered(x, params["second"], "VALID")), axis=(1, 2))
        return cross_entropy(dense(params["head"], x), labels)

    return Model(losses, params, (draw(N, 6, 6, 2), draw.integers(3, N)))


def attention(dtype: str) -> Model:
    """A causal transformer block with two heads that predicts the next token."""
    draw = Draw(7, dtype)
    params = {
        "embedding": draw(9, 4),
        "position": draw(5, 4, scale=0.5),
        "norm": {"scale": 1 + draw(4, scale=0.1), "bias": draw(4, scale=0.1)},
        "qkv": draw(4, 3, 2, 2, scale=0.5),
        "out": draw(2, 2, 4, scale=0.5),
        "mlp": {"into": draw.dense(4, 6), "back": draw.dense(6, 4)},
        "head": draw.dense(4, 9),
    }
    hidden_future = jnp.tril(jnp.ones((5, 5), bool))[None, None]

    def losses(params: Any, tokens: Array) -> Array:
        x = params["embedding"][tokens[:, :-1]] + params["position"][None]
        normal = normalized(x, **params["norm"])
        query, key, value = jnp.unstack(jnp.einsum("ntd,dchk->cnhtk", normal, params["qkv"]))
        scores = jnp.einsum("nhtk,nhsk->nhts", query, key) * 0.5**0.5
        shares = jax.nn.softmax(jnp.where(hidden_future, scores, -jnp.inf), axis=-1)
        x = x + jnp.einsum("nhts,nhsk,hkd->ntd", shares, value, params["out"])
        x = x + dense(params["mlp"]["back"], jax.nn.gelu(dense(params["mlp"]["into"], x)))
        return jnp.mean(cross_entropy(dense(params["head"], x), tokens[:, 1:]), axis=1)

    return Model(losses, params, draw.integers(9, N, 6))


def embedding_gather(dtype: str) -> Model:
    """Bags of words: gathered rows averaged (affine in the table), then a classifier."""
    draw = Draw(8, dtype)
    params = {"embedding": draw(11, 4), "head": draw.dense(4, 3)}

    def losses(params: Any, batch: Any) -> Array:
        words, labels = batch
        x = jnp.mean(jnp.take(params["embedding"], words, axis=0), axis=1)
        return cross_entropy(dense(params["head"], jnp.tanh(x)), labels)

    return Model(losses, params, (draw.integers(11, N, 4), draw.integers(3, N)))


def factorization(dtype: str) -> Model:
    """Ratings as u·v: each factor is affine in the coordinates, their product is not."""
    draw = Draw(9, dtype)
    params = {"user": draw(5, 3), "item": draw(6, 3), "bias": draw()}

    def losses(params: Any, batch: Any) -> Array:
        user, item, rating = batch
        scores = jnp.sum(params["user"][user] * params["item"][item], axis=1) + params["bias"]
        return 0.5 * jnp.square(scores - rating)

    return Model(losses, params, (draw.integers(5, N), draw.integers(6, N), draw(N)))


def weight_tying(dtype: str) -> Model:
    """One table for words in and words out."""
    draw = Draw(10, dtype)
    params = {"embedding": draw(8, 4), "mix": draw.dense(4, 4)}

    def losses(params: Any, batch: Any) -> Array:
        words, following = batch
        x = jnp.tanh(dense(params["mix"], params["embedding"][words]))
        return cross_entropy(x @ params["embedding"].T, following)

    return Model(losses, params, (draw.integers(8, N), draw.integers(8, N)))


class Recurrent(NamedTuple):
    kernel: Array
    recurrent: Array
    bias: Array
    readout: Array


def rnn_scan(dtype: str) -> Model:
    draw = Draw(11, dtype)
    params = Recurrent(draw(2, 4), draw(4, 4, scale=0.5), draw(4), draw(4))

    def losses(params: Recurrent, batch: Any) -> Array:
        x, y = batch

        def step(state: Array, inputs: Array) -> tuple[Array, None]:
            return jnp.tanh(inputs @ params.kernel + state @ params.recurrent + params.bias[None]), None

        state, _ = lax.scan(step, jnp.zeros((x.shape[0], 4), x.dtype), jnp.swapaxes(x, 0, 1))
        return 0.5 * jnp.square(state @ params.readout - y)

    return Model(losses, params, (draw(N, 5, 2), draw(N)))


def masked_tokens(dtype: str) -> Model:
    """Sequences of unequal length, one of them empty: a loss is the mean over the tokens, its weight their number."""
    draw = Draw(12, dtype)
    params = {"embedding": draw(7, 3), "head": draw.dense(3, 7)}
    lengths = jnp.asarray([5, 2, 0, 3, 1, 4, 5], jnp.int32)

    def losses(params: Any, batch: Any) -> tuple[Array, Array]:
        tokens, length = batch
        mask = (jnp.arange(5, dtype=jnp.int32)[None] < length[:, None]).astype(dtype)
        each = cross_entropy(dense(params["head"], jnp.tanh(params["embedding"][tokens[:, :-1]])), tokens[:, 1:])
        weights = jnp.sum(mask, axis=1)
        return jnp.sum(each * mask, axis=1) / jnp.maximum(weights, 1), weights

    return Model(losses, params, (draw.integers(7, N, 6), lengths))


# Control


def control_flow(dtype: str) -> Model:
    """`while_loop` and `cond` that look at the params, `fori_loop` that looks at the data."""
    draw = Draw(13, dtype)
    params = {"kernel": draw(3, 4, scale=2.0), "again": draw(4, 4), "sign": jnp.asarray(-0.3, dtype), "out": draw(4)}

    def losses(params: Any, batch: Any) -> Array:
        x, depth, y = batch
        size = lax.stop_gradient(jnp.sum(jnp.abs(params["kernel"])))  # reverse mode cannot enter a while_loop
        shrink = lax.while_loop(lambda s: s * size > 8, lambda s: s / 2, jnp.asarray(1.0, x.dtype))
        start = jnp.tanh(x @ params["kernel"] * shrink)

        def deepen(i: Array, state: Array) -> Array:
            return jnp.where(i < depth[:, None], jnp.tanh(state @ params["again"]), state)

        state = lax.fori_loop(0, 3, deepen, start)
        score = lax.cond(
            params["sign"] > 0, lambda s: s @ params["out"], lambda s: params["sign"] * jnp.sum(s**2, axis=1), state
        )
        return 0.5 * jnp.square(score - y)

    return Model(losses, params, (draw(N, 3), draw.integers(4, N), draw(N)))


def routing(dtype: str) -> Model:
    """A mixture of experts with top-1 routing: a gather whose index depends on the params."""
    draw = Draw(14, dtype)
    params = {"gate": draw(3, 4), "experts": draw(4, 3, 2)}

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        gates = x @ params["gate"]
        chosen = params["experts"][jnp.argmax(gates, axis=1)]
        share = jnp.max(jax.nn.softmax(gates, axis=1), axis=1, keepdims=True)
        return half_square(share * jnp.einsum("nd,ndo->no", x, chosen), y)

    return Model(losses, params, (draw(N, 3), draw(N, 2)))


def remat(dtype: str) -> Model:
    """Blocks under `jax.checkpoint`, the first of which begins with what is affine."""
    draw = Draw(15, dtype)
    params = {"blocks": [draw.dense(3, 4), draw.dense(4, 4)], "head": draw.dense(4, 2)}

    @partial(jax.checkpoint, policy=jax.checkpoint_policies.nothing_saveable)
    def block(layer: Any, x: Array) -> Array:
        return jnp.sin(dense(layer, x))

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        for layer in params["blocks"]:
            x = block(layer, x)
        return half_square(dense(params["head"], x), y)

    return Model(losses, params, (draw(N, 3), draw(N, 2)))


def nested_jit(dtype: str) -> Model:
    """`jit` inside of `jit`, with a static argument."""
    draw = Draw(16, dtype)
    params = (draw.dense(3, 4), draw.dense(4, 2))

    @partial(jax.jit, static_argnames="activate")
    def layer(weights: Any, x: Array, activate: bool) -> Array:
        z = jax.jit(dense)(weights, x)
        return jnp.tanh(z) if activate else z

    @jax.jit
    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        return half_square(layer(params[1], layer(params[0], x, activate=True), activate=False), y)

    return Model(losses, params, (draw(N, 3), draw(N, 2)))


# Rules of differentiation of their own


smoothed = jax.custom_vjp(logistic)  # its gradient is that of labels smoothed to 0.1 and 0.9
smoothed.defvjp(
    lambda z, y: (logistic(z, y), (z, y)),
    lambda saved, g: (g * (jax.nn.sigmoid(saved[0]) - (0.1 + 0.8 * saved[1])), jnp.zeros_like(saved[1])),
)


def custom_vjp_loss(dtype: str) -> Model:
    draw = Draw(17, dtype)
    params = {"hidden": draw.dense(3, 4), "out": draw(4)}

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        return smoothed(jnp.tanh(dense(params["hidden"], x)) @ params["out"], y)

    return Model(losses, params, (draw(N, 3), (draw(N) > 0).astype(dtype)))


@jax.custom_vjp
def reversed_gradient(x: Array) -> Array:
    """The identity, whose gradient is turned round (domain-adversarial training)."""
    return x


reversed_gradient.defvjp(lambda x: (x, None), lambda _, g: (-g,))


def gradient_reversal(dtype: str) -> Model:
    """An affine function with a rule of its own: a value may be hoisted through it, a slope may not."""
    draw = Draw(18, dtype)
    params = {"features": draw.dense(3, 4), "task": draw(4), "domain": draw(4)}

    def losses(params: Any, batch: Any) -> Array:
        x, y, domain = batch
        features = dense(params["features"], x)
        adversary = jnp.tanh(reversed_gradient(features)) @ params["domain"]
        return half_square(jnp.tanh(features) @ params["task"][:, None], y) + jnp.square(adversary - domain)

    return Model(losses, params, (draw(N, 3), draw(N, 1), draw(N)))


@jax.custom_jvp
def halved_gradient(x: Array) -> Array:
    """The identity with half its derivative: affine, but its rule is its own."""
    return x


@halved_gradient.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return primals[0], 0.5 * tangents[0]


@jax.custom_jvp
def leaning_relu(x: Array) -> Array:
    """max(x, 0) with the derivative ¾ at the kink and ⅛ below it."""
    return jnp.maximum(x, 0)


@leaning_relu.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (t,) = primals, tangents
    return leaning_relu(x), t * jnp.where(x > 0, 1.0, jnp.where(x == 0, 0.75, 0.125)).astype(x.dtype)


def custom_jvp_activation(dtype: str) -> Model:
    """At the center an input of 0 with biases of 0 stands on the kink."""
    draw = Draw(19, dtype)
    params = {"kernel": draw(3, 4), "bias": draw(4, scale=0.0), "head": draw.dense(4, 2)}

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        hidden = leaning_relu(halved_gradient(x @ params["kernel"] + params["bias"][None]))
        return half_square(dense(params["head"], hidden), y)

    return Model(losses, params, (draw(N, 3).at[4].set(0), draw(N, 2)))


def stop_gradient(dtype: str) -> Model:
    """Self-distillation: the target is made of the params, its value moves over the plane, its derivative is 0."""
    draw = Draw(20, dtype)
    params = {"encoder": draw.dense(3, 4), "predictor": draw(4, 4)}

    def losses(params: Any, batch: Any) -> Array:
        one, other = batch
        target = lax.stop_gradient(dense(params["encoder"], other))
        return half_square(jnp.tanh(dense(params["encoder"], one)) @ params["predictor"], target)

    return Model(losses, params, (draw(N, 3), draw(N, 3)))


# How much is affine; dtypes; frozen leaves


def linear(dtype: str) -> Model:
    """Least squares: the whole forward pass is affine in the coordinates."""
    draw = Draw(21, dtype)
    params = {"kernel": draw(6, 2), "bias": draw(2)}

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        return half_square(dense(params, x), y)

    return Model(losses, params, (draw(N, 6), draw(N, 2)))


def packed(dtype: str) -> Model:
    """Two layers in one array, cut apart, beside an ensemble of heads that is stacked from leaves."""
    draw = Draw(25, dtype)
    params = {"both": draw(6, 8), "heads": [draw(4, 2) for _ in range(3)]}

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        value, gate = jnp.split(params["both"], 2, axis=1)
        hidden = jnp.tanh(x @ value) * jax.nn.sigmoid(x @ gate)
        return half_square(jnp.mean(hidden[None] @ jnp.stack(params["heads"]), axis=0), y)

    return Model(losses, params, (draw(N, 6), draw(N, 2)))


def nothing_affine(dtype: str) -> Model:
    """Params enter through exp and squares only."""
    draw = Draw(22, dtype)
    params = {"log_scale": draw(3, scale=0.5), "root": draw(3, 4), "log_rate": draw(4, scale=0.3)}

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        rates = jnp.square(x * jnp.exp(params["log_scale"])[None]) @ jnp.square(params["root"])
        return half_square(jnp.exp(-rates) * jnp.exp(params["log_rate"])[None], y)

    return Model(losses, params, (draw(N, 3), draw(N, 4)))


def mixed_bfloat16(dtype: str) -> Model:
    """A bfloat16 layer between wide ones, and a bfloat16 table; entries are multiples of ⅛, so that sums are exact."""
    draw = Draw(23, dtype)

    def narrow(*shape: int) -> Array:
        return (jnp.clip(jnp.round(8 * draw(*shape)), -16, 16) / 8).astype(jnp.bfloat16)

    params = {"embedding": narrow(6, 3), "first": draw(3, 4), "second": narrow(4, 4), "out": draw(4)}

    def losses(params: Any, batch: Any) -> Array:
        words, y = batch
        x = params["embedding"].astype(dtype)[words]
        x = jnp.tanh(jnp.tanh(x @ params["first"]) @ params["second"].astype(dtype))
        return 0.5 * jnp.square(x @ params["out"] - y)

    return Model(losses, params, (draw.integers(6, N), draw(N)))


def frozen_leaves(dtype: str) -> Model:
    """A permutation, a mask and a random key among the params: they stay what they are."""
    draw = Draw(24, dtype)
    params = {
        "order": jnp.asarray([2, 0, 1], jnp.int32),
        "hidden": draw.dense(3, 6),
        "active": jnp.asarray([True, True, False, True, True, True]),
        "dropout": jax.random.key(3),
        "out": draw(6),
    }

    def losses(params: Any, batch: Any) -> Array:
        x, y = batch
        hidden = jnp.tanh(dense(params["hidden"], x[:, params["order"]]))
        kept = params["active"] & (jax.random.uniform(params["dropout"], (6,), jnp.float32) < 0.75)
        return 0.5 * jnp.square(jnp.where(kept[None], hidden, 0) @ params["out"] - y)

    return Model(losses, params, (draw(N, 3), draw(N)))


ARCHITECTURES: dict[str, Callable[[str], Model]] = {
    builder.__name__: builder
    for builder in (
        mlp_tanh,
        mlp_relu,
        residual,
        layer_norm,
        batch_norm_eval,
        convolution,
        attention,
        embedding_gather,
        factorization,
        weight_tying,
        rnn_scan,
        masked_tokens,
        control_flow,
        routing,
        remat,
        nested_jit,
        custom_vjp_loss,
        gradient_reversal,
        custom_jvp_activation,
        stop_gradient,
        linear,
        packed,
        nothing_affine,
        mixed_bfloat16,
        frozen_leaves,
    )
}
