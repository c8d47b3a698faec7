"""`trajectory`: one's own checkpoints measured as `descend` measures its runs, one at a time; what it refuses."""

import gc
import itertools
import json
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from landscape.analysis.checkpoints import StepsMismatch
from tests import problems
from tests.closeness import assert_close

PAIR = ls.neuron(*ls.datasets.pair(), penalty=ls.l2(0.1))
PLANE = ls.axes_plane(PAIR.params, "w", "b")
POINTS = [{"w": np.float32(w), "b": np.float32(b)} for w, b in ((0.0, 0.0), (1.0, -2.0), (3.0, 0.5))]
NETWORK = problems.network(0)


def ones_plane(params):
    """A line along which every number grows alike."""
    return ls.Plane(params, (jax.tree.map(jnp.ones_like, params),), names=("c",))


def at(params, step):
    """The params of one step of a trajectory."""
    return jax.tree.map(lambda leaf: leaf[step], params)


def test_risks_and_norms_at_known_points():
    """Against the formulas of the pair; steps 0, 1, 2; no other dimension."""
    run = ls.trajectory(PAIR, POINTS)
    w, b = (np.array([p[name] for p in POINTS], np.float64) for name in "wb")
    risk, (dw, db) = problems.pair_risk(w, b), problems.pair_gradient(w, b)
    assert run.data.risk.dims == ("step",) and run.data.step.values.tolist() == [0, 1, 2]
    assert_close(run.data.risk, risk, eps=8)
    assert_close(run.data.objective, risk + 0.1 * (w**2 + b**2), eps=8)
    assert_close(run.data.gradient_norm, np.hypot(dw + 0.2 * w, db + 0.2 * b), eps=8)
    assert run.data.finite.all() and run.data.finite.dtype == bool
    assert np.array_equal(run.params["w"], w) and np.array_equal(run.params["b"], b)


@pytest.mark.parametrize("record", [None, ones_plane(NETWORK.params)], ids=["params", "record"])
def test_a_run_of_descend_fed_back_is_itself(record):
    """The same risk, gradient norm, coordinates and residual, to rounding."""
    objective = NETWORK.with_penalty(ls.elastic_net(0.01, 0.1))
    start = jax.tree.map(lambda leaf: 0.5 * leaf, NETWORK.params)
    run = ls.descend(objective, optax.sgd(0.1), start, 10, record_every=5)
    own = ls.trajectory(objective, (at(run.params, i) for i in range(3)), [0, 5, 10], record=record)
    line = ones_plane(NETWORK.params)
    seen, expected = own.on(line), run.on(line)
    for name in ("risk", "objective", "gradient_norm", "c", "residual"):
        assert_close(seen[name], expected[name].to_numpy(), eps=64, scale=1.0)
    assert seen.finite.identical(expected.finite) and seen.step.identical(expected.step)
    assert (own.params is None) == (record is not None)
    if record is None:
        assert jax.tree.all(jax.tree.map(np.array_equal, own.params, run.params))
    said = ("kind", "objective", "objective_id", "penalties", "penalty_terms", "precision", "dtype", "num_examples")
    assert {name: own.data.attrs[name] for name in said} == {name: run.data.attrs[name] for name in said}
    assert json.loads(json.dumps(own.data.attrs)) == own.data.attrs


def test_a_generator_is_consumed_lazily_and_compiles_once(compilations):
    """With record=, each checkpoint is gone when the next one is asked for; nothing is compiled after the first."""
    generator, references, alive, tallies = np.random.default_rng(0), [], [], []

    def drawn():
        gc.collect()
        alive.append(sum(reference() is not None for reference in references))
        draw = lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype)  # noqa: E731
        params = jax.tree.map(draw, NETWORK.params)
        references.extend(weakref.ref(leaf) for leaf in jax.tree.leaves(params))
        return params

    def checkpoints():
        yield drawn()
        with compilations() as tally:
            tallies.append(tally)
            for _ in range(5):
                yield drawn()

    run = ls.trajectory(NETWORK, checkpoints(), record=ones_plane(NETWORK.params))
    assert run.params is None and run.data.residual.shape == (6,)
    assert alive == [0] * 6 and len(references) == 24
    assert tallies[0].count == 0


def test_values_of_reused_buffers_are_copied():
    """A loop that updates its arrays in place does not change what was kept of earlier steps."""
    params = {"w": np.zeros((), np.float32), "b": np.zeros((), np.float32)}

    def training():
        for _ in range(3):
            yield params
            params["w"] += 1.0

    run = ls.trajectory(PAIR, training(), steps=range(10, 40, 10))
    assert run.params["w"].tolist() == [0.0, 1.0, 2.0] and run.data.step.values.tolist() == [10, 20, 30]


def test_a_checkpoint_that_is_not_finite_is_marked():
    """NaN stays NaN, and the others are as they are."""
    run = ls.trajectory(PAIR, [POINTS[0], {"w": np.nan, "b": 0.0}, POINTS[2]])
    assert run.data.finite.values.tolist() == [True, False, True]
    assert np.isnan(run.data.risk[1]) and np.isnan(run.params["w"][1])


