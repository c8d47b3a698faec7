"""Panels: a surface read as one picture a penalty, and what every such picture shares (mesh, hatching, contours, labels)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, Normalize
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from landscape.plot import style

NOT_FINITE = "not finite"
SMOOTH_CELLS = 20_000  # below this many cells color is interpolated between grid points, else one flat cell a point
HATCH = {"facecolor": "#DDDDDD", "edgecolor": "#666666", "hatch": "//////", "linewidth": 0.0}


@dataclass(frozen=True)
class Panel:
    """What one panel draws. `values` has shape (len(y), len(x)), NaN where the surface is not finite."""

    label: str  # the penalty's label; "" without a sweep
    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    x_label: str
    y_label: str

    @property
    def finite(self) -> np.ndarray:
        return self.values[np.isfinite(self.values)]


def label_of(array: xr.DataArray) -> str:
    """An axis label: long name and unit, as the data set gives them."""
    name = str(array.attrs.get("long_name") or array.name)
    unit = str(array.attrs.get("units", "1"))
    return name if unit in ("1", "") else f"{name} ({unit})"


def title_of(label: str) -> str:
    """A penalty's label as it is set in print: "λ=0.1" becomes "λ = 0.1"."""
    return label.replace("=", " = ") if " = " not in label else label


def title(axes: Axes, label: str, note: str = "") -> None:
    """A panel's title, with a remark in smaller letters under it."""
    axes.set_title(title_of(label), pad=11.5 if note else 4.0)
    if note:
        axes.annotate(note, (0.5, 1), (0, 2.5), xycoords="axes fraction", textcoords="offset points",
                      ha="center", va="bottom", fontsize=7.0, annotation_clip=False)  # fmt: skip


def coordinates(surface: xr.Dataset, variable: str) -> tuple[str, ...]:
    """The names of the surface's coordinates, in order.

    Raises: TypeError if it is no data set; ValueError if it lacks the variable.
    """
    if not isinstance(surface, xr.Dataset):
        raise TypeError(
            f"`surface` is a {type(surface).__name__}; it must be the xarray.Dataset that landscape.evaluate returns."
        )
    if variable not in surface.data_vars:
        known = ", ".join(sorted(map(str, surface.data_vars)))
        raise ValueError(
            f"`surface` has no variable {variable!r}; it has {known}. "
            f'Ask for it: landscape.evaluate(..., quantities=("{variable}",)).'
        )
    return tuple(str(d) for d in surface[variable].dims if d != "penalty")


def plane(surface: xr.Dataset, variable: str) -> tuple[str, str]:
    """The names of the two coordinates. Raises ValueError unless there are two, of two grid values or more."""
    names = coordinates(surface, variable)
    if len(names) > 2:
        raise ValueError(
            f"`surface` has {len(names)} coordinates in {variable!r} ({', '.join(names)}); a picture shows two. "
            f"Hold the others: surface.isel({names[-1]}=0), or surface.sel({names[-1]}=value, method='nearest')."
        )
    if len(names) < 2:
        held = ", ".join(names) or "none"
        raise ValueError(
            f"`surface` has {len(names)} of the two coordinates that this picture needs ({held}). "
            "Draw a line with landscape.plot.contour, or evaluate on two axes."
        )
    for name in names:
        if surface.sizes[name] < 2:
            raise ValueError(f"`surface` has one value of {name!r}; a plane needs two or more. Evaluate on more.")
    return names


def read(surface: xr.Dataset, variable: str) -> list[Panel]:
    """The panels of a variable: one a penalty, or one. First coordinate horizontal, second vertical, both ascending."""
    x, y = plane(surface, variable)
    surface = surface.sortby([x, y])
    data = masked(surface, variable)
    swept = "penalty" in data.dims
    slices = [data.isel(penalty=i) for i in range(data.sizes["penalty"])] if swept else [data]
    return [
        Panel(
            label=str(piece.coords["penalty"].item()) if "penalty" in piece.coords else "",
            x=surface[x].to_numpy().astype(float),
            y=surface[y].to_numpy().astype(float),
            values=piece.transpose(y, x).to_numpy(),
            x_label=label_of(surface[x]),
            y_label=label_of(surface[y]),
        )
        for piece in slices
    ]


def masked(surface: xr.Dataset, variable: str) -> xr.DataArray:
    """The variable in float64, NaN wherever it or the risk is not finite."""
    data = surface[variable].astype(float)
    good = np.isfinite(data)
    if "finite" in surface and set(surface["finite"].dims) <= set(data.dims):
        good = good & surface["finite"]
    return data.where(good).transpose(*data.dims)


