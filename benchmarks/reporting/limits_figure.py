"""The picture of how far everybody is from what the machine can do: time ÷ bound, a line for each workload."""

import hashlib
import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import compress, product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.reporting.report import Report, Row
from landscape.plot import style

DPI = 220  # of 17.8 cm: sharp on paper, and small
DIGEST = "Digest"  # of the PNG's text: of all that is drawn
ROW, HEADING, FOOT = 0.27, 0.26, 0.62  # inches: a workload, a panel's heading with its gap, ticks and legend
LETTERS = 92  # of a title above its dots
WRONG = "wrong answer"
# Filled is ours, open is not; so shapes alone tell them apart.
OURS = {"float32": ("o", style.BLUE), "float64": ("D", style.PURPLE), "bfloat16": ("^", style.GREEN)}
ACCELERATED = {"float32": ("P", style.BLUE), "float64": ("X", style.PURPLE), "bfloat16": ("*", style.GREEN)}
OTHERS = {"numpy": ("s", style.ORANGE), "c": ("v", style.INK), "torch": ("*", style.VERMILLION)}
LOOP = ("o", style.SKY)  # a loop that one writes oneself in JAX


@dataclass(frozen=True)
class Dot:
    """One contestant: its time ÷ the bound."""

    label: str  # in the legend
    marker: str
    color: str
    filled: str  # matplotlib's `fillstyle`
    over_bound: float
    right: bool


@dataclass(frozen=True)
class Panel:
    """A benchmark: for each of its workloads everybody who has a bound."""

    name: str
    workloads: Sequence[tuple[str, Sequence[Dot]]]


def panels(reports: Sequence[Report]) -> list[Panel]:
    """What there is to draw; benchmarks without a bound are left out."""
    found = []
    for report in reports:
        dots: dict[str, list[Dot]] = {}
        for row in report.rows:
            if row.over_bound is not None and math.isfinite(row.over_bound) and row.over_bound > 0:
                dots.setdefault(row.workload, []).append(_dot(row))
        if dots:
            found.append(Panel(report.name, list(dots.items())))
    return found


def digest(panels: Sequence[Panel], where: str) -> str:
    """A checksum of all that is drawn."""
    return hashlib.sha256(json.dumps([where, *map(asdict, panels)]).encode()).hexdigest()


def drawn(path: Path) -> str | None:
    """The checksum of what a picture shows; None where there is no picture, or none of ours."""
    if not path.exists():
        return None
    with Image.open(path) as image:
        return image.info.get(DIGEST)


def draw(panels: Sequence[Panel], where: str, path: Path) -> None:
    """Write the picture."""
    with style.context():
        columns = _columns(panels)
        height = max(sum(map(_height, column)) for column in columns) + FOOT + 0.2
        figure = style.figure(style.DOUBLE, height)
        figure.set_layout_engine("none")
        title = f"Time ÷ bound, what this machine needs at least: {where}"
        figure.text(0.008, 1 - 0.06 / height, title, fontsize=9, va="top")
        limits = _limits(panels)
        for number, column in enumerate(columns):
            top = height - 0.2
            for panel in column:
                top -= _height(panel)
                bottom, tall = top / height, (_height(panel) - HEADING) / height
                axes = figure.add_axes((0.012 + 0.5 * number, bottom, 0.476, tall))
                _panel(axes, panel, limits, last=panel is column[-1])
        _legend(figure, panels)
        figure.savefig(path, dpi=DPI)
        plt.close(figure)
    text = PngInfo()
    text.add_text(DIGEST, digest(panels, where))
    with Image.open(path) as image:  # few colors: a third of the bytes
        image.convert("RGB").quantize(64).save(path, optimize=True, dpi=(DPI, DPI), pnginfo=text)


