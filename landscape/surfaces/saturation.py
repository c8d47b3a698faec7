"""Saturation: how many units hardly pass a gradient on, as a quantity of a cell.

    δ⁽ˡ⁾ = (W⁽ˡ⁾ᵀ δ⁽ˡ⁺¹⁾) · f'(z⁽ˡ⁾)

Backpropagation multiplies by f'(z) at every unit. Where |f'(z)| is nearly 0, what lies before the unit learns nothing
of that example: a sigmoid far from 0, a relu below 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.objectives import activations
from landscape.objectives.activations import Activation
from landscape.objectives.data import Batch, num_examples
from landscape.objectives.losses import HalfSquaredError
from landscape.objectives.models import NeuronLosses, preactivation
from landscape.objectives.objective import Losses, Objective, check_objective, losses_and_weights
from landscape.surfaces import _means
from landscape.surfaces.quantities import Point
from landscape.surfaces.sweep import Sweep

Preactivations = Callable[[Params, Batch], Any]  # z (n, units…)
Function = Callable[[Array], Any]  # f, elementwise

# Where a function's steepest slope is looked for: |z| ≤ REACH in steps of 1/FINENESS, 0 among them.
REACH, FINENESS = 32, 256
BOUNDED = 1.01  # the steepest within REACH may exceed that within half of it by so much


@dataclass(frozen=True)
class Saturation:
    """The quantity that `saturation` makes. Equal by value, as its losses and functions are.

    losses:         of the objective: they give the examples' weights.
    preactivations: preactivations(params, batch) -> z (n, units…).
    activation:     f, an `Activation` or an elementwise function.
    steepest:       max |f'|.
    threshold:      a unit is saturated where |f'(z)| < threshold·steepest.
    """

    losses: Losses
    preactivations: Preactivations
    activation: Activation | Function
    steepest: float
    threshold: float

    def accumulate(self, point: Point, batch: Batch) -> _means.Sums:
        """The sums over one batch."""
        size = self._sizes(_checked(self.preactivations(point.params, batch), num_examples(batch)))
        below = jnp.where(jnp.isnan(size), size, (size < self.threshold * self.steepest).astype(size.dtype))
        values = {"saturated": below, "mean_derivative": size}
        values = {name: jnp.mean(v.reshape(len(v), -1), axis=1) for name, v in values.items()}
        return _means.accumulate(values, losses_and_weights(self.losses, point.params, batch)[1], point, batch)

    def merge(self, a: _means.Sums, b: _means.Sums) -> _means.Sums:
        """Both shares."""
        return _means.merge(a, b)

    def finish(self, point: Point, sums: _means.Sums, sweep: Sweep) -> dict[str, Array]:
        """Share of saturated units, and mean |f'(z)|."""
        return _means.finish(point, sums, sweep)

    def _sizes(self, z: Array) -> Array:
        """|f'(z)|, NaN where z is: comparisons, such as relu's z > 0, would lose it."""
        return jnp.where(jnp.isnan(z), z, jnp.abs(_derivative(self.activation, z)))


def saturation(
    objective: Objective,
    preactivations: Preactivations | None = None,
    activation: str | Function | None = None,
    *,
    threshold: float = 0.01,
) -> Saturation:
    """A quantity for `evaluate`: how many units are saturated, over all examples and units.

        saturated       = mean over examples and units of [ |f'(z)| < threshold·max |f'| ]
        mean_derivative = mean over examples and units of |f'(z)|

    objective:      what is evaluated: a neuron needs nothing else, z = w·x + b and f being its own. Its losses say how
                    the examples are weighted; those of weight 0 (padding) do not count.
    preactivations: preactivations(params, batch) -> z (n, units…), traced like losses. Of several layers with one
                    activation put the units side by side, jnp.concatenate([z1, z2], axis=1); or measure one a call.
    activation:     f: a name that `ls.activation` knows, or an elementwise function that JAX differentiates. Its
                    steepest slope is looked for within |z| ≤ 32.
    threshold:      in (0, 1]. Of relu, whose |f'| is 0 or 1, any one gives the share of dead units.
    Returns: a `Saturation`. NaN in z stays: both results are NaN then.
    Raises: ValueError or TypeError, naming the argument.
    Reference: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
    section 3.

        >>> import landscape as ls
        >>> pair = ls.neuron(*ls.datasets.pair())
        >>> axes = {"w": [0.0, 5.0, 50.0], "b": [0.0]}
        >>> found = ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes, quantities=[ls.saturation(pair)])
        >>> found.saturated.values.ravel(), found.mean_derivative.values.ravel().round(4)
        (array([0., 0., 1.], dtype=float32), array([0.25  , 0.0066, 0.    ], dtype=float32))
    """
    check_objective(objective)
    size = _checks.positive("threshold", threshold)
    if size > 1:
        raise ValueError(f"`threshold` is {threshold}; it is a share of the steepest slope: give one in (0, 1].")
    if preactivations is None:
        function, f = _of_neuron(objective, activation)
    else:
        if not callable(preactivations):
            raise TypeError(
                f"`preactivations` is {_checks.kind(preactivations)}; give preactivations(params, batch) -> z (n, "
                "units…)."
            )
        _checks.takes("preactivations", preactivations, "preactivations(params, batch)")
        function, f = preactivations, _given(activation)
    _checks.hashable("preactivations", function)
    _checks.hashable("activation", f)
    return Saturation(objective.losses, function, f, _steepest(f), size)


