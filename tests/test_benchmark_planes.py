"""The benchmark of planes: a tiny run, its table and targets; what is said of others; what it compares with."""

import json
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from benchmarks.contestants import plain_loop
from benchmarks.harness import timing
from benchmarks.harness.asked import Asked
from benchmarks.harness.ways import Way
from benchmarks.problems import networks
from benchmarks.problems.network_work import work
from benchmarks.reporting import report
from benchmarks.workloads import memory_mapped, planes

PARTS = ("_wide", "_against_all", "_derivatives", "_images", "_nothing_hoists", "_linear", "_on_disk")


@pytest.fixture(autouse=True)
def as_users_write():
    """The networks add biases to batches, and integers to floats, as most people do."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def small():
    """A small perceptron, 3×3 cells."""
    return networks.perceptron("small", networks.noise(12, 5), 4, 3)


ALONE = Asked(("numpy", "jax-cpu"), repeats=1, progress=lambda line: None)
FLOAT32 = replace(ALONE, dtypes=("float32",))


def only(monkeypatch, *parts):
    """Leave the other parts of the run out."""
    for part in set(PARTS) - set(parts):
        monkeypatch.setattr(planes, part, lambda *arguments, **options: planes.Part())


def at(seconds, answer=None):
    """A contestant's times."""
    return timing.Timed(0.0, np.array([seconds]), np.array([seconds]), np.zeros(9) if answer is None else answer)


def test_a_small_run_prints_a_table_and_writes_json_with_errors_and_bounds(monkeypatch, tmp_path):
    only(monkeypatch, "_against_all")
    ran = planes.run(planes.SMOKE, ALONE)
    report.write(ran, tmp_path)
    lines = [line for line in report.markdown(ran).splitlines() if line.startswith("| ")]
    table = [line for line in lines if line[2:5] not in ("by ", "---")]
    assert "÷ bound" in lines[0]
    assert ran.targets == [] and any("too small to judge" in note for note in ran.notes)
    (path,) = tmp_path.iterdir()
    found = json.loads(path.read_text())
    assert path.name.startswith("planes-") and len(found["rows"]) == len(table)
    by = {row["by"] for row in found["rows"]}
    assert by >= {"numpy float32", "numpy float64", "jax-cpu float32", "jax-cpu float64", "jax-cpu bfloat16"}
    assert len([name for name in by if planes.PLAIN in name]) == 3
    limits = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 0.05}
    for row in found["rows"]:
        assert row["right"] and row["relative_error"] < limits[row["dtype"]] and row["over_bound"] > 0, row


def test_slopes_and_hessians_are_those_of_float64(small):
    found = planes._derivatives(small, FLOAT32)
    assert [row.by.partition(", ")[2] for row in found.rows] == ["risk", "risk, slope, plane_hessian"]
    assert all(row.right for row in found.rows)
    assert [target.limit for target in found.targets] == [8]


def test_the_target_is_about_the_fastest_of_an_opponents_ways(monkeypatch, small):
    def peer(name):
        return Way("torch", "float32", name)

    times = {planes.OURS: at(1.0)} | {
        planes.OURS._replace(setting=f"{planes.PLAIN}, {name}"): at(seconds)
        for name, seconds in (("slow", 50.0), ("fast", 12.0))
    }
    times |= {peer("loss-landscapes, 2 threads"): at(20.0), peer("loss-landscapes, 1 thread"): at(30.0)}
    monkeypatch.setattr(planes, "measure", lambda case, asked, repeats: (times | {peer("torch.func"): at(2.0)}, []))
    monkeypatch.setattr(planes, "floor", lambda work, way: 0.25)
    found = planes._against_all(small, FLOAT32, over_plain=10, over_package=15, over_floor=2)
    assert [(target.value, target.met) for target in found.targets] == [(12.0, True), (20.0, True), (4.0, False)]
    assert f"{planes.PLAIN}, fast" in found.targets[0].claim and "2 threads" in found.targets[1].claim


def test_what_is_wrong_in_answers_of_others_is_noted(small):
    truth = np.array([5.0, 1, 2, 3, 4, 0, 6, 7, 8])
    slipped = np.array([5.0, 1, 2, 0, 3, 4, 6, 7, 8])  # the second row, one step late
    noisy = truth + np.array([0, 0, 1e-6, 0, 0, 0, 0, 0, 0.25])
    answers = {"loss-landscapes, 1 thread": slipped, "Landscaper, 1 thread": noisy}
    timed = {Way("torch", "float32", name): at(1.0, answer) for name, answer in answers.items()}
    first, second = planes._walked(small, timed, truth)
    assert "errors up to 4.0e+00 (0.0e+00 once moved" in first
    assert "(2.5e-01 off; other cells 1.0e-06)" in second and "up to 7.0e+00 off, read by them" in second
    assert planes._walked(small, {planes.OURS: at(1.0, truth)}, truth) == []


