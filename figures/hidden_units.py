"""Why hidden units do not all become the same, and why every minimum has copies.

Networks h(x) = Σ vₘ tanh(wₘ x) with M hidden units, fitted to one with M units, in float64. (a) M = 3, the path of each
unit, (wₘ, vₘ), under Adam from a start at which all units are equal; (b) from a random start; circles are starts, stars
ends. (c) The spread of the units, the largest distance between two of them, by step: for these two starts and for the
equal start with 10⁻⁶ added to one weight. (d) M = 2, the objective R + 10⁻⁴‖v‖² over (w₁, w₂), with the v that are best
there; stars are all copies of its minimum. (e) M = 3, the same on the plane through permutations of the minimum, on
which w₁ + w₂ + w₃ is constant; dashed lines are where two units have equal w, and narrow ridges where one w is 0.

Units that start equal stay equal: after 6000 steps their spread is exactly 0, and all three together fit no better than
one unit can. Add 10⁻⁶ to one weight, and that unit leaves the others: the spread grows more than 10⁵ times. From the
random start each unit goes its own way, and the risk becomes more than 100 times smaller than from the equal start.
With M = 2 the minimum has 2!·2² = 8 copies, by exchanging units and by flipping the signs of w and v of a unit, and the
objective is the same at all of them. With M = 3 there are 3!·2³ = 48 copies, of which the 3! = 6 permutations are in
the plane of (e). Where two units are equal, no gradient leads away: on the dashed lines its component across them is 0.

Source: Rumelhart, Hinton & Williams (1986), that random starts break the symmetry; Chen, Lu & Hecht-Nielsen (1993), the
group of permutations and sign flips.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from _page import STAR, head, open_frame, settle

import landscape as ls
from landscape.plot import style

X = np.linspace(-3, 3, 41)
GOALS = {
    2: {"w": np.array([0.6, 2.0]), "v": np.array([1.5, -1.0])},
    3: {"w": np.array([0.4, 1.1, 2.4]), "v": np.array([2.0, -1.5, 1.0])},
}
STEPS, NUDGE, DECAY = 6000, 1e-6, 1e-4
STARTS = ("equal", "nudged", "random")
EDGES = np.linspace(-3, 3, 201)
ACROSS = {"p": np.array([1, -1, 0]) / np.sqrt(2), "q": np.array([1, 1, -2]) / np.sqrt(6)}  # the plane of (e)
PLANE = np.linspace(-3.4, 3.4, 201)
QUICK = {"STEPS": 1500, "EDGES": np.linspace(-3, 3, 101), "PLANE": np.linspace(-3.4, 3.4, 101)}
# Where w₁ = w₂, w₂ = w₃ and w₁ = w₃ in that plane: along these directions, orthogonal to (1, −1, 0) and so on.
EQUAL = {(i, j): np.delete(np.arange(3), (i, j))[0] for i, j in ((0, 1), (1, 2), (0, 2))}
COLORS = (style.BLUE, style.VERMILLION, style.GREEN)


def predict(params, x):
    """h(x), (n,)."""
    return jnp.tanh(x[:, None] * params["w"][None]) @ params["v"]


def losses(params, batch):
    x, y = batch
    return 0.5 * (predict(params, x) - y) ** 2


def data_of(units):
    """Inputs, and the outputs of the network that is to be found."""
    goal = jax.tree.map(jnp.asarray, GOALS[units])
    return jnp.asarray(X), predict(goal, jnp.asarray(X))


def best_output(units):
    """min over v of risk + λ‖v‖² as a function of w: a linear least-squares problem."""
    x, y = data_of(units)

    def least(params):
        hidden = jnp.tanh(x[:, None] * params["w"][None])
        gram = hidden.T @ hidden / len(x) + 2 * DECAY * jnp.eye(units)
        v = jnp.linalg.solve(gram, hidden.T @ y / len(x))
        return 0.5 * jnp.mean((hidden @ v - y) ** 2) + DECAY * jnp.sum(v**2)

    return ls.function(least, {"w": jnp.zeros(units)})


def minimum_of(units):
    """The objective with l2(λ) on v, and its minimum near the network that made the data."""
    goal = jax.tree.map(jnp.asarray, GOALS[units])
    decay = ls.l2(DECAY, scope={"w": False, "v": True})
    objective = ls.Objective(losses, data_of(units), params=goal, penalty=decay)
    run = ls.descend(objective, optax.lbfgs(), goal, 400, record_every=400)
    return objective, jax.tree.map(lambda leaf: jnp.asarray(leaf[-1]), run.params)


def compute():
    with jax.enable_x64(True):
        return {**_runs(), **_copies()}


def _runs():
    equal = {"w": np.full(3, 1.8), "v": np.full(3, -0.8)}
    nudged = {**equal, "w": equal["w"] + np.array([NUDGE, 0, 0])}
    drawn = np.random.default_rng(6).normal(size=(2, 3))
    starts = jax.tree.map(lambda *leaves: np.stack(leaves), equal, nudged, {"w": drawn[0], "v": drawn[1]})
    objective = ls.Objective(losses, data_of(3), params=equal)
    runs = ls.descend(objective, optax.adam(0.01), starts, STEPS, record_every=20)
    found = ls.symmetry(predict, equal, X)
    units = ls.hidden_units(found, runs, X).isel(layer=0, drop=True)
    names = {"w": runs.params["w"], "v": runs.params["v"]}
    paths = {name: (("start", "step", "unit"), values) for name, values in names.items()}
    x, y = data_of(3)
    hidden = np.tanh(np.outer(np.linspace(0.01, 5, 2000), x))
    fitted = (hidden @ y / (hidden**2).sum(axis=1))[:, None] * hidden
    best = 0.5 * ((fitted - y) ** 2).mean(axis=1).min()
    risks = {"risk": runs.data.risk, "unit_spread": units.unit_spread, "one_unit": best}
    return {"runs": xr.Dataset({**risks, **paths}).assign_coords(start=list(STARTS)).drop_attrs()}


def _copies():
    two, three = best_output(2), best_output(3)
    minima = {units: minimum_of(units) for units in (2, 3)}
    center = jnp.full(3, minima[3][1]["w"].mean())
    plane = ls.Plane({"w": center}, tuple({"w": jnp.asarray(d)} for d in ACROSS.values()), names=tuple(ACROSS))
    square = ls.axes_plane(two.params, "w[0]", "w[1]")
    surfaces = {
        "two": ls.evaluate(two, square, {"w[0]": EDGES, "w[1]": EDGES}),
        "three": ls.evaluate(three, plane, {"p": PLANE, "q": PLANE}),
    }
    for name, chart, units in (("two", square, 2), ("three", plane, 3)):
        full, minimum = minima[units]
        copies = jax.tree.map(lambda *leaves: jnp.stack(leaves), *ls.symmetry(predict, minimum, X).orbit(minimum))
        at, residual = jax.vmap(lambda w, chart=chart: chart.coordinates({"w": w}))(copies["w"])
        surfaces[f"{name}_copies"] = xr.Dataset(
            {
                "at": (("copy", "coordinate"), np.asarray(at)),
                "residual": ("copy", np.asarray(residual)),
                "objective": ("copy", np.asarray(jax.vmap(full)(copies))),
                "slope": ("copy", np.asarray([optax.tree.norm(full.gradient(copy)) for copy in _each(copies)])),
            }
        )
    return {**surfaces, "across": _across(three, plane)}


def _each(stacked):
    return [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(len(stacked["w"]))]


def _across(objective, plane):
    """The gradient's component across each line of equal weights, at points along it; and its size there."""
    rows = []
    for (i, j), other in EQUAL.items():
        along = np.full(3, -0.5)
        along[other] = 1.0
        normal = np.zeros(3)
        normal[i], normal[j] = 1 / np.sqrt(2), -1 / np.sqrt(2)
        points = np.asarray(plane.origin["w"]) + np.linspace(-2.5, 2.5, 40)[:, None] * along
        slopes = np.asarray(jax.vmap(lambda w: objective.gradient({"w": w})["w"])(jnp.asarray(points)))
        rows.append((slopes @ normal, np.linalg.norm(slopes, axis=1)))
    across, size = np.array(rows).transpose(1, 0, 2)
    return xr.Dataset({"across": (("line", "point"), across), "size": (("line", "point"), size)})


