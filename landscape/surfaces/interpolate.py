"""`interpolate`: a surface from as few evaluations as its smoothness allows, with an error that is stated.

>>> import numpy as np, landscape as ls
>>> pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
>>> found = ls.interpolate(pair, ls.axes_plane(pair.params, "w", "b"), {"w": (-3, 3), "b": (-3, 3)})
>>> found.evaluations, bool(found.error < 1e-3)
(101, True)
>>> surface = found.on({"w": np.linspace(-3, 3, 401), "b": np.linspace(-3, 3, 401)})
"""

from __future__ import annotations

import inspect
import itertools
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from landscape import _checks
from landscape.charts import chart as _chart
from landscape.charts.chart import Chart
from landscape.objectives.objective import Objective
from landscape.objectives.penalties import Penalty
from landscape.surfaces import _refinement
from landscape.surfaces._patches import pack
from landscape.surfaces._refinement import Refined, Wanted
from landscape.surfaces._rounds import Rounds, keep
from landscape.surfaces._sources import Called, Measured, Source
from landscape.surfaces.interpolant import DERIVATIVES, Interpolant
from landscape.surfaces.quantities import Quantity
from landscape.surfaces.sweep import penalties_of, sweep_coordinates
from landscape.tiles.progress import Progress

MOST = 10_000  # evaluations, unless others are asked for
REACH = 128  # units in the last place of the dtype: no tolerance is smaller
ROUNDING = 4  # units in the last place of what is evaluated
OF_ROUNDS = ("tile_shape", "batch_size", "cells_in_flight", "out_of_memory", "wall_seconds", "hoisted", "compression")


def interpolate(
    function: Objective | Callable[..., Any],
    chart: Chart | None = None,
    box: Mapping[str, tuple[float, float]] | None = None,
    *,
    tolerance: float = 1e-3,
    relative_to: Literal["range", "value"] = "range",
    quantities: Sequence[str | Quantity] = ("risk",),
    penalties: Mapping[str, Penalty] | None = None,
    max_evaluations: int | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = "highest",
    progress: bool | None = None,
    store: str | os.PathLike[str] | None = None,
) -> Interpolant:
    """Interpolate a surface on a box of one to three coordinates, until its error is within the tolerance.

    function:        an Objective, on all of its examples; or, without a chart, any Python function of the coordinates
                     in the order of `box`, such as f(alpha, beta) -> float.
    box:             coordinate name -> (lowest, highest) position.
    tolerance:       of the error of everything that is interpolated, anywhere in the box.
    relative_to:     "range": to (greatest − least) of each quantity in the box; "value": of the risk, which must be
                     positive, to itself.
    quantities:      beside the risk "risk_stderr", "risk_gradient_norm", "gradient_norm" (with the former, and not
                     under an l1 penalty, where it jumps); own ones that are smooth.
                     Slope and Hessian in the chart are the interpolant's own: `result.on(axes, quantities=("slope",))`.
    penalties:       label -> Penalty, a sweep, as in `evaluate`.
    max_evaluations: 10000 by default. What is within the tolerance by then stays; a warning says what is not.
    batch_size, memory, precision, progress: as in `evaluate`.
    store:           a path or URL of a folder in which evaluations are kept, round by round, as tiles: the same call
                     again computes what is missing; one with another tolerance or box uses the points that it shares.
                     It holds the result too: `ls.open_interpolant(store)`. A Python function is called once more, to
                     see whether it is the same.

    On a piece of the box, at first all of it, values at nested Chebyshev points (Clenshaw & Curtis 1960) give the
    interpolating polynomial. Its error is estimated as the largest of: 2.5 times that at random points that are no
    nodes, and at some where the interpolant of half the degrees differs most; what the decay of the coefficients leaves
    beyond the last degree; rounding. Where it is too large, the degree along each axis is raised so that all nodes
    stay, or the piece is cut in halves (Pachón, Platte & Trefethen 2010). Of what is positive and spans more than a
    decade the logarithm is interpolated where that errs less; of norms the square. A piece with points that are not
    finite is halved down to 1/32 of the box (1/1024 in one coordinate, 1/8 in three), and is then not finite as a
    whole; one without finite points to ¼ (1/16, ½). The estimate is no bound: what is narrower than the gaps between
    all points is not seen.
    Raises: ValueError or TypeError, naming the argument, and as `evaluate`.
    """
    source = _source(function, chart, box, quantities, penalties, (batch_size, memory, precision))
    lower, upper = _checked_box(source, dict(box or {}))
    wanted = _checked_tolerance(tolerance, source.dtype)
    _checks.one_of("relative_to", relative_to, {"range": False, "value": True})
    most = MOST
    if max_evaluations is not None:
        most = _checks.count("max_evaluations", max_evaluations, _refinement.fewest(len(source.names)))
    if store is not None:
        _checks.instance("store", store, (str, os.PathLike), "a path or a URL")
    where = None if store is None else os.fspath(store).rstrip("/")
    with Progress(None, "evaluations", progress) as bar:
        rounds = Rounds(source, where, bar.update, relative_to == "value")
        refined = _refinement.refine(rounds, lower, upper, wanted, most)
    found = _interpolant(refined, rounds, wanted, penalties, (lower, upper))
    if where is not None:
        keep(found, where)
    _warn(found, refined, wanted, rounds, most)
    return found


