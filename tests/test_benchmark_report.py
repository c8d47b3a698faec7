"""What becomes of the benchmarks' results: kept as JSON, compared with another run, written into the README."""

import json
import math
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks.harness.timing import race
from benchmarks.machine import environment
from benchmarks.reporting import limits_figure, readme, report, section
from benchmarks.reporting.changes import pairs
from benchmarks.reporting.compare import compare, compare_command
from benchmarks.reporting.report import Report, Row, Target

MACHINE = {
    **{"processor": "Abacus", "architecture": "wood", "usable_cores": 2, "memory_gib": 1.0, "devices": ["cpu: cpu"]},
    **{"python": "3.11.7", "packages": {"jax": "0.10.0", "torch": None}, "compiler": None, "load_average": 0.1},
}
NAME = "abacus-wood-2-cores-cpu"
STEADY = (0.98, 0.99, 1.0, 1.01, 1.02)
RESTLESS = (0.5, 0.7, 1.0, 1.6, 2.5)
NEWER = "backend", "dtype", "ours", "compiling", "bound", "binding", "over_bound", "peak_bytes", "seconds"


def timed(seconds=STEADY, factor=1.0, workload="risk", by="jax-cpu float32", **columns) -> Row:
    """A row as `report.row` makes it."""
    own = tuple(factor * s for s in seconds)
    backend, dtype = by.split(",")[0].split()
    median = float(np.median(own))
    ours = backend.startswith("jax-") and report.PLAIN not in by
    known = {"backend": backend, "dtype": dtype, "ours": ours, "seconds": own, "absolute_error": 1e-7} | columns
    return Row(workload, by, median, min(own), max(own), median, own[0], len(own), **known)


def kept(folder, *rows, name="neuron", targets=(), notes=(), written="2026-01-02T03:04:05+00:00", **environment):
    """The path of a report with these rows."""
    where = MACHINE | environment
    return report.write(Report(name, {"cells": 4}, rows, targets, notes, where, written), folder)


@pytest.fixture
def runs(tmp_path):
    """Two folders, of an older and a newer run."""
    return tmp_path / "old", tmp_path / "new"


def verdicts(text: str) -> dict[str, str]:
    """By contestant, from the table's first and last column."""
    lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("| ")]
    return {cells[2]: cells[-2] for cells in lines[2:]}


# ---- kept as JSON


def test_every_repeat_the_ratio_to_the_bound_and_the_day_are_kept_and_read_back(tmp_path):
    measured = race({"slow": lambda: [1.0]}, repeats=3)["slow"]
    row = report.row("sum", "slow", measured, bound=measured.median / 4, binding="exp")
    path = report.write(Report("neuron", {}, [row], [Target("fast", 2.0, 1.0, "s")], ["a note"], MACHINE), tmp_path)
    content = json.loads(path.read_text())
    assert content["rows"][0]["seconds"] == measured.seconds.tolist()
    assert content["rows"][0]["over_bound"] == pytest.approx(4)
    assert content["targets"][0]["met"] is False
    assert content["written"].startswith("20") and content["written"].endswith("+00:00")
    again = report.read(path)
    assert (again.rows, again.targets, again.notes) == ((row,), (Target("fast", 2.0, 1.0, "s"),), ("a note",))
    assert again.written == content["written"]


def test_files_of_older_versions_are_read(tmp_path):
    path = kept(tmp_path, timed(bound=0.5))
    content = json.loads(path.read_text())
    del content["written"]
    for row in content["rows"]:
        for column in NEWER:
            del row[column]
    path.write_text(json.dumps(content))
    old = report.read(path)
    assert (old.written, old.rows[0].seconds, old.rows[0].over_bound, old.rows[0].median) == ("", (), None, 1.0)


