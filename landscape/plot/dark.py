"""A finished figure on a dark page, for slides and screens: what is drawn on the page is turned, surfaces stay.

>>> from landscape.plot import style
>>> figure = dark(style.figure(3, 2))
>>> turned("black"), turned("white") == PAGE
('#f3f3f3', True)
"""

from functools import partial
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection, PolyCollection, QuadMesh, TriMesh
from matplotlib.colors import to_hex, to_rgba
from matplotlib.contour import ContourSet
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, AnnotationBbox, OffsetBox, PaddedBox
from matplotlib.patches import Patch, Rectangle
from matplotlib.spines import Spine
from matplotlib.table import Cell, Table
from matplotlib.text import Text
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from mpl_toolkits.mplot3d.axis3d import Axis as Axis3D

from landscape import _checks
from landscape.plot import style

PAGE = "#14171c"
FRAMED = AnchoredOffsetbox | PaddedBox | AnnotationBbox  # boxes with a frame of their own
_DARKEST, _LIGHTEST = 8.0, 96.0  # L* of the page, and of what is black on a white one
_STRONG = 30.0  # chroma from which on a color is told by its hue, not by its lightness
_LEGIBLE = 58.0  # L* of such colors, at least


def dark(figure: matplotlib.figure.Figure) -> matplotlib.figure.Figure:
    """The figure itself, on a dark page; draw it first, any figure of matplotlib.

    Greys and tints are turned in lightness, L* → 96 − 0.88 L* (CIE 1976), at the same hue: ink becomes light, the page
    dark, and what stood out still does. Strong colors (chroma above 30) stay as they are if they are light enough.
    Panels that are colored all over, surfaces above all, keep their colors and contour lines, for there dark says that
    the objective is least; what has a rim or a halo is turned there too, so that it looks as in the legend. Networks,
    whose colors are values as well, stay on a white card. A figure that is on the dark page already stays as it is.

    Raises: TypeError for what is no figure.
    """
    _checks.instance("figure", figure, matplotlib.figure.Figure, "the picture, such as landscape.plot.contour(surface)")
    if to_hex(figure.get_facecolor()) == PAGE:
        return figure
    figure.draw_without_rendering()  # texts know then whether they lie on a surface
    _turn_page(figure)
    figure.set_facecolor(PAGE)
    for axes in figure.axes:
        _turn_axes(axes)
    return figure


def turned(color: Any) -> Any:
    """The color that stands on the dark page for one on a white page; what is transparent is "none"."""
    red, green, blue, alpha = to_rgba(color)
    if alpha == 0:
        return "none"
    lightness, chroma, hue = _lch(np.array([red, green, blue]))
    if chroma > _STRONG:
        lightness = max(lightness, 100 - lightness, _LEGIBLE)
    elif lightness > 99.5:
        return to_hex((*to_rgba(PAGE)[:3], alpha), keep_alpha=alpha < 1)
    else:
        lightness = _LIGHTEST - (_LIGHTEST - _DARKEST) * lightness / 100
    rgb = style.srgb(*(np.array([value]) for value in (lightness, chroma, hue)))[0]
    return to_hex((*rgb, alpha), keep_alpha=alpha < 1)


def _lch(rgb: np.ndarray) -> tuple[float, float, float]:
    """CIE L*C*h (D65, hue in radians) of an sRGB color."""
    matrix = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    share = np.array(matrix) @ style.linear(rgb) / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(share > (6 / 29) ** 3, np.cbrt(share), share / (3 * (6 / 29) ** 2) + 4 / 29)
    a, b = 500 * (x - y), 200 * (y - z)
    return float(116 * y - 16), float(np.hypot(a, b)), float(np.arctan2(b, a))


def _turn_page(page: Any) -> None:
    """A figure or a part of one: its ground, legends, texts and what was added to it."""
    page.set_facecolor(turned(page.get_facecolor()))
    for artist in (*page.legends, *page.texts, *page.artists):
        _turn(artist)
    for part in page.subfigs:
        _turn_page(part)


def _turn_axes(axes: Axes) -> None:
    painted = bool(axes.images) or any(map(_covers, axes.collections)) or axes.get_label() == "<colorbar>"
    relief = any(isinstance(c, Poly3DCollection) for c in axes.collections)  # stands on the page
    if axes.get_gid() == style.CARD:  # a panel that shows values by color on white, without a frame
        painted = True
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor="white", zorder=-1))
    for artist in axes.get_children():
        if isinstance(artist, Axes):
            _turn_axes(artist)
        elif isinstance(artist, Axis):
            _turn_axis(artist)
        elif isinstance(artist, Spine):
            artist.set_edgecolor(turned(artist.get_edgecolor()))
        elif relief and isinstance(artist, Collection):
            continue
        elif not painted or isinstance(artist, Legend) or _stands_out(artist, axes):
            _turn(artist)


