"""Multilayer perceptrons: z⁽ˡ⁾ = a⁽ˡ⁻¹⁾ W⁽ˡ⁾ + b⁽ˡ⁾, a⁽ˡ⁾ = f(z⁽ˡ⁾), from a⁽⁰⁾ = x to the output h(x) = g(z⁽ᴸ⁾)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from landscape import _checks
from landscape._trees import Params
from landscape.objectives import activations, penalties
from landscape.objectives import losses as _losses
from landscape.objectives.activations import ACTIVATIONS, Activation
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty

LOSSES = ("half_squared_error", "cross_entropy")
SOFTMAX = "softmax"


class Forward(NamedTuple):
    """What a forward pass computes: z[l] and a[l] of the layers 1…L, the output's included; and a⁽⁰⁾ = x."""

    inputs: Array
    z: list[Array]
    a: list[Array]


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron of these sizes; equal by value. Made by `ls.mlp`, which says what the fields are."""

    sizes: tuple[int, ...]
    activation: str
    output: str
    loss: str

    @property
    def hidden(self) -> Activation:
        """f, the activation of the hidden layers."""
        return activations.activation(self.activation)

    def init(self, key: Array, initializer: str = "glorot", *, scale: float = 1.0) -> Params:
        """Params {"layer1": {"W": (in, out), "b": (out,)}, …} at which to start; biases are 0 unless said.

            glorot        W uniform on ±scale·√(6/(in + out))
            he            W normal with variance scale²·2/in
            uniform       W and b uniform on ±scale
            equal_units   as glorot, but all units of a hidden layer are alike, coming in and going out
            constant      W = b = scale

        Many starts at once: `jax.vmap(network.init)(jax.random.split(key, 200))`.
        Raises: ValueError for another initializer.
        References: Glorot & Bengio 2010, section 4.2.1; He et al. 2015, section 2.2.
        """
        _checks.random_key("key", key)
        draw = _checks.one_of("initializer", initializer, _DRAWS)
        keys = jax.random.split(key, len(self.sizes) - 1)
        layers = zip(keys, self.sizes[:-1], self.sizes[1:], strict=True)
        return {
            f"layer{i}": draw(k, (n, m), (i > 1, i < len(keys)), scale, _checks.default_float())
            for i, (k, n, m) in enumerate(layers, 1)
        }

    def forward(self, params: Params, x: Array) -> Forward:
        """Pre-activations z and activations a of every layer for x (n, sizes[0]): a tuple (x, z, a)."""
        x = x[:, None] if x.ndim == 1 else x
        z, a, depth = [], [], len(self.sizes) - 1
        for i in range(1, depth + 1):
            layer = params[f"layer{i}"]
            before = (a[-1] if a else x) @ layer["W"]
            z.append(before + layer["b"][None])
            a.append(self._output(z[-1]) if i == depth else self.hidden(z[-1]))
        return Forward(x, z, a)

    def apply(self, params: Params, x: ArrayLike) -> Array:
        """h(x), (n, sizes[-1]), of inputs x (n, sizes[0]); (n,) is n examples of one input."""
        return self.forward(jax.tree.map(jnp.asarray, params), _checks.floating(x)).a[-1]

    def losses(self, params: Params, batch: tuple[Array, Array]) -> Array:
        """The loss of each example, (n,), of a batch (x, y)."""
        x, y = batch
        return self.losses_of(self.forward(params, x).z[-1], y)

    def losses_of(self, z: Array, y: Array) -> Array:
        """The loss of each example, (n,), from the output's pre-activations z (n, K)."""
        if self.loss == "half_squared_error":
            return 0.5 * jnp.sum(jnp.square(self.residual(z, y)), axis=1)
        y = self.targets(z, y)
        return (
            _losses.softmax_cross_entropy(z, y) if self.output == SOFTMAX else _losses.cross_entropy(z, y).sum(axis=1)
        )

    def residual(self, z: Array, y: Array) -> Array:
        """h(x) − y, (n, K), without cancellation where the output saturates at y."""
        y = self.targets(z, y)
        return _losses.softmax_residual(z, y) if self.output == SOFTMAX else ACTIVATIONS[self.output].residual(z, y)

    def targets(self, z: Array, y: Array) -> Array:
        """Labels like z (n, K): integers 0…K−1 (n,) become rows of 0 and 1."""
        if jnp.issubdtype(y.dtype, jnp.integer) and self.output == SOFTMAX:
            return jax.nn.one_hot(y, z.shape[1], dtype=z.dtype)
        return y.astype(z.dtype).reshape(z.shape)

    def objective(
        self, x: ArrayLike, y: ArrayLike, *, params: Params | None = None, penalty: Penalty | None = None
    ) -> Objective:
        """The objective J(θ) = (1/m) Σ loss(h(xᵢ), yᵢ) + penalty; `ls.weight_decay(λ)` is (λ/2) Σ W², weights only.

        x:      inputs (n, sizes[0]); (n,) for one input.
        y:      targets (n, K), or (n,) for one output; with a softmax also classes 0…K−1 as integers (n,).
        params: an example of the params; zeros by default.
        Raises: ValueError for other shapes, NaN or inf, classes that are none, probabilities outside [0, 1].
        """
        _checks.warn_if_narrowed("x and y", (x, y), stacklevel=2)
        x, y = self._checked(x, y)
        example = self.init(jax.random.key(0), "constant", scale=0.0) if params is None else params
        return Objective(
            NetworkLosses(self),
            (x, y),
            params=example,
            penalty=penalties.none() if penalty is None else penalty,
            predict=NetworkOutput(self),
        )

    def _output(self, z: Array) -> Array:
        return jax.nn.softmax(z, axis=1) if self.output == SOFTMAX else ACTIVATIONS[self.output](z)

    def _checked(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        inputs, labels = _checks.numeric("x", x), _checks.numeric("y", y)
        _checks.finite("x", inputs)
        _checks.finite("y", labels)
        first, outputs, n = self.sizes[0], self.sizes[-1], len(inputs) if inputs.ndim else 0
        if inputs.shape not in ((n, first), (n,) if first == 1 else (n, first)) or n == 0:
            raise ValueError(f"`x` has shape {inputs.shape}; this network's inputs are (n, {first}), n ≥ 1.")
        classes = self.output == SOFTMAX and np.issubdtype(labels.dtype, np.integer)
        if labels.shape != ((n,) if classes else (n, outputs)) and (outputs > 1 or labels.shape != (n,)):
            as_classes = f", or classes 0 to {outputs - 1} as integers ({n},)" if self.output == SOFTMAX else ""
            raise ValueError(
                f"`y` is {labels.dtype} of shape {labels.shape}; this network's targets are ({n}, {outputs})"
                f"{as_classes}."
            )
        if classes and not ((labels >= 0) & (labels < outputs)).all():
            raise ValueError(f"`y` holds classes from {labels.min()} to {labels.max()}; wanted 0 to {outputs - 1}.")
        if self.loss == "cross_entropy" and not classes and not ((labels >= 0) & (labels <= 1)).all():
            raise ValueError("`y` holds numbers outside [0, 1]; cross-entropy needs probabilities.")
        if self.loss == "cross_entropy" and self.output == SOFTMAX and not classes:
            sums = labels.astype(np.float64).sum(axis=1)
            if not np.allclose(sums, 1, atol=1e-5):
                raise ValueError(
                    f"`y` has rows that sum to between {sums.min():.6g} and {sums.max():.6g}; the probabilities of the "
                    "classes sum to 1."
                )
        own = inputs if np.issubdtype(inputs.dtype, np.floating) else inputs.astype(_checks.default_float())
        like = labels if classes or np.issubdtype(labels.dtype, np.floating) else labels.astype(own.dtype)
        return jnp.asarray(own), jnp.asarray(like)


@dataclass(frozen=True)
class NetworkLosses:
    """losses(params, (x, y)) of a network: equal by value, so that compiled code is used again."""

    network: Network

    def __call__(self, params: Params, batch: tuple[Array, Array]) -> Array:
        """The loss of each example, (n,)."""
        return self.network.losses(params, batch)

    def outputs(self, params: Params, batch: tuple[Array, Array]) -> Array:
        """What the loss is convex in, (n, K): z under cross-entropy, h(x) under squared error."""
        forward = self.network.forward(params, batch[0])
        return forward.z[-1] if self.network.loss == "cross_entropy" else forward.a[-1]

    def losses_of(self, outputs: Array, batch: tuple[Array, Array]) -> Array:
        """The loss of each example, (n,), from the outputs (n, K)."""
        if self.network.loss == "cross_entropy":
            return self.network.losses_of(outputs, batch[1])
        return 0.5 * jnp.sum(jnp.square(outputs - self.network.targets(outputs, batch[1])), axis=1)


@dataclass(frozen=True)
class NetworkOutput:
    """predict(params, x) of a network."""

    network: Network

    def __call__(self, params: Params, x: Array) -> Array:
        """h(x), (n, K); (n,) where there is one output."""
        output = self.network.apply(params, x)
        return output[:, 0] if output.shape[1] == 1 else output


def mlp(
    sizes: Sequence[int], *, activation: str = "tanh", output: str = "identity", loss: str = "half_squared_error"
) -> Network:
    """A multilayer perceptron with sizes[0] inputs, hidden layers and sizes[-1] outputs K: a `Network`.

        z⁽ˡ⁾ = a⁽ˡ⁻¹⁾ W⁽ˡ⁾ + b⁽ˡ⁾       a⁽ˡ⁾ = f(z⁽ˡ⁾)       h(x) = g(z⁽ᴸ⁾)

        half_squared_error   ½‖h(x) − y‖²           any output g
        cross_entropy        −Σ_k y_k log h_k(x)    g softmax: K classes; g sigmoid: K labels of their own, each with
                                                    −(1 − y_k) log(1 − h_k) beside

    Params are {"layer1": {"W": (in, out), "b": (out,)}, "layer2": …}: W[i, j] leads from unit i to unit j.
    activation: f, of the hidden layers: "identity", "sigmoid", "tanh", "relu" or "softplus".
    output:     g: one of these, or "softmax".
    Raises: ValueError for fewer than two sizes, widths of zero, other names, cross-entropy without probabilities.
    References: Hastie, Tibshirani & Friedman 2009, section 11.3.

        >>> import jax, landscape as ls
        >>> network = ls.mlp((2, 8, 3), output="softmax", loss="cross_entropy")
        >>> objective = network.objective([[0.0, 1.0], [1.0, 0.0]], [0, 2], penalty=ls.weight_decay(0.1))
        >>> round(float(objective.risk(objective.params)), 6)  # log 3: all params are 0
        1.098612
        >>> network.apply(network.init(jax.random.key(0)), [[0.5, 0.5]]).shape
        (1, 3)
    """
    if isinstance(sizes, (str, int)) or not hasattr(sizes, "__iter__"):
        raise TypeError(f"`sizes` is {_checks.kind(sizes)}; give the sizes of all layers, such as (64, 32, 10).")
    widths = tuple(_checks.count(f"sizes[{i}]", size, unit=" units") for i, size in enumerate(sizes))
    if len(widths) < 2:
        raise ValueError(
            f"`sizes` has {len(widths)} numbers; give those of inputs, hidden layers and outputs, (64, 32, 10)."
        )
    _checks.one_of("activation", activation, ACTIVATIONS)
    _checks.one_of("output", output, {**ACTIVATIONS, SOFTMAX: None})
    _checks.one_of("loss", loss, dict.fromkeys(LOSSES))
    if output == SOFTMAX and widths[-1] == 1:
        raise ValueError(
            '`output` is "softmax" of one output, which is always 1; for two classes use "sigmoid", or 2 outputs.'
        )
    if loss == "cross_entropy" and output not in (SOFTMAX, "sigmoid"):
        raise ValueError(
            f'`output` is {output!r}, but loss="cross_entropy" needs probabilities: use output="softmax" or "sigmoid".'
        )
    return Network(widths, activation, output, loss)


def _with_zero_bias(initializer: Any) -> Any:
    def draw(key: Array, shape: tuple[int, int], _: Any, scale: float, dtype: Any) -> Params:
        return {"W": scale * initializer(key, shape, dtype), "b": jnp.zeros(shape[1], dtype)}

    return draw


def _uniform(key: Array, shape: tuple[int, int], _: Any, scale: float, dtype: Any) -> Params:
    key_w, key_b = jax.random.split(key)
    return {
        "W": jax.random.uniform(key_w, shape, dtype, -scale, scale),
        "b": jax.random.uniform(key_b, shape[1:], dtype, -scale, scale),
    }


def _constant(key: Array, shape: tuple[int, int], _: Any, scale: float, dtype: Any) -> Params:
    return {"W": jnp.full(shape, scale, dtype), "b": jnp.full(shape[1:], scale, dtype)}


def _equal_units(key: Array, shape: tuple[int, int], hidden: tuple[bool, bool], scale: float, dtype: Any) -> Params:
    """The weights of one hidden unit, copied to all of its layer: `hidden` says whether rows and columns are some."""
    drawn = _DRAWS["glorot"](key, shape, hidden, scale, dtype)
    one = drawn["W"][tuple(slice(1) if is_hidden else slice(None) for is_hidden in hidden)]
    return {"W": jnp.broadcast_to(one, shape), "b": drawn["b"]}


_DRAWS = {
    "glorot": _with_zero_bias(jax.nn.initializers.glorot_uniform()),
    "he": _with_zero_bias(jax.nn.initializers.he_normal()),
    "uniform": _uniform,
    "equal_units": _equal_units,
    "constant": _constant,
}
