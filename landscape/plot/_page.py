"""The page: panels in rows at a given width, with their frames, titles, labels, legend and color bars."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from landscape.plot import _caller, style
from landscape.plot._panels import Panel, title_of

_REMARK: dict[str, Any] = {"color": "#777777", "fontsize": 7.0, "multialignment": "center"}
_NARROWEST = 1.4  # inches: of panels in one row
_LONG = 2.5  # the ratio of a window's sides beyond which it is drawn as a square
_STRIP, _ABOVE, _UNDER = 0.8, 0.24, 0.32  # inches: the height of a strip of panels, its headings', its labels'


def page(count: int, width: float, columns: int | None = None) -> tuple[Figure, list[Axes]]:
    """A figure of this width in inches with `count` panels in rows; `fit` sets its height when all is drawn."""
    if columns is None:
        widest = max(1, int(width / 1.45))
        rows = 1 if count * _NARROWEST <= width else -(-count // widest)
        columns = -(-count // rows)
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    figure = style.figure(width, 1.6 * rows * width / columns + 1.0)
    figure.set_layout_engine("compressed")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[count:]:
        axis.remove()
    used = list(axes.flat[:count])
    for axis in used[max(0, count - columns) :]:  # the last one of each column carries the labels
        axis.xaxis.set_tick_params(labelbottom=True)
    return figure, used


def column(count: int) -> float:
    """The width in inches of so many panels: both columns of a page, or one for one panel."""
    return style.DOUBLE if count > 1 else style.SINGLE


def canvas(axes: Axes | None, width: float, square: bool = False) -> tuple[Figure, Axes]:
    """The caller's axes with their figure, or one panel on a new figure: square, or wider than high."""
    if axes is not None:
        return axes.get_figure(root=True), axes  # type: ignore[return-value]
    if square:
        figure, (axes,) = page(1, width)
        return figure, axes
    figure = style.figure(width, 0.66 * width)
    return figure, figure.subplots()


def finish(
    figure: Figure,
    axes: Axes,
    groups: Sequence[Sequence[Any]],
    own: bool,
    handlelength: float | None = None,
    remark: str = "",
) -> None:
    """Legend, with a remark over it, and height of our own figure; in the caller's axes, a legend in or under them."""
    if own:
        legend(figure, groups, handlelength, remark)
        wrap(figure)
        if axes.get_box_aspect() is not None:
            fit(figure)
            figure.draw_without_rendering()  # the layout is final: lines are numbered in it
        return
    entries = [entry for group in groups for entry in group]
    if (entries or remark) and axes.get_box_aspect() is not None:  # colors all over
        _caller.legend(axes, entries, remark, _REMARK)
    elif entries:
        box = axes.legend(handles=entries, frameon=True, framealpha=0.85, edgecolor="none", title=remark or None)
        box.get_title().set(**_REMARK)


def fit(figure: Figure) -> None:
    """Make a page as high as its panels, color bars and legend are; its width, the column's, stays."""
    boxes = [box for axes in figure.axes if (box := axes.get_tightbbox()) is not None]
    legends = [box.get_window_extent() for box in figure.legends]
    panels = max(box.y1 for box in boxes) - min(box.y0 for box in boxes)
    height = (panels + sum(box.height for box in legends)) / figure.dpi
    figure.set_figheight(height + (0.13 if legends else 0.08))


