"""Trajectories: where optimizers went, one run or many, and what was recorded on the way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _checks, _html, _trees
from landscape._trees import Params
from landscape.charts import axes as _axes
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart

if TYPE_CHECKING:
    import xarray

BLOCK_BYTES = 2**28  # of params that are on the device at a time, to be projected
SHOWN = 5  # labels or leaves that a text names; there may be thousands

LONG_NAMES = {
    "risk": "risk",
    "objective": "objective",
    "gradient_norm": "norm of the objective's gradient",
    "finite": "whether the run is finite",
    "residual": "distance from the chart",
}


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Runs of one or more optimizers.

    params: a tree of NumPy arrays, the leading axes of every leaf being `data.risk.dims`; None where only the
            coordinates on a chart were recorded. Frozen leaves have these axes too (views, as a rule; random keys stay
            JAX arrays), so that `jax.tree.map(lambda leaf: leaf[-1], trajectory.params)` is a full tree of params.
    data:   xarray.Dataset over optimizer, penalty, start (each only if there are several) and step, with risk,
            objective, gradient_norm, finite, and what else was recorded; attributes hold the provenance.
    """

    params: Params
    data: xarray.Dataset

    def on(self, chart: Chart | xarray.Dataset) -> xarray.Dataset:
        """The runs seen on a chart (or on the chart of a surface): its coordinates, and what the chart does not show.

        Returns: a Dataset with the dimensions of `data`; a variable for each coordinate, on a Plane with the attribute
        `unit_length`, the distance between params one unit apart; residual, the distance of the params from the
        chart's nearest point; and the recorded risk, objective, gradient_norm and finite, measured at the true params.
        Raises: ValueError if only coordinates on another chart were recorded, or the surface does not hold its chart.
        """
        chart, chart_id = resolved(chart)
        if self.params is None:
            if self.data.attrs["chart_id"] != chart_id:
                raise ValueError(
                    "`chart` is not the one on which this trajectory was recorded, and its params were not kept. "
                    "Record with record=None, or with record= this chart."
                )
            return self.data
        dims, shape = self.data.risk.dims, self.data.risk.shape
        coordinates, residual = seen(chart, self.params, shape)
        variables = {name: (dims, values, attributes) for name, (values, attributes) in coordinates.items()}
        variables["residual"] = (dims, residual, {"long_name": LONG_NAMES["residual"], "units": "1"})
        return self.data.assign(variables).assign_attrs(chart_id=chart_id)

    def sel(self, **labels: Any) -> Trajectory:
        """The runs of these labels, params and data: `run.sel(optimizer="adam", start=0)`.

        labels: one for each dimension to select in; that dimension is gone then.
        Raises: ValueError, naming it, for a dimension that there is not, for `step`, and for an unknown label.
        """
        dims = self.data.risk.dims
        where: dict[str, int] = {}
        for dim, label in labels.items():
            if dim not in dims[:-1]:
                has = ", ".join(map(str, dims[:-1])) or "a single run"
                raise ValueError(f"`{dim}` is no dimension to select runs in; this trajectory has {has}.")
            known = self.data[dim].to_numpy().tolist()
            if label not in known:
                shown = ", ".join(map(repr, known[:SHOWN])) + (", …" if len(known) > SHOWN else "")
                raise ValueError(f"`{dim}` is {label!r}; it must be one of {shown}.")
            where[dim] = known.index(label)
        at = tuple(where.get(str(dim), slice(None)) for dim in dims)
        return Trajectory(jax.tree.map(lambda leaf: leaf[at], self.params), self.data.isel(where))

    def steps_to(self, tolerance: float) -> xarray.DataArray:
        """The first recorded step with gradient_norm ≤ tolerance, for each run; NaN where there is none.

        The norm is that of the minimum-norm subgradient on the full data: 0 exactly at a stationary point.
        Raises: ValueError unless the tolerance is a number > 0.
        """
        if not _checks.number("tolerance", tolerance) > 0:
            raise ValueError(f"`tolerance` is {tolerance}; it must be a number > 0.")
        reached = self.data.gradient_norm <= tolerance
        first = self.data.step[reached.argmax("step")].where(reached.any("step")).drop_vars("step")
        return first.rename("steps").assign_attrs(long_name=f"steps to a gradient norm of {tolerance:g}", units="1")

    def __repr__(self) -> str:
        sizes = ", ".join(f"{dim}: {size}" for dim, size in self.data.sizes.items())
        return f"Trajectory({sizes})\n  of {self.data.attrs.get('objective', 'an objective')}\n  keeping {self._kept()}"

    def _kept(self) -> str:
        return "coordinates on a chart" if self.params is None else _trees.layout(self.params, most=SHOWN)

    def _repr_html_(self) -> str:
        *leading, _ = map(str, self.data.risk.dims)
        shape = self.data.risk.shape
        count = math.prod(shape[:-1])
        indices = itertools.islice(np.ndindex(shape[:-1]), _html.ROWS)
        rows = [_row(self.data, leading, index) for index in indices]
        failed = int((~self.data.finite.astype(bool) & _computed(self.data)).any("step").sum())
        return _html.card(
            f"Trajectory of {count:,} run{'s' * (count != 1)}",
            _html.lines(str(self.data.attrs.get("objective", ""))),
            _html.note(f"{shape[-1]:,} recorded steps", f"<b>{failed:,} became non-finite</b>" if failed else ""),
            _html.table((*leading, *_LAST.values()), rows, _html.left_out(count, _html.ROWS)),
            _html.note("keeping " + _html.code(self._kept())),
        )


