"""What makes two problems the same: fingerprints of what is computed, not of how it prints."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from landscape import _trees
from landscape._trees import Params
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.objectives import tracing
from landscape.objectives.penalties import Penalty


def digest(tree: Any) -> str:
    """Of the numbers of a tree, their shapes and dtypes, and of where they stand."""
    found = hashlib.blake2b(str(jax.tree.structure(tree)).encode(), digest_size=8)
    for leaf in map(_trees.as_numbers, jax.tree.leaves(tree)):
        found.update(f"{leaf.shape} {leaf.dtype} ".encode() + np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def chart_identity(chart: Chart, dtype: Any) -> str:
    """The numbers in a chart, and what its `point` computes from them."""
    coordinates = (jax.ShapeDtypeStruct((), dtype),) * len(chart.names)
    shapes = _trees.from_shapes(_trees.shapes(chart))
    point = tracing.traced("chart", lambda chart, at: chart.point(at), shapes, coordinates).version
    return f"{_chart.chart_id(chart)} {point}"


def record_identity(chart: Chart | None, params: Params) -> str:
    """The same of a chart on which runs are recorded, by what its `coordinates` computes."""
    if chart is None:
        return "params"
    shapes = (_trees.from_shapes(_trees.shapes(tree)) for tree in (chart, params))
    found = tracing.traced("record", lambda chart, params: chart.coordinates(params), *shapes).version
    return f"{_chart.chart_id(chart)} {found}"


def penalties_identity(penalties: Mapping[str, Penalty], params: Params) -> str:
    """Their labels and coefficients: those under different masks print alike."""
    text = ", ".join(f"{label}: {penalty}" if label else str(penalty) for label, penalty in penalties.items())
    moving = _trees.floating(params)
    return f"{text} {digest([penalty.coefficients(moving) for penalty in penalties.values()])}"


def random_numbers() -> str:
    """The settings of JAX that random numbers follow from, beside their key."""
    partitionable = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    return f"{jax.config.jax_default_prng_impl}, partitionable: {partitionable}"  # pyright: ignore[reportAttributeAccessIssue]
