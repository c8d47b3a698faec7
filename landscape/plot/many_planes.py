"""Random planes or lines of one model, or of several: what all of them show, and what only one does.

One random plane is one sample. Whether a minimum looks flat, and whether A looks flatter than B, changes from plane to
plane; a difference that is larger than this spread is one.

>>> import landscape as ls
>>> figure = ls.plot.many_planes({"A": surfaces_of_a, "B": surfaces_of_b})  # doctest: +SKIP
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landscape.plot import _curves, _ground, _mesh, _page, _panels, style
from landscape.plot._panels import Panel

_COLORS = (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
_PLANE: dict[str, Any] = {"linewidth": 0.45, "alpha": 0.55, "zorder": 1.8}
_SHOWN = ("flattest", "median", "steepest")  # planes of a model that are drawn as contours


@dataclass(frozen=True)
class _Model:
    """The surfaces of one model, and a curve for each: `values` of shape (planes, places)."""

    label: str
    surfaces: list[xr.Dataset]
    values: np.ndarray
    changes: np.ndarray  # (planes,) mean |change| of the variable around the center; (0,) on lines
    line: dict[str, Any]


def many_planes(
    surfaces: Any,
    variable: str = "risk",
    *,
    log: bool = False,
    width: float | None = None,
) -> Figure:
    """The spread of a variable over random planes, or lines, through one model; or through each of several models.

    `surfaces`: a sequence of surfaces on the same axes, one Dataset with the dimension `plane`, or a mapping from
    models' labels to either.
    One coordinate: every curve, their median, and a band between their quartiles. Two: the same for the increase of the
    variable over its value at the center against the distance from there, √(α² + β²), in the mean over rings of one
    grid step, as far as the rings are whole; beside it, on one color scale, each model's flattest, median and steepest
    plane: by the mean |change| of the variable over the disk of whole rings, as in `compare_flatness`, a cell that is
    not finite being infinitely high. `log` puts the curves on a logarithmic scale. Distances at which a curve is not
    finite are hatched. `width` is in inches: both columns for planes, one for lines.

    Raises: ValueError for fewer than two surfaces of a model, for different axes, objectives of one model, the same
    plane twice, axes on which no ring around 0 is whole, and several penalties or splits (select one).
    """
    groups = _groups(surfaces)
    names = _check(groups, variable)
    flat = len(names) == 1
    x, models = _models(groups, variable, names)
    label = _panels.label_of(models[0].surfaces[0][variable])
    with style.context():
        figure, axes, beside = _layout(len(models), flat, width)
        bad = _draw_curves(axes, x, models, log)
        squares = " + ".join(f"{_panels.symbol(name)}²" for name in names)
        where = _panels.label_of(models[0].surfaces[0][names[0]]) if flat else f"distance from the center, √({squares})"
        axes.set(xlabel=where, ylabel=label if flat else f"{label} − that at the center")
        panels = [] if flat else _draw_planes(beside, models, variable, label)
        hatched = _mesh.hatch_handles(True) if bad else _mesh.handles(panels)
        _page.legend(figure, [_handles(models, "lines" if flat else "planes"), hatched])
        _page.wrap(figure)
    return figure


def _groups(surfaces: Any) -> dict[str, list[xr.Dataset]]:
    """The models' labels ("" for one alone) and their surfaces."""
    if isinstance(surfaces, Mapping) and not isinstance(surfaces, xr.Dataset):
        groups = {str(label): some for label, some in surfaces.items()}
    else:
        groups = {"": surfaces}
    if not groups:
        raise ValueError("`surfaces` is an empty mapping; give a label and its surfaces.")
    found = {}
    for label, some in groups.items():
        name = f"`surfaces[{label!r}]`" if label else "`surfaces`"
        if isinstance(some, xr.Dataset) and "plane" in some.dims:
            some = [some.isel(plane=i) for i in range(some.sizes["plane"])]
        if isinstance(some, (xr.Dataset, str)) or not hasattr(some, "__iter__"):
            raise TypeError(
                f"{name} is {type(some).__name__!r} without a dimension `plane`; give a list of surfaces, one a plane."
            )
        found[label] = list(some)
        if len(found[label]) < 2:
            raise ValueError(
                f"{name} holds {len(found[label])}; a spread needs two surfaces or more, each on its own plane."
            )
    return found


