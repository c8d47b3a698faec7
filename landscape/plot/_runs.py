"""Runs on a picture: which runs belong there (others are refused), and how they are drawn."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape.plot import style
from landscape.plot.style import LineStyle

UNNAMED = "run"
_MANY = 40  # runs in a panel from which on lines are hair-thin
_START: dict[str, Any] = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": style.INK, "linestyle": "none"}
FAILED: dict[str, Any] = {"marker": "x", "color": "#B00020", "linestyle": "none"}


@dataclass(frozen=True)
class Run:
    """One path: positions of shape (steps,) each, up to the last finite one."""

    optimizer: str
    penalty: str  # the label of the surface's panel it belongs to
    strength: float
    points: tuple[np.ndarray, ...]  # a coordinate each
    measured: dict[str, np.ndarray]  # risk, objective, gradient_norm
    finite: bool  # False if the run became non-finite


def read(runs: Any, surface: xr.Dataset, names: Sequence[str], name: str = "runs") -> list[Run]:
    """The runs on the surface's chart, each with the label of its panel.

    `runs` is a Trajectory, or what its `on(surface)` returns.
    Raises: ValueError if they descended another objective, were projected on another chart, used a penalty that the
    surface does not show, or if the surface is a slice; TypeError if they are neither.
    """
    data = runs.data if hasattr(runs, "on") else runs
    if not isinstance(data, xr.Dataset):
        raise TypeError(f"`{name}` is a {type(runs).__name__}; it must be a Trajectory, or its .on(surface).")
    _same(name, "objective", data, surface, "Descend the surface's objective, or evaluate the runs' one.")
    panels = _panels(name, data, surface)
    _whole(name, surface, names)
    if hasattr(runs, "on"):
        data = runs.on(surface)
    _same(name, "chart", data, surface, "Project them on the surface's chart: trajectory.on(surface).")
    missing = [n for n in names if n not in data.data_vars]
    if missing:
        raise ValueError(
            f"`{name}` has no coordinate {missing[0]!r}; it has {', '.join(map(str, data.data_vars))}. "
            "Use trajectory.on(surface)."
        )
    return list(_each(data, names, panels))


def _same(name: str, noun: str, data: xr.Dataset, surface: xr.Dataset, advice: str) -> None:
    came, wanted = data.attrs.get(f"{noun}_id"), surface.attrs.get(f"{noun}_id")
    if came == wanted:
        return
    texts = [f"{d.attrs.get(noun) or 'not named'} (id {i})" for d, i in ((surface, wanted), (data, came))]
    raise ValueError(f"`{name}` belong to another {noun}.\n  surface: {texts[0]}\n  {name}: {texts[1]}\n{advice}")


def _whole(name: str, surface: xr.Dataset, names: Sequence[str]) -> None:
    """Raise ValueError if the surface is a slice of its chart: runs do not lie in it."""
    held = [str(c) for c in surface.coords if c not in (*names, "penalty", "strength", "coordinate")]
    if held:
        raise ValueError(
            f"`surface` is a slice, with {held[0]} held at {surface[held[0]].values}; `{name}` do not stay in it. "
            "Evaluate on a plane of the chart, or draw the slice without runs."
        )


def _formulas(data: xr.Dataset) -> dict[str, str]:
    """Label → formula of the penalties that a data set holds now, selections followed."""
    every = json.loads(data.attrs.get("penalties") or "{}")
    if "penalty" not in data.coords:
        return every if len(every) == 1 else {"": every.get("", "")}
    return {label: every.get(label, label) for label in map(str, np.atleast_1d(data["penalty"].values))}


def _panels(name: str, data: xr.Dataset, surface: xr.Dataset) -> dict[str, str]:
    """The runs' penalty labels → the surface's labels of the same formula."""
    ours, theirs = _formulas(surface), _formulas(data)
    found = {}
    for label, formula in theirs.items():
        same = [ours_label for ours_label, ours_formula in ours.items() if ours_formula == formula]
        if not same:
            raise ValueError(
                f"`{name}` used a penalty that the surface does not show: {_named(label, formula)}.\n"
                f"  surface: {'; '.join(_named(*pair) for pair in ours.items())}\n"
                f"  {name}: {'; '.join(_named(*pair) for pair in theirs.items())}\n"
                f"Evaluate the surface with the runs' penalties, or select: trajectory.on(surface).sel(penalty=...)."
            )
        found[label] = label if label in same else same[0]
    return found


def _named(label: str, formula: str) -> str:
    return f"{label!r} is {formula or '0'}" if label else formula or "0"


def _each(data: xr.Dataset, names: Sequence[str], panels: dict[str, str]) -> Iterable[Run]:
    leading = [d for d in ("optimizer", "penalty", "start") if d in data.dims]
    data = data.transpose(*leading, "step")
    lonely = next(iter(panels.values()))
    for index in np.ndindex(*(data.sizes[d] for d in leading)):
        one = data.isel(dict(zip(leading, index, strict=True)))
        optimizer = str(one.coords["optimizer"].item()) if "optimizer" in one.coords else UNNAMED
        penalty = panels[str(one.coords["penalty"].item())] if "penalty" in one.coords else lonely
        strength = float(one.coords["strength"]) if "strength" in one.coords else np.nan
        points = [one[n].to_numpy().astype(float) for n in names]
        good = np.all([np.isfinite(p) for p in points], axis=0) & one["finite"].to_numpy().astype(bool)
        count = int(np.argmin(good)) if not good.all() else len(good)
        measured = {str(v): one[v].to_numpy()[:count] for v in ("risk", "objective", "gradient_norm") if v in one}
        yield Run(optimizer, penalty, strength, tuple(p[:count] for p in points), measured, bool(good.all()))


def look(optimizer: str) -> LineStyle:
    """The style of an optimizer, or of runs whose optimizer has no name."""
    return style.optimizer_style("sgd") if optimizer == UNNAMED else style.optimizer_style(optimizer)


def by_optimizer(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs under their optimizers' names, in the order in which these came."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.optimizer, []).append(run)
    return groups


def weight(count: int) -> float:
    """Line width for so many runs in one panel: thinner where there are many."""
    return 1.1 if count <= 4 else 0.75 if count <= 12 else 0.55 if count <= _MANY else 0.3


def draw(axes: Axes, runs: Sequence[Run]) -> None:
    """Draw paths in the window as it is: clipped at its border, with a marker where a run leaves and stays out."""
    width = weight(len(runs))
    size = 3.6 * width**0.5
    for optimizer, group in by_optimizer(runs).items():
        shown = look(optimizer)
        group = [run for run in group if run.points[0].size]
        if not group:
            continue
        x, y = (_joined([run.points[i] for run in group]) for i in (0, 1))
        dashes = shown.linestyle if len(runs) <= _MANY else "-"  # dashes this thin are noise
        axes.plot(
            x,
            y,
            color=shown.color,
            linestyle=dashes,
            linewidth=width,
            zorder=4,
            scalex=False,
            scaley=False,
            path_effects=style.halo(width),
            label=optimizer,
            rasterized=x.size > 20_000,
        )
        _dots(axes, [_at(run, 0) for run in group], zorder=5, markersize=size * 0.9, markeredgewidth=0.6, **_START)
        ends = [_at(run, -1) for run in group if run.finite]
        _dots(
            axes,
            ends,
            zorder=6,
            marker=shown.marker,
            markersize=size * 1.15,
            color=shown.color,
            linestyle="none",
            markeredgecolor="white",
            markeredgewidth=0.45,
        )
    for run in runs:
        _mark_exit(axes, run, size)


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """Several paths as one array, separated by NaN: one artist instead of thousands."""
    return np.concatenate([part for piece in pieces for part in (piece, [np.nan])][:-1])


def _at(run: Run, index: int) -> tuple[float, float]:
    return float(run.points[0][index]), float(run.points[1][index])


def _dots(axes: Axes, positions: list[tuple[float, float]], **look: Any) -> None:
    if positions:
        axes.plot(*zip(*positions, strict=True), scalex=False, scaley=False, **look)


def _mark_exit(axes: Axes, run: Run, size: float) -> None:
    """An arrowhead where the run leaves the window for good; a cross where it stopped being finite."""
    if not run.points[0].size:
        return
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    path = np.stack(run.points[:2], axis=1)
    outside = np.any((path < low) | (path > high), axis=1)
    shown = look(run.optimizer)
    place = path[-1]
    if outside[-1]:
        inside = np.flatnonzero(~outside)
        if inside.size == 0:
            return
        place, side = _crossing(path[inside[-1]], path[inside[-1] + 1], low, high)
        axes.plot(
            *place,
            marker=side,
            markersize=size * 1.5,
            color=shown.color,
            markeredgecolor="white",
            markeredgewidth=0.45,
            clip_on=False,
            zorder=7,
            scalex=False,
            scaley=False,
            linestyle="none",
        )
    if not run.finite:
        axes.plot(
            *place,
            markersize=size * 1.5,
            markeredgewidth=1.1,
            zorder=8,
            clip_on=False,
            scalex=False,
            scaley=False,
            **FAILED,
        )


def _crossing(inside: np.ndarray, outside: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, str]:
    """Where the segment meets the window's border, and the marker that points out there."""
    move = outside - inside
    bound = np.where(move > 0, high, low)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(move != 0, (bound - inside) / move, np.inf)
    axis = int(np.argmin(share))
    sides = (("<", ">"), ("v", "^"))
    return inside + share[axis] * move, sides[axis][int(move[axis] > 0)]


