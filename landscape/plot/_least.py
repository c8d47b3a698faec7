"""The least value in a panel: a star where it is a minimum, an open diamond where it reaches the border, and a note."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.lines import Line2D

from landscape.plot import _excess, _mesh, _panels, style
from landscape.plot._panels import Panel

# What a panel's least value is → the note under the panel's title.
NOTES = {
    "minimum": "",
    "border": "no minimum in this window",
    "flat": "least value reaches the border",  # several cells share it: a valley or a plateau
    "so far": "not computed to the end",
    "": "nothing finite in this window",
}
_STAR: dict[str, Any] = {**style.kind_style("minimum"), "markersize": 5.2, "markeredgewidth": 0.5}
_BORDER: dict[str, Any] = {
    "marker": "D",
    "markersize": 5,
    "markerfacecolor": "none",
    "markeredgecolor": style.VERMILLION,
    "markeredgewidth": 1.1,
    "path_effects": style.halo(1.1),
}


def mark(axes: Axes, surface: xr.Dataset, variable: str, names: Sequence[str]) -> str:
    """Mark the least cell, in the surface of this panel alone; returns the key of its note in NOTES."""
    kind, place = find(surface, variable)
    if kind:
        put(axes, kind, [place[name] for name in names])
    return kind


def find(surface: xr.Dataset, variable: str) -> tuple[str, dict[str, float]]:
    """The key in NOTES of what the least value of a surface is, and where it is; "" where nothing is finite."""
    from landscape import minimum

    if not np.isfinite(_panels.masked(surface, variable)).any():
        return "", {}
    least = minimum(surface, variable)
    kind = "minimum" if bool(least["interior"]) else "border" if int(least["ties"]) == 1 else "flat"
    kind = kind if "computed" not in surface else "so far"
    return kind, {name: float(least[name]) for name in _panels.coordinates(surface, variable)}


def put(axes: Axes, kind: str, place: Sequence[float]) -> None:
    """The mark of a least value."""
    look = {"zorder": 9, **_STAR} if kind == "minimum" else {"zorder": 3.5, **_BORDER}  # a star is above all runs
    axes.plot(*([x] for x in place), clip_on=False, scalex=False, scaley=False, **look)


def lines(axes: Axes, panel: Panel, norm: AsinhNorm, least: float | None = None) -> None:
    """Numbered contour lines of the values, evenly spread over the colors of their excess, over the panel's `least`."""
    if panel.finite.size:
        least = float(panel.finite.min()) if least is None else least
        levels = _excess.levels(least, float(panel.finite.max()), norm)
        _mesh.contours(axes, panel, panel.values, levels, lambda level: float(norm(level - least)) < 0.55)


def handles(kinds: Sequence[str]) -> list[Line2D]:
    """The legend's entries for the marks of these panels."""
    found = []
    if "minimum" in kinds:
        found.append(Line2D([], [], label="minimizer on the grid", **_STAR))
    if {"border", "flat"} & set(kinds):
        found.append(Line2D([], [], linestyle="none", label="least value, at the border", **_BORDER))
    if "so far" in kinds:
        found.append(Line2D([], [], linestyle="none", label="least value so far", **_BORDER))
    return found
