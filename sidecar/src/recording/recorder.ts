import type { RecordBody } from '@chaperone/evidence';

/**
 * How far a record must be before the caller goes on.
 * soon: it will be in the spool file with the next record that has to be, or within 5 ms · written: in the spool file (survives a
 * crash of this process) · synced: fdatasynced · stored: the broker has it durably.
 */
export type Durability = 'soon' | 'written' | 'synced' | 'stored';

/** Records one session. Calls are ordered; a promise that rejects (RecordingError) means the action must not run. */
export interface SessionRecorder {
  readonly session: string;
  /** Resolves when the record is as durable as asked. */
  append(record: RecordBody, durability: Durability): Promise<void>;
  /** What the client says its next action belongs to (`traceparent`); absent where nothing is traced. */
  link?(traceparent: string): void;
  /** Seals what is open and hands it to delivery. Idempotent. */
  close(): Promise<void>;
}

export interface Recording {
  /**
   * Opens a session's recorder. Rejects with RecordingError code RecordingBlocked when the spool is fuller than its limit
   * for new sessions.
   */
  open(session: string, policyDigest: string): Promise<SessionRecorder>;
  /**
   * Resolves once whoever keeps this pod's counters has one with every session that is open by now. Rejects with RecordingError code
   * RecordingBlocked where that takes too long.
   */
  counted(): Promise<void>;
  /** Waits until everything sealed was acknowledged, at most `timeoutMs`; resolves with what is still unacknowledged. */
  flush(timeoutMs: number): Promise<{ unacknowledged: number }>;
  stop(): Promise<void>;
}

export class RecordingError extends Error {
  override readonly name = 'RecordingError';
  readonly code: 'RecordingBlocked' | 'RecordingFailed';
  constructor(code: 'RecordingBlocked' | 'RecordingFailed', message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Which segment is sent, and how large the log is that its receipt has to go on from: 0 while none was verified. */
export interface Sent {
  readonly session: string;
  readonly number: number;
  readonly held: number;
}

/** Where sealed segments go: NATS in a cluster, the collector in the same process in embedded mode. */
export interface Delivery {
  /** Sends one sealed segment in its parcel; resolves once the transport holds it durably. Safe to repeat with the same bytes. */
  deliver(parcel: Buffer, about: Sent): Promise<void>;
  /** Calls back with the bytes of each receipt, which nobody has verified. */
  onReceipt(listener: (receipt: Uint8Array) => void): void;
  /** Calls back when the transport is there, again or for the first time: it may have lost what it held. */
  onReturn?(listener: () => void): void;
  close(): Promise<void>;
}
