"""Trajectories: seen on charts and surfaces, steps to a tolerance, how they print, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from tests import problems
from tests.closeness import assert_close

PAIR = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
PLANE = ls.axes_plane(PAIR.params, "w", "b")
STARTS = {"w": np.array([1.0, -2.0], np.float32), "b": np.array([0.5, 3.0], np.float32)}
SGD, PROX = optax.sgd(0.5), ls.proximal_gradient(0.5)  # kept: optimizers are matched by identity
AXES = {"w": [0.0, 1.0], "b": [0.0, 1.0, 2.0]}
PENALTIES = {"λ=0.1": ls.l2(0.1), "λ=1": ls.l2(1.0)}


def runs(**options):
    """Two optimizers, two starts, six steps."""
    return ls.descend(PAIR, {"sgd": SGD, "prox": PROX}, STARTS, 6, **options)


def test_on_the_plane_of_the_params():
    """Coordinates are the params; nothing is off the plane; what was recorded comes along."""
    run = runs()
    seen = run.on(PLANE)
    assert seen.w.dims == ("optimizer", "start", "step")
    assert np.array_equal(seen.w, run.params["w"]) and np.array_equal(seen.b, run.params["b"])
    assert (seen.residual == 0).all()
    for name in ("risk", "objective", "gradient_norm", "finite"):
        assert seen[name].identical(run.data[name])
    assert {"optimizer", "start", "step"} <= set(seen.coords)
    assert len(seen.attrs["chart_id"]) == 16 and "chart_id" not in run.data.attrs


def test_on_a_chart_that_does_not_hold_the_runs():
    """The residual is what the picture does not show; the risk is the true one, not the chart's."""
    run = runs()
    line = run.on(ls.Plane({"w": 0.0, "b": 1.0}, ({"w": 2.0, "b": 0.0},), names=("half",)))
    assert_close(line.half, run.params["w"] / 2, eps=4, scale=1.0)
    assert_close(line.residual, np.abs(run.params["b"] - 1.0), eps=8, scale=1.0)
    assert line.risk.identical(run.data.risk)


def test_on_polar_and_boundary():
    """Scale and direction, threshold and weight."""
    run = runs()
    w, b = (run.params[name].astype(np.float64) for name in "wb")
    polar, boundary = run.on(ls.Polar(PLANE)), run.on(ls.Boundary(PLANE))
    assert_close(polar.log_scale, np.log(np.hypot(w, b)), eps=16, scale=1.0)
    assert_close(polar.angle, np.arctan2(b, w), eps=16, scale=1.0)
    assert_close(boundary.threshold, -b / w, eps=16)


@pytest.mark.parametrize("chart", [PLANE, ls.Polar(PLANE)])
def test_on_a_surface(chart):
    """Its chart is rebuilt from the attributes, also after a walk through a file."""
    run = runs()
    axes = AXES if chart is PLANE else {"log_scale": [0.0], "angle": [0.0, 1.0]}
    surface = ls.evaluate(PAIR, chart, axes)
    assert run.on(surface).identical(run.on(chart))
    assert run.on(surface).attrs["chart_id"] == surface.attrs["chart_id"]


def test_a_surface_without_its_chart_is_refused():
    """Too large to store, or not a surface at all."""
    surface = ls.evaluate(PAIR, PLANE, AXES)
    with pytest.raises(ValueError, match=r"`chart` is a surface that does not hold its chart .* runs=run\.on\(plane\)"):
        runs().on(surface.assign_attrs(chart=""))
    with pytest.raises(TypeError, match=r"`chart` is a str; give a chart, or a surface from ls.evaluate"):
        runs().on("w")
    with pytest.raises(TypeError, match="`chart` is a Dataset; give a chart, or a surface"):
        runs().on(surface.drop_attrs())


def test_coordinates_that_were_recorded_stay_on_their_chart():
    """Without params there is nothing to project on another one."""
    brief = runs(record=PLANE)
    assert brief.on(PLANE).identical(brief.data)
    assert brief.on(ls.evaluate(PAIR, PLANE, AXES)).identical(brief.data)
    with pytest.raises(ValueError, match="`chart` is not the one on which this trajectory was recorded"):
        brief.on(ls.Polar(PLANE))


