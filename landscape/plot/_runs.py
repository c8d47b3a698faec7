"""The runs that belong on a picture, read from a trajectory; others are refused."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from landscape import _checks
from landscape.plot import style
from landscape.plot._panels import title_of
from landscape.plot.style import LineStyle

UNNAMED = "run"


@dataclass(frozen=True)
class Run:
    """One path: positions of shape (steps,) each, up to the last finite one."""

    name: str  # runs of one name are drawn alike
    optimizer: str
    look: LineStyle
    penalty: str  # the label of the surface's panel it belongs to
    strength: float
    points: tuple[np.ndarray, ...]  # a coordinate each
    measured: dict[str, np.ndarray]  # risk, objective, gradient_norm and what else was recorded, at the true params
    finite: bool  # False if the run became non-finite
    off: np.ndarray  # the distance from the chart, (steps,); 0 where it was not recorded
    steps: np.ndarray  # the step of each position
    begun: bool = True  # False in a frame before its first step, which has its start and no end


def read(runs: Any, surface: xr.Dataset, names: Sequence[str]) -> list[Run]:
    """The runs on the surface's chart, each with the label of its panel; those that are not yet computed left out.

    `runs` is a Trajectory, what its `on(surface)` returns, or a mapping from labels to either. Where the surface is of
    one split of the data and they descended another, their values, which are not of this surface, are left out.
    Raises: ValueError if they descended another objective, were projected on another chart, used a penalty that the
    surface does not show, or if the surface is a slice; TypeError if they are neither.
    """
    read = [run for entry in entries(runs) for run in _read(*entry, surface, names)]
    shown = looks(run.optimizer for run in read)
    return [replace(run, look=shown[run.optimizer]) for run in read]


def entries(runs: Any) -> list[tuple[str, str, Any]]:
    """What messages call them, the label of their optimizer, and the runs: of each entry of a mapping from labels, or
    of all runs, which have no label."""
    if isinstance(runs, xr.Dataset) or not isinstance(runs, Mapping):
        return [("runs", "", runs)]
    _checks.labels("runs", runs, '{"SGD": run, "Adam": another}')
    return [(f"runs[{label!r}]", label, some) for label, some in runs.items()]


def data_of(name: str, label: str, runs: Any) -> xr.Dataset:
    """The data set of runs, their optimizer called by its label, if they have one."""
    data = runs.data if hasattr(runs, "on") else runs
    if not isinstance(data, xr.Dataset) or "step" not in data.dims:
        raise TypeError(
            f"`{name}` is {_checks.kind(runs)}; it must be a Trajectory, of landscape.descend or landscape.trajectory, "
            "its .on(surface), or a mapping from labels to these."
        )
    if not label:
        return data
    if data.sizes.get("optimizer", 1) > 1:
        names = ", ".join(map(str, data["optimizer"].values))
        raise ValueError(f"`{name}` holds several optimizers ({names}); a label names one. Give each an entry.")
    data = data.isel(optimizer=0) if "optimizer" in data.dims else data
    return data.assign_coords(optimizer=label)


def _read(name: str, label: str, runs: Any, surface: xr.Dataset, names: Sequence[str]) -> list[Run]:
    data = data_of(name, label, runs)
    check_same(name, "objective", data, surface, "Descend the surface's objective, or evaluate the runs' one.")
    panels = panels_of(name, data, surface)
    if hasattr(runs, "on"):
        data = data_of(name, label, runs.on(surface))
    check_same(
        name, "chart", data, surface, "Project them on the surface's chart: run.on(plane), or trajectory.on(surface)."
    )
    missing = [n for n in names if n not in data.data_vars]
    if missing:
        raise ValueError(
            f"`{name}` has no coordinate {missing[0]!r}; it has {', '.join(map(str, data.data_vars))}. "
            "Use trajectory.on(surface)."
        )
    held = [str(c) for c in surface.coords if c not in names and c in data.data_vars]
    if held:
        raise ValueError(
            f"`surface` is a slice, with {held[0]} held at {surface[held[0]].values}; `{name}` do not stay in it. "
            "Evaluate on a plane of the chart, or draw the slice without runs."
        )
    if _on_another_split(data, surface):
        data = data[[*names, *(v for v in ("residual", "finite") if v in data)]]
    return list(_each(data, names, panels))


def check_measured(runs: Sequence[Run], variable: str, surface: xr.Dataset) -> None:
    """Raise ValueError unless all runs have values of their own of the variable, on the surface's data."""
    for run in runs:
        if variable in run.measured:
            continue
        if not run.measured and "split" in surface.coords:
            raise ValueError(
                f"`runs` descended other data than `surface` is of, the split {str(surface['split'].item())!r}: their "
                f"{variable} is not that of this surface. Select their split: surface.sel(split=...)."
            )
        raise ValueError(
            f"`runs` have no values of {variable!r}; they recorded {', '.join(run.measured)}. Draw one of these, or "
            "leave the runs out."
        )


