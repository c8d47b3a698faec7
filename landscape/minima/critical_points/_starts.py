"""The starts of `critical_points`: given, or drawn by a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis import _arguments

SPREAD = 3.0  # standard deviation of starts without a box


def starts(given: Params | None, moving: Params, params: Params, key: Any, num_starts: int, box: Any) -> Params:
    """What moves of the starts, with a leading axis on every leaf, in float64.

    moving: what moves of the params, as NumPy arrays in float64; params: the objective's own.
    """
    if (given is None) == (key is None):
        what = "neither is given" if given is None else "both are given"
        raise TypeError(
            f"`starts` or `key` is needed, one of them; {what}. Give params with a leading axis on every leaf, or "
            "key=jax.random.key(0), with a box to draw from."
        )
    if given is not None:
        if box is not None:
            raise TypeError("`box` is given beside `starts`; it belongs to `key`, which draws starts from it.")
        return _arguments.starts(given, _trees.merged(moving, params))[0]
    _checks.random_key("key", key)
    count = _checks.count("num_starts", num_starts)
    leaves, structure = jax.tree.flatten(moving)
    keys = jax.random.split(key, len(leaves))
    names = list(_trees.named_leaves(moving))
    if box is None:
        drawn = [
            leaf + SPREAD * _numbers(jax.random.normal, k, count, leaf) for k, leaf in zip(keys, leaves, strict=True)
        ]
        return structure.unflatten(drawn)
    bounds = _bounds(box, dict(zip(names, leaves, strict=True)))
    drawn = [
        bounds[name][0] + (bounds[name][1] - bounds[name][0]) * _numbers(jax.random.uniform, k, count, leaf)
        for name, k, leaf in zip(names, keys, leaves, strict=True)
    ]
    return structure.unflatten(drawn)


def _numbers(draw: Any, key: Array, count: int, leaf: np.ndarray) -> np.ndarray:
    return np.asarray(draw(key, (count, *leaf.shape), np.float64))


def _bounds(box: Any, leaves: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The lower and the upper bounds of each leaf's entries."""
    if not isinstance(box, Mapping):
        box = dict.fromkeys(leaves, box)
    known = {name: (name, ()) for name in leaves}
    for name, entries in _trees.entry_names(leaves).items():
        known |= {entry: (name, i) for entry, i in zip(entries, np.ndindex(leaves[name].shape), strict=True)}
    out = {name: (np.full(leaf.shape, np.nan), np.full(leaf.shape, np.nan)) for name, leaf in leaves.items()}
    for name, pair in sorted(box.items(), key=lambda item: item[0] not in leaves):  # an entry overrules its leaf
        if name not in known:
            raise ValueError(f"`box` names {name!r}; the params have {', '.join(known)}.")
        leaf, index = known[name]
        for bound, value in zip(out[leaf], _pair(name, pair), strict=True):
            bound[index] = value
    for name, (low, _) in out.items():
        if np.isnan(low).any():
            missing = next(entry for entry, (leaf, i) in known.items() if leaf == name and np.isnan(low[i]).any())
            raise ValueError(f"`box` says nothing of {missing!r}; give (low, high) of it, or one pair for all entries.")
    return out


def _pair(name: str, pair: Any) -> tuple[float, float]:
    array = _checks.numeric(f"box {name!r}", pair)
    if array.shape != (2,) or not np.isfinite(array).all() or not array[0] < array[1]:
        raise ValueError(
            f"`box` has {pair!r} for {name or 'params'!r}; give two finite numbers, (low, high), low < high."
        )
    return float(array[0]), float(array[1])
