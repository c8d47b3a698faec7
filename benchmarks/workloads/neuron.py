"""The neuron: its risk and gradient on grids, a sweep of penalties, Adam from many starts, and the time to start.

Every answer goes through the public functions of `landscape` and is compared with NumPy float64.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import landscape as ls
from benchmarks.contestants import c_loop, numpy_loop
from benchmarks.harness import report
from benchmarks.harness.environment import busy, environment
from benchmarks.harness.report import Progress, Report, Row, Target
from benchmarks.harness.timing import process, race, ratio

RISK, GRADIENT = ("risk",), ("risk", "risk_gradient_norm")
# Relative, absolute. float32 rounds z = w·x + b, up to 50 here, in its 7th digit, and so exp(z) in its 5th.
TOLERANCE = {"float32": (2e-5, 2e-6), "float64": (1e-12, 1e-14)}
REPEATS = 9
RATE, STRENGTH = 0.1, 0.1  # of Adam, and of the penalty beside it


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are."""

    grids: tuple[tuple[int, int, int], ...]  # (cells along w, cells along b, examples)
    penalties: int
    starts: int
    steps: int
    judged: bool  # whether the targets are about these sizes


FULL = Sizes(((512, 512, 256), (256, 256, 4096)), penalties=20, starts=1000, steps=500, judged=True)
QUICK = Sizes(((12, 10, 32),), penalties=3, starts=5, steps=20, judged=False)


@dataclass(frozen=True)
class Grid:
    """Labeled one-dimensional data and the axes of a grid, in float32: all contestants read the same numbers."""

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray
    b: np.ndarray

    @property
    def name(self) -> str:
        return f"{len(self.w)}×{len(self.b)} cells, {len(self.x)} examples"

    @property
    def cells(self) -> np.ndarray:
        """(w, b) of every cell, (cells, 2), b fastest."""
        return np.stack([c.ravel() for c in np.meshgrid(self.w, self.b, indexing="ij")], axis=1)

    @property
    def work(self) -> int:
        """Losses in the grid."""
        return len(self.w) * len(self.b) * len(self.x)


def run(sizes: Sizes, repeats: int, progress: Progress) -> Report:
    """Measure everything; `progress` is told what is being measured."""
    c = c_loop.compile_c()
    where = environment(c.compiler)  # before the work: its load average is the machine's own
    rows: list[Row] = []
    targets: list[Target] = []
    for shape in sizes.grids:
        grid = make_grid(*shape)
        for quantities in (RISK, GRADIENT):
            progress(f"{grid.name}: {_named(quantities)}")
            _add(rows, targets, _on_grid(grid, quantities, c, repeats))
        progress(f"{grid.name}: {sizes.penalties} penalties")
        _add(rows, targets, _sweep(grid, sizes.penalties, repeats))
    progress(f"{sizes.starts} starts of Adam")
    _add(rows, targets, _descent(sizes.starts, sizes.steps, repeats))
    progress("starting up")
    _add(rows, targets, _starting(repeats))
    notes = [] if c else [f"C: {c.compiler}"]
    if not sizes.judged:
        targets, notes = [], [*notes, "these sizes are too small to judge speed by"]
    else:
        notes += busy(where)
    return Report("neuron", asdict(sizes), rows, targets, notes, where)


def _add(rows: list[Row], targets: list[Target], found: tuple[Sequence[Row], Sequence[Target]]) -> None:
    rows.extend(found[0])
    targets.extend(found[1])


def make_grid(along_w: int, along_b: int, examples: int) -> Grid:
    """Labels drawn from a neuron, and the square that holds its minimum."""
    random = np.random.default_rng(0)
    x = random.normal(size=examples).astype(np.float32)
    y = (random.random(examples) < 1 / (1 + np.exp(-2 * x))).astype(np.float32)
    w, b = (np.linspace(-10, 10, size, dtype=np.float32) for size in (along_w, along_b))
    return Grid(x, y, w, b)


def _on_grid(grid: Grid, quantities: tuple[str, ...], c: c_loop.CLoop, repeats: int) -> tuple[list[Row], list[Target]]:
    """Risk, with or without the gradient's norm: NumPy, JAX in both precisions, C."""
    gradient = quantities == GRADIENT
    contestants = {
        "NumPy float64": partial(numpy_loop.grid, grid.cells, grid.x, grid.y, gradient),
        "JAX float32": _evaluation(grid, quantities, "float32"),
        "JAX float64": _evaluation(grid, quantities, "float64"),
    }
    if c:
        function = "risk_and_gradient" if gradient else "risk"
        contestants["C float32"] = partial(c.run, function, grid.cells, grid.x, grid.y)
    timed = race(contestants, repeats)
    numpy = timed["NumPy float64"]
    rows = []
    for by, times in timed.items():
        answer, right = (t.answer[: len(quantities)] for t in (times, numpy))
        columns = {} if times is numpy else report.errors(answer, right, *TOLERANCE[by.split()[-1]])
        columns |= {"nanoseconds": times.median / grid.work * 1e9, "times_numpy": ratio(numpy, times)}
        columns |= {"share_of_c": ratio(times, timed["C float32"])} if c else {}
        rows.append(report.row(f"{grid.name}: {_named(quantities)}", by, times, **columns))
    if gradient:
        speed = ratio(numpy, timed["JAX float32"])
        return rows, [Target(f"{_named(quantities)}, {grid.name}, speed over NumPy's", speed, 8, "×", more=True)]
    if not c:
        return rows, []
    share = ratio(timed["JAX float32"], timed["C float32"])
    return rows, [Target(f"{_named(quantities)}, {grid.name}, time over the C loop's", share, 1.5, "×")]


