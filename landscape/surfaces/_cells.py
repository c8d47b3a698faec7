"""Cells: what the measures add up at each point of a tile, batch by batch, and what follows from the sums.

`steps`, compiled, takes a tile through batches (`whole`, through one that holds all data). What is affine in the
coordinates is computed once a batch for all cells (`_affine`); the rest runs per cell, `in_flight` of them vmapped at a
time, chunk after chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from landscape import _cost, _trees
from landscape._cost import Count
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.objectives.data import Batch
from landscape.objectives.preparation import Preparation
from landscape.surfaces import _affine, _examples_last
from landscape.surfaces._curved import Curved
from landscape.surfaces._plan import Plan
from landscape.surfaces.quantities import Point, Quantity, Risk, VersionedQuantity
from landscape.surfaces.sweep import Sweep

Sums = tuple[Any, ...]  # one entry a measure


class Measures(NamedTuple):
    """What is measured in every cell: static."""

    risk: Risk
    own: tuple[VersionedQuantity, ...]
    preparation: Preparation | None
    curved: Curved | None
    order: tuple[int, ...]  # where each of the chart's names stands among the axes
    units: tuple[int, ...]  # the unit penalty of each penalty


class PerCell(NamedTuple):
    """A cell's share of one batch: sums(kept, coordinates), of what is the same for all cells."""

    hoisted: list[_affine.Terms]  # one entry a measure
    kept: list[Any]  # the same and more, as all cells read it
    sums: Callable[[list[Any], Array], Sums]  # of what is kept


class Cost(NamedTuple):
    """What a cell costs on one batch, plain and with the affine prefix hoisted."""

    plain: Count
    hoisted: Count
    terms: tuple[Any, ...]  # shapes and dtypes of what is hoisted, its slopes included
    kept: int  # bytes of what all cells read
    sums: Any  # shapes and dtypes of its running sums
    grouped: bool  # whether a convolution has a kernel that moves with the cells


@partial(jax.jit, static_argnames=("measures", "plan"))
def whole(
    measures: Measures,
    plan: Plan,
    chart: Chart,
    data: Batch,
    sweep: Sweep,
    positions: tuple[Array, ...],
    used: Array | None = None,
) -> dict[str, Array]:
    """{variable: array} of a tile whose data are one batch: no sums ever leave the loop over cells.

    used: so many cells are wanted, the first ones; all by default. The arrays end with the tile's shape.
    """
    grid = _grid(measures, positions, _padded(plan, positions))
    cell = per_cell(measures, chart, data, plan.hoist, grid[0].dtype)

    def values(at: tuple[Array, ...], _: None) -> dict[str, Array]:
        coordinates = jnp.stack(at)
        return _variables(measures, plan, chart, data, sweep, coordinates, cell.sums(cell.kept, coordinates))

    return _on_tile(_over_cells(values, grid, None, plan.in_flight, used), measures, sweep, positions)


@partial(jax.jit, static_argnames=("measures", "plan", "size"), donate_argnames="sums")
def steps(
    measures: Measures,
    plan: Plan,
    size: int,
    chart: Chart,
    data: Batch,
    batches: tuple[Any, Any],
    positions: tuple[Array, ...],
    sums: Sums,
    fresh: Any,
    used: Array | None = None,
) -> Sums:
    """Take all cells of a tile through some batches: number `batches[0]` up to `batches[1]`, of `size` examples each.

    Returns: the running sums, arrays that end with the cells. What `sums` holds does not count where they are `fresh`.
    """
    grid = _grid(measures, positions, jax.tree.leaves(sums)[0].shape[-1])
    parts = (measures.risk, *measures.own)

    def through(i: Array, sums: Sums) -> Sums:
        batch = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, i * size, size), data)
        cell = per_cell(measures, chart, batch, plan.hoist, grid[0].dtype)
        first = fresh & (i == batches[0])

        def values(at: tuple[Array, ...], before: Sums) -> Sums:
            new = cell.sums(cell.kept, jnp.stack(at))
            both = tuple(m.merge(a, b) for m, a, b in zip(parts, before, new, strict=True))
            return jax.tree.map(lambda n, m: jnp.where(first, n, m), new, both)

        return _over_cells(values, grid, sums, plan.in_flight, used)

    return jax.lax.fori_loop(*batches, through, sums)


def no_sums(cost: Cost, plan: Plan, positions: tuple[Any, ...]) -> Sums:
    """Room for the sums of a tile's cells."""
    return jax.tree.map(lambda s: jnp.zeros((*s.shape, _padded(plan, positions)), s.dtype), cost.sums)


