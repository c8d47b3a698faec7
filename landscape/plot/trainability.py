"""The boundary of trainability: from pale blue, where runs converge at once, to dark red, where they diverge at once.

>>> import landscape as ls
>>> from landscape.plot.trainability import trainability
>>> figure = trainability(ls.trainability(objective, start, optimizer, axes, 500))        # doctest: +SKIP
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from landscape.plot import _mesh, _page, _panels, _scales, style
from landscape.plot._panels import Panel

_SHADES = 128
# Lightness L* falls from 97 to 61, and on from 50 to 10: the two kinds are told apart in grey as well.
_CONVERGED = LinearSegmentedColormap.from_list("converged", ["#F1F7FC", "#97C4E7", "#4B98D0"])
_DIVERGED = LinearSegmentedColormap.from_list("diverged", ["#CF5400", "#7E2E00", "#2C0E00"])
COLORS = ListedColormap(
    np.concatenate([half(np.linspace(0, 1, _SHADES)) for half in (_CONVERGED, _DIVERGED)]), name="trainability"
)
_SLOW = (0.1, 0.5, 0.9)  # ranks that the color bar names


def trainability(data: xr.Dataset, *, ax: Axes | None = None, bar: bool = True, width: float = style.SINGLE) -> Figure:
    """What `landscape.trainability` found over two hyper-parameters: blue converged, red diverged.

    The color is that of the measure's rank among the converged cells, or the others: as many cells have each shade. It
    is palest where a run converged at once, darker the longer it took, and darkest where one diverged at once; in grey
    all that converged is lighter than all that did not. `bar` draws a color bar with the measures at the ranks 0.1, 0.5
    and 0.9. Axes are logarithmic where positions are positive, evenly spaced in their logarithm and span a factor above
    10; zooms have linear ones. Draws into `ax`, or on a new figure `width` inches wide.

    Raises: ValueError if `data` holds no trainability, or not two hyper-parameters.
    """
    if "measure" not in data or "converged" not in data:
        raise ValueError(
            "`data` holds no trainability: it lacks `measure` and `converged`. Give what landscape.trainability "
            "returned, or what landscape.open_surface reads from its store."
        )
    whole = data.drop_vars("finite", errors="ignore")  # a run that is not finite has a measure
    panel = _panels.read(whole, "measure")[0]
    x, y = _panels.plane(whole, "measure")
    converged = data["converged"].sortby([x, y]).transpose(y, x).to_numpy()
    known = ~panel.missing if panel.missing is not None else np.ones(converged.shape, bool)
    ranks = _ranked(panel.values, converged, known)
    with style.context():
        figure, axes = _page.canvas(ax, width, square=True)
        axes.pcolormesh(panel.x, panel.y, ranks, cmap=COLORS, norm=Normalize(-1, 1), shading="nearest", rasterized=True)
        if panel.missing is not None:
            _mesh.hatch(axes, panel.x, panel.y, panel.missing, _mesh.AWAITED)
        _frame(axes, panel)
        if bar:
            _bar(figure, axes, panel.values, converged, known, own=ax is None)
        _page.finish(figure, axes, [_mesh.hatch_handles(False, bool((~known).any()))], own=ax is None)
    return figure


def _ranked(measure: np.ndarray, converged: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The color of each cell: −1 (fast) to 0 (slow) where it converged, 0 (slow) to 1 (fast) where not."""
    ranks = np.ma.masked_all(measure.shape)
    for where, sign in ((known & converged, -1), (known & ~converged, 1)):
        values = np.sort(measure[where])
        rank = np.searchsorted(values, measure[where], side="left") / max(len(values) - 1, 1)
        ranks[where] = sign * np.clip(1 - rank, 1e-6, 1)
    return ranks


def _frame(axes: Axes, panel: Panel) -> None:
    _page.frame(axes, panel)
    axes.set_box_aspect(1)
    sides = ((axes.xaxis, panel.x, axes.set_xscale), (axes.yaxis, panel.y, axes.set_yscale))
    for axis, positions, set_scale in sides:
        if _scales.even_in_log(positions):
            set_scale("log")
            axis.set_major_locator(LogLocator(numticks=6))
            axis.set_minor_locator(NullLocator())
        else:
            _few_ticks(axis, positions)


def _few_ticks(axis: Axis, positions: np.ndarray) -> None:
    """Three ticks with as many digits as tell them apart: a zoom is far from 0."""
    ticks = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(positions[0], positions[-1])
    inside = ticks[(ticks >= positions[0]) & (ticks <= positions[-1])]
    step = float(ticks[1] - ticks[0])
    digits = max(0, int(np.ceil(-np.log10(step) - 1e-9)))
    axis.set_major_locator(FixedLocator(inside.tolist()))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.{digits}f}"))


def _bar(figure: Figure, axes: Axes, measure: np.ndarray, converged: np.ndarray, known: np.ndarray, own: bool) -> None:
    drawn = ScalarMappable(Normalize(-1, 1), COLORS)
    bar = _page.colorbar(figure, drawn, axes, "converged: $\\Sigma J_t/J_0$     diverged: $\\Sigma J_0/J_t$", own=own)
    ticks: dict[float, str] = {}
    for where, sign in ((known & converged, -1), (known & ~converged, 1)):
        values = np.sort(measure[where])
        if values.size:
            ticks |= zip((sign * (1 - rank) for rank in _SLOW), _told(np.quantile(values, _SLOW)), strict=True)
    bar.long_axis.set_major_locator(FixedLocator(sorted(ticks)))
    bar.long_axis.set_minor_locator(NullLocator())
    texts = dict(ticks)
    bar.long_axis.set_major_formatter(FuncFormatter(lambda value, _: texts[min(texts, key=lambda t: abs(t - value))]))


def _told(values: np.ndarray) -> list[str]:
    """The numbers with two digits, or as many more as tell them apart."""
    for digits in (2, 3, 4):
        texts = [_page.plain(float(f"{value:.{digits}g}")) for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts
