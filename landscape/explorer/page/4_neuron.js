// One neuron h(x) = f(wx + b) on its data, at any w and b, exactly.

const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));

/** Of an activation f: value, first and second derivative at z. */
const ACTIVATIONS = {
  identity: (z) => [z, 1, 0],
  sigmoid: (z) => {
    const s = sigmoid(z);
    const slope = s * sigmoid(-z);
    return [s, slope, slope * (1 - 2 * s)];
  },
  tanh: (z) => {
    const t = Math.tanh(z);
    const slope = 1 / Math.cosh(z) ** 2;
    return [t, slope, -2 * t * slope];
  },
  relu: (z) => (z > 0 ? [z, 1, 0] : [0, 0, 0]),
  softplus: (z) => [softplus(z), sigmoid(z), sigmoid(z) * sigmoid(-z)],
};

/** Of a loss: value, first and second derivative in z, for a label y. */
const LOSSES = {
  cross_entropy: () => (z, y) => [softplus(z) - y * z, (1 - y) * sigmoid(z) - y * sigmoid(-z), sigmoid(z) * sigmoid(-z)],
  half_squared_error: (f) => (z, y) => {
    const [value, first, second] = f(z);
    const off = value - y;
    return [0.5 * off * off, off * first, first * first + off * second];
  },
};

class Neuron {
  constructor(content, axes) {
    this.axes = axes;
    this.units = content.units; // {label, alpha: [of w, of b], beta: [of w, of b]}
    this.activation = ACTIVATIONS[content.activation];
    this.loss = LOSSES[content.loss](this.activation);
    this.entropy = content.loss === "cross_entropy";
    this.mean = content.mean;
    this.exact = true;
    this.limit = 4; // of what is shown at first, how far one may zoom out
    this.given = Array.from(content.x, (x, i) => ({ x, y: content.y[i], weight: content.weights ? content.weights[i] : 1 }));
    this.examples = this.given.map((example) => ({ ...example }));
  }

  reset() {
    this.examples = this.given.map((example) => ({ ...example }));
  }

  output(x, w, b) {
    return this.activation(w * x + b)[0];
  }

