"""Why l1 makes weights exactly 0 and l2 does not.

Two weights w = (w₁, w₂), no bias, float64; Ω is ‖w‖₁ under l1 and ‖w‖² under l2. (a) The weights with the output 1 at x
= (1, 1), a line; and the weights with the Ω of (½, ½) and of (1, 0). (b, c) A risk whose least value lies at the dot,
(1.4, 0.8): half squared error on two examples. The star is the minimizer of R + λΩ for λ = ½. Black is the level line
of the risk through it, shaded all w with no larger Ω. The dotted line is the minimizer's path as λ grows from 0. (d)
For the risk ½(w − z)² of a single weight, the minimizer of R + ½Ω by the minimizer z without a penalty. (e, f) A
feature and its copy: the sigmoid neuron on the pair D = {(−1, 0), (1, 1)} with each input twice, cross-entropy; the
objective R + λΩ for λ = 0.1, black where it is least, and its minimizers, the white segment and the star.

At equal output l2 prefers (½, ½) to (1, 0), ½ against 1, and l1 is indifferent, 1 and 1. Along the line (½, ½) is where
l2 is least; l1 is least on the whole segment from (1, 0) to (0, 1). The stars have the least risk among the shaded
weights. Under l1 the star is a corner, (½, 0), the second weight exactly 0; under l2 it is (0.547, 0.187), on a ball
without corners. At the corner the slope of the risk in w₂ is −0.35, less than λ = ½ in size: leaving 0 would cost more
than it gains. On the path l1's second weight is exactly 0 from λ = 0.4 on; l2's never is. l2 only divides, by 2, and
gives 0 for z = 0 alone; l1 subtracts ½, and all |z| ≤ ½ become exactly 0. Of a feature and its copy l2 takes equal
shares, w₁ = w₂ = 0.817, the only minimizer. Under l1 only the sum is determined, w₁ + w₂ = log 9 = 2.197: the
minimizers are a segment, and on it the objective is constant to 10⁻¹². So l1 alone need not drop a copy.

Source: Tibshirani (1996), the lasso, with the balls of (b, c) in its section 2; Zou & Hastie (2005) on copies.
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle, without_legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

import landscape as ls
from landscape.plot import style

KINDS = {"l1": ls.l1, "l2": ls.l2}
COLORS = {"l1": style.BLUE, "l2": style.ORANGE}
NORMS = {"l1": r"$\Vert w\Vert_1$", "l2": r"$\Vert w\Vert^2$"}
STRENGTH, COPIED = 0.5, 0.1  # λ of (b, c, d) and of (e, f)
CURVATURE, LEAST = np.array([[1.0, -0.5], [-0.5, 1.0]]), np.array([1.4, 0.8])  # of the risk of (b, c)
SWEPT = np.r_[0.0, np.geomspace(0.01, 100, 41), np.arange(1, 20) / 20]
DOT = {"marker": "o", "markersize": 3.6, "color": style.BLACK, "linestyle": "none"}


def compute():
    with jax.enable_x64(True):
        single = ls.neuron(np.ones((1, 2)), np.ones(1), loss="half_squared_error", activation="identity", bias=False)
        inputs = np.sqrt(2) * np.linalg.cholesky(CURVATURE).T  # so that xᵀx/n is the curvature
        risk = ls.neuron(inputs, inputs @ LEAST, loss="half_squared_error", activation="identity", bias=False)
        x, y = ls.datasets.pair()
        copies = ls.neuron(np.stack([x, x], axis=1).astype(float), y, bias=False)
        data = {
            "equal": surface(single, np.linspace(-1.5, 1.9, 341), 1.0),
            "risk": surface(risk, np.linspace(-1, 2, 301), STRENGTH),
            "thresholds": _thresholds(np.linspace(-2, 2, 161)),
            "copies": surface(copies, np.linspace(-0.5, 3, 176), COPIED),
        }
        for kind, penalty in KINDS.items():
            data |= {f"path {kind}": _path(risk, penalty), f"copies {kind}": _copies(copies, penalty(COPIED))}
    return data


def surface(objective, edges, strength):
    """The objective over w₁ and w₂ under both penalties."""
    zero = np.zeros(2)
    plane = ls.Plane({"w": zero}, ({"w": np.array([1.0, 0.0])}, {"w": np.array([0.0, 1.0])}), names=("w1", "w2"))
    penalties = {kind: penalty(strength) for kind, penalty in KINDS.items()}
    return ls.evaluate(objective, plane, {"w1": edges, "w2": edges}, penalties=penalties)


def _path(risk, penalty):
    """The minimizers by λ, with the slopes of the risk there."""
    found = ls.penalty_path(risk, np.unique(SWEPT), penalty=penalty(1.0))
    slopes = jax.vmap(jax.grad(risk.risk))(found.params)["w"]
    return found.data[["coefficient", "risk"]].assign(slopes=(("strength", "parameter"), np.asarray(slopes)))


def _thresholds(z):
    """The minimizers of ½(w − z)² + λΩ(w), which is what a proximal step of length 1 computes."""
    shrunk = {kind: ("z", np.asarray(penalty(STRENGTH).prox({"w": z}, 1.0)["w"])) for kind, penalty in KINDS.items()}
    return xr.Dataset(shrunk, {"z": z})


def _copies(neuron, penalty):
    """The minimizer that `attainment` names, and the ends of the segment that it says there are more on."""
    found = ls.attainment(neuron.with_penalty(penalty))
    w = found.minimizer["w"]
    along = found.directions[0]["w"] if found.directions else np.zeros(2)
    ends = np.array([w, w])
    if along.any():  # until a weight changes its sign
        times = np.sort(-w / along)
        ends = w + times[:, None] * along
    values = {"w": ("weight", w), "ends": (("end", "weight"), ends), "infimum": found.infimum}
    shares = np.linspace(0, 1, 11)
    points = {"w": ends[0] + shares[:, None] * (ends[1] - ends[0])}
    values["objective"] = ("share", np.asarray(jax.vmap(neuron.with_penalty(penalty))(points)))
    return xr.Dataset(values | {"unique": float(found.unique), "dimension": float(len(found.directions))})


# ---- the picture


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.7)
    figure.get_layout_engine().set(wspace=0.08, hspace=0.06)
    axes = figure.subplots(2, 3)
    _draw_equal(axes[0, 0], data["equal"])
    _draw_thresholds(axes[1, 0], data["thresholds"])
    for column, kind in enumerate(KINDS, start=1):
        _draw_touch(axes[0, column], data["risk"].sel(penalty=kind), data[f"path {kind}"], kind)
        head(axes[0, column], " bc"[column], f"{kind}: {'a corner' if kind == 'l1' else 'no corner'}")
        _draw_copies(axes[1, column], data["copies"].sel(penalty=kind), data[f"copies {kind}"])
        head(axes[1, column], " ef"[column], f"{kind}: a feature and its copy")
    handles = [Patch(facecolor=light(kind), edgecolor=COLORS[kind], label=f"{NORMS[kind]} no larger") for kind in KINDS]
    handles += [
        Line2D([], [], color=style.BLACK, linewidth=0.9, label="risk equal"),
        Line2D([], [], color=style.INK, linestyle=":", label="path as $λ$ grows"),
        Line2D([], [], label="least risk", **DOT),
        Line2D([], [], label="minimizer", **STAR),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, handlelength=1.8)
    return settle(figure)


def light(kind):
    """The color of a ball's inside."""
    return {"l1": "#CFE3F0", "l2": "#FBE7BF"}[kind]


