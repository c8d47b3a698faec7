"""Runs that leave the plane: their own values beside the plane's, and how far away they are."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from matplotlib.collections import PathCollection
from pictures import closed, legend_labels, meshes, panels, rendered  # noqa: F401  `closed`: a fixture

import landscape as ls
from landscape.plot import _runs, _truth, style

X, Y = np.linspace(-3, 3, 13), np.array([-2.0, -1.5, 0, 1, 2, 2.5])
DIAGONAL = 7.5  # of this window


def bowl(unit=1.0):
    """risk = x² + 2y² + 1 on the plane z = 0; off it, z² more. One unit of x or y is so long in params."""
    x, y = np.meshgrid(X, Y, indexing="ij")
    variable = (("x", "y"), x**2 + 2 * y**2 + 1, {"long_name": "risk", "units": "1"})
    attrs = {"kind": "surface", "objective": "R", "objective_id": "bowl", "chart_id": "xy", "penalties": '{"": "0"}'}
    coords = {name: (name, v, {"kind": "coordinate", "unit_length": unit}) for name, v in (("x", X), ("y", Y))}
    return xr.Dataset({"risk": variable, "objective": variable}, coords, attrs)


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
    said = "off the plane by up to 2 (27 % of the window's diagonal)"
    assert {"true risk, same colors", said} <= legend_labels(figure)


def test_the_panels_underneath_have_the_distance_and_both_risks():
    surface, data = bowl(), run()
    figure = ls.plot.contour(surface, "risk", data)
    distance, values = figure.axes[-2:]
    assert distance.get_title().replace("\n", " ") == "distance from the plane (of the window's diagonal)"
    assert values.get_title() == "risk; dotted: the plane's"
    shares = data.residual / DIAGONAL
    np.testing.assert_allclose(distance.lines[0].get_xydata(), np.stack([data.step, shares], axis=1))
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


@pytest.mark.parametrize("unit", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(("share", "told"), [(0.35, True), (0.011, True), (0.009, False), (0.00018, False)])
def test_off_the_plane_is_by_the_windows_size_in_params(unit, share, told):
    """A plane of short directions shows a small window, and of long ones a large one, whatever its coordinates."""
    distance = share * DIAGONAL * unit
    figure = ls.plot.contour(bowl(unit), "risk", run(distance))
    assert (len(panels(figure)) == 3) == told == any("off the plane" in label for label in legend_labels(figure))
    if told:
        assert figure.axes[-2].lines[0].get_ydata()[0] == pytest.approx(share)
        (said,) = (label for label in legend_labels(figure) if "off the plane" in label)
        assert said.startswith(f"off the plane by up to {distance:.2g} (") and "% of the window's diagonal)" in said


@pytest.mark.parametrize("norm", [0.01, 100.0])
def test_off_a_real_plane_is_by_the_norms_of_its_directions(norm):
    """The same params look the same on planes of short and of long directions."""
    objective = ls.function(lambda p: jnp.sum(p["t"] ** 2), {"t": jnp.zeros(3)})
    directions = tuple({"t": jnp.eye(3)[i] * norm} for i in (0, 1))
    plane = ls.Plane(objective.params, directions, names=("x", "y"))
    window = {name: np.linspace(-1, 1, 5) / norm for name in "xy"}
    for height, told in ((1.0, True), (0.02, False)):  # over a diagonal of √8
        points = [{"t": jnp.array([0.5 * t, 0.0, height * t])} for t in (1.0, 0.5, 0.0)]
        seen = ls.trajectory(objective, points).on(plane)
        figure = ls.plot.contour(ls.evaluate(objective, plane, window), "risk", seen)
        assert (len(panels(figure)) == 3) == told
        line = ls.Plane(objective.params, directions[:1], names=("x",))
        curve = ls.evaluate(objective, line, {"x": window["x"]})
        labels = legend_labels(ls.plot.line(curve, "risk", ls.trajectory(objective, points).on(line)))
        assert any("off the line by up to 1 (50 % of the window)" in label for label in labels) == told


def test_on_a_chart_that_is_no_plane_the_distance_is_drawn_as_it_is():
    surface = bowl().drop_attrs(deep=True).assign_attrs(bowl().attrs)
    figure = ls.plot.contour(surface, "risk", run())
    assert figure.axes[-2].get_title() == "distance from the plane"
    assert "off the plane by up to 2" in legend_labels(figure)
    np.testing.assert_allclose(figure.axes[-2].lines[0].get_ydata(), run().residual)


def test_the_distance_is_drawn_where_the_variable_was_not_recorded():
    figure = ls.plot.contour(bowl().assign(accuracy=bowl().risk), "accuracy", run())
    assert len(panels(figure)) == 2 and not any(isinstance(c, PathCollection) for c in figure.axes[0].collections)
    np.testing.assert_allclose(figure.axes[-1].lines[0].get_ydata(), run().residual / DIAGONAL)
    many = ls.plot.contour(bowl().assign(accuracy=bowl().risk), "accuracy", run(starts=20))
    assert "median and 10–90% of 20 runs" in legend_labels(many)


@pytest.mark.parametrize("scale", ["linear", "log", "excess"])
def test_the_color_bar_is_pointed_where_dots_lie_beyond_it(scale):
    """The plane's risk is 1 to 22.5; that of the runs up to 17.2, or 49.2 where they start farther away."""
    surface, near, far = bowl(), run(2.0), run(6.0)
    if scale == "excess":
        surface, near, far = (data.assign(risk=np.exp(data.risk / 2)) for data in (surface, near, far))
    half = float(surface.risk.max() - surface.risk.min()) / 2
    cases = {"neither": near, "max": far, "min": near.assign(risk=near.risk - half)}
    cases["both"] = xr.concat([far, cases["min"]], "start")
    for pointed, data in cases.items():
        figure = ls.plot.contour(surface, "risk", data, log=scale == "log" or (None if scale == "excess" else False))
        assert meshes(figure)[0].colorbar.extend == pointed
    unseen = far.assign(x=far.x + 100)  # outside the window
    assert meshes(ls.plot.contour(surface, "risk", unseen, truth=True))[0].colorbar.extend == "neither"
    failed = run(6.0, fails=1)  # its one point has a cross, not a dot at the end
    assert meshes(ls.plot.contour(surface, "risk", failed, truth=True))[0].colorbar.extend != "both"


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


