"""The page of `ls.explore` in Chromium: sliders, data, links, fingers, hostile texts, sizes."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from explorer import AXES, SWEEP, fingers, noisy, opened, pair, plane, surface  # noqa: F401  fixtures too

import landscape as ls

HOSTILE = "</script><img src=x onerror=alert(1)>@@SCRIPT@@ & <b>"


def drawn(tab):
    """Wait until what was changed is shown."""
    tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def strengthen(tab, strength):
    """Write λ of the first penalty into its field."""
    field = tab.locator("#strengths input[type=text]").first
    field.fill(str(strength))
    field.press("Enter")
    drawn(tab)


def test_the_slider_moves_the_minimizer(tmp_path, surface, pair):
    """To within a cell of w*(λ), which solves 1/(1 + e^w) = 2λw."""
    for shown, cell in ((surface, 0.25), (pair, 1e-3)):
        with opened(ls.explore(shown), tmp_path) as tab:
            for strength in (0.01, 0.1, 1.0):
                wanted = float(ls.attainment(pair.with_penalty(ls.l2(strength))).minimizer["w"])
                strengthen(tab, strength)
                found = tab.evaluate("[explorer.state.minimizer.x, explorer.state.minimizer.y]")
                assert abs(found[0] - wanted) <= cell and abs(found[1]) <= cell
            slider = tab.locator("#strengths input[type=range]").first
            slider.focus()
            slider.press("Home")
            drawn(tab)
            said = tab.locator("#verdict").inner_text()
            assert "no minimum" in said.lower()
            assert tab.problems == []


def test_the_relief_has_fewer_triangles_while_something_is_dragged(tmp_path, pair):
    """At rest every point of the mesh, while a slider moves or the relief turns every fourth."""
    script = """(busy) => new Promise((done) => {
      const { gl } = explorer.views.relief;
      const counts = [];
      gl.drawElements = (mode, count) => counts.push(count);
      explorer.state.change({ busy });
      requestAnimationFrame(() => requestAnimationFrame(() => done([...new Set(counts)]))); })"""
    turned = """() => new Promise((done) => {
      const { relief } = explorer.views;
      const counts = new Set();
      relief.gl.drawElements = (mode, count) => counts.add(count) && counts.size === 2 && done([...counts]);
      relief.rotate(0.1, 0); })"""
    with opened(ls.explore(pair), tmp_path) as tab:
        assert tab.evaluate(script, True) == [6 * 40**2] and tab.evaluate(script, False) == [6 * 160**2]
        assert tab.evaluate(turned) == [6 * 40**2, 6 * 160**2]


def test_a_path_behind_a_ridge_is_faint(tmp_path):
    """From low in front of the ridge v = −0.5 the path v = 0.5 is behind it; from above it is not."""
    ridge = ls.function(lambda p: jnp.exp(-20 * (p["v"] + 0.5) ** 2), {"u": 0.0, "v": 0.0})
    axes = {name: np.linspace(-1, 1, 41) for name in ("u", "v")}
    script = """(tilt) => {
      const { state, views: { relief } } = explorer;
      state.path = { points: [[-0.3, 0.5], [0, 0.5], [0.3, 0.5]] };
      const context = relief.above.getContext("2d");
      const alphas = [];
      context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--walk");
      const green = context.strokeStyle; // as the canvas writes it
      context.stroke = () => context.strokeStyle === green && alphas.push(context.globalAlpha);
      [relief.turn, relief.tilt] = [0, tilt];
      relief.draw();
      return alphas; }"""
    with opened(ls.explore(ls.evaluate(ridge, ls.axes_plane(ridge.params, "u", "v"), axes)), tmp_path) as tab:
        assert tab.evaluate(script, 0.2) == pytest.approx([0.3]) and tab.evaluate(script, 1.4) == [1]
        assert tab.problems == []


@pytest.mark.parametrize("size", [(1280, 900), (360, 740)])
def test_without_webgl_a_sentence_says_so_and_the_map_works(tmp_path, pair, size):
    without = """(() => { const { getContext } = HTMLCanvasElement.prototype;
      HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
        return kind === "webgl2" ? null : getContext.call(this, kind, ...more); }; })()"""
    with opened(ls.explore(pair), tmp_path, *size, before=without) as tab:
        assert tab.locator("figure.relief").inner_text().startswith("The relief is missing")
        assert tab.locator("figure.relief canvas").count() == 0
        assert tab.get_by_text("The relief is missing").is_visible()
        strengthen(tab, 1.0)
        assert tab.evaluate("explorer.state.strengths[0]") == 1.0 and "1·‖θ‖²" in tab.locator("#verdict").inner_text()
        assert tab.problems == []


def test_a_relief_that_fails_says_why(tmp_path, pair):
    failing = "WebGL2RenderingContext.prototype.createBuffer = () => { throw new Error('out of memory'); };"
    with opened(ls.explore(pair), tmp_path, before=failing) as tab:
        said = tab.locator("figure.relief").inner_text()
        assert said == "The relief is missing: it could not be prepared (out of memory). The map shows the same values."
        assert len(tab.problems) == 1 and "out of memory" in tab.problems[0]


def test_a_label_that_is_flipped_moves_it(tmp_path, pair):
    with opened(ls.explore(pair), tmp_path) as tab:
        before = tab.evaluate("explorer.state.minimizer.x")
        tab.locator("#flip").click()  # the example at −1: now both have label 1
        drawn(tab)
        after = tab.evaluate("[explorer.state.minimizer.x, explorer.state.minimizer.y]")
        assert before > 1 and abs(after[0]) < 1e-6 and after[1] > 0.5
        tab.locator("#reset").click()
        drawn(tab)
        assert tab.evaluate("explorer.state.minimizer.x") == pytest.approx(before)
        assert tab.problems == []


def test_data_that_are_dragged_apart_have_no_minimum(tmp_path, noisy):
    with opened(ls.explore(noisy), tmp_path) as tab:
        strengthen(tab, 0)
        assert tab.evaluate("explorer.state.verdict") is None
        tab.evaluate("""() => { const { examples } = explorer.state.model;
          examples.forEach((e) => (e.y = e.x > 0 ? 1 : 0)); explorer.state.edited(false); }""")
        drawn(tab)
        assert "There is no minimum" in tab.locator("#verdict").inner_text()


def test_a_click_walks_down_to_the_minimum(tmp_path, pair):
    with opened(ls.explore(pair), tmp_path) as tab:
        box = tab.locator("#map").bounding_box()
        tab.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
        drawn(tab)
        end, least = tab.evaluate("[explorer.state.path.points.at(-1), explorer.state.minimizer]")
        assert end == pytest.approx([least["x"], least["y"]], abs=1e-4)
        assert tab.problems == []


def test_a_link_brings_the_view_back(tmp_path, pair):
    with opened(ls.explore(pair), tmp_path) as tab:
        tab.evaluate("explorer.state.change({ strengths: [0.5, 0], log: false, cursor: { x: 1, y: -2 } })")
        drawn(tab)
        link = tab.evaluate("explorer.controls.hash")
        tab.goto("about:blank")
        tab.goto((tmp_path / "page.html").as_uri() + link)
        tab.wait_for_function("() => window.explorer?.state.scale !== undefined")
        state = tab.evaluate("[explorer.state.strengths, explorer.state.log, explorer.state.cursor]")
        assert state == [[0.5, 0], False, {"x": 1, "y": -2}]


def reopened(tab, path, link):
    """Leave, and come back by a link; from there, what the page says of its data and window."""
    tab.goto("about:blank")
    tab.goto(path.as_uri() + link)
    tab.wait_for_function("() => window.explorer?.state.scale !== undefined")
    return tab.evaluate(WINDOW_AND_DATA)


WINDOW_AND_DATA = """() => { const { model, axes, changed, minimizer } = explorer.state;
  const examples = model.examples.map((e) => [e.x, e.y, e.weight]);
  return [examples, axes.map((a) => [a.start, a.end]), changed, minimizer?.x]; }"""


def test_a_link_brings_data_and_window_back(tmp_path, noisy):
    with opened(ls.explore(noisy), tmp_path) as tab:
        tab.locator("#flip").click()
        tab.locator("#add").click()
        tab.locator("#map").press("+")
        drawn(tab)
        wanted = tab.evaluate(WINDOW_AND_DATA)
        assert len(wanted[0]) == 7 and wanted[0][0][1] == 1
        found = reopened(tab, tmp_path / "page.html", tab.evaluate("explorer.controls.hash"))
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)  # seven digits
        assert found[2] is True
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12)
        assert found[3] == pytest.approx(wanted[3])
        assert tab.problems == []


@pytest.mark.parametrize(
    "data", ["1:2:1", "1:1:-1", "1:1:0", "1:1", "1:1:1:1", "x:1:1", ":1:1", "1e999:0:1", "", "<img src=x>:1:1"]
)
def test_a_link_with_data_that_no_neuron_has_leaves_those_of_the_page(tmp_path, noisy, data):
    with opened(ls.explore(noisy), tmp_path) as tab:
        examples, _, changed, _ = reopened(tab, tmp_path / "page.html", f"#d={data}")
        assert len(examples) == 6 and changed is False and tab.problems == []


def at(tab, name, s, t):
    """The place on the screen of shares (s, t) of a view's frame, from below."""
    script = """([name, s, t]) => { const { canvas, frame } = explorer.views[name];
      const box = canvas.getBoundingClientRect();
      return [box.left + frame.x(s), box.top + frame.y(t)]; }"""
    return tab.evaluate(script, [name, s, t])


