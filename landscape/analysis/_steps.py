"""The steps of a run, compiled: vmapped over starts and penalties, scanned over steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _jaxprs, _trees
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
    kinked: bool = True  # False where all α are 0: |θ| takes a neuron as long as all the rest of a step


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
    common: Any = None  # leaves of the optimizer's state that all runs share, taken out of it: its counters of steps


EACH = State._make([0, 0, 0, None])  # the axes of states: what is common has none


def _over_runs(function: Callable[..., Any], axes: Any) -> Callable[..., Any]:
    """vmap f(inputs, state) over penalties and starts; the data, the chart and what follows are shared.

    axes: where the results have the penalties' axis, before that of the starts.
    """

    def mapped(inputs: Inputs, states: State, *shared: Any) -> Any:
        def one_penalty(coefficients: tuple[Params, Params], states: State) -> Any:
            def one(state: State) -> Any:
                return function(inputs._replace(coefficients=coefficients), state, *shared)

            return jax.vmap(one, (EACH,), axes)(states)

        if len(jax.tree.leaves(inputs.coefficients)[0]) == 1:  # a vmap over one makes products of a small network slow
            found = one_penalty(*_along(jnp.squeeze, (0, EACH), (inputs.coefficients, states)))
            return _along(jnp.expand_dims, axes, found)
        return jax.vmap(one_penalty, (0, EACH), axes)(inputs.coefficients, states)

    return mapped


def _along(function: Callable[[Array, int], Array], axes: Any, tree: Any) -> Any:
    """function(leaf, axis) of the leaves with an axis; `axes` as vmap takes them."""

    def each(axis: int | None, part: Any) -> Any:
        return part if axis is None else jax.tree.map(lambda leaf: function(leaf, axis), part)

    return jax.tree.map(each, axes, tree, is_leaf=_is_none)


def penalized(coefficients: Any) -> bool:
    """Whether any of the penalties with these α and β, or with these α, is more than 0."""
    return any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(coefficients))


@partial(jax.jit, static_argnames="program")
def start(program: Program, inputs: Inputs, initial: Params) -> State:
    """The states before the first step, leaves (P, S, …)."""
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (inputs.coefficients, initial))
    common = _common(program, _trees.shapes((inputs._replace(coefficients=one[0]), one[1])))

    def begin(params: Params) -> State:
        whole = _optimizers.init(program.optimizer, params)
        own = jax.tree.map(lambda shared, leaf: None if shared else leaf, common, whole)
        shared = jax.tree.map(lambda shared, leaf: leaf if shared else None, common, whole)
        # With dtypes that hold: what comes back from a store has no weak ones.
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), State(params, own, jnp.asarray(True), shared))

    states, num_penalties = jax.vmap(begin, out_axes=EACH)(initial), len(jax.tree.leaves(inputs.coefficients)[0])
    return _along(lambda leaf, _: jnp.broadcast_to(leaf, (num_penalties, *leaf.shape)), EACH, states)


def _is_none(node: Any) -> bool:
    return node is None


@lru_cache(maxsize=256)
def _common(program: Program, shapes: _trees.Shapes) -> Any:
    """Which leaves of an optimizer's state depend on no params and no penalty, in no step: a tree of booleans.

    They are computed once for all runs: Adam's powers of its counter cost a neuron more than all the rest of a step.
    shapes: of the inputs and the params of one run.
    """
    inputs, params = _trees.from_shapes(shapes)
    optimizer = jax.eval_shape(partial(_optimizers.init, program.optimizer), params)

    def two(own: tuple[Any, Params], optimizer: Any, inputs: Inputs) -> Any:
        coefficients, params = own
        inputs = inputs._replace(coefficients=coefficients)
        objective = partial(_objective, program, inputs, inputs.data)
        slope = slope_at(program, inputs, params, inputs.data)[1]
        moved = _optimizers.step(program.optimizer, params, optimizer, slope, coefficients, objective)
        return _optimizers.init(program.optimizer, params), moved[1]

    own = inputs.coefficients, params
    traced = _jaxprs.flatten(two, (own, optimizer, inputs), _jaxprs.GROUPS)
    first, count = len(jax.tree.leaves(own)), len(jax.tree.leaves(optimizer))
    depending, state = set(traced.arguments[:first]), traced.arguments[first : first + count]
    while True:
        reached = set(depending)
        for node in traced.nodes:
            if reached.intersection(filter(_jaxprs.is_value, node.inputs)):
                reached.update(node.outputs)
        found = {state[i % count] for i, v in enumerate(traced.outputs) if _jaxprs.is_value(v) and v in reached}
        if found <= depending:
            return jax.tree.unflatten(jax.tree.structure(optimizer), [v not in depending for v in state])
        depending |= found


@partial(jax.jit, static_argnames=("program", "count", "last"))
def advance(
    program: Program, count: int, last: bool, inputs: Inputs, states: State, batches: Array | None
) -> tuple[State, Any]:
    """`count` blocks: record, then `record_every` steps; after the last of all, record once more.

    Returns the states after, and records (count + last, P, S, …), written into one buffer.
    """
    block = _over_runs(partial(_block, program), (EACH, 0))

    def one(carry: tuple[State, Any], read: tuple[Array, Array | None]) -> tuple[tuple[State, Any], None]:
        states, records = carry
        states, record = block(inputs, states, read[1])
        return (states, _put(records, record, read[0])), None

    shapes = jax.eval_shape(partial(measure_all, program), inputs, states)
    records = jax.tree.map(lambda leaf: jnp.zeros((count + last, *leaf.shape), leaf.dtype), shapes)
    (states, records), _ = jax.lax.scan(one, (states, records), (jnp.arange(count), batches))
    return states, _put(records, measure_all(program, inputs, states), count) if last else records


def _put(records: Any, record: Any, place: Array | int) -> Any:
    return jax.tree.map(lambda all_, one: jax.lax.dynamic_update_index_in_dim(all_, one, place, 0), records, record)


@partial(jax.jit, static_argnames="program")
def measure_all(program: Program, inputs: Inputs, states: State) -> Any:
    """What is recorded of the states, leaves (P, S, …)."""
    return _over_runs(lambda inputs, state: _measure(program, inputs, state)[0], 0)(inputs, states)


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
    elsewhere = _optimizers.evaluation_point(_whole(state), state.params)
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
    objective = risk + _penalty(program, inputs, params).astype(risk.dtype)
    alpha, beta = inputs.coefficients
    if program.kinked:
        return risk, Slope(gradient, objective, _penalties.subgradient(alpha, beta, params, gradient))
    smooth = jax.tree.map(lambda b, p, g: g.astype(b.dtype) + 2 * b * p.astype(b.dtype), beta, params, gradient)
    return risk, Slope(gradient, objective, smooth)


def _penalty(program: Program, inputs: Inputs, params: Params) -> Array:
    alpha, beta = inputs.coefficients
    if not program.kinked:
        alpha = jax.tree.map(lambda a: np.zeros((), a.dtype), alpha)  # constants: XLA drops what they multiply
    return _penalties.value(alpha, beta, params)


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

    def keep(new: Array, old: Array, alive: Array | bool) -> Array:
        return jnp.where(alive, new, old)  # of the old dtype and shape, if JAX can make it so

    # 0·∞ and 0·NaN are NaN: the sum is finite where all entries are, and cheaper than a norm that cannot overflow.
    zeros = [jnp.sum(0 * leaf) for leaf in jax.tree.leaves(slope.gradient)]
    alive = state.alive & jnp.isfinite(slope.objective) & jnp.isfinite(_trees.total(zeros))
    objective, whole = partial(_objective, program, inputs, batch), _whole(state)
    moved = _optimizers.step(program.optimizer, state.params, whole, slope, inputs.coefficients, objective)
    params, optimizer = jax.tree.map(partial(keep, alive=alive), moved, (state.params, whole))
    if state.common is None:
        return State(params, optimizer, alive)
    own = jax.tree.map(lambda c, leaf: leaf if c is None else None, state.common, optimizer, is_leaf=_is_none)
    shared = jax.tree.map(partial(keep, alive=True), moved[1], whole)
    common = jax.tree.map(lambda c, leaf: None if c is None else leaf, state.common, shared, is_leaf=_is_none)
    return State(params, own, alive, common)


def _whole(state: State) -> Any:
    """The optimizer's state, with what is common."""
    return state.optimizer if state.common is None else _trees.merged(state.optimizer, state.common)


def _objective(program: Program, inputs: Inputs, batch: Batch, params: Params) -> Array:
    risk = _risk(program, inputs, batch, params)
    if not program.penalized:
        return risk
    return risk + _penalty(program, inputs, params).astype(risk.dtype)


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
