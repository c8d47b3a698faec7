"""All zeros of k polynomials in k variables on [−1, 1]^k, by cutting the cube until each part is decided.

A part is discarded where a polynomial's constant coefficient outweighs all others. Where the system, multiplied by the
inverse of its Jacobian, is nearly linear, the part holds one zero at most, and Newton's method finds it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.surfaces import _chebyshev

EDGE = 0.01  # how far beyond the cube zeros are looked for: neighboring pieces differ by their errors
MOST = 10_000  # parts: more are needed only where zeros are not isolated
WORK = 200_000_000  # coefficients of all of them
SMALLEST = 2.0**-14  # half an edge, at which a part that is undecided is a zero where the system is degenerate
WIDEST = 0.02  # of such zeros that touch each other, which count as one
NOTHING = 1e-10  # of the largest polynomial: 0 everywhere
CLOSE = "they fill a line or more, or are too close together to be told apart"
NEGLIGIBLE = 1e-15  # coefficients of a part, beside the sum of all
ROUNDING = 2.0**-46  # of coefficients, beside the sum of all


class NotIsolatedError(ValueError):
    """Zeros fill a line or more, or are too close together to be told apart."""


class _Part(NamedTuple):
    center: np.ndarray  # (k,)
    half: float  # its edges are twice as long
    coefficients: np.ndarray  # (k, degree + 1, …), on the part


def zeros(coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (Z, k), and whether each is regular (Z,): the zeros of k polynomials (k, degree + 1, …) in
    [−1 − EDGE, 1 + EDGE]^k. Where the system is degenerate they are known to WIDEST.

    Raises: NotIsolatedError.
    """
    k = coefficients.ndim - 1
    scale = np.abs(coefficients).reshape(k, -1).sum(axis=1)
    scale = np.maximum(scale, max(NOTHING * scale.max(), np.finfo(float).tiny))
    whole = coefficients / scale.reshape(-1, *[1] * k)
    slopes = np.stack([_chebyshev.derivative(whole, axis - k, 2.0) for axis in range(k)], axis=1)  # (k, k, …)
    parts = [_Part(np.zeros(k), 1 + EDGE, _chebyshev.restricted(whole, (-1 - EDGE,) * k, (1 + EDGE,) * k))]
    found, seen, work = list[np.ndarray](), 0, 0
    while parts and parts[0].half > SMALLEST:
        parts = [part for part in parts if not _empty(part)]
        seen, work = seen + len(parts), work + sum(part.coefficients.size for part in parts)
        if seen > MOST or work > WORK:
            raise NotIsolatedError(CLOSE)
        undecided = []
        for part in parts:
            if _single(part):
                zero = _newton(whole, slopes, part)
                found += [] if zero is None else [zero]
            else:
                undecided += _halves(part)
        parts = undecided
    regular, others = _distinct(np.array(found).reshape(-1, k)), np.array(_degenerate(parts)).reshape(-1, k)
    return np.concatenate([regular, others]), np.arange(len(regular) + len(others)) < len(regular)


def _empty(part: _Part) -> bool:
    sizes = np.abs(part.coefficients).reshape(len(part.coefficients), -1)
    return bool(np.any(2 * sizes[:, 0] > sizes.sum(axis=1) + ROUNDING))


def _linear(k: int) -> list[tuple[int, ...]]:
    return [tuple(int(i == a) for i in range(k)) for a in range(k)]


def _single(part: _Part) -> bool:
    """Whether the part holds at most one zero."""
    k = len(part.coefficients)
    if min(part.coefficients.shape[1:]) < 2:
        return False
    slopes = np.stack([part.coefficients[(slice(None), *index)] for index in _linear(k)], axis=1)  # (k, k)
    if not slopes.any() or np.linalg.cond(slopes) > 1e10:
        return False
    normal = np.linalg.solve(slopes, part.coefficients.reshape(k, -1)).reshape(part.coefficients.shape)
    rest = np.abs(normal)
    for index in ((0,) * k, *_linear(k)):
        rest[(slice(None), *index)] = 0.0
    # |T_n′| ≤ n²: then the derivative is the identity but for less than ½, and no two points have one value.
    degrees = np.stack(np.meshgrid(*[np.arange(n) for n in normal.shape[1:]], indexing="ij"))
    steepest = (np.square(degrees) * 1.0).max(axis=0)
    return bool((rest * steepest).reshape(k, -1).sum(axis=1).max() < 0.5 / k)


def _newton(whole: np.ndarray, slopes: np.ndarray, part: _Part) -> np.ndarray | None:
    """The zero in a part that holds one at most."""
    t = part.center.copy()
    for _ in range(20):
        value, slope = _chebyshev.at(whole, t[None])[:, 0], _chebyshev.at(slopes, t[None])[..., 0]
        try:
            step = np.linalg.solve(slope, value)
        except np.linalg.LinAlgError:
            return None
        t = t - step
        if np.abs(t - part.center).max() > 4 * part.half:
            return None
        if np.abs(step).max() < 1e-14:
            break
    inside = np.abs(t - part.center).max() <= part.half * (1 + 1e-9)
    return t if inside else None


def _halves(part: _Part) -> list[_Part]:
    k = len(part.coefficients)
    halves = _chebyshev.halved(part.coefficients, k, NEGLIGIBLE)
    return [_Part(part.center + part.half * (np.array(sides) - 0.5), part.half / 2, own) for sides, own in halves]


def _distinct(points: np.ndarray) -> np.ndarray:
    """Each point once: one on the border of two parts is found in both."""
    near = np.abs(points[:, None] - points[None]).max(axis=2) < 1e-9
    return points[~np.tril(near, -1).any(axis=1)]


def _degenerate(parts: list[_Part]) -> list[np.ndarray]:
    """The zeros in the smallest parts, one where several touch."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    if not parts:
        return []
    centers = np.array([part.center for part in parts])
    i, j = KDTree(centers).query_pairs(2.5 * parts[0].half, np.inf, output_type="ndarray").T
    count, group = connected_components(coo_array((np.ones(len(i)), (i, j)), shape=(len(parts),) * 2), directed=False)
    found = []
    for number in range(count):
        own = centers[group == number]
        if np.ptp(own, axis=0).max() > WIDEST:
            raise NotIsolatedError(CLOSE)
        found.append(own.mean(axis=0))
    return found
