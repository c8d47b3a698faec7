"""Planes of small networks: one description of layers, data, weights, directions and axes, read by every contestant."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import landscape as ls

Layers = tuple[tuple[str, str], ...]  # (kind, the name of its weights or "")
NAMES = ("alpha", "beta")


@dataclass(frozen=True)
class Network:
    """losses(params, (x, labels)) -> (n,): cross-entropy of the layers' output, as most people write it.

    Kinds: dense, squared (a dense layer whose kernel enters squared), conv (3×3, same size), tanh, relu, pool (2×2,
    the greatest), flatten. Images are (n, height, width, channels).
    """

    layers: Layers

    def __call__(self, params: Any, batch: tuple[Any, Any]) -> jax.Array:
        x, labels = batch
        for kind, name in self.layers:
            x = _layer(kind, x, params.get(name))
        return optax.softmax_cross_entropy_with_integer_labels(x, labels)


@dataclass(frozen=True)
class Problem:
    """A network's risk on a plane: float32 arrays of NumPy, the same numbers for all."""

    name: str
    network: Network
    data: tuple[np.ndarray, np.ndarray]
    origin: dict[str, dict[str, np.ndarray]]
    directions: tuple[Any, Any]  # trees like `origin`
    axes: tuple[np.ndarray, np.ndarray]

    @property
    def cells(self) -> np.ndarray:
        """(alpha, beta) of every cell, (cells, 2), beta fastest."""
        return np.stack([c.ravel() for c in np.meshgrid(*self.axes, indexing="ij")], axis=1)

    @property
    def title(self) -> str:
        """The workload's name in the table."""
        return f"{self.name}, {len(self.data[0])} examples, {len(self.axes[0])}×{len(self.axes[1])} cells"

    @cached_property
    def objective(self) -> ls.Objective:
        """What `landscape` measures."""
        return ls.Objective(self.network, self.data, params=self.origin)

    @cached_property
    def plane(self) -> ls.Plane:
        """Where `landscape` measures it."""
        return ls.Plane(self.origin, self.directions, names=NAMES)

    def typed(self, dtype: Any) -> "Problem":
        """The same in another dtype, integers excepted."""

        def cast(leaf: np.ndarray) -> np.ndarray:
            return leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf

        parts = (self.data, self.origin, self.directions, self.axes)
        return Problem(self.name, self.network, *jax.tree.map(cast, parts))

    def evaluate(self, quantities: Sequence[str] = ("risk",), devices: Sequence[Any] | None = None) -> list[np.ndarray]:
        """`ls.evaluate`: each quantity's values, (cells, …)."""
        axes = dict(zip(NAMES, self.axes, strict=True))
        options: dict[str, Any] = {"quantities": quantities, "devices": devices, "progress": False}
        surface = ls.evaluate(self.objective, self.plane, axes, **options)
        arrays = (surface[name].transpose(*NAMES, ...).values for name in quantities)
        return [array.reshape(-1, *array.shape[2:]) for array in arrays]


def perceptron(
    name: str, data: tuple[np.ndarray, np.ndarray], hidden: int, side: int, first: str = "dense", outputs: int = 10
) -> Problem:
    """inputs–hidden–outputs, tanh; `first` is the kind of its first layer."""
    layers = ((first, "hidden"), ("tanh", ""), ("dense", "out"))
    return _problem(name, layers, data, {"hidden": (data[0].shape[1], hidden), "out": (hidden, outputs)}, side)


def linear(data: tuple[np.ndarray, np.ndarray], side: int) -> Problem:
    """One layer: softmax regression."""
    inputs = data[0].shape[1]
    return _problem(f"linear {inputs}-10", (("dense", "out"),), data, {"out": (inputs, 10)}, side)


def convolutional(data: tuple[np.ndarray, np.ndarray], channels: tuple[int, int], side: int) -> Problem:
    """Two blocks of a 3×3 convolution, relu and max-pooling, and a dense layer."""
    first, second = channels
    layers = (("conv", "conv1"), ("relu", ""), ("pool", ""), ("conv", "conv2"), ("relu", ""), ("pool", ""))
    height, width, depth = data[0].shape[1:]
    flat = (height // 4) * (width // 4) * second
    shapes = {"conv1": (3, 3, depth, first), "conv2": (3, 3, first, second), "out": (flat, 10)}
    name = f"CNN {first}-{second}"
    return _problem(name, (*layers, ("flatten", ""), ("dense", "out")), data, shapes, side)


def noise(examples: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal inputs with the labels of a random linear teacher."""
    random = np.random.default_rng(0)
    x = random.standard_normal((examples, inputs), np.float32)
    return x, (x @ random.standard_normal((inputs, 10), np.float32)).argmax(axis=1).astype(np.int32)


def digits(examples: int, images: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The first of scikit-learn's 1797 digits, 8×8 pixels in [0, 1]."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    x = (loaded.images if images else loaded.data)[:examples].astype(np.float32) / 16
    return x[..., None] if images else x, loaded.target[:examples].astype(np.int32)


def _problem(name: str, layers: Layers, data: Any, shapes: dict[str, tuple[int, ...]], side: int) -> Problem:
    random = np.random.default_rng(1)
    origin = {
        layer: {
            "kernel": random.standard_normal(shape, np.float32) / np.float32(math.sqrt(math.prod(shape[:-1]))),
            "bias": 0.1 * random.standard_normal(shape[-1:], np.float32),
        }
        for layer, shape in shapes.items()
    }
    directions = ls.random_directions(jax.random.key(0), origin, 2, normalize="filter")
    first, second = jax.tree.map(np.asarray, directions)
    return Problem(name, Network(layers), data, origin, (first, second), (_axis(side), _axis(side)))


def _axis(side: int) -> np.ndarray:
    return np.linspace(-1, 1, side, dtype=np.float32)


def _layer(kind: str, x: jax.Array, weights: Any) -> jax.Array:
    match kind:
        case "dense":
            return x @ weights["kernel"] + weights["bias"]
        case "squared":
            return x @ jnp.square(weights["kernel"]) + weights["bias"]
        case "conv":
            layout = ("NHWC", "HWIO", "NHWC")
            moved = jax.lax.conv_general_dilated(x, weights["kernel"], (1, 1), "SAME", None, None, layout)
            return moved + weights["bias"]
        case "tanh":
            return jnp.tanh(x)
        case "relu":
            return jax.nn.relu(x)
        case "pool":
            least = jnp.asarray(-jnp.inf, x.dtype)
            return jax.lax.reduce_window(x, least, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        case "flatten":
            return x.reshape(len(x), -1)
    raise ValueError(f"unknown layer {kind!r}")
