"""The peers' process: what goes to and fro, with a program of NumPy alone; with the peers themselves where they are."""

import ast
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import landscape as ls
from benchmarks.contestants import numpy_loop, peers, plain_loop
from benchmarks.contestants.peers import PeerError, Peers
from benchmarks.harness.timing import Elsewhere, Reported, race
from benchmarks.problems import networks

FOLDER = Path(peers.PROGRAM[1])
FAKE = f"""
import os, sys, time
from pathlib import Path
sys.path.insert(0, {str(FOLDER)!r})
import numpy as np
import protocol

answers = protocol.answers_only()
threads = []

def double(problem, loud):
    def call():
        if loud:
            print("to whom it may concern")
            os.write(1, b"{{not json")
        return {{"answer": 2 * problem.arrays["x"], "threads": np.array(threads[-1])}}
    return call

def slow(problem):
    def late():
        time.sleep(0.3)
        return np.zeros(1)
    def call():
        time.sleep(0.05)
        return {{"answer": late}}
    return call

def large(problem):
    return lambda: {{"answer": np.ones(8_000_000)[:1]}}

def raises(problem, at_once):
    def call():
        raise ArithmeticError("no pivot\\nin row 3")
    return call() if at_once else call

def dies(problem):
    def call():
        print("out of luck", file=sys.stderr, flush=True)
        os._exit(3)
    return call

contestants = {{f.__name__: f for f in (double, slow, large, raises, dies)}}
program = protocol.Program(contestants, lambda: {{"versions": {{}}}}, threads.append)
protocol.serve(program, Path(sys.argv[1]), sys.stdin, answers)
"""


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """The process of a program that needs NumPy alone."""
    path = tmp_path_factory.mktemp("fake") / "fake.py"
    path.write_text(FAKE)
    with Peers((sys.executable, str(path))) as process:
        yield process


@pytest.fixture(scope="module")
def real():
    """That of the peers."""
    if peers.missing():
        pytest.skip(peers.missing())
    with Peers() as process:
        yield process


@pytest.fixture(scope="module")
def small():
    """A small perceptron, 3×3 cells."""
    return networks.perceptron("small", networks.noise(12, 5), 4, 3)


@pytest.fixture
def absent(monkeypatch, tmp_path):
    """No environment of the peers."""
    monkeypatch.setattr(peers, "ENVIRONMENT", tmp_path)


