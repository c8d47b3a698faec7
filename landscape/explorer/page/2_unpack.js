// Arrays as they are kept in the page: base64 of zlib of bytes, all first bytes of the numbers before all second ones.

async function inflated(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function unshuffled(bytes, size) {
  const count = bytes.length / size;
  const out = new Uint8Array(bytes.length);
  for (let byte = 0; byte < size; byte++) for (let i = 0; i < count; i++) out[i * size + byte] = bytes[byte * count + i];
  return out.buffer;
}

/** {kind: "doubles", shape, data}: numbers of 64 bits. */
async function doubles({ data }) {
  return new Float64Array(unshuffled(await inflated(data), 8));
}

/** {kind: "field", shape: [rows, columns], data}: numbers of 32 bits, whose bits were predicted from three neighbors. */
async function field({ shape, data }) {
  const [rows, columns] = shape;
  const bits = new Uint32Array(unshuffled(await inflated(data), 4));
  for (let i = 0; i < rows; i++) for (let j = 1; j < columns; j++) bits[i * columns + j] += bits[i * columns + j - 1];
  for (let k = columns; k < bits.length; k++) bits[k] += bits[k - columns];
  return new Float32Array(bits.buffer);
}

/** The content with each packed array in its place. */
async function unpacked(node) {
  if (node === null || typeof node !== "object") return node;
  if (node.kind === "doubles") return doubles(node);
  if (node.kind === "field") return field(node);
  if (Array.isArray(node)) return Promise.all(node.map(unpacked));
  const entries = Object.entries(node).map(async ([name, value]) => [name, await unpacked(value)]);
  return Object.fromEntries(await Promise.all(entries));
}
