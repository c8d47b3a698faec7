"""`persistence`: the minima, loops and voids of a surface, where they merge or are filled, and how deep they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from landscape import _checks
from landscape.analysis.topology import _cycles, _grid, _merge_tree, _wording
from landscape.analysis.topology._grid import Grid
from landscape.analysis.topology._merge_tree import MergeTree

if TYPE_CHECKING:
    import xarray

ROUNDING = 32  # units in the last place by which a computed mean may be wrong, as `compare_flatness` counts

LONG_NAMES = {
    "homology": "dimension: 0 a component (a minimum), 1 a loop, 2 a void",
    "birth": "value where it is born",
    "death": "value where it merges or is filled",
    "persistence": "persistence",
    "birth_at": "coordinate of the birth: of a minimum, or of the last cell of a loop",
    "death_at": "coordinate of the death: of a saddle, or of the maximum that fills a loop",
    "merges_into": "pair of the older minimum that it merges into",
    "spills_into": "pair of the minimum on the other side of the saddle",
    "basin_share": "share of the window from which steepest descent leads to the minimum",
    "share_at_merge": "share of the window connected with the minimum below its saddle",
    "ties": "cells that share the minimum",
    "birth_on_border": "whether the birth is on the border of the window",
    "death_on_border": "whether the death is on the border of the window",
    "within_rounding": "whether rounding can make it",
}


@dataclass(frozen=True, eq=False)
class Persistence:
    """What `persistence` found. Prints as a table.

    pairs:  Dataset over `pair`, numbered: first the minima, from the most to the least persistent, then loops, then
            voids.
        homology            0 a component, born at its minimum; 1 a loop; 2 a void
        birth, death        values; death is inf where there is none
        persistence         death − birth
        birth_at, death_at  (pair, coordinate) the cells' coordinates, exactly the grid's; NaN where there is no death
        merges_into         the pair of the oldest (lowest) minimum of the component that it merges into; −1: none
        spills_into         the pair of the minimum in whose basin the other side of the saddle lies; −1: none
        basin_share         share of the window from which steepest descent leads to the minimum; these sum to 1
        share_at_merge      share of the window that is connected with the minimum below its saddle
        ties                cells that share the minimum; it is at the first of them
        birth_on_border, death_on_border    one of these cells, or the death, is on the border of the window (or beside
                            a wall): the true minimum may lie outside, or a lower pass
        within_rounding     the persistence is at most 32·ε·max(|birth|, |death|): rounding of the dtype can make it
            What only minima have is NaN, −1 or 0 for the others.
    values: the variable over the axes, ascending.
    basins: over the axes, the pair of the minimum to which steepest descent leads; −1 in a wall.
    """

    pairs: xarray.Dataset
    values: xarray.DataArray
    basins: xarray.DataArray

    @property
    def minima(self) -> xarray.Dataset:
        """The pairs of homology 0."""
        return self.pairs.isel(pair=self.pairs["homology"].to_numpy() == 0)

    @property
    def roughness(self) -> float:
        """Total persistence of all minima but the lowest, over the range of the values: 0 where there is one basin.

            Σ_{i > 0} (min(deathᵢ, max f) − birthᵢ) / (max f − min f)

        The same for a·f + c, a > 0, and for any change of the coordinates that keeps their order. What never merges
        counts up to max f. On one axis it says how much longer the way up and down is than that of one basin, with the
        total variation V: V(f) = f(left) + f(right) − 2 min f + 2 (max f − min f)·roughness. It is a number of the
        window, whose steep border makes the range large and the roughness small, and a sum: noise in many cells adds
        up, so drop it first, `.at_least(threshold).roughness`.
        """
        low, high = float(self.values.min()), float(self.values.max())
        others = self.minima.isel(pair=slice(1, None))
        total = float((np.minimum(others["death"], high) - others["birth"]).sum())
        return total / (high - low) if total > 0 else 0.0

    def at_least(self, threshold: float) -> Persistence:
        """Without the pairs of a smaller persistence than `threshold`, a value like those of the variable.

        The basin of a minimum that is dropped falls to the one that it spills into. Pairs keep their numbers.
        Raises: TypeError or ValueError unless the threshold is one finite number ≥ 0.
        """
        least = _checks.number("threshold", threshold)
        if not 0 <= least < np.inf:
            raise ValueError(f"`threshold` is {threshold}; it must be a finite number ≥ 0, a difference of values.")
        pairs = self.pairs.isel(pair=self.pairs["persistence"].to_numpy() >= least)
        numbers = self.minima["pair"].to_numpy()
        kept = self.minima["persistence"].to_numpy() >= least
        beyond = np.searchsorted(numbers, self.minima["spills_into"].to_numpy())
        final = _merge_tree.resolved(kept, np.where(kept, -1, beyond))
        shares = np.bincount(final, self.minima["basin_share"].to_numpy(), minlength=len(kept))[kept]
        others = np.full(pairs.sizes["pair"] - kept.sum(), np.nan)
        pairs["basin_share"] = ("pair", np.concatenate([shares, others]), pairs["basin_share"].attrs)
        spills = np.where(pairs["spills_into"] >= 0, numbers[final[_positions(numbers, pairs["spills_into"])]], -1)
        pairs["spills_into"] = ("pair", spills, pairs["spills_into"].attrs)
        cells = self.basins.to_numpy()
        basins = np.where(cells >= 0, numbers[final[_positions(numbers, cells)]], -1)
        return replace(self, pairs=pairs, basins=self.basins.copy(data=basins))

    def __str__(self) -> str:
        return _wording.described(self.pairs, self.values, self.roughness)

    __repr__ = __str__


def _positions(numbers: np.ndarray, pairs: Any) -> np.ndarray:
    """Where the pairs stand among the numbers of the minima; 0 for −1."""
    return np.searchsorted(numbers, np.maximum(np.asarray(pairs), numbers[0]))


def persistence(
    surface: xarray.Dataset, variable: str = "objective", *, holes: Literal["refuse", "walls"] = "refuse"
) -> Persistence:
    """The sublevel-set persistence of a surface: which basins there are, how deep, and over which saddles they merge.

        K(h) = the cells of the grid where f ≤ h, and the edges, squares and cubes between them

    The level h rises from the least value to the largest. At a minimum a component of K is born. Where two meet, at a
    saddle, the younger one, whose minimum is higher, merges into the older (the elder rule): its persistence is the
    height of the saddle over the minimum. A loop is born where a ring around higher ground closes, and dies at the
    maximum inside; of three axes a void in the same way. The lowest component never dies.

    surface:  of `ls.evaluate`, or any Dataset over 1 to 3 axes of numbers, at any spacing and in any order. Of a sweep
              one penalty, `surface.sel(penalty="λ=0.1")`, of several splits one.
    variable: whose values f are; by default the objective.
    holes:    what to do with cells that are not finite: "refuse" them, or take them for "walls", infinitely high. Then
              several minima may never merge, and a loop around a wall never dies. −inf is refused.

    Grid values are at the vertices of the complex, and an edge, square or cube is there when all of its vertices are
    (lower-star filtration). Neighbors of a cell are those one step along one axis: 2, 4 or 6. Of these values all is
    exact; what f does between the cells is not seen. If f is changed by at most δ everywhere, births and deaths change
    by at most δ, but for pairs of persistence 2δ or less, which may come and go (Cohen-Steiner, Edelsbrunner & Harer
    2007): drop them, `.at_least(threshold)`. A plateau is one minimum; of equally low minima the first on the grid is
    taken for the older. With the cell of a position reaching halfway to the next ones, and no farther than the window:

        basin_share     volume of the cells from which steepest descent, by (f − f_neighbor)/distance, comes to the
                        minimum / volume of the window. Distances are between params where the chart is a Plane (as if
                        its directions were at right angles). Of equally steep ways the first is taken; on level
                        ground the cell that comes first on the grid is the lower one.
        share_at_merge  volume of the component of {f < f(saddle)} around the minimum / volume of the window; 1 for the
                        lowest minimum, unless there are walls, which no volume counts

    A narrow valley oblique to the axes may break into a chain of minima, no neighbor of which is lower. They are the
    grid's own, and of a small persistence that falls as the grid is refined. Nor does persistence see more than the
    surface: a minimum on a plane need not be one of the objective beside it.
    Returns: a `Persistence`; print it.
    Raises: TypeError or ValueError, naming the argument; ImportError for two or three axes where GUDHI is missing.

        >>> import numpy as np, xarray as xr
        >>> x, y = np.linspace(-1.5, 1.5, 31), np.linspace(-1, 1, 21)
        >>> wells = (x[:, None] ** 2 - 1) ** 2 + 0.1 * x[:, None] + y**2
        >>> found = persistence(xr.Dataset({"f": (("x", "y"), wells)}, {"x": x, "y": y}), "f")
        >>> print(found)
        2 minima of f on 31×21 cells over x and y, roughness 0.32.
        #   minimum at   f      merges into   saddle at   f   persistence   basin
        0   (−1, 0)      −0.1   never                         ∞             51.7 %
        1   (1, 0)       0.1    0             (0, 0)      1   0.9           48.3 %

    References: Edelsbrunner & Harer (2010), Computational Topology, chapters VII and VIII, for persistence and its
    stability; Cohen-Steiner, Edelsbrunner, Harer & Mileyko (2010), Found. Comput. Math. 10, for the total persistence
    that `roughness` is a share of; a mean over the saddles and minima is used by Chen et al. (2026), arXiv:2602.07135.
    Loops and voids: GUDHI's CubicalComplex (Wagner, Chen & Vuçini 2012).
    """
    grid = _grid.read(surface, variable, holes)
    tree = _merge_tree.merge_tree(grid)
    heights = np.where(tree.saddles < 0, np.inf, grid.values[tree.saddles])
    order = np.argsort(grid.values[tree.minima] - heights, kind="stable")  # of equal ones the older first
    tree = _renumbered(tree, order)
    births, deaths, homology = [tree.minima], [tree.saddles], [np.zeros(len(order), int)]
    for found in _cycles.cycles(grid):
        own = np.lexsort((found.births, found.deaths, -_heights(grid, found.deaths) + grid.values[found.births]))
        births.append(found.births[own])
        deaths.append(found.deaths[own])
        homology.append(np.full(len(own), found.homology))
    pairs = _pairs(grid, tree, *map(np.concatenate, (births, deaths, homology)))
    basins = grid.array.copy(data=tree.basins.reshape(grid.array.shape)).rename("basin")
    basins.attrs = {"long_name": "pair of the minimum to which steepest descent leads"}
    return Persistence(pairs, grid.array, basins)


def _heights(grid: Grid, cells: np.ndarray) -> np.ndarray:
    """The values of cells, inf where there is none (−1)."""
    return np.where(cells < 0, np.inf, grid.values[cells])


def _renumbered(tree: MergeTree, order: np.ndarray) -> MergeTree:
    """The same tree with its minima in this order."""
    new = np.append(np.argsort(order), -1)  # the last for −1
    own = (tree.minima[order], tree.saddles[order])
    return MergeTree(*own, new[tree.merges_into[order]], new[tree.spills_into[order]], new[tree.basins])


def _pairs(grid: Grid, tree: MergeTree, births: np.ndarray, deaths: np.ndarray, homology: np.ndarray) -> xarray.Dataset:
    """The Dataset of all pairs, the minima first."""
    import xarray

    others = len(births) - len(tree.minima)
    inside = tree.basins >= 0
    plateaus = _merge_tree.plateaus(grid, tree)
    level = plateaus >= 0
    at_border = np.bincount(plateaus[level], grid.border[level], len(tree.minima)) > 0
    birth, death = grid.values[births], _heights(grid, deaths)
    size = np.maximum(abs(birth), np.where(np.isfinite(death), abs(death), 0))
    shares = np.bincount(tree.basins[inside], grid.volumes[inside], len(tree.minima))

    def minima(values: np.ndarray, otherwise: Any) -> np.ndarray:
        return np.concatenate([values, np.full(others, otherwise, values.dtype)])

    variables: dict[str, np.ndarray] = {
        "homology": homology,
        "birth": birth,
        "death": death,
        "persistence": death - birth,
        "birth_at": grid.places(births),
        "death_at": grid.places(deaths),
        "merges_into": minima(tree.merges_into, -1),
        "spills_into": minima(tree.spills_into, -1),
        "basin_share": minima(shares, np.nan),
        "share_at_merge": minima(_merge_tree.merge_shares(grid, tree), np.nan),
        "ties": minima(np.bincount(plateaus[level], minlength=len(tree.minima)), 0),
        "birth_on_border": np.concatenate([at_border, grid.border[births[len(tree.minima) :]]]),
        "death_on_border": (deaths >= 0) & grid.border[deaths],
        "within_rounding": death - birth <= ROUNDING * grid.epsilon * size,
    }
    units = {"units": str(grid.array.attrs["units"])} if "units" in grid.array.attrs else {}
    described = {name: {"long_name": LONG_NAMES[name]} for name in variables}
    for name in ("birth", "death", "persistence"):
        described[name] |= units
    dims = {"birth_at": ("pair", "coordinate"), "death_at": ("pair", "coordinate")}
    data = {name: (dims.get(name, ("pair",)), values, described[name]) for name, values in variables.items()}
    coords = {"pair": np.arange(len(births)), "coordinate": [str(dim) for dim in grid.array.dims]}
    return xarray.Dataset(data, coords, {"kind": "persistence", "variable": str(grid.array.name)})
