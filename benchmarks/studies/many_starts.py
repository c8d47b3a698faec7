"""Many starts of one network: all in one program, beside a loop over starts and a loop over steps.

The loop over starts calls a whole run, compiled with its scan over minibatches, once a start; the loop over steps
calls a compiled step. All see the same starts and minibatches, in float32. Peak is that of a large matrix product.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

import landscape as ls
from benchmarks.harness.timing import Timed, memory_of, race, ratio, scaled
from benchmarks.machine.environment import busy, environment
from benchmarks.reporting import report
from benchmarks.reporting.report import Progress, Report, Row, Target

REPEATS = 3
OURS, RUNS, STEPS = "ls.descend", "loop over starts, a compiled run each", "loop over compiled steps"
AGREE = 1e-3  # of a risk after so many steps in float32, in another order of sums
MEMORY = 2.0  # GB, at the peak of a call


@dataclass(frozen=True)
class Sizes:
    """How large the workload is."""

    layers: tuple[int, ...]
    starts: int
    epochs: int
    examples: int
    batch: int
    looped: int  # starts that the loop over starts does; its time is scaled to all
    part: int  # steps that the loop over steps does
    product: int  # rows of the large matrices
    judged: bool


FULL = Sizes((64, 32, 10), 200, 100, 1200, 50, looped=20, part=240, product=2048, judged=True)
SMOKE = Sizes((64, 3, 10), 4, 2, 100, 25, looped=2, part=3, product=64, judged=False)


class Problem(NamedTuple):
    """What all contestants are given."""

    network: ls.Network
    objective: ls.Objective
    starts: Any  # leaves (starts, …)
    key: Array  # draws the minibatches
    steps: int
    optimizer: optax.GradientTransformation


def run(sizes: Sizes, repeats: int, progress: Progress) -> Report:
    """Measure everything; `progress` is told what is being measured."""
    where = environment()
    problem = _problem(sizes)
    progress("all starts at once")
    memory = memory_of(partial(_ours, problem, sizes))
    progress("beside loops")
    matrix = jnp.ones((sizes.product, sizes.product))
    contestants: dict[str, Callable[[], Any]] = {
        OURS: partial(_ours, problem, sizes),
        RUNS: partial(_runs, problem, sizes, jax.jit(partial(_whole, problem))),
        STEPS: partial(_steps, problem, sizes, jax.jit(partial(_step, problem))),
        "product": partial(jax.jit(jnp.matmul), matrix, matrix),
    }
    with jax.default_matmul_precision("highest"):
        timed = race(contestants, repeats)
    timed[RUNS] = scaled(timed[RUNS], sizes.starts / sizes.looped)
    timed[STEPS] = scaled(timed[STEPS], sizes.starts * problem.steps / sizes.part)
    best = 2 * sizes.product**3 / timed["product"].seconds.min()
    rows, notes = _rows(problem, sizes, timed, memory, best)
    if not sizes.judged:
        return Report("many_starts", asdict(sizes), rows, [], [*notes, "too small to judge speed by"], where)
    targets = [
        Target(f"{_title(sizes)}: time of the {RUNS}, over ours", ratio(timed[RUNS], timed[OURS]), 1, "×", more=True),
        Target(f"{_title(sizes)}: core time of the {RUNS}, over ours", _core_ratio(timed), 1, "×", more=True),
    ]
    if memory is not None:
        targets.append(Target(f"{_title(sizes)}: memory at the peak of a call", memory / 1e9, MEMORY, " GB"))
    return Report("many_starts", asdict(sizes), rows, targets, [*notes, *busy(where)], where)


def _core_ratio(timed: dict[str, Timed]) -> float:
    return float(np.median(timed[RUNS].core_seconds / timed[OURS].core_seconds))


def _title(sizes: Sizes) -> str:
    return f"{sizes.starts} starts of a {'-'.join(map(str, sizes.layers))} network, {sizes.epochs} epochs"


def _problem(sizes: Sizes) -> Problem:
    from sklearn.datasets import load_digits

    images, labels = map(np.asarray, load_digits(return_X_y=True))
    x, y = (images[: sizes.examples] / 16).astype(np.float32), labels[: sizes.examples].astype(np.int32)
    network = ls.mlp(sizes.layers, output="softmax", loss="cross_entropy")
    starts = jax.jit(jax.vmap(network.init))(jax.random.split(jax.random.key(0), sizes.starts))
    steps = sizes.epochs * sizes.examples // sizes.batch
    return Problem(network, network.objective(x, y), starts, jax.random.key(1), steps, optax.sgd(0.2))


def _ours(problem: Problem, sizes: Sizes) -> np.ndarray:
    """The risk of all starts at the end."""
    run = ls.descend(
        problem.objective,
        problem.optimizer,
        problem.starts,
        problem.steps,
        batch_size=sizes.batch,
        key=problem.key,
        record_every=problem.steps,
        progress=False,
    )
    return run.data.risk.to_numpy()[:, -1]


def _order(problem: Problem, sizes: Sizes) -> Array:
    """The minibatches: one permutation of the examples after another, cut."""
    keys = jax.vmap(lambda epoch: jax.random.fold_in(problem.key, epoch))(jnp.arange(sizes.epochs))
    permutations = jax.vmap(lambda key: jax.random.permutation(key, sizes.examples))(keys)
    return permutations.reshape(problem.steps, sizes.batch)


def _step(problem: Problem, state: Any, chosen: Array) -> Any:
    params, memory = state
    x, y = problem.objective.data
    gradient = jax.grad(lambda params: jnp.mean(problem.network.losses(params, (x[chosen], y[chosen]))))(params)
    change, memory = problem.optimizer.update(gradient, memory, params)
    return optax.apply_updates(params, change), memory


def _whole(problem: Problem, order: Array, params: Any) -> Array:
    """The risk at the end of one start's run."""
    state = params, problem.optimizer.init(params)
    (params, _), _ = jax.lax.scan(lambda state, chosen: (_step(problem, state, chosen), None), state, order)
    return problem.objective.risk(params)


