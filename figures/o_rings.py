"""The O-rings: one problem as a valley and as a bowl, and a penalty chosen by what is held out.

The 23 flights before the Challenger's last: temperature in °F against thermal distress, one sigmoid neuron,
cross-entropy. (a) The risk in raw temperature and (b) in standardized temperature, with runs of four optimizers from
w = b = 0, which is the same neuron in both: gradient descent and momentum (0.9), with learning rate 1/L, L the
largest curvature that the risk can have; Adam (0.1); and L-BFGS. The star is the fit. (c) The risk of standardized
fits under l2 on the weight: on the one flight left out (with a band of one standard error) and on the 22 fitted to,
averaged over the 23 ways to leave one out; the star is the least held-out risk. (d, e) What the risk of the runs in
(a) and (b) exceeds the least risk by. (f) The probability of distress by temperature, fitted to all flights without a
penalty and with the λ chosen in (c), with the flights as points; the line marks the last launch, at 31 °F.

Without a penalty the fit is w = −0.23216274, b = 15.04290165 in raw temperature, with risk 0.44163462. There the
condition number of the Hessian is 8.26 · 10⁵; standardized it is 2.22. Raw or standardized, the fit gives every
flight the same probability. On the bowl gradient descent, momentum, Adam and L-BFGS stay within 10⁻⁶ of the least
risk from step 15, 118, 113 and 6 on. In the valley only L-BFGS does within 3000 steps, from step 21 on. To a gradient
norm of 10⁻⁶ the four take 33, 211, 219 and 8 steps on the bowl, and only L-BFGS gets there in the valley. The
held-out risk is least at λ = 0.018, inside the range. The risk on the fitted flights only grows with λ. At 31 °F the
probability of distress is 0.9996 without a penalty and 0.9962 with the chosen one, far outside the temperatures flown
before.

Source: flights from Dalal, Fowlkes & Hoadley (1989), who fitted this model; leave-one-out after Stone (1974).
"""

import jax
import numpy as np
import optax
import xarray as xr
from _page import STAR, head, open_frame, settle, unique, without_legend
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

STEPS = 3000
STRENGTHS = np.geomspace(1e-4, 10, 61)
QUICK = {"STEPS": 500, "STRENGTHS": np.geomspace(1e-4, 10, 13)}
LAUNCH = 31.0  # °F
AXES = {
    "raw": {"w": np.linspace(-0.6, 0.2, 201), "b": np.linspace(-10, 40, 201)},
    "standardized": {"w": np.linspace(-6, 2, 201), "b": np.linspace(-5, 3, 201)},
}
ADAM, LBFGS = optax.adam(0.1), optax.lbfgs()  # made once: compiled once for both problems


def temperatures():
    """The two ways to write the temperature, and the labels."""
    x, y = ls.datasets.o_rings()
    return {"raw": x, "standardized": (x - x.mean()) / x.std()}, y


def compute():
    inputs, y = temperatures()
    with jax.enable_x64(True):
        data = {"held_out": _held_out(inputs["standardized"], y)}
        for name, x in inputs.items():
            data |= _descents(name, x, y)
    return data


def _descents(name, x, y):
    neuron = ls.neuron(x, y)
    surface = ls.evaluate(neuron, ls.axes_plane(neuron.params, "w", "b"), AXES[name])
    columns = np.stack([x, np.ones(len(x))], axis=1)
    rate = 4 * len(x) / np.linalg.eigvalsh(columns.T @ columns)[-1]  # σ′ ≤ ¼
    optimizers = {
        "gradient descent": optax.sgd(rate),
        "momentum": optax.sgd(rate, momentum=0.9),
        "adam": ADAM,
        "lbfgs": LBFGS,
    }
    runs = ls.descend(neuron, optimizers, {"w": 0.0, "b": 0.0}, STEPS)
    w, b = (runs.params[key][-1, -1] for key in ("w", "b"))
    h = 1 / (1 + np.exp(-(w * x + b)))
    hessian = columns.T @ ((h * (1 - h))[:, None] * columns) / len(x)
    seen, least = runs.on(surface), runs.data.risk[-1, -1]
    seen = seen.assign(excess=np.maximum(runs.data.risk - least, 1e-16).assign_attrs(long_name="risk − least risk"))
    fit = {"w": w, "b": b, "risk": least, "condition": np.linalg.cond(hessian), "h": ("flight", h)}
    return {name: surface, f"{name}_runs": seen.assign(steps_to=runs.steps_to(1e-6)), f"{name}_fit": xr.Dataset(fit)}


