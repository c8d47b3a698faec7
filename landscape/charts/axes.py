"""The axes of a chart: what its coordinates are, and positions around a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from landscape import _checks, _trees
from landscape.charts import _span
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.charts.plane import Plane

if TYPE_CHECKING:
    import xarray


def described(chart: Chart) -> dict[str, dict[str, Any]]:
    """The attributes of each coordinate in a data set, under its name.

    On a Plane with `unit_length`, the distance between params whose coordinate differs by 1: its direction's norm.
    """
    attributes: dict[str, dict[str, Any]] = {
        name: {"long_name": name, "units": "1", "kind": "coordinate"} for name in chart.names
    }
    if isinstance(chart, Plane):
        for name, length in zip(chart.names, _lengths(chart), strict=True):
            attributes[name]["unit_length"] = length
    return attributes


@_chart.once
def _lengths(plane: Plane) -> tuple[float, ...]:
    return tuple(_span.lengths(_trees.floating(plane.origin), plane.directions))


def axes_around(*paths: xarray.Dataset, points: int = 41, margin: float = 0.2) -> dict[str, np.ndarray]:
    """Axes that hold paths on a chart, as `evaluate` takes them: each coordinate's name → evenly spaced positions.

        from  min − margin·(max − min)  to  max + margin·(max − min),   over all steps of all paths

    paths:  what `run.on(chart)` returned; several on one chart. Positions that are not finite do not count.
    points: of each axis, 2 or more.
    margin: share of the range that the axis goes on beyond either end, ≥ 0.
    A coordinate in which no path moves is given the range of the one in which they move most.
    Raises: TypeError unless each path is a Dataset; ValueError if it has no coordinates of a chart, for paths on
    different charts, and for paths that do not move.

        >>> import landscape as ls
        >>> pair = ls.neuron(*ls.datasets.pair())
        >>> run = ls.trajectory(pair, [{"w": 0.0, "b": 0.0}, {"w": 5.0, "b": 2.0}])
        >>> path = run.on(ls.axes_plane(pair.params, "w", "b"))
        >>> {name: positions.tolist() for name, positions in ls.axes_around(path, points=3, margin=0.5).items()}
        {'w': [-2.5, 2.5, 7.5], 'b': [-1.0, 1.0, 3.0]}
    """
    _checks.count("points", points, least=2)
    if not _checks.number("margin", margin) >= 0:
        raise ValueError(f"`margin` is {margin}; it must be a number ≥ 0.")
    ends = _ends(paths)
    longest = max(high - low for low, high in ends.values())
    if longest == 0:
        raise ValueError("`paths` do not move on this chart, so that no window is theirs; choose `axes` yourself.")
    axes = {}
    for name, (low, high) in ends.items():
        reach = margin * (high - low) if high > low else (margin + 0.5) * longest
        axes[name] = np.linspace(low - reach, high + reach, points)
    return axes


def _ends(paths: tuple[xarray.Dataset, ...]) -> dict[str, tuple[float, float]]:
    """The least and greatest position of all paths in each coordinate."""
    import xarray

    give = "give what run.on(chart) returned"
    if not paths:
        raise TypeError(f"`paths` is empty; {give}.")
    values: dict[str, list[np.ndarray]] = {}
    for i, path in enumerate(paths):
        _checks.instance(f"paths[{i}]", path, xarray.Dataset, give.removeprefix("give "))
        names = [str(name) for name in path.data_vars if path[name].attrs.get("kind") == "coordinate"]
        if not names:
            raise ValueError(f"`paths[{i}]` has no coordinates of a chart; {give}.")
        if (path.attrs.get("chart_id"), names) != (paths[0].attrs.get("chart_id"), list(values) or names):
            raise ValueError(f"`paths[{i}]` is on another chart than `paths[0]`; project all on one: run.on(chart).")
        positions = np.stack([path[name].to_numpy().astype(np.float64).ravel() for name in names])
        positions = positions[:, np.isfinite(positions).all(axis=0)]
        for name, row in zip(names, positions, strict=True):
            values.setdefault(name, []).append(row)
    joined = {name: np.concatenate(rows) for name, rows in values.items()}
    if not all(row.size for row in joined.values()):
        raise ValueError("`paths` have no finite position; choose `axes` yourself.")
    return {name: (float(row.min()), float(row.max())) for name, row in joined.items()}
