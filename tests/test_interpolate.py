"""`interpolate` of objectives: the data set of `evaluate`, within the stated error; minima, critical points, lines."""

import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

import landscape as ls
from landscape.surfaces.verify import verify

PAIR = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
PLANE = ls.axes_plane(PAIR.params, "w", "b")
BOX = {"w": (-3, 3), "b": (-2, 4)}
AXES = {"w": np.linspace(-3, 3, 31), "b": np.linspace(-2, 4, 21)}
PENALTIES = {"λ=0": ls.none(), "λ=0.01": ls.l2(0.01), "λ=1": ls.l2(1.0), "l1": ls.l1(0.1)}


@pytest.fixture(scope="module")
def found():
    return ls.interpolate(PAIR, PLANE, BOX)


@pytest.fixture(scope="module")
def swept():
    wanted = ("risk_stderr", "risk_gradient_norm")
    return ls.interpolate(PAIR, PLANE, BOX, quantities=wanted, penalties=PENALTIES)


@pytest.fixture(scope="module")
def swept_surface(swept):
    return swept.on(AXES)


@pytest.fixture(scope="module")
def swept_minimum(swept):
    return swept.minimum()


def assert_like(got: xr.Dataset, true: xr.Dataset, errors: dict[str, float]):
    """The same variables, dimensions and coordinates, and values within twice the stated error."""
    assert set(got.data_vars) == set(true.data_vars)
    for name, values in true.data_vars.items():
        assert got[name].dims == values.dims, name
        if name == "finite":
            assert got.finite.equals(values)
            continue
        assert float(np.abs(got[name] - values).max()) <= 2 * errors[str(name)], name
    for name, coordinate in true.coords.items():
        assert got[name].dims == coordinate.dims and got[name].attrs == coordinate.attrs, name
        np.testing.assert_array_equal(got[name], coordinate)


def test_it_is_what_evaluate_returns(found):
    wanted = ("slope", "plane_hessian")
    got, true = found.on(AXES, quantities=wanted), ls.evaluate(PAIR, PLANE, AXES, quantities=wanted)
    assert_like(got, true, found.errors)
    same = (
        "objective",
        "objective_id",
        "chart",
        "chart_id",
        "penalties",
        "penalty_terms",
        "reduction",
        "kind",
        "dtype",
    )
    assert {name: got.attrs[name] for name in same} == {name: true.attrs[name] for name in same}
    said = json.loads(got.attrs["interpolation"])
    assert said["evaluations"] == found.evaluations < 200 and said["error"] == found.error <= 1e-3


def test_a_sweep_is_what_evaluate_returns(swept, swept_surface):
    true = ls.evaluate(PAIR, PLANE, AXES, quantities=("risk_stderr", "risk_gradient_norm"), penalties=PENALTIES)
    assert_like(swept_surface, true.drop_vars("gradient_norm"), swept.errors)
    units = [channel for channel in json.loads(swept.data.attrs["channels"]) if channel[0] == "penalty_unit"]
    assert len(units) == 3, "none, l2 once for both strengths, and l1"


@pytest.mark.parametrize("label", PENALTIES)
def test_one_penalty_of_a_sweep(swept, swept_surface, swept_minimum, label):
    one = swept.sel(penalty=label)
    assert (
        one.on(AXES)
        .drop_vars(["penalty", "strength"], errors="ignore")
        .equals(swept_surface.sel(penalty=label, drop=True).drop_vars("strength", errors="ignore"))
    )
    assert one.minimum().objective == swept_minimum.sel(penalty=label).objective


def test_the_objectives_gradient_norm_of_a_smooth_penalty():
    penalties = {"λ=0.1": ls.l2(0.1), "λ=1": ls.l2(1.0)}
    got = ls.interpolate(PAIR, PLANE, BOX, tolerance=1e-2, quantities=("gradient_norm",), penalties=penalties)
    true = ls.evaluate(PAIR, PLANE, AXES, quantities=("gradient_norm",), penalties=penalties)
    assert_like(got.on(AXES), true, got.errors)


def test_quantities_of_ones_own():
    squared = ls.Metric("squared", lambda p, batch: (p["w"] * batch[0] + p["b"]) ** 2)
    got = ls.interpolate(PAIR, PLANE, BOX, quantities=(squared,))
    true = ls.evaluate(PAIR, PLANE, AXES, quantities=(squared,))
    assert_like(got.on(AXES), true, got.errors)


