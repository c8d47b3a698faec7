"""Maps of the Hessian's extreme eigenvalues and of the chart's mean curvature; what a plane captures of the trace."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import landscape as ls
from landscape.operators._extremes import FEW, MOST
from landscape.surfaces.verify import verify
from tests.stored import TILES, chunks, complete, surface

X = np.array([-1.5, -0.5, 0.25, 1.0, 2.0])  # numbers that float32 holds exactly, as those on the axes
Y = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
AXES = {"w": np.array([-6.0, -2, -0.5, 0, 1, 4]), "b": np.array([-3.0, 0, 0.5, 5])}  # w = b = 0: there all z are 0
LOSSES = ("cross_entropy", "half_squared_error")
EXTREMES = ("hessian_min", "hessian_max")
GENERATOR = np.random.default_rng(0)
IMAGES, CLASSES = GENERATOR.normal(size=(12, 4)), GENERATOR.integers(0, 3, 12)
NETWORK = ls.mlp((4, 5, 3), output="softmax", loss="cross_entropy")
WINDOW = {"alpha": np.linspace(-2, 2, 4), "beta": np.linspace(-1, 1, 3)}


def neuron(dtype="float32", loss="cross_entropy", **options):
    objective = ls.neuron(X.astype(dtype), Y.astype(dtype), loss=loss, **options)
    return objective, ls.axes_plane(objective.params, "w", "b")


def known_hessian(loss, w, b, x=X[:, None], y=Y):
    """The neuron's Hessian by its params (w…, b), and what its entries are sums of: (…, d+1, d+1), in float64."""
    z = np.einsum("nd,d...->n...", x, w) + b
    output = 1 / (1 + np.exp(-z))
    slope = np.exp(-abs(z)) / (1 + np.exp(-abs(z))) ** 2
    off = output - y.reshape(-1, *[1] * (z.ndim - 1))
    terms = [slope] if loss == "cross_entropy" else [slope**2, off * slope * (1 - 2 * output)]
    extended = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    matrix = np.einsum("n...,ni,nj->...ij", sum(terms), extended, extended) / len(x)
    size = np.einsum("n...,ni->...", sum(map(abs, terms)), extended**2) / len(x)
    return matrix, (1 + abs(z).max(axis=0)) * size  # z is rounded too


def assert_within(got, wanted, size, count=8):
    """To so many eps of `size`."""
    assert (np.abs(got - wanted) <= count * np.finfo(np.asarray(got).dtype).eps * size).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_extremes_of_a_neuron_are_those_of_its_closed_form(dtype, loss):
    """On a whole grid, by both losses; with the mean curvature, which on a plane of all params is tr H/p."""
    objective, plane = neuron(dtype, loss)
    found = ls.evaluate(objective, plane, AXES, quantities=("hessian_ratio", "mean_curvature"))
    matrix, size = known_hessian(loss, found.w.values[:, None][None], found.b.values)
    values = np.linalg.eigvalsh(matrix)
    assert found.hessian_min.dtype == found.hessian_residual.dtype == dtype
    assert_within(found.hessian_min, values[..., 0], size)
    assert_within(found.hessian_max, values[..., 1], size)
    assert_within(found.mean_curvature, values.mean(axis=-1), size)
    assert (found.hessian_residual == 0).all() and (found.hessian_products == 2).all() and found.finite.all()
    assert np.array_equal(found.hessian_ratio, abs(found.hessian_min / found.hessian_max))
    if loss == "cross_entropy":
        assert_within(np.minimum(found.hessian_min, 0), 0, size)
    else:
        assert (found.hessian_min < 0).any() and (found.hessian_min > 0).any()


