"""Where the minimizer has a closed form, where it is shown to have none, and where neither is known.

(a, b) The sigmoid neuron h(x) = σ(wx) without bias on x = (1, 2, 3), y = (0, 1, 0), cross-entropy: the polynomial in u
= e^w that is 0 where the derivative of the risk is, and the risk. (c) Auer's neuron: σ(wx) on x = (1, 30) with the
targets 0.9 and 0.1 under half squared error, which is not convex; the risk. (d) The roots of its polynomial in the
complex plane; those on the positive axis are u = e^w of a critical point, and one lies far outside the window. Stars
are minima, the triangle is a maximum. (e) What `closed_form` says of small problems: whether the minimizer has an
expression in the data by arithmetic, radicals, f⁻¹ or a logarithm of these, and why; one feature and a bias, in the
last two columns a weight alone, without a penalty or with l2 of strength 0.1. Linear: the gradient is. f⁻¹: all
examples are fitted. Galois: u = e^w is a root that radicals do not reach. Lindemann: if w were algebraic, e^w would not
be, but stationarity makes each of them algebraic with the other.

In (a) stationarity is 4u⁵ − u⁴ + 3u³ − u² + u − 2 = 0, with exactly one positive root: the only critical point is the
minimum, at w = −0.30046415. Modulo 5, 7 and 11 the polynomial has irreducible factors of degree 5, of 1 and 4, and of
1, 1 and 3: its Galois group holds a 5-, a 4- and a 3-cycle, so it is S₅, which is not solvable, and the minimizer has
no closed form. Auer's polynomial has degree 92 and exactly three positive roots: minima at w = −0.06321665 and
2.19722458, and a maximum at 0.19079774. At all four the derivative computed in float64 is below 10⁻¹⁰, and on 20 001
points from −10 to 10 it changes its sign there and nowhere else. The second minimum of (c) rounds to log 9, where the
first example is fitted, but it is not log 9: u is less than 9, by 7.1 · 10⁻²⁵. Of the 48 problems of (e) 18 have a
closed form, 9 have none, and of 21 neither is known. With the identity there always is one. So there is for each
activation where there are no more examples than parameters and no penalty. With l2 a single example has none under
sigmoid and tanh.

Source: Auer, Herbster & Warmuth (1995), one unit with many minima; Lindemann (1882). Real roots are isolated by FLINT;
the Galois group is SymPy's, and Sturm (1829) counts the positive root of (a) too.
"""

import flint
import jax
import numpy as np
import sympy
import xarray as xr
from _page import STAR, head, open_frame, settle
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

import landscape as ls
from landscape.plot import style

SCAN = np.linspace(-10, 10, 20_001)
PRIMES = (5, 7, 11)
VERDICTS = {"yes": 1.0, "no": -1.0, "not known": 0.0}
KINDS = {"minimum": 1.0, "maximum": -1.0, "degenerate": 0.0}
TRIANGLE = style.kind_style("maximum")


def problems():
    """The two neurons of one weight."""
    auer = ls.neuron(
        np.array([1.0, 30.0]), np.array([0.9, 0.1]), loss="half_squared_error", activation="sigmoid", bias=False
    )
    return {"cross_entropy": ls.neuron(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0]), bias=False), "auer": auer}


def compute():
    data = {}
    with jax.enable_x64(True):
        for name, neuron in problems().items():
            census, plane = ls.closed_form(neuron).census, ls.axes_plane(neuron.params, "w")
            data |= {
                name: ls.evaluate(neuron, plane, {"w": SCAN}, quantities=("risk", "slope")),
                f"{name}_points": _points(neuron, plane, census),
                f"{name}_roots": _roots(census),
            }
        data["modulo"] = _modulo(ls.closed_form(problems()["cross_entropy"]).census)
        data["table"] = _table()
    return data


def _points(neuron, plane, census):
    """The critical points, with the derivative there; the bounds of u as what they exceed 9 by, exactly subtracted."""
    points = census.points
    at = ls.evaluate(neuron, plane, {"w": [point.w for point in points]}, quantities=("risk", "slope"))
    columns = {
        "critical": [point.w for point in points],
        "risk": at.risk.values,
        "slope": at.slope.values[:, 0],
        "kind": [KINDS[point.kind] for point in points],
        "low": [float(point.interval[0] - 9) for point in points],
        "high": [float(point.interval[1] - 9) for point in points],
        # 1, 0, or NaN where it is not known
        "solvable": [np.nan if point.solvable is None else float(point.solvable) for point in points],
    }
    groups = [str(point.group) for point in points]
    columns = {key: ("point", np.array(values)) for key, values in columns.items()}
    return xr.Dataset(columns | {"group": ("point", groups)})


