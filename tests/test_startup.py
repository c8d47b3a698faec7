"""What a short run costs: the programs that it compiles, what it traces, how a process starts and ends."""

import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape import _garbage, _trees
from landscape.charts import _span
from landscape.cli import startup
from landscape.surfaces import _cells
from tests import problems

# The command line, and what its process did: the programs that JAX compiled or read, and how it ended.
PROCESS = """
import atexit, gc, sys
atexit.register(lambda: print("kept at exit:", gc.get_freeze_count() > 0))  # runs last: it was registered first
from landscape.cli import console
console()
"""
COUNTED = """
import jax
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
jax.monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: events.append(event))
import atexit
atexit.register(lambda: print("programs:", events.count("/jax/core/compile/backend_compile_duration")))
atexit.register(lambda: print("read:", events.count("/jax/compilation_cache/cache_hits")))
"""
SURFACE = "surface", "--data", "pair", "--axis", "w=-3:3:31", "--axis", "b=-3:3:21", "-o"


def landscape(folder: Path, name: str, before: str = "", **environment: str) -> subprocess.CompletedProcess:
    """A surface, in a process of its own, without what JAX has set when it was imported here."""
    set_here = "JAX_COMPILATION", "JAX_PERSISTENT", "TF_CPP"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(set_here)}
    return subprocess.run(
        [sys.executable, "-c", before + textwrap.dedent(PROCESS), *SURFACE, name],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=clean | {"JAX_PLATFORMS": "cpu"} | environment,
    )


# What is open in a cycle is written when garbage is collected: when the interpreter ends.
CYCLE = """
class Log:
    def __init__(self):
        self.me, self.file = self, open("log.txt", "w")
        self.file.write("precious")
"""
HOST = """
import gc, os, sys
from landscape.cli import main
log = Log()
before = gc.get_threshold()
status = main(["status", "nowhere.zarr"])
assert gc.get_threshold() == before and not gc.get_freeze_count()
assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "1"  # as JAX sets it
assert "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ
sys.exit(status)
"""
OWN = """
import landscape as ls

log = Log()
objective = ls.function(lambda p: p["x"] ** 2 + p["y"] ** 2, {"x": 0.0, "y": 0.0})
"""


def test_who_calls_the_command_line_from_python_finds_all_as_it_was(tmp_path):
    """Environment, collector, and what is written when the interpreter ends."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": "anywhere"}
    for name in ("TF_CPP_MIN_LOG_LEVEL", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):  # as JAX has set them here
        environment.pop(name, None)
    command = [sys.executable, "-c", CYCLE + HOST]
    output = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert output.returncode == 2 and "Traceback" not in output.stderr
    assert (tmp_path / "log.txt").read_text() == "precious"


def test_what_an_objective_of_ones_own_has_open_is_written(tmp_path):
    """No garbage is looked for in what was imported before it, and only there."""
    (tmp_path / "own.py").write_text(CYCLE + OWN)
    command = [sys.executable, "-m", "landscape", "surface", "--objective", "own:objective"]
    grid = ["--axis", "x=-1:1:3", "--axis", "y=-1:1:3"]
    subprocess.run([*command, *grid], capture_output=True, check=True, cwd=tmp_path)
    assert (tmp_path / "log.txt").read_text() == "precious"


def test_a_surface_is_one_program_and_a_cache_of_programs_changes_no_bit(tmp_path):
    """Without a cache, with an empty one, a filled one, a damaged one: nothing on standard error but of the damage."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    plain = landscape(tmp_path, "plain.zarr", COUNTED)
    assert "programs: 1\n" in plain.stdout and "kept at exit: True" in plain.stdout
    assert not (tmp_path / "cache").exists()
    outputs = [plain, landscape(tmp_path, "empty.zarr", **cache)]
    (entry,) = (tmp_path / "cache").glob("*-cache")  # small as it is
    outputs.append(landscape(tmp_path, "filled.zarr", **cache))
    assert [output.stderr for output in outputs] == [""] * 3
    entry.write_bytes(entry.read_bytes()[:2000])
    damaged = landscape(tmp_path, "damaged.zarr", **cache)
    assert damaged.stderr.startswith("landscape: warning: Error reading persistent compilation cache entry")
    assert damaged.stderr.count("\n") == 1
    surfaces = [ls.open_surface(tmp_path / f"{name}.zarr") for name in ("plain", "empty", "filled", "damaged")]
    for surface in surfaces[1:]:
        for name, values in surfaces[0].data_vars.items():
            np.testing.assert_array_equal(surface[name].values, values.values)