def test_runs_are_selected_by_their_labels(tmp_path):
    """Params and data together; one run has the dimension step alone, is seen on charts, and can be saved."""
    run = ls.descend(PAIR, {"sgd": SGD, "prox": PROX}, STARTS, 6, penalties=PENALTIES)
    some = run.sel(penalty="λ=1")
    assert some.data.identical(run.data.sel(penalty="λ=1")) and some.data.risk.dims == ("optimizer", "start", "step")
    assert np.array_equal(some.params["w"], run.params["w"][:, 1])
    one = some.sel(optimizer="prox", start=0)
    assert one.data.identical(run.sel(start=0, optimizer="prox", penalty="λ=1").data)
    assert one.params["b"].shape == (7,) and np.array_equal(one.params["b"], run.params["b"][1, 1, 0])
    assert one.on(PLANE).identical(run.on(PLANE).isel(optimizer=1, penalty=1, start=0))
    assert one.steps_to(0.1).identical(run.steps_to(0.1).isel(optimizer=1, penalty=1, start=0))
    assert run.sel().data.identical(run.data)
    ls.save(one, tmp_path / "one.zarr")
    assert ls.open_trajectory(tmp_path / "one.zarr").data.identical(one.data)
    brief = runs(record=PLANE).sel(start=1)
    assert brief.params is None and brief.data.w.dims == ("optimizer", "step")


def test_random_keys_are_selected_too():
    starts = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 1]), {"w": problems.masked().params["w"]})
    first = problems.masked().params
    run = ls.descend(problems.masked(), SGD, {name: starts.get(name) for name in first} | {"b": jnp.zeros(2)}, 3)
    assert run.sel(start=1).params["key"].shape == (4,) and run.sel(start=1).params["key"][0] == first["key"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"optimiser": "sgd"}, "`optimiser` is no dimension to select runs in; this trajectory has optimizer, start"),
        ({"penalty": "λ=1"}, "`penalty` is no dimension to select runs in; this trajectory has optimizer, start"),
        ({"step": 3}, "`step` is no dimension to select runs in"),
        ({"optimizer": "adam"}, r"`optimizer` is 'adam'; it must be one of 'sgd', 'prox'\."),
        ({"start": 2}, r"`start` is 2; it must be one of 0, 1\."),
        ({"start": [0, 1]}, r"`start` is \[0, 1\]; it must be one of 0, 1\."),
    ],
)
def test_labels_that_are_not_there(labels, message):
    with pytest.raises(ValueError, match=message):
        runs().sel(**labels)


def test_of_many_labels_some_are_named():
    starts = {"w": np.zeros(9, np.float32), "b": np.zeros(9, np.float32)}
    many = ls.descend(PAIR, SGD, starts, 1)
    with pytest.raises(ValueError, match=r"`start` is 9; it must be one of 0, 1, 2, 3, 4, …\."):
        many.sel(start=9)
    with pytest.raises(ValueError, match="`start` is no dimension to select runs in; this trajectory has a single run"):
        many.sel(start=0).sel(start=0)


def test_steps_to_a_tolerance():
    """The first recorded step at or below it, for each run; NaN for never; 0 for a start that is there already."""
    starts = {"w": np.array([0.0, 1.177505, 50.0], np.float32), "b": np.zeros(3, np.float32)}
    run = ls.descend(PAIR, SGD, starts, 40, record_every=3)
    norms = run.data.gradient_norm.to_numpy()
    steps = run.steps_to(1e-2)
    assert steps.dims == ("start",) and steps.name == "steps"
    assert float(steps[1]) == 0.0 and np.isnan(float(steps[2]))
    first = int(float(steps[0]))
    index = run.data.step.values.tolist().index(first)
    assert first > 0 and norms[0, index] <= 1e-2 < norms[0, :index].min()
    assert "0.01" in steps.attrs["long_name"]
    assert "step" not in steps.coords
    whole = ls.descend(PAIR, SGD, {"w": 0.0, "b": 0.0}, 40).steps_to(1e-2)
    assert whole.dims == () and first - 3 < float(whole) <= first


