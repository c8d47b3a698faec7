"""A data set larger than one would load, in a file: time, passes over it and memory, of a process that does only that.

`python -m benchmarks.workloads.memory_mapped FOLDER SIDE REPEATS` is that process; it prints JSON.
"""

import json
import re
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants import plain_loop
from benchmarks.harness.timing import Timed, race
from benchmarks.problems import networks
from benchmarks.problems.networks import Problem

HIDDEN, CLASSES = 4, 2
BLOCK = 2**16  # examples written, and checked, at a time
CHECKED = 5  # cells compared with float64


@dataclass(frozen=True)
class Found:
    """What the process said of itself; `timed.answer` and `truth` are risks of the same few cells."""

    name: str
    file_bytes: int
    timed: Timed
    truth: np.ndarray
    passes: float  # over the data, by the bytes that batches were cut out of
    peak_bytes: int


class Counted(np.memmap):
    """A memory map that counts the bytes cut out of it (out of the map itself, not of what was cut out)."""

    read = 0
    whole = False

    def __getitem__(self, index: Any) -> Any:
        cut = super().__getitem__(index)
        if self.whole:
            Counted.read += np.asarray(cut).nbytes
        return cut


def measure(examples: int, features: int, side: int, repeats: int) -> Found:
    """Write the file, run the process, read what it prints. Raises RuntimeError with the process's message."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), examples, features)
        command = [sys.executable, "-m", __name__, folder, str(side), str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise RuntimeError(f"the process with the data set on disk failed:\n{done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    times = (np.array(said.pop(name)) for name in ("seconds", "core_seconds", "answer"))
    return Found(timed=Timed(said.pop("first"), *times), **said | {"truth": np.array(said["truth"])})


def _write(folder: Path, examples: int, features: int) -> None:
    random = np.random.default_rng(0)
    teacher = random.standard_normal(features, np.float32)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (examples, features))
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.int32, (examples,))
    for start in range(0, examples, BLOCK):
        block = random.standard_normal((len(x[start : start + BLOCK]), features), np.float32)
        x[start : start + BLOCK], labels[start : start + BLOCK] = block, block @ teacher > 0


def _process(folder: Path, side: int, repeats: int) -> dict[str, Any]:
    x, labels = (np.load(folder / name, mmap_mode="r") for name in ("x.npy", "labels.npy"))
    counted = x.view(Counted)
    counted.whole = True
    name = f"MLP {x.shape[1]}-{HIDDEN}-{CLASSES}"
    problem = networks.perceptron(name, (counted, labels), HIDDEN, side, outputs=CLASSES)
    every = max(1, side**2 // CHECKED)
    assert problem.objective.id  # reads samples of the file, once
    Counted.read = 0
    timed = race({name: lambda: problem.evaluate()[0][::every]}, repeats)[name]
    return {
        "name": name,
        "file_bytes": x.nbytes,
        "first": timed.first,
        "seconds": timed.seconds.tolist(),
        "core_seconds": timed.core_seconds.tolist(),
        "answer": timed.answer.tolist(),
        "passes": Counted.read / (1 + repeats) / x.nbytes,
        "peak_bytes": process_peak(),  # before the truth takes memory
        "truth": _truth(replace(problem, data=(x, labels)), every).tolist(),
    }


def _truth(problem: Problem, every: int) -> np.ndarray:
    """The float64 risk, block by block."""
    x, labels = problem.data
    total = 0
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK], labels[start : start + BLOCK]
        total += len(block[0]) * plain_loop.truth(replace(problem, data=block), every)[0]
    return total / len(x)


def process_peak() -> int:
    """The most memory this process ever held, mapped pages included.

    Linux counts `ru_maxrss` from before the program was loaded, which is then the memory of the process that started
    this one; VmHWM is this program's own.
    """
    status = Path("/proc/self/status")
    own = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if own:
        return int(own.group(1)) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(_process(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