_LAST = {"step": "step", "risk": "risk", "objective": "objective", "gradient_norm": "gradient norm"}


def _row(data: xarray.Dataset, leading: list[str], index: tuple[int, ...]) -> list[str]:
    """A run's labels, and what it had at its last finite step; where that is not its last one, it is said."""
    run = data.isel(dict(zip(leading, index, strict=True)))
    named = zip(leading, index, strict=True)
    labels = [_html.code(run[dim].item() if dim in run.coords else i) for dim, i in named]
    finite = run.finite.to_numpy().astype(bool)
    if not _computed(run).to_numpy()[0]:
        return [*labels, "not computed yet", *["–"] * (len(_LAST) - 1)]
    if not finite[0]:
        return [*labels, f"{int(run.step[0])}, <b>not finite</b>", *["–"] * (len(_LAST) - 1)]
    last = len(finite) - 1 if finite.all() else int(np.argmin(finite)) - 1
    ended = f"{int(run.step[last])}" + ("" if finite.all() else ", then <b>not finite</b>")
    return [*labels, ended, *(f"{float(run[name][last]):.6g}" for name in list(_LAST)[1:])]


def _computed(data: xarray.Dataset) -> xarray.DataArray:
    """Whether a step is computed: all are, but in a store that is still being filled."""
    everywhere = data.finite.notnull()
    return data.computed.broadcast_like(everywhere).astype(bool) if "computed" in data else everywhere


def seen(
    chart: Chart, params: Params, shape: tuple[int, ...]
) -> tuple[dict[str, tuple[np.ndarray, dict[str, Any]]], np.ndarray]:
    """Params with leaves (*shape, …) on a chart: {coordinate: (values (*shape), attributes)}, residuals (*shape)."""
    params = _narrowed(params, chart)
    example = jax.tree.map(lambda leaf: leaf[(0,) * len(shape)], params)
    _chart.check_fits("chart", chart, example)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(shape) :]), _trees.floating(params))
    coordinates, residual = projected(chart, flat, example)
    described = _axes.described(chart).items()
    named = {name: (coordinates[:, i].reshape(shape), said) for i, (name, said) in enumerate(described)}
    return named, residual.reshape(shape)


def from_records(
    records: dict[str, Any],
    sizes: Mapping[str, Any],
    steps: Sequence[int],
    chart: Chart | None,
    attributes: Mapping[str, Any],
) -> Trajectory:
    """A Trajectory of records whose leaves are (optimizer, penalty, start, step, …).

    records: risk, objective, gradient_norm, finite; and params (axes of length 1 are repeated where they must be: those
             of frozen leaves), or coordinates and residual.
    sizes:   for each of the first three axes its labels (for "penalty" a dict of coordinates), or None where there is
             only one and no dimension.
    """
    import xarray

    squeezed = tuple(i for i, name in enumerate(sizes) if sizes[name] is None)
    lengths = np.shape(records["risk"])
    records = jax.tree.map(lambda leaf: _squeezed(leaf, lengths, squeezed), records)
    dims = (*(name for name, labels in sizes.items() if labels is not None), "step")
    params, coordinates = records.pop("params", None), records.pop("coordinates", None)
    variables = {
        name: (dims, values, {"long_name": LONG_NAMES[name], "units": "1"}) for name, values in records.items()
    }
    if chart is not None:
        for i, (name, described) in enumerate(_axes.described(chart).items()):
            variables[name] = (dims, coordinates[..., i], described)
    coords: dict[str, Any] = {"step": ("step", np.asarray(steps), {"long_name": "step", "units": "1"})}
    for name, labels in sizes.items():
        if labels is not None:
            coords |= labels if isinstance(labels, Mapping) else {name: (name, labels)}
    extra = {} if chart is None else {"chart": _chart.to_json(chart), "chart_id": _chart.chart_id(chart)}
    return Trajectory(params, xarray.Dataset(variables, coords, {**attributes, **extra, "kind": "trajectory"}))


