// Curves: the cross-sections through the cursor, and the neuron's output with its data.

/** The values along one axis, through the cursor or else the minimizer or the middle. */
class Section {
  constructor(canvas, state, along) {
    Object.assign(this, { canvas, state, along });
    state.listen(() => this.draw());
  }

  draw() {
    const [context, width, height] = prepared(this.canvas);
    const { state, along } = this;
    if (!state.values) return;
    const frame = new Frame(context, LEFT, 20, width - LEFT - RIGHT, height - 58);
    const [own, other] = along === 0 ? state.axes : [state.axes[1], state.axes[0]];
    const at = this.#center();
    const share = clamp(other.share(along === 0 ? at.y : at.x), 0, 0.999999);
    const line = Math.floor(share * (along === 0 ? state.height : state.width));
    const count = along === 0 ? state.width : state.height;
    const values = Array.from({ length: count }, (_, k) => state.values[along === 0 ? line * state.width + k : k * state.width + line]);
    const low = state.scale.least;
    const high = Math.min(Math.max(...values.filter(Number.isFinite)), low + 1.5 * state.scale.top);
    const y = (value) => frame.y(0.04 + (0.92 * (value - low)) / (high - low || 1));
    frame.clipped(() => {
      context.strokeStyle = css("--accent");
      context.lineWidth = 1.8;
      context.beginPath();
      let pen = false;
      values.forEach((value, k) => {
        if (!Number.isFinite(value)) return (pen = false);
        context[pen ? "lineTo" : "moveTo"](frame.x((k + 0.5) / count), y(value));
        pen = true;
      });
      context.stroke();
      const here = own.share(along === 0 ? at.x : at.y);
      context.fillStyle = css("--faint");
      context.fillRect(frame.x(here) - 0.5, frame.top, 1, frame.height);
      const value = values[clamp(Math.floor(here * count), 0, count - 1)];
      if (Number.isFinite(value)) mark(context, "o", frame.x(here), y(value), 4, "white", css("--ink"));
    });
    frame.border();
    frame.horizontal(axisMarks(own, Math.max(3, width / 80)), own.label);
    const [round, texts, subtracted] = this.#marks(low, high, frame.height / 30);
    frame.vertical(round.map((tick, k) => [0.04 + (0.92 * (tick - low)) / (high - low || 1), texts[k]]), "");
    context.fillStyle = css("--quiet");
    [context.font, context.textAlign, context.textBaseline] = [FONT, "left", "bottom"];
    context.fillText(`${state.name}${subtracted} at ${other.label} = ${plain(along === 0 ? at.y : at.x, 3)}`, frame.left, frame.top - 4, frame.width);
  }

  /** Round values with their texts; where these are long because the values differ by little, of the excess over `low`. */
  #marks(low, high, count) {
    const round = ticks(low, high, count);
    const texts = apart(round);
    if (texts.every((text) => text.length <= 7)) return [round, texts, ""];
    const excess = ticks(0, high - low, count);
    return [excess.map((value) => low + value), apart(excess), ` − ${plain(low, this.state.digits)}`];
  }

  #center() {
    const { cursor, minimizer, axes } = this.state;
    return cursor ?? minimizer ?? { x: axes[0].at(0.5), y: axes[1].at(0.5) };
  }
}

/** h(x) of the minimizer, or of the cursor, over the data: points are moved, flipped, added and taken away. */
class Output {
  constructor(canvas, state) {
    Object.assign(this, { canvas, state });
    this.chosen = 0;
    const [least, most] = [Math.min, Math.max].map((of) => of(...state.model.given.map(({ x }) => x)));
    const pad = 0.75 * (most - least || 2);
    this.axis = new Axis({ name: "x", label: this.#names[0], low: least - pad, high: most + pad, log: false });
    const labels = state.model.given.map(({ y }) => y);
    this.range = [Math.min(0, ...labels), Math.max(1, ...labels)];
    state.listen(() => this.draw());
    this.#pointers();
  }

  /** What stands at the axes. */
  get #names() {
    const { names } = this.state.content.model;
    return names ? [names[0], `h(x), ${names[1]}`] : ["x", "h(x)"];
  }

  get #examples() {
    return this.state.model.examples;
  }

