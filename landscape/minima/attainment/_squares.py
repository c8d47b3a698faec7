"""The half squared error of a sigmoid or tanh neuron, and a search for its finite minima from many starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

SETTLED = 1e-9  # gradient, beside the size of gradients, of what counts as a minimum
CURVED = 1e-9  # least curvature of a minimum, beside what the slopes of σ alone give
STILL = 1e-6  # change of z, a mean, that Newton's step may leave at a minimum
SAME = 1e-5  # distance in z, of values that agree to EQUAL, up to which two minima are one
EQUAL = 1e-10
DESCENDED = 400  # starts that go down together
POLISHED = 16  # of them, those that are followed to the bottom
NEAR_KINK = 1e-5  # change of z by what may be 0 under l1
LIKE = 1e-3  # predictions as near as that are of one basin
AT_ONCE = 10**7  # numbers in memory while starts are compared
RANKED = 5 * 10**7  # losses that are computed to compare starts; of more examples only some are looked at
WORK = 10**6  # numbers in one step of all starts together
STEPS = 30
FAR = 1e6  # a step so many times as long as θ is of a flat place, and leads nowhere
NEWTON = 30
SINGULAR = 1e-14  # curvature, beside the largest, below which Newton's step is all rounding
EPS = float(np.finfo(float).eps)


class Minimum(NamedTuple):
    """A finite local minimum."""

    theta: np.ndarray  # (p,)
    value: float
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

    def seen_along(self, rows: np.ndarray) -> Squares:
        """The same examples without a penalty, in other coordinates."""
        none = np.zeros(rows.shape[1])
        return replace(self, rows=rows, l1=none, l2=none)

    def values(self, thetas: np.ndarray) -> np.ndarray:
        """J (m,) at θ (m, p)."""
        out = np.empty(len(thetas))
        step = max(1, AT_ONCE // len(self.rows))
        for first in range(0, len(thetas), step):
            part = thetas[first : first + step]
            losses = 0.5 * np.square(_errors(part @ self.rows.T, self.targets)) @ self.weights
            out[first : first + step] = losses + np.abs(part) @ self.l1 + (part * self.l2 * part).sum(axis=1)
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

    def above(self, theta: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What each example's loss (n,) at θ is above that at a level of σ, and how far rounding may have moved it.

        Of levels 0 and 1, the ends of σ, it is right to the last bits however near σ has come to them.
        """
        from scipy.special import expit

        z = self.rows @ theta
        rounded = EPS * np.abs(self.rows) @ np.abs(theta) * expit(z) * expit(-z)  # of σ, because z is
        apart = np.where(levels == 1, -expit(-z), expit(z) - levels)
        middle = np.where(levels == 1, 2 * (1 - self.targets) - expit(-z), expit(z) + levels - 2 * self.targets)
        sizes = expit(z) + levels + 2 * np.abs(self.targets)
        sizes = np.where(levels == 1, 2 * np.abs(1 - self.targets) + expit(-z), sizes)
        ends = (levels == 0) | (levels == 1)
        own = rounded + EPS * (np.abs(apart) + np.where(ends, 0, levels))
        error = np.abs(apart) * (EPS * sizes + rounded) + np.abs(middle) * own + own * (EPS * sizes + rounded)
        return 0.5 * self.weights * apart * middle, 4 * self.weights * error


def least(problem: Squares, starts: np.ndarray) -> list[Minimum]:
    """The global minima among those found from starts (m, p): the best starts are followed, the lowest come back.

    All that are lowest to rounding, one of each place; a point that runs off to infinity is among them unsettled.
    """
    found = followed(problem, starts)
    lowest = [one for one in found if one.value <= found[0].value + EQUAL * problem.unit]
    kept: list[Minimum] = []
    for one in sorted(lowest, key=lambda one: (not one.settled, one.value)):
        if all(np.abs(problem.rows @ (one.theta - other.theta)).max() > SAME for other in kept):
            kept.append(one)
    return kept


