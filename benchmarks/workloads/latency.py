"""Latency: what it takes to start, to compile and to be done where there is little to compute.

New processes beside the imports that they cannot do without, with an empty and a filled cache of compiled programs;
and the first calls of a process beside the next ones. On the CPU, in float32.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import landscape as ls
from benchmarks.contestants import numpy_loop
from benchmarks.harness.asked import Asked
from benchmarks.harness.case import Part, gather
from benchmarks.harness.timing import Timed, ratio, rounds
from benchmarks.harness.ways import Way, computing
from benchmarks.reporting import report
from benchmarks.reporting.report import Report, Row, Target

REPEATS = 7
TOLERANCE = 2e-5, 2e-6  # relative and absolute, of risks in float32
HELP, COLD, IMPORTS = "landscape --help", "landscape surface --data pair -o pair.zarr", "landscape.evaluate"
IMPORTING = "importing its dependencies"
RATE = 0.5
PYTHON = sys.executable
COMPILED = "/jax/core/compile/backend_compile_duration"
# What a command has imported of packages that are installed, ours apart, in the order in which it came.
LIST = """
import contextlib, io, sys, sysconfig
from landscape.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(sys.argv[1:]) == 0
installed = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if name.partition(".")[0] != "landscape" and file and file.startswith(installed):
        print(name)
"""


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are."""

    points: int  # along w and b
    steps: int
    examples: int
    judged: bool  # whether the targets are about these sizes


FULL = QUICK = Sizes(points=21, steps=20, examples=64, judged=True)
SMOKE = Sizes(points=5, steps=3, examples=8, judged=False)


class Data(NamedTuple):
    """What a neuron is measured on."""

    x: np.ndarray
    y: np.ndarray


@dataclass
class Programs:
    """How many XLA compiled."""

    count: int = 0


def run(sizes: Sizes, asked: Asked) -> Report:
    """Measure everything: nothing where the CPU was not asked for in float32."""
    if not asked.wants("jax-cpu", "float32"):
        return gather("latency", sizes, [], asked)
    repeats = asked.repeats or REPEATS
    parts: dict[str, Callable[[], Part]] = {
        "starting": partial(_starting, repeats),
        COLD: partial(_cold, repeats),
        "first and second calls": partial(_calls, sizes, repeats),
    }

    def told(name: str, part: Callable[[], Part]) -> Part:
        asked.progress(name)
        return part()

    return gather("latency", sizes, [partial(told, name, part) for name, part in parts.items()], asked)


def _starting(repeats: int) -> Part:
    """New processes: the help, and importing `landscape` beside what it stands on."""
    with tempfile.TemporaryDirectory() as folder:
        calls = {
            HELP: started(folder, *_landscape(), "--help"),
            IMPORTS: started(folder, PYTHON, "-c", "import landscape; landscape.evaluate"),
            "jax, optax": started(folder, PYTHON, "-c", "import jax, optax"),
        }
        timed = rounds(calls, repeats)
    rows = [
        report.row(HELP, "landscape", timed[HELP]),
        report.row(f"import {IMPORTS}", "landscape", timed[IMPORTS]),
        report.row(f"import {IMPORTS}", "import jax, optax", timed["jax, optax"], ours=False),
    ]
    beside = ratio(timed[IMPORTS], timed["jax, optax"])
    return Part(
        rows,
        [
            Target(HELP, timed[HELP].median, 0.15, "s"),
            Target(f"import {IMPORTS}, time over `import jax, optax`", beside, 1.3, "×"),
        ],
    )