def test_what_is_not_finite_is_null_and_nan_again(tmp_path):
    path = kept(tmp_path, timed(absolute_error=math.nan, right=False), targets=[Target("held", math.nan, 1.0, "s")])
    assert json.loads(path.read_text())["targets"][0]["value"] is None
    again = report.read(path)
    assert again.rows[0].absolute_error is None and not again.rows[0].right
    assert math.isnan(again.targets[0].value) and not again.targets[0].met


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": [{}], "targets": [], "notes": []}'])
def test_a_file_that_holds_something_else_is_named(tmp_path, text):
    path = tmp_path / "else.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"else.json` holds no result of a benchmark"):
        report.read(path)


def test_what_is_ours_is_kept_and_older_files_go_by_their_names(tmp_path):
    rows = [timed(by=f"jax-cpu float32, {name}", ours=ours) for name, ours in (("eigsh", False), ("plain", True))]
    path = kept(tmp_path, *rows, timed(by="numpy float64"))
    assert [row.ours for row in report.read(path).rows] == [False, True, False]
    content = json.loads(path.read_text())
    for row in content["rows"]:
        del row["ours"]
    path.write_text(json.dumps(content))
    assert [row.ours for row in report.read(path).rows] == [True, False, False]


@pytest.mark.parametrize("broken", [(report.os, "replace"), (report.Path, "write_text")])
def test_an_interruption_leaves_the_file_as_it_was(tmp_path, monkeypatch, broken):
    path = kept(tmp_path, timed())
    before = path.read_bytes()

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(*broken, stop)
        kept(tmp_path, timed(factor=2))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    kept(tmp_path, timed(factor=2))
    assert report.read(path).rows[0].median == 2 and list(tmp_path.iterdir()) == [path]


# ---- printed


def printed(*rows, targets=(), written="2026-01-02T03:04:05+00:00") -> list[str]:
    """The lines of a report with these rows."""
    return report.markdown(Report("neuron", {}, rows, targets, ["a note"], MACHINE, written)).splitlines()


def cells(line: str) -> list[str]:
    """Of a line of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_for_each_workload_has_only_the_columns_that_it_fills():
    first = timed(bound=0.5, binding="exp", compiling=0.3, peak_bytes=0, milliseconds=1.0, nanoseconds=2.0)
    reference = timed(by="numpy float64", absolute_error=0.0, bound=1e-4, binding="exp", peak_bytes=2e6)
    broken = timed(by="torch float32", absolute_error=0.5, right=False, relative_error=0.1)
    other = timed((1.0,), workload="other", absolute_error=None, relative_error=1e-3, evaluations=49, over=True)
    lines = printed(first, other, reference, broken, targets=[Target("fast", 2.0, 1.0, "×")])
    assert lines[0] == "neuron: Abacus, 2 cores, 1.0 GiB; Python 3.11.7, jax 0.10.0 on cpu; 2026-01-02 03:04 UTC"
    assert lines[1:4] == ["", "**risk** (bound by exp)", ""]
    assert list(map(cells, lines[4:5] + lines[6:9])) == [
        ["by", "median", "±", "core time", "compiling", "÷ bound", "memory", "largest error"],
        ["jax-cpu float32", "1.00 s", "2%", "1.00 s", "300.0 ms", "2.00×", "< 1 MB", "1.0e-07"],
        ["numpy float64", "1.00 s", "2%", "1.00 s", "", "10000×", "2 MB", "reference"],
        ["torch float32", "1.00 s", "2%", "1.00 s", "", "", "", "WRONG: 5.0e-01"],
    ]
    assert lines[9:12] == ["", "**other**", ""]
    assert list(map(cells, (lines[12], lines[14]))) == [
        ["by", "median", "core time", "evaluations", "relative"],
        ["jax-cpu float32", "over 1.00 s", "1.00 s", "over 49", "1.0e-03"],
    ]
    assert lines[15:] == ["", report.HOW_COMPARED, "", "- NOT met: fast: 2× (wanted ≤ 1×)", "- a note"]


def test_what_bounds_is_a_column_where_it_is_not_the_same_for_all():
    lines = printed(timed(bound=0.5, binding="exp"), timed(by="jax-cpu float64", bound=0.5, binding="log"))
    assert lines[2] == "**risk**" and cells(lines[4])[5:6] == ["bound by"] and cells(lines[7])[5] == "log"


def test_the_fastest_right_answer_of_ours_is_named_for_each_device():
    rows = [
        timed(bound=0.4, binding="exp"),
        timed(factor=0.3, by="jax-cpu float32, the last step alone", bound=0.2, binding="exp"),
        timed(factor=0.6, by="jax-cpu float32, compressed", bound=0.4, binding="exp", absolute_error=2e-7),
        timed(factor=0.2, by="jax-cpu bfloat16", right=False),
        timed(factor=0.1, by="jax-cpu float32, further", over=True),
        timed(factor=0.1, by="jax-gpu float32"),
        timed(factor=0.05, by="jax-gpu bfloat16", absolute_error=1e-3),
        timed(factor=0.01, by="jax-gpu float32, plain loop"),
        timed(factor=0.01, by="c float32"),
    ]
    faster = "; faster was jax-gpu float32, plain loop, 10.0 ms"
    assert [line for line in printed(*rows) if line.startswith("of landscape")] == [
        f"of landscape on the GPU use jax-gpu float32: 100.0 ms, error 1e-07{faster}",
        f"of landscape on the CPU use jax-cpu float32, compressed: 600.0 ms, 1.50× the bound, error 2e-07{faster}",
    ]


@pytest.mark.parametrize(
    "ways",
    [
        ["jax-cpu float32", "jax-gpu float32"],  # nothing to choose
        ["jax-cpu float32", "jax-cpu float64, plain loop"],  # which is not ours
        ["jax-cpu float32, risk", "jax-cpu float32, slope"],  # each does something else
    ],
)
def test_nothing_is_named_where_no_ways_of_ours_were_compared(ways):
    assert not [line for line in printed(*(timed(by=by) for by in ways)) if line.startswith("of landscape")]


def test_a_report_without_rows_says_so_and_its_time_is_that_of_its_end():
    empty = Report("neuron", {}, [], [], [], MACHINE)
    lines = report.markdown(empty).splitlines()
    assert "nothing was measured: " in "\n".join(lines) and report.HOW_COMPARED not in lines
    assert lines[0].endswith(f"{empty.written[:16].replace('T', ' ')} UTC")


# ---- where it ran


def test_the_environment_has_what_times_depend_on(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("HOME_OF_JAX_", "no")
    monkeypatch.setattr(environment.sys, "argv", ["/somewhere/benchmarks/__main__.py", "neuron", "--full"])
    found = json.loads(json.dumps(environment.environment()))
    assert found["variables"].items() >= {"OMP_NUM_THREADS": "3", "JAX_PLATFORMS": "cpu"}.items()
    assert "HOME_OF_JAX_" not in found["variables"] and found["command"] == ["__main__.py", "neuron", "--full"]
    with environment.jax.default_matmul_precision("high"), environment.jax.enable_x64(True):
        inside = environment.environment()
    assert (inside["precision"]["jax_default_matmul_precision"], inside["x64"]) == ("high", True)
    assert "'highest' unless a row says otherwise" in inside["precision"]["landscape"]
    assert found["instructions"] in (None, *environment.INSTRUCTIONS)
    assert environment.machine_name(MACHINE) == NAME


def test_the_commit_is_dirty_once_a_tracked_file_other_than_results_is_changed(tmp_path):
    assert environment._commit(tmp_path) is None

    def git(*arguments):
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    for path in (tmp_path / "code", results / "kept.json"):
        path.write_text("1")
    git("init")
    assert environment._commit(tmp_path) is None  # nothing was committed
    git("add", ".")
    git("commit", "-m", "all")
    commit = environment._commit(tmp_path)
    (results / "kept.json").write_text("2")
    assert commit and environment._commit(tmp_path) == commit
    (tmp_path / "code").write_text("2")
    assert environment._commit(tmp_path) == f"{commit}-dirty"
    inner = tmp_path / "unpacked"
    inner.mkdir()
    assert environment._commit(inner) is None  # the checkout is somebody else's


# ---- compared


def test_slower_beyond_the_noise_is_found_and_fails(runs, capsys):
    for folder, factor in zip(runs, (1.0, 1.3), strict=True):
        kept(folder, timed(by="jax-cpu float64"), timed(factor=factor))
    assert compare_command([str(folder) for folder in runs]) == 1
    text = capsys.readouterr().out
    assert verdicts(text) == {"jax-cpu float32": "slower", "jax-cpu float64": "within the noise"}
    assert list(verdicts(text)) == ["jax-cpu float32", "jax-cpu float64"]  # the slowest first
    assert "1.30×" in text and text.endswith("landscape's own rows: 1 slower, 1 within the noise\n")


def test_slower_within_the_noise_is_nothing(runs, capsys):
    for folder, factor in zip(runs, (1.0, 1.3), strict=True):
        kept(folder, timed(RESTLESS, factor))
    assert compare_command([str(folder) for folder in runs]) == 0
    assert verdicts(capsys.readouterr().out) == {"jax-cpu float32": "within the noise"}


def test_faster_is_said(runs):
    for folder, factor in zip(runs, (1.0, 0.5), strict=True):
        kept(folder, timed(factor=factor))
    assert verdicts(compare(*runs)) == {"jax-cpu float32": "faster"}


@pytest.mark.parametrize("seconds", [(0.9, 1.0, 1.1), (1.0, 1.0), (1.0,)])
@pytest.mark.parametrize(("factor", "wanted"), [(1.2, "within the noise"), (1.8, "slower")])
def test_few_repeats_are_judged_by_the_least_and_the_most_and_one_with_a_margin(runs, seconds, factor, wanted):
    for folder, times in zip(runs, (1.0, factor), strict=True):
        kept(folder, timed(seconds, times))
    assert verdicts(compare(*runs)) == {"jax-cpu float32": wanted}


def test_the_verdict_is_the_same_at_every_call(runs):
    for folder, factor in zip(runs, (1.0, 1.3), strict=True):
        kept(folder, timed(RESTLESS, factor))
    assert compare(*runs) == compare(*runs)


def test_a_wrong_answer_fails_however_fast(runs, capsys):
    old, new = runs
    kept(old, timed())
    kept(new, timed(factor=0.1, absolute_error=0.5, right=False))
    assert compare_command([str(old), str(new)]) == 1
    out = capsys.readouterr().out
    assert "- WRONG NOW: risk, by jax-cpu float32; absolute error 1.0e-07, then 5.0e-01" in out
    assert out.endswith("landscape's own rows: 1 faster, 1 became wrong\n")
    assert compare_command([str(new), str(old)]) == 1  # ten times slower, though right again
    assert "- right again: risk, by jax-cpu float32" in capsys.readouterr().out


def test_a_new_row_that_is_wrong_fails(runs):
    kept(runs[0], timed())
    kept(runs[1], timed(), timed(by="jax-cpu bfloat16", right=False))
    assert compare_command([str(folder) for folder in runs]) == 1
    assert "- WRONG, and new: risk, by jax-cpu bfloat16" in compare(*runs)


def test_errors_that_grew_are_told_and_rounding_is_not(runs):
    kept(runs[0], timed(), timed(by="jax-cpu float64"))
    kept(runs[1], timed(absolute_error=5e-7), timed(by="jax-cpu float64", absolute_error=1.9e-7))
    assert compare_command([str(folder) for folder in runs]) == 0
    grown = [line for line in compare(*runs).splitlines() if "errors grew" in line]
    assert grown == ["- errors grew: risk, by jax-cpu float32; absolute error 1.0e-07, then 5.0e-07"]


def test_a_contestant_that_became_slower_is_told_and_fails_nothing(runs):
    for folder, factor in zip(runs, (1.0, 2.0), strict=True):
        kept(folder, timed(), timed(by="torch float32", factor=factor, right=factor == 1))
    assert verdicts(compare(*runs))["torch float32"] == "slower"
    assert compare_command([str(folder) for folder in runs]) == 0


@pytest.mark.parametrize(
    ("load", "cores", "by", "wanted"),
    [
        (2.0, 1.04, "jax-cpu float32", "in doubt (busy)"),
        (2.0, 1.5, "jax-cpu float32", "slower"),  # it had more to do
        (0.1, 1.04, "jax-cpu float32", "slower"),  # nobody else was there
        (2.0, 0.0, "jax-cpu float32", "slower"),  # nobody knows
        (2.0, 1.04, "jax-gpu float32", "slower"),  # the cores do not do its work
    ],
)
def test_on_a_busy_machine_a_slower_row_that_took_no_more_core_time_is_in_doubt(runs, load, cores, by, wanted):
    kept(runs[0], timed(by=by))
    kept(runs[1], replace(timed(factor=1.5, by=by), core_time=cores), load_average=load)
    assert verdicts(compare(*runs)) == {by: wanted}
    assert compare_command([str(folder) for folder in runs]) == (wanted == "slower")


def test_compile_time_and_memory_that_doubled_are_notes_and_fail_nothing(runs):
    kept(runs[0], timed(compiling=1.0, peak_bytes=1e8), timed(by="jax-cpu float64", compiling=0.1, peak_bytes=1e6))
    kept(runs[1], timed(compiling=2.0, peak_bytes=3e8), timed(by="jax-cpu float64", compiling=0.5, peak_bytes=9e7))
    assert compare_command([str(folder) for folder in runs]) == 0
    notes = [line for line in compare(*runs).splitlines() if line.startswith("- note")]
    assert notes == [
        "- note: risk, by jax-cpu float32; compile time 1.00 s, then 2.00 s; memory 100 MB, then 300 MB",
    ]


def test_a_row_of_ours_that_is_missing_fails(runs, capsys):
    kept(runs[0], timed(), timed(by="jax-cpu float64"), timed(by="numpy float64"))
    kept(runs[1], timed(), timed(by="numpy float64"))
    assert compare_command([str(folder) for folder in runs]) == 1
    assert capsys.readouterr().out.endswith("landscape's own rows: 1 within the noise, 1 missing\n")
    assert compare_command([str(folder) for folder in reversed(runs)]) == 0


def test_what_only_others_did_or_another_device_is_not_missing(runs, capsys):
    kept(runs[0], timed(), timed(by="jax-gpu float32"), timed(by="torch float32"), devices=["gpu: Abacus X"])
    kept(runs[1], timed())
    assert compare_command([str(folder) for folder in runs]) == 0
    assert "missing" not in capsys.readouterr().out


def test_two_results_without_a_row_in_common_fail_in_one_line(runs, capsys):
    kept(runs[0], *(timed(workload=f"old {i}") for i in range(3)))
    kept(runs[1], timed(workload="new"))
    assert compare_command([str(folder) for folder in runs]) == 1
    out = capsys.readouterr().out
    assert "- NO ROW IN COMMON: 3 before, 1 now. Compare runs of the same sizes\n" in out
    assert "only in the" not in out and out.endswith("landscape's own rows: none in both\n")


def test_what_only_one_environment_has_is_told(runs):
    kept(runs[0], timed(), variables={"OMP_NUM_THREADS": "4"}, peers=None, commit="abc", command=["a"])
    peers = {"python": "3.11.7", "versions": {"torch": "2.13", "gone": None}}
    kept(runs[1], timed(), variables={"XLA_FLAGS": "f"}, peers=peers, x64=False, command=["b"])
    assert [line for line in compare(*runs).splitlines() if line.startswith("- differs")] == [
        "- differs: variables.OMP_NUM_THREADS: 4, then nothing",
        "- differs: variables.XLA_FLAGS: nothing, then f",
        "- differs: peers: nothing, then python 3.11.7, versions.torch 2.13",
        "- differs: commit: abc, then nothing",
        "- differs: x64: nothing, then False",
    ]
    assert f"## neuron: {NAME}, 2026-01-02 03:04 UTC, then 2026-01-02 03:04 UTC" in compare(*runs)


def test_the_help_says_what_is_judged(capsys):
    with pytest.raises(SystemExit):
        compare_command(["--help"])
    assert "Judged are the medians, and whether answers are right." in capsys.readouterr().out


def test_another_machine_is_said_first_and_its_times_are_not_judged(runs, capsys):
    kept(runs[0], timed(), processor="Slide rule")
    kept(runs[1], timed(factor=9.0))
    assert compare_command([str(folder) for folder in runs]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[2].startswith("- ANOTHER MACHINE before: slide-rule-wood-2-cores-cpu.")
    assert verdicts(out) == {"jax-cpu float32": "not judged"}
    kept(runs[1], timed(right=False))
    assert compare_command([str(folder) for folder in runs]) == 1  # wrong is wrong everywhere


def test_versions_that_differ_a_busy_machine_and_other_sizes_are_said(runs):
    kept(runs[0], timed())
    path = kept(runs[1], timed(), packages={"jax": "0.10.1", "torch": None}, load_average=1.5)
    path.write_text(path.read_text().replace('"cells": 4', '"cells": 5'))
    text = compare(*runs)
    assert "- differs: packages.jax: 0.10.0, then 0.10.1\n" in text
    assert "load average before the start 0.1, then 1.5" in text and "- other sizes" in text
    assert "torch" not in text and "load_average" not in text


def ceilings(factor: float) -> dict:
    """A machine's rates, of which a GPU's never change."""
    cpu = {"matrix_product": 9e10 / factor, "exp": 1e9 / factor, "bandwidth": 1e10}
    return {"jax-cpu float32": cpu, "jax-gpu float32": {"matrix_product": 1e13, "exp": 1e12}}


def test_a_slowdown_of_all_rows_that_the_ceilings_show_too_is_the_machines(runs, capsys):
    for folder, factor in zip(runs, (1.0, 1.4), strict=True):
        rows = [timed(factor=factor, workload=name) for name in "abc"]
        kept(folder, *rows, timed(factor=factor, by="c float32"), ceilings=ceilings(factor))
    assert compare_command([str(folder) for folder in runs]) == 0
    out = capsys.readouterr().out
    assert set(verdicts(out).values()) == {"as the machine"}
    assert (
        "- cpu: the machine's ceilings, 1.40× the time; the rows take 1.40× the time (their median): THE MACHINE" in out
    )


def test_a_row_that_is_slower_than_the_machine_became_is_slower(runs):
    for folder, factor, own in zip(runs, (1.0, 1.4), (1.0, 2.0), strict=True):
        rows = [timed(factor=factor, by=f"jax-cpu float64, {name}") for name in "abc"]
        kept(folder, *rows, timed(factor=own), ceilings=ceilings(factor))
    assert compare_command([str(folder) for folder in runs]) == 1
    assert verdicts(compare(*runs))["jax-cpu float32"] == "slower"


@pytest.mark.parametrize("measured", [{}, {"ceilings": ceilings(1.0)}])
def test_a_slowdown_of_all_rows_that_no_ceiling_shows_is_not_excused(runs, measured):
    for folder, factor in zip(runs, (1.0, 1.4), strict=True):
        kept(folder, *(timed(factor=factor, workload=name) for name in "abc"), **measured)
    assert compare_command([str(folder) for folder in runs]) == 1
    told = "ceilings, 1.00× the time" if measured else "nobody knows how much of it is the machine's"
    assert told in compare(*runs)


def test_a_slower_cpu_is_no_excuse_for_the_gpu(runs):
    for folder, factor in zip(runs, (1.0, 1.4), strict=True):
        kept(folder, timed(factor=factor), timed(factor=factor, by="jax-gpu float32"), ceilings=ceilings(factor))
    assert verdicts(compare(*runs)) == {"jax-cpu float32": "as the machine", "jax-gpu float32": "slower"}


def test_a_file_of_an_older_version_is_compared(runs):
    path = kept(runs[0], timed())
    content = json.loads(path.read_text())
    for column in NEWER:
        del content["rows"][0][column]
    path.write_text(json.dumps(content))
    kept(runs[1], timed(factor=1.5))
    assert verdicts(compare(path, runs[1])) == {"jax-cpu float32": "slower"}


def test_rows_and_benchmarks_of_one_run_only_are_told(runs):
    kept(runs[0], timed(), timed(workload="gone"))
    kept(runs[1], timed(), timed(workload="added"))
    kept(runs[1], timed(), name="planes")
    text = compare(*runs)
    assert "- only in the old run: gone, by" in text and "- only in the new run: added, by" in text
    assert f"- without a partner: planes: nothing in `{runs[0]}`, {NAME} in `{runs[1]}`" in text


def test_of_several_machines_the_same_is_compared(runs):
    for folder, factor in zip(runs, (1.0, 1.5), strict=True):
        kept(folder, timed())
        kept(folder, timed(factor=factor), processor="Slide rule")
    found, alone = pairs(*runs)
    assert [old.environment["processor"] for old, _ in found] == ["Abacus", "Slide rule"] and not alone
    assert all(old.environment == new.environment for old, new in found)


def test_what_cannot_be_compared_is_named(runs, capsys):
    old, new = runs
    kept(old, timed())
    with pytest.raises(ValueError, match=r"new` is not there"):
        compare(old, new)
    new.mkdir()
    with pytest.raises(ValueError, match=r"new` holds no JSON file"):
        compare(old, new)
    kept(new, timed(), name="planes")
    with pytest.raises(ValueError, match="have no benchmark in common: neuron: abacus"):
        compare(old, new)
    with pytest.raises(SystemExit) as stopped:
        compare_command([str(old), str(new)])
    assert stopped.value.code == 2 and "no benchmark in common" in capsys.readouterr().err


