"""Data sets for tests of pictures, in closed form, and what is read back from a figure."""

import io
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from problems import pair_gradient, pair_risk

SWEEP = {"λ=0": 0.0, "λ=0.01": 0.01, "λ=0.1": 0.1, "λ=1": 1.0}
W = np.array([-10.0, -7, -5, -3, -1, 0, 0.5, 1, 1.25, 2, 3, 5, 6, 7.5, 8, 9, 10])  # uneven, and not as long as b
B = np.linspace(-4, 6, 11)


@pytest.fixture(autouse=True)
def closed():
    """No figure outlives its test."""
    yield
    plt.close("all")


def formulas(strengths):
    return json.dumps({label: f"{strength:g}·‖θ‖²" for label, strength in strengths.items()})


def pair_surface(w=W, b=B, strengths=SWEEP, bad=None):
    """The pair's surface in closed form, as `evaluate` returns it. `strengths` {"": λ}: no sweep. `bad(w, b)`: NaN."""
    grid_w, grid_b = np.meshgrid(w, b, indexing="ij")
    finite = np.ones(grid_w.shape, bool) if bad is None else ~bad(grid_w, grid_b)
    risk = np.where(finite, pair_risk(grid_w, grid_b), np.nan)
    slope = np.stack(pair_gradient(grid_w, grid_b))
    swept = list(strengths) != [""]
    dims = ("penalty", "w", "b") if swept else ("w", "b")
    each = [
        (risk + s * (grid_w**2 + grid_b**2), slope + 2 * s * np.stack([grid_w, grid_b])) for s in strengths.values()
    ]
    objective = np.stack([j for j, _ in each]) if swept else each[0][0]
    norm = np.stack([np.hypot(*g) for _, g in each]) if swept else np.hypot(*each[0][1])
    surface = xr.Dataset(
        {
            "risk": (("w", "b"), risk, {"long_name": "risk", "units": "1"}),
            "objective": (dims, objective, {"long_name": "objective", "units": "1"}),
            "gradient_norm": (dims, norm, {"long_name": "norm of the gradient", "units": "1"}),
            "risk_gradient_norm": (("w", "b"), np.hypot(*slope), {"long_name": "norm of the risk's gradient"}),
            "finite": (("w", "b"), finite),
        },
        {"w": ("w", w, {"long_name": "w", "units": "1"}), "b": ("b", b, {"long_name": "bias", "units": "°F"})},
        {"kind": "surface", "objective": "R(w, b)", "objective_id": "pair", "chart": "{}", "chart_id": "axes"},
    )
    surface.attrs["penalties"] = formulas(strengths)
    return (
        surface.assign_coords(penalty=list(strengths), strength=("penalty", list(strengths.values())))
        if swept
        else surface
    )


class Walks:
    """A stand-in for a Trajectory: `data`, and `on` that adds the coordinates."""

    def __init__(self, data, w, b):
        self.data, self._w, self._b = data, w, b

    def on(self, surface):
        dims = self.data.objective.dims
        return self.data.assign(w=(dims, self._w), b=(dims, self._b)).assign_attrs(chart_id="axes")


def walks(optimizers=("sgd", "adam"), strengths=SWEEP, starts=3, steps=12, end=None, fails=None):
    """Straight lines from starts inside the window to each penalty's own end point (w = 4 − index, b = 0)."""
    leading = {"optimizer": list(optimizers), "penalty": list(strengths), "start": list(range(starts))}
    o, p, s, t = np.meshgrid(*map(np.arange, map(len, leading.values())), np.linspace(0, 1, steps + 1), indexing="ij")
    goal = 4.0 - p if end is None else np.full(p.shape, end[0])
    w = (1 - t) * (-6 + s) + t * goal
    b = (1 - t) * (4 - 2 * s / max(starts - 1, 1) + 0.1 * o) + t * (0.0 if end is None else end[1])
    finite = np.ones(w.shape, bool)
    if fails is not None:
        finite[fails] = False
        w, b = np.where(finite, w, np.nan), np.where(finite, b, np.nan)
    strength = np.array(list(strengths.values()))[:, None, None]
    with np.errstate(invalid="ignore"):
        risk = np.where(finite, pair_risk(np.nan_to_num(w), np.nan_to_num(b)), np.nan)
        norm = np.where(finite, np.hypot(*pair_gradient(np.nan_to_num(w), np.nan_to_num(b))), np.nan)
    dims = (*leading, "step")
    data = xr.Dataset(
        {
            "risk": (dims, risk, {"long_name": "risk"}),
            "objective": (dims, risk + strength * (w**2 + b**2), {"long_name": "objective"}),
            "gradient_norm": (dims, norm, {"long_name": "norm of the gradient"}),
            "finite": (dims, finite),
        },
        {**leading, "step": np.arange(steps + 1), "strength": ("penalty", list(strengths.values()))},
        {"kind": "trajectory", "objective": "R(w, b)", "objective_id": "pair", "penalties": formulas(strengths)},
    )
    if list(strengths) == [""]:
        data, w, b = data.isel(penalty=0, drop=True), w[:, 0], b[:, 0]
    return Walks(data, w, b)


def meshes(figure):
    """The panels' meshes, in order; color bars left out."""
    found = [
        (ax, c)
        for ax in figure.axes
        for c in ax.collections
        if isinstance(c, QuadMesh) and ax.get_title() + ax.get_xlabel()
    ]
    return [c for ax, c in found if ax.get_label() != "<colorbar>"]


def panels(figure):
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def bars(figure):
    every = [ax for panel in figure.axes for ax in (panel, *panel.child_axes)]
    return [ax for ax in every if ax.get_label() == "<colorbar>"]


def legend_labels(figure):
    """The legend's entries, and the remark over them."""
    found = {text.get_text() for legend in figure.legends for text in (*legend.get_texts(), legend.get_title())}
    return found - {""}


def lines_of(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def rendered(figure, kind="png"):
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind)
    return buffer.getvalue()
