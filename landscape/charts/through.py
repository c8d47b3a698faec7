"""Planes through parameter sets: the line through two, the plane through three."""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import _leaves, _span
from landscape.charts.plane import Plane


def plane_through(a: Params, b: Params, c: Params | None = None, *, names: Sequence[str] | None = None) -> Plane:
    """The line through two, or the plane through three parameter sets, drawn without distortion.

        θ(α, β) = a + α·u + β·v,    u = b − a,    v = ‖u‖ · w/‖w‖,    w = (c − a) − ⟨c − a, u⟩/‖u‖² · u

    so that a = (0, 0), b = (1, 0), c = (⟨c − a, u⟩/‖u‖², ‖w‖/‖u‖): u ⊥ v have one length, and one unit of a coordinate
    is the distance ‖b − a‖ in any direction (Garipov et al. 2018, appendix A.3, scaled by that distance). Where c lies:
    `plane.coordinates(c)`. Through two: θ(α) = a + α·(b − a).

    a, b, c: params of one layout; frozen leaves (integers, random keys) are those of `a`.
    names:   ("alpha",) or ("alpha", "beta") by default.
    Raises: ValueError, naming which, where two are equal or the three lie on one line to rounding; naming the leaf,
    where one does not fit `a`; where numbers are not finite.

        >>> import landscape as ls
        >>> plane = ls.plane_through({"w": 1.0, "b": 0.0}, {"w": 3.0, "b": 0.0}, {"w": 2.0, "b": 5.0})
        >>> [coordinate.tolist() for coordinate in plane.coordinates({"w": 2.0, "b": 5.0})]
        [[0.5, 2.5], 0.0]
        >>> {name: float(leaf) for name, leaf in plane.point([1.0, 0.0]).items()}
        {'b': 0.0, 'w': 3.0}

    Reference: Garipov, Izmailov, Podoprikhin, Vetrov & Wilson 2018 (arXiv:1802.10026).
    """
    a = _leaves.params_of("a", a)
    trees = {"a": a, "b": b} | ({} if c is None else {"c": c})
    given = {name: _leaves.moving(name, tree, a, "a") for name, tree in trees.items()}
    names = ("alpha", "beta")[: len(given) - 1] if names is None else tuple(names)
    sets = {name: jax.tree.map(lambda t, s: t.astype(_trees.wide(s)), tree, given["a"]) for name, tree in given.items()}
    concrete = _leaves.is_concrete(sets)
    if concrete:
        _check_apart(sets)
    first = _difference(sets["b"], sets["a"])
    if "c" not in sets:
        return Plane(a, (first,), names)
    away, size = _difference(sets["c"], sets["a"]), _trees.norm(first)
    axis = _span.over(first, size)
    rest = away
    for _ in range(2):  # twice: what rounding left of the first projection (Giraud et al. 2005)
        rest = _span.minus(rest, _trees.vdot(axis, rest), axis)
    height = _trees.norm(rest)
    if concrete and float(height) <= _rounding(given, float(_trees.norm(away))):
        raise ValueError(
            f"`a`, `b` and `c` lie on one line: c = a + {float(_trees.vdot(axis, away) / size):.4g}·(b − a). Give a "
            "third set off that line, or draw the line: ls.plane_through(a, b)."
        )
    return Plane(a, (first, jax.tree.map(lambda leaf: leaf * (size / height).astype(leaf.dtype), rest)), names)


def _difference(to: Params, start: Params) -> Params:
    return jax.tree.map(lambda t, s: t - s, to, start)


def _check_apart(sets: dict[str, Params]) -> None:
    for name, tree in sets.items():
        for path, leaf in _trees.named_leaves(tree).items():
            if not jnp.isfinite(leaf).all():
                _checks.finite(f"{name} {path!r}" if path else name, np.asarray(leaf), "Give finite params")
    for one, other in itertools.combinations(sets, 2):
        if _trees.norm(_difference(sets[one], sets[other])) == 0:
            raise ValueError(f"`{one}` and `{other}` are equal; give parameter sets that differ.")


def _rounding(given: dict[str, Params], distance: float) -> float:
    """How far from the line c may lie because its numbers, and the sums over them, are rounded."""
    stored = max(_span.eps(tree) for tree in given.values())
    wide = max(float(jnp.finfo(_trees.wide(leaf)).eps) for leaf in jax.tree.leaves(given["a"]))
    return stored / 2 * max(float(_trees.norm(tree)) for tree in given.values()) + 8 * wide * distance
