"""`compare_flatness`: whether "A is flatter than B" survives the choice of the plane."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape.charts.directions import Axis, random_directions
from landscape.charts.plane import Plane
from landscape.objectives import data as _data
from landscape.objectives.data import Batch
from landscape.objectives.objective import Objective
from landscape.surfaces.evaluate import evaluate
from landscape.tiles.progress import Progress

if TYPE_CHECKING:
    import xarray

SIGNIFICANT = 0.05
LEAST_PLANES = 6  # of 5 even unanimous ones have p = 2/2⁵ > 0.05


@dataclass(frozen=True, eq=False)
class Flatness:
    """What `compare_flatness` found. Prints as a sentence.

    data:     Dataset over `plane`: `a` and `b`, the mean change of each one's risk in that plane; `tie`, whether they
              differ too little to count; `a_falls` and `b_falls`, whether the risk falls below that at the params, by
              more than `tolerance` times the mean change. The attributes hold what the comparison is repeated with:
              `key` as numbers, `filter_axis` as JSON, and the other arguments.
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
        planes = f"{len(a)} random planes"
        ties = int(self.data.tie.sum())
        less = {"a": round(self.share * len(a))}
        less["b"] = len(a) - ties - less["a"]
        test = f"sign test, p = {self.p_value:.2g}"
        equal = f", and equally in {ties}" if ties else ""
        if self.flatter is not None:
            other = "b" if self.flatter == "a" else "a"
            found = f"{self.flatter} is flatter than {other}: its risk changes less in {less[self.flatter]}"
            found += f" of {planes}{equal} ({test})"
        elif ties == len(a):
            found = f"a and b are equally flat in all of {planes}"
        else:
            found = f"Neither is flatter: a's risk changes less in {less['a']} of {planes}, b's in "
            found += f"{less['b']}{equal} ({test}); a picture of one plane shows the plane"
        spread = (f"{name} {np.median(v):.3g} ({v.min():.3g} to {v.max():.3g})" for name, v in (("a", a), ("b", b)))
        lines = [f"Mean change up to radius {self.data.attrs['radius']:g}, median (range): {', '.join(spread)}"]
        for name, count in ((name, int(self.data[f"{name}_falls"].sum())) for name in "ab"):
            if count:
                lines.append(f"{name} is no minimum in {count} of {planes}: its risk falls below that at its params")
        return ".\n".join([found, *lines]) + "."

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
    filter_axis: Axis | Mapping[str, Axis] | None = None,
    zero_vectors: bool = True,
    batch_size: int | None = None,
    memory: int | None = None,
    precision: str = "highest",
    progress: bool | None = None,
) -> Flatness:
    """Compare the flatness around two objectives' params in many random planes, not in the one of a picture.

        change = mean over α² + β² ≤ radius² of |R(θ + αu + βv) − R(θ)|

    a, b:         Objectives whose `params` are what was trained: `objective.with_params(trained)`. Their risks should
                  be of the same kind; the architectures may differ. The data must be the same. Where a network wants
                  them in another layout (images, flattened images), only the number of examples is compared.
    planes:       how many, 6 or more. Each is drawn from one key for both, and normalized to the params of each.
    points:       of each axis, an odd number; cells outside the disk are not counted.
    tolerance:    relative difference of two changes up to which a plane counts for neither; so it does where they
                  differ by no more than rounding, 32·ε·|R(θ)|.
    normalize, filter_axis, zero_vectors: as in `random_directions`.
    batch_size, memory, precision, progress: as in `evaluate`.

    The change is 0 only where the risk is constant. Around a minimum it is the mean increase. Elsewhere increases would
    cancel, of a slope and of opposite curvatures, however steep; so the result also counts the planes in which the risk
    falls below that at the params, which are no minimum there.

    Rescaling: a network with relu computes the same after one layer is multiplied by c > 0 and the next divided by it,
    but its risk looks sharper in one and flatter in the other along directions of a fixed length (Dinh et al. 2017,
    arXiv:1703.04933). Filter-normalized directions are rescaled with the layers, so this comparison is not changed, as
    long as biases do not move (`zero_vectors`); with `normalize="global"` it is. It is changed by what rescales single
    units, and it says nothing of other runs of the same training. The change is that of the risk, without penalties;
    a cell that is not finite counts as infinitely high.
    Returns: a `Flatness`; print it.
    Raises: ValueError or TypeError, naming the argument; ValueError if the data differ.

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> params = {"kernel": jnp.ones((4, 2))}
        >>> bowls = [ls.function(lambda p, c=c: c * jnp.sum((p["kernel"] - 1) ** 2), params) for c in (1.0, 100.0)]
        >>> print(ls.compare_flatness(*bowls, key=jax.random.key(0)))
        a is flatter than b: its risk changes less in 20 of 20 random planes (sign test, p = 1.9e-06).
        Mean change up to radius 1, median (range): a ... (... to ...), b ... (... to ...).
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
    said = {
        "key": _trees.as_numbers(key).tolist(),
        "radius": radius,
        "points": points,
        "tolerance": tolerance,
        "normalize": normalize,
        "filter_axis": json.dumps(filter_axis, default=_plain),
        "zero_vectors": zero_vectors,
        "precision": precision,
    }
    return _decided(measured, said)


def _plain(value: Any) -> Any:
    """What JSON does not know of a filter_axis: other mappings than dicts, NumPy's integers."""
    return dict(value) if isinstance(value, Mapping) else int(value)


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
    _check_data(a.data, b.data)
    for name, objective in (("a", a), ("b", b)):
        risk = float(objective.risk(objective.params))
        if not np.isfinite(risk):
            raise ValueError(f"`{name}` has a risk of {risk} at its own params; compare trained ones, that are finite.")


