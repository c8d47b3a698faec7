"""Penalty paths: lines that are the data, zeros that are seen as zeros, names, gaps, and the strengths to take."""

import itertools
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.text import Text
from pictures import (
    closed,  # noqa: F401  a fixture
    legend_labels,
    rendered,
)

import landscape as ls
from landscape.plot import style

STRENGTHS = np.geomspace(0.001, 1, 7)
NAMES = ("age", "dose", "weight")


def path(strengths=STRENGTHS, entry=(1.0, 0.1, 0.01), bias=0.5, converged=None):
    """Weights (entryᵢ − λ)₊·(−1)ⁱ·(i + 1) and a bias that has no penalty, as `penalty_path` returns them."""
    strengths = np.asarray(strengths, float)
    sizes = np.arange(1, len(entry) + 1) * (-1.0) ** np.arange(len(entry))
    weights = np.maximum(np.asarray(entry) - strengths[:, None], 0.0) * sizes
    theta = np.concatenate([weights, np.full((len(strengths), 1), bias)], axis=1)
    found = np.ones(len(strengths), bool) if converged is None else converged
    return xr.Dataset(
        {
            "coefficient": (("strength", "parameter"), theta, {"long_name": "parameter"}),
            "converged": ("strength", found),
        },
        {"strength": strengths, "parameter": [*(f"w[{i}]" for i in range(len(entry))), "b"]},
        {"penalty": "1·‖w‖₁", "objective_id": "rings"},
    )


def choice(strengths=STRENGTHS, best=0.01, one=0.1, converged=True):
    """As `choose_strength` returns it, in two blocks."""
    strengths = np.asarray(strengths, float)
    mean = 1 + np.log10(np.maximum(strengths, 1e-4) / 0.01) ** 2 / 10
    return xr.Dataset(
        {
            "held_out_risk": (("block", "strength"), np.stack([mean - 0.1, mean + 0.1])),
            "converged": (("block", "strength"), np.broadcast_to(converged, (2, len(strengths)))),
            "mean": ("strength", mean, {"long_name": "mean held-out risk"}),
            "standard_error": ("strength", np.full(len(strengths), 0.1)),
            "best": best,
            "one_standard_error": one,
        },
        {"strength": strengths, "block": [0, 1]},
    )


def told(axes) -> list[Any]:
    """The lines that have colors."""
    return [line for line in axes.lines if not line.get_label().startswith("_")]


def texts(axes):
    return {text.get_text() for text in axes.texts}


def test_lines_are_the_parameters_and_an_exact_zero_is_a_circle():
    data = path()
    figure = ls.plot.penalty_path(data)
    (ax,) = figure.axes
    assert ax.get_xscale() == "log" and (ax.get_xlabel(), ax.get_ylabel()) == ("strength $λ$", "parameter")
    assert ax.get_xlim()[1] == 1.0
    lines = told(ax)
    assert [line.get_label() for line in lines] == ["w[0]", "w[1]", "w[2]", "b"]
    for line, row in zip(lines, data.coefficient.T.to_numpy(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), data.strength)
        seen = row != 0
        seen[1:] |= row[:-1] != 0  # up to the first zero
        np.testing.assert_array_equal(line.get_ydata(), np.where(seen, row, np.nan))
    circles = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    np.testing.assert_allclose([c.get_xdata()[0] for c in circles], [1.0, 0.1, 0.01])
    assert all(list(c.get_ydata()) == [0] and c.get_markerfacecolor() == "white" for c in circles)
    assert [c.get_color() for c in circles] == [line.get_color() for line in lines[:3]]
    assert legend_labels(figure) == {"exactly 0"}
    rendered(figure)


