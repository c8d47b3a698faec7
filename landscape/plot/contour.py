"""One variable of a surface: colors and labeled lines over two coordinates, or a curve over one.

>>> import landscape as ls
>>> figure = ls.plot.contour(surface, "risk")                             # doctest: +SKIP
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from landscape.plot import _excess, _least, _mesh, _page, _panels, _paths, _runs, _scales, style
from landscape.plot._panels import Panel


def contour(
    surface: xr.Dataset,
    variable: str = "objective",
    runs: Any = None,
    *,
    log: bool | None = None,
    ax: Axes | None = None,
    width: float = style.SINGLE,
) -> Figure:
    """One variable of a surface over its coordinates.

    Two coordinates: colors, black at the least value, with labeled lines; the first coordinate is horizontal. One: a
    curve, and after a sweep a curve a penalty, in the color of its λ (and dashes where two have the same). `runs`: a
    Trajectory on the surface's objective, or its `.on(surface)`.

    `log=True` puts the values on a logarithmic scale, `log=False` on a linear one. By default the objective and the
    risk are drawn as in `dark_minimum` where they vary much (a tenth of the window lies within 1/20 of the range): the
    color is the excess over the least value, which is marked. Else gradient norms, and what is positive with a ratio
    above 20, are logarithmic. Draws into `ax`, or on a new figure `width` inches wide. Cells that are not finite are
    hatched.

    Raises: ValueError for three coordinates, for several penalties over two, and for runs that do not belong here.
    """
    names = _panels.coordinates(surface, variable)
    walks = [] if runs is None else _runs.read(runs, surface, names)
    if len(names) == 1:
        return _curve(surface, variable, names[0], walks, log, ax, width)
    names = _panels.plane(surface, variable)
    _panels.single(surface, variable, "contour")
    panel = _panels.read(surface, variable)[0]
    walks = _runs.by_penalty(walks)
    with style.context():
        figure, axes = _page.canvas(ax, width, square=True)
        kind, label = "minimum", _panels.label_of(surface[variable])
        if log is None and variable in ("objective", "risk") and _excess.is_wide(panel):
            kind = _least.mark(axes, surface, variable, panel, names)
            marks = _least.handles([kind])
            _excess_plane(figure, axes, panel, label, walks)
        else:
            marks = []
            scale = _scales.norm([panel], _scales.is_log(variable, [panel.values], log))
            _plane(figure, axes, panel, scale, label, walks)
        _page.title(axes, panel.label, _least.NOTES[kind] if ax is None else "")  # a title of the caller's has no room
        lines, signs = _paths.handles(walks, [axes])
        signs += marks + _mesh.hatch_handles([panel]) + _paths.off_handles(walks, panel.x, panel.y)
        _page.finish(figure, axes, [lines, signs], own=ax is None)
    return figure


def _plane(figure: Figure, axes: Axes, panel: Panel, norm: Normalize, label: str, walks: list[_runs.Run]) -> None:
    drawn = _mesh.mesh(axes, panel, panel.values, norm, style.SEQUENTIAL)
    _page.frame(axes, panel)
    _paths.draw(axes, walks)
    _mesh.contours(axes, panel, panel.values, _scales.levels(norm), lambda level: float(norm(level)) < 0.55)
    _scales.bar(figure, axes, drawn, label)


def _excess_plane(figure: Figure, axes: Axes, panel: Panel, label: str, walks: list[_runs.Run]) -> None:
    """The excess over the least value in color, the values themselves in lines."""
    norm = _excess.norm([panel], None, None)
    drawn = _mesh.mesh(axes, panel, _excess.excess(panel), norm, style.SEQUENTIAL)
    _page.frame(axes, panel)
    _paths.draw(axes, walks)
    _least.lines(axes, panel, norm)
    _excess.bar(figure, axes, [panel], drawn, f"{label} − its least value")


def _curve(
    surface: xr.Dataset,
    variable: str,
    name: str,
    walks: list[_runs.Run],
    log: bool | None,
    ax: Axes | None,
    width: float,
) -> Figure:
    """The variable over one coordinate, a curve a penalty; runs are points at their own values."""
    surface = surface.sortby(name)
    data = _panels.masked(surface, variable)
    curves = [data.isel(penalty=i) for i in range(data.sizes["penalty"])] if "penalty" in data.dims else [data]
    x = surface[name].to_numpy().astype(float)
    bad = ~np.all([np.isfinite(curve.to_numpy()) for curve in curves], axis=0)
    with style.context():
        figure, axes = _page.canvas(ax, width)
        looks: list[dict[str, Any]]
        looks = _runs.penalty_looks(data, surface.attrs) if "penalty" in data.dims else [{"color": style.BLUE}]
        lines = [axes.plot(x, y.to_numpy(), **look)[0] for y, look in zip(curves, looks, strict=True)]
        _mesh.hatch_spans(axes, x, bad)
        for run in walks:
            _draw_points(axes, run, variable)
        axes.set_xlim(x[0], x[-1])
        if _scales.is_log(variable, [curve.to_numpy() for curve in curves], log):
            axes.set_yscale("log")
        axes.locator_params(axis="x", nbins=6, steps=[1, 2, 5, 10])
        axes.set(xlabel=_panels.label_of(surface[name]), ylabel=_panels.label_of(surface[variable]))
        others = (
            _paths.handles(walks, [])[0] + ([_mesh.hatch_handle()] if bad.any() else []) + _paths.off_handles(walks, x)
        )
        _page.finish(figure, axes, [lines if "penalty" in data.dims else [], others], own=ax is None)
    return figure


def _draw_points(axes: Axes, run: _runs.Run, variable: str) -> None:
    if variable in run.measured:
        look = {"color": run.look.color, "marker": run.look.marker, "linestyle": run.look.linestyle}
        axes.plot(
            run.points[0], run.measured[variable], markersize=2.5, linewidth=0.5, scalex=False, scaley=False, **look
        )
