"""Comparisons: steps by formula, failures that are marked, learning rates that are the best of those tried."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import landscape as ls
from landscape.analysis import _tuning
from landscape.analysis.comparison import LEARNING_RATES

KEY = jax.random.key(5)
HALF, AWAY = optax.sgd(0.5), optax.sgd(3.0)  # kept: optimizers are matched by identity


def parabola(params):
    """½u²: gradient descent multiplies u by 1 − η."""
    return 0.5 * params["u"] ** 2


def bowl(name="bowl", value=0.0, box=(1.0, 4.0), **known):
    objective = ls.function(parabola, {"u": 0.0})
    return ls.Problem(name, objective, value, {"u": box}, **({"minimizers": ({"u": jnp.asarray(0.0, float)},)} | known))


def starts_of(problem, count):
    import zlib

    own, _ = jax.random.split(jax.random.fold_in(KEY, zlib.crc32(problem.name.encode())))
    return problem.starts(own, count)


def test_steps_and_gaps_are_those_of_the_formula(x64):
    """u_t = (1 − η)ᵗ u₀: halved by η = ½, at once 0 by η = 1, and by η = 3 doubled with its sign turned."""
    methods = {"half": HALF, "newton": optax.sgd(1.0), "away": AWAY}
    found = ls.compare_optimizers(bowl(), methods, key=KEY, num_starts=7, steps=12, tolerance=1e-3).data
    u = np.asarray(starts_of(bowl(), 7)["u"])
    assert found.steps_to.dims == ("problem", "optimizer", "start")
    np.testing.assert_array_equal(found.steps_to[0, 0], np.ceil(np.log(0.5 * u**2 / 1e-3) / np.log(4)))
    np.testing.assert_array_equal(found.steps_to[0, 1], np.ones(7))
    assert found.steps_to[0, 2].isnull().all()
    assert found.success.values[0].all(axis=1).tolist() == [True, True, False]
    assert found.diverged.values[0].all(axis=1).tolist() == [False, False, True]
    np.testing.assert_allclose(found.final_gap[0, 2], 0.5 * u**2 * 4.0**12, rtol=1e-14)
    np.testing.assert_allclose(found.least_gap[0, 2], 0.5 * u**2, rtol=1e-14)
    assert found.learning_rate.isnull().all() and not found.at_edge.any()
    assert found.attrs["steps"] == 12 and found.attrs["key"] == [0, 5] and found.attrs["dtype"] == "float64"


def test_a_start_within_the_tolerance_takes_no_step():
    found = ls.compare_optimizers(
        bowl(box=(0.01, 0.01)), {"SGD": HALF}, key=KEY, num_starts=2, steps=12, tolerance=1e-3
    )
    assert found.data.steps_to.values.ravel().tolist() == [0, 0]


def test_what_becomes_infinite_is_marked_and_not_dropped():
    found = ls.compare_optimizers(bowl(), {"away": optax.sgd(1e9)}, key=KEY, num_starts=7, steps=12)
    assert found.data.diverged.all() and not found.data.success.any() and not np.isfinite(found.data.final_gap).any()
    assert np.isfinite(found.data.least_gap).all()
    assert "Diverged: away on bowl (7)" in str(found)
    assert np.isinf(found.summary().median_steps).all() and found.summary().diverged_rate.item() == 1


def test_the_tolerance_is_relative_to_a_value_above_1(x64):
    problem = ls.Problem("high", ls.function(lambda p: 50 + parabola(p), {"u": 0.0}), 50.0, {"u": (1.0, 4.0)})
    found = ls.compare_optimizers(problem, {"SGD": HALF}, key=KEY, num_starts=7, steps=12, tolerance=1e-3).data
    u = np.asarray(starts_of(problem, 7)["u"])
    np.testing.assert_array_equal(found.steps_to[0, 0], np.ceil(np.log(0.5 * u**2 / 0.05) / np.log(4)))
    assert found.threshold.item() == 0.05 and (found.minimum == -1).all()


def test_the_chosen_rate_is_the_best_and_what_ran_can_run_again():
    """η = 1 needs one step. Of η < 1 the larger is faster, and where none gets there, nearer."""
    rates = (0.01, 0.5, 1.0, 1.5, 2.5)
    found = ls.compare_optimizers(
        bowl(), {"SGD": optax.sgd, "fixed": HALF}, key=KEY, num_starts=7, steps=12, learning_rates=rates
    )
    assert found.data.learning_rate.values.tolist()[0][0] == 1.0 and found.data.rate.values.tolist() == list(rates)
    assert found.data.tuning_cost[0, 0].values.argmin() == 2 and found.data.tuning_cost[0, 0, 2] == 1
    assert found.data.tuning_success[0, 0].values[[0, 2, 4]].tolist() == [0, 1, 0]
    assert not found.data.at_edge.any() and found.data.tuning_cost[0, 1].isnull().all()
    again = ls.descend(bowl().objective, found.optimizers["bowl"]["SGD"], starts_of(bowl(), 7), 12)
    np.testing.assert_array_equal(again.data.objective[:, -1], found.data.final_gap[0, 0])
    few = ls.compare_optimizers(
        bowl(), {"SGD": optax.sgd}, key=KEY, num_starts=7, steps=12, learning_rates=(0.01, 0.02)
    )
    assert few.data.learning_rate.item() == 0.02 and few.data.at_edge.all() and "0.02!" in str(few)
    with_nan = _tuning.progressed(np.array([[4.0, np.nan], [4.0, 1.0], [4.0, 9.0]]), 0.0, 1.0)
    assert with_nan.diverged.tolist() == [True, False, True] and with_nan.least.tolist() == [4, 1, 4]
    np.testing.assert_array_equal(with_nan.steps_to, [np.nan, 1, np.nan])


def test_the_table_says_what_the_summary_has():
    methods = {"half": HALF, "away": AWAY}
    found = ls.compare_optimizers(
        {"one": bowl(), "two": bowl(box=(0.0, 0.0))}, methods, key=KEY, num_starts=7, steps=12, tolerance=1e-3
    )
    told = found.summary()
    head, one, two = found.table().split("\n")
    assert head.split() == ["half", "away"] and one.split()[0] == "one"
    assert one.split()[1:] == ["100", "%", f"{told.median_steps[0, 0].item():.0f}", "0", "%", "–"]
    assert two.split()[1:] == ["100", "%", "0", "100", "%", "0"] and len(one) == len(two) == len(head)
    assert str(found).startswith("Share of 7 starts within 0.001·max(1, |least value|) of the least value in 12 steps")
    assert "Learning rates" not in str(found)


def test_a_value_that_is_not_the_least_is_refuted():
    found = ls.compare_optimizers(bowl(value=1.0), {"SGD": HALF}, key=KEY, num_starts=7, steps=12)
    assert "`value` of 'bowl' is not the least: a run came 1 below it" in str(found)


def test_which_of_four_minima():
    problem = ls.problems()["himmelblau"]
    found = ls.compare_optimizers(problem, {"SGD": optax.sgd(0.01)}, key=KEY, num_starts=40, steps=300)
    assert found.data.success.all() and set(found.data.minimum.values.ravel()) == {0, 1, 2, 3}
    ends = ls.descend(problem.objective, found.optimizers["himmelblau"]["SGD"], starts_of(problem, 40), 300).params
    for start, minimum in enumerate(found.data.minimum[0, 0].values):
        np.testing.assert_allclose(
            [ends[n][start, -1] for n in "xy"], [problem.minimizers[minimum][n] for n in "xy"], 1e-3
        )


def test_a_problem_has_its_own_starts_whatever_the_others_are():
    methods, options = (
        {"half": {"bowl": HALF, "b": optax.sgd(0.1)}},
        {"key": KEY, "num_starts": 7, "steps": 12},
    )
    alone = ls.compare_optimizers({"bowl": bowl()}, methods, **options).data
    both = ls.compare_optimizers({"b": bowl("b"), "bowl": bowl()}, methods, **options).data
    assert both.sel(problem=["bowl"]).final_gap.equals(alone.final_gap)
    assert (both.final_gap[0] > 10 * both.final_gap[1]).all()


# ---- all rates at once


def test_rates_together_are_rates_one_by_one(x64, monkeypatch):
    """With a penalty on the params, which the learning rate beside them has no part in; recorded in full or in part."""
    problem, rates = ls.problems()["pair"], (0.01, 0.3)
    starts = problem.starts(KEY, 3)
    assert _tuning._traceable(optax.sgd, problem.objective)
    one_by_one = _tuning._one_by_one(problem.objective, optax.sgd, rates, starts, 6)
    monkeypatch.setattr(_tuning, "MOST_BYTES", 0)
    assert _tuning.record_of(problem.objective, 6, 6) is not None
    together = _tuning._together(problem.objective, optax.sgd, rates, starts, 6)
    assert together.shape == (2, 3, 7)
    np.testing.assert_allclose(together, one_by_one, rtol=1e-9)


def test_a_penalty_on_weights_stays_on_weights():
    network = ls.problems()["xor"].objective
    lifted = _tuning._lifted(network.with_penalty(ls.weight_decay(0.5) + ls.l1(0.1)))
    alpha, beta = lifted.penalty.coefficients(lifted.params)
    assert beta["params"]["layer1"] == {"W": 0.25, "b": 0} and alpha["params"]["layer2"] == {"W": 0.1, "b": 0.1}
    assert alpha["learning_rate"] == beta["learning_rate"] == 0


def scheduled(rate):
    return optax.sgd(optax.constant_schedule(rate) if rate > 0.5 else rate)


@pytest.mark.parametrize(
    "make",
    [ls.proximal_gradient, scheduled, lambda rate: optax.contrib.schedule_free_sgd(rate)],
    ids=["proximal", "scheduled", "schedule-free"],
)
def test_what_cannot_be_made_of_a_traced_rate_is_tuned_one_by_one(make):
    assert not _tuning._traceable(make, bowl().objective)
    if make is ls.proximal_gradient:
        options = {"num_starts": 7, "steps": 12, "learning_rates": (0.1, 1.0)}
        found = ls.compare_optimizers(bowl(), {"prox": make}, key=KEY, **options)
        assert found.data.learning_rate.item() == 1 and found.optimizers["bowl"]["prox"] == ls.proximal_gradient(1.0)


def test_a_second_comparison_compiles_nothing(compilations):
    options = {"num_starts": 7, "steps": 12, "learning_rates": (0.5, 1.0)}
    ls.compare_optimizers(bowl(), {"SGD": optax.sgd}, key=KEY, **options)
    with compilations() as tally:
        ls.compare_optimizers(bowl(), {"SGD": optax.sgd}, key=jax.random.key(6), **options)
    assert tally.count == 0


def test_rates_that_are_tried_by_default():
    assert LEARNING_RATES == (1e-4, 3.16e-4, 1e-3, 3.16e-3, 0.01, 0.0316, 0.1, 0.316, 1.0)


SGD = {"SGD": optax.sgd}


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((bowl().objective, SGD), {}, TypeError, "`problems` is an Objective; give a mapping from labels, ls.problems"),
        (({"a": 1}, SGD), {}, TypeError, r"`problems\['a'\]` is an int; give a Problem"),
        ((bowl(), optax.adam), {}, TypeError, "`optimizers` is a function; give a mapping from labels"),
        ((bowl(), {"a": 0.1}), {}, TypeError, r"`optimizers\['a'\]` is a float; give an optimizer such as optax.adam"),
        ((bowl(), {"a": lambda: 1}), {}, TypeError, r"`optimizers\['a'\]` is called as optimizers\['a'\]\(learning_ra"),
        ((bowl(), {"a": lambda r: r}), {}, TypeError, r"`optimizers\['a'\]` returned a float for the learning rate 1"),
        (
            (bowl(), {"a": {"b": optax.sgd}}),
            {},
            ValueError,
            r"`optimizers\['a'\]` has none for the problem 'bowl', but",
        ),
        ((bowl(), {"a": {"bowl": 3}}), {}, TypeError, r"`optimizers\['a'\]\['bowl'\]` is an int; give an optimizer"),
        ((bowl(), SGD), {"key": 0}, TypeError, "`key` is an int"),
        ((bowl(), SGD), {"num_starts": 0}, ValueError, "`num_starts` is 0; it must be at least 1"),
        ((bowl(), SGD), {"steps": 0}, ValueError, "`steps` is 0; it must be at least 1"),
        ((bowl(), SGD), {"tolerance": 0}, ValueError, "`tolerance` is 0; it must be a finite number > 0"),
        ((bowl(), SGD), {"learning_rates": 0.1}, ValueError, r"`learning_rates` has shape \(\); give rates to try"),
        (
            (bowl(), SGD),
            {"learning_rates": [0.1, 0]},
            ValueError,
            r"`learning_rates` is \[0.1, 0.0\]; they must be fin",
        ),
    ],
)
def test_what_is_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        ls.compare_optimizers(*arguments, **{"key": KEY, **options})
