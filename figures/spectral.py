"""A plane of a network as pixels, and from fewer evaluations as interpolants that state their error.

A network of 64, 32 and 10 units, tanh and cross-entropy, on 1200 of scikit-learn's digits, after 20 epochs of Adam
(learning rate 0.005). Above: the training risk in a filter-normalized plane through two random directions around the
last params. (a) On a grid of 51×51 cells, window and grid as in the code that Li et al. published; (b) and (c)
interpolated at Chebyshev points, to a tolerance of 1 % and of 0.1 % of the risk's range in the window. Colors and level
lines are the same in all three. Dots are the positions at which the risk was evaluated, nodes and checks; the star is
the least of each picture. Below: how far each is from the risk measured at 201×201 positions, as a share of its range.
(d) The cells of (a), interpolated linearly; (e) the picture (b); (f) the picture (c). Marks on the color bar are the
errors that (b) and (c) state of themselves.

With less than a twentieth of the evaluations of (a), (b) is nowhere off by more than it states. Nor is (c), with less
than a seventh. Both err by less than a third of what was tolerated. The cells of (a), interpolated linearly, err more
than (c) at nine positions of ten, and at worst more than nine times as much. As they are drawn, each in one color, they
are off by up to 4 % of the range. What (c) shows has one critical point in the window, a minimum, whose place is stated
to within a quarter of a cell's width. The least of positions measured 0.001 apart around it is at most 0.002 off, and
more than 0.004 from the least cell of (a).

Source: interpolation at Chebyshev points as in Trefethen (2013), Approximation Theory and Approximation Practice, of
degrees that are raised so that all nodes stay, as in Clenshaw & Curtis (1960), Numerische Mathematik 2; the plane as in
Li, Xu, Taylor, Studer & Goldstein (2018), arXiv:1712.09913.
"""

import jax
import numpy as np
import optax
from _digits import at, cross_entropy, digits, layers, mlp, train
from _page import STAR, head, settle
from matplotlib.colors import LogNorm
from matplotlib.ticker import FixedLocator, NullLocator
from scipy.interpolate import RegularGridInterpolator

import landscape as ls
from landscape.plot import style

WIDTHS, EPOCHS = (64, 32, 10), 20
TOLERANCES = {"b": 1e-2, "c": 1e-3}
QUICK = {"EPOCHS": 5, "TOLERANCES": {"b": 3e-2, "c": 1e-2}, "FINE": np.linspace(-1, 1, 61)}
PIXELS, FINE, NEAR = np.linspace(-1, 1, 51), np.linspace(-1, 1, 201), np.linspace(-0.02, 0.02, 41)
LEVELS = (0.07, 0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 2.5, 3)


def compute():
    data, losses = digits()["train"], cross_entropy(mlp)
    start, order, directions = jax.random.split(jax.random.key(0), 3)
    path, _ = train(losses, optax.adam(0.005), layers(start, WIDTHS), data, key=order, epochs=EPOCHS, every=8)
    last = at(path, -1)
    objective = ls.Objective(losses, data, params=last, predict=mlp)
    plane = ls.Plane(last, ls.random_directions(directions, last, 2), names=("alpha", "beta"))
    found = {
        "a": ls.evaluate(objective, plane, _square(PIXELS)),
        "measured": ls.evaluate(objective, plane, _square(FINE)),
    }
    for name, tolerance in TOLERANCES.items():
        interpolant = ls.interpolate(objective, plane, {"alpha": (-1, 1), "beta": (-1, 1)}, tolerance=tolerance)
        found[name] = interpolant.on(_square(FINE)).assign(points=interpolant.data["points"], stated=interpolant.error)
        found[f"least {name}"] = interpolant.minimum()
    found["critical"] = interpolant.critical_points()
    middle = {name: float(found["least c"][name]) for name in ("alpha", "beta")}
    found["near"] = ls.evaluate(objective, plane, {name: center + NEAR for name, center in middle.items()})
    return found


def _square(axis):
    return {"alpha": axis, "beta": axis}


