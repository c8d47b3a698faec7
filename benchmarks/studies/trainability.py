"""The boundary of trainability: 512 × 512 pairs of learning rates, each 500 steps of a network of 16 units.

The network is Sohl-Dickstein's (2024), one hidden layer of tanh units in the mean-field scaling, on 16 examples. By
default 128 × 128 pairs are run and the whole is estimated from them: each cell is a run of its own, so that time grows
with their number; `trainability_whole` runs all. A plain loop has all cells in one `vmap`. The same network written
without a matrix product, as sums of products, is another contestant. Answers are checked against NumPy in float64, at
rates so small that the runs are not chaotic.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import landscape as ls
from benchmarks.harness.timing import race
from benchmarks.machine.environment import busy, environment
from benchmarks.reporting import report
from benchmarks.reporting.report import Progress, Report, Row, Target

REPEATS = 3
WIDTH, EXAMPLES = 16, 16
CALM = 10.0, 30.0  # rates below which a run is not chaotic
CHECKED = 40  # cells
# Products and sums of a step: two products of matrices, three of the output, and what is done to each hidden unit.
FLOPS = 4 * EXAMPLES * WIDTH**2 + 11 * EXAMPLES * WIDTH


@dataclass(frozen=True)
class Sizes:
    """How large the picture is."""

    pixels: int  # on a side
    steps: int
    plain: int  # pixels on a side of what the others compute
    product: int  # rows of the matrices whose product says how fast the cores are
    whole: int = 512
    judged: bool = True


FULL = Sizes(128, 500, 32, 2048)
SMOKE = Sizes(6, 30, 4, 64, judged=False)
WHOLE = Sizes(512, 500, 32, 2048)


def run(sizes: Sizes, repeats: int, progress: Progress) -> Report:
    """Measure everything; `progress` is told what is being measured."""
    where = environment()
    start, batch = _drawn()
    objective = ls.Objective(losses, batch, params=start)
    progress(f"{sizes.pixels} × {sizes.pixels} cells")
    name = f"{sizes.pixels} × {sizes.pixels} learning rates, {sizes.steps} steps"
    ours = "ls.trainability"
    timed = race({ours: partial(ls.trainability, objective, start, rates, _axes(sizes.pixels), sizes.steps)}, repeats)[
        ours
    ]
    found = timed.answer
    cells, made = sizes.pixels**2, float(found.steps_taken.sum())
    rows = [_row(name, ours, timed, cells, relative_error=_error(found, start, batch, sizes.steps))]
    progress("other ways")
    others, peak = _others(sizes, repeats, objective, start)
    whole = timed.median * (sizes.whole / sizes.pixels) ** 2
    told = "" if sizes.whole == sizes.pixels else ", estimated"
    targets = [
        Target(f"{sizes.whole} × {sizes.whole} learning rates, {sizes.steps} steps{told}", whole / 60, 10, "min")
    ]
    core = float(np.median(timed.core_seconds))
    speed = FLOPS * made / core
    notes = [
        f"{1e9 * timed.median / made:.0f} ns a step that is made, {1e9 * core / made:.0f} of a core; of {sizes.steps} "
        f"steps {made / cells:.0f} are made on average: a run that is not finite goes no further",
        f"a step has {FLOPS} products and sums: a core does {speed / 1e9:.0f} GFLOP/s, {speed / peak:.0%} of the "
        f"{peak / 1e9:.0f} of a product of two {sizes.product} × {sizes.product} matrices",
        f"relative error: of the sum over the steps, in {CHECKED} cells, against NumPy in float64",
        f"{found.attrs['cells_in_flight']} cells in flight, tiles of {found.attrs['tile_shape']}",
    ]
    if not sizes.judged:
        targets, notes = [], [*notes, "these sizes are too small to judge speed by"]
    else:
        notes += busy(where)
    return Report("trainability", asdict(sizes), [*rows, *others], targets, notes, where)


whole = SimpleNamespace(run=run, FULL=WHOLE, SMOKE=SMOKE, REPEATS=1)


def losses(params: Any, batch: Any) -> jax.Array:
    """Of the network, with a product of matrices."""
    x, y = batch
    return jnp.square(jnp.tanh(x @ params["W"] * (2 / WIDTH) ** 0.5) @ params["v"] / WIDTH - y)


def losses_as_sums(params: Any, batch: Any) -> jax.Array:
    """The same as sums of products."""
    x, y = batch
    hidden = jnp.tanh(jnp.sum(x[:, :, None] * params["W"][None], axis=1) * (2 / WIDTH) ** 0.5)
    return jnp.square(jnp.sum(hidden * params["v"][None], axis=1) / WIDTH - y)


def rates(eta1: Any, eta2: Any) -> optax.GradientTransformation:
    """Gradient descent with a learning rate for each layer."""
    return optax.multi_transform({"W": optax.sgd(eta1), "v": optax.sgd(eta2)}, {"W": "W", "v": "v"})


def _drawn() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(EXAMPLES, WIDTH)), rng.normal(size=EXAMPLES)
    start = {"W": rng.normal(size=(WIDTH, WIDTH)), "v": rng.normal(size=WIDTH)}
    return jax.tree.map(np.float32, start), (np.float32(x), np.float32(y))


def _axes(pixels: int) -> dict[str, np.ndarray]:
    return {
        "eta1": np.logspace(0.5, 4, pixels, dtype="float32"),
        "eta2": np.logspace(0.5, 2.5, pixels, dtype="float32"),
    }


def _row(name: str, by: str, timed: Any, cells: int, **columns: Any) -> Row:
    right = columns.get("relative_error", 0.0) < 1e-3
    ours = by.startswith("ls.")
    return report.row(name, by, timed, milliseconds=1e3 * timed.median / cells, right=right, ours=ours, **columns)


def _error(found: Any, start: Any, batch: Any, steps: int) -> float:
    """The largest relative error of the measure, in calm cells."""
    calm = np.argwhere(np.logical_and.outer(found.eta1.values < CALM[0], found.eta2.values < CALM[1]))
    chosen = calm[np.random.default_rng(1).permutation(len(calm))[:CHECKED]]
    errors = []
    for i, j in chosen:
        exact = _numpy(float(found.eta1[i]), float(found.eta2[j]), start, batch, steps)
        errors.append(abs(float(found.measure[i, j]) / exact - 1))
    return max(errors)


def _numpy(eta1: float, eta2: float, start: Any, batch: Any, steps: int) -> float:
    """Σ J_t/J_0 of a run that converges."""
    w, v = (start[name].astype(np.float64) for name in ("W", "v"))
    x, y = (part.astype(np.float64) for part in batch)
    scale, values = (2 / WIDTH) ** 0.5, []
    for _ in range(steps):
        hidden = np.tanh(x @ w * scale)
        residual = hidden @ v / WIDTH - y
        values.append(np.mean(residual**2))
        out = 2 * residual / (len(y) * WIDTH)
        slope_w, slope_v = x.T @ (np.outer(out, v) * (1 - hidden**2)) * scale, hidden.T @ out
        w, v = w - eta1 * slope_w, v - eta2 * slope_v
    return float(np.sum(values) / values[0])


def _others(sizes: Sizes, repeats: int, objective: Any, start: Any) -> tuple[list[Row], float]:
    """Other ways to a smaller picture, and how many products and sums a core does in a second."""
    sums = ls.Objective(losses_as_sums, objective.data, params=start)
    axes, cells = _axes(sizes.plain), sizes.plain**2
    name = f"{sizes.plain} × {sizes.plain} learning rates, {sizes.steps} steps"
    pairs = [jnp.asarray(part.ravel()) for part in np.meshgrid(*axes.values(), indexing="ij")]
    square = jnp.ones((sizes.product, sizes.product), jnp.float32)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    calls: dict[str, Callable[[], Any]] = {
        "ls.trainability": partial(ls.trainability, objective, start, rates, axes, sizes.steps),
        "the same, as sums of products": partial(ls.trainability, sums, start, rates, axes, sizes.steps),
        "one vmap": partial(_plain, *pairs, start, objective.data, steps=sizes.steps),
        "product": partial(product, square),
    }
    timed = race(calls, repeats)
    rows = [_row(name, by, timed[by], cells) for by in calls if by != "product"]
    return rows, 2 * sizes.product**3 / float(np.median(timed["product"].core_seconds))


@partial(jax.jit, static_argnames="steps")
def _plain(eta1: jax.Array, eta2: jax.Array, start: Any, batch: Any, *, steps: int) -> jax.Array:
    """All runs in one vmap, without a look at what is finite."""

    def one(eta1: jax.Array, eta2: jax.Array) -> jax.Array:
        def step(_: int, carried: Any) -> Any:
            params, total = carried
            value, slope = jax.value_and_grad(lambda p: losses(p, batch).mean())(params)
            moved = {"W": params["W"] - eta1 * slope["W"], "v": params["v"] - eta2 * slope["v"]}
            return moved, total + value

        begun = jax.tree.map(jnp.asarray, start), jnp.zeros((), jnp.float32)
        return jax.lax.fori_loop(0, steps, step, begun)[1]

    return jax.vmap(one)(eta1, eta2)
