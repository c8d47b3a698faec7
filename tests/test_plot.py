"""Pictures: what they hold, which way around, what they refuse, and that the same data give the same bytes."""

import json
import os
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import AsinhNorm
from matplotlib.patches import PathPatch
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from pictures import (
    SWEEP,
    B,
    W,
    bars,
    closed,  # noqa: F401  a fixture
    legend_labels,
    lines_of,
    meshes,
    pair_surface,
    panels,
    rendered,
    walks,
)
from problems import PAIR_L2

import landscape as ls
from landscape.plot import _paths, _runs, style
from landscape.plot._mesh import AWAITED, HATCH

# ---- dark_minimum


def test_dark_minimum_has_a_panel_a_penalty_with_titles_labels_and_one_bar():
    figure = ls.plot.dark_minimum(pair_surface(), walks())
    assert len(panels(figure)) == 4 and len(bars(figure)) == 1
    assert [ax.get_title() for ax in panels(figure)] == ["$λ$ = 0", "$λ$ = 0.01", "$λ$ = 0.1", "$λ$ = 1"]
    assert {ax.get_xlabel() for ax in panels(figure)} == {"$w$"}
    assert panels(figure)[0].get_ylabel() == "bias (°F)"
    assert bars(figure)[0].get_ylabel().replace("\n", " ") == "objective − its least value in the panel"
    assert {"sgd", "adam", "start", "minimizer on the grid"} <= legend_labels(figure)
    assert len(figure.legends) == 1


@pytest.mark.parametrize("width", [style.SINGLE, style.DOUBLE])
def test_dark_minimum_keeps_the_columns_width(width):
    figure = ls.plot.dark_minimum(pair_surface(), width=width)
    assert figure.get_figwidth() == pytest.approx(width)
    assert len({ax.get_subplotspec().rowspan.start for ax in panels(figure)}) == (2 if width == style.SINGLE else 1)


def test_black_is_the_least_cell_and_only_it_is_zero():
    """The color is the excess over the panel's own least value, and its 0 is black."""
    surface = pair_surface()
    figure = ls.plot.dark_minimum(surface)
    for i, mesh in enumerate(meshes(figure)):
        excess = np.ma.filled(mesh.get_array(), np.nan).reshape(len(B), len(W))
        expected = surface.objective.isel(penalty=i)
        np.testing.assert_allclose(excess, (expected - expected.min()).transpose("b", "w"), atol=1e-12)
        assert np.unravel_index(excess.argmin(), excess.shape) == np.unravel_index(
            expected.values.T.argmin(), excess.shape
        )
        assert tuple(mesh.cmap(mesh.norm(0.0))) == (0, 0, 0, 1)
        assert sum(mesh.cmap(mesh.norm(excess.max()))[:3]) > 0.5


def test_first_coordinate_is_horizontal_on_an_uneven_grid():
    """Reading the mesh back: columns are w at its own uneven positions, rows are b."""
    surface = pair_surface()
    mesh = meshes(ls.plot.dark_minimum(surface))[2]
    positions = mesh.get_coordinates()
    assert positions.shape[:2] == (len(B), len(W))
    np.testing.assert_allclose(positions[0, :, 0], W)
    np.testing.assert_allclose(positions[:, 0, 1], B)
    flat = surface.isel(w=slice(None, None, -1)).transpose("penalty", "w", "b")  # a descending axis is the same picture
    np.testing.assert_allclose(meshes(ls.plot.dark_minimum(flat))[2].get_array(), mesh.get_array())


def test_shared_scale_is_one_norm_and_unshared_a_bar_each():
    shared = meshes(ls.plot.dark_minimum(pair_surface()))
    assert len({id(mesh.norm) for mesh in shared}) == 1
    figure = ls.plot.dark_minimum(pair_surface(), shared_scale=False)
    assert len(bars(figure)) == 4
    tops = [mesh.norm.vmax for mesh in meshes(figure)]
    assert tops == sorted(tops) and tops[0] < tops[-1]


def test_minimizer_is_a_star_and_a_border_is_no_minimum():
    figure = ls.plot.dark_minimum(pair_surface(np.linspace(-8, 8, 161), np.linspace(-3, 3, 61)))
    free, *penalized = panels(figure)
    assert [line.get_marker() for line in free.lines] == ["D"]
    assert any(text.get_text() == "no minimum in this window" for text in free.texts)
    for ax, strength in zip(penalized, (0.01, 0.1, 1.0), strict=True):
        (star,) = (line for line in ax.lines if line.get_marker() == "*")
        assert star.get_xdata()[0] == pytest.approx(PAIR_L2[strength][0], abs=0.05)
        assert star.get_ydata()[0] == pytest.approx(0, abs=1e-9)
        assert not any("no minimum" in text.get_text() for text in ax.texts)
    assert {"minimizer on the grid", "least value, at the border"} <= legend_labels(figure)