def _dot(row: Row) -> Dot:
    backend, dtype, setting = row.backend or "", row.dtype or "", row.by.partition(", ")[2]
    filled, told = "none", {"numpy": "NumPy", "c": "C", "torch": "PyTorch"}.get(backend, backend or row.by)
    marker, color = OTHERS.get(backend, ("d", style.GREEN))
    if backend.startswith("jax-") and row.ours:
        looks = OURS if backend == "jax-cpu" else ACCELERATED
        filled, told = "full", f"landscape, {backend.removeprefix('jax-').upper()}, {dtype}"
        marker, color = looks.get(dtype, looks["float32"])
        if setting:
            filled, told = "left", f"{told}, other settings"
    elif backend.startswith("jax-"):
        told, (marker, color) = "a loop in JAX", LOOP
    return Dot(told, marker, color, filled, row.over_bound or math.nan, row.right)


def _columns(panels: Sequence[Panel]) -> list[list[Panel]]:
    """The panels in two columns that are about as high; the first stays in the first, and their order within each."""
    total = sum(map(_height, panels))
    best: list[list[Panel]] = [list(panels)]
    for chosen in product((True, False), repeat=len(panels) - 1):
        left = [panels[0], *compress(panels[1:], chosen)]
        right = [panel for panel, own in zip(panels[1:], chosen, strict=True) if not own]
        tall = sum(map(_height, left))
        if max(tall, total - tall) < max(sum(map(_height, column)) for column in best):
            best = [left, right]
    return best


def _height(panel: Panel) -> float:
    return ROW * len(panel.workloads) + HEADING


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    ratios = [dot.over_bound for panel in panels for _, dots in panel.workloads for dot in dots]
    return min(0.7, min(ratios) / 1.5), max(3.0, max(ratios) * 1.5)


def _panel(axes: Axes, panel: Panel, limits: tuple[float, float], last: bool) -> None:
    axes.set_xscale("log")
    axes.set_xlim(limits)
    axes.set_ylim(len(panel.workloads), 0)
    axes.set_yticks([])
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="both", labelbottom=last)
    axes.grid(True, axis="x", which="major")
    axes.axvline(1, color=style.INK, linewidth=0.9, zorder=1)
    axes.set_title(panel.name, loc="left", fontweight="bold", fontsize=8.5)
    for i, (title, dots) in enumerate(panel.workloads):
        text = textwrap.shorten(title, LETTERS, placeholder="…")
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}  # the line at 1 goes behind the words
        axes.text(limits[0], i + 0.08, text, fontsize=6.5, va="top", bbox=ground, zorder=2)
        axes.axhline(i + 0.72, color=style.GRID, linewidth=0.5)
        for dot in sorted(dots, key=_rank, reverse=True):
            _mark(axes, dot, i + 0.72)


def _mark(axes: Axes, dot: Dot, y: float) -> None:
    axes.plot(dot.over_bound, y, **_look(dot))
    if not dot.right:
        axes.plot(dot.over_bound, y, marker="x", markersize=7, color=style.BLACK, markeredgewidth=0.9)


def _rank(dot: Dot) -> tuple[bool, bool, bool, str]:
    """The order of the legend, and of what lies on top: ours first, float32 before other dtypes and settings."""
    return dot.filled == "none", dot.filled == "left", "float32" not in dot.label, dot.label


def _look(dot: Dot) -> dict[str, Any]:
    return {
        "marker": dot.marker,
        "color": dot.color,
        "fillstyle": dot.filled,
        "markerfacecoloralt": "white",
        "markersize": 6.0 if dot.marker == "*" else 4.6,
        "markeredgewidth": 0.9,
        "linestyle": "none",
        "zorder": 3,
    }


def _legend(figure: Any, panels: Sequence[Panel]) -> None:
    every = [dot for panel in panels for _, dots in panel.workloads for dot in dots]
    looks = {dot.label: _look(dot) for dot in sorted(every, key=_rank)}
    if not all(dot.right for dot in every):
        looks[WRONG] = {"marker": "x", "color": style.BLACK, "linestyle": "none"}
    entries = [Line2D([], [], label=label, **look) for label, look in looks.items()]
    figure.legend(handles=entries, loc="lower center", ncols=-(-len(entries) // 2), handlelength=1.2, borderaxespad=0.1)