# ---- written into the README


README = f"""# A package

Made in 1999.

## How fast

Run it with float64 or `--repeats 5`.

{readme.BEGIN}
{readme.END}

## What else

42
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A README and a folder with results, which the command takes for its own."""
    path, results = tmp_path / "README.md", tmp_path / "results"
    path.write_text(README)
    rows = [
        timed(bound=0.5, binding="exp"),
        timed(factor=1.8, by="jax-cpu float64", bound=1.0, binding="exp", absolute_error=1e-15),
        timed(factor=0.1, by="jax-cpu bfloat16", bound=0.5, binding="exp", absolute_error=0.3, right=False),
        timed(factor=3.0, by="jax-cpu float32, plain loop, a row at a time", bound=0.5, binding="exp"),
        timed(factor=2.5, by="jax-cpu float32, plain loop, cell by cell", bound=0.5, binding="exp"),
        timed(factor=4.2, by="numpy float64", bound=1.0, binding="exp"),
        timed(factor=0.2, by="torch float32, 1 thread", bound=0.5, binding="exp", absolute_error=1e-3),
        timed(factor=7.0, by="torch float32, 2 threads", bound=0.5, binding="exp"),
        timed(factor=9.0, by="torch float32, package", bound=0.5, binding="exp", absolute_error=1e-5),
        timed(factor=8.0, by="torch float32, package, loosely", bound=0.5, binding="exp", absolute_error=1e-2),
    ]
    promises = [Target("time over C's", 1.1, 1.2, "×"), Target("speed over NumPy's", 4.2, 8, "×", more=True)]
    kept(results, *rows, targets=promises, notes=["absent: jax-gpu: no GPU", "the cells are few"])
    kept(results, timed(), name="interpolation", notes=["101 evaluations do"])
    monkeypatch.setattr(readme, "README", path)
    monkeypatch.setattr(readme, "RESULTS", results)
    return path, results


