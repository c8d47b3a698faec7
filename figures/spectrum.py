"""The eigenvalues of a network's Hessian: a bulk at 0, and outliers whose number depends on the inputs.

Networks of 64 inputs, one hidden layer with tanh and 10 outputs, softmax and cross-entropy, on 1200 of scikit-learn's
digits, after 100 steps of gradient descent with learning rate 0.5. (a) 12 hidden units, 910 params: the density of the
Hessian's eigenvalues from twenty probes of 60 products each, with its error band; dashed, that of all 910 eigenvalues
of the dense matrix, smoothed by the same Gaussians of width 0.008; triangles, the 12 largest eigenvalues, at the height
of the peak of a single one. (b) The 30 largest eigenvalues for 8, 12 and 20 hidden units on the images as they are, and
for 12 on images from which the mean image is subtracted, trained in the same way; a larger mark is the last one before
the largest relative gap. (c) The density of (a), and that with an l2 penalty of strength 0.25. (d) The densities of the
diagonal blocks of the two layers, smoothed by Gaussians of width 0.004.

The density from twenty probes is that of the dense matrix: within two standard errors at over 80 % of the positions
where at least half of one eigenvalue's peak is left. So is its mean, tr H/p, within three. The 12 largest eigenvalues
agree with the dense matrix to 10⁻⁴ of the largest. The bulk is narrow: 90 % of the eigenvalues are within 1 % of the
largest one. Between 10 and 15 % of the eigenvalues are negative, by more than 10⁻⁵ of the largest, but none is below −1
% of it. On the images as they are the outliers are not as many as the ten classes: with 8 and 12 hidden units there are
as many as hidden units, 8 and 12, before a gap of more than 1.7; with 20 hidden units there are nine, one fewer than
classes. Without the mean image the largest eigenvalue is between a sixth and a seventh of what it was, and the largest
gap comes after the tenth, but it is less than 1.3: no outlier stands far out. The penalty moves the whole spectrum by
2λ = 0.5, dense eigenvalues and the density's nodes, to within 10⁻⁵. The outliers are those of the first layer, whose 12
largest eigenvalues stand out too, before a gap of more than 1.7. The block of the second layer has the eigenvalue 0
exactly 13 times: what is added to all outputs alike changes no softmax.

Source: Sagun, Evci, Güney, Dauphin & Bottou (2017), arXiv:1706.04454, and Papyan (2019), arXiv:1901.08244, who count
about as many outliers as classes; Ghorbani, Krishnan & Xiao (2019), arXiv:1901.10159, on the density; LeCun, Bottou,
Orr & Müller (1998), Efficient BackProp, section 5, on large eigenvalues from inputs whose mean is not 0.
"""

import jax
import numpy as np
import optax
import xarray as xr
from _digits import digits
from _page import head, open_frame, settle

import landscape as ls
from landscape.plot import style

WIDTHS, SHOWN, RANKS = (8, 12, 20), 12, 30
EXAMPLES = 1200
STRENGTH = 0.25
WIDE, NARROW = 0.008, 0.004  # of the Gaussians
PROBES = {"num_matvecs": 60, "num_probes": 20}
QUICK = {"WIDTHS": (8, 12), "EXAMPLES": 100, "PROBES": {"num_matvecs": 20, "num_probes": 2}}
LOOKS = {8: (style.SKY, "^"), 12: (style.BLUE, "o"), 20: (style.GREEN, "s")}
LAYERS = {"layer1": style.BLUE, "layer2": style.ORANGE}


