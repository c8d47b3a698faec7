"""Penalties Ω added to the risk. Every one here is separable,

    Ω(θ) = Σᵢ αᵢ|θᵢ| + βᵢθᵢ²,        αᵢ, βᵢ ≥ 0,

so sums, multiples, minimum-norm subgradients and proximal steps all have closed forms.

    >>> import jax.numpy as jnp, landscape as ls
    >>> penalty = ls.l2(0.1) + 2 * ls.l1(0.01)
    >>> print(penalty)
    0.1·‖θ‖² + 0.02·‖θ‖₁
    >>> value = penalty.value({"w": jnp.array(3.0), "b": jnp.array(-4.0)})
    >>> round(float(value), 6)  # 0.1·25 + 0.02·7
    2.64
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params

WEIGHT_NAMES = ("w", "W", "kernel", "weight", "embedding")


@dataclass(frozen=True)
class Term:
    """strength · Σᵢ mᵢ(l1·|θᵢ| + l2·θᵢ²) with m = 1 inside the scope, 0 outside."""

    strength: float
    l1: float
    l2: float
    scope: Any = "all"  # "all", "weights", or a tree of booleans with the params' structure
    factor: float = 1.0  # what a convention writes before the norm (λ/2: 0.5), for printing


@dataclass(frozen=True)
class Penalty:
    """A convex penalty: a sum of terms with strength and scope. Add with `+`, scale with `*`. Made by `l1`, `l2`, …"""

    terms: tuple[Term, ...] = field(default=())

    @property
    def strength(self) -> float:
        """λ: the terms' strengths added up."""
        return float(sum(term.strength for term in self.terms))

    def __add__(self, other: "Penalty") -> "Penalty":
        if not isinstance(other, Penalty):
            return NotImplemented
        return Penalty(self.terms + other.terms)

    def __radd__(self, other: object) -> "Penalty":
        # `sum` starts from 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __mul__(self, factor: float) -> "Penalty":
        factor = _checks.strength("factor", factor)
        return Penalty(tuple(replace(term, strength=factor * term.strength) for term in self.terms))

    __rmul__ = __mul__

    def unit(self) -> "Penalty":
        """This penalty at strength 1: Ω = strength · unit. The mix of several terms keeps their proportions."""
        if not self.terms:
            return self
        shares = np.array([term.strength for term in self.terms])
        shares = shares / shares.sum() if shares.sum() > 0 else np.full(len(shares), 1 / len(shares))
        return Penalty(tuple(replace(t, strength=float(s)) for t, s in zip(self.terms, shares, strict=True)))

    def coefficients(self, params: Params) -> tuple[Params, Params]:
        """(α, β): trees like `params`, each leaf a number, or an array of the leaf's shape under an elementwise mask.

        Raises: ValueError if a scope matches no leaf or a mask does not fit.
        """
        leaves, tree = jax.tree.flatten(params)
        masked = [(term, _mask(term.scope, params)) for term in self.terms]
        alpha = [sum(term.strength * term.l1 * mask[i] for term, mask in masked) for i in range(len(leaves))]
        beta = [sum(term.strength * term.l2 * mask[i] for term, mask in masked) for i in range(len(leaves))]
        return tree.unflatten(alpha), tree.unflatten(beta)

    def value(self, params: Params) -> Array:
        """Ω(θ), a scalar in float32 or wider."""
        return value(*self._arrays(params))

    def subgradient(self, params: Params, gradient: Params) -> Params:
        """The element of least norm in gradient + ∂Ω(θ): zero exactly where θ is stationary.

            gᵢ + 2βᵢθᵢ + αᵢ sign(θᵢ)   where θᵢ ≠ 0,        soft(gᵢ, αᵢ)   where θᵢ = 0

        Returns: a tree like `params`. `jax.grad` of |θ| is no substitute: it is 1 at 0.
        """
        return subgradient(*self._arrays(params), jax.tree.map(_checks.floating, gradient))

    def prox(self, params: Params, step: float) -> Params:
        """argmin over u of Ω(u) + ‖u − θ‖²/(2·step), the proximal step: soft(θᵢ, step·αᵢ) / (1 + 2·step·βᵢ)."""
        return prox(*self._arrays(params), jnp.asarray(_checks.positive("step", step), _checks.default_float()))

    def _arrays(self, params: Params) -> tuple[Params, Params, Params]:
        """(α, β, params), all leaves arrays."""

        def convert(leaf: Array, coefficient: Any) -> Array:
            return jnp.asarray(coefficient, _trees.wide(leaf))

        params = jax.tree.map(_checks.floating, params)
        alpha, beta = self.coefficients(params)
        return jax.tree.map(convert, params, alpha), jax.tree.map(convert, params, beta), params

    def __str__(self) -> str:
        return " + ".join(_text(term, "text") for term in self.terms) or "0"

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def latex(self) -> str:
        """The penalty as LaTeX, without dollar signs."""
        return " + ".join(_text(term, "latex") for term in self.terms) or "0"


