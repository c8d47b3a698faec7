"""What risk and gradient of one point compute on the way, counted from their traced program."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jax
from jax import Array

from landscape import _cost, _jaxprs, _trees
from landscape._trees import Params
from landscape.objectives.objective import Batch, Losses, weighted_sum


@lru_cache(maxsize=256)
def traced(losses: Losses, params: _trees.Shapes, data: _trees.Shapes) -> Any:
    """The program of risk and gradient of one point."""

    def risk(moving: Params, example: Params, batch: Batch) -> Array:
        return weighted_sum(losses, _trees.merged(moving, example), batch)[0]

    example = _trees.from_shapes(params)
    return jax.make_jaxpr(jax.value_and_grad(risk))(_trees.floating(example), example, _trees.from_shapes(data))


def computed(losses: Losses, params: _trees.Shapes, data: _trees.Shapes) -> int:
    """Bytes of every array on the way to risk and gradient of one point. XLA needs fewer: it fuses."""
    return sum(_sizes(traced(losses, params, data).jaxpr))


def _sizes(jaxpr: Any) -> Iterator[int]:
    """Bytes of what each equation computes, those inside calls, branches and loops too."""
    for equation in jaxpr.eqns:
        yield sum(_cost.nbytes(v.aval) for v in equation.outvars)
        for part in _jaxprs.inner(equation):
            yield from _sizes(_jaxprs.opened(part))
