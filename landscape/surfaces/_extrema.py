"""Of one field, polynomial piece by piece: its least value, its critical points, its level lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from landscape.surfaces import _chebyshev, _zeros
from landscape.surfaces._patches import Patch

DENSE = {1: 8, 2: 4, 3: 2}  # points a degree, among which the least is looked for, by the number of axes
TRIED = 8  # of them are followed down
FINE = {1: 16, 2: 4}  # points a degree, from which level lines are begun


class Least(NamedTuple):
    """The least value of a field."""

    value: float
    point: np.ndarray  # (k,)


def least(patches: Sequence[Patch]) -> Least:
    """The least value on all pieces: the lowest of a grid, followed down on the polynomial.

    Raises: ValueError if there is no piece.
    """
    if not patches:
        raise ValueError("the surface is nowhere finite; take another box.")
    k = len(patches[0].lower)
    starts: list[tuple[float, Patch, np.ndarray]] = []
    for patch in patches:
        t = [_chebyshev.nodes(DENSE[k] * (n - 1)) for n in patch.coefficients.shape[1:]]
        values = patch.on_grid(t)[0]
        for place in _lowest(values):
            starts.append((float(values[place]), patch, np.array([own[i] for own, i in zip(t, place, strict=True)])))
    starts.sort(key=lambda start: start[0])
    return min((_down(patch, t, value) for value, patch, t in starts[:TRIED]), key=lambda found: found.value)


def _lowest(values: np.ndarray) -> list[tuple[int, ...]]:
    """Where the local minima of a grid are, the lowest ones."""
    below = np.ones(values.shape, bool)
    for axis in range(values.ndim):
        step = np.diff(values, axis=axis)
        pad = [(0, 0)] * values.ndim
        pad[axis] = (0, 1)
        below &= np.pad(step >= 0, pad, constant_values=True)
        pad[axis] = (1, 0)
        below &= np.pad(step <= 0, pad, constant_values=True)
    places = np.argwhere(below)
    order = np.argsort(values[below])[:TRIED]
    return [tuple(place) for place in places[order]]


def _down(patch: Patch, t: np.ndarray, value: float) -> Least:
    def both(t: np.ndarray) -> tuple[float, np.ndarray]:
        at = [np.array([x]) for x in t]
        gradient, _ = patch.derivatives(0, at)
        return float(patch.on_grid(at).item()), gradient.ravel() * patch.widths / 2

    found = minimize(both, t, jac=True, method="L-BFGS-B", bounds=[(-1, 1)] * len(t), options={"ftol": 0, "gtol": 0})
    if found.fun <= value:
        t, value = found.x, float(found.fun)
    return Least(value, patch.from_cube(t[None])[0])


class Critical(NamedTuple):
    """Critical points of a field, lowest first."""

    points: np.ndarray  # (Z, k)
    values: np.ndarray  # (Z,)
    eigenvalues: np.ndarray  # (Z, k), of the Hessian, ascending
    kinds: list[str]


def critical(patches: Sequence[Patch]) -> Critical:
    """Where the gradient is 0.

    Raises: NotIsolatedError.
    """
    if not patches:
        raise ValueError("the surface is nowhere finite; take another box.")
    k = len(patches[0].lower)
    found: list[tuple[float, np.ndarray, np.ndarray, str]] = []
    for patch in patches:
        own = patch.coefficients[0]
        slopes = np.stack([_chebyshev.derivative(own, axis - k, 2.0) for axis in range(k)])
        for t, regular in zip(*_zeros.zeros(slopes), strict=True):
            point = patch.from_cube(t[None])[0]
            if any(_same(point, other, patch) for _, other, _, _ in found):
                continue
            at = [np.array([x]) for x in t]
            _, hessian = patch.derivatives(0, at)
            eigenvalues = np.linalg.eigvalsh(hessian.reshape(k, k))
            kind = _kind(eigenvalues) if regular else "degenerate"
            found.append((float(patch.on_grid(at).item()), point, eigenvalues, kind))
    found.sort(key=lambda one: one[0])
    return Critical(
        np.array([one[1] for one in found]).reshape(-1, k),
        np.array([one[0] for one in found]),
        np.array([one[2] for one in found]).reshape(-1, k),
        [one[3] for one in found],
    )


def _same(point: np.ndarray, other: np.ndarray, patch: Patch) -> bool:
    """Whether two pieces have found one point, beside their common border."""
    return bool(np.all(np.abs(point - other) <= 2 * _zeros.EDGE * patch.widths))


def _kind(eigenvalues: np.ndarray) -> str:
    """What a regular critical point is."""
    return {0: "minimum", len(eigenvalues): "maximum"}.get(int((eigenvalues < 0).sum()), "saddle")


def level_lines(patches: Sequence[Patch], level: float) -> list[np.ndarray]:
    """Lines (vertices, k) on which a field has this value, in one or two coordinates."""
    return [line for patch in patches for line in (_crossings if len(patch.lower) == 1 else _lines)(patch, level)]


def _crossings(patch: Patch, level: float) -> list[np.ndarray]:
    own = patch.coefficients[0].copy()
    own[0] -= level
    t, _ = _zeros.zeros(own[None])
    inside = np.clip(t[np.abs(t[:, 0]) <= 1 + 1e-12], -1, 1)
    return [patch.from_cube(one[None]) for one in inside]


def _lines(patch: Patch, level: float) -> list[np.ndarray]:
    from contourpy import contour_generator

    u, v = (np.linspace(-1, 1, FINE[2] * n) for n in patch.coefficients.shape[1:])
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
