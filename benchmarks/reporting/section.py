"""The README's section on speed, as text: a table for each workload, and what was promised of each benchmark."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.machine.environment import busy, machine_name
from benchmarks.reporting import limits_figure, tables
from benchmarks.reporting.report import HOW_COMPARED, Report, Row, stated

WORKLOADS = "neuron", "planes", "descent", "curvature", "scaling", "latency"
STUDIES = "compression", "interpolation", "minima", "many_starts", "trainability", "growth", "explorer"
HEAD = "workload", "by", "time", "÷ bound", "bound by", "largest error", "others: × its time"
TOLD_ONCE = "absent: ", "the machine was busy"  # notes that several reports share
LESS_EXACT = 10.0  # times the error of the row that others are compared with
THREADS = re.compile(r"\d+ threads?")  # a way to run a contestant, and no contestant of its own
PICTURE = "limits.png"
ALT = "For each workload, everybody's time ÷ bound on a logarithmic axis, with a line at one"


def section(reports: Sequence[Report], elsewhere: Sequence[str]) -> list[str]:
    """The lines of the section: reports of one machine, and the names of other machines that have some."""
    by_name = {kept.name: kept for kept in reports}
    lines = [*_where(reports), ""]
    if limits_figure.panels(reports):
        lines += [f"![{ALT}](benchmarks/results/{PICTURE})", ""]
    for name in WORKLOADS:
        if name in by_name:
            lines += [*_workload(by_name[name]), ""]
    for kept in reports:
        if kept.name not in WORKLOADS:
            lines.append(f"- {_heading(kept)}: {'. '.join(_promises(kept))}".strip())
            lines += _nested(_notes(kept) if not kept.targets else [])
    lines.append("")
    missing = [name for name in (*WORKLOADS, *STUDIES) if name not in by_name]
    if missing:
        lines += tables.paragraph(f"Not measured on this machine: {', '.join(missing)} (`{command(*missing)}`).")
    if elsewhere:
        machines = ", ".join(f"`{name}`" for name in elsewhere)
        lines += ["", *tables.paragraph(f"Other machines with results in `benchmarks/results`: {machines}.")]
    ceilings = list(_ceilings(reports))
    if ceilings:
        lines += ["", "<details><summary>The measured ceilings</summary>", "", *ceilings, "", "</details>"]
    judged = [kept for kept in reports if kept.targets or kept.name in WORKLOADS]
    noted = [line for kept in judged if (notes := _notes(kept)) for line in (f"- {kept.name}", *_nested(notes))]
    if noted:
        lines += ["", "<details><summary>What the runs noted</summary>", "", *noted, "", "</details>"]
    return [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]  # one blank line at most


def command(*names: str) -> str:
    """What measures benchmarks at the sizes of the README."""
    return f"python -m benchmarks {' '.join(names)} --full"


def processor(report: Report) -> str:
    """The machine as readers know it: 'AMD EPYC, 2 cores', with its accelerators."""
    where = report.environment
    accelerators = [device for device in where["devices"] if not device.startswith("cpu")]
    return ", ".join([where["processor"], f"{where['usable_cores']} cores", *accelerators])


def _where(reports: Sequence[Report]) -> Iterator[str]:
    """Machine, versions and days; how to read the tables; which backends there are not."""
    first = reports[0]
    days = sorted({kept.written[:10] for kept in reports if kept.written})
    when = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "on a day that was not noted"
    memory = f"{first.environment['memory_gib']} GiB"
    yield from tables.paragraph(f"Measured {when} on **{processor(first)}**, {memory}, with {_versions(reports)}.")
    yield ""
    yield from tables.paragraph(
        f"Written by `python -m benchmarks report --machine {machine_name(first.environment)}`. `÷ bound` is the time"
        " over what this machine needs at least for all of the work in that dtype, by ceilings that were measured on it"
        " (what compresses examples does less: below 1); errors are against float64, and WRONG is what errs by more"
        " than the tolerance that its workload sets for its dtype (in its module)."
        " Others are slower where their number is above one; their error is named where it is ten times as large."
        f" {HOW_COMPARED}"
    )
    absent = dict.fromkeys(note for kept in reports for note in kept.notes if note.startswith("absent: "))
    if absent:
        yield ""
    yield from (f"- {note}" for note in absent)


def _ceilings(reports: Sequence[Report]) -> Iterator[str]:
    """Rates in units of 10⁹ a second, of the first report that has them."""
    found = next((kept for kept in reports if kept.environment.get("ceilings")), None)
    if found is None:
        return
    rates = {
        by: {kind: rate for kind, rate in own.items() if isinstance(rate, int | float)}
        for by, own in sorted(found.environment["ceilings"].items())
    }
    kinds = list(dict.fromkeys(kind for own in rates.values() for kind in own))
    lines = [
        [by, *(tables.quantity(own[kind] / 1e9, "") if kind in own else "" for kind in kinds)]
        for by, own in rates.items()
    ]
    yield f"In units of 10⁹ a second (operations, calls or bytes), measured with {found.name}:"
    yield ""
    yield from tables.table(["by", *kinds], lines, words=(0,), padded=False)


def _versions(reports: Sequence[Report]) -> str:
    """'Python 3.11.7, jax 0.10.2 (trainability: 0.10.1)': that of most reports first."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for kept in reports:
        where = kept.environment
        peers = (where.get("peers") or {}).get("versions", {})
        versions = {"Python": where["python"], **peers, **where["packages"], "C compiler": where.get("compiler")}
        for package, version in versions.items():
            if version:
                found[package][version].append(kept.name)
    return ", ".join(_version(package, versions) for package, versions in found.items())


