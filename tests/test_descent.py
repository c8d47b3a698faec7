"""`descend`: paths against loops written out, dimensions, recording, mini-batches, runs that fail, bad input."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from landscape import _jaxprs
from landscape.analysis import _blocks, _runs, _steps
from landscape.objectives.data import Batches
from tests import problems
from tests.closeness import assert_close

PAIR = ls.neuron(*ls.datasets.pair())
PLANE = ls.axes_plane(PAIR.params, "w", "b")
START = {"w": np.float32(1.0), "b": np.float32(-2.0)}
STARTS = {"w": np.array([1.0, 0.0, -3.0], np.float32), "b": np.array([-2.0, 0.5, 1.0], np.float32)}
SGD = optax.sgd(0.5)
STEPS = 20  # of tests that need no other number: each compiles a program
NETWORK = problems.network(0)


def path_by_hand(w, b, strength, steps, rate=0.5):
    """Gradient descent on the pair under l2(strength), NumPy: points (steps + 1, 2), risks, objectives, norms."""
    rows = []
    for _ in range(steps + 1):
        dw, db = problems.pair_gradient(w, b)
        dw, db = dw + 2 * strength * w, db + 2 * strength * b
        risk = problems.pair_risk(w, b)
        rows.append((w, b, risk, risk + strength * (w**2 + b**2), np.hypot(dw, db)))
        w, b = w - rate * dw, b - rate * db
    return np.array(rows).T


def test_a_run_is_the_loop_written_out():
    """Points, and at each point risk, objective and gradient norm of the full data; step 0 is the start."""
    run = ls.descend(PAIR, SGD, START, STEPS, penalties=ls.l2(0.1))
    w, b, risk, objective, norm = path_by_hand(1.0, -2.0, 0.1, STEPS)
    assert_close(run.params["w"], w, eps=32, scale=1.0)
    assert_close(run.params["b"], b, eps=32, scale=1.0)
    assert_close(run.data.risk, risk, eps=32, scale=1.0)
    assert_close(run.data.objective, objective, eps=32, scale=1.0)
    assert_close(run.data.gradient_norm, norm, eps=32, scale=1.0)
    assert run.data.step.values.tolist() == list(range(STEPS + 1))
    assert run.data.finite.all() and run.data.finite.dtype == bool


def test_products_are_as_precise_as_the_attributes_say():
    """Whatever the caller's context: TF32 and bfloat16 are the defaults of GPUs and TPUs."""
    seen = set()

    def losses(params, batch):
        (product,) = jax.make_jaxpr(jnp.dot)(batch[0], params["hidden"]["kernel"]).eqns
        seen.add(product.params["precision"])
        return problems.network_losses(params, batch)

    objective = ls.Objective(losses, NETWORK.data, params=NETWORK.params)
    seen.clear()
    with jax.default_matmul_precision("bfloat16"):
        run = ls.descend(objective, SGD, NETWORK.params, 3, batch_size=4, key=jax.random.key(0), record_every=2)
    assert seen == {2 * (jax.lax.Precision.HIGHEST,)} and run.data.attrs["precision"] == "highest"


TWO = {"sgd": SGD, "prox": ls.proximal_gradient(0.5)}