def test_the_cost_of_a_linear_models_cell_is_that_of_one_more(monkeypatch):
    def measure_all(cases, asked, repeats):
        sizes = [(case.title, case.cells) for case in cases]
        return [{planes.OURS: at(int(title.split()[1].split("-")[0]) + 2.0 * cells)} for title, cells in sizes], []

    monkeypatch.setattr(planes, "measure_all", measure_all)
    found = planes._linear((3, 30), 8, (2, 3), FLOAT32)
    assert found.targets[0].value == pytest.approx(1)
    assert "2000000.00 µs with 30 inputs" in found.notes[0]


def test_the_work_of_a_plane_is_counted_layer_by_layer(small):
    """12 examples, 5-4-10, 9 cells: what is affine once for three trees, the rest in every cell."""
    counted = work(small)
    assert counted.products == 12 * 3 * 2 * 5 * 4 + 12 * 9 * 2 * 4 * 10
    assert (counted.tanh, counted.exp, counted.log) == (12 * 9 * 4, 12 * 9 * 10, 12 * 9)
    combined, bias, loss = 2 * 4, 10, 5 * 10
    assert counted.other == 12 * 9 * (combined + bias + loss) + 9 * 2 * 50  # and a cell forms the second layer
    images = np.zeros((6, 8, 8, 1), np.float32), np.arange(6, dtype=np.int32)
    counted = work(networks.convolutional(images, (2, 3), 4))
    taps = 22**2, 10**2  # of 3×3 kernels, those that meet a pixel of 8×8 and of 4×4
    assert counted.products == 6 * 3 * 2 * 2 * taps[0] + 6 * 16 * (2 * 2 * 3 * taps[1] + 2 * 12 * 10)
    assert counted.tanh == 0 and counted.bytes == 6 * 64 * 4 + 6 * 4 + 3 * 4 * (20 + 57 + 130) + 4 * 16
    squares = networks.perceptron("s", networks.noise(12, 5), 4, 3, "squared")
    assert work(squares).products == 12 * 9 * (2 * 5 * 4 + 2 * 4 * 10)  # nothing is affine


def test_a_data_set_on_disk_is_read_once_and_its_process_measured():
    found = memory_mapped.measure(300, 5, 3, 1)
    assert found.passes == 1
    assert found.file_bytes == 300 * 5 * 4
    assert 1e7 < found.peak_bytes < 4e9
    np.testing.assert_allclose(found.timed.answer, found.truth, rtol=1e-5)


def test_a_process_that_fails_says_why(monkeypatch):
    command = [sys.executable, "-c", "raise SystemExit('no room')"]
    failed = subprocess.run(command, capture_output=True, text=True)
    monkeypatch.setattr(memory_mapped.subprocess, "run", lambda *arguments, **options: failed)
    with pytest.raises(RuntimeError, match="data set on disk failed:\nno room"):
        memory_mapped.measure(300, 5, 3, 1)


def test_a_memory_map_counts_what_is_cut_out_of_it(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((10, 4), np.float32))
    counted = np.load(tmp_path / "x.npy", mmap_mode="r").view(memory_mapped.Counted)
    counted.whole = True
    before = memory_mapped.Counted.read
    part = counted[2:5]
    part[0]  # no byte of the file that was not counted
    assert memory_mapped.Counted.read - before == 3 * 4 * 4


def test_the_network_is_the_one_described(small):
    x, labels = small.data
    params = {name: {k: v.astype(np.float64) for k, v in layer.items()} for name, layer in small.origin.items()}
    hidden = np.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    logits = hidden @ params["out"]["kernel"] + params["out"]["bias"]
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(x)), labels]
    middle = len(small.cells) // 2
    assert (small.cells[middle] == 0).all()
    np.testing.assert_allclose(plain_loop.truth(small)[0][middle], losses.mean(), rtol=1e-12)


def test_convolution_relu_pooling_and_squares():
    image = jax.numpy.arange(-8.0, 8.0).reshape(1, 4, 4, 1)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 2] = 2  # twice the right neighbor
    moved = networks._layer("conv", image, {"kernel": kernel, "bias": np.ones(1, np.float32)})
    np.testing.assert_array_equal(moved[0, :, :, 0], 2 * np.pad(image[0, :, 1:, 0], ((0, 0), (0, 1))) + 1)
    pooled = networks._layer("pool", networks._layer("relu", image, None), None)
    np.testing.assert_array_equal(pooled.ravel(), [0, 0, 5, 7])
    weights = {"kernel": np.full((2, 1), -3, np.float32), "bias": np.zeros(1, np.float32)}
    np.testing.assert_array_equal(networks._layer("squared", np.ones((1, 2), np.float32), weights), [[18]])
    with pytest.raises(ValueError, match="unknown layer 'attention'"):
        networks._layer("attention", image, None)
