// The relief: the same values as heights, in WebGL, in a box on a canvas behind it; marks and ticks on one above it.

const MESH = 161; // points along each side
const STRIDES = { fine: 1, coarse: 4 }; // from point to point; coarse while one drags or turns: a CPU draws triangles slowly
const REST = 200; // milliseconds after which it no longer turns

const VERTEX = `#version 300 es
in vec2 place; in float height; uniform mat4 camera; out float share; out float known; out vec3 position;
void main() {
  known = height < -0.5 ? 0.0 : 1.0;
  share = max(height, 0.0);
  position = vec3(place, share * HEIGHT);
  gl_Position = camera * vec4(position, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in float share; in float known; in vec3 position; uniform sampler2D palette; uniform vec3 eye; uniform float opacity; out vec4 color;
void main() {
  if (known < 0.999 || share > 1.0) discard; // not finite, or above the colors: cut off there
  vec3 normal = normalize(cross(dFdx(position), dFdy(position)));
  if (dot(normal, eye - position) < 0.0) normal = -normal;
  float light = 0.62 + 0.38 * max(0.0, dot(normal, normalize(vec3(-0.5, 0.6, 1.1))));
  vec3 ground = texture(palette, vec2(clamp(share, 0.004, 0.996), 0.5)).rgb * light + vec3(0.02);
  float steep = fwidth(share * LEVELS);
  float apart = abs(fract(share * LEVELS - 0.5) - 0.5) / max(steep, 1e-4);
  vec3 ink = share < 0.45 ? vec3(1.0) : vec3(0.1, 0.12, 0.2);
  float line = steep > 0.7 ? 0.0 : 1.0 - smoothstep(0.2, 1.1, apart);
  color = vec4(mix(ground, ink, 0.3 * line), 1.0) * opacity;
}`;

const HEIGHT = 0.6;
const LEVELS = 10; // lines of equal height
const BEHIND = 0.3; // how much is seen of a path behind the surface

