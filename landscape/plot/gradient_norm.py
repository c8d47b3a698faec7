"""Where the gradient is small: ‖∇‖ on a logarithmic scale, a panel a penalty. Black spots are stationary points; a dark
region that runs off the window is a plateau that never becomes one.

    >>> import landscape as ls
    >>> figure = ls.plot.gradient_norm(surface)                               # doctest: +SKIP
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from landscape.plot import _least, _mesh, _page, _panels, _paths, _runs, _scales, style


def gradient_norm(
    surface: xr.Dataset,
    runs: Any = None,
    *,
    variable: str = "gradient_norm",
    width: float | None = None,
    columns: int | None = None,
) -> Figure:
    """The gradient's norm over two coordinates, a panel a penalty, on one logarithmic scale, black where it is least.

    The scale ends where every panel has become black; values below its end are black too, zeros included. `variable` is
    "gradient_norm" (of the objective) or "risk_gradient_norm". `runs`, `width` and `columns` as in `dark_minimum`.

    Raises: ValueError if the surface lacks the variable or has not two coordinates, or if the runs do not belong here.
    """
    panels = _panels.read(surface, variable)
    names = _panels.plane(surface, variable)
    walks = [] if runs is None else _runs.read(runs, surface, names)
    everywhere = "penalty" not in surface[variable].dims
    walks = _runs.by_penalty(walks) if everywhere else walks
    with style.context():
        figure, axes = _page.page(len(panels), width or _page.column(len(panels)), columns)
        norm = _scales.norm(panels, log=True)
        for ax, panel in zip(axes, panels, strict=True):
            drawn = _mesh.mesh(ax, panel, panel.values, norm, style.SEQUENTIAL)
            _page.frame(ax, panel)
            _page.title(ax, panel.label, "" if panel.finite.size else _least.NOTES[""])
            _paths.draw(ax, [run for run in walks if everywhere or run.penalty == panel.label])
            _mesh.contours(
                ax, panel, panel.values, _scales.levels(norm, panel), lambda level: float(norm(level)) < 0.55
            )
        values = np.concatenate([panel.finite for panel in panels])
        _scales.bar(figure, axes, drawn, _panels.label_of(surface[variable]), values)
        lines, signs = _paths.handles(walks, axes)
        remark = _paths.remark(walks, surface, names)
        _page.finish(figure, axes[0], [lines, signs + _mesh.handles(panels)], own=True, remark=remark)
    return figure
