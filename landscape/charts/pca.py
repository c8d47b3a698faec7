"""The plane in which trajectories move most, and what a random walk would have shown instead."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, MappingView, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import _leaves
from landscape.charts import chart as _chart
from landscape.charts.plane import Plane
from landscape.charts.trajectory import Trajectory

if TYPE_CHECKING:
    import xarray

ENTRIES = 2**22  # of a leaf, over all points, that are held in float64 at a time
RANK = 1e-12  # of the largest eigenvalue: what rounding in float64 leaves of others in the Gram matrix of a line


@dataclass(frozen=True, eq=False)
class PCA:
    """The first principal components of the points of a trajectory, or of several; `pca` makes it.

    origin:      the last point of a single path, the mean of all points of several paths; whole params.
    directions:  n orthonormal trees, in float32 or wider, None in place of frozen leaves; of a sign such that the first
                 point has coordinates ≥ those of the mean.
    explained:   (n,) share of the points' variance along each.
    random_walk: (n,) what a random walk of as many points would explain in high dimension. A share that is no larger
                 says nothing about the objective: a random walk looks like a smooth curve too. NaN for several paths,
                 which no random walk compares with.
    points:      number of points.
    """

    origin: Params
    directions: tuple[Params, ...]
    explained: np.ndarray
    random_walk: np.ndarray
    points: int

    def plane(self, names: Sequence[str] | None = None) -> Plane:
        """The plane through `origin` along the components, called pc1, pc2, … by default."""
        names = [f"pc{i + 1}" for i in range(len(self.directions))] if names is None else names
        return Plane(self.origin, self.directions, tuple(names))

    def names_on(self, surface: xarray.Dataset) -> tuple[str, ...] | None:
        """What a surface on `plane(names)` calls the components, in their order; None if it is on another chart."""
        names = [str(name) for name, values in surface.coords.items() if values.attrs.get("kind") == "coordinate"]
        orders = itertools.permutations(names, len(self.directions))
        wanted = surface.attrs.get("chart_id")
        return next((order for order in orders if _chart.chart_id(self.plane(order)) == wanted), None)

    def __repr__(self) -> str:
        walks = ["" if np.isnan(share) else f" (random walk {share:.1%})" for share in self.random_walk]
        described = (f"pc{i + 1} {e:.1%}{w}" for i, (e, w) in enumerate(zip(self.explained, walks, strict=True)))
        return f"PCA of {self.points} points: {', '.join(described)}"


def pca(points: Trajectory | Mapping[str, Trajectory] | Params | Sequence[Any], n: int = 2) -> PCA:
    """Principal components of the points θ₁…θ_T of one trajectory or several, by the eigenvectors of their Gram matrix.

        G = XXᵀ,  X's rows θₜ − mean;    G vₖ = λₖ vₖ;    directionₖ = Xᵀvₖ/√λₖ,    explainedₖ = λₖ/Σⱼ λⱼ

    X is never built: G is summed over the leaves, in float64.

    points: a Trajectory whose only dimension is step; a list or tuple of params, one a point, of one path; or a tree of
            another kind whose leaves have the points along their first axis. Several paths: a list, tuple or mapping
            of Trajectories, {"SGD": run, "Adam": another}.

    The plane of a single path goes through its last point. That of several goes through the mean of all their points,
    each counted once, and `random_walk` is NaN: they are no walk.

    Rounding: a stored number is off by up to ε/2 of itself, ε the rounding unit of its leaf's dtype, so that the stored
    points of a line are not quite on one. A singular value √λₖ of X changes by at most the norm of all these errors
    (Weyl). A component does not count as a dimension where

        λₖ ≤ Σₜ ‖ε/2 · θₜ‖²,    that is, where the points' root mean square along directionₖ is within ‖ε/2 · θ‖

    (entries that are equal in all points left out).

    Beside `explained` stands what a random walk of T points explains in high dimension: XXᵀ is then, up to scale, the
    pseudo-inverse of the Laplacian of a path of T points, so that λₖ ∝ 1/(4 sin²(πk/(2T))), k = 1…T−1, and

        random_walkₖ = 3 / (2 (T² − 1) sin²(πk/(2T)))  →  6/(πk)²:  61%, 15%, 7%, …

    Raises: ValueError for a trajectory of several runs (select one: `run.sel(optimizer="adam")`); fewer than n + 1
    points; points that are all equal, or span fewer than n dimensions; a trajectory that is not complete; numbers that
    are not finite; leaves of different length; trajectories of different params. TypeError for a generator, and for
    other things among Trajectories.

        >>> import jax.numpy as jnp, landscape as ls
        >>> turn = jnp.linspace(0.0, 1.0, 5)
        >>> found = ls.pca({"w": jnp.stack([3 * turn, 4 * turn], axis=1), "b": turn * (1 - turn)})
        >>> found
        PCA of 5 points: pc1 99.7% (random walk 65.5%), pc2 0.3% (random walk 18.1%)
        >>> [abs(round(float(entry), 6)) for entry in found.directions[0]["w"]]
        [0.6, 0.8]

    References: Li et al. 2018, section 7.2 (arXiv:1712.09913); Antognini & Sohl-Dickstein 2018, PCA of high dimensional
    random walks with comparison to neural network training (arXiv:1806.08805).
    """
    if isinstance(n, Trajectory):
        raise TypeError(
            "`n` is a Trajectory, and it must be a whole number; give several runs as one list or mapping: "
            'ls.pca([run, another]) or ls.pca({"SGD": run, "Adam": another}).'
        )
    _checks.count("n", n)
    stacked = _Stacked(points)
    if stacked.length < n + 1:
        raise ValueError(
            f"`points` has {stacked.length} points, which span at most {stacked.length - 1} dimensions; n = {n} "
            f"components need at least {n + 1} points: record more steps, or ask for fewer components."
        )
    gram, rounding = stacked.gram()
    eigenvalues, vectors = (found[..., ::-1] for found in np.linalg.eigh(gram))
    total = float(np.trace(gram))
    if total == 0:
        raise ValueError("`points` are all equal: the trajectory does not move, and no direction is one of its own.")
    rank = int(np.sum(eigenvalues > max(RANK * eigenvalues[0], rounding)))
    if rank == 0:
        raise ValueError("`points` move no farther than numbers of their dtypes are rounded; keep them in wider ones.")
    if rank < n:
        raise ValueError(f"`points` span {rank} of the n = {n} dimensions asked for, to rounding; pass n={rank}.")
    vectors = vectors[:, :n] * np.where(vectors[0, :n] < 0, -1.0, 1.0)
    weights = vectors / np.sqrt(eigenvalues[:n])
    return PCA(
        stacked.mean() if stacked.several else stacked.last,
        stacked.combined(weights),
        eigenvalues[:n] / total,
        np.full(n, np.nan) if stacked.several else random_walk(stacked.length, n),
        stacked.length,
    )


def random_walk(points: int, n: int) -> np.ndarray:
    """Shares (n,) of its variance that the first components of a random walk explain in high dimension."""
    k = np.arange(1, n + 1)
    return 3 / (2 * (points**2 - 1) * np.sin(np.pi * k / (2 * points)) ** 2)


class _Stacked:
    """Points along the first axis of every leaf that moves, read leaf by leaf into NumPy."""

    def __init__(self, points: Any) -> None:
        if isinstance(points, (Iterator, MappingView)):
            raise TypeError(f"`points` is {_checks.kind(points)}; give a list of params, one a point: list(points).")
        runs = _runs(points)
        self.several = len(runs) > 1
        if self.several:
            self._take([(name, tree) for name, run in runs.items() for tree in _unstacked(run)])
            called = [f"point {t} of {name}" for name, run in runs.items() for t in range(_common_length(run))]
        elif type(points) in (list, tuple) and not runs:  # params of a run that are a list are one of stacked leaves
            if not points:
                raise ValueError("`points` is empty; give one tree of params for each point.")
            self._take([(f"points[{i}]", tree) for i, tree in enumerate(points)])
            called = [f"point {t}" for t in range(self.length)]
        else:
            points = _leaves.checked("points", next(iter(runs.values()), points))
            self.length = _common_length(points)
            self.last = jax.tree.map(lambda leaf: leaf[-1], points)
            self.stacks = jax.tree.leaves(_trees.floating(points))
            called = [f"point {t}" for t in range(self.length)]
        self.called = called
        self.last = _leaves.params_of("points", self.last)
        self.moving = _trees.floating(self.last)

    def _take(self, named: list[tuple[str, Params]]) -> None:
        """The points as trees of their own, each with what messages call it."""
        trees = [(name, _leaves.checked(name, tree)) for name, tree in named]
        last_name, self.last = trees[-1]
        matched = [_leaves.matched(name, tree, self.last, last_name) for name, tree in trees]
        self.length = len(trees)
        self.stacks = [list(leaves) for leaves in zip(*map(jax.tree.leaves, matched), strict=True)]

    def gram(self) -> tuple[np.ndarray, float]:
        """The Gram matrix (T, T) of the centered points, and the largest eigenvalue that is rounding."""
        gram, rounding = np.zeros((self.length, self.length)), 0.0
        for i, name in enumerate(_trees.named_leaves(self.moving)):
            unit, least = self._unit(i)
            for part in self._parts(i):
                finite = np.isfinite(part).all(axis=1)
                if not finite.all():
                    raise ValueError(
                        f"`points` are not finite: leaf {name!r} of {self.called[int(np.argmin(finite))]}. Keep the "
                        "points before it."
                    )
                centered = _centered(part)
                gram += centered @ centered.T
                moved = part[:, centered.any(axis=0)]
                rounding += float(np.sum(np.square(unit / 2 * np.maximum(np.abs(moved), least))))
        return gram, rounding

    def _unit(self, i: int) -> tuple[float, float]:
        """Rounding unit of the coarsest dtype of leaf i, and the size below which it is that of this size."""
        stack: Any = self.stacks[i]
        dtypes = {stack.dtype} if hasattr(stack, "dtype") else {leaf.dtype for leaf in stack}
        kinds = [jnp.finfo(dtype) for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)]
        return max(float(kind.eps) for kind in kinds), max(float(kind.smallest_normal) for kind in kinds)

    def mean(self) -> Params:
        """The mean of the points, in the dtypes of the last one and with its frozen leaves."""
        leaves, structure = jax.tree.flatten(self.moving)
        rows = [np.concatenate([p[-1] - _centered(p)[-1] for p in self._parts(i)]) for i in range(len(leaves))]
        means = [jnp.asarray(r.reshape(leaf.shape).astype(leaf.dtype)) for r, leaf in zip(rows, leaves, strict=True)]
        return _trees.merged(structure.unflatten(means), self.last)

    def combined(self, weights: np.ndarray) -> tuple[Params, ...]:
        """Σₜ weights[t, k]·(θₜ − mean) for each k, weights (T, n)."""
        leaves, structure = jax.tree.flatten(self.moving)
        columns = [
            np.concatenate([weights.T @ _centered(p) for p in self._parts(i)], axis=1) for i in range(len(leaves))
        ]
        return tuple(
            structure.unflatten(
                [
                    jnp.asarray(column[k].reshape(leaf.shape).astype(_trees.wide(leaf)))
                    for column, leaf in zip(columns, leaves, strict=True)
                ]
            )
            for k in range(weights.shape[1])
        )

    def _parts(self, i: int) -> Iterator[np.ndarray]:
        """Leaf i of all points, (T, entries) in float64, in parts of bounded size."""
        rows = [np.ravel(np.asarray(leaf)) for leaf in self.stacks[i]]
        width = max(1, ENTRIES // self.length)
        for start in range(0, max(1, len(rows[0])), width):
            yield np.stack([row[start : start + width].astype(np.float64) for row in rows])


def _centered(part: np.ndarray) -> np.ndarray:
    away = part - part[-1]  # first: exactly 0 where points are equal
    return away - away.mean(axis=0)


def _runs(points: Any) -> dict[str, Params]:
    """The stacked params of a Trajectory, or of each of several, by what messages call it; none for other points."""
    if isinstance(points, Trajectory):
        return {"points": _one_run("points", points)}
    is_list = type(points) in (list, tuple)
    entries = points.items() if isinstance(points, Mapping) else enumerate(points) if is_list else ()
    named = {f"points[{key!r}]": some for key, some in entries}
    if not any(isinstance(some, Trajectory) for some in named.values()):
        return {}
    return {name: _one_run(name, some) for name, some in named.items()}


def _one_run(name: str, run: Any) -> Params:
    if not isinstance(run, Trajectory):
        raise TypeError(
            f"`{name}` is {_checks.kind(run)} among Trajectories; make it one: ls.trajectory(objective, checkpoints)."
        )
    dims = run.data.risk.dims
    if run.params is None:
        raise ValueError(f"`{name}` is a trajectory whose params were not kept; record it with record=None.")
    if dims != ("step",):
        first = ", ".join(f"{dim}={run.data[dim].to_numpy().tolist()[0]!r}" for dim in dims[:-1])
        raise ValueError(
            f"`{name}` is a trajectory over {', '.join(map(str, dims))}; select one run: "
            f"ls.pca(trajectory.sel({first})). Several go into one list or mapping."
        )
    if "computed" in run.data:
        raise ValueError(
            f"`{name}` is a trajectory that is not complete: {int(run.data['computed'].sum())} of {len(run.data.step)} "
            "steps are computed. Repeat the call that began it: it goes on."
        )
    return run.params


def _unstacked(stack: Params) -> list[Params]:
    """The points of a run, a tree each: views of its arrays."""
    return [jax.tree.map(lambda leaf, t=t: leaf[t], stack) for t in range(_common_length(stack))]


def _common_length(tree: Params) -> int:
    lengths = {name: np.shape(leaf)[:1] for name, leaf in _trees.named_leaves(tree).items()}
    for name, length in lengths.items():
        if not length:
            raise ValueError(
                f"`points` leaf {name!r} is a single number; each leaf has the points along its first axis. Params "
                "that are not stacked come as a list, one a point."
            )
        first = next(iter(lengths))
        if length != lengths[first]:
            raise ValueError(
                f"`points` leaf {name!r} has {length[0]} points along its first axis, leaf {first!r} "
                f"{lengths[first][0]}; give each point all leaves."
            )
    return next(iter(lengths.values()))[0]
