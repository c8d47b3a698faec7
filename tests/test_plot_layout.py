"""What a reader sees of a page: numbers in gaps of their lines, one scale, proportions, room in the caller's axes."""

import json
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.contour import QuadContourSet
from pictures import bars, closed, legend_labels, meshes, pair_surface, panels, walks  # noqa: F401  `closed`: a fixture
from test_plot_planes import group
from test_plot_slices import volume
from test_plot_truth import bowl, run

import landscape as ls
from landscape.plot import _curves, _numbers, _panels, style


def numbered(ax):
    """The contour lines of axes, and their numbers."""
    (lines,) = (c for c in ax.collections if isinstance(c, QuadContourSet))
    return lines, list(lines.labelTexts)


def struck(ax):
    """The numbers through which a contour line runs, in the middle half of their height."""
    lines, texts = numbered(ax)
    points = [_numbers._between(p) for path in lines.get_paths() for p in pieces(path)]
    points = ax.transData.transform(np.concatenate(points))
    found = []
    for text in texts:
        angle = np.deg2rad(text.get_rotation())
        text.set_rotation(0)
        box = text.get_window_extent()
        text.set_rotation(np.rad2deg(angle))
        offset = points - ax.transData.transform(text.get_position())
        along, across = offset @ [np.cos(angle), np.sin(angle)], offset @ [-np.sin(angle), np.cos(angle)]
        if np.any((abs(along) < 0.45 * box.width) & (abs(across) < 0.25 * box.height)):
            found.append(text.get_text())
    return found


def pieces(path):
    starts = np.flatnonzero(path.codes == path.MOVETO)[1:]
    return [piece for piece in np.split(path.vertices, starts) if len(piece)]


def steep():
    """A valley along y, whose lines are vertical, three times as long as the picture's lower panels are high."""
    x, y = np.linspace(-3, 3, 41), np.linspace(-2, 2.5, 31)
    u, v = np.meshgrid(x, y, indexing="ij")
    values = (("x", "y"), np.exp(u**2 + 0.02 * v**2 * (1 + u)), {"long_name": "risk"})
    return xr.Dataset({"risk": values, "objective": values}, {"x": x, "y": y}, bowl().attrs)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: ls.plot.contour(bowl(), "risk", run()),
        lambda: ls.plot.contour(steep(), "risk", run()),
        lambda: ls.plot.dark_minimum(pair_surface(np.linspace(-9, 9, 61), np.linspace(-4, 4, 41)), walks()),
        lambda: ls.plot.gradient_norm(pair_surface(np.linspace(-9, 9, 61), np.linspace(-4, 4, 41))),
        lambda: ls.plot.slices(volume(), "risk"),
        lambda: ls.plot.many_planes(group([1.0, 20.0, 3.0])),
    ],
)
def test_numbers_stand_in_gaps_of_their_lines_and_upright(draw):
    figure = draw()
    drawn = [ax for ax in panels(figure) if any(isinstance(c, QuadContourSet) for c in ax.collections)]
    assert drawn and sum(len(numbered(ax)[1]) for ax in drawn) >= len(drawn)
    for ax in drawn:
        assert struck(ax) == []
        assert all(-61 <= (text.get_rotation() + 90) % 360 - 90 <= 90 for text in numbered(ax)[1])


def test_numbers_follow_a_layout_of_the_callers():
    """The panels become smaller as more are drawn; lines that were numbered before would be in gaps too short."""
    figure, axes = plt.subplots(2, 2, figsize=(5, 5), layout="constrained")
    ls.plot.contour(bowl(), "risk", ax=axes[0, 0])
    figure.draw_without_rendering()
    before = len(numbered(axes[0, 0])[1])
    figure.set_size_inches(2.5, 2.5)
    figure.draw_without_rendering()
    assert struck(axes[0, 0]) == [] and 0 < len(numbered(axes[0, 0])[1]) <= before
    assert len(axes[0, 0].texts) == len(numbered(axes[0, 0])[1])  # the old ones are gone