def test_plain_numbers_other_dtypes_and_params_of_one_array():
    """Numbers and float64 leaves are read in the objective's dtypes; a stack of bare arrays is gone through."""
    run = ls.trajectory(PAIR, [{"w": 1, "b": -2.0}, {"w": np.float64(1.0), "b": np.float64(-2.0)}])
    assert run.data.risk[0] == run.data.risk[1] == ls.trajectory(PAIR, POINTS[1:2]).data.risk[0]
    assert run.params["w"].dtype == np.float32
    bare = ls.function(lambda p: jnp.sum(p**2), np.zeros(2, np.float32))
    stack = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    for points in (stack, iter(stack), list(stack)):
        assert ls.trajectory(bare, points).data.risk.values.tolist() == [5.0, 25.0]
    with pytest.raises(TypeError, match=r"`checkpoints` is one tree of params; give an iterable of them: \[params\]"):
        ls.trajectory(bare, np.array([1.0, 2.0], np.float32))


def test_data_are_read_and_multiplied_as_asked():
    """In batches of batch_size, at a precision that the attributes tell."""
    seen = set()

    def losses(params, batch):
        (product,) = jax.make_jaxpr(jnp.dot)(batch[0], params["hidden"]["kernel"]).eqns
        seen.add((len(batch[0]), product.params["precision"]))
        return problems.network_losses(params, batch)

    objective = ls.Objective(losses, NETWORK.data, params=NETWORK.params)
    default, highest = 2 * (jax.lax.Precision.DEFAULT,), 2 * (jax.lax.Precision.HIGHEST,)
    for options, wanted, precision in (
        ({"batch_size": 5, "precision": "bfloat16"}, {(5, default), (3, default)}, "bfloat16"),
        ({"batch_size": 7}, {(7, highest), (2, highest)}, "highest"),
    ):
        seen.clear()
        run = ls.trajectory(objective, [NETWORK.params], **options)
        assert wanted <= seen and run.data.attrs["precision"] == precision
        assert_close(run.data.risk, ls.trajectory(NETWORK, [NETWORK.params]).data.risk.to_numpy(), eps=16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"memory": 1000}, "`memory` is 1000"),
        ({"precision": "hihgest"}, "`precision` is 'hihgest'"),
    ],
)
def test_how_data_are_read_is_checked(options, message):
    with pytest.raises(ValueError, match=message):
        ls.trajectory(PAIR, POINTS, **options)


def test_frozen_leaves_are_the_checkpoints_own():
    """A mask that training changes, a key that it moves on: each checkpoint is measured with its own, or, left out,
    with the objective's; on a plane only what moves counts."""
    objective = problems.masked()
    first, other = objective.params, {**objective.params, "on": jnp.array([True, True, True]), "key": jax.random.key(1)}
    along = jnp.array([1.0, 0.0, 0.0])
    moved = {**first, "w": first["w"] + along, "on": None, "scale": None, "key": None}
    run = ls.trajectory(objective, [first, other, moved])
    assert_close(run.data.risk[:2], np.array([objective.risk(first), objective.risk(other)]), eps=8)
    whole = [at(run.params, step) for step in range(3)]
    assert np.array_equal(whole[1]["on"], [True] * 3) and whole[1]["key"] == other["key"]
    assert np.array_equal(whole[2]["on"], first["on"]) and whole[2]["key"] == first["key"]
    assert_close(run.data.risk[2], np.asarray(objective.risk(whole[2])), eps=8)
    assert run.params["scale"].shape == (3, 3) and run.params["scale"].dtype == first["scale"].dtype
    none = dict.fromkeys(("on", "scale", "key"))
    line = ls.Plane(first, ({"w": along, "b": jnp.zeros(()), **none},), names=("c",))
    for seen in (run.on(line), ls.trajectory(objective, iter([first, other, moved]), record=line).data):
        assert seen.c.values.tolist() == [0.0, 0.0, 1.0] and seen.residual.values.tolist() == [0.0] * 3
    with pytest.raises(TypeError, match=r"`checkpoints\[0\]` leaf 'on' is float32; the objective's holds bool"):
        ls.trajectory(objective, [{**first, "on": jnp.ones(3)}])


def test_steps_of_another_length():
    """Known at once for a list, before anything is computed; at the end for a generator, and nothing is lost."""
    message = "`steps` has 2 numbers, but `checkpoints` 3 params; give each"
    with pytest.raises(ValueError, match=message) as caught:
        ls.trajectory(PAIR, POINTS, [0, 1])
    assert not isinstance(caught.value, StepsMismatch)
    for steps, said in (([0, 5], "2"), ([0, 1, 2, 3], "4")):
        with pytest.raises(StepsMismatch, match=f"`steps` has {said} numbers, but `checkpoints` 3 params") as kept:
            ls.trajectory(PAIR, iter(POINTS), steps)
        measured = kept.value.trajectory
        assert measured.data.step.values.tolist() == [0, 1, 2]
        assert measured.data.risk.equals(ls.trajectory(PAIR, POINTS).data.risk)


