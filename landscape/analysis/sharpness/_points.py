"""Points of the params, one or many, such as those that a run has recorded."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from landscape import _trees
from landscape._trees import Params
from landscape.charts.trajectory import Trajectory
from landscape.objectives.objective import Objective


class Points(NamedTuple):
    """Params with one leading axis on every leaf that moves, and what the axis stands for."""

    moving: Params  # leaves (m, …), as they were given
    shape: tuple[int, ...]  # whose product is m
    dims: tuple[str, ...]
    coords: Any

    def at(self, i: int, like: Params) -> Params:
        """The i-th one, frozen leaves from `like`."""
        return _trees.merged(jax.tree.map(lambda leaf: leaf[i], self.moving), like)


def points(objective: Objective, params: Any) -> Points:
    """Params, stacked params (leaves (m, …), dimension `point`), or the params of a `Trajectory`.

    Raises: ValueError for what is like none of them.
    """
    own, run = _trees.floating(objective.params), isinstance(params, Trajectory)
    given = params.params if run else params
    if given is None:
        raise ValueError(
            "`params` is a trajectory that keeps coordinates on a chart, not its params; record with record=None."
        )
    if jax.tree.structure(given) != jax.tree.structure(objective.params):
        raise ValueError(
            "`params` must have the structure of the objective's params.\n"
            + _trees.layouts(objective=objective.params, params=given)
        )
    given = _trees.floating(given, like=objective.params)
    pairs = list(zip(jax.tree.leaves(given), jax.tree.leaves(own), strict=True))
    leading = {np.shape(leaf)[: np.ndim(leaf) - one.ndim] for leaf, one in pairs}
    shape = params.data["risk"].shape if run else leading.pop()
    fits = all(np.shape(leaf) == (*shape, *one.shape) for leaf, one in pairs)
    if not fits or (not run and len(shape) > 1) or 0 in shape:
        raise ValueError(
            "`params` must have the shapes of the objective's params, or one more leading axis of the same length on "
            f"every leaf.\n  objective: {_trees.layout(own)}\n  params: {_trees.layout(given)}"
        )
    if run:
        dims, coords = tuple(map(str, params.data["risk"].dims)), params.data.coords
    else:
        coords = {"point": np.arange(shape[0])} if shape else {}
        dims = tuple(coords)
    return Points(_flat(given, own), shape, dims, coords)


def _flat(given: Params, own: Params) -> Params:
    return jax.tree.map(lambda leaf, one: np.reshape(leaf, (-1, *one.shape)), given, own)
