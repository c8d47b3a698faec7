"""What pages of all kinds have: axes, sliders, runs, critical points."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex

from landscape._version import __version__
from landscape.explorer import _packing
from landscape.objectives.penalties import Penalty
from landscape.plot import _points, _runs, _scales, style

MOST_RUNS, MOST_STEPS = 100, 1000  # in a page: more are not told apart, and make it large
WEAKEST, STRONGEST = 1e-4, 10.0  # ends of a slider, beyond which it goes where a sweep does


def axis(name: str, label: str, low: float, high: float, positions: np.ndarray | None = None) -> dict[str, Any]:
    """An axis of the window; logarithmic where its positions are evenly spaced in their logarithm."""
    log = positions is not None and _scales.even_in_log(positions)
    text = label.strip("$")
    return {"name": name, "label": text, "low": float(low), "high": float(high), "log": bool(log)}


def slider(unit: Penalty, strengths: Sequence[float], start: float) -> dict[str, Any]:
    """That of a penalty at strength 1: its ends, and where it begins."""
    positive = sorted(s for s in strengths if s > 0)
    low = min([WEAKEST, *(s / 10 for s in positive)])
    high = max([STRONGEST, *(s * 10 for s in positive)])
    return {"label": text(unit), "low": low, "high": high, "start": start}


def opening(runs: Sequence[Mapping[str, Any]], strengths: Mapping[str, list[float]], count: int) -> list[float]:
    """The strengths that a page opens with, one a slider: those of the runs, else the middle of the first penalty's.

    Never several penalties at once that were not so in the sweep: that would be an objective nobody asked for.
    """
    of_runs = [run["strengths"] for run in runs if run["strengths"] is not None]
    if of_runs:
        return of_runs[0]
    penalized = [own for own in strengths.values() if any(own)]
    if not penalized:
        return [0.0] * count
    first = next(k for k, strength in enumerate(penalized[0]) if strength > 0)
    alike = sorted((own for own in penalized if own[first] > 0), key=lambda own: own[first])
    return alike[len(alike) // 2]


def text(unit: Penalty) -> str:
    """A penalty at strength 1, without the 1."""
    return str(unit).removeprefix("1·")


def runs(given: Any, surface: xr.Dataset, names: Sequence[str], strengths: Mapping[str, list[float]]) -> list[Any]:
    """The runs, checked as for a picture; `strengths` of each penalty's label, one a slider."""
    if given is None:
        return []
    read = _runs.read(given, surface, names)
    if len(read) > MOST_RUNS:
        raise ValueError(f"`runs` are {len(read)}; a page shows {MOST_RUNS}. Choose some: trajectory.sel(start=0).")
    return [_run(run, strengths) for run in read if len(run.steps)]


def _run(run: _runs.Run, strengths: Mapping[str, list[float]]) -> dict[str, Any]:
    every = np.arange(0, len(run.steps), -(-len(run.steps) // MOST_STEPS))
    kept = np.union1d(every, [len(run.steps) - 1])
    dashes = run.look.linestyle[1] if isinstance(run.look.linestyle, tuple) else ()
    objective = run.measured.get("objective")
    label = run.name if not run.penalty else f"{run.name}, {run.penalty}"
    return {
        "label": label,
        "color": to_hex(run.look.color if run.look.color != style.BLACK else style.INK),
        "marker": run.look.marker,
        "dashes": list(dashes),
        "strengths": strengths.get(run.penalty),
        "steps": _packing.doubles(run.steps[kept]),
        "x": _packing.doubles(run.points[0][kept]),
        "y": _packing.doubles(run.points[1][kept]),
        "objective": None if objective is None else _packing.doubles(objective[kept]),
        "residual": _packing.doubles(run.off[kept]) if run.off.any() else None,
    }


def points(
    given: Any, surface: xr.Dataset, names: Sequence[str], strengths: Mapping[str, list[float]]
) -> list[dict[str, Any]]:
    """The critical points in the window, with the strengths that they were found at, where these are known."""
    read = _points.read(given, surface, names)
    if read is None:
        return []
    shown = _points.inside(read, surface, names)
    x, y = (shown[name].to_numpy().tolist() for name in names)
    labels = list(_runs.panels_of("points", read, surface).values()) if "objective_id" in read.attrs else []
    of = {"strengths": strengths.get(labels[0])} if len(labels) == 1 else {}
    return [{"x": a, "y": b, "kind": str(k), **of} for a, b, k in zip(x, y, shown["kind"].to_numpy(), strict=True)]


def common() -> dict[str, Any]:
    """Colors and marks of the house style."""
    colors = (255 * np.asarray(style.SEQUENTIAL(np.linspace(0, 1, 256)))[:, :3]).round().astype(np.uint8)
    kinds = {kind: {"marker": marker, "size": size} for kind, (marker, size) in style.KINDS.items()}
    return {"palette": colors.tobytes().hex(), "kinds": kinds}


def made(*more: str) -> str:
    """The line below a page."""
    return ", ".join([f"Made with jax-landscape {__version__} and JAX {metadata.version('jax')}", *more])
