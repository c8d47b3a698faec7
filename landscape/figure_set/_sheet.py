"""The contact sheet: all figures on one page, each with its name and how many of its claims hold."""

import io
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import imread

from landscape._figure_cache import replacing
from landscape.figure_set._kept import Kept, score
from landscape.figure_set._program import METADATA
from landscape.plot import style

COLUMNS = 5
CELL = style.DOUBLE / COLUMNS  # inches
GAP, LINE = 0.06, 0.17  # inches: between cells, and for the name under a picture
FONT, LETTERS = 6.5, 22  # points, and how many letters of a name have room beside the claims


def write_sheet(out: Path, kept: Mapping[str, Kept]) -> None:
    """Draw `contact_sheet.png` of the figures that have been drawn; nothing if there are none."""
    if not kept:
        return
    buffer = io.BytesIO()
    with style.context():
        _sheet(kept).savefig(buffer, format="png", dpi=300, metadata=METADATA["png"])
    with replacing(out / "contact_sheet.png") as file:
        file.write(buffer.getvalue())


def _sheet(kept: Mapping[str, Kept]) -> Figure:
    """Rows from the top, each as high as its highest picture; lengths in inches."""
    pictures = {name: imread(io.BytesIO(entry.picture)) for name, entry in kept.items()}
    sizes = {name: _within(picture.shape[1], picture.shape[0], CELL - GAP) for name, picture in pictures.items()}
    names, columns = list(kept), min(COLUMNS, len(kept))
    rows = [names[start : start + columns] for start in range(0, len(names), columns)]
    heights = [max(sizes[name][1] for name in row) + LINE + GAP for row in rows]
    width, height = columns * CELL, sum(heights) + GAP
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    for index, row in enumerate(rows):
        bottom = height - GAP - sum(heights[: index + 1]) + GAP
        for column, name in enumerate(row):
            left, (wide, high) = column * CELL + GAP / 2, sizes[name]
            x, y = left + (CELL - GAP - wide) / 2, bottom + LINE
            axes = figure.add_axes((x / width, y / height, wide / width, high / height))
            axes.imshow(pictures[name], aspect="auto")
            axes.set_axis_off()
            _label(figure, name, kept[name], left / width, (left + CELL - GAP) / width, (bottom + LINE / 2) / height)
    return figure


def _within(width: int, height: int, side: float) -> tuple[float, float]:
    """The largest size of a picture with so many pixels that a square of this side holds."""
    scale = side / max(width, height)
    return width * scale, height * scale


def _label(figure: Figure, name: str, entry: Kept, left: float, right: float, y: float) -> None:
    color = style.INK if all(entry.claims.values()) else style.VERMILLION
    size = FONT * min(1, LETTERS / len(name))
    figure.text(left, y, name, ha="left", va="center", fontsize=size, color=color, parse_math=False)
    figure.text(right, y, score(entry), ha="right", va="center", fontsize=FONT, color=color)
