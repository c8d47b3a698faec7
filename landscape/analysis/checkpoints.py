"""`trajectory`: one's own training run, checkpoint by checkpoint, as a Trajectory."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping, MappingView, Sequence, Sized
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis import _kept_checkpoints
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.charts.trajectory import Trajectory, from_records, projected
from landscape.objectives.objective import Objective, check_objective
from landscape.surfaces.evaluate import evaluate, shapes_of
from landscape.surfaces.provenance import describe
from landscape.tiles.progress import Progress


class StepsMismatch(ValueError):
    """`steps` and the checkpoints differ in number. `trajectory` is what was measured, its steps being 0, 1, 2, …"""

    def __init__(self, message: str, trajectory: Trajectory) -> None:
        super().__init__(message)
        self.trajectory = trajectory


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class _Still:
    """A chart of one point, a checkpoint: what lets `evaluate` measure there."""

    params: Params
    names: tuple[str, ...] = field(default=("checkpoint",), metadata={"static": True})

    def point(self, coordinates: Sequence[Array]) -> Params:
        return self.params

    def coordinates(self, params: Params) -> tuple[Array, Array]:
        raise NotImplementedError


def trajectory(
    objective: Objective,
    checkpoints: Iterable[Params],
    steps: Sequence[int] | np.ndarray | None = None,
    *,
    record: Chart | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = "highest",
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
) -> Trajectory:
    """Measure the checkpoints of a training run: what `descend` returns for runs of its own.

    checkpoints: any iterable of params like `objective.params`: a list, or a generator that trains or loads them. Each
                 is asked for, measured and let go before the next, in order. Numbers are read in the dtypes of the
                 objective's params; a leaf left out (None) where that has a frozen one is taken from there.
    steps:       their step numbers, strictly increasing; 0, 1, 2, … by default.
    record:      a chart: keep coordinates and off-chart residual instead of the params (for large models).
    batch_size, memory, precision, progress: as in `evaluate`.
    store:       a path or URL where each checkpoint's numbers are kept once they are measured. The same call again
                 asks for all checkpoints, and measures those that are missing. Their number must be known.

    Returns a Trajectory over `step` with risk, objective, gradient_norm (of the minimum-norm subgradient of risk +
    penalty) and finite, all on the objective's data and compiled once; params are copied to the host.
    Raises: ValueError or TypeError, naming the argument, the checkpoint and its leaf. Where only the end tells that
    `steps` has another length than the checkpoints, the error's attribute `trajectory` holds what was measured.

        >>> import landscape as ls
        >>> pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
        >>> run = ls.trajectory(pair, ({"w": 0.01 * step, "b": 0.0} for step in (0, 50, 100)), [0, 50, 100])
        >>> [round(float(risk), 4) for risk in run.data.risk]
        [0.6931, 0.4741, 0.3133]
    """
    started = time.perf_counter()
    check_objective(objective)
    _checks.x64_matches("objective", objective.params)
    if record is not None:
        _chart.check("record", record)
        _chart.check_fits("record", record, objective.params)
    _check_checkpoints(checkpoints, objective.params)
    length = len(checkpoints) if isinstance(checkpoints, Sized) else None
    numbers = None if steps is None else _checked_steps(steps)
    if numbers is not None and length is not None and len(numbers) != length:
        raise ValueError(f"{_lengths(numbers, length)}; give each checkpoint its step.")
    options: dict[str, Any] = {"batch_size": batch_size, "memory": memory, "precision": precision, "progress": False}
    look = partial(_look, objective, record, options)
    if store is not None:
        return _in_store(store, objective, checkpoints, numbers, length, record, options, progress)
    columns: list[list[Any]] = []
    with Progress(length, "checkpoints", progress) as bar:
        # `map` lets go of a checkpoint before it asks for the next; a loop variable would hold two of them.
        for leaves in map(look, itertools.count(), checkpoints):
            columns = columns or [[] for _ in leaves]
            for column, leaf in zip(columns, leaves, strict=True):
                column.append(leaf)
            bar.update(1)
    if not columns:
        raise ValueError("`checkpoints` is empty; give at least one, or a generator that has not been used up yet.")
    said = {"precision": precision, "wall_seconds": round(time.perf_counter() - started, 6)}
    return _finished(objective, record, columns, numbers, describe(objective, None) | said)


def _in_store(
    store: str | os.PathLike[str],
    objective: Objective,
    checkpoints: Iterable[Params],
    numbers: np.ndarray | None,
    length: int | None,
    record: Chart | None,
    options: dict[str, Any],
    progress: bool | None,
) -> Trajectory:
    steps = np.arange(length or 0) if numbers is None else numbers
    if not len(steps):
        raise ValueError("`store` needs to know how many checkpoints come: give their `steps`, or a list of them.")
    if record is None and not _trees.is_nested_dict(objective.params):
        raise ValueError("`store` keeps params that are nested dictionaries; give record= a chart to keep coordinates.")
    attributes = describe(objective, None) | {"precision": options["precision"]}

    def one(columns: list[Any], step: np.ndarray) -> Trajectory:
        return _finished(objective, record, [[column] for column in columns], step, dict(attributes))

    run, came = _kept_checkpoints.filled(
        *(store, objective, checkpoints, steps, record, options),
        example=partial(_example, objective, record, options),
        checked=_checked,
        look=partial(_look, objective, record, options),
        one=one,
        progress=progress,
    )
    if came != len(steps):
        raise StepsMismatch(f"{_lengths(steps, came)}; give each its step. Those that came are in {store!r}.", run)
    return run


def _example(objective: Objective, record: Chart | None, options: dict[str, Any]) -> list[Any]:
    """What `_look` would return of the objective's own params, nothing measured."""
    still: Any = _Still(objective.params)
    shapes = shapes_of(objective, still, {"checkpoint": [0.0]}, ("gradient_norm",), options)
    measured = [np.zeros((), shapes[name].dtype)[()] for name in ("risk", "objective", "gradient_norm")]
    if record is not None:
        one = jax.tree.map(lambda leaf: leaf[None], _trees.floating(objective.params))
        coordinates, residual = projected(record, one, objective.params)
        return [*measured, coordinates[0], residual[0]]
    return [*measured, *map(_trees.as_numbers, jax.tree.leaves(objective.params))]