def test_each_panel_has_its_own_runs_and_no_others():
    runs = walks(starts=2, steps=5)
    figure = ls.plot.dark_minimum(pair_surface(), runs)
    seen = runs.on(None)
    for i, ax in enumerate(panels(figure)):
        for optimizer in ("sgd", "adam"):
            (line,) = lines_of(ax, optimizer)
            own = seen.sel(optimizer=optimizer).isel(penalty=i)
            expected = np.concatenate([own.w[0], [np.nan], own.w[1]])
            np.testing.assert_allclose(line.get_xdata(), expected)


def test_runs_match_their_panel_by_formula_whatever_the_order():
    """The runs' sweep in another order, and only a part of it: the labels' formulas decide."""
    runs = walks(strengths={"λ=1": 1.0, "λ=0.01": 0.01})
    figure = ls.plot.dark_minimum(pair_surface(), runs)
    assert [bool(lines_of(ax, "sgd")) for ax in panels(figure)] == [False, True, False, True]
    assert lines_of(panels(figure)[3], "sgd")[0].get_xdata()[-1] == pytest.approx(4.0)  # the first of the runs' two


def test_without_a_sweep_there_is_one_panel():
    figure = ls.plot.dark_minimum(pair_surface(strengths={"": 0.1}), walks(strengths={"": 0.1}), width=style.SINGLE)
    assert len(panels(figure)) == 1
    assert bars(figure)[0].get_ylabel() == "objective"
    alone = ls.plot.dark_minimum(pair_surface(strengths={"": 0.1}))
    assert alone.get_figwidth() == pytest.approx(style.SINGLE)


def test_runs_that_leave_are_clipped_with_an_arrow_at_the_border():
    runs = walks(starts=1, end=(25.0, 4.0))
    figure = ls.plot.dark_minimum(pair_surface(), runs)
    for ax in panels(figure):
        assert ax.get_xlim() == (-10, 10) and ax.get_ylim() == (-4, 6)
        arrows = [line for line in ax.lines if line.get_marker() == ">"]
        assert len(arrows) == 2  # one an optimizer
        np.testing.assert_allclose([a.get_xdata()[0] for a in arrows], 10.0)
    assert "leaves the window" in legend_labels(figure)


def test_runs_that_fail_end_in_a_cross_at_their_last_finite_point():
    runs = walks(starts=2, fails=(1, 2, 0, slice(5, None)))  # adam, λ=0.1, first start, from step 5 on
    figure = ls.plot.dark_minimum(pair_surface(), runs)
    crosses = [[line for line in ax.lines if line.get_marker() == "x"] for ax in panels(figure)]
    assert [len(found) for found in crosses] == [0, 0, 1, 0]
    own = runs.on(None).isel(optimizer=1, penalty=2, start=0, step=4)
    assert crosses[2][0].get_xdata()[0] == pytest.approx(float(own.w))
    assert "became non-finite" in legend_labels(figure)


# ---- non-finite cells


def corner(w, b):
    return (w > 4) & (b > 2)


@pytest.mark.parametrize("draw", [ls.plot.dark_minimum, ls.plot.gradient_norm, lambda s: ls.plot.contour(s, "risk")])
def test_cells_that_are_not_finite_are_masked_hatched_and_named(draw):
    figure = draw(pair_surface(bad=corner))
    for ax, mesh in zip(panels(figure), meshes(figure), strict=True):
        masked = np.ma.getmaskarray(mesh.get_array()).reshape(len(B), len(W))
        np.testing.assert_array_equal(masked, corner(*np.meshgrid(W, B)))
        (patch,) = (p for p in ax.patches if isinstance(p, PathPatch) and p.get_hatch())
        box = patch.get_path().get_extents()
        np.testing.assert_allclose([box.x0, box.y0], [4.0, 2.5])  # half way to the finite neighbors 3 and 2
    assert "not finite" in legend_labels(figure)


