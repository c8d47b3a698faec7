"""Surfaces in stores: as those in memory, gone on with where they stopped, shared by processes, never mixed up."""

import json
import os
import re
import socket
import threading
import time
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

import landscape as ls
from landscape.tiles import leases, stopping
from landscape.tiles.store import Store
from tests.stored import AXES, PAIR, PLANE, TILES, beside, chunks, complete, stopped, surface

pytestmark = pytest.mark.usefixtures("small_tiles")

X, Y = (np.asarray(column, np.float32) for column in ls.datasets.pair())
OWN = {"cells_in_flight", "tile_shape", "wall_seconds"}  # attributes in which a store may differ


def distance(params: Any, batch: Any) -> Any:
    """How far the neuron is off, in bfloat16."""
    x, y = batch
    return jnp.abs(params["w"] * x + params["b"] - y).astype(jnp.bfloat16)


class Norms:
    """A quantity in bfloat16, with a dimension of its own."""

    def accumulate(self, point: Any, batch: Any) -> Any:
        return jnp.zeros(())

    def merge(self, a: Any, b: Any) -> Any:
        return a

    def finish(self, point: Any, sums: Any, sweep: Any) -> dict[str, Any]:
        return {"norms": jnp.abs(point.coordinates).astype(jnp.bfloat16)}


NORMS = Norms()


@pytest.mark.parametrize(
    "options",
    [
        {"quantities": ("risk_stderr", "gradient_norm", "slope", "plane_hessian", "accuracy")},
        {"penalties": {"λ=0.1": ls.l2(0.1), "ℓ₁": ls.l1(0.3)}, "quantities": ("gradient_norm",)},
        {"data": {"train": (X, Y), "test": (X[:1], Y[:1])}},
        {"data": {"train": (X, Y), "test": (X[:1], Y[:1])}, "penalties": {"a": ls.l2(0.1)}},
        {"quantities": (ls.Metric("distance", distance), NORMS)},
        {"batch_size": 1, "quantities": ("risk_stderr", "slope")},
    ],
    ids=["quantities", "sweep", "splits", "splits and a sweep", "one's own in bfloat16", "batches"],
)
def test_a_surface_in_a_store_is_the_one_in_memory(tmp_path, options):
    """Variables, dtypes, dimensions and attributes; returned, opened, and read by xarray alone, which writes netCDF."""
    memory, kept = surface(**options), surface(**options, store=tmp_path / "s.zarr")
    assert len(complete(tmp_path / "s.zarr")) >= TILES * len(options.get("data", "1"))
    xr.testing.assert_allclose(kept.astype(float), memory.astype(float), rtol=1e-6)
    assert {name: (v.dims, v.dtype, v.attrs) for name, v in kept.variables.items()} == {
        name: (v.dims, v.dtype, v.attrs) for name, v in memory.variables.items()
    }
    assert list(kept.variables) == list(memory.variables) and list(kept.sizes) == list(memory.sizes)
    assert {k: v for k, v in kept.attrs.items() if k not in OWN} == {
        k: v for k, v in memory.attrs.items() if k not in OWN
    }
    opened = ls.open_surface(tmp_path / "s.zarr")
    assert opened.attrs == kept.attrs and list(opened.variables) == list(kept.variables)
    assert all(opened[name].values.tobytes() == kept[name].values.tobytes() for name in kept.data_vars)
    alone = xr.open_zarr(tmp_path / "s.zarr", chunks=None)
    for name, variable in kept.data_vars.items():
        assert np.array_equal(alone[name], variable.astype(alone[name].dtype)), name
    alone.to_netcdf(tmp_path / "s.nc", engine="scipy")
    assert xr.open_dataset(tmp_path / "s.nc", engine="scipy").risk.equals(alone.risk)


def test_a_bfloat16_variable_is_stored_as_float32(tmp_path):
    """zarr has no type for it; it comes back as it was."""
    kept = surface(quantities=(NORMS,), store=tmp_path / "s.zarr")
    assert kept.norms.dtype == jnp.bfloat16 == ls.open_surface(tmp_path / "s.zarr").norms.dtype
    assert xr.open_zarr(tmp_path / "s.zarr").norms.dtype == np.float32


