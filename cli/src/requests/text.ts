import { type AccessRequest, type Approvers, type Assurance, DECIDE_PAGE, MAX_REQUEST_TEXT, shortDigest } from '@chaperone/api';
import { visible } from '@chaperone/api/text';
import { mayDecide } from '@chaperone/policy';
import { age, counted, table } from '../io.ts';
import type { Person, RequestContent } from './desk.ts';

/** Of a statement and its values beside a prompt; [v]iew shows the whole. */
const SHOWN = { text: 400, value: 60, values: 8, effects: 6, recent: 4 } as const;
/** Values and effects of a request; RequestSpec has no room for more. */
const MAX_LISTED = 64;
/** More rows are not approved by a letter. */
const MAX_ROWS = 100;
const DATA_VERBS: ReadonlySet<string> = new Set(['select', 'insert', 'update', 'delete']);
/** In a table. */
const MAX_EFFECTS = 2;

/** 4m12s, 45s; never below nothing. */
export function left(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
  return minutes === 0 ? `${seconds}s` : `${minutes}m${String(seconds % 60).padStart(2, '0')}s`;
}

/** 12:08:19Z of a time in RFC 3339. */
export function clockTime(at: string): string {
  const parsed = new Date(at);
  return Number.isNaN(parsed.getTime()) ? visible(at, 64) : `${parsed.toISOString().slice(11, 19)}Z`;
}

export function stateOf({ status }: AccessRequest): string {
  return status?.state ?? 'Pending';
}

/** update:public.tickets — what needs approval of it, without blanks. */
export function effectCell({ spec }: AccessRequest): string {
  const held = spec.effects.filter(({ verdict }) => verdict === 'approve');
  const named = [...new Set(held.map(({ verb, object }) => `${verb}:${object}`.replace(/:$/, '').replace(/\s+/g, '_')))];
  if (named.length === 0) return spec.sentence.replace(/\s+/g, '_');
  const more = named.length - MAX_EFFECTS;
  return `${named.slice(0, MAX_EFFECTS).join(',')}${more > 0 ? `,+${more}` : ''}`;
}

export interface PromptFacts {
  readonly person: Person;
  readonly content?: RequestContent | undefined;
  /** Seconds for which the same may run again, if it is approved. */
  readonly grantFor?: number | undefined;
}

/** As the person reads it beside the prompt: what runs, what it does, for whom, and who may decide. Foreign text is made visible. */
export function promptLines(request: AccessRequest, { person, content, grantFor }: PromptFacts, now: number): string[] {
  const { metadata, spec } = request;
  const { agent, resource } = spec;
  const who = [`${metadata.namespace ?? ''}/${agent.pod ?? agent.serviceAccount}`, ...purposeOf(request)].join(' · ');
  const values = (spec.parameters ?? []).slice(0, SHOWN.values).map((value, at) => `$${at + 1} = ${visible(value, SHOWN.value)}`);
  const hidden = (spec.parameters?.length ?? 0) - values.length;
  // What needs the approval is never among those that are only counted.
  const heldFirst = spec.effects.toSorted((a, b) => Number(b.verdict === 'approve') - Number(a.verdict === 'approve'));
  const effects = heldFirst.slice(0, SHOWN.effects).map(({ verb, object }) => `${verb} ${object}`.trim());
  const others = spec.effects.length - effects.length;
  const asked = request.status?.asked ?? 1;
  return [
    line('Agent', `${visible(who)}      expires in ${left(Date.parse(spec.expiresAt) - now)}`),
    line('Runs', `${visible(spec.text, SHOWN.text)}        on ${resource.namespace}/${resource.name}`),
    ...(values.length === 0 ? [] : [line('', [...values, ...(hidden > 0 ? [`${hidden} more`] : [])].join(' · '))]),
    ...fullLine(spec.parameters, 'values'),
    ...cutLine(request, SHOWN.text),
    line(
      'Effect',
      [
        visible([...effects, ...(others > 0 ? [`${others} more`] : [])].join(', ')),
        ...rowsOf(request),
        ...transactionOf(request),
      ].join(' · '),
    ),
    ...contentLines(content),
    ...recentLines(request, SHOWN.recent),
    ...(asked > 1 ? [line('Again', `the agent asked for the very same ${asked} times while it was pending`)] : []),
    line('Digest', [shortDigest(spec.digest), ...spec.rules.map((rule) => ruleText(rule, person, now))].join(' · ')),
    ...grantLines(grantFor),
    ...votesLine(request),
    ...(person.note === undefined ? [] : [line('You', visible(`${person.user}, ${person.note}`))]),
  ];
}

