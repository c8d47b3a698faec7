"""What the commands print: tables of text, and where a surface is least."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
    import xarray

    from landscape.charts.trajectory import Trajectory
    from landscape.surfaces.verify import Comparison

NO_MINIMUM = "no minimum in this window: the least value lies on its border"
TOLERANCE = 1e-3  # of the gradient's norm, in the column of steps
SHOWN_ROWS, SHOWN_PARAMS = 60, 6


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns, numbers to the right and text to the left; those that are empty everywhere are left out."""
    texts = [[_text(cell) for cell in row] for row in rows]
    kept = [i for i, _ in enumerate(header) if any(row[i] for row in texts)]
    columns = []
    for i in kept:
        width = max(len(header[i]), *(len(row[i]) for row in texts))
        number = any(isinstance(row[i], (int, float)) for row in rows)
        place = str.rjust if number else str.ljust
        columns.append([place(text, width) for text in (header[i], *(row[i] for row in texts))])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _value(value: Any) -> Any:
    """A 0-d array as a Python number, −0 as 0; float32 as the shortest decimal that means it."""
    item = np.asarray(value).item()
    return item + 0.0 if isinstance(item, float) else item


def minima(surface: "xarray.Dataset") -> str:
    """For each penalty the least objective on the grid, where, and whether it is a minimum; non-finite cells."""
    from landscape import minimum

    swept = "penalty" in surface["objective"].dims
    axes = [str(dim) for dim in surface["objective"].dims if dim != "penalty"]
    rows, growing = [], "computed" in surface
    for piece in [surface.isel(penalty=i) for i in range(surface.sizes["penalty"])] if swept else [surface]:
        label = str(piece["penalty"].item()) if "penalty" in piece.coords else ""
        if not np.isfinite(piece["objective"]).any():
            rows.append([label, *[""] * (1 + len(axes)), "nothing yet" if growing else "nowhere finite in this window"])
            continue
        best = minimum(piece)
        note = "" if growing or bool(best["interior"]) else NO_MINIMUM
        if note and (ties := int(best["ties"])) > 1:
            note = f"the least value reaches the border ({ties} cells share it)"
        rows.append([label, _value(best["objective"]), *(_value(best[name]) for name in axes), note])
    wrong = ~surface["finite"] & surface.get("computed", True)
    count, total = int(wrong.sum()), surface["finite"].size
    remarks = f"\n{count} of {total} cells are not finite (`finite` is False there)" if count else ""
    if growing:
        remarks += f"\nof the {int(surface['computed'].sum())} of {total} cells that are computed"
    return table(["penalty", "least objective", *axes, "remark"], rows) + remarks


def held(surface: "xarray.Dataset") -> str:
    """Where the slice lies, "at b = 0": coordinates that were selected, and entries that no axis of the plane moves."""
    fixed = {str(name): _value(value) for name, value in surface.coords.items() if value.ndim == 0}
    fixed = {name: value for name, value in fixed.items() if name not in ("penalty", "strength")}
    stored = json.loads(surface.attrs.get("chart") or "{}")
    plane = stored.get("plane", stored)  # Polar and Boundary are of a plane
    for leaf, origin in plane.get("origin", {}).items():
        moved = np.any([np.array(direction[leaf]["values"]) != 0 for direction in plane["directions"]], axis=0)
        for i, index in enumerate(np.ndindex(*origin["shape"])):
            if not moved[i]:
                name = f"{leaf}[{', '.join(map(str, index))}]" if index else leaf
                fixed[name] = origin["values"][i] + 0.0
    shown = [f"{name} = {value:.6g}" for name, value in list(fixed.items())[:SHOWN_PARAMS]]
    more = f", … and {len(fixed) - SHOWN_PARAMS} more entries" if len(fixed) > SHOWN_PARAMS else ""
    return f"at {', '.join(shown)}{more}" if shown else ""


def runs(trajectory: "Trajectory") -> str:
    """For each run where it ended, the risk, objective and gradient norm there, and the steps that it took."""
    data = trajectory.data
    dims = [str(dim) for dim in data["risk"].dims if dim != "step"]
    steps = trajectory.steps_to(TOLERANCE)
    names = list(_numbers(trajectory, {dim: 0 for dim in dims}))
    rows = []
    places = list(np.ndindex(*(data.sizes[dim] for dim in dims)))
    for place in places[:SHOWN_ROWS]:
        at = dict(zip(dims, place, strict=True))
        run = data.isel(at)
        last = run.isel(step=-1)
        finite = run["finite"].to_numpy()
        note = "" if finite.all() else f"became non-finite at step {int(run['step'][int(finite.argmin())])}"
        if "computed" in run and not run["computed"].all():
            note = "not all computed yet" if run["computed"].any() else "not computed yet"
        if "status" in run and int(run["status"]):  # of a gradient flow: how it ended
            meanings = str(data["status"].attrs["flag_meanings"]).split()
            note = f"{meanings[int(run['status'])].replace('_', ' ')} at time {float(run['end_time']):.6g}"
        reached = _value(steps.isel(at))
        rows.append(
            [
                *(_value(data[dim][i]) for dim, i in at.items()),
                *_numbers(trajectory, at).values(),
                *(_value(last[v]) for v in ("risk", "objective", "gradient_norm")),
                "never" if np.isnan(reached) else int(reached),
                note,
            ]
        )
    header = [*dims, *names, "risk", "objective", "gradient norm", f"steps to |grad| {TOLERANCE:g}", "remark"]
    more = f"\n… and {len(places) - SHOWN_ROWS} more runs" if len(places) > SHOWN_ROWS else ""
    return table(header, rows) + more


