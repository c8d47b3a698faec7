"""`captured_curvature`: how much of the curvature a plane shows, and how much it hides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import chart as _chart
from landscape.charts.plane import Plane
from landscape.objectives.objective import Objective, check_objective
from landscape.operators import estimates, products
from landscape.operators.estimates import Trace
from landscape.operators.products import Curvature, curvature


@dataclass(frozen=True, eq=False)
class CapturedCurvature:
    """What `captured_curvature` found. Prints as a sentence.

    principal:     (k,), ascending: the eigenvalues of the Hessian within the plane, per unit of length.
    trace:         a `Trace`: of the whole Hessian, with its standard error.
    share, stderr: Σ principal / trace, and its standard error from that of the trace.
    """

    principal: np.ndarray
    trace: Trace
    share: float
    stderr: float

    @property
    def expected(self) -> float:
        """The share of a plane of random directions, on average: k/p."""
        return len(self.principal) / self.trace.size

    def __str__(self) -> str:
        shown = ", ".join(f"{value:.3g}" for value in self.principal)
        return (
            f"The plane shows {100 * self.share:.2g} ± {100 * self.stderr:.1g} % of the {self.trace.name}'s trace, "
            f"{self.trace.value:.4g} ± {self.trace.stderr:.1g}.\n"
            f"(A random plane: {100 * self.expected:.2g} % on average.) Principal curvatures in the plane: {shown}."
            + "".join(f"\n{line}" for line in products.about_kinks(self.trace.kinks, self.trace.name))
        )

    __repr__ = __str__


def captured_curvature(
    objective: Objective,
    plane: Plane,
    *,
    key: Array,
    num_probes: int = 100,
    deflate: int = 0,
    kind: str = "hessian",
    batch_size: int | None = None,
    memory: int | None = None,
    progress: bool | None = None,
) -> CapturedCurvature:
    """The share of a Hessian's trace that a plane through its origin captures.

        share = tr(G⁻¹DᵀHD) / tr H,    D the plane's directions, G = DᵀD

    A random direction has the mean of all eigenvalues as its curvature, tr H/p; negative ones, which are few and small,
    do not show in it: a saddle looks like a minimum.
    plane:      a `Plane`; H is the objective's Hessian at its origin, in all leaves that move.
    num_probes, deflate, kind, batch_size, memory, progress: as in `trace`.
    Where the trace is near 0, as at saddles whose curvatures cancel, the share says little, and its error is large; it
    is NaN or infinite where the estimate is exactly 0.
    Returns: a `CapturedCurvature`.
    Raises: ValueError or TypeError, naming the argument.
    References: Böttcher & Wheeler 2022 (arXiv:2208.13219), sections 3 and 4.

        >>> import jax, jax.numpy as jnp, landscape as ls
        >>> bowl = ls.function(lambda p: jnp.sum(jnp.arange(1.0, 5.0) * p["x"] ** 2), {"x": jnp.zeros(4)})
        >>> steepest = ls.eigen_directions(bowl, bowl.params, 2, key=jax.random.key(0))
        >>> print(ls.captured_curvature(bowl, ls.Plane(bowl.params, steepest), key=jax.random.key(1)))
        The plane shows 70 ± 0 % of the Hessian's trace, 20 ± 0.
        (A random plane: 50 % on average.) Principal curvatures in the plane: 6, 8.
    """
    check_objective(objective)
    _checks.instance("plane", plane, Plane, "a Plane, ls.Plane(params, directions)")
    _chart.check_fits("plane", plane, objective.params)
    limits: dict[str, Any] = {"kind": kind, "batch_size": batch_size, "memory": memory}
    probes: dict[str, Any] = {"key": key, "num_probes": num_probes, "deflate": deflate, "progress": progress}
    trace = estimates.trace(objective, plane.origin, **probes, **limits)
    principal = _principal(curvature(objective, plane.origin, **limits), plane)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.float64(principal.sum()) / trace.value
        stderr = abs(share) * np.float64(trace.stderr) / abs(trace.value)
    return CapturedCurvature(principal, trace, float(share), float(stderr))


def _principal(operator: Curvature, plane: Plane) -> np.ndarray:
    """The eigenvalues of the operator within the plane, ascending."""
    directions = [jax.tree.map(lambda leaf: leaf.astype(_trees.wide(leaf)), tree) for tree in plane.directions]
    # Of length 1: squares of short ones underflow.
    lengths = [_trees.norm(tree) for tree in directions]
    directions = [
        jax.tree.map(lambda leaf, n=n: leaf / n.astype(leaf.dtype), tree)
        for tree, n in zip(directions, lengths, strict=True)
    ]
    multiplied = operator.times(jax.tree.map(lambda *leaves: jnp.stack(leaves), *directions))
    gram = _products(directions, directions)
    projected = _products(directions, [jax.tree.map(lambda leaf, i=i: leaf[i], multiplied) for i in range(len(gram))])
    inverse = np.linalg.inv(np.linalg.cholesky(gram))
    return np.linalg.eigvalsh(inverse @ ((projected + projected.T) / 2) @ inverse.T)


def _products(left: list[Params], right: list[Params]) -> np.ndarray:
    return np.array([[float(_trees.vdot(a, b)) for b in right] for a in left])
