"""What a benchmark found: rows of times and errors, targets met or not; printed as Markdown, kept as JSON."""

import json
import math
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.harness.timing import Timed
from benchmarks.machine.environment import machine_name
from benchmarks.reporting.tables import duration, megabytes, moment, number, quantity, table, times

Progress = Callable[[str], None]
Made = TypeVar("Made")
CRUDE = 100.0  # times the error of float32
LESS = 0.9  # of a bound: what is below has less to do
PLAIN = "plain"  # in the name of a loop that one writes oneself in JAX
HOW_COMPARED = "× of promises are medians over the rounds of ratios within a round."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


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
    ours: bool = True  # and not somebody's whom landscape is compared with
    compiling: float | None = None  # of the first call
    device_seconds: float | None = None  # in which an accelerator itself was busy, without the host's share
    bound: float | None = None  # what the machine needs for it at least
    binding: str | None = None  # which of its ceilings that is
    milliseconds: float | None = None  # per cell
    nanoseconds: float | None = None  # per cell and example
    times_numpy: float | None = None  # how many times faster than NumPy
    share_of_c: float | None = None  # its time divided by the C loop's
    times_plain: float | None = None  # how many times faster than the plain JAX loop
    times_peer: float | None = None  # how many times faster than loss-landscapes
    peak_bytes: float | None = None  # memory at the peak of a call, above what was held before
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
    def error(self) -> float | None:
        """The largest: absolute, or else relative, or else as a share of the range."""
        errors = self.absolute_error, self.relative_error, self.range_error
        return next((error for error in errors if error is not None), None)

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
    written: str = field(default_factory=_now)  # date and time, in ISO 8601 and UTC; "" where nobody noted it


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
    """Where it ran, a table for each workload, the targets and the notes."""
    workloads: dict[str, list[Row]] = defaultdict(list)
    for each in report.rows:
        workloads[each.workload].append(each)
    lines = [_head(report), ""]
    for title, rows in workloads.items():
        bindings = {row.binding for row in rows if row.binding}
        shared = f" (bound by {bindings.pop()})" if len(bindings) == 1 else ""
        lines += [f"**{title}**{shared}", "", *_table(rows, omitted="bound by" if shared else ""), "", *_advice(rows)]
    if not report.rows:
        lines += ["nothing was measured: nobody was asked for who can do this, see --backends and --dtypes", ""]
    if report.targets:
        lines += [HOW_COMPARED, ""]
    lines += [f"- {verdict(target)}: {stated(target)}" for target in report.targets]
    return "\n".join([*lines, *(f"- {note}" for note in report.notes)])


def _head(report: Report) -> str:
    where = report.environment
    machine = f"{where['processor']}, {where['usable_cores']} cores, {where['memory_gib']} GiB"
    devices = ", ".join(device.removesuffix(": cpu") for device in where["devices"])
    versions = f"Python {where['python']}, jax {where['packages']['jax']} on {devices}"
    compiler = f"C: {where['compiler']}" if where["compiler"] else ""
    return f"{report.name}: {'; '.join(filter(None, [machine, versions, compiler, moment(report.written)]))}"


def _table(rows: Sequence[Row], omitted: str) -> list[str]:
    """Columns that no row fills are left out, too."""
    columns = {name: [show(row) for row in rows] for name, show in COLUMNS.items() if name != omitted}
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    words = [i for i, name in enumerate(filled) if name in WORDS]
    return table(list(filled), list(zip(*filled.values(), strict=True)), words)


def _advice(rows: Sequence[Row]) -> Iterator[str]:
    """What of ours to use on each device, where dtypes, or settings with the default, were compared; who is faster yet.

    Not what is far less exact than float32: that is asked for by those who know it to be enough. Nor what does less, as
    its bound tells.
    """
    ours = [row for row in rows if row.ours and row.backend]
    single = [row.error for row in ours if row.dtype == "float32" and row.right and row.error]
    rough = CRUDE * max(single, default=math.inf)
    default = any(row.by == f"{row.backend} {row.dtype}" for row in ours)  # without it each does something else
    if not default or len({row.by.removeprefix(row.backend or "") for row in ours}) < 2:
        return
    fastest: dict[str, Row] = {}
    for row in sorted(ours, key=lambda row: row.median):
        if row.right and not row.over and (row.error or 0.0) <= rough and not _does_less(row, ours):
            fastest.setdefault(row.backend or "", row)
    for backend, row in fastest.items():
        bound = "" if row.over_bound is None else f", {times(row.over_bound)} the bound"
        error = number(row.error, ", error {:.0e}")
        device = backend.removeprefix("jax-").upper()
        others = [other for other in rows if not other.ours and other.right and other.median < row.median]
        quicker = min(others, key=lambda other: other.median, default=None)
        beside = f"; faster was {quicker.by}, {duration(quicker.median)}" if quicker else ""
        yield f"of landscape on the {device} use {row.by}: {duration(row.median)}{bound}{error}{beside}"

    if fastest:
        yield ""


