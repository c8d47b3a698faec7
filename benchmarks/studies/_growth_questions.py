"""What grows: the questions, each a `landscape` call at every size, with what NumPy in float64 says of its answer."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import optax

import landscape as ls
from benchmarks.contestants import numpy_loop
from benchmarks.problems import networks

PLANE = "alpha", "beta"
FEW, FEWER = 64, 32  # examples, where it is cells that count, or penalties
EXAMPLE = 8  # bytes: a feature and a label in float32
NEURON_SIDE, COMPRESSED_SIDE, PENALTIES_SIDE, NETWORK_SIDE = 32, 512, 256, 6
LAYERS = 64, 32, 10
NETWORK_EXAMPLES = {"cells": 500, "width": 100, "depth": 400, "starts": 200, "full": 100}
DEEP_WIDTH = 64
STARTED, STEPS = (64, 16, 10), 20
WIDE = (64, 128, 10)  # 9,610 parameters
REACH = 2.0  # of an entry, in a full grid


@dataclass(frozen=True, eq=False)
class Call:
    """Numbers out of what a call finds, and what they should be."""

    run: Callable[[], np.ndarray]
    truth: np.ndarray


@dataclass(frozen=True, eq=False)
class Question:
    """One thing grows, all else stays as it is.

    limits: the greatest exponents that theory allows, of time and of memory, where it says anything.
    most:   the largest size that is fitted.
    own:    bytes that each of what grows takes itself, and that have to be somewhere.
    """

    title: str
    unit: str
    calls: Mapping[int, Callable[[], Call]]  # by size; made one after another, when it is their turn
    limits: Mapping[str, float] = field(default_factory=dict)
    most: float = np.inf
    own: int = 0


def cells_of_a_neuron(sides: Sequence[int]) -> Question:
    calls = {side**2: _neuron(side, FEW, exact=True) for side in sides}
    return Question(f"cells: neuron, {FEW} examples, exact", "cells", calls, {"time": 1.1, "memory": 1.1})


def cells_of_a_network(sides: Sequence[int]) -> Question:
    examples = NETWORK_EXAMPLES["cells"]
    calls = {side**2: _network(LAYERS, examples, side) for side in sides}
    title = f"cells: digits MLP {_dashed(LAYERS)}, {examples} examples"
    return Question(title, "cells", calls, {"time": 1.1, "memory": 1.1})


def examples_exact(counts: Sequence[int]) -> Question:
    calls = {count: _neuron(NEURON_SIDE, count, exact=True) for count in counts}
    title = f"examples: neuron, {NEURON_SIDE}×{NEURON_SIDE} cells, exact"
    return Question(title, "examples", calls, {"time": 1.1}, own=EXAMPLE)


def examples_compressed(counts: Sequence[int], most: int) -> Question:
    """most: examples up to which the pass that compresses them should not be seen."""
    calls = {count: _neuron(COMPRESSED_SIDE, count) for count in counts}
    title = f"examples: neuron, {COMPRESSED_SIDE}×{COMPRESSED_SIDE} cells, compressed"
    return Question(title, "examples", calls, {"time": 0.1, "memory": 0.1}, most, EXAMPLE)


def width(widths: Sequence[int]) -> Question:
    examples = NETWORK_EXAMPLES["width"]
    calls = {wide: _network((64, wide, wide, 10), examples, NETWORK_SIDE) for wide in widths}
    return Question("width: MLP 64-n-n-10", "units a layer", calls, {"time": 2.2, "memory": 2.2})


def depth(depths: Sequence[int]) -> Question:
    examples = NETWORK_EXAMPLES["depth"]
    calls = {deep: _network((64, *[DEEP_WIDTH] * deep, 10), examples, NETWORK_SIDE) for deep in depths}
    title = f"depth: MLP, {DEEP_WIDTH} units a layer"
    return Question(title, "hidden layers", calls, {"time": 1.1, "memory": 1.1})


def penalties(counts: Sequence[int]) -> Question:
    calls = {
        count: _neuron(PENALTIES_SIDE, FEWER, strengths=np.linspace(0.01, 1, count), exact=True) for count in counts
    }
    title = f"penalties: neuron, {PENALTIES_SIDE}×{PENALTIES_SIDE} cells, {FEWER} examples"
    return Question(title, "penalties", calls, {"time": 1.1, "memory": 1.1})


def starts(counts: Sequence[int]) -> Question:
    calls = {count: _descent(count) for count in counts}
    title = f"starts: descend, MLP {_dashed(STARTED)}, {STEPS} steps"
    return Question(title, "starts", calls, {"time": 1.1, "memory": 1.1})


def full_grid(side: int, most: int) -> Question:
    """A grid over 1 to `most` of a network's 9,610 parameters, the others fixed."""
    calls = {axes: _full_grid(side, axes) for axes in range(1, most + 1)}
    return Question(f"full grid, {side} cells a side", "parameters", calls)


def plane(side: int) -> Question:
    """A plane through all of them."""
    title = f"plane, {side}×{side} cells"
    return Question(title, "parameters", {num_params(): _network(WIDE, NETWORK_EXAMPLES["full"], side)})


def num_params() -> int:
    """Of the network of the full grid and the plane."""
    return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(WIDE))


def _dashed(layers: Sequence[int]) -> str:
    return "-".join(map(str, layers))