# ---- the picture


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 5.3)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    top, bottom = upper.subplots(1, 3), lower.subplots(1, 2)
    runs = data["runs"]
    for ax, letter, start in ((top[0], "a", "equal"), (top[1], "b", "random")):
        _draw_paths(ax, runs.sel(start=start))
        head(ax, letter, f"{start} start")
    _draw_spread(top[2], runs)
    ls.plot.contour(data["two"], log=True, ax=bottom[0])
    ls.plot.contour(data["three"], log=True, ax=bottom[1])
    for ax, name in zip(bottom, ("two_copies", "three_copies"), strict=True):
        for line in [line for line in ax.lines if line.get_marker() == "*"]:
            line.remove()
        if ax.get_legend():
            ax.get_legend().remove()
        shown = data[name].at[data[name].residual.values < 1e-9]
        ax.plot(shown[:, 0], shown[:, 1], zorder=8, **STAR)
    _draw_lines(bottom[1])
    bottom[0].set(xlabel="$w_1$", ylabel="$w_2$")
    bottom[1].set(xlabel="$(w_1 - w_2)/\\sqrt{2}$", ylabel="$(w_1 + w_2 - 2w_3)/\\sqrt{6}$")
    head(bottom[0], "d", "all 8 copies of a minimum, $M = 2$")
    head(bottom[1], "e", "6 of 48 copies, $M = 3$")
    return settle(figure)


