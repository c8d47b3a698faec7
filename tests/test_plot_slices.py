"""Slices of a volume: their places, their one scale, and which way around."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import AsinhNorm
from pictures import bars, closed, legend_labels, meshes, panels, rendered  # noqa: F401  `closed`: a fixture

import landscape as ls
from landscape.plot.slices import _places

U, V, T = np.linspace(-2, 2, 9), np.array([-1.0, 0, 0.5, 1, 3]), np.array([-2.0, -1, 0, 1, 2, 3, 4])


def volume(risk=lambda u, v, t: u**2 + 2 * v**2 + (t - 1) ** 2):
    values = risk(*np.meshgrid(U, V, T, indexing="ij"))
    dims = ("u", "v", "t")
    variable = (dims, values, {"long_name": "risk", "units": "1"})
    return xr.Dataset({"risk": variable, "objective": variable}, dict(zip(dims, (U, V, T), strict=True)))


def test_slices_are_evenly_spread_around_the_middle_one():
    """Every one is at the same step from the next, as close as the count allows."""
    for total in range(1, 40):
        for count in range(1, 10):
            places = _places(total, count)
            assert (total - 1) // 2 in places and len(places) <= count and len(set(np.diff(places))) <= 1
    assert _places(51, 6).tolist() == [7, 16, 25, 34, 43] and _places(9, 6).tolist() == [0, 2, 4, 6, 8]


def test_each_slice_is_labeled_and_the_first_coordinate_is_horizontal():
    surface = volume()
    figure = ls.plot.slices(surface, along="t", count=4)
    assert [ax.get_title() for ax in panels(figure)] == ["$t$ = −1", "$t$ = 1", "$t$ = 3"]
    assert panels(figure)[0].get_ylabel() == "$v$" and panels(figure)[-1].get_xlabel() == "$u$"
    for mesh, t in zip(meshes(figure), (-1, 1, 3), strict=True):
        values = mesh.get_array().reshape(len(V), len(U)) + float(surface.risk.min())
        np.testing.assert_allclose(values, surface.risk.sel(t=t).transpose("v", "u"))
        np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], V)


def test_all_slices_share_one_scale_that_is_black_at_the_least_of_the_volume():
    figure = ls.plot.slices(volume(), "risk", along="t", count=3)
    drawn = meshes(figure)
    assert len({id(mesh.norm) for mesh in drawn}) == 1 and len(bars(figure)) == 1
    assert [tuple(mesh.cmap(mesh.norm(mesh.get_array().min()))) == (0, 0, 0, 1) for mesh in drawn] == [0, 1, 0]


def test_the_volumes_minimum_is_marked_in_its_slice_alone():
    steep = volume(lambda u, v, t: np.exp(u**2 + 2 * v**2 + (t - 1) ** 2 / 2))
    figure = ls.plot.slices(steep, along="t", count=3)
    assert isinstance(meshes(figure)[0].norm, AsinhNorm) and bars(figure)[0].get_ylabel() == "risk"
    stars = [[line for line in ax.lines if line.get_marker() == "*"] for ax in panels(figure)]
    assert [len(found) for found in stars] == [0, 1, 0]
    assert (stars[1][0].get_xdata()[0], stars[1][0].get_ydata()[0]) == (0, 0)
    assert "minimizer on the grid" in legend_labels(figure)


def test_the_last_coordinate_is_the_default_and_descending_axes_are_sorted():
    surface = volume().isel(t=slice(None, None, -1))
    figure = ls.plot.slices(surface, "risk", count=7, columns=7)
    assert [ax.get_title() for ax in panels(figure)] == [f"$t$ = {t:g}".replace("-", "−") for t in T]
    assert {ax.get_subplotspec().rowspan.start for ax in panels(figure)} == {0}


def test_cells_that_are_not_finite_are_hatched():
    figure = ls.plot.slices(volume(lambda u, v, t: np.where(t > 2, np.nan, u**2 + v + 5)), count=3)
    assert [any(p.get_hatch() for p in ax.patches) for ax in panels(figure)] == [False, False, True]
    assert "not finite" in legend_labels(figure)
    rendered(figure)


def test_what_has_not_three_coordinates_is_refused():
    with pytest.raises(ValueError, match=r"2 coordinates in 'objective' \(u, v\); slices need 3(.|\n)*plot\.contour"):
        ls.plot.slices(volume().isel(t=0))
    with pytest.raises(ValueError, match=r"`along` is 'x'; it must be one of the surface's coordinates, u, v, t"):
        ls.plot.slices(volume(), along="x")
    with pytest.raises(ValueError, match="`count` is 0; it must be a whole number"):
        ls.plot.slices(volume(), count=0)
    with pytest.raises(ValueError, match=r"2 penalties"):
        ls.plot.slices(volume().expand_dims(penalty=["λ=0", "λ=1"]))
    with pytest.raises(ValueError, match=r"2 splits"):
        ls.plot.slices(volume().expand_dims(split=["train", "test"]))
