"""Is my derivation right? Finite differences, autodiff and a formula, side by side."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.objectives.objective import Objective, check_objective

TOLERANCE = 1e-6  # relative to the largest entry of the gradient; differences below are good to about 1e-10
SUSPECT, NOISE = 1e-5, 1e-8  # relative and absolute: how far differences may be from autodiff
STEP = np.finfo(np.float64).eps ** 0.2  # of fourth-order central differences: balances h⁴ against eps/h


@dataclass(frozen=True)
class GradientCheck:
    """Rows (point, entry, finite difference, autodiff, formula), all float64; prints as a table."""

    entries: tuple[str, ...]  # "w", "b", "layer/kernel[0, 1]", …, the columns of the arrays below
    points: np.ndarray  # (points, entries)
    finite_differences: np.ndarray  # (points, entries)
    autodiff: np.ndarray  # (points, entries)
    formula: np.ndarray  # (points, entries)

    @property
    def suspect(self) -> np.ndarray:
        """Where autodiff and differences disagree: a kink, or a wrong rule in the losses. (points, entries)"""
        apart = np.abs(self.autodiff - self.finite_differences)
        return ~(apart <= SUSPECT * np.abs(self.finite_differences).max(axis=1, keepdims=True) + NOISE)

    @property
    def errors(self) -> np.ndarray:
        """|formula − gradient| relative to the largest gradient entry at that point, (points, entries).

        The gradient is autodiff's; where that is suspect, the differences'.
        """
        gradient = np.where(self.suspect, self.finite_differences, self.autodiff)
        return np.abs(self.formula - gradient) / np.maximum(np.abs(gradient).max(axis=1, keepdims=True), 1e-300)

    @property
    def ok(self) -> bool:
        """Whether the formula agrees everywhere, to 1e-6."""
        return bool((self.errors <= TOLERANCE).all())

    def __str__(self) -> str:
        lines = [f"{'entry':>12} {'at':>12} {'differences':>16} {'autodiff':>16} {'formula':>16}"]
        for i, point in enumerate(self.points):
            for j, name in enumerate(self.entries):
                mark = "" if self.errors[i, j] <= TOLERANCE else f"   ✗ off by {self.errors[i, j]:.0e}"
                lines.append(
                    f"{name:>12} {point[j]:>12.5f} {self.finite_differences[i, j]:>16.9f} {self.autodiff[i, j]:>16.9f}"
                    f" {self.formula[i, j]:>16.9f}{mark}"
                )
        doubtful = [name for j, name in enumerate(self.entries) if self.suspect[:, j].any()]
        if doubtful:
            lines.append(
                f"autodiff and differences disagree in {', '.join(doubtful)}: a kink, or a wrong rule in the losses"
            )
        agrees = self.errors <= TOLERANCE  # NaN does not
        wrong = [name + self._factor(j) for j, name in enumerate(self.entries) if not agrees[:, j].all()]
        lines.append(f"the formula is wrong in {', '.join(wrong)}" if wrong else "the formula is right")
        return "\n".join(lines)

    __repr__ = __str__

    def _factor(self, j: int) -> str:
        """A constant ratio at every point betrays a missing ½, a sign, or a sum for a mean."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = self.formula[:, j] / self.autodiff[:, j]
        constant = np.isfinite(ratios).all() and np.ptp(ratios) <= TOLERANCE * abs(ratios[0]) and ratios[0] != 0
        return f" ({ratios[0]:.6g} times the gradient at every point)" if constant else ""


