"""Why the size of the weights matters: for outputs, slopes and risk, not for the decision.

One neuron h = f(z), z = w₁x₁ + w₂x₂, without a bias; the weights (1, 0.1) and (100, 10) have the same direction.
Float64. (a–d) The output under four activations f, with the weights (1, 0.1) times c = 1 and c = 100, by z at c = 1.
The circles are two units with the weights 1 and 0.1, times c, on the input 1; those of linear and relu units at c = 100
are outside. (e–h) 200 examples with normal inputs, and the weights (1, 0.1) times c. (e) The share of examples whose
decision, whether f(z) exceeds f(0), is that at c = 1; the same for a sigmoid with a bias of ½ that is not scaled.
(f) The mean change of the output since c = 1. (g) The mean |f′(z)|, as a share of its greatest value. (h) Noisy labels:
the risk of the sigmoid with cross-entropy and with half squared error; dotted, that of a step, half the share of
examples on the wrong side. Stars are the least risks.

Without a bias no decision changes at any scale, under any of the four. With a bias that is not scaled the boundary
moves: at c = 100 17 % of the examples are decided otherwise. Linear and relu outputs are multiplied by c, so they
change by c − 1 times their size. Those of sigmoid and tanh change by less than ½ and 1. What is lost there is the
slope: at (100, 10) the mean |f′| is below 1 % of its greatest value, and 97 % and 99.5 % of the examples are saturated.
Linear and relu do not saturate: their mean slope is the same at every scale. Under tanh two units that differ tenfold
become alike: (1, 0.1) gives 0.762 and 0.100, (100, 10) gives 1 and 1 to within 10⁻⁸. The squared error of the sigmoid
goes to that of a step, 0.115, and is within 10⁻⁴ of it at c = 100. Cross-entropy grows without bound, by 0.089 per unit
of c, the mean |z| on the wrong side. Both are least at a finite scale, about 2: with noisy labels size is part of the
fit.

Source: Glorot & Bengio (2010), section 3, on saturated units. The data are drawn by the program.
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

ACTIVATIONS = {"identity": "linear", "sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu"}
WEIGHTS, BIAS = (1.0, 0.1), 0.5
SCALES = np.geomspace(1e-2, 1e4, 121)
Z = np.linspace(-2, 2, 801)
COLORS = dict(zip(ACTIVATIONS, (style.BLACK, style.BLUE, style.ORANGE, style.GREEN), strict=True))


def examples():
    """Inputs (200, 2), and labels that say with noise on which side of (1, 0.1)·x = 0 they lie."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    return x, (x @ WEIGHTS + 0.7 * rng.normal(size=200) > 0).astype(float)


def compute():
    weights = {"w": np.array(WEIGHTS)}
    with jax.enable_x64(True):
        sweeps = []
        for activation in ACTIVATIONS:
            neuron = ls.neuron(*examples(), loss="half_squared_error", activation=activation, bias=False)
            swept = ls.scale_sweep(neuron, weights, SCALES)
            sweeps.append(swept[["risk", "output_change", "saturated", "mean_derivative", "agreement"]].drop_attrs())
        sigmoid = ls.scale_sweep(ls.neuron(*examples(), bias=False), weights, SCALES)
        biased = ls.scale_sweep(ls.neuron(*examples()), weights | {"b": BIAS}, SCALES)
        other = {"cross_entropy": sigmoid.risk, "accuracy": sigmoid.accuracy, "biased": biased.agreement}
        return {
            "outputs": _outputs(),
            "sweeps": xr.concat(sweeps, xr.Variable("activation", list(ACTIVATIONS))),
            "sigmoid": xr.Dataset(other).drop_attrs(),
        }


def _outputs():
    """h by z at scale 1, and of two units with weights 1 and 0.1 on x = 1, at c = 1 and 100."""
    h, units = [], []
    for activation in ACTIVATIONS:
        one = ls.neuron([1.0], [0.0], loss="half_squared_error", activation=activation, bias=False)
        h.append([one.predict({"w": np.float64(c)}, Z) for c in (1, 100)])
        units.append([one.predict({"w": np.float64(c)}, np.array(WEIGHTS)) for c in (1, 100)])
    names = ("activation", "scale")
    values = {"h": ((*names, "z"), np.array(h)), "units": ((*names, "weight"), np.array(units))}
    return xr.Dataset(values, {"activation": list(ACTIVATIONS), "scale": [1.0, 100.0], "z": Z, "weight": list(WEIGHTS)})


