"""Do different starts find the same solution? The band of final risks narrows as networks grow.

Networks of 64, m and 10 units, tanh and cross-entropy, on scikit-learn's digits: 1200 images to train on, 597 to test
with. At each width m = 4, 8, 16, 32, 64 there are 200 starts (Glorot's), each trained with 20 epochs of SGD, learning
rate 0.2, minibatches of 50. (a) How the 200 test risks are distributed at each width: histograms over bins of equal
ratio, each scaled to its own peak. (b) Test risk against training risk, a dot a start; on the line both are equal. (c)
The width of the band, from the 5 % to the 95 % quantile of the test risk, and the same over the median, against m.

All 1000 runs stay finite, and end at less than half of the training risk that they began with. From each width to the
next the band gets narrower: nine tenths of the test risks lie within 0.20 at 4 units and within 0.01 at 64. In relation
to the median it gets narrower as well, from 39 % of it to 7 %. The median falls from 0.50 over 0.22 and 0.15 to 0.13,
and from 32 to 64 units by less than 3 %. Up to 16 units the bands do not overlap: the worst of the 200 starts at 8
units is better than the best at 4, and the worst at 16 better than the best at 8. Those of 32 and 64 units do. So with
few units a start matters, yet less than the width does; with many it hardly matters which one was drawn. Starts that
fit the training images better are better on the test images too, with a correlation of 0.95 at 4 units but of less than
0.5 at 32 and at 64. The median test risk is 3 % above the median training risk at 4 units, and 19 % at 64.

Source: Choromanska, Henaff, Mathieu, Ben Arous & LeCun (2015), arXiv:1412.0233, who trained networks of 25 to 500 units
on MNIST's images scaled to 10×10.
"""

import jax
import numpy as np
import optax
from _digits import digits
from _page import head, open_frame, settle
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

import landscape as ls
from landscape.plot import style

WIDTHS, STARTS, EPOCHS = (4, 8, 16, 32, 64), 200, 20
QUICK = {"WIDTHS": (8, 32), "STARTS": 10, "EPOCHS": 5}
COLORS = dict(zip(WIDTHS, style.SEQUENTIAL(np.linspace(0.78, 0.05, len(WIDTHS))), strict=True))
EDGES = np.geomspace(0.1, 0.75, 61)


def network(width):
    return ls.mlp((64, width, 10), output="softmax", loss="cross_entropy")


def compute():
    data = digits()
    made = ls.many_starts(
        network,
        WIDTHS,
        optax.sgd(0.2),
        data["train"],
        key=jax.random.key(0),
        epochs=EPOCHS,
        num_starts=STARTS,
        batch_size=50,
        test=data["test"],
    )
    return made.data.assign(band(made.data.test_risk))


def band(risk):
    """Quantiles over the starts."""
    shares = {"low": 0.05, "middle": 0.5, "high": 0.95}
    return {name: risk.quantile(share, "start").drop_vars("quantile") for name, share in shares.items()}


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 2.5)
    figure.get_layout_engine().set(wspace=0.07)
    axes = figure.subplots(1, 3)
    _draw_histograms(axes[0], data)
    _draw_scatter(axes[1], data)
    _draw_bands(axes[2], data)
    headings = (f"{data.sizes['start']} starts a width", "test and training", "the band")
    for ax, letter, heading in zip(axes, "abc", headings, strict=True):
        open_frame(ax)
        head(ax, letter, heading)
    return settle(figure)


def _draw_histograms(ax, data):
    for row, width in enumerate(WIDTHS):
        counts, _ = np.histogram(data.test_risk.sel(width=width), EDGES)
        heights = row + 0.9 * counts / counts.max()
        ax.fill_between(EDGES, row, np.r_[heights, heights[-1]], step="post", color=COLORS[width], linewidth=0)
        ax.plot(data.middle.sel(width=width), row, marker="^", markersize=3, color=style.VERMILLION, clip_on=False)
    ax.set_xscale("log")
    ax.set(xlabel="test risk", ylabel="units $m$", xlim=EDGES[[0, -1]], ylim=(0, len(WIDTHS)))
    ax.set_yticks(range(len(WIDTHS)), [str(width) for width in WIDTHS])
    _risk_ticks(ax.xaxis)
    ax.legend(handles=[_dot(style.VERMILLION, "median", "^")], loc="upper right", handlelength=1)


