"""Where an objective is convex, and where it only looks convex.

Maps of the smallest eigenvalue λ_min of the Hessian over all params, and of its size beside the largest, |λ_min/λ_max|.
(a)–(c) The sigmoid neuron on the pair D = {(−1, 0), (1, 1)}, float64: λ_min of the risk under (a) cross-entropy and (b)
squared error, on one color scale, negative in orange, with thin lines at 0.01, 0.05, 0.1 and 0.2. In (b) the solid line
is where λ_min = 0 and the dotted one on it w = |b| − log 2; the colored lines are where the border lies under l2
penalties of strength λ = 0.01 (blue) and 0.025 (green), with a star at each penalized minimizer. (c) The share of the
cells of (b) where λ_min is negative, against λ; dashed, the least λ without any. (d), (e) Networks of 16 inputs, one or
three hidden layers of 8 units with tanh and 10 outputs, cross-entropy and l2 of strength 0.0001, on 200 of
scikit-learn's digits at 4×4 gray values, in a filter-normalized random plane through the params that 800 steps of Adam
came to: the color is |λ_min/λ_max|, lines are the risk at 0.1, 0.5, 1, 2, 4 and 8; dots mark cells with a direction of
negative curvature in the plane itself. (f) The ratio by distance from the center, a dot a cell, a circle where the
plane shows negative curvature.

Under cross-entropy no cell has a negative eigenvalue: the risk is convex. Under squared error the two eigenvalues are
the second derivatives of the two losses, as the two inputs, with 1 put beside them, are orthogonal: the map agrees with
s²(1 − s)(2 − 3s), s = σ(b − w) and σ(−b − w), to 10⁻¹². So the risk is convex where w > |b| − log 2 and nowhere else.
The penalty adds 2λ to both, and the convex part grows with λ: at λ = 0.03 less than 3 % of the cells are left, and from
0.0301 on none. Each penalized minimizer lies in the convex part. In both networks the Hessian has a negative eigenvalue
in every cell. With one hidden layer the plane yet looks convex in over 85 % of the cells, while in half of them the
ratio is more than 0.1. With three hidden layers under half of the cells look convex, and in half of them the ratio is
more than 0.5. In both the ratio is least at the center, below 0.001, and larger, in the median, in cells where the
plane shows negative curvature than in the others.

Source: Li, Xu, Taylor, Studer & Goldstein (2018), arXiv:1712.09913, section 6, on convexity maps: where a plane shows
negative curvature there is some, but where it shows none there may be.
"""

import jax
import numpy as np
import optax
import xarray as xr
from _digits import digits
from _page import head, open_frame, settle
from matplotlib.colors import LogNorm, Normalize

import landscape as ls
from landscape.plot import style

STRENGTHS = (0.0, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.025, 0.0275, 0.03, 0.0301, 0.035)
SHOWN = {0.01: style.BLUE, 0.025: style.GREEN}
IMAGES, STEPS = 200, 800
AXIS, GRID = np.linspace(-6, 6, 121), np.linspace(-1, 1, 17)
QUICK = {
    "IMAGES": 50,
    "STEPS": 200,
    "STRENGTHS": (0.0, 0.005, 0.01, 0.02, 0.025, 0.03),
    "AXIS": np.linspace(-6, 6, 41),
    "GRID": np.linspace(-1, 1, 7),
    "NETWORKS": {"one": (16, 4, 10), "three": (16, 4, 4, 4, 10)},
}
NETWORKS = {"one": (16, 8, 10), "three": (16, 8, 8, 8, 10)}
LOOKS = {"one": style.BLUE, "three": style.VERMILLION}
RATIO = LogNorm(1e-3, 1, clip=True)
STAR = style.kind_style("minimum")


def compute():
    with jax.enable_x64(True):
        data = _neuron()
    for name, sizes in NETWORKS.items():
        surface = _network(sizes)
        least = np.linalg.eigvalsh(surface.plane_hessian.values)[..., 0]
        data[name] = surface[["risk", "hessian_min", "hessian_ratio"]].assign(plane_min=(surface.risk.dims, least))
    return data


