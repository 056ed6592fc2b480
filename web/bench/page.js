// The engines, in the page of the benchmark. Each warms up once.

const data = async (name) => (await fetch(`/bench/data/${encodeURIComponent(name)}`)).arrayBuffer();
const named = async (name) => new File([await data(name)], name);

/** The same input for all. */
function input(shape) {
  const length = shape.reduce((a, b) => a * b);
  return Float32Array.from({ length }, (_, i) => Math.sin(i * 0.37) + ((i * 7919) % 101) / 101);
}

/** Seconds of each round of `run`, after one more, and what the last gave. */
async function timed(rounds, run) {
  const began = performance.now();
  let output = await run();
  const first = (performance.now() - began) / 1000;
  // What takes this long gains nothing from being warm.
  if (first > 20) return { seconds: [first], output };
  const seconds = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    output = await run();
    seconds.push((performance.now() - start) / 1000);
  }
  return { seconds, output };
}

async function open(options, name, mesh) {
  const { Amaes } = await import("/amaes.js");
  const amaes = await Amaes.create(options);
  const files = [await named(`${name}.safetensors`), ...(mesh ? [await named(`${name}.json`)] : [])];
  return { amaes, model: await amaes.loadModel(files) };
}

globalThis.engines = {
  async amaes({ name, shape, mesh, rounds, backend, wasmUrl }) {
    const { amaes, model } = await open({ backend, threads: 1, wasmUrl }, name, mesh);
    const { seconds, output } = await timed(rounds, () => model.forward(input(shape), shape));
    amaes.dispose();
    return { seconds, output: [...output] };
  },

  /** Two workers: on the tiles of one block, or on a patch each (then half the time counts). */
  async shared({ name, shape, mesh, rounds }) {
    const { Amaes } = await import("/amaes.js");
    if (mesh) {
      const amaes = await Amaes.create({ backend: "cpu", threads: 2 });
      const model = await amaes.loadModel([await named(`${name}.amaes`)]);
      const image = await named(`${name}.nii`);
      const seconds = [];
      for (let i = 0; i <= rounds; i++) {
        const { timings } = await model.segment(image);
        if (i > 0) seconds.push(timings.network);
      }
      amaes.dispose();
      return { seconds, output: null };
    }
    const two = [await open({ backend: "cpu", threads: 1 }, name, mesh), await open({ backend: "cpu", threads: 1 }, name, mesh)];
    const { seconds } = await timed(rounds, () =>
      Promise.all(two.map(({ model }) => model.forward(input(shape), shape))),
    );
    for (const { amaes } of two) amaes.dispose();
    return { seconds: seconds.map((s) => s / 2), output: null };
  },

  async ort({ name, shape, rounds, provider }) {
    const file = provider === "webgpu" ? "ort.webgpu.bundle.min.mjs" : "ort.wasm.bundle.min.mjs";
    const ort = await import(`/bench/ort/${file}`);
    ort.env.wasm.wasmPaths = `${location.origin}/bench/ort/`;
    ort.env.wasm.numThreads = navigator.hardwareConcurrency;
    const session = await ort.InferenceSession.create(new Uint8Array(await data(`${name}.onnx`)), {
      executionProviders: [provider],
    });
    const { seconds, output } = await timed(rounds, async () => {
      const result = await session.run({ x: new ort.Tensor("float32", input(shape), shape) });
      return Object.values(result)[0].getData();
    });
    await session.release();
    return { seconds, output: [...output] };
  },

  async tfjs({ name, shape, mesh, rounds }) {
    const { tf } = globalThis;
    tf.wasm.setWasmPaths("/bench/tfjs-wasm-out/");
    await tf.setBackend("wasm");
    await tf.ready();
    const weights = read(await data(`${name}.safetensors`));
    // Kernels from [out, in, ...] to [..., in, out].
    const kernel = (n, order = [2, 3, 4, 1, 0]) =>
      tf.tidy(() => tf.transpose(tf.tensor(weights[n].values, weights[n].shape), order));
    const vector = (n) => tf.tensor1d(weights[n].values);
    const cache = {};
    // Outside the tidy that ends each round.
    const of = (n, make) => (cache[n] ??= tf.keep(make(n)));
    const conv = (x, n, dilation = 1) =>
      tf.add(tf.conv3d(x, of(`${n}.weight`, kernel), 1, "same", "NDHWC", dilation), of(`${n}.bias`, vector));
    const graph = mesh ? meshnet : unet;
    function meshnet(x) {
      [1, 2, 4, 8, 16, 8, 4, 2, 1].forEach((d, i) => (x = tf.relu(conv(x, `convs.${i}`, d))));
      return conv(x, "convs.9");
    }
    function block(x, n) {
      const y = conv(x, `${n}.conv`);
      const { mean, variance } = tf.moments(y, [1, 2, 3], true);
      const scaled = tf.mul(tf.mul(tf.sub(y, mean), tf.rsqrt(tf.add(variance, 1e-5))), of(`${n}.norm.weight`, vector));
      return tf.leakyRelu(tf.add(scaled, of(`${n}.norm.bias`, vector)), 0.01);
    }
    // `conv3dTranspose` of the wasm backend (4.22) gives other numbers than that of the CPU backend.
    function upsample(x, n) {
      const [b, d, h, w, inputs] = x.shape;
      const filter = of(`${n}.weight`, (n) => kernel(n, [0, 2, 3, 4, 1]));
      const outputs = filter.shape[4];
      const y = tf.matMul(tf.reshape(x, [-1, inputs]), tf.reshape(filter, [inputs, 8 * outputs]));
      const planes = tf.transpose(tf.reshape(y, [b * d, h * w, 2, 4 * outputs]), [0, 2, 1, 3]);
      const rows = tf.transpose(tf.reshape(planes, [b * d * 2 * h, w, 2, 2 * outputs]), [0, 2, 1, 3]);
      return tf.add(tf.reshape(rows, [b, 2 * d, 2 * h, 2 * w, outputs]), of(`${n}.bias`, vector));
    }
    function unet(x) {
      const stage = (x, n) => block(block(x, `${n}.conv1`), `${n}.conv2`);
      const skips = [(x = stage(x, "encoder.in_conv"))];
      for (let i = 1; i <= 4; i++) {
        skips.push((x = stage(tf.maxPool3d(x, 2, 2, "valid"), `encoder.encoder_conv${i}`)));
      }
      skips.pop();
      for (let i = 1; i <= 4; i++) {
        const up = upsample(x, `pred_head.upsample${i}`);
        x = stage(tf.concat([up, skips.pop()], 4), `pred_head.decoder_conv${i}`);
      }
      return conv(x, "pred_head.out_conv");
    }
    const [b, , d, h, w] = shape;
    const { seconds, output } = await timed(rounds, async () => {
      const y = tf.tidy(() => tf.transpose(graph(tf.tensor(input(shape), [b, d, h, w, 1])), [0, 4, 1, 2, 3]));
      const values = await y.data();
      y.dispose();
      return values;
    });
    return { seconds, output: [...output] };
  },
};

/** Tensors of a safetensors file. */
function read(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  return Object.fromEntries(
    Object.entries(header).map(([name, { shape, data_offsets: [from, to] }]) => [
      name,
      { shape, values: new Float32Array(buffer.slice(8 + length + from, 8 + length + to)) },
    ]),
  );
}
