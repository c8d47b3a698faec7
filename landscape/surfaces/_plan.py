"""How a grid is run: cells in flight, cells a tile, examples a batch. Chosen from sizes; never "all at once"."""

import math
from dataclasses import dataclass

import jax
import numpy as np

from landscape.objectives.objective import Objective

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


def plan(objective: Objective, grid: tuple[int, ...], batch_size: int | None, memory: int | None) -> Plan:
    """Choose the plan for a grid.

    `memory` bounds the temporaries in bytes. Per cell they are taken as the three largest intermediate arrays of the
    losses (XLA fuses most away), so that a wide hidden layer counts for what it is.
    """
    backend = jax.default_backend()
    chunk = CHUNK_BYTES.get(backend, CHUNK_BYTES_ACCELERATOR)
    limit = MEMORY.get(backend, MEMORY_ACCELERATOR) if memory is None else memory
    cells = math.prod(grid)
    per_example = _bytes_per_example(objective)
    examples = min(objective.n, batch_size or objective.n)
    if batch_size is None and 3 * per_example * examples > limit:
        examples = max(1, limit // (3 * per_example))
    in_flight = max(1, min(chunk // (per_example * examples), limit // (3 * per_example * examples), cells))
    tile_cells = max(in_flight, min(cells, TILE_WORK // max(1, per_example // 4 * objective.n)))
    return Plan(in_flight, tile_cells, examples)


def _bytes_per_example(objective: Objective) -> int:
    """Size of the largest intermediate of the losses divided by the number of examples, at least one float's."""
    jaxpr = jax.make_jaxpr(objective.losses)(objective.params, objective.data)
    sizes = [_nbytes(variable.aval) for equation in jaxpr.eqns for variable in equation.outvars]
    return max([4, *(-(-size // objective.n) for size in sizes)])


def _nbytes(aval: object) -> int:
    shape, dtype = getattr(aval, "shape", ()), getattr(aval, "dtype", np.dtype(np.float32))
    return math.prod(shape) * getattr(dtype, "itemsize", 4)