def _covers(artist: Collection) -> bool:
    """Whether it colors a plane by values: a mesh, hexagons, triangles, or filled contours."""
    if isinstance(artist, ContourSet):
        return artist.filled and artist.colors is None
    return isinstance(artist, QuadMesh) or (
        isinstance(artist, PolyCollection | TriMesh) and artist.get_array() is not None
    )


def _stands_out(artist: Artist, axes: Axes) -> bool:
    """Whether what is drawn in a panel that is colored all over has a rim or a halo, or is a text outside of it."""
    if isinstance(artist, Line2D):
        face, edge = artist.get_markerfacecolor(), artist.get_markeredgecolor()
        rim = artist.get_marker() not in ("None", "", "+", "x") and to_rgba(face) != to_rgba(edge)
        return rim or bool(artist.get_path_effects())
    if isinstance(artist, Text):
        box = artist.get_window_extent()
        inside = axes.bbox.contains((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        return not inside or bool(artist.get_path_effects())
    return False


def _turn_axis(axis: Axis) -> None:
    """Labels, ticks and grid, those that are drawn later included."""
    for text in (axis.label, axis.get_offset_text()):
        text.set_color(turned(text.get_color()))
    for ticks, change in (
        (axis.get_major_ticks(), partial(axis.set_tick_params, "major")),
        (axis.get_minor_ticks(), partial(axis.set_tick_params, "minor")),
    ):
        if ticks:
            mark, label, grid = ticks[0].tick1line, ticks[0].label1, ticks[0].gridline
            colors = {"color": mark.get_color(), "labelcolor": label.get_color(), "grid_color": grid.get_color()}
            change(**{name: turned(color) for name, color in colors.items()})
    if isinstance(axis, Axis3D):
        _turn(axis.line)
        _turn(axis.pane)
        grid = axis._axinfo["grid"]  # no method sets it (matplotlib/matplotlib#352)
        grid["color"] = turned(grid["color"])


def _turn(artist: Artist) -> None:
    if isinstance(artist, Legend | OffsetBox | AnnotationBbox | Table):
        inside: list[Any] = artist.findobj()
        parts = [part for part in inside if isinstance(part, Text | Line2D | Patch | Collection)]
        parts += [part.get_text() for part in parts if isinstance(part, Cell)]  # which a cell does not count as a part
        frames = [part.patch for part in inside if isinstance(part, FRAMED)]  # nor a box its own
        for part in dict.fromkeys([*parts, *frames]):
            _turn(part)
    elif isinstance(artist, Text):
        artist.set_color(turned(artist.get_color()))
        arrow = getattr(artist, "arrow_patch", None)
        for patch in filter(None, (artist.get_bbox_patch(), arrow)):
            _turn(patch)
    elif isinstance(artist, Line2D):
        artist.set_markerfacecolor(turned(artist.get_markerfacecolor()))
        artist.set_markeredgecolor(turned(artist.get_markeredgecolor()))
        artist.set_color(turned(artist.get_color()))
    elif any(isinstance(effect, style.OnSurface) for effect in artist.get_path_effects() or ()):
        return
    elif isinstance(artist, Patch):
        artist.set(facecolor=turned(artist.get_facecolor()), edgecolor=turned(artist.get_edgecolor()))
    elif isinstance(artist, Collection) and (artist.get_array() is None or getattr(artist, "colors", None) is not None):
        _turn_collection(artist)  # without the colors of values, but lines of constant value in colors of their own
    if artist.get_path_effects():
        width = artist.get_linewidth() if isinstance(artist, Line2D) else 1.5
        artist.set_path_effects(style.halo(width, turned("white")))


def _turn_collection(artist: Collection) -> None:
    if isinstance(artist, ContourSet) and any(artist.hatches):
        return  # hatches are drawn by its array
    faces, edges = artist.get_facecolor(), artist.get_edgecolor()
    artist.set_array(None)
    artist.set_facecolor([turned(color) for color in np.atleast_2d(faces)] if len(faces) else "none")
    artist.set_edgecolor([turned(color) for color in np.atleast_2d(edges)] if len(edges) else "none")
