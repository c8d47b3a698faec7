"""Scales for the colors of one variable: linear, or logarithmic where the values ask for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from landscape.plot import _panels
from landscape.plot._panels import Panel

_WIDE = 100.0  # a ratio of the values from which on a logarithmic scale reads better
_DEEPEST = 1e-12  # the logarithmic scale ends this far below its top: what is smaller is rounding


def is_log(values: Sequence[np.ndarray], log: bool | None) -> bool:
    """Whether to draw on a logarithmic scale: as asked, else where all is positive and spans a ratio of 100."""
    if log is not None:
        return log
    finite = np.concatenate([v[np.isfinite(v)].ravel() for v in values])
    return finite.size > 0 and bool(finite.min() > 0) and bool(finite.max() > _WIDE * finite.min())


def norm(panels: Sequence[Panel], log: bool | None = None) -> Normalize:
    """One scale for these panels, black at their least value (on a logarithmic scale: least positive value)."""
    values = np.concatenate([panel.finite for panel in panels])
    if is_log([values], log):
        values = values[values > 0]
        if values.size == 0:
            return LogNorm(0.1, 1.0)
        high = float(values.max())
        low = max(float(values.min()), _DEEPEST * high)
        return LogNorm(low, high if high > low else 10 * low, clip=True)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return Normalize(low, high if high > low else low + 1.0)


def levels(scale: Normalize, count: int = 7) -> list[float]:
    """Round values inside the scale for contour lines."""
    low, high = float(scale.vmin), float(scale.vmax)  # type: ignore[arg-type]
    if isinstance(scale, LogNorm):
        found = LogLocator(base=10, subs=_subs(high / low), numticks=count + 2).tick_values(low, high)
    else:
        found = MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{level:.12g}") for level in found if low < level < high]


def _subs(ratio: float) -> tuple[float, ...]:
    return (1.0, 2.0, 5.0) if ratio < 300 else (1.0, 3.0) if ratio < 1e4 else (1.0,)


def bar(figure: Figure, axes: Sequence[Axes] | Axes, drawn: Any, label: str) -> None:
    """The color bar of a mesh on such a scale."""
    made = _panels.colorbar(figure, drawn, axes, label)
    if isinstance(drawn.norm, LogNorm):
        ticks = levels(drawn.norm, 6)
        _panels.set_ticks(made, ticks if len(ticks) > 1 else [float(drawn.norm.vmin), float(drawn.norm.vmax)])
