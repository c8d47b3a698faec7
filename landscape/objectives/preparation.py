"""Params that are prepared at each point, such as the batch statistics of that point, before the losses see them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from landscape._trees import Params
from landscape.objectives.data import Batch, num_examples

Prepare = Callable[[Params, Batch], Any]


@dataclass(frozen=True)
class Preparation:
    """prepare(params, batches) on batches of one size, a part of the objective: other batches, other statistics."""

    prepare: Prepare
    batch_size: int | None  # None: one batch of all

    def __call__(self, params: Params, data: Batch) -> Any:
        """What the losses are given at these params."""
        return self.prepare(params, self.batches(data))

    def batches(self, data: Batch) -> Batch:
        """The data with two leading axes, (batches, batch_size)."""
        size = self.size(num_examples(data))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), data)

    def size(self, n: int) -> int:
        """Examples in a batch of n; n where these are no whole batches, as a mini-batch of a descent."""
        return self.batch_size if self.batch_size and n % self.batch_size == 0 else n


@dataclass(frozen=True)
class PreparedLosses:
    """Losses of whole data at params as they are: prepared once, then batch by batch."""

    losses: Callable[[Any, Batch], Any]
    preparation: Preparation

    def __call__(self, params: Params, data: Batch) -> Any:
        """What the losses return, for all of the data."""
        given = self.preparation(params, data)
        out = jax.lax.map(partial(self.losses, given), self.preparation.batches(data))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), out)