def followed(problem: Squares, starts: np.ndarray) -> list[Minimum]:
    """Where the best starts (m, p), and some that are not so good, lead to; the lowest first."""
    every = max(1, -(-len(starts) * len(problem.rows) // RANKED))
    judged = problem if every == 1 else problem.only(np.arange(0, len(problem.rows), every))
    share = judged.weights.sum() / problem.weights.sum()
    judged = replace(judged, weights=judged.weights / share)
    order = np.argsort(judged.values(starts), kind="stable")
    p = starts.shape[1]
    many = int(np.clip(WORK // (len(problem.rows) * p * p), 40, DESCENDED))
    spread = order[:: max(1, len(order) // (many // 2))]  # not only the best: they may lie in one basin
    chosen = list(dict.fromkeys([*order[: many // 2].tolist(), *spread.tolist()]))
    lower = _descended(problem, starts[chosen])
    lower = lower[np.argsort(problem.values(lower), kind="stable")]
    found = [_settled(problem, one) for one in _unlike(problem, lower)]
    return sorted(found, key=lambda one: one.value if one.value == one.value else np.inf)


def polar(problem: Squares) -> np.ndarray:
    """Starts (m, p) in one dimension or two: directions times radii from where σ is straight to where it is flat."""
    p = problem.rows.shape[1]
    radii = _radii(problem.rows, 400 if p == 1 else 48)
    if p == 1:
        directions = np.array([[1.0], [-1.0]])
    else:
        angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    starts = np.concatenate([np.zeros((1, p)), *(radius * directions for radius in radii), _solutions(problem)])
    return starts[np.isfinite(starts).all(axis=1)]


def scattered(problem: Squares) -> np.ndarray:
    """Starts (m, p) in any number of dimensions, the same way; also where the rows are turned to be as of a sphere."""
    p = problem.rows.shape[1]
    left, sizes, right = np.linalg.svd(problem.rows, full_matrices=False)
    kept = sizes > 1e-10 * sizes.max(initial=0)
    if not kept.any():
        return np.zeros((1, p))
    turned, back = problem.seen_along(left[:, kept]), right[kept] / sizes[kept, None]
    if p <= 2:
        return np.concatenate([polar(problem), polar(turned) @ back])
    rng = np.random.default_rng(0)
    parts = [np.zeros((1, p))]
    for seen, lift in ((problem, np.eye(p)), (turned, back)):
        directions = rng.normal(size=(300, len(lift)))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        parts += [radius * directions @ lift for radius in _radii(seen.rows, 16)]
    return np.concatenate(parts)


def _radii(rows: np.ndarray, count: int) -> np.ndarray:
    """Radii, at least `count`, at which z goes from 0.1 to 40 for some row; none where all are straight or flat."""
    size = np.abs(rows).max(axis=1)
    size = size[size > 0]
    norms = np.unique(np.log(size) + np.log(np.linalg.norm(rows[np.abs(rows).max(axis=1) > 0] / size[:, None], axis=1)))
    if not len(norms):
        return np.ones(1)
    first, last = np.log(0.1) - norms[::-1], np.log(40) - norms[::-1]
    apart = np.flatnonzero(first[1:] > last[:-1])
    first, last = first[np.append(0, apart + 1)], last[np.append(apart, len(last) - 1)]
    each = np.maximum(2, np.ceil(max(count / (last - first).sum(), 3.0) * (last - first)).astype(int))
    logs = np.concatenate([np.linspace(*pair) for pair in zip(first, last, each, strict=True)])
    return np.exp(logs[np.abs(logs) < 700])


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
        with np.errstate(over="ignore"):
            return (z / rows[:, 0])[:, None]
    first, second = np.triu_indices(len(inside), 1)
    blocks = np.stack([rows[first], rows[second]], axis=1)
    regular = np.abs(np.linalg.det(blocks)) > 1e-8 * np.linalg.norm(blocks, axis=2).prod(axis=1)
    right = np.stack([z[first], z[second]], axis=1)[regular]
    return np.linalg.solve(blocks[regular], right[..., None])[..., 0]


def _descended(problem: Squares, thetas: np.ndarray) -> np.ndarray:
    """Starts (m, p) after some steps of Levenberg's and Marquardt's method, all at once; l1 is rounded at its kink."""
    p = problem.rows.shape[1]
    products = (problem.rows[:, :, None] * problem.rows[:, None, :]).reshape(-1, p * p)
    size = np.sqrt(np.square(problem.rows).max(axis=0))
    kink = 1e-3 / np.where(size > 0, size, 1.0)  # a distance that z hardly notices
    damping = np.full(len(thetas), 1e-2)
    now = problem.values(thetas)
    for _ in range(STEPS):
        gradient, curvature = _model(problem, thetas, products, kink)
        diagonal = np.einsum("mjj->mj", curvature)
        least_size = np.maximum(diagonal, 1e-12 * diagonal.max(axis=1, keepdims=True) + np.finfo(float).tiny)
        scale = 1 / np.sqrt(least_size)
        scaled = curvature * scale[:, :, None] * scale[:, None, :] + damping[:, None, None] * np.eye(p)
        usable = np.isfinite(scaled).all(axis=(1, 2)) & np.isfinite(gradient).all(axis=1)
        scaled[~usable] = np.eye(p)
        steps = scale * np.linalg.solve(scaled, (scale * gradient)[..., None])[..., 0]
        usable &= np.abs(steps).max(axis=1) < FAR * (kink.max() + np.abs(thetas).max(axis=1))
        following = np.where(usable[:, None], thetas - steps, thetas)
        values = problem.values(following)
        better = values < now
        thetas, now = np.where(better[:, None], following, thetas), np.where(better, values, now)
        damping = np.clip(np.where(better, damping / 5, damping * 4), 1e-12, 1e12)
    return thetas


def _model(
    problem: Squares, thetas: np.ndarray, products: np.ndarray, kink: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients (m, p) and positive curvatures (m, p, p), of Gauss and Newton, at θ (m, p)."""
    from scipy.special import expit

    z = thetas @ problem.rows.T
    slopes = expit(z) * expit(-z)
    round_kink = np.sqrt(np.square(thetas) + np.square(kink))
    gradient = (problem.weights * _errors(z, problem.targets) * slopes) @ problem.rows
    gradient = gradient + 2 * problem.l2 * thetas + problem.l1 * thetas / round_kink
    curvature = ((problem.weights * np.square(slopes)) @ products).reshape(*thetas.shape, -1)
    return gradient, curvature + (2 * problem.l2 + problem.l1 / round_kink)[:, :, None] * np.eye(thetas.shape[1])


def _unlike(problem: Squares, thetas: np.ndarray) -> list[np.ndarray]:
    """The first of θ (m, p) that predict different things."""
    from scipy.special import expit

    kept: list[np.ndarray] = []
    seen: list[np.ndarray] = []
    for theta in thetas:
        predicted = expit(problem.rows @ theta)
        if all(np.abs(predicted - other).max() > LIKE for other in seen):
            kept.append(theta)
            seen.append(predicted)
        if len(kept) == POLISHED:
            break
    return kept


def _settled(problem: Squares, start: np.ndarray) -> Minimum:
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
        size = np.abs(problem.rows).max(axis=0)
        kinked = np.where((problem.l1 > 0) & (np.abs(theta) * size < NEAR_KINK), 0.0, theta)
        at_kink = _polished(problem, kinked)
        return at_kink if at_kink.settled else _polished(problem, theta)
    found = minimize(lambda t: problem.smooth(t)[:2], start, jac=True, method="L-BFGS-B", options=options)
    return _polished(problem, found.x)


def _polished(problem: Squares, theta: np.ndarray) -> Minimum:
    """Newton's steps in the parameters that are not 0, as long as the subgradient shrinks."""
    _, gradient, hessian = problem.smooth(theta)
    slope = problem.subgradient(theta, gradient)
    for _ in range(NEWTON):
        step, curvature = _newton(problem, theta, slope, hessian)
        if curvature <= SINGULAR:
            break
        following = theta - step
        _, gradient, next_hessian = problem.smooth(following)
        next_slope = problem.subgradient(following, gradient)
        crosses = np.any((problem.l1 > 0) & (following * theta < 0))
        if crosses or not np.linalg.norm(next_slope) < np.linalg.norm(slope):
            break
        theta, slope, hessian = following, next_slope, next_hessian
    return _minimum(problem, theta, slope, hessian)


def _newton(problem: Squares, theta: np.ndarray, slope: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, float]:
    """Newton's step (p,) of what is not held at 0, and the least curvature beside that of the slopes of σ alone."""
    moving = np.flatnonzero((theta != 0) | (problem.l1 == 0))
    step = np.zeros(len(theta))
    if not len(moving):
        return step, np.inf
    scale = _slopes(problem, theta)[moving]
    if scale.min() < np.sqrt(np.finfo(float).tiny):  # all is flat, to the last bit
        return step, 0.0
    block = hessian[np.ix_(moving, moving)] / scale / scale[:, None]
    if not np.isfinite(block).all():
        return step, 0.0
    curvatures = np.linalg.eigvalsh(block)
    if curvatures[0] <= SINGULAR * np.abs(curvatures).max():
        return step, 0.0
    step[moving] = np.linalg.solve(block, slope[moving] / scale) / scale
    return step, float(curvatures[0])


def _slopes(problem: Squares, theta: np.ndarray) -> np.ndarray:
    """√(Σᵢ ωᵢσ′(zᵢ)²x̃ᵢⱼ² + 2βⱼ) (p,): the root of the curvature that each parameter has where all is fitted."""
    from scipy.special import expit

    z = problem.rows @ theta
    roots = np.sqrt(problem.weights) * expit(z) * expit(-z)
    return np.hypot(np.linalg.norm(roots[:, None] * problem.rows, axis=0), np.sqrt(2 * problem.l2))


def _minimum(problem: Squares, theta: np.ndarray, slope: np.ndarray, hessian: np.ndarray) -> Minimum:
    from scipy.special import expit

    size = np.abs(problem.rows).max(axis=0)
    size = np.where(size > 0, size, 1.0)
    step, curvature = _newton(problem, theta, slope, hessian)
    z = problem.rows @ theta
    roots = np.sqrt(problem.weights) * expit(z) * expit(-z)
    left, whole = np.linalg.norm(roots * (problem.rows @ step)), np.linalg.norm(roots)
    small = np.linalg.norm(slope / size) <= SETTLED * problem.unit and left <= STILL * whole
    # One parameter alone may still run off, where no example has any slope left.
    small &= np.abs(step * size).max() <= STILL * (1 + np.abs(theta * size).max())
    return Minimum(theta, float(problem.values(theta[None])[0]), bool(small and curvature > CURVED))


def _errors(z: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """σ(z) − t, without cancellation where σ saturates at a target of 0 or 1."""
    from scipy.special import expit

    return np.where(targets <= 0.5, expit(z) - targets, (1 - targets) - expit(-z))
