"""One variable of a surface: colors and labeled lines over two coordinates, or a curve over one.

>>> import landscape as ls
>>> figure = ls.plot.contour(surface, "risk")                             # doctest: +SKIP
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.plot import _ground, _least, _mesh, _page, _panels, _paths, _pca, _points, _runs, _truth, style
from landscape.plot._layer import Layer
from landscape.plot._panels import Panel
from landscape.plot._runs import Run
from landscape.plot.line import line


@dataclass(frozen=True)
class Drawn:
    """A contour picture, and how its paths are drawn: `paths(walks)`, with dots of their true values."""

    figure: Figure
    axes: Axes
    paths: Callable[[Sequence[Run]], Any]
    strips: Sequence[Axes]  # the panels underneath


def contour(
    surface: xr.Dataset,
    variable: str = "objective",
    runs: Any = None,
    *,
    points: Any = None,
    log: bool | None = None,
    pca: Any = None,
    truth: bool | None = None,
    ax: Axes | None = None,
    width: float = style.SINGLE,
) -> Figure:
    """One variable of a surface over its coordinates.

    Two coordinates: colors, black at the least value, with labeled lines; the first coordinate is horizontal. One: a
    curve, as `line` draws it. `runs`: a Trajectory on the surface's objective, its `.on(surface)`, or a mapping from
    optimizers' labels to either, each with its own steps.

    Runs that leave the plane are drawn where the plane has its nearest point, which says nothing of what they measured.
    So `truth`: dots on the paths have the color of the run's own value, on the surface's scale, and stand out where the
    plane shows another (the color bar is pointed where they lie beyond it); two panels underneath (left out in axes of
    the caller's) have the distance from the plane, and the value in truth and on the plane. Of runs that descended
    another split of the data than the surface's, or did not record the variable, only the distance is drawn. By default
    that is where runs are off the plane by more than 1% of the window's diagonal. Both are distances between params,

        diagonal = √Σᵢ (rangeᵢ·‖directionᵢ‖)²,

    and the distance is drawn as a share of the diagonal; on a chart that is no Plane a unit of each coordinate is taken
    for 1, and the distance is drawn as it is.

    `points`: what `landscape.critical_points` found of the surface's objective, its `.on(surface)`, or an interpolant's
    `critical_points()`. Those in the window, and no farther from the plane than 1% of its diagonal, are marked by kind,
    instead of the least value of the grid.

    `log=True` puts the values on a logarithmic scale, `log=False` on a linear one. By default the objective and the
    risk are drawn as in `dark_minimum` where they vary much (a tenth of the window lies within 1/20 of the range): the
    color is that of the excess over the least value, which is marked, and the bar has the values themselves. Else
    gradient norms, and what is positive with a ratio above 20, are logarithmic. `pca`: the result of `landscape.pca`
    whose plane this is; the axes then say how much of the path's variance they explain, and how much they would of a
    random walk's. Where the sides of the window are known as distances between params, it has their proportions, up to
    2.5 : 1; beyond, it is a square, and the legend says so. Draws into `ax`, which makes room for the color bar and, if
    it is high enough, for a legend, or on a new figure `width` inches wide. Cells that are not finite are hatched,
    cells that are not computed yet dotted.

    Raises: ValueError for three coordinates, for several penalties or splits over two, for runs or points that do not
    belong here, for a `pca` of another plane, and for `pca` or `truth` over one coordinate.
    """
    names = _panels.coordinates(surface, variable)
    if len(names) == 1:
        _check_line(names[0], pca=pca is not None, truth=bool(truth))
        return line(surface, variable, runs, points=points, log=log, ax=ax, width=width)
    walks = [] if runs is None else walks_of(runs, surface, names)
    return drawn(surface, variable, walks, points=points, log=log, pca=pca, truth=truth, ax=ax, width=width).figure


def drawn(
    surface: xr.Dataset,
    variable: str,
    walks: Sequence[Run],
    *,
    points: Any,
    log: bool | None,
    pca: Any,
    truth: bool | None,
    ax: Axes | None,
    width: float,
) -> Drawn:
    """As `contour`, over two coordinates; with what an animation draws anew."""
    names = _panels.plane(surface, variable)
    marks = _points.read(points, surface, names)
    panel = _panel(surface, variable, pca)
    label = _panels.label_of(surface[variable])
    least = 0.0 if truth else _paths.OFF_SHARE
    told = bool(_paths.off(walks, surface, names)) if truth is None else truth
    beneath = [walk for walk in walks if told and walk.steps.size]
    known = [walk for walk in beneath if variable in walk.measured]
    true = bool(known)
    beneath = beneath if ax is None else []
    ground = _ground.of([panel], variable, log)

    def paths(runs: Sequence[Run]) -> Any:
        with layer.anew():
            _paths.draw(axes, runs)
            return _truth.dots(
                axes, [run for run in runs if true and run.steps.size and variable in run.measured], ground
            )

    with style.context():
        figure, axes = _page.canvas(ax, width, square=True)
        mesh, layer = ground.paint(axes, panel), Layer(axes)
        _page.frame(axes, panel)
        kind = "minimum" if panel.finite.size else ""
        if ground.excess and marks is None:
            kind = _least.mark(axes, surface, variable, names)
        _page.title(axes, panel.label, _least.NOTES[kind] if ax is None else "")  # a title of the caller's has no room
        dots = paths(walks)
        lines, signs = _paths.handles(walks, [axes])
        found = [] if marks is None else _points.draw(axes, _points.inside(marks, surface, names), *names)
        ground.lines(axes, panel)  # last: the numbers keep clear of the paths
        ground.bar(figure, axes, mesh, label, dots, own=ax is None)
        lines += _truth.handles(label) if true else []
        signs += found or _least.handles([kind] if ground.excess and marks is None else [])
        signs += _mesh.handles([panel]) + _truth.band_handles(beneath)
        remarks = filter(None, [_paths.remark(walks, surface, names, least), _page.scale_remark(panel)])
        _page.finish(figure, axes, [lines, signs], own=ax is None, remark="\n".join(remarks))
        strips = _truth.strip(figure, beneath, surface, variable, label) if beneath else []
    return Drawn(figure, axes, paths, strips)


def walks_of(runs: Any, surface: xr.Dataset, names: Sequence[str]) -> list[Run]:
    """The runs as paths, in the colors that they have in one panel."""
    return _runs.by_penalty(_runs.read(runs, surface, names))


def _panel(surface: xr.Dataset, variable: str, pca: Any) -> Panel:
    """The one panel, its axes labeled by what they explain where they are principal components."""
    names = _panels.plane(surface, variable)
    _panels.single(surface, variable, "contour")
    panel = _panels.read(surface, variable)[0]
    if pca is None:
        return panel
    labels = _pca.labels(pca, surface)
    return replace(panel, x_label=labels[names[0]], y_label=labels[names[1]])


def _check_line(name: str, **given: bool) -> None:
    """Raise ValueError where a picture over one coordinate is given what belongs to a plane."""
    for argument in (argument for argument, value in given.items() if value):
        raise ValueError(f"`{argument}` belongs to a plane, and `surface` has one coordinate, {name!r}; leave it out.")
