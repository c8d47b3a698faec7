"""The axes of a chart: how long a unit of each coordinate is, and windows around paths."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import landscape as ls

PAIR = ls.neuron(*ls.datasets.pair())
ORIGIN = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
BOWL = ls.function(lambda p: jnp.sum(p["kernel"] ** 2) + jnp.sum(p["bias"] ** 2), ORIGIN)


def plane(u=0.01, v=100.0):
    """Directions of these norms, each over two leaves: (3/5, 4/5) of it."""

    def direction(norm, i):
        return {
            "kernel": jnp.zeros((2, 2)).at[i, 0].set(0.6 * norm),
            "bias": jnp.zeros(2).at[i].set(0.8 * norm),
        }

    return ls.Plane(ORIGIN, (direction(u, 0), direction(v, 1)), names=("u", "v"))


def path(u, v, **more):
    """What `on` returns of runs with these coordinates."""
    attrs = {"kind": "coordinate"}
    dims = ("start", "step")[2 - np.ndim(u) :]
    return xr.Dataset({"u": (dims, u, attrs), "v": (dims, v, attrs), **more}, attrs={"chart_id": "uv"})


def test_coordinates_say_how_long_a_unit_is(tmp_path):
    """On surfaces, whatever the order of their axes, in files, and on runs projected or recorded on the plane."""
    surface = ls.evaluate(BOWL, plane(), {"v": [0.0, 1.0], "u": [0.0, 2.0]})
    ls.save(surface, tmp_path / "surface.zarr")
    both = ls.evaluate(BOWL, plane(), {"u": [0.0], "v": [0.0, 1.0]}, penalties={"λ=0": ls.none(), "λ=1": ls.l2(1.0)})
    points = [ORIGIN, plane().point([1.0, 1.0])]
    run = ls.trajectory(BOWL, points)
    recorded = ls.trajectory(BOWL, points, record=plane()).data
    for data in (surface, ls.open_surface(tmp_path / "surface.zarr"), both, run.on(plane()), recorded):
        assert data.u.attrs["unit_length"] == pytest.approx(0.01)
        assert data.v.attrs["unit_length"] == pytest.approx(100.0)
        assert data.u.attrs["kind"] == "coordinate" and data.u.attrs["long_name"] == "u"


def test_other_charts_do_not():
    polar = ls.Polar(ls.axes_plane(PAIR.params, "w", "b"))
    surface = ls.evaluate(PAIR, polar, {"log_scale": [0.0], "angle": [0.0, 1.0]})
    assert "unit_length" not in surface.angle.attrs and surface.angle.attrs["kind"] == "coordinate"


@pytest.mark.parametrize("length", [0.05, 1.0, 500.0])
def test_a_window_is_as_large_as_its_path(length):
    """20% beyond either end of each range, which are not alike."""
    t = np.linspace(0, 1, 7)
    axes = ls.axes_around(path(length * t, -3 * length * t**2))
    assert list(axes) == ["u", "v"] and {len(positions) for positions in axes.values()} == {41}
    np.testing.assert_allclose(axes["u"], np.linspace(-0.2 * length, 1.2 * length, 41))
    np.testing.assert_allclose(axes["v"][[0, -1]], [-3.6 * length, 0.6 * length])


def test_a_window_holds_all_paths_and_starts():
    one, other = path([0.0, 1.0], [0.0, 1.0]), path([[0.0, 5.0], [1.0, np.nan]], [[2.0, 4.0], [3.0, 0.0]])
    axes = ls.axes_around(one, other, points=3, margin=0.0)
    assert axes["u"].tolist() == [0.0, 2.5, 5.0] and axes["v"].tolist() == [0.0, 2.0, 4.0]


def test_a_coordinate_that_does_not_move_has_the_range_of_the_other():
    axes = ls.axes_around(path([0.0, 8.0], [1.0, 1.0]), points=5, margin=0.25)
    np.testing.assert_allclose(axes["v"], [-5, -2, 1, 4, 7])


def test_a_window_around_a_real_path_goes_into_evaluate():
    """What was recorded beside the coordinates is none, and the path lies in the window."""
    points = [plane().point([0.1 * t, 0.02 * t**2]) for t in range(4)]
    seen = ls.trajectory(BOWL, points).on(plane())
    surface = ls.evaluate(BOWL, plane(), ls.axes_around(seen, points=5))
    assert surface.risk.sizes == {"u": 5, "v": 5}
    for name in "uv":
        assert float(surface[name].min()) < float(seen[name].min())
        assert float(seen[name].max()) < float(surface[name].max())


def test_what_has_no_window_is_refused():
    with pytest.raises(TypeError, match=r"`paths` is empty; give what run\.on\(chart\) returned"):
        ls.axes_around()
    with pytest.raises(TypeError, match=r"`paths\[1\]` is a dict; give what run\.on\(chart\) returned"):
        ls.axes_around(path([0.0, 1.0], [0.0, 1.0]), {})
    with pytest.raises(ValueError, match=r"`paths\[0\]` has no coordinates of a chart"):
        ls.axes_around(xr.Dataset({"risk": ("step", [1.0])}))
    with pytest.raises(ValueError, match=r"`paths\[1\]` is on another chart than `paths\[0\]`"):
        ls.axes_around(path([0.0], [1.0]), path([0.0], [1.0]).assign_attrs(chart_id="xy"))
    with pytest.raises(ValueError, match="`paths` do not move on this chart"):
        ls.axes_around(path([1.0, 1.0], [2.0, 2.0]))
    with pytest.raises(ValueError, match="`paths` have no finite position"):
        ls.axes_around(path([np.nan, 1.0], [2.0, np.inf]))
    with pytest.raises(ValueError, match="`points` is 1; it must be at least 2"):
        ls.axes_around(path([0.0, 1.0], [0.0, 1.0]), points=1)
    with pytest.raises(ValueError, match=r"`margin` is -0\.1; it must be a number ≥ 0"):
        ls.axes_around(path([0.0, 1.0], [0.0, 1.0]), margin=-0.1)