def test_the_section_is_written_and_then_up_to_date(page, capsys):
    path, results = page
    assert readme.report_command(["--check"]) == 1
    assert "README.md is out of date" in capsys.readouterr().out
    assert readme.report_command([]) == 0
    assert readme.report_command(["--check"]) == 0
    text = path.read_text()
    before, after = README.split(f"{readme.BEGIN}\n{readme.END}")
    assert text.startswith(before) and text.endswith(after)
    assert readme.report_command([]) == 0 and path.read_text() == text
    assert (results / "limits.png").stat().st_size < 150_000


def test_the_section_says_who_when_where_and_how(page):
    path, _ = page
    readme.report_command([])
    text = " ".join(path.read_text().split())
    assert "Measured 2026-01-02 on **Abacus, 2 cores**, 1.0 GiB, with Python 3.11.7, jax 0.10.0." in text
    assert f"`python -m benchmarks report --machine {NAME}`" in text
    assert "**neuron** (`python -m benchmarks neuron --full`, 2026-01-02):" in text
    assert "- absent: jax-gpu: no GPU" in text and "- neuron - the cells are few" in text
    assert "- met: time over C's: 1.1× (wanted ≤ 1.2×)" in text
    assert "- **NOT met**: speed over NumPy's: 4.2× (wanted ≥ 8×)" in text
    assert "- **interpolation** (`python -m benchmarks interpolation --full`, 2026-01-02): - 101 evaluations do" in text
    assert "Not measured on this machine: planes, descent, curvature, scaling, latency, compression, minima" in text
    assert "`python -m benchmarks planes descent curvature" in text


