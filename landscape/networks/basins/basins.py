"""Basins of attraction: which minimum an optimizer comes to from every point of a chart, and how long it takes.

>>> import numpy as np, optax, landscape as ls
>>> wells = ls.function(lambda p: (p["x"] ** 2 - 1) ** 2 + p["y"] ** 2, {"x": 0.0, "y": 0.0})
>>> plane = ls.axes_plane(wells.params, "x", "y")
>>> found = ls.basins(wells, plane, {"x": np.array([-0.5, 0.5]), "y": np.array([0.0])}, optax.sgd(0.1), 500)
>>> found.minimum.values.ravel(), found.minimum_at.sel(coordinate="x").values.round(3)
(array([0, 1], dtype=int32), array([-1.,  1.], dtype=float32))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax

from landscape import _checks
from landscape._trees import Params
from landscape.analysis.optimizers import Optimizer, ProximalGradient
from landscape.charts import axes as _axes
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.networks import _asked
from landscape.networks.basins import _grids, _grouping
from landscape.networks.basins._cells import Read, Starts
from landscape.networks.basins._grids import Grid
from landscape.objectives.objective import Objective
from landscape.surfaces._identity import chart_identity
from landscape.surfaces.provenance import describe

if TYPE_CHECKING:
    import xarray

NOT_CONVERGED, DIVERGED = -1, -2  # in place of a minimum's label


def basins(
    objective: Objective,
    chart: Chart,
    axes: Mapping[str, Any],
    optimizer: Optimizer,
    steps: int,
    *,
    tolerance: float = 1e-4,
    apart: float = 1e-2,
    canonical: Callable[[Params], Params] | None = None,
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
    shard: tuple[int, int] | None = None,
    devices: Sequence[Any] | None = None,
) -> xarray.Dataset:
    """Start an optimizer at every point θ(c) of a grid on a chart, and say where it ends.

    axes:      coordinate name -> 1-D positions, as in `evaluate`.
    optimizer: an optax transformation or `ls.proximal_gradient(η)`. Matched by identity: keep one to compile once.
    steps:     of full batches, at most.
    tolerance: a run has converged, and stops, where the norm of the objective's gradient (of its minimum-norm
               subgradient) is at most this.
    apart:     two ends θ and φ are the same minimum if ‖θ − φ‖ ≤ apart·(1 + ‖θ‖), θ being the one of the smaller
               gradient. Ends scatter by about tolerance/(least curvature): keep `apart` above that. Of more than 16
               params the distance is that of 16 fixed random projections, within some 18% of the true one.
    canonical: params -> params, traceable: maps equivalent params (hidden units in another order, with other signs) to
               one representative; ends are compared after it. Of a network `ls.symmetry(apply, params, x).canonical`.
               By default only equal params are the same.
    progress, store, shard, devices: as in `evaluate`. On a CPU the tiles go to a thread for each core.

    Returns a Dataset over the axes:
        minimum        label of the minimum at which the run ended, 0 the one of most starts; −1 where it has not
                       converged, −2 where it is not finite
        steps_taken    steps until the gradient was small, or until it was not finite
        risk, objective, gradient_norm, finite, converged      at the end
    and over `minimum_label` the minima themselves, each by the end of the least gradient:
        minimum_objective, minimum_gradient_norm, minimum_count (of starts)
        minimum_at     (minimum_label, coordinate): where it lies on the chart, and
        minimum_residual   its distance from there: 0 to rounding where the chart goes through it
    A run ends where the gradient is small, which a saddle is too: the start on a ridge says so by its label. Ends along
    a valley that is flat are told apart wherever they lie farther apart than that. In a store the ends are kept, and
    `ls.open_surface` reads them without labels; the same call again gives those.
    Raises: ValueError or TypeError, naming the argument; of a store as `evaluate`.

        >>> import numpy as np, optax, landscape as ls
        >>> wells = ls.function(lambda p: (p["x"] ** 2 - 1) ** 2 + p["y"] ** 2, {"x": 0.0, "y": 0.0})
        >>> plane = ls.axes_plane(wells.params, "x", "y")
        >>> axes = {"x": np.array([-0.5, 0.5, 9.0]), "y": np.array([0.0, 1.0])}
        >>> ls.basins(wells, plane, axes, optax.sgd(0.1), 500).minimum.values  # from x = 9 it diverges
        array([[ 0, 0], [ 1, 1], [-2, -2]], dtype=int32)
    """
    _asked.check_objective(objective, "basins")
    _chart.check("chart", chart)
    _chart.check_fits("chart", chart, objective.params)
    give = "an optax optimizer such as optax.sgd(0.1), or ls.proximal_gradient(0.1)"
    _checks.instance("optimizer", optimizer, (optax.GradientTransformation, ProximalGradient), give)
    _checks.count("steps", steps)
    tolerance, apart = _checks.positive("tolerance", tolerance), _checks.positive("apart", apart)
    if canonical is not None and not callable(canonical):
        raise TypeError(f"`canonical` is {_checks.kind(canonical)}; give a function params -> params, or leave it out.")
    dtype = _asked.dtype(objective)
    found = _asked.positions(_checks.axes(chart.names, axes), dtype)
    _asked.check_free(found, _grids.TAKEN | set(_grouping.LONG_NAMES))
    grid = Grid(
        objective,
        Starts(_asked.program(objective, optimizer), canonical, _places(chart, found)),
        Read(_asked.inputs(objective, chart), _asked.level(tolerance, dtype)),
        found,
        _axes.described(chart),
        steps,
        {"picture": "basins", "chart": chart_identity(chart, dtype), "tolerance": str(tolerance)},
        describe(objective, None) | _of_chart(chart) | {"picture": "basins", "tolerance": tolerance},
    )
    with jax.default_matmul_precision(_grids.PRECISION):
        ends = _grids.computed(grid, store, shard, devices, progress)
    return _labeled(ends, apart)


def _places(chart: Chart, axes: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """Which of the axes is each of the chart's coordinates."""
    return tuple(list(axes).index(name) for name in chart.names)


