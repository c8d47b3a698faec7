"""What a plane of a network takes at least: counted layer by layer, whoever computes it.

Whatever is affine in the coordinates is computed once: for a first layer the products with origin and directions. From
there on each cell has to combine them (two products and two sums a value), and to do everything that comes later.
"""

import math
from dataclasses import dataclass

from benchmarks.machine.limits import Work
from benchmarks.problems.networks import Problem

TERMS = 3  # origin and two directions
COMBINED = 2  # operations: (a + αb) + βc, of which a + αb is that of a whole row


@dataclass
class _Count:
    once: Work
    cell: Work
    shape: tuple[int, ...]  # of an example, on its way through the layers
    pending: bool = False  # what is there so far is affine in the coordinates, and not combined yet

    @property
    def values(self) -> int:
        return math.prod(self.shape)

    def settled(self) -> None:
        """Something follows that is not affine: what is gets combined."""
        if self.pending:
            self.cell += Work(other=COMBINED * self.values)
        self.pending = False


def work(problem: Problem) -> Work:
    """Of all cells, on all examples."""
    n, cells = len(problem.data[0]), len(problem.cells)
    count = _Count(Work(), Work(), problem.data[0].shape[1:])
    params = moved = 0  # moved: those that a cell has to form, what is affine in them being done
    for kind, name in problem.network.layers:
        weights = problem.origin.get(name, {})
        size = sum(leaf.size for leaf in weights.values())
        fresh = not params and kind != "squared"
        moved += 0 if fresh else size
        params += size
        _add(count, kind, weights, fresh)
    count.settled()
    classes = count.values
    count.cell += Work(exp=classes, log=1, other=5 * classes)  # the largest, differences, the sum
    read = sum(array.nbytes for array in problem.data) + TERMS * 4 * params
    return n * count.once + n * cells * count.cell + Work(other=COMBINED * moved * cells, bytes=read + 4 * cells)


def _add(count: _Count, kind: str, weights: dict, fresh: bool) -> None:
    """One layer; `fresh` where it is the first that has weights, and affine in them."""
    match kind:
        case "dense" | "squared" | "conv":
            *taps, inputs, outputs = weights["kernel"].shape
            # Of a 3×3 kernel, two taps in three reach beyond the first or last of a row: no product is needed there.
            spots = math.prod(3 * size - 2 for size in count.shape[:-1]) if taps else 1
            product = Work(products=2 * spots * inputs * outputs)
            count.settled()
            count.shape = (*count.shape[:-1], outputs)
            if fresh:
                count.once += TERMS * product
                count.pending = True
            else:
                count.cell += product + Work(other=count.values)  # the bias
        case "tanh":
            count.settled()
            count.cell += Work(tanh=count.values)
        case "relu":
            count.settled()
            count.cell += Work(other=count.values)
        case "pool":
            count.settled()
            count.cell += Work(other=0.75 * count.values)  # the greatest of four
            height, width, channels = count.shape
            count.shape = height // 2, width // 2, channels
        case "flatten":
            count.shape = (count.values,)
        case _:
            raise ValueError(f"unknown layer {kind!r}")