def test_dimensions_follow_the_axes_and_positions_may_be_anywhere(found):
    turned = found.on({"b": [3.0, -1.5], "w": [0.25]})
    assert turned.risk.dims == ("b", "w") and turned.b.values.tolist() == [3.0, -1.5]
    assert turned.risk[1, 0] == found.on({"w": [0.25], "b": [-1.5]}).risk[0, 0]
    beyond_by_rounding = np.arange(-3, 3.1, 0.1)
    assert beyond_by_rounding[-1] > 3 and np.isfinite(found.on({"w": beyond_by_rounding, "b": [0]}).risk).all()


def test_the_minimum_is_the_known_one():
    """Of the pair with l2(λ): b = 0, and σ(−w) = 2λw."""
    found = ls.interpolate(PAIR, PLANE, {"w": (-3, 3), "b": (-3, 3)}, tolerance=1e-4)
    best = found.minimum()
    w = float(best.w)
    assert bool(best.interior) and abs(float(best.b)) < 1e-3
    assert 1 / (1 + np.exp(w)) == pytest.approx(0.2 * w, abs=2 * found.errors["slope"])
    assert float(best.objective) == pytest.approx(float(PAIR({"w": w, "b": 0.0})), abs=2 * float(best.error))
    grid = ls.minimum(found.on({"w": np.linspace(-3, 3, 61), "b": np.linspace(-3, 3, 61)}))
    assert set(grid.data_vars) - {"ties"} == set(best.data_vars) - {"error"}


def test_a_minimum_on_the_border_is_none(swept_minimum):
    best = swept_minimum
    assert best.interior.sel(penalty="λ=0").item() is False and best.w.sel(penalty="λ=0") == pytest.approx(3)
    assert best.interior.sel(penalty=["λ=1", "l1"]).all()
    assert best.strength.values.tolist() == [0.0, 0.01, 1.0, 0.1]
    assert float(best.sel(penalty="l1").b) == pytest.approx(0, abs=1e-2), "l1 has a kink there"


def test_a_minimum_beside_what_is_not_finite_is_none():
    found = ls.interpolate(lambda x: np.exp(-x) if x < 0.5 else np.nan, None, {"x": (-1, 1)})
    assert not found.minimum().interior


def test_critical_points_are_those_of_the_function():
    """x⁴/4 − x²/2 + y²: two minima at (±1, 0), a saddle between them."""

    def double_well(x, y):
        return x**4 / 4 - x**2 / 2 + y**2

    points = ls.interpolate(double_well, None, {"x": (-2, 2), "y": (-1.5, 1)}, tolerance=1e-5).critical_points()
    assert points.kind.values.tolist() == ["minimum", "minimum", "saddle"] and points["index"].values.tolist() == [
        0,
        0,
        1,
    ]
    np.testing.assert_allclose(np.sort(points.x), [-1, 0, 1], atol=1e-9)
    np.testing.assert_allclose(points.y, 0, atol=1e-9)
    np.testing.assert_allclose(points.objective, [-0.25, -0.25, 0], atol=1e-9)
    np.testing.assert_allclose(points.eigenvalues, [[2, 2], [2, 2], [-1, 2]], atol=1e-9)
    assert (points.uncertainty < 1e-9).all()


def test_rounding_counts_among_their_errors():
    """In float32 it is most of them: the interpolant is of the rounded values."""

    def loss(params, batch):
        x, y = params["x"], params["y"]
        return (30 + jnp.cos(3 * x) * jnp.cos(2 * y) + x**2 + y**2) * batch[0]

    objective = ls.Objective(loss, (np.ones(1, "float32"),), params={"x": jnp.float32(0), "y": jnp.float32(0)})
    plane = ls.axes_plane(objective.params, "x", "y")
    points = ls.interpolate(objective, plane, {"x": (-1, 1), "y": (-1, 1)}, tolerance=1e-3).critical_points()
    place = [0.8471479438, 0.2739359280, 0.6593897797]  # of x at the minima on the axis; of the saddles
    for i, (x, y) in enumerate(zip(np.abs(points.x.values), np.abs(points.y.values), strict=True)):
        wanted = (place[1:], [-3.3801928, 5.1729603]) if points.kind[i] == "saddle" else None
        wanted = ([place[0], 0], [5.3010063, 9.4272642]) if x > 0.5 else wanted
        wanted = ([0, 0], [-7, -2]) if points.kind[i] == "maximum" else wanted
        if wanted is not None:
            off, error = np.hypot(x - wanted[0][0], y - wanted[0][1]), float(points.eigenvalue_error[i])
            assert off <= float(points.uncertainty[i]) < 1e-2
            assert np.abs(points.eigenvalues[i] - wanted[1]).max() <= error < 0.5
    assert (points.kind != "unknown").all()


