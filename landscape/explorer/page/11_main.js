// The page: its content unpacked, its parts put together.

const MODELS = { grid: Grid, spectral: Spectral, neuron: Neuron };

async function main() {
  const content = await unpacked(JSON.parse(document.getElementById("content").textContent));
  const axes = content.axes.map((axis) => new Axis(axis));
  const model = new MODELS[content.model.kind](content.model, axes);
  model.units = content.units.map((unit, k) => ({ ...unit, ...content.model.units[k] }));
  const state = new State(content, model, axes);
  const palette = new Palette(content.palette);
  const get = (name) => document.getElementById(name);

  document.title = content.title;
  get("title").textContent = content.title;
  get("formula").textContent = content.formula;
  get("made").textContent = content.made;
  document.body.classList.toggle("edits", content.model.kind === "neuron");
  if (model.exact) get("map").classList.add("walks");
  get("hint").textContent = hint(model);
  if (matchMedia("(pointer: coarse)").matches) get("turn").textContent = "Drag to turn.";
  if (content.model.kind === "grid" && !content.model.squares) get("variable").querySelector("[value=gradient_norm]").remove();

  const views = { map: new HeatMap(get("map"), get("bar"), state, palette) };
  views.relief = new Relief([get("behind"), get("relief"), get("above")], state, palette);
  views.sections = [0, 1].map((along) => new Section(get(`section-${along}`), state, along));
  if (content.model.kind === "neuron") {
    views.output = new Output(get("output"), state);
    const { names } = content.model;
    if (names) get("names").textContent = `x is ${names[0]}, y is ${names[1]}. `;
    get("side").append(...document.querySelectorAll(".section")); // below the map are the data
  }
  legend(get("legend"), content.runs);
  const controls = new Controls(document, state, views);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    css.known.clear();
    state.change();
  });
  window.explorer = { state, views, controls }; // for whoever looks into it
  state.change();
}

/** What one does on the map, with a mouse or with fingers. */
function hint({ exact }) {
  const [walk, move] = matchMedia("(pointer: coarse)").matches
    ? ["Tap to walk down from there. ", "Two fingers move and zoom."]
    : ["Click to walk down from there. ", "Wheel zooms, drag moves."];
  return exact ? walk + move : move;
}

/** One entry for each label of the runs. */
function legend(list, runs) {
  const seen = new Map(runs.map((run) => [run.label, run]));
  for (const [label, run] of seen) {
    const item = document.createElement("li");
    const line = document.createElement("canvas");
    [line.width, line.height] = [84, 24];
    const context = line.getContext("2d");
    context.scale(2, 2);
    context.setLineDash(run.dashes.map((length) => 1.8 * length));
    haloed(context, 1.8, run.color, "white", () => {
      context.beginPath();
      context.moveTo(1, 6);
      context.lineTo(41, 6);
    });
    context.setLineDash([]);
    mark(context, run.marker, 21, 6, 4.5, run.color, "white");
    item.append(line, document.createTextNode(label));
    list.append(item);
  }
}

main().catch((error) => {
  document.getElementById("verdict").textContent = `This page cannot be shown here: ${error.message}`;
  throw error;
});
