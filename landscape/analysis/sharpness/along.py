"""`sharpness_along`: the largest eigenvalue of the Hessian along a run, and up to which one its steps are stable.

>>> import jax, optax, landscape as ls
>>> from landscape.analysis.sharpness.along import sharpness_along
>>> bowl = ls.function(lambda p: 2 * p["x"] ** 2 + p["y"] ** 2, {"x": 0.0, "y": 0.0})
>>> run = ls.descend(bowl, optax.sgd(0.1), {"x": 1.0, "y": 1.0}, steps=20, record_every=10)
>>> found = sharpness_along(bowl, run, learning_rate=0.1, key=jax.random.key(0))
>>> found.hessian_max.values, float(found.threshold)
(array([4., 4., 4.], dtype=float32), 20.0)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jax import Array

from landscape import _checks
from landscape._trees import Params
from landscape.analysis.sharpness import _ball
from landscape.analysis.sharpness._points import Points, points
from landscape.charts.trajectory import Trajectory
from landscape.objectives.objective import Objective, check_objective
from landscape.operators.products import PRECISION, curvature
from landscape.operators.top_eigenpairs import top_eigenpairs
from landscape.surfaces.provenance import describe
from landscape.tiles.progress import Progress

if TYPE_CHECKING:
    import xarray


def sharpness_along(
    objective: Objective,
    params: Params | Trajectory,
    *,
    key: Array,
    learning_rate: float | Mapping[str, float] | None = None,
    momentum: float | Mapping[str, float] = 0.0,
    tolerance: float | None = None,
    max_products: int = 1000,
    batch_size: int | None = None,
    memory: int | None = None,
    progress: bool | None = None,
) -> xarray.Dataset:
    """The sharpness λ_max(∇²J) of the objective J = R + Ω at each recorded point of a run.

        threshold = 2/η        with momentum (2 + 2β)/η

    On a quadratic with a larger eigenvalue, gradient descent with learning rate η diverges. On networks λ_max grows to
    the threshold and stays there, the edge of stability, while the risk falls over long spans, not step by step.

    params:        a `Trajectory` that keeps its params, such as that of `ls.descend(…, record_every=10)`; stacked
                   params, leaves (m, …); or params.
    key:           of the vectors that each Lanczos iteration starts from, the same at each point.
    learning_rate: η, of full-batch gradient descent, `optax.sgd(η)`; of a trajectory with the dimension `optimizer`
                   also a mapping label -> η. Without it there is no threshold.
    momentum:      β, of `optax.sgd(η, momentum=β)`, not Nesterov's; or a mapping label -> β, as of η.
    tolerance, max_products, batch_size, memory: as in `top_eigenpairs`.
    progress:      show a bar; by default after two seconds on a terminal.

    Returns a Dataset with the dimensions of the trajectory (`point` for stacked params, none for one):
        hessian_max     λ_max, the largest eigenvalue, with its sign
        residual        ‖Hv − λv‖: there is an eigenvalue within that distance
        converged       whether it is at most tolerance · max |λ|; False where not finite
        finite          whether objective and Hessian are; where not, λ_max and residual are NaN
        threshold       where a learning rate is given; and `above`, whether λ_max exceeds it
    Raises: ValueError or TypeError, naming the argument.
    References: Cohen, Kaur, Li, Kolter & Talwalkar 2021 (arXiv:2103.00065), sections 2 and 3.

        >>> import jax, optax, landscape as ls
        >>> bowl = ls.function(lambda p: 2 * p["x"] ** 2 + p["y"] ** 2, {"x": 0.0, "y": 0.0})
        >>> rates = {"stable": 0.4, "unstable": 0.6}
        >>> sgd = {label: optax.sgd(rate) for label, rate in rates.items()}
        >>> runs = ls.descend(bowl, sgd, {"x": 1.0, "y": 1.0}, steps=10)
        >>> found = ls.sharpness_along(bowl, runs, learning_rate=rates, key=jax.random.key(0))
        >>> found.above.isel(step=0).values, runs.data.risk.isel(step=-1).values < 1
        (array([False,  True]), array([ True, False]))
    """
    check_objective(objective)
    _checks.random_key("key", key)
    places = points(objective, params)
    threshold = _threshold(learning_rate, momentum, places)
    options: dict[str, Any] = {"batch_size": batch_size, "memory": memory}
    search = options | {"tolerance": tolerance, "max_products": max_products, "progress": False}
    found = []
    with Progress(int(np.prod(places.shape)), "points", progress) as bar:
        for i in range(int(np.prod(places.shape))):
            found.append(_at(objective, places.at(i, objective.params), key, options, search))
            bar.update(1)
    attributes = describe(objective, None) | {"kind": "sharpness_along", "precision": PRECISION}
    return _dataset(places, found, threshold, attributes)


class _Found(NamedTuple):
    """Of one point."""

    value: Any  # numbers of the operator's dtype
    residual: Any
    converged: bool
    finite: bool


def _at(objective: Objective, params: Params, key: Array, options: dict[str, Any], search: dict[str, Any]) -> _Found:
    operator = curvature(objective, params, **options)
    if not (np.isfinite(objective(params)) and _ball.is_finite(operator)):
        nan = np.asarray(np.nan, operator.dtype)[()]
        return _Found(nan, nan, False, False)
    pair = top_eigenpairs(objective, params, key=key, **search)
    return _Found(pair.values[0], pair.residuals[0], bool(pair.converged[0]), True)


def _threshold(learning_rate: Any, momentum: Any, places: Points) -> tuple[tuple[str, ...], np.ndarray] | None:
    """(dimensions, values) of (2 + 2β)/η; None without a learning rate."""
    betas = _each("momentum", momentum, places)
    if learning_rate is None:
        if np.any(betas != 0):
            raise ValueError("`momentum` is given without `learning_rate`: the threshold is (2 + 2β)/η; give both.")
        return None
    if not ((betas >= 0) & (betas < 1)).all():
        raise ValueError(f"`momentum` is {momentum}; it must be at least 0 and less than 1.")
    rates = _each("learning_rate", learning_rate, places)
    if not ((rates > 0) & np.isfinite(rates)).all():
        raise ValueError(f"`learning_rate` is {learning_rate}; it must be a finite number > 0.")
    values = (2 + 2 * betas) / rates
    return (("optimizer",) if values.ndim else ()), values


def _each(name: str, given: Any, places: Points) -> np.ndarray:
    """One number for all (), or one for each optimizer of the run, in its order."""
    if not isinstance(given, Mapping):
        return np.asarray(_checks.number(name, given))
    labels = places.coords["optimizer"].values.tolist() if "optimizer" in places.dims else []
    if sorted(labels) != sorted(given):
        has = f"has the optimizers {', '.join(map(repr, labels))}" if labels else "has no dimension `optimizer`"
        raise ValueError(
            f"`{name}` is a mapping from {', '.join(map(repr, given))}, but `params` {has}; give one number for each "
            "optimizer, or one for all."
        )
    return np.array([_checks.number(f"{name}[{label!r}]", given[label]) for label in labels])


def _dataset(
    places: Points, found: list[_Found], threshold: tuple[tuple[str, ...], np.ndarray] | None, attributes: Any
) -> xarray.Dataset:
    import xarray

    value, residual, converged, finite = (np.array(column).reshape(places.shape) for column in zip(*found, strict=True))
    variables = {
        "hessian_max": (places.dims, value, {"long_name": "largest eigenvalue of the Hessian", "units": "1"}),
        "residual": (places.dims, residual, {"long_name": "residual of the eigenvalue equation", "units": "1"}),
        "converged": (places.dims, converged, {"long_name": "whether the eigenvalue has converged"}),
        "finite": (places.dims, finite, {"long_name": "whether objective and Hessian are finite"}),
    }
    data = xarray.Dataset(variables, places.coords, attributes)
    if threshold is None:
        return data
    described = {"long_name": "largest eigenvalue at which steps are stable", "units": "1"}
    data = data.assign(threshold=(*threshold, described))
    above = (data["hessian_max"] > data["threshold"]).transpose(*places.dims)
    return data.assign(above=above.assign_attrs(long_name="whether the eigenvalue exceeds the threshold"))
