"""Values at scattered points, computed once each, and kept round by round."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.surfaces import _estimate, io
from landscape.surfaces._identity import digest
from landscape.surfaces._patches import Channel
from landscape.surfaces._sources import Source
from landscape.surfaces._task import EVALUATION
from landscape.surfaces.interpolant import Interpolant
from landscape.surfaces.provenance import made_with
from landscape.surfaces.quantities import GRADIENTS
from landscape.tiles.chunks import DamagedError
from landscape.tiles.store import check_same, open_store

if TYPE_CHECKING:
    import xarray


@dataclass
class Rounds:
    """Values at points, (channels, P): those that are known, and the others in a round of their own.

    Raises: ValueError for a store of another problem, with what differs.
    """

    source: Source
    store: str | None
    told: Callable[[int], None]  # of how many points were computed
    to_value: bool = False  # the risk's error counts relative to the risk
    channels: list[Channel] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    _known: dict[bytes, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.store is None:
            return
        io.check_rounds(self.store)
        complete = []
        identity = self.source.identity()
        for name in io.rounds(self.store):
            kept = open_store(name)
            check_same(kept, identity | {"axes": kept.manifest.identity.get("axes", "")}, made_with())
            if len(kept.records()) == kept.manifest.tiling.count:
                with contextlib.suppress(DamagedError):  # it is mended when its points are asked for
                    complete.append(io.surface_of(kept, complete=True))
        for surface in complete:
            self._add(surface)
        if complete:  # at a random point: the last of a round
            largest = max(complete, key=lambda surface: surface.sizes[EVALUATION]).isel({EVALUATION: -1})
            risks = np.concatenate([surface["risk"].to_numpy() for surface in complete])
            range_ = float(np.ptp(risks[np.isfinite(risks)])) if np.isfinite(risks).any() else 0.0
            point = np.array([float(largest[name]) for name in self.source.names])
            self.source.check(point, float(largest["risk"]), range_)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        new = points[[point.tobytes() not in self._known for point in points]]
        if len(new):
            store = None if self.store is None else f"{self.store}/{io.ROUND}{digest(new)}"
            self._add(self.source.measure(new, store))
            self.told(len(new))
        return np.stack([self._known[point.tobytes()] for point in points], axis=1)

    def _add(self, surface: xarray.Dataset) -> None:
        if not self.channels:
            self.channels = list(_channels(surface, self.source))
            self.attributes = dict(surface.attrs)
        points = np.stack([surface[name].to_numpy() for name in self.source.names], axis=1)
        whole = {
            name: surface[name].transpose(..., EVALUATION).to_numpy().astype(np.float64) for name in surface.data_vars
        }
        if self.to_value and (whole["risk"] <= 0).any():
            at = int(np.argmax(whole["risk"] <= 0))
            raise ValueError(
                f'`relative_to` is "value", which is for a positive risk, and it is {whole["risk"][at]:g} at '
                f'{points[at].tolist()}; give "range".'
            )
        first = self.source.penalized()[1].index
        rows = []
        for variable, index in self.channels:
            own = whole[variable]
            if variable == "penalty_unit" and own.ndim > 1:
                index = (first(index[0]),)
            rows.append(own[index] if own.ndim > 1 else own)
        self._known |= {point.tobytes(): values for point, values in zip(points, np.stack(rows, axis=1), strict=True)}

    @property
    def kinds(self) -> list[_estimate.Kind]:
        """What is special about each channel."""
        names = [channel.variable for channel in self.channels]
        return [_estimate.Kind(name in GRADIENTS, self.to_value and name == "risk") for name in names]


def _channels(surface: xarray.Dataset, source: Source) -> Iterator[Channel]:
    """The risk first; a penalty at strength 1 once, however many strengths it has."""
    yield Channel("risk", ())
    for name in sorted(map(str, surface.data_vars)):
        if name == "penalty_unit":
            yield from (Channel(name, (unit,)) for unit in dict.fromkeys(source.penalized()[1]))
        elif name not in {"risk", *source.left_out()}:
            shape = surface[name].transpose(..., EVALUATION).shape[:-1]
            yield from (Channel(name, index) for index in itertools.product(*map(range, shape)))


def keep(found: Interpolant, store: str) -> None:
    """Write what came of the rounds in a store beside them, unless it was the last that did."""
    while True:
        names = io.results(store)
        if names and io.open_interpolant(names[-1]).data.identical(found.data):
            return
        with contextlib.suppress(FileExistsError):  # another process was faster, with the same or something else
            return io.save(found, f"{store}/{io.RESULT}{len(names) + 1}")
