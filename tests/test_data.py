"""Data from anywhere: arrays in memory or on disk, or batches; the same surface, and no more is read than needed."""

import hashlib
import math
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.objectives import data as _data
from landscape.surfaces import _plan
from tests import problems
from tests.closeness import assert_close

X, Y = problems.classification(3, 23, 3)
PARAMS = {"w": np.array([0.5, -1.0, 0.25], np.float32), "b": np.float32(0.1)}
AXES = {"w[0]": np.array([-1.0, 0.0, 2.0]), "b": np.array([-1.0, 0.5])}


def losses(params: Any, batch: Any) -> Any:
    """Half squared error of a tanh unit."""
    x, y = batch
    return 0.5 * jnp.square(jnp.tanh(x @ params["w"] + params["b"]) - y)


def objective(data: Any = (X, Y)) -> ls.Objective:
    return ls.Objective(losses, data, params=PARAMS)


def surface(data: Any, **options: Any) -> Any:
    """On AXES, through the params."""
    given = objective(data)
    return ls.evaluate(given, ls.axes_plane(given.params, "w[0]", "b"), AXES, **options)


def expected() -> np.ndarray:
    """The risk in NumPy, float64: the mean over all examples."""
    w = np.broadcast_to(PARAMS["w"].astype(np.float64), (3, 2, 3)).copy()
    w[..., 0] = AXES["w[0]"][:, None]
    z = np.einsum("abj,nj->abn", w, X.astype(np.float64)) + AXES["b"][None, :, None]
    return (0.5 * (np.tanh(z) - Y) ** 2).mean(axis=-1)


class Loader:
    """Batches anew at every iteration, as a DataLoader gives them; `passes` counts, `order` may differ by pass."""

    def __init__(self, *cuts: int, order: Any = lambda number: np.arange(23)) -> None:
        self.cuts, self.order, self.passes = cuts, order, 0

    def __iter__(self) -> Any:
        rows = self.order(self.passes)
        self.passes += 1
        for part in np.split(rows, self.cuts):
            yield X[part], Y[part]


class OnDisk(np.memmap):
    """A memory map that writes down which rows are read."""

    read: list[int] = []  # noqa: RUF012  # of the class: NumPy makes views of views

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            self.read.append(len(range(*index.indices(len(self)))))
        return super().__getitem__(index)