/** All of it, for `requests show` and [v]iew whole. */
export function wholeLines(request: AccessRequest, content: RequestContent | undefined, now: number): string[] {
  return [
    ...whoLines(request),
    ...actionLines(request),
    ...contentLines(content),
    ...termLines(request, now),
    ...grantedLines(request),
    ...answerLines(request),
  ];
}

function whoLines(request: AccessRequest): string[] {
  const { metadata, spec, status } = request;
  const { agent, resource } = spec;
  const who = [`${agent.pod ?? agent.serviceAccount} (ServiceAccount ${agent.serviceAccount})`, ...purposeOf(request)];
  return [
    line('Name', `${metadata.name} in namespace ${metadata.namespace ?? ''}`),
    line('State', `${stateOf(request)}${status?.votes === undefined ? '' : `, ${status.votes} approvals`}`),
    line('Agent', visible(who.join(' · '))),
    line('Asks for', `${visible(spec.sentence)} on ${resource.namespace}/${resource.name} (${visible(spec.protocol)})`),
  ];
}

/** The statement, its values, and what it would do. */
function actionLines(request: AccessRequest): string[] {
  const { spec } = request;
  return [
    line('Runs', visible(spec.text)),
    ...cutLine(request, MAX_REQUEST_TEXT),
    ...(spec.parameters ?? []).map((value, at) => line('', `$${at + 1} = ${visible(value)}`)),
    ...fullLine(spec.parameters, 'values'),
    ...spec.effects.map(({ verb, object, via, verdict, rule }, at) => {
      const by = rule === undefined ? '' : ` by rule "${rule}"`;
      return line(at === 0 ? 'Effects' : '', visible(`${`${verb} ${object}`.trim()} (${via}): ${verdict}${by}`));
    }),
    ...fullLine(spec.effects, 'effects'),
    ...rowsOf(request).map((text, at) => line(at === 0 ? 'Rows' : '', text)),
    ...transactionOf(request).map((text) => line('Locks', text)),
    ...recentLines(request, Infinity),
  ];
}

/** Before    14:04:19 SELECT on public.tickets: SELECT 12 · … */
function recentLines({ spec: { recent = [] } }: AccessRequest, shown: number): string[] {
  return recent.slice(-shown).map(({ at, sentence, verdict, result }, each) => {
    const said = result ?? (verdict === 'deny' ? 'denied' : undefined);
    return line(each === 0 ? 'Before' : '', visible(`${at.slice(11, 19)} ${sentence}${said === undefined ? '' : `: ${said}`}`));
  });
}

/** Who decides, on what, until when. */
function termLines({ metadata, spec, status }: AccessRequest, now: number): string[] {
  const asked = status?.asked ?? 1;
  return [
    line('Waits', spec.mode === 'hold' ? 'the connection waits for the decision' : 'the agent repeats it once it is approved'),
    ...spec.rules.map((rule, at) => line(at === 0 ? 'Rules' : '', ruleText(rule, undefined, now))),
    line('Digest', `${shortDigest(spec.digest)} (${spec.digest})`),
    line('Session', `${spec.session}, action ${spec.action}`),
    line('Asked', `${metadata.creationTimestamp ?? ''}${asked > 1 ? `, ${asked} times` : ''}`),
    line('Expires', visible(spec.expiresAt)),
    ...pageLine(metadata),
  ];
}

/** What approving for some time means. */
function grantLines(seconds: number | undefined): string[] {
  if (seconds === undefined) return [];
  return [
    line('For', `${left(seconds * 1000)}: this agent may run the same again with any other values, without anybody being asked`),
    line('', 'chaperone grants ls shows it, chaperone grants revoke ends it'),
  ];
}

/** Granted until …; granted with ar-…, and by whom it was ended. */
function grantedLines({ spec: { grantedBy }, status: { grantedUntil, revokedBy } = {} }: AccessRequest): string[] {
  const ended = revokedBy === undefined ? '' : `, ended by ${revokedBy}`;
  return [
    ...(grantedBy === undefined ? [] : [line('Granted', `with the approval of ${grantedBy}; nobody was asked`)]),
    ...(grantedUntil === undefined
      ? []
      : [line('Grants', visible(`the same again, with other values, until ${grantedUntil}${ended}`))]),
  ];
}

