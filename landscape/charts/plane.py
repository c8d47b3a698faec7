"""Planes: affine charts of any dimension, always evaluated from their origin."""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _html, _trees
from landscape._trees import Params
from landscape.charts import _leaves, _span
from landscape.charts import chart as _chart

NAMES = ("alpha", "beta", "gamma")


@_chart.register_chart(data=("origin", "directions"), static=("names",))
@dataclass(frozen=True, eq=False)
class Plane:
    """The affine chart θ(c) = origin + Σᵢ cᵢ·directions[i], in one or more coordinates.

    origin:     params, kept in their dtypes. Floating-point leaves move; integer, boolean and random-key arrays are
                frozen: every point has them as they are.
    directions: a tuple with one tree for each name, of `origin`'s structure and leaf shapes; coordinates are multiples
                of them. Their frozen leaves are ignored, and may be None.
    names:      the coordinates' names; by default the first of "alpha", "beta", "gamma".
    Sums run in float32 or wider and are cast once to each leaf's dtype.
    Raises: ValueError, naming the leaf or the direction, if a direction does not fit the origin, is zero, or depends on
    the others to rounding; if numbers are not finite; if names repeat or their number differs. TypeError for leaves
    that are no arrays, a direction without its tuple, and names that are no strings. Traced numbers are not looked at.

        >>> import landscape as ls
        >>> plane = ls.Plane({"w": 1.0, "b": 0.0}, ({"w": 2.0, "b": 0.0},), names=("c",))
        >>> float(plane.point([3.0])["w"])
        7.0
    """

    origin: Params
    directions: tuple[Params, ...]
    names: tuple[str, ...] = None  # type: ignore[assignment]  # of NAMES as many as there are directions

    def __post_init__(self) -> None:
        origin = _leaves.params_of("origin", self.origin)
        _check_tuple(self.directions, origin)
        directions = tuple(self.directions)
        names = NAMES[: len(directions)] if self.names is None else self.names
        if isinstance(names, str):
            raise TypeError(f"`names` is the string {names!r}; give a tuple, ({names!r},).")
        names = tuple(names)
        _check_strings(names, "names are strings, such as ('alpha', 'beta')")
        if len(names) != len(directions) or len(set(names)) != len(names) or not names:
            raise ValueError(
                f"`names` is {names} for {len(directions)} directions; give each direction a name of its own."
            )
        directions = tuple(_leaves.moving(f"directions[{i}]", d, origin, "origin") for i, d in enumerate(directions))
        if _leaves.is_concrete(origin, directions):
            _span.check(_trees.floating(origin), directions, names)
        for name, value in zip(("origin", "directions", "names"), (origin, directions, names), strict=True):
            object.__setattr__(self, name, value)

    def point(self, coordinates: Sequence[Array]) -> Params:
        """θ(c), in the dtypes of `origin`; its frozen leaves as they are."""
        _chart.check_position(self.names, coordinates)

        def leaf(start: Array, *directions: Array) -> Array:
            dtype = _trees.wide(start)
            moves = [jnp.asarray(c, dtype) * d.astype(dtype) for c, d in zip(coordinates, directions, strict=True)]
            return sum(moves, start=start.astype(dtype)).astype(start.dtype)

        moved = jax.tree.map(leaf, _trees.floating(self.origin), *self.directions)
        return _trees.merged(moved, self.origin)

    def coordinates(self, params: Params) -> tuple[Array, Array]:
        """(c, residual): least squares on the directions, (k,), and the distance ‖θ − θ(c)‖ left over.

        By orthonormalizing the directions, whose coordinates are exact for unit axes. Frozen leaves are ignored. NaN
        where the plane was built of traced directions that are dependent.
        Raises: ValueError, naming the leaf, for params that do not fit the origin.
        """
        origin = _trees.floating(self.origin)
        there = _leaves.moving("params", params, self.origin, "origin")
        rest = jax.tree.map(lambda p, o: p.astype(_trees.wide(o)) - o.astype(_trees.wide(o)), there, origin)
        columns = [jax.tree.map(lambda d, o: d.astype(_trees.wide(o)), d, origin) for d in self.directions]
        basis, triangle = _span.orthonormal(columns)
        along = []
        for axis in basis:
            along.append(_trees.vdot(axis, rest))
            rest = _span.minus(rest, along[-1], axis)
        found: list[Array] = []  # back substitution, last coordinate first
        for i in reversed(range(len(basis))):
            known = [triangle[i][j] * found[len(basis) - 1 - j] for j in range(i + 1, len(basis))]
            left, rounding = triangle[i][i], 4 * jnp.finfo(triangle[i][i].dtype).eps
            largest = jnp.max(jnp.abs(jnp.stack([triangle[j][i] for j in range(i + 1)])))
            found.append(sum((-k for k in known), start=along[i]) / jnp.where(left > rounding * largest, left, jnp.nan))
        return jnp.stack(found[::-1]), _trees.norm(rest)

    def __repr__(self) -> str:
        return f"Plane({', '.join(self.names)})\n  in {_trees.layout(self.origin, most=_leaves.SHOWN)}"

    def _repr_html_(self) -> str:
        origin = _trees.floating(self.origin)
        concrete = _leaves.is_concrete(self.origin, self.directions)
        lengths = _span.lengths(origin, self.directions) if concrete else [math.nan] * len(self.names)
        rows = [[_html.code(name), f"{length:.4g}"] for name, length in zip(self.names, lengths, strict=True)]
        cosines = []
        if concrete and len(self.names) > 1:
            among = _span.cosines(origin, self.directions)
            for i, j in itertools.combinations(range(len(self.names)), 2):
                pair = f"{_html.code(self.names[i])} and {_html.code(self.names[j])}"
                cosines.append([pair, f"{round(float(among[i, j]), 4) + 0.0:.4g}"])
        return _html.card(
            f"Plane in {len(rows)} coordinate{'s' * (len(rows) > 1)}",
            _html.table(("coordinate", "length of its direction"), rows),
            _html.table(("directions", "cosine between them"), cosines) if cosines else "",
            _html.leaves(self.origin),
        )


