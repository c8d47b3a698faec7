"""The same data, nudged from overlapping to separable: the minimizer runs away.

The sigmoid neuron h(x) = σ(wx + b) with cross-entropy on eight examples, float64: label 0 at x = −2, −1, 0, 1 and
label 1 at x = 1 + δ, 2 + δ, 3 + δ, 4 + δ. They overlap for the nudge δ < 0, touch at δ = 0 and are separated for δ >
0. (a–c) The risk for three δ. The star is the minimizer. Where there is none, the arrow is the direction d along
which the risk falls to its infimum, and dashed lines bound all such directions. (d–f) The certificates. (d) Stiemke's
weights, up for label 1 and down for label 0, divided by their sum for each label; crosses are the errors |h(xᵢ) − yᵢ|
at the minimizer, divided likewise; the dotted line is the center of the weights. (e, f) The line d · (x, 1): its
height at an example is the margin, but for the sign of label 0; in (e) two margins are 0, and these examples' weights
are drawn. (g) The norm of the minimizer by δ, without a penalty and with l2, λ(w² + b²); the row of signs is the
verdict without a penalty. (h) The same by overlap. (i) The least objective; the black dot is its value at δ = 0
without a penalty.

At each |δ| tried, from 1.5 down to 2⁻²⁵, the minimum is attained, at one point, for δ < 0, and approached at
infinity, with complete separation, for δ > 0. Exactly at δ = 0 the separation is quasi-complete. All certificates
hold in exact arithmetic. In (d) all weights are positive, and those of both labels have one total and one center, x =
0.375: whatever way one goes, some example gets worse. The errors at the minimizer do the same up to rounding, since
the gradient is 0. In (e) six margins are positive, and the two examples of margin 0, one of each label, balance. In
(f) all margins are positive. Toward δ = 0 the norm of the minimizer grows like √2 log(1/|δ|): over the last three
decades by √2 log 10 = 3.26 each, to within 1 %. The infimum falls to (log 2)/4 = 0.1733, its value at δ = 0 too, and
is 0 for δ > 0. With l2 there is one minimizer at each δ, and from δ = −2⁻²⁵ to 2⁻²⁵ its norm and the least objective
change by less than 10⁻⁶.

Source: Albert & Anderson (1984), when the estimate exists; Stiemke (1915), the weights that prove it.
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle, without_legend
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

ZEROS, ONES = np.array([-2.0, -1.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0, 4.0])
LABELS = np.repeat([0.0, 1.0], 4)
CASES = (-1.25, 0.0, 1.25)
STEPS = np.linspace(-1.5, 1.5, 25)  # the nudges whose verdicts are drawn
LEAST = 2.0**-25
SMALL = 2.0 ** -np.arange(3.0, 25.5, 0.5)  # no half power is a short number: nothing depends on that
QUICK = {"STEPS": np.linspace(-1.5, 1.5, 9), "SMALL": 2.0 ** -np.arange(3.0, 25.5, 4.5)}
NUDGES = np.unique(np.concatenate([STEPS, SMALL, -SMALL]))
STRENGTHS = (0.0, 0.001, 0.01)
AXES = {"w": np.linspace(-2, 8, 201), "b": np.linspace(-10.5, 3, 201)}
VERDICTS = {"none": -1.0, "quasi-complete": 0.0, "complete": 1.0}  # by the separation that they come from


def inputs(nudge):
    return np.concatenate([ZEROS, ONES + nudge])


def neuron(nudge):
    return ls.neuron(inputs(nudge), LABELS)


def compute():
    with jax.enable_x64(True):
        plane = ls.axes_plane(neuron(0.0).params, "w", "b")
        data = {f"risk_{i}": ls.evaluate(neuron(nudge), plane, AXES) for i, nudge in enumerate(CASES)}
        certificates = xr.concat([_certified(nudge) for nudge in CASES], xr.Variable("nudge", list(CASES)))
        swept = xr.concat([_swept(float(nudge)) for nudge in NUDGES], xr.Variable("nudge", NUDGES))
    return data | {"certificates": certificates, "swept": swept}


def _certified(nudge):
    """The certificate as numbers: direction and margins, weights, and the errors at the minimizer; NaN where none."""
    objective = neuron(nudge)
    found = ls.attainment(objective)
    errors, margins, point = np.full(8, np.nan), np.full(8, np.nan), {"w": np.nan, "b": np.nan}
    direction = found.direction or point
    if found.attained:
        point = found.minimizer
        errors = abs(np.asarray(objective.predict(point, inputs(nudge))) - LABELS)
    else:
        margins = found.margins
    values = {"x": inputs(nudge), "weight": found.certificate.combination(), "error": errors, "margin": margins}
    numbers = {f"d_{name}": float(direction[name]) for name in ("w", "b")} | {n: float(point[n]) for n in ("w", "b")}
    return xr.Dataset({name: ("example", v) for name, v in values.items()} | numbers)


def _swept(nudge):
    """The verdict at one nudge, and minimizers with and without l2."""
    objective = neuron(nudge)
    found = ls.attainment(objective)
    paths = [found] + [ls.attainment(objective.with_penalty(ls.l2(strength))) for strength in STRENGTHS[1:]]
    norms = [np.hypot(one.minimizer["w"], one.minimizer["b"]) if one.attained else np.inf for one in paths]
    values = {
        "norm": norms,
        "infimum": [one.infimum for one in paths],
        "attained": [float(one.attained is True) for one in paths],
        "unique": [float(one.unique is True) for one in paths],
        "verified": [float(one.certificate is not None and one.certificate.verify()) for one in paths],
    }
    swept = {name: ("strength", np.array(column, float)) for name, column in values.items()}
    return xr.Dataset(swept | {"verdict": VERDICTS.get(found.separation, np.nan)}, {"strength": list(STRENGTHS)})


# ---- the picture

ARROW = {"arrowstyle": "-|>", "color": style.ORANGE, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
WEIGHT = style.BLUE
ERROR = {"color": style.VERMILLION, "marker": "x", "markersize": 4.2, "linestyle": "none"}
DOT = {"marker": "o", "markersize": 4, "markeredgecolor": style.INK, "linestyle": "none"}
DOTS = {0: DOT | {"markerfacecolor": "white"}, 1: DOT | {"markerfacecolor": style.INK}}
LOOKS = {
    -1.0: STAR,
    0.0: STAR | {"marker": "D", "markersize": 3.6},
    1.0: STAR | {"marker": ">", "markersize": 4, "markerfacecolor": style.ORANGE},
}


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 6.1)
    rows = figure.subfigures(3, 1, height_ratios=(1.1, 0.95, 1.25))
    top, middle, bottom = (row.subplots(1, 3) for row in rows)
    for i, nudge in enumerate(CASES):
        one = data["certificates"].sel(nudge=nudge)
        _draw_risk(top[i], data[f"risk_{i}"], one, nudge)
        (_draw_margins if i else _draw_weights)(middle[i], one)
        name = ("overlapping", "touching", "separated")[i]
        head(top[i], "abc"[i], f"{name}, $δ$ = {nudge:g}".replace("-", "−"))
        head(middle[i], "def"[i], ("weights that balance", "margins, and weights at 0", "margins")[i])
    _draw_norm(bottom[0], data["swept"])
    _draw_growth(bottom[1], data["swept"])
    _draw_infimum(bottom[2], data["swept"])
    rows[2].legend(handles=_entries(), loc="outside lower center", ncols=4, handlelength=2.0, columnspacing=2.2)
    return settle(figure)


def _draw_risk(ax, surface, one, nudge):
    ls.plot.contour(surface, "risk", ax=ax)
    without_legend(ax)
    for line in list(ax.lines):  # the least cell of the grid, at the border or beside the minimizer
        line.remove()
    ax.set_box_aspect(None)
    ax.set(xlabel="$w$", ylabel="$b$")
    if np.isfinite(one.w):
        ax.plot(one.w, one.b, zorder=8, **STAR)
        return
    # Directions with no margin below 0: b between −w times the last x of label 0 and the first x of label 1.
    for edge in {float(ZEROS.max()), float(ONES.min() + nudge)}:
        ax.plot([0, 20], [0, -20 * edge], color="white", linestyle="--", linewidth=0.8, zorder=5)
    reach = 0.94 * min(AXES["w"][-1] / float(one.d_w), AXES["b"][0] / float(one.d_b))
    ax.annotate("", (reach * float(one.d_w), reach * float(one.d_b)), (0, 0), arrowprops=ARROW, zorder=8)
    ax.set(xlim=AXES["w"][[0, -1]], ylim=AXES["b"][[0, -1]])


def _draw_weights(ax, one):
    _stems(ax, one.x.values, shares(one, "weight"), WEIGHT)
    ax.plot(one.x, shares(one, "error"), zorder=5, **ERROR)
    ax.axvline(centers(one, "weight")[0], color=WEIGHT, linestyle=":", zorder=1)
    ax.set(ylabel="weight", ylim=(-0.85, 0.85))


def _draw_margins(ax, one):
    x = np.array([-2.5, 5.6])
    ax.plot(x, float(one.d_w) * x + float(one.d_b), color=style.ORANGE, zorder=1)
    rest = one.margin.values == 0
    _stems(ax, one.x.values, (2 * LABELS - 1) * one.margin.values, style.ORANGE, ~rest)
    if rest.any():
        _stems(ax, one.x.values, shares(one, "weight"), WEIGHT, rest)
    ax.set(ylabel="$d · (x, 1)$", ylim=(-3.8, 3.8))


def _stems(ax, x, height, color, shown=True):
    ax.axhline(0, color=style.INK, linewidth=0.6, zorder=1)
    for label, look in DOTS.items():
        here = (label == LABELS) & shown
        ax.vlines(x[here], 0, height[here], color=color, linewidth=1.3, zorder=2)
        ax.plot(x[here], height[here], zorder=4, **look)
    open_frame(ax)
    ax.set(xlabel="$x$", xlim=(-2.5, 5.6), xticks=range(-2, 6))


def shares(one, name):
    """Weights divided by their sum for each label, signed: label 1 above 0."""
    values = one[name].values
    return (2 * LABELS - 1) * values / totals(values)[LABELS.astype(int)]


def totals(values):
    """Sums over the examples of label 0, and of label 1."""
    return np.array([values[label == LABELS].sum() for label in (0, 1)])


def centers(one, name):
    """The center of the weights of label 0, and of label 1."""
    return totals(abs(shares(one, name)) * one.x.values)


def _draw_norm(ax, swept):
    for strength in STRENGTHS:
        one = swept.norm.sel(strength=strength)
        ax.plot(swept.nudge, one.where(np.isfinite(one)), color=style.penalty_color(strength))
    steps = swept.sel(nudge=STEPS)
    for verdict, look in LOOKS.items():
        here = steps.nudge[steps.verdict == verdict]
        ax.plot(here, np.full(len(here), 14), **look)
    open_frame(ax)
    ax.set(xlabel="nudge $δ$", ylabel="$‖(w, b)‖$", xlim=(-1.62, 1.62), ylim=(0, 15), yticks=(0, 5, 10, 15))
    head(ax, "g", "norm of the minimizer")


def _draw_growth(ax, swept):
    overlapping = swept.sel(nudge=slice(-1, -LEAST))
    for strength in STRENGTHS:
        color = style.penalty_color(strength)
        ax.semilogx(-overlapping.nudge, overlapping.norm.sel(strength=strength), color=color)
    size = np.array([1e-2, LEAST])
    last = float(overlapping.norm.sel(strength=0)[-1])
    ax.plot(size, last - 1.5 + np.sqrt(2) * np.log(LEAST / size), color=style.INK, linestyle=":")
    ax.text(6e-8, 8, "$\\sqrt{2}\\,\\log(1/|δ|)$ + constant", va="center", ha="right", fontsize=7.5)
    open_frame(ax)
    ax.set(xlabel="overlap $|δ|$", ylabel="$‖(w, b)‖$", xlim=(1, LEAST), ylim=(0, 30))
    head(ax, "h", "how fast it runs away")


def _draw_infimum(ax, swept):
    for strength in STRENGTHS[1:]:
        ax.plot(swept.nudge, swept.infimum.sel(strength=strength), color=style.penalty_color(strength))
    one, color = swept.infimum.sel(strength=0), style.penalty_color(0)
    for side in (swept.nudge <= 0, swept.nudge > 0):
        ax.plot(swept.nudge[side], one[side], color=color, zorder=4)
    for value, face in ((float(one.sel(nudge=0)), color), (0.0, "white")):
        ax.plot(0, value, "o", markersize=3.6, markerfacecolor=face, markeredgecolor=color, zorder=5)
    open_frame(ax)
    ax.set(xlabel="nudge $δ$", ylabel="least objective", xlim=(-1.62, 1.62), ylim=(-0.02, 0.62))
    head(ax, "i", "the infimum jumps")


def _entries():
    labels = ("minimizer: attained", "at infinity, quasi-complete", "at infinity, complete")
    return [
        Line2D([], [], label="label 0", **DOTS[0]),
        Line2D([], [], label="label 1", **DOTS[1]),
        Line2D([], [], label="error at the minimizer", **ERROR),
        *[Line2D([], [], label=label, **look) for label, look in zip(labels, LOOKS.values(), strict=True)],
        *[Line2D([], [], color=style.penalty_color(s), label=f"$λ$ = {s:g}") for s in STRENGTHS],
        Line2D([], [], label="direction $d$, margins", color=style.ORANGE, linewidth=1.6),
        Line2D([], [], label="certificate’s weights", color=WEIGHT, linewidth=1.3),
    ]


# ---- the claims


def claims(data):
    swept, certificates = data["swept"], data["certificates"]
    overlapping, touching, separated = (certificates.sel(nudge=nudge) for nudge in CASES)
    free, penalized = swept.sel(strength=0), swept.sel(strength=list(STRENGTHS[1:]))
    below, above = swept.nudge < 0, swept.nudge > 0
    rest = touching.margin == 0
    decades = np.log10(-free.nudge[below].values)
    last = decades <= decades[-1] + 3
    growth = np.polyfit(decades[last], free.norm[below].values[last], 1)[0]
    near = penalized.sel(nudge=slice(-LEAST, LEAST))
    return {
        "At each |δ| tried, from 1.5 down to 2⁻²⁵, the minimum is attained, at one point, for δ < 0, and "
        "approached at infinity, with complete separation, for δ > 0.": bool(
            (free.verdict == np.sign(free.nudge)).all()
            and np.array_equal(free.attained, below)
            and np.array_equal(free.unique, below)
            and float(abs(swept.nudge[swept.nudge != 0]).min()) == LEAST
        ),
        "Exactly at δ = 0 the separation is quasi-complete.": bool(
            free.verdict.sel(nudge=0) == 0 and (free.verdict == 0).sum() == 1
        ),
        "All certificates hold in exact arithmetic.": bool((swept.verified == 1).all()),
        "In (d) all weights are positive, and those of both labels have one total and one center, x = 0.375: "
        "whatever way one goes, some example gets worse.": bool((overlapping.weight > 0).all())
        and np.isclose(*totals(overlapping["weight"].values), rtol=1e-14)
        and np.allclose(centers(overlapping, "weight"), 0.375, rtol=0, atol=1e-14),
        "The errors at the minimizer do the same up to rounding, since the gradient is 0.": bool(
            (overlapping.error > 0).all()
        )
        and np.isclose(*totals(overlapping["error"].values), rtol=1e-13)
        and np.isclose(*centers(overlapping, "error"), rtol=0, atol=1e-13),
        "In (e) six margins are positive, and the two examples of margin 0, one of each label, balance.": bool(
            rest.sum() == 2
            and (touching.margin[~rest] > 0).all()
            and np.array_equal(touching.weight > 0, rest)
            and np.array_equal(LABELS[rest.values], [0, 1])
            and np.isclose(*totals(touching["weight"].values), rtol=1e-14)
        ),
        "In (f) all margins are positive.": bool((separated.margin > 0).all()),
        "Toward δ = 0 the norm of the minimizer grows like √2 log(1/|δ|): over the last three decades by √2 "
        "log 10 = 3.26 each, to within 1 %.": bool(abs(growth / (-np.sqrt(2) * np.log(10)) - 1) < 0.01),
        "The infimum falls to (log 2)/4 = 0.1733, its value at δ = 0 too, and is 0 for δ > 0.": bool(
            np.isclose(free.infimum.sel(nudge=0), np.log(2) / 4, rtol=1e-12)
            and 0 < float(free.infimum.sel(nudge=-LEAST)) - np.log(2) / 4 < 1e-6
            and (free.infimum[below].diff("nudge") < 0).all()
            and (free.infimum[above] == 0).all()
        ),
        "With l2 there is one minimizer at each δ, and from δ = −2⁻²⁵ to 2⁻²⁵ its norm and the least "
        "objective change by less than 10⁻⁶.": bool(
            (penalized.unique == 1).all()
            and all(
                float((near[name].max("nudge") - near[name].min("nudge")).max()) < 1e-6
                for name in near
                if name in ("norm", "infimum")
            )
        ),
    }
