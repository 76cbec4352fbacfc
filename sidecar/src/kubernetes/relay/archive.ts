import type { RequestRefusal } from './texts.ts';

/** Looks into an archive as it passes, one way. */
export interface Archive {
  readonly way: 'toPod' | 'fromPod';
  /** What of it may pass by now. */
  push(data: Buffer): Buffer;
  /** Why nothing more of it may; set once. */
  readonly refusal: RequestRefusal | undefined;
  /** No more comes. Why that is no whole archive. */
  end(): RequestRefusal | undefined;
  /** It is over, whole or not. */
  close(): void;
}
