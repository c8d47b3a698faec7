"""`critical_points`: where the gradient of an objective vanishes, what is there, and what runs away to infinity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from landscape import _checks, _trees
from landscape._trees import Params
from landscape.charts import trajectory as _trajectory
from landscape.charts.chart import Chart
from landscape.minima import _double
from landscape.minima._linear import Linear, linear
from landscape.minima.critical_points import _census, _frame, _krawczyk, _local, _roots, _starts
from landscape.minima.critical_points._census import Escapes, Points, Runner
from landscape.minima.critical_points._frame import Frame
from landscape.minima.critical_points._local import Inputs, Problem
from landscape.objectives import data as _data
from landscape.objectives.objective import Objective, check_objective
from landscape.surfaces.provenance import describe

if TYPE_CHECKING:
    import xarray

MOST_PARAMETERS = 200
WIDEST = 1e-6  # half edges of a certificate's box, beside the point's entries or the starts'
SHOWN, COLUMNS = 20, 3  # points, and parameters of each, in a printed table


@dataclass(frozen=True, eq=False)
class CriticalPoints:
    """What `critical_points` found. Prints as a table.

    params:     the points, params with a leading axis on every leaf, NumPy arrays in float64; lowest objective first.
    data:       Dataset over `point`: `objective`, `risk`, `kind` ("minimum", "maximum", "saddle", "degenerate"),
                `index` (negative eigenvalues of the Hessian), `null` (those within their rounding error of 0),
                `residual` (gradient norm), `error` (estimated distance from the exact zero), `count` (starts that
                reached it), `certified`; `coefficient` (point, parameter), the params as numbers, and `radius` (point,
                parameter), half the edges of the certificate's box around them, NaN where there is none; `eigenvalues`
                (point, eigenvalue), ascending. Attributes: how many starts there were, and how many `converged`,
                `escaped`, ended `on_kinks` and were `not_converged`; `missing` where it is known.
    directions: unit vectors in which starts escaped to infinity, params with a leading axis; the most frequent first,
                at most 10.
    escapes:    Dataset over `direction`: `objective` (the least J far out) and `count`.
    """

    params: Params
    data: xarray.Dataset
    directions: Params
    escapes: xarray.Dataset

    def on(self, chart: Chart | xarray.Dataset) -> xarray.Dataset:
        """The points seen on a chart, or on the chart of a surface, for pictures: `data` with their coordinates on it.

        Returns: `data` with a variable for each coordinate, and `off_chart`, the distance of the params from the
        chart's nearest point.
        Raises: ValueError for a chart of other params, or a surface that does not hold its chart.
        """
        chart, chart_id = _trajectory.resolved(chart)
        count = len(self.data.point)
        coordinates, residual = _trajectory.seen(chart, self.params, (count,)) if count else ({}, np.empty(0))
        named = {name: coordinates.get(name, (np.empty(0), {})) for name in chart.names}
        variables = {name: ("point", values, attributes) for name, (values, attributes) in named.items()}
        variables["off_chart"] = ("point", residual, {"long_name": "distance from the chart"})
        return self.data.assign(variables).assign_attrs(chart_id=chart_id)

    def __str__(self) -> str:
        given, data = self.data.attrs, self.data
        kinds = Counter(str(kind) for kind in data.kind.to_numpy())
        plural = {"minimum": "minima", "maximum": "maxima", "saddle": "saddles", "degenerate": "degenerate"}
        listed = [f"{n} {kind if n == 1 else plural[kind]}" for kind, n in kinds.items()]
        lines = [
            f"{', '.join(listed) or 'No critical points'} from {given['starts']} starts: {given['converged']} "
            f"converged, {given['escaped']} escaped, {given['not_converged']} did not converge"
            + (f", {given['on_kinks']} ended on a kink" if given["on_kinks"] else "")
        ]
        names = data.parameter.to_numpy()[:COLUMNS]  # of many parameters the first few
        if len(data.point):
            where = "".join(f"{name:>12}" for name in names)
            lines.append(
                f"{'kind':<11}{'index':>6}{'null':>6}{'objective':>16}{where}{'residual':>10}{'count':>8}  certified"
            )
        for i in range(min(SHOWN, len(data.point))):
            at = data.isel(point=i)
            where = "".join(f"{value:>12.5g}" for value in at.coefficient.to_numpy()[:COLUMNS])
            lines.append(
                f"{at.kind.item():<11}{at['index'].item():>6}{at.null.item():>6}{at.objective.item():>16.8g}{where}"
                f"{at.residual.item():>10.1e}{at['count'].item():>8}  {'yes' if at.certified.item() else 'no'}"
            )
        more, missing = len(data.point) - SHOWN, given.get("missing", 0)
        lines += [f"and {more} more"] if more > 0 else []
        lines += [f"At least {missing} more exist, which no start reached: give other starts"] if missing else []
        return "\n".join(lines)

    __repr__ = __str__


def critical_points(
    objective: Objective,
    starts: Params | None = None,
    *,
    key: Array | None = None,
    num_starts: int = 1000,
    box: Mapping[str, tuple[float, float]] | tuple[float, float] | None = None,
    symmetry: Callable[[Params], Params] | None = None,
    tolerance: float = 1e-8,
    certify: bool = True,
) -> CriticalPoints:
    """Solve ∇J(θ) = 0 from many starts; drop duplicates and classify what is left by the signature of the Hessian.

    objective:  at most 200 parameters (Hessians are dense), whole data in memory, no l1.
    starts:     params with a leading axis on every leaf, as in `descend`; or
    key:        a random key, which draws `num_starts` of them:
    box:        uniformly, in (low, high) of every entry, or of each leaf ("w") or entry ("w[0]") by name; without a
                box from the normal distribution around `objective.params` of standard deviation 3.
    symmetry:   canonical(params) -> params, one point of the orbit of each under what leaves the objective as it is
                (sorted hidden units): isolated points of one orbit are then one. Default: none.
    tolerance:  a start has converged when its next Newton step, in every entry, is shorter than this times the starts'
                root mean square plus the point's size, and its gradient as small beside the sum of the examples' own
                absolute gradients and the gradients one such length away; along directions without curvature, beside
                the examples' in that direction. Two or three more Newton steps follow. Where the objective has a
                `structure`, entries are those of coordinates in which the features are orthogonal, so that features
                far from 0 (calendar years) do no harm; their size is the mean, of logarithms, of the starts'.
    certify:    whether to prove the points, see below.

    Computed in float64 whatever the dtype of the objective, whose numbers are taken exactly as they are; a function
    that rounds to float32 inside is refused where that shows. Powell's dogleg on ‖∇J‖² (optimistix) finds minima,
    maxima and saddles alike, which random starts reach in different shares: a point that no start reached is missing.
    Of networks start where descents ended.

    Every start is counted once: as converged; as on a kink; as escaped, where along θ the gradient falls at least by
    45% with each of three doublings and has risen tenfold inward (a saturated unit's gradient, however small, is no
    critical point); or as not converged. Hessian eigenvalues count as 0 within the error that rounding and the point's
    own error make; of a set of degenerate points (a flat valley, a dead relu) at most 5 a value of J are kept, and all
    counted.
    relu: its kinks, where the gradient jumps, are no zeros of it: a minimum on a kink is not found, and starts that end
    on one are counted as such. Elsewhere Newton's method is as good as for any piecewise smooth function.

    Certificates: for at most 3 parameters and an objective with a `structure` (`ls.neuron`) of cross-entropy, or half
    squared error with identity, sigmoid, tanh or softplus, Krawczyk's test in ball arithmetic proves that a box around
    the point, of half edges `radius`, holds exactly one critical point, and a nondegenerate one. Other objectives'
    derivatives are known only by what JAX computes, not enclosed, and degenerate points pass no such test: certified
    is then False. It takes about 10 ms a point and 1000 examples. Where all points are certified and l2 makes J grow
    in every direction, Σ (−1)^index over all critical points is 1 (Poincaré & Hopf), and `missing` in `data.attrs` is
    how far the sum over those found is from it: so many at least were not reached. 0 proves nothing.
    Returns: a `CriticalPoints`; print it.
    Raises: ValueError or TypeError, naming the argument.

        >>> import landscape as ls
        >>> auer = ls.neuron([1.0, 30.0], [0.9, 0.1], loss="half_squared_error", bias=False, reduction="sum")
        >>> found = ls.critical_points(auer, {"w": np.linspace(-4, 4, 101)})
        >>> [(str(kind), round(float(w), 4)) for kind, w in zip(found.data.kind.values, found.params["w"])]
        [('minimum', -0.0632), ('minimum', 2.1972), ('maximum', 0.1908)]

    References: Auer, Herbster & Warmuth 1995 (how many minima one neuron can have); Powell 1970 (the dogleg); Krawczyk
    1969 (the certificate); Milnor 1965, Topology from the Differentiable Viewpoint, section 6 (Poincaré & Hopf).
    """
    _check(objective, symmetry)
    tolerance = _checks.positive("tolerance", tolerance)
    # Libraries and users' losses promote as JAX does by default, whatever the caller has set.
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.default_matmul_precision("highest"),
    ):
        problem, data, params = _local.problem_of(objective)
        moving = _trees.floating(_double.as_numpy(params))
        theta = problem.flat(_starts.starts(starts, moving, objective.params, key, num_starts, box))
        l2 = _l2(objective, problem)
        frame = _frame.frame(theta, _rows(objective, problem, l2))
        inputs = Inputs(data, params, *jax.tree.map(jnp.asarray, (l2, frame, np.float64(0.0), tolerance)))
        run = Runner.of(problem, inputs, len(theta))
        descends = np.full(len(theta), key is not None) & (np.arange(len(theta)) % 2 == 1)
        ends = _census.settled(run, frame.u(theta), descends)
        isolated, degenerate, kinked, failed = _census.census(run, ends)
        if symmetry is not None and len(isolated):
            isolated = _canonical(run, isolated, symmetry)
        away = _census.escapes(ends.directions, ends.limits)
    radii = _radii(objective, problem, isolated, frame) if certify else np.full(isolated.found.u.shape, np.nan)
    radii = np.concatenate([radii, np.full(degenerate.found.u.shape, np.nan)])
    counts = {"escaped": len(ends.limits), "on_kinks": kinked, "not_converged": ends.left + failed}
    counts = {"starts": len(theta), "converged": len(theta) - sum(counts.values()), **counts}
    found = jax.tree.map(lambda *a: np.concatenate(a), isolated.found, degenerate.found)
    points = Points(found, np.concatenate([isolated.counts, degenerate.counts]))
    order = np.lexsort([*(points.found.u.T[::-1]), points.found.value])
    points, radii = points[order], radii[order]
    if symmetry is None and not np.isnan(radii).any() and np.all(l2 > 0):
        counts["missing"] = abs(1 - int(np.sum((-1) ** points.found.index)))
    attributes = describe(objective, None) | {"dtype": "float64", "kind": "critical_points", **counts}
    return _result(problem, moving, points, radii, frame, away, attributes)


def _check(objective: Objective, symmetry: Any) -> None:
    check_objective(objective)
    if not _data.in_memory(objective.data):
        raise ValueError(
            "`objective` reads its data from disk or batch by batch; critical points need them as arrays in memory: a "
            "Hessian a step is a pass over all of them. Give a part, objective.with_data(arrays)."
        )
    count = sum(leaf.size for leaf in jax.tree.leaves(_trees.floating(objective.params)))
    if count > MOST_PARAMETERS:
        raise ValueError(
            f"`objective` has {count} parameters; critical points are found with dense Hessians, for at most "
            f"{MOST_PARAMETERS}. Look for them in a plane: ls.interpolate(objective, plane, box).critical_points()."
        )
    alpha, _ = objective.penalty.coefficients(_trees.floating(objective.params))
    if any(np.any(np.asarray(leaf) > 0) for leaf in jax.tree.leaves(alpha)):
        raise ValueError(
            f"`objective` has the penalty {objective.penalty}, whose l1 has kinks where parameters are 0: its minima "
            "are no zeros of a gradient. For a convex risk ls.penalty_path has its minimizers at all strengths; or "
            "give critical_points the l2 part alone, objective.with_penalty(ls.l2(…))."
        )
    if symmetry is not None and not callable(symmetry):
        raise TypeError(
            f"`symmetry` is {_checks.kind(symmetry)}; give a function canonical(params) -> params, or leave it out."
        )


def _l2(objective: Objective, problem: Problem) -> np.ndarray:
    moving = _trees.floating(objective.params)
    _, beta = objective.penalty.coefficients(moving)
    filled = jax.tree.map(lambda b, p: np.broadcast_to(np.asarray(b, np.float64), p.shape), beta, moving)
    return problem.flat(_trees.merged(filled, objective.params))


def _columns(model: Linear, objective: Objective, problem: Problem) -> np.ndarray:
    """(p,): the entry of θ that each column of the features belongs to."""
    return model.theta(problem.params(np.arange(float(sum(problem.sizes))), objective.params)).astype(int)


def _rows(objective: Objective, problem: Problem, l2: np.ndarray) -> np.ndarray | None:
    """(n + p, p): what the Hessian is put together of, of an objective that says so."""
    if objective.structure is None:
        return None
    model = linear(objective, "critical_points")
    features = np.empty_like(model.features)
    features[:, _columns(model, objective, problem)] = np.sqrt(np.abs(model.weights))[:, None] * model.features
    return np.concatenate([features, np.diag(np.sqrt(2 * l2))])


def _canonical(run: Runner, points: Points, symmetry: Callable[[Params], Params]) -> Points:
    """One point an orbit, the canonical one."""
    problem, frame = run.problem, run.inputs.frame
    theta = frame.theta(points.found.u)
    moved = []
    for i in range(len(points)):
        before = _double.as_numpy(problem.params(theta[i], run.inputs.params))
        after = symmetry(before)
        if _trees.shapes(after)[0] != problem.shapes[0] or [np.shape(leaf) for leaf in jax.tree.leaves(after)] != [
            np.shape(leaf) for leaf in jax.tree.leaves(before)
        ]:
            raise ValueError(
                "`symmetry` must return params like those it is given.\n" + _trees.layouts(given=before, returned=after)
            )
        moved.append(problem.flat(after))
    again = Points(run(_roots.measured, frame.u(np.stack(moved))), points.counts)
    wrong = ~again.found.done | (
        np.abs(again.found.value - points.found.value) > 1e-8 * (1e-300 + np.abs(points.found.value).max())
    )
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"`symmetry` changes the objective: it leads from a critical point of {points.found.value[i]:.8g} to "
            f"{again.found.value[i]:.8g}; give one that maps params to others of the same output."
        )
    return _census.merged(again)


def _radii(objective: Objective, problem: Problem, points: Points, frame: Frame) -> np.ndarray:
    """Half the edges (point, p) of each point's certificate, NaN where there is none."""
    radii = np.full(points.found.u.shape, np.nan)
    if objective.structure is None or not len(points):
        return radii
    model = linear(objective, "critical_points")
    columns = _columns(model, objective, problem)
    proof = _krawczyk.proof(objective, model, np.asarray(frame.basis)[columns])
    if proof is None:
        return radii
    for i, (u, theta) in enumerate(zip(points.found.u, frame.theta(points.found.u), strict=True)):
        # Wider boxes would prove a zero somewhere near a point that is none.
        found = proof.radius(theta[columns], WIDEST * np.maximum(np.abs(u), 1))
        radii[i, columns] = np.nan if found is None else found
    return radii


