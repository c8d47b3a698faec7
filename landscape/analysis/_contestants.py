"""What `compare_optimizers` is given, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optax

from landscape import _checks
from landscape.analysis.optimizers import Optimizer, ProximalGradient
from landscape.objectives.problems import Problem

Contestant = Optimizer | Callable[[float], Optimizer]
KINDS = (optax.GradientTransformation, ProximalGradient)  # that run as they are
GIVE = "an optimizer such as optax.adam(0.1), or a function of the learning rate such as optax.adam"


def problems(given: Any) -> dict[str, Problem]:
    """The problems by their names."""
    if isinstance(given, Problem):
        return {given.name: given}
    _checks.labels("problems", given, "ls.problems()")
    for name, problem in given.items():
        _checks.instance(f"problems[{name!r}]", problem, Problem, "a Problem, such as ls.problems()['rosenbrock']")
        _checks.x64_matches(f"problems[{name!r}]", problem.objective.params)
    return dict(given)


def optimizers(given: Any, names: list[str]) -> dict[str, dict[str, Contestant]]:
    """Problem -> label -> contestant."""
    _checks.labels("optimizers", given, "{'Adam': optax.adam, 'L-BFGS': optax.lbfgs()}")
    entered: dict[str, dict[str, Contestant]] = {name: {} for name in names}
    for label, one in given.items():
        each = one if isinstance(one, Mapping) else dict.fromkeys(names, one)
        missing = [name for name in names if name not in each]
        if missing:
            raise ValueError(
                f"`optimizers[{label!r}]` has none for the problem {missing[0]!r}, but for "
                f"{', '.join(map(repr, each)) or 'none'}; give one for each problem, or one for all."
            )
        for name in names:
            called = f"optimizers[{label!r}]" + (f"[{name!r}]" if each is one else "")
            entered[name][label] = _checked(called, each[name])
    return entered


def _checked(name: str, contestant: Any) -> Any:
    if isinstance(contestant, KINDS):
        return contestant
    if isinstance(contestant, type) or not callable(contestant):
        raise TypeError(f"`{name}` is {_checks.kind(contestant)}; give {GIVE}.")
    _checks.takes(name, contestant, f"{name}(learning_rate)")
    made = contestant(1.0)
    if not isinstance(made, KINDS):
        raise TypeError(f"`{name}` returned {_checks.kind(made)} for the learning rate 1; give {GIVE}.")
    return contestant


def rates(given: Any) -> tuple[float, ...]:
    """The learning rates to try, ascending."""
    array = _checks.numeric("learning_rates", given)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"`learning_rates` has shape {array.shape}; give rates to try, 1-D, such as (0.01, 0.1, 1).")
    if not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"`learning_rates` is {array.tolist()}; they must be finite numbers > 0.")
    return tuple(sorted({float(rate) for rate in array}))