def test_a_table_has_ours_with_the_others_beside_it_and_wrong_is_wrong(page):
    path, _ = page
    readme.report_command([])
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("| risk")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:6] == ["risk", "jax-cpu float32", "1.00 s", "2.00×", "exp", "1e-07"]
    assert cells[6].split("; ") == [
        "float64 1.80×",
        "bfloat16 0.10× WRONG (error 3e-01)",
        "plain loop, cell by cell 2.50×",  # the fastest of its ways
        "numpy float64 4.20×",
        "torch float32, 2 threads 7.00×",  # the faster way is not as exact
        "torch float32, package 9.00× (error 1e-05)",  # no way is as exact: the one that comes nearest
    ]


def test_each_device_has_a_line_of_its_own(page):
    path, results = page
    kept(results, timed(), timed(factor=0.1, by="jax-gpu float32"), timed(factor=2, by="numpy float64"))
    readme.update(path, results)
    lines = [line for line in path.read_text().splitlines() if "float32 |" in line]
    assert lines == [
        "| risk | jax-cpu float32 | 1.00 s |  |  | 1e-07 | jax-gpu float32 0.10×; numpy float64 2.00× |",
        "|  | jax-gpu float32 | 100.0 ms |  |  | 1e-07 | jax-cpu float32 10.0×; numpy float64 20.0× |",
    ]