def test_a_penalty_moves_all_eigenvalues_or_those_of_its_leaves():
    """l2 by 2λ, exactly; weight_decay, which leaves the bias out, as the dense matrix says; l1 not at all."""
    objective, plane = neuron(loss="half_squared_error")
    uniform = {"none": ls.none(), "small": ls.l2(0.25), "large": ls.l2(1.5), "l1": ls.l1(0.5)}
    found = ls.evaluate(objective, plane, AXES, quantities=EXTREMES, penalties=uniform)
    plain = found.sel(penalty="none", drop=True)
    for label, shift in {"small": 0.5, "large": 3.0, "l1": 0.0}.items():
        for name in EXTREMES:
            assert np.array_equal(found[name].sel(penalty=label), plain[name] + np.float32(shift)), (label, name)
    alone = ls.evaluate(objective.with_penalty(ls.l2(0.25)), plane, AXES, quantities=EXTREMES)
    assert all(np.array_equal(alone[name], found[name].sel(penalty="small")) for name in EXTREMES)
    mixed = {"none": ls.none(), "weights": ls.weight_decay(1.0), "both": ls.elastic_net(0.5, 0.5)}
    found = ls.evaluate(objective, plane, AXES, quantities=EXTREMES, penalties=mixed)
    matrix, size = known_hessian("half_squared_error", AXES["w"][:, None][None], AXES["b"])
    for label, penalty in mixed.items():
        for i, j in np.ndindex(*size.shape):
            params = {"w": np.float32(AXES["w"][i]), "b": np.float32(AXES["b"][j])}
            dense = ls.hessian(objective.with_penalty(penalty), params).sel(param=["w", "b"], param_=["w", "b"])
            ends = np.linalg.eigvalsh(dense.values.astype(np.float64))
            cell = found.sel(penalty=label).isel(w=i, b=j)
            assert_within(np.float32([cell.hessian_min, cell.hessian_max]), ends, size[i, j] + 1)
    weights = matrix + np.diag([1.0, 0.0])
    assert_within(found.hessian_min.sel(penalty="weights"), np.linalg.eigvalsh(weights)[..., 0], size + 1)


# ---- of more params than FEW, by Lanczos


def network(seed=0, scale=1.0):
    """(objective, plane): 43 params, of which the directions move the weights."""
    params = NETWORK.init(jax.random.key(seed), scale=scale)
    images = (IMAGES + seed).astype(np.float32)
    objective = NETWORK.objective(images, CLASSES, params=params, penalty=ls.weight_decay(0.01))
    return objective, ls.Plane(params, ls.random_directions(jax.random.key(seed + 1), params, 2))


def dense_ends(objective, plane, found):
    """Smallest and largest eigenvalue at each cell, from the dense matrix."""
    ends = np.empty((*found.risk.shape, 2))
    for i, j in np.ndindex(*found.risk.shape):
        matrix = ls.hessian(objective, plane.point((found.alpha.values[i], found.beta.values[j])))
        ends[i, j] = np.linalg.eigvalsh(matrix.values.astype(np.float64))[[0, -1]]
    return ends


def assert_ends(found, ends):
    """Right to the stated residual and rounding; near their own size to much less, where the ends lie apart."""
    size = abs(ends).max(axis=-1)
    rounding = 32 * np.finfo(np.float32).eps * size
    for name, wanted in zip(EXTREMES, np.moveaxis(ends, -1, 0), strict=True):
        assert (abs(found[name] - wanted) <= found.hessian_residual + rounding).all(), name
    assert (found.hessian_residual <= np.sqrt(np.finfo(np.float32).eps) * size).all()


