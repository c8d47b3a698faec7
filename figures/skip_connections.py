"""With skip connections and without: curvature near the params, and what "flatter" does not mean.

Two networks of 18 layers, 16 units wide, with tanh and cross-entropy: in one each of the 16 hidden layers adds its
output to its input. The same initial params, 400 of scikit-learn's digits, 150 epochs of Adam (learning rate 0.002).
(a) and (b) The training risk in a filter-normalized plane through two random directions of one key around the trained
params of each, on one color scale; the cross is the trained params. (c) The share of cells with a direction of negative
curvature in that plane (exact, by plane_hessian), of the cells up to a distance of 0.25, in three planes of each (a bar
each). (d) The mean absolute change of the risk up to a distance of 1, in ten planes of each (a dot each, one gray line
a key).

With skip connections the training risk ends below 0.01, without it stays above 0.1. Near the params the plane of the
network without skip connections is less convex: in each of the three planes a larger share of its cells has negative
curvature. Yet by the mean change of its risk the network without them is the flatter one, in all of ten planes.

Source: Li, Xu, Taylor, Studer & Goldstein (2018), Visualizing the loss landscape of neural nets, arXiv:1712.09913,
figure 1, of which this is a small analog: fully connected layers on digits, not convolutions on CIFAR-10.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from _digits import at, cross_entropy, digits, layers, train
from _page import head, open_frame, settle
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

import landscape as ls
from landscape.plot import style

DEPTH, WIDTH, EXAMPLES, EPOCHS = 16, 16, 400, 150
AXIS, NEAR = np.linspace(-1, 1, 25), np.linspace(-0.25, 0.25, 9)
PLANES = 3
QUICK = {"EPOCHS": 20, "AXIS": np.linspace(-1, 1, 11), "NEAR": np.linspace(-0.25, 0.25, 5), "PLANES": 1}
LEVELS = (0.1, 0.5, 1, 2, 5, 10)
COLORS = {"without": style.VERMILLION, "with": style.BLUE}
FILTERS = {"hidden/*": (0, -1), "*": -1}  # of the hidden layers' kernels (layer, in, out)


def network(skip):
    """A predict function with `skip`, 0 or 1, times the identity beside each hidden layer."""

    def predict(params, images):
        def layer(x, one):
            return skip * x + jnp.tanh(x @ one["kernel"] + one["bias"]), None

        x, _ = jax.lax.scan(layer, images @ params["first"]["kernel"] + params["first"]["bias"], params["hidden"])
        return x @ params["last"]["kernel"] + params["last"]["bias"]

    return predict


def initial(key):
    first, *hidden, last = layers(key, (64, *[WIDTH] * (DEPTH + 1), 10)).values()
    return {"first": first, "hidden": jax.tree.map(lambda *leaves: jnp.stack(leaves), *hidden), "last": last}


def compute():
    data, found, trained = digits(EXAMPLES)["train"], {}, {}
    start, order, compared, *keys = jax.random.split(jax.random.key(0), 3 + PLANES)
    for name, skip in (("without", 0.0), ("with", 1.0)):
        predict = network(skip)
        losses, params = cross_entropy(predict), initial(start)
        path, _ = train(losses, optax.adam(2e-3), params, data, key=order, epochs=EPOCHS, every=100)
        trained[name] = ls.Objective(losses, data, params=at(path, -1), predict=predict)
        found[name] = ls.evaluate(
            trained[name],
            _plane(trained[name], keys[0]),
            {"alpha": AXIS, "beta": AXIS},
            quantities=("risk", "accuracy"),
        )
        curvature = xr.concat([_curvature(trained[name], key) for key in keys], "plane")
        found[f"near {name}"] = xr.Dataset({"least": curvature})
    flatness = ls.compare_flatness(
        trained["without"], trained["with"], 10, key=compared, points=5, filter_axis=FILTERS, progress=False
    )
    return found | {"flatness": flatness.data[["a", "b"]]}


def _plane(objective, key):
    """The filter-normalized plane of a key around an objective's params."""
    directions = ls.random_directions(key, objective.params, 2, filter_axis=FILTERS)
    return ls.Plane(objective.params, directions, names=("alpha", "beta"))


