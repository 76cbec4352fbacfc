export type Via = 'direct' | 'view' | 'function' | 'nested';

/**
 * One (verb, object) pair that an action has. `object` is what the verb is about, or '' where there is nothing or it is not known:
 * schema.relation or schema.function; a command as a shell reads it; an absolute path; a subsystem's name; host:port; a resource of the
 * Kubernetes API with name and namespace, as people say it.
 */
export interface Effect {
  readonly verb: string;
  readonly object: string;
  readonly via: Via;
  readonly kind:
    | 'relation'
    | 'function'
    | 'other'
    | 'command'
    | 'path'
    | 'subsystem'
    | 'address'
    | 'shell'
    | 'api-object'
    | 'api-path';
  /** false: the text names no schema and the search path's only one was taken for it. */
  readonly qualified?: boolean;
  /** schema.table.column names that the effect touches, where the server said so. */
  readonly columns?: readonly string[];
  /** The words of a command; absent: they are not known for sure. */
  readonly words?: readonly string[];
  /** What a program may take the command for: a rule that denies or asks meets it by any of these too. */
  readonly also?: readonly (readonly string[])[];
  /** Of an `api-object`, and always there. */
  readonly api?: ApiObject;
  /** Of an `api-object` that opens a pod: what is done in it, as an effect of SSH; of portforward the port, absent where none is asked for yet. */
  readonly inside?: Effect;
  /** Of a path: everything below it is meant too, as where a directory is moved. */
  readonly below?: boolean;
}

/** What is meant of the Kubernetes API, in RBAC's terms. */
export interface ApiObject {
  /** '' is the core group. */
  readonly group: string;
  readonly resource: string;
  /** '': none. */
  readonly subresource: string;
  /** '': all of them, or the object is in none. */
  readonly namespace: string;
  /** '': all of them, or it is not known. */
  readonly name: string;
}

/** A request in the protocol's own unit, with every effect it has. */
export interface Action {
  readonly effects: readonly Effect[];
  /** Why it cannot be judged; set, it is denied and no approval can change that. */
  readonly notAnalysable?: string;
}

export interface JudgedEffect {
  readonly verb: string;
  readonly object: string;
  readonly via: Via;
  readonly verdict: 'allow' | 'deny' | 'approve';
  readonly rule?: string;
}

/** A rule that wants a person to approve what it covers. */
export interface AskingRule {
  readonly policy: { readonly namespace: string; readonly name: string };
  readonly rule: string;
}

export interface Verdict {
  readonly verdict: 'allow' | 'deny' | 'approve';
  /** A code of the table in @chaperone/api: Allowed, DeniedByRule, NoRuleAllows, NotAnalysable, NotGranted, ApprovalPending. */
  readonly code: string;
  readonly rule?: string;
  /** Whose rule decided, and what its author wants the agent to be told. */
  readonly policy?: { readonly namespace: string; readonly name: string };
  readonly message?: string;
  /** Of `approve`: every rule that asks for approval of any effect, in a fixed order; all of them must be satisfied. */
  readonly asks?: readonly AskingRule[];
  /** One sentence for the agent, without literals. */
  readonly reason: string;
  readonly effects: readonly JudgedEffect[];
  /** In Audit: what Enforce would have said. */
  readonly wouldDeny?: { readonly code: string; readonly rule?: string; readonly reason: string };
}
