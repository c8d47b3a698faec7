"""The merge tree of the values on a grid: which minimum's component is swallowed by which, where, and at what height.

Cells are ordered by (value, number), so that no two are equal. Every cell points to a lower neighbor; the minima are
those that point to themselves, and the cells that lead to one are its basin. A cell is connected with its minimum by
lower ones, so that the components of the sublevel sets are those of the basins, joined across the lowest cell between
two: Kruskal's minimum spanning tree of the basins is the merge tree. Merges at the height of the minimum itself, which
only the order of equal cells makes, are undone: a plateau is one minimum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.analysis.topology._grid import Grid


class MergeTree(NamedTuple):
    """The minima, oldest (lowest) first; what is not there is −1."""

    minima: np.ndarray  # (m,) cells; of a plateau, the first
    saddles: np.ndarray  # (m,) cell where the component merges into that of an older minimum; −1: never
    merges_into: np.ndarray  # (m,) the oldest minimum of the component that is there after the merge
    spills_into: np.ndarray  # (m,) the minimum whose basin lies on the other side of the saddle
    basins: np.ndarray  # (n,) the minimum that steepest descent comes to from each cell; −1 in a wall


def merge_tree(grid: Grid) -> MergeTree:
    """All minima of positive persistence."""
    order = np.argsort(grid.values, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    bottom = _bottoms(_pointers(grid, rank))
    inside = ~grid.walls
    found = order[(bottom[order] == order) & inside[order]]
    number = np.full(len(order), -1)
    number[found] = np.arange(len(found))
    basins = np.where(inside, number[bottom], -1)
    saddles, elder, beyond = _merges(len(found), *_passes(grid, rank, basins), order)
    never = saddles < 0
    heights = np.where(never, np.inf, grid.values[saddles])
    elder = _oldest(elder, heights)
    kept = never | (heights > grid.values[found])
    # The basin of a minimum that is only an effect of the order is that across its saddle.
    final = resolved(kept, beyond)
    new = np.cumsum(kept) - 1
    merges, spills = (np.where(parent < 0, -1, new[final[parent]])[kept] for parent in (elder, beyond))
    return MergeTree(found[kept], saddles[kept], merges, spills, np.where(inside, new[final[basins]], -1))


def resolved(kept: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """(m,) for each minimum the one kept into whose basin it falls when all the others are filled up."""
    target = np.where(kept, np.arange(len(kept)), beyond)
    return _bottoms(target)


def _pointers(grid: Grid, rank: np.ndarray) -> np.ndarray:
    """(n,) for each cell the neighbor of the steepest descent; of equal cells, the first; itself in a minimum."""
    values, ranks = grid.values.reshape(grid.shape), rank.reshape(grid.shape)
    numbers = np.arange(values.size).reshape(grid.shape)
    steepest, lowest = np.zeros(grid.shape), ranks.copy()
    along, flat = numbers.copy(), numbers.copy()
    for axis, positions in enumerate(grid.axes):
        steps = np.diff(positions).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        low, high = (tuple(part if i == axis else slice(None) for i in range(values.ndim)) for part in _SIDES)
        for here, there in ((low, high), (high, low)):
            with np.errstate(invalid="ignore", over="ignore"):  # in walls, and beside them
                slope = (values[here] - values[there]) / steps
            better = slope > steepest[here]
            steepest[here] = np.where(better, slope, steepest[here])
            along[here] = np.where(better, numbers[there], along[here])
            lower = ranks[there] < lowest[here]
            lowest[here] = np.where(lower, ranks[there], lowest[here])
            flat[here] = np.where(lower, numbers[there], flat[here])
    return np.where(steepest > 0, along, flat).ravel()


_SIDES = (slice(None, -1), slice(1, None))


def _bottoms(pointers: np.ndarray) -> np.ndarray:
    """Where the pointers lead to in the end; no circles."""
    while True:
        further = pointers[pointers]
        if np.array_equal(further, pointers):
            return pointers
        pointers = further


def _passes(grid: Grid, rank: np.ndarray, basins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The lowest passes between adjacent basins: (basin, higher numbered basin, rank of the cell), lowest first."""
    labels, ranks = basins.reshape(grid.shape), rank.reshape(grid.shape)
    found = []
    for axis in range(labels.ndim):
        low, high = (tuple(part if i == axis else slice(None) for i in range(labels.ndim)) for part in _SIDES)
        a, b = labels[low], labels[high]
        where = (a != b) & (a >= 0) & (b >= 0)
        a, b, height = a[where], b[where], np.maximum(ranks[low][where], ranks[high][where])
        found.append(np.stack([np.minimum(a, b), np.maximum(a, b), height]))
    first, second, height = np.concatenate(found, axis=1) if found else np.zeros((3, 0), int)
    by_height = np.lexsort((second, first, height))
    _, lowest = np.unique(first[by_height] * (basins.max() + 1) + second[by_height], return_index=True)
    chosen = by_height[np.sort(lowest)]
    return first[chosen], second[chosen], height[chosen]


def _merges(
    count: int, first: np.ndarray, second: np.ndarray, height: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m,) each of all minima: its saddle, the older minimum there, and the basin on the saddle's other side."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    places = np.arange(1, len(height) + 1)  # as weights: all different, in the order of the heights
    tree = minimum_spanning_tree(coo_array((places.astype(float), (first, second)), shape=(count, count)).tocsr())
    chosen = np.sort(tree.data).astype(int) - 1
    saddles, elder, beyond = (np.full(count, -1) for _ in range(3))
    root = list(range(count))

    def oldest(basin: int) -> int:
        while root[basin] != basin:
            root[basin] = root[root[basin]]
            basin = root[basin]
        return basin

    for a, b, at in zip(*(part[chosen].tolist() for part in (first, second, height)), strict=True):
        own, other = oldest(a), oldest(b)
        young, old, across = (own, other, b) if own > other else (other, own, a)
        saddles[young], elder[young], beyond[young] = order[at], old, across
        root[young] = old
    return saddles, elder, beyond


def _oldest(elder: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The elders, those left out that merge at the same height: there all become one component at once."""
    while True:
        tied = (elder >= 0) & (heights[elder] == heights) & (elder[elder] >= 0)
        if not tied.any():
            return elder
        elder = np.where(tied, elder[elder], elder)


def plateaus(grid: Grid, tree: MergeTree) -> np.ndarray:
    """(n,) the minimum that a cell is part of, equal to it and connected with it; −1 elsewhere."""
    bottoms = np.append(grid.values[tree.minima], np.nan)  # the last for walls, −1
    return np.where(grid.values == bottoms[tree.basins], tree.basins, -1)


def merge_shares(grid: Grid, tree: MergeTree) -> np.ndarray:
    """(m,) the share of the component below each minimum's saddle, {f < f(saddle)}, when it merges."""
    heights = np.where(tree.saddles < 0, np.inf, grid.values[tree.saddles])
    oldest, inside = tree.basins.copy(), np.flatnonzero(~grid.walls)
    active = inside
    while len(active):  # a cell belongs to the oldest minimum of its component at its own height
        active = active[grid.values[active] >= heights[oldest[active]]]
        oldest[active] = tree.merges_into[oldest[active]]
    shares = np.bincount(oldest[inside], grid.volumes[inside], minlength=len(tree.minima))
    for i in np.argsort(heights, kind="stable").tolist():
        if tree.merges_into[i] >= 0:
            shares[tree.merges_into[i]] += shares[i]
    return shares
