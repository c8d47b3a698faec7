"""How the eigenvalues of a Hessian are distributed, on a logarithmic scale, so that a single one is seen beside them.

>>> import landscape as ls
>>> found = ls.spectral_density(objective, params, key=key)               # doctest: +SKIP
>>> figure = ls.plot.spectrum(found, ls.top_eigenpairs(objective, params, 10, key=key))      # doctest: +SKIP
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from landscape import _checks
from landscape.operators.spectral_density import SpectralDensity
from landscape.operators.top_eigenpairs import Eigenpairs
from landscape.plot import _page, _scales, style

_FLOOR = 0.1  # of the peak of a single eigenvalue: what is below is rounding, or the tail of a Gaussian
_TINY = 1e-100  # in place of 0 on a logarithmic scale: far below the window
_BAND, _EXACT = 0.25, "#555555"
_MARK: dict[str, Any] = {"marker": "v", "linestyle": "none", "markersize": 4.0, "markeredgewidth": 0.7, "zorder": 5}
_COLOR = style.VERMILLION


def spectrum(
    density: SpectralDensity | xr.Dataset,
    eigenpairs: Eigenpairs | ArrayLike | None = None,
    exact: ArrayLike | None = None,
    *,
    color: str = style.BLUE,
    ax: Axes | None = None,
    width: float = style.SINGLE,
) -> Figure:
    """The density of a Hessian's eigenvalues on a logarithmic scale, with its error band.

    density:    what `landscape.spectral_density` found, or its `.density(grid, width)`. The band is two standard errors
                over the probes on each side; there is none of a single probe.
    eigenpairs: what `landscape.top_eigenpairs` found, or eigenvalues (k,): triangles, hollow where a pair has not
                converged.
    exact:      all eigenvalues (p,), such as those of `landscape.hessian`: their density, smoothed by the same
                Gaussians, is a dashed line.
    color:      of line and band.

    A triangle stands at the height of the peak of one eigenvalue, 1/(p·width·√(2π)), above which the density at an
    eigenvalue that stands alone does not rise; the scale begins at a tenth of it. Draws into `ax`, or on a new figure
    `width` inches wide.
    Raises: TypeError for another `density`; ValueError where a number is not finite, or `exact` are not p eigenvalues.
    """
    data = _read(density)
    params = int(data.attrs["params"])
    with style.context():
        figure, axes = _page.canvas(ax, width)
        one = 1 / (params * float(data.attrs["width"]) * np.sqrt(2 * np.pi))
        entries = _draw_density(axes, data, color)
        if exact is not None:
            entries += _draw_exact(axes, data, _eigenvalues("exact", exact, params))
        if eigenpairs is not None:
            entries += _draw_pairs(axes, eigenpairs, one)
        grid = data["eigenvalue"]
        axes.set(yscale="log", xlim=(float(grid[0]), float(grid[-1])), xlabel=grid.attrs["long_name"], ylabel="density")
        low, high = _FLOOR * one, 2 * max(one, float(data["density"].max()))
        axes.set_ylim(low, high)
        if high < 100 * low:  # matplotlib would label all minor ticks, one over another
            axes.yaxis.set_major_locator(FixedLocator(_scales.levels(LogNorm(low, high), count=5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _page.plain(value)))
            axes.yaxis.set_minor_locator(NullLocator())
        axes.spines[["top", "right"]].set_visible(False)
        _page.finish(figure, axes, [entries], own=ax is None)
    return figure


def _read(density: Any) -> xr.Dataset:
    if isinstance(density, SpectralDensity):
        return density.density()
    if not isinstance(density, xr.Dataset) or density.attrs.get("kind") != "spectral_density":
        raise TypeError(
            f"`density` is {_checks.kind(density)}; give what landscape.spectral_density returned, or its "
            ".density(grid)."
        )
    return density


def _eigenvalues(name: str, values: ArrayLike, count: int | None = None) -> np.ndarray:
    found = _checks.numeric(name, values).astype(np.float64)
    _checks.finite(name, found)
    if found.ndim != 1 or (count is not None and len(found) != count):
        wanted = "eigenvalues (k,)" if count is None else f"all {count} eigenvalues"
        raise ValueError(f"`{name}` has shape {found.shape}; give {wanted}.")
    return found


def _draw_density(axes: Axes, data: xr.Dataset, color: str) -> list[Any]:
    grid, mean, error = (data[name].to_numpy() for name in ("eigenvalue", "density", "density_stderr"))
    axes.plot(grid, np.maximum(mean, _TINY), color=color, zorder=3)
    label = f"{data.attrs['num_probes']} probes of {data.attrs['num_matvecs']} products"
    if not np.isfinite(error).all():
        return [Line2D([], [], color=color, label=label)]
    low, high = (np.maximum(mean + sign * 2 * error, _TINY) for sign in (-1, 1))
    axes.fill_between(grid, low, high, color=color, alpha=_BAND, linewidth=0, zorder=2)
    return [Line2D([], [], color=color, label=label), Patch(color=color, alpha=_BAND, linewidth=0, label="±2 s.e.")]


def _draw_exact(axes: Axes, data: xr.Dataset, values: np.ndarray) -> list[Any]:
    grid, width = data["eigenvalue"].to_numpy(), float(data.attrs["width"])
    peaks = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    smoothed = np.maximum(peaks.mean(axis=1), _TINY)
    look: dict[str, Any] = {"color": _EXACT, "linestyle": (0, (3, 1.5)), "linewidth": 0.9}
    axes.plot(grid, smoothed, zorder=4, **look)
    return [Line2D([], [], label="all eigenvalues", **look)]


def _draw_pairs(axes: Axes, eigenpairs: Any, height: float) -> list[Any]:
    """Triangles at the eigenvalues; hollow ones are not converged."""
    known = isinstance(eigenpairs, Eigenpairs)
    values = _eigenvalues("eigenpairs", eigenpairs.values if known else eigenpairs)
    converged = np.asarray(eigenpairs.converged) if known else np.ones(len(values), bool)
    entries = []
    for some, face, label in ((converged, _COLOR, "eigenvalue"), (~converged, "white", "not converged")):
        if some.any():
            look: dict[str, Any] = _MARK | {"markerfacecolor": face, "markeredgecolor": _COLOR}
            axes.plot(values[some], np.full(some.sum(), height), **look)
            entries.append(Line2D([], [], label=label, **look))
    return entries