def _level(ax, over, values, level, **look):
    ax.contour(over.w1, over.w2, values.transpose("w2", "w1"), levels=[level], **look)


def _square(ax, low, high, ticks):
    ax.axhline(0, color=style.GRID, linewidth=0.6, zorder=0)
    ax.axvline(0, color=style.GRID, linewidth=0.6, zorder=0)
    ax.set(xlim=(low, high), ylim=(low, high), xticks=ticks, yticks=ticks, xlabel="$w_1$", ylabel="$w_2$")
    ax.set_aspect("equal")


def _draw_equal(ax, equal):
    for kind, level, line in (("l1", 1.0, "-"), ("l2", 0.5, "-"), ("l2", 1.0, "--")):
        unit = equal.penalty_unit.sel(penalty=kind)
        _level(ax, equal, unit, level, colors=COLORS[kind], linestyles=line, linewidths=2.2 if kind == "l1" else 1.1)
    ax.plot(equal.w1, 1 - equal.w1, color=style.BLACK, linewidth=0.9)
    ax.plot([0.5, 1], [0.5, 0], zorder=5, **DOT)
    _square(ax, -1.3, 1.7, [-1, 0, 1])
    ax.annotate("(½, ½)", (0.5, 0.5), (0.42, 0.42), fontsize=7.5, ha="right", va="center")
    ax.annotate("(1, 0)", (1, 0), (1.08, 0.14), fontsize=7.5, ha="left", va="center")
    labels = {("l1", "1"): (-0.8, -1.1), ("l2", "½"): (0, -0.3), ("l2", "1"): (0.98, -0.98)}
    for (kind, value), place in labels.items():
        color = style.readable(COLORS[kind])
        ax.text(*place, f"{NORMS[kind]} = {value}", color=color, fontsize=7.5, ha="center", va="center")
    head(ax, "a", "equal output")


