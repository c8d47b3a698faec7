"""How often mini-batches leave a poor minimum in which full batches stay.

>>> import jax, numpy as np, optax, landscape as ls
>>> tilts = np.tile(np.array([-4.0, 4.0], "float32"), 50)  # each example tilts the wells, their mean does not
>>> losses = lambda p, tilt: (p["x"] ** 2 - 1) ** 2 + p["x"] + tilt * p["x"]
>>> wells = ls.Objective(losses, tilts, params={"x": 0.0})
>>> ends = {"x": np.array([-1.1, 0.83], "float32")}  # −1.1 is in the lower well
>>> found = ls.escapes(wells, ends, optax.sgd(0.05), key=jax.random.key(0), batch_size=1, steps=500, settle_steps=500,
...                 margin=0.1, repeats=4)
>>> found.share.values, found.full_escaped.values
(array([0., 1.]), array([False, False]))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import Array

from landscape import _checks
from landscape._trees import Params
from landscape.analysis.descent import descend
from landscape.analysis.optimizers import Optimizer
from landscape.charts.trajectory import Trajectory
from landscape.objectives.objective import Objective

if TYPE_CHECKING:
    import xarray

LONG_NAMES = {
    "objective": "objective after settling",
    "gradient_norm": "norm of the objective's gradient after settling",
    "finite": "whether the run is finite",
    "escaped": "whether the objective is lower by more than the margin",
}


def escapes(
    objective: Objective,
    ends: Params,
    optimizer: Optimizer,
    *,
    key: Array,
    batch_size: int,
    steps: int,
    settle_steps: int,
    margin: float,
    settle: Optimizer | None = None,
    repeats: int = 10,
    memory: int | None = None,
) -> xarray.Dataset:
    """From each end: steps of mini-batches, then full batches until it settles; and the same with full batches only.

        escaped = J(after) < J(end) − margin        share = how many of the repeats escaped

    ends:         stacked params, leaves (m, …), such as the ends of full-batch runs, one of each of `group_minima`.
    optimizer:    makes `steps` steps, of mini-batches or, as a control, of all examples. With a learning rate that is
                  unstable at an end (of SGD above 2/λ, λ the largest eigenvalue of the Hessian) full batches leave too.
    key:          draws the order of the examples, another one in each repeat. In one repeat all ends have the same:
                  ends that are copies of each other under the network's symmetry then do the same.
    settle_steps: of full batches, which follow on either, by `settle`, or `optimizer` where that is not given.
    margin:       > 0, in units of the objective. Full batches lower an end that has not converged too: the control says
                  by how much, and the norms of the gradients whether the runs have settled.
    memory:       as in `ls.descend`.

    Returns a Dataset:
        objective, gradient_norm, finite, escaped                               (repeat, start), after mini-batches
        full_objective, full_gradient_norm, full_finite, full_escaped           (start), the control
        objective_before, gradient_norm_before, share                           (start)
    A run that is not finite has not escaped, and stays among those that the share counts.
    Raises: ValueError or TypeError, naming the argument.
    References: LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", section 4.1 (stochastic against batch learning).

        >>> import jax, jax.numpy as jnp, numpy as np, optax, landscape as ls
        >>> bowl = ls.Objective(lambda p, d: (p["x"] - d) ** 2, np.array([-1.0, 1.0], "float32"), params={"x": 0.0})
        >>> how = dict(key=jax.random.key(0), batch_size=1, steps=50, settle_steps=200, margin=0.01)
        >>> ls.escapes(bowl, {"x": np.zeros(1, "float32")}, optax.sgd(0.1), **how).share.values  # no other minimum
        array([0.])
    """
    _checks.positive("margin", margin)
    _checks.count("settle_steps", settle_steps)
    _checks.count("steps", steps)
    _checks.count("repeats", repeats)
    if batch_size is None:
        raise TypeError("`batch_size` is None; give the size of mini-batches, such as 10: full ones are the control.")
    _checks.random_key("key", key)

    def moved(**batches: Any) -> Trajectory:
        return descend(objective, optimizer, ends, steps, record_every=steps, memory=memory, **batches)

    full = moved()
    if full.data.risk.ndim != 2:
        raise ValueError(
            "`ends` has no leading axis; stack the ends, or add one: jax.tree.map(lambda leaf: leaf[None], end)."
        )
    runs = [full, *(moved(batch_size=batch_size, key=k) for k in jax.random.split(key, repeats))]
    starts = jax.tree.map(
        lambda *leaves: np.concatenate([leaf[:, -1] for leaf in leaves]), *(run.params for run in runs)
    )
    settling = optimizer if settle is None else settle
    after = descend(objective, settling, starts, settle_steps, record_every=settle_steps, memory=memory)
    said = {"steps": steps, "batch_size": batch_size, "settle_steps": settle_steps, "margin": float(margin)}
    alive = np.stack([run.data.finite.to_numpy()[:, -1] for run in runs])
    return _dataset(full.data, after.data, alive, float(margin), said)


def _dataset(
    full: xarray.Dataset, after: xarray.Dataset, alive: np.ndarray, margin: float, said: dict[str, Any]
) -> xarray.Dataset:
    """The control first in `alive` and, one after another, in `after`."""
    import xarray

    before = {name: full[name].to_numpy()[:, 0] for name in ("objective", "gradient_norm")}
    last = {name: after[name].to_numpy()[:, -1].reshape(alive.shape) for name in (*before, "finite")}
    last["finite"] &= alive
    last["escaped"] = last["finite"] & (last["objective"] < before["objective"][None] - margin)
    variables = {}
    for name, text in LONG_NAMES.items():
        described = {"long_name": text, "units": "1"}
        variables[name] = (("repeat", "start"), last[name][1:], described)
        variables[f"full_{name}"] = ("start", last[name][0], described | {"long_name": f"{text}, full batches only"})
    for name, values in before.items():
        text = LONG_NAMES[name].replace("after settling", "at the given end")
        variables[f"{name}_before"] = ("start", values, {"long_name": text, "units": "1"})
    share = {"long_name": "share of the repeats in which the end was left", "units": "1"}
    variables["share"] = ("start", last["escaped"][1:].mean(axis=0), share)
    repeats, starts = last["escaped"][1:].shape
    coords = {"repeat": np.arange(repeats), "start": np.arange(starts)}
    return xarray.Dataset(variables, coords, full.attrs | said | {"kind": "escapes"})
