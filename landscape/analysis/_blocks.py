"""How many runs `descend` traces at a time: blocks of penalties and starts within a memory budget."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import jax

from landscape import _cost, _trees
from landscape.objectives import footprint
from landscape.objectives.objective import Losses, Objective


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
    limit = _cost.budget(memory)
    own = sum(leaf.nbytes for leaf in jax.tree.leaves(_trees.floating(objective.params)))
    computed, work = _costs(objective.traced_losses, _trees.shapes(objective.params), _trees.shapes(objective.data))
    # Beside what risk and gradient compute on the way: params, gradient, and what an optimizer keeps.
    runs = max(1, limit // (computed + 6 * own))
    if parts:
        runs = min(runs, max(VECTORIZED, STORED_WORK // (steps * objective.n)), -(-grid[0] * grid[1] // parts))
    starts = _evenly(grid[1], runs)
    return Plan((_evenly(grid[0], max(1, runs // starts)), starts), own, limit, work)


@lru_cache(maxsize=256)
def _costs(losses: Losses, params: _trees.Shapes, data: _trees.Shapes) -> tuple[int, float]:
    """Of risk and gradient of one point: bytes that are computed on the way, operations of a fused loop."""
    traced = footprint.traced(losses, params, data)
    return footprint.computed(losses, params, data), _cost.count(traced).weighted


def _evenly(count: int, most: int) -> int:
    """The size of the fewest equal parts, of at most `most`, that `count` can be cut into."""
    return -(-count // -(-count // most))
