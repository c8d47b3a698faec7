"""Scaling: tiles per second by several processes and devices, what a store costs, memory, stores of many tiles.

Everything runs in processes of its own (`store_process`), in stores under the folder for temporary files. Numbers that
have to be equal bit for bit are compared that way, and some of them with float64.
"""

import itertools
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contestants import plain_loop
from benchmarks.harness.asked import Asked
from benchmarks.harness.case import Part, gather
from benchmarks.harness.timing import Timed, ratio, rounds
from benchmarks.machine.environment import usable_cores
from benchmarks.problems.networks import Problem
from benchmarks.reporting import report
from benchmarks.reporting.report import Report, Row, Target
from benchmarks.workloads.store_process import ask, every, perceptron, timed
from landscape.tiles.store import open_store

TOLERANCE = 1e-5, 1e-6  # relative and absolute, of a risk in float32
PROCESSES = 1, 2
WAYS = {"memory": "in memory", "store": "in a new store"}


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are."""

    tiles: tuple[int, int, int, int]  # hidden units, examples, cells along a side of a tile, tiles of a run
    devices: tuple[int, ...]  # numbers of them
    dealt: tuple[int, int, int, int]  # as `tiles`, of a run on several devices
    sides: tuple[int, ...]  # of the grids whose memory is measured
    parts: int  # tiles of such a grid
    many: int  # tiles, of the store that is opened: a square number
    paper: tuple[int, int]  # tiles and hosts, of the estimate
    repeats: int  # at most
    judged: bool  # whether the targets are about these sizes


FULL = Sizes(
    tiles=(128, 1797, 64, 16),
    devices=(1, 2, 4),
    dealt=(128, 1797, 32, 16),
    sides=(500, 1000, 2000),
    parts=64,
    many=10_000,
    paper=(10_000, 64),
    repeats=5,
    judged=True,
)
QUICK = replace(
    FULL,
    tiles=(128, 1797, 32, 6),
    devices=(1, 2),
    dealt=(128, 1797, 16, 8),
    sides=(500,),
    many=900,
    repeats=2,
    judged=False,
)
SMOKE = Sizes(
    tiles=(6, 40, 4, 8),
    devices=(1, 2),
    dealt=(6, 40, 4, 8),
    sides=(20,),
    parts=4,
    many=25,
    paper=(100, 8),
    repeats=1,
    judged=False,
)


@dataclass(frozen=True)
class Costs:
    """Seconds that the estimate is made of, medians of what was measured."""

    start: float  # of a process until it computes its first tile: importing, compiling, making or finding the store
    tile: float  # computing one, on one core
    put: float  # one into the store, forced to disk
    has: float  # finding out that somebody else has computed one
    read: float  # one, when the whole is read in the end


class Found(NamedTuple):
    """What a part of the run adds to the report."""

    rows: Sequence[Row] = ()
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    costs: Mapping[str, float] = {}


def run(sizes: Sizes, asked: Asked) -> Report:
    """Measure everything, on the CPU in float32: nothing where these were not asked for."""
    if not asked.wants("jax-cpu", "float32"):
        return gather("scaling", sizes, [], asked)
    repeats = min(asked.repeats or sizes.repeats, sizes.repeats)
    costs: dict[str, float] = {}

    def told(name: str, part: Callable[[], Found]) -> Part:
        asked.progress(name)
        found = part()
        costs.update(found.costs)
        rows = [replace(row, backend="jax-cpu", dtype="float32") for row in found.rows]
        return Part(rows, found.targets, found.notes)

    parts: dict[str, Callable[[], Found]] = {
        "processes": partial(_processes, sizes.tiles, repeats),
        "the store's share": partial(_overhead, sizes.tiles, repeats),
        "devices": partial(_devices, sizes.dealt, sizes.devices, repeats),
        "memory": partial(_memory, sizes.sides, sizes.parts),
        f"a store of {sizes.many} tiles": partial(_many, sizes.many, repeats),
    }
    calls = [partial(told, name, part) for name, part in parts.items()]
    return gather("scaling", sizes, [*calls, lambda: Part(notes=[_estimated(Costs(**costs), *sizes.paper)])], asked)


def estimate(costs: Costs, tiles: int, hosts: int) -> float:
    """Seconds until so many hosts, each with one process on one core, have filled a store and have read it.

    start + (⌈tiles/hosts⌉ + 1)·(tile + put) + tiles·(has + read)

    A host computes its own ⌈tiles/hosts⌉ tiles, then what others have left, from their last on. With hosts equally fast
    that is at most one more tile, which two of them compute: the tail. It asks for every tile whether it is there, and
    reads them all in the end. `put` is what it costs here: on a file system that hosts share it costs more, each
    second of it ⌈tiles/hosts⌉ + 1 seconds.
    """
    own = -(-tiles // hosts)
    return costs.start + (own + 1) * (costs.tile + costs.put) + tiles * (costs.has + costs.read)


def _estimated(costs: Costs, tiles: int, hosts: int) -> str:
    whole, ideal = estimate(costs, tiles, hosts), tiles * costs.tile / hosts
    return (
        f"estimate, not measured: {tiles} tiles on {hosts} hosts of one core take {whole:.0f} s, {ideal / whole:.0%} of"
        f" the ideal {hosts}×: start {costs.start:.1f} s + (⌈{tiles}/{hosts}⌉ + 1) × (tile {costs.tile:.3f} s + put"
        f" {costs.put * 1e3:.2f} ms) + {tiles} × (has {costs.has * 1e6:.0f} µs + read {costs.read * 1e6:.0f} µs)"
    )


def _processes(tiles: tuple[int, int, int, int], repeats: int) -> Found:
    """One process pinned to a core beside two, each pinned to its own, that fill one store."""
    cores, numbers = _cores(), itertools.count()

    def filled(folder: str, count: int) -> dict[str, Any]:
        job, started = {"path": f"{folder}/{next(numbers)}", "sizes": tiles}, time.time()
        shares = [{"shard": (i, count), "core": cores[i % len(cores)]} for i in range(count)]
        said = ask(*(("fill", job | share) for share in shares))
        return _filled(started, said, list(open_store(job["path"]).records().values()))

    with tempfile.TemporaryDirectory() as folder:
        times = rounds({count: partial(filled, folder, count) for count in PROCESSES}, repeats)
    one, two = ({name: _each(times[count], name) for name in _FILLED} for count in PROCESSES)
    problem = perceptron(*tiles)
    names = {1: "1 process on one core", 2: "2 processes, a core each"}
    rates = {1: one["rate"], 2: two["rate"]}
    rows = _rows(f"{problem.title}, {tiles[-1]} tiles in a store", problem, names, times, rates)
    gains, by_cores = two["rate"] / one["rate"], 2 * one["core"] / two["core"]
    claim = f"tiles a second of 2 processes over those of 1, pinned ({_spread(gains)})"
    targets = [Target(claim, float(np.median(gains)), 1.7, "×", more=True)] if len(cores) > 1 else []
    costs = {"start": float(np.median(one["first"] - one["tile"])), "tile": float(np.median(one["tile"]))}
    notes = [
        "in a store, tiles a second are those of the steady state, while all processes were at work, from the times at"
        f" which records say that tiles were finished: importing and compiling, {costs['start']:.1f} s, do not count"
        f" (they do in the other columns). Threads of XLA's in a pinned process: {times[1].answer[0]['threads']}",
        f"2 processes by the core time of a tile, which others on the machine disturb less: {np.median(by_cores):.2f}×"
        f" ({_spread(by_cores)})",
    ]
    return Found(rows, targets, notes, costs)


_FILLED = "rate", "core", "first", "tile"


def _filled(started: float, said: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What came of processes that filled a store: tiles a second, core seconds a tile, and seconds until the first."""
    start, stop, rate = steady(records)
    samples = [np.array(one["samples"]).T for one in said]
    core = sum(np.interp(stop, *own) - np.interp(start, *own) for own in samples)
    return {
        "risk": said[0]["risk"],
        "digest": " ".join({one["digest"] for one in said}),
        "threads": said[0]["threads"],
        "rate": rate,
        "core": core / (rate * (stop - start)),
        "first": min(record["finished"] for record in records) - started,
        "tile": float(np.median([record["seconds"] for record in records])),
    }


