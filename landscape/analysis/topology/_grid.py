"""A surface read as a grid of numbers whose topology is asked for: checked, sorted, without axes of one position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from landscape import _checks

if TYPE_CHECKING:
    import xarray

LABELED = ("penalty", "split")  # dimensions of which one panel is chosen


class Grid(NamedTuple):
    """What the topology is computed of; cells are numbered in C order, those of a wall are +inf."""

    array: xarray.DataArray  # the variable, its axes ascending
    values: np.ndarray  # (n,) float64, exactly the numbers of any narrower dtype
    shape: tuple[int, ...]  # without axes of one position, which connect nothing
    axes: tuple[np.ndarray, ...]  # the positions along these, as distances where the chart knows the unit's length
    volumes: np.ndarray  # (n,) the share of the window that each cell stands for, 0 in a wall; they sum to 1
    border: np.ndarray  # (n,) on the window's border, or beside a wall
    epsilon: float  # rounding of the dtype in which the values came, relative

    @property
    def walls(self) -> np.ndarray:
        """(n,) cells without a number."""
        return np.isinf(self.values)

    def places(self, cells: np.ndarray) -> np.ndarray:
        """(len(cells), axes of the surface): coordinates of cells, NaN where there is none (−1)."""
        indices = np.unravel_index(np.maximum(cells, 0), self.array.shape)
        positions = [self.array[dim].to_numpy()[i] for dim, i in zip(self.array.dims, indices, strict=True)]
        return np.where((cells >= 0)[:, None], np.stack(positions, axis=-1).astype(float), np.nan)


def read(surface: Any, variable: str, holes: str) -> Grid:
    """The grid of a variable.

    Raises: TypeError or ValueError, naming the argument.
    """
    import xarray

    _checks.instance("surface", surface, xarray.Dataset, "the surface that ls.evaluate returned")
    walled = _checks.one_of("holes", holes, {"refuse": False, "walls": True})
    array = _chosen(surface, variable)
    for dim in array.dims:
        _check_axis(str(dim), surface)
    array = array.sortby(list(array.dims))
    _check_computed(surface, array)
    good = _finite(surface, array)
    _check_holes(array, good, variable, walled)
    values = np.where(good, array.to_numpy().astype(float), np.inf)
    array = array.where(good) if walled else array
    dims = [dim for dim in array.dims if array.sizes[dim] > 1]
    positions = [array[dim].to_numpy().astype(float) for dim in dims]
    shape = tuple(map(len, positions))
    border = _border(good.reshape(shape)).ravel()
    dtype = np.dtype(surface[variable].dtype)
    epsilon = float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0
    return Grid(array, values.ravel(), shape, _lengths(array, dims), _volumes(positions, good), border, epsilon)


def _chosen(surface: xarray.Dataset, variable: str) -> xarray.DataArray:
    """The variable over axes alone."""
    if not isinstance(variable, str) or variable not in surface.data_vars:
        known = ", ".join(map(str, surface.data_vars))
        raise ValueError(f"`variable` is {variable!r}, which the surface has not; it has {known}.")
    array = surface[variable]
    for dim in (dim for dim in LABELED if dim in array.dims):
        labels = [str(label) for label in surface[dim].to_numpy()]
        listed = ", ".join(labels[:6]) + (", …" if len(labels) > 6 else "")
        what = "penalties" if dim == "penalty" else "splits"
        raise ValueError(
            f"`surface` holds {variable!r} for {len(labels)} {what} ({listed}); the topology is that of one. Select "
            f"it: surface.sel({dim}={labels[-1]!r})."
        )
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise TypeError(f"`variable` {variable!r} holds {array.dtype}; the topology is that of real numbers.")
    if not 1 <= array.ndim <= 3:
        raise ValueError(
            f"`variable` {variable!r} has {array.ndim} dimensions ({', '.join(map(str, array.dims)) or 'none'}); a "
            "surface has 1, 2 or 3 axes. Select until only these are left: surface.isel(…)."
        )
    return array


def _check_axis(dim: str, surface: xarray.Dataset) -> None:
    """Raise ValueError unless the dimension has positions, each once."""
    if dim not in surface.indexes or surface[dim].dtype.kind not in "iuf":
        what = "labels" if dim in surface.indexes else "no positions"
        raise ValueError(
            f"`surface` has {what} along {dim!r}; neighbors on a grid need positions, numbers along each axis. Select "
            f"one, surface.isel({dim}=0), or assign them, surface.assign_coords({dim}=positions)."
        )
    positions = surface[dim].to_numpy()
    if len(positions) == 0:
        raise ValueError(f"`surface` is empty along {dim!r}; give one cell or more.")
    _checks.finite(f"surface[{dim!r}]", positions, "An axis has finite positions")
    repeated = np.sort(positions)[1:][np.diff(np.sort(positions)) == 0]
    if repeated.size:
        raise ValueError(
            f"`surface` has the position {dim} = {repeated[0]:g} more than once; keep one: "
            f"surface.drop_duplicates({dim!r})."
        )


def _check_computed(surface: xarray.Dataset, array: xarray.DataArray) -> None:
    """Raise ValueError where cells are not computed yet."""
    if "computed" not in surface:
        return
    missing = ~surface["computed"].broadcast_like(array).to_numpy().astype(bool)
    if missing.any():
        raise ValueError(
            f"`surface` is computed in part: {int(missing.sum())} of {array.size} cells are missing. Finish it first, "
            "by the ls.evaluate that writes the store: what is connected in a part is not what is in the whole."
        )


def _finite(surface: xarray.Dataset, array: xarray.DataArray) -> np.ndarray:
    """Where there is a number, in the shape of the array."""
    import xarray

    good = np.isfinite(array.to_numpy().astype(float))
    flagged = surface.get("finite", xarray.DataArray(True))
    if set(flagged.dims) <= set(array.dims):
        good &= flagged.broadcast_like(array).transpose(*array.dims).sortby(list(array.dims)).to_numpy().astype(bool)
    return good


def _check_holes(array: xarray.DataArray, good: np.ndarray, variable: str, walled: bool) -> None:
    """Raise ValueError where holes are not allowed, or are no walls, or are all there is."""
    if good.all():
        return
    holes = np.argwhere(~good)
    place = ", ".join(f"{dim}={array[dim].to_numpy()[i]:g}" for dim, i in zip(array.dims, holes[0], strict=True))
    count = f"{len(holes)} of {array.size} cells of {variable!r} are not finite, the first at {place}"
    if not walled:
        raise ValueError(
            f"`surface` has holes: {count}. Take a smaller window, surface.sel({array.dims[0]}=slice(…, …)), or say "
            'that they are infinitely high: holes="walls".'
        )
    if np.isneginf(array.to_numpy()).any():
        raise ValueError(f"`surface` has holes: {count}, and some are −inf, which is no wall. Take a smaller window.")
    if not good.any():
        raise ValueError(f"`surface` has holes: {count}; no cell is left. Look at `surface.finite`, and at other axes.")


def _border(good: np.ndarray) -> np.ndarray:
    """Cells on the border of the grid, or beside a hole."""
    border = np.zeros(good.shape, bool)
    for axis in range(good.ndim):
        at, bad = np.moveaxis(border, axis, 0), np.moveaxis(~good, axis, 0)
        at[[0, -1]] = True
        at[1:] |= bad[:-1]
        at[:-1] |= bad[1:]
    return border


def _lengths(array: xarray.DataArray, dims: list[Any]) -> tuple[np.ndarray, ...]:
    """Positions as distances between params, where the chart says how long a unit of every coordinate is."""
    units = [array[dim].attrs.get("unit_length") for dim in dims]
    known = units if all(unit is not None and unit > 0 for unit in units) else [1.0] * len(dims)
    return tuple(array[dim].to_numpy().astype(float) * unit for dim, unit in zip(dims, known, strict=True))


def _volumes(positions: list[np.ndarray], good: np.ndarray) -> np.ndarray:
    """Shares of the window: the cell of a position reaches halfway to the next ones, and no farther than the window."""
    volumes = np.ones(())
    for own in positions:
        middle = np.concatenate([own[:1], own[:-1] / 2 + own[1:] / 2, own[-1:]])
        width = np.diff(middle) / (own[-1] - own[0])
        volumes = np.multiply.outer(volumes, width)
    volumes = np.where(good.ravel(), volumes.ravel(), 0.0)
    return volumes / volumes.sum()