def with_frozen(moving: Params, params: Params) -> Params:
    """Records `moving`, with None where a leaf is frozen, filled in with those of `params`, for `from_records`."""

    def leaf(recorded: Any, own: Any) -> Any:
        if recorded is not None or own is None:
            return recorded
        is_key = jnp.issubdtype(own.dtype, jax.dtypes.extended)
        return (own if is_key else np.asarray(own))[None, None, None, None]

    return jax.tree.map(leaf, moving, params, is_leaf=lambda node: node is None)


def _squeezed(leaf: Any, lengths: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """The leaf with its leading axes repeated to these lengths, then without `axes`, those that are no dimension.

    A view, of which only repeated leaves are read-only. Random keys stay JAX arrays: NumPy has no type for them.
    """
    own = leaf.shape[len(lengths) :]
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        kept = [length for axis, length in enumerate(lengths) if axis not in axes]
        return jnp.broadcast_to(leaf, (*lengths, *own)).reshape(*kept, *own)
    full = leaf if leaf.shape[: len(lengths)] == lengths else np.broadcast_to(leaf, (*lengths, *own))
    return np.squeeze(full, axes)


def projected(chart: Chart, moving: Params, example: Params) -> tuple[np.ndarray, np.ndarray]:
    """(coordinates (m, k), residuals (m,)) of m points, a block of them on the device at a time.

    moving:  the points' floating-point leaves, (m, …).
    example: params of one point: the frozen leaves are taken from it.
    """
    leaves = jax.tree.leaves(moving)
    count = len(leaves[0])
    size = max(1, BLOCK_BYTES // max(1, sum(leaf.nbytes for leaf in leaves) // count))
    starts = range(0, count, size)
    blocks = [moving if count <= size else jax.tree.map(lambda leaf, i=i: leaf[i : i + size], moving) for i in starts]
    coordinates, residuals = zip(*(jax.device_get(_coordinates(chart, b, example)) for b in blocks), strict=True)
    return np.concatenate(coordinates), np.concatenate(residuals)


@jax.jit
def _coordinates(chart: Chart, moving: Params, example: Params) -> Any:
    return jax.vmap(lambda point: chart.coordinates(_trees.merged(point, example)))(moving)


def _narrowed(params: Params, chart: Chart) -> Params:
    """Params in float64, in which flows are kept, as float32 where the chart's are."""
    own = jax.tree.map(lambda leaf: leaf.dtype, _chart.shapes(chart))
    if jax.tree.structure(own) != jax.tree.structure(params):
        return params  # refused with the names of the leaves
    with np.errstate(over="ignore"):  # what float32 does not hold is inf there
        return jax.tree.map(lambda p, d: p.astype(d) if (p.dtype, d) == (np.float64, np.float32) else p, params, own)


def resolved(chart: Chart | xarray.Dataset) -> tuple[Chart, str]:
    """A chart, or that of a surface; and its id."""
    if isinstance(chart, Chart):
        _chart.check("chart", chart)
        return chart, _chart.chart_id(chart)
    attributes = getattr(chart, "attrs", {})
    if "chart_id" not in attributes:
        give = "its plane: pca.plane()" if _chart.has_plane(chart) else "a chart, or a surface from ls.evaluate"
        raise TypeError(f"`chart` is {_checks.kind(chart)}; give {give}.")
    if not attributes["chart"]:
        raise ValueError(
            "`chart` is a surface that does not hold its chart (which is large, or in params that are no nested "
            "dictionaries); pass the chart itself: run.on(plane), which pictures take as well, runs=run.on(plane)."
        )
    return _chart.from_json(attributes["chart"]), attributes["chart_id"]
