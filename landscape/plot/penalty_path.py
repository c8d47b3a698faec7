"""Parameters against the strength λ of a penalty, and beneath them the held-out risk by which λ is chosen.

>>> import landscape as ls
>>> path = ls.penalty_path(neuron, strengths, penalty=ls.l1(1.0))         # doctest: +SKIP
>>> chosen = ls.choose_strength(neuron, strengths, penalty=ls.l1(1.0))    # doctest: +SKIP
>>> figure = ls.plot.penalty_path(path, chosen, names=("age", "dose"))    # doctest: +SKIP
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landscape import _checks
from landscape.plot import _mesh, _page, _panels, _scales, style

_LOOKS = (  # of the parameters that are told apart
    *((color, style.dashes(0)) for color in (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE)),
    *((color, style.dashes(0)) for color in (style.SKY, style.BLACK)),
    ("#8C510A", style.dashes(1)),
)
_OTHER: dict[str, Any] = {"color": "#B5B5B5", "linewidth": 0.6}
_ZERO: dict[str, Any] = {"marker": "o", "linestyle": "none", "markerfacecolor": "white"}  # where a parameter is 0
_BEST: dict[str, Any] = {"color": style.INK, "linestyle": style.dashes(2), "linewidth": 0.9}
_ONE: dict[str, Any] = {"color": style.INK, "linestyle": style.dashes(1), "linewidth": 0.7}
_WEIGHTS = ("w", "W", "kernel", "weight", "embedding")  # last keys of weights, as in a penalty's scope
_ROUNDING = 1e-9  # of the largest parameter
_TALLEST = 4.6  # inches: panels of wider figures are as high as those of this width
_STRIP = 0.3  # the share of the width that labels at the ends of lines may take
_APART = 8.0  # points from label to label
_DARKER = 0.8  # than their lines: letters are thin
_LEADER = 10.0  # points from a line's end to its label


def penalty_path(
    path: Any,
    chosen: xr.Dataset | None = None,
    *,
    names: Sequence[str] | Mapping[str, str] | None = None,
    ax: Axes | None = None,
    width: float = style.SINGLE,
) -> Figure:
    """The minimizers of R + λΩ against λ, a line a parameter; with `chosen` the held-out risk beneath them.

    `path`: of `landscape.penalty_path`, or its `data`, of which parameters may be left out, such as the bias:
    `path.data.drop_sel(parameter="b")`. At most 8 parameters have colors: those that are never 0, then the largest
    ones; the others are gray. `names`: what to call them, a sequence with a name a weight, or a mapping from names of
    parameters ("w[0]", "b") to labels. Labels stand at the lines' ends at the least λ where there is room, else in the
    legend.

    A circle is an exact zero: where a parameter becomes 0, or is no longer 0; in between it has no line. Lines are
    interrupted, and the stretch is hatched, where minimizers were not found. λ is on a logarithmic axis, at whose left
    end λ = 0 is kept.

    `chosen`: of `landscape.choose_strength` for the same objective and penalty. The second panel has the mean held-out
    risk and one standard error on either side, on a logarithmic scale where it is positive with a ratio above 20, and
    hatching where a minimizer of a block was not found; both panels have lines at `best` and `one_standard_error`.
    Draws into `ax`, which takes one panel, or on a new figure `width` inches wide.

    Raises: TypeError for what is no path, or not chosen; ValueError for names that do not fit, for other parameters or
    another penalty in `chosen`, and for `ax` beside it.
    """
    data = _data(path)
    held_out = _held_out(chosen, data)
    labels = _labels(names, [str(name) for name in data["parameter"].to_numpy()])
    if ax is not None and held_out is not None:
        raise ValueError("`ax` takes one panel, and `chosen` adds a second one. Leave one of them out.")
    with style.context():
        figure, axes = _figure(ax, width, held_out is not None)
        _axis(axes, [data] if held_out is None else [data, held_out])
        told, entries = _draw(axes[0], data, labels)
        failed = _draw_failed(axes[0], data)
        marks: list[Line2D] = []
        if held_out is not None:
            marks = _draw_chosen(axes, held_out)
            _draw_held_out(axes[1], held_out)
            failed = failed or _draw_failed(axes[1], held_out)
        ends = _ends(figure, axes, told)
        groups = [[] if ends else told, entries, marks, failed]
        _page.finish(figure, axes[0], groups, own=ax is None, handlelength=2.0)
        if ax is None:
            _grow(figure)
        _label(axes[0], ends)
    return figure


# ---- what is given


def _data(path: Any) -> xr.Dataset:
    """The path's data, λ ascending."""
    data = path if isinstance(path, xr.Dataset) else getattr(path, "data", None)
    if (
        not isinstance(data, xr.Dataset)
        or not {"coefficient", "converged"} <= set(data.data_vars)
        or set(data["coefficient"].dims) != {"strength", "parameter"}
    ):
        raise TypeError(
            f"`path` is {_checks.kind(path)}; it must be what landscape.penalty_path returns, or its data, over "
            "strength and parameter."
        )
    if not data["coefficient"].size:
        raise ValueError("`path` has no strength or no parameter left; select at least one of each.")
    return data.sortby("strength")


