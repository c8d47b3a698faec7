"""How many directions lead down: the index of the Hessian at points of the params, such as along a run.

>>> import numpy as np, landscape as ls
>>> saddle = ls.function(lambda p: p["x"] ** 2 - p["y"] ** 2, {"x": 0.0, "y": 0.0})
>>> found = ls.saddle_index(saddle, {"x": 0.0, "y": 0.0})
>>> int(found["index"]), float(found.hessian_min), float(found.hessian_max)
(1, -2.0, 2.0)
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from landscape import _checks, _cost, _trees
from landscape._trees import Params
from landscape.analysis.descent import PRECISION
from landscape.analysis.sharpness._points import Points, points
from landscape.charts.trajectory import Trajectory
from landscape.minima import _double
from landscape.networks import _asked
from landscape.objectives import footprint
from landscape.objectives import penalties as _penalties
from landscape.objectives.objective import Batch, Losses, Objective, reduced, weighted_sum
from landscape.surfaces.provenance import describe

if TYPE_CHECKING:
    import xarray

MOST = 2000  # params: all eigenvalues of a dense Hessian take p³ operations and p² numbers
UNKNOWN = -1  # in place of an index
LONG_NAMES = {
    "index": "number of negative eigenvalues",
    "index_share": "share of negative eigenvalues",
    "hessian_min": "smallest eigenvalue of the Hessian",
    "hessian_max": "largest eigenvalue of the Hessian",
    "risk": "risk",
    "objective": "objective",
    "gradient_norm": "norm of the objective's gradient",
    "finite": "whether objective and Hessian are finite",
}


def saddle_index(
    objective: Objective, params: Params | Trajectory, *, tolerance: float = 1e-6, memory: int | None = None
) -> xarray.Dataset:
    """The index at each point: how many eigenvalues of the objective's Hessian are negative.

        index = #{i : λᵢ < −tolerance · max_j |λ_j|}         index_share = index/p

    objective: of p ≤ 2000 params that move, its data in memory. Everything is computed in float64, whatever the dtype
               of the params and the data.
    params:    params; stacked params, leaves (m, …); or a `Trajectory` that keeps its params, such as that of
               `ls.descend(…, record_every=100)`.
    tolerance: an eigenvalue within this share of the largest |λ| of its Hessian counts as 0. Rounding is some p·1e-16
               of it; networks have many that are 0 or nearly.
    memory:    bytes that temporaries may take (default 2 GiB on CPU): fewer columns of the Hessian at a time.

    Returns a Dataset with the dimensions of the trajectory (`point` for stacked params, none for one):
        index, index_share
        hessian_min, hessian_max     smallest and largest eigenvalue
        risk, objective, gradient_norm, finite      there
    Where the objective or an entry of the Hessian is not finite, `finite` is False, index −1, and the share NaN. Where
    a function or penalty has a kink (relu, l1), the Hessian is that beside it; a kink has none.
    A small gradient says that a point is nearly critical; along a run most are not, and the index is of the curvature
    there.
    Raises: ValueError or TypeError, naming the argument; ValueError for more params, and for losses that compute in
    float32 whatever they are given.
    References: Dauphin et al. 2014, section 3 (arXiv:1406.2572); Pascanu et al. 2014 (arXiv:1405.4604).

        >>> import jax, jax.numpy as jnp, optax, landscape as ls
        >>> wells = ls.function(lambda p: (p["x"] ** 2 - 1) ** 2 + p["y"] ** 2, {"x": 0.0, "y": 0.0})
        >>> run = ls.descend(wells, optax.sgd(0.05), {"x": 0.01, "y": 1.0}, steps=100, record_every=50)
        >>> ls.saddle_index(wells, run)["index"].values  # from the ridge between the wells into one of them
        array([1, 0, 0], dtype=int32)
    """
    _asked.check_objective(objective, "saddle_index")
    _checks.positive("tolerance", tolerance)
    if memory is not None:
        _checks.count("memory", memory, least=2**20, unit=" bytes")
    own = _trees.floating(objective.params)
    count = sum(leaf.size for leaf in jax.tree.leaves(own))
    if count > MOST:
        raise ValueError(
            f"`objective` has {count} params that move, and all eigenvalues of its Hessian are wanted: {count}² "
            f"numbers and some {count}³ operations a point. Up to {MOST} params are taken: take a narrower network, or "
            "fewer inputs."
        )
    at = points(objective, params)
    with jax.enable_x64(True), jax.default_matmul_precision(PRECISION):
        example, data = _double.widened(objective)
        alpha, beta = objective.penalty.coefficients(_trees.floating(example))
        found = _spectra(
            objective.traced_losses,
            objective.reduction,
            _columns(objective, count, memory),
            (alpha, beta),
            example,
            data,
            jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), at.moving),
            np.float64(tolerance),
        )
        found = {name: np.asarray(values) for name, values in found.items()}
    return _dataset(objective, found, at, tolerance)


def _columns(objective: Objective, count: int, memory: int | None) -> int:
    """How many columns of the Hessian are computed at a time: each holds what a gradient does, in float64, twice."""
    shapes = _trees.shapes(objective.params), _trees.shapes(objective.data)
    one = 2 * 2 * footprint.computed(objective.traced_losses, *shapes)
    return max(1, min(count, _cost.budget(memory) // max(1, one)))


@partial(jax.jit, static_argnames=("losses", "reduction", "columns"))
def _spectra(
    losses: Losses,
    reduction: str,
    columns: int,
    coefficients: tuple[Params, Params],
    example: Params,
    data: Batch,
    points: Params,
    tolerance: Array,
) -> dict[str, Array]:
    """What is said of each point, (m,); one after another."""

    def one(moving: Params) -> dict[str, Array]:
        flat, restored = ravel_pytree(moving)

        def both(flat: Array) -> tuple[Array, Array]:
            moving = restored(flat)
            risk = reduced(*weighted_sum(losses, _trees.merged(moving, example), data), reduction)
            return risk + _penalties.value(*coefficients, moving).astype(risk.dtype), risk

        def column(direction: Array) -> Array:
            return jax.jvp(lambda flat: jax.grad(both, has_aux=True)(flat)[0], (flat,), (direction,))[1]

        (value, risk), _ = jax.value_and_grad(both, has_aux=True)(flat)
        gradient = _penalties.subgradient(
            *coefficients, moving, jax.grad(lambda m: both(ravel_pytree(m)[0])[1])(moving)
        )
        hessian = jax.lax.map(column, jnp.eye(len(flat), dtype=flat.dtype), batch_size=columns)
        finite = jnp.isfinite(value) & jnp.isfinite(hessian).all()
        eigenvalues = jnp.linalg.eigvalsh(jnp.where(finite, (hessian + hessian.T) / 2, 0.0))
        largest = jnp.max(jnp.abs(eigenvalues))
        negative = jnp.sum(eigenvalues < -tolerance * largest)
        return {
            "index": jnp.where(finite, negative, UNKNOWN).astype(jnp.int32),
            "index_share": jnp.where(finite, negative / len(flat), jnp.nan),
            "hessian_min": jnp.where(finite, eigenvalues[0], jnp.nan),
            "hessian_max": jnp.where(finite, eigenvalues[-1], jnp.nan),
            "risk": risk,
            "objective": value,
            "gradient_norm": _trees.norm(gradient),
            "finite": finite,
        }

    return jax.lax.map(one, points)


def _dataset(objective: Objective, found: dict[str, np.ndarray], at: Points, tolerance: float) -> xarray.Dataset:
    import xarray

    variables = {
        name: (at.dims, found[name].reshape(at.shape), {"long_name": text, "units": "1"})
        for name, text in LONG_NAMES.items()
    }
    attributes = describe(objective, None) | {"kind": "saddle_index", "tolerance": tolerance, "precision": PRECISION}
    return xarray.Dataset(variables, at.coords, attributes)
