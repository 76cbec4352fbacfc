import type { ControlErrorCode } from '@chaperone/policy';

/** What a sidecar is answered with instead of what it asked for; the message is for people. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: ControlErrorCode;
  constructor(code: ControlErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
