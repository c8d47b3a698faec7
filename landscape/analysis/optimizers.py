"""Optimizers as `descend` sees them: any optax transformation, and the proximal gradient step that optax lacks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jax import Array

from landscape import _checks
from landscape._trees import Params
from landscape.objectives import penalties


@dataclass(frozen=True)
class ProximalGradient:
    """θ ← prox(θ − η∇R(θ), η), see `proximal_gradient`."""

    learning_rate: float


Optimizer = optax.GradientTransformation | ProximalGradient


class Slope(NamedTuple):
    """What a step sees of the objective at the current params, on the current batch."""

    risk_gradient: Params
    objective: Array
    gradient: Params  # minimum-norm subgradient of the objective


def proximal_gradient(learning_rate: float) -> ProximalGradient:
    """Proximal gradient descent (ISTA; Beck & Teboulle 2009): θ ← prox_{ηΩ}(θ − η∇R(θ)).

    Unlike gradient steps along a subgradient, it sets parameters under l1 to exactly 0 and stays there.
    Raises: ValueError unless the learning rate η is a finite number > 0.
    """
    return ProximalGradient(_checks.positive("learning_rate", learning_rate))


def init(optimizer: Optimizer, params: Params) -> Any:
    """The optimizer's state."""
    return () if isinstance(optimizer, ProximalGradient) else optimizer.init(params)


def step(
    optimizer: Optimizer,
    params: Params,
    state: Any,
    slope: Slope,
    coefficients: tuple[Params, Params],
    objective: Callable[[Params], Array],
) -> tuple[Params, Any]:
    """(params, state) after one step. Line searches and plateau schedules get `value`, `grad` and `value_fn` too."""
    if isinstance(optimizer, ProximalGradient):
        moved = jax.tree.map(lambda p, g: p - optimizer.learning_rate * g.astype(p.dtype), params, slope.risk_gradient)
        rate = jnp.asarray(optimizer.learning_rate, _checks.default_float())
        return penalties.prox(*coefficients, moved, rate), state
    extended = optax.with_extra_args_support(optimizer)
    gradient = jax.tree.map(lambda g, p: g.astype(p.dtype), slope.gradient, params)
    extra = {"value": slope.objective, "grad": gradient, "value_fn": objective}
    try:
        updates, state = extended.update(gradient, state, params, **extra)
    except AttributeError as error:
        raise ValueError(
            f"`optimizers` holds one that wants other params than the objective's ({error}). Give one that updates the "
            "params themselves; optax.lookahead, which keeps fast and slow ones, is not supported."
        ) from error
    return optax.apply_updates(params, updates), state


def evaluation_point(state: Any, params: Params) -> Params | None:
    """Where to measure instead of at `params`: a schedule-free optimizer's averaged iterate; None for all others."""
    for node in jax.tree.leaves(state, is_leaf=_is_schedule_free):
        if _is_schedule_free(node):
            return optax.contrib.schedule_free_eval_params(node, params)
    return None


def _is_schedule_free(node: Any) -> bool:
    return isinstance(node, optax.contrib.ScheduleFreeState)