@pytest.mark.parametrize(("error", "after"), [(KeyboardInterrupt, 3), (ValueError, 0), (OSError, 7)])
def test_the_same_call_goes_on(tmp_path, puts, error, after):
    """It computes what is missing and nothing else; the bytes are those of a run that was not interrupted."""
    whole = surface(store=tmp_path / "whole.zarr")
    puts.stop_after(after, error)
    with pytest.raises(error, match="stopped here"):
        surface(store=tmp_path / "s.zarr")
    assert complete(tmp_path / "s.zarr") == set(range(after))
    puts.stop_after(99)
    again = surface(store=tmp_path / "s.zarr")
    assert puts.tiles == list(range(after, TILES))
    xr.testing.assert_equal(again, whole)
    assert chunks(tmp_path / "s.zarr") == chunks(tmp_path / "whole.zarr")
    assert beside(tmp_path / "s.zarr") == set()


def test_an_error_of_the_disk_says_what_is_safe(tmp_path, puts, monkeypatch):
    """And what to do."""
    stopped(tmp_path / "s.zarr", puts)

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("landscape.tiles.local._write_through", full)
    message = r"No space left on device \(3 of 8 tiles are safe; mend that and repeat the call to go on\): .*s.zarr"
    with pytest.raises(OSError, match=message):
        surface(store=tmp_path / "s.zarr")


def test_a_complete_store_returns_at_once(tmp_path, compilations, puts):
    """Nothing is compiled, computed or written."""
    before = surface(store=tmp_path / "s.zarr")
    there = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    puts.stop_after(0)
    jax.clear_caches()
    with compilations() as tally:
        xr.testing.assert_identical(surface(store=tmp_path / "s.zarr"), before)
    assert tally.count == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == there


def test_a_store_that_grows_can_be_read(tmp_path, puts):
    """By this package, which says which cells are computed, and by xarray, which reads NaN where they are not."""
    whole = surface()
    puts.stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        surface(store=tmp_path / "s.zarr")
    part = ls.open_surface(tmp_path / "s.zarr")
    assert (part.attrs["tiles"], part.attrs["tiles_complete"]) == (8, 3)
    assert part.computed.dims == ("w", "b") and part.computed.sum() == 6 + 4 + 6  # the second is cut by the edge
    assert part.computed.attrs["long_name"] == "tile complete"
    np.testing.assert_array_equal(part.risk, whole.risk.where(part.computed))
    np.testing.assert_array_equal(part.slope, whole.slope.where(part.computed))
    assert part.finite.dtype == bool and part.finite.equals(part.computed)
    alone = xr.open_zarr(tmp_path / "s.zarr", chunks=None)
    np.testing.assert_array_equal(alone.risk, part.risk)
    puts.stop_after(99)
    done = surface(store=tmp_path / "s.zarr")
    assert "computed" not in done and "tiles" not in done.attrs


# ---- whose problem it is


def edited(params: Any, batch: Any) -> Any:
    """A loss of one's own; below there is another of its name."""
    x, y = batch
    return (params["w"] * x + params["b"] - y) ** 2


first_edition = edited


def edited(params: Any, batch: Any) -> Any:
    """The same, edited."""
    x, y = batch
    return (params["w"] * x + params["b"] - y) ** 4


def own(losses: Any = first_edition, data: Any = (X, Y), **options: Any) -> ls.Objective:
    frozen = options.pop("frozen", 3)
    return ls.Objective(losses, data, params={"w": 0.0, "b": 0.0, "steps": np.asarray(frozen)}, **options)


def measured(path: Any, objective: ls.Objective, chart: Any = None, axes: Any = AXES, **options: Any) -> Any:
    chart = ls.axes_plane(objective.params, "w", "b") if chart is None else chart(objective.params)
    return ls.evaluate(objective, chart, axes, store=path, **options)


def tilted(params: Any) -> ls.Plane:
    """Another plane with the same names."""
    directions = ({"w": 1.0, "b": 1.0, "steps": None}, {"w": 0.0, "b": 1.0, "steps": None})
    return ls.Plane(params, directions, names=("w", "b"))


