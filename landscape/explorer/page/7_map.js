// The map: colors, contour lines, runs, critical points, the minimizer, the cursor; pointer and wheel.

class HeatMap {
  constructor(canvas, bar, state, palette) {
    Object.assign(this, { canvas, bar, state, palette });
    [this.picture, this.ground, this.strip] = ["canvas", "canvas", "canvas"].map((tag) => document.createElement(tag));
    [this.strip.width, this.strip.height] = [palette.count, 1];
    const colors = new ImageData(new Uint8ClampedArray(palette.pixels.buffer), palette.count, 1);
    this.strip.getContext("2d").putImageData(colors, 0, 0);
    state.listen(() => this.draw());
    new ResizeObserver(() => state.change()).observe(canvas);
    this.#pointers();
  }

  draw() {
    const [context, width, height] = prepared(this.canvas);
    const frame = new Frame(context, LEFT, 8, width - LEFT - RIGHT, height - 46);
    const [horizontal, vertical] = this.state.axes;
    this.frame = frame;
    if (this.state.values) {
      this.#lay(frame);
      frame.clipped(() => {
        context.drawImage(this.ground, 0, 0, width, height);
        this.#runs(context, frame);
        this.#path(context, frame);
        this.#points(context, frame);
        this.#minimizer(context, frame);
        this.#cursor(context, frame);
      });
    } else {
      this.#unknown(context, frame);
    }
    frame.border();
    frame.horizontal(axisMarks(horizontal, Math.max(3, width / 80)), horizontal.label);
    frame.vertical(axisMarks(vertical, Math.max(3, height / 70)), vertical.label);
    this.#bar();
  }

