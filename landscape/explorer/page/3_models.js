// What is explored: a grid, polynomials, or a neuron and its data. Each is a risk R and penalties Ωₖ at strength 1, of
// which the page makes J = R + Σ λₖΩₖ itself. A sample is taken at W×H points of the window, row by row from below.

/** J of a risk and penalties; no penalty is no penalty, though 0·∞ is NaN. */
function objective(risk, units, strengths) {
  let total = risk;
  for (let k = 0; k < units.length; k++) if (strengths[k] > 0) total += strengths[k] * units[k];
  return total;
}

/** Results of `make` for the last two arguments: a fine picture is still there when a coarse one was drawn. */
function remembered(make) {
  const kept = new Map();
  return (...args) => {
    const key = JSON.stringify(args);
    const value = kept.has(key) ? kept.get(key) : make(...args);
    kept.delete(key);
    kept.set(key, value);
    if (kept.size > 2) kept.delete(kept.keys().next().value);
    return value;
  };
}

/** Values on a grid, between which nothing is known but what lies between them. */
class Grid {
  constructor(content, axes) {
    this.axes = axes;
    this.positions = axes.map((axis, a) => Float64Array.from(content.positions[a], (x) => axis.toT(x)));
    this.risk = content.risk;
    this.units = content.units;
    this.fields = [content.risk, ...content.units.map((unit) => unit.field)];
    this.squares = content.squares; // ‖∇R‖², and of each penalty ∇R·∇Ω and ‖∇Ω‖², where they are known
    this.exact = false;
    this.limit = 1;
  }

  /** Of positions on the screen, the cell to the left and how far it is to the next one. */
  #places(a, count) {
    const [own, axis] = [this.positions[a], this.axes[a]];
    return Array.from({ length: count }, (_, i) => this.#place(own, axis.start + ((i + 0.5) / count) * (axis.end - axis.start)));
  }

