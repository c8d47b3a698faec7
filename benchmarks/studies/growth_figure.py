"""The picture of growth: a panel for each question on logarithmic axes, and what a full grid takes."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from PIL import Image

from benchmarks.studies import _growth_grid as growth_grid
from benchmarks.studies._growth_fit import MEGABYTE, Curve, Fit, curves
from landscape.plot import style

COLUMNS = 4
DPI = 220  # of 17.8 cm: sharp on paper, and small
HEIGHT = 13.2 / 2.54
TIMES, MEMORIES = (1e-4, 1e2), (1e4, 1e10)  # seconds and bytes: as many decades each, so that one grid does for both
TIME_TICKS = {1e-3: "1 ms", 1e-2: "10 ms", 1e-1: "0.1 s", 1: "1 s", 1e1: "10 s"}
MEMORY_TICKS = {1e6: "1 MB", 1e7: "10 MB", 1e8: "0.1 GB", 1e9: "1 GB"}
STRAIGHT = 2.0  # log₁₀ seconds up to which the axis of the full grid is about logarithmic; beyond, twice so
MARKS = {-3: "1 ms", 0: "1 s", 7.499: "1 year"} | {
    n: rf"$10^{{{n:,}}}$ s".replace(",", "{,}") for n in (100, 1000, 10_000)
}


class Look(NamedTuple):
    """Of a line and its points: told apart by color, by shape, by filling and by dashes."""

    label: str
    color: str
    marker: str
    filled: bool
    line: Any


LOOKS = {
    "time": Look("time, of all cores together", style.BLUE, "o", True, style.dashes(0)),
    "memory": Look("memory at its peak (1 MB where it is less)", style.VERMILLION, "s", False, style.dashes(1)),
    "compiling": Look("compilation", "#707070", "x", True, style.dashes(2)),
}


def draw(path: Path) -> Figure:
    """The figure of a report that is kept as JSON, two columns wide."""
    kept = json.loads(Path(path).read_text())
    found = curves(kept["rows"])
    growing = [c for title, c in found.items() if not title.startswith((growth_grid.FULL, growth_grid.PLANE))]
    rows = -(-len(growing) // COLUMNS)
    with style.context():
        figure = style.figure(style.DOUBLE, HEIGHT)
        cells = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=[1] * rows + [1.25])
        for i, (curve, letter) in enumerate(zip(growing, ascii_lowercase, strict=False)):
            axes = figure.add_subplot(cells[i // COLUMNS, i % COLUMNS])
            memory = _panel(axes, curve, letter, kept["sizes"]["unseen"])
            if i % COLUMNS:  # the scales are everywhere the same
                axes.yaxis.set_major_formatter(NullFormatter())
            if i % COLUMNS < COLUMNS - 1 and i < len(growing) - 1:
                memory.yaxis.set_major_formatter(NullFormatter())
        _full_grid(figure.add_subplot(cells[rows, :]), found, kept["sizes"]["full_side"], ascii_lowercase[len(growing)])
        figure.legend(handles=_legend(), loc="outside lower center", ncols=len(LOOKS))
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        plt.close(figure)
    return figure


def save(kept: Path, path: Path) -> None:
    """Draw a report into a PNG, of few colors: a third of the bytes."""
    draw(kept).savefig(path, dpi=DPI)
    with Image.open(path) as image:
        image.convert("RGB").quantize(64).save(path, optimize=True, dpi=(DPI, DPI))


def _panel(axes: Axes, curve: Curve, letter: str, unseen: int) -> Axes:
    """Times on these axes, memory on those that are returned."""
    heading, _, rest = curve.title.partition(": ")
    _head(axes, f"({letter}) {heading}", rest)
    axes.set(xscale="log", xlabel=f"$n$, {curve.unit}")
    axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_minor_locator(NullLocator())
    memory = axes.twinx()
    for one, limits, ticks in ((axes, TIMES, TIME_TICKS), (memory, MEMORIES, MEMORY_TICKS)):
        one.set(yscale="log", ylim=limits)
        one.set_yticks(list(ticks), list(ticks.values()))
        one.yaxis.set_minor_locator(NullLocator())
        one.spines["top"].set_visible(False)
    axes.grid(True, which="major")
    _points(axes, curve.sizes, curve.values["compiling"], LOOKS["compiling"], joined=True)
    _points(memory, curve.sizes, np.maximum(curve.values["memory"], MEGABYTE), LOOKS["memory"], joined=False)
    _points(axes, curve.sizes, curve.values["time"], LOOKS["time"], joined=False)
    for what, at in (("time", axes), ("memory", memory)):
        fit = curve.fit(what, unseen if curve.title.endswith("compressed") else math.inf)
        if fit is not None:
            sizes = np.geomspace(fit.first, fit.last, 50)
            at.plot(sizes, fit(sizes), color=LOOKS[what].color, linestyle=LOOKS[what].line, zorder=2)
            _exponent(axes, what, fit)
    return memory


def _exponent(axes: Axes, what: str, fit: Fit) -> None:
    """In a corner, under whatever is measured."""
    place = {"time": (0.04, 0.965, "left", "top"), "memory": (0.97, 0.035, "right", "bottom")}[what]
    text = rf"{what} $\propto n^{{{fit.exponent:z.2f}\pm{fit.error:.2f}}}$"
    look: dict[str, Any] = {"color": LOOKS[what].color, "fontsize": 7.5, "ha": place[2], "va": place[3], "zorder": 1}
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    axes.text(*place[:2], text, transform=axes.transAxes, bbox=ground, **look)


def _head(axes: Axes, heading: str, rest: str) -> None:
    axes.set_title(heading, loc="left", fontsize=8.5, pad=12)
    options: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    axes.annotate(rest, (0, 1), (0, 3), fontsize=6.5, annotation_clip=False, **options)


def _points(axes: Axes, sizes: np.ndarray, values: np.ndarray, look: Look, joined: bool) -> None:
    fill = look.color if look.filled else "white"
    line = look.line if joined else "none"
    options: dict[str, Any] = {"markerfacecolor": fill, "linestyle": line, "linewidth": 0.7, "markeredgewidth": 0.8}
    axes.plot(sizes, values, marker=look.marker, color=look.color, zorder=3, **options)


def _full_grid(axes: Axes, found: dict[str, Curve], side: int, letter: str) -> None:
    grid = growth_grid.grid(found, side)
    full = next(curve for title, curve in found.items() if title.startswith(growth_grid.FULL))
    plane = next(curve for title, curve in found.items() if title.startswith(growth_grid.PLANE))
    everything = int(plane.sizes[0])
    head = f"({letter}) why one looks at planes: a full grid over $d$ of {everything:,} parameters, {side} cells a side"
    axes.set_title(head, loc="left", fontsize=8.5)
    axes.set_xscale("log")
    axes.set_yscale("asinh", linear_width=STRAIGHT)
    axes.set(xlim=(0.9, 3 * everything), ylim=(-3.5, 6e4), xlabel="$d$, parameters")
    axes.set_yticks(list(MARKS), list(MARKS.values()))
    axes.yaxis.set_minor_locator(NullLocator())
    look = LOOKS["time"]
    axes.axhline(math.log10(growth_grid.UNIVERSE), color=style.INK, linewidth=0.6, linestyle=style.dashes(3))
    _said(axes, 3 * everything, math.log10(growth_grid.UNIVERSE), "age of the universe", (-2, 5), "right")
    beyond = np.geomspace(grid.axes, everything, 200)
    axes.plot(beyond, [grid.log_seconds(d) for d in beyond], color=style.BLACK, linestyle=style.dashes(1), zorder=2)
    _points(axes, full.sizes, np.log10(full.values["time"]), look, joined=False)
    _points(axes, plane.sizes, np.log10(plane.values["time"]), look._replace(marker="D"), joined=False)
    _said(
        axes, full.sizes[-1], math.log10(full.values["time"][-1]), f"measured, $d$ = 1 to {grid.axes}", (6, -3), "left"
    )
    text = (
        f"measured: a plane through all {everything:,}, {plane.title.split(', ')[1]}, {plane.values['time'][0]:.2g} s"
    )
    _said(axes, everything, math.log10(plane.values["time"][0]), text, (-6, 0), "right")
    for d in growth_grid.extrapolated(everything):
        log_seconds = grid.log_seconds(d)
        _points(axes, np.array([d]), np.array([log_seconds]), Look("", style.BLACK, "o", False, ""), joined=False)
        text = f"$d$ = {d:,}: {_power(growth_grid.span(log_seconds))}"
        _said(axes, d, log_seconds, f"{text} (extrapolated)", *(((6, -5), "left") if d < 50 else ((-6, 3), "right")))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major")


def _said(axes: Axes, x: float, y: float, text: str, offset: tuple[float, float], side: str) -> None:
    options: dict[str, Any] = {"textcoords": "offset points", "ha": side, "va": "center", "fontsize": 7.5}
    axes.annotate(text, (x, y), offset, **options)


def _power(text: str) -> str:
    number, unit = text.split(" ")
    base, _, exponent = number.partition("^")
    return rf"${base}^{{{exponent}}}$ {unit}" if exponent else text


def _legend() -> Sequence[Line2D]:
    def entry(look: Look) -> Line2D:
        fill = look.color if look.filled else "white"
        options: dict[str, Any] = {"markerfacecolor": fill, "linestyle": look.line, "label": look.label}
        return Line2D([], [], color=look.color, marker=look.marker, **options)

    return [entry(look) for look in LOOKS.values()]