def _neuron():
    pair = ls.datasets.pair()
    convex, squared = ls.neuron(*pair), ls.neuron(*pair, loss="half_squared_error")
    plane, axes = ls.axes_plane(convex.params, "w", "b"), {"w": AXIS, "b": AXIS}
    swept = {f"{strength:g}": ls.l2(strength) if strength else ls.none() for strength in STRENGTHS}
    start = {"w": 1.0, "b": 0.0}
    shown = {f"{strength:g}": ls.l2(strength) for strength in SHOWN}
    run = ls.descend(squared, optax.lbfgs(), start, steps=50, record_every=50, penalties=shown)
    ends = jax.tree.map(lambda leaf: leaf[:, -1], run.params)
    there = [
        ls.hessian(squared.with_penalty(penalty), jax.tree.map(lambda leaf, i=i: leaf[i], ends)).values
        for i, penalty in enumerate(shown.values())
    ]
    return {
        "cross_entropy": ls.evaluate(convex, plane, axes, quantities=("hessian_min",))[["hessian_min"]],
        "squared": ls.evaluate(squared, plane, axes, quantities=("hessian_min",), penalties=swept)[["hessian_min"]],
        "minimizers": xr.Dataset(
            {
                "w": ("penalty", ends["w"]),
                "b": ("penalty", ends["b"]),
                "gradient_norm": run.data.gradient_norm.isel(step=-1, drop=True).variable,
                "hessian_min": ("penalty", np.linalg.eigvalsh(np.stack(there))[:, 0]),
            }
        ),
    }


def _network(sizes):
    images, labels = (part[:IMAGES] for part in digits()["train"])
    small = images.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16)
    network = ls.mlp(sizes, output="softmax", loss="cross_entropy")
    start = network.init(jax.random.key(0))
    objective = network.objective(small - small.mean(axis=0), labels, params=start, penalty=ls.l2(1e-4))
    run = ls.descend(objective, optax.adam(0.02), start, steps=STEPS, record_every=STEPS)
    end = jax.tree.map(lambda leaf: leaf[-1], run.params)
    plane = ls.Plane(end, ls.random_directions(jax.random.key(1), end, 2))
    return ls.evaluate(objective, plane, {"alpha": GRID, "beta": GRID}, quantities=("hessian_ratio", "plane_hessian"))


def curvature(w, b):
    """The second derivatives of both losses of the pair under squared error: (2, w, b)."""
    s = 1 / (1 + np.exp(-np.stack([b - w, -b - w])))
    return s**2 * (1 - s) * (2 - 3 * s)


def threshold():
    """The least λ with which the pair's objective is convex: half of max s²(1 − s)(3s − 2), at 12s² − 15s + 4 = 0."""
    s = (15 + np.sqrt(33)) / 24
    return s**2 * (1 - s) * (3 * s - 2) / 2


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.7)
    figure.set_layout_engine("compressed")
    (first, second, third), (fourth, fifth, sixth) = figure.subplots(2, 3)
    _draw_least(first, data["cross_entropy"].hessian_min)
    mesh = _draw_least(second, data["squared"].hessian_min.isel(penalty=0))
    figure.colorbar(mesh, ax=second, label=r"$λ_\mathrm{min}$", extend="max", ticks=[-0.05, 0, 0.05, 0.1], pad=0.03)
    _draw_borders(second, data["squared"].hessian_min.isel(penalty=0), data["minimizers"])
    _draw_share(third, data["squared"].hessian_min)
    for ax, name in ((fourth, "one"), (fifth, "three")):
        mesh = _draw_ratio(ax, data[name])
    figure.colorbar(mesh, ax=fifth, label=r"$|λ_\mathrm{min}/λ_\mathrm{max}|$", extend="both", pad=0.03)
    _draw_distance(sixth, data)
    headings = ("cross-entropy", "squared error", "where it is not convex", "one hidden layer", "three", "all cells")
    for ax, letter, heading in zip((first, second, third, fourth, fifth, sixth), "abcdef", headings, strict=True):
        head(ax, letter, heading)
        ax.set_box_aspect(1)
    return settle(figure)