def compute():
    images, labels = digits(EXAMPLES)["train"]
    found = {h: _trained(h, images, labels) for h in WIDTHS}
    objective, params = found[SHOWN]
    dense = {h: _eigenvalues(*pair) for h, pair in found.items()}
    largest = ls.top_eigenpairs(objective, params, SHOWN, key=jax.random.key(1))
    penalized = objective.with_penalty(ls.l2(STRENGTH))
    plain, moved = (ls.spectral_density(o, params, key=jax.random.key(2), **PROBES) for o in (objective, penalized))
    centered = _eigenvalues(*_trained(SHOWN, images - images.mean(axis=0), labels))
    ranked = np.stack([*(dense[h][:RANKS] for h in WIDTHS), centered[:RANKS]])
    (mean, stderr), count = plain.moment(1), dense[SHOWN].size
    data = {
        "ranked": xr.Dataset({"eigenvalue": (("case", "rank"), ranked)}, {"rank": np.arange(1, RANKS + 1)}),
        "dense": xr.Dataset({"plain": ("entry", dense[SHOWN]), "moved": ("entry", _eigenvalues(penalized, params))}),
        "pairs": xr.Dataset({"value": ("pair", largest.values), "residual": ("pair", largest.residuals)}),
        "nodes": xr.Dataset({name: (("probe", "node"), d.nodes) for name, d in (("plain", plain), ("moved", moved))}),
        "moment": xr.Dataset({"mean": mean, "stderr": stderr, "trace": float(dense[SHOWN].sum()) / count}),
        "plain": plain.density(np.linspace(-0.1, 2.7, 1401), WIDE),
        "moved": moved.density(np.linspace(-0.1, 3.2, 1651), WIDE),
    }
    for layer in LAYERS:
        own = ls.spectral_density(objective, params, key=jax.random.key(3), leaves=layer, **PROBES)
        data[layer] = own.density(np.linspace(-0.05, 2.7, 1376), NARROW)
        data[f"dense {layer}"] = xr.Dataset({"eigenvalue": ("entry", _eigenvalues(objective, params, leaves=layer))})
    return data


def _trained(hidden, images, labels):
    network = ls.mlp((64, hidden, 10), output="softmax", loss="cross_entropy")
    objective = network.objective(images, labels, params=network.init(jax.random.key(0)))
    run = ls.descend(objective, optax.sgd(0.5), objective.params, steps=100, record_every=100)
    return objective, jax.tree.map(lambda leaf: leaf[-1], run.params)


def _eigenvalues(objective, params, **options):
    """Of the dense matrix, descending."""
    return np.linalg.eigvalsh(ls.hessian(objective, params, **options).values.astype(float))[::-1]


def gap(values):
    """(how many of the largest eigenvalues come before the largest relative gap among them, its factor)."""
    ratios = values[:-1] / values[1:]
    return int(np.argmax(ratios)) + 1, float(ratios.max())


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.5)
    figure.get_layout_engine().set(wspace=0.06, hspace=0.08)
    (whole, ranks), (shifted, layers) = figure.subplots(2, 2, width_ratios=(1.25, 1))
    dense = data["dense"]
    ls.plot.spectrum(data["plain"], data["pairs"].value, dense.plain, ax=whole)
    _draw_ranks(ranks, data["ranked"].eigenvalue)
    for name, color, label in (("plain", style.BLUE, "without"), ("moved", style.PURPLE, "$λ$ = 0.25")):
        ls.plot.spectrum(data[name], ax=shifted, color=color)
        shifted.get_legend().remove()
        shifted.plot([], [], color=color, label=label)
    shifted.legend(loc="upper right", handlelength=1.4)
    shifted.set(xlim=(-0.1, 3.2), ylim=(3e-3, 300))
    for name, color in LAYERS.items():
        ls.plot.spectrum(data[name], ax=layers, color=color)
        layers.get_legend().remove()
        layers.plot([], [], color=color, label=f"layer {name[-1]}")
    layers.legend(loc="upper right", handlelength=1.4)
    layers.set(xlim=(-0.05, 2.7), ylim=(6e-3, 500))
    headings = ("12 hidden units", "the 30 largest", "with a penalty", "layer by layer")
    for ax, letter, heading in zip((whole, ranks, shifted, layers), "abcd", headings, strict=True):
        open_frame(ax)
        head(ax, letter, heading)
        if ax is not ranks:
            ax.set(xlabel="eigenvalue", ylabel="density")
    return settle(figure)


