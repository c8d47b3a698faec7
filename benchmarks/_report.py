"""What a benchmark found: rows of times and errors, targets met or not; as a Markdown table and as JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._environment import machine_name
from benchmarks._timing import Timed


@dataclass(frozen=True)
class Row:
    """One contestant on one workload. Times in seconds; None where a column does not apply."""

    workload: str
    by: str
    median: float
    least: float
    most: float
    first_call: float  # compilation included
    repeats: int
    nanoseconds: float | None = None  # per cell and example
    times_numpy: float | None = None  # how many times faster than NumPy
    share_of_c: float | None = None  # its time divided by the C loop's
    absolute_error: float | None = None  # the largest, against NumPy float64
    relative_error: float | None = None
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
    return Row(
        workload, by, timed.median, float(seconds.min()), float(seconds.max()), timed.first, len(seconds), **columns
    )


def errors(answer: Any, right: Any, relative: float, absolute: float) -> dict[str, Any]:
    """The columns of an answer's errors; right where |a − r| ≤ absolute + relative·|r| everywhere."""
    answer, right = np.asarray(answer, np.float64), np.asarray(right, np.float64)
    if answer.shape != right.shape:
        raise ValueError(f"an answer has shape {answer.shape} where {right.shape} was wanted")
    difference = np.abs(answer - right)
    positive = np.abs(right) > 0
    return {
        "absolute_error": float(difference.max()),
        "relative_error": float(np.max(difference[positive] / np.abs(right[positive]), initial=0.0)),
        "right": bool(np.all(difference <= absolute + relative * np.abs(right))),  # NaN is wrong
    }


COLUMNS = (
    "workload", "by", "median", "least to most", "first call", "ns a cell and example", "times NumPy's speed", "time over C's",
    "largest error", "relative",
)  # fmt: skip


def markdown(report: Report) -> str:
    """The table, the targets and the environment."""
    table = [COLUMNS, *map(_cells, report.rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
    # Words to the left, numbers to the right.
    lines = ["| " + " | ".join(t.ljust(w) if i < 2 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True))) + " |" for line in table]
    lines.insert(1, "|" + "|".join("-" * (w + 2) if i < 2 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|")
    where = report.environment
    return "\n".join(
        [
            f"{report.name}: {where['processor']}, {where['usable_cores']} cores; C: {where['compiler']}",
            "",
            *lines,
            "",
            *(f"- {'met' if t.met else 'NOT MET'}: {t.claim}: {_quantity(t.value, t.unit)} "
              f"(wanted: {'at least' if t.more else 'at most'} {_quantity(t.limit, t.unit)})" for t in report.targets),
            *(f"- {note}" for note in report.notes),
        ]
    )  # fmt: skip


def write(report: Report, folder: Path) -> Path:
    """Write `NAME-MACHINE.json` into the folder, made where it is missing; the same machine overwrites its own file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}-{machine_name(report.environment)}.json"
    content = asdict(report) | {"targets": [asdict(t) | {"met": t.met} for t in report.targets]}
    path.write_text(json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")
    return path


def _cells(row: Row) -> tuple[str, ...]:
    wrong = "" if row.right else "WRONG: "
    return (
        row.workload, row.by, _seconds(row.median), f"{_seconds(row.least)} to {_seconds(row.most)}", _seconds(row.first_call),
        _number(row.nanoseconds, "{:.2f}"), _number(row.times_numpy, "{:.1f}"), _number(row.share_of_c, "{:.2f}"),
        wrong + _number(row.absolute_error, "{:.1e}"), _number(row.relative_error, "{:.1e}"),
    )  # fmt: skip


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


def _quantity(value: float, unit: str) -> str:
    return _seconds(value) if unit == "s" else f"{value:.2f}{unit}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