def _draw_touch(ax, surface, path, kind):
    w, risk = path.coefficient.sel(strength=STRENGTH).values, float(path.risk.sel(strength=STRENGTH))
    levels = risk * np.array([0.1, 0.3, 0.6, 1.5, 2.2, 3.2, 4.5])
    values = surface.risk.transpose("w2", "w1")
    ax.contour(surface.w1, surface.w2, values, levels=levels, colors="#B5B5B5", linewidths=0.5)
    reach = float(KINDS[kind](1.0).value({"w": w}))
    unit = surface.penalty_unit.transpose("w2", "w1")
    ax.contourf(surface.w1, surface.w2, unit, levels=[0, reach], colors=[light(kind)], zorder=1.5)
    _level(ax, surface, surface.penalty_unit, reach, colors=COLORS[kind], linewidths=1.1)
    _level(ax, surface, surface.risk, risk, colors=style.BLACK, linewidths=0.9)
    ax.plot(*path.coefficient.values.T, color=style.INK, linestyle=":", zorder=3)
    ax.plot(*LEAST, zorder=5, **DOT)
    ax.plot(*w, zorder=6, **STAR)
    _square(ax, -0.8, 1.8, [0, 1])


def _draw_thresholds(ax, thresholds):
    ax.plot(thresholds.z, thresholds.z, color="#909090", linewidth=0.7, label="no penalty")
    for kind in KINDS:
        ax.plot(thresholds.z, thresholds[kind], color=COLORS[kind], label=kind)
    open_frame(ax)
    ax.set(xlabel="$z$, the minimizer without a penalty", ylabel="minimizer", xlim=(-2, 2), ylim=(-2, 2))
    ax.set(xticks=[-2, -1, 0, 1, 2], yticks=[-2, -1, 0, 1, 2])
    ax.set_aspect("equal")
    ax.legend(loc="upper left", handlelength=1.6)
    head(ax, "d", "one weight")


def _draw_copies(ax, surface, found):
    ls.plot.contour(surface, "objective", ax=ax)
    without_legend(ax)
    for bar in list(ax.child_axes):
        bar.remove()  # the lines have numbers
    for line in [line for line in ax.lines if line.get_marker() not in ("None", "", None)]:
        line.remove()  # the least of the grid's cells, where the minimizers themselves are drawn
    if found.dimension > 0:
        ax.plot(*found.ends.values.T, color="white", linewidth=1.7, zorder=5)
    else:
        ax.plot(*found.w.values, zorder=6, **STAR)
    ax.set(xlabel="$w_1$", ylabel="$w_2$", xticks=[0, 1, 2, 3], yticks=[0, 1, 2, 3])


# ---- the claims