def _does_less(row: Row, ours: Sequence[Row]) -> bool:
    """Whether a setting has less to do than the default of its dtype."""
    default = [other.bound for other in ours if other.by == f"{row.backend} {row.dtype}"]
    return bool(default and default[0] and row.bound) and row.bound < LESS * default[0]  # type: ignore[operator]


def write(report: Report, folder: Path) -> Path:
    """Write `NAME-MACHINE.json` into the folder, made where it is missing; the same machine overwrites its own file.

    An interruption leaves the file as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}-{machine_name(report.environment)}.json"
    derived = {
        "rows": [asdict(row) | {"over_bound": row.over_bound} for row in report.rows],
        "targets": [asdict(target) | {"met": target.met} for target in report.targets],
    }
    text = json.dumps(_finite(asdict(report) | derived), indent=1, allow_nan=False) + "\n"
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        (Path(unfinished) / path.name).write_text(text, "utf-8")
        os.replace(Path(unfinished) / path.name, path)
    return path


def read(path: Path) -> Report:
    """A report that was written, by an older version too: what that did not know is None or empty.

    Raises: ValueError if the file holds something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        rows = tuple(_made(Row, {"ours": _was_ours(kept)} | kept) for kept in content["rows"])
        targets = tuple(_made(Target, kept) for kept in content["targets"])
        content |= {"rows": rows, "targets": targets, "notes": tuple(content["notes"])}
        return _made(Report, {"written": ""} | content)
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
    if value == limit and not target.met:  # by less than the digits show
        value = f"{target.value:.5g}{target.unit}"
    return f"{target.claim}: {value} (wanted {'≥' if target.more else '≤'} {limit})"


def _made(kind: type[Made], kept: dict[str, Any]) -> Made:
    """What was kept as JSON; numbers that were not finite are NaN again where they must be numbers."""
    known = {field.name: field.type for field in fields(kind) if field.name in kept}
    values = {name: math.nan if kept[name] is None and known[name] is float else kept[name] for name in known}
    if "seconds" in values:
        values["seconds"] = tuple(values["seconds"])
    return kind(**values)


def _was_ours(kept: dict[str, Any]) -> bool:
    """What older versions went by, which did not note it."""
    backend = kept.get("backend")
    return backend is None or (backend.startswith("jax-") and PLAIN not in kept["by"])


def _over(row: Row, text: str) -> str:
    return f"over {text}" if row.over else text


def _spread(row: Row) -> str:
    return f"{50 * (row.most - row.least) / row.median:.0f}%" if row.repeats > 1 else ""


def _largest(row: Row) -> str:
    if row.right and row.absolute_error == 0 and (row.backend, row.dtype) == ("numpy", "float64"):
        return "reference"
    return ": ".join(filter(None, ["" if row.right else "WRONG", number(row.absolute_error, "{:.1e}")]))


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


WORDS = "by", "bound by"
COLUMNS: dict[str, Callable[[Row], str]] = {
    "by": lambda row: row.by,
    "median": lambda row: _over(row, duration(row.median)),
    "±": _spread,
    "core time": lambda row: duration(row.core_time),
    "of the device": lambda row: "" if row.device_seconds is None else duration(row.device_seconds),
    "compiling": lambda row: "" if row.compiling is None else duration(row.compiling),
    "÷ bound": lambda row: "" if row.over_bound is None else times(row.over_bound),
    "bound by": lambda row: row.binding or "",
    "memory": lambda row: "" if row.peak_bytes is None else megabytes(row.peak_bytes),
    "NumPy ÷ this": lambda row: number(row.times_numpy, "{:.1f}"),
    "this ÷ C": lambda row: number(row.share_of_c, "{:.3g}"),
    "plain loop ÷ this": lambda row: number(row.times_plain, "{:.2f}"),
    "loss-landscapes ÷ this": lambda row: number(row.times_peer, "{:.1f}"),
    "tiles/s": lambda row: number(row.tiles_a_second, "{:.2f}"),
    "µs/tile": lambda row: number(row.microseconds, "{:.0f}"),
    "evaluations": lambda row: _over(row, number(row.evaluations, "{}")),
    "passes": lambda row: number(row.passes, "{:.2f}"),
    "largest error": _largest,
    "relative": lambda row: "" if row.absolute_error is not None else number(row.relative_error, "{:.1e}"),
    "of the range": lambda row: number(row.range_error, "{:.1e}"),
    "stated": lambda row: number(row.stated_error, "{:.1e}"),
    "residual": lambda row: number(row.residual, "{:.1e}"),
}