@pytest.mark.parametrize(
    ("optimizers", "starts", "penalties", "dims", "sizes"),
    [
        (SGD, START, None, (), ()),
        (SGD, START, ls.l2(0.1), (), ()),
        (SGD, STARTS, None, ("start",), (3,)),
        (SGD, {name: leaf[None] for name, leaf in START.items()}, None, ("start",), (1,)),
        ({"sgd": SGD}, START, {"λ=0.1": ls.l2(0.1)}, ("optimizer", "penalty"), (1, 1)),
        (TWO, STARTS, {"none": ls.none(), "λ=0.1": ls.l2(0.1)}, ("optimizer", "penalty", "start"), (2, 2, 3)),
    ],
)
def test_dimensions_are_there_if_asked_for(optimizers, starts, penalties, dims, sizes):
    """optimizer and penalty for a mapping (of one, too), start for a leading axis, step always, in this order."""
    run = ls.descend(PAIR, optimizers, starts, STEPS, penalties=penalties)
    assert run.data.risk.dims == (*dims, "step") and run.data.risk.shape == (*sizes, STEPS + 1)
    assert run.params["w"].shape == run.params["b"].shape == (*sizes, STEPS + 1)
    labels = {"optimizer": optimizers, "penalty": penalties, "start": np.arange(len(np.atleast_1d(starts["w"])))}
    assert {dim: run.data[dim].values.tolist() for dim in dims} == {dim: list(labels[dim]) for dim in dims}
    last, strength = run.data.objective.isel(step=-1), 0.0 if penalties is None else 0.1
    if "penalty" in dims:
        np.testing.assert_allclose(run.data.strength, [p.strength for p in penalties.values()])
        last = last.sel(optimizer="sgd", penalty="λ=0.1")
    pairs = zip(np.atleast_1d(starts["w"]), np.atleast_1d(starts["b"]), strict=True)
    expected = [path_by_hand(w, b, strength, STEPS)[3, -1] for w, b in pairs]
    assert_close(np.atleast_1d(last.to_numpy()), np.array(expected), eps=32)


def test_many_starts_are_many_single_runs():
    """Start by start and penalty by penalty, the same numbers to rounding."""
    penalties = {"a": ls.l1(0.1), "b": ls.l2(0.3)}
    together = ls.descend(PAIR, SGD, STARTS, STEPS, penalties=penalties)
    for i in range(3):
        one = {name: leaf[i] for name, leaf in STARTS.items()}
        for j, penalty in enumerate(penalties.values()):
            alone = ls.descend(PAIR.with_penalty(penalty), SGD, one, STEPS)
            for name in ("risk", "objective", "gradient_norm"):
                assert_close(together.data[name][j, i], alone.data[name].to_numpy(), eps=4, scale=1.0)
            assert_close(together.params["w"][j, i], alone.params["w"], eps=4, scale=1.0)


COUNTING = {  # optimizers with counters: of steps, which all runs share; of what happens to each run, which they do not
    "adam with a schedule": (optax.adam(optax.cosine_decay_schedule(0.3, 15)), 2),
    "noise": (optax.noisy_sgd(0.1, key=0), 2),  # counter and key
    "three gradients a step": (optax.MultiSteps(optax.adam(0.1), 3).gradient_transformation(), None),
    "a plateau of its own": (optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau(patience=1)), 1),
    "steps refused": (optax.apply_if_finite(optax.adam(0.1), 3), 0),
}


@pytest.mark.lenient("optax's Adam raises a float32 to an int32 power")
@pytest.mark.parametrize("name", COUNTING)
def test_counters_are_shared_by_those_runs_alone_that_may_share_them(name):
    """Many runs, one of which soon stops, are as many single ones; Adam's counter is one number."""
    optimizer, shared = COUNTING[name]
    objective = ls.function(lambda p: jnp.log(p["u"]) + p["u"] ** 2, {"u": 1.0})  # no number below 0
    starts = {"u": np.array([2.0, -1.0, 0.75], np.float32)}
    together = ls.descend(objective, optimizer, starts, STEPS, penalties={"a": ls.l2(0.1), "b": ls.l2(0.5)})
    assert not together.data.finite[:, 1].any()
    for i, start in enumerate(starts["u"]):
        alone = ls.descend(objective, optimizer, {"u": start}, STEPS, penalties=ls.l2(0.5))
        assert_close(together.params["u"][1, i], alone.params["u"], eps=64, scale=1.0)
    inputs = _steps.Inputs(None, objective.params, jnp.float32(1), ({"u": jnp.zeros(1)}, {"u": jnp.zeros(1)}), None)
    program = _steps.Program(objective.traced_losses, "mean", optimizer, None, 1, 1)
    common = jax.tree.leaves(_steps.start(program, inputs, starts).common)
    assert all(leaf.ndim == 0 for leaf in common)
    assert shared is None or len(common) == shared


