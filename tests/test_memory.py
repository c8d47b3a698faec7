"""Memory: the budget is kept, fewer cells are in flight where the device runs out, and sharded params stay sharded."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.surfaces import _cells
from landscape.surfaces._task import planned
from tests import problems

X, Y = problems.classification(41, 16, 1)
NEURON = ls.neuron(X[:, 0], Y)
PLANE = ls.axes_plane(NEURON.params, "w", "b")
AXES = {"w": np.linspace(-1, 1, 4), "b": np.linspace(-2, 2, 4)}
MESSAGE = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123456789 bytes."


def failing(monkeypatch: pytest.MonkeyPatch, fits: int, message: str = MESSAGE) -> list[int]:
    """A device that runs out of memory with more than `fits` cells in flight; returns how many were tried."""
    tried: list[int] = []
    whole = _cells.whole

    def limited(measures: Any, plan: Any, *rest: Any) -> Any:
        tried.append(plan.in_flight)
        if plan.in_flight > fits:
            raise jax.errors.JaxRuntimeError(message)
        return whole(measures, plan, *rest)

    monkeypatch.setattr(_cells, "whole", limited)
    return tried


def test_cells_in_flight_are_halved_until_they_fit(monkeypatch):
    """The same numbers, and the attributes say what happened."""
    plain = ls.evaluate(NEURON, PLANE, AXES)
    assert plain.attrs["cells_in_flight"] == 16 and plain.attrs["out_of_memory"] == ""
    tried = failing(monkeypatch, fits=5)
    found = ls.evaluate(NEURON, PLANE, AXES)
    assert tried == [16, 8, 4]
    assert found.attrs["cells_in_flight"] == 4
    assert found.attrs["out_of_memory"] == "cells in flight halved from 16"
    np.testing.assert_allclose(found.risk, plain.risk, rtol=1e-6)


def test_one_cell_that_does_not_fit_is_an_error_that_says_what_to_do(monkeypatch):
    """A smaller batch_size; the error is the device's own."""
    tried = failing(monkeypatch, fits=0)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED") as caught:
        ls.evaluate(NEURON, PLANE, AXES)
    assert tried == [16, 8, 4, 2, 1]
    assert caught.value.__notes__ == [
        "landscape: one cell at a time does not fit into the device's memory; give `evaluate` a smaller batch_size "
        "than 16."
    ]


def test_other_errors_of_the_device_are_not_retried(monkeypatch):
    tried = failing(monkeypatch, fits=0, message="INTERNAL: something else")
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL: something else") as caught:
        ls.evaluate(NEURON, PLANE, AXES)
    assert tried == [16] and not hasattr(caught.value, "__notes__")


def recurrent(params: Any, x: Any) -> Any:
    """60 steps, of which the gradient keeps each state."""

    def step(state: Any, inputs: Any) -> Any:
        return jnp.tanh(inputs @ params["in"] + state @ params["state"]), None

    last, _ = jax.lax.scan(step, jnp.zeros((len(x), 16), x.dtype), jnp.swapaxes(x.reshape(len(x), 60, 2), 0, 1))
    return jnp.sum(last, axis=1)


def heads(params: Any, x: Any) -> Any:
    """24 small products beside one another, all needed at the end."""
    parts = jnp.split(params["heads"], 24, axis=1)
    return jnp.sum(jnp.concatenate([jnp.tanh(x @ part) for part in parts], axis=1), axis=1)


def convolved(params: Any, x: Any) -> Any:
    """Two convolutions of an image of 12×10."""
    for name in ("first", "second"):
        layout = ("NHWC", "HWIO", "NHWC")
        x = x.reshape(len(x), 12, 10, -1)
        x = jax.nn.relu(jax.lax.conv_general_dilated(x, params[name], (1, 1), "SAME", dimension_numbers=layout))
    return jnp.sum(x, axis=(1, 2, 3))


SHAPES = {
    recurrent: {"in": (2, 16), "state": (16, 16)},
    heads: {"heads": (120, 384)},
    convolved: {"first": (3, 3, 1, 8), "second": (3, 3, 8, 16)},
}