@pytest.mark.parametrize("draw", [ls.plot.dark_minimum, ls.plot.gradient_norm, lambda s: ls.plot.contour(s, "risk")])
def test_cells_that_are_not_computed_yet_are_dotted(draw):
    """Apart from those that are not finite."""
    there = (pair_surface().w > -2) | (pair_surface().b > 100)
    surface = pair_surface(bad=corner).assign(computed=there)
    figure = draw(surface.where(there).assign(computed=there, finite=surface.finite & there))
    for ax in panels(figure):
        boxes = {p.get_hatch(): p.get_path().get_extents() for p in ax.patches if isinstance(p, PathPatch)}
        np.testing.assert_allclose([boxes[HATCH["hatch"]].x0, boxes[HATCH["hatch"]].y0], [4.0, 2.5])
        np.testing.assert_allclose(boxes[AWAITED["hatch"]].x1, -2.0)  # half way from −3 to −1
        assert len(boxes) == 2
    assert {"not finite", "not computed yet"} <= legend_labels(figure)


def test_infinity_and_the_finite_flag_count_as_not_finite():
    surface = pair_surface()
    surface["objective"][1, 3, 4] = np.inf
    surface["finite"][5, 6] = False
    masked = [np.ma.getmaskarray(mesh.get_array()).sum() for mesh in meshes(ls.plot.dark_minimum(surface))]
    assert masked == [1, 2, 1, 1]


def test_a_panel_without_a_finite_cell_is_drawn_and_says_so():
    surface = pair_surface()
    surface["objective"][3] = np.nan
    figure = ls.plot.dark_minimum(surface)
    assert any("nothing finite" in text.get_text() for text in panels(figure)[3].texts)
    everywhere = pair_surface(bad=lambda w, b: w > -100)
    for draw in (ls.plot.dark_minimum, ls.plot.gradient_norm, lambda s: ls.plot.contour(s, "risk")):
        rendered(draw(everywhere))
    rendered(ls.plot.surface3d(everywhere.isel(penalty=0)))


# ---- refusals


@pytest.mark.parametrize("draw", [ls.plot.dark_minimum, ls.plot.gradient_norm])
def test_runs_of_another_objective_chart_or_penalty_are_refused(draw):
    surface = pair_surface()
    other = walks()
    other.data = other.data.assign_attrs(objective_id="o_rings", objective="R of the O-rings")
    with pytest.raises(ValueError, match=r"`runs` belong to another objective(.|\n)*R of the O-rings"):
        draw(surface, other)
    with pytest.raises(ValueError, match=r"`runs` belong to another chart(.|\n)*trajectory.on\(surface\)"):
        draw(surface, walks().on(surface).assign_attrs(chart_id="polar"))
    with pytest.raises(ValueError, match=r"does not show: 'λ=0.5' is 0.5·‖θ‖²(.|\n)*select"):
        draw(surface, walks(strengths={"λ=0.5": 0.5}))
    with pytest.raises(ValueError, match="does not show: 'λ=1' is 2"):  # the label agrees, the penalty does not
        draw(surface, walks(strengths={"λ=1": 2.0}))
    with pytest.raises(ValueError, match="does not show: 'λ=0' is 0"):  # a selected surface shows what was selected
        draw(surface.sel(penalty=["λ=0.1"]), walks())
    with pytest.raises(TypeError, match="`runs` is a list"):
        draw(surface, [1, 2])


def test_a_slice_refuses_runs():
    surface = pair_surface().sel(penalty="λ=0.1")
    runs = walks().on(surface).sel(penalty="λ=0.1")
    with pytest.raises(ValueError, match="slice, with b held"):
        ls.plot.contour(surface.isel(b=3), runs=runs)


def test_surfaces_of_the_wrong_kind_are_refused():
    surface = pair_surface()
    solid = surface.expand_dims(c=[0.0, 1.0]).transpose("penalty", "w", "b", "c")
    with pytest.raises(ValueError, match=r"3 coordinates(.|\n)*\.isel\(c=0\)"):
        ls.plot.contour(solid, "risk")
    with pytest.raises(ValueError, match=r"4 penalties.*dark_minimum"):
        ls.plot.contour(surface)
    with pytest.raises(ValueError, match="4 penalties"):
        ls.plot.surface3d(surface)
    with pytest.raises(ValueError, match=r"no variable 'slope'.*quantities"):
        ls.plot.contour(surface, "slope")
    with pytest.raises(ValueError, match="1 of the two coordinates"):
        ls.plot.dark_minimum(surface.isel(b=0))
    with pytest.raises(ValueError, match="one value of 'b'"):
        ls.plot.dark_minimum(surface.isel(b=[0]))
    with pytest.raises(TypeError, match=r"`surface` is a ndarray"):
        ls.plot.dark_minimum(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="0 < floor < ceiling"):
        ls.plot.dark_minimum(surface, floor=2.0, ceiling=1.0)


# ---- the other pictures