CHANGING = {  # what a counter is at first, and after a step
    "another dtype": (jnp.zeros((), jnp.int32), lambda c: (c + 1).astype(jnp.int16)),
    "another shape": (jnp.zeros(1, jnp.int32), lambda c: c.sum() + 1),
}


@pytest.mark.lenient("a counter that changes its dtype")
@pytest.mark.parametrize("name", CHANGING)
def test_a_counter_may_change_its_dtype_or_shape(name):
    """If JAX can undo it: steps of 1/1, 1/2, 1/3, … of −1 each."""
    first, following = CHANGING[name]

    def update(updates, state, params=None):
        count = following(state["c"])
        return jax.tree.map(lambda g: -jnp.ones_like(g) / count.astype(g.dtype), updates), {"c": count}

    optimizer = optax.GradientTransformation(lambda params: {"c": first}, update)
    run = ls.descend(PAIR, optimizer, STARTS, STEPS)
    steps = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, STEPS + 1))])
    assert_close(run.params["w"], STARTS["w"][:, None] - steps, eps=32, scale=4.0)


def test_what_runs_share_is_found_once(monkeypatch):
    """By tracing a step: not again for other starts, penalties or steps."""
    traced, flatten = [], _jaxprs.flatten
    monkeypatch.setattr(_jaxprs, "flatten", lambda *arguments: traced.append(1) or flatten(*arguments))
    optimizer = optax.sgd(0.25)
    ls.descend(PAIR, optimizer, STARTS, 4, penalties=ls.l2(0.1))
    ls.descend(PAIR, optimizer, {name: leaf[:2] for name, leaf in STARTS.items()}, 3, penalties=ls.l2(0.2))
    ls.descend(PAIR, optimizer, STARTS, 4, penalties={"a": ls.l2(0.1), "b": ls.l2(0.2)})
    assert len(traced) == 1


def test_a_long_run_is_as_few_programs_as_it_has_kinds_of_segments(monkeypatch):
    """(steps that are recorded, kinds): equal segments are one program, whether the end is recorded or not."""
    whole = {steps: ls.descend(PAIR, SGD, STARTS, steps) for steps in (2, 4, 5, 6)}
    plan, advance, calls = _blocks.plan, _steps.advance, []
    record = 5 * 4 + 1  # w, b, risk, objective, gradient norm; whether they are finite

    def short(*arguments):
        """Two steps a segment."""
        found = plan(*arguments)
        return found._replace(memory=2 * found.block[0] * found.block[1] * record)

    def counted(program, count, last, *arguments):
        calls.append((program, count, last))
        return advance(program, count, last, *arguments)

    monkeypatch.setattr(_blocks, "plan", short)
    monkeypatch.setattr(_steps, "advance", counted)
    for steps, segments, kinds in ((2, 1, 1), (4, 2, 1), (5, 3, 2), (6, 3, 1)):
        calls.clear()
        run = ls.descend(PAIR, SGD, STARTS, steps)
        assert (len(calls), len(set(calls))) == (segments, kinds)
        assert run.data.equals(whole[steps].data)
        assert jax.tree.all(jax.tree.map(np.array_equal, run.params, whole[steps].params))
        values = run.data.risk.values
        assert values.flags.c_contiguous and values.flags.writeable


def test_records_that_share_their_memory_do_not_touch(monkeypatch):
    """Small ones lie in one piece, large ones have their own; all may be written to, and none changes another."""
    whole = ls.descend(PAIR, SGD, STARTS, 7)
    for large in (0, 64, 2**40):
        monkeypatch.setattr(_runs, "LARGE", large)
        run = ls.descend(PAIR, SGD, STARTS, 7)
        arrays = [*jax.tree.leaves(run.params), *(run.data[name].values for name in run.data)]
        assert run.data.equals(whole.data)
        for number, array in enumerate(arrays):
            assert array.flags.c_contiguous and array.flags.aligned
            array[...] = number
        for number, array in enumerate(arrays):
            assert (array == array.dtype.type(number)).all()


