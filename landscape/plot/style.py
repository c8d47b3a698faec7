"""The house style: print sizes, fonts, one color map for surfaces, and one look for each optimizer and each strength λ.

A figure made in `context()` saves the same way everywhere: embedded TrueType fonts, no TeX, no dates, so that the same
data give the same bytes.

    >>> from landscape.plot import style
    >>> style.optimizer_style("adam") == style.optimizer_style("Adam")
    True
    >>> style.penalty_color(0.0)  # no penalty: black
    '#000000'
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.figure
import matplotlib.style
import numpy as np
from matplotlib import patheffects
from matplotlib.colors import ListedColormap, to_hex, to_rgb

SINGLE = 8.5 / 2.54  # inches: one column of a two-column page
DOUBLE = 17.8 / 2.54  # inches: both columns

# Okabe & Ito 2008: eight colors that color-blind readers tell apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
INK = "#1A1A1A"  # text and frames
GRID = "#D9D9D9"
CARD = "card"  # the `gid` of axes that keep their white ground on a dark page

_RC: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.hspace": 0.02,
    "figure.constrained_layout.wspace": 0.04,
    "figure.dpi": 200,
    "figure.max_open_warning": 0,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType: text stays text, as journals ask for
    "ps.fonttype": 42,
    "svg.hashsalt": "landscape",
    "text.usetex": False,
    "font.family": ["STIXGeneral", "DejaVu Sans"],  # both ship with matplotlib: every machine draws the same
    "mathtext.fontset": "stix",
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 3.2,  # so long that long dashes are seen beside the marker
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0.3,
    "legend.labelspacing": 0.35,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelpad": 2.5,
    "axes.titlepad": 4.0,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "xtick.major.size": 2.4,
    "ytick.major.size": 2.4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.size": 1.4,
    "ytick.minor.size": 1.4,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.pad": 2.2,
    "ytick.major.pad": 2.2,
    "grid.color": GRID,
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "lines.solid_capstyle": "round",
    "hatch.linewidth": 0.5,
    "axes.axisbelow": True,
}


@contextmanager
def context() -> Iterator[None]:
    """The house's matplotlib settings, on top of matplotlib's own defaults; the caller's are back afterwards."""
    with matplotlib.rc_context():
        matplotlib.style.use("default")
        matplotlib.rcParams.update(_RC)  # type: ignore[call-overload]
        yield


class Figure(matplotlib.figure.Figure):
    """A figure that is saved in the house style whatever the caller's settings are, and without a date in the file."""

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """As matplotlib's `savefig`; embedded TrueType fonts, 300 dpi, nothing that changes with the day."""
        kind = kwargs.get("format") or (Path(fname).suffix[1:] if isinstance(fname, (str, Path)) else "png")
        dateless = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind.lower(), {})
        kwargs["metadata"] = dateless | (kwargs.get("metadata") or {})
        with context():
            super().savefig(fname, **kwargs)


def figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, registered with pyplot (so `plt.show()` finds it)."""
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), FigureClass=Figure)  # type: ignore[return-value]


# ---- the color map of surfaces


def srgb(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """CIE L*C*h (D65, hue in radians), each of shape (n,), as sRGB of shape (n, 3), clipped to [0, 1]."""
    fy = (lightness + 16) / 116
    f = np.stack([fy + chroma * np.cos(hue) / 500, fy, fy - chroma * np.sin(hue) / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.95047, 1.0, 1.08883]
    matrix = [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
    linear = np.clip(xyz @ np.array(matrix).T, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def _ink(n: int = 256) -> ListedColormap:
    """Black to near white through blue, L* a straight line from 0 to 97: equal steps look equal, in grey as well.

    Chroma stays low, so that the paths of optimizers, drawn in full color, stand out from the surface.
    """
    t = np.linspace(0, 1, n)
    chroma = 33 * np.sin(np.pi * t**0.85) ** 1.2 + 3 * t
    return ListedColormap(srgb(97 * t, chroma, np.deg2rad(288 - 20 * t)), name="ink")


SEQUENTIAL = _ink()


# ---- the same optimizer always looks the same


@dataclass(frozen=True)
class LineStyle:
    """How the runs of one optimizer are drawn: color, and, for readers without color, marker and dashes."""

    color: str
    marker: str
    linestyle: Any  # matplotlib's: "-", or (offset, (on, off, ...)) in units of the line width


_SOLID, _DASHED, _DOTTED = "-", (0, (4.5, 1.6)), (0, (1.1, 1.3))
_DASH_DOT, _LONG, _DASH_DOT_DOT = (0, (5, 1.4, 1.1, 1.4)), (0, (8, 1.8)), (0, (4.5, 1.3, 1.1, 1.3, 1.1, 1.3))

_KNOWN = {
    "sgd": LineStyle(VERMILLION, "o", _SOLID),
    "gradientdescent": LineStyle(VERMILLION, "o", _SOLID),
    "noisysgd": LineStyle(VERMILLION, "p", _DOTTED),
    "polyaksgd": LineStyle(VERMILLION, "h", _DASH_DOT),
    "gradientflow": LineStyle(BLACK, "d", _DOTTED),
    "proximalgradient": LineStyle(PURPLE, "P", _DASH_DOT),
    "momentum": LineStyle(ORANGE, "s", _DASHED),
    "nesterov": LineStyle(PURPLE, "D", _DASH_DOT),
    "adam": LineStyle(GREEN, "^", _LONG),
    "adamw": LineStyle(GREEN, "v", _DOTTED),
    "nadam": LineStyle(GREEN, "<", _DASH_DOT),
    "adamax": LineStyle(GREEN, ">", _DASHED),
    "lion": LineStyle(ORANGE, "X", _DASH_DOT_DOT),
    "rmsprop": LineStyle(BLUE, "v", _DASHED),
    "adagrad": LineStyle(SKY, "<", _DASH_DOT),
    "adadelta": LineStyle(SKY, ">", _DOTTED),
    "schedulefree": LineStyle(SKY, "p", _LONG),
    "muon": LineStyle(PURPLE, "h", _LONG),
    "lbfgs": LineStyle(BLACK, "X", _SOLID),
    "newton": LineStyle(BLACK, "*", _DASHED),
}
_ALIASES = {
    "gd": "gradientdescent",
    "flow": "gradientflow",
    "prox": "proximalgradient",
    "proximal": "proximalgradient",
    "heavyball": "momentum",
    "sgdmomentum": "momentum",
    "bfgs": "lbfgs",
    "ista": "proximalgradient",
}
_COLORS = (SKY, BLUE, PURPLE, ORANGE, GREEN, VERMILLION, BLACK)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")
_LINES = (_SOLID, _DASHED, _DOTTED, _DASH_DOT, _LONG, _DASH_DOT_DOT)


def dashes(index: int) -> Any:
    """The `index`-th way to draw a line: solid, dashed, dotted, …; matplotlib's `linestyle`."""
    return _LINES[index % len(_LINES)]


