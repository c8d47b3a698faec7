"""Random directions: filter by filter as long as the params and orthogonal; vectors, axes, keys, layouts, bad input."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

import landscape as ls
from tests.closeness import assert_close

KEY = jax.random.key(7)
CONV = {  # a flax layout, (…, in, out), with filters of very unequal norms
    "conv": {"kernel": jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 2, 5)) * [1e-3, 1, 10, 1e4, 0.1])},
    "norm": {"scale": jnp.ones(5), "bias": jnp.zeros(5)},
    "dense": {
        "kernel": jnp.asarray(np.random.default_rng(1).normal(size=(5, 4)) * [1, 2, 3, 100.0]),
        "bias": jnp.arange(4.0),
    },
}


def filters(leaf, axis: int) -> np.ndarray:
    """The filters as rows, float64: (number of filters, entries)."""
    array = np.moveaxis(np.asarray(leaf, np.float64), axis, 0)
    return array.reshape(array.shape[0], -1)


def check_filters(directions, params, axis: int) -> None:
    """In every filter: the norm of params' and no angle but the right one, both to 1e-6."""
    rows = [filters(direction, axis) for direction in directions]
    norms = np.linalg.norm(filters(params, axis), axis=1)
    for i, u in enumerate(rows):
        np.testing.assert_allclose(np.linalg.norm(u, axis=1), norms, rtol=1e-6)
        for v in rows[:i]:
            assert np.all(np.abs(np.einsum("fe,fe->f", u, v)) <= 1e-6 * norms**2)


