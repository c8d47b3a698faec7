"""`scale_sweep`: what multiplying the weights by a number does to the risk, to the decisions, and to the units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts.plane import Plane
from landscape.objectives import data as _data
from landscape.objectives import penalties
from landscape.objectives.activations import Activation
from landscape.objectives.data import Batch
from landscape.objectives.losses import HalfSquaredError
from landscape.objectives.models import NeuronLosses
from landscape.objectives.objective import Losses, Objective, Predict, check_objective, losses_and_weights
from landscape.objectives.preparation import Preparation
from landscape.surfaces import _means
from landscape.surfaces import saturation as _saturation
from landscape.surfaces.evaluate import evaluate
from landscape.surfaces.quantities import Accuracy, Point, Quantity
from landscape.surfaces.saturation import Saturation
from landscape.surfaces.sweep import Sweep

if TYPE_CHECKING:
    import xarray

LOOKED_AT = 1024  # examples that show what `predict` returns
SUM_ROUNDING = 1e-2  # how far the sum of K probabilities may be from 1: bfloat16 rounds each to 4e-3 of itself

LABELS = {
    "agreement": "share of decisions that are those at scale 1",
    "accuracy": "accuracy",
    "confidence": "mean probability of the decision",
    "output_change": "mean change of the output since scale 1",
    "saturated": "share of saturated units",
    "mean_derivative": "mean |f'| of the units",
}


def scale_sweep(
    objective: Objective, params: Params, scales: Any, *, scope: Any = "weights", saturation: Saturation | None = None
) -> xarray.Dataset:
    """Multiply the weights by each of `scales`: what changes in the risk, what in the decisions, told apart.

        θ(c) = c·θ within the scope, θ outside of it        R(θ(c)), J(θ(c)), h(x; θ(c)) against h(x; θ)

    params:     like the objective's: the weights at scale 1.
    scales:     factors c, 1-D, such as np.logspace(-3, 3, 61). Negative ones turn the weights around: the scores of one
                layer without biases change their sign.
    scope:      "weights" (leaves whose last path key is w, W, kernel, weight or embedding), "all", or a mask, a tree of
                booleans, as in `ls.l2`.
    saturation: from `ls.saturation(objective, preactivations, activation)`; a neuron has its own.
    Returns: a Dataset over `scale`, the surface of `evaluate` on the line through θ, with

        risk, objective, penalty_value, finite, …   as everywhere
        output_change   mean over examples and outputs of |h(x; θ(c)) − h(x; θ)|
        agreement       share of the examples whose decision is that at scale 1
        accuracy        share of the examples whose decision is right
        confidence      mean probability of the decision: of the softmax of K scores, or of `predict`'s own
                        probabilities; max(p, 1 − p) of a probability p
        saturated, mean_derivative                  see `ls.saturation`

    What is decided is what the accuracy of `evaluate` counts: the largest of K scores, or whether a probability (n,)
    exceeds ½. A neuron of another activation than the sigmoid decides whether f(z) exceeds f(0). NaN where an output is
    no decision (a "probability" of 2). Equal scores decide for the first class, as do probabilities of ½: at scale 0,
    and where a scale is so small that they are equal to rounding. Means are weighted as the risk is; all is computed in
    the objective's dtype.
    output_change needs an objective with `predict` and data (x, …); agreement and confidence also that its outputs
    decide something, and accuracy that the data are (x, labels) which fit. What is not there, and why, is said by the
    attribute `not_measured`.

    Where f is linear, or relu without biases, f(c·z) = c·f(z) for c > 0: outputs are rescaled, decisions stay. Sigmoid
    and tanh saturate: behind a tanh (1, 0.1) is nearly as unequal as before, (100, 10) is (1, 1).
    Raises: ValueError or TypeError, naming the argument; ValueError where the scope matches no leaf, or zeros only.

        >>> import landscape as ls
        >>> pair = ls.neuron(*ls.datasets.pair())
        >>> found = ls.scale_sweep(pair, {"w": 1.0, "b": 0.0}, [0.1, 1.0, 100.0])
        >>> found.risk.values.round(3), found.agreement.values, found.saturated.values
        (array([0.644, 0.313, 0.   ], dtype=float32), array([1., 1., 1.], dtype=float32),
         array([0., 0., 1.], dtype=float32))
    """
    check_objective(objective)
    objective = objective.with_params(params)
    line = _line(objective.params, scope)
    quantities: list[Quantity] = []
    if saturation is None and isinstance(objective.losses, NeuronLosses):
        saturation = _saturation.saturation(objective)
    if saturation is not None:
        quantities.append(_checked_saturation(saturation, objective))
    measured = _readable(objective)
    if measured.outputs is not None:
        quantities.append(measured.outputs)
    surface = evaluate(objective, line, {"scale": _checked_scales(scales)}, quantities=quantities)
    for name, label in LABELS.items():
        if name in surface:
            surface[name].attrs["long_name"] = label
    weights = isinstance(scope, str) and scope == "weights"
    surface["scale"].attrs["long_name"] = "scale of the weights" if weights else "scale of the params"
    return surface.assign_attrs(not_measured=measured.why_not)


def _checked_scales(scales: Any) -> np.ndarray:
    array = _checks.numeric("scales", scales)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"`scales` has shape {array.shape}; give factors, 1-D, such as np.logspace(-2, 2, 41).")
    _checks.finite("scales", array, "Give finite factors")
    return array


def _checked_saturation(given: Any, objective: Objective) -> Saturation:
    _checks.instance("saturation", given, Saturation, "ls.saturation(objective, preactivations, activation)")
    if given.losses != objective.losses:
        raise ValueError(
            "`saturation` was made for an objective with other losses, whose weights it would use; make it of this "
            "one: ls.saturation(objective, preactivations, activation)."
        )
    return given


def _line(params: Params, scope: Any) -> Plane:
    """θ(c): what the scope leaves out, plus c times what is in it."""
    moving = _trees.floating(params)
    inside, _ = penalties.l1(1.0, scope=scope).coefficients(moving)  # 1 in the scope, 0 outside
    for name, leaf in _trees.named_leaves(moving).items():
        _checks.finite(f"params {name!r}" if name else "params", _trees.as_numbers(leaf), "Give finite params")

    def part(wanted: bool) -> Params:
        return jax.tree.map(lambda p, m: jnp.where((np.asarray(m) > 0) == wanted, p, jnp.zeros_like(p)), moving, inside)

    direction = part(True)
    if not any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(direction)):
        raise ValueError(
            f"`params` are 0 wherever `scope` is ({_trees.layout(params)}): multiplying them changes nothing. Give "
            "trained params, or another scope."
        )
    return Plane(_trees.merged(part(False), params), (direction,), names=("scale",))


@dataclass(frozen=True)
class Outputs:
    """The quantity that compares the outputs of a cell with those at scale 1. Equal by value."""

    losses: Losses
    predict: Predict
    preparation: Preparation | None
    decide: bool = False  # outputs are decisions
    labeled: bool = False  # and a batch is (x, labels, …), labels that fit them
    probabilities: bool = False  # K outputs are probabilities, no scores
    boundary: float | None = None  # outputs above it decide for 1, of a neuron whose outputs are no probabilities

    def accumulate(self, point: Point, batch: Batch) -> _means.Sums:
        """The sums over one batch."""
        x = batch[0]
        # The chart is the same in all cells, so that they share this one computation.
        start = point.chart.point((jnp.ones_like(point.coordinates[0]),))
        start = start if self.preparation is None else self.preparation(start, batch)
        out, before = (_wide(self.predict(params, x)) for params in (point.params, start))
        change = jnp.abs(out - before).reshape(len(out), -1)
        values = {"output_change": jnp.mean(change, axis=1)}
        if self.decide:
            values["agreement"] = agreement(*(scores(outputs, self.boundary) for outputs in (out, before)))
        if self.decide and self.boundary is None:
            chosen = confidence(out, self.probabilities)
            values["confidence"] = jnp.where(jnp.isnan(values["agreement"]), jnp.nan, chosen)
        if self.labeled:
            values["accuracy"] = right(out, batch[1])
        return _means.accumulate(values, losses_and_weights(self.losses, point.params, batch)[1], point, batch)

    def merge(self, a: _means.Sums, b: _means.Sums) -> _means.Sums:
        """Both shares."""
        return _means.merge(a, b)

    def finish(self, point: Point, sums: _means.Sums, sweep: Sweep) -> dict[str, Array]:
        """The means over all examples."""
        return _means.finish(point, sums, sweep)


def scores(outputs: Array, boundary: float | None) -> Array:
    """Outputs (n,) beside the boundary as two scores (n, 2); as they are where there is none."""
    return outputs if boundary is None else jnp.stack([jnp.full_like(outputs, boundary), outputs], axis=1)


def right(outputs: Array, labels: Array) -> Array:
    """(n,) 1 where outputs decide for the label, 0 where not, NaN where nothing is decided: the rule of `Accuracy`."""
    return Accuracy.right(outputs, labels)


def agreement(outputs: Array, before: Array) -> Array:
    """(n,) 1 where both decide the same, 0 where not, NaN where one of them decides nothing."""
    labels = jnp.argmax(before, axis=-1) if before.ndim == 2 else before  # a probability is a label to `Accuracy`
    return right(outputs, labels) * right(before, labels)  # the second is 1, or NaN


def confidence(outputs: Array, probabilities: bool) -> Array:
    """(n,) probability of what is decided; NaN where outputs that should be probabilities are none."""
    if outputs.ndim == 1:
        return jnp.maximum(outputs, 1 - outputs)
    if probabilities:
        return jnp.where(_are_probabilities(outputs), jnp.max(outputs, axis=-1), jnp.nan)
    return jnp.max(jax.nn.softmax(outputs, axis=-1), axis=-1)


def _are_probabilities(outputs: Array) -> Array:
    return jnp.all(outputs >= 0, axis=-1) & (jnp.abs(jnp.sum(outputs, axis=-1) - 1) <= SUM_ROUNDING)


def _wide(outputs: Array) -> Array:
    outputs = _checks.floating(outputs)
    return outputs.astype(_trees.wide(outputs))


class _Readable(NamedTuple):
    """What can be measured of an objective's outputs, and why the rest cannot."""

    outputs: Outputs | None
    why_not: str = ""