  draw() {
    const [context, width, height] = prepared(this.canvas);
    const { state, axis } = this;
    const frame = new Frame(context, LEFT, 8, width - LEFT - RIGHT, height - 46);
    this.frame = frame;
    const [low, high] = this.range;
    const pad = 0.12 * (high - low);
    this.y = (value) => (value - low + pad) / (high - low + 2 * pad);
    const marks = ticks(low, high, 3).map((tick) => [this.y(tick), plain(tick, 3)]);
    frame.clipped(() => {
      context.fillStyle = css("--faint");
      for (const [share] of marks) context.fillRect(frame.left, frame.y(share), frame.width, 1);
      const curves = [[state.cursor, css("--quiet"), [4, 3]], [state.minimizer, css("--alert"), []]];
      for (const [at, color, dashes] of curves) if (at) this.#curve(context, frame, at, color, dashes);
      const [color, paper, ink] = ["--accent", "--paper", "--ink"].map(css);
      this.#examples.forEach(({ x, y }, k) => {
        const place = [frame.x(axis.share(x)), frame.y(this.y(y))];
        mark(context, y > (low + high) / 2 ? "o" : "s", ...place, 6, color, paper);
        if (k === this.chosen) ring(context, ...place, 10, ink);
      });
    });
    frame.border();
    frame.horizontal(axisMarks(axis, Math.max(3, width / 80)), axis.label);
    frame.vertical(marks, this.#names[1]);
  }

  #curve(context, frame, at, color, dashes) {
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.setLineDash(dashes);
    context.beginPath();
    for (let px = 0; px <= frame.width; px += 2) {
      const value = this.state.model.output(this.axis.at(px / frame.width), at.x, at.y);
      context[px ? "lineTo" : "moveTo"](frame.left + px, frame.y(this.y(value)));
    }
    context.stroke();
    context.setLineDash([]);
  }

  // ---- edits, which buttons and keys make too

  flip() {
    const example = this.#examples[this.chosen];
    if (!example) return;
    example.y = this.range[0] + this.range[1] - example.y;
    this.state.edited(false);
  }

  add(x = this.axis.at(0.5), y = this.range[1]) {
    this.#examples.push({ x, y, weight: 1 });
    this.chosen = this.#examples.length - 1;
    this.state.edited(false);
  }

  remove() {
    if (!this.#examples.some(({ weight }, k) => k !== this.chosen && weight > 0)) return; // one has to stay
    this.#examples.splice(this.chosen, 1);
    this.chosen = Math.min(this.chosen, this.#examples.length - 1);
    this.state.edited(false);
  }

  reset() {
    this.state.model.reset();
    this.chosen = 0;
    this.state.edited(false, false);
  }

  nudge(share) {
    const example = this.#examples[this.chosen];
    example.x = this.axis.at(clamp(this.axis.share(example.x) + share, 0, 1));
    this.state.edited(false);
  }

  choose(step) {
    const count = this.#examples.length;
    this.chosen = (this.chosen + step + count) % count;
    this.state.change();
  }

  #pointers() {
    const { canvas } = this;
    let [held, moved, start, before] = [-1, 0, null, null];
    const position = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      canvas.setPointerCapture(event.pointerId);
      [start, moved] = [position(event), 0];
      held = this.#nearest(...start);
      before = held >= 0 ? { ...this.#examples[held] } : null;
      if (held >= 0) this.chosen = held;
      this.state.change();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [px, py] = position(event);
      moved = Math.max(moved, Math.hypot(px - start[0], py - start[1]));
      if (held < 0 || moved < 4) return;
      const [s, t] = this.frame.share(px, py);
      const example = this.#examples[held];
      example.x = this.axis.at(clamp(s, 0, 1));
      if (!this.state.model.entropy) example.y = this.#label(t);
      this.state.edited(true);
    });
    const ended = (event) => {
      if (!start) return;
      const [x, y] = start;
      start = null;
      if (event.type === "pointercancel") {
        if (before) Object.assign(this.#examples[held], before);
        this.state.edited(false, this.state.changed);
      } else if (moved >= 4) this.state.edited(false);
      else if (held >= 0) this.flip();
      else this.#addAt(x, y);
    };
    canvas.addEventListener("pointerup", ended);
    canvas.addEventListener("pointercancel", ended);
  }

  #label(t) {
    const [low, high] = this.range;
    const pad = 0.12 * (high - low);
    return clamp(low - pad + t * (high - low + 2 * pad), low, high);
  }

  #addAt(px, py) {
    const [s, t] = this.frame.share(px, py);
    if (s < 0 || s > 1 || t < 0 || t > 1) return;
    const label = this.#label(t);
    const [low, high] = this.range;
    this.add(this.axis.at(s), this.state.model.entropy ? (label > (low + high) / 2 ? high : low) : label);
  }

  #nearest(px, py) {
    let [best, least] = [-1, 22];
    this.#examples.forEach(({ x, y }, k) => {
      const off = Math.hypot(this.frame.x(this.axis.share(x)) - px, this.frame.y(this.y(y)) - py);
      if (off < least) [best, least] = [k, off];
    });
    return best;
  }
}
