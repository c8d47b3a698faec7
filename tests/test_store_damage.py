"""Stores that disks, strangers and other versions have been at; and places where none can be."""

import ast
import io
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import landscape as ls
from landscape.surfaces import io as results
from landscape.tiles import manifest
from landscape.tiles.chunks import sealed
from landscape.tiles.halfway import Halfway
from landscape.tiles.leases import Shard
from landscape.tiles.manifest import Named
from landscape.tiles.run import Tile, fill
from landscape.tiles.store import files_at, make_store, open_store
from landscape.tiles.tiling import Tiling
from tests.stored import AXES, PAIR, PLANE, beside, chunks, surface

pytestmark = pytest.mark.usefixtures("small_tiles")


@pytest.fixture
def store(tmp_path):
    """A complete store."""
    surface(store=tmp_path / "s.zarr")
    return tmp_path / "s.zarr"


def flip(path: Path, position: int = 3) -> None:
    """One bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(bytes(data))


# ---- tiles


@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize(("name", "tile"), [("risk/c/1/0", 2), ("slope/c/3/1/0", 7), ("finite/c/0/0", 0)])
def test_a_damaged_chunk_is_set_aside_and_computed_again(store, puts, harm, name, tile):
    """Its tile and no other. Until then opening the store names the variable."""
    before, variable = chunks(store), name.split("/")[0]
    harm(store / name)
    there = (store / name).exists()
    cure = "The call that made it, repeated, sets it aside and computes it again"
    with pytest.raises(ValueError, match=rf"s.zarr' is damaged: '{variable}' cannot be read \(.*\)\. {cure}"):
        ls.open_surface(store)
    puts.stop_after(99)
    with pytest.warns(UserWarning, match=rf"s.zarr': tile {tile} is damaged \({variable}\); it is computed again"):
        again = surface(store=store)
    assert puts.tiles == [tile] and chunks(store) == before and again.equals(surface())
    assert sum(kept.startswith(f"landscape/damaged/{name}-") for kept in beside(store)) == there == len(beside(store))


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"{}",
        b'{"checksums": {}}',
        b'{"checksums": [1]}',
        b'{"checksums": {"risk": 5}}',
        b"\xff",
    ],
)
@pytest.mark.filterwarnings("ignore:.*tile 3 is damaged")
def test_a_damaged_record_is_none(store, puts, record):
    """Its tile is computed again."""
    before = chunks(store)
    (store / "landscape/complete/3.json").write_bytes(record)
    puts.stop_after(99)
    assert surface(store=store).equals(surface())
    assert puts.tiles == [3] and chunks(store) == before


def test_what_is_no_record_is_passed_over(store, puts):
    """Files that a stranger or an editor left among them."""
    for name in ("8.json", "-1.json", "notes.txt", "3.json~"):
        (store / "landscape/complete" / name).write_bytes((store / "landscape/complete/3.json").read_bytes())
    puts.stop_after(0)
    assert surface(store=store).equals(surface())


@pytest.mark.parametrize("harm", [flip, Path.unlink])
def test_damaged_coordinates_are_written_again(store, harm):
    """They are what the call says, whose fingerprint is that in the manifest."""
    before = chunks(store)
    harm(store / "w/c/0")
    with pytest.raises(ValueError, match=r"is damaged: 'w' cannot be read"):
        ls.open_surface(store)
    with pytest.warns(UserWarning, match=r"s.zarr': w is damaged; it is written again"):
        assert surface(store=store).equals(surface())
    assert chunks(store) == before


def test_a_saved_surface_without_its_record_is_damaged(tmp_path):
    """It is there as a whole or not at all."""
    ls.save(surface(), tmp_path / "s.zarr")
    (tmp_path / "s.zarr/landscape/complete/0.json").write_text("{")
    with pytest.raises(ValueError, match=r"s.zarr' is damaged: the record of its tile cannot be read"):
        ls.open_surface(tmp_path / "s.zarr")


# ---- manifests


@pytest.mark.parametrize("keep", [0, 1, 100, -2])
def test_a_truncated_manifest_is_told(store, keep):
    """By whoever opens the store and by whoever goes on with it; nothing is touched."""
    path = store / "zarr.json"
    path.write_bytes(path.read_bytes()[:keep])
    before = {file: file.stat().st_mtime_ns for file in store.rglob("*")}
    for use in (ls.open_surface, lambda path: surface(store=path)):
        with pytest.raises(ValueError, match=r"s.zarr' is damaged: its manifest, zarr.json, cannot be read"):
            use(store)
    assert {file: file.stat().st_mtime_ns for file in store.rglob("*")} == before


def test_a_missing_manifest_is_told(store):
    """Without it the folder is no store."""
    (store / "zarr.json").unlink()
    for use in (ls.open_surface, lambda path: surface(store=path)):
        with pytest.raises(ValueError, match=r"s.zarr' is no store: results are folders that `ls.save`, `store=` or"):
            use(store)


def edited(store, *path, value=None, drop=False):
    """The root with one entry changed or left out, the manifest, which is a text, opened."""
    root = json.loads((store / "zarr.json").read_text())
    manifest = path[:2] == ("attributes", "manifest") and len(path) > 2
    if manifest:
        root["attributes"]["manifest"] = json.loads(root["attributes"]["manifest"])
    at = root
    for name in path[:-1]:
        at = at[name]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    if manifest:
        root["attributes"]["manifest"] = json.dumps(root["attributes"]["manifest"])
    (store / "zarr.json").write_text(json.dumps(root))


@pytest.mark.parametrize(
    "path",
    [
        ("consolidated_metadata",),
        ("attributes", "manifest"),
        ("attributes", "labels"),
        ("attributes", "manifest", "tiles"),
        ("attributes", "manifest", "identity"),
        ("consolidated_metadata", "metadata", "risk", "shape"),
    ],
)
def test_a_manifest_that_lacks_something_is_told(store, path):
    """What is missing is named."""
    edited(store, *path, drop=True)
    lacks = rf"s.zarr' is damaged: its manifest, zarr.json, lacks what belongs there \(KeyError\('{path[-1]}'\)\)"
    with pytest.raises(ValueError, match=lacks):
        ls.open_surface(store)
    for value in ([], {"kind": "surface", "format": 2, "manifest": 3}):
        edited(store, "attributes", value=value)
        with pytest.raises(ValueError, match=r"s.zarr' (holds no result of this package|is damaged: its manifest)"):
            ls.open_surface(store)


@pytest.mark.parametrize(
    ("found", "cure"),
    [(99, "upgrade landscape"), (1, "read it with xarray.open_zarr, or compute it again"), ("new", "read it with")],
)
def test_another_format_is_told(store, found, cure):
    """With what can be done."""
    edited(store, "attributes", "format", value=found)
    for use in (ls.open_surface, lambda path: surface(store=path)):
        with pytest.raises(ValueError, match=rf"s.zarr' has format {found}; this version reads format 2: {cure}"):
            use(store)


# ---- strangers


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return (Path("sprung").touch, ())


def test_a_stranger_s_store_runs_no_code(store, puts, monkeypatch, tmp_path):
    """What a tile had halfway may be anything: pickles are not read."""
    monkeypatch.chdir(tmp_path)
    packed = io.BytesIO()
    np.savez(packed, plan=np.array("plan"), calls=np.array([Trap()], object), allow_pickle=True)
    (store / "landscape/halfway").mkdir()
    (store / "landscape/halfway/3.npz").write_bytes(sealed(packed.getvalue()))
    (store / "landscape/complete/3.json").unlink()
    assert Halfway(files_at(store), "landscape/halfway/3.npz").load("plan") is None
    assert surface(store=store).equals(surface())
    assert not Path("sprung").exists()


def test_no_module_reads_pickles():
    """Nor anything else that runs what is in a file; processes that draw figures read their parent's, from a pipe."""
    package = Path(ls.__file__).parent
    for path in set(package.rglob("*.py")) - {package / "figure_set/_jobs.py"}:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(re.search(r"pickle|marshal|shelve|dill|joblib", name) for name in names), path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, path


