"""Saddles on the way down, and poor minima that mini-batches leave.

(a), (b) A network of 16, 6 and 10 units, tanh and cross-entropy, on 300 of scikit-learn's digits, averaged to 4×4 gray
values: 172 params, six starts (Glorot's, doubled), 2000 steps of gradient descent on all images, learning rate 0.5. At
12 steps of each run the share of the Hessian's eigenvalues that are negative, all computed in float64: (a) against the
risk, a line a run, from right to left; (b) with the size of the most negative eigenvalue beside the largest, against
the step, means over the runs. (c), (d) A network of 1, 3 and 1 units, tanh and half squared error with l2 of strength
0.001, on 40 points of sin 2πx. (c) The ends of 100 starts, by Adam and then L-BFGS, in groups of ends that differ only
in the order and signs of their hidden units: the objective against the largest eigenvalue of the Hessian; all are
minima. (d) From one end at each of the two poor minima: in how many of 20 repeats, with other minibatches, it is left
for a lower objective, by more than 0.002, in 5000 steps of SGD, learning rate 0.25, by the size of the minibatches. The
runs settle by 6000 steps of Adam on all points.

Along every run the share of negative eigenvalues falls with the risk: from over 30 % at the start to less than 13 % at
the end, with a rank correlation above 0.9 in each run. What is negative gets small faster still: at the start the most
negative eigenvalue is over a tenth of the largest one in the mean, at the end less than a hundredth. No run has come to
a minimum: each end still has negative eigenvalues. In (c) more than 95 of the 100 starts converge, to three solutions
and no more, and all three are minima: no end has a negative eigenvalue. About three quarters of the starts find the
best one. Of the two poor ones the lower is the sharper: its largest eigenvalue is over three times that of the other.
Full batches leave neither. Minibatches of one example leave the lower, sharper one in every repeat, for the best, to
within 0.001; those of 4 examples in some repeats, and those of 16 in none. From the higher, flatter one no minibatches
lead away.

Source: Dauphin et al. (2014), section 3, arXiv:1406.2572, and Pascanu et al. (2014), arXiv:1405.4604, on the index and
the error of critical points, which points along a run only come near; LeCun, Bottou, Orr & Müller (1998), Efficient
BackProp, section 4.1.
"""

import jax
import numpy as np
import optax
import xarray as xr
from _digits import digits
from _page import STAR, head, open_frame, settle

import landscape as ls
from landscape.plot import style

IMAGES = 300
AT = [0, 1, 2, 3, 4, 6, 8, 12, 16, 20, 28, 40]  # of the recorded steps, every 50th
MARGIN, SIZES = 2e-3, (1, 4, 16)
RUNS, STARTS, REPEATS = 6, 100, 20
LEAVING, SETTLING = 5000, 6000  # steps of SGD, and of Adam after it
QUICK = {
    "IMAGES": 100,
    "RUNS": 2,
    "STARTS": 30,
    "SIZES": (1, 16),
    "REPEATS": 2,
    "LEAVING": 1500,
    "SETTLING": 500,
}
SQUARE = style.kind_style("saddle")
ADAM, SETTLE, SGD = optax.adam(0.02), optax.adam(0.01), optax.sgd(0.25)


def compute():
    return {"path": _path(), **_minima()}


def _path():
    images, labels = (part[:IMAGES] for part in digits()["train"])
    small = images.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16)
    network = ls.mlp((16, 6, 10), output="softmax", loss="cross_entropy")
    objective = network.objective(small - small.mean(axis=0), labels)
    run = ls.descend(objective, optax.sgd(0.5), _starts(network, RUNS), steps=2000, record_every=50)
    some = ls.Trajectory(jax.tree.map(lambda leaf: leaf[:, AT], run.params), run.data.isel(step=AT))
    return ls.saddle_index(objective, some)


def _starts(network, count):
    keys = jax.random.split(jax.random.key(0), count)
    return jax.jit(jax.vmap(lambda key: network.init(key, scale=2.0)))(keys)


