"""Pictures of basins and of trainability: a color a minimum, stars, marks of what failed; blue and red by rank."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb
from pictures import closed, legend_labels, rendered  # noqa: F401  the first is a fixture

from landscape.plot import style
from landscape.plot.basins import basins
from landscape.plot.trainability import COLORS, trainability

X, Y = np.linspace(-2, 2, 5), np.linspace(0, 3, 4)


def two_basins(minima=2, residual=0.0, lost=True):
    """Label 0 left and 1 right of x = 0, steps that grow with y; one start lost, and one diverged."""
    labels = np.broadcast_to((X > 0).astype(int)[:, None], (5, 4)).copy()
    steps = np.broadcast_to(np.array([1, 3, 9, 27]), (5, 4)).copy()
    if lost:
        labels[0, 0], labels[4, 3] = -1, -2
    at = np.array([[-1.0, 1.5], [1.0, 9.0]] + [[0.0, 1.0]] * (minima - 2))
    return xr.Dataset(
        {
            "minimum": (("x", "y"), labels),
            "steps_taken": (("x", "y"), steps),
            "objective": (("x", "y"), np.zeros((5, 4))),
            "finite": (("x", "y"), labels > -2),
            "minimum_at": (("minimum_label", "coordinate"), at),
            "minimum_objective": ("minimum_label", np.arange(minima) + 0.25),
            "minimum_residual": ("minimum_label", np.full(minima, residual)),
        },
        {
            "x": ("x", X, {"long_name": "x", "unit_length": 1.0}),
            "y": ("y", Y, {"long_name": "y", "unit_length": 1.0}),
            "coordinate": ["x", "y"],
        },
    )


def colors_of(figure):
    (mesh,) = (c for axes in figure.axes for c in axes.collections if isinstance(c, QuadMesh))
    return np.asarray(mesh.get_array())


def test_each_minimum_has_a_color_darker_with_the_steps():
    figure = basins(two_basins(lost=False))
    colors = colors_of(figure)
    assert colors.shape == (4, 5, 3)
    lightness = colors.mean(axis=2)
    assert (np.diff(lightness, axis=0) < 0).all()  # y upwards: more steps
    assert (colors[:, 0] == colors[:, 2]).all() and (colors[:, 3] == colors[:, 4]).all()
    between = colors[1, 0] - colors[1, 4]
    towards = np.subtract(to_rgb(style.SKY), to_rgb(style.ORANGE))
    assert np.corrcoef(between, towards)[0, 1] > 0.9
    assert legend_labels(figure) == {
        "ends at (−1.00, 1.50)",
        "ends at (1.00, 9.00)",
        "minimum",
        "darker: more steps, 1 to 27",
    }
    rendered(figure)


def test_the_picture_is_the_same_whatever_the_order_of_positions():
    data = two_basins()
    turned = data.isel(x=slice(None, None, -1), y=[2, 0, 1, 3])
    np.testing.assert_array_equal(colors_of(basins(data)), colors_of(basins(turned)))


def test_what_failed_is_grey_or_hatched():
    figure = basins(two_basins())
    assert len(set(colors_of(figure)[0, 0])) == 1
    assert legend_labels(figure) >= {"not converged", "not finite", "minimum"}
    (hatched,) = (patch for patch in figure.axes[0].patches if patch.get_hatch())
    box = hatched.get_path().get_extents()
    assert (box.x0, box.x1, box.y0, box.y1) == (1.5, 2.5, 2.5, 3.5)


def test_stars_are_minima_in_the_window_and_on_the_chart():
    (star,) = (line for line in basins(two_basins()).axes[0].lines if line.get_marker() == "*")
    assert np.array(star.get_data()).T.tolist() == [[-1, 1.5]]  # (1, 9) is outside
    off = basins(two_basins(residual=0.1))
    assert not off.axes[0].lines and "ends at objective 0.25" in legend_labels(off)


def test_minima_beyond_seven_are_counted():
    assert "2 other minima" in legend_labels(basins(two_basins(minima=9)))
    assert "1 other minimum" in legend_labels(basins(two_basins(minima=8)))


def test_nothing_converged():
    data = two_basins().isel(minimum_label=slice(0, 0))
    data["minimum"] = data.minimum * 0 - 1
    figure = basins(data)
    assert legend_labels(figure) == {"not converged", "not finite"}


# ---- trainability

ETA1, ETA2 = np.logspace(-1, 1, 5), np.linspace(1.001, 1.004, 4)


def half_and_half(**options):
    converged = np.broadcast_to((ETA1 < 1)[:, None], (5, 4))
    measure = 1.0 + np.arange(20).reshape(5, 4)
    finite = options.get("finite", converged)
    return xr.Dataset(
        {
            "measure": (("eta1", "eta2"), measure),
            "converged": (("eta1", "eta2"), converged),
            "finite": (("eta1", "eta2"), finite),
        },
        {"eta1": ETA1, "eta2": ETA2},
    )


def test_blue_converged_and_red_diverged_by_rank():
    figure = trainability(half_and_half())
    (mesh,) = (c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    ranks = np.asarray(mesh.get_array())
    assert ranks.shape == (4, 5) and (ranks[:, :2] < 0).all() and (ranks[:, 2:] > 0).all()
    np.testing.assert_allclose(ranks[:, :2].T.ravel(), np.arange(8) / 7 - 1, atol=1e-5)
    np.testing.assert_allclose(ranks[:, 2:].T.ravel(), 1 - np.arange(12) / 11, atol=1e-5)
    blue, red = COLORS(0.25), COLORS(0.75)
    assert blue[2] > blue[0] and red[0] > red[2]
    rendered(figure)


def test_in_grey_all_that_converged_is_lighter_than_what_did_not():
    lightness = [style.luminance(rgb) for rgb in COLORS(np.linspace(0, 1, 256))[:, :3]]
    assert (np.diff(lightness) < 0).all() and lightness[127] > 1.4 * lightness[128]


def test_axes_are_logarithmic_where_positions_are_and_zooms_tell_their_ticks_apart():
    figure = trainability(half_and_half())
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    figure.draw_without_rendering()
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(texts)) == len(texts) >= 2 and all(text.startswith("1.00") for text in texts)


def test_the_color_bar_names_measures():
    figure = trainability(half_and_half())
    figure.draw_without_rendering()
    (bar,) = (axes for axes in figure.axes if axes.get_label() == "<colorbar>")
    assert "converged" in bar.get_ylabel() and len(bar.get_yticklabels()) == 6
    texts = [label.get_text() for label in bar.get_yticklabels()]
    measures = [float(text) for text in texts]
    assert measures[0] < measures[1] < measures[2] and measures[3] > measures[4] > measures[5]
    assert len(trainability(half_and_half(), bar=False).axes) == 1


def test_in_axes_of_the_callers_and_of_one_kind():
    figure, ax = plt.subplots()
    data = half_and_half()
    data["converged"] = data.converged | True
    assert trainability(data, ax=ax) is figure
    assert basins(two_basins(), ax=plt.subplots()[1]).axes


def test_cells_that_are_not_computed_are_dotted():
    data = half_and_half()
    data["computed"] = data.measure < 10
    figure = trainability(data)
    assert legend_labels(figure) == {"not computed yet"}


@pytest.mark.parametrize(
    ("draw", "data", "message"),
    [
        (basins, half_and_half(), r"`data` holds no basins: it lacks `minimum`"),
        (trainability, two_basins(), r"`data` holds no trainability: it lacks `measure`"),
        (basins, two_basins().isel(x=0), r"`surface` has 1 of the two coordinates"),
        (trainability, half_and_half().isel(eta2=0), r"`surface` has 1 of the two coordinates"),
    ],
)
def test_other_data_are_refused(draw, data, message):
    with pytest.raises(ValueError, match=message):
        draw(data)
