"""Where a benchmark ran: processor, memory, versions, devices, threads."""

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

PACKAGES = (*("jax", "jaxlib", "numpy", "scipy", "optax", "xarray", "jax-landscape"),)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")
BUSY = 0.25  # of the cores, by others


def environment(compiler: str | None = None) -> dict[str, Any]:
    """A JSON-able description of this machine; `compiler` is what compiled the C loop, or why there is none.

    Its load average is the machine's own only before the work.
    """
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": sorted({f"{d.platform}: {d.device_kind}" for d in jax.devices()}),
        "num_devices": len(jax.devices()),
        "compiler": compiler,
        "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def busy(described: dict[str, Any]) -> list[str]:
    """A note where others kept the machine busy before the start, else none."""
    load = described["load_average"] or 0
    if load <= BUSY * described["usable_cores"]:
        return []
    return [
        f"the machine was busy before the start (load average {load}): times are too long, most of all those of"
        " contestants with a thread on every core; core times are the fairer ones"
    ]


def machine_name(described: dict[str, Any]) -> str:
    """A file name for this kind of machine, the same on every day: 'amd-epyc-x86-64-2-cores-cpu'."""
    device = described["devices"][0].removesuffix(": cpu")  # of an accelerator its kind too
    text = f"{described['processor']} {described['architecture']} {described['usable_cores']} cores {device}"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if names:
            return " ".join(names[0].split())
    return platform.processor() or platform.machine() or sys.platform


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