def _held_out(chosen: Any, data: xr.Dataset) -> xr.Dataset | None:
    """What was chosen, λ ascending, if it is of the path's parameters and penalty."""
    if chosen is None:
        return None
    wanted = {"mean", "standard_error", "best", "one_standard_error", "converged"}
    if not isinstance(chosen, xr.Dataset) or not wanted <= set(chosen.data_vars):
        raise TypeError(f"`chosen` is {_checks.kind(chosen)}; it must be what landscape.choose_strength returns.")
    known = [str(name) for name in chosen["parameter"].to_numpy()] if "parameter" in chosen.coords else None
    for name in data["parameter"].to_numpy():
        if known is not None and str(name) not in known:
            raise ValueError(
                f"`chosen` is of other parameters ({', '.join(known)}) than `path`, which has {str(name)!r}. Choose "
                "the strength with the path's objective."
            )
    for noun in ("penalty", "objective_id"):
        ours, theirs = data.attrs.get(noun), chosen.attrs.get(noun)
        if None not in (ours, theirs) and ours != theirs:
            raise ValueError(
                f"`chosen` is of another {noun.removesuffix('_id')} than `path`.\n  path: {ours}\n  chosen: {theirs}\n"
                "Choose the strength with the path's objective and penalty."
            )
    return chosen.sortby("strength")


def _labels(names: Any, parameters: list[str]) -> list[str]:
    """What each parameter is called."""
    if names is None:
        return parameters
    if isinstance(names, Mapping):
        _checks.labels("names", names, '{"w[0]": "age"}')
        for name in names:
            if name not in parameters:
                raise ValueError(f"`names` has {name!r}; the parameters of `path` are {', '.join(parameters)}.")
        return [str(names.get(parameter, parameter)) for parameter in parameters]
    if isinstance(names, str) or np.ndim(names) != 1:
        raise TypeError(
            f"`names` is {_checks.kind(names)}; give a sequence with a name a weight, or a mapping from names of "
            'parameters, {"w[0]": "age"}.'
        )
    weights = [parameter for parameter in parameters if _is_weight(parameter)] or parameters
    if len(names) != len(weights):
        shown = ", ".join(weights[:8]) + (", …" if len(weights) > 8 else "")
        raise ValueError(
            f"`names` has {len(names)} names, and `path` {len(weights)} weights ({shown}); give each one, or a mapping "
            "from names of parameters to labels."
        )
    called = dict(zip(weights, map(str, names), strict=True))
    return [called.get(parameter, parameter) for parameter in parameters]


def _is_weight(parameter: str) -> bool:
    """Whether an entry, such as w[0], is one of a leaf of weights."""
    return re.split(r"\W+", re.sub(r"\[[\d,]*\]$", "", parameter))[-1] in _WEIGHTS


# ---- the panels


def _figure(ax: Axes | None, width: float, two: bool) -> tuple[Figure, list[Axes]]:
    if ax is not None:
        return ax.get_figure(root=True), [ax]  # type: ignore[return-value]
    size = min(width, _TALLEST)
    figure = style.figure(width, (1.02 if two else 0.66) * size)
    axes = figure.subplots(1 + two, 1, sharex=True, squeeze=False, height_ratios=[1.75, 1][: 1 + two])
    return figure, list(axes.flat)