# ---- the picture


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.2)
    figure.get_layout_engine().set(wspace=0.06)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.12))
    top, bottom = upper.subplots(1, 4, sharey=True), lower.subplots(1, 4)
    for ax, letter, activation in zip(top, "abcd", ACTIVATIONS, strict=True):
        _draw_outputs(ax, data["outputs"].sel(activation=activation), COLORS[activation])
        head(ax, letter, ACTIVATIONS[activation])
    top[0].set(ylabel="output $h$")
    sweeps, sigmoid = data["sweeps"], data["sigmoid"]
    _draw_decisions(bottom[0], sigmoid, sweeps)
    _draw_by_activation(bottom[1], sweeps, "output_change")
    bottom[1].set(yscale="log", xlim=(1, SCALES[-1]), ylim=(1e-2, 1e4), ylabel="mean change of $h$")
    head(bottom[1], "f", "outputs")
    _draw_by_activation(bottom[2], sweeps, "mean_derivative")
    bottom[2].set(yscale="log", ylim=(1e-5, 3), ylabel="mean $|f\\,′|$ / max $|f\\,′|$")
    head(bottom[2], "g", "slopes")
    _draw_risk(bottom[3], sweeps, sigmoid)
    for ax in bottom[1:3]:
        ax.yaxis.minorticks_off()
    handles = [
        Line2D([], [], color=COLORS[name], linestyle=style.dashes(i), label=label)
        for i, (name, label) in enumerate(ACTIVATIONS.items())
    ]
    lower.legend(handles=handles, loc="outside lower center", ncols=4)
    return settle(figure)


def _draw_outputs(ax, outputs, color):
    for scale, line, face in ((1.0, "-", "white"), (100.0, "--", color)):
        one = outputs.sel(scale=scale)
        ax.plot(one.z, one.h, color=color, linestyle=line, label=f"$c$ = {scale:g}")
        inside = abs(one.units) < 2
        ax.plot(one.weight[inside], one.units[inside], "o", markersize=4, color=color, markerfacecolor=face, zorder=4)
    open_frame(ax)
    ax.legend(loc="lower right", handlelength=1.8)
    ax.set(xlabel="$z$ at $c$ = 1", xlim=(-2, 2), ylim=(-1.6, 1.6), xticks=(-2, -1, 0, 1, 2), yticks=(-1, 0, 1))


def _by_scale(ax):
    open_frame(ax)
    ax.set(xscale="log", xlabel="scale $c$", xlim=(SCALES[0], SCALES[-1]), xticks=(1e-2, 1, 1e2, 1e4))
    ax.minorticks_off()


def _draw_by_activation(ax, sweeps, name):
    for i, activation in enumerate(ACTIVATIONS):
        values = sweeps[name].sel(activation=activation)
        if name == "mean_derivative":
            values = values / (0.25 if activation == "sigmoid" else 1)
        ax.plot(sweeps.scale, values.where(values > 1e-12), color=COLORS[activation], linestyle=style.dashes(i))
    _by_scale(ax)


def _draw_decisions(ax, sigmoid, sweeps):
    for i, activation in enumerate(ACTIVATIONS):
        ax.plot(sweeps.scale, sweeps.agreement[i], color=COLORS[activation], linestyle=style.dashes(i))
    ax.plot(sigmoid.scale, sigmoid.biased, color=style.PURPLE)
    ax.text(1.5e-2, 1.02, "no bias: all four", fontsize=7.5, va="bottom")
    ax.text(3, 0.8, "bias, not\nscaled", fontsize=7.5, color=style.readable(style.PURPLE), va="top", linespacing=1)
    _by_scale(ax)
    ax.set(ylabel="same decision (share)", ylim=(0.5, 1.1), yticks=(0.5, 0.75, 1))
    head(ax, "e", "decisions")


def _draw_risk(ax, sweeps, sigmoid):
    squared = sweeps.risk.sel(activation="sigmoid")
    for risk, line in ((squared, "-"), (sigmoid.cross_entropy, style.dashes(4))):
        ax.plot(risk.scale, risk, color=style.BLUE, linestyle=line)
        best = int(np.argmin(risk.values))
        ax.plot(risk.scale[best], risk[best], zorder=5, **STAR)
    ax.axhline(step(sigmoid), color=style.INK, linestyle=":", linewidth=0.9)
    for x, y, label in ((1.5e-2, 1.9, "cross-entropy"), (1.5e-2, 0.18, "squared error"), (70, 0.074, "step")):
        ax.text(x, y, label, fontsize=7.5, va="center", color=style.INK if label == "step" else style.BLUE)
    _by_scale(ax)
    ax.set(ylabel="risk", yscale="log", ylim=(0.04, 30))
    ax.yaxis.minorticks_off()
    head(ax, "h", "risk of the sigmoid")


