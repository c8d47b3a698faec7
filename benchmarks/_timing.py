"""Interleaved timing: A B C, A B C, …, so that whatever else the machine does falls on all of them alike."""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

REST = 0.02  # seconds between two runs: the idle threads of one library go to sleep and do not spin under the next


@dataclass(frozen=True)
class Timed:
    """Seconds of the first call (which compiles) and of every repeat, and what the first call returned."""

    first: float
    seconds: np.ndarray  # (repeats,)
    answer: Any

    @property
    def median(self) -> float:
        """Median of the repeats, in seconds."""
        return float(np.median(self.seconds))


def race(contestants: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Timed]:
    """Call every contestant once, then all of them in turn, `repeats` times."""
    first, answers = {}, {}
    for name, call in contestants.items():
        first[name], answers[name] = _timed(call)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, call in contestants.items():
            seconds[name].append(_timed(call)[0])
    return {name: Timed(first[name], np.array(seconds[name]), answers[name]) for name in contestants}


def ratio(of: Timed, to: Timed) -> float:
    """Median over the rounds of (time of one)/(time of the other in the same round)."""
    return float(np.median(of.seconds / to.seconds))


def process(*command: str) -> Callable[[], None]:
    """A contestant that runs a program to its end."""

    def call() -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")

    return call


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    time.sleep(REST)
    start = time.perf_counter()
    answer = jax.block_until_ready(call())
    return time.perf_counter() - start, answer
