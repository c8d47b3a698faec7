"""The symmetry group read from programs: known groups, invariance on orbits, canonical params, alignment, refusals."""

import dataclasses
import math

import equinox as eqx
import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import landscape as ls
from landscape.networks.symmetry._moves import still
from tests.closeness import assert_close

KEY, OTHER = jax.random.key(0), jax.random.key(1)


def inputs(*shape):
    return np.random.default_rng(7).normal(size=shape).astype("float32")


def shaken(params):
    """Params without zeros, equal entries and negative variances: in general position."""
    return jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.uniform(jax.random.key(leaf.size), leaf.shape), params)


def perceptron(activation):
    def made():
        network = ls.mlp((3, 4, 5, 2), activation=activation)
        return network.apply, network.init(KEY, "uniform"), inputs(6, 3)

    return made


def by_hand(f):
    """x·A, f, ·B without biases."""

    def made():
        params = {"A": jax.random.normal(KEY, (3, 4)), "B": jax.random.normal(OTHER, (4, 2))}
        return lambda p, x: f(x @ p["A"]) @ p["B"], params, inputs(6, 3)

    return made


def weight_norm():
    params = {"V": jax.random.normal(KEY, (3, 4)), "g": jnp.arange(1.0, 5.0), "B": jax.random.normal(OTHER, (4, 2))}

    def apply(p, x):
        return jax.nn.relu(x @ (p["V"] / jnp.linalg.norm(p["V"], axis=0, keepdims=True) * p["g"][None])) @ p["B"]

    return apply, params, inputs(6, 3)


def normalized(f):
    """x·A, batch norm with gain and offset, f, ·B."""

    def made():
        params = {"A": jax.random.normal(KEY, (3, 4)), "B": jax.random.normal(OTHER, (4, 2))}

        def apply(p, x):
            z = x @ p["A"]
            z = (z - z.mean(axis=0, keepdims=True)) / jnp.sqrt(z.var(axis=0, keepdims=True) + 1e-5)
            return f(z * p["gain"][None] + p["offset"][None]) @ p["B"]

        return apply, params | {"gain": jnp.arange(1.0, 5.0), "offset": jnp.arange(0.5, 4.5)}, inputs(6, 3)

    return made


def bilinear():
    params = {"A": jax.random.normal(KEY, (3, 4)), "C": jax.random.normal(OTHER, (3, 4)), "B": jnp.ones((4, 1))}
    return lambda p, x: ((x @ p["A"]) * (x @ p["C"])) @ p["B"], params, inputs(6, 3)


def recurrent():
    """Three steps, from a state of 0."""
    params = {"A": jax.random.normal(KEY, (3, 4)), "C": jax.random.normal(OTHER, (4, 4)), "B": jnp.ones((4, 1))}

    def apply(p, x):
        state = jnp.zeros((len(x), 4))
        for t in range(3):
            state = jnp.tanh(x[:, t] @ p["A"] + state @ p["C"])
        return state @ p["B"]

    return apply, params, inputs(6, 3, 3)


def embedding():
    params = {"E": jax.random.normal(KEY, (7, 4)), "B": jax.random.normal(OTHER, (4, 2))}
    return lambda p, tokens: jnp.tanh(p["E"][tokens]) @ p["B"], params, np.array([1, 3, 3, 6])


def equinox():
    params, static = eqx.partition(eqx.nn.MLP(3, 2, 5, 2, key=KEY), eqx.is_inexact_array)
    return lambda p, x: jax.vmap(eqx.combine(p, static))(x), params, inputs(6, 3)


class Images(nn.Module):
    """Conv, batch norm, relu, pool; conv, leaky relu, pool; flattened, dense, layer norm, gelu; dense, softmax."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(4, (3, 3))(x)))
        x = nn.leaky_relu(nn.Conv(5, (3, 3))(nn.max_pool(x, (2, 2), (2, 2))))
        x = nn.avg_pool(x, (2, 2), (2, 2)).reshape(x.shape[0], -1)
        x = nn.gelu(nn.LayerNorm()(nn.Dense(6)(x)))
        return nn.softmax(nn.Dense(3)(x))


class Residual(nn.Module):
    """A stream of 4 units that two blocks of 3 and 5 add to."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4)(x)
        for width in (3, 5):
            x = x + nn.Dense(4)(nn.tanh(nn.Dense(width)(x)))
        return nn.Dense(2)(nn.tanh(x))


