"""The risk on planes: the packages loss-landscapes and Landscaper, and `torch.func` mapped over rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from networks import batch, module, numpy, tensors
from protocol import Measure, Problem

DIRECTIONS = "direction0", "direction1"
cross_entropy = torch.nn.functional.cross_entropy


def loss_landscapes(problem: Problem, dtype: str) -> Measure:
    """Its cells are origin + αᵢu + βⱼv for the rows i it walks forwards: it starts one step before the first β."""
    from loss_landscapes import planar_interpolation
    from loss_landscapes.metrics import Loss

    first, second = _axes(problem)
    side = len(first)
    if len(second) != side:
        raise ValueError(f"loss-landscapes measures square grids, got {side}×{len(second)}")
    steps = [side * (axis[-1] - axis[0]) / (side - 1) for axis in (first, second)]  # of `side`, the last not taken
    corner = first[0], second[0] - steps[1] / side
    ends = (corner, (corner[0] + steps[0], corner[1]), (corner[0], corner[1] + steps[1]))
    kind = getattr(torch, dtype)
    start, one, two = (module(problem, _point(problem, end), kind) for end in ends)
    metric = Loss(cross_entropy, *batch(problem, kind))

    def call() -> Any:
        # A copy: it leaves the model it is given somewhere else.
        return {"answer": planar_interpolation(start, one, two, metric, steps=side, deepcopy_model=True).ravel()}

    return call


def rows(problem: Problem, dtype: str) -> Measure:
    """`torch.func.vmap` of the risk, a row of cells at a time."""
    kind = getattr(torch, dtype)
    net, (x, labels) = module(problem, problem.under("origin"), kind), batch(problem, kind)
    origin, u, v = (tensors(problem, problem.under(name), kind) for name in ("origin", *DIRECTIONS))
    first, second = (torch.tensor(axis).to(kind) for axis in _axes(problem))

    def risk(a: Any, b: Any) -> Any:
        params = {name: origin[name] + a * u[name] + b * v[name] for name in origin}
        return cross_entropy(torch.func.functional_call(net, params, (x,)), labels)

    def call() -> Any:
        with torch.no_grad():
            row = torch.func.vmap(risk, in_dims=(None, 0))
            return {"answer": numpy(torch.cat([row(a, second) for a in first]))}

    return call


def landscaper(problem: Problem, dtype: str, flattened: bool) -> Measure:
    """`LossLandscape.compute` with our directions; its losses as they come, in the order that they are computed in.

    It rescales every tensor of a direction by the number of its entries, so that the plane is another one. Not where
    the model has one tensor for all weights (`flattened`): there it scales whole directions, to one length, which
    `distance` sets so that its steps are ours.
    """
    from landscaper import LossLandscape

    axes = _axes(problem)
    side = len(axes[0])
    if len(axes[1]) != side or side % 2 == 0 or any(abs(axis[0] + axis[-1]) > 1e-6 for axis in axes):
        raise ValueError(f"Landscaper measures odd squares about the origin, got {[len(axis) for axis in axes]} cells")
    kind = getattr(torch, dtype)
    net = module(problem, problem.under("origin"), kind)
    directions = [list(tensors(problem, problem.under(name), kind).values()) for name in DIRECTIONS]
    if flattened:
        net, directions = Flat(net), [[_flat(direction)] for direction in directions]
    origin = _flat(list(net.parameters()))
    lengths = [float(_flat(direction).double().norm()) for direction in directions]
    step = (axes[0][-1] - axes[0][0]) / (side - 1) * float(np.mean(lengths))
    if flattened and abs(lengths[0] / lengths[1] - 1) > max(1e-5, 16 * torch.finfo(kind).eps):
        raise ValueError(f"Landscaper gives all directions one length, got {lengths}")
    data = batch(problem, kind)
    options: dict[str, Any] = {"steps": side, "distance": step * side / 2 / float(origin.double().norm()), "dim": 2}

    def risk(model: Any, data: Any) -> float:
        return cross_entropy(model(data[0]), data[1]).item()

    def call() -> Any:
        np.random.seed(0)  # of the noise that it adds to the largest losses
        found = LossLandscape.compute(net, data, directions, risk, device="cpu", **options)
        return {"answer": found.loss.ravel(), "coordinates": found.coords}

    return call


class Flat(torch.nn.Module):
    """A module whose weights are one tensor."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        named = dict(net.named_parameters())
        self.shapes = {name: own.shape for name, own in named.items()}
        self.net = [net]  # in a list: its own weights are no weights of this module
        self.weights = torch.nn.Parameter(_flat(list(named.values())), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output with the weights cut into those of the module."""
        parts = self.weights.split([shape.numel() for shape in self.shapes.values()])
        params = {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}
        return torch.func.functional_call(self.net[0], params, (x,))


def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _axes(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    return problem.arrays["axis0"], problem.arrays["axis1"]


def _point(problem: Problem, position: Sequence[float]) -> dict[str, np.ndarray]:
    """origin + a·u + b·v in float64, to be rounded once."""
    u, v = (problem.under(name) for name in DIRECTIONS)
    a, b = map(float, position)
    return {
        name: leaf + a * u[name].astype(np.float64) + b * v[name].astype(np.float64)
        for name, leaf in problem.under("origin").items()
    }