def test_without_an_l1_penalty_the_paths_are_the_same():
    """Beside l1 the subgradient has its kinks; alone, l2 is differentiated as it is: also where w is exactly 0."""
    starts = STARTS | {"w": np.array([1.0, 0.0, -3.0], np.float32)}
    beside = ls.descend(PAIR, SGD, starts, STEPS, penalties={"l2": ls.l2(0.3), "l1": ls.l1(0.1)})
    alone = ls.descend(PAIR, SGD, starts, STEPS, penalties=ls.l2(0.3))
    for name in ("risk", "objective", "gradient_norm"):
        assert_close(beside.data[name][0], alone.data[name].to_numpy(), eps=4, scale=1.0)
    assert_close(beside.params["w"][0], alone.params["w"], eps=4, scale=1.0)


def test_a_mapping_of_penalties_replaces_the_objectives_own():
    """They are not added."""
    ridge = PAIR.with_penalty(ls.l2(5.0))
    run = ls.descend(ridge, SGD, START, STEPS, penalties={"l2": ls.l2(0.1)})
    assert_close(run.data.objective[0], path_by_hand(1.0, -2.0, 0.1, STEPS)[3], eps=16)
    own = ls.descend(PAIR.with_penalty(ls.l2(0.1)), SGD, START, STEPS)
    assert_close(own.data.objective, path_by_hand(1.0, -2.0, 0.1, STEPS)[3], eps=16)


@pytest.mark.parametrize(("every", "kept"), [(4, [0, 4, 8, 10]), (30, [0, 10])])
def test_recording_every_so_many_steps(every, kept):
    """Also where that does not divide the steps: the start and the last step are always kept; the path is the same."""
    run = ls.descend(PAIR, SGD, STARTS, 10, record_every=every)
    assert run.data.step.values.tolist() == kept
    for i in range(3):
        w, _, risk, _, norm = path_by_hand(STARTS["w"][i], STARTS["b"][i], 0.0, 10)[:, kept]
        assert_close(run.params["w"][i], w, eps=64, scale=1.0)
        assert_close(run.data.risk[i], risk, eps=64, scale=1.0)
        assert_close(run.data.gradient_norm[i], norm, eps=64, scale=1.0)


def test_long_runs_in_segments_are_the_same(monkeypatch):
    """However many compiled calls a run is cut into."""
    whole = ls.descend(PAIR, SGD, STARTS, 10, record_every=3)
    monkeypatch.setattr("landscape.analysis._runs.SEGMENT_WORK", 1)
    cut = ls.descend(PAIR, SGD, STARTS, 10, record_every=3)
    assert cut.data.step.equals(whole.data.step)
    assert_close(cut.data.objective, whole.data.objective.to_numpy(), eps=4)


def test_recording_coordinates_only():
    """For params too large to keep: what `on` gives, without the params."""
    network = problems.network(0)
    direction = jax.tree.map(jnp.ones_like, network.params)
    chart = ls.Plane(network.params, (direction,), names=("c",))
    starts = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), network.params)
    full = ls.descend(network, SGD, starts, 5)
    brief = ls.descend(network, SGD, starts, 5, record=chart)
    assert brief.params is None
    expected = full.on(chart)
    assert set(brief.data.data_vars) == set(expected.data_vars) == {*full.data.data_vars, "c", "residual"}
    for name in ("c", "residual", "risk", "gradient_norm"):
        assert brief.data[name].dims == ("start", "step")
        assert_close(brief.data[name], expected[name].to_numpy(), eps=64, scale=1.0)
    assert float(brief.data.residual[0, 0]) == 0.0 and float(brief.data.residual[1, 0]) > 0.1


def seen(params, i):
    return params["theta"][i]


AT_RATE = {size: optax.sgd(float(size)) for size in (2, 3)}  # kept: optimizers are matched by identity


