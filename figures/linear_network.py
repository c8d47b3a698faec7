"""The smallest linear network: a valley of minima, a saddle between its arms, and a penalty that leaves two.

The network of two weights h(x) = w₂w₁x on the one example x = 1, y = 1: R = ½(w₁w₂ − 1)², in float64. (a) The risk and
its gradient flow from nine starts; the white line is the hyperbola w₁w₂ = 1, the square the saddle at the origin. (b)
The risk along the flow against time; one start is on the line w₁ = −w₂ and one next to it, at (−1.2, 1.199). (c) The
curvature across the valley, the larger eigenvalue of the Hessian, at the ends of the flow, by c = w₁² − w₂² at the
start. (d) The objective with l2 of strength λ = 0.1, J = R + λ(w₁² + w₂²), and its flow from the same starts. (e) J
along the hyperbola, at w = (e^s, e^−s), for four λ. (f) The critical points found from 100 random starts, by λ, and the
curves 0 and ±√(1 − 2λ). Stars are minima.

The hyperbola has risk 0 everywhere, and all eight starts off the line w₁ = −w₂ end on it, at eight different points,
with a risk below 10⁻¹⁰. The start on that line ends at the saddle, where the risk is ½ and the Hessian has the
eigenvalues −1 and 1. The start next to it is within 0.02 of the saddle's risk from time 2 to 5, and at time 12 its risk
is below 10⁻⁸. At each end on the hyperbola the eigenvalues are 0 and w₁² + w₂² = √(c² + 4), to within 10⁻⁸. Along the
flow c = w₁² − w₂² is conserved to within 10⁻⁸, so the start determines the end: there w₁² = (c + √(c² + 4))/2. With l2,
λ = 0.1, two minima are left, ±(√0.8, √0.8), with J = 2λ − 2λ² = 0.18, and the saddle. All eight starts now end at one
of these two, and c decays like e^−4λt, to within 10⁻⁸. Along the hyperbola J = 2λ cosh 2s: flat without a penalty, and
with one minimum at s = 0 under each. For every λ < ½ that was tried there are two minima, ±(√(1 − 2λ), √(1 − 2λ)) to
within 10⁻⁸, where the Hessian has the eigenvalues 4λ and 2 − 4λ in order of size, and the saddle at the origin. For λ >
½ the origin is the only critical point, and it is a minimum.

Source: Baldi & Hornik (1989), the squared error of linear networks has saddles but no further local minima; Saxe,
McClelland & Ganguli (2014), the flow and what it conserves. With l2 the sum and the difference of (w₁w₂ − 1)w₂ + 2λw₁ =
0 and (w₁w₂ − 1)w₁ + 2λw₂ = 0 are (w₁ + w₂)(w₁w₂ − 1 + 2λ) = 0 and (w₁ − w₂)(w₁w₂ − 1 − 2λ) = 0: there are no others.
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle, unique, without_legend
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

STRENGTH = 0.1
SWEPT = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.48, 0.55, 0.7])
SHOWN = (0.0, 0.01, 0.05, 0.2)  # the strengths of (e)
STARTS = {
    "w1": np.array([2.2, 2.3, 0.3, -0.2, -1.9, -2.2, -0.5, -1.2, 1.8]),
    "w2": np.array([2.0, 0.2, 2.3, 1.6, -2.3, -0.4, -2.2, 1.199, -1.8]),
}
NEXT, ON = 7, 8  # the start next to the line w₁ = −w₂ and the one on it
TIMES = np.r_[0, np.geomspace(1e-3, 60, 400)]
QUICK = {"SWEPT": SWEPT[1::2], "TIMES": np.r_[0, np.geomspace(1e-3, 60, 100)]}
EDGES = np.linspace(-2.5, 2.5, 201)
VALLEY = np.linspace(-1.2, 1.2, 121)
SQUARE = style.kind_style("saddle")


def residual(params):
    """w₁w₂ − 1."""
    return params["w1"] * params["w2"] - 1


def network():
    return ls.function(lambda params: 0.5 * residual(params) ** 2, {"w1": 0.0, "w2": 0.0})


def compute():
    with jax.enable_x64(True):
        risk = network()
        penalized = risk.with_penalty(ls.l2(STRENGTH))
        plane = ls.axes_plane(risk.params, "w1", "w2")
        data = {"critical": _critical_points(risk), "valley": _valley(risk, plane)}
        for name, objective in (("risk", risk), ("penalized", penalized)):
            flow = ls.gradient_flow(objective, STARTS, TIMES, rtol=1e-12, atol=1e-14)
            seen = flow.on(plane)
            ends = xr.Dataset({"w1": seen.w1[:, -1], "w2": seen.w2[:, -1]}).drop_vars(["step", "time"])
            data |= {
                name: ls.evaluate(objective, plane, {"w1": EDGES, "w2": EDGES}),
                f"{name}_flow": seen,
                f"{name}_ends": ends.assign(eigenvalues=(("start", "eigenvalue"), _eigenvalues(objective, ends))),
            }
    return data


def _eigenvalues(objective, points):
    """Of the Hessian, ascending: (n, 2)."""
    hessians = jax.vmap(jax.hessian(objective))({name: points[name].values for name in ("w1", "w2")})
    rows = [[np.asarray(hessians[a][b]) for b in ("w1", "w2")] for a in ("w1", "w2")]
    return np.linalg.eigvalsh(np.moveaxis(np.array(rows), -1, 0))


def _critical_points(risk):
    """Those at each strength, by J: w₁, w₂, J, the number of negative eigenvalues, eigenvalues; NaN where no more."""
    found, key = [], jax.random.key(0)
    for strength in SWEPT:
        points = ls.critical_points(risk.with_penalty(ls.l2(float(strength))), key=key, num_starts=100, box=(-3.0, 3.0))
        columns = {name: ("point", values) for name, values in points.params.items()}
        columns |= {"index": ("point", points.data["index"].values.astype(float)), "lost": _lost(points)}
        found.append(points.data[["objective", "eigenvalues"]].assign(columns))
    return xr.concat(found, xr.Variable("strength", SWEPT), join="outer", combine_attrs="drop").drop_attrs()


def _lost(points):
    """How many starts came to no critical point, or to a degenerate one."""
    degenerate = points.data["count"].where(points.data.kind == "degenerate", 0).sum()
    return float(points.data.attrs["starts"] - points.data.attrs["converged"] + degenerate)


def _valley(risk, plane):
    """J along the hyperbola, where a plane's point is (e^s, e^−s), for several strengths."""
    penalties = {f"λ={strength:g}": ls.l2(strength) if strength else ls.none() for strength in SHOWN}
    axes = {"w1": np.exp(VALLEY), "w2": np.exp(VALLEY)}
    surface = ls.evaluate(risk, plane, axes, penalties=penalties)
    # On this grid w₂ = 1/w₁ is the other diagonal.
    along, across = (xr.DataArray(index, dims="s") for index in (np.arange(len(VALLEY)), np.arange(len(VALLEY))[::-1]))
    return surface[["risk", "objective"]].isel(w1=along, w2=across).assign_coords(s=VALLEY)