# ---- where stores are


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_stores_at_urls(tmp_path, puts, scheme):
    """Begun, gone on with, read while they grow by this package and by xarray, mended; saved ones too."""
    url = f"{scheme}://{tmp_path}/s.zarr"
    whole = surface()
    puts.stop_after(5)
    with pytest.raises(KeyboardInterrupt):
        surface(store=url)
    assert ls.open_surface(url).attrs["tiles_complete"] == 5
    puts.stop_after(99)
    assert surface(store=url).equals(whole) and puts.tiles == [5, 6, 7]
    assert ls.open_surface(url).equals(whole)
    alone = xr.open_zarr(url, chunks=None)
    assert np.array_equal(alone.risk, whole.risk) and np.array_equal(alone.slope, whole.slope)
    files_at(url).write({"risk/c/0/1": b"12345678"})
    with pytest.warns(UserWarning, match=r"s.zarr': tile 1 is damaged \(risk\)"):
        assert surface(store=url).equals(whole)
    with pytest.raises(ValueError, match="axes differ"):
        ls.evaluate(PAIR, PLANE, AXES | {"b": [0.0]}, quantities=("slope",), store=url)
    with pytest.raises(FileExistsError, match="exists; results are never overwritten"):
        ls.save(whole, url)
    ls.save(whole, f"{url}.saved")
    assert ls.open_surface(f"{url}.saved").identical(whole)
    with pytest.raises(FileNotFoundError, match=r"nowhere' does not exist"):
        ls.open_surface(f"{url}.nowhere")