def _look(
    objective: Objective, record: Chart | None, options: dict[str, Any], index: int, checkpoint: Params
) -> list[Any]:
    """What is kept of one checkpoint: risk, objective, gradient_norm; coordinates and residual, or params' leaves."""
    params = _checked(f"checkpoints[{index}]", checkpoint, objective.params)
    still: Any = _Still(params)
    cell = evaluate(objective, still, {"checkpoint": [0.0]}, quantities=("gradient_norm",), **options)
    measured = [cell[name].to_numpy()[0] for name in ("risk", "objective", "gradient_norm")]
    if record is not None:
        one = jax.tree.map(lambda leaf: leaf[None], _trees.floating(params))
        coordinates, residual = projected(record, one, params)
        return [*measured, coordinates[0], residual[0]]
    # Copies: a training loop may reuse its buffers.
    return [*measured, *(np.array(_trees.as_numbers(leaf)) for leaf in jax.tree.leaves(params))]


def _finished(
    objective: Objective,
    record: Chart | None,
    columns: list[list[Any]],
    steps: np.ndarray | None,
    attributes: dict[str, Any],
) -> Trajectory:
    count = len(columns[0])
    leaves = list(_stacked(columns))
    names = ("risk", "objective", "gradient_norm", *(() if record is None else ("coordinates", "residual")))
    records: dict[str, Any] = dict(zip(names, leaves, strict=False))
    records["finite"] = np.isfinite(records["objective"]) & np.isfinite(records["gradient_norm"])
    if record is None:
        examples, structure = jax.tree.flatten(objective.params)
        stacked = zip(leaves[len(names) :], examples, strict=True)
        records["params"] = structure.unflatten([_as_keys(leaf, example) for leaf, example in stacked])
    measured = from_records(
        jax.tree.map(lambda leaf: leaf[None, None, None], records),
        sizes={"optimizer": None, "penalty": None, "start": None},
        steps=list(range(count)) if steps is None or len(steps) != count else steps.tolist(),
        chart=record,
        attributes=attributes,
    )
    if steps is not None and len(steps) != count:
        raise StepsMismatch(
            f"{_lengths(steps, count)}; give each its step. What was measured is this error's `trajectory`, with the "
            "steps 0, 1, 2, …: `except ValueError as error: run = error.trajectory`.",
            measured,
        )
    return measured


