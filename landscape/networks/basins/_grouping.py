"""The ends of many runs in groups: those that lie close to the best known of them."""

from __future__ import annotations

import numpy as np

LONG_NAMES = {
    "minimum": "minimum",
    "minimum_label": "label of the minimum (wherever the gradient is small: a saddle too)",
    "minimum_objective": "objective at the minimum",
    "minimum_gradient_norm": "norm of the objective's gradient there",
    "minimum_count": "starts that end there",
    "minimum_at": "coordinates of the minimum",
    "minimum_residual": "distance of the minimum from the chart",
}


def grouped(points: np.ndarray, gradients: np.ndarray, apart: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(group (m,) of each point (m, k), the best known of each group, how many each has), the largest group first.

    A group is all that is left within apart·(1 + ‖p‖) of a point p, in the order of their gradients' norms. Groups of
    equal size are in the order of their first points. Only points whose projection on one direction is as close are
    looked at: of many groups, few.
    """
    points = points.astype(np.float64)
    along = points @ _direction(points.shape[1])
    sorted_ = np.argsort(along, kind="stable")
    ordered, along = points[sorted_], along[sorted_]
    place = np.empty(len(points), int)
    place[sorted_] = np.arange(len(points))
    radii = apart * (1 + np.linalg.norm(ordered, axis=1))
    low, high = np.searchsorted(along, along - radii), np.searchsorted(along, along + radii, side="right")
    groups, best = np.full(len(points), -1), []
    for i in place[np.argsort(gradients, kind="stable")]:
        if groups[i] >= 0:
            continue
        window = slice(low[i], high[i])
        near = (groups[window] < 0) & (np.linalg.norm(ordered[window] - ordered[i], axis=1) <= radii[i])
        groups[window][near] = len(best)
        best.append(sorted_[i])
    return _by_size(groups[place], np.array(best, int))


def _direction(k: int) -> np.ndarray:
    """A fixed unit vector in general position."""
    vector = np.random.default_rng(0).normal(size=k)
    return vector / np.linalg.norm(vector)


def _by_size(groups: np.ndarray, best: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The groups numbered anew: the largest first, then the one whose first point comes first."""
    counts = np.bincount(groups, minlength=len(best))
    first = np.full(len(best), len(groups))
    np.minimum.at(first, groups, np.arange(len(groups)))
    order = np.lexsort((first, -counts))
    number = np.empty(len(best), int)
    number[order] = np.arange(len(best))
    return number[groups].astype(np.int32), best[order], counts[order]
