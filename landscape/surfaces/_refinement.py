"""Pieces of a box on which Chebyshev interpolants of several channels are good enough: knows no objective.

A piece begins with few nodes. Where its error is too large its degrees are multiplied by 2 or 3, so that every node is
one again, or, where that would not do, it is cut in halves. What was evaluated in a piece and is no node of it is a
check of its error.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from landscape.surfaces import _chebyshev
from landscape.surfaces._chebyshev import Degrees
from landscape.surfaces._estimate import FORMS, JUDGED, Form, Kind, Tail, interpolated

FIRST = 2  # degree of a new piece: quadratics are exact
FACTORS = (1, 2, 3)
MATTERS, CUT = 0.1, 0.3  # of the largest last coefficients: along such axes degrees are raised, a piece is cut
PATIENCE = 3  # times the error that is allowed, up to which a degree that was to be enough is raised once more
SMALLEST = 2.0**-10  # of the box's edge, or a quarter of the tolerance: what is not larger is not cut
CLEAR = 1e-3  # of what is allowed: so small an error need not be confirmed
SUSPECTS = {1: 2, 2: 4, 3: 6}  # points that confirm an error, by the number of coordinates
NOISE = 8  # times the rounding of a value: an error that is not larger stays as it is


class Habits(NamedTuple):
    """What is worth while in so many coordinates, measured on networks and on functions with kinks and poles."""

    whole: int  # largest degree of the box itself
    part: int  # and of a part of it
    cut_from: int  # degree of the box, below which it is not cut
    checks: int  # points that are no nodes, in the box
    part_checks: int  # and in a part of it, at least
    nodes_a_check: int  # where there are more
    blind: int  # parts of the box's edge, in each of which what is finite is looked for
    finest: int  # and to which the border of what is not finite is followed


HABITS = {
    1: Habits(192, 64, 32, 12, 12, 2, 16, 1024),
    2: Habits(64, 16, 24, 16, 8, 10, 4, 32),
    3: Habits(24, 8, 8, 24, 12, 20, 2, 8),
}


class Sample(Protocol):
    """What is interpolated."""

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """points (P, k) -> values (channels, P)"""
        ...

    @property
    def kinds(self) -> Sequence[Kind]:
        """What is special about each channel; known once it was called."""
        ...


class Wanted(NamedTuple):
    """When a piece is good enough."""

    tolerance: float  # of the range of all values, or of the value itself
    rounding: float  # of values, relative


@dataclass(frozen=True)
class Piece:
    """A part of the box, k axes. Without coefficients it is not finite, or not begun."""

    lower: np.ndarray  # (k,)
    upper: np.ndarray
    degrees: Degrees
    depth: tuple[int, ...]  # how often the box was halved along each axis
    forms: tuple[Form, ...] = ()  # one a channel
    coefficients: np.ndarray | None = None  # (channels, degree + 1, …), of values in their forms
    errors: np.ndarray | None = None  # (channels,), estimated: absolute, or relative to the value
    worst: int = 0  # the channel that errs most
    tails: Sequence[Tail] = ()  # of that
    share: float = math.inf  # the largest error, in units of what is allowed
    promised: bool = False  # its degrees were to be enough
    mixed: bool = False  # some values are finite, and some are not
    suspects: np.ndarray | None = None  # (S, k), where the error was looked at once more

    @property
    def is_whole(self) -> bool:
        """Whether it is the box itself."""
        return not any(self.depth)

    def nodes(self) -> np.ndarray:
        """(N, k), the last axis fastest."""
        ends = zip(self.lower, self.upper, self.degrees, strict=True)
        own = [_between(lower, upper, _chebyshev.nodes(degree)) for lower, upper, degree in ends]
        return np.stack([c.ravel() for c in np.meshgrid(*own, indexing="ij")], axis=1)

    def to_cube(self, points: np.ndarray) -> np.ndarray:
        """Points (P, k) in [−1, 1]^k."""
        return (2 * points - self.lower - self.upper) / (self.upper - self.lower)


def _between(lower: float, upper: float, t: np.ndarray) -> np.ndarray:
    """From [−1, 1] to [lower, upper], ends to ends. No −0.0: points are told apart by their bytes."""
    return np.where(t == 1, upper, lower + (upper - lower) * ((t + 1) / 2)) + 0.0


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
        """Where the points of a piece and its border stand among all."""
        return np.flatnonzero(np.all((piece.lower <= self.points) & (self.points <= piece.upper), axis=1))

    def scale(self) -> np.ndarray:
        """(channels,) what errors count relative to: 1 for the value itself, the range of all values, their size if
        that is 0, and 1 if they are."""
        values, finite = self.values, np.isfinite(self.values)
        low = np.where(finite, values, np.inf).min(axis=1, initial=np.inf)
        high = np.where(finite, values, -np.inf).max(axis=1, initial=-np.inf)
        size = np.where(finite, np.abs(values), 0.0).max(axis=1, initial=0.0)
        relative = [kind.relative for kind in self.sample.kinds]
        return np.where(relative, 1.0, np.where(high > low, high - low, np.where(size > 0, size, 1.0)))

    def reachable(self, wanted: Wanted) -> np.ndarray:
        """(channels,) the error that is allowed, or that rounding leaves where that is larger."""
        size = np.where(np.isfinite(self.values), np.abs(self.values), 0.0).max(axis=1, initial=0.0)
        relative = [kind.relative for kind in self.sample.kinds]
        return np.maximum(wanted.tolerance * self.scale(), NOISE * wanted.rounding * np.where(relative, 1.0, size))


@dataclass(frozen=True)
class Refined:
    """Pieces that cover the box, and what they are made of."""

    pieces: list[Piece]
    samples: Samples
    exhausted: bool  # whether more evaluations were wanted than allowed


def fewest(k: int) -> int:
    """Evaluations, without which nothing is known."""
    return (FIRST + 1) ** k + HABITS[k].checks


def refine(sample: Sample, lower: np.ndarray, upper: np.ndarray, wanted: Wanted, most: int) -> Refined:
    """Interpolate on [lower, upper], with at most so many evaluations, in rounds of many points at once."""
    k = len(lower)
    samples = Samples(sample, k)
    root = Piece(lower, upper, (FIRST,) * k, (0,) * k)
    done, waiting, exhausted = list[Piece](), [(root, [[root]])], False
    while waiting:
        begun, kept = _affordable(samples, waiting, most)
        exhausted |= any(piece.share > 1 or piece.mixed for piece in kept)
        done += kept
        if begun:
            samples.add(np.concatenate([_points(samples, piece) for piece in begun]))
        waiting = []
        for piece in (_fitted(samples, piece, wanted) for piece in begun):
            options = list(_following(piece, wanted.tolerance))
            if options:
                waiting.append((piece, options))
            else:
                done.append(piece)
    return Refined(done, samples, exhausted)


def _affordable(
    samples: Samples, waiting: Sequence[tuple[Piece, list[list[Piece]]]], most: int
) -> tuple[list[Piece], list[Piece]]:
    """The pieces to begin, those in place of the worst first, and those that stay as they are."""
    left = most - len(samples.points)
    begun, kept = list[Piece](), list[Piece]()
    for piece, options in sorted(waiting, key=lambda entry: -entry[0].share * 0.5 ** sum(entry[0].depth)):
        for following in options:  # the best first
            cost = len(samples.lacking(np.concatenate([_points(samples, new) for new in following])))
            if cost <= left:
                begun += following
                left -= cost
                break
        else:
            kept.append(piece)
    return begun, kept


def _points(samples: Samples, piece: Piece) -> np.ndarray:
    """What a piece needs: its nodes, and random points as far as there are not enough checks."""
    if piece.suspects is not None:
        return piece.suspects
    nodes, habits = piece.nodes(), HABITS[len(piece.lower)]
    there = len(samples.inside(piece)) - len(nodes) + len(samples.lacking(nodes))
    wanted = max(habits.checks if piece.is_whole else habits.part_checks, len(nodes) // habits.nodes_a_check)
    return np.concatenate([nodes, _scattered(piece, wanted - there)]) if wanted > there else nodes


def _scattered(piece: Piece, count: int) -> np.ndarray:
    """Random points of a box, one in each of `count` slices along each axis."""
    seed = hashlib.blake2b(np.concatenate([piece.lower, piece.upper, piece.degrees]).tobytes()).digest()
    random = np.random.default_rng(list(seed))
    slices = np.stack([random.permutation(count) for _ in piece.lower], axis=1)
    return piece.lower + (piece.upper - piece.lower) * ((slices + random.random(slices.shape)) / count)


def _fitted(samples: Samples, piece: Piece, wanted: Wanted) -> Piece:
    """A piece whose points have been evaluated, with its interpolants."""
    rows = samples.rows(piece.nodes())
    others = np.setdiff1d(samples.inside(piece), rows)
    values, checks = samples.values[:, rows], samples.values[:, others]
    finite = np.isfinite(np.concatenate([values, checks], axis=1)).all(axis=0)
    if not finite.all():
        return replace(piece, mixed=bool(finite.any()), errors=np.full(len(values), np.nan))
    values = values.reshape(-1, *(degree + 1 for degree in piece.degrees))
    own = zip(values, checks, samples.sample.kinds, strict=True)
    t = piece.to_cube(samples.points[others])
    found = [interpolated(value, check, t, kind, wanted.rounding) for value, check, kind in own]
    errors = np.array([one.error for one in found])
    shares = errors / samples.reachable(wanted)
    worst = int(np.argmax(shares))
    return replace(
        piece,
        forms=tuple(one.form for one in found),
        coefficients=np.stack([one.coefficients for one in found]),
        errors=errors,
        worst=worst,
        tails=found[worst].tails,
        share=float(shares[worst]),
    )


def _following(piece: Piece, tolerance: float) -> Iterator[list[Piece]]:
    """What may take a piece's place, the best first; nothing where it is good enough, or will not be better."""
    axes, habits = range(len(piece.degrees)), HABITS[len(piece.degrees)]
    if piece.coefficients is None:
        finest = habits.finest if piece.mixed else habits.blind
        edges = [axis for axis in axes if 2 ** piece.depth[axis] < finest]
        if edges:
            yield list(_halves(piece, [min(edges, key=lambda axis: piece.depth[axis])]))
        return
    if piece.share <= 1:
        if piece.suspects is None and piece.share > CLEAR:
            yield [replace(piece, suspects=_suspects(piece))]
        return
    largest = max(tail.last for tail in piece.tails)
    matters = [tail.last >= MATTERS * largest for tail in piece.tails]
    doubled = tuple(2 * n if m else n for n, m in zip(piece.degrees, matters, strict=True))
    worst = max(axes, key=lambda axis: piece.tails[axis].last)
    once = tuple(2 * n if axis == worst else n for axis, n in enumerate(piece.degrees))
    if largest > 0:  # else nothing but checks show that there is something
        for degrees, promised in ((_enough(piece, habits), True), (doubled, False), (once, False)):
            if degrees and (promised or _worth_doubling(piece, matters, habits)):
                yield [_raised(piece, degrees, promised)]
    cut = [axis for axis in axes if piece.tails[axis].last >= CUT * largest]
    cut = [axis for axis in cut if 0.5 ** piece.depth[axis] > min(SMALLEST, tolerance / 4)]
    if cut:
        yield list(_halves(piece, cut))
    for degrees in (doubled, once):
        if largest > 0 and max(degrees) <= habits.whole:
            yield [_raised(piece, degrees, False)]


