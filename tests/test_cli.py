"""The command line as a stranger uses it: anybody's tables, results saved and checked, mistakes told in one line."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import landscape as ls
from landscape.cli import main, specs
from landscape.cli.columns import read_columns
from landscape.surfaces import verify as checks

PYTHON = [sys.executable, "-m", "landscape"]
SMALL = ("--axis", "w=-3:3:31", "b=-3:3:21")
MINIMIZERS = {"λ=0.01": 2.817988, "λ=0.1": 1.177506, "λ=1": 0.222323}  # of the pair under l2, b = 0

OWN = """
import jax.numpy as jnp
import numpy as np

import landscape as ls

bowl = ls.function(lambda p: (p["u"] - 1) ** 2 + 4 * p["v"] ** 2, {"u": 0.0, "v": 0.0})
plane = ls.Plane({"u": 1.0, "v": 0.0}, ({"u": 1.0, "v": 1.0}, {"u": 1.0, "v": -1.0}), names=("alpha", "beta"))
number = 3


def masked():
    return ls.function(lambda p: jnp.sum(p["k"] ** 2) + p["s"], {"k": jnp.ones((2, 2)), "s": 0.0},
                       penalty=ls.l2(0.5, scope={"k": True, "s": False}))


def many():
    return ls.function(lambda p: jnp.sum((p["k"] - 1) ** 2), {"k": jnp.zeros(9)})


def tuples():
    return ls.function(lambda p: p[0] ** 2 + p[1] ** 2, (1.0, 2.0))


def broken():
    return 1 / 0


def slow():
    x = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    print("ready", flush=True)
    return ls.neuron(x, (x > 0).astype(np.float32), loss="half_squared_error", activation="relu")  # not compressed
"""


class Shell:
    """A folder to work in, and the status and output of the last command."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]):
        self.path, self._capsys = path, capsys

    def __call__(self, *argv: str) -> int:
        self._capsys.readouterr()
        try:
            self.status = main(argv)
        except SystemExit as stop:  # argparse: --help and --version
            self.status = int(stop.code or 0)
        self.out, self.err = self._capsys.readouterr()
        return self.status

    def fails(self, *argv: str) -> str:
        """The one line of a command that must be refused, and must leave nothing behind."""
        before = self.files
        assert self(*argv) == 2, self.out
        assert self.err.startswith("landscape: error: ") and self.err.count("\n") == 1, self.err
        assert self.out == "" and self.files == before
        return self.err

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.path.iterdir()}


@pytest.fixture
def shell(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, capsys)


@pytest.fixture
def own(shell, monkeypatch):
    """A module of one's own in the folder, under a name that no other test has imported."""
    name = f"own_{abs(hash(str(shell.path)))}"
    shell.path.joinpath(f"{name}.py").write_text(OWN)
    yield name
    sys.modules.pop(name, None)


def in_a_process(*argv: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PYTHON, *argv], capture_output=True, text=True, **options)


