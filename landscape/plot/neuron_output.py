"""What a neuron answers: h(x) for several params, with the data on it.

>>> import landscape as ls
>>> pair = ls.neuron(*ls.datasets.pair())
>>> params = {f"w = {w}": {"w": float(w), "b": 0.0} for w in (1, 2, 5, 20)}
>>> figure = ls.plot.neuron_output(pair, params)                          # doctest: +SKIP
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.plot import _page, _panels, style

_POINTS = 513
_MARGIN = 0.5  # the curves go on beyond the data by this share of their range


def neuron_output(
    objective: Any,
    params_by_label: Mapping[str, Any],
    *,
    x: Any = None,
    x_label: str = "$x$",
    y_label: str = "$h(x)$",
    ax: Axes | None = None,
    width: float = style.SINGLE,
) -> Figure:
    """h(x) for each of the params, dark to light in the order given, with the examples as points (weights as sizes).

    `objective.data` is (x, y) or (x, y, weights) with x and y of shape (n,); `objective.predict(params, x)` is called
    with the positions `x` of shape (m,), by default the data's range and half of it beyond either end.

    Raises: ValueError if there are no params, no `predict`, or no one-dimensional data.
    """
    data = _data(objective)
    if not params_by_label:
        raise ValueError('`params_by_label` is empty; give at least one, such as {"w = 1": {"w": 1.0, "b": 0.0}}.')
    positions = _positions(data[0]) if x is None else np.asarray(x)
    if positions.ndim != 1:
        raise ValueError(f"`x` has shape {positions.shape}; it must be 1-D, such as np.linspace(-2, 2, 401).")
    with style.context():
        figure, axes = _page.canvas(ax, width)
        for label in (0, 1) if np.all((data[1] >= 0) & (data[1] <= 1)) else ():
            axes.axhline(label, color=style.GRID, linewidth=0.6, zorder=0)
        for i, (label, params) in enumerate(params_by_label.items()):
            output = np.asarray(objective.predict(_arrays(params, data[0].dtype), positions.astype(data[0].dtype)))
            axes.plot(
                positions, output, color=style.sequence_color(i, len(params_by_label)), label=_panels.title_of(label)
            )
        _points(axes, data)
        axes.set(xlabel=x_label, ylabel=y_label, xlim=(positions[0], positions[-1]))
        axes.spines[["top", "right"]].set_visible(False)
        axes.locator_params(axis="x", nbins=6, steps=[1, 2, 5, 10])
        handles = axes.get_legend_handles_labels()[0]
        _page.finish(figure, axes, [handles], own=ax is None, handlelength=1.6)
    return figure


def _data(objective: Any) -> tuple[np.ndarray, ...]:
    if getattr(objective, "predict", None) is None:
        raise ValueError(
            "`objective` has no `predict`; give it one: landscape.Objective(..., predict=lambda params, x: ...)."
        )
    data = objective.data
    arrays = tuple(map(np.asarray, data)) if isinstance(data, (tuple, list)) else ()
    if len(arrays) not in (2, 3) or any(a.ndim != 1 for a in arrays):
        came = ", ".join(str(a.shape) for a in arrays) or type(data).__name__
        raise ValueError(
            f"`objective.data` is {came}; this picture needs (x, y) with one input: x and y of shape (n,)."
        )
    return arrays


def _arrays(params: Any, dtype: np.dtype) -> Any:
    """Params given as plain numbers as arrays."""
    import jax

    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype) if isinstance(leaf, (int, float)) else leaf, params)


def _positions(x: np.ndarray) -> np.ndarray:
    low, high = float(x.min()), float(x.max())
    reach = _MARGIN * (high - low or 1.0)
    return np.linspace(low - reach, high + reach, _POINTS)


def _points(axes: Axes, data: tuple[np.ndarray, ...]) -> None:
    """The examples; equal ones side by side in area, so that a repeated example looks heavier."""
    weights = data[2].astype(float) if len(data) == 3 else np.ones(len(data[0]))
    places, inverse = np.unique(np.stack(data[:2], axis=1).astype(float), axis=0, return_inverse=True)
    mass = np.bincount(inverse.ravel(), weights)
    sizes = 16 * mass / mass[mass > 0].min() if (mass > 0).any() else np.full(len(mass), 16.0)
    axes.scatter(
        *places.T,
        s=np.minimum(sizes, 120),
        facecolor="white",
        edgecolor=style.INK,
        linewidth=0.8,
        zorder=5,
        label="data",
        clip_on=False,
    )