def claims(data):
    equal = {point: data["equal"].penalty_unit.sel(w1=point[0], w2=point[1], method="nearest") for point in POINTS}
    corner, smooth = (data[f"path {kind}"].sel(strength=STRENGTH) for kind in KINDS)
    l1, l2 = (data[f"path {kind}"].coefficient.values[:, 1] for kind in KINDS)
    strength, thresholds = data["path l1"].strength.values, data["thresholds"]
    z, apart, shared = thresholds.z.values, data["copies l1"], data["copies l2"]
    w1, w2 = shared.w.values
    return {
        "At equal output l2 prefers (½, ½) to (1, 0), ½ against 1, and l1 is indifferent, 1 and 1.": np.allclose(
            [[equal[point].sel(penalty=kind) for point in POINTS] for kind in KINDS], [[1, 1], [0.5, 1]], atol=1e-12
        ),
        "Along the line (½, ½) is where l2 is least; l1 is least on the whole segment from (1, 0) to (0, 1).": (
            _least_along_the_line(data["equal"])
        ),
        "The stars have the least risk among the shaded weights.": all(
            _least_in_ball(data["risk"].sel(penalty=kind), data[f"path {kind}"], kind) for kind in KINDS
        ),
        "Under l1 the star is a corner, (½, 0), the second weight exactly 0; under l2 it is (0.547, 0.187), on a ball "
        "without corners.": bool(
            np.allclose(corner.coefficient, [0.5, 0], rtol=0, atol=1e-12)
            and corner.coefficient[1] == 0
            and np.allclose(smooth.coefficient, [0.547, 0.187], rtol=0, atol=5e-4)
        ),
        "At the corner the slope of the risk in w₂ is −0.35, less than λ = ½ in size: leaving 0 would cost more than "
        "it gains.": bool(np.allclose(corner.slopes, [-STRENGTH, -0.35], rtol=0, atol=1e-12)),
        "On the path l1's second weight is exactly 0 from λ = 0.4 on; l2's never is.": bool(
            (l1[strength >= 0.4] == 0).all() and (l1[strength < 0.399] > 0).all() and (l2 > 0).all()
        ),
        "l2 only divides, by 2, and gives 0 for z = 0 alone; l1 subtracts ½, and all |z| ≤ ½ become exactly 0.": bool(
            np.allclose(thresholds.l2, z / 2, atol=1e-15)
            and np.array_equal(thresholds.l2 == 0, z == 0)
            and (thresholds.l1.values[abs(z) <= 0.5] == 0).all()
            and np.allclose(thresholds.l1, np.sign(z) * np.maximum(abs(z) - 0.5, 0), atol=1e-15)
        ),
        "Of a feature and its copy l2 takes equal shares, w₁ = w₂ = 0.817, the only minimizer.": bool(
            abs(w1 - w2) < 1e-12 and abs(w1 - 0.817) < 5e-4 and shared.unique == 1 and shared.dimension == 0
        ),
        "Under l1 only the sum is determined, w₁ + w₂ = log 9 = 2.197: the minimizers are a segment, and on it the "
        "objective is constant to 10⁻¹².": bool(
            apart.unique == 0
            and apart.dimension == 1
            and np.allclose(apart.ends.sum("weight"), np.log(9), rtol=0, atol=1e-10)
            and np.allclose(np.sort(apart.ends, axis=1)[:, 0], 0, atol=1e-12)
            and (abs(apart.objective - apart.infimum) < 1e-12).all()
        ),
        "So l1 alone need not drop a copy.": bool((apart.w > 0).all()),
    }


POINTS = ((0.5, 0.5), (1.0, 0.0))


def _least_along_the_line(equal):
    """Whether on w₁ + w₂ = 1 l2 is least at (½, ½) alone, and l1 wherever both weights are ≥ 0 and nowhere else."""
    on = equal.where(abs(equal.w1 + equal.w2 - 1) < 1e-9)
    w1 = on.w1.values[on.risk.notnull().any("w2").values]
    unit = {kind: on.penalty_unit.sel(penalty=kind).max("w2").dropna("w1").values for kind in KINDS}
    inside = (w1 > -1e-9) & (w1 < 1 + 1e-9)
    return bool(
        abs(w1[unit["l2"].argmin()] - 0.5) < 1e-9
        and (np.sort(unit["l2"])[1:] > 0.5 + 1e-6).all()
        and np.allclose(unit["l1"][inside], 1, atol=1e-12)
        and (unit["l1"][~inside] > 1 + 1e-6).all()
    )


def _least_in_ball(surface, path, kind):
    """Whether no cell whose Ω is at most the minimizer's has a smaller risk."""
    chosen = path.sel(strength=STRENGTH)
    reach = float(KINDS[kind](1.0).value({"w": chosen.coefficient.values}))
    inside = surface.risk.values[surface.penalty_unit.values <= reach * (1 + 1e-12)]
    return bool(inside.size > 100 and (inside >= float(chosen.risk) - 1e-12).all())
