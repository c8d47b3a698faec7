"""The steps that train the bends of a curve, in one compiled scan."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.analysis import _steps
from landscape.analysis import optimizers as _optimizers
from landscape.analysis._steps import Inputs, Program
from landscape.analysis.optimizers import Slope
from landscape.charts.curve import Bezier, Polygon


class State(NamedTuple):
    """The bends between two steps: what moves of their params. Once `alive` is False they stay where they are."""

    bends: list[Params]
    optimizer: Any
    alive: Array


@partial(jax.jit, static_argnames=("program", "kind"))
def trained(
    program: Program,
    kind: type[Bezier | Polygon],
    inputs: Inputs,
    ends: tuple[Params, Params],
    bends: list[Params],
    ts: Array,
    batches: Array | None,
) -> tuple[list[Params], Array, Array]:
    """(the bends, the objective at every step before it is taken, whether all stayed finite).

    inputs:  `chart` is not read.
    ends:    params.
    bends:   what moves of the params between them, at the start.
    ts:      (steps,), where on the curve each step is taken.
    batches: (steps, batch_size), the examples of each; None for all.
    """

    def step(state: State, given: tuple[Array, Array | None]) -> tuple[State, Array]:
        t, indices = given
        batch = inputs.data if indices is None else jax.tree.map(lambda leaf: leaf[indices], inputs.data)

        def slope(bends: list[Params]) -> tuple[Array, list[Params]]:
            """The objective at θ(t) and, by the chain rule, wᵢ(t) times its gradient there for each bend."""
            curve = kind((ends[0], *bends, ends[1]))
            _, found = _steps.slope_at(program, inputs, _trees.floating(curve.point((t,))), batch)
            shares = curve.weights(t)[1:-1]
            return found.objective, [jax.tree.map(lambda g, w=w: w.astype(g.dtype) * g, found.gradient) for w in shares]

        value, gradient = slope(state.bends)
        alive = state.alive & jnp.isfinite(value) & jnp.isfinite(_trees.norm(gradient))
        moved = _optimizers.step(
            program.optimizer,
            state.bends,
            state.optimizer,
            Slope(gradient, value, gradient),
            inputs.coefficients,
            lambda bends: slope(bends)[0],
        )
        alive &= jnp.isfinite(_trees.norm(moved[0]))
        kept = jax.tree.map(lambda new, old: jnp.where(alive, new, old), moved, (state.bends, state.optimizer))
        return State(kept[0], kept[1], alive), value

    start = State(bends, _optimizers.init(program.optimizer, bends), jnp.asarray(True))
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), start)  # no weak dtypes, which a scan refuses
    last, values = jax.lax.scan(step, start, (ts, batches))
    elsewhere = _optimizers.evaluation_point(last.optimizer, last.bends)
    return last.bends if elsewhere is None else elsewhere, values, last.alive
