"""What an interpolant holds, piece by piece: values and derivatives of its channels; one field as polynomials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from landscape.surfaces import _chebyshev
from landscape.surfaces._estimate import FORMS, Form
from landscape.surfaces._refinement import Piece

if TYPE_CHECKING:
    import xarray

CODES: tuple[Form, ...] = ("plain", "log", "square")  # as they are stored, from 0; what is not finite is −1
RESAMPLED = {1: 1024, 2: 128, 3: 48}  # the largest degree of a field that is no polynomial, by the number of axes
SLOPE, HESSIAN = 2, 4  # times what the errors of derivatives are at half the degrees, beside those of values
RESOLVED = 1e-9  # its coefficients are then this small


class Channel(NamedTuple):
    """One number in every point: a variable of the surface, or an entry of one."""

    variable: str
    index: tuple[int, ...]


@dataclass(frozen=True)
class Patch:
    """A finite piece: k axes."""

    lower: np.ndarray  # (k,)
    upper: np.ndarray
    forms: tuple[Form, ...]  # one a channel
    coefficients: np.ndarray  # (channels, degree + 1, …)

    @property
    def widths(self) -> np.ndarray:
        """(k,)"""
        return self.upper - self.lower

    def from_cube(self, t: np.ndarray) -> np.ndarray:
        """Points (P, k) of [−1, 1]^k in the piece."""
        return self.lower + self.widths * (t + 1) / 2

    def on_grid(self, t: Sequence[np.ndarray]) -> np.ndarray:
        """(channels, …) the channels' values on a grid in the cube."""
        values = _chebyshev.on_grid(self.coefficients, t)
        return np.stack([FORMS[form].back(value) for form, value in zip(self.forms, values, strict=True)])

    def largest(self, channel: int) -> float:
        """The largest size of a channel at the nodes."""
        degrees = [n - 1 for n in self.coefficients.shape[1:]]
        return float(np.abs(self.on_grid([_chebyshev.nodes(n) for n in degrees])[channel]).max())

    def derivatives(self, channel: int, t: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (k, …) and Hessian (k, k, …) of a channel on a grid in the cube."""
        own, k = self.coefficients[channel], len(self.lower)
        first = [_chebyshev.derivative(own, a - k, w) for a, w in enumerate(self.widths)]
        gradient = np.stack([_chebyshev.on_grid(c, t) for c in first])
        rows = [[_chebyshev.derivative(c, b - k, w) for b, w in enumerate(self.widths)] for c in first]
        hessian = np.stack([np.stack([_chebyshev.on_grid(c, t) for c in row]) for row in rows])
        if self.forms[channel] == "log":  # (eᵖ)′ = eᵖp′, (eᵖ)″ = eᵖ(p″ + p′p′ᵀ)
            value = np.exp(_chebyshev.on_grid(own, t))
            gradient, hessian = value * gradient, value * (hessian + gradient[:, None] * gradient[None])
        return gradient, hessian

    def error_of_derivatives(self, channel: int, error: float, within: float = 1.0) -> tuple[float, float]:
        """Of gradient and Hessian, the largest for |t| ≤ within, where values err by `error`.

        They are as much larger, with a margin, as the errors of the interpolant of half the degrees, which are known.
        """
        k, own = len(self.lower), self.coefficients[channel]
        degrees = [n - 1 for n in own.shape]
        half = _chebyshev.of_values(_chebyshev.on_grid(own, [_chebyshev.nodes(max(1, n // 2)) for n in degrees]), k)
        fine, coarse = (Patch(self.lower, self.upper, (self.forms[channel],), c[None]) for c in (own, half))
        nodes = [_chebyshev.nodes(n) for n in degrees]
        off = float(np.abs(fine.on_grid(nodes) - coarse.on_grid(nodes)).max())
        if off <= RESOLVED * fine.largest(0):  # it is of half the degrees: Bernstein's inequality
            steepest = float((2 * np.array(degrees) / self.widths).max())
            return SLOPE * error * steepest, HESSIAN * error * steepest**2
        t = [inside[np.abs(inside) <= within] for inside in (_chebyshev.nodes(2 * n) for n in degrees)]
        pairs = zip(fine.derivatives(0, t), coarse.derivatives(0, t), strict=True)
        first, second = (error * float(np.abs(a - b).max()) / off for a, b in pairs)
        return SLOPE * first, HESSIAN * second

    def noise(self, channel: int, rounding: float, within: float = 1.0) -> tuple[float, float]:
        """What rounding of the values at the nodes does to gradient and Hessian for |t| ≤ within: white noise, whose
        derivatives grow like degree² and degree⁴/3 at the edges (Markov's inequality), less inside (Bernstein's)."""
        n = np.maximum(np.array(self.coefficients.shape[1:]) - 1.0, 1)
        size = rounding * self.largest(channel)
        if self.forms[channel] == "plain":  # no more than the last coefficients, which hold as much of it as others
            size = min(size, float(n.max() * _last(self.coefficients[channel])))
        first, second = n**2, n**2 * (n**2 - 1) / 3
        if within < 1:
            steep = n / math.sqrt(1 - within**2)
            first, second = np.minimum(first, steep), np.minimum(second, steep**2 * (1 + within * steep / n**2))
        return size * float((2 * first / self.widths).max()), size * float((4 * second / self.widths**2).max())

    def combined(self, weights: Mapping[int, float]) -> Patch:
        """A patch of one channel, a polynomial: Σ weight · channel."""
        k = len(self.lower)
        if all(self.forms[channel] == "plain" for channel in weights):
            total = np.sum([weight * self.coefficients[channel] for channel, weight in weights.items()], axis=0)
            return Patch(self.lower, self.upper, ("plain",), total[None])
        degrees = [n - 1 for n in self.coefficients.shape[1:]]
        while True:
            values = self.on_grid([_chebyshev.nodes(n) for n in degrees])
            total = np.sum([weight * values[channel] for channel, weight in weights.items()], axis=0)
            coefficients = _chebyshev.of_values(total[None], k)
            lasts = [slab[0, -2] for slab in _chebyshev.slabs(coefficients, k)]
            wanted = RESOLVED * np.abs(values).max()
            longer = [min(2 * n, RESAMPLED[k]) if last > wanted else n for n, last in zip(degrees, lasts, strict=True)]
            if longer == degrees:
                return Patch(self.lower, self.upper, ("plain",), coefficients)
            degrees = longer


def _last(coefficients: np.ndarray) -> float:
    """The largest coefficient beyond half the degree along some axis."""
    beyond = np.abs(coefficients)
    beyond[tuple(slice((n + 1) // 2) for n in coefficients.shape)] = 0
    return float(beyond.max())


def pack(pieces: Sequence[Piece], names: Sequence[str], channels: Sequence[Channel]) -> dict[str, tuple]:
    """Pieces as variables of a data set."""
    k = len(names)
    finite = [piece.coefficients is not None for piece in pieces]
    codes = [[CODES.index(form) for form in piece.forms] or [-1] * len(channels) for piece in pieces]
    flat = [np.empty((len(channels), 0))]
    flat += [piece.coefficients.reshape(len(channels), -1) for piece in pieces if piece.coefficients is not None]
    errors = [piece.errors if ok else np.full(len(channels), np.nan) for piece, ok in zip(pieces, finite, strict=True)]
    return {
        "lower": (("piece", "coordinate"), np.array([piece.lower for piece in pieces])),
        "upper": (("piece", "coordinate"), np.array([piece.upper for piece in pieces])),
        "degree": (
            ("piece", "coordinate"),
            np.array([piece.degrees if ok else (-1,) * k for piece, ok in zip(pieces, finite, strict=True)]),
        ),
        "form": (("piece", "channel"), np.array(codes, np.int8)),
        "error": (("piece", "channel"), np.array(errors)),
        "coefficients": (("channel", "coefficient"), np.concatenate(flat, axis=1)),
    }


def unpack(data: xarray.Dataset) -> Iterator[Patch]:
    """The finite pieces."""
    lower, upper, degree = (data[name].to_numpy() for name in ("lower", "upper", "degree"))
    codes, flat, start = data["form"].to_numpy(), data["coefficients"].to_numpy(), 0
    for i, degrees in enumerate(degree):
        if degrees[0] < 0:
            continue
        stop = start + math.prod(degrees + 1)
        own = flat[:, start:stop].reshape(-1, *(degrees + 1))
        yield Patch(lower[i], upper[i], tuple(CODES[code] for code in codes[i]), own)
        start = stop
