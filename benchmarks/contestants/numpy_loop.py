"""The same problems in NumPy float64, written to be fast: rows blocked to stay in cache, every operation in place."""

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.harness.ways import Way
from benchmarks.problems.networks import Problem

BLOCK = 2**15  # values of one operation: 256 KiB, a share of the second-level cache


def grid(cells: np.ndarray, x: np.ndarray, y: np.ndarray, gradient: bool) -> np.ndarray:
    """Risk of the neuron, and its gradient's norm (0 without `gradient`), at cells (cells, 2) of (w, b): (2, cells).

    loss = max(m, 0) + log1p(exp(−|m|)) and ∂loss/∂m = 1/(1 + exp(−m)) with m = (1 − 2y)(w·x + b).
    """
    cells, x, y = (np.asarray(a, np.float64) for a in (cells, x, y))
    sign = 1 - 2 * y
    features = np.ascontiguousarray(np.stack([sign * x, sign]))  # (2, n)
    rows, n = max(1, BLOCK // len(x)), len(x)
    out = np.zeros((2, len(cells)))
    m, e, other = np.empty((3, rows, n))
    for start in range(0, len(cells), rows):
        block = cells[start : start + rows]
        k = slice(0, len(block))
        risk, norm = out[:, start : start + rows]
        np.matmul(block, features, out=m[k])
        np.abs(m[k], out=e[k])
        np.exp(np.negative(e[k], out=e[k]), out=e[k])
        if gradient:
            np.add(e[k], 1, out=other[k])
            np.divide(np.where(m[k] > 0, 1.0, e[k]), other[k], out=other[k])
            sums = other[k] @ features.T
            norm[:] = np.sqrt(np.sum(sums * sums, axis=1)) / n
        np.maximum(m[k], 0, out=m[k])
        m[k] += np.log1p(e[k], out=e[k])
        risk[:] = m[k].sum(axis=1) / n
    return out


def adam(starts: np.ndarray, x: np.ndarray, y: np.ndarray, strength: float, rate: float, steps: int) -> np.ndarray:
    """Where Adam (Kingma & Ba 2015, algorithm 1) on risk + λ‖θ‖² ends from starts (S, 2) of (w, b): (S, 2)."""
    theta = np.array(starts, np.float64)
    features = np.stack([x, np.ones_like(x)]).astype(np.float64)  # (2, n)
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        slope = 1 / (1 + np.exp(-(theta @ features))) - y
        gradient = slope @ features.T / len(x) + 2 * strength * theta
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        theta -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return theta


def planes(problem: Problem) -> dict[Way, Callable[[], np.ndarray]]:
    """The risk of every cell, (cells,), in both precisions; none of what is no perceptron of dense layers and tanh.

    The first layer's products are done once, for origin and directions, as `landscape` does them.
    """
    if [kind for kind, _ in problem.network.layers] != ["dense", "tanh", "dense"]:
        return {}
    return {Way("numpy", dtype): partial(_perceptron, problem.typed(dtype)) for dtype in ("float32", "float64")}


def _perceptron(problem: Problem) -> np.ndarray:
    x, labels = problem.data
    first, second = problem.network.layers[0][1], problem.network.layers[2][1]
    trees = problem.origin, *problem.directions
    hidden = [x @ tree[first]["kernel"] + tree[first]["bias"] for tree in trees]
    (kernel, *kernels), (bias, *biases) = ([tree[second][name] for tree in trees] for name in ("kernel", "bias"))
    rows, risks = np.arange(len(x)), np.empty(len(problem.cells))
    for i, (a, b) in enumerate(problem.cells):
        z = np.tanh(hidden[0] + a * hidden[1] + b * hidden[2])
        scores = z @ (kernel + a * kernels[0] + b * kernels[1]) + (bias + a * biases[0] + b * biases[1])
        scores -= scores.max(axis=1, keepdims=True)
        risks[i] = np.mean(np.log(np.exp(scores).sum(axis=1)) - scores[rows, labels])
    return risks