def _cold(repeats: int) -> Part:
    """New processes: a surface from nothing to the saved result, beside importing what the command imports."""
    with tempfile.TemporaryDirectory() as folder:
        empty, filled = (numbered(folder, name) for name in ("empty", "filled"))
        cache, command = next(filled), (*_landscape(), *COLD.split()[1:])
        dependencies = Path(folder, "dependencies.py")
        dependencies.write_text("".join(f"import {name}\n" for name in imported(folder, *COLD.split()[1:])))
        started(next(filled), *command, cache=lambda: cache)()
        calls = {
            "landscape": in_turn(folder, "none", command),
            "landscape, empty cache of programs": in_turn(folder, "first", command, lambda: next(empty)),
            "landscape, filled cache of programs": in_turn(folder, "again", command, lambda: cache),
            IMPORTING: started(folder, PYTHON, str(dependencies)),
        }
        timed = rounds(calls, repeats)
        right = {by: _pair_errors(own.answer) for by, own in timed.items() if by.startswith("landscape")}
    rows = [_row(COLD, by, own, **right.get(by, {})) for by, own in timed.items()]
    plain, *_, imports = timed.values()
    claim = "to the saved result, time over importing its dependencies"
    return Part(rows, [Target(f"{COLD}, {claim}", ratio(plain, imports), 2.0, "×")])


def _calls(sizes: Sizes, repeats: int) -> Part:
    """In one process: first calls, which compile, and the next."""
    data, others = noise(0, sizes.examples), itertools.count(1)
    with computing(Way("jax-cpu", "float32")):
        objective, descender = neuron(data), optax.sgd(RATE)

        def other() -> tuple[Data, np.ndarray]:
            new = noise(next(others), sizes.examples)
            return new, evaluated(neuron(new), sizes)

        calls: dict[str, Callable[[], Any]] = {
            "": jax.clear_caches,  # so that the next calls compile as in a new process
            "ls.evaluate, first call": lambda: (data, evaluated(objective, sizes)),
            "ls.evaluate, second call": lambda: (data, evaluated(objective, sizes)),
            "ls.evaluate, new objective on other data": other,
            "ls.descend, first call": lambda: descended(objective, descender, sizes),
            "ls.descend, second call": lambda: descended(objective, descender, sizes),
        }
        timed = rounds(calls, repeats)
        with counted() as programs:
            other()
    truth = steps_of(data, sizes.steps)
    grid, run = f"a grid of {sizes.points}×{sizes.points} cells", f"{sizes.steps} steps"
    rows = []
    for by, own in list(timed.items())[1:]:
        if by.startswith("ls.descend"):
            found = [report.errors(answer, truth, *TOLERANCE) for answer in own.answer]
            rows.append(_row(f"{run}, in a process", by, own, **_worst(found)))
        else:
            found = [report.errors(risks, on_grid(given, sizes.points), *TOLERANCE) for given, risks in own.answer]
            rows.append(_row(f"{grid}, in a process", by, own, **_worst(found)))
    claim = "programs that another objective of the same shapes compiles"
    return Part(rows, [Target(claim, programs.count, 0, "")])


