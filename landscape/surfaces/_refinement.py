"""Pieces of a box on which Chebyshev interpolants of several channels are good enough: knows no objective.

A piece begins with few nodes. Its error is estimated from points that are no nodes of it, and from how its coefficients
decay; where it is too large, the degree is multiplied by 2 or 3, so that every node is one again, or, where that would
not do, the piece is cut in halves. What has been evaluated in a piece and is no node of it is a check of its error.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np

from landscape.surfaces import _chebyshev
from landscape.surfaces._chebyshev import Degrees

FIRST = 2  # degree of a new piece: quadratics are exact
FACTORS = (1, 2, 3)
LARGEST = {1: 192, 2: 64, 3: 24}  # degree, by the number of axes: one of more is cut

LEFT = {1: 4, 2: 2, 3: 2}  # times what is beyond the last degree: a kink, in one coordinate, leaves all of it at once
JUDGED = 4  # degree, from which on the decay of coefficients says something
PART = {1: 64, 2: 16, 3: 8}  # the same of a part of the box
WHOLE_FROM = {1: 32, 2: 24, 3: 8}  # degree of the box itself, before it is cut
CHECKS = {1: 12, 2: 16, 3: 24}  # points in the box that are no nodes, by the number of axes
NODES_A_CHECK = {1: 2, 2: 10, 3: 20}
PART_CHECKS = {1: 12, 2: 8, 3: 12}  # the same in a part of the box
PATIENCE = 3  # times the error that is allowed, up to which a degree that was to be enough is raised once more
BEYOND = 3  # times the largest error at the checks: nearly never passed elsewhere (tests/test_interpolate_networks.py)
SMALLEST = 4  # tolerances: a part of the box's edge that is smaller is not cut. (A kink is within 1; a jump never is.)
NOISE = 8  # times the rounding of a value: an error that is not larger stays as it is
BLIND = {1: 16, 2: 4, 3: 2}  # parts of the box's edge, in each of which what is finite is looked for
FINEST = {1: 1024, 2: 32, 3: 8}  # parts of the box's edge, to which the border of what is not finite is followed

Form = Literal["plain", "log", "square"]


class Sample(Protocol):
    """What is interpolated."""

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """points (P, k) -> values (channels, P)"""
        ...

    @property
    def norms(self) -> tuple[bool, ...]:
        """Of each channel whether it is a norm, whose square is smooth where it is 0; known once it was called."""
        ...

    @property
    def relative(self) -> tuple[bool, ...]:
        """Of each channel whether its error counts relative to the value itself, not to the range of all values."""
        ...


class Scale(NamedTuple):
    """A form in which values are interpolated: there, and back."""

    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


FORMS: dict[Form, Scale] = {
    "plain": Scale(lambda v: v, lambda v: v),
    "log": Scale(np.log, np.exp),
    "square": Scale(np.square, lambda v: np.sqrt(np.maximum(v, 0))),
}


class Wanted(NamedTuple):
    """When a piece is good enough."""

    tolerance: float
    rounding: float  # of values, relative: an error that is not much larger does not become smaller


@dataclass(frozen=True)
class Piece:
    """A box with the interpolants of all channels, k axes. Without coefficients it is not finite."""

    lower: np.ndarray  # (k,)
    upper: np.ndarray
    degrees: Degrees
    depth: tuple[int, ...]  # how often it was halved along each axis
    forms: tuple[Form, ...] = ()  # one a channel
    coefficients: np.ndarray | None = None  # (channels, degree + 1, …), of values in their forms
    errors: np.ndarray | None = None  # (channels,), estimated: absolute, or relative to the value
    share: float = math.inf  # the largest in units of what is allowed
    tails: np.ndarray | None = None  # (k, 3): see `_tails`
    promised: bool = False  # its degree was to be enough
    mixed: bool = False  # finite at some of the nodes only

    def nodes(self) -> np.ndarray:
        """(N, k), the last axis fastest."""
        own = [
            place(lower, upper, _chebyshev.nodes(n))
            for lower, upper, n in zip(self.lower, self.upper, self.degrees, strict=True)
        ]
        return np.stack([c.ravel() for c in np.meshgrid(*own, indexing="ij")], axis=1)


def place(lower: float, upper: float, t: np.ndarray) -> np.ndarray:
    """From [−1, 1] to [lower, upper], its ends to its ends."""
    return (
        np.where(t == 1, upper, lower + (upper - lower) * ((t + 1) / 2)) + 0.0
    )  # no −0.0: points are told apart by bytes


class Samples:
    """What has been evaluated: each point once."""

    def __init__(self, sample: Sample, k: int) -> None:
        self.sample, self._rows = sample, dict[bytes, int]()
        self.points, self.values = np.empty((0, k)), np.empty((0, 0))

    def lacking(self, points: np.ndarray) -> np.ndarray:
        """The points that are new, each once."""
        found = {key: point for point in points if (key := point.tobytes()) not in self._rows}
        return np.array(list(found.values())).reshape(-1, points.shape[1])

    def add(self, points: np.ndarray) -> None:
        """Evaluate what is new of these."""
        new = self.lacking(points)
        if len(new):
            values = self.sample(new)
            self.values = np.concatenate([self.values, values], axis=1) if self.values.size else values
            self.points = np.concatenate([self.points, new])
            self._rows |= {point.tobytes(): len(self._rows) + i for i, point in enumerate(new)}

    def rows(self, points: np.ndarray) -> np.ndarray:
        """Where these points stand among all."""
        return np.array([self._rows[point.tobytes()] for point in points])

    def inside(self, piece: Piece) -> np.ndarray:
        """Where the points of a closed box stand among all."""
        return np.flatnonzero(np.all((piece.lower <= self.points) & (self.points <= piece.upper), axis=1))


def fewest(k: int) -> int:
    """Evaluations, without which nothing is known."""
    return (FIRST + 1) ** k + CHECKS[k]


@dataclass(frozen=True)
class Refined:
    """Pieces that cover the box, and what they are made of."""

    pieces: list[Piece]
    samples: Samples
    exhausted: bool  # whether more evaluations were wanted than allowed


def refine(sample: Sample, lower: np.ndarray, upper: np.ndarray, wanted: Wanted, most: int) -> Refined:
    """Interpolate on [lower, upper], with at most so many evaluations, in rounds of many points at once."""
    k = len(lower)
    samples = Samples(sample, k)
    root = Piece(lower, upper, (FIRST,) * k, (0,) * k)
    done, waiting, exhausted = list[Piece](), [(root, [root])], False
    while waiting:
        started, kept = _affordable(samples, waiting, most)
        exhausted |= bool(kept)
        done += [piece for piece in kept if piece.errors is not None]
        points = [_points(samples, piece) for piece in started]
        if points:
            samples.add(np.concatenate(points))
        waiting = []
        for piece in (_fitted(samples, piece, wanted) for piece in started):
            following = _following(piece, wanted)
            if following:
                waiting.append((piece, following))
            else:
                done.append(piece)
    return Refined(done, samples, exhausted)


def _affordable(
    samples: Samples, waiting: Sequence[tuple[Piece, list[Piece]]], most: int
) -> tuple[list[Piece], list[Piece]]:
    """The pieces to start with, those in place of the worst first, and those that stay as they are."""

    def badness(entry: tuple[Piece, list[Piece]]) -> float:
        return entry[0].share * 0.5 ** sum(entry[0].depth)

    left = most - len(samples.points)
    started, kept = list[Piece](), list[Piece]()
    for piece, following in sorted(waiting, key=badness, reverse=True):
        cost = len(samples.lacking(np.concatenate([_points(samples, new) for new in following])))
        if cost <= left:
            started += following
            left -= cost
        else:
            kept.append(piece)
    return started, kept


def _points(samples: Samples, piece: Piece) -> np.ndarray:
    """What a piece needs: its nodes, and checks as far as there are not enough."""
    k = len(piece.lower)
    nodes = piece.nodes()
    inside = samples.points[samples.inside(piece)]
    checks = len(inside) - len(nodes) + len(samples.lacking(nodes))
    fewest = max((PART_CHECKS if any(piece.depth) else CHECKS)[k], len(nodes) // NODES_A_CHECK[k])
    return np.concatenate([nodes, _scattered(piece, max(0, fewest - checks))])


def _scattered(piece: Piece, count: int) -> np.ndarray:
    """Random points of a box, one in each of `count` slices along each axis: a Latin square."""
    random = np.random.default_rng(list(hashlib.blake2b(piece.lower.tobytes() + piece.upper.tobytes()).digest()))
    k = len(piece.lower)
    slices = np.stack([random.permutation(count) for _ in range(k)], axis=1) if count else np.empty((0, k))
    return piece.lower + (piece.upper - piece.lower) * ((slices + random.random(slices.shape)) / max(count, 1))


def allowed(samples: Samples, wanted: Wanted) -> np.ndarray:
    """(channels,) the error that is."""
    return wanted.tolerance * np.where(samples.sample.relative, 1.0, spread(samples.values))


def spread(values: np.ndarray) -> np.ndarray:
    """(channels,) the range of the finite values; where that is 0 their size, and where they are 0 it is 1."""
    finite = np.isfinite(values)
    low = np.where(finite, values, np.inf).min(axis=1, initial=np.inf)
    high = np.where(finite, values, -np.inf).max(axis=1, initial=-np.inf)
    size = np.where(finite, np.abs(values), 0.0).max(axis=1, initial=0.0)
    return np.where(high > low, high - low, np.where(size > 0, size, 1.0))


def _fitted(samples: Samples, piece: Piece, wanted: Wanted) -> Piece:
    """A piece whose nodes have been evaluated, interpolated in the form of each channel that errs least."""
    rows, inside = samples.rows(piece.nodes()), samples.inside(piece)
    values, checks = samples.values[:, rows], np.setdiff1d(inside, rows)
    at_checks = samples.values[:, checks]
    finite = np.isfinite(values).all(axis=0)
    some = finite.any() or np.isfinite(at_checks).all(axis=0).any()
    if not (finite.all() and np.isfinite(at_checks).all()):
        return replace(piece, mixed=bool(some), errors=np.full(len(values), np.nan))
    t = (2 * samples.points[checks] - piece.lower - piece.upper) / (piece.upper - piece.lower)
    shape = tuple(n + 1 for n in piece.degrees)
    kinds = zip(samples.sample.norms, samples.sample.relative, strict=True)
    best = [
        _interpolated(own, off, shape, t, wanted.rounding, *kind)
        for own, off, kind in zip(values, at_checks, kinds, strict=True)
    ]
    share = [one.error / limit for one, limit in zip(best, _reachable(samples, wanted), strict=True)]
    worst = best[int(np.argmax(share))]
    return replace(
        piece,
        forms=tuple(one.form for one in best),
        coefficients=np.stack([one.coefficients for one in best]),
        errors=np.array([one.error for one in best]),
        tails=worst.tails,
        share=max(share),
    )


def _reachable(samples: Samples, wanted: Wanted) -> np.ndarray:
    """(channels,) the error that is allowed, or what rounding leaves."""
    finite = np.where(np.isfinite(samples.values), np.abs(samples.values), 0.0)
    sizes = np.where(samples.sample.relative, 1.0, finite.max(axis=1, initial=0.0))
    return np.maximum(allowed(samples, wanted), NOISE * wanted.rounding * sizes)


class _Interpolated(NamedTuple):
    error: float
    form: Form
    coefficients: np.ndarray
    tails: np.ndarray  # (k, 2)


def _interpolated(
    values: np.ndarray,
    checks: np.ndarray,
    shape: tuple[int, ...],
    t: np.ndarray,
    rounding: float,
    norm: bool,
    relative: bool,
) -> _Interpolated:
    """One channel, in the form that errs least; in the plain one where that is as good."""
    forms: list[Form] = ["plain"]
    everything = np.concatenate([values, checks])
    if everything.min() > 0 and everything.max() > 10 * everything.min():  # over less than a decade a log is a line
        forms.append("log")
    if norm and everything.min() >= 0:
        forms.append("square")
    found = []
    for form in forms:
        there, back = FORMS[form]
        with np.errstate(over="ignore"):
            coefficients = _chebyshev.of_values(there(values).reshape(shape), len(shape))
            off = np.abs(back(_chebyshev.at(coefficients, t)) - checks)
            tails = _tails(coefficients)
            beyond = tails[:, 0].sum() if min(shape) > JUDGED else 0.0
            left = np.abs(back(there(values) + beyond) - values)
        if relative:
            off, left = off / np.abs(checks), left / np.abs(values)
        floor = rounding * (1.0 if relative else np.abs(values).max())
        error = float(max(BEYOND * off.max(initial=0.0), left.max(), floor))
        found.append(_Interpolated(error if np.isfinite(error) else math.inf, form, coefficients, tails))
    least = min(one.error for one in found)
    return next(one for one in found if one.error <= 1.5 * least or one.error == least)


def _tails(coefficients: np.ndarray) -> np.ndarray:
    """(k, 2): along each axis the error that degrees beyond the last are thought to leave, and the factor ρ from one to
    the next.

    The norms of the coefficients of one degree are continued as a geometric series, with ρ from those above half the
    degree to those of the last quarter: where they decay like a power, it sums to about degree/power of them. Twice
    that and more, since at the nodes what is left out is taken for lower degrees. Of few degrees ρ is not known, and
    taken as 0.
    """
    found = []
    for slab in _chebyshev.slabs(coefficients, coefficients.ndim):
        degree = len(slab) - 1
        quarter = -(-degree // 4)
        half, last, ratio = float(slab[degree // 2]), float(slab[degree - quarter]), 0.0
        if degree < JUDGED:
            found.append((float(slab[degree - 1]), ratio))
            continue
        if half > 0:
            ratio = (last / half) ** (1 / (degree - quarter - degree // 2))
        found.append(
            (LEFT[coefficients.ndim] * last * min(ratio ** (quarter + 1) / max(1 - ratio, 1e-9), degree), ratio)
        )
    return np.array(found)


def _following(piece: Piece, wanted: Wanted) -> list[Piece]:
    """What is to take a piece's place; nothing where it is good enough, or cannot be better."""
    k = len(piece.degrees)
    if piece.coefficients is None:
        edges = [d for d in range(k) if 2 ** piece.depth[d] < (FINEST if piece.mixed else BLIND)[k]]
        return list(_halves(piece, [min(edges, key=lambda d: piece.depth[d])])) if edges else []
    if piece.share <= 1:
        return []
    degrees, promised = _raised(piece)
    if degrees is not None:
        return [replace(piece, degrees=degrees, coefficients=None, errors=None, promised=promised)]
    assert piece.tails is not None
    sizes = piece.tails[:, 0]
    cut = [d for d in range(k) if sizes[d] >= 0.3 * sizes.max() and 2 ** piece.depth[d] * wanted.tolerance < SMALLEST]
    return list(_halves(piece, cut)) if cut else []


