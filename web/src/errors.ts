/** What an error is about. */
export type ErrorKind =
  /** The file of an image cannot be read. */
  | "volume"
  /** The image can be read but not preprocessed. */
  | "image"
  /** The files of a model cannot be read. */
  | "model"
  /** An option makes no sense. */
  | "option"
  /** Memory, or a limit set on it, does not suffice. */
  | "memory"
  /** The device failed, was lost, or is not there. */
  | "device"
  /** A file could not be fetched, or is not the one that was expected. */
  | "network"
  /** The caller asked to stop. */
  | "cancelled"
  /** The engine stopped unexpectedly; it starts again by itself. */
  | "crashed"
  /** Calls came in an order that makes no sense. */
  | "order";

/** An error with what to do about it. */
export class AmaesError extends Error {
  override readonly name = "AmaesError";

  constructor(
    readonly kind: ErrorKind,
    message: string,
    /** What the user can do. */
    readonly hint: string,
  ) {
    super(message);
  }
}

/** An error as it crosses from the worker. */
export interface PlainError {
  kind: ErrorKind;
  message: string;
  hint: string;
}
