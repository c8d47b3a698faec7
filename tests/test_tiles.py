"""Tiles: every cell once, in fixed shapes, whatever the grid; their chunks, and the order in which they are run."""

import math
import threading

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from landscape.tiles import chunks, run, stopping
from landscape.tiles.leases import Shard
from landscape.tiles.manifest import Named
from landscape.tiles.run import Memory, Tile
from landscape.tiles.tiling import Tiling, tile_shape

sides = st.integers(1, 12)
grids = st.lists(sides, min_size=1, max_size=3).map(tuple)


def tiling_of(grid: tuple[int, ...], cells: int) -> Tiling:
    """Of dimensions a, b, c."""
    return Tiling(tuple("abc"[: len(grid)]), grid, tile_shape(grid, cells))


# ---- tilings


@given(grid=grids, cells=st.integers(1, 500))
def test_tiles_cover_every_cell_once(grid, cells):
    """In row-major order, none larger than asked for, as many as promised."""
    tiling = tiling_of(grid, cells)
    assert math.prod(tiling.shape) <= cells or math.prod(tiling.shape) == 1
    seen, corners = np.zeros(grid, int), []
    for tile in range(tiling.count):
        covered = tuple(tiling.slices(tile).values())
        seen[covered] += 1
        corners.append(tuple(s.start for s in covered))
        assert all(0 < s.stop - s.start <= size for s, size in zip(covered, tiling.shape, strict=True))
        assert seen[covered].size == tiling.cells(tile)
        assert [s.start // size for s, size in zip(covered, tiling.shape, strict=True)] == [
            *tiling.place(tile).values()
        ]
    assert (seen == 1).all()
    assert corners == sorted(corners)


@pytest.mark.parametrize(
    ("grid", "cells", "shape"),
    [
        ((8, 8), 64, (8, 8)),
        ((8, 8), 63, (4, 8)),  # whole rows first
        ((8, 8), 8, (2, 4)),
        ((3, 100), 50, (3, 13)),
        ((5,), 2, (2,)),
        ((4, 4, 4), 1, (1, 1, 1)),
        ((4, 4), 0, (1, 1)),
    ],
)
def test_tile_shapes(grid, cells, shape):
    """The longest side is halved until the tile is small enough."""
    assert tile_shape(grid, cells) == shape


def test_a_tiling_without_dimensions_is_one_tile():
    """As of a store that was saved whole."""
    tiling = Tiling((), (), ())
    assert (tiling.count, tiling.slices(0), tiling.place(0), tiling.cells(0)) == (1, {}, {}, 1)


# ---- running them


def fill(tiling: Tiling, devices: list, work=None, done=lambda tile: None) -> dict[str, Named]:
    """All tiles of the sum of the positions, on `devices`."""
    axes = {
        dim: np.arange(size) + 100.0 * i for i, (dim, size) in enumerate(zip(tiling.dims, tiling.grid, strict=True))
    }

    def sums(tile, device, halfway):
        positions = tiling.take(axes, tile)
        assert tuple(map(len, positions)) == tiling.shape
        total = np.stack(np.meshgrid(*positions, indexing="ij")).sum(axis=0)
        return Tile(
            {"sum": Named(tiling.dims, total), "both": Named(("twice", *tiling.dims), np.stack([total] * 2))}, {}
        )

    memory = Memory(tiling)
    run.run(work or sums, memory, range(tiling.count), devices, done)
    return memory.arrays


@given(grid=grids, cells=st.integers(1, 60), devices=st.integers(1, 3))
def test_run_fills_the_grid_in_place(grid, cells, devices):
    """Values and their positions agree on ragged grids; every call has one shape; each tile is reported, once."""
    tiling, done = tiling_of(grid, cells), []
    arrays = fill(tiling, list(range(devices)), done=done.append)
    axes = [np.arange(size) + 100.0 * i for i, size in enumerate(grid)]
    everywhere = np.stack(np.meshgrid(*axes, indexing="ij")).sum(axis=0)
    assert np.array_equal(arrays["sum"].values, everywhere)
    assert arrays["both"].dims == ("twice", *tiling.dims)
    assert np.array_equal(arrays["both"].values, np.stack([everywhere] * 2))
    assert sorted(done) == list(range(tiling.count))


def test_tiles_are_dealt_to_devices():
    """Each is at work at the same time, on tiles of its own."""
    tiling, meet, seen = Tiling(("a",), (6,), (1,)), threading.Barrier(3, timeout=20), []

    def work(tile, device, halfway):
        meet.wait()  # passes only if three devices are at work
        seen.append((tile, device, threading.get_ident()))
        return Tile({"x": Named(("a",), np.array([tile]))}, {})

    arrays = fill(tiling, ["p", "q", "r"], work)
    assert np.array_equal(arrays["x"].values, range(6))
    assert {device for _, device, _ in seen} == {"p", "q", "r"} and len({thread for *_, thread in seen}) == 3


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
def test_what_goes_wrong_propagates(devices, error):
    """Errors and interruptions; no device begins another tile then."""
    begun = []

    def work(tile, device, halfway):
        begun.append(tile)
        raise error("wrong")

    with pytest.raises(error, match="wrong"):
        fill(Tiling(("a",), (50,), (1,)), list(range(devices)), work)
    assert len(begun) <= devices


