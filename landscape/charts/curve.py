"""Curves between params: Bézier curves and polygonal chains, charts with one coordinate t from 0 to 1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import _leaves, _span
from landscape.charts import chart as _chart

CELLS = 16  # for each piece between two points, in which the nearest point is looked for: a curve bends less often


@_chart.register_chart(data=("points",), static=("names",))
@dataclass(frozen=True, eq=False)
class Bezier:
    """The Bézier curve from the first to the last of its control points,

        θ(t) = Σᵢ C(d, i) tⁱ (1 − t)ᵈ⁻ⁱ · points[i],        i = 0 … d,   0 ≤ t ≤ 1

    points: d + 1 ≥ 2 params of one layout. The curve leaves the first towards the second; the inner ones draw it to
            them, and do not lie on it. It lies in their convex hull: of three points, in a plane.
    names:  the coordinate's name; ("t",) by default.
    Floating-point leaves move, in the dtypes of points[0]; frozen leaves (integers, random keys) are those of
    points[0]. Sums run in float32 or wider and are cast once. Outside of [0, 1] the polynomial goes on.
    Raises: ValueError, naming the point or leaf, for fewer than two points, points that do not fit the first or are all
    equal, and numbers that are not finite; TypeError for what is no sequence of params. Traced numbers are not looked
    at.
    References: Garipov et al. 2018, section 3.2 (arXiv:1802.10026); Farin 2002, chapter 4 (de Casteljau).

        >>> import landscape as ls
        >>> curve = ls.Bezier([{"w": 0.0, "b": 0.0}, {"w": 1.0, "b": 2.0}, {"w": 2.0, "b": 0.0}])
        >>> {name: float(leaf) for name, leaf in curve.point([0.5]).items()}
        {'b': 1.0, 'w': 1.0}
    """

    points: Sequence[Params]
    names: tuple[str, ...] = ("t",)

    def __post_init__(self) -> None:
        points = _checked(self, "control points, such as Bezier([a, bend, b])")
        if _leaves.is_concrete(points) and all(_equal(points[0], point) for point in points[1:]):
            raise ValueError("`points` are all equal, so that the curve goes nowhere; give points that differ.")

    def weights(self, t: Array) -> Array:
        """What each point counts for at t, (points,): the Bernstein polynomials, by de Casteljau's triangle."""
        weights, none = jnp.ones_like(t)[None], jnp.zeros_like(t)[None]
        for _ in self.points[1:]:
            weights = (1 - t) * jnp.concatenate([weights, none]) + t * jnp.concatenate([none, weights])
        return weights

    def point(self, coordinates: Sequence[Array]) -> Params:
        """θ(t), in the dtypes of points[0]."""
        return _point(self, coordinates)

    def coordinates(self, params: Params) -> tuple[Array, Array]:
        """(t, residual) of the nearest point with 0 ≤ t ≤ 1: t (1,), and the distance ‖θ − θ(t)‖ to it."""
        return _nearest(self, params)

    def __repr__(self) -> str:
        return _text(self)