def _source(
    function: Any,
    chart: Chart | None,
    box: Any,
    quantities: Any,
    penalties: Mapping[str, Penalty] | None,
    options: tuple[int | None, int | None, str],
) -> Source:
    """What is to be sampled, checked. Raises: as `interpolate`."""
    if not isinstance(box, Mapping) or not box:
        came = "missing" if box is None else "empty" if isinstance(box, Mapping) else _checks.kind(box)
        raise TypeError(f'`box` is {came}; give a mapping, box={{"alpha": (-1, 1), "beta": (-1, 1)}}.')
    if isinstance(function, Objective):
        _chart.check("chart", chart)
        assert chart is not None
        _checks.precision(options[2])
        _check_smooth(quantities, penalties_of(function, penalties))
        return Measured(function, chart, tuple(quantities), penalties, *options)
    if not callable(function) or isinstance(function, type):
        raise TypeError(
            f"`function` is {_checks.kind(function)}; give an ls.Objective with its chart, or a Python function of the "
            "coordinates with chart=None."
        )
    if chart is not None:
        raise TypeError(
            "`chart` belongs to an ls.Objective, and `function` is a Python function of coordinates: give chart=None."
        )
    own = {"penalties": penalties is not None, "quantities": tuple(quantities) != ("risk",)}
    own |= {
        "batch_size": options[0] is not None,
        "memory": options[1] is not None,
        "precision": options[2] != "highest",
    }
    for name in itertools.compress(own, own.values()):
        raise ValueError(f"`{name}` is for an ls.Objective, and `function` is a Python function; leave it out.")
    names = tuple(box)
    for name in names:
        if not isinstance(name, str) or name in _chart.RESERVED:
            raise ValueError(f"`box` calls a coordinate {name!r}; give another name, a string that no result has.")
    _checks.takes("function", function, f"f({', '.join(names)})")
    _check_order(function, names)
    return Called(function, names)


def _check_order(function: Callable[..., Any], names: tuple[str, ...]) -> None:
    """Raise ValueError where a function has the coordinates' names in another order."""
    try:
        given = tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of a compiled one nothing is known
        return
    if given != names and set(given) == set(names):
        raise ValueError(
            f"`function` takes {', '.join(given)}, and is called in the order of `box`, {', '.join(names)}; "
            "give both in one order."
        )


def _check_smooth(quantities: Any, penalties: Sequence[Penalty]) -> None:
    """Raise ValueError for what is not interpolated."""
    if isinstance(quantities, str):
        raise TypeError(f"`quantities` is the string {quantities!r}; give a tuple, ({quantities!r},).")
    _checks.instance("quantities", quantities, Sequence, 'a tuple, such as ("risk_stderr",)')
    for name in quantities:
        if name == "accuracy":
            raise ValueError(
                '`quantities` has "accuracy", which is a step function of the coordinates: no polynomial comes close. '
                'Measure it on a grid: ls.evaluate(objective, chart, axes, quantities=("accuracy",)).'
            )
        if name == "gradient_norm" and any(term.l1 for penalty in penalties for term in penalty.terms):
            raise ValueError(
                '`quantities` has "gradient_norm", which jumps where an l1 penalty has its kinks. Measure it on a '
                'grid: ls.evaluate(objective, chart, axes, quantities=("gradient_norm",)).'
            )
        if name in DERIVATIVES:
            raise ValueError(
                f"`quantities` has {name!r}, which the interpolant knows itself, without evaluations: ask for it in "
                f"result.on(axes, quantities=({name!r},))."
            )


