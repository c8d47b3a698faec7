// Numbers: as text, on axes, as colors.

/** A number with so many significant digits; a real minus sign; "—" for what is not known. */
function plain(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "—";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text;
  if (size >= 1e5 || size < 1e-4) {
    const [mantissa, exponent] = size.toExponential(Math.max(0, digits - 2)).split("e");
    text = `${trimmed(mantissa)}e${exponent.replace("+", "").replace("-", "−")}`;
  } else {
    text = size < 10 ** digits ? trimmed(size.toPrecision(digits)) : size.toFixed(0);
  }
  return (value < 0 ? "−" : "") + text;
}

function trimmed(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Texts of values side by side, with digits enough that none is off by a tenth of the way to the next. */
function apart(values, digits = 3) {
  const sorted = [...values].sort((a, b) => a - b);
  const gap = Math.min(...sorted.map((value, k) => value - sorted[k - 1]).filter((step) => step > 0));
  const off = (text, value) => Math.abs(Number(text.replaceAll("−", "-")) - value);
  for (let more = digits; more < 10; more++) {
    const texts = values.map((value) => plain(value, more));
    if (texts.every((text, k) => off(text, values[k]) <= 0.1 * gap)) return texts;
  }
  return values.map((value) => plain(value, 10));
}

/** The least and the largest of those that are finite. */
function extent(values) {
  let [least, most] = [Infinity, -Infinity];
  for (let k = 0; k < values.length; k++) {
    const value = values[k];
    if (value < least && value > -Infinity) least = value;
    if (value > most && value < Infinity) most = value;
  }
  return [least, most];
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** The largest of …, 0.1, 0.2, 0.5, 1, 2, 5, … that is not above `value` > 0. */
function oneTwoFive(value) {
  const decade = 10 ** Math.floor(Math.log10(value) + 1e-9);
  const factor = [5, 2, 1].find((f) => f * decade <= value * (1 + 1e-9));
  return factor * decade;
}

/** Round positions from low to high, about `count`; powers of ten and their 2s and 5s where `log`. */
function ticks(low, high, count, log = false) {
  if (!(high > low)) return [];
  const found = [];
  if (log && high / low > 5) {
    const few = Math.log10(high / low) > count;
    const skip = Math.max(1, Math.ceil(Math.log10(high / low) / count));
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const factor of few ? [1] : [1, 2, 5]) {
        const tick = factor * 10 ** power;
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9) && (!few || power % skip === 0)) found.push(tick);
      }
    }
    return found;
  }
  const step = oneTwoFive(((high - low) / count) * 2);
  if (!(step > 1e-13 * Math.max(Math.abs(low), Math.abs(high)))) return [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

/** One axis of the window: `t` is what is spaced evenly on the screen, x or log x. */
class Axis {
  constructor({ name, label, low, high, log }) {
    Object.assign(this, { name, label, log, low, high });
    this.reset();
  }

  reset() {
    [this.start, this.end] = [this.toT(this.low), this.toT(this.high)];
  }

  toT(x) {
    return this.log ? Math.log(x) : x;
  }

  toX(t) {
    return this.log ? Math.exp(t) : t;
  }

  /** The position at a share of the window, and the share at a position. */
  at(share) {
    return this.toX(this.start + share * (this.end - this.start));
  }

  share(x) {
    return (this.toT(x) - this.start) / (this.end - this.start);
  }

  /** Zoom about a share of the window, which stays; not beyond `limit` times what there is. */
  zoom(factor, share, limit) {
    const [full, center] = [this.toT(this.high) - this.toT(this.low), this.start + share * (this.end - this.start)];
    const width = clamp((this.end - this.start) * factor, 1e-6 * full, limit * full); // here too: the share stays
    this.move(center - share * width, width, limit);
  }

  pan(share, limit) {
    this.move(this.start + share * (this.end - this.start), this.end - this.start, limit);
  }

  move(start, width, limit) {
    const [low, full] = [this.toT(this.low), this.toT(this.high) - this.toT(this.low)];
    const slack = ((limit - 1) / 2) * full;
    width = clamp(width, 1e-6 * full, limit * full);
    this.start = clamp(start, low - slack, low + full + slack - width);
    this.end = this.start + width;
  }

  /** The positions of the middles of so many equal parts of the window. */
  middles(count) {
    return Float64Array.from({ length: count }, (_, i) => this.at((i + 0.5) / count));
  }
}

/** Colors of shares from 0 (least) to 1, as [r, g, b] bytes one after another; from the page's content. */
class Palette {
  constructor(hex) {
    this.count = hex.length / 6;
    this.bytes = Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
    const pixels = Uint8Array.from({ length: 4 * this.count }, (_, k) => (k % 4 === 3 ? 255 : this.bytes[3 * (k >> 2) + (k % 4)]));
    this.pixels = new Uint32Array(pixels.buffer); // as image data hold them
  }

  css(share) {
    const i = 3 * Math.round(clamp(share, 0, 1) * (this.count - 1));
    return `rgb(${this.bytes[i]}, ${this.bytes[i + 1]}, ${this.bytes[i + 2]})`;
  }
}

/** The share of the colors where (s, t) of the window are, between samples in a square: of the nearest one where one of
 * them is not finite. Capped: a sample far above the colors would lift all that is around it. */
function between(shares, side, s, t) {
  const [last, at] = [side - 1, (k) => (Number.isFinite(shares[k]) ? clamp(shares[k], 0, 4) : NaN)];
  const [column, row] = [Math.min(Math.floor(s * last), last - 1), Math.min(Math.floor(t * last), last - 1)];
  const [k, u, v] = [row * side + column, s * last - column, t * last - row];
  const share = (1 - v) * ((1 - u) * at(k) + u * at(k + 1)) + v * ((1 - u) * at(k + side) + u * at(k + side + 1));
  return Number.isNaN(share) ? at(k + (v < 0.5 ? 0 : side) + (u < 0.5 ? 0 : 1)) : share;
}
