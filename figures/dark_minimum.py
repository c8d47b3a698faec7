"""The minimum that a penalty makes.

The regularized risk R(w, b) + Ω(w, b) of one sigmoid neuron h(x) = σ(wx + b) on the pair D = {(−1, 0), (1, 1)}, with
cross-entropy R and three penalties Ω on θ = (w, b): l2, λ‖θ‖²; l1, λ‖θ‖₁; and the elastic net with half of each,
λ(½‖θ‖₁ + ½‖θ‖²). Color is what the objective exceeds its least value in the panel by, on one scale for all panels,
black where it is least; lines are the objective itself. Each panel holds the runs of gradient descent (learning rate
0.5), Adam (0.1) and proximal gradient (0.5) from the same three starts.

Without a penalty there is no minimum: the least value lies on the border of the window, and every run leaves it along
w. With a penalty there is one, inside the window, at b = 0. It moves toward the origin as λ grows. The dark region
closes around it as λ grows. Under l2 it solves 1/(1 + e^w) = 2λw: w = 2.818, 1.178 and 0.222 for λ = 0.01, 0.1 and 1.
Under l1 it is w = log((1 − λ)/λ) for λ < ½: 4.595 and 2.197 for λ = 0.01 and 0.1. The risk's slope at the origin is
½, so from λ = ½ on l1's minimizer is exactly 0. The elastic net's lies between the two. Without a penalty proximal
gradient is gradient descent. Under l2 all runs end at the minimizer, to six digits. At λ = 1 under l1 only proximal
gradient comes to rest, at w = b = 0.0 exactly, while gradient descent and Adam keep hopping across the kinks.

Source: the textbook picture of weight decay (Goodfellow, Bengio & Courville 2016, section 7.1), for a problem whose
minimizers have known values; proximal gradient after Beck & Teboulle (2009).
"""

import jax
import numpy as np
import optax
import xarray as xr
from _page import settle

import landscape as ls
from landscape.plot import style

STRENGTHS = (0.0, 0.01, 0.1, 1.0)
KINDS = {"l2": ls.l2, "l1": ls.l1, "elastic net": lambda strength: ls.elastic_net(strength / 2, strength / 2)}
STEPS = 6000
SHOWN = np.r_[:100, np.geomspace(100, STEPS - 100, 60).astype(int), STEPS - 20 : STEPS + 1]  # of these steps


def labels(kind):
    """The panels of one kind of penalty, by growing λ."""
    return [f"{kind}, λ={strength:g}" for strength in STRENGTHS]


def compute():
    with jax.enable_x64(True):
        pair = ls.neuron(*ls.datasets.pair())
        penalties = {}
        for kind, penalty in KINDS.items():
            penalties |= dict(zip(labels(kind), map(penalty, STRENGTHS), strict=True))
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
    return {"surface": surface, "runs": runs.sel(step=np.unique(SHOWN))}


@style.context()
def draw(data):
    return settle(ls.plot.dark_minimum(data["surface"], data["runs"], columns=len(STRENGTHS)))


def claims(data):
    least = {kind: ls.minimum(data["surface"].sel(penalty=labels(kind))) for kind in KINDS}
    surface, runs = _surface_claims(data["surface"], least), _run_claims(data["runs"], data["surface"])
    return {
        "Without a penalty there is no minimum: the least value lies on the border of the window, and every run leaves "
        "it along w.": surface["none without"] and runs["leave along w"],
        "With a penalty there is one, inside the window, at b = 0.": surface["one with"],
        "It moves toward the origin as λ grows.": surface["moves"],
        "The dark region closes around it as λ grows.": surface["closes"],
        "Under l2 it solves 1/(1 + e^w) = 2λw: w = 2.818, 1.178 and 0.222 for λ = 0.01, 0.1 and 1.": surface["l2"],
        "Under l1 it is w = log((1 − λ)/λ) for λ < ½: 4.595 and 2.197 for λ = 0.01 and 0.1.": surface["l1"],
        "The risk's slope at the origin is ½, so from λ = ½ on l1's minimizer is exactly 0.": surface["zero"],
        "The elastic net's lies between the two.": surface["between"],
        "Without a penalty proximal gradient is gradient descent.": runs["same"],
        "Under l2 all runs end at the minimizer, to six digits.": runs["reach"],
        "At λ = 1 under l1 only proximal gradient comes to rest, at w = b = 0.0 exactly, while gradient descent and "
        "Adam keep hopping across the kinks.": runs["rest"] and runs["hop"],
    }


def _surface_claims(surface, least):
    spacing, strengths = float(surface.w[1] - surface.w[0]), np.array(STRENGTHS[1:])
    w = {kind: found.w.values[1:] for kind, found in least.items()}
    origin = surface.sel(w=0, b=0, method="nearest")
    dark = (surface.objective - surface.objective.min(["w", "b"]) < 0.05).sum(["w", "b"])
    l2, l1 = np.array([2.818, 1.178, 0.222]), np.array([4.595, 2.197])

    def on_grid(found, wanted):
        return bool(np.allclose(found, wanted, atol=spacing, rtol=0))

    return {
        "none without": all(not found.interior[0] and found.w[0] == surface.w[-1] for found in least.values()),
        "one with": all(found.interior[1:].all() and on_grid(found.b[1:], 0) for found in least.values()),
        "moves": all(bool((np.diff(np.hypot(found.w, found.b)) < 0).all()) for found in least.values()),
        "closes": all(bool((dark.sel(penalty=labels(kind)).diff("penalty") < 0).all()) for kind in KINDS),
        "l2": on_grid(w["l2"], l2) and np.allclose(1 / (1 + np.exp(l2)), 2 * strengths * l2, atol=1e-3),
        "l1": on_grid(w["l1"][:2], l1) and np.allclose(np.log(1 / strengths[:2] - 1), l1, atol=5e-4),
        "zero": on_grid(w["l1"][2], 0) and bool(abs(origin.risk_gradient_norm - 0.5) < 1e-12),
        "between": bool((np.minimum(w["l1"], w["l2"]) <= w["elastic net"]).all())
        and bool((w["elastic net"] <= np.maximum(w["l1"], w["l2"])).all()),
    }


def _run_claims(runs, surface):
    free = runs[["w", "b"]].sel(penalty=[labels(kind)[0] for kind in KINDS])
    last = runs.isel(step=slice(-20, None)).sel(penalty=labels("l1")[-1])
    away, l2 = free.isel(step=-1), runs.isel(step=-1).sel(penalty=labels("l2")[1:])
    minimizer = xr.DataArray([2.817989135949, 1.177505264154, 0.222323471278], dims="penalty")
    same = free.sel(optimizer="proximal gradient") - free.sel(optimizer="gradient descent")
    rest, hop = last.sel(optimizer="proximal gradient"), last.sel(optimizer=["gradient descent", "adam"])
    return {
        "same": bool((abs(same.w) + abs(same.b) < 1e-12).all()),
        "leave along w": bool(((away.w > surface.w[-1]) & (abs(away.b) < surface.b[-1])).all()),
        "reach": bool((abs(l2.w - minimizer) < 1e-6).all() and (abs(l2.b) < 1e-6).all()),
        "rest": bool((rest.w == 0).all() and (rest.b == 0).all()),
        "hop": bool((np.sign(hop.b).diff("step") != 0).any("step").all()),
    }
