"""The test objectives: their minimizers are minima with the value that is stated, and starts come from the box."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_close
from jax.flatten_util import ravel_pytree
from problems import PAIR_L2
from scipy.optimize import rosen

import landscape as ls

CURVED, VALLEYS = ["rosenbrock", "himmelblau", "beale"], ["valley_10", "valley_1e4"]
NAMES = [*CURVED, *VALLEYS, "pair", "o_rings", "o_rings_raw", "linear_network", "xor", "sine"]
UNITS = 1e-13  # of rounding, beside the size of what is computed


def at(x, y):
    return {"x": jnp.asarray(x, float), "y": jnp.asarray(y, float)}


def test_these_are_there_and_say_where_they_come_from():
    found = ls.problems()
    assert list(found) == NAMES and all(problem.name == name for name, problem in found.items())
    assert all(problem.source and problem.description.endswith(".") for problem in found.values())
    assert "4 minimizers known, all there are" in str(found["himmelblau"])
    assert {name for name, problem in found.items() if not problem.complete} == {"linear_network", "xor", "sine"}


@pytest.mark.parametrize("name", NAMES)
def test_minimizers_are_minima_of_the_value(name, x64):
    """The value, a gradient of 0, and no negative eigenvalue of the Hessian, all to rounding."""
    problem = ls.problems()[name]
    assert problem.minimizers
    _, unravel = ravel_pytree(problem.objective.params)

    @jax.jit
    def measured(flat):
        def value(flat):
            return problem.objective(unravel(flat))

        return value(flat), jax.grad(value)(flat), jax.hessian(value)(flat)

    for params in problem.minimizers:
        value, gradient, hessian = measured(ravel_pytree(params)[0])
        assert value.dtype == np.float64
        curvatures = np.linalg.eigvalsh(hessian)
        assert abs(float(value) - problem.value) <= UNITS * max(1, abs(problem.value))
        assert np.linalg.norm(gradient) <= UNITS * curvatures[-1] * max(
            1, float(jnp.abs(ravel_pytree(params)[0]).max())
        )
        assert curvatures[0] >= -UNITS * curvatures[-1] and (curvatures[0] > 0) == (problem.complete)


def test_functions_are_those_of_the_literature(x64):
    found, generator = ls.problems(), np.random.default_rng(0)
    for x, y in generator.uniform(-3, 3, (4, 2)):
        c = np.array([1.5, 2.25, 2.625])
        u, v = np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6)], [-np.sin(np.pi / 6), np.cos(np.pi / 6)]]) @ [
            x - 1,
            y - 1,
        ]
        expected = {
            "rosenbrock": rosen([x, y]),
            "himmelblau": (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2,
            "beale": np.sum((c - x * (1 - y ** np.arange(1, 4))) ** 2),
            "valley_10": 0.5 * (u**2 + 10 * v**2),
            "valley_1e4": 0.5 * (u**2 + 1e4 * v**2),
        }
        for name, value in expected.items():
            assert_close(found[name].objective(at(x, y)), np.float64(value), eps=64)


def test_himmelblau_has_these_zeros_and_no_others(x64):
    """y = 11 − x² in x + y² = 7 is a quartic, x⁴ − 22x² + x + 114 = 0."""
    roots = np.sort(np.roots([1, 0, -22, 1, 114]))
    points = sorted((float(params["x"]), float(params["y"])) for params in ls.problems()["himmelblau"].minimizers)
    assert np.isreal(roots).all()
    np.testing.assert_allclose(points, np.stack([roots, 11 - roots**2], axis=1), rtol=1e-12)


@pytest.mark.parametrize("name", ["o_rings", "o_rings_raw"])
def test_the_certified_minimum_is_this_one(name, x64):
    problem = ls.problems()[name]
    rng = np.random.default_rng(1)
    starts = {leaf: rng.uniform(*problem.box[leaf], 20) for leaf in ("w", "b")}
    found = ls.critical_points(problem.objective, starts)
    assert found.data.kind.values.tolist() == ["minimum"] and found.data.certified.all()
    for leaf in ("w", "b"):
        np.testing.assert_allclose(found.params[leaf][0], problem.minimizers[0][leaf], rtol=1e-13)
    np.testing.assert_allclose(found.data.objective, problem.value, rtol=1e-14)


def test_the_neurons_minima_are_unique(x64):
    for name in ("pair", "o_rings", "o_rings_raw"):
        verdict = ls.attainment(ls.problems()[name].objective)
        assert verdict.attained and verdict.unique
    (params,) = ls.problems()["pair"].minimizers
    np.testing.assert_allclose(
        [float(params["w"]), ls.problems()["pair"].value], np.array(PAIR_L2[0.1])[[0, 2]], rtol=1e-11
    )


def test_every_point_of_the_hyperbola_is_a_minimum_of_the_linear_network(x64):
    objective = ls.problems()["linear_network"].objective
    for w in (-7.0, -0.1, 0.5, 3.0):
        point = {"w1": jnp.asarray(w), "w2": jnp.asarray(1 / w)}
        assert float(objective(point)) <= 1e-30
    assert float(objective({"w1": jnp.asarray(0.0), "w2": jnp.asarray(0.0)})) == 0.5


def test_the_networks_pass_through_their_data(x64):
    for name, y in (("xor", [0, 1, 1, 0]), ("sine", np.sin(np.linspace(-np.pi, np.pi, 9)))):
        problem = ls.problems()[name]
        output = problem.objective.predict(problem.minimizers[0], problem.objective.data[0])
        np.testing.assert_allclose(output, y, rtol=0, atol=1e-14)


def test_starts_fill_the_box(dtype):
    problem = ls.problems()["o_rings_raw"]
    starts = problem.starts(jax.random.key(3), 400)
    for leaf, (low, high) in problem.box.items():
        values, edge = starts[leaf], 0.05 * (high - low)
        assert values.dtype == dtype and values.shape == (400,)
        assert low <= values.min() < low + edge and high - edge < values.max() <= high
    again, other = problem.starts(jax.random.key(3), 400), problem.starts(jax.random.key(4), 400)
    assert (again["w"] == starts["w"]).all() and (other["w"] != starts["w"]).all()


def test_starts_are_params_with_a_leading_axis():
    problem = ls.problems()["sine"]
    starts = problem.starts(jax.random.key(3), 5)
    shapes = jax.tree.map(lambda leaf: (5, *leaf.shape), problem.objective.params)
    assert jax.tree.map(lambda leaf: leaf.shape, starts) == shapes


def test_values_hold_in_float32():
    for problem in ls.problems().values():
        assert problem.objective.dtype == np.float32
        for params in problem.minimizers:
            assert abs(float(problem.objective(params)) - problem.value) <= 100 * np.finfo(np.float32).eps


def test_making_them_compiles_nothing(compilations):
    first = ls.problems()
    with compilations() as tally:
        second = ls.problems()
    assert tally.count == 0 and second["rosenbrock"].objective.id == first["rosenbrock"].objective.id


BOWL = ls.function(lambda p: p["u"] ** 2, {"u": 1.0})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ls.Problem("a", lambda p: 0, 0.0, {}), TypeError, "`objective` is a function; give an Objective"),
        (lambda: ls.Problem("a", BOWL, np.inf, {"u": (0, 1)}), ValueError, "`value` is inf; give the objective's"),
        (lambda: ls.Problem("a", BOWL, 0.0, (0, 1)), ValueError, r"`box` is a tuple; give \(low, high\) of .* 'u'"),
        (lambda: ls.Problem("a", BOWL, 0.0, {"v": (0, 1)}), ValueError, "`box` names 'v'; give"),
        (lambda: ls.Problem("a", BOWL, 0.0, {"u": (1, 0)}), ValueError, r"`box\['u'\]` is \(1, 0\); give finite"),
        (lambda: ls.Problem("a", BOWL, 0.0, {"u": (0, np.inf)}), ValueError, r"`box\['u'\]` is \(0, inf\); give"),
        (lambda: ls.Problem("a", BOWL, 0.0, {"u": (0, 1)}, complete=True), ValueError, "`complete` is True, but `mini"),
        (
            lambda: ls.Problem("a", BOWL, 0.0, {"u": (0, 1)}, ({"v": 0.0},)),
            ValueError,
            r"`minimizers\[0\]` must have the structure and the shapes of the objective's params",
        ),
        (lambda: ls.problems()["beale"].starts(0, 3), TypeError, "`key` is an int"),
        (lambda: ls.problems()["beale"].starts(jax.random.key(0), 0), ValueError, "`n` is 0; it must be at least 1 st"),
    ],
)  # fmt: skip
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
