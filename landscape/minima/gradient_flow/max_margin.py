"""`max_margin`: the direction that gradient flow on separable data tends to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape._trees import Params
from landscape.minima._linear import Linear, linear
from landscape.minima.attainment._exact import powers_of_two
from landscape.objectives.objective import Objective

TOLERANCE = 1e-13  # relative gap at which no more examples are looked at
ROUNDING = 8 * float(np.finfo(np.float64).eps)  # of an inner product of unit vectors, an entry
ON_MARGIN = 1e-9  # relative distance from the margin at which an example lies on it
RESCALINGS = 3  # of the least-distance program: the second has its answer at distance 1, the third is for a poor first


@dataclass(frozen=True, eq=False)
class MaxMargin:
    """The largest margin, with the proof that it is: d and μ bound it from below and from above,

        minᵢ sᵢ x̃ᵢ·d ≤ maximum ≤ ‖Σᵢ μᵢ sᵢ x̃ᵢ‖     for every unit d and every μ ≥ 0 with Σ μᵢ = 1.

    direction:    d, params of norm 1 over all of them, bias included; NumPy arrays in float64.
    margin:       minᵢ sᵢ x̃ᵢ·d > 0, over the examples of positive weight.
    margins:      sᵢ x̃ᵢ·d, (n,); NaN for an example of weight 0.
    support:      indices of the examples on the margin.
    multipliers:  μ, (n,), ≥ 0 with sum 1: margin·d = Σᵢ μᵢ sᵢ x̃ᵢ. 0 off the support. A support-vector machine's dual
                  coefficients are μ/margin². Not unique where examples repeat.
    kkt_residual: (‖Σᵢ μᵢ sᵢ x̃ᵢ‖ − margin)/margin, 0 exactly where all conditions of Karush, Kuhn and Tucker hold: the
                  maximum is at most (1 + kkt_residual)·margin. From about 1e-15·maxᵢ‖x̃ᵢ‖/margin on: a margin that
                  is small beside the data cannot be told better in float64.
    """

    direction: Params
    margin: float
    margins: np.ndarray
    support: np.ndarray
    multipliers: np.ndarray
    kkt_residual: float

    def __str__(self) -> str:
        on, n = len(self.support), len(self.margins)
        return f"Margin {self.margin:.6g}, with {on} of {n} examples on it (KKT residual {self.kkt_residual:.1e})."

    __repr__ = __str__


def max_margin(objective: Objective) -> MaxMargin:
    """The direction d of largest margin, for a model that is linear in its parameters and labels y in {0, 1}.

        maximize minᵢ sᵢ x̃ᵢ·d  over ‖d‖ = 1,        sᵢ = 2yᵢ − 1,  x̃ᵢ = (xᵢ, 1)

    The hard-margin support-vector machine through the origin of the space of all parameters, so the bias counts in the
    norm as a weight does. On data that some d separates completely, cross-entropy has no minimum: gradient flow goes to
    infinity and its direction to this one, from every start (Soudry et al. 2018, theorem 3), as slowly as 1/log t.

    objective: an Objective with a `structure`. Its examples of weight 0 do not count, nor do its penalty and its loss:
               the margin belongs to the data.

    d lies along the point nearest to 0 of the convex hull of the sᵢ x̃ᵢ: a least-distance program, solved as nonnegative
    least squares (Lawson & Hanson 1974, chapter 23) over a few examples, to which those are added that it leaves below
    the margin, until there are none. One label for all examples is allowed.
    Returns: a `MaxMargin`; look at its `kkt_residual`.
    Raises: ValueError where none is found that separates the examples by more than rounding (`ls.attainment` says what
    holds then), for other
    labels, and for an objective without `structure`; TypeError for what is no Objective.

        >>> import landscape as ls
        >>> best = ls.max_margin(ls.neuron(*ls.datasets.pair()))
        >>> {name: round(float(leaf), 6) for name, leaf in best.direction.items()}
        {'b': 0.0, 'w': 1.0}
        >>> print(best)
        Margin 1, with 2 of 2 examples on it (KKT residual 0.0e+00).
    """
    model = linear(objective, "max_margin")
    counted = np.flatnonzero(model.weights > 0)
    _check_labels(model.labels, counted)
    signed = (2 * model.labels - 1)[:, None] * model.features
    # A power of two: norms of squares would leave float64's range first, and nothing is rounded.
    scale = float(powers_of_two(np.abs(signed[counted]).max(initial=0.0))) / 2
    rows = signed[counted] / scale
    lengths = np.linalg.norm(rows, axis=1)
    unit, multipliers = _solved(rows / (float(lengths.max()) or 1.0))
    theta = unit + 0.0  # no −0
    inner = rows @ theta
    # Each beside the rounding of its own sum: a long row says nothing of how well a short one's is known.
    if not (inner > ROUNDING * (np.abs(rows) @ np.abs(theta))).all():
        raise _not_separable(model, float(inner.min()) * scale)
    least = float(inner.min())
    upper = float(np.linalg.norm(multipliers @ rows))
    allowed = least * (1 + ON_MARGIN) + ROUNDING * len(theta) * lengths
    everywhere, margins = np.zeros(len(signed)), np.full(len(signed), np.nan)
    everywhere[counted], margins[counted] = multipliers, inner * scale
    return MaxMargin(
        direction=model.params(theta),
        margin=least * scale,
        margins=margins,
        support=counted[inner <= allowed],
        multipliers=everywhere,
        kkt_residual=max(0.0, (upper - least) / least),
    )


def _check_labels(labels: np.ndarray, counted: np.ndarray) -> None:
    other = ~np.isin(labels, (0, 1)) & np.isin(np.arange(len(labels)), counted)
    if other.any():
        first = int(np.argmax(other))
        raise ValueError(
            f"`objective` has labels other than 0 and 1 ({int(other.sum())} of {len(labels)}), the first is "
            f"{labels[first]:g} at index {first}; a margin belongs to two classes. Build it with labels 0 and 1."
        )


def _not_separable(model: Linear, margin: float) -> ValueError:
    return ValueError(
        f"`objective` has examples that no direction separates by more than rounding: with the best one found, "
        f"{', '.join(model.names)} of norm 1, the least margin is {margin:.3g}. ls.attainment(objective) decides in "
        "exact arithmetic whether they are separable, and whether there is a minimum instead. If they should be, "
        "center and scale the inputs: large offsets drown the margin."
    )


def _solved(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(d, μ) of rows (m, p) no longer than 1. Where nothing separates them, some d and the μ that shows it."""
    count, size = rows.shape
    some = np.argsort(rows @ rows.mean(axis=0), kind="stable")[: 2 * size + 2]
    while True:
        direction, weights = _of_few(rows[some])
        margins = rows @ direction
        upper = float(np.linalg.norm(weights @ rows[some]))
        if upper <= ROUNDING * size or upper - margins.min() <= TOLERANCE * upper:
            break
        # Each round adds examples and drops none, so that it ends even where rounding hides its progress.
        worst = np.setdiff1d(np.argsort(margins, kind="stable")[: size + 1], some)
        worst = worst[margins[worst] < upper]
        if not len(worst):
            break
        some = np.concatenate([some, worst])
    multipliers = np.zeros(count)
    multipliers[some] = weights
    return direction, multipliers


