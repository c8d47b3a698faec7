"""Tree arithmetic on params: inner products, norms, paths. No leaf is flattened into one long vector."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

ONE_DRAW = 2**22  # random numbers for a whole tree
CHAINED = 16  # scalars that are added up one after another
COPIED = 2**20  # bytes: to copy them, or to read them in NumPy, takes less time than to compile a program
Params = Any  # a pytree of arrays
Shapes = tuple[Any, tuple[tuple[tuple[int, ...], Any], ...]]  # a tree's structure, and its leaves' shapes and dtypes


def wide(leaf: Array) -> jnp.dtype:
    """The dtype to add a leaf's entries up in: float32 or wider."""
    return leaf.dtype if leaf.dtype.itemsize >= 4 else jnp.dtype(jnp.float32)  # promote_types refuses in strict mode


def is_floating(leaf: Any) -> bool:
    """Whether a leaf moves: an array of floating-point numbers. Integers, booleans and random keys are frozen."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def floating(tree: Params, like: Params | None = None) -> Params:
    """The tree with None, which is no leaf to JAX, in place of what is frozen; `like` decides, if given."""
    return jax.tree.map(lambda kind, leaf: leaf if is_floating(kind) else None, tree if like is None else like, tree)


def widest(tree: Params) -> np.dtype:
    """The widest dtype of the leaves that move."""
    return max((leaf.dtype for leaf in jax.tree.leaves(floating(tree))), key=lambda dtype: dtype.itemsize)


def wide_of(tree: Params) -> jnp.dtype:
    """The widest of the dtypes that entries are added up in."""
    return max((wide(leaf) for leaf in jax.tree.leaves(tree)), key=lambda dtype: dtype.itemsize)


def as_array(leaf: Any) -> Array:
    """As `jnp.asarray`, which compiles a program for every new shape of a NumPy array; small ones without one."""
    small = isinstance(leaf, (np.ndarray, np.generic)) and leaf.nbytes <= COPIED
    return jax.device_put(leaf.copy()) if small else jnp.asarray(leaf)  # a copy: JAX would share the caller's memory


def as_numbers(leaf: Any) -> np.ndarray:
    """A leaf as a NumPy array, random keys as their data."""
    is_key = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    leaf = jax.random.key_data(leaf) if is_key else leaf
    if isinstance(leaf, Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(leaf, tiled=True)  # sharded over processes: they all call this
    return np.asarray(leaf)


def from_numbers(numbers: np.ndarray, like: Any) -> Any:
    """The inverse of `as_numbers`: with the dtype of `like`, of which files may know the size only, or as its keys."""
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(numbers), impl=jax.random.key_impl(like))
    return numbers.view(like.dtype)


def merged(moving: Params, params: Params) -> Params:
    """`params` with its floating-point leaves from `moving`: the inverse of `floating`."""
    return jax.tree.map(lambda m, p: p if m is None else m, moving, params, is_leaf=lambda leaf: leaf is None)


def total(tree: Params) -> Array:
    """Sum of a tree of scalars, in the widest of their dtypes.

    Of many as the last of their running sums, which XLA fuses with nothing: a chain of additions it copies into every
    leaf that the sum is used on, and compiles for minutes at 200 leaves.
    """
    scalars = jax.tree.leaves(tree)
    widest = max((s.dtype for s in scalars), key=lambda dtype: dtype.itemsize)
    scalars = [s.astype(widest) for s in scalars]
    return functools.reduce(jnp.add, scalars) if len(scalars) <= CHAINED else jax.lax.cumsum(jnp.stack(scalars))[-1]


def phases(key: Array, like: Params, lead: tuple[int, ...] = ()) -> Params:
    """Independent numbers, uniform on [0, π), in float32 or wider: a tree like this one, leaves (*lead, *leaf)."""
    random = bits(key, like, lead)
    return jax.tree.map(lambda leaf, b: (b >> 8).astype(wide(leaf)) * (math.pi / 2**24), like, random)


def bits(key: Array, like: Params, lead: tuple[int, ...] = ()) -> Params:
    """32 random bits an entry, leaves (*lead, *leaf). For small trees in one call: one a leaf compiles slowly."""
    leaves, structure = jax.tree.flatten(like)
    sizes = [leaf.size for leaf in leaves]
    if sum(sizes) <= ONE_DRAW:
        together = jax.random.bits(key, (*lead, sum(sizes)))
        parts = jnp.split(together, np.cumsum(sizes)[:-1], axis=-1)
        return structure.unflatten([p.reshape(*lead, *leaf.shape) for p, leaf in zip(parts, leaves, strict=True)])
    each = zip(jax.random.split(key, len(leaves)), leaves, strict=True)
    return structure.unflatten([jax.random.bits(k, (*lead, *leaf.shape)) for k, leaf in each])


def vdot(a: Params, b: Params) -> Array:
    """⟨a, b⟩ = Σ aᵢbᵢ over all leaves, in float32 or wider."""
    return total(jax.tree.map(lambda u, v: jnp.sum(u.astype(wide(u)) * v.astype(wide(v))), a, b))


def norm(a: Params) -> Array:
    """‖a‖₂ over all leaves, scaled by the largest |aᵢ| so that no square under- or overflows. NaN and inf stay.

    A gradient of 1e-20 is a number one looks at on a log scale; its float32 square is 0.
    """
    leaves = [leaf.astype(wide(leaf)) for leaf in jax.tree.leaves(a) if leaf.size]
    widest = max((leaf.dtype for leaf in leaves), key=lambda dtype: dtype.itemsize)
    peaks = jnp.stack([jnp.max(jnp.abs(leaf)).astype(widest) for leaf in leaves])
    largest = peaks.max() if len(leaves) <= CHAINED else jax.lax.cummax(peaks)[-1]  # why: see `total`
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, jnp.ones_like(largest))
    return scale * jnp.sqrt(total([jnp.sum(jnp.square(leaf.astype(widest) / scale)) for leaf in leaves]))


def path_name(path: tuple[Any, ...]) -> str:
    """A leaf's path as text: ("layers", 0, "kernel") becomes "layers/0/kernel".

    Without the attribute `value` in which flax.nnx keeps every variable of a State: it would hide what the leaf is
    called. A module's own attribute of that name, below other attributes, stays.
    """
    *above, last = path or (None,)
    if above and last == jax.tree_util.GetAttrKey("value") and not isinstance(above[-1], jax.tree_util.GetAttrKey):
        path = tuple(above)
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Params) -> dict[str, Any]:
    """The leaves of a tree under their path names, in the tree's order."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def entry_names(tree: Params) -> dict[str, list[str]]:
    """Of each leaf, under its path name, the names of its entries in C order: w of shape (2,) has w[0] and w[1]."""
    return {
        name: [f"{name}[{','.join(map(str, i))}]" if i else name for i in np.ndindex(np.shape(leaf))]
        for name, leaf in named_leaves(tree).items()
    }


