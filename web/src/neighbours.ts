/** Rows that strips of one image give each other while they run, through ports. */

type Rows = Float32Array<ArrayBuffer> | undefined;

/** One neighbour. */
class Side {
  readonly #come: Rows[] = [];
  #waiting: { resolve: (rows: Rows) => void; reject: (reason: Error) => void } | undefined;
  #ended = false;

  constructor(private readonly port: MessagePort) {
    port.onmessage = ({ data }: MessageEvent<Rows>) => {
      const waiting = this.#waiting;
      if (!waiting) return void this.#come.push(data);
      this.#waiting = undefined;
      waiting.resolve(data);
    };
  }

  give(rows: Rows): void {
    this.port.postMessage(rows, rows ? [rows.buffer] : []);
  }

  take(): Promise<Rows> {
    return new Promise((resolve, reject) => {
      if (this.#come.length > 0) return resolve(this.#come.shift());
      if (this.#ended) return reject(new Error("the neighbour has stopped"));
      this.#waiting = { resolve, reject };
    });
  }

  end(): void {
    this.#ended = true;
    this.port.close();
    this.#waiting?.reject(new Error("the neighbour has stopped"));
  }
}

export class Neighbours {
  readonly #before: Side | undefined;
  readonly #after: Side | undefined;

  constructor(before: MessagePort | undefined, after: MessagePort | undefined) {
    this.#before = before && new Side(before);
    this.#after = after && new Side(after);
  }

  /** Gives the first rows and the last to the neighbours, and takes theirs. */
  readonly exchange = async (first: Rows, last: Rows): Promise<[Rows, Rows]> => {
    this.#before?.give(first);
    this.#after?.give(last);
    return Promise.all([this.#before?.take(), this.#after?.take()]);
  };

  /** Lets nobody wait here any longer. */
  end(): void {
    this.#before?.end();
    this.#after?.end();
  }
}
