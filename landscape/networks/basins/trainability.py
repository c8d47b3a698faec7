"""The boundary of trainability: where in the space of an optimizer's hyper-parameters runs converge, where diverge.

>>> import numpy as np, optax, landscape as ls
>>> bowl = ls.function(lambda p: 0.5 * p["x"] ** 2, {"x": 1.0})
>>> found = ls.trainability(bowl, bowl.params, lambda eta: optax.sgd(eta), {"eta": np.array([0.5, 1.9, 2.1])}, 100)
>>> found.converged.values
array([ True,  True, False])
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import optax

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.networks import _asked
from landscape.networks.basins import _grids
from landscape.networks.basins._cells import Rates, Read
from landscape.networks.basins._grids import Grid
from landscape.objectives.objective import Objective
from landscape.surfaces._identity import digest
from landscape.surfaces.provenance import describe

if TYPE_CHECKING:
    import xarray


def trainability(
    objective: Objective,
    start: Params,
    optimizer: Callable[..., optax.GradientTransformation],
    axes: Mapping[str, Any],
    steps: int,
    *,
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
    shard: tuple[int, int] | None = None,
    devices: Sequence[Any] | None = None,
) -> xarray.Dataset:
    """Train from one start at every point of a grid of hyper-parameters, and say whether it converged.

    With J_t the objective before step t = 0 … steps − 1, and r_t = J_t/J_0, at most 10⁶, and 10⁶ from the step on at
    which objective or gradient are not finite:

        converged    the mean of r_t over the last 20 steps is below 1 (it averages over oscillations)
        measure      Σ_t r_t where a run converged (small: fast), Σ_t 1/r_t where it did not (small: diverged fast)

    start:     params, like the objective's; all runs start there.
    optimizer: a function of named hyper-parameters, numbers that are traced, which returns an optax transformation.
               Learning rates of two layers: `lambda eta1, eta2: optax.multi_transform({"layer1": optax.sgd(eta1),
               "layer2": optax.sgd(eta2)}, {"layer1": "layer1", "layer2": "layer2"})`. Matched by identity: keep one to
               compile once. A momentum in place of a learning rate, or the strength of a weight decay, will do too.
    axes:      hyper-parameter -> 1-D positions, any spacing, 1 to 3 of them: all that have no default. Narrower axes
               zoom in. Learning rates may be 0 or negative: then the run stays, or climbs.
    steps:     of full batches. Gradients are minimum-norm subgradients of risk + penalty.
    progress, store, shard, devices: as in `evaluate`. On a CPU the tiles go to a thread for each core.

    Returns a Dataset over the axes: measure, converged; risk, objective and gradient_norm at the end; finite (to the
    end); steps_taken (int32; fewer than `steps` where a run became non-finite, and went no further). Where a run is not
    finite it is said, and `risk` is what it came to. The boundary is as fine as rounding allows: a zoom to a
    thousandth of a learning rate wants float64.
    Raises: ValueError or TypeError, naming the argument; ValueError where J_0 is not above 0; of a store as `evaluate`.
    References: Sohl-Dickstein 2024, "The boundary of neural network trainability is fractal" (arXiv:2402.06184); the
    measure is that of the program published with it.

        >>> import numpy as np, optax, landscape as ls
        >>> bowl = ls.function(lambda p: 0.5 * (p["x"] ** 2 + 4 * p["y"] ** 2), {"x": 1.0, "y": 1.0})
        >>> def rates(eta_x, eta_y):
        ...     return optax.multi_transform({"x": optax.sgd(eta_x), "y": optax.sgd(eta_y)}, {"x": "x", "y": "y"})
        >>> axes = {"eta_x": np.array([1.0, 1.9, 2.1]), "eta_y": np.array([0.4, 0.6])}
        >>> ls.trainability(bowl, bowl.params, rates, axes, 200).converged.values  # ηᵢλᵢ < 2
        array([[ True, False], [ True, False], [False, False]])
    """
    _asked.check_objective(objective, "trainability")
    names = _hyperparameters(optimizer, axes)
    _checks.count("steps", steps)
    objective = _started(objective, start)
    dtype = _asked.dtype(objective)
    found = _asked.positions(_checks.axes(names, axes), dtype)
    _asked.check_free(found, _grids.TAKEN)
    with jax.default_matmul_precision(_grids.PRECISION):
        first = float(objective(objective.params))
    if not (np.isfinite(first) and first > 0):
        raise ValueError(
            f"`start` has the objective {first:g}, and runs are compared with it; it must be a finite number above 0. "
            "Add a constant to the objective, or start elsewhere."
        )
    _check_makes(optimizer, objective, found)
    kind = Rates(_asked.program(objective, None), optimizer, tuple(found), steps)
    grid = Grid(
        objective,
        kind,
        Read(_asked.inputs(objective, None), _asked.level(first, dtype)),
        found,
        {name: {"long_name": name, "units": "1"} for name in found},
        steps,
        {"picture": "trainability", "start": digest(objective.params)},
        describe(objective, None) | {"picture": "trainability", "start_objective": first},
    )
    with jax.default_matmul_precision(_grids.PRECISION):
        return _grids.computed(grid, store, shard, devices, progress)


def _hyperparameters(optimizer: Any, axes: Any) -> tuple[str, ...]:
    """The names of the axes, in their order.

    Raises: TypeError or ValueError unless the optimizer is a function of these.
    """
    if isinstance(optimizer, optax.GradientTransformation) or not callable(optimizer):
        raise TypeError(
            f"`optimizer` is {_checks.kind(optimizer)}; give a function of its hyper-parameters that returns an optax "
            "transformation, such as lambda eta: optax.sgd(eta)."
        )
    if not isinstance(axes, Mapping) or not axes:
        given = "an empty mapping" if isinstance(axes, Mapping) else _checks.kind(axes)
        raise TypeError(f"`axes` is {given}; give a mapping from hyper-parameters, {{'eta': np.logspace(-2, 1, 64)}}.")
    parameters = inspect.signature(optimizer).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return tuple(axes)
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = [p.name for p in parameters if p.name in known and p.default is p.empty]
    wrong = {"missing": [n for n in needed if n not in axes], "unknown": [n for n in axes if n not in known]}
    if any(wrong.values()):
        listed = "; ".join(f"{what}: {', '.join(map(repr, found))}" for what, found in wrong.items() if found)
        raise ValueError(
            f"`axes` must name hyper-parameters that `optimizer` takes, {', '.join(known) or 'of which it has none'}; "
            f"{listed}. Give each a 1-D array of positions, or a default in the function."
        )
    return tuple(axes)


def _started(objective: Objective, start: Params) -> Objective:
    """The objective with the start as its example params."""
    started = objective.with_params(start)
    for name, leaf in _trees.named_leaves(_trees.floating(started.params)).items():
        _checks.finite(f"start {name!r}", np.asarray(leaf), "Start from finite params")
    return started


def _check_makes(optimizer: Callable[..., Any], objective: Objective, axes: Mapping[str, np.ndarray]) -> None:
    """Raise TypeError unless the function makes an optax transformation out of traced numbers."""
    made: list[Any] = []

    def make(at: dict[str, Any]) -> None:
        made.append(optimizer(**at))

    try:
        jax.eval_shape(make, {name: jax.ShapeDtypeStruct((), axis.dtype) for name, axis in axes.items()})
    except (jax.errors.JAXTypeError, TypeError) as error:
        raise TypeError(
            f"`optimizer` cannot be made out of traced numbers ({str(error).splitlines()[0]}); give a function such as "
            "lambda eta: optax.sgd(eta), without `if`, float() or NumPy on its arguments."
        ) from error
    if not isinstance(made[0], optax.GradientTransformation):
        raise TypeError(
            f"`optimizer` returned {_checks.kind(made[0])}; it must return an optax transformation: "
            "lambda eta: optax.sgd(eta)."
        )
