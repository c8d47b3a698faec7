"""Losses of one example as functions of its pre-activation z = w·x + b and its label y.

    cross-entropy        softplus(z) − y·z            h = σ(z), y in [0, 1]
    half squared error   ½(f(z) − y)²                 any activation f

Both keep their relative precision down to losses of 1e-30 and have the right derivatives everywhere, kinks included.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from landscape import _checks
from landscape.objectives import activations
from landscape.objectives.activations import Activation, exp_share, log1p_exp, sigmoid_residual


def _cross_entropy_value(z: Array, y: Array) -> Array:
    # max(z, 0) − y·z first: it is exactly 0 for a right and certain label; only then is the small term added, which is
    # the whole loss there (1e-9 at |z| = 20). The clamp changes no value, a loss being ≥ 0; it ends the chain of
    # operations that XLA fuses on CPU, which makes loss and slope together a third faster.
    loss = (jnp.maximum(z, 0.0) - y * z) + log1p_exp(exp_share(z))
    return jax.lax.clamp(jnp.zeros((), loss.dtype), loss, jnp.full((), jnp.inf, loss.dtype))


cross_entropy = jax.custom_jvp(_cross_entropy_value)


@cross_entropy.defjvp
def _(primals, tangents):
    (z, y), (dz, dy) = primals, tangents
    # Divided by 1, which no compiler sees through. Going backward each example's slope ends in that division: XLA's CPU
    # backend then computes it once, for fast sums and products; one that ends in a product, slowly in each of them.
    one = jax.lax.stop_gradient(jnp.maximum(exp_share(z), 1.0))
    return cross_entropy(z, y), sigmoid_residual(z, y) * (dz / one) - z * dy


def _others(z: Array) -> tuple[Array, Array, Array]:
    """Of scores z (n, K): which is largest, (n, K); the others' e^(z − max z), (n, K); the sum of these, (n, 1)."""
    largest = jnp.arange(z.shape[1])[None] == jnp.argmax(z, axis=1)[:, None]
    powers = jnp.where(largest, 0.0, jnp.exp(z - jnp.max(z, axis=1, keepdims=True)))
    return largest, powers, jnp.sum(powers, axis=1, keepdims=True)


def _softmax_cross_entropy_value(z: Array, y: Array) -> Array:
    return jnp.sum(y * _surprise(z), axis=1)


def _surprise(z: Array) -> Array:
    """−log softmax(z), (n, K). log Σ e^z without the largest term, which is 1: so a certain class keeps its 1e-30."""
    return (jnp.max(z, axis=1, keepdims=True) - z) + jnp.log1p(_others(z)[2])


def softmax_residual(z: Array, y: Array) -> Array:
    """softmax(z) − y, (n, K), with its relative precision where the largest probability is near y = 1."""
    largest, powers, rest = _others(z)
    probabilities = powers / (1.0 + rest)
    return jnp.where(largest, (1.0 - y) - jnp.sum(probabilities, axis=1, keepdims=True), probabilities - y)


softmax_cross_entropy = jax.custom_jvp(_softmax_cross_entropy_value)
"""−Σ_k y_k log softmax(z)_k, (n,), of scores z and probabilities y, both (n, K); ∂/∂z = softmax(z) − y."""


@softmax_cross_entropy.defjvp
def _(primals, tangents):
    (z, y), (dz, dy) = primals, tangents
    return softmax_cross_entropy(z, y), jnp.sum(softmax_residual(z, y) * dz + _surprise(z) * dy, axis=1)


@dataclass(frozen=True)
class CrossEntropy:
    """Negative log-likelihood of a Bernoulli label with probability σ(z), loss(z, y) = softplus(z) − y·z, y in [0, 1].

    ∂/∂z = σ(z) − y; convex in z; of degree 1 in y. In nats.
    """

    name: ClassVar[str] = "cross_entropy"
    convex: ClassVar[bool] = True
    degree_in_y: ClassVar[int] = 1
    pole_distance: ClassVar[float] = math.pi

    def __call__(self, z: Array, y: Array) -> Array:
        """The loss of each example, elementwise."""
        return cross_entropy(z, y)


@dataclass(frozen=True)
class HalfSquaredError:
    """Half squared error, loss(z, y) = ½(f(z) − y)². Convex in z for the identity only; of degree 2 in y."""

    activation: Activation

    name: ClassVar[str] = "half_squared_error"
    degree_in_y: ClassVar[int] = 2

    @property
    def convex(self) -> bool:
        """Whether the loss is convex in z."""
        return self.activation.name == "identity"

    @property
    def pole_distance(self) -> float:
        """Distance of the loss's nearest pole from the real z axis."""
        return self.activation.pole_distance

    def __call__(self, z: Array, y: Array) -> Array:
        """The loss of each example, elementwise."""
        return 0.5 * jnp.square(self.activation.residual(z, y))


PointwiseLoss = CrossEntropy | HalfSquaredError


def pointwise_loss(loss: str, activation: str = "sigmoid") -> PointwiseLoss:
    """The loss(z, y) of a neuron by name, as `ls.neuron` takes them: for `ls.LinearModel`.

    loss:       "cross_entropy", with the sigmoid, or "half_squared_error".
    activation: of half squared error: "identity", "sigmoid", "tanh", "relu" or "softplus".
    Raises: ValueError for other names, and for cross-entropy of what are no probabilities.

        >>> import landscape as ls
        >>> float(ls.pointwise_loss("half_squared_error", "identity")(3.0, 1.0))
        2.0
    """
    f = activations.activation(activation)
    if _checks.one_of("loss", loss, {"cross_entropy": True, "half_squared_error": False}):
        if f.name != "sigmoid":
            raise ValueError(
                f'`activation` is {activation!r}, but loss="cross_entropy" needs probabilities: use '
                'activation="sigmoid", or loss="half_squared_error".'
            )
        return CrossEntropy()
    return HalfSquaredError(f)
