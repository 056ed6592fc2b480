/**
 * Workers that share a segmentation on the CPU: each has a module of its own and runs some of the
 * pieces, so that no memory has to be shared and any page can use all cores.
 */

import type * as Module from "../pkg/cpu/amaes_wasm.js";
import { cancelled, WorkerChannel } from "./channel.ts";
import type { Build, NamedBytes, PieceAnswer } from "./protocol.ts";

interface Helper {
  channel: WorkerChannel;
  /** Its numbers for the models of the worker that is helped. */
  models: Map<number, number>;
}

/** Ends what runs, with what was thrown first. */
type Fail = (thrown: unknown) => void;

/** Milliseconds that a helper is given to begin; without it the rest only takes longer. */
const PATIENCE = 10_000;

export class Helpers {
  #helpers: Helper[] = [];

  constructor(
    private readonly build: Build,
    private readonly compiled: WebAssembly.Module,
    private readonly count: number,
  ) {}

  /** Workers that may run pieces at once, the caller's own among them. */
  get threads(): number {
    return this.count + 1;
  }

  async #start(): Promise<void> {
    const missing = this.count - this.#helpers.length;
    const started = Array.from({ length: missing }, async (): Promise<Helper | undefined> => {
      // The script of this worker.
      const channel = new WorkerChannel(new Worker(self.location.href, { type: "module" }));
      try {
        await channel.begin(PATIENCE);
        await channel.ask({ op: "open", build: this.build, module: this.compiled });
        return { channel, models: new Map() };
      } catch {
        // With fewer of them it only takes longer.
        channel.close(cancelled());
        return undefined;
      }
    });
    const helpers = await Promise.all(started);
    this.#helpers.push(...helpers.filter((helper) => helper !== undefined));
  }

  /**
   * Runs all pieces of a run and adds their outputs to it. `own` runs a piece here; `tell` hears
   * the share of each piece that is done.
   */
  async run(
    run: Module.Run,
    job: { count: number; model: number; files: NamedBytes[]; settings: string },
    own: (piece: number) => Promise<Module.PieceOutput>,
    add: (output: PieceAnswer) => void,
    tell: (piece: number, fraction: number) => void,
  ): Promise<void> {
    if (job.count > 1) await this.#start();
    const abort = new AbortController();
    let failure: { thrown: unknown } | undefined;
    const fail: Fail = (thrown) => {
      failure ??= { thrown };
      abort.abort();
    };
    const order = new InOrder(add);
    // Pieces of helpers that failed come back to be run here.
    const left = Array.from({ length: job.count }, (_, piece) => piece);
    const shape = [...run.shape()];
    const others = this.#helpers.map((helper) =>
      this.#share(helper, run, { ...job, shape }, left, order, abort.signal, tell),
    );
    const here = async () => {
      for (;;) {
        const piece = left.shift();
        if (piece === undefined) return;
        const output = await own(piece);
        order.put(piece, output.classes, output.logits);
        output.free();
        tell(piece, 1);
      }
    };
    await here().catch(fail);
    await Promise.all(others);
    // What a helper gave back when nothing was left here.
    if (!failure) await here().catch(fail);
    this.#helpers = this.#helpers.filter(({ channel }) => channel.alive);
    if (failure) throw failure.thrown;
  }

  /** Runs pieces in one helper as long as there are some. */
  async #share(
    helper: Helper,
    run: Module.Run,
    job: { model: number; files: NamedBytes[]; settings: string; shape: number[] },
    left: number[],
    order: InOrder,
    signal: AbortSignal,
    tell: (piece: number, fraction: number) => void,
  ): Promise<void> {
    const { channel, models } = helper;
    let piece: number | undefined;
    try {
      let model = models.get(job.model);
      if (model === undefined) {
        ({ model } = await channel.ask({ op: "load", files: job.files }));
        models.set(job.model, model);
      }
      await channel.ask({ op: "help", model, settings: job.settings, shape: job.shape });
      while (!signal.aborted && (piece = left.shift()) !== undefined) {
        const current = piece;
        const input = run.pieceInput(current);
        const { values, shape } = input;
        input.free();
        const { classes, logits } = await channel.ask(
          { op: "piece", piece: current, values, shape: [...shape] },
          {
            signal,
            transfer: [values.buffer],
            onProgress: ({ fraction }) => tell(current, fraction),
          },
        );
        order.put(current, classes, logits);
        tell(current, 1);
      }
    } catch {
      if (piece !== undefined) left.unshift(piece);
      if (!signal.aborted) channel.close(cancelled());
    }
  }

  /** Frees a model. */
  forget(model: number): void {
    for (const { channel, models } of this.#helpers) {
      const theirs = models.get(model);
      if (theirs === undefined) continue;
      models.delete(model);
      channel.ask({ op: "free", model: theirs }).catch(() => undefined);
    }
  }
}

/** Outputs in the order of their pieces: sums must not depend on who is first. */
class InOrder {
  readonly #waiting = new Map<number, PieceAnswer>();
  #next = 0;

  constructor(private readonly add: (output: PieceAnswer) => void) {}

  put(
    piece: number,
    classes: Uint16Array | undefined,
    logits: Float32Array | undefined,
  ): void {
    this.#waiting.set(piece, { classes, logits });
    for (;;) {
      const output = this.#waiting.get(this.#next);
      if (!output) return;
      this.#waiting.delete(this.#next);
      this.add(output);
      this.#next += 1;
    }
  }
}
