"""Extreme eigenvalues: chosen spectra, repeated and clustered ones, restarts, and what has not converged says so."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse.linalg import LinearOperator, eigsh

import landscape as ls
from landscape import _trees
from landscape.operators import _space
from tests import problems, spectra
from tests.closeness import assert_close
from tests.test_devices import said, start

KEY = jax.random.key(0)
ACCURACY = {"float32": 1e-5, "float64": 1e-10}  # of max |λ|
SPECTRA = {
    "clustered": np.r_[np.linspace(0, 1, 34), 2, 2 + 1e-3, 2 + 2e-3, 2.5, 2.5 + 1e-4, 2.5 + 2e-4],
    "negative": -np.linspace(0.1, 4, 40),
    "indefinite": np.linspace(-3, 5, 40),
    "repeated": np.r_[np.linspace(-0.5, 0.5, 33), -1, -1, -1, 1, 2, 2, 2],
    "zero": np.zeros(40),
    "identity": np.ones(40),
    "rank one": np.r_[np.zeros(39), 5],
    "negative rank one": np.r_[np.zeros(39), -5],
    "wide range": np.repeat(np.logspace(-6, 0, 7), [3, 3, 3, 22, 3, 3, 3]),
}


def found(problem: spectra.Chosen, k: int, **options: Any) -> Any:
    return ls.top_eigenpairs(problem.objective, problem.objective.params, k, **{"key": KEY, **options})


def check(problem: spectra.Chosen, pairs: Any, k: int, which: str, dtype: str, accuracy: float | None = None) -> None:
    """Values in order, orthonormal vectors, residuals that are the true ones."""
    accuracy, eps = accuracy or ACCURACY[dtype], np.finfo(dtype).eps
    assert pairs.values.dtype == dtype and pairs.residuals.dtype == dtype
    assert np.abs(pairs.values - problem.ends(k, which)).max() <= accuracy * problem.size
    vectors = spectra.rows(pairs.vectors)
    assert np.abs(vectors @ vectors.T - np.eye(len(vectors))).max() <= 100 * eps
    true = np.linalg.norm(vectors @ problem.matrix - pairs.values.astype(float)[:, None] * vectors, axis=1)
    assert np.abs(pairs.residuals - true).max() <= 30 * eps * problem.size
    largest = [vector[np.argmax(np.abs(vector))] for vector in vectors]
    assert min(largest) > 0
    assert pairs.size == len(problem.values) and len(pairs.converged) == len(pairs.values)


@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
@pytest.mark.parametrize("name", SPECTRA)
def test_chosen_eigenvalues_are_found(name, which, dtype):
    problem = spectra.chosen(SPECTRA[name], dtype)
    pairs = found(problem, 3, which=which, tolerance=ACCURACY[dtype])
    check(problem, pairs, 3, which, dtype)
    assert pairs.converged.all()
    assert (pairs.residuals <= ACCURACY[dtype] * max(problem.size, 1e-30)).all()


def test_what_does_not_converge_is_within_its_residual():
    """40 eigenvalues from 1e-6 to 1, evenly in their logarithm: of the least ones a thousand products find little."""
    problem = spectra.chosen(np.logspace(-6, 0, 40))
    pairs = found(problem, 3, which="smallest", tolerance=1e-6)
    away = np.abs(pairs.values[:, None] - problem.values[None]).min(axis=1)
    assert (away <= pairs.residuals + 1e-6).all()
    assert (pairs.converged == (pairs.residuals <= np.maximum(1e-6 * pairs.values, 64 * 1.2e-7))).all()


def test_a_small_eigenvalue_is_not_taken_for_converged_beside_an_outlier():
    """1000 and a bulk from 0.2 to 1, whose residuals are soon small beside 1000: the one that leads down is −0.02."""
    values = np.r_[1000.0, np.linspace(0.2, 1, 298), -0.02]
    problem = spectra.chosen(values)
    (least,) = found(problem, 1, which="smallest").values
    assert least == pytest.approx(-0.02, abs=1e-3)
    largest = found(problem, 2).values
    np.testing.assert_allclose(largest, [1000, 1], rtol=1e-2)  # 64 ε beside 1000 is 0.008


@pytest.mark.parametrize("name", ["clustered", "indefinite"])
def test_by_default_isolated_values_are_right_to_rounding(name, dtype):
    """The error is about residual²/gap, and the residual √ε."""
    problem = spectra.chosen(np.r_[SPECTRA[name] / 10, 3.0, 4.0, 5.0, -2.0][-40:], dtype)
    pairs = found(problem, 3)
    assert pairs.converged.all() and pairs.residuals.max() <= np.sqrt(np.finfo(dtype).eps) * 5
    check(problem, pairs, 3, "largest", dtype, accuracy=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("copies", range(2, 9))
def test_copies_are_all_found_with_the_default_block(copies):
    problem = spectra.chosen(np.r_[np.linspace(-1, 1, 40 - copies), np.full(copies, 2.0)])
    pairs = found(problem, 8, tolerance=1e-5)
    check(problem, pairs, 8, "largest", "float32")
    assert pairs.converged.all()


def test_another_block_finds_the_same():
    problem = spectra.chosen(SPECTRA["indefinite"])
    pairs = found(problem, 3, block=5, tolerance=1e-5, which="both")
    check(problem, pairs, 3, "both", "float32")


@pytest.mark.parametrize(
    "values, k, which, block",
    [
        ([2.0], 1, "largest", None),
        ([-1.0, 2.0], 1, "both", None),
        ([-3.0, 1.0, 2.0], 3, "largest", None),
        ([-3.0, -1.0, 0.0, 0.5, 2.0, 2.0, 7.0], 3, "both", None),  # blocks of 3 do not divide 7
        ([-3.0, -1.0, 0.0, 0.5, 2.0, 2.0, 7.0], 7, "largest", 3),
    ],
)
def test_small_dimensions(values, k, which, block):
    problem = spectra.chosen(values)
    pairs = found(problem, k, which=which, block=block)
    check(problem, pairs, k, which, "float32")
    assert pairs.converged.all()


def test_restarts_and_scipy(x64):
    """200 params, close eigenvalues: a basis of 24 vectors is restarted again and again. ARPACK finds the same."""
    problem = spectra.chosen(np.linspace(-2, 3, 200), "float64")
    pairs = found(problem, 3, tolerance=1e-8)
    assert pairs.converged.all() and pairs.products > 3 * 24
    check(problem, pairs, 3, "largest", "float64")
    operator = ls.curvature(problem.objective, problem.objective.params)
    template = problem.objective.params

    def product(v: np.ndarray) -> np.ndarray:
        out = operator({"a": v[:50], "b": [v[50:].reshape(150, 1)]})
        return np.concatenate([np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(out)])

    assert jax.tree.map(jnp.shape, template) == {"a": (50,), "b": [(150, 1)]}
    scipys = eigsh(LinearOperator((200, 200), product, dtype=np.float64), k=3, which="LA", tol=1e-8)[0]
    np.testing.assert_allclose(pairs.values, scipys[::-1], rtol=1e-10)


WIDE = np.r_[np.random.default_rng(0).uniform(-1, 1, 39_995), 2.0, 2.5, 2.5, 4.0, -3.0]


def bowl(params: Any) -> Any:
    return 0.5 * jnp.sum(jnp.asarray(WIDE, jnp.float32) * jnp.square(params["x"]))


def test_a_basis_of_few_vectors_is_restarted(monkeypatch):
    """1 MiB holds 3 vectors of 40000 numbers beside a copy: the least basis, of 6, serves."""
    objective = ls.function(bowl, {"x": jnp.zeros(40_000)})
    rows = []
    monkeypatch.setattr(_space, "begin", lambda *given, begin=_space.begin: rows.append(given[1]) or begin(*given))
    pairs = ls.top_eigenpairs(objective, objective.params, 2, key=KEY, memory=2**20, tolerance=1e-4)
    assert rows == [6] and pairs.products > 6 and pairs.converged.all()
    np.testing.assert_allclose(pairs.values, [4.0, 2.5], rtol=1e-6)
    vectors = np.abs(np.asarray(pairs.vectors["x"]))
    np.testing.assert_allclose(vectors[0, -2], 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors[1, [-4, -3]]), 1, rtol=1e-6)


def test_too_few_products_say_so():
    problem = spectra.chosen(np.linspace(-2, 3, 40))
    pairs = found(problem, 3, max_products=9, tolerance=1e-6)
    assert pairs.products == 9 + 3 and not pairs.converged.any()
    check(problem, pairs, 3, "largest", "float32", accuracy=1.0)  # residuals are true ones all the same
    assert (pairs.values <= 3 + 1e-5).all() and "NOT converged" in str(pairs)
    assert str(pairs).startswith("Eigenvalues of the Hessian (40 params), with residuals ‖Hv − λv‖:\n")
    few = found(problem, 3, max_products=3)  # as many as vectors that are asked for
    assert few.products == 6 and not few.converged.all()
    with pytest.raises(ValueError, match=r"3 of 3 eigenvectors have not converged after 12 products .*max_products"):
        ls.eigen_directions(problem.objective, problem.objective.params, 3, key=KEY, max_products=9, tolerance=1e-6)


@settings(max_examples=20)
@given(arrays(np.float64, (6, 6), elements=problems.reals(-10, 10)), st.sampled_from(["largest", "smallest", "both"]))
def test_random_symmetric_matrices(matrix, which):
    with jax.enable_x64(True):
        problem = spectra.of_matrix((matrix + matrix.T) / 2, "float64")
        pairs = found(problem, 2, which=which)
        check(problem, pairs, 2, which, "float64", accuracy=1e-12)
        assert pairs.converged.all()


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_a_change_of_coordinates_leaves_the_values(seed):
    problem = spectra.chosen(SPECTRA["indefinite"], seed=seed)
    check(problem, found(problem, 3, tolerance=1e-5), 3, "largest", "float32")


def test_the_key_decides_and_changes_no_value():
    problem = spectra.chosen(SPECTRA["indefinite"])
    first, again, other = (found(problem, 3, key=jax.random.key(i), tolerance=1e-5) for i in (1, 1, 2))
    assert (first.values == again.values).all()
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), first.vectors, again.vectors)
    assert first.residuals.tolist() != other.residuals.tolist()
    assert np.abs(spectra.rows(first.vectors) @ spectra.rows(other.vectors).T - np.eye(3)).max() < 1e-3


def test_digits(x64):
    """A trained network: both ends of its Hessian, and of a layer's block."""
    objective, params, matrix = spectra.digits()
    values = np.linalg.eigvalsh(matrix)
    pairs = ls.top_eigenpairs(objective, params, 3, which="both", key=KEY, tolerance=1e-8)
    assert pairs.converged.all() and pairs.size == 460 and pairs.kinks == ()
    np.testing.assert_allclose(pairs.values, np.r_[values[:3], values[-3:]], atol=1e-10 * values[-1])
    layer = ls.top_eigenpairs(objective, params, 1, key=KEY, leaves="layer2", tolerance=1e-8)
    block = matrix[-70:, -70:]
    np.testing.assert_allclose(layer.values, np.linalg.eigvalsh(block)[-1:], rtol=1e-10)
    assert layer.vectors["layer1"] == {"W": None, "b": None} and layer.vectors["layer2"]["W"].shape == (1, 6, 10)