def flat(tree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize("n", [2, 3])
def test_filters_of_the_flax_layout(n):
    """The last axis of dense and convolution kernels; biases and norm layers stay at zero."""
    directions = ls.random_directions(KEY, CONV, n)
    assert len(directions) == n
    for layer in ("conv", "dense"):
        check_filters([d[layer]["kernel"] for d in directions], CONV[layer]["kernel"], -1)
    for d in directions:
        assert jax.tree.structure(d) == jax.tree.structure(CONV)
        assert not flat(d["norm"]).any() and not d["dense"]["bias"].any()
    assert all(
        abs(flat(u) @ flat(v)) < 1e-6 * (flat(u) @ flat(u)) for u in directions for v in directions if u is not v
    )


def test_not_whole_tensors_are_scaled():
    """A filter of norm 1e-3 beside one of 1e4 stays 10⁷ times shorter: one factor for the tensor would level them."""
    direction, _ = ls.random_directions(KEY, CONV, 2)
    norms = np.linalg.norm(filters(direction["conv"]["kernel"], -1), axis=1)
    assert norms[3] / norms[0] > 1e6
    whole, _ = ls.random_directions(KEY, CONV, 2, normalize="layer")
    leveled = np.linalg.norm(filters(whole["conv"]["kernel"], -1), axis=1)
    assert leveled.max() / leveled.min() < 10


@pytest.mark.parametrize("zero_vectors", [True, False])
def test_layers_and_the_whole(zero_vectors):
    """One filter a leaf, or one in all: of what moves."""
    kept = CONV if not zero_vectors else {"c": CONV["conv"], "d": {"kernel": CONV["dense"]["kernel"]}}
    u, v = ls.random_directions(KEY, CONV, 2, normalize="layer", zero_vectors=zero_vectors)
    for du, dv, leaf in zip(jax.tree.leaves(u), jax.tree.leaves(v), jax.tree.leaves(CONV), strict=True):
        if leaf.ndim > 1 or not zero_vectors:
            check_filters([flat(du)[None], flat(dv)[None]], flat(leaf)[None], 0)
    u, v = ls.random_directions(KEY, CONV, 2, normalize="global", zero_vectors=zero_vectors)
    check_filters([flat(u)[None], flat(v)[None]], flat(kept)[None], 0)
    assert flat(u["norm"]).any() != zero_vectors


def test_vectors_can_be_kept():
    """Each is then a filter of its own; one that is zero in the params stays so."""
    u, v = ls.random_directions(KEY, CONV, 2, zero_vectors=False)
    check_filters([u["dense"]["bias"][None], v["dense"]["bias"][None]], CONV["dense"]["bias"][None], 0)
    check_filters([u["norm"]["scale"][None], v["norm"]["scale"][None]], CONV["norm"]["scale"][None], 0)
    assert not u["norm"]["bias"].any()


def test_equinox_kernels_are_out_in():
    """Axis 0 for all of them: (out, in), (out, in, h, w); a Conv's bias is (out, 1, 1) and a vector all the same."""
    keys = jax.random.split(KEY, 3)
    model = {"conv": eqx.nn.Conv2d(2, 4, 3, key=keys[0]), "dense": eqx.nn.Linear(6, 1, key=keys[1])}
    params, _ = eqx.partition(model, eqx.is_inexact_array)
    u, v = ls.random_directions(KEY, params, 2, filter_axis=0)
    assert u["conv"].weight.shape == (4, 2, 3, 3) and u["conv"].bias.shape == (4, 1, 1)
    check_filters([u["conv"].weight, v["conv"].weight], params["conv"].weight, 0)
    check_filters([u["dense"].weight, v["dense"].weight], params["dense"].weight, 0)
    assert not u["conv"].bias.any() and not u["dense"].bias.any()
    # With the last axis other slices have the norms, so that it is not taken unless one says so.
    (wrong,) = ls.random_directions(KEY, params, 1, filter_axis=-1)
    check_filters([wrong["dense"].weight], params["dense"].weight, -1)
    with pytest.raises(AssertionError):
        check_filters([wrong["conv"].weight], params["conv"].weight, 0)
    plane = ls.Plane(params, (u, v))
    assert plane.point([0.0, 0.0])["conv"].weight.tolist() == params["conv"].weight.tolist()


class Doubled(eqx.Module):
    """A user's own module, its kernel beside other things."""

    inner: jax.Array
    scale: jax.Array


@pytest.mark.parametrize(
    "params",
    [
        eqx.filter(eqx.nn.MLP(3, 2, 4, 1, key=KEY), eqx.is_inexact_array),
        {"a": (None, jnp.ones(3)), "net": [jnp.arange(3), Doubled(jnp.ones((2, 3)), jnp.ones(()))]},
    ],
    ids=["MLP", "nested"],
)
def test_kernels_of_equinox_have_no_default_axis(params):
    """A forgotten one would scale by the inputs, silently."""
    leaf = r"'(layers/0/weight|net/1/inner)' \((4|2), 3\)"
    with pytest.raises(
        ValueError, match=rf"`filter_axis` is not given, and leaf {leaf} is in .*: pass filter_axis=0, or"
    ):
        ls.random_directions(KEY, params, 1)
    for axes in (0, -1, {"*": 0}):
        ls.random_directions(KEY, params, 1, filter_axis=axes)
    ls.random_directions(KEY, params, 1, normalize="layer")


def test_what_is_no_kernel_of_equinox_has_the_default_axis():
    """Vectors of its modules, and matrices beside them."""
    params = {"kernel": jnp.asarray([[3.0, 0.5], [4.0, 0.0]]), "net": Doubled(jnp.ones(3), jnp.ones(()))}
    for zero_vectors in (True, False):
        given, default = (
            ls.random_directions(KEY, params, 1, zero_vectors=zero_vectors, **axis)
            for axis in ({"filter_axis": -1}, {})
        )
        assert all(map(np.array_equal, jax.tree.leaves(given), jax.tree.leaves(default)))


def test_an_output_kernel_of_one_unit_is_no_vector():
    """(in, 1): two axes; one filter along the last axis, `in` filters along the first."""
    params = {"out": {"kernel": jnp.asarray([[1.0], [2.0], [2.0]])}}
    u, v = ls.random_directions(KEY, params, 2)
    check_filters([u["out"]["kernel"], v["out"]["kernel"]], params["out"]["kernel"], -1)
    (row,) = ls.random_directions(KEY, params, 1, filter_axis=0)
    assert_close(jnp.abs(row["out"]["kernel"]), np.array([[1.0], [2.0], [2.0]]))


def row(*leaves) -> np.ndarray:
    """Leaves that are one filter together: (1, entries)."""
    return flat(leaves)[None]


SMALL = {  # with zero_vectors=False
    "alone": jnp.asarray(-0.5),
    "pair": jnp.asarray([3.0, 4.0]),
    "bias": jnp.asarray([1.0, -2.0, 0.5, 7.0]),
    "narrow": jnp.asarray(np.random.default_rng(2).normal(size=(2, 50)), jnp.float32),
    "wide": jnp.asarray(np.random.default_rng(3).normal(size=(6, 5)) * [1, 10, 100, 0.1, 2], jnp.float32),
}


@pytest.mark.parametrize(
    ("n", "joined"), [(2, ("alone", "pair")), (3, ("alone", "pair")), (4, ("alone", "pair", "bias"))]
)
def test_filters_too_small_for_n_directions(n, joined):
    """Their leaf is one filter; leaves too small for that are one together, the next smallest being taken in."""
    directions = ls.random_directions(KEY, SMALL, n, zero_vectors=False)
    parts = {("narrow",): -1 if n == 2 else None, ("wide",): -1, joined: None}
    parts |= {} if "bias" in joined else {("bias",): None}
    for names, axis in parts.items():
        if axis is None:
            check_filters([row(*(d[name] for name in names)) for d in directions], row(*(SMALL[m] for m in names)), 0)
        else:
            check_filters([d[names[0]] for d in directions], SMALL[names[0]], axis)
    assert np.isfinite(np.stack([flat(d) for d in directions])).all()


@pytest.mark.parametrize(("sizes", "n"), [((1, 8, 1), 2), ((2, 8, 1), 3), ((1, 1, 1), 2), ((1, 2, 1), 4)])
def test_directions_in_narrow_networks_are_orthogonal(sizes, n):
    """One input, one hidden unit: each kernel is a filter then, or both are one."""
    draw = np.random.default_rng(4).normal
    params = {
        f"layer{i}": {"kernel": jnp.asarray(draw(size=shape), jnp.float32), "bias": jnp.ones(shape[1])}
        for i, shape in enumerate(itertools.pairwise(sizes))
    }
    kernels = [params[layer]["kernel"] for layer in params]
    for seed in range(10):
        directions = ls.random_directions(jax.random.key(seed), params, n)
        check_filters([row(d) for d in directions], row(kernels), 0)
        if min(leaf.size for leaf in kernels) >= n:
            for layer in params:
                check_filters([row(d[layer]["kernel"]) for d in directions], row(params[layer]["kernel"]), 0)


def test_two_numbers_have_a_plane():
    """A scalar neuron: with a filter of one entry each, two draws in three would be parallel."""
    neuron = {"w": jnp.asarray(3.0), "b": jnp.asarray(-2.0)}
    for seed in range(40):
        directions = ls.random_directions(jax.random.key(seed), neuron, 2, zero_vectors=False)
        check_filters([row(d) for d in directions], row(neuron), 0)
        assert ls.Plane(neuron, directions).names == ("alpha", "beta")


SHAPES = [(), (1,), (2,), (3,), (1, 2), (2, 1), (2, 3), (1, 3), (3, 1, 2)]


@given(
    shapes=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=5),
    n=st.integers(1, 4),
    seed=st.integers(0, 2**16),
    options=st.sampled_from([{}, {"filter_axis": 0}, {"normalize": "layer"}, {"normalize": "global"}]),
)
def test_directions_are_orthogonal_whatever_the_shapes(shapes, n, seed, options):
    """And as long as the params, which the filters divide; leaf by leaf, where the leaf has n entries."""
    draw = np.random.default_rng(seed).normal
    params = [jnp.asarray(draw(size=shape) * 10.0**i, jnp.float32) for i, shape in enumerate(shapes)]
    entries = [leaf.size for leaf in params]
    if n > sum(entries):
        with pytest.raises(ValueError, match=f"`n` is {n}, but only {sum(entries)} entries of `params` move"):
            ls.random_directions(jax.random.key(seed), params, n, zero_vectors=False, **options)
        return
    directions = ls.random_directions(jax.random.key(seed), params, n, zero_vectors=False, **options)
    check_filters([row(d) for d in directions], row(params), 0)
    if min(entries) >= n and options.get("normalize") != "global":
        for leaves in zip(params, *directions, strict=True):
            check_filters([row(leaf) for leaf in leaves[1:]], row(leaves[0]), 0)