def _numbers(trajectory: "Trajectory", at: dict[str, int]) -> dict[str, float]:
    """Where a run ended: its params, or their norm if they are many; the coordinates where no params were kept."""
    from landscape import _trees

    if trajectory.params is None:
        last = trajectory.data.isel(at).isel(step=-1)
        skipped = ("risk", "objective", "gradient_norm", "finite")
        return {str(name): float(last[name]) for name in last.data_vars if name not in skipped}
    params = jax.tree.map(lambda leaf: leaf[(*at.values(), -1)], trajectory.params)
    named = sorted(_trees.named_leaves(params).items(), key=lambda item: item[0] == "b")
    if sum(np.size(leaf) for _, leaf in named) > SHOWN_PARAMS:
        return {"‖θ‖": float(_trees.norm(jax.tree.map(jax.numpy.asarray, params)))}
    return {
        f"{name}[{', '.join(map(str, index))}]" if index else name: _value(np.asarray(leaf)[index])
        for name, leaf in named
        for index in np.ndindex(np.shape(leaf))
    }


def summary(path: str, data: "xarray.Dataset") -> str:
    """What a saved result is: formula, dimensions, penalties, variables, and how it was made."""
    attributes = data.attrs
    objective = attributes.get("objective", "")
    penalties = json.loads(attributes.get("penalties", "{}"))
    lines = {
        "objective": objective.replace("\n", "\n" + " " * 16),
        "of": attributes.get("source", ""),
        "penalties": ",  ".join(f"{label}: {text}" for label, text in penalties.items() if label),
        "tiles": f"{attributes['tiles_complete']} of {attributes['tiles']} complete" if "tiles" in attributes else "",
        "dimensions": ",  ".join(_dimension(data, str(dim)) for dim in data.sizes if dim != "coordinate"),
        "held": held(data) if attributes["kind"] == "surface" else "",
        "variables": ", ".join(str(v) for v in data.data_vars),
        "interpolated": interpolated(attributes),
        "examples": compressed(attributes).removeprefix("examples: "),
        "made with": _made_with(attributes),
        "fingerprints": ", ".join(
            f"{noun} {attributes[f'{noun}_id']}" for noun in ("objective", "chart") if attributes.get(f"{noun}_id")
        ),
    }
    return "\n".join([f"{attributes['kind']} {path}", *(f"  {name:<14}{text}" for name, text in lines.items() if text)])


def interpolated(attributes: Mapping[Any, Any]) -> str:
    """From what an interpolated surface is made."""
    if "interpolation" not in attributes:
        return ""
    said = json.loads(attributes["interpolation"])
    pieces = f"{said['pieces']} piece{'s' * (said['pieces'] > 1)}"
    return (
        f"{said['evaluations']} evaluations, {pieces}, estimated error {said['error']:.1e} of the {said['relative_to']}"
    )


def compressed(attributes: Mapping[Any, Any]) -> str:
    """How examples were compressed, of each split whose were."""
    from landscape.surfaces._compressed import read

    texts = [str(part) for part in read(attributes) if not part.why_not]
    return f"examples: {'; '.join(texts)}" if texts else ""


def _dimension(data: "xarray.Dataset", dim: str) -> str:
    values = data[dim].to_numpy()
    if values.dtype.kind in "UO" or dim == "start":
        return f"{len(values)} {dim if len(values) == 1 else {'penalty': 'penalties'}.get(dim, dim + 's')}"
    return f"{dim}: {len(values)} from {_value(values[0]):.6g} to {_value(values[-1]):.6g}"


def _made_with(attributes: dict[str, Any]) -> str:
    said = {
        "landscape_version": "landscape {}",
        "jax_version": "JAX {}",
        "numpy_version": "NumPy {}",
        "device": "on {}",
        "dtype": "{}",
        "precision": "products in precision {!r}",
        "wall_seconds": "in {:.3g} s",
    }
    return ", ".join(text.format(attributes[name]) for name, text in said.items() if name in attributes)


def verified(numbers: Sequence["Comparison"]) -> str:
    """The worst relative difference of each variable."""
    rows = []
    for variable in dict.fromkeys(number.variable for number in numbers):
        own = [number for number in numbers if number.variable == variable]
        wrong = sum(not number.agrees for number in own)
        rows.append([variable, len(own), max(number.difference for number in own), f"{wrong} wrong" if wrong else ""])
    return table(["variable", "numbers", "worst relative difference", "remark"], rows)


def disagreements(numbers: Sequence["Comparison"], shown: int = 10) -> str:
    """The numbers that are wrong, the worst first."""
    wrong = sorted((n for n in numbers if not n.agrees), key=lambda n: -n.difference)
    rows = [[n.variable, n.penalty, *n.cell.values(), n.stored, n.recomputed] for n in wrong[:shown]]
    more = f"\n… and {len(wrong) - shown} more" if len(wrong) > shown else ""
    return table(["variable", "penalty", *wrong[0].cell, "stored", "recomputed"], rows) + more
