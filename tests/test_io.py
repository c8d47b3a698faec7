"""Results on disk: identical when reopened, damage detected, nothing overwritten, nothing half-written."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

import landscape as ls
from landscape.surfaces.io import kind_of
from tests import problems

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
AXES = {"w": np.linspace(-1, 1, 5), "b": np.array([0.5, 3.0, -2.0])}
SGD = optax.sgd(0.1)  # kept: optimizers are matched by identity


def surface(**options):
    """A surface with every built-in quantity."""
    every = ("risk_stderr", "gradient_norm", "slope")
    return ls.evaluate(PAIR, PLANE, AXES, quantities=every, **options)


def trajectory(objective=PAIR, **options):
    """Three runs of four steps."""
    starts = jax.tree.map(lambda p: jnp.stack([p, p + 1, p - 2]), objective.params)
    return ls.descend(objective, SGD, starts, 4, **options)


def assert_same(a: xr.Dataset, b: xr.Dataset) -> None:
    """Equal bits, dtypes, dimensions and attributes, of every variable and of the whole."""
    xr.testing.assert_identical(a, b)
    assert {name: a[name].dtype for name in a.variables} == {name: b[name].dtype for name in b.variables}
    assert list(a.dims) == list(b.dims)


@pytest.mark.parametrize("sweep", [None, {"λ=0.1": ls.l2(0.1), "ℓ₁": ls.l1(0.3)}])
def test_a_surface_comes_back_identical(tmp_path, sweep):
    """Labels in any alphabet, booleans, attributes and all."""
    before = surface(penalties=sweep)
    ls.save(before, tmp_path / "s.zarr")
    after = ls.open_surface(tmp_path / "s.zarr")
    assert_same(after, before)
    assert kind_of(tmp_path / "s.zarr") == "surface"
    assert ls.minimum(after).equals(ls.minimum(before))


def test_numbers_that_are_not_finite_come_back(tmp_path):
    """NaN, ±∞ and −0 are results too; a variable of NaN alone is one."""
    objective = ls.function(lambda p: jnp.log(p["u"]), {"u": 1.0})
    before = ls.evaluate(
        objective, ls.axes_plane(objective.params, "u"), {"u": [-1.0, 0.0, 1.0]}, quantities=("risk_stderr",)
    )
    assert np.isnan(before.risk_stderr).all()
    ls.save(before, str(tmp_path / "s.zarr"))
    assert_same(ls.open_surface(str(tmp_path / "s.zarr")), before)


def test_float64_comes_back(tmp_path, x64):
    """Every digit."""
    pair = ls.neuron(*ls.datasets.pair())
    before = ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), AXES)
    assert before.risk.dtype == np.float64
    ls.save(before, tmp_path / "s.zarr")
    assert_same(ls.open_surface(tmp_path / "s.zarr"), before)


@pytest.mark.parametrize(
    "options",
    [{}, {"penalties": {"a": ls.l1(0.1), "b": ls.l2(0.1)}}, {"record": PLANE, "record_every": 3}],
    ids=["one penalty", "two", "coordinates on a chart"],
)
def test_a_trajectory_comes_back_identical(tmp_path, options):
    """Params with their tree, or coordinates alone, and the data set."""
    before = trajectory(**options)
    ls.save(before, tmp_path / "t.zarr")
    after = ls.open_trajectory(tmp_path / "t.zarr")
    assert_same(after.data, before.data)
    assert kind_of(tmp_path / "t.zarr") == "trajectory"
    if "record" in options:
        assert after.params is None
    else:
        assert jax.tree.structure(after.params) == jax.tree.structure(before.params)
        assert jax.tree.all(jax.tree.map(np.array_equal, after.params, before.params))
    assert_same(after.on(PLANE), before.on(PLANE))


def test_a_trajectory_of_nested_params_comes_back(tmp_path):
    """Matrices and vectors under their paths."""
    before = trajectory(problems.network(0))
    ls.save(before, tmp_path / "t.zarr")
    after = ls.open_trajectory(tmp_path / "t.zarr")
    assert after.params["hidden"]["kernel"].shape == (3, 5, 3, 4)
    assert jax.tree.structure(after.params) == jax.tree.structure(before.params)
    assert jax.tree.all(jax.tree.map(np.array_equal, after.params, before.params))


def test_a_trajectory_of_vector_params_comes_back(tmp_path):
    """A bare array has the empty path."""
    bowl = ls.function(lambda p: jnp.sum(p**2), jnp.ones(3))
    before = ls.descend(bowl, SGD, jnp.ones(3), 2)
    ls.save(before, tmp_path / "t.zarr")
    assert np.array_equal(ls.open_trajectory(tmp_path / "t.zarr").params, before.params)


def test_xarray_reads_it_too(tmp_path):
    """Without this package; the labels are JSON in an attribute."""
    before = surface(penalties={"λ=0.1": ls.l2(0.1)})
    ls.save(before, tmp_path / "s.zarr")
    after = xr.open_zarr(tmp_path / "s.zarr", chunks=None)
    assert np.array_equal(after.risk, before.risk)
    assert json.loads(after.attrs["labels"]) == {"penalty": ["λ=0.1"], "coordinate": ["w", "b"]}


def test_every_flipped_byte_is_detected(tmp_path):
    """In each chunk of each variable: the error names the variable. zarr alone would read it silently."""
    ls.save(surface(), tmp_path / "s.zarr")
    chunks = [path for path in (tmp_path / "s.zarr").rglob("c/**/*") if path.is_file()]
    chunks += [path for path in (tmp_path / "s.zarr").glob("*/c") if path.is_file()]  # scalars
    names = {path.relative_to(tmp_path / "s.zarr").parts[0] for path in chunks}
    assert {"risk", "finite", "w", "b", "slope", "objective"} <= names
    for path in chunks:
        intact = path.read_bytes()
        for position in {0, len(intact) // 2, len(intact) - 1}:
            broken = bytearray(intact)
            broken[position] ^= 0x10
            path.write_bytes(bytes(broken))
            name = path.relative_to(tmp_path / "s.zarr").parts[0]
            with pytest.raises(ValueError, match=f"'{tmp_path / 's.zarr'}' is damaged: '{name}' cannot be read"):
                ls.open_surface(tmp_path / "s.zarr")
        path.write_bytes(intact)
    ls.open_surface(tmp_path / "s.zarr")


def test_a_missing_chunk_is_detected(tmp_path):
    """zarr reads it as the fill value without a word."""
    ls.save(surface(), tmp_path / "s.zarr")
    for name in ("risk", "finite", "w"):
        (chunk,) = (path for path in (tmp_path / "s.zarr" / name / "c").rglob("*") if path.is_file())
        intact = chunk.read_bytes()
        chunk.unlink()
        with pytest.raises(ValueError, match=f"is damaged: '{name}' cannot be read"):
            ls.open_surface(tmp_path / "s.zarr")
        chunk.write_bytes(intact)


@pytest.mark.parametrize("kind", ["file", "folder", "store"])
def test_nothing_is_overwritten(tmp_path, kind):
    """Whatever is there stays as it is."""
    target = tmp_path / "s.zarr"
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    else:
        ls.save(surface(), target)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match="exists; results are never overwritten: choose another name"):
        ls.save(surface(penalties={"a": ls.l2(1.0)}), target)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    if kind == "file":
        assert target.read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("last", ["zarr.json", "landscape/complete/0.json"])
def test_an_interrupted_save_leaves_nothing(tmp_path, monkeypatch, error, last):
    """Neither the store nor its parts, whenever the interruption comes."""
    before, real = surface(), os.replace

    def interrupted(path, target):
        assert any(tmp_path.rglob("*")), "on the way"
        if str(target).endswith(last):
            raise error
        real(path, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(error):
        ls.save(before, tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_somebody_who_saves_at_the_same_time_is_not_overwritten(tmp_path, monkeypatch):
    """Whoever is first has the name."""
    mine, theirs, real = surface(), surface(penalties={"a": ls.l2(1.0)}), os.rename

    def late(path, target):
        monkeypatch.setattr(os, "rename", real)
        ls.save(theirs, tmp_path / "s.zarr")
        real(path, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(FileExistsError, match="has just been written by somebody else; choose another name"):
        ls.save(mine, tmp_path / "s.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["s.zarr"]
    assert_same(ls.open_surface(tmp_path / "s.zarr"), theirs)


def test_what_cannot_be_opened_says_so(tmp_path):
    """Nothing there, not a store, another kind of result."""
    with pytest.raises(FileNotFoundError, match=r"nowhere.zarr' does not exist"):
        ls.open_surface(tmp_path / "nowhere.zarr")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "folder").mkdir()
    for name in ("text", "folder"):
        with pytest.raises(
            ValueError, match=f"{name}' is no store: results are folders that `ls.save`, `store=` or -o wrote"
        ):
            ls.open_surface(tmp_path / name)
    ls.save(trajectory(), tmp_path / "t.zarr")
    with pytest.raises(ValueError, match=r"t.zarr' holds a trajectory, not a surface: open it with ls.open_trajectory"):
        ls.open_surface(tmp_path / "t.zarr")
    ls.save(surface(), tmp_path / "s.zarr")
    with pytest.raises(ValueError, match=r"s.zarr' holds a surface, not a trajectory: open it with ls.open_surface"):
        ls.open_trajectory(tmp_path / "s.zarr")
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "other.zarr", consolidated=False)
    with pytest.raises(ValueError, match=r"other.zarr' holds no result of this package"):
        ls.open_surface(tmp_path / "other.zarr")


def test_what_cannot_be_saved_says_so(tmp_path):
    """And leaves nothing."""
    with pytest.raises(
        TypeError, match=r"`result` is a dict; save a surface \(ls.evaluate\), an interpolant \(ls.interpolate\) or"
    ):
        ls.save({"risk": 1.0}, tmp_path / "s.zarr")
    listed = ls.function(lambda p: p[0] ** 2, [1.0])
    with pytest.raises(ValueError, match="`result` has params that are no nested dictionaries"):
        ls.save(ls.descend(listed, SGD, [1.0], 1), tmp_path / "t.zarr")
    assert list(tmp_path.iterdir()) == []


def test_frozen_leaves_come_back(tmp_path):
    """Booleans, integers and random keys of a trajectory's params, with their dtypes."""
    objective = problems.masked()
    run = ls.trajectory(objective, [objective.params] * 2)
    ls.save(run, tmp_path / "run.zarr")
    params = ls.open_trajectory(tmp_path / "run.zarr").params
    for name in ("on", "scale", "w"):
        assert params[name].dtype == run.params[name].dtype and np.array_equal(params[name], run.params[name])
    assert (params["key"] == run.params["key"]).all() and params["key"].dtype == run.params["key"].dtype
