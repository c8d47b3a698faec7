"""`descend`: the paths of optimizers on an objective; one start or thousands, in one compiled scan."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis import _arguments, _blocks
from landscape.analysis import optimizers as _optimizers
from landscape.analysis.optimizers import Optimizer, Slope
from landscape.charts.chart import Chart
from landscape.charts.trajectory import Trajectory, from_records, with_frozen
from landscape.objectives import penalties as _penalties
from landscape.objectives.objective import Batch, Losses, Objective, num_examples, reduced, weighted_sum
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _tiles
from landscape.surfaces.progress import Progress
from landscape.surfaces.provenance import describe
from landscape.surfaces.sweep import penalties_of, stacked, sweep_coordinates

SEGMENT_WORK = 2**28  # losses computed in one compiled call: a fraction of a second on a CPU, the step of the bar
PRECISION = "highest"  # of matrix products: JAX's default is TF32 on NVIDIA and bfloat16 on TPU


class Program(NamedTuple):
    """What is compiled: hashable, a static argument."""

    losses: Losses
    reduction: str
    optimizer: Optimizer
    batch_size: int | None
    num_examples: int
    record_every: int


class Inputs(NamedTuple):
    """What all runs read: traced."""

    data: Batch
    example: Params  # the objective's, for its frozen leaves
    weight: Array  # Σw over the data
    coefficients: tuple[Params, Params]  # α and β of P penalties, leaves (P, …)
    chart: Chart | None


class State(NamedTuple):
    """One run between two steps: what moves of its params. Once `alive` is False they stay where they are."""

    params: Params
    optimizer: Any
    alive: Array


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
    progress:     as in `evaluate`.

    Gradients are minimum-norm subgradients of risk + penalty. What is recorded is measured on the full data.
    Returns a Trajectory; its data set has the dimensions optimizer, penalty, start (each only if several were asked
    for) and step, with risk, objective, gradient_norm and finite. A run that becomes non-finite is updated no more,
    and `finite` is False from there on.
    Raises: ValueError or TypeError, naming the argument.

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
    with jax.default_matmul_precision(PRECISION):
        inputs = _inputs(objective, penalties, record)
        order = None if batch_size is None else _batch_order(key, objective.n, batch_size, steps)
        grid = len(jax.tree.leaves(inputs.coefficients)[0]), len(jax.tree.leaves(initial)[0])
        plan = _blocks.plan(objective, grid, memory)
        shared = objective.traced_losses, objective.reduction
        programs = [Program(*shared, one, batch_size, objective.n, record_every) for one in by_label.values()]
        with Progress(steps * len(programs) * _tiles.num_tiles(grid, plan.block), "steps", progress) as bar:
            traced = [_trace(program, inputs, initial, steps, order, plan, bar) for program in programs]
    records = jax.tree.map(lambda *parts: np.stack(parts), *traced)
    if record is None:
        records["params"] = with_frozen(records["params"], objective.params)
    size = {"batch_size": objective.n if batch_size is None else batch_size}
    said = {"precision": PRECISION, **size, "wall_seconds": round(time.perf_counter() - started, 6)}
    return from_records(
        records,
        sizes={
            "optimizer": list(by_label) if isinstance(optimizers, Mapping) else None,
            "penalty": sweep_coordinates(penalties) if penalties is not None else None,
            "start": np.arange(grid[1]) if many else None,
        },
        steps=sorted({*range(0, steps + 1, record_every), steps}),
        chart=record,
        attributes=describe(objective, penalties) | said,
    )


def _inputs(objective: Objective, penalties: Mapping[str, Penalty] | None, record: Chart | None) -> Inputs:
    sweep, _ = stacked(penalties_of(objective, penalties), _trees.floating(objective.params))
    weight = _total_weight(objective.traced_losses, objective.params, objective.data)
    return Inputs(objective.data, objective.params, weight, (sweep.alpha, sweep.beta), record)


def _trace(
    program: Program,
    inputs: Inputs,
    initial: Params,
    steps: int,
    order: Array | None,
    plan: _blocks.Plan,
    bar: Progress,
) -> Any:
    """Records of one optimizer, leaves (P, S, records, …), block by block."""
    grid = len(jax.tree.leaves(inputs.coefficients)[0]), len(jax.tree.leaves(initial)[0])
    whole: list[np.ndarray] = []
    for tile in _tiles.tiles(grid, plan.block):
        # The last block is filled up with runs that are there already: every block has the same shape.
        some, which = (
            np.minimum(np.arange(t.start, t.start + size), length - 1)
            for t, size, length in zip(tile, plan.block, grid, strict=True)
        )
        coefficients, starts = _rows(inputs.coefficients, some), _rows(initial, which)
        part = _trace_block(program, inputs._replace(coefficients=coefficients), starts, steps, order, plan, bar)
        if plan.block == grid:
            return part
        leaves, structure = jax.tree.flatten(part)
        whole = whole or [np.empty((*grid, *leaf.shape[2:]), leaf.dtype) for leaf in leaves]
        for filled, leaf in zip(whole, leaves, strict=True):
            filled[tile] = leaf[: tile[0].stop - tile[0].start, : tile[1].stop - tile[1].start]
    return structure.unflatten(whole)


def _rows(tree: Params, rows: np.ndarray) -> Params:
    return jax.tree.map(lambda leaf: leaf if len(rows) == len(leaf) else leaf[rows], tree)


def _trace_block(
    program: Program,
    inputs: Inputs,
    initial: Params,
    steps: int,
    order: Array | None,
    plan: _blocks.Plan,
    bar: Progress,
) -> Any:
    """Records of as many runs as fit, leaves (P, S, records, …): blocks of `record_every` steps, segment by segment."""
    states = _start(program, inputs, initial)
    runs = jax.tree.leaves(states.alive)[0].size
    whole, rest = divmod(steps, program.record_every)
    work = program.record_every * program.num_examples * runs
    kept = runs * (plan.params_bytes if inputs.chart is None else 1)
    segment = max(1, min(SEGMENT_WORK // work, plan.memory // kept))
    blocks = [(program.record_every, min(segment, whole - i)) for i in range(0, whole, segment)]
    if rest:
        blocks.append((rest, 1))
    records, done = [], 0
    for every, count in blocks:
        batches = None if order is None else order[done : done + every * count].reshape(count, every, -1)
        states, part = _advance(program._replace(record_every=every), count, inputs, states, batches)
        records.append(jax.device_get(part))  # waits for it: the bar tells the truth, and an interruption comes here
        done += every * count
        bar.update(every * count)
    records.append(jax.tree.map(lambda leaf: leaf[:, :, None], _measure_all(program, inputs, states)))
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=2), *jax.device_get(records))


def _over_runs(function: Callable[..., Any]) -> Callable[..., Any]:
    """vmap f(inputs, state) over starts and over penalties; the data, the chart and what follows are shared."""

    def mapped(inputs: Inputs, states: Any, *shared: Any) -> Any:
        def one_penalty(coefficients: tuple[Params, Params], states: Any) -> Any:
            return jax.vmap(lambda state: function(inputs._replace(coefficients=coefficients), state, *shared))(states)

        return jax.vmap(one_penalty)(inputs.coefficients, states)

    return mapped


@partial(jax.jit, static_argnames="program")
def _start(program: Program, inputs: Inputs, initial: Params) -> State:
    """The states before the first step, leaves (P, S, …)."""

    def begin(params: Params) -> State:
        return State(params, _optimizers.init(program.optimizer, params), jnp.asarray(True))

    num_penalties = len(jax.tree.leaves(inputs.coefficients)[0])
    states = jax.vmap(begin)(initial)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_penalties, *leaf.shape)), states)


@partial(jax.jit, static_argnames=("program", "count"))
def _advance(program: Program, count: int, inputs: Inputs, states: State, batches: Array | None) -> tuple[State, Any]:
    """`count` blocks: record, then `record_every` steps. Returns the states after, records (P, S, count, …)."""

    def run(inputs: Inputs, state: State, batches: Array | None) -> tuple[State, Any]:
        return jax.lax.scan(partial(_block, program, inputs), state, batches, length=count)

    return _over_runs(run)(inputs, states, batches)


@partial(jax.jit, static_argnames="program")
def _measure_all(program: Program, inputs: Inputs, states: State) -> Any:
    return _over_runs(lambda inputs, state: _measure(program, inputs, state)[0])(inputs, states)


def _block(program: Program, inputs: Inputs, state: State, batches: Array | None) -> tuple[State, Any]:
    record, slope = _measure(program, inputs, state)
    if slope is None:  # mini-batches, or measured elsewhere than at the params: the first step takes its own gradient
        first, rest = state, program.record_every
    else:
        first, rest = _step(program, inputs, state, slope, inputs.data), program.record_every - 1

    def one(state: State, indices: Array | None) -> tuple[State, None]:
        batch = inputs.data if indices is None else jax.tree.map(lambda leaf: leaf[indices], inputs.data)
        slope = _slope(program, inputs, state.params, batch)[1]
        return _step(program, inputs, state, slope, batch), None

    return jax.lax.scan(one, first, batches, length=rest)[0] if rest else first, record


def _measure(program: Program, inputs: Inputs, state: State) -> tuple[dict[str, Any], Slope | None]:
    """(what is recorded here, the slope on the full data if it is also the next step's)."""
    elsewhere = _optimizers.evaluation_point(state.optimizer, state.params)
    params = state.params if elsewhere is None else elsewhere
    risk, slope = _slope(program, inputs, params, inputs.data)
    norm = _trees.norm(slope.gradient)
    record: dict[str, Any] = {"risk": risk, "objective": slope.objective, "gradient_norm": norm}
    record["finite"] = state.alive & jnp.isfinite(slope.objective) & jnp.isfinite(norm)
    if inputs.chart is None:
        record["params"] = params
    else:
        record["coordinates"], record["residual"] = inputs.chart.coordinates(_trees.merged(params, inputs.example))
    return record, slope if program.batch_size is None and elsewhere is None else None


def _slope(program: Program, inputs: Inputs, params: Params, batch: Batch) -> tuple[Array, Slope]:
    """(risk, Slope) at `params`, what moves of them, on a batch."""
    risk, gradient = jax.value_and_grad(partial(_risk, program, inputs, batch))(params)
    alpha, beta = inputs.coefficients
    objective = risk + _penalties.value(alpha, beta, params).astype(risk.dtype)
    return risk, Slope(gradient, objective, _penalties.subgradient(alpha, beta, params, gradient))


def _risk(program: Program, inputs: Inputs, batch: Batch, params: Params) -> Array:
    """The risk on a batch. On a mini-batch it is scaled to be right on average, under any example weights."""
    total, weight = weighted_sum(program.losses, _trees.merged(params, inputs.example), batch)
    if program.batch_size is None or num_examples(batch) == program.num_examples:
        return reduced(total, weight, program.reduction)
    return reduced(total * (program.num_examples / num_examples(batch)), inputs.weight, program.reduction)


@partial(jax.jit, static_argnames="losses")
def _total_weight(losses: Losses, params: Params, data: Batch) -> Array:
    return weighted_sum(losses, params, data)[1]


def _step(program: Program, inputs: Inputs, state: State, slope: Slope, batch: Batch) -> State:
    def objective(params: Params) -> Array:
        risk = _risk(program, inputs, batch, params)
        return risk + _penalties.value(*inputs.coefficients, params).astype(risk.dtype)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(alive, new, old)

    alive = state.alive & jnp.isfinite(slope.objective) & jnp.isfinite(_trees.norm(slope.gradient))
    moved = _optimizers.step(program.optimizer, state.params, state.optimizer, slope, inputs.coefficients, objective)
    params, optimizer = jax.tree.map(keep, moved, (state.params, state.optimizer))
    return State(params, optimizer, alive)


@partial(jax.jit, static_argnames=("n", "batch_size", "steps"))
def _batch_order(key: Array, n: int, batch_size: int, steps: int) -> Array:
    """Indices (steps, batch_size): one permutation of the examples after another, cut into batches."""
    epochs = -(-steps * batch_size // n)
    permutations = jax.vmap(lambda epoch: jax.random.permutation(jax.random.fold_in(key, epoch), n))(jnp.arange(epochs))
    return permutations.reshape(-1)[: steps * batch_size].reshape(steps, batch_size)
