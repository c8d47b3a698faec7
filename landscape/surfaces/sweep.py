"""Several penalties on one risk: as arrays for compiled code, as labels for data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.objectives import penalties
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty


class Sweep(NamedTuple):
    """P penalties as arrays, of which U differ at strength 1 (U = 1 in a sweep of l2 strengths). Trees are like params.

    NumPy arrays as `stacked` makes them, traced ones inside compiled code. Without any penalty the trees are None.
    """

    strengths: Array | np.ndarray  # (P,)
    largest: Array | np.ndarray  # (U,): the largest strength of each unit penalty
    alpha: Params  # αᵢ of each penalty, leaves (P,) or (P, *leaf)
    beta: Params  # βᵢ
    unit_alpha: Params  # αᵢ at strength 1, leaves (U,) or (U, *leaf)
    unit_beta: Params

    def unit_value(self, params: Params) -> Array:
        """(U,) penalties at strength 1; of a large model without any, its params are not even read."""
        if self.unit_alpha is None:
            return jnp.zeros(len(self.largest), _trees.widest(params))
        return jax.vmap(lambda a, b: penalties.value(a, b, params))(self.unit_alpha, self.unit_beta)

    def gradient_norm(self, params: Params, gradient: Params) -> Array:
        """(P,) norms of the minimum-norm subgradients of risk + penalty."""
        if self.alpha is None:
            return jnp.broadcast_to(_trees.norm(gradient), (len(self.strengths),))

        # By its definition: ‖g‖² + 4λ g·θ + 4λ²‖θ‖² would cancel near the minimizer, where it matters most.
        def norm(alpha: Params, beta: Params) -> Array:
            return _trees.norm(penalties.subgradient(alpha, beta, params, gradient))

        return jax.vmap(norm)(self.alpha, self.beta)


def penalties_of(objective: Objective, penalties: Mapping[str, Penalty] | None) -> tuple[Penalty, ...]:
    """The penalties of a sweep, checked; the objective's own where there is none."""
    if penalties is None:
        return (objective.penalty,)
    if isinstance(penalties, Penalty):
        raise TypeError(
            "`penalties` is one Penalty; give a mapping, {'λ=0.1': ls.l2(0.1)}, or put it into the objective."
        )
    _checks.labels("penalties", penalties, "{'λ=0.1': ls.l2(0.1)}")
    for label, penalty in penalties.items():
        if not isinstance(penalty, Penalty):
            raise TypeError(
                f"`penalties[{label!r}]` is {_checks.kind(penalty)}; make one with ls.l2(0.1), ls.none(), …"
            )
    return tuple(penalties.values())


def stacked(given: tuple[Penalty, ...], params: Any) -> tuple[Sweep, tuple[int, ...]]:
    """The penalties as arrays with a leading axis, and the index of each one's unit penalty.

    params: those that move. The arrays are traced: other strengths compile nothing.
    """
    scaled = [penalty.coefficients(params) for penalty in given]
    every_unit = [penalty.unit().coefficients(params) for penalty in given]
    # Rounded: 0.1·Ω and 0.7·Ω have the same unit, though their shares differ in the last bit.
    keys = [b"".join(np.round(c, 12).tobytes() for c in jax.tree.leaves(unit)) for unit in every_unit]
    first = {key: keys.index(key) for key in keys}  # insertion order
    distinct = [every_unit[i] for i in first.values()]

    def stack(leaf: Array, *coefficients: Any) -> np.ndarray:
        shape = leaf.shape if any(np.ndim(c) for c in coefficients) else ()
        return np.stack([np.broadcast_to(np.asarray(c, _trees.wide(leaf)), shape) for c in coefficients])

    trees = [jax.tree.map(stack, params, *(c[i] for c in some)) for some in (scaled, distinct) for i in (0, 1)]
    strengths = np.array([p.strength for p in given], _checks.default_float())
    units = np.array([list(first).index(key) for key in keys])
    largest = np.array([strengths[units == u].max() for u in range(len(distinct))])
    return Sweep(strengths, largest, *trees), tuple(units.tolist())


def sweep_coordinates(penalties: Mapping[str, Penalty]) -> dict[str, Any]:
    """The coordinates of the dimension `penalty`: labels, and the strengths as numbers."""
    return {
        "penalty": ("penalty", list(penalties)),
        "strength": ("penalty", [p.strength for p in penalties.values()], {"long_name": "λ", "units": "1"}),
    }
