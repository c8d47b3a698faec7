"""Lines over one coordinate: which curve is on which axis, splits, gaps, and one way of drawing them."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from pictures import (
    SWEEP,
    closed,  # noqa: F401  a fixture
    legend_labels,
    lines_of,
    pair_surface,
    rendered,
    walks,
)

import landscape as ls
from landscape.plot import style
from landscape.plot._mesh import AWAITED


def interpolation(bad=None):
    """Risk and accuracy on train and test along a line: every curve another one."""
    alpha = np.array([-0.5, 0, 0.25, 0.5, 1, 1.5])
    risk = np.stack([(alpha - 1) ** 2 + 0.01, (alpha - 0.8) ** 2 + 0.3])
    accuracy = np.stack([0.1 + alpha / 2, 0.05 + alpha / 3])
    finite = np.ones(6, bool) if bad is None else ~bad(alpha)
    return xr.Dataset(
        {
            "risk": (("split", "alpha"), np.where(finite, risk, np.nan), {"long_name": "risk", "units": "1"}),
            "accuracy": (("split", "alpha"), accuracy, {"long_name": "accuracy", "units": "1"}),
            "gradient_norm": ("alpha", 1 + alpha**2, {"long_name": "norm of the gradient"}),
            "finite": ("alpha", finite),
        },
        {"alpha": alpha, "split": ["train", "test"]},
        {"kind": "surface"},
    )


def test_risk_is_on_the_left_axis_and_accuracy_on_the_right():
    surface = interpolation()
    figure = ls.plot.line(surface)
    left, right = figure.axes
    assert left.get_xlabel() == "$α$" and left.get_xlim() == (-0.5, 1.5)
    assert (left.get_ylabel(), right.get_ylabel()) == ("risk", "accuracy")
    assert right.yaxis.get_label_position() == "right"
    for axes, variable in ((left, "risk"), (right, "accuracy")):
        for row, curve in zip(surface[variable], axes.lines, strict=True):
            np.testing.assert_allclose(curve.get_ydata(), row)
            assert curve.get_color() == axes.yaxis.label.get_color()
        assert [curve.get_linestyle() for curve in axes.lines] == ["-", "--"]
    assert legend_labels(figure) == {"train", "test"}
    assert left.get_yscale() == "log" and right.get_yscale() == "linear"  # the risk has a ratio above 20
    rendered(figure)


def test_scales_are_as_asked():
    surface = interpolation()
    assert ls.plot.line(surface, log=False).axes[0].get_yscale() == "linear"
    left, right = ls.plot.line(surface, ("accuracy", "gradient_norm"), log=False).axes
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "log")


def test_a_selected_split_is_named():
    surface = interpolation().sel(split="test")
    figure = ls.plot.line(surface, "accuracy")
    (ax,) = figure.axes
    assert ax.get_ylabel() == "accuracy, test" and ax.get_xlabel() == "$α$" and not figure.legends
    np.testing.assert_allclose(ax.lines[0].get_ydata(), surface.accuracy)
    assert to_rgba(ax.lines[0].get_color()) == to_rgba(style.BLUE)


def test_gaps_are_hatched_on_both_axes():
    figure = ls.plot.line(interpolation(bad=lambda alpha: alpha == 0.25))
    (patch,) = (p for p in figure.axes[0].patches if p.get_hatch())
    np.testing.assert_allclose([patch.get_x(), patch.get_x() + patch.get_width()], [0.125, 0.375])
    assert "not finite" in legend_labels(figure)


def test_what_is_not_computed_yet_is_dotted():
    surface = interpolation()
    there = surface.alpha <= 0.5
    figure = ls.plot.line(surface.where(there).assign(computed=there, finite=surface.finite & there))
    (patch,) = (p for p in figure.axes[0].patches if p.get_hatch())
    assert patch.get_hatch() == AWAITED["hatch"]
    assert {"not finite", "not computed yet"} & legend_labels(figure) == {"not computed yet"}


def test_contour_of_one_coordinate_is_this_line():
    surface, runs = pair_surface().isel(b=4), walks(strengths={"λ=0.1": 0.1})
    assert rendered(ls.plot.contour(surface)) == rendered(ls.plot.line(surface, "objective"))
    line = runs.on(None).drop_vars("b").assign_attrs(chart_id="axes")
    figure = ls.plot.line(surface.drop_vars("b").sel(penalty="λ=0.1"), "objective", line.isel(penalty=0))
    assert {"sgd", "adam"} <= legend_labels(figure)
    points = [curve for curve in figure.axes[0].lines if curve.get_marker() == style.optimizer_style("adam").marker]
    np.testing.assert_allclose(points[0].get_ydata(), runs.data.objective[1, 0, 0])


def test_a_sweep_has_a_curve_a_penalty():
    figure = ls.plot.line(pair_surface().isel(b=4), "gradient_norm")
    assert len(figure.axes[0].lines) == 4 and "$λ$ = 0.01" in legend_labels(figure)
    assert not lines_of(figure.axes[0], "train")


def along(strengths=SWEEP):
    """A sweep along w and runs on it."""
    curve = pair_surface().isel(b=4, drop=True)
    data = walks(("sgd",), strengths, starts=1).on(None).isel(start=0, drop=True).drop_vars("b")
    return curve, data


@pytest.mark.parametrize("strengths", [SWEEP, {"λ=0.1": 0.1}])
def test_runs_beside_a_sweep_have_the_colors_of_their_penalties(strengths):
    """Each is told apart and belongs to a curve, also where all have one penalty; markers tell the optimizers."""
    curve, data = along(strengths=strengths)
    figure = ls.plot.line(curve, "objective", data)
    points = figure.axes[0].lines[len(SWEEP) :]
    assert [line.get_color() for line in points] == [style.penalty_color(s) for s in strengths.values()]
    assert {line.get_marker() for line in points} == {style.optimizer_style("sgd").marker}
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(filter(str.strip, texts)) == ["$λ$ = 0", "$λ$ = 0.01", "$λ$ = 0.1", "$λ$ = 1", "sgd"]


def test_runs_without_values_of_their_own_are_refused():
    """They would be in the legend and nowhere else."""
    curve, data = along()
    curve = curve.assign(accuracy=curve.risk)
    with pytest.raises(ValueError, match=r"`runs` have no values of 'accuracy'; they recorded risk, objective"):
        ls.plot.line(curve, ("accuracy", "risk"), data)
    ls.plot.line(curve, ("risk", "accuracy"), data)
    ids = '{"train": "pair", "test": "other"}'
    both = xr.concat([curve, 2 * curve], xr.DataArray(["train", "test"], dims="split", name="split"))
    both = both.assign_attrs(curve.attrs, objective_ids=ids).assign_coords(penalty=curve.penalty, w=curve.w)
    with pytest.raises(ValueError, match="`runs` descended other data than `surface` is of, the split 'test'"):
        ls.plot.line(both.sel(split="test"), "risk", data)
    ls.plot.line(both.sel(split="train"), "risk", data)


def test_the_range_is_that_of_the_curves_and_of_runs_inside_the_window():
    """A run above the curve is seen; where it is beyond the window's ends it changes nothing."""
    curve, data = along(strengths={"λ=0": 0.0})
    window = curve.sel(w=slice(-5, 5))
    high = data.assign(risk=data.risk + 30)
    (ax,) = ls.plot.line(window, "risk", high).axes
    assert ax.get_ylim()[1] > float(high.risk.where(high.w > -5).max()) and ax.get_xlim() == (-5, 5)
    outside = data.assign(risk=data.risk + 1000 * (data.w < -5))
    assert float(outside.risk.max()) > 1000
    (ax,) = ls.plot.line(window, "risk", outside).axes
    assert ax.get_ylim() == ls.plot.line(window, "risk", data.isel(step=slice(3, None))).axes[0].get_ylim()


