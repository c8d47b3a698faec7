"""What the panels of a surface share: colors, hatching over what is not finite, and numbered contour lines."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from landscape.plot._numbers import Numbers
from landscape.plot._panels import Panel

HATCH: dict[str, Any] = {"facecolor": "#DDDDDD", "edgecolor": "#666666", "hatch": "//////", "linewidth": 0.0}
AWAITED: dict[str, Any] = {"facecolor": "#FFFFFF", "edgecolor": "#888888", "hatch": "....", "linewidth": 0.0}
SMOOTH_CELLS = 20_000  # colors are interpolated on grids of fewer cells, all finite; else each cell is flat


def mesh(axes: Axes, panel: Panel, values: np.ndarray, norm: Normalize, colors: Colormap) -> QuadMesh:
    """The colors, at the grid's own positions (of any spacing), hatching over what is not finite, dots over what is
    not computed yet."""
    smooth = values.size < SMOOTH_CELLS and bool(np.isfinite(values).all())
    drawn = axes.pcolormesh(
        panel.x,
        panel.y,
        np.ma.masked_invalid(values),
        norm=norm,
        cmap=colors,
        rasterized=True,
        shading="gouraud" if smooth else "nearest",
    )
    hatch(axes, panel.x, panel.y, panel.gaps, HATCH)
    if panel.missing is not None:
        hatch(axes, panel.x, panel.y, panel.missing, AWAITED)
    return drawn


def edges(positions: np.ndarray) -> np.ndarray:
    """The borders of the cells around grid positions: midpoints, and half a step beyond both ends."""
    middle = (positions[1:] + positions[:-1]) / 2
    return np.concatenate([[2 * positions[0] - middle[0]], middle, [2 * positions[-1] - middle[-1]]])


def hatch(axes: Axes, x: np.ndarray, y: np.ndarray, bad: np.ndarray, look: dict[str, Any]) -> None:
    """Hatch the cells where `bad`, of shape (len(y), len(x)), holds."""
    if not bad.any():
        return
    boxes = [box for row in range(len(y)) for box in _stretches(bad[row], row)]
    corners = _merged(boxes)
    xs, ys = edges(x), edges(y)
    pieces = [
        [(xs[left], ys[low]), (xs[right], ys[low]), (xs[right], ys[high]), (xs[left], ys[high]), (xs[left], ys[low])]
        for left, right, low, high in corners
    ]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(pieces)
    patch = PathPatch(Path(np.concatenate(pieces), codes), zorder=1.5, **look)
    axes.add_patch(patch)


def _stretches(bad: np.ndarray, row: int) -> list[tuple[int, int, int, int]]:
    """The runs of True in one row as boxes (left, right, low, high) of cell borders."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], bad.astype(int), [0]])))
    return [(int(left), int(right), row, row + 1) for left, right in zip(change[::2], change[1::2], strict=True)]


def _merged(boxes: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Boxes of the same left and right on adjacent rows as one: few shapes where a region is large."""
    grown: dict[tuple[int, int, int], tuple[int, int, int, int]] = {}
    for left, right, low, high in boxes:
        below = grown.pop((left, right, low), None)
        grown[(left, right, high)] = (left, right, below[2] if below else low, high)
    return sorted(grown.values())


def hatch_spans(axes: Axes, x: np.ndarray, bad: np.ndarray, look: dict[str, Any]) -> None:
    """Hatch the stretches of a curve's axis where `bad`, of shape (len(x),), holds."""
    borders = edges(x) if len(x) > 1 else np.array([x[0] - 0.5, x[0] + 0.5])
    for left, right, _, _ in _stretches(bad, 0):
        axes.axvspan(borders[left], borders[right], zorder=0.5, **look)


def hatch_handles(gaps: bool, missing: bool = False) -> list[Patch]:
    """The legend's entries: for hatching, if there are gaps, and for dots, if cells are missing."""
    return [Patch(label="not finite", **HATCH)] * gaps + [Patch(label="not computed yet", **AWAITED)] * missing


def handles(panels: Sequence[Panel]) -> list[Patch]:
    """The same, for what these panels show."""
    missing = any(panel.missing is not None and panel.missing.any() for panel in panels)
    return hatch_handles(any(bool(panel.gaps.any()) for panel in panels), missing)


def contours(
    axes: Axes, panel: Panel, values: np.ndarray, levels: Sequence[float], light: Callable[[float], bool]
) -> None:
    """Labeled contour lines of `values`; `light(level)` tells where the ground is dark, so that the line is light."""
    if not levels:
        return
    colors = ["#F2F2F2" if light(level) else "#222222" for level in levels]
    lines = axes.contour(
        panel.x, panel.y, np.ma.masked_invalid(values), levels=levels, colors=colors, linewidths=0.45, zorder=2
    )
    bad = np.argwhere(~np.isfinite(values))
    Numbers(axes, lines, np.stack([panel.x[bad[:, 1]], panel.y[bad[:, 0]]], axis=1)[:: len(bad) // 500 + 1])
