"""Twelve networks on a part of scikit-learn's digits, each on a filter-normalized plane: `risk_of(name)`.

Six architectures, at initialization and trained. Their risk is smooth to different degrees: analytic (tanh, gelu, deep),
with kinks in every example (relu, convolutions), and divided by batch statistics that are computed anew at each point.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

import landscape as ls

ARCHITECTURES = ("tanh", "relu", "gelu", "batch norm", "deep", "residual")
NAMES = [f"{name}, {when}" for name in ARCHITECTURES for when in ("initial", "trained")]
EXAMPLES, STEPS = 400, 150


def _layers(name: str) -> list[tuple[int, ...]]:
    if name == "convolutions":
        return [(3, 3, 1, 6), (3, 3, 6, 8), (4 * 8, 10)]
    widths = (64, *(24,) * (5 if name == "deep" else 1), 10)
    return list(zip(widths[:-1], widths[1:], strict=True))


def _params(name: str) -> list[dict[str, Array]]:
    shapes = _layers(name)
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [
        {"kernel": jax.random.normal(k, s) * (2 / np.prod(s[:-1])) ** 0.5, "bias": jnp.zeros(s[-1])}
        for k, s in zip(keys, shapes, strict=True)
    ]


def _logits(name: str, params: list[dict[str, Array]], x: Array) -> Array:
    activation = {"tanh": jnp.tanh, "gelu": jax.nn.gelu, "deep": jnp.tanh}.get(name, jax.nn.relu)
    *hidden, last = params
    if name == "convolutions":
        x = x.reshape(-1, 8, 8, 1)
    for layer in hidden:
        if name == "convolutions":
            x = jax.lax.conv_general_dilated(
                x, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = activation(x + layer["bias"])
            x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean((2, 4))
            continue
        x = x @ layer["kernel"] + layer["bias"]
        if name == "batch norm":
            x = (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-3)
        x = activation(x)
    return x.reshape(len(x), -1) @ last["kernel"] + last["bias"]


def _data() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return jnp.asarray(x[:EXAMPLES] / 16, jnp.float32), jnp.asarray(y[:EXAMPLES], jnp.int32)


def _losses(name: str) -> Callable[[Any, Any], Array]:
    def losses(params: Any, batch: tuple[Array, Array]) -> Array:
        return optax.softmax_cross_entropy_with_integer_labels(_logits(name, params, batch[0]), batch[1])

    return losses


@functools.cache
def problem(name: str) -> tuple[ls.Objective, ls.Plane]:
    """The objective (all examples in one batch) and a plane through its params, both filter-normalized."""
    architecture, when = name.split(", ")
    losses, params, data = _losses(architecture), _params(architecture), _data()
    if when == "trained":
        params = _trained(losses, params, data)
    objective = ls.Objective(losses, data, params=params)
    return objective, ls.Plane(params, ls.random_directions(jax.random.key(1), params, 2))


def _trained(losses: Any, params: Any, data: Any) -> Any:
    optimizer = optax.adam(0.01)

    def step(state: Any, _: None) -> tuple[Any, None]:
        params, memory = state
        updates, memory = optimizer.update(jax.grad(lambda p: jnp.mean(losses(p, data)))(params), memory)
        return (optax.apply_updates(params, updates), memory), None

    return jax.jit(lambda p: jax.lax.scan(step, (p, optimizer.init(p)), None, STEPS)[0][0])(params)


def risk_at(name: str, points: np.ndarray) -> np.ndarray:
    """(P,) the risk at points (P, 2) of the plane, by a loop of its own."""
    objective, plane = problem(name)

    def risk(at: Array) -> Array:
        return jnp.mean(objective.losses(plane.point(tuple(at)), objective.data))

    return np.asarray(jax.jit(lambda p: jax.lax.map(risk, p, batch_size=32))(jnp.asarray(points, jnp.float32)), float)