@pytest.mark.parametrize("quantity", ["risk", "slope", "plane_hessian", "gradient_norm"])
@pytest.mark.parametrize("losses", SHAPES)
def test_what_the_compiler_reserves_is_within_the_budget(losses, quantity):
    """Residuals of loops, branches side by side, derivatives: XLA's own count of temporaries."""
    draw = np.random.default_rng(0).normal
    params = {name: draw(size=shape).astype(np.float32) / 10 for name, shape in SHAPES[losses].items()}
    objective = ls.Objective(losses, draw(size=(2048, 120)).astype(np.float32), params=params)
    plane = ls.Plane(params, ls.random_directions(jax.random.key(0), params, 2))
    axes = {"alpha": np.linspace(-1, 1, 5), "beta": np.linspace(-1, 1, 5)}
    memory = 2**23
    task = planned(objective, plane, axes, (quantity,), None, None, memory)
    positions = tuple(p[:size] for p, size in zip(task.positions, task.tile_shape, strict=True))
    if task.plan.batch_size == 2048:
        lowered = _cells.whole.lower(task.measures, task.plan, plane, objective.data, task.sweep, positions)
    else:
        sums, size = _cells.no_sums(task.cost, task.plan, positions), task.plan.batch_size
        lowered = _cells.steps.lower(
            task.measures, task.plan, size, plane, objective.data, (0, 1), positions, sums, True
        )
    assert 0 < lowered.compile().memory_analysis().temp_size_in_bytes <= memory


class Unread(np.memmap):
    """Looks like a file."""


@pytest.mark.parametrize("sizes", [[2, 4000, 4000], [4000, 4000, 2]])
def test_large_batches_after_a_small_one_are_cut(sizes):
    """The first batch says nothing of the others: no more examples at a time than fit, and the same risk."""
    x = np.random.default_rng(0).normal(size=(sum(sizes), 120)).astype(np.float32)
    params = {"heads": np.random.default_rng(1).normal(size=(120, 384)).astype(np.float32) / 10}
    batches = ls.Batches(np.split(x, np.cumsum(sizes)[:-1]))
    plane, axes = ls.Plane(params, ls.random_directions(jax.random.key(0), params, 2)), {"alpha": [1.0], "beta": [0.5]}
    found, whole = (
        ls.evaluate(ls.Objective(heads, data, params=params), plane, axes, memory=2**23) for data in (batches, x)
    )
    assert found.attrs["batch_size"] < 2000
    np.testing.assert_allclose(found.risk, whole.risk, rtol=1e-5)


def test_batches_of_wide_examples_count_themselves():
    """40 kB an example: what is read, and what is read ahead, is in the budget."""
    x = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (10_000, 10_000), (0, 0)).view(Unread)
    objective = ls.Objective(lambda p, x: x @ p["w"], x, params={"w": jnp.zeros(10_000)})
    task = planned(objective, ls.axes_plane(objective.params, "w[0]"), {"w[0]": [0.0]}, (), None, None, 2**25)
    assert 2 * 40_000 * task.plan.batch_size <= 2**25


def answer(program: str) -> dict[str, Any]:
    """What a program prints as JSON, run in a process of its own, on the CPU."""
    # NPROC: XLA's threads; with few of them, programs that wait for each other's shards may wait for ever.
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "NPROC": "128"},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