class Depthwise(nn.Module):
    """A convolution of each channel by itself between two dense ones over channels; mean over positions."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (1, 1))(x))
        x = nn.relu(nn.Conv(4, (3, 3), feature_group_count=4)(x))
        return nn.Dense(2)(x.mean((1, 2)))


def flax(module, *shape):
    def made():
        x = inputs(*shape)
        return module.apply, shaken(jax.jit(module.init)(KEY, x)), x

    return made


def committee():
    return lambda p, x: jnp.tanh(x @ p).sum(axis=1), jax.random.normal(KEY, (3, 4)), inputs(6, 3)


# name: (apply, params, x), and of each layer (units, ways to flip a unit, positive factors of it)
KNOWN = {
    "tanh": (perceptron("tanh"), [(4, 1, 0), (5, 1, 0)]),
    "relu": (perceptron("relu"), [(4, 0, 1), (5, 0, 1)]),
    "sigmoid": (perceptron("sigmoid"), [(4, 0, 0), (5, 0, 0)]),
    "softplus": (perceptron("softplus"), [(4, 0, 0), (5, 0, 0)]),
    "sin": (by_hand(jnp.sin), [(4, 1, 0)]),
    "cubed": (by_hand(lambda z: z**3), [(4, 1, 1)]),
    "squared": (by_hand(jnp.square), [(4, 1, 1)]),
    "abs": (by_hand(jnp.abs), [(4, 1, 1)]),
    "softsign, written out": (by_hand(lambda z: z / (1 + jnp.abs(z))), [(4, 1, 0)]),
    "hard tanh": (by_hand(lambda z: jnp.clip(z, -1, 1)), [(4, 0, 0)]),
    "elu": (by_hand(jax.nn.elu), [(4, 0, 0)]),
    "swish": (by_hand(jax.nn.swish), [(4, 0, 0)]),
    "leaky relu": (by_hand(jax.nn.leaky_relu), [(4, 0, 1)]),
    "normalized by its size": (by_hand(lambda z: z / jnp.sqrt(jnp.sum(z**2, axis=1, keepdims=True))), [(4, 1, 0)]),
    "rounded to integers": (by_hand(lambda z: jax.nn.relu(3 * z).astype("int32").astype(z.dtype)), [(4, 0, 0)]),
    "step": (by_hand(lambda z: jnp.where(z > 0, 1.0, 0.0)), [(4, 0, 1)]),
    "weight norm": (weight_norm, [(4, 1, 2)]),
    "normalized, tanh": (normalized(jnp.tanh), [(4, 2, 0)]),
    "normalized, relu": (normalized(jax.nn.relu), [(4, 1, 1)]),
    "bilinear": (bilinear, [(4, 2, 2)]),
    "recurrent": (recurrent, [(4, 1, 0)]),
    "embedding": (embedding, [(4, 1, 0)]),
    "constants that are all one": (by_hand(lambda z: jnp.tanh(z) + np.ones(4, "f")[None]), [(4, 0, 0)]),
    "equinox": (equinox, [(5, 0, 1), (5, 0, 1)]),
    "images": (flax(Images(), 2, 8, 8, 1), [(4, 1, 2), (5, 0, 1), (6, 0, 0)]),
    "residual": (flax(Residual(), 6, 3), [(4, 1, 0), (3, 1, 0), (5, 1, 0)]),
    "depthwise": (flax(Depthwise(), 2, 4, 4, 3), [(4, 0, 2)]),
    "committee": (committee, [(4, 0, 0)]),
    "softmax regression": (lambda: (lambda p, x: x @ p, jnp.ones((3, 2)), inputs(6, 3)), []),
}


@pytest.fixture(params=KNOWN)
def known(request):
    made, layers = KNOWN[request.param]
    apply, params, x = made()
    return apply, params, x, ls.symmetry(apply, params, x), layers


@pytest.mark.lenient("third-party modules promote ranks and weak types")
@pytest.mark.filterwarnings("ignore")
def test_known_groups_leave_the_function_as_it_is(known):
    """The group is as expected; random copies compute the same, have the same canonical params, and are found again."""
    with jax.numpy_rank_promotion("allow"):
        apply, params, x, found, layers = known
        assert [(layer.size, layer.signs, layer.scales) for layer in found.layers] == layers
        assert found.orbit_size == math.prod(math.factorial(m) * 2 ** (m * signs) for m, signs, _ in layers)
        assert found.rescalings == sum(m * scales for m, _, scales in layers)
        apply, expected = jax.jit(apply), np.asarray(apply(params, x))
        near = {"eps": 64, "scale": max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(params))}
        for seed in range(4):
            copy = found.random(jax.random.key(seed), params)
            assert_close(apply(copy, x), expected, eps=64, scale=float(np.abs(expected).max()))
            assert_close(found.canonical(copy), jax.tree.map(np.asarray, found.canonical(params)), **near)
        if layers:
            assert any((a != b).any() for a, b in zip(jax.tree.leaves(copy), jax.tree.leaves(params), strict=True))
        assert_close(ls.align(found, params, copy).params, jax.tree.map(np.asarray, params), **near)
        assert ls.same_up_to_symmetry(found, params, copy)


def test_the_risk_is_constant_on_all_copies(x64):
    """4!·2⁴ = 384 copies of a tanh network with 4 hidden units, all different."""
    network = ls.mlp((2, 4, 1))
    params = network.init(KEY, "uniform")
    x = np.random.default_rng(0).normal(size=(20, 2))
    objective = network.objective(x, np.sin(x[:, 0]))
    found = ls.symmetry(network.apply, params, x)
    copies = list(found.orbit(params))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *copies)
    risks = jax.vmap(objective.risk)(stacked)
    assert found.orbit_size == len(copies) == len({np.asarray(c["layer1"]["W"]).tobytes() for c in copies}) == 384
    assert_close(risks, np.full(384, float(objective.risk(params))))
    first = found.canonical(params)
    for copy in copies:
        assert all(
            (a == b).all() for a, b in zip(jax.tree.leaves(found.canonical(copy)), jax.tree.leaves(first), strict=True)
        )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_alignment_of_one_layer_is_the_nearest_of_all_copies(seed):
    """Against brute force over 384 copies of another network."""
    network = ls.mlp((2, 4, 1))
    a, b = (network.init(jax.random.key(k), "uniform") for k in (seed, seed + 10))
    found = ls.symmetry(network.apply, a, inputs(3, 2))

    def distance(copy):
        squares = jax.tree.map(lambda u, v: np.sum((np.asarray(u, float) - np.asarray(v, float)) ** 2), a, copy)
        return math.sqrt(sum(jax.tree.leaves(squares)))

    nearest = min(map(distance, found.orbit(b)))
    aligned = ls.align(found, a, b)
    np.testing.assert_allclose(aligned.distance, nearest, rtol=1e-6)
    np.testing.assert_allclose(distance(aligned.params), nearest, rtol=1e-6)
    np.testing.assert_allclose(aligned.distance_before, distance(b), rtol=1e-6)
    assert aligned.converged and aligned.distance < aligned.distance_before
    moved = found.transform(b, aligned.moves)
    assert all((u == v).all() for u, v in zip(jax.tree.leaves(moved), jax.tree.leaves(aligned.params), strict=True))


def test_alignment_never_leads_away():
    """Under relu too, where the balanced params that are matched may be nearer to each other than the params are."""
    network = ls.mlp((3, 6, 5, 2), activation="relu")
    a, x = network.init(KEY, "uniform"), inputs(6, 3)
    found = ls.symmetry(network.apply, a, x)
    for seed in range(10):
        near = jax.tree.map(lambda leaf, s=seed: leaf + 0.02 * jax.random.normal(jax.random.key(s), leaf.shape), a)
        for b in (network.init(jax.random.key(seed + 1), "uniform"), near):
            aligned = ls.align(found, a, b)
            assert aligned.distance <= aligned.distance_before * (1 + 1e-6)
            expected = np.asarray(network.apply(b, x))
            assert_close(network.apply(aligned.params, x), expected, eps=64, scale=float(np.abs(expected).max()))


def test_leaves_may_have_several_dtypes():
    network = ls.mlp((2, 3, 1))
    params = network.init(KEY, "uniform")
    params["layer2"] = jax.tree.map(lambda leaf: leaf.astype("bfloat16"), params["layer2"])

    def apply(p, x):
        return network.apply(jax.tree.map(lambda leaf: leaf.astype("float32"), p), x)

    found = ls.symmetry(apply, params, inputs(3, 2))
    for changed in (found.canonical(params), jax.jit(found.canonical)(params), found.random(OTHER, params)):
        assert jax.tree.map(lambda leaf: leaf.dtype, changed) == jax.tree.map(lambda leaf: leaf.dtype, params)


@pytest.mark.parametrize("by", ["weights", "activations"])
@pytest.mark.parametrize("width", [8, 64, 512])
def test_a_permuted_copy_is_recovered_exactly(width, by):
    """Bit for bit: permutations and signs round nothing."""
    network = ls.mlp((16, width, width, 3))
    params = network.init(KEY)
    x = inputs(200, 16)
    found = ls.symmetry(network.apply, params, x)
    copy = found.random(OTHER, params)
    aligned = ls.align(found, params, copy, data=x if by == "activations" else None)
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(aligned.params), jax.tree.leaves(params), strict=True))
    assert aligned.distance == 0.0 and aligned.distance_before > 1.0


@hypothesis.settings(max_examples=10)
@hypothesis.given(
    st.lists(st.integers(1, 6), min_size=3, max_size=5),
    st.sampled_from(["tanh", "relu", "sigmoid", "softplus"]),
    st.integers(0, 1000),
)
def test_any_perceptron_is_found_among_its_copies(sizes, activation, seed):
    """A copy has the same function and canonical params, and comes back; canonical params are their own."""
    with jax.enable_x64(True):
        network = ls.mlp(sizes, activation=activation)
        params = jax.jit(lambda key: network.init(key, "uniform"))(jax.random.key(seed))
        apply, x = jax.jit(network.apply), np.random.default_rng(seed).normal(size=(5, sizes[0]))
        found = ls.symmetry(network.apply, params, x)
        copy = found.random(jax.random.key(seed + 1), params)
        close = {"eps": 1e4, "scale": 10.0}  # factors of a relu unit multiply over layers
        assert_close(apply(copy, x), np.asarray(apply(params, x)), **close)
        canonical = found.canonical(params)
        for other in (found.canonical(copy), found.canonical(canonical)):
            assert_close(other, jax.tree.map(np.asarray, canonical), **close)
        assert_close(ls.align(found, params, copy).params, jax.tree.map(np.asarray, params), **close)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_canonical_params_can_be_compiled_and_mapped(activation):
    """In the params' own dtype, close to what float64 gives."""
    network = ls.mlp((2, 3, 3, 1), activation=activation)
    params = network.init(KEY, "uniform")
    found = ls.symmetry(network.apply, params, inputs(3, 2))
    copies = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *(found.random(jax.random.key(i), params) for i in range(5))
    )
    mapped = jax.jit(jax.vmap(found.canonical))(copies)
    expected = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (5, *leaf.shape)), found.canonical(params))
    assert_close(mapped, expected, eps=64, scale=1.0)