def none() -> Penalty:
    """No penalty: Ω = 0."""
    return Penalty()


def l2(strength: float, *, scope: Any = "all") -> Penalty:
    """λ‖θ‖² over weights and biases. A Gaussian prior of variance σ² on θ is l2(1/(2nσ²)) beside a mean risk.

    `scope`: "all"; "weights" (leaves whose last path key is w, W, kernel, weight or embedding); or a mask, a tree of
    booleans (a leaf each, or arrays) with the structure of the params.
    Raises: ValueError for a strength that is negative or not finite.
    """
    return Penalty((Term(_checks.strength("strength", strength), 0.0, 1.0, scope),))


def l1(strength: float, *, scope: Any = "all") -> Penalty:
    """λ‖θ‖₁ over weights and biases; `scope` as in `l2`. A Laplace prior of scale c on θ is l1(1/(nc))."""
    return Penalty((Term(_checks.strength("strength", strength), 1.0, 0.0, scope),))


def elastic_net(l1_strength: float, l2_strength: float, *, scope: Any = "all") -> Penalty:
    """λ₁‖θ‖₁ + λ₂‖θ‖² over weights and biases (Zou & Hastie 2005); `scope` as in `l2`. Its strength is λ₁ + λ₂."""
    first, second = _checks.strength("l1_strength", l1_strength), _checks.strength("l2_strength", l2_strength)
    return Penalty((Term(first, 1.0, 0.0, scope), Term(second, 0.0, 1.0, scope)))


def weight_decay(strength: float, *, scope: Any = "weights") -> Penalty:
    """(λ/2) Σ W², weights only: biases stay free. The ½ makes its gradient λW. `scope` as in `l2`."""
    return Penalty((Term(_checks.strength("strength", strength), 0.0, 0.5, scope, factor=0.5),))


def to_json(penalties: Mapping[str, Penalty]) -> str:
    """Labeled penalties as JSON text, {label: [term, …]}; null for one under a mask, which stays with its owner."""

    def terms(penalty: Penalty) -> list[dict[str, Any]] | None:
        stored = all(isinstance(term.scope, str) for term in penalty.terms)
        return [asdict(term) for term in penalty.terms] if stored else None

    return json.dumps({label: terms(penalty) for label, penalty in penalties.items()}, ensure_ascii=False)


def from_json(text: str) -> dict[str, Penalty | None]:
    """The penalties that `to_json` described, by label; None for those under a mask."""
    described = json.loads(text)
    return {
        label: None if terms is None else Penalty(tuple(Term(**t) for t in terms)) for label, terms in described.items()
    }


# Kernels on coefficient arrays: what `evaluate` and `descend` compile. α and β are trees like `params`.


def value(alpha: Params, beta: Params, params: Params) -> Array:
    """Σᵢ αᵢ|θᵢ| + βᵢθᵢ². |θ| is written θ·sign(θ) so that its autodiff derivative at 0 is 0, not 1."""

    def leaf(a: Array, b: Array, p: Array) -> Array:
        p = p.astype(_trees.wide(p))
        # Masked, because 0·∞ is NaN: a penalty of strength 0 is 0, however large θ is.
        absolute = jnp.where(a > 0, p * jax.lax.stop_gradient(jnp.sign(p)), 0)
        squared = jnp.square(jnp.where(b > 0, p, 0))
        return jnp.sum(a * absolute + b * squared)

    return _trees.total(jax.tree.map(leaf, alpha, beta, params))


