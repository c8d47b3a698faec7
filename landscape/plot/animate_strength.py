"""A penalty that grows, as an animation: the objective for one strength λ after another.

>>> import landscape as ls
>>> ls.plot.animate_strength(surface, np.geomspace(1e-3, 1, 60)).save("strength.gif")      # doctest: +SKIP
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from landscape import _checks
from landscape.plot import _animation, _excess, _least, _mesh, _page, _panels, style
from landscape.plot._animation import Animation
from landscape.plot._layer import Layer
from landscape.plot._panels import Panel
from landscape.plot.dark_minimum import paint


def animate_strength(
    surface: xr.Dataset,
    strengths: Iterable[float],
    *,
    seconds: float = 6.0,
    hold: float = 0.7,
    floor: float | None = None,
    ceiling: float | None = None,
    width: float = style.SINGLE,
    dpi: float = _animation.DPI,
) -> Animation:
    """The picture of `dark_minimum` for one strength λ after another, on one color scale.

    Nothing is evaluated: of a surface over two coordinates, with one kind of penalty, the objective is

        risk + λ·penalty_unit

    for any λ. A frame each of the `strengths`, in their order: numbers ≥ 0, for an even pace np.geomspace(1e-3, 1, 60).
    `floor` and `ceiling` are those of `dark_minimum` with all these panels; lines and their numbers are the objective
    of the frame. `seconds`, `hold`, `width` and `dpi`: as of `animate_descent`.
    Raises: ValueError for a surface without a penalty, or with several kinds; for strengths, seconds, hold or dpi that
    cannot be; and as `dark_minimum`.
    """
    given = _strengths(strengths)
    _animation.check(seconds, hold, dpi, len(given))
    unit, base = _unit(surface), _base(surface)

    def at(strength: float) -> tuple[xr.Dataset, Panel]:
        piece = _recombined(base, unit, strength)
        return piece, _panels.read(piece, "objective")[0]

    norm = _excess.norm((at(strength)[1] for strength in given), floor, ceiling)
    kinds = [_least.find(at(strength)[0], "objective")[0] for strength in given]
    noted = any(_least.NOTES[kind] for kind in kinds)
    with style.context():
        figure, (axes,) = _page.page(1, width)
        layer = Layer(axes)

        def draw(index: int) -> Any:
            with layer.anew():
                return paint(axes, *at(given[index]), norm, [], noted)[0]

        _lay_out(figure, axes, draw, kinds, [at(strength)[1] for strength in (min(given), max(given))])
    return Animation(figure, draw, len(given), seconds, hold, dpi)


def _strengths(strengths: Any) -> list[float]:
    if isinstance(strengths, (str, bytes)) or not isinstance(strengths, Iterable):
        raise TypeError(
            f"`strengths` is {_checks.kind(strengths)}; give two or more numbers, np.geomspace(1e-3, 1, 60)."
        )
    given = [_checks.strength(f"strengths[{i}]", value) for i, value in enumerate(strengths)]
    if len(given) < 2:
        raise ValueError(f"`strengths` has {len(given)} entries; give two or more, np.geomspace(1e-3, 1, 60).")
    return given


def _unit(surface: xr.Dataset) -> xr.DataArray:
    """The penalty at strength 1, of the one kind that the surface has."""
    _panels.plane(surface, "objective")
    for name in ("risk", "penalty_unit"):
        _panels.plane(surface, name)
    unit = surface["penalty_unit"]
    every = [unit.isel(penalty=i) for i in range(unit.sizes["penalty"])] if "penalty" in unit.dims else [unit]
    labels = [str(piece.coords["penalty"].item()) if "penalty" in piece.coords else "" for piece in every]
    kinds = [(label, piece) for label, piece in zip(labels, every, strict=True) if bool((piece.fillna(0) != 0).any())]
    if not kinds:
        raise ValueError(
            "`surface` has no penalty: penalty_unit is 0 everywhere. Evaluate it with one of any strength, "
            "landscape.evaluate(objective.with_penalty(ls.l2(1.0)), …)."
        )
    first = kinds[0][1].to_numpy()
    others = [label for label, piece in kinds if not np.array_equal(piece.to_numpy(), first, equal_nan=True)]
    if others:
        raise ValueError(
            f"`surface` has several kinds of penalties, such as {kinds[0][0]!r} and {others[0]!r}; one is animated. "
            f"Select it: surface.sel(penalty={others[0]!r})."
        )
    return _bare(kinds[0][1])


def _bare(array: xr.DataArray) -> xr.DataArray:
    """An array without the labels of its penalty."""
    return array.drop_vars([name for name in ("penalty", "strength") if name in array.coords])


def _base(surface: xr.Dataset) -> xr.Dataset:
    """What all frames share: the risk, and where it is finite and computed."""
    kept = [name for name in ("risk", "finite", "computed") if name in surface]
    base = surface[kept]
    return base.drop_vars([name for name in ("penalty", "strength") if name in base.coords])


def _recombined(base: xr.Dataset, unit: xr.DataArray, strength: float) -> xr.Dataset:
    """The surface at a strength; where that is 0 the penalty counts for nothing, even if it is infinite."""
    objective = base["risk"] + strength * unit if strength else base["risk"]
    label = f"$λ$ = {_page.plain(float(f'{strength:.3g}'))}"
    attributes = {"long_name": "objective", "units": "1"}
    return base.assign(objective=objective.assign_attrs(attributes)).assign_coords(penalty=label)


def _lay_out(figure: Any, axes: Any, draw: Any, kinds: Sequence[str], panels: Sequence[Panel]) -> None:
    """Color bar, legend and height for all frames: those of one with a note under its title, if there is one."""
    mesh = draw(next((i for i, kind in enumerate(kinds) if _least.NOTES[kind]), 0))
    tops = [float(_excess.excess(panel).max(initial=0.0, where=np.isfinite(panel.values))) for panel in panels]
    _excess.bar(figure, axes, panels[:1], mesh, "objective − its least value", tops)
    _page.finish(figure, axes, [_least.handles(kinds) + _mesh.handles(panels)], own=True)
