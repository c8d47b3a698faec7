"""Quantities: what is measured at a cell, added up over batches.

A quantity is a frozen dataclass (equal by value: it is a static argument of the compiled tile) with

    accumulate(point, batch) -> sums        one batch's share, a tree of arrays
    merge(sums, sums) -> sums               two shares together
    finish(point, sums, sweep) -> {name: array}

The engine maps it over cells. For the mean of something per example, `Metric` is all there is to write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from landscape import _checks, _cost, _trees
from landscape._trees import Params
from landscape.charts.chart import Chart
from landscape.objectives.data import Batch, num_examples
from landscape.objectives.objective import Losses, Predict, losses_and_weights, reduced, weighted_sum
from landscape.surfaces._curved import CURVATURES
from landscape.surfaces.sweep import Sweep

BUILT_IN = {
    "risk": "risk",
    "risk_stderr": "standard error of the risk",
    "risk_gradient_norm": "norm of the risk's gradient",
    "slope": "in-chart gradient of the risk",
    "plane_hessian": "in-chart Hessian of the risk",
    "accuracy": "accuracy",
    "finite": "whether risk, objective and gradient are finite",
    "penalty_value": "penalty",
    "penalty_unit": "penalty at strength 1",
    "objective": "objective",
    "gradient_norm": "norm of the objective's gradient",
    "mean_curvature": "mean curvature of the risk in the chart",
    **CURVATURES,
}
GRADIENTS = ("risk_gradient_norm", "gradient_norm")  # need the gradient over all params

Values = Callable[[Sequence[Array]], tuple[Array, Array]]  # coordinates -> (n,) of a batch, and their weights


class Point(NamedTuple):
    """Where a cell is: params = chart.point(coordinates), prepared if the objective prepares them."""

    params: Params
    coordinates: Array  # (k,)
    chart: Chart


class Quantity(Protocol):
    """What a user's own quantity provides; see the module's docstring."""

    def accumulate(self, point: Point, batch: Batch) -> Any: ...

    def merge(self, a: Any, b: Any) -> Any: ...

    def finish(self, point: Point, sums: Any, sweep: Sweep) -> dict[str, Array]: ...


@dataclass(frozen=True)
class VersionedQuantity:
    """A quantity as a static argument: the same if it is equal, and computes what it did when traced."""

    quantity: Quantity
    version: str

    @property
    def is_accuracy(self) -> bool:
        """Whether it is the built-in accuracy, and none of the user's that is called so."""
        return isinstance(self.quantity, Metric) and isinstance(self.quantity.f, Accuracy)

    def accumulate(self, point: Point, batch: Batch) -> Any:
        """That of the quantity."""
        return self.quantity.accumulate(point, batch)

    def merge(self, a: Any, b: Any) -> Any:
        """That of the quantity."""
        return self.quantity.merge(a, b)

    def finish(self, point: Point, sums: Any, sweep: Sweep) -> dict[str, Array]:
        """That of the quantity."""
        return self.quantity.finish(point, sums, sweep)

    def __repr__(self) -> str:
        return repr(self.quantity)


class MetricSums(NamedTuple):
    """Running sums of one cell."""

    sums: tuple[Array, Array]  # Σwv, Σw
    carry: tuple[Array, Array]  # what rounding lost from each (Neumaier 1974)


