"""Curvature as an operator: v ↦ Bv for a symmetric matrix B over params, never formed.

    hessian         B = ∇²R + ∇²Ω
    gauss_newton    B = Σ wᵢ JᵢᵀHᵢJᵢ / Σ wᵢ + ∇²Ω,   Jᵢ = ∂fᵢ/∂θ of the outputs, Hᵢ the Hessian of the loss by them
    fisher          B = Σ wᵢ ∇lᵢ∇lᵢᵀ / Σ wᵢ + ∇²Ω    (the empirical one: of the labels that are there)

A product is linear in v: what depends on the params alone is computed once and shared by all products of a compiled
call (`jax.linearize`; Pearlmutter 1994). Sums over batches are weighted by the examples' weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _cost, _trees
from landscape._trees import Params
from landscape.objectives import data as _data
from landscape.objectives import footprint
from landscape.objectives.data import Batch, Batches, num_examples
from landscape.objectives.objective import Losses, Objective, check_objective, losses_and_weights
from landscape.objectives.split import Split
from landscape.operators import _kinks, _linear, _parts
from landscape.operators._linear import Inputs, Program

PRECISION = "highest"
KINDS = {
    "hessian": "Hessian",
    "gauss_newton": "generalized Gauss–Newton matrix",
    "fisher": "empirical Fisher matrix",
}
LOCALIZED = 256  # examples a batch in which a NaN is looked for


@dataclass(frozen=True, eq=False, repr=False)
class Curvature:
    """A symmetric operator over the chosen leaves of the params of an objective. Made by `curvature`."""

    objective: Objective
    params: Params
    program: Program
    inputs: Inputs

    def __repr__(self) -> str:
        leaves = ", ".join(_trees.named_leaves(self.inputs.moving))
        return f"Curvature({self.name}, {self.size} × {self.size}, over {leaves})"

    @cached_property
    def size(self) -> int:
        """Number of entries of the chosen leaves."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.inputs.moving))

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return KINDS[self.program.kind]

    @property
    def dtype(self) -> np.dtype:
        """The dtype of inner products."""
        return _trees.wide_of(self.inputs.moving)

    @property
    def resident(self) -> bool:
        """Whether all data are in memory: a whole iteration is then one compiled program."""
        return _data.in_memory(self.objective.data)

    def __call__(self, vector: Params) -> Params:
        """Bv of a tree like the chosen leaves, or like the params; frozen and other leaves are None.

        Raises: ValueError for a tree of another structure or other shapes.
        """
        moving = self.inputs.moving
        given = _parts.vector_like(moving, vector)
        if self.resident:
            with jax.default_matmul_precision(PRECISION):
                return _linear.product(self.program, self.inputs, given)
        block = jax.tree.map(lambda own, v: jnp.asarray(v, _trees.wide(own))[None], moving, given)
        return jax.tree.map(lambda leaf: leaf[0], self.times(block))

    def times(self, block: Params) -> Params:
        """Bv of several vectors, leaves (b, *leaf)."""
        with jax.default_matmul_precision(PRECISION):
            if self.resident:
                return _linear.times(self.program, self.inputs, block)
            total, weight = None, 0.0
            for batch in _data.batches(self.objective.data, self.program.size):
                part, share = _linear.share(self.program, self.inputs._replace(data=batch), block)
                total = part if total is None else jax.tree.map(jnp.add, total, part)
                weight = weight + share
            return _linear.finished(self.program, self.inputs, block, total, jnp.asarray(weight))

    def refuse(self, block: Params) -> NoReturn:
        """Raise ValueError: a product is not finite, and which batch makes it so."""
        raise ValueError(
            f"`objective`: a product with the {self.name} is not finite {self._where(block)}. Are params and data "
            "finite, and the losses twice differentiable there? A square root or a logarithm of 0 has no derivative."
        )

    def _where(self, block: Params) -> str:
        step = min(self.program.size or LOCALIZED, LOCALIZED)
        step = num_examples(self.objective.data) if self.objective.prepare is not None else step
        first = 0
        for i, batch in enumerate(_data.batches(self.objective.data, step)):
            count = num_examples(batch)
            part, share = self._part(batch, block)
            if not all(np.isfinite(leaf).all() for leaf in (*jax.tree.leaves(part), share)):
                return f"on batch {i} (examples {first} to {first + count - 1})"
            first += count
        return "when all batches are added up"

    def _part(self, batch: Batch, block: Params) -> tuple[Params, Array]:
        program = self.program._replace(size=num_examples(batch))
        with jax.default_matmul_precision(PRECISION):
            return _linear.share(program, self.inputs._replace(data=batch), block)


