"""Paths of runs over a surface: clipped at its window, with marks for start, end, leaving and failing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape.plot import _page, _panels, style
from landscape.plot._panels import italic, title_of
from landscape.plot._runs import Run, by_name
from landscape.plot.style import LineStyle

FAILED: dict[str, Any] = {"marker": "x", "color": "#B00020", "linestyle": "none", "markeredgewidth": 1.1}
OFF_SHARE = 0.01  # of the window's diagonal: a distance from the chart from which on it is said
_MANY, _CROWD = 40, 200  # runs in a panel from which on lines are thin and solid, and a veil
_START: dict[str, Any] = {
    "marker": "o",
    "markerfacecolor": "white",
    "markeredgecolor": style.INK,
    "markeredgewidth": 0.6,
    "linestyle": "none",
}
_EDGE: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.45}


def draw(axes: Axes, runs: Sequence[Run]) -> None:
    """Draw the paths in the window as it is, which stays; thinner where there are many, a veil of them above 200."""
    runs = [run for run in runs if run.points[0].size]
    width = _width(len(runs))
    crowd = len(runs) > _CROWD
    size = 1.6 if crowd else 3.6 * width**0.5
    edge = {"markeredgewidth": 0.0} if crowd else _EDGE
    for name, group in by_name(runs).items():
        look = group[0].look
        dashes = look.linestyle if len(runs) <= _MANY else "-"  # dashes this thin are noise
        x, y = (_joined([run.points[i] for run in group]) for i in (0, 1))
        line = {"color": look.color, "linestyle": dashes, "linewidth": width, "alpha": 0.4 if crowd else 1.0}
        around = [] if crowd else style.halo(width)
        axes.plot(x, y, zorder=4, label=name, rasterized=x.size > 20_000, path_effects=around, **line)
        start = {**_START, "markeredgewidth": 0.3} if crowd else _START
        _dots(axes, [_at(run, 0) for run in group], zorder=5, markersize=0.9 * size, **start)
        end = {"marker": look.marker, "color": look.color, "linestyle": "none", **edge}
        _dots(
            axes,
            [_at(run, -1) for run in group if run.finite and run.begun],
            zorder=6,
            markersize=(0.8 if crowd else 1.15) * size,
            **end,
        )
        _mark_exits(axes, group, {"color": look.color, **edge}, 1.5 * size)


def _width(count: int) -> float:
    return 1.1 if count <= 4 else 0.75 if count <= 12 else 0.55 if count <= _MANY else 0.3 if count <= _CROWD else 0.2


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """Several paths as one array, separated by NaN: one artist instead of thousands."""
    return np.concatenate([part for piece in pieces for part in (piece, [np.nan])][:-1])


def _at(run: Run, index: int) -> tuple[float, float]:
    return float(run.points[0][index]), float(run.points[1][index])


def _dots(axes: Axes, positions: Sequence[tuple[float, float]], **look: Any) -> None:
    if positions:
        axes.plot(*zip(*positions, strict=True), **look)


def _mark_exits(axes: Axes, runs: Sequence[Run], look: dict[str, Any], size: float) -> None:
    """An arrowhead where a run leaves the window for good; a cross where it stopped being finite."""
    exits: dict[str, list[tuple[float, float]]] = {}
    failed = []
    for run in runs:
        place, side = _last_seen(axes, run)
        if place is not None and side:
            exits.setdefault(side, []).append(place)
        if place is not None and not run.finite:
            failed.append(place)
    for side, places in exits.items():
        _dots(axes, places, markersize=size, zorder=7, clip_on=False, marker=side, linestyle="none", **look)
    _dots(axes, failed, markersize=size, zorder=8, clip_on=False, **FAILED)


def _last_seen(axes: Axes, run: Run) -> tuple[tuple[float, float] | None, str]:
    """Where the run was last in the window (None: never), and the marker that points out there ("": it stayed)."""
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    path = np.stack(run.points, axis=1)
    inside = np.flatnonzero(np.all((low <= path) & (path <= high), axis=1))
    if inside.size == 0:
        return None, ""
    last = int(inside[-1])
    if last == len(path) - 1:
        return _at(run, -1), ""
    move = path[last + 1] - path[last]
    bound = np.where(move > 0, high, low)
    share = np.divide(bound - path[last], move, out=np.full(2, np.inf), where=move != 0)
    axis = int(np.argmin(share))
    x, y = path[last] + share[axis] * move
    return (float(x), float(y)), (("<", ">"), ("v", "^"))[axis][int(move[axis] > 0)]


def handles(runs: Sequence[Run], axes: Sequence[Axes]) -> tuple[list[Any], list[Any]]:
    """The legend's entries: for the paths; and for start and, where they occur on these axes, leaving and failing."""
    signs = [Line2D([], [], markersize=3.6, label="start", **_START)] if runs else []
    drawn = {str(line.get_marker()) for ax in axes for line in ax.lines if not line.get_clip_on()}
    if drawn & {"<", ">", "v", "^"}:
        arrow: dict[str, Any] = {"marker": ">", "color": "#777777", "linestyle": "none", "markersize": 4.5}
        signs.append(Line2D([], [], label="leaves the window", **arrow))
    if any(not run.finite for run in runs):
        signs.append(Line2D([], [], markersize=4.5, label="became non-finite", **FAILED))
    return _path_handles(runs), signs