def _axis(axes: Sequence[Axes], data: Sequence[xr.Dataset]) -> None:
    """The axis of λ, which the panels share."""
    strengths = np.concatenate([one["strength"].to_numpy() for one in data])
    positive = strengths[strengths > 0]
    if positive.size:
        zero = bool((strengths == 0).any())
        _scales.log_axis(axes[0], float(positive.min()), float(positive.max()), zero=zero)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("strength $λ$")


def _told(theta: np.ndarray, found: np.ndarray) -> list[int]:
    """Which parameters of (strength, parameter) are told apart, in their order: those never 0, then the largest.

    What is 0 to rounding, such as the bias of centered data, is among the largest or not at all.
    """
    some = theta[found]
    largest = np.abs(some).max(axis=0, initial=0.0)
    never = (some != 0).all(axis=0) & (largest > _ROUNDING * largest.max())
    ranked = [int(i) for i in np.lexsort((-largest, ~never)) if largest[i] > 0]
    return sorted(ranked[: len(_LOOKS)])


def _draw(axes: Axes, data: xr.Dataset, labels: Sequence[str]) -> tuple[list[Line2D], list[Any]]:
    """A line a parameter; returns those that are told apart, and the legend's other entries."""
    strengths, found = data["strength"].to_numpy(), _found(data)
    theta = data["coefficient"].transpose("strength", "parameter").to_numpy()
    chosen = _told(theta, found)
    axes.plot(strengths[[0, -1]], [0.0, 0.0], color=style.GRID, linewidth=0.6, zorder=0)
    told: list[Line2D] = []
    zeros, others = False, 0
    for i, label in enumerate(labels):
        shown = np.where(_seen(theta[:, i] * found) & found, theta[:, i], np.nan)
        look, size = (dict(_OTHER), 2.0)
        if i in chosen:
            color, linestyle = _LOOKS[len(told)]
            look, size = {"color": color, "linestyle": linestyle, "linewidth": 1.1, "label": label}, 3.0
        line = _curve(axes, strengths, shown, look | {"zorder": 2.5 if i in chosen else 2})
        ends = shown == 0
        axes.plot(strengths[ends], shown[ends], color=look["color"], markersize=size, zorder=3, **_ZERO)
        zeros |= bool(ends.any())
        others += i not in chosen and bool(np.isfinite(shown).any())
        told += [line] if i in chosen else []
    axes.set_ylabel(_panels.label_of(data["coefficient"]))
    entries: list[Any] = [Line2D([], [], label=f"the other {others}" if others > 1 else "the other", **_OTHER)]
    circle = Line2D([], [], color="#555555", markersize=3, label="exactly 0", **_ZERO)
    return told, entries * bool(others) + [circle] * zeros


def _seen(values: np.ndarray) -> np.ndarray:
    """Where a parameter is not 0, and the zeros beside that."""
    nonzero = np.concatenate([[False], values != 0, [False]])
    return nonzero[1:-1] | nonzero[:-2] | nonzero[2:]


def _curve(axes: Axes, x: np.ndarray, y: np.ndarray, look: dict[str, Any]) -> Line2D:
    """A line with gaps, and a dot where a value between two gaps is no line."""
    (line,) = axes.plot(x, y, **look)
    there = np.concatenate([[False], np.isfinite(y), [False]])
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    if alone.any():
        dots = {name: value for name, value in look.items() if name in ("color", "zorder")}
        axes.plot(x[alone], y[alone], marker=".", linestyle="none", markersize=4, **dots)
    return line


def _found(data: xr.Dataset) -> np.ndarray:
    """At which strengths all minimizers were found."""
    found = data["converged"].astype(bool)
    return found.all([dim for dim in found.dims if dim != "strength"]).to_numpy()


def _draw_failed(axes: Axes, data: xr.Dataset) -> list[Any]:
    """Hatch the strengths whose minimizers were not found; the legend's entry."""
    failed = ~_found(data)
    _scales.hatch_spans(axes, data["strength"].to_numpy(), failed, _mesh.HATCH)
    return [Patch(label="did not converge", **_mesh.HATCH)] if failed.any() else []


def _draw_held_out(axes: Axes, chosen: xr.Dataset) -> None:
    """The mean held-out risk and its standard error."""
    strengths, color = chosen["strength"].to_numpy(), "#444444"
    found = _found(chosen)
    mean, error = (np.where(found, chosen[name], np.nan) for name in ("mean", "standard_error"))
    axes.fill_between(strengths, mean - error, mean + error, color=color, alpha=0.2, linewidth=0)
    _curve(axes, strengths, mean, {"color": color, "linewidth": 1.1})
    if np.isfinite(mean).any() and _scales.is_log("mean", [mean], None):
        axes.set_yscale("log")
    axes.set_ylabel("held-out risk\n±\N{NO-BREAK SPACE}standard error", linespacing=1.0)


