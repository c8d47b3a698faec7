"""The gradient flow: where it goes without a minimum, and which steps follow it.

The flow dθ/dt = −∇R(θ) is what gradient descent with learning rate η does in t/η steps as η → 0. Sigmoid,
cross-entropy, no penalty, no minimum, float64. (a) The pair D = {(−1, 0), (1, 1)}: w along the flow from (0, 0), and
the closed form w + e^w = t + 1. (b) Their difference, for five tolerances of the solver. (c, d) Eight examples of two
features, σ(w₁x₁ + w₂x₂): the norm of w, and the angle between w and the direction of largest margin, along the flow
from three starts. (e) The examples (0 open, 1 filled), the decision boundary along the flow from (−1, 2) at four times,
and that of the largest margin (dotted). (f) The risk, the flow from there up to t = 30, and four optimizers in 30/η
steps; momentum is 0.9, and its learning rate η/10. (g) The largest distance of their points from the path of the flow,
by η.

Up to t = 10⁴ the error is below the tolerance of a step, from 10⁻⁴ to 10⁻¹². On the pair w grows like log t: from t =
10³ to 10⁴ by log 10 = 2.30, to within 1 %. With two features the norm grows likewise, from every start: over the last
decade by (log 10)/0.5, where 0.5 is the margin, to within 1 %. The direction converges to that of largest margin, (1,
0): w₂ settles at (log 1.25)/4.5 = 0.0496 while w₁ goes on, so the angle falls like 1/log t, to 0.0010 at t = 10¹². From
t = 10 on all examples are on their side. Small steps follow the flow: from η = 0.03 to 0.3 the distance of gradient
descent is proportional to η, to within 10 %. Large steps do not: with η = 3 the risk rises in one step, and the
distance is 1.86. Momentum follows it where η is small enough: for η ≤ 0.1 at 18 to 20 times the distance. Adam does
not, however small its steps: its distance stays above 0.4.

Source: Soudry, Hoffer, Nacson, Gunasekar & Srebro (2018), theorem 3: the direction, the norm and the rate 1/log t. The
examples on the margin are (½, −2), labeled 1, and (−½, −2½), labeled 0; w₂ rests where their pulls 2e^(2w₂) and
2½e^(−2½w₂) are equal.
"""

from itertools import product

import jax
import numpy as np
import optax
import xarray as xr
from _page import head, open_frame, settle, unique, without_legend

import landscape as ls
from landscape.plot import style

X = [[0.5, -2.0], [-0.5, -2.5], [1.5, 3.5], [-1.0, 3.0], [2.0, 2.5], [-1.0, -3.2], [1.6, 3.0], [-1.2, -4.0]]
Y = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
STARTS = {"w": np.array([[-1.0, 2.0], [1.0, 3.0], [0.0, 0.0]])}
START = {"w": np.array([-1.0, 2.0])}
TOLERANCES = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
SPARSE = np.geomspace(1, 1e4, 9)  # every recorded time ends a step of the solver: many of them hide the tolerance
DENSE = np.r_[0, np.geomspace(1e-3, 1e-1, 20), np.geomspace(0.101, 1e2, 2000), np.geomspace(101, 1e12, 201)]
TIME = 30.0
RATES = (0.03, 0.1, 0.3, 1.0, 3.0)
QUICK = {"TOLERANCES": (1e-4, 1e-8), "RATES": (0.1, 0.3, 3.0)}
WALKS = {  # made once: compiled once
    "gradient descent": [optax.sgd(rate) for rate in RATES],
    "momentum": [optax.sgd(rate / 10, momentum=0.9) for rate in RATES],
    "adam": [optax.adam(rate) for rate in RATES],
}
SHOWN = {
    "gradient descent, η = 0.1": ("gradient descent", 0.1),
    "gradient descent, η = 3": ("gradient descent", 3.0),
    "momentum, η = 0.3": ("momentum", 0.3),
    "adam, η = 0.1": ("adam", 0.1),
}
AXES = {"w[0]": np.linspace(-1.5, 4.5, 181), "w[1]": np.linspace(-1, 3, 121)}
PLACES = ((0.14, 0.0035), (0.03, 0.022), (0.024, 0.65))  # of the labels of (g)
EDGE = 5.0  # of the window of (e)
BOUNDARIES = {0.0: -0.75, 4.0: -0.74, 6.0: -0.78, 10.0: 0.86}  # times, and where on its line the label stands