def handles(runs: Sequence[Run], window: Sequence[np.ndarray]) -> tuple[list[Any], list[Any]]:
    """The legend's entries for these runs: optimizers; and start and, where they occur, leaving and failing."""
    optimizers = optimizer_handles(list(by_optimizer(runs)))
    signs = [Line2D([], [], markersize=3.6, markeredgewidth=0.6, label="start", **_START)] if runs else []
    if any(_leaves(run, window) for run in runs):
        signs.append(
            Line2D([], [], marker=">", color="#777777", linestyle="none", markersize=4.5, label="leaves the window")
        )
    if any(not run.finite for run in runs):
        signs.append(Line2D([], [], markersize=4.5, markeredgewidth=1.1, label="became non-finite", **FAILED))
    return optimizers, signs


def optimizer_handles(optimizers: Sequence[str]) -> list[Any]:
    """A legend entry an optimizer."""
    shown = {optimizer: look(optimizer) for optimizer in optimizers}
    return [
        Line2D(
            [],
            [],
            color=s.color,
            linestyle=s.linestyle,
            marker=s.marker,
            linewidth=1.1,
            markersize=4,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=optimizer,
        )
        for optimizer, s in shown.items()
    ]


def _leaves(run: Run, window: Sequence[np.ndarray]) -> bool:
    if not run.points[0].size:
        return False
    ends = zip(run.points, window, strict=False)
    return any(not axis.min() <= point[-1] <= axis.max() for point, axis in ends)