def visits(n, batch_size, steps, key=0, starts=None, **options):
    """How often each example was seen: lossᵢ = θᵢ, so sgd at the rate of the batch size takes 1 off θᵢ each time."""
    objective = ls.Objective(seen, np.arange(n), params={"theta": jnp.zeros(n)}, **options)
    starts = {"theta": np.zeros(n, np.float32)} if starts is None else starts
    run = ls.descend(objective, AT_RATE[batch_size], starts, steps, batch_size=batch_size, key=jax.random.key(key))
    return -run.params["theta"]


@pytest.mark.parametrize(("n", "batch_size"), [(6, 2), (7, 3)])
def test_every_epoch_visits_every_example_once(n, batch_size):
    """Also where the batches do not divide the examples: after any number of steps no example is two visits ahead."""
    steps = 2 * n
    counts = visits(n, batch_size, steps)
    assert np.array_equal(counts.sum(axis=1), batch_size * np.arange(steps + 1))
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1 + (batch_size > 1) * (n % batch_size > 0)).all()
    whole = [step for step in range(steps + 1) if step * batch_size % n == 0]
    for step in whole:
        assert (counts[step] == step * batch_size // n).all()


def test_one_order_for_all_runs_drawn_by_the_key():
    """Starts and optimizers see the same batches; the same key the same again, another key others."""
    starts = {"theta": np.array([[0.0] * 6, [5.0] * 6], np.float32)}
    both = visits(6, 2, 12, starts=starts)
    assert np.array_equal(both[0], both[1] + 5)
    assert np.array_equal(both[0], visits(6, 2, 12))
    assert not np.array_equal(both[0], visits(6, 2, 12, key=1))
    order = [tuple(np.flatnonzero(np.diff(both[0], axis=0)[i])) for i in range(12)]
    assert order[:3] != order[3:6] and order[3:6] != order[6:9]


def test_a_sum_over_a_batch_stands_for_the_whole():
    """reduction="sum": the batch's gradient is scaled by n over its size: an epoch adds up to n/B full steps."""
    assert np.array_equal(visits(6, 2, 12, reduction="sum")[3], np.full(6, 6.0))


def test_what_is_recorded_beside_mini_batches_is_of_the_full_data():
    """Risk and gradient norm at the recorded point, not of the batch that came next."""
    x, y = problems.classification(0, 10, 1)
    objective = ls.neuron(x[:, 0], y)
    run = ls.descend(objective, SGD, START, 6, batch_size=4, key=jax.random.key(0))
    points = {name: jnp.asarray(run.params[name]) for name in "wb"}
    assert_close(run.data.risk, np.asarray(jax.jit(jax.vmap(objective.risk))(points), np.float64), eps=8)
    gradient = jax.jit(jax.vmap(objective.gradient))(points)
    norms = np.hypot(*(np.asarray(leaf, np.float64) for leaf in gradient.values()))
    assert_close(run.data.gradient_norm, norms, eps=8, scale=1.0)
    assert run.data.attrs["batch_size"] == 4


def test_a_batch_of_padding_alone_takes_no_step():
    """All its weights are 0: it says nothing, and must not end the run."""
    weights = np.array([1.0, 0.0, 0.0, 1.0], np.float32)
    objective = ls.neuron([1.0, 5.0, -5.0, 2.0], [1, 0, 1, 0], weights=weights)
    run = ls.descend(objective, SGD, START, 8, batch_size=1, key=jax.random.key(0))
    assert run.data.finite.all()
    assert (np.diff(run.params["w"]) != 0).sum() == 4  # two epochs, two examples each
    plain = ls.descend(ls.neuron([1.0, 2.0], [1, 0]), SGD, START, 8)
    assert_close(run.data.risk[0], plain.data.risk[0].to_numpy())


def test_a_run_that_becomes_non_finite_stops_and_is_marked():
    """θ⁴ from 10 explodes at this rate: from then on `finite` is False and the params stay; the others go on."""
    objective = ls.function(lambda p: p["u"] ** 4, {"u": 0.0})
    starts = {"u": np.array([0.1, 10.0, -0.2], np.float32)}
    run = ls.descend(objective, optax.sgd(0.1), starts, 12)
    finite = run.data.finite.to_numpy()
    assert finite[0].all() and finite[2].all() and finite[1, 0] and not finite[1, -1]
    first = int(np.argmin(finite[1]))
    assert not finite[1, first:].any()
    frozen = run.params["u"][1, first:]
    assert len({str(value) for value in frozen}) == 1
    assert not np.isfinite(run.data.objective[1, first:] + run.data.gradient_norm[1, first:]).any()
    alone = ls.descend(objective, optax.sgd(0.1), {"u": np.array([0.1, 0.1, -0.2], np.float32)}, 12)
    for i in (0, 2):
        assert np.array_equal(run.params["u"][i], alone.params["u"][i])


def test_a_start_outside_the_domain_is_marked_at_once():
    """log of a negative number: not finite at step 0, and the start is kept."""
    objective = ls.function(lambda p: jnp.log(p["u"]) + p["u"] ** 2, {"u": 1.0})
    run = ls.descend(objective, optax.sgd(0.01), {"u": np.array([-1.0, 1.0], np.float32)}, 3)
    assert run.data.finite.values.tolist() == [[False] * 4, [True] * 4]
    assert (run.params["u"][0] == -1.0).all() and np.isnan(run.data.risk[0]).all()


def test_params_keep_their_dtypes_and_shapes():
    """bfloat16 and float32 leaves, matrices and scalars; the norm is taken in float32."""
    params = {"w": jnp.ones((2, 3), jnp.bfloat16), "b": jnp.float32(1.0)}
    objective = ls.function(lambda p: jnp.sum(jnp.square(p["w"].astype(jnp.float32))) + p["b"] ** 2, params)
    run = ls.descend(objective, SGD, params, 2, penalties=ls.l2(0.0))
    assert (run.params["w"].dtype, run.params["w"].shape) == (jnp.bfloat16, (3, 2, 3))
    assert run.data.gradient_norm.dtype == np.float32
    assert_close(run.data.gradient_norm[0], np.asarray(2 * np.sqrt(7.0)))


def test_provenance():
    """Attributes are JSON and name the objective and the penalties."""
    run = ls.descend(PAIR, SGD, START, 1, penalties={"λ": ls.l2(0.1)}, record=PLANE)
    attributes = json.loads(json.dumps(run.data.attrs))
    assert (attributes["kind"], attributes["objective_id"], attributes["objective"]) == (
        "trajectory",
        PAIR.id,
        str(PAIR),
    )
    assert json.loads(attributes["penalties"]) == {"λ": "0.1·‖θ‖²"}
    assert attributes["batch_size"] == 2 and len(attributes["chart_id"]) == 16


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"optimizers": "adam"},
            TypeError,
            r"`optimizers` is a str; give an optax optimizer such as optax.adam\(0.1\)",
        ),
        ({"optimizers": {"a": 0.1}}, TypeError, r"`optimizers\['a'\]` is a float"),
        ({"optimizers": {}}, ValueError, "`optimizers` is an empty mapping"),
        ({"optimizers": {1: SGD}}, TypeError, r"`optimizers` has the label 1 \(int\); labels are strings"),
        (
            {"starts": {"w": 0.0}},
            ValueError,
            "(?s)`starts` must have the structure of the objective's params.*b: float32",
        ),
        ({"starts": {"w": [0.0, 1.0], "b": 0.0}}, ValueError, "`starts` must have the structure"),
        ({"starts": {"w": np.zeros(2), "b": np.zeros(3)}}, ValueError, "`starts` must have the shapes"),
        ({"starts": {"w": np.zeros((2, 2)), "b": np.zeros((2, 2))}}, ValueError, "`starts` must have the shapes"),
        (
            {"starts": {"w": np.zeros(2), "b": 0.0}},
            ValueError,
            "one more leading axis of the same length on every leaf",
        ),
        ({"starts": {"w": np.zeros(0), "b": np.zeros(0)}}, ValueError, "`starts` has a leading axis of length 0"),
        ({"starts": {"w": np.nan, "b": 0.0}}, ValueError, r"`starts 'w'` holds 1 of 1 values that are not finite"),
        ({"steps": 0}, ValueError, "`steps` is 0; it must be at least 1"),
        ({"steps": 1.5}, TypeError, r"`steps` is 1.5 \(float\); it must be a whole number"),
        ({"record_every": 0}, ValueError, "`record_every` is 0; it must be at least 1"),
        ({"batch_size": 3, "key": jax.random.key(0)}, ValueError, "`batch_size` is 3 but there are 2 examples"),
        ({"batch_size": 1}, TypeError, "`key` is needed beside `batch_size`"),
        ({"penalties": {}}, ValueError, "`penalties` is an empty mapping"),
        ({"penalties": {"a": 0.1}}, TypeError, r"`penalties\['a'\]` is a float"),
        ({"penalties": 0.1}, TypeError, "`penalties` is a float"),
        ({"record": "w"}, TypeError, "`record` is a str; give a Plane"),
        ({"memory": 1000}, ValueError, "`memory` is 1000; it must be at least 1048576 bytes"),
    ],
)
def test_bad_input(change, error, message):
    with pytest.raises(error, match=message):
        ls.descend(**({"objective": PAIR, "optimizers": SGD, "starts": START, "steps": 3} | change))


