"""A surface read as panels, one a penalty: positions, values and labels, checked and in the order they are drawn."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from landscape import _checks

_LABELED = ("penalty", "split")  # dimensions of labels: not of positions
_GREEK = {
    unicodedata.name(letter).removeprefix("GREEK SMALL LETTER ").replace("LAMDA", "LAMBDA").lower(): letter
    for letter in "αβγδεζηθικλμνξοπρστυφχψω"
}
_ELSEWHERE = ("penalty", "optimizer")  # labels of titles and legends


@dataclass(frozen=True)
class Panel:
    """What one panel draws. `values` has shape (len(y), len(x)), NaN where the surface is not finite."""

    label: str  # the penalty's label; "" without a sweep
    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    x_label: str
    y_label: str
    lengths: tuple[float, float] | None = None  # of the window's sides between params; None where the chart has none
    missing: np.ndarray | None = None  # like `values`, where cells are not computed yet; None if all are

    @property
    def ratio(self) -> float | None:
        """Height over width of the window as distances between params; None where they are not known, or 0."""
        return self.lengths[1] / self.lengths[0] if self.lengths and min(self.lengths) > 0 else None

    @property
    def gaps(self) -> np.ndarray:
        """Where there is no value although it was computed."""
        bad = ~np.isfinite(self.values)
        return bad if self.missing is None else bad & ~self.missing

    @property
    def finite(self) -> np.ndarray:
        return self.values[np.isfinite(self.values)]


def label_of(array: xr.DataArray) -> str:
    """An axis label: long name and unit, as the data set gives them, and the split or component that was selected."""
    name = symbol(str(array.attrs.get("long_name") or array.name))
    name = re.sub(r"^pc(\d+)$", r"PC \1", name)
    unit = str(array.attrs.get("units", "1"))
    held = [c for c in array.coords.values() if c.ndim == 0 and c.name not in _ELSEWHERE and c.dtype.kind in "OUST"]
    selected = "".join(f", {c.item()}" for c in held) if array.name not in array.dims else ""
    return name + selected + ("" if unit in ("1", "") else f" ({unit})")


def symbol(name: str) -> str:
    """A variable, of one letter or a Greek one, in italics: "w" becomes "$w$", "eta1" "$η_{1}$"; other names stay."""
    found = re.fullmatch(r"([A-Za-z]+|[α-ω])_?(\d*)", name)
    letter = _GREEK.get(found[1], found[1]) if found else ""
    if found is None or len(letter) > 1:
        return name
    return f"${letter}_{{{found[2]}}}$" if found[2] else f"${letter}$"


def title_of(label: str) -> str:
    """A penalty's label as it is set in print: "λ=0.1" becomes "$λ$ = 0.1"."""
    return italic(label.replace("=", " = ") if " = " not in label else label)


def italic(text: str) -> str:
    """The text with its Greek letters in italics, as variables are; as it is if it holds mathematics already."""
    return text if "$" in text else re.sub("[α-ω]", r"$\g<0>$", text)


def coordinates(surface: xr.Dataset, variable: str) -> tuple[str, ...]:
    """The names of the surface's coordinates, in order.

    Raises: TypeError if it is no data set, or the variable no name; ValueError if it lacks the variable.
    """
    if not isinstance(surface, xr.Dataset):
        raise TypeError(
            f"`surface` is {_checks.kind(surface)}; it must be the xarray.Dataset that landscape.evaluate returns (or "
            "an interpolant's `.on(axes)`)."
        )
    if not isinstance(variable, str):
        raise TypeError(
            f"`variable` is {_checks.kind(variable)}; it must be the name of one of the surface's variables. "
            "Runs are given by name: contour(surface, runs=...)."
        )
    if variable not in surface.data_vars:
        known = ", ".join(sorted(map(str, surface.data_vars)))
        raise ValueError(
            f"`surface` has no variable {variable!r}; it has {known}. "
            f'Ask for it: landscape.evaluate(..., quantities=("{variable}",)).'
        )
    return tuple(str(d) for d in surface[variable].dims if d not in _LABELED)


