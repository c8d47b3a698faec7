"""Other tools on the same planes, in PyTorch: the package loss-landscapes, and `torch.func` mapped over rows.

loss-landscapes walks the model through the plane in place and takes its first step before it measures: of every second
row of cells, those it walks backwards, the samples lie one step off. `agreement` compares it where it is right.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.harness.environment import usable_cores
from benchmarks.problems.networks import Problem

try:
    import loss_landscapes
    import torch
    from loss_landscapes.metrics import Loss
except ImportError as error:
    MISSING = f"skipped: PyTorch and loss-landscapes ({error}); install them by `pip install '.[peers]'`"
else:
    MISSING = ""

PACKAGE, MAPPED = "loss-landscapes", "torch.func"


def contestants(problem: Problem) -> dict[str, Callable[[], np.ndarray]]:
    """The risk of every cell, (cells,); none where PyTorch or loss-landscapes is missing.

    loss-landscapes runs with all cores and with one: on small layers, or a busy machine, one is the faster.
    """
    if MISSING:
        return {}
    package, cores = _package(problem), usable_cores()
    numbers = sorted({1, cores}, reverse=True)
    loops = {f"{PACKAGE}, {_threads(number)}": _with_threads(number, package) for number in numbers}
    return loops | {f"{MAPPED}, a row at a time, {_threads(cores)}": _with_threads(cores, _mapped(problem))}


def right(problem: Problem) -> np.ndarray:
    """The cells that loss-landscapes measures where it should, as a mask, (cells,)."""
    rows, columns = (len(axis) for axis in problem.axes)
    return np.repeat(np.arange(rows) % 2 == 0, columns)


def off_by_one(problem: Problem, answer: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Of the rows it walks backwards: the largest error, as they come and moved by the one step."""
    rows, columns = (len(axis) for axis in problem.axes)
    backwards, wanted = (values.reshape(rows, columns)[1::2] for values in (answer, truth))
    as_is, moved = np.abs(backwards - wanted), np.abs(backwards[:, 1:] - wanted[:, :-1])
    return float(as_is.max(initial=0.0)), float(moved.max(initial=0.0))


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def _with_threads(number: int, measure: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    def call() -> np.ndarray:
        torch.set_num_threads(number)
        return measure()

    return call


def _package(problem: Problem) -> Callable[[], np.ndarray]:
    """The cells are origin + αᵢu + βⱼv for the rows i it walks forwards: it starts one step before the first β."""
    (first, second), side = problem.axes, len(problem.axes[0])
    if len(second) != side:
        raise ValueError(f"loss-landscapes measures square grids, got {side}×{len(second)}")
    steps = [side * (axis[-1] - axis[0]) / (side - 1) for axis in problem.axes]  # of `side` steps, the last not taken
    corner = first[0], second[0] - steps[1] / side
    ends = (corner, (corner[0] + steps[0], corner[1]), (corner[0], corner[1] + steps[1]))
    start, one, two = (_module(problem, _point(problem, end)) for end in ends)
    x, labels = _batch(problem)
    metric = Loss(torch.nn.functional.cross_entropy, x, labels)

    def call() -> np.ndarray:
        # A copy: it leaves the model it is given somewhere else.
        return loss_landscapes.planar_interpolation(start, one, two, metric, steps=side, deepcopy_model=True).ravel()

    return call


def _mapped(problem: Problem) -> Callable[[], np.ndarray]:
    module = _module(problem, problem.origin)
    x, labels = _batch(problem)
    origin, *directions = (_state(tree) for tree in (problem.origin, *problem.directions))
    first, second = (torch.tensor(axis) for axis in problem.axes)

    def risk(a: Any, b: Any) -> Any:
        u, v = directions
        params = {name: origin[name] + a * u[name] + b * v[name] for name in origin}
        output = torch.func.functional_call(module, _named(problem, params), (x,))
        return torch.nn.functional.cross_entropy(output, labels)

    def call() -> np.ndarray:
        with torch.no_grad():
            row = torch.func.vmap(risk, in_dims=(None, 0))
            return torch.cat([row(a, second) for a in first]).numpy()

    return call


def _point(problem: Problem, position: Sequence[float]) -> dict[str, dict[str, np.ndarray]]:
    """origin + a·u + b·v, rounded once."""
    (u, v), (a, b) = problem.directions, position
    return {
        layer: {
            name: (leaf + float(a) * u[layer][name].astype(np.float64) + float(b) * v[layer][name]).astype(np.float32)
            for name, leaf in weights.items()
        }
        for layer, weights in problem.origin.items()
    }


def _module(problem: Problem, params: dict[str, dict[str, np.ndarray]]) -> Any:
    """The network as `torch.nn.Sequential` with these weights."""
    module = torch.nn.Sequential(*(_torch_layer(kind, params.get(name)) for kind, name in problem.network.layers))
    module.load_state_dict(_named(problem, _state(params)))
    return module


def _torch_layer(kind: str, weights: Any) -> Any:
    shape = weights["kernel"].shape if weights else ()
    match kind:
        case "dense":
            return torch.nn.Linear(*shape)
        case "conv":
            return torch.nn.Conv2d(*shape[2:], kernel_size=shape[0], padding="same")
        case "tanh":
            return torch.nn.Tanh()
        case "relu":
            return torch.nn.ReLU()
        case "pool":
            return torch.nn.MaxPool2d(2)
        case "flatten":
            return torch.nn.Sequential(_ChannelsLast(), torch.nn.Flatten())
    raise ValueError(f"layer {kind!r} is not written in PyTorch here")


def _state(params: dict[str, dict[str, np.ndarray]]) -> dict[tuple[str, str], Any]:
    """PyTorch's tensors: kernels (in, out) as (out, in), (height, width, in, out) as (out, in, height, width)."""
    axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
    names = {"kernel": "weight", "bias": "bias"}
    return {
        (layer, names[name]): torch.tensor(np.ascontiguousarray(leaf.transpose(axes[leaf.ndim])))
        for layer, weights in params.items()
        for name, leaf in weights.items()
    }


def _named(problem: Problem, state: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """The tensors under the names they have in `torch.nn.Sequential`: "0.weight"."""
    places = {name: place for place, (_, name) in enumerate(problem.network.layers) if name}
    return {f"{places[layer]}.{name}": tensor for (layer, name), tensor in state.items()}


def _batch(problem: Problem) -> tuple[Any, Any]:
    x, labels = problem.data
    x = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x
    return torch.tensor(x), torch.tensor(labels, dtype=torch.int64)


if not MISSING:

    class _ChannelsLast(torch.nn.Module):
        """Images in the order of JAX, so that `flatten` means the same."""

        def forward(self, x: Any) -> Any:
            return x.permute(0, 2, 3, 1)
