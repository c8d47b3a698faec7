"""Animations: their frames are still pictures whose window, colors and layout stay; files read back by Pillow."""

import io
import re
import shutil
import subprocess

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from pictures import closed, meshes, pair_surface, panels, walks  # noqa: F401  `closed` is a fixture
from PIL import Image

import landscape as ls

RIDGE = {"": 0.1}
DPI = 90.0
FINE = np.linspace(-8, 8, 41)


def surface(strengths=RIDGE, **options):
    data = pair_surface(FINE, FINE, strengths, **options)
    return data.assign(penalty_unit=(data.w**2 + data.b**2).transpose("w", "b"))


def runs(steps=12, residual=None, **options):
    data = walks(strengths=RIDGE, starts=2, steps=steps, **options).on(None)
    return data if residual is None else data.assign(residual=0 * data.risk + residual)


def descent(**options):
    return ls.plot.animate_descent(surface(), runs(), **{"frames": 5, "seconds": 1.0, "dpi": DPI, **options})


def strength(values=(0.01, 0.1, 1.0), **options):
    return ls.plot.animate_strength(surface(), values, **{"seconds": 0.5, "dpi": DPI, **options})


def image(figure):
    """A figure as (height, width, 3)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


def differing(one, other):
    """Where two images differ, (height, width)."""
    assert one.shape == other.shape
    return np.abs(one - other).max(axis=-1) > 0


def counter(figure):
    """The step that is written on a frame, and a mask of the pixels that it takes."""
    (text,) = [text for text in panels(figure)[0].texts if text.get_text().startswith("step")]
    width, height = (int(side) for side in figure.get_size_inches() * DPI)
    figure.set_dpi(DPI)
    box = text.get_window_extent(dpi=DPI)
    mask = np.zeros((height, width), bool)
    mask[int(height - box.y1) - 4 : int(height - box.y0) + 5, int(box.x0) - 4 : int(box.x1) + 5] = True
    return int(text.get_text().split()[1]), mask


def read_back(path):
    """The frames of a GIF, (frames, height, width, 3), and their milliseconds."""
    with Image.open(path) as file:
        frames, spans = [], []
        for index in range(file.n_frames):
            file.seek(index)
            frames.append(np.asarray(file.convert("RGB")).astype(int))
            spans.append(file.info["duration"])
        assert file.info["loop"] == 0
    return np.stack(frames), spans


@pytest.mark.parametrize("make", [descent, strength])
def test_a_gif_has_all_frames_for_as_long_as_asked(make, tmp_path):
    animation = make(hold=0.3)
    animation.save(tmp_path / "x.gif")
    frames, spans = read_back(tmp_path / "x.gif")
    assert len(frames) == len(animation) == len(spans) and tuple(spans) == animation.milliseconds
    seconds = 1.0 if make is descent else 0.5
    assert sum(spans) == round(1000 * (seconds + 2 * 0.3)) and spans[0] == spans[-1] > spans[1]
    for index, frame in enumerate(frames):
        error = np.abs(frame - image(animation.figure(index)))
        assert error.mean() < 1.0 and error.max() <= 60, "the palette is close"
    assert (frames[:, 0, 0] == 255).all(), "white is white"


def test_the_same_frames_give_the_same_bytes(tmp_path):
    descent().save(tmp_path / "a.gif")
    descent().save(tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_the_last_frame_is_the_still_picture():
    """But for the step, which is written in a corner."""
    figure = descent().figure(-1)
    step, mask = counter(figure)
    still = image(ls.plot.contour(surface(), runs=runs()))
    assert step == 12 and not (differing(image(figure), still) & ~mask).any()


def test_the_first_frame_has_the_starts_and_nothing_else():
    """The still picture of that step, whose numbers on lines may stand elsewhere: they keep clear of paths."""
    animation = descent()
    figure = animation.figure(0)
    step, mask = counter(figure)
    assert step == 0
    bare = image(ls.plot.contour(surface(), runs=runs().isel(step=[0])))
    assert (differing(image(figure), bare) & ~mask).mean() < 0.02
    axes = panels(figure)[0]
    starts = [line for line in axes.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "white"]
    drawn = np.concatenate([line.get_xydata() for line in starts])
    wanted = np.stack([runs().w, runs().b], axis=-1)[:, :, 0].reshape(-1, 2)
    np.testing.assert_allclose(np.unique(drawn, axis=0), np.unique(wanted, axis=0))
    assert not {line.get_marker() for line in axes.lines} & {"^"}, "no path has an end yet"


def test_only_paths_and_the_step_move():
    animation = descent()
    first = animation.figure(0)
    places = [axes.get_position().bounds for axes in first.axes]
    limits = [(axes.get_xlim(), axes.get_ylim()) for axes in first.axes]
    norm, texts = meshes(first)[0].norm, [text.get_text() for text in first.legends[0].get_texts()]
    before = (norm.vmin, norm.vmax)
    for index in range(len(animation)):
        figure = animation.figure(index)
        image(figure)
        assert [axes.get_position().bounds for axes in figure.axes] == places
        assert [(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes] == limits
        assert meshes(figure)[0].norm is norm and (norm.vmin, norm.vmax) == before
        assert [text.get_text() for text in figure.legends[0].get_texts()] == texts
        paths = [line for line in panels(figure)[0].lines if line.get_label() == "sgd"]
        step, _ = counter(figure)
        assert len(paths) == 1 and np.isfinite(paths[0].get_xdata()).sum() == 2 * (step + 1)


def test_frames_are_evenly_spaced_recorded_steps_or_those_asked_for():
    def steps(frames):
        animation = ls.plot.animate_descent(surface(), runs(), frames=frames, seconds=2.0, dpi=DPI)
        return [counter(animation.figure(i))[0] for i in range(len(animation))]

    assert steps(5) == [0, 3, 6, 9, 12]
    assert steps(100) == list(range(13))
    assert steps([0, 1, 2, 5]) == [0, 1, 2, 5]


def test_runs_that_fail_or_leave_the_plane():
    """A cross where one failed, once it has; in the panels underneath a line at the step."""
    fails = np.zeros((2, 1, 2, 13), bool)
    fails[0, 0, 1, 8:] = True
    animation = ls.plot.animate_descent(
        surface(), runs(residual=2.0, fails=fails), frames=5, seconds=1.0, dpi=DPI, truth=True
    )
    crosses = []
    for index in range(5):
        ground, *beneath = panels(animation.figure(index))
        crosses.append(sum(line.get_marker() == "x" for line in ground.lines))
        step, _ = counter(animation.figure(index))
        for axes in beneath:
            assert sum(list(line.get_xdata()) == [step, step] for line in axes.lines) == 1
    assert crosses == [0, 0, 0, 1, 1] and len(beneath) == 2


def test_a_run_that_never_was_finite_is_left_out():
    fails = np.zeros((2, 1, 2, 13), bool)
    fails[1] = True
    for residual in (None, 2.0):
        animation = ls.plot.animate_descent(
            surface(), runs(residual=residual, fails=fails), frames=3, seconds=1.0, dpi=DPI, truth=residual is not None
        )
        assert [counter(animation.figure(i))[0] for i in range(3)] == [0, 6, 12]


def test_a_strength_is_recombined_as_it_would_be_evaluated():
    """Colors, window and scale are those of `dark_minimum` of the evaluated surface, with the animation's scale."""
    animation = strength((0.0, 0.01, 0.1, 1.0))
    norms = [meshes(animation.figure(i))[0].norm for i in range(4)]
    assert all(norm is norms[0] for norm in norms)
    for index, value in enumerate((0.0, 0.01, 0.1, 1.0)):
        figure = animation.figure(index)
        still = ls.plot.dark_minimum(surface({"": value}), floor=norms[0].linear_width, ceiling=norms[0].vmax)
        ours, theirs = meshes(figure)[0], meshes(still)[0]
        np.testing.assert_allclose(ours.get_array(), theirs.get_array(), rtol=1e-12, atol=1e-12)
        assert (norms[0].linear_width, norms[0].vmax) == (theirs.norm.linear_width, theirs.norm.vmax)
        assert panels(figure)[0].get_xlim() == panels(still)[0].get_xlim()
        assert panels(figure)[0].get_title() == f"$λ$ = {value:g}"
        assert [line.get_xydata().tolist() for line in panels(figure)[0].lines] == [
            line.get_xydata().tolist() for line in panels(still)[0].lines
        ], "the mark of the least value"


