"""Increases of the risk in a ball around params, in coordinates that may be rescaled.

increase(u) = R(θ + t ⊙ u) − R(θ)         t = 1, or |θ| for the adaptive ball ‖δ/|θ|‖ ≤ ρ
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.objectives import data as _data
from landscape.objectives.data import Batch
from landscape.objectives.objective import Losses, Objective, losses_and_weights, reduced
from landscape.operators.estimates import Trace, trace
from landscape.operators.products import PRECISION, Curvature, curvature
from landscape.operators.top_eigenpairs import Eigenpairs, top_eigenpairs


@dataclass(frozen=True)
class Moved:
    """A function of params, losses or prepare, as one of {"at": θ, "scale": t, "u": u}: f(θ + t ⊙ u, ·).

    Equal by value: one compiled program serves all params and all scales.
    """

    f: Callable[[Params, Any], Any]

    def __call__(self, given: Params, batch: Any) -> Any:
        """f(θ + t ⊙ u, batch), the sum in float32 or wider."""

        def leaf(own: Array, scale: Array, step: Array) -> Array:
            return (own.astype(step.dtype) + scale * step).astype(own.dtype)

        moving = jax.tree.map(leaf, _trees.floating(given["at"]), given["scale"], given["u"])
        return self.f(_trees.merged(moving, given["at"]), batch)


@dataclass(frozen=True, eq=False)
class Ball:
    """The risk around params as a function of u."""

    operator: Curvature  # the Hessian by u, at u = 0

    def increase(self, u: Params) -> Array:
        """R(θ + t ⊙ u) − R(θ)."""
        return self._summed(u, False)[0]

    def with_slope(self, u: Params) -> tuple[Array, Params]:
        """The increase, and its gradient by u."""
        return self._summed(u, True)

    def zero(self) -> Params:
        """u = 0."""
        return jax.tree.map(jnp.zeros_like, self.operator.params["scale"])

    def random(self, key: Array) -> Params:
        """Independent normal numbers; 0 where the scale is, and nothing moves."""
        return _random(key, self.operator.params["scale"])

    @cached_property
    def smooth(self) -> bool:
        """Whether θ and the Hessian there are finite."""
        return is_finite(self.operator)

    def eigenpair(self, key: Array, **options: Any) -> Eigenpairs | None:
        """The largest eigenvalue of the Hessian by u, and its eigenvector; None where the Hessian is not finite."""
        operator = self.operator
        if not self.smooth:
            return None
        return top_eigenpairs(operator.objective, operator.params, key=key, leaves="u", **options)

    def trace(self, key: Array, **options: Any) -> Trace | None:
        """The trace of the Hessian by u; None where the Hessian is not finite."""
        operator = self.operator
        return trace(operator.objective, operator.params, key=key, leaves="u", **options) if self.smooth else None

    def _summed(self, u: Params, slope: bool) -> tuple[Array, Any]:
        program, objective = self.operator.program, self.operator.objective
        sums: Any = None
        with jax.default_matmul_precision(PRECISION):
            for batch in _data.batches(objective.data, program.size):
                part = _share(program.losses, self.operator.params, u, batch, slope)
                sums = part if sums is None else jax.tree.map(jnp.add, sums, part)
        totals, weight = sums
        return jax.tree.map(lambda total: reduced(total, weight.astype(total.dtype), objective.reduction), totals)


def ball(
    objective: Objective, params: Params, *, adaptive: bool, batch_size: int | None = None, memory: int | None = None
) -> Ball:
    """The ball around params of an objective: of its risk, without the penalty."""
    moving = _trees.floating(params)
    wide = jax.tree.map(lambda leaf: leaf.astype(_trees.wide(leaf)), moving)
    scale = jax.tree.map(jnp.abs if adaptive else jnp.ones_like, wide)
    given = {"at": params, "scale": scale, "u": jax.tree.map(jnp.zeros_like, wide)}
    prepare = objective.prepare
    moved = Objective(
        Moved(objective.losses) if prepare is None else objective.losses,
        objective.data,
        params=given,
        reduction=objective.reduction,
        prepare=None if prepare is None else Moved(prepare),
        prepare_batch_size=objective.prepare_batch_size,
    )
    return Ball(curvature(moved, given, leaves="u", batch_size=batch_size, memory=memory))


def is_finite(operator: Curvature) -> bool:
    """Whether params and matrix are; by one product, of a vector without zeros: what is not finite, stays in it."""
    ones = jax.tree.map(lambda leaf: jnp.ones((1, *leaf.shape), _trees.wide(leaf)), operator.inputs.moving)
    moving = _trees.floating(operator.params)
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((moving, operator.times(ones))))


@partial(jax.jit, static_argnames=("losses", "slope"))
def _share(losses: Losses, params: Params, u: Params, batch: Batch, slope: bool) -> tuple[tuple[Array, Any], Array]:
    """((Σ wᵢ(lᵢ(u) − lᵢ(0)), its gradient by u if it is wanted), Σ wᵢ) of one batch.

    Of differences of each loss, not of two risks: less is lost to rounding.
    """
    start, weights = losses_and_weights(losses, params, batch)
    weight = jnp.sum(weights)
    safe = jnp.where(weight == 0, jnp.ones_like(weight), weight)  # a batch of padding alone

    def mean(u: Params) -> Array:
        values = losses_and_weights(losses, params | {"u": u}, batch)[0]
        return jnp.sum(jnp.where(weights == 0, 0, weights * (values - start))) / safe

    found = jax.value_and_grad(mean)(u) if slope else (mean(u), None)
    # Of the mean, and multiplied after: a sum over examples overflows float16.
    return jax.tree.map(lambda out: out * weight.astype(out.dtype), found), weight


@jax.jit
def _random(key: Array, scale: Params) -> Params:
    leaves, structure = jax.tree.flatten(scale)
    each = zip(jax.random.split(key, len(leaves)), leaves, strict=True)
    return structure.unflatten([jnp.where(t == 0, 0, jax.random.normal(k, t.shape, t.dtype)) for k, t in each])
