"""Runs that leave the plane: their own values beside the plane's, and how far away they are."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PathCollection
from pictures import closed, legend_labels, meshes, panels, rendered  # noqa: F401  `closed`: a fixture

import landscape as ls
from landscape.plot import _runs, _truth, style

X, Y = np.linspace(-3, 3, 13), np.array([-2.0, -1.5, 0, 1, 2, 2.5])


def bowl():
    """risk = x² + 2y² + 1 on the plane z = 0; off it, z² more."""
    x, y = np.meshgrid(X, Y, indexing="ij")
    variable = (("x", "y"), x**2 + 2 * y**2 + 1, {"long_name": "risk", "units": "1"})
    attrs = {"kind": "surface", "objective": "R", "objective_id": "bowl", "chart_id": "xy", "penalties": '{"": "0"}'}
    return xr.Dataset({"risk": variable, "objective": variable}, {"x": X, "y": Y}, attrs)


def run(distance=2.0, starts=1, fails=None):
    """Straight to the origin, and from the distance to the plane, in 10 steps; every start a bit to the right."""
    t = np.linspace(1, 0, 11)
    x = np.stack([-2.4 * t + 0.1 * i for i in range(starts)])
    y, z = 1.8 * t + 0 * x, distance * t + 0 * x
    finite = np.ones(x.shape, bool)
    if fails is not None:
        finite[:, fails:] = False
    values = {"x": x, "y": y, "residual": z, "risk": x**2 + 2 * y**2 + z**2 + 1}
    values |= {"objective": values["risk"]}
    dims = ("start", "step")
    variables = {name: (dims, np.where(finite, v, np.nan)) for name, v in values.items()}
    attrs = {"kind": "trajectory", "objective": "R", "objective_id": "bowl", "chart_id": "xy", "penalties": '{"": "0"}'}
    data = xr.Dataset(variables | {"finite": (dims, finite)}, {"step": 3 * np.arange(11)}, attrs)
    return data.isel(start=0) if starts == 1 else data


def dots(axes):
    """Positions and colors of the dots on a path, the last one included."""
    found = [c for c in axes.collections if isinstance(c, PathCollection)]
    return np.concatenate([c.get_offsets() for c in found]), np.concatenate([c.get_facecolors() for c in found])


def test_dots_have_the_true_risk_on_the_surfaces_scale():
    surface, data = bowl(), run()
    figure = ls.plot.contour(surface, "risk", data)
    (mesh,) = meshes(figure)
    places, colors = dots(figure.axes[0])
    assert len(places) >= 4
    for place, color in zip(places, colors, strict=True):
        step = int(np.argmin(abs(data.x.to_numpy() - place[0])))
        np.testing.assert_allclose(place, [data.x[step], data.y[step]])
        np.testing.assert_allclose(color, mesh.cmap(mesh.norm(float(data.risk[step]))), atol=1e-6)
    ends = {tuple(np.round(place, 6)) for place in places}
    assert {(-2.4, 1.8), (0.0, 0.0)} <= ends  # where it started and where it ended
    assert {"true risk, same colors", "off the plane by up to 2"} <= legend_labels(figure)


def test_the_panels_underneath_have_the_distance_and_both_risks():
    surface, data = bowl(), run()
    figure = ls.plot.contour(surface, "risk", data)
    distance, values = figure.axes[-2:]
    assert (distance.get_title(), values.get_title()) == ("distance from the plane", "risk; dotted: the plane's")
    np.testing.assert_allclose(distance.lines[0].get_xydata(), np.stack([data.step, data.residual], axis=1))
    true, shown = (next(line for line in values.lines if (line.get_linewidth() == w)) for w in (1.1, 0.7))
    np.testing.assert_allclose(true.get_ydata(), data.risk)
    np.testing.assert_allclose(shown.get_ydata(), data.risk - data.residual**2, atol=0.6)  # linear between grid points
    assert distance.get_xlabel() == values.get_xlabel() == "step"


def test_runs_in_the_plane_are_drawn_as_ever():
    distance = 0.01  # below 1% of the window
    plain = ls.plot.contour(bowl(), "risk", run(distance))
    assert len(panels(plain)) == 1 and not any(isinstance(c, PathCollection) for c in plain.axes[0].collections)
    assert rendered(plain) == rendered(ls.plot.contour(bowl(), "risk", run(distance), truth=False))
    assert len(panels(ls.plot.contour(bowl(), "risk", run(distance), truth=True))) == 3


def test_in_the_callers_axes_there_are_dots_and_no_panels():
    figure = style.figure(4, 4)
    ax = figure.add_subplot()
    ls.plot.contour(bowl(), "risk", run(), ax=ax)
    assert len(panels(figure)) == 1 and len(dots(ax)[0]) >= 4


def test_the_page_grows_by_the_panels_and_keeps_its_width():
    plain, full = (ls.plot.contour(bowl(), "risk", run(), truth=truth) for truth in (False, True))
    assert full.get_figwidth() == pytest.approx(style.SINGLE) == plain.get_figwidth()
    assert 1.0 < full.get_figheight() - plain.get_figheight() < 1.8
    full.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in (full.axes[0], *full.axes[-2:])] + [full.legends[0].get_window_extent()]
    page = full.bbox
    for box in boxes:
        assert page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 3 and page.y0 - 1 <= box.y0 and box.y1 <= page.y1 + 1
    assert boxes[0].y0 >= max(boxes[1].y1, boxes[2].y1) - 1 and min(boxes[1].y0, boxes[2].y0) >= boxes[3].y1 - 1


def test_many_runs_have_dots_at_their_ends_and_a_band():
    figure = ls.plot.contour(bowl(), "risk", run(starts=20))
    assert len(dots(figure.axes[0])[0]) == 40
    assert len(figure.axes[-1].collections) == 1 and "median and 10–90% of 20 runs" in legend_labels(figure)


def test_a_run_that_fails_ends_in_a_cross_everywhere():
    data = xr.concat([run(), run(fails=6)], "start")
    figure = ls.plot.contour(bowl(), "risk", data)
    for ax in (figure.axes[0], *figure.axes[-2:]):
        (cross,) = (line for line in ax.lines if line.get_marker() == "x")
    assert cross.get_xdata()[0] == 15


def test_the_value_under_a_run_is_linear_between_grid_points_and_nan_outside():
    """Exact for a bilinear function, on uneven axes, in one to three coordinates."""
    z = np.array([0.0, 1.0, 5.0])
    x, y, w = np.meshgrid(X, Y, z, indexing="ij")
    surface = xr.Dataset({"risk": (("x", "y", "z"), 1 + x - 2 * y + x * y * w)}, {"x": X, "y": Y, "z": z})
    points = (np.array([0.3, -3.0, 3.1, 3.0]), np.array([-1.7, 2.5, 0.0, -2.0]), np.array([4.0, 5.0, 1.0, 0.5]))
    stub = _runs.Run("run", "run", _runs.look("run"), "", 0.0, points, {}, True, 0 * points[0], np.arange(4))
    px, py, pz = points
    expected = np.where(px > 3, np.nan, 1 + px - 2 * py + px * py * pz)
    np.testing.assert_allclose(_truth.under(surface, "risk", ("x", "y", "z"), stub), expected)
    line = surface.isel(y=0, z=0).isel(x=slice(None, None, -1))
    one = _runs.Run("run", "run", _runs.look("run"), "", 0.0, points[:1], {}, True, 0 * px, np.arange(4))
    np.testing.assert_allclose(_truth.under(line, "risk", ("x",), one), np.where(px > 3, np.nan, 5 + px))


def test_trajectory_shows_what_the_surface_has_at_the_runs_places():
    surface, data = bowl(), run()
    figure = ls.plot.trajectory(data, "risk", surface=surface)
    (ax,) = figure.axes
    true, shown = ax.lines
    np.testing.assert_allclose(true.get_ydata(), data.risk)
    assert float(np.max(true.get_ydata() - shown.get_ydata())) > 3 and "on the surface" in legend_labels(figure)
    assert ls.plot.trajectory(data, "residual").axes[0].get_yscale() == "linear"
    with pytest.raises(ValueError, match="belong to another chart"):
        ls.plot.trajectory(data.assign_attrs(chart_id="uv"), "risk", surface=surface)


def test_runs_of_one_split_are_drawn_on_another_without_their_values():
    """A path from training on the test surface: where it went is true, its risk is that of other data."""
    both = xr.concat([bowl(), 2 * bowl()], xr.DataArray(["train", "test"], dims="split", name="split"))
    both = both.assign_attrs(bowl().attrs, objective_ids=json.dumps({"train": "bowl", "test": "other"}))
    figure = ls.plot.contour(both.sel(split="train"), "risk", run())
    assert "true risk, train, same colors" in legend_labels(figure) and len(panels(figure)) == 3
    figure = ls.plot.contour(both.sel(split="test"), "risk", run())
    assert len(panels(figure)) == 1 and {"run", "off the plane by up to 2"} <= legend_labels(figure) | {"run"}
    assert not any(isinstance(c, PathCollection) for c in figure.axes[0].collections)
    with pytest.raises(ValueError, match="belong to another objective"):
        ls.plot.contour(both.sel(split="test"), "risk", run().assign_attrs(objective_id="third"))


def test_axes_of_a_pca_plane_say_what_they_explain():
    pca = SimpleNamespace(explained=np.array([0.97, 0.0266]), random_walk=np.array([0.61, 0.15]))
    surface = bowl().rename(x="pc2", y="pc1")
    ax = ls.plot.contour(surface, "risk", pca=pca).axes[0]
    labels = [label.replace("\n", " ") for label in (ax.get_xlabel(), ax.get_ylabel())]
    assert labels == [
        "PC 2 (2.7 % of the path's variance; a random walk: 15 %)",
        "PC 1 (97 % of the path's variance; a random walk: 61 %)",
    ]
    own = ls.plot.contour(bowl(), "risk", pca=pca).axes[0]  # names of the user's: in their order
    assert own.get_xlabel().startswith("PC 1") and own.get_ylabel().startswith("PC 2")
    with pytest.raises(TypeError, match=r"`pca` is 'dict'; give what landscape\.pca"):
        ls.plot.contour(surface, "risk", pca={})
    short = SimpleNamespace(explained=np.ones(1), random_walk=np.ones(1))
    with pytest.raises(ValueError, match=r"`pca` has 1 components(.|\n)*'pc2'(.|\n)*n=2"):
        ls.plot.contour(surface, "risk", pca=short)


def test_labels_are_broken_to_fit_beside_their_axes():
    pca = SimpleNamespace(explained=np.array([0.97, 0.0266]), random_walk=np.array([0.61, 0.15]))
    figure = ls.plot.contour(bowl(), "risk", pca=pca)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    box, (x, y) = ax.get_window_extent(), (axis.label.get_window_extent() for axis in (ax.xaxis, ax.yaxis))
    assert "\n" in ax.get_ylabel() and x.width <= 1.2 * box.width and y.height <= 1.2 * box.height


def test_real_splits_and_runs_belong_together():
    """The neuron is all in its plane: its runs on train are drawn on train and on test, and on no other data."""
    import optax

    x, y = ls.datasets.pair()
    pair = ls.neuron(x, y, penalty=ls.l2(0.1))
    axes = {"w": np.linspace(-2, 4, 7, dtype=np.float32), "b": np.linspace(-1, 1, 5, dtype=np.float32)}
    data = {"train": pair.data, "test": (2 * np.asarray(pair.data[0]), *pair.data[1:])}
    both = ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes, data=data)
    runs = ls.descend(pair, optax.sgd(0.5), {"w": np.float32(-1), "b": np.float32(0.5)}, steps=5)
    for split in ("train", "test"):
        figure = ls.plot.contour(both.sel(split=split), "risk", runs, truth=True)
        assert len(panels(figure)) == (3 if split == "train" else 1)
    other = ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes, data={"test": data["test"]})
    with pytest.raises(ValueError, match="belong to another objective"):
        ls.plot.contour(other.sel(split="test"), "risk", runs)
