"""Real processes that are killed, interrupted, or run out of disk: what they kept is gone on with, bit by bit.

LANDSCAPE_KILLS: how many runs are killed at random moments (`make test-slow`: fifty).
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from landscape.cli import main
from tests.stored import beside, chunks, complete

pytestmark = [
    pytest.mark.skipif(jax.default_backend() != "cpu", reason="an accelerator's memory is for one process"),
    pytest.mark.lenient("optax mixes dtypes and ranks"),
]

KILLS = int(os.environ.get("LANDSCAPE_KILLS", "5"))
PATIENCE = 120  # seconds until a process that does not come counts as stuck

# The command line with a tile a cell or a run, which take some time, and with a disk that may become full.
RUN = """
import os, resource, sys, time

import landscape as ls
from landscape.analysis import _blocks, _runs
from landscape.cli import main
from landscape.surfaces import _plan, _work

_plan.stored_cells = lambda sizes, n: 1
_blocks.VECTORIZED = _blocks.STORED_WORK = 1
seconds, room = float(os.environ.get("SECONDS", 0)), int(os.environ.get("ROOM", -1))
tiles = []


def slowly(real):
    def work(*arguments):
        if len(tiles) == room:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        print("tile", flush=True)
        tiles.append(time.sleep(seconds))
        return real(*arguments)

    return work


def told(real):
    def run(*arguments, **options):
        print("begun", flush=True)
        return real(*arguments, **options)

    return run


_work.Work.__call__ = slowly(_work.Work.__call__)
_runs.Tracer.__call__ = slowly(_runs.Tracer.__call__)
ls.evaluate, ls.descend = told(ls.evaluate), told(ls.descend)
sys.exit(main(sys.argv[1:]))
"""
SURFACE = ("surface", "--data", "pair", "--axis", "w=-3:3:8", "b=-2:2:5", "--penalty", "l2=0.1")
DESCEND = ("descend", "--data", "pair", "--optimizer", "adam=0.1", "--steps", "30", "--start",
           *(f"w={w},b=0.5" for w in range(20)))  # fmt: skip
TILES = {SURFACE: 40, DESCEND: 20}


@pytest.fixture(autouse=True)
def tiles(monkeypatch, tmp_path):
    """In this process too a tile is a cell or a run; and its folder is where the others are at work."""
    monkeypatch.setattr("landscape.surfaces._plan.stored_cells", lambda sizes, n: 1)
    for name in ("VECTORIZED", "STORED_WORK"):
        monkeypatch.setattr(f"landscape.analysis._blocks.{name}", 1)
    monkeypatch.setattr("landscape.tiles.local.LEFT_FOR", 0.0)  # the others are surely of this machine
    monkeypatch.chdir(tmp_path)
    Path("run.py").write_text(RUN)


class Process(subprocess.Popen):
    """A command in a process of its own; ended with the test."""

    def __init__(self, *argv: str, seconds: float = 0.0, room: int = -1) -> None:
        settings = {"SECONDS": str(seconds), "ROOM": str(room), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "run.py", *argv, "-o", "s.zarr"]
        super().__init__(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **settings}
        )

    def until(self, line: str, times: int = 1) -> None:
        """Wait for a line."""
        while times:
            said = self.stdout.readline()
            assert said, self.stderr.read()
            times -= said == f"{line}\n"

    def ended(self) -> tuple[int, str]:
        """Its exit status and what it said on standard error."""
        _, err = self.communicate(timeout=PATIENCE)
        return self.returncode, err

    def __exit__(self, *error: object) -> None:
        self.kill()
        super().__exit__(*error)


_wholes: dict[tuple[str, ...], tuple[dict[str, bytes], float]] = {}


def whole(command: tuple[str, ...]) -> tuple[dict[str, bytes], float]:
    """The chunks of a run that nothing interrupts, and how many seconds it took once it had begun."""
    if command not in _wholes:
        with Process(*command) as process:
            process.until("begun")
            started = time.monotonic()
            assert process.ended()[0] == 0
        _wholes[command] = chunks(Path("s.zarr")), time.monotonic() - started
        assert len(complete(Path("s.zarr"))) == TILES[command]
        Path("s.zarr").rename("whole.zarr")
    return _wholes[command]


def assert_goes_on(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The same command completes the store, in another process than before; nothing is left over."""
    expected, _ = whole(command)
    completed = Path("s.zarr").exists() and len(complete(Path("s.zarr"))) == TILES[command]
    assert main([*command, "-o", "s.zarr"]) == 0, capsys.readouterr().err
    assert chunks(Path("s.zarr")) == expected and len(complete(Path("s.zarr"))) == TILES[command]
    if not completed:  # a complete store is not written to: what was left in its last moment stays
        assert beside(Path("s.zarr")) == set()
    assert {path.name for path in Path().iterdir()} <= {"run.py", "s.zarr", "whole.zarr"}


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_that_is_killed_is_gone_on_with(capsys, number):
    """At random moments: while it begins a store, computes, writes, or has just ended."""
    command = (SURFACE, DESCEND)[number % 2]
    _, seconds = whole(command)
    with Process(*command) as process:
        process.until("begun")
        time.sleep(random.Random(number).uniform(0, seconds))
        process.kill()
        assert process.ended()[0] in (-signal.SIGKILL, 0)
    assert_goes_on(command, capsys)