def compute():
    with jax.enable_x64(True):
        two = ls.neuron(np.array(X), np.array(Y), bias=False)
        plane = ls.axes_plane(two.params, "w[0]", "w[1]")
        best = ls.max_margin(two)
        flow = ls.gradient_flow(two, STARTS, DENSE, rtol=1e-12, atol=1e-14)
        data = {
            "pair": _pair(),
            "flow": flow.on(plane),
            "margin": xr.Dataset({"direction": ("feature", best.direction["w"]), "margin": best.margin}),
            "surface": ls.evaluate(two, plane, AXES),
        }
        path, distances = flow.params["w"][0], np.empty((len(WALKS), len(RATES)))
        for (i, walk), (j, rate) in product(enumerate(WALKS), enumerate(RATES)):
            run = ls.descend(two, WALKS[walk][j], START, round(TIME / rate))
            distances[i, j] = distance(run.params["w"], path)
            if (walk, rate) in SHOWN.values():
                data[f"{walk} {rate:g}"] = run.on(plane)
    names = {"walk": list(WALKS), "rate": list(RATES)}
    return data | {"distances": xr.Dataset({"distance": (tuple(names), distances)}, names)}


def _pair():
    """w along the flow of the pair, by tolerance and time, and the closed form."""
    pair = ls.neuron(*ls.datasets.pair())
    runs = [ls.gradient_flow(pair, {"w": 0.0, "b": 0.0}, SPARSE, rtol=r, atol=r / 100) for r in TOLERANCES]
    w = np.array([run.params["w"] for run in runs])
    return xr.Dataset({"w": (("tolerance", "time"), w)}, {"tolerance": list(TOLERANCES), "time": SPARSE})


def closed(time):
    """w of the pair's flow from (0, 0): the root of w + e^w = t + 1, by Newton's method from above."""
    w = np.log1p(time)
    for _ in range(50):
        w = w - (w + np.exp(w) - time - 1) / (1 + np.exp(w))
    return w


def distance(points, path):
    """The largest distance of one of the points (n, 2) from a polygon (m, 2)."""
    first, along = path[:-1], np.diff(path, axis=0)
    share = ((points[:, None] - first) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-300)
    nearest = first + np.clip(share, 0, 1)[..., None] * along
    return np.linalg.norm(points[:, None] - nearest, axis=-1).min(axis=1).max()


# ---- the picture


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.5)
    figure.get_layout_engine().set(wspace=0.08)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    top, bottom = upper.subplots(1, 4), lower.subplots(1, 3, width_ratios=(0.9, 1.45, 0.9))
    _draw_pair(top[0], top[1], data["pair"])
    _draw_flow(top[2], top[3], data["flow"], data["margin"])
    _draw_examples(bottom[0], data["flow"].isel(start=0), data["margin"])
    entries = _draw_walks(bottom[1], data)
    _draw_distances(bottom[2], data["distances"])
    lower.legend(handles=unique(entries), loc="outside lower center", ncols=4)
    return settle(figure)


def _draw_pair(growth, error, pair):
    time = np.geomspace(1, 1e4, 201)
    growth.semilogx(time, closed(time), color=style.SKY, label="closed form")
    look = {"color": style.BLACK, "marker": "d", "markersize": 3.5, "linestyle": "none"}
    growth.plot(pair.time, pair.w[-1], label="flow", **look)
    growth.legend(loc="upper left", handlelength=1.4)
    growth.set(xlabel="time $t$", ylabel="$w$", ylim=(0, 10.5))
    head(growth, "a", "the pair")
    for i, tolerance in enumerate(TOLERANCES):
        off = abs(pair.w[i] - closed(pair.time))
        color = style.sequence_color(i, len(TOLERANCES))
        error.loglog(pair.time, off, color=color, marker="o", markersize=2)
        error.text(1.5e4, off[-1], f"$10^{{{np.log10(tolerance):.0f}}}$", va="center", fontsize=7.5)
    error.text(1.5e4, 1.5e-5, "tol.", va="center", fontsize=7.5)
    error.set(xlabel="time $t$", ylabel="error of $w$", ylim=(1e-17, 1e-3), yticks=10.0 ** np.arange(-16, -2, 4))
    head(error, "b", "its error")
    for ax in (growth, error):
        open_frame(ax)
        ax.minorticks_off()
        ax.set(xlim=(0.8, 1.3e4), xticks=(1, 1e2, 1e4))


