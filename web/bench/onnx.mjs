// Just enough of ONNX's protobuf to write a graph (onnx.proto, IR version 8, opset 17).

const utf8 = new TextEncoder();

function varint(n) {
  const out = [];
  let v = BigInt(n);
  do {
    const low = Number(v & 127n);
    v >>= 7n;
    out.push(v > 0n ? low | 128 : low);
  } while (v > 0n);
  return Uint8Array.from(out);
}

const join = (parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
const number = (field, n) => join([varint(field << 3), varint(n)]);
const bytes = (field, value) => join([varint((field << 3) | 2), varint(value.length), value]);
const text = (field, value) => bytes(field, utf8.encode(value));
const real = (field, value) => {
  const out = Buffer.alloc(4);
  out.writeFloatLE(value);
  return join([varint((field << 3) | 5), out]);
};

function attribute(name, value) {
  if (Array.isArray(value)) {
    return join([text(1, name), ...value.map((n) => number(8, n)), number(20, 7)]);
  }
  if (Number.isInteger(value)) return join([text(1, name), number(3, value), number(20, 2)]);
  return join([text(1, name), real(2, value), number(20, 1)]);
}

const tensor = (name, shape, values) =>
  join([
    ...shape.map((n) => number(1, n)),
    number(2, 1),
    text(8, name),
    bytes(9, Buffer.from(values.buffer, values.byteOffset, values.byteLength)),
  ]);

const valueInfo = (name, shape) => {
  const dims = join(shape.map((n) => bytes(1, number(1, n))));
  return join([text(1, name), bytes(2, bytes(1, join([number(1, 1), bytes(2, dims)])))]);
};

/** A graph that grows node by node. */
export class Graph {
  #nodes = [];
  #weights = [];
  #next = 0;

  /** Adds a node; gives the name of its output. */
  node(kind, inputs, attributes = {}) {
    const output = `v${this.#next++}`;
    const list = Object.entries(attributes).map(([name, value]) => bytes(5, attribute(name, value)));
    this.#nodes.push(
      join([...inputs.map((i) => text(1, i)), text(2, output), text(4, kind), ...list]),
    );
    return output;
  }

  weight(name, [shape, values]) {
    this.#weights.push(tensor(name, shape, values));
    return name;
  }

  /** The file, for one input `x`. */
  file(inputShape, output, outputShape) {
    const graph = join([
      ...this.#nodes.map((node) => bytes(1, node)),
      text(2, "bench"),
      ...this.#weights.map((weight) => bytes(5, weight)),
      bytes(11, valueInfo("x", inputShape)),
      bytes(12, valueInfo(output, outputShape)),
    ]);
    return join([number(1, 8), bytes(7, graph), bytes(8, join([text(1, ""), number(2, 17)]))]);
  }
}
