"""The numbers on contour lines: in gaps as long as they are in the figure's layout, whenever that changes."""

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.path import Path

from landscape.plot import _page, style

_SIZE, _SPACING = 6.5, 0.6  # points: of the numbers, and between them and their line
_STEEP = 60.0  # degrees, from which on a number is set horizontally: none is upside down beside another
_OBSTACLES = 4000  # points of paths and hatching that numbers keep clear of, at most
_ROOM = 1.6  # the extent of a line, in lengths of its number, below which it has none


class Numbers(Artist):
    """Numbers each line once, well inside the window and clear of paths, markers, hatching and other numbers.

    A gap has a length in data, a number one in print, so the size of the axes must be known: this is an artist, drawn
    just before the lines, that numbers them anew where the layout has changed that size.
    """

    def __init__(self, axes: Axes, lines: QuadContourSet, hatched: np.ndarray) -> None:
        super().__init__()
        self.set_zorder(lines.get_zorder() - 0.01)
        self.set_in_layout(False)
        self._lines, self._hatched = lines, hatched
        self._whole = list(lines.get_paths())
        self._size = np.zeros(2)  # inches, of the axes when the lines were numbered
        axes.add_artist(self)

    def draw(self, renderer: Any) -> None:
        axes, figure = self._lines.axes, self._lines.get_figure(root=True)
        size = np.array([axes.bbox.width, axes.bbox.height]) / figure.dpi  # type: ignore[union-attr]
        if np.allclose(size, self._size, rtol=0.01):
            return
        self._size = size
        while self._lines.labelTexts:
            self._lines.pop_label()
        self._lines.set_paths(list(self._whole))
        with style.context():
            self._number(axes, figure.dpi)  # type: ignore[union-attr]
        for text in self._lines.labelTexts:
            text.draw(renderer)  # this time they are not yet among what the axes draw

    def _number(self, axes: Axes, dpi: float) -> None:
        drawn = np.concatenate([self._hatched, *(np.asarray(line.get_xydata()) for line in axes.lines)])
        drawn = _fractions(axes, drawn)
        taken = list(drawn[:: len(drawn) // _OBSTACLES + 1])
        places = []
        for level, path in zip(self._lines.levels, self._whole, strict=True):
            room = _ROOM * 0.5 * _SIZE * len(_page.plain(level)) * dpi / 72
            vertices = _long_enough(path, axes, room)
            shares = _fractions(axes, vertices)
            spot = _clearest(shares, taken)
            if spot is not None:
                places.append((float(vertices[spot, 0]), float(vertices[spot, 1])))
                taken.append(shares[spot])
        if not places:
            return
        look: dict[str, Any] = {"fmt": _page.plain, "fontsize": _SIZE, "inline_spacing": _SPACING * dpi / 72}
        for text in axes.clabel(self._lines, inline=True, manual=places, zorder=3, **look):
            text.set(clip_on=True)
            if _STEEP < text.get_rotation() < 360 - _STEEP:
                text.set_rotation(0)


def _long_enough(path: Path, axes: Axes, room: float) -> np.ndarray:
    """The vertices, of shape (n, 2), of those pieces of a level's line that extend over so many pixels."""
    vertices = np.asarray(path.vertices, float)
    starts = [] if path.codes is None else np.flatnonzero(path.codes == Path.MOVETO)[1:]
    pieces = [piece for piece in np.split(vertices, starts) if len(piece)]
    pieces = [piece for piece in pieces if np.linalg.norm(np.ptp(axes.transData.transform(piece), axis=0)) > room]
    return np.concatenate([np.zeros((0, 2)), *pieces])


def _fractions(axes: Axes, points: np.ndarray) -> np.ndarray:
    """Positions as fractions of the window, of shape (n, 2); those that are not finite left out."""
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    shares = (np.asarray(points, float) - low) / (high - low)
    return shares[np.isfinite(shares).all(axis=1)]


def _clearest(candidates: np.ndarray, taken: list[np.ndarray]) -> int | None:
    """The candidate farthest from what is taken, among those inside the window; None where all are too near."""
    inside = np.flatnonzero(np.all((candidates > 0.12) & (candidates < 0.88), axis=1))
    if inside.size == 0:
        return None
    inside = inside[:: max(1, inside.size // 200)]
    if not taken:
        return int(inside[0])
    others = np.array(taken)
    gaps = np.array([np.min(np.hypot(*(others - c).T)) for c in candidates[inside]])
    best = int(np.argmax(np.round(np.minimum(gaps, 0.25), 3)))
    return int(inside[best]) if gaps[best] > 0.06 else None
