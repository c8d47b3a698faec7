"""A proof that a box holds exactly one critical point: Krawczyk's test in ball arithmetic.

    K(X) = m − Y∇J(m) + (I − Y∇²J(X))(X − m),        K(X) ⊂ int X

of a box X around m, Y an approximate inverse of ∇²J(m): then X holds exactly one zero of ∇J, and ∇²J is regular in all
of X (Krawczyk 1969; Moore 1977, SIAM J. Numer. Anal. 14, section 3; Rump 2010, Acta Numerica 19, section 13.3).
∇J(m) and ∇²J(X) are enclosed by Arb's balls, from the data as the floating-point numbers that they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.minima._linear import Linear
from landscape.objectives.losses import CrossEntropy, HalfSquaredError, PointwiseLoss
from landscape.objectives.objective import Objective

if TYPE_CHECKING:
    from flint import arb

MOST_PARAMETERS = 3
BITS = 128
SMALLEST = 2.0**-60  # box, as a share of the widest
GROWTH = 4.0
Slopes = Callable[["arb", "arb"], tuple["arb", "arb"]]  # (∂/∂z, ∂²/∂z²) of a loss at (z, y)


@dataclass(frozen=True)
class Proof:
    """∇J and ∇²J of Σᵢ ωᵢ loss(x̃ᵢ·θ, yᵢ) + Σⱼ βⱼθⱼ² as balls."""

    features: list[list[arb]]  # x̃ (n, p)
    labels: list[arb]
    weights: list[arb]
    l2: list[arb]
    slopes: Slopes

    def radius(self, point: np.ndarray, widest: np.ndarray) -> np.ndarray | None:
        """Half the edges (p,) of a box around `point` (p,) that is proven to hold exactly one critical point.

        widest: half the edges (p,) of the largest box that is tried. None where none could be proven.
        """
        from flint import arb, ctx

        with ctx.workprec(BITS):
            middle = [arb(float(v)) for v in point]
            gradient, hessian = self.derivatives(middle)
            numbers = np.array([[float(h.mid()) for h in row] for row in hessian])
            if not np.isfinite(numbers).all() or np.linalg.matrix_rank(numbers) < len(numbers):
                return None
            inverse = [[arb(float(v)) for v in row] for row in np.linalg.inv(numbers)]
            step = [_dot(row, gradient) for row in inverse]
            share = max(SMALLEST, *(2 * float(s.abs_upper()) / w for s, w in zip(step, widest, strict=True)))
            while share <= 1:
                if self._holds(middle, step, inverse, share * widest):
                    return share * widest
                share *= GROWTH
        return None

    def _holds(self, middle: list[arb], step: list[arb], inverse: list[list[arb]], half: np.ndarray) -> bool:
        """K(X) ⊂ int X for the box of half edges `half`; both are moved by −m."""
        from flint import arb

        box = [arb(0, float(h)) for h in half]
        _, hessian = self.derivatives([m + x for m, x in zip(middle, box, strict=True)])
        for i, row in enumerate(inverse):
            slack = [int(i == j) - _dot(row, column) for j, column in enumerate(zip(*hessian, strict=True))]
            if not box[i].contains_interior(_dot(slack, box) - step[i]):
                return False
        return True

    def derivatives(self, theta: list[arb]) -> tuple[list[arb], list[list[arb]]]:
        """∇J (p,) and ∇²J (p, p) for a box of θ."""
        order = range(len(theta))
        gradient = [2 * b * t for b, t in zip(self.l2, theta, strict=True)]
        hessian = [[2 * self.l2[i] if i == j else 0 * self.l2[i] for j in order] for i in order]
        for row, label, weight in zip(self.features, self.labels, self.weights, strict=True):
            first, second = (weight * slope for slope in self.slopes(_dot(row, theta), label))
            for i in order:
                gradient[i] += first * row[i]
                curved = second * row[i]
                for j in range(i, len(theta)):
                    hessian[i][j] += curved * row[j]
        for i in order:
            for j in range(i):
                hessian[i][j] = hessian[j][i]
        return gradient, hessian


def proof(objective: Objective, model: Linear) -> Proof | None:
    """What proves critical points of an objective with a `structure`, read as `model`; None where nothing does."""
    from flint import arb, ctx

    slopes = _slopes(model.loss)
    if slopes is None or len(model.names) > MOST_PARAMETERS or model.l1.any():
        return None
    with ctx.workprec(BITS):
        given = None if objective.structure is None else objective.structure.weights
        weights = [arb(float(w)) for w in (np.ones(len(model.labels)) if given is None else np.asarray(given))]
        if objective.reduction == "mean":
            total = sum(weights, arb(0))
            weights = [w / total for w in weights]
        features = [[arb(float(v)) for v in row] for row in model.features]
        labels, l2 = ([arb(float(v)) for v in values] for values in (model.labels, model.l2))
        return Proof(features, labels, weights, l2, slopes)


def _dot(a: Any, b: Any) -> arb:
    from flint import arb

    return sum((x * y for x, y in zip(a, b, strict=True)), arb(0))


# Each slope is a product of factors that lose nothing where the unit saturates: 1 − σ(z) is σ(−z), 1 − tanh² is 4σ(2z)
# σ(−2z). A box widens them by its own width only.


def _sigmoid(z: arb) -> arb:
    return 1 / (1 + (-z).exp())


def _sigmoid_with_derivatives(z: arb) -> tuple[arb, arb, arb]:
    s, rest = _sigmoid(z), _sigmoid(-z)
    return s, s * rest, s * rest * (rest - s)


def _tanh_with_derivatives(z: arb) -> tuple[arb, arb, arb]:
    t, slope = z.tanh(), 4 * _sigmoid(2 * z) * _sigmoid(-2 * z)
    return t, slope, -2 * t * slope


def _softplus_with_derivatives(z: arb) -> tuple[arb, arb, arb]:
    s = _sigmoid(z)
    return z.exp().log1p(), s, s * _sigmoid(-z)


def _identity_with_derivatives(z: arb) -> tuple[arb, arb, arb]:
    return z, 1 + 0 * z.mid(), 0 * z.mid()


ACTIVATIONS = {
    "identity": _identity_with_derivatives,
    "sigmoid": _sigmoid_with_derivatives,
    "tanh": _tanh_with_derivatives,
    "softplus": _softplus_with_derivatives,
}


def _slopes(loss: PointwiseLoss) -> Slopes | None:
    """None for relu, whose kinks no second derivative encloses, and for losses that are not the package's own."""
    if isinstance(loss, CrossEntropy):
        return _cross_entropy
    activation = ACTIVATIONS.get(loss.activation.name) if isinstance(loss, HalfSquaredError) else None
    if activation is None:
        return None

    def half_squared_error(z: arb, y: arb) -> tuple[arb, arb]:
        f, first, second = activation(z)
        return (f - y) * first, first * first + (f - y) * second

    return half_squared_error


def _cross_entropy(z: arb, y: arb) -> tuple[arb, arb]:
    s, slope, _ = _sigmoid_with_derivatives(z)
    return s - y, slope
