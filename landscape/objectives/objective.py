"""The objective: a mean (or sum) of per-example losses over data, plus a penalty."""

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _backend, _checks, _trees
from landscape._trees import Params
from landscape.objectives import data as _data
from landscape.objectives import formula, penalties, tracing
from landscape.objectives.data import Batch, Batches, num_examples
from landscape.objectives.losses import PointwiseLoss
from landscape.objectives.penalties import Penalty
from landscape.objectives.preparation import Preparation, Prepare, PreparedLosses
from landscape.objectives.tracing import Versioned

Losses = Callable[[Params, Batch], Any]
Reduction = Literal["mean", "sum"]
# Path names of what batch norm keeps: flax and haiku, PyTorch's words, Keras'.
STATISTICS = {"batch_stats", "running_mean", "running_var", "moving_mean", "moving_variance", "mean_ema", "var_ema"}


@dataclass(frozen=True, eq=False)
class LinearModel:
    """What an objective whose examples are seen only through z = x̃·θ says of itself.

    `features` x̃ (n, p), the columns in the order of the params' entries (weights, then bias: a column of ones);
    `labels` y (n,); `loss`, from `ls.pointwise_loss`; example `weights` (n,), if there are any; `leaves`, the names of
    the params in the order of their columns.
    Raises: TypeError for another loss.
    """

    features: Array
    labels: Array
    loss: PointwiseLoss
    weights: Array | None = None
    leaves: tuple[str, ...] = ("w", "b")

    def __post_init__(self) -> None:
        _checks.instance("loss", self.loss, PointwiseLoss, 'ls.pointwise_loss("cross_entropy"), say')  # type: ignore


class Predict(Protocol):
    """h(x): the model's output for inputs x (m,) or (m, d): scores (m, K), or the probability (m,) of the label 1."""

    def __call__(self, params: Params, x: Array) -> Array: ...


