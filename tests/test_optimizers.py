"""Optimizers as `descend` sees them: against loops over optax itself, line searches, schedules, the proximal step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import landscape as ls
from tests import problems
from tests.closeness import assert_close

X, Y = problems.classification(0, 15, 1)
OBJECTIVE = ls.neuron(X[:, 0], Y, penalty=ls.l2(0.05))
START = {"w": np.float32(1.5), "b": np.float32(-1.0)}
INT_STEPS = "optax raises a Python float to the power of an int32 step count"
INT_COUNT = "optax divides a float32 sum by an int32 count"


def loop(optimizer, steps, evaluate=None):
    """The same optimizer in a Python loop over optax, (steps + 1, 2): what a user would have written."""
    params = {name: jnp.asarray(value) for name, value in START.items()}
    state, points = optimizer.init(params), []
    extended = optax.with_extra_args_support(optimizer)
    value_and_grad = jax.jit(jax.value_and_grad(OBJECTIVE))
    update = jax.jit(lambda g, s, p, v: extended.update(g, s, p, value=v, grad=g, value_fn=OBJECTIVE))
    for _ in range(steps + 1):
        seen = params if evaluate is None else evaluate(state, params)
        points.append([float(seen["w"]), float(seen["b"])])
        value, gradient = value_and_grad(params)
        updates, state = update(gradient, state, params, value)
        params = optax.apply_updates(params, updates)
    return np.array(points)


@pytest.mark.parametrize(
    ("make", "evaluate"),
    [
        (lambda: optax.sgd(0.3, momentum=0.9, nesterov=True), None),
        (lambda: optax.sgd(optax.exponential_decay(1.0, 5, 0.5)), None),
        pytest.param(lambda: optax.adam(0.1), None, marks=pytest.mark.lenient(INT_STEPS)),
        pytest.param(
            lambda: optax.chain(optax.clip_by_global_norm(0.05), optax.scale_by_adam(), optax.scale(-0.2)),
            None,
            marks=pytest.mark.lenient(INT_STEPS),
        ),
        (lambda: optax.polyak_sgd(max_learning_rate=2.0, f_min=0.3), None),
        pytest.param(
            lambda: optax.chain(optax.sgd(4.0), optax.contrib.reduce_on_plateau(patience=1, factor=0.5)),
            None,
            marks=pytest.mark.lenient(INT_COUNT),
        ),
        (lambda: optax.contrib.schedule_free_sgd(0.5), optax.contrib.schedule_free_eval_params),
    ],
    ids=["nesterov", "schedule", "adam", "chain", "polyak", "plateau", "schedule_free"],
)
def test_paths_are_those_of_optax(make, evaluate):
    """Extra arguments arrive where they are wanted; a schedule-free optimizer is seen at its evaluation point."""
    optimizer = make()
    run = ls.descend(OBJECTIVE, optimizer, START, 25)
    expected = loop(optimizer, 25, evaluate)
    assert_close(run.params["w"], expected[:, 0], eps=256, scale=1.0)
    assert_close(run.params["b"], expected[:, 1], eps=256, scale=1.0)
    assert_close(
        run.data.objective[-1], np.asarray(float(OBJECTIVE({"w": expected[-1, 0], "b": expected[-1, 1]}))), eps=64
    )
    assert np.abs(np.diff(expected, axis=0)).max() > 1e-3


@pytest.mark.lenient(INT_COUNT)
def test_a_plateau_does_reduce_the_rate():
    """θ² at a rate that overshoots for ever, unless the objective is handed to the schedule."""
    bowl = ls.function(lambda p: p["u"] ** 2, {"u": 1.0})
    stuck = ls.descend(bowl, optax.sgd(1.0), {"u": np.float32(1.0)}, 40)
    freed = ls.descend(
        bowl,
        optax.chain(optax.sgd(1.0), optax.contrib.reduce_on_plateau(patience=2, factor=0.5)),
        {"u": np.float32(1.0)},
        40,
    )
    assert float(stuck.data.objective[-1]) == 1.0
    assert float(freed.data.objective[-1]) < 1e-6


def test_schedule_free_differs_from_its_gradient_points():
    """The recorded point is the average, and risk and norm are measured there."""
    run = ls.descend(OBJECTIVE, optax.contrib.schedule_free_sgd(0.5), START, 10)
    for step in (0, 5, 10):
        params = {name: run.params[name][step] for name in "wb"}
        assert_close(run.data.objective[step], np.asarray(float(OBJECTIVE(params))), eps=16)
        norm = float(jnp.hypot(*OBJECTIVE.gradient(params).values()))
        assert_close(run.data.gradient_norm[step], np.asarray(norm), eps=16, scale=0.1)


def test_penalties_reach_the_optimizer():
    """Gradients handed to optax are those of risk + penalty, for each penalty of a sweep."""
    run = ls.descend(
        OBJECTIVE, optax.sgd(0.2), START, 1, penalties={"none": ls.none(), "l2": ls.l2(1.0), "l1": ls.l1(0.5)}
    )
    gradient = jax.grad(OBJECTIVE.risk)({name: jnp.asarray(v) for name, v in START.items()})
    for name in "wb":
        start, slope = float(START[name]), float(gradient[name])
        expected = [
            start - 0.2 * slope,
            start - 0.2 * (slope + 2 * start),
            start - 0.2 * (slope + 0.5 * np.sign(start)),
        ]
        assert_close(run.params[name][:, 1], np.array(expected), eps=8)


def test_a_subgradient_step_stays_at_a_minimizer_on_a_kink():
    """sgd under l1(½) started at 0, the minimizer of the pair, does not move."""
    pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l1(0.5))
    run = ls.descend(pair, optax.sgd(1.0), pair.params, 3)
    assert run.params["w"].tolist() == run.params["b"].tolist() == [0.0] * 4
    assert run.data.gradient_norm.values.tolist() == [0.0] * 4


def test_the_proximal_gradient_step_is_its_formula(x64):
    """θ ← soft(θ − η∇R, ηλ₁)/(1 + 2ηλ₂), step by step, with a mask and a mean over weighted examples."""
    pair = ls.neuron(*ls.datasets.pair(), penalty=ls.l1(0.3, scope={"w": True, "b": False}) + ls.l2(0.2))
    run = ls.descend(pair, ls.proximal_gradient(0.7), {"w": 0.4, "b": -1.0}, 6)
    w, b = 0.4, -1.0
    for step in range(6):
        dw, db = problems.pair_gradient(w, b)
        w, b = w - 0.7 * dw, b - 0.7 * db
        w = np.sign(w) * max(abs(w) - 0.7 * 0.3, 0.0) / (1 + 2 * 0.7 * 0.2)
        b = b / (1 + 2 * 0.7 * 0.2)
        assert_close(run.params["w"][step + 1], np.asarray(w), eps=32, scale=1.0)
        assert_close(run.params["b"][step + 1], np.asarray(b), eps=32, scale=1.0)


def test_mini_batches_of_a_line_search_and_of_prox():
    """`value_fn` is the batch's objective: polyak on batches stays finite, prox keeps exact zeros."""
    key = jax.random.key(0)
    polyak = optax.polyak_sgd(max_learning_rate=0.5, f_min=0.3)
    run = ls.descend(OBJECTIVE, polyak, START, 30, batch_size=5, key=key)
    assert run.data.finite.all() and float(run.data.objective[-1]) < float(run.data.objective[0])
    sparse = ls.descend(OBJECTIVE, ls.proximal_gradient(0.5), START, 60, penalties=ls.l1(2.0), batch_size=5, key=key)
    assert sparse.params["w"][-1] == sparse.params["b"][-1] == 0.0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_the_learning_rate_is_positive(rate):
    with pytest.raises(ValueError, match=r"`learning_rate` is (0.0|-1.0|nan|inf); it must be a finite number > 0"):
        ls.proximal_gradient(rate)