def test_a_small_loop_has_no_number():
    """There the number would cover its line."""
    x = np.linspace(-1, 1, 41)
    u, v = np.meshgrid(x, x, indexing="ij")
    surface = xr.Dataset({"risk": (("a", "b"), np.maximum(1000 * (u**2 + v**2), 0.95))}, {"a": x, "b": x})
    figure = ls.plot.contour(surface, "risk", log=True)
    written = {text.get_text() for text in numbered(panels(figure)[0])[1]}
    assert "1" not in written and "100" in written


# ---- one scale


def shown_ticks(bar):
    axis = bar.yaxis if bar.get_ylabel() else bar.xaxis
    return {label.get_text(): place for label, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)}


@pytest.mark.parametrize("draw", [ls.plot.contour, ls.plot.dark_minimum, ls.plot.surface3d])
def test_the_bar_of_one_panel_is_of_the_values_that_the_lines_have(draw):
    """And a tick is where the colors have its value: the colors are those of the excess."""
    surface = pair_surface(np.linspace(-9, 9, 61), np.linspace(-4, 4, 41), {"": 0.1})
    surface["objective"] += 0.7
    figure = draw(surface)
    figure.draw_without_rendering()
    (bar,) = bars(figure)
    ticks = shown_ticks(bar)
    assert (bar.get_ylabel() or bar.get_xlabel()) == "objective" and len(ticks) >= 3
    for text, place in ticks.items():
        assert float(text) == pytest.approx(place + float(surface.objective.min()))
    if draw is not ls.plot.surface3d:
        written = {text.get_text() for text in numbered(panels(figure)[0])[1]}
        assert {text for text in written if float(text) <= max(map(float, ticks))} <= set(ticks)


def test_several_panels_share_the_excess_and_say_what_the_numbers_are():
    said = "the numbers on the lines are the objective itself"
    figure = ls.plot.dark_minimum(pair_surface())
    assert said in legend_labels(figure) and bars(figure)[0].get_ylabel().endswith("in the panel")
    each = ls.plot.dark_minimum(pair_surface(), shared_scale=False)
    assert said not in legend_labels(each) and {bar.get_ylabel() for bar in bars(each)} == {"objective"}


def test_values_close_together_are_written_with_all_their_digits():
    surface = pair_surface(np.linspace(-9, 9, 61), np.linspace(-4, 4, 41), {"": 0.1})
    surface["objective"] = 12345 + 1e-3 * surface.objective
    figure = ls.plot.contour(surface)
    written = [text.get_text() for text in numbered(panels(figure)[0])[1]]
    assert len(written) > 1 and len(set(written)) == len(written)


def test_what_is_finite_nowhere_has_no_scale():
    for draw in (ls.plot.contour, ls.plot.gradient_norm, ls.plot.dark_minimum, ls.plot.surface3d):
        figure = draw(pair_surface(strengths={"": 0.1}, bad=lambda w, b: w > -100).assign(gradient_norm=nowhere))
        assert not bars(figure)
        notes = {text.get_text() for ax in panels(figure) for text in ax.texts}
        assert draw is ls.plot.surface3d or "nothing finite in this window" in notes


def nowhere(surface):
    return surface.risk * np.nan


# ---- proportions


@pytest.mark.parametrize(
    ("unit", "aspect", "said"),
    [(1.0, 0.75, ""), (2.0, 1.5, ""), (0.55, 0.4125, ""), (0.2, 1.0, "6.7 : 1"), (8.0, 1.0, "1 : 6")],
)
def test_planes_have_the_proportions_of_distances_between_params(unit, aspect, said):
    """The window is 6 × 4.5 in coordinates, of which one of the second is so long."""
    surface = bowl()
    surface.y.attrs["unit_length"] = unit
    figure = ls.plot.contour(surface, "risk")
    assert panels(figure)[0].get_box_aspect() == pytest.approx(aspect)
    assert legend_labels(figure) >= ({f"not to scale: {said}"} if said else set())
    assert any("not to scale" in label for label in legend_labels(figure)) == bool(said)


