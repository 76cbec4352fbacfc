import type { AccessRequest, Approvers, CountedDecision, RequestStatus } from './request.ts';
import { visible } from './text.ts';

/** An AccessRequest shows at most so much of a statement, escaped; its spec says how long the whole is. */
export const MAX_REQUEST_TEXT = 8 * 1024;
/** Values and effects of a request; its spec has no room for more. */
export const MAX_LISTED = 64;
/** More rows are not approved by a letter, or by a press. */
export const MAX_ROWS = 100;
/** Annotation of a request: where it is decided with a signature, https. */
export const DECIDE_PAGE = 'chaperone.dev/decide-page';
/** A look takes 700 ms at most, a dry run 5 s, and its way; a cluster notes when something was made in whole seconds. */
const LOOKING_MS = 3_000;
const TRYING_MS = 8_000;
export const LOOKING_WORDS = 'being looked at';
const DATA_VERBS: ReadonlySet<string> = new Set(['select', 'insert', 'update', 'delete']);

/** Words of ours, and text that somebody else chose, told apart: a page frames what is foreign, a terminal makes it visible. */
export type Words = readonly (string | { readonly foreign: string })[];

/** As one text, in which foreign parts are what they are. */
export function plain(words: Words): string {
  return words.map((word) => (typeof word === 'string' ? word : word.foreign)).join('');
}

/** What a digest is called by where people compare it: `9c1f-44ab`. */
export function shortDigest(whole: string): string {
  return `${whole.slice(0, 4)}-${whole.slice(4, 8)}`;
}

/** The first 64 bits of what seals a statement without its values, where people compare it: `9c1f-44ab-0e72-d5b8`. */
export function shortTemplate(whole: string): string {
  return [0, 4, 8, 12].map((at) => whole.slice(at, at + 4)).join('-');
}

/** 12:08:19Z of a time in RFC 3339. */
export function clockTime(at: string): string {
  const parsed = new Date(at);
  return Number.isNaN(parsed.getTime()) ? visible(at, 64) : `${parsed.toISOString().slice(11, 19)}Z`;
}

/** 2026-01-01 12:08:19Z of a time in RFC 3339. */
export function dayTime(at: string): string {
  const parsed = new Date(at);
  return Number.isNaN(parsed.getTime()) ? visible(at, 64) : parsed.toISOString().replace('T', ' ').replace('.000', '');
}

export function stateOf({ status }: AccessRequest): string {
  return status?.state ?? 'Pending';
}

/** What needs approval of it, by its effects. */
export function heldEffects({ spec }: AccessRequest): AccessRequest['spec']['effects'] {
  return spec.effects.filter(({ verdict }) => verdict === 'approve');
}

/** answer support tickets, and the person behind the agent */
export function purposeWords({ spec: { agent } }: AccessRequest): Words[] {
  const { purpose, onBehalfOf } = agent;
  return [
    ...(purpose === '' ? [] : [['purpose "', { foreign: purpose }, '"']]),
    ...(onBehalfOf === undefined
      ? []
      : [['on behalf of ', { foreign: onBehalfOf.user }, ' (verified by ', { foreign: onBehalfOf.issuer }, ')']]),
  ];
}

/**
 * For how long what a request meets may still be looked at, ms: it is asked for first, and nobody has said yet. 0: it is known, or nobody
 * will say.
 */
export function lookingMs(request: AccessRequest, now: number): number {
  const { metadata, status } = request;
  if (stateOf(request) !== 'Pending' || status?.preview !== undefined) return 0;
  const age = now - Date.parse(metadata.creationTimestamp ?? '');
  const most = isOfKubernetes(request) ? TRYING_MS : LOOKING_MS;
  return age >= 0 && age < most ? most - age : 0;
}

/** Whether it is tried as a dry run, and meets no rows. */
export function isOfKubernetes({ spec: { protocol } }: AccessRequest): boolean {
  return protocol === 'kubernetes';
}

/** Which run of its client it is of, by the client's own word: `kubectl apply, run 1f2e3d4c`. Undefined: none is said. */
export function runOf(request: AccessRequest): string | undefined {
  if (!isOfKubernetes(request)) return undefined;
  return /: (kubectl(?: [a-z][a-z-]{0,31}){0,3}, run [0-9a-fA-F-]{8})$/.exec(request.spec.sentence)?.[1];
}