def test_the_scale_is_that_of_all_panels_together():
    """As `dark_minimum` of the swept surface chooses it."""
    sweep = {"λ=0": 0.0, "λ=0.1": 0.1, "λ=1": 1.0}
    together = meshes(ls.plot.dark_minimum(surface(sweep)))[0].norm
    ours = meshes(strength(sweep.values()).figure(0))[0].norm
    assert (ours.linear_width, ours.vmax) == (together.linear_width, together.vmax)


def test_the_page_of_a_sweep_stays_where_notes_come_and_go():
    """λ = 0 has a note under its title, that there is no minimum; the others have none."""
    animation = strength((0.0, 1.0))
    seen = []
    for index in (0, 1):
        figure = animation.figure(index)
        image(figure)
        axes = panels(figure)[0]
        seen.append((axes.get_position().bounds, axes.title.get_window_extent().y0, figure.get_size_inches().tolist()))
    assert seen[0] == seen[1]
    labels = {text.get_text() for text in animation.figure(0).legends[0].get_texts()}
    assert {"minimizer on the grid", "least value, at the border"} <= labels
    corner = [differing(image(animation.figure(i)), image(animation.figure(0)))[:, -40:].any() for i in (0, 1)]
    assert corner == [False, False], "the color bar and its numbers"


