"""`penalty_path`: the minimizers of R + λΩ as λ varies, with their zeros and their certificates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from landscape import _checks
from landscape._trees import Params
from landscape.minima import _solve
from landscape.minima._linear import Linear
from landscape.minima._solve import Solution
from landscape.minima.penalty_path import _at_zero, _path
from landscape.minima.penalty_path._at_zero import AtZero
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty

if TYPE_CHECKING:
    import xarray

LONG_NAMES = {
    "risk": "risk",
    "penalty_value": "penalty λΩ",
    "objective": "objective",
    "norm": "‖θ‖",
    "nonzero": "penalized parameters that are not 0",
    "residual": "norm of the minimum-norm subgradient",
    "converged": "whether the minimizer was found",
    "coefficient": "parameter",
    "held_out_risk": "risk on the held-out data",
}


@dataclass(frozen=True, eq=False)
class PenaltyPath:
    """What `penalty_path` found. Prints as a sentence.

    params:       the minimizers θ(λ): a tree like the objective's params, NumPy float64, leaves of shape (strength, …).
    data:         Dataset over `strength` λ and `parameter` (w[0], …, b): risk R(θ), penalty_value λΩ(θ), objective,
                  norm ‖θ‖₂, nonzero (how many penalized parameters are not 0), residual (norm of the minimum-norm
                  subgradient of the objective), converged, coefficient (strength, parameter), and held_out_risk.
    strength_max: the λ from which on every l1-penalized parameter is 0; infinite without l1.

    Found out when asked for, by a proof that may take longer than the path:

    at_zero:      where the path goes as λ → 0, in words: it settles, or runs away (which `attainment` proves).
    limit:        its limit, params; None where it runs away, or where l1 chooses among several minimizers.
    direction:    params of norm 1, the way that it runs away: from the last but one minimizer to the last; else None.
    """

    params: Params
    data: xarray.Dataset
    strength_max: float
    _find_end: Callable[[], AtZero] = field(repr=False)
    _model: Linear = field(repr=False)

    @cached_property
    def _end(self) -> AtZero:
        return self._find_end()

    @property
    def at_zero(self) -> str:
        """Where the path goes as λ → 0."""
        return self._end.words

    @property
    def limit(self) -> Params | None:
        """The limit of the path."""
        return None if self._end.limit is None else self._model.params(self._end.limit)

    @property
    def direction(self) -> Params | None:
        """The way that the path runs away."""
        return None if self._end.direction is None else self._model.params(self._end.direction)

    def __str__(self) -> str:
        strengths, nonzero = self.data.strength.to_numpy(), self.data.nonzero.to_numpy()
        ends = dict.fromkeys(str(nonzero[index]) for index in (strengths.argmax(), strengths.argmin()))
        failed = int((~self.data.converged).sum())
        since = f"From λ = {self.strength_max:.6g} on" if self.strength_max else "For every λ > 0"
        lines = [
            f"{len(strengths)} minimizers of R + λ·({self.data.attrs['penalty']}), λ from {strengths.max():.3g} to "
            f"{strengths.min():.3g}: {' to '.join(ends)} penalized parameters are not 0",
            *([f"{since} all under l1 are 0"] if np.isfinite(self.strength_max) else []),
            f"As λ → 0 the path {self.at_zero}",
            *([f"{failed} did not converge: see data.converged and data.residual"] if failed else []),
        ]
        return ".\n".join(lines) + "."

    __repr__ = __str__


def penalty_path(
    objective: Objective,
    strengths: Sequence[float] | np.ndarray,
    *,
    penalty: Penalty | None = None,
    held_out: Any = None,
) -> PenaltyPath:
    """The minimizers of R(θ) + λΩ(θ), one for each strength λ, for a convex risk of a linear model.

        θ(λ) = argmin R(θ) + λΩ(θ),        0 ∈ ∇R(θ) + λ∂Ω(θ)

    objective: a neuron with cross-entropy, or with half squared error and the identity; or any Objective whose
               `structure` says as much.
    strengths: λ ≥ 0 (k,), sorted up or down.
    penalty:   Ω, taken at strength 1 (the parts of a sum keep their proportions); the objective's own by default. l1,
               l2, elastic net, weight decay, of any scope.
    held_out:  other data in the layout of the objective's, such as (x, y), on which the risk is measured too.

    Everything is computed in float64, from the largest strength down, each minimizer from the one before, by the
    proximal Newton method (Lee, Sun & Saunders 2014). Zeros under l1 are exact. The residual says how well each one is
    a minimizer, and `converged` whether it is one: where the infimum is not attained (an unpenalized bias, and one
    class only) it is False. On separable data the direction of θ(λ) tends to that of the largest margin in Ω's norm
    (Rosset, Zhu & Hastie 2004, JMLR 5), ‖θ(λ)‖ grows like log 1/λ.

    Elsewhere λ reads differently. scikit-learn's LogisticRegression has C = 1/(2nλ) for l2(λ) beside a mean over n
    examples and C = 1/(nλ) for l1(λ); its Lasso has alpha = λ. A weight decay of λ is l2(λ/2) on the weights.
    Returns: a `PenaltyPath`; print it.
    Raises: ValueError or TypeError, naming the argument: strengths that are negative, not finite or not sorted; no
    penalty; an objective without a structure, or not convex.

        >>> import landscape as ls
        >>> path = ls.penalty_path(ls.neuron(*ls.datasets.pair()), [0.01, 0.1, 0.5, 1.0], penalty=ls.l1(1.0))
        >>> [round(float(w), 6) for w in path.params["w"]]  # log((1 − λ)/λ), and 0 from λ = ½ on
        [4.59512, 2.197225, 0.0, 0.0]
    """
    model = _path.convex_model(objective, penalty, "penalty_path")
    checked = _path.checked_strengths(strengths)
    problem = _solve.problem(model)
    found = _path.along(problem, model, checked)
    params = model.params(np.stack([one.theta for one in found]))
    data = _dataset(model, checked, found)
    if held_out is not None:
        data["held_out_risk"] = ("strength", _held_out_risks(objective, params, held_out))
    for name, label in LONG_NAMES.items():
        if name in data:
            data[name].attrs["long_name"] = label
    used = objective.penalty if penalty is None else penalty
    data.attrs |= {"penalty": str(used.unit()), "objective_id": objective.id}
    end = partial(_at_zero.at_zero, objective, problem, model, checked, found)
    return PenaltyPath(params, data, _at_zero.strength_max(model), end, model)


def _dataset(model: Linear, strengths: np.ndarray, found: list[Solution]) -> xarray.Dataset:
    import xarray

    theta = np.stack([one.theta for one in found])
    losses = _solve.curve(model.loss)(theta @ model.features.T, model.labels)[0]
    risk = losses @ model.weights
    penalty_value = strengths * (np.abs(theta) @ model.l1 + np.square(theta) @ model.l2)
    penalized = (model.l1 > 0) | (model.l2 > 0)
    values = {
        "risk": risk,
        "penalty_value": penalty_value,
        "objective": risk + penalty_value,
        "norm": np.linalg.norm(theta, axis=1),
        "nonzero": (theta[:, penalized] != 0).sum(axis=1),
        "residual": np.array([one.residual for one in found]),
        "converged": np.array([one.converged for one in found]),
    }
    variables = {name: (("strength",), value) for name, value in values.items()}
    coefficient = {"coefficient": (("strength", "parameter"), theta)}
    return xarray.Dataset(variables | coefficient, {"strength": strengths, "parameter": list(model.names)})


def _held_out_risks(objective: Objective, params: Params, held_out: Any) -> np.ndarray:
    """R of each of the params (k,) on other data, in float64."""
    if not all(np.ndim(leaf) for leaf in jax.tree.leaves(held_out)):
        raise TypeError("`held_out` must hold arrays, such as (x, y); convert lists with np.asarray.")

    def wide(leaf: Any) -> np.ndarray:
        array = np.asarray(leaf)
        _checks.finite("held_out", array)
        return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array

    with jax.enable_x64(True):
        first = jax.tree.map(lambda leaf: leaf[0], params)
        other = objective.with_params(first).with_data(jax.tree.map(wide, held_out))
        return np.asarray(jax.vmap(other.risk)(params))
