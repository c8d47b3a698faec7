"""Where a benchmark ran: processor, memory, versions, devices, settings."""

import functools
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from benchmarks.machine.pinning import PINS
from landscape._backend import usable_cores

ROOT = Path(__file__).parents[2]
PACKAGES = "jax", "jaxlib", "numpy", "scipy", "optax", "xarray", "jax-landscape"
VARIABLES = re.compile(r"(JAX|OMP|OPENBLAS|MKL)_\w+|XLA_FLAGS|TF_CPP_MIN_LOG_LEVEL")
INSTRUCTIONS = "avx512f", "avx2", "avx", "sse4_2", "sve", "asimd", "neon"  # the widest of a processor first
BUSY = 0.25  # of the cores, by others


def environment(compiler: str | None = None) -> dict[str, Any]:
    """A JSON-able description of this machine; `compiler` is what compiled the C loop, or why there is none."""
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
        "instructions": _instructions(),
        "precision": {
            "jax_default_matmul_precision": jax.config.jax_default_matmul_precision,
            "landscape": "measured at 'highest' unless a row says otherwise",
        },
        "threads": "those of XLA on a core each" if PINS else "where the system puts them",
        "x64": jax.config.jax_enable_x64,
        "variables": {name: os.environ[name] for name in sorted(os.environ) if VARIABLES.fullmatch(name)},
        "commit": _commit(ROOT),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "load_average": load_average(),
    }


@functools.cache
def load_average() -> float | None:
    """The machine's own: when it was first asked for, before any work of this process."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


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


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if names:
            return " ".join(names[0].split())
    return platform.processor() or platform.machine() or sys.platform


def _instructions() -> str | None:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", info.read_text(), re.MULTILINE) if info.exists() else None
    known = found[1].split() if found else []
    return next((name for name in INSTRUCTIONS if name in known), None)


def _commit(root: Path) -> str | None:
    """The short hash, with '-dirty' where tracked files other than results were changed; None outside of a checkout."""
    if not (root / ".git").exists():  # it may lie in somebody else's checkout
        return None
    commands = [["rev-parse", "--short", "HEAD"], ["diff", "--name-only", "HEAD", "--", ".", ":!benchmarks/results"]]
    try:
        given = [subprocess.check_output(["git", *c], cwd=root, text=True, stderr=subprocess.DEVNULL) for c in commands]
        return given[0].strip() + "-dirty" * bool(given[1])
    except (OSError, subprocess.CalledProcessError):  # no git, or a checkout that it does not trust
        return None


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
