"""The coordinates in which critical points are looked for: θ = T·u."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

ACCIDENT = 1e-6  # of the widest spread of the starts: less is the accident of few starts


class Frame(NamedTuple):
    """T and its inverse, (p, p)."""

    basis: Array
    inverse: Array

    def theta(self, u: np.ndarray) -> np.ndarray:
        """θ (…, p) of u (…, p)."""
        return u @ np.asarray(self.basis).T

    def u(self, theta: np.ndarray) -> np.ndarray:
        """u (…, p) of θ (…, p)."""
        return theta @ np.asarray(self.inverse).T


def frame(theta: np.ndarray, rows: np.ndarray | None) -> Frame:
    """For starts `theta` (S, p) of size about 1 in u; inside `jax.enable_x64(True)`.

    rows: what the Hessian is made of, Σ rows·rowsᵀ up to factors near 1, where that is known: T then makes them
    orthogonal, as centering and scaling of the features would. In θ/s, s the starts' scale, the Hessian's condition is
    the fourth power of how much farther features lie from 0 than apart, and rounding hides the least eigenvalue.
    """
    scale = np.sqrt(np.mean(np.square(theta), axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    if rows is None or not np.isfinite(rows).all():
        return Frame(jnp.diag(scale), jnp.diag(1 / scale))
    p = theta.shape[1]
    norms = np.linalg.norm(rows, axis=0)
    units = np.where(norms > 0, norms, 1 / scale)
    equal = np.concatenate([rows / units, np.zeros((p, p))])
    threshold = 4 * len(equal) * np.finfo(np.float64).eps
    # Columns that depend on others come last and stay as they are.
    dependent = np.abs(np.diag(_triangle(equal))) <= threshold
    order = np.argsort(dependent, kind="stable")
    triangle = _triangle(equal[:, order])
    lost = np.abs(np.diag(triangle)) <= threshold
    triangle[lost] = np.eye(p)[lost]
    triangle *= np.sign(np.diag(triangle))[:, None]
    inverse = np.empty((p, p))
    inverse[:, order] = triangle * units[order]
    basis = np.empty((p, p))
    basis[order] = np.linalg.solve(triangle, np.eye(p)) / units[order, None]
    spread = np.sqrt(np.mean(np.square(theta @ inverse.T), axis=0))
    spread = np.maximum(spread, ACCIDENT * spread.max())
    unit = np.exp(np.mean(np.log(spread))) if spread.max() > 0 else 1.0
    return Frame(jnp.asarray(unit * basis), jnp.asarray(inverse / unit))


def _triangle(rows: np.ndarray) -> np.ndarray:
    """R (p, p) of rows = Q·R, with p columns."""
    return np.array(np.linalg.qr(rows, mode="r"))
