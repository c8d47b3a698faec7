"""What comes with a folder of figures: a gallery, a contact sheet, drafts, and a program to start from."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from test_figure_set import FIGURE, Folder

from landscape import _figure_cache
from landscape.cli import main
from landscape.figure_set import _gallery, _kept, _sheet, draw_figures, new_figure

SOURCE = '''"""A bowl. Its rim is high.

The risk of one weight,
drawn as a line.

The rim is high.

Source: made up (1999).
"""
'''
DERIVED = "SIZE = 5\nTWICE = 2 * SIZE\nQUICK = {'SIZE': 3}\n"


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "figures")
    folder.write("bowl.py", FIGURE.replace('"""A bowl whose rim is high."""\n', SOURCE))
    return folder


def size_of(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as image:
        return image.size


# ---- the gallery


def test_the_gallery_shows_each_figure_by_its_caption_and_its_thumbnail(folder):
    lines = folder.draw(gallery=True, formats="pdf")
    assert lines[-1] == f"gallery: {folder.path / 'README.md'}, figures: 1"
    assert (folder.path / "README.md").read_text() == (
        "<!-- Written by `landscape figures DIR --gallery` from the figures' docstrings: edit those. -->\n\n"
        "# Figures\n\n## A bowl\n\n[![bowl](thumbnails/bowl.png)](bowl.py)\n\nIts rim is high.\n\n"
        "Source: made up (1999).\n\nProgram: [`bowl.py`](bowl.py) · claims: 2/2 ✓ · computed in less than 5 s\n"
    )
    assert size_of((folder.path / "thumbnails" / "bowl.png").read_bytes()) == (300, 300)


def test_the_gallery_is_the_same_to_the_byte_each_time(folder):
    files = ("README.md", "thumbnails/bowl.png", "out/contact_sheet.png")
    folder.draw(gallery=True)
    first = {name: (folder.path / name).read_bytes() for name in files}
    folder.draw(gallery=True, fresh=True, formats="svg,pdf,png")
    assert {name: (folder.path / name).read_bytes() for name in files} == first


def test_the_time_is_that_of_when_the_data_were_computed(folder):
    """Not that of a picture that is drawn of them again."""
    folder.draw()
    (path,) = (folder.path / "out/.cache/bowl").glob("*.npz")
    data, _ = _figure_cache.load(path)
    with path.open("wb") as file:
        _figure_cache.save(data, file, 47.0)
    folder.draw(gallery=True)
    assert (folder.path / "README.md").read_text().endswith("✓ · computed in less than 1 min\n")


def test_the_gallery_follows_the_figures_of_the_folder(folder):
    folder.write("gone.py", FIGURE)
    folder.write("broken.py", FIGURE.replace("w**2", "undefined"))
    assert folder.draw(gallery=True)[-2].endswith("figures: 2; not drawn yet: broken")
    assert "## A bowl whose rim is high\n\nNot drawn yet." in (folder.path / "README.md").read_text()
    assert (folder.path / "thumbnails" / "gone.png").exists()
    (folder.path / "thumbnails" / "own.png").write_bytes(b"")
    (folder.path / "gone.py").unlink()
    folder.edit("bowl.py", "data.risk[0] > 0.5", "data.risk[0] > 5")
    folder.draw(gallery=True, only="bowl")
    readme = (folder.path / "README.md").read_text()
    assert "gone" not in readme and "claims: 1/2 ✗" in readme
    assert sorted(path.name for path in (folder.path / "thumbnails").iterdir()) == ["bowl.png", "own.png"]


def test_a_readme_of_ones_own_is_never_written_over(folder):
    folder.write("README.md", "# My paper\n")
    with pytest.raises(ValueError, match=r"`gallery` writes '.*README\.md', which exists and was not written by it"):
        folder.draw(gallery=True)
    assert folder.computed == 0 and (folder.path / "README.md").read_text() == "# My paper\n"


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("A bowl.", ("A bowl", "", "")),
        ("Is it\na bowl? It\nis.", ("Is it a bowl?", "It is.", "")),
        ("σ(0.5) i.e. a half. Ω is 0.", ("σ(0.5) i.e. a half", "Ω is 0.", "")),
        ("A bowl.\n\nSource: x.", ("A bowl", "", "Source: x.")),
        ("A bowl.\n\n(a) First\nline.\n\nMore.\n\nSource: x.", ("A bowl", "(a) First line.", "Source: x.")),
    ],
)
def test_a_caption_is_taken_apart(caption, wanted):
    assert _gallery.parts(caption) == wanted


@pytest.mark.parametrize("shape", [(2000, 2000), (400, 3000), (3000, 400), (80, 120)])
def test_a_thumbnail_of_noise_is_small_all_the_same(shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "png")
    content = _gallery.thumbnail(_kept.shrunk(buffer.getvalue(), _kept.WIDTH))
    width, height = size_of(content)
    assert len(content) < 30_000 and width <= 320 and height <= 640
    assert abs(width / height / (shape[1] / shape[0]) - 1) < 0.05
    assert width <= shape[1]


# ---- the contact sheet


def test_the_contact_sheet_has_all_figures_as_last_drawn(folder):
    for name in "cdefgh":
        folder.write(f"{name}.py", FIGURE)
    folder.draw()
    two_rows = size_of(folder.out("contact_sheet.png"))
    assert two_rows[0] == 2102
    before = folder.out("contact_sheet.png")
    folder.draw(only="d")
    assert folder.out("contact_sheet.png") == before
    for name in "fgh":
        (folder.path / f"{name}.py").unlink()
    folder.draw(only="c")
    assert size_of(folder.out("contact_sheet.png"))[1] < two_rows[1]


def test_the_contact_sheet_tells_false_claims_and_drafts(folder):
    folder.draw()
    entry = _kept.read_all(folder.path / "out", ["bowl", "missing"])["bowl"]
    false = _kept.Kept(entry.caption, {"a": True, "b": False}, False, "png", entry.picture)
    draft = _kept.Kept(entry.caption, {}, True, "png", entry.picture)
    texts = [text.get_text() for text in _sheet._sheet({"bowl": entry, "$x_1": false, "sketch": draft}).texts]
    assert texts == ["bowl", "2/2 ✓", "$x_1", "1/2 ✗", "sketch", "draft"]


# ---- drafts


def test_a_draft_has_its_own_constants_folder_and_data_and_checks_no_claim(folder):
    folder.edit("bowl.py", "SIZE = 5\n", DERIVED)
    folder.edit("bowl.py", '{"w": w})', '{"w": w}, {"twice": TWICE})')
    folder.draw()
    before = folder.out("bowl.png"), folder.out("captions.md")
    lines = folder.draw(quick=True)
    assert [line.split(" s  ")[-1] for line in lines] == ["computed, a draft: no claim is checked"]
    assert (folder.out("bowl.png"), folder.out("captions.md")) == before
    assert folder.out("quick/bowl.png") != before[0]
    assert "*A draft: no claim is checked.*" in folder.out("quick/captions.md").decode()
    (data,) = (folder.path / "out/quick/.cache/bowl").glob("*.npz")
    with np.load(data) as archive:
        header = json.loads(str(archive["arr_0"]))
    assert header["datasets"][""][1] == {"twice": 6}, "what follows from a constant follows from the draft's"
    assert folder.draw(quick=True)[0].split(" s  ")[1].startswith("cached") and folder.computed == 2


def test_quick_is_no_part_of_what_the_figure_itself_computes(folder):
    folder.draw()
    folder.edit("bowl.py", "SIZE = 5\n", DERIVED.replace("TWICE = 2 * SIZE\n", ""))
    assert folder.draw()[0].endswith(" s  cached")
    folder.draw(quick=True)
    folder.edit("bowl.py", "'SIZE': 3", "'SIZE': 4")
    assert folder.draw(quick=True)[0].split(" s  ")[1].startswith("computed")


def test_a_figure_without_quick_is_a_draft_as_it_is(folder):
    folder.edit("bowl.py", "data.risk[0] > 0.5", "undefined")
    folder.draw(quick=True)
    assert folder.status == 0 and (folder.path / "out/quick/bowl.png").exists()


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{'STEPS': 3}", "QUICK of bowl.py names 'STEPS', which is no constant of it; it has: SIZE."),
        ("{'QUICK': 3}", "names 'QUICK'"),
        ("{'compute': 3}", "names 'compute'"),
        ("dict(SIZE=3)", """must be a dict written out, such as {"STEPS": 100}, got dict(SIZE=3)."""),
        ("{**{}}", "must be a dict written out"),
        ("{SIZE: 3}", "must be a dict written out"),
    ],
)
def test_a_wrong_quick_is_told(folder, quick, text, message):
    folder.edit("bowl.py", "SIZE = 5\n", f"SIZE = 5\nQUICK = {text}\n")
    folder.draw(quick=quick)
    assert folder.status == 1 and message in folder.lines[-1]


@pytest.mark.parametrize("other", ["check", "gallery"])
def test_a_draft_shows_no_claims(folder, other):
    with pytest.raises(ValueError, match=f"`quick` draws drafts, .*: leave `quick` or `{other}` out"):
        folder.draw(quick=True, **{other: True})
    assert not (folder.path / "out").exists()


# ---- a program to start from


@pytest.mark.lenient("a figure is a user's program: it runs under JAX's standard promotion")
def test_a_new_figure_runs_as_it_is_fresh_and_cached_to_equal_bytes(tmp_path):
    path = new_figure(tmp_path / "valley")
    assert path == tmp_path / "valley.py"
    drawn = []
    for fresh in (False, True, False):
        lines: list[str] = []
        assert draw_figures(tmp_path, formats="png,pdf,svg", check=True, fresh=fresh, write=lines.append) == 0
        assert lines[1:] == ["  ✓ The loss of u² + 100 v² is least at the origin."]
        assert ("cached" in lines[0]) == (len(drawn) == 2)
        drawn.append({name: (tmp_path / f"out/valley.{name}").read_bytes() for name in ("png", "pdf", "svg")})
    assert drawn[0] == drawn[1] == drawn[2]
    assert draw_figures(tmp_path, formats="png", quick=True, write=lines.append) == 0
    (tmp_path / "README.md").unlink(missing_ok=True)
    assert draw_figures(tmp_path, formats="png", gallery=True, write=lines.append) == 0
    assert "## A valley\n" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("name", ["valley.py", "my-valley", "_valley", "class", "2d", ".", ""])
def test_a_name_that_is_none_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"`name` must end in a Python identifier .*, got "):
        new_figure(name)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_refused_and_a_missing_folder_made(tmp_path):
    (tmp_path / "valley.py").write_text("mine")
    with pytest.raises(ValueError, match=r"the file '.*valley\.py' exists; choose another name"):
        new_figure(tmp_path / "valley")
    assert (tmp_path / "valley.py").read_text() == "mine"
    assert new_figure(tmp_path / "my" / "paper" / "valley").parent.is_dir()


@pytest.mark.lenient("a figure is a user's program: it runs under JAX's standard promotion")
def test_the_command_line_makes_new_figures_and_still_draws_a_folder_called_new(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    assert main(["figures", "new", "new/valley"]) == 0
    told = capsys.readouterr().out
    assert told == "new/valley.py: change it, and draw it with `landscape figures new --only valley --check`\n"
    assert main(["figures", "new", "--formats", "png", "--gallery"]) == 0
    assert "gallery: new/README.md, figures: 1" in capsys.readouterr().out
    assert main(["figures", "new", "--formats", "png", "--quick"]) == 0
    assert "a draft: no claim is checked" in capsys.readouterr().out
    assert main(["figures", "new", "new/valley"]) == 2
    assert main(["figures", "paper", "valley"]) == 2
    assert "NAME 'valley' is for `landscape figures new NAME`" in capsys.readouterr().err
