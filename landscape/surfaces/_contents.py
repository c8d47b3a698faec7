"""What an interpolant's data set says, as numbers: channels and penalties, errors, values on grids, fields."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from landscape import _checks
from landscape.surfaces._patches import Channel, Patch, unpack

if TYPE_CHECKING:
    import xarray


class PenaltyOf(NamedTuple):
    """One penalty of a sweep, or the only one."""

    number: int  # in the sweep
    unit: int  # the channel of the same at strength 1
    strength: float


class Contents:
    """Of one data set."""

    def __init__(self, data: xarray.Dataset) -> None:
        self.data = data
        self.names: tuple[str, ...] = tuple(data["coordinate"].to_numpy().tolist())
        self.channels = [Channel(name, tuple(index)) for name, index in json.loads(data.attrs["channels"])]
        self.lower, self.upper, self.degree = (data[name].to_numpy() for name in ("lower", "upper", "degree"))
        self.finite = self.degree[:, 0] >= 0
        self.stated = data["error"].to_numpy()

    @cached_property
    def patches(self) -> list[Patch]:
        """The finite pieces."""
        return list(unpack(self.data))

    @property
    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest, (k,) each."""
        return self.lower.min(axis=0), self.upper.max(axis=0)

    @property
    def labels(self) -> list[str] | None:
        """Of the penalties of a sweep."""
        return self.data["penalty"].to_numpy().tolist() if "penalty" in self.data.dims else None

    @property
    def penalties(self) -> list[PenaltyOf]:
        """All of them."""
        columns = (np.atleast_1d(self.data[name].to_numpy()).tolist() for name in ("number", "unit", "strength"))
        unit = {channel.index[0]: i for i, channel in enumerate(self.channels) if channel.variable == "penalty_unit"}
        return [PenaltyOf(number, unit[own], strength) for number, own, strength in zip(*columns, strict=True)]

    @cached_property
    def absolute(self) -> np.ndarray:
        """(pieces, channels) the stated errors in the variables' own units."""
        stated, risk = self.stated.copy(), self.channel("risk")
        if self.data.attrs["relative_to"] == "value":
            stated[self.finite, risk] *= [patch.largest(risk) for patch in self.patches]
        return stated

    def channel(self, variable: str) -> int:
        """The number of a channel that is a variable of its own."""
        return self.channels.index(Channel(variable, ()))

    def shares(self) -> list[float]:
        """The largest stated error of each channel, in the unit of the tolerance."""
        return [largest(own) / one for own, one in zip(self.stated.T, self.data["scale"].to_numpy(), strict=True)]

    @cached_property
    def errors(self) -> dict[str, float]:
        """Variable -> its largest error, in its own units; of slope and plane_hessian from that of the risk."""
        found: dict[str, float] = {}
        units, numbers = {own.unit for own in self.penalties}, {own.number for own in self.penalties}
        for i, (own, channel) in enumerate(zip(self.absolute.T, self.channels, strict=True)):
            name, index = channel
            if (name == "penalty_unit" and i not in units) or (name == "gradient_norm" and {*index} - numbers):
                continue  # of another penalty
            found[name] = max(found.get(name, 0.0), largest(own))
        found["penalty_value"] = max(self.error_of("penalty_value", own) for own in self.penalties)
        found["objective"] = max(self.error_of("objective", own) for own in self.penalties)
        risk = self.channel("risk")
        errors = zip(self.patches, self.absolute[self.finite, risk], strict=True)
        derivatives = [np.add(p.error_of_derivatives(risk, e), p.noise(risk, self.rounding)) for p, e in errors]
        slope, hessian = np.max(derivatives, axis=0, initial=0.0) if derivatives else (0.0, 0.0)
        return found | {"slope": float(slope), "plane_hessian": float(hessian)}

    @property
    def rounding(self) -> float:
        """Of what was evaluated, relative."""
        return float(self.data.attrs["rounding"])

    def weights(self, variable: str, penalty: PenaltyOf) -> dict[int, float]:
        """Channel -> weight in the sum that a variable is.

        Raises: ValueError unless it is a number in every point.
        """
        own = {channel.variable: i for i, channel in enumerate(self.channels) if channel.index == ()}
        known: dict[str, dict[int, float]] = {name: {i: 1.0} for name, i in own.items()}
        per_penalty = Channel("gradient_norm", (penalty.number,))
        if per_penalty in self.channels:
            known["gradient_norm"] = {self.channels.index(per_penalty): 1.0}
        of_penalty = {penalty.unit: penalty.strength} if penalty.strength else {}
        known |= {"penalty_unit": {penalty.unit: 1.0}, "penalty_value": of_penalty or {penalty.unit: 0.0}}
        known["objective"] = {own["risk"]: 1.0} | of_penalty
        return _checks.one_of("variable", variable, known)

    def field(self, variable: str, penalty: PenaltyOf) -> list[Patch]:
        """A variable as one polynomial a piece."""
        weights = self.weights(variable, penalty)
        return [patch.combined(weights) for patch in self.patches]

    def field_errors(self, variable: str, penalty: PenaltyOf) -> np.ndarray:
        """(patches,) the stated errors of such a field."""
        weights = self.weights(variable, penalty)
        return np.sum([weight * self.absolute[self.finite, i] for i, weight in weights.items()], axis=0)

    def error_of(self, variable: str, penalty: PenaltyOf) -> float:
        """The largest stated error of such a field."""
        return sum(weight * largest(self.absolute[:, i]) for i, weight in self.weights(variable, penalty).items())

    def values(self, positions: Sequence[np.ndarray], derivatives: Sequence[str]) -> dict[str, np.ndarray]:
        """Variable -> array that ends with the grid (…, n₁, …); those of several penalties start with these.

        positions: along each coordinate, in the order of the names.
        """
        grid, k = tuple(map(len, positions)), len(positions)
        values = np.full((len(self.channels), *grid), np.nan)
        fronts = {"slope": (k,), "plane_hessian": (k, k)}
        found = {name: np.full((*fronts[name], *grid), np.nan) for name in derivatives}
        for patch in self.patches:
            inside = self._inside(patch, positions)
            if not all(map(len, inside)):
                continue
            axes = enumerate(zip(positions, inside, strict=True))
            t = [(2 * own[i] - patch.lower[a] - patch.upper[a]) / patch.widths[a] for a, (own, i) in axes]
            place = (..., *np.ix_(*inside))
            values[place] = patch.on_grid(t)
            if derivatives:
                new = dict(zip(fronts, patch.derivatives(self.channel("risk"), t), strict=True))
                for name in derivatives:
                    found[name][place] = new[name]
        return self._by_variable(values) | found

    def _by_variable(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Channels (channels, …) as variables."""
        out: dict[str, np.ndarray] = {}
        for variable, group in itertools.groupby(range(len(self.channels)), lambda i: self.channels[i].variable):
            rows = list(group)
            shape = tuple(n + 1 for n in self.channels[rows[-1]].index)
            out[variable] = values[rows].reshape(*shape, *values.shape[1:])
        penalties = self.penalties
        units = values[[own.unit for own in penalties]]
        strengths = np.array([own.strength for own in penalties]).reshape(-1, *[1] * (units.ndim - 1))
        out["penalty_unit"], out["penalty_value"] = units, strengths * units
        out["objective"] = out["risk"] + out["penalty_value"]
        if "gradient_norm" in out:
            norms = out["gradient_norm"].reshape(-1, *values.shape[1:])
            out["gradient_norm"] = norms[[own.number for own in penalties]]
        out["finite"] = np.asarray(np.isfinite(values).all(axis=0))
        return out

    def _inside(self, patch: Patch, positions: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Where the positions that belong to a piece stand: from its lower edge up to the next piece's."""
        found = []
        for own, low, high, end in zip(positions, patch.lower, patch.upper, self.corners[1], strict=True):
            found.append(np.flatnonzero((low <= own) & ((own < high) | (own == end) & (high == end))))
        return found


def largest(errors: np.ndarray) -> float:
    """The largest of those that there are."""
    return float(np.max(errors[~np.isnan(errors)], initial=0.0))


def on_border(point: np.ndarray, contents: Contents, edge: float = 1e-6) -> bool:
    """Whether a point lies on the border of the box, or of what is not finite, to `edge` of the box's widths."""
    lowest, highest = contents.corners
    slack = edge * (highest - lowest)
    holds = np.all((contents.lower - slack <= point) & (point <= contents.upper + slack), axis=1)
    return bool(np.any(point <= lowest + slack) or np.any(point >= highest - slack) or np.any(holds & ~contents.finite))


def described(contents: Contents, tolerance: float) -> Mapping[str, object]:
    """What the attribute `interpolation` of a surface says."""
    shares, logs = contents.shares(), contents.data["form"].to_numpy()[:, contents.channel("risk")] == 1
    return {
        "evaluations": contents.data.sizes["evaluation"],
        "pieces": len(contents.lower),
        "tolerance": tolerance,
        "relative_to": contents.data.attrs["relative_to"],
        "error": max(shares),
        "errors": contents.errors,
        "logarithmic": float(logs.mean()),
    }
