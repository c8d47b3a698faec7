"""Curvature of a trained network: extreme eigenvalues, spectral density, and a map of the extremes over a plane.

All see the same digits, weights and loss, in float32. Eigenpairs are judged by products in float64, densities by the
exact moments tr H/p and ‖H‖²_F/p, maps by eigenvalues in float64 on some of the cells. All of it takes products at
least: they are also timed alone, in a compiled loop.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

import landscape as ls
from benchmarks.contestants import curvature_peers
from benchmarks.contestants.curvature_peers import AS_IS, PYHESSIAN, Quadratures
from benchmarks.contestants.peers import LANDSCAPER, Peers
from benchmarks.harness.asked import Asked
from benchmarks.harness.case import Part, floor, gather
from benchmarks.harness.timing import Timed, race, ratio, scaled
from benchmarks.harness.ways import Way, computing
from benchmarks.machine.limits import Work
from benchmarks.problems.trained import NAMES, Exact, Pairs, Problem, trained
from benchmarks.reporting import report
from benchmarks.reporting.report import Report, Row, Target

REPEATS = 5
PAIRS, DENSITY, MAP = "ls.top_eigenpairs", "ls.spectral_density", "ls.evaluate"
LOOSELY = f"{PAIRS}, loosely"  # with residuals like those at which power iteration stops by itself
EIGSH, PRODUCT = "eigsh, cell after cell", "compiled loop of products"
TUNED = "tuned"  # to residuals like ours, on this plane
EXTREMES = "hessian_min", "hessian_max"
TOLERANCE = float(np.sqrt(np.finfo(np.float32).eps))  # of residuals beside the largest eigenvalue: the default of `ls`
AGREE = 1e-4  # of an eigenvalue: with such a residual, one that is apart from others is right to far less
OVER = {PYHESSIAN: 10, LANDSCAPER: 5}
STRAY = 5  # standard errors that the moments of probes may be off
OVER_DENSITY, OVER_LOOP, OVER_PRODUCTS = 3, 1.5, 2


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are."""

    layers: tuple[int, int, int]
    examples: int
    epochs: int  # of training
    top: int  # eigenvalues
    loose: float  # tolerance
    tolerances: tuple[float, ...]  # of power iteration, beside its own
    iterations: int  # of that, at most
    steps: int  # of Lanczos
    probes: tuple[int, ...]
    side: int  # of the map
    looped: int  # cells that eigsh does; its time is scaled to all
    tuned: tuple[float, int]  # tolerance and Lanczos vectors of eigsh
    repeats: int  # of the map, at most
    chained: int  # products in a compiled loop
    product: int  # rows of the large matrices
    judged: bool


FULL = Sizes((64, 128, 10), 1797, 20, 2, 1e-2, (1e-7,), 3000, 50, (1, 10), 25, 16, (1e-2, 40), 2, 50, 2048, judged=True)
QUICK = replace(FULL, layers=(64, 64, 10), tolerances=(1e-5,), probes=(1,), side=3, looped=2, judged=False)
SMOKE = Sizes((64, 3, 10), 100, 2, 2, 1e-2, (1e-5,), 50, 8, (3,), 3, 2, (1e-2, 40), 1, 3, 64, judged=False)


class Map(NamedTuple):
    """Of some cells: the smallest and the largest eigenvalue (cells, 2), the larger residual, products (cells,)."""

    values: np.ndarray
    residuals: np.ndarray
    products: np.ndarray


def run(sizes: Sizes, asked: Asked) -> Report:
    """Measure everything in float32: on each device, the first of them beside the other tools."""
    devices = asked.devices if "float32" in asked.dtypes else []
    parts = [
        partial(_on, Way(backend, "float32"), part, sizes, asked, asked.tools if backend == devices[0] else None)
        for backend in devices
        for part in (_eigenpairs, _density, _products, _map)
    ]
    return gather("curvature", sizes, parts, asked)