def test_contour_labels_its_bar_and_takes_the_callers_axes():
    figure, ax = plt.subplots()
    assert ls.plot.contour(pair_surface(), "risk", log=True, ax=ax) is figure
    assert ax.get_xlabel() == "$w$" and bars(figure)[0].get_ylabel() == "risk"
    (mesh,) = meshes(figure)
    np.testing.assert_allclose(mesh.get_array(), pair_surface().risk.values.T)
    assert tuple(mesh.cmap(mesh.norm(mesh.get_array().min()))) == (0, 0, 0, 1)


def squares(x, y, objective):
    """A surface without a penalty, of a function of two coordinates."""
    values = objective(*np.meshgrid(x, y, indexing="ij"))
    surface = pair_surface(x, y, {"": 0.0})
    return surface.assign(risk=(("w", "b"), values), objective=(("w", "b"), values))


def notes(figure):
    return [text.get_text() for ax in panels(figure) for text in ax.texts]


def test_contour_shows_the_excess_where_values_vary_much():
    """Least value exactly 0: no logarithm, and a linear scale would be black."""
    x, y = np.linspace(-2, 2, 81), np.linspace(-1, 3, 81)
    figure = ls.plot.contour(squares(x, y, lambda u, v: (1 - u) ** 2 + 100 * (v - u**2) ** 2))
    (mesh,) = meshes(figure)
    assert np.quantile(np.asarray(mesh.norm(mesh.get_array())), 0.25) > 0.2
    assert bars(figure)[0].get_ylabel() == "objective" and isinstance(mesh.norm, AsinhNorm)
    (star,) = (line for line in panels(figure)[0].lines if line.get_marker() == "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == pytest.approx((1, 1))
    bowl = ls.plot.contour(squares(x, y, lambda u, v: u**2 + (v - 1) ** 2))
    assert bars(bowl)[0].get_ylabel() == "objective" and "minimizer on the grid" not in legend_labels(bowl)
    edge = ls.plot.contour(squares(x, y, lambda u, v: np.exp(5 * u)))
    assert "least value reaches the border" in notes(edge)
    assert "no minimum in this window" in notes(ls.plot.contour(squares(x, y, lambda u, v: np.exp(5 * u + v))))


def test_a_flat_least_value_is_no_missing_minimum():
    figure = ls.plot.dark_minimum(squares(W, B, lambda w, b: b**2))
    assert "least value reaches the border" in notes(figure) and "no minimum in this window" not in notes(figure)
    assert "least value, at the border" in legend_labels(figure)


@pytest.mark.parametrize("draw", [ls.plot.dark_minimum, ls.plot.contour, ls.plot.surface3d])
def test_runs_off_the_chart_are_said_to_be(draw):
    surface, runs = pair_surface(strengths={"": 0.1}), walks(strengths={"": 0.1})
    on = runs.on(surface)
    for distance, said in ((2.2, True), (0.01, False)):
        residual = xr.zeros_like(on.risk) + distance
        labels = legend_labels(draw(surface, runs=on.assign(residual=residual)))
        assert ("off the plane by up to 2.2" in labels) == said
        assert any("off the" in label for label in labels) == said


def test_penalties_of_one_strength_differ_in_dashes_and_labels():
    surface = pair_surface(strengths={"λ=0.1": 0.1, "λ = 0.1": 0.1, "λ=1": 1.0})
    surface.attrs["penalties"] = json.dumps({"λ=0.1": "0.1·‖θ‖₁", "λ = 0.1": "0.1·‖θ‖²", "λ=1": "‖θ‖²"})
    figure = ls.plot.contour(surface.isel(b=4))
    looks = [(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines]
    assert len(set(looks)) == 3 and looks[0][0] == looks[1][0] and looks[2][1] == "-"
    assert {"$λ$ = 0.1 (0.1·‖θ‖₁)", "$λ$ = 0.1 (0.1·‖θ‖²)", "$λ$ = 1"} <= legend_labels(figure)


def test_contour_of_one_coordinate_refuses_what_belongs_to_a_plane():
    curve = pair_surface().isel(b=4)
    with pytest.raises(ValueError, match="`pca` belongs to a plane, and `surface` has one coordinate, 'w'"):
        ls.plot.contour(curve, pca=object())
    with pytest.raises(ValueError, match="`truth` belongs to a plane"):
        ls.plot.contour(curve, truth=True)


def test_contour_of_one_coordinate_is_a_curve_a_penalty():
    surface = pair_surface(bad=lambda w, b: w > 8)
    figure = ls.plot.contour(surface.isel(b=4))
    (ax,) = figure.axes
    assert [line.get_color() for line in ax.lines] == [style.penalty_color(s) for s in SWEEP.values()]
    np.testing.assert_allclose(ax.lines[3].get_ydata(), surface.objective.isel(penalty=3, b=4))
    assert {"$λ$ = 0.1", "not finite"} <= legend_labels(figure)
    assert any(patch.get_hatch() for patch in ax.patches)


def test_runs_of_several_penalties_in_one_panel_have_the_colors_of_their_strengths():
    figure = ls.plot.contour(pair_surface(), "risk", walks())
    (ax,) = panels(figure)
    (line,) = lines_of(ax, "sgd, $λ$ = 0.1")
    assert line.get_color() == style.penalty_color(0.1)
    assert {"sgd", "adam", "$λ$ = 0.1"} <= legend_labels(figure)


def test_gradient_norm_is_logarithmic_and_black_in_every_panel():
    figure = ls.plot.gradient_norm(pair_surface(np.linspace(-8, 8, 41), np.linspace(-3, 3, 21)))
    assert len({id(mesh.norm) for mesh in meshes(figure)}) == 1
    for mesh in meshes(figure):
        assert mesh.norm(mesh.get_array().min()) == pytest.approx(0, abs=0.2)
    assert bars(figure)[0].get_ylabel().replace("\n", " ") == "norm of the gradient"


def test_the_bar_of_gradient_norms_is_pointed_where_they_are_below_it():
    surface = pair_surface(np.linspace(-8, 8, 41), np.linspace(-3, 3, 21))
    assert meshes(ls.plot.gradient_norm(surface.isel(penalty=[1])))[0].colorbar.extend == "neither"
    assert meshes(ls.plot.gradient_norm(surface))[-1].colorbar.extend == "min"


def test_surface3d_draws_the_heights_and_the_runs_at_their_own_values():
    surface = pair_surface(bad=corner).sel(penalty="λ=0.1")
    runs = walks().on(surface).sel(penalty="λ=0.1")
    figure = ls.plot.surface3d(surface, runs)
    (ax,) = panels(figure)
    assert ax.get_zlabel() == "objective" and ax.get_xlabel() == "$w$" and ax.get_title() == "$λ$ = 0.1"
    assert bars(figure)[0].get_xlabel() == "objective"
    assert any(isinstance(c, Poly3DCollection) and c.get_hatch() for c in ax.collections)
    ends = [line.get_data_3d()[2][-1] for line in ax.lines]
    assert any(np.isclose(z, float(runs.objective[0, 0, -1])) for z in ends)
    with pytest.raises(ValueError, match="`ceiling` is 0"):
        ls.plot.surface3d(surface, ceiling=0.0)
    rendered(ls.plot.surface3d(surface, ceiling=5.0))


def test_trajectory_has_a_panel_a_penalty_for_several_optimizers():
    runs = walks()
    figure = ls.plot.trajectory(runs, "objective")
    assert [ax.get_title() for ax in figure.axes] == ["$λ$ = 0", "$λ$ = 0.01", "$λ$ = 0.1", "$λ$ = 1"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"step"} and figure.axes[0].get_ylabel() == "objective"
    assert [len(ax.lines) for ax in figure.axes] == [6, 6, 6, 6]
    top = float(runs.data.objective.max())
    assert all(ax.get_ylim()[1] >= top for ax in figure.axes)  # no panel cuts another's values
    np.testing.assert_allclose(figure.axes[2].lines[0].get_ydata(), runs.data.objective[0, 2, 0])


def test_trajectory_of_one_optimizer_colors_the_penalties():
    figure = ls.plot.trajectory(walks(optimizers=("adam",), starts=1), "risk")
    (ax,) = figure.axes
    assert [line.get_color() for line in ax.lines] == [style.penalty_color(s) for s in SWEEP.values()]
    assert {"$λ$ = 0", "$λ$ = 1"} <= legend_labels(figure)


def test_trajectory_of_many_starts_is_median_and_band():
    runs = walks(optimizers=("sgd",), strengths={"": 0.1}, starts=20, fails=(0, 0, 3, slice(6, None)))
    figure = ls.plot.trajectory(runs, "objective")
    (ax,) = figure.axes
    curve = ax.lines[0].get_ydata()
    np.testing.assert_allclose(curve, np.nanmedian(runs.data.objective[0], axis=0))
    assert len(ax.collections) == 1
    assert [line.get_marker() for line in ax.lines].count("x") == 1
    assert {"median and 10–90% of 20 starts", "became non-finite"} <= legend_labels(figure)


def test_trajectory_is_logarithmic_when_a_run_comes_to_zero():
    runs = walks(("sgd",), {"": 0.0}, starts=1, steps=12).data
    fall = np.array([1.0, 0.1, 1e-2, 1e-3, *[0.0] * 9])
    figure = ls.plot.trajectory(runs.assign(objective=runs.objective * 0 + fall))
    (ax,) = figure.axes
    assert ax.get_yscale() == "log" and ax.get_ylim()[0] == pytest.approx(1e-4)
    np.testing.assert_allclose(ax.lines[0].get_ydata()[3:5], [1e-3, 1e-4])


def test_trajectory_refuses_what_it_cannot_draw():
    with pytest.raises(ValueError, match="`variable` is 'accuracy'; the runs recorded"):
        ls.plot.trajectory(walks(), "accuracy")
    with pytest.raises(ValueError, match="`xscale` is 'cubic'"):
        ls.plot.trajectory(walks(), xscale="cubic")
    with pytest.raises(ValueError, match="`ax` takes one panel"):
        ls.plot.trajectory(walks(), ax=plt.figure().add_subplot())
    with pytest.raises(TypeError, match="`runs` is a list; it must be a Trajectory"):
        ls.plot.trajectory([])


def flow(times, optimizers=("flow",), starts=1):
    """Runs recorded at these times, as gradient_flow has them."""
    runs = walks(optimizers, {"": 0.0}, starts=starts, steps=len(times) - 1).data
    return runs.assign_coords(time=("step", np.asarray(times, float), {"long_name": "time", "units": "1"}))


@pytest.mark.parametrize(
    ("times", "scale"),
    [
        ([0, *np.logspace(-2, 4, 13)], "symlog"),
        (np.logspace(-2, 4, 13), "log"),
        (np.linspace(0, 60, 13), "linear"),
        ([1, 100], "linear"),
        ([1, 101], "log"),
        ([0.0], "linear"),
        ([0.0, 0.3], "linear"),
    ],
)
def test_a_flow_is_drawn_against_its_time(times, scale):
    runs = flow(times)
    figure = ls.plot.trajectory(runs, "risk")
    (ax,) = figure.axes
    x, y = ax.lines[0].get_data()
    np.testing.assert_array_equal(x, times)
    np.testing.assert_allclose(y, runs.risk[0, 0])
    assert ax.get_xlabel() == "time $t$" and ax.get_xscale() == scale
    low = 0 if scale == "linear" else times[0]  # 0 is kept at the left end
    assert ax.get_xlim() == (low, times[-1] or 1.0)
    assert all(low <= tick <= (times[-1] or 1.0) * (1 + 1e-9) for tick in ax.get_xticks()[:-1])
    rendered(figure)


def test_the_axis_of_time_is_as_asked():
    for asked, scale in (("linear", "linear"), ("log", "symlog")):
        (ax,) = ls.plot.trajectory(flow([0, 0.1, 10, 1000]), "risk", xscale=asked).axes
        assert ax.get_xscale() == scale
    (ax,) = ls.plot.trajectory(flow([0, *np.logspace(-2, 3, 11)]), "risk").axes
    rendered(ax.figure)
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["0", "0.01", "0.1", "1", "10", "100", "1000"]
    assert ax.lines[0].get_markevery()[-1] == 11  # spread over the axis, the last one at its end
    rendered(ls.plot.trajectory(flow([0.0]), "risk", xscale="log"))


def test_several_flows_have_their_own_times_and_descent_can_be_told_its_own():
    slow, fast = flow(np.linspace(0, 12, 13)), flow(np.linspace(0, 30, 7))
    descent = walks(("sgd",), {"": 0.0}, starts=1).data
    timed = descent.assign_coords(time=0.5 * descent.step)
    (ax,) = ls.plot.trajectory({"slow": slow, "fast": fast, "SGD": timed}, "risk").axes
    for line, data in zip(ax.lines, (slow, fast, timed), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), data.time)
    assert ax.get_xlim() == (0, 30)


def test_times_and_steps_do_not_go_on_one_axis():
    runs, descent = flow(np.linspace(0, 12, 13)), walks(("sgd",), {"": 0.0}).data
    with pytest.raises(ValueError, match=r"`runs\['SGD'\]` has steps only, and the first of `runs` the coordinate"):
        ls.plot.trajectory({"flow": runs, "SGD": descent})
    with pytest.raises(
        ValueError, match=r"the first of `runs` has steps only, and `runs\['flow'\]` (.|\n)*assign_coords"
    ):
        ls.plot.trajectory({"SGD": descent, "flow": runs})
    (ax,) = ls.plot.trajectory({"flow": runs.drop_vars("time"), "SGD": descent}, "risk").axes
    assert ax.get_xlabel() == "step"


def test_what_the_surface_has_is_drawn_at_the_times_too():
    surface = pair_surface(strengths={"": 0.0})
    runs = walks(("sgd",), {"": 0.0}, starts=1)
    times = np.geomspace(1, 1000, 13)
    on = runs.on(surface).assign_coords(time=("step", times))
    (ax,) = ls.plot.trajectory(on, "risk", surface=surface).axes
    assert [list(line.get_xdata()) for line in ax.lines] == [list(times)] * 2 and ax.get_xscale() == "log"


def test_a_real_flow_is_drawn_against_time():
    found = ls.gradient_flow(ls.neuron(*ls.datasets.pair()), {"w": 0.0, "b": 0.0}, [0, 1, 100, 1e4])
    figure = ls.plot.trajectory({"gradient flow": found}, "risk")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [0, 1, 100, 1e4])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), found.data.risk)
    assert figure.axes[0].get_xlabel() == "time $t$"


