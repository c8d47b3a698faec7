"""Frames as files: GIF by Pillow, MP4 and WebM by ffmpeg."""

import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib
import numpy as np
from PIL import Image

SAMPLES = 5  # frames that the palette of a GIF is made of
_COLORS, _EXACT = 256, 8  # so many of the most frequent colors are kept as they are
_FFMPEG = {  # of one thread: the same bytes each time
    ".mp4": ("-c:v", "libx264", "-crf", "16", "-preset", "slow", "-movflags", "+faststart"),
    ".webm": ("-c:v", "libvpx-vp9", "-crf", "24", "-b:v", "0", "-row-mt", "0"),
}
KINDS = (".gif", *_FFMPEG)


class Encoder(Protocol):
    """Writes frames, (height, width, 3) each, that are shown so long; `samples()` are some of them."""

    def __call__(
        self,
        target: Any,
        frames: Iterable[np.ndarray],
        samples: Callable[[], Sequence[np.ndarray]],
        milliseconds: Sequence[int],
    ) -> None: ...


def of(kind: str, path: str) -> Encoder:
    """The encoder for a file's ending.

    Raises: ValueError for another ending; RuntimeError where it needs ffmpeg and there is none.
    """
    if kind not in KINDS:
        raise ValueError(f"`path` is {path!r}; an animation is saved as {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
    if kind == ".gif":
        return gif
    program = shutil.which(str(matplotlib.rcParams["animation.ffmpeg_path"]))
    if program is None:
        raise RuntimeError(
            f"`path` is {path!r}, which ffmpeg writes, and there is none here; install it (apt install ffmpeg, brew "
            "install ffmpeg, conda install ffmpeg), name its place in matplotlib.rcParams['animation.ffmpeg_path'], or "
            f"save a GIF: {str(Path(path).with_suffix('.gif'))!r}."
        )

    def video(target: Any, frames: Any, samples: Any, milliseconds: Sequence[int]) -> None:
        _video([program, *_LISTEN], kind, target, frames, milliseconds)

    return video


# ---- GIF


def gif(
    target: Any,
    frames: Iterable[np.ndarray],
    samples: Callable[[], Sequence[np.ndarray]],
    milliseconds: Sequence[int],
) -> None:
    """One palette for all frames, nothing dithered: what does not change keeps its color. Repeated without end."""
    palette = _Palette(samples())
    first, *rest = map(palette.image, frames)
    first.save(
        target,
        "GIF",
        save_all=True,
        append_images=rest,
        duration=list(milliseconds),
        loop=0,
        optimize=False,
        disposal=1,
    )


class _Palette:
    """The 256 colors of all frames, and which of them is nearest to each."""

    def __init__(self, samples: Sequence[np.ndarray]) -> None:
        """A color counts by the root of its pixels, else thin paths would take that of the ground."""
        colors, counts = np.unique(np.concatenate([_packed(frame).ravel() for frame in samples]), return_counts=True)
        exact = _unpacked(colors[np.argsort(-counts, kind="stable")[:_EXACT]])  # white above all
        pixels = _unpacked(np.repeat(colors, np.ceil(np.sqrt(counts)).astype(int)))
        found = Image.fromarray(pixels[None]).quantize(_COLORS - len(exact), Image.Quantize.MEDIANCUT, kmeans=1)
        rest = np.array(found.getpalette() or [], np.uint8).reshape(-1, 3)
        self._colors = np.concatenate([exact, rest])[:_COLORS]
        self._nearest = np.full(2**24, -1, np.int16)  # of every color that was met

    def image(self, frame: np.ndarray) -> Image.Image:
        """A frame, (height, width, 3), in these colors; Pillow's own choice is off by up to 3 in each channel."""
        from scipy.spatial import KDTree

        packed = _packed(frame)
        new = np.unique(packed[self._nearest[packed] < 0])
        if new.size:
            self._nearest[new] = KDTree(self._colors.astype(float)).query(_unpacked(new).astype(float))[1]
        out = Image.fromarray(self._nearest[packed].astype(np.uint8))
        out.putpalette(self._colors.tobytes())
        return out


def _packed(frame: np.ndarray) -> np.ndarray:
    """Colors (…, 3) as numbers below 2²⁴."""
    return frame.astype(np.int32) @ np.array([65536, 256, 1], np.int32)


def _unpacked(numbers: np.ndarray) -> np.ndarray:
    return np.stack([numbers >> shift & 255 for shift in (16, 8, 0)], axis=-1).astype(np.uint8)


# ---- video

_LISTEN = ("-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24")


def _video(
    command: Sequence[str], kind: str, target: Path, frames: Iterable[np.ndarray], milliseconds: Sequence[int]
) -> None:
    """Frames at a constant rate, the first and the last repeated for as long as they are shown."""
    rate = 1000.0 * max(1, len(milliseconds) - 2) / max(1, sum(milliseconds[1:-1]) or sum(milliseconds))
    process: subprocess.Popen[bytes] | None = None
    ended = False  # before it had all frames
    try:
        for frame in _repeated(frames, milliseconds, rate):
            if process is None:
                size = f"{frame.shape[1]}x{frame.shape[0]}"
                given = ("-s", size, "-framerate", f"{rate:.6f}", "-i", "-", "-an", "-threads", "1")
                exact = ("-pix_fmt", "yuv420p", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1")
                full = [*command, *given, *_FFMPEG[kind], *exact, str(target)]
                process = subprocess.Popen(full, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            assert process.stdin is not None
            process.stdin.write(frame.tobytes())
    except BrokenPipeError:
        ended = True  # it says why
    finally:
        said = process.communicate()[1] if process else b""
    if process is None or process.returncode or ended:
        raise RuntimeError(f"ffmpeg could not write the animation: {said.decode(errors='replace').strip()}")


def _repeated(frames: Iterable[np.ndarray], milliseconds: Sequence[int], rate: float) -> Iterator[np.ndarray]:
    """Each frame as often as it is shown at this rate, with even sides, as video wants them."""
    for frame, span in zip(frames, milliseconds, strict=True):
        height, width, _ = frame.shape
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        for _ in range(max(1, round(span * rate / 1000))):
            yield even
