"""Figures drawn by several processes at once, and drafts, which are compiled and drawn sooner."""

import os
import signal
import subprocess
import sys
import time

import jax
import matplotlib.pyplot as plt
import pytest
import xarray as xr
from test_figure_set import FIGURE, Folder

from landscape import _figure_cache
from landscape.figure_set import _jobs, _program, draw_figures

NOISY = "def compute():\n    print('worked out')\n    import warnings; warnings.warn('all is flat')\n"


@pytest.fixture
def folder(tmp_path):
    """Four figures: the first takes longest, the second fails."""
    folder = Folder(tmp_path / "figures")
    folder.write("a_slow.py", FIGURE.replace("def compute():\n", "def compute():\n    import time; time.sleep(1)\n"))
    folder.write("b_broken.py", FIGURE.replace("w**2", "w**2 / undefined"))
    folder.write("c_false.py", FIGURE.replace("> 0.5", "> 5"))
    folder.write("d_last.py", FIGURE)
    return folder


def untimed(lines: list[str]) -> list[str]:
    return [line if " s  " not in line else line.split()[0] + line.split(" s  ")[1] for line in lines]


def pictures(folder: Folder) -> dict[str, bytes]:
    files = (path for path in (folder.path / "out").iterdir() if path.is_file())
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("quick", [False, True])
def test_any_number_of_processes_gives_the_same_lines_in_order_and_the_same_bytes(folder, quick):
    options = {"formats": "png,pdf", "fresh": True, "quick": quick}
    alone = untimed(folder.draw(**options)), folder.status, pictures(folder)
    assert (untimed(folder.draw(**options, jobs=3)), folder.status, pictures(folder)) == alone
    assert folder.status == 1 and any(line.startswith("failed: b_broken: \n") for line in folder.lines)
    assert folder.computed == 2 * 4


OWN = "--xla_cpu_enable_fast_math=false"  # of the caller
FLAGS = """\"\"\"What compiles.\"\"\"
import os
import matplotlib.pyplot as plt
import xarray as xr

def compute():
    return xr.Dataset(attrs={"flags": os.environ.get("XLA_FLAGS", "")})

def draw(data):
    return plt.figure()

def claims(data):
    return {}
"""


@pytest.mark.parametrize("quick, wanted", [(True, f"{OWN} --xla_cpu_use_fusion_emitters=false"), (False, OWN)])
def test_processes_compile_drafts_by_the_older_code_generator(folder, monkeypatch, quick, wanted):
    for name in ("one.py", "two.py"):
        folder.write(name, FLAGS)
    monkeypatch.setenv("XLA_FLAGS", OWN)
    folder.draw(only=["one", "two"], jobs=2, quick=quick, formats="png")
    (kept,) = (folder.path / "out" / ("quick" if quick else "") / ".cache/one").glob("*.npz")
    data, _ = _figure_cache.load(kept)
    assert isinstance(data, xr.Dataset) and data.flags == wanted


def test_a_file_of_flags_is_left_alone(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")
    assert _program.soon_environment() == {}


def test_what_a_figure_says_is_said_in_its_turn_by_the_parent(folder, capsys):
    folder.write("a_slow.py", FIGURE.replace("def compute():\n", NOISY))
    with pytest.warns(UserWarning, match="all is flat"):
        folder.draw(only=["a_slow", "d_last"], jobs=2)
    assert capsys.readouterr().out == "worked out\n" and folder.status == 0


def test_a_process_that_is_killed_fails_its_own_figure_only(folder):
    folder.edit("b_broken.py", "w**2 / undefined", "__import__('os').kill(__import__('os').getpid(), 9)")
    folder.draw(jobs=2, only=["a_slow", "b_broken", "d_last"])
    assert folder.status == 1 and set(pictures(folder)) >= {"a_slow.png", "d_last.png"}
    assert "failed: b_broken: its process ended by signal 9, perhaps for want of memory: draw it" in folder.lines[-1]


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5, "2"])
def test_a_number_of_processes_that_is_none_is_refused(folder, jobs):
    with pytest.raises(ValueError, match="`jobs` must be a whole number of processes, 1 or more, or None, got"):
        draw_figures(folder.path, jobs=jobs)
    assert not (folder.path / "out").exists()


