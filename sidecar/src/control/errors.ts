/** The control plane cannot start or cannot go on; `message` is a sentence for people and holds no secret. */
export class ControlPlaneError extends Error {
  override readonly name = 'ControlPlaneError';
  readonly code: ControlPlaneErrorCode;
  constructor(code: ControlPlaneErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export type ControlPlaneErrorCode =
  /** Manifests that cannot be read, or hold mistakes; the message has one line per mistake. */
  | 'ManifestInvalid'
  /** No policy selects the agent. */
  | 'AgentNotSelected'
  /** Policies select the agent, but no resource they name can be used by it; the message has a line per resource. */
  | 'NotGranted'
  | 'PolicyInvalid'
  | 'ResourceNotFound'
  /** The local certificate authority in the data directory cannot be read. */
  | 'AuthorityUnreadable'
  /** The key of hash masks in the data directory cannot be read. */
  | 'HashKeyUnreadable'
  /** The operator does not answer, or not in the protocol. */
  | 'OperatorUnreachable'
  /** The operator refused this pod for good. */
  | 'EnrolmentRefused';
