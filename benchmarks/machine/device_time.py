"""Seconds that an accelerator itself was busy, without the host's share: read back from a profiler's trace."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
from jax.profiler import ProfileData

DEVICES = "/device:"  # a plane for each, such as /device:GPU:0; the host's are named otherwise
# Of a device's lines those with what it ran: a GPU's streams and a TPU's operations. Steps, modules and name scopes
# are the same again, with the gaps between; the profiler's own overhead is none of the program's.
STREAM, OPERATIONS = "Stream #", "XLA Ops"


def device_seconds(call: Callable[[], Any]) -> float | None:
    """Busy seconds of the device during one call, of the busiest where there are several; None without one (a CPU).

    The call runs once before: its compilation is not counted.
    """
    jax.block_until_ready(call())
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = options.host_tracer_level = 0  # only the device's events: the host's cost time
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            jax.block_until_ready(call())
        traces = [ProfileData.from_file(str(path)) for path in Path(folder).rglob("*.xplane.pb")]
    return max((busy for trace in traces if (busy := busy_seconds(trace)) is not None), default=None)


def busy_seconds(trace: ProfileData) -> float | None:
    """The union of the intervals in which the trace's busiest device ran something; None where none is recorded."""
    recorded = [intervals for plane in trace.planes if plane.name.startswith(DEVICES) if (intervals := _ran(plane))]
    return max((covered(intervals) / 1e9 for intervals in recorded), default=None)  # from nanoseconds


def _ran(plane: Any) -> list[tuple[float, float]]:
    lines = [line for line in plane.lines if line.name.startswith(STREAM) or line.name == OPERATIONS]
    return [(event.start_ns, event.start_ns + event.duration_ns) for line in lines for event in line.events]


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of what intervals (start, end) cover, which may overlap."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
