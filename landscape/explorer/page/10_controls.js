// Sliders, buttons, keys, the table of values, and the link that brings all of it back.

const STEPS = 1000; // of a slider: 0 is λ = 0, the rest is even in log λ
const MOST_EXAMPLES = 2000; // in a link

class Controls {
  constructor(root, state, views) {
    Object.assign(this, { root, state, views });
    this.lambda = 0; // the slider that the keys move
    this.places = state.runs.flatMap((run) => Array.from(run.x, (x, k) => ({ run, k, x, y: run.y[k] })));
    this.sliders = state.content.units.map((unit, k) => this.#slider(unit, k));
    this.#buttons();
    this.#keys();
    this.#restore();
    addEventListener("hashchange", () => {
      this.#restore();
      state.change();
    });
    state.listen(() => this.draw());
  }

  #get(name) {
    return this.root.getElementById(name);
  }

  // ---- strengths

  #slider(unit, k) {
    const row = this.#get("strength").content.firstElementChild.cloneNode(true);
    const [label, input, number] = ["label", "input[type=range]", "input[type=text]"].map((s) => row.querySelector(s));
    input.id = `strength-${k}`;
    label.htmlFor = input.id;
    label.textContent = `Penalty λ·${unit.label}`;
    number.setAttribute("aria-label", `λ of ${unit.label}`);
    input.max = STEPS;
    input.addEventListener("input", () => {
      this.#set(k, this.#strength(unit, Number(input.value)));
      this.views.map.settle();
    });
    input.addEventListener("focus", () => (this.lambda = k));
    number.addEventListener("change", () => {
      const value = Number(number.value.replace("−", "-"));
      this.#set(k, Number.isFinite(value) && value >= 0 ? value : this.state.strengths[k]);
      number.value = plain(this.state.strengths[k], 3);
    });
    this.#get("strengths").append(row);
    return { input, number, unit };
  }

  #strength({ low, high }, position) {
    return position <= 0 ? 0 : low * (high / low) ** ((position - 1) / (STEPS - 1));
  }

  #position({ low, high }, strength) {
    return strength <= 0 ? 0 : clamp(1 + ((STEPS - 1) * Math.log(strength / low)) / Math.log(high / low), 1, STEPS);
  }

  #set(k, value) {
    this.state.change({ strengths: this.state.strengths.with(k, value), path: null });
  }

  // ---- buttons

  #buttons() {
    const { state, views } = this;
    const on = (name, action) => this.#get(name)?.addEventListener("click", action);
    this.#get("variable").addEventListener("change", (event) => state.change({ variable: event.target.value }));
    on("log", () => state.change({ log: !state.log }));
    on("contours", () => state.change({ contours: !state.contours }));
    on("whole", () => this.whole());
    on("play", () => this.play());
    this.#get("step").addEventListener("input", (event) => state.change({ step: Number(event.target.value), playing: false }));
    on("image", () => this.image());
    on("link", () => this.copy());
    on("help", () => this.#get("keys").showModal());
    on("close", () => this.#get("keys").close());
    const { output } = views;
    if (output) for (const name of ["flip", "remove", "reset"]) on(name, () => output[name]());
    if (output) on("add", () => output.add());
  }

  whole() {
    this.state.axes.forEach((axis) => axis.reset());
    this.state.change();
  }

  /** Through the steps, at a pace at which all of them take some seconds. */
  play() {
    const { state } = this;
    if (state.playing) return state.change({ playing: false });
    state.change({ playing: true, step: state.step >= state.lastStep ? 0 : state.step });
  }

  #advance() {
    const { state } = this;
    if (!state.playing || this.ticking) return;
    this.ticking = true;
    requestAnimationFrame(() => {
      this.ticking = false;
      if (!state.playing) return;
      const step = Math.min(state.lastStep, state.step + Math.max(1, Math.round(state.lastStep / 240)));
      state.change({ step, playing: step < state.lastStep });
    });
  }

  /** The map with its bar, below the title and at which λ it is. */
  image() {
    const { canvas, bar } = this.views.map;
    const ratio = window.devicePixelRatio || 1;
    const top = Math.round(48 * ratio);
    const whole = document.createElement("canvas");
    [whole.width, whole.height] = [canvas.width, top + canvas.height + bar.height];
    const context = whole.getContext("2d");
    context.fillStyle = css("--paper");
    context.fillRect(0, 0, whole.width, whole.height);
    context.drawImage(canvas, 0, top);
    context.drawImage(bar, 0, top + canvas.height);
    context.scale(ratio, ratio);
    const { content, strengths, variable } = this.state;
    const told = content.units.map((unit, k) => `${plain(strengths[k], 3)}·${unit.label}`).filter((_, k) => strengths[k] > 0);
    const sum = variable === "risk" ? "risk" : ["risk", ...told].join(" + ");
    const what = variable === "gradient_norm" ? `gradient norm of ${sum}` : sum;
    const lines = [[content.title, "600 15px system-ui, sans-serif", "--ink"], [what, FONT, "--quiet"]];
    lines.forEach(([text, font, color], k) => {
      [context.font, context.fillStyle] = [font, css(color)];
      context.fillText(text, LEFT, 20 + 18 * k, canvas.width / ratio - LEFT - RIGHT);
    });
    const link = document.createElement("a");
    link.download = "landscape.png";
    link.href = whole.toDataURL("image/png");
    link.click();
  }

  // ---- the link

  /** What is shown, as the part of the address behind "#". */
  get hash() {
    const { state } = this;
    const parts = { l: state.strengths.map((s) => Number(s.toPrecision(6))).join(","), v: state.variable, s: state.log ? "log" : "linear" };
    if (!state.contours) parts.c = "0";
    if (state.cursor) parts.p = `${state.cursor.x},${state.cursor.y}`;
    const window = state.axes.flatMap((axis) => [axis.start, axis.end]);
    const whole = state.axes.flatMap((axis) => [axis.toT(axis.low), axis.toT(axis.high)]);
    if (window.some((value, k) => value !== whole[k])) parts.w = window.join(",");
    if (state.changed) parts.d = state.model.examples.map(({ x, y, weight }) => [x, y, weight].map((v) => Number(v.toPrecision(7))).join(":")).join(",");
    return `#${new URLSearchParams(parts)}`;
  }

  async copy() {
    const said = this.#get("said");
    try {
      history.replaceState(null, "", this.hash);
    } catch {
      said.textContent = "A page inside of another has no link of its own: save it, and open the file.";
      return;
    }
    try {
      await navigator.clipboard.writeText(location.href);
      said.textContent = "The link is copied.";
    } catch {
      said.textContent = "The link is in the address bar.";
    }
    setTimeout(() => (said.textContent = ""), 4000);
  }

  #restore() {
    const { state } = this;
    const given = new URLSearchParams(location.hash.slice(1));
    const numbers = (name, count) => {
      const found = (given.get(name) ?? "").split(",").map(Number);
      return given.has(name) && found.length === count && found.every(Number.isFinite) ? found : null;
    };
    const strengths = numbers("l", state.strengths.length);
    if (strengths?.every((value) => value >= 0)) state.strengths = strengths;
    if (this.#variables().includes(given.get("v"))) state.variable = given.get("v");
    if (given.has("s")) state.log = given.get("s") !== "linear";
    state.contours = given.get("c") !== "0";
    const cursor = numbers("p", 2);
    if (cursor) state.cursor = { x: cursor[0], y: cursor[1] };
    const window = numbers("w", 4);
    if (window && window[0] < window[1] && window[2] < window[3]) {
      state.axes.forEach((axis, a) => axis.move(window[2 * a], window[2 * a + 1] - window[2 * a], state.model.limit));
    }
    if (state.model.examples && given.has("d")) this.#restoreData(given.get("d"));
  }

  /** Examples "x:y:weight,…", if they are ones that the neuron could have been given. */
  #restoreData(text) {
    const { state } = this;
    const examples = text.split(",", MOST_EXAMPLES).map((one) => one.split(":").map((part) => (part === "" ? NaN : Number(part))));
    const fits = ([x, y, weight, ...more]) =>
      !more.length && Number.isFinite(x) && Number.isFinite(y) && weight >= 0 && weight < Infinity && (!state.model.entropy || (y >= 0 && y <= 1));
    if (!examples.every(fits) || !examples.some(([, , weight]) => weight > 0)) return;
    state.model.examples = examples.map(([x, y, weight]) => ({ x, y, weight }));
    state.version += 1;
    state.changed = true;
  }

  #variables() {
    return [...this.#get("variable").options].map((option) => option.value);
  }

  // ---- keys

  #keys() {
    const { state, views } = this;
    const cell = (event) => (event.shiftKey ? 0.1 : 0.01);
    const move = (a, share) => {
      const at = state.cursor ?? state.minimizer ?? { x: state.axes[0].at(0.5), y: state.axes[1].at(0.5) };
      const shares = [state.axes[0].share(at.x), state.axes[1].share(at.y)];
      shares[a] = clamp(shares[a] + share, 0, 1);
      state.change({ cursor: { x: state.axes[0].at(shares[0]), y: state.axes[1].at(shares[1]) } });
    };
    const stronger = (by) => {
      const slider = this.sliders[this.lambda];
      if (slider) this.#set(this.lambda, this.#strength(slider.unit, clamp(Number(slider.input.value) + by, 0, STEPS)));
    };
    const zoom = (factor) => {
      state.axes.forEach((axis) => axis.zoom(factor, 0.5, state.model.limit));
      views.map.settle();
    };
    const cycle = () => {
      const names = this.#variables();
      state.change({ variable: names[(names.indexOf(state.variable) + 1) % names.length] });
    };
    const actions = {
      ArrowLeft: (event) => move(0, -cell(event)),
      ArrowRight: (event) => move(0, cell(event)),
      ArrowUp: (event) => move(1, cell(event)),
      ArrowDown: (event) => move(1, -cell(event)),
      "[": () => stronger(-20),
      "]": () => stronger(20),
      "+": () => zoom(0.8),
      "=": () => zoom(0.8),
      "-": () => zoom(1.25),
      0: () => this.whole(),
      " ": () => this.play(),
      l: () => state.change({ log: !state.log }),
      c: () => state.change({ contours: !state.contours }),
      v: cycle,
      d: () => state.cursor && state.descend(state.cursor.x, state.cursor.y),
      m: () => state.minimizer && state.change({ cursor: { x: state.minimizer.x, y: state.minimizer.y } }),
      Escape: () => state.change({ cursor: null, path: null }),
      "?": () => this.#get("keys").showModal(),
    };
    const { output } = views;
    const editing = output && {
      ArrowLeft: (event) => output.nudge(-cell(event)),
      ArrowRight: (event) => output.nudge(cell(event)),
      ArrowUp: () => output.choose(1),
      ArrowDown: () => output.choose(-1),
      f: () => output.flip(),
      a: () => output.add(),
      Delete: () => output.remove(),
      Backspace: () => output.remove(),
    };
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input[type=text], select, dialog, a")) return;
      const moves = event.key.startsWith("Arrow") || event.key === " "; // the page, a slider or a button elsewhere
      if (moves && ![views.map.canvas, output?.canvas].includes(event.target)) return;
      const own = output && event.target === output.canvas ? editing[event.key] : null;
      const action = own ?? actions[event.key];
      if (!action) return;
      event.preventDefault();
      action(event);
    });
  }

  // ---- what is told

  draw() {
    const { state } = this;
    this.sliders.forEach(({ input, number, unit }, k) => {
      input.value = this.#position(unit, state.strengths[k]);
      input.setAttribute("aria-valuetext", plain(state.strengths[k], 3));
      if (document.activeElement !== number) number.value = plain(state.strengths[k], 3);
    });
    this.#get("variable").value = state.variable;
    this.#get("log").setAttribute("aria-pressed", state.log);
    this.#get("contours").setAttribute("aria-pressed", state.contours);
    this.#get("faded").hidden = state.runs.every((run) => state.own(run));
    const still = state.lastStep === 0;
    this.#get("playing").hidden = still;
    const play = this.#get("play");
    play.textContent = state.playing ? "Pause" : "Play";
    const step = this.#get("step");
    step.max = state.lastStep;
    step.value = Math.min(state.step, state.lastStep);
    this.#get("at-step").textContent = `step ${Math.min(state.step, state.lastStep)} of ${state.lastStep}`;
    this.#verdict();
    this.#values();
    this.#advance();
  }

  #verdict() {
    const box = this.#get("verdict");
    box.classList.toggle("none", Boolean(this.state.verdict));
    const text = this.#told();
    if (box.textContent !== text) box.textContent = text; // else it would be read out again
  }

  #told() {
    const { minimizer, verdict, axes, variable, model } = this.state;
    if (verdict) return verdict.text;
    if (!minimizer) return "Nothing here is finite.";
    const where = [[axes[0], minimizer.x], [axes[1], minimizer.y]].map(([axis, at]) => `${axis.label} = ${plain(at)}`.replaceAll(" ", "\u00a0")).join(", ");
    const value = plain(minimizer.value, Math.max(4, this.state.digits - 1));
    const inside = axes.every((axis, a) => axis.share([minimizer.x, minimizer.y][a]) >= 0 && axis.share([minimizer.x, minimizer.y][a]) <= 1);
    const more = variable === "risk" ? " The map shows the risk alone." : "";
    if (minimizer.running) return `No minimum was found: the objective still falls at ${where}.${more}`;
    if (!minimizer.interior) return `No minimum in the window: the least value, ${value}, is at its border, ${where}.${more}`;
    const found = model.entropy === false ? " that was found" : ""; // such a risk is not convex
    const { strengths, content } = this.state;
    const used = content.units.map((unit, k) => strengths[k] > 0 && `${plain(strengths[k])}·${unit.label}`).filter(Boolean);
    const under = used.length ? `, with ${used.join(" + ")}` : "";
    return `Least objective${found} ${value} at ${where}${inside ? "" : ", outside of what is shown"}${under}.${more}`;
  }

  #values() {
    const { state } = this;
    const at = state.cursor ?? (state.minimizer && { x: state.minimizer.x, y: state.minimizer.y });
    const found = at && state.at(at.x, at.y);
    const rows = [];
    if (at) {
      rows.push([state.cursor ? "At the cursor" : state.minimizer.interior ? "At the minimizer" : "At the least value", ""]);
      rows.push(...state.axes.map((axis, a) => [axis.label, plain([at.x, at.y][a])]), ...this.#measured(found));
      const points = state.points.filter((own) => state.own(own));
      const point = this.#near(points, at);
      if (points.length) rows.push(["critical point here", point ? point.kind : "—"]);
      if (state.runs.length) rows.push(...this.#nearest(at));
    }
    if (state.path) rows.push(["steps down, in the plane", String(state.path.points.length - 1)]);
    this.#tell(rows);
  }

  #tell(rows) {
    const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
    this.#get("values").replaceChildren(
      ...rows.map(([name, value]) => {
        const row = document.createElement("tr");
        row.append(cell("th", name), cell("td", value));
        row.classList.toggle("at", value === "");
        return row;
      }),
    );
  }

  #measured(found) {
    if (!found) return [];
    const { strengths, content, model, digits } = this.state;
    const rows = [["objective", plain(found.objective, digits)], ["risk", plain(found.risk, digits)]];
    content.units.forEach((unit, k) => rows.push([`λ·${unit.label}`, plain(strengths[k] > 0 ? strengths[k] * found.units[k] : 0, 5)]));
    if (model.exact) rows.push(["gradient norm, in plane", plain(found.norm, 3)]);
    else if (model.squares) rows.push(["gradient norm", found.norm === null ? "unknown at these λ" : plain(found.norm, 3)]);
    return rows;
  }

  /** Of points {x, y}, the one next to a place in the window, if it is near. */
  #near(points, { x, y }) {
    const { axes } = this.state;
    const shares = [axes[0].share(x), axes[1].share(y)];
    let [best, least] = [null, 0.03];
    for (const point of points) {
      const off = Math.hypot(axes[0].share(point.x) - shares[0], axes[1].share(point.y) - shares[1]);
      if (off < least) [best, least] = [point, off];
    }
    return best;
  }

  /** Of the run next to a place; the rows are there, empty, where none is near: nothing jumps under the pointer. */
  #nearest(at) {
    const { runs } = this.state;
    const { run, k } = this.#near(this.places, at) ?? {};
    const rows = [["run here", run ? run.label : "—"], ["its step", run ? String(run.steps[k]) : "—"]];
    if (runs.some((own) => own.objective)) rows.push(["its own objective", plain(run?.objective?.[k], 5)]);
    if (runs.some((own) => own.residual)) rows.push(["its distance from the plane", plain(run?.residual?.[k], 3)]);
    return rows;
  }
}
