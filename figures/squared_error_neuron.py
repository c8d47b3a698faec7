"""One neuron under squared error: plateaus and several minima; under cross-entropy one minimum.

The sigmoid neuron h(x) = σ(w · x) without a bias, float64. Axes of weights are linear within ±0.1 and close to
logarithmic beyond. (a) Half squared error on x = 1 and 30 with the targets 0.9 and 0.1: the loss of each example, and
the risk, their mean. (b) Cross-entropy on the same data. (c) The absolute derivative of both risks; dotted lines lead
from its zeros to the signs on the floor. (d) Half squared error on x = 1, 10, 100 with the targets 0.9, 0.1, 0.9. (e)
Half squared error in two dimensions: four examples, those of (a) on each axis. (f) Cross-entropy on the data of (e).
The signs are the critical points that `critical_points` found from a grid of starts.

Squared error has exactly two minima in (a), at w = −0.06321665 and 2.19722458, with the risks 0.0435 and 0.2025, and
a maximum at 0.19079774: the exact census of `closed_form` has the same three points and no others. Both sides end in
a plateau of risk 0.205, to which more than half of the starts escape. For |w| from 20 to 30 the derivative is below
10⁻⁸, and beyond |w| = 3 it has no zero. Cross-entropy has one critical point, the minimum at −0.06838265, by the
census too; its derivative tends to −1.95 and 13.55, and no start escapes. In (d) there are three minima and two
maxima, again those of the census. In (e) there are four minima, four saddles and one maximum: all pairs of the three
points of (a), because the risk is the mean of two risks of one weight each. Each of these critical points is proved
to be an isolated one. So n examples in d dimensions give ⌊n/d⌋ᵈ minima: 2, 3 and 4. In (f) there is one minimum, and
`attainment` proves that it is the only minimizer.

Source: Auer, Herbster & Warmuth (1995): one neuron with squared error can have ⌊n/d⌋ᵈ minima; with its matching loss,
cross-entropy for the sigmoid, only one.
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle, without_legend
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

SQUARED, CROSS_ENTROPY = "half_squared_error", "cross_entropy"
PAIR = np.array([1.0, 30.0]), np.array([0.9, 0.1])
TRIPLE = np.array([1.0, 10.0, 100.0]), np.array([0.9, 0.1, 0.9])
PLANE = np.kron(np.eye(2), PAIR[0][:, None]), np.tile(PAIR[1], 2)  # the pair on each axis
LINEAR = 0.1  # half the width of what is linear of an axis
KINDS = {"minimum": 1.0, "saddle": 0.0, "maximum": -1.0}


def spread(count, limit):
    """Weights from −limit to limit, even on such an axis."""
    return LINEAR * np.sinh(np.linspace(-1, 1, count) * np.arcsinh(limit / LINEAR))


SCAN = spread(2001, 30.0)
EDGES = spread(201, 10.0)
STARTS = {1: spread(101, 8.0), 2: np.stack(np.meshgrid(spread(21, 8.0), spread(21, 8.0)), axis=-1).reshape(-1, 2)}
QUICK = {
    "SCAN": spread(301, 30.0),
    "EDGES": spread(81, 10.0),
    "STARTS": {1: spread(25, 8.0), 2: np.stack(np.meshgrid(spread(9, 8.0), spread(9, 8.0)), axis=-1).reshape(-1, 2)},
}


def neuron(data, loss):
    return ls.neuron(*data, loss=loss, activation="sigmoid", bias=False)


def compute():
    data = {}
    with jax.enable_x64(True):
        for loss in (SQUARED, CROSS_ENTROPY):
            data |= {f"pair_{loss}": _scanned(PAIR, loss), f"pair_points_{loss}": _points(PAIR, loss)}
            data |= {f"plane_{loss}": _surface(loss), f"plane_points_{loss}": _points(PLANE, loss)}
        data |= {"triple": _scanned(TRIPLE, SQUARED), "triple_points": _points(TRIPLE, SQUARED)}
    return data


def _surface(loss):
    objective, axes = neuron(PLANE, loss), {"w[0]": EDGES, "w[1]": EDGES}
    return ls.evaluate(objective, ls.axes_plane(objective.params, *axes), axes)


def _scanned(data, loss):
    """Risk and derivative along the weight, and the loss of each example."""

    def along(x, t):
        objective = neuron((x, t), loss)
        plane = ls.axes_plane(objective.params, "w")
        return ls.evaluate(objective, plane, {"w": SCAN}, quantities=("risk", "slope"))

    whole = along(*data)
    each = np.array([along(x[None], t[None]).risk.values for x, t in zip(*data, strict=True)])
    return xr.Dataset({"risk": whole.risk, "slope": whole.slope[:, 0], "loss": (("example", "w"), each)})


def _points(data, loss):
    """The critical points as numbers, what became of the starts, and the census, where there is one."""
    objective, dimension = neuron(data, loss), data[0].ndim
    found = ls.critical_points(objective, {"w": STARTS[dimension]})
    kinds = np.array([KINDS.get(str(kind), np.nan) for kind in found.data.kind.values])
    attained = ls.attainment(objective)
    proved = attained.unique and attained.certificate is not None and attained.certificate.verify()
    values = {
        "kind": ("point", kinds),
        "certified": ("point", found.data.certified.values.astype(float)),
        "risk": ("point", found.data.risk.values),
        "place": (("point", "axis"), found.params["w"].reshape(-1, dimension)),
        "escaped": found.data.attrs["escaped"] / found.data.attrs["starts"],
        "plateau": ("direction", found.escapes.objective.values),
        "direction_w": (("direction", "axis"), found.directions["w"].reshape(-1, dimension)),
        "only": float(bool(proved)),
    }
    if dimension == 1:
        census = ls.closed_form(objective).census.points
        values["exact"] = ("root", np.array([point.w for point in census]))
        values["exact_kind"] = ("root", np.array([KINDS[point.kind] for point in census]))
    return xr.Dataset(values)


# ---- the picture

SIGNS = {
    1.0: STAR,
    0.0: style.kind_style("saddle"),
    -1.0: style.kind_style("maximum"),
}
TICKS = {-10: "−10", -1: "−1", -0.1: "−0.1", 0: "", 0.1: "0.1", 1: "1", 10: "10"}
EXAMPLES = (style.ORANGE, style.SKY, style.PURPLE)
RISKS = {SQUARED: style.BLUE, CROSS_ENTROPY: style.VERMILLION}
FLOOR = 1e-12


NAMES = {  # of the examples, and where they are written
    f"pair_{SQUARED}": {"$x$ = 1": (-18, 0.425), "$x$ = 30": (1.6, 0.425)},
    f"pair_{CROSS_ENTROPY}": {"$x$ = 1": (2.2, 1.5), "$x$ = 30": (-0.3, 2.2)},
    "triple": {"$x$ = 1": (-19, 0.33), "$x$ = 10": (1.6, 0.425), "$x$ = 100": (-0.8, 0.425)},
}
POINTS = {name: name.replace("pair", "pair_points").replace("triple", "triple_points") for name in NAMES}


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.5)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.12))
    top, bottom = upper.subplots(1, 3), lower.subplots(1, 3)
    for ax, name in zip((top[0], top[1], bottom[0]), NAMES, strict=True):
        _draw_losses(ax, data[name], data[POINTS[name]], name)
    _draw_slopes(top[2], data)
    for ax, loss in zip(bottom[1:], RISKS, strict=True):
        _draw_plane(ax, data[f"plane_{loss}"], data[f"plane_points_{loss}"])
    names = ("squared error", "cross-entropy", "where the gradient vanishes")
    names += ("squared error, 3 examples", "squared error, 2 weights", "cross-entropy, 2 weights")
    for ax, letter, name in zip((*top, *bottom), "abcdef", names, strict=True):
        head(ax, letter, name)
    lower.legend(handles=_entries(), loc="outside lower center", ncols=6, handlelength=2.4)
    return settle(figure)


def _weight_axis(axis, limit):
    name = axis.axis_name
    getattr(axis.axes, f"set_{name}scale")("asinh", linear_width=LINEAR)
    shown = {at: text for at, text in TICKS.items() if abs(at) <= limit}
    axis.set_ticks(list(shown), list(shown.values()))
    axis.set_ticks([], minor=True)
    axis.axes.set(**{f"{name}lim": (-limit, limit)})


def _mark(ax, x, y, kinds, **changes):
    for kind in np.unique(kinds[np.isfinite(kinds)]):
        ax.plot(x[kinds == kind], y[kinds == kind], zorder=6, **(SIGNS.get(kind, {}) | changes))


def _draw_losses(ax, scan, points, name):
    squared = CROSS_ENTROPY not in name
    for i, (label, at) in enumerate(NAMES[name].items()):
        ax.plot(scan.w, scan.loss[i], color=EXAMPLES[i], linestyle=style.dashes(i + 1))
        ax.text(*at, label, fontsize=7.5, va="center")
    ax.plot(scan.w, scan.risk, color=RISKS[SQUARED if squared else CROSS_ENTROPY], linewidth=1.5)
    _mark(ax, points.place[:, 0].values, points.risk.values, points.kind.values)
    open_frame(ax)
    _weight_axis(ax.xaxis, SCAN[-1])
    ax.set(xlabel="$w$", ylabel="loss", ylim=(0, 0.45 if squared else 3))


def _draw_slopes(ax, data):
    for loss, color in RISKS.items():
        scan, points = data[f"pair_{loss}"], data[f"pair_points_{loss}"]
        place, size = points.place[:, 0].values, abs(scan.slope)
        ax.semilogy(scan.w, size, color=color)
        ax.vlines(place, FLOOR, np.interp(place, scan.w, size), color=color, linestyle=":", linewidth=0.9)
        at = np.full(len(place), FLOOR)
        _mark(
            ax,
            place,
            at,
            points.kind.values,
            markerfacecolor=color if loss == CROSS_ENTROPY else "white",
            clip_on=False,
        )
    open_frame(ax)
    _weight_axis(ax.xaxis, SCAN[-1])
    ax.set(xlabel="$w$", ylabel="|derivative|", ylim=(FLOOR, 100), yticks=10.0 ** np.arange(-12, 3, 3))
    ax.minorticks_off()


def _draw_plane(ax, surface, points):
    ls.plot.contour(surface, "risk", ax=ax)
    without_legend(ax)
    for line in list(ax.lines):  # the least cell of the grid, beside the minimum
        line.remove()
    _mark(ax, *points.place.values.T, points.kind.values)
    ax.set_box_aspect(None)
    for axis in (ax.xaxis, ax.yaxis):
        _weight_axis(axis, EDGES[-1])
    ax.set(xlabel="$w_1$", ylabel="$w_2$")


def _entries():
    names = {SQUARED: "squared error", CROSS_ENTROPY: "cross-entropy"}
    entries = [
        Line2D([], [], color=color, linewidth=1.5, label=f"risk, {names[loss]}") for loss, color in RISKS.items()
    ]
    entries.append(Line2D([], [], color=EXAMPLES[0], linestyle=style.dashes(1), label="loss of an example"))
    kinds = ("minimum", "saddle", "maximum")
    return entries + [Line2D([], [], label=kind, **look) for kind, look in zip(kinds, SIGNS.values(), strict=True)]


# ---- the claims


def claims(data):
    squared, crossed = (data[f"pair_points_{loss}"] for loss in RISKS)
    scan, crossed_scan = (data[f"pair_{loss}"] for loss in RISKS)
    triple, plane, crossed_plane = (
        data["triple_points"],
        data[f"plane_points_{SQUARED}"],
        data[f"plane_points_{CROSS_ENTROPY}"],
    )
    far, beyond = abs(scan.slope.w) >= 20, abs(scan.slope.w) > 3
    slope = scan.slope[beyond]
    pairs = np.stack(np.meshgrid(squared.place, squared.place), axis=-1).reshape(-1, 2)
    return {
        "Squared error has exactly two minima in (a), at w = −0.06321665 and 2.19722458, with the risks 0.0435 and "
        "0.2025, and a maximum at 0.19079774: the exact census of `closed_form` has the same three points and no "
        "others.": bool(
            np.array_equal(squared.kind, [1, 1, -1])
            and np.allclose(squared.place[:, 0], [-0.06321665, 2.19722458, 0.19079774], rtol=0, atol=5e-9)
            and np.allclose(squared.risk[:2], [0.0435, 0.2025], rtol=0, atol=5e-5)
            and _same(squared)
        ),
        "Both sides end in a plateau of risk 0.205, to which more than half of the starts escape.": bool(
            np.allclose(scan.risk[[0, -1]], 0.205, rtol=0, atol=1e-9)
            and np.allclose(squared.plateau, 0.205, rtol=0, atol=1e-6)
            and set(np.sign(squared.direction_w.values.ravel())) == {-1.0, 1.0}
            and squared.escaped > 0.5
        ),
        "For |w| from 20 to 30 the derivative is below 10⁻⁸, and beyond |w| = 3 it has no zero.": bool(
            (abs(scan.slope[far]) < 1e-8).all() and (slope * np.sign(slope.w) > 0).all()
        ),
        "Cross-entropy has one critical point, the minimum at −0.06838265, by the census too; its derivative tends to "
        "−1.95 and 13.55, and no start escapes.": bool(
            np.array_equal(crossed.kind, [1])
            and np.allclose(crossed.place, -0.06838265, rtol=0, atol=5e-9)
            and _same(crossed)
            and np.allclose(crossed_scan.slope[[0, -1]], [-1.95, 13.55], rtol=0, atol=1e-9)
            and crossed.escaped == 0
        ),
        "In (d) there are three minima and two maxima, again those of the census.": bool(
            _count(triple) == (3, 0, 2) and _same(triple)
        ),
        "In (e) there are four minima, four saddles and one maximum: all pairs of the three points of (a), because the "
        "risk is the mean of two risks of one weight each.": bool(
            _count(plane) == (4, 4, 1)
            and all(np.abs(plane.place.values - pair).max(axis=1).min() < 1e-12 for pair in pairs)
        ),
        "Each of these critical points is proved to be an isolated one.": bool(
            all((points.certified == 1).all() for points in (squared, crossed, triple, plane, crossed_plane))
        ),
        "So n examples in d dimensions give ⌊n/d⌋ᵈ minima: 2, 3 and 4.": [
            _count(points)[0] for points in (squared, triple, plane)
        ]
        == [(n // d) ** d for n, d in ((2, 1), (3, 1), (4, 2))],
        "In (f) there is one minimum, and `attainment` proves that it is the only minimizer.": bool(
            _count(crossed_plane) == (1, 0, 0)
            and np.allclose(crossed_plane.place, crossed.place[0], rtol=0, atol=1e-12)
            and crossed_plane.only == 1
        ),
    }


def _count(points):
    """How many minima, saddles and maxima."""
    return tuple(int((points.kind == kind).sum()) for kind in SIGNS)


def _same(points):
    """Whether the points found are those of the census, kind for kind."""
    order = np.argsort(points.place.values[:, 0])
    found, kinds = points.place.values[order, 0], points.kind.values[order]
    return (
        points.sizes["point"] == points.sizes["root"]
        and np.allclose(found, points.exact, rtol=0, atol=1e-12)
        and np.array_equal(kinds, points.exact_kind)
    )
