"""What a full grid takes: as many cells as its side to the power of its axes."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.studies._growth_fit import Curve

DAY, YEAR, UNIVERSE = 86400.0, 3.156e7, 4.35e17  # seconds; the last is 13.8 billion years (Planck 2018)
FULL, PLANE = "full grid", "plane"  # how the titles of these begin
UNITS = {"seconds": 1.0, "hours": 3600.0, "days": DAY, "years": YEAR}


class Grid(NamedTuple):
    """Its side, the parameters of its largest measured one, and what that took for each cell, in seconds."""

    side: int
    axes: int
    cell: float

    def log_seconds(self, axes: float) -> float:
        """log₁₀ of the seconds over so many parameters, in proportion to the cells: the number itself may not fit."""
        return math.log10(self.cell) + axes * math.log10(self.side)


def grid(found: Mapping[str, Curve], side: int) -> Grid:
    """Out of the rows of a report."""
    curve = next(curve for title, curve in found.items() if title.startswith(FULL))
    axes = int(curve.sizes[-1])
    return Grid(side, axes, float(curve.values["time"][-1]) / side**axes)


def extrapolated(everything: int) -> tuple[int, ...]:
    """Numbers of parameters over which nobody will measure a full grid; the last: all that a network has."""
    return 10, 100, everything


def span(log_seconds: float) -> str:
    """'3.2 days', '10^94 years'."""
    if log_seconds >= math.log10(YEAR) + 4:
        return f"10^{log_seconds - math.log10(YEAR):.0f} years"
    seconds = 10**log_seconds
    name, unit = [(name, unit) for name, unit in UNITS.items() if unit <= max(seconds, 1)][-1]
    return f"{seconds / unit:.2g} {name}"


def ages(log_seconds: float) -> str:
    """The same in ages of the universe; "" where it is a small part of one."""
    log_ages = log_seconds - math.log10(UNIVERSE)
    return f", 10^{log_ages:.0f} ages of the universe" if log_ages >= 1 else ""