def test_two_fingers_zoom_and_move_the_map(tmp_path, pair):
    windows = "explorer.state.axes.map((a) => [a.start, a.end])"
    with opened(ls.explore(pair), tmp_path, 360, 740, touch=True) as tab, fingers(tab) as touch:
        before = np.array(tab.evaluate(windows))
        touch("Start", at(tab, "map", 0.4, 0.4), at(tab, "map", 0.6, 0.6))
        for k in range(1, 6):
            low, high = 0.4 - 0.04 * k, 0.6 + 0.04 * k
            touch("Move", at(tab, "map", low, low), at(tab, "map", high, high))
        touch("End")
        drawn(tab)
        zoomed = np.array(tab.evaluate(windows))
        # Fingers three times as far apart: a third of the window, and its middle where it was.
        np.testing.assert_allclose(np.ptp(zoomed, axis=1), np.ptp(before, axis=1) / 3, rtol=0.1)
        np.testing.assert_allclose(zoomed.mean(axis=1), before.mean(axis=1), atol=0.6)
        touch("Start", at(tab, "map", 0.3, 0.5), at(tab, "map", 0.5, 0.5))
        for k in range(1, 6):
            touch("Move", at(tab, "map", 0.3 + 0.04 * k, 0.5), at(tab, "map", 0.5 + 0.04 * k, 0.5))
        touch("End")
        drawn(tab)
        moved = np.array(tab.evaluate(windows))
        # A fifth of the window to the right: what is shown lies a fifth farther to the left.
        np.testing.assert_allclose(np.ptp(moved, axis=1), np.ptp(zoomed, axis=1), rtol=0.1)
        width = np.ptp(zoomed[0])
        assert moved[0].mean() - zoomed[0].mean() == pytest.approx(-0.2 * width, abs=0.03 * width)
        assert moved[1].mean() == pytest.approx(zoomed[1].mean(), abs=0.03 * width)
        assert tab.evaluate("[explorer.state.path, window.scrollY, visualViewport.scale]") == [None, 0, 1]
        assert tab.problems == []


