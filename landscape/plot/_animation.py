"""Animations: pictures that are drawn anew on one page whose window, colors and layout stay as they are."""

import base64
import html
import io
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from landscape import _checks
from landscape.plot import _encoders, style
from landscape.tiles.progress import Progress

DPI = 180.0  # a column is 602 pixels wide
_BRIEFEST = 0.02  # seconds: players show a frame of a GIF no shorter


class Animation:
    """Frames on one page, made by `animate_descent` and `animate_strength`. A notebook shows it as a GIF.

    `len(animation)` is the number of frames, `animation.milliseconds` how long each is shown in a GIF, and
    `animation.figure(index)` the page as of one frame: the same figure each time, drawn anew.
    """

    def __init__(
        self, figure: Figure, draw: Callable[[int], None], count: int, seconds: float, hold: float, dpi: float
    ) -> None:
        """`draw(index)` draws a frame on the figure, whose layout is final once it has been laid out for `dpi`."""
        self._figure, self._draw, self._count = figure, draw, count
        self._seconds, self._hold, self._dpi = seconds, hold, dpi
        plt.close(figure)  # else a notebook shows it as a still picture too
        figure.set_dpi(dpi)
        with style.context():
            figure.draw_without_rendering()
        figure.set_layout_engine("none")  # marks at the border of the window would move it

    def __len__(self) -> int:
        return self._count

    @property
    def milliseconds(self) -> tuple[int, ...]:
        """How long each frame is shown in a GIF, which counts hundredths of a second; `seconds` + 2 `hold` in all."""
        ends = np.linspace(self._hold, self._hold + self._seconds, self._count + 1)
        ends[0], ends[-1] = 0.0, ends[-1] + self._hold
        return tuple(10 * int(span) for span in np.diff(np.rint(100 * ends)))

    def figure(self, index: int) -> Figure:
        """The page as of a frame; negative indices count from the end.

        Raises: IndexError where there is no such frame.
        """
        if not -self._count <= index < self._count:
            raise IndexError(f"`index` is {index}; there are {self._count} frames, 0 to {self._count - 1}.")
        with style.context():
            self._draw(index % self._count)
        return self._figure

    def save(self, path: str | os.PathLike[str], *, progress: bool | None = None) -> None:
        """Write a .gif, or with ffmpeg an .mp4 or .webm, whole or not at all; what was there is replaced.

        The same frames give the same bytes of a GIF. `progress`: as of `landscape.evaluate`.
        Raises: ValueError for another ending; FileNotFoundError where there is no such folder; RuntimeError without
        ffmpeg, or where it fails.
        """
        _checks.instance("path", path, (str, os.PathLike), 'a file\'s name, such as "descent.gif"')
        target = Path(path)
        kind = target.suffix.lower()
        write = _encoders.of(kind, str(target))
        if not target.parent.is_dir():
            raise FileNotFoundError(
                f"`path` is {str(target)!r}, and there is no folder {str(target.parent)!r}. Make it."
            )
        partial = target.with_name(f".{target.stem}.partial-{os.getpid()}{kind}")
        try:
            self._write(write, partial, progress)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def _write(self, write: _encoders.Encoder, target: Any, progress: bool | None) -> None:
        chosen = sorted({round(i) for i in np.linspace(0, self._count - 1, min(self._count, _encoders.SAMPLES))})
        kept: dict[int, np.ndarray] = {}
        with Progress(self._count, "frames", progress) as bar:

            def frames() -> Iterator[np.ndarray]:
                for index in range(self._count):
                    yield kept.pop(index) if index in kept else self._pixels(index)
                    bar.update(1)

            def samples() -> Sequence[np.ndarray]:
                kept.update((index, self._pixels(index)) for index in chosen)
                return [*kept.values()]

            write(target, frames(), samples, self.milliseconds)

    def _pixels(self, index: int) -> np.ndarray:
        """A frame, (height, width, 3) in uint8."""
        canvas = FigureCanvasAgg(self.figure(index))
        with style.context():
            canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    @cached_property
    def _gif(self) -> bytes:
        buffer = io.BytesIO()
        self._write(_encoders.gif, buffer, None)
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        data = base64.b64encode(self._gif).decode()
        return f'<img alt="{html.escape(repr(self))}" src="data:image/gif;base64,{data}">'

    def __repr__(self) -> str:
        return f"Animation({self._count} frames, {sum(self.milliseconds) / 1000:g} s)"


def check(seconds: float, hold: float, dpi: float, count: int) -> None:
    """Raise unless so many frames can be shown in so many seconds, with a hold of 0 or more, at this resolution."""
    _checks.positive("seconds", seconds)
    _checks.positive("dpi", dpi)
    if not (np.isfinite(_checks.number("hold", hold)) and hold >= 0):
        raise ValueError(f"`hold` is {hold}; it must be a finite number of seconds ≥ 0.")
    if seconds < _BRIEFEST * count:
        raise ValueError(
            f"`seconds` is {seconds} for {count} frames; players show no frame for less than {_BRIEFEST} seconds. Give "
            f"at least {_BRIEFEST * count:g}, or fewer frames."
        )


def evenly(positions: Sequence[int] | np.ndarray, count: int) -> list[int]:
    """So many of the positions, the first and the last among them, as even as may be; all if there are fewer."""
    positions = np.unique(np.asarray(positions))
    wanted = np.linspace(positions[0], positions[-1], count)
    nearest = np.abs(positions[None] - wanted[:, None]).argmin(axis=1)
    return sorted({int(positions[i]) for i in nearest})
