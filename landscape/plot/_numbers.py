"""The numbers on contour lines: in gaps as long as they are in the figure's layout, whenever that changes."""

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.path import Path

from landscape.plot import _page, style

_SIZE, _SPACING = 6.5, 1.1  # points: of the numbers, and between them and their line
_STEEP = 60.0  # degrees, from which on a number is level, or else reads upwards: none is upside down beside others
_CANDIDATES = 200  # places for the number of a level, at most
_OBSTACLES = 4000  # points of paths and hatching that numbers keep clear of, at most
_PLACES = 80  # on a piece of a line, one of which has its number
_BENT = 0.92  # chord over arc of a piece as long as its number, below which there is none


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

    def remove(self) -> None:
        """With the numbers, which are artists of the axes."""
        while self._lines.labelTexts:
            self._lines.pop_label()
        super().remove()

    def draw(self, renderer: Any) -> None:
        axes, figure = self._lines.axes, self._lines.get_figure(root=True)
        size = np.array([axes.bbox.width, axes.bbox.height]) / figure.dpi  # type: ignore[union-attr]
        if np.allclose(size, self._size, rtol=0.01):
            return
        self._size = size
        while self._lines.labelTexts:
            self._lines.labelTexts[-1].set_visible(False)  # the axes, which have listed it, draw it once more
            self._lines.pop_label()
        self._lines.set_paths(list(self._whole))
        with style.context():
            self._number(axes, figure.dpi)  # type: ignore[union-attr]
        for text in self._lines.labelTexts:
            text.draw(renderer)  # this time they are not yet among what the axes draw

    def _number(self, axes: Axes, dpi: float) -> None:
        drawn = np.concatenate([self._hatched, *(_between(np.asarray(line.get_xydata())) for line in axes.lines)])
        drawn = _fractions(axes, drawn)
        taken = list(drawn[:: len(drawn) // _OBSTACLES + 1])
        pieces = [_pieces(path, axes) for path in self._whole]
        dense = [np.concatenate([_between(piece) for piece in some]) if some else np.zeros((0, 2)) for some in pieces]
        size = _SIZE * dpi / 72
        places, rotations = [], []
        for i, (value, some) in enumerate(zip(self._lines.levels, pieces, strict=True)):
            length = (0.5 * _SIZE * len(_page.plain(value)) + 2 * _SPACING) * dpi / 72
            pixels, angles = _straight(some, length)
            shares = _fractions(axes, axes.transData.inverted().transform(pixels))
            others = np.concatenate([np.zeros((0, 2)), *dense[:i], *dense[i + 1 :]])
            others = others[np.argsort(others[:, 0])]
            for chosen, turned in (
                (np.ones_like(angles, bool), np.where(abs(angles) <= _STEEP, angles, 0.0)),
                (angles > _STEEP, angles),
            ):
                inside = np.flatnonzero(chosen & np.all((shares > 0.12) & (shares < 0.88), axis=1))
                inside = inside[:: max(1, inside.size // _CANDIDATES)]
                inside = inside[_free(pixels[inside], turned[inside], (length, size), others)]
                best = _clearest(shares[inside], taken)
                if best is not None:
                    spot = inside[best]
                    break
            else:
                continue
            rotations.append(turned[spot])
            places.append(pixels[spot])
            taken.append(shares[spot])
        if not places:
            return
        look: dict[str, Any] = {"fmt": _page.plain, "fontsize": _SIZE, "inline_spacing": _SPACING * dpi / 72}
        manual = [tuple(place) for place in axes.transData.inverted().transform(places)]
        texts = axes.clabel(self._lines, inline=True, manual=manual, zorder=3, **look)
        for text, rotation in zip(texts, rotations, strict=True):
            text.set_rotation(rotation)


def _pieces(path: Path, axes: Axes) -> list[np.ndarray]:
    """The connected pieces of one level's line in pixels, (n, 2) each."""
    vertices = axes.transData.transform(np.asarray(path.vertices, float))
    starts = [] if path.codes is None else np.flatnonzero(path.codes == Path.MOVETO)[1:]
    return [piece for piece in np.split(vertices, starts) if len(piece)]


def _between(path: np.ndarray) -> np.ndarray:
    """The points, (n, 2), of a path of few vertices: it is drawn between them as well."""
    path = np.asarray(path, float)
    count = len(path)
    if not 1 < count < 200:
        return path
    places = np.linspace(0, count - 1, 20 * (count - 1) + 1)
    return np.stack([np.interp(places, np.arange(count), path[:, i]) for i in (0, 1)], axis=1)


def _straight(pieces: list[np.ndarray], length: float) -> tuple[np.ndarray, np.ndarray]:
    """Places, (n, 2), where a number of so many pixels can follow a line, which has no sharp bend there and is no small
    loop; and the line's direction in degrees, (n,), from −90 to 90."""
    places, angles = [np.zeros((0, 2))], [np.zeros(0)]
    for piece in pieces:
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(piece, axis=0), axis=1))])
        if along[-1] < length:
            continue
        middle = np.linspace(0.5 * length, along[-1] - 0.5 * length, _PLACES)
        before, at, after = (
            np.stack([np.interp(middle + shift * length, along, piece[:, i]) for i in (0, 1)], axis=1)
            for shift in (-0.5, 0.0, 0.5)
        )
        x, y = (after - before).T
        straight = np.hypot(x, y) > _BENT * length
        places.append(at[straight])
        angles.append((np.rad2deg(np.arctan2(y, x))[straight] + 90) % 180 - 90)
    return np.concatenate(places), np.concatenate(angles)


def _free(places: np.ndarray, angles: np.ndarray, size: tuple[float, float], others: np.ndarray) -> np.ndarray:
    """Whether a number of this width and height, so turned, has no other level's line in its box: (n,).

    others: points of those lines, (m, 2), ascending in the first coordinate.
    """
    free, reach = np.ones(len(places), bool), 0.5 * float(np.hypot(*size))
    for k, (place, angle) in enumerate(zip(places, np.deg2rad(angles), strict=True)):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        near = slice(*np.searchsorted(others[:, 0], (place[0] - reach, place[0] + reach)))
        free[k] = not np.any(np.all(abs((others[near] - place) @ turn) < 0.5 * np.array(size), axis=1))
    return free


def _fractions(axes: Axes, points: np.ndarray) -> np.ndarray:
    """Positions as fractions of the window, of shape (n, 2); those that are not finite left out."""
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    shares = (np.asarray(points, float).reshape(-1, 2) - low) / (high - low)
    return shares[np.isfinite(shares).all(axis=1)]


def _clearest(candidates: np.ndarray, taken: list[np.ndarray]) -> int | None:
    """The candidate, of (n, 2), farthest from what is taken; None where all are too near."""
    if not len(candidates):
        return None
    if not taken:
        return 0
    others = np.array(taken)
    gaps = np.array([np.min(np.hypot(*(others - c).T)) for c in candidates])
    best = int(np.argmax(np.round(np.minimum(gaps, 0.25), 3)))
    return best if gaps[best] > 0.06 else None
