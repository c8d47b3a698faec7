"""`choose_strength`: which strength of the penalty does best on examples left out, a block at a time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import Array

from landscape import _checks
from landscape.minima import _solve
from landscape.minima._linear import Linear
from landscape.minima.penalty_path import _path
from landscape.objectives.losses import CrossEntropy
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty

if TYPE_CHECKING:
    import xarray


def choose_strength(
    objective: Objective,
    strengths: Sequence[float] | np.ndarray,
    *,
    penalty: Penalty | None = None,
    blocks: int | Sequence[Any] | np.ndarray = 10,
    key: Array | None = None,
) -> xarray.Dataset:
    """Cross-validation over blocks of examples: the held-out risk of each strength, and the strengths to take.

        CV(λ) = Σ_k n_k R_k(θ₋ₖ(λ)) / Σ_k n_k,        SE(λ) = std_k R_k(θ₋ₖ(λ)) / √K

    θ₋ₖ(λ) minimizes R + λΩ on all examples but those of block k, R_k is the mean loss on block k, n_k its weight.

    objective, strengths, penalty: as in `penalty_path`.
    blocks:    how many, of consecutive examples: what is recorded close together stays together, so that the rest says
               nothing of it. Or a label an example (n,), such as patients or days: a block each.
    key:       a random key shuffles the examples before they are cut: for those in some order, such as by class, and
               independent of each other. Only with a number of blocks.
    Returns: Dataset over `block`, `strength`, `parameter` and `example`: held_out_risk and converged (block, strength);
    coefficient (block, strength, parameter), the θ₋ₖ(λ); held_out_in (example), the block of each example; mean and
    standard_error (strength); `best`, the strength of least mean, and `one_standard_error`, the largest one whose mean
    is within one standard error of that (Hastie, Tibshirani & Friedman 2009, section 7.10). Both are chosen among the
    strengths at which all blocks converged, and NaN if there are none.
    Raises: as `penalty_path`; ValueError for fewer than two blocks, or more than examples, or a block without weight.

        >>> import numpy as np, landscape as ls
        >>> x, y = ls.datasets.o_rings()
        >>> found = ls.choose_strength(ls.neuron(x, y), np.geomspace(0.01, 1000, 9), penalty=ls.weight_decay(1.0))
        >>> round(float(found.best), 3), round(float(found.one_standard_error), 3)
        (3.162, 237.137)
    """
    model = _path.convex_model(objective, penalty, "choose_strength")
    checked = _path.checked_strengths(strengths)
    labels, members = _members(model, blocks, key)
    if np.ndim(blocks) == 0 and key is None and isinstance(model.loss, CrossEntropy):
        _warn_if_sorted(model.labels)
    risks = np.empty((len(labels), len(checked)))
    converged, coefficients = np.empty(risks.shape, bool), np.empty((*risks.shape, len(model.names)))
    for k, held in enumerate(members):
        found = _path.along(_solve.problem(_rest(model, held)), model, checked)
        converged[k] = [one.converged for one in found]
        theta = coefficients[k] = np.stack([one.theta for one in found])
        losses = _solve.curve(model.loss)(theta @ model.features[held].T, model.labels[held])[0]
        risks[k] = losses @ model.weights[held] / model.weights[held].sum()
    sizes = np.array([model.weights[held].sum() for held in members])
    chosen = _chosen(labels, checked, risks, converged, sizes)
    block = np.asarray(labels)[np.argmax(members, axis=0)]
    used = objective.penalty if penalty is None else penalty
    chosen.attrs |= {"penalty": str(used.unit()), "objective_id": objective.id}
    return chosen.assign(
        coefficient=(("block", "strength", "parameter"), coefficients, {"long_name": "parameter"}),
        held_out_in=("example", block, {"long_name": "block of the example"}),
    ).assign_coords(parameter=list(model.names))


def _warn_if_sorted(labels: np.ndarray) -> None:
    steps = np.diff(labels)
    if len(np.unique(labels)) > 1 and ((steps >= 0).all() or (steps <= 0).all()):
        warnings.warn(
            "the examples are sorted by their labels, so that consecutive blocks leave out what the others know "
            "nothing of: shuffle them, choose_strength(…, key=jax.random.key(0)), or give `blocks` as labels.",
            UserWarning,
            stacklevel=3,
        )


def _members(model: Linear, blocks: Any, key: Array | None) -> tuple[list[Any], list[np.ndarray]]:
    """Labels of the blocks, and which examples (n,) are in each."""
    n = len(model.labels)
    if np.ndim(blocks) == 0:
        count = _checks.count("blocks", blocks, least=2)
        if count > n:
            raise ValueError(f"`blocks` is {count}, but there are {n} examples; give at most one block an example.")
        order = np.arange(n)
        if key is not None:
            _checks.random_key("key", key)
            order = np.asarray(jax.random.permutation(key, n))
        labels, members = list(range(count)), [np.isin(np.arange(n), part) for part in np.array_split(order, count)]
    else:
        members, labels = _labeled(np.asarray(blocks), n, key)
    for label, held in zip(labels, members, strict=True):
        if not (model.weights[held] > 0).any() or not (model.weights[~held] > 0).any():
            raise ValueError(f"`blocks` has the block {label!r}, in which (or outside of which) all examples weigh 0.")
    return labels, members


def _labeled(given: np.ndarray, n: int, key: Array | None) -> tuple[list[np.ndarray], list[Any]]:
    if key is not None:
        raise ValueError("`key` shuffles examples before they are cut; with `blocks` as labels nothing is cut.")
    if given.shape != (n,):
        raise ValueError(f"`blocks` has shape {given.shape}; give a number of blocks, or a label an example, ({n},).")
    labels = np.unique(given)
    if len(labels) < 2:
        raise ValueError(f"`blocks` has the one label {labels[0]}; give at least two blocks.")
    return [given == label for label in labels], labels.tolist()


def _rest(model: Linear, held: np.ndarray) -> Linear:
    """The model of the other examples, with the same total weight: λ means the same beside them."""
    weights = model.weights[~held]
    weights = weights * (model.weights.sum() / weights.sum())
    return replace(model, features=model.features[~held], labels=model.labels[~held], weights=weights)


def _chosen(
    labels: list[Any], strengths: np.ndarray, risks: np.ndarray, converged: np.ndarray, sizes: np.ndarray
) -> xarray.Dataset:
    import xarray

    mean = sizes @ risks / sizes.sum()
    error = risks.std(axis=0, ddof=1) / np.sqrt(len(labels))
    usable = np.where(converged.all(axis=0), mean, np.inf)
    best = one = np.nan
    if np.isfinite(usable).any():
        index = int(usable.argmin())
        best, one = strengths[index], strengths[usable <= mean[index] + error[index]].max()
    over = ("block", "strength")
    return xarray.Dataset(
        {
            "held_out_risk": (over, risks, {"long_name": "risk on the block left out"}),
            "converged": (over, converged, {"long_name": "whether the minimizer was found"}),
            "mean": ("strength", mean, {"long_name": "mean held-out risk"}),
            "standard_error": ("strength", error, {"long_name": "standard error of the mean"}),
            "best": ((), best, {"long_name": "strength of least mean held-out risk"}),
            "one_standard_error": ((), one, {"long_name": "largest strength within one standard error of the best"}),
        },
        {"block": labels, "strength": strengths},
    )
