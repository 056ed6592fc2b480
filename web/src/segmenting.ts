/** One segmentation in the worker. */

import type * as Module from "../pkg/cpu/amaes_wasm.js";
import { marks, resetMarks } from "./gpu-memory.ts";
import type { Neighbours } from "./neighbours.ts";
import type { PieceAnswer, SegmentRequest } from "./protocol.ts";
import { cancelled, device, feed, loaded, scope, turn, waiting } from "./state.ts";
import type { LabelStatistics, Phase, Segmentation } from "./types.ts";

export async function segment(id: number, request: SegmentRequest): Promise<Segmentation> {
  const { engine, memory, helpers } = device();
  const { model, files } = loaded(request.model);
  resetMarks();
  const timings = { read: 0, prepare: 0, network: 0, finish: 0 };
  const tell = (phase: Phase, fraction: number): void => {
    scope.postMessage({ id, phase, fraction });
  };
  // Each module has activations of its own: with a limit on them there is only one.
  const shared = request.settings.memoryLimit === undefined ? helpers : undefined;
  const settings = JSON.stringify(request.settings);
  const run = engine.begin(model, settings);
  try {
    const count = request.channels.length;
    for (const [i, channel] of request.channels.entries()) {
      const start = performance.now();
      await feed(id, channel, (bytes) => {
        tell("read", (i + run.push(bytes)) / count);
      });
      timings.read += performance.now() - start;
      const read = performance.now();
      run.endChannel();
      timings.prepare += performance.now() - read;
    }
    const prepared = performance.now();
    tell("network", 0);
    await turn();
    await infer(id, run, shared, { model: request.model, files, settings }, (f) =>
      tell("network", f),
    );
    const inferred = performance.now();
    timings.network = inferred - prepared;
    tell("finish", 0);
    run.assemble();
    const first = request.channels[0];
    if (first instanceof Blob) {
      await feed(id, first, (bytes) => void run.push(bytes));
    }
    const report = JSON.parse(run.measure()) as { labels: LabelStatistics[] };
    tell("finish", 0.5);
    const native = run.nativeFile() as Uint8Array<ArrayBuffer>;
    const conformed = run.preparedFile() as Uint8Array<ArrayBuffer>;
    timings.finish = performance.now() - inferred;
    for (const phase of Object.keys(timings) as (keyof typeof timings)[]) timings[phase] /= 1000;
    return {
      native,
      prepared: conformed,
      statistics: report.labels,
      timings,
      memory: { wasm: memory.buffer.byteLength, ...marks() },
    };
  } finally {
    // After a trap the module cannot free it either.
    if (!scope.amaesPanic) run.free();
  }
}

/** Runs the network, in other workers too where there are some. */
async function infer(
  id: number,
  run: Module.Run,
  helpers: ReturnType<typeof device>["helpers"],
  job: { model: number; files: { name: string; bytes: Uint8Array }[]; settings: string },
  tell: (fraction: number) => void,
): Promise<void> {
  const { module } = device();
  let [workers, count, shares] = [1, 0, new Float64Array()];
  const cut = (among: number) => {
    workers = among;
    count = run.plan(among);
    shares = new Float64Array(count);
  };
  const heard = (piece: number, fraction: number) => {
    shares[piece] = fraction;
    tell(shares.reduce((sum, share) => sum + share) / count);
  };
  const own = (piece: number, neighbours?: Neighbours) => {
    if (neighbours) waiting.set(id, () => neighbours.end());
    const progress = async (fraction: number) => {
      heard(piece, fraction);
      await turn();
      return !cancelled.has(id);
    };
    return run.runPiece(piece, progress, neighbours?.exchange);
  };
  cut(helpers?.threads ?? 1);
  if (helpers && count > 1) {
    const ready = await helpers.start();
    if (run.together() > ready) cut(ready);
    const add = ({ classes, logits }: PieceAnswer) => {
      const output = new module.PieceOutput(classes, logits);
      run.add(output);
      output.free();
    };
    const whole = { count, shape: [...run.shape()], workers, ...job };
    if (await helpers.run(run, whole, own, add, heard)) return;
    cut(1);
  }
  for (let piece = 0; piece < count; piece++) {
    const output = await own(piece);
    run.add(output);
    output.free();
  }
}
