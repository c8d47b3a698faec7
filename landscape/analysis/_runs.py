"""The work of `descend`: a tile is a block of runs of one optimizer, some penalties and starts, through all steps."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape._version import __version__
from landscape.analysis import _blocks, _steps
from landscape.analysis._steps import Inputs, Program, State
from landscape.objectives.objective import Objective
from landscape.surfaces import _devices, _together
from landscape.tiles.halfway import Halfway
from landscape.tiles.tiling import Tiling

# Operations of a fused loop in one compiled call: about a second on a CPU. The step of the bar, and what a stop loses.
SEGMENT_WORK = 2**33
LARGE = 2**22  # bytes of an array that is given large pages by itself
ALIGNED = 16  # bytes: multiples of it, where arrays of any dtype may begin
DIMS = ("optimizer", "penalty", "start")


class Runs(NamedTuple):
    """All runs that were asked for, and how many are traced at a time."""

    objective: Objective
    programs: Sequence[Program]  # one an optimizer
    inputs: Inputs  # coefficients of all penalties; the weight is not known yet
    initial: Params  # of all starts
    steps: int
    key: Array | None  # draws the examples of each step, of mini-batches
    plan: _blocks.Plan

    @property
    def tiling(self) -> Tiling:
        """The blocks, over DIMS."""
        sizes = len(jax.tree.leaves(self.inputs.coefficients)[0]), len(jax.tree.leaves(self.initial)[0])
        return Tiling(DIMS, (len(self.programs), *sizes), (1, *self.plan.block))

    @property
    def structure(self) -> Any:
        """That of what is recorded."""
        where = {"params": self.initial} if self.inputs.chart is None else {"coordinates": 0, "residual": 0}
        return jax.tree.structure({"risk": 0, "objective": 0, "gradient_norm": 0, "finite": 0, **where})

    @property
    def record_bytes(self) -> int:
        """Of the record of a run at a step: risk, objective, gradient norm, whether all is finite, and where it is."""
        number, chart = self.objective.dtype.itemsize, self.inputs.chart
        where = self.plan.params_bytes if chart is None else number * (len(chart.names) + 1)
        return 3 * number + 1 + where

    @property
    def recorded(self) -> list[int]:
        """The steps that are recorded."""
        return sorted({*range(0, self.steps + 1, self.programs[0].record_every), self.steps})


class Tracer:
    """Traces blocks of runs, on any device.

    advanced(tile, share): told which share of its steps a block has done.
    """

    def __init__(self, runs: Runs, precision: str, advanced: Callable[[int, float], None]) -> None:
        self._runs, self._advanced = runs, advanced
        self._settings = _devices.settings(precision)
        self._inputs: dict[Any, tuple[Inputs, Array | None]] = {}
        self._lock = threading.Lock()

    def __call__(self, tile: int, device: Any, halfway: Halfway) -> dict[str, Any]:
        """The records of a block: leaves (1, P, S, recorded steps, …)."""
        runs = self._runs
        with self._settings.on(device):
            inputs, order = self._placed(device)
            covered = list(runs.tiling.slices(tile).values())
            # The last block is filled up with runs that are there already: every block has the same shape.
            some, which = (
                np.minimum(np.arange(part.start, part.start + size), part.stop - 1)
                for part, size in zip(covered[1:], runs.plan.block, strict=True)
            )
            inputs = inputs._replace(coefficients=_rows(inputs.coefficients, some))
            program, starts = runs.programs[covered[0].start], _rows(runs.initial, which)
            records = self._traced(tile, program, inputs, order, starts, halfway)
        return jax.tree.map(lambda leaf: leaf[None], records)

    def shapes(self) -> dict[str, Any]:
        """Records like those of a block, that take no memory."""
        runs = self._runs
        some, which = (np.zeros(size, int) for size in runs.plan.block)
        inputs = runs.inputs._replace(coefficients=_rows(runs.inputs.coefficients, some))
        starts = _rows(runs.initial, which)

        def one(inputs: Inputs, starts: Params) -> Any:
            return _steps.measure_all(runs.programs[0], inputs, _steps.start(runs.programs[0], inputs, starts))

        def spread(leaf: Any) -> np.ndarray:
            shape = (1, *leaf.shape[:2], len(runs.recorded), *leaf.shape[2:])
            return np.broadcast_to(np.zeros((), leaf.dtype), shape)

        with self._settings.on(None):
            return jax.tree.map(spread, jax.eval_shape(one, inputs, starts))

    def _placed(self, device: Any) -> tuple[Inputs, Array | None]:
        """What runs read on a device, and the examples of each step, of mini-batches."""
        with self._lock:
            if not self._inputs:
                objective, program, order = self._runs.objective, self._runs.programs[0], None
                weight = _steps.total_weight(objective.traced_losses, objective.params, objective.data)
                if program.batch_size is not None:
                    order = _steps.batch_order(self._runs.key, objective.n, program.batch_size, self._runs.steps)
                self._inputs[None] = self._runs.inputs._replace(weight=weight), order
            if device not in self._inputs:
                self._inputs[device] = jax.device_put(self._inputs[None], device)
            return self._inputs[device]

    def _traced(
        self, tile: int, program: Program, inputs: Inputs, order: Array | None, initial: Params, halfway: Halfway
    ) -> Any:
        """Records, leaves (P, S, recorded steps, …): blocks of `record_every` steps, segment by segment."""
        runs = self._runs
        segments = _segments(program, runs)
        same = f"{segments} {jax.__version__} {__version__}"  # beside the problem, for runs to be gone on with
        states, records, done, first = _begun(program, inputs, initial, halfway.load(same))
        for every, count, last in segments[first:]:
            batches = None if order is None else order[done : done + every * count].reshape(count, every, -1)
            states, part = _steps.advance(program._replace(record_every=every), count, last, inputs, states, batches)
            records.append(_together.on_host(part))  # waits for it: the bar tells the truth, and a stop comes here
            done, first = done + every * count, first + 1
            self._advanced(tile, done / runs.steps)
            halfway.keep(same, lambda states=states, done=done, first=first: _packed(states, records, done, first))
        if not segments[-1][2]:
            end = _together.on_host(_steps.measure_all(program, inputs, states))
            records.append(jax.tree.map(lambda leaf: leaf[None], end))
        return _in_time(records)


def _segments(program: Program, runs: Runs) -> list[tuple[int, int, bool]]:
    """(steps of a block, blocks, whether it also records the end) of each compiled call.

    Where one like the last comes before, both are one program, and the end is recorded by itself.
    """
    every, plan = program.record_every, runs.plan
    count = math.prod(plan.block)
    whole, rest = divmod(runs.steps, every)
    kept = count * runs.record_bytes
    share = (program.batch_size or program.num_examples) / program.num_examples
    work = max(1.0, plan.work * (every * share + 1) * count)  # of a block of steps, and of what is measured between
    segment = max(1, min(int(SEGMENT_WORK / work), plan.memory // kept))
    blocks = [(every, min(segment, whole - i)) for i in range(0, whole, segment)] + [(rest, 1)] * (rest > 0)
    return [(*block, False) for block in blocks[:-1]] + [(*blocks[-1], blocks[-1] not in blocks[:-1])]


def _begun(program: Program, inputs: Inputs, initial: Params, kept: Any) -> tuple[State, list[Any], int, int]:
    """(states, records so far, steps and compiled calls that made them): what was kept, else the start."""
    states = _steps.start(program, inputs, initial)
    if kept is None:
        return states, [], 0, 0
    shapes = jax.eval_shape(lambda: _steps.measure_all(program, inputs, states))
    leaves, structure = jax.tree.flatten((states, shapes))
    stored = [_trees.from_numbers(kept[f"leaf{i}"], leaf) for i, leaf in enumerate(leaves)]
    states, records = structure.unflatten(stored)
    return states, [records], int(kept["done"]), int(kept["calls"])


def _packed(states: State, records: list[Any], done: int, calls: int) -> dict[str, np.ndarray]:
    records[:] = [_joined(records)]
    leaves = [_trees.as_numbers(leaf) for leaf in jax.tree.leaves((states, records[0]))]
    return {"done": np.array(done), "calls": np.array(calls)} | {f"leaf{i}": leaf for i, leaf in enumerate(leaves)}


def _joined(records: list[Any]) -> Any:
    return records[0] if len(records) == 1 else jax.tree.map(lambda *parts: np.concatenate(parts), *records)


def _in_time(records: list[Any]) -> Any:
    """Records (count, P, S, …), one part after another, as arrays (P, S, steps, …) that may be written to."""
    moved = [jax.tree.map(lambda leaf: np.moveaxis(leaf, 0, 2), part) for part in records]

    def whole(*parts: np.ndarray) -> jax.ShapeDtypeStruct:
        shape = parts[0].shape
        return jax.ShapeDtypeStruct((*shape[:2], sum(p.shape[2] for p in parts), *shape[3:]), parts[0].dtype)

    room = _room(jax.tree.map(whole, *moved))
    return jax.tree.map(lambda out, *parts: np.concatenate(parts, axis=2, out=out), room, *moved)


def _room(shapes: Any) -> Any:
    """Memory for arrays of these shapes, in C order; for the small ones all in one piece, which each of them keeps.

    Linux gives large pages to what NumPy allocates from LARGE bytes on, and the first touch of a page takes longer
    than to copy what it holds: six arrays of 2 MB, filled one by one in 6.2 ms, take 1.6 in one piece.
    """
    leaves, structure = jax.tree.flatten(shapes)
    sizes = [math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves]
    shares = [-(-size // ALIGNED) * ALIGNED if size < LARGE else 0 for size in sizes]
    pieces = np.split(np.empty(sum(shares), np.uint8), np.cumsum(shares)[:-1])
    found = [
        piece[:size].view(leaf.dtype).reshape(leaf.shape) if size < LARGE else np.empty(leaf.shape, leaf.dtype)
        for leaf, size, piece in zip(leaves, sizes, pieces, strict=True)
    ]
    return structure.unflatten(found)


def _rows(tree: Params, rows: np.ndarray) -> Params:
    return jax.tree.map(lambda leaf: leaf if len(rows) == len(leaf) else leaf[rows], tree)
