import { hash } from 'node:crypto';
import { type AccessRequest, type ApprovalDecision, REQUEST_NAME, type RequestState, type SessionKill } from '@chaperone/api';
import { z } from 'zod';
import { CliError, EXIT, usage } from '../errors.ts';

export interface RequestFilter {
  /** Undefined: every namespace. */
  readonly namespace?: string | undefined;
  /** Undefined: every state. */
  readonly states?: readonly RequestState[] | undefined;
  /** Whole. */
  readonly name?: string | undefined;
}

/** Who decides, and their groups. */
export interface Person {
  readonly user: string;
  readonly groups: readonly string[];
  /** Who that is, for people, where the name does not say it. */
  readonly note?: string;
}

export interface Answer {
  /** As it was shown to the person. */
  readonly request: AccessRequest;
  readonly decision: 'Approve' | 'Deny';
  readonly reason?: string | undefined;
  /** Seconds for which the same may run again, with other values. */
  readonly grantFor?: number | undefined;
}

/** How long the end of a session is waited for, ms. */
export const END_WAIT_MS = 5_000;
/** What became of the wish to end a session. */
export interface SessionEnd {
  /** Whoever had it said that it is over. */
  readonly ended: boolean;
  /** In a cluster, what asks for it. */
  readonly kill?: SessionKill;
}

/** What is known of an action beside its request, such as rows that it would have met, masked: shown to people, kept nowhere. */
export const RequestContent = z.object({
  columns: z.array(z.string()).optional(),
  rows: z.array(z.array(z.string().nullable())).optional(),
  change: z.array(z.string()).optional(),
  /** All of a text of which the request has only the beginning. */
  text: z.string().optional(),
});
export type RequestContent = z.infer<typeof RequestContent>;

/** Where requests are, and where people answer them: a cluster, or a `chaperone up`. Throws CliError. */
export interface RequestDesk extends AsyncDisposable {
  /** What a list without -A is about; undefined: all that there is. */
  readonly namespace: string | undefined;
  /** Where a decision is written, for people. */
  readonly place: string;
  /** The newest first. */
  list(filter: RequestFilter): Promise<AccessRequest[]>;
  /** By name or by a unique beginning of one. */
  get(name: string, namespace?: string): Promise<AccessRequest>;
  /** Some of the rows that it would meet, or what it would change; undefined: they are not shown here. */
  content(request: AccessRequest): Promise<RequestContent | undefined>;
  /** Who would be the author of an answer to this request. */
  person(request: AccessRequest): Promise<Person>;
  /** Gives an answer; the same one twice is given once, unless the first did not count. */
  decide(answer: Answer): Promise<ApprovalDecision>;
  /** Has a session ended at once, and waits for some seconds until it is; its agent reads why. */
  endSession(session: string, reason: string): Promise<SessionEnd>;
  /**
   * What there is now and then every change, whatever the state, until the signal; ends with CliError where it is cut off for good.
   * The same state of a request may be told twice.
   */
  watch(filter: Omit<RequestFilter, 'states'>, signal: AbortSignal): AsyncIterable<AccessRequest>;
}

const PREFIX = /^ar-[a-z2-7]{0,16}$/;

/** A name, or the beginning of one, as somebody types it: also accessrequest/ar-… @throws CliError Usage */
export function demandName(typed: string): string {
  const name = typed.replace(/^(accessrequests?(\.chaperone\.dev)?|accreq)\//, '');
  if (PREFIX.test(name)) return name;
  throw usage(
    `"${typed.slice(0, 40)}" is not the name of a request; they look like ar-7f3kq2mzt4hcnw5e, and a unique beginning is enough`,
  );
}

export function isWhole(name: string): boolean {
  return REQUEST_NAME.test(name);
}

/** The one request whose name begins so. @throws CliError NotFound, AmbiguousName */
export function only(name: string, requests: readonly AccessRequest[], where: string): AccessRequest {
  const found = requests.filter(({ metadata }) => metadata.name.startsWith(name));
  const [first, second] = found;
  if (first === undefined) throw notFound(name, where);
  if (second === undefined) return first;
  const names = found.slice(0, 10).map(({ metadata }) => metadata.name);
  throw new CliError('AmbiguousName', `${name} fits ${found.length} requests: ${names.join(', ')}`, { exit: EXIT.usage });
}

export function notFound(name: string, where: string): CliError {
  return new CliError('NotFound', `no request ${name} ${where}`, { exit: EXIT.notFound, fix: ['chaperone requests ls'] });
}

export function fits({ metadata, status }: AccessRequest, { namespace, states, name }: RequestFilter): boolean {
  return (
    (namespace === undefined || metadata.namespace === namespace) &&
    (name === undefined || metadata.name === name) &&
    (states === undefined || states.includes(status?.state ?? 'Pending'))
  );
}

/** The name of a person's answer: the same for the same answer, so that a double press makes one. */
export function decisionName({ metadata }: AccessRequest, user: string, decision: Answer['decision']): string {
  const seal = hash('sha256', `${metadata.uid ?? ''}${user}${decision}`, 'hex');
  return `${metadata.name}-${seal.slice(0, 12)}`;
}
