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
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from landscape.plot import _page, _panels, _paths, _runs, _scales, style

_FEW = 8  # starts up to which each run is drawn; beyond, their median and a band
_QUANTILES = (0.1, 0.9)
_DEEPEST = 1e-16  # a logarithmic axis ends this far below its top: lower values tell nothing and flatten the rest


def trajectory(
    runs: Any,
    variable: str = "objective",
    *,
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

    Raises: ValueError for an unknown variable or scale, or for several panels with `ax`.
    """
    data = _data(runs, variable)
    _check_scales(xscale, yscale)
    optimizers = data.sizes.get("optimizer", 1)
    swept = "penalty" in data.dims
    split = swept and optimizers > 1
    if split and ax is not None:
        raise ValueError(
            f"`ax` takes one panel, but `runs` hold {optimizers} optimizers and {data.sizes['penalty']} penalties. "
            "Select a penalty (runs.data.sel(penalty=...)), or leave `ax` out."
        )
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
            _scale(axis, xscale, log, int(data["step"].max()))
            spec = axis.get_subplotspec()
            first = spec is None or spec.is_first_col()
            axis.set(xlabel="step", ylabel=_panels.label_of(data[variable]) if first else "")
        if log:  # after the last panel: they share the axis
            low, high = axes[0].get_ylim()
            axes[0].set_ylim(max(low, _DEEPEST * high) if floor is None else floor, high)
        _page.finish(figure, axes[0], _handles(data, by_penalty=swept and not split), own=ax is None)
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


def _check_scales(xscale: str, yscale: str) -> None:
    for name, value, known in (("xscale", xscale, ("log", "linear")), ("yscale", yscale, ("auto", "log", "linear"))):
        if value not in known:
            raise ValueError(f"`{name}` is {value!r}; it must be one of {', '.join(map(repr, known))}.")


def _is_log(variable: str, values: np.ndarray) -> bool:
    """As for colors; and where a run came to exactly 0."""
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
    for i, group in enumerate(groups):
        group = group.squeeze([d for d in ("optimizer", "penalty") if d in group.dims])
        shown = _runs.look(str(group["optimizer"].item()) if "optimizer" in group.coords else _runs.UNNAMED)
        look = looks[i] if by_penalty else {"color": shown.color, "linestyle": shown.linestyle}
        line = {"color": look["color"], "linestyle": look["linestyle"]}
        values = np.atleast_2d(group[variable].where(group["finite"]).to_numpy())
        steps = group["step"].to_numpy()
        marker = (
            {}
            if by_penalty
            else {
                "marker": shown.marker,
                "markevery": _markers(steps),
                "markersize": 3,
                "markeredgecolor": "white",
                "markeredgewidth": 0.4,
            }
        )
        if len(values) > _FEW:
            _band(axes, steps, values, line, marker)
        else:
            for row in values:
                axes.plot(steps, row, linewidth=1.1 if len(values) == 1 else 0.7, **line, **marker)
        _crosses(axes, steps, values)


def _markers(steps: np.ndarray) -> list[int]:
    """Indices of a few markers, evenly spread on a logarithmic axis."""
    if len(steps) < 3:
        return [len(steps) - 1]
    wanted = np.geomspace(1, max(steps[-1], 2), 7)[1:]
    return sorted({int(np.argmin(np.abs(steps - w))) for w in wanted})


def _band(axes: Axes, steps: np.ndarray, values: np.ndarray, line: dict[str, Any], marker: dict[str, Any]) -> None:
    """Median and quantiles over the runs still finite at each step; nothing where none is."""
    alive = np.isfinite(values).any(axis=0)
    low, middle, high = np.nanquantile(values[:, alive], (_QUANTILES[0], 0.5, _QUANTILES[1]), axis=0)
    axes.fill_between(steps[alive], low, high, color=line["color"], alpha=0.16, linewidth=0)
    curve = np.full(len(steps), np.nan)
    curve[alive] = middle
    axes.plot(steps, curve, linewidth=1.2, **line, **marker)


def _crosses(axes: Axes, steps: np.ndarray, values: np.ndarray) -> None:
    """A cross at the last finite value of each run that became non-finite."""
    for row in values:
        good = np.isfinite(row)
        if good.any() and not good[-1]:
            last = int(np.flatnonzero(good)[-1])
            axes.plot(steps[last], row[last], markersize=4, zorder=5, **_paths.FAILED)


def _scale(axes: Axes, xscale: str, log: bool, last: int) -> None:
    if xscale == "log":
        axes.set_xscale("symlog", linthresh=1, linscale=0.35)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _page.plain(value)))
        axes.xaxis.set_minor_locator(NullLocator())
    if log:
        axes.set_yscale("log")
    axes.set_xlim(0, max(last, 1))
    axes.grid(True, which="major")
    axes.spines[["top", "right"]].set_visible(False)


def _handles(data: xr.Dataset, by_penalty: bool) -> list[list[Any]]:
    if by_penalty:
        entries = [Line2D([], [], **look) for look in _runs.penalty_looks(data, data.attrs)]
    else:
        names = np.atleast_1d(data["optimizer"]) if "optimizer" in data.coords else []
        entries = _paths.line_handles({str(name): _runs.look(str(name)) for name in names})
    signs: list[Any] = []
    if data.sizes.get("start", 1) > _FEW:
        signs.append(Patch(facecolor="#BBBBBB", label=f"median and 10–90% of {data.sizes['start']} starts"))
    if not bool(data["finite"].all()):
        signs.append(Line2D([], [], markersize=4, label="became non-finite", **_paths.FAILED))
    return [entries, signs]
