"""Linear algebra on stored floats without rounding: every float is an integer times a power of two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Vector = tuple[Fraction, ...]


@dataclass(frozen=True, eq=False)
class Exact:
    """A matrix of floats as integers: A[:, j] = integers[:, j] · 2^exponents[j], Python's integers, of any size."""

    integers: np.ndarray  # (n, k), dtype object
    exponents: tuple[int, ...]  # (k,)

    @classmethod
    def of(cls, array: np.ndarray) -> Exact:
        """The finite floats of an array (n, k)."""
        mantissa, exponent = np.frexp(np.asarray(array, np.float64))
        whole = (mantissa * 2.0**53).astype(np.int64)
        # Trailing zeros go: integers as data stay small, and products of small integers are fast.
        zeros = np.frexp((whole & -whole).astype(np.float64))[1] - 1
        zeros = np.where(whole == 0, 0, zeros)
        whole, exponent = whole >> zeros, np.where(whole == 0, 2000, exponent - 53 + zeros)
        least = exponent.min(axis=0, initial=2000)
        shift = np.where(whole == 0, 0, exponent - least)
        return cls(whole.astype(object) << shift.astype(object), tuple(int(e) if e < 2000 else 0 for e in least))

    def times(self, vector: Sequence[Fraction]) -> tuple[np.ndarray, Fraction]:
        """A·v as integers (n,) and the number > 0 that they are multiplied by."""
        scaled = [v * Fraction(2) ** e for v, e in zip(vector, self.exponents, strict=True)]
        common = math.lcm(*(v.denominator for v in scaled))
        whole = np.array([int(v * common) for v in scaled], object)
        return self.integers @ whole if len(whole) else np.zeros(len(self.integers), object), Fraction(1, common)

    def combined(self, factors: np.ndarray) -> Vector:
        """Σᵢ yᵢA[i, :] for floats y (n,)."""
        whole = Exact.of(factors[:, None])
        sums = whole.integers[:, 0] @ self.integers
        return tuple(
            Fraction(s) * Fraction(2) ** (e + whole.exponents[0]) for s, e in zip(sums, self.exponents, strict=True)
        )


