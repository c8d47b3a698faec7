"""How many runs `descend` traces at a time: blocks of penalties and starts within a memory budget."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import jax
from jax import Array

from landscape import _jaxprs, _trees
from landscape._trees import Params
from landscape.objectives.objective import Batch, Losses, Objective, weighted_sum
from landscape.surfaces import _cost, _plan


class Plan(NamedTuple):
    """What is traced at a time."""

    block: tuple[int, int]  # penalties and starts
    params_bytes: int  # what moves of one run's params
    memory: int
    work: float  # of a step of one run on all data, in operations of a fused loop


STORED_WORK = 2**31  # losses computed in a block that is stored: about a second on a CPU
VECTORIZED = 64  # runs, from which on more at a time gain little


def plan(objective: Objective, grid: tuple[int, int], memory: int | None, steps: int = 0, parts: int = 0) -> Plan:
    """As many runs of (penalties, starts) at a time as memory allows: of one penalty first.

    parts: so many processes share a store, whose tiles the blocks are; 0 where runs are not stored.
    """
    limit = _plan.budget(memory)
    own = sum(leaf.nbytes for leaf in jax.tree.leaves(_trees.floating(objective.params)))
    shapes = _trees.shapes(objective.params), _trees.shapes(objective.data)
    # Beside what risk and gradient compute on the way: params, gradient, and what an optimizer keeps.
    runs = max(1, limit // (_computed(objective.traced_losses, *shapes) + 6 * own))
    if parts:
        runs = min(runs, max(VECTORIZED, STORED_WORK // (steps * objective.n)), -(-grid[0] * grid[1] // parts))
    starts = _evenly(grid[1], runs)
    work = _cost.count(_traced(objective.traced_losses, *shapes)).weighted
    return Plan((_evenly(grid[0], max(1, runs // starts)), starts), own, limit, work)


def _evenly(count: int, most: int) -> int:
    """The size of the fewest equal parts, of at most `most`, that `count` can be cut into."""
    return -(-count // -(-count // most))


@lru_cache(maxsize=256)
def _traced(losses: Losses, params: _trees.Shapes, data: _trees.Shapes) -> Any:
    """The program of risk and gradient of one run."""

    def risk(moving: Params, example: Params, batch: Batch) -> Array:
        return weighted_sum(losses, _trees.merged(moving, example), batch)[0]

    example = _trees.from_shapes(params)
    return jax.make_jaxpr(jax.value_and_grad(risk))(_trees.floating(example), example, _trees.from_shapes(data))


def _computed(losses: Losses, params: _trees.Shapes, data: _trees.Shapes) -> int:
    """Bytes of every array on the way to risk and gradient of one run. XLA needs fewer: it fuses."""
    return sum(_sizes(_traced(losses, params, data).jaxpr))


def _sizes(jaxpr: Any) -> Iterator[int]:
    """Bytes of what each equation computes, those inside calls, branches and loops too."""
    for equation in jaxpr.eqns:
        yield sum(_cost.nbytes(v.aval) for v in equation.outvars)
        for part in _jaxprs.inner(equation):
            yield from _sizes(_jaxprs.opened(part))
