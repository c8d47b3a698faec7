"""A saddle looks like a minimum in random planes.

A network of 16, 4 and 10 units, tanh, cross-entropy and l2 of strength 0.001, on 300 of scikit-learn's digits, averaged
to 4×4 gray values: 118 params. Three of the hidden units were trained by L-BFGS; all weights of the fourth, coming in
and going out, are 0. (a)–(c) The objective in planes through that point, the square, along directions of length 1, so
that coordinates are distances between params: (a) isotropic random directions; (b) filter-normalized random directions;
(c) the eigenvectors of the smallest and the largest eigenvalue. Over each panel stands the share of the Hessian's trace
that its plane captures. (d) The objective along 40 isotropic random lines, and along the eigenvectors of the nine
negative eigenvalues. (e) The curvature along 2000 isotropic random directions, as a histogram; dashed, its expected
mean tr H/p, p = 118, and shaded around it the standard deviation, √(2 Σ (λ − tr H/p)²/(p (p + 2))); below, a line each,
the eigenvalues λ up to 0.15.

The point is a critical point, a saddle: the gradient's norm is below 10⁻⁶, and nine eigenvalues of the Hessian are
negative. They are as theory says, 2·0.001 − σᵢ with the singular values σᵢ of the mean of (residual × input) over the
examples, to within 10⁻⁶: what the fourth unit could still explain. None of the 2000 random directions has negative
curvature, and so none of the 1000 planes that they span in pairs: all of them show a minimum. The mean of the 2000
curvatures is tr H/p = 0.052, and their standard deviation 0.024, as the formula has it, each to within 5 %. All 40
random lines of (d) lead up on both sides; along each of the nine eigenvectors the objective falls, on both sides. A
random plane captures 1.7 % of the trace on average, k/p. The plane of (c) captures more than ten times as much, and
shows the saddle. Filter-normalized planes cannot show it at all: in 100 of them the weights that come into the fourth
unit, whose norm is 0, do not move, and without these the Hessian has no negative eigenvalue.

Source: Böttcher & Wheeler (2022), arXiv:2208.13219, on curvature in random planes; Fukumizu & Amari (2000), Neural
Networks 13, on critical points that networks inherit from smaller ones; the normalization is that of Li et al. (2018).
"""

import jax
import numpy as np
import optax
import xarray as xr
from _digits import digits
from _page import head, open_frame, settle
from jax.flatten_util import ravel_pytree

import landscape as ls
from landscape.plot import style

HIDDEN, STRENGTH = 3, 1e-3  # units that were trained; λ
REACH, NARROW, CELLS = 1.5, 0.3, 41  # half the sides of the windows; the narrow one is that of the steepest direction
IMAGES, DEFLATED = 300, 118  # as many as params
LINES, DIRECTIONS, FILTERED = 40, 2000, 100
QUICK = {"IMAGES": 100, "DEFLATED": 10, "CELLS": 15, "DIRECTIONS": 200, "FILTERED": 10}
EXPECTED, SPREAD = 0.052, 0.024  # as the caption has them
SQUARE = style.kind_style("saddle")
PLANES = {"isotropic": "isotropic", "filter": "filter-normalized", "eigenvectors": "eigenvectors"}


def compute():
    with jax.enable_x64(True):
        objective, saddle = _saddle()
        matrix = ls.hessian(objective, saddle).values
        values, vectors = np.linalg.eigh(matrix)
        flat, restored = ravel_pytree(saddle)
        drawn = np.random.default_rng(0).standard_normal((DIRECTIONS, len(flat)))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        planes = {name: ls.Plane(saddle, directions) for name, directions in _directions(objective, saddle).items()}
        data = {name: ls.evaluate(objective, plane, _axes(name)) for name, plane in planes.items()}
        for name, plane in planes.items():
            found = ls.captured_curvature(objective, plane, key=jax.random.key(4), num_probes=2, deflate=DEFLATED)
            data[name] = data[name][["objective"]].assign(
                share=found.share, trace=found.trace.value, principal=("direction", found.principal)
            )
        lines = np.concatenate([drawn[:LINES], vectors.T[values < 0]])
        distance = np.linspace(-REACH, REACH, 31)
        points = flat + distance[:, None] * lines[:, None]
        along = jax.jit(jax.vmap(jax.vmap(lambda point: objective(restored(point)))))(points)
        return data | {
            "point": ls.saddle_index(objective, saddle).assign(_filtered(saddle, matrix)),
            "spectrum": xr.Dataset({"eigenvalue": ("rank", values), "known": ("unit", _known(objective, saddle))}),
            "random": xr.Dataset({"curvature": ("line", np.einsum("ni,ij,nj->n", drawn, matrix, drawn))}).assign(
                least=("plane", [_least(matrix, drawn[i : i + 2]) for i in range(0, DIRECTIONS, 2)])
            ),
            "lines": xr.Dataset({"objective": (("line", "distance"), along)}, {"distance": distance}),
        }


