"""The steps of a run, compiled: vmapped over starts and penalties, scanned over steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.analysis import optimizers as _optimizers
from landscape.analysis.optimizers import Optimizer, Slope
from landscape.charts.chart import Chart
from landscape.objectives import penalties as _penalties
from landscape.objectives.objective import Batch, Losses, num_examples, reduced, weighted_sum


class Program(NamedTuple):
    """What is compiled: hashable, a static argument."""

    losses: Losses
    reduction: str
    optimizer: Optimizer
    batch_size: int | None
    num_examples: int
    record_every: int
    penalized: bool = True  # False where all penalties are 0, which would take a fifth of a small network's time


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


def _over_runs(function: Callable[..., Any]) -> Callable[..., Any]:
    """vmap f(inputs, state) over starts and over penalties; the data, the chart and what follows are shared."""

    def mapped(inputs: Inputs, states: Any, *shared: Any) -> Any:
        def one_penalty(coefficients: tuple[Params, Params], states: Any) -> Any:
            return jax.vmap(lambda state: function(inputs._replace(coefficients=coefficients), state, *shared))(states)

        if len(jax.tree.leaves(inputs.coefficients)[0]) == 1:  # a vmap over one makes products of a small network slow
            return _added(one_penalty(*_taken((inputs.coefficients, states))))
        return jax.vmap(one_penalty)(inputs.coefficients, states)

    return mapped


def penalized(coefficients: tuple[Params, Params]) -> bool:
    """Whether any of the penalties with these α and β is more than 0."""
    return any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(coefficients))


def _taken(tree: Any) -> Any:
    """What the leaves (1, …) hold."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _added(tree: Any) -> Any:
    """The inverse: leaves (1, …)."""
    return jax.tree.map(lambda leaf: leaf[None], tree)


@partial(jax.jit, static_argnames="program")
def start(program: Program, inputs: Inputs, initial: Params) -> State:
    """The states before the first step, leaves (P, S, …)."""

    def begin(params: Params) -> State:
        return State(params, _optimizers.init(program.optimizer, params), jnp.asarray(True))

    num_penalties = len(jax.tree.leaves(inputs.coefficients)[0])
    # With dtypes that hold: what comes back from a store has no weak ones.
    states = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), jax.vmap(begin)(initial))
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_penalties, *leaf.shape)), states)


@partial(jax.jit, static_argnames=("program", "count"))
def advance(program: Program, count: int, inputs: Inputs, states: State, batches: Array | None) -> tuple[State, Any]:
    """`count` blocks: record, then `record_every` steps. Returns the states after, records (P, S, count, …)."""

    def run(inputs: Inputs, state: State, batches: Array | None) -> tuple[State, Any]:
        return jax.lax.scan(partial(_block, program, inputs), state, batches, length=count)

    return _over_runs(run)(inputs, states, batches)


@partial(jax.jit, static_argnames="program")
def measure_all(program: Program, inputs: Inputs, states: State) -> Any:
    """What is recorded of the states, leaves (P, S, …)."""
    return _over_runs(lambda inputs, state: _measure(program, inputs, state)[0])(inputs, states)


def _block(program: Program, inputs: Inputs, state: State, batches: Array | None) -> tuple[State, Any]:
    record, slope = _measure(program, inputs, state)
    if slope is None:  # mini-batches, or measured elsewhere than at the params: the first step takes its own gradient
        first, rest = state, program.record_every
    else:
        first, rest = stepped(program, inputs, state, slope, inputs.data), program.record_every - 1

    def one(state: State, indices: Array | None) -> tuple[State, None]:
        batch = inputs.data if indices is None else jax.tree.map(lambda leaf: leaf[indices], inputs.data)
        slope = slope_at(program, inputs, state.params, batch)[1]
        return stepped(program, inputs, state, slope, batch), None

    return jax.lax.scan(one, first, batches, length=rest)[0] if rest else first, record


def _measure(program: Program, inputs: Inputs, state: State) -> tuple[dict[str, Any], Slope | None]:
    """(what is recorded here, the slope on the full data if it is also the next step's)."""
    elsewhere = _optimizers.evaluation_point(state.optimizer, state.params)
    params = state.params if elsewhere is None else elsewhere
    risk, slope = slope_at(program, inputs, params, inputs.data)
    norm = _trees.norm(slope.gradient)
    record: dict[str, Any] = {"risk": risk, "objective": slope.objective, "gradient_norm": norm}
    record["finite"] = state.alive & jnp.isfinite(slope.objective) & jnp.isfinite(norm)
    if inputs.chart is None:
        record["params"] = params
    else:
        record["coordinates"], record["residual"] = inputs.chart.coordinates(_trees.merged(params, inputs.example))
    return record, slope if program.batch_size is None and elsewhere is None else None


def slope_at(program: Program, inputs: Inputs, params: Params, batch: Batch) -> tuple[Array, Slope]:
    """(risk, Slope) at `params`, what moves of them, on a batch."""
    risk, gradient = jax.value_and_grad(partial(_risk, program, inputs, batch))(params)
    if not program.penalized:
        return risk, Slope(gradient, risk, gradient)
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
def total_weight(losses: Losses, params: Params, data: Batch) -> Array:
    """Σw over the data."""
    return weighted_sum(losses, params, data)[1]


def stepped(program: Program, inputs: Inputs, state: State, slope: Slope, batch: Batch) -> State:
    """The state after a step along a slope; as it is once something is not finite."""

    def objective(params: Params) -> Array:
        risk = _risk(program, inputs, batch, params)
        if not program.penalized:
            return risk
        return risk + _penalties.value(*inputs.coefficients, params).astype(risk.dtype)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(alive, new, old)

    # 0·∞ and 0·NaN are NaN: the sum is finite where all entries are, and cheaper than a norm that cannot overflow.
    zeros = [jnp.sum(0 * leaf) for leaf in jax.tree.leaves(slope.gradient)]
    alive = state.alive & jnp.isfinite(slope.objective) & jnp.isfinite(_trees.total(zeros))
    moved = _optimizers.step(program.optimizer, state.params, state.optimizer, slope, inputs.coefficients, objective)
    params, optimizer = jax.tree.map(keep, moved, (state.params, state.optimizer))
    return State(params, optimizer, alive)


def first_step(program: Program, inputs: Inputs, params: Params) -> State:
    """The state after one step of one run on the full data: what an optimizer does, for its fingerprint."""
    state = State(params, _optimizers.init(program.optimizer, params), jnp.asarray(True))
    return stepped(program, inputs, state, slope_at(program, inputs, params, inputs.data)[1], inputs.data)


@partial(jax.jit, static_argnames=("n", "batch_size", "steps"))
def batch_order(key: Array, n: int, batch_size: int, steps: int) -> Array:
    """Indices (steps, batch_size): one permutation of the examples after another, cut into batches."""
    epochs = -(-steps * batch_size // n)
    permutations = jax.vmap(lambda epoch: jax.random.permutation(jax.random.fold_in(key, epoch), n))(jnp.arange(epochs))
    return permutations.reshape(-1)[: steps * batch_size].reshape(steps, batch_size)
