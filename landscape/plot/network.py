"""A network as a graph of its layers, with what backpropagation passed through it for one example.

>>> import landscape as ls
>>> found = backpropagation(network, params, x, y)                        # doctest: +SKIP
>>> figure = ls.plot.network(found, example=3)                            # doctest: +SKIP
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from landscape import _checks
from landscape.networks.backpropagation import Backpropagation
from landscape.plot import _caller, style

_ERROR = LinearSegmentedColormap.from_list(
    "error", ["#00365C", style.BLUE, "#8FC1DE", "#FFFFFF", "#F2B48A", style.VERMILLION, "#6E3000"]
)
_BAD = "#9A9A9A"  # of what is not finite
_LARGEST, _SMALLEST = 27.0, 4.0  # points: the diameter of a unit
_WIDEST, _THINNEST = 3.2, 0.05  # points: the edge that passes most; thinner ones are white, with endless dashes
_MANY = 30  # edges between two layers, beyond which there is no room for numbers on them
_UNIT, _EDGE, _INDEX = 6.5, 6.2, 6.0  # points: letters
_HEIGHT = 0.72  # of the figure, in widths of one column


class _Layer(NamedTuple):
    """The units of one layer that are drawn."""

    units: np.ndarray  # their indices, ascending
    y: np.ndarray  # their places, downwards from 1 to 0
    delta: np.ndarray | None  # their errors; None for inputs
    size: int  # of the whole layer


def network(
    found: Any, example: int = 0, *, units: int = 8, ax: Axes | None = None, width: float = style.SINGLE
) -> Figure:
    """How much of one example's error every unit caused, and along which edges it was passed back.

    `found`: of `landscape.backpropagation`. A unit has the color of its δ = ∂loss/∂z, an edge from unit i to unit j
    color and width of W_ij δ_j, what j passes back to i; both on one scale, blue and dashed below 0. Times f'(z_i), the
    sum over a unit's outgoing edges is its δ. Inputs, which have no z, are white. Values are written where there is
    room.

    Of a layer with more than `units` units those with the largest |δ| are drawn, of the inputs those with the largest
    |∂loss/∂x|; the heading says how many there are, and small numbers which are drawn (i of W[i, j], from 0). What is
    not finite is gray, and comes first. Draws into `ax`, which makes room for the color bar, or on a new figure `width`
    inches wide.

    Raises: TypeError for what is no Backpropagation; ValueError for an example that is none, and for no units.
    """
    _checks.instance("found", found, Backpropagation, "what landscape.backpropagation returns")
    units = _checks.count("units", units)
    passed = [np.asarray(summands, float) for summands in found.summands_of(example)]
    layers = _layers(found, example, passed, units)
    edges = [
        summands[np.ix_(before.units, after.units)]
        for summands, before, after in zip(passed, layers[:-1], layers[1:], strict=True)
    ]
    drawn = np.concatenate([layer.delta for layer in layers if layer.delta is not None] + [e.ravel() for e in edges])
    largest = np.abs(drawn[np.isfinite(drawn)]).max(initial=0.0) or 1.0
    scale = ScalarMappable(Normalize(-largest, largest), _ERROR)
    with style.context():
        figure, axes = _canvas(ax, width)
        axes.set_gid(style.CARD)
        bad = not np.isfinite(drawn).all()
        _frame(axes, layers, f"example {example}: loss {_text(float(found.losses[example]))}", bad)
        place: dict[str, Any] = {"ax": axes, "fraction": 0.05, "pad": 0.03}
        place = place if ax is None else {"cax": _caller.beside(axes)}
        bar = figure.colorbar(scale, label="$δ$ of units, $W_{ij}\\,δ_j$ on edges", **place)
        bar.outline.set_linewidth(0.6)  # type: ignore[operator]
        figure.draw_without_rendering()  # sizes in print are known from here on
        diameter = _diameter(axes, layers)
        _draw_edges(axes, layers, edges, scale)
        _draw_units(axes, layers, scale, diameter)
        _write(axes, layers, edges, scale, diameter)
    return figure


def _layers(found: Backpropagation, example: int, passed: Sequence[np.ndarray], units: int) -> list[_Layer]:
    """The inputs and the layers, with the units to draw of each."""
    errors = [np.asarray(delta[example], float) for delta in found.delta]
    ranked = [passed[0].sum(axis=1), *errors]
    chosen = [np.sort(np.argsort(-_size(error), kind="stable")[:units]) for error in ranked]
    most = max(map(len, chosen))
    return [
        _Layer(index, _places(len(index), most), None if i == 0 else ranked[i][index], len(ranked[i]))
        for i, index in enumerate(chosen)
    ]


def _size(values: np.ndarray) -> np.ndarray:
    """|v|, infinite where v is NaN."""
    return np.where(np.isnan(values), np.inf, np.abs(values))


def _places(count: int, most: int) -> np.ndarray:
    """Heights of a layer's units, the first on top; a layer of few is spread more, but not over all the height."""
    apart = 1 / np.sqrt(count * most)
    return 0.5 + apart * ((count - 1) / 2 - np.arange(count))


