"""Variables of a surface over one coordinate: a curve each, a penalty, a split; two variables on two axes.

>>> import landscape as ls
>>> figure = ls.plot.line(surface, ("risk", "accuracy"))                  # doctest: +SKIP
>>> sweep = ls.scale_sweep(pair, params, np.logspace(-3, 3, 61))          # doctest: +SKIP
>>> figure = ls.plot.line(sweep, ("risk", "saturated"))                   # doctest: +SKIP
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landscape import _checks
from landscape.plot import _mesh, _page, _panels, _paths, _points, _runs, _scales, style

_SIDES = (style.BLUE, "#8C510A")  # of the left and the right axis: brown, which no optimizer has
_MARKERS = 16  # of a run, at most


def line(
    surface: xr.Dataset,
    variables: str | Sequence[str] | None = None,
    runs: Any = None,
    *,
    points: Any = None,
    log: bool | None = None,
    ax: Axes | None = None,
    width: float = style.SINGLE,
) -> Figure:
    """One variable of a surface over its one coordinate, or two: the first on the left axis, the second on the right.

    `surface`: of `evaluate` on a line, of `scale_sweep`, or any data set over one coordinate of numbers, such as the
    `data` of `penalty_path`. `variables`: by default the risk, and the accuracy where it was measured. Splits of the
    data are solid, dashed, … curves; the penalties of a sweep have the colors of their λ (and dashes where two have the
    same). `runs`: a Trajectory on the surface's objective, its `.on(surface)`, or a mapping from optimizers' labels to
    either, as points at their own values of the first variable, as long as they are inside the window; in a sweep in
    the color of their λ. `points`: critical points, as in `contour`, at their own values of the first variable.

    `log` puts the left axis on a logarithmic or a linear scale; by default gradient norms, and what is positive with a
    ratio above 20, are logarithmic. The right axis is linear, and logarithmic for gradient norms. The horizontal axis
    is logarithmic where the positions are like those of np.logspace and np.geomspace: three or more, positive, evenly
    spaced in their logarithm, the largest more than 10 times the least. Stretches where a curve is not finite are
    hatched; they are dotted where it is not computed yet. Draws into `ax`, or on a new figure `width` inches wide.

    Raises: TypeError for what is no data set, or is one of runs; ValueError for more than one coordinate or two
    variables, for labels instead of positions, for a sweep beside a second variable or several splits, for runs that do
    not belong here, and for runs that did not measure the first variable on these data.
    """
    _check_kind(surface)
    variables = _chosen(surface, variables)
    name = _coordinate(surface, variables)
    _check_curves(surface, variables)
    walks = [] if runs is None else _runs.read(runs, surface, [name])
    _runs.check_measured(walks, variables[0], surface)
    marks = _points.read(points, surface, [name])
    if marks is not None and variables[0] not in marks:
        raise ValueError(f"`points` have no {variables[0]!r}, which is drawn; draw their objective or risk.")
    walks = _runs.by_penalty(walks, swept="penalty" in surface[variables[0]].dims)
    surface = surface.sortby(name)
    x = surface[name].to_numpy().astype(float)
    data = [_panels.masked(surface, variable) for variable in variables]
    missing = np.any([_over_curves(_panels.missing(surface, d), name) for d in data], axis=0)
    gaps = np.any([_over_curves(d.isnull(), name) for d in data], axis=0) & ~missing
    with style.context():
        figure, axes = _page.canvas(ax, width)
        entries = _draw(axes, surface, variables, name, data, log)
        _axis(axes, x)
        _scales.hatch_spans(axes, x, gaps, _mesh.HATCH)
        _scales.hatch_spans(axes, x, missing, _mesh.AWAITED)
        for run in walks:
            _draw_points(axes, run, variables[0], x)
        found = [] if marks is None else _points.draw(axes, _points.inside(marks, surface, [name]), name, variables[0])
        axes.set(xlabel=_panels.label_of(surface[name]))
        said = {entry.get_label() for entry in entries}  # a sweep's curves and their runs share the entries of λ
        others = [entry for entry in _paths.handles(walks, [])[0] if entry.get_label() not in said]
        others += found + _mesh.hatch_handles(bool(gaps.any()), bool(missing.any()))
        remark = _paths.remark(walks, surface, [name])
        _page.finish(figure, axes, [entries, others], own=ax is None, remark=remark)
    return figure


def _check_kind(surface: Any) -> None:
    """Raise TypeError for what a line does not show: anything but a data set, and runs, whose positions are steps."""
    wanted = "it must be an xarray.Dataset over one coordinate, of landscape.evaluate or landscape.scale_sweep"
    if not isinstance(surface, xr.Dataset):
        held = isinstance(getattr(surface, "data", None), xr.Dataset)
        runs = held and hasattr(surface, "on")
        advice = " Draw runs with landscape.plot.trajectory." if runs else " Give its `data`." if held else ""
        raise TypeError(f"`surface` is {_checks.kind(surface)}; {wanted}.{advice}")
    if surface.attrs.get("kind") == "trajectory":
        raise TypeError(f"`surface` holds runs; {wanted}. Draw runs with landscape.plot.trajectory.")


def _chosen(surface: xr.Dataset, variables: str | Sequence[str] | None) -> tuple[str, ...]:
    """One or two variables that the surface has."""
    if variables is None:
        measured = isinstance(surface, xr.Dataset) and "accuracy" in surface
        variables = ("risk", "accuracy") if measured else ("risk",)
    chosen = (variables,) if isinstance(variables, str) else tuple(variables)
    if len(chosen) not in (1, 2) or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"`variables` is {chosen}; give one for the left axis, or two different ones: ('risk', 'accuracy')."
        )
    for variable in (v for v in chosen if surface.attrs.get("kind") != "surface" and v not in surface.data_vars):
        raise ValueError(f"`surface` has no variable {variable!r}; it has {', '.join(map(str, surface.data_vars))}.")
    return chosen


def _coordinate(surface: xr.Dataset, variables: Sequence[str]) -> str:
    """The name of the surface's one coordinate."""
    every = [_panels.coordinates(surface, variable) for variable in variables]
    for variable, names in zip(variables, every, strict=True):
        if len(names) != 1:
            held = names[-1] if names else ""
            raise ValueError(
                f"`surface` has {len(names)} coordinates in {variable!r} ({', '.join(names) or 'none'}); a line has "
                f"one. Hold the others, surface.isel({held}=0), or draw landscape.plot.contour."
            )
    name = every[0][0]
    if every[-1][0] != name:
        raise ValueError(
            f"`surface` has {variables[0]!r} over {name!r} and {variables[-1]!r} over {every[-1][0]!r}; two variables "
            "on one line have the same coordinate. Draw them in pictures of their own."
        )
    if surface[name].dtype.kind not in "iuf":
        raise ValueError(
            f"`surface` has labels for its coordinate {name!r} in {variables[0]!r}; a line needs positions, numbers. "
            f"Select one, surface.isel({name}=0)."
        )
    return name


