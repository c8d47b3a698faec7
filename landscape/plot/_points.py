"""Critical points on a picture: a mark a kind, where they lie on the surface's chart and inside its window."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape import _checks
from landscape.plot import _panels, _paths, _runs, style


def read(points: Any, surface: xr.Dataset, names: Sequence[str]) -> xr.Dataset | None:
    """The points with their coordinates on the surface's chart; None where none are given.

    `points` is a CriticalPoints, what its `on(surface)` returns, or what `Interpolant.critical_points` does.
    Raises: TypeError if it is neither; ValueError if they are of another objective, penalty or chart.
    """
    if points is None:
        return None
    data = points.data if hasattr(points, "on") else points
    if not isinstance(data, xr.Dataset) or "kind" not in data or "point" not in data.dims:
        raise TypeError(
            f"`points` is {_checks.kind(points)}; it must be what landscape.critical_points returns, its .on(surface), "
            "or an interpolant's .critical_points()."
        )
    if "objective_id" in data.attrs:
        _runs.check_same("points", "objective", data, surface, "Find the points of the surface's objective.")
        _runs.panels_of("points", data, surface)
    if hasattr(points, "on"):
        data = points.on(surface)
    if "chart_id" in data.attrs:
        _runs.check_same("points", "chart", data, surface, "See them on the surface's chart: points.on(surface).")
    missing = [name for name in names if name not in data]
    if missing:
        raise ValueError(
            f"`points` have no coordinate {missing[0]!r}; they have {', '.join(map(str, data.data_vars))}. Give "
            "points.on(surface)."
        )
    return data


def inside(data: xr.Dataset, surface: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Those in the window, no farther from the chart than 1% of the window's diagonal."""
    low, high = np.array([[surface[name].min(), surface[name].max()] for name in names], float).T
    places = np.stack([data[name].to_numpy() for name in names], axis=1)
    shown = np.all((low <= places) & (places <= high), axis=1)
    if "off_chart" in data:
        diagonal = _panels.diagonal(surface, names) or float(np.linalg.norm(high - low))
        shown &= data["off_chart"].to_numpy() <= _paths.OFF_SHARE * diagonal
    return data.isel(point=shown)


def draw(axes: Axes, data: xr.Dataset, x: str, y: str) -> list[Line2D]:
    """Mark the points at two of their variables; returns the legend's entries."""
    kinds = data["kind"].to_numpy().astype(str)
    entries = []
    for kind in [kind for kind in style.KINDS if kind in kinds]:
        own, look = data.isel(point=kinds == kind), style.kind_style(kind)
        axes.plot(own[x], own[y], zorder=9, clip_on=False, scalex=False, scaley=False, **look)
        entries.append(Line2D([], [], label=kind, **look))
    return entries
