"""Descent as an animation: paths that grow over a surface.

>>> import landscape as ls
>>> ls.plot.animate_descent(surface, runs).save("descent.gif")             # doctest: +SKIP
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from landscape import _checks
from landscape.plot import _animation, _panels, _runs, style
from landscape.plot._animation import Animation
from landscape.plot._layer import Layer
from landscape.plot._runs import Run
from landscape.plot.contour import drawn, walks_of

_CORNERS = {(x, y): (0.03 + 0.94 * x, 0.03 + 0.94 * y) for y in (1, 0) for x in (1, 0)}
_COUNTER: dict[str, Any] = {
    "fontsize": 7.0,
    "zorder": 10,
    "bbox": {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.6},
}


def animate_descent(
    surface: xr.Dataset,
    runs: Any,
    variable: str = "objective",
    *,
    frames: int | Sequence[int] = 60,
    seconds: float = 6.0,
    hold: float = 0.7,
    points: Any = None,
    log: bool | None = None,
    pca: Any = None,
    truth: bool | None = None,
    width: float = style.SINGLE,
    dpi: float = _animation.DPI,
) -> Animation:
    """The picture of `contour` with its paths up to a step, which is written in a corner; the last frame has all.

    Window, colors, numbers on lines, legend and layout are those of the last frame throughout; in panels underneath a
    line stands at the step. Before a run's first step there is its start alone. Runs that have ended stay there.

    `frames`: how many at most, at recorded steps that are evenly spaced; or the steps themselves, ascending, such as
    np.unique(np.geomspace(1, 1001, 60).astype(int)) - 1 where most happens at first. The motion takes `seconds`, and
    the first and the last frame stay `hold` seconds longer.
    `variable`, `points`, `log`, `pca` and `truth` are those of `contour`; `width` is in inches, of `dpi` pixels each.
    Raises: as `contour` for two coordinates; ValueError for runs without a step, and for frames, seconds, hold or dpi
    that cannot be.
    """
    names = _panels.plane(surface, variable)
    walks = walks_of(runs, surface, names)
    steps = _steps(frames, walks)
    _animation.check(seconds, hold, dpi, len(steps))
    whole = drawn(surface, variable, walks, points=points, log=log, pca=pca, truth=truth, ax=None, width=width)
    counter, cursors = Layer(whole.axes), [Layer(axes) for axes in whole.strips]
    corner, last = _emptiest(whole.axes, walks), max(int(run.steps[-1]) for run in walks if run.steps.size)

    def draw(index: int) -> None:
        step = steps[index]
        whole.paths([run if step == last else _runs.until(run, step) for run in walks])
        with counter.anew():
            _count(whole.axes, step, corner)
        for axes, cursor in zip(whole.strips, cursors, strict=True):
            with cursor.anew():
                axes.axvline(step, color=style.INK, linewidth=0.7)

    return Animation(whole.figure, draw, len(steps), seconds, hold, dpi)


def _steps(frames: Any, walks: Sequence[Run]) -> list[int]:
    """The steps of the frames."""
    if not any(run.steps.size for run in walks):
        raise ValueError("`runs` have no step that is computed and finite; there is nothing to animate.")
    recorded = np.unique(np.concatenate([run.steps for run in walks]))
    if isinstance(frames, (int, np.integer, float)):
        return _animation.evenly(recorded, _checks.count("frames", frames, 2))  # type: ignore[arg-type]
    steps = np.asarray(frames)
    if steps.ndim != 1 or steps.size < 2 or steps.dtype.kind not in "iu" or (np.diff(steps) <= 0).any():
        raise ValueError(f"`frames` is {frames!r}; give their number, or two or more steps, ascending whole numbers.")
    first, last = int(recorded[0]), int(recorded[-1])
    if steps[0] < first or steps[-1] > last:
        raise ValueError(f"`frames` has the steps {steps[0]} to {steps[-1]}; the runs have {first} to {last}.")
    return [int(step) for step in steps]


def _emptiest(axes: Axes, walks: Sequence[Run]) -> tuple[int, int]:
    """The corner of the window, (right, upper) as 0 or 1, that is farthest from all paths."""
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    path = np.concatenate([np.stack(run.points, axis=1) for run in walks])
    shares = (path - low) / (high - low)
    return max(_CORNERS, key=lambda corner: float(np.min(np.hypot(*(shares - corner).T))))


def _count(axes: Axes, step: int, corner: tuple[int, int]) -> None:
    """The step, on the ground of the picture."""
    right, upper = corner
    place = {"ha": "right" if right else "left", "va": "top" if upper else "bottom"}
    axes.text(*_CORNERS[corner], f"step {step}", transform=axes.transAxes, **place, **_COUNTER)
