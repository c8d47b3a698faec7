"""Noise on the inputs is a penalty on the weights: exactly so for a linear model, not for a sigmoid.

Gaussian noise of variance σ² is added to the inputs. (a–d) Linear model h = wx + b, half squared error, 50 patients:
body mass index against the progress of diabetes after a year, both standardized; float64. (a) The risk with σ = 1,
averaged over 1024 draws of the noise. (b) The risk without noise with l2(σ²/2) on w. Stars are minimizers. (c) The
difference of (a) and (b) by the number of draws averaged: root mean square over the window and over all groups of so
many draws, and the standard error. (d) The minimizer w with noise (1024 draws) and with l2(σ²/2). (e, f) The sigmoid
neuron with cross-entropy; the noise is integrated, not drawn. (e) The pair D = {(−1, 0), (1, 1)}, along b = 0: the risk
without noise, that with σ = 1, and two penalties in its place: the leading order in σ², ½σ²w² times the mean of h(1 −
h), and l2(σ²/8), which is that for h = ½. (f) What noise adds to the risk at w = 2, b = ½, less the leading order: of
the sigmoid on the pair, and of the linear model on the patients, where the leading order is l2(σ²/2); less than 10⁻¹⁷
is drawn as that.

In (a) and (b) no value differs by more than three standard errors. The difference shrinks like 1/√draws: from 1 to 1024
draws it is the standard error to within a factor of 1.5. The minimizers agree to within 0.002 at each σ²; with l2 w is
the slope without noise, 0.605, over 1 + σ². For the sigmoid the leading order is 0.02 too small at w = 2 and 0.52 too
small at w = 6, where the neuron saturates and the penalty vanishes. With it there is still no minimum, as without
noise: at w = 12 the risk is below 0.001 and falls. With noise there is one, at w = 2/σ² = 2: the classes are then
normal, and the neuron is their posterior. l2(σ²/8) has its minimum elsewhere, at 1.05. What the leading order leaves
out is 0.056 σ⁴ up to σ = 0.1, to within 2 %. For the linear model nothing is left but rounding, below 10⁻¹⁴.

Source: Bishop (1995), training with noise is Tikhonov regularization, to leading order. Data: Efron, Hastie, Johnstone
& Tibshirani (2004), each ninth of the 442 patients.
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle, without_legend

import landscape as ls
from landscape.plot import style

DRAWS = 1024
GROUPS = 4 ** np.arange(6)  # numbers of draws that are averaged
AXES = {"w": np.linspace(-1.4, 2.0, 40), "b": np.linspace(-1.5, 1.5, 37)}  # w = 0, where noise does nothing, is none
VARIANCES = np.array([0.25, 0.5, 1.0, 1.5, 2.0, 3.0])
SWEPT = np.linspace(0, 3, 61)
NODES = np.linspace(-9, 9, 1801)  # of the trapezoidal rule: for smooth losses exact to rounding
QUICK = {"DRAWS": 64, "GROUPS": 4 ** np.arange(4), "NODES": np.linspace(-9, 9, 301)}
SIZES = np.geomspace(0.025, 1, 17)
POINT = {"w": [2.0], "b": [0.5]}
WEIGHTS = np.linspace(0, 12, 241)


def patients():
    """Body mass index and progress of the disease, standardized."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    return [(column - column.mean()) / column.std() for column in (x[::9, 2], y[::9])]


def linear(x, y, weights=None):
    return ls.neuron(x, y, loss="half_squared_error", activation="identity", weights=weights)


def integrated(neuron, x, y, size):
    """The neuron on inputs with noise of this size: each example is as many as there are nodes, weighted."""
    weights = np.exp(-0.5 * NODES**2)
    inputs = (np.asarray(x)[:, None] + size * NODES).ravel()
    return neuron(inputs, np.repeat(y, len(NODES)), weights=np.tile(weights / weights.sum(), len(x)))


def compute():
    with jax.enable_x64(True):
        x, y = patients()
        noise = np.random.default_rng(0).normal(size=(DRAWS, len(x)))
        model = linear(x, y)
        plane = ls.axes_plane(model.params, "w", "b")
        drawn = ls.evaluate(model, plane, AXES, data={str(i): (x + one, y) for i, one in enumerate(noise)})
        penalized = ls.evaluate(model.with_penalty(ls.l2(0.5, scope="weights")), plane, AXES)
        error = drawn.risk.std("split", ddof=1) / np.sqrt(DRAWS)
        return {
            "penalized": penalized,
            "averaged": penalized.assign(objective=drawn.risk.mean("split"), error=error),
            "groups": _groups(drawn.risk - penalized.objective, error),
            "minimizers": _minimizers(model, x, y, noise),
            "pair": _pair(),
            "remainder": _remainder(x, y),
        }


def _groups(difference, error):
    """Root mean squares: of the mean difference of so many draws, over all such groups, and of its standard error."""
    split = difference.transpose("split", "w", "b").values
    found = [np.sqrt((split.reshape(-1, n, *split.shape[1:]).mean(1) ** 2).mean()) for n in GROUPS]
    expected = float(np.sqrt((error**2).mean())) * np.sqrt(DRAWS / GROUPS)
    return xr.Dataset({"difference": ("draws", found), "error": ("draws", expected)}, {"draws": GROUPS})