  #place(own, t) {
    let [low, high] = [0, own.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (own[middle] <= t) low = middle;
      else high = middle;
    }
    return [low, clamp((t - own[low]) / (own[low + 1] - own[low]), 0, 1)];
  }

  #between(values, [i, s], [j, t]) {
    const n = this.positions[1].length;
    const k = i * n + j;
    const mixed = (1 - s) * ((1 - t) * values[k] + t * values[k + 1]) + s * ((1 - t) * values[k + n] + t * values[k + n + 1]);
    return Number.isFinite(mixed) ? mixed : values[(s < 0.5 ? i : i + 1) * n + (t < 0.5 ? j : j + 1)];
  }

  #sampled(fields, width, height) {
    const [columns, rows] = [this.#places(0, width), this.#places(1, height)];
    return fields.map((values) => {
      const out = new Float64Array(width * height);
      for (let r = 0; r < height; r++) {
        for (let c = 0; c < width; c++) out[r * width + c] = this.#between(values, columns[c], rows[r]);
      }
      return out;
    });
  }

  sample(width, height) {
    const [risk, ...units] = this.#sampled(this.fields, width, height);
    return { width, height, risk, units };
  }

  /** ‖∇J‖² where it is known at these strengths: without a penalty, or with one whose share in it is known. */
  #square(strengths) {
    if (!this.squares) return null;
    const used = strengths.map((strength, k) => [strength, this.squares.units[k]]).filter(([strength]) => strength > 0);
    if (used.length > 1 || (used.length && !used[0][1])) return null;
    const [strength, own] = used[0] ?? [0, null];
    return { fields: own ? [this.squares.risk, own.cross, own.square] : [this.squares.risk], weights: [1, 2 * strength, strength ** 2] };
  }

  norms(strengths, width, height) {
    const square = this.#square(strengths);
    if (!square) return null;
    const parts = this.#sampled(square.fields, width, height);
    return parts[0].map((_, i) => Math.sqrt(Math.max(0, parts.reduce((sum, part, k) => sum + square.weights[k] * part[i], 0))));
  }

  at(x, y, strengths) {
    if (!this.axes.every((axis, a) => [x, y][a] >= axis.low && [x, y][a] <= axis.high)) return null;
    const place = [this.#place(this.positions[0], this.axes[0].toT(x)), this.#place(this.positions[1], this.axes[1].toT(y))];
    const [risk, ...units] = this.fields.map((values) => this.#between(values, ...place));
    const square = this.#square(strengths);
    const norm = square && Math.sqrt(Math.max(0, square.fields.reduce((sum, f, k) => sum + square.weights[k] * this.#between(f, ...place), 0)));
    return { risk, units, norm };
  }

  minimizer(strengths) {
    const [nx, ny] = this.positions.map((own) => own.length);
    let best = -1;
    let least = Infinity;
    const used = this.units.map((_, u) => u).filter((u) => strengths[u] > 0);
    const [fields, weights] = [used.map((u) => this.units[u].field), used.map((u) => strengths[u])];
    for (let k = 0; k < nx * ny; k++) {
      let value = this.risk[k];
      for (let u = 0; u < fields.length; u++) value += weights[u] * fields[u][k];
      if (value < least) {
        least = value;
        best = k;
      }
    }
    if (best < 0) return null;
    const [i, j] = [Math.floor(best / ny), best % ny];
    const interior = i > 0 && j > 0 && i < nx - 1 && j < ny - 1;
    return { x: this.axes[0].toX(this.positions[0][i]), y: this.axes[1].toX(this.positions[1][j]), value: least, interior };
  }
}

/** Polynomials on the pieces of a box: true values, slopes and curvature at every point. */
class Spectral {
  constructor(content, axes) {
    this.axes = axes;
    this.units = content.units;
    this.pieces = content.pieces.map((piece) => ({ ...piece, shape: piece.degrees.map((degree) => degree + 1) }));
    this.exact = true;
    this.limit = 1;
  }

  /** T₀ … T_d at t, and their first and second derivatives. */
  static #basis(t, count) {
    const [value, first, second] = [0, 1, 2].map(() => new Float64Array(count));
    value[0] = 1;
    if (count > 1) [value[1], first[1]] = [t, 1];
    for (let k = 2; k < count; k++) {
      value[k] = 2 * t * value[k - 1] - value[k - 2];
      first[k] = 2 * value[k - 1] + 2 * t * first[k - 1] - first[k - 2];
      second[k] = 4 * first[k - 1] + 2 * t * second[k - 1] - second[k - 2];
    }
    return [value, first, second];
  }

  /** Whether a position belongs to a piece: from its lower edge up to the next piece's. */
  #holds(piece, a, x) {
    return x >= piece.lower[a] && (x < piece.upper[a] || (x === piece.upper[a] && x === this.axes[a].high));
  }

  #piece(x, y) {
    return this.pieces.find((piece) => this.#holds(piece, 0, x) && this.#holds(piece, 1, y));
  }

  static #t(piece, a, x) {
    return (2 * x - piece.lower[a] - piece.upper[a]) / (piece.upper[a] - piece.lower[a]);
  }

  static #back(form, p) {
    return form === "log" ? Math.exp(p) : form === "square" ? p * p : p;
  }

  sample(width, height) {
    const channels = 1 + this.units.length;
    const out = Array.from({ length: channels }, () => new Float64Array(width * height).fill(NaN));
    const [xs, ys] = [this.axes[0].middles(width), this.axes[1].middles(height)];
    for (const piece of this.pieces) {
      const inside = (own, a) => [...own.keys()].filter((i) => this.#holds(piece, a, own[i]));
      const [columns, rows] = [inside(xs, 0), inside(ys, 1)];
      const [nx, ny] = piece.shape;
      const bases = [columns.map((c) => Spectral.#basis(Spectral.#t(piece, 0, xs[c]), nx)[0]), rows.map((r) => Spectral.#basis(Spectral.#t(piece, 1, ys[r]), ny)[0])];
      for (let channel = 0; channel < channels; channel++) {
        const own = piece.coefficients.subarray(channel * nx * ny, (channel + 1) * nx * ny);
        bases[0].forEach((u, c) => {
          const row = new Float64Array(ny); // Σ over the first degree
          for (let i = 0; i < nx; i++) for (let j = 0; j < ny; j++) row[j] += u[i] * own[i * ny + j];
          bases[1].forEach((v, r) => {
            let p = 0;
            for (let j = 0; j < ny; j++) p += row[j] * v[j];
            out[channel][rows[r] * width + columns[c]] = Spectral.#back(piece.forms[channel], p);
          });
        });
      }
    }
    return { width, height, risk: out[0], units: out.slice(1) };
  }

  /** Value, slope and curvature of a channel at a point of a piece. */
  #jet(piece, channel, u, v) {
    const [nx, ny] = piece.shape;
    const own = piece.coefficients.subarray(channel * nx * ny, (channel + 1) * nx * ny);
    const sum = (a, b) => {
      let total = 0;
      for (let i = 0; i < nx; i++) {
        let row = 0;
        for (let j = 0; j < ny; j++) row += own[i * ny + j] * v[b][j];
        total += u[a][i] * row;
      }
      return total;
    };
    const [sx, sy] = [0, 1].map((a) => 2 / (piece.upper[a] - piece.lower[a]));
    const [p, px, py] = [sum(0, 0), sx * sum(1, 0), sy * sum(0, 1)];
    const [pxx, pxy, pyy] = [sx * sx * sum(2, 0), sx * sy * sum(1, 1), sy * sy * sum(0, 2)];
    if (piece.forms[channel] === "log") {
      const e = Math.exp(p);
      return { value: e, slope: [e * px, e * py], curvature: [e * (pxx + px * px), e * (pxy + px * py), e * (pyy + py * py)] };
    }
    if (piece.forms[channel] === "square") {
      return { value: p * p, slope: [2 * p * px, 2 * p * py], curvature: [2 * (p * pxx + px * px), 2 * (p * pxy + px * py), 2 * (p * pyy + py * py)] };
    }
    return { value: p, slope: [px, py], curvature: [pxx, pxy, pyy] };
  }

  /** J with slope and curvature, the risk and the penalties; null outside of what is known. */
  jet(x, y, strengths) {
    const piece = this.#piece(x, y);
    if (!piece) return null;
    const [u, v] = [0, 1].map((a) => Spectral.#basis(Spectral.#t(piece, a, [x, y][a]), piece.shape[a]));
    const jets = [1, ...strengths].map((_, channel) => this.#jet(piece, channel, u, v));
    const weights = [1, ...strengths];
    const mixed = (of) => jets.reduce((total, jet, k) => (weights[k] > 0 ? total + weights[k] * of(jet) : total), 0);
    return {
      value: mixed((jet) => jet.value),
      slope: [0, 1].map((a) => mixed((jet) => jet.slope[a])),
      curvature: [0, 1, 2].map((a) => mixed((jet) => jet.curvature[a])),
      risk: jets[0].value,
      units: jets.slice(1).map((jet) => jet.value),
    };
  }

  norms(strengths, width, height) {
    const [xs, ys] = [this.axes[0].middles(width), this.axes[1].middles(height)];
    const out = new Float64Array(width * height);
    for (let r = 0; r < height; r++) {
      for (let c = 0; c < width; c++) {
        const jet = this.jet(xs[c], ys[r], strengths);
        out[r * width + c] = jet ? Math.hypot(...jet.slope) : NaN;
      }
    }
    return out;
  }

  at(x, y, strengths) {
    const jet = this.jet(x, y, strengths);
    return jet && { risk: jet.risk, units: jet.units, norm: Math.hypot(...jet.slope) };
  }

  /** One step down, see `stepDown`. */
  proximal(point) {
    return point;
  }

  minimizer(strengths) {
    const whole = this.axes.map((axis) => new Axis(axis));
    const shown = this.axes;
    this.axes = whole;
    const { width, height, risk, units } = this.sample(121, 121);
    this.axes = shown;
    let [best, least] = [-1, Infinity];
    for (let k = 0; k < risk.length; k++) {
      const value = objective(risk[k], units.map((unit) => unit[k]), strengths);
      if (value < least) [best, least] = [k, value];
    }
    if (best < 0) return null;
    const start = [whole[0].at(((best % width) + 0.5) / width), whole[1].at((Math.floor(best / width) + 0.5) / height)];
    const end = newton(this, start, strengths);
    const [x, y] = end.map((value, a) => clamp(value, whole[a].low, whole[a].high));
    const interior = whole.every((axis, a) => {
      const slack = 1e-6 * (axis.high - axis.low);
      return [x, y][a] > axis.low + slack && [x, y][a] < axis.high - slack;
    });
    return { x, y, value: this.jet(x, y, strengths)?.value ?? least, interior };
  }
}

/** Newton's method down from a point inside a model's box, steps halved until they lead down. */
function newton(model, point, strengths) {
  for (let k = 0; k < 50; k++) {
    const here = model.jet(...point, strengths);
    const step = here && (newtonStep(here, [0, 1]) ?? here.slope.map((part) => -part));
    let next = null;
    for (let length = 1; step && length > 1e-8 && !next; length /= 2) {
      const to = point.map((value, a) => clamp(value + length * step[a], model.axes[a].low, model.axes[a].high));
      if (model.jet(...to, strengths)?.value < here.value) next = to;
    }
    if (!next) return point;
    point = next;
  }
  return point;
}
