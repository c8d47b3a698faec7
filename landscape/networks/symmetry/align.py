"""`align`: the copy of one network's params that is nearest to another's, among all that its symmetry allows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from landscape import _checks
from landscape._trees import Params
from landscape.networks.symmetry._canonical import balance
from landscape.networks.symmetry._moves import Layer, Leaves, Move, Place, in_order, rows, still, transformed
from landscape.networks.symmetry.symmetry import Symmetry

SWEEPS = 1000  # over the layers; each makes the inner product larger, and there are finitely many permutations
ROUNDING = 1e-12  # of the inner product, below which nothing is gained
SETTLED = 1e-6  # of the distance, by which sizes must still lessen it
NEWTON = 20  # steps for a size
FLIPS = 4  # ways to flip a unit, of which all combinations are tried


@dataclass(frozen=True)
class Alignment:
    """What `ls.align` returns.

    params:          b's function, with units in the order, of the signs and the sizes that are nearest to a.
    moves:           what was done to each layer of b, {layer: Move}.
    distance:        ‖a − params‖ over all leaves; distance_before: ‖a − b‖.
    converged:       whether the last sweep over the layers changed nothing.
    """

    params: Params = field(repr=False)
    moves: Mapping[str, Move] = field(repr=False)
    distance: float
    distance_before: float
    converged: bool

    def __str__(self) -> str:
        moved = ", ".join(f"{n}: {int(np.sum(m.order != np.arange(len(m.order))))}" for n, m in self.moves.items())
        end = "" if self.converged else "; not converged"
        return f"distance {self.distance_before:.6g} -> {self.distance:.6g}; units moved: {moved}{end}"


def align(symmetry: Symmetry, a: Params, b: Params, *, data: Any = None) -> Alignment:
    """Params with b's function, as near to a as permutations, signs and rescalings of hidden units bring them.

    Without data, weights are matched: layer by layer, the assignment of units that makes Σ⟨a, b⟩ largest given the
    other layers, until nothing changes; begun at the inputs, at the outputs and at b, of which the best is kept. A
    copy of a itself comes back exactly, where a's units differ. Else this is a local optimum: the problem is NP-hard.
    data: inputs like those of `symmetry`: then activations on them are matched instead, by correlation.
    Under relu both are balanced first, and then b's units get the sizes that are nearest to a.
    Raises: ValueError for params unlike those of the symmetry, or that are not finite.
    References: Ainsworth, Hayase & Srinivasa 2023, section 3 (arXiv:2209.04836); Li et al. 2016, section 3.1.

        >>> import jax, landscape as ls
        >>> network = ls.mlp((2, 8, 1))
        >>> params = network.init(jax.random.key(0))
        >>> found = ls.symmetry(network.apply, params, [[0.0, 0.0]])
        >>> ls.align(found, params, found.random(jax.random.key(1), params)).distance
        0.0
    """
    _checks.instance("symmetry", symmetry, Symmetry, "what ls.symmetry(apply, params, x) returns")
    here, _ = symmetry._taken("a", a)
    there, rebuild = symmetry._taken("b", b)
    for name, leaves in (("a", here), ("b", there)):
        for leaf, array in leaves.items():
            _checks.finite(f"{name} leaf {leaf!r}", array, "Align finite params")
    layers = symmetry.layers
    most = max((layer.signs for layer in layers), default=0)
    if most > FLIPS:
        raise ValueError(f"`symmetry` has a layer with {most} ways to flip a unit; align tries all of up to {FLIPS}.")
    (goal, sizes), (start, balancing) = _balanced(layers, here), _balanced(layers, there)
    if data is None:
        moves, converged = _by_weights(layers, goal, start)
    else:
        seen = symmetry.activations(a, data), symmetry.activations(b, data)
        for name, activations in zip("ab", seen, strict=True):
            for layer, values in activations.items():
                cure = "Give data and params at which they are"
                _checks.finite(f"data at {name}, activations of {layer!r}", np.asarray(values), cure)
        moves, converged = _by_activations(layers, seen, goal, start), True
    for name, move in moves.items():
        moves[name] = replace(move, scales=balancing[name][move.order] / sizes[name])
    found = [_sized(layers, here, there, moves)]
    if data is None:  # never farther than b itself
        found.append(_sized(layers, here, there, {layer.name: still(layer) for layer in layers}))
    total = min(found, key=lambda result: result[0])[1]
    out = rebuild(transformed(there, [(layer, total[layer.name]) for layer in layers]))
    after, _ = symmetry._taken("params", out)
    return Alignment(out, total, _distance(here, after), _distance(here, there), converged)


def same_up_to_symmetry(symmetry: Symmetry, a: Params, b: Params, *, tolerance: float = 1e-3) -> bool:
    """Whether b is a copy of a under the network's symmetry: ‖a − aligned b‖ ≤ tolerance·‖a‖.

    Balanced before they are compared, so that what a rescaling makes large does not count.

        >>> import jax, landscape as ls
        >>> network = ls.mlp((2, 8, 1))
        >>> a, b = (network.init(jax.random.key(i)) for i in range(2))
        >>> found = ls.symmetry(network.apply, a, [[0.0, 0.0]])
        >>> ls.same_up_to_symmetry(found, a, found.random(jax.random.key(1), a)), ls.same_up_to_symmetry(found, a, b)
        (True, False)
    """
    _checks.instance("symmetry", symmetry, Symmetry, "what ls.symmetry(apply, params, x) returns")
    _checks.positive("tolerance", tolerance)
    leaves, rebuild = symmetry._taken("a", a)
    balanced = rebuild(_balanced(symmetry.layers, leaves)[0])
    size = np.sqrt(sum(np.sum(leaf**2) for leaf in symmetry._taken("a", balanced)[0].values()))
    return bool(align(symmetry, balanced, b).distance <= tolerance * size)


def _balanced(layers: tuple[Layer, ...], leaves: Leaves) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(the leaves balanced, by which factors (M, rescalings) each layer was), in float64."""
    with jax.enable_x64(True):
        return jax.device_get(balance(layers, leaves))


