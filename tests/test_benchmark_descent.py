"""The benchmark of descent: a tiny run, the loops that judge it, what it counts as work, and whose mini-batches."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from benchmarks.harness.asked import Asked
from benchmarks.workloads import descent
from benchmarks.workloads.descent import Problem

BATCHED = Problem("Adam", hidden=3, examples=60, runs=2, batch=25, steps=5)  # of two epochs and a bit


@pytest.fixture(autouse=True)
def as_users_write():
    """Integers and floats, and ranks, are mixed as most people do."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def test_a_tiny_run_has_right_answers_from_everybody(monkeypatch):
    monkeypatch.setattr(descent, "RATES", {"Adam": descent.RATES["Adam"]})  # each optimizer compiles its own
    sizes = replace(descent.SMOKE, batches=((25, 3),))
    found = descent.run(sizes, Asked(("numpy", "jax-cpu"), ("float32",), 1, lambda line: None))
    ours = ["jax-cpu float32", "jax-cpu float32, last step recorded", "jax-cpu float32, plain scan"]
    assert [row.by for row in found.rows] == [*ours, ours[0], ours[2]]
    assert all(row.right and row.bound for row in found.rows), found.rows
    assert len({row.workload for row in found.rows}) == 2 and found.targets == []


def test_a_path_that_goes_elsewhere_is_wrong(monkeypatch):
    """At a rate that is a twentieth larger."""
    for optimizer, rate in dict(descent.RATES).items():
        problem = replace(BATCHED, optimizer=optimizer)
        relative, absolute = descent.NETWORK_TOLERANCE[optimizer]["float32"]
        allowed = absolute + relative * np.abs(problem.truth)
        monkeypatch.setitem(descent.RATES, optimizer, 1.05 * rate)
        assert (np.abs(descent.looped(problem) - problem.truth) > allowed).any()


def test_the_gradient_by_hand_is_that_of_jax(x64):
    params = jax.tree.map(lambda leaf: leaf.astype(np.float64) + 0.1, BATCHED.starts)
    x, labels = BATCHED.data[0].astype(np.float64), BATCHED.data[1]
    objective = BATCHED.network.objective(x, labels)
    by_hand = descent.gradient(params, x, np.eye(10)[labels])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-14), jax.vmap(jax.grad(objective.risk))(params), by_hand
    )


def test_the_loop_is_optax(x64):
    """Without mini-batches, three steps."""
    problem = replace(BATCHED, batch=None, steps=3)
    objective = problem.network.objective(problem.data[0].astype(np.float64), problem.data[1])
    optimizer = optax.adam(descent.RATES["Adam"])
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf[0], jnp.float64), problem.starts)
    state = optimizer.init(params)
    for _ in range(problem.steps):
        updates, state = optimizer.update(jax.grad(objective.risk)(params), state)
        params = optax.apply_updates(params, updates)
    wanted = descent.flat(jax.tree.map(lambda leaf: leaf[None], params))
    np.testing.assert_allclose(problem.truth[:1], wanted, atol=1e-12)


def test_mini_batches_are_those_of_descend():
    """A loss that is its example's number moves by it."""
    order = BATCHED.order
    assert order.shape == (5, 25)
    assert sorted(order.ravel()[:60]) == list(range(60))
    numbers = np.arange(60.0, dtype=np.float32)
    objective = ls.Objective(lambda p, batch: p["u"] * batch, numbers, params={"u": 0.0})
    run = ls.descend(objective, optax.sgd(1.0), {"u": 0.0}, 5, batch_size=25, key=BATCHED.key)
    np.testing.assert_allclose(-np.diff(run.params["u"]), order.mean(axis=1), rtol=1e-5)


def test_products_are_those_that_xla_counts():
    """Of one gradient of one start on all examples, but for what is no product of matrices."""
    problem = replace(BATCHED, hidden=64, examples=100, runs=1, batch=None, steps=1)
    objective = problem.network.objective(*problem.data)
    costs = jax.jit(jax.grad(objective.risk)).lower(objective.params).compile().cost_analysis()
    own = problem.work(recorded=False).products
    assert own <= costs["flops"] < 1.15 * own


def test_work_grows_with_starts_and_steps_and_what_is_recorded():
    one, all_ = descent.neuron_work(1, 1, True, 4), descent.neuron_work(10, 3, True, 4)
    assert (all_.exp, all_.log, all_.other) == (30 * one.exp, 30 * one.log, 30 * one.other)
    last = descent.neuron_work(10, 3, False, 4)
    assert last.log == 0 and last.exp == all_.exp and last.other < all_.other and last.bytes < all_.bytes
    full, batched = (replace(BATCHED, batch=size, examples=50) for size in (None, 25))
    assert full.work(recorded=True).tanh == 2 * 3 * 50 * 6
    assert batched.work(recorded=True).tanh == 2 * 3 * (25 * 5 + 2 * 50)
    assert batched.work(recorded=False).tanh == 2 * 3 * 25 * 5
