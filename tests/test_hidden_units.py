"""Hidden units that start equal, opposite, dead or redundant; what optimizers make of equal ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(30, 2))
Y = np.sin(3 * X[:, :1]) * X[:, 1:]


def read(network, x=X):
    return ls.symmetry(network.apply, network.init(KEY), np.asarray(x, "float32"))


@pytest.fixture
def tanh():
    return ls.mlp((2, 4, 1))


def with_unit(params, source, target, sign=1.0):
    """Unit `target` made a copy of `source`, with its incoming and outgoing weights multiplied."""
    first, second = (dict(params[name]) for name in ("layer1", "layer2"))
    first["W"] = first["W"].at[:, target].set(sign * first["W"][:, source])
    first["b"] = first["b"].at[target].set(sign * first["b"][source])
    second["W"] = second["W"].at[target].set(sign * second["W"][source])
    return {"layer1": first, "layer2": second}


def test_units_are_counted_for_what_they_are(tanh):
    """Equal, opposite and dead units that were made so; the rank falls by one each."""
    params, x = tanh.init(KEY, "uniform"), X.astype("float32")
    found = ls.hidden_units(read(tanh), params, x).isel(layer=0)
    assert (found.equal, found.opposite, found.dead, found["rank"], found["size"]) == (0, 0, 0, 4, 4)
    equal = ls.hidden_units(read(tanh), with_unit(params, 0, 2), x).isel(layer=0)
    assert (equal.equal, equal.opposite, equal.dead, equal["rank"]) == (2, 0, 0, 3)
    opposite = ls.hidden_units(read(tanh), with_unit(params, 1, 3, -1.0), x).isel(layer=0)
    assert (opposite.equal, opposite.opposite, opposite["rank"]) == (0, 2, 3)
    silent = dict(params["layer1"], W=params["layer1"]["W"].at[:, 1].set(0.0))
    dead = ls.hidden_units(read(tanh), {**params, "layer1": silent}, x).isel(layer=0)
    assert (dead.dead, dead["rank"]) == (1, 4)  # a constant is a function too


def test_relu_units_that_are_never_on_are_dead():
    network = ls.mlp((2, 5, 1), activation="relu")
    params = network.init(KEY, "uniform")
    params["layer1"]["b"] = params["layer1"]["b"].at[:2].set(-100.0)
    found = ls.hidden_units(read(network), params, X.astype("float32")).isel(layer=0)
    on = (X.astype("float32") @ params["layer1"]["W"] + params["layer1"]["b"][None] > 0).any(axis=0)
    assert not on[:2].any() and (found.dead, found["rank"]) == (int((~on).sum()), int(on.sum()))


def test_the_spread_is_the_largest_distance(tanh):
    params = tanh.init(KEY, "uniform")
    units = np.concatenate([params["layer1"]["W"].T, params["layer1"]["b"][:, None], params["layer2"]["W"]], axis=1)
    largest = max(np.linalg.norm(u - v) for u in units for v in units)
    np.testing.assert_allclose(
        ls.hidden_units(read(tanh), params, X.astype("float32")).unit_spread, [largest], rtol=1e-6
    )


FULL_BATCH = {
    "sgd": optax.sgd(0.5),
    "momentum": optax.sgd(0.3, momentum=0.9),
    "nesterov": optax.sgd(0.3, momentum=0.9, nesterov=True),
    "adam": optax.adam(0.05),
    "adamw": optax.adamw(0.05),
    "rmsprop": optax.rmsprop(0.01),
    "adagrad": optax.adagrad(0.1),
    "lion": optax.lion(0.001),
    "adafactor": optax.adafactor(0.01),
    "lbfgs": optax.lbfgs(),
}


@pytest.mark.lenient("optax's bias correction raises a float to an integer power")
def test_equal_units_stay_equal_and_separate_from_a_perturbation(x64, tanh):
    """1000 full-batch steps: within 1e-6 where they start equal, whatever the optimizer; far apart after a nudge."""
    objective = tanh.objective(X, Y)
    equal = tanh.init(jax.random.key(2), "equal_units")
    nudged = jax.tree.map(lambda leaf: leaf, equal)
    nudged["layer1"]["W"] = nudged["layer1"]["W"].at[0, 0].add(1e-6)
    starts = jax.tree.map(lambda *leaves: jnp.stack(leaves), equal, nudged)
    runs = ls.descend(objective, FULL_BATCH, starts, steps=1000, record_every=1000)
    found = ls.hidden_units(ls.symmetry(tanh.apply, equal, X), runs, X)
    assert found.unit_spread.dims == ("optimizer", "start", "step", "layer")
    assert list(found.optimizer.values) == list(FULL_BATCH) and bool(found.finite.all())
    spread = found.unit_spread.isel(layer=0)
    assert float(spread.isel(start=0).max()) < 1e-6
    np.testing.assert_allclose(spread.isel(start=1, step=0), 1e-6, rtol=1e-3)
    separating = ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "lbfgs"]
    assert float(spread.isel(start=1, step=-1).sel(optimizer=separating).min()) > 1.0
    ends = runs.data.risk.isel(step=-1).sel(optimizer=separating)
    assert bool((ends.isel(start=1) < 0.8 * ends.isel(start=0)).all())


def test_equal_incoming_weights_are_not_enough(x64, tanh):
    """Units with the same incoming weights separate where their outgoing weights differ."""
    params = tanh.init(KEY, "equal_units")
    params["layer2"]["W"] = jnp.array([[0.5], [0.4], [0.3], [0.2]])
    runs = ls.descend(tanh.objective(X, Y), optax.sgd(0.1), params, steps=1000, record_every=1000)
    first = runs.params["layer1"]["W"]
    assert np.ptp(first[0], axis=-1).max() == 0.0 and np.ptp(first[1], axis=-1).max() > 1e-2


def test_a_second_look_compiles_nothing(tanh, compilations):
    symmetry, x = read(tanh), X.astype("float32")
    first, second = (tanh.init(jax.random.key(seed)) for seed in (0, 5))
    ls.hidden_units(symmetry, first, x)
    with compilations() as tally:
        ls.hidden_units(symmetry, second, x)
    assert tally.count == 0


def test_points_that_are_not_finite_are_flagged(tanh):
    params = tanh.init(KEY, "uniform")
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * jnp.nan]), params)
    found = ls.hidden_units(read(tanh), both, X.astype("float32"))
    assert found.finite.values.tolist() == [True, False] and found.unit_spread.dims == ("dim_0", "layer")
    assert np.isnan(found.unit_spread[1, 0]) and found["rank"].values.tolist() == [[4], [-1]]


def test_blocks_of_points_change_nothing(tanh, monkeypatch):
    starts = jax.vmap(tanh.init)(jax.random.split(KEY, 7))
    whole = ls.hidden_units(read(tanh), starts, X.astype("float32"))
    monkeypatch.setattr("landscape.networks.hidden_units.BLOCK", 1)
    assert whole.identical(ls.hidden_units(read(tanh), starts, X.astype("float32")))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda n, s: ls.hidden_units(n, n.init(KEY), X), "`symmetry` is a Network; give what ls.symmetry"),
        (lambda n, s: ls.hidden_units(s, {"w": 1.0}, X), "`params` must be like those whose symmetry was read"),
        (lambda n, s: ls.hidden_units(s, ls.mlp((2, 5, 1)).init(KEY), X), "`params` must be like .*same leading axes"),
        (lambda n, s: ls.hidden_units(s, n.init(KEY), X, tolerance=-1.0), "`tolerance` is -1"),
        (
            lambda n, s: ls.hidden_units(
                ls.symmetry(ls.mlp((2, 1)).apply, ls.mlp((2, 1)).init(KEY), X), n.init(KEY), X
            ),
            "`symmetry` has no hidden layers",
        ),
    ],
)
def test_bad_input_is_refused(tanh, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(tanh, read(tanh))