def test_an_unknown_kind_of_url_is_told(tmp_path):
    """Before anything is computed."""
    with pytest.raises(ValueError, match="Protocol not known: nothing"):
        surface(store="nothing://s.zarr")


def test_a_place_where_nothing_can_be_written_is_found_before_anything_is_computed(tmp_path, puts, compilations):
    """Below a file; and a store that is there, but takes no more."""
    (tmp_path / "file").write_text("mine")
    puts.stop_after(0)
    with compilations() as tally, pytest.raises(OSError, match="file"):
        surface(store=tmp_path / "file" / "s.zarr")
    puts.stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        surface(store=tmp_path / "s.zarr")
    (tmp_path / "s.zarr/.partial").rmdir()
    (tmp_path / "s.zarr/.partial").write_text("no folder")
    with compilations() as more, pytest.raises(OSError, match=r"3 of 8 tiles are safe; mend that and repeat the call"):
        surface(store=tmp_path / "s.zarr")
    assert tally.count == more.count == 0


def test_a_place_that_is_taken_is_refused(tmp_path):
    """Whatever is there stays as it is; an empty folder is free."""
    for name in ("folder", "empty"):
        (tmp_path / name).mkdir()
    for name in ("file", "folder/file"):
        (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    for name in ("folder", "file"):
        with pytest.raises(ValueError, match=f"{name}' is no store: results are folders that"):
            surface(store=tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before
    assert surface(store=tmp_path / "empty").equals(surface())


# ---- many tiles


def test_a_store_of_ten_thousand_tiles_opens_at_once_and_goes_on_where_it_was(tmp_path, monkeypatch):
    """In a few times what it takes to read its files; only what is missing is computed."""
    monkeypatch.setattr("os.fsync", lambda file: None)  # nobody pulls the plug
    tiling = Tiling(("a", "b"), (100, 100), (1, 1))
    tiles = {tile: {"risk": Named(tiling.dims, np.full((1, 1), tile, np.float32))} for tile in range(9_999)}
    described = {"kind": "surface", "format": manifest.FORMAT, "cells_in_flight": 1}
    new = results.manifest_of(tiling, tiles[0], {"risk": {}}, {}, described, {"kind": "surface"}, {})
    make_store(tmp_path / "s.zarr", *new, tiles=tiles.items())
    started = time.perf_counter()
    read = [Path(path).read_bytes() for path in (tmp_path / "s.zarr").rglob("*") if path.is_file()]
    alone = time.perf_counter() - started
    started = time.perf_counter()
    opened = ls.open_surface(tmp_path / "s.zarr")
    assert time.perf_counter() - started < 5 * alone + 2
    assert len(read) > 2 * 9_999 and opened.attrs["tiles_complete"] == 9_999
    assert np.array_equal(opened.risk.values.ravel()[:-1], np.arange(9_999))
    computed, done = [], []

    def work(tile, device, halfway):
        computed.append(tile)
        return Tile({"risk": Named(tiling.dims, np.float32([[7]]))}, {})

    fill(open_store(tmp_path / "s.zarr"), work, Shard(0, 1), [None], done.append)
    assert computed == [9_999] and len(done) == 10_000
    assert ls.open_surface(tmp_path / "s.zarr").risk[-1, -1] == 7
