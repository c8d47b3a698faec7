"""Steps along a direction that are lost in the rounding of a leaf."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _trees
from landscape.charts import chart as _chart
from landscape.charts.plane import Plane


class Resolution(NamedTuple):
    """How finely a leaf follows one coordinate."""

    leaf: str
    dtype: Any
    step: float  # of the coordinate, below which no entry of the leaf moves
    move: float  # largest entry of the direction
    size: float  # largest entry of the leaf, of those that move


@_chart.once
def resolutions(plane: Plane) -> tuple[tuple[Resolution, ...], ...]:
    """For each coordinate, the leaves that move along it."""
    origin = _trees.named_leaves(_trees.floating(plane.origin))
    along = (zip(origin.items(), jax.tree.leaves(direction), strict=True) for direction in plane.directions)
    return tuple(
        tuple(_resolution(path, leaf, moves) for (path, leaf), moves in leaves if _trees.as_numbers(moves).any())
        for leaves in along
    )


def _resolution(path: str, leaf: Any, direction: Any) -> Resolution:
    # No wider than it is: of a large model no second copy is made. Only entries that the axis moves count.
    moves, sizes = (np.abs(_trees.as_numbers(array).astype(_trees.wide(array))) for array in (direction, leaf))
    moved = moves > 0
    with np.errstate(over="ignore"):
        step = float(jnp.finfo(leaf.dtype).eps) * float(np.min(sizes[moved] / moves[moved]))
    return Resolution(path, leaf.dtype, step, float(moves.max()), float(sizes[moved].max()))
