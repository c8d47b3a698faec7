"""The neuron: its risk and gradient on grids, exact and compressed, and a sweep of penalties, by every backend.

Every answer of `landscape` goes through its public functions; all are compared with NumPy float64.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax.numpy as jnp
import numpy as np

import landscape as ls
from benchmarks.contestants import c_loop, numpy_loop, peers
from benchmarks.harness.asked import Asked, torch
from benchmarks.harness.case import Case, Part, gather, measure
from benchmarks.harness.timing import ratio
from benchmarks.harness.ways import Way, computing, device
from benchmarks.machine.limits import Work
from benchmarks.reporting.report import Report, Target

RISK, GRADIENT = ("risk",), ("risk", "risk_gradient_norm")
# Relative, absolute. z = w·x + b is up to 50 here; float32 rounds it in its 7th digit, and so exp(z) in its 5th, and
# bfloat16 in its 3rd: a loss may be off by 50·2⁻⁸, and where losses are small by as much of themselves.
TOLERANCE = {"float32": (2e-5, 2e-6), "float64": (1e-12, 1e-14), "bfloat16": (0.1, 0.2)}
REPEATS = 9
REFERENCE, OURS, C = Way("numpy", "float64"), Way("jax-cpu", "float32"), Way("c", "float32")
COMPRESSED = "compressed"


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are."""

    grids: tuple[tuple[int, int, int], ...]  # (cells along w, cells along b, examples)
    penalties: int
    judged: bool  # whether the targets are about these sizes


FULL = Sizes(((512, 512, 256), (256, 256, 4096)), penalties=20, judged=True)
QUICK = Sizes(((384, 384, 256),), penalties=20, judged=False)
SMOKE = Sizes(((12, 10, 32),), penalties=3, judged=False)


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

    @cached_property
    def cells(self) -> np.ndarray:
        """(w, b) of every cell, (cells, 2), b fastest."""
        return np.stack([c.ravel() for c in np.meshgrid(self.w, self.b, indexing="ij")], axis=1)

    @property
    def losses(self) -> int:
        """In all cells."""
        return len(self.w) * len(self.b) * len(self.x)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a loop over cells takes."""
        return self.cells, self.x, self.y

    @cached_property
    def truth(self) -> np.ndarray:
        """Risk and gradient norm in float64, (2, cells)."""
        return numpy_loop.grid(*self.arrays, True)


def run(sizes: Sizes, asked: Asked) -> Report:
    """Measure everything that was asked for."""
    parts: list[Callable[[], Part]] = []
    for shape in sizes.grids:
        grid = make_grid(*shape)
        parts += [partial(_on_grid, grid, quantities, asked) for quantities in (RISK, GRADIENT)]
        parts.append(partial(_sweep, grid, sizes.penalties, asked))
    return gather("neuron", sizes, parts, asked)


def make_grid(along_w: int, along_b: int, examples: int) -> Grid:
    """Labels drawn from a neuron, and the square that holds its minimum."""
    random = np.random.default_rng(0)
    x = random.normal(size=examples).astype(np.float32)
    y = (random.random(examples) < 1 / (1 + np.exp(-2 * x))).astype(np.float32)
    w, b = (np.linspace(-10, 10, size, dtype=np.float32) for size in (along_w, along_b))
    return Grid(x, y, w, b)


def work(grid: Grid, quantities: tuple[str, ...]) -> Work:
    """A loss is max(m, 0) + log1p(e) of e = exp(−|m|), m = ±(w·x + b); a slope is (1 or e)/(1 + e), added to two sums.

    Of this formula, example by example. Read once are examples and axes, written once is a number for each cell and
    quantity, in float32.
    """
    gradient = quantities == GRADIENT
    moved = sum(array.nbytes for array in (grid.x, grid.y, grid.w, grid.b)) + 4 * len(quantities) * len(grid.cells)
    return Work(exp=grid.losses, log=grid.losses, other=(12 if gradient else 6) * grid.losses, bytes=moved)


def _on_grid(grid: Grid, quantities: tuple[str, ...], asked: Asked) -> Part:
    """Risk, with or without the gradient's norm: all examples in all cells, but for the rows `compressed`."""
    gradient, count = quantities == GRADIENT, len(quantities)
    calls: dict[Way, Callable[[], Any]] = {REFERENCE: lambda: numpy_loop.grid(*grid.arrays, gradient)[:count]}
    for backend in asked.devices:
        for dtype in asked.dtypes:
            calls[Way(backend, dtype)] = _evaluation(Way(backend, dtype), grid, quantities)
        way = Way(backend, "float32", COMPRESSED)
        calls[way] = _evaluation(way, grid, quantities, exact=False)
    if asked.wants(C.backend, C.dtype):
        function = "risk_and_gradient" if gradient else "risk"
        calls[C] = lambda: c_loop.compile_c().run(function, *grid.arrays)[:count]
    for dtype in asked.dtypes:
        others = peers.grids(asked.tools, *grid.arrays, gradient, dtype)
        calls |= torch(peers.read(others, lambda answer: answer[:count]), dtype)
    title = f"{grid.name}: {_named(quantities)}"
    truth, needed = grid.truth[:count], work(grid, quantities)
    case = Case(title, calls, lambda way: truth, TOLERANCE, lambda way: needed, losses=grid.losses)
    timed, rows = measure(case, asked, REPEATS)
    if OURS not in timed or C not in timed:
        return Part(rows)
    return Part(rows, [Target(f"{title}, time over the C loop's", ratio(timed[OURS], timed[C]), 1.2, "×")])


