"""A random walk in many dimensions looks like a path: its principal components are cosines, whatever it did.

Walks of 500 points in 10 000 dimensions, every step drawn from a Gaussian and independent of all others; nothing is
minimized. (a) Three such walks, each in the plane of its own first two principal components, with its first point
(circle) and its last (star). (b) The coordinates of the first walk along its first three components against the step,
each divided by its root mean square, and, dashed, √2 cos(πk(t − ½)/T), k = 1, 2, 3. (c) The share of the variance that
each component explains, of the three walks (dots) and by the formula that landscape writes beside a trajectory's
share (line). (d) The share of the first component against the number of dimensions: 10 walks of 100 points each
(dots), the formula (line).

The three walks have nothing in common: the cosines between the ways from their first to their last points are below
0.05. A step knows nothing of the one before it: their cosines are below 0.05 too. Still the three look the same, with
correlations of their coordinates above 0.999. The coordinate along the k-th component is a cosine of k half-waves, with
correlations above 0.999 for k ≤ 3. The first two components explain 61 % and 15 % of the variance, as the formula says
and its limit 6/(πk)². The formula holds for the first ten components to within 5 % of each. In few dimensions walks
differ: in 10 the standard deviation of the first component's share is above 0.05, in 10 000 it is below 0.005.

Source: Antognini & Sohl-Dickstein (2018), PCA of high dimensional random walks with comparison to neural network
training, arXiv:1806.08805. A trajectory's shares are to be read beside these.
"""

import jax
import numpy as np
import xarray as xr
from _page import STAR, head, open_frame, settle

import landscape as ls
from landscape.plot import style

POINTS, DIMENSIONS, WALKS, COMPONENTS = 500, 10_000, 3, 10
SHORT, FEWER, EACH = 100, (3, 10, 30, 100, 1000, 10_000), 10
QUICK = {"DIMENSIONS": 1000, "FEWER": (3, 30, 300, 3000), "EACH": 3}
COLORS = (style.BLUE, style.VERMILLION, style.GREEN)


def walk(seed, points, dimensions):
    """The points (points, dimensions) of a random walk from 0."""
    steps = np.random.default_rng(seed).standard_normal((points, dimensions), np.float32)
    steps[0] = 0
    return steps.cumsum(axis=0, dtype=np.float32)