def _axes(name):
    steep = NARROW if name == "eigenvectors" else REACH
    return {"alpha": np.linspace(-REACH, REACH, CELLS), "beta": np.linspace(-steep, steep, CELLS)}


def _saddle():
    """A minimum of a network of three hidden units, with a fourth that does nothing: a critical point."""
    images, labels = (part[:IMAGES] for part in digits()["train"])
    small = images.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16).astype(float)
    data = small - small.mean(axis=0), labels
    network, larger = (ls.mlp((16, h, 10), output="softmax", loss="cross_entropy") for h in (HIDDEN, HIDDEN + 1))
    first = network.objective(*data, params=network.init(jax.random.key(0)), penalty=ls.l2(STRENGTH))
    run = ls.descend(first, optax.lbfgs(), first.params, steps=300, record_every=300)
    one, two = (jax.tree.map(lambda leaf: leaf[-1], run.params)[f"layer{i}"] for i in (1, 2))
    saddle = {
        "layer1": {"W": np.pad(one["W"], ((0, 0), (0, 1))), "b": np.pad(one["b"], (0, 1))},
        "layer2": {"W": np.pad(two["W"], ((0, 1), (0, 0))), "b": np.asarray(two["b"])},
    }
    return larger.objective(*data, params=saddle, penalty=ls.l2(STRENGTH)), saddle


def _directions(objective, saddle):
    """Of each plane, scaled to length 1."""
    ends = ls.eigen_directions(objective, saddle, 2, key=jax.random.key(1), which="both")
    whole = ls.random_directions(jax.random.key(2), saddle, 2, normalize="global", zero_vectors=False)
    filtered = ls.random_directions(jax.random.key(3), saddle, 2)
    return {name: tuple(map(_unit, pair)) for name, pair in zip(PLANES, (whole, filtered, ends), strict=True)}


def _unit(direction):
    length = np.linalg.norm(ravel_pytree(direction)[0])
    return jax.tree.map(lambda leaf: leaf / length, direction)


def _known(objective, saddle):
    """2λ − σᵢ of M = (1/n) Σ xᵢ (h(xᵢ) − yᵢ)ᵀ, with 1 as a last input: the eigenvalues of the unused unit."""
    x, labels = map(np.asarray, objective.data)
    residual = np.asarray(objective.predict(saddle, x)) - np.eye(10)[labels]
    extended = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return 2 * STRENGTH - np.linalg.svd(extended.T @ residual / len(x), compute_uv=False)


def _least(matrix, pair):
    """The smaller principal curvature of a plane."""
    basis = np.linalg.qr(pair.T)[0]
    return np.linalg.eigvalsh(basis.T @ matrix @ basis)[0]


def _filtered(saddle, matrix):
    """How far 100 filter-normalized planes move the unused unit's incoming weights, and the least eigenvalue without
    these."""
    keys = jax.random.split(jax.random.key(5), FILTERED)
    planes = jax.jit(jax.vmap(lambda key: ls.random_directions(key, saddle, 2)))(keys)
    moved = [float(abs(np.asarray(leaf)[..., -1]).max()) for d in planes for leaf in d["layer1"].values()]
    mask = jax.tree.map(np.zeros_like, saddle)
    for leaf in mask["layer1"].values():
        leaf[..., -1] = 1
    still = ravel_pytree(mask)[0] == 0
    rest = np.linalg.eigvalsh(matrix[np.ix_(still, still)])
    return {"moved": max(moved), "least_of_rest": rest[0]}


def predicted(values):
    """(mean, standard deviation) of the curvature along an isotropic random direction."""
    mean, p = values.mean(), len(values)
    return mean, np.sqrt(2 * ((values - mean) ** 2).sum() / (p * (p + 2)))


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.1)
    figure.get_layout_engine().set(wspace=0.06, hspace=0.1)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.05, 1))
    axes = upper.subplots(1, 3)
    for ax, letter, (name, heading) in zip(axes, "abc", PLANES.items(), strict=True):
        ls.plot.contour(data[name], "objective", ax=ax, log=False)
        ax.plot(0, 0, zorder=9, **SQUARE)
        head(ax, letter, f"{heading}: {100 * float(data[name].share):.2g} % of tr $H$")
        ax.set(xlabel="along $u$", ylabel="along $v$")
        ax.set_box_aspect(1)
    axes[2].set(xlabel=r"along $v_\mathrm{min}$", ylabel=r"along $v_\mathrm{max}$")
    lines, histogram = lower.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_lines(lines, data["lines"].objective)
    _draw_histogram(histogram, data)
    return settle(figure)


