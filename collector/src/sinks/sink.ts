import type { OcsfEvent } from './ocsf/classes.ts';

/** An event that is to be delivered. */
export interface Outgoing {
  /** `ORIGIN#ENTRY.RECORD`, the same whenever it is sent: receivers tell repeats by it. */
  readonly id: string;
  /** The entry of the log that it comes from. */
  readonly leaf: number;
  readonly event: OcsfEvent;
  /** The event as JSON, in ASCII: nothing in it ends a line, or leaves a string. */
  readonly text: string;
}

export interface Batch {
  /** In the order of the log; at least one, but for probes. */
  readonly events: readonly Outgoing[];
  /** The newest checkpoint of the log, a signed note; what is in the batch is below its size. */
  readonly checkpoint: { readonly note: string; readonly size: number };
}

/** A way to a receiver. Resolves when the receiver has confirmed the whole batch; else rejects with what {@link sinkErrorOf} reads. */
export interface Sink {
  readonly limits: { readonly events: number; readonly bytes: number };
  /** How long one waits for more before the next batch, where all was delivered. Default: a second. */
  readonly lingerMs?: number;
  deliver(batch: Batch, signal: AbortSignal): Promise<void>;
  /**
   * The same with a checkpoint alone, in which is nothing that an agent wrote: what is answered to it is about us. Undefined where the receiver
   * never looks into what it is sent.
   */
  readonly probe?: (checkpoint: Batch['checkpoint'], signal: AbortSignal) => Promise<void>;
  close(): Promise<void>;
}

/** JSON of which every character is one of ASCII that can be printed: what is not is escaped, and reads back the same. */
export function asciiJson(value: unknown): string {
  // What JSON leaves as it is: DEL and all beyond.
  return JSON.stringify(value).replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