def _on(way: Way, part: Callable[..., Part], sizes: Sizes, asked: Asked, process: Peers | None) -> Part:
    """A part on one device; its rows say on which, and what the machine needs at least for as many products."""
    asked.progress(f"{part.__name__.strip('_')} on {way.backend}")
    with computing(way), jax.default_matmul_precision("highest"):
        problem = trained(sizes.layers, sizes.examples, sizes.epochs)
        found = part(problem, sizes, asked.repeats or REPEATS, process)
    fewest: dict[str, int] = {}  # products by workload: whoever takes more of them is no nearer to the bound
    for row in found.rows:
        if row.evaluations is not None:
            fewest[row.workload] = min(row.evaluations, fewest.get(row.workload, row.evaluations))
    return found._replace(rows=[_placed(row, way, sizes, fewest.get(row.workload)) for row in found.rows])


def _placed(row: Row, way: Way, sizes: Sizes, products: int | None) -> Row:
    ours = row.by.startswith("ls.")
    if row.by.startswith((PYHESSIAN, LANDSCAPER)):
        way = way._replace(backend="torch")
    named = replace(row, by=f"{way.by}, {row.by}", backend=way.backend, dtype=way.dtype, ours=ours)
    if products is None:
        return named
    return replace(named, bound=floor(products * Work(products=_operations(sizes)), way), binding="products")


def _eigenpairs(problem: Problem, sizes: Sizes, repeats: int, process: Peers | None = None) -> Part:
    """The largest eigenvalues, beside power iteration with deflation: as it comes, and with tolerances."""
    title = f"top {sizes.top} of the Hessian, {problem.title}"
    ours = {PAIRS: TOLERANCE, LOOSELY: sizes.loose}
    calls: dict[str, Callable[[], Pairs]] = {by: partial(_ours, problem, sizes.top, t) for by, t in ours.items()}
    calls |= curvature_peers.eigenpairs(process, problem, sizes.top, sizes.tolerances, sizes.iterations)
    timed = race(calls | {PRODUCT: _alone(problem, sizes)}, repeats)
    product = scaled(timed.pop(PRODUCT), 1 / sizes.chained)
    right = Exact(problem).eigenvalues(problem.point, "LA", sizes.top)[::-1]
    rows = []
    for by, times in timed.items():
        residual = float(Exact(problem).residuals(problem.point, times.answer).max() / right[0])
        columns = report.errors(np.sort(times.answer.values)[::-1] / right[0], right / right[0], AGREE, AGREE / 10)
        columns |= {"right": columns["right"] or by != PAIRS}  # of others the errors are shown, and no more
        rows.append(report.row(title, by, times, residual=residual, evaluations=times.answer.products, **columns))
    targets, notes = _faster(title, timed, {row.by: row.residual or 0.0 for row in rows})
    targets.append(_over_products(f"{title}, {PAIRS}", timed[PAIRS], product, timed[PAIRS].answer.products))
    listed = ", ".join(f"{value:.6g}" for value in right)
    return Part(rows, targets, [f"residual of eigenpairs: the largest ‖Hv − λv‖/λ₁ in float64; λ = {listed}", *notes])


def _alone(problem: Problem, sizes: Sizes) -> Callable[[], Array]:
    """Nothing but products, one after another."""
    return partial(_chain(problem, sizes.chained), problem.point, jnp.ones_like(problem.point))


def _over_products(title: str, times: Timed, product: Timed, count: int) -> Target:
    """How near it comes to what its products take alone."""
    claim = f"{title}: time over that of its {count} products in a compiled loop"
    return Target(claim, ratio(times, product) / count, OVER_PRODUCTS, "×")