def test_axes_by_pattern():
    """The first pattern that matches the path decides; several axes may count the filters."""
    draw = np.random.default_rng(3).normal
    params = {
        "embed": {"embedding": jnp.asarray(draw(size=(6, 4)))},
        "query": {"kernel": jnp.asarray(draw(size=(4, 2, 3)))},  # (in, heads, features)
        "dense": {"kernel": jnp.asarray(draw(size=(4, 3)))},
    }
    axes = {"*/embedding": 0, "query/*": (-2, -1), "*": -1, "dense/kernel": 0}
    u, v = ls.random_directions(KEY, params, 2, filter_axis=axes)
    check_filters([u["embed"]["embedding"], v["embed"]["embedding"]], params["embed"]["embedding"], 0)
    check_filters([u["dense"]["kernel"], v["dense"]["kernel"]], params["dense"]["kernel"], 1)
    heads = [leaf["query"]["kernel"].reshape(4, 6) for leaf in (u, v, params)]
    check_filters(heads[:2], heads[2], 1)


def test_models_of_flax():
    """linen: nested dictionaries. nnx: a state whose paths end in `value`, which is not part of the names."""
    x = jnp.ones((1, 8, 8, 1))
    linen = nn.Sequential([nn.Conv(3, (3, 3)), nn.BatchNorm(use_running_average=True), nn.Dense(2)]).init(KEY, x)
    (direction,) = ls.random_directions(KEY, linen["params"], 1)
    zero = {path[-1].key for path, leaf in jax.tree_util.tree_leaves_with_path(direction) if not leaf.any()}
    assert zero == {"bias", "scale"}

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.attention = nnx.MultiHeadAttention(num_heads=2, in_features=4, decode=False, rngs=rngs)
            self.norm = nnx.LayerNorm(4, rngs=rngs)

    _, params = nnx.split(Model(nnx.Rngs(0)))
    params = jax.tree.map(lambda leaf: leaf + 0.5, params)
    with pytest.raises(ValueError, match=r"no pattern for 'attention/key/kernel' \(4, 2, 2\), .* and 1 more"):
        ls.random_directions(KEY, params, 1, filter_axis={"*bias": 0})
    (direction,) = ls.random_directions(KEY, params, 1, filter_axis={"*/out/kernel": -1, "*/kernel": (-2, -1)})
    moved = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path(direction)
        if leaf.any()
    }
    assert moved == {f"attention/{name}/kernel/value" for name in ("key", "query", "value", "out")}  # no (2, 2) bias
    assert len(jax.tree.leaves(ls.Plane(params, (direction,), names=("c",)).point([1.0]))) == len(
        jax.tree.leaves(params)
    )