def _minima():
    x = np.linspace(-1, 1, 40, dtype=np.float32)
    network = ls.mlp((1, 3, 1))
    objective = network.objective(x, np.sin(2 * np.pi * x), penalty=ls.l2(1e-3))
    run = ls.descend(objective, ADAM, _starts(network, STARTS), steps=2000, record_every=2000)
    polished = ls.descend(objective, optax.lbfgs(), _last(run), steps=200, record_every=200)
    ends, converged = _last(polished), polished.data.gradient_norm.values[:, -1] < 1e-5
    symmetry = ls.symmetry(network.apply, objective.params, x)
    found = ls.saddle_index(objective, ends).rename(point="start")
    found = found.assign(
        group=("start", ls.group_minima(symmetry, ends, tolerance=1e-2, converged=converged)),
        converged=("start", converged),
    )
    groups = [np.flatnonzero(found.group == group) for group in range(int(found.group.max()) + 1)]
    firsts = sorted((int(group[0]) for group in groups), key=lambda i: float(found.objective[i]))
    chosen = jax.tree.map(lambda leaf: leaf[firsts[1:]], ends)  # the best is left out
    how = {"key": jax.random.key(1), "steps": LEAVING, "settle_steps": SETTLING, "settle": SETTLE, "margin": MARGIN}
    left = [ls.escapes(objective, chosen, SGD, batch_size=size, repeats=REPEATS, **how) for size in SIZES]
    return {"ends": found, "left": xr.concat(left, xr.Variable("batch_size", list(SIZES)), combine_attrs="drop")}


def _last(run):
    return jax.tree.map(lambda leaf: leaf[:, -1], run.params)


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.2)
    figure.get_layout_engine().set(wspace=0.08, hspace=0.08)
    axes = figure.subplots(2, 2).ravel()
    _draw_shares(axes[0], data["path"])
    _draw_steps(axes[1], data["path"])
    _draw_ends(axes[2], data["ends"])
    _draw_left(axes[3], data["left"])
    runs, starts = data["path"].sizes["start"], data["ends"].sizes["start"]
    headings = (f"{runs} runs", "their means", f"{starts} starts of a small network", "escapes from the poor minima")
    for ax, letter, heading in zip(axes, "abcd", headings, strict=True):
        open_frame(ax)
        head(ax, letter, heading)
    return settle(figure)


def _draw_shares(ax, path):
    for start in path.start.values:
        one = path.sel(start=start)
        ax.plot(one.risk, one.index_share, color="#9A9A9A", linewidth=0.6, marker=".", markersize=3)
    ax.plot(path.risk[:, 0], path.index_share[:, 0], "o", markersize=3.5, color=style.BLUE, label="start")
    ax.plot(path.risk[:, -1], path.index_share[:, -1], "s", markersize=3.5, color=style.VERMILLION, label="end")
    ax.set(xlabel="risk", ylabel="share of negative eigenvalues", xlim=(0, None), ylim=(0, 0.45))
    ax.legend(loc="lower right", handlelength=1)


def _draw_steps(ax, path):
    ax.plot(path.step, path.index_share.mean("start"), marker="o", color=style.BLACK, label="share that is negative")
    depth = (-path.hessian_min / path.hessian_max).mean("start")
    ax.plot(path.step, depth, marker="s", color=style.BLUE, linestyle="--", label=r"$-λ_\mathrm{min}/λ_\mathrm{max}$")
    ax.set_xscale("symlog", linthresh=50)
    ax.set_xticks((0, 50, 200, 1000, 2000), ("0", "50", "200", "1000", "2000"))
    ax.set(yscale="log", xlabel="step", xlim=(-3, 2100), ylim=(1e-3, 1))
    ax.set_yticks((0.001, 0.01, 0.1, 1), ("0.001", "0.01", "0.1", "1"))
    ax.legend(loc="lower left")


def _draw_ends(ax, ends):
    for rank, (count, value, index, largest) in enumerate(_groups(ends)):
        ax.plot(largest, value, zorder=4, **(STAR if index == 0 else SQUARE))
        below = "the best: " if rank == 0 else ""
        ax.annotate(f"{below}{count} starts", (largest, value), (6, 3), textcoords="offset points", fontsize=7.5)
    ax.set(xlabel="largest eigenvalue", ylabel="objective", xlim=(0, 8), ylim=(0.08, 0.23), yticks=(0.1, 0.15, 0.2))


