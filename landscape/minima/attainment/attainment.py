"""`attainment`: is there a minimizer at all, is it the only one, and if there is none, where does the objective go?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.minima._linear import Linear, linear
from landscape.minima._solve import minimize
from landscape.minima.attainment._at_infinity import neuron
from landscape.minima.attainment._certificates import Certificate
from landscape.minima.attainment._separation import separate
from landscape.minima.attainment._uniqueness import solution_set
from landscape.minima.attainment._verdicts import AFFINE, AT_INFINITY, CONVEX, OPEN, UNDECIDED, UNIQUE, Finding
from landscape.objectives.losses import CrossEntropy
from landscape.objectives.objective import Objective

SHOWN = 8  # numbers of a leaf that are printed
DEPENDENT = 1e-14  # ratio of the Gram matrix' eigenvalues at which columns are said to be dependent to rounding


@dataclass(frozen=True, eq=False)
class Attainment:
    """What `attainment` found. Prints as a few lines.

    attained:    whether some θ takes the infimum; None if undecided.
    unique:      whether only one does; None where it is not decided.
    verdict:     "unique minimizer", "affine set of minimizers" or "approached at infinity"; under l1, whose minimizers
                 can form a bounded set, also "convex set of minimizers"; for the squared error of a neuron also
                 "several minimizers"; "attained, uniqueness not decided"; or "undecided".
    separation:  of the labels under cross-entropy, "complete", "quasi-complete" or "none", by the parameters without a
                 penalty; None for other losses, and where every parameter is penalized.
    infimum:     inf J; NaN if undecided.
    minimizer:   params, NumPy arrays, or None. Of an affine set the point of least norm.
    directions:  a basis of the directions of the set of minimizers, params each; empty if it is one point.
    direction:   d, params: along θ + td, t → ∞, the objective tends to its infimum from the right θ; None if attained.
    margins:     sᵢx̃ᵢ·d (n,), s = 1 for the label's upper half and −1 for its lower; None if attained. 0 is exactly 0;
                 NaN for an example of weight 0.
    certificate: `certificate.verify()` proves the verdict in exact rationals; None where there is no proof.
    converged:   whether the numerical minimization behind `infimum` and `minimizer` met its tolerance.
    residual:    norm of the minimum-norm subgradient at the minimizer; NaN without one.
    explanation: a sentence.
    """

    attained: bool | None
    unique: bool | None
    verdict: str
    separation: str | None
    infimum: float
    minimizer: Params | None
    directions: tuple[Params, ...]
    direction: Params | None
    margins: np.ndarray | None = field(repr=False)
    certificate: Certificate | None = field(repr=False)
    converged: bool
    residual: float
    explanation: str

    def __str__(self) -> str:
        by = "" if self.certificate is None or self.certificate.free.all() else " by the unpenalized parameters"
        kind = "" if self.separation is None else f" (separation{by}: {self.separation})"
        lines = [f"{self.verdict}{kind}, infimum {self.infimum:.10g}"]
        lines += [] if self.minimizer is None else [f"minimizer {_text(self.minimizer)}"]
        lines += [f"minimizers also along {_text(one)}" for one in self.directions]
        lines += [] if self.direction is None else [f"direction {_text(self.direction)}"]
        return "\n".join([*lines, self.explanation])


def attainment(objective: Objective) -> Attainment:
    """Decide whether an objective of a linear model attains its minimum, and prove it.

        J(θ) = Σᵢ ωᵢ loss(x̃ᵢ·θ, yᵢ) + Σⱼ αⱼ|θⱼ| + βⱼθⱼ²

    objective: an Objective with a `structure`, such as ls.neuron(x, y).

    Cross-entropy: J falls forever along d if sᵢx̃ᵢ·d ≥ 0 for all i and > 0 for some, s = 2y − 1; if d vanishes on all
    penalized parameters; and if x̃ᵢ·d = 0 for labels strictly between 0 and 1, whose loss grows both ways. Without such
    a d the minimum is attained (Albert & Anderson 1984, Biometrika 71). Linear programs look for d; the answer is given
    only with a certificate that holds exactly for the floats as stored: d itself, or y > 0 with Σ yᵢsᵢx̃ᵢ = 0
    (Stiemke). If none verifies the verdict is "undecided". Half squared error with the identity is always attained.
    The minimizer is unique iff no d ≠ 0 has x̃ᵢ·d = 0 for all i and is 0 on the parameters under l2.

    Half squared error of a sigmoid or tanh neuron, which is not convex: with every parameter penalized the minimum is
    attained; without a penalty, of at most 2 parameters, its finite minima are compared with its limits at infinity.
    Those limits are enumerated exactly; finite minima are searched for, from many starts, and not proved to be all.
    An example of weight 0 does not count.
    Returns: an `Attainment`.
    Raises: TypeError unless it is an Objective; ValueError if it has no structure, if the data are not finite, or
    for a loss whose limits at infinity are not known here.

        >>> import landscape as ls
        >>> found = attainment(ls.neuron([-1.0, 1.0], [0.0, 1.0]))
        >>> found.verdict, found.infimum, found.certificate.verify()
        ('approached at infinity', 0.0, True)
        >>> print(attainment(ls.neuron([-1.0, 1.0], [0.0, 1.0], penalty=ls.l2(0.1))).verdict)
        unique minimizer
    """
    everything = linear(objective, "attainment")
    _check(everything)
    counted = everything.weights > 0
    model = replace(
        everything,
        features=everything.features[counted],
        labels=everything.labels[counted],
        weights=everything.weights[counted],
    )
    found = _convex(model) if model.loss.convex else neuron(model)
    return _result(found, model, counted)


def _check(model: Linear) -> None:
    """Raise ValueError unless the data are what the theorems are about."""
    _checks.finite("objective.structure.features", model.features)
    _checks.finite("objective.structure.labels", model.labels)
    if (model.weights < 0).any() or not (model.weights > 0).any() or not np.isfinite(model.weights).all():
        raise ValueError("`objective.structure.weights` must be finite, ≥ 0 and not all 0.")
    if isinstance(model.loss, CrossEntropy) and ((model.labels < 0) | (model.labels > 1)).any():
        worst = model.labels[np.argmax(np.abs(model.labels - 0.5))]
        raise ValueError(
            f"`objective.structure.labels` holds {worst}; cross-entropy needs labels in [0, 1]: outside it has no "
            "lower bound."
        )


def _convex(model: Linear) -> Finding:
    crosses = isinstance(model.loss, CrossEntropy)
    signs = (
        np.where(model.labels == 1, 1, np.where(model.labels == 0, -1, 0)) if crosses else np.zeros(len(model.labels))
    )
    free = (model.l1 == 0) & (model.l2 == 0)
    certificate = separate(model.features, signs, free)
    if certificate is None:
        return Finding(
            UNDECIDED,
            "Undecided: no certificate holds in exact arithmetic, because the examples are so near the border between "
            "separable and overlapping that floating-point linear programs cannot tell on which side they are, and "
            "there are too many for exact ones.",
            converged=False,
        )
    if certificate.claim == "attained":
        return _attained(model, certificate, "none" if crosses and free.any() else None)
    return _not_attained(model, certificate)


def _attained(model: Linear, certificate: Certificate, separation: str | None) -> Finding:
    solution = minimize(model)
    found = solution_set(model, solution.theta)
    certificate = replace(certificate, loose=found.loose, null=found.null, independent=found.independent)
    if found.unique is None:
        certificate = replace(certificate, loose=np.zeros(len(found.loose), bool), null=(), independent=())
    directions = np.array([[float(v) for v in vector] for vector in certificate.null]).reshape(-1, len(found.theta))
    bounded = bool((directions[:, model.l1 > 0] != 0).any())
    verdict = {True: UNIQUE, False: CONVEX if bounded else AFFINE, None: OPEN}[found.unique]
    return Finding(
        verdict,
        _why(model, certificate, verdict, len(directions))
        + _doubts(model, found.loose & bool(found.unique), solution.converged),
        infimum=solution.value,
        separation=separation,
        theta=found.theta,
        directions=directions,
        certificate=certificate,
        converged=solution.converged,
        residual=solution.residual,
    )


def _why(model: Linear, certificate: Certificate, verdict: str, dimension: int) -> str:
    if not certificate.free.any():
        reason = "The penalty grows in every direction, so the minimum is attained"
    elif (certificate.signs == 0).all() and not isinstance(model.loss, CrossEntropy):
        reason = "A sum of squares of straight lines has no slope to escape along, so the minimum is attained"
    else:
        worse = "some example gets worse" + ("" if certificate.free.all() else " or the penalty grows")
        reason = f"Whichever way one goes, {worse}, so the minimum is attained"
    return (
        reason
        + {
            UNIQUE: ", at one point.",
            AFFINE: f", on a whole set of dimension {dimension}: along `directions` no example notices a change.",
            CONVEX: f", on a whole set of dimension {dimension}: along `directions`, as long as no parameter changes "
            "its sign, neither the examples nor the penalty notice a change.",
            OPEN: "; whether at one point only is not decided: l1 leaves parameters on the edge between 0 and not.",
        }[verdict]
    )


def _doubts(model: Linear, independent: np.ndarray, converged: bool) -> str:
    """What else should be said, where these columns (p,) are exactly independent."""
    said = ""
    if _nearly_dependent(model.features[:, independent]):
        said += " Some features depend on others to rounding: of the numbers as stored it is unique, hardly otherwise."
    if not converged:
        said += " The numerical minimization did not reach its tolerance: take minimizer and infimum as approximate."
    return said


def _nearly_dependent(columns: np.ndarray) -> bool:
    if not columns.size:
        return False
    largest = np.abs(columns).max(axis=0)
    columns = columns / np.where(largest > 0, largest, 1.0)  # norms of squares would leave float64's range first
    scaled = columns / np.where((size := np.linalg.norm(columns, axis=0)) > 0, size, 1.0)
    eigenvalues = np.linalg.eigvalsh(scaled.T @ scaled)
    return bool(eigenvalues[0] <= DEPENDENT * eigenvalues[-1])


def _not_attained(model: Linear, certificate: Certificate) -> Finding:
    margins = certificate.margins()
    still = margins == 0
    assert certificate.direction is not None
    found = Finding(
        AT_INFINITY,
        "",
        separation=certificate.claim,
        direction=np.array([float(v) for v in certificate.direction]),
        margins=margins,
        certificate=certificate,
    )
    if certificate.claim == "complete":
        said = "The labels are separated: along `direction` every example gets better and better, so the objective "
        return replace(found, explanation=said + "comes as near to 0 as one likes and reaches it nowhere.", infimum=0.0)
    moving = f"Along `direction` {(~still).sum()} of {len(still)} examples get better and better and the others stay"
    if certificate.claim == "not attained":
        said = f"{moving}, so the infimum is not attained; how many more could, and so its value, is not decided."
        return replace(found, explanation=said, separation=None)
    face = replace(model, features=model.features[still], labels=model.labels[still], weights=model.weights[still])
    solution = minimize(face)
    said = f"{moving} as they are, so the infimum, the minimum over those others, is not attained."
    return replace(
        found,
        explanation=said + _doubts(model, np.zeros(len(model.l1), bool), solution.converged),
        infimum=solution.value,
        converged=solution.converged,
    )


def _result(found: Finding, model: Linear, counted: np.ndarray) -> Attainment:
    margins = None
    if found.margins is not None:
        margins = np.full(len(counted), np.nan)
        margins[counted] = found.margins
    attained = None if found.verdict == UNDECIDED else found.verdict != AT_INFINITY
    unique = {UNIQUE: True, OPEN: None, UNDECIDED: None}.get(found.verdict, False)
    return Attainment(
        attained=attained,
        unique=unique,
        verdict=found.verdict,
        separation=found.separation,
        infimum=found.infimum,
        minimizer=None if found.theta is None else model.params(found.theta),
        directions=tuple(model.params(one) for one in found.directions),
        direction=None if found.direction is None else model.params(found.direction),
        margins=margins,
        certificate=found.certificate,
        converged=found.converged,
        residual=found.residual,
        explanation=found.explanation,
    )


def _text(params: Params) -> str:
    """Params in a line: w = 1.5, b = [0.1, …]."""
    parts = []
    for name, leaf in _trees.named_leaves(params).items():
        numbers = [f"{v:.7g}" for v in np.ravel(leaf)[:SHOWN]]
        shown = ", ".join(numbers) + (", …" if np.size(leaf) > SHOWN else "")
        parts.append(f"{name} = {shown if np.ndim(leaf) == 0 else f'[{shown}]'}")
    return ", ".join(parts)
