"""`explain`: what `evaluate` would do, before it does it: what is hoisted, what remains, memory, passes, minutes.

>>> import numpy as np, landscape as ls
>>> pair = ls.neuron(*ls.datasets.pair())
>>> axes = {"w": np.linspace(-10, 10, 41), "b": np.linspace(-10, 10, 41)}
>>> plan = explain(pair, ls.axes_plane(pair.params, "w", "b"), axes)
>>> plan.cells, plan.tile_shape, plan.passes
(1681, (41, 41), 1)
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from landscape import _checks, _cost
from landscape.charts.chart import Chart
from landscape.charts.plane import Plane
from landscape.objectives import data as _data
from landscape.objectives.data import num_examples
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _cells
from landscape.surfaces._curved import passes
from landscape.surfaces._task import Task, planned
from landscape.surfaces.quantities import GRADIENTS, Quantity
from landscape.tiles.tiling import Tiling, tile_shape


@dataclass(frozen=True)
class Explanation:
    """How a surface will be measured; prints as text."""

    cells: int
    hoisted: tuple[str, ...]  # shapes of what is computed once a batch: values, and their slopes along each coordinate
    operations: float  # a cell over all data (over a batch, where these have not been counted), nothing hoisted
    operations_left: float  # the same as it will run
    cells_in_flight: int
    tile_shape: tuple[int, ...]
    batch_size: int
    memory: int  # bytes of temporaries, estimated
    passes: int  # over the data
    examples: str  # all, and why, or how they were compressed
    seconds: float  # predicted from a few cells on one batch, without compilation; NaN if the examples are not counted
    advice: tuple[str, ...]  # cheaper routes

    def __str__(self) -> str:
        ratio = self.operations / max(self.operations_left, 1.0)
        time = "unknown before the batches have been counted: ask for data.n once"
        if not math.isnan(self.seconds):
            time = f"{self.seconds / 60:.2g} minutes ({self.seconds:.2g} s), and compilation"
        lines = [
            f"{self.cells} cells, {self.cells_in_flight} in flight, in tiles of {'×'.join(map(str, self.tile_shape))}",
            f"hoisted: {', '.join(self.hoisted) or 'nothing, it would not pay'}",
            f"operations a cell: {self.operations:.3g} plain, {self.operations_left:.3g} left ({ratio:.1f}× less)",
            f"memory: about {self.memory / 2**20:.0f} MiB of temporaries; {self.batch_size} examples a batch",
            f"passes over the data: {self.passes}",
            f"examples: {self.examples}",
            f"predicted: {time}",
        ]
        return "\n".join([*lines, *(f"cheaper: {advice}" for advice in self.advice)])


def explain(
    objective: Objective,
    chart: Chart,
    axes: Mapping[str, Any],
    *,
    quantities: Sequence[str | Quantity] = ("risk",),
    penalties: Mapping[str, Penalty] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = "highest",
    tolerance: float | None = None,
    exact: bool = False,
) -> Explanation:
    """Say what `evaluate`, given the same, would do. It compiles the program for one batch and times a few cells.
    Examples that are compressed are so here too, in one pass over the data.

    Operations are counted in the traced program: of a matrix product 2 an entry and term, of a loop as often as it
    runs, where that is known.
    Raises: as `evaluate`.
    """
    _checks.precision(precision)
    task = planned(objective, chart, axes, quantities, penalties, batch_size, memory, tolerance, exact)
    size, counted = task.plan.batch_size, _data.known_examples(task.data)
    batches = (counted or size) / size
    with jax.default_matmul_precision(precision):
        seconds = _seconds(task) * counted if counted else math.nan
    tiles = Tiling(task.chart.names, tuple(map(len, task.positions)), task.tile_shape).count
    left = task.cost.hoisted if task.hoists else task.cost.plain
    return Explanation(
        cells=math.prod(map(len, task.positions)),
        hoisted=_listed(task.cost.terms) if task.hoists else (),
        operations=task.cost.plain.operations * batches * _times_fewer(task),
        operations_left=left.operations * batches,
        cells_in_flight=task.plan.in_flight,
        tile_shape=task.tile_shape,
        batch_size=size,
        memory=int(task.sizes.temporaries(task.plan, task.n)),
        passes=tiles if task.compression.why_not else 1,
        examples=str(task.compression),
        seconds=seconds,
        advice=tuple(_advice(task, quantities, tiles, memory)),
    )


def _times_fewer(task: Task) -> float:
    """Examples over the nodes that take their place, padding included."""
    return 1.0 if task.compression.why_not else task.compression.examples / task.n


def _listed(terms: Sequence[Any]) -> tuple[str, ...]:
    """Shapes of arrays, equal ones counted: values and their slopes."""
    counts = Counter(f"{t.dtype}{list(t.shape)}" for t in terms if t.shape)
    return tuple(shape if count == 1 else f"{count}× {shape}" for shape, count in counts.items())


def _seconds(task: Task) -> float:
    """Of all cells on one example: measured on a batch and at most one tile, warm."""
    plan, batch = task.plan, next(iter(_data.batches(task.data, task.plan.batch_size)))
    batch = jax.tree.map(lambda leaf: leaf[: plan.batch_size], batch)
    few = max(1, min(task.plan.in_flight * 8, math.prod(task.tile_shape)))
    shape = tile_shape(task.tile_shape, few)
    positions = tuple(p[:s] for p, s in zip(task.positions, shape, strict=True))

    def run() -> float:
        started = time.perf_counter()
        jax.block_until_ready(_cells.whole(task.measures, plan, task.chart, batch, task.sweep, positions))
        return time.perf_counter() - started

    run()
    return min(run(), run()) * math.prod(map(len, task.positions)) / math.prod(shape) / num_examples(batch)


def _advice(task: Task, quantities: Sequence[str | Quantity], tiles: int, memory: int | None) -> list[str]:
    """Routes that cost less, where there are any."""
    out = []
    narrow = [
        leaf.dtype for leaf in jax.tree.leaves(task.objective.params) if leaf.dtype in (np.float16, jax.numpy.bfloat16)
    ]
    if task.measures.preparation is not None:
        out.append("`prepare` reads all data at every cell once more; statistics frozen in `losses` would not.")
    elif narrow and not task.hoists:
        out.append(f"{narrow[0]} leaves are rounded at every cell; as float32 their products can be hoisted.")
    elif not isinstance(task.chart, Plane) and not task.hoists:
        out.append(f"a {type(task.chart).__name__} is not affine in its coordinates; on a Plane products are hoisted.")
    if task.measures.risk.gradient_norm:
        names = " and ".join(name for name in GRADIENTS if name in quantities)
        out.append(f'the gradient over all params, for {names}, costs more than "slope", that in the chart.')
    if task.measures.curved is not None:
        count = passes(task.objective.params)
        out.append(f"without eigenvalues, some {count} passes over the data a cell, counted in the minutes alone.")
    if tiles > 1 and not _data.in_memory(task.data):
        more = math.ceil(tiles * _cost.budget(memory) / 2**30)
        out.append(f"{tiles} passes over data that are not in memory; memory=2**30 * {more} lets one do.")
    return out