# What is frozen, and how much runs at a time.


@pytest.mark.parametrize("optimizer", [SGD, ls.proximal_gradient(0.5)], ids=["sgd", "proximal"])
def test_frozen_leaves_stay(optimizer):
    """Integers, booleans and keys: the same paths as where the losses close over them, whole params at every step."""
    objective = problems.masked()
    frozen = {name: objective.params[name] for name in ("on", "scale", "key")}
    moving = {name: objective.params[name] for name in ("w", "b")}
    penalties = {"none": ls.none(), "both": ls.elastic_net(0.01, 0.1)}
    closed = ls.Objective(
        lambda p, batch: problems.masked_losses({**p, **frozen}, batch), objective.data, params=moving
    )
    starts = {name: jnp.stack([leaf, 2 * leaf]) for name, leaf in moving.items()}
    copies = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), frozen)
    run = ls.descend(objective, optimizer, {**starts, **copies}, 6, penalties=penalties)
    expected = ls.descend(closed, optimizer, starts, 6, penalties=penalties)
    for name in ("risk", "objective", "gradient_norm"):
        assert_close(run.data[name], expected.data[name].to_numpy(), eps=64, scale=1.0)
    assert_close({name: run.params[name] for name in moving}, expected.params, eps=64, scale=1.0)
    lead = run.data.risk.shape
    assert run.params["on"].shape == (*lead, 3) and run.params["on"].dtype == bool and run.params["key"].shape == lead
    for step in (0, -1):
        whole = jax.tree.map(lambda leaf, step=step: leaf[1, 0, step], run.params)
        assert np.array_equal(whole["scale"], [1, 2, 3]) and whole["key"] == frozen["key"]
        assert_close(np.asarray(objective.risk(whole)), run.data.risk[1, 0, step].to_numpy(), eps=8)
    absent = ls.descend(objective, optimizer, {**starts, **dict.fromkeys(frozen)}, 6, penalties=penalties)
    assert absent.data.risk.equals(run.data.risk)


