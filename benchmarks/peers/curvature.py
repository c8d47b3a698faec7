"""Curvature by PyHessian and Landscaper.

What their users meet, and what is done about it here:

- PyHessian differentiates by `loss.backward`, which adds to the gradients that a model has: a second `hessian` of the
  same model, before anything has reset them, is that of twice the loss. They are reset before each.
- PyHessian's `density` calls `torch.eig`, which PyTorch removed in 1.9: it ends in an error.
- Both stop where two Rayleigh quotients in a row agree, which is no residual, and return the last but one of them
  beside the last vector. They are judged as they are returned.
- Landscaper returns all eigenvectors squared, in complex numbers, where a quadrature has its weights: those of a probe
  are the first row.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from networks import batch, flat, listed, module
from protocol import Measure, Problem


def eigenpairs(problem: Problem, tool: str, k: int, options: dict[str, Any]) -> Measure:
    """The k eigenvalues of largest size by power iteration: values (k,), vectors (k, p)."""
    make = _maker(problem, tool)

    def call() -> Any:
        torch.manual_seed(0)
        values, vectors = make().eigenvalues(top_n=k, **options)
        return {"values": np.array(values), "vectors": lambda: np.stack([flat(tensors) for tensors in vectors])}

    return call


def density(problem: Problem, tool: str, steps: int, probes: int) -> Measure:
    """The spectral density by stochastic Lanczos quadrature: nodes and weights (probes, steps)."""
    make = _maker(problem, tool)

    def call() -> Any:
        torch.manual_seed(0)
        nodes, weights = (np.real(np.array(found)) for found in make().density(iter=steps, n_v=probes))
        return {"nodes": nodes, "weights": weights[:, 0] if weights.ndim == 3 else weights}

    return call


def product(problem: Problem, tool: str) -> Measure:
    """One product of the Hessian with a vector (p,), the gradient and its graph at hand."""
    from pyhessian.utils import hessian_vector_product

    made = _maker(problem, tool)()
    parts = listed(problem, problem.arrays["vector"], made.params)

    def call() -> Any:
        if hasattr(made, "hv_product"):
            found = made.hv_product(parts)[1]
        else:
            found = hessian_vector_product(made.gradsH, made.params, parts)
        return {"answer": partial(flat, found)}

    return call


def _maker(problem: Problem, tool: str) -> Callable[[], Any]:
    """How a tool is set up, which takes the gradient: PyHessian, or Landscaper, which takes it again for every product
    unless it is told to keep it, "Landscaper, try_cache"."""
    net, data = module(problem, problem.under("origin"), torch.float32), batch(problem, torch.float32)
    cross_entropy = torch.nn.functional.cross_entropy

    def pyhessian() -> Any:
        from pyhessian import hessian

        net.zero_grad()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using backward", UserWarning)  # of the cycle that it makes
            return hessian(net, cross_entropy, data=data, cuda=False)

    def landscaper() -> Any:
        from landscaper import PyHessian

        return PyHessian(net, cross_entropy, [data], "cpu", try_cache="try_cache" in tool)

    return pyhessian if tool == "PyHessian" else landscaper
