"""Closed forms that are affine sets: interpolation, normal equations, ridge; and soft thresholds beside them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from landscape.minima._linear import Linear
from landscape.minima.attainment._exact import powers_of_two
from landscape.minima.closed_form import _rational
from landscape.minima.closed_form._finding import Finding
from landscape.minima.closed_form._rational import Examples
from landscape.objectives import activations
from landscape.objectives.activations import Activation
from landscape.objectives.losses import CrossEntropy

EPS = float(np.finfo(np.float64).eps)
SLACK = 32  # roundings: of data, inverse, products and the solver, each a few


def constant(read: Linear) -> Finding:
    """All inputs are 0: the penalty alone decides."""
    free = (read.l1 == 0) & (read.l2 == 0)
    reason = "Every input x̃ is 0, so the risk is the same at all θ."
    return Finding(True, "constant", reason, True, np.zeros(len(free)), np.eye(len(free))[free])


def interpolation(data: Examples, read: Linear) -> Finding | None:
    """x̃ᵢ·θ = f⁻¹(tᵢ): where it has solutions they are the minimizers. None where this decides nothing."""
    loss, m = read.loss, len(data.rows)
    f = activations.activation("sigmoid") if isinstance(loss, CrossEntropy) else loss.activation
    exact_rank = _rational.rank(data.exact_rows)
    low, high = f.low, f.high
    inside = np.array([low < label < high for label in data.exact_labels])
    if not inside.all():
        # Of independent inputs every z is that of some θ, and ∇R = Xᵀ(ω·loss'(z)) = 0 only where all loss'(zᵢ) = 0.
        return _unattained(data, f, inside) if exact_rank == m and f.name != "relu" else None
    found = _solved(data, f)
    if found is None:
        return None
    point, directions = found
    if exact_rank == m == data.rows.shape[1] - len(directions):
        how, proved = "the inputs are independent", True
    elif exact_rank == data.rows.shape[1] - len(directions) and _all_at_zero(data, f):
        how, proved = "every f⁻¹(tᵢ) is 0", True
    else:
        how, proved = "to the rounding of the data", False
    name = "σ(x̃ᵢ·θ) = yᵢ" if isinstance(loss, CrossEntropy) else "f(x̃ᵢ·θ) = tᵢ"
    reason = f"{name} has solutions for all i ({how}), and there the loss of every input is least{_mean(data)}."
    if f.name == "relu":
        reason += " The gradient also vanishes, without that, where every unit is dead (x̃ᵢ·θ < 0)."
    return Finding(True, "interpolation", reason, proved, point, directions)


def quadratic(data: Examples | None, read: Linear) -> Finding:
    """Identity: ½ Σ ωᵢ(x̃ᵢ·θ − yᵢ)² + Σ βⱼθⱼ², whose gradient is linear; with l1 if the columns are orthogonal."""
    if read.l1.any():
        return _soft(read)
    kept = read.weights > 0
    unit = float(powers_of_two(np.abs(read.features[kept]).max(initial=0.0)))  # squares stay in range: θ in its units
    rows, root = read.features[kept] / unit, np.sqrt(read.weights[kept])
    penalized = np.sqrt(2 * read.l2) / unit
    extra = np.eye(len(penalized))[penalized > 0]
    directions = null_space(np.concatenate([rows, extra]))
    matrix = np.concatenate([root[:, None] * rows, penalized[penalized > 0, None] * extra])
    target = np.concatenate([root * read.labels[kept], np.zeros(len(extra))])
    point = _within(matrix, target, directions) / unit
    rank, size = len(penalized) - len(directions), len(penalized)
    which = "ridge" if len(extra) else "normal equations"
    equations = "(XᵀΩX + 2β)θ = XᵀΩy" if len(extra) else "XᵀΩXθ = XᵀΩy"
    reason = f"The gradient is linear in θ; {equations} always has a solution, and each is a minimizer."
    exact = None
    if data is not None:
        diagonal = tuple(tuple(map(_rational.fraction, row)) for row in extra)
        exact = _rational.rank((*data.exact_rows, *diagonal))
        extended = tuple((*row, label) for row, label in zip(data.exact_rows, data.exact_labels, strict=True))
        if not len(extra) and (exact == len(data.rows) or _rational.rank(extended) == exact):
            which = "interpolation"
            reason = f"x̃ᵢ·θ = yᵢ has solutions for all i, and there the loss of every input is least{_mean(data)}."
    certain = exact == rank or (exact is None and rank == size)
    if exact is not None and exact != rank:
        reason += f" The rank is {rank} to rounding, {exact} exactly."
    return Finding(True, which, reason, certain, point, directions)


def _mean(data: Examples) -> str:
    return "; equal inputs count as one, with the mean of their labels" if data.mixed else ""


def null_space(matrix: np.ndarray) -> np.ndarray:
    """An orthonormal basis (k, p) of {d: Md = 0}, in float64 after rows and columns are scaled to like sizes."""
    size = matrix.shape[1]
    matrix = matrix / powers_of_two(np.abs(matrix).max(axis=1, initial=0.0))[:, None]  # squares stay in range
    norms = np.linalg.norm(matrix, axis=1)
    rows = matrix[norms > 0] / norms[norms > 0, None]
    columns = np.linalg.norm(rows, axis=0) if len(rows) else np.zeros(size)
    scale = np.where(columns > 0, 1 / np.where(columns > 0, columns, 1), 1)
    if not len(rows):
        return np.eye(size)
    triangle = np.linalg.qr(rows * scale, mode="r")  # of many rows: the left vectors are not wanted
    _, singular, right = np.linalg.svd(triangle, full_matrices=True)
    rank = int((singular > EPS * max(rows.shape) * singular[0]).sum())
    return np.linalg.qr((right[rank:] * scale).T)[0].T


def _within(matrix: np.ndarray, target: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The least-squares solution orthogonal to the directions: of all, that of least norm."""
    complement = np.eye(matrix.shape[1])
    if len(directions):
        complement = np.linalg.qr(directions.T, mode="complete")[0][:, len(directions) :]
    columns = matrix @ complement
    sizes = np.linalg.norm(columns, axis=0)  # not 0: what M sends to 0 lies in the directions
    return complement @ (np.linalg.lstsq(columns / sizes, target, rcond=0)[0] / sizes)