def wrap(figure: Figure) -> None:
    """Break labels that are longer than their axes; leaves the figure laid out."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_window_extent()
        for label, room, side in ((axes.yaxis.label, box.height, "height"), (axes.xaxis.label, box.width, "width")):
            length = getattr(label.get_window_extent(), side) / (1.1 * room)
            if label.get_text() and length > 1:
                label.set_text(_balanced(label.get_text(), int(np.ceil(length))))
                label.set_linespacing(1.0)
    figure.draw_without_rendering()


def strip(figure: Figure, headings: Sequence[str]) -> list[Axes]:
    """Small panels in a row between a finished figure and its legend, for which it grows; its layout is final then."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    width, height = figure.get_size_inches()
    headings = [_balanced(heading, -(-len(heading) // 32)) for heading in headings]
    above = _ABOVE + 0.12 * max(heading.count("\n") for heading in headings)
    grown = height + _STRIP + above + _UNDER
    for axes in figure.axes:
        box = axes.get_position()
        moved = (box.x0, (box.y0 * height + grown - height) / grown, box.width, box.height * height / grown)
        axes.set_position(moved)
    figure.set_figheight(grown)
    under = sum(box.get_window_extent().height for box in figure.legends) / figure.dpi + 0.04 + _UNDER
    share = width / len(headings)
    panels = []
    for i, heading in enumerate(headings):
        place = (i * share + 0.36, under, share - 0.44, _STRIP)
        axes = figure.add_axes((place[0] / width, place[1] / grown, place[2] / width, place[3] / grown))
        axes.tick_params(labelsize=7)
        axes.set_xlabel("step", fontsize=7.5, labelpad=1)
        axes.set_title(heading, fontsize=7.5, pad=3.5, linespacing=1.0)
        panels.append(axes)
    return panels


def _balanced(text: str, lines: int) -> str:
    """The text in so many lines, about equally long."""
    widths = range(-(-len(text) // lines), len(text) + 1)
    return next(wrapped for width in widths if (wrapped := textwrap.fill(text, width)).count("\n") < lines)


def frame(axes: Axes, panel: Panel) -> None:
    """Window, labels and proportions: between params, or of the ranges where that is not known; else a square."""
    axes.set_xlim(panel.x[0], panel.x[-1])
    axes.set_ylim(panel.y[0], panel.y[-1])
    if panel.ratio is None:
        ratio = np.ptp(panel.y) / np.ptp(panel.x)
        axes.set_box_aspect(ratio if 0.45 < ratio < 1.6 else 1.0)
    else:
        axes.set_box_aspect(panel.ratio if _to_scale(panel.ratio) else 1.0)
    spec = axes.get_subplotspec()
    if spec is None or spec.is_first_col():
        axes.set_ylabel(panel.y_label)
    if spec is None or axes.xaxis.get_tick_params().get("labelbottom", True):
        axes.set_xlabel(panel.x_label)
    axes.locator_params(nbins=4 if len(axes.figure.axes) > 1 else 6, steps=[1, 2, 5, 10])


def _to_scale(ratio: float) -> bool:
    return 1 / _LONG <= ratio <= _LONG


def scale_remark(panel: Panel) -> str:
    """What the legend says of a square that stands for a long window: its width and height as lengths."""
    if panel.ratio is None or _to_scale(panel.ratio):
        return ""
    sides = (1, panel.ratio) if panel.ratio > 1 else (1 / panel.ratio, 1)
    return "not to scale: {} : {}".format(*(plain(float(f"{side:.2g}")) for side in sides))


def title(axes: Axes, label: str, note: str = "") -> None:
    """A panel's title, with a remark in smaller letters under it."""
    axes.set_title(title_of(label), pad=11.5 if note else 4.0)
    if note:
        axes.annotate(
            note,
            (0.5, 1),
            (0, 2.5),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7.0,
            annotation_clip=False,
        )


def legend(
    figure: Figure, groups: Sequence[Sequence[Any]], handlelength: float | None = None, remark: str = ""
) -> None:
    """One legend under the panels: all entries in a row if they fit, else each group on rows of its own.

    A remark stands over them: it is longer than an entry, and as one would take the width of two columns.
    """
    groups = [list(group) for group in groups if group]
    total = sum(map(len, groups))
    for columns in range(total or bool(remark), 0, -1):
        rows = _rows(groups, columns)
        across = [row[k] for k in range(columns) for row in rows]  # matplotlib fills columns first
        under: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "handlelength": handlelength}
        box = figure.legend(handles=across, title=remark or None, **under)
        box.get_title().set(**_REMARK)
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


def colorbar(
    figure: Figure,
    drawn: ScalarMappable,
    axes: Sequence[Axes] | Axes,
    label: str,
    extend: str = "neither",
    under: bool = False,
    own: bool = True,
) -> Any:
    """A thin color bar beside the axes, or under them; beside the caller's axes, one as tall as they are."""
    place = list(axes) if isinstance(axes, Sequence) else axes
    size: dict[str, Any] = (
        {"location": "bottom", "shrink": 0.5, "aspect": 26, "pad": 0.03} if under else {"aspect": 22, "pad": 0.02}
    )
    where: dict[str, Any] = {"ax": place, "fraction": 0.08, **size} if own else {"cax": _caller.beside(axes)}  # type: ignore[arg-type]
    bar: Any = figure.colorbar(drawn, label=label, extend=extend, extendfrac=0.03, **where)
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(width=0.5, length=2)
    bar.solids.set_rasterized(True)
    return bar


def set_ticks(bar: Any, ticks: Sequence[float], least: float = 0.0) -> None:
    """These ticks and no others on a color bar, written plainly, as what they are over `least`."""
    bar.long_axis.set_major_locator(FixedLocator(list(ticks)))
    bar.long_axis.set_minor_locator(NullLocator())
    bar.long_axis.set_major_formatter(FuncFormatter(lambda value, _: plain(least + value)))


def percent(share: float) -> str:
    """A share as a reader writes it, to two digits: "62 %"."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def plain(value: float) -> str:
    """A number as a reader writes it: 0.001, 10, 1000, and powers of ten beyond."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.10g}"
    power = int(np.floor(np.log10(abs(value)) + 1e-9))
    factor = value / 10.0**power
    return f"$10^{{{power}}}$" if abs(factor - 1) < 1e-6 else f"${factor:.3g}\\cdot 10^{{{power}}}$"