def _readable(objective: Objective) -> _Readable:
    """Found out from the outputs at scale 1, of the first examples."""
    if objective.predict is None:
        return _Readable(None, "output_change, agreement, confidence, accuracy: the objective has no predict")
    _checks.hashable("predict", objective.predict)
    preparation = objective.preparation
    read = Outputs(objective.losses, objective.predict, preparation)
    batch = next(iter(_data.batches(objective.data, LOOKED_AT if preparation is None else objective.n)))
    if not isinstance(batch, (tuple, list)) or not batch:
        return _Readable(None, "output_change, agreement, confidence, accuracy: the data are no tuple (x, …)")
    params = objective.params if preparation is None else preparation(objective.params, batch)
    out = _checked_outputs(objective.predict(params, batch[0]), _data.num_examples(batch))
    if not (out.ndim == 1 or (out.ndim == 2 and out.shape[1] > 1)):
        return _Readable(read, f"agreement, confidence, accuracy: outputs {out.shape} are no (n, K) or (n,)")
    f = _activation(objective)
    if f is not None:
        read = replace(read, decide=True, boundary=float(f(0.0)))
        return _Readable(read, f"confidence, accuracy: outputs of {f.name} are no probabilities")
    if jnp.isnan(agreement(out, out)).any():
        return _Readable(
            read,
            "agreement, confidence, accuracy: outputs at scale 1 are NaN, or no probabilities; let predict return "
            "scores (n, K), dataclasses.replace(objective, predict=…)",
        )
    read = replace(read, decide=True, probabilities=out.ndim == 2 and bool(_are_probabilities(out).all()))
    why_not = _unlabeled(out, batch, isinstance(objective.losses, NeuronLosses))
    return _Readable(replace(read, labeled=not why_not), why_not and f"accuracy: {why_not}")