def test_half_precision_is_done_when_it_is_as_good_as_it_gets():
    """Products are rounded to bfloat16; the residual cannot be √ε of float32."""
    objective = problems.network(0, "bfloat16")
    exact = np.linalg.eigvalsh(spectra.dense(problems.network(0), problems.network(0).params))
    pairs = ls.top_eigenpairs(objective, objective.params, 2, key=KEY)
    assert pairs.converged.all() and pairs.products < 60
    assert pairs.values.dtype == np.float32
    np.testing.assert_allclose(pairs.values, exact[::-1][:2], rtol=0.05)


@pytest.mark.parametrize("names, accuracy", [(("float32", "float64"), 1e-6), (("bfloat16", "float32"), 1e-3)])
def test_leaves_of_several_dtypes(x64, names, accuracy):
    def value(p: Any) -> Any:
        x, y = (p[name].astype(jnp.float64) for name in "xy")
        return 0.5 * jnp.sum(jnp.arange(1.0, 5.0) * x**2) + 4 * jnp.sum(y**2) + x[0] * y[0]

    params = {"x": jnp.zeros(4, names[0]), "y": jnp.zeros(3, names[1])}
    objective = ls.function(value, params)
    matrix = np.diag([1.0, 2, 3, 4, 8, 8, 8])
    matrix[0, 4] = matrix[4, 0] = 1
    pairs = ls.top_eigenpairs(objective, params, 2, key=KEY)
    assert pairs.converged.all()
    np.testing.assert_allclose(pairs.values, np.linalg.eigvalsh(matrix)[::-1][:2], rtol=accuracy)
    np.testing.assert_allclose(ls.hessian(objective, params).values, matrix, rtol=1e-6)


