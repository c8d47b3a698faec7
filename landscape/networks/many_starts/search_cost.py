"""What a search costs: random points against a grid of as many, in any number of dimensions.

>>> import jax, jax.numpy as jnp, landscape as ls
>>> bowl = ls.function(lambda p: jnp.sum(p["x"][:1] ** 2), {"x": jnp.zeros(4)})  # one coordinate of four matters
>>> found = ls.search_cost(bowl, {"x": (-1.0, 1.0)}, [16, 256], key=jax.random.key(0))
>>> found.per_axis.values, found.grid.values  # 256 points, and only four different values of the one that matters
(array([2, 4]), array([0.25  , 0.0625], dtype=float32))
>>> (found.random_median < found.grid).values
array([ True,  True])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis import _blocks
from landscape.analysis.descent import PRECISION
from landscape.networks import _asked
from landscape.objectives import penalties as _penalties
from landscape.objectives.objective import Batch, Losses, Objective, reduced, weighted_sum
from landscape.surfaces.provenance import describe

if TYPE_CHECKING:
    import xarray

MOST = 2**22  # evaluations of all repeats together, a grid's beside them
QUARTILES = {"random_lower": 0.25, "random_median": 0.5, "random_upper": 0.75}
LONG_NAMES = {
    "random": "best objective of the random points",
    "random_lower": "lower quartile over the repeats",
    "random_median": "median over the repeats",
    "random_upper": "upper quartile over the repeats",
    "grid": "best objective of the grid",
    "grid_points": "points of the grid",
    "per_axis": "points of the grid on each axis",
    "not_finite": "share of the points at which the objective is not finite",
}


def search_cost(
    objective: Objective,
    box: tuple[float, float] | Mapping[str, tuple[float, float]],
    budgets: Sequence[int],
    *,
    key: Array,
    repeats: int = 100,
    memory: int | None = None,
) -> xarray.Dataset:
    """The best objective among n random points of a box, and on a grid of at most as many, for each budget n.

        random   n points, uniform in the box
        grid     k^d ≤ n points, k = ⌊n^(1/d)⌋ on each axis, in the middle of k equal parts of it

    for the d entries of the params that move. To see as many values of each param as n random points do, a grid needs
    n^d points: its cost is exponential in d. Where few of the params matter, random points have n values of these, a
    grid n^(1/d).

    box:     (low, high) for all entries; or {leaf: (low, high)} for each leaf that moves, by its path name, "layer1/W".
    budgets: numbers of points n. Budgets share their random points: n of them are the first n.
    key:     draws the points.
    repeats: searches with other random points.
    memory:  bytes that temporaries may take (default 2 GiB on CPU).

    Returns a Dataset over `budget`: random (also over `repeat`) and its quartiles random_lower, random_median,
    random_upper; grid; grid_points and per_axis; not_finite, the share of the random points at which the objective is
    not finite: these are never the best, and where there are no others the best is NaN.
    Raises: ValueError or TypeError, naming the argument; ValueError for more than 2²² evaluations.
    References: Bergstra & Bengio 2012, "Random search for hyper-parameter optimization", section 1 and figure 1.

        >>> import jax, landscape as ls
        >>> pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
        >>> found = ls.search_cost(pair, {"w": (-4.0, 4.0), "b": (-4.0, 4.0)}, [9, 100], key=jax.random.key(0))
        >>> found.grid_points.values, found.random.sizes["repeat"]
        (array([ 9, 100]), 100)
    """
    _asked.check_objective(objective, "search_cost")
    _checks.random_key("key", key)
    _checks.count("repeats", repeats)
    if memory is not None:
        _checks.count("memory", memory, least=2**20, unit=" bytes")
    counts = _checked_budgets(budgets, repeats)
    low, high = _bounds(objective, box)
    dims = sum(leaf.size for leaf in jax.tree.leaves(low))
    per_axis = np.array([_per_axis(n, dims) for n in counts])
    with jax.default_matmul_precision(PRECISION):
        search = partial(_best, objective, _blocks.plan(objective, (1, max(counts)), memory).block[1], low, high)
        random = np.stack([search(_drawn(k, max(counts), low)) for k in jax.random.split(key, repeats)])
        grids = {int(k): search(_grid(int(k), low, dims)) for k in np.unique(per_axis)}
    best = np.fmin.accumulate(np.where(np.isfinite(random), random, np.nan), axis=1)[:, np.array(counts) - 1].T
    lost = np.stack([1 - np.isfinite(random[:, :n]).mean() for n in counts])
    grid = np.array([np.fmin.reduce(np.where(np.isfinite(grids[k]), grids[k], np.nan)) for k in per_axis])
    found = {
        "random": (("budget", "repeat"), best),
        **{name: ("budget", np.quantile(best, q, axis=1).astype(best.dtype)) for name, q in QUARTILES.items()},
        "grid": ("budget", grid),
        "grid_points": ("budget", per_axis**dims),
        "per_axis": ("budget", per_axis),
        "not_finite": ("budget", lost),
    }
    return _dataset(objective, found, counts, repeats, dims)


def _best(objective: Objective, block: int, low: Params, high: Params, shares: Params) -> np.ndarray:
    """The objective at points of the box, (n,); shares in [0, 1], leaves (n, …)."""
    coefficients = objective.penalty.coefficients(_trees.floating(objective.params))
    how = objective.traced_losses, objective.reduction, block
    return np.asarray(_values(*how, coefficients, objective.params, objective.data, low, high, shares))


@partial(jax.jit, static_argnames=("losses", "reduction", "block"))
def _values(
    losses: Losses,
    reduction: str,
    block: int,
    coefficients: tuple[Params, Params],
    example: Params,
    data: Batch,
    low: Params,
    high: Params,
    shares: Params,
) -> Array:
    def one(share: Params) -> Array:
        moving = jax.tree.map(lambda a, b, s: a + (b - a) * s, low, high, share)
        risk = reduced(*weighted_sum(losses, _trees.merged(moving, example), data), reduction)
        return risk + _penalties.value(*coefficients, moving).astype(risk.dtype)

    return jax.lax.map(one, shares, batch_size=block)


@partial(jax.jit, static_argnames="count")
def _drawn(key: Array, count: int, like: Params) -> Params:
    """Uniform shares, leaves (count, …)."""
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    return structure.unflatten(
        [jax.random.uniform(k, (count, *leaf.shape), leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
    )


def _grid(per_axis: int, like: Params, dims: int) -> Params:
    """The shares of all points of a grid, leaves (per_axis^dims, …)."""
    middles = (np.arange(per_axis) + 0.5) / per_axis
    digits = np.arange(per_axis**dims)[:, None] // per_axis ** np.arange(dims)[None] % per_axis
    leaves, structure = jax.tree.flatten(like)
    parts = np.split(middles[digits], np.cumsum([leaf.size for leaf in leaves])[:-1], axis=1)
    return structure.unflatten(
        [jnp.asarray(p.reshape(-1, *leaf.shape), leaf.dtype) for p, leaf in zip(parts, leaves, strict=True)]
    )


def _per_axis(budget: int, dims: int) -> int:
    """The largest k with k^dims ≤ budget."""
    k = round(budget ** (1 / dims)) + 1
    while k > 1 and k**dims > budget:
        k -= 1
    return k


def _checked_budgets(budgets: Any, repeats: int) -> list[int]:
    if isinstance(budgets, (str, Mapping)) or not hasattr(budgets, "__iter__"):
        raise TypeError(f"`budgets` is {_checks.kind(budgets)}; give numbers of points, such as [16, 64, 256].")
    counts = [_checks.count(f"budgets[{i}]", n, unit=" points") for i, n in enumerate(budgets)]
    if not counts or len(set(counts)) < len(counts):
        raise ValueError(f"`budgets` is {counts}; give at least one, and each once.")
    if max(counts) * (repeats + 1) > MOST:
        raise ValueError(
            f"`budgets` of up to {max(counts)} points, {repeats} `repeats` and a grid are "
            f"{max(counts) * (repeats + 1)} evaluations; at most {MOST} are made. Take fewer points or repeats."
        )
    return counts


def _bounds(objective: Objective, box: Any) -> tuple[Params, Params]:
    """(low, high) of every entry that moves."""
    own = _trees.floating(objective.params)
    names = tuple(_trees.named_leaves(own))
    if isinstance(box, Mapping):
        missing, unknown = [n for n in names if n not in box], [n for n in box if n not in names]
        if missing or unknown:
            wrong = {"missing": missing, "unknown": unknown}
            listed = "; ".join(f"{what}: {', '.join(map(repr, found))}" for what, found in wrong.items() if found)
            raise ValueError(f"`box` must name the leaves that move, {', '.join(names)}; {listed}.")
        given = {name: _side(f"box[{name!r}]", box[name]) for name in names}
    else:
        given = dict.fromkeys(names, _side("box", box))
    sides = jax.tree.structure(own)
    leaves = list(zip(names, jax.tree.leaves(own), strict=True))
    low, high = (
        sides.unflatten([jnp.full(leaf.shape, given[name][i], leaf.dtype) for name, leaf in leaves]) for i in (0, 1)
    )
    return low, high


def _side(name: str, given: Any) -> tuple[float, float]:
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise TypeError(f"`{name}` is {given!r}; give (low, high), such as (-3.0, 3.0).")
    low, high = (_checks.number(name, value) for value in given)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"`{name}` is ({low:g}, {high:g}); give finite numbers, the lower one first.")
    return low, high


def _dataset(
    objective: Objective, found: Mapping[str, Any], counts: Sequence[int], repeats: int, dims: int
) -> xarray.Dataset:
    import xarray

    variables = {
        name: (over, values, {"long_name": LONG_NAMES[name], "units": "1"}) for name, (over, values) in found.items()
    }
    coords = {
        "budget": ("budget", np.array(counts), {"long_name": "points", "units": "1"}),
        "repeat": ("repeat", np.arange(repeats), {"long_name": "repeat", "units": "1"}),
    }
    attributes = describe(objective, None) | {"kind": "search_cost", "dimensions": dims, "precision": PRECISION}
    return xarray.Dataset(variables, coords, attributes)