def _activation(objective: Objective) -> Activation | None:
    """That of a neuron whose outputs are no probabilities."""
    losses = objective.losses
    loss = losses.loss if isinstance(losses, NeuronLosses) else None
    return loss.activation if isinstance(loss, HalfSquaredError) and loss.activation.name != "sigmoid" else None


def _unlabeled(out: Array, batch: Batch, weighted: bool) -> str:
    """Why it is not known which outputs are right; "" where it is."""
    if len(batch) != 2 and not (weighted and len(batch) == 3):
        return "the data are no pair (x, labels)"
    if not hasattr(batch[1], "dtype"):
        return f"the labels are {_checks.kind(batch[1])}"
    try:
        return "labels are not one-hot" if jnp.isnan(right(out, jnp.asarray(batch[1]))).any() else ""
    except ValueError:  # the rule's own, that shapes do not fit
        return f"labels of shape {batch[1].shape} and dtype {batch[1].dtype} do not fit outputs {out.shape}"


def _checked_outputs(out: Any, n: int) -> Array:
    if not hasattr(out, "shape") or jnp.iscomplexobj(out):
        came = "complex numbers" if hasattr(out, "shape") else _checks.kind(out)
        raise TypeError(f"`objective.predict` returned {came}; wanted one array of real numbers, scores ({n}, K), say.")
    if out.shape[:1] != (n,) or 0 in out.shape:
        raise ValueError(f"`objective.predict` returned shape {out.shape}; wanted ({n}, …), the examples first.")
    return _wide(out)
