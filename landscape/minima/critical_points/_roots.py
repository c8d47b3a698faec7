"""Zeros of an objective's gradient, many at once: what is compiled.

Points are u (p,) of a `Frame`, see `_local`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape.minima.critical_points._frame import Frame
from landscape.minima.critical_points._local import Inputs, Local, Problem, derivatives, local, risk, value

STEPS = 12  # of the solver before the starts that have arrived are put aside
DESCENT = 128  # steps of BFGS, where a start descends first
DEGENERATE = 1e-6  # of u: how well a zero is known along which the curvature vanishes too; r is that to the third power
SHORT = 1e-6  # of u: a way on which a smooth gradient changes as the Hessian says
FARTHEST = 1e6  # of u: beyond, the rounding of z = x·θ alone is as large as what decides
FLAT = 1e-6  # curvature below this share of the largest at the starts: the start may have run away
DECAY, RISE = 0.55, 10.0  # what the gradient does outward at each doubling, and inward, where it has
TAIL = 1e-3  # of the gradient inward: sizes that only a tail has
INWARD = 60  # halvings of the way, at most: to where a unit saturated at any z is none
OUTWARD = np.array([1.0, 3.0, 7.0])  # to 2, 4 and 8 times


class Assessed(NamedTuple):
    """Of a point u: whether it is a zero, and how well it is known."""

    u: Array  # (p,) after one more Newton step
    value: Array  # J
    error: Array  # of u, from residual, rounding and Hessian
    curvature: Array  # largest |eigenvalue|
    least: Array  # |eigenvalue|
    done: Array


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


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _residual(problem: Problem, u: Array, inputs: Inputs) -> Array:
    return jax.grad(partial(value, problem, inputs))(u)


@_residual.defjvp
def _(problem: Problem, primals: tuple[Array, Inputs], tangents: tuple[Array, Inputs]):
    # The linear map that a solver keeps of each start is a dense Hessian, not what lies behind it, of n examples.
    (u, inputs), (du, _) = primals, tangents
    residual, jacobian = derivatives(problem, inputs, u)
    return residual, jacobian @ du


@partial(jax.jit, static_argnums=0)
def descended(problem: Problem, inputs: Inputs, u: Array) -> Array:
    """u (B, p) after some steps of BFGS on J."""
    import optimistix

    def one(u: Array) -> Array:
        solver = optimistix.BFGS(rtol=1e-8, atol=1e-8)
        return optimistix.minimise(
            lambda u, _: value(problem, inputs, u), solver, u, max_steps=DESCENT, throw=False
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
        eigenvalues, vectors = jnp.linalg.eigh(derivatives(problem, inputs, u)[1])
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
    at = local(problem, inputs, u, *derivatives(problem, inputs, u))
    step, size = at.step(), 1 + jnp.max(jnp.abs(u))
    short = (jnp.max(jnp.abs(step)) <= inputs.tolerance * size) & (jnp.max(at.undecided()) <= DEGENERATE * size)
    done = _vanishes(inputs, u, at) & short
    sizes = jnp.abs(at.eigenvalues)
    return Assessed(
        u=jnp.where(done, u + step, u),
        value=value(problem, inputs, u),
        error=jnp.linalg.norm(at.error(u, at.residual)),
        curvature=sizes.max(),
        least=sizes.min(),
        done=done & jnp.isfinite(step).all(),
    )


def _vanishes(inputs: Inputs, u: Array, at: Local) -> Array:
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
        there, slopes = derivatives(problem, inputs, trial)
        better = jnp.linalg.norm(there) < jnp.linalg.norm(residual)
        u, residual = jnp.where(better, trial, u), jnp.where(better, there, residual)
        jacobian = jnp.where(better, slopes, jacobian)
        return u + local(problem, inputs, u, residual, jacobian).step(), u, residual, jacobian

    nothing = jnp.full_like(u, jnp.inf), jnp.zeros((u.size, u.size))
    _, *found = jax.lax.fori_loop(0, 3, body, (u, u, *nothing))
    return found[0], found[1], found[2]


def _measured(problem: Problem, inputs: Inputs, u: Array) -> Measured:
    u, residual, jacobian = _polished(problem, inputs, u)
    at = local(problem, inputs, u, residual, jacobian)
    along = at.undecided()
    error = at.error(u, residual) + along
    # How far eigenvalues move when the point moves by its error tells rounding and curvature that vanishes from the
    # rest, whatever the Hessian is the difference of.
    around = jax.lax.map(lambda v: derivatives(problem, inputs, v)[1], u + jnp.stack([error, -error]))
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
    gradient, hessian = derivatives(problem, whole, theta)
    return Measured(
        u=u,
        value=value(problem, inputs, u),
        risk=risk(problem, inputs, theta),
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


def _kinked(problem: Problem, inputs: Inputs, u: Array, at: Local) -> Array:
    """Whether the gradient jumps at u: beyond the Hessian's share its change does not shrink with the way."""

    def changes(length: float) -> tuple[Array, Array]:
        steps = length * (1 + jnp.max(jnp.abs(u))) * jnp.concatenate([jnp.eye(u.size), -jnp.eye(u.size)])
        there = jax.lax.map(lambda step: jax.grad(partial(value, problem, inputs))(u + step), steps)
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
    at = local(problem, inputs, u, *derivatives(problem, inputs, u))
    flat, vectors = jnp.abs(at.eigenvalues) <= FLAT * inputs.curvature, at.vectors
    along = vectors @ jnp.where(flat, vectors.T @ u, 0)
    mass = jnp.linalg.norm(at.mass + jnp.abs(at.jacobian) @ jnp.abs(u))

    def size(share: Array) -> Array:
        there = jax.grad(partial(value, problem, inputs))(u + share * along)
        return jnp.linalg.norm(jnp.where(flat, vectors.T @ there, 0))

    noise = jnp.linalg.norm(at.rounding)
    outward = jax.lax.map(size, jnp.concatenate([jnp.zeros(1), OUTWARD]))
    falls = jnp.all(outward[1:] <= jnp.maximum(DECAY * outward[:-1], noise * (1 + OUTWARD)))
    rest = jnp.linalg.norm(jnp.where(flat, 0, vectors.T @ at.residual)) <= 1e-6 * mass
    seen = jnp.concatenate([outward, jnp.zeros(INWARD)])
    far = falls & rest & jnp.any(flat)

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
        lambda state: far & ~fallen(state[1]) & (state[0] < INWARD), inward, (jnp.zeros((), int), seen)
    )
    direction = inputs.frame.basis @ along
    length = jnp.linalg.norm(direction)
    return Plateau(
        far & fallen(seen),
        direction / jnp.where(length > 0, length, 1),
        value(problem, inputs, u + 7 * along),
    )
