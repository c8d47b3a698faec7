"""A network trained on digits: the plane around it, and where its optimizers went.

A network of 64, 32 and 10 units, tanh and cross-entropy, on scikit-learn's digits: 1200 images to train on, 597 to test
with. SGD (learning rate 0.2) and Adam (0.005) start from the same params and take 20 epochs of minibatches of 50.
Above: the filter-normalized plane through two random directions around Adam's last params (cross): (a) the training
risk, (b) the test risk, (c) the test accuracy. Below: each optimizer's path in the plane of its own first two principal
components, over the training risk; (d) SGD, (e) Adam. Labels say what share of the path's variance the components
explain, and what of a random walk's of as many points. Dots on the paths have the color of the path's own risk, on the
surface's scale. (f) The distance of the paths from their planes against the step.

The last params are near the least of the plane around them: no cell has less than 0.99 times their training risk. They
know 99 % of the training images and 97 % of the test images. On this plane the test risk looks like the training risk,
with a correlation above 0.99, and is above it at the last params by more than half.
Both optimizers' components explain over 98 % of the variance of their paths, the first one 96 % of SGD's and 93 % of
Adam's, where a random walk's would explain 61 %. Still the paths are off their planes, by up to 0.7 and 1.5, most at
the start. There the true risk is above what the plane shows, by 7 % and 13 %. Later it is below what the plane shows
for Adam, by up to 10 %.

Source: filter-normalized directions and the principal components of paths as in Li, Xu, Taylor, Studer & Goldstein
(2018), sections 4 and 7, arXiv:1712.09913; random walks as in Antognini & Sohl-Dickstein (2018), arXiv:1806.08805.
"""

import jax
import numpy as np
import optax
from _digits import at, cross_entropy, digits, layers, mlp, points, train
from _page import head, open_frame, settle, unique, without_legend
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

WIDTHS, EPOCHS, EVERY = (64, 32, 10), 20, 8
OPTIMIZERS = {"SGD": optax.sgd(0.2), "Adam": optax.adam(0.005)}
REACH, CELLS = 1.5, 41
QUICK = {"EPOCHS": 5, "CELLS": 15}
LAST = {"marker": "+", "color": style.VERMILLION, "markersize": 6, "linestyle": "none"}
PANELS = (("train", "risk"), ("test", "risk"), ("test", "accuracy"))


def compute():
    data, losses = digits(), cross_entropy(mlp)
    start, order, plane = jax.random.split(jax.random.key(0), 3)
    initial = layers(start, WIDTHS)
    objective = ls.Objective(losses, data["train"], params=initial, predict=mlp)
    found, last = {}, initial
    for name, optimizer in OPTIMIZERS.items():
        path, steps = train(losses, optimizer, initial, data["train"], key=order, epochs=EPOCHS, every=EVERY)
        run, last = ls.trajectory(objective, points(path), steps), at(path, -1)
        components = ls.pca(run)
        seen = run.on(components.plane())
        found[f"surface {name}"] = ls.evaluate(objective, components.plane(), ls.axes_around(seen, points=CELLS))
        found[f"path {name}"] = seen.assign(
            explained=("component", components.explained), random_walk=("component", components.random_walk)
        )
    around = ls.Plane(last, ls.random_directions(plane, last, 2), names=("alpha", "beta"))
    square = dict.fromkeys(("alpha", "beta"), np.linspace(-REACH, REACH, CELLS))
    return found | {"plane": ls.evaluate(objective, around, square, quantities=("risk", "accuracy"), data=data)}


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.6)
    figure.get_layout_engine().set(wspace=0.08, hspace=0.06)
    axes, entries = figure.subplots(2, 3), []
    for ax, (split, variable) in zip(axes[0], PANELS, strict=True):
        ls.plot.contour(data["plane"].sel(split=split), variable, ax=ax)
        entries = without_legend(ax) or entries
        ax.plot(0, 0, zorder=9, **LAST)
    entries.append(Line2D([], [], label="the last params", **LAST))
    for ax, name in zip(axes[1], OPTIMIZERS, strict=False):
        path, surface = data[f"path {name}"], data[f"surface {name}"]
        ls.plot.contour(surface, "risk", {name: path}, log=True, truth=True, ax=ax)
        entries += without_legend(ax)
        shares = zip(path.explained.values, path.random_walk.values, strict=True)
        labels = [f"PC {i + 1} ({100 * e:.2g} %; random walk {100 * r:.2g} %)" for i, (e, r) in enumerate(shares)]
        ax.set(xlabel=labels[0], ylabel=labels[1])
        ax.set_box_aspect(1)
        look = style.optimizer_style(name)
        seen = {"color": look.color, "marker": look.marker, "linestyle": look.linestyle}
        axes[1, 2].plot(path.step, path.residual, markevery=6, markersize=3, **seen)
    open_frame(axes[1, 2])
    axes[1, 2].set_box_aspect(1)
    axes[1, 2].set(xlabel="step", ylabel="distance from the plane", xlim=(0, None), ylim=(0, None))
    headings = ("training risk", "test risk", "test accuracy", "SGD: training risk", "Adam: training risk", "residual")
    for ax, letter, heading in zip(axes.flat, "abcdef", headings, strict=True):
        head(ax, letter, heading)
    figure.legend(handles=unique(entries), loc="outside lower center", ncols=6)
    return settle(figure)


