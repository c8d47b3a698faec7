"""Pictures of the topology: stars, saddles and lines where the result has them; the diagram, the barcode; refusals."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from pictures import closed, legend_labels, meshes, rendered  # noqa: F401  the first is a fixture

from landscape.analysis.topology.topology import persistence as find
from landscape.plot import style
from landscape.plot.persistence import persistence

X = np.linspace(-2, 2, 41)
WELL = (X**2 - 1) ** 2
TILT = 0.1 * X


def surface(values, *axes):
    names = ("x", "y", "z")[: values.ndim]
    coords = {name: (name, axis, {"long_name": name, "units": "1"}) for name, axis in zip(names, axes, strict=True)}
    return xr.Dataset({"objective": (names, values, {"long_name": "objective", "units": "1"})}, coords)


@pytest.fixture(scope="module")
def wells():
    """Four wells of different depths around a maximum."""
    return find(surface((WELL + TILT)[:, None] + WELL + 2 * TILT, X, X))


@pytest.fixture(scope="module")
def line():
    return find(surface(WELL + TILT, X))


def marks(axes, marker):
    """(color, x, y) of what has this marker."""
    lines = [line for line in axes.lines if line.get_marker() == marker and line.get_visible()]
    return {(to_hex(own.get_markerfacecolor()), *map(float, np.ravel(own.get_xydata()))) for own in lines}


def joined(axes):
    """(color, start, end) of the lines from one point to another, dotted ones in a set of their own."""
    lines = [
        own for own in axes.lines if own.get_marker() == "None" and own.get_visible() and len(own.get_xdata()) == 2
    ]
    solid, dotted = set(), set()
    for own in lines:
        ends = tuple(tuple(map(float, at)) for at in own.get_xydata())
        (solid if own.get_linestyle() == "-" else dotted).add((to_hex(own.get_color()), *ends))
    return solid, dotted


COLORS = [style.ORANGE.lower(), style.SKY.lower(), style.GREEN.lower(), style.PURPLE.lower()]


def test_stars_squares_and_lines_on_the_surface(wells):
    (axes,) = persistence(wells, "surface").axes
    minima = wells.minima
    low, over = minima.birth_at.values.tolist(), minima.death_at.values.tolist()
    assert marks(axes, "*") == {(COLORS[i], *low[i]) for i in range(4)}
    assert marks(axes, "s") == {(COLORS[i], *over[i]) for i in range(1, 4)}
    behind = minima.spills_into.values
    solid, dotted = joined(axes)
    assert solid == {(COLORS[i], tuple(low[i]), tuple(over[i])) for i in range(1, 4)}
    assert dotted == {(COLORS[i], tuple(over[i]), tuple(low[behind[i]])) for i in range(1, 4)}
    ((_, *peak),) = marks(axes, "^")
    assert peak == wells.pairs.death_at.values[-1].tolist()
    assert {text.get_text() for text in axes.texts} >= {"0", "1", "2", "3"}


def test_the_surface_is_drawn_from_the_result(wells):
    figure = persistence(wells, "surface")
    (mesh,) = meshes(figure)
    spread = wells.values - wells.values.min()
    order = np.argsort(np.asarray(mesh.get_array()).ravel(), kind="stable")
    drawn = spread.transpose("y", "x").values.ravel()[order]
    assert (np.diff(drawn) >= -1e-12).all()
    assert legend_labels(figure) - {" "} == {"minimum", "saddle where it merges", "maximum in a loop"}
    rendered(figure)


def test_a_curve_has_bars_as_high_as_the_persistence(line):
    (axes,) = persistence(line, "surface").axes
    low, high = line.minima.birth_at.values[1, 0], line.minima.death_at.values[1, 0]
    birth, death = float(line.minima.birth[1]), float(line.minima.death[1])
    solid, dotted = joined(axes)
    assert solid == {(COLORS[1], (low, birth), (low, death))}
    assert dotted == {(COLORS[1], (low, death), (high, death))}
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), line.values)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x$", "objective")


def test_the_diagram(wells):
    figure = persistence(wells, "diagram")
    (axes,) = figure.axes
    minima = wells.minima
    stars = marks(axes, "*")
    top = max(y for _, _, y in stars)
    assert stars == {(COLORS[i], float(minima.birth[i]), float(minima.death[i]) if i else top) for i in range(4)}
    assert top > float(wells.pairs.death[1:].max()) and "∞" in {text.get_text() for text in axes.texts}
    ((_, birth, death),) = marks(axes, "o")
    assert (birth, death) == (float(wells.pairs.birth[-1]), float(wells.pairs.death[-1]))
    assert axes.get_xlim() == axes.get_ylim() and axes.get_aspect() == 1
    assert legend_labels(figure) == {"minimum", "saddle where it merges", "loop"}


def test_points_that_are_near_share_a_label():
    x = np.linspace(-1.5, 1.5, 13)
    one = (x**2 - 1) ** 2
    result = find(surface(one[:, None, None] + one[:, None] + one, x, x, x))
    (axes,) = persistence(result, "diagram").axes
    assert {text.get_text() for text in axes.texts} == {"0", "1, 2, 3, 4, 5, 6", "∞"}
    assert len(marks(axes, "D")) == 1  # the void


def test_the_barcode(wells):
    (axes,) = persistence(wells, "barcode").axes
    bars = [own for own in axes.lines if len(own.get_xdata()) == 2]
    assert len(bars) == wells.pairs.sizes["pair"] == 5
    for row, bar in enumerate(bars):
        left, right = bar.get_xdata()
        assert left == float(wells.pairs.birth[row]) and (bar.get_ydata() == row).all()
        if row:
            assert right == float(wells.pairs.death[row])
    assert right <= bars[0].get_xdata()[1] and len(marks(axes, ">")) == 1  # the arrow of what never dies
    assert [bar.get_linestyle() for bar in bars] == ["-"] * 4 + ["--"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0", "1", "2", "3"]


def test_all_panels(wells, line):
    figure = persistence(wells)
    assert len(figure.axes) == 3 and figure.get_figwidth() == pytest.approx(style.DOUBLE)
    assert legend_labels(figure) == {"minimum", "saddle where it merges", "maximum in a loop", "loop"}
    rendered(figure)
    assert len(persistence(line).axes) == 3
    rendered(persistence(line, width=style.SINGLE))
    thin = find(surface((WELL + TILT)[:, None], X, np.array([0.0])))
    assert len(persistence(thin).axes) == 2


def test_what_is_small_is_grey_and_without_lines():
    noise = np.random.default_rng(0).normal(size=(30, 30))
    result = find(surface(noise, np.arange(30.0), np.arange(30.0)))
    figure = persistence(result)
    axes = figure.axes[0]
    colors = [color for color, *_ in marks(axes, "*")]
    assert colors.count("#9a9a9a") == result.minima.sizes["pair"] - 7
    assert len(marks(axes, "s")) == 6 and len(joined(axes)[0]) == 6
    assert any(label.startswith("barcode without the") for label in legend_labels(figure))
    few = persistence(result.at_least(float(result.minima.persistence[4])))
    assert len(marks(few.axes[0], "*")) == 5


def test_one_minimum_and_constants():
    for values in (X**2, np.ones(41)):
        figure = persistence(find(surface(values, X)))
        assert legend_labels(figure) == {"minimum"}
        rendered(figure)
    figure = persistence(find(surface(np.add.outer(X**2, X**2), X, X)))
    rendered(figure)
    # No empty line, whose box would be the page's corner and leave the panels no room.
    assert all(len(own.get_xdata()) for axes in figure.axes for own in axes.lines)


def test_walls_are_hatched():
    values = np.add.outer(X**2, X**2)
    values[:5] = np.nan
    figure = persistence(find(surface(values, X, X), holes="walls"), "surface")
    assert "not finite" in legend_labels(figure)
    assert any(patch.get_hatch() for patch in figure.axes[0].patches)


def test_in_axes_of_the_caller(wells):
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.5))
    for ax, kind in zip(axes, ("surface", "diagram", "barcode"), strict=True):
        assert persistence(wells, kind, ax=ax) is figure
    assert all(len(ax.lines) for ax in axes)
    rendered(figure)


def test_what_is_refused(wells):
    with pytest.raises(TypeError, match=r"`result` is a Dataset; give what landscape\.persistence returned"):
        persistence(wells.pairs)
    with pytest.raises(
        ValueError, match="`kind` is 'tree'; it must be one of 'surface', 'diagram', 'barcode', or None"
    ):
        persistence(wells, "tree")
    with pytest.raises(ValueError, match="`ax` takes one panel; say which"):
        persistence(wells, ax=plt.figure().subplots())
    cube = find(surface(np.random.default_rng(0).normal(size=(3, 3, 3)), *[np.arange(3.0)] * 3))
    with pytest.raises(ValueError, match=r"`kind` is 'surface', and the result has the shape \(3, 3, 3\)"):
        persistence(cube, "surface")
