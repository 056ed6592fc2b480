// The networks of the benchmark: weights with PyTorch's names, and the same graphs as ONNX.

import { Graph } from "./onnx.mjs";

/** Numbers of about a normal distribution, the same every time. */
function normal(seed) {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return () => next() + next() + next() + next() - 2;
}

class Weights {
  tensors = {};
  #random = normal(7);

  add(name, shape, scale) {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => this.#random() * scale);
    this.tensors[name] = [shape, values];
  }

  conv(name, inputs, outputs, edge) {
    this.add(`${name}.weight`, [outputs, inputs, edge, edge, edge], 1.7 / Math.sqrt(inputs * edge ** 3));
    this.add(`${name}.bias`, [outputs], 0.1);
  }
}

export const DILATIONS = [1, 2, 4, 8, 16, 8, 4, 2, 1];

/** A MeshNet like brainchop's tissue model: five channels, nine layers, three classes. */
export function meshnet(edge) {
  const weights = new Weights();
  const graph = new Graph();
  let [x, channels] = ["x", 1];
  const conv = (name, inputs, outputs, size, dilation) => {
    weights.conv(name, inputs, outputs, size);
    const names = ["weight", "bias"].map((part) => graph.weight(`${name}.${part}`, weights.tensors[`${name}.${part}`]));
    const pad = ((size - 1) / 2) * dilation;
    const attributes = { dilations: Array(3).fill(dilation), pads: Array(6).fill(pad), kernel_shape: Array(3).fill(size) };
    return graph.node("Conv", [x, ...names], attributes);
  };
  for (const [i, dilation] of DILATIONS.entries()) {
    x = graph.node("Relu", [conv(`convs.${i}`, channels, 5, 3, dilation)]);
    channels = 5;
  }
  x = conv(`convs.${DILATIONS.length}`, 5, 3, 1, 1);
  const layers = DILATIONS.map((dilation) => ({ channels: 5, dilation }));
  const spec = { in_channels: 1, out_channels: 3, layers, activation: "relu", norm: false, bias: true };
  const shape = [1, 1, edge, edge, edge];
  return { weights: weights.tensors, spec, shape, onnx: graph.file(shape, x, [1, 3, edge, edge, edge]) };
}

/** The segmentation U-Net B: 16 filters, five levels, three classes. */
export function unet(edge, filters = 16) {
  const weights = new Weights();
  const graph = new Graph();
  const named = (name) => graph.weight(name, weights.tensors[name]);
  const conv = (x, name, inputs, outputs, size) => {
    weights.conv(name, inputs, outputs, size);
    const pads = Array(6).fill((size - 1) / 2);
    return graph.node("Conv", [x, named(`${name}.weight`), named(`${name}.bias`)], { pads, kernel_shape: Array(3).fill(size) });
  };
  const block = (x, name, inputs, outputs) => {
    const y = conv(x, `${name}.conv`, inputs, outputs, 3);
    weights.add(`${name}.norm.weight`, [outputs], 1);
    weights.add(`${name}.norm.bias`, [outputs], 0.1);
    const norm = graph.node("InstanceNormalization", [y, named(`${name}.norm.weight`), named(`${name}.norm.bias`)], { epsilon: 1e-5 });
    return graph.node("LeakyRelu", [norm], { alpha: 0.01 });
  };
  const stage = (x, name, inputs, outputs) =>
    block(block(x, `${name}.conv1`, inputs, outputs), `${name}.conv2`, outputs, outputs);
  const skips = [];
  let x = stage("x", "encoder.in_conv", 1, filters);
  for (let level = 1; level <= 4; level++) {
    skips.push(x);
    const pooled = graph.node("MaxPool", [x], { kernel_shape: [2, 2, 2], strides: [2, 2, 2] });
    x = stage(pooled, `encoder.encoder_conv${level}`, filters << (level - 1), filters << level);
  }
  for (let level = 1; level <= 4; level++) {
    const [inputs, outputs] = [filters << (5 - level), filters << (4 - level)];
    const name = `pred_head.upsample${level}`;
    weights.add(`${name}.weight`, [inputs, outputs, 2, 2, 2], 1.7 / Math.sqrt(inputs));
    weights.add(`${name}.bias`, [outputs], 0.1);
    const up = graph.node("ConvTranspose", [x, named(`${name}.weight`), named(`${name}.bias`)], { kernel_shape: [2, 2, 2], strides: [2, 2, 2] });
    const joined = graph.node("Concat", [up, skips.pop()], { axis: 1 });
    x = stage(joined, `pred_head.decoder_conv${level}`, 2 * outputs, outputs);
  }
  x = conv(x, "pred_head.out_conv", filters, 3, 1);
  const shape = [1, 1, edge, edge, edge];
  return { weights: weights.tensors, shape, onnx: graph.file(shape, x, [1, 3, edge, edge, edge]) };
}