def _draw_paths(ax, run):
    same = float(run.unit_spread.max()) == 0
    for unit, color in enumerate(COLORS):
        label = "all three units" if same else f"unit {unit + 1}"
        if same and unit:
            break
        w, v = run.w[:, unit], run.v[:, unit]
        ax.plot(w, v, color=color, label=label)
        ax.plot(w[0], v[0], "o", markerfacecolor="white", markeredgecolor=color, markersize=4, zorder=4)
        ax.plot(w[-1], v[-1], zorder=8, **STAR)
    open_frame(ax)
    ax.legend(loc="lower left", handlelength=1.6)
    ax.set(xlabel="$w_m$", ylabel="$v_m$", xlim=(-3.2, 3.2), ylim=(-1.2, 2.4))


def _draw_spread(ax, runs):
    looks = {"random": style.BLACK, "nudged": style.VERMILLION}
    for start, color in looks.items():
        ax.semilogy(runs.step, runs.unit_spread.sel(start=start), color=color)
    ax.text(5900, 2e-6, "equal: 0", ha="right", va="bottom", fontsize=7.5, color=style.BLUE)
    ax.plot([0, STEPS], [1e-6 / 2] * 2, color=style.BLUE, linestyle=":")
    ax.text(2600, 8e-3, "equal but\nfor $10^{-6}$", ha="left", va="top", fontsize=7.5, color=style.VERMILLION)
    ax.text(5900, 7, "random", ha="right", va="bottom", fontsize=7.5)
    open_frame(ax)
    ax.set(xlabel="step", ylabel="spread of units", xlim=(0, STEPS), ylim=(3e-7, 40))
    head(ax, "c", "how far apart units are")


def _draw_lines(ax):
    ends = PLANE[[0, -1]]
    for other in EQUAL.values():
        along = np.full(3, -0.5)
        along[other] = 1.0
        p, q = (along @ direction for direction in ACROSS.values())
        ax.plot(*(np.outer([p, q], ends * 1.4)), color="white", linestyle=(0, (4, 3)), linewidth=0.9, zorder=3)
    ax.set(xlim=ends, ylim=ends)


# ---- the claims


def claims(data):
    runs, two, three = data["runs"], data["two_copies"], data["three_copies"]
    spread, risk = runs.unit_spread, runs.risk.isel(step=-1)
    inside = three.residual.values < 1e-9
    paths = runs.sel(start="random")
    return {
        "Units that start equal stay equal: after 6000 steps their spread is exactly 0, and all three together fit no "
        "better than one unit can.": bool(
            runs.step[-1] == STEPS
            and (spread.sel(start="equal") == 0).all()
            and np.isclose(risk.sel(start="equal"), runs.one_unit, rtol=1e-3)
        ),
        "Add 10⁻⁶ to one weight, and that unit leaves the others: the spread grows more than 10⁵ times.": bool(
            np.isclose(spread.sel(start="nudged")[0], NUDGE)
            and spread.sel(start="nudged")[-1] > 1e5 * NUDGE
            and np.ptp(runs.w.sel(start="nudged").values[-1, 1:]) == 0
        ),
        "From the random start each unit goes its own way, and the risk becomes more than 100 times smaller than from "
        "the equal start.": bool(
            risk.sel(start="random") < risk.sel(start="equal") / 100
            and abs(np.diff(np.sort(paths.w.values[-1]))).min() > 0.1
        ),
        "With M = 2 the minimum has 2!·2² = 8 copies, by exchanging units and by flipping the signs of w and v of a "
        "unit, and the objective is the same at all of them.": bool(
            two.sizes["copy"] == 8
            and len(np.unique(two["at"].values.round(6), axis=0)) == 8
            and (two.residual < 1e-9).all()
            and _alike(two)
        ),
        "With M = 3 there are 3!·2³ = 48 copies, of which the 3! = 6 permutations are in the plane of (e).": bool(
            three.sizes["copy"] == 48
            and inside.sum() == 6
            and len(np.unique(three["at"].values[inside].round(6), axis=0)) == 6
            and _alike(three)
        ),
        "Where two units are equal, no gradient leads away: on the dashed lines its component across them is 0.": bool(
            (abs(data["across"].across) < 1e-9 * data["across"]["size"].max()).all()
        ),
    }


def _alike(copies):
    """Whether all copies are critical points with one value, to rounding."""
    return bool((copies.slope < 1e-8).all() and np.ptp(copies.objective.values) < 1e-12 * copies.objective[0])
