"""Exact zeros under l1, small weights under l2, and whether cutting the small ones does the same.

(a–e) The breast-cancer data: 569 cells, 30 features, standardized; a sigmoid neuron, cross-entropy. (f) The diabetes
data: 442 patients, 10 features, all standardized; a linear neuron, half squared error. The bias has no penalty;
float64. (a, b) The minimizers of R + λ‖w‖₁ and of R + λ‖w‖² by λ, in color the weights of six features that measure a
cell's size: radius, perimeter and area, mean and worst. The line marks the λ chosen in (c). (c) The risk on what is
left out, averaged over ten random blocks, each left out once; bands are one standard error. (d) The sizes of the
weights at the chosen λ, in order; circles are exactly 0. (e, f) The risk on what is left out by how many features are
kept: in (e) the same ten blocks, in (f) four divisions into five blocks, the thin lines one each. l1: at the least λ,
from the chosen one on, that leaves no more. l2, cut: the largest weights at the chosen λ, the others set to 0.
Refitted: the weights of the features kept are fitted again, under l2 with its chosen λ.

From λ = 0.384 on l1 leaves no weight, and at the chosen λ = 0.0018 it has 14 of 30 at exactly 0; under l2 none is 0 at
any λ. The six features of size have correlations above 0.94: l1 drops three of them, l2 gives all six weights from
−0.87 to −0.40. The least risks, 0.0761 under l1 and 0.0747 under l2, differ by less than one standard error of the
difference. The sizes of l2's weights have no gap to cut at: down to the 27th each is more than three quarters of the
one before. With 2, 3 and 4 features of the cancer data kept and refitted, cutting does worse than l1, 0.337, 0.168 and
0.132 against 0.139, 0.123 and 0.099, each by more than two standard errors of the difference. From 12 on the two differ
by less than 0.01. Not refitted, cutting does worse with 4 features by more than two standard errors, and l1 with 1,
whose weight it shrinks. On the diabetes data the chosen λ of l2 is anything from 0.0007 to 0.047: in the three
divisions where it is above 0.03 both keep the same two features in every block, and in the one where it is below 0.002
cutting keeps two that are worse by more than 0.05. From 5 features on the two, refitted, differ by less than 0.01 in
all divisions. So cutting can take l1's place where many features are kept, but not reliably where few are.

Source: Tibshirani (1996), the lasso; refitting as in the relaxed lasso of Meinshausen (2007). Data: Street, Wolberg &
Mangasarian (1993) and Efron, Hastie, Johnstone & Tibshirani (2004), as scikit-learn has them.
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
KEPT = {"cancer": (1, 2, 3, 4, 5, 6, 8, 12, 20, 30), "diabetes": (1, 2, 3, 4, 5, 6, 8, 10)}
BLOCKS, DIVISIONS = {"cancer": 10, "diabetes": 5}, {"cancer": 1, "diabetes": 4}
QUICK = {
    "STRENGTHS": np.geomspace(2e-4, 1, 21),
    "BLOCKS": {"cancer": 3, "diabetes": 3},
    "DIVISIONS": {"cancer": 1, "diabetes": 1},
}
SIZE = [f"{which} {what}" for which in ("mean", "worst") for what in ("radius", "perimeter", "area")]
METHODS = ("l1", "l1, refitted", "l2, cut", "l2, cut and refitted")


def compute():
    data = {}
    with jax.enable_x64(True):
        for name in KEPT:
            x, y, names, options = standardized(name)
            kept = []
            for seed in range(DIVISIONS[name]):
                blocks = np.random.default_rng(seed).permutation(len(y)) % BLOCKS[name]
                paths = _paths(ls.neuron(x, y, **options), blocks)
                kept.append(_kept(x, y, options, blocks, paths.best, KEPT[name]))
            data[f"{name} kept"] = xr.concat(kept, "division")
            if name == "cancer":
                size = np.isin(names, SIZE)
                data[name] = paths.assign(correlation=np.corrcoef(x[:, size].T).min()).assign_coords(
                    size=("weight", size)
                )
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
    l1_best, l2_best = best.values
    risks, neuron = np.empty((len(METHODS), blocks.max() + 1, len(counts))), ls.neuron(x, y, **options)
    for block in range(risks.shape[1]):
        out = blocks == block
        rest, held = ls.neuron(x[~out], y[~out], **options), ls.neuron(x[out], y[out], **options)
        strengths = np.geomspace(l1_best, 1, 81)  # so fine that most features leave one by one
        l1 = ls.penalty_path(rest, strengths, penalty=KINDS["l1"], held_out=(x[out], y[out]))
        l2 = ls.penalty_path(rest, [l2_best], penalty=KINDS["l2"]).params
        at = [int((l1.data.nonzero.values <= count).argmax()) for count in counts]
        few = l1.params["w"][at] != 0
        many = np.argsort(np.argsort(-abs(l2["w"][0]))) < np.array(counts)[:, None]
        risks[0, block] = l1.data.held_out_risk[at]
        risks[2, block] = jax.vmap(held.risk)({"w": l2["w"] * many, "b": np.repeat(l2["b"], len(counts))})
        for row, kept in ((1, few), (3, many)):
            different, which = np.unique(kept, axis=0, return_inverse=True)
            risks[row, block] = np.array([_refitted(neuron, one, out, l2_best) for one in different])[which]
    values = {"risk": (("fit", "block", "count"), risks), "best": best}
    return xr.Dataset(values, {"fit": list(METHODS), "count": list(counts)})


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
    handles.insert(2, Line2D([], [], color=COLORS["l2"], marker="o", markersize=2.6, linewidth=0.9, label="l2"))
    handles.append(Line2D([], [], label="least risk", **STAR))
    figure.legend(handles=handles, handlelength=2.6, loc="outside lower center", ncols=6)
    return settle(figure)


def _draw_path(ax, path, kind):
    for size, look in ((False, {"color": "#B0B0B0", "linewidth": 0.6}), (True, {"color": COLORS[kind]})):
        ax.semilogx(path.strength, path.w.isel(weight=path["size"].values == size), **look)
    ax.axvline(float(path.best), color=style.INK, linestyle=":", linewidth=0.8)
    open_frame(ax)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set(xlabel="$λ$", ylabel="weight", xlim=(STRENGTHS[0], STRENGTHS[-1]))


def _draw_held_out(ax, paths):
    for kind, color in COLORS.items():
        one = paths.sel(kind=kind)
        ax.fill_between(
            one.strength, one["mean"] - one.standard_error, one["mean"] + one.standard_error,
            color=color, alpha=0.18, linewidth=0,
        )  # fmt: skip
        ax.loglog(one.strength, one["mean"], color=color)
        ax.plot(one.best, at_best(one)["mean"], zorder=5, **STAR)
    open_frame(ax)
    ax.set(xlabel="$λ$", ylabel="risk on what is left out", xlim=(STRENGTHS[0], STRENGTHS[-1]))
    _plain(ax.yaxis, [0.05, 0.1, 0.2, 0.5])
    head(ax, "c", "$λ$ by held-out risk")


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
    mean = kept.risk.mean("block")
    if kept.sizes["division"] > 1:
        thin = {"linewidth": 0.5, "linestyle": "--", "alpha": 0.7}
        ax.plot(kept["count"], mean.sel(fit=METHODS[-1]).transpose("count", ...), color=COLORS["l2"], **thin)
    for method, marker in zip(METHODS, "oosD", strict=True):
        look = {"color": COLORS[method[:2]], "linestyle": "--" if "refitted" in method else "-", "marker": marker}
        ax.loglog(
            kept["count"], mean.sel(fit=method).mean("division"), label=method, markersize=2.6, linewidth=0.9, **look
        )
    open_frame(ax)
    ax.set(xlabel="number of features kept", ylabel="risk on what is left out")
    cancer = kept["count"][-1] == 30
    _plain(ax.xaxis, [1, 2, 3, 5, 10, 20, 30] if cancer else [1, 2, 3, 5, 10])
    _plain(ax.yaxis, [0.1, 0.2, 0.5] if cancer else [0.25, 0.3, 0.4, 0.5])


def _plain(axis, ticks):
    """These ticks on a logarithmic axis, as plain numbers."""
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def chosen(paths, kind):
    """The weights at the chosen λ."""
    return at_best(paths.sel(kind=kind)).w.values


def at_best(path):
    """What a path has at the chosen λ."""
    return path.sel(strength=float(path.best), method="nearest")


# ---- the claims


def claims(data):
    cancer, kept, other = data["cancer"], data["cancer kept"].isel(division=0), data["diabetes kept"]
    l1, l2 = (cancer.sel(kind=kind) for kind in KINDS)
    held_out = [at_best(one).held_out_risk for one in (l1, l2)]
    ratios = np.divide(*(np.sort(abs(chosen(cancer, "l2")))[::-1][part] for part in (slice(1, 27), slice(0, 26))))
    worse, error = difference(kept, "l2, cut and refitted", "l1, refitted")
    cut, cut_error = difference(kept, "l2, cut", "l1")
    few = kept.risk.mean("block").sel(count=[2, 3, 4])
    by_division = difference(other, "l2, cut and refitted", "l1, refitted")[0]
    return {
        "From λ = 0.384 on l1 leaves no weight, and at the chosen λ = 0.0018 it has 14 of 30 at exactly 0; under l2 "
        "none is 0 at any λ.": bool(
            abs(l1.strength_max - 0.384) < 5e-4
            and np.array_equal((l1.w == 0).all("weight"), l1.strength >= l1.strength_max)
            and abs(l1.best - 0.0018) < 5e-5
            and (chosen(cancer, "l1") == 0).sum() == 14
            and (l2.w != 0).all()
            and (cancer.failed == 0).all()
        ),
        "The six features of size have correlations above 0.94: l1 drops three of them, l2 gives all six weights from "
        "−0.87 to −0.40.": bool(
            cancer.correlation.min() > 0.94
            and (chosen(cancer, "l1")[cancer["size"].values] == 0).sum() == 3
            and np.allclose(np.sort(chosen(cancer, "l2")[cancer["size"].values])[[0, -1]], [-0.87, -0.40], atol=5e-3)
        ),
        "The least risks, 0.0761 under l1 and 0.0747 under l2, differ by less than one standard error of the "
        "difference.": bool(
            np.allclose([one["mean"].min() for one in (l1, l2)], [0.0761, 0.0747], rtol=0, atol=5e-5)
            and abs((held_out[0] - held_out[1]).mean()) < spread(held_out[0] - held_out[1])
        ),
        "The sizes of l2's weights have no gap to cut at: down to the 27th each is more than three quarters of the one "
        "before.": bool((ratios > 0.75).all()),
        "With 2, 3 and 4 features of the cancer data kept and refitted, cutting does worse than l1, 0.337, 0.168 and "
        "0.132 against 0.139, 0.123 and 0.099, each by more than two standard errors of the difference.": bool(
            np.allclose(few.sel(fit="l2, cut and refitted"), [0.337, 0.168, 0.132], rtol=0, atol=5e-4)
            and np.allclose(few.sel(fit="l1, refitted"), [0.139, 0.123, 0.099], rtol=0, atol=5e-4)
            and (worse > 2 * error).sel(count=[2, 3, 4]).all()
        ),
        "From 12 on the two differ by less than 0.01.": bool((abs(worse).sel(count=slice(12, None)) < 0.01).all()),
        "Not refitted, cutting does worse with 4 features by more than two standard errors, and l1 with 1, whose "
        "weight it shrinks.": bool((cut > 2 * cut_error).sel(count=4) and (cut < -2 * cut_error).sel(count=1)),
        "On the diabetes data the chosen λ of l2 is anything from 0.0007 to 0.047: in the three divisions where it is "
        "above 0.03 both keep the same two features in every block, and in the one where it is below 0.002 cutting "
        "keeps two that are worse by more than 0.05.": _depends(other),
        "From 5 features on the two, refitted, differ by less than 0.01 in all divisions.": bool(
            (abs(by_division).sel(count=slice(5, None)) < 0.01).all()
        ),
        "So cutting can take l1's place where many features are kept, but not reliably where few are.": bool(
            (worse > 2 * error).sel(count=[2, 3, 4]).all()
            and (by_division.sel(count=2) > 0.05).any()
            and (abs(worse).sel(count=slice(12, None)) < 0.01).all()
            and (abs(by_division).sel(count=slice(5, None)) < 0.01).all()
        ),
    }


def difference(kept, fit, other):
    """By how much one fit's risk exceeds another's in the same blocks, and the standard error of that."""
    each = kept.risk.sel(fit=fit) - kept.risk.sel(fit=other)
    return each.mean("block"), spread(each)


def spread(values):
    """The standard error of the mean over blocks."""
    return values.std("block", ddof=1) / np.sqrt(values.sizes["block"])


def _depends(kept):
    """Whether it depends on l2's chosen λ which two features have the largest weights, as the caption says."""
    best = kept.best.sel(kind="l2").values
    risk = kept.risk.sel(count=2)
    apart = (risk.sel(fit="l2, cut and refitted") - risk.sel(fit="l1, refitted")).transpose("division", "block").values
    large, small = best > 0.03, best < 0.002
    return bool(
        large.sum() == 3
        and small.sum() == 1
        and np.allclose([best.min(), best.max()], [0.0007, 0.047], rtol=0, atol=[5e-5, 5e-4])
        and (apart[large] == 0).all()
        and (apart[small].mean(axis=1) > 0.05).all()
    )