@pytest.mark.parametrize(
    ("differ", "objective", "options"),
    [
        ("losses", {"losses": edited}, {}),
        ("frozen params, chart", {"frozen": 4}, {}),
        ("data", {"data": (X, Y + 0.25)}, {}),
        ("data", {"data_id": "the pair"}, {}),
        ("reduction", {"reduction": "sum"}, {}),
        ("data, splits", {}, {"data": {"one": (X, Y), "two": (X, Y)}}),
        ("chart", {}, {"chart": tilted}),
        ("axes", {}, {"axes": AXES | {"b": np.linspace(-2, 2, 6)}}),
        ("axes", {}, {"axes": AXES | {"b": np.linspace(-2, 2.5, 5)}}),
        ("axes", {}, {"axes": {"b": AXES["b"], "w": AXES["w"]}}),
        ("quantities", {}, {"quantities": ("slope", "risk_stderr")}),
        ("quantities", {}, {"quantities": (ls.Metric("loss", first_edition),)}),
        ("penalties", {"penalty": ls.l2(0.1)}, {}),
        ("penalties", {}, {"penalties": {"λ=0": ls.none()}}),
        ("precision", {}, {"precision": "high"}),
        ("batch_size", {}, {"batch_size": 1}),
    ],
)
def test_another_problem_is_refused(tmp_path, differ, objective, options):
    """With what differs, by name; nothing is touched."""
    measured(tmp_path / "s.zarr", own())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(ValueError, match="holds another problem; ") as refused:
        measured(tmp_path / "s.zarr", own(**objective), **options)
    assert f"s.zarr' holds another problem; {differ} differ (" in str(refused.value)
    assert f"{differ.split(',')[0]}: " in str(refused.value).split("differ (")[1]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    measured(tmp_path / "s.zarr", own())  # made anew, it is the same


def test_another_dtype_is_refused(tmp_path):
    """float64 where float32 was computed."""
    surface(store=tmp_path / "s.zarr")
    with jax.enable_x64(True):
        pair = ls.neuron(*ls.datasets.pair())
        with pytest.raises(
            ValueError, match=r"another problem; .*dtype.* differ \(.*dtype: float32 there, float64 here"
        ):
            ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), AXES, store=tmp_path / "s.zarr")


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_another_kind_of_result_is_refused(tmp_path):
    """A trajectory, and a surface that was saved whole, whose problem nobody wrote down."""
    ls.descend(PAIR, optax.sgd(0.1), PAIR.params, 3, store=tmp_path / "t.zarr")
    with pytest.raises(ValueError, match=r"another problem; .*kind.* differ \(.*kind: trajectory there, surface here"):
        surface(store=tmp_path / "t.zarr")
    ls.save(surface(), tmp_path / "saved.zarr")
    with pytest.raises(ValueError, match=r"saved.zarr' was saved as a whole; there is nothing to go on with"):
        surface(store=tmp_path / "saved.zarr")


def test_other_versions_are_warned_of(tmp_path, puts):
    """Bits of new tiles may differ, the problem does not; nothing is new in a complete store."""
    stopped(tmp_path / "s.zarr", puts)
    manifest = tmp_path / "s.zarr" / "zarr.json"
    manifest.write_text(re.sub(r'(\\"JAX\\": \\")[^"\\]*', r"\g<1>0.0.1", manifest.read_text()))
    message = rf"was begun with JAX 0.0.1 there, {jax.__version__} here: numbers of new tiles may differ"
    with pytest.warns(UserWarning, match=message):
        before = surface(store=tmp_path / "s.zarr")
    xr.testing.assert_identical(surface(store=tmp_path / "s.zarr"), before)
    with pytest.raises(ValueError, match=r"axes differ .* \(Fingerprints of programs may change with versions: JAX 0"):
        ls.evaluate(PAIR, PLANE, {"w": [0.0], "b": [0.0]}, quantities=("slope",), store=tmp_path / "s.zarr")


