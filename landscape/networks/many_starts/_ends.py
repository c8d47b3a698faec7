"""Where many runs ended, measured on other data than those they were trained on."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.analysis import _blocks
from landscape.objectives.objective import Batch, Losses, Objective, Predict, reduced, weighted_sum
from landscape.surfaces.quantities import Accuracy


def measured(objective: Objective, params: Params, memory: int | None, decides: bool) -> dict[str, np.ndarray]:
    """{"risk": (m,)} of stacked params, leaves (m, …); where the network `decides`, "accuracy" beside.

    Accuracies count every example alike.
    """
    count = len(jax.tree.leaves(params)[0])
    block = _blocks.plan(objective, (1, count), memory).block[1]
    predict = objective.predict if decides else None
    moving = jax.tree.map(jnp.asarray, _trees.floating(params, like=objective.params))
    found = _measured(
        objective.traced_losses, objective.reduction, predict, block, objective.params, moving, objective.data
    )
    return jax.tree.map(np.asarray, found)


@partial(jax.jit, static_argnames=("losses", "reduction", "predict", "block"))
def _measured(
    losses: Losses, reduction: str, predict: Predict | None, block: int, example: Params, moving: Params, data: Batch
) -> dict[str, Array]:
    def one(moving: Params) -> dict[str, Array]:
        params = _trees.merged(moving, example)
        found = {"risk": reduced(*weighted_sum(losses, params, data), reduction)}
        if predict is not None:
            found["accuracy"] = jnp.mean(Accuracy.right(predict(params, data[0]), data[1]))
        return found

    return jax.lax.map(one, moving, batch_size=block)