def test_a_float32_model_where_x64_is_on(x64):
    problem = spectra.chosen(np.linspace(-2, 3, 40), "float32")
    pairs = found(problem, 3, tolerance=1e-5)
    assert pairs.products > 24  # it was restarted
    check(problem, pairs, 3, "largest", "float32")


def test_leaves_without_entries_and_frozen_ones():
    def value(p: Any) -> Any:
        return jnp.sum(p["scale"].astype("float32") * p["x"] ** 2) + jnp.sum(p["none"])

    params = {"x": jnp.zeros(3), "none": jnp.zeros((0, 2)), "scale": jnp.array([1, 2, 3])}
    objective = ls.function(value, params)
    pairs = ls.top_eigenpairs(objective, params, 1, key=KEY)
    np.testing.assert_allclose(pairs.values, [6.0], rtol=1e-6)
    assert pairs.vectors["scale"] is None and pairs.vectors["none"].shape == (1, 0, 2)


# Directions


def test_eigen_directions_span_the_plane_of_the_saddle():
    """On them J is ½(λᵢa² + λⱼb²) exactly, where it is quadratic."""
    problem = spectra.chosen(SPECTRA["indefinite"])
    params = problem.objective.params
    down, *_, up = ls.eigen_directions(problem.objective, params, 6, which="both", key=KEY, tolerance=1e-5)
    plane = ls.Plane(params, (down, up), names=("a", "b"))
    axes = {"a": np.linspace(-1, 1, 5), "b": np.linspace(-2, 2, 7)}
    surface = ls.evaluate(problem.objective, plane, axes)
    exact = 0.5 * (-3 * axes["a"][:, None] ** 2 + 5 * axes["b"][None] ** 2)
    assert_close(surface.risk, exact, eps=64, scale=10)