def polar(flow, margin):
    """The norm of w, and its angle from the direction of largest margin."""
    w, d = np.stack([flow["w[0]"], flow["w[1]"]], axis=-1), margin.direction.values
    angle = np.arctan2(d[0] * w[..., 1] - d[1] * w[..., 0], w @ d)
    return xr.Dataset({"norm": (flow["w[0]"].dims, np.linalg.norm(w, axis=-1)), "angle": (flow["w[0]"].dims, angle)})


def _draw_flow(norm, angle, flow, margin):
    seen, time = polar(flow, margin).isel(step=slice(1, None)), flow.time[1:]
    for start in range(flow.sizes["start"]):
        color = (style.BLUE, style.ORANGE, style.BLACK)[start]
        label = "({:g}, {:g})".format(*STARTS["w"][start]).replace("-", "−")
        norm.semilogx(time, seen.norm[start], color=color, linestyle=style.dashes(start), label=label)
        angle.loglog(time, abs(seen.angle[start]), color=color, linestyle=style.dashes(start))
    norm.set(ylabel="$‖w‖$", ylim=(0, 52))
    norm.legend(loc="upper left", title="from", title_fontsize=7.5, handlelength=2.0, alignment="left")
    head(norm, "c", "norm")
    angle.set(ylabel="angle", ylim=(7e-4, 5))
    head(angle, "d", "direction")
    for ax in (norm, angle):
        open_frame(ax)
        ax.minorticks_off()
        ax.set(xlabel="time $t$", xlim=(1e-2, 1e12), xticks=(1, 1e4, 1e8, 1e12))


def _draw_examples(ax, flow, margin):
    x, y = np.array(X), np.array(Y)
    for i, (time, at) in enumerate(BOUNDARIES.items()):
        w = flow.isel(step=nearest(flow, time))
        color = style.sequence_color(i, len(BOUNDARIES))
        along = _draw_boundary(ax, float(w["w[0]"]), float(w["w[1]"]), color=color)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(
            *(at * along),
            f"$t$ = {time:g}" if i == 0 else f"{time:g}",
            ha="center",
            va="center",
            fontsize=7.5,
            bbox=box,
        )
    _draw_boundary(ax, *margin.direction.values, color=style.BLACK, linestyle=":")
    for label, face in ((0.0, "white"), (1.0, style.BLACK)):
        here = x[y == label]
        ax.plot(*here.T, "o", markersize=4, markerfacecolor=face, markeredgecolor=style.BLACK, zorder=4)
    ticks = (-4, -2, 0, 2, 4)
    ax.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), xlabel="$x_1$", ylabel="$x_2$", xticks=ticks, yticks=ticks)
    head(ax, "e", "boundary")


def _draw_boundary(ax, w1, w2, **look):
    """The line w₁x₁ + w₂x₂ = 0 within the window; where it leaves it, upwards or to the right."""
    along = np.array([-w2, w1]) * np.sign(w1 or -w2) * EDGE / max(abs(w1), abs(w2))
    ax.plot(*np.stack([-along, along]).T, **look)
    return along


def _draw_walks(ax, data):
    flow = data["flow"].isel(start=0)
    walks = {label: data[f"{walk} {rate:g}"] for label, (walk, rate) in SHOWN.items()}
    walks["gradient flow"] = flow.sel(step=flow.time <= TIME)  # last: on top
    ls.plot.contour(data["surface"], "risk", walks, ax=ax)
    entries = without_legend(ax)
    ax.set_box_aspect(None)
    ax.set(xlabel="$w_1$", ylabel="$w_2$")
    head(ax, "f", "flow and steps")
    return entries


