"""Twelve networks on a part of scikit-learn's digits, each on a filter-normalized plane: `problem(name)`.

Six architectures, at initialization and trained. Their risk is smooth to different degrees: analytic (tanh, gelu,
deep), with kinks in every example (relu, residual), and divided by batch statistics that are those of each point.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

import landscape as ls

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "batch norm": jax.nn.relu,
    "deep": jnp.tanh,
    "residual": jax.nn.relu,
}
NAMES = [f"{name}, {when}" for name in ACTIVATIONS for when in ("initial", "trained")]
EXAMPLES, WIDTH, STEPS = 400, 24, 150

Layers = list[dict[str, Array]]


def _params(name: str) -> Layers:
    hidden = {"deep": 5, "residual": 3}.get(name, 1)
    shapes = list(itertools.pairwise((64, *[WIDTH] * hidden, 10)))
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [
        {"kernel": jax.random.normal(key, shape) * (2 / shape[0]) ** 0.5, "bias": jnp.zeros(shape[1])}
        for key, shape in zip(keys, shapes, strict=True)
    ]


def _logits(name: str, params: Layers, x: Array) -> Array:
    *hidden, last = params
    for i, layer in enumerate(hidden):
        z = x @ layer["kernel"] + layer["bias"][None]
        if name == "batch norm":
            z = (z - z.mean(0, keepdims=True)) / jnp.sqrt(z.var(0, keepdims=True) + 1e-3)
        a = ACTIVATIONS[name](z)
        x = x + a if name == "residual" and i else a
    return x @ last["kernel"] + last["bias"][None]


class Losses:
    """Cross-entropy (n,)."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, params: Layers, batch: tuple[Array, Array]) -> Array:
        return optax.softmax_cross_entropy_with_integer_labels(_logits(self.name, params, batch[0]), batch[1])


@functools.cache
def _losses(architecture: str) -> Losses:
    """One object, so that the initial and the trained network are one program."""
    return Losses(architecture)


@functools.cache
def problem(name: str) -> tuple[ls.Objective, ls.Plane]:
    """The objective, of examples that are seen in one batch, and a plane through its params."""
    from sklearn.datasets import load_digits

    architecture, when = name.split(", ")
    images, labels = load_digits(return_X_y=True)
    data = jnp.asarray(images[:EXAMPLES] / 16, jnp.float32), jnp.asarray(labels[:EXAMPLES], jnp.int32)
    losses, params = _losses(architecture), _params(architecture)
    if when == "trained":
        params = _trained(losses, params, data)
    return ls.Objective(losses, data, params=params), ls.Plane(
        params, ls.random_directions(jax.random.key(1), params, 2)
    )


def _trained(losses: Losses, params: Layers, data: Any) -> Layers:
    optimizer = optax.adam(0.01)

    def step(state: Any, _: None) -> tuple[Any, None]:
        params, memory = state
        updates, memory = optimizer.update(jax.grad(lambda p: jnp.mean(losses(p, data)))(params), memory)
        return (optax.apply_updates(params, updates), memory), None

    return jax.jit(lambda p: jax.lax.scan(step, (p, optimizer.init(p)), None, STEPS)[0][0])(params)


def risk_at(name: str, points: np.ndarray) -> np.ndarray:
    """(P,) the risk at points (P, 2) of the plane, by a loop of its own."""
    objective, plane = problem(name)
    return np.asarray(_risks(objective.losses, plane, objective.data, jnp.asarray(points, jnp.float32)), float)


@functools.partial(jax.jit, static_argnums=0)
def _risks(losses: Losses, plane: ls.Plane, data: Any, points: Array) -> Array:
    return jax.lax.map(lambda at: jnp.mean(losses(plane.point(tuple(at)), data)), points, batch_size=32)
