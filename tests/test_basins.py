"""Basins: wells whose basins are half planes, steps in closed form, symmetry, grouping, stores, what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, strategies

import landscape as ls
from landscape.networks.basins import _grids, _grouping
from landscape.networks.basins._cells import PROJECTIONS, signature
from tests import stored

STEPS = 500
SGD, GENTLE = optax.sgd(0.1), optax.sgd(0.01)
X, Y = np.array([-1.2, -0.4, -0.05, 0.05, 0.4, 1.2]), np.array([-1.0, 0.0, 2.0])


def wells_value(params):
    return (params["x"] ** 2 - 1) ** 2 + params["y"] ** 2


def wells(**options):
    return ls.function(wells_value, {"x": 0.0, "y": 0.0}, **options)


def plane_of(objective):
    return ls.axes_plane(objective.params, "x", "y")


def found(dtype="float32", x=X, y=Y, optimizer=SGD, steps=STEPS, objective=None, **options):
    objective = wells() if objective is None else objective
    axes = {"x": np.asarray(x, dtype), "y": np.asarray(y, dtype)}
    return ls.basins(objective, plane_of(objective), axes, optimizer, steps, **options)


def test_the_basins_of_two_wells_are_half_planes(dtype):
    got = found(dtype)
    assert got.minimum.dims == ("x", "y") and got.minimum.dtype == np.int32
    np.testing.assert_array_equal(got.minimum, np.broadcast_to((X > 0)[:, None], (6, 3)))
    assert got.converged.all() and got.finite.all()
    assert got.minimum_count.values.tolist() == [9, 9]
    np.testing.assert_allclose(got.minimum_at, [[-1, 0], [1, 0]], atol=1e-4)
    assert got.minimum_at.dims == ("minimum_label", "coordinate")
    assert got.coordinate.values.tolist() == ["x", "y"]
    np.testing.assert_allclose(got.minimum_residual, 0, atol=1e-6)
    assert (got.gradient_norm <= 1e-4).all() and got.objective.dtype == dtype
    assert json.loads(got.attrs["penalties"]) and got.attrs["picture"] == "basins"


def test_mirrored_wells_are_one_minimum():
    def mirrored(params):
        return params | {"x": jnp.abs(params["x"])}

    got = found(canonical=mirrored)
    assert (got.minimum == 0).all() and got.minimum_count.values.tolist() == [18]


def test_ends_of_a_network_are_one_minimum_modulo_its_symmetry():
    """Two tanh units: from all over the plane of their incoming weights to several of the 2!·2² copies of a minimum."""
    x = np.linspace(-2, 2, 21, dtype=np.float32)

    def apply(p, x):
        return jnp.tanh(x[:, None] * p["w"][None]) @ p["v"]

    goal = {"w": jnp.array([0.7, 2.0]), "v": jnp.array([1.5, -1.0])}
    params = {"w": jnp.zeros(2), "v": jnp.array([0.3, -0.2])}
    objective = ls.Objective(lambda p, b: (apply(p, b[0]) - b[1]) ** 2, (x, apply(goal, x)), params=params)
    plane = ls.axes_plane(params, "w[0]", "w[1]")
    axes = {name: np.array([-2.0, -0.5, 0.6, 1.7]) for name in plane.names}
    given = objective, plane, axes, optax.sgd(0.3, momentum=0.9), 3000
    apart = ls.basins(*given, tolerance=1e-3, apart=0.1)
    canonical = ls.symmetry(apply, params, x).canonical
    joined = ls.basins(*given, tolerance=1e-3, apart=0.1, canonical=canonical)
    best = apart.minimum_objective < 1e-4
    assert int(best.sum()) > 2 and int((joined.minimum_objective < 1e-4).sum()) == 1
    counts = joined.minimum_count[joined.minimum_objective < 1e-4]
    assert int(counts[0]) == int(apart.minimum_count[best].sum())


def test_what_does_not_converge_is_marked():
    """From x = 9 on gradient descent diverges; on the ridge x = 0 it comes to the saddle; in 3 steps to no minimum."""
    got = found(x=[-9.0, -0.5, 0.0, 0.5])
    assert got.minimum.values.tolist() == [[-2] * 3, [0] * 3, [1] * 3, [2] * 3]
    assert got.finite[0].values.tolist() == [False] * 3 and not np.isfinite(got.objective[0]).any()
    assert got.minimum_at.values[1].tolist() == pytest.approx([0, 0], abs=1e-4)
    assert (got.steps_taken[0] < 10).all()
    short = found(steps=3)
    assert (short.minimum == -1).all() and (short.steps_taken == 3).all() and short.sizes["minimum_label"] == 0
    assert short.finite.all() and not short.converged.any()


def line_value(params):
    return 0.5 * params["x"] ** 2


def test_steps_are_known_for_a_quadratic(dtype):
    """x_t = x₀(1 − η)^t: the first t with |x_t| ≤ 1e-3."""
    line = ls.function(line_value, {"x": 1.0})
    starts = np.array([-4.0, 0.0005, 0.7, 3.0, 90.0], dtype)
    got = ls.basins(line, ls.axes_plane(line.params, "x"), {"x": starts}, optax.sgd(0.3), 60, tolerance=1e-3)
    expected = np.maximum(0, np.ceil(np.log(1e-3 / np.abs(starts.astype(float))) / np.log(0.7)))
    np.testing.assert_array_equal(got.steps_taken, expected)
    assert (got.minimum == 0).all()


def test_the_chart_orders_its_own_coordinates():
    """Axes in another order than the chart's names are the transposed picture."""
    objective = wells()
    axes = {"y": np.float32(Y), "x": np.float32(X)}
    got = ls.basins(objective, plane_of(objective), axes, SGD, STEPS)
    assert got.minimum.dims == ("y", "x")
    np.testing.assert_array_equal(got.steps_taken.T, found().steps_taken)
    np.testing.assert_allclose(got.minimum_at.sel(coordinate="x"), [-1, 1], atol=1e-4)