def _canvas(ax: Axes | None, width: float) -> tuple[Figure, Axes]:
    if ax is not None:
        return ax.get_figure(root=True), ax  # type: ignore[return-value]
    figure = style.figure(width, _HEIGHT * min(width, 1.3 * style.SINGLE))
    return figure, figure.subplots()


def _frame(axes: Axes, layers: Sequence[_Layer], title: str, bad: bool) -> None:
    """Headings over the layers, and what is drawn under them."""
    last = len(layers) - 1
    names = ["inputs", *(f"layer {i}" for i in range(1, last)), "output"]
    names = [n if len(layers) <= 7 else n.replace("layer ", "") for n in names]
    left_out = any(len(layer.units) < layer.size for layer in layers)
    counts = [f"{len(layer.units)} of {layer.size}" if len(layer.units) < layer.size else "" for layer in layers]
    labels = [f"{name}\n{count}" if left_out else name for name, count in zip(names, counts, strict=True)]
    axes.set(xlim=(-0.35, last + 0.35), ylim=(0, 1), yticks=[], xticks=range(last + 1))
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0, pad=1)
    axes.set_xticklabels(labels, linespacing=1.05)
    axes.spines[:].set_visible(False)
    gray = ", gray: not finite" if bad else ""
    axes.set_xlabel(f"← the error is passed back (dashed: negative{gray})", fontsize=7.5, labelpad=5)
    axes.set_title(title)


def _points(axes: Axes) -> np.ndarray:
    """Width of a step from layer to layer, and height of the axes, in points."""
    box = axes.get_window_extent()
    span = axes.get_xlim()[1] - axes.get_xlim()[0]
    return np.array([box.width / span, box.height]) * 72 / axes.figure.dpi  # type: ignore[union-attr]


def _diameter(axes: Axes, layers: Sequence[_Layer]) -> float:
    """Of the units, in points: they leave room for each other and for the edges."""
    step, height = _points(axes)
    apart = height / max(len(layer.units) for layer in layers)
    return float(np.clip(min(0.62 * apart, 0.36 * step), _SMALLEST, _LARGEST))


def _color(scale: ScalarMappable, value: float) -> Any:
    return scale.to_rgba(np.array(value)) if np.isfinite(value) else _BAD


def _draw_edges(axes: Axes, layers: Sequence[_Layer], edges: Sequence[np.ndarray], scale: ScalarMappable) -> None:
    """A line an edge over a hairline, which shows that there is one; those that pass most come last."""
    ends, passing = [], []
    for x, passed in enumerate(edges):
        for i, j in np.ndindex(passed.shape):
            ends.append([(x, layers[x].y[i]), (x + 1, layers[x + 1].y[j])])
            passing.append(float(passed[i, j]))
    axes.add_collection(LineCollection(ends, colors=style.GRID, linewidths=0.4, zorder=1))
    values = np.array(passing)
    share = np.where(np.isfinite(values), np.abs(values) / scale.norm.vmax, 0.3)  # type: ignore[operator]
    order = [k for k in np.argsort(_size(values), kind="stable") if _WIDEST * share[k] > _THINNEST]
    lines = LineCollection(
        [ends[k] for k in order],
        colors=[_color(scale, passing[k]) for k in order],
        linewidths=_WIDEST * share[order],
        linestyles=[(0, (2.2, 1.1)) if passing[k] < 0 else "-" for k in order],
        capstyle="butt",
        zorder=2,
    )
    axes.add_collection(lines)


