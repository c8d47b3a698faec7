"""A case: one problem with what it takes at least, measured by everybody who was asked for, in one run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from benchmarks.contestants import c_loop
from benchmarks.harness.asked import Asked
from benchmarks.harness.timing import Timed, race
from benchmarks.harness.ways import JAX, Way
from benchmarks.machine import ceilings, limits
from benchmarks.machine.device_time import device_seconds
from benchmarks.machine.environment import busy, environment
from benchmarks.machine.limits import Ceilings, Work
from benchmarks.reporting import report
from benchmarks.reporting.report import Report, Row, Target

UNJUDGED = "these sizes are too small to judge speed by: promises are about those of --full"


@dataclass(frozen=True)
class Case:
    """What is measured, and by whom.

    calls:     each returns its answer.
    truth:     the answer that a way should give, in float64.
    tolerance: relative and absolute, by dtype: an error beyond them is a wrong answer.
    work:      what has to be done for a way's answer, whoever does it; None where nobody has counted it.
    cells, losses: by which times are divided in the table, where they are given.
    reads:     what of an answer or truth is compared: all of it by default.
    """

    title: str
    calls: Mapping[Way, Callable[[], Any]]
    truth: Callable[[Way], Any]
    tolerance: Mapping[str, tuple[float, float]]
    work: Callable[[Way], Work | None] = lambda way: None
    cells: int | None = None
    losses: int | None = None
    reads: Callable[[Way, Any], Any] = lambda way, answer: answer


class Part(NamedTuple):
    """What a part of a run adds to its report."""

    rows: Sequence[Row] = ()
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()


def measure(case: Case, asked: Asked, repeats: int) -> tuple[dict[Way, Timed], list[Row]]:
    """Everybody who was asked for in turn: times, and a row each, with errors against the truth and with the bound."""
    (timed,), rows = measure_all([case], asked, repeats)
    return timed, rows


def measure_all(cases: Sequence[Case], asked: Asked, repeats: int) -> tuple[list[dict[Way, Timed]], list[Row]]:
    """The same for several cases that are compared with each other: all of them take turns."""
    calls = {(i, way): call for i, case in enumerate(cases) for way, call in asked.of(case.calls).items()}
    for i, case in enumerate(cases):
        asked.progress(f"{case.title}: {sum(j == i for j, _ in calls)} contestants")
    timed = race(calls, asked.repeats or repeats, memory=True)
    on_device = {key: device_seconds(call) for key, call in calls.items() if key[1].backend in ceilings.ACCELERATORS}
    rows = [_row(cases[i], way, own, on_device.get((i, way))) for (i, way), own in timed.items()]
    return [{way: own for (j, way), own in timed.items() if j == i} for i in range(len(cases))], rows


def floor(work: Work, way: Way) -> float:
    """Seconds that the machine needs for some work at least."""
    return limits.bound(work, limits.best(*_machine(way.backend, way.dtype)))


def _machine(backend: str, dtype: str) -> tuple[Ceilings, ...]:
    """What the processor reaches on which a backend computes."""
    return ceilings.machine(backend if backend in ceilings.ACCELERATORS else "jax-cpu", dtype)


def gather(name: str, sizes: Any, parts: Iterable[Callable[[], Part]], asked: Asked) -> Report:
    """Run the parts one after another: their report. Targets count where `sizes.judged`."""
    where = environment(c_loop.compile_c().compiler)
    where["peers"] = asked.tools.described if asked.tools else None
    found = [part() for part in parts]
    rows, targets, notes = ([item for part in found for item in part[i]] for i in range(3))
    measured = {_machine(row.backend, row.dtype) for row in rows if row.backend and row.dtype and row.bound}
    where["ceilings"] = {f"{c.backend} {c.dtype}": asdict(c) for each in measured for c in each}
    if not sizes.judged:
        targets, notes = [], [*notes, UNJUDGED]
    return Report(name, asdict(sizes), rows, targets, [*asked.absent, *notes, *busy(where)], where)


def _row(case: Case, way: Way, timed: Timed, on_device: float | None) -> Row:
    answer, truth = (case.reads(way, values) for values in (timed.answer, case.truth(way)))
    columns = report.errors(answer, truth, *case.tolerance[way.dtype])
    columns |= {"backend": way.backend, "dtype": way.dtype, "ours": way.ours and way.backend in JAX}
    columns["device_seconds"] = on_device
    work = case.work(way)
    if work is not None:
        binding = limits.binding(work, limits.best(*_machine(way.backend, way.dtype)))
        columns |= {"bound": floor(work, way), "binding": binding}
    if case.cells:
        columns["milliseconds"] = timed.median / case.cells * 1e3
    if case.losses:
        columns["nanoseconds"] = timed.median / case.losses * 1e9
    return report.row(case.title, way.by, timed, **columns)
