"""What changed between two runs of a benchmark: times beyond their noise, errors, machine and versions."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine.environment import busy, machine_name
from benchmarks.reporting import report
from benchmarks.reporting.report import Report, Row

SLOWER = 1.05  # a ratio of times: what is nearer to 1 is nobody's concern, whatever the noise
FEW = 5  # repeats; of fewer a resampled median says little, and the least and the most are taken
ONCE = 1.25  # what was timed once or twice is taken to be right within this factor
RESAMPLED = 4000
GREW = 2.0  # times an error, a compile time or a memory that is worth a word: noise makes them differ by less
UNJUDGED, SHARED, NOISE = "not judged", "as the machine", "within the noise"
SLOW, DOUBTED = "slower", "in doubt (busy)"
VARYING = "load_average", "ceilings", "command"  # of an environment, from run to run on the same machine
COSTS = {"compiling": 0.5, "peak_bytes": 100e6}  # and by how much they must have grown, beside twice, to be told
ERRORS = "absolute_error", "relative_error", "range_error", "residual"


@dataclass(frozen=True)
class Change:
    """A row of both runs: the ratio of its medians (new ÷ old), where that lies with the noise, and the verdict."""

    old: Row
    new: Row
    ratio: float
    least: float
    most: float
    verdict: str

    @property
    def worse(self) -> bool:
        """Whether it became slower or wrong, and is ours."""
        return self.new.ours and (self.verdict == SLOW or (self.old.right and not self.new.right))


@dataclass(frozen=True)
class Shift:
    """How much longer a device took, by its measured ceilings and by the median row; None where nobody measured it."""

    ceilings: float | None
    rows: float

    @property
    def factor(self) -> float:
        """What the machine is charged with: 1 unless ceilings and rows moved the same way."""
        if self.ceilings is None:
            return 1.0
        both = self.ceilings, self.rows
        return min(both) if min(both) > SLOWER else max(both) if max(both) < 1 / SLOWER else 1.0


@dataclass(frozen=True)
class Comparison:
    """Two runs of a benchmark. `changes` begin with the one that became slowest."""

    old: Report
    new: Report
    changes: Sequence[Change]
    shifts: Mapping[str, Shift]  # by device: 'cpu', 'gpu', 'tpu'
    gone: Sequence[Row]
    added: Sequence[Row]

    @property
    def missing(self) -> list[Row]:
        """Rows of ours that are gone, though sizes are the same, their device is there, and others of the run are."""
        if self.apart or self.old.sizes != self.new.sizes:
            return []
        devices = ("cpu", *(device.split(":")[0] for device in self.new.environment["devices"]))
        return [row for row in self.gone if row.ours and _device(row.backend) in devices]

    @property
    def apart(self) -> bool:
        """Whether the two have no row in common."""
        return not self.changes and bool(self.gone or self.added)

    @property
    def worse(self) -> bool:
        """Whether anything of ours became slower or wrong, or is missing, or nothing can be compared."""
        wrong = any(row.ours and not row.right for row in self.added)
        return any(change.worse for change in self.changes) or wrong or bool(self.missing) or self.apart


def same_machine(old: Report, new: Report) -> bool:
    """Whether times of the two can be compared."""
    return machine_name(old.environment) == machine_name(new.environment)


def pairs(old: Path, new: Path) -> tuple[list[tuple[Report, Report]], list[str]]:
    """Reports of the same name, on the same machine where it is in both; and what has no partner, a line each.

    Raises: ValueError if nothing has a partner.
    """
    sides = [_by_name(path) for path in (old, new)]
    found: list[tuple[Report, Report]] = []
    alone = []
    for name in sorted(sides[0].keys() | sides[1].keys()):
        before, after = (side.get(name, {}) for side in sides)
        if common := sorted(before.keys() & after.keys()):
            found += [(before[machine], after[machine]) for machine in common]
        elif len(before) == len(after) == 1:
            found.append((*before.values(), *after.values()))
        else:
            alone.append(f"{name}: {_machines(before)} in `{old}`, {_machines(after)} in `{new}`")
    if not found:
        raise ValueError(
            f"`{old}` and `{new}` have no benchmark in common: {'; '.join(alone)}.\n"
            "Give two results of one benchmark, or two folders that hold such."
        )
    return found, alone


def _machines(reports: Mapping[str, Report]) -> str:
    return ", ".join(sorted(reports)) or "nothing"


def _by_name(path: Path) -> dict[str, dict[str, Report]]:
    """The reports of a file or folder: by name, then by machine."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        what = "holds no JSON file" if path.is_dir() else "is not there"
        raise ValueError(f"`{path}` {what}.\nGive a file that `python -m benchmarks NAME --out DIR` wrote, or DIR.")
    reports: dict[str, dict[str, Report]] = defaultdict(dict)
    for kept in map(report.read, files):
        reports[kept.name][machine_name(kept.environment)] = kept
    return reports