def _version(package: str, versions: Mapping[str, Sequence[str]]) -> str:
    most, *others = sorted(versions, key=lambda version: -len(versions[version]))
    told = f"{package} {most}"
    return told + "".join(f" ({', '.join(versions[version])}: {version})" for version in others)


def _heading(report: Report) -> str:
    day = report.written[:10] or "undated"
    load = f", the machine was busy before: load average {report.environment['load_average']}"
    return f"**{report.name}** (`{command(report.name)}`, {day}{load * bool(busy(report.environment))})"


def _workload(report: Report) -> Iterator[str]:
    yield f"{_heading(report)}:"
    yield ""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in report.rows:
        rows[row.workload].append(row)
    lines = [line for title, own in rows.items() for line in _lines(title, own)]
    yield from tables.table(HEAD, lines, words=(0, 1, 4, 6), padded=False)
    yield ""
    yield from (f"- {promise}" for promise in _promises(report))


def _lines(title: str, rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """A line for each device on which `landscape` computed, with its first way; the others beside it."""
    ours = [row for row in rows if row.ours] or rows
    leading = list({row.backend: row for row in reversed(ours)}.values())[::-1]
    for i, row in enumerate(leading):
        best = _best([other for other in rows if other not in ours], row.error)
        same = [other for other in ours if other.backend == row.backend and other is not row]
        further = [other for other in leading if other is not row]
        told = "; ".join(_beside(row, other) for other in (*same, *further, *best))
        yield ("" if i else title, row.by, *_columns(row), told)


def _best(rows: Sequence[Row], error: float | None) -> list[Row]:
    """Of the ways in which each contestant ran, the fastest that is exact enough, or the most exact."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        who, *ways = row.by.split(", ")
        package = "" if row.backend is None or not ways or THREADS.fullmatch(ways[0]) else ways[0]
        groups[who, package].append(row)
    return [min(group, key=lambda row: _rank(row, error)) for group in groups.values()]


def _rank(row: Row, error: float | None) -> tuple[bool, float, float]:
    """Right ones first; then those that are exact enough, and what is nearest to it; then fast ones."""
    own = row.error or 0.0
    return not row.right, own if _less_exact(row, error) else 0.0, row.median


def _less_exact(row: Row, error: float | None) -> bool:
    own = row.error
    return own is not None and error is not None and own > LESS_EXACT * error


def _columns(row: Row) -> tuple[str, ...]:
    bound = "" if row.over_bound is None else tables.times(row.over_bound)
    time = f"{'over ' * row.over}{tables.duration(row.median)}"
    return time, bound, row.binding or "", f"{'' if row.right else 'WRONG: '}{tables.number(row.error, '{:.0e}')}"


def _beside(row: Row, other: Row) -> str:
    """Another's time as a multiple of the row's: 'float64 1.8×'."""
    name = other.by
    if other.backend is not None and other.backend == row.backend:
        name = name.removeprefix(f"{row.backend} ").removeprefix(f"{row.dtype}, ")
    told = f"{name} {'over ' * other.over}{tables.times(other.median / row.median)}"
    error = other.error
    if not other.right:
        return f"{told} WRONG" + (f" (error {error:.0e})" if error is not None and math.isfinite(error) else "")
    return f"{told} (error {error:.0e})" if _less_exact(other, row.error) else told


def _nested(notes: Sequence[str]) -> list[str]:
    return [f"  - {note}" for note in notes]


def _promises(report: Report) -> list[str]:
    """Each that is not kept; then all that are, in one line."""
    broken = [f"**NOT met**: {stated(target)}" for target in report.targets if not target.met]
    met = [target for target in report.targets if target.met]
    return broken + [f"met: {'; '.join(map(stated, met))}"] * bool(met)


def _notes(report: Report) -> list[str]:
    return [note for note in report.notes if not note.startswith(TOLD_ONCE)]
