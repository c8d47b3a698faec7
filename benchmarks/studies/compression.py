"""Compressed examples: many of them beside the C loop over all, and fewer beside themselves uncompressed.

Each call compresses anew. The C loop goes over every `stride`-th cell of the large grid along both axes, and its time
is counted for all cells: each costs it the same.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

import jax
import numpy as np

import landscape as ls
from benchmarks.contestants import c_loop, numpy_loop
from benchmarks.harness.timing import race, ratio, scaled
from benchmarks.machine.environment import busy, environment
from benchmarks.reporting import report
from benchmarks.reporting.report import Progress, Report, Row, Target
from benchmarks.workloads.neuron import GRADIENT, TOLERANCE, Grid, make_grid

REPEATS = 5
SQUARES = {"loss": "half_squared_error", "activation": "tanh"}


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are."""

    large: tuple[int, int]  # cells along each axis, examples
    stride: int
    checked: int  # cells along each axis that are compared with float64 sums over all examples
    small: tuple[tuple[int, int], ...]
    judged: bool


FULL = Sizes((512, 10**6), 8, 16, ((32, 10_000), (128, 10_000), (512, 10_000)), judged=True)
SMOKE = Sizes((16, 3000), 4, 4, ((8, 100),), judged=False)


def run(sizes: Sizes, repeats: int, progress: Progress) -> Report:
    """Measure everything; `progress` is told what is being measured."""
    c = c_loop.compile_c()
    where = environment(c.compiler)
    progress(f"{sizes.large[1]} examples")
    rows, targets = _large(sizes, c, repeats)
    for cells, examples in sizes.small:
        progress(f"{examples} examples, {cells}×{cells} cells")
        found = _small(make_grid(cells, cells, examples), 4 * repeats)  # they are short
        rows, targets = rows + found[0], targets + found[1]
    progress(f"{sizes.large[1]} examples, squared errors")
    rows += _squares(sizes, repeats)
    notes = (
        [f"the C loop's time is that of every {sizes.stride**2}th cell, times {sizes.stride**2}"] if c else [c.compiler]
    )
    if not sizes.judged:
        targets, notes = [], [*notes, "these sizes are too small to judge speed by"]
    else:
        notes += busy(where)
    return Report("compression", asdict(sizes), rows, targets, notes, where)


def _large(sizes: Sizes, c: c_loop.CLoop, repeats: int) -> tuple[list[Row], list[Target]]:
    """Risk and gradient norm: both precisions, and C. Right answers from NumPy, at some of the cells."""
    cells, examples = sizes.large
    grid = make_grid(cells, cells, examples)
    contestants: dict[str, Callable[[], np.ndarray]] = {
        f"JAX {dtype}, compressed": _evaluation(grid, dtype) for dtype in ("float32", "float64")
    }
    some = replace(grid, w=grid.w[:: sizes.stride], b=grid.b[:: sizes.stride])
    if c:
        contestants["C float32"] = partial(c.run, "risk_and_gradient", some.cells, grid.x, grid.y)
    timed = race(contestants, repeats)
    if c:
        timed["C float32"] = scaled(timed["C float32"], sizes.stride**2)
    every = cells // sizes.checked
    right = numpy_loop.grid(replace(grid, w=grid.w[::every], b=grid.b[::every]).cells, grid.x, grid.y, True)
    rows = []
    for by, times in timed.items():
        columns = {"nanoseconds": times.median / grid.losses * 1e9, "ours": by.startswith("JAX")}
        columns |= {"share_of_c": ratio(times, timed["C float32"])} if c else {}
        if "compressed" in by:
            answer = times.answer.reshape(2, cells, cells)[:, ::every, ::every].reshape(2, -1)
            columns |= report.errors(answer, right, *TOLERANCE[by.split(",")[0].split()[-1]])
        rows.append(report.row(f"{grid.name}: risk and gradient norm", by, times, **columns))
    fast = timed["JAX float32, compressed"]
    targets = [Target(f"{grid.name}, compression included", fast.median, 2, "s")]
    if c:
        speed = ratio(timed["C float32"], fast)
        targets.append(Target(f"{grid.name}, speed over the C loop's", speed, 100, "×", more=True))
    return rows, targets


def _small(grid: Grid, repeats: int) -> tuple[list[Row], list[Target]]:
    """By default, and with exact=True."""
    contestants = {
        "JAX float32": _evaluation(grid, "float32"),
        "JAX float32, exact": _evaluation(grid, "float32", True),
    }
    timed = race(contestants, repeats)
    by_default, exact = timed.values()
    rows = []
    for by, times in timed.items():
        columns = report.errors(by_default.answer, exact.answer, *TOLERANCE["float32"]) if times is by_default else {}
        columns["nanoseconds"] = times.median / grid.losses * 1e9
        rows.append(report.row(f"{grid.name}: risk and gradient norm", by, times, **columns))
    return rows, [Target(f"{grid.name}, time over that of exact=True", ratio(by_default, exact), 1.05, "×")]


def _squares(sizes: Sizes, repeats: int) -> list[Row]:
    """Squared errors of tanh, each example with its own label; right answers from float64, at some of the cells."""
    cells, examples = sizes.large
    grid = make_grid(cells, cells, examples)
    rng = np.random.default_rng(1)
    grid = replace(grid, y=(np.tanh(2 * grid.x) + 0.1 * rng.normal(size=examples)).astype("float32"))
    every = cells // sizes.checked
    some = replace(grid, w=grid.w[::every], b=grid.b[::every])
    right = _evaluation(some, "float64", exact=True, **SQUARES)()
    rows = []
    for dtype in ("float32", "float64"):
        times = race({"": _evaluation(grid, dtype, **SQUARES)}, repeats)[""]
        answer = times.answer.reshape(2, cells, cells)[:, ::every, ::every].reshape(2, -1)
        columns = report.errors(answer, right, *TOLERANCE[dtype])
        columns["nanoseconds"] = times.median / grid.losses * 1e9
        name = f"{grid.name}: risk and gradient norm of squared errors"
        rows.append(report.row(name, f"JAX {dtype}, compressed", times, **columns))
    return rows


def _evaluation(grid: Grid, dtype: str, exact: bool = False, **neuron: str) -> Callable[[], np.ndarray]:
    """`ls.evaluate` on the grid, (2, cells)."""
    x64 = dtype == "float64"
    with jax.enable_x64(x64):
        objective = ls.neuron(grid.x.astype(dtype), grid.y.astype(dtype), **neuron)
        plane = ls.axes_plane(objective.params, "w", "b")
    axes = {"w": grid.w.astype(dtype), "b": grid.b.astype(dtype)}

    def call() -> np.ndarray:
        with jax.enable_x64(x64):
            surface = ls.evaluate(objective, plane, axes, quantities=GRADIENT, progress=False, exact=exact)
        return np.stack([surface[name].values.ravel() for name in GRADIENT])

    return call
