"""Many starts: populations by width, their quantiles, those that diverge; groups modulo symmetry; what is refused."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies

import landscape as ls

KEY = jax.random.key(0)
SGD = optax.sgd(0.3)
X = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
CLASSES = (X[:, 0] * X[:, 1] > 0).astype("int32")
TRAIN, TEST = (X[:40], CLASSES[:40]), (X[40:], CLASSES[40:])
XOR = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], "float32"), np.array([-1, 1, 1, -1], "float32")


def classifier(width):
    return ls.mlp((2, width, 2), output="softmax", loss="cross_entropy")


def regressor(width):
    return ls.mlp((2, width, 1))


def made(widths=(2, 3), optimizer=SGD, train=TRAIN, **options):
    options = {"key": KEY, "epochs": 5, "num_starts": 4, "batch_size": 10, "test": TEST} | options
    return ls.many_starts(options.pop("make", classifier), widths, optimizer, train, **options)


@cache
def population():
    return made()


@pytest.fixture
def found():
    return population()  # made inside a test: compiled for its settings


def test_numbers_are_those_of_the_ends(found):
    assert dict(found.data.sizes) == {"width": 2, "start": 4}
    assert found.data.num_params.values.tolist() == [12, 17] and found.data.attrs["batch_size"] == 10
    objective, params, row = found.objectives[3], found.params[3], found.data.sel(width=3)
    for name, (x, y) in (("", TRAIN), ("test_", TEST)):
        scores = np.asarray(jax.jit(jax.vmap(lambda p, x=x: objective.predict(p, jnp.asarray(x))))(params))
        own = scores[:, np.arange(len(y)), y].astype("float64")
        np.testing.assert_allclose(row[f"{name}risk"], -np.log(own).mean(axis=1), rtol=1e-5)
        np.testing.assert_allclose(row[f"{name}accuracy"], (scores.argmax(axis=2) == y[None]).mean(axis=1), rtol=1e-6)
    gradients = jax.tree.leaves(jax.jit(jax.vmap(jax.grad(objective.risk)))(params))
    squares = sum(np.sum(np.asarray(leaf, "float64") ** 2, axis=tuple(range(1, leaf.ndim))) for leaf in gradients)
    np.testing.assert_allclose(row.gradient_norm, np.sqrt(squares), rtol=1e-4)
    np.testing.assert_array_equal(row.objective, row.risk)


def test_starts_differ_and_the_same_key_gives_the_same_runs(found):
    """Every start is another one, at each width and between widths."""
    again, other = made(), made(key=jax.random.key(1))
    np.testing.assert_array_equal(again.data.risk, found.data.risk)
    assert (other.data.start_risk != found.data.start_risk).all()
    assert len(np.unique(found.data.start_risk)) == 8


def test_all_losses_that_are_zero_stay(x64):
    """A linear teacher is fitted by linear networks: every start ends at risk 0, and the band has no width."""
    train = np.linspace(-1, 1, 9)[:, None], np.linspace(-2, 2, 9)
    found = made(
        widths=(2,),
        make=lambda m: ls.mlp((1, m, 1), activation="identity"),
        optimizer=optax.sgd(0.1),
        train=train,
        test=None,
        batch_size=None,
        epochs=2000,
    )
    assert found.data.risk.dtype == np.float64 and "accuracy" not in found.data and "test_risk" not in found.data
    np.testing.assert_allclose(found.data.risk, 0, atol=1e-20)
    assert found.data.attrs["batch_size"] == 9


def test_a_start_that_diverges_is_marked_and_counts_as_the_worst():
    found = made(
        (2,), make=regressor, train=(20 * XOR[0], 1000 * XOR[1]), test=XOR, optimizer=optax.sgd(3e37), batch_size=None
    )
    assert not found.data.finite.any() and found.data.sizes["start"] == 4
    assert np.isnan(found.quantiles().risk).all()
    values = np.array([[1.0, 2.0, 3.0, 0.5]], "float32")
    finite = np.array([[True, True, True, False]])
    data = found.data.isel(width=[0]).assign(
        risk=(("width", "start"), values), accuracy=(("width", "start"), values), finite=(("width", "start"), finite)
    )
    quantiles = ls.ManyStarts(data, {}, {}).quantiles((0.25, 0.75, 1.0))
    assert quantiles.risk[:2, 0].values.tolist() == [1, 3] and np.isnan(quantiles.risk[2, 0])
    assert np.isnan(quantiles.accuracy[0, 0]) and quantiles.accuracy[1:, 0].values.tolist() == [2, 3]
    assert "not finite" in str(found) and str(found).splitlines()[2].split()[-1] == "4"


def test_quantiles_are_those_of_starts(found):
    quantiles = found.quantiles()
    np.testing.assert_array_equal(quantiles.risk.isel(quantile=0), found.data.risk.min("start"))
    np.testing.assert_array_equal(quantiles.risk.isel(quantile=-1), found.data.risk.max("start"))
    assert np.isin(quantiles.test_risk.values, found.data.test_risk.values).all()


def test_blocks_of_starts_and_a_store_change_nothing(found, tmp_path):
    blocks = made(memory=2**20)
    stored = made(store=tmp_path / "runs")
    again = made(store=tmp_path / "runs")
    for other in (blocks, stored, again):
        np.testing.assert_allclose(other.data.risk, found.data.risk, rtol=1e-5)
        np.testing.assert_allclose(other.data.test_risk, found.data.test_risk, rtol=1e-5)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["width_2.zarr", "width_3.zarr"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"widths": 4}, TypeError, r"`widths` is an int; give whole numbers, such as \(4, 8, 16\)"),
        ({"widths": []}, ValueError, r"`widths` is \[\]; give at least one width, and each once"),
        ({"widths": [2, 2]}, ValueError, r"`widths` is \[2, 2\]; give at least one width, and each once"),
        ({"widths": [2.5]}, TypeError, r"`widths\[0\]` is 2.5"),
        ({"make": 3}, TypeError, "`network_of_width` is an int; give a function of the width"),
        ({"make": lambda m: m}, TypeError, r"`network_of_width\(2\)` is an int; give a network"),
        ({"train": X}, TypeError, r"`train` is a ndarray; give inputs and targets, \(train_x, train_y\)"),
        ({"test": (X,)}, TypeError, r"`test` is 1 entries; give inputs and targets"),
        ({"epochs": 0}, ValueError, "`epochs` is 0; it must be at least 1"),
        ({"num_starts": 0}, ValueError, "`num_starts` is 0; it must be at least 1"),
        ({"batch_size": 41}, ValueError, "`batch_size` is 41 but there are 40 examples"),
        ({"key": 0}, TypeError, "`key` is an int"),
        ({"initializer": "zeros"}, ValueError, "`initializer` is 'zeros'; it must be one of"),
        ({"optimizer": "sgd"}, TypeError, "`optimizers` is a str; give an optax optimizer"),
    ],
)
def test_what_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        made(**options)


@pytest.mark.parametrize("shares", [(), (0.5, 1.5), 0.5])
def test_shares_that_are_none_are_refused(found, shares):
    with pytest.raises(ValueError, match=r"`shares` is .*; give numbers between 0 and 1"):
        found.quantiles(shares)


# ---- groups


def stacked(*params):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *params)


def network_and_params(width, seed=0, activation="tanh"):
    network = ls.mlp((2, width, 1), activation=activation)
    params = network.init(jax.random.key(seed), "uniform")
    return ls.symmetry(network.apply, params, [[0.0, 0.0]]), params


def test_all_copies_of_one_minimum_are_one_group():
    symmetry, params = network_and_params(3)
    copies = stacked(*symmetry.orbit(params))
    labels = ls.group_minima(symmetry, copies)
    assert len(labels) == 48 == symmetry.orbit_size and (labels == 0).all() and labels.dtype == np.int32


def test_rescaled_relu_networks_are_one_group():
    symmetry, params = network_and_params(4, activation="relu")
    copies = stacked(*(symmetry.random(jax.random.key(i), params) for i in range(5)))
    assert (ls.group_minima(symmetry, copies) == 0).all()


@settings(max_examples=10)
@given(seeds=strategies.lists(strategies.integers(0, 3), min_size=1, max_size=8), key=strategies.integers(0, 99))
def test_groups_are_the_networks_that_were_copied(seeds, key):
    """Whatever order and copies: equal labels where, and only where, the functions are equal."""
    symmetry, _ = network_and_params(3)
    networks = [network_and_params(3, seed)[1] for seed in range(4)]
    params = stacked(*(symmetry.random(jax.random.key(key + i), networks[seed]) for i, seed in enumerate(seeds)))
    labels, seeds = ls.group_minima(symmetry, params), np.array(seeds)
    np.testing.assert_array_equal(labels[:, None] == labels[None], seeds[:, None] == seeds[None])
    counts = np.bincount(labels)
    assert (np.diff(counts) <= 0).all() and len(counts) == len(np.unique(seeds))


def test_the_tolerance_decides():
    symmetry, params = network_and_params(3)
    near = jax.tree.map(lambda leaf: leaf * np.float32(1.01), params)  # 1 % of the norm away
    both = stacked(params, symmetry.random(jax.random.key(5), near))
    assert ls.group_minima(symmetry, both, tolerance=0.02).tolist() == [0, 0]
    assert ls.group_minima(symmetry, both, tolerance=0.005).tolist() == [0, 1]


def test_those_that_have_not_converged_are_in_no_group():
    symmetry, params = network_and_params(3)
    bad = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), params)
    three = stacked(bad, params, params)
    assert ls.group_minima(symmetry, three, converged=np.array([False, True, True])).tolist() == [-1, 0, 0]
    assert ls.group_minima(symmetry, three, converged=np.zeros(3, bool)).tolist() == [-1, -1, -1]
    with pytest.raises(ValueError, match=r"`params 'layer1/W'` holds 6 of 18 .* Leave those that diverged out"):
        ls.group_minima(symmetry, three)


@pytest.mark.lenient("Adam's bias correction is a power of a float by an integer")
def test_xor_with_two_hidden_units_has_few_minima():
    """50 starts, polished: each end is a copy of one of a few, and the exact fits are one minimum by the penalty."""
    network = regressor(2)
    objective = network.objective(*XOR, penalty=ls.l2(1e-3))
    starts = jax.jit(jax.vmap(network.init))(jax.random.split(KEY, 50))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 3000))
    run = ls.descend(objective, optimizer, starts, steps=3000, record_every=3000)
    last, ends = run.data.isel(step=-1), jax.tree.map(lambda leaf: leaf[:, -1], run.params)
    converged = (last.gradient_norm < 1e-4).values
    symmetry = ls.symmetry(network.apply, objective.params, XOR[0])
    labels = ls.group_minima(symmetry, ends, tolerance=0.01, converged=converged)
    assert converged.sum() > 40 and labels.max() + 1 <= 12 < converged.sum()
    for label in range(labels.max() + 1):  # J is that of the group
        values = last.objective.values[labels == label]
        np.testing.assert_allclose(values, values[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s, p: ls.group_minima(p, p), TypeError, "`symmetry` is a dict; give what ls.symmetry"),
        (
            lambda s, p: ls.group_minima(s, [p]),
            ValueError,
            "`params` must be stacked, with a leading axis of one length",
        ),
        (lambda s, p: ls.group_minima(s, stacked(p), tolerance=0.0), ValueError, "`tolerance` is 0.0"),
        (
            lambda s, p: ls.group_minima(s, stacked(p), converged=[1]),
            ValueError,
            r"`converged` is int64 of shape \(1,\)",
        ),
        (
            lambda s, p: ls.group_minima(s, stacked(p), converged=[True] * 2),
            ValueError,
            r"`converged` is bool of shape",
        ),
    ],
)
def test_groups_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call(*network_and_params(3))