def test_optimizers_with_a_memory_of_their_own_see_what_moves():
    """lbfgs keeps trees, multiplies them and calls the objective in its line search."""
    objective = problems.masked()
    run = ls.descend(objective, optax.lbfgs(), objective.params, 3)
    assert run.data.finite.all() and run.data.risk[-1] < run.data.risk[0]
    assert run.params["on"].shape == (4, 3) and run.params["key"].shape == (4,)


def test_frozen_leaves_of_a_start_are_the_objectives():
    """Another mask, or another key, is another objective."""
    objective = problems.masked()
    other = {**objective.params, "on": jnp.array([True, True, True])}
    with pytest.raises(ValueError, match=r"`starts` leaf 'on' is not the objective's. It is frozen \(bool: only float"):
        ls.descend(objective, SGD, other, 1)
    with pytest.raises(ValueError, match="`starts` leaf 'key' is not the objective's"):
        ls.descend(objective, SGD, {**objective.params, "key": jax.random.key(8)}, 1)


def test_data_that_are_not_in_memory_are_refused():
    """Every step reads them all, or draws from all of them."""
    objective = ls.Objective(problems.network_losses, Batches([NETWORK.data]), params=NETWORK.params)
    with pytest.raises(ValueError, match=r"`objective` reads its data .*arrays in memory. .* ls.trajectory\("):
        ls.descend(objective, SGD, NETWORK.params, 1)


