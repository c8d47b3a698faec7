"""How a grid is run: cells in flight, cells a tile, examples a batch. Chosen from sizes; never "all at once"."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from landscape import _trees
from landscape.objectives.objective import Losses, Objective

# Measured on CPU (benchmarks/): the values of one operation over all cells in flight. Smaller, and starting the threads
# costs more than the work; larger gains nothing. An accelerator wants far more cells to fill it.
CHUNK_BYTES = {"cpu": 2**22}
CHUNK_BYTES_ACCELERATOR = 2**28
TILE_WORK = 2**28  # values computed in one tile: a fraction of a second, the step of the progress bar
MEMORY = {"cpu": 2**31}  # bytes of temporaries that are let live at a time
MEMORY_ACCELERATOR = 2**33


@dataclass(frozen=True)
class Plan:
    """Cells run at once, cells in one call of the compiled function, examples in one batch."""

    in_flight: int
    tile_cells: int
    batch_size: int


def plan(
    objective: Objective, grid: tuple[int, ...], batch_size: int | None, memory: int | None, gradient: bool = False
) -> Plan:
    """Choose the plan for a grid.

    `memory` bounds the temporaries in bytes. Of the losses' intermediate arrays a cell is taken to hold the three
    largest at a time (XLA fuses most away), or all of them where a gradient is wanted; and its own params, twice then.
    """
    backend = jax.default_backend()
    chunk = CHUNK_BYTES.get(backend, CHUNK_BYTES_ACCELERATOR)
    limit = MEMORY.get(backend, MEMORY_ACCELERATOR) if memory is None else memory
    cells = math.prod(grid)
    sizes = _intermediates(objective.losses, _trees.shapes(objective.params), _trees.shapes(objective.data))
    largest = max(4, -(-max(sizes, default=0) // objective.n))  # bytes an example; at least one float
    live = max(3 * largest, -(-sum(sizes) // objective.n) if gradient else 0)
    own = (1 + gradient) * sum(leaf.nbytes for leaf in jax.tree.leaves(objective.params))
    examples = min(objective.n, batch_size or objective.n)
    if batch_size is None:
        examples = max(1, min(examples, limit // live))
    in_flight = max(1, min(chunk // (largest * examples), limit // (live * examples + own), cells))
    tile_cells = max(in_flight, min(cells, TILE_WORK // max(1, largest // 4 * objective.n)))
    return Plan(in_flight, tile_cells, examples)


@lru_cache(maxsize=256)
def _intermediates(losses: Losses, params: _trees.Shapes, data: _trees.Shapes) -> tuple[int, ...]:
    """Bytes of every array that the losses compute on the way, those inside jit, scan and remat included."""
    closed = jax.make_jaxpr(losses)(_trees.from_shapes(params), _trees.from_shapes(data))
    return tuple(_sizes(closed.jaxpr))


def _sizes(jaxpr: Any) -> Iterator[int]:
    for equation in jaxpr.eqns:
        inner = [getattr(value, "jaxpr", value) for value in equation.params.values()]
        inner = [value for value in inner if hasattr(value, "eqns")]
        for value in inner:
            yield from _sizes(value)
        if not inner:
            yield from (_nbytes(variable.aval) for variable in equation.outvars)


def _nbytes(aval: object) -> int:
    shape, dtype = getattr(aval, "shape", ()), getattr(aval, "dtype", np.dtype(np.float32))
    return math.prod(shape) * getattr(dtype, "itemsize", 4)
