"""`evaluate`: an objective, seen through a chart, measured on axes, becomes a labeled data set.

>>> import numpy as np, landscape as ls
>>> pair = ls.neuron(*ls.datasets.pair())
>>> plane = ls.axes_plane(pair.params, "w", "b")
>>> surface = ls.evaluate(pair, plane, {"w": np.linspace(-10, 10, 41), "b": np.linspace(-5, 5, 21)})
>>> surface.risk.dims, surface.risk.shape
(('w', 'b'), (41, 21))
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from landscape import _checks
from landscape.charts.chart import Chart
from landscape.objectives.data import Batches, in_memory
from landscape.objectives.objective import Objective, check_objective
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _dataset, _devices, _stored
from landscape.surfaces._curved import CURVATURES
from landscape.surfaces._task import Scattered, Task, planned
from landscape.surfaces._work import Work
from landscape.surfaces.quantities import GRADIENTS, Quantity
from landscape.tiles.leases import Shard
from landscape.tiles.progress import Progress, Reached
from landscape.tiles.run import Memory, run

if TYPE_CHECKING:
    import xarray

REQUESTED = ("risk_stderr", *GRADIENTS, "slope", "plane_hessian", "mean_curvature", "accuracy", *CURVATURES)


def evaluate(
    objective: Objective,
    chart: Chart,
    axes: Mapping[str, Any],
    *,
    quantities: Sequence[str | Quantity] = ("risk",),
    penalties: Mapping[str, Penalty] | None = None,
    data: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = "highest",
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
    shard: tuple[int, int] | None = None,
    devices: Sequence[Any] | None = None,
    tolerance: float | None = None,
    exact: bool = False,
) -> xarray.Dataset:
    """Measure the objective at every point of a grid on a chart.

    axes:        coordinate name -> 1-D positions, any spacing, 1 to 3 of them: all of the chart's names. The result's
                 dimensions follow the order of this mapping.
    quantities:  names out of "risk_stderr", "accuracy", "slope", "plane_hessian", "mean_curvature",
                 "risk_gradient_norm", "gradient_norm", "hessian_min", "hessian_max", "hessian_ratio"; `Metric`s and own
                 `Quantity` objects.
    penalties:   label -> Penalty, a sweep: replaces the objective's own penalty and adds the dimension `penalty` in
                 front. Risk and its gradient are computed once a cell however many there are.
    data:        label -> data, such as {"train": (x, y), "test": (u, v)}: replaces the objective's own data and adds
                 the dimension `split` in front of the axes, where the data matter.
    batch_size:  examples at a time; chosen from `memory` by default. `Batches` come in their own sizes, and are cut
                 where they do not fit.
    memory:      bytes that temporaries may take (default 2 GiB on CPU), on each device; halved cells in flight where
                 it runs out all the same. A store keeps to the plan that it was begun with.
    precision:   of matrix products, "highest" unless asked otherwise (JAX's default is TF32 on NVIDIA and
                 bfloat16 on TPU).
    progress:    show a bar; by default where a run lasts over two seconds and standard error is a terminal.
    store:       a path, or a URL that fsspec knows, where the tiles of the surface are kept as they are computed. The
                 same call again computes what is missing, and numbers come out as without the interruption, bit by
                 bit on the same machine. `ls.open_surface` and `xarray.open_zarr` read it while it grows.
    shard:       (i, n): this is process i of n that fill one store. It computes tiles i, i + n, …, and then what the
                 others have not done. By default as `jax.distributed` says, else all.
    devices:     JAX devices among which tiles are dealt; by default all local ones, or those to which params or data
                 are committed; one where data come as `Batches`. Numbers do not depend on them. Each compiles for
                 itself, and holds a copy of the data that are in memory.
    tolerance:   of what is summed over the examples, where these are compressed, beside rounding: 2⁻²⁰ in float32 and
                 2⁻⁴⁰ in float64, unless you give another. Of the risk in units of itself under cross-entropy, of the
                 mean ½(|f| + |y|)² under squared error; of derivatives and squares of losses in units of the mean of
                 their sizes where these are largest within the piece of an example. Under squared error with more than
                 three different labels (five for a standard error) it is 2⁻²⁰ in float64 too, of the risk in units of
                 itself, of squares of losses in units of their mean. The error of these grows as the noise in the
                 labels shrinks; where it would be larger, all examples are summed.
    exact:       True sums over all examples in every cell.

    The examples of a neuron are compressed where that saves work: on cells that see each through one number, and for a
    smooth activation, a few weighted nodes have the same risk, standard error and derivatives. `ls.explain` says
    whether, and so does the attribute `compression`, JSON: of each split {why_not} or {examples, nodes, …, error}.

    Returns a Dataset over the axes:
        risk, objective, penalty_value, penalty_unit (penalty at strength 1), finite            always
        risk_stderr          standard error of the mean risk, sd(lᵢ)/√n (NaN for one example)
        risk_gradient_norm   ‖∇R‖ over ALL params, not only in the chart
        gradient_norm        minimum norm over the subdifferential of R + Ω; comes with risk_gradient_norm
        slope                in-chart gradient of the risk, with a last dimension `coordinate`
        plane_hessian        in-chart Hessian of the risk, with last dimensions `coordinate` and `coordinate_`
        mean_curvature       tr(G⁻¹·plane_hessian)/k, G = DᵀD of a Plane's directions D: the mean over directions in it
                             of the risk's curvature per unit of length; comes with plane_hessian
        hessian_min, hessian_max, hessian_ratio      the extreme eigenvalues of the objective's Hessian over ALL params,
                             and |hessian_min/hessian_max| (Li et al. 2018, section 6: near 0 where J is nearly convex)
        hessian_residual, hessian_converged, hessian_products      how well they solve Hv = λv, whether well enough, and
                             the products Hv that it took
        accuracy             share of the examples that `objective.predict` gets right, weighted as the risk is
    Whatever is affine in the coordinates is computed once a batch for all cells; `ls.explain` says what.
    Eigenvalues come from Lanczos iterations, the same random start in every cell, to residuals of
    max(√ε·|λ|, 64ε·max |λ|) or 200 products a cell; of up to 32 params from the matrix. On a kink (`ls.kinks`) they are
    those of the smooth piece around the cell. All data are read many times, so they must be in memory.
    objective, penalty_*, gradient_norm and hessian_* carry `penalty` in a sweep. NaN and inf stay as they are, and
    `finite` is False there. In a store each variable has one chunk a tile.
    Attributes hold the provenance: versions, device, dtype, precision, fingerprints, plan and wall time. On a Plane
    those of a coordinate hold `unit_length`, the distance between params one unit apart: its direction's norm.
    Raises: ValueError or TypeError, naming the argument; ValueError for a store of another problem, with what differs;
    OSError where the store cannot be written to, before anything is computed.
    """
    started = time.perf_counter()
    _checks.precision(precision)
    parts = _parts(objective, data)
    share = _devices.shard(shard, store)
    asked = (quantities, penalties, batch_size, memory, tolerance, exact, share.count if store is not None else 0)
    tasks: list[Task] = []
    for part in parts.values():  # no comprehension: warnings count the frames up to the caller's
        tasks.append(planned(part, chart, axes, *asked))
    splits = None if data is None else list(data)
    read = [(part.params, chart, part.data if in_memory(part.data) else None) for part in parts.values()]
    batches = any(not in_memory(task.data) and not _on_disk(task.data) for task in tasks)
    where = _devices.chosen(devices, read, batches)
    problem = _stored.Problem(tasks, splits, penalties, batch_size, precision)
    surface = _measured(problem, store, share, where, progress, started)
    _warn_if_nowhere_finite(surface)
    return surface


def evaluate_at(
    objective: Objective,
    chart: Chart,
    points: np.ndarray,
    *,
    quantities: Sequence[str | Quantity] = ("risk",),
    penalties: Mapping[str, Penalty] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = "highest",
    store: str | None = None,
) -> xarray.Dataset:
    """As `evaluate`, on all examples, at points (P, k) in the order of the chart's names: of dimension `evaluation`."""
    started = time.perf_counter()
    share = _devices.shard(None, store)
    parts = share.count if store is not None else 0
    asked = (quantities, penalties, batch_size, memory)
    task = planned(objective, chart, Scattered(points), *asked, exact=True, parts=parts)
    read = (objective.params, chart, objective.data if in_memory(objective.data) else None)
    where = _devices.chosen(None, read, not in_memory(task.data) and not _on_disk(task.data))
    problem = _stored.Problem([task], None, penalties, batch_size, precision)
    return _measured(problem, store, share, where, False, started)