def _neuron(side: int, examples: int, strengths: np.ndarray | None = None, **options: Any) -> Callable[[], Call]:
    def make() -> Call:
        random = np.random.default_rng(0)
        x = random.standard_normal(examples, np.float32)
        y = (random.random(examples) < 1 / (1 + np.exp(-2 * x))).astype(np.float32)
        objective = ls.neuron(x, y)
        axis = np.linspace(-10, 10, side, dtype=np.float32)
        corners = np.array([[axis[0], axis[0]], [axis[-1], axis[-1]]])
        truth, more = numpy_loop.grid(corners, x, y, False)[0], options
        if strengths is not None:
            more = options | {"penalties": {f"λ={s}": ls.l2(s) for s in strengths}}
            truth = truth + strengths[-1] * np.sum(corners.astype(float) ** 2, axis=1)
        chart = ls.axes_plane(objective.params, "w", "b")
        return Call(lambda: _corners(objective, chart, {"w": axis, "b": axis}, **more), truth)

    return make


def _network(layers: tuple[int, ...], examples: int, side: int) -> Callable[[], Call]:
    def make() -> Call:
        objective, data = _objective(layers, examples)
        origin, first, second = (_params(layers, seed) for seed in range(3))
        chart = ls.Plane(origin, (first, second), names=PLANE)
        axis = np.linspace(-1, 1, side, dtype=np.float32)
        corners = (jax.tree.map(lambda o, u, v, c=c: o + c * (u + v), origin, first, second) for c in (-1, 1))
        truth = np.array([_risk(corner, *data) for corner in corners])
        return Call(lambda: _corners(objective, chart, dict.fromkeys(PLANE, axis)), truth)

    return make


def _full_grid(side: int, axes: int) -> Callable[[], Call]:
    """Of more than three axes as grids of three, one at each position on the others."""

    def make() -> Call:
        objective, data = _objective(WIDE, NETWORK_EXAMPLES["full"])
        params = _params(WIDE, 0)
        axis = np.linspace(-REACH, REACH, side, dtype=np.float32)
        inner, outer = [f"layer1/W[{pixel}, 0]" for pixel in range(18, 18 + min(axes, 3))], max(0, axes - 3)

        def chart(*fixed: float) -> ls.Plane:
            kernel = np.array(params["layer1"]["W"])
            kernel[26 : 26 + outer, 0] = fixed
            return ls.axes_plane(params | {"layer1": params["layer1"] | {"W": kernel}}, *inner)

        def run() -> np.ndarray:
            grids = (chart(*fixed) for fixed in itertools.product(axis, repeat=outer))
            found = [_corners(objective, one, dict.fromkeys(inner, axis)) for one in grids]
            return np.array([found[0][0], found[-1][1]])

        ends = [chart(*[c] * outer).point([c] * len(inner)) for c in (axis[0], axis[-1])]
        return Call(run, np.array([_risk(end, *data) for end in ends]))

    return make


def _descent(count: int) -> Callable[[], Call]:
    """The risk of the last start at its end, less what NumPy says of it: only there are the params known."""

    def make() -> Call:
        objective, data = _objective(STARTED, NETWORK_EXAMPLES["starts"])
        begin = _params(STARTED, 0, count)
        optimizer = optax.sgd(0.2)

        def run() -> np.ndarray:
            found = ls.descend(objective, optimizer, begin, STEPS, record_every=STEPS, progress=False)
            end = jax.tree.map(lambda leaf: np.asarray(leaf)[-1, -1], found.params)
            return np.array([found.data.risk.to_numpy()[-1, -1] - _risk(end, *data)])

        return Call(run, np.zeros(1))

    return make


def _objective(layers: tuple[int, ...], examples: int) -> tuple[ls.Objective, tuple[np.ndarray, np.ndarray]]:
    """The risk of an MLP on digits, and these."""
    data = networks.digits(examples)
    return ls.mlp(layers, activation="tanh", output="softmax", loss="cross_entropy").objective(*data), data


def _params(layers: tuple[int, ...], seed: int, count: int = 0) -> Any:
    """Normal, by NumPy: JAX would compile programs for each shape. `count`: so many, along a leading axis."""
    random, many = np.random.default_rng(seed), (count,) * bool(count)
    return {
        f"layer{i}": {
            "W": random.standard_normal((*many, inputs, outputs), np.float32) / np.float32(math.sqrt(inputs)),
            "b": random.standard_normal((*many, outputs), np.float32) / 10,
        }
        for i, (inputs, outputs) in enumerate(itertools.pairwise(layers), 1)
    }


def _corners(objective: ls.Objective, chart: Any, axes: Mapping[str, np.ndarray], **options: Any) -> np.ndarray:
    """The objective in the first and the last cell; of a sweep under the last penalty."""
    surface = ls.evaluate(objective, chart, axes, progress=False, **options)
    values = surface.objective.to_numpy()
    values = values[-1] if "penalty" in surface.dims else values
    return np.array([values.flat[0], values.flat[-1]])


def _risk(params: Any, x: np.ndarray, labels: np.ndarray) -> float:
    """The mean cross-entropy of layers of tanh."""
    values, last = x.astype(float), len(params)
    for number in range(1, last + 1):
        weights = {name: np.asarray(leaf, float) for name, leaf in params[f"layer{number}"].items()}
        values = values @ weights["W"] + weights["b"]
        values = np.tanh(values) if number < last else values
    values -= values.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(values).sum(axis=1)) - values[np.arange(len(x)), labels]))