def _raised(piece: Piece, degrees: Degrees, promised: bool) -> Piece:
    return replace(piece, degrees=degrees, coefficients=None, errors=None, suspects=None, promised=promised)


def _worth_doubling(piece: Piece, matters: Sequence[bool], habits: Habits) -> bool:
    """Whether higher degrees tell more, though it is not known that they are enough."""
    if max(piece.degrees) < JUDGED:
        return True
    lowest = min(itertools.compress(piece.degrees, matters))
    if 2 * lowest > habits.whole:
        return False
    flat = any(tail.flat for tail, m in zip(piece.tails, matters, strict=True) if m)
    return flat or (piece.is_whole and lowest < habits.cut_from)


def _enough(piece: Piece, habits: Habits) -> Degrees:
    """The cheapest degrees that make the error small enough, by what is known; or none."""
    own, tails = piece.degrees, piece.tails
    if max(own) < JUDGED or (piece.promised and piece.share > PATIENCE):
        return ()
    parts = [piece.share * tail.last / sum(other.last for other in tails) for tail in tails]  # of the error
    fits: list[tuple[int, Degrees]] = []
    for factors in itertools.product(FACTORS, repeat=len(own)):
        degrees = tuple(n * f for n, f in zip(own, factors, strict=True))
        if max(factors) > 1 and max(degrees) <= (habits.whole if piece.is_whole else habits.part):
            along = zip(parts, tails, degrees, own, strict=True)
            if sum(part * tail.ratio ** (m - n) for part, tail, m, n in along) <= 1:
                fits.append((math.prod(m + 1 for m in degrees), degrees))
    return min(fits)[1] if fits else ()


