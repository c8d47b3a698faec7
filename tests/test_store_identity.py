"""What makes two problems the same: what is computed, however it prints; and settings of JAX that matter."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from tests.stored import AXES, PAIR, PLANE, chunks, surface

HALVES = [{"w": True, "b": False}, {"w": False, "b": True}]


def test_masks_are_part_of_a_penalty(tmp_path):
    """They print alike."""
    one, other = ({"half": ls.l2(0.1, scope=mask)} for mask in HALVES)
    surface(penalties=one, store=tmp_path / "s.zarr")
    with pytest.raises(ValueError, match="holds another problem; penalties differ"):
        surface(penalties=other, store=tmp_path / "s.zarr")
    points = [PAIR.params, PAIR.params]
    ls.trajectory(PAIR.with_penalty(one["half"]), points, store=tmp_path / "t.zarr")
    with pytest.raises(ValueError, match="holds another problem; penalty differ"):
        ls.trajectory(PAIR.with_penalty(other["half"]), points, store=tmp_path / "t.zarr")


def circle(point: Any, seen: Any) -> Any:
    """A chart of one's own kind."""

    @ls.register_chart(data=("radius",), static=("names",))
    @dataclass(frozen=True)
    class Circle:
        radius: Any
        names: tuple[str, ...] = ("turn",)

        def point(self, coordinates):
            return {"w": self.radius * point(coordinates[0]), "b": self.radius * jnp.sin(coordinates[0])}

        def coordinates(self, params):
            return seen(params["w"])[None], params["b"]

    return Circle(jnp.float32(2.0))


def test_the_code_of_a_chart_is_part_of_it(tmp_path):
    """Of `point` where surfaces are measured on it, and of `coordinates` where runs are recorded on it."""
    first, edited = circle(jnp.cos, jnp.tanh), circle(jnp.tanh, jnp.sin)
    ls.evaluate(PAIR, first, {"turn": [0.0, 1.0]}, store=tmp_path / "s.zarr")
    with pytest.raises(ValueError, match="holds another problem; chart differ"):
        ls.evaluate(PAIR, edited, {"turn": [0.0, 1.0]}, store=tmp_path / "s.zarr")
    sgd = optax.sgd(0.1)
    ls.descend(PAIR, sgd, PAIR.params, 3, record=first, store=tmp_path / "d.zarr")
    with pytest.raises(ValueError, match="holds another problem; record differ"):
        ls.descend(PAIR, sgd, PAIR.params, 3, record=edited, store=tmp_path / "d.zarr")


def test_the_names_of_quantities_are_part_of_them(tmp_path):
    """They are what the variables are called."""

    def size(params, batch):
        return jnp.abs(params["w"] * batch[0])

    surface(quantities=(ls.Metric("one", size),), store=tmp_path / "s.zarr")
    with pytest.raises(
        ValueError, match=r"holds another problem; quantities differ \(quantities: one .* here, two|two"
    ):
        surface(quantities=(ls.Metric("two", size),), store=tmp_path / "s.zarr")


def test_the_dimensions_of_runs_are_part_of_them(tmp_path):
    """One start in a row of starts is a dimension; so is one penalty under a label."""
    sgd, row = optax.sgd(0.1), jax.tree.map(lambda leaf: leaf[None], PAIR.params)
    ls.descend(PAIR, sgd, PAIR.params, 3, store=tmp_path / "d.zarr")
    with pytest.raises(ValueError, match="holds another problem; dimensions differ"):
        ls.descend(PAIR, sgd, row, 3, store=tmp_path / "d.zarr")
    with pytest.raises(ValueError, match="holds another problem; dimensions, penalties differ"):
        ls.descend(PAIR, sgd, PAIR.params, 3, penalties={"a": ls.none()}, store=tmp_path / "d.zarr")


def noisy(params, batch):
    """Losses with noise of a fixed key."""
    return params["w"] * batch + jax.random.normal(jax.random.key(0), batch.shape)


def test_settings_of_random_numbers_are_part_of_a_problem(tmp_path):
    """Another stream from the same key is another problem."""
    data = np.arange(5, dtype=np.float32)
    objective = ls.Objective(noisy, data, params={"w": 1.0})
    plane = ls.axes_plane(objective.params, "w")
    ls.evaluate(objective, plane, {"w": [0.0, 1.0]}, store=tmp_path / "s.zarr")
    with jax.threefry_partitionable(False):
        again = ls.Objective(noisy, data, params={"w": 1.0})
        with pytest.raises(ValueError, match=r"holds another problem; .*random numbers.* differ"):
            ls.evaluate(again, plane, {"w": [0.0, 1.0]}, store=tmp_path / "s.zarr")


@pytest.mark.usefixtures("small_tiles")
def test_a_surface_with_splits_can_be_read_from_any_tile_on(tmp_path):
    """Variables without the data are those of the first split's tiles."""
    data = {"one": PAIR.data, "two": PAIR.data}
    ls.evaluate(PAIR, PLANE, AXES, data=data, store=tmp_path / "s.zarr")
    for record in sorted((tmp_path / "s.zarr/landscape/complete").glob("*.json"))[:-1]:
        record.unlink()
    part = ls.open_surface(tmp_path / "s.zarr")
    assert part.attrs["tiles_complete"] == 1 and part.computed.dims == ("split", "w", "b")
    assert np.isfinite(part.risk).sum() == part.computed.sum()
    assert part.penalty_value.dims == ("w", "b")


def test_large_results_are_saved_in_chunks(tmp_path, monkeypatch):
    """Which memory is needed for follows from the chunk, not from the result; what comes back is the same."""
    whole = surface(penalties={"a": ls.none(), "b": ls.l1(0.1)})
    monkeypatch.setattr("landscape.surfaces.io.CHUNK", 100)
    ls.save(whole, tmp_path / "s.zarr")
    assert len([name for name in chunks(tmp_path / "s.zarr") if name.startswith("risk/")]) == 4
    assert ls.open_surface(tmp_path / "s.zarr").identical(whole)
    run = ls.descend(PAIR, optax.sgd(0.1), {"w": np.arange(5.0), "b": np.zeros(5)}, 7)
    ls.save(run, tmp_path / "t.zarr")
    back = ls.open_trajectory(tmp_path / "t.zarr")
    assert back.data.identical(run.data) and np.array_equal(back.params["w"], run.params["w"])
