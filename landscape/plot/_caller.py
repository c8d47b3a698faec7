"""A picture in axes of the caller's: color bar and legend take their room from these axes, not from their neighbors."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.transforms import ScaledTranslation

_BAR = 0.55  # inches: a color bar with its numbers and label
_WIDEST = 1.15  # of a legend, in widths of the axes
_LETTER = 3.0  # points: the mean width of a remark's letter
_LEAST = 0.5  # of the axes' height must be left for a legend to be drawn


def beside(axes: Axes) -> Axes:
    """Axes for a color bar, as tall as these, which become narrower for it where no layout engine does that."""
    if not _laid_out(axes):
        _shrink(axes, right=_BAR)
    return axes.inset_axes((1.03, 0.0, 0.05, 1.0), label="<colorbar>")


def legend(axes: Axes, entries: Sequence[Any], remark: str, look: Mapping[str, Any]) -> None:
    """A legend under the axes, with a remark over it; left out where too little of the axes would remain."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    axes.apply_aspect()
    dpi, wide = figure.dpi, axes.bbox.width
    lines = [textwrap.fill(line, max(20, int(wide / dpi * 72 / _LETTER))) for line in remark.split("\n")]
    box = axes.get_tightbbox()
    drop = (axes.bbox.y0 - box.y0) / dpi if box else 0.0  # inches: numbers and label of the axis
    place = {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, 0.0),
        "bbox_transform": axes.transAxes + ScaledTranslation(0, -drop, figure.dpi_scale_trans),
    }
    for columns in range(max(len(entries), 1), 0, -1):
        drawn = axes.legend(handles=entries, ncols=columns, frameon=False, title="\n".join(lines) or None, **place)
        drawn.get_title().set(**look)
        extent = drawn.get_window_extent()
        if extent.width <= _WIDEST * wide:
            break
    if _laid_out(axes):
        return
    height = axes.get_position(original=True).height * axes.figure.bbox.height
    if height - extent.height < _LEAST * height:
        drawn.remove()
    else:
        _shrink(axes, bottom=extent.height / dpi)


def _laid_out(axes: Axes) -> bool:
    """Whether the figure has a layout engine, which makes room for whatever its axes hold."""
    engine = axes.get_figure(root=True).get_layout_engine()  # type: ignore[union-attr]
    return engine is not None and not isinstance(engine, PlaceHolderLayoutEngine)


def _shrink(axes: Axes, right: float = 0.0, bottom: float = 0.0) -> None:
    """Take so many inches from the axes' place; they stay in its upper left corner."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box, page = axes.get_position(original=True), axes.figure.bbox
    across, down = right * figure.dpi / page.width, bottom * figure.dpi / page.height
    axes.set_position((box.x0, box.y0 + down, max(box.width - across, 0.5 * box.width), box.height - down))
    axes.set_in_layout(True)  # for a layout of the caller's later on
    axes.set_anchor("NW")