@pytest.mark.parametrize("normalize", ["filter", "layer", "global"])
def test_keys(normalize):
    """The same twice; others for another key; those of fewer directions come first."""

    def drawn(key, n=2):
        return [flat(d) for d in ls.random_directions(key, CONV["dense"], n, normalize=normalize)]

    first, again, other = drawn(KEY), drawn(KEY), drawn(jax.random.key(8))
    assert np.array_equal(first, again)
    assert all(abs(u @ v) < 0.9 * np.linalg.norm(u) * np.linalg.norm(v) for u in first for v in other)
    assert np.array_equal(drawn(KEY, 3)[:2], first)
    assert np.array_equal(drawn(jax.random.PRNGKey(7)), first)


def test_leaves_of_equal_shape_are_drawn_apart():
    params = {name: jnp.ones((3, 4)) for name in "ab"}
    (direction,) = ls.random_directions(KEY, params, 1)
    assert not np.allclose(direction["a"], direction["b"])


def test_dtypes_and_frozen_leaves():
    """Narrow leaves are measured and drawn in float32; what is frozen is None in the directions."""
    params = {
        "kernel": jnp.full((300, 2), 100.0, jnp.float16),  # ‖filter‖² overflows float16
        "step": jnp.asarray(3),
        "rng": jax.random.key(1),
        "mask": np.array([True]),
    }
    u, v = ls.random_directions(KEY, params, 2)
    assert u["kernel"].dtype == jnp.float32 and u["step"] is u["rng"] is u["mask"] is None
    check_filters([u["kernel"], v["kernel"]], params["kernel"], -1)
    point = ls.Plane(params, (u, v)).point([0.5, 0.0])
    assert point["kernel"].dtype == jnp.float16 and int(point["step"]) == 3


def test_float64(x64):
    params = {"kernel": jnp.asarray(np.random.default_rng(4).normal(size=(7, 3)))}
    u, v = (d["kernel"] for d in ls.random_directions(KEY, params, 2))
    assert u.dtype == jnp.float64
    assert_close(jnp.linalg.norm(u, axis=0), np.linalg.norm(params["kernel"], axis=0), eps=8)
    assert np.abs(np.sum(u * v, axis=0)).max() < 1e-14


