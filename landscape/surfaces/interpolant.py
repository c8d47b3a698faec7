"""`Interpolant`: a surface as polynomials on pieces of a box, that states its error and can be looked at anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape import _checks
from landscape.surfaces import _dataset, _extrema, _patches
from landscape.surfaces._patches import Channel, Patch

if TYPE_CHECKING:
    import xarray

DERIVATIVES = ("slope", "plane_hessian")
# The error of derivatives, in units of error·degree·2/width for each time: of polynomials of a degree n, bounded by 1, the
# slope is at most n/√(1 − t²) (Bernstein), and the second one is largest at the ends. Measured on networks.
SLOPE, HESSIAN = 1.0, 4.0


@dataclass(frozen=True, eq=False, repr=False)
class Interpolant:
    """What `ls.interpolate` returns: risk and penalties on a box of a chart, as Chebyshev interpolants on its pieces.

    data: a Dataset: of each piece `lower`, `upper`, `degree`, `form` ("plain": 0, "log": 1, the square root of an
          interpolated square: 2; not finite: −1) and stated `error`; `coefficients` of the channels, piece after piece;
          `points` and `values`, all that was evaluated; attributes with the provenance. `ls.save` writes it, a few
          kilobytes, and `ls.open_interpolant` reads it.
    """

    data: xarray.Dataset

    @property
    def names(self) -> tuple[str, ...]:
        """Of the coordinates, as the chart has them."""
        return tuple(self.data["coordinate"].to_numpy().tolist())

    @property
    def box(self) -> dict[str, tuple[float, float]]:
        """Coordinate -> (lowest, highest) position."""
        lower, upper = self.data["lower"].min("piece").to_numpy(), self.data["upper"].max("piece").to_numpy()
        return {n: (float(a), float(b)) for n, a, b in zip(self.names, lower, upper, strict=True)}

    @property
    def evaluations(self) -> int:
        """How often the objective was evaluated."""
        return int(self.data.sizes["evaluation"])

    @property
    def error(self) -> float:
        """The largest stated error of anything interpolated: of its range or, with relative_to="value", of itself."""
        return max(self._shares())

    @property
    def errors(self) -> dict[str, float]:
        """Variable -> the largest stated error, in units of the variable; with relative_to="value" of itself.

        That of `slope` and `plane_hessian` follows from the risk's: error · degree · 2/width for each derivative.
        """
        stated = self.data["error"].to_numpy()
        found: dict[str, float] = {}
        for i, channel in enumerate(self._channels):
            found[channel.variable] = max(found.get(channel.variable, 0.0), _largest(stated[:, i]))
        return found | dict(zip(DERIVATIVES, self._derivative_errors(), strict=True))

    @property
    def converged(self) -> bool:
        """Whether the stated error is within the tolerance everywhere where the surface is finite."""
        return self.error <= self.data.attrs["tolerance"]

    @property
    def not_finite(self) -> float:
        """The share of the box that is taken as not finite: pieces with a point that is not."""
        widths = (self.data["upper"] - self.data["lower"]).prod("coordinate").to_numpy()
        return float(widths[self.data["degree"].to_numpy()[:, 0] < 0].sum() / widths.sum())

    def on(self, axes: Mapping[str, Any], *, quantities: Sequence[str] = ()) -> xarray.Dataset:
        """The surface on a grid inside the box, as `evaluate` returns it; nothing is evaluated.

        axes:       coordinate name -> 1-D positions, all names; dimensions follow the order of this mapping.
        quantities: "slope" and "plane_hessian", the interpolant's own derivatives of the risk.
        The attribute `interpolation` holds evaluations, pieces and errors, JSON. Numbers are float64.
        Raises: ValueError or TypeError, naming the argument.
        """
        positions = self._checked(axes)
        for quantity in quantities:
            _checks.one_of("quantities", quantity, dict.fromkeys(DERIVATIVES))
        shape = tuple(len(positions[name]) for name in self.names)
        k, shapes = len(shape), {"slope": (len(shape),), "plane_hessian": (len(shape),) * 2}
        values = np.full((len(self._channels), *shape), np.nan)
        wanted = {name: np.full((*shapes[name], *shape), np.nan) for name in DERIVATIVES if name in quantities}
        risk = next((i for i, channel in enumerate(self._channels) if channel.variable == "risk"), 0)
        for patch in self._patches:
            inside = self._inside(patch, positions)
            if all(map(len, inside)):
                t = [
                    2 * (positions[n][i] - a) / (b - a) - 1
                    for n, i, a, b in zip(self.names, inside, patch.lower, patch.upper, strict=True)
                ]
                place = np.ix_(*inside)
                values[(slice(None), *place)] = patch.on_grid(t)
                if wanted:
                    found = dict(zip(DERIVATIVES, patch.derivatives(risk, t), strict=True))
                    for name, array in wanted.items():
                        array[(slice(None),) * (array.ndim - k) + place] = found[name]
        return self._labeled(values, wanted, positions, list(axes))

    def sel(self, *, penalty: str) -> Interpolant:
        """That of one penalty of a sweep, by its label."""
        labels = self._labels
        if labels is None:
            raise ValueError("`penalty` chooses out of a sweep, and this interpolant has none: leave it out.")
        _checks.one_of("penalty", penalty, dict.fromkeys(labels))
        return Interpolant(self.data.isel(penalty=[labels.index(penalty)]))

    def minimum(self, variable: str = "objective") -> xarray.Dataset:
        """The least value of a variable in the box, one for each penalty of a sweep, as `ls.minimum` returns it.

        Found on a grid of several points a degree and followed down by L-BFGS-B on the interpolant's own gradient.
        `interior` is False where it lies on the border of the box or of a piece that is not finite; `error` is the
        stated error of its value.
        Raises: ValueError if there is no such variable, or the surface is nowhere finite.
        """
        import xarray

        labels = self._labels
        rows = [self._least(variable, i) for i in range(len(labels or [""]))]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        if labels is None:
            return xarray.Dataset({name: column[0] for name, column in columns.items()})
        coords = {"penalty": labels, "strength": ("penalty", self.data["strength"].to_numpy())}
        return xarray.Dataset({name: ("penalty", column) for name, column in columns.items()}, coords)

    def critical_points(self, variable: str = "objective") -> xarray.Dataset:
        """All points of the box in which the interpolant's gradient in the chart is 0, lowest first.

        Returns a Dataset over `point`: coordinates, the variable's value, `kind` ("minimum", "saddle", "maximum",
        "degenerate"), `index` (negative eigenvalues of the Hessian in the chart), `eigenvalues`, and `uncertainty`, how
        far the stated error of the slope may move the point: |slope error| / |smallest eigenvalue|. Where it is as large
        as the window, the point may not be there at all. No point of the interpolant is missed: the box is cut until
        each part provably holds none, or one.
        Raises: ValueError where they are not isolated (a valley with a flat floor), and for a sweep: choose a penalty.
        """
        import xarray

        patches = self._field(variable, self._only())
        found = _extrema.critical(patches)
        kinds, indices = zip(*map(_extrema.kind, found.eigenvalues), strict=True) if len(found.points) else ((), ())
        smallest = np.abs(found.eigenvalues).min(axis=1, initial=np.inf)
        with np.errstate(divide="ignore"):
            uncertainty = self.errors["slope"] / smallest
        columns: dict[str, Any] = {name: ("point", found.points[:, i]) for i, name in enumerate(self.names)}
        columns |= {
            variable: ("point", found.values),
            "kind": ("point", np.array(kinds, "<U10")),
            "index": ("point", np.array(indices, np.int64)),
            "eigenvalues": (("point", "eigenvalue"), found.eigenvalues),
            "uncertainty": ("point", uncertainty),
        }
        return xarray.Dataset(columns, attrs={"stated_slope_error": self.errors["slope"]})

    def level_lines(self, levels: Sequence[float], variable: str = "objective") -> dict[float, list[np.ndarray]]:
        """Level -> its lines in two coordinates, each (vertices, 2); in one coordinate the positions, (1, 1) each.

        Vertices are moved onto the level by Newton's method, to rounding.
        Raises: ValueError for three coordinates, and for a sweep: choose a penalty.
        """
        if len(self.names) == 3:
            raise ValueError("level lines are those of one or two coordinates; in three, draw `.on(axes)`.")
        patches = self._field(variable, self._only())
        return {float(level): _extrema.level_lines(patches, float(level)) for level in levels}

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        edges = ", ".join(f"{name} from {a:g} to {b:g}" for name, (a, b) in self.box.items())
        degree = "×".join(map(str, self.data["degree"].max("piece").to_numpy().tolist()))
        pieces = self.data.sizes["piece"]
        relative = self.data.attrs["relative_to"]
        of = "the value" if relative == "value" else "the range"
        lines = [
            f"interpolant on {edges}",
            f"  {self.evaluations} evaluations; {pieces} piece{'s' * (pieces > 1)} of degree up to {degree}",
            f"  error at most {self.error:.1e} of {of} ({'within' if self.converged else 'NOT within'} "
            f"{self.data.attrs['tolerance']:g})",
        ]
        logs = int((self.data["form"].to_numpy()[:, 0] == _patches.CODES.index("log")).sum())
        if logs:
            lines.append(f"  of {self._channels[0].variable} the logarithm is interpolated, on {logs} of {pieces}")
        if self.not_finite:
            lines.append(f"  {100 * self.not_finite:.3g} % of the box not finite")
        return "\n".join(lines)

    @cached_property
    def _patches(self) -> list[Patch]:
        return list(_patches.unpack(self.data))

    @cached_property
    def _channels(self) -> list[Channel]:
        return _patches.channels_of(self.data)

    @property
    def _labels(self) -> list[str] | None:
        """Of the penalties of a sweep."""
        return self.data["penalty"].to_numpy().tolist() if "penalty" in self.data.dims else None

    def _only(self) -> int:
        """The number of the only penalty."""
        if self._labels is not None:
            raise ValueError(
                f"this interpolant has the penalties {', '.join(map(repr, self._labels))}; choose one: "
                f".sel(penalty={self._labels[0]!r})."
            )
        return 0

    def _penalties(self) -> list[tuple[int, int, float]]:
        """(number, channel of the penalty at strength 1, strength) of each."""
        columns = (np.atleast_1d(self.data[name].to_numpy()).tolist() for name in ("number", "unit", "strength"))
        unit = {channel.index[0]: i for i, channel in enumerate(self._channels) if channel.variable == "penalty_unit"}
        return [(number, unit[own], strength) for number, own, strength in zip(*columns, strict=True)]

    def _shares(self) -> list[float]:
        """The stated error of each channel, in the unit of the tolerance."""
        stated, scale = self.data["error"].to_numpy(), self.data["scale"].to_numpy()
        return [_largest(own) / one for own, one in zip(stated.T, scale, strict=True)]

    def _derivative_errors(self) -> tuple[float, float]:
        """Of slope and plane_hessian."""
        data, risk = self.data, self._channel("risk")
        finite = data["degree"].to_numpy()[:, 0] >= 0
        stated = data["error"].to_numpy()[finite, risk]
        if data.attrs["relative_to"] == "value":
            sizes = [np.abs(patch.on_grid(patch.nodes())[risk]).max() for patch in self._patches]
            stated = stated * np.array(sizes)
        steepness = (2 * data["degree"] / (data["upper"] - data["lower"])).max("coordinate").to_numpy()[finite]
        return SLOPE * _largest(stated * steepness), HESSIAN * _largest(stated * steepness**2)

    def _channel(self, variable: str) -> int:
        """The number of a channel that is a variable of its own."""
        return self._channels.index(Channel(variable, ()))

    def _weights(self, variable: str, penalty: int) -> dict[int, float]:
        """Of what channels a variable is the sum."""
        number, unit, strength = self._penalties()[penalty]
        own = {channel.variable: i for i, channel in enumerate(self._channels) if channel.index == ()}
        known: dict[str, dict[int, float]] = {name: {i: 1.0} for name, i in own.items()}
        known |= {"penalty_unit": {unit: 1.0}, "penalty_value": {unit: strength}}
        known["objective"] = {own["risk"]: 1.0} | ({unit: strength} if strength else {})
        per_penalty = Channel("gradient_norm", (number,))
        if per_penalty in self._channels:
            known["gradient_norm"] = {self._channels.index(per_penalty): 1.0}
        return _checks.one_of("variable", variable, known)

    def _field(self, variable: str, penalty: int) -> list[Patch]:
        """A variable as one polynomial a piece."""
        weights = self._weights(variable, penalty)
        return [patch.combined(weights) for patch in self._patches]

    def _least(self, variable: str, penalty: int) -> dict[str, Any]:
        value, point = _extrema.least(self._field(variable, penalty))
        lower, upper = (self.data[name].to_numpy() for name in ("lower", "upper"))
        border = _extrema.on_border(point, lower, upper, self.data["degree"].to_numpy()[:, 0] >= 0)
        found = {variable: value, "interior": not border} | dict(zip(self.names, point.tolist(), strict=True))
        weights, stated = self._weights(variable, penalty), self.data["error"].to_numpy()
        return found | {"error": sum(weight * _largest(stated[:, i]) for i, weight in weights.items())}

    def _checked(self, axes: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Positions by the chart's names. Raises: as `on`."""
        positions = _checks.axes(self.names, axes)
        for name, (low, high) in self.box.items():
            outside = positions[name][(positions[name] < low) | (positions[name] > high)]
            if outside.size:
                raise ValueError(
                    f"`axes[{name!r}]` has the position {outside[0]:g} outside of the box, {low:g} to {high:g}, where "
                    "the interpolant knows nothing; interpolate on a larger box."
                )
        return {name: positions[name] for name in self.names}

    def _inside(self, patch: Patch, positions: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Where the positions that belong to a piece stand: from its lower edge up to the next piece's."""
        found = []
        for name, low, high in zip(self.names, patch.lower, patch.upper, strict=True):
            own = positions[name]
            below = own <= high if high == self.box[name][1] else own < high
            found.append(np.flatnonzero((own >= low) & below))
        return found

    def _labeled(
        self,
        values: np.ndarray,
        derivatives: Mapping[str, np.ndarray],
        positions: Mapping[str, np.ndarray],
        order: list[str],
    ) -> xarray.Dataset:
        """Channels (channels, …) and derivatives on a grid in the chart's order, as a surface."""
        import xarray

        dims, penalties = self.names, self._penalties()
        out: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        own = [channel.variable for channel in self._channels]
        for name in dict.fromkeys(own):
            rows = [i for i, other in enumerate(own) if other == name]
            if name == "penalty_unit":
                rows = [unit for _, unit, _ in penalties]
            elif name == "gradient_norm":
                rows = [rows[number] for number, _, _ in penalties]
            out[name] = (dims, values[rows[0]])
            if name in _dataset.PER_PENALTY:
                out[name] = (("penalty", *dims), values[rows])
            elif self._channels[rows[0]].index:
                shape = tuple(
                    1 + max(self._channels[i].index[d] for i in rows) for d in range(len(self._channels[rows[0]].index))
                )
                out[name] = (
                    (*(f"{name}_{d}" for d in range(len(shape))), *dims),
                    values[rows].reshape(*shape, *values.shape[1:]),
                )
        strengths = np.array([strength for _, _, strength in penalties]).reshape(-1, *[1] * len(dims))
        unit = out["penalty_unit"][1]
        with np.errstate(invalid="ignore"):
            value = np.where(strengths > 0, strengths * unit, np.where(np.isnan(unit), np.nan, 0.0))
        out["penalty_value"] = (("penalty", *dims), value)
        out["objective"] = (("penalty", *dims), out["risk"][1] + value)
        if self._labels is None:
            out = {n: (d[1:], v[0]) if d[0] == "penalty" else (d, v) for n, (d, v) in out.items()}
        out["finite"] = (dims, np.isfinite(values).all(axis=0))
        for name, array in derivatives.items():
            front = array.ndim - len(dims)
            out[name] = (
                (*dims, "coordinate", "coordinate_")[: array.ndim],
                np.moveaxis(array, range(front), range(-front, 0)),
            )
        coords: dict[str, Any] = {
            name: (name, positions[name], json.loads(self.data.attrs["axes"])[name]) for name in order
        }
        if self._labels is not None:
            coords |= {
                "penalty": self._labels,
                "strength": ("penalty", self.data["strength"].to_numpy(), self.data["strength"].attrs),
            }
        for name in ("coordinate", "coordinate_"):
            if any(name in d for d, _ in out.values()):
                coords[name] = (name, list(dims))
        variables = {name: (d, v, _dataset.described(name)) for name, (d, v) in out.items()}
        attributes = {
            n: v for n, v in self.data.attrs.items() if n not in ("channels", "axes", "tolerance", "relative_to")
        }
        attributes |= {"kind": "surface", "interpolation": json.dumps(self._described())}
        return xarray.Dataset(variables, coords, attributes).transpose(
            ..., *order, *[d for d in ("coordinate", "coordinate_") if d in coords]
        )

    def _described(self) -> dict[str, Any]:
        """For the attribute `interpolation`."""
        return {
            "evaluations": self.evaluations,
            "pieces": self.data.sizes["piece"],
            "tolerance": self.data.attrs["tolerance"],
            "relative_to": self.data.attrs["relative_to"],
            "error": self.error,
            "errors": self.errors,
            "logarithmic": float((self.data["form"].to_numpy()[:, self._channel("risk")] == 1).mean()),
        }


def _largest(errors: np.ndarray) -> float:
    """The largest of those that there are."""
    return float(np.max(errors[~np.isnan(errors)], initial=0.0))
