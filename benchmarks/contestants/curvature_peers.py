"""Curvature by other tools: PyHessian and Landscaper, in PyTorch, and SciPy's eigsh on a compiled product of JAX.

What their users meet, and what is done about it here:

- PyHessian differentiates by `loss.backward`, which adds to the gradients that a model has: a second `hessian` of the
  same model, before anything has reset them, is that of twice the loss. They are reset before each.
- PyHessian's `density` calls `torch.eig`, which PyTorch removed in 1.9: it ends in an error and is left out.
- Both stop where two Rayleigh quotients in a row agree, which is no residual, and return the last but one of them
  beside the last vector. They are judged as they are returned.
- Landscaper returns all eigenvectors squared, in complex numbers, where a quadrature has its weights: those of a probe
  are the first row.
"""

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from benchmarks.harness.environment import usable_cores
from benchmarks.problems.trained import Pairs, Problem, lanczos

PYHESSIAN, LANDSCAPER = "PyHessian", "Landscaper"
UNCACHED, AS_IS = "a gradient every product", "as it comes"  # Landscaper comes in that way


def _missing() -> dict[str, str]:
    """Why a tool is not there, by its name."""
    reasons = {}
    for name in (PYHESSIAN, LANDSCAPER):
        try:
            for module in ("torch", name.lower()):
                importlib.import_module(module)
        except ImportError as error:
            reasons[name] = (
                f"skipped: {name} ({error}); `pip install torch`, `pip install --no-deps {name.lower()}` (its"
                " dependencies want versions that this package does not run with), and what it imports"
            )
    return reasons


MISSING = _missing()


class Quadratures(NamedTuple):
    """Of each probe, nodes and weights, (probes, steps)."""

    nodes: np.ndarray
    weights: np.ndarray


def eigenpairs(problem: Problem, k: int, tolerances: Sequence[float], most: int) -> dict[str, Callable[[], Pairs]]:
    """The k eigenvalues of largest size by power iteration: as it comes, then by tolerance, `most` iterations each."""
    tools = _tools(problem)
    calls = {f"{by}, {AS_IS}": partial(_powers, make, k, {}) for by, make in tools.items()}
    for tolerance in tolerances:
        options = {"tol": tolerance, "maxIter": most}
        fast = {by: make for by, make in tools.items() if UNCACHED not in by}
        calls |= {f"{by}, tol={tolerance:g}": partial(_powers, make, k, options) for by, make in fast.items()}
    return calls


def densities(problem: Problem, steps: int, probes: int) -> dict[str, Callable[[], Quadratures]]:
    """The spectral density by stochastic Lanczos quadrature, by those that have it."""
    tools = {by: make for by, make in _tools(problem).items() if by.startswith(LANDSCAPER) or not broken(problem)}
    return {by: partial(_density, make, steps, probes) for by, make in tools.items()}


def broken(problem: Problem) -> str:
    """What PyHessian's `density` ends with under this PyTorch; "" where it runs, or is not there."""
    if PYHESSIAN in MISSING:
        return ""
    try:
        _pyhessian(1, *_module(problem)).density(iter=2)
    except (RuntimeError, AttributeError, IndexError) as error:
        return f"{PYHESSIAN} has no spectral density under this PyTorch: {str(error).splitlines()[0]}"
    return ""


def products(problem: Problem, vector: np.ndarray) -> dict[str, Callable[[], Any]]:
    """One product with a vector (p,), the gradient and its graph at hand."""
    tools = {by: make for by, make in _tools(problem).items() if UNCACHED not in by}
    return {by: partial(_product, make(), _tensors(problem, vector), _threads(by)) for by, make in tools.items()}


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


def _tools(problem: Problem) -> dict[str, Callable[[], Any]]:
    """How each tool is set up, which takes the gradient: with one thread and with all, of which either may win."""
    made: dict[str, Callable[[], Any]] = {}
    for threads in sorted({1, usable_cores()}):
        said = f"{threads} thread{'s' if threads > 1 else ''}"
        if PYHESSIAN not in MISSING:
            made[f"{PYHESSIAN}, {said}"] = partial(_pyhessian, threads, *_module(problem))
        if LANDSCAPER not in MISSING:
            for cached in (True, False):
                way = "try_cache" if cached else UNCACHED
                made[f"{LANDSCAPER}, {way}, {said}"] = partial(_landscaper, threads, cached, *_module(problem))
    return made


def _threads(by: str) -> int:
    return int(by.rpartition(", ")[2].split()[0])


def _pyhessian(threads: int, module: Any, batch: tuple[Any, Any]) -> Any:
    import torch
    from pyhessian import hessian

    torch.set_num_threads(threads)
    module.zero_grad()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using backward", UserWarning)  # of the cycle that it makes
        return hessian(module, torch.nn.functional.cross_entropy, data=batch, cuda=False)


def _landscaper(threads: int, cached: bool, module: Any, batch: tuple[Any, Any]) -> Any:
    import torch
    from landscaper import PyHessian

    torch.set_num_threads(threads)
    return PyHessian(module, torch.nn.functional.cross_entropy, [batch], "cpu", try_cache=cached)


def _powers(make: Callable[[], Any], k: int, options: dict[str, Any]) -> Pairs:
    import torch

    torch.manual_seed(0)
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        values, vectors = make().eigenvalues(top_n=k, **options)
    return Pairs(np.array(values), np.stack([_flat(tensors) for tensors in vectors]))


def _density(make: Callable[[], Any], steps: int, probes: int) -> Quadratures:
    import torch

    torch.manual_seed(0)
    nodes, weights = (np.real(np.array(found)) for found in make().density(iter=steps, n_v=probes))
    return Quadratures(nodes, weights[:, 0] if weights.ndim == 3 else weights)


def _product(tool: Any, parts: list[Any], threads: int) -> None:
    """Nothing is returned: the tools' own tensors are none of JAX's."""
    import torch

    torch.set_num_threads(threads)
    if hasattr(tool, "hv_product"):
        tool.hv_product(parts)
        return
    from pyhessian.utils import hessian_vector_product

    hessian_vector_product(tool.gradsH, tool.params, parts)


def _module(problem: Problem) -> tuple[Any, tuple[Any, Any]]:
    """The network as `torch.nn.Sequential` with these weights, and its batch."""
    import torch

    inputs, hidden, outputs = problem.network.sizes
    layers = torch.nn.Linear(inputs, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, outputs)
    module = torch.nn.Sequential(*layers).eval()
    with torch.no_grad():
        for own, tensor in zip(module.parameters(), _tensors(problem, np.asarray(problem.point)), strict=True):
            own.copy_(tensor)
    x, labels = problem.data
    return module, (torch.tensor(x), torch.tensor(labels, dtype=torch.int64))


def _tensors(problem: Problem, vector: np.ndarray) -> list[Any]:
    """A vector (p,) as the tensors of the module: kernels (in, out) as (out, in), before the biases."""
    import torch

    tree = ravel_pytree(problem.params)[1](jnp.asarray(vector))
    arrays = [leaf for layer in ("layer1", "layer2") for leaf in (tree[layer]["W"].T, tree[layer]["b"])]
    return [torch.tensor(np.array(array)) for array in arrays]


def _flat(tensors: list[Any]) -> np.ndarray:
    """Back, (p,)."""
    w1, b1, w2, b2 = (tensor.detach().numpy() for tensor in tensors)
    tree = {"layer1": {"W": w1.T, "b": b1}, "layer2": {"W": w2.T, "b": b2}}
    return np.asarray(ravel_pytree(jax.tree.map(np.ascontiguousarray, tree))[0])