def _check(groups: Mapping[str, Sequence[xr.Dataset]], variable: str) -> tuple[str, ...]:
    """The names of the one or two coordinates, which all surfaces share with their positions."""
    every = [surface for group in groups.values() for surface in group]
    names = _panels.coordinates(every[0], variable)
    if len(names) not in (1, 2):
        raise ValueError(f"`surfaces` have {len(names)} coordinates ({', '.join(names)}); lines have one, planes two.")
    for surface in every:
        own = _panels.coordinates(surface, variable)
        _panels.single(surface, variable, "many_planes")
        _panels.one_split(surface, variable)
        if own != names or any(not np.array_equal(surface[name], every[0][name]) for name in names):
            raise ValueError(
                "`surfaces` are not on the same axes; evaluate all with the same `axes` and coordinates of the same "
                f"names.\n  first:   {_axes(every[0], names)}\n  another: {_axes(surface, own)}"
            )
    for label, group in groups.items():
        for noun, same in (("objective", True), ("chart", False)):
            ids = [surface.attrs[f"{noun}_id"] for surface in group if surface.attrs.get(f"{noun}_id")]
            if ids and len(set(ids)) != (1 if same else len(ids)):
                of = f" of {label!r}" if label else ""
                raise ValueError(
                    f"`surfaces`{of} hold the same plane twice; draw each one's directions with a key of its own."
                    if noun == "chart"
                    else f"`surfaces`{of} are of different objectives; give each a label: {{'A': [...], 'B': [...]}}."
                )
    return names


def _axes(surface: xr.Dataset, names: Sequence[str]) -> str:
    return ", ".join(
        f"{n}: {surface.sizes[n]} from {float(surface[n][0]):g} to {float(surface[n][-1]):g}" for n in names
    )


def _models(
    groups: Mapping[str, list[xr.Dataset]], variable: str, names: Sequence[str]
) -> tuple[np.ndarray, list[_Model]]:
    """The curves of all models, and the places that they share: coordinates of lines, or distances on planes."""
    models, x = [], np.zeros(0)
    for i, (label, group) in enumerate(groups.items()):
        group = [surface.sortby(list(names)) for surface in group]
        arrays = [_panels.masked(surface, variable).transpose(*names).to_numpy() for surface in group]
        positions = [group[0][name].to_numpy().astype(float) for name in names]
        if len(names) == 1:
            x, values, changes = positions[0], np.array(arrays), np.zeros(0)
        else:
            x, values, changes = _rings(positions, np.array(arrays))
        line = {"color": _COLORS[i % len(_COLORS)], "linestyle": style.dashes(i)}
        models.append(_Model(label, group, values, changes, line))
    return x, models


