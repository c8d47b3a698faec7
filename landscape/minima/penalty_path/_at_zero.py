"""The two ends of a penalty path: the strength from which on l1 leaves nothing, and where the path goes as λ → 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from landscape.minima import _coordinates, _solve
from landscape.minima._linear import Linear
from landscape.minima._solve import Problem, Solution
from landscape.minima.attainment.attainment import attainment
from landscape.objectives import penalties
from landscape.objectives.objective import Objective

ROUNDING = 1e-12  # of a slope, beside the sum of its terms' sizes: how well the others are minimal


class AtZero(NamedTuple):
    """Where a path goes as λ → 0: in words; its limit (p,), where that is known; its direction (p,), if it has none."""

    words: str
    limit: np.ndarray | None
    direction: np.ndarray | None


def strength_max(model: Linear) -> float:
    """The least λ from which on every l1-penalized parameter is 0: maxⱼ |∂R/∂θⱼ|/αⱼ where the others are minimal.

    Infinite without an l1 term. Where others have an l2 term, which λ multiplies too, it is a fixed point. 0 where
    slopes are no larger than the rounding of the sums that they are.
    """
    thresholded = model.l1 > 0
    if not thresholded.any():
        return np.inf
    columns = ~thresholded
    rest = replace(model, features=model.features[:, columns], l1=model.l1[columns], l2=model.l2[columns])
    problem = _solve.problem(rest) if rest.l1.size else None
    unit = 1.0 if problem is None else problem.unit / problem.weights.sum()
    rounding = ROUNDING * unit * (model.weights @ np.abs(model.features))
    shrunk = model.l2[~thresholded]

    def largest(strength: float) -> float:
        z = np.zeros(len(model.labels))
        if problem is not None:
            z = rest.features @ _solve.solve(problem, rest.l1, strength * shrunk).theta
        slopes = (model.weights * _solve.curve(model.loss)(z, model.labels)[1]) @ model.features
        slopes = np.where(np.abs(slopes) <= rounding, 0.0, np.abs(slopes))
        return float((slopes / np.where(thresholded, model.l1, np.inf)).max())

    return _fixed_point(largest) if shrunk.any() and largest(1.0) > 0 else largest(0.0)


def _fixed_point(function: Callable[[float], float]) -> float:
    """λ > 0 with function(λ) = λ, for a function that is continuous, bounded and positive."""
    from scipy import optimize

    high = low = max(function(1.0), np.finfo(float).tiny)
    while function(high) > high:
        high *= 2
    while function(low) < low:
        low /= 2
    if low == high:
        return low
    found = optimize.root_scalar(lambda s: function(s) - s, bracket=(low, high), method="brentq", rtol=1e-14)
    return float(found.root)


def at_zero(
    objective: Objective, problem: Problem, model: Linear, strengths: np.ndarray, found: list[Solution]
) -> AtZero:
    """Where the path goes, by the problem without a penalty and the path's last steps."""
    order = np.argsort(strengths)
    nothing = np.zeros_like(model.l1)
    free = _solve.solve(problem, nothing, nothing, next((found[i].theta for i in order if found[i].converged), None))
    # The squared error's infimum is attained always; cross-entropy's is decided exactly, where it can be.
    attained = attainment(objective.with_penalty(penalties.none())).attained if problem.flat_tail else True
    if attained is False or (attained is None and free.escaped):
        return _runs_away(strengths, found, [i for i in order if strengths[i] > 0 and found[i].converged])
    if not free.converged:
        words = "settles: without a penalty the infimum of the risk is attained" if attained else "is not decided"
        return AtZero(f"{words}; the solver stopped at a residual of {free.residual:.2g}", None, None)
    null = _coordinates.unseen(model)
    if not null.shape[1]:
        return AtZero("settles at the minimizer without a penalty", free.theta, None)
    words = "settles at the one of least Ω among the minimizers without a penalty"
    return AtZero(words, None if model.l1.any() else _least_norm(free.theta, null, model.l2), None)


def _runs_away(strengths: np.ndarray, found: list[Solution], last: list[int]) -> AtZero:
    words = "runs away: without a penalty the infimum of the risk is not attained"
    if len(last) < 2:
        return AtZero(words, None, None)
    near, far = (found[i].theta for i in last[:2])
    decades = np.log10(strengths[last[1]] / strengths[last[0]])
    growth = (np.linalg.norm(near) - np.linalg.norm(far)) / decades
    step = near - far
    length = np.linalg.norm(step)
    return AtZero(f"{words}; ‖θ‖ grows by {growth:.3g} a decade of 1/λ", None, step / length if length else None)


def _least_norm(theta: np.ndarray, null: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The point of θ + span(null) with the least Σ βⱼθⱼ²."""
    root = np.sqrt(beta)
    return theta - null @ np.linalg.lstsq(root[:, None] * null, root * theta, rcond=None)[0]
