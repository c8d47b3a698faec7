"""The O-rings: one problem as a valley and as a bowl, and a penalty chosen by what is held out.

The 23 flights before the Challenger's last, temperature in °F against thermal distress, cross-entropy, one sigmoid neuron. (a) The
risk in raw temperature and (b) in standardized temperature, with runs of four optimizers from w = b = 0, which is the same
neuron in both: gradient descent and momentum (0.9) with learning rate 1/L, L the largest curvature the risk can have;
Adam (0.1) and L-BFGS. (c, d) What their risk exceeds the least risk by. (e) The risk of standardized fits with l2 on the weight,
on the flights they were fitted to and on the one flight left out, averaged over the 23; the band is one standard error.
(f) The probability of distress by temperature, fitted without a penalty and with the chosen one; the line is the 31 °F of
the last launch.

Without a penalty the fit is w = −0.23216274, b = 15.04290165 in raw temperature, with risk 0.44163462. The Hessian's
condition number there is 8.26 · 10⁵; standardized it is 1.99. Both fits give every flight the same probability. On the bowl
every optimizer comes within 10⁻⁶ of the least risk in 200 steps. In the valley only L-BFGS does in 3000 steps. The held-out
risk is least at λ = 0.018, inside the range. The risk on the fitted flights only grows with λ. Without a penalty the
probability of distress at 31 °F is 0.9996; with the chosen one it is 0.988.

Source: data and fit from Dalal, Fowlkes & Hoadley (1989); leave-one-out after Stone (1974).
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from _page import STAR, head, open_frame, without_legend

import landscape as ls
from landscape.plot import style

STEPS = 3000
TOLERANCE = 1e-6
STRENGTHS = np.geomspace(1e-4, 10, 61)
LAUNCH = 31.0  # °F


def standardized():
    """(x, y), x the temperature in standard deviations from its mean."""
    temperature, y = ls.datasets.o_rings()
    return (temperature - temperature.mean()) / temperature.std(), y


def compute():
    raw = {"w": np.linspace(-0.6, 0.2, 201), "b": np.linspace(-10, 40, 201)}
    scaled = {"w": np.linspace(-4, 2, 201), "b": np.linspace(-4, 2, 201)}
    with jax.enable_x64(True):
        data = _descents("raw", *ls.datasets.o_rings(), raw) | _descents("standardized", *standardized(), scaled)
        return data | {"held_out": _held_out(*standardized())}


def _descents(name, x, y, axes):
    neuron = ls.neuron(x, y)
    surface = ls.evaluate(neuron, ls.axes_plane(neuron.params, "w", "b"), axes)
    columns = np.stack([x, np.ones(len(x))], axis=1)
    rate = 4 * len(x) / np.linalg.eigvalsh(columns.T @ columns)[-1]  # σ' ≤ ¼
    optimizers = {
        "gradient descent": optax.sgd(rate),
        "momentum": optax.sgd(rate, momentum=0.9),
        "adam": optax.adam(0.1),
        "lbfgs": optax.lbfgs(),
    }
    runs = ls.descend(neuron, optimizers, {"w": 0.0, "b": 0.0}, STEPS)
    fit = {key: leaf[-1, -1] for key, leaf in runs.params.items()}
    hessian = jnp.array(jax.tree.leaves(jax.hessian(neuron.risk)(fit))).reshape(2, 2)
    seen = runs.on(surface)
    return {
        name: surface,
        f"{name}_runs": seen,
        f"{name}_fit": xr.Dataset(
            {
                "w": float(fit["w"]),
                "b": float(fit["b"]),
                "risk": float(neuron.risk(fit)),
                "condition": float(jnp.linalg.cond(hessian)),
                "probability": ("flight", np.asarray(neuron.predict(fit, neuron.data[0]))),
            }
        ),
    }


def _held_out(x, y):
    """Leave-one-out: each flight's risk under the fits to the other 22, one for each λ."""
    everything, walk = np.arange(len(x)), ls.proximal_gradient(4.0)
    penalties = {"λ=0": ls.none()} | {f"λ={s:.4g}": ls.l2(float(s), scope="weights") for s in STRENGTHS}

    def fits(rows):
        neuron, start = ls.neuron(x[rows], y[rows]), {"w": 0.0, "b": 0.0}
        return ls.descend(neuron, walk, start, 400, penalties=penalties, record_every=400)

    held_out, fitted = [], []
    for flight in everything:
        runs = fits(everything != flight)
        left = ls.neuron(x[[flight]], y[[flight]])
        held_out.append(jax.vmap(left.risk)(jax.tree.map(lambda leaf: leaf[:, -1], runs.params)))
        fitted.append(runs.data.risk.values[:, -1])
    runs = fits(everything)
    return xr.Dataset(
        {
            "held_out": (("flight", "strength"), np.array(held_out)),
            "fitted": (("flight", "strength"), np.array(fitted)),
            "w": ("strength", runs.params["w"][:, -1]),
            "b": ("strength", runs.params["b"][:, -1]),
            "gradient_norm": ("strength", runs.data.gradient_norm.values[:, -1]),
        },
        {"strength": np.r_[0.0, STRENGTHS]},
    )
