"""Without a penalty there is no minimum, and what takes its place.

The sigmoid neuron h(x) = σ(wx + b) on the pair D = {(−1, 0), (1, 1)}, cross-entropy R(w, b), no penalty, float64. (a)
The neuron's output for b = 0 and growing w, with the data. (b) The risk along rays of constant b. (c) The norm of (w,
b) along gradient descent with learning rate 0.05 from three starts, against time = 0.05 · step, and the gradient flow
from (0, 0), on which w + e^w = t + 1. (d) The angle between (w, b) and the direction (1, 0), the one of largest
margin, along the two runs that do not start on it. (e) The risk by the logarithm of the scale and the angle of (w,
b), with these two runs. (f) The risk by weight and decision threshold −b/w, with the same runs. (g) The risk on two
normalized sets: on the circle ‖(w, b)‖ = 1 by angle, and on ‖w‖ = 1 by threshold.

As w grows, h(−1) → 0 and h(1) → 1. On a logarithmic scale the risk along each ray becomes a straight line of slope
−1: it tends to 0 and never reaches it. Gradient descent in small steps follows the flow to within 0.005. The norm
grows like log t: over the last decade by log 10 = 2.30, to within 1 %. The direction converges: at t = 10⁴ the angle
is below 0.0002. In polar coordinates the angle settles while the scale goes on. By threshold and weight, the
threshold settles at 0 while the weight goes on. Normalized, the risk does have a minimum: at angle 0 on the circle,
and at threshold 0 on ‖w‖ = 1. Both are the same neuron, w = 1 and b = 0, with R = log(1 + 1/e) = 0.3133.

Source: Soudry, Hoffer, Nacson, Gunasekar & Srebro (2018), section 2: on separable data gradient descent converges in
direction, to the largest margin, while the norm grows like log t.
"""

import jax
import numpy as np
import optax
import xarray as xr
from _page import STAR, head, open_frame, settle, unique, without_legend
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

RATE, EVERY, STEPS = 0.05, 10, 200_000
QUICK = {"STEPS": 20_000}
WEIGHTS = (1.0, 2.0, 5.0, 10.0)