def test_the_width_of_numbers_is_the_callers(folder):
    widths = []
    for x64 in (True, False):
        with jax.enable_x64(x64):
            folder.draw(only=["a_slow", "d_last"])
            folder.draw(only=["a_slow", "d_last"], jobs=2)
        widths.append(untimed(folder.lines)[0])
    assert widths == ["a_slowcached"] * 2, "the key of a data set has the width in it"


def test_a_figure_that_asks_or_exits_fails_alone(folder):
    folder.write("a_slow.py", FIGURE.replace("def compute():\n", "def compute():\n    input('which?')\n"))
    folder.write("b_broken.py", FIGURE.replace("def compute():\n", "def compute():\n    raise SystemExit('no data')\n"))
    folder.draw(jobs=2)
    failed = "\n".join(folder.lines)
    assert "EOFError" in failed and "SystemExit: no data" in failed and "d_last.png" in pictures(folder)


def test_a_figure_may_be_called_like_a_module_of_python(folder, monkeypatch):
    folder.write("random.py", FIGURE)
    monkeypatch.chdir(folder.path)
    folder.draw(jobs=2, only=["random", "d_last"])
    assert folder.status == 0


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_order_of_formats_changes_no_byte(folder, seed):
    """Whatever the hashes are; a layout starts from the last one, so that the order would be seen."""
    folder.write(
        "d_last.py",
        FIGURE.replace("plt.subplots(figsize=(1, 1))", "plt.subplots(figsize=(2, 1), layout='constrained')"),
    )
    code = "import sys; from landscape.figure_set import draw_figures; draw_figures(sys.argv[1], **eval(sys.argv[2]))"
    options = {"only": "d_last", "formats": "png,pdf,svg", "dark": True}
    found = []
    for hashes in ("0", seed):
        subprocess.run([sys.executable, "-c", code, folder.path, repr(options)], check=True, stdout=subprocess.DEVNULL,
                       env=os.environ | {"PYTHONHASHSEED": hashes})  # fmt: skip
        found.append(pictures(folder))
    assert found[0] == found[1] and "d_last_dark.svg" in found[0]


def test_two_figures_with_one_name_on_a_dark_page_are_refused(folder):
    folder.write("d_last_dark.py", FIGURE)
    with pytest.raises(ValueError, match=r"`dark` draws 'd_last' as 'd_last_dark' too"):
        folder.draw(dark=True)


def test_there_are_as_many_jobs_as_cores_and_memory_allow(monkeypatch):
    monkeypatch.setattr(_jobs, "usable_cores", lambda: 64)
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 10 * 2**30 // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert _jobs.suitable() == 2
    sizes["SC_PHYS_PAGES"] = 1
    assert _jobs.suitable() == 1
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    sizes["SC_PHYS_PAGES"] = 2**40
    assert _jobs.suitable() == 1


def test_an_interrupt_ends_all_processes_and_keeps_what_was_drawn(folder):
    """The processes' numbers are written by the figures themselves."""
    for name in ("b_broken", "c_false"):
        text = FIGURE.replace(
            "def compute():\n",
            "def compute():\n    import os, time\n"
            f"    Path(__file__).with_name('{name}.pid').write_text(str(os.getpid()))\n    time.sleep(600)\n",
        )
        folder.write(f"{name}.py", text)
    command = [sys.executable, "-m", "landscape", "figures", str(folder.path), "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        files = [folder.path / "b_broken.pid", folder.path / "c_false.pid"]
        until = time.monotonic() + 60
        while not all(file.exists() and file.read_text() for file in files) and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
    assert process.returncode == 130 and out.startswith("a_slow")
    assert error == "landscape: interrupted; the figures drawn before are kept\n"
    for file in files:
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)
    assert not list(folder.path.rglob("*.part"))


def test_drafts_are_pngs_of_150_dots_per_inch_and_leave_xla_as_it_was(folder, capsys):
    read = "import jax\nprint(jax.config.read('jax_disable_most_optimizations'))\n"
    folder.edit("d_last.py", "SIZE = 5\n", "SIZE = 5\n" + read)
    out = folder.path / "out"
    draw_figures(folder.path, only="d_last", write=len)
    draw_figures(folder.path, only="d_last", quick=True, write=len)
    assert plt.imread(out / "d_last.png").shape[:2] == (300, 300) and (out / "d_last.pdf").exists()
    assert plt.imread(out / "quick/d_last.png").shape[:2] == (150, 150)
    assert not (out / "quick/d_last.pdf").exists()
    assert capsys.readouterr().out == "False\nTrue\n"
    assert not jax.config.read("jax_disable_most_optimizations")
