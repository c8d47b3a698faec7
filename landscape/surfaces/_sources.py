"""What is sampled at scattered points: an objective on a chart, or a Python function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from landscape import _checks, _trees
from landscape._version import __version__
from landscape.charts import axes as _axes
from landscape.charts.chart import Chart
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _dataset, _devices, _filling, _stored, io
from landscape.surfaces._identity import digest
from landscape.surfaces._task import EVALUATION, Scattered, planned
from landscape.surfaces.evaluate import evaluate_at
from landscape.surfaces.quantities import GRADIENTS, Quantity
from landscape.surfaces.sweep import penalties_of, stacked
from landscape.tiles.halfway import Halfway
from landscape.tiles.manifest import FORMAT, Named
from landscape.tiles.run import Tile
from landscape.tiles.tiling import Tiling

if TYPE_CHECKING:
    import xarray

DERIVED = ("finite", "objective", "penalty_value", "computed")  # no channels
SAME = 1e-3  # of the range of what is kept, to which a function must return a value again


class Source(Protocol):
    """What is sampled."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def dtype(self) -> Any: ...  # that values are computed in

    def measure(self, points: np.ndarray, store: str | None) -> xarray.Dataset:
        """A surface of dimension `evaluation` at points (P, k)."""
        ...

    def identity(self) -> dict[str, str]:
        """What makes two samples the same, but for their points."""
        ...

    def check(self, point: np.ndarray, risk: float, range_: float) -> None:
        """Raise ValueError where what was kept cannot be this source's."""
        ...

    def described(self) -> dict[str, dict[str, Any]]:
        """The attributes of each coordinate."""
        ...

    def penalized(self) -> tuple[list[float], list[int]]:
        """The strengths of the penalties, and which of the different ones at strength 1 each is."""
        ...

    def left_out(self) -> set[str]:
        """Variables that come with others, and are not wanted."""
        ...


class Measured(NamedTuple):
    """An objective on a chart."""

    objective: Objective
    chart: Chart
    quantities: Sequence[str | Quantity]
    penalties: Mapping[str, Penalty] | None
    batch_size: int | None
    memory: int | None
    precision: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.chart.names)

    @property
    def dtype(self) -> Any:
        return self.objective.dtype

    def measure(self, points: np.ndarray, store: str | None) -> xarray.Dataset:
        options = self._asdict()
        return evaluate_at(options.pop("objective"), options.pop("chart"), points, store=store, **options)

    def identity(self) -> dict[str, str]:
        objective, chart, quantities, penalties, batch_size, memory, precision = self
        points = Scattered(np.zeros((1, len(self.names))))
        task = planned(objective, chart, points, quantities, penalties, batch_size, memory, exact=True)
        return _stored.identity(_stored.Problem([task], None, penalties, batch_size, precision))

    def check(self, point: np.ndarray, risk: float, range_: float) -> None:
        """Its identity says all."""

    def described(self) -> dict[str, dict[str, Any]]:
        return _axes.described(self.chart)

    def left_out(self) -> set[str]:
        wanted = {name for name in GRADIENTS if name in self.quantities}
        return {*DERIVED, *GRADIENTS} - (wanted and {*wanted, "risk_gradient_norm"})

    def penalized(self) -> tuple[list[float], list[int]]:
        own = penalties_of(self.objective, self.penalties)
        _, units = stacked(own, _trees.floating(self.objective.params))
        return [penalty.strength for penalty in own], list(units)


class Called(NamedTuple):
    """A Python function of coordinates."""

    function: Callable[..., Any]
    names: tuple[str, ...]

    @property
    def dtype(self) -> Any:
        return np.dtype(np.float64)

    @property
    def title(self) -> str:
        """What it is called."""
        return str(getattr(self.function, "__qualname__", type(self.function).__qualname__))

    def value(self, point: np.ndarray) -> float:
        """At one point. Raises: TypeError or ValueError unless it is one real number."""
        given = [float(x) for x in point]
        value = self.function(*given)
        at = f"at {', '.join(f'{name} = {x:g}' for name, x in zip(self.names, given, strict=True))}"
        array = np.asarray(value)
        if array.dtype.kind in "OUSc":  # objects, strings, complex numbers
            raise TypeError(f"`function` returned {_checks.kind(value)} {at}; wanted one real number.")
        if array.size != 1:
            raise ValueError(f"`function` returned shape {array.shape} {at}; wanted one real number.")
        return float(array.reshape(()))

    def measure(self, points: np.ndarray, store: str | None) -> xarray.Dataset:
        import xarray

        coords = {name: (EVALUATION, points[:, i]) for i, name in enumerate(self.names)}
        tiling = Tiling((EVALUATION,), (len(points),), (1,))  # a tile each: who gives a function of his own has few

        def work(tile: int, device: Any, halfway: Halfway) -> Tile:
            return Tile(self._variables(np.array([self.value(points[tile])])), {})

        if store is None:
            values = np.array([self.value(point) for point in points])
            return xarray.Dataset(dict(self._variables(values)), coords, self._attributes())
        identity = self.identity() | {"axes": digest(points)}
        empty = self._variables(np.zeros(1))
        described = {name: _dataset.described(name) for name in empty}

        def new() -> Any:
            coordinates = xarray.Dataset(coords=coords).coords
            return io.manifest_of(tiling, empty, described, coordinates, self._attributes(), identity, {})

        where = _devices.Where([None])
        kept = _filling.begun(store, identity, new, where)
        return _filling.filled(kept, work, _devices.shard(None, store), where, lambda tile: None, io.surface_of)

    def _variables(self, values: np.ndarray) -> dict[str, Named]:
        return {"risk": Named((EVALUATION,), values), "penalty_unit": Named((EVALUATION,), np.zeros_like(values))}

    def _attributes(self) -> dict[str, Any]:
        about = {"format": FORMAT, "kind": "surface", "dtype": "float64", "landscape_version": __version__}
        return about | {"objective": f"{self.title}({', '.join(self.names)})", "numpy_version": np.__version__}

    def identity(self) -> dict[str, str]:
        return {"kind": "surface", "function": self.title, "coordinates": ", ".join(self.names)}

    def check(self, point: np.ndarray, risk: float, range_: float) -> None:
        again = self.value(point)
        same = again == risk or (math.isnan(again) and math.isnan(risk))
        if not (same or abs(again - risk) <= SAME * max(range_, abs(risk))):
            raise ValueError(
                f"`store` holds values of another function: {risk:g} at {point.tolist()}, where `function` gives "
                f"{again:g}. Take another path; or the function is not deterministic, and cannot be interpolated."
            )

    def described(self) -> dict[str, dict[str, Any]]:
        return {name: {"long_name": name, "units": "1", "kind": "coordinate"} for name in self.names}

    def left_out(self) -> set[str]:
        return set()

    def penalized(self) -> tuple[list[float], list[int]]:
        return [0.0], [0]