@dataclass(frozen=True)
class Metric:
    """The weighted mean over the examples of f(params, batch) -> (n,), or (values, weights); a variable `name`.

    f is traced like losses, and matched by identity or, if it is a frozen dataclass, by value.
    Raises: TypeError or ValueError from `evaluate`, if the name is taken or f returns another shape.

        >>> import jax.numpy as jnp, numpy as np, landscape as ls
        >>> pair = ls.neuron(*ls.datasets.pair())
        >>> wrong = ls.Metric("error", lambda p, batch: (p["w"] * batch[0] + p["b"] > 0) != (batch[1] > 0.5))
        >>> axes = {"w": [-1.0, 1.0], "b": [0.0]}
        >>> ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes, quantities=[wrong]).error.values.ravel()
        array([1., 0.], dtype=float32)
    """

    name: str
    f: Callable[[Params, Batch], Any]

    def accumulate(self, point: Point, batch: Batch) -> MetricSums:
        """The sums over one batch."""
        out = self.f(point.params, batch)
        values, weights = out if isinstance(out, tuple) and len(out) == 2 else (out, None)
        for array in (values,) if weights is None else (values, weights):
            self._check(array, num_examples(batch))
        values = _checks.floating(values)
        values = values.astype(_trees.wide(values))
        weights = jnp.ones_like(values) if weights is None else weights.astype(values.dtype)
        sums = jnp.sum(jnp.where(weights == 0, 0, weights * values)), jnp.sum(weights)
        return MetricSums(sums, jax.tree.map(jnp.zeros_like, sums))

    def _check(self, array: Any, n: int) -> None:
        if not hasattr(array, "shape") or jnp.iscomplexobj(array):
            came = f"a tuple of {len(array)}" if isinstance(array, tuple) else _checks.kind(array)
            came = "complex numbers" if hasattr(array, "shape") else came
            raise TypeError(f"`{self.name}` returned {came}; wanted values ({n},), or a pair (values, weights).")
        if array.shape != (n,):
            raise ValueError(f"`{self.name}` returned shape {array.shape}; wanted ({n},), one an example.")

    def merge(self, a: MetricSums, b: MetricSums) -> MetricSums:
        """Both shares."""
        return MetricSums(*_added(a.sums, b.sums, a.carry, b.carry))

    def finish(self, point: Point, sums: MetricSums, sweep: Sweep) -> dict[str, Array]:
        """The weighted mean."""
        total, weight = jax.tree.map(jnp.add, sums.sums, sums.carry)
        return {self.name: total / weight}


@dataclass(frozen=True)
class Accuracy:
    """1 where `predict` is right: the largest of K scores, or a probability above ½ for labels 0 and 1.

    NaN where neither can be meant: scores that are NaN, a "probability" outside of [0, 1], labels of K entries that are
    not one-hot. Examples count as in the risk, by the weights that `losses` return beside theirs; None where they
    return none.
    """

    predict: Predict
    losses: Losses | None = None

    def __call__(self, params: Params, batch: Batch) -> Array | tuple[Array, Array]:
        """(n,) zeros, ones and NaN; with their weights. Raises ValueError where predictions and labels do not fit."""
        right = self.right(self.predict(params, batch[0]), batch[1])
        return right if self.losses is None else (right, losses_and_weights(self.losses, params, batch)[1])

    @staticmethod
    def right(out: Array, y: Array) -> Array:
        """(n,): whether outputs decide for the labels."""
        labels = jnp.argmax(y, axis=-1) if jnp.ndim(y) == 2 else y
        one_hot = jnp.shape(out) == jnp.shape(y)
        several = jnp.ndim(out) == 2 and out.shape[1] > 1
        if several and (one_hot or (jnp.ndim(y) == 1 and jnp.issubdtype(y.dtype, jnp.integer))):
            clear = ~jnp.isnan(out).any(axis=-1)
            if one_hot:
                clear &= jnp.all((y == 0) | (y == 1), axis=-1) & (jnp.sum(y, axis=-1) == 1)
            return jnp.where(clear, (jnp.argmax(out, axis=-1) == labels).astype(out.dtype), jnp.nan)
        if jnp.shape(out) == jnp.shape(y) and jnp.ndim(y) == 1:
            possible = (out >= 0) & (out <= 1)
            return jnp.where(possible, ((out > 0.5) == (y > 0.5)).astype(out.dtype), jnp.nan)
        raise ValueError(
            f'`quantities` has "accuracy", but predict returned shape {jnp.shape(out)} for labels of shape '
            f"{jnp.shape(y)} and dtype {y.dtype}; wanted scores (n, K) with integer or one-hot labels, or "
            "probabilities (n,), not logits, with labels 0 and 1. Else write an ls.Metric."
        )


class RiskSums(NamedTuple):
    """Running sums of one cell. With weights w: W = Σw; moments about the running mean m of the losses l."""

    # Σwl: "loss", W: "weight", Σw²: "squares"; Σw∇l over all params: "gradient", in the chart: "slope"; "hessian"
    sums: dict[str, Any]
    carry: dict[str, Any]  # what rounding lost from each (Neumaier 1974)
    first: Array  # Σw²(l − m)
    second: Array  # Σw²(l − m)²

    def total(self, name: str) -> Array:
        """A sum with what rounding lost from it."""
        return self.sums[name] + self.carry[name]


