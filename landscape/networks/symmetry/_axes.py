"""Axes of arrays as products of factors, and which factors are one and the same: union-find, with splitting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Axis = tuple[int, ...]  # its factors, the outermost first; none of size 1


@dataclass
class Factors:
    """Factors of axes, by number. Two that are joined are indexed by the same units; one may turn out to be a product.

    A flattened image is an axis of height × width × channels, and so are then the rows of the layer that reads it.
    """

    _size: list[int] = field(default_factory=list)
    _joined: list[int] = field(default_factory=list)  # to which other one; itself where it is the first
    _parts: dict[int, Axis] = field(default_factory=dict)
    fixed: set[int] = field(default_factory=set)  # belonging to data or outputs
    constants: set[int] = field(default_factory=set)  # along which a constant array differs, or an index counts
    mixed: set[int] = field(default_factory=set)  # whose units are told apart by a nonlinearity
    refused: dict[int, str] = field(default_factory=dict)  # what happens to it that is not understood
    _derived: list[tuple[Axis, list[Axis]]] = field(default_factory=list)

    def new(self, size: int, *, fixed: bool = False) -> Axis:
        """An axis of its own."""
        if size == 1:
            return ()
        self._size.append(size)
        number = len(self._size) - 1
        self._joined.append(number)
        if fixed:
            self.fixed.add(number)
        return (number,)

    def expanded(self, axis: Axis) -> Axis:
        """The axis in factors as far as they are known by now."""
        out: list[int] = []
        for number in axis:
            first = self._first(number)
            out += self.expanded(self._parts[first]) if first in self._parts else (first,)
        return tuple(out)

    def size(self, axis: Axis) -> int:
        """The length of an axis."""
        return math.prod(self._size[number] for number in self.expanded(axis))

    def join(self, a: Axis, b: Axis) -> bool:
        """Make two axes of the same length one; False where their factors do not fit together."""
        here, there = list(self.expanded(a)), list(self.expanded(b))
        while here and there:
            i, j = here.pop(0), there.pop(0)
            if i == j:
                continue
            if self._size[i] == self._size[j]:
                self._unite(i, j)
                # What has just been united, or split, changes what is left.
                here, there = list(self.expanded(tuple(here))), list(self.expanded(tuple(there)))
                continue
            if self._size[i] > self._size[j]:
                here, there, i, j = there, here, j, i
            parts = self.split(j, self._size[i])
            if parts is None:
                return False
            here, there = list(self.expanded((i, *here))), list(self.expanded((*parts, *there)))
        return not here and not there

    def split(self, number: int, outer: int) -> Axis | None:
        """The factor as a product, the first part of size `outer`; None where that does not divide it."""
        (first,) = self.expanded((number,))
        size = self._size[first]
        if size % outer:
            return None
        parts = (*self.new(outer), *self.new(size // outer))
        self._parts[first] = parts
        for marks in (self.fixed, self.constants, self.mixed):
            if first in marks:
                marks.update(parts)
        if first in self.refused:
            self.refused.update(dict.fromkeys(parts, self.refused[first]))
        return parts

    def cut(self, axes: Sequence[Axis], shape: Sequence[int]) -> list[Axis] | None:
        """The factors of `axes`, one after another, as the axes of another shape; None where they do not fit."""
        left, out = [number for axis in axes for number in self.expanded(axis)], []
        for size in shape:
            taken: list[int] = []
            while size > 1:
                if not left:
                    return None
                number = left.pop(0)
                here = self._size[number]
                if size % here:
                    parts = self.split(number, math.gcd(size, here)) if math.gcd(size, here) > 1 else None
                    if parts is None:
                        return None
                    left = [*parts[1:], *left]
                    number, here = parts[0], self._size[parts[0]]
                taken.append(number)
                size //= here
            out.append(tuple(taken))
        return out

    def mark(self, axis: Axis, marks: set[int]) -> None:
        """Put the axis's factors among those that are `fixed`, `constants` or `mixed`."""
        marks.update(self.expanded(axis))

    def refuse(self, axis: Axis, why: str) -> None:
        """Remember why the axis's units may not be exchangeable."""
        for number in self.expanded(axis):
            self.refused.setdefault(number, why)

    def derived(self, axes: Sequence[Axis], size: int, why: str) -> Axis:
        """A new axis that is made of others, in a way that is not understood unless these belong to the data."""
        axis = self.new(size)
        self.refuse(axis, why)
        self._derived.append((axis, list(axes)))
        return axis

    def settle(self) -> None:
        """What is made of the axes of data and constants alone is fixed too."""
        before = -1
        while before != len(self.fixed):
            before = len(self.fixed)
            for axis, sources in self._derived:
                if all((self.fixed | self.constants).issuperset(self.expanded(source)) for source in sources):
                    self.mark(axis, self.fixed)

    def _first(self, number: int) -> int:
        while self._joined[number] != number:
            number = self._joined[number]
        return number

    def _unite(self, i: int, j: int) -> None:
        self._joined[j] = i
        for marks in (self.fixed, self.constants, self.mixed):
            if j in marks:
                marks.add(i)
        if j in self.refused:
            self.refused.setdefault(i, self.refused[j])
