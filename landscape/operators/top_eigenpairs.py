"""`top_eigenpairs`: the ends of the spectrum of a Hessian, with what is left over of each eigenvalue equation.

>>> import jax, landscape as ls
>>> saddle = ls.function(lambda p: p["x"] ** 2 - 3 * p["y"] ** 2, {"x": 0.0, "y": 0.0})
>>> print(ls.top_eigenpairs(saddle, saddle.params, 1, which="both", key=jax.random.key(0)))
Eigenvalues of the Hessian (2 params), with residuals ‖Hv − λv‖:
  -6  (..., converged)
  2  (..., converged)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _cost, _trees
from landscape._trees import Params
from landscape.objectives.objective import Objective, check_objective
from landscape.operators import _krylov, _space, products
from landscape.operators._krylov import Krylov
from landscape.operators._space import Accuracy
from landscape.operators.products import PRECISION, Curvature, curvature
from landscape.tiles.progress import Progress

WHICH = ("largest", "smallest", "both")
WIDEST = 8  # vectors multiplied at a time, by default
LOOKED_AFTER = 8  # products between two looks at the residuals
IN_CACHE, MANY = 2**19, 256  # numbers of a basis that costs little beside the products; vectors, at most


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """Eigenpairs that `top_eigenpairs` found. Prints as a list.

    values:    (k,), descending; ascending for "smallest"; (2k,), ascending, for "both".
    vectors:   a tree like what moves of the params, leaves (k, *leaf); of length 1, the entry of largest size positive.
    residuals: (k,), ‖Bv − λv‖: there is an eigenvalue within that distance of λ.
    converged: (k,), whether that is at most max(tolerance·|λ|, 64ε·max |λ|).
    products:  products Bv that it took.
    name:      of the operator; `size`, its dimension; `kinks`, what in the losses has kinks.
    """

    values: np.ndarray
    vectors: Params
    residuals: np.ndarray
    converged: np.ndarray
    products: int
    name: str
    size: int
    kinks: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"Eigenvalues of the {self.name} ({self.size} params), with residuals ‖Hv − λv‖:"]
        for value, residual, converged in zip(self.values, self.residuals, self.converged, strict=True):
            said = "converged" if converged else "NOT converged"
            said += "; below rounding, the sign is open" if residual > abs(value) else ""
            lines.append(f"  {value:.6g}  ({residual:.2g}, {said})")
        return "\n".join([*lines, *products.about_kinks(self.kinks, self.name)])

    __repr__ = __str__


def top_eigenpairs(
    objective: Objective,
    params: Params,
    k: int = 1,
    *,
    key: Array,
    which: str = "largest",
    kind: str = "hessian",
    leaves: str | Sequence[str] | None = None,
    tolerance: float | None = None,
    max_products: int = 1000,
    block: int | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    progress: bool | None = None,
) -> Eigenpairs:
    """The k largest or smallest eigenvalues (with their signs) of a Hessian, and their eigenvectors.

    which:        "largest", "smallest", or "both": k at each end, from one Krylov space.
    kind, leaves, batch_size, memory: which operator, as in `curvature`; `leaves="layer1"` is a layer's diagonal block.
    key:          of the vectors to start from.
    tolerance:    a pair has converged where ‖Bv − λv‖ ≤ max(tolerance·|λ|, 64ε·max |λ|); by default √ε of the dtype.
                  The second is what rounding leaves (2ε·max |λ| in bfloat16 and float16). An isolated eigenvalue is
                  then right to ε, one of a cluster to the residual.
    max_products: about so many products Bv are made (whole blocks, and k for the residuals); pairs are then returned as
                  they are, and `converged` says which are not there yet.
    block:        vectors multiplied at a time, by default k up to 8. Of an eigenvalue that is there more often, some
                  copies may be missing.
    progress:     show a bar; by default after two seconds on a terminal.

    Block Lanczos, orthogonalized in full, restarted with the best Ritz vectors when `memory` is full, or some 20
    vectors beside what is wanted (of few params up to 256). Residuals are computed in the end, by products of their
    own. The basis keeps the leaves' sharding.
    Returns: `Eigenpairs`.
    Raises: ValueError or TypeError, naming the argument; ValueError for more eigenvalues than params, and for a product
    that is not finite, with the batch where it is not.
    References: Golub & Underwood 1977; Stewart 2001; Parlett 1998, section 4.5 (of residuals).

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> bowl = ls.function(lambda p: 0.5 * jnp.sum(jnp.arange(1.0, 6.0) * p["x"] ** 2), {"x": jnp.zeros(5)})
        >>> ls.top_eigenpairs(bowl, bowl.params, 2, key=jax.random.key(0)).values
        array([5., 4.], dtype=float32)
    """
    operator = curvature(objective, params, kind=kind, leaves=leaves, batch_size=batch_size, memory=memory)
    _checks.random_key("key", key)
    _checks.one_of("which", which, dict.fromkeys(WHICH))
    wanted = _checks.count("k", k) * (2 if which == "both" else 1)
    if wanted > operator.size:
        ends = " at each end" if which == "both" else ""
        most = operator.size // (2 if which == "both" else 1)
        raise ValueError(
            f"`k` is {k}{ends}, but the {operator.name} has {operator.size} eigenvalues; "
            + (f"ask for {most} at most." if most else 'ask for which="largest", which is the smallest too.')
        )
    given = None if tolerance is None else _checks.positive("tolerance", tolerance)
    limit = _space.accuracy(operator.inputs.moving, given)
    if _checks.count("max_products", max_products) < wanted:
        raise ValueError(f"`max_products` is {max_products}; {wanted} eigenpairs take {wanted} products at least.")
    width = min(k, WIDEST, operator.size) if block is None else min(_checks.count("block", block), operator.size)
    rows = _rows(operator, wanted, width, memory)
    with jax.default_matmul_precision(PRECISION), Progress(max_products, "products", progress) as bar:
        state = _space.begin(operator.inputs.moving, rows, width, key)
        search = _Search(operator, which, wanted, width, rows, limit, max_products)
        state, best, done = search.run(state, bar)
        return search.finished(state, best, done)


def eigen_directions(
    objective: Objective, params: Params, k: int = 2, *, key: Array, which: str = "largest", **options: Any
) -> tuple[Params, ...]:
    """k eigenvectors of the Hessian as directions for a `Plane`, each of length 1.

    which:   "largest", "smallest", or "both": of k = 2 the one with the smallest eigenvalue, and that with the largest.
    options: as in `top_eigenpairs`.
    On the plane through a point along eigenvectors with λᵢ and λⱼ, J is ½(λᵢa² + λⱼb²) to second order.
    Raises: ValueError where a pair has not converged, or k is odd for "both".

        >>> import jax, landscape as ls
        >>> bowl = ls.function(lambda p: p["x"] ** 2 + 4 * p["y"] ** 2, {"x": 0.0, "y": 0.0})
        >>> (steepest,) = ls.eigen_directions(bowl, bowl.params, 1, key=jax.random.key(0))
        >>> plane = ls.Plane(bowl.params, (steepest,), names=("alpha",))
    """
    check_objective(objective)
    if which == "both" and _checks.count("k", k) % 2:
        raise ValueError(f'`k` is {k}; which="both" gives as many at each end: take an even number.')
    pairs = top_eigenpairs(objective, params, k // 2 if which == "both" else k, key=key, which=which, **options)
    if not pairs.converged.all():
        raise ValueError(
            f"{int((~pairs.converged).sum())} of {k} eigenvectors have not converged after {pairs.products} products "
            f"(residuals {', '.join(f'{r:.1e}' for r in pairs.residuals)}); give more max_products, or a larger "
            "tolerance."
        )

    def direction(i: int) -> Params:
        def leaf(own: Array, vectors: Any) -> Array:
            return jnp.zeros_like(own) if vectors is None else vectors[i].astype(own.dtype)

        return jax.tree.map(leaf, moving, pairs.vectors)

    moving = _trees.floating(objective._read(params))
    return tuple(direction(i) for i in range(k))


class _Search:
    """A Krylov space that grows, is looked at, and is restarted."""

    def __init__(
        self, operator: Curvature, which: str, wanted: int, width: int, rows: int, accuracy: Accuracy, most: int
    ) -> None:
        self._operator, self._which, self._wanted, self._width = operator, which, wanted, width
        self._rows, self._accuracy, self._most = rows, accuracy, most
        self._largest = 0.0  # |λ| among the Ritz values

    def run(self, state: Krylov, bar: Progress) -> tuple[Krylov, np.ndarray, int]:
        """(the state, coefficients of the wanted vectors as columns, products)."""
        done = 0
        while True:
            left = (self._rows - int(state.count)) // self._width
            ahead = max(LOOKED_AFTER, int(state.count) // 8)
            blocks = min(left, max(1, ahead // self._width), -(-(self._most - done) // self._width))
            state = _space.advanced(self._operator, state, blocks, self._width)
            done += blocks * self._width
            bar.update(blocks * self._width)
            found = _krylov.ritz(state, self._width, self._operator.size)
            known = len(found.values)
            if known > self._wanted or known == self._operator.size or done >= self._most:
                best = _ends(known, self._wanted, self._which)
                self._largest = float(np.abs(found.values).max())
                settled = self._small(found.residuals[best], found.values[best]).all()
                if settled or known == self._operator.size or done >= self._most:
                    return state, found.vectors[:, best], done
            if int(state.count) >= self._rows:
                kept = _ends(known, self._kept(), self._which)
                state = _restarted(state, found.vectors[:, kept], found.values[kept], self._width)

    def finished(self, state: Krylov, coefficients: np.ndarray, done: int) -> Eigenpairs:
        """With residuals from products of their own."""
        order = slice(None, None, -1 if self._which == "largest" else 1)
        vectors = _vectors(state, coefficients[:, order])
        values, residuals = (np.asarray(v) for v in _judged(vectors, self._operator.times(vectors)))
        return Eigenpairs(
            values,
            vectors,
            residuals,
            self._small(residuals, values),
            done + len(values),
            self._operator.name,
            self._operator.size,
            products.kinks(self._operator.objective),
        )

    def _small(self, residuals: np.ndarray, values: np.ndarray) -> np.ndarray:
        largest = max(self._largest, float(np.abs(values).max()))
        return residuals <= np.maximum(self._accuracy.relative * np.abs(values), self._accuracy.floor * largest)

    def _kept(self) -> int:
        """Ritz vectors that a restart keeps: all that are wanted, and half of the others, so that whole blocks fit."""
        room = self._rows - self._wanted
        return self._rows - self._width * max(1, -(-room // (2 * self._width)))


def _ends(count: int, wanted: int, which: str) -> np.ndarray:
    """Places of the wanted ones among `count` ascending values."""
    if which == "both":
        low = wanted // 2
        return np.r_[0:low, count - (wanted - low) : count]
    return np.arange(wanted) if which == "smallest" else np.arange(count - wanted, count)


def _rows(operator: Curvature, wanted: int, width: int, memory: int | None) -> int:
    """Vectors of the basis: as many as half of the memory holds, no more than are useful, whole blocks."""
    fitting = int(_cost.budget(memory) / 2 / _space.vector_bytes(operator)) - width
    most = max(2 * wanted, wanted + 20, 4 * width, min(MANY, IN_CACHE // operator.size))
    least = wanted + 2 * width
    rows = max(least, min(most, fitting))
    return width * -(-min(rows, operator.size) // width)


_restarted = jax.jit(_krylov.restarted, static_argnames="block", donate_argnames="state")


@jax.jit
def _vectors(state: Krylov, coefficients: Array) -> Params:
    """Of length 1, the entry of largest size positive."""
    vectors = _krylov.combined(state, coefficients)
    dtype = _trees.wide_of(vectors)
    leaves = [leaf.reshape(leaf.shape[0], -1).astype(dtype) for leaf in jax.tree.leaves(vectors) if leaf.size]
    highest, lowest = (jnp.stack([f(leaf, axis=1) for leaf in leaves]) for f in (jnp.max, jnp.min))
    sign = jnp.where(highest.max(axis=0) >= -lowest.min(axis=0), 1, -1)
    lengths = jax.vmap(_trees.norm)(vectors)
    return jax.tree.map(lambda leaf: leaf * _along((sign / lengths).astype(leaf.dtype), leaf), vectors)


def _along(numbers: Array, leaf: Array) -> Array:
    return numbers.reshape(-1, *[1] * (leaf.ndim - 1))


@jax.jit
def _judged(vectors: Params, multiplied: Params) -> tuple[Array, Array]:
    """Rayleigh quotients, and residuals."""
    values = jax.vmap(_trees.vdot)(vectors, multiplied)
    rest = jax.tree.map(lambda v, bv: bv - _along(values.astype(bv.dtype), bv) * v, vectors, multiplied)
    return values, jax.vmap(_trees.norm)(rest)
