"""Descent from many starts at once in PyTorch."""

from typing import Any

import torch
from networks import arrays, batch, module, numpy, tensors
from protocol import Measure, Problem


def adam(problem: Problem, dtype: str, strength: float, rate: float, steps: int) -> Measure:
    """Where Adam on the neuron's risk + λ‖θ‖² ends from starts (S, 2) of (w, b): (S, 2)."""
    kind = getattr(torch, dtype)
    starts, x, y = (torch.tensor(problem.arrays[name]).to(kind) for name in ("starts", "x", "y"))
    features = torch.stack([x, torch.ones_like(x)])

    def call() -> Any:
        theta = torch.nn.Parameter(starts.clone())
        optimizer = torch.optim.Adam([theta], lr=rate, fused=True)
        for _ in range(steps):
            z = theta @ features
            losses = torch.nn.functional.softplus(z) - y * z
            # A sum over starts: the gradient of each is its own.
            (losses.mean(dim=1).sum() + strength * theta.square().sum()).backward()
            optimizer.step()
            optimizer.zero_grad()
        return {"answer": numpy(theta)}

    return call


def many_starts(problem: Problem, rate: float) -> Measure:
    """Where SGD on given minibatches, order (steps, batch), takes a network's starts: its weights, (S, …)."""
    starts = tensors(problem, problem.under("starts"), torch.float32, stacked=True)
    one = {name: array[0] for name, array in problem.under("starts").items()}
    net, (x, labels) = module(problem, one, torch.float32), batch(problem, torch.float32)
    order = torch.tensor(problem.arrays["order"], dtype=torch.int64)

    def risk(params: Any, x: Any, labels: Any) -> Any:
        return torch.nn.functional.cross_entropy(torch.func.functional_call(net, params, (x,)), labels)

    def call() -> Any:
        params = {name: tensor.clone() for name, tensor in starts.items()}
        slope = torch.func.vmap(torch.func.grad(risk), in_dims=(0, None, None))
        for chosen in order:
            gradient = slope(params, x[chosen], labels[chosen])
            for name, tensor in params.items():
                tensor.sub_(gradient[name], alpha=rate)
        return arrays(problem, params, stacked=True)

    return call
