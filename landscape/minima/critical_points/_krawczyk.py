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
    """∇J and ∇²J of J(T·u), J = Σᵢ ωᵢ loss(x̃ᵢ·θ, yᵢ) + Σⱼ βⱼθⱼ², as balls.

    A box of u is a skew one of θ, in which Krawczyk's test holds at any condition that T takes away.
    """

    features: list[list[arb]]  # Tᵀx̃ (n, p)
    labels: list[arb]
    weights: list[arb]
    l2: list[list[arb]]  # 2Tᵀ·diag(β)·T
    basis: list[list[arb]]  # T (p, p)
    inverse: list[list[arb]]
    slopes: Slopes

    def radius(self, point: np.ndarray, widest: np.ndarray) -> np.ndarray | None:
        """Half the edges (p,) of a box of θ around `point` (p,) that is proven to hold exactly one critical point.

        widest: half the edges (p,) of the largest box of u that is tried. None where none could be proven.
        """
        from flint import arb, ctx

        with ctx.workprec(BITS):
            theta = [arb(float(v)) for v in point]
            middle = [arb(_dot(row, theta).mid()) for row in self.inverse]
            gradient, hessian = self.derivatives(middle)
            numbers = np.array([[float(h.mid()) for h in row] for row in hessian])
            if not np.isfinite(numbers).all() or np.linalg.matrix_rank(numbers) < len(numbers):
                return None
            inverse = [[arb(float(v)) for v in row] for row in np.linalg.inv(numbers)]
            step = [_dot(row, gradient) for row in inverse]
            share = max(SMALLEST, *(2 * float(s.abs_upper()) / w for s, w in zip(step, widest, strict=True)))
            zero = None  # K of the least X, where the only zero in all greater ones must be
            while share <= 1:
                box = [arb(0, float(share * w)) for w in widest]
                moved = self._moved(middle, step, inverse, box)
                if all(b.contains_interior(m) for b, m in zip(box, moved, strict=True)):
                    zero = zero or [m + k for m, k in zip(middle, moved, strict=True)]
                    half = self._edges(theta, middle, zero, box)
                    if half is not None:
                        return half
                share *= GROWTH
        return None

    def _moved(self, middle: list[arb], step: list[arb], inverse: list[list[arb]], box: list[arb]) -> list[arb]:
        """K(X) of the box X, both moved by −m."""
        _, hessian = self.derivatives([m + x for m, x in zip(middle, box, strict=True)])
        columns = list(zip(*hessian, strict=True))
        slack = [[int(i == j) - _dot(row, column) for j, column in enumerate(columns)] for i, row in enumerate(inverse)]
        return [_dot(row, box) - s for row, s in zip(slack, step, strict=True)]

    def _edges(self, theta: list[arb], middle: list[arb], zero: list[arb], box: list[arb]) -> np.ndarray | None:
        """Half the edges of a box around θ that holds T·zero and lies in T·X; None where the least does not."""
        from flint import arb

        # Twice what it takes: floats round.
        half = [2 * float((_dot(row, zero) - t).abs_upper()) for row, t in zip(self.basis, theta, strict=True)]
        around = [t + arb(0, h) for t, h in zip(theta, half, strict=True)]
        inside = [_dot(row, around) - m for row, m in zip(self.inverse, middle, strict=True)]
        return np.array(half) if all(b.contains(i) for b, i in zip(box, inside, strict=True)) else None

    def derivatives(self, u: list[arb]) -> tuple[list[arb], list[list[arb]]]:
        """The gradient (p,) and the Hessian (p, p) in u, for a box of it."""
        order = range(len(u))
        gradient, hessian = [_dot(row, u) for row in self.l2], [list(row) for row in self.l2]
        for row, label, weight in zip(self.features, self.labels, self.weights, strict=True):
            first, second = (weight * slope for slope in self.slopes(_dot(row, u), label))
            for i in order:
                gradient[i] += first * row[i]
                curved = second * row[i]
                for j in range(i, len(u)):
                    hessian[i][j] += curved * row[j]
        for i in order:
            for j in range(i):
                hessian[i][j] = hessian[j][i]
        return gradient, hessian


def proof(objective: Objective, model: Linear, basis: np.ndarray | None = None) -> Proof | None:
    """What proves critical points of an objective with a `structure`, read as `model`; None where nothing does.

    basis: T (p, p), regular. Default: u = θ.
    """
    from flint import arb, arb_mat, ctx

    slopes = _slopes(model.loss)
    if slopes is None or len(model.names) > MOST_PARAMETERS or model.l1.any():
        return None
    with ctx.workprec(BITS):
        known = None if objective.structure is None else objective.structure.weights
        weights = [arb(float(w)) for w in (np.ones(len(model.labels)) if known is None else np.asarray(known))]
        if objective.reduction == "mean":
            total = sum(weights, arb(0))
            weights = [w / total for w in weights]
        given = np.eye(len(model.names)) if basis is None else basis
        rows = [[arb(float(v)) for v in row] for row in given]
        columns = list(zip(*rows, strict=True))
        features = [[_dot([arb(float(v)) for v in row], column) for column in columns] for row in model.features]
        labels, doubled = ([arb(float(v)) for v in values] for values in (model.labels, 2 * model.l2))
        l2 = [[_dot([d * v for d, v in zip(doubled, a, strict=True)], b) for b in columns] for a in columns]
        return Proof(features, labels, weights, l2, rows, arb_mat(rows).inv().tolist(), slopes)


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
