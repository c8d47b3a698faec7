"""One function, as sharp as one likes.

A network of 64 inputs, 16 relu units and 10 outputs (1210 params) after 200 steps of Adam (learning rate 0.01) on 300
of scikit-learn's digits, in float64. Its first layer is multiplied by c, the weights of its second are divided by c.
(a) The risk along one random direction of length 1, for five c. (b) The risk along a random direction times |θ|, entry
by entry, for the same c: five curves, one upon the other, the upper ones thinner. (c) Measures of sharpness by c,
divided by their values at c = 1: the largest increase of the risk that was found within a distance of 0.05 (worst
case), the mean increase at random steps of that length (average case), the increase after one step of it along the
gradient (SAM), and the largest eigenvalue and the trace of the Hessian. In black, one upon the other: the two adaptive
measures, and the relative flatness of the two layers.

All are one function: no output differs from that at c = 1 by more than 10⁻¹² of the largest. Along the direction of
fixed length, the risk at a distance of 0.2 is over 1000 times as far above that at 0 for c = 100 as for c = 1. Along
the direction relative to the params it is the same for all c, to within 10⁻¹². The largest eigenvalue and the trace of
the Hessian, the worst case, the average case and SAM each vary by a factor of more than 1000. Each of these five is
least at c = 1, as it happens: the function prefers no c. The adaptive worst case and its one-step form do not vary, nor
does the relative flatness of either layer: to within 10⁻¹⁰.

Source: Dinh, Pascanu, Bengio & Bengio (2017), sections 3 and 4, arXiv:1703.04933; adaptive sharpness as in Kwon, Kim,
Park & Choi (2021), arXiv:2102.11600; relative flatness as in Petzka, Kamp, Adilova, Sminchisescu & Boley (2021),
arXiv:2001.00939.
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

SCALES = np.geomspace(0.01, 100, 9)
STEPS, RADIUS, ADAPTIVE_RADIUS, PROBES = 200, 0.05, 0.5, 32
IMAGES = 300
QUICK = {"STEPS": 100, "PROBES": 4, "IMAGES": 100}
DISTANCES, SHARES = np.linspace(-0.3, 0.3, 61), np.linspace(-0.5, 0.5, 61)
NETWORK = ls.mlp((64, 16, 10), activation="relu", output="softmax", loss="cross_entropy")


def rescaled(params, c):
    """The same function: relu(cz) = c·relu(z)."""
    first, second = params["layer1"], params["layer2"]
    return {
        "layer1": jax.tree.map(lambda leaf: c * leaf, first),
        "layer2": {"W": second["W"] / c, "b": second["b"]},
    }


def compute():
    with jax.enable_x64(True):
        images, labels = digits(IMAGES)["train"]
        images = images.astype(np.float64)
        start = NETWORK.init(jax.random.key(0), "he")
        objective = NETWORK.objective(images, labels, params=start)
        run = ls.descend(objective, optax.adam(0.01), start, STEPS, record_every=STEPS)
        trained = jax.tree.map(lambda leaf: jnp.asarray(leaf[-1]), run.params)
        points = [rescaled(trained, float(c)) for c in SCALES]
        keywords = {"radius": RADIUS, "adaptive_radius": ADAPTIVE_RADIUS, "num_probes": PROBES}
        found = [ls.sharpness(objective, at, key=jax.random.key(1), **keywords).data for at in points]
        return {
            "sharpness": xr.concat(found, xr.Variable("c", SCALES), combine_attrs="drop"),
            "outputs": xr.Dataset(
                {"logits": (("c", "image", "output"), np.stack([_logits(at, images) for at in points]))}, {"c": SCALES}
            ),
            "lines": _lines(objective, points),
        }


def _logits(params, images):
    return np.asarray(NETWORK.forward(params, jnp.asarray(images)).z[-1])


def _lines(objective, points):
    """The risk along a direction of length 1, and along the same one times √p·|θ|."""
    first = points[0]
    (drawn,) = ls.random_directions(jax.random.key(2), first, 1, normalize="global", zero_vectors=False)
    unit = optax.tree.scale(1 / optax.tree.norm(drawn), drawn)
    normal = optax.tree.scale(np.sqrt(optax.tree.size(first)), unit)
    found = []
    for at in points:
        relative = jax.tree.map(lambda direction, leaf: direction * jnp.abs(leaf), normal, at)
        lines = (ls.Plane(at, (direction,), names=("t",)) for direction in (unit, relative))
        fixed, own = (
            ls.evaluate(objective, line, {"t": axis}).risk
            for line, axis in zip(lines, (DISTANCES, SHARES), strict=True)
        )
        found.append(xr.Dataset({"fixed": ("distance", fixed.values), "relative": ("share", own.values)}))
    return xr.concat(found, xr.Variable("c", SCALES)).assign_coords(distance=DISTANCES, share=SHARES)


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 2.65)
    figure.get_layout_engine().set(wspace=0.08)
    fixed, relative, measures = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
    _draw_lines(fixed, data["lines"].fixed, "distance", "distance from the params")
    _draw_lines(relative, data["lines"].relative, "share", "distance relative to the params")
    for line, width in zip(relative.lines, (5.5, 4.2, 3.0, 1.8, 0.8), strict=True):  # so that all are seen
        line.set(linewidth=width, linestyle="-")
    for ax in (fixed, relative):
        ax.set(yscale="log", ylim=(0.01, 100))
    fixed.set_ylabel("risk")
    head(fixed, "a", "along a direction of fixed length")
    head(relative, "b", "along one relative to the params")
    fixed.legend(title="$c$", title_fontsize=7.5, loc="upper center", ncols=3, handlelength=1.4)
    _draw_measures(measures, data["sharpness"])
    return settle(figure)


def _draw_lines(ax, risk, along, label):
    drawn = risk.isel(c=slice(None, None, 2))
    for i, c in enumerate(drawn.c.values):
        look = {"color": style.sequence_color(i, drawn.sizes["c"]), "linestyle": style.dashes(i)}
        ax.plot(drawn[along], drawn.sel(c=c), label=f"{c:g}", **look)
    open_frame(ax)
    ax.set(xlabel=label, xlim=(drawn[along].values[0], drawn[along].values[-1]))


VARYING = {
    "worst_case": ("worst case", style.VERMILLION, "o"),
    "average_case": ("average case", style.ORANGE, "s"),
    "sam": ("SAM", style.PURPLE, "^"),
    "hessian_max": ("largest eigenvalue", style.BLUE, "D"),
    "hessian_trace": ("trace", style.SKY, "v"),
}


def by_scale(sharpness):
    """Each measure divided by its value at c = 1."""
    return sharpness.value / sharpness.value.sel(c=1.0)


def _draw_measures(ax, sharpness):
    ratio = by_scale(sharpness)
    for name, (label, color, marker) in VARYING.items():
        ax.loglog(ratio.c, ratio.sel(measure=name), color=color, marker=marker, label=label)
    for i, name in enumerate(kept(sharpness)):
        label = "adaptive, relative flatness" if i == 0 else None
        ax.loglog(ratio.c, ratio.sel(measure=name), color=style.BLACK, linewidth=1.6, zorder=4, label=label)
    open_frame(ax)
    ax.legend(loc="upper center", handlelength=1.8, borderaxespad=0)
    ax.set(xlabel="$c$", ylabel="relative to $c$ = 1", ylim=(0.3, 1e6), xlim=(0.008, 125))
    ax.minorticks_off()
    head(ax, "c", "measures of sharpness")


def kept(sharpness):
    """The measures that are said to be unchanged by the rescaling of layers."""
    names = sharpness.measure.values
    return names[sharpness.invariant_to.isel(c=0).sel(change="layer_rescaling").values]


def claims(data):
    ratio, lines, logits = by_scale(data["sharpness"]), data["lines"], data["outputs"].logits
    varying = ratio.sel(measure=list(VARYING))
    unmoved = ratio.sel(measure=kept(data["sharpness"]))
    above = lines.fixed.sel(distance=0.2, method="nearest") - lines.fixed.sel(distance=0.0, method="nearest")
    relative = lines.relative / lines.relative.sel(c=1.0)
    return {
        "All are one function: no output differs from that at c = 1 by more than 10⁻¹² of the largest.": bool(
            abs(logits - logits.sel(c=1.0)).max() < 1e-12 * abs(logits).max()
        )
        and bool((data["sharpness"].converged.sel(measure="adaptive")).all()),
        "Along the direction of fixed length, the risk at a distance of 0.2 is over 1000 times as far above that at 0 "
        "for c = 100 as for c = 1.": bool(above.sel(c=100.0) > 1000 * above.sel(c=1.0)),
        "Along the direction relative to the params it is the same for all c, to within 10⁻¹².": bool(
            (abs(relative - 1) < 1e-12).all() and lines.relative.sel(c=1.0).max() > 2 * lines.relative.sel(c=1.0).min()
        ),
        "The largest eigenvalue and the trace of the Hessian, the worst case, the average case and SAM each vary by a "
        "factor of more than 1000.": bool((varying.max("c") > 1000 * varying.min("c")).all()),
        "Each of these five is least at c = 1, as it happens: the function prefers no c.": bool(
            (varying.idxmin("c") == 1.0).all()
        ),
        "The adaptive worst case and its one-step form do not vary, nor does the relative flatness of either layer: to "
        "within 10⁻¹⁰.": bool((abs(unmoved - 1) < 1e-10).all() and len(unmoved.measure) == 4),
    }