def test_tiny_filters_keep_their_norm():
    """1e-30 squared is no float32."""
    params = {"kernel": jnp.asarray([[3e-30, 1.0], [4e-30, 0.0]], jnp.float32)}
    (u,) = ls.random_directions(KEY, params, 1)
    assert_close(np.linalg.norm(np.asarray(u["kernel"], np.float64), axis=0).astype("f4"), np.array([5e-30, 1.0]))


def test_a_large_filter_is_measured_to_a_millionth():
    params = {"kernel": jnp.asarray(np.random.default_rng(5).normal(size=(300_000, 2)) + 1, jnp.float32)}
    check_filters([d["kernel"] for d in ls.random_directions(KEY, params, 2)], params["kernel"], -1)


def test_inside_jit():
    """Traced params are not looked at; the numbers are the same."""
    traced = jax.jit(lambda params: ls.random_directions(KEY, params, 2))(CONV["dense"])
    for u, v in zip(traced, ls.random_directions(KEY, CONV["dense"], 2), strict=True):
        np.testing.assert_allclose(u["kernel"], v["kernel"], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"key": 0}, TypeError, r"`key` is an int \(0\), not one random key; pass jax.random.key\(0\)"),
        ({"n": 0}, ValueError, "`n` is 0; it must be at least 1"),
        ({"n": 21}, ValueError, "`n` is 21, but only 20 entries of `params` move; ask for at most 20"),
        (
            {"normalize": "filters"},
            ValueError,
            "`normalize` is 'filters'; it must be one of 'filter', 'layer', 'global'",
        ),
        (
            {"filter_axis": 2},
            ValueError,
            r"`filter_axis` is 2, but leaf 'kernel' has shape \(5, 4\); give one of its axes, -2 to 1",
        ),
        ({"filter_axis": {"*": -3}}, ValueError, r"`filter_axis` is -3, but leaf 'kernel' has shape \(5, 4\)"),
        ({"filter_axis": "last"}, TypeError, "`filter_axis` is 'last' for leaf 'kernel'; give an axis, such as -1"),
        ({"filter_axis": True}, TypeError, "`filter_axis` is True for leaf 'kernel'"),
        ({"filter_axis": {}}, ValueError, "`filter_axis` is an empty mapping"),
        (
            {"filter_axis": {"conv*": 0, "*bias": 0}},
            ValueError,
            r"no pattern for 'kernel' \(5, 4\); its patterns are 'conv\*', '\*bias'.* \{'kernel': -1\}, or '\*' for",
        ),
        (
            {"params": {"w": jnp.ones(3), "b": 0.0}},
            ValueError,
            r"only biases, norm layers and other vectors \('b' \(\), 'w' \(3,\)\), .* Pass zero_vectors=False",
        ),
        (
            {"params": {"kernel": jnp.zeros((2, 2)), "bias": jnp.ones(2)}},
            ValueError,
            r"`params` has norm 0 in every filter that moves, .* give trained or initialized params",
        ),
        (
            {"params": {"kernel": jnp.zeros((2, 2))}, "normalize": "global"},
            ValueError,
            "`params` has norm 0 in every filter that moves",
        ),
        (
            {"params": {"u": jnp.ones((2, 2)), "v": jnp.full((2, 2), np.inf)}, "normalize": "global"},
            ValueError,
            "`params` leaf 'v' holds values that are not",
        ),
        (
            {"params": {"kernel": jnp.full((2, 2), np.nan)}},
            ValueError,
            "`params` leaf 'kernel' holds values that are not",
        ),
        ({"params": {"kernel": 3}}, TypeError, "`params` leaf 'kernel' is 3, a Python int; .* write 0.0 instead of 0"),
        ({"params": {"f": jnp.tanh}}, TypeError, "`params` leaf 'f' is .*: split a model with equinox.partition"),
        ({"params": {"step": jnp.asarray(1)}}, TypeError, "`params` has no floating-point leaf, so nothing moves"),
        ({"params": jnp.ones((2, 2), complex)}, TypeError, "`params` is complex64; split it into a real and an imagin"),
    ],
)
def test_directions_refuse(change, error, message):
    with pytest.raises(error, match=message):
        ls.random_directions(**({"key": KEY, "params": CONV["dense"], "n": 2} | change))


