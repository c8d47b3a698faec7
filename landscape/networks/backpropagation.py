"""Backpropagation, written out: the error δ of every unit, and how much of it each next unit passed back.

δ⁽ᴸ⁾ = ∂loss/∂z⁽ᴸ⁾        δ⁽ˡ⁾ = (W⁽ˡ⁺¹⁾ δ⁽ˡ⁺¹⁾) · f'(z⁽ˡ⁾)        ∂loss/∂W⁽ˡ⁾ = a⁽ˡ⁻¹⁾ δ⁽ˡ⁾ᵀ        ∂loss/∂b⁽ˡ⁾ = δ⁽ˡ⁾
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.objectives.activations import ACTIVATIONS
from landscape.objectives.mlp import SOFTMAX, Network
from landscape.objectives.penalties import Penalty

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class Backpropagation:
    """What `backpropagation` computed, example by example; prints as a table of the layers.

    Tuples have an entry a layer, 1…L: z[0] belongs to the first hidden layer, z[-1] to the output.

    losses:        (n,), the loss of each example.
    inputs:        (n, sizes[0]), a⁽⁰⁾ = x.
    z, a:          (n, units) a layer, pre-activations and activations.
    delta:         (n, units) a layer, ∂loss/∂z, the error of each unit.
    risk_gradient: a tree like the params, of the mean of the losses.
    gradient:      the same of the objective: with the penalty's share.
    """

    network: Network
    params: Params
    losses: Array
    inputs: Array
    z: tuple[Array, ...]
    a: tuple[Array, ...]
    delta: tuple[Array, ...]
    risk_gradient: Params
    gradient: Params

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.losses)

    @property
    def finite(self) -> np.ndarray:
        """Whether all numbers of an example are finite: (n,)."""
        rows = (self.losses[:, None], *self.z, *self.a, *self.delta)
        return np.logical_and.reduce([np.isfinite(np.asarray(row)).all(axis=1) for row in rows])

    @property
    def derivatives(self) -> tuple[Array, ...]:
        """f'(z), (n, units) a hidden layer: 0 where a unit is saturated or, with relu, off."""
        return tuple(self.network.hidden.derivative(z) for z in self.z[:-1])

    @property
    def summands(self) -> tuple[Array, ...]:
        """W_ij δ_j on the edges into a layer, (n, in, out): how much of unit i's error next unit j passes back.

        Σ_j W_ij δ_j · f'(z_i) is δ_i of a hidden unit; of an input, which has no f, Σ_j W_ij δ_j is ∂loss/∂xᵢ. Computed
        when asked for: of many examples these are large; `summands_of` has those of one.
        """
        weights = (self.params[f"layer{i}"]["W"] for i in range(1, len(self.delta) + 1))
        return tuple(w[None] * delta[:, None, :] for w, delta in zip(weights, self.delta, strict=True))

    def summands_of(self, example: int) -> tuple[Array, ...]:
        """`summands` of one example, 0…n − 1: (in, out) a layer.

        Raises: ValueError for an example that is none.
        """
        if not 0 <= _checks.count("example", example, least=0) < self.n:
            raise ValueError(f"`example` is {example}; there are {self.n}: give 0 to {self.n - 1}.")
        weights = (self.params[f"layer{i}"]["W"] for i in range(1, len(self.delta) + 1))
        return tuple(w * delta[example][None] for w, delta in zip(weights, self.delta, strict=True))

    def delta_norms(self) -> xarray.Dataset:
        """`delta_rms`, the root mean square of δ over examples and units, by `layer` 1…L: how the error vanishes."""
        import xarray

        norms = np.array([_root_mean_square(delta) for delta in self.delta])
        about = {"long_name": "root mean square of δ", "units": "1"}
        layers = ("layer", np.arange(1, len(norms) + 1), {"long_name": "layer", "units": "1"})
        return xarray.Dataset({"delta_rms": ("layer", norms, about)}, {"layer": layers}, {"kind": "delta_norms"})

    def __str__(self) -> str:
        network = self.network
        lines = [
            f"Backpropagation through {'-'.join(map(str, network.sizes))} ({network.activation}, output "
            f"{network.output}, {network.loss.replace('_', ' ')}): {self.n} examples, risk "
            f"{np.asarray(self.losses).mean():.6g}",
            f"{'layer':>5} {'units':>6} {'RMS δ':>11} {'mean f′(z)':>11} {'‖∂R/∂W‖':>11} {'‖∂R/∂b‖':>11}",
        ]
        slopes = [f"{np.asarray(slope).mean():.3g}" for slope in self.derivatives] + [""]
        for i, (delta, slope) in enumerate(zip(self.delta, slopes, strict=True), 1):
            norms = (_norm(self.risk_gradient[f"layer{i}"][name]) for name in ("W", "b"))
            rms, weights, biases = (f"{value:.3g}" for value in (_root_mean_square(delta), *norms))
            lines.append(f"{i:>5} {delta.shape[1]:>6} {rms:>11} {slope:>11} {weights:>11} {biases:>11}")
        bad = int((~self.finite).sum())
        return "\n".join(lines + [f"{bad} of {self.n} examples have numbers that are not finite"] * (bad > 0))

    __repr__ = __str__