# ---- the picture


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.5)
    figure.get_layout_engine().set(wspace=0.08)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    top, bottom = upper.subplots(1, 3), lower.subplots(1, 3)
    entries = _draw_plane(top[0], data["risk"], "risk", data["risk_flow"])
    entries += _draw_plane(bottom[0], data["penalized"], "objective", data["penalized_flow"])
    minima = data["critical"].sel(strength=STRENGTH).isel(point=slice(0, 2))
    bottom[0].plot(minima.w1, minima.w2, zorder=8, **STAR)
    head(top[0], "a", "risk and flow")
    head(bottom[0], "d", f"with l2, $λ$ = {STRENGTH:g}")
    _draw_risk(top[1], data["risk_flow"])
    _draw_curvature(top[2], data["risk_flow"], data["risk_ends"])
    _draw_valley(bottom[1], data["valley"])
    _draw_pitchfork(bottom[2], data["critical"])
    entries += [Line2D([], [], label="saddle", **SQUARE), Line2D([], [], label="minimum", **STAR)]
    lower.legend(handles=unique(entries), loc="outside lower center", ncols=6)
    return settle(figure)


def _draw_plane(ax, surface, variable, flow):
    ls.plot.contour(surface, variable, {"gradient flow": flow}, ax=ax)
    entries = without_legend(ax)
    keep = {"gradient flow", "start"}
    half = np.geomspace(1 / EDGES[-1], EDGES[-1], 101)
    if variable == "risk":  # all of the hyperbola is least, not the one cell of the grid that comes closest to it
        for line in [line for line in ax.lines if line.get_marker() == "*"]:
            line.remove()
        for sign in (-1, 1):
            ax.plot(sign * half, sign / half, color="white", linewidth=0.9, zorder=3)
    ax.plot(0, 0, zorder=8, **SQUARE)
    ax.set(xlim=EDGES[[0, -1]], ylim=EDGES[[0, -1]], xlabel="$w_1$", ylabel="$w_2$")
    return [entry for entry in entries if entry.get_label() in keep]


