"""Figures on a dark page: what is on the page can be read, surfaces stay as they are."""

import io

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb
from matplotlib.contour import ContourSet
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, AnchoredText, AnnotationBbox, PaddedBox, TextArea
from matplotlib.text import Text
from pictures import closed, meshes, pair_surface, panels, walks  # noqa: F401  the first is a fixture
from test_plot_basins import two_basins

import landscape as ls
from landscape.plot import style
from landscape.plot.dark import PAGE, dark, turned

SHADES = st.floats(0, 1)


def contrast(color, ground=PAGE):
    """The ratio of WCAG 2.2: 1 for equal colors, 21 for black on white."""
    bright, dim = sorted((style.luminance(color) + 0.05, style.luminance(ground) + 0.05), reverse=True)
    return bright / dim


@given(SHADES, SHADES)
def test_greys_change_their_order(one, other):
    low, high = sorted((one, other))
    colors = [turned((shade,) * 3) for shade in (low, high)]
    assert style.luminance(colors[0]) >= style.luminance(colors[1])


def test_ink_is_light_the_page_dark_and_what_is_clear_stays_clear():
    assert contrast(turned("black")) > 15 and contrast(turned(style.INK)) > 12
    assert turned("white") == PAGE and turned("none") == turned((1, 1, 1, 0)) == "none"
    assert turned((0, 0, 0, 0.5)).endswith("80")


@pytest.mark.parametrize("color", [style.BLUE, style.VERMILLION, style.GREEN, style.ORANGE, style.PURPLE, style.SKY])
def test_strong_colors_keep_their_hue_and_can_be_read(color):
    found = turned(color)
    assert contrast(found) > 4.5
    assert np.corrcoef(to_rgb(found), to_rgb(color))[0, 1] > 0.9
    if color in (style.ORANGE, style.SKY):
        np.testing.assert_allclose(to_rgb(found), to_rgb(color), atol=0.02)


def texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: ls.plot.trajectory(walks()),
        lambda: ls.plot.contour(pair_surface().isel(b=2)),
        lambda: ls.plot.surface3d(pair_surface().isel(penalty=2)),
    ],
)
def test_every_text_on_the_page_can_be_read(draw):
    figure = dark(draw())
    figure.draw_without_rendering()
    assert to_hex(figure.get_facecolor()) == PAGE
    assert texts(figure)
    assert [t for t in texts(figure) if contrast(t.get_color()) < 4.5] == []


def test_surfaces_keep_their_colors_and_lines():
    before, after = (ls.plot.dark_minimum(pair_surface(), walks()) for _ in range(2))
    dark(after)
    for figure in (before, after):
        figure.draw_without_rendering()
    for one, other in zip(meshes(before), meshes(after), strict=True):
        np.testing.assert_array_equal(one.get_facecolor(), other.get_facecolor())
    for one, other in zip(panels(before), panels(after), strict=True):
        lines, same = ([c for c in ax.collections if isinstance(c, ContourSet)] for ax in (one, other))
        assert len(lines) == len(same) > 0
        for line, other_line in zip(lines, same, strict=True):
            np.testing.assert_array_equal(line.get_edgecolor(), other_line.get_edgecolor())
        assert contrast(other.get_title() and other.title.get_color()) > 4.5


def test_marks_look_as_in_the_legend():
    figure = dark(ls.plot.dark_minimum(pair_surface(), walks(optimizers=("lbfgs",))))
    key = {line.get_label(): line for line in figure.legends[0].findobj(Line2D)}
    stars = [line for line in panels(figure)[3].lines if line.get_marker() == "*"]
    assert stars and {to_hex(line.get_markeredgecolor()) for line in stars} == {
        to_hex(key["minimizer on the grid"].get_markeredgecolor())
    }
    drawn = {to_hex(line.get_color()) for line in panels(figure)[3].lines if line.get_linestyle() != "None"}
    assert drawn == {to_hex(key["lbfgs"].get_color())} == {turned("black")}


def test_the_legend_of_a_map_keeps_the_maps_colors():
    before, after = (ls.plot.basins(two_basins()) for _ in range(2))
    patches = [figure.legends[0].get_patches() for figure in (before, dark(after))]
    keys = [[patch.get_facecolor() for patch in some if not patch.get_hatch()] for some in patches]
    assert len(keys[0]) >= 3 and keys[0][:3] == keys[1][:3]


