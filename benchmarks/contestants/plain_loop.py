"""The loop that one writes without `landscape`: the mean loss at origin + a·u + b·v, cell after cell, compiled by JAX.

Three ways to write it; the fastest is the opponent. In float64 it is the truth that all others are compared with.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.problems.networks import Network, Problem

NAME = "plain loop"
TOGETHER = 8  # cells of `lax.map` with a batch size


def loops(problem: Problem, where: Any = None) -> dict[str, Callable[[], np.ndarray]]:
    """Contestants: the risk of every cell, (cells,), in float32 at the highest precision of products, on a device."""
    network = problem.network
    cells, *arrays = jax.device_put((problem.cells, problem.data, problem.origin, problem.directions), where)
    rows = cells.reshape(len(problem.axes[0]), -1, 2)
    ways = {
        "cell by cell": (_map, (network, None, arrays, cells)),
        f"{TOGETHER} cells at a time": (_map, (network, TOGETHER, arrays, cells)),
        "a row at a time": (_rows, (network, arrays, rows)),
    }

    def call(loop: Callable[..., jax.Array], arguments: tuple[Any, ...]) -> np.ndarray:
        with jax.default_matmul_precision("highest"):
            return np.asarray(loop(*arguments)).reshape(-1)

    return {f"{NAME}, {way}": partial(call, *what) for way, what in ways.items()}


def truth(problem: Problem, every: int = 1, derivatives: bool = False) -> list[np.ndarray]:
    """In float64 at every `every`-th cell: [risk], or [risk, slope (cells, 2), Hessian (cells, 2, 2)]."""
    with jax.enable_x64(True):

        def wide(array: np.ndarray) -> jax.Array:
            return jnp.asarray(array, jnp.float64 if array.dtype == np.float32 else None)

        arrays = jax.tree.map(wide, (problem.data, problem.origin, problem.directions))
        found = _exact(problem.network, derivatives, arrays, wide(problem.cells[::every]))
        return [np.asarray(values) for values in found]


def _cell(network: Network, arrays: Any, cell: jax.Array) -> jax.Array:
    data, origin, directions = arrays
    params = jax.tree.map(lambda start, u, v: start + cell[0] * u + cell[1] * v, origin, *directions)
    return jnp.mean(network(params, data))


@partial(jax.jit, static_argnums=(0, 1))
def _map(network: Network, together: int | None, arrays: Any, cells: jax.Array) -> jax.Array:
    return jax.lax.map(partial(_cell, network, arrays), cells, batch_size=together)


@partial(jax.jit, static_argnums=0)
def _rows(network: Network, arrays: Any, rows: jax.Array) -> jax.Array:
    return jax.lax.map(jax.vmap(partial(_cell, network, arrays)), rows)


@partial(jax.jit, static_argnums=(0, 1))
def _exact(network: Network, derivatives: bool, arrays: Any, cells: jax.Array) -> list[jax.Array]:
    risk = partial(_cell, network, arrays)
    functions = (risk, jax.grad(risk), jax.hessian(risk)) if derivatives else (risk,)
    return jax.lax.map(lambda cell: [f(cell) for f in functions], cells)
