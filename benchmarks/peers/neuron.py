"""The neuron's grid in PyTorch, written to be fast: rows blocked to stay in cache, every operation in place."""

from typing import Any

import torch
from networks import numpy
from protocol import Measure, Problem

BLOCK = 2**17  # values of one operation on one thread: a share of the last-level cache; fewer, and calls cost more
LINEAR = 60  # softplus(m) is m from here on, to the last digit of float64


def grid(problem: Problem, dtype: str, gradient: bool) -> Measure:
    """Risk at cells (cells, 2) of (w, b), and its gradient's norm (0 without `gradient`): (2, cells).

    loss = softplus(m) and ∂loss/∂m = 1/(1 + exp(−m)) with m = (1 − 2y)(w·x + b).
    """
    kind = getattr(torch, dtype)
    cells, x, y = (torch.tensor(problem.arrays[name]).to(kind) for name in ("cells", "x", "y"))

    def call() -> Any:
        return {"answer": numpy(_grid(cells, x, y, gradient))}

    return call


def _grid(cells: torch.Tensor, x: torch.Tensor, y: torch.Tensor, gradient: bool) -> torch.Tensor:
    sign, n = 1 - 2 * y, len(x)
    features = torch.stack([sign * x, sign])  # (2, n)
    rows = max(1, torch.get_num_threads() * BLOCK // n)
    out = torch.zeros(2, len(cells), dtype=x.dtype)
    m, e = torch.empty(2, min(rows, len(cells)), n, dtype=x.dtype)
    for start in range(0, len(cells), rows):
        block = cells[start : start + rows]
        margin, other = m[: len(block)], e[: len(block)]
        risk, norm = out[:, start : start + rows]
        torch.mm(block, features, out=margin)
        if gradient:
            sums = torch.sigmoid(margin, out=other) @ features.T
            torch.linalg.vector_norm(sums, dim=1, out=norm).div_(n)
        torch.ops.aten.softplus.out(margin, 1, LINEAR, out=other)
        torch.mean(other, dim=1, out=risk)
    return out
