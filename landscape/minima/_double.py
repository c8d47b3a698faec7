"""Objectives in float64, whatever their own precision: inside `jax.enable_x64(True)`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.objectives.data import Batch
from landscape.objectives.objective import Objective


def widened(objective: Objective) -> tuple[Params, Batch]:
    """(params, data) with all floating-point numbers in float64.

    Raises: ValueError where the losses of these are not float64.
    """
    params, data = (jax.tree.map(_wide, tree) for tree in (objective.params, objective.data))
    out = jax.eval_shape(objective.traced_losses, params, data)
    losses = out[0] if isinstance(out, tuple) else out
    if losses.dtype != np.float64:
        raise ValueError(
            f"`objective` computes its losses in {losses.dtype} of params and data in float64, which is too coarse "
            "here. Leave the dtypes to the arguments: no astype(jnp.float32), no dtype= in a model."
        )
    return params, data


def as_numpy(params: Params) -> Params:
    """Params with NumPy arrays in place of what moves."""
    return jax.tree.map(lambda leaf: np.asarray(leaf) if _trees.is_floating(leaf) else leaf, params)


def _wide(leaf: Any) -> Array:
    return jnp.asarray(leaf, jnp.float64) if _trees.is_floating(leaf) else jnp.asarray(leaf)
