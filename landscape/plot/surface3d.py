"""The surface in relief: height and color are the objective, with its contours on the floor.

>>> import landscape as ls
>>> figure = ls.plot.surface3d(surface.sel(penalty="λ=0.1"))              # doctest: +SKIP
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, LightSource
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from mpl_toolkits.mplot3d.axes3d import Axes3D

from landscape.plot import _excess, _mesh, _page, _panels, _paths, _runs, style
from landscape.plot._panels import Panel

_MOST = 160  # grid lines drawn a direction; a finer grid is thinned, its last line kept
_DROP = 0.55  # the floor lies this share of the height below the surface


def surface3d(
    surface: xr.Dataset,
    runs: Any = None,
    *,
    variable: str = "objective",
    ceiling: float | None = None,
    elevation: float = 28.0,
    azimuth: float = -56.0,
    width: float = style.SINGLE,
) -> Figure:
    """A surface over two coordinates in relief, its contours on the floor, runs on both.

    Colors as in `dark_minimum`: black at the least value. `ceiling` cuts the heights off at a value of the variable (a
    penalty's walls dwarf the basin): what is higher is left out of the relief and stays on the floor. Runs, as in
    `dark_minimum`, are drawn at their own recorded values. `elevation` and `azimuth` are the view in degrees. Cells
    that are not finite are holes in the relief and hatched on the floor, or dotted where they are not computed yet.

    Raises: ValueError for several penalties (select one) or not two coordinates, or if the runs do not belong here.
    """
    names = _panels.plane(surface, variable)
    _panels.single(surface, variable, "surface3d")
    panel = _panels.read(surface, variable)[0]
    walks = [] if runs is None else _runs.read(runs, surface, names)
    with style.context():
        figure = style.figure(width, 0.95 * width)
        axes = figure.add_subplot(projection="3d", computed_zorder=False)
        assert isinstance(axes, Axes3D)
        norm = _excess.norm([panel], None, None)
        bottom, top = _heights(panel, ceiling)
        floor = bottom - _DROP * (top - bottom)
        _floor(axes, panel, norm, floor)
        _relief(axes, panel, norm, top)
        for run in walks:
            _path(axes, run, panel, variable, floor, top)
        _furnish(axes, panel, _panels.label_of(surface[variable]), (floor, bottom, top), (elevation, azimuth))
        _bar(figure, axes, panel, norm, _panels.label_of(surface[variable]))
        _legend(figure, walks, panel, _paths.remark(walks, surface, names))
    return figure


def _heights(panel: Panel, ceiling: float | None) -> tuple[float, float]:
    """The least and greatest height that are drawn."""
    if not panel.finite.size:
        return 0.0, 1.0
    bottom, top = float(panel.finite.min()), float(panel.finite.max())
    if ceiling is not None and ceiling <= bottom:
        raise ValueError(
            f"`ceiling` is {ceiling}, not above the least value {bottom:g}; give a larger one, or leave it out."
        )
    top = top if ceiling is None else min(top, ceiling)
    return bottom, top if top > bottom else bottom + 1.0


def _thin(count: int) -> np.ndarray:
    """At most `_MOST` indices of `count`, evenly spread, both ends kept."""
    return np.unique(np.round(np.linspace(0, count - 1, min(count, _MOST))).astype(int))


def _floor(axes: Axes3D, panel: Panel, norm: AsinhNorm, height: float) -> None:
    """Filled contours on the floor, hatching where nothing is finite, and dots where nothing is computed yet."""
    x, y = np.meshgrid(panel.x, panel.y)
    if panel.finite.size and np.ptp(panel.finite) > 0:
        least, greatest = float(panel.finite.min()), float(panel.finite.max())
        steps = [least + float(norm.inverse(t)) for t in np.linspace(0, 1, 13)]
        steps = [s for s in steps if s < greatest] + [greatest]
        colors = style.SEQUENTIAL(np.linspace(0.0, 1.0, len(steps) - 1))
        axes.contourf(
            x, y, np.ma.masked_invalid(panel.values), levels=steps, colors=colors, zdir="z", offset=height, zorder=0
        )
    xs, ys = (np.clip(_mesh.edges(v), v[0], v[-1]) for v in (panel.x, panel.y))
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    for bad, look in ((panel.gaps, _mesh.HATCH), (panel.missing, _mesh.AWAITED)):
        if bad is not None and bad.any():
            cells = [[(xs[c + i], ys[r + j], height) for i, j in corners] for r, c in np.argwhere(bad)]
            axes.add_collection3d(Poly3DCollection(cells, zorder=0.5, **look))


def _relief(axes: Axes3D, panel: Panel, norm: AsinhNorm, top: float) -> None:
    rows, columns = _thin(len(panel.y)), _thin(len(panel.x))
    x, y = np.meshgrid(panel.x[columns], panel.y[rows])
    z = panel.values[np.ix_(rows, columns)]
    z = np.where(z <= top, z, np.nan)
    least = float(panel.finite.min()) if panel.finite.size else 0.0
    colors = style.SEQUENTIAL(norm(np.ma.masked_invalid(z - least)))
    light = LightSource(azdeg=250, altdeg=60).hillshade(
        np.nan_to_num(z, nan=top), vert_exag=_relative(panel, top - least)
    )
    colors[..., :3] *= (0.82 + 0.18 * light)[..., None]
    every: dict[str, Any] = {"rstride": 1, "cstride": 1, "linewidth": 0, "antialiased": False, "shade": False}
    axes.plot_surface(x, y, z, facecolors=colors, rasterized=True, zorder=1, **every)


def _relative(panel: Panel, height: float) -> float:
    """The exaggeration with which a hill of this height is as steep as it looks, on thinned grid steps of 1."""
    return min(len(panel.x), len(panel.y), _MOST) / height


def _path(axes: Axes3D, run: _runs.Run, panel: Panel, variable: str, floor: float, top: float) -> None:
    """One run on the relief at its own values, and its shadow on the floor; what leaves the box is cut."""
    x, y = run.points
    if not x.size:
        return
    z = run.measured.get(variable, np.full(x.shape, np.nan))
    steps = np.arange(len(x))
    fine = np.linspace(0, len(x) - 1, 10 * (len(x) - 1) + 1)
    x, y, z = (np.interp(fine, steps, v) for v in (x, y, z))
    inside = (panel.x[0] <= x) & (x <= panel.x[-1]) & (panel.y[0] <= y) & (y <= panel.y[-1])
    low = inside & (z <= top)
    line = {"color": run.look.color, "linestyle": run.look.linestyle}
    shadow, path = (np.where(inside, (x, y), np.nan), np.where(low, (x, y, z), np.nan))
    axes.plot(*shadow, zs=floor, linewidth=0.7, zorder=0.8, **line)
    axes.plot(*path, linewidth=1.2, zorder=3, path_effects=style.halo(1.2), **line)
    for place, marker, face, edge in (
        (0, "o", "white", style.INK),
        (-1, run.look.marker, run.look.color, "white"),
    ):
        if low[place]:
            dot = {"marker": marker, "markerfacecolor": face, "markeredgecolor": edge, "markeredgewidth": 0.5}
            axes.plot(*path[:, [place]], markersize=3.6, zorder=4, linestyle="none", **dot)


def _furnish(
    axes: Any, panel: Panel, label: str, heights: tuple[float, float, float], view: tuple[float, float]
) -> None:
    """Labels, view, and as few lines as a reader needs."""
    floor, bottom, top = heights
    axes.view_init(*view)
    axes.set(xlim=(panel.x[0], panel.x[-1]), ylim=(panel.y[0], panel.y[-1]), zlim=(floor, top))
    axes.set_xlabel(panel.x_label, labelpad=-6)
    axes.set_ylabel(panel.y_label, labelpad=-6)
    axes.set_zlabel(label, labelpad=-7)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set(linewidth=0.6, color=style.INK)
    axes.tick_params(pad=-3, labelsize=7)
    for axis, positions in ((axes.xaxis, panel.x), (axes.yaxis, panel.y)):
        ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(positions[0], positions[-1])
        inset = 0.04 * np.ptp(positions)  # at the corner the two axes' numbers would collide
        axis.set_ticks([t for t in ticks if positions[0] + inset < t < positions[-1] - inset])
    axes.set_zticks([t for t in axes.get_zticks() if bottom - 1e-9 <= t <= top])
    axes.set_box_aspect((1, 1, 0.8), zoom=0.98)
    if panel.label:
        axes.set_title(_panels.title_of(panel.label), y=1.03, pad=0)


def _bar(figure: Figure, axes: Axes3D, panel: Panel, norm: AsinhNorm, label: str) -> None:
    """The color bar under the scene: the relief's height is read on its axis, the basin's color here."""
    least = float(panel.finite.min(initial=np.inf))
    colors = ScalarMappable(norm, style.SEQUENTIAL)
    _excess.bar(figure, axes, [panel], colors, label, least=least, under=True)


def _legend(figure: Figure, walks: list[_runs.Run], panel: Panel, remark: str) -> None:
    optimizers, signs = _paths.handles(walks, [])
    _page.legend(figure, [optimizers, signs + _mesh.handles([panel])], remark=remark)