@partial(jax.jit, static_argnames=("measures", "plan"))
def finish(
    measures: Measures,
    plan: Plan,
    chart: Chart,
    sweep: Sweep,
    positions: tuple[Array, ...],
    sums: Sums,
    data: Batch | None = None,
    used: Array | None = None,
) -> dict[str, Array]:
    """{variable: array} of a tile, from the sums over all data; `data` are given where curvature reads them again."""

    def values(at: tuple[Array, ...], sums: Sums) -> dict[str, Array]:
        return _variables(measures, plan, chart, data, sweep, jnp.stack(at), sums)

    grid = _grid(measures, positions, jax.tree.leaves(sums)[0].shape[-1])
    out = _over_cells(values, grid, sums, plan.in_flight, used)
    return _on_tile(out, measures, sweep, positions)


def _padded(plan: Plan, positions: tuple[Any, ...]) -> int:
    """How many cells fill the last chunk too."""
    cells = math.prod(map(len, positions))
    return cells + -cells % plan.in_flight


def _grid(measures: Measures, positions: tuple[Array, ...], cells: int) -> tuple[Array, ...]:
    """Coordinates of so many cells, each (cells,), in the chart's order; the last cell is repeated."""
    if positions[0].ndim == 2:  # scattered points
        along = list(jnp.asarray(positions[0]).T)
    else:
        every = jnp.meshgrid(*positions, indexing="ij")
        along = [every[i].reshape(-1) for i in measures.order]
    return tuple(jnp.concatenate([c, jnp.broadcast_to(c[-1:], cells - len(c))]) for c in along)


def _over_cells(
    values: Callable[[tuple[Array, ...], Any], Any],
    grid: tuple[Array, ...],
    sums: Any,
    flying: int,
    used: Array | None = None,
) -> Any:
    """values(coordinates, sums) of every cell, `flying` of them vmapped at a time; arrays end with the cells.

    used: of so many, and what fills up the last chunk; of the others 0.
    """
    mapped = jax.vmap(values, in_axes=-1, out_axes=-1) if flying > 1 else _one_by_one(values)
    cells = len(grid[0])

    def chunk(tree: Any, i: Any) -> Any:
        return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, i * flying, flying, axis=-1), tree)

    # Not lax.map: it would stack the chunks in front, and putting the cells last then copies everything once more.
    # The next chunk's coordinates are carried: XLA's CPU backend computes one number at a time in a loop that both
    # reads and writes where an index says.
    def fill(i: Array, carried: tuple[tuple[Array, ...], Any]) -> tuple[tuple[Array, ...], Any]:
        coordinates, filled = carried
        new = mapped(coordinates, chunk(filled if alike else sums, i))
        put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=i * flying, axis=-1)
        return chunk(grid, i + 1), jax.tree.map(put, filled, new)

    first = chunk(grid, 0)
    shapes = jax.eval_shape(mapped, first, chunk(sums, 0))
    alike = jax.tree.structure(shapes) == jax.tree.structure(sums)  # sums to sums: in place
    empty = sums if alike else jax.tree.map(lambda v: jnp.zeros((*v.shape[:-1], cells), v.dtype), shapes)
    chunks = cells // flying if used is None else (used + flying - 1) // flying
    return jax.lax.fori_loop(0, chunks, fill, (first, empty))[1]


def _one_by_one(values: Callable[[tuple[Array, ...], Any], Any]) -> Callable[[tuple[Array, ...], Any], Any]:
    """As if vmapped over one cell, without the dimension, which products and loops run slower with."""

    def mapped(coordinates: tuple[Array, ...], sums: Any) -> Any:
        one = values(*jax.tree.map(lambda s: s[..., 0], (coordinates, sums)))
        return jax.tree.map(lambda v: v[..., None], one)

    return mapped


def _on_tile(out: dict[str, Array], measures: Measures, sweep: Sweep, positions: tuple[Array, ...]) -> dict[str, Array]:
    shape = tuple(len(p) for p in positions)
    out = {name: v[..., : math.prod(shape)].reshape(*v.shape[:-1], *shape) for name, v in out.items()}
    return _spread(out, measures.units, sweep.strengths)