def _of_chart(chart: Chart) -> dict[str, Any]:
    return {"chart": _chart.to_json(chart), "chart_id": _chart.chart_id(chart)}


def _labeled(ends: xarray.Dataset, apart: float) -> xarray.Dataset:
    """The ends of runs as labels of minima, and the minima."""
    dims = ends["objective"].dims
    converged = ends["converged"].to_numpy().ravel()
    at, norms = np.flatnonzero(converged), ends["gradient_norm"].to_numpy().ravel()
    points = ends["signature"].to_numpy().reshape(converged.size, -1)
    groups, best, counts = _grouping.grouped(points[at], norms[at], apart)
    labels = np.where(ends["finite"].to_numpy().ravel(), NOT_CONVERGED, DIVERGED).astype(np.int32)
    labels[at] = groups
    best = at[best]

    def of(name: str) -> np.ndarray:
        own = ends[name].to_numpy()
        return own.reshape(converged.size, *own.shape[len(dims) :])[best]

    minima = {
        "minimum_objective": (("minimum_label",), of("objective")),
        "minimum_gradient_norm": (("minimum_label",), of("gradient_norm")),
        "minimum_count": (("minimum_label",), counts),
        "minimum_at": (("minimum_label", "coordinate"), of("end")),
        "minimum_residual": (("minimum_label",), of("residual")),
    }
    labeled = ends.drop_vars(["end", "residual", "signature"])
    labeled["minimum"] = (dims, labels.reshape(ends["objective"].shape))
    labeled = labeled.assign(minima).assign_coords(minimum_label=np.arange(len(best), dtype=np.int32))
    for name, text in _grouping.LONG_NAMES.items():
        labeled[name].attrs = {"long_name": text, "units": "1"}
    return labeled.assign_attrs(apart=apart)
