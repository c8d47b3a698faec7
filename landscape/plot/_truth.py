"""What a picture of a plane leaves out: how far from it the runs are, and what is true of them there."""

import itertools
from collections.abc import Callable, Sequence
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


def dots(axes: Axes, runs: Sequence[Run], ground: Ground) -> np.ndarray:
    """Dots along the paths in the colors of the runs' own values; at the ends only, where there are many runs.

    Returns the values of those in the window.
    """
    seen = []
    spacing = next((space for most, space in _SPACING.items() if len(runs) <= most), np.inf)
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    for run in runs:
        path = (np.stack(run.points, axis=1) - low) / (high - low)
        chosen = _spaced(path, spacing)
        look: dict[str, Any] = {"edgecolors": run.look.color, "linewidths": 0.8, "zorder": 5.5}
        values = run.measured[ground.variable].astype(float)
        colors = ground.colors(values)
        drawn = chosen if run.finite else chosen[:-1]  # where one failed there is a cross
        seen.append(values[drawn][np.all((path[drawn] >= 0) & (path[drawn] <= 1), axis=1)])
        start = {"s": 14, "edgecolors": style.INK}
        end = {"s": 26, "marker": run.look.marker, "path_effects": style.halo(0.8), "zorder": 6}
        for some, own in ((chosen[1:-1], {"s": 11}), (chosen[:1], start), (chosen[-1:], end)):
            if (run.finite and run.begun) or own is not end:
                axes.scatter(*(place[some] for place in run.points), c=colors[some], **look | own)
    seen = np.concatenate(seen) if seen else np.zeros(0)
    return seen[np.isfinite(seen)]


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


def strip(figure: Figure, runs: Sequence[Run], surface: xr.Dataset, variable: str, label: str) -> list[Axes]:
    """Panels, which are returned, between a finished picture and its legend, against the step.

    Left: the distance from the plane, as a share of the window's diagonal where that is known. Right, of runs that have
    values of their own: these, and in dots what the plane has in their place.
    """
    names = _panels.coordinates(surface, variable)
    diagonal = _panels.diagonal(surface, names)
    known = [run for run in runs if variable in run.measured]
    headings = ["distance from the plane" + (" (of the window's diagonal)" if diagonal else "")]
    headings += [f"{label}; dotted: the plane's"] if known else []
    distance, *beside = _page.strip(figure, headings)
    _draw(distance, runs, lambda run: run.off / (diagonal or 1.0))
    distance.set_ylim(bottom=0)
    _curves.whole(distance, distance.lines, below=0.06)  # distances end at 0
    if diagonal:
        distance.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.6g} %"))
    for values in beside:
        _draw(values, known, lambda run: run.measured[variable])
        for group in by_name(known).values():
            rows = [under(surface, variable, names, run) for run in group]
            steps = max((run.steps for run in group), key=len)
            _curves.thin(values, steps, _runs.aligned(rows, len(steps)), group[0].look.color)
        if _scales.is_log(variable, [run.measured[variable] for run in known], None):
            _log_axis(values)
    for axes in (distance, *beside):
        _curves.step_axis(axes, _curves.is_log([run.steps for run in runs]), max(int(run.steps[-1]) for run in runs))
    return [distance, *beside]


def _draw(axes: Axes, runs: Sequence[Run], row: Callable[[Run], np.ndarray]) -> None:
    """A row of each run against its steps."""
    log = _curves.is_log([run.steps for run in runs])
    for group in by_name(runs).values():
        look, steps = group[0].look, max((run.steps for run in group), key=len)
        rows = _runs.aligned([row(run) for run in group], len(steps))
        line, marks = {"color": look.color, "linestyle": look.linestyle}, _curves.markers(look, steps, log)
        _curves.runs(axes, steps, rows, [not run.finite for run in group], line, marks)


def _log_axis(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(_scales.levels(LogNorm(*axes.get_ylim()), count=4)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _page.plain(value)))


def handles(label: str) -> list[Any]:
    """The legend's entry for dots."""
    fill: Any = style.SEQUENTIAL(0.6)
    look: dict[str, Any] = {"markerfacecolor": fill, "markeredgecolor": "#555555", "markeredgewidth": 0.8}
    return [Line2D([], [], marker="o", markersize=3.6, linestyle="none", label=f"true {label}, same colors", **look)]


def band_handles(runs: Sequence[Run]) -> list[Any]:
    """The legend's entry for the bands of runs in the panels underneath, if there are so many of one name."""
    most = max((len(group) for group in by_name(runs).values()), default=0)
    return [_curves.band_handle(f"{most} runs")] if most > _curves.FEW else []
