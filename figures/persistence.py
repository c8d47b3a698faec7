"""A penalty removes the minima one after another, the shallowest first.

One neuron with the sigmoid, squared error and two weights, without bias, on five examples, x = (1, 0), (30, 0), (0, 1),
(0, 15) and (1, 1) with the targets 0.9, 0.1, 0.9, 0.1 and 0.9, and an l2 penalty of strength λ. (a)–(c) The objective
for λ = 0, 0.025 and 0.05 on 241×241 cells. From each minimum, a star, a line leads to the saddle, a square, at which
its component of the sublevel set merges into that of a lower minimum, and on, dotted, to the minimum behind; the
triangle is the maximum inside a loop. (d) The barcode of (a), from the value at the birth to that at the death; dashed,
the loop. (e) Persistence, the height of the saddle over the minimum, against λ: lines of the grid, circles of the
critical points that `critical_points` found from 121 starts and proved; dotted, the λ of (b) and (c). (f) For λ = 0, on
a window up to ±10 whose cells are narrow around 0 and wide outside: the persistence of all minima but the lowest on
finer and finer grids; in grey those that are none of the four.

Without a penalty there are four minima, four saddles and one maximum, each proved to be isolated; the grid has the same
four minima, and one loop, which dies at the maximum. Each of the three higher minima merges into the lowest one, for
every λ. All persistences fall as λ grows, and the minima vanish in the order of their persistence at λ = 0, the least
first: there are four up to λ = 0.0175, three at 0.02 and 0.025, two from 0.03 to 0.06, and one from 0.065 on. Grid and
proved points have equally many minima at every λ, and minima minus saddles plus maxima are always 1. The persistence on
the grid is the difference of the objective between the proved saddle and the proved minimum, to within 4·10⁻⁵. In (f)
each grid has more than four minima: where a valley runs oblique to the axes, no cell beside, above or below may be
lower. Their persistence shows them to be the grid's own: at most 1/20 of that of any of the four on every grid, and on
the finest 1/20 of what it is on the coarsest, while that of the four changes by less than 2 %.

Source: the minima as in Auer, Herbster & Warmuth (1995); persistence as in Edelsbrunner & Harer (2010), Computational
Topology, chapter VII.
"""

import jax
import numpy as np
import xarray as xr
from _page import head, open_frame, settle, without_legend
from matplotlib.lines import Line2D

import landscape as ls
from landscape.plot import style

X = np.array([[1.0, 0], [30, 0], [0, 1], [0, 15], [1, 1]])
TARGETS = np.array([0.9, 0.1, 0.9, 0.1, 0.9])
SHOWN = {0.0: (-0.6, 3.0), 0.025: (-0.4, 0.9), 0.05: (-0.3, 0.6)}  # λ of the upper panels: their windows
STRENGTHS = np.array([0, 1, 2, 3, 4, 6, 8, 10, 12.5, 15, 17.5, 20, 25, 30, 40, 50, 60, 65, 100]) / 1000
LEAST = 2e-6  # pairs of a smaller persistence are dropped
CELLS = (41, 81, 161, 321, 641)
QUICK = {"STRENGTHS": np.array([0, 5, 10, 25, 50, 100]) / 1000, "CELLS": (11, 21, 41, 81, 161)}
LINEAR = 0.1  # half the width of what is linear of an axis
HIGHER = np.array([[1, 0], [0, 1], [1, 1]])  # minima 1 to 3: which of the weights are large
LARGE = 0.12
KINDS = ("minimum", "saddle", "maximum")


def spread(count, limit):
    """Weights from −limit to limit, narrow around 0."""
    return LINEAR * np.sinh(np.linspace(-1, 1, count) * np.arcsinh(limit / LINEAR))


EDGE = np.linspace(*SHOWN[0.0], 241)
STARTS = {"w": np.stack(np.meshgrid(spread(11, 8.0), spread(11, 8.0)), axis=-1).reshape(-1, 2)}


