"""The neuron h(x) = f(w·x + b) as an objective."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.objectives import activations
from landscape.objectives.activations import Activation
from landscape.objectives.losses import CrossEntropy, PointwiseLoss, pointwise_loss
from landscape.objectives.objective import LinearModel, Objective, Reduction
from landscape.objectives.penalties import Penalty


@dataclass(frozen=True)
class NeuronLosses:
    """losses(params, (x, y)) -> loss(w·x + b, y) of each example, (n,); with a third array, (losses, weights)."""

    loss: PointwiseLoss

    def __call__(self, params: Params, batch: tuple[Array, ...]) -> Any:
        """The losses of a batch: x (n,) or (n, d), y (n,), optionally weights (n,)."""
        x, y, *weights = batch
        # Other data may come as integers, which no derivative goes through.
        x, y = (v if jnp.issubdtype(v.dtype, jnp.floating) else v.astype(params["w"].dtype) for v in (x, y))
        losses = self.loss(preactivation(params, x), y)
        return (losses, weights[0]) if weights else losses

    def outputs(self, params: Params, batch: tuple[Array, ...]) -> Array:
        """What the loss is convex in, (n,): z under cross-entropy, h(x) = f(z) under squared error."""
        x = batch[0]
        z = preactivation(params, x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(params["w"].dtype))
        return z if isinstance(self.loss, CrossEntropy) else self.loss.activation(z)

    def losses_of(self, outputs: Array, batch: tuple[Array, ...]) -> Any:
        """The losses of a batch from the outputs (n,)."""
        _, y, *weights = batch
        y = y.astype(outputs.dtype)
        losses = self.loss(outputs, y) if isinstance(self.loss, CrossEntropy) else 0.5 * jnp.square(outputs - y)
        return (losses, weights[0]) if weights else losses


@dataclass(frozen=True)
class NeuronOutput:
    """predict(params, x) -> h(x) = f(w·x + b), (m,)."""

    activation: Activation

    def __call__(self, params: Params, x: Array) -> Array:
        """The neuron's output for x (m,) or (m, d)."""
        return self.activation(
            preactivation({name: jnp.asarray(leaf) for name, leaf in params.items()}, jnp.asarray(x))
        )


def preactivation(params: Params, x: Array) -> Array:
    """z = w·x + b of each example: (n,) for x (n,) and w (), or x (n, d) and w (d,)."""
    # A matrix product for one feature too, and in this order: XLA turns it into the fastest loops in both directions.
    z = params["w"].reshape(-1) @ (x[:, None] if x.ndim == 1 else x).T
    return z + params["b"] if "b" in params else z


def neuron(
    x: ArrayLike,
    y: ArrayLike,
    *,
    loss: str = "cross_entropy",
    activation: str = "sigmoid",
    bias: bool = True,
    penalty: Penalty | None = None,
    weights: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> Objective:
    """The objective of one neuron h(x) = f(w·x + b) over params {"w": () or (d,), "b": ()}.

        cross_entropy        R = (1/n) Σ softplus(zᵢ) − yᵢzᵢ,   f = σ, yᵢ in [0, 1]        convex
        half_squared_error   R = (1/n) Σ ½(f(zᵢ) − yᵢ)²,        any activation, any yᵢ     not convex

    x:          inputs, (n,) for a scalar w or (n, d).
    y:          labels, (n,).
    activation: "identity", "sigmoid", "tanh", "relu" or "softplus".
    bias:       False leaves b out: params {"w": …}.
    weights:    example weights (n,), ≥ 0; the mean is then Σ wᵢlᵢ / Σ wᵢ.
    Integers become JAX's default float. `objective.predict(params, x)` is h(x); `objective.structure` the linear model.
    Raises: ValueError for NaN or inf, no examples, different lengths, labels outside [0, 1] under cross-entropy.

        >>> import landscape as ls
        >>> round(float(ls.neuron([-1, 1], [0, 1])({"w": 0.0, "b": 0.0})), 6)  # log 2
        0.693147
    """
    pointwise = pointwise_loss(loss, activation)
    # As they came: a list of Python floats has no dtype to lose.
    _checks.warn_if_narrowed("x and y", (x, y), stacklevel=2)
    x, y = _checks.numeric("x", x), _checks.numeric("y", y)
    _check_shapes(x, y)
    _checks.finite("x", x)
    _checks.finite("y", y)
    if isinstance(pointwise, CrossEntropy):
        _check_probabilities(y)
    data = [_as_float(x), _as_float(y)]
    if weights is not None:
        data.append(_as_float(_checked_weights(weights, y)))
    dtype = data[0].dtype
    params = {"w": np.zeros(x.shape[1:], dtype), **({"b": np.zeros((), dtype)} if bias else {})}
    return Objective(
        NeuronLosses(pointwise),
        tuple(data),
        params=params,
        penalty=Penalty() if penalty is None else penalty,
        reduction=reduction,
        predict=NeuronOutput(activations.activation(activation)),
        structure=LinearModel(_columns(data[0], bias), data[1], pointwise, None if weights is None else data[2]),
    )


def _check_shapes(x: np.ndarray, y: np.ndarray) -> None:
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[1] == 0):
        raise ValueError(f"`x` has shape {x.shape}; inputs are (n,) for one feature or (n, d) for d of them.")
    if y.ndim == 2 and y.shape[1] == 1:
        raise ValueError(
            f"`y` has shape {y.shape}; labels are (n,), one number an example: pass y[:, 0] (or y.ravel())."
        )
    if y.ndim != 1:
        raise ValueError(f"`y` has shape {y.shape}; labels are (n,), one number an example.")
    if len(x) == 0:
        raise ValueError("`x` has no examples; give at least one.")
    if len(x) != len(y):
        raise ValueError(f"`x` has {len(x)} examples but `y` has {len(y)}; give one label an example.")


def _check_probabilities(y: np.ndarray) -> None:
    outside = (y < 0) | (y > 1)
    if outside.any():
        first = int(np.argmax(outside))
        hint = " For labels ±1 pass (y + 1) / 2." if set(np.unique(y)) <= {-1, 1} else ""
        raise ValueError(
            f"`y` holds labels outside [0, 1] ({int(outside.sum())} of {len(y)}), the first is {y[first]} at index "
            f'{first}; cross-entropy needs probabilities.{hint} For other targets use loss="half_squared_error".'
        )


def _checked_weights(weights: ArrayLike, y: np.ndarray) -> np.ndarray:
    array = _checks.numeric("weights", weights)
    _checks.finite("weights", array)
    if array.shape != y.shape:
        raise ValueError(f"`weights` has shape {array.shape}; wanted {y.shape}, one weight an example.")
    if (array < 0).any() or not (array > 0).any():
        raise ValueError("`weights` must be ≥ 0 and not all 0.")
    return array


def _as_float(values: np.ndarray) -> Array:
    floating = jnp.issubdtype(values.dtype, jnp.floating)
    return _trees.as_array(values if floating else values.astype(_checks.default_float()))


def _columns(x: Array, bias: bool) -> Array:
    """The features x̃ (n, p): the inputs, and a column of ones for the bias. Of few examples nothing is compiled."""
    xp = np if x.nbytes <= _trees.COPIED else jnp
    features = xp.asarray(x).reshape(len(x), -1)
    columns = xp.concatenate([features, xp.ones((len(x), 1), x.dtype)], axis=1) if bias else features
    return _trees.as_array(columns)
