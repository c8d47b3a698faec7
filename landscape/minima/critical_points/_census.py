"""Where each of many starts leads: to a critical point, to a degenerate one, to infinity, or nowhere in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape.minima.critical_points import _local, _roots
from landscape.minima.critical_points._local import Inputs, Problem

ROUNDS = 8  # of `_roots.STEPS` steps
NUMBERS = 2**21  # of one array of one compiled call
CHUNK = 512  # starts of one call, at most
REGULAR = 1e-6  # least eigenvalue of a point that is not looked at twice, beside its largest
FEW = 5  # points kept of a set of degenerate ones, those of one J
DIRECTIONS = 10  # in which starts escaped
ANGLE = 0.1  # radians within which directions are one
LEVEL = 1e-9  # difference of J within which degenerate points are of one set, beside that at the starts


class Settled(NamedTuple):
    """What became of the starts, in u of a `Frame`."""

    regular: np.ndarray  # (m, p) zeros
    errors: np.ndarray  # (m,)
    suspect: np.ndarray  # (k, p) zeros that may be degenerate
    directions: np.ndarray  # (e, p) of θ, of those that escaped
    limits: np.ndarray  # (e,) J there
    left: int  # not converged
    level: float  # median |J| at the starts


@dataclass(frozen=True, eq=False)
class Points:
    """Distinct critical points, with the number of starts that reached each."""

    found: Any  # _roots.Measured of NumPy arrays, leading axis point
    counts: np.ndarray

    def __getitem__(self, which: Any) -> Points:
        return Points(jax.tree.map(lambda a: a[which], self.found), self.counts[which])

    def __len__(self) -> int:
        return len(self.counts)

    def with_counts(self, counts: np.ndarray) -> Points:
        """The same points, reached by so many starts."""
        return Points(self.found, counts)


class Escapes(NamedTuple):
    """Directions in which starts ran away."""

    directions: np.ndarray  # (e, p), norm 1
    counts: np.ndarray
    values: np.ndarray  # the least J far out


@dataclass(frozen=True, eq=False)
class Runner:
    """Compiled functions of points, for any number of them, in calls of one size."""

    problem: Problem
    inputs: Inputs
    size: int

    @classmethod
    def of(cls, problem: Problem, inputs: Inputs, count: int) -> Runner:
        """For up to `count` points at a time, as many a call as memory and the caches take well."""
        n, p = max((leaf.shape[0] for leaf in jax.tree.leaves(inputs.data)), default=1), inputs.l2.size
        most = min(CHUNK, max(1, NUMBERS // max(n * (p + 1), p * p)), count)
        return cls(problem, inputs, 2 ** int(np.ceil(np.log2(most))))

    def __call__(self, function: Callable[..., Any], u: np.ndarray) -> Any:
        """function(problem, inputs, u) of points u (m, p), as NumPy arrays."""
        if not len(u):  # nothing to compile for
            out = jax.eval_shape(partial(function, self.problem), self.inputs, jnp.zeros((1, u.shape[1])))
            return jax.tree.map(lambda one: np.zeros((0, *one.shape[1:]), one.dtype), out)
        parts = []
        for start in range(0, len(u), self.size):
            part = u[start : start + self.size]
            filled = np.concatenate([part, np.ones((self.size - len(part), u.shape[1]))])
            parts.append(function(self.problem, self.inputs, jnp.asarray(filled)))  # not waited for: cores share them
        return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(u)], *parts)


def settled(run: Runner, starts: np.ndarray, descends: np.ndarray) -> Settled:
    """Solve from all starts u (S, p), those of `descends` (S,) after a descent; the other way what gets nowhere."""
    now = run(_roots.assessed, starts)
    steepest = np.max(now.curvature, initial=0.0, where=np.isfinite(now.curvature))
    run = replace(run, inputs=run.inputs._replace(curvature=jnp.asarray(steepest)))
    finite = np.isfinite(now.value)
    level = float(np.median(np.abs(now.value[finite]))) if finite.any() else 0.0
    ends, left = _Ends(starts.shape[1]), np.arange(len(starts))
    for way in (descends, ~descends):
        u, way = starts[left], way[left]
        if way.any():
            u[way] = run(_roots.descended, u[way])
        if len(left):
            left = left[_pursued(run, u, ends)]
    return ends.together(len(left), level)


def _pursued(run: Runner, u: np.ndarray, ends: _Ends) -> np.ndarray:
    """Which of u come to no end. In rounds: those that have arrived make room for the others."""
    lost, ended, which = [], np.zeros(len(u), bool), np.arange(len(u))
    for _ in range(ROUNDS):
        now = run(_roots.assessed, u)
        clear = now.least > REGULAR * now.curvature
        doubtful = (now.least <= _roots.FLAT * float(run.inputs.curvature)) | (now.done & ~clear)
        far = np.zeros(len(u), bool)
        if doubtful.any():
            found = run(_roots.plateaus, u[doubtful])
            far[doubtful] = found.escaped
            ends.escaped.append((found.direction[found.escaped], found.value[found.escaped]))
        arrived = now.done & ~far
        ends.regular.append((now.u[arrived & clear], now.error[arrived & clear]))
        ends.suspect.append(now.u[arrived & ~clear])
        # A solver that calls its last point the end, where the gradient is not 0, would stay there.
        stuck = ended | ~np.isfinite(now.value)
        lost.append(which[~arrived & ~far & stuck])
        going = ~arrived & ~far & ~stuck
        u, which = u[going], which[going]
        if not len(u):
            break
        u, ended = run(_roots.advanced, u)
    return np.concatenate([*lost, which])


class _Ends:
    """Ends of starts, collected round by round."""

    def __init__(self, p: int) -> None:
        none = np.empty((0, p)), np.empty(0)
        self.regular, self.escaped, self.suspect = [none], [none], [none[0]]

    def together(self, left: int, level: float) -> Settled:
        u, scale = map(np.concatenate, zip(*self.regular, strict=True))
        far, size = map(np.concatenate, zip(*self.escaped, strict=True))
        return Settled(u, scale, np.concatenate(self.suspect), far, size, left, level)


def distinct(points: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(m,): the number of the group of each point: those within both radii of the group's first, the best known."""
    groups = np.full(len(points), -1)
    order = np.argsort(radii, kind="stable")
    for number in range(len(points)):
        open_ = order[groups[order] < 0]
        if not len(open_):
            break
        first = open_[0]
        near = np.linalg.norm(points[open_] - points[first], axis=1) <= radii[open_] + radii[first]
        near[0] = True
        groups[open_[near]] = number
    return groups