def started(folder: str, *command: str, cache: Callable[[], str] | None = None) -> Callable[[], str]:
    """A contestant that runs a program in a folder to its end, on the CPU, and returns what it printed.

    cache: names the folder where compiled programs are kept; nowhere without it.
    Raises: RuntimeError, with what the program said, where it fails.
    """

    def call() -> str:
        # Without what JAX was told here, and has set itself when it was imported.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "TF_CPP"))}
        environment |= {"JAX_PLATFORMS": "cpu"} | ({} if cache is None else {"JAX_COMPILATION_CACHE_DIR": cache()})
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
        if done.returncode:
            raise RuntimeError(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")
        return done.stdout

    return call


def in_turn(
    folder: str, name: str, command: Sequence[str], cache: Callable[[], str] | None = None
) -> Callable[[], str]:
    """A contestant that runs a program in a new folder every time, and returns the folder."""
    folders = numbered(folder, name)

    def call() -> str:
        own = next(folders)
        started(own, *command, cache=cache)()
        return own

    return call


def imported(folder: str, *arguments: str) -> list[str]:
    """The modules, neither Python's nor ours, that a process of the command line has imported at its end."""
    return started(next(numbered(folder, "listed")), PYTHON, "-c", LIST, *arguments)().split()


def numbered(folder: str, name: str) -> Iterator[str]:
    """New folders inside one, made when they are asked for."""
    for i in itertools.count():
        made = Path(folder, f"{name}{i}")
        made.mkdir()
        yield str(made)


@contextmanager
def counted() -> Iterator[Programs]:
    """The programs that are compiled inside."""
    programs = Programs()

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        programs.count += event == COMPILED

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield programs
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def noise(seed: int, examples: int) -> Data:
    """Inputs and labels of a neuron, in float32."""
    random = np.random.default_rng(seed)
    x = random.normal(size=examples).astype(np.float32)
    return Data(x, (random.random(examples) < 1 / (1 + np.exp(-2 * x))).astype(np.float32))


def neuron(data: Data) -> ls.Objective:
    """The objective of a neuron on the data."""
    return ls.neuron(*data)


def evaluated(objective: ls.Objective, sizes: Sizes) -> np.ndarray:
    """The risk on a grid, (points, points)."""
    axis = np.linspace(-5, 5, sizes.points)
    plane = ls.axes_plane(objective.params, "w", "b")
    return ls.evaluate(objective, plane, {"w": axis, "b": axis}, exact=True, progress=False)["risk"].values


def descended(objective: ls.Objective, optimizer: Any, sizes: Sizes) -> np.ndarray:
    """The risk at every step from w = b = 1, (steps + 1,)."""
    run = ls.descend(objective, optimizer, {"w": 1.0, "b": 1.0}, steps=sizes.steps, progress=False)
    return run.data["risk"].values


def on_grid(data: Data, points: int) -> np.ndarray:
    """The risk on the grid in float64."""
    axis = np.linspace(-5, 5, points)
    cells = np.stack([c.ravel() for c in np.meshgrid(axis, axis, indexing="ij")], axis=1)
    return numpy_loop.grid(cells, *data, False)[0].reshape(points, points)


def steps_of(data: Data, steps: int) -> np.ndarray:
    """The risk at every step of gradient descent in float64."""
    at, risks = np.ones(2), []
    for _ in range(steps + 1):
        z = at[0] * data.x.astype(np.float64) + at[1]
        slope = 1 / (1 + np.exp(-z)) - data.y
        risks.append(np.mean(np.logaddexp(0, z) - data.y * z))
        at = at - RATE * np.array([np.mean(slope * data.x), np.mean(slope)])
    return np.array(risks)


def _pair_errors(folders: Sequence[str]) -> dict[str, Any]:
    """Of all saved surfaces of the pair, against float64."""
    found = []
    for folder in folders:
        risk = ls.open_surface(Path(folder, "pair.zarr"))["risk"]
        cells = np.stack([c.ravel() for c in np.meshgrid(risk["w"], risk["b"], indexing="ij")], axis=1)
        x, y = ls.datasets.pair()
        truth = numpy_loop.grid(cells, np.asarray(x), np.asarray(y), False)[0].reshape(risk.shape)
        found.append(report.errors(risk.values, truth, *TOLERANCE))
    return _worst(found)


def _worst(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The largest errors of several answers; right where all are."""
    largest = {name: max(own[name] for own in found) for name in ("absolute_error", "relative_error")}
    return largest | {"right": all(own["right"] for own in found)}


def _row(workload: str, by: str, timed: Timed, **columns: Any) -> Row:
    ways = {"backend": "jax-cpu", "dtype": "float32"} if columns else {}  # only what computes something has errors
    return report.row(workload, by, timed, ours=by != IMPORTING, **ways, **columns)


def _landscape() -> tuple[str, ...]:
    script = Path(PYTHON).with_name("landscape")
    return (str(script),) if script.exists() else (PYTHON, "-m", "landscape")
