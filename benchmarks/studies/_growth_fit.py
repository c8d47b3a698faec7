"""How fast something grows: the exponent at the large end, a straight line through the logarithms."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

LAST = 5  # points that are fitted
BEYOND = 5.0  # times what the smallest takes, from which on it is no large part
MEGABYTE = 1e6  # less memory is not told apart


class Fit(NamedTuple):
    """value = fixed + scale·size^exponent, from `first` to `last`; the exponent to ± `error` (95%)."""

    exponent: float
    error: float
    scale: float
    fixed: float
    first: float
    last: float

    def __call__(self, sizes: np.ndarray) -> np.ndarray:
        return self.fixed + self.scale * np.asarray(sizes, float) ** self.exponent

    def __str__(self) -> str:
        return f"{self.exponent:z.2f} ± {self.error:.2f}"


class Curve(NamedTuple):
    """What was measured of one question, ascending in size."""

    title: str
    unit: str
    sizes: np.ndarray  # (points,)
    values: dict[str, np.ndarray]  # time in seconds of all cores together, memory and its peak in bytes, …

    def fit(self, what: str, most: float = np.inf) -> Fit | None:
        """Of "time" or "memory", on sizes of at most `most`; None where too little was measured."""
        there = self.sizes <= most
        sizes, values = self.sizes[there], self.values[what][there]
        if what == "memory":
            return fit(sizes, np.maximum(values, MEGABYTE), beyond_fixed=False)
        return fit(sizes, values)


READ: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
    "time": lambda row: row["core_time"],
    "compiling": lambda row: row["compiling"],  # None where an earlier question has compiled the same
    "memory": lambda row: row["peak_bytes"],
}


def fit(sizes: np.ndarray, values: np.ndarray, beyond_fixed: bool = True) -> Fit | None:
    """Least squares in logarithms through the last points.

    beyond_fixed: take off what the smallest size takes, and fit only points far beyond it. Where there are fewer than
                  three, all are fitted, and nothing is taken off.
    """
    known = np.isfinite(values)
    sizes, values = np.asarray(sizes, float)[known], values[known]
    if len(sizes) < 3:
        return None
    x, y, fixed = sizes[-LAST:], values[-LAST:], 0.0
    beyond = y >= BEYOND * values[0]
    beyond = np.cumsum(~beyond[::-1])[::-1] == 0  # and stay so
    if beyond_fixed and beyond.sum() >= 3:
        fixed = float(values[0])
        x, y = x[beyond], y[beyond] - fixed
    exponent, scale, error = _line(np.log(x), np.log(y))
    return Fit(exponent, error, math.exp(scale), fixed, float(x[0]), float(x[-1]))


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """The rows of a report as JSON has them, by workload; `by` is a size with its unit."""
    by_title: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_title.setdefault(row["workload"], []).append(row)
    found = {}
    for title, own in by_title.items():
        own = sorted(own, key=_size)
        values = {what: np.array([read(row) for row in own], float) for what, read in READ.items()}
        found[title] = Curve(title, own[0]["by"].split(" ", 1)[1], np.array([_size(row) for row in own]), values)
    return found


def proportional(sizes: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """(what does not grow, what each one adds): least squares of the relative differences, neither below 0."""
    from scipy.optimize import nnls

    matrix = np.stack([np.ones(len(sizes)), np.asarray(sizes, float)], axis=1) / values[:, None]
    (fixed, each), _ = nnls(matrix, np.ones(len(sizes)))
    return float(fixed), float(each)


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope and intercept by least squares, and the slope's error (95%, Student)."""
    slope, intercept = np.polyfit(x, y, 1)
    left = y - (slope * x + intercept)
    error = math.sqrt(left @ left / (len(x) - 2) / np.sum((x - x.mean()) ** 2))
    return float(slope), float(intercept), float(error * stats.t.ppf(0.975, len(x) - 2))


def _size(row: Mapping[str, Any]) -> int:
    return int(row["by"].split(" ", 1)[0])