GROWTH = """
import json, threading, time
import jax, jax.numpy as jnp, numpy as np
import landscape as ls

def resident():  # bytes
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

HIDDEN, N = 256, 2048
draw = np.random.default_rng(0).normal
params = {"first": draw(size=(8, HIDDEN)).astype("f4"), "last": draw(size=HIDDEN).astype("f4")}

def losses(params, batch):
    x, y = batch
    return jnp.square(jnp.tanh(x @ params["first"]) @ params["last"] - y)

data = draw(size=(N, 8)).astype("f4"), draw(size=N).astype("f4")
objective = ls.Objective(losses, data, params=params)
plane = ls.Plane(params, tuple(jax.tree.map(lambda p: draw(size=p.shape).astype("f4"), params) for _ in range(2)))
axes = {"alpha": np.linspace(-1, 1, 20), "beta": np.linspace(-1, 1, 20)}
options = dict(quantities=QUANTITIES, memory=2**26)
ls.evaluate(objective, plane, {name: axis[:2] for name, axis in axes.items()}, **options)  # libraries, threads
before, peak, running = resident(), 0, True

def watch():
    global peak
    while running:
        peak = max(peak, resident())
        time.sleep(0.001)

thread = threading.Thread(target=watch)
thread.start()
surface = ls.evaluate(objective, plane, axes, **options)
running = False
thread.join()
print(json.dumps({"growth": peak - before, "naive": 400 * N * HIDDEN * 4, "attrs": surface.attrs["cells_in_flight"]}))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process from /proc")
@pytest.mark.parametrize("quantities", ["()", "('slope',)"])
def test_the_budget_is_kept(quantities):
    """64 MiB for 400 cells of 2 MiB each: all at once, as a plain vmap has them, would be 840 MB, or thrice that.

    Half as much again is for what compiling takes, which no budget counts.
    """
    found = answer(GROWTH.replace("QUANTITIES", quantities))
    assert found["naive"] > 800e6
    assert found["growth"] < 96 * 2**20, found


SHARDED = """
import json
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 4)
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import landscape as ls

mesh = Mesh(np.array(jax.devices()).reshape(4), ("model",))
draw = np.random.default_rng(0).normal
plain = {"first": draw(size=(6, 8)).astype("f4"), "last": draw(size=8).astype("f4"), "bias": np.float32(0.5)}
specs = {"first": P(None, "model"), "last": P("model"), "bias": P()}
place = lambda tree: {k: jax.device_put(v, NamedSharding(mesh, specs[k])) for k, v in tree.items()}
data = draw(size=(10, 6)).astype("f4"), draw(size=10).astype("f4")

def losses(params, batch):
    x, y = batch
    return jnp.square(jnp.tanh(x @ params["first"]) @ params["last"] + params["bias"] - y)

directions = tuple({k: draw(size=np.shape(v)).astype("f4") for k, v in plain.items()} for _ in range(2))
axes = {"alpha": np.array([-0.5, 0.0, 1.0]), "beta": np.array([0.0, 0.5])}
found = {}
for name, params, along in (
    ("plain", plain, directions), ("sharded", place(plain), tuple(map(place, directions))),
    ("mixed", place(plain), directions),
):
    plane = ls.Plane(params, along)
    surface = ls.evaluate(ls.Objective(losses, data, params=params), plane, axes, quantities=("slope",))
    found[name] = {v: np.asarray(surface[v]).tolist() for v in ("risk", "slope")}
    if name != "plain":
        point = plane.point((jnp.float32(0.5), jnp.float32(1.0)))
        traced = jax.jit(lambda plane, c: plane.point(c))(plane, (jnp.float32(0.5), jnp.float32(1.0)))
        for which, tree in (("origin", plane.origin), ("point", point), ("traced", traced)):
            found[name][which] = [
                leaf.sharding.is_equivalent_to(NamedSharding(mesh, specs[k]), leaf.ndim) for k, leaf in tree.items()
            ]
print(json.dumps(found | {"devices": len(jax.devices())}))
"""


def test_sharded_params():
    """Leaves spread over four devices: the same numbers, and the points of the plane lie where the origin does."""
    found = answer(SHARDED)
    assert found["devices"] == 4
    for name in ("sharded", "mixed"):
        for variable in ("risk", "slope"):
            np.testing.assert_allclose(found[name][variable], found["plain"][variable], rtol=1e-5, atol=1e-6)
        for which in ("origin", "point"):
            assert found[name][which] == [True] * 3, (name, which)
    assert found["sharded"]["traced"] == [True] * 3
