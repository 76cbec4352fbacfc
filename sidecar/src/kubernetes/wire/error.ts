/** RFC 6455, section 7.4.1: reasons that a close frame of ours gives. */
export const CLOSE = {
  normal: 1000,
  protocol: 1002,
  unsupported: 1003,
  notText: 1007,
  policy: 1008,
  tooBig: 1009,
  internal: 1011,
} as const;
export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE];

/**
 * What the other side sent is not what is spoken here. It ends that connection and nothing else; the message never holds what was
 * sent. `close` is what a WebSocket is closed with.
 */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly close: CloseCode;

  constructor(message: string, close: CloseCode = CLOSE.protocol) {
    super(message);
    this.close = close;
  }
}
