"""`spectral_density`: how the eigenvalues of a Hessian are distributed, by stochastic Lanczos quadrature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from landscape import _checks, _cost, _trees
from landscape._trees import Params
from landscape.objectives.objective import Objective
from landscape.operators import _krylov, _space, products
from landscape.operators._krylov import Krylov
from landscape.operators._linear import Inputs, Program, linear
from landscape.operators.products import PRECISION, Curvature, curvature
from landscape.tiles.progress import Progress

if TYPE_CHECKING:
    import xarray

POINTS, WIDTH = 400, 0.01  # of a grid of eigenvalues; of a peak, as a share of the range
ROUNDING = 1e-6  # of eigenvalues that are all the same, as a share of their size


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """The spectral measure of a symmetric operator, as a sum of peaks for each probe. Prints as a sentence.

    nodes:   (num_probes, num_matvecs), ascending: where the peaks are.
    weights: (num_probes, num_matvecs), ≥ 0; of each probe they add up to 1.
    name, size, kinks: of the operator, as in `Eigenpairs`.
    """

    nodes: np.ndarray
    weights: np.ndarray
    name: str
    size: int
    kinks: tuple[str, ...]

    def moment(self, order: int) -> tuple[float, float]:
        """(tr Bᵏ/p, its standard error over the probes), k = order; NaN for the error of a single probe."""
        mean, stderr = _mean(np.sum(self.weights * self.nodes ** _checks.count("order", order, least=0), axis=1))
        return float(mean), float(stderr)

    def density(self, grid: ArrayLike | None = None, width: float | None = None) -> xarray.Dataset:
        """The density smoothed by Gaussians, φ(t) = mean over probes of Σᵢ wᵢ N(t; θᵢ, width²), with its error band.

        grid:  eigenvalues t (g,); 400 of the range and four widths beyond by default.
        width: standard deviation of the Gaussians; 1 % of the range by default.
        Returns: a Dataset over `eigenvalue`: `density`, `density_stderr`, and the distribution function `distribution`,
        `distribution_stderr`. The standard errors are over the probes, NaN for a single one; what smoothing and a
        finite num_matvecs leave out is not in them.
        """
        import xarray
        from scipy.special import ndtr

        low, high = float(self.nodes.min()), float(self.nodes.max())
        size = max(abs(low), abs(high))
        spread = high - low if high - low > ROUNDING * size else size or 1.0
        width = WIDTH * spread if width is None else _checks.positive("width", width)
        ends = low - 4 * width, high + 4 * width
        t = np.linspace(*ends, POINTS) if grid is None else _checks.numeric("grid", grid).astype(np.float64)
        if t.ndim != 1 or t.size == 0:
            raise ValueError(f"`grid` has shape {t.shape}; give eigenvalues (g,).")
        _checks.finite("grid", t, "Give finite eigenvalues")
        scaled = (t[:, None, None] - self.nodes) / width
        peaks = np.exp(-0.5 * scaled**2) / (width * np.sqrt(2 * np.pi))
        found = {"density": peaks, "distribution": ndtr(scaled)}
        variables = {}
        for name, values in found.items():
            mean, stderr = _mean(np.sum(self.weights * values, axis=2).T)
            variables[name] = ("eigenvalue", mean, {"long_name": f"spectral {name}"})
            variables[f"{name}_stderr"] = ("eigenvalue", stderr, {"long_name": f"standard error of the {name}"})
        described = {"long_name": f"eigenvalue of the {self.name}", "units": "1"}
        attributes = {"kind": "spectral_density", "operator": self.name, "width": width, "params": self.size}
        attributes |= {"num_probes": len(self.nodes), "num_matvecs": self.nodes.shape[1]}
        return xarray.Dataset(variables, {"eigenvalue": ("eigenvalue", t, described)}, attributes)

    def __str__(self) -> str:
        mean, stderr = self.moment(1)
        line = (
            f"Spectral density of the {self.name} ({self.size} params) from {len(self.nodes)} probes of "
            f"{self.nodes.shape[1]} products: eigenvalues from {self.nodes.min():.4g} to {self.nodes.max():.4g}, "
            f"mean {mean:.4g} ± {stderr:.1g}"
        )
        return "\n".join([line, *products.about_kinks(self.kinks, self.name)])

    __repr__ = __str__


def spectral_density(
    objective: Objective,
    params: Params,
    *,
    num_matvecs: int = 50,
    num_probes: int = 10,
    key: Array,
    kind: str = "hessian",
    leaves: str | Sequence[str] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    progress: bool | None = None,
) -> SpectralDensity:
    """The density of a Hessian's eigenvalues, by stochastic Lanczos quadrature.

        φ(t) = (1/p) Σᵢ δ(t − λᵢ) ≈ mean over probes of Σᵢ (e₁ᵀuᵢ)² δ(t − θᵢ)

    of the tridiagonal matrix of Lanczos from a random unit vector, with eigenpairs (θᵢ, uᵢ): a quadrature that is exact
    for polynomials up to degree 2·num_matvecs − 1 in the probe's own measure.
    num_matvecs: products a probe, and vectors of memory; of fewer params as many as there are.
    num_probes:  random vectors; the error band is their spread.
    kind, leaves, batch_size, memory: which operator, as in `curvature`; `leaves="layer1"` is a layer's diagonal block.
    progress:    show a bar; by default after two seconds on a terminal.
    Returns: a `SpectralDensity`.
    Raises: ValueError or TypeError, naming the argument; ValueError for a product that is not finite.
    References: Golub & Welsch 1969; Ubaru, Chen & Saad 2017; Ghorbani, Krishnan & Xiao 2019, section 2.

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> bowl = ls.function(lambda p: jnp.sum(p["x"] ** 2), {"x": jnp.zeros(5)})  # all eigenvalues are 2
        >>> found = ls.spectral_density(bowl, bowl.params, num_matvecs=3, num_probes=2, key=jax.random.key(0))
        >>> found.nodes[0].round(5), round(found.moment(1)[0], 5)
        (array([2., 2., 2.]), 2.0)
    """
    operator = curvature(objective, params, kind=kind, leaves=leaves, batch_size=batch_size, memory=memory)
    _checks.random_key("key", key)
    rows = min(_checks.count("num_matvecs", num_matvecs), operator.size)
    _checks.count("num_probes", num_probes)
    together = _together(operator, num_probes, rows, memory)
    nodes, weights = [], []
    with jax.default_matmul_precision(PRECISION), Progress(num_probes * rows, "products", progress) as bar:
        for first in range(0, num_probes, together):
            count = min(together, num_probes - first)
            for state in _lanczos(operator, key, first, count, rows):
                found = _krylov.ritz(state, 1, operator.size)
                nodes.append(found.values)
                weights.append(np.square(found.vectors[0]))
            bar.update(count * rows)
    return SpectralDensity(np.stack(nodes), np.stack(weights), operator.name, operator.size, products.kinks(objective))


def _mean(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the first axis, and its standard error."""
    count = len(samples)
    stderr = np.std(samples, axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.full(samples.shape[1:], np.nan)
    return samples.mean(axis=0), stderr


def _together(operator: Curvature, num_probes: int, rows: int, memory: int | None) -> int:
    """Probes at a time: as many as fit, since they share each pass over the data; one on CPU, where that costs nothing
    and products of one basis after the other are faster."""
    if operator.resident and jax.default_backend() == "cpu":
        return 1
    held = int(_cost.budget(memory) / 2 / ((rows + 1) * _space.vector_bytes(operator)))
    return _space.evenly(num_probes, max(1, min(held, _space.at_a_time(operator, memory))))


def _lanczos(operator: Curvature, key: Array, first: int, count: int, rows: int) -> list[Krylov]:
    """Lanczos from a random vector for each of these probes; what it knows but the basis."""
    if count == 1:
        state = _space.begin(operator.inputs.moving, rows, 1, jax.random.fold_in(key, first))
        return [_space.advanced(operator, state, rows, 1)]
    phases = _phases(key, first, count, operator.inputs.moving)
    if operator.resident:
        states = _whole(operator.program, operator.inputs, phases, rows, operator.size)
    else:
        states = _begun(phases, operator.inputs.moving, rows)
        for _ in range(rows):
            states = _absorbed(states, operator.times(_next(states)), operator.size)
    states = states._replace(basis=None)
    if not np.isfinite(states.projected).all():
        ones = jax.tree.map(lambda leaf: jnp.ones((1, *leaf.shape), _trees.wide(leaf)), operator.inputs.moving)
        operator.refuse(ones)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], states) for i in range(count)]


