// What is shown: strengths, window, cursor, runs; and what follows from it. Whoever draws listens for changes.

const FINE = 4e7; // losses computed for a picture at rest, and while something is dragged
const COARSE = 4e6;
const SIDE = { fine: 400, coarse: 160 };

class State {
  constructor(content, model, axes) {
    Object.assign(this, { content, model, axes });
    this.runs = content.runs;
    this.points = content.points;
    this.strengths = content.units.map((unit) => unit.start);
    this.variable = "objective";
    this.log = true;
    this.contours = true;
    this.cursor = null; // {x, y}
    this.path = null; // an in-plane descent: {points, values}
    this.step = Infinity; // up to which step runs are drawn
    this.playing = false;
    this.busy = false; // something is dragged: coarse pictures
    this.listeners = [];
    this.version = 0; // of the data
    this.changed = false; // whether they are others than runs and points were made with
    this.recompute = remembered((version, side) => this.model.sample(side, side));
    this.renorm = remembered((version, side) => this.model.norms(this.strengths, side, side));
    this.reminimize = remembered((version, strengths) => this.model.minimizer(strengths));
  }

  listen(listener) {
    this.listeners.push(listener);
  }

  /** Change something and have everything drawn that depends on it. */
  change(changes = {}) {
    Object.assign(this, changes);
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.derive();
      this.listeners.forEach((listener) => listener(this));
    });
  }

  /** The data were edited. */
  edited(busy, changed = true) {
    this.version += 1;
    this.change({ busy, changed, path: null });
  }

  get side() {
    const examples = this.model.examples?.length ?? 1;
    const most = Math.sqrt((this.busy ? COARSE : FINE) / examples);
    return Math.round(clamp(most, 40, this.busy ? SIDE.coarse : SIDE.fine));
  }

  get where() {
    return `${this.version} ${this.axes.map((axis) => `${axis.start} ${axis.end}`)}`;
  }

  derive() {
    const side = this.variable === "gradient_norm" && this.model.exact ? Math.min(this.side, this.busy ? 80 : 200) : this.side;
    this.minimizer = this.reminimize(this.version, this.strengths);
    this.verdict = this.model.verdict?.(this.strengths) ?? null;
    const key = [this.where, side, this.strengths, this.variable, this.log].join(" ");
    if (key === this.key) return; // the cursor moved, or a run: the ground is as it was
    this.key = key;
    this.width = this.height = side;
    this.values = this.#values(side);
    this.scale = this.#scale();
    this.shares = this.values && this.#shares(); // of the colors, and the heights
  }

  /** In a loop: `Float32Array.from` with a function is ten times as slow. */
  #shares() {
    const { values, scale } = this;
    const out = this.shares?.length === values.length ? this.shares : new Float32Array(values.length);
    for (let k = 0; k < out.length; k++) out[k] = scale.share(values[k]);
    return out;
  }

  /** What is shown, in words. */
  get name() {
    return this.variable.replace("_", " ");
  }

  /** Digits that tell values in the window apart. */
  get digits() {
    const { least, top } = this.scale ?? {};
    return clamp(Math.ceil(Math.log10(Math.abs(least) / top)) + 4 || 5, 5, 10);
  }

  #values(side) {
    if (this.variable === "gradient_norm") return this.renorm(`${this.where} ${this.strengths}`, side);
    const { risk, units } = this.recompute(this.where, side);
    const used = units.map((unit, k) => [unit, this.variable === "risk" ? 0 : this.strengths[k]]).filter(([, strength]) => strength > 0);
    if (!used.length) return risk;
    if (this.mixed?.length !== risk.length) this.mixed = new Float64Array(risk.length);
    const out = this.mixed; // the same each time: nothing to clean up while a slider moves
    out.set(risk);
    for (const [unit, strength] of used) for (let k = 0; k < out.length; k++) out[k] += strength * unit[k];
    return out;
  }

  /** From values to shares of the colors: of the excess over the least value, asinh(excess/floor) where `log`.
   *
   * It ends where the risk alone ends, so that a growing penalty lifts what is around the minimum out of the dark; but
   * not before a twentieth of all, so that a strong penalty leaves more than a dot. `over`: whether values go beyond.
   */
  #scale() {
    if (!this.values) return null;
    const [lowest, most] = extent(this.values);
    if (lowest > most) return { least: NaN, top: 1, share: () => NaN, inverse: () => NaN };
    const least = Math.min(lowest, this.#leastKnown());
    if (this.variable === "gradient_norm" && this.log) {
      const low = Math.log(Math.max(least, 1e-6 * most, Number.MIN_VALUE));
      const width = Math.max(Math.log(most) - low, 1e-9);
      return { least, top: most, share: (v) => (Math.log(Math.max(v, Number.MIN_VALUE)) - low) / width, inverse: (s) => Math.exp(low + s * width) };
    }
    const all = most - least;
    const top = (this.variable === "gradient_norm" ? all : Math.max(this.#span(), all / 20)) || 1;
    const over = all > top * (1 + 1e-6);
    if (!this.log) return { least, top, over, share: (v) => (v - least) / top, inverse: (s) => least + s * top };
    const floor = top * 0.004;
    const whole = Math.asinh(top / floor);
    const share = (v) => {
      const x = (v - least) / floor;
      return Math.log(x + Math.sqrt(x * x + 1)) / whole; // asinh, much faster than Math.asinh
    };
    return { least, top, over, share, inverse: (s) => least + floor * Math.sinh(s * whole) };
  }

  /** The least objective, where it is in the window: between the points of the picture it may be lower than at them. */
  #leastKnown() {
    const { minimizer, verdict, variable, axes } = this;
    if (!minimizer || verdict || variable !== "objective") return Infinity;
    const inside = axes.every((axis, a) => Math.abs(axis.share([minimizer.x, minimizer.y][a]) - 0.5) <= 0.5);
    return inside ? minimizer.value : Infinity;
  }

  /** How much the risk alone rises in the window. */
  #span() {
    const sample = this.recompute(this.where, this.width);
    sample.extent ??= extent(sample.risk);
    return sample.extent[1] - sample.extent[0];
  }

  /** Round values for contour lines, evenly spread over the colors. */
  levels(count = 7) {
    const { least, inverse } = this.scale;
    const found = [];
    for (let k = 1; k < 3 * count; k++) {
      const value = inverse(k / count);
      const step = oneTwoFive(Math.max(Math.abs(value - least), 1e-300)) / 2;
      const level = Math.round(value / step) * step;
      if (level > least && !found.includes(level)) found.push(level);
    }
    return found;
  }

  /** What is known at a point. */
  at(x, y) {
    const found = this.model.at(x, y, this.strengths);
    return found && { ...found, objective: objective(found.risk, found.units, this.strengths) };
  }

  shown(value) {
    return { risk: value.risk, objective: value.objective, gradient_norm: value.norm }[this.variable];
  }

  /** Whether a run, or a critical point, is one of what is shown: of these data and strengths. */
  own(run) {
    if (this.changed) return false;
    if (!run.strengths) return true;
    return run.strengths.every((strength, k) => Math.abs(strength - this.strengths[k]) <= 1e-9 + 0.02 * strength);
  }

  get lastStep() {
    return Math.max(0, ...this.runs.map((run) => run.steps.at(-1)), this.path ? this.path.points.length - 1 : 0);
  }

  /** Walk down from a point, by exact gradients in the plane. */
  descend(x, y) {
    if (!this.model.exact) return;
    let [point, length] = [[x, y], 1];
    const points = [point];
    for (let k = 0; k < 400; k++) {
      const next = stepDown(this.model, point, this.strengths, length);
      if (!next) break;
      ({ point, length } = next);
      points.push(point);
      if (Math.hypot(...this.model.jet(...point, this.strengths).slope) < 1e-7) break;
    }
    this.change({ path: { points }, step: 0, playing: true, cursor: { x, y } });
  }
}
