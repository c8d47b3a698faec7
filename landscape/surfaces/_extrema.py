"""Of one field, polynomial piece by piece: its least value, its critical points, its level lines."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from landscape.surfaces import _chebyshev, _zeros
from landscape.surfaces._patches import Patch

TRIED = 8  # low points that are followed down at first
NEARLY = 1e-7  # of the size of a field, and a tenth of its error: no value that is lower by more is missed,
MOST = 4000  # as far as so many parts show
FINE = 4  # points a degree, from which level lines are begun
NEAR = 3 * _zeros.EDGE  # of a piece's width: what two pieces find so close to their border is one point


class Least(NamedTuple):
    """The least value of a field."""

    value: float
    point: np.ndarray  # (k,)


def least(patches: Sequence[Patch], error: float) -> Least:
    """The least value on all pieces, up to NEARLY. error: of the field.

    Low nodes are followed down; then pieces are halved, those with the lowest bound c₀ − Σ|c| first, until none can
    hold a lower value.
    Raises: ValueError if there is no piece.
    """
    if not patches:
        raise ValueError("the surface is nowhere finite; take another box.")
    found = min((_down(patch, t) for patch, t in _low_nodes(patches)), key=lambda one: one.value)
    k, order = len(patches[0].lower), itertools.count()
    slack = max(error / 10, NEARLY * max(float(np.abs(patch.coefficients[0]).sum()) for patch in patches))
    waiting = [
        (_bound(own), next(order), patch, np.zeros(k), 1.0, own) for patch in patches for own in patch.coefficients
    ]
    heapq.heapify(waiting)
    while waiting and waiting[0][0] < found.value - slack and next(order) < MOST:
        _, _, patch, center, half, own = heapq.heappop(waiting)
        for sides, part in _chebyshev.halved(own, k, slack / 100):
            if _bound(part) >= found.value - slack:
                continue
            middle = center + half * (np.array(sides) - 0.5)
            if _value(patch, middle) < found.value:
                found = min(found, _down(patch, middle), key=lambda one: one.value)
            heapq.heappush(waiting, (_bound(part), next(order), patch, middle, half / 2, part))
    return found


def _bound(coefficients: np.ndarray) -> float:
    """No value is lower: the constant less all others."""
    constant = float(coefficients.flat[0])
    return constant + abs(constant) - float(np.abs(coefficients).sum())


def _low_nodes(patches: Sequence[Patch]) -> list[tuple[Patch, np.ndarray]]:
    """The lowest of all nodes, a few of each piece."""
    found: list[tuple[float, int, Patch, np.ndarray]] = []
    for i, patch in enumerate(patches):
        t = [_chebyshev.nodes(2 * (n - 1)) for n in patch.coefficients.shape[1:]]
        values = patch.on_grid(t)[0]
        for index in np.argsort(values, axis=None)[:TRIED]:
            place = np.unravel_index(int(index), values.shape)
            found.append((float(values[place]), i, patch, np.array([own[j] for own, j in zip(t, place, strict=True)])))
    return [(patch, t) for _, _, patch, t in sorted(found, key=lambda one: one[:2])[:TRIED]]


def _value(patch: Patch, t: np.ndarray) -> float:
    return float(_chebyshev.at(patch.coefficients[0], t[None])[0])


def _down(patch: Patch, t: np.ndarray) -> Least:
    """Where L-BFGS-B arrives from a point of the cube, on the polynomial."""

    own, k = patch.coefficients[0], len(t)
    slopes = np.stack([_chebyshev.derivative(own, axis - k, 2.0) for axis in range(k)])

    def both(t: np.ndarray) -> tuple[float, np.ndarray]:
        return _value(patch, t), _chebyshev.at(slopes, t[None])[:, 0]

    found = minimize(both, t, jac=True, method="L-BFGS-B", bounds=[(-1, 1)] * len(t), options={"ftol": 0, "gtol": 0})
    if found.fun < _value(patch, t):
        t = found.x
    return Least(_value(patch, t), patch.from_cube(t[None])[0])


class Critical(NamedTuple):
    """A critical point of a field."""

    value: float
    point: np.ndarray  # (k,)
    eigenvalues: np.ndarray  # (k,), of the Hessian, ascending
    kind: str
    slope_error: float
    hessian_error: float


def critical(patches: Sequence[Patch], errors: Sequence[float], rounding: float) -> list[Critical]:
    """Where the gradient is 0 in the box, lowest first. errors: of the field on each piece; rounding: of its values.

    Raises: ValueError if there is no piece; NotIsolatedError.
    """
    if not patches:
        raise ValueError("the surface is nowhere finite; take another box.")
    lowest, highest = (
        f([getattr(patch, end) for patch in patches], axis=0) for f, end in ((np.min, "lower"), (np.max, "upper"))
    )
    inside, beyond = list[tuple[Critical, Patch]](), list[tuple[Critical, Patch]]()
    for patch, error in zip(patches, errors, strict=True):
        own, k = patch.coefficients[0], len(patch.lower)
        slopes = np.stack([_chebyshev.derivative(own, axis - k, 2.0) for axis in range(k)])
        for t, regular in zip(*_zeros.zeros(slopes), strict=True):
            one = _critical(patch, t, bool(regular), error, rounding)
            if np.abs(t).max() <= 1:
                inside.append((one, patch))
            elif np.all((lowest <= one.point) & (one.point <= highest)):
                beyond.append((one, patch))
    found = list[tuple[Critical, Patch]]()
    for one, patch in inside + beyond:  # what a piece sees beyond its border counts where its neighbor does not see it
        if not any(other is not patch and _same(one.point, seen.point, patch) for seen, other in found):
            found.append((one, patch))
    return sorted((one for one, _ in found), key=lambda one: one.value)


def _critical(patch: Patch, t: np.ndarray, regular: bool, error: float, rounding: float) -> Critical:
    at = [np.array([x]) for x in t]
    _, hessian = patch.derivatives(0, at)
    eigenvalues = np.linalg.eigvalsh(hessian.reshape(len(t), len(t)))
    within = max(0.75, float(np.abs(t).max()))
    parts = patch.error_of_derivatives(0, error, within), patch.noise(0, rounding, within)
    slope, second = map(float, np.add(*parts))
    negative = int((eigenvalues < 0).sum())
    kind = {0: "minimum", len(eigenvalues): "maximum"}.get(negative, "saddle")
    if not regular:
        kind = "degenerate"
    elif np.abs(eigenvalues).min() <= second:
        kind = "unknown"
    return Critical(_value(patch, t), patch.from_cube(t[None])[0], eigenvalues, kind, slope, second)


def _same(point: np.ndarray, other: np.ndarray, patch: Patch) -> bool:
    """Whether two pieces have found one point, beside their common border."""
    return bool(np.all(np.abs(point - other) <= NEAR * patch.widths))


def level_lines(patches: Sequence[Patch], level: float) -> list[np.ndarray]:
    """Lines (vertices, k) on which a field has this value, in one or two coordinates; positions (1, 1) in order."""
    if len(patches) and len(patches[0].lower) == 1:
        found = np.concatenate([np.empty(0), *(_crossings(patch, level) for patch in patches)])
        width = max(float(patch.widths[0]) for patch in patches)
        own = np.sort(found)
        return [own[i].reshape(1, 1) for i in range(len(own)) if i == 0 or own[i] - own[i - 1] > 1e-9 * width]
    return [line for patch in patches for line in _lines(patch, level)]


def _crossings(patch: Patch, level: float) -> np.ndarray:
    own = patch.coefficients[0].copy()
    own[0] -= level
    t, _ = _zeros.zeros(own[None])
    return patch.from_cube(np.clip(t[np.abs(t[:, 0]) <= 1 + 1e-12], -1, 1))[:, 0]


def _lines(patch: Patch, level: float) -> list[np.ndarray]:
    from contourpy import contour_generator

    u, v = (np.linspace(-1, 1, FINE * n) for n in patch.coefficients.shape[1:])
    found = contour_generator(u, v, patch.on_grid([u, v])[0].T).lines(level)
    return [patch.from_cube(_onto(patch, np.asarray(line), level)) for line in found]


def _onto(patch: Patch, t: np.ndarray, level: float) -> np.ndarray:
    """Points of the cube moved along the gradient until the field is `level` there."""
    own = patch.coefficients[0]
    slopes = np.stack([_chebyshev.derivative(own, axis, 2.0) for axis in (0, 1)])
    for _ in range(3):
        off, gradient = _chebyshev.at(own, t) - level, _chebyshev.at(slopes, t)
        size = np.square(gradient).sum(axis=0)
        step = np.where(size > 0, off / np.where(size > 0, size, 1), 0) * gradient
        t = np.clip(t - step.T, -1, 1)
    return t