def _draw_scatter(ax, data):
    ax.plot(EDGES[[0, -1]], EDGES[[0, -1]], color=style.GRID, linewidth=0.8, zorder=1)
    for width in WIDTHS:
        one = data.sel(width=width)
        ax.plot(one.risk, one.test_risk, ".", markersize=2.2, color=COLORS[width], markeredgewidth=0)
    ax.set(xscale="log", yscale="log", xlabel="training risk", ylabel="test risk")
    ax.set(xlim=EDGES[[0, -1]], ylim=EDGES[[0, -1]])
    for axis in (ax.xaxis, ax.yaxis):
        _risk_ticks(axis)
    ax.legend(handles=[_dot(COLORS[m], f"$m$ = {m}") for m in WIDTHS], loc="lower right", handlelength=1)


def _draw_bands(ax, data):
    spread = data.high - data.low
    ax.plot(data.width, spread, marker="o", color=style.BLACK, label="5 % to 95 %")
    ax.plot(data.width, spread / data.middle, marker="s", color=style.BLUE, linestyle="--", label="the same / median")
    ax.set(xscale="log", yscale="log", xlabel="units $m$", ylabel="width of the band", ylim=(0.005, 0.6))
    ax.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
    ax.set_yticks((0.01, 0.1), ("0.01", "0.1"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.legend(loc="lower left", handlelength=2.4)


def _risk_ticks(axis):
    axis.set_ticks((0.1, 0.2, 0.4), ("0.1", "0.2", "0.4"))
    axis.set_minor_formatter(NullFormatter())


def _dot(color, label, marker="o"):
    return Line2D([], [], linestyle="none", marker=marker, markersize=3, color=color, label=label)


def claims(data):
    low, median, high = (data[name].values for name in ("low", "middle", "high"))
    spread, test, train = high - low, data.test_risk.values, data.risk.values
    best, worst = test.min(axis=1), test.max(axis=1)
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(train, test, strict=True)]
    gap = median / np.median(train, axis=1) - 1
    inside = ((test >= low[:, None]) & (test <= high[:, None])).mean(axis=1)
    return {
        "All 1000 runs stay finite, and end at less than half of the training risk that they began with.": bool(
            data.finite.all() and data.finite.size == 1000 and (data.risk < data.start_risk / 2).all()
        ),
        "From each width to the next the band gets narrower: nine tenths of the test risks lie within 0.20 at 4 units "
        "and within 0.01 at 64.": bool(
            (np.diff(spread) < 0).all()
            and np.allclose(inside, 0.9, atol=0.011)
            and np.isclose(spread[0], 0.2, atol=0.015)
            and np.isclose(spread[-1], 0.01, atol=0.002)
        ),
        "In relation to the median it gets narrower as well, from 39 % of it to 7 %.": bool(
            (np.diff(spread / median) < 0).all() and np.allclose((spread / median)[[0, -1]], [0.39, 0.07], atol=0.015)
        ),
        "The median falls from 0.50 over 0.22 and 0.15 to 0.13, and from 32 to 64 units by less than 3 %.": bool(
            np.allclose(median, [0.5, 0.22, 0.15, 0.13, 0.13], atol=0.006)
            and (np.diff(median) < 0).all()
            and median[-1] > 0.97 * median[-2]
        ),
        "Up to 16 units the bands do not overlap: the worst of the 200 starts at 8 units is better than the best at 4, "
        "and the worst at 16 better than the best at 8.": bool((worst[1:3] < best[:2]).all()),
        "Those of 32 and 64 units do.": bool(low[3] < high[4] and low[4] < high[3]),
        "So with few units a start matters, yet less than the width does; with many it hardly matters which one was "
        "drawn.": bool(
            spread[0] > 10 * spread[-1] and spread[0] < median[0] - median[1] and (spread / median)[-1] < 0.1
        ),
        "Starts that fit the training images better are better on the test images too, with a correlation of 0.95 at 4 "
        "units but of less than 0.5 at 32 and at 64.": bool(
            np.isclose(correlation[0], 0.95, atol=0.02) and min(correlation) > 0 and max(correlation[3:]) < 0.5
        ),
        "The median test risk is 3 % above the median training risk at 4 units, and 19 % at 64.": np.allclose(
            gap[[0, -1]], [0.03, 0.19], atol=0.012
        ),
    }