  #scale() {
    return this.mean ? 1 / this.examples.reduce((sum, { weight }) => sum + weight, 0) : 1;
  }

  /** Ωₖ at (w, b): Σ α|θ| + βθ². */
  #units(w, b) {
    return this.units.map(({ alpha, beta }) => alpha[0] * Math.abs(w) + alpha[1] * Math.abs(b) + beta[0] * w * w + beta[1] * b * b);
  }

  /** Σ λα and Σ λβ, of w and of b. */
  #coefficients(strengths) {
    return ["alpha", "beta"].map((name) => [0, 1].map((a) => this.units.reduce((sum, unit, k) => sum + strengths[k] * unit[name][a], 0)));
  }

  sample(width, height) {
    const [ws, bs] = [this.axes[0].middles(width), this.axes[1].middles(height)];
    const risk = new Float64Array(width * height);
    const units = this.units.map(() => new Float64Array(width * height));
    const scale = this.#scale();
    for (const { x, y, weight } of this.examples) {
      for (let r = 0, k = 0; r < height; r++) {
        for (let c = 0; c < width; c++, k++) {
          const z = ws[c] * x + bs[r];
          risk[k] += scale * weight * (this.entropy ? softplus(z) - y * z : this.loss(z, y)[0]);
        }
      }
    }
    for (let r = 0, k = 0; r < height; r++) {
      for (let c = 0; c < width; c++, k++) this.#units(ws[c], bs[r]).forEach((value, u) => (units[u][k] = value));
    }
    return { width, height, risk, units };
  }

  /** Of the risk alone: value, slope, curvature [ww, wb, bb]. */
  #risk(w, b) {
    const scale = this.#scale();
    const out = { value: 0, slope: [0, 0], curvature: [0, 0, 0] };
    for (const { x, y, weight } of this.examples) {
      const [value, first, second] = this.loss(w * x + b, y).map((part) => scale * weight * part);
      out.value += value;
      out.slope[0] += first * x;
      out.slope[1] += first;
      out.curvature[0] += second * x * x;
      out.curvature[1] += second * x;
      out.curvature[2] += second;
    }
    return out;
  }

  /** J with its slope, the minimum-norm subgradient where |θ| has a kink, and curvature. */
  jet(w, b, strengths) {
    const [alpha, beta] = this.#coefficients(strengths);
    const risk = this.#risk(w, b);
    const smooth = [w, b].map((value, a) => risk.slope[a] + 2 * beta[a] * value);
    const slope = [w, b].map((value, a) =>
      value === 0 ? Math.sign(smooth[a]) * Math.max(0, Math.abs(smooth[a]) - alpha[a]) : smooth[a] + alpha[a] * Math.sign(value),
    );
    const units = this.#units(w, b);
    const [ww, wb, bb] = risk.curvature;
    return { value: objective(risk.value, units, strengths), slope, smooth, curvature: [ww + 2 * beta[0], wb, bb + 2 * beta[1]], risk: risk.value, units };
  }

  norms(strengths, width, height) {
    const [ws, bs] = [this.axes[0].middles(width), this.axes[1].middles(height)];
    return Float64Array.from({ length: width * height }, (_, k) => Math.hypot(...this.jet(ws[k % width], bs[Math.floor(k / width)], strengths).slope));
  }

  at(w, b, strengths) {
    const jet = this.jet(w, b, strengths);
    return { risk: jet.risk, units: jet.units, norm: Math.hypot(...jet.slope) };
  }

  /** Where a gradient step's end goes because of |θ|: nearer to 0 by step·Σλα, and not beyond it. */
  proximal(point, step, strengths) {
    const [alpha] = this.#coefficients(strengths);
    return point.map((value, a) => Math.sign(value) * Math.max(0, Math.abs(value) - step * alpha[a]));
  }

  /** A direction (w, b) along which no example of a cross-entropy gets worse and one better for ever; null if none.
   *
   * The directions in which no example gets worse are a cone; where it is not empty, an edge of it is orthogonal to some
   * (x, 1), or it is a half-plane, with (0, ±1) or (±1, 0) in it. A penalty on w or b forbids to move it.
   */
  #recession(strengths) {
    const [alpha, beta] = this.#coefficients(strengths);
    const fixed = [0, 1].map((a) => alpha[a] > 0 || beta[a] > 0);
    const candidates = [[1, 0], [0, 1], ...this.examples.map(({ x }) => [1, -x])].flatMap(([w, b]) => [[w, b], [-w, -b]]);
    const found = candidates.filter(([w, b]) => !(fixed[0] && w !== 0) && !(fixed[1] && b !== 0)).map((direction) => [direction, this.#gain(...direction)]);
    const best = found.filter(([, gain]) => gain > 0).sort((a, b) => b[1] - a[1])[0];
    if (!best) return null;
    const margin = this.#widest(fixed);
    return margin ?? best[0];
  }

  /** The least that an example gains along a unit direction: its sum if none loses, else −1. */
  #gain(w, b) {
    const length = Math.hypot(w, b);
    let total = 0;
    for (const { x, y, weight } of this.examples) {
      if (weight === 0) continue;
      const z = (w * x + b) / length;
      const tiny = 1e-12 * (Math.abs(w * x) + Math.abs(b)) / length;
      const gains = y === 1 ? z : y === 0 ? -z : -Math.abs(z);
      if (gains < -tiny) return -1;
      total += gains > tiny ? gains : 0;
    }
    return total;
  }

  /** The direction of the largest margin between two separated classes; null where they only touch, or w is fixed. */
  #widest(fixed) {
    if (fixed[0] || fixed[1] || this.examples.some(({ y, weight }) => y !== 0 && y !== 1 && weight > 0)) return null;
    const of = (label) => this.examples.filter(({ y, weight }) => y === label && weight > 0).map(({ x }) => x);
    const [zeros, ones] = [of(0), of(1)];
    if (!zeros.length || !ones.length) return null;
    for (const [low, high, sign] of [[Math.max(...zeros), Math.min(...ones), 1], [Math.max(...ones), Math.min(...zeros), -1]]) {
      if (low < high) return [sign, (-sign * (low + high)) / 2];
    }
    return null;
  }

  /** Why there is no minimum: {text, direction}; null where there is one, or for losses of which this is not known. */
  verdict(strengths) {
    if (!this.entropy) return null;
    const direction = this.#recession(strengths);
    if (!direction) return null;
    const one = this.examples.every(({ y }) => y === this.examples[0].y);
    const why = one ? "all labels are equal" : "the labels are separated";
    return { text: `There is no minimum: ${why}, and along the arrow the objective falls for ever.`, direction };
  }

  /** The least J: Newton's method on each choice of which of w, b are 0 or have which sign. */
  minimizer(strengths) {
    if (this.verdict(strengths)) return null;
    const [alpha] = this.#coefficients(strengths);
    const starts = [[0, 0], ...this.#lowest(strengths)];
    let best = null;
    for (const start of starts) {
      const end = this.#descended(start, strengths, alpha);
      const value = this.jet(...end, strengths).value;
      if (!best || value < best.value) best = { x: end[0], y: end[1], value };
    }
    const slope = Math.hypot(...this.jet(best.x, best.y, strengths).slope);
    const farther = !this.entropy && this.jet(2 * best.x, 2 * best.y, strengths).value < best.value;
    const running = !(slope <= 1e-5) || farther; // it runs away, or has not come to rest
    return { ...best, interior: !running, running };
  }

  /** The lowest cells of a coarse grid beside which none is lower: where a risk that is not convex may have a minimum. */
  #lowest(strengths) {
    if (this.entropy) return [];
    const shown = this.axes;
    this.axes = shown.map((axis) => new Axis(axis));
    const { width, risk, units } = this.sample(41, 41);
    const [ws, bs] = [this.axes[0].middles(41), this.axes[1].middles(41)];
    this.axes = shown;
    const values = Array.from(risk, (r, k) => objective(r, units.map((unit) => unit[k]), strengths));
    const beside = (k) => [-1, 0, 1].flatMap((r) => [-1, 0, 1].map((c) => [(k % width) + c, Math.floor(k / width) + r]));
    const inside = ([c, r]) => c >= 0 && c < width && r >= 0 && r < width;
    const lowest = [...values.keys()].filter((k) => beside(k).filter(inside).every(([c, r]) => values[k] <= values[r * width + c]));
    const order = lowest.sort((i, j) => values[i] - values[j]).slice(0, 8);
    return order.map((k) => [ws[k % width], bs[Math.floor(k / width)]]);
  }

  /** Proximal gradient steps, which find out what is 0, with Newton's steps on the rest. */
  #descended(point, strengths, alpha) {
    for (let k = 0; k < 100; k++) {
      const before = point;
      point = stepDown(this, point, strengths)?.point ?? point;
      const here = this.jet(...point, strengths);
      const free = [0, 1].filter((a) => point[a] !== 0 || alpha[a] === 0);
      const step = newtonStep(here, free);
      if (!step) {
        if (point === before) break;
        continue;
      }
      const to = point.map((value, a) => value + step[a]);
      const crosses = [0, 1].some((a) => alpha[a] > 0 && point[a] !== 0 && Math.sign(to[a]) !== Math.sign(point[a]));
      if (!crosses && this.jet(...to, strengths).value < here.value) point = to;
      if (point === before) break;
      if (Math.hypot(...this.jet(...point, strengths).slope) < 1e-12) break;
    }
    return point;
  }
}

