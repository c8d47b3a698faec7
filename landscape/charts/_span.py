"""What directions span: Gram–Schmidt on trees, and whether directions are zero, parallel or dependent."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params

CLEARLY = 1e-2  # of its norm: what must be left of a direction for a Gram matrix to be trusted about it


def orthonormal(directions: Sequence[Params]) -> tuple[list[Params], list[list[Array]]]:
    """(Q, R) of the directions as columns: Gram–Schmidt on trees, each projection done twice (Giraud et al. 2005)."""
    basis: list[Params] = []
    triangle: list[list[Array]] = [[] for _ in directions]
    for direction in directions:
        column = jax.tree.map(lambda d: d.astype(_trees.wide(d)), direction)
        size = _trees.norm(column)
        column = over(column, size)
        for i, axis in enumerate(basis):
            first = _trees.vdot(axis, column)
            column = minus(column, first, axis)
            again = _trees.vdot(axis, column)
            column = minus(column, again, axis)
            triangle[i].append((first + again) * size)
        length = _trees.norm(column)
        basis.append(over(column, length))
        triangle[len(basis) - 1] += [jnp.zeros_like(size)] * (len(basis) - 1) + [length * size]
    return basis, triangle


def over(tree: Params, size: Array) -> Params:
    """tree / size."""
    return jax.tree.map(lambda leaf: leaf / size.astype(leaf.dtype), tree)


def minus(tree: Params, amount: Array, axis: Params) -> Params:
    """tree − amount·axis."""
    return jax.tree.map(lambda leaf, a: leaf - amount.astype(leaf.dtype) * a, tree, axis)


def eps(tree: Params) -> float:
    """The rounding unit of the coarsest leaf."""
    return max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(tree))


def check(origin: Params, directions: tuple[Params, ...], names: tuple[str, ...]) -> None:
    """Raise ValueError if the origin or a direction is not finite, or the directions are zero or dependent.

    origin, directions: floating-point leaves of one structure, with numbers that can be looked at.
    """
    leaves = [jax.tree.leaves(tree) for tree in (origin, *directions)]
    finite, peaks, products = _looked(origin, directions)
    for i, name in enumerate(("origin", *(f"directions[{i}]" for i in range(len(directions))))):
        if not finite[:, i].all():
            where = int(np.argmin(finite[:, i]))
            path = list(_trees.named_leaves(origin))[where]
            _checks.finite(
                f"{name} {path!r}" if path else name, np.asarray(leaves[i][where]), "Give finite params and directions"
            )
    largest = peaks.max(axis=0)
    for i, size in enumerate(largest):
        if size == 0:
            raise ValueError(f"{_called(i, names)} is zero: its coordinate would move nothing. Leave it out.")
    gram = _gram(peaks / largest, products)
    sizes = np.sqrt(np.diag(gram))
    if not _clearly_independent(gram / np.outer(sizes, sizes)):
        _check_closely(directions, names)


def lengths(origin: Params, directions: tuple[Params, ...]) -> list[float]:
    """The norms of the directions, as `check` looked at them. Arguments as there."""
    _, peaks, products = _looked(origin, directions)
    largest = peaks.max(axis=0)
    return (largest * np.sqrt(np.diag(_gram(peaks / largest, products)))).tolist()


def cosines(origin: Params, directions: tuple[Params, ...]) -> np.ndarray:
    """⟨dᵢ, dⱼ⟩/(‖dᵢ‖‖dⱼ‖), (k, k). Arguments as of `check`."""
    _, peaks, products = _looked(origin, directions)
    gram = _gram(peaks / peaks.max(axis=0), products)
    sizes = np.sqrt(np.diag(gram))
    return gram / np.outer(sizes, sizes)


def _looked(origin: Params, directions: tuple[Params, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `_look` finds of each leaf: (leaves, 1 + k), (leaves, k), (leaves, k, k). No square of these is 0 or inf."""
    leaves = [jax.tree.leaves(tree) for tree in (origin, *directions)]
    look = _look if _is_large(leaves) else _look_here
    with jax.default_matmul_precision(None):  # nothing here depends on it, but another one would compile `_look` again
        looked = jax.device_get([look(*alike) for alike in zip(*leaves, strict=True)])
    finite, peaks, products = zip(*looked, strict=True)
    return np.array(finite), np.array(peaks, np.float64), np.array(products, np.float64)


