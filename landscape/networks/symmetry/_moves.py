"""Hidden layers as sets of units with places in the params, and the moves that permute and multiply units."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Leaves = Mapping[str, Any]  # arrays of NumPy or of JAX, by the leaves' names


class Place(NamedTuple):
    """Where units of a layer are: along an axis of a leaf, or along one factor of it (of `shape`, at `position`)."""

    leaf: str
    axis: int
    shape: tuple[int, ...]
    position: int
    signs: tuple[float, ...]  # of each sign flip, whether the leaf's entries follow it: 0 or 1
    scales: tuple[float, ...]  # of each rescaling, the power of a unit's factor by which its entries are multiplied
    others: frozenset[int]  # the layers whose units other axes of the leaf count


@dataclass(frozen=True)
class Layer:
    """A set of hidden units that may be exchanged."""

    number: int = field(repr=False)
    name: str
    places: tuple[Place, ...]
    values: tuple[tuple[int, int, int], ...] = field(
        repr=False
    )  # its activations in the program: value, axis, position
    passed: tuple[float, ...] = field(repr=False)  # of each sign flip, whether the activations follow it

    @property
    def size(self) -> int:
        """How many units."""
        return self.places[0].shape[self.places[0].position]

    @property
    def signs(self) -> int:
        """How many ways there are to flip signs of a unit: 1 under tanh."""
        return len(self.places[0].signs)

    @property
    def scales(self) -> int:
        """How many positive factors of a unit are free: 1 under relu."""
        return len(self.places[0].scales)

    def __str__(self) -> str:
        kinds = ["permutations", *["signs"] * (self.signs > 0), *["positive factors"] * (self.scales > 0)]
        where = ", ".join(f"{place.leaf} axis {place.axis}" for place in self.places)
        return f"{self.name}: {self.size} units, {' and '.join(kinds)} ({where})"


@dataclass(frozen=True)
class Move:
    """Unit u becomes what unit order[u] was, times signs[u] and scales[u], each to the powers of its place.

    order (M,), signs (M, sign flips) of ±1, scales (M, rescalings) > 0.
    """

    order: Any
    signs: Any
    scales: Any

    def then(self, second: Move) -> Move:
        """This move, and after it another."""
        order = second.order
        return Move(self.order[order], self.signs[order] * second.signs, self.scales[order] * second.scales)

    def factors(self, place: Place) -> Any:
        """What the entries of each unit are multiplied by at a place, (M,); None where that is 1."""
        powers = [(self.signs[:, i], power) for i, power in enumerate(place.signs)]
        powers += [(self.scales[:, i], power) for i, power in enumerate(place.scales)]
        factors = [factor**power for factor, power in powers if power]
        return math.prod(factors[1:], start=factors[0]) if factors else None


def still(layer: Layer) -> Move:
    """The move that changes nothing."""
    return Move(np.arange(layer.size), np.ones((layer.size, layer.signs)), np.ones((layer.size, layer.scales)))


def units(leaf: Any, place: Place) -> Any:
    """A leaf with the units of a place along its first axis, (M, …)."""
    split = leaf.reshape(*leaf.shape[: place.axis], *place.shape, *leaf.shape[place.axis + 1 :])
    return leaf.__array_namespace__().moveaxis(split, place.axis + place.position, 0)


def transformed(leaves: Leaves, moves: Iterable[tuple[Layer, Move]]) -> dict[str, Any]:
    """The leaves after the moves."""
    out = dict(leaves)
    for layer, move in moves:
        for place in layer.places:
            leaf = out[place.leaf]
            space = leaf.__array_namespace__()
            moved, factors = units(leaf, place)[move.order], move.factors(place)
            if factors is not None:
                moved = moved * factors.astype(leaf.dtype).reshape(-1, *[1] * (moved.ndim - 1))
            out[place.leaf] = space.moveaxis(moved, 0, place.axis + place.position).reshape(leaf.shape)
    return out


def all_moves(layers: Sequence[Layer]) -> Iterator[list[tuple[Layer, Move]]]:
    """Every combination of permutations and signs."""

    def of(layer: Layer) -> Iterator[Move]:
        ones = np.ones((layer.size, layer.scales))
        for order in itertools.permutations(range(layer.size)):
            for signs in itertools.product((1.0, -1.0), repeat=layer.size * layer.signs):
                yield Move(np.array(order), np.array(signs).reshape(layer.size, layer.signs), ones)

    def combined(left: Sequence[Layer]) -> Iterator[list[tuple[Layer, Move]]]:
        if not left:
            yield []
            return
        for move in of(left[0]):
            for rest in combined(left[1:]):
                yield [(left[0], move), *rest]

    return combined(layers)


def random_moves(rng: np.random.Generator, layers: Sequence[Layer]) -> list[tuple[Layer, Move]]:
    """A move of each layer."""
    return [
        (
            layer,
            Move(
                rng.permutation(layer.size),
                rng.choice([-1.0, 1.0], (layer.size, layer.signs)),
                np.exp(rng.normal(size=(layer.size, layer.scales))),
            ),
        )
        for layer in layers
    ]


def in_order(layers: Sequence[Layer], *, backwards: bool = False) -> list[tuple[Layer, list[Place]]]:
    """Layers, one after another, each with its places that are known by what came before: all other axes are settled.

    From the inputs on, or from the outputs. A layer with no such place (none in a chain) comes last, with none.
    """
    left, settled, out = list(reversed(layers)) if backwards else list(layers), set(), []
    while left:
        ready = [
            (layer, [p for p in layer.places if p.others <= settled and layer.number not in p.others]) for layer in left
        ]
        layer, places = next((found for found in ready if found[1]), ready[0])
        out.append((layer, places))
        left.remove(layer)
        settled.add(layer.number)
    return out


def rows(leaves: Leaves, places: Sequence[Place]) -> Any:
    """What the units of a layer are at some places, side by side: (M, numbers)."""
    parts = [units(leaves[place.leaf], place) for place in places]
    flat = [part.reshape(len(part), math.prod(part.shape[1:])) for part in parts]
    return flat[0].__array_namespace__().concatenate(flat, axis=1)