def _checked_box(source: Source, box: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Its lowest and highest corner (k,), in the order of the coordinates' names."""
    _checks.all_named("box", source.names, box, "Give every coordinate (lowest, highest)")
    if len(box) > 3:
        raise ValueError(f"`box` has {len(box)} coordinates; it has 1 to 3: the cost grows exponentially with them.")
    reach = np.promote_types(np.float32, source.dtype) if source.dtype.itemsize >= 4 else np.dtype(np.float32)
    corners, largest = [], float(np.finfo(reach).max) / 4
    for name in source.names:
        ends = box[name]
        if not isinstance(ends, Sequence | np.ndarray) or isinstance(ends, str) or len(ends) != 2:
            came = f"an array of shape {ends.shape}" if isinstance(ends, np.ndarray) else repr(ends)
            raise TypeError(f"`box[{name!r}]` is {came}; give (lowest, highest).")
        low, high = (_checks.number(f"box[{name!r}][{i}]", end) for i, end in enumerate(ends))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(
                f"`box[{name!r}]` is ({low:g}, {high:g}); a box has finite ends. To look far out, give a chart that "
                "goes there, such as ls.Polar with its log_scale."
            )
        if max(-low, high) > largest:
            raise ValueError(
                f"`box[{name!r}]` reaches {max(-low, high):.1e}, which overflows {reach}; take a smaller one."
            )
        if not low < high:
            raise ValueError(f"`box[{name!r}]` is ({low:g}, {high:g}), which has no extent; give lowest < highest.")
        corners.append((low, high))
    lower, upper = np.array(corners).T
    return lower + 0.0, upper + 0.0


def _checked_tolerance(tolerance: Any, dtype: Any) -> Wanted:
    size = _checks.number("tolerance", tolerance)
    eps = float(jnp.finfo(dtype).eps)
    if not 0 < size < 1:
        raise ValueError(f"`tolerance` is {size:g}; it is a share of the range or the value, between 0 and 1.")
    if size < REACH * eps:
        wider = "; for a smaller one turn on x64 and give params and data in float64" if eps > 2.0**-50 else ""
        raise ValueError(f"`tolerance` is {size:g}, and rounding in {dtype} allows {REACH * eps:.1e} at least{wider}.")
    return Wanted(size, ROUNDING * eps)


def _interpolant(
    refined: Refined,
    rounds: Rounds,
    wanted: Wanted,
    penalties: Mapping[str, Penalty] | None,
    box: tuple[np.ndarray, np.ndarray],
) -> Interpolant:
    import xarray

    source, samples = rounds.source, refined.samples
    strengths, units = source.penalized()
    variables: dict[str, Any] = pack(refined.pieces, source.names, rounds.channels)
    variables |= {
        "scale": ("channel", samples.scale()),
        "points": (("evaluation", "coordinate"), samples.points),
        "values": (("channel", "evaluation"), samples.values),
        "node": ("evaluation", _are_nodes(refined)),
    }
    coords: dict[str, Any] = {"coordinate": list(source.names)}
    if penalties is None:
        variables |= {"strength": ((), strengths[0]), "unit": ((), units[0]), "number": ((), 0)}
    else:
        coords |= sweep_coordinates(penalties)
        variables |= {"unit": ("penalty", units), "number": ("penalty", np.arange(len(units)))}
    attributes = {name: value for name, value in rounds.attributes.items() if name not in OF_ROUNDS}
    attributes |= {
        "kind": "interpolant",
        "channels": json.dumps(rounds.channels),
        "axes": json.dumps(source.described()),
        "box": json.dumps([corner.tolist() for corner in box]),
        "tolerance": wanted.tolerance,
        "rounding": wanted.rounding / ROUNDING,
        "relative_to": "value" if rounds.to_value else "range",
    }
    return Interpolant(xarray.Dataset(variables, coords, attributes))


def _are_nodes(refined: Refined) -> np.ndarray:
    """(evaluations,) whether a finite piece has its node there."""
    own = np.zeros(len(refined.samples.points), bool)
    for piece in refined.pieces:
        if piece.coefficients is not None:
            own[refined.samples.rows(piece.nodes())] = True
    return own


def _warn(found: Interpolant, refined: Refined, wanted: Wanted, rounds: Rounds, most: int) -> None:
    """Say what is missed, and why."""
    if found.not_finite == 1:
        what = "the surface is finite nowhere in the box"
        if isinstance(rounds.source, Measured):
            what += ": are labels within the classes, params and data finite, the box not too wide?"
        warnings.warn(what, UserWarning, stacklevel=3)
    elif not found.converged:
        shares = found.data["error"].max("piece").to_numpy() / found.data["scale"].to_numpy()
        worst = int(np.argmax(shares))
        limits = refined.samples.reachable(wanted) / refined.samples.scale()
        if refined.exhausted:
            why = f"after {found.evaluations} evaluations of {most} allowed. Allow more (max_evaluations)"
        elif shares[worst] <= limits[worst]:
            why = "which rounding does not allow. Give params and data in float64 (turn on x64)"
        else:
            why = "around a jump, or something as steep as one. Measure a grid there (ls.evaluate)"
        warnings.warn(
            f"the estimated error of {rounds.channels[worst].variable} is {shares[worst]:.1e}, and tolerance="
            f"{wanted.tolerance:g} was asked for: {why}, or take a smaller box or a larger tolerance.",
            UserWarning,
            stacklevel=3,
        )
    elif refined.exhausted:
        warnings.warn(
            f"the border of what is not finite was not followed to its end with {most} evaluations: "
            f"{100 * found.not_finite:.2g} % of the box are taken as not finite. Allow more (max_evaluations).",
            UserWarning,
            stacklevel=3,
        )