def _roots(census):
    """The coefficients of the polynomial, highest power first, and its complex roots."""
    (coefficients,) = census.polynomials
    roots = flint.fmpz_poly(list(coefficients[::-1])).complex_roots()
    found = np.array([complex(root) for root, multiplicity in roots for _ in range(multiplicity)])
    values = {"re": ("root", found.real), "im": ("root", found.imag)}
    return xr.Dataset(values | {"coefficients": ("power", np.array(coefficients, float))})


def _modulo(census):
    """The degrees of the irreducible factors modulo primes, ascending, filled up with 0; and Sturm's count.

    A prime at which the polynomial keeps its degree and has no double factor has a permutation of these cycle lengths
    in the Galois group (Dedekind).
    """
    (coefficients,) = census.polynomials
    degrees, simple = np.zeros((len(PRIMES), len(coefficients) - 1)), np.zeros(len(PRIMES))
    for i, prime in enumerate(PRIMES):
        reduced = flint.nmod_poly(list(coefficients[::-1]), prime)
        factors = reduced.factor()[1]
        found = sorted(factor.degree() for factor, _ in factors)
        degrees[i, : len(found)] = found
        simple[i] = reduced.degree() == len(coefficients) - 1 and all(m == 1 for _, m in factors)
    sturm = sympy.Poly(coefficients, sympy.Symbol("u")).count_roots(0, None)
    values = {"degrees": (("prime", "factor"), degrees), "simple": ("prime", simple), "sturm": float(sturm)}
    return xr.Dataset(values, {"prime": list(PRIMES)})


def _table():
    table = ls.closed_form_table()
    verdicts = np.vectorize(VERDICTS.get, otypes=[float])(table.exists.values)
    proved = table.proved.astype(float)
    return table.drop_vars(["exists", "reason"]).assign(verdict=(table.exists.dims, verdicts), proved=proved)


# ---- the picture

SHORT = {
    "cross_entropy, sigmoid": "cross-entropy, sigmoid",
    **{
        f"half_squared_error, {name}": f"squared error, {name}"
        for name in ("identity", "sigmoid", "tanh", "relu", "softplus")
    },
}
HEADINGS = (
    "one example",
    "as many examples\nas parameters",
    "more examples\nthan parameters",
    "one weight,\nmore examples",
)
REASONS = {
    "interpolation": "$f^{\\,-1}$",
    "normal equations": "linear",
    "ridge": "linear",
    "polynomial": "Galois",
    "transcendental": "Lindemann",
}
LOOKS = {1.0: ("#BFE0F5", "closed form"), -1.0: ("#F3C3A2", "none"), 0.0: ("#EFEFEF", "not known")}


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 4.0)
    figure.get_layout_engine().set(wspace=0.06)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.12))
    top = upper.subplots(1, 4)
    _draw_polynomial(top[0], data["cross_entropy_roots"], data["cross_entropy_points"])
    _draw_risk(top[1], data["cross_entropy"], data["cross_entropy_points"], (-3, 3), (0.6, 2.0))
    head(top[1], "b", "its risk")
    _draw_risk(top[2], data["auer"], data["auer_points"], (-0.6, 4), (0, 0.28))
    head(top[2], "c", "Auer’s neuron")
    _draw_roots(top[3], data["auer_roots"], data["auer_points"])
    _draw_table(lower.subplots(), data["table"])
    handles = [
        Patch(facecolor=color, edgecolor=style.INK, linewidth=0.4, label=label) for color, label in LOOKS.values()
    ]
    handles += [Line2D([], [], label="minimum", **STAR), Line2D([], [], label="maximum", **TRIANGLE)]
    lower.legend(handles=handles, loc="outside lower center", ncols=5, handlelength=1.6)
    return settle(figure)


