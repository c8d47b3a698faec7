"""The least value in a panel: a star where it is a minimum, an open diamond where it reaches the border, and a note."""

from collections.abc import Sequence
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.lines import Line2D

from landscape.plot import _excess, _mesh, style
from landscape.plot._panels import Panel

# What a panel's least value is → the note under the panel's title.
NOTES = {
    "minimum": "",
    "border": "no minimum in this window",
    "flat": "least value reaches the border",  # several cells share it: a valley or a plateau
    "": "nothing finite in this window",
}
_STAR: dict[str, Any] = {
    "marker": "*",
    "markersize": 5.2,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.5,
}
_BORDER: dict[str, Any] = {
    "marker": "D",
    "markersize": 5,
    "markerfacecolor": "none",
    "markeredgecolor": style.VERMILLION,
    "markeredgewidth": 1.1,
    "path_effects": style.halo(1.1),
}


def mark(axes: Axes, surface: xr.Dataset, variable: str, panel: Panel, names: tuple[str, str]) -> str:
    """Mark the panel's least cell, in the surface of this panel alone; returns the key of its note in NOTES."""
    from landscape import minimum

    if not panel.finite.size:
        return ""
    least = minimum(surface, variable)
    kind = "minimum" if bool(least["interior"]) else "border" if int(least["ties"]) == 1 else "flat"
    look = {"zorder": 9, **_STAR} if kind == "minimum" else {"zorder": 3.5, **_BORDER}  # a star is above all runs
    place = [float(least[name]) for name in names]
    axes.plot(*place, clip_on=False, scalex=False, scaley=False, **look)
    return kind


def lines(axes: Axes, panel: Panel, norm: AsinhNorm) -> None:
    """Numbered contour lines of the values themselves, evenly spread over the colors of their excess."""
    if panel.finite.size:
        least = float(panel.finite.min())
        levels = _excess.levels(least, float(panel.finite.max()), norm)
        _mesh.contours(axes, panel, panel.values, levels, lambda level: float(norm(level - least)) < 0.55)


def handles(kinds: Sequence[str]) -> list[Line2D]:
    """The legend's entries for the marks of these panels."""
    found = []
    if "minimum" in kinds:
        found.append(Line2D([], [], linestyle="none", label="minimizer on the grid", **_STAR))
    if {"border", "flat"} & set(kinds):
        found.append(Line2D([], [], linestyle="none", label="least value, at the border", **_BORDER))
    return found