# ---- several writers


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_shard_s_own_tiles_come_first(tmp_path, puts, index):
    """Then those that nobody has done: a process alone completes the store."""
    whole = surface(store=tmp_path / "whole.zarr", shard=(0, 3))
    puts.stop_after(99)
    xr.testing.assert_equal(surface(store=tmp_path / "s.zarr", shard=(index, 3)), whole)
    share = range(index, len(complete(tmp_path / "whole.zarr")), 3)
    assert puts.tiles[: len(share)] == list(share)
    assert chunks(tmp_path / "s.zarr") == chunks(tmp_path / "whole.zarr")


def test_writers_at_the_same_time(tmp_path, puts):
    """Each has the whole surface in the end, and hardly a tile is computed twice."""
    surfaces: dict[int, xr.Dataset] = {}

    def fill(i: int) -> None:
        with jax.numpy_rank_promotion("raise"):
            surfaces[i] = surface(store=tmp_path / "s.zarr", shard=(i, 3))

    threads = [threading.Thread(target=fill, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = surface(store=tmp_path / "whole.zarr", shard=(0, 3))
    assert len(surfaces) == 3 and all(one.equals(whole) for one in surfaces.values())
    assert chunks(tmp_path / "s.zarr") == chunks(tmp_path / "whole.zarr")
    assert {path.name for path in tmp_path.iterdir()} == {"s.zarr", "whole.zarr"} and beside(
        tmp_path / "s.zarr"
    ) == set()


def lease(path, **said):
    """As another process on this machine would write it."""
    name = path / leases.WRITERS / f"{said.get('shard', 0)}-of-{said.get('of', 1)}.json"
    now = {"pid": os.getppid(), "host": socket.gethostname(), "since": time.time(), "seen": time.time()}
    name.parent.mkdir(parents=True, exist_ok=True)
    name.write_text(json.dumps({"shard": 0, "of": 1, **now, **said}))


def test_a_second_writer_of_a_shard_is_warned(tmp_path, puts):
    """Its numbers are right all the same."""
    stopped(tmp_path / "s.zarr", puts)
    lease(tmp_path / "s.zarr")
    who = rf"process {os.getppid()} on .* is writing shard 0 of 1 of .*s.zarr' too; nothing is lost, but work is done"
    with pytest.warns(UserWarning, match=who):
        again = surface(store=tmp_path / "s.zarr")
    xr.testing.assert_equal(again, surface())
    assert beside(tmp_path / "s.zarr") == set(), "the lease was taken over"


@pytest.mark.parametrize(
    "said", [{"pid": 2**22 + 1}, {"seen": 0.0, "host": "elsewhere"}, {"shard": 1, "of": 2}, {"pid": "?"}]
)
def test_who_is_gone_or_has_another_shard_is_no_second_writer(tmp_path, puts, said):
    """A process that died, one not heard of, another shard, and what is no lease."""
    stopped(tmp_path / "s.zarr", puts)
    lease(tmp_path / "s.zarr", **said)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.testing.assert_equal(surface(store=tmp_path / "s.zarr"), surface())


def test_the_lease_is_held_while_tiles_are_computed(tmp_path, monkeypatch):
    """With signs of life, and given back."""
    monkeypatch.setattr(leases, "BEAT", 0.01)
    seen, real = set(), Store.put

    def put(store, tile, *rest):
        time.sleep(0.05)
        (writer,) = leases.writers(store.files)
        assert writer.shard == (0, 1) and writer.pid == os.getpid() and writer.alive
        seen.add(writer.seen)
        real(store, tile, *rest)

    monkeypatch.setattr(Store, "put", put)
    surface(store=tmp_path / "s.zarr")
    assert len(seen) > 1 and not any((tmp_path / "s.zarr" / leases.WRITERS).iterdir())


def test_a_request_to_stop_that_came_before_the_run_counts(tmp_path):
    """The exception that a signal raises is lost where it comes in the middle of a callback; the request is not."""
    assert not stopping.ask(15)
    with pytest.raises(stopping.Stopped, match="15"):
        surface(store=tmp_path / "s.zarr")
    assert complete(tmp_path / "s.zarr") == set()
    assert not stopping.ask(2)
    with pytest.raises(stopping.Stopped, match="2"):
        surface()
    stopping.forget()
    assert surface(store=tmp_path / "s.zarr").equals(surface(store=tmp_path / "whole.zarr"))
