"""Minimizers of convex risks of linear models with l1 and l2 penalties: the proximal Newton method.

Each step goes to the minimizer of Ω and the quadratic model of R (Lee, Sun & Saunders 2014, SIAM J. Optim. 24), found
exactly; so zeros are exact, and near a minimizer the number of right digits doubles with each step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from landscape.minima import _coordinates, _quadratic
from landscape.minima._coordinates import Coordinates
from landscape.minima._linear import Linear
from landscape.objectives.losses import CrossEntropy, PointwiseLoss

SUFFICIENT = 1e-4  # Armijo's share of the predicted decrease
HALVINGS = 60
SMALL_STEP = 0.1  # in z: near a minimizer Newton's steps get short, where the loss dies off exponentially they are ≥ 1
ESCAPING = 3  # steps longer than that, taken with a residual below the tolerance, until it is called a flight
DEAD = 30.0  # |z| from where on a loss and its derivatives are below 1e-13, or it is linear
FURTHER = 5.0  # beyond max |z|: how far a step may lead in z
SATURATED = 20.0  # |z| up to which starts are taken: σ(−20) = 2e-9

Curve = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Solution:
    """What `minimize` found."""

    theta: np.ndarray  # (p,)
    residual: float  # norm of J's minimum-norm subgradient at θ
    converged: bool  # whether θ is a minimizer
    steps: int
    value: float = np.nan  # J(θ), of z before θ is rounded
    escaped: bool = False  # whether θ runs away: the infimum is not attained


@dataclass(frozen=True, eq=False)
class Problem:
    """A linear model in the coordinates φ (q,) it is solved in: see `_coordinates`."""

    columns: np.ndarray  # (q, n): z = φ·columns
    labels: np.ndarray  # (n,)
    weights: np.ndarray  # (n,), in units of the level
    level: float  # a power of two near the weights' sum: J is minimized in units of it
    seen: np.ndarray  # (q,): which columns are not 0
    coordinates: Coordinates
    unit: float  # size of a gradient in φ where nothing is fitted
    curve: Curve  # (z, y) -> loss, its first and its second derivative
    flat_tail: bool  # the loss has an infimum that it does not take


def minimize(
    model: Linear, start: np.ndarray | None = None, *, tolerance: float = 1e-12, max_steps: int = 10_000
) -> Solution:
    """A minimizer θ of J(θ) = Σᵢ ωᵢ loss(x̃ᵢ·θ, yᵢ) + Σⱼ αⱼ|θⱼ| + βⱼθⱼ² for a loss convex in z; α's zeros are exact.

    start:     θ (p,); 0 by default.
    tolerance: of the residual, relative to the size of gradients: with columns of unit size, weights that add up to 1,
               and labels of unit size under squared error.
    Returns: a `Solution`. `converged` is False where the residual stays above the tolerance, and where the infimum is
    not attained: the residual gets as small as one likes there, but not Newton's steps.
    Raises: ValueError for a loss that is not convex.
    """
    given = problem(model)
    if start is not None and given.flat_tail and start.any():
        # Further out a loss has died off, and its derivatives tell nothing of where it came from.
        start = start * min(1.0, SATURATED / max(np.abs(model.features @ start).max(), SATURATED))
    return solve(given, model.l1, model.l2, start, tolerance=tolerance, max_steps=max_steps)


def problem(model: Linear) -> Problem:
    """The risk of a model, made ready for any number of penalties."""
    level = float(np.exp2(np.round(np.log2(model.weights.sum()))))
    weights = model.weights / level
    weight = weights.sum()
    flat_tail = isinstance(model.loss, CrossEntropy)
    label_size = 1.0 if flat_tail else float(np.sqrt(weights @ np.square(model.labels) / weight))
    columns, coordinates = _coordinates.of(model)
    unit = float(weight * (label_size or 1.0))
    seen = (columns != 0).any(axis=1)
    return Problem(columns, model.labels, weights, level, seen, coordinates, unit, curve(model.loss), flat_tail)


def solve(
    problem: Problem,
    l1: np.ndarray,
    l2: np.ndarray,
    start: np.ndarray | None = None,
    *,
    tolerance: float = 1e-12,
    max_steps: int = 10_000,
) -> Solution:
    """`minimize` for one penalty, α and β (p,)."""
    coordinates = problem.coordinates
    l1, l2 = l1 / problem.level, l2 / problem.level
    descent = _Descent(problem, *coordinates.penalty(l1, l2), tolerance)
    point = descent.point(coordinates.phi(np.zeros(len(l1)) if start is None else start))
    escaping, converged, checked = 0, False, False
    for steps in range(max_steps + 1):
        if not np.isfinite(point.residual):
            break
        direction = descent.direction(point)
        if point.residual <= tolerance:
            if not problem.flat_tail or np.abs(direction @ problem.columns).max() <= SMALL_STEP:
                nearer = None if checked else descent.nearer(point)
                if nearer is None:
                    converged, point = True, descent.polished(point, direction)
                    break
                point, checked = nearer, True
                continue
            escaping += 1
        following = descent.step(point, direction) if steps < max_steps and escaping < ESCAPING else None
        if following is None:
            break
        point = following
    theta = coordinates.theta(point.phi)
    residual = problem.level * coordinates.residual(point.gradient, theta, l1)
    return Solution(theta, residual, converged, steps, problem.level * point.value, escaping >= ESCAPING)


class _Point(NamedTuple):
    """φ and what is known of J there."""

    phi: np.ndarray
    z: np.ndarray  # (n,)
    value: float
    gradient: np.ndarray  # of the risk and the l2 term (p,)
    curvature: np.ndarray  # ωᵢ ∂²loss/∂z² (n,)
    subgradient: np.ndarray  # of least norm (p,)
    residual: float  # its norm in units of the problem's


@dataclass(frozen=True, eq=False)
class _Descent:
    """The steps down J for one penalty, in φ."""

    problem: Problem
    alpha: np.ndarray
    beta: np.ndarray
    tolerance: float

    def point(self, phi: np.ndarray) -> _Point:
        """What is known of J at φ."""
        given, alpha = self.problem, self.alpha
        z = phi @ given.columns
        loss, slope, curvature = given.curve(z, given.labels)
        gradient = given.columns @ (given.weights * slope) + 2 * self.beta * phi
        soft = np.sign(gradient) * np.maximum(np.abs(gradient) - alpha, 0)
        subgradient = np.where((phi == 0) & (alpha > 0), soft, gradient + alpha * np.sign(phi))
        value = given.weights @ loss + alpha @ np.abs(phi) + self.beta @ np.square(phi)
        residual = float(np.linalg.norm(subgradient)) / given.unit
        return _Point(phi, z, float(value), gradient, given.weights * curvature, subgradient, residual)

    def direction(self, point: _Point) -> np.ndarray:
        """To the minimizer of J's quadratic model, in the parameters that are not 0 or that their slope moves."""
        given, phi = self.problem, point.phi
        threshold = 0.1 * self.tolerance * given.unit / np.sqrt(len(phi))
        free = (phi != 0) | (self.alpha == 0) | (np.abs(point.subgradient) > threshold)
        chosen = np.flatnonzero(free & (given.seen | (point.subgradient != 0)))
        # One factor twice: NumPy computes half of a symmetric product.
        root, alpha = given.columns[chosen] * np.sqrt(point.curvature), self.alpha[chosen]
        hessian = root @ root.T
        hessian.flat[:: chosen.size + 1] += 2 * self.beta[chosen]
        best = _quadratic.minimum(
            hessian, point.gradient[chosen], alpha, phi[chosen], threshold=threshold, unit=given.unit
        )
        direction = np.zeros_like(phi)
        direction[chosen] = best - phi[chosen]  # φ + (0 − φ) is 0 exactly: zeros stay such in a whole step
        return direction

    def step(self, point: _Point, direction: np.ndarray) -> _Point | None:
        """The first point along the direction that is low enough; None if there is none."""
        size = 1.0
        if self.problem.flat_tail:  # from where the loss is linear Newton's step is long beyond measure
            furthest = np.abs(direction @ self.problem.columns).max()
            size = min(1.0, (FURTHER + np.abs(point.z).max()) / max(furthest, FURTHER))
        for _ in range(HALVINGS):
            moved = point.phi + size * direction
            tried = self.point(moved)
            predicted = point.gradient @ (moved - point.phi) + self.alpha @ (np.abs(moved) - np.abs(point.phi))
            if predicted < 0 and tried.value <= point.value + SUFFICIENT * predicted:
                return tried
            # Below rounding of J, its gradient still tells.
            if tried.value <= point.value + 1e-14 * abs(point.value) and tried.residual <= 0.9 * point.residual:
                return tried
            size /= 2
        return None

    def nearer(self, point: _Point) -> _Point | None:
        """The point without its part along which only examples with a loss that has died off would notice.

        Whether that part is at a minimum or in flight, derivatives of 1e-14 do not tell. None if there is no such part.
        """
        given, unpenalized = self.problem, (self.alpha == 0) & (self.beta == 0)
        dead = (np.abs(point.z) > DEAD) & (given.weights > 0)
        if not (dead.any() and unpenalized.any()):
            return None
        columns = given.columns[unpenalized]
        hidden = _coordinates.null_space(columns[:, ~dead & (given.weights > 0)].T)
        part = hidden @ (hidden.T @ point.phi[unpenalized])
        if np.abs(part @ columns).max() <= SMALL_STEP:
            return None
        phi = point.phi.copy()
        phi[unpenalized] -= part
        return self.point(phi)

    def polished(self, point: _Point, direction: np.ndarray) -> _Point:
        """One more step if it lowers the residual."""
        tried = self.point(point.phi + direction)
        return tried if tried.residual < point.residual else point


def curve(loss: PointwiseLoss) -> Curve:
    """The loss and its first two derivatives in z, NumPy: (n,) each."""
    if isinstance(loss, CrossEntropy):
        return _cross_entropy
    if loss.convex:
        return _half_squared
    raise ValueError(f"`model` has the loss {loss}, which is not convex in z; minimize takes convex ones.")


def _cross_entropy(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    e = np.exp(-np.abs(z))
    small = e / (1 + e)  # σ(−|z|)
    loss = np.maximum(z, 0) - y * z + np.log1p(e)
    slope = np.where(z > 0, (1 - y) - small, small - y)
    return loss, slope, small / (1 + e)


def _half_squared(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    error = z - y
    return 0.5 * np.square(error), error, np.ones_like(error)
