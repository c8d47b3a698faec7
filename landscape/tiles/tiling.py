"""Tilings: a grid cut into rectangles of one shape, numbered in row-major order. Knows no objective."""

import math
from typing import NamedTuple

import numpy as np

Shape = tuple[int, ...]


class Tiling(NamedTuple):
    """A grid over named dimensions, cut into tiles; those at the far edges reach beyond it."""

    dims: tuple[str, ...]
    grid: Shape
    shape: Shape  # of a tile

    @property
    def count(self) -> int:
        """How many tiles cover the grid."""
        return math.prod(self._tiles)

    @property
    def _tiles(self) -> Shape:
        return tuple(-(-g // s) for g, s in zip(self.grid, self.shape, strict=True))

    def place(self, tile: int) -> dict[str, int]:
        """Where a tile stands among the tiles along each dimension."""
        place: dict[str, int] = {}
        for dim, count in zip(reversed(self.dims), reversed(self._tiles), strict=True):
            tile, place[dim] = divmod(tile, count)  # np.unravel_index takes longer, for a single number
        return {dim: place[dim] for dim in self.dims}

    def slices(self, tile: int) -> dict[str, slice]:
        """The part of the grid that a tile covers."""
        place = self.place(tile).items()
        return {d: slice(i * s, min((i + 1) * s, g)) for (d, i), g, s in zip(place, self.grid, self.shape, strict=True)}

    def cells(self, tile: int) -> int:
        """How many cells of the grid a tile covers."""
        return math.prod(s.stop - s.start for s in self.slices(tile).values())

    def take(self, axes: dict[str, np.ndarray], tile: int) -> tuple[np.ndarray, ...]:
        """The positions of a tile along some of the dimensions, the last one repeated at the far edge.

        Every tile has the same shape, hence one compilation.
        """
        sizes = dict(zip(self.dims, self.shape, strict=True))
        covered = self.slices(tile)
        parts = {name: axis[covered[name]] for name, axis in axes.items()}
        return tuple(
            np.pad(part, [(0, sizes[name] - len(part)), *[(0, 0)] * (part.ndim - 1)], mode="edge")
            for name, part in parts.items()
        )


def tile_shape(grid: Shape, cells: int) -> Shape:
    """The rectangle of at most `cells` cells that halving the grid's longest side, again and again, arrives at."""
    shape = list(grid)
    while math.prod(shape) > max(cells, 1):
        longest = shape.index(max(shape))
        shape[longest] = -(-shape[longest] // 2)
    return tuple(shape)