def _draw_lines(ax, objective):
    for i, values in enumerate(objective.values):
        look = {"color": "#9A9A9A", "linewidth": 0.5} if i < LINES else {"color": style.VERMILLION, "linewidth": 0.9}
        label = {0: "random directions", LINES: "eigenvectors, $λ < 0$"}.get(i)
        ax.plot(objective.distance, values, label=label, **look)
    ax.plot(0, objective.values[0, objective.sizes["distance"] // 2], zorder=5, **SQUARE)
    open_frame(ax)
    ax.set(xlabel="distance", ylabel="objective", xlim=(-REACH, REACH))
    ax.legend(loc="upper center", handlelength=1.4)
    head(ax, "d", "on lines")


def _draw_histogram(ax, data):
    values, curvature = data["spectrum"].eigenvalue.values, data["random"].curvature.values
    mean, spread = predicted(values)
    ax.hist(curvature, bins=np.arange(-0.04, 0.16, 0.005), color="#9DB7CF", edgecolor="white", linewidth=0.3)
    top = ax.get_ylim()[1]
    ax.fill_betweenx(
        (0, top), mean - spread, mean + spread, color=style.ORANGE, alpha=0.25, linewidth=0, zorder=0, label="± s.d."
    )
    ax.plot([mean, mean], [0, top], color=style.INK, linestyle=(0, (4, 2)), linewidth=0.9, label="tr $H/p$")
    for some, color, label in ((values >= 0, style.INK, None), (values < 0, style.VERMILLION, "eigenvalues < 0")):
        shown = values[some & (values < 0.15)]
        ax.vlines(shown, -0.13 * top, -0.03 * top, color=color, linewidth=0.8, label=label)
    ax.axhline(0, color=style.INK, linewidth=0.6)
    open_frame(ax)
    ax.set(xlabel="curvature", ylabel="directions", xlim=(-0.045, 0.15), ylim=(-0.15 * top, top), yticks=[0, 100, 200])
    ax.legend(loc="upper right", handlelength=1.4)
    head(ax, "e", f"along {len(curvature)} random directions, and all eigenvalues")


def claims(data):
    point, spectrum, random = data["point"], data["spectrum"], data["random"]
    values, known, curvature = spectrum.eigenvalue.values, np.sort(spectrum.known.values), random.curvature.values
    negative = values[values < 0]
    mean, spread = predicted(values)
    lines = data["lines"].objective.values
    center = lines.shape[1] // 2
    rises = np.diff(lines, axis=1)
    outward = np.concatenate([-rises[:, :center], rises[:, center:]], axis=1)
    beyond = lines - lines[:, [center]]
    sides = np.delete(beyond, center, axis=1)
    shares = {name: float(data[name].share) for name in PLANES}
    return {
        "The point is a critical point, a saddle: the gradient's norm is below 10⁻⁶, and nine eigenvalues of the "
        "Hessian are negative.": bool(
            point.gradient_norm < 1e-6 and point["index"] == 9 and len(negative) == 9 and values[-1] > 0
        ),
        "They are as theory says, 2·0.001 − σᵢ with the singular values σᵢ of the mean of (residual × input) over the "
        "examples, to within 10⁻⁶: what the fourth unit could still explain.": bool(
            np.allclose(negative, known[known < 0], rtol=0, atol=1e-6) if (known < 0).sum() == len(negative) else False
        ),
        "None of the 2000 random directions has negative curvature, and so none of the 1000 planes that they span in "
        "pairs: all of them show a minimum.": bool(
            (curvature > 0).all() and (random.least > 0).all() and len(curvature) == 2000 and len(random.least) == 1000
        ),
        "The mean of the 2000 curvatures is tr H/p = 0.052, and their standard deviation 0.024, as the formula has it, "
        "each to within 5 %.": bool(
            abs(curvature.mean() / mean - 1) < 0.05
            and abs(curvature.std() / spread - 1) < 0.05
            and abs(mean - EXPECTED) < 5e-4
            and abs(spread - SPREAD) < 5e-4
        ),
        "All 40 random lines of (d) lead up on both sides; along each of the nine eigenvectors the objective falls, on "
        "both sides.": bool((outward[:LINES] > 0).all() and (sides[LINES:] < 0).all() and len(sides) == LINES + 9),
        "A random plane captures 1.7 % of the trace on average, k/p.": bool(
            abs(200 / len(values) - 1.7) < 0.05
            and abs(2 * curvature.mean() / values.sum() * len(values) / 2 - 1) < 0.05
        ),
        "The plane of (c) captures more than ten times as much, and shows the saddle.": bool(
            shares["eigenvectors"] > 10 * 2 / len(values)
            and np.allclose(data["eigenvectors"].principal, values[[0, -1]], rtol=1e-4)
            and data["eigenvectors"].principal[0] < 0
            and all(data[name].principal[0] > 0 for name in ("isotropic", "filter"))
        ),
        "Filter-normalized planes cannot show it at all: in 100 of them the weights that come into the fourth unit, "
        "whose norm is 0, do not move, and without these the Hessian has no negative eigenvalue.": bool(
            point.moved == 0 and point.least_of_rest > 0
        ),
    }
