"""What a picture of a plane leaves out: how far from it the runs are, and what is true of them there."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from landscape.plot import _curves, _page, _panels, _runs, _scales, style
from landscape.plot._ground import Ground
from landscape.plot._runs import Run, by_name

_SPACING = {4: 0.075, 12: 0.14}  # runs in a picture -> the least distance of dots, in widths of the window


def dots(axes: Axes, runs: Sequence[Run], ground: Ground) -> None:
    """Dots along the paths in the colors of the runs' own values; at the ends only, where there are many runs."""
    spacing = next((space for most, space in _SPACING.items() if len(runs) <= most), np.inf)
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    for run in runs:
        path = (np.stack(run.points, axis=1) - low) / (high - low)
        chosen = _spaced(path, spacing)
        look: dict[str, Any] = {"edgecolors": run.look.color, "linewidths": 0.8, "zorder": 5.5}
        colors = ground.colors(run.measured[ground.variable])
        start = {"s": 14, "edgecolors": style.INK}
        end = {"s": 26, "marker": run.look.marker, "path_effects": style.halo(0.8), "zorder": 6}
        for some, own in ((chosen[1:-1], {"s": 11}), (chosen[:1], start), (chosen[-1:], end)):
            if run.finite or own is not end:
                axes.scatter(*(place[some] for place in run.points), c=colors[some], **look | own)


def _spaced(path: np.ndarray, spacing: float) -> np.ndarray:
    """Indices of positions that are so far from the one before, and of the last, which takes its neighbor's place."""
    chosen = [0]
    for i, place in enumerate(path):
        if np.hypot(*(place - path[chosen[-1]])) >= spacing:
            chosen.append(i)
    if len(chosen) > 1 and np.hypot(*(path[-1] - path[chosen[-1]])) < spacing:
        chosen.pop()
    return np.array([*chosen, len(path) - 1])


def under(surface: xr.Dataset, variable: str, names: Sequence[str], run: Run) -> np.ndarray:
    """What the surface has in a run's places, of shape (steps,): linear between grid points, NaN outside the grid."""
    surface = surface.sortby(list(names))
    values = _panels.masked(surface, variable).transpose(*names).to_numpy()
    index, share = [], []
    inside = np.ones(run.points[0].shape, bool)
    for name, place in zip(names, run.points, strict=True):
        axis = surface[name].to_numpy().astype(float)
        inside &= (axis[0] <= place) & (place <= axis[-1])
        cell = np.clip(np.searchsorted(axis, place, side="right") - 1, 0, max(len(axis) - 2, 0))
        width = axis[np.minimum(cell + 1, len(axis) - 1)] - axis[cell]
        index.append(cell)
        share.append(np.divide(place - axis[cell], width, out=np.zeros_like(width), where=width > 0))
    found = np.zeros(inside.shape)
    for corner in itertools.product((0, 1), repeat=len(index)):
        weight = np.prod([s if high else 1 - s for s, high in zip(share, corner, strict=True)], axis=0)
        at = tuple(np.minimum(i + high, n - 1) for i, high, n in zip(index, corner, values.shape, strict=True))
        found += np.where(weight > 0, weight * values[at], 0.0)
    return np.where(inside, found, np.nan)


def strip(figure: Figure, runs: Sequence[Run], shown: Sequence[np.ndarray], variable: str, label: str) -> None:
    """Two panels between a finished picture and its legend, against the step.

    Left: the distance from the plane. Right: the runs' own values, and in dots what the plane has in their place.
    """
    distance, values = _page.strip(figure, ("distance from the plane", f"{label}; dotted: the plane's"))
    steps = max((run.steps for run in runs), key=len)
    for group in by_name(runs).values():
        look = group[0].look
        line = {"color": look.color, "linestyle": "-"}
        for axes, rows in ((distance, [run.off for run in group]), (values, [run.measured[variable] for run in group])):
            _curves.runs(axes, steps, _runs.aligned(rows, len(steps)), line, _curves.markers(look, steps))
        own = [row for run, row in zip(runs, shown, strict=True) if run.name == group[0].name]
        _curves.thin(values, steps, _runs.aligned(own, len(steps)), look.color)
    for axes in (distance, values):
        _curves.step_axis(axes, "log", int(steps[-1]))
    distance.set_ylim(bottom=0)
    if _scales.is_log(variable, [run.measured[variable] for run in runs], None):
        values.set_yscale("log")
        ticks = _scales.levels(LogNorm(*values.get_ylim()), count=4)
        values.yaxis.set_major_locator(FixedLocator(ticks))
        values.yaxis.set_minor_locator(NullLocator())
        values.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _page.plain(value)))


def handles(runs: Sequence[Run], label: str) -> list[Any]:
    """The legend's entries for dots, and for the bands of many runs."""
    fill: Any = style.SEQUENTIAL(0.6)
    look: dict[str, Any] = {"markerfacecolor": fill, "markeredgecolor": "#555555", "markeredgewidth": 0.8}
    dot = Line2D([], [], marker="o", markersize=3.6, linestyle="none", label=f"true {label}, same colors", **look)
    most = max(len(group) for group in by_name(runs).values())
    return [dot, *([_curves.band_handle(f"{most} runs")] if most > _curves.FEW else [])]