def step(sigmoid):
    """Half the share of the examples on the wrong side: half the squared error of a step."""
    return 0.5 * (1 - float(sigmoid.accuracy.sel(scale=1, method="nearest")))


# ---- the claims


def claims(data):
    outputs, sweeps, sigmoid = data["outputs"], data["sweeps"], data["sigmoid"]
    large = sweeps.sel(scale=100, method="nearest")
    straight, bent = sweeps.sel(activation=["identity", "relu"]), sweeps.sel(activation=["sigmoid", "tanh"])
    share = bent.mean_derivative.sel(scale=100, method="nearest") / [0.25, 1]
    squared = sweeps.risk.sel(activation="sigmoid")
    linear = outputs.h.sel(activation=["identity", "relu"])
    tail = sigmoid.cross_entropy.sel(scale=slice(900, None))
    slopes = np.diff(tail) / np.diff(tail.scale)
    best = [float(risk.scale[int(np.argmin(risk.values))]) for risk in (squared, sigmoid.cross_entropy)]
    return {
        "Without a bias no decision changes at any scale, under any of the four.": bool(
            (sweeps.agreement == 1).all() and sweeps.sizes["activation"] == 4
        ),
        "With a bias that is not scaled the boundary moves: at c = 100 17 % of the examples are decided otherwise.": (
            bool(abs(1 - sigmoid.biased.sel(scale=100, method="nearest") - 0.17) < 1e-9)
        ),
        "Linear and relu outputs are multiplied by c, so they change by c − 1 times their size.": bool(
            np.allclose(linear.sel(scale=100), 100 * linear.sel(scale=1), rtol=1e-12)
            and (abs(linear).max("z") > 1).all()
            and np.allclose(_change(straight), _change(straight)[:, :1], rtol=1e-9)
            and (straight.output_change[:, -1] > 1000).all()
        ),
        "Those of sigmoid and tanh change by less than ½ and 1.": bool(
            (bent.output_change < xr.DataArray([0.5, 1.0], dims="activation")).all()
            and (bent.output_change[:, -1] > 0.3).all()
        ),
        "What is lost there is the slope: at (100, 10) the mean |f′| is below 1 % of its greatest value, and 97 % and "
        "99.5 % of the examples are saturated.": bool(
            (share < 0.01).all()
            and (share >= 0).all()
            and np.allclose(large.saturated.sel(activation=["sigmoid", "tanh"]), [0.97, 0.995], rtol=0, atol=1e-9)
        ),
        "Linear and relu do not saturate: their mean slope is the same at every scale.": bool(
            np.allclose(straight.mean_derivative, straight.mean_derivative[:, :1], rtol=1e-12)
            and (straight.mean_derivative > 0.4).all()
        ),
        "Under tanh two units that differ tenfold become alike: (1, 0.1) gives 0.762 and 0.100, (100, 10) gives 1 and "
        "1 to within 10⁻⁸.": bool(
            np.allclose(outputs.units.sel(activation="tanh", scale=1), [0.762, 0.100], rtol=0, atol=5e-4)
            and np.allclose(outputs.units.sel(activation="tanh", scale=100), 1, rtol=0, atol=1e-8)
        ),
        "The squared error of the sigmoid goes to that of a step, 0.115, and is within 10⁻⁴ of it at c = 100.": bool(
            abs(step(sigmoid) - 0.115) < 1e-9
            and abs(squared.sel(scale=100, method="nearest") - 0.115) < 1e-4
            and abs(squared[-1] - 0.115) < 1e-6
        ),
        "Cross-entropy grows without bound, by 0.089 per unit of c, the mean |z| on the wrong side.": bool(
            np.allclose(slopes, _wrong(), rtol=1e-6) and abs(_wrong() - 0.089) < 5e-4
        ),
        "Both are least at a finite scale, about 2: with noisy labels size is part of the fit.": bool(
            all(1.75 < scale < 2.5 for scale in best)
        ),
    }


def _change(swept):
    """The mean change of the output by c − 1, where this is not 0."""
    away = swept.sel(scale=swept.scale[abs(swept.scale - 1) > 1e-6])
    return away.output_change / abs(away.scale - 1)


def _wrong():
    """The mean over all examples of |z|, where z is on the wrong side, and 0 elsewhere."""
    x, y = examples()
    z = x @ WEIGHTS
    return float(np.mean(abs(z) * ((z > 0) != (y > 0.5))))