def test_a_real_surface_and_its_sweep():
    """What `evaluate` returned, swept or not: the penalty of λ = 0, which has no unit, is passed over."""
    pair = ls.neuron(*ls.datasets.pair())
    plane, axes = ls.axes_plane(pair.params, "w", "b"), {"w": np.linspace(-4, 4, 9), "b": np.linspace(-4, 4, 9)}
    swept = ls.evaluate(pair, plane, axes, penalties={"λ=0": ls.none(), "λ=0.1": ls.l2(0.1), "λ=1": ls.l2(1.0)})
    alone = ls.evaluate(pair.with_penalty(ls.l2(3.0)), plane, axes)
    for given in (swept, alone, swept.sel(penalty="λ=1")):
        animation = ls.plot.animate_strength(given, [0.1, 1.0], seconds=0.2, dpi=DPI)
        wanted = swept.objective.sel(penalty="λ=1").transpose("b", "w").to_numpy().astype(float)
        drawn = np.asarray(meshes(animation.figure(1))[0].get_array()).reshape(wanted.shape)
        np.testing.assert_allclose(drawn, wanted - wanted.min(), rtol=1e-5, atol=1e-5)


def test_notebooks_show_a_gif_and_no_still_picture():
    animation = descent(frames=3, seconds=0.5)
    assert plt.get_fignums() == []
    html = animation._repr_html_()
    assert html.startswith('<img alt="Animation(3 frames, 1.9 s)" src="data:image/gif;base64,R0lG')
    assert repr(animation) == "Animation(3 frames, 1.9 s)"


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    """What was there stays where a frame cannot be drawn, and is replaced by a whole file else."""
    animation = descent(frames=3, seconds=0.5)
    (tmp_path / "x.gif").write_text("before")
    with monkeypatch.context() as patch:
        patch.setattr(type(animation), "figure", lambda self, index: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            animation.save(tmp_path / "x.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["x.gif"] and (tmp_path / "x.gif").read_text() == "before"
    animation.save(str(tmp_path / "x.gif"), progress=True)
    assert len(read_back(tmp_path / "x.gif")[0]) == 3 and len(list(tmp_path.iterdir())) == 1


def test_progress_counts_frames(tmp_path, capsys):
    descent(frames=3, seconds=0.5).save(tmp_path / "x.gif", progress=True)
    assert "/3.00 [" in capsys.readouterr().err
    descent(frames=3, seconds=0.5).save(tmp_path / "x.gif")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (3, TypeError, "`path` is an int; give a file's name"),
        ("x.avi", ValueError, "`path` is 'x.avi'; an animation is saved as .gif, .mp4 or .webm."),
        ("none/x.gif", FileNotFoundError, "`path` is 'none/x.gif'(.|\n)*there is no folder 'none'"),
    ],
)
def test_paths_that_cannot_be_are_refused(path, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        descent(frames=2, seconds=0.5).save(path)


@pytest.mark.parametrize("name", ["x.mp4", "x.webm"])
def test_without_ffmpeg_a_video_says_how_to_get_it(name, tmp_path):
    with matplotlib.rc_context({"animation.ffmpeg_path": str(tmp_path / "no-ffmpeg")}):
        wanted = f"'{tmp_path / name}', which ffmpeg writes(.|\n)*apt install ffmpeg(.|\n)*save a GIF: '.*x.gif'"
        with pytest.raises(RuntimeError, match=wanted):
            descent(frames=2, seconds=0.5).save(tmp_path / name)


def test_what_ffmpeg_says_is_told(tmp_path):
    """And nothing is left behind."""
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho 'Unknown encoder' >&2\nexit 1\n")
    program.chmod(0o755)
    (tmp_path / "out").mkdir()
    with (
        matplotlib.rc_context({"animation.ffmpeg_path": str(program)}),
        pytest.raises(RuntimeError, match="ffmpeg could not write the animation: Unknown encoder"),
    ):
        descent(frames=2, seconds=0.5).save(tmp_path / "out" / "x.mp4")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.skipif(shutil.which(matplotlib.rcParams["animation.ffmpeg_path"]) is None, reason="no ffmpeg here")
@pytest.mark.parametrize("name", ["x.mp4", "x.webm"])
def test_videos_have_their_length_and_even_sides(name, tmp_path):
    animation = descent(frames=5, seconds=1.0, hold=0.4)
    animation.save(tmp_path / name)
    command = [
        shutil.which(matplotlib.rcParams["animation.ffmpeg_path"]),
        "-i",
        str(tmp_path / name),
        "-f",
        "null",
        "-",
    ]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    assert re.search(r"Duration: 00:00:01\.80", said) and re.search(r"frame=\s*9\b", said)
    width, height = map(int, re.search(r"Video:.* (\d{2,})x(\d{2,})", said).groups())
    assert width % 2 == height % 2 == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"frames": 1}, ValueError, "`frames` is 1; it must be at least 2"),
        ({"frames": 2.5}, TypeError, "`frames` is 2.5"),
        ({"frames": [3, 2]}, ValueError, r"`frames` is \[3, 2\]; give their number, or two or more steps, ascending"),
        ({"frames": [0.0, 2.0]}, ValueError, "`frames` is"),
        ({"frames": [0, 13]}, ValueError, "`frames` has the steps 0 to 13; the runs have 0 to 12"),
        ({"seconds": 0}, ValueError, "`seconds` is 0; it must be a finite number > 0"),
        ({"seconds": 0.01}, ValueError, "`seconds` is 0.01 for 5 frames; players(.|\n)*at least 0.1, or fewer frames"),
        ({"hold": -1.0}, ValueError, "`hold` is -1.0; it must be a finite number of seconds ≥ 0"),
        ({"dpi": "high"}, TypeError, "`dpi` must be one number"),
    ],
)
def test_bad_timing_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        descent(**options)
    assert plt.get_fignums() == []


