"""Random directions that fit a model's scale: Gaussian, orthogonal inside each filter, as long as its weights."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import _leaves, _span

VECTORS = ("bias", "b", "scale", "offset", "shift", "beta", "gamma")  # last path keys, whatever the number of axes
Axis = int | tuple[int, ...]


def random_directions(
    key: Array,
    params: Params,
    n: int,
    *,
    normalize: Literal["filter", "layer", "global"] = "filter",
    filter_axis: Axis | Mapping[str, Axis] | None = None,
    zero_vectors: bool = True,
) -> tuple[Params, ...]:
    """n random directions at the scale of `params`: the same picture for weights that do the same at another scale.

        draws g₁…gₙ ~ N(0, I);   in each filter F:  q₁…qₙ = Gram–Schmidt(g₁[F]…gₙ[F]),   dᵢ[F] = ‖params[F]‖ · qᵢ

    so that ‖dᵢ[F]‖ = ‖params[F]‖ and ⟨dᵢ[F], dⱼ[F]⟩ = 0 in EVERY filter, hence dᵢ ⊥ dⱼ. That takes n entries: a leaf
    whose filters have fewer is one filter, as for "layer". Leaves that have fewer in all are one filter together, with
    the next smallest leaf in it if they still have fewer.

    key:          a random key; the draw of a leaf depends on the key, the leaf's position and i alone (not on n).
    params:       the center, any pytree. Integer, boolean and random-key leaves are frozen: None in the directions.
    normalize:    what a filter is. "filter": the weights that feed one output unit or channel (Li et al. 2018, section
                  4), NOT the whole tensor; "layer": a leaf; "global": all leaves that move together.
    filter_axis:  the axis that counts the filters of a leaf, for "filter"; never guessed from shapes. Dense kernels of
                  flax and haiku are (in, out), convolutions (…, in, out): -1, the default. Those of equinox and PyTorch
                  are (out, in, …): 0; modules of equinox have no default. Or a mapping from glob patterns of path
                  names, {"*/embedding": 0, "*": -1}, first match wins. Several axes, (-2, -1), where both count units
                  (attention heads).
    zero_vectors: leave biases and norm layers at zero: leaves with at most one axis, and those called bias, b, scale,
                  offset, shift, beta or gamma (an equinox Conv's bias is (out, 1, 1)). False: each such leaf is a
                  filter of its own.

    Returns: n trees like `params`, in float32 or wider, sharded like it.
    Raises: ValueError if nothing would move (all are vectors, or all filters have norm 0; the message says what to
    do), if fewer than n entries move, if an axis is out of range, a leaf has no pattern, `filter_axis` is given but not
    used, or not given for a matrix in a module of equinox, if numbers are not finite. TypeError for a bad key. A
    pattern that matches no leaf is a UserWarning.

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> params = {"kernel": jnp.array([[3.0, 0.5], [4.0, 0.0]]), "bias": jnp.ones(2)}  # (in, out)
        >>> u, v = ls.random_directions(jax.random.key(0), params, 2)
        >>> [round(norm, 5) for norm in jnp.linalg.norm(u["kernel"], axis=0).tolist()]  # as those of params
        [5.0, 0.5]
        >>> bool(jnp.all(jnp.abs(jnp.sum(u["kernel"] * v["kernel"], axis=0)) < 1e-5)), u["bias"].tolist()
        (True, [0.0, 0.0])

    Reference: Li, Xu, Taylor, Studer & Goldstein 2018 (arXiv:1712.09913), section 4.
    """
    _checks.random_key("key", key)
    _checks.count("n", n)
    _checks.one_of("normalize", normalize, {"filter": None, "layer": None, "global": None})
    if normalize != "filter" and filter_axis is not None:
        raise ValueError(
            f'`filter_axis` is {filter_axis!r}, but normalize="{normalize}" has no filters inside a leaf; leave it out.'
        )
    params = _leaves.params_of("params", params)
    moving = _trees.floating(params)
    paths, structure = jax.tree_util.tree_flatten_with_path(moving)
    still = [leaf.size == 0 or (zero_vectors and _is_vector(path, leaf)) for path, leaf in paths]
    chosen = {i: (path, leaf) for i, (path, leaf) in enumerate(paths) if not still[i]}
    _check_entries(moving, [leaf for _, leaf in chosen.values()], n)
    if normalize == "filter" and filter_axis is None:
        _check_default(chosen, structure)
        filter_axis = -1
    over = _inner_axes(chosen, filter_axis)
    _warn_unmatched(filter_axis, list(_trees.named_leaves(params)))
    leaves = {i: leaf for i, (_, leaf) in chosen.items()}
    keys = {i: jax.random.fold_in(key, i) for i in chosen}

    def draw(i: int, d: int) -> Array:
        return _draw(keys[i], d, leaves[i].shape, _trees.wide(leaves[i]), _sharding(leaves[i]))

    joined = set(chosen) if normalize == "global" else _joined(leaves, n)
    drawn, sizes = {}, {}
    if joined:
        drawn, sizes = _over_all({i: leaves[i] for i in joined}, [{i: draw(i, d) for i in joined} for d in range(n)])
    for i in chosen:
        if i not in joined:
            drawn[i], sizes[i] = _in_filters(leaves[i], [draw(i, d) for d in range(n)], over[i])
    if _leaves.is_concrete(sizes):
        _check_sizes({_trees.path_name(paths[i][0]): size for i, size in jax.device_get(sizes).items()})
    zeros = {i: jnp.zeros_like(leaf, _trees.wide(leaf)) for i, (_, leaf) in enumerate(paths) if still[i]}
    return tuple(
        structure.unflatten([zeros[i] if still[i] else drawn[i][d] for i in range(len(paths))]) for d in range(n)
    )


@partial(jax.jit, static_argnames=("shape", "dtype", "sharding"))
def _draw(key: Array, i: int, shape: tuple[int, ...], dtype: Any, sharding: Any) -> Array:
    draw = jax.random.normal(jax.random.fold_in(key, i), shape, dtype)
    return draw if sharding is None else jax.lax.with_sharding_constraint(draw, sharding)


def _joined(leaves: Mapping[int, Array], n: int) -> set[int]:
    """Which leaves are one filter together: those that hold no n orthogonal directions alone."""
    small = {i for i, leaf in leaves.items() if leaf.size < n}
    if small and sum(leaves[i].size for i in small) < n:
        small.add(min(leaves.keys() - small, key=lambda i: (leaves[i].size, i)))
    return small


@partial(jax.jit, static_argnames=("over",))
def _in_filters(leaf: Array, draws: list[Array], over: tuple[int, ...]) -> tuple[tuple[Array, ...], Array]:
    """The directions in one leaf whose filters extend along the axes `over`, and the norm of the largest filter."""
    if math.prod(leaf.shape[axis] for axis in over) < len(draws):
        over = tuple(range(leaf.ndim))
    norms = _norms(leaf.astype(_trees.wide(leaf)), over)
    basis = _orthonormal(draws, lambda a, b: jnp.sum(a * b, over, keepdims=True))
    return tuple(norms * axis for axis in basis), jnp.max(norms)


def _over_all(
    leaves: Mapping[int, Array], draws: Sequence[Mapping[int, Array]]
) -> tuple[dict[int, list[Array]], dict[int, Array]]:
    """The directions whose one filter are all these leaves together, and the norm of each leaf."""
    basis, sizes = _orthonormal(draws, _trees.vdot), {i: _trees.norm(leaf) for i, leaf in leaves.items()}
    size = _trees.norm(sizes)
    return {i: [axis[i] * size.astype(axis[i].dtype) for axis in basis] for i in leaves}, sizes


def _orthonormal(draws: Sequence[Params], inner: Callable[[Params, Params], Array]) -> list[Params]:
    """Gram–Schmidt in the inner product of each filter, each projection done twice (Giraud et al. 2005)."""
    basis: list[Params] = []
    for draw in draws:
        for axis in 2 * basis:
            draw = _span.minus(draw, inner(axis, draw), axis)
        length = jnp.sqrt(inner(draw, draw))
        # Nothing left, one in 10⁷ where a filter has as many entries as there are directions: 0 is orthogonal too.
        basis.append(_span.over(draw, jnp.where(length > 0, length, 1)))
    return basis


def _norms(leaf: Array, over: tuple[int, ...]) -> Array:
    """‖leaf[F]‖ of each filter, of length 1 along `over`; scaled so that no square under- or overflows."""
    largest = jnp.max(jnp.abs(leaf), over, keepdims=True)
    scale = jnp.where(largest > 0, largest, 1)
    return scale * jnp.sqrt(jnp.sum(jnp.square(leaf / scale), over, keepdims=True))


def _sharding(leaf: Array) -> Any:
    """Where the parts of a leaf lie, if it has several; None where JAX decides."""
    sharding = None if isinstance(leaf, Tracer) else leaf.sharding
    return sharding if isinstance(sharding, jax.sharding.NamedSharding) and len(sharding.device_set) > 1 else None


def _is_vector(path: tuple[Any, ...], leaf: Array) -> bool:
    return leaf.ndim <= 1 or _trees.path_name(path).rsplit("/", 1)[-1] in VECTORS


def _inner_axes(
    chosen: Mapping[int, tuple[tuple[Any, ...], Array]], filter_axis: Axis | Mapping[str, Axis] | None
) -> dict[int, tuple[int, ...]]:
    """For each leaf the axes along which one filter extends: all but the filter axis; all, where the leaf is one."""
    if _checks.is_mapping(filter_axis):
        _checks.labels("filter_axis", filter_axis, "{'*kernel': -1}")  # type: ignore[arg-type]
    over, unmatched = {}, {}
    for i, (path, leaf) in chosen.items():
        name = _trees.path_name(path)
        axes = None if filter_axis is None or _is_vector(path, leaf) else _matching(filter_axis, name)
        if axes == ():
            unmatched[name] = leaf
            continue
        filters = [] if axes is None else [_checked_axis(axis, name, leaf.shape) for axis in axes]
        over[i] = tuple(axis for axis in range(leaf.ndim) if axis not in filters)
    if unmatched:
        raise ValueError(
            f"`filter_axis` has no pattern for {_listed(unmatched)}; its patterns are "
            f"{', '.join(map(repr, filter_axis))}. Say which axis counts the output units: "  # type: ignore[arg-type]
            f"{{{next(iter(unmatched))!r}: -1}}, or '*' for all others."
        )
    return over


def _check_default(chosen: Mapping[int, tuple[tuple[Any, ...], Array]], structure: Any) -> None:
    """Raise ValueError if a leaf that moves, and is no vector, is in a module of equinox: -1 would be its inputs."""
    kernels = [i for i in _in_equinox(structure) if i in chosen and not _is_vector(*chosen[i])]
    if kernels:
        path, leaf = chosen[kernels[0]]
        raise ValueError(
            f"`filter_axis` is not given, and leaf {_trees.path_name(path)!r} {leaf.shape} is in a module of equinox, "
            "whose kernels are (out, in, …): pass filter_axis=0, or -1 where yours are (…, in, out), or a mapping, "
            "{'*/embedding': 0, '*': -1}."
        )


def _in_equinox(structure: Any, first: int = 0) -> list[int]:
    """Positions of the leaves that are in modules of equinox, which is not imported for this."""
    node = structure.node_data()
    if node is None:
        return []
    if any(base.__module__.partition(".")[0] == "equinox" for base in node[0].__mro__):
        return list(range(first, first + structure.num_leaves))
    found: list[int] = []
    for child in structure.children():
        found += _in_equinox(child, first)
        first += child.num_leaves
    return found


def _warn_unmatched(filter_axis: Axis | Mapping[str, Axis] | None, names: list[str]) -> None:
    """Of a mapping: a misspelled pattern would leave its leaves to the patterns after it."""
    patterns = filter_axis if isinstance(filter_axis, Mapping) else ()
    unmatched = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]
    if unmatched:
        warnings.warn(
            f"`filter_axis` has {', '.join(map(repr, unmatched))}, which matches no leaf of `params` "
            f"({', '.join(names[: _leaves.SHOWN])}{', …' if len(names) > _leaves.SHOWN else ''}) and changes nothing; "
            "correct it or leave it out.",
            UserWarning,
            stacklevel=3,
        )


def _matching(filter_axis: Axis | Mapping[str, Axis], name: str) -> tuple[Any, ...]:
    """The axes given for a leaf of this name; () where no pattern matches."""
    if isinstance(filter_axis, Mapping):
        found = next((pattern for pattern in filter_axis if fnmatchcase(name, pattern)), None)
        if found is None:
            return ()
        filter_axis = filter_axis[found]
    return tuple(filter_axis) if isinstance(filter_axis, (tuple, list)) and filter_axis else (filter_axis,)


def _checked_axis(axis: Any, name: str, shape: tuple[int, ...]) -> int:
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"`filter_axis` is {axis!r} for leaf {name!r}; give an axis, such as -1, or a tuple of axes.")
    if not -len(shape) <= axis < len(shape):
        raise ValueError(
            f"`filter_axis` is {axis}, but leaf {name!r} has shape {shape}; give one of its axes, {-len(shape)} to "
            f"{len(shape) - 1}, for this leaf: {{{name!r}: …, '*': {axis}}}."
        )
    return int(axis) % len(shape)


def _check_entries(moving: Params, chosen: list[Array], n: int) -> None:
    entries = sum(leaf.size for leaf in chosen)
    if not entries:
        raise ValueError(
            f"`params` has only biases, norm layers and other vectors ({_listed(_trees.named_leaves(moving))}), which "
            "stay at zero: nothing would move. Pass zero_vectors=False."
        )
    if n > entries:
        raise ValueError(f"`n` is {n}, but only {entries} entries of `params` move; ask for at most {entries}.")


def _check_sizes(sizes: Mapping[str, np.ndarray]) -> None:
    wrong = next((name for name, size in sizes.items() if not np.isfinite(size)), None)
    if wrong is not None:
        raise ValueError(f"`params` leaf {wrong!r} holds values that are not finite; give finite params.")
    if not any(size > 0 for size in sizes.values()):
        raise ValueError(
            "`params` has norm 0 in every filter that moves, and the directions would be zero too; give trained or "
            "initialized params, or directions of your own to ls.Plane."
        )


def _listed(leaves: Mapping[str, Any]) -> str:
    shown = [f"{name or 'params'!r} {leaf.shape}" for name, leaf in leaves.items()]
    more = f" and {len(shown) - _leaves.SHOWN} more" if len(shown) > _leaves.SHOWN else ""
    return ", ".join(shown[: _leaves.SHOWN]) + more