def _faster(title: str, timed: dict[str, Timed], residuals: dict[str, float]) -> tuple[list[Target], list[str]]:
    """Targets where the others' residuals are no smaller; with their own tolerance, how they compare, as notes."""
    targets, notes = [], []
    for tool, limit in OVER.items():
        ways = [by for by in timed if by.startswith(tool)]
        for kind in dict.fromkeys(by.rpartition(", ")[2] for by in ways):
            by = min((by for by in ways if by.endswith(kind)), key=lambda by: timed[by].median)
            own = LOOSELY if kind == AS_IS else PAIRS
            claim = f"{title}: time of {by} (residual {residuals[by]:.0e}), over that of {own} ({residuals[own]:.0e})"
            speed = ratio(timed[by], timed[own])
            if kind == AS_IS:
                notes.append(f"{claim}: {speed:.2f}×")
            else:
                speed = speed if residuals[own] <= residuals[by] else float("nan")
                targets.append(Target(claim, speed, limit, "×", more=True))
    return targets, notes


def _ours(problem: Problem, k: int, tolerance: float) -> Pairs:
    options: dict[str, Any] = {"which": "largest", "tolerance": tolerance, "key": jax.random.key(3), "progress": False}
    found = ls.top_eigenpairs(problem.objective, problem.params, k, **options)
    vectors = jax.vmap(lambda tree: ravel_pytree(tree)[0])(found.vectors)
    return Pairs(found.values, np.asarray(vectors), found.products)


def _density(problem: Problem, sizes: Sizes, repeats: int, process: Peers | None = None) -> Part:
    """Stochastic Lanczos quadrature with as many products and probes."""
    exact = Exact(problem).moments()
    rows, targets = [], []
    notes = [f"{problem.title}: tr H/p = {exact[0]:.4g}, ‖H‖²_F/p = {exact[1]:.4g}"]
    notes += [said for said in [curvature_peers.broken(process, problem)] if said]
    for probes in sizes.probes:
        title = f"spectral density, {sizes.steps} products, {probes} probe{'s' * (probes > 1)}, {problem.title}"
        others = curvature_peers.densities(process, problem, sizes.steps, probes)
        calls = {DENSITY: partial(_quadratures, problem, sizes, probes), PRODUCT: _alone(problem, sizes)} | others
        timed, count = race(calls, repeats), probes * sizes.steps
        product = scaled(timed.pop(PRODUCT), 1 / sizes.chained)
        targets.append(_over_products(f"{title}, {DENSITY}", timed[DENSITY], product, count))
        fastest = min(others, key=lambda by: timed[by].median, default="")
        for by, times in timed.items():
            moments = _moments(times.answer)
            error = np.abs(moments.mean(axis=0) - exact)
            columns = {"relative_error": float(np.max(error / np.abs(exact))), "evaluations": count}
            off = error / (moments.std(axis=0, ddof=1) / np.sqrt(probes)) if probes > 1 else np.zeros(2)
            rows.append(report.row(title, by, times, right=bool(np.all(off < STRAY)), **columns))
            if probes > 1 and by in (DENSITY, fastest):
                notes.append(f"{title}, {by}: the moments are {off[0]:.1f} and {off[1]:.1f} standard errors off")
        if fastest:
            speed = ratio(timed[fastest], timed[DENSITY])
            targets.append(Target(f"{title}: time of {fastest}, over ours", speed, OVER_DENSITY, "×", more=True))
    return Part(rows, targets, notes)


def _moments(found: Quadratures) -> np.ndarray:
    """The first two of each probe, (probes, 2)."""
    return np.stack([np.sum(found.weights * found.nodes**k, axis=1) for k in (1, 2)], axis=1)


def _quadratures(problem: Problem, sizes: Sizes, probes: int) -> Quadratures:
    options = {"num_matvecs": sizes.steps, "num_probes": probes, "key": jax.random.key(4), "progress": False}
    found = ls.spectral_density(problem.objective, problem.params, **options)
    return Quadratures(found.nodes, found.weights)


