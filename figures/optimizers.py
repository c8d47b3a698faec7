"""Eight optimizers in one curved valley: who gets to the minimum, and in how many steps.

Rosenbrock's function (1 − x)² + 100(y − x²)², in float64; its minimum, 0 at (1, 1), is the star. (a, b) The objective
and the paths from (−1.2, 1): SGD here is gradient descent, momentum and Nesterov have 0.9, RMSProp and Adam optax's
defaults, L-BFGS a memory of 10 and a line search, Newton the absolute eigenvalues of the Hessian and a step that is
halved until the objective falls; the flow is gradient descent with infinitely small steps. (c) The gap to the least
value by step, of the flow at the time of SGD's steps; the line is the gap 10⁻⁴ that counts as success. (d) The share of
100 starts in the square |x|, |y| ≤ 2.048 that came to this gap, by step. Each learning rate is the one of seven, from
10⁻⁴ to 0.1, that needed the fewest steps from 100 other starts. A step of L-BFGS may take several gradients, one of
Newton takes a Hessian.

From (−1.2, 1) Newton needs 18 steps, L-BFGS 31, momentum 836, Nesterov and Adam 873 each; 2000 are not enough for SGD
and RMSProp. At the end Newton and L-BFGS are superlinear, each of their last three gaps less than 1/100 of the one
before and the last ratio the least; momentum multiplies its gap by 0.992 a step. Along the flow the objective never
rises, nor does it in a step of SGD, L-BFGS or Newton; it does in steps of momentum, Nesterov, RMSProp and Adam. SGD
stays within 0.05 of the path of the flow, momentum leaves it by 0.21 and Nesterov by 0.26. Of the 100 starts all come
to the minimum with Newton and L-BFGS, half of them within 11 and 22 steps; 72 do with momentum, 68 with Adam, 62 with
Nesterov, 2 with SGD and 1 with RMSProp. The learning rate that serves momentum best in the mean, 0.001, lets it diverge
from 28 starts; of Newton's and L-BFGS's runs none does.

Source: Rosenbrock (1960), Comput. J. 3, 175; the start of Moré, Garbow & Hillstrom (1981), problem 1; profiles as in
Dolan & Moré (2002) and Moré & Wild (2009); Newton's method as in Nocedal & Wright (2006), section 3.4.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _page import STAR, head, open_frame, settle, unique, without_legend
from jax.flatten_util import ravel_pytree

import landscape as ls
from landscape.plot import style

START = (-1.2, 1.0)
COUNT, STEPS, TOLERANCE = 100, 2000, 1e-4
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)
QUICK = {"COUNT": 20, "STEPS": 500, "RATES": (1e-3, 0.01, 0.1)}
TIMES = np.r_[0, np.geomspace(1e-4, 20, 150)]
AXES = {"x": np.linspace(-1.75, 1.75, 141), "y": np.linspace(-0.75, 2, 111)}


def newton():
    """θ ← θ − s|H|⁻¹∇J, |H| with the absolute values of the eigenvalues; the step s is halved until J falls enough."""

    def direction(gradient, state, params, *, value_fn, **_):
        flat, unravel = ravel_pytree(params)
        values, vectors = jnp.linalg.eigh(jax.hessian(lambda flat: value_fn(unravel(flat)))(flat))
        along = vectors.T @ ravel_pytree(gradient)[0]
        return unravel(-vectors @ (along / jnp.maximum(jnp.abs(values), 1e-8))), state

    whole = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), direction)
    return optax.chain(whole, optax.scale_by_backtracking_linesearch(40, decrease_factor=0.5, increase_factor=np.inf))


METHODS = {
    "SGD": optax.sgd,
    "Momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "Nesterov": lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True),
    "RMSProp": optax.rmsprop,
    "Adam": optax.adam,
    "L-BFGS": optax.lbfgs(),
    "Newton": newton(),
}


def compute():
    with jax.enable_x64(True):
        problem = ls.problems()["rosenbrock"]
        options = {"num_starts": COUNT, "steps": STEPS, "tolerance": TOLERANCE, "learning_rates": RATES}
        found = ls.compare_optimizers(problem, METHODS, key=jax.random.key(0), **options)
        plane = ls.axes_plane(problem.objective.params, "x", "y")
        flow = ls.gradient_flow(problem.objective, dict(zip("xy", START, strict=True)), TIMES, stiff=False)
        # As many starts as before, all the same: what is compiled already serves again.
        starts = {name: np.full(COUNT, value) for name, value in zip("xy", START, strict=True)}
        runs = {
            name: ls.descend(problem.objective, method, starts, STEPS).sel(start=0).on(plane)
            for name, method in found.optimizers["rosenbrock"].items()
        }
        surface = ls.evaluate(problem.objective, plane, AXES)
        return {"profiles": found.data, "surface": surface, "gradient flow": flow.on(plane), **runs}


# ---- the picture

PLANES = (("Momentum", "Nesterov", "SGD", "gradient flow"), ("L-BFGS", "Newton", "RMSProp", "Adam"))  # the last on top


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.9)
    (first, second), (gaps, shares) = figure.subplots(2, 2, height_ratios=(1.15, 1))
    entries = []
    for ax, names, letter in zip((first, second), PLANES, "ab", strict=True):
        ls.plot.contour(data["surface"], "objective", {name: data[name] for name in names}, ax=ax, log=True)
        entries += [entry for entry in without_legend(ax) if entry.get_label() in (*names, "start")]
        ax.plot(1, 1, zorder=9, **STAR)
        ax.set(xlabel="$x$", ylabel="$y$")
        head(ax, letter, ", ".join(names))
    first.child_axes[0].remove()  # one color bar for both
    _draw_gaps(gaps, data)
    ls.plot.optimizers(data["profiles"], ax=shares)
    without_legend(shares)
    shares.set_ylabel(f"share of {COUNT} starts")
    head(shares, "d", f"starts that came to a gap of $10^{{{np.log10(TOLERANCE):.0f}}}$")
    order = [*METHODS, "gradient flow", "start"]
    entries = sorted(unique(entries), key=lambda entry: order.index(entry.get_label()))
    figure.legend(handles=entries, loc="outside lower center", ncols=9, columnspacing=0.9, handlelength=2.6)
    return settle(figure)


def _draw_gaps(ax, data):
    """The objective is the gap: its least value is 0."""
    rate = float(data["profiles"].learning_rate.sel(optimizer="SGD").item())
    for name in (*METHODS, "gradient flow"):
        run, look = data[name], style.optimizer_style(name)
        along = run.time / rate if name == "gradient flow" else run.step
        seen = (run.objective > 0) & (along <= STEPS)
        places = np.unique(np.searchsorted(along[seen], np.geomspace(1, max(float(along[seen][-1]), 2), 6)[1:-1]))
        marks = {"marker": look.marker, "markevery": places.tolist(), "markersize": 3, "markeredgecolor": "white"}
        line = {"color": look.color, "linestyle": look.linestyle, "markeredgewidth": 0.4}
        ax.plot(along[seen], run.objective[seen], **line, **marks)
    ax.axhline(TOLERANCE, color="#777777", linewidth=0.6, zorder=1)
    ax.set_xscale("symlog", linthresh=1, linscale=0.35)
    ax.set(yscale="log", xlim=(0, STEPS), ylim=(1e-16, 100), xlabel="steps", ylabel="gap $J - J^*$")
    ax.set_xticks([0, 1, 10, 100, 1000], ["0", "1", "10", "100", "1000"])
    ax.minorticks_off()
    open_frame(ax)
    head(ax, "c", "gap from $(-1.2, 1)$")


# ---- the claims


def needed(run):
    """Steps to the tolerance; NaN where they were not enough."""
    reached = run.objective.values <= TOLERANCE
    return float(run.step[reached.argmax()]) if reached.any() else np.nan


def ratios(run):
    """Of each gap to the one before, the last three that are not 0 or rounding."""
    gaps = run.objective.values
    gaps = gaps[np.cumprod(gaps > 1e-22).astype(bool)][-4:]
    return gaps[1:] / gaps[:-1] if len(gaps) == 4 else np.full(3, np.nan)


def off_flow(run, flow):
    """The largest distance of a run's points from the path of the flow."""
    points, path = (np.stack([one["x"], one["y"]], axis=-1) for one in (run, flow))
    first, along = path[:-1], np.diff(path, axis=0)
    share = ((points[:, None] - first) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-300)
    nearest = first + np.clip(share, 0, 1)[..., None] * along
    return float(np.linalg.norm(points[:, None] - nearest, axis=-1).min(axis=1).max())