def check_gradient(
    objective: Objective, formula: Callable[[Params], Params], points: list[Params] | Params | None = None
) -> GradientCheck:
    """Compare `formula(params)`, a derivation of ∇J done by hand, with autodiff and finite differences, in float64.

    formula: params -> a tree like `params`, the claimed gradient of the objective (risk + penalty).
    points:  where to look; by default three standard normal draws (seed 0), away from symmetries and
             kinks.
    Autodiff is the minimum-norm subgradient, differences are central and of fourth order; where the two disagree,
    the formula is held against the differences.
    Raises: ValueError if the formula's value has not the structure and shapes of the params.

        >>> import landscape as ls
        >>> half = ls.neuron([1.0], [1.0], loss="half_squared_error", activation="identity")
        >>> check = ls.check_gradient(half, lambda p: {"w": 2 * (p["w"] + p["b"] - 1), "b": p["w"] + p["b"] - 1})
        >>> check.ok, str(check).splitlines()[-1]
        (False, 'the formula is wrong in w (2 times the gradient at every point)')
    """
    check_objective(objective)
    with jax.enable_x64(True):
        exact = _in_float64(objective)
        if points is None:
            generator = np.random.default_rng(0)
            points = [jax.tree.map(lambda p: generator.normal(size=p.shape), objective.params) for _ in range(3)]
        points = _checked_points(points, objective.params)
        rows = [(_flat(p), _differences(exact, p), _flat(exact.gradient(p)), _claimed(formula, p)) for p in points]
    return GradientCheck(_entry_names(objective.params), *(np.stack(column) for column in zip(*rows, strict=True)))


def _checked_points(points: Any, params: Params) -> list[Params]:
    if jax.tree.structure(points) == jax.tree.structure(params):
        points = [points]  # one point, plainly meant
    if not isinstance(points, (list, tuple)):
        raise TypeError(f"`points` is {_checks.kind(points)}; give a list of params.")
    if not points:
        raise ValueError("`points` is empty; give at least one, or leave it out for three random ones.")
    return [_read(f"points[{i}]", point, params) for i, point in enumerate(points)]


def _read(name: str, point: Params, params: Params) -> Params:
    """One point in float64, if it is like the params."""
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(point)]
    if jax.tree.structure(point) != jax.tree.structure(params) or shapes != [p.shape for p in jax.tree.leaves(params)]:
        raise ValueError(f"`{name}` is not like the params.\n" + _trees.layouts(params=params, point=point))
    return jax.tree.map(lambda leaf: jnp.asarray(_checks.numeric(name, leaf), jnp.float64), point)


def _in_float64(objective: Objective) -> Objective:
    def widen(leaf):
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.asarray(np.asarray(leaf, np.float64)) if floating else leaf

    return replace(objective, data=jax.tree.map(widen, objective.data), params=jax.tree.map(widen, objective.params))


def _differences(objective: Objective, point: Params) -> np.ndarray:
    """Of the risk; the penalty, whose kinks have no differences, adds its own minimum-norm subgradient."""
    flat, unravel = ravel_pytree(point)
    steps = STEP * jnp.maximum(1.0, jnp.abs(flat))
    moves = jnp.diag(steps)
    along = jax.jit(lambda k: jax.lax.map(lambda move: objective.risk(unravel(flat + k * move)), moves))
    a, b, c, d = (along(k) for k in (-2.0, -1.0, 1.0, 2.0))
    return _flat(objective.penalty.subgradient(point, unravel((a - 8 * b + 8 * c - d) / (12 * steps))))


def _claimed(formula: Callable[[Params], Params], point: Params) -> np.ndarray:
    value = formula(point)
    if jax.tree.structure(value) != jax.tree.structure(point):
        raise ValueError(
            "`formula` must return a tree like the params, one derivative for each entry.\n"
            + _trees.layouts(params=point, formula=value)
        )
    for name, leaf in _trees.named_leaves(value).items():
        wanted = np.shape(_trees.named_leaves(point)[name])
        if np.shape(leaf) != wanted:
            raise ValueError(
                f"`formula` returned shape {np.shape(leaf)} for {name!r}; wanted {wanted}, the shape of the parameter."
            )
    return _flat(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), value))


def _flat(tree: Params) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def _entry_names(params: Params) -> tuple[str, ...]:
    names = []
    for name, leaf in _trees.named_leaves(params).items():
        indices = np.ndindex(np.shape(leaf))
        names += [name + (str(list(index)) if index else "") for index in indices]
    return tuple(names)