def _evaluation(
    way: Way,
    grid: Grid,
    quantities: tuple[str, ...],
    penalties: Mapping[str, ls.Penalty] | None = None,
    exact: bool = True,
) -> Callable[[], np.ndarray]:
    """`ls.evaluate` on the grid: the quantities, (quantities, cells); in a sweep the objectives, (penalties, cells)."""
    dtype = jnp.dtype(way.dtype)
    with computing(way):
        objective = ls.neuron(grid.x.astype(dtype), grid.y.astype(dtype))
        plane = ls.axes_plane(objective.params, "w", "b")

    def call() -> np.ndarray:
        with computing(way):
            axes = {"w": grid.w.astype(dtype), "b": grid.b.astype(dtype)}
            options: dict[str, Any] = {"penalties": penalties, "progress": False, "devices": [device(way.backend)]}
            surface = ls.evaluate(objective, plane, axes, quantities=quantities, exact=exact, **options)
        if penalties is not None:
            return surface.objective.values.reshape(len(penalties), -1)
        return np.stack([surface[name].values.ravel() for name in quantities])

    return call


def _sweep(grid: Grid, count: int, asked: Asked) -> Part:
    """A sweep of l2 penalties beside a single one, with the gradient's norm."""
    every = {f"λ={strength:.3g}": ls.l2(float(strength)) for strength in np.geomspace(1e-3, 1, count)}
    sweeps = {
        f"{len(sweep)} penalt{'y' if len(sweep) == 1 else 'ies'}": sweep
        for sweep in (dict(list(every.items())[-1:]), every)
    }
    ways = [Way(backend, "float32", setting) for backend in asked.devices for setting in sweeps]
    unit = np.square(grid.cells, dtype=np.float64).sum(axis=1)

    def truth(way: Way) -> np.ndarray:
        return np.stack([grid.truth[0] + penalty.strength * unit for penalty in sweeps[way.setting].values()])

    def needed(way: Way) -> Work:  # written too: value, objective and its gradient's norm of each penalty
        return work(grid, GRADIENT) + Work(bytes=4 * 3 * len(sweeps[way.setting]) * len(grid.cells))

    title = f"{grid.name}: {_named(GRADIENT)}, a sweep"
    calls = {way: _evaluation(way, grid, GRADIENT, sweeps[way.setting]) for way in ways}
    timed, rows = measure(Case(title, calls, truth, TOLERANCE, needed), asked, REPEATS)
    one, many = (OURS._replace(setting=setting) for setting in sweeps)
    if one not in timed:
        return Part(rows)
    claim = f"{count} penalties, {grid.name}, time over that of one"
    return Part(rows, [Target(claim, ratio(timed[many], timed[one]), 1.15, "×")])


def _named(quantities: tuple[str, ...]) -> str:
    return "risk and gradient norm" if quantities == GRADIENT else "risk"