def test_the_measured_ceilings_are_listed(page):
    path, results = page
    kept(results, timed(), ceilings=ceilings(1.0))
    readme.update(path, results)
    assert "| jax-cpu float32 | 90 | 1 | 10 |\n| jax-gpu float32 | 10000 | 1000 |  |" in path.read_text()
    assert readme.check(path, results) == []


def test_a_number_edited_by_hand_is_found(page):
    path, results = page
    readme.update(path, results)
    path.write_text(path.read_text().replace("| 1.00 s |", "| 0.90 s |"))
    (stale,) = readme.check(path, results)
    assert "README.md is out of date: run `python -m benchmarks report`" in stale
    assert "there: | risk | jax-cpu float32 | 0.90 s" in stale and "wanted: | risk | jax-cpu float32 | 1.00 s" in stale


@pytest.mark.parametrize("place", ["Run it", "## What else"])
def test_a_number_beside_the_marks_is_found(page, place):
    path, results = page
    readme.update(path, results)
    path.write_text(path.read_text().replace(place, f"It is 17 times as fast.\n\n{place}"))
    (stale,) = readme.check(path, results)
    assert stale == "README.md has a number that nothing regenerates: 'It is 17 times as fast.'"


def test_new_results_make_text_and_picture_stale(page):
    path, results = page
    readme.update(path, results)
    kept(results, timed(bound=0.4, binding="exp"))
    assert [line.split()[0] for line in readme.check(path, results)] == ["README.md", "limits.png"]
    readme.update(path, results)
    assert readme.check(path, results) == []
    (results / "limits.png").unlink()
    assert readme.check(path, results) == [
        "limits.png is missing, or shows other results: run `python -m benchmarks report`"
    ]
    Image.new("RGB", (4, 4)).save(results / "limits.png")
    assert len(readme.check(path, results)) == 1