def _products(problem: Problem, sizes: Sizes, repeats: int, process: Peers | None = None) -> Part:
    """One product with a vector, by everybody; and in a compiled loop, which calls nothing from Python."""
    title = f"one product, {problem.title}"
    matrix = jnp.ones((sizes.product, sizes.product))
    vectors = np.random.default_rng(0).standard_normal((2, problem.point.size)).astype(np.float32)
    calls: dict[str, Callable[[], Any]] = {}
    for by, block in {PRODUCT: vectors[0], f"{PRODUCT}, 2 vectors at a time": vectors}.items():
        calls[by] = partial(_chain(problem, sizes.chained), problem.point, jnp.asarray(block))
    for by, at in curvature_peers.compiled(problem.loss).items():
        calls[f"{by}, a call each"] = partial(at(problem.point), jnp.asarray(vectors[0]))
    calls |= curvature_peers.products(process, problem, vectors[0])
    timed = race(calls | {"peak": partial(jax.jit(jnp.matmul), matrix, matrix)}, 4 * repeats)
    best = 2 * sizes.product**3 / timed.pop("peak").seconds.min()
    for by, number in ((PRODUCT, 1), (f"{PRODUCT}, 2 vectors at a time", 2)):
        timed[by] = scaled(timed[by], 1 / (number * sizes.chained))
    rate = {by: _operations(sizes) / times.seconds.min() for by, times in timed.items()}
    listed = ", ".join(f"{by} {of / 1e9:.0f} GFLOP/s ({of / best:.0%})" for by, of in rate.items())
    exact = Exact(problem).product(problem.point, vectors[0])
    notes = [
        f"a product takes {_operations(sizes) / 1e6:.0f} MFLOP beside what the params alone need; of the fastest"
        f" repeats, and as a share of the {best / 1e9:.0f} GFLOP/s of a product of matrices: {listed}"
    ]
    return Part([_one(title, by, times, exact) for by, times in timed.items()], [], notes)


def _one(title: str, by: str, times: Timed, exact: np.ndarray) -> Row:
    """A row of a product, compared with float64; not of a loop, whose vectors are those of many products."""
    if by.startswith(PRODUCT):
        return report.row(title, by, times, evaluations=1)
    largest = float(np.abs(exact).max())
    return report.row(title, by, times, evaluations=1, **report.errors(times.answer, exact, AGREE, AGREE * largest))


def _chain(problem: Problem, count: int) -> Callable[[Array, Array], Array]:
    """So many products, one after another, of a vector (p,) or several (k, p)."""

    def call(point: Array, block: Array) -> Array:
        _, product = jax.linearize(jax.grad(problem.loss), point)
        product = product if block.ndim == 1 else jax.vmap(product)

        def step(_: Array, block: Array) -> Array:
            block = product(block)
            return block / jnp.linalg.norm(block, axis=-1, keepdims=True)

        return jax.lax.fori_loop(0, count, step, block)

    return jax.jit(call)


def _operations(sizes: Sizes) -> float:
    """Multiplications and additions of products of matrices that are linear in the vector: two in the first layer; six
    in the next, where inputs move too."""
    inputs, hidden, outputs = sizes.layers
    return 2.0 * sizes.examples * (2 * inputs * hidden + 6 * hidden * outputs)


