"""Descent against the step: risk, objective or gradient norm of every run.

>>> import landscape as ls
>>> figure = ls.plot.trajectory(runs, "gradient_norm")                    # doctest: +SKIP
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landscape.plot import _curves, _page, _panels, _paths, _runs, _scales, _truth, style

_DEEPEST = 1e-16  # a logarithmic axis ends this far below its top: lower values tell nothing and flatten the rest


def trajectory(
    runs: Any,
    variable: str = "objective",
    *,
    surface: xr.Dataset | None = None,
    xscale: str = "log",
    yscale: str = "auto",
    ax: Axes | None = None,
    width: float | None = None,
) -> Figure:
    """A recorded variable ("risk", "objective", "gradient_norm") against the step.

    `runs` is a Trajectory or its data set. Several optimizers: each in its own look, with a panel a penalty. One
    optimizer and several penalties: one panel, each λ in its own color. More than 8 starts are drawn as their median
    with the band from the 10th to the 90th percentile, over the runs that are still finite; a run that became
    non-finite ends in a cross. `xscale` is "log" (step 0 kept at its left end) or "linear"; `yscale` "log", "linear" or
    "auto" (log for gradient norms, and where the values are positive, or 0, with a ratio above 20; exactly 0 is drawn
    at the axis's lower end). `ax` takes one panel; else the figure is `width` inches wide.

    Runs on a plane, `trajectory.on(plane)`, have the distance from it as the variable "residual". With the plane's
    `surface`, thin dots beside the curves show what it has at the runs' coordinates, where a picture of it draws them.

    Raises: ValueError for an unknown variable or scale, for several panels with `ax` or `surface`, and for a surface
    of another objective, chart or penalty.
    """
    data = _data(runs, variable)
    _check_scales(xscale, yscale)
    swept = "penalty" in data.dims
    split = swept and data.sizes.get("optimizer", 1) > 1
    _check_panels(data, split, ax, surface)
    values = data[variable].where(data["finite"]).to_numpy()
    log = _is_log(variable, values) if yscale == "auto" else yscale == "log"
    floor = _floor(values) if log else None
    if floor is not None:
        data = data.assign({variable: data[variable].where(data[variable] != 0, floor)})
    parts = [data.isel(penalty=i) for i in range(data.sizes["penalty"])] if split else [data]
    with style.context():
        if ax is None:
            figure, axes = _figure(len(parts), width)
        else:
            figure, axes = _page.canvas(ax, 0.0)
            axes = [axes]
        for axis, part in zip(axes, parts, strict=True):
            _draw(axis, part, variable, by_penalty=swept and not split)
            _page.title(axis, str(part["penalty"].item()) if split else "")
            _curves.step_axis(axis, xscale, int(data["step"].max()))
            if log:
                axis.set_yscale("log")
            spec = axis.get_subplotspec()
            first = spec is None or spec.is_first_col()
            axis.set(xlabel="step", ylabel=_panels.label_of(data[variable]) if first else "")
        if surface is not None:
            _draw_shown(axes[0], runs, surface, variable)
        if log:  # after the last panel: they share the axis
            low, high = axes[0].get_ylim()
            axes[0].set_ylim(max(low, _DEEPEST * high) if floor is None else floor, high)
        entries, signs = _handles(data, by_penalty=swept and not split)
        signs += [_curves.thin_handle()] if surface is not None else []
        _page.finish(figure, axes[0], [entries, signs], own=ax is None)
    return figure


def _data(runs: Any, variable: str) -> xr.Dataset:
    data = getattr(runs, "data", runs) if not isinstance(runs, xr.Dataset) else runs
    if not isinstance(data, xr.Dataset) or "step" not in data.dims:
        raise TypeError(
            f"`runs` is a {type(runs).__name__}; it must be a Trajectory (from landscape.descend) or its data."
        )
    known = [str(v) for v in data.data_vars if "step" in data[v].dims and v != "finite"]
    if variable not in known:
        raise ValueError(f"`variable` is {variable!r}; the runs recorded {', '.join(known)}.")
    return data.transpose(*(d for d in ("optimizer", "penalty", "start") if d in data.dims), "step")


def _check_panels(data: xr.Dataset, split: bool, ax: Axes | None, surface: xr.Dataset | None) -> None:
    if split and (ax is not None or surface is not None):
        name = "ax" if surface is None else "surface"
        raise ValueError(
            f"`{name}` takes one panel, but `runs` hold {data.sizes['optimizer']} optimizers and "
            f"{data.sizes['penalty']} penalties. Select a penalty (runs.data.sel(penalty=...)), or leave `{name}` out."
        )


def _check_scales(xscale: str, yscale: str) -> None:
    for name, value, known in (("xscale", xscale, ("log", "linear")), ("yscale", yscale, ("auto", "log", "linear"))):
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


def _figure(count: int, width: float | None) -> tuple[Figure, list[Axes]]:
    width = width or (style.SINGLE if count == 1 else style.DOUBLE)
    columns = min(count, max(1, int(width / 1.45)))
    rows = -(-count // columns)
    figure = style.figure(width, rows * (0.62 * width if count == 1 else 1.7))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, list(axes.flat[:count])


def _draw(axes: Axes, data: xr.Dataset, variable: str, by_penalty: bool) -> None:
    """The curves of one panel: one group of starts an optimizer, or a penalty."""
    dim = "penalty" if by_penalty else "optimizer"
    groups = [data.isel({dim: i}) for i in range(data.sizes[dim])] if dim in data.dims else [data]
    looks = _runs.penalty_looks(data, data.attrs) if by_penalty else []
    steps = data["step"].to_numpy()
    for i, group in enumerate(groups):
        group = group.squeeze([d for d in ("optimizer", "penalty") if d in group.dims])
        shown = _runs.look(str(group["optimizer"].item()) if "optimizer" in group.coords else _runs.UNNAMED)
        look = looks[i] if by_penalty else {"color": shown.color, "linestyle": shown.linestyle}
        line = {"color": look["color"], "linestyle": look["linestyle"]}
        values = np.atleast_2d(group[variable].where(group["finite"]).to_numpy())
        _curves.runs(axes, steps, values, line, {} if by_penalty else _curves.markers(shown, steps))


def _draw_shown(axes: Axes, runs: Any, surface: xr.Dataset, variable: str) -> None:
    """What the surface has at the runs' coordinates."""
    names = _panels.coordinates(surface, variable)
    _panels.single(surface, variable, "trajectory")
    _panels.one_split(surface, variable)
    for group in _runs.by_name(_runs.by_penalty(_runs.read(runs, surface, names))).values():
        steps = max((run.steps for run in group), key=len)
        rows = _runs.aligned([_truth.under(surface, variable, names, run) for run in group], len(steps))
        _curves.thin(axes, steps, rows, group[0].look.color)


def _handles(data: xr.Dataset, by_penalty: bool) -> list[list[Any]]:
    if by_penalty:
        entries = [Line2D([], [], **look) for look in _runs.penalty_looks(data, data.attrs)]
    else:
        names = np.atleast_1d(data["optimizer"]) if "optimizer" in data.coords else []
        entries = _paths.line_handles({str(name): _runs.look(str(name)) for name in names})
    signs: list[Any] = []
    if data.sizes.get("start", 1) > _curves.FEW:
        signs.append(_curves.band_handle(f"{data.sizes['start']} starts"))
    if not bool(data["finite"].all()):
        signs.append(Line2D([], [], markersize=4, label="became non-finite", **_paths.FAILED))
    return [entries, signs]