def test_labels_stand_at_the_ends_of_lines_apart_and_in_their_order():
    data = path(entry=(0.9,) * 5)
    data["coefficient"][:, :5] = data.coefficient.to_numpy()[:, :1] * [1.0, 1.02, 1.01, -1.0, -1.01]
    figure = ls.plot.penalty_path(data, names=list("abcde"))
    (ax,) = figure.axes
    figure.draw_without_rendering()
    assert texts(ax) == {*"abcde", "b"} and not set("abcde") & legend_labels(figure)
    boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 2 for low, high in itertools.pairwise(boxes))  # letters' own height is less
    by_height = sorted(ax.texts, key=lambda text: Text.get_window_extent(text).y0)
    assert "".join(text.get_text() for text in by_height) == "edbacb"
    start, window = ax.transData.transform((0.001, 0))[0], ax.get_window_extent()
    assert all(window.x0 < box.x0 and box.x1 < start for box in boxes)
    assert window.y0 - 2 < boxes[0].y0 and boxes[-1].y1 < window.y1 + 2
    assert [text.xy for text in ax.texts] == [(0.001, line.get_ydata()[0]) for line in told(ax)]


def test_names_go_to_weights_or_by_mapping():
    assert texts(ls.plot.penalty_path(path(), names=NAMES).axes[0]) == {*NAMES, "b"}
    assert texts(ls.plot.penalty_path(path(), names=np.array(NAMES)).axes[0]) == {*NAMES, "b"}
    by_parameter = ls.plot.penalty_path(path(), names={"w[1]": "dose", "b": "bias"})
    assert texts(by_parameter.axes[0]) == {"w[0]", "dose", "w[2]", "bias"}
    without = ls.plot.penalty_path(path().drop_sel(parameter="b"), names=NAMES)
    assert texts(without.axes[0]) == set(NAMES)


def test_long_names_are_in_the_legend():
    names = [f"{name} of the {kind} nuclei" for name in ("radius", "area") for kind in ("mean", "worst")]
    figure = ls.plot.penalty_path(path(entry=(1.0, 0.5, 0.1, 0.05)), names=names)
    assert set(names) | {"b", "exactly 0"} == legend_labels(figure) and not texts(figure.axes[0])
    assert figure.axes[0].get_xlim() == (0.001, 1.0)
    wide = ls.plot.penalty_path(path(entry=(1.0, 0.5, 0.1, 0.05)), names=names, width=style.DOUBLE)
    assert texts(wide.axes[0]) == {*names, "b"} and figure.get_figwidth() == pytest.approx(style.SINGLE)
    plain = ls.plot.penalty_path(path(entry=(1.0, 0.5, 0.1, 0.05)))
    heights = [f.axes[0].get_window_extent().height for f in (figure, plain)]
    assert heights[0] == pytest.approx(heights[1], rel=0.05)  # the legend takes nothing from the panel


def test_at_most_eight_have_colors_those_never_zero_and_the_largest():
    entry = np.linspace(0.05, 0.9, 12)
    figure = ls.plot.penalty_path(path(entry=entry, bias=1e-3), width=style.DOUBLE)
    (ax,) = figure.axes
    lines = told(ax)
    assert [line.get_label() for line in lines] == [*(f"w[{i}]" for i in range(5, 12)), "b"]
    assert len({(line.get_color(), str(line.get_linestyle())) for line in lines}) == 8
    assert "the other 5" in legend_labels(figure)
    gray = [line for line in ax.lines if line.get_color() == "#B5B5B5" and len(line.get_xdata()) == 7]
    np.testing.assert_array_equal(gray[0].get_ydata()[:3], path(entry=entry).coefficient[:3, 0])


def test_what_is_zero_to_rounding_or_everywhere_has_no_color():
    data = path(entry=np.linspace(0.05, 0.9, 12), bias=1e-17)
    assert "b" not in [line.get_label() for line in told(ls.plot.penalty_path(data).axes[0])]
    zero = path(bias=0.0)
    figure = ls.plot.penalty_path(zero)
    assert len(told(figure.axes[0])) == 3 and not any("other" in label for label in legend_labels(figure))
    rendered(ls.plot.penalty_path(path(entry=(0.0, 0.0), bias=0.0)))