def compute():
    with jax.enable_x64(True):
        pair = ls.neuron(*ls.datasets.pair())
        plane = ls.axes_plane(pair.params, "w", "b")
        polar, boundary = ls.Polar(plane), ls.Boundary(plane)
        starts = {"w": np.array([0.0, 1.0, 0.5]), "b": np.array([0.0, 2.0, -1.25])}
        runs = ls.descend(pair, {"gradient descent": optax.sgd(RATE)}, starts, STEPS, record_every=EVERY)
        angles, thresholds = np.linspace(-np.pi / 2, np.pi / 2, 201), np.linspace(-3, 3, 201)
        h = [np.asarray(pair.predict({"w": np.float64(w), "b": np.float64(0)}, np.array([-1.0, 1.0]))) for w in WEIGHTS]
        kept = np.unique(np.concatenate([np.arange(20), np.geomspace(20, STEPS // EVERY, 300)]).round().astype(int))
        data = {
            "outputs": xr.Dataset({"h": (("w", "x"), np.array(h))}, {"w": list(WEIGHTS), "x": [-1.0, 1.0]}),
            "rays": ls.evaluate(pair, plane, {"w": np.linspace(0, 30, 301), "b": [0.0, 3.0, 6.0]}),
            "runs": runs.on(plane),
            "polar": ls.evaluate(pair, polar, {"log_scale": np.linspace(-0.5, 2, 201), "angle": angles}),
            "boundary": ls.evaluate(pair, boundary, {"w": np.linspace(0.05, 8, 201), "threshold": thresholds}),
            "circle": ls.evaluate(pair, polar, {"log_scale": [0.0], "angle": np.linspace(-np.pi, np.pi, 721)}),
            "unit_weight": ls.evaluate(pair, boundary, {"w": [1.0], "threshold": np.linspace(-np.pi, np.pi, 721)}),
        }
        data |= {"polar_runs": runs.on(polar), "boundary_runs": runs.on(boundary)}
    away = {"polar_runs": slice(1, None), "boundary_runs": slice(1, None), "runs": slice(None)}
    return data | {name: data[name].isel(step=kept, start=starts) for name, starts in away.items()}


def flow(time):
    """w(t) of the gradient flow from (0, 0): the root of w + e^w = t + 1, by Newton's method from above."""
    w = np.log1p(time)
    for _ in range(50):
        w = w - (w + np.exp(w) - time - 1) / (1 + np.exp(w))
    return w


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.3)
    figure.get_layout_engine().set(wspace=0.1)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.2))
    top, bottom = upper.subplots(1, 4), lower.subplots(1, 3)
    _draw_outputs(top[0])
    _draw_rays(top[1], data["rays"])
    _draw_runs(top[2], top[3], data["runs"])
    entries = [Line2D([], [], color=style.BLACK, linestyle=":", label="gradient flow")]
    for ax, chart in zip(bottom, ("polar", "boundary"), strict=False):
        ls.plot.contour(data[chart], "risk", data[f"{chart}_runs"], ax=ax)
        entries += without_legend(ax)
        ax.set_box_aspect(None)
    head(bottom[0], "e", "by scale and direction")
    bottom[0].set(xlabel="log $‖(w, b)‖$", ylabel="angle")
    bottom[0].set_yticks([-np.pi / 2, 0, np.pi / 2], ["−π/2", "0", "π/2"])
    head(bottom[1], "f", "by weight and threshold")
    bottom[1].set(ylabel="threshold $-b/w$")
    _draw_normalized(bottom[2], data["circle"], data["unit_weight"])
    lower.legend(handles=unique(entries), loc="outside lower center", ncols=4)
    return settle(figure)


def _draw_outputs(ax):
    params = {f"{w:g}": {"w": w, "b": 0.0} for w in WEIGHTS}
    ls.plot.neuron_output(ls.neuron(*ls.datasets.pair()), params, ax=ax)
    lines = ax.get_legend().legend_handles[: len(WEIGHTS)]
    ax.legend(handles=lines, title="$w$", title_fontsize=7.5, loc="upper left", handlelength=1.4)
    head(ax, "a", "output")


def _draw_rays(ax, rays):
    for i, b in enumerate(rays.b.values):
        ax.semilogy(rays.w, rays.risk.sel(b=b), color=style.sequence_color(i, rays.sizes["b"]), label=f"$b$ = {b:g}")
    open_frame(ax)
    ax.legend(loc="lower left", handlelength=1.4)
    ax.set(xlabel="$w$", ylabel="risk", xlim=(0, 30), ylim=(1e-14, 30))
    head(ax, "b", "risk along rays")


def _draw_runs(norm, angle, runs):
    runs = runs.isel(optimizer=0, step=slice(1, None))
    time, color = RATE * runs.step.values, style.optimizer_style("gradient descent").color
    for i in range(runs.sizes["start"]):
        w, b = runs.w.isel(start=i).values, runs.b.isel(start=i).values
        norm.semilogx(time, np.hypot(w, b), color=color)
        if i > 0:
            angle.loglog(time, abs(np.arctan2(b, w)), color=color)
    norm.plot(time, flow(time), color=style.BLACK, linestyle=":")
    for ax, label, letter, heading in ((norm, "$‖(w, b)‖$", "c", "norm"), (angle, "|angle|", "d", "direction")):
        open_frame(ax)
        ax.minorticks_off()
        ax.set(xlabel="time $t$", ylabel=label, xlim=(RATE * EVERY, RATE * STEPS))
        head(ax, letter, heading)


def _draw_normalized(ax, circle, unit_weight):
    ax.plot(circle.angle, circle.risk[0], color=style.BLUE, label="$‖(w, b)‖$ = 1, by angle")
    ax.plot(
        unit_weight.threshold, unit_weight.risk[0], color=style.ORANGE, linestyle="--", label="$‖w‖$ = 1, by threshold"
    )
    ax.plot(0, circle.risk.min(), label="minimum", **STAR)
    open_frame(ax)
    ax.legend(loc="upper center", borderaxespad=0)
    ax.set(xlabel="angle or threshold", ylabel="risk", ylim=(0, 1.9))
    head(ax, "g", "normalized")


def claims(data):
    outputs, rays, runs = data["outputs"], data["rays"], data["runs"].isel(optimizer=0)
    slope = np.log(rays.risk).sel(w=slice(20, None)).differentiate("w")
    straight, above_zero = bool((abs(slope + 1) < 1e-4).all()), bool((rays.risk > 0).all())
    separates = bool((outputs.h.diff("w") * outputs.x > 0).all() and (abs(outputs.h - [0, 1])[-1] < 1e-4).all())
    follows = bool(np.abs(runs.w.isel(start=0) - flow(RATE * runs.step.values)).max() < 0.005)
    norm, angle = np.hypot(runs.w, runs.b), np.arctan2(runs.b, runs.w)
    circle, unit_weight = ls.minimum(data["circle"]), ls.minimum(data["unit_weight"])
    least = np.array([circle.objective, unit_weight.objective])
    return {
        "As w grows, h(−1) → 0 and h(1) → 1.": separates,
        "On a logarithmic scale the risk along each ray becomes a straight line of slope −1: it tends to 0 and never "
        "reaches it.": straight and above_zero and bool((rays.risk.isel(w=-1) < 1e-10).all()),
        "Gradient descent in small steps follows the flow to within 0.005.": follows and _known_flow(),
        "The norm grows like log t: over the last decade by log 10 = 2.30, to within 1 %.": bool(
            (abs(last_decade(norm) / np.log(10) - 1) < 0.01).all()
        ),
        "The direction converges: at t = 10⁴ the angle is below 0.0002.": bool((abs(angle).isel(step=-1) < 2e-4).all())
        and bool(RATE * runs.step[-1] == 1e4),
        "In polar coordinates the angle settles while the scale goes on.": _settles(
            data["polar_runs"], "angle", "log_scale", 0.2
        ),
        "By threshold and weight, the threshold settles at 0 while the weight goes on.": _settles(
            data["boundary_runs"], "threshold", "w", 2
        ),
        "Normalized, the risk does have a minimum: at angle 0 on the circle, and at threshold 0 on ‖w‖ = 1.": bool(
            circle.interior & unit_weight.interior & (abs(circle.angle) < 1e-12) & (abs(unit_weight.threshold) < 1e-12)
        ),
        "Both are the same neuron, w = 1 and b = 0, with R = log(1 + 1/e) = 0.3133.": bool(
            np.allclose(least, np.log1p(np.exp(-1)), rtol=1e-14) and np.allclose(least, 0.3133, atol=5e-5)
        ),
    }


def last_decade(values):
    """By how much values grow over the last decade of time."""
    return values.isel(step=-1) - values.sel(step=STEPS // 10, method="nearest")


def _known_flow():
    """Whether `flow` has the values that SciPy's root finder gives."""
    known = {1: 0.4428544010021943, 10: 2.177325100614143, 100: 4.568829494840816, 10_000: 9.20951908290233}
    return np.allclose(flow(np.array(list(known))), list(known.values()), rtol=1e-12)


def _settles(runs, still, moving, growth):
    """Whether one coordinate changes by less than 0.002 over the last decade, toward 0, and the other by `growth`."""
    quiet = (abs(last_decade(runs[still])) < 2e-3).all() and (abs(runs[still]).isel(step=-1) < 2e-4).all()
    return bool(quiet and (last_decade(runs[moving]) > growth).all())
