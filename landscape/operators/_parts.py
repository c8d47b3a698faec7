"""Which leaves an operator is over, and what its losses are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.extend.core as jex
import numpy as np

from landscape import _cost, _jaxprs, _trees
from landscape._trees import Params
from landscape.objectives import objective as _objective

# On arrays that depend on params. A largest entry (reduce_max) is a part of every stable softmax, and cancels there.
KINKED = {
    "max": "max",
    "min": "min",
    "abs": "abs",
    "sign": "sign",
    "clamp": "clamp",
    "reduce_window_max": "max pooling",
    "reduce_window": "max pooling",
    "sort": "sort",
}
COMPARISONS = {"gt", "ge", "lt", "le"}
RULES = {"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}
losses_and_weights = _objective.losses_and_weights


def layers(params: Params) -> dict[str, tuple[str, ...]]:
    """The leaves that move, by what holds them: {"layer1": ("layer1/W", "layer1/b"), …}, for `leaves=`.

    >>> import landscape as ls
    >>> ls.layers({"dense": {"kernel": 1.0, "bias": 0.0}, "scale": 2.0})
    {'dense': ('dense/bias', 'dense/kernel'), 'scale': ('scale',)}
    """
    found: dict[str, list[str]] = {}
    for name, leaf in _trees.named_leaves(params).items():
        if isinstance(leaf, float) or _trees.is_floating(leaf):
            found.setdefault(name.rpartition("/")[0] or name, []).append(name)
    return {layer: tuple(names) for layer, names in found.items()}


def chosen(params: Params, leaves: str | Sequence[str] | None) -> Params:
    """What moves of the params, None in place of leaves that are not asked for."""
    moving = _trees.floating(params)
    if leaves is None:
        return moving
    wanted = [leaves] if isinstance(leaves, str) else list(leaves)
    known = list(_trees.named_leaves(moving))
    for name in wanted:
        if not isinstance(name, str) or not any(_inside(leaf, name) for leaf in known):
            raise ValueError(
                f"`leaves` has {name!r}, which names no leaf that moves; the params have {', '.join(known)}. Give "
                "names of leaves, or of what holds them."
            )
    if not wanted:
        raise ValueError("`leaves` is empty; name one leaf at least, or leave it out for all.")
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if any(_inside(_trees.path_name(path), name) for name in wanted) else None, moving
    )


def like(moving: Params, tree: Params) -> Params:
    """`tree`, of as many leaves as the params that move, with None where `moving` has it."""
    return jax.tree.map(
        lambda own, leaf: None if own is None else leaf, moving, tree, is_leaf=lambda leaf: leaf is None
    )


def _inside(leaf: str, name: str) -> bool:
    return leaf == name or leaf.startswith(f"{name}/")


def find_kinks(jaxpr: Any, depends: Sequence[bool], found: dict[str, None]) -> list[bool]:
    """Add the kinks of a program to `found`; which of its results depend on params, given which arguments do."""
    known = dict(zip(jaxpr.invars, depends, strict=True))
    compared: set[Any] = set()

    def of(value: Any) -> bool:
        return not isinstance(value, jex.Literal) and known.get(value, False)

    for equation in jaxpr.eqns:
        name, inputs = equation.primitive.name, equation.invars
        touched = any(of(v) for v in inputs) and name != "stop_gradient"
        out = [touched] * len(equation.outvars)
        parts = _jaxprs.inner(equation)
        if touched and name in RULES:
            _find_in_rule(parts, found)
        elif touched and name == "select_n" and not isinstance(inputs[0], jex.Literal) and inputs[0] in compared:
            found["choice by comparison"] = None
        elif touched and name in KINKED and not any(_is_infinite(v) for v in inputs):
            found[KINKED[name]] = None
        elif touched and parts:
            for part in parts:
                body = _jaxprs.opened(part)
                given = [of(v) for v in inputs][-len(body.invars) :]
                given = given if len(given) == len(body.invars) else [True] * len(body.invars)
                inner = find_kinks(body, given, found)
                out = inner if name in _jaxprs.GROUPS and len(inner) == len(out) else out
        if (name in COMPARISONS and touched) or (
            name in ("and", "or", "not", "broadcast_in_dim", "reshape")
            and any(not isinstance(v, jex.Literal) and v in compared for v in inputs)
        ):
            compared.update(equation.outvars)
        known.update(zip(equation.outvars, out, strict=True))
    return [of(v) for v in jaxpr.outvars]


def _is_infinite(value: Any) -> bool:
    """max(z, −∞), in the stable softmax of JAX, is z."""
    return isinstance(value, jex.Literal) and np.ndim(value.val) == 0 and bool(np.isinf(value.val))


def _find_in_rule(parts: list[Any], found: dict[str, None]) -> None:
    """A function with a derivative of its own is smooth unless it only compares: max(z, 0), and no exponential."""
    names: list[str] = []

    def collect(jaxpr: Any) -> None:
        for equation in _jaxprs.opened(jaxpr).eqns:
            names.append(equation.primitive.name)
            label = equation.params.get("name")
            if label in ("relu", "relu6", "leaky_relu"):
                found[label] = None
            for part in _jaxprs.inner(equation):
                collect(part)

    before = len(found)
    for part in parts:
        collect(part)
    if len(found) == before and not _cost.FUNCTIONS & set(names):
        found.update({KINKED[name]: None for name in names if name in KINKED})
