"""A comparison of optimizers: the share of starts that came within the tolerance, against the steps.

>>> import landscape as ls
>>> figure = optimizers(comparison)                                       # doctest: +SKIP
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

from landscape import _checks
from landscape.plot import _curves, _page, _paths, style

_PANEL, _WIDEST = 1.35, 4  # inches: the height of a panel; panels in a row
ALL = "all problems"


def optimizers(comparison: Any, *, ax: Axes | None = None, width: float | None = None) -> Figure:
    """The profiles of a comparison, what `landscape.compare_optimizers` returned, or its data set.

    A panel a problem has each optimizer's data profile, the share of starts with success within t steps,

        d(t) = #{starts: steps_to ≤ t} / #starts,

    up to the last step; where it ends is the success rate. With several problems a last panel has the performance
    profiles over all problems and starts: the share in which the optimizer took at most τ times the steps of the best,

        ρ(τ) = #{steps_to ≤ τ · min over optimizers of steps_to} / #(problems × starts),

    0 steps counting as 1. ρ(1) says how often it was the fastest, the right end how often it got there. ρ depends on
    which optimizers are compared: of two, read who is faster in the panels, or compare these two alone. Runs without
    success are not told apart here: `comparison.data` has those that diverged.

    `ax` takes one problem; else the figure is `width` inches wide, both columns for several.
    Raises: ValueError for several problems with `ax`, TypeError for what is no comparison.
    References: Moré & Wild 2009, section 2; Dolan & Moré 2002, section 2; Gould & Scott 2016 (their dependence).
    """
    data = _data_of(comparison)
    problems = [str(label) for label in data.problem.to_numpy()]
    if ax is not None and len(problems) > 1:
        raise ValueError(
            f"`ax` takes one problem, and `comparison` has {len(problems)}; select one: "
            f"comparison.data.sel(problem=[{problems[0]!r}])."
        )
    looks = style.optimizer_styles(map(str, data.optimizer.to_numpy()))
    with style.context():
        figure, axes = _figure(len(problems), width, ax)
        for i, problem in enumerate(problems):
            _draw_steps(axes[i], data.steps_to.isel(problem=i), looks, int(data.attrs["steps"]))
            if ax is None:
                axes[i].set_title(problem)
        if len(problems) > 1:
            _draw_ratios(axes[-1], data.steps_to, looks)
        _page.finish(figure, axes[0], [_paths.line_handles(looks)], own=ax is None)
    return figure


def _data_of(comparison: Any) -> xr.Dataset:
    data = getattr(comparison, "data", comparison)
    if not isinstance(data, xr.Dataset) or data.attrs.get("kind") != "comparison" or "problem" not in data.dims:
        hint = " Select a problem with a list: sel(problem=['beale'])." if isinstance(data, xr.Dataset) else ""
        raise TypeError(
            f"`comparison` is {_checks.kind(comparison)}; give what landscape.compare_optimizers returned, or its data "
            f"set over problem, optimizer and start.{hint}"
        )
    return data.transpose("problem", "optimizer", "start", ...)


def _figure(count: int, width: float | None, ax: Axes | None) -> tuple[Figure, list[Axes]]:
    """A page with a panel for each problem, and one for all if there are several; the caller's axes if given."""
    if ax is not None or count == 1:
        figure, axes = _page.canvas(ax, style.SINGLE if width is None else width)
        return figure, [axes]
    count += 1
    width = style.DOUBLE if width is None else width
    columns = min(count, _WIDEST, max(1, int(width / 1.45)))
    rows = -(-count // columns)
    figure = style.figure(width, _PANEL * rows + 0.55)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in grid.flat[count:]:
        axes.remove()
    return figure, list(grid.flat[:count])


def _draw_steps(axes: Axes, steps_to: xr.DataArray, looks: dict[str, Any], last: int) -> None:
    """Data profiles; the axis of steps is logarithmic, with step 0 at its left end."""
    steps = np.arange(last + 1)
    for found, (name, look) in zip(steps_to.to_numpy(), looks.items(), strict=True):
        _draw(axes, steps, _shares(found, steps), name, look, _curves.markers(look, steps, log=True))
    _curves.step_axis(axes, True, last)
    _frame(axes, "steps")


def _draw_ratios(axes: Axes, steps_to: xr.DataArray, looks: dict[str, Any]) -> None:
    """Performance profiles over all problems and starts."""
    ratios = ratios_of(steps_to.to_numpy())
    most = max(float(np.max(ratios, where=np.isfinite(ratios), initial=1.0)), 10.0)
    shown = np.geomspace(1, most, 400)
    for found, (name, look) in zip(np.moveaxis(ratios, 1, 0), looks.items(), strict=True):
        _draw(axes, shown, _shares(found.ravel(), shown), name, look, _curves.markers(look, shown, log=True))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _page.plain(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(1, most)
    axes.grid(True, which="major")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(ALL)
    _frame(axes, "τ: steps, as multiples of the fewest")


def ratios_of(steps_to: np.ndarray) -> np.ndarray:
    """Steps over the fewest of any optimizer, (problems, optimizers, starts); ∞ without success."""
    steps = np.where(np.isnan(steps_to), np.inf, np.maximum(steps_to, 1))
    fewest = steps.min(axis=1, keepdims=True)
    return np.divide(steps, fewest, out=np.full_like(steps, np.inf), where=np.isfinite(steps))


def _shares(found: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The share of `found`, of which NaN and ∞ are never reached, that is at most each of the places."""
    reached = np.sort(found[np.isfinite(found)])
    return np.searchsorted(reached, places * (1 + 1e-12), side="right") / len(found)


def _draw(axes: Axes, x: np.ndarray, y: np.ndarray, name: str, look: Any, marker: dict[str, Any]) -> None:
    line = {"color": look.color, "linestyle": look.linestyle, "drawstyle": "steps-post", "label": name}
    _curves.whole(axes, axes.plot(x, y, **line, **marker), below=0.04)


def _frame(axes: Axes, along: str) -> None:
    axes.set_ylim(-0.02, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    spec = axes.get_subplotspec()
    axes.set_xlabel(along)
    axes.set_ylabel("share of starts" if spec is None or spec.is_first_col() else "")
