"""Data as exact rationals: each number is the shortest decimal that its dtype prints, 0.9 as 9/10."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from landscape.minima._linear import Linear
from landscape.objectives.losses import CrossEntropy, PointwiseLoss
from landscape.objectives.objective import LinearModel

ENTRIES = 20_000  # of distinct examples: an exact rank takes seconds
ODD = ("sigmoid", "tanh")  # f(−z) = low + high − f(z): an example −x̃ is one at x̃
Row = tuple[Fraction, ...]


@dataclass(frozen=True, eq=False)
class Examples:
    """Distinct inputs x̃ ≠ 0, each with its total weight and its mean label: m of them.

    Both losses depend on the labels of one input through their mean alone, up to a constant. For sigmoid and tanh an
    example at −x̃ is one at x̃ with the label mirrored.
    """

    exact_rows: tuple[Row, ...]
    exact_labels: tuple[Fraction, ...]
    exact_weights: tuple[Fraction, ...]
    rows: np.ndarray  # (m, p), as the data are
    labels: np.ndarray  # (m,)
    mixed: bool  # whether equal inputs have different labels


@dataclass(frozen=True, eq=False)
class OneWeight:
    """J(w) = Σᵢ ωᵢ loss(xᵢw, yᵢ) + α|w| + βw² in exact rationals, x > 0; θ = w·direction."""

    examples: tuple[tuple[Fraction, Fraction, Fraction], ...]  # x, y, ω
    loss: PointwiseLoss
    l1: Fraction
    l2: Fraction
    direction: np.ndarray  # (p,)


def fraction(value: Any) -> Fraction:
    """The shortest decimal that the number's dtype prints, exactly; of dtypes that NumPy has not, the binary value."""
    return Fraction(str(value) if isinstance(value, (np.floating, float)) else float(value))


def activation_name(loss: PointwiseLoss) -> str:
    """Of the unit: cross-entropy is the sigmoid's."""
    return "sigmoid" if isinstance(loss, CrossEntropy) else loss.activation.name


def examples(model: LinearModel, read: Linear, mean: bool) -> Examples | None:
    """The distinct examples of positive weight whose input is not 0; None where they are too many to be read."""
    dtypes = [np.asarray(array).dtype for array in (model.features, model.labels)]
    kept = read.weights > 0
    table = np.column_stack([read.features, read.labels])[kept]
    pairs, inverse = np.unique(table + 0.0, axis=0, return_inverse=True)  # + 0.0: −0 is 0
    if pairs.size > ENTRIES:
        return None
    given = np.ones(len(table)) if model.weights is None else np.asarray(model.weights)[kept]
    weights = _summed(given, inverse.ravel(), len(pairs))
    total = sum(weights) if mean else Fraction(1)
    mirrored = activation_name(read.loss) in ODD
    both = Fraction(1 if activation_name(read.loss) == "sigmoid" else 0)  # f(z) + f(−z)
    merged: dict[Row, list[Any]] = {}
    for pair, weight in zip(pairs, weights, strict=True):
        row, label = tuple(map(fraction, pair[:-1].astype(dtypes[0]))), fraction(pair[-1:].astype(dtypes[1])[0])
        plain, number = pair[:-1], pair[-1]
        first = next((entry for entry in row if entry), Fraction(0))
        if first < 0 and mirrored:
            row, label, plain, number = tuple(-e for e in row), both - label, -plain, float(both) - number
        if first:
            group = merged.setdefault(row, [Fraction(0), Fraction(0), plain, [], set()])
            group[0] += weight / total
            group[1] += weight / total * label
            group[3].append((float(weight / total), number))
            group[4].add(label)
    return _as_examples(merged, read.features.shape[1])


def _as_examples(merged: dict[Row, list[Any]], size: int) -> Examples:
    groups = merged.values()
    labels = [math.fsum(w * y for w, y in pairs) / math.fsum(w for w, _ in pairs) for *_, pairs, _ in groups]
    return Examples(
        tuple(merged),
        tuple(products / weight for weight, products, *_ in groups),
        tuple(weight for weight, *_ in groups),
        np.array([plain for _, _, plain, *_ in groups]).reshape(-1, size),
        np.array(labels),
        any(len(group[4]) > 1 for group in groups),
    )


def _summed(weights: np.ndarray, inverse: np.ndarray, count: int) -> list[Fraction]:
    """Exact sums of the weights of each group."""
    if (weights == weights[0]).all():
        return [int(k) * fraction(weights[0]) for k in np.bincount(inverse, minlength=count)]
    sums = [Fraction(0)] * count
    for group, weight in zip(inverse, weights, strict=True):
        sums[group] += fraction(weight)
    return sums


def rank(rows: tuple[Row, ...]) -> int:
    """The exact rank of a matrix."""
    import flint

    if not rows:
        return 0
    scaled = [[int(entry * math.lcm(*(e.denominator for e in row))) for entry in row] for row in rows]
    return flint.fmpz_mat(scaled).rank()


def penalty(read: Linear) -> tuple[Row, Row]:
    """(α, β), both (p,)."""
    return tuple(map(fraction, read.l1)), tuple(map(fraction, read.l2))


def one_weight(data: Examples, read: Linear) -> OneWeight | None:
    """The objective as a function of one weight, where all its minimizers lie on one line through 0; else None.

    That is so with one parameter; with one input under l2 of all parameters, whose minimizer is a multiple of x̃; and
    for cross-entropy of one feature and a bias if the examples stay the same under (x, y) → (−x, 1−y): then J(w, b) =
    J(w, −b), J is strictly convex, and b = 0.
    """
    (l1, l2), size = penalty(read), read.features.shape[1]
    if activation_name(read.loss) not in ODD:
        return None
    triples = tuple(zip(data.exact_rows, data.exact_labels, data.exact_weights, strict=True))
    if size == 1:
        return OneWeight(tuple((row[0], y, w) for row, y, w in triples), read.loss, l1[0], l2[0], np.ones(1))
    if len(triples) == 1 and not any(l1) and len(set(l2)) == 1 and l2[0]:
        (row, y, weight) = triples[0]
        square = sum((entry * entry for entry in row), start=Fraction(0))
        return OneWeight(((square, y, weight),), read.loss, Fraction(0), l2[0] * square, data.rows[0])
    if size == 2 and isinstance(read.loss, CrossEntropy):
        for column in (0, 1):
            folded = _symmetric(triples, column)
            if folded is not None:
                return OneWeight(folded, read.loss, l1[column], l2[column], np.eye(2)[column])
    return None


def _symmetric(triples: tuple[tuple[Row, Fraction, Fraction], ...], column: int) -> Any:
    """The examples of one column, if the other is constant and they stay the same under (x, y) → (−x, 1−y)."""
    # Rows were mirrored to make their first entry positive: undo that, so that the constant is the same in all.
    signs = [1 if row[1 - column] > 0 else -1 for row, *_ in triples]
    found = {
        sign * row[column]: (y if sign > 0 else 1 - y, weight)
        for sign, (row, y, weight) in zip(signs, triples, strict=True)
    }
    constants = {abs(row[1 - column]) for row, *_ in triples}
    if len(constants) != 1 or constants == {0} or not any(found):
        return None
    for x, (y, weight) in found.items():
        if found.get(-x) != (1 - y, weight):
            return None
    return tuple((x, y, 2 * weight) for x, (y, weight) in found.items() if x > 0)
