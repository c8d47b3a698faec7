"""Descent: Adam on the neuron of two examples from many starts; a network's SGD and Adam, on mini-batches and on all.

Every end is compared with that of a loop in NumPy float64, which takes the same steps on the same examples. Rounding
grows with the steps, and Adam, which divides by a slope's size, spreads it: tolerances are for these numbers of steps.
Not in bfloat16, where 0.999 is 1: Adam's averages would never forget.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import landscape as ls
from benchmarks.contestants import numpy_loop, peers
from benchmarks.harness.asked import Asked, torch
from benchmarks.harness.case import Case, Part, gather, measure
from benchmarks.harness.timing import Timed, ratio
from benchmarks.harness.ways import Way, computing, device
from benchmarks.machine.limits import Work
from benchmarks.problems import networks
from benchmarks.reporting.report import PLAIN, Report, Target

REPEATS = 7
DTYPES = "float32", "float64"
REFERENCE, OURS = Way("numpy", "float64"), Way("jax-cpu", "float32")
LAST = "last step recorded"
LOOP = f"{PLAIN} scan"
RATE, STRENGTH = 0.1, 0.1  # of Adam on the neuron, and of the penalty beside it
RATES = {"SGD": 0.1, "Adam": 0.01}  # on the network
OVER = 2.0
# Relative, absolute: of w and b near 1, and of weights near 0.1.
NEURON_TOLERANCE = {"float32": (1e-4, 1e-4), "float64": (1e-9, 1e-9)}
NETWORK_TOLERANCE = {
    "SGD": {"float32": (1e-4, 1e-5), "float64": (1e-9, 1e-11)},
    "Adam": {"float32": (1e-3, 1e-3), "float64": (1e-6, 1e-7)},
}
ADAM_OPERATIONS, SGD_OPERATIONS = 13, 2  # of one param and step: averages 3 and 4, corrections, root, quotient, step
Tree = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Sizes:
    """How large the workloads are."""

    starts: int  # of the neuron
    steps: int
    hidden: int  # of the network
    examples: int
    runs: int
    batches: tuple[tuple[int | None, int], ...]  # (examples of a mini-batch or None for all of them, steps)
    judged: bool  # whether the targets are about these sizes


FULL = Sizes(1000, 500, 32, 1797, 20, ((50, 200), (None, 20)), judged=True)
QUICK = Sizes(1000, 500, 32, 1797, 20, ((50, 100), (None, 10)), judged=False)
SMOKE = Sizes(5, 20, 3, 60, 2, ((25, 5), (None, 3)), judged=False)


def run(sizes: Sizes, asked: Asked) -> Report:
    """Measure everything that was asked for."""
    parts: list[Callable[[], Part]] = [partial(_neuron, sizes.starts, sizes.steps, asked)]
    for batch, steps in sizes.batches:
        for optimizer in RATES:
            problem = Problem(optimizer, sizes.hidden, sizes.examples, sizes.runs, batch, steps)
            parts.append(partial(_network, problem, asked))
    return gather("descent", sizes, parts, asked)


def neuron_work(starts: int, steps: int, recorded: bool, itemsize: int) -> Work:
    """Two sigmoids a step, and 46 operations: z 4, slopes 6, their sums 6, penalty 4, Adam 26.

    A step that is recorded takes two logarithms more and 16 operations: losses 8, penalty 4, a norm 4. It writes w, b,
    risk, objective, gradient norm, and whether they are finite.
    """
    each = Work(exp=2, other=46)
    if recorded:
        each += Work(log=2, other=16, bytes=5 * itemsize + 1)
    return starts * steps * each + Work(bytes=4 * starts * itemsize)


def _neuron(starts: int, steps: int, asked: Asked) -> Part:
    """Every step of every run is recorded, as it is by default; and the last one alone."""
    x, y = (np.asarray(a, np.float32) for a in ls.datasets.pair())
    begin = np.random.default_rng(1).uniform(-5, 5, (starts, 2)).astype(np.float32)
    calls: dict[Way, Callable[[], Any]] = {
        REFERENCE: partial(numpy_loop.adam, begin, x, y, STRENGTH, RATE, steps),
    }
    for backend in asked.devices:
        for dtype in DTYPES:
            calls[Way(backend, dtype)] = _descended_neuron(Way(backend, dtype), begin, steps, 1)
        calls[Way(backend, "float32", LAST)] = _descended_neuron(Way(backend, "float32", LAST), begin, steps, steps)
        calls[Way(backend, "float32", LOOP, ours=False)] = _scanned_neuron(Way(backend, "float32"), begin, x, y, steps)
    calls |= torch(peers.adam(asked.tools, begin, x, y, STRENGTH, RATE, steps))
    truth = numpy_loop.adam(begin, x, y, STRENGTH, RATE, steps)

    def work(way: Way) -> Work:
        recorded = way.backend.startswith("jax-") and way.setting != LAST
        return neuron_work(starts, steps, recorded, np.dtype(way.dtype).itemsize)

    title = f"neuron, {starts} starts × {steps} Adam steps"
    timed, rows = measure(Case(title, calls, lambda way: truth, NEURON_TOLERANCE, work), asked, REPEATS)
    return Part(rows, _targets(title, timed))


def _descended_neuron(way: Way, begin: np.ndarray, steps: int, record_every: int) -> Callable[[], np.ndarray]:
    """`ls.descend`: where it ends, (S, 2)."""
    with computing(way):
        x, y = (np.asarray(a, way.dtype) for a in ls.datasets.pair())
        pair = ls.neuron(x, y, penalty=ls.l2(STRENGTH))
    optimizer, starts = optax.adam(RATE), begin.astype(way.dtype)

    def call() -> np.ndarray:
        with computing(way):
            where: dict[str, Any] = {"progress": False, "devices": [device(way.backend)]}
            tree = {"w": starts[:, 0], "b": starts[:, 1]}
            found = ls.descend(pair, optimizer, tree, steps, record_every=record_every, **where)
        return np.stack([np.asarray(found.params[name])[:, -1] for name in ("w", "b")], axis=1)

    return call


def _scanned_neuron(way: Way, begin: np.ndarray, x: np.ndarray, y: np.ndarray, steps: int) -> Callable[[], np.ndarray]:
    """What one writes for this problem alone: a scan over arrays (2, S) with the formulas in it; all is recorded."""
    sign, columns = (1 - 2 * y)[:, None], np.stack([x, np.ones_like(x)])  # (n, 1), (2, n)

    def step(carry: Any, count: jax.Array) -> Any:
        theta, first, second = carry
        m = sign * jnp.stack([theta[0] * a + theta[1] for a in x])
        e = jnp.exp(-jnp.abs(m))
        slopes = sign * jnp.where(m > 0, 1.0, e) / (1 + e)
        gradient = jnp.stack([jnp.mean(column[:, None] * slopes, axis=0) for column in columns]) + 2 * STRENGTH * theta
        risk = jnp.mean(jnp.maximum(m, 0) + jnp.log1p(e), axis=0)
        record = theta, risk, risk + STRENGTH * jnp.sum(theta**2, axis=0), jnp.sqrt(jnp.sum(gradient**2, axis=0))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        scaled = first / (1 - 0.9**count) / (jnp.sqrt(second / (1 - 0.999**count)) + 1e-8)
        return (theta - RATE * scaled, first, second), record

    @jax.jit
    def scanned(theta: jax.Array) -> Any:
        zero, counts = jnp.zeros_like(theta), jnp.arange(1, steps + 1, dtype=theta.dtype)
        return jax.lax.scan(step, (theta, zero, zero), counts)

    def call() -> np.ndarray:
        with computing(way), jax.numpy_rank_promotion("allow"):
            (theta, _, _), _ = jax.block_until_ready(scanned(begin.T))
        return np.asarray(theta).T

    return call


@dataclass(frozen=True)
class Problem:
    """A network with one hidden layer of tanh on digits, and how it is descended."""

    optimizer: str
    hidden: int
    examples: int
    runs: int
    batch: int | None
    steps: int

    @property
    def title(self) -> str:
        """The workload's name in the table."""
        batch = f"all {self.examples} examples" if self.batch is None else f"mini-batches of {self.batch}"
        return f"digits MLP 64-{self.hidden}-10, {self.runs} starts × {self.steps} {self.optimizer} steps, {batch}"

    @cached_property
    def network(self) -> ls.Network:
        """What `landscape` calls it."""
        return ls.mlp((64, self.hidden, 10), output="softmax", loss="cross_entropy")

    @cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Digits and their classes."""
        return networks.digits(self.examples)

    @cached_property
    def starts(self) -> Tree:
        """In float32, leaves (runs, …)."""
        drawn = jax.vmap(self.network.init)(jax.random.split(jax.random.key(0), self.runs))
        return jax.tree.map(np.asarray, drawn)

    @cached_property
    def key(self) -> jax.Array:
        """Draws the mini-batches."""
        return jax.random.key(1)

    @cached_property
    def order(self) -> np.ndarray:
        """The examples of each step, (steps, examples a step): one permutation after another, cut into batches."""
        if self.batch is None:
            return np.broadcast_to(np.arange(self.examples), (self.steps, self.examples))
        size = self.steps * self.batch
        keys = [jax.random.fold_in(self.key, epoch) for epoch in range(-(-size // self.examples))]
        permuted = [np.asarray(jax.random.permutation(key, self.examples)) for key in keys]
        return np.concatenate(permuted)[:size].reshape(self.steps, self.batch)

    @cached_property
    def truth(self) -> np.ndarray:
        """Where the runs end in float64, (runs, params)."""
        return looped(self)

    def work(self, recorded: bool) -> Work:
        """Of products forward and twice backward; all but the first of the latter take tanh's slope, softmax its sum.

        recorded: risk and gradient of the start and of the last step are measured too, on all examples.
        """
        params, seen = 64 * self.hidden + self.hidden + 10 * self.hidden + 10, self.order.shape[1]
        forward = Work(products=2 * self.hidden * (64 + 10), tanh=self.hidden, exp=10, other=2 * self.hidden + 40)
        gradient = forward + Work(products=2 * self.hidden * (64 + 2 * 10), other=3 * self.hidden)
        measured = self.examples * (gradient + Work(log=1))
        ends = measured if self.batch is None else 2 * measured  # on all examples, the first step takes the start's
        records = ends if recorded else Work()
        each = ADAM_OPERATIONS if self.optimizer == "Adam" else SGD_OPERATIONS
        once = Work(bytes=sum(array.nbytes for array in self.data))
        own = self.steps * (seen * gradient + Work(other=each * params)) + records + Work(bytes=3 * 4 * params)
        return once + self.runs * own


def _network(problem: Problem, asked: Asked) -> Part:
    """The start and the last step are recorded."""
    calls: dict[Way, Callable[[], Any]] = {REFERENCE: partial(looped, problem)}
    for backend in asked.devices:
        for dtype in DTYPES:
            calls[Way(backend, dtype)] = _descended(Way(backend, dtype), problem)
        calls[Way(backend, "float32", LOOP, ours=False)] = _scanned(Way(backend, "float32"), problem)
    if problem.optimizer == "SGD":
        arguments = problem.network, problem.data, problem.starts, problem.order, RATES["SGD"]
        calls |= torch(peers.read(peers.many_starts(asked.tools, *arguments), flat))
    tolerance = NETWORK_TOLERANCE[problem.optimizer]

    def work(way: Way) -> Work:
        return problem.work(recorded=way.backend.startswith("jax-"))

    timed, rows = measure(Case(problem.title, calls, lambda way: problem.truth, tolerance, work), asked, REPEATS)
    return Part(rows, _targets(problem.title, timed))


def _targets(title: str, timed: Mapping[Way, Timed]) -> list[Target]:
    """Beside the scan, whose products are as small and whose records are as large: the bound knows of neither."""
    scan = OURS._replace(setting=LOOP, ours=False)
    if not {OURS, scan} <= set(timed):
        return []
    return [Target(f"{title}, time over the {LOOP}'s", ratio(timed[OURS], timed[scan]), OVER, "×")]


def _descended(way: Way, problem: Problem) -> Callable[[], np.ndarray]:
    """`ls.descend`: where it ends, (runs, params)."""
    with computing(way):
        x, labels = problem.data
        starts = _typed(problem.starts, way.dtype)
        example = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), starts)
        objective = problem.network.objective(x.astype(way.dtype), labels, params=example)
    optimizer = _optimizer(problem)
    options: dict[str, Any] = {} if problem.batch is None else {"batch_size": problem.batch, "key": problem.key}

    def call() -> np.ndarray:
        with computing(way):
            where: dict[str, Any] = {"progress": False, "devices": [device(way.backend)]}
            steps = problem.steps
            found = ls.descend(objective, optimizer, starts, steps, record_every=steps, **options, **where)
        return flat(jax.tree.map(lambda leaf: np.asarray(leaf)[:, -1], found.params))

    return call


def _scanned(way: Way, problem: Problem) -> Callable[[], np.ndarray]:
    """What one writes oneself: vmap over starts of a scan over steps, with optax; nothing is checked on the way.

    Risk and gradient on all examples are there at the end, and at the start where no step takes them.
    """
    optimizer = _optimizer(problem)

    def risk(params: Tree, x: jax.Array, labels: jax.Array) -> jax.Array:
        hidden = jnp.tanh(x @ params["layer1"]["W"] + params["layer1"]["b"])
        scores = hidden @ params["layer2"]["W"] + params["layer2"]["b"]
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(scores, labels))

    @jax.jit
    def scanned(starts: Tree, x: jax.Array, labels: jax.Array, order: jax.Array) -> Any:
        def step(carry: Any, rows: jax.Array) -> Any:
            params, state = carry
            batch = (x, labels) if problem.batch is None else (x[rows], labels[rows])
            updates, state = optimizer.update(jax.grad(risk)(params, *batch), state)
            return (optax.apply_updates(params, updates), state), None

        def one(start: Tree) -> Any:
            end = jax.lax.scan(step, (start, optimizer.init(start)), order)[0][0]
            measured = (end,) if problem.batch is None else (start, end)
            return end, [jax.value_and_grad(risk)(params, x, labels) for params in measured]

        return jax.vmap(one)(starts)

    def call() -> np.ndarray:
        settings = jax.default_matmul_precision("highest"), jax.numpy_rank_promotion("allow")
        with computing(way), settings[0], settings[1]:
            order = problem.order if problem.batch is not None else np.zeros((problem.steps, 0), np.int32)
            return flat(jax.block_until_ready(scanned(problem.starts, *problem.data, order))[0])

    return call


def looped(problem: Problem) -> np.ndarray:
    """The same in NumPy float64, a step of all runs at a time: (runs, params)."""
    x, classes = problem.data[0].astype(np.float64), np.eye(10)[problem.data[1]]
    params = _typed(problem.starts, "float64")
    first, second = (jax.tree.map(np.zeros_like, params) for _ in range(2))
    rate = RATES[problem.optimizer]
    for step, rows in enumerate(problem.order, 1):
        slope = gradient(params, x[rows], classes[rows])
        if problem.optimizer == "SGD":
            params = jax.tree.map(lambda p, g: p - rate * g, params, slope)
            continue
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slope)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, slope)
        fair = rate / (1 - 0.9**step), 1 / (1 - 0.999**step)
        params = jax.tree.map(
            lambda p, m, v, fair=fair: p - fair[0] * m / (np.sqrt(fair[1] * v) + 1e-8), params, first, second
        )
    return flat(params)


def gradient(params: Tree, x: np.ndarray, classes: np.ndarray) -> Tree:
    """Of the mean cross-entropy, by hand, for all runs at once: leaves (runs, …)."""
    hidden = np.tanh(x @ params["layer1"]["W"] + params["layer1"]["b"][:, None])
    scores = hidden @ params["layer2"]["W"] + params["layer2"]["b"][:, None]
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    slopes = (shares / shares.sum(axis=-1, keepdims=True) - classes) / len(x)
    inner = slopes @ params["layer2"]["W"].swapaxes(1, 2) * (1 - hidden**2)
    return {
        "layer1": {"W": x.T @ inner, "b": inner.sum(axis=1)},
        "layer2": {"W": hidden.swapaxes(1, 2) @ slopes, "b": slopes.sum(axis=1)},
    }


def flat(params: Tree) -> np.ndarray:
    """Leaves (runs, …) as rows (runs, params)."""
    return np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(params)], axis=1)


def _optimizer(problem: Problem) -> optax.GradientTransformation:
    return {"SGD": optax.sgd, "Adam": optax.adam}[problem.optimizer](RATES[problem.optimizer])


def _typed(tree: Tree, dtype: str) -> Tree:
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)
