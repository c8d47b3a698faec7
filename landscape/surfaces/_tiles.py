"""Tiles: rectangles of cells, one call of one compiled function of fixed shape each. Knows no objective."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

Shape = tuple[int, ...]
# Takes the positions along each axis, padded to the tile's shape; returns arrays that end with the tile's shape.
Compute = Callable[[tuple[np.ndarray, ...]], Mapping[str, np.ndarray]]


def tile_shape(grid: Shape, cells: int) -> Shape:
    """The rectangle of at most `cells` cells that halving the grid's longest side, again and again, arrives at."""
    shape = list(grid)
    while math.prod(shape) > max(cells, 1):
        longest = shape.index(max(shape))
        shape[longest] = -(-shape[longest] // 2)
    return tuple(shape)


def tiles(grid: Shape, shape: Shape) -> Iterator[tuple[slice, ...]]:
    """The tiles of a grid in row-major order, as slices; those at the far edges may be smaller."""
    starts = (range(0, size, step) for size, step in zip(grid, shape, strict=True))
    for corner in itertools.product(*starts):
        yield tuple(slice(c, min(c + s, g)) for c, s, g in zip(corner, shape, grid, strict=True))


def num_tiles(grid: Shape, shape: Shape) -> int:
    """How many tiles cover the grid."""
    return math.prod(-(-g // s) for g, s in zip(grid, shape, strict=True))


def run(
    compute: Compute, axes: tuple[np.ndarray, ...], shape: Shape, done: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """Fill the whole grid tile by tile; `done(cells)` is called after each.

    Returns: arrays that end with the grid's shape. An interruption propagates at once.
    """
    grid = tuple(len(axis) for axis in axes)
    results: dict[str, np.ndarray] = {}
    for tile in tiles(grid, shape):
        inside = tuple(slice(0, s.stop - s.start) for s in tile)
        positions = tuple(_padded(axis[s], size) for axis, s, size in zip(axes, tile, shape, strict=True))
        for name, values in compute(positions).items():
            if shape == grid:
                results[name] = np.asarray(values)
                continue
            if name not in results:
                results[name] = np.empty(values.shape[: -len(grid)] + grid, values.dtype)
            results[name][..., *tile] = np.asarray(values)[..., *inside]
        done(math.prod(s.stop - s.start for s in tile))
    return results


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    """Repeat the last position: every call has the same shape, hence one compilation."""
    return np.pad(values, (0, size - len(values)), mode="edge")