def test_balancing_makes_the_weights_least():
    """Σθ² of the canonical params is least over rescalings; what comes in is then as large as what goes out."""
    network = ls.mlp((3, 5, 2), activation="relu")
    params = network.init(KEY, "uniform")
    found = ls.symmetry(network.apply, params, inputs(4, 3))
    squares = [
        sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(p))
        for p in (found.canonical(params), *(found.random(jax.random.key(i), params) for i in range(20)), params)
    ]
    assert squares[0] <= min(squares[1:])
    first, second = (found.canonical(params)[layer] for layer in ("layer1", "layer2"))
    into = jnp.sum(first["W"] ** 2, axis=0) + first["b"] ** 2
    assert_close(jnp.sum(second["W"] ** 2, axis=1), np.asarray(into), eps=16)


@pytest.mark.parametrize("dead", ["incoming", "outgoing", "both"])
def test_dead_units_have_a_canonical_size_too(dead):
    """relu units of which one side is 0: the other side may have any size, and is given one."""
    network = ls.mlp((3, 4, 2), activation="relu")
    params = network.init(KEY, "uniform")
    if dead != "outgoing":
        params["layer1"] = {"W": params["layer1"]["W"].at[:, 1].set(0.0), "b": params["layer1"]["b"].at[1].set(0.0)}
    if dead != "incoming":
        params["layer2"]["W"] = params["layer2"]["W"].at[1].set(0.0)
    found = ls.symmetry(network.apply, params, inputs(4, 3))
    canonical = found.canonical(params)
    near = {"eps": 16, "scale": 1.0}
    assert_close(found.canonical(found.random(OTHER, params)), jax.tree.map(np.asarray, canonical), **near)
    assert_close(network.apply(canonical, inputs(4, 3)), np.asarray(network.apply(params, inputs(4, 3))), **near)


