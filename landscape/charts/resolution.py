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
def resolutions(plane: Plane) -> dict[str, list[Resolution]]:
    """{coordinate: the leaves that move along it}."""
    origin = _trees.named_leaves(_trees.floating(plane.origin))
    found: dict[str, list[Resolution]] = {}
    for name, direction in zip(plane.names, plane.directions, strict=True):
        leaves = zip(origin.items(), jax.tree.leaves(direction), strict=True)
        found[name] = [_resolution(path, leaf, moves) for (path, leaf), moves in leaves if np.any(moves)]
    return found


def _resolution(path: str, leaf: Any, direction: Any) -> Resolution:
    # In float32: of a large model no second copy is made. Only entries that the axis moves count.
    moves, sizes = (np.abs(np.asarray(array, np.float32)) for array in (direction, leaf))
    moved = moves > 0
    with np.errstate(over="ignore"):
        step = float(jnp.finfo(leaf.dtype).eps) * float(np.min(sizes[moved] / moves[moved]))
    return Resolution(path, leaf.dtype, step, float(moves.max()), float(sizes[moved].max()))