def _minimizers(model, x, y, noise):
    """By σ²: with noise, all draws as one data set, and with l2 on the weight."""
    noisy = np.empty((2, len(VARIANCES)))
    for i, variance in enumerate(VARIANCES):
        inputs = (x + np.sqrt(variance) * noise).ravel()
        point = ls.closed_form(linear(inputs, np.tile(y, DRAWS))).point
        noisy[:, i] = point["w"], point["b"]
    path = ls.penalty_path(model, SWEPT / 2, penalty=ls.l2(1.0, scope="weights"))
    ridge = [float(ls.closed_form(model.with_penalty(ls.l2(v / 2, scope="weights"))).point["w"]) for v in VARIANCES]
    values = {"noisy": noisy[0], "noisy_b": noisy[1], "ridge": np.array(ridge)}
    values = {name: ("variance", found) for name, found in values.items()} | {"path": ("swept", path.params["w"])}
    return xr.Dataset(values, {"variance": VARIANCES, "swept": SWEPT})


def _pair():
    """Along b = 0: risks without noise and with σ = 1, and the two penalties that stand for it."""
    x, y = ls.datasets.pair()
    plain = ls.neuron(x, y)
    plane, axes = ls.axes_plane(plain.params, "w", "b"), {"w": WEIGHTS, "b": [0.0]}
    noisy = integrated(ls.neuron, x, y, 1.0)
    risk, with_noise = (ls.evaluate(one, plane, axes, exact=True).risk[:, 0] for one in (plain, noisy))
    l2 = ls.evaluate(plain.with_penalty(ls.l2(1 / 8, scope="weights")), plane, axes).objective[:, 0]
    leading = risk + 0.5 * WEIGHTS**2 * spread(plain, WEIGHTS, 0.0)
    values = {"risk": risk, "noisy": with_noise, "leading": leading, "l2": l2}
    best = ls.attainment(noisy)
    return xr.Dataset(values).assign(minimizer=float(best.minimizer["w"]), attained=float(best.attained)).drop_attrs()


def spread(neuron, weights, bias):
    """The mean of h(1 − h) over the examples, by weight."""
    x = np.asarray(neuron.data[0])
    h = np.array([neuron.predict({"w": w, "b": np.float64(bias)}, x) for w in np.atleast_1d(weights)])
    return (h * (1 - h)).mean(1)


def _remainder(x, y):
    """What noise adds to the risk, less the leading order: of the sigmoid on the pair, and of the linear model."""
    w, b, left = POINT["w"][0], POINT["b"][0], {}
    for name, make, data in (("sigmoid", ls.neuron, ls.datasets.pair()), ("linear", linear, (x, y))):
        plain = make(*data)
        plane = ls.axes_plane(plain.params, "w", "b")
        base = ls.evaluate(plain, plane, POINT).risk.item()
        noisy = [ls.evaluate(integrated(make, *data, s), plane, POINT, exact=True).risk.item() for s in SIZES]
        curvature = spread(plain, w, b)[0] if name == "sigmoid" else 1.0
        left[name] = ("size", np.array(noisy) - base - 0.5 * SIZES**2 * w**2 * curvature)
    return xr.Dataset(left, {"size": SIZES})


# ---- the picture


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.5)
    figure.get_layout_engine().set(wspace=0.08)
    axes = figure.subplots(2, 3)
    one = data["minimizers"].sel(variance=1)
    stars = {"averaged": (one.noisy, one.noisy_b), "penalized": (one.ridge, 0)}
    headings = ("risk with noise, averaged", "risk with l2($σ^2/2$)")
    for ax, letter, heading, (name, star) in zip(axes[0], "ab", headings, stars.items(), strict=False):
        ls.plot.contour(data[name], "objective", ax=ax)
        without_legend(ax)
        ax.set_box_aspect(None)
        ax.plot(*star, zorder=7, **STAR)
        head(ax, letter, heading)
    _draw_groups(axes[0, 2], data["groups"])
    _draw_minimizers(axes[1, 0], data["minimizers"])
    _draw_pair(axes[1, 1], data["pair"])
    _draw_remainder(axes[1, 2], data["remainder"])
    return settle(figure)


def _circles(color):
    return {"linestyle": "none", "marker": "o", "markersize": 4, "color": color, "markerfacecolor": "white"}


def _draw_groups(ax, groups):
    ax.loglog(groups.draws, groups.error, color=style.BLUE, label="standard error")
    ax.plot(groups.draws, groups.difference, label="(a) − (b)", **_circles(style.BLACK))
    open_frame(ax)
    ax.minorticks_off()
    ax.legend(loc="upper right", handlelength=1.6)
    ax.set(xlabel="draws", ylabel="difference of risks")
    head(ax, "c", "more draws")