@pytest.mark.parametrize(
    ("number", "status", "command"), [(signal.SIGINT, 130, SURFACE), (signal.SIGTERM, 143, DESCEND)]
)
def test_a_signal_finishes_the_tile_in_hand(capsys, number, status, command):
    """And says what is safe and what to do."""
    with Process(*command, seconds=0.1) as process:
        process.until("tile", 3)
        process.send_signal(number)
        code, err = process.ended()
    safe = len(complete(Path("s.zarr")))
    assert code == status and 2 <= safe < TILES[command]
    assert err.splitlines() == [
        "landscape: finishing what is in hand, to lose nothing; once more to stop at once",
        f"landscape: interrupted; {safe} of {TILES[command]} tiles safe in 's.zarr', run the same again to resume",
    ]
    assert not any("writers" in name for name in beside(Path("s.zarr"))), "the lease is given back"
    assert_goes_on(command, capsys)


def test_a_second_signal_stops_at_once(capsys):
    """The tile in hand is lost, no other."""
    with Process(*SURFACE, seconds=100) as process:
        process.until("tile")
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith("landscape: finishing what is in hand")
        process.send_signal(signal.SIGINT)
        code, err = process.ended()
    last = "landscape: interrupted; 0 of 40 tiles safe in 's.zarr', run the same again to resume\n"
    assert (code, err) == (130, last)
    assert_goes_on(SURFACE, capsys)


def test_a_survivor_completes_the_store():
    """Two processes fill one store; one is killed, and the other does its tiles too."""
    expected, _ = whole(SURFACE)
    with (
        Process(*SURFACE, "--shard", "0/2", seconds=0.05) as one,
        Process(*SURFACE, "--shard", "1/2", seconds=0.05) as other,
    ):
        other.until("tile", 3)
        other.kill()
        assert one.ended() == (0, "")
    assert chunks(Path("s.zarr")) == expected
    assert beside(Path("s.zarr")) == {"landscape/writers/1-of-2.json"}, "nobody gave that back"
    assert main(["status", "s.zarr"]) == 0


def test_two_writers_of_one_shard():
    """The second is told; both are right."""
    expected, _ = whole(SURFACE)
    with Process(*SURFACE, seconds=0.05) as one:
        one.until("tile", 2)
        one.send_signal(signal.SIGSTOP)
        with Process(*SURFACE, seconds=0.05) as other:
            other.until("tile", 2)
            one.send_signal(signal.SIGCONT)
            assert one.ended() == (0, "")
            code, err = other.ended()
    assert code == 0
    assert re.fullmatch(rf"landscape: warning: process {one.pid} on .* is writing shard 0 of 1 .*\n", err)
    assert chunks(Path("s.zarr")) == expected


def test_a_full_disk(capsys):
    """What is safe is said; with room again the same command goes on."""
    with Process(*SURFACE, room=7) as process:
        code, err = process.ended()
    safe = "(7 of 40 tiles are safe; mend that and repeat the call to go on)"
    assert (code, err) == (2, f"landscape: error: 's.zarr': File too large {safe}\n")
    assert_goes_on(SURFACE, capsys)


def test_a_disk_that_is_full_from_the_start(capsys):
    """Nothing is begun."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (99, resource.RLIM_INFINITY))\n"
    Path("run.py").write_text(limit + RUN)
    with Process(*SURFACE) as process:
        code, err = process.ended()
    assert (code, err) == (2, "landscape: error: 's.zarr': File too large\n")
    assert {path.name for path in Path().iterdir()} == {"run.py"}


def test_sigterm_after_jax_distributed_has_begun(capsys):
    """JAX would swallow it; each process finishes its tile and says what is safe."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (
        Process(*SURFACE, "--distributed", address, "--shard", "0/2", seconds=0.2) as one,
        Process(*SURFACE, "--distributed", address, "--shard", "1/2", seconds=0.2) as other,
    ):
        for process in (one, other):
            process.until("tile", 2)
        for process in (one, other):
            process.send_signal(signal.SIGTERM)
        said = [process.ended() for process in (one, other)]
    assert 2 <= len(complete(Path("s.zarr"))) < 40
    for code, err in said:
        assert code == 143, err
        assert re.search(r"^landscape: interrupted; \d+ of 40 tiles safe in 's.zarr', run the same again", err, re.M)
    assert_goes_on(SURFACE, capsys)
