"""Which leaves an operator is over, and what its losses are made of."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from landscape import _checks, _trees
from landscape._trees import Params


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
    if not isinstance(leaves, str) and not hasattr(leaves, "__iter__"):
        raise TypeError(f'`leaves` is {_checks.kind(leaves)}; give names of leaves, or of what holds them: "layer1".')
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


def vector_like(moving: Params, vector: Params) -> Params:
    """`vector`, of the leaves that `moving` has.

    Raises: ValueError for another structure or other shapes.
    """
    try:
        given = like(moving, vector)
        fits = jax.tree.map(jnp.shape, given) == jax.tree.map(jnp.shape, moving)
    except (TypeError, ValueError):  # no number, or another structure
        given, fits = None, False
    if fits:
        check_real(given, "vector")
    if not fits:
        raise ValueError(
            "`vector` must be like the params, or like the leaves of them that are chosen.\n"
            + _trees.layouts(wanted=moving, got=vector)
        )
    return given


def check_real(params: Params, what: str = "params") -> None:
    """Raise TypeError for complex numbers, of which JAX would drop the imaginary part."""
    for name, leaf in _trees.named_leaves(params).items():
        if jnp.iscomplexobj(leaf):
            raise TypeError(f"`{what}` leaf {name or what!r} is complex; split it into a real and an imaginary part.")


def _inside(leaf: str, name: str) -> bool:
    return leaf == name or leaf.startswith(f"{name}/")