def _mark(ax, x, y, kinds):
    for kind, look in ((1.0, STAR), (-1.0, TRIANGLE)):
        ax.plot(x[kinds == kind], y[kinds == kind], zorder=5, **look)


def _draw_polynomial(ax, roots, points):
    u = np.linspace(0, 1.2, 241)
    ax.axhline(0, color=style.INK, linewidth=0.6)
    ax.plot(u, np.polyval(roots.coefficients.values, u), color=style.BLUE)
    root = np.exp(points.critical.values)
    _mark(ax, root, 0 * root, points.kind.values)
    open_frame(ax)
    ax.set(xlabel="$u = e^w$", ylabel="polynomial", xlim=(0, 1.2), ylim=(-3, 6))
    head(ax, "a", "stationarity")


def _draw_risk(ax, scan, points, window, limits):
    seen = scan.sel(w=slice(*window))
    ax.plot(seen.w, seen.risk, color=style.BLUE)
    _mark(ax, points.critical.values, points.risk.values, points.kind.values)
    open_frame(ax)
    ax.set(xlabel="$w$", ylabel="risk", xlim=window, ylim=limits)


def _draw_roots(ax, roots, points):
    positive = (roots.im == 0) & (roots.re > 0)
    others = roots.where(~positive, drop=True)
    ax.axhline(0, color=style.GRID, linewidth=0.6, zorder=0)
    ax.axvline(0, color=style.GRID, linewidth=0.6, zorder=0)
    ax.plot([0, 1.9], [0, 0], color=style.ORANGE, linewidth=1.4, solid_capstyle="butt", zorder=1)
    ax.plot(others.re, others.im, linestyle="none", marker="o", markersize=1.7, color=style.BLUE, zorder=2)
    u = np.exp(points.critical.values)
    _mark(ax, u, 0 * u, points.kind.values)
    ax.annotate(f"$u$ ≈ {u.max():.0f}", (2.3, 0.1), ha="right", va="bottom", fontsize=7.5)
    ax.annotate("", (2.12, 0), (1.6, 0), arrowprops={"arrowstyle": "-|>", "color": style.ORANGE, "linewidth": 1.4})
    ax.set(xlabel="Re $u$", ylabel="Im $u$", xlim=(-1.72, 2.42), ylim=(-2.15, 2.15))
    ax.set_aspect("equal")
    ax.set_xticks([-1, 0, 1])
    ax.set_yticks([-1, 0, 1])
    head(ax, "d", f"its {roots.sizes['root']} roots")


def _draw_table(ax, table):
    rows, groups, penalties = (table.sizes[name] for name in ("model", "problem", "penalty"))
    gap = 0.12
    for row in range(rows):
        for group in range(groups):
            for penalty in range(penalties):
                cell = table.isel(model=row, problem=group, penalty=penalty)
                left, verdict = group * (penalties + gap) + penalty, float(cell.verdict)
                ax.add_patch(
                    Rectangle((left, row), 1, 1, facecolor=LOOKS[verdict][0], edgecolor="white", linewidth=1.2)
                )
                text = REASONS[str(cell.kind.item())] if verdict else "?"
                ax.text(left + 0.5, row + 0.52, text, ha="center", va="center", fontsize=7.5)
    for group, heading in enumerate(HEADINGS):
        left = group * (penalties + gap)
        ax.text(left + penalties / 2, -0.85, heading, ha="center", va="bottom", fontsize=7.5, linespacing=1.0)
        for penalty, label in enumerate(("no penalty", "l2")):
            ax.text(left + penalty + 0.5, -0.12, label, ha="center", va="bottom", fontsize=7.5, color="#555555")
    ax.set(xlim=(0, groups * (penalties + gap) - gap), ylim=(rows, -2.0))
    ax.set_yticks(np.arange(rows) + 0.5, [SHORT[str(name)] for name in table.model.values])
    ax.set_xticks([])
    ax.tick_params(left=False)
    ax.spines[:].set_visible(False)
    head(ax, "e", "which minimizers have a closed form")
    ax.set_title(ax.get_title("left"), loc="left", fontsize=8.5, x=-0.175)


# ---- the claims