def check_same(name: str, noun: str, data: xr.Dataset, surface: xr.Dataset, advice: str) -> None:
    """Raise ValueError unless what is drawn has the objective, or the chart, of the surface."""
    came, wanted = data.attrs.get(f"{noun}_id"), surface.attrs.get(f"{noun}_id")
    if came == wanted or (noun == "objective" and came in _splits(surface).values()):
        return
    texts = [f"{_described(noun, d)} (id {i})" for d, i in ((surface, wanted), (data, came))]
    raise ValueError(f"`{name}` belong to another {noun}.\n  surface: {texts[0]}\n  {name}: {texts[1]}\n{advice}")


def _described(noun: str, data: xr.Dataset) -> str:
    """What a data set says of its objective, or in a few words of its chart, whose description holds all params."""
    text = str(data.attrs.get(noun) or "")
    if noun == "chart" and text:
        chart = json.loads(text)
        text = " of ".join(filter(None, [chart.get("kind", ""), ", ".join(map(str, chart.get("names", [])))]))
    return text or "not named"


def _splits(surface: xr.Dataset) -> dict[str, str]:
    """Label → fingerprint of the objective on each split of the data."""
    return json.loads(surface.attrs.get("objective_ids") or "{}")


def _on_another_split(data: xr.Dataset, surface: xr.Dataset) -> bool:
    """Whether the surface is of one split of the data, and the runs measured another."""
    if "split" not in surface.coords or surface["split"].ndim > 0:
        return False
    splits = _splits(surface)
    return bool(splits) and splits.get(str(surface["split"].item())) != data.attrs.get("objective_id")


def formulas(data: xr.Dataset) -> dict[str, str]:
    """Label → formula of the penalties that a data set holds now, selections followed."""
    every = json.loads(data.attrs.get("penalties") or "{}")
    if "penalty" not in data.coords:
        return every if len(every) == 1 else {"": every.get("", "")}
    return {label: every.get(label, label) for label in map(str, np.atleast_1d(data["penalty"].values))}


def panels_of(name: str, data: xr.Dataset, surface: xr.Dataset) -> dict[str, str]:
    """The runs' penalty labels → the surface's labels of the same formula."""
    ours, theirs = formulas(surface), formulas(data)
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
    data = data.assign(computed=computed(data)).transpose(*leading, "step", ...)
    arrays = {str(v): data[v].to_numpy() for v in data.data_vars if data[v].dims == (*leading, "step")}
    good = arrays["finite"].astype(bool) & np.all([np.isfinite(arrays[n]) for n in names], axis=0)
    defaults = {"optimizer": UNNAMED, "penalty": next(iter(panels)), "strength": np.nan}
    labels = {name: _spread(data, name, default, leading) for name, default in defaults.items()}
    measured = [v for v in arrays if v not in (*names, "finite", "computed", "residual")]
    for index in np.ndindex(good.shape[:-1]):
        optimizer, penalty = str(labels["optimizer"][index]), str(labels["penalty"][index])
        alive = good[index]
        count = len(alive) if alive.all() else int(np.argmin(alive))
        there = arrays["computed"][index]
        if not there[0]:
            continue
        yield Run(
            name=optimizer,
            optimizer=optimizer,
            look=look(optimizer),
            penalty=panels[penalty],
            strength=float(labels["strength"][index]),
            points=tuple(arrays[n][index][:count].astype(float) for n in names),
            measured={v: arrays[v][index][:count] for v in measured},
            off=np.nan_to_num(arrays["residual"][index][:count].astype(float))
            if "residual" in arrays
            else np.zeros(count),
            finite=count == len(alive) or not there[count],
            steps=data["step"].to_numpy()[:count],
        )