def test_small_units_are_balanced_in_float32_too():
    """Squares of 1e-25 are 0 there."""
    network = ls.mlp((3, 4, 2), activation="relu")
    params = jax.tree.map(lambda leaf: leaf * 1e-25, network.init(KEY, "uniform"))
    params["layer2"] = jax.tree.map(lambda leaf: leaf * 1e25, params["layer2"])
    found = ls.symmetry(network.apply, params, inputs(4, 3))
    assert_close(
        jax.jit(found.canonical)(params), jax.tree.map(np.asarray, found.canonical(params)), eps=64, scale=1e-13
    )


@pytest.mark.parametrize(
    "apply, told",
    [
        (lambda p, x: (jnp.tanh(x @ p["A"]) * jnp.arange(4.0)[None]) @ p["B"], ("A axis 1", "B axis 0")),
        (
            lambda p, x: jnp.tanh(jnp.tanh(x @ p["A"]) @ (p["C"] + jnp.eye(4))) @ p["B"],
            ("A axis 1", "B axis 0", "C axis 0", "C axis 1"),
        ),
    ],
)
def test_units_that_constants_tell_apart_are_named(apply, told):
    params = {"A": jnp.ones((3, 4)), "B": jnp.ones((4, 2)), "C": jnp.ones((4, 4))}
    params = {name: params[name] for name in params if any(where.startswith(name) for where in told)}
    found = ls.symmetry(apply, params, inputs(6, 3))
    assert not found.layers and set(found.told_apart) == set(told)
    assert "units told apart by constants: A axis 1" in str(found)