@pytest.fixture(scope="module")
def map_of_network():
    # As in tests: these settings are part of what compiled code is found again by.
    with (
        jax.default_matmul_precision("highest"),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        objective, plane = network()
        return objective, plane, ls.evaluate(objective, plane, WINDOW, quantities=("hessian_ratio",))


def test_extremes_of_a_network_are_those_of_the_dense_matrix(map_of_network, compilations):
    """To the residual that is stated; other data, params and directions compile nothing."""
    objective, plane, found = map_of_network
    assert sum(leaf.size for leaf in jax.tree.leaves(objective.params)) > FEW
    ends = dense_ends(objective, plane, found)
    assert_ends(found, ends)
    assert (ends[..., 0] < 0).any() and (ends[..., 1] > 0).all()
    assert ((found.hessian_products > 0) & (found.hessian_products <= MOST)).all()
    assert np.allclose(found.hessian_ratio, abs(ends[..., 0] / ends[..., 1]), rtol=1e-3)
    other, elsewhere = network(seed=3, scale=0.5)
    with compilations() as tally:
        again = ls.evaluate(other, elsewhere, WINDOW, quantities=("hessian_ratio",))
    assert tally.count == 0
    assert_ends(again, dense_ends(other, elsewhere, again))
    assert not np.allclose(again.hessian_max, found.hessian_max, rtol=0.1)


def test_batches_change_nothing_but_rounding(map_of_network):
    """5 + 5 + 2 examples at a time; and one by one the neuron's."""
    objective, plane, whole = map_of_network
    found = ls.evaluate(objective, plane, WINDOW, quantities=EXTREMES, batch_size=5)
    size = np.maximum(abs(whole.hessian_min), abs(whole.hessian_max))
    allowed = whole.hessian_residual + found.hessian_residual + 32 * np.finfo(np.float32).eps * size
    assert all((abs(found[name] - whole[name]) <= allowed).all() for name in EXTREMES)
    objective, plane = neuron()
    one, all_ = (ls.evaluate(objective, plane, AXES, quantities=EXTREMES, batch_size=size) for size in (1, None))
    size = known_hessian("cross_entropy", AXES["w"][:, None][None], AXES["b"])[1]
    assert all((abs(one[name] - all_[name]) <= 8 * np.finfo(np.float32).eps * size).all() for name in EXTREMES)


def spectrum(params):
    """½ Σ xᵢ²(a·dᵢ + c): at x = 0 the eigenvalues are a·dᵢ + c, and 0 twice; NaN where c < −3."""
    c = jnp.where(params["c"] < -3, jnp.nan, params["c"])
    return 0.5 * jnp.sum(jnp.square(params["x"]) * (params["a"] * jnp.asarray(DISTINCT) + c))


DISTINCT = np.repeat(np.float32([0, 1, 2, 3, 5]), 8)


def test_known_spectra_of_all_scales_and_degeneracies():
    """The zero matrix, one of a single eigenvalue, five that repeat; 1e-25 to 1e25; NaN stays and is flagged."""
    params = {"x": np.zeros(40, np.float32), "a": np.float32(0), "c": np.float32(0)}
    objective = ls.function(spectrum, params)
    axes = {"a": [-1e-22, 0, 1e-25, 1e-15, 1, -2, 1e15, 1e25], "c": [-4.0, -1, 0, 1]}
    found = ls.evaluate(objective, ls.axes_plane(params, "a", "c"), axes, quantities=("hessian_ratio",))
    values = np.float32(axes["a"])[:, None, None] * DISTINCT + np.float32(axes["c"])[:, None]
    ends = np.stack([np.minimum(values.min(axis=-1), 0), np.maximum(values.max(axis=-1), 0)], axis=-1)
    assert not found.finite.sel(c=-4).any() and found.finite.sel(c=slice(-3, None)).all()
    assert all(np.isnan(found[name].sel(c=-4)).all() for name in (*EXTREMES, "hessian_ratio", "hessian_residual"))
    assert_ends(found.isel(c=slice(1, None)), ends[:, 1:].astype(np.float64))
    zero = found.sel(a=0, c=0)
    assert zero.hessian_min == zero.hessian_max == zero.hessian_residual == 0
    assert np.isnan(zero.hessian_ratio) and zero.finite  # 0/0: there is no ratio, but all that is measured is there


# ---- the chart's mean curvature, and what a plane captures


def test_mean_curvature_is_that_of_the_metric():
    """Of directions that are neither orthogonal nor of one length: tr(G⁻¹DᵀHD)/k; of both params, tr H/2."""
    matrix = np.array([[3.0, 1.0, 0.0], [1.0, -2.0, 0.5], [0.0, 0.5, 4.0]])
    bowl = ls.function(lambda p: 0.5 * p["x"] @ jnp.asarray(matrix, jnp.float32) @ p["x"], {"x": np.zeros(3, "f")})
    directions = np.array([[2.0, 1.0, 0.0], [0.5, 0.5, -1.0], [0.0, 3.0, 1.0]])
    for k, names in enumerate((("s",), ("s", "t"), ("s", "t", "u")), 1):
        plane = ls.Plane(bowl.params, tuple({"x": np.float32(d)} for d in directions[:k]), names=names)
        found = ls.evaluate(bowl, plane, {name: [-1.0, 0.5] for name in names}, quantities=("mean_curvature",))
        own = directions[:k]
        wanted = np.trace(np.linalg.solve(own @ own.T, own @ matrix @ own.T)) / k
        assert found.mean_curvature.shape == found.risk.shape == (2,) * k
        np.testing.assert_allclose(found.mean_curvature, wanted, rtol=1e-5)
    assert wanted == pytest.approx(np.trace(matrix) / 3)
    objective, _ = neuron()
    skewed = ls.Plane(objective.params, ({"w": np.float32(2), "b": np.float32(1)}, {"w": np.float32(1), "b": -1.0}))
    found = ls.evaluate(
        objective, skewed, {"alpha": [-1.0, 0, 2], "beta": [0.5, 1]}, quantities=("mean_curvature", "hessian_min")
    )
    w, b = (f * found.alpha.values[:, None] + g * found.beta.values for f, g in ((2, 1), (1, -1)))
    known, size = known_hessian("cross_entropy", w[None], b)
    assert_within(found.mean_curvature, np.trace(known, axis1=-2, axis2=-1) / 2, size)
    assert_within(found.hessian_min, np.linalg.eigvalsh(known)[..., 0], size)


def test_lines_and_three_coordinates():
    """The Hessian is over all params, whatever the chart moves."""
    x = np.stack([X, X[::-1]], axis=1)
    objective = ls.neuron(x.astype("float32"), Y.astype("float32"), loss="half_squared_error")
    axes = {"w[0]": [-1.0, 0, 2], "b": [0.5, -2.0], "w[1]": [0.0, 1.0]}  # in another order than the params
    found = ls.evaluate(objective, ls.axes_plane(objective.params, "w[0]", "w[1]", "b"), axes, quantities=EXTREMES)
    w0, b, w1 = np.meshgrid(*axes.values(), indexing="ij")
    matrix, size = known_hessian("half_squared_error", np.stack([w0, w1]), b, x)
    values = np.linalg.eigvalsh(matrix)
    assert found.hessian_min.dims == ("w[0]", "b", "w[1]")
    assert_within(found.hessian_min, values[..., 0], size)
    assert_within(found.hessian_max, values[..., -1], size)
    origin = {"w": np.float32([0, 1]), "b": np.float32(0.5)}
    line = ls.Plane(origin, ({"w": np.float32([1, 0]), "b": np.float32(0)},), names=("t",))
    found = ls.evaluate(objective, line, {"t": axes["w[0]"]}, quantities=("hessian_max",))
    assert found.hessian_max.dims == ("t",)
    assert_within(found.hessian_max, values[:, 0, 1, -1], size[:, 0, 1])


def test_captured_curvature_is_that_of_the_dense_matrix():
    """The principal curvatures, and their share of the trace."""
    objective, plane = network()
    captured = ls.captured_curvature(objective, plane, key=jax.random.key(2), num_probes=64)
    matrix = ls.hessian(objective, plane.origin).values.astype(np.float64)
    flat = np.stack([np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(d)]) for d in plane.directions])
    basis = np.linalg.qr(flat.T.astype(np.float64))[0]
    principal = np.linalg.eigvalsh(basis.T @ matrix @ basis)
    np.testing.assert_allclose(captured.principal, principal, rtol=1e-4, atol=1e-5)
    assert abs(captured.trace.value - np.trace(matrix)) < 4 * captured.trace.stderr
    assert captured.share == pytest.approx(principal.sum() / captured.trace.value, rel=1e-4)
    assert captured.expected == 2 / 43


