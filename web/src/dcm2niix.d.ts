/** What is used of @niivue/dcm2niix, which has no types. */
declare module "@niivue/dcm2niix" {
  interface Processor {
    /** BIDS sidecars: y, n or o. */
    b(value: string): Processor;
    /** Compression: y, n, ... */
    z(value: string): Processor;
    /** Names of the files. */
    f(value: string): Processor;
    run(): Promise<File[]>;
  }
  export class Dcm2niix {
    worker: Worker | null;
    init(): Promise<boolean>;
    input(files: File[]): Processor;
  }
}
