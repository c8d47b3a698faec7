"""l1 makes weights exactly 0, l2 makes them small: would cutting l2's small weights not do the same?

(a–e) The breast-cancer data, 569 cells with 30 features, standardized: a sigmoid neuron, cross-entropy. (f) The
diabetes data, 442 patients with 10 features, standardized, as is the target: half squared error, identity. The bias is
free; float64. (a, b) The minimizers of R + λ‖w‖₁ and of R + λ‖w‖², by λ; in color the weights of six features that
measure the size of the cell; the line marks the λ chosen in (c). (c) The risk on what is left out, averaged over ten
random blocks, with a band of one standard error; stars are least. (d) The sizes of the weights at the chosen λ, in
order; circles are exactly 0. (e, f) The risk on what is left out by how many features are kept, in the same ten blocks.
l1: at the least λ, from the chosen one on, that leaves no more. l2, cut: the largest weights at the chosen λ, the
others set to 0. Refitted: with the features kept, all weights are fitted again, under l2 with its chosen λ.

PLACEHOLDER.

Source: Tibshirani (1996), the lasso; features kept and fitted again in Meinshausen (2007), the relaxed lasso. Data from
Street, Wolberg & Mangasarian (1993) and Efron, Hastie, Johnstone & Tibshirani (2004), as scikit-learn has them.
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

import landscape as ls
from landscape.plot import style

KINDS = {"l1": ls.l1(1.0, scope="weights"), "l2": ls.l2(1.0, scope="weights")}
COLORS = {"l1": style.BLUE, "l2": style.ORANGE}
STRENGTHS = np.geomspace(2e-4, 1, 51)
BLOCKS = 10
KEPT = {"cancer": (1, 2, 3, 4, 5, 6, 8, 12, 20, 30), "diabetes": (1, 2, 3, 4, 5, 6, 7, 8, 10)}
SIZE = [f"{which} {what}" for which in ("mean", "worst") for what in ("radius", "perimeter", "area")]
METHODS = ("l1", "l1, refitted", "l2, cut", "l2, cut and refitted")


def compute():
    data = {}
    with jax.enable_x64(True):
        for name in KEPT:
            x, y, names, options = standardized(name)
            blocks = np.random.default_rng(0).permutation(len(y)) % BLOCKS
            paths = _paths(ls.neuron(x, y, **options), blocks)
            best = dict(zip(KINDS, paths.best.values, strict=True))
            data |= {name: paths, f"{name} kept": _kept(x, y, options, blocks, best, KEPT[name])}
            if name == "cancer":
                size = np.isin(names, SIZE)
                correlation = np.corrcoef(x[:, size].T).min()
                data[name] = paths.assign_coords(size=("weight", size)).assign(correlation=correlation)
    return data


def standardized(name):
    """Features (n, d) and labels (n,) of a data set, the features' names, and what to pass to `ls.neuron`."""
    from sklearn import datasets

    bunch = {"cancer": datasets.load_breast_cancer, "diabetes": datasets.load_diabetes}[name]()
    x, y, options = (bunch.data - bunch.data.mean(0)) / bunch.data.std(0), bunch.target.astype(float), {}
    if name == "diabetes":
        y, options = (y - y.mean()) / y.std(), {"loss": "half_squared_error", "activation": "identity"}
    return x, y, np.array(bunch.feature_names), options


def _paths(neuron, blocks):
    """For both penalties: the weights by λ, the risk on what is left out, and the λ at which it is least."""
    found = []
    for penalty in KINDS.values():
        path = ls.penalty_path(neuron, STRENGTHS, penalty=penalty)
        chosen = ls.choose_strength(neuron, STRENGTHS, penalty=penalty, blocks=blocks)
        weights = path.params["w"]
        columns = {
            "w": (("strength", "weight"), weights),
            "zeros": ("strength", (weights == 0).sum(axis=1).astype(float)),
            "strength_max": path.strength_max,
            "failed": float((~path.data.converged).sum() + (~chosen.converged).sum()),
        }
        found.append(chosen[["held_out_risk", "mean", "standard_error", "best"]].assign(columns))
    return xr.concat(found, xr.Variable("kind", list(KINDS)))


def _kept(x, y, options, blocks, best, counts):
    """The risk on each block of what is fitted to the others, by the number of features kept."""
    risks, neuron = np.empty((len(METHODS), BLOCKS, len(counts))), ls.neuron(x, y, **options)
    for block in range(BLOCKS):
        out = blocks == block
        rest, held = ls.neuron(x[~out], y[~out], **options), ls.neuron(x[out], y[out], **options)
        strengths = np.geomspace(best["l1"], 1, 81)  # so fine that most features leave one by one
        l1 = ls.penalty_path(rest, strengths, penalty=KINDS["l1"], held_out=(x[out], y[out]))
        l2 = ls.penalty_path(rest, [best["l2"]], penalty=KINDS["l2"]).params
        at = [int((l1.data.nonzero.values <= count).argmax()) for count in counts]
        few = l1.params["w"][at] != 0
        many = np.argsort(np.argsort(-abs(l2["w"][0]))) < np.array(counts)[:, None]
        risks[0, block] = l1.data.held_out_risk[at]
        risks[2, block] = jax.vmap(held.risk)({"w": l2["w"] * many, "b": np.repeat(l2["b"], len(counts))})
        for row, kept in ((1, few), (3, many)):
            different, which = np.unique(kept, axis=0, return_inverse=True)
            risks[row, block] = np.array([_refitted(neuron, one, out, best["l2"]) for one in different])[which]
    return xr.Dataset({"risk": (("fit", "block", "count"), risks)}, {"fit": list(METHODS), "count": list(counts)})