def _axis(axes: Axes, x: np.ndarray) -> None:
    """The horizontal axis, of the sorted positions."""
    if _scales.even_in_log(x):
        _scales.log_axis(axes, x[0], x[-1])
        return
    axes.set_xlim(x[0], x[-1])
    axes.locator_params(axis="x", nbins=6, steps=[1, 2, 5, 10])


def _check_curves(surface: xr.Dataset, variables: Sequence[str]) -> None:
    """Raise ValueError where colors and dashes would have to tell two things at once."""
    swept = [v for v in variables if "penalty" in surface[v].dims]
    if not swept:
        return
    other = "a second variable" if len(variables) > 1 else "several splits" if "split" in surface[swept[0]].dims else ""
    if other:
        labels = [str(label) for label in surface["penalty"].values]
        raise ValueError(
            f"`surface` holds {len(labels)} penalties in {swept[0]!r}, which cannot be told apart beside {other}. "
            f"Select one: surface.sel(penalty={labels[-1]!r})."
        )


def _over_curves(where: xr.DataArray, name: str) -> np.ndarray:
    """Where along the coordinate something holds of one of a variable's curves."""
    return where.any([dim for dim in where.dims if dim != name]).to_numpy()


def _draw(
    axes: Axes,
    surface: xr.Dataset,
    variables: Sequence[str],
    name: str,
    data: Sequence[xr.DataArray],
    log: bool | None,
) -> list[Line2D]:
    """Each variable's curves on its own axis; returns the legend's entries."""
    sides = [axes, *(axes.twinx() for _ in variables[1:])]
    entries: list[Line2D] = []
    for side, (place, values) in enumerate(zip(sides, data, strict=True)):
        curves = _curves_of(values, surface, name, side)
        for row, look in curves:
            place.plot(surface[name].to_numpy(), row, **look)
        asked = log if side == 0 else None if variables[side].endswith("gradient_norm") else False
        if _scales.is_log(variables[side], [row for row, _ in curves], asked):
            place.set_yscale("log")
        place.set_ylabel(_panels.label_of(surface[variables[side]]))
        entries = entries or _entries(values, [look for _, look in curves])
    if len(sides) > 1:
        _color(sides)
    return entries


def _curves_of(
    data: xr.DataArray, surface: xr.Dataset, name: str, side: int
) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Values and look of each curve of a variable."""
    if "penalty" in data.dims:
        rows = data.transpose("penalty", name).to_numpy()
        return list(zip(rows, _runs.penalty_looks(data, surface.attrs), strict=True))
    rows = data.transpose("split", name).to_numpy() if "split" in data.dims else [data.to_numpy()]
    return [(row, {"color": _SIDES[side], "linestyle": style.dashes(i)}) for i, row in enumerate(rows)]


def _entries(data: xr.DataArray, looks: Sequence[dict[str, Any]]) -> list[Line2D]:
    """The legend's entries: the penalties in their colors, or the splits in gray, which both axes share."""
    if "penalty" in data.dims:
        return [Line2D([], [], **look) for look in looks]
    if "split" not in data.dims:
        return []
    labels = map(str, data["split"].to_numpy())
    return [
        Line2D([], [], color="#555555", linestyle=look["linestyle"], label=label)
        for label, look in zip(labels, looks, strict=True)
    ]


def _color(sides: Sequence[Axes]) -> None:
    """Each axis in the color of its curves."""
    for axes, color, edge in zip(sides, _SIDES, ("left", "right"), strict=True):
        axes.yaxis.label.set_color(color)
        axes.tick_params(axis="y", which="both", color=color, labelcolor=color)
        axes.spines[["left", "right"]].set_visible(False)
        axes.spines[edge].set(visible=True, color=color)


def _draw_points(axes: Axes, run: _runs.Run, variable: str, x: np.ndarray) -> None:
    """A run inside the window of the positions `x`: outside, its values would only stretch the axis."""
    inside = (x[0] <= run.points[0]) & (run.points[0] <= x[-1])
    look: dict[str, Any] = {"color": run.look.color, "marker": run.look.marker, "linestyle": run.look.linestyle}
    every = -(-len(run.steps) // _MARKERS) or 1
    values = np.where(inside, run.measured[variable], np.nan)
    axes.plot(run.points[0], values, markersize=2.5, linewidth=0.5, markevery=every, zorder=4, **look)
