"""How much of the barrier between two networks is only the order of their units.

Networks with one hidden layer of M relu units on 1200 of scikit-learn's digits, trained by Adam from random starts. (a)
M = 32: the test risk on the straight line from a network to a copy of itself, whose units are permuted and rescaled,
before and after the copy is aligned. (b) M = 512: on the line between networks from two starts, before, and aligned by
their weights and by their activations. (c) The barrier, the most by which the test risk exceeds the straight line
between the ends, for four widths; dots are three pairs of starts, lines their medians.

A network and its copy have the same outputs, and yet there is a barrier of more than 0.1 between them; after alignment
it is below 10⁻⁶. Between networks from two starts, alignment makes the median barrier smaller at every width, whether
by weights or by activations. At M = 512 less than a sixth of it is left; at M = 8 more than a fifth.

Source: Entezari et al. (2022), the conjecture that permutations remove the barrier if the network is wide; Ainsworth,
Hayase & Srinivasa (2023), matching of weights and of activations.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from _digits import digits
from _page import head, open_frame, settle

import landscape as ls
from landscape.plot import style

WIDTHS, PAIRS = (8, 32, 128, 512), 3
SHOWN, COPIED = 512, 32
EPOCHS, BATCH = 20, 50
QUICK = {"WIDTHS": (8, 32), "PAIRS": 1, "SHOWN": 32, "EPOCHS": 5}
KINDS = {"before": style.BLACK, "by weights": style.BLUE, "by activations": style.VERMILLION}
DASHES = {"by activations": "--", "after": "--"}
MARKS = {"before": "o", "by weights": "s", "by activations": "^"}


def compute():
    splits = digits()
    lines, heights = {}, []
    for width in WIDTHS:
        objective, found, starts = _trained(width, splits)
        if width == COPIED:
            lines["copy"] = _copy(objective, found, starts[0], splits)
        rows = []
        for pair in range(PAIRS):
            a, b = starts[2 * pair], starts[2 * pair + 1]
            aligned = {
                "before": b,
                "by weights": ls.align(found, a, b).params,
                "by activations": ls.align(found, a, b, data=splits["train"][0]).params,
            }
            barriers = {kind: ls.barrier(objective, a, to, data=splits) for kind, to in aligned.items()}
            rows.append([float(barrier.height.sel(split="test")) for barrier in barriers.values()])
            if width == SHOWN and pair == 0:
                lines["pair"] = _joined({kind: barrier.surface for kind, barrier in barriers.items()})
        heights.append(rows)
    table = xr.DataArray(np.array(heights), {"width": list(WIDTHS), "kind": list(KINDS)}, ("width", "pair", "kind"))
    return {**lines, "heights": table.to_dataset(name="height")}


def _trained(width, splits):
    """(the objective, the network's symmetry, params of 2·PAIRS trained networks)."""
    network = ls.mlp((64, width, 10), activation="relu", output="softmax", loss="cross_entropy")
    objective = network.objective(*splits["train"])
    starts = jax.vmap(lambda key: network.init(key, "he"))(jax.random.split(jax.random.key(width), 2 * PAIRS))
    steps = EPOCHS * len(splits["train"][0]) // BATCH
    runs = ls.descend(
        objective, optax.adam(2e-3), starts, steps, batch_size=BATCH, key=jax.random.key(0), record_every=steps
    )
    found = ls.symmetry(network.apply, objective.params, splits["train"][0][:2])
    ends = jax.tree.map(lambda leaf: jnp.asarray(leaf[:, -1]), runs.params)
    return objective, found, [jax.tree.map(lambda leaf, i=i: leaf[i], ends) for i in range(2 * PAIRS)]


def _copy(objective, found, params, splits):
    copy = found.random(jax.random.key(1), params)
    after = ls.align(found, params, copy).params
    barriers = {
        kind: ls.barrier(objective, params, to, data=splits) for kind, to in (("before", copy), ("after", after))
    }
    outputs = [objective.predict(p, splits["test"][0]) for p in (params, copy)]
    data = _joined({kind: barrier.surface for kind, barrier in barriers.items()})
    return data.assign_attrs(differ=float(abs(outputs[0] - outputs[1]).max()))


def _joined(surfaces):
    kinds = xr.Variable("kind", list(surfaces))
    return xr.concat([s[["risk", "excess"]].drop_attrs() for s in surfaces.values()], kinds)


# ---- the picture


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 2.5)
    axes = figure.subplots(1, 3)
    looks = {"before": style.BLACK, "after": style.GREEN}
    for ax, name, colors in ((axes[0], "copy", looks), (axes[1], "pair", KINDS)):
        for kind, color in colors.items():
            risk = data[name].risk.sel(kind=kind, split="test")
            label = kind if kind == "before" else f"aligned {kind}".removesuffix(" after")
            ax.plot(risk.t, risk, color=color, linestyle=DASHES.get(kind, "-"), label=label)
        open_frame(ax)
        ax.set(
            xlabel="$t$",
            xlim=(0, 1),
            ylim=(0, 1.12 * len(colors) ** 0.3 * float(data[name].risk.sel(split="test").max())),
        )
        ax.legend(loc="upper left", handlelength=2.4)
    axes[0].set_ylabel("test risk")
    head(axes[0], "a", f"a network and its copy, $M = {COPIED}$")
    head(axes[1], "b", f"two starts, $M = {SHOWN}$")
    _draw_heights(axes[2], data["heights"].height)
    return settle(figure)


def _draw_heights(ax, height):
    for kind, color in KINDS.items():
        here = height.sel(kind=kind)
        ax.plot(here.width, here.median("pair"), color=color, linestyle=DASHES.get(kind, "-"))
        ax.plot(here.width, here, MARKS[kind], color=color, markersize=3, markeredgewidth=0)
    open_frame(ax)
    ax.set(xscale="log", yscale="log", xlabel="width $M$", ylabel="barrier of the test risk", xticks=WIDTHS)
    ax.set_xticklabels(map(str, WIDTHS))
    ax.minorticks_off()
    head(ax, "c", "by width")


# ---- the claims


def claims(data):
    copy, height = data["copy"], data["heights"].height
    highest = copy.excess.max("t")
    median = height.median("pair")
    before, after = median.sel(kind="before"), median.sel(kind=["by weights", "by activations"])
    left = after / before
    return {
        "A network and its copy have the same outputs, and yet there is a barrier of more than 0.1 between them; after "
        "alignment it is below 10⁻⁶.": bool(
            copy.attrs["differ"] < 1e-4
            and (highest.sel(kind="before") > 0.1).all()
            and (highest.sel(kind="after") < 1e-6).all()
        ),
        "Between networks from two starts, alignment makes the median barrier smaller at every width, whether "
        "by weights or by activations.": bool((after < before).all()),
        "At M = 512 less than a sixth of it is left; at M = 8 more than a fifth.": bool(
            (left.sel(width=512) < 1 / 6).all() and (left.sel(width=8) > 1 / 5).all()
        ),
    }
