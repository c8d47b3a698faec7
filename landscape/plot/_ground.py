"""The ground that runs are drawn on: one variable of a surface as colors and lines, on one scale for all its panels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from landscape.plot import _excess, _least, _mesh, _scales, style
from landscape.plot._panels import Panel


@dataclass(frozen=True)
class Ground:
    """A color scale: of the values, or of their excess over `least`, the least value of all panels."""

    variable: str
    norm: Any
    whole: Panel  # the values of all panels in one
    excess: bool
    least: float  # 0 where the colors are the values themselves

    def paint(self, axes: Axes, panel: Panel) -> QuadMesh:
        """The colors of one panel."""
        return _mesh.mesh(axes, panel, panel.values - self.least, self.norm, style.SEQUENTIAL)

    def lines(self, axes: Axes, panel: Panel) -> None:
        """Numbered contour lines of the values, at the same levels in every panel."""
        if self.excess:
            _least.lines(axes, panel, self.norm, self.least)
        else:
            levels = _scales.levels(self.norm)
            _mesh.contours(axes, panel, panel.values, levels, lambda level: float(self.norm(level)) < 0.55)

    def bar(
        self,
        figure: Figure,
        axes: Sequence[Axes] | Axes,
        drawn: QuadMesh,
        label: str,
        dots: Any = (),
        own: bool = True,
    ) -> None:
        """The color bar of the values, pointed where the panels, or dots of these values (n,), lie beyond its colors.

        `own`: whether the axes are ours, or the caller's.
        """
        if self.excess:
            others = np.array(dots) - self.least
            _excess.bar(figure, axes, [self.whole], drawn, label, others, self.least, own=own)
        else:
            _scales.bar(figure, axes, drawn, label, np.array([*self.whole.finite, *dots]), own=own)

    def colors(self, values: np.ndarray) -> np.ndarray:
        """The colors of values, of shape (n, 4): equal values have equal colors wherever they are drawn."""
        return style.SEQUENTIAL(self.norm(np.ma.masked_invalid(values - self.least)))


def of(panels: Sequence[Panel], variable: str, log: bool | None) -> Ground:
    """The scale of these panels; by default the excess where objective or risk vary much, else as `_scales` chooses."""
    whole = replace(panels[0], values=np.concatenate([panel.values.ravel() for panel in panels])[None])
    if log is None and variable in ("objective", "risk") and _excess.is_wide(whole):
        return Ground(variable, _excess.norm([whole], None, None), whole, True, float(whole.finite.min()))
    norm: Normalize = _scales.norm([whole], _scales.is_log(variable, [whole.values], log))
    return Ground(variable, norm, whole, False, 0.0)