@pytest.fixture
def tiny_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cells a tile, as where the sums of more would not fit: several passes over the data."""
    chosen = _plan.plan

    def plan(*args: Any, **options: Any) -> _plan.Plan:
        found = chosen(*args, **options)
        return found._replace(tile_cells=2, in_flight=min(2, found.in_flight))

    monkeypatch.setattr(_plan, "plan", plan)


# Batches


def test_a_short_last_batch_counts_for_its_examples():
    """Means over 23 examples in 10 + 10 + 3, or in batches of any length; not a mean of three means."""
    for loader in (Loader(10, 20), Loader(1, 2), [(X[:10], Y[:10]), (X[10:20], Y[10:20]), (X[20:], Y[20:])]):
        batched = surface(ls.Batches(loader), quantities=("risk_stderr", "slope", "risk_gradient_norm"))
        assert_close(batched.risk, expected(), eps=16, scale=0.1)
        assert batched.attrs["num_examples"] == 23
    whole = surface((X, Y), quantities=("risk_stderr", "slope", "risk_gradient_norm"))
    for name in ("risk_stderr", "slope", "risk_gradient_norm"):
        assert_close(batched[name], whole[name].to_numpy(), eps=32, scale=0.1)
    means = np.mean([float(objective((X[part], Y[part])).risk(PARAMS)) for part in np.split(np.arange(23), [10, 20])])
    assert abs(means - float(objective().risk(PARAMS))) > 1e-4  # the mean of means is another number


def test_a_loader_is_wrapped_and_read_once_for_one_tile():
    """Two peeks: the first batch for its shapes, then one pass for all cells."""
    loader = Loader(10, 20)
    found = surface(loader)
    assert_close(found.risk, expected(), eps=16, scale=0.1)
    assert loader.passes == 2
    given = objective(loader)
    assert isinstance(given.data, ls.Batches) and "not counted yet" in repr(given.data)
    assert given.n == 23 and "23 examples; a batch: 0: float32[10, 3], 1: float32[10]" in repr(given.data)
    assert given.id == found.attrs["objective_id"] == objective(Loader(10, 20)).id
    assert given.id != objective(Loader(9, 20)).id


def test_the_risk_of_an_objective_reads_batches_too():
    """Outside the engine: value and gradient are those of the arrays in memory."""
    there, here = objective(Loader(10, 20)), objective()
    assert_close(there.risk(PARAMS), np.asarray(here.risk(PARAMS)), eps=8)
    assert_close(there.gradient(PARAMS), jax.tree.map(np.asarray, here.gradient(PARAMS)), eps=16, scale=0.1)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            ((X, Y) for _ in range(2)),
            TypeError,
            r"`batches` is a generator, which is exhausted after one pass; give wh",
        ),
        ([], ValueError, "`batches` gives no batch at all"),
        ([(X, Y), (X[:0], Y[:0])], ValueError, r"`data batch 1 '0'` has no examples \(shape \(0, 3\)\)"),
        ([(X[:0], Y[:0])], ValueError, "`data batch 0 '0'` has no examples"),
        ([(X, Y), ()], ValueError, "`data` batch 1 holds no arrays"),
        ([(X, Y), None], ValueError, "`data` batch 1 holds no arrays"),
        ([(X, Y), (X[:, :2], Y)], ValueError, r"(?s)`data` batch 1 is not like the first; .*float32\[23, 2\]"),
        ([(X, Y), (X, Y.astype(int))], ValueError, "`data` batch 1 is not like the first"),
        ([(X, Y), {"x": X, "y": Y}], ValueError, "`data` batch 1 is not like the first"),
        ([(X, Y[:5])], ValueError, "`data batch 0` has leaves of different length"),
        ((X, Y[:5]), ValueError, r"`data` has leaves of different length: .* A list of batches is wrapped: ls.Batches"),
        ({"x": X}, TypeError, "`batches` is a dict; give a list of batches"),
        (X, TypeError, "`batches` is a ndarray; give a list of batches"),
        (7, TypeError, "`batches` is an int; give a list of batches"),
    ],
)
def test_batches_that_are_refused(data, error, message):
    """The argument, what came, what was wanted; at once, or when the batch is read."""
    with pytest.raises(error, match=message):
        objective(data if isinstance(data, tuple) else ls.Batches(data)).risk(PARAMS)


class Once:
    """Hands out the same iterator again and again, as a reader of an open file does."""

    def __init__(self, items: list[Any]) -> None:
        self.iterator = iter(items)

    def __iter__(self) -> Any:
        return self.iterator


def shuffled(number: int) -> np.ndarray:
    return np.random.default_rng(number).permutation(23)


def later_shuffled(number: int) -> np.ndarray:
    """The first ten rows stay; the others change from the second pass on."""
    return np.concatenate([np.arange(10), 10 + np.random.default_rng(max(1, number)).permutation(13)])


def exhausted(number: int) -> np.ndarray:
    return np.arange(23 if number < 2 else 0)


def shrinking(number: int) -> np.ndarray:
    return np.arange(23 - number)


class Augmenting(Loader):
    """The same examples in the same order, but for a little noise that is drawn anew for the last batch."""

    def __iter__(self) -> Any:
        noise = np.float32(1e-3 * self.passes)
        for x, y in super().__iter__():
            yield (x if len(x) == 10 else x + noise), y


CHANGING = [
    (lambda: Loader(10, 20, order=shuffled), "gave another batch first than when it was read before; every cell must"),
    (lambda: Loader(10, 20, order=later_shuffled), "gave other examples, or the same in another order, than on the fi"),
    (lambda: Loader(10, order=shrinking), "gave 2 batches with 21 examples, and 2 with 22 on the first pass"),
    (lambda: Loader(order=exhausted), "`data batch 0 '0'` has no examples"),
    (lambda: Once([(X[:10], Y[:10]), (X[10:], Y[10:])]), "gave another batch first than when it was read before"),
    (lambda: Once([(X, Y)]), "gave no batch at all when it was read again"),
    (lambda: Augmenting(10, 20), "gave other examples, or the same in another order, than on the fi"),
]


@pytest.mark.parametrize(("make", "message"), CHANGING)
def test_passes_that_differ_are_refused(make, message):
    """Shuffled, augmented, exhausted, or shorter: from the second reading on, and the message says what to do."""
    data = ls.Batches(make())
    with pytest.raises(ValueError, match=message):
        for _ in range(2):
            list(data)


@pytest.mark.parametrize(("make", "message"), [*CHANGING[1:4], CHANGING[-1]])
def test_surfaces_of_two_passes_refuse_them_too(tiny_tiles, make, message):
    """Half of the cells would have seen other data than the other half."""
    with pytest.raises(ValueError, match=message):
        surface(make())


def test_several_passes_are_the_same_as_one(tiny_tiles):
    """Three tiles, three passes."""
    loader = Loader(10, 20)
    found = surface(loader)
    assert math.prod(found.attrs["tile_shape"]) == 2 and loader.passes == 4
    assert_close(found.risk, expected(), eps=16, scale=0.1)


def test_little_memory_makes_several_passes():
    """A gradient of 80 kB in every cell, four of which fit into 1 MiB beside the copy that is made of their sums."""
    wide = {"w": np.zeros(20_000, np.float32), "b": np.float32(0.0)}

    def sums(params: Any, x: Any) -> Any:
        return jnp.square(x * jnp.sum(params["w"]) + params["b"])

    passes = 0

    class Counting:
        def __iter__(self) -> Any:
            nonlocal passes
            passes += 1
            yield from (np.full(2, value, np.float32) for value in (passes if passes > 2 else 1.0, 2.0))

    given = ls.Objective(sums, Counting(), params=wide)
    plane = ls.axes_plane(given.params, "w[0]", "b")
    axes = {"w[0]": np.linspace(-1, 1, 4), "b": np.linspace(-1, 1, 4)}
    with pytest.raises(ValueError, match="gave another batch first"):
        ls.evaluate(given, plane, axes, quantities=("risk_gradient_norm",), memory=2**20)
    assert passes == 3


# Arrays on disk


@pytest.fixture
def mapped(tmp_path: Any) -> Any:
    """The data as .npy files that are mapped, each reading of rows written down."""
    arrays = []
    for name, array in (("x", X), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", array)
        arrays.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r").view(OnDisk))
    OnDisk.read = []
    return tuple(arrays)


def test_mapped_arrays_are_read_slice_by_slice(mapped):
    """The surface of the arrays in memory; no more rows at a time than a batch."""
    found = surface(mapped, batch_size=5)
    assert found.attrs["batch_size"] == 5
    assert OnDisk.read[:10] == [5] * 8 + [3] * 2
    assert_close(found.risk, expected(), eps=16, scale=0.1)
    given = objective(mapped)
    assert all(isinstance(leaf, np.memmap) for leaf in given.data)
    assert_close(given.risk(PARAMS), np.asarray(objective().risk(PARAMS)), eps=8)
    assert_close(given.gradient(PARAMS), jax.tree.map(np.asarray, objective().gradient(PARAMS)), eps=16, scale=0.1)
    assert given.id == objective().id  # few rows: the fingerprint is of all of them


def test_the_risk_of_mapped_data_is_read_in_parts(tmp_path):
    """objective.risk holds 16 MB of them at a time."""
    np.save(tmp_path / "x.npy", np.ones((12, 2**19), np.float32))  # 24 MiB
    rows = np.load(tmp_path / "x.npy", mmap_mode="r").view(OnDisk)
    given = ls.Objective(lambda p, x: p["w"] * x[:, 0], rows, params={"w": 1.0})
    OnDisk.read = []
    assert float(given.risk({"w": 3.0})) == 3.0
    assert OnDisk.read == [8, 4] and given.n == 12


class Rows:
    """Another library's array on disk, 100 rows of 2 KiB, of which it counts those that are read."""

    shape, dtype = (100_000, 512), np.dtype(np.float32)

    def __init__(self, value: float = 0.0) -> None:
        self.value, self.rows = value, 0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice) -> np.ndarray:
        count = len(range(*index.indices(len(self))))
        self.rows += count
        return np.full((count, 512), self.value, np.float32)