def _suspects(piece: Piece) -> np.ndarray:
    """(S, k) points between the nodes, where the interpolants of all and of half the degrees differ most."""
    assert piece.coefficients is not None
    own, k, back = piece.coefficients[piece.worst], len(piece.degrees), FORMS[piece.forms[piece.worst]].back
    coarse = [_chebyshev.nodes(max(1, n // 2)) for n in piece.degrees]
    half = _chebyshev.of_values(_chebyshev.on_grid(own, coarse), k)
    between = [_chebyshev.nodes(2 * n)[1::2] for n in piece.degrees]
    off = np.abs(back(_chebyshev.on_grid(own, between)) - back(_chebyshev.on_grid(half, between)))
    found = []
    for _ in range(SUSPECTS[k]):
        place = np.unravel_index(int(off.argmax()), off.shape)
        found.append([t[i] for t, i in zip(between, place, strict=True)])
        near = tuple(slice(max(0, i - n // 8), i + n // 8 + 1) for i, n in zip(place, piece.degrees, strict=True))
        off[near] = -1.0
    ends = zip(piece.lower, piece.upper, np.array(found).T, strict=True)
    return np.stack([_between(lower, upper, t) for lower, upper, t in ends], axis=1)


def _halves(piece: Piece, axes: Sequence[int]) -> Iterator[Piece]:
    """A piece cut in the middle along some axes."""
    middle = (piece.lower + piece.upper) / 2
    depth = tuple(depth + (axis in axes) for axis, depth in enumerate(piece.depth))
    for above in itertools.product((False, True), repeat=len(axes)):
        lower, upper = piece.lower.copy(), piece.upper.copy()
        for axis, is_upper in zip(axes, above, strict=True):
            (lower if is_upper else upper)[axis] = middle[axis]
        yield Piece(lower, upper, (FIRST,) * len(depth), depth)