def test_without_bounds_there_is_no_picture(page):
    path, results = page
    kept(results, timed())
    assert readme.update(path, results) == [path]
    assert "limits.png" not in path.read_text() and readme.check(path, results) == []


def test_the_machine_with_the_most_complete_and_newest_results_is_taken(page):
    path, results = page
    for name in ("neuron", "interpolation"):
        kept(results, timed(), name=name, processor="Slide rule", written="2026-02-01T00:00:00+00:00")
    assert readme.chosen(results, None)[0][0].environment["processor"] == "Slide rule"  # as complete, and newer
    kept(results, timed(), name="planes")
    reports, elsewhere = readme.chosen(results, None)
    assert [kept.name for kept in reports] == ["neuron", "planes", "interpolation"]
    assert elsewhere == ["slide-rule-wood-2-cores-cpu"]
    readme.update(path, results, "slide-rule-wood-2-cores-cpu")
    assert "**Slide rule, 2 cores**" in path.read_text() and f"in `benchmarks/results`: `{NAME}`" in path.read_text()
    assert readme.check(path, results) == []  # of the machine that it names
    with pytest.raises(ValueError, match=rf"`--machine other` has no results.\nGive one of: {NAME}, slide-rule"):
        readme.update(path, results, "other")


def test_versions_that_differ_between_reports_are_told(page):
    _, results = page
    kept(results, timed(), name="minima", packages={"jax": "0.9.0"})
    lines = section.section(*readme.chosen(results, None))
    assert "jax 0.10.0 (minima: 0.9.0)" in " ".join(lines)


