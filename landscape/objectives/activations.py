"""Activations f of a neuron h(x) = f(w·x + b), each with what an analysis of the neuron asks of it.

    >>> import landscape as ls
    >>> float(ls.activation("sigmoid").inverse(0.5))
    0.0

Every derivative is right everywhere, z = 0 included, and keeps its relative precision where the unit saturates:
σ'(z) is never computed as σ(1 − σ), which is 0 in float32 from z = 17 on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from landscape import _checks

_Function = Callable[[Array], Array]
_Residual = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Activation:
    """An activation f: ℝ → (low, high) with derivative, inverse and residual. Equal by name.

    `pole_distance` is the distance of f's nearest pole from the real line (∞ for an entire function, 0 where f is not
    analytic on the line): it decides how well Chebyshev interpolation of f converges.
    """

    name: str
    low: float
    high: float
    pole_distance: float
    text: str  # f in terms of z, for printing
    latex: str
    _value: _Function = field(repr=False, compare=False)
    _derivative: _Function = field(repr=False, compare=False)
    _inverse: _Function | None = field(default=None, repr=False, compare=False)
    _residual: _Residual | None = field(default=None, repr=False, compare=False)

    def __call__(self, z: ArrayLike) -> Array:
        """f(z), elementwise."""
        return self._value(_checks.floating(z))

    def derivative(self, z: ArrayLike) -> Array:
        """f'(z), elementwise; relu'(0) = 0."""
        return self._derivative(_checks.floating(z))

    def residual(self, z: ArrayLike, y: ArrayLike) -> Array:
        """f(z) − y without the cancellation that subtracting suffers where f saturates at y.

        For the sigmoid: (1 − y)·σ(z) − y·σ(−z), exact to rounding for y in {0, 1} however large |z|.
        """
        z, y = _checks.floating(z), _checks.floating(y)
        return self._value(z) - y if self._residual is None else self._residual(z, y)

    def inverse(self, t: ArrayLike) -> Array:
        """The z with f(z) = t, elementwise: NaN for t outside the range, ±∞ at a limit that is only approached.

        Raises: ValueError if f is not one-to-one (relu).
        """
        if self._inverse is None:
            raise ValueError(f"activation {self.name!r} has no inverse: it is not one-to-one.")
        return self._inverse(_checks.floating(t))

    def saturation(self, z: ArrayLike) -> Array:
        """1 − |f'(z)| / max |f'|, elementwise: 0 where the unit is most sensitive, → 1 where its gradient vanishes."""
        steepest = 0.25 if self.name == "sigmoid" else 1.0
        return 1.0 - jnp.abs(self.derivative(z)) / steepest


def activation(name: str) -> Activation:
    """The activation of that name: "identity", "sigmoid", "tanh", "relu" or "softplus".

    Raises: ValueError for any other name.
    """
    return _checks.one_of("activation", name, ACTIVATIONS)


def _with_derivative(value: _Function, derivative: _Function) -> _Function:
    """`value` with the given derivative: autodiff of max(z, 0) and |z| is wrong, or inexact, at z = 0."""
    function = jax.custom_jvp(value)
    function.defjvp(lambda primals, tangents: (function(*primals), derivative(*primals) * tangents[0]))
    return function


# Everything about the sigmoid is written in t = tanh(½ log(1 + e)) = e/(2 + e), e = e^(−|z|), which lies in [0, ⅓]:
#
#     log(1 + e) = 2 artanh t        σ(−|z|) = 2t/(1 + t)        σ(|z|) = (1 − t)/(1 + t)
#
# No subtraction cancels, so values keep their relative precision in both tails, and XLA computes one exponential for
# loss and slope together. On CPU that is what makes a grid fast: `jnp.log1p` in the same fusion costs twice the rest.


def exp_share(z: Array) -> Array:
    """t = e/(2 + e)."""
    e = jnp.exp(-jnp.abs(z))
    return e / (2.0 + e)


def log1p_exp(t: Array) -> Array:
    """log(1 + e) = 2 artanh t = 2t(1 + t²/3 + t⁴/5 + …), t² ≤ 1/9."""
    terms = 16 if t.dtype.itemsize > 4 else 7  # the next one is below half an eps
    square, series = t * t, jnp.full_like(t, 1 / (2 * terms - 1))
    for k in range(terms - 2, -1, -1):
        series = series * square + 1 / (2 * k + 1)
    return 2.0 * t * series


def _sigmoid_of(z: Array, t: Array) -> Array:
    # z > 0, strictly: 2t/(1 + t) is exactly ½ at 0, (1 − t)/(1 + t) is not.
    return jnp.where(z > 0, 1.0 - t, 2.0 * t) / (1.0 + t)


def _sigmoid_value(z: Array) -> Array:
    return _sigmoid_of(z, exp_share(z))


def sigmoid_derivative(z: Array) -> Array:
    """σ'(z) = e/(1 + e)². Its derivative in e is 0 at z = 0, so autodiff is right there in spite of |z|."""
    e = jnp.exp(-jnp.abs(z))
    return (e / (1.0 + e)) / (1.0 + e)


