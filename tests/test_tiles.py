"""Tiles: every cell once, in fixed shapes, whatever the grid."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape.surfaces import _tiles

sides = st.integers(1, 12)
grids = st.lists(sides, min_size=1, max_size=3).map(tuple)


@given(grid=grids, cells=st.integers(1, 500))
def test_tiles_cover_every_cell_once(grid, cells):
    """In row-major order, none larger than asked for, as many as promised."""
    shape = _tiles.tile_shape(grid, cells)
    assert math.prod(shape) <= cells or math.prod(shape) == 1
    seen, corners = np.zeros(grid, int), []
    for tile in _tiles.tiles(grid, shape):
        seen[tile] += 1
        corners.append(tuple(s.start for s in tile))
        assert all(s.stop - s.start <= size for s, size in zip(tile, shape, strict=True))
    assert (seen == 1).all()
    assert corners == sorted(corners) and len(corners) == _tiles.num_tiles(grid, shape)


@given(grid=grids, cells=st.integers(1, 60), extra=st.integers(0, 2))
def test_run_fills_the_grid_in_place(grid, cells, extra):
    """Values and their positions agree on ragged grids; every call has one shape; what is done is reported."""
    axes = tuple(np.arange(size) + 100.0 * i for i, size in enumerate(grid))
    shape, calls, done = _tiles.tile_shape(grid, cells), [], []

    def compute(positions):
        calls.append(tuple(map(len, positions)))
        cells = np.stack(np.meshgrid(*positions, indexing="ij"))
        return {
            "sum": cells.sum(axis=0),
            "both": np.stack([cells.sum(axis=0)] * extra) if extra else cells.prod(axis=0),
        }

    result = _tiles.run(compute, axes, shape, done.append)
    everywhere = np.stack(np.meshgrid(*axes, indexing="ij"))
    assert np.array_equal(result["sum"], everywhere.sum(axis=0))
    if extra:
        assert np.array_equal(result["both"], np.stack([everywhere.sum(axis=0)] * extra))
    assert set(calls) == {shape}
    assert sum(done) == math.prod(grid)


@pytest.mark.parametrize(
    ("grid", "cells", "shape"),
    [
        ((8, 8), 64, (8, 8)),
        ((8, 8), 63, (4, 8)),  # whole rows first
        ((8, 8), 8, (2, 4)),
        ((3, 100), 50, (3, 13)),
        ((5,), 2, (2,)),
        ((4, 4, 4), 1, (1, 1, 1)),
    ],
)
def test_tile_shapes(grid, cells, shape):
    """The longest side is halved until the tile is small enough."""
    assert _tiles.tile_shape(grid, cells) == shape


def test_an_interruption_propagates():
    """What was started is not swallowed."""

    def compute(positions):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _tiles.run(compute, (np.arange(3.0),), (1,), lambda cells: None)
