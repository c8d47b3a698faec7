"""`Interpolant`: a surface as polynomials on pieces of a box, that states its error and can be looked at anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape import _checks
from landscape.surfaces import _contents, _dataset, _extrema
from landscape.surfaces._contents import Contents, PenaltyOf
from landscape.surfaces._zeros import NotIsolatedError

if TYPE_CHECKING:
    import xarray

DERIVATIVES = ("slope", "plane_hessian")
SLACK = 1e-12  # of the box's width: np.arange(-0.3, 0.31, 0.1) ends beyond 0.3
OWN = ("channels", "axes", "tolerance", "relative_to", "rounding")  # attributes that a surface does not inherit


@dataclass(frozen=True, eq=False, repr=False)
class Interpolant:
    """What `ls.interpolate` returns: risk and penalties on a box of a chart, as Chebyshev interpolants on its pieces.

    data: a Dataset: of each piece `lower`, `upper`, `degree`, `form` (plain: 0, of the logarithm: 1, of the square: 2;
          not finite: −1) and stated `error`; `coefficients` of the channels, piece after piece, the last coordinate's
          degree fastest; `points` and `values`, all that was evaluated, and which of it are a piece's nodes (`node`);
          attributes with the provenance. `ls.save` writes it, and `ls.open_interpolant` reads it.
    """

    data: xarray.Dataset

    def __post_init__(self) -> None:
        if getattr(self.data, "attrs", {}).get("kind") != "interpolant":
            raise TypeError(
                f"`data` is {_checks.kind(self.data)} that is no interpolant; ls.interpolate makes one, and "
                "ls.open_interpolant opens it."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the coordinates, as the chart has them."""
        return self._contents.names

    @property
    def box(self) -> dict[str, tuple[float, float]]:
        """Coordinate -> (lowest, highest) position."""
        corners = zip(self.names, *(corner.tolist() for corner in self._contents.corners), strict=True)
        return {name: (low, high) for name, low, high in corners}

    @property
    def evaluations(self) -> int:
        """At how many points the function was evaluated."""
        return self.data.sizes["evaluation"]

    @property
    def error(self) -> float:
        """The largest stated error of all that is interpolated, in units of the tolerance: a share of its range.

        Of the risk a share of itself with relative_to="value".
        """
        return float(max(self._contents.shares())) if self._contents.finite.any() else math.nan

    @property
    def errors(self) -> dict[str, float]:
        """Variable -> the largest stated error, in the variable's own units.

        Those of slope and plane_hessian follow from that of the risk: they are as much larger, with a margin, as the
        derivatives of the interpolant of half the degree err more than its values. In small pieces they are large.
        """
        return dict(self._contents.errors)

    @property
    def converged(self) -> bool:
        """Whether the stated error is within the tolerance, wherever the surface is finite; False if it is nowhere."""
        return self.error <= self.data.attrs["tolerance"]

    @property
    def not_finite(self) -> float:
        """The share of the box that is taken as not finite: pieces with a point that is not."""
        contents = self._contents
        sizes = np.prod(contents.upper - contents.lower, axis=1)
        return float(sizes[~contents.finite].sum() / sizes.sum())

    def on(self, axes: Mapping[str, Any], *, quantities: Sequence[str] = ()) -> xarray.Dataset:
        """The surface on a grid inside the box, in the form in which `evaluate` returns it; nothing is evaluated.

        axes:       coordinate name -> 1-D positions, all names; dimensions follow the order of this mapping.
        quantities: "slope" and "plane_hessian", the interpolant's own derivatives of the risk.
        Numbers are float64. The attribute `interpolation`, JSON, holds evaluations, pieces and errors.
        Raises: ValueError or TypeError, naming the argument.
        """
        import xarray

        positions = self._checked(axes)
        if isinstance(quantities, str):
            raise TypeError(f"`quantities` is the string {quantities!r}; give a tuple, ({quantities!r},).")
        for quantity in quantities:
            _checks.one_of("quantities", quantity, dict.fromkeys(DERIVATIVES))
        contents, swept = self._contents, self._contents.labels is not None
        values = contents.values([positions[name] for name in self.names], list(dict.fromkeys(quantities)))
        arrays = _dataset.expanded(_dataset.named(values, self.names, swept, False), range(len(contents.penalties)))
        about = json.loads(self.data.attrs["axes"])
        coords: dict[str, Any] = {name: (name, positions[name], about[name]) for name in axes}
        if swept:
            coords |= {"penalty": contents.labels, "strength": self.data["strength"].variable}
        entries = [dim for dim in ("coordinate", "coordinate_") if any(dim in dims for dims, _ in arrays.values())]
        coords |= {dim: (dim, list(self.names)) for dim in entries}
        said = _contents.described(contents, self.data.attrs["tolerance"])
        attributes = {name: value for name, value in self.data.attrs.items() if name not in OWN}
        attributes |= {"kind": "surface", "interpolation": json.dumps(said)}
        variables = {name: (dims, array, _dataset.described(name)) for name, (dims, array) in arrays.items()}
        return xarray.Dataset(variables, coords, attributes).transpose(..., *axes, *entries)

    def sel(self, *, penalty: str) -> Interpolant:
        """That of one penalty of a sweep, by its label."""
        labels = self._contents.labels
        if labels is None:
            raise ValueError("`penalty` chooses out of a sweep, and this interpolant has one penalty; leave it out.")
        _checks.one_of("penalty", penalty, dict.fromkeys(labels))
        return Interpolant(self.data.isel(penalty=labels.index(penalty)))

    def minimum(self, variable: str = "objective") -> xarray.Dataset:
        """The least value of a variable in the box, for each penalty of a sweep, in the form of `ls.minimum`.

        The lowest points of a grid are followed down on the polynomials. `interior` is False where the least lies on
        the border of the box, or of a piece that is not finite; `error` is the stated one of a value.
        Raises: ValueError if there is no such variable, or the surface is nowhere finite.
        """
        import xarray

        contents = self._contents
        rows = [self._least(variable, penalty) for penalty in contents.penalties]
        if contents.labels is None:
            return xarray.Dataset(rows[0])
        coords = {"penalty": contents.labels, "strength": self.data["strength"].variable}
        return xarray.Dataset({name: ("penalty", [row[name] for row in rows]) for name in rows[0]}, coords)

    def critical_points(self, variable: str = "objective") -> xarray.Dataset:
        """All points of the box in which the interpolant's gradient in the chart is 0, lowest first.

        Returns a Dataset over `point`: the coordinates, the variable's value, `kind`, `index` (how many eigenvalues of
        the Hessian in the chart are negative), `eigenvalues` with the stated `eigenvalue_error`, and `uncertainty`: by
        how much the stated error of the slope may move the point, (slope error)/(smallest |eigenvalue|).
        `kind` is "minimum", "saddle" or "maximum"; "degenerate" where the polynomial's Hessian is singular; "unknown"
        where an eigenvalue is within its error of 0, as on a plateau: there may be no such point at all.
        The interpolant has no others: the box is cut until each part is shown to hold none, or one. At a kink, such as
        that of an l1 penalty, there is no gradient: ask `minimum` too.
        Raises: ValueError where they are not isolated, as on the flat floor of a valley; for a sweep: choose a penalty.
        """
        import xarray

        contents, penalty = self._contents, self._only()
        field = contents.field(variable, penalty)
        try:
            found = _extrema.critical(field, contents.field_errors(variable, penalty).tolist(), contents.rounding)
        except NotIsolatedError as error:
            raise ValueError(f"the critical points of {variable!r} are no single points: {error}.") from error
        k = len(self.names)
        eigenvalues = np.array([one.eigenvalues for one in found]).reshape(-1, k)
        smallest = np.abs(eigenvalues).min(axis=1, initial=np.inf)
        with np.errstate(divide="ignore"):
            uncertainty = np.array([one.slope_error for one in found]) / smallest
        points = np.array([one.point for one in found]).reshape(-1, k)
        columns: dict[str, Any] = {name: ("point", points[:, i]) for i, name in enumerate(self.names)}
        columns |= {
            variable: ("point", np.array([one.value for one in found])),
            "kind": ("point", np.array([one.kind for one in found], "<U10")),
            "index": ("point", (eigenvalues < 0).sum(axis=1)),
            "eigenvalues": (("point", "eigenvalue"), eigenvalues),
            "eigenvalue_error": ("point", np.array([one.hessian_error for one in found])),
            "uncertainty": ("point", uncertainty),
        }
        return xarray.Dataset(columns)

    def level_lines(self, levels: Sequence[float], variable: str = "objective") -> dict[float, list[np.ndarray]]:
        """Level -> the lines on which a variable has this value, piece by piece; each (vertices, coordinates).

        Vertices are moved onto the level by Newton's method, to rounding. A line ends at the border of a piece. In one
        coordinate lines are points, in order.
        Raises: ValueError for three coordinates; for a sweep: choose a penalty.
        """
        if len(self.names) == 3:
            raise ValueError(
                "level lines are those of one or two coordinates; in three they are surfaces: draw .on(…)."
            )
        give = "a list of values, such as [0.1, 0.2]"
        _checks.instance("levels", levels, (Sequence, np.ndarray), give)
        wanted = [_checks.number(f"levels[{i}]", level) for i, level in enumerate(levels)]
        if not np.isfinite(wanted).all():
            raise ValueError(f"`levels` is {list(wanted)}; give finite values.")
        field = self._contents.field(variable, self._only())
        return {level: _extrema.level_lines(field, level) for level in wanted}

    def __repr__(self) -> str:
        if not self._contents.finite.any():
            return f"interpolant of {self.evaluations} evaluations, finite nowhere"
        edges = ", ".join(f"{name} from {low:g} to {high:g}" for name, (low, high) in self.box.items())
        degree = "×".join(map(str, self._contents.degree.max(axis=0)))
        pieces, relative = self.data.sizes["piece"], self.data.attrs["relative_to"]
        within = "within" if self.converged else "NOT within"
        lines = [
            f"interpolant on {edges}",
            f"  {self.evaluations} evaluations; {pieces} piece{'s' * (pieces > 1)} of degree up to {degree}",
            f"  estimated error {self.error:.1e} of the {relative}, {within} {self.data.attrs['tolerance']:g}",
        ]
        share = _contents.described(self._contents, 0.0)["logarithmic"]
        if share:
            lines.append(f"  the risk's logarithm is interpolated on {100 * float(str(share)):.3g} % of the pieces")
        if self.not_finite:
            lines.append(f"  {100 * self.not_finite:.3g} % of the box is taken as not finite")
        return "\n".join(lines)

    @cached_property
    def _contents(self) -> Contents:
        return Contents(self.data)

    def _only(self) -> PenaltyOf:
        """The only penalty."""
        labels = self._contents.labels
        if labels is not None:
            raise ValueError(
                f"this interpolant has the penalties {', '.join(map(repr, labels))}; choose one: "
                f".sel(penalty={labels[0]!r})."
            )
        return self._contents.penalties[0]

    def _least(self, variable: str, penalty: PenaltyOf) -> dict[str, Any]:
        error = self._contents.error_of(variable, penalty)
        value, point = _extrema.least(self._contents.field(variable, penalty), error)
        interior = not _contents.on_border(point, self._contents)
        position = dict(zip(self.names, point.tolist(), strict=True))
        return {variable: value, "interior": interior, "error": error} | position

    def _checked(self, axes: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Positions by name. Raises: as `on`."""
        positions = _checks.axes(self.names, axes)
        for name, (low, high) in self.box.items():
            own, slack = positions[name].astype(np.float64), SLACK * (high - low)
            outside = own[(own < low - slack) | (own > high + slack)]
            if outside.size:
                raise ValueError(
                    f"`axes[{name!r}]` has the position {float(outside[0])!r}, outside of the box from {low!r} to "
                    f"{high!r}: nothing is known there; interpolate on a larger box."
                )
            positions[name] = np.clip(own, low, high)
        return positions