def test_lambda_zero_is_kept_at_the_left_end():
    figure = ls.plot.penalty_path(path(strengths=[0.0, *STRENGTHS]))
    (ax,) = figure.axes
    assert ax.get_xscale() == "symlog" and ax.get_xticks()[0] == 0
    np.testing.assert_array_equal(told(ax)[0].get_xdata(), [0, *STRENGTHS])
    rendered(figure)
    assert ax.get_xticklabels()[0].get_text() == "0"
    rendered(ls.plot.penalty_path(path(strengths=[0.0])))
    rendered(ls.plot.penalty_path(path(strengths=[0.1])))


def test_strengths_sorted_down_are_the_same_picture():
    data, held_out = path(), choice()
    assert rendered(ls.plot.penalty_path(data, held_out)) == rendered(
        ls.plot.penalty_path(data.isel(strength=slice(None, None, -1)), held_out.isel(strength=slice(None, None, -1)))
    )


def test_lines_are_interrupted_where_no_minimizer_was_found():
    found = np.array([False, True, True, False, True, False, True])
    data = path(converged=found)
    figure = ls.plot.penalty_path(data)
    (ax,) = figure.axes
    bias = next(line for line in told(ax) if line.get_label() == "b")
    np.testing.assert_array_equal(bias.get_ydata(), np.where(found, 0.5, np.nan))
    dots = [line for line in ax.lines if line.get_marker() == "." and line.get_color() == bias.get_color()]
    np.testing.assert_array_equal(dots[0].get_xdata(), STRENGTHS[[4, 6]])  # no line of two points
    spans = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches if p.get_hatch()]
    half = np.sqrt(STRENGTHS[1:] * STRENGTHS[:-1])
    np.testing.assert_allclose(spans, [(0.001, half[0]), (half[2], half[3]), (half[4], half[5])])
    assert "did not converge" in legend_labels(figure)
    rendered(figure)
    nothing = ls.plot.penalty_path(path(converged=np.zeros(7, bool)))
    assert not told(nothing.axes[0]) and legend_labels(nothing) == {"did not converge"}
    rendered(nothing)


def test_the_held_out_risk_is_beneath_over_the_same_strengths():
    held_out = choice()
    figure = ls.plot.penalty_path(path(), held_out)
    upper, lower = figure.axes
    assert upper.get_xlim() == lower.get_xlim() and (upper.get_xlabel(), lower.get_xlabel()) == ("", "strength $λ$")
    assert lower.get_ylabel().replace("\N{NO-BREAK SPACE}", " ") == "held-out risk\n± standard error"
    np.testing.assert_array_equal(lower.lines[-1].get_data(), [held_out.strength, held_out["mean"]])
    band = lower.collections[0].get_paths()[0].vertices
    assert {tuple(v) for v in np.stack([STRENGTHS, held_out["mean"] + 0.1], axis=1)} <= {tuple(v) for v in band}
    assert {tuple(v) for v in np.stack([STRENGTHS, held_out["mean"] - 0.1], axis=1)} <= {tuple(v) for v in band}
    for ax in (upper, lower):
        at = [
            line.get_xdata()[0] for line in ax.lines if list(line.get_ydata()) == [0, 1] and len(line.get_xdata()) == 2
        ]
        assert at == [0.01, 0.1]
    assert {"best, $λ$ = 0.01", "one standard error, $λ$ = 0.1"} <= legend_labels(figure)
    rendered(figure)


def test_one_strength_may_be_both_or_none():
    assert "best, one standard error, $λ$ = 0.01" in legend_labels(ls.plot.penalty_path(path(), choice(one=0.01)))
    figure = ls.plot.penalty_path(path(), choice(best=np.nan, one=np.nan, converged=False))
    assert legend_labels(figure) == {"exactly 0", "did not converge"}
    assert np.isnan(figure.axes[1].lines[-1].get_ydata()).all()
    rendered(figure)


