"""Basins of attraction: a color for each minimum, darker where it takes longer to come there.

>>> import landscape as ls
>>> from landscape.plot.basins import basins
>>> figure = basins(ls.basins(objective, chart, axes, optimizer, 500))        # doctest: +SKIP
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landscape.plot import _mesh, _page, _panels, style
from landscape.plot._panels import Panel

_COLORS = (style.SKY, style.ORANGE, style.GREEN, style.PURPLE, style.YELLOW, style.BLUE, style.VERMILLION)
_OTHERS = "#8A7A66"  # of minima beyond these
_LOST = "#C8C8C8"  # of starts that have not converged
_PALE, _DARK = 0.55, -0.45  # share of white where a run is fastest, and of black where it is slowest
_RARE = 0.02  # share of the starts at either end whose shade is that of the next
_ON_CHART = 1e-2  # of the window's diagonal: a minimum this close to the chart is marked


def basins(data: xr.Dataset, *, ax: Axes | None = None, width: float = style.SINGLE) -> Figure:
    """The basins of attraction that `landscape.basins` found over two coordinates.

    Each minimum has a color, those of most starts first; seven have one of their own. It is pale where a run takes few
    steps and dark where it takes many, by the logarithm of the steps, the extreme 2% of the starts alike. Starts from
    which nothing converges are grey, those whose run became non-finite hatched. Stars are minima in the window, no
    farther from the chart than 1% of its diagonal. Draws into `ax`, or on a new figure `width` inches wide.

    Raises: ValueError if `data` holds no basins, or not two coordinates.
    """
    if "minimum" not in data or "steps_taken" not in data:
        raise ValueError(
            "`data` holds no basins: it lacks `minimum` and `steps_taken`. Give what landscape.basins returned; its "
            "store holds the ends alone, and the same call gives the labels."
        )
    panel = _panels.read(data, "minimum")[0]
    x, y = _panels.plane(data, "minimum")
    labels = np.where(np.isfinite(panel.values), panel.values, -2).astype(int)
    steps = data["steps_taken"].sortby([x, y]).transpose(y, x).to_numpy()
    with style.context():
        figure, axes = _page.canvas(ax, width, square=True)
        colors = _colors(labels, steps)
        axes.pcolormesh(panel.x, panel.y, colors, shading="nearest", rasterized=True)
        _mesh.hatch(axes, panel.x, panel.y, labels == -2, _mesh.HATCH)
        _page.frame(axes, panel)
        near, at = _minima(data, panel, (x, y))
        stars = _stars(axes, at[near])
        entries = _entries(data, labels, near, at) + stars
        _page.finish(figure, axes, [entries], own=ax is None, remark=_remark(labels, steps), handlelength=1.2)
    return figure


def _color(label: int) -> str:
    return _COLORS[label] if label < len(_COLORS) else _OTHERS


def _shade(steps: np.ndarray) -> np.ndarray:
    """From 0 for the fastest runs to 1 for the slowest, by the logarithm of the steps; outliers count no further."""
    logs = np.log1p(steps)
    low, high = np.quantile(logs, (_RARE, 1 - _RARE)) if logs.size else (0.0, 0.0)
    return np.clip((logs - low) / (high - low), 0, 1) if high > low else np.full(logs.shape, 0.5)


def _colors(labels: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """RGB of every cell, (rows, columns, 3)."""
    colors = np.broadcast_to(to_rgb(_LOST), (*labels.shape, 3)).copy()
    found = labels >= 0
    base = np.array([to_rgb(_color(label)) for label in labels[found].tolist()]).reshape(-1, 3)
    mix = (_PALE + (_DARK - _PALE) * _shade(steps[found]))[:, None]
    colors[found] = np.where(mix > 0, base + mix * (1 - base), base * (1 + mix))
    return colors


def _minima(data: xr.Dataset, panel: Panel, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """(whether each minimum lies on the chart, its two coordinates there)."""
    at = np.stack([data["minimum_at"].sel(coordinate=name).to_numpy() for name in names], axis=-1).astype(float)
    diagonal = _panels.diagonal(data, names) or float(np.hypot(np.ptp(panel.x), np.ptp(panel.y)))
    return data["minimum_residual"].to_numpy() <= _ON_CHART * diagonal, at


def _stars(axes: Axes, at: np.ndarray) -> list[Any]:
    """Mark the minima that lie in the window; returns the legend's entry."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    inside = at[((at >= [left, low]) & (at <= [right, high])).all(axis=1)]
    if not len(inside):
        return []
    look = style.kind_style("minimum")
    axes.plot(*inside.T, zorder=6, clip_on=False, **look)
    return [Line2D([], [], label="minimum", **look)]


def _entries(data: xr.Dataset, labels: np.ndarray, near: np.ndarray, at: np.ndarray) -> list[Any]:
    """The legend's entries: each minimum by where it is, or, off the chart, by its objective."""
    values = data["minimum_objective"].to_numpy().tolist()
    entries = []
    for i in range(min(len(values), len(_COLORS))):
        where = (
            f"({at[i, 0]:.2f}, {at[i, 1]:.2f})" if near[i] else f"objective {_page.plain(float(f'{values[i]:.2g}'))}"
        )
        entries.append(_swatch(_color(i), f"ends at {where}".replace("-", "−")))
    more = len(values) - len(_COLORS)
    entries += [_swatch(_OTHERS, f"{more} other {'minimum' if more == 1 else 'minima'}")] * (more > 0)
    entries += [_swatch(_LOST, "not converged")] * bool((labels == -1).any())
    return entries + [Patch(label="not finite", **_mesh.HATCH)] * bool((labels == -2).any())


def _swatch(color: str, label: str) -> Patch:
    return Patch(facecolor=color, label=label, path_effects=[style.OnSurface()])


def _remark(labels: np.ndarray, steps: np.ndarray) -> str:
    taken = steps[labels >= 0]
    return f"darker: more steps, {taken.min()} to {taken.max()}" if taken.size and np.ptp(taken) else ""