STACKED = {"w": np.zeros(4, np.float32), "b": np.zeros(4, np.float32)}
GONE = jnp.ones(())
GONE.delete()


@pytest.mark.parametrize(
    ("checkpoints", "error", "message"),
    [
        ([], ValueError, "`checkpoints` is empty; give at least one"),
        (iter([]), ValueError, "`checkpoints` is empty"),
        (POINTS[0], TypeError, r"`checkpoints` is one tree of params; give an iterable of them: \[params\]\.$"),
        (STACKED, TypeError, r"of stacked ones, \(jax.tree.map\(lambda leaf: leaf\[i\], checkpoints\) .* range\(4\)\)"),
        (
            dict(enumerate(POINTS)),
            TypeError,
            r"`checkpoints` is a dict; .*\[params\].* give its values\(\), with steps=",
        ),
        (3, TypeError, r"`checkpoints` is an int; give an iterable of params: \[params\] for one"),
        ("run/checkpoints", TypeError, "`checkpoints` is a path .'run/checkpoints'.; give an iterable of params"),
        (Path("run"), TypeError, "`checkpoints` is a path"),
        (
            [POINTS[0], {"w": 0.0, "c": 0.0}],
            ValueError,
            r"`checkpoints\[1\]` must have the structure .*; missing: 'b'; unknown: 'c'\.\n +params: .*\n +checkp",
        ),
        ([[0.0, 0.0]], ValueError, r"`checkpoints\[0\]` must have the structure"),
        ([POINTS[0], {"w": np.zeros(2), "b": 0.0}], ValueError, r"`checkpoints\[1\]` leaf 'w' has shape \(2,\);"),
        ([{"w": "0", "b": 0.0}], TypeError, r"`checkpoints\[0\]` leaf 'w' is <U1; the objective's holds floating-"),
        ([{"w": np.int32(0), "b": 0.0}], TypeError, r"`checkpoints\[0\]` leaf 'w' is int32; the objective's holds"),
        ([{"w": GONE, "b": 0.0}], ValueError, r"`checkpoints\[0\]` leaf 'w' was donated .* jax.device_get\(params\)"),
    ],
)
def test_checkpoints_that_are_refused(checkpoints, error, message):
    """Which checkpoint, which leaf, what came and what to give."""
    with pytest.raises(error, match=message):
        ls.trajectory(PAIR, checkpoints)


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ([0, 2, 1], ValueError, r"`steps` must be strictly increasing; steps\[1\] is 2 and steps\[2\] is 1"),
        ([0, 0, 1], ValueError, "`steps` must be strictly increasing"),
        ([0.0, 0.5, 1.0], ValueError, r"`steps` holds 0\.5; step numbers are whole"),
        ([0.0, np.nan, 1.0], ValueError, "`steps` holds 1 of 3 values that are not finite"),
        (3, ValueError, r"`steps` has shape \(\); give a 1-D list"),
        (itertools.count(), TypeError, r"`steps` is a count; give a list of step numbers"),
        (["a", "b", "c"], TypeError, "`steps` must hold real numbers"),
    ],
)
def test_steps_that_are_refused(steps, error, message):
    with pytest.raises(error, match=message):
        ls.trajectory(PAIR, POINTS, steps)


def test_bad_charts_and_objectives():
    """As in `descend`."""
    with pytest.raises(TypeError, match="`objective` is a function; give an Objective"):
        ls.trajectory(lambda p: p, POINTS)
    with pytest.raises(TypeError, match="`record` is a str; give a Plane"):
        ls.trajectory(PAIR, POINTS, record="w")
    with pytest.raises(ValueError, match="`record` leads to params that are not like the objective's"):
        ls.trajectory(PAIR, POINTS, record=ones_plane(NETWORK.params))


def test_checkpoints_that_are_one_and_the_same():
    """A loop that changes NumPy arrays in place, and appends them: all show the last step."""
    params = {"w": np.zeros(1, np.float32), "b": np.zeros((), np.float32)}
    objective = ls.Objective(lambda p, x: jnp.square(p["w"] * x + p["b"]), np.ones(3, np.float32), params=params)
    kept = []
    for _ in range(3):
        params["w"] += 1
        kept.append(dict(params))
    with pytest.raises(ValueError, match=r"`checkpoints` holds the same arrays again and again.*np\.copy, params"):
        ls.trajectory(objective, kept)
    first, other = jax.tree.map(np.copy, params), jax.tree.map(np.copy, params)
    assert ls.trajectory(objective, [first, other, first]).data.sizes["step"] == 3  # back at the best ones


def test_all_variables_of_a_model_are_no_params():
    params = {"w": np.zeros(1, np.float32)}
    objective = ls.Objective(lambda p, x: jnp.square(p["w"] * x), np.ones(3, np.float32), params=params)
    with pytest.raises(
        ValueError, match=r'`checkpoints\[0\]` holds all variables; give its params: checkpoints\[0\]\["p'
    ):
        ls.trajectory(objective, [{"params": params, "batch_stats": {"mean": np.zeros(1)}}])
