"""A run in every cell of a grid, compiled: where it ends counts, and how long it took, not the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from landscape import _trees
from landscape._trees import Params
from landscape.analysis import _steps
from landscape.analysis import optimizers as _optimizers
from landscape.analysis._steps import Inputs, Program, State

LAST = 20  # steps, over whose mean loss it is decided whether a run converged
MOST = 1e6  # a loss over the first one counts no further than to this
PROJECTIONS = 16  # numbers by which the ends of runs are told apart, where there are more params


class Cell(NamedTuple):
    """The run of one cell between two steps."""

    run: State  # `alive` while it goes on
    steps: Array  # that were made
    sums: Any


class Read(NamedTuple):
    """What the runs of all cells read: traced."""

    inputs: Inputs
    level: Array  # the gradient's norm at which a run has converged; of `Rates`, the objective at the start


class Kind(Protocol):
    """What a cell is: hashable, a static argument. `at`: the positions of a cell, one number an axis."""

    def begin(self, read: Read, at: tuple[Array, ...]) -> Cell: ...

    def step(self, read: Read, at: tuple[Array, ...], cell: Cell) -> Cell: ...

    def end(self, read: Read, at: tuple[Array, ...], cell: Cell) -> dict[str, Array]: ...


@dataclass(frozen=True)
class Starts:
    """A cell is a start θ(c) on a chart: a run goes on until its gradient is small, or it is not finite."""

    program: Program
    canonical: Callable[[Params], Params] | None
    places: tuple[int, ...]  # which of the axes is each of the chart's coordinates

    def begin(self, read: Read, at: tuple[Array, ...]) -> Cell:
        """The run before its first step."""
        assert read.inputs.chart is not None
        return _begun(self.program, _trees.floating(read.inputs.chart.point([at[i] for i in self.places])), ())

    def step(self, read: Read, at: tuple[Array, ...], cell: Cell) -> Cell:
        """The run after one step more, or as it is."""
        _, slope = _steps.slope_at(self.program, read.inputs, cell.run.params, read.inputs.data)
        going = cell.run.alive & (_trees.norm(slope.gradient) > read.level)
        run = _steps.stepped(self.program, read.inputs, cell.run._replace(alive=going), slope, read.inputs.data)
        return Cell(run, cell.steps + run.alive.astype(cell.steps.dtype), ())

    def end(self, read: Read, at: tuple[Array, ...], cell: Cell) -> dict[str, Array]:
        """What there is to say of the end."""
        measured = _measured(self.program, read, cell.run.params)
        params = _trees.merged(cell.run.params, read.inputs.example)
        assert read.inputs.chart is not None
        coordinates, residual = read.inputs.chart.coordinates(params)
        finite = jnp.isfinite(measured["objective"]) & jnp.isfinite(measured["gradient_norm"])
        same = params if self.canonical is None else self.canonical(params)
        return measured | {
            "steps_taken": cell.steps,
            "finite": finite,
            "converged": finite & (measured["gradient_norm"] <= read.level),
            "end": coordinates,
            "residual": residual,
            "signature": signature(same),
        }


@dataclass(frozen=True)
class Rates:
    """A cell is a set of hyper-parameters: all runs have one start and go on to the last step, or are not finite."""

    program: Program
    optimizer: Callable[..., Any]
    names: tuple[str, ...]
    steps: int

    def begin(self, read: Read, at: tuple[Array, ...]) -> Cell:
        """The run before its first step."""
        zero = jnp.zeros_like(read.level)
        return _begun(self._program(at), _trees.floating(read.inputs.example), (zero, zero, zero))

    def step(self, read: Read, at: tuple[Array, ...], cell: Cell) -> Cell:
        """The run after one step more, or as it is, with Σ loss/first, Σ first/loss, and the first over the last."""
        program, last = self._program(at), self.steps - min(LAST, self.steps)
        _, slope = _steps.slope_at(program, read.inputs, cell.run.params, read.inputs.data)
        run = _steps.stepped(program, read.inputs, cell.run, slope, read.inputs.data)
        ratio = jnp.minimum(slope.objective / read.level, MOST)
        terms = ratio, 1 / jnp.maximum(ratio, 1 / MOST), jnp.where(cell.steps >= last, ratio, 0)
        sums = tuple(total + jnp.where(run.alive, term, 0) for total, term in zip(cell.sums, terms, strict=True))
        return Cell(run, cell.steps + run.alive.astype(cell.steps.dtype), sums)

    def end(self, read: Read, at: tuple[Array, ...], cell: Cell) -> dict[str, Array]:
        """What there is to say of the run; each step that a run lacks counts as a loss of MOST."""
        measured = _measured(self._program(at), read, cell.run.params)
        total, inverse, late = cell.sums
        last, lacks = min(LAST, self.steps), self.steps - cell.steps
        late = late + MOST * jnp.minimum(lacks, last).astype(late.dtype)
        converged, lacks = late < last, lacks.astype(late.dtype)
        return measured | {
            "measure": jnp.where(converged, total, inverse + lacks / MOST),
            "converged": converged,
            "finite": cell.run.alive & jnp.isfinite(measured["objective"]) & jnp.isfinite(measured["gradient_norm"]),
            "steps_taken": cell.steps,
        }

    def _program(self, at: tuple[Array, ...]) -> Program:
        return self.program._replace(optimizer=self.optimizer(**dict(zip(self.names, at, strict=True))))


def _begun(program: Program, params: Params, sums: Any) -> Cell:
    state = State(params, _optimizers.init(program.optimizer, params), jnp.asarray(True))
    # With dtypes that hold: what a loop carries, and what comes back from a store, has no weak ones.
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), state)
    return Cell(state, jnp.zeros((), jnp.int32), sums)


def _measured(program: Program, read: Read, params: Params) -> dict[str, Array]:
    risk, slope = _steps.slope_at(program, read.inputs, params, read.inputs.data)
    return {"risk": risk, "objective": slope.objective, "gradient_norm": _trees.norm(slope.gradient)}


def signature(params: Params) -> Array:
    """(k,): numbers whose distances are those of the params: what moves of them, or random projections of many."""
    leaves = jax.tree.leaves(_trees.floating(params))
    dtype = max((_trees.wide(leaf) for leaf in leaves), key=lambda dtype: dtype.itemsize)
    leaves = [leaf.astype(dtype) for leaf in leaves]
    if sum(leaf.size for leaf in leaves) <= PROJECTIONS:
        return jnp.concatenate([leaf.ravel() for leaf in leaves])
    keys = jax.random.split(jax.random.key(0), len(leaves))
    parts = [
        jnp.tensordot(jax.random.normal(key, (PROJECTIONS, *leaf.shape), dtype), leaf, axes=leaf.ndim)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return sum(parts[1:], start=parts[0]) / PROJECTIONS**0.5


# ---- all cells of a tile, leaves (chunks, cells in flight, …): a chunk after the other, through all steps


@partial(jax.jit, static_argnames="kind")
def begin(kind: Kind, read: Read, at: tuple[Array, ...]) -> Cell:
    """The cells before their first step."""
    return jax.vmap(jax.vmap(partial(kind.begin, read)))(at)


@partial(jax.jit, static_argnames="kind")
def advance(kind: Kind, read: Read, at: tuple[Array, ...], cells: Cell, steps: Array) -> Cell:
    """The cells after so many steps more; a chunk none of whose runs goes on is done."""

    def chunk(given: tuple[tuple[Array, ...], Cell]) -> Cell:
        at, cells = given

        def going(carried: tuple[Array, Cell]) -> Array:
            return (carried[0] > 0) & jnp.any(carried[1].run.alive)

        def step(carried: tuple[Array, Cell]) -> tuple[Array, Cell]:
            return carried[0] - 1, jax.vmap(partial(kind.step, read))(at, carried[1])

        return jax.lax.while_loop(going, step, (steps, cells))[1]

    return jax.lax.map(chunk, (at, cells))


@partial(jax.jit, static_argnames="kind")
def end(kind: Kind, read: Read, at: tuple[Array, ...], cells: Cell) -> dict[str, Array]:
    """What there is to say of the cells."""
    return jax.lax.map(lambda given: jax.vmap(partial(kind.end, read))(*given), (at, cells))