def _stacked(columns: list[list[Any]]) -> Iterator[np.ndarray]:
    """Each column as one array; its parts are freed at once."""
    for column in columns:
        yield np.stack(column)
        column.clear()


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _as_keys(numbers: np.ndarray, example: Array) -> np.ndarray | Array:
    """The inverse of `_trees.as_numbers`."""
    if not _is_key(example):
        return numbers
    return jax.random.wrap_key_data(jnp.asarray(numbers), impl=jax.random.key_impl(example))


def _lengths(steps: np.ndarray, count: int) -> str:
    return f"`steps` has {len(steps)} numbers, but `checkpoints` {count} params"


def _checked_steps(steps: Any) -> np.ndarray:
    """The step numbers as integers, strictly increasing."""
    if isinstance(steps, Iterator):
        raise TypeError(
            f"`steps` is {_checks.kind(steps)}; give a list of step numbers, such as list(range(0, 100, 10))."
        )
    numbers = _checks.numeric("steps", steps)
    if numbers.ndim != 1:
        raise ValueError(f"`steps` has shape {numbers.shape}; give a 1-D list, one step number a checkpoint.")
    _checks.finite("steps", numbers, "Step numbers are whole")
    whole = numbers.astype(np.int64)
    if (whole != numbers).any():
        raise ValueError(f"`steps` holds {numbers[whole != numbers][0]}; step numbers are whole.")
    fall = np.flatnonzero(np.diff(whole) <= 0)
    if len(fall):
        i = int(fall[0])
        raise ValueError(
            f"`steps` must be strictly increasing; steps[{i}] is {whole[i]} and steps[{i + 1}] is {whole[i + 1]}. "
            "Give the checkpoints in the order in which they were passed."
        )
    return whole


def _check_checkpoints(checkpoints: Any, params: Params) -> None:
    """Raise unless it can be gone through, and is not one tree of params itself."""
    give = "give an iterable of params: [params] for one, a list, or a generator that loads one after another"
    if isinstance(checkpoints, (str, Path)):
        raise TypeError(f"`checkpoints` is a path ({str(checkpoints)!r}); {give}.")
    if isinstance(checkpoints, (Iterator, MappingView)):  # of which JAX makes no tree
        return
    same = jax.tree.structure(checkpoints) == jax.tree.structure(params)
    if same and jax.tree_util.all_leaves([checkpoints]):  # a loader is a leaf to JAX, as params of one array are
        same = getattr(checkpoints, "shape", None) == np.shape(params)
    if same:
        raise TypeError(
            f"`checkpoints` is one tree of params; give an iterable of them: [params]{_unstack(checkpoints, params)}."
        )
    if isinstance(checkpoints, Mapping):
        raise TypeError(
            f"`checkpoints` is {_checks.kind(checkpoints)}; {give}. Of a mapping step -> params give its values(), "
            "with steps=list(mapping)."
        )
    if not isinstance(checkpoints, Iterable):
        raise TypeError(f"`checkpoints` is {_checks.kind(checkpoints)}; {give}.")
    _check_apart(checkpoints)