  #unknown(context, frame) {
    context.fillStyle = css("--ink");
    [context.font, context.textAlign, context.textBaseline] = [FONT, "center", "middle"];
    context.fillText("not known at these strengths", frame.x(0.5), frame.y(0.5), frame.width);
  }

  /** Colors and lines, which stay as they are while the cursor moves. */
  #lay(frame) {
    const { ground, canvas, state, picture } = this;
    const key = [state.key, state.contours, state.busy, canvas.width, canvas.height].join(" ");
    if (key === this.laid) return;
    this.laid = key;
    [ground.width, ground.height] = [canvas.width, canvas.height];
    const context = ground.getContext("2d");
    context.setTransform(this.canvas.getContext("2d").getTransform());
    this.#paint();
    const own = new Frame(context, frame.left, frame.top, frame.width, frame.height);
    own.clipped(() => {
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, frame.left, frame.top, frame.width, frame.height);
      if (state.contours) this.#lines(context, own);
    });
  }

  #paint() {
    const { width, height, shares } = this.state;
    const { picture, palette } = this;
    const context = picture.getContext("2d");
    if (this.image?.width !== width) {
      [picture.width, picture.height] = [width, height];
      this.image = context.createImageData(width, height);
    }
    const pixels = new Uint32Array(this.image.data.buffer);
    const last = palette.count - 1;
    for (let r = 0, k = 0; r < height; r++) {
      for (let c = 0, at = (height - 1 - r) * width; c < width; c++, k++, at++) {
        const share = shares[k];
        if (share >= 0) pixels[at] = palette.pixels[share < 1 ? Math.round(share * last) : last];
        else if (share < 0) pixels[at] = palette.pixels[0];
        else pixels[at] = (r + c) % 8 < 2 ? 0xff787878 : 0xffcdcdcd; // hatched: not finite
      }
    }
    context.putImageData(this.image, 0, 0);
  }

  #lines(context, frame) {
    const { width, height, values, scale, busy } = this.state;
    const every = Math.max(1, Math.floor(width / (busy ? 80 : 130))); // finer ones look no better
    const [columns, rows] = [Math.floor((width - 1) / every), Math.floor((height - 1) / every)];
    const numbers = [];
    const place = (i, j) => [frame.x((i * every + 0.5) / width), frame.y((j * every + 0.5) / height)];
    const levels = this.state.levels();
    const texts = apart(levels);
    const found = levels.map(() => []);
    for (let j = 0; j < rows; j++) {
      for (let i = 0, k = j * every * width; i < columns; i++, k += every) {
        const a = values[k];
        const b = values[k + every];
        const c = values[k + every * (width + 1)];
        const d = values[k + every * width];
        if (!Number.isFinite(a + b + c + d)) continue;
        const low = Math.min(a, b, c, d);
        const high = Math.max(a, b, c, d);
        for (let l = 0; l < levels.length; l++) {
          if (low <= levels[l] && levels[l] < high) found[l].push(...crossings(levels[l], i, j, [a, b, c, d], place));
        }
      }
    }
    for (const [l, segments] of found.entries()) {
      if (!segments.length) continue;
      const level = levels[l];
      const dark = scale.share(level) < 0.55;
      context.strokeStyle = dark ? "rgba(255, 255, 255, 0.6)" : "rgba(20, 20, 30, 0.45)";
      context.lineWidth = 1;
      context.beginPath();
      for (const [x0, y0, x1, y1] of segments) {
        context.moveTo(x0, y0);
        context.lineTo(x1, y1);
      }
      context.stroke();
      this.#number(context, frame, texts[l], segments, dark, numbers);
    }
  }

  /** The level's number on its line, as far as it can be from the numbers that are there, the minimizer and the border. */
  #number(context, frame, text, segments, dark, numbers) {
    const { minimizer, verdict } = this.state;
    const taken = minimizer && !verdict ? [...numbers, this.place(frame, minimizer.x, minimizer.y)] : numbers;
    const room = ([x, y]) => {
      const border = 1.5 * Math.min(x - frame.left, frame.left + frame.width - x, 1.5 * (y - frame.top), 1.5 * (frame.top + frame.height - y));
      return Math.min(border, 70, ...taken.map(([a, b]) => Math.hypot(x - a, 1.6 * (y - b))));
    };
    const tried = segments.filter((_, k) => k % Math.ceil(segments.length / 60) === 0);
    const [x, y] = tried.reduce((best, segment) => (room(segment) > room(best) ? segment : best));
    if (room([x, y]) < 26) return;
    numbers.push([x, y]);
    context.font = "11px system-ui, sans-serif";
    [context.textAlign, context.textBaseline] = ["center", "middle"];
    context.lineWidth = 3;
    context.strokeStyle = dark ? "rgba(10, 15, 30, 0.75)" : "rgba(255, 255, 255, 0.75)";
    context.strokeText(text, x, y);
    context.fillStyle = dark ? "white" : "#1a1a1a";
    context.fillText(text, x, y);
  }

  place(frame, x, y) {
    const [horizontal, vertical] = this.state.axes;
    return [frame.x(horizontal.share(x)), frame.y(vertical.share(y))];
  }

  #runs(context, frame) {
    for (const run of this.state.runs) {
      const count = reached(run.steps, this.state.step);
      if (!count) continue;
      const own = this.state.own(run);
      context.globalAlpha = own ? 1 : 0.3;
      context.setLineDash(run.dashes.map((length) => 1.8 * length));
      const places = distinct(this.state.axes, run.x, run.y, count).map((k) => this.place(frame, run.x[k], run.y[k]));
      this.#line(context, places, 1.8, run.color);
      context.setLineDash([]);
      mark(context, run.marker, ...places.at(-1), 5, run.color, "white");
      context.globalAlpha = 1;
    }
  }

  #line(context, places, width, color) {
    context.lineJoin = "round";
    haloed(context, width, color, "rgba(255, 255, 255, 0.85)", () => {
      context.beginPath();
      places.forEach(([x, y], k) => context[k ? "lineTo" : "moveTo"](x, y));
    });
  }

  #path(context, frame) {
    const { path, step } = this.state;
    if (!path) return;
    const places = path.points.slice(0, step + 1).map(([x, y]) => this.place(frame, x, y));
    this.#line(context, places, 2, css("--walk"));
    for (const [x, y] of places) {
      context.fillStyle = css("--walk");
      context.beginPath();
      context.arc(x, y, 2.2, 0, 2 * Math.PI);
      context.fill();
    }
    mark(context, "o", ...places.at(-1), 6, css("--walk"), "white");
  }

  #points(context, frame) {
    for (const point of this.state.points.filter((own) => this.state.own(own))) {
      const kind = this.state.content.kinds[point.kind];
      mark(context, kind.marker, ...this.place(frame, point.x, point.y), 1.3 * kind.size, "white", "black");
    }
  }

  #minimizer(context, frame) {
    const { minimizer, verdict, axes } = this.state;
    if (verdict) {
      const [w, b] = verdict.direction;
      const [dx, dy] = [(w / (axes[0].end - axes[0].start)) * frame.width, (-b / (axes[1].end - axes[1].start)) * frame.height];
      const length = (0.4 * Math.min(frame.width, frame.height)) / Math.hypot(dx, dy);
      const [x, y] = [frame.x(0.5), frame.y(0.5)];
      arrow(context, x, y, x + length * dx, y + length * dy);
    } else if (minimizer && this.state.variable !== "risk") {
      const [x, y] = this.place(frame, minimizer.x, minimizer.y);
      mark(context, minimizer.interior ? "*" : "o", x, y, minimizer.interior ? 10 : 6, css("--alert"), "white");
    }
  }

  #cursor(context, frame) {
    const { cursor } = this.state;
    if (!cursor) return;
    const [x, y] = this.place(frame, cursor.x, cursor.y).map((v) => Math.round(v) + 0.5);
    haloed(context, 1, "rgba(20, 20, 30, 0.9)", "rgba(255, 255, 255, 0.55)", () => {
      context.beginPath();
      context.moveTo(x, frame.top);
      context.lineTo(x, frame.top + frame.height);
      context.moveTo(frame.left, y);
      context.lineTo(frame.left + frame.width, y);
    });
  }

  #bar() {
    const [context, width, height] = prepared(this.bar);
    const frame = new Frame(context, LEFT, 2, width - LEFT - RIGHT, height - 40);
    const { scale } = this.state;
    if (!(this.state.values && scale.least < Infinity)) return; // nothing is finite
    context.drawImage(this.strip, frame.left, frame.top, frame.width, frame.height);
    frame.border();
    if (scale.over) this.#beyond(context, frame);
    frame.horizontal(barMarks(this.state), `${this.state.name}${this.state.log ? ", log scale" : ""}`);
  }

  /** A point at the bar's end: its last color stands for all above. */
  #beyond(context, { left, top, width, height }) {
    context.fillStyle = this.palette.css(1);
    context.strokeStyle = css("--frame");
    context.beginPath();
    context.moveTo(left + width, top - 0.5);
    context.lineTo(left + width + 9, top + height / 2);
    context.lineTo(left + width, top + height + 0.5);
    context.fill();
    context.stroke();
  }

  // ---- what one does with it

  #position(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.frame.share(event.clientX - box.left, event.clientY - box.top);
  }

  #show(event) {
    const [s, t] = this.#position(event);
    if (s < 0 || s > 1 || t < 0 || t > 1) return;
    const [horizontal, vertical] = this.state.axes;
    this.state.change({ cursor: { x: horizontal.at(s), y: vertical.at(t) } });
  }

  #zoom(factor, s, t) {
    this.state.axes[0].zoom(factor, s, this.state.model.limit);
    this.state.axes[1].zoom(factor, t, this.state.model.limit);
    this.settle();
  }

  /** Coarse now, fine a little later. */
  settle() {
    this.state.change({ busy: true });
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.state.change({ busy: false }), 160);
  }

  #pointers() {
    const { canvas, state } = this;
    const down = new Map();
    let [moved, panning] = [0, false];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button > 1) return;
      down.set(event.pointerId, event);
      canvas.setPointerCapture(event.pointerId);
      [moved, panning] = [0, event.shiftKey || event.button === 1];
      if (event.pointerType !== "mouse") this.#show(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = down.get(event.pointerId);
      if (!before) return this.#show(event);
      moved += Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
      if (down.size === 2) this.#pinch(down, event);
      else if (event.pointerType === "mouse" || panning) this.#pan(before, event);
      else this.#show(event);
      down.set(event.pointerId, event);
    });
    const ended = (event) => {
      const alone = down.size === 1;
      down.delete(event.pointerId);
      if (event.type === "pointerup" && event.button === 0 && alone && moved < 5) this.#clicked(event);
    };
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(end, ended);
    // Two fingers zoom and move the map, and not the page.
    for (const touch of ["touchstart", "touchmove"]) {
      canvas.addEventListener(touch, (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#zoom(Math.exp(clamp(event.deltaY, -120, 120) / 400), ...this.#position(event));
    }, { passive: false });
  }

  #pan(before, event) {
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    this.state.axes[0].pan(-dx / this.frame.width, this.state.model.limit);
    this.state.axes[1].pan(dy / this.frame.height, this.state.model.limit);
    this.settle();
  }

  #pinch(down, event) {
    const others = [...down.values()].filter((other) => other.pointerId !== event.pointerId);
    const apart = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    const factor = apart(down.get(event.pointerId), others[0]) / Math.max(20, apart(event, others[0]));
    const [a, b] = [this.#position(event), this.#position(others[0])];
    const before = down.get(event.pointerId); // the other finger rests while this one is told of
    this.state.axes[0].pan((before.clientX - event.clientX) / 2 / this.frame.width, this.state.model.limit);
    this.state.axes[1].pan((event.clientY - before.clientY) / 2 / this.frame.height, this.state.model.limit);
    this.#zoom(factor, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
  }

  #clicked(event) {
    const [s, t] = this.#position(event);
    if (s < 0 || s > 1 || t < 0 || t > 1) return;
    this.#show(event);
    const [horizontal, vertical] = this.state.axes;
    this.state.descend(horizontal.at(s), vertical.at(t));
  }
}

/** [share, text] of round values along the colors, and of the least. */
function barMarks(state, count = 5) {
  const levels = [state.scale.least, ...state.levels(count)];
  const texts = apart(levels);
  return levels.map((level, k) => [state.scale.share(level), texts[k]]).filter(([share]) => share >= 0 && share <= 1);
}

/** The parts of a level's line in one cell with these values at its corners, counterclockwise: [x0, y0, x1, y1] each. */
function crossings(level, i, j, values, place) {
  const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
  const above = values.map((value) => value - level);
  const found = [];
  for (let k = 0; k < 4; k++) {
    const [from, to] = [above[k], above[(k + 1) % 4]];
    if (from > 0 === to > 0) continue;
    const share = from / (from - to);
    const [[a, b], [c, d]] = [corners[k], corners[(k + 1) % 4]];
    found.push(place(a + share * (c - a), b + share * (d - b)));
  }
  if (found.length === 2) return [[...found[0], ...found[1]]];
  const middle = above.reduce((sum, v) => sum + v, 0) > 0; // a saddle: by the value in its middle
  const pairs = middle === above[0] > 0 ? [[0, 1], [2, 3]] : [[0, 3], [1, 2]];
  return pairs.map(([a, b]) => [...found[a], ...found[b]]);
}
