"""Critical points on pictures: where they lie, how each kind looks, which belong there, and which are refused."""

import jax
import numpy as np
import pytest
from pictures import closed, legend_labels, panels, rendered  # noqa: F401  the first is a fixture

import landscape as ls
from landscape.plot import style

SQUARED = {"loss": "half_squared_error", "bias": False}
WIDE = np.linspace(-1, 3, 41)


def auer(dimension, **options):
    x, y = np.array([1.0, 30.0]), np.array([0.9, 0.1])
    rows = np.kron(np.eye(dimension), x[:, None]) if dimension > 1 else x
    return ls.neuron(rows, np.tile(y, dimension), **SQUARED, **options)


@pytest.fixture(scope="module")
def plane():
    """Nine points of a neuron of two weights, and its surface."""
    with jax.enable_x64(True):
        objective = auer(2)
        exact = np.array([-0.0632, 0.1908, 2.1972])
        starts = np.stack(np.meshgrid(exact, exact), axis=-1).reshape(-1, 2)
        found = ls.critical_points(objective, {"w": starts})
        surface = ls.evaluate(
            objective, ls.axes_plane(objective.params, "w[0]", "w[1]"), {"w[0]": WIDE, "w[1]": WIDE}, progress=False
        )
    return objective, found, surface


@pytest.fixture(scope="module")
def one():
    with jax.enable_x64(True):
        objective = auer(1)
        found = ls.critical_points(objective, {"w": np.linspace(-4, 4, 41)})
        surface = ls.evaluate(objective, ls.axes_plane(objective.params, "w"), {"w": WIDE}, progress=False)
    return objective, found, surface


def marked(axes, kind):
    """Positions (n, 2) of the points that are drawn as this kind."""
    marker = style.kind_style(kind)["marker"]
    found = [np.stack(line.get_data(), axis=1) for line in axes.lines if line.get_marker() == marker]
    return np.concatenate([np.empty((0, 2)), *found])


def test_points_are_marked_by_kind_in_place_of_the_least_cell(plane):
    _, found, surface = plane
    figure = ls.plot.contour(surface, points=found)
    (axes,) = panels(figure)
    assert {kind: len(marked(axes, kind)) for kind in style.KINDS} == {
        "minimum": 4, "saddle": 4, "maximum": 1, "degenerate": 0, "unknown": 0,
    }  # fmt: skip
    for kind in ("minimum", "saddle", "maximum"):
        own = found.params["w"][found.data.kind.values == kind]
        np.testing.assert_allclose(marked(axes, kind), own, rtol=1e-6)
    assert legend_labels(figure) == {"minimum", "saddle", "maximum"}
    assert rendered(figure)


def test_points_outside_the_window_or_off_the_plane_are_left_out(plane):
    objective, found, surface = plane
    (axes,) = panels(ls.plot.contour(surface.sel({"w[0]": slice(-1, 1)}), points=found))
    assert len(marked(axes, "minimum")) == 2 and marked(axes, "minimum")[:, 0].max() < 1
    with jax.enable_x64(True):
        line = ls.evaluate(
            objective.with_params({"w": np.array([0.0, found.params["w"][0, 1]])}),
            ls.axes_plane({"w": np.array([0.0, found.params["w"][0, 1]])}, "w[0]"),
            {"w[0]": WIDE},
            progress=False,
        )
    (axes,) = panels(ls.plot.line(line, "objective", points=found))
    seen = found.on(line)
    assert (seen.off_chart < 1e-9).sum() == 3 == sum(len(marked(axes, kind)) for kind in style.KINDS)


def test_points_on_a_line_stand_at_their_own_values(one):
    _, found, surface = one
    (axes,) = panels(ls.plot.contour(surface, "objective", points=found))
    here = np.stack([found.params["w"], found.data.objective], axis=1)
    np.testing.assert_allclose(marked(axes, "minimum"), here[:2], rtol=1e-6)
    np.testing.assert_allclose(marked(axes, "maximum"), here[2:], rtol=1e-6)
    with pytest.raises(ValueError, match="`points` have no 'gradient_norm', which is drawn"):
        ls.plot.line(surface.assign(gradient_norm=surface.risk), "gradient_norm", points=found)


def test_points_of_an_interpolant_are_marked_too(one):
    objective, found, surface = one
    with jax.enable_x64(True):
        chart = ls.axes_plane(objective.params, "w")
        points = ls.interpolate(objective, chart, {"w": (-1.0, 3.0)}, tolerance=1e-4, progress=False).critical_points()
    (axes,) = panels(ls.plot.contour(surface, "objective", points=points))
    places = np.concatenate([marked(axes, kind) for kind in style.KINDS])[:, 0]
    np.testing.assert_allclose(np.sort(places), np.sort(found.params["w"]), atol=0.02)


def test_points_seen_on_a_chart_keep_their_table(plane):
    _, found, surface = plane
    seen = found.on(surface)
    np.testing.assert_allclose(seen["w[1]"], found.params["w"][:, 1], rtol=1e-6)
    assert set(found.data) < set(seen) and seen.attrs["chart_id"] == surface.attrs["chart_id"]
    assert seen.attrs["objective_id"] == surface.attrs["objective_id"] and seen.attrs["kind"] == "critical_points"


def test_no_points_are_a_picture_without_marks():
    with jax.enable_x64(True):
        pair = ls.neuron(*ls.datasets.pair())
        found = ls.critical_points(pair, key=jax.random.key(0), num_starts=8)
        axes = {"w": WIDE, "b": WIDE}
        surface = ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes, progress=False)
    assert not len(found.data.point) and not len(found.on(surface).point)
    (axes,) = panels(ls.plot.contour(surface, points=found))
    assert not any(len(marked(axes, kind)) for kind in style.KINDS)


def test_what_does_not_belong_is_refused(plane, one):
    objective, found, surface = plane
    with pytest.raises(ValueError, match="`points` belong to another objective"):
        ls.plot.contour(surface, points=one[1])
    with pytest.raises(TypeError, match=r"`points` is an int; it must be what landscape\.critical_points"):
        ls.plot.contour(surface, points=3)
    with pytest.raises(ValueError, match="`points` have no coordinate"):
        ls.plot.contour(surface, points=found.data)
    with jax.enable_x64(True):
        penalized = ls.critical_points(objective.with_penalty(ls.l2(0.01)), {"w": np.zeros((1, 2))})
        seen = found.on(ls.axes_plane(objective.params, "w[1]", "w[0]"))
    with pytest.raises(ValueError, match="`points` used a penalty that the surface does not show"):
        ls.plot.contour(surface, points=penalized)
    with pytest.raises(ValueError, match="`points` belong to another chart"):
        ls.plot.contour(surface, points=seen)
