"""Compressed examples: a few weighted nodes over which a smooth loss has the sum that it has over all examples.

A neuron sees an example only through z = w·x + b. On a piece of the x axis of length 2a/W, with |w| ≤ W, z varies by 2a
at most, and whatever is summed over the examples is nearly a polynomial in x there; in the label y it is one. So

    Σₙ g(xₙ, yₙ) ≈ Σ_pieces Σₖ Σⱼ ωₖⱼ g(xₖ, yⱼ),        ωₖⱼ = Σₙ Lₖ(xₙ) ℓⱼ(yₙ)

Lₖ the Lagrange polynomials of p + 1 Chebyshev points of the piece, ℓⱼ those of as many labels as g has powers of y, and
one (labels 0 and 1 are themselves: one set of weights a class, in which nothing cancels). The error is that of
interpolating g, which falls like ρ^(−p), ρ = π + √(π² + 1) where g's nearest pole is πa away (Trefethen 2013, theorem
8.2).

Where a squared error has more labels than that, weights on the same few would cancel: Σ (f − y)² is small, its powers
of f are not. There the labels of a place are replaced by those of Gauss's rule with their moments, mean ± deviation
(Golub and Welsch 1969): as many moments, about half the nodes, and sums of squares again.

The sums come out of Chebyshev moments Σₙ Tᵢ(xₙ) ℓⱼ(yₙ), in one pass over the data. Knows no objective.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

CHUNK = 2**15  # examples whose polynomials are held at a time, so that they stay in cache
ROOM = 2**23  # moments, beyond which data are too spread out for their compression to save anything
MOST = 24  # the highest degree: rounding allows no smaller errors
SEEN = 1e-12  # variance of a polynomial on the examples of a piece, above which rounding leaves something of it
ROUNDED = 0.2  # of 1/(p + 1)²: how far points may be moved; the outermost are 5/(p + 1)² apart


class Integrand(NamedTuple):
    """What is summed over examples: g(u, t) at u on an axis whose pieces have length 2, t in [−1, 1] being the place
    within the piece."""

    g: Callable[[np.ndarray, np.ndarray], np.ndarray]
    relative: bool  # its error counts in units of its least size in the piece, where it keeps its sign; else greatest


class Nodes(NamedTuple):
    """Places, labels and weights, (nodes,) each in float64; examples that are alone in their piece stay as they are."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    cancelling: float = 0.0  # how much of the weight is negative, or on labels far apart that no rule replaced: a share