@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_that_is_asked_to_stop_finishes_the_tiles_in_hand(devices):
    """It ends by an exception that no `except Exception` takes for a failure; afterwards all is as before."""
    done = []

    def work(tile, device, halfway):
        assert stopping.ask(15)
        return Tile({"x": Named(("a",), np.zeros(1))}, {})

    with pytest.raises(stopping.Stopped, match="15"), stopping.possible():
        fill(Tiling(("a",), (50,), (1,)), list(range(devices)), work, done.append)
    assert 1 <= len(done) <= devices
    assert not issubclass(stopping.Stopped, Exception)
    assert not stopping.asked() and not stopping.ask(15), "nobody is there to stop"
    assert stopping.asked(), "the next run will"
    stopping.forget()
    assert not stopping.asked()


@given(count=st.integers(0, 40), shards=st.integers(1, 6), data=st.data())
def test_every_missing_tile_is_taken_once_its_own_first(count, shards, data):
    """By each process; theirs from the first on, those of others from the last on."""
    missing = data.draw(st.sets(st.integers(0, count - 1)) if count else st.just(set()))
    for index in range(shards):
        taken = run.order(sorted(missing), count, Shard(index, shards))
        assert sorted(taken) == sorted(missing)
        own = [tile for tile in taken if tile % shards == index]
        assert own == sorted(own) == taken[: len(own)]
        for other in set(range(shards)) - {index}:
            theirs = [tile for tile in taken if tile % shards == other]
            assert theirs == sorted(theirs, reverse=True)


# ---- chunks


DTYPES = [np.float32, np.float64, np.bool_, np.int32, np.uint8, np.complex64]
shapes = st_numpy.array_shapes(min_dims=0, max_dims=3, max_side=5)
arrays = st.sampled_from(DTYPES).flatmap(lambda dtype: st_numpy.arrays(dtype, shapes))
large = np.random.default_rng(0).integers(0, 9, (130, 130)).astype(np.float32)  # compressed


def in_zarr(array: np.ndarray, data: bytes | None = None) -> tuple[np.ndarray, bytes]:
    """What zarr reads from a chunk with these bytes (its own by default), and the chunk."""
    files: dict = {}
    one = zarr.create_array(
        zarr.storage.MemoryStore(files),
        shape=array.shape,
        chunks=array.shape or "auto",
        dtype=array.dtype,
        fill_value=1,
        compressors=chunks.codecs(array.nbytes),
        config={"write_empty_chunks": True},
    )
    one[...] = array
    (name,) = set(files) - {"zarr.json"}
    files[name] = files[name] if data is None else zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(data)
    return np.asarray(one[...]), files[name].to_bytes()


def assert_same(a: np.ndarray, b: np.ndarray) -> None:
    """The same bits, of the same dtype and shape."""
    assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@given(array=arrays)
def test_chunks_come_back(array):
    """Any numbers, NaN and −0 among them, in any order in memory."""
    for one in (array, array.T, array[..., ::-1] if array.ndim else array):
        data = chunks.encode(one)
        assert_same(chunks.decode(data, one.shape, one.dtype), one)
        assert bytes.fromhex(chunks.checksum(data)) == data[-4:]


@pytest.mark.parametrize(
    "array",
    [np.float32([[1, np.nan], [-0.0, np.inf]]), np.array([True, False]), np.array(3.5), np.arange(5), large, large > 4],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_zarr_reads_and_writes_the_same_chunks(array):
    """Its bytes are read here, ours are read there; where nothing is compressed they are equal."""
    _, theirs = in_zarr(array)
    assert_same(chunks.decode(theirs, array.shape, array.dtype), array)
    ours = chunks.encode(array)
    assert_same(in_zarr(array, ours)[0], array)
    assert array.nbytes >= chunks.COMPRESSED_FROM or ours == theirs


def test_many_numbers_are_compressed():
    """Few are not: it costs more than writing them."""
    assert large.nbytes >= chunks.COMPRESSED_FROM and len(chunks.encode(large)) < large.nbytes / 2
    assert len(chunks.encode(large[:9])) == large[:9].nbytes + 4


@given(array=st_numpy.arrays(np.float32, st.integers(0, 9)), data=st.data())
def test_every_flipped_bit_is_detected(array, data):
    """As is a chunk that is cut short, or longer."""
    chunk = bytearray(chunks.encode(array))
    position = data.draw(st.integers(0, 8 * len(chunk) - 1))
    chunk[position // 8] ^= 1 << position % 8
    with pytest.raises(chunks.DamagedError, match="checksum"):
        chunks.decode(bytes(chunk), array.shape, array.dtype)
    whole, cut = chunks.encode(array), data.draw(st.integers(0, 3 + array.nbytes))
    for wrong in (whole[:cut], whole + bytes(cut + 1)):
        with pytest.raises(chunks.DamagedError, match=r"checksum|bytes where"):
            chunks.decode(wrong, array.shape, array.dtype)


def test_a_chunk_of_another_shape_is_detected():
    """Its checksum is right, its length is not."""
    with pytest.raises(chunks.DamagedError, match="8 bytes where 12 were written"):
        chunks.decode(chunks.encode(np.zeros(2, np.float32)), (3,), np.dtype(np.float32))


def test_every_flipped_byte_of_a_compressed_chunk_is_detected():
    """Before it is unpacked."""
    chunk = chunks.encode(large)
    for position in range(0, len(chunk), 97):
        broken = chunk[:position] + bytes([chunk[position] ^ 0x40]) + chunk[position + 1 :]
        with pytest.raises(chunks.DamagedError, match="checksum"):
            chunks.decode(broken, large.shape, large.dtype)