def _raised(piece: Piece) -> tuple[Degrees | None, bool]:
    """The degrees that make the error small enough by what is known, the cheapest, and True; else None, or some that
    tell more, and False."""
    assert piece.tails is not None
    k, own = len(piece.degrees), piece.degrees
    tails, ratios = piece.tails[:, 0], piece.tails[:, 1]
    if tails.max() <= 0:
        return None, False
    matters = tails >= 0.1 * tails.max()
    doubled = tuple(2 * n if m else n for n, m in zip(own, matters, strict=True))
    if max(own) < JUDGED:
        return doubled, False
    whole = not any(piece.depth)
    low = min(n for n, m in zip(own, matters, strict=True) if m)
    early = whole and low < WHOLE_FROM[k]
    if piece.promised and piece.share > PATIENCE and not early:
        return None, False
    parts = piece.share * tails / tails.sum()  # of the error, along each axis
    fits: list[tuple[int, Degrees]] = []
    for factors in itertools.product(FACTORS, repeat=k):
        degrees = tuple(n * f for n, f in zip(own, factors, strict=True))
        if max(degrees) > (LARGEST if whole else PART)[k] or max(factors) == 1:
            continue
        left = sum(p * r ** (m - n) for p, r, m, n in zip(parts, ratios, degrees, own, strict=True))
        if left <= 1:
            fits.append((math.prod(m + 1 for m in degrees), degrees))
    if fits:
        return min(fits)[1], True
    return (doubled, False) if early else (None, False)


def _halves(piece: Piece, axes: Sequence[int]) -> Iterator[Piece]:
    middle = (piece.lower + piece.upper) / 2
    k = len(piece.lower)
    depth = tuple(piece.depth[d] + (d in axes) for d in range(k))
    for upper_half in itertools.product((False, True), repeat=len(axes)):
        lower, upper = piece.lower.copy(), piece.upper.copy()
        for axis, is_upper in zip(axes, upper_half, strict=True):
            (lower if is_upper else upper)[axis] = middle[axis]
        yield Piece(lower, upper, (FIRST,) * k, depth)