def _draw_units(axes: Axes, layers: Sequence[_Layer], scale: ScalarMappable, diameter: float) -> None:
    for x, layer in enumerate(layers):
        inputs = layer.delta is None
        colors = ["white"] * len(layer.y) if layer.delta is None else [_color(scale, value) for value in layer.delta]
        look: dict[str, Any] = {"edgecolors": "#777777" if inputs else style.INK, "linewidths": 0.6, "zorder": 4}
        axes.scatter(np.full(len(layer.y), x), layer.y, s=diameter**2, c=colors, **look)


# ---- numbers, where there is room


def _write(
    axes: Axes, layers: Sequence[_Layer], edges: Sequence[np.ndarray], scale: ScalarMappable, diameter: float
) -> None:
    """Inputs' names and units' δ in them, which units are drawn under them, and what the edges pass on these."""
    step, height = _points(axes)
    errors = [_text(value) for layer in layers if layer.delta is not None for value in layer.delta]
    inside = max(_length(axes, text, _UNIT) for text in errors) <= diameter - 1.5
    apart = height / max(len(layer.units) for layer in layers) - diameter  # between two units
    for x, layer in enumerate(layers):
        for k, (unit, y) in enumerate(zip(layer.units, layer.y, strict=True)):
            if layer.delta is None:
                text, color, room = f"$x_{{{unit}}}$", style.INK, diameter >= 9
            else:
                color = "white" if style.luminance(_color(scale, layer.delta[k])) < 0.18 else style.INK
                text, room = _text(layer.delta[k]), inside
            if room:
                axes.text(x, y, text, fontsize=_UNIT, color=color, ha="center", va="center_baseline", zorder=5)
            if len(layer.units) < layer.size and layer.delta is not None and apart >= _INDEX:
                under = (0, -0.5 * diameter - 0.5)
                look: dict[str, Any] = {"fontsize": _INDEX, "color": "#666666", "ha": "center", "va": "top"}
                axes.annotate(str(unit), (x, y), under, textcoords="offset points", zorder=5, **look)
    for x, passed in enumerate(edges):
        _write_edges(axes, x, layers[x : x + 2], passed, (step, height, diameter))


def _write_edges(
    axes: Axes, x: int, layers: Sequence[_Layer], passed: np.ndarray, sizes: tuple[float, float, float]
) -> None:
    """What each edge passes, all as far along their edges, near the unit that gets it; none, where they would touch."""
    step, height, diameter = sizes
    before, after = (layer.y for layer in layers)
    if passed.size > _MANY:
        return
    long = max(_length(axes, _text(float(value)), _EDGE) for value in passed.ravel())
    first = (0.5 * diameter + 0.5 * long + 2) / step
    shares = np.linspace(first, 1 - first, 41) if first < 0.5 else np.zeros(0)
    places = [(1 - share) * before[:, None] + share * after[None] for share in shares]
    gaps = [height * np.diff(np.sort(place.ravel())).min(initial=np.inf) for place in places]
    if not gaps or max(gaps) < 1.25 * _EDGE:
        return
    best = next(i for i, gap in enumerate(gaps) if gap >= min(1.6 * _EDGE, max(gaps)))
    look: dict[str, Any] = {"fontsize": _EDGE, "ha": "center", "va": "center_baseline", "zorder": 3}
    look["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}
    for i, j in np.ndindex(passed.shape):
        axes.text(x + shares[best], float(places[best][i, j]), _text(float(passed[i, j])), **look)


def _text(value: float) -> str:
    """A number to two digits, with a minus sign."""
    return f"{value:.2g}".replace("-", "−").replace("e−0", "e−").replace("e+0", "e")


def _length(axes: Axes, text: str, size: float) -> float:
    """The width of a text in points."""
    drawn = axes.text(0, 0, text, fontsize=size)
    width = drawn.get_window_extent().width * 72 / axes.figure.dpi  # type: ignore[union-attr]
    drawn.remove()
    return width
