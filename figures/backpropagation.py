"""Backpropagation: a unit's error is what the units that it feeds pass back.

A network of 2 inputs, 3 tanh units and 2 linear outputs with half squared error, for one example x = (1, −0.5), y = (1,
−1), its weights and biases drawn from ±1.5, float64. (a) The error δ = ∂loss/∂z of each unit, and on each edge what its
right end passes back to its left end, W_ij δ_j; dashed where negative. (b) For each hidden unit of (a) what the two
outputs pass back, the sum of the two, and δ, which is the sum times f′(z). (c) The loss of the example by the weight
from the middle hidden unit to the upper output, with the ½ and without it; straight lines are tangents at the weight of
(a), stars the minima. (d) The root mean square of δ in each layer of networks with 64 inputs, 11 hidden layers of 64
units and a softmax over 10 classes, at initialization, over 100 examples with normal inputs and random classes: the
geometric mean of ten initializations, and their range. Sigmoid and tanh start from Glorot's initialization, relu from
He's.

The gradient that the recursion gives is that of autodiff, entry by entry, to within 10⁻¹². In every hidden unit δ is
the sum of what is passed back, times f′(z), to within 10⁻¹². The hidden unit in the middle is passed back 0.99 and
−1.16, which nearly cancel: its δ of −0.035 is the smallest of the three. The ½ cancels the 2 of the square's
derivative: without it every entry of the gradient is twice as large, and the minimum is at the same weight. As σ′ ≤ ¼,
δ is smaller by a factor between 4 and 5 in each hidden layer of sigmoids than in the next one, by more than 10⁶ in ten
layers. With tanh between a quarter and a third of it is left after these ten layers, and with relu, whose
initialization is made for that, all of it: the first and the last hidden layer differ by less than a quarter.

Source: Rumelhart, Hinton & Williams (1986), Nature 323, for the recursion; Glorot & Bengio (2010) and He, Zhang, Ren &
Sun (2015) for what happens to δ with depth, and for the initializations that keep it.
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle
from jax.flatten_util import ravel_pytree
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import landscape as ls
from landscape.plot import style

SMALL = ls.mlp((2, 3, 2), activation="tanh")
X, Y = np.array([[1.0, -0.5]]), np.array([[1.0, -1.0]])
STEPS = np.linspace(-2.5, 2.5, 501)  # of the weight, from where it is

WIDTH, HIDDEN, CLASSES, EXAMPLES, DRAWS = 64, 11, 10, 100, 10
QUICK = {"DRAWS": 2}
INITIALIZERS = {"sigmoid": "glorot", "tanh": "glorot", "relu": "he"}


def start():
    """The params of the small network."""
    return SMALL.init(jax.random.key(0), "uniform", scale=1.5)


def without_half(params, batch):
    """‖h(x) − y‖² of each example."""
    return 2 * SMALL.losses(params, batch)


def compute():
    with jax.enable_x64(True):
        params = start()
        found = ls.backpropagation(SMALL, params, X, Y)
        half = SMALL.objective(X, Y)
        whole = ls.Objective(without_half, half.data, params=params)
        direction = jax.tree.map(np.zeros_like, params)
        direction["layer2"]["W"][1, 0] = 1.0
        plane = ls.Plane(params, (direction,), names=("change",))
        lines = [
            ls.evaluate(objective, plane, {"change": STEPS}, quantities=("risk", "slope"))
            for objective in (half, whole)
        ]
        gradients = (found.risk_gradient, *(jax.grad(objective.risk)(params) for objective in (half, whole)))
        flat = [np.asarray(ravel_pytree(gradient)[0]) for gradient in gradients]
        small = xr.Dataset(
            {
                "delta": ("unit", np.asarray(found.delta[0][0])),
                "slope": ("unit", np.asarray(found.derivatives[0][0])),
                "summands": (("unit", "output"), np.asarray(found.summands_of(0)[1])),
                "gradient": ("entry", flat[0]),
                "autodiff": ("entry", flat[1]),
                "autodiff_without_half": ("entry", flat[2]),
                "weight": float(params["layer2"]["W"][1, 0]),
            }
        )
        return {"small": small, "half": lines[0], "whole": lines[1], "deep": _deep()}


def _deep():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(EXAMPLES, WIDTH)), rng.integers(0, CLASSES, EXAMPLES)
    norms, steepest = [], []
    for activation, initializer in INITIALIZERS.items():
        sizes = (WIDTH,) * (HIDDEN + 1) + (CLASSES,)
        network = ls.mlp(sizes, activation=activation, output="softmax", loss="cross_entropy")
        starts = [network.init(key, initializer) for key in jax.random.split(jax.random.key(0), DRAWS)]
        found = [ls.backpropagation(network, params, x, y) for params in starts]
        norms.append([one.delta_norms().delta_rms.values for one in found])
        steepest.append(max(float(slope.max()) for one in found for slope in one.derivatives))
    return xr.Dataset(
        {"delta_rms": (("activation", "draw", "layer"), np.array(norms)), "steepest": ("activation", steepest)},
        {"activation": list(INITIALIZERS), "layer": np.arange(1, HIDDEN + 2)},
    )


# ---- the picture

PASSED = {0: style.SKY, 1: style.PURPLE}  # by the first output and by the second
HALVES = {  # color, name, and where the slope is written
    "half": (style.BLUE, "$½‖h−y‖^2$", (9, -7), "left"),
    "whole": (style.VERMILLION, "$‖h−y‖^2$", (-7, 8), "right"),
}
PLAIN = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 1}  # grids do not cross it
LOOKS = {"sigmoid": (style.BLUE, "o"), "tanh": (style.ORANGE, "s"), "relu": (style.GREEN, "^")}


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 5.0)
    figure.get_layout_engine().set(wspace=0.08)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.22, 1))
    graph, bars = upper.subplots(1, 2, width_ratios=(1.75, 1))
    halves, depth = lower.subplots(1, 2, width_ratios=(1, 1.3))
    with jax.enable_x64(True):
        ls.plot.network(ls.backpropagation(SMALL, start(), X, Y), ax=graph)
    head(graph, "a", "what is passed back")
    _draw_sums(bars, data["small"])
    _draw_halves(halves, data)
    _draw_depth(depth, data["deep"])
    return settle(figure)


def _draw_sums(ax, small):
    units = np.arange(small.sizes["unit"])
    for j, color in PASSED.items():
        ax.bar(units + 0.27 * (j - 1), small.summands[:, j], width=0.25, color=color)
    total = small.summands.sum("output").values
    look = {"linestyle": "none", "zorder": 4, "markeredgecolor": "white", "markeredgewidth": 0.5}
    ax.plot(units + 0.22, total, marker="D", color=style.INK, markersize=5, **look)
    ax.plot(units + 0.4, small.delta, marker="o", color=style.VERMILLION, markersize=6, **look)
    ax.axhline(0, color=style.INK, linewidth=0.6)
    open_frame(ax)
    ax.grid(False, axis="x")
    ax.set(xlabel="hidden unit", ylabel="error", xlim=(-0.6, 2.65), ylim=(-1.85, 2.3))
    ax.set_xticks(units, ["upper", "middle", "lower"])
    names = {0: "from the upper output", 1: "from the lower output"}
    entries: list = [Patch(color=color, label=names[j]) for j, color in PASSED.items()]
    entries.append(Line2D([], [], marker="D", color=style.INK, markersize=5, label="their sum", **look))
    entries.append(Line2D([], [], marker="o", color=style.VERMILLION, markersize=6, label="times $f′(z)$: $δ$", **look))
    ax.legend(handles=entries, loc="upper center", ncols=2, handlelength=1.0, columnspacing=0.8, **PLAIN)
    head(ax, "b", "and summed up")


def _draw_halves(ax, data):
    weight = float(data["small"].weight)
    for name, (color, label, shift, side) in HALVES.items():
        line = data[name]
        ax.plot(weight + line.change, line.risk, color=color, label=label)
        here, slope = float(line.risk.sel(change=0)), float(line.slope.sel(change=0)[0])
        reach = 0.7 / np.hypot(1, slope / 3)
        ends = np.array([-reach, reach])
        ax.plot(weight + ends, here + slope * ends, color=style.INK, linewidth=0.8)
        ax.plot(weight, here, marker="o", color=style.INK, markersize=3)
        ax.annotate(
            f"slope {slope:.2f}".replace("-", "−"),
            (weight, here),
            shift,
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=7.5,
        )
        best = int(line.risk.values.argmin())
        ax.plot(weight + line.change[best], line.risk[best], **STAR)
    open_frame(ax)
    ax.legend(loc="upper left", handlelength=1.6, **PLAIN)
    ax.set(xlabel="weight", ylabel="loss", xlim=(weight - 2.2, weight + 1.4), ylim=(0, 7.5))
    head(ax, "c", "why the ½")


def _draw_depth(ax, deep):
    for name, (color, marker) in LOOKS.items():
        norms = deep.delta_rms.sel(activation=name)
        ax.fill_between(deep.layer, norms.min("draw"), norms.max("draw"), color=color, alpha=0.25, linewidth=0)
        label = f"{name}, {'He' if INITIALIZERS[name] == 'he' else 'Glorot'}"
        ax.semilogy(deep.layer, np.exp(np.log(norms).mean("draw")), color=color, marker=marker, label=label)
    open_frame(ax)
    ax.minorticks_off()
    ax.legend(loc="lower right", handlelength=2.2, **PLAIN)
    ax.set(xlabel="layer", ylabel="root mean square of $δ$", xlim=(0.7, 12.3), ylim=(1e-8, 2))
    ax.set_xticks([1, 3, 5, 7, 9, 11, 12], ["1", "3", "5", "7", "9", "11", "out"])
    head(ax, "d", "through twelve layers")


# ---- the claims


def claims(data):
    small, half, whole, deep = (data[name] for name in ("small", "half", "whole", "deep"))
    total = small.summands.sum("output")
    norms = np.exp(np.log(deep.delta_rms).mean("draw")).sel(layer=slice(1, HIDDEN))
    left = norms.isel(layer=0) / norms.isel(layer=-1)
    sigmoid = norms.sel(activation="sigmoid").values
    return {
        "The gradient that the recursion gives is that of autodiff, entry by entry, to within 10⁻¹².": _near(
            small.gradient, small.autodiff
        ),
        "In every hidden unit δ is the sum of what is passed back, times f′(z), to within 10⁻¹².": _near(
            small.delta, total * small.slope
        ),
        "The hidden unit in the middle is passed back 0.99 and −1.16, which nearly cancel: its δ of −0.035 is the "
        "smallest of the three.": bool(
            np.allclose(small.summands[1], [0.99, -1.16], rtol=0, atol=5e-3)
            and abs(small.delta[1] + 0.035) < 5e-4
            and abs(small.delta.values).argmin() == 1
        ),
        "The ½ cancels the 2 of the square's derivative: without it every entry of the gradient is twice as large, and "
        "the minimum is at the same weight.": bool(
            _near(small.autodiff_without_half, 2 * small.autodiff)
            and _near(whole.slope, 2 * half.slope)
            and whole.risk.values.argmin() == half.risk.values.argmin()
            and ls.minimum(half, "risk").interior
        ),
        "As σ′ ≤ ¼, δ is smaller by a factor between 4 and 5 in each hidden layer of sigmoids than in the next one, by "
        "more than 10⁶ in ten layers.": bool(
            (deep.steepest.sel(activation="sigmoid") <= 0.25)
            and ((sigmoid[1:] > 4 * sigmoid[:-1]) & (sigmoid[1:] < 5 * sigmoid[:-1])).all()
            and left.sel(activation="sigmoid") < 1e-6
        ),
        "With tanh between a quarter and a third of it is left after these ten layers, and with relu, whose "
        "initialization is made for that, all of it: the first and the last hidden layer differ by less than a "
        "quarter.": bool(1 / 4 < left.sel(activation="tanh") < 1 / 3 and abs(left.sel(activation="relu") - 1) < 0.25),
    }


def _near(values, expected):
    """Whether they agree to within 10⁻¹², and are not all 0."""
    return bool(np.allclose(values, expected, rtol=0, atol=1e-12) and (abs(values) > 0).all())