@dataclass(frozen=True, eq=False, repr=False)
class Objective:
    """J(θ) = R(θ) + Ω(θ): the risk R is the weighted mean (or weighted sum) of `losses(θ, data)`, Ω a penalty.

    losses:     losses(params, batch) -> (n,), one loss an example; or (losses, weights), both (n,), for padding,
                masks and example weights: mean = Σ wᵢlᵢ / Σ wᵢ, sum = Σ wᵢlᵢ. A loss depends on its own example alone
                (no batch norm in training mode), else the risk depends on how the data are cut. A frozen dataclass
                with `__call__` (equal by value) lets compiled code be reused after a rebuild; a plain function is
                matched by identity, and by what it computes when the objective is made: what it closes over must not
                change afterwards. An example of weight 0 adds nothing to the risk; its loss must still have a finite
                gradient, since 0·NaN is NaN. Weights count as given: no derivative is taken through them.
    data:       handed to `losses`, whole or in parts: a tree of arrays with a common leading axis n; the same with
                memory-mapped arrays, read a batch at a time; `Batches`, or any other re-iterable of batches; or None.
    params:     an example of the parameters, any pytree. Floating-point leaves move; arrays of integers and booleans
                and random keys are frozen. Batch statistics do not belong here unless `prepare` computes them.
    penalty:    Ω; none by default.
    reduction:  "mean" or "sum".
    predict:    optional, predict(params, x) -> the model's output: scores (n, K), or probabilities (n,).
    structure:  optional `LinearModel`: what closed forms and certificates read.
    prepare:    optional, prepare(params, batches) -> what `losses` is given in place of params; once a point, for
                batch statistics of that point. `batches`: the data with two leading axes, (batches, batch_size).
    prepare_batch_size: their size; one batch of all data by default.
    data_id:    optional, what the data are called, such as "imagenet-val v2": stands for their fingerprint, so that
                they need not be read for it.

    Not a pytree, never an argument of a jitted function. `objective(params)` and `objective.risk(params)` are
    traceable: `jax.grad(objective.risk)` works.
    Raises: ValueError or TypeError, naming the argument, for bad data, params, losses or reduction.
    """

    losses: Losses
    data: Batch
    params: Params = field(kw_only=True)
    penalty: Penalty = field(kw_only=True, default_factory=penalties.none)
    reduction: Reduction = field(kw_only=True, default="mean")
    predict: Predict | None = field(kw_only=True, default=None)
    structure: LinearModel | None = field(kw_only=True, default=None)
    prepare: Prepare | None = field(kw_only=True, default=None)
    prepare_batch_size: int | None = field(kw_only=True, default=None)
    data_id: str | None = field(kw_only=True, default=None)
    traced_losses: Versioned = field(init=False)  # of params as they are: the losses as a static argument

    def __post_init__(self) -> None:  # safe here: not a pytree, so JAX never rebuilds it from tracers
        if callable(self.data) and not callable(self.losses):
            raise TypeError("`losses` and `data` look swapped; write Objective(losses, data, params=…).")
        _checks.one_of("reduction", self.reduction, {"mean": None, "sum": None})
        object.__setattr__(self, "data", _data.wrapped(self.data))
        _checks.warn_if_narrowed("data and params", (self.data, self.params), stacklevel=3)
        object.__setattr__(self, "params", _checked_params(self.params, self.prepare))
        object.__setattr__(self, "data", _data.as_data(self.data))
        object.__setattr__(self, "penalty", _checked_penalty(self.penalty, self.params))
        _check_prepare(self)
        if self.data_id is not None:
            _checks.instance("data_id", self.data_id, str, 'a string, such as "imagenet-val v2"')
        object.__setattr__(self, "traced_losses", Versioned(*_traced_losses(self)))
        _backend.warn_of_wrong_sums()

    @property
    def preparation(self) -> Preparation | None:
        """What prepares the params at each point."""
        return None if self.prepare is None else Preparation(self.prepare, self.prepare_batch_size)

    @property
    def n(self) -> int:
        """Number of examples (1 where there are no data)."""
        return num_examples(self.data)

    @property
    def dtype(self) -> np.dtype:
        """The widest dtype of the parameters."""
        return _trees.widest(self.params)

    def risk(self, params: Params) -> Array:
        """R(θ), the data term: a scalar."""
        params = self._read(params)
        batches = _data.batches(self.data, _whole_or_part(self.data))
        shares = [weighted_sum(self.traced_losses, params, batch) for batch in batches]
        total, weight = jax.tree.map(lambda *parts: sum(parts[1:], start=parts[0]), *shares)
        return reduced(total, weight, self.reduction)

    def __call__(self, params: Params) -> Array:
        """J(θ) = R(θ) + Ω(θ), a scalar."""
        params = self._read(params)
        risk = self.risk(params)
        return risk + self.penalty.value(params).astype(risk.dtype)

    def gradient(self, params: Params) -> Params:
        """The minimum-norm subgradient of J at θ: ∇R + ∇Ω, 0 exactly where θ is stationary.

        Returns: a tree like `params`, with None in place of frozen leaves.
        """
        params = self._read(params)
        moving = _trees.floating(params)
        return self.penalty.subgradient(moving, jax.grad(lambda m: self.risk(_trees.merged(m, params)))(moving))

    def with_params(self, params: Params) -> "Objective":
        """The same objective with another example of its parameters, such as the trained ones."""
        other = copy.copy(self)
        object.__setattr__(other, "params", self._read(params))
        for fingerprint in ("id", "identity"):  # frozen leaves are part of them
            other.__dict__.pop(fingerprint, None)
        return other

    def with_penalty(self, penalty: Penalty) -> "Objective":
        """The same risk under another penalty."""
        other = copy.copy(self)  # not `replace`: neither data nor fingerprint are looked at again
        object.__setattr__(other, "penalty", _checked_penalty(penalty, self.params))
        return other

    def with_data(self, data: Batch) -> "Objective":
        """The same losses on other data. A `structure`, which holds the data too, is left out."""
        return replace(self, data=data, structure=None, data_id=None)

    @cached_property
    def id(self) -> str:
        """Fingerprint of the risk: losses, data, reduction (not the penalty, not `params`' values). 16 hex digits."""
        return hashlib.blake2b(" ".join(self.identity.values()).encode(), digest_size=8).hexdigest()

    @cached_property
    def identity(self) -> dict[str, str]:
        """What the risk is of, as fingerprints: the losses, what is frozen of params, the data, and how they reduce."""
        frozen, data = (hashlib.blake2b(digest_size=8) for _ in range(2))
        for leaf in jax.tree.leaves(self.params):
            if not _trees.is_floating(leaf):
                _data.fingerprint(frozen, _trees.as_numbers(leaf))
        sampled = self.data_id is None and _data.data_id(data, self.data)
        return {
            "losses": self.traced_losses.version,
            "frozen params": frozen.hexdigest(),
            "data": (self.data_id or data.hexdigest()) + (" of samples" if sampled else ""),
            "reduction": self.reduction,
        }

    def _read(self, params: Params) -> Params:
        """Accept plain numbers where the example has arrays."""
        if jax.tree.structure(params) != jax.tree.structure(self.params):
            raise ValueError(
                "`params` must have the structure of the objective's own.\n"
                + _trees.layouts(wanted=self.params, got=params)
            )
        for (name, leaf), wanted in zip(_trees.named_leaves(params).items(), jax.tree.leaves(self.params), strict=True):
            if np.shape(leaf) != wanted.shape:
                raise ValueError(
                    f"`params` leaf {name!r} has shape {np.shape(leaf)}; the objective's has {wanted.shape}."
                )

        def read(given: Any, example: Array) -> Array:
            plain = _trees.is_floating(example) and not _trees.is_floating(given)
            return jnp.asarray(given, example.dtype) if plain else _trees.as_array(given)

        return jax.tree.map(read, params, self.params)

    def __str__(self) -> str:
        return formula.text(self)

    __repr__ = __str__

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {formula.latex(self)}$"

    def _repr_html_(self) -> str:
        return formula.card(self)


