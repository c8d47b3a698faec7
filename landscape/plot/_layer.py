"""What is drawn anew on axes, in every frame of an animation, while the rest stays."""

from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib.artist import Artist
from matplotlib.axes import Axes


class Layer:
    """Artists that are replaced together."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._artists: list[Artist] = []

    @contextmanager
    def anew(self) -> Iterator[None]:
        """Remove what was drawn in the last such block; what is drawn in this one takes its place."""
        for artist in self._artists:
            artist.remove()
        before = set(map(id, self._axes.get_children()))
        yield
        self._artists = [artist for artist in self._axes.get_children() if id(artist) not in before]