def single(surface: xr.Dataset, variable: str, what: str) -> None:
    """Raise ValueError if the variable holds several penalties where one is drawn."""
    if "penalty" in surface[variable].dims:
        labels = [str(label) for label in surface["penalty"].values]
        raise ValueError(
            f"`surface` holds {len(labels)} penalties ({', '.join(labels)}); {what} shows one. "
            f"Select it: surface.sel(penalty={labels[-1]!r}), or draw all with landscape.plot.dark_minimum."
        )


# ---- the page


def page(count: int, width: float, columns: int | None = None) -> tuple[Figure, list[Axes]]:
    """A figure of this width in inches with `count` panels in rows; `fit` sets its height when all is drawn."""
    if columns is None:
        widest = max(1, int(width / 1.45))
        rows = -(-count // widest)
        columns = -(-count // rows)
    rows = -(-count // columns)
    figure = style.figure(width, rows * width / columns + 0.8)
    figure.set_layout_engine("compressed")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[count:]:
        axis.remove()
    used = list(axes.flat[:count])
    for axis in used[max(0, count - columns) :]:  # the last one of each column carries the labels
        axis.xaxis.set_tick_params(labelbottom=True)
    return figure, used


def canvas(axes: Axes | None, width: float) -> tuple[Figure, Axes]:
    """The caller's axes with their figure, or one panel on a new figure."""
    if axes is not None:
        return axes.get_figure(root=True), axes  # type: ignore[return-value]
    figure = style.figure(width, 0.66 * width)
    return figure, figure.subplots()


def finish(figure: Figure, axes: Axes, groups: Sequence[Sequence[Any]], own: bool) -> None:
    """Legend and height of our own figure; in the caller's axes, a legend inside them."""
    if own:
        legend(figure, groups)
        fit(figure)
        return
    entries = [entry for group in groups for entry in group]
    if entries:
        axes.legend(handles=entries, frameon=True, framealpha=0.85, edgecolor="none")


def fit(figure: Figure) -> None:
    """Make the figure as high as what is drawn on it; its width, the column's, stays."""
    for _ in range(2):
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        figure.set_figheight(box.height + 0.06)


def frame(axes: Axes, panel: Panel) -> None:
    """Window, labels and proportions: equal scales where the two ranges are comparable, else a square."""
    axes.set_xlim(panel.x[0], panel.x[-1])
    axes.set_ylim(panel.y[0], panel.y[-1])
    ratio = np.ptp(panel.y) / np.ptp(panel.x)
    axes.set_box_aspect(ratio if 0.45 < ratio < 1.6 else 1.0)
    spec = axes.get_subplotspec()
    if spec is None or spec.is_first_col():
        axes.set_ylabel(panel.y_label)
    if spec is None or axes.xaxis.get_tick_params().get("labelbottom", True):
        axes.set_xlabel(panel.x_label)
    axes.locator_params(nbins=4 if len(axes.figure.axes) > 1 else 6, steps=[1, 2, 5, 10])


def legend(figure: Figure, groups: Sequence[Sequence[Any]]) -> None:
    """One legend under the panels: all entries in a row if they fit, else each group on rows of its own."""
    groups = [list(group) for group in groups if group]
    total = sum(map(len, groups))
    for columns in range(total, 0, -1):
        rows = _rows(groups, columns)
        across = [row[k] for k in range(columns) for row in rows]  # matplotlib fills columns first
        box = figure.legend(handles=across, loc="outside lower center", ncols=columns)
        extent = box.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
        if columns == 1 or extent.width <= 0.98 * figure.bbox.width:
            return
        box.remove()


def _rows(groups: list[list[Any]], columns: int) -> list[list[Any]]:
    """The entries in rows of this many columns, padded with blanks: a row a group where each fits in one."""
    if columns >= sum(map(len, groups)) or columns < max(map(len, groups)):
        groups = [[entry for group in groups for entry in group]]
    rows = [group[i : i + columns] for group in groups for i in range(0, len(group), columns)]
    return [row + [Line2D([], [], linestyle="none", label=" ")] * (columns - len(row)) for row in rows]


# ---- what every panel shows


def mesh(axes: Axes, panel: Panel, values: np.ndarray, norm: Normalize, colors: Colormap) -> QuadMesh:
    """The colors, at the grid's own positions (of any spacing), and hatching over what is not finite."""
    smooth = values.size < SMOOTH_CELLS
    drawn = axes.pcolormesh(
        panel.x, panel.y, np.ma.masked_invalid(values), norm=norm, cmap=colors, rasterized=True,
        shading="gouraud" if smooth else "nearest",
    )  # fmt: skip
    hatch(axes, panel.x, panel.y, ~np.isfinite(values))
    return drawn


def edges(positions: np.ndarray) -> np.ndarray:
    """The borders of the cells around grid positions: midpoints, and half a step beyond both ends."""
    middle = (positions[1:] + positions[:-1]) / 2
    return np.concatenate([[2 * positions[0] - middle[0]], middle, [2 * positions[-1] - middle[-1]]])


def hatch(axes: Axes, x: np.ndarray, y: np.ndarray, bad: np.ndarray) -> None:
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
    patch = PathPatch(Path(np.concatenate(pieces), codes), zorder=1.5, label=NOT_FINITE, **HATCH)
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


def hatch_handle() -> Patch:
    """The legend's entry for hatching."""
    return Patch(label=NOT_FINITE, **HATCH)


def hatch_handles(panels: Sequence[Panel]) -> list[Patch]:
    """The same, if any of the panels is hatched."""
    return [] if all(np.isfinite(panel.values).all() for panel in panels) else [hatch_handle()]


def contours(axes: Axes, panel: Panel, values: np.ndarray, levels: Sequence[float], light: Callable[[float], bool]) -> None:
    """Labeled contour lines of `values`; `light(level)` tells where the ground is dark, so that the line is light."""
    if not levels:
        return
    colors = ["#F2F2F2" if light(level) else "#222222" for level in levels]
    lines = axes.contour(
        panel.x, panel.y, np.ma.masked_invalid(values), levels=levels, colors=colors, linewidths=0.45, zorder=2
    )
    _label(axes, lines)


def _label(axes: Axes, lines: QuadContourSet) -> None:
    """Number each line once, well inside the window and clear of paths, markers and other numbers."""
    taken = [p for line in axes.lines for p in _fractions(axes, line.get_xydata())]
    places = []
    for path in lines.get_paths():
        vertices = path.vertices[path.codes != Path.MOVETO] if path.codes is not None else path.vertices
        spot = _clearest(_fractions(axes, vertices), taken)
        if spot is not None:
            places.append(tuple(vertices[spot]))
            taken.append(_fractions(axes, vertices[spot : spot + 1])[0])
    for place in places:
        for text in axes.clabel(lines, fmt="%g", fontsize=6.5, inline=True, inline_spacing=1.5, manual=[place]):
            text.set(zorder=3)


def _fractions(axes: Axes, points: np.ndarray) -> np.ndarray:
    """Positions as fractions of the window, of shape (n, 2); those that are not finite left out."""
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    shares = (np.asarray(points, float) - low) / (high - low)
    return shares[np.isfinite(shares).all(axis=1)]


def _clearest(candidates: np.ndarray, taken: list[np.ndarray]) -> int | None:
    """The candidate farthest from what is taken, among those inside the window; None where all are too near."""
    inside = np.flatnonzero(np.all((candidates > 0.09) & (candidates < 0.91), axis=1))
    if inside.size == 0:
        return None
    inside = inside[:: max(1, inside.size // 200)]
    if not taken:
        return int(inside[0])
    others = np.array(taken)
    gaps = np.array([np.min(np.hypot(*(others - c).T)) for c in candidates[inside]])
    best = int(np.argmax(np.round(np.minimum(gaps, 0.25), 3)))
    return int(inside[best]) if gaps[best] > 0.06 else None


def one_two_five(value: float) -> float:
    """The largest of …, 0.1, 0.2, 0.5, 1, 2, 5, 10, … that is not above `value` (> 0)."""
    decade = 10.0 ** np.floor(np.log10(value) + 1e-9)
    return float(max(m for m in (1, 2, 5) if m * decade <= value * (1 + 1e-9)) * decade)


def colorbar(figure: Figure, drawn: ScalarMappable, axes: Sequence[Axes] | Axes, label: str, extend: str = "neither") -> Any:
    """A thin color bar beside the axes."""
    single = not isinstance(axes, Sequence)
    bar = figure.colorbar(
        drawn, ax=axes if single else list(axes), label=label, extend=extend, aspect=22, fraction=0.08, pad=0.02, shrink=1.0
    )
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(width=0.5, length=2)
    bar.solids.set_rasterized(True)
    return bar


def set_ticks(bar: Any, ticks: Sequence[float]) -> None:
    """These ticks and no others on a color bar, written plainly."""
    bar.ax.yaxis.set_major_locator(FixedLocator(list(ticks)))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))


def plain(value: float) -> str:
    """A number as a reader writes it: 0.001, 10, 1000, and powers of ten beyond."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}"
    power = int(np.floor(np.log10(abs(value)) + 1e-9))
    factor = value / 10.0**power
    return f"$10^{{{power}}}$" if abs(factor - 1) < 1e-6 else f"${factor:.3g}\\cdot 10^{{{power}}}$"