def test_a_cache_of_programs_that_cannot_be_written_fails_no_run(tmp_path):
    (tmp_path / "file").write_text("")
    output = landscape(tmp_path, "pair.zarr", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "file" / "cache"))
    assert "Not a directory" in output.stderr and output.stderr.count("\n") == 1
    assert "saved: pair.zarr" in output.stdout


@pytest.fixture
def settled(monkeypatch):
    """`settle_cache` in another environment: what it set."""
    names = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "TF_CPP_MIN_LOG_LEVEL"

    def call(plugin=False, **environment):
        with monkeypatch.context() as changed:
            for name in (*names, "JAX_COMPILATION_CACHE_DIR", "JAX_PLATFORMS"):
                changed.setenv(name, "")  # so that what is set is undone
                changed.delenv(name)
            for name, value in environment.items():
                changed.setenv(name, value)
            changed.setattr(startup, "_has_accelerator_plugin", lambda: plugin)
            startup.settle_cache()
            return tuple(os.environ.get(name) for name in names)

    return call


def test_a_cache_of_programs_is_asked_for(settled):
    assert settled() == (None, None)
    assert settled(JAX_COMPILATION_CACHE_DIR="anywhere") == ("0", "3")
    assert settled(JAX_COMPILATION_CACHE_DIR="anywhere", TF_CPP_MIN_LOG_LEVEL="0") == ("0", "0")  # to read it all


def test_the_errors_of_an_accelerator_are_not_hidden(settled):
    cache = {"JAX_COMPILATION_CACHE_DIR": "anywhere"}
    assert settled(plugin=True, **cache) == ("0", None)
    assert settled(plugin=True, JAX_PLATFORMS="cuda,cpu", **cache) == ("0", None)
    assert settled(plugin=True, JAX_PLATFORMS="cpu", **cache) == ("0", "3")


def test_a_plugin_is_found_as_a_package_and_by_its_entry_point(monkeypatch, tmp_path):
    monkeypatch.setattr(startup, "find_spec", lambda name: None)
    monkeypatch.setattr(startup, "entry_points", lambda group: ())
    assert not startup._has_accelerator_plugin()
    with monkeypatch.context() as changed:
        changed.setattr(startup, "entry_points", lambda group: ("own",) if group == "jax_plugins" else ())
        assert startup._has_accelerator_plugin()
    for package in ("jax_plugins", "libtpu"):
        monkeypatch.setattr(startup, "find_spec", lambda name, package=package: name == package or None)
        assert startup._has_accelerator_plugin()


@pytest.mark.parametrize("own, within", [(700, _garbage.BETWEEN), (10**6, 10**6), (0, 0)])
def test_garbage_is_collected_as_before_afterwards(own, within):
    """Within, no sooner than who calls wants it; not at all where they have turned it off by 0."""
    before = gc.get_threshold()
    gc.set_threshold(own, *before[1:])
    try:
        with pytest.raises(ValueError, match="wrong"), _garbage.seldom_collecting():
            assert gc.get_threshold() == (within, *before[1:])
            raise ValueError("wrong")
        assert gc.get_threshold() == (own, *before[1:])
    finally:
        gc.set_threshold(*before)


