"""Interleaved timing: A B C, A B C, …, so that whatever else the machine does falls on all of them alike."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import jax
import numpy as np

from benchmarks.harness.cost import Cost, counted
from benchmarks.machine.pinning import pin_threads
from benchmarks.peers.memory import peak_bytes

Name = TypeVar("Name")
REST = 0.02  # seconds between two runs: the idle threads of one library go to sleep and do not spin under the next


@dataclass(frozen=True)
class Timed:
    """Seconds of the first call (which compiles) and of every repeat; its answer, or those of all rounds.

    `core_seconds` add up all threads and child processes: what a repeat costs where others keep some of the cores busy.
    """

    first: float
    seconds: np.ndarray  # (repeats,)
    core_seconds: np.ndarray  # (repeats,)
    answer: Any
    cost: Cost = field(default_factory=Cost)  # compilation of the first call, memory of later ones

    @property
    def median(self) -> float:
        """Median of the repeats, in seconds."""
        return float(np.median(self.seconds))


@dataclass(frozen=True)
class Reported:
    """What a call returns that was timed where it ran, in another process: what it says counts, not the clock here."""

    seconds: float
    core_seconds: float
    answer: Any


@dataclass(frozen=True)
class Elsewhere:
    """A contestant in another process."""

    run: Callable[[], Reported]
    peak_bytes: Callable[[], int | None]  # as `peak_bytes` finds it there

    def __call__(self) -> Reported:
        """Run it."""
        return self.run()


def race(contestants: Mapping[Name, Callable[[], Any]], repeats: int, memory: bool = False) -> dict[Name, Timed]:
    """Call every contestant once, then all of them in turn, `repeats` times; at the end for their memory, if asked."""
    warm = {name: _warm(call) for name, call in contestants.items()}
    pin_threads()
    timed = rounds(contestants, repeats)
    if memory:
        for name, call in contestants.items():
            warm[name]["cost"].peak_bytes = memory_of(call)
    return {name: replace(timed[name], **found) for name, found in warm.items()}


def memory_of(call: Callable[[], Any]) -> int | None:
    """Bytes at the peak of a call, until its results are there, above what its process held; None if unknown."""
    return call.peak_bytes() if isinstance(call, Elsewhere) else peak_bytes(lambda: jax.block_until_ready(call()))


def rounds(contestants: Mapping[Name, Callable[[], Any]], repeats: int) -> dict[Name, Timed]:
    """The same where each call is new processes, so that there is nothing to warm up; the answers of all rounds."""
    times: dict[Name, list[Reported]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, call in contestants.items():
            times[name].append(_timed(call))

    def of(own: list[Reported]) -> Timed:
        seconds, cores = (np.array([getattr(t, name) for t in own]) for name in ("seconds", "core_seconds"))
        return Timed(own[0].seconds, seconds, cores, [t.answer for t in own])

    return {name: of(own) for name, own in times.items()}


def ratio(of: Timed, to: Timed) -> float:
    """Median over the rounds of (time of one)/(time of the other in the same round)."""
    return float(np.median(of.seconds / to.seconds))


def scaled(timed: Timed, factor: float) -> Timed:
    """The times of so many times the work, which is compiled once."""
    first = timed.cost.compiling + factor * (timed.first - timed.cost.compiling)
    return Timed(first, factor * timed.seconds, factor * timed.core_seconds, timed.answer, timed.cost)


def process(*command: str) -> Callable[[], None]:
    """A contestant that runs a program to its end."""

    def call() -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")

    return call


def _warm(call: Callable[[], Any]) -> dict[str, Any]:
    with counted() as cost:
        found = _timed(call)
    return {"first": found.seconds, "answer": found.answer, "cost": cost}


def _timed(call: Callable[[], Any]) -> Reported:
    time.sleep(REST)
    start, cores = time.perf_counter(), _core_seconds()
    answer = jax.block_until_ready(call())
    seconds, core_seconds = time.perf_counter() - start, _core_seconds() - cores
    return answer if isinstance(answer, Reported) else Reported(seconds, core_seconds, answer)


def _core_seconds() -> float:
    children = os.times()[2:4]  # user and system, of those that have ended
    return time.process_time() + sum(children)