def _held_out(x, y):
    """Leave-one-out: the risk of each flight under the fits to the other 22, one for each λ; and the fits to all."""
    penalties = {"λ=0": ls.none()} | {f"λ={s:.4g}": ls.l2(float(s), scope="weights") for s in STRENGTHS}
    walk, n = ls.proximal_gradient(4.0), len(x)
    fitted, held_out = [], []
    for kept in 1.0 - np.eye(n + 1, n):  # weight 0 leaves a flight out; the last row keeps them all
        neuron = ls.neuron(x, y, weights=kept)
        runs = ls.descend(neuron, walk, {"w": 0.0, "b": 0.0}, 400, penalties=penalties, record_every=400)
        w, b = (runs.params[key][:, -1] for key in ("w", "b"))
        z = (1 - 2 * y) * (np.outer(w, x) + b[:, None])
        fitted.append(runs.data.risk.values[:, -1])
        held_out.append(np.logaddexp(0, z) @ (1 - kept))
    out = {"held_out": (("flight", "strength"), np.array(held_out[:-1])), "w": ("strength", w), "b": ("strength", b)}
    out |= {
        "fitted": (("flight", "strength"), np.array(fitted[:-1])),
        "slope": ("strength", runs.data.gradient_norm[:, -1].values),
    }
    return xr.Dataset(out, {"strength": np.r_[0.0, STRENGTHS]})


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.5)
    figure.get_layout_engine().set(wspace=0.1)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.05))
    top, bottom = upper.subplots(1, 3), lower.subplots(1, 3)
    entries = []
    for i, (name, shape) in enumerate((("raw", "valley"), ("standardized", "bowl"))):
        fit, runs = data[f"{name}_fit"], data[f"{name}_runs"]
        ls.plot.contour(data[name], "risk", runs, log=True, ax=top[i])
        top[i].plot(fit.w, fit.b, zorder=7, **STAR)
        top[i].set_box_aspect(None)
        entries += without_legend(top[i])
        head(top[i], "ab"[i], f"{name}: a {shape}")
        ls.plot.trajectory(runs, "excess", ax=bottom[i])
        without_legend(bottom[i])
        bottom[i].set(ylim=(1e-13, 10), ylabel="risk − least risk")
        head(bottom[i], "de"[i], f"{name}: excess risk")
    _draw_held_out(top[2], data["held_out"])
    _draw_decision(bottom[2], data["held_out"])
    entries.append(Line2D([], [], label="minimizer", **STAR))
    lower.legend(handles=unique(entries), loc="outside lower center", ncols=7)
    return settle(figure)


def chosen(held_out):
    """The index of the λ with the least held-out risk."""
    return int(held_out.held_out.mean("flight").values.argmin())


def _draw_held_out(ax, data):
    swept, best = data.isel(strength=slice(1, None)), data.isel(strength=chosen(data))
    mean, error = swept.held_out.mean("flight"), swept.held_out.std("flight", ddof=1) / np.sqrt(swept.sizes["flight"])
    ax.fill_between(swept.strength, mean - error, mean + error, color=style.BLUE, alpha=0.18, linewidth=0)
    ax.semilogx(swept.strength, mean, color=style.BLUE, label="left out")
    ax.plot(swept.strength, swept.fitted.mean("flight"), color=style.ORANGE, linestyle="--", label="fitted")
    ax.plot(best.strength, best.held_out.mean(), **STAR)
    ax.legend(loc="lower right")
    open_frame(ax)
    ax.set(xlabel="$λ$", ylabel="risk", xlim=(STRENGTHS[0], STRENGTHS[-1]))
    head(ax, "c", "$λ$ by held-out risk")


