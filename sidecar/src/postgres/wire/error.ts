/**
 * InvalidLength: a length field that no server or client sends (below 4, negative, above 1 GiB) · Refused: a message of a type
 * or size that may not come here · Malformed: the content does not fill its frame as the format says · InvalidText: a string is
 * not UTF-8 · NotEncodable: we were asked to say something that the format cannot carry.
 */
export type ProtocolErrorCode = 'InvalidLength' | 'Refused' | 'Malformed' | 'InvalidText' | 'NotEncodable';

/** The only error that this folder throws. Its message names message types and sizes, never content. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code: ProtocolErrorCode;
  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** SQLSTATE that a server would answer with. */
  get sqlstate(): '08P01' | '22021' {
    return this.code === 'InvalidText' ? '22021' : '08P01';
  }
}