def test_a_neuron_and_its_plane_compile_nothing(compilations, dtype):
    """Whatever their shapes: they are made in NumPy."""
    x, y = problems.classification(0, 13, 3)
    with compilations() as tally:
        objective = ls.neuron(x.astype(dtype), y.astype(int), weights=np.ones(13))
        ls.Plane({"w": np.zeros(3, dtype), "b": np.array(2.0, dtype)}, ({"w": np.ones(3), "b": np.array(0.0)},))
        ls.axes_plane(objective.params, "w[2]", "b")
    assert tally.count == 0
    assert {leaf.dtype for leaf in jax.tree.leaves((objective.params, objective.data))} == {np.dtype(dtype)}


def test_the_columns_of_many_examples_are_those_of_few(monkeypatch):
    """Large data are put together by JAX."""
    x, y = problems.classification(0, 13, 3)
    few = [ls.neuron(one, y, bias=bias).structure.features for one in (x, x[:, 0]) for bias in (True, False)]
    monkeypatch.setattr(_trees, "COPIED", 0)
    many = [ls.neuron(one, y, bias=bias).structure.features for one in (x, x[:, 0]) for bias in (True, False)]
    assert [columns.shape for columns in few] == [(13, 4), (13, 3), (13, 2), (13, 1)]
    for own, other in zip(few, many, strict=True):
        assert isinstance(own, jax.Array) and own.dtype == other.dtype
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("size", [3, 1000])
def test_an_array_is_a_copy_of_what_was_given(size):
    """Whatever the alignment of its memory, which JAX would share."""
    for start in range(16):
        given = np.zeros(size + 16, np.float32)[start : start + size]
        array = _trees.as_array(given)
        given[:] = 7
        assert not np.asarray(array).any()


def test_an_array_is_what_jax_would_make_of_it():
    values = [np.array([1, 2]), np.float32(3), np.array(True), np.array([1.5]), jnp.ones(2, jnp.bfloat16), 2.0]
    for value in values:
        own, wanted = _trees.as_array(value), jnp.asarray(value)
        assert (own.dtype, own.shape, own.weak_type) == (wanted.dtype, wanted.shape, wanted.weak_type)
        np.testing.assert_array_equal(own, wanted)
    with pytest.raises(ValueError, match="masked"):
        _trees.as_array(np.ma.array([1.0, 2.0], mask=[False, True]))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_directions_are_looked_at_alike_in_numpy_and_compiled(dtype):
    """Finiteness exactly, sums to rounding; zeros, NaN and empty leaves without a warning."""
    random = np.random.default_rng(0)
    leaves = [random.normal(size=(3, *shape)) for shape in ((), (7,), (4, 5), (0,))]
    leaves[1][1] = 0
    leaves[2][0, 1, 2], leaves[2][2, 0, 0] = np.nan, np.inf
    for leaf in leaves:
        arrays = [jnp.asarray(one, dtype) for one in leaf]
        finite, peaks, products = _span._look_here(*arrays)
        wanted = _span._look(*arrays)
        np.testing.assert_array_equal(finite, wanted[0])
        np.testing.assert_array_equal(peaks, wanted[1])
        np.testing.assert_allclose(products, wanted[2], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("part", [{}, {"batch_size": 4}])
def test_what_a_store_is_made_of_is_not_traced_again(monkeypatch, tmp_path, part):
    """The shapes of a store's variables come from the program that computes them."""
    calls, traced = [], _cells._variables

    def counted(*arguments):
        calls.append(1)
        return traced(*arguments)

    monkeypatch.setattr(_cells, "_variables", counted)
    numbers = []
    for store, points in ((None, 5), (tmp_path / "pair.zarr", 6)):
        x, y = problems.classification(0, 9, 1)
        objective = ls.neuron(x[:, 0], y)
        axes = {"w": np.linspace(-1, 1, points), "b": np.linspace(-1, 1, 4)}
        calls.clear()
        ls.evaluate(objective, ls.axes_plane(objective.params, "w", "b"), axes, store=store, **part)
        numbers.append(len(calls))
    assert numbers[0] == numbers[1] > 0