# ---- what costs nothing


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["descend", "--help"], ["surface", "--axis", "w=1:x"]])
def test_nothing_heavy_is_imported_before_a_command_runs(argv):
    code = textwrap.dedent(f"""
        import sys
        from landscape.cli import main
        try:
            main({argv!r})
        except SystemExit:
            pass
        heavy = {{"numpy", "jax", "optax", "xarray", "matplotlib", "zarr", "pandas"}}
        sys.exit(f"imported: {{heavy & set(sys.modules)}}" if heavy & set(sys.modules) else 0)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["surface", "descend", "show", "verify", "figures"])
def test_help_of_every_command(shell, command):
    assert shell(command, "--help") == 0
    assert f"usage: landscape {command}" in shell.out
    assert shell("--help") == 0
    assert re.search(rf"^    {command} ", shell.out, re.MULTILINE)


def test_version_is_the_package_s(shell):
    assert shell("--version") == 0
    assert shell.out == f"landscape {ls.__version__}\n"
    assert in_a_process("--version").stdout == shell.out


def test_help_of_descend_documents_every_optimizer(shell):
    shell("descend", "--help")
    for name, what in specs.OPTIMIZERS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", shell.out, re.MULTILINE)


# ---- options as text


def test_labels_of_a_sweep():
    read = lambda *texts: list(specs.sweep([specs.penalty(t) for t in texts]))  # noqa: E731
    assert read("l2=0,0.01,1") == ["λ=0", "λ=0.01", "λ=1"]
    assert read("l2=0.1", "l2=1e-3") == ["λ=0.1", "λ=0.001"]
    assert read("none", "l1=0.1", "l2=0.1") == ["none", "l1 λ=0.1", "l2 λ=0.1"]
    assert read("elastic_net=0.1:0.2,0:1") == ["λ₁=0.1, λ₂=0.2", "λ₁=0, λ₂=1"]
    assert read() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("w=-10:10:401", specs.Axis("w", -10, 10, 401)),
        ("w[0]=1e-3:2", specs.Axis("w[0]", 1e-3, 2)),
        ("k[0, 1]=-1", specs.Axis("k[0, 1]", -1, -1, 1)),
    ],
)
def test_axes_are_read(text, expected):
    assert specs.axis(text) == expected


def test_optimizers_of_one_name_are_told_apart():
    read = lambda *texts: list(specs.optimizer_labels([specs.optimizer(t) for t in texts]))  # noqa: E731
    assert read("adam=0.1", "sgd=1", "lbfgs") == ["adam", "sgd", "lbfgs"]
    assert read("adam=0.1", "adam=0.01", "sgd=1") == ["adam 0.1", "adam 0.01", "sgd"]


# ---- files that strangers made

TABLES = {
    "plain": (b"t,y\n1.5,0\n-2,1\n", {}),
    "windows, semicolons, byte order mark, quotes, text beside": (
        '\ufeff"t";"remark; long";"y"\r\n1.5;"fine; really";0\r\n-2;;1\r\n\r\n'.encode(), {}),
    "latin letters of Excel": ("Größe,t,y\n1,1.5,0\n2,-2,1\n".encode("cp1252"), {}),
    "Excel's Unicode text": ("t\ty\n1.5\t0\n-2\t1\n".encode("utf-16"), {}),
    "its separator declared": (b"sep=;\nt;y\n1.5;0\n-2;1\n", {}),
    "tabs and truth values": (b"name\tt\ty\nA B\t1.5\tFalse\nC\t-2\tTrue\n", {}),
    "decimal commas": (b"t;y\n1,5;0\n-2;1\n", {"decimal": ","}),
    "blanks that line up": (b"   t   y\n 1.5   0\n  -2   1\n", {}),
    "spaces after commas": (b"t, y\n1.5, 0\n-2, 1\n", {}),
    "trailing commas": (b"t,y,\n1.5,0,\n-2,1,\n", {}),
    "commas in names": (b'"size, in cm";t;y\n3,1;1.5;0\n2,2;-2;1\n', {}),
    "old Macintosh": (b"t,y\r1.5,0\r-2,1\r", {}),
    "holes in other columns": (b"t,z,y\n1.5,,0\n-2,NA,1\n", {}),
    "a cell over two lines": (b't,note,y\n1.5,"one\ntwo",0\n-2,x,1\n', {}),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_tables_that_people_have(tmp_path, kind):
    content, options = TABLES[kind]
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    columns = read_columns(path, ["t", "y"], **options)
    assert {name: values.tolist() for name, values in columns.items()} == {"t": [1.5, -2.0], "y": [0.0, 1.0]}


BAD_TABLES = {
    "column 'y' of 't.csv' holds the labels 'no' and 'yes'; recode them as 0 and 1.": b"t,y\n1,yes\n2,no\n3,no\n",
    "column 't' of 't.csv' has 2 missing values, the first on line 3; drop or fill": b"t,y\n1,0\n,1\nNA,0\n",
    "'t.csv' has no column 't'; it has 'T', 'y'. Did you mean 'T'?": b"T,y\n1,0\n",
    "'t.csv' has no column 't'; it has '1', '0'. Its first line holds numbers": b"1,0\n2,1\n",
    "'t.csv' has 2 columns called 't'; rename all but one.": b"t,t,y\n1,2,0\n",
    "'t' of 't.csv' holds 1 of 2 values that are no numbers; the first is '1_0' on line 4": b"t,y\n\n2,0\n1_0,1\n",
    "'t' of 't.csv' holds 1 of 2 values that are not finite; the first is 'inf' on line 3.": b"t,y\n1,0\ninf,1\n",
    "holds 1 of 2 values that are no numbers; the first is '1,5' on line 2. If the comma is": b"t;y\n1,5;0\n2;1\n",
    "line 3 of 't.csv' has 3 cells, but the header has 2; put cells that contain ',' in quotes": b"t,y\n1,0\n2,1,5\n",
    "'t.csv' is empty; its first line must name the columns": b"\n \n",
    "'t.csv' has a header but no rows; give at least one example.": b"t,y\n",
    "'t.csv' is no text file; export the table as CSV.": b"PK\x03\x04\x00\x00",
    "--y (y) holds labels outside [0, 1] (1 of 2), the first is -1.0 at index 0; cross-entropy needs probabilities. "
    "For labels ±1 write (y + 1)/2 into the column": b"t,y\n1,-1\n2,1\n",
}


@pytest.mark.parametrize("message", BAD_TABLES)
def test_tables_that_cannot_be_used(shell, message):
    shell.path.joinpath("t.csv").write_bytes(BAD_TABLES[message])
    assert message in shell.fails("surface", "--data", "t.csv", "--x", "t", "--y", "y", "-o", "r.zarr")


def test_a_stranger_s_file_from_the_options_to_the_surface(shell):
    rows = [(66, 0, 2), (70, 1, 1), (69.5, 0, 1), (80, 0, 3), (53, 1, 1)]
    lines = ['"Temp (F)";Remark;"O-ring distress";n', *(f'{t};"a; b";{y};{n}' for t, y, n in rows)]
    shell.path.joinpath("launches.csv").write_text("\n".join(lines))
    columns = ("--x", "Temp (F)", "--y", "O-ring distress", "--weights", "n")
    assert shell("surface", "--data", "launches.csv", *columns, "--standardize", *SMALL, "-o", "r.zarr") == 0
    t, y, n = np.array(rows, np.float32).T
    expected = ls.neuron((t - t.mean()) / t.std(), y, weights=n).risk({"w": -3.0, "b": 3.0})
    saved = ls.open_surface("r.zarr")
    assert float(saved.risk.sel(w=-3, b=3)) == pytest.approx(float(expected), rel=1e-5)
    assert saved.attrs["source"].startswith(
        "launches.csv: x = Temp (F); y = O-ring distress; weights = n; x standardized: mean 67.7"
    )
    assert saved.attrs["source"] in shell.out


@pytest.mark.filterwarnings("default")
def test_a_column_beyond_its_dtype_is_warned_of_in_one_line(shell):
    shell.path.joinpath("t.csv").write_text("t,y\n1700000000,0\n1700000001,1\n1700000002,0\n")
    table = ("surface", "--data", "t.csv", "--x", "t", "--y", "y", *SMALL)
    assert shell(*table) == 0
    assert shell.err == (
        "landscape: warning: a column of --x varies too little for its size to be told apart in float32; "
        "use --standardize.\n"
    )
    assert shell(*table, "--standardize") == 0
    assert shell.err == ""


# ---- surface


def test_surface_is_what_evaluate_returns(shell):
    penalties = ("--penalty", "l2=0.1", "--penalty", "l1=0.1", "none")
    assert shell("surface", "--data", "pair", *SMALL, *penalties, "--quantity", "gradient_norm", "-o", "r.zarr") == 0
    pair = ls.neuron(*ls.datasets.pair())
    expected = ls.evaluate(
        pair,
        ls.axes_plane(pair.params, "w", "b"),
        {"w": np.linspace(-3, 3, 31), "b": np.linspace(-3, 3, 21)},
        quantities=("gradient_norm",),
        penalties={"l2 λ=0.1": ls.l2(0.1), "l1 λ=0.1": ls.l1(0.1), "none": ls.none()},
    )
    saved = ls.open_surface("r.zarr")
    assert saved.equals(expected)
    assert saved.attrs["objective_id"] == pair.id and saved.attrs["source"] == "pair"
    assert shell.err == ""


def test_surface_prints_where_each_objective_is_least(shell):
    assert shell("surface", "--data", "pair", "--penalty", "l2=0,0.01,0.1,1") == 0
    rows = {line.split()[0]: line.split(maxsplit=4) for line in shell.out.splitlines() if line.startswith("λ")}
    for label, w in MINIMIZERS.items():
        assert float(rows[label][2]) == pytest.approx(w, abs=0.05 + 1e-6) and float(rows[label][3]) == 0
        assert len(rows[label]) == 4, "an interior minimum has no remark"
    assert rows["λ=0"][2:] == ["10", "0", "no minimum in this window: the least value lies on its border"]
    assert "w: 201 × b: 201;  float32," in shell.out


@pytest.mark.filterwarnings("default:objective, risk finite at none of the cells")
def test_cells_that_are_not_finite_are_counted(shell):
    huge = ("--axis", "w=-1e30:1e30:5", "b=0", "--loss", "half_squared_error", "--activation", "identity")
    assert shell("surface", "--data", "pair", *huge) == 0
    assert "4 of 5 cells are not finite (`finite` is False there)" in shell.out
    assert shell("surface", "--data", "pair", *huge[:1], "w=1e30:2e30:3", *huge[2:], "-o", "r.zarr") == 0
    assert "nowhere finite in this window" in shell.out
    assert not ls.open_surface("r.zarr").finite.any()


@pytest.mark.parametrize(
    ("columns", "options", "expected"),
    [
        (["u"], [], {"w": 5.0, "b": 15.0}),  # mean 3, sd 2
        (["u"], ["--no-bias"], {"w": 5.0}),
        (["u"], ["--standardize"], {"w": 10.0, "b": 10.0}),
        (["u", "v"], [], {"w[0]": 5.0, "w[1]": 50.0, "b": 15.0}),
        (["c"], [], {"w": 1.4, "b": 10.0}),  # constant at 7
    ],
)
def test_default_axes_follow_the_data_s_scale(shell, columns, options, expected):
    shell.path.joinpath("t.csv").write_text("u,v,c,y\n1,0.2,7,0\n5,-0.2,7,1\n")
    assert shell("surface", "--data", "t.csv", "--x", *columns, "--y", "y", *options, "-o", "r.zarr") == 0
    surface = ls.open_surface("r.zarr")
    assert {name: float(surface[name].max()) for name in surface.risk.dims} == pytest.approx(expected)
    assert {name: float(surface[name].min()) for name in surface.risk.dims} == pytest.approx(
        {k: -v for k, v in expected.items()}
    )
    assert set(surface.risk.shape) == {51 if len(expected) == 3 else 201}


def test_float64_is_on_for_the_command_alone(shell):
    assert shell("surface", "--data", "pair", *SMALL, "--dtype", "float64", "-o", "r.zarr") == 0
    surface = ls.open_surface("r.zarr")
    w, b = np.meshgrid(surface.w, surface.b, indexing="ij")
    assert surface.risk.dtype == np.float64
    np.testing.assert_allclose(surface.risk, (np.logaddexp(0, b - w) + np.logaddexp(0, -b - w)) / 2, rtol=1e-13)
    assert not jax.config.jax_enable_x64


def test_polar_and_boundary_charts(shell):
    assert (
        shell("surface", "--data", "pair", "--chart", "polar", "--axis", "log_scale=0", "angle=-3:3:61", "-o", "p.zarr")
        == 0
    )
    best = ls.minimum(ls.open_surface("p.zarr"))
    assert float(best.angle) == pytest.approx(0, abs=1e-9) and bool(best.interior)  # the minimum on ‖(w, b)‖ = 1
    assert shell("surface", "--data", "pair", "--chart", "boundary", "--axis", "threshold=-1:1:5", "w=1:4:4") == 0
    assert shell("verify", "p.zarr", "--data", "pair") == 0


def test_objective_and_chart_of_one_s_own(shell, own):
    axes = ("--axis", "u=-1:3:41", "--axis", "v=-1:1:11")
    assert shell("surface", "--objective", f"{own}:bowl", *axes, "-o", "r.zarr") == 0
    best = ls.minimum(ls.open_surface("r.zarr"))
    assert [float(best.u), float(best.v), float(best.objective)] == pytest.approx([1, 0, 0], abs=1e-6)
    axes = ("--chart", f"{own}:plane", "--axis", "alpha=-1:1:5", "beta=-1:1:5")
    assert shell("surface", "--objective", f"{own}.py:bowl", *axes, "-o", "c.zarr") == 0
    surface = ls.open_surface("c.zarr")
    np.testing.assert_allclose(
        surface.risk.sel(alpha=1), (1 + surface.beta) ** 2 + 4 * (1 - surface.beta) ** 2, rtol=1e-6
    )
    assert shell("surface", "--objective", f"{own}:masked", "--axis", "k[0, 1]=-2:2:5", "s=-1:1:3") == 0
    assert str(shell.path) not in sys.path


def test_surface_and_show_say_where_a_slice_is_held(shell, own):
    shell.path.joinpath("t.csv").write_text("t,y\n1,0\n3,1\n2,1\n")
    table = ("surface", "--data", "t.csv", "--x", "t", "--y", "y", "--axis")
    assert shell(*table, "w=-1:1:11", "-o", "s.zarr") == 0
    assert re.search(r"^t.csv: x = t; y = y;  w: 11;  float32, \d+\.\d\d s\nat b = 0$", shell.out, re.MULTILINE)
    assert shell("show", "s.zarr") == 0
    assert re.search(r"^  held +at b = 0$", shell.out, re.MULTILINE)
    assert shell(*table, "w=-1:1:11", "b=-1:1:3") == 0
    assert "\nat " not in shell.out
    assert shell("surface", "--objective", f"{own}:masked", "--axis", "s=-1:1:3") == 0
    assert "\nat k[0, 0] = 1, k[0, 1] = 1, k[1, 0] = 1, k[1, 1] = 1\n" in shell.out
    assert shell("surface", "--objective", f"{own}:many", "--axis", "k[8]=0:2:3") == 0
    assert "\nat k[0] = 0, k[1] = 0, k[2] = 0, k[3] = 0, k[4] = 0, k[5] = 0, … and 2 more entries\n" in shell.out
    assert shell("surface", "--data", "pair", "--chart", "polar", "--axis", "log_scale=0", "angle=-1:1:5") == 0
    assert "\nat " not in shell.out


def test_least_values_that_many_cells_share(shell):
    relu = ("--loss", "half_squared_error", "--activation", "relu", "--no-bias")
    shell.path.joinpath("t.csv").write_text("t,y\n1,0\n2,0\n")
    assert shell("surface", "--data", "t.csv", "--x", "t", "--y", "y", *relu, "--axis", "w=-2:2:5") == 0
    assert "the least value reaches the border (3 cells share it)" in shell.out


# ---- descend


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_descend_reaches_the_known_minimizers(shell):
    optimizers = ("--optimizer", "sgd=0.5", "lbfgs", "--optimizer", "adam=0.1")
    starts = ("--start", "w=-2,b=1", "w=3")
    assert shell("descend", "--data", "pair", "--penalty", "l2=0.1,1", *optimizers, *starts, "-o", "r.zarr") == 0
    runs = ls.open_trajectory("r.zarr")
    *dims, _ = runs.data.risk.dims
    assert dims == ["optimizer", "penalty", "start"]
    assert runs.data.optimizer.values.tolist() == ["sgd", "lbfgs", "adam"]
    for i, label in enumerate(["λ=0.1", "λ=1"]):
        np.testing.assert_allclose(runs.params["w"][:, i, :, -1], MINIMIZERS[label], atol=1e-5)
    assert runs.params["w"][0, 0, :, 0].tolist() == [-2, 3] and runs.params["b"][0, 0, :, 0].tolist() == [1, 0]
    header, *rows = shell.out.split("\n\n")[1].splitlines()
    assert header.split() == [
        *dims,
        "w",
        "b",
        "risk",
        "objective",
        "gradient",
        "norm",
        "steps",
        "to",
        "|grad|",
        "0.001",
    ]
    assert len(rows) == 12 and rows[0].split()[:4] == ["sgd", "λ=0.1", "0", "1.17751"]
    reached = runs.steps_to(1e-3)
    assert [int(row.split()[-1]) for row in rows] == reached.values.ravel().astype(int).tolist()


@pytest.mark.lenient("optax mixes dtypes and ranks")
@pytest.mark.parametrize("name", [n for n in specs.OPTIMIZERS if n != "lbfgs"])
def test_every_optimizer_descends(shell, name):
    assert shell("descend", "--data", "pair", "--penalty", "l2=0.1", "--optimizer", f"{name}=0.1", "--steps", "20") == 0
    objective = float(shell.out.splitlines()[4].split()[5])
    assert 0.4 < objective < 0.69, "from log 2 towards 0.407"


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_proximal_gradient_finds_exact_zeros_on_two_inputs(shell):
    shell.path.joinpath("t.csv").write_text("u,v,y\n1,1,1\n-1,1,0\n2,-1,1\n-2,-1,0\n")
    options = (
        "--penalty",
        "l1=0.1",
        "--optimizer",
        "proximal_gradient=0.5",
        "--start",
        "w=0:2,b=1",
        "--record-every",
        "100",
    )
    assert shell("descend", "--data", "t.csv", "--x", "u", "v", "--y", "y", *options, "-o", "r.zarr") == 0
    runs = ls.open_trajectory("r.zarr")
    assert runs.params["w"][0, 0, -1, 1] == 0 and runs.params["w"][0, 0, -1, 0] > 0.5
    assert runs.data.step.values.tolist() == [0, 100, 200, 300, 400, 500]


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_mini_batches_follow_the_seed(shell):
    options = (
        "descend",
        "--data",
        "o_rings",
        "--standardize",
        "--optimizer",
        "sgd=0.1",
        "--batch-size",
        "4",
        "--steps",
        "30",
    )
    tables = [shell.out for seed in "112" if shell(*options, "--seed", seed) == 0]
    assert len(tables) == 3 and tables[0] == tables[1] != tables[2]


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_a_run_that_becomes_non_finite_says_so(shell):
    risk = ("--loss", "half_squared_error", "--activation", "identity")
    assert shell("descend", "--data", "pair", *risk, "--optimizer", "sgd=1e30", "--steps", "5", "--start", "w=2") == 0
    assert "became non-finite at step 1" in shell.out


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_many_params_are_told_by_their_norm(shell, own):
    assert shell("descend", "--objective", f"{own}:many", "--optimizer", "sgd=0.1", "--steps", "200") == 0
    assert shell.out.splitlines()[3].split()[1] == "‖θ‖"
    assert float(shell.out.splitlines()[4].split()[1]) == pytest.approx(3, abs=1e-4)


# ---- show, and the pictures


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_show_tells_what_a_result_is_and_draws_the_runs_on_it(shell):
    sweep = ("--penalty", "l2=0,0.1")
    assert shell("surface", "--data", "pair", *SMALL, *sweep, "-o", "s.zarr", "--plot", "s.png") == 0
    assert shell("descend", "--data", "pair", *sweep, "--optimizer", "adam=0.5", "-o", "r.zarr", "--plot", "r.svg") == 0
    assert "saved: r.zarr\ndrawn: r.svg\n" in shell.out
    assert shell("show", "s.zarr", "--runs", "r.zarr", "--plot", "both.pdf") == 0
    for said in (
        "surface s.zarr", "R(w, b) = ½( log(1+e^(−w−b)) + log(1+e^(w−b)) − w + b )", "λ=0.1: 0.1·‖θ‖²",
        "w: 31 from -3 to 3,  b: 21 from -3 to 3,  2 penalties", f"JAX {jax.__version__}", "float32",
        "products in precision 'highest'", f"objective {ls.open_surface('s.zarr').attrs['objective_id']}",
        "no minimum in this window", "trajectory r.zarr", "1 optimizer,  2 penalties,  step: 501 from 0 to 500",
    ):  # fmt: skip
        assert said in shell.out
    assert shell.files == {"s.zarr", "r.zarr", "s.png", "r.svg", "both.pdf"}, "no partial files"
    assert (shell.path / "both.pdf").read_bytes().startswith(b"%PDF")
    assert shell("show", "r.zarr") == 0
    assert "steps to |grad| 0.001" in shell.out
    assert "--runs draws a trajectory on a surface, not a surface on a trajectory." in shell.fails(
        "show", "r.zarr", "--runs", "s.zarr"
    )


def test_show_tells_how_a_flow_ended(shell):
    options = {"activation": "relu", "bias": False, "loss": "half_squared_error"}
    starts = {"w": np.float32([1.0, -1.0])}
    ls.save(ls.gradient_flow(ls.neuron([1.0, -1.0], [-1.0, -1.0], **options), starts, [1.0, 2.0]), "flow.zarr")
    assert shell("show", "flow.zarr") == 0
    assert "met a kink at time 1.386" in shell.out and "not all computed" not in shell.out


@pytest.mark.parametrize("options", [["w=-3:3:31", "b=-3:3:31"], ["w=-3:3:31"], ["w=-3:3:31", "--penalty", "l2=0,1"]])
def test_pictures_of_what_is_no_sweep_over_two_coordinates(shell, options):
    assert shell("surface", "--data", "pair", "--axis", *options, "--plot", "s.png") == 0
    assert (shell.path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_fails_leaves_the_numbers(shell, monkeypatch):
    def fail(*_, **__):
        raise ValueError("no picture\ntoday")

    monkeypatch.setattr("landscape.plot.contour", fail)
    assert shell("surface", "--data", "pair", *SMALL, "-o", "s.zarr", "--plot", "s.png") == 2
    assert shell.err == "landscape: error: no picture today\n"
    assert shell.files == {"s.zarr"}


def test_show_draws_three_coordinates_with_one_held(shell):
    shell.path.joinpath("t.csv").write_text("t,t2,y\n1,2,0\n2,3,1\n3,1,1\n")
    axes = ("--axis", "w[0]=-1:1:5", "w[1]=-1:1:5", "b=-1:1:5")
    assert shell("surface", "--data", "t.csv", "--x", "t", "t2", "--y", "y", *axes, "-o", "s.zarr") == 0
    line = shell.fails("show", "s.zarr", "--plot", "s.png")
    assert "and the surface has w[0], w[1], b; hold one at a position of the grid, such as --at b=0." in line
    assert shell("show", "s.zarr", "--at", "b=0.4", "--plot", "s.png") == 0
    assert "at b = 0.5\n" in shell.out and "drawn: s.png" in shell.out
    assert "--at names 'w[2]', and the surface has w[0], w[1], b. Did you mean" in shell.fails(
        "show", "s.zarr", "--at", "w[2]=0"
    )
    assert "--at holds every coordinate" in shell.fails("show", "s.zarr", "--at", "w[0]=0", "w[1]=0", "b=0")


@pytest.mark.lenient("optax mixes dtypes and ranks")
def test_show_refuses_runs_that_do_not_belong_before_it_prints(shell):
    assert shell("surface", "--data", "pair", *SMALL, "-o", "s.zarr") == 0
    descend = ("descend", "--optimizer", "sgd=0.1", "--steps", "5", "--data")
    assert shell(*descend, "o_rings", "--standardize", "-o", "r.zarr") == 0
    for plot in ([], ["--plot", "s.png"]):
        line = shell.fails("show", "s.zarr", "--runs", "r.zarr", *plot)
        assert "--runs 'r.zarr' descended another objective than 's.zarr' shows" in line
    assert shell(*descend, "pair", "--penalty", "l2=0.3", "-o", "q.zarr") == 0
    line = shell.fails("show", "s.zarr", "--runs", "q.zarr", "--plot", "s.png")
    assert "used a penalty that the surface does not show" in line


# ---- verify


@pytest.fixture
def saved(shell):
    assert shell("surface", "--data", "pair", *SMALL, "--penalty", "l2=0.1", "l1=0.2", "--quantity", "slope",
                 "gradient_norm", "risk_stderr", "-o", "s.zarr") == 0  # fmt: skip
    return ls.open_surface("s.zarr")


def test_verify_agrees_with_what_surface_saved(shell, saved):
    assert shell("verify", "s.zarr", "--data", "pair") == 0
    assert re.search(r"^all \d+ numbers of 2[12] cells agree, to 1.2e-04 or to rounding$", shell.out, re.MULTILINE)
    for variable in ("gradient_norm", "objective", "penalty_value", "risk", "risk_stderr", "slope[w]", "slope[b]"):
        assert re.search(rf"^{re.escape(variable)} ", shell.out, re.MULTILINE)
    assert shell("verify", "s.zarr", "--data", "pair", "--cells", "5", "--seed", "3") == 0
    assert re.search(r"of [67] cells agree", shell.out)


@pytest.mark.parametrize("variable", ["risk", "objective", "gradient_norm", "slope"])
def test_verify_lists_cells_that_are_wrong(shell, saved, variable):
    ls.save(saved.assign({variable: saved[variable] * 1.01 + 0.01}), "w.zarr")
    assert shell("verify", "w.zarr", "--data", "pair") == 1
    assert re.search(r"^\d+ of \d+ numbers of 2[12] cells are wrong:$", shell.out, re.MULTILINE)
    header, first = shell.out.split("are wrong:\n")[1].splitlines()[:2]
    assert header.split()[-4:] == ["w", "b", "stored", "recomputed"] and first.startswith(variable)
    assert "… and" in shell.out and shell.err == ""


def test_verify_finds_wrong_penalties_and_axes(saved):
    pair = ls.neuron(*ls.datasets.pair())
    stronger = json.loads(saved.attrs["penalty_terms"])
    stronger["l1 λ=0.2"][0]["strength"] = 0.3
    wrong = checks.verify(saved.assign_attrs(penalty_terms=json.dumps(stronger)), pair)
    assert {(n.variable, n.penalty) for n in wrong if not n.agrees} == {
        (variable, "l1 λ=0.2") for variable in ("objective", "penalty_value", "gradient_norm")
    }
    moved = checks.verify(saved.assign_coords(w=saved.w + 0.1), pair)
    assert {n.variable for n in moved if not n.agrees} >= {"risk", "slope[w]", "penalty_unit"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "o_rings"], r"is \w{16}. What differs: examples: 2 there, 23 here; risk: R\(w, b\) = ½.* there, "),
        (["--data", "pair", "--dtype", "float64"], r"What differs: dtype: float32 there, float64 here\."),
        (["--data", "pair", "--loss", "half_squared_error"], r"What differs: risk: "),
        (["--data", "pair", "--standardize", "--no-bias"], r"What differs: risk: "),
    ],
)  # fmt: skip
def test_verify_refuses_another_objective(shell, saved, options, message):
    line = shell.fails("verify", "s.zarr", *options)
    assert f"the surface shows the objective {saved.attrs['objective_id']}, and" in line
    assert re.search(message, line)


def test_verify_knows_that_versions_change_fingerprints(shell, saved):
    ls.save(saved.assign_attrs(objective_id="0" * 16, jax_version="0.9.9"), "old.zarr")
    message = shell.fails("verify", "old.zarr", "--data", "pair")
    assert (
        f"JAX: 0.9.9 there, {jax.__version__} here, which may change the fingerprint" in message
        and "--force" in message
    )
    assert shell("verify", "old.zarr", "--data", "pair", "--force") == 0
    ls.save(saved.assign_attrs(objective_id="0" * 16), "other.zarr")
    assert "the data, or the losses' code: formula, examples and dtype" in shell.fails(
        "verify", "other.zarr", "--data", "pair"
    )


def test_verify_says_how_the_surface_was_read(shell):
    for options, other, advice in (
        (["--standardize"], [], "Its inputs were standardized: add --standardize."),
        ([], ["--standardize"], "Its inputs were not: leave out --standardize."),
    ):
        assert shell("surface", "--data", "o_rings", *options, *SMALL, "-o", f"s{len(options)}.zarr") == 0
        line = shell.fails("verify", f"s{len(options)}.zarr", "--data", "o_rings", *other)
        assert "What differs: source: o_rings" in line and line.endswith(f"{advice}\n")
        assert shell("verify", f"s{len(options)}.zarr", "--data", "o_rings", *options, "--cells", "3") == 0
        assert "checked: 3 cells at random, and the cell where the objective is least: 4 in all\n" in shell.out


def test_verify_of_charts_and_penalties_of_one_s_own(shell, own):
    axes = ("--axis", "k[0, 1]=-2:2:5", "s=-1:1:3")
    assert shell("surface", "--objective", f"{own}:masked", *axes, "-o", "m.zarr") == 0
    assert shell("verify", "m.zarr", "--objective", f"{own}:masked") == 0
    assert "not checked" not in shell.out, "the objective brings its mask"
    assert "`chart` is" in shell.fails("verify", "m.zarr", "--objective", f"{own}:masked", "--chart", f"{own}:plane")
    surface = ls.open_surface("m.zarr")
    ls.save(surface.assign_attrs(chart=""), "n.zarr")
    assert "the surface does not hold its chart" in shell.fails("verify", "n.zarr", "--objective", f"{own}:masked")
    ls.save(surface.assign_attrs(penalties='{"": "2·‖mθ‖²"}'), "p.zarr")
    line = shell.fails("verify", "p.zarr", "--objective", f"{own}:masked")
    assert "the surface has the penalty 2·‖mθ‖², and the objective given has 0.5·‖mθ‖²." in line
    assert (
        shell(
            "surface",
            "--objective",
            f"{own}:bowl",
            "--chart",
            f"{own}:plane",
            "--axis",
            "alpha=0:1:3",
            "beta=0:1:3",
            "-o",
            "c.zarr",
        )
        == 0
    )
    assert shell("verify", "c.zarr", "--objective", f"{own}:bowl", "--chart", f"{own}:plane") == 0


def test_verify_checks_the_sums_of_a_masked_penalty():
    pair = ls.neuron(*ls.datasets.pair())
    axes = {"w": np.linspace(-3, 3, 5), "b": np.linspace(-2, 2, 3)}
    mask = {"w": True, "b": False}
    surface = ls.evaluate(pair, ls.axes_plane(pair.params, "w", "b"), axes, penalties={"m": ls.l2(0.1, scope=mask)})
    assert all(n.agrees for n in checks.verify(surface, pair))
    assert checks.unchecked(surface, pair) == ["the penalty 'm', which is under a mask"]
    for variable in ("objective", "penalty_unit"):
        assert not all(n.agrees for n in checks.verify(surface.assign({variable: surface[variable] + 1.0}), pair))
    assert checks.unchecked(surface.assign(mine=surface.risk), pair)[0] == "mine"


def test_verify_accepts_what_rounding_explains_and_no_more():
    """At z = w(x − t) with x and t about 1000 the last place of float32 decides the third digit of the risk."""
    x, y = np.array([1000.1, 999.7]), np.array([1.0, 0.0])
    axes = {"threshold": np.linspace(999.13, 1001.1, 11), "w": np.linspace(9.3, 10.9, 7)}

    def measured(dtype):
        objective = ls.neuron(x.astype(dtype), y.astype(dtype))
        chart = ls.Boundary(ls.axes_plane(objective.params, "w", "b"))
        return objective, ls.evaluate(objective, chart, axes, quantities=("gradient_norm", "slope"))

    objective, surface = measured(np.float32)
    with jax.enable_x64(True):
        wide = measured(np.float64)[1].assign_attrs(surface.attrs)  # a machine that rounds otherwise
    numbers = checks.verify(wide, objective, cells=77)
    assert all(n.agrees for n in numbers)
    assert sum(n.difference > checks.tolerance(surface) for n in numbers) > 50, "the surroundings decided"
    off = checks.verify(wide.assign(risk=wide.risk * 1.05), objective, cells=77)
    assert sum(not n.agrees for n in off if n.variable == "risk") > 60


def test_cells_that_are_not_finite_agree_with_themselves():
    line = ls.neuron([1.0, 2.0], [0.0, 1.0], loss="half_squared_error", activation="identity", bias=False)
    surface = ls.evaluate(line, ls.axes_plane(line.params, "w"), {"w": np.array([0.0, 1e25, -1e30])})
    numbers = checks.verify(surface, line)
    assert all(n.agrees for n in numbers) and any(np.isinf(n.stored) for n in numbers)
    assert not all(n.agrees for n in checks.verify(surface.assign(risk=surface.risk.where(surface.finite)), line))


# ---- figures

FIGURE = '''"""A line."""
import numpy as np
import xarray as xr

from landscape.plot import style


def compute():
    return xr.Dataset({"y": ("x", np.arange(3.0))})


def draw(data):
    figure = style.figure(1, 1)
    figure.subplots().plot(data.y)
    return figure


def claims(data):
    return {"it rises": True, "it ends at END": bool(data.y[-1] == END)}
'''


def test_figures_are_drawn_and_checked(shell):
    folder = shell.path / "figures"
    folder.mkdir()
    folder.joinpath("right.py").write_text(FIGURE.replace("END", "2"))
    folder.joinpath("wrong.py").write_text(FIGURE.replace("END", "3"))
    assert shell("figures", "figures", "--only", "right", "--formats", "png", "--out", "out", "--check") == 0
    assert {path.name for path in shell.path.joinpath("out").glob("*.p*")} == {"contact_sheet.png", "right.png"}
    assert "✓ it rises" in shell.out
    assert shell("figures", "figures", "--formats", "png", "--check") == 1
    assert "✗ it ends at 3" in shell.out
    assert shell("figures", "figures", "--formats", "png") == 0
    assert "'nowhere' is no folder" in shell.fails("figures", "nowhere")
    assert "`only` names 'left'" in shell.fails("figures", "figures", "--only", "left")


# ---- mistakes

MISTAKES = {
    "the following arguments are required: COMMAND. See landscape --help.": [],
    "invalid choice: 'surfaces'": ["surfaces"],
    "one of the arguments --data --objective is required. See landscape surface --help.": ["surface"],
    "unrecognized arguments: --grid": ["surface", "--data", "pair", "--grid"],
    "argument --objective: not allowed with argument --data": ["surface", "--data", "pair", "--objective", "a:b"],
    "--data 'none.csv' does not exist; give a file, or one of the built-in sets pair, o_rings.": [
        "surface", "--data", "none.csv"],
    "--data FILE needs --x COL (one or several) and --y COL": ["surface", "--data", "t.csv", "--x", "t"],
    "--data pair is built in and has its own columns; leave out --x, --y.": [
        "surface", "--data", "pair", "--x", "t", "--y", "y"],
    "argument --axis: 'w=1:2:3:4' must be NAME=LOW:HIGH:POINTS": ["surface", "--data", "pair", "--axis", "w=1:2:3:4"],
    "'w=1:2:2.5' has '2.5' where a whole number ≥ 1 is wanted.": ["surface", "--data", "pair", "--axis", "w=1:2:2.5"],
    "'w=nan:2' has 'nan' where a number is wanted.": ["surface", "--data", "pair", "--axis", "w=nan:2"],
    "'w=2:2' has LOW = HIGH; write w=2 for a single position.": ["surface", "--data", "pair", "--axis", "w=2:2"],
    "--axis names 'w' twice; give each coordinate once.": ["surface", "--data", "pair", "--axis", "w=0:1", "w=0:2"],
    "--axis: 'q', which is no entry of the params (b, w).": ["surface", "--data", "pair", "--axis", "q=0:1"],
    "--axis is given for 4 coordinates; a grid has 1 to 3.": [
        "surface", "--data", "pair", "--axis", "a=1", "b=1", "c=1", "d=1"],
    "there are 4 parameters; choose 1 to 3 of them with --axis: w[0], w[1], w[2], b.": [
        "surface", "--data", "t.csv", "--x", "t", "t2", "t3", "--y", "y"],
    "--axis is needed, one a coordinate: NAME=LOW:HIGH:POINTS. The chart's coordinates are log_scale, angle.": [
        "surface", "--data", "pair", "--chart", "polar"],
    "--chart polar is of the plane (w, b): it needs --data with one input": [
        "surface", "--data", "pair", "--no-bias", "--chart", "polar", "--axis", "angle=0:1"],
    "--penalty: 'l3=1' names no penalty; it must be one of none, l1, l2, elastic_net, weight_decay": [
        "surface", "--data", "pair", "--penalty", "l3=1"],
    "'l2=-1' has a negative strength; a penalty's strength is ≥ 0.": [
        "surface", "--data", "pair", "--penalty", "l2=-1"],
    "'l2=x' has 'x' where a number is wanted.": ["surface", "--data", "pair", "--penalty", "l2=x"],
    "'elastic_net=1' must give two strengths a penalty": ["surface", "--data", "pair", "--penalty", "elastic_net=1"],
    "'none=1': none has no strength": ["surface", "--data", "pair", "--penalty", "none=1"],
    "--penalty gives l2 λ=0.1 twice; leave one out.": ["surface", "--data", "pair", "--penalty", "l2=0.1,0.1"],
    "--quantity: 'hessian' is no quantity; it must be one of risk_stderr, ": [
        "surface", "--data", "pair", "--quantity", "hessian"],
    "--loss is 'hinge'; it must be one of 'cross_entropy', 'half_squared_error'.": [
        "surface", "--data", "pair", "--loss", "hinge"],
    "--activation is 'tanh', but --loss cross_entropy needs probabilities: use --activation sigmoid, or --loss half": [
        "surface", "--data", "pair", "--activation", "tanh"],
    "--standardize: a column of --x is constant": [
        "surface", "--data", "t.csv", "--x", "c", "--y", "y", "--standardize"],
    "-o: 'taken.zarr' is no store: results are folders that `ls.save`, `store=` or -o wrote.": [
        "surface", "--data", "pair", "-o", "taken.zarr"],
    "-o 'r.png' takes the numbers, a zarr store; the picture is --plot r.png.": [
        "surface", "--data", "pair", "-o", "r.png"],
    "-o 'no/r.zarr': there is no folder": ["descend", "--data", "pair", "--optimizer", "lbfgs", "-o", "no/r.zarr"],
    "--plot 's.doc' must end in one of .png, .pdf, .svg.": ["surface", "--data", "pair", "--plot", "s.doc"],
    "--plot 'no/s.png': there is no folder": ["show", "r.zarr", "--plot", "no/s.png"],
    "--plot needs two positions or more on every axis; 'w' has one.": [
        "surface", "--data", "pair", "--axis", "w=1", "b=0:1", "--plot", "s.png"],
    "--plot draws one or two coordinates, not 3; choose them with --axis.": [
        "surface", "--data", "t.csv", "--x", "t", "t2", "--y", "y", "--plot", "s.png"],
    "such as l2=0.01,0.1. Did you mean 'weight_decay'?": ["surface", "--data", "pair", "--penalty", "weight-decay=1"],
    "hessian_ratio. Did you mean 'gradient_norm'?": ["surface", "--data", "pair", "--quantity", "grad_norm"],
    "'W', which is no entry of the params (b, w). Did you mean 'w'?": ["surface", "--data", "pair", "--axis", "W=0:1"],
    "'angel', which is no coordinate of the chart (log_scale, angle). Did you mean 'angle'?": [
        "surface", "--data", "pair", "--chart", "polar", "--axis", "angel=0:1"],
    "lbfgs. Did you mean 'sgd'?": ["descend", "--data", "pair", "--optimizer", "SGD=0.1"],
    "--at: 'b' must be NAME=VALUE, such as b=0.": ["show", "r.zarr", "--at", "b"],
    "the following arguments are required: --optimizer": ["descend", "--data", "pair"],
    "'sdg' is no optimizer known here; it must be one of sgd, momentum, nesterov, adam": [
        "descend", "--data", "pair", "--optimizer", "sdg=0.1"],
    "'adam' needs a learning rate, such as adam=0.1.": ["descend", "--data", "pair", "--optimizer", "adam"],
    "'sgd=0' has the learning rate 0; it must be > 0.": ["descend", "--data", "pair", "--optimizer", "sgd=0"],
    "'lbfgs=1': lbfgs finds its steps by a line search; write lbfgs.": [
        "descend", "--data", "pair", "--optimizer", "lbfgs=1"],
    "--optimizer gives the same one twice; leave one out.": [
        "descend", "--data", "pair", "--optimizer", "sgd=1", "sgd=1.0"],
    "argument --steps: '0' has '0' where a whole number ≥ 1 is wanted.": [
        "descend", "--data", "pair", "--optimizer", "sgd=1", "--steps", "0"],
    "'w' must be NAME=VALUE,NAME=VALUE": ["descend", "--data", "pair", "--optimizer", "sgd=1", "--start", "w"],
    "--start names 'v', which is no leaf of the params (b, w).": [
        "descend", "--data", "pair", "--optimizer", "sgd=1", "--start", "v=1"],
    "--start gives 2 values to 'w', which has 1": [
        "descend", "--data", "pair", "--optimizer", "sgd=1", "--start", "w=1:2"],
    "`batch_size` is 9 but there are 2 examples": [
        "descend", "--data", "pair", "--optimizer", "sgd=1", "--batch-size", "9"],
    "'nothing.zarr' does not exist.": ["show", "nothing.zarr"],
    "'t.csv' is no store": ["verify", "t.csv", "--data", "pair"],
}  # fmt: skip


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing_behind(shell, message):
    shell.path.joinpath("t.csv").write_text("t,t2,t3,c,y\n1,2,5,7,0\n2,3,4,7,1\n")
    shell.path.joinpath("taken.zarr/mine").mkdir(parents=True)
    assert message in shell.fails(*MISTAKES[message])


OWN_MISTAKES = {
    "--objective: there is no module 'nowhere' in": "nowhere:bowl",
    "--objective is 'OWN'; it must be MODULE:ATTR, such as mine:objective.": "OWN",
    "--objective: 'OWN' has no 'bowls'; it has bowl, masked, many, tuples, broken, slow.": "OWN:bowls",
    "--objective OWN:number is of type int; wanted: Objective or a function making one.": "OWN:number",
    "--objective: OWN:broken() failed: ZeroDivisionError: division by zero (OWN.py, line 26)": "OWN:broken",
}


@pytest.mark.parametrize("message", OWN_MISTAKES)
def test_mistakes_in_code_of_one_s_own(shell, own, message):
    reference = OWN_MISTAKES[message].replace("OWN", own)
    line = shell.fails("surface", "--objective", reference, "--axis", "u=0:1")
    assert message.replace("OWN", own) in line


def test_more_mistakes_with_one_s_own(shell, own):
    bowl = ("--objective", f"{own}:bowl")
    assert "--loss belongs to --data; an own" in shell.fails(
        "surface", *bowl, "--axis", "u=0:1", "--loss", "cross_entropy"
    )
    assert "The params are u: float32[], v: float32[]." in shell.fails("surface", *bowl)
    line = shell.fails("surface", *bowl, "--axis", "u=0:1", "--dtype", "float64")
    assert "--dtype is float64, but the params of" in line and "are float32; build them in it." in line
    line = shell.fails("surface", *bowl, "--chart", f"{own}:plane", "--axis", "u=0:1")
    assert "`axes` must name the chart's coordinates, alpha, beta; missing: 'alpha', 'beta'; unknown: 'u'" in line
    line = shell.fails("descend", "--objective", f"{own}:tuples", "--optimizer", "lbfgs", "-o", "r.zarr")
    assert "-o stores params that are nested dictionaries" in line
    shell.path.joinpath("bad_module.py").write_text("import landscape\nx = landscape.nothing\n")
    line = shell.fails("surface", "--objective", "bad_module:x", "--axis", "u=0:1")
    assert "AttributeError: module 'landscape' has no attribute 'nothing' (bad_module.py, line 2)" in line


def test_where_a_mistake_was_found_is_shown_on_request(shell, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        main(["show", "nothing.zarr"])


def test_errors_of_jax_are_mistakes_in_one_line(shell, monkeypatch):
    def fail(error):
        def evaluate(*_, **__):
            raise error

        monkeypatch.setattr(ls, "evaluate", evaluate)

    fail(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nBuffers:\n1"))
    line = shell.fails("surface", "--data", "pair", *SMALL)
    assert line == "landscape: error: not enough memory: RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\n"
    monkeypatch.setenv("LANDSCAPE_TRACEBACK", "1")
    with pytest.raises(jax.errors.JaxRuntimeError):
        main(["surface", "--data", "pair", *SMALL])
    monkeypatch.delenv("LANDSCAPE_TRACEBACK")
    fail(KeyError("a mistake of our own"))
    with pytest.raises(KeyError):
        main(["surface", "--data", "pair", *SMALL])


def test_exit_status_of_the_program(shell):
    done = in_a_process("show", "nothing.zarr", cwd=shell.path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "landscape: error: 'nothing.zarr' does not exist.\n")


def test_compressed_examples_are_told_of_unless_exact_ones_are_asked_for(shell):
    rows = [f"{x:.4f},{int(x > 0.1)}" for x in np.random.default_rng(0).normal(size=20_000)]
    (shell.path / "d.csv").write_text("\n".join(["x,y", *rows]))
    command = ["surface", "--data", "d.csv", "--x", "x", "--y", "y", "--axis", "w=-5:5:101", "b=-5:5:101"]
    assert shell(*command, "-o", "a.zarr") == shell(*command, "-o", "b.zarr", "--exact") == 0
    assert shell("show", "a.zarr") == 0 and re.search(r"examples +20000 as \d+ nodes of degree 8, error at", shell.out)
    assert shell("show", "b.zarr") == 0 and "nodes" not in shell.out
    assert shell("verify", "a.zarr", "--data", "d.csv", "--x", "x", "--y", "y") == 0


# ---- interruptions


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_leaves_nothing_half_written(shell, own, number, status):
    command = [*PYTHON, "surface", "--objective", f"{own}:slow", "--axis", "w=-1:1:1000", "b=-1:1:1000", "-o", "r.zarr"]
    with subprocess.Popen(
        command, cwd=shell.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    if (shell.path / "r.zarr").exists():  # its run had begun, or was about to
        found = re.search(r"interrupted; \d+ of (\d+) tiles safe in 'r.zarr', run the same again to resume\n$", err)
        assert found and ls.open_surface(shell.path / "r.zarr").attrs["tiles"] == int(found[1]) > 10
    else:
        assert err == "landscape: interrupted; nothing was saved\n"
    assert shell.files <= {f"{own}.py", "__pycache__", "r.zarr"}


def test_an_interruption_after_saving_says_that_it_was_saved(shell, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("landscape.plot.contour", interrupt)
    assert shell("surface", "--data", "pair", *SMALL, "-o", "s.zarr", "--plot", "s.png") == 130
    assert shell.err == "landscape: interrupted; 's.zarr' was saved before\n"
    assert shell.files == {"s.zarr"}
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_reader_that_has_seen_enough_is_no_mistake(shell, saved):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [*PYTHON, "show", "s.zarr"], cwd=shell.path, stdout=closed, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (141, "")