def splits():
    """The runs' surface as a split of the data, and another split's."""
    both = xr.concat([bowl(), 2 * bowl()], xr.DataArray(["train", "test"], dims="split", name="split"))
    both = both.assign_coords({name: bowl()[name] for name in "xy"})
    return both.assign_attrs(bowl().attrs, objective_ids=json.dumps({"train": "bowl", "test": "other"}))


def test_trajectory_refuses_the_surface_of_another_split():
    """The dots would be the risk of other data than the curves."""
    figure = ls.plot.trajectory(run(), "risk", surface=splits().sel(split="train"))
    assert "on the surface" in legend_labels(figure)
    with pytest.raises(ValueError, match=r"`runs` descended other data than `surface` is of, the split 'test'"):
        ls.plot.trajectory(run(), "risk", surface=splits().sel(split="test"))


def test_runs_of_one_split_are_drawn_on_another_without_their_values():
    """A path from training on the test surface: where it went is true, its risk is that of other data."""
    both = splits()
    figure = ls.plot.contour(both.sel(split="train"), "risk", run())
    assert "true risk, train, same colors" in legend_labels(figure) and len(panels(figure)) == 3
    figure = ls.plot.contour(both.sel(split="test"), "risk", run())
    assert len(panels(figure)) == 2 and any("off the plane by up to 2" in label for label in legend_labels(figure))
    assert not any(isinstance(c, PathCollection) for c in figure.axes[0].collections)
    with pytest.raises(ValueError, match="belong to another objective"):
        ls.plot.contour(both.sel(split="test"), "risk", run().assign_attrs(objective_id="third"))


def walk(points=6, n=2):
    """An objective of four parameters, and the components of a path there."""
    objective = ls.function(lambda p: jnp.sum(p["t"] ** 2), {"t": jnp.zeros(4)})
    t = np.linspace(0, 1, points)
    path = np.stack([9 * t, 3 * t**2, np.cos(9 * t), np.sin(5 * t)], axis=1).astype(np.float32)
    return objective, ls.pca({"t": jnp.asarray(path)}, n)


