"""Scales, linear, or logarithmic where the values ask for it: for the colors of one variable, and for positions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from landscape.plot import _mesh, _page
from landscape.plot._panels import Panel

_WIDE = 20.0  # a ratio of the values from which on a logarithmic scale reads better
_DECADE = 10.0  # a ratio of positions, evenly spaced in their logarithm, from which on their axis has this spacing too
_UNEVEN = 1e-2  # how far these steps may differ: positions in float32 are rounded
_LABEL = 0.42  # inches: what a number on an axis takes
_ZERO = 0.25  # inches: from 0 to the least positive position
_DEEPEST = 1e-12  # the logarithmic scale ends this far below its top: what is smaller is rounding


def is_log(variable: str, values: Sequence[np.ndarray], log: bool | None) -> bool:
    """Whether to draw on a logarithmic scale: as asked, else gradient norms, and positive values of a wide range."""
    if log is not None:
        return log
    if variable.endswith("gradient_norm"):
        return True
    finite = np.concatenate([v[np.isfinite(v)].ravel() for v in values])
    return finite.size > 0 and bool(finite.min() > 0) and bool(finite.max() > _WIDE * finite.min())


def norm(panels: Sequence[Panel], log: bool) -> Normalize:
    """One scale for these panels.

    Linear: black at the least value of all. Logarithmic: black from where every panel has come to its least positive
    value, or two decades below the top if that is lower.
    """
    values = np.concatenate([panel.finite for panel in panels])
    if not log:
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        return Normalize(low, high if high > low else low + 1.0)
    positive = [panel.finite[panel.finite > 0] for panel in panels]
    positive = [p for p in positive if p.size]
    if not positive:
        return LogNorm(0.1, 1.0)
    high = max(float(p.max()) for p in positive)
    least = [max(float(p.min()), _DEEPEST * high) for p in positive]
    low = max(min(least), min(max(least), 1e-2 * high))
    return LogNorm(low, high if high > low else 10 * low, clip=True)


def levels(scale: Normalize, panel: Panel | None = None, count: int = 7) -> list[float]:
    """Round values for contour lines: inside the scale, or inside one panel's range."""
    low, high = float(scale.vmin), float(scale.vmax)  # type: ignore[arg-type]
    if panel is not None and panel.finite.size:
        low, high = float(panel.finite.min()), float(panel.finite.max())
    if isinstance(scale, LogNorm):
        low = max(low, _DEEPEST * float(scale.vmax))  # type: ignore[arg-type]
    if isinstance(scale, LogNorm):
        found = LogLocator(base=10, subs=_subs(high / low), numticks=count + 2).tick_values(low, high)
    else:
        found = MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{level:.12g}") for level in found if low < level < high]


def _subs(ratio: float) -> tuple[float, ...]:
    return (1.0, 2.0, 5.0) if ratio < 300 else (1.0, 3.0) if ratio < 1e4 else (1.0,)


def one_two_five(value: float) -> float:
    """The largest of …, 0.1, 0.2, 0.5, 1, 2, 5, 10, … that is not above `value` (> 0)."""
    decade = 10.0 ** np.floor(np.log10(value) + 1e-9)
    return float(max(m for m in (1, 2, 5) if m * decade <= value * (1 + 1e-9)) * decade)


def extend(scale: Any, values: np.ndarray) -> str:
    """At which ends a color bar is pointed: where values lie beyond its scale, by 1% of it, which is not seen."""
    if not values.size:
        return "neither"
    low, high = scale.vmin, scale.vmax
    slack = 0.01 * (high - low)
    below = values.min() < (0.99 * low if isinstance(scale, LogNorm) else low - slack)
    above = values.max() > high + slack
    return "both" if below and above else "min" if below else "max" if above else "neither"


def bar(
    figure: Figure, axes: Sequence[Axes] | Axes, drawn: Any, label: str, values: np.ndarray, **options: Any
) -> None:
    """The color bar of a mesh on such a scale, on which these finite values are drawn; none without values."""
    if not values.size:
        return
    made = _page.colorbar(figure, drawn, axes, label, extend=extend(drawn.norm, values), **options)
    scale: Any = drawn.norm
    if isinstance(scale, LogNorm):
        ticks = levels(scale, count=6)
        _page.set_ticks(made, ticks if len(ticks) > 1 else np.array([scale.vmin, scale.vmax], float).tolist())


# ---- positions


def even_in_log(positions: np.ndarray) -> bool:
    """Whether the axis of these positions (k,) is logarithmic: where they are positive and evenly spaced in their
    logarithm, at least three and with a ratio above 10."""
    if len(positions) < 3 or not (positions > 0).all():
        return False
    steps = np.diff(np.log(np.sort(positions)))
    return bool(steps.sum() > np.log(_DECADE) * (1 + 1e-6)) and bool(np.ptp(steps) <= _UNEVEN * steps.mean())


def log_axis(axes: Axes, low: float, high: float, zero: bool = False) -> None:
    """Make the horizontal axis logarithmic from `low` to `high` > 0; `zero` keeps 0 at its left end."""
    high = high if high > low else 10 * low
    width = axes.get_window_extent().width / axes.figure.dpi
    if zero:
        share = min(_ZERO / width, 0.25)
        axes.set_xscale("symlog", linthresh=low, linscale=0.9 * share * np.log10(high / low) / (1 - share))
    else:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.0] * zero + _ticks(low, high, max(3, int(width / _LABEL)))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _page.plain(float(f"{value:.6g}"))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0.0 if zero else low, high)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from `low` to `high`, as many as there is room for."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        every = np.array([factor * 10.0**power for power in powers for factor in factors])
        inside = (low * (1 - 1e-6) <= every) & (every <= high * (1 + 1e-6))  # rounded to float32, 0.001 is above it
        found = np.clip(every[inside], low, high).tolist()
        if len(found) <= most:
            return found if len(found) > 1 else [low, high]
    return found[:: -(-len(found) // most)]


def hatch_spans(axes: Axes, x: np.ndarray, bad: np.ndarray, look: dict[str, Any]) -> None:
    """Hatch the stretches of positions where `bad` holds, with borders half way between them as the axis shows them.

    On an axis that is not linear spans end with the positions.
    """
    if len(x) < 2 or axes.get_xscale() == "linear":
        _mesh.hatch_spans(axes, x, bad, look)
        return
    scale = axes.xaxis.get_transform()
    borders: Any = scale.inverted().transform(_mesh.edges(np.asarray(scale.transform(x))))
    borders = np.clip(borders, x[0], x[-1])
    change = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
    for left, right in zip(change[::2], change[1::2], strict=True):
        axes.axvspan(borders[left], borders[right], zorder=0.5, **look)