def _draw_distances(ax, distances):
    for walk, label, at in zip(WALKS, ("gradient descent", "momentum", "adam"), PLACES, strict=True):
        look = style.optimizer_style(walk)
        seen = {"color": look.color, "marker": look.marker, "linestyle": look.linestyle}
        ax.loglog(distances.rate, distances.distance.sel(walk=walk), **seen)
        ax.text(*at, label, color=style.readable(look.color), va="center", fontsize=7.5)
    open_frame(ax)
    ax.minorticks_off()
    ax.set(xlabel="learning rate $η$", ylabel="distance from the flow", xlim=(0.02, 4), ylim=(1e-3, 5))
    head(ax, "g", "by learning rate")


# ---- the claims


def claims(data):
    pair, flow, margin = data["pair"], data["flow"], data["margin"]
    seen, distances = polar(flow, margin), data["distances"].distance
    small, adam = distances.sel(rate=slice(None, 0.1)), distances.sel(walk="adam")
    by_rate = (distances / distances.rate).sel(walk="gradient descent", rate=slice(None, 0.3))
    large = data["gradient descent 3"].risk
    growth = np.diff(pair.w.sel(time=[1e3, 1e4], method="nearest"))
    before = nearest(flow, 1e11)
    decade = seen.norm[:, -1] - seen.norm[:, before]
    inverse = 1 / seen.angle[:, -1] - 1 / seen.angle[:, before]
    return {
        "Up to t = 10⁴ the error is below the tolerance of a step, from 10⁻⁴ to 10⁻¹².": bool(
            (abs(pair.w - closed(pair.time)).max("time") < pair.tolerance).all() and pair.time[-1] == 1e4
        ),
        "On the pair w grows like log t: from t = 10³ to 10⁴ by log 10 = 2.30, to within 1 %.": bool(
            (abs(growth / np.log(10) - 1) < 0.01).all()
        ),
        "With two features the norm grows likewise, from every start: over the last decade by (log 10)/0.5, where 0.5 "
        "is the margin, to within 1 %.": bool(
            (abs(decade / (np.log(10) / 0.5) - 1) < 0.01).all() and abs(margin.margin - 0.5) < 1e-12
        ),
        "The direction converges to that of largest margin, (1, 0): w₂ settles at (log 1.25)/4.5 = 0.0496 while w₁ "
        "goes on, so the angle falls like 1/log t, to 0.0010 at t = 10¹².": bool(
            np.allclose(margin.direction, [1, 0], rtol=0, atol=1e-12)
            and np.allclose(flow["w[1]"][:, -1], np.log(1.25) / 4.5, rtol=1e-6)
            and np.allclose(seen.angle[:, -1], 0.0010, rtol=0, atol=5e-6)
            and (abs(inverse / np.log(10) / (2 * 4.5 / np.log(1.25)) - 1) < 0.01).all()
        ),
        "From t = 10 on all examples are on their side.": _separates(flow),
        "Small steps follow the flow: from η = 0.03 to 0.3 the distance of gradient descent is proportional to η, to "
        "within 10 %.": bool(by_rate.max() < 1.1 * by_rate.min() and by_rate.max() < 0.1),
        "Large steps do not: with η = 3 the risk rises in one step, and the distance is 1.86.": bool(
            (np.diff(large) > 0).sum() == 1 and abs(distances.sel(walk="gradient descent", rate=3) - 1.86) < 0.005
        ),
        "Momentum follows it where η is small enough: for η ≤ 0.1 at 18 to 20 times the distance.": bool(
            (abs(small.sel(walk="momentum") / small.sel(walk="gradient descent") - 19) < 1.5).all()
            and small.sel(walk="momentum").max() < 0.15
        ),
        "Adam does not, however small its steps: its distance stays above 0.4.": bool(
            (adam > 0.4).all() and abs(adam[0] / adam[1] - 1) < 0.05
        ),
    }


def nearest(flow, time):
    """The index of the recorded time nearest to this one."""
    return int(np.argmin(abs(flow.time.values - time)))


def _separates(flow):
    """Whether on the flow of (e), from t = 10 on, each example is on its side of the boundary."""
    w = np.stack([flow["w[0]"][0], flow["w[1]"][0]], axis=-1)[nearest(flow, 10) :]
    return bool((w @ np.array(X).T * (2 * np.array(Y) - 1) > 0).all())