def test_directions_of_plain_numbers_and_of_a_layer():
    saddle = ls.function(lambda p: p["x"] ** 2 - 3 * p["y"] ** 2, {"x": 0.0, "y": 0.0})
    (down,) = ls.eigen_directions(saddle, {"x": 0.0, "y": 0.0}, 1, which="smallest", key=KEY)
    np.testing.assert_allclose([down["x"], down["y"]], [0, 1], atol=1e-6)
    network = ls.mlp((2, 3, 1)).objective(np.eye(2, dtype="float32"), np.ones(2, "float32"))
    params = ls.mlp((2, 3, 1)).init(KEY)
    (first,) = ls.eigen_directions(network, params, 1, key=KEY, leaves="layer2")
    assert jax.tree.structure(first) == jax.tree.structure(params)
    assert not np.any(first["layer1"]["W"]) and not np.any(first["layer1"]["b"])
    np.testing.assert_allclose(float(_trees.norm(first)), 1, rtol=1e-6)


# How it runs


def test_a_second_call_compiles_nothing(compilations):
    """Other data, params, strengths and keys of the same shapes."""
    first, second = (spectra.chosen(SPECTRA["indefinite"] * (1 + i), seed=i) for i in (0, 1))
    options, key = {"tolerance": 1e-5}, jax.random.key(5)
    found(spectra.Chosen(first.objective.with_penalty(ls.l2(0.1)), first.matrix, first.values), 3, **options)
    moved = jax.tree.map(lambda leaf: leaf + 1, second.objective.params)
    penalized = second.objective.with_penalty(ls.l2(0.2))
    with compilations() as tally:
        pairs = ls.top_eigenpairs(penalized, moved, 3, key=key, **options)
    assert tally.count == 0
    np.testing.assert_allclose(pairs.values, second.ends(3, "largest") + 0.4, rtol=1e-5)


