"""What was asked for on the command line, and which of it this machine has."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from benchmarks.contestants import c_loop, peers
from benchmarks.contestants.peers import Peers
from benchmarks.harness.ways import BACKENDS, DTYPES, Way, device
from benchmarks.reporting.report import Progress

Call = TypeVar("Call")


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line."""

    backends: tuple[str, ...] = BACKENDS
    dtypes: tuple[str, ...] = DTYPES
    repeats: int | None = None  # as many as the workload finds enough
    progress: Progress = print
    tools: Peers | None = None  # the process of PyTorch and what stands on it

    def of(self, calls: Mapping[Way, Call]) -> dict[Way, Call]:
        """Those contestants that were asked for and that are there."""
        return {way: call for way, call in calls.items() if self.wants(way.backend, way.dtype)}

    def wants(self, backend: str, dtype: str) -> bool:
        """Whether it was asked for and is there."""
        there = self.tools is not None if backend == "torch" else not missing(backend)
        return there and backend in self.backends and dtype in self.dtypes

    @property
    def devices(self) -> list[str]:
        """The backends on which `landscape` computes."""
        return [backend for backend in self.backends if backend.startswith("jax-") and not missing(backend)]

    @property
    def absent(self) -> list[str]:
        """A line for each backend that was asked for and is not there."""
        return [f"absent: {backend}: {missing(backend)}" for backend in self.backends if missing(backend)]


@cache
def missing(backend: str) -> str:
    """Why a backend is not there; "" where it is."""
    if backend.startswith("jax-"):
        try:
            device(backend)
        except RuntimeError as error:
            return str(error).splitlines()[0]
        return ""
    if backend == "torch":
        return peers.missing()
    return "" if backend == "numpy" or c_loop.compile_c() else c_loop.compile_c().compiler


def torch(calls: Mapping[str, Call], dtype: str = "float32") -> dict[Way, Call]:
    """Contestants of the peers, by the way they compute."""
    return {Way("torch", dtype, name.removeprefix(f"{peers.TORCH}, ")): call for name, call in calls.items()}
