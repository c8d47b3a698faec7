"""What a `Persistence` prints: a sentence, a table of the minima, and a line for the loops and voids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray

SHOWN, SHOWN_CYCLES = 8, 3  # minima, and loops or voids, at most
ZERO = 1e-12  # of the largest number beside it: linspace puts 1e-17 where a reader expects 0


def described(pairs: xarray.Dataset, values: xarray.DataArray, roughness: float) -> str:
    """The whole."""
    homology = pairs["homology"].to_numpy()
    minima = pairs.isel(pair=homology == 0)
    name = str(values.name)
    grid = f"{'×'.join(map(str, values.shape))} cells over {_listed([str(dim) for dim in values.dims])}"
    lines = [f"{_count(minima.sizes['pair'], 'minimum', 'minima')} of {name} on {grid}, roughness {roughness:.3g}."]
    scales = _Scales(values)
    lines += _table(minima, name, scales)
    for dimension, one, many in ((1, "loop", "loops"), (2, "void", "voids")):
        own = pairs.isel(pair=homology == dimension)
        if own.sizes["pair"]:
            lines.append(f"{_count(own.sizes['pair'], one, many)}: {_cycles(own, scales)}.")
    return "\n".join(lines + _remarks(pairs, minima, scales))


class _Scales:
    """How numbers are written: 0 where they are nothing beside the largest of their kind."""

    def __init__(self, values: xarray.DataArray) -> None:
        self._largest = _largest(values)
        self._along = [_largest(values[dim]) for dim in values.dims]

    def number(self, value: float | xarray.DataArray) -> str:
        """A value of the variable."""
        return _written(float(value), self._largest)

    def place(self, coordinates: xarray.DataArray) -> str:
        """The coordinates of a cell."""
        written = map(_written, coordinates.to_numpy().tolist(), self._along)
        return f"({', '.join(written)})"


def _largest(array: xarray.DataArray) -> float:
    return float(np.nanmax(abs(array.to_numpy().astype(float))))


def _written(number: float, largest: float) -> str:
    return f"{0.0 if abs(number) <= ZERO * largest else number:.4g}".replace("-", "−")


def _table(minima: xarray.Dataset, name: str, scales: _Scales) -> list[str]:
    """A row a minimum."""
    rows = [["#", "minimum at", name, "merges into", "saddle at", name, "persistence", "basin"]]
    shown = minima.isel(pair=slice(SHOWN))
    for i in range(shown.sizes["pair"]):
        own = shown.isel(pair=i)
        merges, elder = np.isfinite(float(own["death"])), int(own["merges_into"])
        over = [str(elder), scales.place(own["death_at"]), scales.number(own["death"])] if merges else ["never", "", ""]
        deep = scales.number(own["persistence"]) if merges else "∞"
        born = [str(int(own["pair"])), scales.place(own["birth_at"]), scales.number(own["birth"])]
        rows.append([*born, *over, deep, f"{100 * float(own['basin_share']):.3g} %"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _remarks(pairs: xarray.Dataset, minima: xarray.Dataset, scales: _Scales) -> list[str]:
    """What is left out, and what may not be what it seems."""
    lines, more = [], minima.sizes["pair"] - SHOWN
    if more > 0:
        deepest = scales.number(minima["persistence"][SHOWN])
        lines.append(f"{more} more of persistence {deepest} or less; .at_least(threshold) drops the least.")
    border = minima["pair"].to_numpy()[minima["birth_on_border"].to_numpy()]
    if len(border):
        numbers = _listed([f"#{number}" for number in border[:SHOWN]] + ["others"] * (len(border) > SHOWN))
        verb = "lies" if len(border) == 1 else "lie"
        lines.append(f"{numbers} {verb} on the border of the window: the true minimum may be outside.")
    rounded = int(pairs["within_rounding"].sum())
    if rounded:
        lines.append(f"Of {rounded} of the pairs the persistence is so small that rounding can make it.")
    return lines


def _cycles(own: xarray.Dataset, scales: _Scales) -> str:
    found = []
    for i in range(min(own.sizes["pair"], SHOWN_CYCLES)):
        one = own.isel(pair=i)
        filled = np.isfinite(float(one["death"]))
        end = f"filled at {scales.number(one['death'])}, {scales.place(one['death_at'])}" if filled else "never filled"
        found.append(f"closed at {scales.number(one['birth'])}, {scales.place(one['birth_at'])}, {end}")
    return "; ".join(found + ["…"] * (own.sizes["pair"] > SHOWN_CYCLES))


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