def _first(groups: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index of the best known of each group, how many it has)."""
    order = np.argsort(radii, kind="stable")
    _, first, counts = np.unique(groups[order], return_index=True, return_counts=True)
    return order[first], counts


def _radii(errors: np.ndarray) -> np.ndarray:
    """How far a point may be from its zero."""
    return 4 * errors + _local.ROUNDING


def census(run: Runner, ends: Settled) -> tuple[Points, Points, int, int]:
    """(isolated points, degenerate ones, starts on kinks, starts that did not converge after all)."""
    radii = _radii(ends.errors)
    groups = distinct(ends.regular, radii)
    which, counts = _first(groups, radii)
    u = np.concatenate([ends.regular[which], ends.suspect])
    counts = np.concatenate([counts, np.ones(len(ends.suspect), int)])
    points = Points(run(_roots.measured, u), counts)
    kinked = int(points.counts[points.found.kinked].sum())
    failed = int(points.counts[~points.found.done].sum()) - kinked
    points = points[points.found.done]
    isolated = points.found.null == 0
    return merged(points[isolated]), _few(points[~isolated], ends.level), kinked, failed


def merged(points: Points, u: np.ndarray | None = None) -> Points:
    """Each point once; `u` is what is compared, if not the points themselves."""
    if not len(points):
        return points
    radii = _radii(np.linalg.norm(points.found.error, axis=1))
    groups = distinct(points.found.u if u is None else u, radii)
    which, _ = _first(groups, radii)
    counts = np.bincount(groups, weights=points.counts).astype(int)
    return points[which].with_counts(counts)


def _few(points: Points, level: float) -> Points:
    """Of each set of degenerate points, those of one J, a few that lie far apart; each counts what is nearest to it."""
    if not len(points):
        return points
    values, u = points.found.value, points.found.u
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order]) > LEVEL * max(level, float(np.abs(values).max()))
    sets = np.split(order, np.flatnonzero(gaps) + 1)
    kept, counts = [], []
    for members in sets:
        chosen = [int(members[0])]
        nearest = np.linalg.norm(u[members] - u[chosen[0]], axis=1)
        owner = np.zeros(len(members), int)
        errors = np.linalg.norm(points.found.error[members], axis=1)
        close = 1e-6 * (1 + np.abs(u[members]).max(axis=1)) + 10 * errors
        while len(chosen) < FEW and np.any(nearest > close):
            chosen.append(int(members[np.argmax(nearest - close)]))
            distance = np.linalg.norm(u[members] - u[chosen[-1]], axis=1)
            owner = np.where(distance < nearest, len(chosen) - 1, owner)
            nearest = np.minimum(nearest, distance)
        kept += chosen
        counts += list(np.bincount(owner, weights=points.counts[members], minlength=len(chosen)).astype(int))
    return points[np.array(kept)].with_counts(np.array(counts))


def escapes(directions: np.ndarray, limits: np.ndarray) -> Escapes:
    """The directions in groups of at most an ANGLE, the most frequent first."""
    open_, out = np.arange(len(directions)), []
    while len(open_) and len(out) < 10 * DIRECTIONS:
        near = directions[open_] @ directions[open_[0]] >= np.cos(ANGLE)
        near[0] = True
        members = open_[near]
        mean = directions[members].mean(axis=0)
        out.append((mean / np.linalg.norm(mean), len(members), np.min(limits[members])))
        open_ = open_[~near]
    out = sorted(out, key=lambda group: -group[1])[:DIRECTIONS]
    p = directions.shape[1]
    return Escapes(
        np.array([way for way, _, _ in out]).reshape(-1, p),
        np.array([count for _, count, _ in out], int),
        np.array([value for _, _, value in out], float),
    )
