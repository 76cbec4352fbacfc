/** Why no access comes out of policies and grant. */
export const ACCESS_REFUSALS = [
  /** No policy of the agent's namespace selects it. */
  'AgentNotSelected',
  /** Policies select it, but none of their rules names this resource. */
  'ResourceNotNamed',
  /** The resource's owner grants nothing to this agent. */
  'NotGranted',
  /** A policy wants a purpose and the agent's pod states none. */
  'PurposeMissing',
  /** A value passed the schema and still cannot be read (duration, byte count, glob, empty selector). */
  'PolicyInvalid',
] as const;
export type AccessRefusal = (typeof ACCESS_REFUSALS)[number];

export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  readonly code: AccessRefusal;
  constructor(code: AccessRefusal, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