def _gram(shares: np.ndarray, products: np.ndarray) -> np.ndarray:
    """⟨dᵢ, dⱼ⟩ (k, k) of directions whose leaves' largest entries are `shares` (leaves, k)."""
    return np.einsum("li,lij,lj->ij", shares, products, shares)


def _is_large(leaves: list[list[Array]]) -> bool:
    """Whether looking at all entries takes longer than to compile what does, or they are spread over processes."""
    every = [leaf for tree in leaves for leaf in tree]
    return sum(leaf.nbytes for leaf in every) > _trees.COPIED or not all(leaf.is_fully_addressable for leaf in every)


def _looking(xp: Any, origin: Any, *directions: Any) -> tuple[Any, Any, Any]:
    """Of one leaf: whether all is finite (1 + k,), the directions' largest entries (k,), ⟨dᵢ, dⱼ⟩ over these (k, k).

    xp: NumPy, or JAX's. A program for each shape of leaf: one of the whole tree takes long to compile.
    """
    wide = [d.astype(_trees.wide(origin)) for d in directions]
    peaks = [xp.max(xp.abs(d), initial=0.0) for d in wide]
    units = [d / xp.where(peak > 0, peak, xp.ones_like(peak)) for d, peak in zip(wide, peaks, strict=True)]
    products = xp.stack([xp.stack([xp.sum(u * v) for v in units]) for u in units])
    return xp.stack([xp.isfinite(d).all() for d in (origin, *wide)]), xp.stack(peaks), products


_look = jax.jit(partial(_looking, jnp))


def _look_here(*leaves: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_looking` without compiling anything."""
    with np.errstate(all="ignore"):  # of what is not finite the caller speaks
        return _looking(np, *map(np.asarray, leaves))


def _clearly_independent(cosines: np.ndarray) -> bool:
    try:
        return bool(np.diag(np.linalg.cholesky(cosines)).min() > CLEARLY)
    except np.linalg.LinAlgError:
        return False


def _check_closely(directions: tuple[Params, ...], names: tuple[str, ...]) -> None:
    """By Gram–Schmidt, which sees angles down to rounding; a Gram matrix sees no angle below √ε."""
    triangle = np.array([[float(entry) for entry in row] for row in orthonormal(directions)[1]])
    sizes = np.linalg.norm(triangle, axis=0)
    for j, direction in enumerate(directions):
        wide = max(float(jnp.finfo(_trees.wide(leaf)).eps) for leaf in jax.tree.leaves(direction))
        rounding = 2 * max(eps(d) for d in directions[: j + 1]) + 8 * wide
        left = triangle[j, j] / sizes[j]
        if left > rounding:
            continue
        cosines = np.abs(triangle[:, :j].T @ triangle[:, j]) / (sizes[:j] * sizes[j])
        i = int(np.argmax(cosines))
        if np.sqrt(max(0.0, 1 - cosines[i] ** 2)) <= max(rounding, np.sqrt(wide)):
            raise ValueError(
                f"{_called(i, names)} and {_called(j, names)} are parallel, |cos| = {cosines[i]:.7f}: their "
                "coordinates would be one. Leave one out, or make it orthogonal."
            )
        raise ValueError(
            f"{_called(j, names)} is a combination of the directions before it: {left:.1e} of its norm is left over. "
            "Leave it out."
        )


def _called(i: int, names: tuple[str, ...]) -> str:
    return f"`directions[{i}]` ({names[i]!r})"