@dataclass(frozen=True, eq=False)
class Span:
    """The row space of a matrix and what it leaves out: A[rows][:, columns] is invertible, A·v = 0 for v in `null`."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    others: tuple[int, ...]  # the other columns
    null: tuple[Vector, ...]  # a basis of the null space: each is 1 in one of the other columns, 0 in the rest of them


def span(array: np.ndarray) -> Span:
    """Rank, independent rows and columns and the null space of an array (n, k), decided in exact arithmetic.

    Floating point only proposes which rows to look at: k of them, well-conditioned; whether all others lie in their
    span is checked by multiplication.
    """
    n, k = array.shape
    if n == 0 or k == 0:
        return Span((), (), tuple(range(k)), tuple(_unit(j, k) for j in range(k)))
    exact, scaled = Exact.of(array), _unit_rows(array)
    chosen = [int(i) for i in _pivots(scaled.T)[:k]]
    while True:
        order = [int(j) for j in _pivots(scaled[chosen])]
        reduced, denominator, rank = _integer_matrix(exact.integers[chosen][:, order]).rref()
        columns = [next(j for j in range(k) if reduced[i, j] != 0) for i in range(rank)]
        others = [j for j in range(k) if j not in columns]
        units = [Fraction(2) ** -exact.exponents[j] for j in order]
        null = [_null_vector(reduced, denominator, columns, j, units) for j in others]
        basis = tuple(tuple(vector[order.index(j)] for j in range(k)) for vector in null)
        outside = _outside(exact, basis)
        if outside is None:
            break
        chosen.append(outside)
    picked = [order[j] for j in columns]
    transposed, _, _ = _integer_matrix(exact.integers[chosen][:, picked].T).rref()
    rows = [next(j for j in range(len(chosen)) if transposed[i, j] != 0) for i in range(rank)]
    return Span(tuple(chosen[j] for j in rows), tuple(picked), tuple(order[j] for j in others), basis)


def rank(array: np.ndarray) -> int:
    """The exact rank of a small array of floats."""
    return _integer_matrix(Exact.of(array).integers).rank() if array.size else 0


def rank_of(vectors: Sequence[Vector]) -> int:
    """The exact rank of a few rational vectors."""
    import flint

    if not vectors:
        return 0
    return flint.fmpq_mat([[flint.fmpq(v.numerator, v.denominator) for v in vector] for vector in vectors]).rank()


def solve(exact: Exact, rows: Sequence[int], columns: Sequence[int], wanted: Vector) -> Vector:
    """The factors δ with Σᵢ δᵢA[i, :] = wanted over the `rows`, read in as many `columns`.

    Raises: ZeroDivisionError if that block is singular.
    """
    import flint

    block = flint.fmpq_mat(_integer_matrix(exact.integers[list(rows)][:, list(columns)].T))
    right = [wanted[j] / Fraction(2) ** exact.exponents[j] for j in columns]
    found = block.solve(flint.fmpq_mat([[flint.fmpq(v.numerator, v.denominator)] for v in right]))
    return tuple(Fraction(int(found[i, 0].p), int(found[i, 0].q)) for i in range(len(columns)))


def least_norm(array: np.ndarray, rows: Sequence[int], wanted: Sequence[Fraction]) -> Vector:
    """The θ of least norm with A[rows]·θ = wanted, of independent rows."""
    import flint

    block = [[Fraction(float(v)) for v in array[i]] for i in rows]
    gram = [[sum((a * b for a, b in zip(u, v, strict=True)), Fraction(0)) for v in block] for u in block]
    found = flint.fmpq_mat([[_rational(v) for v in row] for row in gram]).solve(
        flint.fmpq_mat([[_rational(v)] for v in wanted])
    )
    factors = [Fraction(int(found[i, 0].p), int(found[i, 0].q)) for i in range(len(block))]
    columns = zip(*block, strict=True)
    return tuple(sum((f * v for f, v in zip(factors, column, strict=True)), Fraction(0)) for column in columns)


def _rational(value: Fraction) -> Any:
    import flint

    return flint.fmpq(value.numerator, value.denominator)


def pivot_rows(array: np.ndarray, count: int) -> tuple[int, ...]:
    """`count` rows of an array (n, k), large and far from dependent."""
    return tuple(int(i) for i in _pivots(array.T)[:count])


def powers_of_two(sizes: np.ndarray) -> np.ndarray:
    """The powers of two next to sizes ≥ 0, 1 for 0: dividing by them rounds nothing but what becomes subnormal."""
    return np.exp2(np.minimum(np.round(np.log2(np.where(sizes > 0, sizes, 1.0))), 1023))  # 2^1024 is not a float


def units(array: np.ndarray) -> np.ndarray:
    """A power of two for each column (n, k), as near to its largest entry as divides all of it without rounding."""
    largest = np.log2(powers_of_two(np.abs(array).max(axis=0, initial=0))).astype(int)
    last = np.array(Exact.of(array).exponents, int)  # of the last bits: dividing must leave them above 2^−1075
    return np.ldexp(1.0, np.minimum(largest, last + 1074))


def rounded(value: Fraction) -> float:
    """The nearest float, ±∞ beyond the largest."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _pivots(array: np.ndarray) -> np.ndarray:
    from scipy import linalg

    return linalg.qr(array, mode="r", pivoting=True, check_finite=False)[-1]


def _unit_rows(array: np.ndarray) -> np.ndarray:
    """Columns of size 1, then rows of norm 1; zeros stay."""
    scaled = array / powers_of_two(np.abs(array).max(axis=0))
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(norms > 0, norms, 1.0)


def _integer_matrix(integers: np.ndarray) -> Any:
    import flint

    rows, columns = integers.shape
    return flint.fmpz_mat(rows, columns, integers.ravel().tolist())


def _null_vector(reduced: Any, denominator: Any, columns: list[int], own: int, units: list[Fraction]) -> list[Fraction]:
    """The null vector of a reduced matrix that is 1 in its own column, which has no pivot; columns in these units."""
    vector = [Fraction(0)] * len(units)
    vector[own] = Fraction(1)
    for i, pivot in enumerate(columns):
        vector[pivot] = Fraction(-int(reduced[i, own]), int(denominator)) * units[pivot] / units[own]
    return vector


def _outside(exact: Exact, basis: Sequence[Vector]) -> int | None:
    """A row that some vector of the basis is not orthogonal to."""
    for vector in basis:
        products, _ = exact.times(vector)
        if np.any(products != 0):
            return int(np.argmax(np.abs(products)))
    return None


def _unit(j: int, k: int) -> Vector:
    return tuple(Fraction(int(i == j)) for i in range(k))
