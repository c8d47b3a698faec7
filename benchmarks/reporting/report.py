"""What a benchmark found: rows of times and errors, targets met or not; printed as Markdown, kept as JSON."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.harness.timing import Timed
from benchmarks.machine.environment import machine_name
from benchmarks.reporting.tables import duration, number, quantity, table

Progress = Callable[[str], None]
Made = TypeVar("Made")
PLAIN = "plain"  # in the name of a loop that one writes oneself in JAX


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
    backend: str | None = None
    dtype: str | None = None
    compiling: float | None = None  # of the first call
    bound: float | None = None  # what the machine needs for it at least
    binding: str | None = None  # which of its ceilings that is
    milliseconds: float | None = None  # per cell
    nanoseconds: float | None = None  # per cell and example
    times_numpy: float | None = None  # how many times faster than NumPy
    share_of_c: float | None = None  # its time divided by the C loop's
    times_plain: float | None = None  # how many times faster than the plain JAX loop
    times_peer: float | None = None  # how many times faster than loss-landscapes
    peak_bytes: float | None = None  # memory at the peak of the first call, above what was held before
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
    seconds: tuple[float, ...] = ()  # of each repeat

    @property
    def is_ours(self) -> bool:
        """Whether JAX computed it, on whatever device, and not somebody whom it is compared with."""
        return self.backend is None or (self.backend.startswith("jax-") and PLAIN not in self.by)

    @property
    def over_bound(self) -> float | None:
        """Its time divided by the bound."""
        return None if self.bound is None else self.median / self.bound


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
    written: str = ""  # date and time, in ISO 8601 and UTC; "" where nobody noted it


def row(workload: str, by: str, timed: Timed, **columns: Any) -> Row:
    """A row with the times filled in."""
    seconds = timed.seconds
    spread = float(seconds.min()), float(seconds.max())
    cores = float(np.median(timed.core_seconds))
    costs = {"compiling": timed.cost.compiling or None, "peak_bytes": timed.cost.peak_bytes} | columns
    every = tuple(map(float, seconds))
    return Row(workload, by, timed.median, *spread, cores, timed.first, len(seconds), seconds=every, **costs)


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
    columns = {name: [show(row) for row in report.rows] for name, show in COLUMNS.items()}
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    where = report.environment
    compiler = f"; C: {where['compiler']}" if where["compiler"] else ""
    return "\n".join(
        [
            f"{report.name}: {where['processor']}, {where['usable_cores']} cores{compiler}",
            "",
            *(table(list(filled), list(zip(*filled.values(), strict=True))) if filled else ["nothing was measured"]),
            "",
            *(f"- {verdict(target)}: {stated(target)}" for target in report.targets),
            *(f"- {note}" for note in report.notes),
        ]
    )


def write(report: Report, folder: Path) -> Path:
    """Write `NAME-MACHINE.json` into the folder, made where it is missing; the same machine overwrites its own file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}-{machine_name(report.environment)}.json"
    derived = {
        "rows": [asdict(row) | {"over_bound": row.over_bound} for row in report.rows],
        "targets": [asdict(target) | {"met": target.met} for target in report.targets],
        "written": report.written or datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.write_text(json.dumps(_finite(asdict(report) | derived), indent=1, allow_nan=False) + "\n", "utf-8")
    return path


def read(path: Path) -> Report:
    """A report that was written, by an older version too: what that did not know is None or empty.

    Raises: ValueError if the file holds something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        rows = tuple(_made(Row, kept) for kept in content["rows"])
        targets = tuple(_made(Target, kept) for kept in content["targets"])
        return _made(Report, content | {"rows": rows, "targets": targets, "notes": tuple(content["notes"])})
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"`{path}` holds no result of a benchmark ({type(error).__name__}: {error}).\n"
            "Give a JSON file that `python -m benchmarks NAME --out DIR` wrote."
        ) from error


def verdict(target: Target) -> str:
    """Whether a promise is kept."""
    return "met" if target.met else "NOT met"


def stated(target: Target) -> str:
    """A promise, what was measured, and what was wanted."""
    value, limit = (quantity(each, target.unit) for each in (target.value, target.limit))
    return f"{target.claim}: {value} (wanted {'≥' if target.more else '≤'} {limit})"


def _made(kind: type[Made], kept: dict[str, Any]) -> Made:
    """What was kept as JSON; numbers that were not finite are NaN again where they must be numbers."""
    known = {field.name: field.type for field in fields(kind) if field.name in kept}
    values = {name: math.nan if kept[name] is None and known[name] is float else kept[name] for name in known}
    if "seconds" in values:
        values["seconds"] = tuple(values["seconds"])
    return kind(**values)


def _over(row: Row, text: str) -> str:
    return f"over {text}" if row.over else text


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
    "median": lambda row: _over(row, duration(row.median)),
    "least to most": lambda row: f"{duration(row.least)} to {duration(row.most)}",
    "core time": lambda row: duration(row.core_time),
    "first call": lambda row: duration(row.first_call),
    "of it compiling": lambda row: "" if row.compiling is None else duration(row.compiling),
    "this ÷ bound": lambda row: number(row.over_bound, "{:.2f}"),
    "bound by": lambda row: row.binding or "",
    "ms/cell": lambda row: number(row.milliseconds, "{:.4f}"),
    "ns/cell/example": lambda row: number(row.nanoseconds, "{:.3g}"),
    "NumPy ÷ this": lambda row: number(row.times_numpy, "{:.1f}"),
    "this ÷ C": lambda row: number(row.share_of_c, "{:.3g}"),
    "plain loop ÷ this": lambda row: number(row.times_plain, "{:.2f}"),
    "loss-landscapes ÷ this": lambda row: number(row.times_peer, "{:.1f}"),
    "peak memory": lambda row: number(row.peak_bytes and row.peak_bytes / 1e6, "{:.0f} MB"),
    "tiles/s": lambda row: number(row.tiles_a_second, "{:.2f}"),
    "µs/tile": lambda row: number(row.microseconds, "{:.0f}"),
    "evaluations": lambda row: _over(row, number(row.evaluations, "{}")),
    "passes": lambda row: number(row.passes, "{:.2f}"),
    "largest error": lambda row: ("" if row.right else "WRONG: ") + number(row.absolute_error, "{:.1e}"),
    "relative": lambda row: number(row.relative_error, "{:.1e}"),
    "of the range": lambda row: number(row.range_error, "{:.1e}"),
    "stated": lambda row: number(row.stated_error, "{:.1e}"),
    "residual": lambda row: number(row.residual, "{:.1e}"),
}