def error(data, name, method="linear"):
    """How far a picture is from the measured risk, as a share of its range; (a) between its cells by this method."""
    measured = data["measured"].risk
    if name == "a":
        places = np.stack(np.meshgrid(FINE, FINE, indexing="ij"), axis=-1)
        shown = RegularGridInterpolator((PIXELS, PIXELS), data["a"].risk.values, method=method)(places)
    else:
        shown = data[name].risk.values
    return abs(shown - measured) / (measured.max() - measured.min())


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.25)
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    measured = data["measured"].risk
    risks = LogNorm(0.99 * measured.min(), 1.01 * measured.max())
    errors = LogNorm(1e-6, 1e-2, clip=True)
    for upper, lower, name in zip(*axes, "abc", strict=True):
        risk = data[name].risk
        sides = (risk.alpha, risk.beta)
        mesh = upper.pcolormesh(
            *sides,
            risk.T,
            cmap=style.SEQUENTIAL,
            norm=risks,
            shading="nearest" if name == "a" else "gouraud",
            rasterized=True,
        )
        lines = upper.contour(
            *sides, risk.T, levels=LEVELS, colors=["#F2F2F2" if v < 0.5 else "#222222" for v in LEVELS], linewidths=0.5
        )
        if name != "a":
            upper.plot(*data[name].points.T, "o", color=style.ORANGE, markersize=1.3, markeredgewidth=0, clip_on=False)
        upper.plot(*least(data, name), zorder=9, **STAR)
        off = lower.pcolormesh(
            FINE, FINE, error(data, name).T, cmap=style.SEQUENTIAL, norm=errors, shading="nearest", rasterized=True
        )
    for ax in axes.flat:
        ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.label_outer()
    for ax in axes[1]:
        ax.set_xlabel("$α$")
    for ax in axes[:, 0]:
        ax.set_ylabel("$β$")
    bar = figure.colorbar(mesh, ax=list(axes[0]), label="training risk", aspect=18, pad=0.045)
    bar.add_lines(lines)
    bar.ax.yaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.4, 1, 2, 3]))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar = figure.colorbar(off, ax=list(axes[1]), label="error / range of the risk", aspect=18, pad=0.02, extend="both")
    for name in TOLERANCES:
        stated = float(data[name].stated)
        bar.ax.axhline(stated, color=style.ORANGE, linewidth=1)
        bar.ax.annotate(
            f"({name})", (0, stated), (-2, 0), textcoords="offset points", ha="right", va="center", fontsize=7.5
        )
    counts = {name: data[name].sizes["evaluation"] for name in TOLERANCES}
    headings = (
        f"{PIXELS.size}×{PIXELS.size} cells: {PIXELS.size**2} evaluations",
        *(f"to {100 * TOLERANCES[name]:g} %: {count} evaluations" for name, count in counts.items()),
        "error of (a), linear between cells",
        *(f"error of ({name}), stated {100 * float(data[name].stated):.2g} %" for name in TOLERANCES),
    )
    for ax, letter, heading in zip(axes.flat, "abcdef", headings, strict=True):
        head(ax, letter, heading)
    return settle(figure)


def least(data, name):
    """Where a picture has its least risk."""
    found = ls.minimum(data["a"]) if name == "a" else data[f"least {name}"]
    return np.array([found.alpha, found.beta], float)


def claims(data):
    counts = {name: data[name].sizes["evaluation"] for name in TOLERANCES}
    worst = {name: float(error(data, name).max()) for name in "abc"}
    stated = {name: float(data[name].stated) for name in TOLERANCES}
    flat = float(error(data, "a", "nearest").max())
    cells, critical, near = data["a"].risk.size, data["critical"], data["near"].risk
    measured = np.array([near[name][place] for name, place in near.argmin(("alpha", "beta")).items()], float)
    off = {name: float(np.hypot(*(least(data, name) - measured))) for name in "ac"}
    return {
        "With less than a twentieth of the evaluations of (a), (b) is nowhere off by more than it states.": (
            counts["b"] < cells / 20 and worst["b"] <= stated["b"]
        ),
        "Nor is (c), with less than a seventh.": counts["c"] < cells / 7 and worst["c"] <= stated["c"],
        "Both err by less than a third of what was tolerated.": all(
            worst[name] < tolerance / 3 for name, tolerance in TOLERANCES.items()
        ),
        "The cells of (a), interpolated linearly, err more than (c) at nine positions of ten, and at worst more than "
        "nine times as much.": worst["a"] > 9 * worst["c"] and bool((error(data, "a") > error(data, "c")).mean() > 0.9),
        "As they are drawn, each in one color, they are off by up to 4 % of the range.": abs(flat - 0.04) < 0.005,
        "What (c) shows has one critical point in the window, a minimum, whose place is stated to within a quarter "
        "of a cell's width.": critical.kind.values.tolist() == ["minimum"]
        and float(critical.uncertainty[0]) < (PIXELS[1] - PIXELS[0]) / 4
        and np.allclose([critical.alpha[0], critical.beta[0]], least(data, "c"), atol=1e-6),
        "The least of positions measured 0.001 apart around it is at most 0.002 off, and more than 0.004 from the "
        "least cell of (a).": off["c"] <= 0.002 and off["a"] > 0.004,
    }
