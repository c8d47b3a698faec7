"""On the straight line from initial to final params nothing is in the way; between two solutions there is a barrier.

A network of 64, 32 and 10 units, tanh and cross-entropy, on scikit-learn's digits: 1200 images to train on, 597 to test
with. (a) The risk (blue, left) and the accuracy (brown, right) on the line θ(α) = (1 − α)·initial + α·final, of the
training images (solid) and the test images (dashed); final is where 20 epochs of Adam ended. The triangles are the
optimizer's own path: its true training risk, over the nearest point of the line. (b) The same on the line between two
finals, of two initial params and two orders of the images. (c) How far the path of (a) is from the line, as a share of
the line's length.

From initial to final the training risk falls at every step of the grid, and so does the test risk. Yet the optimizer
did not go that way: it leaves the line by more than a fifth of the line's length. Up to α = 0.6 its training risk is
lower than the line's at the same α. Its last params are not the least on the line: beyond them the training risk falls
on, at α = 1.4 by a third, where the test risk has been rising. Between two finals that both know 99 % of the training
images the training risk rises to more than four times that of either, and the training accuracy falls below 94 %.

Source: Goodfellow, Vinyals & Saxe (2015), Qualitatively characterizing neural network optimization problems,
arXiv:1412.6544.
"""

import jax
import numpy as np
import optax
from _digits import at, cross_entropy, digits, layers, mlp, points, train
from _page import head, open_frame, settle, unique, without_legend

import landscape as ls
from landscape.plot import style

WIDTHS, EPOCHS, EVERY = (64, 32, 10), 20, 8
QUICK = {"EPOCHS": 5}
ALPHA = np.linspace(-0.25, 1.5, 71)


def compute():
    data, losses = digits(), cross_entropy(mlp)
    paths = []
    for seed in (0, 1):
        start, order = jax.random.split(jax.random.key(seed))
        found, steps = train(
            losses, optax.adam(0.005), layers(start, WIDTHS), data["train"], key=order, epochs=EPOCHS, every=EVERY
        )
        paths.append(found)
    objective = ls.Objective(losses, data["train"], params=at(paths[0], 0), predict=mlp)
    first = ls.plane_through(at(paths[0], 0), at(paths[0], -1))
    second = ls.plane_through(at(paths[0], -1), at(paths[1], -1))
    asked = {"quantities": ("risk", "accuracy"), "data": data}
    path = ls.trajectory(objective, points(paths[0]), steps).on(first)
    length = float(np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(first.directions[0]))))
    return {
        "line": ls.evaluate(objective, first, {"alpha": ALPHA}, **asked),
        "between": ls.evaluate(objective, second, {"alpha": ALPHA}, **asked),
        "path": path.assign(share=path.residual / length),
    }


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 2.25)
    figure.get_layout_engine().set(wspace=0.06)
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 0.72))
    ls.plot.line(data["line"], ax=axes[0])
    ls.plot.line(data["between"], ax=axes[1])
    entries = unique([entry for ax in axes[:2] for entry in without_legend(ax)])
    path, look = data["path"], style.optimizer_style("adam")
    marks = {"color": look.color, "marker": look.marker, "markersize": 3, "linewidth": 0.7, "label": "Adam's path"}
    (drawn,) = axes[0].plot(path.alpha, path.risk, markevery=4, zorder=4, **marks)
    axes[2].plot(path.alpha, 100 * path.share, markevery=4, **marks)
    open_frame(axes[2])
    axes[2].set(xlabel="$α$", ylabel="distance from the line, in %", xlim=(-0.03, 1.03), ylim=(0, 30))
    for ax, ends in zip(axes, (("initial", "final"), ("final 1", "final 2")), strict=False):
        ax.set_xticks([0, 0.5, 1, 1.5], [f"0\n{ends[0]}", "0.5\n ", f"1\n{ends[1]}", "1.5\n "])
        for x in (0, 1):
            ax.axvline(x, color=style.INK, linewidth=0.5, linestyle=":", zorder=0)
    axes[1].set_ylim(0, 0.32)
    for ax, letter, heading in zip(axes, "abc", ("initial to final", "final to final", "off the line"), strict=True):
        head(ax, letter, heading)
    figure.legend(handles=[*entries, drawn], loc="outside lower center", ncols=3)
    return settle(figure)


def claims(data):
    line, between, path = data["line"], data["between"], data["path"]
    inside = line.risk.sel(alpha=slice(-1e-9, 1 + 1e-9))
    falls = (inside.diff("alpha") < 0).all("alpha")
    early = path.isel(step=slice(1, None)).where(path.alpha.isel(step=slice(1, None)) < 0.6, drop=True)
    shown = np.interp(early.alpha, line.alpha, line.risk.sel(split="train"))
    last, beyond = (line.risk.sel(alpha=alpha, method="nearest") for alpha in (1, 1.4))
    rising = line.risk.sel(split="test", alpha=slice(1.2, 1.4)).diff("alpha") > 0
    train = between.sel(split="train")
    ends, middle = train.sel(alpha=[0, 1], method="nearest"), train.sel(alpha=slice(0, 1))
    return {
        "From initial to final the training risk falls at every step of the grid, and so does the test risk.": bool(
            falls.all()
        ),
        "Yet the optimizer did not go that way: it leaves the line by more than a fifth of the line's length.": bool(
            path.share.max() > 0.2 and abs(path.share[[0, -1]]).max() < 1e-3
        ),
        "Up to α = 0.6 its training risk is lower than the line's at the same α.": early.sizes["step"] > 0
        and bool((early.risk < shown).all()),
        "Its last params are not the least on the line: beyond them the training risk falls on, at α = 1.4 by a third, "
        "where the test risk has been rising.": bool(
            (beyond < 2 / 3 * last).sel(split="train") and rising.all() and rising.size > 2
        ),
        "Between two finals that both know 99 % of the training images the training risk rises to more than four times "
        "that of either, and the training accuracy falls below 94 %.": bool(
            (ends.accuracy >= 0.99).all() and middle.risk.max() > 4 * ends.risk.max() and middle.accuracy.min() < 0.94
        ),
    }