def _curvature(objective, key):
    """The least eigenvalue of the in-plane Hessian near the params, NaN outside the disk."""
    axes = {"alpha": NEAR, "beta": NEAR}
    surface = ls.evaluate(objective, _plane(objective, key), axes, quantities=("risk", "plane_hessian"))
    least = surface.risk.copy(data=np.linalg.eigvalsh(surface.plane_hessian.values)[..., 0])
    return least.where(np.hypot(surface.alpha, surface.beta) <= NEAR[-1] * (1 + 1e-9))


def negative(near):
    """The share (plane,) of the cells with negative curvature."""
    cells = ("alpha", "beta")
    return (near.least < 0).sum(cells) / near.least.notnull().sum(cells)


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 2.1)
    figure.get_layout_engine().set(wspace=0.05)
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 0.62, 0.62))
    risks = {name: data[name].risk for name in ("without", "with")}
    norm = LogNorm(1e-2, max(float(risk.max()) for risk in risks.values()), clip=True)
    for ax, risk in zip(axes, risks.values(), strict=False):
        mesh = ax.pcolormesh(AXIS, AXIS, risk.T, cmap=style.SEQUENTIAL, norm=norm, shading="gouraud", rasterized=True)
        ax.contour(AXIS, AXIS, risk.T, levels=LEVELS, colors=[*2 * ["#F2F2F2"], *4 * ["#222222"]], linewidths=0.5)
        ax.plot(0, 0, marker="+", color="white", markersize=5)
        ax.set(xlabel="$α$", aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    axes[0].set_ylabel("$β$")
    figure.colorbar(mesh, ax=list(axes[:2]), label="training risk", extend="min", aspect=16, pad=0.02)
    for i, (name, color) in enumerate(COLORS.items()):
        shares = 100 * negative(data[f"near {name}"])
        axes[2].bar(i + 0.25 * (np.arange(PLANES) - 1), shares, width=0.2, color=color)
    pairs = np.stack([data["flatness"].a, data["flatness"].b])
    axes[3].plot(pairs, color=style.GRID, linewidth=0.7)
    for i, color in enumerate(COLORS.values()):
        axes[3].plot(np.full(pairs.shape[1], i), pairs[i], "o", color=color, markersize=3)
    for ax, label in zip(axes[2:], ("cells, in %", "mean change of the risk"), strict=True):
        open_frame(ax)
        ax.set(xticks=[0, 1], xlim=(-0.5, 1.5), ylim=(0, None), ylabel=label)
        ax.set_xticklabels(["without", "with"])
        ax.yaxis.set_major_locator(MaxNLocator(5))
    headings = ("without skips", "with skips", "not convex", "change")
    for ax, letter, heading in zip(axes, "abcd", headings, strict=True):
        head(ax, letter, heading)
    return settle(figure)


def claims(data):
    center = {name: float(data[name].risk.sel(alpha=0, beta=0, method="nearest")) for name in ("without", "with")}
    shares = {name: negative(data[f"near {name}"]) for name in center}
    flatness = data["flatness"]
    return {
        "With skip connections the training risk ends below 0.01, without it stays above 0.1.": center["with"] < 0.01
        and center["without"] > 0.1,
        "Near the params the plane of the network without skip connections is less convex: in each of the three planes "
        "a larger share of its cells has negative curvature.": bool((shares["without"] > shares["with"]).all())
        and shares["with"].sizes["plane"] == 3,
        "Yet by the mean change of its risk the network without them is the flatter one, in all of ten planes.": bool(
            (flatness.a < flatness.b).all() and flatness.sizes["plane"] == 10
        ),
    }