def test_a_line_refuses_what_it_cannot_tell_apart():
    surface = pair_surface()
    with pytest.raises(ValueError, match=r"2 coordinates in 'risk' \(w, b\); a line has one(.|\n)*isel\(b=0\)"):
        ls.plot.line(surface)
    with pytest.raises(
        ValueError, match=r"4 penalties in 'objective'(.|\n)*beside a second variable(.|\n)*penalty='λ=1'"
    ):
        ls.plot.line(surface.isel(b=0), ("risk", "objective"))
    both = surface.isel(b=0).expand_dims(split=["train", "test"])
    with pytest.raises(ValueError, match="beside several splits"):
        ls.plot.line(both, "objective")
    with pytest.raises(ValueError, match=r"`variables` is \('risk', 'risk'\)"):
        ls.plot.line(interpolation(), ("risk", "risk"))
    with pytest.raises(ValueError, match="`variables` is"):
        ls.plot.line(interpolation(), ("risk", "accuracy", "gradient_norm"))
    with pytest.raises(ValueError, match=r"no variable 'recall'"):
        ls.plot.line(interpolation(), "recall")
    with pytest.raises(TypeError, match=r"`surface` is a ndarray"):
        ls.plot.line(np.zeros(3))


def over(positions, **values):
    """Variables over the positions of one coordinate, x."""
    x = np.asarray(positions)
    return xr.Dataset({name: ("x", rows) for name, rows in values.items()} or {"risk": ("x", 1 + 0 * x)}, {"x": x})


