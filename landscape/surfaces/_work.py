"""The work of a tile: its cells through all data, in the plan that fits into the device's memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from landscape import _trees
from landscape._version import __version__
from landscape.objectives import data as _data
from landscape.objectives.data import Batch, Batches, num_examples
from landscape.surfaces import _cells, _dataset, _devices, _together
from landscape.surfaces._plan import Plan
from landscape.surfaces._task import EVALUATION, Task
from landscape.tiles.halfway import Halfway
from landscape.tiles.manifest import Named
from landscape.tiles.run import Tile
from landscape.tiles.tiling import Tiling


class Work:
    """Computes tiles of one or several splits of the data, on any device.

    share(tile, part): told which part of a tile is done where it takes several batches.
    together: the model is sharded over several processes, which must all run the same plan.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        tiling: Tiling,
        swept: bool,
        precision: str,
        share: Callable[[int, float], None],
        together: bool = False,
    ) -> None:
        self.plans = [task.plan for task in tasks]  # half as many cells in flight where the device ran out of memory
        self._tasks, self._tiling, self._swept, self._share = tasks, tiling, swept, share
        self._settings = _devices.settings(precision)
        self._inputs: dict[tuple[Any, int], Task] = {}
        self._lock, self._together = threading.Lock(), together

    def __call__(self, tile: int, device: Any, halfway: Halfway) -> Tile:
        """The arrays of a tile, named, and how many cells were in flight where these were fewer than planned."""
        split = self._tiling.place(tile).get("split", 0)
        with self._settings.on(device):
            task = self._placed(device, split)
            values = self._fitting(tile, task, split, halfway)
        named = _dataset.named(values, tuple(task.axes), self._swept, "split" in self._tiling.dims)
        planned, left = self._tasks[split].plan.in_flight, self.plans[split].in_flight
        return Tile(named, {} if left == planned else {"in_flight": left, "planned": planned})

    def shapes(self) -> dict[str, Named]:
        """Arrays like those of a tile, that take no memory: traced, not computed."""
        task, plan = self._tasks[0], self.plans[0]
        shapes = ((size, *p.shape[1:]) for size, p in zip(task.tile_shape, task.positions, strict=True))
        positions = tuple(np.zeros(s, p.dtype) for s, p in zip(shapes, task.positions, strict=True))
        with self._settings.on(None):
            values = _values_of(task, plan, positions, self._used(0))
        named = _dataset.named(_dataset.shapes(values), tuple(task.axes), self._swept, "split" in self._tiling.dims)
        return _dataset.expanded(named, task.measures.units)

    def _placed(self, device: Any, split: int) -> Task:
        """The task with what it reads on the device; copied once."""
        if device is None:
            return self._tasks[split]
        with self._lock:
            if (device, split) not in self._inputs:
                task = self._tasks[split]
                chart, sweep = jax.device_put((task.chart, task.sweep), device)
                data = jax.device_put(task.data, device) if _data.in_memory(task.data) else task.data
                self._inputs[device, split] = task._replace(chart=chart, sweep=sweep, data=data)
            return self._inputs[device, split]

    def _fitting(self, tile: int, task: Task, split: int, halfway: Halfway) -> Mapping[str, np.ndarray]:
        """The tile with as many cells in flight as fit."""
        positions = self._tiling.take(dict(zip(task.axes, task.positions, strict=True)), tile)
        used = self._used(tile)
        while True:
            plan = self.plans[split]
            try:
                return _through(task, plan, positions, used, lambda part: self._share(tile, part), halfway)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error) or self._together:
                    raise
                if plan.in_flight == 1:
                    error.add_note(
                        "landscape: one cell at a time does not fit into the device's memory; give `evaluate` a "
                        f"smaller batch_size than {plan.batch_size}."
                    )
                    raise
                with self._lock:
                    if self.plans[split] == plan:  # else another device has found out
                        self.plans[split] = plan._replace(in_flight=plan.in_flight // 2)

    def _used(self, tile: int) -> int | None:
        """The points of a list that a tile holds, which may be short; None: a grid's tile is full."""
        return self._tiling.cells(tile) if EVALUATION in self._tasks[0].axes else None


def _values_of(
    task: Task, plan: Plan, positions: tuple[np.ndarray, ...], used: int | None
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of a tile's values, traced."""
    if plan.batch_size >= task.n:
        everything = _data.first_batch(task.data)
        # With all arguments, as a tile has them: what is traced here is then what is compiled there.
        return _cells.whole.eval_shape(task.measures, plan, task.chart, everything, task.sweep, positions, used)
    sums = jax.eval_shape(lambda: _cells.no_sums(task.cost, plan, positions))
    again = _data.first_batch(task.data) if task.measures.curved is not None else None
    return _cells.finish.eval_shape(task.measures, plan, task.chart, task.sweep, positions, sums, again, used)


def _through(
    task: Task,
    plan: Plan,
    positions: tuple[np.ndarray, ...],
    used: int | None,
    share: Callable[[float], None],
    halfway: Halfway,
) -> Mapping[str, np.ndarray]:
    """One tile, batch by batch; while a batch is computed the next is read."""
    measures, chart, sweep, data = task.measures, task.chart, task.sweep, task.data
    if plan.batch_size >= task.n:
        (everything,) = _data.batches(data, plan.batch_size)
        return _together.on_host(_cells.whole(measures, plan, chart, everything, sweep, positions, used))
    known = _data.known_examples(data)
    sums, done, first = _begun(task, plan, positions, halfway)
    for i, (batch, size, start, stop) in _runs(data, plan, first):
        jax.block_until_ready(sums)
        share(done / known if known else 0.0)
        run = plan.of_batch(size)
        sums = _cells.steps(measures, run, size, chart, batch, (start, stop), positions, sums, i == 0, used)
        done += size * (stop - start)
        halfway.keep(_same(plan), lambda i=i, sums=sums, done=done: _packed(i + 1, done, sums))
    again = data if measures.curved is not None else None
    return _together.on_host(_cells.finish(measures, plan, chart, sweep, positions, sums, again, used))


def _begun(task: Task, plan: Plan, positions: tuple[np.ndarray, ...], halfway: Halfway) -> tuple[_cells.Sums, int, int]:
    """(sums, examples that are in them, calls of the compiled function that made them): what was kept, else none."""
    sums, kept = _cells.no_sums(task.cost, plan, positions), halfway.load(_same(plan))
    if kept is None:
        return sums, 0, 0
    leaves, structure = jax.tree.flatten(sums)
    stored = [jax.numpy.asarray(_trees.from_numbers(kept[f"sum{i}"], leaf)) for i, leaf in enumerate(leaves)]
    return structure.unflatten(stored), int(kept["done"]), int(kept["calls"])


def _same(plan: Plan) -> str:
    """What must be the same for sums to be gone on with, beside the problem."""
    return f"{plan} {jax.__version__} {__version__}"


def _packed(calls: int, done: int, sums: _cells.Sums) -> dict[str, np.ndarray]:
    leaves = _together.on_host(jax.tree.leaves(sums))
    counts = {"calls": np.array(calls), "done": np.array(done)}
    return counts | {f"sum{i}": leaf for i, leaf in enumerate(leaves)}


def _runs(data: Batch, plan: Plan, first: int) -> Iterator[tuple[int, tuple[Batch, int, int, int]]]:
    """The calls of the compiled function from the `first` on, numbered."""
    if isinstance(data, Batches) or _data.in_memory(data):
        calls = enumerate(_calls(data, plan, 0))
    else:  # one a batch
        calls = enumerate(_calls(data, plan, first * plan.batch_size), first)
    return ((i, call) for i, call in calls if i >= first)


def _calls(data: Batch, plan: Plan, start: int) -> Iterator[tuple[Batch, int, int, int]]:
    """(examples, batch size, first batch, batch after the last) of each call of the compiled function.

    start: the example to start with, where the data are mapped.
    """
    for part in [data] if _data.in_memory(data) else _data.batches(data, plan.batch_size, start):
        size = min(plan.at_once if isinstance(data, Batches) else plan.batch_size, num_examples(part))
        full, rest = divmod(num_examples(part), size)
        for batch in range(0, full, plan.batches_a_step):
            yield part, size, batch, min(batch + plan.batches_a_step, full)
        if rest:
            yield jax.tree.map(lambda leaf, rest=rest: leaf[-rest:], part), rest, 0, 1
