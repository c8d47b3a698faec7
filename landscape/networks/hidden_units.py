"""`hidden_units`: which units of a network are equal, opposite or dead, and whether they say different things."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts.trajectory import Trajectory
from landscape.networks.symmetry._moves import Layer, units
from landscape.networks.symmetry.symmetry import Symmetry

if TYPE_CHECKING:
    import xarray

BLOCK = 2**24  # numbers of weights, pairs and activations that are looked at at a time
VARIABLES = {
    "unit_spread": "largest distance between two units",
    "equal": "units that have an equal one",
    "opposite": "units that have an opposite one",
    "dead": "units that are constant on the data",
    "rank": "rank of the activations",
    "size": "units",
}


def hidden_units(symmetry: Symmetry, params: Params | Trajectory, x: Any, *, tolerance: float = 1e-6) -> xarray.Dataset:
    """What the hidden units of a network are to each other, at one point or along runs.

        unit_spread   max over pairs ‖u − v‖, a unit's vector being all its weights: those that come in, its bias, those
                      that go out. 0 where all units of a layer are equal
        equal         units with another one at most `tolerance`·‖u‖ away
        opposite      units with another one so near to −u, in the signs that leave the function alone (tanh)
        dead          units whose activation is constant on x, to tolerance·max|a|: they say no more than a bias
        rank          numerical rank of the activations (m, M) on x: less than M where units are redundant there
        size          M

    symmetry: of the network, `ls.symmetry(apply, params, x)`.
    params:   one set; a Trajectory; or params with leading axes on every leaf, the same on all, called dim_0, dim_1, ….
    x:        inputs like those of the symmetry, any number.
    Returns: a data set over (…, layer), NaN spread and −1 where params are not finite, as `finite` says.
    Raises: ValueError for params unlike those of the symmetry, or without hidden layers.
    References: Rumelhart, Hinton & Williams 1986, p. 330 (breaking the symmetry of equal units).

        >>> import jax, landscape as ls
        >>> network = ls.mlp((2, 4, 1))
        >>> params = network.init(jax.random.key(0), "equal_units")
        >>> x = jax.random.normal(jax.random.key(1), (50, 2))
        >>> found = ls.hidden_units(ls.symmetry(network.apply, params, x), params, x)
        >>> float(found.unit_spread[0]), int(found.equal[0]), int(found["rank"][0])
        (0.0, 4, 1)
    """
    import xarray

    _checks.instance("symmetry", symmetry, Symmetry, "what ls.symmetry(apply, params, x) returns")
    _checks.positive("tolerance", tolerance)
    if not symmetry.layers:
        raise ValueError("`symmetry` has no hidden layers; there are no units to compare.")
    stacked, dims, coords = _stacked(symmetry, params)
    shape = jax.tree.leaves(stacked)[0].shape[: len(dims)]
    flat = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *leaf.shape[len(dims) :])), stacked)
    x = jax.tree.map(jnp.asarray, x)
    found = [
        {name: np.asarray(value) for name, value in _seen(symmetry, x, part, tolerance).items()}
        for part in _parts(symmetry, flat, x)
    ]
    whole = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    names = [layer.name for layer in symmetry.layers]
    data: dict[str, Any] = {
        name: ((*dims, "layer"), values.reshape(*shape, len(names)), {"long_name": VARIABLES[name], "units": "1"})
        for name, values in whole.items()
        if name != "finite"
    }
    data["finite"] = (dims, whole["finite"].reshape(shape), {"long_name": "params are finite", "units": "1"})
    return xarray.Dataset(data, {**coords, "layer": ("layer", names)}, {"kind": "hidden_units", "tolerance": tolerance})


def _stacked(symmetry: Symmetry, params: Any) -> tuple[Params, tuple[str, ...], dict[str, Any]]:
    """(params with leading axes, what these are called, their coordinates)."""
    if isinstance(params, Trajectory):
        if params.params is None:
            raise ValueError("`params` is a trajectory that kept coordinates, not params; descend without `record=`.")
        data = params.data
        dims = tuple(str(dim) for dim in data["risk"].dims)
        return _checked(symmetry, params.params, len(dims)), dims, {str(n): c for n, c in data.coords.items()}
    if jax.tree.structure(params) != jax.tree.structure(symmetry._example):
        raise ValueError(
            "`params` must be like those whose symmetry was read.\n"
            + _trees.layouts(read=symmetry._example, params=params)
        )
    first, own = jax.tree.leaves(params)[0], jax.tree.leaves(symmetry._example)[0]
    dims = tuple(f"dim_{i}" for i in range(max(0, np.ndim(first) - own.ndim)))
    return _checked(symmetry, params, len(dims)), dims, {}


def _checked(symmetry: Symmetry, params: Params, leading: int) -> Params:
    there, here = jax.tree.leaves(symmetry._example), jax.tree.leaves(params)
    front = {np.shape(leaf)[:leading] for leaf in here}
    alike = len(there) == len(here) and all(np.shape(a)[leading:] == b.shape for a, b in zip(here, there, strict=True))
    if not alike or len(front) > 1:
        raise ValueError(
            "`params` must be like those whose symmetry was read, or have the same leading axes on every leaf.\n"
            + _trees.layouts(read=symmetry._example, params=params)
        )
    return jax.tree.map(jnp.asarray, params)


def _parts(symmetry: Symmetry, flat: Params, x: Any) -> Sequence[Params]:
    """The points in blocks that fit into memory."""
    leaves = jax.tree.leaves(flat)
    examples = max((leaf.shape[0] for leaf in jax.tree.leaves(x) if leaf.ndim), default=1)
    one = sum(leaf.size // len(leaf) for leaf in leaves)
    one += sum(layer.size * (layer.size + examples) for layer in symmetry.layers)
    step = max(1, BLOCK // one)
    return [jax.tree.map(lambda leaf, i=i: leaf[i : i + step], flat) for i in range(0, len(leaves[0]), step)]


@partial(jax.jit, static_argnames="symmetry")
def _seen(symmetry: Symmetry, x: Any, points: Params, tolerance: float) -> dict[str, Array]:
    """The measures of points, (points, layers)."""
    return jax.vmap(partial(_one, symmetry, x, tolerance))(points)


def _one(symmetry: Symmetry, x: Any, tolerance: Any, params: Params) -> dict[str, Array]:
    leaves = _trees.named_leaves(params)
    moving = [leaf for leaf in leaves.values() if _trees.is_floating(leaf)]
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in moving]))
    activations = symmetry.activations(params, x)
    layers = [_layer(layer, leaves, activations[layer.name], tolerance) for layer in symmetry.layers]
    out = {name: jnp.stack([layer[name] for layer in layers]) for name in layers[0]}
    counts = {name: jnp.where(finite, out[name], -1) for name in ("equal", "opposite", "dead", "rank")}
    return {**out, **counts, "finite": finite}


def _layer(layer: Layer, leaves: Any, activations: Array, tolerance: Any) -> dict[str, Array]:
    weights = _weights(layer, leaves, (1.0,) * layer.signs)
    sizes = jnp.sqrt(jnp.sum(jnp.square(weights), axis=1))
    near = tolerance * jnp.maximum(sizes[:, None], sizes[None])
    apart = ~jnp.eye(layer.size, dtype=bool)
    distances = _distances(weights, weights)
    opposite = jnp.zeros(layer.size, bool)
    for flip in itertools.product((1.0, -1.0), repeat=layer.signs):
        if -1.0 in flip:
            turned = _distances(weights, _weights(layer, leaves, flip))
            opposite |= jnp.any((turned <= near) & apart, axis=1)
    spread, largest = jnp.ptp(activations, axis=0), jnp.max(jnp.abs(activations))
    return {
        "unit_spread": jnp.max(distances),
        "equal": jnp.sum(jnp.any((distances <= near) & apart, axis=1)),
        "opposite": jnp.sum(opposite),
        "dead": jnp.sum(spread <= tolerance * largest),
        "rank": jnp.linalg.matrix_rank(activations),
        "size": jnp.asarray(layer.size),
    }


def _weights(layer: Layer, leaves: Any, flip: tuple[float, ...]) -> Array:
    """The units' vectors, (M, weights), after a flip of all."""
    parts: list[Any] = [units(leaves[place.leaf], place) for place in layer.places]
    signs = [float(np.prod(np.array(flip) ** np.array(place.signs))) for place in layer.places]
    return jnp.concatenate([s * part.reshape(layer.size, -1) for s, part in zip(signs, parts, strict=True)], axis=1)


def _distances(a: Array, b: Array) -> Array:
    """‖a_u − b_v‖ of all pairs, by differences: squares and products would cancel where units are nearly equal."""
    return jax.lax.map(lambda row: jnp.sqrt(jnp.sum(jnp.square(row[None] - b), axis=1)), a)
