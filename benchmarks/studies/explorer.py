"""The page of `ls.explore`, of a grid, in Chromium: its size, how soon it is there, how it follows λ's slider."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import optax

import landscape as ls
from benchmarks.harness.timing import Timed
from benchmarks.machine.environment import busy, environment
from benchmarks.reporting import report
from benchmarks.reporting.report import Progress, Report, Target
from landscape.explorer.explore import Page

if TYPE_CHECKING:
    from playwright.sync_api import Page as Tab

REPEATS = 5  # times that the page is opened
PROGRAMS = "chromium", "chromium-browser", "google-chrome"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"]  # draws without a graphics card, too
OPENING = """(() => {
  const look = () => {
    if (!window.explorer) return requestAnimationFrame(look);
    const { state, views: { relief: { gl } } } = window.explorer;
    state.listen(() => { // the last one: map and relief were told to draw just before
      if (window.shown || !gl) return;
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); // waits; Chromium's gl.finish() does not
      window.shown = performance.now();
    });
  };
  requestAnimationFrame(look);
})()"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]"
ENDED = f"() => !document.getElementById('relief') || (window.shown && {PAINT})"  # the page removes what it cannot draw
TIMES = f"[{PAINT}.startTime, window.shown]"
SCRIPT = """(count) => {
  const { state } = explorer;
  state.busy = true; // as while the slider moves
  return Array.from({ length: count }, (_, k) => {
    state.strengths = state.strengths.with(0, 1e-3 * 10 ** ((3 * k) / count));
    const start = performance.now();
    state.derive();
    state.listeners.forEach((listener) => listener(state));
    return performance.now() - start;
  });
}"""
DRAG = """(seconds) => new Promise((done) => {
  const input = document.querySelector("#strengths input[type=range]");
  const drawn = [];
  explorer.state.listen(() => drawn.push(performance.now()));
  const start = performance.now();
  const move = () => {
    if (performance.now() - start > 1000 * seconds) return done(drawn);
    input.value = 500 + 300 * Math.sin((performance.now() - start) / 600);
    input.dispatchEvent(new Event("input"));
    requestAnimationFrame(move);
  };
  move();
})"""
RENDERER = """(() => {
  const { gl } = explorer.views.relief;
  return gl.getParameter(gl.getExtension("WEBGL_debug_renderer_info")?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER);
})()"""


@dataclass(frozen=True)
class Sizes:
    """How large the page is, and how long it is used."""

    cells: int  # along each axis
    runs: int
    steps: int  # of λ, of which the script's time is measured
    seconds: float  # of dragging
    judged: bool


FULL = Sizes(401, 10, 200, 5.0, judged=True)
SMOKE = Sizes(21, 2, 5, 0.5, judged=False)


def missing() -> str:
    """What this machine lacks; "" where it has everything."""
    if importlib.util.find_spec("playwright") is None:
        return "explorer needs playwright, which is not installed: `pip install playwright`"
    if _chromium() is None:
        return f"explorer needs Chromium, and none of {', '.join(PROGRAMS)} is on the path: `apt install chromium`"
    return ""


def run(sizes: Sizes, repeats: int, progress: Progress) -> Report:
    """Measure everything; `progress` is told what is being measured."""
    where = environment()
    progress("the page")
    page = _page(sizes)
    progress("in Chromium")
    who, opened, script, drawn = _used(page, sizes, repeats)
    what = f"{sizes.cells}×{sizes.cells} cells, 4 penalties, {sizes.runs} runs"
    measured = {
        "first contentful paint": opened[:, 0],
        "map and relief are drawn": opened[:, 1],
        "script of a step of λ": script,
        "frame while λ is dragged": np.diff(drawn),
    }
    rows = [report.row(what, name, Timed(own[0], own, own, None)) for name, own in measured.items()]
    megabytes, frames = len(page.html.encode()) / 1e6, 1 / float(np.diff(drawn).mean())
    targets = [
        Target(f"{what}: size of the page", megabytes, 3, "MB"),
        Target("first contentful paint", rows[0].median, 1, "s"),
        Target("frames a second while λ is dragged", frames, 30, "/s", more=True),
    ]
    middle, slow = 1e3 * np.percentile(script, [50, 95])
    told = f"script of a step of λ: median {middle:.1f} ms, 95th percentile {slow:.1f} ms"
    notes = [who, told, "core times are not measured: those here are the times"]
    if not sizes.judged:
        return Report("explorer", asdict(sizes), rows, [], [*notes, "this size is too small to judge by"], where)
    return Report("explorer", asdict(sizes), rows, targets, [*notes, *busy(where)], where)


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def _page(sizes: Sizes) -> Page:
    pair = ls.neuron(*ls.datasets.pair())
    axes = {name: np.linspace(-10, 10, sizes.cells) for name in ("w", "b")}
    kinds = {"l2": ls.l2(0.1), "l1": ls.l1(0.1), "decay": ls.weight_decay(0.1), "net": ls.elastic_net(0.1, 0.1)}
    plane = ls.axes_plane(pair.params, "w", "b")
    surface = ls.evaluate(pair, plane, axes, quantities=("gradient_norm",), penalties=kinds, progress=False)
    starts = {"w": np.linspace(-5, 5, sizes.runs), "b": np.linspace(5, -5, sizes.runs)}
    runs = ls.descend(pair, optax.sgd(0.5), starts, steps=500, penalties={"l2": ls.l2(0.1)})
    return ls.explore(surface, runs)


def _used(page: Page, sizes: Sizes, repeats: int) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Who draws; seconds of each opening, of the script of each step, and at which frames were drawn."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = Path(folder, "page.html")
        page.save(path)
        browser = driver.chromium.launch(executable_path=_chromium(), args=FLAGS)
        opened = []
        for _ in range(repeats):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            opened.append(_opened(tab, path))
        script, drawn = tab.evaluate(SCRIPT, sizes.steps), tab.evaluate(DRAG, sizes.seconds)
        who = f"Chromium {browser.version}; WebGL by {tab.evaluate(RENDERER)}"
        browser.close()
    return who, 1e-3 * np.array(opened), 1e-3 * np.array(script), 1e-3 * np.array(drawn)


def _opened(tab: Tab, path: Path) -> list[float]:
    """Milliseconds to the first paint, and until all is drawn. Ends the program, with one line, where that is never."""
    from playwright.sync_api import TimeoutError

    tab.add_init_script(OPENING)
    tab.goto(path.as_uri())
    try:
        tab.wait_for_function(ENDED)
    except TimeoutError:
        raise SystemExit("explorer cannot be measured: Chromium has not drawn the page in 30 s") from None
    if not tab.locator("#relief").count():
        raise SystemExit(f"explorer cannot be measured: {tab.locator('figure.relief').inner_text()}")
    return tab.evaluate(TIMES)
