"""Chebyshev interpolation on a box: nested nodes, coefficients, values, derivatives. Arrays end with the box's axes.

    p(x) = Σ c_{ij…} T_i(t₁) T_j(t₂) …,    t = (2x − lower − upper)/(upper − lower) in [−1, 1]

Source: Trefethen (2013), Approximation Theory and Approximation Practice, chapters 2-8.
"""

import itertools
import string
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import scipy.fft
from numpy.polynomial import chebyshev

Degrees = tuple[int, ...]


@cache
def nodes(degree: int) -> np.ndarray:
    """The degree + 1 extrema of T_degree in [−1, 1], ascending (Clenshaw & Curtis 1960).

    Those of a degree are, to the last bit, among those of its multiples.
    """
    return np.sin(np.pi * ((2 * np.arange(degree + 1) - degree) / (2 * degree)))


def of_values(values: np.ndarray, axes: int) -> np.ndarray:
    """Of the polynomial that has these values at the nodes of the last `axes` dimensions."""
    last = range(-axes, 0)
    found = np.asarray(scipy.fft.dctn(values, type=1, axes=tuple(last)))
    for axis in last:
        degree = values.shape[axis] - 1
        scale = np.full(degree + 1, 1 / degree)
        scale[[0, -1]] /= 2
        scale[1::2] *= -1  # the transform's nodes descend
        found *= scale.reshape(-1, *[1] * (-axis - 1))
    return found


def on_grid(coefficients: np.ndarray, positions: Sequence[np.ndarray]) -> np.ndarray:
    """The polynomial on the grid of positions in [−1, 1], one array an axis."""
    for t in positions:  # the first axis goes, and comes back as the last
        axis = coefficients.ndim - len(positions)
        table = chebyshev.chebvander(t, coefficients.shape[axis] - 1)
        coefficients = np.tensordot(coefficients, table, ([axis], [1]))
    return coefficients


def at(coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The polynomial at points (P, k) of [−1, 1]^k; ends with P."""
    letters = string.ascii_lowercase[: points.shape[1]]
    degrees = [n - 1 for n in coefficients.shape[coefficients.ndim - len(letters) :]]
    tables = [chebyshev.chebvander(t, degree) for t, degree in zip(points.T, degrees, strict=True)]
    return np.einsum(f"...{letters},{','.join('P' + a for a in letters)}->...P", coefficients, *tables, optimize=True)


def derivative(coefficients: np.ndarray, axis: int, width: float) -> np.ndarray:
    """Along one of the last axes, of a box that is so wide there; of the same shape, with zeros at its end."""
    found = chebyshev.chebder(coefficients, scl=2 / width, axis=axis)
    lost = [(0, 0)] * coefficients.ndim
    lost[axis] = (0, coefficients.shape[axis] - found.shape[axis])
    return np.pad(found, lost)


def restricted(coefficients: np.ndarray, lower: Sequence[float], upper: Sequence[float]) -> np.ndarray:
    """The coefficients of the same polynomial on a part of [−1, 1]^k."""
    k = len(lower)
    degrees = [n - 1 for n in coefficients.shape[coefficients.ndim - k :]]
    own = [a + (b - a) * (nodes(n) + 1) / 2 for a, b, n in zip(lower, upper, degrees, strict=True)]
    return of_values(on_grid(coefficients, own), k)


def slabs(coefficients: np.ndarray, axes: int) -> list[np.ndarray]:
    """Along each of the last axes, what is left of the coefficients from a degree on: the largest ℓ₂ norm of those of
    one degree, of this degree and all above. Decreasing."""
    found = []
    scale = float(np.abs(coefficients).max(initial=0.0)) or 1.0  # squares would underflow
    coefficients = coefficients / scale
    for axis in range(-axes, 0):
        moved = np.moveaxis(coefficients, axis, -1)
        norms = np.sqrt(np.square(moved).sum(axis=tuple(range(moved.ndim - axes, moved.ndim - 1))))
        found.append(scale * np.maximum.accumulate(norms[..., ::-1], axis=-1)[..., ::-1])
    return found


@cache
def _halving(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices from coefficients on [−1, 1] to those on [−1, 0] and on [0, 1]."""
    identity = np.eye(size)
    if size == 1:
        return identity, identity
    lower, upper = (restricted(identity, (start,), (start + 1.0,)).T for start in (-1.0, 0.0))
    return lower, upper


def halved(coefficients: np.ndarray, axes: int, negligible: float) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """The 2^axes halves of a cube: for each axis 0 or 1, and the coefficients there; the last degrees are left out
    where these are together at most `negligible`."""
    for sides in itertools.product((0, 1), repeat=axes):
        own = coefficients
        for side in sides:  # the first axis goes, and comes back as the last
            axis = own.ndim - axes
            own = np.tensordot(own, _halving(own.shape[axis])[side], ([axis], [1]))
        for axis in range(-axes, 0):
            sizes = np.abs(np.moveaxis(own, axis, 0)).reshape(own.shape[axis], -1).sum(axis=1)
            beyond = np.cumsum(sizes[::-1])[::-1] > negligible
            kept = max(2, int(np.count_nonzero(beyond)))
            own = np.moveaxis(np.moveaxis(own, axis, 0)[:kept], 0, axis)
        yield sides, own
