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

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure

from landscape.plot import _excess, _least, _mesh, _page, _panels, _paths, _runs, style
from landscape.plot._panels import Panel

_NUMBERS = "the numbers on the lines are the objective itself"


def dark_minimum(
    surface: xr.Dataset,
    runs: Any = None,
    *,
    shared_scale: bool = True,
    width: float | None = None,
    columns: int | None = None,
    floor: float | None = None,
    ceiling: float | None = None,
) -> Figure:
    """A panel a penalty, black where the objective is least, each panel with the runs of its own penalty.

    `surface` has two coordinates (the first is drawn horizontally) and, after a sweep, the dimension "penalty".
    `runs` is a Trajectory on the surface's objective, its `.on(surface)`, or a mapping from optimizers' labels to
    either, each with its own steps; they never change the window.
    The minimizer on the grid is a star; where the least value lies on the border of the window there is no minimum in
    it, or several cells share it up to there; the place is an open diamond. Runs that lie off the plane by more than 1%
    of the window's diagonal, as a distance between params, are said to in the legend. Cells that are not finite are
    hatched, cells that are not computed yet dotted.

    The color scale, asinh(excess / floor), is linear below `floor` and logarithmic above, and ends at `ceiling`, by
    default where the flattest panel ends (what is higher stays lightest). `shared_scale=False`: each panel has its own,
    and its color bar then has values of the objective, as has that of a single panel.
    `width` is in inches (by default both columns of a page, one for a single panel), `columns` the panels in a row.

    Raises: ValueError if the surface has not two coordinates, or if the runs belong to another objective, chart or
    penalty.
    """
    panels = _panels.read(surface, "objective")
    names = _panels.plane(surface, "objective")
    walks = [] if runs is None else _runs.read(runs, surface, names)
    slices = (
        [surface.isel(penalty=i) for i in range(len(panels))] if "penalty" in surface["objective"].dims else [surface]
    )
    with style.context():
        figure, axes = _page.page(len(panels), width or _page.column(len(panels)), columns)
        norms = _excess.norms(panels, shared_scale, floor, ceiling)
        drawn, kinds = [], []
        for ax, piece, panel, norm in zip(axes, slices, panels, norms, strict=True):
            own = [run for run in walks if run.penalty == panel.label]
            mesh, kind = paint(ax, piece, panel, norm, own)
            drawn.append(mesh)
            kinds.append(kind)
        _bars(figure, axes, panels, drawn, shared_scale)
        said = [_NUMBERS] if shared_scale and len(panels) > 1 else []
        remark = "\n".join([*filter(None, [_paths.remark(walks, surface, names)]), *said])
        _page.finish(figure, axes[0], _handles(axes, panels, walks, kinds), own=True, remark=remark)
    return figure


def paint(
    axes: Axes,
    surface: xr.Dataset,
    panel: Panel,
    norm: AsinhNorm,
    walks: Sequence[_runs.Run],
    noted: bool = False,
) -> tuple[Any, str]:
    """One panel: colors, the least value's mark, title, paths and lines. Returns the mesh, and the key of its note.

    noted: whether the title leaves room for a note even where there is none.
    """
    mesh = _mesh.mesh(axes, panel, _excess.excess(panel), norm, style.SEQUENTIAL)
    _page.frame(axes, panel)
    kind = _least.mark(axes, surface, "objective", _panels.plane(surface, "objective"))
    _page.title(axes, panel.label, _least.NOTES[kind] or " " * noted)
    _paths.draw(axes, walks)
    _least.lines(axes, panel, norm)  # last: the numbers keep clear of the paths
    return mesh, kind


def _bars(figure: Figure, axes: Sequence[Axes], panels: Sequence[Panel], drawn: Sequence[Any], shared: bool) -> None:
    if shared and len(panels) > 1:
        _excess.bar(figure, list(axes), panels, drawn[0], "objective − its least value in the panel")
        return
    for ax, panel, mesh in zip(axes, panels, drawn, strict=True):
        _excess.bar(figure, ax, [panel], mesh, "objective", least=float(panel.finite.min(initial=np.inf)))


def _handles(
    axes: Sequence[Axes], panels: Sequence[Panel], walks: Sequence[_runs.Run], kinds: Sequence[str]
) -> list[list[Any]]:
    optimizers, signs = _paths.handles(walks, axes)
    return [optimizers, signs + _least.handles(kinds) + _mesh.handles(panels)]