def _values(f: Activation, targets: np.ndarray) -> np.ndarray:
    """f⁻¹ in float64."""
    import jax

    if f.name == "relu":  # one-to-one where it is positive
        return targets
    with jax.enable_x64(True):
        return np.asarray(f.inverse(targets))


def _slopes(f: Activation, z: np.ndarray) -> np.ndarray:
    """f' in float64."""
    import jax

    with jax.enable_x64(True):
        return np.asarray(f.derivative(z))


def _all_at_zero(data: Examples, f: Activation) -> bool:
    """Whether every label is f(0), exactly."""
    return f.name in _rational.ODD and set(data.exact_labels) <= {Fraction(f.low + f.high) / 2}


def _solved(data: Examples, f: Activation) -> tuple[np.ndarray, np.ndarray] | None:
    """A solution of least norm and the directions of all, if the system is consistent to rounding."""
    z = _values(f, data.labels)
    if not np.isfinite(z).all():  # a label within rounding of a limit
        return None
    unit = float(powers_of_two(np.abs(data.rows).max(initial=0.0)))  # squares stay in range; least norms stay least
    rows = data.rows / unit
    directions = null_space(rows)
    first = _within(rows, z, directions)
    # What rounding leaves open in each equation: of the label, carried through f⁻¹, of z and of the product.
    open_ = EPS * (abs(z) + abs(data.labels) / _slopes(f, z) + abs(rows) @ abs(first))
    open_ = np.maximum(open_, EPS * np.linalg.norm(rows, axis=1) * np.linalg.norm(first))
    open_ = np.where(open_ > 0, open_, EPS * np.linalg.norm(rows, axis=1))
    point = _within(rows / open_[:, None], z / open_, directions)
    residual = (rows @ point - z) / open_
    consistent = np.linalg.norm(residual) <= SLACK * np.sqrt(max(rows.shape))
    return (point / unit, directions) if consistent else None


def _unattained(data: Examples, f: Activation, inside: np.ndarray) -> Finding:
    """Independent inputs, of which one has a label that no z reaches."""
    index = int(np.argmin(inside))
    label, exact = float(data.labels[index]), data.exact_labels[index]
    limit = exact in (f.low, f.high)
    if limit:
        reason = (
            f"The label {label:g} is a limit of {f.name} that no z reaches: the inputs are independent, so the "
            "gradient is 0 only where all fit, and vanishes only at infinity."
        )
    else:
        reason = (
            f"The label {label:g} lies outside the range of {f.name}, ({f.low:g}, {f.high:g}): the inputs are "
            "independent, its residual is never 0, and the gradient vanishes only at infinity."
        )
    return Finding(False, "none", reason, True)


def _soft(read: Linear) -> Finding:
    """l1: with orthogonal columns each parameter is a soft threshold of its own."""
    kept = read.weights > 0
    unit = powers_of_two(np.abs(read.features[kept]).max(axis=0, initial=0.0))  # squares stay in range: θ in its units
    rows, weights, l1, l2 = read.features[kept] / unit, read.weights[kept], read.l1 / unit, read.l2 / unit / unit
    shares = weights / weights.max()  # all exactly 1 where there are none
    mixed = ~np.eye(rows.shape[1], dtype=bool)
    inner = abs((shares * rows.T) @ rows)[mixed]
    rounding = SLACK * EPS * ((shares * abs(rows).T) @ abs(rows))[mixed]
    if (inner > rounding).any():
        reason = (
            "Under l1 the minimizer is piecewise linear in the strength; which entries are 0 has no closed form known "
            "unless the columns are orthogonal."
        )
        return Finding(None, "piecewise linear", reason, False)
    correlation, curvature = rows.T @ (weights * read.labels[kept]), weights @ rows**2 + 2 * l2
    shrunk = np.sign(correlation) * np.maximum(abs(correlation) - l1, 0)
    point = np.divide(shrunk, curvature, out=np.zeros_like(shrunk), where=curvature > 0)
    free = np.eye(len(point))[(curvature == 0) & (l1 == 0)]
    exactly, how = not inner.any(), "" if not inner.any() else ", to rounding"
    reason = f"The columns are orthogonal{how}: θⱼ = soft((XᵀΩy)ⱼ, αⱼ)/((XᵀΩX)ⱼⱼ + 2βⱼ)."
    return Finding(True, "threshold", reason, exactly, point / unit, free)
