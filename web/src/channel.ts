/** A worker that is asked and answers. */

import { AmaesError, type PlainError } from "./errors.ts";
import type { Answers, FromWorker, Request, ToWorker } from "./protocol.ts";
import type { Progress } from "./types.ts";

interface Pending {
  resolve: (value: never) => void;
  reject: (error: AmaesError) => void;
  onProgress: ((progress: Progress) => void) | undefined;
  /** When the network began. */
  started?: number;
}

export interface AskOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  transfer?: Transferable[];
}

/** Milliseconds that a worker is given to stop by itself: one that computes hears nothing. */
const GRACE = 3000;

export class WorkerChannel {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #dead: AmaesError | undefined;

  /** `onDeath` is told when the worker is of no more use. */
  constructor(
    worker: Worker,
    private readonly onDeath: () => void = () => undefined,
  ) {
    this.#worker = worker;
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.close(crashed(event.message || "the worker stopped"));
    };
  }

  get alive(): boolean {
    return !this.#dead;
  }

  /**
   * Waits until the worker runs, and learns of its end from then on: the platform tells of none,
   * but gives the locks of a worker that ended to whoever waits. A worker that is silent for
   * `patience` milliseconds is given up.
   */
  async begin(patience?: number): Promise<void> {
    const silent = () => this.close(crashed("the worker does not start"));
    const timer = patience === undefined ? undefined : setTimeout(silent, patience);
    const lock = navigator.locks ? `amaes-${crypto.randomUUID()}` : undefined;
    try {
      await this.ask({ op: "begin", lock });
    } finally {
      clearTimeout(timer);
    }
    if (lock === undefined) return;
    const ended = () => this.close(crashed("the worker was stopped"));
    navigator.locks.request(lock, { mode: "shared" }, ended).catch(() => undefined);
  }

  #receive(data: FromWorker): void {
    const pending = this.#pending.get(data.id);
    if (!pending) return;
    if ("phase" in data) {
      const progress: Progress = { phase: data.phase, fraction: data.fraction };
      if (data.phase === "network") {
        pending.started ??= performance.now();
        const seconds = (performance.now() - pending.started) / 1000;
        if (data.fraction > 0) {
          progress.secondsLeft = (seconds / data.fraction) * (1 - data.fraction);
        }
      }
      pending.onProgress?.(progress);
      return;
    }
    this.#pending.delete(data.id);
    if ("value" in data) {
      pending.resolve(data.value as never);
      return;
    }
    const error = revive(data.error);
    pending.reject(error);
    if (data.fatal) this.close(error);
  }

  ask<R extends Request>(request: R, options: AskOptions = {}): Promise<Answers[R["op"]]> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (this.#dead) return reject(this.#dead);
      if (signal?.aborted) return reject(cancelled());
      const id = this.#next++;
      let grace: ReturnType<typeof setTimeout> | undefined;
      const cancel = () => {
        this.#post({ id, cancel: true });
        grace = setTimeout(() => this.close(cancelled()), GRACE);
      };
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          clearTimeout(grace);
          signal?.removeEventListener("abort", cancel);
          then(value);
        };
      this.#pending.set(id, {
        resolve: settle(resolve as (value: never) => void),
        reject: settle(reject),
        onProgress: options.onProgress,
      });
      signal?.addEventListener("abort", cancel);
      this.#post({ id, request }, options.transfer);
    });
  }

  #post(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  /** Ends the worker; whatever waits for it is given `error`. */
  close(error: AmaesError): void {
    if (this.#dead) return;
    this.#dead = error;
    this.#worker.terminate();
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
    this.onDeath();
  }
}

function revive({ kind, message, hint }: PlainError): AmaesError {
  return new AmaesError(kind, message, hint);
}

function crashed(message: string): AmaesError {
  const hint = "Start again; the engine starts by itself. If it happens once more, reload the page.";
  return new AmaesError("crashed", message, hint);
}

export function cancelled(): AmaesError {
  return new AmaesError("cancelled", "cancelled", "Start again when you like.");
}
