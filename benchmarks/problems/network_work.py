"""What a plane of a network takes at least: counted layer by layer, whoever computes it.

Whatever is affine in the coordinates is computed once: for a first layer the products with origin and directions. From
there on each cell has to combine them (two products and two sums a value), and to do everything that comes later.
"""

import math
from dataclasses import dataclass

from benchmarks.machine.limits import Work
from benchmarks.problems.networks import Problem

TERMS = 3  # origin and two directions
COMBINED = 4  # operations: a + αb + βc


@dataclass
class _Count:
    once: Work
    cell: Work
    shape: tuple[int, ...]  # of an example, on its way through the layers
    affine: bool = True  # in the coordinates

    @property
    def values(self) -> int:
        return math.prod(self.shape)

    def settled(self) -> None:
        """Something follows that is not affine: what is gets combined."""
        if self.affine:
            self.cell += Work(other=COMBINED * self.values)
        self.affine = False


def work(problem: Problem) -> Work:
    """Of all cells, on all examples."""
    n, cells = len(problem.data[0]), len(problem.cells)
    count = _Count(Work(), Work(), problem.data[0].shape[1:])
    moved = params = 0
    for kind, name in problem.network.layers:
        weights = problem.origin.get(name, {})
        params += sum(leaf.size for leaf in weights.values())
        _add(count, kind, weights, fresh=not moved)
        moved += bool(weights)
    count.settled()
    classes = count.values
    count.cell += Work(exp=classes, log=1, other=5 * classes)  # the largest, differences, the sum
    read = sum(array.nbytes for array in problem.data) + TERMS * 4 * params
    return n * count.once + n * cells * count.cell + Work(other=COMBINED * params * cells, bytes=read + 4 * cells)


def _add(count: _Count, kind: str, weights: dict, fresh: bool) -> None:
    """One layer; `fresh` while no weights have come before it, so that it is affine in its own."""
    match kind:
        case "dense" | "squared" | "conv":
            kernel = weights["kernel"].shape
            spots = math.prod(count.shape[:-1])  # of a convolution: as many products as pixels
            product = Work(products=2 * math.prod(kernel) * spots)
            count.shape = (*count.shape[:-1], kernel[-1])
            if fresh and kind != "squared":
                count.once += TERMS * product
                return
            count.settled()
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
