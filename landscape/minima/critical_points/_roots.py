"""Zeros of an objective's gradient, many at once: what is compiled.

θ (p,) is what moves of the params as one vector, and u with θ = T·u the coordinates of a `Frame`; r = Tᵀ∇J and its
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

STEPS = 12  # of the solver before the starts that have arrived are put aside
DESCENT = 128  # steps of BFGS, where a start descends first
SINGULAR = 1e-10  # eigenvalues below this share of the largest take no part in a Newton step
DEGENERATE = 1e-6  # of u: how well a zero is known along which the curvature vanishes too; r is that to the third power
SHORT = 1e-6  # of u: a way on which a smooth gradient changes as the Hessian says
FARTHEST = 1e6  # of u: beyond, the rounding of z = x·θ alone is as large as what decides
FLAT = 1e-6  # curvature below this share of the largest at the starts: the start may have run away
DECAY, RISE = 0.55, 10.0  # what the gradient does outward at each doubling, and inward, where it has
TAIL = 1e-3  # of the gradient inward: sizes that only a tail has
INWARD = 60  # halvings of the way, at most: to where a unit saturated at any z is none
OUTWARD = np.array([1.0, 3.0, 7.0])  # to 2, 4 and 8 times
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


class Assessed(NamedTuple):
    """Of a point u: whether it is a zero, and how well it is known."""

    u: Array  # (p,) after one more Newton step
    value: Array  # J
    error: Array  # of u, from residual, rounding and Hessian
    curvature: Array  # largest |eigenvalue|
    least: Array  # |eigenvalue|
    done: Array


class _Local(NamedTuple):
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


class Measured(NamedTuple):
    """Of a zero u."""

    u: Array
    value: Array
    risk: Array
    gradient: Array  # ∇J (p,)
    hessian: Array  # ∇²J (p, p)
    error: Array  # (p,), of u
    null: Array
    index: Array
    kinked: Array  # the gradient jumps here: no zero
    done: Array


class Plateau(NamedTuple):
    """Whether a point lies where the gradient dies away outward, and what is there."""

    escaped: Array
    direction: Array  # (p,) of θ, norm 1
    value: Array  # J, eight times as far out


def problem_of(objective: Objective) -> tuple[Problem, Batch, Params]:
    """(what is static, data, params), in float64."""
    params, data = _double.widened(objective)
    return Problem(objective.traced_losses, objective.reduction, _trees.shapes(params)), data, params


def _risk(problem: Problem, inputs: Inputs, theta: Array) -> Array:
    return reduced(*weighted_sum(problem.losses, problem.params(theta, inputs.params), inputs.data), problem.reduction)


def _value(problem: Problem, inputs: Inputs, u: Array) -> Array:
    theta = inputs.frame.basis @ u
    return _risk(problem, inputs, theta) + jnp.sum(inputs.l2 * theta**2)


def _derivatives(problem: Problem, inputs: Inputs, u: Array) -> tuple[Array, Array]:
    """r (p,) and its Jacobian (p, p)."""
    gradient, along = jax.linearize(jax.grad(partial(_value, problem, inputs)), u)
    return gradient, jax.vmap(along)(jnp.eye(u.size))


def _gradients(problem: Problem, inputs: Inputs, theta: Array) -> Array:
    """(n + 1, p): the examples' gradients and the penalty's, ωᵢ∇lᵢ and ∇Ω, in θ."""

    def terms(theta: Array) -> Array:
        params = problem.params(theta, inputs.params)
        losses, weights = losses_and_weights(problem.losses, params, inputs.data)
        return reduced(jnp.where(weights == 0, 0, weights * losses), jnp.sum(weights), problem.reduction)

    return jnp.concatenate([jax.jacfwd(terms)(theta), 2 * inputs.l2[None] * theta[None]])


def _local(problem: Problem, inputs: Inputs, u: Array, residual: Array, jacobian: Array) -> _Local:
    basis = inputs.frame.basis
    eigenvalues, vectors = jnp.linalg.eigh(jacobian)
    gradients = _gradients(problem, inputs, basis @ u)
    ways = jnp.concatenate([basis, basis @ vectors], axis=1)  # one product takes half the time of two
    mass, along = jnp.split(jnp.sum(jnp.abs(gradients @ ways), axis=0), 2)
    # θ is rounded, and r is put together of ∇J in θ: both lose what their terms in θ are larger.
    summed = jnp.abs(basis).T @ jnp.sum(jnp.abs(gradients), axis=0)
    parts = jnp.abs(jacobian @ inputs.frame.inverse) @ jnp.abs(basis)
    size = jnp.max(jnp.abs(eigenvalues))
    return _Local(
        residual,
        jacobian,
        eigenvalues,
        vectors,
        mass,
        along,
        rounding=ROUNDING * (summed + parts @ jnp.abs(u)),
        floor=ROUNDING * (u.size * size + jnp.sum(jnp.abs(vectors) * (parts @ jnp.abs(vectors)), axis=0)),
    )


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _residual(problem: Problem, u: Array, inputs: Inputs) -> Array:
    return jax.grad(partial(_value, problem, inputs))(u)


@_residual.defjvp
def _(problem: Problem, primals: tuple[Array, Inputs], tangents: tuple[Array, Inputs]):
    # The linear map that a solver keeps of each start is a dense Hessian, not what lies behind it, of n examples.
    (u, inputs), (du, _) = primals, tangents
    residual, jacobian = _derivatives(problem, inputs, u)
    return residual, jacobian @ du


@partial(jax.jit, static_argnums=0)
def descended(problem: Problem, inputs: Inputs, u: Array) -> Array:
    """u (B, p) after some steps of BFGS on J."""
    import optimistix

    def one(u: Array) -> Array:
        solver = optimistix.BFGS(rtol=1e-8, atol=1e-8)
        return optimistix.minimise(
            lambda u, _: _value(problem, inputs, u), solver, u, max_steps=DESCENT, throw=False
        ).value

    return jax.vmap(one)(u)


@partial(jax.jit, static_argnums=0)
def advanced(problem: Problem, inputs: Inputs, u: Array) -> tuple[Array, Array]:
    """(u after a few steps of Powell's dogleg on ‖|r′|⁻¹r‖², whether the solver calls that the end), of u (B, p).

    |r′| is that of the first u: the natural level function (Deuflhard 2004, Newton Methods for Nonlinear Problems,
    section 3.3), whose valleys are no narrower where the Hessian is ill conditioned.
    """
    import lineax
    import optimistix

    solver = optimistix.Dogleg(rtol=1e-12, atol=1e-12, linear_solver=lineax.SVD())

    def one(u: Array) -> tuple[Array, Array]:
        eigenvalues, vectors = jnp.linalg.eigh(_derivatives(problem, inputs, u)[1])
        sizes = jnp.abs(eigenvalues)
        inverse = (vectors / jnp.maximum(sizes, FLAT * jnp.max(sizes))) @ vectors.T
        level = jnp.where(jnp.isfinite(inverse).all(), inverse, jnp.eye(u.size))
        found = optimistix.least_squares(
            lambda u, given: level @ _residual(problem, u, given), solver, u, inputs, max_steps=STEPS, throw=False
        )
        return found.value, found.result == optimistix.RESULTS.successful

    return jax.vmap(one)(u)


@partial(jax.jit, static_argnums=0)
def assessed(problem: Problem, inputs: Inputs, u: Array) -> Assessed:
    """What is known of points u (B, p)."""
    return jax.vmap(partial(_assessed, problem, inputs))(u)


def _assessed(problem: Problem, inputs: Inputs, u: Array) -> Assessed:
    at = _local(problem, inputs, u, *_derivatives(problem, inputs, u))
    step, size = at.step(), 1 + jnp.max(jnp.abs(u))
    short = (jnp.max(jnp.abs(step)) <= inputs.tolerance * size) & (jnp.max(at.undecided()) <= DEGENERATE * size)
    done = _vanishes(inputs, u, at) & short
    sizes = jnp.abs(at.eigenvalues)
    return Assessed(
        u=jnp.where(done, u + step, u),
        value=_value(problem, inputs, u),
        error=jnp.linalg.norm(at.error(u, at.residual)),
        curvature=sizes.max(),
        least=sizes.min(),
        done=done & jnp.isfinite(step).all(),
    )


def _vanishes(inputs: Inputs, u: Array, at: _Local) -> Array:
    """Whether the gradient is small beside what it is the sum of, and beside what it is one start's scale away.

    Where a unit saturates both shrink with it, so that no such point passes. Along each direction without curvature,
    which takes no part in a Newton step, only the former counts, of the terms along it, and rounding.
    """
    beside = inputs.tolerance * (at.mass + jnp.abs(at.jacobian) @ (1 + jnp.abs(u))) + at.rounding
    small = jnp.all(jnp.abs(at.residual) <= beside)
    noise = inputs.tolerance * at.along + jnp.abs(at.vectors).T @ at.rounding
    flat = jnp.all(at.kept | (jnp.abs(at.vectors.T @ at.residual) <= noise))
    return small & flat & (jnp.max(jnp.abs(u)) <= FARTHEST)


@partial(jax.jit, static_argnums=0)
def measured(problem: Problem, inputs: Inputs, u: Array) -> Measured:
    """Zeros u (B, p) after two more Newton steps each, and their signatures."""
    return jax.vmap(partial(_measured, problem, inputs))(u)


def _polished(problem: Problem, inputs: Inputs, u: Array) -> tuple[Array, Array, Array]:
    """(u, r, r′) after two Newton steps, as far as they make the gradient less."""

    def body(_: Any, state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        trial, u, residual, jacobian = state
        there, slopes = _derivatives(problem, inputs, trial)
        better = jnp.linalg.norm(there) < jnp.linalg.norm(residual)
        u, residual = jnp.where(better, trial, u), jnp.where(better, there, residual)
        jacobian = jnp.where(better, slopes, jacobian)
        return u + _local(problem, inputs, u, residual, jacobian).step(), u, residual, jacobian

    nothing = jnp.full_like(u, jnp.inf), jnp.zeros((u.size, u.size))
    _, *found = jax.lax.fori_loop(0, 3, body, (u, u, *nothing))
    return found[0], found[1], found[2]


def _measured(problem: Problem, inputs: Inputs, u: Array) -> Measured:
    u, residual, jacobian = _polished(problem, inputs, u)
    at = _local(problem, inputs, u, residual, jacobian)
    along = at.undecided()
    error = at.error(u, residual) + along
    # How far eigenvalues move when the point moves by its error tells rounding and curvature that vanishes from the
    # rest, whatever the Hessian is the difference of.
    around = jax.lax.map(lambda v: _derivatives(problem, inputs, v)[1], u + jnp.stack([error, -error]))
    change = jnp.max(jnp.linalg.norm(around - jacobian, axis=(1, 2)))
    uncertain = 16 * (at.floor + change)
    small = jnp.abs(at.eigenvalues) <= uncertain
    null = jnp.sum(small)
    # Newton's method has converged quadratically to the limit of rounding, or linearly where the Hessian vanishes.
    share, size = inputs.tolerance * jnp.where(null > 0, 1.0, 1e-4), 1 + jnp.max(jnp.abs(u))
    short = jnp.all(jnp.abs(at.step()) <= share * size + at.error(u, jnp.zeros_like(u)))
    kinked = _kinked(problem, inputs, u, at)
    theta = inputs.frame.basis @ u
    whole = inputs._replace(frame=Frame(jnp.eye(u.size), jnp.eye(u.size)))
    gradient, hessian = _derivatives(problem, whole, theta)
    return Measured(
        u=u,
        value=_value(problem, inputs, u),
        risk=_risk(problem, inputs, theta),
        gradient=gradient,
        hessian=hessian,
        error=error,
        null=null,
        index=jnp.sum(at.eigenvalues < -uncertain),
        kinked=kinked,
        # An eigenvalue that took no part in the steps, but is none of rounding, says that they did not end at a zero.
        done=short
        & jnp.all(along <= DEGENERATE * size)
        & ~kinked
        & jnp.all(at.kept | small)
        & _vanishes(inputs, u, at),
    )


def _kinked(problem: Problem, inputs: Inputs, u: Array, at: _Local) -> Array:
    """Whether the gradient jumps at u: beyond the Hessian's share its change does not shrink with the way."""

    def changes(length: float) -> tuple[Array, Array]:
        steps = length * (1 + jnp.max(jnp.abs(u))) * jnp.concatenate([jnp.eye(u.size), -jnp.eye(u.size)])
        there = jax.lax.map(lambda step: jax.grad(partial(_value, problem, inputs))(u + step), steps)
        return jnp.linalg.norm(there - at.residual - steps @ at.jacobian, axis=1), jnp.linalg.norm(there, axis=1)

    (far, sizes), (near, _) = changes(SHORT), changes(1e-2 * SHORT)
    noise = 1e-9 * (jnp.linalg.norm(at.mass + jnp.abs(at.jacobian) @ jnp.abs(u)) + sizes)
    return jnp.any((near > 0.5 * far) & (far > noise + jnp.linalg.norm(at.rounding)))


@partial(jax.jit, static_argnums=0)
def plateaus(problem: Problem, inputs: Inputs, u: Array) -> Plateau:
    """Whether points u (B, p) have run away to where the gradient dies away."""
    return jax.vmap(partial(_plateau, problem, inputs))(u)


def _plateau(problem: Problem, inputs: Inputs, u: Array) -> Plateau:
    """Along the part v of u without curvature the gradient in that part falls outward, and has fallen from inward.

    At a critical point without curvature it does not fall outward, or (a flat set) was no larger inward.
    """
    at = _local(problem, inputs, u, *_derivatives(problem, inputs, u))
    flat, vectors = jnp.abs(at.eigenvalues) <= FLAT * inputs.curvature, at.vectors
    along = vectors @ jnp.where(flat, vectors.T @ u, 0)
    mass = jnp.linalg.norm(at.mass + jnp.abs(at.jacobian) @ jnp.abs(u))

    def size(share: Array) -> Array:
        there = jax.grad(partial(_value, problem, inputs))(u + share * along)
        return jnp.linalg.norm(jnp.where(flat, vectors.T @ there, 0))

    noise = jnp.linalg.norm(at.rounding)
    outward = jax.lax.map(size, jnp.concatenate([jnp.zeros(1), OUTWARD]))
    falls = jnp.all(outward[1:] <= jnp.maximum(DECAY * outward[:-1], noise * (1 + OUTWARD)))
    seen = jnp.concatenate([outward, jnp.zeros(INWARD)])

    def fallen(sizes: Array) -> Array:
        # A tail passes through all sizes on its way down; a relu that dies stops at once, at true critical points.
        highest = jnp.max(sizes[len(outward) :])
        tail = jnp.any((sizes > noise) & (sizes < TAIL * highest))
        return (highest > RISE * jnp.maximum(outward[0], noise)) & tail

    def inward(state: tuple[Array, Array]) -> tuple[Array, Array]:
        halvings, sizes = state
        return halvings + 1, sizes.at[len(outward) + halvings].set(size(2.0 ** -(halvings + 1.0) - 1))

    # Only as far as it takes, which is all the way where the gradient never comes up.
    _, seen = jax.lax.while_loop(
        lambda state: falls & ~fallen(state[1]) & (state[0] < INWARD), inward, (jnp.zeros((), int), seen)
    )
    rest = jnp.linalg.norm(jnp.where(flat, 0, vectors.T @ at.residual)) <= 1e-6 * mass
    direction = inputs.frame.basis @ along
    length = jnp.linalg.norm(direction)
    return Plateau(
        falls & fallen(seen) & rest,
        direction / jnp.where(length > 0, length, 1),
        _value(problem, inputs, u + 7 * along),
    )
