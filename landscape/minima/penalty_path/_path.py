"""The minimizers of R + λΩ for one strength λ after another, and what is said of bad strengths, penalties and risks."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape import _checks
from landscape.minima import _solve
from landscape.minima._linear import Linear, linear
from landscape.minima._solve import Problem, Solution
from landscape.objectives.objective import Objective, check_objective
from landscape.objectives.penalties import Penalty

LARGEST = 1e100  # of a strength


def along(problem: Problem, model: Linear, strengths: np.ndarray) -> list[Solution]:
    """The minimizers under λα and λβ, in the order of the strengths; computed from the largest λ down.

    Each starts at the one before that converged: what runs away starts no other.
    """
    start, found = np.zeros(len(model.l1)), {}
    for index in np.argsort(-strengths):
        strength = strengths[index]
        found[index] = _solve.solve(problem, strength * model.l1, strength * model.l2, start)
        if found[index].converged:
            start = found[index].theta
    return [found[index] for index in range(len(strengths))]


def convex_model(objective: Objective, penalty: Penalty | None, reader: str) -> Linear:
    """The objective as a linear model, with Ω at strength 1, for the function called `reader`."""
    check_objective(objective)
    if penalty is None:
        penalty = objective.penalty
    _checks.instance("penalty", penalty, Penalty, "a Penalty: ls.l1(1.0), ls.l2(1.0), ls.elastic_net(0.5, 0.5)")
    if not penalty.terms:
        raise ValueError(
            f"`penalty` is none, and so there is nothing to vary; pass {reader}(…, penalty=ls.l1(1.0)), or an "
            "objective that has a penalty."
        )
    model = linear(objective.with_penalty(penalty.unit()), reader)
    if not model.loss.convex:
        raise ValueError(
            f"`objective` has the loss {model.loss.name}, which is not convex with this activation; {reader} takes the "
            'convex ones, loss="cross_entropy", and "half_squared_error" with activation="identity". '
            "ls.critical_points finds the minima of others."
        )
    _checks.finite("objective.structure.features", model.features)
    return model


def checked_strengths(values: Any) -> np.ndarray:
    """Strengths λ (k,): finite, ≥ 0, each once, sorted up or down."""
    strengths = _checks.numeric("strengths", values).astype(np.float64)
    if strengths.ndim != 1 or not strengths.size:
        raise ValueError(
            f"`strengths` has shape {strengths.shape}; give a sequence of numbers, such as np.geomspace(1e-4, 1, 50)."
        )
    _checks.finite("strengths", strengths, "A penalty's strength is a finite number ≥ 0")
    if strengths.max() > LARGEST:
        raise ValueError(f"`strengths` holds {strengths.max():g}; from {LARGEST:g} on products of it may overflow.")
    if (strengths < 0).any():
        raise ValueError(f"`strengths` holds {strengths.min():g}; a penalty's strength must be a finite number ≥ 0.")
    steps = np.diff(strengths)
    if not ((steps > 0).all() or (steps < 0).all()):
        ordered = np.unique(strengths)
        shown = ", ".join(f"{value:g}" for value in ordered[:8]) + (", …" if ordered.size > 8 else "")
        raise ValueError(f"`strengths` are not sorted, or hold one twice; pass np.unique(strengths): [{shown}].")
    return strengths
