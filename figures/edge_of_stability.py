"""Gradient descent at the edge of stability.

A network of two hidden layers of 32 tanh units (1153 params) is fitted to the Chebyshev polynomial T₄ at 20 points of
[−1, 1], with the squared error, by gradient descent on all of them: 7000 steps from one start with each of three
learning rates η. (a) The sharpness, the largest eigenvalue λ of the Hessian, every 70 steps, by time = η · step, up to
500; dashed, 2/η. (b) The risk of every step, by time; marks where λ first exceeds 2/η. (c) Sharpness and risk from step
400 to 600 with the largest learning rate, every second step.

The sharpness grows, and as long as it does not exceed 2/η, the risk falls at every step. Up to time 70 all three runs
have the same sharpness at the same time, to within 2 %, as they all follow the gradient flow. Then it stays at 2/η,
above which gradient descent on a quadratic diverges: its median over the last 1400 steps of each run is within 2 % of
that. So the smaller the learning rate, the sharper the end. There the risk does not fall step by step: it rises in more
than one of eight of the last 1400 steps. What keeps the sharpness there is seen in (c): above 2/η the risk grows to
more than three times what it was, that brings the sharpness below 2/η, and the risk falls again. Over long spans it
falls all the same: its median over the last 1400 steps is less than a tenth of what it was where λ first exceeded 2/η.

Source: Cohen, Kaur, Li, Kolter & Talwalkar (2021), section 3 and the appendix on Chebyshev polynomials,
arXiv:2103.00065. That the sharpness stabilizes itself: Damian, Nichani & Lee (2023), arXiv:2209.15594.
"""

import jax
import numpy as np
import optax
from _page import head, open_frame, settle

import landscape as ls
from landscape.plot import style

RATES = {f"{rate:g}": rate for rate in (0.07, 0.12, 0.2)}
STEPS, EVERY, LAST = 7000, 70, 1400
SPIKE = slice(400, 601, 2)  # steps of the largest rate
QUICK = {"STEPS": 4200, "EVERY": 140, "LAST": 840, "SPIKE": slice(400, 601, 10)}
COLORS, MARKERS = (style.BLUE, style.GREEN, style.VERMILLION), ("s", "^", "o")
NETWORK = ls.mlp((1, 32, 32, 1), activation="tanh")


def compute():
    x = np.linspace(-1, 1, 20, dtype=np.float32)
    objective = NETWORK.objective(x, np.cos(4 * np.arccos(x)))
    start = NETWORK.init(jax.random.key(0))
    run = ls.descend(objective, {rate: optax.sgd(RATES[rate]) for rate in RATES}, start, STEPS)
    seldom = ls.Trajectory(
        jax.tree.map(lambda leaf: leaf[:, ::EVERY], run.params), run.data.isel(step=slice(None, None, EVERY))
    )
    largest = run.sel(optimizer=list(RATES)[-1])
    spike = ls.Trajectory(jax.tree.map(lambda leaf: leaf[SPIKE], largest.params), largest.data.isel(step=SPIKE))
    key = jax.random.key(1)
    return {
        "sharpness": ls.sharpness_along(objective, seldom, learning_rate=RATES, key=key),
        "spike": ls.sharpness_along(objective, spike, learning_rate=max(RATES.values()), key=key).assign(
            risk=spike.data.risk
        ),
        "runs": run.data[["risk"]],
    }


def relative(sharpness):
    """λ by its threshold, 2/η."""
    return sharpness.hessian_max / sharpness.threshold