def compute():
    with jax.enable_x64(False):
        walks = [walk(seed, POINTS, DIMENSIONS) for seed in range(WALKS)]
        found = [ls.pca({"theta": points}, COMPONENTS) for points in walks]
        seen = [_coordinates(points, one) for points, one in zip(walks, found, strict=True)]
        shares = [[_first_share(100 * d + seed, d) for seed in range(EACH)] for d in FEWER]
    steps = np.diff(np.stack(walks), axis=1)
    ways = np.stack([p[-1] - p[0] for p in walks])
    turns = [[_cosine(s[i], s[i + 1]) for i in range(POINTS - 2)] for s in steps]
    pairs = [_cosine(ways[i], ways[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    return {
        "walks": xr.Dataset(
            {
                "coordinate": (("walk", "component", "step"), np.stack(seen)),
                "explained": (("walk", "component"), np.stack([one.explained for one in found])),
                "random_walk": ("component", found[0].random_walk),
                "turn": (("walk", "successive"), np.array(turns)),
                "between": ("pair", np.array(pairs)),
            },
            {"component": np.arange(1, COMPONENTS + 1), "step": np.arange(POINTS)},
        ),
        "dimensions": xr.Dataset(
            {"first": (("dimension", "draw"), np.array(shares)), "random_walk": random_walk(SHORT, 1)[0]},
            {"dimension": list(FEWER)},
        ),
    }


def random_walk(points, n):
    """The shares (n,) of the formula in another way: the inverse eigenvalues of the Laplacian of a path of points."""
    laplacian = 2 * np.eye(points) - np.eye(points, k=1) - np.eye(points, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1
    variances = 1 / np.linalg.eigvalsh(laplacian)[1:]
    return variances[:n] / variances.sum()


def _coordinates(points, found):
    """Of centered points, (component, step), by NumPy."""
    points = points - points.mean(axis=0)
    return np.stack([points @ np.asarray(direction["theta"]) for direction in found.directions])


def _cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _first_share(seed, dimensions):
    return float(ls.pca({"theta": walk(seed, SHORT, dimensions)}, 1).explained[0])


@style.context()
def draw(data):
    figure = style.figure(style.DOUBLE, 1.95)
    figure.get_layout_engine().set(wspace=0.08)
    axes = figure.subplots(1, 4)
    walks, dimensions = data["walks"], data["dimensions"]
    for i, color in enumerate(COLORS):
        x, y = walks.coordinate.isel(walk=i, component=[0, 1]).values
        axes[0].plot(x, y, color=color, linewidth=0.9)
        axes[0].plot(x[0], y[0], marker="o", color="white", markeredgecolor=color, markersize=4, zorder=3)
        axes[0].plot(x[-1], y[-1], zorder=3, **STAR)
        axes[2].loglog(walks.component, walks.explained.isel(walk=i), "o", color=color, markersize=2.6, zorder=3)
    axes[0].set(xlabel="PC 1", ylabel="PC 2", aspect="equal", adjustable="datalim")
    for k in range(3):
        own = walks.coordinate.isel(walk=0, component=k)
        color = style.sequence_color(k, 3)
        axes[1].plot(walks.step, own / np.sqrt((own**2).mean()), color=color, label=f"PC {k + 1}")
        axes[1].plot(walks.step, _wave(k + 1), color=style.BLACK, linestyle="--", linewidth=0.6)
    axes[1].set(xlabel="step", ylim=(-1.8, 2.9), xlim=(0, POINTS), yticks=[-1, 0, 1])
    axes[1].legend(loc="upper center", ncols=3, handlelength=0.9, columnspacing=0.8, handletextpad=0.3)
    axes[2].plot(walks.component, walks.random_walk, color=style.BLACK, linewidth=0.7)
    axes[2].set(xlabel="component", ylabel="share of the variance")
    axes[2].set_xticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    axes[2].set_yticks([0.01, 0.1, 0.5], ["1 %", "10 %", "50 %"])
    axes[2].minorticks_off()
    for i in range(EACH):
        axes[3].semilogx(dimensions.dimension, 100 * dimensions.first.isel(draw=i), "o", color=style.BLUE, markersize=2)
    axes[3].axhline(100 * dimensions.random_walk, color=style.BLACK, linewidth=0.7)
    axes[3].set(xlabel="dimensions", ylabel="share of PC 1, in %", ylim=(30, 100), xticks=[10, 100, 1000, 10_000])
    axes[3].minorticks_off()
    headings = ("three walks", "coordinates", "all components", "few dimensions")
    for ax, letter, heading in zip(axes, "abcd", headings, strict=True):
        open_frame(ax)
        head(ax, letter, heading)
    return settle(figure)


def _wave(k):
    """√2 cos of k half-waves over the points of a walk."""
    return np.sqrt(2) * np.cos(np.pi * k * (np.arange(POINTS) + 0.5) / POINTS)


def _correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


def claims(data):
    walks, first = data["walks"], data["dimensions"].first
    seen, shares = walks.coordinate.values, walks.explained.values
    alike = [_correlation(seen[i, k], seen[j, k]) for i, j in ((0, 1), (0, 2), (1, 2)) for k in (0, 1)]
    waves = [_correlation(seen[i, k], _wave(k + 1)) for i in range(WALKS) for k in range(3)]
    formula, limit = random_walk(POINTS, COMPONENTS), 6 / (np.pi * np.array([1, 2])) ** 2
    spread = first.std("draw", ddof=1)
    return {
        "The three walks have nothing in common: the cosines between the ways from their first to their last points "
        "are below 0.05.": bool((abs(walks.between) < 0.05).all()),
        "A step knows nothing of the one before it: their cosines are below 0.05 too.": bool(
            (abs(walks.turn) < 0.05).all()
        ),
        "Still the three look the same, with correlations of their coordinates above 0.999.": min(alike) > 0.999,
        "The coordinate along the k-th component is a cosine of k half-waves, with correlations above 0.999 "
        "for k ≤ 3.": min(waves) > 0.999,
        "The first two components explain 61 % and 15 % of the variance, as the formula says and its limit "
        "6/(πk)².": bool(np.all(np.abs(np.stack([*shares[:, :2], formula[:2], limit]) - [0.61, 0.15]) < 0.005)),
        "The formula holds for the first ten components to within 5 % of each.": bool(
            np.all(np.abs(shares / walks.random_walk.values - 1) < 0.05)
        )
        and np.allclose(walks.random_walk, formula, rtol=1e-9),
        "In few dimensions walks differ: in 10 the standard deviation of the first component's share is above 0.05, in "
        "10 000 it is below 0.005.": bool(spread.sel(dimension=10) > 0.05 and spread.sel(dimension=10_000) < 0.005),
    }