class Parts:
    """40 examples in batches of 17, 17 and 6; a pass is stopped by hand."""

    def __init__(self, data: Any, stopped: int | None = None) -> None:
        self.data, self.stopped, self.passes = data, stopped, 0

    def __iter__(self) -> Any:
        self.passes += 1
        for i in (0, 17, 34):
            if (self.passes, i) == (self.stopped, 17):
                raise KeyboardInterrupt
            yield tuple(np.asarray(leaf)[i : i + 17] for leaf in self.data)


def test_batches_and_arrays_give_the_same():
    """Product by product, or in one program that cuts the data; Ctrl-C passes through."""
    problem = spectra.chosen(SPECTRA["indefinite"])
    params, data = problem.objective.params, problem.objective.data
    batched = ls.Objective(spectra.losses, ls.Batches(Parts(data)), params=params, reduction="sum")
    check(problem, ls.top_eigenpairs(batched, params, 3, key=KEY, tolerance=1e-5), 3, "largest", "float32")
    check(problem, found(problem, 3, batch_size=17, tolerance=1e-5), 3, "largest", "float32")
    stopped = ls.Objective(spectra.losses, ls.Batches(Parts(data, 4)), params=params, reduction="sum")
    with pytest.raises(KeyboardInterrupt):
        ls.top_eigenpairs(stopped, params, 3, key=KEY)


def test_the_sharding_of_leaves_is_kept():
    """On two devices: the basis and the eigenvectors lie as the params do, and the values are the same."""
    script = """
from landscape.operators import _space
mesh = jax.make_mesh((2,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
params, shardings, advanced = sharded(mesh), [], _space.advanced

def spied(*given):
    state = advanced(*given)
    shardings.append(jax.tree.map(lambda leaf: leaf.sharding, state.basis))
    return state

_space.advanced = spied

def kept(tree, found):
    def same(leaf, own):
        spec = jax.sharding.PartitionSpec(None, *leaf.sharding.spec)
        return own.is_equivalent_to(jax.sharding.NamedSharding(mesh, spec), leaf.ndim + 1)
    return jax.tree.all(jax.tree.map(same, tree, found))

def results(params):
    objective, key = ls.Objective(losses, (x, y), params=params), jax.random.key(0)
    trace = ls.trace(objective, params, key=key, num_probes=8, deflate=2).value
    return ls.top_eigenpairs(objective, params, 2, key=key), trace

there, here = results(params), results(weights)
print(json.dumps({
    "basis": kept(params, shardings[0]),
    "vectors": kept(params, jax.tree.map(lambda leaf: leaf.sharding, there[0].vectors)),
    "values": float(abs(there[0].values - here[0].values).max() / abs(here[0].values).max()),
    "trace": abs(there[1] / here[1] - 1),
}))
"""
    seen = said(start(script, devices=2))
    assert seen["values"] < 1e-5 and seen["trace"] < 1e-4, seen
    assert seen["basis"] and seen["vectors"], seen