def _check_tuple(directions: Any, origin: Params) -> None:
    """Raise TypeError for what is no tuple of directions, above all for one of them alone."""
    alike = () if isinstance(directions, Iterator) else (origin, _trees.floating(origin))  # JAX makes no tree of it
    alone = any(jax.tree.structure(directions) == jax.tree.structure(tree) for tree in alike)
    if alone or not isinstance(directions, (tuple, list)):
        came = f"one direction ({_checks.kind(directions)})" if alone else _checks.kind(directions)
        raise TypeError(f"`directions` is {came}; give a tuple with one for each name: (direction,) or (u, v).")


def _check_strings(names: tuple[Any, ...], give: str) -> None:
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"`names` has {name!r}, {_checks.kind(name)}; {give}.")


def axes_plane(params: Params, *names: str) -> Plane:
    """The plane of the named entries of `params`, through the point where they are 0: coordinates are their values.

    names: a scalar leaf's path, such as "b" or "layer/scale", or one entry of a larger leaf, such as "w[0]" or
           "kernel[1, 2]".
    The other entries keep their values.
    Raises: ValueError for a name that is no entry of `params`, or one of a frozen leaf (integers, random keys).

        >>> import landscape as ls
        >>> plane = ls.axes_plane({"w": 3.0, "b": 4.0}, "w", "b")
        >>> {name: float(leaf) for name, leaf in plane.point([1.0, 2.0]).items()}
        {'b': 2.0, 'w': 1.0}
    """
    params = _leaves.params_of("params", params)
    leaves = _trees.named_leaves(params)
    moving = _trees.named_leaves(_trees.floating(params))
    structure = jax.tree.structure(params)
    _check_strings(names, "name each entry: axes_plane(params, 'w', 'b')")
    if not names:
        raise ValueError(f"`names` is empty; name the entries to vary, out of {', '.join(moving)}.")
    origin = {name: np.array(leaf) if _trees.is_floating(leaf) else leaf for name, leaf in leaves.items()}
    directions = []
    for name in names:
        leaf, index = _entry(name, leaves)
        origin[leaf][index] = 0
        direction = {key: np.zeros(value.shape, value.dtype) for key, value in origin.items() if key in moving}
        direction[leaf][index] = 1
        directions.append(structure.unflatten([direction.get(key) for key in origin]))
    return Plane(structure.unflatten(list(origin.values())), tuple(directions), names=names)


def _entry(name: str, leaves: dict[str, Array]) -> tuple[str, tuple[int, ...]]:
    """The leaf and index that a name such as "w[0]" means."""
    brackets = re.search(r"\[([\d\s,]+)\]\Z", name)
    leaf = name[: brackets.start()] if brackets else name
    index = tuple(int(i) for i in brackets.group(1).split(",") if i.strip()) if brackets else ()
    if leaf not in leaves:
        raise ValueError(f"`names` has {name!r}, which is no entry of the params ({', '.join(leaves)}).")
    if not _trees.is_floating(leaves[leaf]):
        raise ValueError(f"`names` has {name!r}, but {leaf!r} is {leaves[leaf].dtype} and frozen; name what can move.")
    shape = leaves[leaf].shape
    if len(index) != len(shape) or any(i >= size for i, size in zip(index, shape, strict=True)):
        example = f"{leaf}{[0] * len(shape)}" if shape else leaf
        raise ValueError(
            f"`names` has {name!r}, but {leaf!r} has shape {shape}; name one entry of it, such as {example!r}."
        )
    return leaf, index