/** How an answer is known to be its author's, where it is by more than the API server's word. */
const HOW: Readonly<Record<Assurance, string>> = { kubernetes: '', signed: ' (signed)', passkey: ' (by passkey)' };

/** Where it is decided with a signature. */
function pageLine(metadata: AccessRequest['metadata']): string[] {
  const page = metadata.annotations?.[DECIDE_PAGE];
  return page === undefined ? [] : [line('Page', visible(page, 300))];
}

function answerLines({ status = {} }: AccessRequest): string[] {
  const { decisions = [], conditions = [], result } = status;
  return [
    ...decisions.map(({ by, decision, reason, at, assurance = 'kubernetes', counted: counts, why }, each) => {
      const said = reason === undefined ? '' : `: "${reason}"`;
      const not = counts ? '' : ` (does not count: ${why ?? 'it is not said why'})`;
      return line(each === 0 ? 'Answers' : '', visible(`${decision} by ${by} at ${at}${HOW[assurance]}${said}${not}`));
    }),
    ...(result === undefined ? [] : [line('Result', visible(result))]),
    ...conditions.map(({ type, message }) => line(type, visible(message))),
  ];
}

function line(name: string, text: string): string {
  return `${name.padEnd(9)} ${text}`.trimEnd();
}

/** Votes     1 of 2 so far: approved by bob */
function votesLine({ status = {} }: AccessRequest): string[] {
  const given = (status.decisions ?? []).flatMap(({ by, counted: counts }) => (counts ? [by] : []));
  if (given.length === 0) return [];
  return [line('Votes', visible(`${(status.votes ?? '').replace('/', ' of ')} so far: approved by ${given.join(', ')}`))];
}

/** A request holds so many values and effects, and does not say whether there were more. */
function fullLine(values: readonly unknown[] = [], of: string): string[] {
  return values.length < MAX_LISTED ? [] : [line('', `a request shows ${MAX_LISTED} ${of}; there may be more`)];
}

function purposeOf({ spec: { agent } }: AccessRequest): string[] {
  const { purpose, onBehalfOf } = agent;
  return [
    ...(purpose === '' ? [] : [`purpose "${purpose}"`]),
    ...(onBehalfOf === undefined ? [] : [`on behalf of ${onBehalfOf.user} (verified by ${onBehalfOf.issuer})`]),
  ];
}

function transactionOf({ spec }: AccessRequest): string[] {
  return spec.transaction ? ['part of an open transaction, whose locks are held meanwhile'] : [];
}

/** 1 row matched when it was asked for; else what the upstream expects, and why nobody counted. */
function rowsOf({ spec: { preview } }: AccessRequest): string[] {
  if (preview === undefined) return [];
  const { count, estimate, why } = preview;
  if (count !== undefined) return [`${counted(count, 'row')} matched when it was asked for`];
  const expected = estimate === undefined ? [] : [`about ${counted(estimate, 'row')} expected`];
  if (why === undefined && estimate !== undefined) return expected;
  return [...expected, `nobody looked at the rows that it meets${why === undefined ? '' : `: ${visible(why)}`}`];
}

/** Some of the rows, as they are before it. */
function contentLines({ columns = [], rows = [] }: RequestContent = {}): string[] {
  if (rows.length === 0) return [];
  const shown = rows.map((row) => row.map((cell) => (cell === null ? 'NULL' : cell)));
  return table(columns, shown)
    .split('\n')
    .map((text) => line('', text));
}

/**
 * The object whose name somebody has to type who approves: where nobody knows how much it meets, where that is a lot, and where it
 * changes what there is. Undefined: a letter is enough.
 */
export function typedObject({ spec }: AccessRequest): string | undefined {
  const { effects, preview } = spec;
  const held = effects.filter(({ verdict }) => verdict === 'approve');
  const isData = held.every(({ verb }) => DATA_VERBS.has(verb));
  if (isData && preview?.count !== undefined && preview.count <= MAX_ROWS) return undefined;
  return visible(held[0]?.object ?? spec.resource.name) || spec.resource.name;
}