def test_bad_descents_are_refused():
    with pytest.raises(TypeError, match="`runs` is a NoneType; it must be a Trajectory"):
        ls.plot.animate_descent(surface(), None)
    with pytest.raises(ValueError, match="`surface` has 1 of the two coordinates"):
        ls.plot.animate_descent(surface().isel(b=3, drop=True), runs())
    with pytest.raises(ValueError, match="`surface` holds 4 penalties"):
        ls.plot.animate_descent(pair_surface(), walks())
    with pytest.raises(ValueError, match="`runs` have no step that is computed and finite"):
        data = runs()
        ls.plot.animate_descent(surface(), data.assign(finite=data.finite & False))


def test_bad_strengths_are_refused():
    none = surface().assign(penalty_unit=0 * surface().risk)
    none.penalty_unit[0, 0] = np.nan  # not computed yet
    several = surface({"λ=1": 1.0, "L1": 0.5})
    units = [several.penalty_unit, abs(several.w) + abs(several.b)]
    several = several.assign(penalty_unit=(("penalty", "w", "b"), np.stack([unit.to_numpy() for unit in units])))
    for given, strengths, error, message in (
        (surface(), 0.1, TypeError, "`strengths` is a float; give two or more numbers"),
        (surface(), [0.1], ValueError, "`strengths` has 1 entries; give two or more"),
        (surface(), [0.1, -1.0], ValueError, r"`strengths\[1\]` is -1.0; a penalty's strength must be"),
        (none, [0.1, 1.0], ValueError, "`surface` has no penalty: penalty_unit is 0 everywhere. Evaluate it with one"),
        (several, [0.1, 1.0], ValueError, "several kinds of penalties, such as 'λ=1' and 'L1'(.|\n)*penalty='L1'"),
        (pair_surface(), [0.1, 1.0], ValueError, "`surface` has no variable 'penalty_unit'"),
        (surface().isel(b=3, drop=True), [0.1, 1.0], ValueError, "`surface` has 1 of the two coordinates"),
    ):
        with pytest.raises(error, match=message):
            ls.plot.animate_strength(given, strengths, seconds=0.5)


def test_frames_that_are_not_there():
    with pytest.raises(IndexError, match="`index` is 5; there are 5 frames, 0 to 4"):
        descent().figure(5)
