"""Trees that should fit together: what may be a leaf, and which leaf does not fit."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from landscape import _checks, _trees
from landscape._trees import Params

SHOWN = 3  # leaves that a message names; a model has hundreds


def params_of(name: str, tree: Params) -> Params:
    """The tree with JAX arrays as leaves; raises as `checked` does."""
    return jax.tree.map(_trees.as_array, checked(name, tree))


def checked(name: str, tree: Params) -> Params:
    """The tree with arrays as leaves, at least one of them floating-point: Python floats become arrays.

    Raises: TypeError, naming the leaf, for what is no array (a Python number that is not a float, a function), and for
    complex numbers.
    """
    for path, leaf in _trees.named_leaves(tree).items():
        described = f"`{name}` {f'leaf {path!r} ' if path else ''}is"
        if hasattr(leaf, "shape"):
            if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
                raise TypeError(f"{described} {leaf.dtype}; split it into a real and an imaginary part.")
        elif isinstance(leaf, (int, complex)):
            raise TypeError(
                f"{described} {leaf!r}, a Python {type(leaf).__name__}; parameters are floating-point: write 0.0 "
                "instead of 0. An integer that belongs to the model is an array, np.asarray(…), and frozen."
            )
        elif not isinstance(leaf, float):
            split = "parameters are numbers or arrays: split a model with equinox.partition or flax.nnx.split"
            raise TypeError(
                f"{described} {_checks.kind(leaf)}; "
                + ("give its params: objective.params." if hasattr(leaf, "params") else f"{split}.")
            )
    arrays = jax.tree.map(lambda leaf: leaf if hasattr(leaf, "shape") else jnp.asarray(leaf), tree)
    if not any(_trees.is_floating(leaf) for leaf in jax.tree.leaves(arrays)):
        raise TypeError(f"`{name}` has no floating-point leaf, so nothing moves; write 0.0 instead of 0.")
    return arrays


def moving(name: str, tree: Params, params: Params, params_name: str) -> Params:
    """The leaves of `tree` that move in `params`, as floating-point arrays no wider than sums over those.

    Raises: as `matched` does; TypeError where a leaf is no number.
    """
    tree, like = matched(name, tree, params, params_name), _trees.floating(params)
    paths = iter(_trees.named_leaves(like))
    return jax.tree.map(lambda leaf, of: _as_floating(name, next(paths), leaf, of), tree, like)


def matched(name: str, tree: Params, params: Params, params_name: str) -> Params:
    """The leaves of `tree` that move in `params`, as they are.

    tree: with the structure of `params` or of `_trees.floating(params)`.
    Raises: ValueError, naming the leaf, where structure or shapes differ.
    """
    wanted = _trees.floating(params)
    if jax.tree.structure(tree) == jax.tree.structure(params):
        tree = _trees.floating(tree, like=params)
    found = jax.tree.structure(tree)
    if found != jax.tree.structure(wanted) or _shapes(tree) != _shapes(wanted):
        frozen = set(_trees.named_leaves(params)) - set(_trees.named_leaves(wanted))
        given = {path: leaf for path, leaf in _trees.named_leaves(tree).items() if path not in frozen}
        what = misfits(given, _trees.named_leaves(wanted), lambda leaf: f"of shape {np.shape(leaf)}")
        what = what or _containers(found, jax.tree.structure(wanted))
        raise ValueError(f"`{name}` must match `{params_name}` leaf for leaf: {what}.")
    return tree


def misfits(found: Mapping[str, Any], wanted: Mapping[str, Any], described: Callable[[Any], str]) -> str:
    """Which named leaves differ in their description, in words; "" where none does."""
    wrong = [
        f"leaf {path!r} is {described(found[path])}, wanted {described(leaf)}"
        if path in found
        else f"leaf {path!r}, {described(leaf)}, is missing"
        for path, leaf in wanted.items()
        if path not in found or described(found[path]) != described(leaf)
    ]
    wrong += [f"leaf {path!r} is not wanted" for path in found if path not in wanted]
    more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return "; ".join(wrong[:SHOWN]) + more


def is_concrete(*trees: Params) -> bool:
    """Whether all leaves hold numbers that can be looked at: none is traced."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def _shapes(tree: Params) -> list[tuple[int, ...]]:
    return [np.shape(leaf) for leaf in jax.tree.leaves(tree)]


def _containers(found: Any, wanted: Any) -> str:
    """The first place where two structures with equal leaves differ."""
    ours, theirs = (structure.node_data() for structure in (found, wanted))
    kinds = [node[0].__name__ if node else "leaf" for node in (ours, theirs)]
    if kinds[0] != kinds[1]:
        return f"it holds a {kinds[0]} where a {kinds[1]} is wanted"
    pairs = zip(found.children(), wanted.children(), strict=False)
    inner = next((text for pair in pairs if pair[0] != pair[1] and (text := _containers(*pair))), "")
    return inner or f"its {kinds[0]} has other static fields"


def _as_floating(name: str, path: str, leaf: Any, like: Any) -> jax.Array:
    number = isinstance(leaf, (bool, int, float)) if not hasattr(leaf, "dtype") else not _is_exotic(leaf.dtype)
    if not number:
        came = f"of dtype {leaf.dtype}" if hasattr(leaf, "dtype") else _checks.kind(leaf)
        raise TypeError(f"`{name}` leaf {path!r} is {came}; give real numbers.")
    array, wide = _trees.as_array(leaf), _trees.wide(like)
    return array if _trees.is_floating(array) and array.dtype.itemsize <= wide.itemsize else array.astype(wide)


def _is_exotic(dtype: Any) -> bool:
    return not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_))