def test_a_penalty_moves_the_minima(x64):
    """(x² − 1)² + λx² has its minima at x² = 1 − λ/2; gradients are those of risk + penalty."""
    got = found("float64", objective=wells(penalty=ls.l2(0.2)), tolerance=1e-8)
    np.testing.assert_allclose(np.abs(got.minimum_at[:, 0]), np.sqrt(0.9), rtol=1e-7)
    np.testing.assert_allclose(got.minimum_objective, 0.01 + 0.2 * 0.9, rtol=1e-7)
    assert (got.objective > got.risk).all()


def test_a_run_agrees_with_descend(x64):
    """The ends of momentum on a neuron of two weights, off a line: objective, gradient norm, and where they are."""
    x = np.array([[-1.0, 0.3], [0.5, 1.0], [2.0, -0.7]])
    objective = ls.neuron(x, np.array([0.0, 1.0, 0.0]), bias=False)
    line, optimizer = ls.axes_plane(objective.params, "w[0]"), optax.sgd(0.05, momentum=0.9)
    got = ls.basins(objective, line, {"w[0]": np.array([-1.0, 1.0])}, optimizer, 30)
    starts = {"w": np.stack([np.asarray(line.point((np.float64(a),))["w"]) for a in (-1.0, 1.0)])}
    runs = ls.descend(objective, optimizer, starts, 30)
    np.testing.assert_allclose(got.objective, runs.data.objective[:, -1], rtol=1e-9)
    np.testing.assert_allclose(got.gradient_norm, runs.data.gradient_norm[:, -1], rtol=1e-7)
    assert (got.minimum == -1).all() and (got.steps_taken == 30).all()


def test_a_minimum_off_the_chart_says_how_far():
    """½(x² + (y − 2)²) from the line y = 0: the minimum is 2 away."""
    bowl = ls.function(bowl_value, {"x": 0.0, "y": 0.0})
    got = ls.basins(bowl, ls.axes_plane(bowl.params, "x"), {"x": np.float32([-1, 1])}, SGD, STEPS)
    np.testing.assert_allclose(got.minimum_residual, [2], rtol=1e-3)
    np.testing.assert_allclose(got.minimum_at, [[0]], atol=1e-3)


def bowl_value(params):
    return 0.5 * (params["x"] ** 2 + (params["y"] - 2) ** 2)


# ---- telling ends apart


def test_many_params_are_told_apart_by_projections():
    """Distances of 40 params, seen through 16 projections, are right to within a factor; few params are themselves."""
    rng = np.random.default_rng(0)
    params = {"a": jnp.asarray(rng.normal(size=(2, 16)), "float32"), "b": jnp.asarray(rng.normal(size=8), "float32")}
    other = jax.tree.map(lambda leaf: leaf + 0.5, params)
    seen = np.linalg.norm(signature(params) - signature(other))
    assert signature(params).shape == (PROJECTIONS,) and 0.5 < seen / (0.5 * 40**0.5) < 1.5
    few = {"a": jnp.arange(3.0), "n": np.arange(2)}
    assert signature(few).tolist() == [0, 1, 2]


CENTERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1], [50, 0, 0]])


@given(strategies.lists(strategies.integers(0, len(CENTERS) - 1), min_size=1, max_size=30), strategies.integers(0, 99))
def test_groups_are_the_clusters_and_do_not_depend_on_the_order(which, seed):
    rng = np.random.default_rng(seed)
    which = np.array(which)
    points = CENTERS[which] + rng.uniform(-1e-3, 1e-3, (len(which), 3))
    gradients = rng.random(len(which))
    groups, best, counts = _grouping.grouped(points, gradients, 1e-2)
    assert len(best) == len(set(which.tolist()))
    for number, members in enumerate(map(np.flatnonzero, groups == np.arange(len(best))[:, None])):
        assert len(set(which[members].tolist())) == 1 and len(members) == counts[number]
        assert best[number] == members[np.argmin(gradients[members])]
    assert sorted(counts.tolist(), reverse=True) == counts.tolist()
    order = rng.permutation(len(which))
    again, _, _ = _grouping.grouped(points[order], gradients[order], 1e-2)
    pairs = groups[:, None] == groups
    np.testing.assert_array_equal(again[:, None] == again, pairs[np.ix_(order, order)])