def _draw_decision(ax, data):
    inputs, y = temperatures()
    raw, best = inputs["raw"], data.isel(strength=chosen(data))
    neuron = ls.neuron(raw, y)
    params = {}
    for label, one in (("$λ$ = 0", data.isel(strength=0)), (f"$λ$ = {float(best.strength):.2g}", best)):
        w = float(one.w) / raw.std()
        params[label] = {"w": w, "b": float(one.b - w * raw.mean())}
    ls.plot.neuron_output(neuron, params, x=np.linspace(28, 85, 300), ax=ax)
    for line, strength in zip(ax.lines[-2:], (0.0, float(best.strength)), strict=True):
        line.set_color(style.penalty_color(strength))
    ax.legend(loc="lower left", bbox_to_anchor=(0.06, 0.1))
    ax.axvline(LAUNCH, color=style.INK, linestyle=":", linewidth=0.8)
    ax.set(xlabel="temperature (°F)", ylabel="probability of distress")
    head(ax, "f", "decision")


def claims(data):
    raw, bowl, held_out = data["raw_fit"], data["standardized_fit"], data["held_out"]
    stay, steps = _steps(data)
    mean, best = held_out.held_out.mean("flight"), float(held_out.strength[chosen(held_out)])
    distress = [probability_at_launch(held_out.isel(strength=i)) for i in (0, chosen(held_out))]
    return {
        "Without a penalty the fit is w = −0.23216274, b = 15.04290165 in raw temperature, with risk 0.44163462.": (
            np.allclose([raw.w, raw.b, raw.risk], [-0.23216274, 15.04290165, 0.44163462], rtol=0, atol=6e-9)
        ),
        "There the condition number of the Hessian is 8.26 · 10⁵; standardized it is 2.22.": bool(
            abs(raw.condition - 8.26e5) < 500 and abs(bowl.condition - 2.22) < 0.005
        ),
        "Raw or standardized, the fit gives every flight the same probability.": np.allclose(raw.h, bowl.h, atol=1e-7),
        "On the bowl gradient descent, momentum, Adam and L-BFGS stay within 10⁻⁶ of the least risk from step 15, 118, "
        "113 and 6 on.": _about(stay["standardized"], 15, 118, 113, 6),
        "In the valley only L-BFGS does within 3000 steps, from step 21 on.": bool((stay["raw"][:3] > STEPS).all())
        and _about(stay["raw"][3:], 21),
        "To a gradient norm of 10⁻⁶ the four take 33, 211, 219 and 8 steps on the bowl, and only L-BFGS gets there in "
        "the valley.": _about(steps["standardized"], 33, 211, 219, 8)
        and list(np.isnan(steps["raw"])) == [True, True, True, False],
        "The held-out risk is least at λ = 0.018, inside the range.": abs(best - 0.018) < 5e-4
        and bool(mean.min() < min(mean[0], mean[-1]) - 0.01)
        and bool(held_out.slope.max() < 1e-10),
        "The risk on the fitted flights only grows with λ.": bool((held_out.fitted.diff("strength") > 0).all()),
        "At 31 °F the probability of distress is 0.9996 without a penalty and 0.9962 with the chosen one, far outside "
        "the temperatures flown before.": np.allclose(distress, [0.9996, 0.9962], atol=5e-5)
        and bool(temperatures()[0]["raw"].min() > LAUNCH + 20),
    }


def _steps(data):
    """For both problems, an entry an optimizer: the first step after the last one whose risk is not within 10⁻⁶; and
    the first step with a gradient norm of 10⁻⁶."""
    stay = {}
    for name in AXES:
        outside = (data[f"{name}_runs"].excess > 1e-6).values
        stay[name] = outside.shape[-1] - outside[:, ::-1].argmax(axis=-1)
    return stay, {name: data[f"{name}_runs"].steps_to.values for name in AXES}


def _about(found, *wanted):
    """Whether numbers of steps are these, to 2 % or one step: another version of an optimizer may take one more."""
    return bool(np.all(np.abs(found - np.array(wanted)) <= np.maximum(1, 0.02 * np.array(wanted))))


def probability_at_launch(fit):
    """The probability of distress at the temperature of the last launch, by a standardized fit."""
    raw = temperatures()[0]["raw"]
    return 1 / (1 + np.exp(-float(fit.w * (LAUNCH - raw.mean()) / raw.std() + fit.b)))