/** Newton's step along the coordinates that are free; null where the curvature is not positive. */
function newtonStep({ slope, curvature: [a, b, c] }, free) {
  if (free.length === 0) return null;
  if (free.length === 1) {
    const own = free[0] === 0 ? a : c;
    return own > 0 ? [0, 1].map((k) => (k === free[0] ? -slope[k] / own : 0)) : null;
  }
  const determinant = a * c - b * b;
  if (!(a > 0 && determinant > 1e-14 * a * c)) return null;
  return [-(c * slope[0] - b * slope[1]) / determinant, -(a * slope[1] - b * slope[0]) / determinant];
}

/** A proximal gradient step with backtracking: {point, length}; null where no step leads down.
 *
 * The step η is the largest of `length`·2, `length`, `length`/2, … for which J falls by ‖Δθ‖²/(4η) at least.
 */
function stepDown(model, point, strengths, length = 1) {
  const here = model.jet(...point, strengths);
  if (!here) return null;
  const slope = here.smooth ?? here.slope;
  for (let step = 2 * length; step > 1e-12; step /= 2) {
    const to = model.proximal(point.map((value, a) => value - step * slope[a]), step, strengths);
    const moved = Math.hypot(to[0] - point[0], to[1] - point[1]);
    const there = model.jet(...to, strengths);
    if (moved === 0) return null;
    if (there && there.value <= here.value - (moved * moved) / (4 * step)) return { point: to, length: step };
  }
  return null;
}
