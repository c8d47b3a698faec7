"""One objective in four conventions: the same minimizer, another learning rate.

The O-rings (23 flights, standardized temperature, cross-entropy) with an l2 penalty on θ = (w, b), written in four
ways that differ by a positive factor: (a) the mean of the losses plus λ‖θ‖², λ = 0.1; (b) their sum plus nλ‖θ‖²; (c)
half of (a); (d) as scikit-learn writes it, C times the sum plus ½‖θ‖², C = 1/(2nλ), with the bias penalized as well.
Lines are levels at the same multiples of each one's factor, labeled in its own units. The path is gradient descent
with the learning rate 1.5 on (a), converted for the others; the star is where it ends. The diamond is the minimizer
when a number is carried over unconverted: the strength 0.1 in (b) and (c), scikit-learn's default C = 1 in (d).
Below, what the objective exceeds its least value by, in units of (a): (e) under gradient descent with converted
learning rates, four curves in one; (f) with the rate 1.5 for all; (g) under Adam with the rate 0.1 for all.

Divided by its factor each objective is the same function, so all four have the same minimizer. With converted
learning rates gradient descent takes the same steps on all four. With one rate for all the sum diverges. The half
needs 23 steps instead of 9 to come within 10⁻⁸ of the least value. scikit-learn's hops about and never settles. Adam
divides by the size of the gradient: with one rate for all it takes the same steps, to seven digits. A strength that
is carried over unconverted moves the minimizer.

Source: conventions as in Goodfellow, Bengio & Courville (2016), section 7.1, and in scikit-learn's
LogisticRegression.
"""

import jax
import numpy as np
import optax
import xarray as xr
from _page import STAR, head, open_frame, settle
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

STRENGTH, RATE, STEPS = 0.1, 1.5, 300
LABELS = ("mean", "sum", "half", "scikit-learn")
AXES = {"w": np.linspace(-2.6, 1.0, 181), "b": np.linspace(-2.4, 1.2, 181)}
CONVENTION = xr.Variable("convention", list(LABELS))
LOOKS = dict(zip(LABELS, ((style.BLACK, 3.2), (style.SKY, 2.2), (style.ORANGE, 1.4), (style.PURPLE, 0.7)), strict=True))
DIAMOND = {
    "marker": "D",
    "markersize": 4,
    "markerfacecolor": "none",
    "markeredgecolor": style.YELLOW,
    "linestyle": "none",
}


def compute():
    temperature, y = ls.datasets.o_rings()
    x, n = (temperature - temperature.mean()) / temperature.std(), len(temperature)
    C = 1 / (2 * n * STRENGTH)
    factors = {"mean": 1.0, "sum": float(n), "half": 0.5, "scikit-learn": n * C}
    strengths = {"mean": STRENGTH, "sum": n * STRENGTH, "half": STRENGTH / 2, "scikit-learn": 0.5}
    kept = {
        "mean": ("mean", STRENGTH),
        "sum": ("sum", STRENGTH),
        "half": ("half", STRENGTH),
        "scikit-learn": ("sum", 0.5),
    }
    surfaces, diamonds, runs = [], [], []
    with jax.enable_x64(True):
        neurons = {"mean": ls.neuron(x, y)}
        neurons |= {k: ls.neuron(x, y, reduction="sum", weights=np.full(n, factors[k] / n)) for k in LABELS[1:]}
        plane, same, adam = ls.axes_plane(neurons["mean"].params, "w", "b"), optax.sgd(RATE), optax.adam(0.1)
        for label in LABELS:
            neuron = neurons[label].with_penalty(ls.l2(strengths[label]))
            surfaces.append(ls.evaluate(neuron, plane, AXES)[["objective"]])
            diamonds.append(
                ls.minimum(ls.evaluate(neurons[kept[label][0]].with_penalty(ls.l2(kept[label][1])), plane, AXES))
            )
            converted = same if label == "mean" else optax.sgd(RATE / factors[label])
            optimizers = {"converted": converted, "one rate": same, "adam": adam}
            runs.append(ls.descend(neuron, optimizers, {"w": 0.0, "b": 0.0}, STEPS).on(plane))
    return {
        "surfaces": xr.concat(surfaces, CONVENTION).assign(factor=("convention", list(factors.values()))),
        "runs": xr.concat(runs, CONVENTION, combine_attrs="drop"),
        "kept": xr.concat(diamonds, CONVENTION),
    }


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.75)
    figure.get_layout_engine().set(wspace=0.05)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    top, bottom = upper.subplots(1, 4, sharex=True, sharey=True), lower.subplots(1, 3, sharey=True)
    for i, (ax, label) in enumerate(zip(top, LABELS, strict=True)):
        _draw_surface(upper, ax, *(data[name].sel(convention=label) for name in ("surfaces", "runs", "kept")))
        head(ax, "abcd"[i], label)
        ax.set(xlabel="$w$", ylabel="" if i else "$b$")
    for ax, runs in zip(bottom, ("converted", "one rate", "adam"), strict=True):
        for label, (color, width) in LOOKS.items():
            ax.semilogy(excess(data).sel(optimizer=runs, convention=label), color=color, linewidth=width)
        open_frame(ax)
        ax.set(xlabel="step", xlim=(0, 40), ylim=(1e-10, 1e3))
    bottom[0].set_ylabel("excess, in units of (a)")
    head(bottom[0], "e", "gradient descent, rates converted")
    head(bottom[1], "f", "gradient descent, one rate")
    head(bottom[2], "g", "Adam, one rate")
    bottom[2].set(xlim=(0, 200))
    _legend(lower)
    return settle(figure)


