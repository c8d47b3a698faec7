"""Several devices and several processes: the same numbers, whoever computes them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import landscape as ls

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
AXES = {"w": np.linspace(-1, 1, 5), "b": np.linspace(-1, 1, 3)}

# A network in small tiles; `measured` and `descended` are what its tests compare.
PROBLEM = """
import json, sys
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", {devices})
jax.config.update("jax_enable_preemption_service", False)
{before}
import numpy as np, optax
import landscape as ls
from landscape.analysis import _blocks
from landscape.surfaces import _plan
_plan.CHUNK_BYTES, _plan.STEP_WORK, _plan.stored_cells = {{"cpu": 2**12}}, 2**12, lambda sizes, n: 12
_blocks.STORED_WORK, _blocks.VECTORIZED = 1, 2

draw = np.random.default_rng(0).normal
x, y = draw(size=(30, 6)).astype("float32"), draw(size=30).astype("float32")
weights = {{"hidden": draw(size=(6, 8)).astype("float32"), "out": draw(size=8).astype("float32")}}

def losses(params, batch):
    return (jax.numpy.tanh(batch[0] @ params["hidden"]) @ params["out"] - batch[1]) ** 2

def measured(params, **options):
    objective = ls.Objective(losses, (x, y), params=params)
    plane = ls.Plane(objective.params, ls.random_directions(jax.random.key(0), objective.params, 2))
    axes = {{"alpha": np.linspace(-1, 1, 13), "beta": np.linspace(-1, 1, 11)}}
    penalties = {{"none": ls.none(), "l1": ls.l1(0.1)}}
    return ls.evaluate(objective, plane, axes, quantities=("slope",), penalties=penalties, **options)

sgd = optax.adam(0.01)

def descended(params, **options):
    objective = ls.Objective(losses, (x, y), params=params)
    starts = jax.tree.map(lambda leaf: np.stack([leaf, leaf + 1, leaf - 1, 2 * leaf, -leaf]), weights)
    return ls.descend(objective, sgd, starts, 7, **options).data

def same(a, b):
    return a.drop_attrs().identical(b.drop_attrs())

def sharded(mesh):
    def put(array, *axes):
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))
        return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])
    return {{"hidden": put(weights["hidden"], None, "model"), "out": put(weights["out"], "model")}}

def worst(a, b):
    return max(float(abs(a[name].astype(float) - b[name].astype(float)).max()) for name in a)
"""


def start(script: str, *arguments, devices: int = 1, before: str = "") -> subprocess.Popen:
    """A process that runs the problem and then `script`."""
    program = PROBLEM.format(devices=devices, before=before) + script
    environment = {**os.environ, "PYTHONPATH": str(Path(ls.__file__).parents[1])}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def said(process: subprocess.Popen) -> dict:
    """What the process printed last, as JSON."""
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return json.loads(out.strip().splitlines()[-1])


def test_numbers_do_not_depend_on_the_devices(tmp_path):
    """One or both, in memory and in a store; of surfaces and of runs. Sharded params: to rounding."""
    script = """
def settings():  # of this thread, such as how random numbers are drawn
    global losses
    plain = losses
    losses = lambda params, batch: plain(params, batch) + jax.random.normal(jax.random.key(0), batch[1].shape)
    with jax.threefry_partitionable(False):
        return same(measured(weights), measured(weights, devices=jax.devices()[:1]))

