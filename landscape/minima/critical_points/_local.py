"""An objective in the coordinates of a `Frame`: values, derivatives, and what these are known to.

θ (p,) is what moves of the params as one vector, and u with θ = T·u the coordinates of a frame; r = Tᵀ∇J and its
Jacobian r′ are the gradient and the Hessian in u. All in float64, inside `jax.enable_x64(True)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.minima import _double
from landscape.minima.critical_points._frame import Frame
from landscape.objectives.data import Batch
from landscape.objectives.objective import Objective, Reduction, losses_and_weights, reduced, weighted_sum
from landscape.objectives.tracing import Versioned

SINGULAR = 1e-10  # eigenvalues below this share of the largest take no part in a Newton step
ROUNDING = 32 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Problem:
    """What compiled code is found by: equal for the same losses and shapes, whatever the data."""

    losses: Versioned
    reduction: Reduction
    shapes: _trees.Shapes  # of the params

    @property
    def sizes(self) -> list[int]:
        """Entries of each leaf: 0 of a frozen one."""
        return [int(np.prod(shape)) if jnp.issubdtype(dtype, jnp.floating) else 0 for shape, dtype in self.shapes[1]]

    def flat(self, params: Params) -> np.ndarray:
        """Params with leaves (…, *shape) as θ (…, p); frozen leaves may be None."""
        leaves = self.shapes[0].flatten_up_to(params)
        parts = []
        for leaf, (shape, _), size in zip(leaves, self.shapes[1], self.sizes, strict=True):
            if size:
                array = np.asarray(leaf, np.float64)
                parts.append(array.reshape(*array.shape[: array.ndim - len(shape)], size))
        return np.concatenate(parts, axis=-1)

    def params(self, theta: Any, frozen: Params) -> Params:
        """θ (…, p) as params with leaves (…, *shape); what is frozen as it is."""
        leaves, start = [], 0
        for own, (shape, _), size in zip(jax.tree.leaves(frozen), self.shapes[1], self.sizes, strict=True):
            moved = theta[..., start : start + size].reshape((*theta.shape[:-1], *shape)) if size else own
            leaves.append(moved)
            start += size
        return jax.tree.unflatten(self.shapes[0], leaves)


class Inputs(NamedTuple):
    """What is traced."""

    data: Batch
    params: Params  # of which the frozen leaves are read
    l2: Array  # β (p,)
    frame: Frame  # T
    curvature: Array  # (): the largest at the starts
    tolerance: Array  # ()


class Local(NamedTuple):
    """Of a point: r and r′ with its eigenvectors v, and what these are known to."""

    residual: Array  # (p,)
    jacobian: Array  # (p, p)
    eigenvalues: Array  # (p,)
    vectors: Array  # (p, p), columns
    mass: Array  # (p,) Σ ωᵢ|∇lᵢ| + |∇Ω|: what the gradient is small beside
    along: Array  # (p,) the same along each v, Σ ωᵢ|v·∇lᵢ| + |v·∇Ω|
    rounding: Array  # (p,) of r
    floor: Array  # (p,) rounding of the eigenvalues

    @property
    def kept(self) -> Array:
        """(p,): which eigenvalues take part in a Newton step."""
        sizes = jnp.abs(self.eigenvalues)
        return (sizes > SINGULAR * jnp.max(sizes)) & (sizes > self.floor)

    def step(self) -> Array:
        """Newton's: the least solution, of a Hessian that is singular or not."""
        return -self.vectors @ self._steps(self.kept)

    def undecided(self) -> Array:
        """(p,): Newton's step along curvatures too small to take part in one, though none of rounding."""
        slow = ~self.kept & (jnp.abs(self.eigenvalues) > self.floor)
        return jnp.abs(self.vectors) @ jnp.abs(self._steps(slow))

    def _steps(self, which: Array) -> Array:
        return jnp.where(which, (self.vectors.T @ self.residual) / jnp.where(which, self.eigenvalues, 1), 0)

    def error(self, u: Array, residual: Array) -> Array:
        """(p,): |r′|⁻¹(|r| + its rounding), and the rounding of u itself."""
        inverse = jnp.where(self.kept, 1 / jnp.where(self.kept, jnp.abs(self.eigenvalues), 1), 0)
        uncertain = jnp.abs(residual) + self.rounding
        return (jnp.abs(self.vectors) * inverse) @ (jnp.abs(self.vectors).T @ uncertain) + ROUNDING * jnp.abs(u)


def problem_of(objective: Objective) -> tuple[Problem, Batch, Params]:
    """(what is static, data, params), in float64."""
    params, data = _double.widened(objective)
    return Problem(objective.traced_losses, objective.reduction, _trees.shapes(params)), data, params


def risk(problem: Problem, inputs: Inputs, theta: Array) -> Array:
    return reduced(*weighted_sum(problem.losses, problem.params(theta, inputs.params), inputs.data), problem.reduction)


def value(problem: Problem, inputs: Inputs, u: Array) -> Array:
    theta = inputs.frame.basis @ u
    return risk(problem, inputs, theta) + jnp.sum(inputs.l2 * theta**2)


def derivatives(problem: Problem, inputs: Inputs, u: Array) -> tuple[Array, Array]:
    """r (p,) and its Jacobian (p, p)."""
    gradient, along = jax.linearize(jax.grad(partial(value, problem, inputs)), u)
    return gradient, jax.vmap(along)(jnp.eye(u.size))


def _gradients(problem: Problem, inputs: Inputs, theta: Array) -> Array:
    """(n + 1, p): the examples' gradients and the penalty's, ωᵢ∇lᵢ and ∇Ω, in θ."""

    def terms(theta: Array) -> Array:
        params = problem.params(theta, inputs.params)
        losses, weights = losses_and_weights(problem.losses, params, inputs.data)
        return reduced(jnp.where(weights == 0, 0, weights * losses), jnp.sum(weights), problem.reduction)

    return jnp.concatenate([jax.jacfwd(terms)(theta), 2 * inputs.l2[None] * theta[None]])


def local(problem: Problem, inputs: Inputs, u: Array, residual: Array, jacobian: Array) -> Local:
    basis = inputs.frame.basis
    eigenvalues, vectors = jnp.linalg.eigh(jacobian)
    gradients = _gradients(problem, inputs, basis @ u)
    ways = jnp.concatenate([basis, basis @ vectors], axis=1)  # one product takes half the time of two
    mass, along = jnp.split(jnp.sum(jnp.abs(gradients @ ways), axis=0), 2)
    # θ is rounded, and r is put together of ∇J in θ: both lose what their terms in θ are larger.
    summed = jnp.abs(basis).T @ jnp.sum(jnp.abs(gradients), axis=0)
    parts = jnp.abs(jacobian @ inputs.frame.inverse) @ jnp.abs(basis)
    size = jnp.max(jnp.abs(eigenvalues))
    return Local(
        residual,
        jacobian,
        eigenvalues,
        vectors,
        mass,
        along,
        rounding=ROUNDING * (summed + parts @ jnp.abs(u)),
        floor=ROUNDING * (u.size * size + jnp.sum(jnp.abs(vectors) * (parts @ jnp.abs(vectors)), axis=0)),
    )
