"""Certificates of attainment: what proves a verdict to anyone who can multiply, in exact rationals."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from landscape.minima.attainment import _exact
from landscape.minima.attainment._exact import Exact, Vector

CLAIMS = ("attained", "complete", "quasi-complete", "not attained")


@dataclass(frozen=True, eq=False)
class Certificate:
    """A proof that a minimum is attained, or that it is not, for the floats as they are stored. `verify()` checks it.

    claim:       "attained": some y with yᵢ > 0 where sᵢ ≠ 0 has Σ yᵢsᵢx̃ᵢ = 0 on the free columns (Stiemke's lemma: so
                 no d has sᵢx̃ᵢ·d ≥ 0 for all i and > 0 for some).
                 "complete": sᵢx̃ᵢ·d > 0 for all i.
                 "quasi-complete": sᵢx̃ᵢ·d ≥ 0 and > 0 for some, and a y as above for the examples with sᵢx̃ᵢ·d = 0: no
                 other direction does more.
                 "not attained": sᵢx̃ᵢ·d ≥ 0 and > 0 for some; which of the two it is stays open.
    rows:        x̃ (n, p) of the examples that count.
    signs:       s (n,): 1, −1, or 0 for an example whose loss grows both ways: x̃ᵢ·d must be 0, yᵢ may have any sign.
    free:        (p,), the parameters without a penalty; d is 0 in the others.
    direction:   d (p,), or None where it is attained.
    multipliers: y (n,), floats, 0 where none is needed; `corrections` (i, δ) are added to some of them, and are in what
                 `combination()` returns.
    loose:       (p,), the parameters that can differ between minimizers: those without l2; under l1, of those, the ones
                 that its subgradient allows to differ from 0 (read off the minimizer in floating point).
    null:        a basis of the d ≠ 0 on the loose columns with x̃ᵢ·d = 0 for all i; `independent`: rows that prove that
                 there are no more. Empty, with no rows, where the minimum is not attained.
    """

    claim: str
    rows: np.ndarray
    signs: np.ndarray
    free: np.ndarray
    direction: Vector | None
    multipliers: np.ndarray
    corrections: tuple[tuple[int, Fraction], ...]
    loose: np.ndarray
    null: tuple[Vector, ...] = ()
    independent: tuple[int, ...] = ()

    def __str__(self) -> str:
        count, hard = len(self.rows), int((self.signs != 0).sum())
        lines = [
            f"Claim: {self.claim}, of {count} examples x̃ᵢ with {int(self.free.sum())} parameters without a penalty."
        ]
        if self.direction is not None:
            margins = self.margins()
            least = int(np.argmin(np.where(margins > 0, margins, np.inf)))
            lines.append(
                f"`direction` d: sᵢx̃ᵢ·d > 0 for {int((margins > 0).sum())} examples, the least {margins[least]:.6g} at "
                f"example {least}, and 0 for the others: none gets worse along d."
            )
        if self.claim in ("attained", "quasi-complete"):
            y = self.combination()
            used = y[(y > 0) & (self.signs != 0)]
            shown = f", from {used.min():.6g} to {used.max():.6g}" if used.size else ""
            which = "" if self.direction is None else " that d leaves at 0"
            lines.append(
                f"`combination()` y: Σ yᵢsᵢx̃ᵢ = 0 with yᵢ > 0 for all {used.size} of the {hard} labeled examples{which}"
                f"{shown}: what improves one of these makes another worse."
            )
        lines.append(f"In exact rationals: {'verified' if self.verify() else 'NOT verified'}.")
        return "\n".join(lines)

    __repr__ = __str__

    def verify(self) -> bool:
        """Whether it proves its claim, by multiplication of rationals alone: no tolerance, nothing is rounded."""
        if self.claim not in CLAIMS:
            return False
        products = None if self.direction is None else self._products(self.direction)
        return self._separates(products) and self._balances(products) and self._spans()

    def _separates(self, products: np.ndarray | None) -> bool:
        """Whether the direction does what is claimed of it."""
        if self.claim == "attained":
            return products is None
        if products is None or any(v != 0 for v in np.array(self.direction, object)[~self.free]):
            return False
        hard = self.signs != 0
        if np.any(products < 0) or np.any(products[~hard] != 0):
            return False
        positive = products > 0
        if self.claim == "not attained":
            return bool(positive.any())
        return bool(positive.any()) and bool(positive.all()) == (self.claim == "complete")

    def _balances(self, products: np.ndarray | None) -> bool:
        """Whether the multipliers are positive and cancel on what the direction leaves at zero."""
        if self.claim == "not attained":
            return True
        left = np.ones(len(self.rows), bool) if products is None else products == 0
        total, hard = self._corrected(), self.signs != 0
        if np.any(total[left & hard] <= 0) or np.any(total[~left] != 0):
            return False
        return all(
            v == 0
            for v in balance(signed(self.rows[:, self.free], self.signs), self.multipliers, dict(self.corrections))
        )

    def _spans(self) -> bool:
        """Whether the null vectors are null vectors, and all of them."""
        if self.claim != "attained":
            return not self.null and not self.independent
        if any(v[j] != 0 for v in self.null for j in np.flatnonzero(~self.loose)):
            return False
        if self.null:
            exact = Exact.of(self.rows)
            if any(np.any(exact.times(v)[0] != 0) for v in self.null):
                return False
        found = _exact.rank(self.rows[list(self.independent)][:, self.loose]) + _exact.rank_of(self.null)
        return found == self.loose.sum() and _exact.rank_of(self.null) == len(self.null)

    def margins(self) -> np.ndarray:
        """sᵢx̃ᵢ·d (n,) of the examples that count, rounded once; 0 is exactly 0."""
        if self.direction is None:
            return np.zeros(len(self.rows))
        products, unit = Exact.of(signed(self.rows, self.signs)).times(self.direction)
        return np.array([float(p * unit) for p in products])

    def combination(self) -> np.ndarray:
        """y (n,) of the examples that count, with its corrections, rounded once: Σ yᵢsᵢx̃ᵢ = 0."""
        return np.array([float(y) for y in self._corrected()])

    def _corrected(self) -> np.ndarray:
        """y (n,), floats, and Fractions where a correction is added."""
        total = self.multipliers.astype(object)
        for i, value in self.corrections:
            total[i] = Fraction(self.multipliers[i]) + value
        return total

    def _products(self, direction: Vector) -> np.ndarray:
        """Integers with the signs of sᵢx̃ᵢ·d (n,)."""
        return Exact.of(signed(self.rows, self.signs)).times(direction)[0]


def signed(rows: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """sᵢx̃ᵢ (n, k), with 1 for a sign of 0."""
    return np.where(signs == 0, 1.0, signs)[:, None] * rows


def balance(rows: np.ndarray, multipliers: np.ndarray, corrections: dict[int, Fraction]) -> Vector:
    """Σᵢ (yᵢ + δᵢ)A[i, :], exactly."""
    used = np.flatnonzero(multipliers)
    totals = list(Exact.of(rows[used]).combined(multipliers[used]))
    for i, value in corrections.items():
        totals = [t + value * Fraction(float(a)) for t, a in zip(totals, rows[i], strict=True)]
    return tuple(totals)


def corrections(
    rows: np.ndarray, multipliers: np.ndarray, columns: tuple[int, ...], white: np.ndarray
) -> tuple[tuple[int, Fraction], ...]:
    """δ on a few rows that makes Σᵢ (yᵢ + δᵢ)A[i, :] = 0 exactly; `columns` are independent ones, as many as the rank.

    The rows are a basis, as far from dependent as can be after multiplication by y, so that δ is small beside y. What
    is far from dependent is seen in `white`, the rows in coordinates in which the columns are near orthonormal.
    Raises: ZeroDivisionError if floating point took dependent rows for a basis.
    """
    exact = Exact.of(rows)
    residual = exact.combined(multipliers)
    if all(v == 0 for v in residual):
        return ()
    chosen = _exact.pivot_rows(white * np.abs(multipliers)[:, None], len(columns))
    factors = _exact.solve(exact, chosen, columns, tuple(-v for v in residual))
    return tuple((i, f) for i, f in zip(chosen, factors, strict=True) if f != 0)
