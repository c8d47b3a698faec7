"""`symmetry`: which changes of a network's params leave its function as it is, read from the program it traces to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from landscape import _checks, _jaxprs, _trees
from landscape._trees import Params
from landscape.networks.symmetry import _canonical, _reading
from landscape.networks.symmetry._exponents import Equations
from landscape.networks.symmetry._moves import Layer, Move, Place, all_moves, random_moves, transformed
from landscape.networks.symmetry._reading import Reading


@dataclass(frozen=True, eq=False)
class Symmetry:
    """The symmetry group of a network's hidden layers; what `ls.symmetry` returns.

    layers: one for each set of hidden units, in the order of the forward pass: its size, and where its units are in the
            params. Layers that a residual connection joins are one.
    told_apart: axes of the params along which a constant array, such as a mask, or an index tells hidden units apart.
                They have no symmetry here, unless the constants are moved too.
    """

    layers: tuple[Layer, ...]
    told_apart: tuple[str, ...]
    _apply: Callable[[Params, Any], Any] = field(repr=False)
    _inputs: Any = field(repr=False)
    _example: Params = field(repr=False)
    _reading: Reading = field(repr=False, compare=False)

    @property
    def orbit_size(self) -> int:
        """How many params have one function: Π M!·2^(sign flips), beside `rescalings` that vary continuously."""
        return math.prod(math.factorial(layer.size) * 2 ** (layer.size * layer.signs) for layer in self.layers)

    @property
    def rescalings(self) -> int:
        """How many positive factors are free: dimensions of the orbit. 0 where it is a finite set."""
        return sum(layer.size * layer.scales for layer in self.layers)

    def transform(self, params: Params, moves: Mapping[str, Move]) -> Params:
        """The params with the hidden units of some layers permuted and multiplied: the same function."""
        known = {layer.name: layer for layer in self.layers}
        for name, move in moves.items():
            _checks.one_of("moves", name, known)
            _check_move(known[name], move)
        leaves, rebuild = self._taken("params", params)
        return rebuild(
            transformed(leaves, ((layer, moves[layer.name]) for layer in self.layers if layer.name in moves))
        )

    def random(self, key: Array, params: Params) -> Params:
        """Params of the same function, drawn: permutations and signs uniform, log-factors standard normal."""
        _checks.random_key("key", key)
        leaves, rebuild = self._taken("params", params)
        moves = random_moves(np.random.default_rng(np.asarray(jax.random.bits(key, (4,)))), self.layers)
        return rebuild(transformed(leaves, moves))

    def orbit(self, params: Params) -> Iterator[Params]:
        """All `orbit_size` params that permutations and sign flips make, one after another."""
        leaves, rebuild = self._taken("params", params)
        return (rebuild(transformed(leaves, moves)) for moves in all_moves(self.layers))

    def canonical(self, params: Params) -> Params:
        """The representative of the params' orbit: the same for all params of it, to rounding.

        Rescaled, of least ‖θ‖² (what comes into a unit is as large as what goes out); of either sign, that which makes
        a unit's largest incoming weight positive; in the order of their incoming weights. Exact for permutations and
        signs. May be compiled and mapped: then in the params' dtype, else in float64. Params near each other may have
        representatives far apart: compare with `ls.same_up_to_symmetry`.
        References: Stock et al. 2019, section 3.1 (balanced networks).
        """
        leaves, rebuild = self._taken("params", params)
        if any(isinstance(leaf, Tracer) for leaf in leaves.values()):
            widest = max((_trees.wide(leaf) for leaf in leaves.values()), key=lambda dtype: dtype.itemsize)
            wide = {name: jnp.asarray(leaf).astype(widest) for name, leaf in leaves.items()}
            return rebuild(_canonical.canonical(self.layers, wide))
        with jax.enable_x64(True):
            return rebuild(_canonical.canonical(self.layers, leaves))

    def activations(self, params: Params, x: Any) -> dict[str, Array]:
        """What the units of each layer pass on, {layer: (m, size)}: m is the examples, and positions of an image."""
        x = jax.tree.map(jnp.asarray, x)
        _check_inputs(x, self._inputs)
        program = self._reading.program
        there = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(x)]
        if there != [(program.avals[v].shape, program.avals[v].dtype) for v in program.arguments[-len(there) :]]:
            return symmetry(self._apply, self._example, x).activations(params, x)  # traced for other shapes
        for layer in self.layers:
            if not layer.values:
                raise ValueError(f"layer {layer.name!r} has no activations: nothing sums over its units and the data.")
        values = program.constants | dict(zip(program.arguments, jax.tree.leaves((params, x)), strict=True))
        wanted = [value for layer in self.layers for value, _, _ in layer.values]
        with jax.default_matmul_precision("highest"):
            values = _jaxprs.run(_jaxprs.needed(program, wanted, (), effects=False), values)
        return {
            layer.name: jnp.concatenate([_units_last(self._reading, values[v], v, i, k) for v, i, k in layer.values])
            for layer in self.layers
        }

    def _taken(self, name: str, params: Params) -> tuple[dict[str, Any], Callable[[Mapping[str, Any]], Params]]:
        """({leaf: float64 array, or as it is where it is traced}, the way back to params like the given ones)."""
        if jax.tree_util.all_leaves([params]) and hasattr(params, "params"):
            raise TypeError(f"`{name}` is {_checks.kind(params)}; pass its params, {name}.params (of a run, one step).")
        there, here = _shapes(self._example), _shapes(params)
        if there != here:
            raise ValueError(
                f"`{name}` must be like those whose symmetry was read.\n"
                + _trees.layouts(**{"read": self._example, name: params})
            )
        named, structure = _trees.named_leaves(params), jax.tree.structure(params)
        named = {name or "params": leaf for name, leaf in named.items()}
        moving = {n: leaf for n, leaf in named.items() if _trees.is_floating(leaf)}
        if not any(isinstance(leaf, Tracer) for leaf in moving.values()):
            moving = {n: np.asarray(leaf, np.float64) for n, leaf in moving.items()}

        def rebuild(changed: Mapping[str, Any]) -> Params:
            return structure.unflatten(
                jnp.asarray(changed[n].astype(leaf.dtype)) if n in changed else leaf for n, leaf in named.items()
            )

        return moving, rebuild

    def __str__(self) -> str:
        lines = [str(layer) for layer in self.layers] or ["no hidden units"]
        size = f"{self.orbit_size:,}" if self.orbit_size < 10**15 else f"10^{math.log10(self.orbit_size):.1f}"
        orbit = f"{size} equivalent params" if size != "1" else "no equivalent params but these"
        orbit += f", and {self.rescalings} free factors" if self.rescalings else ""
        told = [f"units told apart by constants: {', '.join(self.told_apart)}"] if self.told_apart else []
        return "\n".join([*lines, orbit, *told])


def symmetry(apply: Callable[[Params, Any], Any], params: Params, x: Any) -> Symmetry:
    """The symmetry group of a network's hidden layers, read from its program.

        permutations   of the units of a layer, whatever the activation
        sign flips     of a unit's incoming and outgoing weights, where the activation is odd (tanh)
        rescalings     incoming weights times s > 0 and outgoing ones divided by it, where it is homogeneous (relu)

    Axes of params and activations that elementwise operations join, between two products, are indexed by the same
    units; what units may be multiplied by follows from linear equations for exponents. Nothing is said by hand.
    apply:  apply(params, x) -> the network's output; params any pytree: flax, equinox, haiku, or one's own.
    x:      inputs, of any number of examples; their values do not matter.
    Not included: σ(−z) = 1 − σ(z), a flip that moves the next layer's bias too; rotations, where the only nonlinearity
    is a norm over the units; and whatever holds for these params only, such as units that are equal or dead.
    Raises: ValueError, naming the leaves, where an operation is not understood or units are joined by no nonlinearity
    (then any invertible matrix is a symmetry).
    References: Hecht-Nielsen 1990; Chen, Lu & Hecht-Nielsen 1993 (tanh); Dinh et al. 2017, section 3 (relu).

        >>> import jax, landscape as ls
        >>> network = ls.mlp((2, 4, 1), activation="tanh")
        >>> params = network.init(jax.random.key(0))
        >>> print(ls.symmetry(network.apply, params, [[0.0, 0.0]]))
        layer1: 4 units, permutations and signs (layer1/W axis 1, layer1/b axis 0, layer2/W axis 0)
        384 equivalent params
    """
    if not callable(apply):
        raise TypeError(f"`apply` is {_checks.kind(apply)}; give a function apply(params, x) -> the network's output.")
    _check_arrays(params)
    params, x = jax.tree.map(jnp.asarray, (params, x))
    moving = [_trees.is_floating(leaf) for leaf in jax.tree.leaves(params)]
    program = _jaxprs.flatten(apply, (params, x), _reading.ENTERED)
    reading = _reading.read(program, moving + [False] * len(jax.tree.leaves(x)))
    names = [name or "params" for name in _trees.named_leaves(params)]
    told, inputs = tuple(_told_apart(reading, names)), _trees.from_shapes(_trees.shapes(x))  # data are not held
    return Symmetry(tuple(_layers(reading, names)), told, apply, inputs, params, reading)


def _check_arrays(params: Params) -> None:
    for name, leaf in _trees.named_leaves(params).items():
        if not hasattr(leaf, "dtype") and not isinstance(leaf, (bool, int, float)):
            raise TypeError(
                f"`params` leaf {name or 'params'!r} is {_checks.kind(leaf)}; split the model into arrays and the "
                "rest, and put it together in `apply`: params, static = equinox.partition(model, "
                "equinox.is_inexact_array), or flax.nnx.split(model)."
            )


def _told_apart(reading: Reading, names: list[str]) -> Iterator[str]:
    for leaf, name in zip(reading.leaves, _moving_names(reading, names), strict=True):
        for i, axis in enumerate(reading.of(leaf)):
            if any(n in reading.factors.constants and n not in reading.factors.fixed for n in axis):
                yield f"{name} axis {i}"


def _moving_names(reading: Reading, names: list[str]) -> list[str]:
    named = dict(zip(reading.program.arguments, names, strict=False))
    return [named[leaf] for leaf in reading.leaves]


def _layers(reading: Reading, names: list[str]) -> Iterator[Layer]:
    """The layers in the order in which the program first reads their params."""
    positive, signs = (Equations(reading, signs=s) for s in (False, True))
    named = dict(zip(reading.program.arguments, names, strict=False))
    nodes = reversed(list(enumerate(reading.program.nodes)))
    first = {v: i for i, node in nodes for v in node.inputs if _jaxprs.is_value(v)}
    leaves = sorted(reading.leaves, key=lambda leaf: first.get(leaf, 0))
    numbers = dict.fromkeys(number for leaf in leaves for axis in reading.of(leaf) for number in axis)
    taken: set[str] = set()
    for number in filter(reading.free, numbers):
        where, scales = positive.solutions(number, first)
        _, flips = signs.solutions(number, first)
        _check(reading, number, [named[leaf] for leaf, _, _ in where])
        _check_groups(reading, where, named)
        places = tuple(_place(reading, named, at, flips[:, i], scales[:, i]) for i, at in enumerate(where))
        above = places[0].leaf.rpartition("/")[0] or places[0].leaf
        name = above if above not in taken else f"{above} ({places[0].leaf} axis {places[0].axis})"
        taken.add(name)
        forms = {signs.unknowns[at]: flips[:, i] for i, at in enumerate(where)}
        values = tuple((found, _flipped(signs, found, forms)) for found in _passed_on(reading, number))
        alike = tuple(found for found, flip in values if flip == values[0][1])
        yield Layer(number, name, places, alike, values[0][1] if values else (0.0,) * len(flips))


def _flipped(signs: Equations, found: tuple[int, int, int], forms: dict[int, np.ndarray]) -> tuple[float, ...]:
    """Of each way to flip a unit, whether its activation follows."""
    value, axis, position = found
    exponent = signs.of(value)[axis][position]
    return tuple(sum((forms[u] for u in exponent), start=np.zeros(len(next(iter(forms.values()))))) % 2)


def _place(
    reading: Reading, named: dict[int, str], where: tuple[int, int, int], signs: np.ndarray, scales: np.ndarray
) -> Place:
    leaf, axis, position = where
    shape = tuple(reading.factors.size((number,)) for number in reading.of(leaf)[axis])
    others = frozenset(
        number
        for i, factors in enumerate(reading.of(leaf))
        for k, number in enumerate(factors)
        if reading.free(number) and (i, k) != (axis, position)
    )
    return Place(named[leaf], axis, shape, position, tuple(signs), tuple(scales), others)


def _check(reading: Reading, number: int, leaves: list[str]) -> None:
    factors, named = reading.factors, ", ".join(map(repr, dict.fromkeys(leaves)))
    if number in factors.refused:
        raise ValueError(
            f"The symmetry of {named} is not understood: the order of their units matters to "
            f"`{factors.refused[number]}`. {_reading.SUPPORTED}"
        )
    if number not in factors.mixed:
        raise ValueError(
            f"The units of {named} are joined by no nonlinearity: every invertible matrix between the two layers is a "
            f"symmetry, which permutations, signs and factors do not describe. {_reading.SUPPORTED}"
        )


def _check_groups(reading: Reading, where: list[tuple[int, int, int]], named: dict[int, str]) -> None:
    """Raise ValueError where an axis is units times units: those of each group may be exchanged by themselves."""
    for leaf, axis, _ in where:
        if sum(map(reading.free, reading.of(leaf)[axis])) > 1:
            raise ValueError(
                f"The symmetry of {named[leaf]!r} is not understood: its axis {axis} counts units of two kinds at "
                f"once, as those of a group norm are groups and members. {_reading.SUPPORTED}"
            )


def _passed_on(reading: Reading, number: int) -> Iterator[tuple[int, int, int]]:
    """(value, axis, position): the activations of a layer, which products sum over, or sums where there are none."""
    program = reading.program
    reads_data = set(program.arguments) - set(reading.leaves)
    products, sums = [], []
    for node in program.nodes:
        if not reads_data.isdisjoint(v for v in node.inputs if isinstance(v, int)):
            reads_data.update(node.outputs)
            kind = products if node.equation.primitive.name in ("dot_general", "conv_general_dilated") else sums
            if kind is products or node.equation.primitive.name == "reduce_sum":
                kind += [v for v in node.inputs if v in reads_data and v in reading.axes]
    for found in (products, sums):
        where = {
            (v, i, k): None
            for v in found
            for i, axis in enumerate(reading.of(v))
            for k, n in enumerate(axis)
            if n == number
        }
        if where:
            yield from where
            return


def _units_last(reading: Reading, array: Array, value: int, axis: int, position: int) -> Array:
    """The array as (everything else, units)."""
    sizes = [reading.factors.size((n,)) for n in reading.of(value)[axis]]
    array = array.reshape(*array.shape[:axis], *sizes, *array.shape[axis + 1 :])
    return jnp.moveaxis(array, axis + position, -1).reshape(-1, sizes[position])


def _check_inputs(x: Any, read: Any) -> None:
    """Raise ValueError unless inputs are like those that were read, but for the number of examples."""
    there, here = ([jax.tree.structure(t), *(np.ndim(leaf) for leaf in jax.tree.leaves(t))] for t in (read, x))
    if there != here:
        raise ValueError(
            "`x` must be inputs like those with which the symmetry was read, without labels; their number may differ.\n"
            + _trees.layouts(read=read, x=x)
        )


def _shapes(params: Params) -> Any:
    return jax.tree.structure(params), [np.shape(leaf) for leaf in jax.tree.leaves(params)]


def _check_move(layer: Layer, move: Any) -> None:
    name = f"moves[{layer.name!r}]"
    _checks.instance(name, move, Move, "a Move, as `ls.align` returns them")
    if sorted(np.ravel(move.order).tolist()) != list(range(layer.size)):
        raise ValueError(f"`{name}` has the order {move.order}; wanted a permutation of 0…{layer.size - 1}.")
    for what, values, count in (("signs", move.signs, layer.signs), ("scales", move.scales, layer.scales)):
        if np.shape(values) != (layer.size, count):
            raise ValueError(f"`{name}` has {what} of shape {np.shape(values)}; wanted {(layer.size, count)}.")
    if not (np.abs(move.signs) == 1).all() or not ((np.asarray(move.scales) > 0) & np.isfinite(move.scales)).all():
        raise ValueError(f"`{name}` has signs that are not ±1, or scales that are not positive and finite.")