def penalty(strength):
    return ls.l2(float(strength)) if strength else ls.none()


def neuron(strength=0.0):
    return ls.neuron(X, TARGETS, loss="half_squared_error", bias=False, penalty=penalty(strength))


def surface_of(edge, penalties=None):
    objective, axes = neuron(), {"w[0]": edge, "w[1]": edge}
    return ls.evaluate(objective, ls.axes_plane(objective.params, *axes), axes, penalties=penalties)


def compute():
    with jax.enable_x64(True):
        swept = surface_of(EDGE, {f"λ={strength:.4g}": penalty(strength) for strength in STRENGTHS})
        found = [ls.persistence(swept.isel(penalty=i)).at_least(LEAST) for i in range(len(STRENGTHS))]
        data = {"sweep": _sweep(found), "grids": _grids()}
        for number, (strength, window) in enumerate(SHOWN.items()):
            surface = surface_of(np.linspace(*window, 241), {"": penalty(strength)}).isel(penalty=0, drop=True)
            one = ls.persistence(surface).at_least(LEAST)
            data[f"pairs_{number}"] = one.pairs
            data[f"cells_{number}"] = xr.Dataset({"objective": one.values, "basin": one.basins})
    return data


def _sweep(found):
    """For each λ: persistence and merges on the grid, those of the proved critical points, and how many there are."""
    rows = [
        _row(one, ls.critical_points(neuron(strength), STARTS)) for one, strength in zip(found, STRENGTHS, strict=True)
    ]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    dims = {"persistence": "minimum", "exact": "minimum", "into": "minimum", "counts": "kind", "peak": "weight"}
    dims |= {"exact_peak": "weight", "low_at": "minimum"}
    variables = {name: (("strength", dims.get(name, ""))[: v.ndim], v) for name, v in columns.items()}
    return xr.Dataset(variables, {"strength": STRENGTHS})


def _row(one, points):
    kinds, value = points.data.kind.values.astype(str), points.data.objective.values
    places = points.params["w"]
    minima, loops = one.minima, one.pairs.isel(pair=one.pairs.homology.values == 1)

    def nearest(kind, at):
        own = np.flatnonzero(kinds == kind)
        return own[np.abs(places[own] - at).max(axis=1).argmin()]

    height, exact, into, off = (np.full(3, np.nan) for _ in range(4))
    for i, large in enumerate(HIGHER):
        own = minima.isel(pair=((minima.birth_at.values > LARGE) == large).all(axis=1))
        if own.sizes["pair"] == 1:
            low = nearest("minimum", own.birth_at.values[0])
            over = nearest("saddle", own.death_at.values[0])
            height[i], into[i] = own.persistence.values[0], own.merges_into.values[0]
            exact[i], off[i] = value[over] - value[low], np.abs(places[low] - own.birth_at.values[0]).max()
    peak = loops.death_at.values[0] if loops.sizes["pair"] else np.full(2, np.nan)
    return {
        "persistence": height,
        "exact": exact,
        "into": into,
        "low_at": off,
        "peak": peak,
        "exact_peak": places[nearest("maximum", peak)] if "maximum" in kinds else np.full(2, np.nan),
        "counts": np.array([float((kinds == kind).sum()) for kind in KINDS]),
        "minima": float(minima.sizes["pair"]),
        "loops": float(loops.sizes["pair"]),
        "certified": float(points.data.certified.all()),
        "roughness": one.roughness,
    }