@pytest.mark.parametrize(
    ("f", "kind"), [(lambda x, y: -(x**2) - y**2, "maximum"), (lambda x, y: x**4 + y**2, "degenerate")]
)
def test_their_kinds(f, kind):
    (found,) = ls.interpolate(f, None, {"x": (-1, 1.2), "y": (-1, 1.1)}).critical_points().kind.values
    assert found == kind


def test_on_the_border_of_two_pieces_they_are_found_once():
    """The kink cuts the box at 0; the minimum in y lies on cuts too."""
    found = ls.interpolate(lambda x, y: abs(x) + np.cos(3 * y) * 0.1 + y**2, None, {"x": (-1, 1), "y": (-1, 1)})
    assert found.data.sizes["piece"] > 1 and found.critical_points().sizes["point"] <= 1
    smooth = ls.interpolate(
        lambda x, y: np.sqrt(x**2 + y**2 + 1e-3),
        None,
        {"x": (-1, 1), "y": (-1, 1)},
        tolerance=1e-3,
        max_evaluations=20_000,
    )
    points = smooth.critical_points()
    near = points.sel(point=points.kind != "unknown")
    assert near.sizes["point"] == 1 and near.kind.item() == "minimum"
    assert float(np.hypot(near.x, near.y).item()) <= 2 * float(near.uncertainty.item()) + 1e-6


def test_critical_points_of_a_logarithmic_interpolant():
    """Which is no polynomial, and is made one again."""
    found = ls.interpolate(lambda x: np.exp(8 * (x - 0.2) ** 2), None, {"x": (-1, 1)}, relative_to="value")
    assert found.data["form"].to_numpy().tolist() == [[1, 0]] and found.evaluations == 15
    points = found.critical_points()
    np.testing.assert_allclose([points.x.item(), points.objective.item()], [0.2, 1], atol=1e-7)
    np.testing.assert_allclose(points.eigenvalues, [[16]], rtol=1e-5)
    assert found.minimum().x == pytest.approx(0.2, abs=1e-6)


def test_level_lines_lie_on_their_level(found):
    (lines,) = found.level_lines([0.8]).values()
    assert lines and all(line.shape[1] == 2 for line in lines)
    for line in lines:
        values = [found.on({"w": [w], "b": [b]}).objective.item() for w, b in line[::10]]
        np.testing.assert_allclose(values, 0.8, atol=1e-9)


def test_level_positions_in_one_coordinate():
    found = ls.interpolate(lambda x: x**2, None, {"x": (-1, 2)})
    np.testing.assert_allclose(np.sort(np.ravel(found.level_lines([0.25])[0.25])), [-0.5, 0.5], atol=1e-12)
    assert found.level_lines([9.0]) == {9.0: []}
    cut = ls.interpolate(lambda x: abs(x - 0.3), None, {"x": (-1, 1)})
    assert cut.data.sizes["piece"] > 1
    np.testing.assert_allclose(np.ravel(cut.level_lines([0.2])[0.2]), [0.1, 0.5], atol=1e-9)


def test_critical_points_stay_in_the_box_and_are_not_merged():
    near = ls.interpolate(lambda x: x**3 - 7.5e-5 * x, None, {"x": (-1, 1)}).critical_points()
    assert sorted(near.kind.values) == ["maximum", "minimum"]
    np.testing.assert_allclose(np.sort(near.x), [-0.005, 0.005], rtol=1e-6)
    assert ls.interpolate(lambda x: (x - 1.005) ** 2, None, {"x": (-1, 1)}).critical_points().sizes["point"] == 0
    assert ls.interpolate(lambda x, y: x, None, {"x": (-1, 1), "y": (-1, 1)}).critical_points().sizes["point"] == 0


def test_kinds_that_are_not_known_are_not_said():
    """The pair has no minimum, and far out its risk is flatter than the interpolant is exact."""
    found = ls.interpolate(ls.neuron(*ls.datasets.pair()), PLANE, {"w": (-20, 20), "b": (-10, 10)})
    points = found.critical_points()
    assert set(points.kind.values) <= {"unknown"}
    assert (np.abs(points.eigenvalues).min("eigenvalue") <= points.eigenvalue_error).all()


def test_the_uncertainty_is_that_of_the_variable(swept):
    found = swept.sel(penalty="λ=1").critical_points("penalty_unit")
    assert found.kind.values.tolist() == ["minimum"] and found.uncertainty.item() < 2e-3


