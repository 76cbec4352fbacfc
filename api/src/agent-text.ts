import { CODES } from './codes.ts';
import { type AGENT_CODES } from './codes/agent.ts';
import { visible } from './text.ts';

/** Codes that an agent can be told: those with a place in its protocol. */
export type AgentCode =
  | Exclude<keyof typeof AGENT_CODES, 'Allowed'>
  | 'AgentNotSelected'
  | 'InternalFault'
  | 'PurposeMissing'
  | 'ResourceNotNamed';

export interface Refusal {
  readonly code: AgentCode;
  /** What was asked for, in the protocol's word. Default: statement */
  readonly unit?: Unit;
  /** Verb of the effect that decided, in any case: `update`. Absent where there is no such effect. */
  readonly verb?: string;
  /** Its object: `public.customers`; or '' where there is none. */
  readonly object?: string;
  /** Name of the rule that decided. */
  readonly rule?: string;
  /** What exactly stood in the way, for codes that cover several: a clause without literals, `it calls a function that is not known`. */
  readonly reason?: string;
  /** The rule's own message, else one sentence on what to do instead of the code's own. */
  readonly message?: string;
  /** Said in place of the code's advice and of `message`, where another wording is judged by itself: what to change, a clause. */
  readonly instead?: string;
  /** The agent's policies, NAMESPACE/NAME. */
  readonly policy?: string;
  /** Session and record: `s-7hq2/118`. */
  readonly reference?: string;
  /** What the agent may do here, as phrases: `SELECT on public.tickets`. */
  readonly allowedHere?: readonly string[];
  readonly inTransaction?: boolean;
  /** Of the codes about approvals: the request by which people are asked. */
  readonly approval?: ApprovalNews;
  /** Of SSH: whether the connection ends with it. Default: false */
  readonly isOver?: boolean;
  /** How many times in a row this was refused within a minute, this time included. */
  readonly repeated?: number;
}

/** What agents do on a protocol, in its own word. */
export type Unit = 'statement' | 'command' | 'shell' | 'file operation' | 'forward' | 'subsystem' | 'request';

export interface ApprovalNews {
  /** Name of the AccessRequest. */
  readonly request: string;
  /** How long it may be decided on, or was: ms. */
  readonly timeoutMs: number;
  /** What the reviewer who denied it wrote. */
  readonly reviewer?: string;
  /** Why it is void, a clause. */
  readonly why?: string;
  /** The connection does not wait: the agent has to repeat the action. */
  readonly repeat?: boolean;
}

