"""Means over random probes: the average increase of the risk, and relative flatness; each with its standard error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.analysis.sharpness._ball import Ball
from landscape.charts import directions
from landscape.charts.directions import Axis
from landscape.operators._space import AT_A_TIME
from landscape.tiles.progress import Progress


class Estimate(NamedTuple):
    """A mean and its standard error; NaN stays."""

    value: float
    stderr: float


def average(ball: Ball, sigma: float, key: Array, num_probes: int, bar: Progress) -> Estimate:
    """The mean of R(θ + δ) − R(θ) over δ ~ N(0, σ²I), in pairs ±δ, whose slopes cancel."""
    means = []
    for i in range(num_probes):
        step = jax.tree.map(lambda leaf: leaf * np.asarray(sigma, leaf.dtype), ball.random(jax.random.fold_in(key, i)))
        both = [float(ball.increase(u)) for u in (step, jax.tree.map(jnp.negative, step))]
        means.append(sum(both) / 2)
        bar.update(1)
    return _estimated(np.array(means))


def relative_flatness(ball: Ball, kernel: str, inner: int, key: Array, num_probes: int, bar: Progress) -> Estimate:
    """κ = Σ ⟨w_s, w_s'⟩ tr H_ss' of one kernel: the mean of vᵀHv over v = z ⊗ (Wᵀξ), z and ξ random signs.

    kernel: the leaf's name.
    inner:  its axis that counts the inputs.
    For E[zzᵀ] = I, and E[(Wᵀξ)(Wᵀξ)ᵀ] = WᵀW. All other entries of v are 0: all kernels share one compiled product.
    """
    samples = []
    zeros = jax.tree.map(lambda leaf: jnp.zeros((AT_A_TIME, *leaf.shape), leaf.dtype), ball.operator.inputs.moving)
    weights = _trees.named_leaves(_trees.floating(ball.operator.params["at"]))[kernel]
    for first in range(0, num_probes, AT_A_TIME):
        places = jnp.arange(first, first + AT_A_TIME)
        probes = _probes(key, places, weights.astype(_trees.wide(weights)), inner)

        block = zeros | {"u": jax.tree_util.tree_map_with_path(partial(_placed, kernel, probes), zeros["u"])}
        samples.append(np.asarray(_quadratic(block, ball.operator.times(block)), np.float64))
        bar.update(AT_A_TIME)
    return _estimated(np.concatenate(samples)[:num_probes])


def kernels(params: Params, filter_axis: Axis | Mapping[str, Axis] | None) -> dict[str, int]:
    """The leaves that are matrices of weights, and which of their axes counts the inputs."""
    moving = _trees.floating(params)
    paths, structure = jax.tree_util.tree_flatten_with_path(moving)
    chosen = {i: (path, leaf) for i, (path, leaf) in enumerate(paths) if leaf.ndim == 2}
    if filter_axis is None:
        directions._check_default(chosen, structure)
        filter_axis = -1
    over = directions._inner_axes(chosen, filter_axis)
    return {_trees.path_name(path): over[i][0] for i, (path, _) in chosen.items() if len(over[i]) == 1}


def _estimated(samples: np.ndarray) -> Estimate:
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        return Estimate(float(samples.mean()), float(samples.std(ddof=1) / np.sqrt(len(samples))))


def _placed(kernel: str, probes: Array, path: Any, other: Array) -> Array:
    return probes if _trees.path_name(path) == kernel else other


@partial(jax.jit, static_argnames="inner")
def _probes(key: Array, places: Array, weights: Array, inner: int) -> Array:
    """z ⊗ (Wᵀξ), one for each place: (b, *W.shape)."""

    def one(place: Array) -> Array:
        signs = jax.random.rademacher(jax.random.fold_in(key, place), (2, weights.shape[inner]), weights.dtype)
        outputs = jnp.tensordot(signs[1], weights, (0, inner), precision="highest")
        return jnp.tensordot(signs[0], outputs, 0) if inner == 0 else jnp.tensordot(outputs, signs[0], 0)

    return jax.vmap(one)(places)


@jax.jit
def _quadratic(probes: Params, multiplied: Params) -> Array:
    return jax.vmap(_trees.vdot)(probes, multiplied)
