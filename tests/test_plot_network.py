"""Networks as graphs: colors, widths and dashes are δ and its summands, few of many units, refusals."""

import itertools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from pictures import (
    closed,  # noqa: F401  a fixture
    rendered,
)

import landscape as ls
from landscape.plot import style
from landscape.plot.network import network as draw


def found(sizes=(2, 3, 2), seed=0, scale=1.0, **options):
    rng = np.random.default_rng(seed)
    layers = enumerate(itertools.pairwise(sizes), 1)
    params = {f"layer{i}": {"W": scale * rng.normal(size=(n, m)), "b": np.zeros(m)} for i, (n, m) in layers}
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32"), params)
    x, y = (rng.normal(size=(3, size)).astype("float32") for size in (sizes[0], sizes[-1]))
    return ls.backpropagation(ls.mlp(sizes, **options), params, x, y)


FOUND = found()


def circles(axes):
    """The scatter of each layer, from the inputs on."""
    return [c for c in axes.collections if isinstance(c, PathCollection)]


def edges(axes):
    """The lines that have colors, over the hairlines."""
    return next(c for c in axes.collections if isinstance(c, LineCollection) and c.get_zorder() == 2)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def number(text):
    return float(text.replace("−", "-"))


def test_units_are_colored_by_their_error_on_the_scale_of_the_bar():
    figure = draw(FOUND, 1)
    axes, bar = figure.axes
    inputs, hidden, output = circles(axes)
    assert (inputs.get_facecolors() == to_rgba("white")).all() and len(inputs.get_offsets()) == 2
    largest = max(np.abs(v).max() for v in (*FOUND.summands_of(1), FOUND.delta[0][1], FOUND.delta[1][1]))
    np.testing.assert_allclose(bar.get_ylim(), [-largest, largest], rtol=1e-6)
    for drawn, delta in ((hidden, FOUND.delta[0][1]), (output, FOUND.delta[1][1])):
        assert len(drawn.get_offsets()) == len(delta) and (np.diff(drawn.get_offsets()[:, 1]) < 0).all()
        red, blue = drawn.get_facecolors()[:, 0], drawn.get_facecolors()[:, 2]
        assert ((red > blue) == (np.asarray(delta) > 0)).all()
    assert figure.get_figwidth() == pytest.approx(style.SINGLE)
    assert axes.get_title() == f"example 1: loss {float(FOUND.losses[1]):.2g}"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["inputs", "layer 1", "output"]
    rendered(figure)


def test_edges_are_the_summands_dashed_below_zero():
    axes = draw(FOUND, 1).axes[0]
    lines = edges(axes)
    summands = FOUND.summands_of(1)
    expected = {}
    places = [c.get_offsets() for c in circles(axes)]
    for layer, passed in enumerate(summands):
        for i, j in np.ndindex(passed.shape):
            ends = (places[layer][i], places[layer + 1][j])
            expected[tuple(np.round(np.ravel(ends), 6))] = float(passed[i, j])
    seen = 0.05 / 3.2 * max(map(abs, expected.values()))  # what is less has the hairline alone
    assert len(expected) == 12 and len(lines.get_segments()) == sum(abs(v) > seen for v in expected.values()) > 6
    values = np.array([expected[tuple(np.round(segment.ravel(), 6))] for segment in lines.get_segments()])
    widths = np.array(lines.get_linewidths())
    np.testing.assert_allclose(widths / np.abs(values), widths[-1] / abs(values[-1]), rtol=1e-5)
    assert (np.diff(widths) >= 0).all()  # those that pass most are drawn last
    assert [dashes[1] is not None for dashes in lines.get_linestyles()] == list(values < 0)
    assert ((lines.get_colors()[:, 0] > lines.get_colors()[:, 2]) == (values > 0)).all()


def test_values_are_written_where_units_are_few():
    axes = draw(FOUND).axes[0]
    written = texts(axes)
    assert {"$x_{0}$", "$x_{1}$"} <= set(written)
    numbers = sorted(number(text) for text in written if not text.startswith("$"))
    values = np.concatenate([np.ravel(v) for v in (*FOUND.summands_of(0), FOUND.delta[0][0], FOUND.delta[1][0])])
    np.testing.assert_allclose(numbers, np.sort(values), rtol=0.051)
    figure = draw(found((6, 12, 12, 3)))
    assert not [text for text in texts(figure.axes[0]) if "." in text]


def test_values_on_edges_do_not_touch():
    figure = draw(FOUND)
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts]
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.padded(-1).overlaps(b.padded(-1))]


def test_of_large_layers_the_units_with_the_largest_errors_are_shown_and_counted():
    many = found((20, 30, 4), scale=0.3, activation="relu")
    axes = draw(many, units=5).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["inputs\n5 of 20", "layer 1\n5 of 30", "output\n"]
    assert [len(c.get_offsets()) for c in circles(axes)] == [5, 5, 4]
    largest = np.sort(np.argsort(-np.abs(np.asarray(many.delta[0][0])))[:5])
    assert [int(text) for text in texts(axes) if text.isdigit()] == list(largest)
    by_inputs = np.abs(np.asarray(many.summands_of(0)[0]).sum(axis=1))
    names = [f"$x_{{{i}}}$" for i in np.sort(np.argsort(-by_inputs)[:5])]
    assert [text for text in texts(axes) if text.startswith("$x")] == names
    assert len(circles(draw(many, units=100).axes[0])[1].get_offsets()) == 30


def test_no_error_and_errors_that_are_not_finite_are_drawn():
    perfect = ls.backpropagation(ls.mlp((1, 1)), {"layer1": {"W": jnp.ones((1, 1)), "b": jnp.zeros(1)}}, [[1.0]], [1.0])
    figure = draw(perfect)
    assert "0" in texts(figure.axes[0]) and not edges(figure.axes[0]).get_segments()
    rendered(figure)
    params = {f"layer{i}": {"W": jnp.full((2, 2), v), "b": jnp.zeros(2)} for i, v in ((1, 1.0), (2, jnp.inf))}
    figure = draw(ls.backpropagation(ls.mlp((2, 2, 2)), params, [[1.0, 0.5]], [[0.0, 0.0]]))
    axes = figure.axes[0]
    assert "gray: not finite" in axes.get_xlabel()
    assert (circles(axes)[2].get_facecolors() == to_rgba("#9A9A9A")).all()
    rendered(figure)


def test_the_callers_axes_get_graph_and_bar():
    figure, (left, right) = plt.subplots(1, 2)
    assert draw(FOUND, ax=left) is figure
    assert len(circles(left)) == 3 and not right.collections and len(left.child_axes) == 1
    rendered(figure)


def test_a_deep_network_is_drawn_with_hairlines_where_nothing_comes_back():
    deep = found((3,) + (4,) * 9 + (2,), scale=0.1, activation="sigmoid")
    figure = draw(deep, width=style.DOUBLE)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()][1:3] == ["1", "2"]
    hairlines = next(c for c in figure.axes[0].collections if c.get_zorder() == 1)
    assert len(hairlines.get_segments()) == 12 + 8 * 16 + 8 > len(edges(figure.axes[0]).get_segments())
    rendered(figure)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: draw({"delta": 1}), "`found` is a dict; give what landscape.backpropagation returns"),
        (lambda: draw(FOUND, 3), "`example` is 3; there are 3: give 0 to 2"),
        (lambda: draw(FOUND, units=0), "`units` is 0; it must be at least 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