/** Other requests of the same agent that say they are of the same run, in the order in which they were asked for. */
export function ofSameRun(request: AccessRequest, all: Iterable<AccessRequest>): AccessRequest[] {
  const run = runOf(request);
  if (run === undefined) return [];
  const [own, { uid }] = [agentKey(request), request.metadata];
  const others = [...all].filter((each) => each.metadata.uid !== uid && runOf(each) === run && agentKey(each) === own);
  return others.toSorted((a, b) => askedAt(a) - askedAt(b));
}

function agentKey({ metadata, spec: { agent } }: AccessRequest): string {
  return JSON.stringify([metadata.namespace, agent.serviceAccount, agent.podUid ?? agent.pod]);
}

function askedAt({ metadata }: AccessRequest): number {
  return Date.parse(metadata.creationTimestamp ?? '') || 0;
}

/** What that which it meets is called. */
export function metLabel(request: AccessRequest): 'Rows' | 'Change' | 'Note' {
  if (isOfKubernetes(request)) return 'Change';
  return meetsRows(request) ? 'Rows' : 'Note';
}

/** Said until it is known. */
export function unlookedWords(request: AccessRequest): string {
  return isOfKubernetes(request) ? 'nobody has tried yet what it changes' : 'nobody has looked yet at the rows that it meets';
}

/** Whether approvers may see beside the request what it meets: rows, or a change. */
export function showsWhatItMeets(request: AccessRequest): boolean {
  const { preview } = request.status ?? {};
  if (preview === undefined) return false;
  return isOfKubernetes(request) ? preview.why === undefined : (preview.count ?? 0) > 0;
}

/** Objects are counted where one request deletes many. */
export function metCount(request: AccessRequest, count: number): string {
  return `${count.toLocaleString('en-US')} ${isOfKubernetes(request) ? 'object' : 'row'}${count === 1 ? '' : 's'}`;
}

const WITH_ROWS: ReadonlySet<string> = new Set(['postgres', 'mysql']);
/** Whether what it meets are rows of a database. */
export function meetsRows({ spec }: AccessRequest): boolean {
  return WITH_ROWS.has(spec.protocol);
}

/** What is known before it runs: {@link rowsWords}, or, where there are no rows, why nobody looked. */
export function previewWords(request: AccessRequest): Words[] {
  if (meetsRows(request) || isOfKubernetes(request)) return rowsWords(request);
  const { why } = request.status?.preview ?? {};
  return why === undefined ? [] : [[{ foreign: why }]];
}

/**
 * 1 row matched when it was asked for; else what the upstream expects, and why nobody counted. Decisions are signed over these words, of
 * every protocol.
 */
export function rowsWords(request: AccessRequest): Words[] {
  const { preview } = request.status ?? {};
  if (preview === undefined) return [];
  const { count, estimate, why } = preview;
  if (isOfKubernetes(request)) return [triedWords(request, count, why)];
  if (count !== undefined) return [[`${rowCount(count)} matched when it was asked for`]];
  const expected = estimate === undefined ? [] : [[`about ${rowCount(estimate)} expected`]];
  if (why === undefined && estimate !== undefined) return expected;
  return [...expected, ['nobody looked at the rows that it meets', ...(why === undefined ? [] : [': ', { foreign: why }])]];
}

function triedWords(request: AccessRequest, count: number | undefined, why: string | undefined): Words {
  if (count !== undefined) return [`${metCount(request, count)} matched when it was asked for`];
  return why === undefined ? ['tried as a dry run when it was asked for'] : ['not previewed: ', { foreign: why }];
}

function rowCount(count: number): string {
  return `${count} row${count === 1 ? '' : 's'}`;
}

/** 14:04:19Z SELECT on public.tickets: SELECT 12; the newest last */
export function recentWords({ spec: { recent = [] } }: AccessRequest): Words[] {
  return recent.map(({ at, sentence, verdict, result }) => {
    const said: Words = result !== undefined ? [': ', { foreign: result }] : verdict === 'deny' ? [': denied'] : [];
    return [`${clockTime(at)} `, { foreign: sentence }, ...said];
  });
}

/** With whose approval it was granted. */
export function grantedWords({ spec: { grantedBy } }: AccessRequest): Words | undefined {
  return grantedBy === undefined ? undefined : [`with the approval of ${grantedBy}; nobody was asked`];
}