def _result(
    problem: Problem,
    moving: Params,
    points: Points,
    radii: np.ndarray,
    frame: Frame,
    away: Escapes,
    attributes: dict[str, Any],
) -> CriticalPoints:
    import xarray

    found, p = points.found, points.found.u.shape[1]
    theta = frame.theta(found.u)
    # That of u, and of the rounding of θ, which may be larger than what T makes of u.
    errors = found.error @ np.abs(np.asarray(frame.basis)).T + _local.ROUNDING * np.abs(theta)
    kinds = np.select(
        [found.null > 0, found.index == 0, found.index == p], ["degenerate", "minimum", "maximum"], "saddle"
    )
    per_point = {
        "objective": found.value,
        "risk": found.risk,
        "kind": kinds,
        "index": found.index,
        "null": found.null,
        "residual": np.linalg.norm(found.gradient, axis=1),
        "error": np.linalg.norm(errors, axis=1),
        "count": points.counts,
        "certified": ~np.isnan(radii).any(axis=1),
    }
    names = [entry for entries in _trees.entry_names(moving).values() for entry in entries]
    data = xarray.Dataset(
        {name: ("point", values) for name, values in per_point.items()}
        | {"coefficient": (("point", "parameter"), theta), "radius": (("point", "parameter"), radii)}
        | {"eigenvalues": (("point", "eigenvalue"), np.linalg.eigvalsh(found.hessian))},
        coords={"point": np.arange(len(theta)), "parameter": names, "eigenvalue": np.arange(p)},
        attrs=attributes,
    )
    escapes = xarray.Dataset({"objective": ("direction", away.values), "count": ("direction", away.counts)})
    return CriticalPoints(problem.params(theta, moving), data, problem.params(away.directions, moving), escapes)
