/** RFC 4253, section 11.1: reasons that a DISCONNECT gives. Only those that we send. */
export const DISCONNECT = {
  hostNotAllowed: 1,
  protocolError: 2,
  keyExchangeFailed: 3,
  macError: 5,
  serviceNotAvailable: 7,
  protocolVersionNotSupported: 8,
  hostKeyNotVerifiable: 9,
  connectionLost: 10,
  byApplication: 11,
  tooManyConnections: 12,
  noMoreAuthMethods: 14,
  illegalUserName: 15,
} as const;
export type DisconnectReason = (typeof DISCONNECT)[keyof typeof DISCONNECT];

/**
 * What the other side sent is not SSH as we speak it. It ends that connection and nothing else; the message never holds what was
 * sent.
 */
export class SshError extends Error {
  override readonly name = 'SshError';
  readonly reason: DisconnectReason;

  constructor(message: string, reason: DisconnectReason = DISCONNECT.protocolError, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