/** What is not seen of a statement is said. */
function cutLine({ spec }: AccessRequest, most: number): string[] {
  const isCut = spec.text.length >= MAX_REQUEST_TEXT;
  if (isCut) return [line('', `these are the first ${MAX_REQUEST_TEXT} characters of a statement of ${spec.textBytes} bytes`)];
  return spec.text.length > most ? [line('', `${spec.text.length} characters; v shows all of them`)] : [];
}

const ASSURANCE_TEXT: Readonly<Record<Assurance, string>> = { kubernetes: '', signed: ', signed', passkey: ', by passkey' };

/** rule "fix", generation 12 · needs 1 of group dba, you are in it */
function ruleText(rule: Approvers, person: Person | undefined, now: number): string {
  const { escalation } = rule;
  const needs = `needs ${rule.minimum} of ${whom(rule)}`;
  const each = rule.all.length === 0 ? '' : `, and one of each of ${rule.all.join(', ')}`;
  const later = escalation === undefined ? '' : `, from ${clockTime(escalation.at)} also of ${whom(escalation)}`;
  const reason = rule.reason ? ', with a reason' : '';
  const assurance = ASSURANCE_TEXT[rule.assurance ?? 'kubernetes'];
  const you = person === undefined ? '' : isAsked(rule, person, now) ? ', you are asked' : ', you are not asked';
  return visible(`rule "${rule.rule}", generation ${rule.generation} · ${needs}${each}${later}${reason}${assurance}${you}`);
}

/** group dba or users a, b */
function whom({ groups, users }: { readonly groups: readonly string[]; readonly users: readonly string[] }): string {
  const all = [...plural('group', groups), ...plural('user', users)];
  return all.length === 0 ? 'nobody' : all.join(' or ');
}

function plural(word: string, names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`${word}${names.length === 1 ? '' : 's'} ${names.join(', ')}`];
}

/** Of the rules that ask this person, whether one takes their word by way of the API server. */
export function takesPlainWord({ spec }: AccessRequest, person: Person, now: number): boolean {
  return spec.rules.some((rule) => isAsked(rule, person, now) && (rule.assurance ?? 'kubernetes') === 'kubernetes');
}

export function isAsked(rule: Approvers, { user, groups }: Person, now: number): boolean {
  return mayDecide(rule, { by: user, groups, at: new Date(now).toISOString() });
}

/** What somebody lacks whom no rule asks: `needs group dba; your groups: dev, oncall`. */
export function notAsked({ metadata, spec }: AccessRequest, { user, groups }: Person): string {
  const needed = [...new Set(spec.rules.map((rule) => whom({ groups: [...rule.groups, ...rule.all], users: rule.users })))];
  const own = groups.filter((group) => !group.startsWith('system:'));
  return `${metadata.name} needs ${needed.join(', and ')}; you are ${user}, your groups: ${own.length === 0 ? 'none' : own.join(', ')}`;
}

/** What a request came to that is over, and who did it: `ar-7f3k was denied 2m ago by bob@corp ("wrong ticket")`. */
export function overText({ metadata, spec, status }: AccessRequest, now: number): string {
  const { name } = metadata;
  const ago = status?.decidedAt === undefined ? '' : ` ${age(Date.parse(status.decidedAt), now)} ago`;
  const by = (decision: 'Approve' | 'Deny'): string => {
    const those = (status?.decisions ?? []).filter((each) => each.counted && each.decision === decision);
    const reason = those.find((each) => each.reason !== undefined)?.reason;
    const people = [...new Set(those.map((each) => each.by))];
    return `${people.length === 0 ? '' : ` by ${people.join(', ')}`}${reason === undefined ? '' : ` ("${reason}")`}`;
  };
  switch (status?.state) {
    case 'Denied':
      return `${name} was denied${ago}${by('Deny')}`;
    case 'Expired':
      return `${name} expired at ${clockTime(spec.expiresAt)} with ${status.votes ?? '0/1'} approvals; it never ran`;
    case 'Withdrawn':
      return `${name} is over: the agent left before anybody decided`;
    case 'Voided':
      return `${name} is void: what it was about changed meanwhile; it did not run`;
    case 'Ran':
      return `${name} was approved${ago}${by('Approve')} and ran: ${status.result ?? 'done'}`;
    case 'Failed':
      return `${name} was approved${ago}${by('Approve')}, ran and failed: ${status.result ?? 'an error'}`;
    case 'Released':
      return `${name} was approved${ago}${by('Approve')} and runs`;
    default:
      return `${name} was approved${ago}${by('Approve')}`;
  }
}