def curvature(
    objective: Objective,
    params: Params,
    *,
    kind: str = "hessian",
    leaves: str | Sequence[str] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
) -> Curvature:
    """The Hessian, Gauss–Newton or empirical Fisher matrix of an objective at params, as an operator v ↦ Bv.

        hessian         ∇²R + ∇²Ω
        gauss_newton    Σ wᵢ JᵢᵀHᵢJᵢ / Σ wᵢ + ∇²Ω      Jᵢ = ∂fᵢ/∂θ of the outputs f, Hᵢ = ∂²lᵢ/∂f²
        fisher          Σ wᵢ ∇lᵢ∇lᵢᵀ / Σ wᵢ + ∇²Ω      of the labels that are there: the empirical one

    (sums without Σ wᵢ under reduction="sum"). Without the penalty: `objective.with_penalty(ls.none())`.
    params:     where; a tree like the objective's.
    kind:       "gauss_newton" wants losses in two steps: those of `ls.neuron`, `ls.mlp`, or `ls.SplitLosses`.
    leaves:     names of leaves, or of what holds them ("layer1"): B is then their diagonal block. All that move by
                default. `ls.layers(params)` lists them layer by layer.
    batch_size: examples at a time; by default what `memory` holds, all of them if it can. `Batches` come in their own
                sizes.
    memory:     bytes that temporaries may take (default 2 GiB on CPU).

    Products are at precision "highest", in each leaf's own dtype, and returned in float32 or wider. A loss with kinks
    (relu, max pooling, |θ|) has no Hessian on them; beside them it is that of the smooth piece around params, and the
    jump of the slope across a kink is in no Hessian. `kinks` says what there is.
    Returns: a `Curvature`: call it with a tree like params; `size` is its dimension.
    Raises: ValueError or TypeError, naming the argument.
    References: Pearlmutter 1994; Schraudolph 2002; Kunstner, Balles & Hennig 2019 (of the empirical Fisher matrix).

        >>> import landscape as ls
        >>> saddle = ls.function(lambda p: p["x"] ** 2 - 3 * p["x"] * p["y"], {"x": 0.0, "y": 0.0})
        >>> product = ls.curvature(saddle, saddle.params)({"x": 1.0, "y": 0.0})
        >>> float(product["x"]), float(product["y"])
        (2.0, -3.0)
    """
    check_objective(objective)
    _checks.one_of("kind", kind, KINDS)
    if batch_size is not None:
        _checks.count("batch_size", batch_size)
    if memory is not None:
        _checks.count("memory", memory, least=2**20, unit=" bytes")
    _checks.x64_matches("objective", objective.params)
    _parts.check_real(params)
    params = objective._read(params)
    moving = _parts.chosen(params, leaves)
    split = objective.losses if isinstance(objective.losses, Split) else None
    _check_kind(objective, kind, split)
    _, beta = objective.penalty.coefficients(_trees.floating(objective.params))
    shift = jax.tree.map(lambda leaf, b: 2 * np.asarray(b, _trees.wide(leaf)), moving, _parts.like(moving, beta))
    program = Program(objective.traced_losses, split if kind == "gauss_newton" else None, kind, objective.reduction, 0)
    program = program._replace(size=_size(objective, batch_size, memory))
    data = objective.data if _data.in_memory(objective.data) else None
    return Curvature(objective, params, program, Inputs(moving, params, data, shift))


