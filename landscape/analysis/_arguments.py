"""What `descend` is given, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis.optimizers import Optimizer, ProximalGradient
from landscape.charts import chart as _chart
from landscape.objectives import data as _data
from landscape.objectives import objective as _objective
from landscape.objectives.objective import Objective


def check_objective(objective: Any) -> None:
    """Raise unless it is an Objective whose data are in memory."""
    _objective.check_objective(objective)
    if not _data.in_memory(objective.data):
        raise ValueError(
            "`objective` reads its data from disk or batch by batch; descend needs them as arrays in memory. Runs of "
            "your own training loop: ls.trajectory(objective, checkpoints)."
        )


def optimizers(optimizers: Any) -> dict[str, Optimizer]:
    """The optimizers by their labels; "" for one without."""
    mapping = optimizers if isinstance(optimizers, Mapping) else {"": optimizers}
    _checks.labels("optimizers", mapping, "{'adam': optax.adam(0.1)}")
    for label, optimizer in mapping.items():
        name = f"optimizers[{label!r}]" if label else "optimizers"
        give = "an optax optimizer such as optax.adam(0.1), or ls.proximal_gradient(0.1)"
        _checks.instance(name, optimizer, (optax.GradientTransformation, ProximalGradient), give)
    return dict(mapping)


def check_record(objective: Objective, record: Any) -> None:
    """Raise unless it is a chart that leads to params like the objective's, or None."""
    if record is not None:
        _chart.check("record", record)
        _chart.check_fits("record", record, objective.params)


def starts(starts: Params, params: Params) -> tuple[Params, bool]:
    """(what moves of the starts, with a leading axis on every leaf; whether there was one)."""
    if jax.tree.structure(starts) == jax.tree.structure(params):
        _check_frozen(starts, params)
        starts = _trees.floating(starts, like=params)
    params = _trees.floating(params)
    structure = jax.tree.structure(params)
    if jax.tree.structure(starts) != structure:
        listed = isinstance(starts, (list, tuple)) and all(jax.tree.structure(s) == structure for s in starts)
        hint = "\nStack a list of starts: jax.tree.map(lambda *leaves: np.stack(leaves), *starts)."
        raise ValueError(
            "`starts` must have the structure of the objective's params.\n"
            + _trees.layouts(params=params, starts=starts)
            + (hint if listed and starts else "")
        )
    named = _trees.named_leaves(starts)
    leaves = [_checks.numeric(f"starts {name!r}", _addressable(leaf)) for name, leaf in named.items()]
    arrays = jax.tree.map(lambda s, p: s.astype(p.dtype), structure.unflatten(leaves), params)
    named, wanted = _trees.named_leaves(arrays), _trees.named_leaves(params)
    for name, leaf in named.items():
        _checks.finite(f"starts {name!r}", leaf, "Start from finite params")
    if all(leaf.shape == wanted[name].shape for name, leaf in named.items()):
        return jax.tree.map(lambda a: a[None], arrays), False
    counts = {leaf.shape[:1] for leaf in named.values()}
    if len(counts) != 1 or any(leaf.shape[1:] != wanted[name].shape or leaf.ndim == 0 for name, leaf in named.items()):
        raise ValueError(
            "`starts` must have the shapes of the objective's params, or one more leading axis of the same length "
            "on every leaf.\n"
            f"  params: {_trees.layout(params)}\n  starts: {_trees.layout(arrays)}"
        )
    if counts == {(0,)}:
        raise ValueError("`starts` has a leading axis of length 0; give at least one start.")
    return arrays, True


def _check_frozen(starts: Params, params: Params) -> None:
    """Raise ValueError unless frozen leaves are the objective's, or copies of them along a leading axis."""
    for (name, given), own in zip(_trees.named_leaves(starts).items(), jax.tree.leaves(params), strict=True):
        if _trees.is_floating(own):
            continue
        here, there = _trees.as_numbers(given), _trees.as_numbers(own)
        if here.shape not in (there.shape, here.shape[:1] + there.shape) or not np.all(here == there):
            raise ValueError(
                f"`starts` leaf {name!r} is not the objective's. It is frozen ({own.dtype}: only floating-point leaves "
                "move) and part of what is descended: leave it out (None), or descend objective.with_params(params)."
            )


def check_plan(
    objective: Objective,
    steps: int,
    batch_size: int | None,
    key: Array | None,
    record_every: int,
    memory: int | None,
) -> None:
    """Raise unless steps, batches, their key, and memory can be."""
    _checks.count("steps", steps)
    _checks.count("record_every", record_every)
    if memory is not None:
        _checks.count("memory", memory, least=2**20, unit=" bytes")
    if batch_size is None:
        return
    if _checks.count("batch_size", batch_size) > objective.n:
        raise ValueError(
            f"`batch_size` is {batch_size} but there are {objective.n} examples; leave it out for full batches."
        )
    if key is None:
        raise TypeError(
            "`key` is needed beside `batch_size`: it draws the order of the examples; pass jax.random.key(0)."
        )
    _checks.random_key("key", key)


def _addressable(leaf: Any) -> Any:
    """A leaf of which other processes hold parts as a whole; any other as it is."""
    return _trees.as_numbers(leaf) if isinstance(leaf, Array) and not leaf.is_fully_addressable else leaf
