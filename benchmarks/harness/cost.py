"""What JAX takes to trace, lower and compile, beside the time of a call."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import jax

from benchmarks.machine.device_time import covered

COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


@dataclass
class Cost:
    """Seconds of the first call in which JAX traced, lowered and compiled; bytes at the peak of a later one.

    peak_bytes: above what the process held before; None if unknown.
    """

    compiling: float = 0.0
    peak_bytes: int | None = None


@contextlib.contextmanager
def counted() -> Iterator[Cost]:
    """What compiling takes inside, complete at the end."""
    cost, spans = Cost(), list[tuple[float, float]]()

    def listen(event: str, seconds: float, **_: object) -> None:
        if event in COMPILING:
            now = time.monotonic()
            spans.append((now - seconds, now))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield cost
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
        cost.compiling = covered(spans)  # a function that is traced within another one counts once