def kinks(objective: Objective) -> tuple[str, ...]:
    """What in the losses and the penalty may have kinks in the params: ("relu", "max", …); () where none was found.

    Found in the traced program: a maximum, an absolute value, or a choice by comparison of what depends on params; not
    what else is written so that it has one, such as √(θ²). On a kink there is no Hessian; beside it, it is that of the
    smooth piece around the params.

        >>> import landscape as ls
        >>> networks = ls.mlp((1, 3, 1), activation="relu"), ls.mlp((1, 3, 1), activation="tanh")
        >>> [ls.kinks(network.objective([[0.0], [1.0]], [0.0, 1.0])) for network in networks]
        [('relu',), ()]
    """
    check_objective(objective)
    shapes = _trees.shapes(objective.params), _trees.shapes(_data.first_batch(objective.data))
    alpha, _ = objective.penalty.coefficients(_trees.floating(objective.params))
    absolute = any(np.any(np.asarray(leaf) > 0) for leaf in jax.tree.leaves(alpha))
    return (*_found(objective.traced_losses, *shapes), *(("|θ| of the penalty",) if absolute else ()))


@lru_cache(maxsize=256)
def _found(losses: Losses, params: _trees.Shapes, data: _trees.Shapes) -> tuple[str, ...]:
    def values(params: Params, batch: Batch) -> Array:
        return losses_and_weights(losses, params, batch)[0]

    return _kinks.kinks(values, (_trees.from_shapes(params), _trees.from_shapes(data)), _trees.is_floating)


def _check_kind(objective: Objective, kind: str, split: Split | None) -> None:
    if kind == "gauss_newton" and split is None:
        raise ValueError(
            '`kind` is "gauss_newton", which needs the losses in two steps, model and loss function; give the '
            "objective ls.SplitLosses(outputs, losses_of)."
        )
    if kind == "gauss_newton" and objective.prepare is not None:
        raise ValueError('`kind` is "gauss_newton", which does not take an objective that prepares its params.')
    if kind != "hessian":
        shapes = (_trees.from_shapes(_trees.shapes(objective.params)), _data.first_batch(objective.data))
        if _cost.holds(jax.make_jaxpr(objective.traced_losses)(*shapes), "custom_vjp"):
            raise ValueError(
                f"`kind` is {kind!r}, which takes derivatives forwards, but the losses hold a jax.custom_vjp, a rule "
                'for reverse mode alone; write it with jax.custom_jvp, or take kind="hessian".'
            )


def _size(objective: Objective, batch_size: int | None, memory: int | None) -> int:
    """Examples at a time: what a product computes on the way, twice (of the vector too), within the budget."""
    data = objective.data
    if objective.prepare is not None:
        if batch_size is not None:
            raise ValueError(
                "`batch_size` is a part of the objective where params are prepared, because other batches have other "
                f"statistics: give Objective prepare_batch_size={batch_size} instead."
            )
        return num_examples(data)
    if isinstance(data, Batches):
        return 0
    n = num_examples(data)
    if batch_size is None:
        shapes = _trees.shapes(objective.params), _trees.shapes(_data.first_batch(data))
        each = 4 * footprint.computed(objective.traced_losses, *shapes) / n
        most = max(1, int(_cost.budget(memory) / max(1.0, each)))
        batch_size = -(-n // -(-n // min(most, n)))  # equal ones, as far as they can be
    return min(n, batch_size)


def about_kinks(found: tuple[str, ...], name: str = KINDS["hessian"]) -> list[str]:
    """What a number means where the losses have kinks, as a line of a text; no line where there are none."""
    if not found:
        return []
    if name != KINDS["hessian"]:
        return [f"There are kinks ({', '.join(found)}): derivatives are those of the smooth piece around the params."]
    return [
        f"There are kinks ({', '.join(found)}): this is the Hessian of the smooth piece around the params, "
        "without the jumps of the slope across kinks."
    ]