def _check_apart(checkpoints: Iterable[Params]) -> None:
    """Raise where a list holds the same NumPy arrays again and again: a loop that changes them in place."""
    if not isinstance(checkpoints, (list, tuple)) or len(checkpoints) < 2:
        return
    first = jax.tree.leaves(checkpoints[0])
    if all(isinstance(leaf, np.ndarray) and leaf.flags.writeable for leaf in first) and all(
        [id(leaf) for leaf in jax.tree.leaves(other)] == [id(leaf) for leaf in first] for other in checkpoints[1:]
    ):
        raise ValueError(
            "`checkpoints` holds the same arrays again and again, which show the last step only; keep copies: "
            "checkpoints.append(jax.tree.map(np.copy, params))."
        )


def _unstack(checkpoints: Params, params: Params) -> str:
    """What to do with params stacked along a leading axis."""
    pairs = list(zip(jax.tree.leaves(checkpoints), jax.tree.leaves(params), strict=True))
    if not all(np.ndim(leaf) == np.ndim(example) + 1 for leaf, example in pairs):
        return ""
    count = np.shape(pairs[0][0])[0]
    return f"; of stacked ones, (jax.tree.map(lambda leaf: leaf[i], checkpoints) for i in range({count}))"


def _checked(name: str, checkpoint: Params, params: Params) -> Params:
    """The checkpoint as arrays with the dtypes of `params`, and on their devices where these are several."""
    structure = jax.tree.structure(params)
    if jax.tree.structure(checkpoint) == jax.tree.structure(_trees.floating(params)) != structure:
        checkpoint = _trees.merged(checkpoint, params)
    if jax.tree.structure(checkpoint) != structure:
        got, wanted = (list(_trees.named_leaves(tree)) for tree in (checkpoint, params))
        differ = {"missing": [n for n in wanted if n not in got], "unknown": [n for n in got if n not in wanted]}
        if isinstance(checkpoint, Mapping) and jax.tree.structure(checkpoint.get("params")) == structure:
            raise ValueError(f'`{name}` holds all variables; give its params: {name}["params"].')
        listed = "".join(f"; {what}: {', '.join(map(repr, names))}" for what, names in differ.items() if names)
        raise ValueError(
            f"`{name}` must have the structure of the objective's params{listed}.\n"
            + _trees.layouts(params=params, checkpoint=checkpoint)
        )
    named = _trees.named_leaves(checkpoint).items()
    leaves = [
        _checked_leaf(f"`{name}` leaf {path or 'params'!r}", leaf, example)
        for (path, leaf), example in zip(named, jax.tree.leaves(params), strict=True)
    ]
    return structure.unflatten(leaves)


def _checked_leaf(name: str, leaf: Any, example: Array) -> Array:
    if isinstance(leaf, Array) and leaf.is_deleted():
        raise ValueError(
            f"{name} was donated to a later step of training and is gone; yield the params before the next step, or "
            "keep copies on the host: jax.device_get(params)."
        )
    array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    if _trees.is_floating(example):
        fits, wanted = jnp.issubdtype(array.dtype, jnp.floating), "floating-point numbers"
        fits = fits or (jnp.issubdtype(array.dtype, jnp.integer) and not hasattr(leaf, "dtype"))  # a plain 0
    else:
        fits, wanted = array.dtype == example.dtype or not hasattr(leaf, "dtype"), str(example.dtype)
    if not fits:
        raise TypeError(f"{name} is {array.dtype}; the objective's holds {wanted}.")
    if array.shape != example.shape:
        raise ValueError(f"{name} has shape {array.shape}; the objective's has {example.shape}.")
    if len(example.sharding.device_set) > 1:
        return jax.device_put(jnp.asarray(array, example.dtype), example.sharding)
    return jnp.asarray(array, example.dtype)