def _draw_risk(ax, flow):
    for start in range(flow.sizes["start"]):
        color = {NEXT: style.VERMILLION, ON: style.BLUE}.get(start, "#9A9A9A")
        ax.semilogy(flow.time, flow.risk.isel(start=start), color=color, zorder=3 if start in (NEXT, ON) else 2)
    ax.text(11.8, 0.8, "on $w_1 = -w_2$", color=style.BLUE, ha="right", va="bottom", fontsize=7.5)
    ax.text(8.9, 1e-3, "next to it", color=style.VERMILLION, ha="left", va="bottom", fontsize=7.5)
    open_frame(ax)
    ax.set(xlabel="time $t$", ylabel="risk", xlim=(0, 12), ylim=(1e-12, 50), xticks=range(0, 13, 3))
    head(ax, "b", "risk along the flow")


def conserved(points):
    """w₁² − w₂²."""
    return points.w1**2 - points.w2**2


def _draw_curvature(ax, flow, ends):
    c = np.linspace(-6, 6, 241)
    ax.plot(c, np.sqrt(c**2 + 4), color=style.SKY, label="$\\sqrt{c^2 + 4}$")
    off = [start for start in range(flow.sizes["start"]) if start != ON]
    ax.plot(
        conserved(flow.isel(step=0))[off],
        ends.eigenvalues[off, -1],
        linestyle="none",
        marker="d",
        markersize=4,
        color=style.BLACK,
        label="end of the flow",
    )
    open_frame(ax)
    ax.legend(loc="upper center", handlelength=1.6)
    ax.set(xlabel="$c = w_1^2 - w_2^2$ at the start", ylabel="curvature", xlim=(-6, 6), ylim=(0, 8), xticks=(-4, 0, 4))
    head(ax, "c", "which minimum")


def _draw_valley(ax, valley):
    for i, (strength, penalty) in enumerate(zip(SHOWN, valley.penalty.values, strict=True)):
        look = {"color": style.penalty_color(strength), "linestyle": style.dashes(i), "label": f"$λ$ = {strength:g}"}
        ax.plot(valley.s, valley.objective.sel(penalty=penalty), **look)
    open_frame(ax)
    ax.legend(loc="upper center", handlelength=2.4, ncols=2)
    ax.set(xlabel="$s$", ylabel="objective", xlim=(VALLEY[0], VALLEY[-1]), ylim=(-0.05, 3))
    head(ax, "e", "along the valley")


def _draw_pitchfork(ax, critical):
    strength = np.linspace(0, 0.5, 201)
    for sign in (-1, 1):
        ax.plot(strength, sign * np.sqrt(1 - 2 * strength), color=style.SKY)
    ax.plot([0, 0.5], [0, 0], color=style.SKY, linestyle="--")
    ax.plot([0.5, 0.8], [0, 0], color=style.SKY)
    placed = xr.broadcast(critical.strength, critical.w1, critical["index"])
    for index, look in ((0, STAR), (1, SQUARE)):
        here = placed[2].values == index
        ax.plot(placed[0].values[here], placed[1].values[here], zorder=5, **look)
    open_frame(ax)
    ax.set(xlabel="$λ$", ylabel="$w_1 = w_2$", xlim=(0, 0.8), ylim=(-1.25, 1.25))
    head(ax, "f", "critical points by $λ$")


# ---- the claims