def until(run: Run, step: float) -> Run:
    """The run up to a step, or its start if that is later; whether it fails is told once all of it is there."""
    count = max(1, int(np.searchsorted(run.steps, step, side="right")))
    if count >= len(run.steps):
        return run
    points = tuple(place[:count] for place in run.points)
    measured = {name: values[:count] for name, values in run.measured.items()}
    cut = {"measured": measured, "off": run.off[:count], "steps": run.steps[:count]}
    return replace(run, points=points, finite=True, begun=count > 1, **cut)


def computed(data: xr.Dataset) -> xr.DataArray:
    """Whether each step of each run is computed: all are, but in a store that is still being filled."""
    finite = data["finite"]
    return data["computed"].broadcast_like(finite) if "computed" in data else xr.ones_like(finite)


def _spread(data: xr.Dataset, name: str, default: object, leading: list[str]) -> np.ndarray:
    """A coordinate, or its default, as an array over the leading dimensions."""
    values = data.coords[name] if name in data.coords else xr.DataArray(default)
    sizes = {dim: data.sizes[dim] for dim in leading}
    return (
        values.drop_vars(list(values.coords))
        .broadcast_like(xr.DataArray(np.empty(tuple(sizes.values())), dims=leading))
        .transpose(*leading)
        .to_numpy()
    )


def look(optimizer: str) -> LineStyle:
    """The style of an optimizer, or of runs whose optimizer has no name."""
    return style.optimizer_style("sgd") if optimizer == UNNAMED else style.optimizer_style(optimizer)


def looks(optimizers: Iterable[str]) -> dict[str, LineStyle]:
    """The styles of the optimizers on one picture, told apart where they are settings of one."""
    names = dict.fromkeys(optimizers)
    unnamed = {UNNAMED: look(UNNAMED)} if UNNAMED in names else {}
    return style.optimizer_styles(name for name in names if name != UNNAMED) | unnamed


def penalty_looks(data: Any, attrs: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Color, dashes and label of each penalty's curve; no two curves and no two labels are the same.

    Color tells λ; penalties of one λ differ in dashes. Equal labels get their penalty's formula, or else a number.
    """
    names = [str(name) for name in data["penalty"].values]
    colors = [style.penalty_color(float(s)) for s in data["strength"].values]
    every = json.loads(attrs.get("penalties") or "{}")
    labels = [title_of(name) for name in names]
    labels = [
        f"{label} ({every.get(name, name)})" if labels.count(label) > 1 else label
        for name, label in zip(names, labels, strict=True)
    ]
    labels = [f"{s} [{labels[:i].count(s) + 1}]" if labels.count(s) > 1 else s for i, s in enumerate(labels)]
    same = [colors[:i].count(color) for i, color in enumerate(colors)]
    return [
        {"color": color, "linestyle": style.dashes(n), "label": label}
        for color, n, label in zip(colors, same, labels, strict=True)
    ]


def by_penalty(runs: Sequence[Run], swept: bool = False) -> list[Run]:
    """Where runs, or curves (`swept`), of several penalties share a panel: each run in the color of its λ, with its
    optimizer's marker."""
    if len({run.penalty for run in runs}) < 2 and not swept:
        return list(runs)
    return [
        replace(
            run,
            name=f"{run.optimizer}, {title_of(run.penalty)}",
            look=replace(run.look, color=style.penalty_color(run.strength)),
        )
        for run in runs
    ]


def by_name(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs under their names, in the order in which these came."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    return groups


def aligned(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Values of runs of different lengths as one array (runs, length), filled up with NaN."""
    return np.array([np.concatenate([row, np.full(length - len(row), np.nan)]) for row in rows])