def claims(data):
    plane, paths = data["plane"], {name: data[f"path {name}"] for name in OPTIMIZERS}
    center = plane.sel(alpha=0, beta=0, method="nearest")
    train, test = (plane.risk.sel(split=split) for split in ("train", "test"))
    explained = np.array([path.explained for path in paths.values()])
    walks = np.array([path.random_walk for path in paths.values()])
    off = {name: path.residual for name, path in paths.items()}
    truth = {name: _truth(data, name) for name in OPTIMIZERS}
    most = np.array([residual.max() for residual in off.values()])
    return {
        "The last params are near the least of the plane around them: no cell has less than 0.99 times their training "
        "risk.": bool((train >= 0.99 * center.risk.sel(split="train")).all() and train.min() > 0),
        "They know 99 % of the training images and 97 % of the test images.": np.allclose(
            center.accuracy, [0.99, 0.97], atol=0.005
        ),
        "On this plane the test risk looks like the training risk, with a correlation above 0.99, and is above it at "
        "the last params by more than half.": bool(
            np.corrcoef(train.values.ravel(), test.values.ravel())[0, 1] > 0.99
            and center.risk.sel(split="test") > 1.5 * center.risk.sel(split="train")
        ),
        "Both optimizers' components explain over 98 % of the variance of their paths, the first one 96 % of SGD's and "
        "93 % of Adam's, where a random walk's would explain 61 %.": bool(
            (explained.sum(axis=1) > 0.98).all() and (explained.sum(axis=1) <= 1).all()
        )
        and np.allclose(explained[:, 0], [0.96, 0.93], atol=0.005)
        and np.allclose(walks[:, 0], 0.61, atol=0.005),
        "Still the paths are off their planes, by up to 0.7 and 1.5, most at the start.": np.allclose(
            most, [0.7, 1.5], atol=0.05
        )
        and all(int(residual.argmax("step")) == 0 for residual in off.values()),
        "There the true risk is above what the plane shows, by 7 % and 13 %.": np.allclose(
            [ratio[0] for ratio in truth.values()], [1.07, 1.13], atol=0.006
        ),
        "Later it is below what the plane shows for Adam, by up to 10 %.": bool(0.89 < truth["Adam"].min() < 0.91),
    }


def _truth(data, name):
    """The true risk over what the plane shows, for each point of a path."""
    path = data[f"path {name}"]
    return (path.risk / data[f"surface {name}"].risk.interp(pc1=path.pc1, pc2=path.pc2)).values