def neuron_preactivations(params: Params, batch: tuple[Array, ...]) -> Array:
    """z = w·x + b of a neuron's batch (x, y) or (x, y, weights), (n,)."""
    x = batch[0]
    return preactivation(params, x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(params["w"].dtype))


def _of_neuron(objective: Objective, activation: Any) -> tuple[Preactivations, Activation]:
    losses = objective.losses
    if not isinstance(losses, NeuronLosses):
        raise ValueError(
            "`preactivations` is missing, and `objective` is no ls.neuron, of which they are known; give a function "
            "preactivations(params, batch) -> z (n, units…), and `activation`."
        )
    if activation is not None:
        raise ValueError(
            "`activation` is given without `preactivations`; a neuron's is known: leave both out, or give both."
        )
    loss = losses.loss
    f = loss.activation if isinstance(loss, HalfSquaredError) else activations.activation("sigmoid")
    return neuron_preactivations, f


def _given(activation: Any) -> Activation | Function:
    if isinstance(activation, str):
        return activations.activation(activation)
    if not callable(activation):
        raise TypeError(
            f"`activation` is {_checks.kind(activation)}; beside `preactivations` give a name, such as 'tanh', or an "
            "elementwise function, such as jax.nn.gelu."
        )
    if not isinstance(activation, Activation):
        shape = getattr(jax.eval_shape(activation, jax.ShapeDtypeStruct((), _checks.default_float())), "shape", None)
        if shape != ():
            raise ValueError(f"`activation` returned shape {shape} for one number; give an elementwise function.")
    return activation


def _derivative(f: Activation | Function, z: Array) -> Array:
    """f'(z), elementwise."""
    if isinstance(f, Activation):
        return f.derivative(z)
    # One number at a time: a tangent of ones through what mixes units, a softmax, would be 0 everywhere.
    return jax.vmap(jax.grad(f))(z.reshape(-1)).reshape(z.shape)


def _steepest(f: Activation | Function) -> float:
    """max |f'|, as far as it is looked for."""
    z = jnp.linspace(-REACH, REACH, 2 * REACH * FINENESS + 1)
    sizes = np.abs(np.asarray(_derivative(f, z), np.float64))
    steepest, inner = float(sizes.max()), float(sizes[np.abs(z) <= REACH / 2].max())
    if not math.isfinite(steepest) or steepest > BOUNDED * inner:
        raise ValueError(
            f"`activation` has slopes up to {steepest:.3g} within |z| ≤ {REACH}, {inner:.3g} within half of it: they "
            "have no bound to compare with. Give a function of bounded slope."
        )
    if steepest == 0:
        raise ValueError("`activation` has slope 0 everywhere: no gradient passes it. Give one with a derivative.")
    return steepest


def _checked(z: Any, n: int) -> Array:
    """z in float32 or wider, units along the axes after the first."""
    if not hasattr(z, "shape") or jnp.iscomplexobj(z):
        came = "complex numbers" if hasattr(z, "shape") else _checks.kind(z)
        raise TypeError(f"`preactivations` returned {came}; wanted z ({n}, units…), one array of real numbers.")
    if z.shape[:1] != (n,) or 0 in z.shape:
        raise ValueError(f"`preactivations` returned shape {z.shape}; wanted ({n}, units…), the examples first.")
    z = _checks.floating(z)
    return z.astype(_trees.wide(z))
