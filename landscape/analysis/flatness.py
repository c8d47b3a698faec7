"""`compare_flatness`: whether "A is flatter than B" survives the choice of the plane."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
from jax import Array

from landscape import _checks
from landscape.charts.directions import Axis, random_directions
from landscape.charts.plane import Plane
from landscape.objectives.objective import Objective
from landscape.surfaces.evaluate import evaluate
from landscape.surfaces.progress import Progress

if TYPE_CHECKING:
    import xarray

SIGNIFICANT = 0.05
LEAST_PLANES = 6  # of 5 even unanimous ones have p = 2/2⁵ > 0.05


@dataclass(frozen=True, eq=False)
class Flatness:
    """What `compare_flatness` found. Prints as a sentence.

    data:     Dataset over `plane`: `a` and `b`, the mean increase of each one's risk in that plane; and the
              attributes of the comparison.
    share:    share of the planes in which a is flatter.
    p_value:  two-sided sign test: how often a coin decides as many planes, or more, in favor of one of the two.
    flatter:  "a", "b", or None where p_value > 0.05.
    surfaces: {"a": …, "b": …}, the surfaces, with the dimension `plane` in front: for `plot.many_planes`.
    """

    data: xarray.Dataset
    share: float
    p_value: float
    flatter: str | None
    surfaces: Mapping[str, xarray.Dataset]

    def __str__(self) -> str:
        a, b = (self.data[name].to_numpy() for name in "ab")
        ties = int(self.data.tie.sum())
        less = {"a": round(self.share * len(a))}
        less["b"] = len(a) - ties - less["a"]
        test = f"sign test, p = {self.p_value:.2g}"
        equal = f", and equally in {ties}" if ties else ""
        if self.flatter is not None:
            other = "b" if self.flatter == "a" else "a"
            found = f"{self.flatter} is flatter than {other}: its risk increases less in {less[self.flatter]}"
            found += f" of {len(a)} random planes{equal} ({test})"
        elif ties == len(a):
            found = f"a and b are equally flat in all of {len(a)} random planes"
        else:
            found = f"Neither is flatter: a's risk increases less in {less['a']} of {len(a)} random planes, b's in "
            found += f"{less['b']}{equal} ({test}); a picture of one plane shows the plane"
        spread = (f"{name} {np.median(v):.3g} ({v.min():.3g} to {v.max():.3g})" for name, v in (("a", a), ("b", b)))
        return (
            f"{found}.\nMean increase up to radius {self.data.attrs['radius']:g}, median (range): {', '.join(spread)}."
        )

    __repr__ = __str__


def compare_flatness(
    a: Objective,
    b: Objective,
    planes: int = 20,
    *,
    key: Array,
    radius: float = 1.0,
    points: int = 11,
    tolerance: float = 1e-3,
    normalize: Literal["filter", "layer", "global"] = "filter",
    filter_axis: Axis | Mapping[str, Axis] = -1,
    zero_vectors: bool = True,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = "highest",
    progress: bool | None = None,
) -> Flatness:
    """Compare the flatness around two objectives' params in many random planes, not in the one of a picture.

        increase = mean over α² + β² ≤ radius² of R(θ + αu + βv) − R(θ)

    a, b:         Objectives whose `params` are what was trained: `objective.with_params(trained)`. Their risks should
                  be of the same kind, on the same data; the architectures may differ.
    planes:       how many, 6 or more. Each is drawn from one key for both, and normalized to the params of each.
    points:       of each axis, an odd number; cells outside the disk are not counted.
    tolerance:    relative difference of two increases up to which a plane counts for neither.
    normalize, filter_axis, zero_vectors: as in `random_directions`.
    batch_size, memory, precision, progress: as in `evaluate`.

    Rescaling: a network with relu computes the same after one layer is multiplied by c > 0 and the next divided by it,
    but its risk looks sharper in one and flatter in the other along directions of a fixed length (Dinh et al. 2017,
    arXiv:1703.04933). Filter-normalized directions are rescaled with the layers, so this comparison is not changed, as
    long as biases do not move (`zero_vectors`); with `normalize="global"` it is. It is changed by what rescales single
    units, and it says nothing of other runs of the same training. The increase is that of the risk, without penalties;
    a cell that is not finite counts as infinitely high.
    Returns: a `Flatness`; print it.
    Raises: ValueError or TypeError, naming the argument.

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> params = {"kernel": jnp.ones((4, 2))}
        >>> bowls = [ls.function(lambda p, c=c: c * jnp.sum((p["kernel"] - 1) ** 2), params) for c in (1.0, 100.0)]
        >>> print(ls.compare_flatness(*bowls, key=jax.random.key(0)))
        a is flatter than b: its risk increases less in 20 of 20 random planes (sign test, p = 1.9e-06).
        Mean increase up to radius 1, median (range): a ... (... to ...), b ... (... to ...).
    """
    _check(a, b, planes, points)
    _checks.random_key("key", key)
    radius, tolerance = _checks.positive("radius", radius), _checks.positive("tolerance", tolerance)
    axis = radius * np.arange(-(points // 2), points // 2 + 1) / (points // 2)
    draw = partial(random_directions, n=2, normalize=normalize, filter_axis=filter_axis, zero_vectors=zero_vectors)
    options: dict[str, Any] = {"batch_size": batch_size, "memory": memory, "precision": precision, "progress": False}
    measured: dict[str, list[xarray.Dataset]] = {"a": [], "b": []}
    with Progress(2 * planes, "planes", progress) as bar:
        for plane_key in jax.random.split(key, planes):
            for name, objective in (("a", a), ("b", b)):
                plane = Plane(objective.params, draw(plane_key, objective.params), names=("alpha", "beta"))
                measured[name].append(evaluate(objective, plane, {"alpha": axis, "beta": axis}, **options))
                bar.update(1)
    said = {"radius": radius, "points": points, "tolerance": tolerance, "normalize": normalize}
    return _decided(measured, said)


def _check(a: Objective, b: Objective, planes: int, points: int) -> None:
    for name, objective in (("a", a), ("b", b)):
        _checks.instance(name, objective, Objective, "an Objective: objective.with_params(trained)")
    if _checks.count("planes", planes) < LEAST_PLANES:
        raise ValueError(
            f"`planes` is {planes}; give at least {LEAST_PLANES}: with fewer, even planes that all agree prove nothing "
            f"(p > {SIGNIFICANT})."
        )
    if _checks.count("points", points, least=3) % 2 == 0:
        raise ValueError(f"`points` is {points}; give an odd number, so that the middle one is the params themselves.")
    if a.reduction != b.reduction:
        raise ValueError(
            f'`a` has reduction="{a.reduction}" and `b` "{b.reduction}"; compare two means, or two sums of as many '
            "examples."
        )


def _decided(measured: dict[str, list[xarray.Dataset]], said: dict[str, Any]) -> Flatness:
    import xarray

    surfaces = {name: xarray.concat(parts, "plane", combine_attrs="drop_conflicts") for name, parts in measured.items()}
    (a, center_a), (b, center_b) = (_increases(name, surfaces[name], said["radius"]) for name in "ab")
    # What rounding leaves of a difference of risks is no difference either.
    rounding = 32 * max(np.finfo(s.risk.dtype).eps for s in surfaces.values()) * max(abs(center_a), abs(center_b))
    allowed = np.maximum(said["tolerance"] * np.maximum(np.abs(a), np.abs(b)), rounding)
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        tie = (a == b) | (np.isfinite(allowed) & (np.abs(a - b) <= allowed))
    wins = int(((a < b) & ~tie).sum()), int(((b < a) & ~tie).sum())
    p_value = sign_test(*wins)
    flatter = None if p_value > SIGNIFICANT else "a" if wins[0] > wins[1] else "b"
    values = {"long_name": "mean increase of the risk", "units": "1"}
    data = xarray.Dataset(
        {"a": ("plane", a, values), "b": ("plane", b, values), "tie": ("plane", tie, {"long_name": "no difference"})},
        attrs={"kind": "flatness", **said, **{f"objective_{k}": s.attrs["objective_id"] for k, s in surfaces.items()}},
    )
    return Flatness(data, wins[0] / len(a), p_value, flatter, surfaces)


def _increases(name: str, surface: xarray.Dataset, radius: float) -> tuple[np.ndarray, float]:
    """(mean increases over the disk (planes,), the risk in the middle)."""
    risk = surface.risk.transpose("plane", "alpha", "beta").to_numpy().astype(np.float64)
    middle = risk.shape[1] // 2
    center = risk[:, middle, middle]
    if not np.isfinite(center).all():
        raise ValueError(
            f"`{name}` has a risk of {center[0]} at its own params; compare trained ones, that are finite."
        )
    inside = surface.alpha.to_numpy()[:, None] ** 2 + surface.beta.to_numpy() ** 2 <= radius**2 * (1 + 1e-9)
    increases = np.where(np.isfinite(risk), risk - center[:, None, None], np.inf)[:, inside].mean(axis=1)
    return increases, float(center[0])


def sign_test(first: int, second: int) -> float:
    """p of the two-sided sign test: 2·P(X ≤ min(first, second)) for X ~ Binomial(first + second, ½), at most 1."""
    count = first + second
    tail = sum(math.comb(count, i) for i in range(min(first, second) + 1))
    return min(1.0, 2 * tail / 2**count)