def _refitted(neuron, kept, out, strength):
    """The risk on the examples left out of what is fitted to the others under l2, with the features kept alone.

    Slopes of the risk are below 10, so under an l1 term of that strength the other weights are exactly 0.
    """
    penalty = ls.l2(strength, scope="weights")
    if not kept.all():
        penalty += ls.l1(10.0, scope={"w": ~kept, "b": False})
    found = ls.choose_strength(neuron, [penalty.strength], penalty=penalty, blocks=out)
    return found.held_out_risk.sel(block=True).item()


# ---- the picture


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.5)
    figure.get_layout_engine().set(wspace=0.06, hspace=0.05)
    axes, cancer = figure.subplots(2, 3), data["cancer"]
    for ax, letter, kind in zip(axes[0], "ab", KINDS, strict=False):
        _draw_path(ax, cancer.sel(kind=kind), kind)
        head(ax, letter, f"weights under {kind}")
    _draw_held_out(axes[0, 2], cancer)
    _draw_sizes(axes[1, 0], cancer)
    for ax, letter, name in zip(axes[1, 1:], "ef", KEPT, strict=True):
        _draw_kept(ax, data[f"{name} kept"])
        head(ax, letter, {"cancer": "features kept: cancer", "diabetes": "features kept: diabetes"}[name])
    handles = list(axes[1, 1].get_legend_handles_labels()[0])
    handles.insert(2, Line2D([], [], color=COLORS["l2"], marker="o", label="l2"))
    handles.append(Line2D([], [], label="least risk", **STAR))
    figure.legend(handles=handles, handlelength=2.6, loc="outside lower center", ncols=6)
    return settle(figure)


def _draw_path(ax, path, kind):
    for size, look in ((False, {"color": "#B0B0B0", "linewidth": 0.6}), (True, {"color": COLORS[kind]})):
        ax.semilogx(path.strength, path.w.isel(weight=path["size"].values == size), **look)
    ax.axvline(float(path.best), color=style.INK, linestyle=":", linewidth=0.8)
    open_frame(ax)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set(xlabel="λ", ylabel="weight", xlim=(STRENGTHS[0], STRENGTHS[-1]))


def _draw_held_out(ax, paths):
    for kind, color in COLORS.items():
        one = paths.sel(kind=kind)
        ax.fill_between(
            one.strength, one["mean"] - one.standard_error, one["mean"] + one.standard_error,
            color=color, alpha=0.18, linewidth=0,
        )  # fmt: skip
        ax.loglog(one.strength, one["mean"], color=color)
        ax.plot(one.best, one["mean"].sel(strength=one.best), zorder=5, **STAR)
    open_frame(ax)
    ax.set(xlabel="λ", ylabel="risk on what is left out", xlim=(STRENGTHS[0], STRENGTHS[-1]))
    _plain(ax.yaxis, [0.05, 0.1, 0.2, 0.5])
    head(ax, "c", "λ by held-out risk")


def _draw_sizes(ax, paths):
    for kind, color in COLORS.items():
        sizes = np.sort(abs(chosen(paths, kind)))[::-1]
        rank, some = np.arange(1, len(sizes) + 1), sizes > 0
        ax.semilogy(rank[some], sizes[some], color=color, marker="o", markersize=2.6, linewidth=0.7)
        ax.plot(rank[~some], np.full((~some).sum(), FLOOR), color=color, marker="o", markersize=2.6,
                markerfacecolor="white", markeredgewidth=0.7, linestyle="none")  # fmt: skip
    open_frame(ax)
    ax.set(xlabel="rank", ylabel="|weight|", xlim=(0, 31), ylim=(FLOOR / 1.8, 5))
    ax.set_yticks([FLOOR, 0.01, 0.1, 1], ["0", "0.01", "0.1", "1"])
    ax.minorticks_off()
    head(ax, "d", "their sizes")


FLOOR = 1e-3  # where 0 is drawn on the logarithmic axis of (d)


def _draw_kept(ax, kept):
    for method, marker in zip(METHODS, "oosD", strict=True):
        color, again = COLORS[method[:2]], "refitted" in method
        ax.loglog(kept["count"], kept.risk.sel(fit=method).mean("block"), color=color, label=method, marker=marker,
                  markersize=2.6, linewidth=0.9, linestyle="--" if again else "-")  # fmt: skip
    open_frame(ax)
    ax.set(xlabel="number of features kept", ylabel="risk on what is left out")
    _plain(ax.xaxis, [1, 2, 3, 5, 10, 20, 30] if kept["count"][-1] == 30 else [1, 2, 3, 5, 10])
    _plain(ax.yaxis, [0.1, 0.2, 0.5] if kept["count"][-1] == 30 else [0.25, 0.3, 0.4, 0.5])


def _plain(axis, ticks):
    """These ticks on a logarithmic axis, as plain numbers."""
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def chosen(paths, kind):
    """The weights at the chosen λ."""
    return paths.w.sel(kind=kind, strength=float(paths.best.sel(kind=kind))).values


# ---- the claims


def claims(data):
    return {
        "PLACEHOLDER.": True,
    }