def plane(surface: xr.Dataset, variable: str) -> tuple[str, str]:
    """The names of the two coordinates. Raises ValueError unless there are two, of two values or more, of one split."""
    names = coordinates(surface, variable)
    parts = [name for name in names if surface[name].dtype.kind in "OUST"]
    if parts:
        chosen = ", ".join(f"{name}=0" for name in parts)
        raise ValueError(
            f"`surface` has the components of {variable!r} along {' and '.join(map(repr, parts))} "
            f"({', '.join(map(str, surface[parts[0]].values))}); a picture shows one. Select it: "
            f"surface.isel({chosen})."
        )
    if len(names) > 2:
        raise ValueError(
            f"`surface` has {len(names)} coordinates in {variable!r} ({', '.join(names)}); a picture shows two. "
            f"Hold the others: surface.isel({names[-1]}=0), or surface.sel({names[-1]}=value, method='nearest'). "
            "Several slices: landscape.plot.slices."
        )
    if len(names) < 2:
        held = ", ".join(names) or "none"
        raise ValueError(
            f"`surface` has {len(names)} of the two coordinates that this picture needs ({held}). "
            "Draw a line with landscape.plot.line, or evaluate on two axes."
        )
    one_split(surface, variable)
    for name in names:
        if surface.sizes[name] < 2:
            raise ValueError(f"`surface` has one value of {name!r}; a plane needs two or more. Evaluate on more.")
    return names


def read(surface: xr.Dataset, variable: str) -> list[Panel]:
    """The panels of a variable: one a penalty, or one. First coordinate horizontal, second vertical, both ascending."""
    x, y = plane(surface, variable)
    surface = surface.sortby([x, y])
    data = masked(surface, variable)
    swept = "penalty" in data.dims
    slices = [data.isel(penalty=i) for i in range(data.sizes["penalty"])] if swept else [data]
    return [
        Panel(
            label=str(piece.coords["penalty"].item()) if "penalty" in piece.coords else "",
            x=surface[x].to_numpy().astype(float),
            y=surface[y].to_numpy().astype(float),
            values=piece.transpose(y, x).to_numpy(),
            x_label=label_of(surface[x]),
            y_label=label_of(surface[y]),
            lengths=_lengths(surface, (x, y)),
            missing=missing(surface, piece).transpose(y, x).to_numpy() if "computed" in surface else None,
        )
        for piece in slices
    ]


def diagonal(surface: xr.Dataset, names: Sequence[str]) -> float | None:
    """The diagonal of a surface's window as a distance between params, √Σᵢ(rangeᵢ·unit_lengthᵢ)²; None where the chart,
    which is no Plane then, does not say how long a unit of its coordinates is."""
    lengths = _lengths(surface, names)
    return None if lengths is None else float(np.linalg.norm(lengths))


def _lengths(surface: xr.Dataset, names: Sequence[str]) -> Any:
    """The sides of a surface's window as distances between params, a tuple; None where the chart does not say."""
    units = [surface[name].attrs.get("unit_length") for name in names]
    if None in units:
        return None
    return tuple(float(np.ptp(surface[name].to_numpy()) * unit) for name, unit in zip(names, units, strict=True))


def masked(surface: xr.Dataset, variable: str) -> xr.DataArray:
    """The variable in float64, NaN wherever it or the risk is not finite."""
    data = surface[variable].astype(float)
    good = np.isfinite(data)
    if "finite" in surface and set(surface["finite"].dims) <= set(data.dims):
        good = good & surface["finite"]
    return data.where(good).transpose(*data.dims)


def missing(surface: xr.Dataset, like: xr.DataArray) -> xr.DataArray:
    """Where a surface that is still being computed lacks cells, with the dimensions of `like`; nowhere in others."""
    computed = surface.get("computed", xr.DataArray(True))
    return ~computed.broadcast_like(like).astype(bool)


def single(surface: xr.Dataset, variable: str, what: str) -> None:
    """Raise ValueError if the variable holds several penalties where one is drawn."""
    if "penalty" in surface[variable].dims:
        labels = [str(label) for label in surface["penalty"].values]
        raise ValueError(
            f"`surface` holds {len(labels)} penalties ({', '.join(labels)}); {what} shows one. "
            f"Select it: surface.sel(penalty={labels[-1]!r}), or draw all with landscape.plot.dark_minimum."
        )


def one_split(surface: xr.Dataset, variable: str) -> None:
    """Raise ValueError if the variable holds several splits of the data where one is drawn."""
    if "split" in surface[variable].dims:
        labels = [str(label) for label in surface["split"].values]
        raise ValueError(
            f"`surface` holds {len(labels)} splits ({', '.join(labels)}); this picture shows one. "
            f"Select it: surface.sel(split={labels[0]!r})."
        )
