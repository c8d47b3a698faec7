"""Processes that evaluate surfaces in stores and in memory, and say as JSON what they saw.

`python -m benchmarks.workloads.store_process JOB ARGUMENTS` is such a process; ARGUMENTS are JSON. Where tiles have to
have a certain size, `_tiled` sees to that, in memory as in stores: the plan is the one that `evaluate` itself chooses
where so many processes share a store.
"""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray

import landscape as ls
from benchmarks.harness.timing import Timed, race
from benchmarks.problems import networks
from benchmarks.problems.networks import NAMES, Problem
from benchmarks.workloads.memory_mapped import process_peak
from landscape.surfaces import _plan
from landscape.tiles.manifest import Named
from landscape.tiles.status import status
from landscape.tiles.store import Store, open_store

CHECKED = 100  # cells compared with float64


def perceptron(hidden: int, examples: int, tile_side: int, tiles: int) -> Problem:
    """A perceptron on noise, on a grid of so many square tiles: a power of 2."""
    problem = networks.perceptron(f"MLP 64-{hidden}-10", networks.noise(examples, 64), hidden, 2)
    rows = 2 ** (tiles.bit_length() // 2)
    axes = (np.linspace(-1, 1, tile_side * along, dtype=np.float32) for along in (rows, tiles // rows))
    return replace(problem, axes=tuple(axes))


def every(problem: Problem) -> int:
    """Of the cells, every so manyth is compared with float64."""
    return max(1, len(problem.cells) // CHECKED)


def timed(said: dict[str, Any]) -> Timed:
    """Times as a process sent them."""
    return Timed(said["first"], np.array(said["seconds"]), np.array(said["core_seconds"]), said["answer"])


def ask(*jobs: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Run jobs at the same time, each in a process of its own: what they say.

    Raises: RuntimeError with a process's message.
    """
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    commands = [[sys.executable, "-m", __name__, job, json.dumps(arguments)] for job, arguments in jobs]
    running = [subprocess.Popen(command, cwd=Path(__file__).parents[2], **pipes) for command in commands]
    said = [process.communicate() for process in running]
    for (job, _), process, (_, message) in zip(jobs, running, said, strict=True):
        if process.returncode:
            raise RuntimeError(f"the process `{job}` failed:\n{message[-2000:]}")
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def fill(path: str, core: int, shard: Sequence[int], sizes: Sequence[int]) -> dict[str, Any]:
    """One of the processes that fill a store, pinned to a core."""
    _pin(core)
    problem = _tiled(perceptron(*sizes), sizes[-1])
    with _sampled() as samples:
        surface = _evaluate(problem, store=path, shard=tuple(shard))
    return _answer(problem, surface) | {"threads": _threads(), "samples": samples}


def overhead(folder: str, core: int, sizes: Sequence[int], repeats: int) -> dict[str, Any]:
    """The same tiles in memory and in a new store, in turns; then single tiles. Pinned to a core."""
    _pin(core)
    problem, numbers = _tiled(perceptron(*sizes), sizes[-1]), itertools.count()
    ways = {
        "memory": lambda: _answer(problem, _evaluate(problem)),
        "store": lambda: _answer(problem, _evaluate(problem, store=f"{folder}/{next(numbers)}")),
    }
    times = {name: _sent(replace(own, answer=[own.answer])) for name, own in race(ways, repeats).items()}
    between = [_between(open_store(f"{folder}/{number}")) for number in range(1, 1 + repeats)]
    return {"runs": times, "between": between, "single": _single_tiles(f"{folder}/0", repeats)}


def devices(count: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Tiles dealt to so many devices of the CPU: the seconds of a second run, compiled already."""
    jax.config.update("jax_num_cpu_devices", count)
    problem = _tiled(perceptron(*sizes), sizes[-1])
    _evaluate(problem)
    start = time.perf_counter()
    surface = _evaluate(problem)
    return _answer(problem, surface) | {"seconds": time.perf_counter() - start, "devices": jax.local_device_count()}


def memory(store: str | None, side: int, tiles: int) -> dict[str, Any]:
    """The peak of a process that measures a neuron on side×side cells."""
    objective, plane, axes = _tiled(_neuron(side), tiles)
    ls.evaluate(objective, plane, {name: axis[:2] for name, axis in axes.items()}, progress=False)
    before = process_peak()
    surface = ls.evaluate(objective, plane, axes, store=store, progress=False)
    return {"before": before, "peak": process_peak(), "digest": digest(surface)}


def large(path: str, tiles: int, repeats: int) -> dict[str, Any]:
    """A store of many tiles of 2×2 cells: opening it, the call that made it once more, its status.

    It is made without forcing its files to disk: that is measured elsewhere.
    """
    objective, plane, axes = _tiled(_neuron(2 * round(tiles**0.5)), tiles)
    fsync, os.fsync = os.fsync, lambda number: None
    made = ls.evaluate(objective, plane, axes, store=path, progress=False)
    os.fsync = fsync
    records = open_store(path).records()
    calls = {
        "open": lambda: ls.open_surface(path),
        "repeat": lambda: ls.evaluate(objective, plane, axes, store=path, progress=False),
        "status": lambda: status(open_store(path)).complete,
    }
    raced = race(calls, repeats)
    right = all(digest(raced[name].answer) == digest(made) for name in ("open", "repeat"))
    right = right and raced["status"].answer == len(records) == tiles and open_store(path).records() == records
    runs = {name: _sent(replace(own, answer=None)) for name, own in raced.items()}
    return {"runs": runs, "right": right}


def digest(surface: xarray.Dataset) -> str:
    """Of all numbers of a surface, bit by bit."""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(map(str, surface.data_vars)):
        found.update(f"{name} {surface[name].dims}".encode() + surface[name].values.tobytes())
    return found.hexdigest()


def _tiled(problem: Any, tiles: int) -> Any:
    """The problem; from here on every grid is cut into so many tiles."""
    chosen = _plan.plan
    _plan.plan = lambda *arguments: chosen(*arguments[:-1], tiles)
    return problem


def _evaluate(problem: Problem, **options: Any) -> xarray.Dataset:
    axes = dict(zip(NAMES, problem.axes, strict=True))
    return ls.evaluate(problem.objective, problem.plane, axes, progress=False, **options)


def _answer(problem: Problem, surface: xarray.Dataset) -> dict[str, Any]:
    """Some risks, to be compared with float64, and the digest of everything."""
    risks = surface.risk.transpose(*NAMES).values.ravel()[:: every(problem)]
    return {"risk": risks.tolist(), "digest": digest(surface)}


def _neuron(side: int) -> tuple[ls.Objective, ls.Plane, dict[str, np.ndarray]]:
    x = np.linspace(-2, 2, 16, dtype=np.float32)
    objective = ls.neuron(x, (x > 0.3).astype(np.float32))
    axis = np.linspace(-3, 3, side, dtype=np.float32)
    return objective, ls.axes_plane(objective.params, "w", "b"), {"w": axis, "b": axis}


def _single_tiles(path: str, repeats: int) -> dict[str, Any]:
    """Times of putting each tile of a store into an empty one like it, of asking for it, and of reading it back."""
    surface, full = ls.open_surface(path), open_store(path)
    tiling = full.manifest.tiling
    parts = [surface.isel(tiling.slices(tile)) for tile in range(tiling.count)]
    arrays = [{str(n): Named(v.dims, v.values) for n, v in part.data_vars.items()} for part in parts]

    def emptied(number: int) -> Store:
        left_out = shutil.ignore_patterns("landscape", *map(str, surface.data_vars))
        return open_store(shutil.copytree(path, f"{path}-{number}", ignore=left_out))

    times: dict[str, list[tuple[float, float]]] = {"put": [], "has": [], "read": []}
    for number in range(repeats):
        store = emptied(number)
        for tile in range(tiling.count):
            times["put"].append(_timed(store.put, tile, arrays[tile], {}))
        records = store.records()
        for tile in records:
            times["has"].append(_timed(store.has, tile))
            times["read"].append(_timed(store.dataset, {tile: records[tile]}))
        right = digest(ls.open_surface(store.name)) == digest(surface)
    return {"times": times, "right": right}


def _timed(call: Callable[..., Any], *arguments: Any) -> tuple[float, float]:
    """Seconds, and those of all threads together."""
    start, cores = time.perf_counter(), time.process_time()
    call(*arguments)
    return time.perf_counter() - start, time.process_time() - cores


def _between(store: Store) -> float:
    """The share of the time that passes between tiles, from the first to the last."""
    records = sorted(store.records().values(), key=lambda record: record["finished"])
    computing = sum(record["seconds"] for record in records[1:])
    return 1 - computing / (records[-1]["finished"] - records[0]["finished"])


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def _sampled() -> Iterator[list[tuple[float, float]]]:
    """(time, core seconds of this process until then), some ten times a second."""
    samples, stop = [(time.time(), time.process_time())], threading.Event()

    def sample() -> None:
        while not stop.wait(0.1):
            samples.append((time.time(), time.process_time()))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    yield samples
    stop.set()
    thread.join()
    samples.append((time.time(), time.process_time()))


def _threads() -> int | None:
    """XLA's own threads for computing, where the system lists them."""
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return sum("XLAEigen" in name for name in names) if names else None


def _sent(own: Timed) -> dict[str, Any]:
    return asdict(own) | {"seconds": own.seconds.tolist(), "core_seconds": own.core_seconds.tolist()}


JOBS = {job.__name__: job for job in (fill, overhead, devices, memory, large)}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))
