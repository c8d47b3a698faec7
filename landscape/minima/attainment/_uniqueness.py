"""Is a minimizer the only one? The null space of the features, and what l1 leaves of it."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from landscape.minima._linear import Linear
from landscape.minima._solve import curve
from landscape.minima.attainment import _exact
from landscape.minima.attainment._exact import Vector

REACHES = 1e-6  # a gradient closer to α than this share of it may be at α
PRESENT = 1e-7  # share of ‖θ‖ that counts as different from 0 in a linear program's answer


class SolutionSet(NamedTuple):
    """Where a convex objective takes its minimum: θ + span(null), under l1 the part of it that keeps θ's signs."""

    theta: np.ndarray  # (p,)
    unique: bool | None  # None: not decided
    loose: np.ndarray  # (p,), see Certificate
    null: tuple[Vector, ...]
    independent: tuple[int, ...]


def solution_set(model: Linear, theta: np.ndarray) -> SolutionSet:
    """The minimizers, from one of them; without l1 that of least norm.

    z and the parameters under l2 are those of every minimizer: the losses are strictly convex in z. What is left is
    the null space of the other columns. Under l1 those that its subgradient keeps at 0 are taken out too (Tibshirani
    2013, Electronic Journal of Statistics 7, section 2.3).
    """
    loose = model.l2 == 0
    kinked = loose & (model.l1 > 0)
    if not kinked.any():
        return _with_null(model, theta, loose)
    gradient = _gradient(model, theta)
    kept = kinked & (np.abs(gradient) >= (1 - REACHES) * model.l1) | (theta != 0) & loose
    candidates = loose & ~kinked | kept
    found = _with_null(model, theta, candidates)
    if found.unique:
        return found
    signs = np.where(kinked, -np.sign(gradient), 0.0)
    inner = _inner(theta, signs * candidates, found.null)
    sizes = np.abs(inner) * _sizes(model)
    present = loose & ~kinked | candidates & kinked & (sizes > PRESENT * sizes.max(initial=0))
    space = _with_null(model, inner, present)
    level = all(sum(Fraction(a * s) * v for a, s, v in zip(model.l1, signs, w, strict=True)) == 0 for w in space.null)
    if space.null and level:
        return space
    return found._replace(unique=None)


def _with_null(model: Linear, theta: np.ndarray, loose: np.ndarray) -> SolutionSet:
    """The set of the null space of some columns; of it the point of least norm, where nothing is at a kink."""
    space = _exact.span(model.features[:, loose])
    null = tuple(_spread(vector, loose) for vector in space.null)
    if null and not (model.l1[loose] > 0).any():
        basis = np.array([[float(v) for v in vector] for vector in null]).T
        basis = np.linalg.qr(basis)[0]
        theta = theta - basis @ (basis.T @ theta)
    return SolutionSet(theta, not null, loose, null, space.rows)


def _spread(vector: Vector, columns: np.ndarray) -> Vector:
    """A vector over some columns as one over all."""
    out = [Fraction(0)] * len(columns)
    for j, value in zip(np.flatnonzero(columns), vector, strict=True):
        out[j] = value
    return tuple(out)


def _inner(theta: np.ndarray, signs: np.ndarray, null: tuple[Vector, ...]) -> np.ndarray:
    """A minimizer with as few zeros as any: the mean of those with sⱼθⱼ as large as it gets, one j after the other."""
    from scipy.optimize import linprog

    basis = np.array([[float(v) for v in vector] for vector in null]).T
    signed = signs[:, None] * basis
    kinked = np.flatnonzero(signs)
    room = np.maximum((signs * theta)[kinked], 0.0)
    points = []
    for j in kinked:
        found = linprog(-signed[j], A_ub=-signed[kinked], b_ub=room, bounds=(None, None), method="highs")
        if found.x is not None:
            points.append(theta + basis @ found.x)
    return np.mean(points, axis=0) if points else theta


def _gradient(model: Linear, theta: np.ndarray) -> np.ndarray:
    """∇R (p,)."""
    _, slopes, _ = curve(model.loss)(model.features @ theta, model.labels)
    return (model.weights * slopes) @ model.features


def _sizes(model: Linear) -> np.ndarray:
    return np.abs(model.features).max(axis=0, initial=0)