def test_neuron_output_shows_curves_and_data():
    pair = ls.neuron(np.float32([-1, 1, 1]), np.float32([0, 1, 1]))
    figure = ls.plot.neuron_output(pair, {f"w={w}": {"w": float(w), "b": 0.0} for w in (1, 5, 20)})
    (ax,) = figure.axes
    curves = [line for line in ax.lines if line.get_label().startswith("w")]
    assert [line.get_label() for line in curves] == ["w = 1", "w = 5", "w = 20"]
    x, y = curves[1].get_data()
    np.testing.assert_allclose(y, 1 / (1 + np.exp(-5 * x)), rtol=1e-5)
    (points,) = ax.collections
    np.testing.assert_allclose(points.get_offsets(), [[-1, 0], [1, 1]])
    np.testing.assert_allclose(points.get_sizes()[1], 2 * points.get_sizes()[0])  # seen twice, twice the area
    with pytest.raises(ValueError, match="`params_by_label` is empty"):
        ls.plot.neuron_output(pair, {})
    with pytest.raises(ValueError, match=r"`objective.data` is \(2, 3\)"):
        ls.plot.neuron_output(ls.neuron(np.ones((2, 3), np.float32), np.float32([0, 1])), {"zero": {}})
    with pytest.raises(ValueError, match="no `predict`"):
        ls.plot.neuron_output(ls.function(lambda p: p["w"] ** 2, {"w": np.float32(1)}), {"zero": {}})