def _grids():
    """The persistence of all minima but the lowest, and whether each is one of the four, grid by grid."""
    finest = surface_of(spread(CELLS[-1], 10.0))
    steps = [slice(None, None, (CELLS[-1] - 1) // (count - 1)) for count in CELLS]  # coarser grids are parts of it
    found = [ls.persistence(finest.isel({"w[0]": step, "w[1]": step})) for step in steps]
    found = [one.minima.isel(pair=slice(1, None)) for one in found]
    most = max(one.sizes["pair"] for one in found)
    heights, real = np.full((2, len(CELLS), most), np.nan)
    for row, one in enumerate(found):
        inside = (np.abs(one.birth_at.values) < 3).all(axis=1)
        heights[row, : len(inside)], real[row, : len(inside)] = one.persistence.values, inside
    return xr.Dataset(
        {"persistence": (("cells", "pair"), heights), "genuine": (("cells", "pair"), real)}, {"cells": list(CELLS)}
    )


# ---- the picture

COLORS = (style.SKY, style.GREEN, style.PURPLE)  # of the minima 1 to 3, as in the upper panels

GREY = style.kind_style("minimum") | {
    "markerfacecolor": "#B5B5B5",
    "markeredgecolor": "#666666",
    "markeredgewidth": 0.4,
}


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.9)
    top, bottom = figure.subplots(2, 3, height_ratios=(1.2, 1))
    for number, (ax, strength) in enumerate(zip(top, SHOWN, strict=True)):
        ls.plot.persistence(result(data, number), "surface", ax=ax)
        ax.set_box_aspect(1)
        ax.set(xlabel="$w_1$", ylabel="$w_2$" if number == 0 else "")
        without_legend(ax)
        head(ax, "abc"[number], f"$\\lambda$ = {strength:g}")
    ls.plot.persistence(result(data, 0), "barcode", ax=bottom[0])
    without_legend(bottom[0])
    bottom[0].set_yticks(range(5), ["0", "1", "2", "3", "loop"], fontsize=7.5)
    _draw_sweep(bottom[1], data["sweep"])
    _draw_grids(bottom[2], data["grids"])
    headings = "barcode at $\\lambda$ = 0", "persistence against $\\lambda$", "real minima and the grid's own"
    for ax, letter, heading in zip(bottom, "def", headings, strict=True):
        head(ax, letter, heading)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=6, handlelength=1.6)
    return settle(figure)


def result(data, number):
    cells = data[f"cells_{number}"]
    return ls.Persistence(data[f"pairs_{number}"], cells.objective, cells.basin)


def _draw_sweep(ax, sweep):
    sweep = sweep.isel(strength=sweep.strength.values > 0)
    for i, color in enumerate(COLORS):
        ax.loglog(sweep.strength, sweep.persistence[:, i], color=color, linewidth=1.5)
        ax.plot(sweep.strength, sweep.exact[:, i], "o", markersize=3.0, markerfacecolor="white", markeredgecolor=color)
        there = np.flatnonzero(np.isfinite(sweep.persistence[:, i]))[0]
        at = sweep.strength[there], sweep.persistence[there, i]
        ax.annotate(str(i + 1), at, (-7, 2 - 2 * i), textcoords="offset points", va="center", fontsize=7.5)
    for strength in list(SHOWN)[1:]:
        ax.axvline(strength, color="#777777", linestyle=":", linewidth=0.9, zorder=1)
    open_frame(ax)
    ax.set(xlabel="$\\lambda$", ylabel="persistence", xlim=(7e-4, 0.12), ylim=(3e-5, 5e-2))


def _draw_grids(ax, grids):
    for row, cells in enumerate(grids.cells.values):
        own = grids.isel(cells=row)
        for i, height in enumerate(own.persistence.values):
            if own.genuine[i] == 0:
                ax.plot(cells, height, **GREY)
    for i, color in enumerate(COLORS):
        look = style.kind_style("minimum") | {"markerfacecolor": color, "linestyle": "-", "color": color}
        ax.plot(grids.cells, grids.persistence[:, i], **look)
    ax.set(xscale="log", yscale="log", xlabel="cells along each axis", ylabel="persistence", ylim=(1e-7, 0.1))
    ax.set_xticks(grids.cells.values, [str(cells) for cells in grids.cells.values])
    ax.minorticks_off()
    open_frame(ax)


