"""How a grid is run: cells in flight, cells a tile, examples a batch. Chosen from sizes; never "all at once"."""

from typing import NamedTuple

import jax

# Measured on CPU (benchmarks/): the values of one operation over all cells in flight. Smaller, and starting the threads
# costs more than the work; larger gains nothing. An accelerator wants far more cells to fill it.
CHUNK_BYTES = {"cpu": 2**22}
CHUNK_BYTES_ACCELERATOR = 2**28
STEP_WORK = 2**28  # values computed in one step: a fraction of a second, the step of the progress bar
LEAST_BATCH = 256  # examples: smaller ones cost more to hand over than to compute
MEMORY = {"cpu": 2**31}  # bytes of temporaries that are let live at a time
MEMORY_ACCELERATOR = 2**33


class Plan(NamedTuple):
    """Cells run at once, cells in a tile, examples in a batch, batches in one call of the compiled function; hoist?"""

    in_flight: int
    tile_cells: int
    batch_size: int
    batches_a_step: int = 1
    hoist: bool = True


class Sizes(NamedTuple):
    """What a cell holds, in bytes."""

    largest: float  # an example: the largest array computed on the way
    all: float  # an example: all arrays computed on the way
    terms: float  # an example: what is computed once a batch
    params: int  # its own params, and their gradient where one is wanted
    sums: int  # its running sums between batches
    gradient: bool
    streams: int  # arrays of the largest kind that are live at a time: with its in-chart derivatives
    grouped: bool  # a convolution whose kernel differs between cells


def budget(memory: int | None) -> int:
    """Bytes that temporaries may take."""
    return MEMORY.get(jax.default_backend(), MEMORY_ACCELERATOR) if memory is None else memory


def plan(sizes: Sizes, cells: int, n: float, batch_size: int | None, memory: int | None, resident: bool) -> Plan:
    """Choose the plan for a grid of `cells` over n examples (infinity where they have not been counted).

    resident: the data are in memory, so that a pass over them costs nothing; else a tile takes as many cells as memory
              allows, because passes = tiles.
    `memory` bounds the temporaries. Of the arrays computed on the way a cell is taken to hold the three largest at a
    time (XLA fuses most away), or all of them where a gradient is wanted.
    """
    backend, limit = jax.default_backend(), budget(memory)
    chunk = CHUNK_BYTES.get(backend, CHUNK_BYTES_ACCELERATOR)
    largest = max(4.0, sizes.largest)  # at least one float
    live = max(3 * largest * sizes.streams, sizes.all if sizes.gradient else 0)
    examples = int(min(n, batch_size or n))
    if batch_size is None:
        if not resident:
            examples = max(LEAST_BATCH, min(examples, int(STEP_WORK / (largest / 4 * cells))))
        examples = max(1, min(examples, int(limit / (live + sizes.terms))))
    left = max(limit - sizes.terms * examples, limit / 2)
    in_flight = int(
        max(1, min(chunk / (largest * sizes.streams * examples), left / (live * examples + sizes.params), cells))
    )
    if sizes.grouped and backend == "cpu":
        in_flight = 1  # a convolution with a kernel for each cell runs many times slower there
    tile_cells = cells
    if resident:
        tile_cells = max(in_flight, min(cells, int(STEP_WORK / max(1, largest / 4 * examples))))
    if examples < n:  # running sums are held for the whole tile, twice where a copy is made
        tile_cells = max(1, min(tile_cells, int(left / (2 * sizes.sums))))
    at_a_time = max(1, int(STEP_WORK / (largest / 4 * examples * tile_cells)))
    return Plan(min(in_flight, tile_cells), tile_cells, examples, at_a_time)
