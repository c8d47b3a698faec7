"""The minimum that a penalty makes.

The regularized risk R(w, b) + Ω(w, b) of one sigmoid neuron h(x) = σ(wx + b) on the pair D = {(−1, 0), (1, 1)}, with
cross-entropy, under three penalties: l2, λ‖θ‖²; l1, λ‖θ‖₁; and the elastic net with half of each, λ(½‖θ‖₁ + ½‖θ‖²), over
θ = (w, b). Color is what the objective exceeds its least value in the panel by, on one scale for all panels: black is
least. Lines are the objective itself. Every panel holds the runs of gradient descent (learning rate 0.5), Adam (0.1)
and proximal gradient (0.5) from the same three starts.

Without a penalty there is no minimum: the least value lies on the border of the window, and every run leaves it along w.
With a penalty there is one, inside the window, at b = 0. It moves toward the origin as λ grows. The dark region closes
around it as λ grows. Under l2 it solves 1/(1 + e^w) = 2λw: w = 2.818, 1.178 and 0.222 for λ = 0.01, 0.1 and 1. Under l1
it is w = log((1 − λ)/λ) for λ < ½: 4.595 and 2.197 for λ = 0.01 and 0.1. The risk's slope at the origin is ½, so from
λ = ½ on l1's minimizer is exactly 0. The elastic net's lies between the two. Under l2 all runs end at the minimizer, to
six digits. At λ = 1 under l1 only proximal gradient comes to rest, at w = b = 0.0 exactly, while gradient descent and
Adam keep hopping across the kinks.

Source: the textbook picture of weight decay (Goodfellow, Bengio & Courville 2016, section 7.1), drawn for a problem
whose minimizers have known values; proximal gradient after Beck & Teboulle (2009).
"""

import jax
import numpy as np
import optax
import xarray as xr
from _page import settle

import landscape as ls

STRENGTHS = (0.0, 0.01, 0.1, 1.0)
KINDS = {"l2": ls.l2, "l1": ls.l1, "elastic net": lambda strength: ls.elastic_net(strength / 2, strength / 2)}
STEPS = 6000


def compute():
    with jax.enable_x64(True):
        pair = ls.neuron(*ls.datasets.pair())
        penalties = {f"{kind}, λ={s:g}": make(s) for kind, make in KINDS.items() for s in STRENGTHS}
        surface = ls.evaluate(
            pair,
            ls.axes_plane(pair.params, "w", "b"),
            {"w": np.linspace(-6, 8, 281), "b": np.linspace(-7, 7, 281)},
            quantities=("risk_gradient_norm",),
            penalties=penalties,
        )
        optimizers = {
            "gradient descent": optax.sgd(0.5),
            "adam": optax.adam(0.1),
            "proximal gradient": ls.proximal_gradient(0.5),
        }
        starts = {"w": np.array([-5.0, -4.0, 1.5]), "b": np.array([4.0, -5.5, 6.0])}
        runs = ls.descend(pair, optimizers, starts, STEPS, penalties=penalties).on(surface)
    kept = np.unique(
        np.concatenate([np.arange(100), np.geomspace(100, STEPS - 100, 60), np.arange(STEPS - 20, STEPS + 1)])
    )
    return {"surface": surface, "runs": runs.sel(step=kept.astype(int))}


def draw(data):
    return settle(ls.plot.dark_minimum(data["surface"], data["runs"], columns=len(STRENGTHS)))


def claims(data):
    surface, runs = data["surface"], data["runs"]
    names = {kind: [f"{kind}, λ={s:g}" for s in STRENGTHS] for kind in KINDS}
    least = {kind: ls.minimum(surface.sel(penalty=labels)) for kind, labels in names.items()}
    free, w = [labels[0] for labels in names.values()], {kind: found.w.values[1:] for kind, found in least.items()}
    spacing = float(surface.w[1] - surface.w[0])

    def near(found, *values):
        return bool(np.allclose(found, values, atol=spacing, rtol=0))

    def ends(kind, label=None):
        return runs.isel(step=-1).sel(penalty=names[kind][1:] if label is None else label)

    out = runs.isel(step=-1).sel(penalty=free)
    strengths = np.array(STRENGTHS[1:])
    excess = surface.objective - surface.objective.min(["w", "b"])
    area = (excess < 0.05).sum(["w", "b"])
    dark = np.array([area.sel(penalty=labels).values for labels in names.values()])
    moves = np.array([np.hypot(found.w, found.b) for found in least.values()])
    at_zero = surface.sel(w=0, b=0, method="nearest")
    root = np.array([2.817989135949, 1.177505264154, 0.222323471278])
    l2_runs = ends("l2")
    l1_runs = runs.isel(step=slice(-20, None)).sel(penalty=names["l1"][-1])
    rest = l1_runs.sel(optimizer="proximal gradient")
    hops = l1_runs.sel(optimizer=["gradient descent", "adam"])
    return {
        "Without a penalty there is no minimum: the least value lies on the border of the window, and every run leaves it "
        "along w.": all(not found.interior[0] and found.w[0] == surface.w[-1] for found in least.values())
        and bool(((out.w > surface.w[-1]) & (abs(out.b) < surface.b[-1])).all()),
        "With a penalty there is one, inside the window, at b = 0.": all(
            bool(found.interior[1:].all()) and near(found.b[1:], 0) for found in least.values()
        ),
        "It moves toward the origin as λ grows.": bool((np.diff(moves, axis=1) < 0).all()),
        "The dark region closes around it as λ grows.": bool((np.diff(dark, axis=1) < 0).all()),
        "Under l2 it solves 1/(1 + e^w) = 2λw: w = 2.818, 1.178 and 0.222 for λ = 0.01, 0.1 and 1.": near(
            w["l2"], *root
        )
        and bool(np.allclose(1 / (1 + np.exp(root)), 2 * strengths * root, atol=1e-11))
        and [f"{value:.3f}" for value in l2_runs.w.sel(optimizer="adam").isel(start=0).values]
        == ["2.818", "1.178", "0.222"],
        "Under l1 it is w = log((1 − λ)/λ) for λ < ½: 4.595 and 2.197 for λ = 0.01 and 0.1.": near(
            w["l1"][:2], *np.log(1 / strengths[:2] - 1)
        )
        and [f"{np.log(1 / s - 1):.3f}" for s in strengths[:2]] == ["4.595", "2.197"],
        "The risk's slope at the origin is ½, so from λ = ½ on l1's minimizer is exactly 0.": near(
            [w["l1"][2], at_zero.w, at_zero.b], 0
        )
        and abs(float(at_zero.risk_gradient_norm) - 0.5) < 1e-12,
        "The elastic net's lies between the two.": bool(
            (np.minimum(w["l1"], w["l2"]) <= w["elastic net"]).all()
            and (w["elastic net"] <= np.maximum(w["l1"], w["l2"])).all()
        ),
        "Under l2 all runs end at the minimizer, to six digits.": bool(
            (abs(l2_runs.w - xr.DataArray(root, dims="penalty")) < 5e-7).all() and (abs(l2_runs.b) < 5e-7).all()
        ),
        "At λ = 1 under l1 only proximal gradient comes to rest, at w = b = 0.0 exactly, while gradient descent and Adam "
        "keep hopping across the kinks.": bool((rest.w == 0).all() and (rest.b == 0).all())
        and bool((np.sign(hops.b).diff("step") != 0).any("step").all()),
    }