def test_a_finger_drags_a_point_and_a_tap_flips_it(tmp_path, pair):
    with opened(ls.explore(pair), tmp_path, 360, 740, touch=True) as tab, fingers(tab) as touch:
        tab.locator("#output").scroll_into_view_if_needed()
        start, end = ([0.3, 0.107], [0.45, 0.107])  # shares of x = −1 and x = −0.25, label 0
        before = tab.evaluate("explorer.state.minimizer.x")
        touch("Start", at(tab, "output", *start))
        for share in np.linspace(start[0], end[0], 6)[1:]:
            touch("Move", at(tab, "output", share, start[1]))
        touch("End")
        drawn(tab)
        x, y = tab.evaluate("[explorer.state.model.examples[0].x, explorer.state.model.examples[0].y]")
        assert x == pytest.approx(-0.25, abs=0.02) and y == 0
        after = tab.evaluate("explorer.state.minimizer.x")
        assert abs(after - before) > 0.05
        touch("Start", at(tab, "output", *end))
        touch("End")
        drawn(tab)
        assert tab.evaluate("explorer.state.model.examples.map((e) => e.y)") == [1, 1]
        assert tab.problems == []


def test_a_finger_walks_down_from_where_it_taps_and_shows_values_where_it_moves(tmp_path, pair):
    with opened(ls.explore(pair), tmp_path, 360, 740, touch=True) as tab, fingers(tab) as touch:
        touch("Start", at(tab, "map", 0.3, 0.5))
        for share in (0.35, 0.4, 0.45):
            touch("Move", at(tab, "map", share, 0.5))
        touch("End")
        drawn(tab)
        cursor, path = tab.evaluate("[explorer.state.cursor, explorer.state.path]")
        assert cursor["x"] == pytest.approx(-1, abs=0.3) and path is None
        touch("Start", at(tab, "map", 0.3, 0.7))
        touch("End")
        drawn(tab)
        end, least = tab.evaluate("[explorer.state.path.points.at(-1), explorer.state.minimizer]")
        assert end == pytest.approx([least["x"], least["y"]], abs=1e-4)