/** What a PostgreSQL client is sent: the fields S, C, M, D and H of an ErrorResponse or NoticeResponse. */
export interface AgentText {
  readonly severity: 'NOTICE' | 'ERROR' | 'FATAL';
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** A name as PostgreSQL bounds it, three times, quoted. */
const MAX_NAME = 400;
const MAX_MESSAGE = 512;
const MAX_PHRASES = 5;

const WORDING = {
  'do-not-retry': 'Do not retry',
  wait: 'Wait',
  'repeat-unchanged': 'Repeat unchanged',
  'change-it': 'Change it',
  'try-later': 'Try later',
} as const;

const SAME_EFFECT = 'other wording with the same effect gets the same answer.';
const SAME_POLICY = 'the answer stays the same for as long as the policy does.';
const NOT_YOURS = 'it is not the fault of the statement.';

/** Clause and tail of each code; `effect` is `UPDATE on public.customers`, or `this statement` where nobody can name it. */
const TEXTS: Readonly<Record<AgentCode, { clause: (effect: string, rule: string, unit: Unit) => string; tail: string }>> = {
  DeniedByRule: { clause: (effect, rule) => `${effect} is denied by ${rule}`, tail: SAME_EFFECT },
  NoRuleAllows: { clause: (effect) => `${effect} is not covered by any rule`, tail: SAME_EFFECT },
  NeverAllowed: { clause: (effect) => `${effect} is never allowed to an agent`, tail: 'no rule and no approval can allow it.' },
  NotGranted: { clause: (effect) => `${effect} is not granted by the owner of the data`, tail: SAME_EFFECT },
  MaskedValueWrite: {
    clause: (effect) => `${effect} would store a masked value`,
    tail: 'leave masked columns out; what was shown is not the data.',
  },
  LabelledValueWrite: {
    clause: (effect) => `${effect} would put a sensitive value where it is not masked`,
    tail: 'do not copy masked columns.',
  },
  InferenceLimited: {
    clause: (effect) => `${effect} compares a masked column`,
    tail: 'use equality with one value, or columns that are not masked.',
  },
  NotAnalysable: {
    clause: (_effect, _rule, unit) => `this ${unit} cannot be judged`,
    tail: 'another statement may be; this one never runs, whatever the policy says.',
  },
  StatementSyntax: { clause: () => 'syntax error', tail: 'mend the statement there; no policy refused it.' },
  LimitReached: {
    clause: (effect) => `${effect} reached a limit of the policy`,
    tail: 'ask for fewer rows, for example with LIMIT.',
  },
  ApprovalPending: {
    clause: (effect) => `waiting for approval of ${effect}`,
    tail: 'keep the connection open and do not resend; the result follows by itself.',
  },
  ApprovalDenied: { clause: (effect) => `${effect} was denied by a reviewer`, tail: 'go on without it.' },
  ApprovalExpired: { clause: (effect) => `nobody decided on ${effect} in time`, tail: 'it asks again, once.' },
  ApprovalVoided: { clause: (effect) => `the approval of ${effect} is void`, tail: 'it asks again, once.' },
  ApprovalUnavailable: {
    clause: (effect, rule) => `${effect} needs an approval by ${rule}, and nobody can be asked now`,
    tail: 'go on without it.',
  },
  SettingPinned: {
    clause: () => 'this setting is pinned for the session',
    tail: 'leave the setting out and write schema-qualified names.',
  },
  ProtocolViolation: {
    clause: () => 'the client broke the protocol',
    tail: 'use an ordinary driver, without replication or function-call messages.',
  },
  StatementTooLarge: {
    clause: () => 'this statement is too large to be judged',
    tail: 'send smaller statements, for example fewer rows at once.',
  },
  ResourceNotReady: { clause: () => 'this resource cannot be used now', tail: NOT_YOURS },
  RecordingBlocked: { clause: () => 'this action cannot be recorded now and did not run', tail: NOT_YOURS },
  SessionEnded: { clause: () => 'this session was ended', tail: 'ask whoever runs this agent before connecting again.' },
  PolicyStale: { clause: () => 'the policy in force here is too old to be trusted', tail: NOT_YOURS },
  TokenRequired: {
    clause: () => 'a token of whoever this agent acts for is needed',
    tail: 'connect with TLS and the token as the password.',
  },
  TokenRejected: {
    clause: () => 'the token was not accepted',
    tail: 'connect again with a fresh token as the password.',
  },
  TooManyConnections: { clause: () => 'too many connections of this agent are open', tail: 'close some first.' },
  DatabaseNotServed: { clause: () => 'this database is not served here', tail: 'connect to the database of the resource.' },
  AgentNotSelected: { clause: () => 'no policy speaks of this agent', tail: 'nothing is allowed to it here.' },
  InternalFault: { clause: () => 'an internal fault ended this session', tail: NOT_YOURS },
  PurposeMissing: { clause: () => 'this agent states no purpose', tail: 'its pod needs the annotation that its policy names.' },
  ResourceNotNamed: { clause: () => 'no rule of this agent names this resource', tail: 'nothing is allowed to it here.' },
};

/**
 * A refusal in the agent's own protocol: what, which code, one of five advices, what still works. It quotes no literal and names
 * no person, upstream or other rule; text that policies or servers wrote is made visible and bounded.
 */
export function agentText(refusal: Refusal): AgentText {
  const { postgres } = CODES[refusal.code];
  const detail = detailOf(refusal);
  const severity = refusal.approval?.repeat === true ? 'ERROR' : postgres.severity;
  const hint = severity === 'ERROR' ? hintOf(refusal) : undefined;
  return {
    severity,
    sqlstate: severity === 'ERROR' && postgres.sqlstate === '00000' ? '55000' : postgres.sqlstate,
    message: messageOf(refusal),
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
  };
}

/** What an SSH client is shown on standard error, one line without its end, and the exit status that goes with it. */
export interface SshText {
  readonly line: string;
  /** 126: it is not permitted; 75: it may be, later (EX_TEMPFAIL of sysexits.h). Never 255, which says that ssh itself failed. */
  readonly exit: 75 | 126;
}

/** As {@link agentText}, for SSH: the first line has to say it all, since nothing but text and a number reaches the agent. */
export function sshText(refusal: Refusal): SshText {
  const { retry } = CODES[refusal.code];
  const later = retry === 'wait' || retry === 'repeat-unchanged' || retry === 'try-later';
  const { unit = 'command' } = refusal;
  const tails = unit === 'command' ? SSH_TAILS : { ...SSH_TAILS, ...WORDLESS_TAILS };
  return { line: lineOf({ ...refusal, unit }, tails), exit: later ? 75 : 126 };
}

/** As {@link agentText}, for the Kubernetes API: what a Status has for its message. */
export function requestText(refusal: Refusal): string {
  return lineOf({ unit: 'request', isOver: ENDING.has(refusal.code), ...refusal }, REQUEST_TAILS);
}

/** With them a connection to the Kubernetes API ends. */
const ENDING: ReadonlySet<AgentCode> = new Set([
  'SessionEnded',
  'RecordingBlocked',
  'InternalFault',
  'TokenRequired',
  'TokenRejected',
]);

function lineOf(refusal: Refusal, tails: Partial<Record<AgentCode, string>>): string {
  const parts = [messageOf(refusal, tails)];
  const isHeld = refusal.code === 'ApprovalPending' && refusal.approval?.repeat !== true;
  if (!isHeld) {
    const allowed = (refusal.allowedHere ?? []).slice(0, MAX_PHRASES).map((phrase) => visible(phrase, MAX_MESSAGE));
    if (allowed.length > 0) parts.push(`Allowed here: ${allowed.join('; ')}.`);
    const detail = detailOf(refusal);
    if (detail !== undefined) parts.push(detail);
    if (refusal.isOver !== true) parts.push('The connection stays usable.');
  }
  // What people wrote ends as they like.
  return parts.map((part, at) => (at === parts.length - 1 || /[.?!]$/.test(part) ? part : `${part}.`)).join(' ');
}

/** What a terminal, or what is as open as one, is told of its end: as it begins, and shortly before. Times in ms since 1970. */
export function sshTimeText(said: 'begins' | 'ends', what: Unit | 'terminal', endsAt: number, now: number): string {
  const until = `${new Date(endsAt).toISOString().slice(11, 19)} UTC, in ${spoken(Math.max(0, endsAt - now))}`;
  return said === 'begins'
    ? `chaperone: this ${what} is recorded. It ends at ${until}.`
    : `chaperone: this ${what} ends at ${until}. Save what is to stay.`;
}

/** What is different to do than on a database. */
const SSH_TAILS: Partial<Record<AgentCode, string>> = {
  NotAnalysable: 'write it with plain words and quotes, without variables, substitutions and patterns; this text never runs.',
  LimitReached: 'ask for less at once.',
  ProtocolViolation: 'use an ordinary client.',
  ResourceNotReady: 'it is not the fault of the command.',
  RecordingBlocked: 'it is not the fault of the command.',
  InternalFault: 'it is not the fault of the command.',
  PolicyStale: 'it is not the fault of the command.',
  TokenRequired: 'give the token as the password.',
  TokenRejected: 'connect again with a fresh token as the password.',
};

/** Of what has no wording that could be another. */
const WORDLESS_TAILS: Partial<Record<AgentCode, string>> = {
  DeniedByRule: SAME_POLICY,
  NoRuleAllows: SAME_POLICY,
  NotGranted: SAME_POLICY,
};

const REQUEST_TAILS: Partial<Record<AgentCode, string>> = {
  ...SSH_TAILS,
  MaskedValueWrite: 'leave masked fields out, and patch what changes; what was shown is not the data.',
  NotAnalysable: 'ask as kubectl does; this request never runs.',
  LimitReached: 'ask for less at once, for example by a selector or a limit.',
  ResourceNotReady: 'it is not the fault of the request.',
  RecordingBlocked: 'it is not the fault of the request.',
  InternalFault: 'it is not the fault of the request.',
  PolicyStale: 'it is not the fault of the request.',
  TokenRequired: 'give it as the bearer token.',
  TokenRejected: 'ask again with a fresh token as the bearer token.',
};

function messageOf(refusal: Refusal, tails: Partial<Record<AgentCode, string>> = {}): string {
  const { code, approval, unit = 'statement', repeated = 1 } = refusal;
  const effect = effectOf(refusal);
  const news = approval && approvalText(code, effect, approval);
  if (news !== undefined) return news;
  const texts = TEXTS[code];
  const rule = refusal.rule === undefined ? 'a rule' : `rule "${visible(refusal.rule, MAX_NAME)}"`;
  const tail = refusal.message === undefined ? (tails[code] ?? texts.tail) : visible(refusal.message, MAX_MESSAGE);
  const reason = refusal.reason === undefined ? '' : `: ${visible(refusal.reason, MAX_MESSAGE).replace(/[.]$/, '')}`;
  const advice =
    refusal.instead === undefined
      ? `${WORDING[CODES[code].retry]}: ${tail}`
      : `${WORDING['change-it']}: ${visible(refusal.instead, MAX_MESSAGE)}.`;
  const again = repeated < 3 ? '' : ` (${ordinal(repeated)} time; the answer will not change)`;
  return `chaperone: ${texts.clause(effect, rule, unit)}${reason} (${code}). ${advice}${again}`;
}

/** What is said of a request that people are asked by; undefined: the code is about something else. */
function approvalText(code: AgentCode, effect: string, news: ApprovalNews): string | undefined {
  const request = visible(news.request, MAX_NAME);
  const time = spoken(news.timeoutMs);
  switch (code) {
    case 'ApprovalPending':
      return news.repeat === true
        ? `chaperone: ${effect} waits for approval ${request} (ApprovalPending). It has not run. Repeat it unchanged within ${time}: it runs then if it was approved.`
        : `chaperone: waiting for approval ${request} of ${effect}, at most ${time} (ApprovalPending). Keep the connection open, do not resend; the result follows by itself.`;
    case 'ApprovalDenied': {
      const reviewer = news.reviewer === undefined ? '' : ` Reviewer: "${visible(news.reviewer, MAX_MESSAGE)}"`;
      return `chaperone: ${request} was denied by a reviewer (ApprovalDenied); ${effect} did not run. Do not retry.${reviewer}`;
    }
    case 'ApprovalExpired':
      return `chaperone: ${request} expired after ${time} without a decision (ApprovalExpired); it did not run. Repeat unchanged once to ask again, or go on without it.`;
    case 'ApprovalVoided':
      return `chaperone: ${request} is void, since ${news.why ?? 'what it was about changed'} (ApprovalVoided); ${effect} did not run. Repeat unchanged once to ask again.`;
    default:
      return undefined;
  }
}

/** A time for people: `90 s`, `5 min`. */
function spoken(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds >= 120 && seconds % 60 === 0 ? `${seconds / 60} min` : seconds === 60 ? '1 min' : `${seconds} s`;
}

function effectOf({ verb, object, unit = 'statement' }: Refusal): string {
  if (verb === undefined || verb === '' || (unit !== 'statement' && (object === undefined || object === '')))
    return `this ${unit}`;
  if (verb === 'exec') return visible(object ?? '', MAX_NAME);
  const name = visible(verb, MAX_NAME).toUpperCase();
  return object === undefined || object === '' ? name : `${name} on ${visible(object, MAX_NAME)}`;
}

function detailOf({ policy, reference }: Refusal): string | undefined {
  const parts = [
    ...(policy === undefined ? [] : [`Policy ${visible(policy, MAX_MESSAGE)}.`]),
    ...(reference === undefined ? [] : [`Reference ${visible(reference, MAX_NAME)}.`]),
  ];
  return parts.length === 0 ? undefined : parts.join(' ');
}

function hintOf({ allowedHere = [], inTransaction = false }: Refusal): string {
  const phrases = allowedHere.slice(0, MAX_PHRASES).map((phrase) => visible(phrase, MAX_MESSAGE));
  const allowed = phrases.length === 0 ? '' : `Allowed here: ${phrases.join('; ')}. `;
  return `${allowed}The connection stays usable.${inTransaction ? ' Send ROLLBACK first.' : ''}`;
}

function ordinal(count: number): string {
  const teen = count % 100 >= 11 && count % 100 <= 13;
  const ending = teen ? 'th' : (['th', 'st', 'nd', 'rd'][count % 10] ?? 'th');
  return `${count}${ending}`;
}