def _map(problem: Problem, sizes: Sizes, repeats: int, process: Peers | None = None) -> Part:
    """The extreme eigenvalues in every cell, beside eigsh in one after another, with the same tolerance and tuned."""
    axis, cells = np.linspace(-1, 1, sizes.side, dtype=np.float32), sizes.side**2
    title = f"extreme eigenvalues, {sizes.side}×{sizes.side} cells, {problem.title}"
    places = np.linspace(0, cells - 1, sizes.looped).astype(int)
    points = jnp.stack([problem.at(float(axis[i // sizes.side]), float(axis[i % sizes.side])) for i in places])
    calls: dict[str, Callable[[], Any]] = {MAP: partial(_surface, problem, axis)}
    calls[PRODUCT] = _alone(problem, sizes)
    for by, at in curvature_peers.compiled(problem.loss).items():
        calls[f"{EIGSH}, {by}"] = partial(curvature_peers.ends, at, points, TOLERANCE)
        calls[f"{EIGSH}, {by}, {TUNED}"] = partial(curvature_peers.ends, at, points, *sizes.tuned)
    timed = race(calls, min(repeats, sizes.repeats))
    product = scaled(timed.pop(PRODUCT), 1 / sizes.chained)
    right = np.stack([Exact(problem).eigenvalues(point, "BE", 2) for point in points])
    rows, notes = [], [f"eigsh is timed on {len(places)} cells, and scaled; its tolerance is of each eigenvalue's size"]
    for by, times in timed.items():
        if by == MAP:
            found = _read(times.answer)
            chosen = Map(*(part[places] for part in found))
        else:
            once = times.first - times.median  # compilation, which more cells do not repeat
            whole = scaled(times, cells / len(places))
            timed[by] = times = replace(whole, first=whole.median + once)
            found = chosen = _looped(problem, points, times.answer)
        columns = {"milliseconds": times.median / cells * 1e3, "evaluations": round(cells * found.products.mean())}
        rows.append(report.row(title, by, times, **columns, **_judged(chosen, right)))
        notes.append(_floor(f"{title}, {by}", float(found.products.mean()), cells, product, times))
    target, note = _against_loops(title, sizes, timed)
    return Part(rows, [target], [*notes, note])


def _against_loops(title: str, sizes: Sizes, timed: dict[str, Timed]) -> tuple[Target, str]:
    """How the fastest loop with the same tolerance compares, and the fastest that is tuned."""
    ways = [by for by in timed if by.startswith(EIGSH)]
    tuned = min((by for by in ways if TUNED in by), key=lambda by: timed[by].median)
    same = min((by for by in ways if TUNED not in by), key=lambda by: timed[by].median)
    basis = f"tolerance {sizes.tuned[0]:g}, {sizes.tuned[1]} Lanczos vectors"
    return (
        Target(f"{title}: time of {same}, over ours", ratio(timed[same], timed[MAP]), OVER_LOOP, "×", more=True),
        f"{title}: time of {tuned} ({basis}), over: {ratio(timed[tuned], timed[MAP]):.2f}×",
    )


def _surface(problem: Problem, axis: np.ndarray) -> Any:
    axes: dict[str, Any] = dict.fromkeys(NAMES, axis)
    return ls.evaluate(problem.objective, problem.plane, axes, quantities=EXTREMES, progress=False)


def _read(surface: Any) -> Map:
    """All cells of a surface, `beta` fastest."""
    values, residual, products = (
        [surface[name].transpose(*NAMES).values.ravel() for name in names]
        for names in (EXTREMES, ["hessian_residual"], ["hessian_products"])
    )
    return Map(np.stack(values, axis=1), residual[0], products[0])


def _looped(problem: Problem, points: Array, found: list[Pairs]) -> Map:
    """Of the loop's cells, with the larger residual of each in float64."""
    residuals = [Exact(problem).residuals(*pair).max() for pair in zip(points, found, strict=True)]
    return Map(np.stack([pairs.values for pairs in found]), np.array(residuals), np.array([p.products for p in found]))


def _judged(found: Map, right: np.ndarray) -> dict[str, Any]:
    """Errors and residuals beside the larger of a cell's eigenvalues."""
    size = np.abs(right).max(axis=1)
    columns = report.errors(found.values / size[:, None], right / size[:, None], TOLERANCE, TOLERANCE / 10)
    return columns | {"residual": float(np.max(found.residuals / size))}


def _floor(by: str, number: float, cells: int, product: Timed, times: Timed) -> str:
    """What the products take at least."""
    return (
        f"{by}: {number:.1f} products a cell, in a compiled loop of {product.median * 1e3:.2f} ms each:"
        f" {cells * number * ratio(product, times):.0%} of the time"
    )