def backpropagation(
    network: Network, params: Params, x: ArrayLike, y: ArrayLike, *, penalty: Penalty | None = None
) -> Backpropagation:
    """Every number of the backward pass, by the recursion itself and not by autodiff, for each example.

        half squared error   δ⁽ᴸ⁾ = (h − y)·g'(z⁽ᴸ⁾)          g softmax: p_k Σ_j p_j (r_k − r_j), r = p − y
        cross-entropy        δ⁽ᴸ⁾ = h − y                     g softmax or sigmoid: g' cancels
        hidden               δ⁽ˡ⁾_i = f'(z⁽ˡ⁾_i) Σ_j W⁽ˡ⁺¹⁾_ij δ⁽ˡ⁺¹⁾_j        W[i, j] leads from unit i to unit j
        gradient             ∂R/∂W = mean of a δᵀ,  ∂R/∂b = mean of δ;  ∂J/∂W has λW beside under `ls.weight_decay(λ)`

    The ½ of the half squared error cancels the 2 of its derivative: without it every δ is twice as large.
    network: an `ls.mlp`; of other models `jax.grad(objective.risk)(params)` is the gradient.
    params:  {"layer1": {"W": (in, out), "b": (out,)}, …}; their dtype is that of the results.
    x, y:    inputs (n, sizes[0]) and targets, as `network.objective` takes them.
    penalty: Ω of the objective, for `gradient` (of minimum norm, where Ω has a kink); none by default.
    Returns: a `Backpropagation`. What is NaN or infinite stays so, and `finite` says of which example.
    Raises:  TypeError for another network; ValueError for other shapes of params, x or y, or labels that are none.

    As a derivation done by hand it passes `ls.check_gradient(network.objective(x, y), formula)` with
    `formula = lambda params: backpropagation(network, params, x, y).gradient`.

    References: Rumelhart, Hinton & Williams 1986 (Nature 323), equations 4 to 7; Hastie, Tibshirani & Friedman 2009,
    section 11.4.

        >>> import jax, landscape as ls
        >>> network = ls.mlp((2, 2, 1), activation="identity")
        >>> params = network.init(jax.random.key(0), "constant", scale=1.0)
        >>> found = ls.backpropagation(network, params, [[1.0, 2.0]], [8.0])  # z = (4, 4) and 9, so h − y = 1
        >>> found.delta[0].tolist(), found.delta[1].tolist()
        ([[1.0, 1.0]], [[1.0]])
        >>> found.risk_gradient["layer1"]["W"].tolist()
        [[1.0, 1.0], [2.0, 2.0]]
    """
    give = "an ls.mlp((2, 3, 1)): the recursion is that of fully connected layers. Of any other model, "
    give += "jax.grad(objective.risk)(params) is the gradient"
    _checks.instance("network", network, Network, give)
    _checks.warn_if_narrowed("params, x and y", (params, x, y), stacklevel=2)
    if penalty is not None:
        _checks.instance("penalty", penalty, Penalty, "ls.weight_decay(0.1), ls.l2(…) or ls.l1(…)")
    inputs, targets = network._checked(x, y)
    params = _checked_params(network, params)
    dtype = _trees.widest(params)
    labels = targets if jnp.issubdtype(targets.dtype, jnp.integer) else targets.astype(dtype)
    with jax.default_matmul_precision("highest"):
        computed = _all(network, params, inputs.astype(dtype), labels)
    gradient = computed["risk_gradient"]
    if penalty is not None:
        gradient = penalty.subgradient(params, gradient)
    return Backpropagation(network, params, **computed, gradient=gradient)


