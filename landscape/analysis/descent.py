"""`descend`: the paths of optimizers on an objective; one start or thousands, in one compiled scan."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis import _arguments, _blocks, _kept, _steps
from landscape.analysis._runs import Runs, Tracer
from landscape.analysis._steps import Inputs, Program
from landscape.analysis.optimizers import Optimizer
from landscape.charts.chart import Chart
from landscape.charts.trajectory import Trajectory
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _devices
from landscape.surfaces.provenance import describe
from landscape.surfaces.sweep import penalties_of, stacked, sweep_coordinates
from landscape.tiles.progress import Progress, Reached
from landscape.tiles.run import Memory, run

PRECISION = "highest"  # of matrix products: JAX's default is TF32 on NVIDIA and bfloat16 on TPU


def descend(
    objective: Objective,
    optimizers: Optimizer | Mapping[str, Optimizer],
    starts: Params,
    steps: int,
    *,
    penalties: Penalty | Mapping[str, Penalty] | None = None,
    batch_size: int | None = None,
    key: Array | None = None,
    record: Chart | None = None,
    record_every: int = 1,
    memory: int | None = None,
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
    shard: tuple[int, int] | None = None,
    devices: Sequence[Any] | None = None,
) -> Trajectory:
    """Trace optimizers from one start or many.

    optimizers:   an optax transformation or `ls.proximal_gradient(η)`, or a mapping label -> optimizer. Those that want
                  `value`, `grad` and `value_fn` (lbfgs, polyak_sgd, reduce_on_plateau) get them; schedule-free ones are
                  recorded at their evaluation point. Optimizers are matched by identity: keep one to compile once.
    starts:       params; or params with a leading axis on every leaf (relative to `objective.params`), a run each.
                  Frozen leaves are the objective's; they may be left out (None).
    penalties:    a Penalty, or a mapping label -> Penalty, in place of the objective's own.
    batch_size:   None for full batches; else mini-batches in one order for all runs, drawn by `key`: one
                  permutation of the examples after another, cut into batches.
    record:       a chart: keep coordinates and off-chart residual instead of the params (for large models).
    record_every: keep every so many steps; the start and the last step are always kept.
    memory:       bytes that temporaries may take (default 2 GiB on CPU): as many runs are traced at a time.
    progress:     as in `evaluate`; so are
    store, shard, devices: a tile is a block of runs through all steps. What a block that takes long has so far, its
                  optimizer's state included, is kept every few seconds. The params must be nested dictionaries, or
                  `record` a chart.

    Gradients are minimum-norm subgradients of risk + penalty. What is recorded is measured on the full data.
    Returns a Trajectory; its data set has the dimensions optimizer, penalty, start (each only if several were asked
    for) and step, with risk, objective, gradient_norm and finite. A run that becomes non-finite is updated no more,
    and `finite` is False from there on.
    Raises: ValueError or TypeError, naming the argument; of a store as `evaluate`.

        >>> import optax, landscape as ls
        >>> pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
        >>> run = ls.descend(pair, optax.sgd(1.0), {"w": 0.0, "b": 0.0}, steps=200)
        >>> round(float(run.params["w"][-1]), 4)
        1.1775
    """
    started = time.perf_counter()
    _arguments.check_objective(objective)
    by_label = _arguments.optimizers(optimizers)
    _checks.x64_matches("objective", objective.params)
    _arguments.check_record(objective, record)
    initial, many = _arguments.starts(starts, objective.params)
    _arguments.check_plan(objective, steps, batch_size, key, record_every, memory)
    if isinstance(penalties, Penalty):
        objective, penalties = objective.with_penalty(penalties), None
    share = _devices.shard(shard, store)
    with jax.default_matmul_precision(PRECISION):
        inputs = _inputs(objective, penalties, record)
        grid = len(jax.tree.leaves(inputs.coefficients)[0]), len(jax.tree.leaves(initial)[0])
        same = objective.traced_losses, objective.reduction
        alpha, _ = inputs.coefficients
        every = record_every, _steps.penalized(inputs.coefficients), _steps.penalized(alpha)
        programs = [Program(*same, one, batch_size, objective.n, *every) for one in by_label.values()]
        plan = _blocks.plan(objective, grid, memory, steps, 0 if store is None else share.count)
        runs = Runs(objective, programs, inputs, initial, steps, key, plan)
        where = _devices.chosen(devices, (inputs, initial))
        labels = {
            "optimizer": list(by_label) if isinstance(optimizers, Mapping) else None,
            "penalty": sweep_coordinates(penalties) if penalties is not None else None,
            "start": np.arange(grid[1]) if many else None,
        }
        size = {"batch_size": objective.n if batch_size is None else batch_size}
        attributes = describe(objective, penalties) | {"precision": PRECISION, **size}
        if store is not None:
            return _kept.filled(runs, labels, attributes, store, share, where, progress)
        arrays = _in_memory(runs, where.devices, progress)
    attributes["wall_seconds"] = round(time.perf_counter() - started, 6)
    return _kept.trajectory(runs, arrays, labels, attributes)


def _in_memory(runs: Runs, devices: Sequence[Any], progress: bool | None) -> Mapping[str, Any]:
    tiling = runs.tiling
    place = Memory(tiling)
    with Progress(math.prod(tiling.grid) * runs.steps, "steps", progress) as bar:
        reached = Reached(bar, tiling, runs.steps)
        run(_kept.Work(Tracer(runs, PRECISION, reached.part)), place, range(tiling.count), devices, reached.tile)
    return place.arrays


def _inputs(objective: Objective, penalties: Mapping[str, Penalty] | None, record: Chart | None) -> Inputs:
    sweep, _ = stacked(penalties_of(objective, penalties), _trees.floating(objective.params))
    weight = _steps.total_weight.eval_shape(objective.traced_losses, objective.params, objective.data)
    unknown: Any = np.full((), np.nan, weight.dtype)  # a pass over the data, which a complete store does without
    return Inputs(objective.data, objective.params, unknown, (sweep.alpha, sweep.beta), record)
