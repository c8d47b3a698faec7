"""Pages that compute anywhere what they show: of one neuron on its data, and of polynomials."""

from typing import Any

import numpy as np
import xarray as xr

from landscape.charts.plane import axes_plane
from landscape.explorer import _packing, _parts
from landscape.objectives import penalties as _penalties
from landscape.objectives.losses import CrossEntropy
from landscape.objectives.models import NeuronLosses
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty, l1, l2
from landscape.plot import _runs
from landscape.surfaces.evaluate import evaluate
from landscape.surfaces.interpolant import Interpolant

MOST_EXAMPLES = 2000  # that a page can follow while one drags
NAMES = ("w", "b")


def of_neuron(objective: Objective, runs: Any, points: Any) -> dict[str, Any]:
    """The page that holds the examples. Raises: TypeError, ValueError for other objectives than it can compute."""
    x, y, weights = _examples(objective)
    own = objective.penalty
    offered = [l2(1.0), l1(1.0)] if not own.terms else [own.unit()]
    swept = _swept(runs, objective)
    units = {str(unit): unit for unit in [*offered, *(p.unit() for p in swept.values() if p.strength > 0)]}
    strengths = {label: [p.strength if str(p.unit()) == key else 0.0 for key in units] for label, p in swept.items()}
    default = {str(own.unit()): own.strength} if own.terms else {str(l2(1.0)): 0.1}
    sd = float(np.std(x)) or 1.0
    reach = 10 / sd, 10 * max(1.0, abs(float(np.mean(x))) / sd)
    surface = _small(objective, swept, reach)
    shown = _parts.runs(runs, surface, NAMES, strengths)
    starts = _parts.opening(shown, {"": [default.get(key, 0.0) for key in units]}, len(units))
    loss: Any = objective.structure.loss  # type: ignore[union-attr]
    activation = "sigmoid" if isinstance(loss, CrossEntropy) else loss.activation.name
    return {
        "formula": str(objective),
        "made": _parts.made(f"{len(x)} examples"),
        "axes": [_parts.axis(name, name, -size, size) for name, size in zip(NAMES, reach, strict=True)],
        "units": [
            _parts.slider(unit, [own[i] for own in strengths.values()], starts[i])
            for i, unit in enumerate(units.values())
        ],
        "model": {
            "kind": "neuron",
            "x": _packing.doubles(x),
            "y": _packing.doubles(y),
            "weights": None if weights is None else _packing.doubles(weights),
            "loss": loss.name,
            "activation": activation,
            "mean": objective.reduction == "mean",
            "units": [_coefficients(unit, objective) for unit in units.values()],
        },
        "runs": shown,
        "points": _parts.points(points, surface, NAMES, strengths),
    }


def _examples(objective: Objective) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    if not isinstance(objective.losses, NeuronLosses):
        raise TypeError(
            "`surface` is an Objective that is no ls.neuron; a page holds its values: give what ls.evaluate or "
            "ls.interpolate returns of it."
        )
    x, y, *weights = (np.asarray(part, float) for part in objective.data)
    if x.ndim > 1 or set(objective.params) != set(NAMES):
        raise ValueError(
            "`surface` is a neuron whose params are not one w and b; a page of two coordinates holds its values: give "
            "what ls.evaluate returns of it on two axes."
        )
    if len(x) > MOST_EXAMPLES:
        raise ValueError(
            f"`surface` is a neuron with {len(x)} examples; a page computes with {MOST_EXAMPLES} at most: give what "
            "ls.evaluate returns of it."
        )
    return x, y, weights[0] if weights else None


def _swept(runs: Any, objective: Objective) -> dict[str, Penalty]:
    """Label → penalty of the runs; the objective's own without runs."""
    found: dict[str, Penalty] = {}
    for name, label, some in _runs.entries(runs) if runs is not None else []:
        data = _runs.data_of(name, label, some)
        every = _penalties.from_json(data.attrs["penalty_terms"])
        found |= {own: penalty for own, penalty in every.items() if penalty is not None}
    return found or {"": objective.penalty}


def _small(objective: Objective, swept: dict[str, Penalty], reach: tuple[float, float]) -> xr.Dataset:
    """A surface that runs and points are checked against, and whose window they lie in."""
    plane = axes_plane(objective.params, *NAMES)
    axes = {name: np.linspace(-size, size, 3) for name, size in zip(NAMES, reach, strict=True)}
    return evaluate(objective, plane, axes, penalties=None if list(swept) == [""] else swept)


def _coefficients(unit: Penalty, objective: Objective) -> dict[str, list[float]]:
    alpha, beta = unit.coefficients(objective.params)
    return {"alpha": [float(alpha[name]) for name in NAMES], "beta": [float(beta[name]) for name in NAMES]}


def of_polynomials(interpolant: Interpolant, runs: Any, points: Any) -> dict[str, Any]:
    """The page that holds the coefficients. Raises: ValueError unless there are two coordinates."""
    names = interpolant.names
    if len(names) != 2:
        raise ValueError(f"`surface` is an interpolant over {len(names)} coordinates, {names}; give one over two.")
    contents = interpolant._contents
    box, relative = interpolant.box, interpolant.data.attrs["relative_to"]
    surface = interpolant.on({name: np.linspace(*box[name], 3) for name in names})
    labels = contents.labels or [""]
    terms = _penalties.from_json(interpolant.data.attrs["penalty_terms"])
    sweep = {label: (own, terms[label]) for label, own in zip(labels, contents.penalties, strict=True)}
    units = {own.unit: penalty.unit() for own, penalty in sweep.values() if penalty is not None and own.strength > 0}
    strengths = {
        label: [own.strength if own.unit == unit else 0.0 for unit in units] for label, (own, _) in sweep.items()
    }
    shown = _parts.runs(runs, surface, names, strengths)
    starts = _parts.opening(shown, strengths, len(units))
    channels = [contents.channel("risk"), *units]
    pieces = [
        {
            "lower": patch.lower.tolist(),
            "upper": patch.upper.tolist(),
            "degrees": [size - 1 for size in patch.coefficients.shape[1:]],
            "forms": [patch.forms[channel] for channel in channels],
            "coefficients": _packing.doubles(patch.coefficients[channels]),
        }
        for patch in contents.patches
    ]
    return {
        "formula": str(interpolant.data.attrs.get("objective", "")),
        "made": _parts.made(
            f"{interpolant.evaluations} evaluations", f"error {interpolant.error:.1e} of the {relative}"
        ),
        "axes": [_parts.axis(name, name, *box[name]) for name in names],
        "units": [
            _parts.slider(unit, [own.strength for own, _ in sweep.values() if own.unit == number], start)
            for (number, unit), start in zip(units.items(), starts, strict=True)
        ],
        "model": {"kind": "spectral", "units": [{} for _ in units], "pieces": pieces},
        "runs": shown,
        "points": _parts.points(points, surface, names, strengths),
    }
