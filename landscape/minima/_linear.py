"""What certificates and closed forms read of an objective: rows x̃, labels, weights and penalty, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _trees
from landscape._trees import Params
from landscape.objectives.losses import PointwiseLoss
from landscape.objectives.models import NeuronLosses
from landscape.objectives.objective import Objective, check_objective

AGREEMENT = 1e-3  # of two risks, one of which may be in float32


@dataclass(frozen=True, eq=False)
class Linear:
    """J(θ) = Σᵢ ωᵢ loss(x̃ᵢ·θ, yᵢ) + Σⱼ αⱼ|θⱼ| + βⱼθⱼ²: n examples, p parameters, NumPy float64."""

    features: np.ndarray  # x̃ (n, p)
    labels: np.ndarray  # y (n,)
    weights: np.ndarray  # ω (n,): 1/n each for a mean
    loss: PointwiseLoss
    l1: np.ndarray  # α (p,)
    l2: np.ndarray  # β (p,)
    names: tuple[str, ...]  # (p,) of the parameters: w[0], w[1], b
    example: Params  # the objective's own

    def params(self, theta: np.ndarray) -> Params:
        """θ (…, p) as params with leaves (…, *shape), NumPy arrays in float64."""
        theta, named = np.asarray(theta, np.float64), _trees.named_leaves(self.example)
        parts, start = dict(named), 0
        for name in _order(named, self.names):
            shape, size = np.shape(named[name]), int(np.size(named[name]))
            parts[name] = theta[..., start : start + size].reshape((*theta.shape[:-1], *shape))
            start += size
        return jax.tree.unflatten(jax.tree.structure(self.example), list(parts.values()))

    def theta(self, params: Params) -> np.ndarray:
        """Params with leaves (…, *shape) as θ (…, p)."""
        named, examples = _trees.named_leaves(params), _trees.named_leaves(self.example)
        parts = []
        for name in _order(examples, self.names):
            leaf = np.asarray(named[name], np.float64)
            parts.append(leaf.reshape(*leaf.shape[: leaf.ndim - np.ndim(examples[name])], -1))
        return np.concatenate(parts, axis=-1)


def linear(objective: Objective, reader: str) -> Linear:
    """What `objective.structure` says, for the function called `reader`.

    Raises: TypeError unless it is an Objective; ValueError if it has no structure, or has parameters that no column of
    the features belongs to.
    """
    check_objective(objective)
    structure = objective.structure
    if structure is None:
        raise ValueError(
            f"`objective` has no `structure`, which is what {reader} reads: that its examples are seen through x̃·θ "
            "alone. ls.neuron says so by itself (with_data leaves it out: make a neuron of the other data); of your "
            'own losses say so by Objective(…, structure=ls.LinearModel(features, labels, ls.pointwise_loss("…"))).'
        )
    named = _trees.named_leaves(_trees.floating(objective.params))  # what moves
    leaves = [name for name in structure.leaves if name in named]
    sizes = [int(np.size(named[name])) for name in leaves]
    features = np.asarray(structure.features, np.float64)
    if set(leaves) != set(named) or sum(sizes) != features.shape[1]:
        raise ValueError(
            f"`objective.structure` has {features.shape[1]} columns for the leaves {', '.join(structure.leaves)}; the "
            f"params are {_trees.layout(objective.params)}. Give one column an entry, and name the leaves in order."
        )
    given = structure.weights
    weights = np.ones(len(features)) if given is None else np.asarray(given, np.float64)
    if objective.reduction == "mean":
        if not weights.any():
            raise ValueError("`objective.structure.weights` are all 0, and their mean is none; weigh some examples.")
        given, weights = weights, weights / weights.sum()
        weights = np.where(given > 0, np.maximum(weights, np.finfo(np.float64).tiny), weights)  # what counts, counts
    entries = _trees.entry_names(objective.params)
    names = tuple(entry for name in leaves for entry in entries[name])
    moving = _trees.floating(objective.params)
    l1, l2 = (_flat(tree, named, leaves) for tree in objective.penalty.coefficients(moving))
    labels = np.asarray(structure.labels, np.float64)
    model = Linear(features, labels, weights, structure.loss, l1, l2, names, objective.params)
    if not isinstance(objective.losses, NeuronLosses):
        _check_agreement(objective, model)
    return model


def _check_agreement(objective: Objective, model: Linear) -> None:
    """Raise ValueError where the objective's own losses have another risk than what its structure says."""
    rng = np.random.default_rng(0)
    size = np.abs(model.features).max(axis=0, initial=0.0)
    for _ in range(2):
        theta = rng.normal(size=len(size)) / np.where(size > 0, size * np.sqrt(len(size)), 1.0)
        params = jax.tree.map(lambda own, new: jnp.asarray(new, own.dtype), objective.params, model.params(theta))
        found = float(objective.risk(params))
        losses = model.loss(jnp.asarray(model.features @ model.theta(params)), jnp.asarray(model.labels))
        wanted = float(model.weights @ np.asarray(losses, np.float64))
        if not abs(found - wanted) <= AGREEMENT * (1 + abs(wanted)):
            raise ValueError(
                f"`structure` contradicts `losses`: at params {params} the risk is {found:.6g} by the losses and "
                f"{wanted:.6g} by the structure. Give it the features, labels, weights and loss that the losses "
                "compute with, and the leaves in the order of its columns."
            )


def _flat(tree: Any, named: dict[str, Any], leaves: Sequence[str]) -> np.ndarray:
    """Coefficients, numbers or arrays, one an entry (p,)."""
    own = dict(zip(named, jax.tree.leaves(tree), strict=True))
    return np.concatenate([np.broadcast_to(np.asarray(own[n], np.float64), np.shape(named[n])).ravel() for n in leaves])


def _order(named: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    """The leaves in the order of the columns."""
    return list(dict.fromkeys(name if name in named else name.rpartition("[")[0] for name in names))