def test_a_hundred_thousand_ends_in_few_groups_and_in_many():
    rng = np.random.default_rng(0)
    which = rng.integers(0, 40, 100_000)
    few = rng.normal(size=(40, 16))[which] + 1e-5 * rng.normal(size=(100_000, 16))
    groups, _, counts = _grouping.grouped(few, rng.random(100_000), 1e-2)
    assert len(counts) == 40 and all(len(set(groups[which == i])) == 1 for i in range(40))
    many = rng.normal(size=(20_000, 16))
    assert len(_grouping.grouped(many, rng.random(20_000), 1e-6)[2]) == 20_000


# ---- in a store


def test_interrupted_and_gone_on_with_is_uninterrupted_bit_by_bit(monkeypatch, puts, tmp_path):
    monkeypatch.setattr(_grids, "IN_FLIGHT_BYTES", {"cpu": 500})
    monkeypatch.setattr("landscape.surfaces._plan.STORED_WORK", {"cpu": 1})
    whole = found(store=tmp_path / "whole")
    puts.stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        found(store=tmp_path / "cut")
    assert (
        3 <= ls.open_surface(tmp_path / "cut").attrs["tiles_complete"] < ls.open_surface(tmp_path / "whole").x.size * 3
    )
    puts.stop_after(99)
    resumed = found(store=tmp_path / "cut")
    assert stored.chunks(tmp_path / "cut") == stored.chunks(tmp_path / "whole")
    monkeypatch.undo()
    for one in (resumed, found()):
        for name in whole.variables:
            np.testing.assert_array_equal(one[name], whole[name])
    ends = ls.open_surface(tmp_path / "whole")
    assert "minimum" not in ends and ends.end.dims == ("x", "y", "coordinate")
    ls.save(whole, tmp_path / "saved.zarr")
    assert ls.open_surface(tmp_path / "saved.zarr").identical(
        whole.assign_attrs(ls.open_surface(tmp_path / "saved.zarr").attrs)
    )


def test_a_store_of_another_problem_is_refused(tmp_path):
    found(store=tmp_path / "s")
    for options, differs in (
        ({"optimizer": GENTLE}, "runs"),
        ({"tolerance": 1e-3}, "tolerance"),
        ({"objective": wells(penalty=ls.l2(0.1))}, "runs, penalty"),
        ({"canonical": lambda params: params | {"x": jnp.abs(params["x"])}}, "runs"),
        ({"y": 2 * Y}, "axes"),
    ):
        with pytest.raises(ValueError, match=f"holds another problem; {differs} differ"):
            found(store=tmp_path / "s", **options)
    assert found(store=tmp_path / "s", apart=10.0).sizes["minimum_label"] == 1  # of the same ends


# ---- what is refused


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"axes": {"x": X, "z": Y}}, ValueError, r"`axes` must name the chart's coordinates, x, y; missing: 'y'"),
        ({"axes": {"x": X, "y": [1 / 3, 1 / 3 + 1e-12]}}, ValueError, r"`axes\['y'\]` has positions that are equal in"),
        ({"steps": 0}, ValueError, r"`steps` is 0; it must be at least 1"),
        ({"steps": 1.5}, TypeError, r"`steps` is 1.5 \(float\); it must be a whole number"),
        ({"optimizer": 0.1}, TypeError, r"`optimizer` is a float; give an optax optimizer"),
        ({"tolerance": 0.0}, ValueError, r"`tolerance` is 0.0; it must be a finite number > 0"),
        ({"apart": -1.0}, ValueError, r"`apart` is -1.0; it must be a finite number > 0"),
        ({"canonical": 3}, TypeError, r"`canonical` is an int; give a function params -> params"),
        ({"chart": "x"}, TypeError, r"`chart` is a str; give a Plane"),
        ({"objective": wells_value}, TypeError, r"`objective` is a function; give an Objective"),
    ],
)
def test_bad_input_is_refused_by_name(given, kind, message):
    objective = wells()
    asked = {
        "objective": objective,
        "chart": plane_of(objective),
        "axes": {"x": X, "y": Y},
        "optimizer": SGD,
        "steps": 5,
    } | given
    with pytest.raises(kind, match=message):
        ls.basins(**asked)


def test_a_coordinate_may_not_be_called_like_a_result():
    objective = wells()
    chart = ls.Plane(objective.params, ({"x": 1.0, "y": 0.0},), names=("minimum",))
    with pytest.raises(ValueError, match=r"`axes` calls an axis 'minimum', which is the name of a result"):
        ls.basins(objective, chart, {"minimum": X}, SGD, 5)


def test_data_that_are_not_in_memory_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((4, 1), np.float32))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    objective = ls.Objective(lambda p, batch: jnp.square(batch[0][:, 0] * p["x"]), (x,), params={"x": 1.0})
    with pytest.raises(ValueError, match=r"`objective` reads its data from disk.*basins needs them as arrays"):
        ls.basins(objective, ls.axes_plane(objective.params, "x"), {"x": X}, SGD, 5)
