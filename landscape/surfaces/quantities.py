"""Quantities: what is measured at a cell, added up over batches.

A quantity is a frozen dataclass (equal by value: it is a static argument of the compiled tile) with

    accumulate(point, batch) -> sums        one batch's share, a tree of arrays
    merge(sums, sums) -> sums               two shares together
    finish(point, sums, sweep) -> {name: array}

The engine maps it over cells; no array of the params' size leaves the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.charts.chart import Chart
from landscape.objectives import penalties
from landscape.objectives.objective import Batch, Losses, reduced, weighted_sum
from landscape.objectives.objective import losses_and_weights as losses_of
from landscape.surfaces.sweep import Sweep

BUILT_IN = {
    "risk": "risk",
    "risk_stderr": "standard error of the risk",
    "risk_gradient_norm": "norm of the risk's gradient",
    "slope": "in-chart gradient of the risk",
    "finite": "whether risk, objective and gradient are finite",
    "penalty_value": "penalty",
    "penalty_unit": "penalty at strength 1",
    "objective": "objective",
    "gradient_norm": "norm of the objective's gradient",
}


class Point(NamedTuple):
    """Where a cell is: params = chart.point(coordinates)."""

    params: Params
    coordinates: Array  # (k,)
    chart: Chart


class Quantity(Protocol):
    """What a user's own quantity provides; see the module's docstring."""

    def accumulate(self, point: Point, batch: Batch) -> Any: ...

    def merge(self, a: Any, b: Any) -> Any: ...

    def finish(self, point: Point, sums: Any, sweep: Sweep) -> dict[str, Array]: ...


class RiskSums(NamedTuple):
    """Running sums of one cell. With weights w: W = Σw, L = Σwl; moments about the running mean of l."""

    loss: Array  # L
    carry: Array  # what rounding lost from L so far (Neumaier 1974)
    weight: Array  # W
    squares: Array  # Σw²
    first: Array  # Σw²(l − m), m = L/W
    second: Array  # Σw²(l − m)²
    gradient: Params  # Σ w∇l in float32 or wider, or None
    gradient_carry: Params


@dataclass(frozen=True)
class Risk:
    """Risk and objective of a cell, with its standard error, gradient norms and in-chart slope on request."""

    losses: Losses
    reduction: str
    stderr: bool = False
    gradient_norm: bool = False
    slope: bool = False

    def accumulate(self, point: Point, batch: Batch) -> RiskSums:
        """The sums over one batch."""

        def mean(params: Params) -> tuple[Array, tuple[Array, Array]]:
            loss, weight = weighted_sum(self.losses, params, batch)
            return _mean(loss, weight), (loss, weight)

        gradient = None
        if self.gradient_norm or self.slope:
            # Of the mean, and widened before it is multiplied: a sum over examples overflows float16.
            (_, (loss, weight)), gradient = jax.value_and_grad(mean, has_aux=True)(point.params)
            gradient = jax.tree.map(lambda g: g.astype(_trees.wide(g)) * weight.astype(_trees.wide(g)), gradient)
        else:
            loss, weight = weighted_sum(self.losses, point.params, batch)
        zero = jnp.zeros_like(loss)
        moments = self._moments(point, batch, _mean(loss, weight)) if self.stderr else (zero, zero, zero)
        return RiskSums(loss, zero, weight, *moments, gradient, jax.tree.map(jnp.zeros_like, gradient))

    def _moments(self, point: Point, batch: Batch, mean: Array) -> tuple[Array, Array, Array]:
        # About the batch's own mean: Σl² − nm² would cancel where the losses are nearly equal.
        values, weights = losses_of(self.losses, point.params, batch)
        weights, values = weights.astype(mean.dtype), values.astype(mean.dtype)
        squares, away = jnp.square(weights), jnp.where(weights == 0, 0, values - mean)
        return jnp.sum(squares), jnp.sum(squares * away), jnp.sum(squares * jnp.square(away))

    def merge(self, a: RiskSums, b: RiskSums) -> RiskSums:
        """Both shares: sums by compensated addition, moments about the joint mean (Chan et al. 1983)."""
        loss, carry = a.loss + b.loss, a.carry + b.carry + _lost(a.loss, b.loss)
        weight = a.weight + b.weight
        first, second = jnp.zeros_like(a.first), jnp.zeros_like(a.second)
        for part in (a, b) if self.stderr else ():
            shift = _mean(part.loss + part.carry, part.weight) - _mean(loss + carry, weight)
            first += part.first + shift * part.squares
            second += part.second + 2 * shift * part.first + jnp.square(shift) * part.squares
        gradient = jax.tree.map(jnp.add, a.gradient, b.gradient)
        lost = jax.tree.map(_lost, a.gradient, b.gradient)
        gradient_carry = jax.tree.map(lambda u, v, w: u + v + w, a.gradient_carry, b.gradient_carry, lost)
        return RiskSums(loss, carry, weight, a.squares + b.squares, first, second, gradient, gradient_carry)

    def finish(self, point: Point, sums: RiskSums, sweep: Sweep) -> dict[str, Array]:
        """The cell's variables: penalty_unit (U,), gradient_norm (P,), …; the engine derives what follows from them."""
        risk = reduced(sums.loss + sums.carry, sums.weight, self.reduction)
        unit = jax.vmap(lambda a, b: penalties.value(a, b, point.params))(sweep.unit_alpha, sweep.unit_beta)
        out = {"risk": risk, "penalty_unit": unit.astype(risk.dtype)}
        if self.stderr:
            # √(n/(n−1)) as for a sample's standard deviation; with unequal weights n is their effective number.
            effective = jnp.square(sums.weight) / sums.squares
            spread = jnp.sqrt(sums.second * effective / (effective - 1))
            out["risk_stderr"] = reduced(spread, sums.weight, self.reduction)
        if sums.gradient is not None:
            gradient = jax.tree.map(
                lambda g, carry: reduced(g + carry, sums.weight.astype(g.dtype), self.reduction),
                sums.gradient,
                sums.gradient_carry,
            )
            out |= self._derivatives(point, gradient, sweep)
        return out

    def _derivatives(self, point: Point, gradient: Params, sweep: Sweep) -> dict[str, Array]:
        out = {}
        if self.slope:
            _, pull = jax.vjp(lambda c: point.chart.point(tuple(c)), point.coordinates)
            out["slope"] = pull(jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, point.params))[0]
        if self.gradient_norm:
            out["risk_gradient_norm"] = _trees.norm(gradient)

            # By its definition: ‖g‖² + 4λ g·θ + 4λ²‖θ‖² would cancel near the minimizer, where it matters most.
            def norm(alpha: Params, beta: Params) -> Array:
                return _trees.norm(penalties.subgradient(alpha, beta, point.params, gradient))

            out["gradient_norm"] = jax.vmap(norm)(sweep.alpha, sweep.beta)
        return out


def _lost(a: Array, b: Array) -> Array:
    """What rounding loses from a + b (Neumaier 1974)."""
    total = a + b
    return jnp.where(jnp.abs(a) >= jnp.abs(b), (a - total) + b, (b - total) + a)


def _mean(total: Array, weight: Array) -> Array:
    """total / weight; 0 for a batch of padding alone, whose 0/0 would reach the moments of all."""
    nothing = weight == 0
    return jnp.where(nothing, 0, total / jnp.where(nothing, 1, weight))
