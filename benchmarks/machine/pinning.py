"""Threads of XLA, each on a core of its own.

A grid is hundreds of short pieces of work, each shared out anew. Where another library ran before, Linux may wake two
of XLA's threads on one core, and is slow to move one of them away: on two cores the same grid then takes up to 1.7
times as long. Programs with one long piece for each thread (a loop in C, NumPy) are moved in time.
"""

import contextlib
import os
from pathlib import Path

POOL = "XLAEigen"  # part of the name of the threads among which XLA's CPU backend shares out its work
TASKS = Path("/proc/self/task")
PINS = hasattr(os, "sched_setaffinity") and TASKS.exists()


def pin_threads() -> None:
    """Give each thread that there is a core in turn; nothing where the system has no such call (Linux has one)."""
    if not PINS:
        return
    cores = sorted(os.sched_getaffinity(0))
    place = 0
    for thread in sorted(int(task.name) for task in TASKS.iterdir()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended in the meantime
            if POOL in (TASKS / str(thread) / "comm").read_text():
                os.sched_setaffinity(thread, {cores[place % len(cores)]})
                place += 1