def crossing(sharpness):
    """The first recorded step at which λ exceeds 2/η, for each run."""
    return sharpness.step[sharpness.above.argmax("step")].where(sharpness.above.any("step"))


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 2.6)
    figure.get_layout_engine().set(wspace=0.08)
    panels = figure.add_gridspec(2, 3, width_ratios=(1.15, 1.15, 1))
    sharpness, risk = (figure.add_subplot(panels[:, i]) for i in range(2))
    above = figure.add_subplot(panels[0, 2])
    below = figure.add_subplot(panels[1, 2], sharex=above)
    for i, label in enumerate(data["sharpness"].optimizer.values):
        one, run = data["sharpness"].sel(optimizer=label), data["runs"].risk.sel(optimizer=label)
        rate, first = RATES[str(label)], int(crossing(one))
        look = {"color": COLORS[i], "marker": MARKERS[i], "markevery": 4, "label": f"$\\eta$ = {label}"}
        sharpness.plot(rate * one.step, one.hessian_max, **look)
        sharpness.axhline(one.threshold, color=COLORS[i], linestyle="--", linewidth=0.7, zorder=1)
        risk.semilogy(rate * run.step, run, color=COLORS[i], linewidth=0.5)
        mark = {"marker": MARKERS[i], "color": COLORS[i], "markeredgecolor": "black", "markersize": 4.5}
        risk.plot(rate * first, run.sel(step=first), zorder=5, **mark)
    sharpness.plot([], [], color=style.BLACK, linestyle="--", linewidth=0.7, label="$2/\\eta$")
    sharpness.legend(loc="lower right", handlelength=1.8)
    sharpness.set(xlabel="time $\\eta$ · step", ylabel="sharpness $\\lambda$", xlim=(0, 500), ylim=(0, None))
    risk.set(xlabel="time $\\eta$ · step", ylabel="risk", xlim=(0, 500), ylim=(1e-3, 1))
    _draw_spike(above, below, data["spike"])
    for ax in (sharpness, risk, above, below):
        open_frame(ax)
    head(sharpness, "a", "sharpness")
    head(risk, "b", "risk")
    head(above, "c", f"$\\eta$ = {list(RATES)[-1]}, the first spike")
    return settle(figure)


def _draw_spike(above, below, spike):
    above.plot(spike.step, spike.hessian_max, color=COLORS[-1])
    above.axhline(spike.threshold, color=COLORS[-1], linestyle="--", linewidth=0.7)
    below.plot(spike.step, spike.risk, color=COLORS[-1])
    above.set(ylabel="$\\lambda$", xlim=(400, 600))
    above.tick_params(labelbottom=False)
    below.set(xlabel="step", ylabel="risk", ylim=(0, None))


def claims(data):
    sharpness, risk = data["sharpness"], data["runs"].risk
    ratio, first = relative(sharpness), crossing(sharpness)
    rising = risk.diff("step") > 0  # labeled by the later step
    early = [_by_time(sharpness, label, np.linspace(0, 70, 8)) for label in sharpness.optimizer.values]
    median = ratio.sel(step=slice(STEPS - LAST, None)).median("step")
    end = sharpness.hessian_max.sel(step=slice(STEPS - LAST, None)).median("step")
    late = risk.sel(step=slice(STEPS - LAST, None))
    return {
        "The sharpness grows, and as long as it does not exceed 2/η, the risk falls at every step.": bool(
            (~rising.where(rising.step <= first, False).astype(bool)).all()
            and (end > 2 * sharpness.hessian_max.isel(step=0)).all()
            and sharpness.converged.all()
        ),
        "Up to time 70 all three runs have the same sharpness at the same time, to within 2 %, as they all follow the "
        "gradient flow.": bool(np.allclose(early, early[0], rtol=0.02)),
        "Then it stays at 2/η, above which gradient descent on a quadratic diverges: its median over the last 1400 "
        "steps of each run is within 2 % of that.": bool((abs(median - 1) < 0.02).all()),
        "So the smaller the learning rate, the sharper the end.": bool((end.diff("optimizer") < 0).all()),
        "There the risk does not fall step by step: it rises in more than one of eight of the last 1400 steps.": bool(
            (rising.sel(step=slice(STEPS - LAST, None)).mean("step") > 1 / 8).all()
        ),
        "What keeps the sharpness there is seen in (c): above 2/η the risk grows to more than three times what it was, "
        "that brings the sharpness below 2/η, and the risk falls again.": _stabilizes(data["spike"]),
        "Over long spans it falls all the same: its median over the last 1400 steps is less than a tenth of what it "
        "was where λ first exceeded 2/η.": bool((late.median("step") < 0.1 * risk.sel(step=first)).all()),
    }


def _by_time(sharpness, label, times):
    """λ of a run at these times, between recorded steps on a straight line."""
    one = sharpness.sel(optimizer=label)
    return np.interp(times, RATES[str(label)] * one.step.values, one.hessian_max.values)


def _stabilizes(spike):
    """Whether λ is above 2/η, then the risk at its peak, then λ below; and the risk low at both ends."""
    highest, peak, lowest = (
        int(spike.step[int(index)])
        for index in (spike.hessian_max.argmax("step"), spike.risk.argmax("step"), spike.hessian_max.argmin("step"))
    )
    across = spike.hessian_max.sel(step=highest) > spike.threshold > spike.hessian_max.sel(step=lowest)
    low = spike.risk.max() > 3 * spike.risk[[0, -1]].max()
    return bool(highest < peak < lowest and across and low and spike.converged.all())
