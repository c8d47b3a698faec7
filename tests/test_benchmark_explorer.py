"""The study of the explorer's page: a small run of it, and what it says where there is no browser."""

import json

import pytest
from explorer import chromium

from benchmarks.__main__ import main
from benchmarks.studies import explorer


def test_a_small_run_times_the_page(tmp_path, capsys):
    pytest.importorskip("playwright.sync_api", reason="`pip install playwright`")
    chromium()
    assert main(["explorer", "--smoke", "--repeats", "1", "--out", str(tmp_path)]) == 0
    assert "WebGL by " in capsys.readouterr().out
    (path,) = tmp_path.iterdir()
    times = {row["by"]: row["median"] for row in json.loads(path.read_text())["rows"]}
    paint, drawn, script, frame = times.values()
    assert min(paint, drawn, script, frame) > 0


def test_without_chromium_it_says_so_in_one_line(tmp_path, capsys, monkeypatch):
    pytest.importorskip("playwright.sync_api", reason="`pip install playwright`")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        main(["explorer", "--smoke"])
    assert stopped.value.code == 2
    assert "explorer needs Chromium" in capsys.readouterr().err.splitlines()[-1]


def test_of_all_it_is_left_out_only_once_all_is_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["all"])
    said = capsys.readouterr().err
    assert "which has no quick sizes" in said and "left out" not in said


def test_without_webgl_it_ends_with_one_line(monkeypatch):
    pytest.importorskip("playwright.sync_api", reason="`pip install playwright`")
    chromium()
    monkeypatch.setattr(explorer, "FLAGS", ["--no-sandbox", "--disable-dev-shm-usage", "--disable-3d-apis"])
    with pytest.raises(SystemExit, match=r"explorer cannot be measured: .* draws no WebGL 2"):
        main(["explorer", "--smoke", "--repeats", "1"])
