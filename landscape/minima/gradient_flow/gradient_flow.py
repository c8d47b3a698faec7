"""`gradient_flow`: the path of steepest descent with infinitely small steps, in float64."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis import _arguments
from landscape.charts.trajectory import Trajectory, from_records, with_frozen
from landscape.minima import _double
from landscape.objectives import data as _data
from landscape.objectives.objective import Objective, check_objective
from landscape.surfaces.provenance import describe

if TYPE_CHECKING:
    from landscape.minima.gradient_flow._flow import Inputs

PRECISION = "highest"  # of matrix products
LEAST_RTOL = 100 * float(np.finfo(np.float64).eps)
# Of the explicit method, beside a few for each time, before the implicit one is tried: many more than a flow takes that
# is not stiff, and less work than one more compilation.
EXPLICIT_STEPS = 4096
DENSE = 1000  # parameters up to which the implicit method, which factors a matrix of their size each step, is tried
MEANINGS = "reached_the_last_time stopped_by_the_gradient_norm ended_in_finite_time ran_out_of_steps met_a_kink"


def gradient_flow(
    objective: Objective,
    starts: Params,
    times: Sequence[float] | np.ndarray,
    *,
    stiff: bool | None = None,
    rtol: float = 1e-10,
    atol: float = 1e-12,
    stop: float | None = None,
    max_steps: int = 100_000,
) -> Trajectory:
    """Follow the gradient flow dθ/dt = −∇J(θ), θ(0) = start, and record it at the given times.

    What gradient descent with step size η does in t/η steps as η → 0. J falls along it, by ‖∇J‖² per unit of time.

    objective: its data in memory; its penalty without l1. Computed in float64 whatever the dtypes are.
    starts:    params; or params with a leading axis on every leaf (relative to `objective.params`), a run each.
    times:     (T,), ≥ 0 and increasing, such as [0, *np.logspace(-2, 6, 50)]. All are from the start on. A step of the
               solver ends at each, so that what is recorded is not interpolated; many close ones cost a step each.
    stiff:     False for an explicit method (order 8, Dormand and Prince), True for an implicit one (order 5, Kværnø
               2004), which a Hessian with large and small eigenvalues calls for: steps are not bound by the largest.
               None tries the first, and the second on the runs that take it too many steps.
    rtol, atol: allowed error of a step, atol + rtol·|θ| for each parameter, in the root mean square over all.
    stop:      follow a run until ‖∇J‖ ≤ stop at the end of a step.
    max_steps: of the solver, a run.

    Returns a Trajectory over start (if several were asked for) and step 0, 1, 2, …, which has the coordinate
    `time`; its params are NumPy arrays in float64. Recorded are risk, objective, gradient_norm, finite; and for each
    run `status`, `end_time` (up to which it was followed), `num_steps` of the solver and `stiff`. By status:

        0  the last time was reached.
        1  stopped by the gradient norm: the run stays at the params where it stopped, also at later times.
        2  ended in finite time: the flow leaves every bound before the next recorded time, or has no finite gradient:
           no step is short enough. NaN from there on, `finite` False.
        3  ran out of steps: as for 2, but nothing is known of the flow; `computed` is False.
        4  met a kink, where the gradient jumps and no step is short enough, as a relu's flow may that slides along one:
           as for 3.

    The error of each step is controlled, not that of the path. Where J is convex, distances of runs never grow, so that
    errors at most add up; near saddles they grow as distances do. At kinks (relu) the gradient is JAX's.
    Raises: ValueError or TypeError, naming the argument.
    References: E. Hairer, S. P. Nørsett, G. Wanner (1993), Solving ordinary differential equations I, section II.5;
    A. Kværnø (2004), Singly diagonally implicit Runge–Kutta methods with an explicit first stage, BIT 44.

        >>> import landscape as ls
        >>> flow = ls.gradient_flow(ls.neuron(*ls.datasets.pair()), {"w": 0.0, "b": 0.0}, [1, 100, 1e4])
        >>> [round(float(w), 8) for w in flow.params["w"]]  # w + exp(w) = t + 1: never to rest
        [0.4428544, 4.56882949, 9.20951908]
    """
    began = time.perf_counter()
    _check(objective, stiff, stop)
    moments = _checked_times(times)
    _checks.count("max_steps", max_steps)
    rtol, atol = _checks.positive("rtol", rtol), _checks.positive("atol", atol)
    if rtol < LEAST_RTOL:
        raise ValueError(f"`rtol` is {rtol:g}; float64 does not hold errors below {LEAST_RTOL:.1e}.")
    with jax.enable_x64(True), jax.default_matmul_precision(PRECISION):
        inputs = _inputs(objective, moments, rtol, atol, stop, max_steps)
        initial, many = _arguments.starts(starts, _double.as_numpy(inputs.example))
        records = _followed(objective, inputs, initial, stiff)
    said = {"dtype": "float64", "precision": PRECISION, "rtol": rtol, "atol": atol, "max_steps": max_steps}
    said |= {} if stop is None else {"stop": float(stop)}
    attributes = describe(objective, None) | said | {"wall_seconds": round(time.perf_counter() - began, 6)}
    return _finished(objective, records, moments, many, attributes)


def _check(objective: Any, stiff: Any, stop: Any) -> None:
    check_objective(objective)
    if not _data.in_memory(objective.data):
        raise ValueError(
            "`objective` reads its data from disk or batch by batch; gradient_flow needs them as arrays in memory. "
            "Take an objective of part of the data: objective.with_data(part)."
        )
    alpha, _ = objective.penalty.coefficients(_trees.floating(objective.params))
    if any(np.any(leaf) for leaf in jax.tree.leaves(alpha)):
        raise ValueError(
            f"`objective` has the penalty {objective.penalty}, whose l1 part has no gradient where a parameter is 0: "
            "its flow stops at such kinks and is no differential equation. Leave it out, "
            "objective.with_penalty(ls.none()), or descend with ls.proximal_gradient."
        )
    if stiff not in (None, True, False):
        raise TypeError(f"`stiff` is {stiff!r}; it must be True, False, or None to find out.")
    if stop is not None:
        _checks.positive("stop", stop)


def _checked_times(times: Any) -> np.ndarray:
    moments = _checks.numeric("times", times)
    if moments.ndim != 1 or not moments.size:
        raise ValueError(f"`times` has shape {moments.shape}; give a 1-D list of one or more, such as [1, 10, 100].")
    _checks.finite("times", moments, "The limit of infinite time is ls.attainment's")
    moments = moments.astype(np.float64)
    if moments[0] < 0 or (np.diff(moments) <= 0).any():
        i = 0 if moments[0] < 0 else int(np.argmax(np.diff(moments) <= 0)) + 1
        raise ValueError(f"`times` must be ≥ 0 and strictly increasing; times[{i}] is {moments[i]:g}.")
    return moments


def _inputs(
    objective: Objective, times: np.ndarray, rtol: float, atol: float, stop: float | None, max_steps: int
) -> Inputs:
    """What the runs read, all floating-point numbers as float64."""
    from landscape.minima.gradient_flow._flow import Inputs

    params, data = _double.widened(objective)
    moving = _trees.floating(params)
    _, beta = objective.penalty.coefficients(moving)
    beta = jax.tree.map(lambda b: jnp.asarray(b, jnp.float64), beta)
    return Inputs(
        data=data,
        example=params,
        beta=beta,
        times=jnp.asarray(times),
        rtol=jnp.asarray(rtol),
        atol=jnp.asarray(atol),
        stop=None if stop is None else jnp.asarray(float(stop)),
        max_steps=jnp.asarray(max_steps),
    )


def _followed(objective: Objective, inputs: Inputs, starts: Params, stiff: bool | None) -> dict[str, Any]:
    """The records of all starts: of the explicit method, the implicit one, or first one and then the other."""
    from landscape.minima.gradient_flow import _flow

    def run(stiff: bool, inputs: Inputs, starts: Params) -> dict[str, Any]:
        program = _flow.Program(objective.traced_losses, objective.reduction, stiff)
        records = jax.tree.map(np.array, _flow.integrate(program, inputs, starts))
        return records | {"stiff": np.full(len(records["status"]), stiff)}

    if stiff is not None:
        return run(bool(stiff), inputs, starts)
    if sum(leaf[0].size for leaf in jax.tree.leaves(starts)) > DENSE:
        return run(False, inputs, starts)
    few = jnp.minimum(inputs.max_steps, EXPLICIT_STEPS + 4 * len(inputs.times))
    first = run(False, inputs._replace(max_steps=few), starts)
    left = np.flatnonzero(first["status"] == _flow.STEPS)
    if not len(left):
        return first
    second = run(True, inputs, jax.tree.map(lambda leaf: leaf[left], starts))
    for whole, part in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        whole[left] = part
    return first


def _finished(
    objective: Objective, records: dict[str, Any], times: np.ndarray, many: bool, attributes: dict[str, Any]
) -> Trajectory:
    from landscape.minima.gradient_flow import _flow

    there = np.isfinite(records["objective"]) & np.isfinite(records["gradient_norm"])
    computed = records["reached"] | ~np.isin(records["status"], _flow.UNKNOWN)[:, None]
    kept: dict[str, Any] = {name: records[name] for name in ("risk", "objective", "gradient_norm")}
    kept |= {"finite": there, "params": records["params"]}
    kept = jax.tree.map(lambda leaf: leaf[None, None], kept)
    kept["params"] = with_frozen(kept["params"], objective.params)
    sizes = {"optimizer": None, "penalty": None, "start": np.arange(len(there)) if many else None}
    run = from_records(kept, sizes, range(len(times)), None, attributes)
    each = ("start",) if many else ()
    described = {
        "status": {"long_name": "how the run ended", "flag_values": [0, 1, 2, 3, 4], "flag_meanings": MEANINGS},
        "end_time": {"long_name": "time up to which the run was followed", "units": "1"},
        "num_steps": {"long_name": "steps of the solver", "units": "1"},
        "stiff": {"long_name": "whether the implicit method was used"},
    }
    variables: dict[str, Any] = {
        name: (each, records[name] if many else records[name][0], attrs) for name, attrs in described.items()
    }
    dims = run.data.risk.dims
    variables["computed"] = (dims, computed if many else computed[0], {"long_name": "whether the flow is known"})
    moments = ("step", times, {"long_name": "time", "units": "1"})
    return Trajectory(run.params, run.data.assign(variables).assign_coords(time=moments))