def judged(old: Report, new: Report) -> Comparison:
    """The two runs row by row."""
    before, after = _keyed(old.rows), _keyed(new.rows)
    measured = {key: _interval(before[key], after[key]) for key in before if key in after}
    comparable = same_machine(old, new)
    shifts = _shifts(old, new, {key: ratio for key, (ratio, _, _) in measured.items()}) if comparable else {}
    changes = []
    for key, (ratio, least, most) in measured.items():
        shift = shifts[_device(after[key].backend)].factor if comparable else None
        told = UNJUDGED if shift is None or before[key].over != after[key].over else _verdict(least, most, shift)
        if told == SLOW and (busy(old.environment) or busy(new.environment)) and _as_much_work(before[key], after[key]):
            told = DOUBTED
        changes.append(Change(before[key], after[key], ratio, least, most, told))
    changes.sort(key=lambda change: -np.nan_to_num(change.ratio, nan=np.inf))
    gone, added = ([side[key] for key in side if key not in measured] for side in (before, after))
    return Comparison(old, new, changes, shifts, gone, added)


def _keyed(rows: Sequence[Row]) -> dict[tuple[str, str, int], Row]:
    """By workload, contestant, and how many of the same came before."""
    keyed: dict[tuple[str, str, int], Row] = {}
    for row in rows:
        count = sum(key[:2] == (row.workload, row.by) for key in keyed)
        keyed[row.workload, row.by, count] = row
    return keyed


def _interval(old: Row, new: Row) -> tuple[float, float, float]:
    """The ratio of the medians, and where it lies in 95 of 100 resampled pairs of runs; of few repeats, at the most."""
    ratio = new.median / old.median
    if min(len(old.seconds), len(new.seconds)) >= FEW:
        random = np.random.default_rng(0)
        drawn = [np.median(random.choice(row.seconds, (RESAMPLED, len(row.seconds))), axis=1) for row in (old, new)]
        least, most = np.quantile(drawn[1] / drawn[0], [0.025, 0.975])
        return ratio, float(least), float(most)
    (first, last), (least, most) = map(_extent, (old, new))
    return ratio, least / last, most / first


def _extent(row: Row) -> tuple[float, float]:
    margin = ONCE if row.repeats <= 2 else 1.0
    return min(row.least, row.median / margin), max(row.most, row.median * margin)


def _verdict(least: float, most: float, shift: float) -> str:
    """In doubt for a row, whichever way the machine moved."""
    if not np.isfinite([least, most]).all():
        return UNJUDGED
    if least > SLOWER * max(1.0, shift):
        return SLOW
    if most < min(1.0, shift) / SLOWER:
        return "faster"
    return SHARED if least > SLOWER or most < 1 / SLOWER else NOISE


def _as_much_work(old: Row, new: Row) -> bool:
    """Whether the cores were as busy with it as before, so that it may have waited for others."""
    on_cores = _device(new.backend) == "cpu" and min(old.core_time, new.core_time) > 0
    return on_cores and new.core_time / old.core_time <= SLOWER


def _shifts(old: Report, new: Report, ratios: Mapping[tuple[str, str, int], float]) -> dict[str, Shift]:
    devices = defaultdict(list)
    for key, row in _keyed(new.rows).items():
        if key in ratios:
            devices[_device(row.backend)].append(ratios[key])
    return {device: Shift(_ceilings(old, new, device), float(np.median(r))) for device, r in devices.items()}


def _device(backend: str | None) -> str:
    """What a contestant computes on: all but JAX on an accelerator, on the CPU."""
    device = (backend or "").removeprefix("jax-")
    return device if device in ("gpu", "tpu") else "cpu"


def _ceilings(old: Report, new: Report, device: str) -> float | None:
    """The median over a device's measured rates of old ÷ new: above 1 where it became slower."""
    before, after = (dict(_flat(each.environment.get("ceilings") or {})) for each in (old, new))
    own = [key for key in before if key in after and _device(key[0].split()[0]) == device]
    rates = [before[key] / after[key] for key in own if _is_rate(before[key]) and _is_rate(after[key])]
    return float(np.median(rates)) if rates else None


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def differences(old: Report, new: Report) -> list[str]:
    """What differs of where the two ran: 'packages.jax: 0.10.1, then 0.10.2'; 'nothing' is what one of them lacks."""
    sides = [{name: value for name, value in each.environment.items() if name not in VARYING} for each in (old, new)]
    return list(_differing("", *sides))


def _differing(name: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from _differing(f"{name}.{key}".lstrip("."), before.get(key), after.get(key))
    elif _shown(before) != _shown(after):
        yield f"{name}: {_shown(before)}, then {_shown(after)}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{'.'.join(key)} {kept}" for key, kept in _flat(value) if kept is not None) or "nothing"
    return "nothing" if value is None else str(value)


def _flat(nested: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*above, name))
        else:
            yield (*above, name), value


def grown(change: Change) -> dict[str, tuple[float, float]]:
    """The errors of a row that grew by more than rounding does: before and after."""
    return {name: pair for name, pair in _both(change, ERRORS) if pair[1] > GREW * pair[0]}


def costlier(change: Change) -> dict[str, tuple[float, float]]:
    """Compile time and memory that grew much: before and after."""
    costs = _both(change, tuple(COSTS))
    return {name: (old, new) for name, (old, new) in costs if new >= GREW * old and new - old > COSTS[name]}


def _both(change: Change, names: Sequence[str]) -> Iterator[tuple[str, tuple[float, float]]]:
    """What both runs measured, of some columns."""
    for name in names:
        before, after = getattr(change.old, name), getattr(change.new, name)
        if before is not None and after is not None:
            yield name, (before, after)
