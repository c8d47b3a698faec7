"""Minimizers of convex quadratics with an l1 term, by active sets: feature-sign search (Lee et al. 2006, NeurIPS)."""

from __future__ import annotations

import numpy as np

SINGULAR = 1e-10  # pivots this small beside the largest: eigenvectors instead of a Cholesky factor
ROUNDS = 50  # times p: far more than were ever seen


def minimum(
    hessian: np.ndarray, gradient: np.ndarray, alpha: np.ndarray, start: np.ndarray, *, threshold: float, unit: float
) -> np.ndarray:
    """The minimizer u (p,) of g·(u − s) + ½(u − s)ᵀH(u − s) + Σⱼ αⱼ|uⱼ|, H (p, p) positive semidefinite, s the start.

    Zeros are exact. `threshold`: what |∂ⱼ| must exceed αⱼ by for uⱼ to leave 0. `unit`: the size of gradients.

    Where no sign changes on the way, a step ends at the minimizer among those with u's signs; every other step sets at
    least one uⱼ to 0; and each goes down. So it ends.
    """
    u, nothing = start, np.zeros(len(start), bool)
    settled = False  # whether u is the minimizer among those with its signs
    for _ in range(ROUNDS * (len(u) + 1)):
        slope = gradient + hessian @ (u - start)
        entering = (u == 0) & (alpha > 0) & (np.abs(slope) - alpha > threshold) if settled else nothing
        direction, entering = _direction(hessian, u, slope, alpha, entering, unit)
        if settled and not entering.any():
            break
        u, settled = _moved(u, direction, slope, hessian @ direction, alpha)
    return u


def _direction(
    hessian: np.ndarray, u: np.ndarray, slope: np.ndarray, alpha: np.ndarray, entering: np.ndarray, unit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Newton's step for what is not 0 or enters; and what does enter: not what it would take the wrong way.

    All together first; if none is left, the one with the largest slope, which goes the right way.
    """
    signs = np.where(u != 0, np.sign(u), -np.sign(slope))
    excess = np.where(entering, np.abs(slope) - alpha, -np.inf)
    alone = False
    while True:
        chosen = np.flatnonzero((u != 0) | (alpha == 0) | entering)
        direction = np.zeros_like(u)
        if chosen.size:
            block = hessian[np.ix_(chosen, chosen)]
            direction[chosen] = -solved(block, (slope + alpha * signs)[chosen], unit)
        wrong = entering & (direction * signs <= 0)
        if not wrong.any():
            return direction, entering
        entering = entering & ~wrong
        if not (entering.any() or alone):
            alone = True
            entering = np.arange(len(u)) == excess.argmax()


def _moved(
    u: np.ndarray, direction: np.ndarray, slope: np.ndarray, curved: np.ndarray, alpha: np.ndarray
) -> tuple[np.ndarray, bool]:
    """u + t·direction for the best t among 1 and those where some uⱼ reaches 0; whether no sign changes on the way."""
    crossing = np.flatnonzero((alpha > 0) & (u * direction < 0))
    times = -u[crossing] / direction[crossing]
    crossing, times = crossing[times < 1], times[times < 1]
    if not times.size:
        return u + direction, True
    sizes = np.append(np.unique(times), 1.0)
    norms = np.abs(u + sizes[:, None] * direction) @ alpha
    values = sizes * (slope @ direction) + 0.5 * np.square(sizes) * (direction @ curved) + norms
    size = sizes[np.argmin(values)]
    moved = u + size * direction
    moved[crossing[times == size]] = 0.0
    return moved, False


def solved(hessian: np.ndarray, slope: np.ndarray, unit: float) -> np.ndarray:
    """hessian⁻¹·slope; where it is singular, without its null space, unless the slope has more than rounding in it."""
    from scipy import linalg

    try:
        factor = linalg.cholesky(hessian, lower=True, check_finite=False)
        pivots = np.square(np.diagonal(factor))
        if pivots.min() > SINGULAR * pivots.max():
            return linalg.cho_solve((factor, True), slope, check_finite=False)
    except linalg.LinAlgError:
        pass  # no positive definite matrix: what follows serves any
    values, vectors = linalg.eigh(hessian, check_finite=False)
    parts = vectors.T @ slope
    null = max(len(values) * 1e-15 * values[-1], 1e-100 * unit)
    parts = np.where((values <= null) & (np.abs(parts) <= 1e-15 * unit), 0.0, parts)
    return vectors @ (parts / np.maximum(values, null))