/** What it grants beyond itself, and who ended that. */
export function grantWords(request: AccessRequest): Words | undefined {
  const { grantedUntil, revokedBy, grantEnded } = request.status ?? {};
  if (grantedUntil === undefined) return undefined;
  const lapsed: Words = grantEnded === undefined ? [] : [`, ended at ${dayTime(grantEnded.at)}: `, { foreign: grantEnded.why }];
  const ended: Words = revokedBy === undefined ? lapsed : [', ended by ', { foreign: revokedBy }];
  return [
    `${isOfKubernetes(request) ? 'the very same again' : 'the same again, with other values'}, until ${visible(grantedUntil, 64)}`,
    ...ended,
  ];
}

/** Whether an answer ended what its request grants, and not the request, which had been approved. */
export function isRevocation(
  { state, revokedBy }: RequestStatus,
  { decision, by, counted }: Pick<CountedDecision, 'decision' | 'by' | 'counted'>,
): boolean {
  return counted && decision === 'Deny' && by === revokedBy && state !== 'Denied';
}

/** Who may run what again by a grant: agent support-agent in pod support-agent-6d9f7, on data/orders-db, by rule "fix". */
export function scopeWords({ metadata, spec: { agent, resource, rules } }: AccessRequest): Words {
  const { serviceAccount, pod, onBehalfOf } = agent;
  return [
    'agent ',
    { foreign: `${metadata.namespace ?? ''}/${serviceAccount}` },
    ...(pod === undefined ? [] : [' in pod ', { foreign: pod }]),
    ...(onBehalfOf === undefined ? [] : [' on behalf of ', { foreign: onBehalfOf.user }]),
    ', on ',
    { foreign: `${resource.namespace}/${resource.name}` },
    `, by rule${rules.length === 1 ? '' : 's'} `,
    ...listed(rules.map(({ policy, rule }) => `${policy.namespace}/${policy.name} ${rule}`)),
  ];
}

/** What a grant lets the agent choose. A request of the Kubernetes API has no values beside what it is. */
export function grantScope(request: AccessRequest): string {
  return isOfKubernetes(request)
    ? 'the very same request again: it may meet another state of its object'
    : 'the same again, with any other values, in conditions too: it may meet other rows, and more of them';
}

/** 30 min, 1 h 30 min */
export function minutesText(seconds: number): string {
  const parts = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [Math.floor(seconds) % 60, 's'],
  ] as const;
  const said = parts.filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`);
  return said.length === 0 ? '0 s' : said.join(' ');
}

export const TRANSACTION_WORDS = 'part of an open transaction, whose locks are held meanwhile';

export function waitsWords({ spec }: AccessRequest): string {
  return spec.mode === 'hold' ? 'the connection waits for the decision' : 'the agent repeats it once it is approved';
}

/** What is not seen of a statement. */
export function cutWords(request: AccessRequest): string | undefined {
  const { text, textBytes } = request.spec;
  if (text.length < MAX_REQUEST_TEXT) return undefined;
  const what = isOfKubernetes(request) ? 'request' : 'statement';
  return `these are the first ${MAX_REQUEST_TEXT} characters of a ${what} of ${textBytes} bytes`;
}

/** A request holds so many values and effects, and does not say whether there were more. */
export function fullWords(values: readonly unknown[] = [], of: string): string | undefined {
  return values.length < MAX_LISTED ? undefined : `a request shows ${MAX_LISTED} ${of}; there may be more`;
}

/**
 * The object whose name somebody has to type who approves: where nobody knows how much it meets, where that is a lot, and where it
 * changes what there is. Undefined: a letter, or a press, is enough.
 */
export function typedObject(request: AccessRequest): string | undefined {
  const { resource } = request.spec;
  const { preview } = request.status ?? {};
  const held = heldEffects(request);
  const isData = held.every(({ verb }) => DATA_VERBS.has(verb));
  // What was tried is about one object, where it does not say how many.
  const met = isOfKubernetes(request)
    ? showsWhatItMeets(request)
      ? (preview?.count ?? 1)
      : undefined
    : isData
      ? preview?.count
      : undefined;
  if (met !== undefined && met <= MAX_ROWS) return undefined;
  return visible(held[0]?.object ?? resource.name) || resource.name;
}

/** How an answer is known to be its author's: `signed with a passkey`. Undefined: nobody has said. */
export function assuranceWords({
  assurance,
  via,
}: {
  readonly assurance?: string | undefined;
  readonly via?: string | undefined;
}): string | undefined {
  if (assurance === 'passkey') return 'signed with a passkey';
  if (assurance === 'signed') return 'signed';
  if (via === 'slack') return 'given in Slack, by the operator’s word';
  if (assurance === 'local') return 'on this machine, where nobody signs in';
  return assurance === 'kubernetes' ? 'by the API server’s word' : undefined;
}

const ASSURANCE_WORDS = { kubernetes: '', signed: ', signed', passkey: ', by passkey' } as const;

/** rule "fix", generation 12 · needs 1 of group dba, with a reason */
export function ruleWords(rule: Approvers): Words {
  const { escalation } = rule;
  const each: Words = rule.all.length === 0 ? [] : [', and one of each of ', ...listed(rule.all)];
  const later: Words = escalation === undefined ? [] : [`, from ${dayTime(escalation.at)} also of `, ...whom(escalation)];
  return [
    'rule "',
    { foreign: rule.rule },
    `", generation ${rule.generation} · needs ${rule.minimum} of `,
    ...whom(rule),
    ...each,
    ...later,
    ...(rule.reason ? [', with a reason'] : []),
    ASSURANCE_WORDS[rule.assurance ?? 'kubernetes'],
  ];
}

