"""What a tile that takes long has so far is kept, and gone on with: bit by bit as without the interruption."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from landscape.tiles import stopping
from landscape.tiles.halfway import Halfway
from landscape.tiles.status import status
from landscape.tiles.store import files_at, open_store
from tests import problems
from tests.stored import beside, chunks, complete

pytestmark = pytest.mark.usefixtures("small_tiles")

X, Y = problems.classification(3, 64, 3)
HALFWAY = "landscape/halfway/0.npz"


class OnDisk(np.memmap):
    """A memory map that counts the examples that are read."""

    read = 0

    def __getitem__(self, index):
        if isinstance(index, slice):
            OnDisk.read += len(range(*index.indices(len(self))))
        return super().__getitem__(index)


class Calls:
    """The calls of a compiled function; `stop` is called at one of them."""

    def __init__(self, monkeypatch, name):
        self.count, self.last, self.stop = 0, 10**9, lambda: None
        module, function = name.rsplit(".", 1)
        real = getattr(__import__(module, fromlist=[function]), function)

        def call(*arguments):
            self.count += 1
            if self.count == self.last:
                self.stop()
            return real(*arguments)

        monkeypatch.setattr(name, call)

    def interrupt(self):
        """As Ctrl-C does in Python."""
        raise KeyboardInterrupt

    def ask(self):
        """As the command line does."""
        assert stopping.ask(15)


@pytest.fixture
def often(monkeypatch):
    """Kept after every call."""
    monkeypatch.setattr("landscape.tiles.halfway.EVERY", 0.0)
    monkeypatch.setattr("landscape.tiles.halfway.SHARE", math.inf)
    monkeypatch.setattr("landscape.surfaces._plan.STEP_WORK", 1)
    monkeypatch.setattr("landscape.analysis._runs.SEGMENT_WORK", 1)


# ---- sums over batches


def losses(params, batch):
    """Half squared error of a tanh unit."""
    x, y = (jnp.asarray(part, params["w"].dtype) for part in batch)
    return 0.5 * jnp.square(jnp.tanh(x @ params["w"] + params["b"]) - y)


def surface(data, dtype=jnp.float32, **options):
    params = {"w": jnp.asarray([0.5, -1.0, 0.25], dtype), "b": jnp.asarray(0.5, dtype)}
    objective = ls.Objective(losses, data, params=params)
    axes = {"w[0]": np.array([-1.0, 0.0, 2.0]), "b": np.array([-1.0, 0.5])}
    every = ("risk_stderr", "slope", "gradient_norm", ls.Metric("distance", losses))
    return ls.evaluate(objective, ls.axes_plane(params, "w[0]", "b"), axes, quantities=every, batch_size=8, **options)


def data_of(kind, folder):
    """The same examples from anywhere."""
    if kind == "batches":
        return ls.Batches([(X[i : i + 8], Y[i : i + 8]) for i in range(0, 64, 8)])
    if kind == "mapped":
        mapped = np.memmap(folder / "x", np.float32, "w+", shape=X.shape)
        mapped[:] = X
        return mapped.view(OnDisk), Y
    return X, Y


@pytest.mark.parametrize("way", ["interrupt", "ask"])
@pytest.mark.parametrize(("kind", "dtype"), [("mapped", "float32"), ("batches", "float32"), ("arrays", "bfloat16")])
def test_sums_over_batches_are_gone_on_with(tmp_path, monkeypatch, often, kind, dtype, way):
    """No batch is computed twice, and of mapped data none is read twice."""
    calls = Calls(monkeypatch, "landscape.surfaces._cells.steps")
    data = data_of(kind, tmp_path)
    whole = surface(data, dtype, store=tmp_path / "whole.zarr")
    every, calls.count, calls.last, calls.stop = calls.count, 0, 6, getattr(calls, way)
    assert every % 8 == 0 and (kind == "arrays" or every == 8)
    with pytest.raises((KeyboardInterrupt, stopping.Stopped)):
        surface(data, dtype, store=tmp_path / "s.zarr")
    assert not complete(tmp_path / "s.zarr") and beside(tmp_path / "s.zarr") == {HALFWAY}
    said = status(open_store(tmp_path / "s.zarr"))
    assert said.halfway == 1 and "halfway       1 tile begun, and kept" in str(said)
    before, calls.count, calls.last, OnDisk.read = calls.count, 0, 0, 0
    again = surface(data, dtype, store=tmp_path / "s.zarr")
    done = 6 if way == "ask" else 5
    assert before == 6 and calls.count == every - done
    assert OnDisk.read in ((0,) if kind != "mapped" else range(64 - 8 * done, 64 + 64))
    assert chunks(tmp_path / "s.zarr") == chunks(tmp_path / "whole.zarr") and beside(tmp_path / "s.zarr") == set()
    assert all(again[name].values.tobytes() == whole[name].values.tobytes() for name in whole.data_vars)


def test_sums_of_another_plan_are_not_gone_on_with(tmp_path, monkeypatch, often):
    """As after the device ran out of memory: the tile is begun anew."""
    calls = Calls(monkeypatch, "landscape.surfaces._cells.steps")
    calls.last, calls.stop = 6, calls.ask
    data = data_of("batches", tmp_path)
    with monkeypatch.context() as patch, pytest.raises(stopping.Stopped):
        patch.setattr("landscape.surfaces._work._same", lambda plan: "another")
        surface(data, store=tmp_path / "s.zarr")
    calls.count, calls.last = 0, 0
    again = surface(data, store=tmp_path / "s.zarr")
    assert calls.count == 8 and again.equals(surface(data, store=tmp_path / "whole.zarr"))


def test_a_fast_tile_keeps_nothing(tmp_path, monkeypatch):
    """Only from some seconds on, not at every batch."""
    written = []
    monkeypatch.setattr("landscape.tiles.halfway.EVERY", 1e9)
    monkeypatch.setattr("landscape.surfaces._plan.STEP_WORK", 1)
    monkeypatch.setattr(Halfway, "drop", lambda self: written.append(self._kept))
    surface(data_of("arrays", tmp_path), store=tmp_path / "s.zarr")
    assert not any(written) and beside(tmp_path / "s.zarr") == set()


def test_damage_to_what_was_kept_is_found(tmp_path):
    """Each flipped byte, each cut: the tile is begun anew."""
    path, kept = tmp_path / "7.npz", {"calls": np.array(3), "sum0": np.arange(5, dtype=np.float32)}

    def halfway():
        return Halfway(files_at(tmp_path), "7.npz")

    one = halfway()
    one._next = 0.0
    one.keep("plan", lambda: kept)
    intact = path.read_bytes()
    wrong = [intact[:i] + bytes([intact[i] ^ 0x41]) + intact[i + 1 :] for i in range(len(intact))]
    for data in [*wrong, *(intact[:cut] for cut in range(0, len(intact), 37))]:
        path.write_bytes(data)
        assert halfway().load("plan") is None
    path.write_bytes(intact)
    assert halfway().load("another plan") is None
    assert {name: array.tolist() for name, array in halfway().load("plan").items()} == {
        name: array.tolist() for name, array in kept.items()
    }
    one.drop()
    assert not path.exists() and halfway().load("plan") is None


# ---- runs of optimizers


NEURON = ls.neuron(*problems.classification(1, 12, 1), penalty=ls.l2(0.01))
KEY = jax.random.key(5)
ADAM, LBFGS, MOMENTUM = optax.adam(0.1), optax.lbfgs(), optax.sgd(0.05, momentum=0.9)
LINE = ls.axes_plane(NEURON.params, "b")
DESCENTS = {
    "mini-batches": {"batch_size": 4, "key": KEY},
    "two optimizers, every third step": {"record_every": 3, "optimizers": {"adam": ADAM, "momentum": MOMENTUM}},
    "a line search, on a chart": {"optimizers": LBFGS, "record": LINE, "penalties": {"a": ls.l2(0.1), "b": ls.l1(0.1)}},
}


def descent(objective=NEURON, steps=11, optimizers=ADAM, **options):
    """Five runs, in blocks of two."""
    starts = jax.tree.map(lambda p: jnp.stack([p + 0.1 * i for i in range(5)]), objective.params)
    return ls.descend(objective, optimizers, starts, steps, **options)


def assert_same(a, b):
    """The same bits of the data and the params."""
    assert all(a.data[name].values.tobytes() == b.data[name].values.tobytes() for name in b.data.variables)
    assert jax.tree.structure(a.params) == jax.tree.structure(b.params)
    for one, other in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True):
        assert one.dtype == other.dtype and np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.lenient("optax mixes dtypes and ranks")
@pytest.mark.parametrize("name", DESCENTS)
def test_a_descent_stopped_in_the_middle_of_a_block_goes_on(tmp_path, monkeypatch, often, name):
    """The state of its optimizer included; nothing is computed twice."""
    calls, options = Calls(monkeypatch, "landscape.analysis._steps.advance"), DESCENTS[name]
    whole = descent(**options, store=tmp_path / "whole.zarr")
    tiles = len(complete(tmp_path / "whole.zarr"))
    each = 4 if "record_every" in options else 11
    assert calls.count == each * tiles and tiles >= 3
    every, calls.count, calls.last, calls.stop = calls.count, 0, each + each // 2, calls.ask
    with pytest.raises(stopping.Stopped):
        descent(**options, store=tmp_path / "s.zarr")
    assert complete(tmp_path / "s.zarr") == {0} and beside(tmp_path / "s.zarr") == {"landscape/halfway/1.npz"}
    part = ls.open_trajectory(tmp_path / "s.zarr")
    assert part.data.attrs["tiles_complete"] == 1 and not part.data.computed.all()
    before, calls.count, calls.last = calls.count, 0, 0
    again = descent(**options, store=tmp_path / "s.zarr")
    assert before + calls.count == every
    assert chunks(tmp_path / "s.zarr") == chunks(tmp_path / "whole.zarr") and beside(tmp_path / "s.zarr") == set()
    assert_same(again, whole)
    assert_same(ls.open_trajectory(tmp_path / "s.zarr"), whole)


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_a_descent_in_a_store_is_the_one_in_memory(tmp_path):
    """Its params, its data, and what it says of itself."""
    options = DESCENTS["mini-batches"]
    memory, kept = descent(**options), descent(**options, store=tmp_path / "s.zarr")
    assert {k: (v.dims, v.dtype, v.attrs) for k, v in kept.data.variables.items()} == {
        k: (v.dims, v.dtype, v.attrs) for k, v in memory.data.variables.items()
    }
    assert kept.data.attrs | {"wall_seconds": 0} == memory.data.attrs | {"wall_seconds": 0}
    for name, leaf in memory.params.items():
        np.testing.assert_allclose(kept.params[name], leaf, rtol=1e-4, atol=1e-5)
    for name in memory.data.data_vars:
        np.testing.assert_allclose(kept.data[name], memory.data[name], rtol=1e-4, atol=1e-5)


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_frozen_leaves_of_a_descent_in_a_store(tmp_path, often, monkeypatch):
    """Booleans, integers and random keys come back."""
    calls = Calls(monkeypatch, "landscape.analysis._steps.advance")
    calls.last, calls.stop = 2, calls.ask
    objective, sgd = problems.masked(), optax.sgd(0.1)
    with pytest.raises(stopping.Stopped):
        ls.descend(objective, sgd, objective.params, 5, store=tmp_path / "s.zarr")
    run, memory = (ls.descend(objective, sgd, objective.params, 5, **at) for at in ({"store": tmp_path / "s.zarr"}, {}))
    for name in ("on", "scale", "key", "w"):
        assert (
            run.params[name].dtype == memory.params[name].dtype and run.params[name].shape == memory.params[name].shape
        )
    assert (run.params["key"] == memory.params["key"]).all() and (run.params["on"] == memory.params["on"]).all()


@pytest.mark.lenient("optax mixes dtypes and ranks")
@pytest.mark.parametrize(
    ("differ", "options"),
    [
        ("optimizers", {"optimizers": optax.adam(0.2)}),
        ("optimizers", {"optimizers": {"adam": ADAM}}),
        ("starts", {"shift": 1.0}),
        ("steps", {"steps": 12}),
        ("record_every", {"record_every": 2}),
        ("record", {"record": LINE}),
        ("batch_size", {"batch_size": 5, "key": KEY}),
        ("key", {"batch_size": 4, "key": jax.random.key(6)}),
        ("penalties", {"penalties": ls.l2(0.2)}),
        ("penalties", {"penalties": {"a": ls.none()}}),
        ("data", {"objective": NEURON.with_data(problems.classification(2, 12, 1))}),
    ],
)
def test_another_descent_is_refused(tmp_path, differ, options):
    """With what differs, by name."""
    plain = {"batch_size": 4, "key": KEY, "steps": 4}

    def run(objective=NEURON, shift=0.0, steps=4, optimizers=ADAM, **given):
        starts = jax.tree.map(lambda p: p + shift, NEURON.params)
        return ls.descend(objective, optimizers, starts, steps, store=tmp_path / "s.zarr", **given)

    run(**plain)
    with pytest.raises(
        ValueError, match=rf"s.zarr' holds another problem; ([a-z, ]*, )?{differ}(, [a-z, ]*)? differ \("
    ):
        run(**(plain | options))
    run(**plain)


def test_params_that_a_store_cannot_hold_are_refused(tmp_path):
    """Before anything is computed; coordinates on a chart can be kept."""
    listed = ls.function(lambda p: p[0] ** 2, [1.0])
    with pytest.raises(
        ValueError, match="`store` keeps params that are nested dictionaries, and the objective's are not"
    ):
        ls.descend(listed, MOMENTUM, [1.0], 2, store=tmp_path / "t.zarr")
    assert list(tmp_path.iterdir()) == []
