"""Learning rates, each problem's own: all rates of a grid at once, and the best of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.analysis import optimizers as _optimizers
from landscape.analysis.descent import descend
from landscape.analysis.optimizers import Optimizer
from landscape.charts.plane import Plane, axes_plane
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty
from landscape.objectives.problems import Problem

Make = Callable[[float], Optimizer]
MOST_BYTES = 2**28  # of params recorded that nobody looks at
RATE, OWN = "learning_rate", "params"  # the leaves of lifted params


class Progressed(NamedTuple):
    """How far runs came, arrays over the runs."""

    steps_to: np.ndarray  # the first step with a gap within the threshold; NaN where there is none
    final: np.ndarray  # the gap after the last step
    least: np.ndarray  # the least gap of all steps; NaN where none is a number
    diverged: np.ndarray  # non-finite at the end, or higher than at the start by more than the threshold


def progressed(objective: np.ndarray, value: float, threshold: float) -> Progressed:
    """Of the objective at every step (…, steps + 1)."""
    gap = np.asarray(objective, np.float64) - value
    reached = gap <= threshold  # NaN has not
    first = np.where(reached.any(axis=-1), reached.argmax(axis=-1), np.nan)
    diverged = ~(gap[..., -1] <= np.maximum(gap[..., 0], 0.0) + threshold)  # so is NaN
    return Progressed(first, gap[..., -1], np.fmin.reduce(gap, axis=-1), diverged)


class Tuned(NamedTuple):
    """The best learning rate, and how all of them did."""

    rate: float
    success: np.ndarray  # (rates,) share of the starts
    cost: np.ndarray  # (rates,) mean steps, 2·steps where a start did not get there


def tuned(problem: Problem, make: Make, rates: Sequence[float], starts: Params, steps: int, threshold: float) -> Tuned:
    """The rate of least cost; of equal ones, that with the least median gap at the end, then the smallest."""
    every = _together if _traceable(make, problem.objective) else _one_by_one
    found = progressed(every(problem.objective, make, rates, starts, steps), problem.value, threshold)
    cost = np.where(np.isnan(found.steps_to), 2.0 * steps, found.steps_to).mean(axis=1)
    gap = np.median(np.where(np.isnan(found.final), np.inf, found.final), axis=1)
    best = int(np.lexsort((np.asarray(rates), gap, cost))[0])
    return Tuned(rates[best], np.isfinite(found.steps_to).mean(axis=1), cost)


@lru_cache(maxsize=256)
def made(make: Make, rate: float) -> Optimizer:
    """make(rate), once: compiled code is found by the optimizer's identity."""
    return make(rate)


# ---- all rates in one program: the rate is one more parameter, which nothing but the optimizer reads


def _together(objective: Objective, make: Make, rates: Sequence[float], starts: Params, steps: int) -> np.ndarray:
    """The objective (rates, starts, steps + 1)."""
    lifted = _lifted(objective)
    count = len(jax.tree.leaves(starts)[0])
    grid = {
        OWN: jax.tree.map(lambda leaf: jnp.concatenate([leaf] * len(rates)), starts),
        RATE: jnp.repeat(jnp.asarray(rates, lifted.params[RATE].dtype), count),
    }
    run = descend(
        lifted, _rated(make), grid, steps, record=record_of(lifted, len(rates) * count, steps), progress=False
    )
    return run.data.objective.to_numpy().reshape(len(rates), count, steps + 1)


@dataclass(frozen=True)
class _Lifted:
    """f(params, …) as a function of lifted params."""

    f: Callable[..., Any]

    def __call__(self, params: Params, *others: Any) -> Any:
        return self.f(params[OWN], *others)


def _lifted(objective: Objective) -> Objective:
    read = "losses" if objective.prepare is None else "prepare"
    return replace(
        objective,
        **{read: _Lifted(getattr(objective, read))},
        params={OWN: objective.params, RATE: jnp.zeros((), objective.dtype)},
        penalty=Penalty(tuple(_lifted_term(term, objective.params) for term in objective.penalty.terms)),
        predict=None,
        structure=None,
    )


def _lifted_term(term: Any, params: Params) -> Any:
    """The same term, on none but the params' own leaves."""
    one = Penalty((replace(term, strength=1.0, l1=1.0, l2=0.0),))
    inside, _ = one.coefficients(_trees.floating(params))
    mask = jax.tree.map(lambda number: np.asarray(number, bool), inside)
    return replace(term, scope={OWN: mask, RATE: False})


@lru_cache(maxsize=256)
def _rated(make: Make) -> optax.GradientTransformationExtraArgs:
    """The optimizer make(learning rate) of lifted params, whose learning rate stays."""

    def init(params: Params) -> Any:
        return make(params[RATE]).init(params[OWN])  # type: ignore[union-attr]

    def update(gradient: Params, state: Any, params: Params, *, value: Array, grad: Params, value_fn: Any) -> Any:
        def own_value(own: Params) -> Array:
            return value_fn({OWN: own, RATE: params[RATE]})

        optimizer = optax.with_extra_args_support(make(params[RATE]))  # type: ignore[arg-type]
        extra = {"value": value, "grad": grad[OWN], "value_fn": own_value}
        updates, state = optimizer.update(gradient[OWN], state, params[OWN], **extra)
        return {OWN: updates, RATE: jnp.zeros_like(params[RATE])}, state

    return optax.GradientTransformationExtraArgs(init, update)  # type: ignore[arg-type]


# ---- or one after another


def _one_by_one(objective: Objective, make: Make, rates: Sequence[float], starts: Params, steps: int) -> np.ndarray:
    """As `_together`."""
    each = {f"{rate}": made(make, rate) for rate in rates}
    count = len(jax.tree.leaves(starts)[0])
    record = record_of(objective, len(rates) * count, steps)
    return descend(objective, each, starts, steps, record=record, progress=False).data.objective.to_numpy()


def record_of(objective: Objective, runs: int, steps: int) -> Plane | None:
    """What to record of runs of which only the objective is looked at: one coordinate where all params are too many.

    None, all params, compiles faster.
    """
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(_trees.floating(objective.params)))
    if runs * steps * size <= MOST_BYTES:
        return None
    entries = _trees.entry_names(_trees.floating(objective.params))
    plane = axes_plane(objective.params, next(iter(entries.values()))[0])
    return replace(plane, names=("first_entry",))  # a leaf may be called like something that is recorded


def _traceable(make: Make, objective: Objective) -> bool:
    """Whether the optimizer can be made of a rate that is known only when the program runs."""
    return _traced(make, _trees.shapes(_trees.floating(objective.params)), objective.dtype)


@lru_cache(maxsize=256)
def _traced(make: Make, shapes: _trees.Shapes, dtype: np.dtype) -> bool:
    def first_step(rate: Array, params: Params) -> Any:
        optimizer = optax.with_extra_args_support(make(rate))  # type: ignore[arg-type]
        extra = {"value": rate, "grad": params, "value_fn": lambda _: rate}
        return optimizer.update(params, optimizer.init(params), params, **extra)

    def elsewhere(params: Params) -> Any:
        return _optimizers.evaluation_point(make(1.0).init(params), params)  # type: ignore[union-attr]

    params = _trees.from_shapes(shapes)
    if not isinstance(make(1.0), optax.GradientTransformation):
        return False
    if jax.eval_shape(elsewhere, params) is not None:  # it reads a state beside its own params
        return False
    try:
        jax.eval_shape(first_step, jax.ShapeDtypeStruct((), dtype), params)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        return False
    return True
