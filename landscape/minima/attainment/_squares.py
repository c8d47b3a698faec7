"""The half squared error of a sigmoid or tanh neuron, and a search for its finite minima from many starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

SETTLED = 1e-9  # residual, beside the size of gradients, of what counts as a minimum
SAME = 1e-5  # distance in z, of values that agree to EQUAL, up to which two minima are one
EQUAL = 1e-10
POLISHED = 40  # starts that are followed to the bottom
AT_ONCE = 10**7  # numbers in memory while starts are compared
NEWTON = 30
SINGULAR = 1e-14  # curvature, beside the largest, below which Newton's step is all rounding


class Minimum(NamedTuple):
    """A finite local minimum."""

    theta: np.ndarray  # (p,)
    value: float
    residual: float  # norm of the minimum-norm subgradient
    settled: bool


@dataclass(frozen=True, eq=False)
class Squares:
    """J(θ) = Σᵢ ½ωᵢ(σ(x̃ᵢ·θ) − tᵢ)² + Σⱼ αⱼ|θⱼ| + βⱼθⱼ².

    tanh z = 2σ(2z) − 1, so the error of tanh at t is the sigmoid's at (1 + t)/2 with rows 2x̃ and weights 4ω.
    """

    rows: np.ndarray  # (n, p)
    targets: np.ndarray  # (n,)
    weights: np.ndarray  # (n,)
    l1: np.ndarray  # (p,)
    l2: np.ndarray  # (p,)

    @property
    def up(self) -> np.ndarray:
        """Each example's loss (n,) at z = ∞."""
        return 0.5 * self.weights * np.square(1 - self.targets)

    @property
    def down(self) -> np.ndarray:
        """Each example's loss (n,) at z = −∞."""
        return 0.5 * self.weights * np.square(self.targets)

    @property
    def unit(self) -> float:
        """A size of the objective."""
        return float(np.maximum(self.up, self.down).sum())

    def only(self, chosen: np.ndarray) -> Squares:
        """The part of some examples."""
        return replace(self, rows=self.rows[chosen], targets=self.targets[chosen], weights=self.weights[chosen])

    def values(self, thetas: np.ndarray) -> np.ndarray:
        """J (m,) at θ (m, p)."""
        out = np.empty(len(thetas))
        step = max(1, AT_ONCE // len(self.rows))
        for first in range(0, len(thetas), step):
            part = thetas[first : first + step]
            losses = 0.5 * np.square(_errors(part @ self.rows.T, self.targets)) @ self.weights
            out[first : first + step] = losses + np.abs(part) @ self.l1 + np.square(part) @ self.l2
        return out

    def smooth(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """J without l1, its gradient (p,) and its Hessian (p, p)."""
        from scipy.special import expit

        z = self.rows @ theta
        error, slope = _errors(z, self.targets), expit(z) * expit(-z)
        value = float(0.5 * self.weights @ np.square(error) + self.l2 @ np.square(theta))
        gradient = (self.weights * error * slope) @ self.rows + 2 * self.l2 * theta
        curvature = self.weights * (np.square(slope) + error * slope * (expit(-z) - expit(z)))
        return value, gradient, (self.rows * curvature[:, None]).T @ self.rows + np.diag(2 * self.l2)

    def subgradient(self, theta: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The element of least norm in gradient + α∂|θ|."""
        soft = np.sign(gradient) * np.maximum(np.abs(gradient) - self.l1, 0)
        return np.where(theta == 0, soft, gradient + self.l1 * np.sign(theta))


def least(problem: Squares, starts: np.ndarray) -> list[Minimum]:
    """The global minima among those found from starts (m, p): the best starts are followed, the lowest come back.

    All that are lowest to rounding, one of each place; a point that runs off to infinity is among them unsettled.
    """
    order = np.argsort(problem.values(starts), kind="stable")
    spread = order[:: max(1, len(order) // (POLISHED // 2))]  # not only the best: they may lie in one basin
    chosen = list(dict.fromkeys([*order[: POLISHED // 2].tolist(), *spread.tolist()]))
    found = sorted((_followed(problem, starts[i]) for i in chosen), key=lambda one: one.value)
    lowest = [one for one in found if one.value <= found[0].value + EQUAL * problem.unit]
    kept: list[Minimum] = []
    for one in sorted(lowest, key=lambda one: (not one.settled, one.value)):
        if all(np.abs(problem.rows @ (one.theta - other.theta)).max() > SAME for other in kept):
            kept.append(one)
    return kept


def polar(problem: Squares) -> np.ndarray:
    """Starts (m, p) for rows of norm near 1: directions times radii from where σ is straight to where it is flat."""
    p = problem.rows.shape[1]
    norms = np.linalg.norm(problem.rows, axis=1)
    norms = norms[norms > 0]
    radii = np.geomspace(0.1 / norms.max(), 40 / norms.min(), 400 if p == 1 else 48)
    if p == 1:
        directions = np.array([[1.0], [-1.0]])
    else:
        angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([np.zeros((1, p)), *(radius * directions for radius in radii), _solutions(problem)])


def scattered(problem: Squares, count: int = 30) -> np.ndarray:
    """Starts in any number of dimensions: 0, and random ones of z between 0.3 and 30."""
    rng = np.random.default_rng(0)
    p = problem.rows.shape[1]
    size = np.abs(problem.rows).max(axis=0)
    unit = rng.normal(size=(count, p)) / np.sqrt(p) / np.where(size > 0, size, 1.0)
    return np.concatenate([np.zeros((1, p)), unit * np.geomspace(0.3, 30, count)[:, None]])


def basins(problem: Squares, grid: np.ndarray) -> np.ndarray:
    """Of one parameter: the starts that are lower than their neighbors on the line; of more: all."""
    if problem.rows.shape[1] > 1:
        return grid
    line = np.unique(grid[:, 0])
    values = problem.values(line[:, None])
    lower = np.ones(len(line), bool)
    lower[1:] &= values[1:] <= values[:-1]
    lower[:-1] &= values[:-1] <= values[1:]
    return line[lower][:, None]


def _solutions(problem: Squares) -> np.ndarray:
    """Where single examples, or pairs of them, are fitted exactly (m, p)."""
    inside = np.flatnonzero((problem.targets > 0) & (problem.targets < 1) & problem.rows.any(axis=1))[:40]
    rows = problem.rows[inside]
    z = np.log(problem.targets[inside]) - np.log1p(-problem.targets[inside])
    if problem.rows.shape[1] == 1:
        return (z / rows[:, 0])[:, None]
    first, second = np.triu_indices(len(inside), 1)
    blocks = np.stack([rows[first], rows[second]], axis=1)
    regular = np.abs(np.linalg.det(blocks)) > 1e-8 * np.linalg.norm(blocks, axis=2).prod(axis=1)
    right = np.stack([z[first], z[second]], axis=1)[regular]
    return np.linalg.solve(blocks[regular], right[..., None])[..., 0]


def _followed(problem: Squares, start: np.ndarray) -> Minimum:
    """The local minimum below a start: L-BFGS-B on θ = u − v, u, v ≥ 0, where there is l1; then Newton's steps."""
    from scipy.optimize import minimize

    options = {"maxiter": 500, "ftol": 1e-16, "gtol": 1e-10 * problem.unit}
    if problem.l1.any():
        p = len(start)

        def split(parts: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient, _ = problem.smooth(parts[:p] - parts[p:])
            sides = np.concatenate([gradient + problem.l1, problem.l1 - gradient])
            return value + float(problem.l1 @ (parts[:p] + parts[p:])), sides

        begin = np.concatenate([np.maximum(start, 0), np.maximum(-start, 0)])
        found = minimize(split, begin, jac=True, method="L-BFGS-B", bounds=[(0, None)] * (2 * p), options=options)
        theta = found.x[:p] - found.x[p:]
    else:
        found = minimize(lambda t: problem.smooth(t)[:2], start, jac=True, method="L-BFGS-B", options=options)
        theta = found.x
    return _polished(problem, theta)


def _polished(problem: Squares, theta: np.ndarray) -> Minimum:
    """Newton's steps in the parameters that are not 0, as long as the subgradient shrinks."""
    _, gradient, hessian = problem.smooth(theta)
    slope = problem.subgradient(theta, gradient)
    for _ in range(NEWTON):
        moving = np.flatnonzero((theta != 0) | (problem.l1 == 0))
        block = hessian[np.ix_(moving, moving)]
        curvatures = np.linalg.eigvalsh(block)
        if not len(moving) or curvatures[0] <= SINGULAR * np.abs(curvatures).max():
            break
        following = theta.copy()
        following[moving] -= np.linalg.solve(block, slope[moving])
        _, gradient, next_hessian = problem.smooth(following)
        next_slope = problem.subgradient(following, gradient)
        crosses = np.any((problem.l1 > 0) & (following * theta < 0))
        if crosses or not np.linalg.norm(next_slope) < np.linalg.norm(slope):
            break
        theta, slope, hessian = following, next_slope, next_hessian
    return _minimum(problem, theta, slope, hessian)


def _minimum(problem: Squares, theta: np.ndarray, slope: np.ndarray, hessian: np.ndarray) -> Minimum:
    size = np.abs(problem.rows).max(axis=0)
    size = np.where(size > 0, size, 1.0)
    moving = np.flatnonzero((theta != 0) | (problem.l1 == 0))
    scaled = (hessian / np.outer(size, size))[np.ix_(moving, moving)]
    curved = not len(moving) or np.linalg.eigvalsh(scaled)[0] > SETTLED * problem.unit
    residual = float(np.linalg.norm(slope))
    settled = bool(curved and np.linalg.norm(slope / size) <= SETTLED * problem.unit)
    return Minimum(theta, float(problem.values(theta[None])[0]), residual, settled)


def back(minima: Sequence[Minimum], triangle: np.ndarray) -> list[Minimum]:
    """Minima found in coordinates φ = Rθ, in θ."""
    return [
        one._replace(
            theta=np.linalg.solve(triangle, one.theta), residual=float(one.residual * np.linalg.norm(triangle, 2))
        )
        for one in minima
    ]


def _errors(z: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """σ(z) − t, without cancellation where σ saturates at a target of 0 or 1."""
    from scipy.special import expit

    return np.where(targets <= 0.5, expit(z) - targets, (1 - targets) - expit(-z))
