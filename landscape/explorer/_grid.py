"""The page of a surface on a grid: its risk, its penalties at strength 1, and what the gradient's norm is made of."""

from typing import Any

import numpy as np
import xarray as xr

from landscape.explorer import _packing, _parts
from landscape.objectives import penalties as _penalties
from landscape.objectives.penalties import Penalty
from landscape.plot import _panels


def content(surface: xr.Dataset, runs: Any, points: Any) -> dict[str, Any]:
    """Raises: as `_panels.plane`; ValueError for penalties that the surface does not describe."""
    names = _panels.plane(surface, "risk")
    surface = surface.sortby(list(names))
    sweep = _sweep(surface)
    units = _units(sweep)
    strengths = {label: [p.strength if _key(p) == unit else 0.0 for unit in units] for label, p in sweep.items()}
    owned = {unit: [p.strength for p in sweep.values() if _key(p) == unit] for unit in units}
    positions = [surface[name].to_numpy().astype(float) for name in names]
    axes = [
        _parts.axis(name, _panels.label_of(surface[name]), own[0], own[-1], own)
        for name, own in zip(names, positions, strict=True)
    ]
    fields = {unit: _field(_of(surface, "penalty_unit", label), names) for unit, label in units.items()}
    shown = _parts.runs(runs, surface, names, strengths)
    starts = _parts.opening(shown, strengths, len(units))
    cells = " × ".join(str(surface.sizes[name]) for name in names)
    return {
        "formula": str(surface.attrs.get("objective", "")),
        "made": _parts.made(str(surface.attrs.get("dtype", "")), f"{cells} cells"),
        "axes": axes,
        "units": [
            _parts.slider(sweep[label].unit(), owned[unit], start)
            for (unit, label), start in zip(units.items(), starts, strict=True)
        ],
        "model": {
            "kind": "grid",
            "positions": [_packing.doubles(own) for own in positions],
            "risk": _field(_panels.masked(surface, "risk"), names),
            "units": [{"field": field} for field in fields.values()],
            "squares": _squares(surface, names, sweep, list(units)),
        },
        "runs": shown,
        "points": _parts.points(points, surface, names, strengths),
    }


def _sweep(surface: xr.Dataset) -> dict[str, Penalty]:
    """Label → penalty, of those that the surface holds now; "" without a sweep."""
    every = _penalties.from_json(surface.attrs["penalty_terms"])
    labels = [str(label) for label in np.atleast_1d(surface["penalty"].values)] if "penalty" in surface.coords else [""]
    found = {label: every[label] for label in labels}
    unknown = [label for label, penalty in found.items() if penalty is None]
    if unknown:
        raise ValueError(f"`surface` does not say what its penalty {unknown[0]!r} is made of; explore one without it.")
    return {label: penalty for label, penalty in found.items() if penalty is not None}


def _key(penalty: Penalty) -> str:
    return str(penalty.unit())


def _units(sweep: dict[str, Penalty]) -> dict[str, str]:
    """The penalties that differ at strength 1, each with the label of one that has it."""
    return {_key(penalty): label for label, penalty in reversed(sweep.items()) if penalty.strength > 0}


def _of(surface: xr.Dataset, variable: str, label: str) -> xr.DataArray:
    values = surface[variable]
    return values.sel(penalty=label) if "penalty" in values.dims else values


def _field(values: xr.DataArray, names: tuple[str, str]) -> dict[str, Any]:
    return _packing.field(values.transpose(*names).to_numpy().astype(np.float32))


def _squares(
    surface: xr.Dataset, names: tuple[str, str], sweep: dict[str, Penalty], units: list[str]
) -> dict[str, Any] | None:
    """‖∇R‖², and of each penalty Ω the fields ∇R·∇Ω and ‖∇Ω‖², where the surface has gradient norms.

    ‖∇(R + λΩ)‖² = ‖∇R‖² + 2λ ∇R·∇Ω + λ²‖∇Ω‖² is a parabola in λ: two strengths and the risk's own norm determine it.
    """
    if "risk_gradient_norm" not in surface:
        return None
    risk = surface["risk_gradient_norm"].astype(float).transpose(*names) ** 2
    parts: list[Any] = []
    for unit in units:
        own = {p.strength: label for label, p in sweep.items() if _key(p) == unit and p.strength > 0}
        if "gradient_norm" not in surface or len(own) < 2:
            parts.append(None)
            continue
        rises = [
            (_of(surface, "gradient_norm", label).astype(float).transpose(*names) ** 2 - risk).to_numpy() / strength
            for strength, label in own.items()
        ]
        lines = np.stack([np.full(len(own), 2.0), np.array(list(own))], axis=1)  # 2 cross + λ square, for each λ
        solved = np.einsum("ik,k...->i...", np.linalg.pinv(lines), np.stack(rises))
        parts.append({"cross": _packing.field(solved[0]), "square": _packing.field(solved[1])})
    return {"risk": _packing.field(risk.to_numpy()), "units": parts}
