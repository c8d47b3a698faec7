"""Symmetric matrices whose eigenvalues were chosen, as objectives over nested params; a small network of digits."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from sklearn.datasets import load_digits

import landscape as ls


def losses(params: Any, batch: Any) -> Any:
    """½λᵢ(qᵢ·θ)²: the Hessian of their sum is Σ λᵢqᵢqᵢᵀ. It is in the data, so that one program serves all matrices."""
    q, values = batch
    theta = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(params)])
    return 0.5 * values * jnp.square(q @ theta)


@dataclass(frozen=True)
class Chosen:
    """A matrix and its objective."""

    objective: ls.Objective
    matrix: np.ndarray  # float64
    values: np.ndarray  # ascending

    @property
    def size(self) -> float:
        """max |λ|."""
        return float(np.abs(self.values).max())

    def ends(self, k: int, which: str) -> np.ndarray:
        """What `top_eigenpairs` is to find."""
        low, high = self.values[:k], self.values[::-1][:k]
        return {"smallest": low, "largest": high, "both": np.r_[low, high[::-1]]}[which]


def of_matrix(matrix: np.ndarray, dtype: str = "float32") -> Chosen:
    """The objective ½θᵀMθ."""
    values, vectors = np.linalg.eigh(matrix)
    size = len(values)
    cut = size // 4
    params = {"a": np.zeros(cut, dtype), "b": [np.zeros((size - cut, 1), dtype)]} if cut else np.zeros(size, dtype)
    data = vectors.T.astype(dtype), values.astype(dtype)
    return Chosen(ls.Objective(losses, data, params=params, reduction="sum"), matrix, values)


def chosen(values: Any, dtype: str = "float32", seed: int = 0) -> Chosen:
    """These eigenvalues, in a random orthonormal basis."""
    values = np.sort(np.asarray(values, np.float64))
    vectors = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    found = of_matrix(vectors @ np.diag(values) @ vectors.T, dtype)
    return Chosen(found.objective, found.matrix, values)


def rows(vectors: Any) -> np.ndarray:
    """Vectors, leaves (k, *leaf), as rows (k, p) in float64."""
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(vectors)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def dense(objective: ls.Objective, params: Any) -> np.ndarray:
    """The Hessian of the objective by `jax.hessian`, in the order of `ls.hessian`."""
    flat, restored = ravel_pytree(params)
    return np.asarray(jax.jit(jax.hessian(lambda theta: objective(restored(theta))))(flat))


@functools.cache
def digits() -> tuple[ls.Objective, Any, np.ndarray]:
    """A 64-6-10 network after 60 steps of Adam on 150 digits, with weight decay: (objective, params, Hessian).

    In float64: call it where that is on.
    """
    x, y = load_digits(return_X_y=True)
    network = ls.mlp((64, 6, 10), output="softmax", loss="cross_entropy")
    objective = network.objective(x[:150] / 16, y[:150], penalty=ls.weight_decay(0.01))
    optimizer, start = optax.adam(0.02), network.init(jax.random.key(0))

    def step(state: Any, _: None) -> Any:
        params, memory = state
        updates, memory = optimizer.update(jax.grad(objective)(params), memory)
        return (optax.apply_updates(params, updates), memory), None

    with jax.numpy_dtype_promotion("standard"):  # Adam counts its steps in integers
        params = jax.jit(lambda p: jax.lax.scan(step, (p, optimizer.init(p)), None, 60)[0][0])(start)
    return objective, params, dense(objective, params)