def remark(runs: Sequence[Run], surface: xr.Dataset, names: Sequence[str], least: float = OFF_SHARE) -> str:
    """What the legend says where runs, inside the surface's window, lie off its line or plane."""
    farthest = off(runs, surface, names, least)
    if not farthest:
        return ""
    noun, whole = ("plane", "the window's diagonal") if len(names) > 1 else ("line", "the window")
    diagonal = _panels.diagonal(surface, names)
    share = f" ({_page.percent(farthest / diagonal)} of {whole})" if diagonal else ""
    return f"off the {noun} by up to {farthest:.2g}{share}"


def off(runs: Sequence[Run], surface: xr.Dataset, names: Sequence[str], least: float = OFF_SHARE) -> float:
    """The runs' greatest distance from the chart inside the window; 0 up to this share of the window's diagonal.

    Where the surface does not say how long a unit of its coordinates is, it is taken for 1.
    """
    low, high = np.array([[surface[name].min(), surface[name].max()] for name in names], float).T
    farthest = 0.0
    for run in runs:
        path = np.stack(run.points, axis=1)
        shown = run.off[np.all((low <= path) & (path <= high), axis=1)]
        farthest = max(farthest, float(shown.max(initial=0.0)))
    diagonal = _panels.diagonal(surface, names) or float(np.linalg.norm(high - low))
    return farthest if farthest > least * diagonal else 0.0


def _path_handles(runs: Sequence[Run]) -> list[Any]:
    """An entry an optimizer; where color tells the penalty instead, an entry a penalty and gray ones an optimizer."""
    optimizers = {run.optimizer: run.look for run in runs}
    if all(run.name == run.optimizer for run in runs):
        return line_handles(optimizers)
    gray = {name: replace(look, color="#555555") for name, look in optimizers.items()}
    colors = {title_of(run.penalty): run.look.color for run in runs}
    lines = [Line2D([], [], color=color, linewidth=1.4, label=label) for label, color in colors.items()]
    return lines + line_handles(gray)


def line_handles(looks: Mapping[str, LineStyle]) -> list[Line2D]:
    """A legend entry for each look: line and marker."""
    return [
        Line2D(
            [],
            [],
            color=s.color,
            linestyle=s.linestyle,
            marker=s.marker,
            linewidth=1.1,
            markersize=4,
            label=italic(name),
            **_EDGE,
        )
        for name, s in looks.items()
    ]
