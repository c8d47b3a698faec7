"""What grids of runs are asked for, checked and put together."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import jax
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape.analysis import _steps
from landscape.analysis._steps import Inputs, Program
from landscape.analysis.optimizers import Optimizer
from landscape.charts.chart import Chart
from landscape.objectives import data as _data
from landscape.objectives import objective as _objective
from landscape.objectives.objective import Objective
from landscape.surfaces.sweep import penalties_of, stacked


def check_objective(objective: Any, what: str) -> None:
    """Raise unless it is an Objective whose data are in memory; `what` asks for it."""
    _objective.check_objective(objective)
    if not _data.in_memory(objective.data):
        raise ValueError(
            f"`objective` reads its data from disk or batch by batch; {what} needs them as arrays in memory, since "
            "each step of each run reads all of them. Take fewer: objective.with_data(arrays)."
        )
    _checks.x64_matches("objective", objective.params)


def program(objective: Objective, optimizer: Optimizer | None) -> Program:
    """The steps of a run on all data."""
    unset: Any = optimizer  # each cell of `trainability` has its own
    coefficients = objective.penalty.coefficients(_trees.floating(objective.params))
    penalized = _steps.penalized(coefficients)
    return Program(objective.traced_losses, objective.reduction, unset, None, objective.n, 1, penalized)


def inputs(objective: Objective, chart: Chart | None) -> Inputs:
    """What the runs of an objective read."""
    sweep, _ = stacked(penalties_of(objective, None), _trees.floating(objective.params))
    one = jax.tree.map(lambda leaf: leaf[0], (sweep.alpha, sweep.beta))
    weight: Any = np.full((), np.nan, dtype(objective))  # of mini-batches only
    return Inputs(objective.data, objective.params, weight, one, chart)


def dtype(objective: Objective) -> np.dtype:
    """What positions on axes are computed in: float32 or wider."""
    return objective.dtype if objective.dtype.itemsize >= 4 else np.dtype(np.float32)


def positions(axes: Mapping[str, np.ndarray], dtype: np.dtype) -> dict[str, np.ndarray]:
    """The axes in the dtype that they are computed in.

    Raises: ValueError where they overflow, or where positions that differ become equal: columns would repeat.
    """
    found = {}
    for name, axis in axes.items():
        with np.errstate(over="ignore"):
            cast = axis.astype(dtype)
        _checks.finite(f"axes[{name!r}]", cast, f"Keep it within {dtype}")
        if len(np.unique(cast)) < len(np.unique(axis)):
            raise ValueError(
                f"`axes[{name!r}]` has positions that are equal in {dtype}: cells would repeat. Take a wider step, or "
                "build objective and axes in float64, inside `with jax.enable_x64(True):`."
            )
        found[name] = cast
    return found


def check_free(names: Mapping[str, Any], taken: Set[str]) -> None:
    """Raise ValueError where an axis is called like a variable of the result."""
    for name in names:
        if name in taken:
            raise ValueError(f"`axes` calls an axis {name!r}, which is the name of a result; choose another name.")


def level(value: float | Array, dtype: np.dtype) -> Any:
    """A number that compiled code reads."""
    return np.asarray(value, dtype)
