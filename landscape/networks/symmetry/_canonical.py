"""One representative of each orbit: balanced by rescaling, signs and order of the units by their incoming weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landscape.networks.symmetry._moves import Layer, Leaves, Move, in_order, rows, still, transformed, units

SWEEPS = 1000  # over the layers, until nothing is rescaled any more
NEWTON = 60  # steps; the equation is nearly linear in log s
BALANCED = 4 * np.finfo(np.float64).eps


def canonical(layers: Sequence[Layer], leaves: Leaves) -> dict[str, np.ndarray]:
    """The representative of the leaves' orbit."""
    balanced, _ = balance(layers, leaves)
    for layer, places in in_order(layers):
        if not places:
            raise ValueError(f"layer {layer.name!r} has no order: all of its weights lead to other hidden layers.")
        signs = np.ones((layer.size, layer.signs))
        for i in range(layer.signs):
            odd = [place for place in places if place.signs[i]]
            if odd:
                here = rows(balanced, odd)
                largest = np.argmax(np.abs(here), axis=1)
                signs[:, i] = np.where(here[np.arange(layer.size), largest] < 0, -1.0, 1.0)
                flip = Move(np.arange(layer.size), _only(signs, i), np.ones((layer.size, layer.scales)))
                balanced = transformed(balanced, [(layer, flip)])
        order = np.lexsort(rows(balanced, places).T[::-1])
        sort = Move(order, np.ones_like(signs), np.ones((layer.size, layer.scales)))
        balanced = transformed(balanced, [(layer, sort)])
    return balanced


def _only(signs: np.ndarray, i: int) -> np.ndarray:
    out = np.ones_like(signs)
    out[:, i] = signs[:, i]
    return out


def balance(layers: Sequence[Layer], leaves: Leaves) -> tuple[dict[str, np.ndarray], dict[str, Move]]:
    """(the leaves rescaled to the least Σθ², the rescaling of each layer). It is unique: Σθ² is convex in log s."""
    out, total = dict(leaves), {layer.name: still(layer) for layer in layers}
    scaled = [layer for layer in layers if layer.scales]
    for _ in range(SWEEPS):
        largest = 0.0
        for layer in scaled:
            for i in range(layer.scales):
                logs = _balancing(layer, out, i)
                largest = max(largest, float(np.max(np.abs(logs), initial=0.0)))
                scales = np.ones((layer.size, layer.scales))
                scales[:, i] = np.exp(logs)
                move = Move(np.arange(layer.size), np.ones((layer.size, layer.signs)), scales)
                out, total[layer.name] = transformed(out, [(layer, move)]), total[layer.name].then(move)
        if largest <= BALANCED:
            break
    return out, total


def _balancing(layer: Layer, leaves: Leaves, i: int) -> np.ndarray:
    """log s of each unit, at which Σ e·‖w‖²·s^2e over its places vanishes; 0 where one side of the unit is all 0."""
    exponents = np.array([place.scales[i] for place in layer.places])
    parts = [units(leaves[place.leaf], place) for place in layer.places]
    squares = np.stack([np.sum(part.reshape(layer.size, -1) ** 2, axis=1) for part in parts])
    weights = np.abs(exponents)[:, None] * squares
    into, outof = exponents > 0, exponents < 0
    logs = np.zeros(layer.size)
    alive = (weights[into].sum(axis=0) > 0) & (weights[outof].sum(axis=0) > 0)
    for _ in range(NEWTON):
        now = weights * np.exp(2 * exponents[:, None] * logs)
        sides = [now[side][:, alive] for side in (into, outof)]
        sums = [side.sum(axis=0) for side in sides]
        slopes = [
            (2 * exponents[side][:, None] * part).sum(axis=0) / total
            for side, part, total in zip((into, outof), sides, sums, strict=True)
        ]
        step = -(np.log(sums[0]) - np.log(sums[1])) / (slopes[0] - slopes[1])
        logs[alive] += step
        if np.max(np.abs(step), initial=0.0) <= BALANCED:
            break
    return logs
