"""A network after some epochs and its Hessian: in float32 for all to measure, in float64 to judge them by."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree
from scipy.sparse.linalg import LinearOperator, eigsh

import landscape as ls
from benchmarks.problems import networks

NAMES = "alpha", "beta"
FINER = 1e-10  # the tolerance of the truth


class Pairs(NamedTuple):
    """Values (k,), vectors (k, p) in the order of `ravel_pytree`; the products that they took, where known."""

    values: np.ndarray
    vectors: np.ndarray
    products: int | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """A network with one hidden layer of tanh, its loss, and where its curvature is measured."""

    network: ls.Network
    objective: ls.Objective
    params: Any  # {"layer1": {"W": (in, out), "b": (out,)}, "layer2": …}, float32
    data: tuple[np.ndarray, np.ndarray]

    @property
    def title(self) -> str:
        """The workload's name in the table."""
        layers = "-".join(map(str, self.network.sizes))
        return f"digits MLP {layers}, trained, {len(self.data[0])} examples"

    @cached_property
    def point(self) -> Array:
        """The params, (p,)."""
        return ravel_pytree(self.params)[0]

    @cached_property
    def plane(self) -> ls.Plane:
        """Of the map."""
        return ls.Plane(self.params, ls.random_directions(jax.random.key(2), self.params, 2), names=NAMES)

    def at(self, *coordinates: float) -> Array:
        """A point of the plane, (p,)."""
        return ravel_pytree(self.plane.point([jnp.float32(c) for c in coordinates]))[0]

    def loss(self, point: Array) -> Array:
        """The risk at params (p,), in their dtype."""
        x, labels = self.data
        like = jax.tree.map(lambda leaf: jnp.asarray(leaf, point.dtype), self.params)
        batch = jnp.asarray(x, point.dtype), jnp.asarray(labels)
        return jnp.mean(self.network.losses(ravel_pytree(like)[1](point), batch))

    @cached_property
    def product(self) -> Callable[[Array, Array], Array]:
        """∇²loss(point)·v, compiled for each dtype."""
        return jax.jit(lambda point, v: jax.jvp(jax.grad(self.loss), (point,), (v,))[1])


def trained(layers: tuple[int, ...], examples: int, epochs: int) -> Problem:
    """After some epochs of gradient descent on minibatches of digits."""
    data = networks.digits(examples)
    network = ls.mlp(layers, activation="tanh", output="softmax", loss="cross_entropy")
    objective, start = network.objective(*data), network.init(jax.random.key(0))
    batch = min(50, examples)
    steps = epochs * -(-examples // batch)
    options: dict[str, Any] = {"batch_size": batch, "key": jax.random.key(1), "record_every": steps, "progress": False}
    path = ls.descend(objective, optax.sgd(0.2), start, steps, **options)
    return Problem(network, objective, jax.tree.map(lambda leaf: jnp.asarray(leaf[-1]), path.params), data)


class Exact(NamedTuple):
    """The Hessian in float64."""

    problem: Problem

    def eigenvalues(self, point: Array, which: str, k: int) -> np.ndarray:
        """k of them as `eigsh` finds them, (k,), ascending."""
        with jax.enable_x64(True):
            wide = _wide(point)
            return lanczos(partial(self.problem.product, wide), wide, k, which, FINER).values

    def product(self, point: Array, vector: np.ndarray) -> np.ndarray:
        """The Hessian's product with a vector (p,)."""
        with jax.enable_x64(True):
            return np.asarray(self.problem.product(_wide(point), _wide(vector)))

    def residuals(self, point: Array, pairs: Pairs) -> np.ndarray:
        """‖Hv − λv‖ of the pairs, their vectors divided by their lengths, (k,)."""
        values, rows = (np.asarray(part, np.float64) for part in pairs[:2])
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        with jax.enable_x64(True):
            products = [np.asarray(self.problem.product(_wide(point), jnp.asarray(row))) for row in rows]
        return np.linalg.norm(np.stack(products) - values[:, None] * rows, axis=1)

    def moments(self) -> np.ndarray:
        """(tr H/p, ‖H‖²_F/p) at the problem's own params, column by column."""
        with jax.enable_x64(True):
            return np.asarray(jax.jit(partial(_moments, self.problem.loss))(_wide(self.problem.point)))


def lanczos(
    product: Callable[[Array], Array], point: Array, k: int, which: str, tolerance: float, basis: int | None = None
) -> Pairs:
    """`scipy.sparse.linalg.eigsh` at one point, in its dtype, with so many Lanczos vectors; values ascending."""
    count = 0

    def matvec(v: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return np.asarray(product(jnp.asarray(v.ravel())))

    make: Any = LinearOperator
    start = np.random.default_rng(0).standard_normal(point.size).astype(point.dtype)
    options: Any = {"tol": tolerance, "ncv": basis, "v0": start}
    matrix = make((point.size, point.size), matvec=matvec, dtype=point.dtype)
    values, vectors = eigsh(matrix, k=k, which=which, **options)
    order = np.argsort(values)
    return Pairs(values[order], vectors.T[order], count)


def _wide(point: Any) -> Array:
    return jnp.asarray(np.asarray(point), jnp.float64)


def _moments(loss: Callable[[Array], Array], point: Array) -> Array:
    _, product = jax.linearize(jax.grad(loss), point)

    def column(i: Array) -> Array:
        entries = product(jnp.zeros_like(point).at[i].set(1))
        return jnp.stack([entries[i], jnp.vdot(entries, entries)])

    return jnp.mean(jax.lax.map(column, jnp.arange(point.size)), axis=0)