def function(f: Callable[[Params], Array], params: Params, *, penalty: Penalty | None = None) -> Objective:
    """An objective without data: R(θ) = f(θ), f traceable and scalar-valued.

    >>> import landscape as ls
    >>> bowl = ls.function(lambda p: p["u"] ** 2 + 4 * p["v"] ** 2, {"u": 1.0, "v": 1.0})
    >>> float(bowl.risk({"u": 1.0, "v": 1.0}))
    5.0
    """
    return Objective(FunctionLosses(f), None, params=params, penalty=Penalty() if penalty is None else penalty)


@dataclass(frozen=True)
class FunctionLosses:
    """One loss, f(params), whatever the batch."""

    f: Callable[[Params], Array]

    def __call__(self, params: Params, batch: None) -> Array:
        """f(params) as an array of shape (1,)."""
        value = jnp.asarray(self.f(params))
        if value.shape != ():
            raise ValueError(f"`f` returned shape {value.shape}; an objective's function returns one number.")
        return value[None]


def check_objective(value: Any) -> None:
    """Raise TypeError unless it is an Objective."""
    give = "an Objective: ls.neuron(x, y), ls.function(f, params) or ls.Objective(losses, data, params=…)"
    _checks.instance("objective", value, Objective, give)


def losses_and_weights(losses: Losses, params: Params, batch: Batch) -> tuple[Array, Array]:
    """(lᵢ, wᵢ) of every example, both (n,); wᵢ = 1 where `losses` gives none."""
    values = losses(params, batch)
    values, weights = values if isinstance(values, tuple) else (values, None)
    values = values.astype(_trees.wide(values))  # narrow ones count no further than to 256
    return values, jnp.ones_like(values) if weights is None else _given(weights, values)


def reduced(total: Array, weight: Array, reduction: str) -> Array:
    """The risk of a weighted sum Σwl and its Σw: their quotient for a mean, the sum itself for a sum."""
    return total / weight if reduction == "mean" else total


def weighted_sum(losses: Losses, params: Params, batch: Batch) -> tuple[Array, Array]:
    """(Σ wᵢlᵢ, Σ wᵢ). An example of weight 0 (padding) adds nothing, even where its loss is NaN."""
    values = losses(params, batch)
    if not isinstance(values, tuple):  # no products by 1 in the hot loop
        dtype = _trees.wide(values)
        return jnp.sum(values.astype(dtype)), jnp.asarray(values.shape[0], dtype)
    losses_, weights = values[0].astype(_trees.wide(values[0])), _given(values[1], values[0])
    return jnp.sum(jnp.where(weights == 0, 0, weights * losses_)), jnp.sum(weights)


def _given(weights: Array, losses: Array) -> Array:
    """Weights in the wide dtype of the losses, without a derivative: they belong to the data."""
    return jax.lax.stop_gradient(weights.astype(_trees.wide(losses)))


