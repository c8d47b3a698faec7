"""The boundary of trainability, and the basins of minima.

(a) A network of one hidden layer, 16 tanh units, on 16 random examples of 16 inputs: h(x) = Σ_k v_k tanh(√2 Σ_j x_j
W_jk/4)/16, mean squared error, float64. Gradient descent from one random start, 200 full-batch steps, at 81 × 81 pairs
of learning rates, η₁ of W and η₂ of v. Blue: converged, the mean loss of the last 20 steps is below the first. Red:
diverged. The color is the rank of Σ J_t/J_0 among the converged, pale where it is small, and of Σ J_0/J_t among the
others, dark where it is small. (b) The frame in (a) and (c) the frame in (b), computed anew on 81 × 81 pairs each.
(d) The same picture of J = ½(x² + 4y²) from (1, 1), with a rate for each coordinate, 400 steps, and the lines on which
a rate times its curvature is 2. (e) For each picture, how many boxes of a size in cells hold four neighbors not all of
one kind, and lines fitted through them. (f) Himmelblau's function, (x² + y − 11)² + (x + y² − 7)²: the minimum to which
gradient descent with rate 0.012 comes from 121 × 121 starts, darker where it takes more steps to a gradient of 10⁻⁶.

The quadratic converges in every cell with η₁ < 2 and 4η₂ < 2, and in no other. Of the network each picture holds
both kinds, the zooms too: less than 95 % and more than 30 % of their cells converge. From boxes of 1 to boxes of 16
cells, those on the boundary number as size^−d. Here d is between 1.1 and 1.4 in (a), between 1.4 and 1.7 in the zooms,
and between 0.9 and 1.1 for the quadratic, whose boundary is straight. In (c) more than 30 cells that diverge have only
converged cells around them. Descent on Himmelblau's function comes from every start to one of four minima, (3, 2),
(−2.8051, 3.1313), (−3.7793, −3.2832) or (3.5844, −1.8481), to within 10⁻⁴. Near the window's border a step is so long
that it leads into another basin: each of the four is in more than one part.

Source: Sohl-Dickstein (2024), arXiv:2402.06184, from whose program the network, the measure and the rule of convergence
are (there with 272 examples); Himmelblau (1972).
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _page import STAR, head, open_frame, settle, unique, without_legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from scipy import ndimage

import landscape as ls
from landscape.plot import style
from landscape.plot.trainability import COLORS

WIDTH, CELLS, STEPS = 16, 81, 200
WINDOWS = {"b": ((100.0, 140.0), (56.0, 68.0)), "c": ((115.0, 125.0), (58.0, 62.0))}
SIZES = np.array([1, 2, 4, 8, 16])
QUICK = {"CELLS": 33, "STEPS": 50, "SIZES": np.array([1, 2, 4, 8])}
CURVATURES = {"eta1": 1.0, "eta2": 4.0}
MINIMA = np.array([[3.0, 2.0], [-2.8051, 3.1313], [-3.7793, -3.2832], [3.5844, -1.8481]])
LOOKS = {"whole": ("a", style.BLUE, "-"), "b": ("b", style.ORANGE, "--"), "c": ("c", style.VERMILLION, "-."),
         "quadratic": ("d", style.BLACK, ":")}  # fmt: skip


def losses(params, batch):
    """Of the network in its mean-field scaling."""
    x, y = batch
    hidden = jnp.tanh(x @ params["W"] * (2 / WIDTH) ** 0.5)
    return jnp.square(hidden @ params["v"] / WIDTH - y)


def rates(first, second):
    """An optimizer with a learning rate for each of two leaves."""

    def optimizer(eta1, eta2):
        return optax.multi_transform({first: optax.sgd(eta1), second: optax.sgd(eta2)}, {first: first, second: second})

    return optimizer


def compute():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(WIDTH, WIDTH)), rng.normal(size=WIDTH)
        start = {"W": rng.normal(size=(WIDTH, WIDTH)), "v": rng.normal(size=WIDTH)}
        network, optimizer = ls.Objective(losses, (x, y), params=start), rates("W", "v")
        axes = {"whole": {"eta1": np.logspace(0.5, 4, CELLS), "eta2": np.logspace(0.5, 2.5, CELLS)}}
        axes |= {
            zoom: {name: np.linspace(*window, CELLS) for name, window in zip(("eta1", "eta2"), windows, strict=True)}
            for zoom, windows in WINDOWS.items()
        }
        data = {name: ls.trainability(network, start, optimizer, own, STEPS) for name, own in axes.items()}
        bowl = ls.function(lambda p: 0.5 * (p["x"] ** 2 + 4 * p["y"] ** 2), {"x": 1.0, "y": 1.0})
        both = {name: np.logspace(-1.2, 1.2, CELLS) for name in CURVATURES}
        data["quadratic"] = ls.trainability(bowl, bowl.params, rates("x", "y"), both, 400)
        data["basins"] = _himmelblau()
    return data


def _himmelblau():
    def value(p):
        return (p["x"] ** 2 + p["y"] - 11) ** 2 + (p["x"] + p["y"] ** 2 - 7) ** 2

    objective = ls.function(value, {"x": 0.0, "y": 0.0})
    axes = {name: np.linspace(-6, 6, 121) for name in ("x", "y")}
    plane = ls.axes_plane(objective.params, "x", "y")
    return ls.basins(objective, plane, axes, optax.sgd(0.012), 5000, tolerance=1e-6, apart=1e-4)


# ---- what is counted


def boundary(data):
    """The squares of four neighboring cells that hold both kinds."""
    c = data.converged.values
    corners = np.stack([c[1:, 1:], c[:-1, 1:], c[1:, :-1], c[:-1, :-1]])
    return corners.any(axis=0) & ~corners.all(axis=0)


def boxes(data):
    """How many boxes of each of SIZES hold some of the boundary."""
    edge, n = boundary(data), CELLS - 1
    return np.array([edge.reshape(n // s, s, n // s, s).any(axis=(1, 3)).sum() for s in SIZES])


def dimension(data):
    """The slope of the number of boxes against their size, both logarithmic."""
    return -np.polyfit(np.log(SIZES), np.log(boxes(data)), 1)[0]


def islands(data):
    """How many diverged cells have converged ones on all eight sides."""
    c = data.converged.values
    around = sum(np.roll(c, (i, j), (0, 1)).astype(int) for i in (-1, 0, 1) for j in (-1, 0, 1)) - c
    return int(((around == 8) & ~c)[1:-1, 1:-1].sum())


# ---- the picture


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 5.1)
    figure.get_layout_engine().set(wspace=0.08, hspace=0.06)
    (a, b, c), (d, e, f) = figure.subplots(2, 3)
    for ax, name, heading in (
        (a, "whole", "learning rates of a network"),
        (b, "b", "the frame in (a)"),
        (c, "c", "the frame in (b)"),
        (d, "quadratic", "of a quadratic"),
    ):
        ls.plot.trainability(data[name], ax=ax, bar=False)
        head(ax, LOOKS[name][0], heading)
        ax.set(xlabel="$\\eta_1$", ylabel="$\\eta_2$")
    for ax, name in ((a, "b"), (b, "c")):
        _frame(ax, *WINDOWS[name])
    for line, at in ((d.axvline, 2.0), (d.axhline, 0.5)):
        line(at, color="white", linewidth=0.8, linestyle="--")
    _draw_boxes(e, data)
    ls.plot.basins(data["basins"], ax=f)
    without_legend(f)
    f.set(xlabel="$x$", ylabel="$y$")
    head(f, "f", "basins of four minima")
    figure.legend(handles=unique(_entries()), loc="outside lower center", ncols=4)
    return settle(figure)


def _frame(ax, across, up):
    ax.add_patch(
        Rectangle((across[0], up[0]), np.ptp(across), np.ptp(up), facecolor="none", edgecolor="black", linewidth=0.9,
                  path_effects=style.halo(0.9), zorder=5)
    )  # fmt: skip


def _draw_boxes(ax, data):
    for (name, (label, color, dashes)), marker in zip(LOOKS.items(), "os^D", strict=True):
        count, slope = boxes(data[name]), dimension(data[name])
        fitted = np.exp(np.mean(np.log(count)) - slope * (np.log(SIZES) - np.mean(np.log(SIZES))))
        ax.loglog(SIZES, fitted, color=color, linestyle=dashes)
        ax.loglog(SIZES, count, marker, color=color)
        ax.plot([], [], color=color, linestyle=dashes, marker=marker, label=f"({label}) $d$ = {slope:.2f}")
    open_frame(ax)
    ax.minorticks_off()
    ax.set_xticks(SIZES, [str(s) for s in SIZES])
    ax.set(xlabel="size of a box in cells", ylabel="boxes on the boundary", xlim=(0.9, 18))
    ax.legend(loc="upper right", handlelength=2.4)
    ax.set_box_aspect(1)
    head(ax, "e", "boxes on the boundary")


def _entries():
    shades = {"converged at once": 0.0, "converged slowly": 0.49, "diverged slowly": 0.51, "diverged at once": 1.0}
    look = {"edgecolor": "#888888", "linewidth": 0.3, "path_effects": [style.OnSurface()]}
    entries = [Patch(facecolor=COLORS(shade), label=text, **look) for text, shade in shades.items()]
    entries.append(Line2D([], [], color="black", linewidth=0.9, label="window of the next picture"))
    return [*entries, Line2D([], [], color="#666666", linestyle="--", linewidth=0.8, label="rate · curvature = 2"),
            Line2D([], [], label="minimum", **STAR)]  # fmt: skip


# ---- what is claimed


def claims(data):
    network = {name: data[name] for name in ("whole", "b", "c")}
    share = {name: float(own.converged.mean()) for name, own in network.items()}
    d = {name: dimension(data[name]) for name in (*network, "quadratic")}
    quadratic, found = data["quadratic"], data["basins"]
    inside = [quadratic[name].values * curvature < 2 for name, curvature in CURVATURES.items()]
    measured = {name: _as_measured(data[name]) for name in LOOKS}
    zoomed = all(_within(network[name], *WINDOWS[name]) for name in WINDOWS)
    four = found.sizes["minimum_label"] == 4 and (found.minimum >= 0).all() and _known(found.minimum_at.values)
    ended = bool((found.gradient_norm <= 1e-6).all() and (found.objective < 1e-12).all())
    return {
        "The quadratic converges in every cell with η₁ < 2 and 4η₂ < 2, and in no other.": measured["quadratic"]
        and bool((quadratic.converged.values == np.outer(*inside)).all() and np.outer(*inside).any()),
        "Of the network each picture holds both kinds, the zooms too: less than 95 % and more than 30 % of their cells "
        "converge.": all(0.3 < one < 0.95 for one in share.values()) and all(measured.values()),
        "From boxes of 1 to boxes of 16 cells, those on the boundary number as size^−d.": all(measured.values())
        and all(_power(data[name]) for name in LOOKS),
        "Here d is between 1.1 and 1.4 in (a), between 1.4 and 1.7 in the zooms, and between 0.9 and 1.1 for the "
        "quadratic, whose boundary is straight.": bool(
            1.1 < d["whole"] < 1.4 < min(d["b"], d["c"]) and max(d["b"], d["c"]) < 1.7 and 0.9 < d["quadratic"] < 1.1
        )
        and zoomed
        and all(measured.values()),
        "In (c) more than 30 cells that diverge have only converged cells around them.": islands(data["c"]) > 30
        and measured["c"],
        "Descent on Himmelblau's function comes from every start to one of four minima, (3, 2), (−2.8051, 3.1313), "
        "(−3.7793, −3.2832) or (3.5844, −1.8481), to within 10⁻⁴.": bool(four) and ended,
        "Near the window's border a step is so long that it leads into another basin: each of the four is in more than "
        "one part.": all(ndimage.label(found.minimum.values == i)[1] > 1 for i in range(4)) and ended,
    }


def _power(data):
    """Whether the logarithm of the number of boxes is a straight line to within 0.15."""
    x, y = np.log(SIZES), np.log(boxes(data))
    return bool(np.abs(y - np.polyval(np.polyfit(x, y, 1), x)).max() < 0.15)


def _as_measured(data):
    """Whether converged is what ended below the first loss, but for a few that oscillate, by sums that can be."""
    below = data.objective < data.attrs["start_objective"]
    possible = (data.measure >= 1) & (data.measure < 1e6 * data.attrs["steps"])  # J_0/J_0 is one of the terms
    return bool(possible.all() and (below == data.converged).mean() > 0.95)


def _within(data, across, up):
    return bool(np.allclose(data.eta1[[0, -1]], across) and np.allclose(data.eta2[[0, -1]], up))


def _known(at):
    return np.abs(at[:, None] - MINIMA).max(axis=2).min(axis=0).max() < 1e-4 and np.isfinite(at).all()