def steady(records: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """When each who wrote tiles had finished one, when one of them had finished its last; between them, tiles a second.

    NaN where that is no time at all.
    """
    finished = defaultdict(list)
    for record in records:
        finished[record["by"]].append(record["finished"])
    start, stop = max(map(min, finished.values())), min(map(max, finished.values()))
    rate = 0.0
    for times in finished.values():
        inside = sorted(t for t in times if start <= t <= stop)
        rate += (len(inside) - 1) / (inside[-1] - inside[0]) if len(inside) > 1 else float("nan")
    return start, stop, rate


def _overhead(tiles: tuple[int, int, int, int], repeats: int) -> Found:
    """A run in memory beside the same in a store, on one core; what one tile costs the store."""
    with tempfile.TemporaryDirectory() as folder:
        job = {"folder": folder, "core": _cores()[0], "sizes": tiles, "repeats": repeats}
        (said,) = ask(("overhead", job))
        files = _file_system(folder)
    times = {way: timed(said["runs"][way]) for way in WAYS}
    problem = perceptron(*tiles)
    rates = {way: tiles[-1] / own.seconds for way, own in times.items()}
    rows = _rows(f"{problem.title}, {tiles[-1]} tiles on one core", problem, WAYS, times, rates)
    single, costs = said["single"], {}
    for name, both in single["times"].items():
        wall, cores = np.array(both).T
        costs[name] = float(np.median(wall))
        one = Timed(wall[0], wall, cores, None)
        rows.append(report.row("one tile of it", name, one, microseconds=costs[name] * 1e6, right=single["right"]))
    by_cores = times["store"].core_seconds / times["memory"].core_seconds
    shares, between = times["store"].seconds / times["memory"].seconds, np.array(said["between"])
    claim = f"time in a store over that in memory, tiles of {times['memory'].median / tiles[-1]:.2f} s"
    target = Target(f"{claim} ({_spread(shares)})", ratio(times["store"], times["memory"]), 1.03, "×")
    note = (
        f"in those stores {np.median(between):.2%} of the time passes between tiles ({_spread(between, '.2%')}), and"
        f" the core time of a run is {np.median(by_cores):.2f}× that in memory ({_spread(by_cores)});"
        f" `put` forces chunks and record to disk (file system: {files}). In memory the tiles are cut as in the store"
    )
    return Found(rows, [target], [note], {name: costs[name] for name in ("put", "has")})


def _devices(tiles: tuple[int, int, int, int], counts: Sequence[int], repeats: int) -> Found:
    """Tiles dealt to several devices of the CPU, on all cores."""
    jobs = {count: ("devices", {"count": count, "sizes": tiles}) for count in counts}
    times = rounds({count: lambda job=job: ask(job)[0] for count, job in jobs.items()}, repeats)
    rates = {count: tiles[-1] / _each(times[count], "seconds") for count in counts}
    problem = perceptron(*tiles)
    names = {count: f"{count} device{'s' * (count > 1)} of the CPU" for count in counts}
    rows = _rows(f"{problem.title}, {tiles[-1]} tiles in memory", problem, names, times, rates)
    gains = "; ".join(f"{count}: {_spread(rates[count] / rates[counts[0]])}" for count in counts[1:])
    note = (
        f"devices of the CPU, tiles a second over those of one, which computes on {usable_cores()} cores itself:"
        f" {gains}. In a second run of the process, compiled already"
    )
    return Found(rows, [], [note])


def _memory(sides: Sequence[int], parts: int) -> Found:
    """The peak of processes that measure a neuron on grids of several sizes, in memory and in a store."""

    def measured(folder: str, side: int, way: str) -> dict[str, Any]:
        path = f"{folder}/{side}" if way == "store" else None
        return ask(("memory", {"store": path, "side": side, "tiles": parts}))[0]

    contestants = [(side, way) for side in sides for way in WAYS]
    with tempfile.TemporaryDirectory() as folder:
        times = rounds({key: partial(measured, folder, *key) for key in contestants}, 1)
    said = {key: own.answer[0] for key, own in times.items()}
    rows = []
    for (side, way), own in times.items():
        columns = {"peak_bytes": said[side, way]["peak"], "right": _alike(said[side, other] for other in WAYS)}
        rows.append(report.row(f"neuron, {side}×{side} cells, {parts} tiles", WAYS[way], own, **columns))
    side, grown = sides[-1], []
    for way, name in WAYS.items():
        each = (said[side, way]["peak"] - said[side, way]["before"]) / side**2
        grown.append(f"{each:.0f} bytes a cell {name}")
    return Found(rows, [], [f"memory above what the process had, {side}×{side} cells: {', '.join(grown)}; 17 are kept"])


def _many(tiles: int, repeats: int) -> Found:
    """A store of many tiles: opened, the call that made it repeated, its status."""
    with tempfile.TemporaryDirectory() as folder:
        (said,) = ask(("large", {"path": f"{folder}/store", "tiles": tiles, "repeats": repeats}))
    rows, names = [], {"open": "ls.open_surface", "repeat": "evaluate, all tiles there", "status": "status"}
    for name, by in names.items():
        own = timed(said["runs"][name])
        columns = {"microseconds": own.median / tiles * 1e6, "right": said["right"]}
        rows.append(report.row(f"a store of {tiles} tiles", by, own, **columns))
    opened = rows[0].median
    return Found(rows, [Target(f"ls.open_surface of {tiles} tiles", opened, 1, "s")], [], {"read": opened / tiles})


def _rows(
    title: str,
    problem: Problem,
    names: Mapping[Any, str],
    times: Mapping[Any, Timed],
    rates: Mapping[Any, np.ndarray],
) -> list[Row]:
    """A row for each of those named; right where all answers are equal bit for bit, and near float64."""
    alike = _alike(answer for own in times.values() for answer in own.answer)
    truth = plain_loop.truth(problem, every(problem))[0]
    rows = []
    for key, by in names.items():
        columns = report.errors(times[key].answer[0]["risk"], truth, *TOLERANCE)
        columns |= {"right": columns["right"] and alike, "tiles_a_second": float(np.median(rates[key]))}
        rows.append(report.row(title, by, times[key], **columns))
    return rows


def _alike(answers: Iterable[Mapping[str, Any]]) -> bool:
    """Equal bit for bit."""
    return len({answer["digest"] for answer in answers}) == 1


def _each(own: Timed, name: str) -> np.ndarray:
    """What each round said."""
    return np.array([answer[name] for answer in own.answer])


def _cores() -> list[int]:
    """Those that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(usable_cores()))


def _file_system(folder: str) -> str:
    """The kind of it, where the system says so."""
    try:
        return subprocess.run(
            ["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _spread(values: np.ndarray, form: str = ".2f") -> str:
    return f"{values.min():{form}} to {values.max():{form}}"