def _legend():
    circle = {"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "markeredgecolor": style.INK}
    return [
        Line2D([], [], label="minimum", **style.kind_style("minimum")),
        Line2D([], [], label="saddle where it merges", **style.kind_style("saddle")),
        Line2D([], [], label="maximum in a loop", **style.kind_style("maximum")),
        Line2D([], [], label="proved saddle over proved minimum", linestyle="none", **circle),
        Line2D([], [], label="minimum of the grid alone", **GREY),
    ]


# ---- the claims


def claims(data):
    sweep, grids = data["sweep"], data["grids"]
    zero = sweep.sel(strength=0.0)
    counts = sweep.counts.values
    heights, real = grids.persistence.values, grids.genuine.values
    four = np.where(real == 1, heights, np.nan)
    alone = np.where(real == 0, heights, np.nan)
    step = EDGE[1] - EDGE[0]
    return {
        "Without a penalty there are four minima, four saddles and one maximum, each proved to be isolated; the grid "
        "has the same four minima, and one loop, which dies at the maximum.": bool(
            zero.counts.values.tolist() == [4, 4, 1]
            and zero.certified == 1
            and (zero.minima, zero.loops) == (4, 1)
            and (zero.low_at <= step).all()
            and (abs(zero.peak - zero.exact_peak) <= step).all()
        ),
        "Each of the three higher minima merges into the lowest one, for every λ.": bool(
            (zero.into == 0).all() and np.isin(sweep.into.values[np.isfinite(sweep.persistence.values)], 0).all()
        ),
        "All persistences fall as λ grows, and the minima vanish in the order of their persistence at λ = 0, the least "
        "first: there are four up to λ = 0.0175, three at 0.02 and 0.025, two from 0.03 to 0.06, and one from 0.065 "
        "on.": (_falls(sweep.persistence.values) and _vanish(sweep)),
        "Grid and proved points have equally many minima at every λ, and minima minus saddles plus maxima are always "
        "1.": (
            bool(
                (sweep.minima == counts[:, 0]).all()
                and (counts @ [1, -1, 1] == 1).all()
                and (sweep.certified == 1).all()
            )
        ),
        "The persistence on the grid is the difference of the objective between the proved saddle and the proved "
        "minimum, to within 4·10⁻⁵.": bool(
            np.array_equal(np.isfinite(sweep.persistence), np.isfinite(sweep.exact))
            and np.nanmax(abs(sweep.persistence - sweep.exact)) < 4e-5
        ),
        "In (f) each grid has more than four minima: where a valley runs oblique to the axes, no cell beside, above or "
        "below may be lower.": bool(((real == 1).sum(axis=1) == 3).all() and ((real == 0).sum(axis=1) > 0).all()),
        "Their persistence shows them to be the grid's own: at most 1/20 of that of any of the four on every grid, and "
        "on the finest 1/20 of what it is on the coarsest, while that of the four changes by less than 2 %.": bool(
            (np.nanmax(alone, axis=1) <= np.nanmin(four, axis=1) / 20).all()
            and np.nanmax(alone[-1]) <= np.nanmax(alone[0]) / 20
            and (np.ptp(four[:, :3], axis=0) < 0.02 * four[-1, :3]).all()
        ),
    }


def _falls(heights):
    """Whether each column falls, and once it is not there is not there again."""
    there = np.isfinite(heights)
    falling = np.diff(np.where(there, heights, 0), axis=0)
    return bool(there[0].all() and (falling <= 0).all() and (falling[there[1:]] < 0).all())


def _vanish(sweep):
    order = np.argsort(sweep.persistence.values[0])
    last = np.isfinite(sweep.persistence.values).sum(axis=0)[order]
    expected = np.select([sweep.strength <= 0.0175, sweep.strength <= 0.025, sweep.strength <= 0.06], [4, 3, 2], 1)
    return bool((np.diff(last) > 0).all() and (sweep.minima == expected).all())