def _measured(
    problem: _stored.Problem,
    store: str | os.PathLike[str] | None,
    share: Shard,
    where: _devices.Where,
    progress: bool | None,
    started: float,
) -> xarray.Dataset:
    with jax.default_matmul_precision(problem.precision):
        if store is not None:
            return _stored.filled(problem, store, share, where, progress)
        return _in_memory(problem, where, progress, started)


def _on_disk(data: Any) -> bool:
    """Whether the data are NumPy's memory maps, which several threads may read; of others nobody knows."""
    return all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(data)) and not isinstance(data, Batches)


def shapes_of(
    objective: Objective, chart: Chart, axes: Mapping[str, Any], quantities: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Arrays like those that `evaluate` would return, which take no memory: traced, nothing is computed."""
    task = planned(objective, chart, axes, quantities, None, options["batch_size"], options["memory"], None, True)
    tiling, tasks = _stored.cut([task], None)
    work = Work(tasks, tiling, False, options["precision"], lambda tile, part: None)
    return {name: values for name, (_, values) in work.shapes().items()}


def _parts(objective: Objective, data: Mapping[str, Any] | None) -> dict[str, Objective]:
    """The objective on each of the data; on its own under the label ""."""
    check_objective(objective)
    if data is None:
        return {"": objective}
    _checks.labels("data", data, '{"train": (x, y), "test": (u, v)}')
    return {label: objective.with_data(part) for label, part in data.items()}


def _in_memory(
    problem: _stored.Problem, where: _devices.Where, progress: bool | None, started: float
) -> xarray.Dataset:
    import xarray

    _, splits, penalties, _, precision = problem
    tiling, tasks = _stored.cut(problem.tasks, splits)
    place = Memory(tiling)
    with Progress(math.prod(tiling.grid), "cells", progress) as bar:
        reached = Reached(bar, tiling)
        work = Work(tasks, tiling, penalties is not None, precision, reached.part, where.together)
        run(work, place, range(tiling.count), where.devices, reached.tile)
    arrays = _dataset.expanded(place.arrays, tasks[0].measures.units)
    attributes = _dataset.attributes(tasks, splits, arrays, penalties, precision) | {
        "cells_in_flight": work.plans[0].in_flight,
        "out_of_memory": _dataset.out_of_memory(tasks[0].plan.in_flight, work.plans[0].in_flight),
    }
    variables = {name: (dims, values, _dataset.described(name)) for name, (dims, values) in arrays.items()}
    coordinates = _dataset.coordinates(tasks[0], arrays, penalties, splits)
    attributes["wall_seconds"] = round(time.perf_counter() - started, 6)
    return xarray.Dataset(variables, coordinates, attributes)


def _warn_if_nowhere_finite(surface: xarray.Dataset) -> None:
    """A surface of NaN is seldom what was meant; a single cell speaks for itself."""
    if surface["finite"].size == 1 or surface["finite"].to_numpy().any() or "computed" in surface:
        return
    wrong = sorted(str(n) for n, v in surface.data_vars.items() if n != "finite" and not np.isfinite(v).any())
    hint = (
        "probabilities and one-hot labels must be such (see `evaluate`)"
        if wrong == ["accuracy"]
        else ("are labels within the classes, params and data finite, the axes not too wide?")
    )
    warnings.warn(f"{', '.join(wrong)} finite at none of the cells: {hint}", UserWarning, stacklevel=3)
