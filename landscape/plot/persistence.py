"""The topology of a surface: its minima and the saddles where they merge, the persistence diagram, and the barcode.

>>> import landscape as ls
>>> figure = ls.plot.persistence(ls.persistence(surface))                 # doctest: +SKIP
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landscape import _checks
from landscape.analysis.topology.topology import Persistence
from landscape.plot import _ground, _mesh, _page, _panels, style

_COLORS = (style.ORANGE, style.SKY, style.GREEN, style.PURPLE, style.YELLOW, style.BLUE, style.VERMILLION)
_OTHERS = "#9A9A9A"  # of minima beyond these
_LOOP, _VOID = "#4D4D4D", "#000000"
_BARS = 10  # of the barcode, at most: the most persistent of each dimension
_NUMBER: dict[str, Any] = {"fontsize": 7.0, "path_effects": style.halo(1.0)}
_NARROWEST = 1.6  # inches: of panels side by side
_MARGIN = 0.05  # of the range of births and deaths, around them
_NEAR = np.array([0.11, 0.05])  # of the diagram's window: points so close have one label
_DOWN = np.array([0.0, -1.0])
_LINK: dict[str, Any] = {"linewidth": 1.3, "path_effects": style.halo(1.3)}
_DOTTED: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (1, 1.6))}

Kind = Literal["surface", "diagram", "barcode"]


def persistence(
    result: Persistence, kind: Kind | None = None, *, ax: Axes | None = None, width: float | None = None
) -> Figure:
    """What `landscape.persistence` found, in up to three panels that share numbers and colors of the minima.

    "surface": over two coordinates the values, over one their curve. From each minimum, a star, a line leads to the
    saddle, a square, where its component merges, and on, dotted, to the minimum on the other side; lines are straight,
    and no paths. Triangles are the maxima of the seven most persistent loops. Over one coordinate bars are as high as
    the persistence. "diagram": the value at the death against that at the birth, a point a pair; its height over the
    diagonal is the persistence. What never dies is on the line marked ∞. "barcode": a bar a pair, from birth to death,
    the most persistent first, ten minima, loops and voids each at most; with an arrow where there is no death.

    The seven most persistent minima have colors, numbers and lines, the others are small and grey; drop what is small
    with `result.at_least(threshold)`. `kind`: one of the panels; by default all three, without the surface where it has
    three coordinates, or one position along an axis. Draws one panel into `ax`, or on a new figure `width` inches wide.

    Raises: TypeError unless it is a Persistence; ValueError for an unknown kind, for "surface" where there is none, and
    for `ax` without a kind.
    """
    _checks.instance("result", result, Persistence, "what landscape.persistence returned")
    drawers: dict[str, Callable[[Axes, Persistence], list[Any]]] = {
        "surface": _draw_surface,
        "diagram": _draw_diagram,
        "barcode": _draw_barcode,
    }
    if kind is not None:
        _checks.one_of("kind", kind, drawers, ", or None for all")
    seen = [size for size in result.values.shape if size > 1]
    flat = len(seen) == result.values.ndim <= 2
    if kind == "surface" and not flat:
        raise ValueError(
            f"`kind` is 'surface', and the result has the shape {result.values.shape}; a picture shows two "
            "coordinates, or one, of several positions. Draw 'diagram' or 'barcode'."
        )
    if ax is not None and kind is None:
        raise ValueError("`ax` takes one panel; say which, kind='surface', 'diagram' or 'barcode'.")
    with style.context():
        if kind is None:
            return _whole(result, drawers if flat else {k: drawers[k] for k in ("diagram", "barcode")}, width)
        square = kind == "surface" and result.values.ndim == 2
        figure, axes = _page.canvas(ax, width or style.SINGLE, square=square)
        entries = drawers[kind](axes, result)
        _page.finish(figure, axes, [entries], own=ax is None, remark=_remark(result) if kind == "barcode" else "")
    return figure


def _whole(
    result: Persistence, drawers: dict[str, Callable[[Axes, Persistence], list[Any]]], width: float | None
) -> Figure:
    """All panels over one legend, side by side where there is room."""
    width = width or (style.DOUBLE if len(drawers) == 3 else 0.7 * style.DOUBLE)
    columns = min(len(drawers), int(width / _NARROWEST) or 1)
    rows = -(-len(drawers) // columns)
    figure = style.figure(width, rows * width / columns + 0.25)
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in every[len(drawers) :]:
        axes.remove()
    every = every[: len(drawers)]
    entries: dict[str, Any] = {}
    for axes, draw in zip(every, drawers.values(), strict=True):
        entries |= {entry.get_label(): entry for entry in draw(axes, result)}
    _page.finish(figure, every[0], [list(entries.values())], own=True, remark=_remark(result))
    return figure


def _color(number: int) -> str:
    return _COLORS[number] if number < len(_COLORS) else _OTHERS


def _square(i: int) -> dict[str, Any]:
    return style.kind_style("saddle") | {"markerfacecolor": _color(i), "zorder": 8, "clip_on": False}


def _star(i: int) -> dict[str, Any]:
    look = {"markerfacecolor": _color(i), "zorder": 9, "clip_on": False}
    small = {"markersize": 3.5, "markeredgecolor": "#555555", "markeredgewidth": 0.3, "zorder": 5}
    large = {"markersize": 7.5, "path_effects": style.halo(0.6)}
    return style.kind_style("minimum") | look | (large if i < len(_COLORS) else small)


def _name(result: Persistence) -> str:
    return _panels.label_of(result.values.drop_vars([n for n, c in result.values.coords.items() if c.ndim == 0]))


# ---- the surface


def _draw_surface(axes: Axes, result: Persistence) -> list[Any]:
    if result.values.ndim == 1:
        return _draw_curve(axes, result)
    name = str(result.values.name)
    panel = _panels.read(result.values.to_dataset(name=name), name)[0]
    ground = _ground.of([panel], name, None)
    ground.paint(axes, panel)
    _page.frame(axes, panel)
    _page.title(axes, panel.label)
    minima, peaks = result.minima, _of(result, 1)["death_at"].to_numpy()[: len(_COLORS)]
    places = minima["birth_at"].to_numpy()
    window = np.ptp([axes.get_xlim(), axes.get_ylim()], axis=1)
    leaving = np.zeros_like(places)  # the sum of the directions of a star's lines, in the window's unit
    for i in _from_last(minima):
        own = minima.isel(pair=i)
        if i < len(_COLORS) and np.isfinite(float(own["death"])):
            beyond = int(np.flatnonzero(minima["pair"].to_numpy() == int(own["spills_into"]))[0])
            saddle, end = own["death_at"].to_numpy(), places[beyond]
            axes.plot(*zip(places[i], saddle, strict=True), color=_color(i), zorder=7, **_LINK)
            axes.plot(*zip(saddle, end, strict=True), color=_color(i), zorder=6, **_LINK | _DOTTED)
            axes.plot(*np.split(saddle, 2), **_square(i))
            leaving[i] += _unit((saddle - places[i]) / window)
            leaving[beyond] += _unit((saddle - end) / window)
    for i in _from_last(minima):
        axes.plot(*np.split(places[i], 2), **_star(i))
        _number(axes, i, places[i], -_unit(leaving[i]))
        beside = places[i] - 0.07 * window * _unit(leaving[i])
        axes.plot(*zip(places[i], beside, strict=True), visible=False)  # contour lines are numbered clear of lines
    peaks = peaks[np.isfinite(peaks).all(axis=1)]
    if len(peaks):  # a line without points would take room at the page's corner
        axes.plot(*peaks.T, zorder=8, clip_on=False, **style.kind_style("maximum"))
    ground.lines(axes, panel)
    return _entries(result, maxima=True) + _mesh.handles([panel])


def _draw_curve(axes: Axes, result: Persistence) -> list[Any]:
    x = result.values[result.values.dims[0]]
    axes.plot(x, result.values, color="#555555", zorder=4)
    minima = result.minima
    for i in _from_last(minima):
        own, color = minima.isel(pair=i), _color(i)
        at, birth, death = float(own["birth_at"][0]), float(own["birth"]), float(own["death"])
        if i < len(_COLORS) and np.isfinite(death):
            saddle = float(own["death_at"][0])
            look: dict[str, Any] = {"color": color, "clip_on": False}
            axes.plot([at, at], [birth, death], linewidth=2.2, solid_capstyle="butt", zorder=6, **look)
            axes.plot([at, saddle], [death, death], zorder=5, **look, **_DOTTED)
            axes.plot(saddle, death, **_square(i))
        axes.plot(at, birth, **_star(i))
        _number(axes, i, (at, birth), _DOWN)
    axes.set(xlabel=_panels.label_of(x), ylabel=_name(result))
    axes.margins(x=0, y=0.14)
    axes.locator_params(axis="x", nbins=6, steps=[1, 2, 5, 10])
    return _entries(result)


def _from_last(minima: xr.Dataset) -> range:
    """So that the most persistent are drawn over the others."""
    return range(minima.sizes["pair"] - 1, -1, -1)


def _unit(direction: np.ndarray) -> np.ndarray:
    """Of length 1; downwards where there is none."""
    length = np.linalg.norm(direction)
    return direction / length if length > 1e-9 else _DOWN


def _number(axes: Axes, i: int, at: Any, direction: np.ndarray) -> None:
    """The number of a minimum that has a color, on this side of its star."""
    if i < len(_COLORS):
        look: dict[str, Any] = {"ha": "center", "va": "center", "textcoords": "offset points", "zorder": 8.5}
        axes.annotate(str(i), at, tuple(8.0 * direction), **look, **_NUMBER)


# ---- the diagram


def _draw_diagram(axes: Axes, result: Persistence) -> list[Any]:
    low, high, room = _range(result)
    top = high + 2 * room
    window = (low - room, top + room)
    axes.fill_between(window, window, window[0], color="#EEEEEE", linewidth=0, zorder=0)
    axes.plot(window, window, color="#888888", linewidth=0.6, zorder=1)
    axes.axhline(top, color="#888888", linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
    axes.annotate("∞", (1, top), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center")
    for homology, look in ((2, _cycle_look(2)), (1, _cycle_look(1))):
        own = _of(result, homology)
        if own.sizes["pair"]:
            death = np.where(np.isfinite(own["death"]), own["death"], top)
            axes.plot(own["birth"], death, **look, zorder=5)
    minima = result.minima
    deaths = np.where(np.isfinite(minima["death"]), minima["death"], top)
    places = np.stack([minima["birth"].to_numpy(), deaths], axis=1)
    for i in _from_last(minima):
        axes.plot(*np.split(places[i], 2), **_star(i))
    for numbers in _groups(places[: len(_COLORS)], _NEAR * np.ptp(window)):
        look: dict[str, Any] = {"textcoords": "offset points", "va": "center", "ha": "left", "zorder": 6}
        axes.annotate(", ".join(map(str, numbers)), places[max(numbers)], (5, -1), **look, **_NUMBER)
    axes.set(xlim=window, ylim=window, xlabel=f"birth ({_name(result)})", ylabel=f"death ({_name(result)})")
    axes.set_aspect("equal", adjustable="box")
    axes.locator_params(nbins=5, steps=[1, 2, 5, 10])
    return _entries(result)


def _range(result: Persistence) -> tuple[float, float, float]:
    """The least and the largest birth or death, and the room around them."""
    ends = np.concatenate([result.pairs["birth"], result.pairs["death"]])
    low, high = float(ends.min()), float(ends[np.isfinite(ends)].max())
    high = high if high > low else float(result.values.max())
    return low, high, _MARGIN * ((high - low) or 1.0)


def _groups(places: np.ndarray, near: np.ndarray) -> list[list[int]]:
    """Numbers of points that are so near to the first of their group."""
    groups: list[list[int]] = []
    for i, place in enumerate(places):
        group = next((own for own in groups if (abs(places[own[0]] - place) < near).all()), None)
        groups.append([i]) if group is None else group.append(i)
    return groups


# ---- the barcode


def _draw_barcode(axes: Axes, result: Persistence) -> list[Any]:
    shown = [_of(result, homology).isel(pair=slice(_BARS)) for homology in (0, 1, 2)]
    bars = xr.concat(shown, dim="pair")
    left, right, room = _range(result)
    right += 2 * room
    count, first = bars.sizes["pair"], bars["homology"].to_numpy()
    for row in range(count):
        birth, death, homology = (float(bars[name][row]) for name in ("birth", "death", "homology"))
        color = _color(row) if homology == 0 else _LOOP if homology == 1 else _VOID
        endless = not np.isfinite(death)
        look: dict[str, Any] = {"color": color, "solid_capstyle": "butt", "dash_capstyle": "butt", "zorder": 3}
        look |= {"linewidth": min(4.0, 90 / count), "linestyle": ("-", (0, (1.6, 0.7)), (0, (0.6, 0.5)))[int(homology)]}
        axes.plot([birth, right if endless else death], [row, row], **look)
        if endless:
            axes.plot(right, row, marker=">", markersize=4.5, color=color, clip_on=False, zorder=4)
    axes.set(xlabel=_name(result), xlim=(left - room, right), ylim=(count - 0.3, -0.7))
    numbered = [row for row in range(count) if first[row] == 0 and row < len(_COLORS)]
    axes.set_yticks(numbered, [str(row) for row in numbered])
    axes.tick_params(axis="y", length=0, labelsize=min(7.5, 140 / count))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(True, axis="x")
    axes.locator_params(axis="x", nbins=5, steps=[1, 2, 5, 10])
    return [entry for entry in _entries(result) if entry.get_label() != "saddle where it merges"]


def _remark(result: Persistence) -> str:
    counts = [_of(result, homology).sizes["pair"] for homology in (0, 1, 2)]
    more = sum(max(0, count - _BARS) for count in counts)
    return f"barcode without the {more} least persistent" if more else ""


# ---- what they share


def _of(result: Persistence, homology: int) -> xr.Dataset:
    return result.pairs.isel(pair=result.pairs["homology"].to_numpy() == homology)


def _cycle_look(homology: int) -> dict[str, Any]:
    marker, color = (("o", _LOOP), ("D", _VOID))[homology - 1]
    look: dict[str, Any] = {"marker": marker, "markersize": 4.5, "markeredgecolor": color, "linestyle": "none"}
    return look | {"markerfacecolor": "none", "markeredgewidth": 1.1}


def _entries(result: Persistence, maxima: bool = False) -> list[Any]:
    """The legend's entries."""
    minima = result.minima
    entries = [Line2D([], [], label="minimum", **style.kind_style("minimum"))]
    if np.isfinite(minima["death"]).any():
        entries.append(Line2D([], [], label="saddle where it merges", **style.kind_style("saddle")))
    if maxima and np.isfinite(_of(result, 1)["death"]).any():
        entries.append(Line2D([], [], label="maximum in a loop", **style.kind_style("maximum")))
    for homology, label in ((1, "loop"), (2, "void")):
        if _of(result, homology).sizes["pair"] and not maxima:
            entries.append(Line2D([], [], label=label, **_cycle_look(homology)))
    return entries
