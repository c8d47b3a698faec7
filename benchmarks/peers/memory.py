"""What a call needs beside its compilation, which in a first call hides everything smaller.

Standard library alone: the peers' process measures itself by it, too.
"""

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
CHEAP = 0.1  # seconds
SMALL, LARGE = 2**17, 2**25  # bytes: where glibc's thresholds begin, and where its own adjustment of them ends


def peak_bytes(call: Callable[[], Any]) -> int | None:
    """Memory at the peak of a call whose program is compiled, above what was held before; None where nobody knows.

    The larger of two readings, where the first took little time: what it takes again out of what was kept for reuse is
    not seen, and large pieces of memory are given back when they are freed.
    """
    with _returned_at_once():
        start = time.perf_counter()
        first = _reading(call)
        again = first is not None and time.perf_counter() - start < CHEAP
        return max(first, _reading(call) or 0) if again else first


def _reading(call: Callable[[], Any]) -> int | None:
    gc.collect()  # a data set with its cycles would be freed halfway
    _trim()
    resting = _reset_peak()
    call()
    peak = _status("VmHWM")
    return None if resting is None or peak is None else max(0, peak - resting)


@contextlib.contextmanager
def _returned_at_once() -> Iterator[None]:
    """Have memory go back to the system once it is freed: reused, it would not be seen. Only glibc can do so."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(MMAP_THRESHOLD, SMALL)
    library.mallopt(TRIM_THRESHOLD, SMALL)
    try:
        yield
    finally:
        library.mallopt(MMAP_THRESHOLD, LARGE)
        library.mallopt(TRIM_THRESHOLD, 2 * LARGE)


def _trim() -> None:
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _reset_peak() -> int | None:
    """Let the kernel forget the process's peak: what the process holds now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM to VmRSS
    except OSError:
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