def test_the_least_of_many_low_places_is_found():
    """A narrow one, off a long valley whose floor is nearly as low."""

    def valley(x, y):
        return (y - 0.5 * np.sin(3 * x)) ** 2 - 0.01 * np.exp(-300 * ((x - 0.7) ** 2 + (y + 0.8) ** 2)) + 1e-5 * x

    found = ls.interpolate(valley, None, {"x": (-1, 1), "y": (-1, 1)}, tolerance=1e-5)
    grid = found.on({"x": np.linspace(-1, 1, 801), "y": np.linspace(-1, 1, 801)})
    assert float(found.minimum().objective) <= float(grid.objective.min())


def test_other_charts():
    circle = ls.interpolate(PAIR, ls.Polar(PLANE), {"log_scale": (-1, 1), "angle": (-np.pi, np.pi)})
    axes = {"log_scale": np.linspace(-1, 1, 9), "angle": np.linspace(-3, 3, 11)}
    assert_like(circle.on(axes), ls.evaluate(PAIR, ls.Polar(PLANE), axes), circle.errors)


def test_other_data_and_precisions():
    """In memory-mapped batches; a box beside the origin; float64 where x64 is on is test_refinement's."""
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 2)).astype(np.float32)
    wide = ls.neuron(x, (x[:, 0] > 0).astype(np.float32))
    batched = wide.with_data(ls.Batches([(x[:200], wide.data[1][:200]), (x[200:], wide.data[1][200:])]))
    plane = ls.axes_plane(wide.params, "w[0]", "w[1]")
    box = {"w[0]": (1, 3), "w[1]": (-1, 0.5)}
    one, other = (ls.interpolate(objective, plane, box) for objective in (wide, batched))
    assert one.evaluations == other.evaluations
    np.testing.assert_allclose(one.data["values"], other.data["values"], rtol=1e-5)


def test_a_second_call_compiles_nothing(compilations):
    ls.interpolate(PAIR, PLANE, BOX)
    with compilations() as tally:
        ls.interpolate(PAIR, PLANE, {"w": (-1, 2), "b": (0, 1)}, tolerance=1e-4)
    assert tally.count == 0


def test_pictures_take_it(found, swept_surface):
    surface = found.on(AXES)
    ls.plot.surface3d(surface)
    titles = [axes.get_title().replace(" ", "") for axes in ls.plot.dark_minimum(swept_surface).axes]
    assert titles[: len(PENALTIES)] == [name.replace("λ", "$λ$") for name in PENALTIES]
    run = ls.descend(PAIR, optax.sgd(0.5), {"w": -2.0, "b": 1.0}, steps=20)
    assert len(ls.plot.contour(surface, runs=run.on(PLANE)).axes[0].lines) > len(ls.plot.contour(surface).axes[0].lines)
    other = ls.descend(ls.neuron([1.0], [1.0]), optax.sgd(0.5), {"w": -2.0, "b": 1.0}, steps=2)
    with pytest.raises(ValueError, match="objective"):
        ls.plot.contour(surface, runs=other.on(PLANE))


def test_it_is_saved_and_opened(found, swept, tmp_path):
    for i, one in enumerate((found, swept)):
        ls.save(one, tmp_path / f"{i}.zarr")
        again = ls.open_interpolant(tmp_path / f"{i}.zarr")
        assert again.data.identical(one.data) and again.on(AXES).identical(one.on(AXES)) and str(again) == str(one)
    with pytest.raises(ValueError, match=r"holds an interpolant, not a surface: open it with ls\.open_interpolant"):
        ls.open_surface(tmp_path / "0.zarr")
    size = sum(file.stat().st_size for file in (tmp_path / "0.zarr").rglob("*") if file.is_file())
    assert size < 40_000


def test_grids_of_it_are_verified(found):
    surface = found.on({"w": np.linspace(-3, 3, 7), "b": np.linspace(-2, 4, 5)}, quantities=("slope",))
    assert all(number.agrees for number in verify(surface, PAIR, cells=35))
    wrong = surface.assign(risk=surface.risk + 10 * found.errors["risk"])
    assert not all(number.agrees for number in verify(wrong, PAIR, cells=35))


def test_it_prints_what_it_is(found):
    lines = str(found).splitlines()
    assert lines[0] == "interpolant on w from -3 to 3, b from -2 to 4"
    assert lines[1] == f"  {found.evaluations} evaluations; 1 piece of degree up to 8×8"
    assert lines[2].startswith("  estimated error ") and lines[2].endswith(" of the range, within 0.001")
