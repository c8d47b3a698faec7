"""Several curves of one look in one panel: each, or the median and a band of many; and the axis of steps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox, TransformedBbox

from landscape.plot import _page, _paths
from landscape.plot.style import LineStyle

FEW = 8  # runs up to which each is drawn; beyond, their median and a band
THIN: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.8, "linestyle": (0, (1.0, 1.2))}


def runs(
    axes: Axes,
    steps: np.ndarray,
    values: np.ndarray,
    failed: Sequence[bool],
    line: dict[str, Any],
    marker: dict[str, Any],
) -> None:
    """Runs against the step, `values` of shape (runs, steps), NaN from where one ends; a cross there if it failed."""
    if len(values) > FEW:
        band(axes, steps, values, (0.1, 0.9), line | marker)
    else:
        for row in values:
            whole(axes, axes.plot(steps, row, linewidth=1.1 if len(values) == 1 else 0.7, **line, **marker))
    for row in (row for row, cross in zip(values, failed, strict=True) if cross):
        good = np.flatnonzero(np.isfinite(row))
        if good.size:
            last = int(good[-1])
            whole(axes, axes.plot(steps[last], row[last], markersize=4, zorder=5, **_paths.FAILED))


def whole(axes: Axes, lines: Sequence[Line2D], below: float = 0.0) -> None:
    """Let markers at both ends of the steps be whole; and those at the bottom, by a share of the height, `below` it."""
    around = TransformedBbox(Bbox([[-0.04, -below], [1.04, 1.0]]), axes.transAxes)
    for line in lines:
        line.set_clip_box(around)


def thin(axes: Axes, steps: np.ndarray, values: np.ndarray, color: str) -> None:
    """What a picture shows in the place of these runs: thin dots under their curves, the median of many."""
    shown = values if len(values) <= FEW else _quantiles(values, (0.5,))
    for row in shown:
        axes.plot(steps, row, color=color, zorder=1.9, **THIN)


def thin_handle() -> Line2D:
    """The legend's entry for such dots."""
    return Line2D([], [], color="#555555", label="on the surface", **THIN)


def band(
    axes: Axes,
    x: np.ndarray,
    values: np.ndarray,
    quantiles: tuple[float, float],
    line: dict[str, Any],
    alpha: float = 0.16,
) -> None:
    """The median and a band between two quantiles, over the curves finite at each place; nothing where none is."""
    low, middle, high = _quantiles(values, (quantiles[0], 0.5, quantiles[1]))
    axes.fill_between(x, low, high, color=line["color"], alpha=alpha, linewidth=0)
    whole(axes, axes.plot(x, middle, linewidth=1.2, **line))


def band_handle(of: str) -> Patch:
    """The legend's entry for the bands of runs."""
    return Patch(facecolor="#BBBBBB", label=f"median and 10–90% of {of}")


def _quantiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Quantiles of shape (shares, places) over the values that are finite there; NaN where none is."""
    alive = np.isfinite(values).any(axis=0)
    found = np.full((len(shares), values.shape[1]), np.nan)
    found[:, alive] = np.nanquantile(np.where(np.isfinite(values), values, np.nan)[:, alive], shares, axis=0)
    return found


def markers(look: LineStyle, steps: np.ndarray, log: bool) -> dict[str, Any]:
    """A few of an optimizer's markers, evenly spread on a logarithmic or a linear axis of steps."""
    places = [len(steps) - 1]
    if len(steps) > 2:
        last = max(steps[-1], 2)
        wanted = np.geomspace(1, last, 7)[1:] if log else np.linspace(0, last, 7)
        places = sorted({int(np.argmin(np.abs(steps - w))) for w in wanted})
    edge = {"markersize": 3, "markeredgecolor": "white", "markeredgewidth": 0.4}
    return {"marker": look.marker, "markevery": places, **edge}


def is_log(steps: Sequence[np.ndarray]) -> bool:
    """Whether an axis of these steps, an array a run, is logarithmic: where its first hundredth has a step after 0.

    Every step of a long descent, or steps that double, have something there; checkpoints every so many steps do not.
    """
    first = min((int(some[some > 0].min(initial=some.max())) for some in steps), default=0)
    return 0 < 100 * first <= max((int(some.max()) for some in steps), default=0)


def step_axis(axes: Axes, log: bool, last: int) -> None:
    """The axis of steps; step 0 is kept at the left end of a logarithmic one."""
    if log:
        axes.set_xscale("symlog", linthresh=1, linscale=0.35)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _page.plain(value)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlim(0, max(last, 1))
    axes.grid(True, which="major")
    axes.spines[["top", "right"]].set_visible(False)