def test_prepared_params_are_descended_through():
    """The gradient of a loss that `prepare` changes with the params: here θ ↦ 2θ, so that R = ½(2θ − y)²."""
    double = lambda params, batches: jax.tree.map(lambda leaf: 2 * leaf, params)  # noqa: E731
    losses = lambda params, y: 0.5 * (params["u"] - y) ** 2  # noqa: E731
    objective = ls.Objective(losses, np.array([1.0, 3.0], np.float32), params={"u": 0.0}, prepare=double)
    run = ls.descend(objective, optax.sgd(0.25), {"u": 0.0}, 1)
    assert run.params["u"].tolist() == [0.0, 1.0] and run.data.gradient_norm.values.tolist() == [4.0, 0.0]
    assert run.data.risk.values.tolist() == [2.5, 0.5]


def test_runs_in_blocks_are_the_same(monkeypatch, compilations):
    """Blocks of penalties and starts, the last ones filled up: the same runs in the same places, by one program."""
    generator = np.random.default_rng(0)
    starts = {name: generator.normal(size=7).astype(np.float32) for name in "wb"}
    penalties = {label: ls.l2(0.01 * i) for i, label in enumerate("abc")}
    whole = ls.descend(PAIR, SGD, starts, 5, penalties=penalties, record_every=2)
    plan = _blocks.plan(PAIR, (3, 7), None)
    assert plan.block == (3, 7)
    two = {label: penalties[label] for label in "ab"}
    ls.descend(PAIR, SGD, {name: leaf[:3] for name, leaf in starts.items()}, 5, penalties=two, record_every=2)
    monkeypatch.setattr(_blocks, "plan", lambda *_: plan._replace(block=(2, 3)))
    with compilations() as tally:
        cut = ls.descend(PAIR, SGD, starts, 5, penalties=penalties, record_every=2)
    assert tally.count == 0
    assert jax.tree.all(jax.tree.map(np.array_equal, cut.params, whole.params))
    assert cut.data.equals(whole.data)


def test_blocks_keep_to_the_memory_they_are_given():
    """What XLA sets aside for as many runs as are traced at a time; at least one run."""
    x, y = problems.classification(0, 5000, 1)
    objective = ls.neuron(x[:, 0], y)
    penalties, starts = _blocks.plan(objective, (2, 100), 2**23).block
    assert penalties == 1 and 2 <= starts < 100
    assert _blocks.plan(objective, (2, 100), 2**20).block == (1, 1)
    assert _blocks.plan(objective, (2, 100), 2**31).block == (2, 100)
    program = _steps.Program(objective.traced_losses, "mean", SGD, None, objective.n, 1)
    coefficients = tuple({name: jnp.zeros(1) for name in "wb"} for _ in range(2))
    inputs = _steps.Inputs(objective.data, objective.params, jnp.float32(objective.n), coefficients, None)
    states = _steps.start(program, inputs, {name: jnp.zeros(starts) for name in "wb"})
    compiled = _steps.advance.lower(program, 2, True, inputs, states, None).compile()
    assert 0 < compiled.memory_analysis().temp_size_in_bytes <= 2**23