def _check_data(a: Batch, b: Batch) -> None:
    """Raise ValueError unless there are as many examples, and the same ones where they are of one layout."""
    counts = [_data.num_examples(data) for data in (a, b)]
    if counts[0] != counts[1]:
        what = f"`a` has {counts[0]} examples and `b` {counts[1]}"
    elif a is not b and _layout(a) == _layout(b) and _fingerprint(a) != _fingerprint(b):
        what = "`a` and `b` have different data, or the same in another order or other batches"
    else:
        return
    raise ValueError(f"{what}; compare on the same, such as compare_flatness(a, b.with_data(a.data), key=…).")


def _layout(data: Batch) -> Any:
    """Structure, shapes and dtypes of an example."""
    leaves, structure = jax.tree.flatten(_data.first_batch(data))
    return structure, [(leaf.shape[1:], leaf.dtype) for leaf in leaves]


def _fingerprint(data: Batch) -> str:
    digest = hashlib.blake2b(digest_size=8)
    _data.data_id(digest, data)
    return digest.hexdigest()


def _decided(measured: dict[str, list[xarray.Dataset]], said: dict[str, Any]) -> Flatness:
    import xarray

    surfaces = {name: xarray.concat(parts, "plane", combine_attrs="drop_conflicts") for name, parts in measured.items()}
    found = {name: _changes(surface, said["radius"], said["tolerance"]) for name, surface in surfaces.items()}
    a, b = found["a"].mean, found["b"].mean
    allowed = np.maximum(said["tolerance"] * np.maximum(a, b), max(one.rounding for one in found.values()))
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        tie = (a == b) | (np.isfinite(allowed) & (np.abs(a - b) <= allowed))
    wins = int(((a < b) & ~tie).sum()), int(((b < a) & ~tie).sum())
    p_value = sign_test(*wins)
    flatter = None if p_value > SIGNIFICANT else "a" if wins[0] > wins[1] else "b"
    values = {"long_name": "mean change of the risk", "units": "1"}
    falls = {"long_name": "whether the risk falls below that at the params"}
    variables = {name: ("plane", one.mean, values) for name, one in found.items()}
    variables["tie"] = ("plane", tie, {"long_name": "no difference"})
    variables |= {f"{name}_falls": ("plane", one.falls, falls) for name, one in found.items()}
    ids = {f"objective_{name}": surface.attrs["objective_id"] for name, surface in surfaces.items()}
    data = xarray.Dataset(variables, attrs={"kind": "flatness", **said, **ids})
    return Flatness(data, wins[0] / len(a), p_value, flatter, surfaces)


class _Changes(NamedTuple):
    """Of one objective's risk in the disk around its params, plane by plane."""

    mean: np.ndarray  # of |change|
    falls: np.ndarray  # whether it falls below the center's
    rounding: float  # what rounding leaves of a difference of risks is no difference


def _changes(surface: xarray.Dataset, radius: float, tolerance: float) -> _Changes:
    risk = surface.risk.transpose("plane", "alpha", "beta").to_numpy().astype(np.float64)
    middle = risk.shape[1] // 2
    center = risk[:, middle, middle]
    inside = surface.alpha.to_numpy()[:, None] ** 2 + surface.beta.to_numpy() ** 2 <= radius**2 * (1 + 1e-9)
    increase = (risk - center[:, None, None])[:, inside]
    finite = np.isfinite(increase)
    change = np.where(finite, np.abs(increase), np.inf)
    rounding = 32 * float(np.finfo(surface.risk.dtype).eps) * abs(float(center[0]))
    least = np.fmin.reduce(increase, axis=1)  # NaN is no fall
    falls = least < -np.maximum(tolerance * np.mean(change, axis=1, where=finite), rounding)
    return _Changes(change.mean(axis=1), falls, rounding)


def sign_test(first: int, second: int) -> float:
    """p of the two-sided sign test: 2·P(X ≤ min(first, second)) for X ~ Binomial(first + second, ½), at most 1."""
    count = first + second
    tail = sum(math.comb(count, i) for i in range(min(first, second) + 1))
    return min(1.0, 2 * tail / 2**count)