def test_the_risk_is_interrupted_where_a_block_has_no_minimizer():
    converged = np.array([[True] * 7, [True, True, False, True, True, True, True]])
    figure = ls.plot.penalty_path(path(), choice(converged=converged))
    np.testing.assert_array_equal(np.isnan(figure.axes[1].lines[-1].get_ydata()), ~converged[1])
    assert "did not converge" in legend_labels(figure) and not figure.axes[0].patches
    (patch,) = figure.axes[1].patches
    assert patch.get_hatch()


def test_the_callers_axes_take_one_panel():
    figure, ax = plt.subplots()
    assert ls.plot.penalty_path(path(), ax=ax) is figure and ax.get_legend() and texts(ax)
    with pytest.raises(ValueError, match="`ax` takes one panel, and `chosen` adds a second one"):
        ls.plot.penalty_path(path(), choice(), ax=ax)


def test_what_is_no_path_is_refused():
    with pytest.raises(TypeError, match=r"`path` is a dict; it must be what landscape.penalty_path returns"):
        ls.plot.penalty_path({"w": 1})
    with pytest.raises(TypeError, match=r"`path` is a Dataset(.|\n)*over strength and parameter"):
        ls.plot.penalty_path(choice())
    with pytest.raises(TypeError, match=r"over strength and parameter"):
        ls.plot.penalty_path(path().isel(parameter=0))
    with pytest.raises(ValueError, match="no strength or no parameter left"):
        ls.plot.penalty_path(path().isel(parameter=[]))
    with pytest.raises(TypeError, match=r"`chosen` is a Dataset; it must be what landscape.choose_strength returns"):
        ls.plot.penalty_path(path(), path())
    with pytest.raises(TypeError, match=r"`chosen` is a float"):
        ls.plot.penalty_path(path(), 0.1)


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match=r"`chosen` is of other parameters \(w, b\) than `path`, which has 'w\[0\]'"):
        ls.plot.penalty_path(path(), choice().assign_coords(parameter=["w", "b"]))
    with pytest.raises(
        ValueError, match=r"`chosen` is of another penalty than `path`.\n  path: 1·‖w‖₁\n  chosen: 1·‖w‖²"
    ):
        ls.plot.penalty_path(path(), choice().assign_attrs(penalty="1·‖w‖²"))
    with pytest.raises(ValueError, match="`chosen` is of another objective than `path`"):
        ls.plot.penalty_path(path(), choice().assign_attrs(objective_id="other"))
    ls.plot.penalty_path(path(), choice().assign_attrs(penalty="1·‖w‖₁", objective_id="rings"))


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"`names` has 2 names, and `path` 3 weights \(w\[0\], w\[1\], w\[2\]\)"):
        ls.plot.penalty_path(path(), names=("age", "dose"))
    with pytest.raises(
        ValueError, match=r"`names` has 'w\[7\]'; the parameters of `path` are w\[0\], w\[1\], w\[2\], b"
    ):
        ls.plot.penalty_path(path(), names={"w[7]": "age"})
    with pytest.raises(TypeError, match=r"`names` is a str; give a sequence with a name a weight"):
        ls.plot.penalty_path(path(), names="age")
    with pytest.raises(TypeError, match=r"`names` has the label 1"):
        ls.plot.penalty_path(path(), names={1: "age"})


def test_a_real_path_and_the_strengths_chosen_for_it_are_drawn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = (x[:, 0] + rng.normal(size=60) > 0).astype(float)
    neuron, strengths = ls.neuron(x.astype("float32"), y.astype("float32")), np.geomspace(0.003, 0.5, 9)
    found = ls.penalty_path(neuron, strengths, penalty=ls.l1(1.0))
    chosen = ls.choose_strength(neuron, strengths, penalty=ls.l1(1.0), blocks=3)
    figure = ls.plot.penalty_path(found, chosen, names=NAMES)
    drawn = {line.get_label(): line for line in told(figure.axes[0])}
    there = found.params["w"][:, 0] != 0
    np.testing.assert_array_equal(drawn["age"].get_ydata()[there], found.params["w"][there, 0])
    assert any(label.startswith("best") for label in legend_labels(figure))
    rendered(figure)
