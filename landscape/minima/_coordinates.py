"""The coordinates in which convex risks are minimized: those in which floating point sees every direction.

Of columns of like size, far from dependent, each parameter in units of its column. Else the parameters without a
penalty are replaced by orthonormal combinations of their columns, what others have in common with these is taken out of
them, and, where there is a bias without a penalty, large offsets are subtracted before anything is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.minima._linear import Linear

DEPENDENT = 1e-8  # least eigenvalue of the columns' correlations, as they are, up to which they are combined
NULL = 1e-13  # singular values below this share of the largest are of dependent columns
OFFSET = 4.0  # a mean is subtracted where it is so many times the deviation


@dataclass(frozen=True, eq=False)
class Coordinates:
    """θ (p,) as φ (q,) and back; penalized parameters have a coordinate each."""

    forth: np.ndarray  # (q, p): φ = forth·θ
    back: np.ndarray  # (p, q): θ = back·φ
    own: np.ndarray  # (p,): the coordinate of a parameter, −1 where it has none of its own
    sizes: np.ndarray  # (p,): φ[own] = sizes·θ

    def phi(self, theta: np.ndarray) -> np.ndarray:
        """φ (q,)."""
        return self.forth @ theta

    def theta(self, phi: np.ndarray) -> np.ndarray:
        """θ (p,)."""
        return self.back @ phi

    def penalty(self, l1: np.ndarray, l2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The coefficients of |φ| and φ² (q,)."""
        alpha, beta = np.zeros((2, len(self.forth)))
        there = self.own >= 0
        alpha[self.own[there]] = (l1 / self.sizes)[there]
        beta[self.own[there]] = (l2 / self.sizes / self.sizes)[there]
        return alpha, beta

    def residual(self, gradient: np.ndarray, theta: np.ndarray, l1: np.ndarray) -> float:
        """The norm of J's minimum-norm subgradient at θ, from the gradient of risk and l2 in φ."""
        slope = gradient @ self.forth
        soft = np.sign(slope) * np.maximum(np.abs(slope) - l1, 0)
        least = np.where((theta == 0) & (l1 > 0), soft, slope + l1 * np.sign(theta))
        largest = np.abs(least).max(initial=0.0)
        return float(largest * np.linalg.norm(least / largest)) if 0 < largest < np.inf else float(largest)


def of(model: Linear) -> tuple[np.ndarray, Coordinates]:
    """(columns (q, n), coordinates) of a model."""
    scaled, sizes = _unit_columns(np.ascontiguousarray(model.features.T), model.weights)
    p = len(sizes)
    free = (model.l1 == 0) & (model.l2 == 0)
    correlations = (scaled * model.weights) @ scaled.T / model.weights.sum()
    there = np.diagonal(correlations) > 0
    block = correlations[np.ix_(there, there)]
    if not free.any() or not there.any() or np.linalg.eigvalsh(block)[0] > DEPENDENT * p:
        return scaled, Coordinates(np.diag(sizes), np.diag(1 / sizes), np.arange(p), sizes)
    return _combined(model, free)


def _combined(model: Linear, free: np.ndarray) -> tuple[np.ndarray, Coordinates]:
    """Columns with mean square 1, those of the free parameters orthogonal to all others."""
    shift, constant = _offsets(model, free)
    centered = model.features.T - shift[:, None] * model.features[:, constant]
    scaled, sizes = _unit_columns(centered, model.weights)
    shares = model.weights / model.weights.sum()
    (first,), (others,) = np.nonzero(free), np.nonzero(~free)
    left, values, _ = np.linalg.svd(scaled[first] * np.sqrt(shares), full_matrices=False)
    kept = values > NULL * values.max(initial=0.0)
    left, values = left[:, kept], values[kept]
    basis = (left / values).T @ scaled[first]  # (r, n)
    shared = (scaled[others] * shares) @ basis.T  # (others, r)
    rest, rests = _unit_columns(scaled[others] - shared @ basis, model.weights)
    p, r = len(sizes), len(values)
    own = np.full(p, -1)
    own[others] = r + np.arange(len(others))
    forth, back = np.zeros((r + len(others), p)), np.zeros((p, r + len(others)))
    forth[:r, first] = (left * values).T * sizes[first]
    forth[:r, others] = shared.T * sizes[others]
    forth[own[others], others] = rests * sizes[others]
    inverse = left / values / sizes[first][:, None]  # (first, r)
    back[first, :r] = inverse
    back[np.ix_(first, own[others])] = -inverse @ (shared.T / rests)
    back[others, own[others]] = 1 / (rests * sizes[others])
    # z = x·θ = (x − shift·c)·θ + c·(shift·θ): the constant column's own parameter takes up the rest.
    lifted, lowered = np.eye(p), np.eye(p)
    lifted[constant] += shift
    lowered[constant] -= shift
    whole = np.ones(p)
    whole[others] = rests * sizes[others]
    return np.concatenate([basis, rest]), Coordinates(forth @ lifted, lowered @ back, own, whole)


def _offsets(model: Linear, free: np.ndarray) -> tuple[np.ndarray, int]:
    """What to subtract of each column, in units of a constant one without a penalty; and which one that is."""
    shift = np.zeros(len(free))
    constants = free & (model.features == model.features[:1]).all(axis=0) & (model.features[0] != 0)
    constant = int(np.argmax(constants))
    if not constants.any():
        return shift, constant
    weights = model.weights / model.weights.sum()
    means = weights @ model.features
    deviations = np.sqrt(weights @ np.square(model.features - means))
    far = (np.abs(means) > OFFSET * deviations) & ~constants
    shift[far] = (means / model.features[0, constant])[far]
    return shift, constant


def unseen(model: Linear) -> np.ndarray:
    """Columns (p, k) that span the directions that no example of positive weight sees."""
    scaled, sizes = _unit_columns(np.ascontiguousarray(model.features.T), model.weights)
    return null_space(scaled[:, model.weights > 0].T) / sizes[:, None]


def null_space(rows: np.ndarray) -> np.ndarray:
    """Orthonormal columns (p, k) that span {d: rows·d = 0}, rows (n, p)."""
    from scipy import linalg

    if not len(rows):
        return np.eye(rows.shape[1])
    # Of the p rows of R where there are more of them: a singular value decomposition of all takes ten times as long.
    return linalg.null_space(np.linalg.qr(rows, mode="r"), rcond=max(rows.shape) * np.finfo(float).eps)


def _unit_columns(columns: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns (p, n) of size near 1, and the powers of two that they were divided by; zeros stay."""
    largest = np.abs(columns).max(axis=1, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(largest > 0, np.exp2(np.floor(np.log2(largest))), 1.0)
    columns = columns / first[:, None]
    size = np.sqrt(np.square(columns) @ weights / weights.sum())
    second = np.exp2(np.round(np.log2(np.where(size > 0, size, 1.0))))
    second = np.where(first * 0.5 * second < 2.0**1022, second, 1.0)  # their product stays a float
    return columns / second[:, None], first * second