def _draw_left(ax, left):
    places = np.arange(len(SIZES) + 1)
    looks = (("lower, sharper", style.VERMILLION, "o"), ("higher, flatter", style.BLUE, "s"))
    for start, (name, color, marker) in enumerate(looks):
        one = left.isel(start=start)
        shares = np.r_[one.share.values, float(one.full_escaped.values.any())]
        ax.plot(places, shares, marker=marker, color=color, label=name, clip_on=False, zorder=4)
    ax.set(xlabel="examples a batch", ylabel="share of repeats that leave it", ylim=(0, 1.05), xlim=(-0.2, 3.2))
    ax.set_xticks(places, [*map(str, SIZES), "all 40"])
    ax.legend(loc="center right")


def _groups(ends):
    """(starts, objective, index, largest eigenvalue) of each group of ends, the largest group first.

    The index is −1 where members differ in it.
    """
    found = []
    for group in range(int(ends.group.max()) + 1):
        own = ends.isel(start=(ends.group == group).values)
        index = own["index"].values
        same = int(index[0]) if (index == index[0]).all() else -1
        found.append((len(index), float(own.objective.median()), same, float(own.hessian_max.median())))
    return found


def claims(data):
    path, ends, left = data["path"], data["ends"], data["left"]
    share, depth = path.index_share.values, (-path.hessian_min / path.hessian_max).mean("start").values
    ranks = [_rank_correlation(*pair) for pair in zip(path.risk.values, share, strict=True)]
    counts, values, index, largest = np.array(_groups(ends)).T
    by_value = np.argsort(values)
    best = values[by_value[0]]
    moved = left.objective < left.objective_before - MARGIN
    lower = left.isel(start=0)
    return {
        "Along every run the share of negative eigenvalues falls with the risk: from over 30 % at the start to less "
        "than 13 % at the end, with a rank correlation above 0.9 in each run.": bool(
            (share[:, 0] > 0.3).all() and (share[:, -1] < 0.13).all() and min(ranks) > 0.9
        ),
        "What is negative gets small faster still: at the start the most negative eigenvalue is over a tenth of the "
        "largest one in the mean, at the end less than a hundredth.": bool(
            depth[0] > 0.1 and depth[-1] < 0.01 and depth[-1] / depth[0] < (share[:, -1] / share[:, 0]).min()
        ),
        "No run has come to a minimum: each end still has negative eigenvalues.": bool(
            (path["index"][:, -1] > 0).all() and (path.hessian_min[:, -1] < 0).all()
        ),
        "In (c) more than 95 of the 100 starts converge, to three solutions and no more, and all three are minima: no "
        "end has a negative eigenvalue.": bool(
            ends.converged.sum() > 95
            and ends.sizes["start"] == 100
            and len(counts) == 3
            and (index == 0).all()
            and (ends.hessian_min.values[ends.converged.values] > 0).all()
        ),
        "About three quarters of the starts find the best one.": bool(
            abs(counts[by_value[0]] - 75) <= 5 and values[by_value[0]] < values[by_value[1]] - MARGIN
        ),
        "Of the two poor ones the lower is the sharper: its largest eigenvalue is over three times that of the "
        "other.": bool(largest[by_value[1]] > 3 * largest[by_value[2]]),
        "Full batches leave neither.": bool(
            left.full_finite.all()
            and not left.full_escaped.any()
            and np.allclose(left.full_objective, left.objective_before, rtol=0, atol=1e-4)
            and np.allclose(left.objective_before[0], values[by_value[1:]], rtol=0, atol=1e-4)
        ),
        "Minibatches of one example leave the lower, sharper one in every repeat, for the best, to within 0.001; those "
        "of 4 examples in some repeats, and those of 16 in none.": bool(
            lower.share[0] == 1
            and (abs(lower.objective[0] - best) < 1e-3).all()
            and 0 < lower.share[1] < 1
            and lower.share[2] == 0
        ),
        "From the higher, flatter one no minibatches lead away.": bool(
            (left.share[:, 1] == 0).all()
            and not moved.isel(start=1).any()
            and (moved.transpose(*left.escaped.dims) == left.escaped).all()
            and np.allclose(left.share, left.escaped.mean("repeat"))
        ),
    }


def _rank_correlation(a, b):
    from scipy.stats import spearmanr

    return spearmanr(a, b).statistic