@_chart.register_chart(data=("points",), static=("names",))
@dataclass(frozen=True, eq=False)
class Polygon:
    """The polygonal chain through its points, each segment over an equal part of t,

        θ(t) = (1 − u) · points[k] + u · points[k + 1],        k + u = s·t with k whole, s segments,   0 ≤ t ≤ 1

    points: s + 1 ≥ 2 params of one layout, no two neighbors equal.
    names, leaves, sums and errors as in `Bezier`; outside of [0, 1] the first and the last segment go on.
    References: Garipov et al. 2018, section 3.2 (arXiv:1802.10026).

        >>> import landscape as ls
        >>> chain = ls.Polygon([{"w": 0.0, "b": 0.0}, {"w": 1.0, "b": 2.0}, {"w": 2.0, "b": 0.0}])
        >>> {name: float(leaf) for name, leaf in chain.point([0.25]).items()}
        {'b': 1.0, 'w': 0.5}
    """

    points: Sequence[Params]
    names: tuple[str, ...] = ("t",)

    def __post_init__(self) -> None:
        points = _checked(self, "corners, such as Polygon([a, bend, b])")
        for i in range(1, len(points)) if _leaves.is_concrete(points) else ():
            if _equal(points[i - 1], points[i]):
                raise ValueError(
                    f"`points[{i - 1}]` and `points[{i}]` are equal, so that the segment between them goes nowhere; "
                    "leave one out."
                )

    def weights(self, t: Array) -> Array:
        """What each point counts for at t, (points,): two of them count."""
        segments = len(self.points) - 1
        start = jnp.clip(jnp.floor(t * segments), 0, segments - 1)
        u, behind = t * segments - start, jnp.arange(segments + 1, dtype=t.dtype) - start
        return jnp.where(behind == 0, 1 - u, 0) + jnp.where(behind == 1, u, 0)

    def point(self, coordinates: Sequence[Array]) -> Params:
        """θ(t), in the dtypes of points[0]."""
        return _point(self, coordinates)

    def coordinates(self, params: Params) -> tuple[Array, Array]:
        """(t, residual) of the nearest point with 0 ≤ t ≤ 1: t (1,), and the distance ‖θ − θ(t)‖ to it."""
        return _nearest(self, params)

    def __repr__(self) -> str:
        return _text(self)


Curve = Bezier | Polygon


def _checked(curve: Curve, give: str) -> tuple[Params, ...]:
    """The curve's points with arrays as leaves, set in place; the floating-point leaves of these."""
    given, names = curve.points, curve.names
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"`points` is {_checks.kind(given)}; give a list of params: {give}.")
    if len(given) < 2:
        raise ValueError(f"`points` holds {len(given)} of them; a curve has 2 or more {give}.")
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`names` is {names!r}; give a tuple with the coordinate's name, ('t',).")
    if len(tuple(names)) != 1:
        raise ValueError(f"`names` is {tuple(names)}; a curve has one coordinate: ('t',).")
    first = _leaves.params_of("points[0]", given[0])
    rest = (_leaves.moving(f"points[{i}]", point, first, "points[0]") for i, point in enumerate(given[1:], 1))
    moving = (_trees.floating(first), *rest)
    if _leaves.is_concrete(moving):
        _check_finite(moving)
    object.__setattr__(curve, "points", (first, *(_trees.merged(point, first) for point in moving[1:])))
    object.__setattr__(curve, "names", tuple(names))
    return moving


def _check_finite(points: Sequence[Params]) -> None:
    for i, point in enumerate(points):
        for path, leaf in _trees.named_leaves(point).items():
            if not jnp.isfinite(leaf).all():
                name = f"points[{i}] {path!r}" if path else f"points[{i}]"
                _checks.finite(name, np.asarray(leaf), "Give finite params")


def _equal(a: Params, b: Params) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(bool(jnp.all(p == q.astype(p.dtype))) for p, q in pairs)


def _text(curve: Curve) -> str:
    count, layout = len(curve.points), _trees.layout(curve.points[0], most=_leaves.SHOWN)
    return f"{type(curve).__name__}({curve.names[0]}) of {count} points\n  in {layout}"


def _point(curve: Curve, coordinates: Sequence[Array]) -> Params:
    _chart.check_position(curve.names, coordinates)
    first = _trees.floating(curve.points[0])
    summed = _summed(curve, curve.weights(jnp.asarray(coordinates[0], _dtype(first))))
    return _trees.merged(jax.tree.map(lambda leaf, p: leaf.astype(p.dtype), summed, first), curve.points[0])


def _dtype(moving: Params) -> Any:
    """The dtype of t: the widest in which sums over the leaves run."""
    return max((_trees.wide(leaf) for leaf in jax.tree.leaves(moving)), key=lambda dtype: dtype.itemsize)


