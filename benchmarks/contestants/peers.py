"""Other tools on the same problems, in PyTorch: a process of their own, in the environment of `make bench-peers`.

What they are given is written to a folder; they time themselves there, so that a race can take turns with them as with
everybody else. loss-landscapes walks the model through the plane in place and takes its first step before it measures:
of every second row of cells, those it walks backwards, the samples lie one step off. Landscaper rescales directions,
adds noise to the largest losses and says of cells that they are elsewhere. `right`, `off_by_one` and `swapped` see to
that.
"""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.timing import Elsewhere, Reported
from benchmarks.machine.environment import usable_cores
from benchmarks.problems import networks, trained

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-peers"
PROGRAM = str(ENVIRONMENT / "bin" / "python"), str(ROOT / "benchmarks" / "peers")
PACKAGE, MAPPED, LANDSCAPER, TORCH = "loss-landscapes", "torch.func", "Landscaper", "PyTorch"
RESCALED = "directions rescaled"  # by Landscaper, tensor by tensor: another plane


class PeerError(RuntimeError):
    """What a peer raised, in its own words."""


def missing() -> str:
    """Why there are no peers; "" where there are."""
    # Written last: an environment that is half made has none.
    return "" if (ENVIRONMENT / ".ready").exists() else "no environment of the peers: run `make bench-peers`"


@contextlib.contextmanager
def started() -> Iterator["Peers | None"]:
    """The peers' process, for as long as the context lasts; None where they are missing."""
    if missing():
        yield None
        return
    with Peers() as peers:
        yield peers


class Peers:
    """The process of the peers: `with Peers() as peers`. Its standard error is kept, to be quoted if it dies."""

    def __init__(self, command: Sequence[str] = PROGRAM) -> None:
        self._command = command

    def __enter__(self) -> "Peers":
        if self._command == PROGRAM and missing():
            raise RuntimeError(missing())
        # Their environment has nothing of ours on its path.
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        # By default threads spin where they wait for each other: up to 90 times as long, where others need the cores.
        own.setdefault("OMP_WAIT_POLICY", "passive")
        with contextlib.ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._said = stack.enter_context((self._folder / "stderr").open("w+", errors="replace"))
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._said}
            command = [*self._command, str(self._folder)]
            self._process = subprocess.Popen(command, text=True, encoding="utf-8", env=own, **pipes)
            stack.callback(_end, self._process)
            self._written: dict[str, Any] = {}
            self.described = self._ask("", do="describe")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(self, contestant: str, problem: Any, threads: int = 1, **options: Any) -> Elsewhere:
        """A contestant over there, which measures itself; its answer is a dictionary of arrays by name.

        problem: a `networks.Problem`, a `trained.Problem`, or (about, arrays by name) as the contestant reads them.
        Raises: PeerError, now or when it is called, for what a peer raises; RuntimeError where the process ends.
        """
        name = self._write(problem)
        request = {"contestant": contestant, "problem": name, "threads": threads, "options": options}
        prepared = self._ask(contestant, do="prepare", **request)["prepared"]
        return Elsewhere(partial(self._run, contestant, prepared), partial(self._memory, contestant, prepared))

    def _run(self, contestant: str, prepared: int) -> Reported:
        found = self._ask(contestant, do="run", prepared=prepared, answer=f"answer{prepared}")
        with np.load(self._folder / f"answer{prepared}.npz") as arrays:
            return Reported(found["seconds"], found["core_seconds"], dict(arrays))

    def _memory(self, contestant: str, prepared: int) -> int | None:
        return self._ask(contestant, do="memory", prepared=prepared)["peak_bytes"]

    def _write(self, problem: Any) -> str:
        """Once for each problem: the name of its files."""
        known = next((name for name, own in self._written.items() if own is problem), None)
        if known is not None:
            return known
        name = f"problem{len(self._written)}"
        about, arrays = described(problem)
        (self._folder / f"{name}.json").write_text(json.dumps(about))
        np.savez(self._folder / f"{name}.npz", **{key: _storable(array) for key, array in arrays.items()})
        self._written[name] = problem
        return name

    def _ask(self, of: str, **request: Any) -> dict[str, Any]:
        pipes: Any = self._process
        try:
            print(json.dumps(request), file=pipes.stdin, flush=True)
            line = pipes.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the peers' process ended (status {self._process.wait()}):\n{self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{of}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self._said.seek(0)
        return self._said.read()[-2000:].strip() or "it said nothing"


