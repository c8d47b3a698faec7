"""Problems whose answers are known before they are solved, in NumPy float64 and without the package's own formulas."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies

import landscape as ls
from landscape.surfaces._task import planned


def reals(low: float, high: float, **options: Any) -> strategies.SearchStrategy[float]:
    """Floats of a range, none subnormal: XLA flushes those to 0."""
    return strategies.floats(low, high, allow_subnormal=False, **options)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1/(1 + e^−z), to rounding in both tails."""
    z = np.asarray(z, np.float64)
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def sigmoid_slope(z: np.ndarray) -> np.ndarray:
    """σ(z)·σ(−z)."""
    return sigmoid(z) * sigmoid(-np.asarray(z))


def softplus(z: np.ndarray) -> np.ndarray:
    """log(1 + e^z)."""
    z = np.asarray(z, np.float64)
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


# The pair D = {(−1, 0), (1, 1)} under cross-entropy: R(w, b) = ½(softplus(b − w) + softplus(−w − b)).


def pair_risk(w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """R(w, b); log(1 + e^(w−b)) − w + b = log(1 + e^(b−w))."""
    return 0.5 * (softplus(b - w) + softplus(-w - b))


def pair_gradient(w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(∂R/∂w, ∂R/∂b)."""
    first, second = sigmoid(b - w), sigmoid(-w - b)
    return -0.5 * (first + second), 0.5 * (first - second)


def pair_hessian(w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(∂²R/∂w², ∂²R/∂w∂b, ∂²R/∂b²)."""
    first, second = sigmoid_slope(b - w), sigmoid_slope(-w - b)
    return 0.5 * (first + second), 0.5 * (second - first), 0.5 * (first + second)


# λ -> (w*, R(w*, 0), objective) of the pair under l2(λ); b* = 0. Root finding in float64, twelve digits.
PAIR_L2 = {
    0.001: (4.665120412406, 0.009374040174, 0.031137388636),
    0.01: (2.817989135949, 0.058010311245, 0.137420938948),
    0.1: (1.177505264154, 0.268534630763, 0.407186495474),
    0.5: (0.401058137542, 0.512590743242, 0.593014558087),
    1.0: (0.222323471278, 0.588151227949, 0.637578953830),
}
# λ -> w* of the pair under l1(λ): log((1 − λ)/λ) below ½, exactly 0 from ½ on; b* = 0.
PAIR_L1 = {0.01: 4.59511985013459, 0.1: 2.1972245773362196, 0.25: np.log(3.0), 0.5: 0.0, 1.0: 0.0}
# t -> w(t) of the pair's gradient flow from (0, 0) without a penalty: w + e^w = t + 1, b = 0.
PAIR_FLOW = {1: 0.4428544010021943, 10: 2.177325100614143, 100: 4.568829494840816}


@dataclass(frozen=True)
class Fit:
    """The unpenalized fit of the O-rings in raw °F (Dalal, Fowlkes & Hoadley 1989)."""

    w: float = -0.23216274
    b: float = 15.04290165
    risk: float = 0.44163462364927888  # in 40 decimals
    condition: float = 8.26e5  # of the Hessian
    standard_errors: tuple[float, float] = (0.1082, 7.3786)  # of w and b


O_RINGS = Fit()


@dataclass(frozen=True)
class Bowl:
    """½(θ − minimum)ᵀH(θ − minimum) with the eigenvalues that were asked for."""

    objective: ls.Objective
    minimum: Any  # {"theta": (n,)}
    hessian: np.ndarray  # (n, n)
    vectors: np.ndarray  # (n, n), eigenvectors as columns

    def eigenvector(self, i: int) -> Any:
        """The unit eigenvector i as params."""
        return {"theta": jnp.asarray(self.vectors[:, i], self.minimum["theta"].dtype)}


def quadratic(seed: int, eigenvalues: list[float], dtype: str) -> Bowl:
    """A bowl with these eigenvalues in a random orthonormal basis, its minimum at a random point."""
    generator = np.random.default_rng(seed)
    size = len(eigenvalues)
    vectors, _ = np.linalg.qr(generator.normal(size=(size, size)))
    hessian = vectors @ np.diag(eigenvalues) @ vectors.T
    center = jnp.asarray(generator.normal(size=size), dtype)
    matrix = jnp.asarray(hessian, dtype)

    def value(params: Any) -> Any:
        away = params["theta"] - center
        return 0.5 * jnp.dot(away, matrix @ away, precision="highest")

    minimum = {"theta": center}
    return Bowl(ls.function(value, minimum), minimum, hessian, vectors)


def classification(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping labeled inputs: x (n, d), y (n,) in {0, 1}, float32 so that both precisions see the same numbers."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, d)).astype(np.float32)
    y = (x @ generator.normal(size=d) + generator.normal(size=n) > 0.3).astype(np.float32)
    return x, y


def network_losses(params: Any, batch: Any) -> Any:
    """Half squared error of a tanh network over nested params {"hidden": {kernel, bias}, "output": {kernel, bias}}."""
    x, y = batch
    hidden = jnp.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None])
    output = hidden @ params["output"]["kernel"] + params["output"]["bias"][None]
    return 0.5 * jnp.sum((output - y) ** 2, axis=1)


def network(seed: int, dtype: str = "float32", n: int = 23) -> ls.Objective:
    """A 3-4-2 network on n random examples."""
    generator = np.random.default_rng(seed)

    def draw(*shape: int) -> Any:
        return jnp.asarray(generator.normal(size=shape), dtype)

    params = {
        "hidden": {"kernel": draw(3, 4), "bias": draw(4)},
        "output": {"kernel": draw(4, 2), "bias": draw(2)},
    }
    return ls.Objective(network_losses, (draw(n, 3), draw(n, 2)), params=params)


def plan(objective, grid, batch_size, memory, quantities=()):
    """What is chosen for a grid of this shape."""
    plane = ls.Plane(objective.params, _directions(objective.params, len(grid)), names=tuple("abc"[: len(grid)]))
    axes = {name: np.linspace(0, 1, size, dtype=np.float32) for name, size in zip(plane.names, grid, strict=True)}
    return planned(objective, plane, axes, quantities, None, batch_size, memory, exact=True).plan


def _directions(params, count):
    """So many, independent of each other."""
    leaves, tree = jax.tree.flatten(params)
    draw = np.random.default_rng(0).normal
    return tuple(tree.unflatten([draw(size=leaf.shape).astype(np.float32) for leaf in leaves]) for _ in range(count))


def masked_losses(params: Any, batch: Any) -> Any:
    """Half squared error of a line whose slope a boolean mask may switch off, beside noise drawn from a key."""
    x, y = batch
    slope = jnp.where(params["on"], params["w"], jnp.zeros_like(params["w"]))
    line = x @ (slope * params["scale"].astype(slope.dtype)) + params["b"]
    return 0.5 * (line + 0.1 * jax.random.normal(params["key"], y.shape, y.dtype) - y) ** 2


def masked() -> ls.Objective:
    """Params of which `on` (booleans), `scale` (integers) and `key` (a random key) are frozen."""
    params = {
        "w": jnp.array([1.0, -1.0, 0.5]),
        "b": jnp.array(0.25),
        "on": jnp.array([True, False, True]),
        "scale": jnp.array([1, 2, 3]),
        "key": jax.random.key(7),
    }
    return ls.Objective(masked_losses, classification(0, 12, 3), params=params)