_sigmoid = _with_derivative(_sigmoid_value, sigmoid_derivative)
softplus = _with_derivative(lambda z: jnp.maximum(z, 0.0) + log1p_exp(exp_share(z)), _sigmoid)


def _tanh_derivative(z: Array) -> Array:
    return 4.0 * sigmoid_derivative(2.0 * z)  # sech² z


_tanh = _with_derivative(jnp.tanh, _tanh_derivative)


def _sigmoid_residual_value(z: Array, y: Array) -> Array:
    # s = ±1: the nearer of the labels 0 and 1, r its distance from y. σ(z) − y = s·(σ(s·z) − r) with r ≤ ½ in [0, 1].
    # t is that of z, not of s·z: the same number, but one exponential with the loss.
    s = jnp.where(y <= 0.5, jnp.ones_like(y), -jnp.ones_like(y))
    return s * (_sigmoid_of(s * z, exp_share(z)) - jnp.minimum(y, 1.0 - y))


def _residual_with_derivative(value: _Residual, derivative: _Function) -> _Residual:
    """`value(z, y)` = f(z) − y with ∂/∂z = f'(z) and ∂/∂y = −1."""
    function = jax.custom_jvp(value)
    function.defjvp(lambda primals, tangents: (function(*primals), derivative(primals[0]) * tangents[0] - tangents[1]))
    return function


sigmoid_residual = _residual_with_derivative(_sigmoid_residual_value, sigmoid_derivative)


def _tanh_residual_value(z: Array, y: Array) -> Array:
    # tanh z = 2σ(2z) − 1. Near 0 that form would cancel; there tanh itself is precise.
    tail = 2.0 * _sigmoid_residual_value(2.0 * z, 0.5 * (1.0 + y))
    return jnp.where(jnp.abs(z) < 0.5, jnp.tanh(z) - y, tail)


_tanh_residual = _residual_with_derivative(_tanh_residual_value, _tanh_derivative)


def _logit(t: Array) -> Array:
    return jnp.log(t) - jnp.log1p(-t)


def _inverse_softplus(t: Array) -> Array:
    return t + jnp.log(-jnp.expm1(-t))  # log(eᵗ − 1) without overflow


def _inverse_identity(t: Array) -> Array:
    return t


ACTIVATIONS = {
    a.name: a
    for a in (
        Activation("identity", -math.inf, math.inf, math.inf, "z", "z", lambda z: z, jnp.ones_like, _inverse_identity),
        Activation(
            "sigmoid", 0.0, 1.0, math.pi, "σ(z)", r"\sigma(z)", _sigmoid, sigmoid_derivative, _logit, sigmoid_residual
        ),
        Activation(
            "tanh", -1.0, 1.0, math.pi / 2, "tanh(z)", r"\tanh z", _tanh, _tanh_derivative, jnp.arctanh, _tanh_residual
        ),
        Activation(
            "relu", 0.0, math.inf, 0.0, "max(z, 0)", r"\max(z, 0)", jax.nn.relu, lambda z: (z > 0).astype(z.dtype)
        ),
        Activation(
            "softplus", 0.0, math.inf, math.pi, "log(1+e^z)", r"\log(1+e^{z})", softplus, _sigmoid, _inverse_softplus
        ),
    )
}