# ---- one visual language


def test_the_same_optimizer_and_strength_look_the_same_everywhere():
    surface, runs = pair_surface(), walks(optimizers=("momentum", "adam"))
    expected = style.optimizer_style("adam")
    drawn = lines_of(panels(ls.plot.dark_minimum(surface, runs))[0], "adam")[0]
    alone = walks(optimizers=("adam",), strengths={"": 0.1}, starts=1)
    curve = ls.plot.trajectory(alone).axes[0].lines[0]
    assert drawn.get_color() == curve.get_color() == expected.color
    assert curve.get_marker() == expected.marker
    colors = [
        ls.plot.contour(s.isel(b=2)).axes[0].lines[-1].get_color() for s in (surface, surface.sel(penalty=["λ=1"]))
    ]
    assert colors[0] == colors[1] == style.penalty_color(1.0)


def test_optimizers_are_told_apart_without_color():
    names = [
        "sgd",
        "momentum",
        "nesterov",
        "adam",
        "adamw",
        "rmsprop",
        "lbfgs",
        "proximal gradient",
        "gradient flow",
        "lion",
    ]
    looks = [style.optimizer_style(name) for name in names]
    assert len({(look.marker, look.linestyle) for look in looks}) == len(names)
    assert style.optimizer_style("L-BFGS") == style.optimizer_style("lbfgs")
    assert style.optimizer_style("adam 0.1") == style.optimizer_style("adam")
    settings = style.optimizer_styles([*names, "adam 0.1", "adam 0.01", "of my own"])
    assert len({(look.marker, look.linestyle) for look in settings.values()}) == len(settings)
    assert settings["adam"] == style.optimizer_style("adam")
    assert settings["adam 0.01"].marker == style.optimizer_style("adam").marker
    assert style.optimizer_style("of my own") == style.optimizer_style("of my own")
    assert _runs.look("run") == style.optimizer_style("sgd")