def claims(data):
    steps = {name: needed(data[name]) for name in METHODS}
    flow, last = data["gradient flow"], {name: ratios(data[name]) for name in METHODS}
    rises = {name: int((np.diff(data[name].objective) > 0).sum()) for name in (*METHODS, "gradient flow")}
    distance = {name: off_flow(data[name], flow) for name in ("SGD", "Momentum", "Nesterov")}
    found = data["profiles"].isel(problem=0)
    solved = {name: int(found.steps_to.sel(optimizer=name).notnull().sum()) for name in METHODS}
    median = found.steps_to.fillna(np.inf).median("start")
    failed = (~(found.final_gap <= 1e3)).sum("start")
    return {
        "From (−1.2, 1) Newton needs 18 steps, L-BFGS 31, momentum 836, Nesterov and Adam 873 each; 2000 are not "
        "enough for SGD and RMSProp.": (
            [steps[name] for name in ("Newton", "L-BFGS", "Momentum", "Nesterov", "Adam")] == [18, 31, 836, 873, 873]
            and bool(np.isnan([steps["SGD"], steps["RMSProp"]]).all())
        ),
        "At the end Newton and L-BFGS are superlinear, each of their last three gaps less than 1/100 of the one before "
        "and the last ratio the least; momentum multiplies its gap by 0.992 a step.": bool(
            all((last[name] < 0.01).all() and last[name][-1] == last[name].min() for name in ("Newton", "L-BFGS"))
            and (abs(last["Momentum"] - 0.992) < 5e-4).all()
        ),
        "Along the flow the objective never rises, nor does it in a step of SGD, L-BFGS or Newton; it does in steps of "
        "momentum, Nesterov, RMSProp and Adam.": (
            all(rises[name] == 0 for name in ("gradient flow", "SGD", "L-BFGS", "Newton"))
            and all(rises[name] > 0 for name in ("Momentum", "Nesterov", "RMSProp", "Adam"))
        ),
        "SGD stays within 0.05 of the path of the flow, momentum leaves it by 0.21 and Nesterov by 0.26.": (
            distance["SGD"] < 0.05
            and abs(distance["Momentum"] - 0.21) < 0.005
            and abs(distance["Nesterov"] - 0.26) < 0.005
        ),
        "Of the 100 starts all come to the minimum with Newton and L-BFGS, half of them within 11 and 22 steps; 72 do "
        "with momentum, 68 with Adam, 62 with Nesterov, 2 with SGD and 1 with RMSProp.": (
            solved
            == {"SGD": 2, "Momentum": 72, "Nesterov": 62, "RMSProp": 1, "Adam": 68, "L-BFGS": COUNT, "Newton": COUNT}
            and [median.sel(optimizer=name).item() for name in ("Newton", "L-BFGS")] == [11, 22]
        ),
        "The learning rate that serves momentum best in the mean, 0.001, lets it diverge from 28 starts; of Newton's "
        "and L-BFGS's runs none does.": (
            found.learning_rate.sel(optimizer="Momentum").item() == 0.001
            and [failed.sel(optimizer=name).item() for name in ("Momentum", "Newton", "L-BFGS")] == [28, 0, 0]
        ),
    }