def excess(data):
    """What each run's objective exceeds the least one by, divided by the convention's factor."""
    values = data["runs"].objective
    return (values - values.sel(optimizer="converted").isel(step=-1)) / data["surfaces"].factor


def _draw_surface(figure, ax, surface, run, kept):
    factor, run = float(surface.factor), run.sel(optimizer="converted")
    norm, levels = Normalize(0.5 * factor, 1.7 * factor), np.array([0.6, 0.8, 1, 1.2, 1.5]) * factor
    mesh = ax.pcolormesh(
        surface.w, surface.b, surface.objective.T, cmap=style.SEQUENTIAL, norm=norm, shading="gouraud", rasterized=True
    )
    lines = ax.contour(
        surface.w,
        surface.b,
        surface.objective.T,
        levels=levels,
        colors=["#F2F2F2"] * 3 + ["#222222"] * 2,
        linewidths=0.5,
    )
    ax.clabel(
        lines, lines.levels[:3], fmt="%.3g", fontsize=6.5
    )  # the outer ones leave the window, and numbers with them
    look = style.optimizer_style("gradient descent")
    ax.plot(run.w, run.b, color=look.color, marker=look.marker, markersize=2, path_effects=style.halo(1.1))
    ax.plot(run.w[-1], run.b[-1], **STAR)
    if surface.convention != "mean":
        ax.plot(kept.w, kept.b, **DIAMOND)
    bar = figure.colorbar(mesh, ax=ax, location="bottom", aspect=22, pad=0.03, ticks=levels[[0, 2, 4]], format="%.3g")
    bar.set_label("objective")


def _legend(figure):
    gd = style.optimizer_style("gradient descent")
    entries = [Line2D([], [], color=color, linewidth=width, label=label) for label, (color, width) in LOOKS.items()]
    entries += [
        Line2D([], [], color=gd.color, marker=gd.marker, markersize=2, label="gradient descent"),
        Line2D([], [], label="minimizer", **STAR),
        Line2D([], [], label="number carried over", **DIAMOND),
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=7)


def claims(data):
    surfaces, runs, kept = data["surfaces"], data["runs"], data["kept"]
    n, above, scaled = len(ls.datasets.o_rings()[0]), excess(data), surfaces.objective / surfaces.factor
    one_rate, end = above.sel(optimizer="one rate"), runs.sel(optimizer="converted").isel(step=-1)
    steps = (one_rate > 1e-8).sum("step")
    cells = {int(surface.argmin()) for surface in surfaces.objective.values}
    strengths = [
        ls.strength_from(sum_strength=n * STRENGTH, n=n),
        ls.strength_from(sklearn_C=1 / (2 * n * STRENGTH), n=n),
    ]
    rates = [ls.learning_rate_from(sum_learning_rate=RATE / n, n=n), ls.learning_rate_from(scaled=(2 * RATE, 0.5))]
    return {
        "Divided by its factor each objective is the same function, so all four have the same minimizer.": bool(
            (abs(scaled - scaled.sel(convention="mean")) < 1e-12).all() and len(cells) == 1
        )
        and np.allclose(strengths, STRENGTH),
        "With converted learning rates gradient descent takes the same steps on all four.": bool(
            _apart(runs.sel(optimizer="converted")) < 1e-12 and np.allclose(rates, RATE)
        ),
        "With one rate for all the sum diverges.": bool(one_rate.sel(convention="sum")[50] > 1e12),
        "The half needs 23 steps instead of 9 to come within 10⁻⁸ of the least value.": bool(
            steps.sel(convention="half") == 23 and steps.sel(convention="mean") == 9
        ),
        "scikit-learn's hops about and never settles.": bool(
            (one_rate.sel(convention="scikit-learn")[-100:] > 1).all()
            and (abs(one_rate.sel(convention="scikit-learn").diff("step"))[-100:] > 0.1).all()
        ),
        "Adam divides by the size of the gradient: with one rate for all it takes the same steps, to seven digits.": (
            _apart(runs.sel(optimizer="adam")) < 1e-7
        ),
        "A strength that is carried over unconverted moves the minimizer.": bool(
            (np.hypot(kept.w - end.w, kept.b - end.b)[1:] > 0.1).all()
        ),
    }


def _apart(runs):
    """The largest distance between a step on one of the objectives and the same step on the mean."""
    mean = runs.sel(convention="mean")
    return float(np.hypot(runs.w - mean.w, runs.b - mean.b).max())