def _checked_params(network: Network, params: Params) -> Params:
    """Params as arrays of one floating-point dtype, if they are like the network's."""
    layers = enumerate(itertools.pairwise(network.sizes), 1)
    wanted = {f"layer{i}": {"W": np.zeros((n, m), "float32"), "b": np.zeros(m, "float32")} for i, (n, m) in layers}
    if jax.tree.structure(params) != jax.tree.structure(wanted) or any(
        np.shape(p) != w.shape for p, w in zip(jax.tree.leaves(params), jax.tree.leaves(wanted), strict=True)
    ):
        raise ValueError(
            "`params` are not like the network's; start from network.init(key).\n"
            + _trees.layouts(wanted=wanted, got=params)
        )
    params = jax.tree.map(_checks.floating, params)
    dtype = _trees.widest(params)
    return jax.tree.map(lambda p: p.astype(dtype), params)


@partial(jax.jit, static_argnames="network")
def _all(network: Network, params: Params, x: Array, y: Array) -> dict[str, Any]:
    """The fields of `Backpropagation` but for the objective's gradient: one example's recursion, mapped over all."""
    inputs = x[:, None] if x.ndim == 1 else x
    loss, z, a, delta = jax.vmap(partial(_one, network, params))(inputs, y)
    gradient = {
        f"layer{i}": {"W": before.T @ after / len(x), "b": jnp.mean(after, axis=0)}  # no a δᵀ of each example is stored
        for i, (before, after) in enumerate(zip((inputs, *a[:-1]), delta, strict=True), 1)
    }
    return {"losses": loss, "inputs": inputs, "z": z, "a": a, "delta": delta, "risk_gradient": gradient}


def _one(network: Network, params: Params, x: Array, y: Array) -> tuple[Any, ...]:
    """Loss, z, a and δ of one example x (sizes[0],): forward through the layers, and back."""
    passed = network.forward(params, x[None])
    z, a = (tuple(layer[0] for layer in layers) for layers in (passed.z, passed.a))
    delta = [_output_error(network, z[-1], y)]
    for i in range(len(z) - 1, 0, -1):
        passed_back = params[f"layer{i + 1}"]["W"] @ delta[0]  # Σ_j W_ij δ_j over the units that unit i feeds
        delta.insert(0, passed_back * network.hidden.derivative(z[i - 1]))
    return network.losses_of(z[-1][None], y[None])[0], z, a, tuple(delta)


def _output_error(network: Network, z: Array, y: Array) -> Array:
    """δ⁽ᴸ⁾ (K,) of the output's pre-activations z (K,)."""
    residual = network.residual(z[None], y[None])[0]
    if network.loss == "cross_entropy":
        return residual
    if network.output != SOFTMAX:
        return residual * ACTIVATIONS[network.output].derivative(z)
    # p_k (r_k − ⟨r, p⟩), with ⟨r, p⟩ inside the sum: where p_k is near 1, r_k − ⟨r, p⟩ would cancel.
    p = jax.nn.softmax(z)
    return p * jnp.sum(p[None] * (residual[:, None] - residual[None]), axis=1)


def _norm(values: Array) -> float:
    """√(Σ v²), on the host; scaled, so that no square under- or overflows. NaN and inf stay."""
    wide = np.asarray(values, np.float64)
    largest = float(np.abs(wide).max())
    return largest * float(np.linalg.norm(wide / largest)) if 0 < largest < np.inf else largest


def _root_mean_square(values: Array) -> float:
    return _norm(values) / float(np.sqrt(values.size))