def test_the_cure_cures():
    """What the message for a neuron says to do."""
    neuron = {"w": jnp.asarray([3.0, 4.0]), "b": jnp.asarray([2.0, 1.0])}
    with pytest.raises(ValueError, match="Pass zero_vectors=False"):
        ls.random_directions(KEY, neuron, 2)
    u, v = ls.random_directions(KEY, neuron, 2, zero_vectors=False)
    for name, leaf in neuron.items():
        check_filters([u[name][None], v[name][None]], leaf[None], 0)


@pytest.mark.parametrize("axes", [0, -1, {"*": 0}, {"*kernal": 0}, (-1,)])
@pytest.mark.parametrize("normalize", ["layer", "global"])
def test_axes_that_are_not_used_are_refused(normalize, axes):
    """Right ones, which would be ignored, and wrong ones."""
    with pytest.raises(ValueError, match=f'`filter_axis` is .*, but normalize="{normalize}" has no filters inside a'):
        ls.random_directions(KEY, CONV, 2, normalize=normalize, filter_axis=axes)


def test_patterns_that_match_nothing_are_reported():
    """A slip gives the leaf the axis of a later pattern. One for what stays, or behind another, is none."""
    with pytest.warns(UserWarning, match=r"`filter_axis` has '\*kernal', which matches no leaf of `params` \(bias, ke"):
        ls.random_directions(KEY, CONV["dense"], 2, filter_axis={"*kernal": 0, "*": -1})
    ls.random_directions(KEY, CONV["dense"], 2, filter_axis={"*bias": 0, "*": -1, "kernel": 0})


SHARDED = """
import json
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 4)
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
import landscape as ls

mesh = Mesh(np.array(jax.devices()).reshape(4), ("model",))
draw = np.random.default_rng(0).normal
plain = {"first": draw(size=(6, 8)).astype("f4"), "last": draw(size=(8, 2)).astype("f4"), "bias": np.ones(8, "f4")}
specs = {"first": P(None, "model"), "last": P("model"), "bias": P("model")}
params = {k: jax.device_put(v, NamedSharding(mesh, specs[k])) for k, v in plain.items()}
found = {}
for normalize in ("filter", "layer", "global"):
    for zero_vectors in (True, False):
        options = dict(normalize=normalize, zero_vectors=zero_vectors)
        here = ls.random_directions(jax.random.key(0), params, 3, **options)
        there = ls.random_directions(jax.random.key(0), plain, 3, **options)
        found[str(options)] = {
            "alike": [d[k].sharding.is_equivalent_to(params[k].sharding, d[k].ndim) for d in here for k in d],
            "apart": max(float(np.abs(h[k] - t[k]).max()) for h, t in zip(here, there) for k in h),
        }
print(json.dumps({"devices": len(jax.devices()), "found": found}))
"""


def test_directions_are_sharded_like_the_params():
    """Leaves spread over four devices, in a process of its own: zeros and draws lie where they do; equal numbers."""
    threads = {
        "JAX_PLATFORMS": "cpu",
        "NPROC": "128",
    }  # XLA's: of 32 programs in flight, four each; with fewer they wait for each other
    run = subprocess.run(
        [sys.executable, "-c", SHARDED],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env=os.environ | threads,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout.splitlines()[-1])
    assert answer["devices"] == 4
    for options, found in answer["found"].items():
        assert found["alike"] == [True] * 9, options
        assert found["apart"] < 1e-5, options


def test_random_directions_make_a_plane_through_evaluate():
    """|cos| of a peer's "orthogonal" directions is about 1; a plane of such is refused, one of these is not."""
    params = CONV["dense"]
    u, _ = ls.random_directions(KEY, params, 2)
    near = jax.tree.map(lambda leaf: leaf * 1.5, u)
    with pytest.raises(ValueError, match=r"are parallel, \|cos\| = 1.0"):
        ls.Plane(params, (u, near))
    objective = ls.function(lambda p: jnp.sum(jnp.square(p["kernel"])), params)
    plane = ls.Plane(objective.params, ls.random_directions(KEY, params, 2))
    risk = ls.evaluate(objective, plane, {"alpha": [-1.0, 1.0], "beta": [-2.0, 2.0]}).risk.values
    square = float(jnp.sum(jnp.square(params["kernel"])))
    assert_close(risk.mean(), np.float64(6 * square), eps=16)  # ‖θ ± u ± 2v‖² = (1 + 1 + 4)‖θ‖² on average, …
    assert abs(risk[0, 0] + risk[1, 1] - risk[0, 1] - risk[1, 0]) < 1e-5 * square  # … and its mixed term is 8⟨u, v⟩