def test_the_fingerprint_of_what_is_on_disk_reads_samples(tmp_path):
    """At most 1024 blocks of a page or a row, of 64 KiB of it; of whatever kind of array."""

    def digest(array: Any) -> str:
        found = hashlib.blake2b(digest_size=8)
        _data.fingerprint(found, array)
        return found.hexdigest()

    rows = Rows()
    assert digest(rows) == digest(Rows()) != digest(Rows(1.0))
    assert rows.rows == 2048
    path = tmp_path / "labels.dat"
    labels = np.memmap(path, np.int32, "w+", shape=(2**21,)).view(OnDisk)  # 8 MiB, of which 4 are read
    OnDisk.read = []
    before = digest(labels)
    assert OnDisk.read == [1024] * 1024
    labels[-1] = 1
    assert digest(labels) != before
    wide = np.memmap(tmp_path / "wide.dat", np.uint8, "w+", shape=(3, 2**20))
    few = digest(wide)
    wide[1, 2**16 :] = 1
    assert digest(wide) == few
    wide[1, 0] = 1
    assert digest(wide) != few
    order = np.memmap(tmp_path / "order.dat", np.float32, "w+", shape=(5, 7), order="F")
    order[:] = np.arange(35).reshape(5, 7)
    assert digest(order) == digest(np.asarray(order))


class Tensor:
    """An array of another library in memory, whose dtype NumPy does not know, as those of PyTorch."""

    dtype = SimpleNamespace(itemsize=4)  # has no `kind`

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape = array, array.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.array[index]


def test_tensors_are_read_as_arrays():
    tensors = Tensor(X), Tensor(Y)
    assert objective(tensors).id == objective().id
    np.testing.assert_array_equal(surface(tensors).risk, surface((X, Y)).risk)


def test_another_librarys_arrays_are_read_batch_by_batch():
    """Whatever has a shape, a dtype and slices: zarr, h5py."""
    rows = Rows(2.0)
    given = ls.Objective(lambda p, x: p["w"] * x[:, 0], rows, params={"w": 1.0})
    assert rows.rows == 0
    found = ls.evaluate(given, ls.axes_plane(given.params, "w"), {"w": [1.0, 3.0]}, batch_size=50_000)
    assert found.risk.values.tolist() == [2.0, 6.0]
    assert rows.rows == 100_000 + 2048  # one pass, and the fingerprint's samples
