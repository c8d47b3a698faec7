"""Do different starts find the same solution? Ends of runs in groups, modulo the network's symmetry.

>>> import jax, jax.numpy as jnp, landscape as ls
>>> network = ls.mlp((2, 2, 1))
>>> params = network.init(jax.random.key(0))
>>> symmetry = ls.symmetry(network.apply, params, [[0.0, 0.0]])
>>> copies = jax.tree.map(lambda *leaves: jnp.stack(leaves), *symmetry.orbit(params))
>>> ls.group_minima(symmetry, copies)  # 2!·2² copies of one minimum
array([0, 0, 0, 0, 0, 0, 0, 0], dtype=int32)
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.networks.symmetry.align import same_up_to_symmetry
from landscape.networks.symmetry.symmetry import Symmetry

NOT_CONVERGED = -1  # in place of a group's label


def group_minima(
    symmetry: Symmetry, params: Params, *, tolerance: float = 1e-3, converged: Any | None = None
) -> np.ndarray:
    """Group params that are copies of each other under permutations, sign flips and rescalings of hidden units.

        a, b in one group:   ‖a − aligned b‖ ≤ tolerance·‖a‖        a: the first of its group

    symmetry:  from `ls.symmetry(network.apply, params, x)`.
    params:    stacked, leaves (m, …): such as the ends of runs. Ends scatter by about (norm of the gradient)/(least
               curvature): let them converge to well below the tolerance first.
    tolerance: of ‖a‖, balanced (of least norm among its rescalings).
    converged: (m,) booleans, which of them to group; all by default. Those that have not converged are in no group.
    Returns:   labels (m,), int32: 0 the largest group, groups of equal size in the order of their first members;
               −1 for those that have not converged.

    Symmetries of the data are not among these: where the risk does not change when an input changes its sign, as for
    XOR, networks that differ by that are two groups, with one objective.
    Every member is compared with the first of a group, so two of its members may be twice as far apart. Distances are
    those of `ls.same_up_to_symmetry`: the best alignment that it finds. With very different params it may miss a closer
    one, and then too many groups are found; copies to within rounding are found always.
    Raises: ValueError or TypeError, naming the argument; ValueError for params that are not finite.
    References: Chen, Lu & Hecht-Nielsen 1993 (the group); Ainsworth, Hayase & Srinivasa 2023, section 3.

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> network = ls.mlp((2, 4, 1))
        >>> a, b = (network.init(jax.random.key(i)) for i in range(2))
        >>> found = ls.symmetry(network.apply, a, [[0.0, 0.0]])
        >>> stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), b, a, found.random(jax.random.key(2), a))
        >>> ls.group_minima(found, stacked)
        array([1, 0, 0], dtype=int32)
    """
    _checks.instance("symmetry", symmetry, Symmetry, "what ls.symmetry(apply, params, x) returns")
    tolerance = _checks.positive("tolerance", tolerance)
    count = _count(params)
    chosen = _chosen(converged, count)
    _check_finite(params, chosen)
    points = {int(i): symmetry.canonical(_at(params, i)) for i in np.flatnonzero(chosen)}
    labels, firsts = np.full(count, NOT_CONVERGED), list[tuple[Params, np.ndarray]]()
    for i, point in points.items():
        norms = _norms(point)
        for label, (first, size) in enumerate(firsts):
            # Permutations and signs leave each leaf's norm as it is: ‖a − aligned b‖² ≥ Σ (‖a_l‖ − ‖b_l‖)².
            near = np.linalg.norm(size - norms) <= tolerance * np.linalg.norm(size)
            if near and same_up_to_symmetry(symmetry, first, point, tolerance=tolerance):
                labels[i] = label
                break
        else:
            labels[i] = len(firsts)
            firsts.append((point, norms))
    return _largest_first(labels)


def _largest_first(labels: np.ndarray) -> np.ndarray:
    counts = np.bincount(labels[labels >= 0])
    number = np.empty(len(counts), np.int32)
    number[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return np.where(labels >= 0, number[labels] if len(counts) else 0, NOT_CONVERGED).astype(np.int32)


def _norms(params: Params) -> np.ndarray:
    leaves = jax.tree.leaves(_trees.floating(params))
    return np.array([np.linalg.norm(np.asarray(leaf, np.float64).ravel()) for leaf in leaves])


def _at(params: Params, index: Any) -> Params:
    return jax.tree.map(lambda leaf: leaf[int(index)], params)


def _count(params: Params) -> int:
    lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(params)}
    if len(lengths) != 1 or lengths in ({()}, {(0,)}):
        raise ValueError(
            f"`params` must be stacked, with a leading axis of one length on every leaf; got {_trees.layout(params)}. "
            "Stack a list: jax.tree.map(lambda *leaves: np.stack(leaves), *params)."
        )
    return lengths.pop()[0]


def _chosen(converged: Any, count: int) -> np.ndarray:
    if converged is None:
        return np.ones(count, bool)
    chosen = np.asarray(converged)
    if chosen.dtype != bool or chosen.shape != (count,):
        raise ValueError(
            f"`converged` is {chosen.dtype} of shape {chosen.shape}; give booleans ({count},), one for each of "
            "`params`: run.data.gradient_norm[:, -1].values < 1e-5."
        )
    return chosen


def _check_finite(params: Params, chosen: np.ndarray) -> None:
    for name, leaf in _trees.named_leaves(_trees.floating(params)).items():
        cure = "Leave those that diverged out: converged=finite"
        _checks.finite(f"params {name!r}", np.asarray(leaf)[chosen], cure)