def _runs(problem: Problem, sizes: Sizes, whole: Callable[..., Array]) -> np.ndarray:
    """The risk of the first starts at the end, one after another."""
    order = _order(problem, sizes)
    return np.array([whole(order, _start(problem, i)) for i in range(sizes.looped)])


def _steps(problem: Problem, sizes: Sizes, step: Callable[..., Any]) -> Any:
    """The params after the first steps of the first start."""
    order, params = _order(problem, sizes), _start(problem, 0)
    state = params, problem.optimizer.init(params)
    for chosen in order[: sizes.part]:
        state = step(state, chosen)
    return state[0]


def _start(problem: Problem, index: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], problem.starts)


def _operations(sizes: Sizes) -> float:
    """Multiplications and additions of all steps: forward, the gradient by weights, and that by hidden units."""
    pairs = [a * b for a, b in zip(sizes.layers[:-1], sizes.layers[1:], strict=True)]
    example = 2 * (2 * sum(pairs) + sum(pairs[1:]))
    return float(sizes.starts * sizes.epochs * sizes.examples * example)


def _rows(
    problem: Problem, sizes: Sizes, timed: dict[str, Timed], memory: int | None, best: float
) -> tuple[list[Row], list[str]]:
    title, answers = _title(sizes), timed[OURS].answer
    errors = report.errors(answers[: sizes.looped], timed[RUNS].answer, AGREE, AGREE / 10)
    rows = [
        report.row(title, OURS, timed[OURS], peak_bytes=memory, **errors),
        report.row(title, RUNS, timed[RUNS], ours=False),
        report.row(title, STEPS, timed[STEPS], ours=False),
    ]
    shares = ", ".join(f"{by} {_operations(sizes) / timed[by].seconds.min() / best:.1%}" for by in (OURS, RUNS, STEPS))
    return rows, [
        f"share of peak ({best / 1e9:.0f} GFLOP/s in float32), of the fastest repeats: {shares}",
        f"the {RUNS}, is timed on {sizes.looped} starts, the {STEPS} on {sizes.part} steps, and scaled",
        f"{OURS} ran once before, to see its memory: its first call is without compilation",
    ]
