"""Weighted means over the examples of several numbers that are computed together: as a `Metric` each."""

from collections.abc import Mapping
from typing import Any

from jax import Array

from landscape._trees import Params
from landscape.objectives.data import Batch
from landscape.surfaces.quantities import Metric, MetricSums, Point
from landscape.surfaces.sweep import Sweep

Sums = dict[str, MetricSums]


def accumulate(values: Mapping[str, Array], weights: Array, point: Point, batch: Batch) -> Sums:
    """The sums over one batch; values {name: (n,)}, weights (n,)."""

    def metric(name: str) -> Metric:
        return Metric(name, lambda params, batch: (values[name], weights))

    return {name: metric(name).accumulate(point, batch) for name in values}


def merge(a: Sums, b: Sums) -> Sums:
    """Both shares."""
    return {name: Metric(name, _added_up).merge(a[name], b[name]) for name in a}


def finish(point: Point, sums: Sums, sweep: Sweep) -> dict[str, Array]:
    """{name: mean}."""
    parts = (Metric(name, _added_up).finish(point, own, sweep) for name, own in sums.items())
    return {name: mean for part in parts for name, mean in part.items()}


def _added_up(params: Params, batch: Batch) -> Any:
    raise AssertionError("what has been added up is not computed again")
