"""`explain` says what `evaluate` then does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.surfaces import _cells

X = np.linspace(-1, 1, 40 * 64, dtype=np.float32).reshape(40, 64)
AXES = {"alpha": np.linspace(-1, 1, 5), "beta": np.linspace(-1, 1, 4)}


def losses(params, x):
    """A layer of 96 units, wide enough that hoisting its product pays."""
    return jnp.sum(jnp.tanh(x @ params["w"]), axis=1)


def plane_and_objective(dtype=jnp.float32, **options):
    """64 inputs, 96 units, two random directions."""
    params = {"w": jax.random.normal(jax.random.key(0), (64, 96)).astype(dtype)}
    plane = ls.Plane(params, ls.random_directions(jax.random.key(1), params, 2))
    return plane, ls.Objective(options.pop("losses", losses), options.pop("data", X), params=params, **options)


def test_an_explanation_agrees_with_the_surface():
    plane, objective = plane_and_objective()
    explained = ls.explain(objective, plane, AXES)
    surface = ls.evaluate(objective, plane, AXES)
    assert explained.cells == 20 and explained.passes == 1 and explained.seconds > 0
    assert list(explained.tile_shape) == surface.attrs["tile_shape"]
    assert explained.cells_in_flight == surface.attrs["cells_in_flight"]
    assert explained.batch_size == surface.attrs["batch_size"]
    assert bool(explained.hoisted) == surface.attrs["hoisted"]
    # x·W is 2·64 operations an entry of (40, 96); putting it together is 4, and a tanh and a sum remain.
    assert explained.operations >= 2 * 64 * 40 * 96 > 10 * explained.operations_left
    assert explained.hoisted == ("3× float32[40, 96]",) and explained.advice == ()
    assert "hoisted: 3× float32[40, 96]" in str(explained) and "passes over the data: 1" in str(explained)


def test_cheaper_routes_are_named():
    narrow = plane_and_objective(jnp.bfloat16, losses=lambda p, x: losses({"w": p["w"].astype(jnp.float32)}, x))
    assert "as float32 their products can be hoisted" in ls.explain(narrow[1], narrow[0], AXES).advice[0]
    plane, objective = plane_and_objective()
    asked = ls.explain(objective, plane, AXES, quantities=("gradient_norm",))
    assert any('costs more than "slope", that in the chart' in advice for advice in asked.advice)
    pair = ls.neuron(*ls.datasets.pair())
    polar = ls.Polar(ls.axes_plane(pair.params, "w", "b"))
    assert "is not affine" in ls.explain(pair, polar, {"log_scale": [0.0], "angle": [0.0, 1.0]}).advice[0]


def test_it_refuses_what_evaluate_refuses():
    plane, objective = plane_and_objective()
    with pytest.raises(ValueError, match="`axes` must name the chart's coordinates"):
        ls.explain(objective, plane, {"alpha": [0.0]})


def test_data_that_come_in_batches_are_counted_first():
    """Minutes are not known before; operations are those of a batch."""
    plane, objective = plane_and_objective(data=ls.Batches([X[:16], X[16:32], X[32:]]))
    before = ls.explain(objective, plane, AXES)
    assert np.isnan(before.seconds) and "unknown before the batches have been counted" in str(before)
    assert objective.data.n == 40
    after = ls.explain(objective, plane, AXES)
    assert after.seconds > 0 and after.operations > before.operations


def test_memory_that_one_pass_would_take_is_that_of_all_passes():
    """Whatever memory was given; a gradient of 24 kB in every cell."""
    plane, objective = plane_and_objective(data=ls.Batches([X, X]))
    asked = ls.explain(objective, plane, AXES, quantities=("gradient_norm",), memory=2**20)
    assert asked.passes > 1 and f"{asked.passes} passes over data that are not in memory; memory=2**30 * 1 lets" in str(
        asked
    )
    once = ls.explain(objective, plane, AXES, quantities=("gradient_norm",), memory=2**30)
    assert once.passes == 1


def test_what_is_hoisted_is_said_of_the_batch_that_runs():
    """Putting terms together pays less on small batches of a layer with few inputs; the surface says the same."""
    plane, objective = plane_and_objective()
    for size in (1, 7, 40):
        explained = ls.explain(objective, plane, AXES, batch_size=size)
        surface = ls.evaluate(objective, plane, AXES, batch_size=size)
        assert explained.hoisted and surface.attrs["hoisted"]
        assert all(f"[{size}, 96]" in shape for shape in explained.hoisted)


def test_no_more_rows_are_timed_than_run_together(monkeypatch):
    """One batch of many rows is cut where little memory is given, also where a few cells are timed."""
    timed: list[int] = []
    whole = _cells.whole

    def counted(measures, plan, chart, batch, *rest):
        timed.append(len(batch))
        return whole(measures, plan, chart, batch, *rest)

    monkeypatch.setattr(_cells, "whole", counted)
    plane, objective = plane_and_objective(data=ls.Batches([np.tile(X, (100, 1))]))
    assert objective.data.n == 4000
    told = ls.explain(objective, plane, AXES, memory=2**21)
    assert set(timed) == {told.batch_size} and told.batch_size < 4000