# ---- steps


@pytest.mark.parametrize(
    ("steps", "log"),
    [
        (np.arange(0, 201, 10), False),
        (np.arange(501), True),
        (np.arange(51), False),
        (np.array([0, *2 ** np.arange(11)]), True),
        (np.array([0]), False),
    ],
)
def test_steps_are_logarithmic_where_the_first_hundredth_holds_some(steps, log):
    assert _curves.is_log([steps]) == log
    data = run().isel(step=0, drop=True).expand_dims(step=steps)
    axes = [ls.plot.trajectory(data, "risk").axes[0], ls.plot.contour(bowl(), "risk", data, truth=True).axes[-1]]
    assert {ax.get_xscale() for ax in axes} == {"symlog" if log else "linear"}
    assert ls.plot.trajectory(data, "risk", xscale="log").axes[0].get_xscale() == "symlog"


def test_markers_on_the_border_are_whole_and_lines_look_as_in_the_legend():
    named = run().assign_coords(optimizer="Adam")
    figure = ls.plot.contour(bowl(), "risk", named)
    for ax in (*figure.axes[-2:], ls.plot.trajectory(named, "risk").axes[0]):
        line: Any = ax.lines[0]
        box = line.get_clip_box()
        assert box.x0 < ax.bbox.x0 and ax.bbox.x1 < box.x1
        assert (box.y0 < ax.bbox.y0) == (ax is figure.axes[-2])  # distances end at 0; else a curve may go on below
        assert line.is_dashed()
    handles: list[Any] = [handle for legend in figure.legends for handle in legend.legend_handles]
    entries = [handle for handle in handles if handle.get_label() == "Adam"]
    assert entries[0].is_dashed()


# ---- the caller's axes


def overlap(one, another):
    return (
        min(one.x1, another.x1) - max(one.x0, another.x0) > 1 and min(one.y1, another.y1) - max(one.y0, another.y0) > 1
    )


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_panels_of_the_callers_keep_to_their_places(layout):
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.2), layout=layout)
    for ax in axes:
        ls.plot.contour(steep(), "risk", ax=ax)
    figure.draw_without_rendering()
    one, another = (ax.get_tightbbox() for ax in axes)
    assert not overlap(one, another)
    for ax in axes:
        (bar,) = ax.child_axes
        assert bar.get_window_extent().height == pytest.approx(ax.bbox.height) and bar.get_ylabel() == "risk"
        legend = ax.get_legend().get_window_extent()
        assert legend.y1 < ax.bbox.y0 and legend.y0 > 0


def test_a_legend_for_which_there_is_no_room_is_left_out():
    ax = plt.figure(figsize=(2.2, 1.2)).add_subplot()
    ls.plot.contour(steep(), "risk", run(), ax=ax)
    assert ax.get_legend() is None


# ---- widths, names, messages


def test_one_panel_is_a_column_wide_and_five_stand_in_a_row():
    one = pair_surface(strengths={"": 0.1})
    assert ls.plot.gradient_norm(one).get_figwidth() == pytest.approx(style.SINGLE)
    assert ls.plot.gradient_norm(pair_surface()).get_figwidth() == pytest.approx(style.DOUBLE)
    five = xr.concat([volume().isel(t=i).assign_coords(t=float(i)) for i in range(5)], "t")
    figure = ls.plot.slices(five.transpose("u", "v", "t"), "risk")
    specs: list[Any] = [ax.get_subplotspec() for ax in panels(figure)]
    assert [spec.rowspan.start for spec in specs] == [0] * 5


def test_principal_components_have_one_name():
    surface = bowl().rename(x="pc1", y="pc2")
    for draw in (ls.plot.contour, ls.plot.surface3d):
        ax = draw(surface).axes[0]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("PC 1", "PC 2")