def _draw_ranks(ax, values):
    for h, row in zip((*WIDTHS, None), values.values, strict=True):
        color, marker = LOOKS[h] if h else ("#777777", "D")
        label = f"{h} hidden units" if h else "12, mean subtracted"
        look = {"color": color, "marker": marker, "linewidth": 0.6}
        ax.plot(values["rank"], row, markersize=2.2, label=label, linestyle="-" if h else (0, (3, 1.5)), **look)
        last, _ = gap(row)
        ax.plot(last, row[last - 1], markersize=5.5, markeredgecolor=style.INK, markeredgewidth=0.7, **look)
        place = (-9, -8) if h == WIDTHS[0] else (5, 3)
        text = {"textcoords": "offset points", "fontsize": 7.5, "color": style.readable(color)}
        ax.annotate(str(last), (last, row[last - 1]), place, **text)
    ax.set(yscale="log", xlabel="rank", ylabel="eigenvalue", xlim=(0, RANKS + 1))
    ax.legend(loc="upper right", handlelength=1.8)


def smoothed(values, grid, width):
    """The density of all eigenvalues on a grid, as the other is smoothed."""
    return (np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2) / (width * np.sqrt(2 * np.pi))).mean(axis=1)


def claims(data):
    plain, moment, ranked = data["plain"], data["moment"], data["ranked"].eigenvalue.values
    values, moved = data["dense"].plain.values, data["dense"].moved.values
    exact = smoothed(values, plain.eigenvalue.values, WIDE)
    seen = exact > 0.5 / (len(values) * WIDE * np.sqrt(2 * np.pi))
    inside = (abs(plain.density - exact) <= 2 * plain.density_stderr).values[seen].mean()
    negative = (values < -1e-5 * values[0]).mean()
    (eight, first), (twelve, second), (twenty, third), (centered, fourth) = map(gap, ranked)
    layer1, layer2 = (data[f"dense {name}"].eigenvalue.values for name in LAYERS)
    own, own_factor = gap(layer1[:RANKS])
    sizes = np.sort(abs(layer2))
    return {
        "The density from twenty probes is that of the dense matrix: within two standard errors at over 80 % of the "
        "positions where at least half of one eigenvalue's peak is left.": bool(inside > 0.8),
        "So is its mean, tr H/p, within three.": bool(
            abs(moment["mean"] - moment.trace) < 3 * moment.stderr
            and np.isclose(moment.trace, values.mean(), rtol=1e-4)
            and moment.stderr < 0.15 * moment.trace
        ),
        "The 12 largest eigenvalues agree with the dense matrix to 10⁻⁴ of the largest.": bool(
            (abs(data["pairs"].value - values[:SHOWN]) < 1e-4 * values[0]).all()
            and (data["pairs"].residual < 1e-3 * values[0]).all()
        ),
        "The bulk is narrow: 90 % of the eigenvalues are within 1 % of the largest one.": bool(
            (abs(values) < 0.01 * values[0]).mean() > 0.9
        ),
        "Between 10 and 15 % of the eigenvalues are negative, by more than 10⁻⁵ of the largest, but none is below −1 % "
        "of it.": bool(0.1 < negative < 0.15 and values[-1] > -0.01 * values[0]),
        "On the images as they are the outliers are not as many as the ten classes: with 8 and 12 hidden units there "
        "are as many as hidden units, 8 and 12, before a gap of more than 1.7; with 20 hidden units there are nine, "
        "one fewer than classes.": bool((eight, twelve, twenty) == (8, 12, 9) and min(first, second, third) > 1.7),
        "Without the mean image the largest eigenvalue is between a sixth and a seventh of what it was, and the "
        "largest gap comes after the tenth, but it is less than 1.3: no outlier stands far out.": bool(
            6 < ranked[1, 0] / ranked[3, 0] < 7 and centered == 10 and fourth < 1.3
        ),
        "The penalty moves the whole spectrum by 2λ = 0.5, dense eigenvalues and the density's nodes, to within "
        "10⁻⁵.": bool(
            (abs(moved - values - 0.5) < 1e-5).all()
            and (abs(data["nodes"].moved - data["nodes"].plain - 0.5) < 1e-5).all()
        ),
        "The outliers are those of the first layer, whose 12 largest eigenvalues stand out too, before a gap of more "
        "than 1.7.": bool(own == 12 and own_factor > 1.7),
        "The block of the second layer has the eigenvalue 0 exactly 13 times: what is added to all outputs alike "
        "changes no softmax.": bool(sizes[12] < 1e-6 * sizes[-1] and sizes[13] > 1e-5 * sizes[-1]),
    }
