"""How far a store is, said in words; and the processes and devices that may fill one."""

import json
import os
import re
import socket
import subprocess
import sys
import time

import jax
import pytest

import landscape as ls
from landscape.cli import main
from landscape.tiles import leases
from landscape.tiles.status import status
from landscape.tiles.store import files_at, open_store
from tests.stored import PAIR, PLANE, stopped, surface

pytestmark = pytest.mark.usefixtures("small_tiles")


def lease(path, shard: int, of: int, **said) -> None:
    """As another process on this machine would write it."""
    now = {"pid": os.getppid(), "host": socket.gethostname(), "since": time.time() - 600, "seen": time.time()}
    name = f"{leases.WRITERS}/{shard}-of-{of}.json"
    files_at(path).write({name: json.dumps({"shard": shard, "of": of, **now, **said}).encode()})


def finished(path, *times: float) -> None:
    """When the first tiles were."""
    for tile, at in enumerate(times):
        record = path / f"landscape/complete/{tile}.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"finished": at}))


def test_a_store_that_grows(tmp_path, puts, capsys):
    """Tiles, their rate lately, time left, who writes and who is gone, and what went wrong."""
    stopped(tmp_path / "s.zarr", puts)
    finished(tmp_path / "s.zarr", *(time.time() - ago for ago in (500, 300, 100)))
    lease(tmp_path / "s.zarr", 0, 2)
    lease(tmp_path / "s.zarr", 1, 2, host="elsewhere", pid=7, seen=time.time() - 3 * 3600)
    files_at(tmp_path / "s.zarr").write({"landscape/damaged/risk/c/0/0-then": b"", "landscape/halfway/4.npz": b""})
    record = tmp_path / "s.zarr/landscape/complete/1.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"in_flight": 2}))
    assert main(["status", str(tmp_path / "s.zarr")]) == 0
    said, here = capsys.readouterr().out, re.escape(socket.gethostname())
    for line in (
        r"surface .*s\.zarr",
        r"  tiles         3 of 8 tiles complete \(38 %\)",
        r"  rate          0.3 tiles a minute, 16.7 minutes left",
        r"  halfway       1 tile begun, and kept",
        rf"  writing       shard 0/2: process {os.getppid()} on {here}, for 10 minutes",
        r"  gone          shard 1/2: process 7 on elsewhere, for 10 minutes; no sign of life for 3 hours",
        r"  failures      damaged chunks set aside in landscape/damaged/: 1",
        r"  failures      tiles that ran out of memory, and had fewer cells in flight: 1",
    ):
        assert re.search(f"^{line}$", said, re.MULTILINE), line


def test_a_store_that_is_complete(tmp_path):
    """And one that was saved whole, or lies in memory."""
    url = f"memory://{tmp_path}/s.zarr"
    for path in (url, tmp_path / "s.zarr"):
        surface(store=path)
        said = status(open_store(path))
        assert (said.complete, said.tiles, said.writers, said.damaged, said.halfway) == (8, 8, (), 0, 0)
        assert str(said).splitlines()[1:] == ["  tiles         8 of 8 tiles complete (100 %)", "  writing       nobody"]
    ls.save(surface(), tmp_path / "saved.zarr")
    assert "1 of 1 tiles complete" in str(status(open_store(tmp_path / "saved.zarr")))


def test_a_store_that_is_begun(tmp_path, puts):
    """No rate yet."""
    puts.stop_after(0)
    with pytest.raises(KeyboardInterrupt):
        surface(store=tmp_path / "s.zarr")
    said = status(open_store(tmp_path / "s.zarr"))
    assert (said.complete, said.rate, said.seconds_left) == (0, None, None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shard": 1}, TypeError, r"`shard` is 1; give \(i, n\): this is process i of n, counted from 0"),
        ({"shard": (2, 2)}, ValueError, r"`shard` is \(2, 2\); of 2 processes the last is number 1"),
        ({"shard": (-1, 2)}, ValueError, r"`shard\[0\]` is -1"),
        ({"shard": (0, 2), "store": None}, ValueError, "`shard` is a share of a store; give store= a path that all"),
        ({"devices": []}, ValueError, "`devices` is empty; give at least one, or leave it out for all"),
        ({"devices": jax.devices()[0]}, TypeError, "`devices` is .*; give a list of devices"),
        ({"devices": ["cpu"]}, TypeError, "`devices` holds a str.*; give JAX devices"),
    ],
)
def test_shares_and_devices_that_make_no_sense(tmp_path, options, error, message):
    """Are refused by name, before anything is begun."""
    with pytest.raises(error, match=message):
        ls.evaluate(PAIR, PLANE, {"w": [0.0], "b": [0.0]}, **({"store": tmp_path / "s.zarr"} | options))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["2/2", "1", "x/2", "-1/2", "0/0"])
def test_shares_on_the_command_line(capsys, text):
    """In one line."""
    assert main(["surface", "--data", "pair", "-o", "s.zarr", f"--shard={text}"]) == 2
    assert "must be I/N, process I of N counted from 0, such as 0/4 … 3/4." in capsys.readouterr().err


SEVERAL = """
import jax, landscape as ls
from landscape.surfaces import _plan
from tests.stored import complete, chunks, surface
import pathlib, sys

assert len(jax.devices()) == 3
_plan.stored_cells = lambda sizes, n: 7
at = pathlib.Path(sys.argv[1])
one, all_of_them = (surface(store=at / str(n), devices=jax.devices()[:n]) for n in (1, 3))
assert one.equals(all_of_them) and one.equals(surface()) and chunks(at / "1") == chunks(at / "3")
pair = tuple(column.astype("float32") for column in ls.datasets.pair())
both = surface(store=at / "both", data={"train": pair, "test": pair}, penalties={"a": ls.l2(0.1)})
assert (both.risk.values == one.risk.values).all()
"""


def test_several_devices_fill_one_store(tmp_path):
    """The bytes do not depend on them."""
    several = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, str(tmp_path)], env={**os.environ, **several}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
