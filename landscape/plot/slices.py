"""A surface over three coordinates as slices: a panel a position along one of them, all on one color scale.

>>> import landscape as ls
>>> figure = ls.plot.slices(volume, along="gamma", count=6)               # doctest: +SKIP
"""

from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from landscape.plot import _ground, _least, _mesh, _page, _panels, style


def slices(
    surface: xr.Dataset,
    variable: str = "objective",
    *,
    along: str | None = None,
    count: int = 6,
    log: bool | None = None,
    width: float = style.DOUBLE,
    columns: int | None = None,
) -> Figure:
    """Up to `count` slices of a surface over three coordinates, each at a value of the coordinate `along`.

    `along` is the last coordinate by default; the slices are equally many grid positions apart, the middle one among
    them. The other two are drawn as in `contour`, on one color scale for all:
    black at the least value of the volume. Where the colors are the excess over that, its cell is marked if its slice
    is drawn, with a star if it is a minimum of the volume. Cells that are not finite are hatched,
    cells that are not computed yet dotted. `log`, `width` and `columns` as in `contour` and `dark_minimum`.

    Raises: ValueError unless there are three coordinates, or for several penalties or splits (select one).
    """
    names, along = _coordinates(surface, variable, along)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"`count` is {count!r}; it must be a whole number ≥ 1.")
    surface = surface.sortby(along)
    held = _panels.label_of(surface[along])
    panels = [
        replace(_panels.read(surface.isel({along: i}), variable)[0], label=f"{held} = {position:.3g}".replace("-", "−"))
        for i, position in enumerate(surface[along].to_numpy())
    ]
    ground = _ground.of(panels, variable, log)
    places = _places(len(panels), count)
    with style.context():
        figure, axes = _page.page(len(places), width, columns)
        drawn = []
        for ax, i in zip(axes, places, strict=True):
            drawn.append(ground.paint(ax, panels[i]))
            _page.frame(ax, panels[i])
            _page.title(ax, panels[i].label)
        kind, least = _least.find(surface, variable) if ground.excess else ("", {})
        shown = dict(zip(surface[along].to_numpy()[places].tolist(), axes, strict=True))
        marks = []
        if kind and least[along] in shown:
            _least.put(shown[least[along]], kind, [least[name] for name in names if name != along])
            marks = _least.handles([kind])
        for ax, i in zip(axes, places, strict=True):
            ground.lines(ax, panels[i])
        ground.bar(figure, axes, drawn[0], _panels.label_of(surface[variable]))
        _page.finish(figure, axes[0], [marks + _mesh.handles([panels[i] for i in places])], own=True)
    return figure


def _coordinates(surface: xr.Dataset, variable: str, along: str | None) -> tuple[tuple[str, ...], str]:
    """The names of the three coordinates, and the one of them that is held in a slice."""
    names = _panels.coordinates(surface, variable)
    if len(names) != 3:
        raise ValueError(
            f"`surface` has {len(names)} coordinates in {variable!r} ({', '.join(names) or 'none'}); slices need 3. "
            "Draw two with landscape.plot.contour, one with landscape.plot.line."
        )
    _panels.single(surface, variable, "slices")
    _panels.one_split(surface, variable)
    if along is not None and along not in names:
        raise ValueError(f"`along` is {along!r}; it must be one of the surface's coordinates, {', '.join(names)}.")
    return names, along or names[-1]


def _places(total: int, count: int) -> np.ndarray:
    """At most `count` indices below `total`, as close together as that allows, at equal steps from the middle one."""
    middle = (total - 1) // 2
    for step in range(1, total + 1):
        places = np.arange(middle % step, total, step)
        if len(places) <= count:
            return places
    raise AssertionError("a step of `total` leaves one place")