def _sized(
    layers: Sequence[Layer], goal: Leaves, start: Leaves, moves: Mapping[str, Move]
) -> tuple[float, dict[str, Move]]:
    """(the distance, the moves with those scales at which it is least, given orders and signs)."""
    moves = dict(moves)
    now = transformed(start, [(layer, moves[layer.name]) for layer in layers])
    best, before = _distance(goal, now), np.inf
    while best < before * (1 - SETTLED):
        before = best
        for layer in layers:
            for i in range(layer.scales):
                move = replace(still(layer), scales=still(layer).scales.copy())
                move.scales[:, i] = np.exp(_nearest_size(layer, i, goal, now))
                now, moves[layer.name] = transformed(now, [(layer, move)]), moves[layer.name].then(move)
        best = _distance(goal, now)
    return best, moves


def _nearest_size(layer: Layer, i: int, goal: Leaves, now: Leaves) -> np.ndarray:
    """log s of each unit at which Σ ‖a − s^e b‖² over its places is less than at 0, by Newton's method; else 0."""
    powers = np.array([place.scales[i] for place in layer.places])[:, None]
    pairs = [(rows(goal, [place]), rows(now, [place])) for place in layer.places]
    products = np.stack([np.sum(a * b, axis=1) for a, b in pairs])
    squares = np.stack([np.sum(b * b, axis=1) for _, b in pairs])

    def distance(logs: np.ndarray) -> np.ndarray:
        grown = np.exp(powers * logs)
        return np.sum(squares * grown**2 - 2 * products * grown, axis=0)

    logs = np.zeros(layer.size)
    for _ in range(NEWTON):
        grown = np.exp(powers * logs)
        slope = np.sum(2 * powers * (squares * grown**2 - products * grown), axis=0)
        bend = np.sum(2 * powers**2 * (2 * squares * grown**2 - products * grown), axis=0)
        logs -= np.clip(np.divide(slope, bend, out=np.zeros_like(slope), where=bend > 0), -1, 1)
    return np.where(distance(logs) < distance(np.zeros_like(logs)), logs, 0.0)


def _distance(a: Leaves, b: Leaves) -> float:
    return float(np.sqrt(sum(np.sum((a[name] - b[name]) ** 2) for name in a)))


def _inner(a: Leaves, b: Leaves) -> float:
    return float(sum(np.sum(a[name] * b[name]) for name in a))


def _by_weights(layers: Sequence[Layer], goal: Leaves, start: Leaves) -> tuple[dict[str, Move], bool]:
    """The best of three beginnings: layers settled one after another from either end, and none moved."""
    found = []
    for order in (in_order(layers), in_order(layers, backwards=True), []):
        moves, now = {layer.name: still(layer) for layer in layers}, dict(start)
        for layer, places in order:
            now = _improved(layer, places, goal, now, moves) or now  # may lead downhill: others are not settled yet
        found.append(_swept(layers, goal, now, moves))
    return max(found, key=lambda result: result[0])[1:]