/** group dba or users a, b */
export function whom({ groups, users }: { readonly groups: readonly string[]; readonly users: readonly string[] }): Words {
  const all = [plural('group', groups), plural('user', users)].filter(({ length }) => length > 0);
  return all.length === 0 ? ['nobody'] : all.flatMap((words, at) => (at === 0 ? words : [' or ', ...words]));
}

/** Everybody whom a request's rules ask: `group dba, and user jane`. */
export function askedWords({ spec }: AccessRequest): Words {
  const needed = new Map(
    spec.rules.map((rule) => {
      const words = whom({ groups: [...rule.groups, ...rule.all], users: rule.users });
      return [plain(words), words] as const;
    }),
  );
  return [...needed.values()].flatMap((words, at) => (at === 0 ? words : [', and ', ...words]));
}

function plural(word: string, names: readonly string[]): Words {
  return names.length === 0 ? [] : [`${word}${names.length === 1 ? '' : 's'} `, ...listed(names)];
}

function listed(names: readonly string[]): Words {
  return names.flatMap((foreign, at) => (at === 0 ? [{ foreign }] : [', ', { foreign }]));
}

/**
 * What a request came to that is over, and who did it: `ar-7f3k was denied 2m ago by bob@corp ("wrong ticket")`.
 * @param ago - how long ago that was, where it is known
 */
export function overWords({ metadata, spec, status }: AccessRequest, ago: string | undefined): Words {
  const { name } = metadata;
  const when = ago === undefined ? '' : ` ${ago} ago`;
  const by = (decision: 'Approve' | 'Deny'): Words => {
    const those = (status?.decisions ?? []).filter((each) => each.counted && each.decision === decision);
    const reason = those.find((each) => each.reason !== undefined)?.reason;
    const people = [...new Set(those.map((each) => each.by))];
    return [
      ...(people.length === 0 ? [] : [' by ', ...listed(people)]),
      ...(reason === undefined ? [] : [' ("', { foreign: reason }, '")']),
    ];
  };
  const result = (otherwise: string): Words => (status?.result === undefined ? [otherwise] : [{ foreign: status.result }]);
  switch (status?.state) {
    case 'Denied':
      return [`${name} was denied${when}`, ...by('Deny')];
    case 'Expired':
      return [`${name} expired at ${clockTime(spec.expiresAt)} with ${status.votes ?? '0/1'} approvals; it never ran`];
    case 'Withdrawn':
      return [`${name} was withdrawn${when}: the agent left before anybody decided`];
    case 'Voided':
      return [`${name} was voided${when}: what it was about changed meanwhile; it did not run`];
    case 'Ran':
      return [`${name} was approved${when}`, ...by('Approve'), ' and ran: ', ...result('done')];
    case 'Failed':
      return [`${name} was approved${when}`, ...by('Approve'), ', ran and failed: ', ...result('an error')];
    case 'Released':
      return [`${name} was approved${when}`, ...by('Approve'), ' and runs'];
    default:
      return [`${name} was approved${when}`, ...by('Approve')];
  }
}

/** waits for one more */
export function missingWords({ status, spec }: AccessRequest): Words {
  const [given, needed] = (status?.votes ?? '').split('/').map(Number);
  const missing = (needed ?? 1) - (given ?? 0);
  if (missing === 1) return ['waits for one more'];
  if (missing > 1) return [`waits for ${missing} more`];
  // Enough people, but not of every rule, or not of every group that a rule wants.
  const groups = [...new Set(spec.rules.flatMap(({ all }) => all))];
  return groups.length === 0 ? ['waits for people of the other rules'] : ['waits for one of each of ', ...listed(groups)];
}
