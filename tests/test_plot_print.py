"""Pictures in one column of print, 8.5 cm wide: all text is on the page, large enough, and apart."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text
from pictures import closed, pair_surface, walks  # noqa: F401  the first is a fixture
from test_plot_basins import half_and_half, two_basins
from test_plot_lines import along, interpolation
from test_plot_network import FOUND
from test_plot_optimizers import comparison
from test_plot_penalty_path import choice, path
from test_plot_persistence import TILT, WELL, X, surface
from test_plot_planes import group
from test_plot_slices import volume
from test_plot_spectrum import density, pairs

import landscape as ls
from landscape.plot import style

SMALLEST = 6.0  # points, in print
ONE = {"λ=0.1": 0.1}
COLUMN = style.SINGLE
WELLS = (WELL + TILT)[:, None] + WELL + 2 * TILT

PICTURES = {
    "dark_minimum": lambda: ls.plot.dark_minimum(pair_surface(), walks(), width=COLUMN),
    "contour": lambda: ls.plot.contour(pair_surface(strengths=ONE).isel(penalty=0), runs=walks(strengths=ONE)),
    "contour of a line": lambda: ls.plot.contour(pair_surface().isel(b=2)),
    "gradient_norm": lambda: ls.plot.gradient_norm(pair_surface(), walks(), width=COLUMN),
    "surface3d": lambda: ls.plot.surface3d(pair_surface().isel(penalty=2)),
    "line": lambda: ls.plot.line(interpolation()),
    "line with runs": lambda: ls.plot.line(along()[0], "objective", along()[1]),
    "trajectory": lambda: ls.plot.trajectory(walks(strengths=ONE), width=COLUMN),
    "trajectory by penalty": lambda: ls.plot.trajectory(walks(optimizers=("sgd",)), width=COLUMN),
    "slices": lambda: ls.plot.slices(volume(), "risk", width=COLUMN),
    "many_planes": lambda: ls.plot.many_planes({"wide": group((1, 1.5)), "narrow": group((4, 5))}, width=COLUMN),
    "penalty_path": lambda: ls.plot.penalty_path(path(), choice()),
    "network": lambda: ls.plot.network(FOUND),
    "basins": lambda: ls.plot.basins(two_basins()),
    "trainability": lambda: ls.plot.trainability(half_and_half()),
    "optimizers": lambda: ls.plot.optimizers(comparison(1)),
    "spectrum": lambda: ls.plot.spectrum(density(), pairs()),
    "persistence": lambda: ls.plot.persistence(ls.persistence(surface(WELLS, X, X)), width=COLUMN),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_in_one_column_can_be_read(name):
    figure = PICTURES[name]()
    assert figure.get_figwidth() == pytest.approx(COLUMN)
    figure.draw_without_rendering()
    shown = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert [text.get_text() for text in shown if float(text.get_fontsize()) < SMALLEST] == []
    boxes = [(text.get_text(), text.get_window_extent()) for text in furniture(figure)]
    width, height = figure.bbox.size
    outside = [text for text, box in boxes if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1]
    assert outside == []
    assert [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if touch(one, other)] == []


def furniture(figure):
    """Titles, labels of axes and ticks, and legends: the text that a layout places."""
    found = [text for legend in figure.legends for text in (*legend.get_texts(), legend.get_title())]
    for axes in figure.axes:
        if axes.name == "3d":  # in perspective boxes say little
            continue
        found.append(axes.title)
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
            found += [axis.label] * axes.axison
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()] if axes.axison else []
            found += [t.label1 for t in ticks if low <= t.get_loc() <= high and t.label1.get_visible()]
            found += [t.label2 for t in ticks if low <= t.get_loc() <= high and t.label2.get_visible()]
    return [text for text in found if text.get_text().strip() and text.get_visible()]


def touch(one, other, least=1.0):
    """Whether two boxes share more than `least` pixels in both directions."""
    return (
        min(one.x1, other.x1) - max(one.x0, other.x0) > least and min(one.y1, other.y1) - max(one.y0, other.y0) > least
    )


def test_what_lies_over_each_other_would_be_seen():
    figure = style.figure(COLUMN, 2.0)
    axes = figure.subplots()
    axes.set_xticks([0, 0.01, 1], ["a long label", "another one", "1"])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in furniture(figure)]
    assert any(touch(one, other) for one, other in itertools.combinations(boxes, 2)) and np.isfinite(boxes[0].x0)
