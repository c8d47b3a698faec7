"""The extreme eigenvalues of the Hessian in every cell: what does not follow from sums over batches."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.objectives import data as _data
from landscape.objectives.data import Batch
from landscape.objectives.objective import Objective
from landscape.operators import _extremes, _linear, products
from landscape.operators._extremes import FEW
from landscape.operators._linear import Inputs, Program
from landscape.surfaces.sweep import Sweep

CURVATURES = {
    "hessian_min": "smallest eigenvalue of the objective's Hessian",
    "hessian_max": "largest eigenvalue of the objective's Hessian",
    "hessian_ratio": "|smallest / largest| eigenvalue of the objective's Hessian",
    "hessian_residual": "residual ‖Hv − λv‖ of these eigenvalues, the larger one",
    "hessian_converged": "whether these residuals are small",
    "hessian_products": "products with the Hessian that it took",
}
HOW = ("hessian_residual", "hessian_converged", "hessian_products")  # it was computed: no results
USUAL = 100  # products a cell, for planning


class Curved(NamedTuple):
    """What is measured, static: the smallest and the largest eigenvalue of the objective's Hessian."""

    program: Program
    uniform: bool  # each penalty has one β for all entries: it moves all eigenvalues by 2β

    def measure(self, params: Params, data: Batch, sweep: Sweep, size: int) -> dict[str, Array]:
        """Arrays (P,), one entry a penalty; `size` examples are multiplied at a time."""
        moving, count = _trees.floating(params), len(sweep.strengths)
        if sweep.beta is None or self.uniform:
            nothing = jax.tree.map(lambda leaf: np.zeros((), _trees.wide(leaf)), moving)
            found = self._at(params, moving, data, nothing, size)
            found = jax.tree.map(lambda value: jnp.broadcast_to(value, (count,)), found)
            if sweep.beta is not None:
                shift = 2 * jnp.asarray(jax.tree.leaves(sweep.beta)[0], found.smallest.dtype)
                found = found._replace(smallest=found.smallest + shift, largest=found.largest + shift)
        else:
            found = jax.lax.map(
                lambda beta: self._at(params, moving, data, jax.tree.map(lambda b: 2 * b, beta), size), sweep.beta
            )
        # Vectors are rounded to their leaves' dtypes, which the recurrence does not see.
        eps = [float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(moving)]
        rounding = max(eps) if max(eps) > jnp.finfo(found.residual.dtype).eps else 0.0
        largest = jnp.maximum(jnp.abs(found.smallest), jnp.abs(found.largest))
        return {
            "hessian_min": found.smallest,
            "hessian_max": found.largest,
            "hessian_ratio": jnp.abs(found.smallest / found.largest),
            "hessian_residual": found.residual + rounding * largest,
            "hessian_converged": found.converged,
            "hessian_products": found.products,
        }

    def _at(self, params: Params, moving: Params, data: Batch, shift: Params, size: int) -> _extremes.Extremes:
        inputs = Inputs(moving, params, data, shift)
        return _extremes.extremes(_linear.linear(self.program._replace(size=size), inputs), moving)


def curved(objective: Objective, sweep: Sweep) -> Curved:
    """What to measure of an objective.

    Raises: ValueError where its data are not in memory.
    """
    if not _data.in_memory(objective.data):
        raise ValueError(
            "`quantities` has eigenvalues of the Hessian, for which each cell reads all data many times, but the "
            "objective's come from disk or batch by batch. Take fewer: objective.with_data(arrays)."
        )
    program = products.curvature(objective, objective.params).program._replace(size=0)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(sweep.beta)]
    uniform = all(leaf.ndim == 1 and np.array_equal(leaf, leaves[0]) for leaf in leaves)
    return Curved(program, uniform)


def iterates(params: Params) -> bool:
    """Whether the eigenvalues come from an iteration, not from the matrix."""
    return sum(leaf.size for leaf in jax.tree.leaves(_trees.floating(params))) > FEW


def passes(params: Params) -> int:
    """About how often a cell goes through the data."""
    size = sum(leaf.size for leaf in jax.tree.leaves(_trees.floating(params)))
    return 2 * (USUAL if size > FEW else size)
