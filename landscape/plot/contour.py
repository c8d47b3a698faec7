"""One variable of a surface: colors and labeled lines over two coordinates, or a curve over one.

>>> import landscape as ls
>>> figure = ls.plot.contour(surface, "risk")                             # doctest: +SKIP
"""

from dataclasses import replace
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.plot import _ground, _least, _mesh, _page, _panels, _paths, _pca, _runs, _truth, style
from landscape.plot.line import line


def contour(
    surface: xr.Dataset,
    variable: str = "objective",
    runs: Any = None,
    *,
    log: bool | None = None,
    pca: Any = None,
    truth: bool | None = None,
    ax: Axes | None = None,
    width: float = style.SINGLE,
) -> Figure:
    """One variable of a surface over its coordinates.

    Two coordinates: colors, black at the least value, with labeled lines; the first coordinate is horizontal. One: a
    curve, as `line` draws it. `runs`: a Trajectory on the surface's objective, or its `.on(surface)`.

    Runs that leave the plane are drawn where the plane has its nearest point, which says nothing of what they measured.
    So `truth`, by default where they are off the plane by more than 1% of the window: dots on the paths have the color
    of the run's own value, on the surface's scale, and stand out where the plane shows another; two panels underneath
    (left out in axes of the caller's) have the distance from the plane, and the value in truth and on the plane.

    `log=True` puts the values on a logarithmic scale, `log=False` on a linear one. By default the objective and the
    risk are drawn as in `dark_minimum` where they vary much (a tenth of the window lies within 1/20 of the range): the
    color is the excess over the least value, which is marked. Else gradient norms, and what is positive with a ratio
    above 20, are logarithmic. `pca`: the result of `landscape.pca` whose plane this is; the axes then say how much of
    the path's variance they explain, and how much they would of a random walk's. Coordinates called pc1, pc2, … are
    taken by their numbers, others in their order. Draws into `ax`, or on a new figure `width` inches wide. Cells that
    are not finite are hatched.

    Raises: ValueError for three coordinates, for several penalties or splits over two, and for runs that do not belong
    here.
    """
    names = _panels.coordinates(surface, variable)
    if len(names) == 1:
        return line(surface, variable, runs, log=log, ax=ax, width=width)
    walks = [] if runs is None else _runs.read(runs, surface, names)
    names = _panels.plane(surface, variable)
    _panels.single(surface, variable, "contour")
    panel = _panels.read(surface, variable)[0]
    if pca is not None:
        panel = replace(panel, x_label=_pca.label(pca, names, 0), y_label=_pca.label(pca, names, 1))
    walks = _runs.by_penalty(walks)
    label = _panels.label_of(surface[variable])
    told = bool(_paths.off(walks, panel.x, panel.y)) if truth is None else truth
    known = [walk for walk in walks if told and variable in walk.measured and walk.steps.size]
    ground = _ground.of([panel], variable, log)
    with style.context():
        figure, axes = _page.canvas(ax, width, square=True)
        drawn = ground.paint(axes, panel)
        _page.frame(axes, panel)
        kind = _least.mark(axes, surface, variable, names) if ground.excess else "minimum"
        _page.title(axes, panel.label, _least.NOTES[kind] if ax is None else "")  # a title of the caller's has no room
        _paths.draw(axes, walks)
        _truth.dots(axes, known, ground)
        ground.lines(axes, panel)  # last: the numbers keep clear of the paths
        ground.bar(figure, axes, drawn, label)
        lines, signs = _paths.handles(walks, [axes])
        lines += _truth.handles(known, label) if known else []
        signs += _least.handles([kind]) if ground.excess else []
        signs += _mesh.hatch_handles([panel]) + _paths.off_handles(walks, panel.x, panel.y)
        _page.finish(figure, axes, [lines, signs], own=ax is None)
        if known and ax is None:
            shown = [_truth.under(surface, variable, names, walk) for walk in known]
            _truth.strip(figure, known, shown, variable, label)
    return figure
