"""The integration of gradient flow by diffrax, compiled. Imported only where it is used: diffrax takes a second."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.objectives import penalties as _penalties
from landscape.objectives.data import Batch
from landscape.objectives.objective import Losses, reduced, weighted_sum

COMPLETED, STOPPED, ENDED, STEPS, KINK = range(5)
UNKNOWN = STEPS, KINK  # of what comes after
FAR = 1e8  # of params, beside the start's: on the way to infinity
SHORT = 1e-10  # of the time: a way to infinity is covered in it, and nearly none at a kink
# The least step, in units of the time's rounding: where it must be smaller, time cannot tell the points apart.
LEAST_STEP = 10


class Program(NamedTuple):
    """What is compiled: hashable, a static argument."""

    losses: Losses
    reduction: str
    stiff: bool


class Inputs(NamedTuple):
    """What all runs read: traced, in float64."""

    data: Batch
    example: Params  # the objective's, for its frozen leaves
    beta: Params  # of the penalty Σ βᵢθᵢ²
    times: Array  # (T,)
    rtol: Array
    atol: Array
    stop: Array | None
    max_steps: Array


class Watched(diffrax.AbstractAdaptiveStepSizeController):
    """A controller that gives up after so many steps, or where one fails that is as short as the rounding of time.

    A solution ends there. diffrax's own least step is one number, but the rounding at 10⁶ is 10¹⁶ times that at 10⁻¹⁰;
    its own number of steps is compiled in.
    """

    controller: diffrax.PIDController
    max_steps: Array

    def __init__(self, controller: diffrax.PIDController, max_steps: Array) -> None:
        self.controller, self.max_steps = controller, max_steps

    @property
    def rtol(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What implicit solvers solve their equations to."""
        return self.controller.rtol

    @property
    def atol(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """See `rtol`."""
        return self.controller.atol

    @property
    def norm(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """See `rtol`."""
        return self.controller.norm

    def wrap(self, direction: Any) -> Watched:
        """Itself: time runs forward."""
        return self

    def init(self, *arguments: Any) -> Any:
        """That of the controller; no step is made yet."""
        end, state = self.controller.init(*arguments)
        return end, (state, jnp.zeros_like(self.max_steps))

    def adapt_step_size(self, *arguments: Any) -> Any:
        """That of the controller, and whether it has to give up."""
        state, steps = arguments[-1]
        controlled = self.controller.adapt_step_size(*arguments[:-1], state)  # pyright: ignore[reportCallIssue]
        keep, start, end, jump, state, result = controlled
        rounding, reasons = jnp.finfo(jnp.float64), diffrax.RESULTS
        least = LEAST_STEP * jnp.maximum(rounding.eps * start, rounding.tiny)
        failed = ~keep & ~(end - start >= least)  # NaN too
        result = reasons.where(steps + 1 >= self.max_steps, reasons.max_steps_reached, result)
        result = reasons.where(failed, reasons.dt_min_reached, result)
        return keep, start, end, jump, (state, steps + 1), result


@partial(jax.jit, static_argnames="program")
def integrate(program: Program, inputs: Inputs, starts: Params) -> dict[str, Any]:
    """Follow the flow from each of S starts, leaves (S, …).

    Returns: `params` (S, T, …), `risk`, `objective`, `gradient_norm`, `reached` (S, T), `status`, `end_time`,
    `num_steps` (S,). Past a run's end the params are NaN, but those of a run that was stopped stay where they were.
    """

    def one(start: Params) -> dict[str, Any]:
        solution = _solved(program, inputs, start)
        along, last = solution.ys
        reached = jnp.isfinite(solution.ts[0])  # diffrax fills up with inf
        status = _status(solution.result)
        status = jnp.where((status == ENDED) & _moderate(program, inputs, start, solution), KINK, status)

        def filled(path: Array, end: Array) -> Array:
            rest = jnp.where(status == STOPPED, end, jnp.nan)
            return jnp.where(reached.reshape(-1, *[1] * (path.ndim - 1)), path, rest)

        params = jax.tree.map(filled, along, last)
        measured = jax.lax.map(partial(_measured, program, inputs), params)
        there = reached | (status == STOPPED)
        return {
            **{name: jnp.where(there, values, jnp.nan) for name, values in measured.items()},
            **{"params": params, "reached": reached, "status": status},
            **{"end_time": solution.ts[1][0], "num_steps": solution.stats["num_steps"]},
        }

    return jax.vmap(one)(starts)


def _solved(program: Program, inputs: Inputs, start: Params) -> Any:
    """diffrax's solution: ts and ys a pair each, at the times and at the end."""

    def field(time: Any, params: Params, _: None) -> Params:
        return jax.tree.map(jnp.negative, _slope(program, inputs, params)[1])

    def stops(time: Any, params: Params, _: None, *, stop: Any = inputs.stop, **said: Any) -> Array:
        return _trees.norm(field(time, params, None)) <= stop

    controller = Watched(diffrax.PIDController(rtol=inputs.rtol, atol=inputs.atol), inputs.max_steps)
    return diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Kvaerno5() if program.stiff else diffrax.Dopri8(),
        t0=jnp.zeros_like(inputs.times[0]),
        t1=inputs.times[-1],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=inputs.times), diffrax.SubSaveAt(t1=True)]),
        # Steps end at the times: Kvaerno5's interpolation in between is of order 3.
        stepsize_controller=diffrax.ClipStepSizeController(controller, step_ts=inputs.times),
        event=None if inputs.stop is None else diffrax.Event(stops),
        max_steps=None,  # counted by the controller
        adjoint=diffrax.ForwardMode(),
        throw=False,
    )


def _moderate(program: Program, inputs: Inputs, start: Params, solution: Any) -> Array:
    """Whether a run that ended is on no way to infinity: the steps that it was down to move it by nearly nothing."""
    end = jax.tree.map(lambda leaf: leaf[0], solution.ys[1])
    speed, far, near = _trees.norm(_slope(program, inputs, end)[1]), _trees.norm(end), _trees.norm(start)
    return (speed * SHORT * solution.ts[1][0] < jnp.maximum(near, far)) & (far < FAR * (1 + near))


def _status(result: Any) -> Array:
    """COMPLETED, STOPPED or STEPS; ENDED for whatever else ended a solution."""
    status = jnp.asarray(ENDED, jnp.int8)
    known = (
        (diffrax.RESULTS.successful, COMPLETED),
        (diffrax.RESULTS.event_occurred, STOPPED),
        (diffrax.RESULTS.max_steps_reached, STEPS),
    )
    for code, number in known:
        status = jnp.where(result == code, jnp.asarray(number, jnp.int8), status)
    return status


def _measured(program: Program, inputs: Inputs, params: Params) -> dict[str, Array]:
    (objective, risk), gradient = _slope(program, inputs, params)
    return {"risk": risk, "objective": objective, "gradient_norm": _trees.norm(gradient)}


def _slope(program: Program, inputs: Inputs, params: Params) -> Any:
    """((objective, risk), the objective's gradient) at `params`, what moves of them."""

    def objective(moving: Params) -> tuple[Array, Array]:
        total, weight = weighted_sum(program.losses, _trees.merged(moving, inputs.example), inputs.data)
        risk = reduced(total, weight, program.reduction)
        alpha = jax.tree.map(jnp.zeros_like, inputs.beta)
        return risk + _penalties.value(alpha, inputs.beta, moving), risk

    return jax.value_and_grad(objective, has_aux=True)(params)