def _rings(positions: Sequence[np.ndarray], values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean distance (rings,), mean increase (planes, rings)) over rings one grid step wide around the center, and the
    mean |change| (planes,) over all of them, a disk.

    positions: of the two axes; values: (planes, *axes). A ring with a cell that is not finite is NaN.
    """
    center, reach, step = _center(positions)
    distance = np.hypot(*np.meshgrid(*positions, indexing="ij"))
    disk = distance <= reach * (1 + 1e-9)
    increase = values - values[(slice(None), *center)][:, None, None]
    ring = np.round(distance / step).astype(int)
    members = [(ring == i) & disk for i in range(int(reach / step + 1e-9) + 1)]
    members = [cells for cells in members if cells.any()]
    x = np.array([distance[cells].mean() for cells in members])
    change = np.where(np.isfinite(increase), np.abs(increase), np.inf)[:, disk].mean(axis=1)
    return x, np.array([increase[:, cells].mean(axis=1) for cells in members]).T, change


def _center(positions: Sequence[np.ndarray]) -> tuple[tuple[int, ...], float, float]:
    """(indices of the center, radius of the largest disk around it inside the axes, width of its rings)."""
    center = tuple(int(np.argmin(np.abs(p))) for p in positions)
    steps = [float(np.diff(p).max(initial=0.0)) for p in positions]
    if any(abs(p[i]) > 1e-6 * step for p, i, step in zip(positions, center, steps, strict=True)):
        raise ValueError(
            "`surfaces` have axes without 0, the center of a random plane; take an odd number of positions: "
            "np.linspace(-1, 1, 25)."
        )
    if any(i in (0, len(p) - 1) for p, i in zip(positions, center, strict=True)):
        raise ValueError("`surfaces` have axes that end at 0, their center; take them as far on both sides of it.")
    reach, step = min(min(-p[0], p[-1]) for p in positions), max(steps)
    if reach < (1 - 1e-9) * step:
        raise ValueError(
            f"`surfaces` have axes with steps up to {step:g}, and the largest disk around 0 inside them has the radius "
            f"{reach:g}: no ring of it is whole. Take the same axes for both coordinates: np.linspace(-1, 1, 25)."
        )
    return center, reach, step


def _layout(models: int, flat: bool, width: float | None) -> tuple[Figure, Axes, Any]:
    """The figure, the axes of the curves and, for planes, the part of the figure beside or under these."""
    width = width or (style.SINGLE if flat else style.DOUBLE)
    if flat:
        figure = style.figure(width, 0.66 * width)
        return figure, figure.subplots(), None
    wide = width > 1.4 * style.SINGLE
    side = (0.137 if wide else 0.2) * width  # of a small panel
    small = models * (side + 0.2) + 0.4
    figure = style.figure(width, max(2.0, small + 0.25) if wide else small + 0.75 * width)
    split: dict[str, Any] = (
        {"nrows": 1, "ncols": 2, "width_ratios": (0.38, 0.62)}
        if wide
        else {"nrows": 2, "ncols": 1, "height_ratios": (0.6 * width, small)}
    )
    parts: Any = figure.subfigures(**split)
    return figure, parts[0].subplots(), parts[1]


def _draw_curves(axes: Axes, x: np.ndarray, models: Sequence[_Model], log: bool) -> bool:
    """Every curve, medians and bands; returns whether a stretch where one is not finite was hatched."""
    for model in models:
        values = np.where(model.values > 0, model.values, np.nan) if log else model.values
        axes.plot(x, values.T, color=model.line["color"], **_PLANE)
        _curves.band(axes, x, values, (0.25, 0.75), model.line | {"zorder": 3}, alpha=0.22)
    bad = ~np.all([np.isfinite(model.values).all(axis=0) for model in models], axis=0)
    _mesh.hatch_spans(axes, x, bad, _mesh.HATCH)
    if log:
        axes.set_yscale("log")
    axes.set_xlim(x[0], x[-1])
    axes.grid(True, which="major")
    axes.spines[["top", "right"]].set_visible(False)
    return bool(bad.any())


def _draw_planes(figure: Any, models: Sequence[_Model], variable: str, label: str) -> list[Panel]:
    """The contours of each model's flattest, median and steepest plane, on one scale; returns their panels."""
    every = {id(s): _panels.read(s, variable)[0] for model in models for s in model.surfaces}
    ground = _ground.of(list(every.values()), variable, None)
    grid = figure.subplots(len(models), len(_SHOWN), squeeze=False, sharex=True, sharey=True)
    panels = []
    for model, row in zip(models, grid, strict=True):
        order = np.argsort(model.changes, kind="stable")
        for axes, word, place in zip(row, _SHOWN, (0, (len(order) - 1) // 2, len(order) - 1), strict=True):
            panel = every[id(model.surfaces[order[place]])]
            drawn = ground.paint(axes, panel)
            _page.frame(axes, panel)
            axes.locator_params(nbins=3, steps=[1, 2, 5, 10])
            number = f": plane {order[place] + 1}" if figure.bbox.width > 1.2 * style.SINGLE * figure.dpi else ""
            axes.set_title(word + number, fontsize=7.5, pad=3)
            ground.lines(axes, panel)
            panels.append(panel)
        if model.label:
            name = row[0].annotate(
                model.label, (0, 0.5), (-3, 0), xycoords=row[0].yaxis.label, textcoords="offset points"
            )
            name.set(rotation=90, ha="right", va="center", color=model.line["color"], annotation_clip=False)
    ground.bar(figure, list(grid.flat), drawn, label)
    return panels


def _handles(models: Sequence[_Model], noun: str) -> list[Any]:
    """The legend's entries: each model's median, and what bands and thin lines are."""
    counts = {len(model.surfaces) for model in models}
    medians = [Line2D([], [], label=model.label or "median", linewidth=1.2, **model.line) for model in models]
    gray = "#777777" if len(models) > 1 else models[0].line["color"]
    band = Patch(facecolor=gray, alpha=0.3, label="quartiles")
    label = f"each of {counts.pop()} {noun}" if len(counts) == 1 else f"each of its {noun}"
    return [*medians, band, Line2D([], [], color=gray, label=label, **_PLANE)]
