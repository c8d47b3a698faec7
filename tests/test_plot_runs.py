"""Runs of several optimizers as a mapping from their labels, each with its own steps, in every picture of runs."""

import jax.numpy as jnp
import numpy as np
import pytest
from pictures import (
    B,
    W,
    closed,  # noqa: F401  a fixture
    legend_labels,
    lines_of,
    pair_surface,
    panels,
    rendered,
    walks,
)

import landscape as ls
from landscape.plot import style

RIDGE = {"": 0.1}


def own(steps, strengths=RIDGE, **options):
    """One run, of an optimizer without a name."""
    runs = walks(optimizers=("sgd",), strengths=strengths, starts=1, steps=steps, **options)
    data = runs.on(None).isel(optimizer=0, start=0, drop=True)
    return data.assign_coords(step=3 * data.step)


def labeled():
    return {"SGD": own(12), "Adam": own(5)}


@pytest.mark.parametrize("draw", [ls.plot.dark_minimum, ls.plot.contour, ls.plot.gradient_norm, ls.plot.surface3d])
def test_each_is_the_optimizer_of_its_label(draw):
    """Both paths are whole; the shorter one is not filled up, which would read as a failure."""
    figure = draw(pair_surface(strengths=RIDGE), runs=labeled())
    assert {"SGD", "Adam"} <= legend_labels(figure) and "became non-finite" not in legend_labels(figure)
    ax = panels(figure)[0]
    for label, data in labeled().items():
        if draw is not ls.plot.surface3d:
            (line,) = lines_of(ax, label)
            np.testing.assert_allclose(line.get_xdata(), data.w)
            assert line.get_color() == style.optimizer_style(label).color
    rendered(figure)


def test_panels_underneath_have_each_ones_steps():
    runs = {label: data.assign(residual=0 * data.risk + 3) for label, data in labeled().items()}
    figure = ls.plot.contour(pair_surface(strengths=RIDGE), "risk", runs)
    distance, values = figure.axes[-2:]
    for ax in (distance, values):
        assert ax.get_xlim()[1] == 36
        drawn = {line.get_color(): line.get_xdata()[-1] for line in ax.lines if line.get_linewidth() > 1}
        assert drawn == {style.optimizer_style("sgd").color: 36, style.optimizer_style("adam").color: 15}


def test_line_has_points_of_each():
    runs = {label: data.drop_vars("b") for label, data in labeled().items()}
    figure = ls.plot.line(pair_surface(strengths=RIDGE).isel(b=4, drop=True), "risk", runs)
    assert {"SGD", "Adam"} <= legend_labels(figure)
    ends = {line.get_marker(): line.get_ydata()[-1] for line in figure.axes[0].lines}
    for label, data in runs.items():
        assert ends[style.optimizer_style(label).marker] == float(data.risk[-1])


def test_trajectory_has_a_curve_of_each():
    figure = ls.plot.trajectory(labeled(), "risk")
    (ax,) = figure.axes
    assert {"SGD", "Adam"} == legend_labels(figure) and ax.get_xlim()[1] == 36
    for line, data in zip(ax.lines, labeled().values(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.stack([data.step, data.risk], axis=1))
    both = ls.plot.trajectory(labeled(), "objective", surface=pair_surface(strengths=RIDGE))
    assert len(both.axes[0].lines) == 4 and "on the surface" in legend_labels(both)


def test_trajectory_has_a_panel_a_penalty_with_each():
    """As of one Trajectory of both; a label's order of the penalties does not matter."""
    strengths = {"λ=0": 0.0, "λ=1": 1.0}
    runs = {"SGD": own(12, strengths), "Adam": own(5, strengths).isel(penalty=slice(None, None, -1))}
    figure = ls.plot.trajectory(runs, "objective")
    assert [ax.get_title() for ax in figure.axes] == ["$λ$ = 0", "$λ$ = 1"]
    for label, ax in zip(strengths, figure.axes, strict=True):
        for line, data in zip(ax.lines, runs.values(), strict=True):
            np.testing.assert_allclose(line.get_ydata(), data.objective.sel(penalty=label))


def test_real_trajectories_of_different_lengths_share_a_surface():
    objective = ls.function(lambda p: jnp.sum(p["t"] ** 2), {"t": jnp.zeros(3)})
    plane = ls.Plane(objective.params, ({"t": jnp.eye(3)[0]}, {"t": jnp.eye(3)[1]}), names=("x", "y"))
    points = [{"t": jnp.array([1.0, 0.5, 0.0]) * 0.5**i} for i in range(6)]
    runs = {"SGD": ls.trajectory(objective, points), "Adam": ls.trajectory(objective, points[:3], [0, 10, 90])}
    axes = ls.axes_around(*(run.on(plane) for run in runs.values()), points=9)
    surface = ls.evaluate(objective, plane, axes)
    for figure in (ls.plot.contour(surface, "risk", runs), ls.plot.trajectory(runs, "risk", surface=surface)):
        assert {"SGD", "Adam"} <= legend_labels(figure)


def test_a_run_in_a_mapping_is_drawn_as_alone():
    """But for its name."""
    surface, data = pair_surface(strengths=RIDGE), own(12)
    alone = rendered(ls.plot.contour(surface, runs=data.assign_coords(optimizer="SGD")))
    assert rendered(ls.plot.contour(surface, runs={"SGD": data})) == alone
    named = data.expand_dims(optimizer=["gradient descent"])  # the label is what it is called here
    assert rendered(ls.plot.contour(surface, runs={"SGD": named})) == alone


def test_mappings_that_do_not_belong_are_refused():
    surface = pair_surface(W, B, RIDGE)
    with pytest.raises(ValueError, match="`runs` is an empty mapping"):
        ls.plot.contour(surface, runs={})
    with pytest.raises(TypeError, match="`runs` has the label 3"):
        ls.plot.contour(surface, runs={3: own(2)})
    with pytest.raises(TypeError, match=r"`runs\['SGD'\]` is a list; it must be a Trajectory"):
        ls.plot.contour(surface, runs={"SGD": [own(2)]})
    with pytest.raises(ValueError, match=r"`runs\['both'\]` holds several optimizers \(sgd, adam\); a label names one"):
        ls.plot.contour(surface, runs={"both": walks(strengths=RIDGE)})
    with pytest.raises(ValueError, match=r"`runs\['Adam'\]` belong to another chart"):
        ls.plot.contour(surface, runs={"SGD": own(2), "Adam": own(2).assign_attrs(chart_id="polar")})
    with pytest.raises(ValueError, match=r"`runs\['b'\]` is of another objective than the first(.|\n)*\(id other\)"):
        ls.plot.trajectory({"a": own(2), "b": own(2).assign_attrs(objective_id="other")})
    with pytest.raises(ValueError, match=r"`runs\['b'\]` used the penalties \['0.2·‖θ‖²'\], and the first of `runs`"):
        ls.plot.trajectory({"a": own(2), "b": own(2, {"": 0.2})})
    with pytest.raises(ValueError, match="`variable` is 'accuracy'; the runs recorded"):
        ls.plot.trajectory(labeled(), "accuracy")
