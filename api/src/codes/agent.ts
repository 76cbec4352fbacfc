import type { CodeTable } from './entry.ts';

/** What agents are told about their actions and sessions. */
export const AGENT_CODES = {
  Allowed: {
    audience: ['platform'],
    what: 'Every effect of the action is covered by an Allow rule.',
    why: 'It is the answer of chaperone policy check to an action that would run.',
    fix: 'Nothing to mend; write a Deny or RequireApproval rule if it should not run.',
    retry: 'none',
    example: '{"verdict":"allow","rule":"read","code":"Allowed"}',
  },
  DeniedByRule: {
    audience: ['agent', 'platform'],
    what: 'A Deny rule matches an effect of the action.',
    why: 'Any matching Deny wins over every other rule, in whatever order they stand.',
    fix: 'The agent follows the rule’s message; the platform team narrows the rule in the AccessPolicy if it refuses too much.',
    retry: 'do-not-retry',
    example:
      'chaperone: DROP on public.tickets is denied by rule "never" (DeniedByRule). Do not retry: Schema changes go through the migration pipeline.',
    postgres: { sqlstate: '42501', severity: 'ERROR' },
  },
  NoRuleAllows: {
    audience: ['agent', 'platform'],
    what: 'No rule covers an effect of the action.',
    why: 'Every effect needs an Allow or RequireApproval of its own; what nothing covers is denied.',
    fix: 'Add a rule that names the statement and the object, within what the owner grants; try it with chaperone policy check.',
    retry: 'do-not-retry',
    example:
      'chaperone: UPDATE on public.customers is not covered by any rule (NoRuleAllows). Do not retry: other wording with the same effect gets the same answer.',
    postgres: { sqlstate: '42501', severity: 'ERROR' },
  },
  NeverAllowed: {
    audience: ['agent', 'platform'],
    what: 'The request is one of those that no rule and no approval can allow.',
    why: 'It is a way to rights that were not given, to credentials that Chaperone holds, or around it: a token, a privileged pod, what a proxy hides.',
    fix: 'Nothing in a policy allows it; a person does it by hand where it is meant.',
    retry: 'do-not-retry',
    example:
      'chaperone: DELETE on namespaces is never allowed to an agent (NeverAllowed). Do not retry: no rule and no approval can allow it.',
    postgres: { sqlstate: '42501', severity: 'ERROR' },
  },
  NotGranted: {
    audience: ['agent', 'platform', 'owner'],
    what: 'The owner of the resource does not grant this to the agent.',
    why: 'A policy can give no more than spec.grantedTo of the ProtectedResource: namespace, ServiceAccount and statements.',
    fix: 'The owner adds the namespace, or the statement, to spec.grantedTo; absent statements mean [select].',
    retry: 'do-not-retry',
    example: 'data/orders-db is not granted to namespace agents; its owner adds {namespace: agents} to spec.grantedTo',
    postgres: { sqlstate: '42501', severity: 'ERROR' },
  },
  MaskedValueWrite: {
    audience: ['agent', 'platform'],
    what: 'The statement would write a masked value back.',
    why: 'What the agent saw is not the data; storing it would destroy what the mask stands for.',
    fix: 'Leave masked columns out of the statement; the platform team reveals the label if the agent must edit it.',
    retry: 'do-not-retry',
    example:
      'chaperone: UPDATE on public.customers would store a masked value (MaskedValueWrite). Do not retry: leave masked columns out; what was shown is not the data.',
    postgres: { sqlstate: '42501', severity: 'ERROR' },
  },
  LabelledValueWrite: {
    audience: ['agent', 'platform'],
    what: 'The statement would copy a labelled value to a place where it could be read unmasked.',
    why: 'Masks follow columns; a value moved into an unlabelled column, a file or a setting would lose its mask.',
    fix: 'Copy no labelled column; the owner labels the target column too if the copy is meant.',
    retry: 'do-not-retry',
    example:
      'chaperone: INSERT on public.notes would put a sensitive value where it is not masked (LabelledValueWrite). Do not retry: do not copy masked columns.',
    postgres: { sqlstate: '42501', severity: 'ERROR' },
  },
  InferenceLimited: {
    audience: ['agent', 'platform'],
    what: 'A masked column is used in a condition beyond what the policy permits.',
    why: 'Comparing hidden values often enough tells them; with inference: limit only equality is permitted, with 60 distinct values per hour.',
    fix: 'Search by another column or by one exact value; the platform team may set inference: allow where the data permits it.',
    retry: 'change-it',
    example:
      'chaperone: SELECT on public.customers compares a masked column (InferenceLimited). Change it: use equality with one value, or columns that are not masked.',
    postgres: { sqlstate: '42501', severity: 'ERROR' },
  },
  NotAnalysable: {
    audience: ['agent', 'platform'],
    what: 'The action cannot be judged: its effects, or where its values come from, are not certain.',
    why: 'What cannot be parsed or classified is denied, and no approval can change that.',
    fix: 'Write a plainer statement: one at a time, schema-qualified names, no dynamic SQL.',
    retry: 'change-it',
    example:
      'chaperone: this statement cannot be judged (NotAnalysable). Change it: another statement may be; this one never runs, whatever the policy says.',
    postgres: { sqlstate: '0A000', severity: 'ERROR' },
  },
  StatementSyntax: {
    audience: ['agent', 'platform'],
    what: 'The text is not SQL, as this proxy reads it.',
    why: 'What cannot be parsed cannot be judged, so it does not reach the database. The position says where reading ended.',
    fix: 'Mend the statement. If the database itself takes it, its syntax is newer than this proxy.',
    retry: 'change-it',
    example: 'chaperone: syntax error (StatementSyntax). Change it: mend the statement there; no policy refused it.',
    postgres: { sqlstate: '42601', severity: 'ERROR' },
  },
  LimitReached: {
    audience: ['agent', 'platform'],
    what: 'A limit of the policy is reached: rows, bytes, or the time of a statement.',
    why: 'spec.limits of the AccessPolicy bounds what one statement and one session may take.',
    fix: 'Ask for less: LIMIT, a narrower condition; the platform team raises spec.limits.',
    retry: 'change-it',
    example:
      'chaperone: SELECT on public.tickets reached a limit of the policy (LimitReached). Change it: ask for fewer rows, for example with LIMIT.',
    postgres: { sqlstate: '54000', severity: 'ERROR' },
  },
  ApprovalPending: {
    audience: ['agent', 'platform'],
    what: 'The action waits for a person to approve it.',
    why: 'A RequireApproval rule covers it and no Deny rule does; exactly this action runs, once, if it is approved.',
    fix: 'The agent keeps the connection open and sends nothing again.',
    retry: 'wait',
    example: '{"verdict":"approve","rule":"fix","code":"ApprovalPending"}',
    postgres: { sqlstate: '00000', severity: 'NOTICE' },
  },
  ApprovalDenied: {
    audience: ['agent', 'platform'],
    what: 'A person denied the action; it did not run.',
    why: 'One denial by anybody whom the rule asks is enough, whatever others approved.',
    fix: 'The agent reads the reviewer’s reason and goes on without the action, or asks for another one.',
    retry: 'do-not-retry',
    example:
      'chaperone: ar-7f3kq2mzt4hcnw5e was denied by a reviewer (ApprovalDenied); UPDATE on public.tickets did not run. Do not retry. Reviewer: "wrong ticket, 4412 is meant"',
    postgres: { sqlstate: '42501', severity: 'ERROR' },
  },
  ApprovalExpired: {
    audience: ['agent', 'platform'],
    what: 'Nobody decided in time; the action never ran.',
    why: 'approval.timeout of the rule bounds how long an action is held, transactionTimeout how long within an open transaction.',
    fix: 'The agent asks once more by repeating the action; the platform team names more approvers or a longer timeout.',
    retry: 'repeat-unchanged',
    example:
      'chaperone: ar-7f3kq2mzt4hcnw5e expired after 5 min without a decision (ApprovalExpired); it did not run. Repeat unchanged once to ask again, or go on without it.',
    postgres: { sqlstate: '57014', severity: 'ERROR' },
  },
  ApprovalVoided: {
    audience: ['agent', 'platform'],
    what: 'What was to be approved is not what would run any more; it did not run.',
    why: 'An approval is for exactly one action under the policies that asked. A change of policy, of the session’s settings or of what the statement means needs another.',
    fix: 'The agent repeats the action, which asks anew.',
    retry: 'repeat-unchanged',
    example:
      'chaperone: ar-7f3kq2mzt4hcnw5e is void, since its policy changed (ApprovalVoided); UPDATE on public.tickets did not run. Repeat unchanged once to ask again.',
    postgres: { sqlstate: '55000', severity: 'ERROR' },
  },
  ApprovalUnavailable: {
    audience: ['agent', 'platform'],
    what: 'A rule asks for approval and nobody can be asked now.',
    why: 'The operator does not answer, the agent asked too often, or its protocol has no room to wait; the action is refused rather than run unasked.',
    fix: 'Wait for requests that are open to be decided; if there are none, look whether the operator runs: kubectl get pods -n chaperone-system.',
    retry: 'try-later',
    example:
      'chaperone: UPDATE on public.tickets needs an approval by rule "fix", and nobody can be asked now: it asked people 10 times within a minute (ApprovalUnavailable). Try later: go on without it.',
    postgres: { sqlstate: '55000', severity: 'ERROR' },
  },
  SettingPinned: {
    audience: ['agent', 'platform'],
    what: 'The statement would change a setting on which judging and masking rely.',
    why: 'search_path, role, encodings and the like are fixed at sign-in, so that what was judged is what runs.',
    fix: 'Leave the setting out and write schema-qualified names; the owner sets spec.postgres.searchPath of the ProtectedResource.',
    retry: 'change-it',
    example:
      'chaperone: this setting is pinned for the session (SettingPinned). Change it: leave the setting out and write schema-qualified names.',
    postgres: { sqlstate: '42501', severity: 'ERROR' },
  },
  ProtocolViolation: {
    audience: ['agent', 'platform'],
    what: 'The client sent bytes that the protocol does not allow at this point.',
    why: 'No byte goes upstream that was not understood; the session ends.',
    fix: 'Use an ordinary PostgreSQL driver; replication, GSS encryption and function-call messages are not served.',
    retry: 'change-it',
    example:
      'chaperone: the client broke the protocol (ProtocolViolation). Change it: use an ordinary driver, without replication or function-call messages.',
    postgres: { sqlstate: '08P01', severity: 'FATAL' },
  },
  StatementTooLarge: {
    audience: ['agent', 'platform'],
    what: 'The statement or its values are larger than what is judged.',
    why: 'Every length is bounded before anything is read into memory or parsed.',
    fix: 'Send smaller statements, for example batches of fewer rows.',
    retry: 'change-it',
    example:
      'chaperone: this statement is too large to be judged (StatementTooLarge). Change it: send smaller statements, for example fewer rows at once.',
    postgres: { sqlstate: '54000', severity: 'ERROR' },
  },
  ResourceNotReady: {
    audience: ['agent', 'platform', 'owner'],
    what: 'The resource cannot be used now; its own condition says why.',
    why: 'Its address, credentials or upstream fail, so no new session can open; open ones go on.',
    fix: 'Read the message of condition Ready: kubectl get protectedresource NAME -o wide.',
    retry: 'try-later',
    example: 'data/orders-db is not ready: Secret data/orders-db-agent does not exist (CredentialsNotFound)',
    postgres: { sqlstate: '57P03', severity: 'FATAL' },
  },
  RecordingBlocked: {
    audience: ['agent', 'operator'],
    what: 'The action cannot be recorded as its policy demands, so it does not run.',
    why: 'A spool that is full or fails, a broker that does not answer in mode strict, or an operator that does not take the counter of a new session, stops agents instead of losing evidence.',
    fix: 'See why evidence does not leave: the sidecar’s log, then the operator, the collector and its disk.',
    retry: 'try-later',
    example:
      'chaperone: this action cannot be recorded now and did not run (RecordingBlocked). Try later: it is not the fault of the statement.',
    postgres: { sqlstate: '53100', severity: 'FATAL' },
  },
  SessionEnded: {
    audience: ['agent', 'platform'],
    what: 'The session was ended from outside.',
    why: 'A person ended it, the right to it was withdrawn, or the policy’s session length is over.',
    fix: 'Ask the platform team before opening another; chaperone sessions shows who ended it.',
    retry: 'do-not-retry',
    example:
      'chaperone: this session was ended (SessionEnded). Do not retry: ask whoever runs this agent before connecting again.',
    postgres: { sqlstate: '57P01', severity: 'FATAL' },
  },
  PolicyStale: {
    audience: ['agent', 'operator'],
    what: 'The sidecar has not heard from the operator for so long that its policy may be out of date.',
    why: 'A policy is valid for a time and renewed by heartbeat; after it new sessions are refused, later live ones end.',
    fix: 'See why the operator is not reached: its pods, the NetworkPolicy between them, the sidecar’s log.',
    retry: 'try-later',
    example:
      'chaperone: the policy in force here is too old to be trusted (PolicyStale). Try later: it is not the fault of the statement.',
    postgres: { sqlstate: '57P03', severity: 'FATAL' },
  },
  TokenRequired: {
    audience: ['agent', 'platform'],
    what: 'The policy demands a token of the human or task behind the agent, and the connection brings none.',
    why: 'spec.identity of an AccessPolicy asks for it; it is the password of the connection, and passwords travel within TLS alone.',
    fix: 'Connect with TLS (sslmode=require or stricter) and the OIDC token as the password. Protocol tcp cannot carry one.',
    retry: 'change-it',
    example:
      'chaperone: a token of whoever this agent acts for is needed (TokenRequired). Change it: connect with TLS and the token as the password.',
    postgres: { sqlstate: '28000', severity: 'FATAL' },
  },
  TokenRejected: {
    audience: ['agent', 'platform'],
    what: 'The token that came with the connection is not one that the policy accepts; the message says which check failed.',
    why: 'Signature, issuer, audience, times and required claims are checked against spec.identity before anything else happens.',
    fix: 'Get a fresh token from the issuer and for the audience that spec.identity.oidc names.',
    retry: 'change-it',
    example:
      'chaperone: the token was not accepted (TokenRejected). Change it: connect again with a fresh token as the password.',
    postgres: { sqlstate: '28000', severity: 'FATAL' },
  },
  TooManyConnections: {
    audience: ['agent', 'platform'],
    what: 'The agent has as many connections open as its policy allows.',
    why: 'spec.limits.connections bounds the sessions of one pod on one resource, so that no agent exhausts the upstream.',
    fix: 'Close connections that are not used; make the client’s pool smaller.',
    retry: 'try-later',
    example: 'chaperone: too many connections of this agent are open (TooManyConnections). Try later: close some first.',
    postgres: { sqlstate: '53300', severity: 'FATAL' },
  },
  DatabaseNotServed: {
    audience: ['agent', 'platform'],
    what: 'The client asked for a database that this resource does not serve.',
    why: 'A ProtectedResource is one database; labels and rules speak of it alone.',
    fix: 'Connect to the database of spec.postgres.database, or publish the other as a resource of its own.',
    retry: 'change-it',
    example:
      'chaperone: this database is not served here (DatabaseNotServed). Change it: connect to the database of the resource.',
    postgres: { sqlstate: '3D000', severity: 'FATAL' },
  },
} as const satisfies CodeTable;
