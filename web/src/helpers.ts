/**
 * Workers that share a segmentation on the CPU: each has a module of its own and runs some of the
 * pieces, so that no memory has to be shared and any page can use all cores.
 */

import type * as Module from "../pkg/cpu/amaes_wasm.js";
import { cancelled, WorkerChannel } from "./channel.ts";
import { Neighbours } from "./neighbours.ts";
import type { Build, NamedBytes, PieceAnswer } from "./protocol.ts";

interface Helper {
  channel: WorkerChannel;
  /** Its numbers for the models of the worker that is helped. */
  models: Map<number, number>;
}

/** What is run: how many pieces of an image of which shape, cut for how many workers, of which network. */
interface Job {
  count: number;
  shape: number[];
  workers: number;
  model: number;
  files: NamedBytes[];
  settings: string;
}

/** Hears the share of a piece that is done. */
type Tell = (piece: number, fraction: number) => void;

/** Runs a piece in this worker. */
type Own = (piece: number, neighbours?: Neighbours) => Promise<Module.PieceOutput>;

/** Ends of a piece's links. */
interface Ports {
  before?: MessagePort | undefined;
  after?: MessagePort | undefined;
}

type Here = (piece: number, neighbours?: Neighbours) => Promise<void>;
type There = (helper: Helper, piece: number, signal: AbortSignal, ports?: Ports) => Promise<void>;

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

  /** Starts the workers; returns how many there are, the caller's own among them. */
  async start(): Promise<number> {
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
    return this.#helpers.length + 1;
  }

  /**
   * Runs all pieces of a run and adds their outputs to it. Returns whether all of them are there:
   * pieces that run together need every helper they began with.
   */
  async run(
    run: Module.Run,
    job: Job,
    own: Own,
    add: (output: PieceAnswer) => void,
    tell: Tell,
  ): Promise<boolean> {
    const order = new InOrder(add);
    const together = run.together();
    const here = async (piece: number, neighbours?: Neighbours) => {
      const output = await own(piece, neighbours);
      order.put(piece, output.classes, output.logits);
      output.free();
      tell(piece, 1);
    };
    const there = async (helper: Helper, piece: number, signal: AbortSignal, ports: Ports = {}) => {
      const input = run.pieceInput(piece);
      const { values, shape } = input;
      input.free();
      const ends = [ports.before, ports.after].filter((port) => port !== undefined);
      const { classes, logits } = await helper.channel.ask(
        { op: "piece", piece, values, shape: [...shape], ...ports },
        {
          signal,
          transfer: [values.buffer, ...ends],
          onProgress: ({ fraction }) => tell(piece, fraction),
        },
      );
      order.put(piece, classes, logits);
      tell(piece, 1);
    };
    try {
      return together > 1
        ? await this.#strips(job, together, here, there)
        : await this.#pieces(job, here, there);
    } finally {
      this.#helpers = this.#helpers.filter(({ channel }) => channel.alive);
    }
  }

  /** Runs pieces that do not depend on each other, each where there is time. */
  async #pieces(job: Job, here: Here, there: There): Promise<true> {
    const abort = new AbortController();
    let failure: { thrown: unknown } | undefined;
    const fail: Fail = (thrown) => {
      failure ??= { thrown };
      abort.abort();
    };
    // Pieces of helpers that failed come back to be run here.
    const left = Array.from({ length: job.count }, (_, piece) => piece);
    const share = async (helper: Helper) => {
      let piece: number | undefined;
      try {
        await prepare(helper, job);
        while (!abort.signal.aborted && (piece = left.shift()) !== undefined) {
          await there(helper, piece, abort.signal);
        }
      } catch {
        if (piece !== undefined) left.unshift(piece);
        if (!abort.signal.aborted) helper.channel.close(cancelled());
      }
    };
    const rest = async () => {
      for (let piece; (piece = left.shift()) !== undefined; ) await here(piece);
    };
    const others = this.#helpers.map(share);
    await rest().catch(fail);
    await Promise.all(others);
    // What a helper gave back when nothing was left here.
    if (!failure) await rest().catch(fail);
    if (failure) throw failure.thrown;
    return true;
  }

  /** Runs pieces that exchange rows: of those together one here and one in each helper. */
  async #strips(job: Job, together: number, here: Here, there: There): Promise<boolean> {
    const members = this.#helpers.slice(0, together - 1);
    const abort = new AbortController();
    let failure: { thrown: unknown } | undefined;
    let lost = false;
    const lose = (helper: Helper) => {
      if (abort.signal.aborted) return;
      lost = true;
      helper.channel.close(cancelled());
      abort.abort();
    };
    await Promise.all(members.map((helper) => prepare(helper, job).catch(() => lose(helper))));
    for (let first = 0; first < job.count && !abort.signal.aborted; first += together) {
      const links = members.map(() => new MessageChannel());
      const mine = new Neighbours(undefined, links[0]?.port1);
      abort.signal.addEventListener("abort", () => mine.end());
      const fail: Fail = (thrown) => {
        if (!lost) failure ??= { thrown };
        abort.abort();
      };
      const theirs = members.map((helper, i) => {
        const ports = { before: links[i]?.port2, after: links[i + 1]?.port1 };
        const run = there(helper, first + 1 + i, abort.signal, ports);
        return run.catch(() => lose(helper));
      });
      await Promise.all([here(first, mine).catch(fail), ...theirs]);
    }
    if (failure) throw failure.thrown;
    return !lost;
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

/** Opens the model in a helper and cuts its run. */
async function prepare({ channel, models }: Helper, job: Job): Promise<void> {
  let model = models.get(job.model);
  if (model === undefined) {
    ({ model } = await channel.ask({ op: "load", files: job.files }));
    models.set(job.model, model);
  }
  const { settings, shape, workers } = job;
  await channel.ask({ op: "help", model, settings, shape, workers });
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
