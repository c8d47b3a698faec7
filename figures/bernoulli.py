"""Cross-entropy is a likelihood, a penalty is a prior, and the minimizer is the posterior's mode.

Above: one weight w, no bias, and the pair D = {(−1, 0), (1, 1)}; each curve is divided by its greatest value. (a) The
likelihood of w, the probability that Bernoulli variables with parameters σ(wxᵢ) equal the labels. (b) Gaussian priors
of variance σ² (dashed), their posteriors and the posteriors' modes. (c) The same for Laplace priors of scale c.
Below: the 23 flights of the Challenger's O-rings, temperature standardized; color is the negative logarithm of the
density, from black at the mode, lines are the density relative to its greatest value. (d) The likelihood. (e) The
posterior under Gaussian priors of σ = 0.5 on w and b. (f) The posterior under Laplace priors of scale 0.2. Dashed
lines are the prior's 0.5 and 0.1; the star is the minimizer of the penalized objective, the diamond that of the risk,
and the line between them where the minimizer moves as the prior narrows.

The loss of an example is −log of the probability that a Bernoulli variable with parameter h(x) gives to its label. n
times the objective is −log posterior up to a constant, with l2(1/(2nσ²)) for the Gaussian prior and l1(1/(nc)) for
the Laplace prior. The mode of every posterior is the minimizer of its penalized objective. The pair's likelihood has
no mode: it grows with w without end. A narrower prior is a larger λ, and its mode is nearer to 0. For the pair σ² =
25, 2.5 and 0.25 are λ = 0.01, 0.1 and 1, with modes 2.818, 1.178 and 0.222. Laplace's c = 50, 5 and 0.5 are the same
λ, with modes 4.595, 2.197 and exactly 0. The mode is not the mean: under c = 0.5 the posterior's mean is positive.
For the O-rings the Laplace posterior's mode lies on b = 0 exactly, the Gaussian's does not.

Source: the reading of penalties as priors is standard (Bishop 2006, sections 3.3 and 4.5; Tibshirani 1996, section 5,
for the Laplace prior); flights from Dalal, Fowlkes & Hoadley (1989).
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

VARIANCES, SCALES = (25.0, 2.5, 0.25), (50.0, 5.0, 0.5)  # of the pair's priors
DEVIATION, SCALE = 0.5, 0.2  # of the O-rings' priors
WIDTHS = np.geomspace(100, 1, 61)  # times as wide are the priors on the way to these
STEPS = 3000
RISK = {"marker": "D", "linestyle": "none", "color": "white", "markeredgecolor": "black", "markersize": 3.5}


def bernoulli(x, y, w, b):
    """Π hᵢ^yᵢ (1 − hᵢ)^(1 − yᵢ), the probability of the labels y (n,) given x (n,), for w and b of any shape."""
    h = [1 / (1 + np.exp(-(w * xi + b))) for xi in x]
    return np.prod([hi if yi else 1 - hi for hi, yi in zip(h, y, strict=True)], axis=0)


def gaussian(theta, variance):
    """The log density of a Gaussian prior of mean 0."""
    return -(theta**2) / (2 * variance) - np.log(2 * np.pi * variance) / 2


def laplace(theta, scale):
    """The log density of a Laplace prior of mean 0."""
    return -abs(theta) / scale - np.log(2 * scale)


def compute():
    with jax.enable_x64(True):
        return {"line": _pair(), **_o_rings()}


def _pair():
    x, y = ls.datasets.pair()
    n, w = len(x), np.linspace(-4, 14, 1801)
    penalties = {f"σ² = {v:g}": ls.l2(ls.strength_from(prior_variance=v, n=n)) for v in VARIANCES}
    penalties |= {f"c = {c:g}": ls.l1(ls.strength_from(laplace_scale=c, n=n)) for c in SCALES}
    neuron = ls.neuron(x, y, bias=False)
    line = ls.evaluate(neuron, ls.axes_plane(neuron.params, "w"), {"w": w}, penalties=penalties)
    found = ls.descend(neuron, ls.proximal_gradient(1.0), {"w": 0.0}, STEPS, penalties=penalties, record_every=STEPS)
    prior = [gaussian(w, v) for v in VARIANCES] + [laplace(w, c) for c in SCALES]
    return line.assign(
        log_likelihood=("w", np.log(bernoulli(x, y, w, 0.0))),
        log_prior=(("penalty", "w"), np.array(prior)),
        minimizer=("penalty", found.params["w"][:, -1]),
    )


def _o_rings():
    temperature, y = ls.datasets.o_rings()
    x = (temperature - temperature.mean()) / temperature.std()
    n, neuron = len(x), ls.neuron(x, y)
    axes = {"w": np.linspace(-4.5, 1, 221), "b": np.linspace(-3.5, 2, 221)}
    along = {
        "Gaussian": [ls.l2(ls.strength_from(prior_variance=(DEVIATION * k) ** 2, n=n)) for k in WIDTHS],
        "Laplace": [ls.l1(ls.strength_from(laplace_scale=SCALE * k, n=n)) for k in WIDTHS],
    }
    penalties = {"none": ls.none()} | {kind: priors[-1] for kind, priors in along.items()}
    surface = ls.evaluate(neuron, ls.axes_plane(neuron.params, "w", "b"), axes, penalties=penalties)
    w, b = np.meshgrid(*axes.values(), indexing="ij")
    prior = [0 * w, gaussian(w, DEVIATION**2) + gaussian(b, DEVIATION**2), laplace(w, SCALE) + laplace(b, SCALE)]
    walk, modes = ls.proximal_gradient(2.0), []
    for priors in along.values():
        sweep = {"none": ls.none()} | {f"width {i}": penalty for i, penalty in enumerate(priors)}
        found = ls.descend(neuron, walk, {"w": 0.0, "b": 0.0}, STEPS, penalties=sweep, record_every=STEPS)
        modes.append({name: leaf[:, -1] for name, leaf in found.params.items()})
    path = {name: (("prior", "width"), np.stack([mode[name] for mode in modes])) for name in ("w", "b")}
    return {
        "surface": surface.assign(
            log_likelihood=(("w", "b"), np.log(bernoulli(x, y, w, b))),
            log_prior=(("penalty", "w", "b"), np.stack(prior)),
        ),
        "path": xr.Dataset(path, {"prior": list(along), "width": np.r_[np.inf, WIDTHS]}),
    }


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.4)
    figure.get_layout_engine().set(wspace=0.06)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    top, bottom = upper.subplots(1, 3, sharex=True, sharey=True), lower.subplots(1, 3, sharex=True, sharey=True)
    line, surface, path = data["line"], data["surface"], data["path"]
    top[0].plot(line.w, relative(line.log_likelihood), color=style.BLACK)
    for ax, priors in zip(top[1:], (slice(0, 3), slice(3, 6)), strict=True):
        _draw_line(ax, line.isel(penalty=priors))
    top[0].set(ylabel="relative to its greatest value")
    for ax, letter, heading in zip(
        top, "abc", ("the pair: likelihood", "Gaussian priors", "Laplace priors"), strict=True
    ):
        open_frame(ax)
        ax.set(xlabel="$w$", xlim=(-4, 14), ylim=(0, 1.55), yticks=[0, 0.5, 1])
        head(ax, letter, heading)
    for ax, label in zip(bottom, surface.penalty.values, strict=True):
        mesh = _draw_surface(ax, surface.sel(penalty=label))
    for ax, kind in zip(bottom[1:], path.prior.values, strict=True):
        ax.plot(*(path[name].sel(prior=kind) for name in "wb"), color=style.VERMILLION, path_effects=style.halo(1.1))
        ax.plot(*(path[name].sel(prior=kind)[-1] for name in "wb"), **STAR)
    headings = ("O-rings: likelihood", "Gaussian posterior", "Laplace posterior")
    for ax, letter, heading in zip(bottom, "def", headings, strict=True):
        ax.plot(*(path[name][0, 0] for name in "wb"), **RISK)
        ax.set(xlabel="$w$")
        head(ax, letter, heading)
    bottom[0].set_ylabel("$b$")
    lower.colorbar(mesh, ax=list(bottom), label="−log of the relative density", extend="max", aspect=22, pad=0.02)
    _legend(lower)
    return settle(figure)


def relative(log_density):
    """The density divided by its greatest value."""
    return np.exp(log_density - log_density.max())


def _draw_line(ax, line):
    for i, label in enumerate(line.penalty.values):
        one = line.isel(penalty=i)
        color, posterior = style.penalty_color(float(one.strength)), relative(one.log_likelihood + one.log_prior)
        ax.plot(line.w, relative(one.log_prior), color=color, linestyle="--", linewidth=0.7)
        look = {"color": color, "marker": "so^"[i], "markevery": (20 * i, 60), "markersize": 2.8}
        ax.plot(line.w, posterior, label=f"{_italic(label)},  $λ$ = {float(one.strength):g}", **look)
        ax.plot(one.minimizer, 1, clip_on=False, zorder=5, **STAR)
    ax.legend(loc="upper right", handlelength=1.4)


def _italic(label):
    return label.replace("σ²", r"$\sigma^2$").replace("c", "$c$")


def _draw_surface(ax, surface):
    log_posterior = surface.log_likelihood + surface.log_prior
    mesh = ax.pcolormesh(surface.w, surface.b, (log_posterior.max() - log_posterior).T, cmap=style.SEQUENTIAL,
                         norm=Normalize(0, 10), shading="gouraud", rasterized=True)  # fmt: skip
    for density, levels, colors, dashes in (
        (relative(log_posterior), [0.001, 0.01, 0.1, 0.5], ["#222222", "#222222", "#F2F2F2", "#F2F2F2"], "solid"),
        (relative(surface.log_prior), [0.1, 0.5], style.ORANGE, "dashed"),
    ):
        if float(density.min()) < 1:
            ax.contour(surface.w, surface.b, density.T, levels=levels, colors=colors, linewidths=0.6, linestyles=dashes)
    ax.set_box_aspect(1)
    return mesh


def _legend(figure):
    figure.legend(
        handles=[
            Line2D([], [], label="risk's minimizer", **RISK),
            Line2D([], [], label="objective's minimizer", **STAR),
            Line2D([], [], color=style.VERMILLION, label="its path as the prior narrows"),
            Line2D([], [], color=style.ORANGE, linestyle="--", linewidth=0.7, label="prior"),
        ],
        loc="outside lower center",
        ncols=4,
    )


def claims(data):
    line, surface, modes = data["line"], data["surface"], data["path"].isel(width=-1)
    gaussians, laplaces = line.isel(penalty=slice(0, 3)), line.isel(penalty=slice(3, 6))
    posterior = {name: data[name].log_likelihood + data[name].log_prior for name in ("line", "surface")}
    mean = np.average(line.w, weights=relative(posterior["line"].sel(penalty="c = 0.5")))
    strengths = np.array([0.01, 0.1, 1])
    return {
        "The loss of an example is −log of the probability that a Bernoulli variable with parameter h(x) gives to its "
        "label.": _constant(line.log_likelihood + 2 * line.risk, at=0)
        and _constant(surface.log_likelihood + 23 * surface.risk, at=0),
        "n times the objective is −log posterior up to a constant, with l2(1/(2nσ²)) for the Gaussian prior and "
        "l1(1/(nc)) for the Laplace prior.": _constant(posterior["line"] + 2 * line.objective)
        and _constant(posterior["surface"] + 23 * surface.objective)
        and np.allclose(gaussians.strength, 1 / (4 * np.array(VARIANCES)))
        and np.allclose(laplaces.strength, 1 / (2 * np.array(SCALES))),
        "The mode of every posterior is the minimizer of its penalized objective.": _modes_are_minimizers(
            posterior, line, data["path"]
        ),
        "The pair's likelihood has no mode: it grows with w without end.": bool(
            (line.log_likelihood.diff("w") > 0).all() and (line.log_likelihood < 0).all()
        ),
        "A narrower prior is a larger λ, and its mode is nearer to 0.": all(
            bool((part.strength.diff("penalty") > 0).all() and (part.minimizer.diff("penalty") < 0).all())
            for part in (gaussians, laplaces)
        )
        and bool((np.hypot(data["path"].w, data["path"].b).diff("width") < 0).all()),
        "For the pair σ² = 25, 2.5 and 0.25 are λ = 0.01, 0.1 and 1, with modes 2.818, 1.178 and 0.222.": np.allclose(
            gaussians.strength, strengths
        )
        and np.allclose(gaussians.minimizer, [2.818, 1.178, 0.222], atol=5e-4),
        "Laplace's c = 50, 5 and 0.5 are the same λ, with modes 4.595, 2.197 and exactly 0.": np.allclose(
            laplaces.strength, strengths
        )
        and np.allclose(laplaces.minimizer, [4.595, 2.197, 0], atol=5e-4)
        and bool(laplaces.minimizer[-1] == 0),
        "The mode is not the mean: under c = 0.5 the posterior's mean is positive.": bool(
            mean > 0.05 and line.minimizer.sel(penalty="c = 0.5") == 0
        ),
        "For the O-rings the Laplace posterior's mode lies on b = 0 exactly, the Gaussian's does not.": bool(
            modes.b.sel(prior="Laplace") == 0 and abs(modes.w).min() > 0.1 and abs(modes.b.sel(prior="Gaussian")) > 0.1
        ),
    }


def _constant(values, at=None):
    """Whether the values do not depend on w and b; and, if asked, whether they are `at`."""
    over = [name for name in ("w", "b") if name in values.dims]
    known = at is None or bool((abs(values - at) < 1e-10).all())
    return known and bool((values.max(over) - values.min(over) < 1e-10).all())


def _modes_are_minimizers(posterior, line, path):
    """Whether each posterior on its grid is greatest at the minimizer that the optimizer found, to the spacing."""
    spacing = {name: float(values.w[1] - values.w[0]) for name, values in posterior.items()}
    on_line = posterior["line"].idxmax("w") - line.minimizer
    found = np.concatenate([[path.isel(width=0, prior=0)[name], *path.isel(width=-1)[name]] for name in ("w", "b")])
    grid = [posterior["surface"].max(other).idxmax(name).values for name, other in (("w", "b"), ("b", "w"))]
    on_grid = bool(np.all(np.abs(np.concatenate(grid) - found) < spacing["surface"]))
    return on_grid and bool((abs(on_line) < spacing["line"]).all())