@pytest.mark.parametrize(
    ("positions", "scale"),
    [
        (np.logspace(-3, 3, 61), "log"),
        (np.logspace(-3, 3, 61, dtype=np.float32), "log"),
        (np.geomspace(0.01, 1000, 9)[::-1], "log"),
        ([1.0, 10.0, 100.0], "log"),
        (np.geomspace(1, 10, 5), "linear"),
        (np.geomspace(1, 10.1, 5), "log"),
        ([1.0, 100.0], "linear"),
        (np.linspace(0.01, 10, 50), "linear"),
        ([1.0, 0.5, 0.1, 0.01], "linear"),
        ([0.0, 0.1, 1.0, 10.0, 100.0], "linear"),
        ([-1.0, -10.0, -100.0], "linear"),
    ],
)
def test_the_horizontal_axis_is_logarithmic_for_positions_that_are_even_in_their_logarithm(positions, scale):
    data = over(positions)
    for draw in (ls.plot.line, lambda surface: ls.plot.contour(surface, "risk")):
        (ax,) = draw(data).axes
        assert ax.get_xscale() == scale and ax.get_xlim() == (min(positions), max(positions))
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.sort(positions))


def test_a_logarithmic_axis_has_round_numbers():
    def numbers(positions, width):
        figure = ls.plot.line(over(positions), width=width)
        rendered(figure)
        return [text.get_text() for text in figure.axes[0].get_xticklabels()]

    wide, narrow = style.DOUBLE, style.SINGLE
    assert numbers(np.logspace(-3, 2, 6, dtype=np.float32), narrow) == ["0.001", "0.01", "0.1", "1", "10", "100"]
    assert numbers(np.logspace(-3, 3, 7), narrow) == ["0.001", "0.1", "10", "1000"]
    assert numbers(np.geomspace(1, 20, 7), narrow) == ["1", "2", "5", "10", "20"]
    assert numbers(np.geomspace(0.1, 100, 7), wide) == ["0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50", "100"]


def test_gaps_end_half_way_on_a_logarithmic_axis_too():
    risk = np.array([np.nan, 1.0, np.nan, 2.0, 3.0])
    figure = ls.plot.line(over([1.0, 100.0, 1e4, 1e6, 1e8], risk=risk))
    spans = [(p.get_x(), p.get_x() + p.get_width()) for p in figure.axes[0].patches]
    np.testing.assert_allclose(spans, [(1, 10), (1e3, 1e5)])
    assert "not finite" in legend_labels(figure)


def test_a_sweep_of_scales_is_drawn_with_its_own_measures():
    pair = ls.neuron(*ls.datasets.pair())
    found = ls.scale_sweep(pair, {"w": 1.0, "b": 0.0}, np.logspace(-3, 3, 13))
    figure = ls.plot.line(found, ["risk", "saturated"])
    left, right = figure.axes
    assert left.get_xlabel() == "scale of the weights" and left.get_xscale() == right.get_xscale() == "log"
    np.testing.assert_array_equal(right.lines[0].get_ydata(), found.saturated)
    np.testing.assert_array_equal(left.lines[0].get_xdata(), found.scale)
    rendered(figure)


def test_any_data_set_over_one_coordinate_is_a_line():
    path = ls.penalty_path(ls.neuron(*ls.datasets.pair()), np.geomspace(0.01, 1, 5), penalty=ls.l1(1.0))
    left, right = ls.plot.line(path.data, ("risk", "nonzero")).axes
    assert (left.get_xlabel(), left.get_xscale()) == ("strength", "log")
    np.testing.assert_array_equal(right.lines[0].get_ydata(), path.data.nonzero)
    with pytest.raises(
        TypeError, match=r"`surface` is a PenaltyPath; it must be an xarray.Dataset(.|\n)*Give its `data`"
    ):
        ls.plot.line(path)
    with pytest.raises(ValueError, match=r"`surface` has labels for its coordinate 'parameter' in 'coefficient'"):
        ls.plot.line(path.data.isel(strength=0), "coefficient")


def test_what_is_no_line_is_refused_by_what_is_wanted():
    runs = walks(("sgd",), {"": 0.0})
    for given in (runs, runs.data, runs.data.isel(start=0)):
        with pytest.raises(TypeError, match=r"landscape.scale_sweep(.|\n)*Draw runs with landscape.plot.trajectory"):
            ls.plot.line(given, "risk")
    with pytest.raises(ValueError, match=r"`surface` has no variable 'risk'; it has mean\.$"):
        ls.plot.line(over([1, 2], mean=[1.0, 2.0]))
    both = over([1, 2], risk=[1.0, 2.0]).assign(error=("y", [1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="'risk' over 'x' and 'error' over 'y'"):
        ls.plot.line(both, ("risk", "error"))


@pytest.mark.parametrize("draw", [ls.plot.dark_minimum, ls.plot.contour, ls.plot.surface3d, ls.plot.gradient_norm])
def test_pictures_of_a_plane_take_one_split(draw):
    surface = pair_surface(np.linspace(-3, 3, 7), np.linspace(-2, 2, 5), {"": 0.1})
    both = xr.concat([surface, 2 * surface], xr.DataArray(["train", "test"], dims="split", name="split"))
    with pytest.raises(
        ValueError, match=r"2 splits \(train, test\); this picture shows one.*surface.sel\(split='train'\)"
    ):
        draw(both)
    rendered(draw(both.assign(finite=surface.finite).sel(split="test")))
