"""`verify`: somebody's surface, recomputed at random cells from the objective it claims to show.

>>> import numpy as np, landscape as ls
>>> from landscape.surfaces.verify import verify
>>> pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
>>> axes = {"w": np.linspace(-3, 3, 31), "b": np.linspace(-3, 3, 31)}
>>> surface = ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes)
>>> all(number.agrees for number in verify(surface, pair, cells=5))
True
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _checks
from landscape._version import __version__
from landscape.charts import chart as _chart
from landscape.charts import plane, polar  # noqa: F401  # a stored chart is rebuilt from the kinds that are registered
from landscape.charts.chart import Chart
from landscape.objectives import penalties as _penalties
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _compressed
from landscape.surfaces._curved import HOW
from landscape.surfaces._dataset import PER_PENALTY
from landscape.surfaces.evaluate import REQUESTED, evaluate
from landscape.surfaces.quantities import BUILT_IN

if TYPE_CHECKING:
    import xarray

ROUNDING = 1024  # units in the last place that two machines may differ by: sums in another order, another exp
ULPS = 8  # how far the coordinates are moved where a number differs by more: is it that ill-conditioned there?
REDUCED = {"high": 2.0**-10, "tensorfloat32": 2.0**-10, "default": 2.0**-8, "fastest": 2.0**-8, "bfloat16": 2.0**-8}
ENTRIES = ("coordinate", "coordinate_")  # dimensions of a variable that has several numbers in a cell
STANDARDIZED = "standardized: mean"  # in the source of a surface that the command line measured with --standardize
Cell = dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """One number of a surface beside its recomputation."""

    variable: str  # of several numbers in a cell with the names of its coordinates, such as plane_hessian[w, b]
    penalty: str  # label; "" for what no penalty enters, and without a sweep
    cell: Cell  # coordinates
    stored: float
    recomputed: float
    agrees: bool

    @property
    def difference(self) -> float:
        """|stored − recomputed| / |recomputed|: 0 where they are equal, NaN and inf included."""
        if self.stored == self.recomputed or (np.isnan(self.stored) and np.isnan(self.recomputed)):
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = abs(np.float64(self.stored) - self.recomputed) / abs(np.float64(self.recomputed))
        return float(np.nan_to_num(share, nan=np.inf))


def verify(
    surface: xarray.Dataset,
    objective: Objective,
    *,
    chart: Chart | None = None,
    cells: int = 20,
    seed: int = 0,
    same_objective: bool = True,
    source: str = "",
) -> list[Comparison]:
    """Recompute `cells` random cells, and those where the objective is least, and compare every variable in them.

    chart:          needed only where the surface does not hold its own.
    same_objective: False compares the numbers although the fingerprints differ, as they may between versions of JAX.
    source:         where the objective's examples are from, in the words of the surface's own `source`.

    Numbers agree to 1024 units in the last place of the surface's dtype; or, where the objective is so steep or so
    ill-conditioned that rounding costs more, if moving the coordinates by 8 units does as much. Of compressed examples
    the error that the surface states comes on top: of the risk in units of itself, of derivatives and standard errors
    in units of their largest size. Penalties are rebuilt from what the surface stores; of one under a mask only the
    sums are checked. Of a surface with splits the one is recomputed that shows the objective given. `unchecked` says
    what is left out.
    Raises: ValueError if the surface shows another objective (what differs is named), or does not hold its chart.
    """
    _checks.count("cells", cells)
    surface = _one_split(surface, objective)
    if same_objective:
        _check_objective(surface, objective, source)
    rebuilt = _chart_of(surface, chart)
    sweep = _same_penalties(surface, objective)
    allowed = _allowed(surface)
    out = []
    for place in _places(surface, cells, seed):
        stored = surface.isel(place)
        cell = {name: float(stored[name]) for name in rebuilt.names}
        out += _compare(stored, objective, rebuilt, sweep, cell, allowed)
    return out


def unchecked(surface: xarray.Dataset, objective: Objective) -> list[str]:
    """What `verify` cannot recompute: own quantities by name, other splits and penalties under a mask by label."""
    checked = _splits(_one_split(surface, objective))
    masked = [label for label, penalty in _same_penalties(surface, objective).items() if penalty is None]
    own = [str(name) for name in surface.data_vars if not _is_built_in(surface, str(name))]
    other = [f"the split {label!r}, of other data" for label in _splits(surface) if label not in checked]
    return own + other + [f"the penalty {label!r}, which is under a mask".replace(" ''", "") for label in masked]


def _is_built_in(surface: xarray.Dataset, name: str) -> bool:
    """Whether a variable is a quantity of this package's, and none of the user's of that name."""
    return name in BUILT_IN and name not in json.loads(surface.attrs.get("own_quantities", "[]"))


def _splits(surface: xarray.Dataset) -> list[str]:
    return np.atleast_1d(surface["split"].to_numpy()).tolist() if "split" in surface.coords else []


def _one_split(surface: xarray.Dataset, objective: Objective) -> xarray.Dataset:
    """Of a surface with splits the one that shows the objective, as if it had been measured alone."""
    labels = _splits(surface)
    if not labels or "objective_ids" not in surface.attrs:
        return surface
    ids: dict[str, str] = json.loads(surface.attrs["objective_ids"])
    label = next((label for label in labels if ids[label] == objective.id), labels[0])
    if len(labels) > 1 and ids[label] != objective.id:
        listed = ", ".join(f"{name!r} ({ids[name]})" for name in labels)
        raise ValueError(
            f"the surface has the splits {listed}, and none of them shows the objective given ({objective.id}); give "
            f"the objective with the data of one, or choose one: surface.sel(split={labels[0]!r})."
        )
    counts = dict(zip(ids, surface.attrs["num_examples"], strict=True))
    formula = surface.attrs["objective"] if label == next(iter(ids)) else ""  # stored is that of the first
    one = surface.sel(split=label) if "split" in surface.dims else surface
    return one.assign_attrs(objective_id=ids[label], num_examples=counts[label], objective=formula)


def _check_objective(surface: xarray.Dataset, objective: Objective, source: str) -> None:
    attributes = surface.attrs
    if attributes.get("objective_id") == objective.id:
        return
    dtype = str(objective.dtype)
    pairs = {
        "examples": (attributes.get("num_examples"), objective.n),
        "dtype": (attributes.get("dtype"), dtype),
        "reduction": (attributes.get("reduction"), objective.reduction),
        "risk": (_risk_of(attributes.get("objective") or str(objective)), _risk_of(str(objective))),
        "source": (attributes.get("source") or source, source or attributes.get("source", "")),
        "JAX": (attributes.get("jax_version"), jax.__version__),
        "landscape": (attributes.get("landscape_version"), __version__),
    }
    differing = {name: f"{name}: {there} there, {here} here" for name, (there, here) in pairs.items() if there != here}
    what = "; ".join(differing.values()) or "the data, or the losses' code: formula, examples and dtype are the same"
    if differing and differing.keys() <= {"JAX", "landscape"}:
        what += ", which may change the fingerprint of equal losses: same_objective=False (--force) compares numbers"
    stored, given = (STANDARDIZED in text for text in (attributes.get("source") or source, source))
    if source and stored != given:
        what += ". Its inputs were " + ("standardized: add --standardize" if stored else "not: leave out --standardize")
    raise ValueError(
        f"the surface shows the objective {attributes.get('objective_id')}, and the one given is {objective.id}. "
        f"What differs: {what}."
    )


def _risk_of(formula: str) -> str:
    return formula.split("\n")[0]


def _chart_of(surface: xarray.Dataset, chart: Chart | None) -> Chart:
    if chart is None:
        if not surface.attrs.get("chart"):
            raise ValueError("the surface does not hold its chart (too large, or of its own kind); give it (--chart).")
        chart = _chart.from_json(surface.attrs["chart"])
    elif _chart.chart_id(chart) != surface.attrs.get("chart_id"):
        raise ValueError(
            f"`chart` is {_chart.chart_id(chart)}, and the surface was measured on {surface.attrs.get('chart_id')}; "
            + ("leave it out: the surface holds its chart." if surface.attrs.get("chart") else "give that one.")
        )
    missing = [name for name in chart.names if name not in surface.coords]
    if missing:
        raise ValueError(f"the surface has lost the coordinate {missing[0]!r}; verify it as `evaluate` returned it.")
    return chart


def _penalties_of(surface: xarray.Dataset) -> dict[str, Penalty | None]:
    """Label -> penalty, for the labels that the surface holds now; the only label without a sweep is ""."""
    stored = _penalties.from_json(surface.attrs.get("penalty_terms", "{}"))
    if "penalty" not in surface.coords:
        return {"": stored.get("")}
    return {label: stored.get(label) for label in np.atleast_1d(surface["penalty"].to_numpy()).tolist()}


def _same_penalties(surface: xarray.Dataset, objective: Objective) -> dict[str, Penalty | None]:
    """The surface's penalties. Without a sweep its one is the objective's: the one given must not contradict it."""
    sweep = _penalties_of(surface)
    if "" not in sweep or not objective.penalty.terms:
        return sweep
    own = json.loads(surface.attrs.get("penalties", "{}")).get("")
    if str(objective.penalty) != own:
        raise ValueError(f"the surface has the penalty {own}, and the objective given has {objective.penalty}.")
    return {"": objective.penalty}


def _places(surface: xarray.Dataset, count: int, seed: int) -> Iterator[dict[str, int]]:
    """Indices of `count` cells without repeats (all if there are no more), and of the least one of each penalty."""
    dims, shape = [str(dim) for dim in surface["risk"].dims], surface["risk"].shape
    total = int(np.prod(shape, dtype=np.int64))
    there = np.flatnonzero(surface["computed"].transpose(*dims)) if "computed" in surface else np.arange(total)
    if not there.size:
        raise ValueError("the surface has no cell that is computed yet.")
    chosen = np.random.default_rng(seed).choice(there, size=min(count, there.size), replace=False).tolist()
    objective = surface["objective"].transpose(..., *dims).to_numpy().reshape(-1, total)
    chosen += [int(np.argmin(row)) for row in np.where(np.isfinite(objective), objective, np.inf)]
    for index in dict.fromkeys(chosen):
        yield {dim: int(i) for dim, i in zip(dims, np.unravel_index(index, shape), strict=True)}


def _compare(
    stored: xarray.Dataset,
    objective: Objective,
    chart: Chart,
    sweep: dict[str, Penalty | None],
    cell: Cell,
    allowed: dict[str, float],
) -> Iterator[Comparison]:
    """Every number of one cell; where one differs by more than allowed, its surroundings are measured too."""
    share = tolerance(stored)
    of_risk = share + stated_error(stored)
    here = _measured(stored, objective, chart, sweep, cell, ulps=0)
    around = None
    for variable, label, values in _numbers(stored, sweep):
        wanted = _value(here, variable, label)
        for entry in _entries(values):
            name = f"{variable}[{', '.join(entry.values())}]" if entry else variable
            value, recomputed = float(values.sel(entry)), float(wanted.sel(entry).squeeze())
            result = Comparison(name, label, cell, value, recomputed, True)
            wide = result.difference > (of_risk if variable in ("risk", "objective") else share)
            if wide and not abs(value - recomputed) <= allowed.get(variable, 0.0):
                if around is None:
                    around = _measured(stored, objective, chart, sweep, cell, ulps=ULPS)
                near = _value(around, variable, label).sel(entry).to_numpy()
                result = replace(result, agrees=_within(value, near, share))
            yield result
    for label in (label for label, penalty in sweep.items() if penalty is None):
        yield from _sums(stored, label, cell, share)


def _sums(stored: xarray.Dataset, label: str, cell: Cell, share: float) -> Iterator[Comparison]:
    """objective = risk + penalty, and penalty = strength · unit, where the penalty itself cannot be recomputed."""
    own = stored.sel(penalty=label) if "penalty" in stored.dims else stored
    sums = {"objective": float(own["risk"]) + float(own["penalty_value"])}
    if "strength" in own.coords:
        sums["penalty_value"] = float(own["strength"]) * float(own["penalty_unit"])
    for variable, wanted in sums.items():
        result = Comparison(variable, label, cell, float(own[variable]), wanted, True)
        yield replace(result, agrees=result.difference <= share)


def _allowed(surface: xarray.Dataset) -> dict[str, float]:
    """What compressed examples may change in derivatives and standard errors: their stated error, in units of each
    variable's largest size; the risk's is in units of itself. And what interpolation may change."""
    interpolated = json.loads(surface.attrs.get("interpolation", "{}"))
    if interpolated:
        return {name: 2 * error for name, error in interpolated["errors"].items()}  # which are estimates
    error = stated_error(surface)
    summed = ("risk_stderr", "risk_gradient_norm", "gradient_norm", "slope", "plane_hessian")
    sizes = {name: np.abs(surface[name].to_numpy()) for name in summed if name in surface}
    return {name: error * float(size[np.isfinite(size)].max(initial=0.0)) for name, size in sizes.items()}


def stated_error(surface: xarray.Dataset) -> float:
    """The error that compressed examples have by what the surface says; 0 if it is of all examples."""
    return max((part.error for part in _compressed.read(surface.attrs)), default=0.0)


def tolerance(surface: xarray.Dataset) -> float:
    """The relative difference that rounding explains, from the surface's dtype and the precision of its products."""
    eps = max(float(jnp.finfo(surface.attrs["dtype"]).eps), 2.0**-52)
    return max(ROUNDING * eps, REDUCED.get(surface.attrs.get("precision", ""), 0.0))


