"""Curvature by other tools: PyHessian and Landscaper, in PyTorch, and SciPy's eigsh on a compiled product of JAX.

What their users meet is said in `benchmarks/peers/curvature.py`, which runs them. They are judged by what they return.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from benchmarks.contestants import peers
from benchmarks.contestants.peers import LANDSCAPER, PeerError, Peers
from benchmarks.harness.timing import Elsewhere
from benchmarks.problems.trained import Pairs, Problem, lanczos

PYHESSIAN = "PyHessian"
UNCACHED, AS_IS = "a gradient every product", "as it comes"  # Landscaper comes in that way
TOOLS = PYHESSIAN, f"{LANDSCAPER}, try_cache", f"{LANDSCAPER}, {UNCACHED}"
FAST = TOOLS[:2]


class Quadratures(NamedTuple):
    """Of each probe, nodes and weights, (probes, steps)."""

    nodes: np.ndarray
    weights: np.ndarray


def eigenpairs(
    process: Peers | None, problem: Problem, k: int, tolerances: Sequence[float], most: int
) -> dict[str, Elsewhere]:
    """The k eigenvalues of largest size by power iteration: as it comes, then by tolerance, `most` iterations each."""
    calls = _by_tool(process, problem, "eigenpairs", TOOLS, AS_IS, k=k, options={})
    for tolerance in tolerances:
        options = {"tol": tolerance, "maxIter": most}
        calls |= _by_tool(process, problem, "eigenpairs", FAST, f"tol={tolerance:g}", k=k, options=options)
    return peers.read(calls, lambda arrays: Pairs(arrays["values"], arrays["vectors"]))


def densities(process: Peers | None, problem: Problem, steps: int, probes: int) -> dict[str, Elsewhere]:
    """The spectral density by stochastic Lanczos quadrature, by those that have it."""
    tools = [by for by in TOOLS if by.startswith(LANDSCAPER) or not broken(process, problem)]
    calls = _by_tool(process, problem, "density", tools, steps=steps, probes=probes)
    return peers.read(calls, lambda arrays: Quadratures(arrays["nodes"], arrays["weights"]))


def broken(process: Peers | None, problem: Problem) -> str:
    """What PyHessian's `density` ends with under this PyTorch; "" where it runs, or is not there."""
    calls = _by_tool(process, problem, "density", [PYHESSIAN], steps=2, probes=1)
    try:
        for call in calls.values():
            call()
    except PeerError as error:
        return f"{PYHESSIAN} has no spectral density under this PyTorch: {error}"
    return ""


def products(process: Peers | None, problem: Problem, vector: np.ndarray) -> dict[str, Elsewhere]:
    """One product with a vector (p,), the gradient and its graph at hand: (p,)."""
    about, arrays = peers.described(problem)
    with_vector = about, arrays | {"vector": vector}
    calls = _by_tool(process, with_vector, "product", FAST)
    return peers.read(calls, lambda arrays: arrays["answer"])


def compiled(loss: Callable[[Array], Array]) -> dict[str, Callable[[Array], Callable[[Array], Array]]]:
    """Two ways to write v ↦ ∇²loss(θ)v of flat params: θ -> product, compiled once for all θ."""
    slope = jax.grad(loss)
    whole = jax.jit(lambda point, v: jax.jvp(slope, (point,), (v,))[1])
    at = jax.jit(lambda point: jax.linearize(slope, point)[1])
    apply = jax.jit(lambda product, v: product(v))
    return {
        "jvp of grad": lambda point: partial(whole, point),
        "linearized": lambda point: partial(apply, at(point)),
    }


def ends(
    product_at: Callable[[Array], Callable[[Array], Array]], points: Array, tolerance: float, basis: int | None = None
) -> list[Pairs]:
    """The smallest and the largest eigenvalue at one point (p,) after another."""
    return [lanczos(product_at(point), point, 2, "BE", tolerance, basis) for point in points]


def _by_tool(
    process: Peers | None, problem: Any, contestant: str, tools: Sequence[str], how: str = "", **options: Any
) -> dict[str, Elsewhere]:
    """Each tool with all threads and with one, of which either may win."""
    calls: dict[str, Elsewhere] = {}
    for by in tools:
        made = peers.on_threads(process, by, f"curvature.{contestant}", problem, tool=by, **options)
        calls |= {f"{name}, {how}" if how else name: call for name, call in made.items()}
    return calls
