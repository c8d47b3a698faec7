"""Parameters against the strength λ of a penalty, and beneath them the held-out risk by which λ is chosen.

>>> import landscape as ls
>>> path = ls.penalty_path(neuron, strengths, penalty=ls.l1(1.0))         # doctest: +SKIP
>>> chosen = ls.choose_strength(neuron, strengths, penalty=ls.l1(1.0))    # doctest: +SKIP
>>> figure = ls.plot.penalty_path(path, chosen, names=("age", "dose"))    # doctest: +SKIP
"""

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.plot import _page, style

_LOOKS = (  # of the parameters that are told apart
    *((color, style.dashes(0)) for color in (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE)),
    *((color, style.dashes(0)) for color in (style.SKY, style.BLACK)),
    ("#8C510A", style.dashes(1)),
)
_OTHER: dict[str, Any] = {"color": "#B5B5B5", "linewidth": 0.6}
_ZERO: dict[str, Any] = {"marker": "o", "linestyle": "none", "markerfacecolor": "white"}  # where a parameter is 0
_BEST: dict[str, Any] = {"color": style.INK, "linestyle": style.dashes(2), "linewidth": 0.9}
_ONE: dict[str, Any] = {"color": style.INK, "linestyle": style.dashes(1), "linewidth": 0.7}
_WEIGHTS = ("w", "W", "kernel", "weight", "embedding")  # last keys of weights, as in a penalty's scope
_TALLEST = 4.6  # inches: panels of wider figures are as high as those of this width
_STRIP = 0.3  # the share of the width that labels at the ends of lines may take
_APART = 8.0  # points from label to label
_LEADER = 10.0  # points from a line's end to its label


def penalty_path(
    path: Any,
    chosen: xr.Dataset | None = None,
    *,
    names: Sequence[str] | Mapping[str, str] | None = None,
    ax: Axes | None = None,
    width: float = style.SINGLE,
) -> Figure:
    """The minimizers of R + λΩ against λ, a line a parameter; with `chosen` the held-out risk beneath them.

    `path`: of `landscape.penalty_path`, or its `data`, of which parameters may be left out, such as the bias:
    `path.data.drop_sel(parameter="b")`. At most 8 parameters have colors: those that are never 0, then the largest
    ones; the others are gray. `names`: what to call them, a sequence with a name a weight, or a mapping from names of
    parameters ("w[0]", "b") to labels. Labels stand at the lines' ends at the least λ where there is room, else in the
    legend.

    A circle is an exact zero: where a parameter becomes 0, or is no longer 0; in between it has no line. Lines are
    interrupted, and the stretch is hatched, where minimizers were not found. λ is on a logarithmic axis, at whose left
    end λ = 0 is kept.

    `chosen`: of `landscape.choose_strength` for the same objective and penalty. The second panel has the mean held-out
    risk and one standard error on either side, on a logarithmic scale where it is positive with a ratio above 20, and
    hatching where a minimizer of a block was not found; both panels have lines at `best` and `one_standard_error`.
    Draws into `ax`, which takes one panel, or on a new figure `width` inches wide.

    Raises: TypeError for what is no path, or not chosen; ValueError for names that do not fit, for other parameters or
    another penalty in `chosen`, and for `ax` beside it.
    """
    data = _data(path)
    held_out = _held_out(chosen, data)
    labels = _labels(names, [str(name) for name in data["parameter"].to_numpy()])
    if ax is not None and held_out is not None:
        raise ValueError("`ax` takes one panel, and `chosen` adds a second one. Leave one of them out.")
    with style.context():
        figure, axes = _figure(ax, width, held_out is not None)
        _axis(axes, [data] if held_out is None else [data, held_out])
        told, entries = _draw(axes[0], data, labels)
        signs = _draw_failed(axes[0], data["strength"].to_numpy(), ~data["converged"].to_numpy())
        if held_out is not None:
            signs = _draw_held_out(axes[1], held_out) or signs
            for axis in axes:
                marks = _draw_chosen(axis, held_out)
            signs = marks + signs
        ends = _ends(figure, axes, told)
        _page.finish(figure, axes[0], [entries if ends else told + entries, signs], own=ax is None)
        _label(axes[0], ends)
    return figure