def test_networks_stay_on_white():
    """Their colors are values, on the color bar too."""
    network = ls.mlp((2, 3, 1))
    found = ls.backpropagation(network, network.init(jax.random.key(0)), [[0.2, -0.4]], [1.0])
    before, after = ls.plot.network(found), dark(ls.plot.network(found))
    for one, other in zip(before.axes[0].collections, after.axes[0].collections, strict=True):
        np.testing.assert_array_equal(one.get_facecolor(), other.get_facecolor())
        np.testing.assert_array_equal(one.get_edgecolor(), other.get_edgecolor())
    (card,) = (patch for patch in after.axes[0].patches if patch.get_zorder() == -1)
    assert to_hex(card.get_facecolor()) == "#ffffff" and to_hex(after.get_facecolor()) == PAGE


def test_a_dark_figure_stays_as_it_is_and_has_the_same_bytes():
    files = []
    for _ in range(2):
        figure = dark(dark(ls.plot.trajectory(walks())))
        files.append(io.BytesIO())
        figure.savefig(files[-1], format="png")
    assert files[0].getvalue() == files[1].getvalue()


def test_any_figure_of_matplotlib_will_do():
    figure, (left, right) = plt.subplots(1, 2)
    left.scatter([1, 2], [1, 3], c=[0.0, 1.0], s=4)
    left.bar([1], [2], facecolor="none", edgecolor="black")
    left.contour(np.arange(9.0).reshape(3, 3), levels=[2, 4], colors="black")
    right.imshow(np.eye(2))
    right.annotate("here", (0, 0), (1, 1), arrowprops={"arrowstyle": "->", "color": "white"})
    dark(figure).canvas.draw()
    (lines,) = (c for c in left.collections if isinstance(c, ContourSet))
    assert {to_hex(color) for color in lines.get_edgecolor()} == {turned("black")}
    assert to_hex(left.get_facecolor()) == PAGE and contrast(left.spines["left"].get_edgecolor()) > 12


def test_boxes_and_tables_can_be_read():
    figure, (left, right) = plt.subplots(1, 2)
    box = left.add_artist(AnchoredText("a box", loc="upper left"))
    inner = TextArea("padded")
    padded = PaddedBox(inner, 2, draw_frame=True)
    left.add_artist(AnchoredOffsetbox(loc="lower left", child=padded))
    note = left.add_artist(AnnotationBbox(TextArea("a note"), (0.5, 0.5)))
    table = right.table([["one", "two"]], colLabels=["a", "b"], loc="center")
    dark(figure)
    cells = [cell.get_text() for cell in table.get_celld().values()]
    text = (box.txt._text, inner._text, note.offsetbox._text, *cells)
    assert min(contrast(part.get_color()) for part in text) > 4.5
    frames = (box.patch, padded.patch, note.patch, *table.get_celld().values())
    assert {to_hex(part.get_facecolor()) for part in frames} == {PAGE}


def test_grids_and_panes_of_three_dimensions_are_fainter_than_the_axes():
    axes = plt.figure().add_subplot(projection="3d")
    dark(axes.figure)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        faint = (contrast(axis.pane.get_facecolor()), contrast(axis._axinfo["grid"]["color"]))
        assert max(faint) < 4 < 12 < contrast(axis.line.get_color())


def test_outlines_of_panes_stay():
    axes = plt.figure().add_subplot(projection="3d")
    axes.xaxis.pane.fill = False
    axes.xaxis.pane.set_edgecolor((0, 0, 0, 1))
    dark(axes.figure)
    assert contrast(axes.xaxis.pane.get_edgecolor()) > 12


@pytest.mark.parametrize("page", ["white", "0.9", "none"])
def test_any_page_becomes_the_dark_one_once(page):
    figure, axes = plt.subplots()
    figure.set_facecolor(page)
    colors = [to_hex(dark(figure).get_facecolor()), to_hex(axes.spines["left"].get_edgecolor())]
    assert [to_hex(dark(figure).get_facecolor()), to_hex(axes.spines["left"].get_edgecolor())] == colors
    assert colors[0] == PAGE and contrast(colors[1]) > 12


def test_filled_contours_are_a_ground_and_hatches_stay(tmp_path):
    figure, (left, right) = plt.subplots(1, 2)
    values = np.arange(9.0).reshape(3, 3)
    left.contourf(values)
    lines = left.contour(values, levels=[2, 4], colors="black")
    right.contourf(values, levels=2, colors="none", hatches=["//", "", ".."])
    dark(figure).savefig(tmp_path / "hatched.png")
    assert {to_hex(color) for color in lines.get_edgecolor()} == {"#000000"}


def test_what_is_no_figure_is_refused():
    with pytest.raises(TypeError, match=r"`figure` is .*Dataset.*; give the picture, such as landscape.plot.contour"):
        dark(pair_surface())
