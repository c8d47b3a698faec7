"""What a call takes beside its time: seconds of compilation, memory at its peak."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax

COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


@dataclass
class Cost:
    """Seconds in which JAX traced, lowered and compiled; bytes above what the process held before, None if unknown."""

    compiling: float = 0.0
    peak_bytes: int | None = None


@contextlib.contextmanager
def counted() -> Iterator[Cost]:
    """The cost of what runs inside, complete at the end. Measuring memory slows nothing down; on Linux only."""
    cost, spans = Cost(), list[tuple[float, float]]()

    def listen(event: str, seconds: float, **_: object) -> None:
        if event in COMPILING:
            now = time.monotonic()
            spans.append((now - seconds, now))

    resting = _reset_peak()
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield cost
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
        cost.compiling = _union(spans)  # a function that is traced within another one counts once
        peak = _status("VmHWM")
        cost.peak_bytes = None if resting is None or peak is None else max(0, peak - resting)


def _union(spans: list[tuple[float, float]]) -> float:
    """The length of what intervals cover together."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


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