def _swept(
    layers: Sequence[Layer], goal: Leaves, now: Leaves, moves: dict[str, Move]
) -> tuple[float, dict[str, Move], bool]:
    """(Σ⟨a, b⟩, moves, whether a sweep changed nothing in the end)."""
    best = _inner(goal, now)
    for _ in range(SWEEPS):
        before = best
        for layer in layers:
            trial = dict(moves)
            moved = _improved(layer, layer.places, goal, now, trial)
            if moved is not None and _inner(goal, moved) > best + ROUNDING * abs(best):
                now, moves, best = moved, trial, _inner(goal, moved)
        if best == before:
            return best, moves, True
    return best, moves, False


def _improved(
    layer: Layer, places: Sequence[Place], goal: Leaves, now: Leaves, moves: dict[str, Move]
) -> dict[str, np.ndarray] | None:
    """b's leaves with a layer's units assigned anew, given all others; `moves` are told. None where nothing moves."""
    if not places:
        return None
    flips, products = _flips(layer), np.zeros((2**layer.signs, layer.size, layer.size))
    for exponents, alike in _alike(places):
        product = rows(goal, alike) @ rows(now, alike).T
        products += np.array([_sign(flip, exponents) for flip in flips])[:, None, None] * product
    move = _assigned(layer, flips, products)
    if np.array_equal(move.order, np.arange(layer.size)) and (move.signs == 1).all():
        return None
    moves[layer.name] = moves[layer.name].then(move)
    return transformed(now, [(layer, move)])


def _alike(places: Iterable[Place]) -> Iterable[tuple[tuple[float, ...], list[Place]]]:
    """Places by which flips their entries follow."""
    groups: dict[tuple[float, ...], list[Place]] = {}
    for place in places:
        groups.setdefault(place.signs, []).append(place)
    return groups.items()


def _assigned(layer: Layer, flips: np.ndarray, products: np.ndarray) -> Move:
    """The assignment with the largest sum. products (flips, M, M): of unit u of a and v of b under these flips."""
    from scipy.optimize import linear_sum_assignment

    units, order = linear_sum_assignment(products.max(axis=0), maximize=True)
    best = products.argmax(axis=0)[units, order]
    return Move(order, flips[best], np.ones((layer.size, layer.scales)))


def _by_activations(
    layers: Sequence[Layer], seen: tuple[Mapping[str, Any], ...], goal: Leaves, start: Leaves
) -> dict[str, Move]:
    """Units assigned by the correlations of a's activations with b's, and of what flips are left by the weights."""
    moves = {}
    for layer in layers:
        a, b = (_standardized(activations[layer.name]) for activations in seen)
        flips = _flips(layer)
        follows = np.array([_sign(flip, layer.passed) for flip in flips])
        moves[layer.name] = _assigned(layer, flips, follows[:, None, None] * (a.T @ b))
    now = transformed(start, [(layer, moves[layer.name]) for layer in layers])
    for layer in layers:  # flips that do not show in activations, but in the weights
        hidden = [flip for flip in _flips(layer) if _sign(flip, layer.passed) == 1]
        agreed = [
            sum(np.sum(rows(goal, a) * rows(now, a), axis=1) * _sign(f, p) for p, a in _alike(layer.places))
            for f in hidden
        ]
        signs = np.array(hidden)[np.argmax(agreed, axis=0)]
        move = Move(np.arange(layer.size), signs, np.ones((layer.size, layer.scales)))
        now, moves[layer.name] = transformed(now, [(layer, move)]), moves[layer.name].then(move)
    return moves


def _flips(layer: Layer) -> np.ndarray:
    """All ways to flip a unit, (2^signs, signs); the first flips nothing."""
    return np.array(list(itertools.product((1.0, -1.0), repeat=layer.signs))).reshape(2**layer.signs, layer.signs)


def _sign(flip: np.ndarray, exponents: Sequence[float]) -> float:
    return float(np.prod(flip ** np.array(exponents)))


def _standardized(activations: Any) -> np.ndarray:
    """Columns of mean 0 and norm 1; 0 where a unit is constant."""
    wide = np.asarray(activations, np.float64)
    centered = wide - wide.mean(axis=0)
    norms = np.linalg.norm(centered, axis=0)
    return centered / np.where(norms > 0, norms, 1.0)
