"""Loops and voids of the sublevel sets, by GUDHI's cubical complex."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from landscape.analysis.topology._grid import Grid


class Cycles(NamedTuple):
    """Of one dimension."""

    homology: int  # 1 for loops, 2 for voids
    births: np.ndarray  # (c,) cells: the highest of the loop, or of the shell, when it closes
    deaths: np.ndarray  # (c,) cells that fill it, the maximum inside; −1: a wall is inside


def cycles(grid: Grid) -> list[Cycles]:
    """The loops, and of three axes the voids, of positive persistence; none on a line.

    Raises: ImportError where GUDHI is not installed.
    """
    if len(grid.shape) < 2:
        return []
    complex_ = _gudhi().CubicalComplex(vertices=grid.values.reshape(grid.shape))
    complex_.compute_persistence()
    pairs, _ = complex_.vertices_of_persistence_pairs()  # only components are essential, in a box
    found = []
    for homology in range(1, len(grid.shape)):
        own = pairs[homology] if homology < len(pairs) else np.zeros((0, 2), int)
        # GUDHI numbers the vertices in Fortran order.
        births, deaths = (
            np.ravel_multi_index(np.unravel_index(cells, grid.shape, order="F"), grid.shape) for cells in own.T
        )
        real = np.isfinite(grid.values[births])
        found.append(Cycles(homology, births[real], np.where(grid.walls[deaths], -1, deaths)[real]))
    return found


def _gudhi() -> Any:
    try:
        import gudhi
    except ImportError as error:
        raise ImportError(
            "Loops and voids of a surface are found by GUDHI, which is not installed: "
            "pip install 'jax-landscape[topology]'."
        ) from error
    return gudhi