def on_plane(objective, plane, names):
    """A small surface, its axes in the order of `names`."""
    return ls.evaluate(objective, plane, {name: [-1.0, 0.0, 1.0] for name in names})


def test_axes_of_a_pca_plane_say_what_they_explain():
    """Of the component that they are, whatever they are called and in whatever order."""
    objective, found = walk()
    pca = replace(found, explained=np.array([0.97, 0.0266]), random_walk=np.array([0.61, 0.15]))
    for names in (("pc1", "pc2"), ("pc2", "pc1"), ("u", "v")):
        for order in (names, names[::-1]):
            surface = on_plane(objective, pca.plane(names), order)
            ax = ls.plot.contour(surface, "risk", pca=pca).axes[0]
            labels = [label.replace("\n", " ") for label in (ax.get_xlabel(), ax.get_ylabel())]
            expected = {
                names[0]: "PC 1 (97 % of the path's variance; a random walk: 61 %)",
                names[1]: "PC 2 (2.7 % of the path's variance; a random walk: 15 %)",
            }
            assert labels == [expected[name] for name in order]


def test_axes_of_a_plane_of_several_paths_name_no_random_walk():
    """Two runs on their joint plane; the window holds both paths."""
    bowl = ls.function(lambda p: jnp.sum(jnp.asarray([1.0, 0.3, 2.0]) * jnp.square(p["t"])), {"t": jnp.ones(3)})
    found = {"SGD": ls.descend(bowl, optax.sgd(0.1), {"t": np.array([1.0, 2.0, 0.5], np.float32)}, 8)}
    found["momentum"] = ls.descend(
        bowl, optax.sgd(0.2, momentum=0.9), {"t": np.array([-1.0, 2.0, 1.0], np.float32)}, 12
    )
    pca = ls.pca(found)
    paths = {label: run.on(pca.plane()) for label, run in found.items()}
    surface = ls.evaluate(bowl, pca.plane(), ls.axes_around(*paths.values(), points=5))
    figure = ls.plot.contour(surface, runs=paths, pca=pca)
    labels = [label.replace("\n", " ") for label in (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel())]
    for i, label in enumerate(labels):
        assert label.startswith(f"PC {i + 1} (") and label.endswith(" % of the paths' variance)")


def test_a_slice_of_a_pca_space_has_its_components():
    objective, pca = walk(n=3)
    space = on_plane(objective, pca.plane(), ("pc1", "pc2", "pc3"))
    ax = ls.plot.contour(space.isel(pc1=1), "risk", pca=pca).axes[0]
    assert ax.get_xlabel().startswith("PC 2") and ax.get_ylabel().startswith("PC 3")


def test_a_pca_of_another_plane_is_refused():
    """Its shares would be written beside axes that are not its components."""
    objective, pca = walk()
    turned = ls.Plane(pca.origin, pca.directions[::-1], ("pc1", "pc2"))
    others = [on_plane(objective, plane, ("pc1", "pc2")) for plane in (walk(points=7)[1].plane(), turned)]
    for surface in (*others, bowl()):
        with pytest.raises(ValueError, match=r"`pca` is not of the surface's plane(.|\n)*Evaluate on pca\.plane\(\)"):
            ls.plot.contour(surface, "risk", pca=pca)
    with pytest.raises(TypeError, match=r"`pca` is 'dict'; give what landscape\.pca"):
        ls.plot.contour(bowl(), "risk", pca={})


def test_labels_are_broken_to_fit_beside_their_axes():
    objective, pca = walk()
    axes = {"pc1": np.linspace(-3, 3, 13), "pc2": np.linspace(-2, 2.5, 6)}
    figure = ls.plot.contour(ls.evaluate(objective, pca.plane(), axes), "risk", pca=pca)
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
        assert len(panels(figure)) == (3 if split == "train" else 2)
    other = ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes, data={"test": data["test"]})
    with pytest.raises(ValueError, match="belong to another objective"):
        ls.plot.contour(other.sel(split="test"), "risk", runs)