def _whole_or_part(data: Batch) -> int:
    """Examples to read at a time where nothing was planned: all that are in memory, else 16 MB of them."""
    if isinstance(data, Batches):
        return 0
    leaves, n = jax.tree.leaves(data), num_examples(data)
    if _data.in_memory(data):
        return n
    return max(1, 2**24 * n // sum(leaf.dtype.itemsize * math.prod(leaf.shape) for leaf in leaves))


def _checked_params(params: Params, prepare: Prepare | None) -> Params:
    named = _trees.named_leaves(params)
    if not named:
        raise ValueError("`params` has no leaves; give an example of the parameters, such as {'w': 0.0, 'b': 0.0}.")
    for name, leaf in named.items():
        described = f"`params` leaf {name or 'params'!r} is"
        if not hasattr(leaf, "dtype") and not isinstance(leaf, float):
            if isinstance(leaf, (int, complex)) and not isinstance(leaf, bool):
                raise TypeError(
                    f"{described} {type(leaf).__name__}; parameters are floating-point. Write 0.0 instead of 0; an "
                    "integer that belongs to the model is an array, np.asarray(…), and frozen."
                )
            raise TypeError(
                f"{described} {_checks.kind(leaf)}; split the model into arrays and the rest, and put it together in "
                "`losses`: params, static = equinox.partition(model, equinox.is_array), or flax.nnx.split(model); of "
                'flax.linen give model.init(key, x)["params"].'
            )
        if jnp.iscomplexobj(leaf):
            raise TypeError(f"{described} complex; split it into a real and an imaginary part.")
    params = jax.tree.map(_trees.as_array, params)
    if not jax.tree.leaves(_trees.floating(params)):
        raise TypeError(
            f"`params` has no floating-point leaf ({_trees.layout(params)}), so nothing moves. Write 0.0 instead of 0."
        )
    _check_statistics(list(named), prepare)
    return params


def _check_statistics(names: list[str], prepare: Prepare | None) -> None:
    """No silent default: statistics that move along a direction belong to no network."""
    layers = [name.removesuffix("mean") for name in names if name.endswith("/mean")]
    pairs = {layer + what for layer in layers if f"{layer}var" in names for what in ("mean", "var")}
    found = [name for name in names if STATISTICS & set(name.split("/")) or name in pairs]
    if found and prepare is None:
        raise ValueError(
            f"`params` holds batch statistics ({found[0]!r}, {len(found)} such); choose what happens to them away "
            "from the trained point. Frozen: keep them out of `params`, and let `losses` close over them. Computed "
            "anew at every point: pass prepare=, a function prepare(params, batches) -> what `losses` is given."
        )


def _checked_penalty(penalty: Penalty | None, params: Params) -> Penalty:
    penalty = penalties.none() if penalty is None else penalty
    if not isinstance(penalty, Penalty):
        raise TypeError(
            f"`penalty` is {_checks.kind(penalty)}; make one with ls.l2(0.1), ls.l1(…), ls.weight_decay(…)."
        )
    penalty.coefficients(
        _trees.floating(params)
    )  # a scope that matches nothing is refused now, not in the middle of a run
    return penalty


def _check_prepare(objective: Objective) -> None:
    prepare, size = objective.prepare, objective.prepare_batch_size
    if prepare is None:
        if size is not None:
            raise ValueError("`prepare_batch_size` is given without `prepare`; leave it out.")
        return
    if not callable(prepare):
        raise TypeError(
            f"`prepare` is {_checks.kind(prepare)}; give a function prepare(params, batches) -> what `losses` is given."
        )
    _checks.hashable("prepare", prepare)
    if not _data.in_memory(objective.data):
        raise ValueError("`prepare` reads all data at every point; give them as arrays in memory.")
    n = objective.n
    if size is not None and n % _checks.count("prepare_batch_size", size):
        near = [
            next(k for k in order if n % k == 0) for order in (range(min(size, n), 0, -1), range(min(size, n), n + 1))
        ]
        raise ValueError(
            f"`prepare_batch_size` is {size}, which does not divide the {n} examples; `prepare` is given whole "
            f"batches. The nearest that do are {near[0]} and {near[1]}; or leave a few examples out."
        )


def _traced_losses(objective: Objective) -> tuple[Losses, str]:
    """The losses of params as they are, checked by tracing, and the fingerprint of what they compute."""
    losses = objective.losses
    name, function = ("f", losses.f) if isinstance(losses, FunctionLosses) else ("losses", losses)
    call = "f(params)" if name == "f" else "losses(params, batch)"
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"`{name}` is {_checks.kind(function)}; it must be a function {call}.")
    _checks.takes(name, function, call)
    _checks.hashable(name, function)
    params, batch = (
        _trees.from_shapes(_trees.shapes(t)) for t in (objective.params, _data.first_batch(objective.data))
    )
    if objective.preparation is not None:
        tracing.traced("prepare", objective.preparation, params, batch)
        losses = PreparedLosses(losses, objective.preparation)
    out, version = tracing.traced("losses", losses, params, batch)
    tracing.check_output(name, out, num_examples(batch))
    return losses, version