def test_a_readme_without_marks_and_a_folder_without_results_are_named(page, tmp_path):
    path, results = page
    path.write_text(README.replace(readme.END, ""))
    with pytest.raises(ValueError, match=r"README.md` has no marks in its section '## How fast'.\nPut these two lines"):
        readme.update(path, results)
    with pytest.raises(SystemExit):
        readme.report_command([])
    with pytest.raises(ValueError, match="holds no results"):
        readme.chosen(tmp_path / "nowhere", None)


def test_the_picture_tells_ours_from_others_by_shape_alone(page):
    _, results = page
    (panel,) = limits_figure.panels(readme.chosen(results, None)[0])
    ((title, dots),) = panel.workloads
    assert title == "risk" and len(dots) == 10
    ours = {(dot.marker, dot.filled) for dot in dots if dot.label.startswith("landscape")}
    others = {(dot.marker, dot.filled) for dot in dots if not dot.label.startswith("landscape")}
    assert len(ours) == 3 and not ours & others and {filled for _, filled in others} == {"none"}
    assert [dot.over_bound for dot in dots][:3] == pytest.approx([2.0, 1.8, 0.2])
    assert [dot.right for dot in dots].count(False) == 1


def test_the_checksum_of_the_picture_is_that_of_all_that_it_shows(page):
    _, results = page
    (panel,) = limits_figure.panels(readme.chosen(results, None)[0])
    title, dots = panel.workloads[0]
    other = replace(panel, workloads=[(title, [replace(dots[0], over_bound=2.1), *dots[1:]])])
    checksums = {limits_figure.digest([panel], "here"), limits_figure.digest([other], "here")}
    assert len(checksums | {limits_figure.digest([panel], "there")}) == 3


def test_the_section_knows_all_that_can_be_measured():
    from benchmarks import __main__ as main

    assert tuple(main.WORKLOADS) == section.WORKLOADS
    assert {name.removesuffix("_whole") for name in main.STUDIES} == set(section.STUDIES)


def test_the_readme_of_this_repository_is_up_to_date():
    """No number in it is written by hand, and none is of other results than those that are kept."""
    assert readme.check(readme.README, readme.RESULTS) == []