# ---- data, stores, verification


def test_splits_have_their_own_curvature():
    """As if each were measured alone."""
    objective, plane = neuron()
    data = {"train": objective.data, "test": tuple(column[:2] for column in objective.data)}
    found = ls.evaluate(objective, plane, AXES, quantities=EXTREMES, data=data)
    for label, part in data.items():
        alone = ls.evaluate(objective.with_data(part), plane, AXES, quantities=EXTREMES)
        for name in EXTREMES:
            np.testing.assert_allclose(found[name].sel(split=label), alone[name], rtol=0, atol=1e-6)
    assert not np.allclose(*(found.hessian_max.sel(split=label) for label in data))


def test_data_that_come_batch_by_batch_are_refused():
    objective, plane = neuron()
    batched = objective.with_data(ls.Batches([objective.data]))
    with pytest.raises(ValueError, match=r"`quantities` has eigenvalues of the Hessian.*with_data\(arrays\)"):
        ls.evaluate(batched, plane, AXES, quantities=("hessian_min",))


@pytest.mark.usefixtures("small_tiles")
def test_a_stored_map_is_the_one_in_memory_and_goes_on(tmp_path, puts):
    """Bit by bit where it was interrupted; and as it is opened."""
    asked = {"quantities": ("hessian_ratio", "mean_curvature"), "penalties": {"none": ls.none(), "l2": ls.l2(0.1)}}
    memory, whole = surface(**asked), surface(**asked, store=tmp_path / "whole.zarr")
    assert memory.hessian_min.dims == ("penalty", "w", "b") and memory.mean_curvature.dims == ("w", "b")
    assert {n: (v.dims, v.dtype, v.attrs) for n, v in memory.variables.items()} == {
        n: (v.dims, v.dtype, v.attrs) for n, v in whole.variables.items()
    }
    for name in memory.data_vars:
        np.testing.assert_allclose(whole[name], memory[name], rtol=1e-5, atol=1e-7)
    puts.stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        surface(**asked, store=tmp_path / "s.zarr")
    assert len(complete(tmp_path / "s.zarr")) == 3
    puts.stop_after(99)
    again = surface(**asked, store=tmp_path / "s.zarr")
    assert len(puts.tiles) == TILES - 3
    xr.testing.assert_equal(again, whole)
    assert chunks(tmp_path / "s.zarr") == chunks(tmp_path / "whole.zarr")
    assert ls.open_surface(tmp_path / "s.zarr").equals(whole)


def test_verify_recomputes_eigenvalues():
    """Each variable; wrong ones are found, and no others."""
    objective, plane = neuron(loss="half_squared_error", penalty=ls.l2(0.1))
    found = ls.evaluate(objective, plane, AXES, quantities=("hessian_ratio", "mean_curvature"))
    numbers = verify(found, objective, cells=6)
    assert [number for number in numbers if not number.agrees] == []
    assert {number.variable for number in numbers} >= {*EXTREMES, "hessian_ratio", "mean_curvature"}
    wrong = found.copy(deep=True)
    for name in (*EXTREMES, "mean_curvature"):
        wrong[name] += 0.01
    disagreeing = {number.variable for number in verify(wrong, objective, cells=2) if not number.agrees}
    assert disagreeing == {*EXTREMES, "mean_curvature"}


def test_an_eigenvalue_that_leads_down_is_found_beside_an_outlier(dtype):
    """1000 and a bulk from 0.2 to 1, whose residuals are soon small beside 1000; the least one is −0.02."""
    values = np.r_[1000.0, np.linspace(0.2, 1, 198), -0.02]
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 200)))[0]
    matrix = jnp.asarray((rotation * values) @ rotation.T, dtype)
    quadratic = ls.function(lambda p: 0.5 * p["x"] @ (matrix @ p["x"]), {"x": jnp.zeros(200, dtype)})
    line = ls.Plane(quadratic.params, ({"x": jnp.ones(200, dtype)},), names=("a",))
    surface = ls.evaluate(quadratic, line, {"a": [0.0]}, quantities=("hessian_min",))
    assert bool(surface.hessian_converged.all()) and bool(surface.finite.all())
    np.testing.assert_allclose(surface.hessian_min, [-0.02], atol=1e-3)
    np.testing.assert_allclose(surface.hessian_max, [1000], rtol=1e-5)


def test_mean_curvature_is_of_planes():
    pair = ls.neuron(*ls.datasets.pair())
    polar = ls.Polar(ls.axes_plane(pair.params, "w", "b"))
    axes = {name: [0.5, 1.0] for name in polar.names}
    with pytest.raises(ValueError, match=r'"mean_curvature", but the chart is a Polar: off planes'):
        ls.evaluate(pair, polar, axes, quantities=("mean_curvature",))


def test_what_a_plane_captures_of_nothing_is_no_number():
    saddle = ls.function(lambda p: p["x"] ** 2 - p["y"] ** 2, {"x": 0.0, "y": 0.0})
    plane = ls.axes_plane(saddle.params, "x")
    found = ls.captured_curvature(saddle, plane, key=jax.random.key(0), num_probes=2)
    assert found.principal.tolist() == [2.0] and np.isinf(found.share)
    with pytest.raises(TypeError, match="`objective` is an int"):
        ls.captured_curvature(3, plane, key=jax.random.key(0))  # type: ignore[arg-type]
