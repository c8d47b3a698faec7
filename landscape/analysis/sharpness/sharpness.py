"""`sharpness`: the measures of how sharp a minimum is, side by side, and what changes of the params leave each alone.

>>> import jax, jax.numpy as jnp, landscape as ls
>>> bowl = ls.function(lambda p: 2 * p["x"] ** 2 + p["y"] ** 2, {"x": 0.0, "y": 0.0})
>>> found = ls.sharpness(bowl, bowl.params, radius=0.5, key=jax.random.key(0))
>>> round(found["worst_case"], 6), found["hessian_max"], found["hessian_trace"]  # ½ρ²λ
(0.5, 4.0, 6.0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.analysis.sharpness import _ascent, _ball, _estimates
from landscape.analysis.sharpness._ball import Ball
from landscape.charts.directions import Axis
from landscape.objectives.objective import Objective, check_objective
from landscape.objectives.penalties import none
from landscape.operators import products
from landscape.operators.products import PRECISION
from landscape.surfaces.provenance import describe
from landscape.tiles.progress import Progress

if TYPE_CHECKING:
    import xarray

MEASURES = (
    "worst_case",
    "average_case",
    "sam",
    "adaptive",
    "adaptive_sam",
    "relative_flatness",
    "hessian_max",
    "hessian_trace",
)
# What may be done to params, and what each measure is unchanged by.
CHANGES = {
    "rotation": "orthogonal changes of coordinates",
    "units": "exchange and change of sign of hidden units",
    "layer_rescaling": "rescaling of layers",
    "unit_rescaling": "rescaling of units",
}
_ROTATIONS, _LAYERS = ("rotation", "units"), ("units", "layer_rescaling")
INVARIANT_TO = dict.fromkeys(MEASURES, _ROTATIONS) | {
    "adaptive": (*_LAYERS, "unit_rescaling"),
    "adaptive_sam": (*_LAYERS, "unit_rescaling"),
    "relative_flatness": _LAYERS,
}


@dataclass(frozen=True, eq=False)
class Sharpness:
    """What `sharpness` found. Prints as a table; `found["adaptive"]` is the number.

    data: Dataset over `measure`: `value`; `stderr`, the standard error of a mean over random probes, NaN where the
          measure is none; `converged`, False where an ascent or a Lanczos iteration stopped early; `finite`, whether
          the value is; and `invariant_to`, over `measure` and `change`.
    """

    data: xarray.Dataset

    def __getitem__(self, measure: str) -> float:
        """The value of one measure."""
        known = {str(name): i for i, name in enumerate(self.data["measure"].values)}
        return float(self.data["value"][_checks.one_of("measure", measure, known)])

    def __str__(self) -> str:
        attrs, data = self.data.attrs, self.data
        names, changes = map(list, (data["measure"].values, data["change"].values))
        width = max(map(len, names))
        heads = "  ".join(changes)
        lines = [
            f"Sharpness of the risk, {attrs['risk']:.6g} at {attrs['size']} params; radius {attrs['radius']:g}, "
            f"adaptive radius {attrs['adaptive_radius']:g}. ✓: unchanged by",
            f"  {'':{width}}  {'':20}  {heads}",
        ]
        for i, name in enumerate(names):
            value, stderr = float(data["value"][i]), float(data["stderr"][i])
            number = f"{value:.4g}" + (f" ± {stderr:.2g}" if np.isfinite(stderr) else "")
            ticks = "  ".join(
                f"{'✓' if kept else '–':{len(change)}}"
                for change, kept in zip(changes, data["invariant_to"].values[i], strict=True)
            )
            lines.append(
                f"  {name:{width}}  {number:20}  {ticks}".rstrip() + ("" if data["converged"][i] else "  NOT converged")
            )
        kinks = tuple(name for name in attrs["kinks"].split(", ") if name)
        return "\n".join([*lines, *products.about_kinks(kinks)])

    __repr__ = __str__


class _Found(NamedTuple):
    value: float
    stderr: float = np.nan
    converged: bool = True


class _Asked(NamedTuple):
    """How much work is put into a measure."""

    num_probes: int
    num_starts: int
    max_steps: int
    filter_axis: Axis | Mapping[str, Axis] | None
    options: dict[str, Any]  # batch_size, memory
    progress: bool | None


def sharpness(
    objective: Objective,
    params: Params,
    *,
    key: Array,
    radius: float = 0.05,
    adaptive_radius: float = 0.5,
    measures: Sequence[str] = MEASURES,
    num_probes: int = 96,
    num_starts: int = 4,
    max_steps: int = 200,
    filter_axis: Axis | Mapping[str, Axis] | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    progress: bool | None = None,
) -> Sharpness:
    """How sharp the risk R is around params θ (p numbers that move), by the measures of the literature.

        worst_case         max over ‖δ‖ ≤ ρ of R(θ + δ) − R(θ)                        Keskar et al. 2017
        average_case       E[R(θ + δ)] − R(θ),  δ ~ N(0, σ²I),  σ = ρ/√p              Neyshabur et al. 2017
        sam                R(θ + ρ·g/‖g‖) − R(θ),  g = ∇R(θ)                          Foret et al. 2021
        adaptive           max over ‖δ/|θ|‖ ≤ ρₐ of R(θ + δ) − R(θ)                   Kwon et al. 2021
        adaptive_sam       R(θ + ρₐ·θ²g/‖θg‖) − R(θ), entry by entry                  Kwon et al. 2021
        relative_flatness  κ = Σ_ss' ⟨w_s, w_s'⟩ tr H_ss' of every weight matrix      Petzka et al. 2021
        hessian_max        λ_max(∇²R), and
        hessian_trace      tr ∇²R, for reference

    params:          where; a tree like the objective's.
    key:             of the starts and probes. The same key gives the same probes.
    radius:          ρ, in the unit of the params; `adaptive_radius`: ρₐ, relative to them (both as their authors').
    measures:        which of the eight.
    num_probes:      random probes of the average case (pairs ±δ), the trace and each relative flatness, 2 or more.
                     Standard errors are standard deviations / √num_probes.
    num_starts:      random starts of each ascent, beside the gradient's direction and both of the top eigenvector's.
    max_steps:       of each ascent.
    filter_axis:     which axis of a weight matrix counts the units that it leads to, as in `random_directions`: −1 for
                     (in, out), the default; 0 for (out, in), such as Equinox's.
    batch_size, memory: as in `curvature`; data that do not fit into memory are read batch by batch, once a step.
    progress:        show bars; by default after two seconds on a terminal.

    All are of the risk on all data, without the penalty: a penalty changes when layers are rescaled, the function
    does not. The maxima are LOWER BOUNDS, the largest of what projected gradient ascent and the points on its way
    found; `converged` says that the point is stationary, the gap ρ‖g‖ − ⟨g, δ⟩ ≤ √ε of the increase, not that it is
    the highest; on a kink, of relu say, the highest need not be stationary. Keskar et al. take a box |δᵢ| ≤ ε(|θᵢ|
    + 1) instead of a ball, and 100/(1 + R) times the increase. Increases of some ε·R, ε the rounding unit of the
    dtype, are rounding: take a larger radius, or float64. SAM's is 0 where the gradient is 0, and close to a
    minimum the gradient may be rounding. The adaptive ball has no constant added to |θ|, and biases are in it:
    entries that are 0 do not move. w_s are the weights that lead to unit s, and H_ss' the Hessian by w_s and w_s';
    kernels of convolutions are left out.

    What leaves a measure alone (`invariant_to`), to rounding, where maxima are found:
        rotation         any orthogonal change of coordinates: all but adaptive, adaptive_sam and relative_flatness
        units            hidden units in another order, or with the signs of all their weights changed (tanh): all
        layer_rescaling  a layer (weights and biases) times c > 0, the weights of the next / c (relu): the function is
                         the same, and so are adaptive, adaptive_sam and relative_flatness; the others become as large
                         as one likes (Dinh et al. 2017)
        unit_rescaling   the same of one unit: adaptive and adaptive_sam, which no factors of single entries change.
                         κ of a layer stays when its own units are rescaled, and changes with those that it reads
    Returns: a `Sharpness`; print it. Measures of what is not finite are NaN or infinite, and `finite` is False.
    Raises: ValueError or TypeError, naming the argument.
    References: Keskar et al. 2017, metric 2.1 (arXiv:1609.04836); Neyshabur, Bhojanapalli, McAllester & Srebro 2017
    (arXiv:1706.08947); Dinh, Pascanu, Bengio & Bengio 2017 (arXiv:1703.04933); Foret, Kleiner, Mobahi & Neyshabur 2021,
    equation 2 (arXiv:2010.01412); Kwon, Kim, Park & Choi 2021 (arXiv:2102.11600); Petzka, Kamp, Adilova, Sminchisescu &
    Boley 2021, definition 3 (arXiv:2001.00939).

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> valley = ls.function(lambda p: (p["w1"] * p["w2"] - 1) ** 2, {"w1": 1.0, "w2": 1.0})
        >>> a, b = ({"w1": 1.0, "w2": 1.0}, {"w1": 10.0, "w2": 0.1})  # minima of one function, rescaled
        >>> for at in (a, b):
        ...     found = ls.sharpness(valley, at, key=jax.random.key(0))
        ...     print(round(found["hessian_max"], 3), round(found["adaptive"], 4))
        4.0 0.6924
        200.02 0.6924
    """
    check_objective(objective)
    params, wanted = objective._read(params), _checked_measures(measures)
    _checks.random_key("key", key)
    radii = {
        "radius": _checks.positive("radius", radius),
        "adaptive_radius": _checks.positive("adaptive_radius", adaptive_radius),
    }
    _checks.count("num_probes", num_probes, least=2)
    _checks.count("num_starts", num_starts, least=0)
    _checks.count("max_steps", max_steps, least=0)
    options = {"batch_size": batch_size, "memory": memory}
    asked = _Asked(num_probes, num_starts, max_steps, filter_axis, options, progress)
    risk = objective.with_penalty(none())
    with jax.default_matmul_precision(PRECISION):
        found = _measured(risk, params, wanted, radii, key, asked)
        at = float(risk.risk(params))
    said = radii | {"risk": at, "size": _size(params), "num_probes": num_probes, "precision": PRECISION}
    said["kinks"] = ", ".join(products.kinks(risk))
    return Sharpness(_dataset(found, describe(risk, None) | said))


def _measured(
    risk: Objective, params: Params, wanted: set[str], radii: dict[str, float], key: Array, asked: _Asked
) -> dict[str, _Found]:
    """Each measure that is wanted, in the order of `MEASURES`."""
    of_ball, of_adaptive, of_trace, of_kernels = jax.random.split(key, 4)
    found: dict[str, _Found] = {}
    ball = _ball.ball(risk, params, adaptive=False, **asked.options)
    found |= _in_ball(
        ball, radii["radius"], {"worst_case", "average_case", "sam", "hessian_max"} & wanted, of_ball, asked
    )
    found |= _flatness_of_kernels(ball, of_kernels, asked) if "relative_flatness" in wanted else {}
    if "hessian_trace" in wanted:
        trace = ball.trace(of_trace, num_probes=asked.num_probes, progress=asked.progress, **asked.options)
        found["hessian_trace"] = _Found(np.nan) if trace is None else _Found(trace.value, trace.stderr)
    if {"adaptive", "adaptive_sam"} & wanted:
        ball = _ball.ball(risk, params, adaptive=True, **asked.options)
        found |= _in_ball(ball, radii["adaptive_radius"], {"adaptive", "adaptive_sam"} & wanted, of_adaptive, asked)
    if not found:
        raise ValueError(
            "`measures` is relative_flatness alone, but `params` has no matrix of weights (two axes, and no bias); ask "
            "for others, such as adaptive."
        )
    return dict(sorted(found.items(), key=lambda item: MEASURES.index(item[0].partition(" ")[0])))


def _in_ball(ball: Ball, radius: float, wanted: set[str], key: Array, asked: _Asked) -> dict[str, _Found]:
    of_lanczos, of_starts, of_average = jax.random.split(key, 3)
    found: dict[str, _Found] = {}
    pair = None
    if wanted & {"worst_case", "adaptive", "hessian_max"}:
        pair = ball.eigenpair(of_lanczos, progress=asked.progress, **asked.options)
    if "hessian_max" in wanted:
        found["hessian_max"] = (
            _Found(np.nan, np.nan, False) if pair is None else _Found(pair.values[0], np.nan, pair.converged[0])
        )
    for name in {"worst_case", "adaptive"} & wanted:
        starts = [ball.random(jax.random.fold_in(of_starts, i)) for i in range(asked.num_starts)]
        if pair is not None:
            top = jax.tree.map(lambda leaf: leaf[0], pair.vectors["u"])
            starts += [top, jax.tree.map(lambda leaf: -leaf, top)]
        with Progress(1 + len(starts), "starts", asked.progress) as bar:
            highest = _ascent.maximum(ball, radius, starts, asked.max_steps, bar)
        found[name] = _Found(highest.value, np.nan, highest.converged)
    for name in {"sam", "adaptive_sam"} & wanted:
        found[name] = _Found(_ascent.one_step(ball, radius))
    if "average_case" in wanted:
        sigma = radius / np.sqrt(_size(ball.zero()))
        with Progress(asked.num_probes, "probes", asked.progress) as bar:
            found["average_case"] = _Found(*_estimates.average(ball, sigma, of_average, asked.num_probes, bar))
    return found


def _flatness_of_kernels(ball: Ball, key: Array, asked: _Asked) -> dict[str, _Found]:
    kernels = _estimates.kernels(ball.operator.params["at"], asked.filter_axis)
    found = {}
    with Progress(len(kernels) * asked.num_probes, "products", asked.progress) as bar:
        for i, (name, inner) in enumerate(kernels.items()):
            own = jax.random.fold_in(key, i)
            estimate = _estimates.relative_flatness(ball, name, inner, own, asked.num_probes, bar)
            found[f"relative_flatness {name or 'params'}"] = _Found(*estimate)
    return found


def _size(tree: Params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(_trees.floating(tree)))


def _checked_measures(measures: Sequence[str]) -> set[str]:
    if isinstance(measures, str) or not hasattr(measures, "__iter__"):
        raise TypeError(f"`measures` is {_checks.kind(measures)}; give a list of names, such as {list(MEASURES[:2])}.")
    wanted = list(measures)
    for name in wanted:
        _checks.one_of("measures", name, dict.fromkeys(MEASURES))
    if not wanted:
        raise ValueError(f"`measures` is empty; give some of {', '.join(MEASURES)}, or leave it out for all.")
    return set(wanted)


def _dataset(found: dict[str, _Found], attributes: dict[str, Any]) -> xarray.Dataset:
    import xarray

    values = np.array([each.value for each in found.values()], np.float64)
    stderr = np.array([each.stderr for each in found.values()], np.float64)
    converged = np.array([each.converged for each in found.values()], bool)
    kept = [INVARIANT_TO[name.partition(" ")[0]] for name in found]
    invariant = np.array([[change in names for change in CHANGES] for names in kept])
    variables = {
        "value": ("measure", values, {"long_name": "sharpness", "units": "1"}),
        "stderr": ("measure", stderr, {"long_name": "standard error", "units": "1"}),
        "converged": ("measure", converged, {"long_name": "whether iterations converged"}),
        "finite": ("measure", np.isfinite(values), {"long_name": "whether the value is finite"}),
        "invariant_to": (("measure", "change"), invariant, {"long_name": "whether a change of the params keeps it"}),
    }
    return xarray.Dataset(
        variables, {"measure": list(found), "change": list(CHANGES)}, attributes | {"kind": "sharpness"}
    )
