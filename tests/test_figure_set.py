"""Figures as programs: what is computed again and what is not, equal bytes, claims, and what each mistake is told."""

import io
import os
import subprocess
import sys
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import ml_dtypes
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from landscape import _figure_cache
from landscape.figure_set import draw_figures
from landscape.plot.dark import PAGE

FIGURE = '''"""A bowl whose rim is high."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

SIZE = 5


def compute():
    with Path(__file__).with_name("computed.log").open("a") as log:
        log.write("computed\\n")
    w = np.linspace(-1, 1, SIZE)
    return xr.Dataset({"risk": ("w", w**2)}, {"w": w})


def draw(data):
    figure, axes = plt.subplots(figsize=(1, 1))
    axes.plot(data.w, data.risk)
    axes.set(xlabel="w", title="λ = 0")
    return figure


def claims(data):
    return {"the rim is high": bool(data.risk[0] > 0.5), "the bottom is at 0": data.risk.values.min() == 0}
'''


class Folder:
    """A folder of figure programs, with the lines and the exit status of the last drawing."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text()
        assert text.count(old) == 1, f"{old!r} must stand once in {name}"
        self.write(name, text.replace(old, new))

    def draw(self, **options) -> list[str]:
        self.lines: list[str] = []
        self.status = draw_figures(self.path, **{"formats": "png"} | options, write=self.lines.append)
        return self.lines

    @property
    def computed(self) -> int:
        log = self.path / "computed.log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def out(self, name: str) -> bytes:
        return (self.path / "out" / name).read_bytes()


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "figures")
    folder.write("bowl.py", FIGURE)
    return folder


def test_a_figure_is_drawn_with_its_ticks_and_its_caption(folder):
    lines = folder.draw(formats=("png", "pdf", "svg"), check=True)
    assert folder.status == 0
    assert lines[0].startswith("bowl ") and lines[0].endswith(" s  computed")
    assert lines[1:] == ["  ✓ the rim is high", "  ✓ the bottom is at 0"]
    assert folder.out("bowl.png").startswith(b"\x89PNG")
    assert folder.out("bowl.pdf").startswith(b"%PDF")
    assert b"<svg" in folder.out("bowl.svg")
    assert folder.out("captions.md").decode() == (
        "# Figures\n\n## bowl\n\n![bowl](bowl.png)\n\nA bowl whose rim is high.\n\n"
        "- ✓ the rim is high\n- ✓ the bottom is at 0\n"
    )


def test_on_a_dark_page_as_well(folder):
    """The light one has the bytes that it has alone; both are drawn of what was computed once."""
    folder.draw(formats=("png", "pdf"))
    alone = folder.out("bowl.png"), folder.out("bowl.pdf")
    folder.draw(formats=("png", "pdf"), dark=True)
    assert (folder.out("bowl.png"), folder.out("bowl.pdf")) == alone and folder.computed == 1
    assert folder.out("bowl_dark.pdf").startswith(b"%PDF")
    with Image.open(io.BytesIO(folder.out("bowl_dark.png"))) as page:
        assert page.convert("RGB").getpixel((0, 0)) == tuple(bytes.fromhex(PAGE[1:]))
    first = folder.out("bowl_dark.png")
    folder.draw(dark=True)
    assert folder.out("bowl_dark.png") == first


def test_the_picture_has_300_dots_per_inch(folder):
    folder.draw()
    assert plt.imread(folder.path / "out" / "bowl.png").shape[:2] == (300, 300)


def test_a_second_drawing_computes_nothing_and_gives_equal_bytes(folder):
    every = {"formats": ("png", "pdf", "svg")}
    folder.draw(**every)
    first = {suffix: folder.out(f"bowl.{suffix}") for suffix in every["formats"]}
    assert folder.draw(**every)[0].endswith(" s  cached")
    assert folder.computed == 1
    assert {suffix: folder.out(f"bowl.{suffix}") for suffix in every["formats"]} == first


def test_another_process_draws_equal_bytes(folder):
    """Sets of strings are ordered by a seed of the process, which must not reach the file."""
    every = ("png", "pdf", "svg")
    folder.draw(formats=every)
    program = (
        "import sys; from landscape.figure_set import draw_figures; draw_figures(*sys.argv[1:2], formats='png,pdf,svg')"
    )
    first = {suffix: folder.out(f"bowl.{suffix}") for suffix in every}
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONUTF8": "1", "TZ": "Asia/Tokyo", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", program, str(folder.path)], env=environment, check=True, capture_output=True)
    assert {suffix: folder.out(f"bowl.{suffix}") for suffix in every} == first
    assert folder.computed == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('title="λ = 0"', 'title="λ = 1"'),
        ("the rim is high", "the rim is higher than one half"),
        ("A bowl whose rim is high.", "A bowl."),
        ("    w = np.linspace", "    # a comment\n    w = np.linspace"),
    ],
    ids=["draw", "claims", "caption", "comment"],
)
def test_editing_what_only_shows_draws_again_without_computing(folder, old, new):
    folder.draw()
    before = folder.out("bowl.png"), folder.out("captions.md")
    folder.edit("bowl.py", old, new)
    folder.draw()
    assert folder.computed == 1
    assert ((folder.out("bowl.png"), folder.out("captions.md")) == before) == ("comment" in new)


@pytest.mark.parametrize(("old", "new"), [("w**2", "w**4"), ("SIZE = 5", "SIZE = 7")], ids=["compute", "constant"])
def test_editing_what_computes_computes_again(folder, old, new):
    folder.draw()
    folder.edit("bowl.py", old, new)
    assert folder.draw()[0].endswith(" s  computed")
    assert folder.computed == 2
    assert len(list((folder.path / "out/.cache/bowl").glob("*.npz"))) == 1, "the old entry is gone"


def test_a_figure_sees_its_helper_change_at_once(folder):
    folder.write("_sizes.py", "SIZE = 3\n")
    folder.edit("bowl.py", "SIZE = 5", "from _sizes import SIZE")
    folder.draw()
    folder.write("_sizes.py", "SIZE = 4\n")  # as long, and in the same second: bytecode would not notice
    folder.edit("bowl.py", '"the rim is high": bool(data.risk[0] > 0.5)', '"there are four": data.w.size == 4')
    assert "  ✓ there are four" in folder.draw()
    assert folder.computed == 2


def test_helpers_of_one_name_in_two_folders_stay_apart(folder, tmp_path):
    other = Folder(tmp_path / "other")
    for place, size in ((folder, 3), (other, 4)):
        place.write("_sizes.py", f"SIZE = {size}\n")
        place.write("bowl.py", FIGURE.replace("SIZE = 5", "from _sizes import SIZE"))
        place.edit("bowl.py", '"the rim is high": bool(data.risk[0] > 0.5)', f'"size": data.w.size == {size}')
        assert "  ✓ size" in place.draw()
    assert "_sizes" not in sys.modules


@pytest.mark.parametrize("name", ["scores.csv", "runs/first/part"])
def test_editing_an_input_computes_again(folder, name):
    path = folder.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1")
    folder.edit("bowl.py", "SIZE = 5", f"SIZE = 5\nINPUTS = {name.split('/')[0]!r}")
    folder.draw()
    folder.draw()
    assert folder.computed == 1
    path.write_text("2")
    folder.draw()
    assert folder.computed == 2


def test_fresh_computes_again(folder):
    folder.draw()
    assert folder.draw(fresh=True)[0].endswith(" s  computed")
    assert folder.computed == 2


def test_a_width_of_numbers_is_a_data_set_of_its_own(folder):
    folder.draw()
    x64 = jax.config.jax_enable_x64
    with jax.enable_x64(not x64):
        folder.draw()
    assert folder.computed == 2
    assert jax.config.jax_enable_x64 == x64


@pytest.mark.parametrize(
    ("part", "times"), [("plot/style.py", 1), ("cli.py", 1), ("cli/show.py", 1), ("surfaces/evaluate.py", 2)]
)
def test_only_the_parts_of_the_package_that_compute_count(folder, tmp_path, monkeypatch, part, times):
    package = tmp_path / "package"
    monkeypatch.setattr(_figure_cache, "PACKAGE", package)
    for text in ("a = 1", "a = 2"):
        (package / part).parent.mkdir(parents=True, exist_ok=True)
        (package / part).write_text(text)
        folder.draw()
    assert folder.computed == times


@pytest.mark.parametrize("check", [False, True])
def test_a_false_claim_is_shown_and_fails_a_check(folder, check):
    folder.edit("bowl.py", "> 0.5", "> 2")
    lines = folder.draw(check=check)
    assert "  ✗ the rim is high" in lines and "  ✓ the bottom is at 0" in lines
    assert lines[-1] == "false: bowl: the rim is high"
    assert "- ✗ the rim is high" in folder.out("captions.md").decode()
    assert folder.status == int(check)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_damaged_data_set_is_computed_again_with_a_word(folder, damage):
    folder.draw()
    picture = folder.out("bowl.png")
    (entry,) = (folder.path / "out/.cache/bowl").glob("*.npz")
    content = bytearray(entry.read_bytes())
    position = content.index(np.array([1.0, 0.25, 0.0]).tobytes())  # in the numbers themselves
    content[position + 7] ^= 1
    entry.write_bytes({"flipped": bytes(content), "cut": content[: len(content) // 2], "empty": b""}[damage])
    lines = folder.draw()
    assert lines[0].startswith("The data set of bowl in the cache is damaged (") and "computing it again" in lines[0]
    assert lines[1].endswith(" s  computed")
    assert (folder.computed, folder.status) == (2, 0)
    assert folder.out("bowl.png") == picture
    assert folder.draw()[0].endswith(" s  cached")


def test_no_flipped_bit_changes_a_number_without_an_error(tmp_path):
    data = xr.Dataset({"risk": ("w", np.arange(3.0))}, {"w": ["a", "b", "c"]}, {"kind": "surface"})
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        _figure_cache.save(data, file, 1.0)
    content = path.read_bytes()
    noticed = 0
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        try:
            loaded = _figure_cache.load(path)[0]
        except Exception:
            noticed += 1
        else:
            xr.testing.assert_identical(loaded, data)
    assert noticed > len(content) / 2


def test_every_kind_of_data_comes_back_as_it_was(tmp_path):
    plain = xr.Dataset(
        {
            "risk": (("penalty", "w"), np.ones((2, 3), np.float32), {"long_name": "risk", "units": "1"}),
            "finite": ("w", np.array([True, False, True])),
            "when": ("w", np.array(["2020-01-01", "NaT", "2021-01-01"], "datetime64[ns]")),
            "waves": ("w", np.array([1j, np.nan, np.inf])),
            "scalar": ((), np.int8(3)),
            "nothing": ("none", np.zeros(0)),
            "no_text": ("none", np.zeros(0, "<U1")),
        },
        {"penalty": ["λ=0", "λ=0.1"], "strength": ("penalty", [0.0, 0.1]), "w": [3.0, 1.0, 2.0]},
        {"kind": "surface", "format": 1, "nested": {"a": [1, None, True]}, "bad": float("inf")},
    )
    for index, data in enumerate(({"a": plain, "b/c": xr.Dataset()}, plain, {})):
        path = tmp_path / f"{index}.npz"
        with path.open("wb") as file:
            _figure_cache.save(data, file, 1.0)
        loaded = _figure_cache.load(path)[0]
        assert type(loaded) is type(data)
        pairs = [(loaded, data)] if isinstance(data, xr.Dataset) else [(loaded[key], data[key]) for key in data]
        for got, wanted in pairs:
            xr.testing.assert_identical(got, wanted)
            assert all(got[name].dtype == wanted[name].dtype for name in wanted.variables)


def test_text_and_numpy_attributes_become_plain(tmp_path):
    """An array of Python strings, as pandas gives, and a NumPy scalar among the attributes."""
    labels = xr.Dataset({"label": ("i", np.array(["x", "long"], object))}, attrs={"n": np.int64(3), "v": np.arange(2)})
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        _figure_cache.save(labels, file, 1.0)
    loaded = _figure_cache.load(path)[0]
    assert loaded.label.values.tolist() == ["x", "long"]
    assert loaded.attrs == {"n": 3, "v": [0, 1]}


def test_a_figure_that_fails_stops_no_other_one(folder):
    folder.write("a_broken.py", FIGURE.replace("w**2", "w**2 / undefined"))
    folder.write("c_unreadable.py", '"""No Python."""\ndef compute(:\n')
    folder.write("d_last.py", FIGURE)
    lines = folder.draw()
    assert folder.status == 1
    assert (folder.path / "out/bowl.png").exists() and (folder.path / "out/d_last.png").exists()
    assert [line.split()[0] for line in lines if line.endswith("  failed")] == ["a_broken", "c_unreadable"]
    report = "\n".join(lines[-2:])
    assert "failed: a_broken: \n" in report and "NameError: name 'undefined' is not defined" in report
    assert 'a_broken.py", line 16, in compute' in report and "figure_set.py" not in report
    assert "failed: c_unreadable: \n" in report and "SyntaxError" in report


def test_a_failed_drawing_leaves_the_old_picture_whole(folder):
    folder.draw()
    before = folder.out("bowl.png")
    folder.edit("bowl.py", "return figure", "raise RuntimeError('out of ink')")
    folder.draw()
    assert folder.status == 1 and "RuntimeError: out of ink" in folder.lines[-1]
    assert folder.out("bowl.png") == before
    assert not list(folder.path.rglob("*.part"))


def test_a_figure_leaves_nothing_behind_for_the_next_one(folder):
    flip = 'import jax\njax.config.update("jax_enable_x64", not jax.config.jax_enable_x64)\nplt.figure()\n'
    folder.write("a_flip.py", FIGURE.replace("SIZE = 5", flip + "SIZE = 5"))
    x64, figures, modules = jax.config.jax_enable_x64, plt.get_fignums(), set(sys.modules)
    with plt.rc_context({"font.size": 30}):
        folder.draw()
        assert plt.rcParams["font.size"] == 30
    assert (jax.config.jax_enable_x64, plt.get_fignums()) == (x64, figures)
    assert not {name for name in set(sys.modules) - modules if name.startswith("_figure_")}
    assert str(folder.path) not in sys.path
    assert not list(folder.path.rglob("__pycache__"))


def test_only_draws_the_chosen_and_keeps_the_captions_of_the_others(folder):
    folder.write("other.py", FIGURE)
    folder.draw()
    folder.edit("other.py", "A bowl whose rim is high.", "Another bowl.")
    assert [line for line in folder.draw(only="other") if "bowl " in line] == []
    captions = folder.out("captions.md").decode()
    assert "## bowl" in captions and "Another bowl." in captions
    (folder.path / "bowl.py").unlink()
    folder.draw()
    assert "## bowl" not in folder.out("captions.md").decode()


def test_a_dict_of_data_sets_reaches_draw_and_claims(folder):
    folder.edit(
        "bowl.py", 'return xr.Dataset({"risk": ("w", w**2)}, {"w": w})', 'return {"λ": xr.Dataset({"risk": w})}'
    )
    folder.edit("bowl.py", 'xr.Dataset({"risk": w})', 'xr.Dataset({"risk": ("w", w)}, {"w": w})')
    text = (folder.path / "bowl.py").read_text()
    folder.write("bowl.py", text.replace("data.", 'data["λ"].').replace("data[", "data[").replace("== 0", "== -1"))
    folder.edit("bowl.py", "risk[0] > 0.5", "risk[-1] > 0.5")
    assert folder.draw(check=True)[1:] == ["  ✓ the rim is high", "  ✓ the bottom is at 0"]
    assert folder.status == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "dark"}, r"`only` names 'dark', which is no figure of this folder; it has: bowl, other\."),
        ({"only": ["bowl", "dark"]}, "`only` names 'dark'"),
        ({"formats": "png,gif"}, r"`formats` has 'gif', which cannot be drawn; wanted any of: png, pdf, svg\."),
        ({"formats": ()}, "`formats` has ''"),
        ({"out": __file__}, "`out` must be a folder to draw into, got the file"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_drawn(folder, options, message):
    folder.write("other.py", FIGURE)
    with pytest.raises(ValueError, match=message):
        folder.draw(**options)
    assert folder.computed == 0 and not (folder.path / "out").exists()


def test_a_folder_without_figures_is_refused(tmp_path):
    (tmp_path / "_helper.py").write_text("")
    with pytest.raises(ValueError, match=r"holds no figure: no \*\.py that does not start with `_`"):
        draw_figures(tmp_path)
    with pytest.raises(
        ValueError, match=r"`folder` must be a folder of figures \(NAME\.py\), and '.*none' is no folder"
    ):
        draw_figures(tmp_path / "none")
    (tmp_path / "bowl.py").write_text(FIGURE)
    for path in ("bowl", "bowl.py"):
        with pytest.raises(
            ValueError, match=r"is no folder\. For this one figure: `landscape figures .* --only bowl`\."
        ):
            draw_figures(tmp_path / path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"""A bowl whose rim is high."""', "", "bowl.py has no docstring at its top; it is the figure's caption"),
        (
            "def compute",
            "def calculate",
            "ValueError: bowl.py lacks compute; wanted compute(), draw(data) and claims(data).",
        ),
        ("def draw", "def sketch", "ValueError: bowl.py lacks draw;"),
        ("def claims", "def says", "ValueError: bowl.py lacks claims;"),
        ("SIZE = 5", "SIZE = 5\nINPUTS = ('none.csv',)", "none.csv' in INPUTS, which does not exist"),
        ("SIZE = 5", "from other import SIZE", "bowl.py imports the figure 'other'; share a file that starts with `_`"),
        (
            "bool(data.risk[0] > 0.5)",
            "data.risk[0] > 0.5",
            "The claim 'the rim is high' must be True or False, got DataArray",
        ),
        ("bool(data.risk[0] > 0.5)", "1", "ValueError: The claim 'the rim is high' must be True or False, got int"),
        ("return {", "return [] and {", "TypeError: claims(data) must return a dict of sentence -> bool, got list."),
        ("return figure", "return axes", "TypeError: draw(data) must return a matplotlib Figure, got Axes."),
        (
            "return xr.Dataset(",
            "return xr.DataArray(w)  # (",
            "compute() must return an xarray.Dataset or a dict of them, got ",
        ),
    ],
)
def test_a_wrong_figure_is_told_in_one_line(folder, old, new, message):
    folder.edit("bowl.py", old, new)
    folder.write("other.py", FIGURE)
    folder.draw()
    assert folder.status == 1
    assert folder.lines[-1].startswith("failed: bowl: ") and message in folder.lines[-1]
    assert "\n" not in folder.lines[-1]
    assert (folder.path / "out/other.png").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (xr.DataArray([1.0]), "compute() must return an xarray.Dataset or a dict of them, got DataArray."),
        ({"a": xr.Dataset(), "b": 1}, "got a dict with Dataset, int."),
        (None, "got NoneType."),
        (
            xr.Dataset({"v": ("i", np.zeros(2, ml_dtypes.bfloat16))}),
            "returned a variable 'v' of dtype bfloat16; wanted",
        ),
        (xr.Dataset({"v": ("i", np.array([{}], object))}), "returned a variable 'v' of dtype object; wanted"),
        (xr.Dataset(attrs={"f": print}), "returned an attribute of type builtin_function_or_method; wanted text,"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_left(tmp_path, data, message):
    path = tmp_path / "bowl" / "key.npz"
    with pytest.raises(TypeError) as error:
        _figure_cache.fetch(path, lambda: data, False, print)
    assert message in str(error.value)
    assert list(path.parent.iterdir()) == []