def _of_few(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(d, μ) of a few rows: the best of what the program found, and of the same refined on the rows that it chose."""
    weights = _nearest(rows)
    point = weights @ rows
    if not point.any():
        return np.eye(len(point))[0], weights
    chosen = weights > 0
    # On the support every margin is 1: the shortest such vector, and the multipliers that make it of the rows.
    refined = np.linalg.lstsq(rows[chosen], np.ones(int(chosen.sum())), rcond=None)[0]
    directions = [v / np.linalg.norm(v) for v in (point, refined) if v.any()]
    direction = max(directions, key=lambda d: float((rows @ d).min()))
    shares = np.zeros(len(rows))
    shares[chosen] = np.linalg.lstsq(rows[chosen].T, refined, rcond=None)[0]
    if (shares >= 0).all() and shares.any():
        shares /= shares.sum()
        weights = min(weights, shares, key=lambda mu: float(np.linalg.norm(mu @ rows)))
    return direction, weights


def _nearest(rows: np.ndarray) -> np.ndarray:
    """μ ≥ 0 with sum 1, of which ‖Σ μᵢ rowᵢ‖ is least.

    Nonnegative least squares of Σ uᵢ (rowᵢ/c, 1) = (0, 1), then μ = u/Σu. Well conditioned where c is that distance.
    """
    from scipy.optimize import nnls

    count, size = rows.shape
    wanted = np.append(np.zeros(size), 1.0)
    weights, distance, unit = np.zeros(count), np.inf, 1.0
    for _ in range(RESCALINGS):
        found, _ = nnls(np.vstack([rows.T / unit, np.ones(count)]), wanted, maxiter=30 * (count + size))
        shares = found / (found.sum() or 1.0)
        length = float(np.linalg.norm(shares @ rows)) if found.any() else np.inf
        if length >= distance:  # rescaled too far: the solver's tolerance hides the rest
            break
        weights, distance = shares, length
        if distance > unit / 2 or distance <= ROUNDING * size:
            break
        unit = distance
    return weights