def _draw_chosen(axes: Sequence[Axes], chosen: xr.Dataset) -> list[Line2D]:
    """Lines at the strengths to take; returns the legend's entries."""
    best, one = float(chosen["best"]), float(chosen["one_standard_error"])
    texts = {"best": (best, _BEST), "one standard error": (one, _ONE)}
    if best == one:
        texts = {"best, one standard error": (best, _BEST)}
    entries = []
    for text, (strength, look) in texts.items():
        if np.isfinite(strength):
            for axis in axes:
                axis.axvline(strength, zorder=1, **look)
            entries.append(Line2D([], [], label=f"{text}, $λ$ = {_page.plain(float(f'{strength:.3g}'))}", **look))
    return entries


def _grow(figure: Figure) -> None:
    """Give the legend a height of its own, that the panels keep theirs."""
    height = sum(box.get_window_extent().height for box in figure.legends) / figure.dpi
    figure.set_figheight(figure.get_figheight() + height)
    figure.draw_without_rendering()


# ---- labels at the ends of lines


def _ends(figure: Figure, axes: Sequence[Axes], told: Sequence[Line2D]) -> list[Line2D]:
    """The lines that get labels at their ends, all or none; makes room for them at the left."""
    figure.draw_without_rendering()
    points, box = 72 / figure.dpi, axes[0].get_window_extent()
    texts = [axes[0].text(0.5, 0.5, str(line.get_label()), transform=axes[0].transAxes) for line in told]
    share = max((text.get_window_extent().width * points for text in texts), default=0.0) + _LEADER + 4
    share /= box.width * points
    for text in texts:
        text.remove()
    if not told or share > _STRIP or len(told) * _APART > 0.9 * box.height * points:
        return []
    scale = axes[0].xaxis.get_transform()
    low, high = (float(scale.transform(value)) for value in axes[0].get_xlim())
    axes[0].set_xlim(left=float(scale.inverted().transform((low - share * high) / (1 - share))))
    return list(told)


def _label(axes: Axes, lines: Sequence[Line2D]) -> None:
    """Labels left of the lines' ends, moved apart, with leaders to where the lines end."""
    if not lines:
        return
    figure = axes.figure
    points = 72 / figure.dpi
    ends = []
    for line in lines:
        x, y = (np.asarray(values, float) for values in line.get_data())
        first = int(np.argmax(np.isfinite(y)))
        ends.append((x[first], y[first]))
    places = axes.transData.transform(ends) * points
    box = axes.get_window_extent()
    heights = _spread(places[:, 1], _APART, (box.y0 * points + _APART / 2, box.y1 * points - _APART / 2))
    least = min(float(np.min(line.get_xdata())) for line in lines)
    left = axes.transData.transform((least, 0.0))[0] * points - _LEADER
    for line, end, place, height in zip(lines, ends, places, heights, strict=True):
        axes.annotate(
            str(line.get_label()),
            end,
            (left - place[0], height - place[1]),
            textcoords="offset points",
            color=_DARKER * np.array(to_rgb(line.get_color())),
            fontsize=7.5,
            ha="right",
            va="center_baseline",
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": line.get_color(), "shrinkA": 1, "shrinkB": 1},
        )


def _spread(places: np.ndarray, apart: float, window: tuple[float, float]) -> np.ndarray:
    """Places in the window, each as near to its own as it can be at such a distance from the others.

    In their order, less the distances, places must not fall: a monotone regression.
    """
    order = np.argsort(places, kind="stable")
    count = len(places)
    own = places[order] - apart * np.arange(count)
    means = np.array([[own[a : b + 1].mean() if a <= b else np.inf for b in range(count)] for a in range(count)])
    moved = np.array([max(means[a, i:].min() for a in range(i + 1)) for i in range(count)])
    moved = np.clip(moved, window[0], max(window[0], window[1] - apart * (count - 1)))
    found = np.empty(count)
    found[order] = moved + apart * np.arange(count)
    return found