def test_runs_that_end_do_not_reach_a_tolerance():
    """NaN norms are no small norms."""
    objective = ls.function(lambda p: p["u"] ** 4, {"u": 0.0})
    run = ls.descend(objective, optax.sgd(0.1), {"u": np.float32(10.0)}, 12)
    assert not run.data.finite[-1] and np.isnan(float(run.steps_to(1.0)))


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan")])
def test_a_tolerance_is_positive(tolerance):
    with pytest.raises(ValueError, match=r"`tolerance` is (0.0|-1.0|nan); it must be a number > 0"):
        runs().steps_to(tolerance)


def test_components_are_no_chart():
    with pytest.raises(TypeError, match=r"`chart` is a PCA; give its plane: pca\.plane\(\)"):
        runs().on(ls.pca(runs().sel(optimizer="sgd", start=0)))


def test_trajectories_print_their_sizes():
    """And not their numbers."""
    text = repr(runs())
    assert text.startswith("Trajectory(optimizer: 2, start: 2, step: 7)")
    assert "R(w, b) = ½(" in text and "w: float32[2, 2, 7]" in text
    assert "coordinates on a chart" in repr(runs(record=PLANE))
    many = {f"layer {i}": np.ones(3, np.float32) for i in range(9)}
    run = ls.trajectory(ls.function(lambda p: jnp.sum(p["layer 0"]), many), [many])
    assert repr(run).endswith("keeping " + ", ".join(f"layer {i}: float32[1, 3]" for i in range(5)) + " and 4 more")


def test_large_trees_are_projected_leaf_by_leaf():
    """A network on a plane with skew directions: the same as one point at a time."""
    network = problems.network(2)
    generator = np.random.default_rng(0)
    draw = lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype)  # noqa: E731
    plane = ls.Plane(network.params, tuple(jax.tree.map(draw, network.params) for _ in range(2)))
    run = ls.descend(network, SGD, network.params, 3)
    seen = run.on(plane)
    for step in range(4):
        point = jax.tree.map(lambda leaf, step=step: jnp.asarray(leaf[step]), run.params)
        (alpha, beta), residual = plane.coordinates(point)
        found = np.array([seen.alpha[step], seen.beta[step], seen.residual[step]])
        assert_close(found, np.array([alpha, beta, residual], np.float64), eps=64, scale=1.0)


def test_points_are_projected_a_block_at_a_time(monkeypatch):
    """However many runs: the same coordinates, in the same places."""
    run = runs()
    whole = run.on(ls.Polar(PLANE))
    monkeypatch.setattr("landscape.charts.trajectory.BLOCK_BYTES", 5 * 8)  # five points of two numbers; 28 in all
    assert run.on(ls.Polar(PLANE)).identical(whole)


def test_frozen_leaves_have_the_runs_axes_and_no_part_in_coordinates():
    """A step of any run is whole params, like the objective's; the plane sees only what moves."""
    objective = problems.masked()
    first = objective.params
    moving = {name: first[name] if name in ("w", "b") else None for name in first}
    starts = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 1]), moving)
    run = ls.descend(objective, SGD, starts, 3)
    assert run.params["on"].shape == (2, 4, 3) and run.params["key"].shape == (2, 4)
    last = jax.tree.map(lambda leaf: leaf[1, -1], run.params)
    assert jax.tree.structure(last) == jax.tree.structure(first) and last["key"] == first["key"]
    plane = ls.axes_plane(first, "w[0]", "b")
    seen = run.on(plane)
    assert np.array_equal(seen["w[0]"], run.params["w"][..., 0]) and np.array_equal(seen.b, run.params["b"])
    off = np.linalg.norm(run.params["w"][..., 1:] - np.asarray(first["w"][1:]), axis=-1)
    assert_close(seen.residual, off, eps=8, scale=1.0)
    brief = ls.descend(objective, SGD, starts, 3, record=plane)
    assert_close(brief.data.residual, off, eps=8, scale=1.0)
    assert "on: bool[2, 4, 3]" in repr(run)