def _measured(
    stored: xarray.Dataset, objective: Objective, chart: Chart, sweep: dict[str, Penalty | None], cell: Cell, ulps: int
) -> xarray.Dataset:
    """The surface's variables at one cell; with `ulps`, on the grid around it, so many units in the last place away."""
    eps = float(jnp.finfo(stored.attrs["dtype"]).eps)
    axes = {}
    for name, value in cell.items():
        step = ulps * eps * (abs(value) or 1.0)
        axes[name] = np.array([value] if not ulps else [value - step, value, value + step])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*below the resolution")  # that small on purpose
        warnings.filterwarnings("ignore", message=".*finite at none of the cells")  # the stored cell is not either
        measured = evaluate(
            objective,
            chart,
            axes,
            quantities=[name for name in REQUESTED if name in stored and _is_built_in(stored, name)],
            penalties={label: Penalty() if p is None else p for label, p in sweep.items()},
            precision=stored.attrs.get("precision", "highest"),
            progress=False,
            exact=True,
        )
    chosen = {dim: stored[dim].to_numpy() for dim in ENTRIES if dim in measured.dims}  # maybe one, surface.sel(…)
    return measured.sel(chosen)


def _entries(values: xarray.DataArray) -> Iterator[dict[str, str]]:
    """Where each number of a cell is, along the dimensions that are not the chart's; {} for the only one."""
    dims = [dim for dim in ENTRIES if dim in values.dims]
    for labels in itertools.product(*(values[dim].to_numpy().tolist() for dim in dims)):
        yield dict(zip(dims, labels, strict=True))


def _numbers(stored: xarray.Dataset, sweep: dict[str, Penalty | None]) -> Iterator[tuple[str, str, xarray.DataArray]]:
    """(variable, label, values) of one cell, as far as they can be recomputed."""
    for variable in map(str, stored.data_vars):
        if not _is_built_in(stored, variable) or variable in HOW:
            continue
        if variable not in PER_PENALTY:
            yield variable, "", stored[variable]
            continue
        for label in (label for label, penalty in sweep.items() if penalty is not None):
            yield variable, label, _value(stored, variable, label)


def _value(measured: xarray.Dataset, variable: str, label: str) -> xarray.DataArray:
    values = measured[variable]
    return values.sel(penalty=label) if "penalty" in values.dims else values


def _within(value: float, around: np.ndarray, share: float) -> bool:
    """Whether a number lies among those that the cell's surroundings take, to rounding."""
    if not np.isfinite(value):
        return bool(np.any((around == value) | (np.isnan(around) & np.isnan(value))))
    finite = around[np.isfinite(around)]
    if not finite.size:
        return False
    low, high = float(finite.min()), float(finite.max())
    slack = share * max(abs(low), abs(high))
    return low - slack <= value <= high + slack