@pytest.fixture
def as_users_write():
    """Networks add biases to batches, and integers to floats, as most people do."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def one_core(monkeypatch):
    """Contestants on one thread: others wait for each other, where the machine has much to do."""
    monkeypatch.setattr(peers, "usable_cores", lambda: 1)


def numbers(*values):
    return {}, {"x": np.array(values)}


def test_arrays_go_there_and_come_back_whatever_is_printed(fake):
    quiet, loud = (fake.prepare("double", numbers(1.5, -2.0), 3 + loud, loud=loud) for loud in (False, True))
    for call, threads in ((quiet, 3), (loud, 4), (quiet, 3)):
        reported = call()
        np.testing.assert_array_equal(reported.answer["answer"], [3, -4])
        assert reported.answer["threads"] == threads  # set before each run


def test_it_times_itself_and_only_what_is_measured(fake):
    reported = fake.prepare("slow", numbers(0))()
    assert 0.05 <= reported.seconds < 0.25  # not the 0.3 s of reading the answer
    assert 0 <= reported.core_seconds < 0.04


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells")
def test_memory_is_that_at_the_peak_of_a_call_over_there(fake):
    """8,000,000 numbers of 8 bytes, freed again; a run that takes little says so, before and after."""
    small, large = fake.prepare("double", numbers(1.0), loud=False), fake.prepare("large", numbers(0))
    large = peers.read({"large": large}, lambda arrays: arrays)["large"]
    found = [call.peak_bytes() for call in (small, large, small)]
    assert found[1] == pytest.approx(64e6, rel=0.1)
    assert found[0] < 5e6 and found[2] < 5e6


def test_the_same_problem_is_written_once(fake):
    problem = numbers(1.0)
    before = len(fake._written)
    fake.prepare("slow", problem), fake.prepare("large", problem), fake.prepare("large", numbers(1.0))
    assert len(fake._written) == before + 2


@pytest.mark.parametrize("at_once", [True, False])
def test_what_a_peer_raises_is_an_answer(fake, at_once):
    with pytest.raises(PeerError, match=r"^raises: ArithmeticError: no pivot$"):
        fake.prepare("raises", numbers(0), at_once=at_once)()
    np.testing.assert_array_equal(fake.prepare("double", numbers(1), loud=False)().answer["answer"], [2])


def test_what_nobody_can_do_is_said(fake):
    with pytest.raises(PeerError, match="KeyError: 'triple'"):
        fake.prepare("triple", numbers(0))
    with pytest.raises(PeerError, match="there is nothing to do for 'sing'"):
        fake._ask("", do="sing")


def test_a_process_that_dies_is_quoted(tmp_path):
    (tmp_path / "fake.py").write_text(FAKE)
    with Peers((sys.executable, str(tmp_path / "fake.py"))) as process:
        call = process.prepare("dies", numbers(0))
        for _ in range(2):  # the second time there is nobody to ask
            with pytest.raises(RuntimeError, match=r"the peers' process ended \(status 3\):\n.*out of luck"):
                call()


def test_a_process_that_does_not_start_is_quoted(tmp_path):
    (tmp_path / "fake.py").write_text("import nothing_of_that_name")
    with (
        pytest.raises(RuntimeError, match=r"(?s)ended \(status 1\):.*No module named 'nothing_of_that_name'"),
        Peers((sys.executable, str(tmp_path / "fake.py"))),
    ):
        pass


def test_without_an_environment_there_are_no_peers(absent, small):
    assert peers.missing() == "no environment of the peers: run `make bench-peers`"
    with pytest.raises(RuntimeError, match="run `make bench-peers`"), Peers():
        pass
    with peers.started() as process:
        assert process is None
        assert peers.planes(process, small) == {}
        assert peers.grids(process, *np.zeros((3, 1)), gradient=False, dtype="float32") == {}


def test_an_environment_that_is_half_made_is_none(absent):
    (peers.ENVIRONMENT / "bin").mkdir()
    assert peers.missing()
    (peers.ENVIRONMENT / ".ready").touch()
    assert not peers.missing()


def test_what_a_race_counts_is_what_is_reported():
    calls = {"there": Elsewhere(lambda: Reported(7.0, 8.0, "answer"), lambda: 9), "here": lambda: 1}
    there, here = race(calls, 2, memory=True).values()
    assert (there.first, there.answer, there.cost.peak_bytes) == (7.0, "answer", 9)
    np.testing.assert_array_equal([there.seconds, there.core_seconds], [[7, 7], [8, 8]])
    assert here.answer == 1 and here.median < 1


def test_the_program_imports_nothing_of_ours():
    own = {path.stem for path in FOLDER.glob("*.py")}
    named = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, "there is no package over there"
                named.add(node.module.split(".")[0])
    others = {"numpy", "torch", "loss_landscapes", "landscaper", "pyhessian"}
    assert named - own - sys.stdlib_module_names == others


def test_everything_is_pinned():
    for name in ("requirements.txt", "no-deps.txt"):
        lines = [line for line in (FOLDER / name).read_text().splitlines() if not line.startswith("#")]
        assert lines and all(re.fullmatch(r"[\w-]+==[\d.post]+", line) for line in lines), name


def test_what_is_written_of_a_network(small):
    about, arrays = peers.described(small.typed(ml_dtypes.bfloat16))
    assert json.loads(json.dumps(about)) == {"layers": [["dense", "hidden"], ["tanh", ""], ["dense", "out"]]}
    np.testing.assert_array_equal(arrays["labels"], small.data[1])
    kernel = peers._storable(arrays["direction1/out/kernel"])
    assert kernel.dtype == np.float32  # which holds the numbers of bfloat16
    np.testing.assert_allclose(kernel, small.directions[1]["out"]["kernel"], rtol=2**-8)
    assert list(arrays)[-2:] == ["direction1/out/kernel", "direction1/out/bias"]


def test_other_losses_are_refused():
    network = ls.mlp((3, 2))
    params = network.init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"(?s)`network` is .*half_squared_error.*measure cross-entropy.*make it by"):
        peers.many_starts(None, network, (), params, np.zeros((1, 1)), 0.1)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_neurons_grid(real, dtype, gradient):
    """Errors of a few roundings of z = w·x + b, up to 30 here: of the risk by as much, of what is at most 1 by less."""
    random = np.random.default_rng(0)
    x, y = random.standard_normal(40).astype(np.float32), (random.random(40) < 0.5).astype(np.float32)
    axis = np.linspace(-10, 10, 7, dtype=np.float32)
    cells = np.stack([c.ravel() for c in np.meshgrid(axis, axis[:5], indexing="ij")], axis=1)
    truth = numpy_loop.grid(cells, x, y, gradient)
    tolerance = 60 * float(jnp.finfo(dtype).eps)
    for by, call in peers.grids(real, cells, x, y, gradient, dtype).items():
        answer = call().answer
        assert answer.dtype == np.dtype("float32" if dtype == "bfloat16" else dtype)
        np.testing.assert_allclose(answer, truth, rtol=0, atol=tolerance, err_msg=by)


@pytest.mark.parametrize("kind", ["perceptron", "convolutional"])
def test_peers_see_the_same_plane_and_two_of_them_slip(real, kind, small, one_core, as_users_write):
    problem = small
    if kind == "convolutional":
        images = np.random.default_rng(0).standard_normal((6, 8, 8, 1), np.float32), np.arange(6, dtype=np.int32)
        problem = networks.convolutional(images, (2, 3), 5)
    truth = plain_loop.truth(problem)[0]
    answers = {by: call().answer for by, call in peers.planes(real, problem).items()}
    walked, mapped, flat, rescaled = (
        [by for by in answers if by.startswith(name) and (peers.RESCALED in by) == moved]
        for name, moved in (
            (peers.PACKAGE, False),
            (peers.MAPPED, False),
            (peers.LANDSCAPER, False),
            (peers.LANDSCAPER, True),
        )
    )
    for by in mapped:
        np.testing.assert_allclose(answers[by], truth, rtol=1e-5, err_msg=by)
    for by in walked:
        where = peers.right(problem)
        np.testing.assert_allclose(answers[by][where], truth[where], rtol=1e-5, err_msg=by)
        as_is, moved = peers.off_by_one(problem, answers[by], truth)
        assert as_is > 1e-3 and moved < 1e-5
    for by in flat:
        noise, others = peers.noisy(answers[by], truth)
        assert noise > 1e-4 and others < 1e-5, by
        assert peers.swapped(problem, answers[by], truth) > 1e-2
    off = np.abs(answers[rescaled[0]] - truth)
    assert np.median(off) > 1e-4 and off[len(off) // 2] < 1e-5  # all but the middle
    assert walked and mapped and flat and len(rescaled) == 1


def test_a_plane_in_float64_is_right_to_its_last_digits(real, small, one_core, as_users_write):
    problem = replace(small, axes=(small.axes[0][:2], small.axes[1][:2])).typed(np.float64)
    calls = peers.planes(real, problem)
    assert not any(by.startswith(peers.LANDSCAPER) for by in calls)  # an even side has no middle
    (by,) = [by for by in calls if by.startswith(peers.MAPPED)]
    np.testing.assert_allclose(calls[by]().answer, plain_loop.truth(problem)[0], rtol=1e-13)


def test_landscapers_coordinates_are_those_of_other_cells(real, small):
    """They have the first axis fastest; the losses, as `flat` shows in the test above, the second."""
    found = real.prepare("planes.landscaper", small, dtype="float32", flattened=True)().answer["coordinates"]
    step = found[1, 0] - found[0, 0]
    np.testing.assert_allclose(found, step * small.cells[:, ::-1], atol=1e-12)


def test_adam_ends_where_it_does_in_numpy(real):
    x, y = (np.asarray(a, np.float32) for a in ls.datasets.pair())
    starts = np.random.default_rng(0).uniform(-5, 5, (7, 2)).astype(np.float32)
    (call,) = peers.adam(real, starts, x, y, 0.1, 0.1, 60).values()
    np.testing.assert_allclose(call().answer, numpy_loop.adam(starts, x, y, 0.1, 0.1, 60), atol=1e-4)


def test_many_starts_end_where_they_do_by_hand(real, one_core, x64):
    """Two layers by hand in float64: what 8 steps in float32 differ from by their roundings."""
    network = ls.mlp((5, 4, 3), output="softmax", loss="cross_entropy")
    data = np.random.default_rng(0).standard_normal((12, 5)), np.arange(12) % 3
    starts = jax.vmap(network.init)(jax.random.split(jax.random.key(0), 3))
    order = np.random.default_rng(1).permutation(48).reshape(8, 6) % 12
    slope = jax.grad(lambda params, x, y: jnp.mean(network.losses(params, (x, y))))
    slopes = jax.jit(jax.vmap(slope, in_axes=(0, None, None)))
    wanted = jax.tree.map(np.asarray, starts)
    for chosen in order:
        gradient = slopes(wanted, data[0][chosen], data[1][chosen])
        wanted = jax.tree.map(lambda leaf, change: leaf - 0.5 * np.asarray(change), wanted, gradient)
    for by, call in peers.many_starts(real, network, data, starts, order, 0.5).items():
        jax.tree.map(lambda a, b, by=by: np.testing.assert_allclose(a, b, atol=1e-5, err_msg=by), call().answer, wanted)


def test_it_says_what_is_installed(real):
    assert {"torch", "loss-landscapes", "landscaper", "pyhessian", "numpy"} == set(real.described["versions"])
    assert all(real.described["versions"].values()) and real.described["threads"] >= 1
