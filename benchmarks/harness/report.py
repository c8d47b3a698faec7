"""What a benchmark found: rows of times and errors, targets met or not; as a Markdown table and as JSON."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.environment import machine_name
from benchmarks.harness.timing import Timed

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One contestant on one workload. Times in seconds; None where a column does not apply."""

    workload: str
    by: str
    median: float
    least: float
    most: float
    core_time: float  # the median over all threads together
    first_call: float  # compilation included
    repeats: int
    milliseconds: float | None = None  # per cell
    nanoseconds: float | None = None  # per cell and example
    times_numpy: float | None = None  # how many times faster than NumPy
    share_of_c: float | None = None  # its time divided by the C loop's
    times_plain: float | None = None  # how many times faster than the plain JAX loop
    times_peer: float | None = None  # how many times faster than loss-landscapes
    peak_bytes: float | None = None  # the process's memory at its peak
    passes: float | None = None  # over the data
    tiles_a_second: float | None = None
    microseconds: float | None = None  # per tile
    evaluations: int | None = None
    over: bool = False  # whether even this many do not do: what it takes is more
    absolute_error: float | None = None  # the largest, against float64
    relative_error: float | None = None
    range_error: float | None = None  # the largest, as a share of the surface's range
    stated_error: float | None = None  # the same, as the contestant estimates it
    residual: float | None = None  # of stationarity, the largest
    right: bool = True


@dataclass(frozen=True)
class Target:
    """A number that was promised: met where `value` is at most (`more` False) or at least (True) the limit."""

    claim: str
    value: float
    limit: float
    unit: str
    more: bool = False

    @property
    def met(self) -> bool:
        """Whether the number keeps the promise."""
        return self.value >= self.limit if self.more else self.value <= self.limit


@dataclass(frozen=True)
class Report:
    """Everything one run found."""

    name: str
    sizes: dict[str, Any]
    rows: Sequence[Row]
    targets: Sequence[Target]
    notes: Sequence[str]
    environment: dict[str, Any]


def row(workload: str, by: str, timed: Timed, **columns: Any) -> Row:
    """A row with the times filled in."""
    seconds = timed.seconds
    spread = float(seconds.min()), float(seconds.max())
    cores = float(np.median(timed.core_seconds))
    return Row(workload, by, timed.median, *spread, cores, timed.first, len(seconds), **columns)


def errors(answer: Any, right: Any, relative: float, absolute: float) -> dict[str, Any]:
    """The columns of an answer's errors; right where |a − r| ≤ absolute + relative·|r| everywhere.

    The relative error is over those r that are not tiny, |r| > absolute/relative.
    """
    answer, right = np.asarray(answer, np.float64), np.asarray(right, np.float64)
    if answer.shape != right.shape:
        raise ValueError(f"an answer has shape {answer.shape} where {right.shape} was wanted")
    difference = np.abs(answer - right)
    large = np.abs(right) > absolute / relative
    return {
        "absolute_error": float(difference.max()),
        "relative_error": float(np.max(difference[large] / np.abs(right[large]), initial=0.0)),
        "right": bool(np.all(difference <= absolute + relative * np.abs(right))),  # NaN is wrong
    }


def markdown(report: Report) -> str:
    """The table, the targets and the environment; columns that no row fills are left out."""
    columns = [[name, *(read(row) for row in report.rows)] for name, read in COLUMNS.items()]
    columns = [column for column in columns if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines = list(zip(*columns, strict=True))
    rule = ["-" * w if i < 2 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    lines.insert(1, tuple(rule))
    where = report.environment
    compiler = f"; C: {where['compiler']}" if where["compiler"] else ""
    return "\n".join(
        [
            f"{report.name}: {where['processor']}, {where['usable_cores']} cores{compiler}",
            "",
            *(_line(line, widths) for line in lines),
            "",
            *map(_judged, report.targets),
            *(f"- {note}" for note in report.notes),
        ]
    )


def write(report: Report, folder: Path) -> Path:
    """Write `NAME-MACHINE.json` into the folder, made where it is missing; the same machine overwrites its own file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}-{machine_name(report.environment)}.json"
    content = asdict(report) | {"targets": [asdict(t) | {"met": t.met} for t in report.targets]}
    path.write_text(json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")
    return path


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    aligned = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return f"| {' | '.join(aligned)} |"


def _judged(target: Target) -> str:
    verdict, side = "met" if target.met else "NOT MET", "at least" if target.more else "at most"
    value, limit = (_quantity(number, target.unit) for number in (target.value, target.limit))
    return f"- {verdict}: {target.claim}: {value} (wanted: {side} {limit})"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def _quantity(value: float, unit: str) -> str:
    return _seconds(value) if unit == "s" else f"{value:.2f}{unit}"


def _over(row: Row, text: str) -> str:
    return f"over {text}" if row.over else text


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


COLUMNS: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: row.workload,
    "by": lambda row: row.by,
    "median": lambda row: _over(row, _seconds(row.median)),
    "least to most": lambda row: f"{_seconds(row.least)} to {_seconds(row.most)}",
    "core time": lambda row: _seconds(row.core_time),
    "first call": lambda row: _seconds(row.first_call),
    "ms/cell": lambda row: _number(row.milliseconds, "{:.4f}"),
    "ns/cell/example": lambda row: _number(row.nanoseconds, "{:.3g}"),
    "NumPy ÷ this": lambda row: _number(row.times_numpy, "{:.1f}"),
    "this ÷ C": lambda row: _number(row.share_of_c, "{:.3g}"),
    "plain loop ÷ this": lambda row: _number(row.times_plain, "{:.2f}"),
    "loss-landscapes ÷ this": lambda row: _number(row.times_peer, "{:.1f}"),
    "peak memory": lambda row: _number(row.peak_bytes and row.peak_bytes / 1e9, "{:.2f} GB"),
    "tiles/s": lambda row: _number(row.tiles_a_second, "{:.2f}"),
    "µs/tile": lambda row: _number(row.microseconds, "{:.0f}"),
    "evaluations": lambda row: _over(row, _number(row.evaluations, "{}")),
    "passes": lambda row: _number(row.passes, "{:.2f}"),
    "largest error": lambda row: ("" if row.right else "WRONG: ") + _number(row.absolute_error, "{:.1e}"),
    "relative": lambda row: _number(row.relative_error, "{:.1e}"),
    "of the range": lambda row: _number(row.range_error, "{:.1e}"),
    "stated": lambda row: _number(row.stated_error, "{:.1e}"),
    "residual": lambda row: _number(row.residual, "{:.1e}"),
}