class Relief {
  constructor([behind, canvas, above], state, palette) {
    Object.assign(this, { behind, canvas, above, state });
    this.turn = -0.62;
    this.tilt = 0.85;
    this.distance = 3.05;
    this.flags = new Map(); // of paths: what of them is hidden
    this.gl = canvas.getContext("webgl2", { antialias: true });
    if (!this.gl) return this.#missing("this browser draws no WebGL 2");
    try {
      this.#build(palette);
    } catch (error) {
      console.error(error);
      return this.#missing(`it could not be prepared (${error.message})`);
    }
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.#build(palette);
      this.lifted = this.drawn = null;
      this.draw();
    });
    state.listen(() => this.draw());
    this.#pointers();
  }

  #missing(why) {
    const textContent = `The relief is missing: ${why}. The map shows the same values.`;
    this.canvas.closest("figure").replaceChildren(Object.assign(document.createElement("p"), { className: "panel", textContent }));
  }

  #build(palette) {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX.replace("HEIGHT", HEIGHT.toFixed(3))], [gl.FRAGMENT_SHADER, FRAGMENT.replaceAll("LEVELS", LEVELS.toFixed(1))]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "place");
    gl.bindAttribLocation(program, 1, "height");
    gl.linkProgram(program);
    gl.useProgram(program);
    this.uniforms = Object.fromEntries(["camera", "eye", "opacity"].map((name) => [name, gl.getUniformLocation(program, name)]));

    const places = new Float32Array(2 * MESH * MESH);
    for (let r = 0, k = 0; r < MESH; r++) for (let c = 0; c < MESH; c++) places.set([(2 * c) / (MESH - 1) - 1, (2 * r) / (MESH - 1) - 1], 2 * k++);
    const buffer = (target, data, index, size) => {
      const made = gl.createBuffer();
      gl.bindBuffer(target, made);
      gl.bufferData(target, data, index === 1 ? gl.DYNAMIC_DRAW : gl.STATIC_DRAW);
      if (index === undefined) return made;
      gl.enableVertexAttribArray(index);
      gl.vertexAttribPointer(index, size, gl.FLOAT, false, 0, 0);
    };
    buffer(gl.ARRAY_BUFFER, places, 0, 2);
    this.meshes = Object.fromEntries(Object.entries(STRIDES).map(([name, stride]) => {
      const corners = triangles(stride);
      return [name, { stride, count: corners.length, corners: buffer(gl.ELEMENT_ARRAY_BUFFER, corners) }];
    }));
    this.heights = new Float32Array(MESH * MESH);
    buffer(gl.ARRAY_BUFFER, this.heights, 1, 1); // stays bound: it is the one that changes

    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, palette.count, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, palette.bytes);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    for (const way of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, way, gl.LINEAR);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.CULL_FACE);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  draw() {
    const { canvas, state } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
    const mesh = state.busy || this.moving ? "coarse" : "fine";
    const key = [state.key, mesh, css("--faint"), width, height, this.turn, this.tilt, this.distance].join(" ");
    if (key !== this.drawn) {
      this.drawn = key; // only the marks follow the cursor
      this.flags.clear();
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      this.#aim(width / height);
      this.#ground(width, height, this.meshes[mesh]);
      this.#box();
    }
    this.#marks();
  }

  /** The surface: what is seen from above; then, as through glass, the walls that are seen from below. */
  #ground(width, height, { stride, count, corners }) {
    const { gl, uniforms } = this;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!this.state.values) return;
    this.#lift(stride);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, corners);
    gl.uniformMatrix4fv(uniforms.camera, false, this.camera);
    gl.uniform3fv(uniforms.eye, this.eye);
    for (const [hidden, opacity] of [[gl.BACK, 1], [gl.FRONT, 0.4]]) {
      gl.cullFace(hidden);
      gl.depthMask(opacity === 1);
      gl[opacity === 1 ? "disable" : "enable"](gl.BLEND);
      gl.uniform1f(uniforms.opacity, opacity);
      gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_SHORT, 0);
    }
  }

  /** Heights at the points of the mesh that are drawn: shares of the colors; −1 where they are not finite. */
  #lift(stride) {
    const { width, shares, key } = this.state;
    const lifted = `${key} ${stride}`;
    if (lifted === this.lifted) return;
    this.lifted = lifted;
    for (let r = 0; r < MESH; r += stride) {
      for (let c = 0; c < MESH; c += stride) {
        const share = between(shares, width, c / (MESH - 1), r / (MESH - 1));
        this.heights[r * MESH + c] = Number.isFinite(share) ? share : -1;
      }
    }
    this.gl.bufferSubData(this.gl.ARRAY_BUFFER, 0, this.heights);
  }

  #aim(aspect) {
    const { turn, tilt, distance } = this;
    const target = [0, 0, 0.04];
    const away = [Math.sin(turn) * Math.cos(tilt), -Math.cos(turn) * Math.cos(tilt), Math.sin(tilt)];
    this.eye = away.map((part, k) => target[k] + distance * part);
    const side = [Math.cos(turn), Math.sin(turn), 0];
    const up = [away[1] * side[2] - away[2] * side[1], away[2] * side[0] - away[0] * side[2], away[0] * side[1] - away[1] * side[0]];
    const rows = [side, up, away];
    const [near, far, focal] = [0.1, 20, 1.8];
    const view = rows.map((row) => [...row, -row.reduce((sum, part, k) => sum + part * this.eye[k], 0)]);
    const [fx, fy] = aspect > 1 ? [focal / aspect, focal] : [focal, focal * aspect];
    const [a, b] = [(far + near) / (near - far), (2 * far * near) / (near - far)];
    const matrix = [view[0].map((v) => fx * v), view[1].map((v) => fy * v), view[2].map((v, k) => a * v + (k === 3 ? b : 0)), view[2].map((v) => -v)];
    this.matrix = matrix;
    this.camera = new Float32Array(16).map((_, k) => matrix[k % 4][Math.floor(k / 4)]);
  }

  /** Where a point of the window and a share of the colors are on the canvas. */
  #project(s, t, share) {
    const point = [2 * s - 1, 2 * t - 1, clamp(share, 0, 1) * HEIGHT, 1];
    const [x, y, , w] = this.matrix.map((row) => row.reduce((sum, part, k) => sum + part * point[k], 0));
    return [((x / w + 1) / 2) * this.canvas.clientWidth, ((1 - y / w) / 2) * this.canvas.clientHeight];
  }

  /** Where a point of the surface is on the canvas: at the height that the mesh has at its points. */
  #on(x, y) {
    const { axes, shares, width } = this.state;
    const [s, t] = [axes[0].share(x), axes[1].share(y)];
    if (!(s >= 0 && s <= 1 && t >= 0 && t <= 1)) return null;
    const share = between(shares, width, s, t);
    return Number.isFinite(share) ? this.#project(s, t, share) : null;
  }

  #marks() {
    const [context] = prepared(this.above);
    const { state } = this;
    if (!state.values) return;
    for (const run of state.runs) {
      this.#line(context, run, [run.x, run.y], reached(run.steps, state.step), run.color, state.own(run) ? 1 : 0.3);
    }
    if (state.path) {
      const points = state.path.points.slice(0, state.step + 1);
      this.#line(context, state.path, [0, 1].map((a) => points.map((point) => point[a])), points.length, css("--walk"), 1);
    }
    this.#minimizer(context);
    this.#pin(context);
    this.#base(context);
  }

  /** A path, and its end; faint where the surface is in front of it. */
  #line(context, path, [xs, ys], count, color, alpha) {
    const kept = distinct(this.state.axes, xs, ys, count);
    const points = kept.map((k) => ({ x: xs[k], y: ys[k], place: this.#on(xs[k], ys[k]) })).filter(({ place }) => place);
    if (!points.length) return;
    const flags = this.#flags(path, points, count);
    const parts = points.slice(1).map((to, k) => ({ from: points[k].place, to: to.place, hidden: flags[k] }));
    for (const hidden of [true, false]) {
      if (!parts.some((part) => part.hidden === hidden)) continue;
      context.globalAlpha = hidden ? BEHIND * alpha : alpha;
      haloed(context, 1.6, color, "rgba(255, 255, 255, 0.7)", () => {
        context.beginPath();
        parts.forEach((part, k) => {
          if (part.hidden !== hidden) return;
          if (parts[k - 1]?.hidden !== hidden) context.moveTo(...part.from);
          context.lineTo(...part.to);
        });
      });
    }
    context.globalAlpha = flags.at(-1) ? BEHIND * alpha : alpha;
    mark(context, "o", ...points.at(-1).place, 4.5, color, "white");
    context.globalAlpha = 1;
  }

  /** Whether each part of a path is hidden, and its end; kept until the surface is drawn anew: it takes long. */
  #flags(path, points, count) {
    const known = this.flags.get(path);
    if (known?.count === count) return known.flags;
    const flags = points.map((from, k) => {
      const to = points[k + 1] ?? from;
      return this.#hidden({ x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 });
    });
    this.flags.set(path, { count, flags });
    return flags;
  }

  /** As on the map; an outline where the surface is in front of it. */
  #minimizer(context) {
    const { minimizer, verdict, variable } = this.state;
    const place = minimizer && !verdict && variable !== "risk" && this.#on(minimizer.x, minimizer.y);
    if (!place) return;
    const [marker, size] = minimizer.interior ? ["*", 9] : ["o", 6];
    if (!this.#hidden(minimizer)) return mark(context, marker, ...place, size, css("--alert"), "white");
    haloed(context, 1.6, css("--alert"), "rgba(255, 255, 255, 0.7)", () => outline(context, marker, ...place, size));
  }

  /** Whether there is surface between a point of it and the eye. */
  #hidden({ x, y }) {
    const { shares, width, height, axes } = this.state;
    const cell = (v, count) => clamp(Math.floor(((v + 1) / 2) * count), 0, count - 1);
    const share = (u, v) => shares[cell(v, height) * width + cell(u, width)];
    const [s, t] = [2 * axes[0].share(x) - 1, 2 * axes[1].share(y) - 1];
    const ground = clamp(share(s, t), 0, 1) * HEIGHT;
    const [dx, dy, dz] = [this.eye[0] - s, this.eye[1] - t, this.eye[2] - ground];
    for (let way = 0.015; way < 1; way += 0.005) {
      const u = s + way * dx;
      const v = t + way * dy;
      const z = ground + way * dz;
      if (Math.abs(u) >= 1 || Math.abs(v) >= 1 || z >= HEIGHT) return false;
      const there = share(u, v);
      if (there <= 1 && there * HEIGHT > z + 0.02) return true;
    }
    return false;
  }

  #pin(context) {
    const { cursor, axes } = this.state;
    const top = cursor && this.#on(cursor.x, cursor.y);
    if (!top) return;
    const foot = this.#project(axes[0].share(cursor.x), axes[1].share(cursor.y), 0);
    haloed(context, 1, "rgba(20, 20, 30, 0.9)", "rgba(255, 255, 255, 0.6)", () => {
      context.beginPath();
      context.moveTo(...foot);
      context.lineTo(top[0], top[1]);
    });
    mark(context, "o", ...top, 4, "white", "black");
  }

  /** All edges of the box, which the surface may hide. */
  #box() {
    const [context] = prepared(this.behind);
    context.strokeStyle = css("--faint");
    context.lineWidth = 1;
    context.beginPath();
    const corners = [[0, 0], [1, 0], [1, 1], [0, 1]];
    corners.forEach((corner, k) => {
      const next = corners[(k + 1) % 4];
      for (const [from, to] of [[[...corner, 0], [...next, 0]], [[...corner, 1], [...next, 1]], [[...corner, 0], [...corner, 1]]]) {
        context.moveTo(...this.#project(...from));
        context.lineTo(...this.#project(...to));
      }
    });
    context.stroke();
  }

  /** The edges of the box that nothing hides, with ticks: two of the ground, and one upright at the left. */
  #base(context) {
    const { axes } = this.state;
    const [s, t] = [Math.sin(this.turn) > 0 ? 1 : 0, Math.cos(this.turn) > 0 ? 0 : 1]; // the corner in front
    const sides = [[1 - s, t], [s, 1 - t]].map((corner) => [corner, this.#project(...corner, 0)[0]]);
    const left = sides[0][1] < sides[1][1] ? sides[0][0] : sides[1][0];
    context.strokeStyle = css("--frame");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(...this.#project(1 - s, t, 0));
    context.lineTo(...this.#project(s, t, 0));
    context.lineTo(...this.#project(s, 1 - t, 0));
    context.moveTo(...this.#project(...left, 0));
    context.lineTo(...this.#project(...left, 1));
    context.stroke();
    context.font = FONT;
    context.fillStyle = css("--ink");
    [context.textAlign, context.textBaseline] = ["center", "middle"];
    const [off, far] = [(side, by) => (side ? 1 + by : -by), 0.2];
    const marks = axes.map((axis) => axisMarks(axis, 6).filter(([share]) => share > 0.06 && share < 0.94)); // not in corners
    for (const [share, text] of marks[0]) context.fillText(text, ...this.#project(share, off(t, 0.07), 0));
    for (const [share, text] of marks[1]) context.fillText(text, ...this.#project(off(s, 0.07), share, 0));
    context.fillText(axes[0].label, ...this.#project(0.5, off(t, far), 0));
    context.fillText(axes[1].label, ...this.#project(off(s, far), 0.5, 0));
    context.textAlign = "right";
    let last = Infinity;
    for (const [share, text] of barMarks(this.state, 4)) {
      const [x, y] = this.#project(...left, share);
      if (y > last - 13) continue;
      context.fillText(text, Math.max(x - 6, context.measureText(text).width), y);
      last = y;
    }
  }

  #pointers() {
    const { above } = this;
    const down = new Map();
    above.addEventListener("pointerdown", (event) => {
      down.set(event.pointerId, event);
      above.setPointerCapture(event.pointerId);
    });
    above.addEventListener("pointermove", (event) => {
      const before = down.get(event.pointerId);
      if (!before) return;
      if (down.size === 1) this.rotate((before.clientX - event.clientX) / 160, (event.clientY - before.clientY) / 160);
      down.set(event.pointerId, event);
    });
    above.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
      if (!turns[event.key]) return;
      event.preventDefault();
      this.rotate(...turns[event.key]);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) above.addEventListener(end, (event) => down.delete(event.pointerId));
    above.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.distance = clamp(this.distance * Math.exp(clamp(event.deltaY, -120, 120) / 600), 1.8, 6);
      this.#moved();
    }, { passive: false });
  }

  rotate(turn, tilt) {
    this.turn += turn;
    this.tilt = clamp(this.tilt + tilt, 0.05, 1.5);
    this.#moved();
  }

  #moved() {
    clearTimeout(this.moving);
    this.moving = setTimeout(() => {
      this.moving = null;
      this.draw();
    }, REST);
    this.draw();
  }
}

/** Of the mesh's points, those at the corners of triangles over every `stride`-th row and column. */
function triangles(stride) {
  const corners = [];
  for (let r = 0; r + stride < MESH; r += stride) {
    for (let c = 0; c + stride < MESH; c += stride) {
      const k = r * MESH + c;
      const up = k + stride * MESH;
      corners.push(k, k + stride, up, k + stride, up + stride, up);
    }
  }
  return new Uint16Array(corners);
}