def _draw_least(ax, least):
    look = {"cmap": "PuOr", "norm": Normalize(-0.1, 0.1), "shading": "nearest", "rasterized": True}
    mesh = ax.pcolormesh(AXIS, AXIS, least.T, **look)
    ax.contour(AXIS, AXIS, least.T, levels=(0.01, 0.05, 0.1, 0.2), colors=style.INK, linewidths=0.4)
    ax.set(xlabel="$w$", ylabel="$b$", xticks=[-5, 0, 5], yticks=[-5, 0, 5])
    return mesh


def _draw_borders(ax, plain, minimizers):
    ax.contour(AXIS, AXIS, plain.T, levels=[0], colors="black", linewidths=1.8)
    ax.plot(np.abs(AXIS) - np.log(2), AXIS, color="white", linestyle=":", linewidth=0.9)
    for i, (strength, color) in enumerate(SHOWN.items()):
        ax.contour(AXIS, AXIS, plain.T, levels=[-2 * strength], colors=color, linewidths=1.1, linestyles="-")
        ax.plot(minimizers.w[i], minimizers.b[i], zorder=9, **STAR | {"markerfacecolor": color, "markersize": 7})
    ax.set(xlim=AXIS[[0, -1]], ylim=AXIS[[0, -1]])


def _draw_share(ax, least):
    shares = 100 * (least < 0).mean(("w", "b")).values
    ax.plot(STRENGTHS, shares, marker=".", color=style.INK, clip_on=False)
    for strength, color in SHOWN.items():
        ax.plot(strength, shares[STRENGTHS.index(strength)], "o", markersize=5, color=color)
    ax.axvline(threshold(), color=style.INK, linestyle=(0, (4, 2)), linewidth=0.8)
    ax.annotate("0.03005", (threshold(), 60), (-3, 0), textcoords="offset points", ha="right", fontsize=7.5)
    open_frame(ax)
    ax.set(xlabel="strength $λ$", ylabel=r"cells with $λ_\mathrm{min} < 0$ (%)", xlim=(0, 0.036), ylim=(0, 80))