def test_strengths_grow_lighter_from_black():
    strengths = [0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0]
    lightness = [style.luminance(style.penalty_color(s)) for s in strengths]
    assert style.penalty_color(0.0) == "#000000"
    assert lightness == sorted(lightness) and len(set(lightness)) == len(lightness)
    assert style.penalty_color(np.nan) not in {style.penalty_color(s) for s in strengths}


def test_the_color_map_is_black_first_and_even_in_lightness():
    """L* grows linearly from 0 to 97: the map reads in grey, and equal steps look equal."""
    values = np.array([style.luminance(c) for c in style.SEQUENTIAL(np.linspace(0, 1, 256))])
    lightness = np.where(values > (6 / 29) ** 3, 116 * np.cbrt(values) - 16, values * (29 / 3) ** 3)
    np.testing.assert_allclose(lightness, np.linspace(0, 97, 256), atol=0.5)
    assert tuple(style.SEQUENTIAL(0.0)) == (0, 0, 0, 1)


def test_the_callers_settings_neither_matter_nor_change():
    surface = pair_surface()
    plain = rendered(ls.plot.dark_minimum(surface))
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "savefig.dpi": 50, "image.cmap": "jet"}):
        before = dict(matplotlib.rcParams)
        assert rendered(ls.plot.dark_minimum(surface)) == plain
        assert dict(matplotlib.rcParams) == before


