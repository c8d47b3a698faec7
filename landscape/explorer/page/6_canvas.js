// Drawing on canvases: sizes in CSS pixels, axes, marks, lines that are seen on dark and light ground.

/** A canvas made as large as it is shown, cleared: [context, width, height]. */
function prepared(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return [context, width, height];
}

/** A color of the page's style sheet; asked for once, since asking makes the browser lay out the page. */
const css = (name) => {
  if (!css.known.has(name)) css.known.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return css.known.get(name);
};
css.known = new Map();

const FONT = "12px system-ui, sans-serif";
const [LEFT, RIGHT] = [58, 16]; // of frames, for labels

/** A rectangle of a canvas with axes around it. */
class Frame {
  constructor(context, left, top, width, height) {
    Object.assign(this, { context, left, top, width, height });
  }

  x(share) {
    return this.left + share * this.width;
  }

  y(share) {
    return this.top + (1 - share) * this.height;
  }

  share(px, py) {
    return [(px - this.left) / this.width, 1 - (py - this.top) / this.height];
  }

  clipped(draw) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(this.left, this.top, this.width, this.height);
    context.clip();
    draw(context);
    context.restore();
  }

  border() {
    const { context } = this;
    context.strokeStyle = css("--frame");
    context.lineWidth = 1;
    context.strokeRect(this.left - 0.5, this.top - 0.5, this.width + 1, this.height + 1);
  }

  /** Ticks and the label below: [share, text] each. */
  horizontal(marks, label) {
    const { context } = this;
    const bottom = this.top + this.height;
    context.font = FONT;
    context.fillStyle = context.strokeStyle = css("--ink");
    [context.textAlign, context.textBaseline] = ["center", "top"];
    let last = -Infinity;
    for (const [share, text] of marks) {
      const [x, half] = [this.x(share), context.measureText(text).width / 2];
      context.fillRect(x - 0.5, bottom, 1, 4);
      if (x - half < last + 6) continue;
      context.fillText(text, clamp(x, half, this.left + this.width + RIGHT - half), bottom + 6);
      last = x + half;
    }
    if (label) context.fillText(label, this.left + this.width / 2, bottom + 21, this.width);
  }

  /** Ticks and the label at the left. */
  vertical(marks, label) {
    const { context } = this;
    context.font = FONT;
    context.fillStyle = css("--ink");
    [context.textAlign, context.textBaseline] = ["right", "middle"];
    let last = Infinity;
    let widest = 0;
    for (const [share, text] of marks) {
      const y = this.y(share);
      context.fillRect(this.left - 4, y - 0.5, 4, 1);
      if (y > last - 12) continue;
      context.fillText(text, this.left - 6, y);
      widest = Math.max(widest, context.measureText(text).width);
      last = y;
    }
    if (!label) return;
    context.save();
    context.translate(Math.max(8, this.left - 6 - widest - 12), this.top + this.height / 2);
    context.rotate(-Math.PI / 2);
    [context.textAlign, context.textBaseline] = ["center", "middle"];
    context.fillText(label, 0, 0, this.height);
    context.restore();
  }
}

/** [share, text] of an axis' round positions. */
function axisMarks(axis, count) {
  const [low, high] = [axis.at(0), axis.at(1)];
  const digits = Math.max(4, Math.ceil(Math.log10(Math.max(Math.abs(low), Math.abs(high)) / (high - low))) + 3);
  return ticks(low, high, count, axis.log).map((tick) => [axis.share(tick), plain(Number(tick.toPrecision(12)), digits)]);
}

/** Which of a path's first points are seen as others than the one before: the first, the last, those that moved. */
function distinct(axes, xs, ys, count) {
  const kept = [];
  let [s, t] = [Infinity, Infinity];
  for (let k = 0; k < count; k++) {
    const [u, v] = [axes[0].share(xs[k]), axes[1].share(ys[k])];
    if (k < count - 1 && Math.abs(u - s) < 0.002 && Math.abs(v - t) < 0.002) continue;
    kept.push(k);
    s = u;
    t = v;
  }
  return kept;
}

/** How many of a run's steps are drawn up to this one. */
function reached(steps, step) {
  let count = 0;
  while (count < steps.length && steps[count] <= step) count++;
  return count;
}

const haloed = (context, width, color, halo, draw) => {
  for (const [style, extra] of [[halo, 2.5], [color, 0]]) {
    context.strokeStyle = style;
    context.lineWidth = width + extra;
    draw();
    context.stroke();
  }
};

/** The outlines of marks, as matplotlib calls them; of radius about r around (x, y). */
function outline(context, marker, x, y, r) {
  const regular = (count, start, inner = 1) => {
    const all = inner === 1 ? count : 2 * count;
    for (let k = 0; k < all; k++) {
      const [angle, size] = [start + (2 * Math.PI * k) / all, k % 2 && inner !== 1 ? inner * r : r];
      context[k ? "lineTo" : "moveTo"](x + size * Math.cos(angle), y + size * Math.sin(angle));
    }
    context.closePath();
  };
  const up = -Math.PI / 2;
  context.beginPath();
  switch (marker) {
    case "s": return regular(4, Math.PI / 4);
    case "D": return regular(4, 0);
    case "d": return regular(4, 0);
    case "^": return regular(3, up);
    case "v": return regular(3, -up);
    case "<": return regular(3, Math.PI);
    case ">": return regular(3, 0);
    case "p": return regular(5, up);
    case "h": return regular(6, up);
    case "*": return regular(5, up, 0.42);
    case "P": return regular(4, 0, 0.5);
    case "X": return regular(4, Math.PI / 4, 0.5);
    default: return context.arc(x, y, 0.85 * r, 0, 2 * Math.PI);
  }
}

function mark(context, marker, x, y, r, fill, edge) {
  outline(context, marker, x, y, r);
  context.fillStyle = fill;
  context.strokeStyle = edge;
  context.lineWidth = 1.2;
  context.fill();
  context.stroke();
}

function ring(context, x, y, r, color) {
  outline(context, "o", x, y, r);
  context.strokeStyle = color;
  context.lineWidth = 1.6;
  context.stroke();
}

function arrow(context, x0, y0, x1, y1) {
  const angle = Math.atan2(y1 - y0, x1 - x0);
  haloed(context, 2.5, css("--alert"), "white", () => {
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    for (const turn of [-0.45, 0.45]) {
      context.moveTo(x1, y1);
      context.lineTo(x1 - 13 * Math.cos(angle + turn), y1 - 13 * Math.sin(angle + turn));
    }
  });
}