def _draw_ratio(ax, surface):
    look = {"cmap": style.SEQUENTIAL, "norm": RATIO, "shading": "nearest", "rasterized": True}
    mesh = ax.pcolormesh(GRID, GRID, surface.hessian_ratio.T, **look)
    lines = ax.contour(GRID, GRID, surface.risk.T, levels=(0.1, 0.5, 1, 2, 4, 8), colors=style.ORANGE, linewidths=0.9)
    for number in ax.clabel(lines, levels=[0.5, 2, 8], fontsize=7, inline_spacing=1, fmt="%g"):
        number.set(path_effects=style.halo(1.0), color=style.VERMILLION)
    shows = np.nonzero(surface.plane_min.values < 0)
    ax.plot(GRID[shows[0]], GRID[shows[1]], ".", markersize=1.6, color=style.INK)
    ax.plot(0, 0, marker="+", color="white", markersize=5)
    ax.set(xlabel="$α$", ylabel="$β$", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    return mesh


def _distance(surface):
    return np.hypot(surface.alpha, surface.beta).values


def _draw_distance(ax, data):
    for name, color in LOOKS.items():
        surface = data[name]
        distance, ratio, shows = _distance(surface), surface.hessian_ratio.values, surface.plane_min.values < 0
        ax.plot(distance[~shows], ratio[~shows], ".", markersize=2.5, color=color, label=f"{name}: looks convex")
        hollow = {
            "marker": "o",
            "linestyle": "none",
            "markersize": 3,
            "markeredgewidth": 0.5,
            "markerfacecolor": "none",
        }
        ax.plot(distance[shows], ratio[shows], markeredgecolor=color, label=f"{name}: does not", **hollow)
    open_frame(ax)
    ax.set(yscale="log", xlabel="distance from the center", xlim=(-0.02, 1.45))
    ax.set_ylabel(r"$|λ_\mathrm{min}/λ_\mathrm{max}|$")
    ax.legend(loc="lower right", handlelength=0.8)


def claims(data):
    convex, swept, ends = data["cross_entropy"].hessian_min, data["squared"].hessian_min, data["minimizers"]
    w, b = (swept[name].values for name in ("w", "b"))
    known = curvature(w[:, None], b[None, :])
    inside = w[:, None] - (abs(b) - np.log(2))
    clear = abs(inside) > 1e-9
    negative = (swept < 0).mean(("w", "b")).values
    plain = swept.isel(penalty=0).values
    one, three = data["one"], data["three"]
    center = len(GRID) // 2
    networks = (one, three)
    looks = [s.plane_min.values >= 0 for s in networks]
    ratios = [s.hessian_ratio.values for s in networks]
    medians = [(np.median(r[~look]), np.median(r[look])) for r, look in zip(ratios, looks, strict=True)]
    return {
        "Under cross-entropy no cell has a negative eigenvalue: the risk is convex.": bool(
            (convex >= -1e-15).all() and convex.max() > 0.2
        ),
        "Under squared error the two eigenvalues are the second derivatives of the two losses, as the two inputs, with "
        "1 put beside them, are orthogonal: the map agrees with s²(1 − s)(2 − 3s), s = σ(b − w) and σ(−b − w), to "
        "10⁻¹².": bool(np.allclose(plain, known.min(axis=0), rtol=0, atol=1e-12)),
        "So the risk is convex where w > |b| − log 2 and nowhere else.": bool(
            ((plain > 0) == (inside > 0))[clear].all() and clear.mean() > 0.9
        ),
        "The penalty adds 2λ to both, and the convex part grows with λ: at λ = 0.03 less than 3 % of the cells are "
        "left, and from 0.0301 on none.": bool(
            all(np.allclose(row, plain + 2 * s, atol=1e-12) for row, s in zip(swept.values, STRENGTHS, strict=True))
            and (np.diff(negative[: STRENGTHS.index(0.0301) + 1]) < 0).all()
            and 0 < negative[STRENGTHS.index(0.03)] < 0.03
            and (negative[STRENGTHS.index(0.0301) :] == 0).all()
            and 0.03 < threshold() < 0.0301
        ),
        "Each penalized minimizer lies in the convex part.": bool(
            (ends.gradient_norm < 1e-8).all()
            and (ends.hessian_min > 0).all()
            and np.allclose(
                ends.hessian_min, [curvature(*end).min() + 2 * s for *end, s in zip(ends.w, ends.b, SHOWN, strict=True)]
            )
        ),
        "In both networks the Hessian has a negative eigenvalue in every cell.": bool(
            all((surface.hessian_min < 0).all() and (surface.hessian_ratio > 0).all() for surface in networks)
        ),
        "With one hidden layer the plane yet looks convex in over 85 % of the cells, while in half of them the ratio "
        "is more than 0.1.": bool(0.85 < looks[0].mean() < 0.95 and np.median(ratios[0]) > 0.1),
        "With three hidden layers under half of the cells look convex, and in half of them the ratio is more than "
        "0.5.": bool(0 < looks[1].mean() < 0.5 and np.median(ratios[1]) > 0.5),
        "In both the ratio is least at the center, below 0.001, and larger, in the median, in cells where the plane "
        "shows negative curvature than in the others.": bool(
            all(ratio[center, center] == ratio.min() < 1e-3 for ratio in ratios)
            and all(shown > other for shown, other in medians)
        ),
    }
