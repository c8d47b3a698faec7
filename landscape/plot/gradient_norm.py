"""Where the gradient is small: ‖∇‖ on a logarithmic scale, a panel a penalty. Black spots are stationary points; a dark
region that runs off the window is a plateau that never becomes one.

    >>> import landscape as ls
    >>> figure = ls.plot.gradient_norm(surface)                               # doctest: +SKIP
"""

from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from landscape.plot import _panels, _runs, _scales, style


def gradient_norm(
    surface: xr.Dataset,
    runs: Any = None,
    *,
    variable: str = "gradient_norm",
    width: float = style.DOUBLE,
    columns: int | None = None,
) -> Figure:
    """The gradient's norm over two coordinates, a panel a penalty, on one logarithmic scale, black where it is least.

    `variable` is "gradient_norm" (of the objective) or "risk_gradient_norm". `runs`, `width` and `columns` as in
    `dark_minimum`. An exact zero is drawn black, at the end of the scale.

    Raises: ValueError if the surface lacks the variable or has not two coordinates, or if the runs do not belong here.
    """
    panels = _panels.read(surface, variable)
    names = _panels.plane(surface, variable)
    walks = [] if runs is None else _runs.read(runs, surface, names)
    everywhere = "penalty" not in surface[variable].dims
    with style.context():
        figure, axes = _panels.page(len(panels), width, columns)
        norm = _scales.norm(panels, log=True)
        for ax, panel in zip(axes, panels, strict=True):
            drawn = _panels.mesh(ax, panel, panel.values, norm, style.SEQUENTIAL)
            _panels.frame(ax, panel)
            _panels.title(ax, panel.label)
            _runs.draw(ax, [run for run in walks if everywhere or run.penalty == panel.label])
            _panels.contours(ax, panel, panel.values, _scales.levels(norm), lambda level: float(norm(level)) < 0.55)
        _scales.bar(figure, axes, drawn, _panels.label_of(surface[variable]))
        entries = [*_runs.handles(walks, (panels[0].x, panels[0].y))]
        entries[1].extend(_panels.hatch_handles(panels))
        _panels.finish(figure, axes[0], entries, own=True)
    return figure
