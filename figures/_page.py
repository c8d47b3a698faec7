"""What pages of several panels share: their layout, a heading for each panel, one legend under all of them."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.plot import style

STAR = style.kind_style("minimum")


def head(axes: Axes, letter: str, heading: str) -> None:
    """Write "(a) heading" over a panel, from its left edge on."""
    axes.set_title("")
    axes.set_title(f"({letter}) {heading}", loc="left", fontsize=8.5)


def open_frame(axes: Axes) -> None:
    """Leave out the right and upper edge of a panel that shows curves, and put a grid behind them."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major")


def without_legend(axes: Axes) -> list[Any]:
    """Take a panel's own legend away; return its entries."""
    legend = axes.get_legend()
    if legend is None:
        return []
    legend.remove()
    return list(legend.legend_handles)


def unique(entries: Sequence[Any]) -> list[Any]:
    """Legend entries, each label once, in the order in which they came."""
    return list({entry.get_label(): entry for entry in reversed(entries)}.values())[::-1]


def settle(figure: Figure) -> Figure:
    """Lay the page out now, once, and not again for every format that it is saved in."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure
