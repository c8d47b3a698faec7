"""Topology of surfaces: known minima, saddles, loops and voids; against brute force and GUDHI; invariants; refusals."""

import sys

import gudhi
import jax
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies
from hypothesis.extra import numpy as arrays

import landscape as ls

NAMES = ("x", "y", "z")


def surface(values, *axes, name="f", **more):
    """A surface of the values, on these axes or on 0, 1, 2, …"""
    values = np.asarray(values)
    names = NAMES[: values.ndim]
    axes = axes or [np.arange(float(n)) for n in values.shape]
    return xr.Dataset({name: (names, values), **more}, dict(zip(names, axes, strict=True)))


def found(values, *axes, **options):
    return ls.persistence(surface(values, *axes), "f", **options)


def diagram(result, homology=0):
    """The sorted (birth, death) of one dimension."""
    pairs = result.pairs.isel(pair=result.pairs.homology.values == homology)
    return np.array(sorted(zip(pairs.birth.values, pairs.death.values, strict=True))).reshape(-1, 2)


def by_gudhi(values, homology):
    complex_ = gudhi.CubicalComplex(vertices=np.asarray(values, float))
    complex_.compute_persistence()
    return np.array(sorted(map(tuple, complex_.persistence_intervals_in_dimension(homology)))).reshape(-1, 2)


def smooth(seed, shape):
    """Random numbers, all different, some minima each of several cells."""
    values = np.random.default_rng(seed).normal(size=shape)
    for axis in range(values.ndim):
        values = values + np.roll(values, 1, axis)
    return values


# ---- one axis, by hand


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 1, 2], [(1, np.inf)]),
        ([0, 1, 2], [(0, np.inf)]),
        ([0, 3, 1], [(0, np.inf), (1, 3)]),
        ([1, 3, 0, 2, 1.5, 4, 0.5], [(0, np.inf), (0.5, 4), (1, 3), (1.5, 2)]),
        ([0, 2, 1, 1, 1, 2, 0], [(0, np.inf), (0, 2), (1, 2)]),  # a plateau is one minimum
        ([2, 1, 1, 0, 1, 1, 2], [(0, np.inf)]),  # a shelf is none
        ([1, 1, 1], [(1, np.inf)]),
        ([5], [(5, np.inf)]),
        ([0, 1, 1, 0], [(0, np.inf), (0, 1)]),
    ],
)
def test_sequences_by_hand(values, expected):
    np.testing.assert_array_equal(diagram(found(np.array(values, float))), sorted(expected))


def test_a_sequence_in_full():
    #         0    1    2    3    4    5     6    7
    values = [2.0, 1.0, 3.0, 0.0, 2.5, 1.5, 1.5, 4.0]
    x = np.array([0.0, 1, 2, 4, 5, 6, 7, 10])
    result = found(values, x)
    pairs = result.pairs
    np.testing.assert_array_equal(pairs.birth, [0, 1, 1.5])
    np.testing.assert_array_equal(pairs.death, [np.inf, 3, 2.5])
    np.testing.assert_array_equal(pairs.persistence, [np.inf, 2, 1])
    np.testing.assert_array_equal(pairs.birth_at[:, 0], [4, 1, 6])  # the plateau's first cell
    np.testing.assert_array_equal(pairs.death_at[:, 0], [np.nan, 2, 5])
    np.testing.assert_array_equal(pairs.merges_into, [-1, 0, 0])
    np.testing.assert_array_equal(pairs.spills_into, [-1, 0, 0])
    np.testing.assert_array_equal(pairs.ties, [1, 1, 2])
    np.testing.assert_array_equal(result.basins, [1, 1, 1, 0, 0, 2, 2, 2])  # from 3 down: 2/1 left, 3/2 right
    assert not pairs.birth_on_border.any() and not pairs.death_on_border.any()
    assert pairs.attrs == {"kind": "persistence", "variable": "f"}


def test_the_steeper_side_and_volumes_of_uneven_axes():
    """From 3 at x = 2 the ways down are 2 over 1 to the left, and 3 over 2 to the right; widths are half-steps."""
    result = found([2.0, 1.0, 3.0, 0.0, 5.0], np.array([0.0, 1, 2, 4, 10]))
    np.testing.assert_array_equal(result.basins, [1, 1, 1, 0, 0])
    np.testing.assert_allclose(result.minima.basin_share, [0.7, 0.3], rtol=1e-15)
    # Below 3 lie the cells at 0 and 1: (0.5 + 1)/10 of the window.
    np.testing.assert_allclose(result.minima.share_at_merge, [1.0, 0.15], rtol=1e-15)


def test_descent_is_steepest_between_params():
    """From 3 the ways down are 2 along x and 2.5 along y; a unit of y is twice as long where the chart says so."""
    data = surface([[9.0, 1.0], [0.5, 3.0]])
    data["y"].attrs["unit_length"] = 2.0
    basins = ls.persistence(data, "f").basins.values  # x knows none
    assert basins[1, 1] == basins[1, 0]
    data["x"].attrs["unit_length"] = 1.0
    basins = ls.persistence(data, "f").basins.values
    assert basins[1, 1] == basins[0, 1]


def test_which_minimum_lies_behind_the_saddle_is_not_the_one_merged_into():
    result = found([0.0, 5, 2, 4, 3])
    np.testing.assert_array_equal(result.pairs.birth, [0, 2, 3])
    np.testing.assert_array_equal(result.pairs.merges_into, [-1, 0, 1])
    result = found([1.0, 3, 0, 2, 1.5, 4, 0.5])  # 0.5 merges at 4 into 0, beyond the basin of 1.5
    at = {float(b): i for i, b in enumerate(result.pairs.birth)}
    assert result.pairs.merges_into[at[0.5]] == at[0.0] and result.pairs.spills_into[at[0.5]] == at[1.5]


def test_all_that_merge_at_one_height_merge_into_the_oldest():
    result = found([2.0, 5, 1, 5, 0, 5, 3])
    np.testing.assert_array_equal(result.pairs.merges_into, [-1, 0, 0, 0])
    np.testing.assert_allclose(result.pairs.share_at_merge, [1, 1 / 6, 1 / 12, 1 / 12])


# ---- two and three axes, in closed form


def test_a_double_well():
    x, y = np.linspace(-2, 2, 41), np.linspace(-1, 1, 11)
    result = found((x[:, None] ** 2 - 1) ** 2 + y**2, x, y)
    np.testing.assert_allclose(diagram(result), [[0, 1], [0, np.inf]], atol=1e-12)
    assert diagram(result, 1).size == 0
    np.testing.assert_allclose(result.minima.birth_at, [[-1, 0], [1, 0]], atol=1e-12)
    np.testing.assert_allclose(result.minima.death_at[1], [0, 0], atol=1e-12)
    assert result.pairs.merges_into.values.tolist() == [-1, 0]
    assert set(result.minima.birth_at[:, 0].values) <= set(x)  # the grid's numbers, not near them
    assert result.roughness == pytest.approx(1 / 10)  # the largest value is (4 − 1)² + 1


def test_four_wells_around_a_maximum():
    x = np.linspace(-2, 2, 41)
    result = found((x[:, None] ** 2 - 1) ** 2 + (x**2 - 1) ** 2, x, x)
    np.testing.assert_allclose(diagram(result), [[0, 1]] * 3 + [[0, np.inf]], atol=1e-12)
    np.testing.assert_allclose(diagram(result, 1), [[1, 2]], atol=1e-12)
    loop = result.pairs.isel(pair=-1)
    np.testing.assert_allclose(loop.death_at, [0, 0], atol=1e-12)
    np.testing.assert_allclose(sorted(abs(loop.birth_at)), [0, 1], atol=1e-12)
    assert loop.merges_into == -1 and loop.ties == 0 and np.isnan(loop.basin_share)
    assert result.roughness == pytest.approx(3 / 18)


def test_eight_wells_around_a_void():
    x = np.linspace(-1.5, 1.5, 13)
    one = (x**2 - 1) ** 2
    result = found(one[:, None, None] + one[:, None] + one, x, x, x)
    np.testing.assert_allclose(diagram(result), [[0, 1]] * 7 + [[0, np.inf]], atol=1e-12)
    np.testing.assert_allclose(diagram(result, 1), [[1, 2]] * 5, atol=1e-12)  # 8 − 12 + 6 − 1 = 1 of a cube
    np.testing.assert_allclose(diagram(result, 2), [[2, 3]], atol=1e-12)
    np.testing.assert_allclose(result.pairs.death_at[-1], [0, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(np.abs(result.minima.birth_at).round(12), 1)


def test_himmelblau_has_its_four_minima():
    problem = ls.problems()["himmelblau"]
    x, y = np.linspace(-5, 5, 101), np.linspace(-5, 5, 111)
    plane = ls.axes_plane(problem.objective.params, "x", "y")
    result = ls.persistence(ls.evaluate(problem.objective, plane, {"x": x, "y": y}))
    assert result.minima.sizes["pair"] == 4 and not result.minima.birth_on_border.any()
    known = np.array([[float(p["x"]), float(p["y"])] for p in problem.minimizers])
    for place in known:
        assert (abs(result.minima.birth_at.values - place) <= [0.1, 0.1]).all(axis=1).sum() == 1
    # Its one maximum, 181.6 at (−0.27, −0.92), and its saddles: 104, 67.7, 178.3 and 13.3 in closed form.
    assert result.pairs.death[-1] == pytest.approx(181.6, abs=0.3)
    np.testing.assert_allclose(np.sort(result.minima.death)[:3], [13.3, 67.7, 104.0], rtol=0.02)
    assert result.pairs.homology.values.tolist() == [0, 0, 0, 0, 1]
    np.testing.assert_allclose(result.minima.basin_share.sum(), 1, rtol=1e-12)


def test_a_neuron_of_squared_error():
    """Auer's two minima, and the maximum between them, of x = (1, 30), y = (0.9, 0.1)."""
    neuron = ls.neuron(np.float32([1, 30]), np.float32([0.9, 0.1]), loss="half_squared_error", bias=False)
    w = np.linspace(-1, 4, 1001)
    result = ls.persistence(ls.evaluate(neuron, ls.axes_plane(neuron.params, "w"), {"w": w}))
    np.testing.assert_allclose(result.minima.birth_at[:, 0], [-0.0632, 2.1972], atol=5e-3)
    np.testing.assert_allclose(result.minima.death_at[1], [0.1908], atol=5e-3)
    assert result.values.dtype == np.float32


# ---- against brute force and GUDHI


def brute_force(values):
    """Components by flooding, cell for cell: {minimum: (saddle, elder, cells below the saddle)} as numbers of cells."""
    flat, shape = values.ravel(), values.shape
    component, members, out = {}, {}, {}
    for cell in np.lexsort((np.arange(flat.size), flat)):
        place = np.unravel_index(cell, shape)
        near = set()
        for axis in range(values.ndim):
            for step in (-1, 1):
                other = list(place)
                other[axis] += step
                if 0 <= other[axis] < shape[axis]:
                    number = int(np.ravel_multi_index(other, shape))
                    near |= {component[number]} if number in component else set()
        born = sorted(near, key=lambda minimum: (flat[minimum], minimum)) or [int(cell)]
        for young in born[1:]:
            below = [c for c in members[young] if flat[c] < flat[cell]]
            if flat[young] < flat[cell]:
                out[young] = (int(cell), born[0], sorted(below))
            for c in members.pop(young):
                component[c] = born[0]
                members[born[0]].append(c)
        component[int(cell)] = born[0]
        members.setdefault(born[0], []).append(int(cell))
    return out


@pytest.mark.parametrize("shape", [(60,), (13, 9), (5, 6, 4), (1, 30), (7, 1, 8)])
@pytest.mark.parametrize("seed", [1, 2])
def test_merges_are_those_of_flooding(seed, shape):
    values = smooth(seed, shape)
    result = found(values)
    expected, pairs = brute_force(values), result.minima
    cells = [np.ravel_multi_index(tuple(np.int64(at)), shape) for at in pairs.birth_at.values]
    assert set(cells[1:]) == set(expected) and len(cells) == len(expected) + 1
    widths = [np.convolve(np.ones(max(n - 1, 1)), [0.5, 0.5] if n > 1 else [1]) / max(n - 1, 1) for n in shape]
    volumes = widths[0]
    for own in widths[1:]:
        volumes = np.multiply.outer(volumes, own)
    for i, cell in list(enumerate(cells))[1:]:
        saddle, elder, below = expected[cell]
        assert np.ravel_multi_index(tuple(np.int64(pairs.death_at.values[i])), shape) == saddle
        assert cells[int(pairs.merges_into[i])] == elder
        assert float(pairs.share_at_merge[i]) == pytest.approx(volumes.ravel()[below].sum())
        inside = pairs.spills_into[i]
        assert inside != i and inside >= 0


@settings(max_examples=40)
@given(
    arrays.arrays(
        np.float64,
        strategies.sampled_from([(9,), (4, 5), (1, 6), (3, 3, 3), (2, 4, 3)]),
        elements=strategies.integers(0, 5).map(float),
    )
)
def test_diagrams_with_many_ties_are_those_of_gudhi(values):
    result = found(values)
    np.testing.assert_array_equal(diagram(result), by_gudhi(values, 0))
    for homology in range(1, values.ndim):
        np.testing.assert_array_equal(diagram(result, homology), by_gudhi(values, homology))
    check_consistent(result)


def check_consistent(result):
    """What holds of every result: places have the values, shares sum to 1, elders are older, basins flow down."""
    pairs, minima = result.pairs, result.minima
    for i in range(pairs.sizes["pair"]):
        for end, at in (("birth", "birth_at"), ("death", "death_at")):
            place = dict(zip(pairs.coordinate.values, pairs[at].values[i], strict=True))
            if np.isfinite(pairs[end][i]):
                assert float(result.values.sel(place)) == pairs[end][i]
            else:
                assert np.isnan(list(place.values())).all()
    assert (pairs.persistence > 0).all()
    assert float(minima.basin_share.sum()) == pytest.approx(1)
    assert set(np.unique(result.basins)) - {-1} == set(minima.pair.values)
    for i, elder, beyond in zip(*(minima[n].values for n in ("pair", "merges_into", "spills_into")), strict=True):
        place = dict(zip(pairs.coordinate.values, minima.birth_at.sel(pair=i).values, strict=True))
        assert int(result.basins.sel(place)) == i
        if elder >= 0:
            assert minima.birth.sel(pair=elder) <= minima.birth.sel(pair=i)
            assert minima.death.sel(pair=elder) > minima.death.sel(pair=i)
            assert beyond in minima.pair and beyond != i
            assert minima.share_at_merge.sel(pair=elder) > minima.share_at_merge.sel(pair=i)


@pytest.mark.parametrize("shape", [(8, 9), (5, 4, 6)])
def test_the_euler_characteristic(shape):
    """V − E + F − C of the cells below a level is b₀ − b₁ + b₂ of the pairs alive there."""
    values = smooth(3, shape)
    pairs = found(values).pairs
    for level in np.quantile(values, [0.1, 0.3, 0.5, 0.7, 0.9]):
        alive = (pairs.birth <= level) & (level < pairs.death)
        euler = int(sum((-1) ** int(d) for d in pairs.homology.values[alive.values]))
        assert euler == count(values <= level)


def count(inside):
    """V − E + F − C by products: an edge along an axis is two cells."""
    total = 0
    for chosen in np.ndindex(*[2] * inside.ndim):
        part = inside
        for axis, edge in enumerate(chosen):
            if edge:
                part = np.take(part, range(part.shape[axis] - 1), axis) & np.take(
                    part, range(1, part.shape[axis]), axis
                )
        total += (-1) ** sum(chosen) * int(part.sum())
    return total


# ---- invariants

NUMBERS = strategies.integers(0, 10_000)


@given(NUMBERS, strategies.integers(-50, 50), strategies.sampled_from([0.25, 2.0, 8.0]))
def test_shifts_and_scales(seed, shift, scale):
    values = np.round(64 * smooth(seed, (6, 7)))  # whole numbers: sums and products with powers of two are exact
    plain, changed = found(values), found(scale * values + shift)
    for homology in (0, 1):
        np.testing.assert_array_equal(diagram(changed, homology), scale * diagram(plain, homology) + shift)
    assert changed.roughness == pytest.approx(plain.roughness)
    np.testing.assert_array_equal(changed.basins, plain.basins)


@given(NUMBERS)
def test_axes_turned_exchanged_and_warped(seed):
    values = smooth(seed, (6, 7))
    x, y = np.arange(6.0), np.arange(7.0)
    plain = found(values, x, y)
    for changed in (
        found(values[::-1], x[::-1], y),  # the same surface, its axis listed from the other end
        ls.persistence(surface(values, x, y).isel(y=[3, 0, 6, 1, 2, 5, 4]), "f"),
        ls.persistence(surface(values, x, y).transpose("y", "x"), "f"),
    ):
        at = changed.pairs.sel(coordinate=["x", "y"])
        for name in ("birth", "death", "birth_at", "death_at", "merges_into", "spills_into"):
            np.testing.assert_array_equal(at[name], plain.pairs[name])
        np.testing.assert_allclose(at.basin_share, plain.pairs.basin_share)
    warped = found(values, np.exp(x), y**3)
    np.testing.assert_array_equal(warped.pairs.birth, plain.pairs.birth)
    np.testing.assert_array_equal(warped.pairs.merges_into, plain.pairs.merges_into)
    x_at, y_at = plain.pairs.birth_at.values.T
    np.testing.assert_array_equal(warped.pairs.birth_at, np.stack([np.exp(x_at), y_at**3], axis=1))
    mirrored = found(values[::-1], x, y)
    np.testing.assert_array_equal(mirrored.pairs.birth_at, np.abs([5, 0] - plain.pairs.birth_at))
    check_consistent(warped)


@given(NUMBERS, strategies.floats(0.01, 2))
def test_diagrams_change_no_more_than_the_values(seed, size):
    values = smooth(seed, (8, 8))
    noise = size * np.random.default_rng(seed + 1).uniform(-1, 1, values.shape)
    before, after = found(values), found(values + noise)
    for homology in (0, 1):
        distance = gudhi.bottleneck_distance(diagram(before, homology), diagram(after, homology))
        assert distance <= abs(noise).max() + 1e-9


@given(NUMBERS)
def test_the_total_variation_of_a_line(seed):
    values = np.random.default_rng(seed).normal(size=20)
    spread = np.ptp(values)
    variation = values[0] + values[-1] - 2 * values.min() + 2 * spread * found(values).roughness
    assert np.abs(np.diff(values)).sum() == pytest.approx(variation)


@given(NUMBERS, strategies.floats(0, 4))
def test_at_least_drops_what_is_small(seed, threshold):
    whole = found(smooth(seed, (9, 9)))
    part = whole.at_least(threshold)
    kept = whole.pairs.isel(pair=whole.pairs.persistence.values >= threshold)
    for name in ("birth", "death", "merges_into", "share_at_merge"):
        np.testing.assert_array_equal(part.pairs[name], kept[name])
    check_consistent(part)
    twice = whole.at_least(threshold / 2).at_least(threshold)
    xr.testing.assert_allclose(twice.pairs, part.pairs)
    xr.testing.assert_identical(twice.basins, part.basins)
    assert part.roughness <= whole.roughness


def test_a_dropped_basin_falls_to_the_one_that_it_spills_into():
    result = found([1.0, 3, 0, 2, 1.5, 4, 0.5])  # 1.5 spills into 0
    part = result.at_least(0.75)
    np.testing.assert_array_equal(part.basins, np.where(result.basins == 3, 0, result.basins))
    assert part.pairs.pair.values.tolist() == [0, 1, 2] and part.minima.sizes["pair"] == 3
    assert part.pairs.spills_into[1] == 0  # 0.5 spilled into 1.5
    assert result.pairs.sizes["pair"] == 4  # unchanged


def test_an_oblique_valley_breaks_into_minima_that_a_finer_grid_has_not():
    """(x − y)² is steep against x + 3: along an axis nothing is lower than a cell on the diagonal."""

    def deepest(count):
        x = np.linspace(0, 1, count)
        values = 100 * np.subtract.outer(x, x) ** 2 + np.add.outer(x, x) ** 2
        return found(values, x, x).minima.persistence.values[1:]

    coarse, fine = deepest(11), deepest(101)
    assert len(coarse) == 10 and coarse.max() > 0.5  # each cell of the diagonal, but the lowest
    assert (fine.max() if fine.size else 0.0) < 0.01 * coarse.max()


# ---- borders, ties, rounding, dtypes


def test_minima_on_the_border_are_told():
    result = found(np.array([0.0, 3, 1, 3, 2, 2]))
    np.testing.assert_array_equal(result.pairs.birth_on_border, [True, False, True])
    flat = np.ones((5, 5))
    flat[1:4, 1:] = 0  # a plateau that begins inside, and reaches the border
    result = found(flat)
    assert result.pairs.birth_on_border.item() and result.pairs.ties.item() == 12
    bowl = np.add.outer(np.square([-1.0, 0, 1]), np.square([-1.0, 0, 1]))
    assert not found(bowl).pairs.birth_on_border.any()
    assert not found(bowl[:, 1:2]).pairs.birth_on_border.any()  # an axis of one position has no border


def test_saddles_on_the_border_are_told():
    values = np.array([[9.0, 5, 9, 9], [0, 7, 1, 9], [9.0, 9, 9, 9], [9.0, 9, 9, 9]])
    values[0] = [3, 5, 3, 9]
    assert found(values).pairs.death_on_border[1]


def test_one_cell_and_axes_of_one_position():
    result = found(np.full((1, 1, 1), 7.0), [2.0], [3.0], [4.0])
    assert result.pairs.birth.item() == 7 and result.pairs.basin_share.item() == 1 and result.roughness == 0
    np.testing.assert_array_equal(result.pairs.birth_at, [[2, 3, 4]])
    line = found([0.0, 2, 1])
    plane = found(np.array([[0.0, 2, 1]]), [5.0], np.arange(3.0))
    np.testing.assert_array_equal(plane.pairs.birth, line.pairs.birth)
    np.testing.assert_array_equal(plane.pairs.birth_at[:, 0], 5)


def test_a_constant_is_one_minimum():
    result = found(np.ones((4, 5)))
    assert result.pairs.sizes["pair"] == 1 and result.pairs.ties == 20 and result.roughness == 0


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "bfloat16"])
def test_every_dtype_keeps_its_values(kind):
    values = np.round(4 * smooth(4, (7, 8))).astype(jax.numpy.dtype(kind))
    result = found(values)
    np.testing.assert_array_equal(diagram(result), diagram(found(values.astype(float))))
    check_consistent(result)


def test_float32_has_no_pairs_of_its_own():
    """Numbers that differ in float64 by less than float32 tells are one plateau, and no pairs."""
    values = np.float32(1 + 1e-9 * np.random.default_rng(0).normal(size=(20, 20)))
    assert found(values).pairs.sizes["pair"] == 1


def test_what_rounding_can_make_is_told():
    values = np.array([0.0, 100, 50, 50 + 1e-4, 50, 200, 20, 90], np.float32)
    result = found(values)
    small = result.pairs.persistence < 1
    assert small.sum() == 1
    np.testing.assert_array_equal(result.pairs.within_rounding, small)
    assert not found(values.astype(float)).pairs.within_rounding.any()
    assert "rounding" in str(result)


# ---- holes


def test_walls_are_infinitely_high():
    values = np.array([0.0, 3, 1, np.nan, 2, 5, 4])
    result = found(values, holes="walls")
    np.testing.assert_array_equal(diagram(result), [[0, np.inf], [1, 3], [2, np.inf], [4, 5]])
    np.testing.assert_array_equal(result.pairs.merges_into, [-1, -1, 0, 1])
    np.testing.assert_array_equal(result.basins, [0, 0, 2, -1, 1, 1, 3])
    np.testing.assert_array_equal(result.pairs.birth_on_border, [True, True, True, True])  # 2: beside the wall
    assert result.roughness == pytest.approx((3 - 1 + 5 - 2 + 5 - 4) / 5)  # what never merges counts up to the top
    assert float(result.minima.basin_share.sum()) == pytest.approx(1)
    assert "never" in str(result)


def test_a_loop_around_a_wall_is_never_filled():
    values = np.ones((5, 5))
    values[0, 0], values[2, 2] = 0, np.inf
    result = found(values, holes="walls")
    np.testing.assert_array_equal(diagram(result), [[0, np.inf]])
    np.testing.assert_array_equal(diagram(result, 1), [[1, np.inf]])
    assert np.isnan(result.pairs.death_at[-1]).all() and "never filled" in str(result)
    flagged = surface(np.where(np.isinf(values), 7, values), finite=(("x", "y"), np.isfinite(values)))
    np.testing.assert_array_equal(diagram(ls.persistence(flagged, "f", holes="walls"), 1), [[1, np.inf]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_holes_are_refused(bad):
    values = smooth(5, (4, 5))
    values[1, 2] = bad
    with pytest.raises(ValueError, match=r"`surface` has holes: 1 of 20 cells of 'f'.*first at x=1, y=2.*walls"):
        found(values)


def test_what_is_no_wall_is_refused():
    with pytest.raises(ValueError, match="−inf, which is no wall"):
        found([0.0, -np.inf, 1.0], holes="walls")
    with pytest.raises(ValueError, match="no cell is left"):
        found([np.nan, np.inf], holes="walls")
    with pytest.raises(ValueError, match="`holes` is 'fill'; it must be one of 'refuse', 'walls'"):
        found([0.0, 1.0], holes="fill")


# ---- refusals


def test_one_panel_is_chosen():
    swept = xr.concat([surface([0.0, 1]), surface([1.0, 0])], dim="penalty").assign_coords(penalty=["λ=0", "λ=1"])
    with pytest.raises(ValueError, match=r"2 penalties \(λ=0, λ=1\).*surface.sel\(penalty='λ=1'\)"):
        ls.persistence(swept, "f")
    assert ls.persistence(swept.sel(penalty="λ=1"), "f").pairs.birth_at.item() == 1
    split = swept.rename(penalty="split")
    with pytest.raises(ValueError, match=r"2 splits .*surface.sel\(split='λ=1'\)"):
        ls.persistence(split, "f")


def test_a_surface_in_part_is_refused():
    part = surface([0.0, 1, 2], computed=("x", [True, False, True]))
    with pytest.raises(ValueError, match="computed in part: 1 of 3 cells are missing"):
        ls.persistence(part, "f")
    done = surface([0.0, 1, 2], computed=("x", [True] * 3))
    assert ls.persistence(done, "f").pairs.sizes["pair"] == 1


@pytest.mark.parametrize(
    ("given", "variable", "error", "message"),
    [
        (surface([0.0, 1]).f, "f", TypeError, "`surface` is a DataArray; give the surface that ls.evaluate returned"),
        (surface([0.0, 1]), "g", ValueError, "`variable` is 'g', which the surface has not; it has f"),
        (surface([0.0, 1]), "objective", ValueError, "it has f"),
        (surface([True, False]), "f", TypeError, "`variable` 'f' holds bool"),
        (surface([0.0, 1]).isel(x=0), "f", ValueError, "has 0 dimensions"),
        (surface([0.0, 1]).drop_vars("x"), "f", ValueError, "no positions along 'x'"),
        (surface([0.0, 1]).assign_coords(x=["a", "b"]), "f", ValueError, "has labels along 'x'"),
        (surface([0.0, 1]).assign_coords(x=[0, np.nan]), "f", ValueError, "1 of 2 values that are not finite"),
        (surface([0.0, 1, 2]).assign_coords(x=[0, 1, 0]), "f", ValueError, "position x = 0 more than once"),
        (surface([0.0, 1]).isel(x=slice(0)), "f", ValueError, "empty along 'x'"),
        (surface([0.0, 1]).expand_dims(a=[0], b=[0], c=[0]), "f", ValueError, "has 4 dimensions"),
    ],
)
def test_bad_surfaces(given, variable, error, message):
    with pytest.raises(error, match=message):
        ls.persistence(given, variable)


@pytest.mark.parametrize("threshold", [-1.0, np.inf, np.nan])
def test_bad_thresholds(threshold):
    with pytest.raises(ValueError, match=r"`threshold` is .* finite number ≥ 0"):
        found([0.0, 1]).at_least(threshold)


def test_without_gudhi(monkeypatch):
    monkeypatch.setitem(sys.modules, "gudhi", None)
    with pytest.raises(ImportError, match=r"pip install 'jax-landscape\[topology\]'"):
        found(smooth(0, (3, 3)))
    assert found([0.0, 2, 1]).minima.sizes["pair"] == 2  # a line has neither loops nor voids


# ---- words


def test_it_prints_as_a_table():
    x, y = np.linspace(-1.5, 1.5, 31), np.linspace(-1, 1, 21)
    text = str(found((x[:, None] ** 2 - 1) ** 2 + 0.1 * x[:, None] + y**2, x, y))
    assert text.startswith("2 minima of f on 31×21 cells over x and y, roughness 0.32.")
    assert "(1, 0)       0.1    0             (0, 0)      1   0.9" in text
    many = str(found(smooth(1, (30, 30))))
    assert "more of persistence" in many and "loops: closed at" in many and "and others lie on the border" in many
    assert str(found([0.0, 1])).endswith("#0 lies on the border of the window: the true minimum may be outside.")
    assert repr(found([0.0, 1])) == str(found([0.0, 1]))