def claims(data):
    one, auer = data["cross_entropy_points"], data["auer_points"]
    roots, modulo, table = data["cross_entropy_roots"], data["modulo"], data["table"]
    counts = [int((table.verdict == verdict).sum()) for verdict in (1, -1, 0)]
    identity = table.verdict.sel(model="half_squared_error, identity")
    fitted = table.verdict.sel(problem=["one example", "as many examples as parameters"], penalty="none")
    steep = [f"half_squared_error, {name}" for name in ("sigmoid", "tanh")] + ["cross_entropy, sigmoid"]
    single = table.sel(problem="one example", penalty="l2", model=steep)
    wanted = [[5, 0, 0, 0, 0], [1, 4, 0, 0, 0], [1, 1, 3, 0, 0]]
    return {
        "In (a) stationarity is 4u⁵ − u⁴ + 3u³ − u² + u − 2 = 0, with exactly one positive root: the only critical "
        "point is the minimum, at w = −0.30046415.": bool(
            np.array_equal(roots.coefficients, [4, -1, 3, -1, 1, -2])
            and _positive(roots) == float(modulo.sturm) == one.sizes["point"] == 1
            and np.array_equal(one.kind, [1])
            and np.allclose(one.critical, [-0.30046415], rtol=0, atol=5e-9)
            and np.allclose(np.polyval(roots.coefficients, np.exp(one.critical)), 0, atol=1e-14)
        ),
        "Modulo 5, 7 and 11 the polynomial has irreducible factors of degree 5, of 1 and 4, and of 1, 1 and 3: its "
        "Galois group holds a 5-, a 4- and a 3-cycle, so it is S₅, which is not solvable, and the minimizer has no "
        "closed form.": bool(
            np.array_equal(modulo.degrees, wanted)
            and (modulo.simple == 1).all()
            and list(one.group.values) == ["S5"]
            and np.array_equal(one.solvable, [0])
        ),
        "Auer's polynomial has degree 92 and exactly three positive roots: minima at w = −0.06321665 and 2.19722458, "
        "and a maximum at 0.19079774.": bool(
            data["auer_roots"].sizes["root"] == data["auer_roots"].sizes["power"] - 1 == 92
            and data["auer_roots"].coefficients[0] != 0
            and _positive(data["auer_roots"]) == auer.sizes["point"] == 3
            and np.array_equal(auer.kind, [1, -1, 1])
            and np.allclose(auer.critical, [-0.06321665, 0.19079774, 2.19722458], rtol=0, atol=5e-9)
        ),
        "At all four the derivative computed in float64 is below 10⁻¹⁰, and on 20 001 points from −10 to 10 it changes "
        "its sign there and nowhere else.": bool(
            max(abs(one.slope).max(), abs(auer.slope).max()) < 1e-10
            and _agrees(data["cross_entropy"], one)
            and _agrees(data["auer"], auer)
        ),
        "The second minimum of (c) rounds to log 9, where the first example is fitted, but it is not log 9: u is less "
        "than 9, by 7.1 · 10⁻²⁵.": bool(
            float(auer.critical[-1]) == np.log(9)
            and -7.15e-25 < float(auer.low[-1]) <= float(auer.high[-1]) < -7.05e-25
        ),
        "Of the 48 problems of (e) 18 have a closed form, 9 have none, and of 21 neither is known.": bool(
            counts == [18, 9, 21] and (table.proved.where(table.verdict == -1, 1) == 1).all()
        ),
        "With the identity there always is one.": bool((identity == 1).all()),
        "So there is for each activation where there are no more examples than parameters and no penalty.": bool(
            (fitted == 1).all()
        ),
        "With l2 a single example has none under sigmoid and tanh.": bool(
            (single.verdict == -1).all() and (single.proved == 1).all() and (single.kind == "transcendental").all()
        ),
    }


def _positive(roots):
    """How many roots lie on the positive axis."""
    return int(((roots.im == 0) & (roots.re > 0)).sum())


def _agrees(scan, points):
    """Whether the derivative on the scan changes its sign once around each critical point, in its kind's way, only."""
    sign = np.sign(scan.slope.values[:, 0])
    at = np.flatnonzero(np.diff(sign))
    bracketed = len(at) == points.sizes["point"] and (
        (scan.w.values[at] < points.critical.values) & (points.critical.values < scan.w.values[at + 1])
    )
    return bool(np.all(bracketed) and np.array_equal(np.diff(sign)[at], 2 * points.kind.values))
