"""Many planes of one model: which curves, medians and bands; planes and models that do not belong are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PolyCollection
from matplotlib.colors import same_color
from pictures import bars, closed, legend_labels, meshes, panels, rendered  # noqa: F401  `closed`: a fixture

import landscape as ls
from landscape.plot import style

A = np.linspace(-1, 1, 11)


def surface(curvature, base=0.5, lines=False, name="A", plane=0, axis=A):
    """risk = base + curvature·(α² + β²): on a ring of radius r the increase is curvature·r², whatever the direction."""
    dims = ("alpha",) if lines else ("alpha", "beta")
    squares = sum(np.square(x) for x in np.meshgrid(*[axis] * len(dims), indexing="ij"))
    return xr.Dataset(
        {"risk": (dims, base + curvature * squares, {"long_name": "risk", "units": "1"})},
        dict.fromkeys(dims, axis),
        {"kind": "surface", "objective_id": name, "chart_id": f"{name}{plane}"},
    )


def group(curvatures, **options):
    return [surface(c, plane=i, **options) for i, c in enumerate(curvatures)]


def curves(axes, width):
    return [line for line in axes.lines if line.get_linewidth() == width]


def test_lines_are_drawn_each_with_their_median_and_quartiles():
    figure = ls.plot.many_planes(group([1.0, 2, 4, 8, 20], lines=True))
    (ax,) = figure.axes
    assert len(curves(ax, 0.45)) == 5 and ax.get_xlabel() == "$α$" and ax.get_ylabel() == "risk"
    for line, curvature in zip(curves(ax, 0.45), (1, 2, 4, 8, 20), strict=True):
        np.testing.assert_allclose(line.get_ydata(), 0.5 + curvature * A**2)
    (median,) = curves(ax, 1.2)
    np.testing.assert_allclose(median.get_ydata(), 0.5 + 4 * A**2)
    (band,) = (c for c in ax.collections if isinstance(c, PolyCollection))
    box = band.get_paths()[0].get_extents()
    assert (box.y0, box.y1) == pytest.approx((0.5, 8.5))
    assert {"median", "quartiles", "each of 5 lines"} == legend_labels(figure)
    assert figure.get_figwidth() == pytest.approx(style.SINGLE)


def test_planes_are_drawn_against_the_distance_from_the_center():
    figure = ls.plot.many_planes(group([3.0, 1.0, 2.0]))
    ax, *contours = panels(figure)
    assert ax.get_xlabel() == "distance from the center, √($α$² + $β$²)"
    assert ax.get_ylabel() == "risk − that at the center"
    for line, curvature in zip(curves(ax, 0.45), (3, 1, 2), strict=True):
        x, y = line.get_data()
        assert x[0] == y[0] == 0 and x[-1] <= 1
        np.testing.assert_allclose(y, curvature * x**2, atol=curvature * 0.2**2)  # the mean of r² over a ring, and r̄²
    assert [c.get_title() for c in contours] == ["flattest: plane 2", "median: plane 3", "steepest: plane 1"]
    assert len({id(mesh.norm) for mesh in meshes(figure)}) == 1 and len(bars(figure)) == 1
    heights = [mesh.get_array().max() for mesh in meshes(figure)]
    assert heights == sorted(heights)
    rendered(figure)


def test_two_models_share_the_picture_in_colors_of_their_own():
    models = {"with skips": group([1.0, 1.5, 2.0]), "without": group([10.0, 12.0], name="B", base=1.0)}
    figure = ls.plot.many_planes(models, log=True)
    ax, *contours = panels(figure)
    assert ax.get_yscale() == "log" and len(contours) == 6
    first, second = curves(ax, 1.2)
    np.testing.assert_allclose(second.get_ydata()[1:] / first.get_ydata()[1:], 11 / 1.5)
    assert same_color(first.get_color(), style.BLUE) and same_color(second.get_color(), style.VERMILLION)
    assert first.get_linestyle() != second.get_linestyle()
    assert {"with skips", "without", "each of its planes"} <= legend_labels(figure)
    named = {text.get_text(): text.get_color() for c in contours for text in c.texts}
    assert named["with skips"] == style.BLUE and named["without"] == style.VERMILLION
    narrow = ls.plot.many_planes(models, width=style.SINGLE)
    assert narrow.get_figwidth() == pytest.approx(style.SINGLE)
    rendered(narrow)


def test_flat_is_in_the_mean_over_the_disk():
    """Not at its rim: the first plane is lower there, and changes more on the way; up and down do not cancel."""
    bumpy, bowl, wave = group([1.0, 1.0, 1.0])
    a, b = np.meshgrid(A, A, indexing="ij")
    squares = a**2 + b**2
    bumpy["risk"][:] = 0.5 + 4 * squares * np.exp(-2 * squares)  # 0.54 at radius 1, up to 0.74 inside
    bowl["risk"][:] = 0.5 + 0.6 * squares
    wave["risk"][:] = 0.5 + 2 * (a + b)
    figure = ls.plot.many_planes([wave, bumpy, bowl])
    titles = [ax.get_title() for ax in panels(figure)[1:]]
    assert titles == ["flattest: plane 3", "median: plane 2", "steepest: plane 1"]


def test_flat_is_what_compare_flatness_calls_flat():
    params = {"kernel": jnp.ones((3, 2))}

    def losses(p):
        return jnp.sum((p["kernel"] - 1) ** 2 * jnp.arange(1.0, 7.0).reshape(3, 2) ** 2) + jnp.sum(p["kernel"] ** 3)

    objective = ls.function(losses, params)
    flatness = ls.compare_flatness(objective, objective, 7, key=jax.random.key(3), points=7)
    order = np.argsort(flatness.data.a.to_numpy()) + 1
    figure = ls.plot.many_planes(flatness.surfaces["a"])
    titles = [ax.get_title() for ax in panels(figure)[1:]]
    assert titles == [f"flattest: plane {order[0]}", f"median: plane {order[3]}", f"steepest: plane {order[-1]}"]


def test_a_plane_with_a_cell_that_is_not_finite_is_the_steepest():
    some = group([3.0, 1.0, 2.0])
    some[1]["risk"][5, 6] = np.inf
    assert panels(ls.plot.many_planes(some))[-1].get_title() == "steepest: plane 2"


def test_a_dataset_over_planes_is_its_surfaces():
    some = group([1.0, 3.0])
    joined = xr.concat(some, "plane", combine_attrs="drop_conflicts")
    assert rendered(ls.plot.many_planes(joined)) == rendered(ls.plot.many_planes(some))


def test_rings_with_a_cell_that_is_not_finite_end_the_curve_and_are_hatched():
    some = group([1.0, 2.0, 3.0])
    some[2]["risk"][0, 5] = np.inf  # at distance 1
    figure = ls.plot.many_planes(some)
    ax = panels(figure)[0]
    assert [np.isfinite(line.get_ydata()).all() for line in curves(ax, 0.45)] == [True, True, False]
    assert np.isfinite(curves(ax, 1.2)[0].get_ydata()).all()
    assert any(patch.get_hatch() for patch in ax.patches) and "not finite" in legend_labels(figure)


def test_what_is_no_spread_is_refused():
    draw = ls.plot.many_planes
    with pytest.raises(TypeError, match=r"`surfaces` is 'Dataset' without a dimension `plane`"):
        draw(surface(1.0))
    with pytest.raises(TypeError, match=r"`surfaces\['A'\]` is 'int'"):
        draw({"A": 3})
    with pytest.raises(ValueError, match=r"`surfaces\['A'\]` holds 1; a spread needs two"):
        draw({"A": group([1.0])})
    with pytest.raises(ValueError, match="empty mapping"):
        draw({})
    with pytest.raises(ValueError, match=r"are not on the same axes(.|\n)*beta: 11 from -1 to 1(.|\n)*9 from -1 to 1"):
        draw({"A": group([1.0, 2.0]), "B": group([1.0, 2.0], axis=np.linspace(-1, 1, 9))})
    with pytest.raises(ValueError, match=r"of 'A' hold the same plane twice; draw each one's directions"):
        draw({"A": [surface(1.0), surface(2.0)]})
    with pytest.raises(ValueError, match=r"`surfaces` are of different objectives; give each a label"):
        draw([surface(1.0), surface(1.0, name="B")])
    with pytest.raises(ValueError, match="axes without 0"):
        draw(group([1.0, 2.0], axis=np.linspace(-1, 1, 10)))
    with pytest.raises(ValueError, match="axes that end at 0"):
        draw(group([1.0, 2.0], axis=np.linspace(0, 1, 5)))
    wide = xr.Dataset(
        {"risk": (("alpha", "beta"), np.ones((21, 11)))}, {"alpha": np.linspace(-1, 1, 21), "beta": 10 * A}
    )
    with pytest.raises(ValueError, match=r"steps up to 2, and the largest disk around 0 inside them has the radius 1:"):
        draw([wide, wide])
    draw([wide.isel(beta=slice(3, 8)).assign_coords(beta=A[3:8])] * 2)  # one reaches farther than the other
    with pytest.raises(ValueError, match="2 splits"):
        draw([s.expand_dims(split=["train", "test"]) for s in group([1.0, 2.0])])
    with pytest.raises(ValueError, match=r"3 coordinates \(c, alpha, beta\)"):
        draw([s.expand_dims(c=[0.0, 1.0]) for s in group([1.0, 2.0])])