one = measured(weights, devices=jax.devices()[:1])
runs = descended(weights, devices=jax.devices()[:1], store=sys.argv[1] + "/one.zarr")
mesh = jax.make_mesh((2,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
print(json.dumps({
    "tiles": list(one.attrs["tile_shape"]),
    "default": same(measured(weights), one),
    "store": same(measured(weights, store=sys.argv[1] + "/s.zarr"), one),
    "runs": same(descended(weights, store=sys.argv[1] + "/runs.zarr"), runs),
    "committed": same(measured(jax.device_put(weights, jax.devices()[1])), one),
    "sharded": worst(measured(sharded(mesh), store=sys.argv[1] + "/sharded.zarr"), one),
    "settings": settings(),
}))
"""
    found = said(start(script, tmp_path, devices=2))
    assert found.pop("tiles") != [13, 11]
    assert found.pop("sharded") < 1e-3
    assert all(found.values()), found
    records = list((tmp_path / "runs.zarr" / "landscape" / "complete").iterdir())
    assert len(records) == 3  # of two runs each, the last one with a run twice


JOIN = """
import jax
rank, address = int(sys.argv[1]), sys.argv[2]
jax.distributed.initialize(address, 2, rank, cluster_detection_method="deactivate", initialization_timeout=30)
"""


def two_processes(script: str, folder: Path) -> list[dict]:
    """What two processes of one `jax.distributed` say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [start(script, rank, address, folder, before=JOIN) for rank in range(2)]
    return [said(process) for process in processes]


def test_two_processes_share_a_store(tmp_path):
    """Their ranks are those of `jax.distributed`; each computes some tiles, and both return the whole."""
    script = """
import time
from jax.experimental import multihost_utils
from landscape.surfaces._work import Work
real = Work.__call__
alone = measured(weights, devices=jax.local_devices())
multihost_utils.sync_global_devices("both have compiled")
Work.__call__ = lambda *given: (time.sleep(0.1), real(*given))[1]
surface = measured(weights, store=sys.argv[3] + "/s.zarr")
print(json.dumps({"whole": "computed" not in surface, "same": same(surface, alone)}))
"""
    assert two_processes(script, tmp_path) == 2 * [{"whole": True, "same": True}]
    records = [json.loads(path.read_text()) for path in (tmp_path / "s.zarr" / "landscape" / "complete").iterdir()]
    assert len(records) > 4 and len({record["by"] for record in records}) == 2


def test_a_model_that_is_sharded_over_processes(tmp_path):
    """Every process takes part in each tile, the first one writes, and both return the same; so they do in memory."""
    script = """
mesh = jax.make_mesh((2,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
params = sharded(mesh)
surface = measured(params, store=sys.argv[3] + "/s.zarr")
again = measured(params, store=sys.argv[3] + "/s.zarr")
print(json.dumps({"again": same(surface, again), "memory": worst(measured(params), surface),
                  "alone": worst(measured(weights), surface), "chart": surface.attrs["chart_id"]}))
"""
    first, second = two_processes(script, tmp_path)
    assert first == second
    assert first["again"] and first["memory"] < 1e-3 and first["alone"] < 1e-3
    records = [json.loads(path.read_text()) for path in (tmp_path / "s.zarr" / "landscape" / "complete").iterdir()]
    assert len(records) > 4 and len({record["by"] for record in records}) == 1


@pytest.mark.parametrize(
    ("devices", "error", "message"),
    [
        ([], ValueError, "`devices` is empty; give at least one"),
        (["cpu"], TypeError, "`devices` holds a str; give JAX devices, such as"),
        (3, TypeError, "`devices` is an int; give a list of devices"),
    ],
)
def test_devices_that_are_none(devices, error, message):
    """Each is told what to give."""
    with pytest.raises(error, match=message):
        ls.evaluate(PAIR, PLANE, AXES, devices=devices)


@pytest.mark.parametrize(
    ("shard", "error", "message"),
    [
        ((2, 2), ValueError, r"`shard` is \(2, 2\); of 2 processes the last is number 1"),
        ((-1, 2), ValueError, r"`shard\[0\]` is -1; it must be at least 0"),
        ("0/2", TypeError, r"`shard` is '0/2'; give \(i, n\)"),
        ((0, 0), ValueError, r"`shard\[1\]` is 0; it must be at least 1"),
    ],
)
def test_shards_that_are_none(tmp_path, shard, error, message):
    """Nothing is written before it is said."""
    with pytest.raises(error, match=message):
        ls.evaluate(PAIR, PLANE, AXES, store=tmp_path / "s.zarr", shard=shard)
    assert not list(tmp_path.iterdir())


def test_a_share_needs_a_store():
    """Tiles in memory are nobody else's."""
    with pytest.raises(ValueError, match="`shard` is a share of a store; give store="):
        ls.evaluate(PAIR, PLANE, AXES, shard=(0, 2))


def test_one_default_device_is_respected():
    """Whoever says where to compute is not given other devices."""
    with jax.default_device(jax.local_devices()[0]):
        surface = ls.evaluate(PAIR, PLANE, AXES)
    assert surface.drop_attrs().identical(ls.evaluate(PAIR, PLANE, AXES).drop_attrs())
