"""`trace` and `diagonal` of a Hessian from random probes, with standard errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.objectives.objective import Objective
from landscape.operators import _krylov, _space, products
from landscape.operators._space import AT_A_TIME
from landscape.operators.products import PRECISION, Curvature, curvature
from landscape.tiles.progress import Progress

BLOCKS = 4  # of a Krylov space, at least: the first are the random vectors themselves, which deflate nothing


@dataclass(frozen=True, eq=False)
class Trace:
    """What `trace` found. Prints as a sentence.

    value, stderr: the estimate and its standard error; 0 where all directions were taken exactly.
    samples:       (num_probes,), unbiased estimates whose mean is `value`.
    exact:         the share that was computed, not estimated: the trace on the space of `deflate` products.
    name, size, kinks: of the operator, as in `Eigenpairs`.
    """

    value: float
    stderr: float
    samples: np.ndarray
    exact: float
    name: str
    size: int
    kinks: tuple[str, ...]

    def __str__(self) -> str:
        line = f"Trace of the {self.name} ({self.size} params): {self.value:.6g} ± {self.stderr:.2g}"
        return "\n".join(
            [f"{line} (standard error, {len(self.samples)} probes)", *products.about_kinks(self.kinks, self.name)]
        )

    __repr__ = __str__


def trace(
    objective: Objective,
    params: Params,
    *,
    key: Array,
    num_probes: int = 100,
    deflate: int = 0,
    kind: str = "hessian",
    leaves: str | Sequence[str] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    progress: bool | None = None,
) -> Trace:
    """The trace of a Hessian, the sum of its eigenvalues, by Hutchinson's estimator: mean of zᵀBz over random signs z.

    num_probes: how many z, 2 or more. The standard error is their standard deviation / √num_probes.
    deflate:    so many products first make an orthonormal basis Q of a Krylov space; then tr QᵀBQ is exact, and only
                zᵀ(I − QQᵀ)B(I − QQᵀ)z is left to estimate (Hutch++). It pays where few eigenvalues are large. Q takes
                as many vectors of memory.
    kind, leaves, batch_size, memory: which operator, as in `curvature`; `leaves="layer1"` is a layer's diagonal block.
    progress:   show a bar; by default after two seconds on a terminal.
    The variance is 2 Σ Bᵢⱼ² over i ≠ j. Where it counts more than the mean, as at a saddle, ask for more probes.
    Returns: a `Trace`.
    Raises: ValueError or TypeError, naming the argument; ValueError for a product that is not finite.
    References: Hutchinson 1990; Meyer, Musco, Musco & Woodruff 2021 (Hutch++); Chen & Hallman 2023 (its Krylov space).

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> bowl = ls.function(lambda p: jnp.sum(jnp.arange(1.0, 5.0) * p["x"] ** 2), {"x": jnp.zeros(4)})
        >>> print(ls.trace(bowl, bowl.params, num_probes=2, key=jax.random.key(0)))
        Trace of the Hessian (4 params): 20 ± 0 (standard error, 2 probes)
    """
    operator = curvature(objective, params, kind=kind, leaves=leaves, batch_size=batch_size, memory=memory)
    _checks.random_key("key", key)
    _checks.count("num_probes", num_probes, least=2)
    _checks.count("deflate", deflate, least=0)
    first, second = jax.random.split(key)
    with jax.default_matmul_precision(PRECISION), Progress(num_probes + deflate, "products", progress) as bar:
        basis, exact = _deflated(operator, deflate, first)
        bar.update(deflate)
        samples = [_quadratic(*pair) for pair in _probed(operator, num_probes, second, basis, memory, bar)]
    rest = np.concatenate([np.asarray(part, np.float64) for part in samples])
    stderr = float(np.std(rest, ddof=1) / np.sqrt(num_probes))
    return Trace(
        exact + float(rest.mean()),
        stderr,
        exact + rest,
        exact,
        operator.name,
        operator.size,
        products.kinks(objective),
    )


@dataclass(frozen=True, eq=False)
class Diagonal:
    """What `diagonal` found: `values` and their standard errors `stderr`, trees like what moves of the params.

    name, size, kinks: of the operator, as in `Eigenpairs`. Prints as a sentence.
    """

    values: Params
    stderr: Params
    num_probes: int
    name: str
    size: int
    kinks: tuple[str, ...]

    def __str__(self) -> str:
        low, high = (float(f([f(leaf) for leaf in jax.tree.leaves(self.values)])) for f in (np.min, np.max))
        error = max(float(np.max(leaf)) for leaf in jax.tree.leaves(self.stderr))
        line = f"Diagonal of the {self.name} ({self.size} params): from {low:.4g} to {high:.4g}, standard errors up to"
        return "\n".join(
            [f"{line} {error:.2g} ({self.num_probes} probes)", *products.about_kinks(self.kinks, self.name)]
        )

    __repr__ = __str__


def diagonal(
    objective: Objective,
    params: Params,
    *,
    key: Array,
    num_probes: int = 100,
    kind: str = "hessian",
    leaves: str | Sequence[str] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    progress: bool | None = None,
) -> Diagonal:
    """The diagonal of a Hessian: mean of z ⊙ Bz over random signs z.

    num_probes: how many z, 2 or more. The variance of entry i is Σ Bᵢⱼ² over j ≠ i: exact for diagonal matrices.
    The other arguments are those of `trace`.
    Returns: a `Diagonal`.
    Raises: ValueError or TypeError, naming the argument; ValueError for a product that is not finite.
    References: Bekas, Kokiopoulou & Saad 2007.

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> bowl = ls.function(lambda p: jnp.sum(jnp.arange(1.0, 5.0) * p["x"] ** 2), {"x": jnp.zeros(4)})
        >>> ls.diagonal(bowl, bowl.params, num_probes=2, key=jax.random.key(0)).values["x"]
        Array([2., 4., 6., 8.], dtype=float32)
    """
    operator = curvature(objective, params, kind=kind, leaves=leaves, batch_size=batch_size, memory=memory)
    _checks.random_key("key", key)
    _checks.count("num_probes", num_probes, least=2)
    count, mean, squares = 0, None, None
    with jax.default_matmul_precision(PRECISION), Progress(num_probes, "products", progress) as bar:
        for probes, multiplied in _probed(operator, num_probes, key, None, memory, bar):
            size = jax.tree.leaves(probes)[0].shape[0]
            mean, squares = _merged(count, mean, squares, probes, multiplied)
            count += size
    stderr = jax.tree.map(lambda s: jnp.sqrt(s / (count * (count - 1))), squares)
    return Diagonal(mean, stderr, num_probes, operator.name, operator.size, products.kinks(objective))


@jax.jit
def _quadratic(probes: Params, multiplied: Params) -> Array:
    return jax.vmap(_trees.vdot)(probes, multiplied)


@jax.jit
def _merged(count: int, mean: Params, squares: Params, probes: Params, multiplied: Params) -> tuple[Params, Params]:
    """Mean and sum of squared deviations of z ⊙ Bz with one more part (Chan et al. 1983)."""
    values = jax.tree.map(jnp.multiply, probes, multiplied)
    size = jax.tree.leaves(values)[0].shape[0]
    means = jax.tree.map(lambda v: jnp.mean(v, axis=0), values)
    own = jax.tree.map(lambda v, m: jnp.sum(jnp.square(v - m[None]), axis=0), values, means)
    if mean is None:
        return means, own
    share = jnp.asarray(size / (count + size), _trees.wide_of(means))
    step = jax.tree.map(jnp.subtract, means, mean)
    both = jax.tree.map(lambda m, d: m + share.astype(d.dtype) * d, mean, step)
    spread = jax.tree.map(lambda a, b, d: a + b + (count * share).astype(d.dtype) * jnp.square(d), squares, own, step)
    return both, spread


def _probed(
    operator: Curvature, num_probes: int, key: Array, basis: Params | None, memory: int | None, bar: Progress
) -> Iterator[tuple[Params, Params]]:
    """(z, Bz), blocks of them, of z random signs; without what they have along an orthonormal basis."""
    together = _space.evenly(num_probes, _space.at_a_time(operator, memory))
    for first in range(0, num_probes, together):
        count = min(together, num_probes - first)
        probes = _signs(key, first, count, operator.inputs.moving)
        probes = probes if basis is None else _space.without(probes, basis)
        multiplied = operator.times(probes)
        if not _finite(multiplied):
            operator.refuse(probes)
        bar.update(count)
        yield probes, multiplied


@jax.jit
def _finite(tree: Params) -> Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


@partial(jax.jit, static_argnames="count")
def _signs(key: Array, first: int, count: int, like: Params) -> Params:
    """Random signs, vectors number `first` and following, leaves (count, *leaf)."""
    random = _trees.bits(jax.random.fold_in(key, first), like, (count,))
    return jax.tree.map(lambda leaf, b: 1 - 2 * (b & 1).astype(_trees.wide(leaf)), like, random)


def _deflated(operator: Curvature, deflate: int, key: Array) -> tuple[Any, float]:
    """(an orthonormal basis of a Krylov space, the trace on it)."""
    if deflate == 0:
        return None, 0.0
    width = min(AT_A_TIME, max(1, deflate // BLOCKS), operator.size)
    rows = width * -(-min(deflate, operator.size) // width)
    state = _space.begin(operator.inputs.moving, rows, width, key)
    state = _space.advanced(operator, state, rows // width, width)
    values = _krylov.ritz(state, width, operator.size).values
    return jax.tree.map(lambda leaf: leaf[:rows], state.basis), float(values.sum())