def subgradient(alpha: Params, beta: Params, params: Params, gradient: Params) -> Params:
    """See `Penalty.subgradient`."""

    def leaf(a: Array, b: Array, p: Array, g: Array) -> Array:
        dtype = _trees.wide(p)
        p, g = p.astype(dtype), g.astype(dtype)
        return jnp.where(p == 0, soft(g, a), g + 2 * b * p + a * jnp.sign(p))

    return jax.tree.map(leaf, alpha, beta, params, gradient)


def prox(alpha: Params, beta: Params, params: Params, step: Array) -> Params:
    """See `Penalty.prox`."""

    def leaf(a: Array, b: Array, p: Array) -> Array:
        size = step.astype(a.dtype)
        return (soft(p.astype(a.dtype), size * a) / (1 + 2 * size * b)).astype(p.dtype)

    return jax.tree.map(leaf, alpha, beta, params)


def soft(values: Array, threshold: Array) -> Array:
    """sign(v)·max(|v| − threshold, 0), the soft threshold; its zeros are +0."""
    return values - jnp.clip(values, -threshold, threshold)


def _mask(scope: Any, params: Params) -> list[Any]:
    """One number (0 or 1), or array of them, for each leaf of `params`."""
    leaves, tree = jax.tree.flatten(params)
    if isinstance(scope, str):
        known = {"all": [1.0] * len(leaves), "weights": _weights(params)}
        inside = _checks.one_of("scope", scope, known, ", or a mask: a tree of booleans like the params")
    else:
        scope = _without_frozen(scope, params)
        if jax.tree.structure(scope) != tree:
            raise ValueError(
                "`scope` must be a tree of booleans with the structure of the params.\n"
                + _trees.layouts(params=params, scope=scope)
            )
        inside = [_leaf_mask(m, p) for m, p in zip(jax.tree.leaves(scope), leaves, strict=True)]
    if not any(np.any(m) for m in inside):
        given = scope if isinstance(scope, str) else "mask"
        raise ValueError(
            f"`scope` {given!r} matches no leaf of the params ({_trees.layout(params)}). "
            'Pass `scope="all"`, or a mask: a tree of booleans with the structure of the params.'
        )
    return inside


def _without_frozen(scope: Any, params: Params) -> Any:
    """A mask given for all leaves, None in place of those that `params` lacks because they are frozen."""
    try:
        return jax.tree.map(lambda p, m: None if p is None else m, params, scope, is_leaf=lambda leaf: leaf is None)
    except ValueError:
        return scope  # of another structure


def _leaf_mask(mask: Any, leaf: Any) -> Any:
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape not in ((), np.shape(leaf)):
        raise ValueError(
            f"`scope` has a mask of dtype {mask.dtype} and shape {mask.shape} for a leaf of shape {np.shape(leaf)}; "
            "give one boolean, or booleans of the leaf's shape."
        )
    return mask.astype(np.float64) if mask.ndim else float(mask)


def _weights(params: Params) -> list[float]:
    return [float(name.rsplit("/", 1)[-1] in WEIGHT_NAMES) for name in _trees.named_leaves(params)]


def _text(term: Term, style: str) -> str:
    """One term, such as 0.1·‖θ‖²; ‖W‖ stands for a penalty on the weights alone, ‖mθ‖ for one under a mask."""
    scope = term.scope if isinstance(term.scope, str) else "mask"
    vector = {"all": ("θ", r"\theta"), "weights": ("W", "W")}.get(scope, ("mθ", r"m\theta"))
    number = f"{term.strength * term.factor:.10g}"
    if style == "latex":
        return rf"{number}\,\lVert {vector[1]}\rVert" + ("_2^2" if term.l2 else "_1")
    return f"{number}·‖{vector[0]}‖" + ("²" if term.l2 else "₁")
