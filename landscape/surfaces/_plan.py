"""How a grid is run: cells in flight, cells a tile, examples a batch. Chosen from sizes; never "all at once"."""

import math
from typing import NamedTuple

import jax

from landscape import _backend, _cost

# The values of one operation over all cells in flight, 2 MiB for each core (measured on two, benchmarks/NOTES.md).
# Smaller, and sharing them out costs more than the work; larger, and they leave the cores' caches before the next
# operation reads them. Of many cores not all are counted: the cells of a small grid would not fill a chunk.
CHUNK_BYTES = {"cpu": 2**21 * min(_backend.usable_cores(), 8)}
# What is computed once a batch is read in every cell: fastest out of a core's own cache (2 MiB here and there).
TERMS_BYTES = {"cpu": 3 * 2**19}
MANY = 64  # cells, from which on this pays for running sums between the batches
CHUNK_BYTES_ACCELERATOR = 2**28  # it wants far more cells to fill it
STEP_WORK = 2**28  # values computed in one step: a fraction of a second, the step of the progress bar
# Operations of a fused loop, as `_cost` counts them, in a tile that is stored: one to three seconds, so that writing it
# costs nothing to speak of, and a run that is stopped loses no more than that. (A GPU's is not measured.)
STORED_WORK = {"cpu": 2**35}
STORED_WORK_ACCELERATOR = 2**41
LEAST_BATCH = 256  # examples: smaller ones cost more to hand over than to compute


class Plan(NamedTuple):
    """How cells and examples take their turns."""

    in_flight: int  # cells run at once
    tile_cells: int
    batch_size: int  # examples
    batches_a_step: int = 1  # in one call of the compiled function
    hoist: bool = True
    at_once: int = 0  # examples of a batch, larger than the others, that one cell can see at once

    def of_batch(self, size: int) -> "Plan":
        """The same for a batch of another size: where it is larger, fewer cells at once, a divisor of those planned."""
        fewer = max(1, self.in_flight * self.batch_size // size)
        return self._replace(
            in_flight=next(k for k in range(min(fewer, self.in_flight), 0, -1) if self.in_flight % k == 0)
        )


class Sizes(NamedTuple):
    """What a cell holds, in bytes."""

    largest: float  # an example: the largest array computed on the way
    live: float  # an example: arrays that are needed at one time; derivatives in XLA's order, measured on CPU
    terms: float  # an example: what is computed once a batch, and all cells read
    row: float  # an example itself, where the data are read from elsewhere
    params: int  # its own params, and their gradient where one is wanted
    sums: int  # its running sums between batches
    one_by_one: bool  # products with a matrix for each cell, many times slower on CPU for several cells at once
    work: float  # an example: operations of a fused loop
    repeats: int = 1  # passes over the data that a cell takes

    @property
    def shared(self) -> float:
        """An example's share of what all cells hold together: the terms, its batch, and the one that is read next."""
        return self.terms + 2 * self.row

    def temporaries(self, plan: Plan, n: float) -> float:
        """Bytes that a plan takes."""
        cells = plan.in_flight * (self.live * plan.batch_size + self.params)
        shared = self.shared - (0 if plan.hoist else self.terms)
        sums = 2 * self.sums * plan.tile_cells if plan.batch_size < n else 0
        return cells + shared * plan.batch_size + sums


def plan(
    sizes: Sizes, cells: int, n: float, batch_size: int | None, memory: int | None, most: int, parts: int = 0
) -> Plan:
    """Choose the plan for a grid of `cells` over n examples (infinity where they have not been counted).

    most: examples that are handed over at a time; n where the data are in memory, so that a pass over them costs
          nothing; else a tile takes as many cells as memory allows, because passes = tiles.
    parts: processes that share a store, each of which wants tiles; 0 where tiles are not stored.
    `memory` bounds the temporaries.
    """
    backend, limit = jax.default_backend(), _cost.budget(memory)
    chunk = CHUNK_BYTES.get(backend, CHUNK_BYTES_ACCELERATOR)
    resident = not sizes.row
    examples = int(min(n, batch_size or n, most))
    if batch_size is None:
        if not resident and math.isfinite(n):
            examples = max(min(LEAST_BATCH, examples), min(examples, int(STEP_WORK / (sizes.largest / 4 * cells))))
        if examples * (sizes.live + sizes.shared) + sizes.params > limit:  # half of it for the sums between batches
            fits = min((limit / 2 - sizes.params) / (sizes.live + sizes.shared), limit / (4 * max(sizes.shared, 1)))
            examples = max(1, int(min(examples, fits)))
        elif resident and cells >= MANY:
            examples = _in_cache(examples, sizes.terms)
        if parts:  # where one cell on all examples is more than a tile's work
            examples = min(examples, max(1, int(_stored_work() / max(1.0, sizes.work))))
    hoist = sizes.shared * examples <= limit / 2  # else by a batch_size that was asked for
    left = max(limit - sizes.shared * examples, limit / 2) / (2 if examples < n else 1)
    in_flight = int(
        max(1, min(chunk / (sizes.largest * examples), left / (sizes.live * examples + sizes.params), cells))
    )
    if sizes.one_by_one and backend == "cpu":
        in_flight = 1
    tile_cells = cells
    if parts:  # of data that are read a batch at a time, by the work of a batch: reading it again is little beside that
        tile_cells = min(cells, stored_cells(sizes, n if resident else examples), -(-cells // parts))
    elif resident:
        step = STEP_WORK / max(1, sizes.repeats * sizes.largest / 4 * examples)
        tile_cells = max(in_flight, min(cells, int(step)))
    if examples < n:  # the other half: running sums are held for the whole tile, twice where a copy is made
        tile_cells = max(1, min(tile_cells, int(left / (2 * sizes.sums))))
    at_a_time = max(1, int(STEP_WORK / (sizes.largest / 4 * examples * tile_cells)))
    if parts:  # what is halfway is kept between calls
        at_a_time = max(1, min(at_a_time, int(_stored_work() / max(1.0, sizes.work * examples * tile_cells))))
    at_once = max(examples, int((limit / 2 - sizes.params) / (sizes.live + sizes.shared)))
    return Plan(min(in_flight, tile_cells), tile_cells, examples, at_a_time, hoist, at_once)


def stored_cells(sizes: Sizes, n: float) -> int:
    """Cells whose work on n examples makes up a tile that is stored: one at least."""
    return max(1, int(_stored_work() / max(1.0, sizes.work * n)))


def _stored_work() -> float:
    return STORED_WORK.get(jax.default_backend(), STORED_WORK_ACCELERATOR)


def _in_cache(n: int, terms: float) -> int:
    """The size of equal batches whose terms fit into cache; n where it would be small, or leave a rest to compile."""
    fewest = math.ceil(n * terms / TERMS_BYTES.get(jax.default_backend(), math.inf))
    sizes = (n // batches for batches in range(max(1, fewest), fewest + fewest // 4 + 1) if n % batches == 0)
    return next((size for size in sizes if size >= LEAST_BATCH), n)