def test_components_are_selected_and_named():
    pair = ls.neuron(*ls.datasets.pair())
    axes = {"w": np.linspace(-2, 2, 5), "b": np.linspace(-1, 1, 5)}
    plane = ls.axes_plane(pair.params, "w", "b")
    surface = ls.evaluate(pair, plane, axes, quantities=("slope", "plane_hessian"))
    with pytest.raises(
        ValueError, match=r"components of 'slope' along 'coordinate' \(w, b\)(.|\n)*isel\(coordinate=0\)"
    ):
        ls.plot.contour(surface, "slope")
    with pytest.raises(ValueError, match=r"surface\.isel\(coordinate=0, coordinate_=0\)"):
        ls.plot.contour(surface, "plane_hessian")
    figure = ls.plot.contour(surface.isel(coordinate=1), "slope")
    assert bars(figure)[0].get_ylabel().replace("\n", " ").endswith(", b") and len(meshes(figure)) == 1


def test_a_path_in_the_place_of_the_variable_is_told_where_it_belongs():
    with pytest.raises(TypeError, match=r"`variable` is a Dataset; .* contour\(surface, runs=\.\.\.\)"):
        ls.plot.contour(bowl(), run())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("w", "$w$"),
        ("α", "$α$"),
        ("lambda", "$λ$"),
        ("eta_2", "$η_{2}$"),
        ("w10", "$w_{10}$"),
        ("pc1", "PC 1"),
        ("w[0]", "w[0]"),
        ("bias", "bias"),
        ("字", "字"),
    ],
)
def test_variables_are_in_italics(name, shown):
    assert _panels.label_of(xr.DataArray([0.0], {name: [1.0]}, (name,))[name]) == shown


@pytest.mark.parametrize(
    ("label", "shown"), [("λ=0.1", "$λ$ = 0.1"), ("l2, λ = 1", "l2, $λ$ = 1"), ("$λ$=1", "$λ$ = 1"), ("none", "none")]
)
def test_greek_letters_of_labels_are_in_italics(label, shown):
    assert _panels.title_of(label) == shown


def test_charts_are_described_in_a_few_words():
    objective = ls.function(lambda p: jnp.sum(p["t"] ** 2), {"t": jnp.zeros(500)})
    directions = tuple({"t": jnp.eye(500)[i]} for i in range(3))
    one, another = (ls.Plane(objective.params, directions[i : i + 2], names=("x", "y")) for i in (0, 1))
    surface = ls.evaluate(objective, one, {"x": [-1.0, 0, 1], "y": [-1.0, 0, 1]})
    surface.attrs["chart"] = json.dumps({"kind": "Plane", "names": ["x", "y"], "origin": [0.0] * 500})
    seen = ls.trajectory(objective, [{"t": jnp.ones(500)}, objective.params]).on(another)
    with pytest.raises(ValueError, match=r"Plane of x, y \(id (.|\n)*run\.on\(plane\)") as caught:
        ls.plot.contour(surface, runs=seen)
    assert len(str(caught.value)) < 400


def test_a_panel_of_no_extent_has_no_ratio():
    from landscape.plot import _panels

    (panel,) = _panels.read(bowl(), "risk")
    assert panel.ratio == pytest.approx(0.75) and replace(panel, lengths=(0.0, 1.0)).ratio is None


def test_few_places_are_looked_at_for_each_number(monkeypatch):
    """Of a rough surface's thousands: no more than it takes, or drawing would last minutes."""
    asked: list[int] = []
    free = _numbers._free

    def counted(places: Any, *rest: Any) -> Any:
        asked.append(len(places))
        return free(places, *rest)

    monkeypatch.setattr(_numbers, "_free", counted)
    axis = np.linspace(-1, 1, 31)
    rough = bowl().isel(x=[0] * 31, y=[0] * 31).assign_coords(x=axis, y=axis).copy(deep=True)
    rough["risk"][:] = np.random.default_rng(0).normal(size=(31, 31))
    ls.plot.contour(rough, "risk").canvas.draw()
    assert asked and max(asked) <= 2 * _numbers._CANDIDATES
