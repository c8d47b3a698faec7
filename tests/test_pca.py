"""Principal components of trajectories: against NumPy's SVD, beside a random walk's, bad input."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from landscape.charts import pca as _pca
from tests import problems
from tests.closeness import assert_close


def path(seed: int = 0, points: int = 7, dtype: str = "float32"):
    """Points around a far center, stacked, and as a matrix (points, entries)."""
    draw = np.random.default_rng(seed).normal
    stack = {
        "layer": {"kernel": 50 + draw(size=(points, 3, 4)), "bias": draw(size=(points, 4))},
        "scale": draw(size=(points,)),
    }
    stack = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), stack)
    matrix = np.concatenate([leaf.reshape(points, -1).astype(float) for leaf in jax.tree.leaves(stack)], axis=1)
    return stack, matrix


def flat(tree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_components_are_those_of_the_svd(n, dtype):
    """Directions, shares and coordinates of a path in several leaves, against one long matrix in float64."""
    stack, matrix = path(dtype=dtype)
    found = ls.pca(stack, n)
    _, singular, rows = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.explained, (singular**2 / np.sum(singular**2))[:n], rtol=1e-10)
    assert found.points == 7 and len(found.directions) == n
    for direction, row in zip(found.directions, rows[:n], strict=True):
        u = flat(direction)
        assert_close(np.abs(u @ row).astype(dtype), np.float64(1.0), eps=8)
        assert (matrix[0] - matrix.mean(axis=0)) @ u > 0
    u = np.array([flat(direction) for direction in found.directions])
    np.testing.assert_allclose(u @ u.T, np.eye(n), atol=1e-6)


def test_the_plane_is_centered_at_the_last_point():
    """Its coordinates of the points are their projections."""
    stack, matrix = path()
    plane = ls.pca(stack).plane()
    assert plane.names == ("pc1", "pc2") and np.array_equal(flat(plane.origin), matrix[-1])
    coordinates, residual = jax.vmap(plane.coordinates)(stack)
    u = np.array([flat(direction) for direction in plane.directions])
    away = (matrix - matrix[-1]) @ u.T
    np.testing.assert_allclose(coordinates, away, atol=1e-4)
    np.testing.assert_allclose(residual, np.linalg.norm(matrix - matrix[-1] - away @ u, axis=1), atol=1e-4)
    assert ls.pca(stack).plane(names=["u", "v"]).names == ("u", "v")


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_params_is_a_path(kind):
    """As checkpoints are kept; params that are lists themselves too."""
    stack, _ = path()
    listed = kind(jax.tree.map(lambda leaf, t=t: jnp.asarray(leaf[t]), stack) for t in range(7))
    found, same = ls.pca(listed), ls.pca(stack)
    assert np.array_equal(found.explained, same.explained)
    assert all(np.array_equal(flat(u), flat(v)) for u, v in zip(found.directions, same.directions, strict=True))
    assert [leaf.shape for leaf in jax.tree.leaves(found.origin)] == [(4,), (3, 4), ()]
    bare = ls.pca([[jnp.asarray([0.0, 1.0]), 2.0], [jnp.asarray([1.0, 1.0]), 2.0], [jnp.asarray([0.5, 2.0]), 3.0]])
    assert bare.points == 3 and bare.plane().point([0.0, 0.0])[0].tolist() == [0.5, 2.0]


def test_large_leaves_are_read_in_parts(monkeypatch):
    stack, _ = path()
    whole = ls.pca(stack)
    monkeypatch.setattr(_pca, "ENTRIES", 7 * 5)
    parts = ls.pca(stack)
    np.testing.assert_allclose(parts.explained, whole.explained, rtol=1e-12)
    assert_close(parts.directions, whole.directions, eps=8, scale=1.0)


def test_narrow_and_frozen_leaves():
    """Directions in float32, None for what is frozen; the last point's frozen leaves are kept."""
    draw = np.random.default_rng(1).normal
    stack = {
        "w": jnp.asarray(draw(size=(5, 6)), jnp.bfloat16),
        "step": np.arange(5),
        "rng": jax.random.split(jax.random.key(0), 5),
    }
    found = ls.pca(stack)
    assert found.directions[0]["w"].dtype == jnp.float32
    assert found.directions[0]["step"] is found.directions[0]["rng"] is None
    assert int(found.origin["step"]) == 4 and found.origin["rng"] == stack["rng"][-1]
    assert found.plane().point([1.0, 0.0])["w"].dtype == jnp.bfloat16


