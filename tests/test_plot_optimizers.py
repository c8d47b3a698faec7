"""Profiles of comparisons: curves that are the shares, ratios to the fastest, looks, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from pictures import closed, legend_labels, rendered  # noqa: F401  `closed`: a fixture

import landscape as ls
from landscape.plot import style
from landscape.plot.optimizers import ratios_of

NEVER = np.nan
STEPS_TO = np.array(
    [
        [[1, 10, 100, 1000], [2, 5, NEVER, NEVER], [NEVER] * 4],
        [[0, 0, 7, 8], [NEVER, NEVER, 7, 4], [1, 1, 70, NEVER]],
    ]
)


def comparison(count=2):
    names = ["one", "two", "three", "four", "five"][:count]
    values = np.stack([STEPS_TO[i % 2] for i in range(count)])
    coords = {"problem": names, "optimizer": ["SGD", "Adam", "L-BFGS"], "start": range(4)}
    attrs = {"kind": "comparison", "steps": 1000}
    return xr.Dataset({"steps_to": (tuple(coords), values)}, coords, attrs)


def curves(axes):
    return {line.get_label(): line for line in axes.lines}


def test_a_curve_is_the_share_of_starts_within_so_many_steps():
    figure = ls.plot.optimizers(comparison())
    one, two, every = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["one", "two", "all problems"]
    assert (one.get_xlabel(), one.get_ylabel(), two.get_ylabel()) == ("steps", "share of starts", "")
    for axes, values in zip((one, two), STEPS_TO, strict=True):
        assert axes.get_xlim() == (0, 1000) and axes.get_xscale() == "symlog"
        for line, found in zip(curves(axes).values(), values, strict=True):
            x, y = line.get_data()
            np.testing.assert_array_equal(x, np.arange(1001))
            np.testing.assert_array_equal(y, [(found <= step).mean() for step in x])
            assert line.get_drawstyle() == "steps-post"
    assert legend_labels(figure) == {"SGD", "Adam", "L-BFGS"}
    assert every.get_xscale() == "log" and every.get_xlim()[0] == 1


def test_the_last_panel_has_the_ratios_to_the_fastest():
    found = ratios_of(STEPS_TO)
    inf = np.inf
    expected = [[[1, 2, 1, 1], [2, 1, inf, inf], [inf] * 4], [[1, 1, 1, 2], [inf, inf, 1, 1], [1, 1, 10, inf]]]
    np.testing.assert_array_equal(found, expected)
    every = ls.plot.optimizers(comparison()).axes[-1]
    for i, line in enumerate(curves(every).values()):
        x, y = line.get_data()
        own = found[:, i].ravel()
        np.testing.assert_allclose(y[[0, -1]], [(own <= 1).mean(), np.isfinite(own).mean()])
        assert x[-1] == 10 and (np.diff(y) >= 0).all()


def test_where_no_run_got_there_all_curves_are_0():
    data = comparison()
    figure = ls.plot.optimizers(data.assign(steps_to=xr.full_like(data.steps_to, np.nan)))
    assert all((line.get_ydata() == 0).all() for axes in figure.axes for line in axes.lines)
    rendered(figure)


def test_an_optimizer_looks_as_everywhere():
    for axes in ls.plot.optimizers(comparison()).axes:
        for name, line in curves(axes).items():
            look = style.optimizer_style(name)
            assert (line.get_color(), line.get_marker()) == (look.color, look.marker)


@pytest.mark.parametrize(("count", "panels", "columns"), [(1, 1, 1), (3, 4, 4), (5, 6, 4)])
def test_one_panel_a_problem_and_one_for_all(count, panels, columns):
    figure = ls.plot.optimizers(comparison(count))
    assert len(figure.axes) == panels
    assert figure.axes[0].get_subplotspec().get_gridspec().ncols == columns
    assert figure.get_figwidth() == pytest.approx(style.SINGLE if count == 1 else style.DOUBLE)


def test_axes_of_the_callers_and_what_holds_the_data():
    class Holder:
        data = comparison(1)

    figure, ax = plt.subplots()
    assert ls.plot.optimizers(Holder(), ax=ax) is figure
    assert list(curves(ax)) == ["SGD", "Adam", "L-BFGS"] and ax.get_title() == ""


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (
            lambda: ls.plot.optimizers(comparison(), ax=plt.gca()),
            ValueError,
            r"`ax` takes one problem, .* has 2; select one",
        ),
        (
            lambda: ls.plot.optimizers(3),
            TypeError,
            "`comparison` is an int; give what landscape.compare_optimizers returned",
        ),
        (lambda: ls.plot.optimizers(xr.Dataset()), TypeError, "`comparison` is a Dataset; give what"),
        (
            lambda: ls.plot.optimizers(comparison().isel(problem=0)),
            TypeError,
            r"Select a problem with a list: sel\(problem=",
        ),
    ],
)
def test_what_is_refused(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