def layout(tree: Params, most: int | None = None) -> str:
    """The leaves' names, dtypes and shapes as one line, for messages; the kind of a leaf that is no number.

    most: leaves to name, if not all; the others are counted.
    """

    def described(leaf: Any) -> str:
        if not hasattr(leaf, "dtype") and isinstance(leaf, (bool, int, float, complex)):
            leaf = np.asarray(leaf, jax.dtypes.result_type(leaf))
        return f"{leaf.dtype}{list(leaf.shape)}" if hasattr(leaf, "dtype") else type(leaf).__name__

    leaves = list(named_leaves(tree).items())
    shown = [f"{name or 'params'}: {described(leaf)}" for name, leaf in leaves[:most]]
    more = f" and {len(leaves) - len(shown)} more" if len(leaves) > len(shown) else ""
    return (", ".join(shown) or "no leaves") + more


def layouts(**trees: Params) -> str:
    """Trees that should be alike, a line each under their names; with the containers where only those differ."""
    lines = {name: layout(tree) for name, tree in trees.items()}
    if len(set(lines.values())) == 1:
        lines = {name: f"{line} in {jax.tree.structure(trees[name])}" for name, line in lines.items()}
    width = max(map(len, trees)) + 1
    return "\n".join(f"  {name + ':':{width}} {line}" for name, line in lines.items())


def nested(named: dict[str, Any]) -> Params:
    """The nested dictionary with these path names: the inverse of `named_leaves` for trees of dictionaries."""
    if set(named) == {""}:
        return named[""]
    tree: dict[str, Any] = {}
    for name, leaf in named.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def is_nested_dict(tree: Params) -> bool:
    """Whether `nested` can rebuild this tree: dictionaries with string keys free of "/", or one bare leaf."""
    if isinstance(tree, dict):
        return all(
            isinstance(key, str) and key and "/" not in key and is_nested_dict(value) for key, value in tree.items()
        )
    return jax.tree_util.all_leaves([tree])


def shapes(tree: Params) -> Shapes:
    """The tree without its numbers: hashable, a key for caches."""
    leaves = [
        leaf if hasattr(leaf, "dtype") else np.asarray(leaf, jax.dtypes.result_type(leaf))
        for leaf in jax.tree.leaves(tree)
    ]
    return jax.tree.structure(tree), tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def from_shapes(described: Shapes) -> Params:
    """A tree of `jax.ShapeDtypeStruct` with these shapes."""
    structure, leaves = described
    return structure.unflatten([jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in leaves])