def test_of_a_run():
    """A trajectory's own plane; most of this run is on it."""
    objective = problems.network(0)
    run = ls.descend(objective, SMALL, objective.params, 12)
    found = ls.pca(run)
    seen = run.on(found.plane())
    assert float(abs(seen.pc1[-1])) < 1e-6 and float(seen.residual[-1]) == 0.0
    assert found.explained.sum() > 0.95 and float(seen.residual.max()) < 0.2 * float(abs(seen.pc1).max())
    assert repr(found).startswith("PCA of 13 points: pc1 ") and "(random walk 61.5%)" in repr(found)


def test_a_random_walk_explains_what_is_said_of_it():
    """A simulated one in 20000 dimensions: T points, shares of the first three components within 2%."""
    for seed, points in enumerate((5, 20, 60)):
        steps = np.random.default_rng(seed).normal(size=(points, 20_000)).astype(np.float32)
        found = ls.pca({"w": steps.cumsum(axis=0)}, 3)
        np.testing.assert_allclose(found.explained, found.random_walk, rtol=0.02)


@pytest.mark.parametrize("points", [2, 3, 10, 101])
def test_the_shares_of_a_random_walk_are_eigenvalues(points):
    """Of C min(s, t) C, C the centering: 1/(4 sin²(πk/2T)), whose sum is (T² − 1)/6; the pseudo-inverse of a path's."""
    t = np.arange(points)
    center = np.eye(points) - 1 / points
    covariance = center @ np.minimum.outer(t, t) @ center
    eigenvalues = np.linalg.eigvalsh(covariance)[:0:-1]
    k = np.arange(1, points)
    np.testing.assert_allclose(eigenvalues, 1 / (4 * np.sin(np.pi * k / (2 * points)) ** 2), rtol=1e-9)
    np.testing.assert_allclose(eigenvalues.sum(), (points**2 - 1) / 6)
    shares = _pca.random_walk(points, points - 1)
    np.testing.assert_allclose(shares, eigenvalues / eigenvalues.sum(), rtol=1e-9)
    laplacian = np.diag(np.r_[1, np.full(points - 2, 2), 1]) - np.eye(points, k=1) - np.eye(points, k=-1)
    np.testing.assert_allclose(
        np.linalg.pinv(laplacian, rcond=1e-10, hermitian=True), covariance, atol=1e-9 * points**2
    )


def test_in_the_limit_of_many_points():
    np.testing.assert_allclose(_pca.random_walk(10_000, 3), 6 / (np.pi * np.arange(1, 4)) ** 2, rtol=1e-6)


def test_a_straight_path_has_one_component():
    """To rounding; two are refused with the number there are."""
    turn = np.linspace(0, 1, 6)
    line = {"w": np.outer(turn, [1.0, 2.0]), "b": -turn}
    assert ls.pca(line, 1).explained.tolist() == pytest.approx([1.0], abs=1e-12)
    with pytest.raises(ValueError, match="`points` span 1 of the n = 2 dimensions asked for, to rounding; pass n=1"):
        ls.pca(line)


