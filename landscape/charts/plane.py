"""Planes: affine charts of any dimension, always evaluated from their origin."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import chart as _chart


@_chart.register(data=("origin", "directions"), static=("names",))
@dataclass(frozen=True, eq=False)
class Plane:
    """The affine chart θ(c) = origin + Σᵢ cᵢ·directions[i], in one or more coordinates.

    origin:     params, kept in their dtypes.
    directions: one tree for each name, with `origin`'s structure and leaf shapes; coordinates are multiples of them.
    names:      the coordinates' names.
    Sums run in float32 or wider and are cast once to each leaf's dtype.
    Raises: ValueError if a direction does not fit the origin, if names repeat or their number differs.

        >>> import landscape as ls
        >>> plane = ls.Plane({"w": 1.0, "b": 0.0}, ({"w": 2.0, "b": 0.0},), names=("c",))
        >>> float(plane.point([3.0])["w"])
        7.0
    """

    origin: Params
    directions: tuple[Params, ...]
    names: tuple[str, ...] = ("alpha", "beta")

    def __post_init__(self) -> None:
        origin = jax.tree.map(jnp.asarray, self.origin)
        for leaf, name in zip(jax.tree.leaves(origin), _trees.named_leaves(origin), strict=True):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise TypeError(
                    f"`origin` leaf {name!r} is {leaf.dtype}; parameters are floating-point: write 0.0 instead of 0."
                )
        directions = tuple(self.directions)
        if len(self.names) != len(directions) or len(set(self.names)) != len(self.names) or not self.names:
            raise ValueError(
                f"`names` is {tuple(self.names)} for {len(directions)} directions; "
                "give each direction a name of its own."
            )
        wanted = jax.tree.structure(origin), [leaf.shape for leaf in jax.tree.leaves(origin)]
        for i, direction in enumerate(directions):
            if (jax.tree.structure(direction), [np.shape(leaf) for leaf in jax.tree.leaves(direction)]) != wanted:
                raise ValueError(
                    f"`directions[{i}]` must match `origin` leaf for leaf.\n"
                    f"  origin:        {_trees.layout(origin)}\n  directions[{i}]: {_trees.layout(direction)}"
                )
        values = (origin, tuple(jax.tree.map(jnp.asarray, d) for d in directions), tuple(self.names))
        for name, value in zip(("origin", "directions", "names"), values, strict=True):
            object.__setattr__(self, name, value)

    def point(self, coordinates: Sequence[Array]) -> Params:
        """θ(c), in the dtypes of `origin`."""
        _chart.check_position(self.names, coordinates)
        return jax.tree.map(lambda moved, start: moved.astype(start.dtype), self._wide_point(coordinates), self.origin)

    def coordinates(self, params: Params) -> tuple[Array, Array]:
        """(c, residual): least squares on the directions, (k,), and the distance ‖θ − θ(c)‖ left over.

        By orthonormalizing the directions, whose coordinates are exact for unit axes; NaN where they are dependent.
        """
        rest = jax.tree.map(lambda p, o: jnp.asarray(p, _trees.wide(o)) - o.astype(_trees.wide(o)), params, self.origin)
        basis, triangle = _orthonormal(self.directions)
        along = []
        for axis in basis:
            along.append(_trees.vdot(axis, rest))
            rest = _minus(rest, along[-1], axis)
        found: list[Array] = []  # back substitution, last coordinate first
        for i in reversed(range(len(basis))):
            known = [triangle[i][j] * found[len(basis) - 1 - j] for j in range(i + 1, len(basis))]
            found.append(sum((-k for k in known), start=along[i]) / triangle[i][i])
        return jnp.stack(found[::-1]), _trees.norm(rest)

    def _wide_point(self, coordinates: Sequence[Array]) -> Params:
        def leaf(start: Array, *directions: Array) -> Array:
            dtype = _trees.wide(start)
            moves = [jnp.asarray(c, dtype) * d.astype(dtype) for c, d in zip(coordinates, directions, strict=True)]
            return sum(moves, start=start.astype(dtype))

        return jax.tree.map(leaf, self.origin, *self.directions)


def _orthonormal(directions: tuple[Params, ...]) -> tuple[list[Params], list[list[Array]]]:
    """(Q, R) of the directions as columns: Gram–Schmidt on trees, each projection done twice (Giraud et al. 2005)."""
    basis: list[Params] = []
    triangle: list[list[Array]] = [[] for _ in directions]
    for direction in directions:
        column = jax.tree.map(lambda d: d.astype(_trees.wide(d)), direction)
        size = _trees.norm(column)
        column = _over(column, size)
        for i, axis in enumerate(basis):
            first = _trees.vdot(axis, column)
            column = _minus(column, first, axis)
            again = _trees.vdot(axis, column)
            column = _minus(column, again, axis)
            triangle[i].append((first + again) * size)
        length = _trees.norm(column)
        basis.append(_over(column, length))
        triangle[len(basis) - 1] += [jnp.zeros_like(size)] * (len(basis) - 1) + [length * size]
    return basis, triangle


def _over(tree: Params, size: Array) -> Params:
    return jax.tree.map(lambda leaf: leaf / size.astype(leaf.dtype), tree)


def _minus(tree: Params, amount: Array, axis: Params) -> Params:
    return jax.tree.map(lambda leaf, a: leaf - amount.astype(leaf.dtype) * a, tree, axis)


def axes_plane(params: Params, *names: str) -> Plane:
    """The plane of the named entries of `params`, through the point where they are 0: coordinates are their values.

    names: a scalar leaf's path, such as "b" or "layer/scale", or one entry of a larger leaf, such as "w[0]" or
           "kernel[1, 2]".
    The other entries keep their values.
    Raises: ValueError for a name that is no entry of `params`.

        >>> import landscape as ls
        >>> plane = ls.axes_plane({"w": 3.0, "b": 4.0}, "w", "b")
        >>> {name: float(leaf) for name, leaf in plane.point([1.0, 2.0]).items()}
        {'b': 2.0, 'w': 1.0}
    """
    for name, leaf in _trees.named_leaves(params).items():
        if not hasattr(leaf, "dtype") and not isinstance(leaf, (int, float)):
            hint = (
                "give its params: objective.params" if hasattr(leaf, "params") else "parameters are numbers or arrays"
            )
            raise TypeError(f"`params` {f'leaf {name!r} ' if name else ''}is {_checks.kind(leaf)}; {hint}.")
    params = jax.tree.map(jnp.asarray, params)
    leaves = _trees.named_leaves(params)
    structure = jax.tree.structure(params)
    wrong = next((name for name in names if not isinstance(name, str)), None)
    if wrong is not None:
        raise TypeError(f"`names` has {wrong!r}, {_checks.kind(wrong)}; name each entry: axes_plane(params, 'w', 'b').")
    if not names:
        raise ValueError(f"`names` is empty; name the entries to vary, out of {', '.join(leaves)}.")
    origin = {name: np.array(leaf) for name, leaf in leaves.items()}
    directions = []
    for name in names:
        leaf, index = _entry(name, leaves)
        origin[leaf][index] = 0
        direction = {key: np.zeros_like(value) for key, value in origin.items()}
        direction[leaf][index] = 1
        directions.append(structure.unflatten(list(direction.values())))
    return Plane(structure.unflatten(list(origin.values())), tuple(directions), names=names)


def _entry(name: str, leaves: dict[str, Array]) -> tuple[str, tuple[int, ...]]:
    """The leaf and index that a name such as "w[0]" means."""
    brackets = re.search(r"\[([\d\s,]+)\]\Z", name)
    leaf = name[: brackets.start()] if brackets else name
    index = tuple(int(i) for i in brackets.group(1).split(",") if i.strip()) if brackets else ()
    if leaf not in leaves:
        raise ValueError(f"`names` has {name!r}, which is no entry of the params ({', '.join(leaves)}).")
    shape = leaves[leaf].shape
    if len(index) != len(shape) or any(i >= size for i, size in zip(index, shape, strict=True)):
        example = f"{leaf}{[0] * len(shape)}" if shape else leaf
        raise ValueError(
            f"`names` has {name!r}, but {leaf!r} has shape {shape}; name one entry of it, such as {example!r}."
        )
    return leaf, index