def _summed(curve: Curve, weights: Array) -> Params:
    """Σ weights[i]·points[i], in float32 or wider."""
    first = _trees.floating(curve.points[0])

    def leaf(*points: Array) -> Array:
        dtype = _trees.wide(points[0])
        terms = [weights[i].astype(dtype) * p.astype(dtype) for i, p in enumerate(points)]
        return sum(terms[1:], start=terms[0])

    return jax.tree.map(leaf, first, *(_trees.floating(point, like=curve.points[0]) for point in curve.points[1:]))


def _nearest(curve: Curve, params: Params) -> tuple[Array, Array]:
    """See `coordinates`."""
    return _compiled(curve, _leaves.moving("params", params, curve.points[0], "points[0]"))


@jax.jit
def _compiled(curve: Curve, there: Params) -> tuple[Array, Array]:
    """(t, the distance). Inner products once; then t alone is looked for, in as many numbers as there are points.

    With legs pᵢ = points[i] − points[0] and r = θ − points[0], the squared distance is a function of t alone,
    f(t) = wᵀGw − 2wᵀc + ‖r‖² with w = w(t), Gᵢⱼ = ⟨pᵢ, pⱼ⟩ and cᵢ = ⟨pᵢ, r⟩.
    """
    first = _trees.floating(curve.points[0])

    def from_first(point: Params) -> Params:
        return jax.tree.map(lambda p, o: p.astype(_trees.wide(o)) - o.astype(_trees.wide(o)), point, first)

    legs = [from_first(_trees.floating(point, like=curve.points[0])) for point in curve.points[1:]]
    size = jnp.max(jnp.stack([_trees.norm(leg) for leg in legs]))  # squares of scaled legs are neither 0 nor inf
    units, away = [_span.over(leg, size) for leg in legs], _span.over(from_first(there), size)
    gram = jnp.stack([jnp.stack([_trees.vdot(u, v) for v in units]) for u in units])
    along = jnp.stack([_trees.vdot(u, away) for u in units])
    t = _least(lambda t: curve.weights(t)[1:], gram, along)
    rest = jax.tree.map(lambda p, q: p.astype(q.dtype) - q, there, _summed(curve, curve.weights(t)))
    return t[None], _trees.norm(rest)


def _least(weights: Callable[[Array], Array], gram: Array, along: Array) -> Array:
    """The t in [0, 1] at which f = wᵀGw − 2wᵀc is least; NaN where no slope is a number.

    Every cell at whose edges the slope f′ changes from − to + is bisected: where f itself is flat to rounding, its
    slope is not, so that t is found to ε and not to √ε.
    """

    def pulls(t: Array) -> tuple[Array, Array]:
        w, velocity = jax.jvp(weights, (t,), (jnp.ones_like(t),))
        with jax.default_matmul_precision("highest"):
            pull = gram @ w
            return jnp.vdot(w, pull - 2 * along), jnp.vdot(velocity, pull - along)

    edges = _edges(CELLS * len(along), along.dtype)
    value_and_slope = jax.vmap(pulls)
    slopes = value_and_slope(edges)[1]

    def halved(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        beyond = value_and_slope(middle)[1] > 0
        return jnp.where(beyond, low, middle), jnp.where(beyond, middle, high)

    low, high = jax.lax.fori_loop(0, jnp.finfo(along.dtype).nmant, halved, (edges[:-1], edges[1:]))
    found = jnp.concatenate([edges[:1], edges[-1:], (low + high) / 2])
    turns = (slopes[:-1] <= 0) & (slopes[1:] >= 0)
    stays = jnp.concatenate([slopes[:1] >= 0, slopes[-1:] <= 0, turns])  # minima at the ends, and inside
    values = jnp.where(stays, value_and_slope(found)[0], jnp.inf)
    return jnp.where(stays.any(), found[jnp.argmin(values)], jnp.nan)


def _edges(cells: int, dtype: Any) -> Array:
    """0, 1, and the edges of equal cells between, each twice, just before and just behind: f′ may jump at a corner."""
    inner = np.linspace(0, 1, cells + 1)[1:-1, None] + 4 * float(jnp.finfo(dtype).eps) * np.array([-1, 1])
    return jnp.asarray(np.concatenate([[0.0], inner.ravel(), [1.0]]), dtype)
