"""Means over random probes: the average increase of the risk, and relative flatness; each with its standard error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.analysis.sharpness import _ball
from landscape.analysis.sharpness._ball import Ball
from landscape.charts import directions
from landscape.charts.directions import Axis
from landscape.operators.products import Curvature
from landscape.tiles.progress import Progress

AT_A_TIME = 8  # probes multiplied at a time


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


def relative_flatness(operator: Curvature, inner: int, key: Array, num_probes: int, bar: Progress) -> Estimate:
    """κ = Σ ⟨w_s, w_s'⟩ tr H_ss' of one kernel: the mean of vᵀHv over v = z ⊗ (Wᵀξ), z and ξ random signs.

    operator: the Hessian over the kernel alone.
    inner:    the axis of the kernel that counts its inputs.
    For E[zzᵀ] = I, and E[(Wᵀξ)(Wᵀξ)ᵀ] = WᵀW.
    """
    if not _ball.is_finite(operator, key):
        return Estimate(np.nan, np.nan)
    samples = []
    for first in range(0, num_probes, AT_A_TIME):
        places = jnp.arange(first, min(first + AT_A_TIME, num_probes))
        keys = jax.vmap(partial(jax.random.fold_in, key))(places)
        probes = _probes(keys, operator.inputs.moving, inner)
        samples.append(np.asarray(_quadratic(probes, operator.times(probes)), np.float64))
        bar.update(len(places))
    return _estimated(np.concatenate(samples))


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


@partial(jax.jit, static_argnames="inner")
def _probes(keys: Array, kernel: Params, inner: int) -> Params:
    """z ⊗ (Wᵀξ), leaves (b, *leaf), of a tree whose one leaf is W, or Wᵀ where `inner` is 1."""

    def one(key: Array, leaf: Array) -> Array:
        weights = leaf.astype(_trees.wide(leaf))
        for_inputs, for_outputs = jax.random.split(key)
        z = jax.random.rademacher(for_inputs, weights.shape[inner : inner + 1], weights.dtype)
        signs = jax.random.rademacher(for_outputs, weights.shape[inner : inner + 1], weights.dtype)
        outputs = jnp.tensordot(signs, weights, (0, inner), precision="highest")
        return jnp.tensordot(z, outputs, 0) if inner == 0 else jnp.tensordot(outputs, z, 0)

    return jax.tree.map(lambda leaf: jax.vmap(lambda key: one(key, leaf))(keys), kernel)


@jax.jit
def _quadratic(probes: Params, multiplied: Params) -> Array:
    return jax.vmap(_trees.vdot)(probes, multiplied)