def claims(data):
    flow, ends, critical, valley = data["risk_flow"], data["risk_ends"], data["critical"], data["valley"]
    off = [start for start in range(ends.sizes["start"]) if start != ON]
    arrived, c, penalized = ends.isel(start=off), conserved(flow), data["penalized_flow"]
    curvature = np.sqrt(c.values[off, 0] ** 2 + 4)
    beside = xr.DataArray(flow.risk.values[NEXT], {"time": flow.time.values}, "time")
    below, above = critical.sel(strength=slice(0, 0.5)), critical.sel(strength=slice(0.5, None))
    chosen, decay = critical.sel(strength=STRENGTH), np.exp(-4 * STRENGTH * penalized.time)
    expected = 2 * valley.strength * np.cosh(2 * valley.s)
    lowest = valley.objective.argmin("s").values[1:]
    return {
        "The hyperbola has risk 0 everywhere, and all eight starts off the line w₁ = −w₂ end on it, at eight different "
        "points, with a risk below 10⁻¹⁰.": bool(
            (abs(valley.risk) < 1e-30).all()
            and np.allclose(arrived.w1 * arrived.w2, 1, rtol=0, atol=1e-8)
            and (np.diff(np.sort(arrived.w1)) > 1e-3).all()
            and (flow.risk.values[off, -1] < 1e-10).all()
        ),
        "The start on that line ends at the saddle, where the risk is ½ and the Hessian has the eigenvalues −1 and "
        "1.": (
            np.allclose([ends.w1[ON], ends.w2[ON]], 0, atol=1e-10)
            and np.allclose(ends.eigenvalues[ON], [-1, 1], rtol=0, atol=1e-10)
            and np.isclose(flow.risk[ON, -1], 0.5, rtol=0, atol=1e-12)
        ),
        "The start next to it is within 0.02 of the saddle's risk from time 2 to 5, and at time 12 its risk is below "
        "10⁻⁸.": bool(
            (abs(beside.sel(time=slice(2, 5)) - 0.5) < 0.02).all() and (beside.sel(time=slice(12, None)) < 1e-8).all()
        ),
        "At each end on the hyperbola the eigenvalues are 0 and w₁² + w₂² = √(c² + 4), to within 10⁻⁸.": (
            np.allclose(arrived.eigenvalues[:, 0], 0, atol=1e-8)
            and np.allclose(arrived.eigenvalues[:, 1], arrived.w1**2 + arrived.w2**2, rtol=0, atol=1e-8)
            and np.allclose(arrived.eigenvalues[:, 1], curvature, rtol=0, atol=1e-8)
        ),
        "Along the flow c = w₁² − w₂² is conserved to within 10⁻⁸, so the start determines the end: there w₁² = (c + "
        "√(c² + 4))/2.": bool(
            (abs(c - c[:, 0]) < 1e-8).all()
            and np.allclose(arrived.w1**2, (c.values[off, 0] + curvature) / 2, rtol=0, atol=1e-8)
        ),
        "With l2, λ = 0.1, two minima are left, ±(√0.8, √0.8), with J = 2λ − 2λ² = 0.18, and the saddle.": bool(
            np.array_equal(chosen["index"], [0, 0, 1])
            and (chosen.lost == 0)
            and np.allclose(np.stack([chosen.w1, chosen.w2]), np.sqrt(0.8) * np.array([-1, 1, 0]), rtol=0, atol=1e-8)
            and np.allclose(chosen.objective, [0.18, 0.18, 0.5], rtol=0, atol=1e-10)
        ),
        "All eight starts now end at one of these two, and c decays like e^−4λt, to within 10⁻⁸.": bool(
            (penalized.objective.values[off, -1] < 0.18 + 1e-10).all()
            and np.allclose(abs(data["penalized_ends"].w1[off]), np.sqrt(0.8), rtol=0, atol=1e-8)
            and (data["penalized_ends"].w1 * data["penalized_ends"].w2)[off].min() > 0
            and (abs(conserved(penalized) - conserved(penalized)[:, 0] * decay) < 1e-8).all()
        ),
        "Along the hyperbola J = 2λ cosh 2s: flat without a penalty, and with one minimum at s = 0 under each.": bool(
            np.allclose(valley.objective, expected.transpose(*valley.objective.dims), rtol=1e-12, atol=1e-15)
            and (abs(valley.s.values[lowest]) < 1e-12).all()
            and (np.diff(np.sign(valley.objective.values[1:, 1:] - valley.objective.values[1:, :-1])) != 0).sum()
            == len(SHOWN) - 1
        ),
        "For every λ < ½ that was tried there are two minima, ±(√(1 − 2λ), √(1 − 2λ)) to within 10⁻⁸, where the "
        "Hessian has the eigenvalues 4λ and 2 − 4λ in order of size, and the saddle at the origin.": _balanced(below),
        "For λ > ½ the origin is the only critical point, and it is a minimum.": bool(
            (above["index"][:, 0] == 0).all()
            and above.w1[:, 1:].isnull().all()
            and np.allclose([above.w1[:, 0], above.w2[:, 0]], 0, atol=1e-8)
            and (above.lost == 0).all()
        ),
    }


def _balanced(critical):
    """Whether at each strength the points are the two balanced minima and the origin, a saddle, by their formulas."""
    strength = critical.strength.values
    size = np.sqrt(1 - 2 * strength)
    where = np.stack([-size, size, 0 * size], axis=1)
    minima = np.sort(np.stack([4 * strength, 2 - 4 * strength], axis=1), axis=1)
    curvature = np.stack([minima, minima, np.stack([2 * strength - 1, 2 * strength + 1], axis=1)], axis=1)
    return bool(
        (critical["index"] == [0, 0, 1]).all()
        and (critical.lost == 0).all()
        and all(np.allclose(critical[name], where, rtol=0, atol=1e-8) for name in ("w1", "w2"))
        and np.allclose(critical.eigenvalues, curvature, rtol=0, atol=1e-8)
    )