@partial(jax.jit, static_argnames=("program", "rows", "size"))
def _whole(program: Program, inputs: Inputs, phases: Params, rows: int, size: int) -> Krylov:
    times, states = linear(program, inputs), _begun(phases, inputs.moving, rows)
    states = jax.lax.fori_loop(0, rows, lambda _, states: _absorbed(states, times(_next(states)), size), states)
    return states._replace(basis=None, phases=None)  # what is large


@partial(jax.jit, static_argnames="count")
def _phases(key: Array, first: int, count: int, like: Params) -> Params:
    """Of probes number `first` and following, each by its own key: the same ones however many fit in memory."""
    return jax.vmap(lambda i: _trees.phases(jax.random.fold_in(key, i), like))(first + jnp.arange(count))


@partial(jax.jit, static_argnames="rows")
def _begun(phases: Params, moving: Params, rows: int) -> Krylov:
    return jax.vmap(lambda one: _krylov.begin(moving, rows, 1, one))(phases)


@jax.jit
def _next(states: Krylov) -> Params:
    """The vectors that come next, leaves (probes, *leaf)."""
    return jax.tree.map(lambda leaf: leaf[:, 0], jax.vmap(lambda state: _krylov.following(state, 1))(states))


@partial(jax.jit, static_argnames="size")
def _absorbed(states: Krylov, multiplied: Params, size: int) -> Krylov:
    each = jax.tree.map(lambda leaf: leaf[:, None], multiplied)
    return jax.vmap(lambda state, product: _krylov.absorbed(state, product, size))(states, each)