class Moments:
    """The moments of examples (x, y) that are added batch after batch, in constant memory.

    width:  of the pieces of the x axis.
    degree: p, of the interpolation in x.
    labels: how many are nodes: one more than the degree in y of what will be summed.
    """

    def __init__(self, width: float, degree: int, labels: int) -> None:
        self.examples, self.degree, self.labels = 0, degree, labels
        self._width = width
        self._labels = _Labels(labels)
        self._waiting: list[np.ndarray] = []  # small batches, until they are worth a chunk
        self._keys = np.zeros(0)  # of the pieces: their middles, in widths; ascending
        self._counts = np.zeros(0, np.int64)
        self._sums = np.zeros((0, labels, degree + 1))  # of each piece: Σ ℓⱼ(y) Tᵢ(t)
        self._few = np.zeros((3, 0))  # x, y and weight of examples in pieces that have few

    def expected_nodes(self, examples: int) -> float:
        """About how many there will be at least, once so many examples like those so far are added."""
        grown = self._counts * (examples / max(1, self._counts.sum()))
        return float(np.minimum(grown, self.degree + 1).sum())

    @property
    def fit(self) -> bool:
        """Whether there is room for them."""
        return self._sums.size <= ROOM

    @property
    def few_labels(self) -> bool:
        """Whether each label is a node."""
        return self._labels.seen is not None

    def add(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Add examples, (n,) each."""
        one = np.ones(len(x)) if weights is None else weights
        self._waiting.append(np.stack([np.asarray(part, np.float64) for part in (x, y, one)]))
        self.examples += len(x)
        if sum(part.shape[1] for part in self._waiting) >= CHUNK:
            self._take_in()

    def _take_in(self) -> None:
        waiting, self._waiting = self._waiting, []
        together = np.concatenate(waiting, axis=1) if waiting else self._few[:, :0]
        for start in range(0, together.shape[1], CHUNK):
            self._add(together[:, start : start + CHUNK])

    def _add(self, examples: np.ndarray) -> None:
        x, y, weights = examples
        places = x / self._width
        keys = np.rint(places)
        there, which = _distinct(keys)
        change = self._labels.grown(y)
        if change is not None:
            self._sums = np.einsum("pji,jk->pki", self._sums, change)
        basis = self._labels.basis(y) * weights
        self._make_room(there)
        at = np.searchsorted(self._keys, there)
        for i, polynomial in enumerate(_polynomials(2 * (places - keys), self.degree)):
            for j, one in enumerate(basis):
                self._sums[at, j, i] += np.bincount(which, polynomial * one, len(there))
        self._counts[at] += np.bincount(which, minlength=len(there))
        self._few = np.concatenate([self._few, examples[:, (self._counts[at] <= self.degree + 1)[which]]], axis=1)
        self._few = self._few[:, self._is_in_few()]

    def _is_in_few(self) -> np.ndarray:
        at = np.searchsorted(self._keys, np.rint(self._few[0] / self._width))
        return self._counts[at] <= self.degree + 1

    def _make_room(self, there: np.ndarray) -> None:
        """For pieces that are new."""
        keys = np.union1d(self._keys, there)
        if len(keys) == len(self._keys):
            return
        at = np.searchsorted(keys, self._keys)
        sums, counts = np.zeros((len(keys), *self._sums.shape[1:])), np.zeros(len(keys), np.int64)
        sums[at], counts[at] = self._sums, self._counts
        self._keys, self._sums, self._counts = keys, sums, counts

    def noise(self, variation: float, rest: float) -> tuple[float, float]:
        """The mean of y², and what the mean of (y − f)² is at least, for each f that varies by `variation` at most in a
        piece and is a polynomial of half the degree there, to `rest`: least squares, piece by piece."""
        self._take_in()
        y, moments = self._labels.nodes - self._labels.nodes.mean(), self._sums.sum(axis=1)
        weight = np.where(moments[:, :1] > 0, moments[:, :1], 1)
        of_y, of_squares = (np.einsum("pji,j->pi", self._sums, y**k) for k in (1, 2))
        i = np.arange(1, self.degree // 2 + 1)
        products = (moments[:, i[:, None] + i] + moments[:, np.abs(i[:, None] - i)]) / 2  # Tᵢ Tⱼ = (Tᵢ₊ⱼ + T|ᵢ₋ⱼ|) / 2
        covariance = products - moments[:, i, None] * moments[:, None, i] / weight[:, None]
        sizes, vectors = np.linalg.eigh(covariance)
        along = np.einsum("pik,pi->pk", vectors, of_y[:, i] - moments[:, i] * of_y[:, :1] / weight)
        seen = sizes > SEEN * weight
        explained = np.where(seen, along**2 / np.where(seen, sizes, 1), 0).sum(axis=1)
        left = np.maximum(of_squares[:, 0] - of_y[:, 0] ** 2 / weight[:, 0] - explained, 0) / weight[:, 0]
        # The coefficients of f have Σ cᵢ² ≤ 2·variation²: so much may lie along polynomials that are not seen.
        least = np.maximum(np.sqrt(left) - variation * math.sqrt(2 * SEEN) - rest, 0) ** 2
        many = self._counts > self.degree + 1
        total = moments[:, 0].sum()
        size = np.einsum("pj,j->", self._sums[:, :, 0], self._labels.nodes**2)
        return float(size / total), float((least * moments[:, 0])[many].sum() / total)

    def nodes(self, dtype: np.dtype, gauss: bool = False) -> Nodes | None:
        """The nodes, at places of this dtype; None where it cannot tell the points of a piece apart.

        Few examples of a piece are kept; empty pieces, and labels that a piece does not have, give no nodes.
        gauss: of many labels, those of Gauss's rule, wherever it has one.
        """
        self._take_in()
        placed = self._placed(dtype)
        if placed is None:
            return None
        x, weights, used = placed
        y = np.broadcast_to(self._labels.nodes[:, None], weights.shape)
        there = np.zeros(len(x), bool)
        few: list[Any] = [self._few]
        if gauss and not self.few_labels:
            labels, shares, there = _gauss(self._labels.nodes, weights)
            few.append(_flat(x, labels, shares, np.broadcast_to(there, labels.shape)))
        same = _flat(x, y, weights, used & ~there)
        places, y, weights = np.concatenate([same, *few], axis=1)
        bad = float(np.abs(same[2]).sum() - weights[weights < 0].sum())
        return Nodes(places, y, weights, bad / (float(np.abs(weights).sum()) or 1.0))

    def _placed(self, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Where nodes are, (places,); the weights of labels there and whether the piece has such, (labels, places)."""
        many = self._counts > self.degree + 1
        keys, sums = self._keys[many, None], self._sums[many]
        points = np.broadcast_to(chebyshev.chebpts1(self.degree + 1), (len(keys), self.degree + 1))
        x = ((keys + points / 2) * self._width).astype(dtype).astype(np.float64)
        rounded = 2 * (x / self._width - keys)
        # A small share of the least distance between points: then the rounded ones interpolate as well.
        if np.abs(rounded - points).max(initial=0.0) > ROUNDED / (self.degree + 1) ** 2:
            return None
        basis = chebyshev.chebvander(rounded, self.degree).swapaxes(1, 2)  # (pieces, polynomials, points)
        weights = np.linalg.solve(basis, sums.swapaxes(1, 2)) if len(keys) else sums.swapaxes(1, 2)
        used = np.broadcast_to(np.expand_dims(sums.any(axis=2), 1), weights.shape)
        return x.ravel(), weights.reshape(-1, self.labels).T, used.reshape(-1, self.labels).T


class _Labels:
    """Nodes on the axis of labels: the labels themselves while there are few, else points that span their range."""

    def __init__(self, count: int) -> None:
        self.nodes = np.zeros(0)
        self._count = count
        self.seen: np.ndarray | None = np.zeros(0)  # different labels; None once there are more than nodes
        self._range = (np.inf, -np.inf)

    def grown(self, y: np.ndarray) -> np.ndarray | None:
        """Take up new labels; the matrix (old nodes, new nodes) that carries sums over, or None if nothing changes."""
        low, high = min(self._range[0], y.min()), max(self._range[1], y.max())
        wider, self._range = (low, high) != self._range, (low, high)
        new = y
        for label in self.seen if self.seen is not None else ():
            new = new[new != label]
        if (self.seen is None and not wider) or (self.seen is not None and not new.size):
            return None
        if self.seen is not None:
            seen = np.union1d(self.seen, new)
            self.seen = seen if len(seen) <= self._count else None
        before = self.nodes
        self.nodes = self._chosen(low, high)
        return self.basis(before).T if before.size else None

    def _chosen(self, low: float, high: float) -> np.ndarray:
        """The labels there are, and beside them what is farthest from them."""
        if self.seen is None:
            return (low + high) / 2 - (high - low) / 2 * np.cos(np.pi * np.arange(self._count) / (self._count - 1))
        nodes = self.seen
        while len(nodes) < self._count:
            gap = int(np.argmax(np.diff(nodes))) if len(nodes) > 1 else 0
            between = nodes[gap : gap + 2].mean() if len(nodes) > 1 else nodes[0] + max(1.0, abs(nodes[0]))
            nodes = np.sort(np.append(nodes, between))
        return nodes

    def basis(self, y: np.ndarray) -> np.ndarray:
        """ℓⱼ(y), (nodes, n): exactly 1 and 0 at the nodes."""
        factors = [
            [(y - other) / (node - other) for k, other in enumerate(self.nodes) if k != j]
            for j, node in enumerate(self.nodes)
        ]
        return np.array([np.prod(own, axis=0) if own else np.ones_like(y) for own in factors])


def _flat(x: np.ndarray, y: np.ndarray, weights: np.ndarray, which: Any) -> np.ndarray:
    """Places (places,), labels and weights (labels, places) of nodes, those that are wanted: (3, nodes)."""
    return np.stack([np.broadcast_to(x, y.shape)[which], y[which], weights[which]])


def _gauss(labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss's rule of each of the signed measures `weights` (J, places) on labels (J,): nodes and weights
    (⌈J/2⌉, places) with the same J moments; and whether it has one, near the labels' range, (places,)."""
    y, total = labels[:, None], weights.sum(axis=0)
    there = total != 0
    share = weights / np.where(there, total, 1)
    matrix = np.zeros((len(total), (len(labels) + 1) // 2, (len(labels) + 1) // 2))
    before, now = np.zeros_like(share), np.ones_like(share)  # orthogonal polynomials, by Stieltjes's procedure
    size, beta = np.ones_like(total), np.zeros_like(total)
    for k in range(matrix.shape[1]):
        if k:
            larger = (share * now**2).sum(axis=0)
            there &= larger > 0
            larger = np.where(there, larger, 1)
            size, beta = larger, larger / size
            matrix[:, k - 1, k] = matrix[:, k, k - 1] = np.sqrt(beta)
        # The last one of an odd number of moments is free.
        alpha = (share * y * now**2).sum(axis=0) / size if 2 * k + 1 < len(labels) else matrix[:, 0, 0]
        matrix[:, k, k] = alpha
        before, now = now, (y - alpha) * now - beta * before
    nodes, vectors = np.linalg.eigh(matrix)
    middle, reach = (labels.max() + labels.min()) / 2, labels.max() - labels.min()
    there &= (np.abs(nodes - middle) < reach).all(axis=1)
    return nodes.T, (vectors[:, 0] ** 2).T * total, there


def degree_for(integrands: Sequence[Integrand], tolerance: float) -> tuple[int, float] | None:
    """The least degree at which each integrand is interpolated within the tolerance on every piece, and the error;
    None if none is high enough."""
    middles = np.linspace(-36, 36, 289)[:, None]
    fine = np.linspace(-1, 1, 129)
    values = [np.broadcast_to(one.g(middles + fine, fine), (len(middles), len(fine))) for one in integrands]
    units = [_unit(value, one.relative) for value, one in zip(values, integrands, strict=True)]
    for degree in range(1, MOST + 1):
        points = chebyshev.chebpts1(degree + 1)
        basis = _polynomials(points, degree)
        basis[1:] *= 2
        through = basis.T @ _polynomials(fine, degree) / len(points)
        worst = 0.0
        for one, value, unit in zip(integrands, values, units, strict=True):
            at_points = np.broadcast_to(one.g(middles + points, points), (len(middles), len(points)))
            worst = max(worst, float(np.max(np.abs(at_points @ through - value) / unit)))
        if worst <= tolerance:
            return degree, worst
    return None


def _unit(values: np.ndarray, relative: bool) -> np.ndarray:
    sizes = np.abs(values)
    one_sign = (np.min(values, axis=1) > 0) | (np.max(values, axis=1) < 0)
    units = np.where(one_sign & relative, sizes.min(axis=1), sizes.max(axis=1))[:, None]
    return np.where(units > 0, units, 1.0)  # of what is 0 throughout


def _polynomials(t: np.ndarray, degree: int) -> np.ndarray:
    """T₀(t) … T_degree(t), (degree + 1, …)."""
    return np.moveaxis(chebyshev.chebvander(t, degree), -1, 0)


def _distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different keys, ascending, and which of them each is. By counting, where they lie close: it sorts nothing."""
    low, high = keys.min(), keys.max()
    if high - low > 4 * len(keys):
        return np.unique(keys, return_inverse=True)
    index = (keys - low).astype(np.int64)
    present = np.bincount(index) > 0
    return low + np.flatnonzero(present), (np.cumsum(present) - 1)[index]
