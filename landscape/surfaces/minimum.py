"""The least value on a grid, and whether the grid holds a minimum at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from landscape import _checks

if TYPE_CHECKING:
    import xarray


def minimum(surface: xarray.Dataset, variable: str = "objective") -> xarray.Dataset:
    """The least finite value of a variable on the grid, one for each penalty of a sweep and each split.

    Returns a Dataset (over `penalty` in a sweep) with the variable's least value, the coordinates where it is taken (to
    the grid's spacing; the first of several), `ties`, the number of cells that share it, and `interior`: False where
    one of them lies on the border or beside a cell that is not finite. With one such cell the window holds no minimum;
    with several the function is flat there. An axis of one position has no border.
    Raises: ValueError if the variable is missing, or nowhere finite.

        >>> import numpy as np, landscape as ls
        >>> pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
        >>> axes = {"w": np.linspace(-3, 3, 61), "b": np.linspace(-3, 3, 61)}
        >>> best = ls.minimum(ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes))
        >>> round(float(best.w), 2), round(float(best.b), 2), bool(best.interior)
        (1.2, 0.0, True)
    """
    import xarray

    _checks.instance("surface", surface, xarray.Dataset, "the surface that ls.evaluate returned")
    if variable not in surface:
        raise ValueError(
            f"`variable` is {variable!r}, which the surface has not; it has {', '.join(map(str, surface.data_vars))}."
        )
    values = surface[variable]
    leading = [dim for dim in values.dims if dim in ("penalty", "split")]
    axes = [dim for dim in values.dims if dim not in leading]
    if not set(axes) <= set(map(str, surface.indexes)) or "coordinate" in axes:
        raise ValueError(
            f"`variable` {variable!r} has the dimensions {values.dims}; select until only the axes are left."
        )
    array = values.transpose(*leading, *axes).to_numpy()
    flat = np.where(np.isfinite(array), array, np.inf).reshape(*array.shape[: len(leading)], -1)
    if not np.isfinite(flat).any(axis=-1).all():
        raise ValueError(f"`{variable}` is nowhere finite on this grid; look at `surface.finite`, and at smaller axes.")
    shape = array.shape[len(leading) :]
    positions = np.unravel_index(flat.argmin(axis=-1), shape)
    least = flat.min(axis=-1)
    # All cells that share it: where the objective underflows to 0, or a unit is dead, they reach the border.
    tied = flat == least[..., None]
    escapes = (tied & _border(np.isfinite(array), len(shape)).reshape(flat.shape)).any(axis=-1)
    out = {variable: (leading, least), "interior": (leading, ~escapes), "ties": (leading, tied.sum(axis=-1))}
    for axis, index in zip(axes, positions, strict=True):
        out[str(axis)] = (leading, surface[axis].to_numpy()[index])
    coords = {
        name: surface[name]
        for name in ("penalty", "strength", "split")
        if surface.get(name) is not None and leading and set(surface[name].dims) <= set(leading)
    }
    return xarray.Dataset(out, coords)


def _border(finite: np.ndarray, num_axes: int) -> np.ndarray:
    """Cells on the grid's border or beside one that is not finite, along the last `num_axes` axes longer than 1."""
    border = np.zeros(finite.shape, bool)
    for axis in range(-num_axes, 0):
        if finite.shape[axis] > 1:
            at, bad = np.moveaxis(border, axis, 0), np.moveaxis(~finite, axis, 0)
            at[[0, -1]] = True
            at[1:] |= bad[:-1]
            at[:-1] |= bad[1:]
    return border
