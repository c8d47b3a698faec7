"""The objective: a mean (or sum) of per-example losses over data, plus a penalty."""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.objectives import formula, penalties
from landscape.objectives.losses import PointwiseLoss
from landscape.objectives.penalties import Penalty

Batch = Any  # a pytree of arrays with a common leading axis: the examples
Losses = Callable[[Params, Batch], Any]
Reduction = Literal["mean", "sum"]


@dataclass(frozen=True, eq=False)
class LinearModel:
    """What an objective whose examples are seen only through z = x̃·θ says of itself.

    `features` x̃ (n, p), the columns in the order of the params' entries (weights, then bias: a column of ones);
    `labels` y (n,); `loss(z, y)`, with its convexity in z, its degree in y and the distance of its poles.
    """

    features: Array
    labels: Array
    loss: PointwiseLoss


class Predict(Protocol):
    """h(x): the model's output for inputs x (m,) or (m, d)."""

    def __call__(self, params: Params, x: Array) -> Array: ...


@dataclass(frozen=True, eq=False, repr=False)
class Objective:
    """J(θ) = R(θ) + Ω(θ): the risk R is the weighted mean (or weighted sum) of `losses(θ, data)`, Ω a penalty.

    losses:     losses(params, batch) -> (n,), one loss an example; or (losses, weights), both (n,), for padding,
                masks and example weights: mean = Σ wᵢlᵢ / Σ wᵢ, sum = Σ wᵢlᵢ. A frozen dataclass with `__call__`
                (equal by value) lets compiled code be reused after a rebuild; a plain function is matched by
                identity, and what it closes over must not change. An example of weight 0 adds nothing to the risk; its
                loss must still have a finite gradient, since 0·NaN is NaN.
    data:       a tree of arrays with a common leading axis n, handed to `losses`; or None.
    params:     an example of the parameters: floating-point leaves.
    penalty:    Ω; none by default.
    reduction:  "mean" or "sum".
    predict:    optional, predict(params, x) -> the model's output.
    structure:  optional `LinearModel`: what closed forms and certificates read.

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

    def __post_init__(self) -> None:  # safe here: not a pytree, so JAX never rebuilds it from tracers
        _checks.one_of("reduction", self.reduction, {"mean": None, "sum": None})
        _checks.warn_if_narrowed("data and params", (self.data, self.params), stacklevel=3)
        object.__setattr__(self, "params", _checked_params(self.params))
        object.__setattr__(self, "data", _checked_data(self.data))
        object.__setattr__(self, "penalty", _checked_penalty(self.penalty, self.params))
        _check_losses(self)

    @property
    def n(self) -> int:
        """Number of examples (1 where there are no data)."""
        return num_examples(self.data)

    def risk(self, params: Params) -> Array:
        """R(θ), the data term: a scalar."""
        total, weight = weighted_sum(self.losses, self._read(params), self.data)
        return reduced(total, weight, self.reduction)

    def __call__(self, params: Params) -> Array:
        """J(θ) = R(θ) + Ω(θ), a scalar."""
        params = self._read(params)
        risk = self.risk(params)
        return risk + self.penalty.value(params).astype(risk.dtype)

    def gradient(self, params: Params) -> Params:
        """The minimum-norm subgradient of J at θ, a tree like `params`: ∇R + ∇Ω, 0 exactly where θ is stationary."""
        params = self._read(params)
        return self.penalty.subgradient(params, jax.grad(self.risk)(params))

    def with_penalty(self, penalty: Penalty) -> "Objective":
        """The same risk under another penalty."""
        other = copy.copy(self)  # not `replace`: neither data nor fingerprint are looked at again
        object.__setattr__(other, "penalty", _checked_penalty(penalty, self.params))
        return other

    @cached_property
    def id(self) -> str:
        """Fingerprint of the risk: losses, data, reduction (not the penalty, not `params`' values). 16 hex digits."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(
            f"{_losses_id(self.losses, _trees.shapes(self.params), _trees.shapes(self.data))} {self.reduction}".encode()
        )
        for leaf in jax.tree.leaves(self.data):
            _update(digest, np.asarray(leaf))
        return digest.hexdigest()

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
        return jax.tree.map(lambda p, e: jnp.asarray(p, None if _is_floating(p) else e.dtype), params, self.params)

    def __str__(self) -> str:
        return formula.text(self)

    __repr__ = __str__

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {formula.latex(self)}$"


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


def num_examples(data: Batch) -> int:
    """Length of the leading axis of the data; 1 where there are none."""
    leaves = jax.tree.leaves(data)
    return int(leaves[0].shape[0]) if leaves else 1


def losses_and_weights(losses: Losses, params: Params, batch: Batch) -> tuple[Array, Array]:
    """(lᵢ, wᵢ) of every example, both (n,); wᵢ = 1 where `losses` gives none."""
    values = losses(params, batch)
    if isinstance(values, tuple):
        return values[0], values[1].astype(values[0].dtype)
    return values, jnp.ones_like(values)


def reduced(total: Array, weight: Array, reduction: str) -> Array:
    """The risk of a weighted sum Σwl and its Σw: their quotient for a mean, the sum itself for a sum."""
    return total / weight if reduction == "mean" else total