# ---- files


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_same_data_give_the_same_bytes(kind):
    surface, runs = pair_surface(bad=corner), walks()
    files = [rendered(ls.plot.dark_minimum(surface, runs), kind) for _ in range(2)]
    assert files[0] == files[1]


def test_pdfs_embed_truetype_fonts_and_stay_small():
    surface = pair_surface(np.linspace(-8, 8, 201), np.linspace(-8, 8, 201))
    pdf = rendered(ls.plot.dark_minimum(surface, walks(starts=50)), "pdf")
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    assert len(pdf) < 400_000


def test_hatching_merges_cells():
    """A region of 10⁴ cells that are not finite is one rectangle, not 10⁴."""
    surface = pair_surface(np.linspace(-5, 5, 101), np.linspace(-5, 5, 101), bad=lambda w, b: w > 0)
    (patch,) = panels(ls.plot.contour(surface, "risk"))[0].patches
    assert len(patch.get_path().vertices) == 5


def test_importing_landscape_does_not_import_matplotlib():
    code = "import sys, landscape; assert not any(m.split('.')[0] == 'matplotlib' for m in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_all_names_are_there():
    assert set(ls.plot.__all__) == {
        "animate_descent", "animate_strength",
        "basins", "contour", "dark", "dark_minimum", "gradient_norm", "line", "many_planes", "network", "neuron_output",
        "optimizers", "penalty_path", "persistence", "slices", "spectrum", "style", "surface3d", "trainability",
        "trajectory",
    }  # fmt: skip
    assert all(callable(getattr(ls.plot, name)) for name in ls.plot.__all__ if name != "style")


# ---- with the real thing


@pytest.mark.lenient("optax's Adam raises a float to an int32 step count")
def test_real_surfaces_and_trajectories_are_drawn():
    import optax

    pair = ls.neuron(*ls.datasets.pair())
    penalties = {"λ=0": ls.none(), "λ=0.1": ls.l2(0.1)}
    axes = {"w": np.linspace(-4, 6, 21, dtype=np.float32), "b": np.linspace(-3, 3, 13, dtype=np.float32)}
    plane = ls.axes_plane(pair.params, "w", "b")
    surface = ls.evaluate(pair, plane, axes, quantities=("risk", "gradient_norm"), penalties=penalties)
    starts = {"w": np.float32([-3, 5]), "b": np.float32([2, -2])}
    runs = ls.descend(pair, {"sgd": optax.sgd(0.5), "adam": optax.adam(0.1)}, starts, steps=20, penalties=penalties)
    figures = [
        ls.plot.dark_minimum(surface, runs),
        ls.plot.gradient_norm(surface, runs),
        ls.plot.surface3d(surface.sel(penalty="λ=0.1"), runs.on(surface).sel(penalty="λ=0.1")),
        ls.plot.contour(surface, "risk", runs),
        ls.plot.trajectory(runs, "gradient_norm"),
    ]
    for figure in figures:
        assert len(rendered(figure)) > 10_000
    with pytest.raises(ValueError, match="another objective"):
        ls.plot.dark_minimum(
            surface, ls.descend(ls.neuron(*ls.datasets.o_rings()), optax.sgd(0.1), pair.params, steps=2)
        )


def test_a_run_beyond_the_window_has_no_last_point():
    figure, ax = plt.subplots()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    steps = np.array([2.0, 3.0])
    run = _runs.Run("sgd", "sgd", _runs.look("sgd"), "", 0.0, (steps, steps), {}, True, 0 * steps, steps)
    _paths.draw(ax, [run])
    assert not [line for line in ax.lines if line.get_marker() in "<>v^"]
    assert figure is ax.figure