def per_cell(measures: Measures, chart: Chart, batch: Batch, hoist: bool, dtype: Any) -> PerCell:
    """What a cell computes of a batch, cut into what all cells share and the rest."""
    scalars = [jax.ShapeDtypeStruct((), dtype) for _ in chart.names]

    def cut(f: Callable[..., Any], derived: bool = False) -> tuple[_affine.Terms, Any, Callable[..., Any]]:
        if not hoist:
            return [], [], lambda terms, at: f(*at)
        terms, g = _affine.hoist(f, scalars)
        kept, g = (terms, g) if derived or not on_cpu else _examples_last.arrange(terms, g, scalars)
        return terms, kept, g

    def of_risk(*at: Array) -> Any:
        # `values` is hoisted by itself, so that derivatives in the chart are taken of what is left of it.
        return measures.risk.accumulate(lambda c: losses_at(*c), chart.point(at), jnp.stack(at), batch)

    def losses_at(*at: Array) -> Any:
        return measures.risk.losses(chart.point(at), batch)

    def of(measure: Quantity, *at: Array) -> Any:
        return measure.accumulate(_point(measures, chart, batch, at), batch)

    on_cpu = jax.default_backend() == "cpu"
    in_chart = not measures.risk.gradient_norm
    derived = in_chart and (measures.risk.slope or measures.risk.hessian)
    parts = [cut(losses_at if in_chart else of_risk, derived), *(cut(partial(of, measure)) for measure in measures.own)]
    hoisted, shared, functions = (list(own) for own in zip(*parts, strict=True))

    def sums(kept: list[Any], coordinates: Array) -> Sums:
        at = tuple(coordinates)
        if in_chart:
            values = partial(functions[0], kept[0])
            risk = measures.risk.accumulate(values, None, coordinates, batch)
        else:
            risk = functions[0](kept[0], at)
        return (risk, *(f(own, at) for f, own in zip(functions[1:], kept[1:], strict=True)))

    return PerCell(hoisted, shared, sums)


def _point(measures: Measures, chart: Chart, batch: Batch, at: Sequence[Array]) -> Point:
    params = chart.point(at)
    if measures.preparation is not None:  # all data are one batch then
        params = measures.preparation(params, batch)
    return Point(params, jnp.stack(at), chart)


def _variables(
    measures: Measures, plan: Plan, chart: Chart, batch: Batch, sweep: Sweep, coordinates: Array, sums: Sums
) -> dict[str, Array]:
    """The variables of one cell."""
    out: dict[str, Array] = measures.risk.finish(
        Point(chart.point(tuple(coordinates)), coordinates, chart), sums[0], sweep
    )
    for measure, own in zip(measures.own, sums[1:], strict=True):
        new = measure.finish(_point(measures, chart, batch, tuple(coordinates)), own, sweep)
        reserved = set(_chart.RESERVED) - {"accuracy"}  # which one's own quantity may be called too
        taken = sorted(set(new) & {*out, *chart.names, *reserved})
        if taken:
            raise ValueError(
                f"`quantities`: {measure!r} calls a result {taken[0]!r}, a name that is taken; choose another."
            )
        out |= new
    if measures.curved is not None:
        out |= measures.curved.measure(chart.point(tuple(coordinates)), batch, sweep, plan.batch_size)
    # The penalty grows with its strength: where the largest is finite, all are. (One number a cell, not one a penalty.)
    largest = sweep.largest.astype(out["risk"].dtype)
    highest = out["risk"] + jnp.max(jnp.where(largest > 0, largest * out["penalty_unit"], 0))
    left_out = ("risk_stderr", "penalty_unit", "gradient_norm", "hessian_ratio")
    checked = [highest, *(values for name, values in out.items() if name not in left_out)]
    return out | {"finite": jnp.stack([jnp.isfinite(values).all() for values in checked]).all()}


def _spread(out: dict[str, Array], units: tuple[int, ...], strengths: Any) -> dict[str, Array]:
    """Add what follows from risk and penalty_unit, (P, …): outside the loop over cells, in one pass over memory."""
    unit = out["penalty_unit"]  # (U, …)
    if len(unit) == 1:
        spread = jnp.broadcast_to(unit, (len(units), *unit.shape[1:]))
    else:
        spread = jnp.stack([unit[u] for u in units])
    strengths = jnp.asarray(strengths, unit.dtype).reshape(-1, *[1] * (unit.ndim - 1))
    value = jnp.where(strengths > 0, strengths * spread, 0)  # 0·∞ is NaN, but no penalty is no penalty
    out["penalty_value"], out["objective"] = value, out["risk"][None] + value
    return out


@lru_cache(maxsize=256)
def cost(measures: Measures, chart: _trees.Shapes, batch: _trees.Shapes, dtype: Any) -> Cost:
    """Count what a cell costs, without running anything."""
    found = []

    def trace(chart: Chart, batch: Batch) -> None:
        at = jax.ShapeDtypeStruct((len(chart.names),), dtype)
        counts, terms, kept, sums = [], (), 0, None
        for hoist in (False, True):
            cell = per_cell(measures, chart, batch, hoist, dtype)
            terms = tuple(jax.ShapeDtypeStruct(t.shape, t.dtype) for t in jax.tree.leaves(cell.hoisted))
            kept = sum(array.size * array.dtype.itemsize for array in jax.tree.leaves(cell.kept))
            closed, sums = jax.make_jaxpr(partial(cell.sums, cell.kept), return_shape=True)(at)
            counts.append(_cost.count(closed))
        found.append(Cost(counts[0], counts[1], terms, kept, sums, _cost.has_moving_kernel(closed)))

    jax.eval_shape(trace, _trees.from_shapes(chart), _trees.from_shapes(batch))
    return found[0]