def described(problem: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is written of a problem: what JSON holds, and arrays by name, those of layers "origin/hidden/kernel"."""
    match problem:
        case networks.Problem():
            arrays = dict(zip(("axis0", "axis1"), problem.axes, strict=True)) | _batch(problem.data)
            for name, tree in zip(
                ("origin", "direction0", "direction1"), (problem.origin, *problem.directions), strict=True
            ):
                arrays |= _under(name, tree)
            return {"layers": problem.network.layers}, arrays
        case trained.Problem():
            return _perceptron(problem.network, "origin", problem.params, problem.data)
    about, arrays = problem
    return about, arrays


def grids(
    peers: Peers | None, cells: np.ndarray, x: np.ndarray, y: np.ndarray, gradient: bool, dtype: str
) -> dict[str, Elsewhere]:
    """Risk of the neuron, and its gradient's norm (0 without `gradient`), at cells (cells, 2) of (w, b): (2, cells)."""
    problem = {}, {"cells": cells, "x": x, "y": y}
    options = {"dtype": dtype, "gradient": gradient}
    return _arrays(on_threads(peers, TORCH, "neuron.grid", problem, **options))


def planes(peers: Peers | None, problem: networks.Problem) -> dict[str, Elsewhere]:
    """The risk of every cell, (cells,), in the problem's dtype.

    With all cores and with one: on small layers, or a busy machine, one is the faster. Landscaper does odd squares. It
    rescales directions but where the model has one tensor; the other way it comes is on another plane.
    """
    dtype = str(next(iter(problem.origin.values()))["kernel"].dtype)
    package, mapped, landscaper = (
        partial(on_threads, peers, by, f"planes.{contestant}", problem, dtype=dtype)
        for by, contestant in (
            (PACKAGE, "loss_landscapes"),
            (f"{MAPPED}, a row at a time", "rows"),
            (LANDSCAPER, "landscaper"),
        )
    )
    calls = package() | mapped(threads=(usable_cores(),))
    if len(problem.axes[0]) % 2:
        rescaled = landscaper(threads=(1,), flattened=False)
        calls |= landscaper(flattened=True) | {f"{by}, {RESCALED}": call for by, call in rescaled.items()}
    return _arrays(calls)


def adam(
    peers: Peers | None, starts: np.ndarray, x: np.ndarray, y: np.ndarray, strength: float, rate: float, steps: int
) -> dict[str, Elsewhere]:
    """Where Adam on the neuron's risk + λ‖θ‖² ends from starts (S, 2) of (w, b): (S, 2), in float32."""
    problem = {}, {"starts": starts, "x": x, "y": y}
    options = {"dtype": "float32", "strength": strength, "rate": rate, "steps": steps}
    return _arrays(on_threads(peers, f"{TORCH}, a batched loop", "descent.adam", problem, threads=(1,), **options))


def many_starts(
    peers: Peers | None, network: Any, data: Any, starts: Any, order: np.ndarray, rate: float
) -> dict[str, Elsewhere]:
    """Where SGD takes the starts of an `ls.mlp` with cross-entropy: a tree like `starts`, of leaves (S, …).

    order: (steps, batch), the examples of each step.
    """
    about, arrays = _perceptron(network, "starts", starts, data)
    problem = about, arrays | {"order": order}
    calls = on_threads(peers, f"{MAPPED}, all starts at once", "descent.many_starts", problem, rate=rate)
    return read(calls, _as_tree)


def right(problem: networks.Problem) -> np.ndarray:
    """The cells that loss-landscapes measures where it should, as a mask, (cells,)."""
    rows, columns = (len(axis) for axis in problem.axes)
    return np.repeat(np.arange(rows) % 2 == 0, columns)


def off_by_one(problem: networks.Problem, answer: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Of the rows it walks backwards: the largest error, as they come and moved by the one step."""
    rows, columns = (len(axis) for axis in problem.axes)
    backwards, wanted = (values.reshape(rows, columns)[1::2] for values in (answer, truth))
    as_is, moved = np.abs(backwards - wanted), np.abs(backwards[:, 1:] - wanted[:, :-1])
    return float(as_is.max(initial=0.0)), float(moved.max(initial=0.0))


def noisy(answer: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Landscaper's error in the cell of the largest loss, to which it adds noise, and the largest in all others."""
    difference, largest = np.abs(answer - truth), np.argmax(truth)
    return float(difference[largest]), float(np.delete(difference, largest).max(initial=0.0))


def swapped(problem: networks.Problem, answer: np.ndarray, truth: np.ndarray) -> float:
    """Its largest error where one reads cells by the coordinates that it returns, which have the first axis fastest."""
    return float(np.abs(answer.reshape([len(axis) for axis in problem.axes]).T.ravel() - truth).max())


def on_threads(
    peers: Peers | None, by: str, contestant: str, problem: Any, threads: Sequence[int] = (), **options: Any
) -> dict[str, Elsewhere]:
    """A contestant on so many threads: by default on one, and on as many as there are cores. None without peers."""
    if peers is None:
        return {}
    numbers = threads or sorted({1, usable_cores()}, reverse=True)
    return {
        f"{by}, {number} thread{'s' * (number > 1)}": peers.prepare(contestant, problem, number, **options)
        for number in numbers
    }


def read(calls: Mapping[str, Elsewhere], of: Callable[[dict[str, np.ndarray]], Any]) -> dict[str, Elsewhere]:
    """The same calls, whose answers are what `of` makes of the arrays that come back."""

    def call(own: Elsewhere) -> Reported:
        reported = own()
        return replace(reported, answer=of(reported.answer))

    return {by: replace(own, run=partial(call, own)) for by, own in calls.items()}


def _arrays(calls: Mapping[str, Elsewhere]) -> dict[str, Elsewhere]:
    return read(calls, lambda arrays: arrays["answer"])


def _perceptron(network: Any, name: str, params: Any, data: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of an `ls.mlp`."""
    if (network.output, network.loss) != ("softmax", "cross_entropy"):
        raise ValueError(
            f"`network` is {network}; the peers measure cross-entropy of a softmax: make it by "
            'ls.mlp(sizes, output="softmax", loss="cross_entropy")'
        )
    hidden = [("dense", layer) for layer in params]
    layers = [part for own in hidden for part in (own, (network.activation, ""))][:-1]
    kernels = {layer: {"kernel": own["W"], "bias": own["b"]} for layer, own in params.items()}
    return {"layers": layers}, _under(name, kernels) | _batch(data)


def _under(name: str, tree: Any) -> dict[str, Any]:
    """Kernels before biases, as the peers list them."""
    return {f"{name}/{layer}/{of}": own[of] for layer, own in tree.items() for of in ("kernel", "bias")}


def _batch(data: Any) -> dict[str, Any]:
    return dict(zip(("x", "labels"), data, strict=True))


def _as_tree(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """The params of an `ls.mlp`."""
    layers = dict.fromkeys(key.split("/")[0] for key in arrays)
    return {layer: {"W": arrays[f"{layer}/kernel"], "b": arrays[f"{layer}/bias"]} for layer in layers}


def _storable(array: Any) -> np.ndarray:
    """NumPy keeps no bfloat16 in files: float32 holds its numbers."""
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _end(process: Any) -> None:
    """It ends when there is nothing more to be asked."""
    with contextlib.suppress(BrokenPipeError):  # it has ended, before it was asked all
        process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
