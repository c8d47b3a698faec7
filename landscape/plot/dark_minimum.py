"""The dark minimum: a panel a penalty, black where the objective is least.

The color is the excess of the objective over its least value in that panel,

    excess(w, b) = objective(w, b) − min objective,

on one scale for all panels, so a black spot that stands alone is a minimum and a black region that runs off the window
is none. The lines are the objective itself.

    >>> import landscape as ls
    >>> figure = ls.plot.dark_minimum(surface, runs)                          # doctest: +SKIP
    >>> figure.savefig("dark_minimum.pdf")                                    # doctest: +SKIP
"""

from collections.abc import Sequence
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landscape.plot import _excess, _mesh, _page, _panels, _paths, _runs, style
from landscape.plot._panels import Panel

_MINIMUM: dict[str, Any] = {
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


def dark_minimum(
    surface: xr.Dataset,
    runs: Any = None,
    *,
    shared_scale: bool = True,
    width: float = style.DOUBLE,
    columns: int | None = None,
    floor: float | None = None,
    ceiling: float | None = None,
) -> Figure:
    """A panel a penalty, black where the objective is least, each panel with the runs of its own penalty.

    `surface` has two coordinates (the first is drawn horizontally) and, after a sweep, the dimension "penalty".
    `runs` is a Trajectory on the surface's objective, or its `.on(surface)`; they never change the window.
    The minimizer on the grid is a star; where the least value lies on the border of the window there is no minimum in
    it, and the place is an open diamond. Cells that are not finite are hatched.

    The color scale, asinh(excess / floor), is linear below `floor` and logarithmic above, and ends at `ceiling`, by
    default where the flattest panel ends (what is higher stays lightest). `shared_scale=False`: each panel has its own.
    `width` is in inches (`style.SINGLE`, `style.DOUBLE`), `columns` the panels in a row.

    Raises: ValueError if the surface has not two coordinates, or if the runs belong to another objective, chart or
    penalty.
    """
    from landscape import minimum

    panels = _panels.read(surface, "objective")
    names = _panels.plane(surface, "objective")
    walks = [] if runs is None else _runs.read(runs, surface, names)
    slices = (
        [surface.isel(penalty=i) for i in range(len(panels))] if "penalty" in surface["objective"].dims else [surface]
    )
    least = [minimum(piece) if panel.finite.size else None for piece, panel in zip(slices, panels, strict=True)]
    with style.context():
        figure, axes = _page.page(len(panels), width, columns)
        norms = _excess.norms(panels, shared_scale, floor, ceiling)
        drawn = [_draw(ax, panel, norm) for ax, panel, norm in zip(axes, panels, norms, strict=True)]
        kinds = [_mark(ax, panel, best, names) for ax, panel, best in zip(axes, panels, least, strict=True)]
        for ax, panel, norm in zip(axes, panels, norms, strict=True):
            _paths.draw(ax, [run for run in walks if run.penalty == panel.label])
            _lines(ax, panel, norm)  # last: the numbers keep clear of the paths
        _bars(figure, axes, panels, drawn, shared_scale)
        _page.finish(figure, axes[0], _handles(axes, panels, walks, kinds), own=True)
    return figure


def _draw(axes: Axes, panel: Panel, norm: AsinhNorm) -> Any:
    excess = _excess.excess(panel)
    drawn = _mesh.mesh(axes, panel, excess, norm, style.SEQUENTIAL)
    _page.frame(axes, panel)
    return drawn


def _lines(axes: Axes, panel: Panel, norm: AsinhNorm) -> None:
    if panel.finite.size:
        least = float(panel.finite.min())
        levels = _excess.levels(least, float(panel.finite.max()), norm)
        _mesh.contours(axes, panel, panel.values, levels, lambda level: float(norm(level - least)) < 0.55)


def _mark(axes: Axes, panel: Panel, least: xr.Dataset | None, names: tuple[str, str]) -> str:
    """Mark the panel's least cell and title the panel; returns "minimum", "border" or "" (nothing finite)."""
    kind = "" if least is None else "minimum" if bool(least["interior"]) else "border"
    if least is not None:
        place = [float(least[name]) for name in names]
        axes.plot(
            *place,
            zorder=7 if kind == "minimum" else 3.5,
            clip_on=False,
            scalex=False,
            scaley=False,
            **(_MINIMUM if kind == "minimum" else _BORDER),
        )
    note = {"border": "no minimum in this window", "": "nothing finite in this window", "minimum": ""}[kind]
    _page.title(axes, panel.label, note)
    return kind


def _bars(figure: Figure, axes: Sequence[Axes], panels: Sequence[Panel], drawn: Sequence[Any], shared: bool) -> None:
    if shared and len(panels) > 1:
        _excess.bar(figure, list(axes), panels, drawn[0], "objective − its least value in the panel")
        return
    for ax, panel, mesh in zip(axes, panels, drawn, strict=True):
        _excess.bar(figure, ax, [panel], mesh, "objective − its least value")


def _handles(
    axes: Sequence[Axes], panels: Sequence[Panel], walks: Sequence[_runs.Run], kinds: Sequence[str]
) -> list[list[Any]]:
    optimizers, signs = _paths.handles(walks, axes)
    if "minimum" in kinds:
        signs.append(Line2D([], [], linestyle="none", label="minimizer on the grid", **_MINIMUM))
    if "border" in kinds:
        signs.append(Line2D([], [], linestyle="none", label="least value, at the border", **_BORDER))
    return [optimizers, signs + _mesh.hatch_handles(panels)]