def _draw_minimizers(ax, found):
    ax.plot(found.swept, found.path, color=style.BLUE, label="l2($σ^2/2$)")
    ax.plot(found.variance, found.noisy, label="with noise", **_circles(style.BLACK))
    open_frame(ax)
    ax.legend(loc="upper right", handlelength=1.6)
    ax.set(xlabel="$σ^2$", ylabel="minimizer $w$", xlim=(0, 3.1), ylim=(0, 0.7))
    head(ax, "d", "minimizers")


def _draw_pair(ax, pair):
    for name, label, color, line in (
        ("risk", "no noise", style.BLACK, ":"),
        ("noisy", "noise, $σ$ = 1", style.VERMILLION, "-"),
        ("leading", "leading order", style.BLUE, "--"),
        ("l2", "l2($σ^2/8$)", style.GREEN, "-."),
    ):
        ax.plot(pair.w, pair[name], color=color, linestyle=line, label=label)
        at = int(np.argmin(pair[name].values))
        if at < pair.sizes["w"] - 1:
            ax.plot(pair.w[at], pair[name][at], zorder=5, **STAR)
    open_frame(ax)
    ax.legend(loc="upper right", handlelength=1.9, borderaxespad=0)
    ax.set(xlabel="$w$", ylabel="risk", xlim=(0, 8), ylim=(0, 1.4))
    head(ax, "e", "the pair, cross-entropy")


def _draw_remainder(ax, left):
    ax.loglog(left["size"], abs(left.sigmoid), color=style.VERMILLION)
    ax.plot(left["size"], np.maximum(abs(left.linear), 1e-17), **_circles(style.BLACK))
    guide = left["size"][:9]
    ax.plot(guide, 0.02 * guide**4, color=style.INK, linestyle=":")
    ax.text(0.03, 1e-4, "sigmoid", color=style.VERMILLION, fontsize=7.5)
    ax.text(0.12, 2e-7, "$σ^4$", fontsize=7.5)
    ax.text(0.03, 1e-14, "linear: rounding", fontsize=7.5)
    open_frame(ax)
    ax.minorticks_off()
    ax.set(
        xlabel="$σ$",
        ylabel="beyond leading order",
        xlim=(0.02, 1.25),
        ylim=(2e-18, 1),
        yticks=10.0 ** np.arange(-16, 1, 4),
    )
    head(ax, "f", "where it stops being exact")


# ---- the claims


def claims(data):
    averaged, penalized, groups = data["averaged"], data["penalized"], data["groups"]
    found, pair, left = data["minimizers"], data["pair"], data["remainder"]
    missing = (pair.noisy - pair.leading).sel(w=[2, 6], method="nearest")
    quartic = (left.sigmoid / left["size"] ** 4).sel(size=slice(None, 0.1))
    return {
        "In (a) and (b) no value differs by more than three standard errors.": bool(
            (abs(averaged.objective - penalized.objective) < 3 * averaged.error).all() and averaged.error.max() < 0.03
        ),
        "The difference shrinks like 1/√draws: from 1 to 1024 draws it is the standard error to within a factor of "
        "1.5.": bool((abs(np.log(groups.difference / groups.error)) < np.log(1.5)).all())
        and np.allclose(groups.error * np.sqrt(groups.draws), groups.error[0], rtol=1e-9),
        "The minimizers agree to within 0.002 at each σ²; with l2 w is the slope without noise, 0.605, over 1 + σ².": (
            bool((abs(found.noisy - found.ridge) < 0.002).all() and abs(found.path[0] - 0.605) < 5e-4)
            and np.allclose(found.path * (1 + found.swept), found.path[0], rtol=1e-9)
            and np.allclose(found.ridge * (1 + found.variance), found.path[0], rtol=1e-9)
        ),
        "For the sigmoid the leading order is 0.02 too small at w = 2 and 0.52 too small at w = 6, where the neuron "
        "saturates and the penalty vanishes.": np.allclose(missing, [0.02, 0.52], rtol=0, atol=5e-3)
        and bool((pair.leading - pair.risk)[-1] < 0.001),
        "With it there is still no minimum, as without noise: at w = 12 the risk is below 0.001 and falls.": bool(
            (pair.leading.diff("w") < 0).all() and (pair.risk.diff("w") < 0).all() and 0 < pair.leading[-1] < 0.001
        ),
        "With noise there is one, at w = 2/σ² = 2: the classes are then normal, and the neuron is their posterior.": (
            bool(abs(pair.minimizer - 2) < 1e-9 and pair.attained == 1 and _least(pair.noisy) == 2)
        ),
        "l2(σ²/8) has its minimum elsewhere, at 1.05.": bool(abs(_least(pair.l2) - 1.05) < 1e-9),
        "What the leading order leaves out is 0.056 σ⁴ up to σ = 0.1, to within 2 %.": bool(
            (abs(quartic / 0.056 - 1) < 0.02).all()
        ),
        "For the linear model nothing is left but rounding, below 10⁻¹⁴.": bool((abs(left.linear) < 1e-14).all()),
    }


def _least(risk):
    """The weight of the least risk on the grid."""
    return float(risk.w[int(np.argmin(risk.values))])
