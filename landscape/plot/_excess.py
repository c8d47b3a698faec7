"""The excess of an objective over its least value in a panel, and the color scale that shows it.

    excess = objective − min objective,        color = asinh(excess / floor) / asinh(ceiling / floor)

Black is zero; the scale is linear below `floor`, logarithmic above, and ends at `ceiling`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure

from landscape.plot import _page, _scales
from landscape.plot._panels import Panel

_WIDE = 20.0  # the greatest excess over that of the lowest tenth, from which on a linear scale reads badly
_LEVELS = 5  # contour lines over the range of the colors


def is_wide(panel: Panel) -> bool:
    """Whether a linear scale would be black around the least cell: the excess of a tenth of the cells is that small."""
    above = excess(panel)[np.isfinite(panel.values)]
    return above.size > 0 and bool(above.max() > _WIDE * np.quantile(above, 0.1))


def excess(panel: Panel) -> np.ndarray:
    """What the panel's colors show, 0 at its least cell."""
    return panel.values - (panel.finite.min() if panel.finite.size else 0.0)


def norms(panels: Sequence[Panel], shared: bool, floor: float | None, ceiling: float | None) -> list[AsinhNorm]:
    if shared:
        return [norm(panels, floor, ceiling)] * len(panels)
    return [norm([panel], floor, ceiling) for panel in panels]


def norm(panels: Iterable[Panel], floor: float | None, ceiling: float | None) -> AsinhNorm:
    """The scale from 0 to where the flattest panel ends; linear below a twentieth of the median excess."""
    parts = (e[np.isfinite(e)] for e in map(excess, panels))
    sizes = [(float(e.max()), float(np.median(e))) for e in parts if e.size and e.max() > 0]
    top = ceiling or min((greatest for greatest, _ in sizes), default=1.0)
    if floor is None:
        middle = min((median for _, median in sizes), default=top)
        floor = _scales.one_two_five(float(np.clip(middle / 20, 1e-6 * top, 1e-2 * top)))
    if not 0 < floor < top:
        raise ValueError(
            f"`floor` is {floor} and `ceiling` {top}; 0 < floor < ceiling must hold. Leave both out for defaults."
        )
    return AsinhNorm(linear_width=floor, vmin=0.0, vmax=top)


def levels(least: float, greatest: float, scale: AsinhNorm) -> list[float]:
    """Round values of the objective, evenly spread over the colors and on beyond them."""
    found: list[float] = []
    for k in range(1, 4 * _LEVELS):
        above = float(scale.inverse(k / _LEVELS))
        step = _scales.one_two_five(above)
        level = float(f"{np.round((least + above) / step) * step:.12g}")
        if level >= greatest:
            break
        if level > least and level not in found:
            found.append(level)
    return found


def bar(
    figure: Figure,
    axes: Any,
    panels: Sequence[Panel],
    mesh: Any,
    label: str,
    others: Any = (),
    least: float | None = None,
    **options: Any,
) -> None:
    """The color bar of an excess, with 0 and powers of ten; `others`, (n,), are drawn on its scale as well.

    With the one `least` value of all panels, the bar is of the values themselves, and has the levels of their lines.
    """
    if not any(panel.finite.size for panel in panels):
        return
    scale = mesh.norm
    drawn = np.array([*(np.ptp(panel.finite) for panel in panels if panel.finite.size), *others])
    made = _page.colorbar(figure, mesh, axes, label, extend=_scales.extend(scale, drawn), **options)
    if least is not None:
        ticks = [level - least for level in levels(least, least + 1.001 * scale.vmax, scale)]
        _page.set_ticks(made, ticks if len(ticks) > 1 else [0.0, scale.vmax], least)
        return
    decades = np.arange(np.ceil(np.log10(scale.linear_width) - 1e-9), np.floor(np.log10(scale.vmax) + 1e-3) + 1)
    skip = max(1, round(len(decades) / 6))
    ticks = [0.0, *(10.0**d for d in decades[::-1][::skip][::-1])]
    _page.set_ticks(made, ticks)