@dataclass(frozen=True)
class Risk:
    """Risk and objective of a cell; on request its standard error, gradient norms, in-chart slope and Hessian."""

    losses: Losses
    reduction: str
    stderr: bool = False
    gradient_norm: bool = False
    slope: bool = False
    hessian: bool = False
    mean_curvature: bool = False
    weights_are_counts: bool = False  # they say how often an example is there, not how much it matters

    def over_nodes(self, losses: Losses) -> Risk:
        """The same on nodes that stand for examples, whose weights these losses return."""
        return replace(self, losses=losses, weights_are_counts=True)

    def accumulate(self, values: Values, params: Params, coordinates: Array, batch: Batch) -> RiskSums:
        """The sums over one batch; `values` gives its losses anywhere in the chart, `params` are those of the cell."""
        if self.gradient_norm:
            loss, weight, sums = self._with_gradient(params, batch)
        else:
            each = values(tuple(coordinates))
            (loss, weight), sums = _total(each), {}
        if self.hessian or (self.slope and not self.gradient_norm):
            sums |= self._in_chart(values, coordinates)
        zero = jnp.zeros_like(loss)
        squares, *moments = zero, zero, zero
        if self.stderr:
            each = losses_and_weights(self.losses, params, batch) if self.gradient_norm else each
            squares, *moments = _moments(each, _mean(loss, weight), self.weights_are_counts)
        sums = {"loss": loss, "weight": weight.astype(loss.dtype), "squares": squares, **sums}
        return RiskSums(sums, jax.tree.map(jnp.zeros_like, sums), *moments)

    def _with_gradient(self, params: Params, batch: Batch) -> tuple[Array, Array, dict[str, Any]]:
        def mean(moving: Params) -> tuple[Array, tuple[Array, Array]]:
            loss, weight = weighted_sum(self.losses, _trees.merged(moving, params), batch)
            return _mean(loss, weight), (loss, weight)

        # Of the mean, and widened before it is multiplied: a sum over examples overflows float16.
        (_, (loss, weight)), gradient = jax.value_and_grad(mean, has_aux=True)(_trees.floating(params))
        return loss, weight, {"gradient": jax.tree.map(lambda g: _times(g, weight), gradient)}

    def _in_chart(self, values: Values, coordinates: Array) -> dict[str, Any]:
        def mean(*c: Array) -> Array:
            return _mean(*_total(values(c)))

        at, weight = tuple(coordinates), _total(values(tuple(coordinates)))[1]
        if _cost.holds(jax.make_jaxpr(mean)(*at), "custom_vjp"):  # a rule for reverse mode alone
            first = jax.grad(lambda c: mean(*c))(coordinates)
            second = jax.hessian(lambda c: mean(*c))(coordinates) if self.hessian else None
        else:
            first, second = _derivatives(mean, at, self.hessian)
        sums = {"slope": _times(first, weight)} if self.slope and not self.gradient_norm else {}
        return sums | ({"hessian": _times(second, weight)} if second is not None else {})

    def merge(self, a: RiskSums, b: RiskSums) -> RiskSums:
        """Both shares: sums by compensated addition, moments about the joint mean (Chan et al. 1983)."""
        sums, carry = _added(a.sums, b.sums, a.carry, b.carry)
        joint = RiskSums(sums, carry, jnp.zeros_like(a.first), jnp.zeros_like(a.second))
        for part in (a, b) if self.stderr else ():
            shift = _mean(part.total("loss"), part.total("weight")) - _mean(joint.total("loss"), joint.total("weight"))
            first = part.first + shift * part.total("squares")
            second = part.second + 2 * shift * part.first + jnp.square(shift) * part.total("squares")
            joint = joint._replace(first=joint.first + first, second=joint.second + second)
        return joint

    def finish(self, point: Point, sums: RiskSums, sweep: Sweep) -> dict[str, Array]:
        """The cell's variables: penalty_unit (U,), gradient_norm (P,), …; the engine derives what follows from them."""
        total = jax.tree.map(jnp.add, sums.sums, sums.carry)
        weight, squares = total.pop("weight"), total.pop("squares")
        mean = jax.tree.map(lambda leaf: reduced(leaf, weight.astype(leaf.dtype), self.reduction), total)
        moving = _trees.floating(point.params)
        out = {"risk": mean["loss"], "penalty_unit": sweep.unit_value(moving).astype(mean["loss"].dtype)}
        if self.stderr:
            # √(n/(n−1)) as for a sample's standard deviation; with unequal weights n is their effective number.
            effective = jnp.square(weight) / squares
            second = jnp.maximum(sums.second, 0) if self.weights_are_counts else sums.second  # nodes err, below 0 too
            spread = jnp.sqrt(second * effective / (effective - 1))
            out["risk_stderr"] = reduced(spread, weight, self.reduction)
        if self.hessian:
            out["plane_hessian"] = mean["hessian"]
        if self.mean_curvature:
            metric = _metric(point)
            out["mean_curvature"] = jnp.trace(jnp.linalg.solve(metric, mean["hessian"])) / len(metric)
        if self.slope:
            out["slope"] = self._pulled(point, mean["gradient"]) if self.gradient_norm else mean["slope"]
        if self.gradient_norm:
            out["risk_gradient_norm"] = _trees.norm(mean["gradient"])
            out["gradient_norm"] = sweep.gradient_norm(moving, mean["gradient"])
        return out

    def _pulled(self, point: Point, gradient: Params) -> Array:
        """The in-chart gradient from that over all params."""
        moving = _trees.floating(point.params)
        _, pull = jax.vjp(lambda c: _trees.floating(point.chart.point(tuple(c))), point.coordinates)
        return pull(jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, moving))[0]


def _metric(point: Point) -> Array:
    """⟨∂θ/∂cᵢ, ∂θ/∂cⱼ⟩ (k, k): the squared lengths of steps in the chart."""

    def along(i: int) -> Params:
        one = jnp.zeros_like(point.coordinates).at[i].set(1)
        moving = lambda c: _trees.floating(point.chart.point(tuple(c)))  # noqa: E731
        return jax.jvp(moving, (point.coordinates,), (one,))[1]

    tangents = [along(i) for i in range(len(point.coordinates))]
    dtype = point.coordinates.dtype
    return jnp.stack([jnp.stack([_trees.vdot(a, b).astype(dtype) for b in tangents]) for a in tangents])


def _total(values: tuple[Array, Array] | Array) -> tuple[Array, Array]:
    """(Σwl, Σw) of losses with or without weights."""
    return weighted_sum(lambda _, batch: batch, None, values)


def _derivatives(f: Callable[..., Array], at: tuple[Array, ...], second: bool) -> tuple[Array, Array | None]:
    """Gradient and Hessian of f in one to three scalars, forward, an entry at a time.

    Not vmapped over unit vectors: every entry then shares f's value, and all second derivatives the first ones, which
    the compiler sees; against jax.hessian 2 times faster on the digits' MLP and 90 times on a CNN, whose derivative by
    its kernels XLA's CPU backend computes slowly (benchmarks/planes.py).
    """

    def along(f: Callable[..., Array], i: int) -> Callable[..., Array]:
        def derivative(*c: Array) -> Array:
            return jax.jvp(lambda x: f(*c[:i], x, *c[i + 1 :]), (c[i],), (jnp.ones_like(c[i]),))[1]

        return derivative

    k = range(len(at))
    first = [along(f, i) for i in k]
    gradient = jnp.stack([d(*at) for d in first])
    if not second:
        return gradient, None
    upper = {(i, j): along(first[i], j)(*at) for i in k for j in k if i <= j}
    return gradient, jnp.stack([jnp.stack([upper[min(i, j), max(i, j)] for j in k]) for i in k])


def _moments(values: tuple[Array, Array] | Array, mean: Array, counts: bool) -> tuple[Array, Array, Array]:
    # About the batch's own mean: Σl² − nm² would cancel where the losses are nearly equal.
    values, weights = values if isinstance(values, tuple) else (values, jnp.ones_like(values))
    weights, values = weights.astype(mean.dtype), values.astype(mean.dtype)
    squares, away = weights if counts else jnp.square(weights), jnp.where(weights == 0, 0, values - mean)
    return jnp.sum(squares), jnp.sum(squares * away), jnp.sum(squares * jnp.square(away))


def _times(leaf: Array, weight: Array) -> Array:
    return leaf.astype(_trees.wide(leaf)) * weight.astype(_trees.wide(leaf))


def _added(a: Any, b: Any, carry_a: Any, carry_b: Any) -> tuple[Any, Any]:
    """(a + b, what rounding has lost so far): compensated addition of trees (Neumaier 1974)."""

    def lost(a: Array, b: Array, total: Array) -> Array:
        error = jnp.where(jnp.abs(a) >= jnp.abs(b), (a - total) + b, (b - total) + a)
        return jnp.where(jnp.isfinite(total), error, 0)  # ∞ − ∞ would make NaN of ∞

    total = jax.tree.map(jnp.add, a, b)
    return total, jax.tree.map(lambda u, v, *parts: u + v + lost(*parts), carry_a, carry_b, a, b, total)


def _mean(total: Array, weight: Array) -> Array:
    """total / weight; 0 for a batch of padding alone, whose 0/0 would reach the moments of all."""
    nothing = weight == 0
    return jnp.where(nothing, 0, total / jnp.where(nothing, 1, weight))