def weighted_sum(losses: Losses, params: Params, batch: Batch) -> tuple[Array, Array]:
    """(Σ wᵢlᵢ, Σ wᵢ). An example of weight 0 (padding) adds nothing, even where its loss is NaN."""
    values = losses(params, batch)
    if not isinstance(values, tuple):  # no products by 1 in the hot loop
        dtype = _trees.wide(values)
        return jnp.sum(values.astype(dtype)), jnp.asarray(values.shape[0], dtype)
    values, weights = values[0].astype(_trees.wide(values[0])), values[1].astype(_trees.wide(values[0]))
    return jnp.sum(jnp.where(weights == 0, 0, weights * values)), jnp.sum(weights)


def _is_floating(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)


def _checked_params(params: Params) -> Params:
    named = _trees.named_leaves(params)
    if not named:
        raise ValueError("`params` has no leaves; give an example of the parameters, such as {'w': 0.0, 'b': 0.0}.")
    for name, leaf in named.items():
        if not _is_floating(leaf) and not isinstance(leaf, float):
            kind = leaf.dtype if hasattr(leaf, "dtype") else type(leaf).__name__
            raise TypeError(
                f"`params` leaf {name or 'params'!r} is {kind}; parameters are floating-point. Write 0.0 instead of 0, "
                "or keep what is not trained out of `params`."
            )
    return jax.tree.map(jnp.asarray, params)


def _checked_penalty(penalty: Penalty | None, params: Params) -> Penalty:
    penalty = penalties.none() if penalty is None else penalty
    if not isinstance(penalty, Penalty):
        raise TypeError(
            f"`penalty` is a {type(penalty).__name__}; make one with ls.l2(0.1), ls.l1(…), ls.weight_decay(…)."
        )
    penalty.coefficients(params)  # a scope that matches nothing is refused now, not in the middle of a run
    return penalty


def _checked_data(data: Batch) -> Batch:
    lengths = {}
    for name, leaf in _trees.named_leaves(data).items():
        label = f"data {name!r}" if name else "data"
        array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
        if not isinstance(array, Array) and array.dtype.kind in "OSUMm":
            raise TypeError(f"`{label}` must hold numbers, got dtype {array.dtype}; encode it, or leave it out.")
        if array.ndim == 0:
            lists = "" if hasattr(leaf, "dtype") else " Lists are trees to JAX: make arrays of them, np.asarray(…)."
            raise ValueError(
                f"`{label}` is a single number; every leaf of the data needs a leading axis of examples.{lists}"
            )
        if array.shape[0] == 0:
            raise ValueError(f"`{label}` has no examples (shape {array.shape}); give at least one.")
        if jnp.issubdtype(array.dtype, jnp.floating):
            _checks.finite(label, np.asarray(array))
        lengths[label] = array.shape[0]
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "`data` has leaves of different length: "
            + ", ".join(f"{k}: {v}" for k, v in lengths.items())
            + ". Give one row an example in each."
        )
    return jax.tree.map(jnp.asarray, data)


def _check_losses(objective: Objective) -> None:
    losses = objective.losses
    name, function = ("f", losses.f) if isinstance(losses, FunctionLosses) else ("losses", losses)
    if not callable(function) or isinstance(function, type):
        call = "f(params)" if name == "f" else "losses(params, batch)"
        raise TypeError(f"`{name}` is {_checks.kind(function)}; it must be a function {call}.")
    _checks.hashable(name, function)
    out = jax.eval_shape(losses, objective.params, objective.data)
    wanted = (objective.n,)
    if not hasattr(out, "shape") and not (isinstance(out, tuple) and len(out) == 2):
        given = f"{_checks.kind(out)} of {len(out)}" if isinstance(out, (tuple, list, dict)) else _checks.kind(out)
        raise TypeError(f"`losses` returned {given}; wanted the losses {wanted}, or a pair (losses, weights).")
    for part, leaf in zip(("losses", "weights"), out if isinstance(out, tuple) else (out,), strict=False):
        shape = getattr(leaf, "shape", None)
        if part == "losses" and shape == wanted and not _is_floating(leaf):
            raise TypeError(
                f"`{name}` returned {leaf.dtype}, whose gradient is 0 everywhere; return floating-point numbers."
            )
        if shape != wanted:
            raise ValueError(
                f"`losses` returned {part} of shape {shape}; wanted {wanted}, one an example. "
                "Return the losses before averaging them: the objective takes the mean itself."
            )


@lru_cache(maxsize=256)
def _losses_id(losses: Losses, params: _trees.Shapes, data: _trees.Shapes) -> str:
    """Fingerprint of the losses as lowered for these shapes: the same in every process, unlike `repr` or `hash`."""

    with jax.default_matmul_precision("highest"):  # one text, whatever the caller's context
        traced = jax.jit(losses).trace(_trees.from_shapes(params), _trees.from_shapes(data))
        digest = hashlib.blake2b(traced.lower().as_text().encode(), digest_size=8)
    for constant in traced.jaxpr.consts:  # arrays that the losses close over
        _update(digest, np.asarray(constant))
    return digest.hexdigest()


SAMPLED_ABOVE, BLOCK = 2**30, 2**16  # bytes: of larger arrays, 1024 blocks evenly spaced are fingerprinted


def _update(digest: Any, array: np.ndarray) -> None:
    """Add an array's shape, dtype and bytes (of a large one, samples) to a fingerprint."""
    digest.update(f"{array.shape} {array.dtype} ".encode())
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if flat.size <= SAMPLED_ABOVE:
        digest.update(flat)
        return
    for start in np.linspace(0, flat.size - BLOCK, 1024).astype(np.int64):
        digest.update(flat[start : start + BLOCK])
