"""Networks as they were written for all, in PyTorch: modules, weights, batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from protocol import Problem

NAMES = {"kernel": "weight", "bias": "bias"}
AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # of our arrays, in the order of PyTorch's


class ChannelsLast(torch.nn.Module):
    """Images in the order of JAX, so that `flatten` means the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, height, width) to (n, height, width, channels)."""
        return x.permute(0, 2, 3, 1)


def module(problem: Problem, weights: Mapping[str, np.ndarray], dtype: torch.dtype) -> torch.nn.Sequential:
    """The network as `torch.nn.Sequential` with these weights, "layer/kernel" and "layer/bias"."""
    layers = [_layer(kind, weights.get(f"{name}/kernel")) for kind, name in problem.about["layers"]]
    made = torch.nn.Sequential(*layers).to(dtype).eval()
    made.load_state_dict(tensors(problem, weights, dtype))
    return made


def tensors(
    problem: Problem, weights: Mapping[str, np.ndarray], dtype: torch.dtype, stacked: bool = False
) -> dict[str, torch.Tensor]:
    """PyTorch's tensors under their names in the module, "0.weight"; `stacked`: all have a first axis, of starts."""
    places = {name: place for place, (_, name) in enumerate(problem.about["layers"]) if name}
    named = {}
    for key, array in weights.items():
        layer, name = key.split("/")
        named[f"{places[layer]}.{NAMES[name]}"] = torch.tensor(_turned(array, stacked)).to(dtype)
    return {name: named[name] for name in sorted(named, key=_order)}


def arrays(problem: Problem, named: Mapping[str, torch.Tensor], stacked: bool = False) -> dict[str, np.ndarray]:
    """Back: "layer/kernel" and "layer/bias"."""
    ours = {theirs: name for name, theirs in NAMES.items()}
    found = {}
    for key, tensor in named.items():
        place, name = key.split(".")
        layer = problem.about["layers"][int(place)][1]
        found[f"{layer}/{ours[name]}"] = _turned(numpy(tensor), stacked, back=True)
    return found


def listed(problem: Problem, vector: np.ndarray, like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """A vector (p,), of kernels (in, out) and biases layer after layer, as tensors like those of the module."""
    parts = np.split(vector, np.cumsum([tensor.numel() for tensor in like])[:-1])
    shapes = [[tensor.shape[axis] for axis in np.argsort(AXES[tensor.ndim])] for tensor in like]
    return [torch.tensor(_turned(part.reshape(shape))) for part, shape in zip(parts, shapes, strict=True)]


def flat(tensors: Sequence[torch.Tensor]) -> np.ndarray:
    """Back, (p,)."""
    return np.concatenate([_turned(numpy(tensor), back=True).ravel() for tensor in tensors])


def batch(problem: Problem, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels; images with their channels first, as PyTorch wants them."""
    x, labels = problem.arrays["x"], problem.arrays["labels"]
    x = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x
    return torch.tensor(x).to(dtype), torch.tensor(labels, dtype=torch.int64)


def numpy(tensor: torch.Tensor) -> np.ndarray:
    """NumPy has no bfloat16: float32 holds its numbers."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _turned(array: np.ndarray, stacked: bool = False, back: bool = False) -> np.ndarray:
    """Kernels (in, out) as (out, in), (height, width, in, out) as (out, in, height, width); or back."""
    first = int(stacked)
    axes = AXES[array.ndim - first]
    axes = np.argsort(axes) if back else axes
    return np.ascontiguousarray(array.transpose(*range(first), *(first + axis for axis in axes)))


def _order(name: str) -> tuple[int, bool]:
    """As the module has them: by layer, the weight before the bias."""
    place, kind = name.split(".")
    return int(place), kind == "bias"


def _layer(kind: str, kernel: np.ndarray | None) -> Any:
    shape = () if kernel is None else kernel.shape
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
            return torch.nn.Sequential(ChannelsLast(), torch.nn.Flatten())
    raise ValueError(f"layer {kind!r} is not written in PyTorch here")