def test_params_may_be_one_array():
    found = ls.symmetry(lambda p, x: jnp.tanh(x @ p).sum(axis=1), jnp.ones((3, 4)), inputs(6, 3))
    assert str(found) == "params: 4 units, permutations (params axis 1)\n24 equivalent params"


def test_activations_are_those_of_the_forward_pass():
    network = ls.mlp((3, 4, 5, 2))
    params, x = network.init(KEY, "uniform"), inputs(6, 3)
    seen = ls.symmetry(network.apply, params, x[:2]).activations(params, x[:2])
    expected = network.forward(params, jnp.asarray(x[:2])).a
    assert list(seen) == ["layer1", "layer2"]
    for activations, a in zip(seen.values(), expected, strict=False):
        assert_close(activations, np.asarray(a))


def test_another_network_is_not_the_same():
    network = ls.mlp((3, 8, 2))
    a, b = (network.init(k) for k in (KEY, OTHER))
    found = ls.symmetry(network.apply, a, inputs(4, 3))
    assert not ls.same_up_to_symmetry(found, a, b)
    assert ls.same_up_to_symmetry(found, a, b, tolerance=10.0)


def test_it_prints_what_it_is():
    network = ls.mlp((3, 40, 2), activation="relu")
    found = ls.symmetry(network.apply, network.init(KEY), inputs(4, 3))
    assert str(found) == (
        "layer1: 40 units, permutations and positive factors (layer1/W axis 1, layer1/b axis 0, layer2/W axis 0)\n"
        "10^47.9 equivalent params, and 40 free factors"
    )


A, B, C = jnp.ones((3, 4)), jnp.ones((4, 2)), jnp.ones((4, 4))


def group_norm(p, x):
    """Two groups of two units, each normalized by itself."""
    groups = (x @ p["A"]).reshape(len(x), 2, 2)
    return jnp.tanh(groups / jnp.sum(groups**2, axis=2, keepdims=True)).reshape(len(x), 4) @ p["B"]


