"""Descent against the step, or a flow against its time: risk, objective or gradient norm of every run.

>>> import landscape as ls
>>> figure = ls.plot.trajectory(runs, "gradient_norm")                    # doctest: +SKIP
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from landscape.plot import _curves, _page, _panels, _paths, _runs, _scales, _truth, style
from landscape.plot._runs import Run

_WIDE = 100.0  # the ratio of times above which their axis is logarithmic
_DEEPEST = 1e-16  # a logarithmic axis ends this far below its top: lower values tell nothing and flatten the rest


def trajectory(
    runs: Any,
    variable: str = "objective",
    *,
    surface: xr.Dataset | None = None,
    xscale: str = "auto",
    yscale: str = "auto",
    ax: Axes | None = None,
    width: float | None = None,
) -> Figure:
    """A recorded variable ("risk", "objective", "gradient_norm") against the step, or against time.

    `runs` is a Trajectory, its data set, or a mapping from optimizers' labels to either, each with its own steps.
    Those that have the coordinate `time`, as a gradient flow does, are drawn against it. Descent can be drawn beside a
    flow if it is told that a step of size η takes the time η: `run.data.assign_coords(time=η * run.data.step)`.

    Several optimizers: each in its own look, with a panel a penalty. One optimizer and several penalties: one panel,
    each λ in its own color. More than 8 starts are drawn as their median with the band from the 10th to the 90th
    percentile, over the runs that are still finite; a run that became non-finite ends in a cross. `xscale` is "log"
    (step 0 and time 0 kept at its left end), "linear" or "auto" (log where the first hundredth of the steps has a
    recorded one after 0: not for checkpoints every so many steps; and where the times after 0 span more than two
    decades); `yscale` "log", "linear" or "auto" (log for gradient norms, and where the values are positive, or 0, with
    a ratio above 20; exactly 0 is drawn at the axis's lower end). `ax` takes one panel; else the figure is `width`
    inches wide.

    Runs on a plane, `trajectory.on(plane)`, have the distance from it as the variable "residual". With the plane's
    `surface`, thin dots beside the curves show what it has at the runs' coordinates, where a picture of it draws them.

    Raises: ValueError for an unknown variable or scale, for several panels with `ax` or `surface`, for a surface of
    another objective, split of the data, chart or penalty, and for a mapping whose runs differ in objective or
    penalties, or of which some have times and others have none.
    """
    parts = _parts(runs, variable)
    _check_scales(xscale, yscale)
    penalties = next((list(part["penalty"].values) for part in parts if "penalty" in part.dims), [])
    split = bool(penalties) and len(parts) > 1
    _check_panels(len(parts), penalties, split, ax, surface)
    walks = [] if surface is None else _read_on(runs, surface, variable)
    values = np.concatenate([part[variable].where(part["finite"]).to_numpy().ravel() for part in parts])
    log_steps = _is_log_along(parts) if xscale == "auto" else xscale == "log"
    log = _is_log(variable, values) if yscale == "auto" else yscale == "log"
    floor = _floor(values) if log else None
    if floor is not None:
        parts = [part.assign({variable: part[variable].where(part[variable] != 0, floor)}) for part in parts]
    panels = [[part.sel(penalty=label) for part in parts] for label in penalties] if split else [parts]
    by_penalty = bool(penalties) and not split
    with style.context():
        figure, axes = _figure(len(panels), width, ax)
        for axis, shown in zip(axes, panels, strict=True):
            _draw(axis, shown, variable, by_penalty, log_steps)
            _page.title(axis, str(shown[0]["penalty"].item()) if split else "")
            _axis(axis, parts, log_steps)
            if log:
                axis.set_yscale("log")
            spec = axis.get_subplotspec()
            first = spec is None or spec.is_first_col()
            axis.set(ylabel=_panels.label_of(parts[0][variable]) if first else "")
        if surface is not None:
            _draw_shown(axes[0], walks, surface, variable, parts)
        if log:  # after the last panel: they share the axis
            low, high = axes[0].get_ylim()
            axes[0].set_ylim(max(low, _DEEPEST * high) if floor is None else floor, high)
        entries, signs = _handles(parts, by_penalty)
        signs += [_curves.thin_handle()] if surface is not None else []
        _page.finish(figure, axes[0], [entries, signs], own=ax is None)
    return figure


def _parts(runs: Any, variable: str) -> list[xr.Dataset]:
    """The data of each optimizer, over penalty and start, if there are several, and step."""
    parts: list[xr.Dataset] = []
    for name, label, some in _runs.entries(runs):
        data = _runs.data_of(name, label, some)
        known = [str(v) for v in data.data_vars if "step" in data[v].dims and v not in ("finite", "computed")]
        if variable not in known:
            raise ValueError(f"`variable` is {variable!r}; the runs recorded {', '.join(known)}.")
        each = [data.isel(optimizer=i) for i in range(data.sizes["optimizer"])] if "optimizer" in data.dims else [data]
        parts += [part.transpose(*(d for d in ("penalty", "start") if d in data.dims), "step", ...) for part in each]
        _check_same(name, data, parts[0])
    return parts


def _check_same(name: str, data: xr.Dataset, first: xr.Dataset) -> None:
    """Raise ValueError unless these runs are of the first ones' objective and penalties."""
    apart = "Draw them in pictures of their own."
    if data.attrs.get("objective_id") != first.attrs.get("objective_id"):
        texts = [f"{d.attrs.get('objective') or 'not named'} (id {d.attrs.get('objective_id')})" for d in (first, data)]
        raise ValueError(
            f"`{name}` is of another objective than the first of `runs`.\n  first: {texts[0]}\n  {name}: {texts[1]}\n"
            f"{apart}"
        )
    ours, theirs = _penalties(first), _penalties(data)
    if ours != theirs:
        raise ValueError(f"`{name}` used the penalties {theirs}, and the first of `runs` {ours}. {apart}")
    if (_times(data) is None) != (_times(first) is None):
        has, has_not = ("the first of `runs`", f"`{name}`")[:: 1 if _times(data) is None else -1]
        raise ValueError(
            f"{has_not} has steps only, and {has} the coordinate `time`, against which it is drawn. Say when the "
            f"steps are: run.data.assign_coords(time=learning_rate * run.data.step). Or else: {apart}"
        )


def _penalties(data: xr.Dataset) -> dict[str, str] | list[str]:
    """The formulas of a sweep's penalties under their labels, or that of the one penalty, whatever it is called."""
    found = _runs.formulas(data)
    return found if "penalty" in data.dims else list(found.values())


def _times(part: xr.Dataset) -> np.ndarray | None:
    """When each step was recorded (steps,), of a flow; None where only steps are known."""
    time = part.coords.get("time")
    if time is None or time.dims != ("step",) or time.dtype.kind not in "iuf":
        return None
    return time.to_numpy().astype(float)


def _along(part: xr.Dataset) -> np.ndarray:
    """Where on the horizontal axis a part's records are: at their times, or at their steps."""
    times = _times(part)
    return part["step"].to_numpy() if times is None else times


def _is_log_along(parts: Sequence[xr.Dataset]) -> bool:
    """Whether the horizontal axis is logarithmic by itself."""
    if _times(parts[0]) is None:
        return _curves.is_log([_along(part) for part in parts])
    low, high = _positive(parts)
    return high > _WIDE * low


def _positive(parts: Sequence[xr.Dataset]) -> tuple[float, float]:
    """The least and the largest time after 0."""
    times = np.concatenate([_along(part) for part in parts])
    positive = times[times > 0]
    return (float(positive.min()), float(positive.max())) if positive.size else (1.0, 1.0)


def _read_on(runs: Any, surface: xr.Dataset, variable: str) -> list[Run]:
    """The runs on the surface, which has this variable, of one penalty and split, and of their data."""
    names = _panels.coordinates(surface, variable)
    _panels.single(surface, variable, "trajectory")
    _panels.one_split(surface, variable)
    walks = _runs.read(runs, surface, names)
    _runs.check_measured(walks, variable, surface)
    return _runs.by_penalty(walks)


def _check_panels(count: int, penalties: list[str], split: bool, ax: Axes | None, surface: xr.Dataset | None) -> None:
    if split and (ax is not None or surface is not None):
        name = "ax" if surface is None else "surface"
        raise ValueError(
            f"`{name}` takes one panel, but `runs` hold {count} optimizers and {len(penalties)} penalties. "
            f"Select a penalty (runs.data.sel(penalty=...)), or leave `{name}` out."
        )


def _check_scales(xscale: str, yscale: str) -> None:
    for name, value, known in (
        ("xscale", xscale, ("auto", "log", "linear")),
        ("yscale", yscale, ("auto", "log", "linear")),
    ):
        if value not in known:
            raise ValueError(f"`{name}` is {value!r}; it must be one of {', '.join(map(repr, known))}.")


def _is_log(variable: str, values: np.ndarray) -> bool:
    """As for colors, and where a run came to exactly 0; but not distances from a plane, which often end on it."""
    if variable == "residual":
        return False
    return _scales.is_log(variable, [values], None) or (
        np.nanmin(values) == 0 and _scales.is_log(variable, [values[values > 0]], None)
    )


def _floor(values: np.ndarray) -> float | None:
    """Where a logarithmic axis ends that has zeros to show: below all else, and two decades below the top at least."""
    positive = values[values > 0]
    if positive.size == 0 or not (values == 0).any():
        return None
    return float(max(min(0.1 * positive.min(), 1e-2 * positive.max()), _DEEPEST * positive.max()))


def _figure(count: int, width: float | None, ax: Axes | None) -> tuple[Figure, list[Axes]]:
    if ax is not None:
        return ax.get_figure(root=True), [ax]  # type: ignore[return-value]
    width = width or (style.SINGLE if count == 1 else style.DOUBLE)
    columns = min(count, max(1, int(width / 1.45)))
    rows = -(-count // columns)
    figure = style.figure(width, rows * (0.62 * width if count == 1 else 1.7))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, list(axes.flat[:count])


def _draw(axes: Axes, parts: Sequence[xr.Dataset], variable: str, by_penalty: bool, log_steps: bool) -> None:
    """The curves of one panel: one group of starts an optimizer, or a penalty."""
    swept = parts[0]
    groups = [swept.isel(penalty=i) for i in range(swept.sizes["penalty"])] if by_penalty else parts
    looks = _runs.penalty_looks(swept, swept.attrs) if by_penalty else []
    optimizers = _runs.looks(map(_name, groups))
    for i, group in enumerate(groups):
        shown, steps = optimizers[_name(group)], _along(group)
        look = looks[i] if by_penalty else {"color": shown.color, "linestyle": shown.linestyle}
        line = {"color": look["color"], "linestyle": look["linestyle"]}
        values = np.atleast_2d(group[variable].where(group["finite"]).to_numpy())
        marks = {} if by_penalty else _markers(shown, group, log_steps)
        _curves.runs(axes, steps, values, _failed(group).any("step").to_numpy().ravel().tolist(), line, marks)


def _markers(look: style.LineStyle, part: xr.Dataset, log: bool) -> dict[str, Any]:
    """A few of an optimizer's markers, evenly spread on the axis."""
    places = _along(part)
    if _times(part) is None:
        return _curves.markers(look, places, log)
    low, _ = _positive([part])
    even = np.log(np.maximum(places, low) / low) if log else places
    return _curves.markers(look, 100 * even / (even.max() or 1.0), log=False)


def _axis(axes: Axes, parts: Sequence[xr.Dataset], log: bool) -> None:
    """The horizontal axis: of steps, or of times."""
    places = np.concatenate([_along(part) for part in parts])
    if _times(parts[0]) is None:
        _curves.step_axis(axes, log, int(places.max()))
        axes.set_xlabel("step")
        return
    if log:
        _scales.log_axis(axes, *_positive(parts), zero=bool((places == 0).any()))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set_xlim(min(0.0, float(places.min())), float(places.max()) or 1.0)
    axes.set_xlabel("time $t$")
    axes.grid(True, which="major")
    axes.spines[["top", "right"]].set_visible(False)


def _failed(part: xr.Dataset) -> xr.DataArray:
    """Where runs are not finite, for another reason than that they are not computed yet."""
    return ~part["finite"] & _runs.computed(part)


def _name(part: xr.Dataset) -> str:
    """The name of a part's optimizer."""
    return str(part["optimizer"].item()) if "optimizer" in part.coords else _runs.UNNAMED


def _draw_shown(
    axes: Axes, walks: Sequence[Run], surface: xr.Dataset, variable: str, parts: Sequence[xr.Dataset]
) -> None:
    """What the surface has at the runs' coordinates."""
    names = _panels.coordinates(surface, variable)
    places = {_name(part): _along(part) for part in parts}
    for group in _runs.by_name(walks).values():
        length = max(len(run.steps) for run in group)
        rows = _runs.aligned([_truth.under(surface, variable, names, run) for run in group], length)
        _curves.thin(axes, places[group[0].optimizer][:length], rows, group[0].look.color)


def _handles(parts: Sequence[xr.Dataset], by_penalty: bool) -> list[list[Any]]:
    entries: list[Any]
    if by_penalty:
        entries = [Line2D([], [], **look) for look in _runs.penalty_looks(parts[0], parts[0].attrs)]
    else:
        looks = _runs.looks(map(_name, parts))
        entries = _paths.line_handles({name: look for name, look in looks.items() if name != _runs.UNNAMED})
    signs: list[Any] = []
    starts = max(part.sizes.get("start", 1) for part in parts)
    if starts > _curves.FEW:
        signs.append(_curves.band_handle(f"{starts} starts"))
    if any(bool(_failed(part).any()) for part in parts):
        signs.append(Line2D([], [], markersize=4, label="became non-finite", **_paths.FAILED))
    return [entries, signs]