def test_what_fingers_press_is_large_enough(tmp_path, pair):
    runs = ls.descend(pair, optax.sgd(0.5), {"w": 1.0, "b": 1.0}, steps=5)
    with opened(ls.explore(pair, runs), tmp_path, 360, 740, touch=True) as tab:
        sizes = tab.evaluate("""() => [...document.querySelectorAll("main button, main select, main input")]
          .map((e) => [e.id || e.type, e.getBoundingClientRect().height])""")
        assert len(sizes) > 12 and min(height for _, height in sizes) >= 36


def test_hostile_texts_do_nothing_in_the_browser(tmp_path, pair, plane):
    runs = {HOSTILE: ls.descend(pair, optax.sgd(0.5), {"w": 1.0, "b": 1.0}, steps=3)}
    with opened(ls.explore(ls.evaluate(pair, plane, AXES), runs, title=HOSTILE), tmp_path) as tab:
        assert tab.locator("h1").inner_text() == HOSTILE
        assert tab.locator("img").count() == 0 and tab.problems == []


def test_hostile_names_of_columns_stand_at_the_data_as_texts(tmp_path, pair):
    names = ["x" + HOSTILE, "y" + HOSTILE]
    with opened(ls.explore(pair, names=names), tmp_path, 360, 740) as tab:
        written = """(() => { const { output } = explorer.views;
          const texts = [];
          const context = output.canvas.getContext("2d");
          context.fillText = (text) => texts.push(text);
          output.draw();
          return texts; })()"""
        texts = tab.evaluate(written)
        assert names[0] in texts and f"h(x), {names[1]}" in texts
        assert tab.locator("#names").inner_text() == f"x is {names[0]}, y is {names[1]}. "
        assert tab.locator("img").count() == 0 and tab.problems == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("size", [(1280, 900), (360, 740)])
def test_nothing_is_wider_than_the_window(tmp_path, surface, pair, size):
    for shown in (surface, pair):
        with opened(ls.explore(shown), tmp_path, *size) as tab:
            assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert tab.problems == []