@pytest.mark.parametrize(
    "apply, params, message",
    [
        (lambda p, x: x @ p["A"] @ p["B"], {"A": A, "B": B}, "The units of 'A', 'B' are joined by no nonlinearity"),
        (lambda p, x: jnp.sort(jnp.tanh(x @ p["A"])) @ p["B"], {"A": A, "B": B}, "'A'.* not understood.* `sort`"),
        (lambda p, x: jnp.tanh(x @ p["A"])[:, ::-1] @ p["B"], {"A": A, "B": B}, "'A'.* not understood.* `rev`"),
        (
            lambda p, x: jnp.concatenate([jnp.tanh(x @ p["A"]), x], axis=1) @ p["C"],
            {"A": A, "C": jnp.ones((7, 2))},
            "'A'.* not understood.* `concatenate`. Supported are chains of dense",
        ),
        (
            lambda p, x: (
                jax.lax.scan(lambda h, _: (jnp.tanh(h @ p["C"]), None), x @ p["A"], None, length=3)[0] @ p["B"]
            ),
            {"A": A, "B": B, "C": C},
            "not understood.* `scan`",
        ),
        (
            group_norm,
            {"A": A, "B": B},
            "The symmetry of 'A' is not understood: its axis 1 counts units of two kinds",
        ),
        (lambda p, x: ((x @ p["A"]) * p["d"][None]) @ p["B"], {"A": A, "d": jnp.ones(4), "B": B}, "no nonlinearity"),
        (lambda p, x: (x @ p["A"]).sum(axis=1), {"A": A}, "The units of 'A' are joined by no nonlinearity"),
        (lambda p, x: jax.nn.glu(x @ p["A"]) @ p["C"], {"A": A, "C": jnp.ones((2, 2))}, "not understood.* `split`"),
        (
            lambda p, x: jax.vmap(lambda q: jnp.tanh(x @ q["A"]) @ q["B"])(p).mean(0),
            {"A": jnp.stack([A, A]), "B": jnp.stack([B, B])},
            "not understood.* `dot_general, over a batch of matrices`",
        ),
        (
            lambda p, x: jax.nn.softmax((x @ p["A"]) @ (x @ p["Q"]).T) @ x,
            {"A": A, "Q": A},
            "The units of 'A', 'Q' are joined by no nonlinearity",
        ),
    ],
)
def test_what_is_not_understood_is_refused_by_name(apply, params, message):
    with pytest.raises(ValueError, match=message):
        ls.symmetry(apply, params, inputs(6, 3))


MODULE = eqx.nn.MLP(3, 2, 4, 1, key=KEY)


def moved(symmetry, **changes):
    """The move that changes nothing, changed."""
    return dataclasses.replace(still(symmetry.layers[0]), **changes)


@pytest.fixture
def small():
    network = ls.mlp((3, 4, 2))
    params = network.init(KEY)
    return params, ls.symmetry(network.apply, params, inputs(6, 3))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda p, s: ls.symmetry(p, p, 0.0), "`apply` is a dict"),
        (lambda p, s: s.canonical({"layer1": p["layer1"]}), "`params` must be like those whose symmetry was read"),
        (lambda p, s: ls.align(s, p, ls.mlp((3, 5, 2)).init(KEY)), r"`b` must be like .*\n.*\[3, 4\].*\n.*\[3, 5\]"),
        (lambda p, s: ls.align(s, ls.mlp((3, 5, 2)).init(KEY), p), "`a` must be like"),
        (lambda p, s: ls.align("tanh", p, p), "`symmetry` is a str; give what ls.symmetry"),
        (
            lambda p, s: ls.align(s, p, jax.tree.map(lambda leaf: leaf * np.nan, p)),
            "`b leaf 'layer1/W'` holds 12 of 12",
        ),
        (lambda p, s: s.random(3, p), "`key` is an int"),
        (lambda p, s: ls.align(s, p, ls.align(s, p, p)), r"`b` is an Alignment; pass its params, b.params"),
        (lambda p, s: s.activations(p, inputs(3)), r"`x` must be inputs like those .*\n.*\[6, 3\]\n.*\[3\]"),
        (lambda p, s: ls.align(s, p, p, data=(inputs(6, 3), inputs(6, 2))), "`x` must be inputs .* without labels"),
        (
            lambda p, s: s.transform(p, {"layer1": moved(s, order=[0, 0, 1, 2])}),
            "`moves.* has the order .* permutation of 0…3",
        ),
        (
            lambda p, s: s.transform(p, {"layer1": moved(s, signs=np.ones(4))}),
            r"has signs of shape \(4,\); wanted \(4, 1\)",
        ),
        (lambda p, s: s.transform(p, {"layer1": moved(s, signs=3 * np.ones((4, 1)))}), "has signs that are not ±1"),
        (
            lambda p, s: ls.align(s, p, p, data=np.full((2, 3), np.nan)),
            "`data at a, activations of 'layer1'` holds 8 of 8",
        ),
        (
            lambda p, s: ls.symmetry(lambda m, x: jax.vmap(m)(x), MODULE, inputs(6, 3)),
            "`params` leaf 'activation' is a .*partition",
        ),
        (lambda p, s: s.transform(p, {"layer7": None}), "`moves` is 'layer7'; it must be one of 'layer1'"),
        (lambda p, s: s.transform(p, {"layer1": [1, 0]}), r"`moves\['layer1'\]` is a list; give a Move"),
        (lambda p, s: ls.same_up_to_symmetry(s, p, p, tolerance=0.0), "`tolerance` is 0"),
    ],
)
def test_bad_input_is_refused(small, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(*small)