DTYPES = {name: np.dtype(name) for name in ("float64", "float32", "float16")} | {"bfloat16": jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("center", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("stored", DTYPES.values(), ids=DTYPES)
def test_rounding_is_no_component(stored, center):
    """Of straight lines around any center, however long: their stored points are not on a line."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        points, entries = generator.integers(4, 60), generator.integers(2, 200)
        length = 10 ** generator.uniform(0, 3) * float(jnp.finfo(stored).eps) * center if center else 1.0
        moves = np.outer(np.linspace(0, length, points), generator.normal(size=entries))
        line = {"w": (center * generator.normal(size=entries) + moves).astype(stored)}
        with pytest.raises(ValueError, match=r"`points` (span 1 of the n = 2|move no farther than|are all equal)"):
            ls.pca(line)


@pytest.mark.parametrize("center", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("stored", DTYPES.values(), ids=DTYPES)
def test_components_larger_than_rounding_are_found(stored, center):
    """Four times what rounding moves a point by at most, beside a first that is much larger; a quarter of it is not."""
    draw = np.random.default_rng(1).normal
    u, v = np.linalg.qr(draw(size=(60, 2)))[0].T
    turn = np.linspace(-1, 1, 9)
    bend = turn**2 - np.mean(turn**2)
    first, second = ((shape / np.std(shape))[:, None] * axis for shape, axis in ((turn, u), (bend, v)))
    middle, half = center * draw(size=60), float(jnp.finfo(stored).eps) / 2
    long = 100 * half * np.linalg.norm(middle) if center else 1.0
    # A Gram matrix in float64 sees no second component a millionth as long as the first.
    level = max(half * np.hypot(np.linalg.norm(middle), long), 1e-6 * long)
    found = ls.pca({"w": (middle + long * first + 4 * level * second).astype(stored)})
    assert abs(flat(found.directions[0]) @ u) > 0.99 and abs(flat(found.directions[1]) @ v) > 0.95
    np.testing.assert_allclose(found.explained[1], (4 * level / long) ** 2, rtol=0.2)
    with pytest.raises(ValueError, match="span 1 of the n = 2 dimensions"):
        ls.pca({"w": (middle + long * first + level / 4 * second).astype(stored)})


def test_entries_that_do_not_move_are_not_rounded():
    """A frozen embedding of large numbers hides nothing."""
    stack, _ = path()
    stack = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), stack)
    still = stack | {"embedding": np.broadcast_to(np.asarray(1e6, jnp.bfloat16), (7, 1000))}
    assert np.array_equal(ls.pca(still, 3).explained, ls.pca(stack, 3).explained)


def test_a_path_below_rounding_has_no_component():
    """Each number one of two neighbors: nothing tells which line, if any, was rounded to them."""
    flips = np.random.default_rng(2).integers(0, 2, size=(10, 50)) / 128
    with pytest.raises(ValueError, match="`points` move no farther than numbers of their dtypes are rounded; keep"):
        ls.pca({"w": (1 + flips).astype(jnp.bfloat16)}, 1)
    assert ls.pca({"w": (1 + flips).astype(np.float32)}, 2).points == 10


class Pair(NamedTuple):
    """Params of a user's own kind."""

    w: Any
    b: Any


# Kept, since optimizers are matched by identity: runs of equal shapes compile one program.
SMALL, SLOW, FAST = optax.sgd(0.05), optax.sgd(0.5), optax.sgd(1.0)


def spread(params) -> jax.Array:
    """A bowl of unequal curvature in two leaves of one shape, whatever holds them."""
    w, b = jax.tree.leaves(params)
    return jnp.sum(jnp.asarray([1.0, 2.0]) * jnp.square(w) + jnp.asarray([3.0, 0.5]) * jnp.square(b))


@pytest.mark.parametrize("kind", [lambda w, b: [w, b], lambda w, b: (w, b), Pair], ids=["list", "tuple", "NamedTuple"])
def test_params_of_a_run_may_be_lists(kind):
    """A trajectory is stacked, whatever holds its leaves: two leaves are not two points."""
    w, b = np.array([1.0, -1.0], np.float32), np.array([0.5, 2.0], np.float32)
    expected = ls.pca(ls.descend(ls.function(spread, {"a": w, "b": b}), SMALL, {"a": w, "b": b}, 6))
    objective = ls.function(spread, kind(w, b))
    run = ls.descend(objective, SMALL, kind(w, b), 6)
    several = ls.descend(objective, SMALL, jax.tree.map(lambda leaf: np.stack([leaf, -leaf]), kind(w, b)), 6)
    points = [jax.tree.map(lambda leaf, t=t: leaf[t], run.params) for t in range(7)]
    for given in (run, several.sel(start=0), ls.trajectory(objective, points), points):
        found = ls.pca(given)
        assert found.points == 7
        np.testing.assert_allclose(found.explained, expected.explained, rtol=1e-5)
        assert jax.tree.structure(found.origin) == jax.tree.structure(kind(w, b))
        np.testing.assert_allclose(flat(found.directions[0]), flat(expected.directions[0]), atol=1e-5)
        assert float(abs(run.on(found.plane()).residual).max()) < 0.1


def runs():
    pair = ls.neuron(*ls.datasets.pair())
    starts = {"w": np.zeros(2, np.float32), "b": np.ones(2, np.float32)}
    return ls.descend(pair, {"slow": SLOW, "fast": FAST}, starts, 4)


def test_one_run_of_several_is_selected():
    """What the message says to do works."""
    several = runs()
    message = "over optimizer, start, step; select one run: ls.pca(trajectory.sel(optimizer='slow', start=0))."
    with pytest.raises(ValueError, match=re.escape(message)):
        ls.pca(several)
    assert ls.pca(several.sel(optimizer="slow", start=0), 1).points == 5


def kernel_squared(params) -> jax.Array:
    return jnp.sum(jnp.square(params["layer"]["kernel"]))


def two_runs(dtype: str = "float32"):
    """Runs of 5 and 7 points, and all of them as a matrix (12, 17): the second run after the first."""
    (first, a), (second, b) = path(1, 5, dtype), path(2, 7, dtype)
    objective = ls.function(kernel_squared, jax.tree.map(lambda leaf: leaf[-1], second))

    def run(stack, points):
        return ls.trajectory(objective, [jax.tree.map(lambda leaf, t=t: leaf[t], stack) for t in range(points)])

    return run(first, 5), run(second, 7), np.concatenate([a, b])


SEVERAL = {"list": lambda *runs: list(runs), "tuple": lambda *runs: runs, "mapping": lambda a, b: {"SGD": a, "Adam": b}}


@pytest.mark.parametrize("together", SEVERAL.values(), ids=SEVERAL)
def test_several_runs_have_components_together(together, dtype):
    """Those of the SVD of all their points; the plane goes through the mean, and no random walk stands beside it."""
    first, second, matrix = two_runs(dtype)
    found = ls.pca(together(first, second), 3)
    middle = matrix.mean(axis=0)
    _, singular, rows = np.linalg.svd(matrix - middle, full_matrices=False)
    np.testing.assert_allclose(found.explained, (singular**2 / np.sum(singular**2))[:3], rtol=1e-10)
    assert_close(flat(found.origin).astype(dtype), middle, scale=1.0)
    u = np.array([flat(direction) for direction in found.directions])
    assert_close(np.abs(np.sum(u * rows[:3], axis=1)).astype(dtype), np.ones(3), eps=8)
    seen = [run.on(found.plane()) for run in (first, second)]
    for i, name in enumerate(("pc1", "pc2", "pc3")):
        joined = np.concatenate([one[name] for one in seen])
        np.testing.assert_allclose(joined, (matrix - middle) @ u[i], atol=1e-4)
        assert (matrix[0] - middle) @ u[i] > 0
    assert found.points == 12 and np.isnan(found.random_walk).all() and found.random_walk.shape == (3,)
    assert repr(found).startswith("PCA of 12 points: pc1 ") and "walk" not in repr(found)


def test_a_list_of_one_run_is_that_run():
    """Its last point and its random walk."""
    run, _, _ = two_runs()
    for given in ([run], {"SGD": run}):
        found, same = ls.pca(given), ls.pca(run)
        assert repr(found) == repr(same) and np.array_equal(flat(found.origin), flat(same.origin))


def test_the_mean_of_several_runs_keeps_dtypes_and_frozen_leaves():
    """Of the last point; the mean is rounded once, and equal entries stay as they are."""
    stack = {
        "w": jnp.asarray(np.random.default_rng(3).normal(size=(4, 6)), jnp.bfloat16),
        "step": np.arange(4, dtype=np.int32),
    }
    stack["still"] = np.full(4, 0.1, np.float32)
    objective = ls.function(
        lambda p: jnp.sum(p["w"]).astype(jnp.float32) + p["still"], jax.tree.map(lambda leaf: leaf[0], stack)
    )
    run = ls.trajectory(objective, [jax.tree.map(lambda leaf, t=t: leaf[t], stack) for t in range(4)])
    found = ls.pca([run, run])
    mean = np.asarray(stack["w"], np.float64).mean(axis=0).astype(jnp.bfloat16)
    assert found.origin["w"].dtype == jnp.bfloat16 and np.array_equal(found.origin["w"], mean)
    assert found.origin["still"] == np.float32(0.1) and int(found.origin["step"]) == int(run.params["step"][-1])


def test_several_runs_are_refused_by_name():
    first, second, _ = two_runs()
    other = runs()
    params = {"layer": {"kernel": np.full((3, 4), np.inf, np.float32), "bias": np.ones(4, np.float32)}}
    params["scale"] = np.ones((), np.float32)
    broken = ls.trajectory(ls.function(lambda p: jnp.sum(p["scale"]), params), [params])
    with pytest.raises(
        TypeError, match=r'`n` is a Trajectory, .*: ls\.pca\(\[run, another\]\) or ls\.pca\(\{"SGD": run'
    ):
        ls.pca(first, second)
    with pytest.raises(TypeError, match=r"`points\[1\]` is a dict among Trajectories; make it one: ls\.trajectory\("):
        ls.pca([first, {"w": 1.0}])
    with pytest.raises(ValueError, match=r"`points\['SGD'\]` is a trajectory over optimizer, .* one list or mapping"):
        ls.pca({"SGD": other, "Adam": first})
    with pytest.raises(ValueError, match=r"`points\['SGD'\]` must match `points\['Adam'\]` leaf for leaf: leaf 'b'"):
        ls.pca({"SGD": first, "Adam": other.sel(optimizer="slow", start=0)})
    with pytest.raises(
        ValueError, match=r"not finite: leaf 'layer/kernel' of point 0 of points\['Adam'\]\. Keep the po"
    ):
        ls.pca({"SGD": first, "Adam": broken})


@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        ([], ValueError, "`points` is empty; give one tree of params for each point"),
        (
            ({"w": np.ones(3)} for _ in range(4)),
            TypeError,
            r"`points` is a generator; give a list of params, one a point: list\(points\)",
        ),
        ({1: {"w": 0.1}}.values(), TypeError, r"`points` is a dict_values; give a list of params, .* list\(points\)"),
        (
            {"w": np.ones((2, 3))},
            ValueError,
            "`points` has 2 points, .* n = 2 components need at least 3 points: record",
        ),
        ({"w": np.ones((4, 3))}, ValueError, "`points` are all equal: the trajectory does not move"),
        ([{"w": 0.1}] * 4, ValueError, "`points` are all equal"),
        (
            {"w": np.ones((4, 3)), "b": np.ones(3)},
            ValueError,
            "leaf 'w' has 4 points along its first axis, leaf 'b' 3; give",
        ),
        (
            {"w": np.ones((4, 3)), "b": 1.0},
            ValueError,
            "`points` leaf 'b' is a single number; each leaf has the points al",
        ),
        (
            [{"w": np.ones(3)}, {"w": np.ones(2)}, {"w": np.ones(3)}],
            ValueError,
            r"`points\[1\]` must match `points\[2\]` leaf for leaf: leaf 'w' is of shape \(2,\)",
        ),
        (
            {"v": np.ones(4), "w": np.array([1.0, 2.0, np.inf, np.nan])},
            ValueError,
            "`points` are not finite: leaf 'w' of point 2. Keep the points before it",
        ),
        ({"w": "path"}, TypeError, "`points` leaf 'w' is a str"),
        ({"w": np.arange(4)}, TypeError, "`points` has no floating-point leaf"),
    ],
)
def test_pca_refuses(points, error, message):
    with pytest.raises(error, match=message):
        ls.pca(points)


def test_coordinates_alone_are_not_enough():
    pair = ls.neuron(*ls.datasets.pair())
    run = ls.descend(pair, SLOW, pair.params, 4, record=ls.axes_plane(pair.params, "w", "b"))
    with pytest.raises(
        ValueError, match="`points` is a trajectory whose params were not kept; record it with record=No"
    ):
        ls.pca(run)
