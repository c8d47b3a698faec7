"""Trainability: quadratics whose rates of convergence are known, the published measure, stores, what is refused."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from landscape.networks.basins import _grids
from landscape.tiles.halfway import Halfway
from tests import stored

CURVATURES = 1.0, 4.0
STEPS = 200


def bowl_value(params):
    return 0.5 * (CURVATURES[0] * params["x"] ** 2 + CURVATURES[1] * params["y"] ** 2)


def bowl(penalty=None):
    return ls.function(bowl_value, {"x": 1.0, "y": 1.0}, penalty=penalty)


def rates(eta_x, eta_y):
    return optax.multi_transform({"x": optax.sgd(eta_x), "y": optax.sgd(eta_y)}, {"x": "x", "y": "y"})


AXES = {"eta_x": np.array([-0.1, 0.1, 1.0, 1.9, 1.97, 2.03, 2.1, 5.0]), "eta_y": np.array([0.05, 0.49, 0.51, 0.9, 9.0])}


def axes(dtype):
    return {name: axis.astype(dtype) for name, axis in AXES.items()}


def steps_of(rate):
    return optax.sgd(rate)


def line_value(params):
    return 0.5 * params["x"] ** 2


def line():
    return ls.function(line_value, {"x": 1.0})


def ratios(etas, steps):
    """J_t/J_0 of gradient descent on ½x², (etas, steps), at most 10⁶."""
    q = 1 - np.asarray(etas, np.float64)[:, None]
    return np.minimum(q ** (2 * np.arange(steps)), 1e6)


def test_a_quadratic_is_trainable_in_a_rectangle(dtype):
    """Gradient descent on ½(λ₁x² + λ₂y²) converges where 0 < ηᵢλᵢ < 2."""
    found = ls.trainability(bowl(), {"x": 1.0, "y": 1.0}, rates, axes(dtype), STEPS)
    inside = [(lam * AXES[name] > 0) & (lam * AXES[name] < 2) for lam, name in zip(CURVATURES, AXES, strict=True)]
    np.testing.assert_array_equal(found.converged, np.outer(*inside))
    assert found.measure.dims == tuple(AXES) and found.measure.dtype == dtype
    assert found.attrs["picture"] == "trainability" and found.eta_x.attrs["long_name"] == "eta_x"


def test_the_measure_is_the_published_sum(dtype):
    """Σ J_t/J_0 where the mean of the last 20 is below 1, else Σ J_0/J_t; each ratio at most 10⁶."""
    etas = np.array([0.1, 0.9, 1.5, 1.99, 2.01, 2.5, 7.0])
    found = ls.trainability(line(), {"x": 1.0}, steps_of, {"rate": etas.astype(dtype)}, 60)
    ratio = ratios(etas.astype(dtype), 60)
    converged = ratio[:, -20:].mean(axis=1) < 1
    np.testing.assert_array_equal(found.converged, converged)
    expected = np.where(converged, ratio.sum(axis=1), (1 / ratio).sum(axis=1))
    np.testing.assert_allclose(found.measure, expected, rtol=2000 * np.finfo(dtype).eps)
    with np.errstate(over="ignore"):
        end = (0.5 * (1 - etas.astype(dtype).astype(float)) ** 120).astype(dtype)
    np.testing.assert_allclose(found.risk, end, rtol=2000 * np.finfo(dtype).eps, atol=1e-30)


def test_a_run_that_overflows_is_marked_and_goes_no_further():
    """½x² of |x| = 6^t is beyond float32 from t = 25 on: 6^50/2 > 3.4e38 > 6^48/2."""
    found = ls.trainability(line(), {"x": 1.0}, steps_of, {"rate": np.array([0.5, 7.0], np.float32)}, 100)
    assert found.steps_taken.values.tolist() == [100, 25]
    assert found.finite.values.tolist() == found.converged.values.tolist() == [True, False]
    assert found.risk.values[1] == np.inf
    ratio = np.minimum(36.0 ** np.arange(100), 1e6)
    np.testing.assert_allclose(found.measure.values[1], (1 / ratio).sum(), rtol=1e-5)


def test_fewer_steps_than_are_averaged_over():
    found = ls.trainability(line(), {"x": 1.0}, steps_of, {"rate": np.array([0.5, 2.5], np.float32)}, 3)
    np.testing.assert_allclose(found.measure, [1 + 1 / 4 + 1 / 16, 1 + 1 / 1.5**2 + 1 / 1.5**4], rtol=1e-6)
    assert found.converged.values.tolist() == [True, False]


def test_a_run_agrees_with_descend(x64):
    """Momentum on a penalized neuron: the objective at the end, and the sum along the way."""
    objective = ls.neuron(np.array([-1.0, 0.5, 2.0]), np.array([0.0, 1.0, 0.0]), penalty=ls.l2(0.01))
    start = {"w": 3.0, "b": 1.0}

    def optimizer(rate, momentum=0.9):
        return optax.sgd(rate, momentum=momentum)

    grid = {"momentum": np.array([0.5, 0.9]), "rate": np.array([0.01, 0.1])}
    found = ls.trainability(objective, start, optimizer, grid, 40)
    runs = ls.descend(objective, {"0.5": optimizer(0.1, 0.5), "0.9": optimizer(0.1)}, start, 40).data.objective
    np.testing.assert_allclose(found.objective[:, 1], runs[:, -1], rtol=1e-10)
    np.testing.assert_allclose(found.measure[:, 1], (runs[:, :-1] / runs[:, 0]).sum("step"), rtol=1e-10)
    assert found.attrs["start_objective"] == pytest.approx(float(objective(start)), rel=1e-12)
    assert (found.objective > found.risk).all()


def test_narrower_axes_show_the_same_cells():
    """A cell is a function of its hyper-parameters alone, whatever else is in the picture."""
    whole = ls.trainability(bowl(), {"x": 1.0, "y": 1.0}, rates, axes("float32"), STEPS)
    part = ls.trainability(
        bowl(), {"x": 1.0, "y": 1.0}, rates, {"eta_x": whole.eta_x[2:5].values, "eta_y": whole.eta_y[1:3].values}, STEPS
    )
    for name in part.data_vars:
        np.testing.assert_array_equal(part[name], whole[name][2:5, 1:3])


def test_a_second_picture_compiles_nothing(compilations):
    def again(scale):
        moved = {name: scale * axis for name, axis in axes("float32").items()}
        return ls.trainability(bowl(), {"x": 2.0, "y": 1.0}, rates, moved, STEPS)

    again(1.0)
    with compilations() as tally:
        again(0.9)
    assert tally.count == 0


# ---- in a store


@pytest.fixture
def few_cells(monkeypatch):
    """Tiles of a few cells, and several calls for the steps of each."""
    monkeypatch.setattr(_grids, "IN_FLIGHT_BYTES", {"cpu": 500})
    monkeypatch.setattr("landscape.surfaces._plan.STORED_WORK", {"cpu": 1})
    monkeypatch.setattr(_grids, "SEGMENT_WORK", 10_000)


def picture(start=1.0, steps=STEPS, **options):
    return ls.trainability(bowl(), {"x": start, "y": 1.0}, rates, axes("float32"), steps, **options)


def assert_same(a, b):
    assert set(a.data_vars) == set(b.data_vars)
    for name in a.data_vars:
        assert a[name].dims == b[name].dims and a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name])


def test_how_cells_take_turns_changes_nothing(few_cells, monkeypatch):
    in_turns = picture()
    assert in_turns.attrs["tile_shape"] != list(map(len, AXES.values()))
    monkeypatch.undo()
    assert_same(in_turns, picture())


def test_interrupted_and_gone_on_with_is_uninterrupted_bit_by_bit(few_cells, puts, tmp_path):
    whole = picture(store=tmp_path / "whole")
    puts.stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        picture(store=tmp_path / "cut")
    partial = ls.open_surface(tmp_path / "cut")
    assert 4 <= partial.attrs["tiles_complete"] < partial.attrs["tiles"] and not partial.computed.all()
    puts.stop_after(99)
    assert_same(picture(store=tmp_path / "cut"), whole)
    assert len(puts.tiles) == partial.attrs["tiles"] - partial.attrs["tiles_complete"]
    assert stored.chunks(tmp_path / "cut") == stored.chunks(tmp_path / "whole")
    assert_same(ls.open_surface(tmp_path / "cut"), picture())


def test_a_tile_is_gone_on_with_from_halfway(few_cells, monkeypatch, tmp_path):
    monkeypatch.setattr("landscape.tiles.halfway.EVERY", 0.0)
    monkeypatch.setattr(_grids, "_several", lambda where: where)
    real, kept = Halfway.keep, []

    def keep(self, *arguments):
        real(self, *arguments)
        kept.append(self)
        if len(kept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Halfway, "keep", keep)
    with pytest.raises(KeyboardInterrupt):
        picture(store=tmp_path / "s")
    assert any((tmp_path / "s/landscape/halfway").iterdir())
    loaded = []
    load = Halfway.load
    monkeypatch.setattr(Halfway, "load", lambda self, plan: loaded.append(load(self, plan)) or loaded[-1])
    found = picture(store=tmp_path / "s")
    assert sum(one is not None for one in loaded) == 1
    monkeypatch.undo()
    assert_same(found, picture())


@pytest.mark.parametrize(
    ("options", "differs"),
    [({"start": 2.0}, "start"), ({"steps": 50}, "steps")],
)
def test_a_store_of_another_problem_is_refused(options, differs, tmp_path):
    picture(store=tmp_path / "s")
    with pytest.raises(ValueError, match=f"holds another problem;.*{differs}"):
        picture(store=tmp_path / "s", **options)
    momentum = {"eta_x": np.array([0.1], np.float32), "eta_y": np.array([0.1], np.float32)}
    with pytest.raises(ValueError, match="holds another problem; axes"):
        ls.trainability(bowl(), {"x": 1.0, "y": 1.0}, rates, momentum, STEPS, store=tmp_path / "s")


# ---- what is refused


def refused(**given):
    asked = {
        "objective": line(),
        "start": {"x": 1.0},
        "optimizer": steps_of,
        "axes": {"rate": np.array([0.1], np.float32)},
        "steps": 5,
    } | given
    return ls.trainability(**asked)


def converted(rate):
    return optax.sgd(float(rate))


EIGHT = np.float32([0.1, 0.2])


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"axes": {"eta": EIGHT}}, ValueError, r"takes, rate; missing: 'rate'; unknown: 'eta'"),
        ({"axes": {"rate": EIGHT, "eta": EIGHT}}, ValueError, r"unknown: 'eta'"),
        ({"axes": {}}, TypeError, r"`axes` is an empty mapping; give a mapping from hyper-parameters"),
        ({"axes": [EIGHT]}, TypeError, r"`axes` is a list; give a mapping"),
        ({"axes": {"rate": EIGHT[:0]}}, ValueError, r"`axes\['rate'\]` is empty"),
        ({"axes": {"rate": 1 + np.array([0, 1e-12])}}, ValueError, r"equal in float32: cells would repeat.*enable_x64"),
        ({"axes": {"rate": np.array([1e300])}}, ValueError, r"`axes\['rate'\]` holds 1 of 1 values.*within float32"),
        ({"optimizer": optax.sgd(0.1)}, TypeError, r"`optimizer` is a GradientTransf\w+; give a function of its hyper"),
        ({"optimizer": converted}, TypeError, r"`optimizer` cannot be made out of traced numbers \("),
        ({"optimizer": lambda rate: rate}, TypeError, r"`optimizer` returned a \w+; it must return an optax"),
        (
            {"optimizer": lambda measure: None, "axes": {"measure": EIGHT}},
            ValueError,
            r"'measure', which is the name of",
        ),
        ({"optimizer": lambda: optax.sgd(1.0)}, ValueError, r"takes, of which it has none; unknown: 'rate'"),
        ({"steps": 0}, ValueError, r"`steps` is 0; it must be at least 1"),
        ({"start": {"y": 1.0}}, ValueError, r"must have the structure"),
        ({"start": {"x": np.nan}}, ValueError, r"`start 'x'` holds 1 of 1 values that are not finite"),
        ({"start": {"x": 0.0}}, ValueError, r"`start` has the objective 0, and runs are compared with it"),
        ({"objective": line_value}, TypeError, r"`objective` is a function; give an Objective"),
        ({"store": None, "shard": (0, 2)}, ValueError, r"`shard` is a share of a store"),
    ],
)
def test_bad_input_is_refused_by_name(given, kind, message):
    with pytest.raises(kind, match=message):
        refused(**given)


def test_four_axes_are_too_many():
    def optimizer(a, b, c, d):
        return optax.sgd(a + b + c + d)

    with pytest.raises(ValueError, match=r"`axes` has 4 coordinates; a grid has 1 to 3"):
        refused(optimizer=optimizer, axes=dict.fromkeys("abcd", EIGHT))


def test_any_names_where_the_optimizer_takes_any():
    found = refused(
        optimizer=lambda **rates: optax.sgd(rates["rate"] * rates["factor"]), axes={"rate": EIGHT, "factor": EIGHT}
    )
    assert found.measure.dims == ("rate", "factor")


def test_data_that_are_not_in_memory_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((4, 1), np.float32))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    objective = ls.Objective(lambda p, batch: jnp.square(batch[0][:, 0] * p["x"]), (x,), params={"x": 1.0})
    with pytest.raises(ValueError, match=r"`objective` reads its data from disk.*trainability needs them as arrays"):
        refused(objective=objective)