def optimizer_style(name: str) -> LineStyle:
    """The look of the optimizer called `name`, the same in every figure and on every machine.

    Known names (sgd, momentum, nesterov, adam, adamw, rmsprop, lbfgs, proximal gradient, gradient flow, ...) have a
    fixed look, whatever their case and spacing and whatever settings follow: "adam 0.1" looks like adam. Any other name
    gets its look from a checksum of it, up to its settings.
    """
    words = re.findall(r"[a-z]+", name.lower())
    starts = ("".join(words[:n]) for n in range(len(words), 0, -1))
    known = next((look for start in starts if (look := _KNOWN.get(_ALIASES.get(start, start)))), None)
    if known is not None:
        return known
    own = re.split(r"[\d(=,]", name.lower())[0].strip()
    code = zlib.crc32((own or name).encode())
    return LineStyle(
        _COLORS[code % len(_COLORS)], _MARKERS[code // 7 % len(_MARKERS)], _LINES[code // 84 % len(_LINES)]
    )


def optimizer_styles(names: Iterable[str]) -> dict[str, LineStyle]:
    """The looks of the optimizers on one picture: settings of one optimizer share color and marker, not their dashes.

    >>> looks = optimizer_styles(["adam 0.1", "adam 0.01"])
    >>> looks["adam 0.1"] == optimizer_style("adam"), looks["adam 0.01"] == looks["adam 0.1"]
    (True, False)
    """
    looks: dict[str, LineStyle] = {}
    for name in dict.fromkeys(names):
        own = optimizer_style(name)
        choices = [own, *(replace(own, linestyle=line) for line in _LINES)]
        looks[name] = next((look for look in choices if look not in looks.values()), own)
    return looks


# ---- the same kind of critical point always has the same mark

KINDS = {  # marker, its size; white, so that they are seen on all colors
    "minimum": ("*", 6.0),
    "saddle": ("s", 3.8),
    "maximum": ("^", 4.5),
    "degenerate": ("P", 4.5),
    "unknown": ("X", 4.5),
}


def kind_style(kind: str) -> dict[str, Any]:
    """The look of a kind of critical point, as options of matplotlib's `plot`: a star for a minimum, say."""
    marker, size = KINDS[kind]
    look = {"markerfacecolor": "white", "markeredgecolor": "black", "markeredgewidth": 0.6, "linestyle": "none"}
    return {"marker": marker, "markersize": size, **look}


# ---- the same λ always has the same color


def penalty_color(strength: float) -> str:
    """The color of the strength λ: black for 0, then from dark violet to light green, at the rank √λ / (√λ + √0.03).

    A function of λ alone, so a λ looks the same in every figure; lighter as λ grows, so it reads in grey too, and
    fastest about 0.03, where most strengths are. Strengths that are not a number (a penalty without one) are grey.
    """
    if not np.isfinite(strength):
        return "#808080"
    if strength <= 0:
        return BLACK
    rank = 1 / (1 + np.sqrt(0.03 / strength))
    return to_hex(matplotlib.colormaps["viridis"](0.06 + 0.84 * rank))


def sequence_color(index: int, count: int) -> str:
    """The color of the `index`-th of `count` ordered things (growing weights, say), dark to light."""
    return to_hex(matplotlib.colormaps["viridis"](0.86 * index / max(count - 1, 1)))


def readable(color: str) -> str:
    """The color, darkened until text in it has a contrast of 4.5 to white, as WCAG 2.2 (1.4.3) asks of letters."""
    while 1.05 / (luminance(color) + 0.05) < 4.5:
        red, green, blue = (0.97 * part for part in to_rgb(color))
        color = to_hex((red, green, blue))
    return color


def luminance(color: Any) -> float:
    """The relative luminance of a color of matplotlib, 0 for black and 1 for white (WCAG 2.2)."""
    return float(linear(np.array(to_rgb(color))) @ [0.2126, 0.7152, 0.0722])


def linear(rgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] as amounts of light."""
    return np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)


class OnSurface(patheffects.Normal):
    """Changes nothing, and says of a legend's patch that its color is one on a surface: on a dark page it stays."""


def halo(width: float, color: str = "white") -> list[patheffects.AbstractPathEffect]:
    """An outline around a line of this width, so that it is seen on dark and light ground alike."""
    return [patheffects.Stroke(linewidth=width + min(0.9, 1.2 * width), foreground=color), patheffects.Normal()]
