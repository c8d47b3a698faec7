"""The benchmark of curvature: a tiny run, its notes and targets; what answers are judged by; peers if installed."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from benchmarks.contestants import curvature_peers, peers
from benchmarks.contestants.curvature_peers import AS_IS, LANDSCAPER, PYHESSIAN
from benchmarks.harness import case, timing
from benchmarks.harness.asked import Asked
from benchmarks.problems import trained
from benchmarks.problems.trained import Exact, Pairs
from benchmarks.reporting import report
from benchmarks.workloads import curvature

ALONE = Asked(("jax-cpu",), ("float32",), 1, lambda line: None)
PARTS = "_eigenpairs", "_density", "_products", "_map"


@pytest.fixture(autouse=True)
def as_users_write():
    """Integers and floats, and ranks, are mixed as most people do."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def problem():
    """Of 235 params."""
    sizes = curvature.SMOKE
    return trained.trained(sizes.layers, sizes.examples, sizes.epochs)


@pytest.fixture(scope="module")
def matrix(problem):
    """Its Hessian, in float64."""
    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.hessian(problem.loss))(jnp.asarray(np.asarray(problem.point), jnp.float64)))


@pytest.fixture(scope="module")
def process():
    """That of the peers."""
    if peers.missing():
        pytest.skip(peers.missing())
    with peers.Peers() as process:
        yield process


def test_a_tiny_run_has_right_answers(monkeypatch, problem):
    monkeypatch.setattr(curvature, "trained", lambda *sizes: problem)
    found = curvature.run(curvature.SMOKE, ALONE)
    by = [row.by.removeprefix("jax-cpu float32, ") for row in found.rows]
    loops = [f"{curvature.EIGSH}, {way}{how}" for way in ("jvp of grad", "linearized") for how in ("", ", tuned")]
    assert by[:4] == [curvature.PAIRS, curvature.LOOSELY, curvature.DENSITY, curvature.PRODUCT]
    assert by[-5:] == [curvature.MAP, *loops]
    assert all(row.right for row in found.rows) and found.targets == []
    residuals = np.array([row.residual for row in found.rows], float)
    assert residuals[0] < curvature.TOLERANCE and residuals[1] < 1e-2
    assert (residuals[-5:] < 1.1 * curvature.TOLERANCE).all()
    printed = report.markdown(found)
    for said in ("standard errors off", "products a cell", "too small"):
        assert said in printed


def test_sizes_that_are_judged_have_targets(monkeypatch, problem):
    monkeypatch.setattr(curvature, "trained", lambda *sizes: problem)
    for part in PARTS:
        target = report.Target(part, 1.0, 2.0, "×", more=True)
        monkeypatch.setattr(curvature, part, lambda *of, target=target: case.Part([], [target]))
    monkeypatch.setattr(case, "busy", lambda where: ["busy"])
    found = curvature.run(replace(curvature.SMOKE, judged=True), ALONE)
    assert [target.claim for target in found.targets] == list(PARTS) and found.notes[-1] == "busy"


def test_speed_counts_where_the_others_residual_is_no_smaller():
    def at(seconds):
        return timing.Timed(0.0, np.array([seconds]), np.array([seconds]), None)

    slow, fast, fine = f"{PYHESSIAN}, 1 thread, tol=1", f"{PYHESSIAN}, 2 threads, tol=1", f"{LANDSCAPER}, tol=1"
    loose = f"{PYHESSIAN}, 1 thread, {AS_IS}"
    timed = {curvature.PAIRS: at(1.0), curvature.LOOSELY: at(0.5), slow: at(30.0), fast: at(20.0), fine: at(40.0)}
    residuals = dict.fromkeys(timed, 1e-3) | {fine: 1e-4, loose: 1e-2}
    targets, notes = curvature._faster("t", timed | {loose: at(2.0)}, residuals)
    assert [(target.limit, target.met) for target in targets] == [(10, True), (5, False)]
    assert targets[0].value == 20 and np.isnan(targets[1].value)
    assert len(notes) == 1 and notes[0].endswith("4.00×")


def test_residuals_and_eigenvalues_are_those_of_the_whole_matrix(problem, matrix):
    values, vectors = np.linalg.eigh(matrix)
    turned = vectors.T[-2:] + 0.1 * vectors.T[:2]
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    wanted = np.linalg.norm(turned @ matrix - values[-2:, None] * turned, axis=1)
    found = Exact(problem).residuals(problem.point, Pairs(values[-2:], 3 * turned))  # of vectors of any length
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    np.testing.assert_allclose(Exact(problem).eigenvalues(problem.point, "LA", 2), values[-2:], rtol=1e-9)
    np.testing.assert_allclose(Exact(problem).eigenvalues(problem.point, "BE", 2), values[[0, -1]], rtol=1e-9)