def _evaluation(grid: Grid, quantities: tuple[str, ...], dtype: str, penalties: Any = None) -> Callable[[], np.ndarray]:
    """`ls.evaluate` on the grid: the quantities, (quantities, cells); in a sweep the objectives, (penalties, cells)."""
    x64 = dtype == "float64"
    with jax.enable_x64(x64):
        objective = ls.neuron(grid.x.astype(dtype), grid.y.astype(dtype))
        plane = ls.axes_plane(objective.params, "w", "b")

    def call() -> np.ndarray:
        with jax.enable_x64(x64):
            axes = {"w": grid.w.astype(dtype), "b": grid.b.astype(dtype)}
            asked = {"quantities": quantities, "penalties": penalties, "progress": False}
            surface = ls.evaluate(
                objective, plane, axes, **asked, exact=True
            )  # all examples in all cells, as the others
        if penalties is not None:
            return surface.objective.values.reshape(len(penalties), -1)
        return np.stack([surface[name].values.ravel() for name in quantities])

    return call


def _sweep(grid: Grid, count: int, repeats: int) -> tuple[list[Row], list[Target]]:
    """A sweep of l2 penalties beside a single one."""
    every = {f"λ={strength:.3g}": ls.l2(float(strength)) for strength in np.geomspace(1e-3, 1, count)}
    last = dict(list(every.items())[-1:])
    sweeps = {"1 penalty": last, f"{count} penalties": every}
    timed = race({name: _evaluation(grid, GRADIENT, "float32", swept) for name, swept in sweeps.items()}, repeats)
    cells = np.asarray(grid.cells, np.float64)
    risk, unit = numpy_loop.grid(cells, grid.x, grid.y, False)[0], (cells**2).sum(axis=1)
    rows = []
    for name, times in timed.items():
        right = [risk + penalty.strength * unit for penalty in sweeps[name].values()]
        columns = report.errors(times.answer, right, *TOLERANCE["float32"])
        rows.append(report.row(f"{grid.name}: {_named(GRADIENT)}", f"JAX float32, {name}", times, **columns))
    one, many = timed.values()
    return rows, [Target(f"{count} penalties, {grid.name}, time over that of one", ratio(many, one), 1.15, "×")]


def _descent(starts: int, steps: int, repeats: int) -> tuple[list[Row], list[Target]]:
    """Adam on the pair from many starts; every step of every run is recorded, as it is by default."""
    pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(STRENGTH))
    optimizer = optax.adam(RATE)
    from_where = np.random.default_rng(1).uniform(-5, 5, (starts, 2)).astype(np.float32)
    tree = {"w": from_where[:, 0], "b": from_where[:, 1]}

    def call(record_every: int) -> np.ndarray:
        run = ls.descend(pair, optimizer, tree, steps, record_every=record_every, progress=False)
        return np.stack([np.asarray(run.params[name])[:, -1] for name in ("w", "b")], axis=1)

    x, y = (np.asarray(a, np.float64) for a in pair.data)
    timed = race(
        {
            "NumPy float64": partial(numpy_loop.adam, from_where, x, y, STRENGTH, RATE, steps),
            "JAX float32": partial(call, 1),
            "JAX float32, last step recorded": partial(call, steps),
        },
        repeats,
    )
    numpy, rows = timed["NumPy float64"], []
    title = f"{starts} starts × {steps} Adam steps"
    for by, times in timed.items():
        columns = {} if times is numpy else report.errors(times.answer, numpy.answer, 1e-3, 1e-3)
        rows.append(report.row(title, by, times, times_numpy=ratio(numpy, times), **columns))
    return rows, [Target(f"{title} after compilation", timed["JAX float32"].median, 0.05, "s")]


def _starting(repeats: int) -> tuple[list[Row], list[Target]]:
    """Whole processes: `landscape --help`, and importing `landscape` to use beside importing what it stands on."""
    python = sys.executable
    script = Path(python).with_name("landscape")
    asked = [str(script)] if script.exists() else [python, "-m", "landscape"]
    commands = {
        "landscape --help": (*asked, "--help"),
        "import landscape; landscape.evaluate": (python, "-c", "import landscape; landscape.evaluate"),
        "import jax, optax": (python, "-c", "import jax, optax"),
    }
    timed = race({name: process(*command) for name, command in commands.items()}, repeats)
    help_, ours, base = timed.values()
    rows = [report.row(name, "a new process", times) for name, times in timed.items()]
    return rows, [
        Target("landscape --help", help_.median, 0.15, "s"),
        Target("import landscape; landscape.evaluate, time over `import jax, optax`", ratio(ours, base), 1.3, "×"),
    ]


def _named(quantities: tuple[str, ...]) -> str:
    return "risk and gradient norm" if quantities == GRADIENT else "risk"