def test_moments_are_those_of_the_whole_matrix(problem, matrix):
    values = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(Exact(problem).moments(), [values.mean(), (values**2).mean()], rtol=1e-9)


def test_both_ways_to_write_a_product_are_right_and_compile_once(problem, matrix, compilations):
    vector = np.random.default_rng(0).standard_normal(len(matrix)).astype(np.float32)
    for at in curvature_peers.compiled(problem.loss).values():
        np.testing.assert_allclose(at(problem.point)(jnp.asarray(vector)), matrix @ vector, atol=1e-5)
        elsewhere = problem.at(0.5, 0.5)
        with compilations() as tally:
            moved = at(elsewhere)(jnp.asarray(vector))
        assert tally.count == 0
        assert np.linalg.norm(moved - matrix @ vector) > 1e-2


def test_a_compiled_loop_of_products_ends_at_the_largest_eigenvalue(problem, matrix):
    start = jnp.asarray(np.random.default_rng(0).standard_normal((2, len(matrix))), jnp.float32)
    quotients = [row @ matrix @ row for row in np.asarray(curvature._chain(problem, 300)(problem.point, start))]
    np.testing.assert_allclose(quotients, np.linalg.eigvalsh(matrix)[-1], rtol=1e-5)


def test_operations_are_those_of_the_products(problem):
    """As XLA counts them for one product but for what is no product of matrices."""
    sizes = replace(curvature.SMOKE, layers=(64, 32, 10))
    network = ls.mlp(sizes.layers, activation="tanh", output="softmax", loss="cross_entropy")
    larger = replace(problem, network=network, params=network.init(jax.random.key(0)))
    at, vector = jax.jit(lambda point: jax.linearize(jax.grad(larger.loss), point)[1]), jnp.ones_like(larger.point)
    costs: Any = jax.jit(lambda product, v: product(v)).lower(at(larger.point), vector).compile().cost_analysis()
    own = curvature._operations(sizes)
    assert own <= costs["flops"] < 1.15 * own


def test_cells_are_read_in_the_order_of_the_loops_points(problem):
    axis = np.linspace(-1, 1, 3, dtype=np.float32)
    found = curvature._read(curvature._surface(problem, axis))
    for i in (1, 5):
        right = Exact(problem).eigenvalues(problem.at(float(axis[i // 3]), float(axis[i % 3])), "BE", 2)
        np.testing.assert_allclose(found.values[i], right, atol=curvature.TOLERANCE * np.abs(right).max())


def test_without_a_process_there_are_no_peers(problem):
    assert curvature_peers.eigenpairs(None, problem, 2, (1e-5,), 10) == {}
    assert curvature_peers.densities(None, problem, 5, 1) == {}
    assert curvature_peers.products(None, problem, np.ones(3)) == {}
    assert curvature_peers.broken(None, problem) == ""


def test_peers_see_the_same_matrix(process, problem, matrix, monkeypatch):
    """On one thread: several wait for each other, where the machine has much to do."""
    monkeypatch.setattr(peers, "usable_cores", lambda: 1)
    values = np.linalg.eigvalsh(matrix)
    for by, call in curvature_peers.eigenpairs(process, problem, 2, (1e-7,), 1000).items():
        found = call().answer
        if AS_IS not in by:
            np.testing.assert_allclose(found.values, values[:-3:-1], rtol=1e-4, err_msg=by)
            assert (Exact(problem).residuals(problem.point, found) < 5e-3).all(), by
    for by, call in curvature_peers.densities(process, problem, 8, 50).items():
        found = call().answer
        np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-3, err_msg=by)
        moments = curvature._moments(found)
        off = moments.mean(axis=0) - [values.mean(), (values**2).mean()]
        assert (np.abs(off) < 5 * moments.std(axis=0) / 50**0.5).all(), by
    assert "PyHessian has no spectral density under this PyTorch" in curvature_peers.broken(process, problem)


def test_their_products_are_those_of_the_matrix(process, problem, matrix, monkeypatch):
    """There and back, entry by entry, in the order of `ravel_pytree`."""
    monkeypatch.setattr(peers, "usable_cores", lambda: 1)
    vector = np.random.default_rng(0).standard_normal(len(matrix)).astype(np.float32)
    calls = curvature_peers.products(process, problem, vector)
    assert [by.split(",")[0] for by in calls] == [PYHESSIAN, LANDSCAPER]
    for by, call in calls.items():
        np.testing.assert_allclose(call().answer, matrix @ vector, atol=1e-5, err_msg=by)


def test_what_is_written_for_them_is_in_the_order_of_the_point(problem):
    _, arrays = peers.described(problem)
    written = [array.ravel() for name, array in arrays.items() if name.startswith("origin/")]
    np.testing.assert_array_equal(np.concatenate(written), problem.point)
