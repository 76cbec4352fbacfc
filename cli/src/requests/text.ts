import { type AccessRequest, type Approvers, type Assurance, DECIDE_PAGE } from '@chaperone/api';
import {
  askedWords,
  cutWords,
  fullWords,
  grantedWords,
  grantWords,
  heldEffects,
  isOfKubernetes,
  isOpen,
  isRevocation,
  lookingMs,
  LOOKING_WORDS,
  mayDecide,
  metLabel,
  meetsRows,
  overWords,
  plain,
  previewWords,
  purposeWords,
  recentWords,
  ruleWords,
  runOf,
  shortDigest,
  shortTemplate,
  stateOf,
  TRANSACTION_WORDS,
  waitsWords,
} from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import { age, table } from '../io.ts';
import type { Person, RequestContent } from './desk.ts';

/** Of a statement and its values beside a prompt; [v]iew shows the whole. */
const SHOWN = { text: 400, lines: 20, value: 60, values: 8, effects: 6, recent: 4 } as const;
/** In a table. */
const MAX_EFFECTS = 2;
/** The sign of a blank. */
const BLANK = '␣';

/** 4m12s, 45s; never below nothing. */
export function left(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
  return minutes === 0 ? `${seconds}s` : `${minutes}m${String(seconds % 60).padStart(2, '0')}s`;
}

/** update:public.tickets — what needs approval of it. A cell has no blanks, and what stands for one is nothing else. */
export function effectCell(request: AccessRequest): string {
  const { spec } = request;
  const held = heldEffects(request);
  const named = [
    ...new Set(
      held.map(({ verb, object }) =>
        `${verb}:${isOfKubernetes(request) ? callCell(object) : object}`.replace(/:$/, '').replace(/\s+/g, BLANK),
      ),
    ),
  ];
  if (named.length === 0) return spec.sentence.replace(/\s+/g, BLANK);
  const more = named.length - MAX_EFFECTS;
  return `${named.slice(0, MAX_EFFECTS).join(',')}${more > 0 ? `,+${more}` : ''}`;
}

/** configmaps:shop/settings for `configmaps settings in shop`, as the tables of sessions have it; the rest of a command stays behind it. */
function callCell(object: string): string {
  return object.replace(
    /^(\S+)(?: (?!in )([^\s:]+))?(?: in ([^\s:]+))?(?=:|$)/,
    (all, resource: string, name: string | undefined, namespace: string | undefined) => {
      if (name === undefined && namespace === undefined) return all;
      return `${resource}:${namespace === undefined ? '' : `${namespace}/`}${name ?? '*'}`;
    },
  );
}

export interface PromptFacts {
  readonly person: Person;
  readonly content?: RequestContent | undefined;
  /** Seconds for which the same may run again, if it is approved. */
  readonly grantFor?: number | undefined;
  /** A command line as it works when it is pasted. */
  readonly again?: ((command: string) => string) | undefined;
}

/** As the person reads it beside the prompt: what runs, what it does, for whom, and who may decide. Foreign text is made visible. */
export function promptLines(
  request: AccessRequest,
  { person, content, grantFor, again = (command) => command }: PromptFacts,
  now: number,
): string[] {
  const { metadata, spec } = request;
  const { agent, resource } = spec;
  const who = [`${metadata.namespace ?? ''}/${agent.pod ?? agent.serviceAccount}`, ...purposeOf(request)].join(' · ');
  const [first = '', ...more] = linesOf(request, spec.text);
  const values = (spec.parameters ?? []).slice(0, SHOWN.values).map((value, at) => `$${at + 1} = ${visible(value, SHOWN.value)}`);
  const hidden = (spec.parameters?.length ?? 0) - values.length;
  // What needs the approval is never among those that are only counted.
  const heldFirst = spec.effects.toSorted((a, b) => Number(b.verdict === 'approve') - Number(a.verdict === 'approve'));
  const effects = heldFirst.slice(0, SHOWN.effects).map(({ verb, object }) => `${verb} ${object}`.trim());
  const others = spec.effects.length - effects.length;
  const asked = request.status?.asked ?? 1;
  return [
    line('Agent', `${visible(who)}      expires in ${left(Date.parse(spec.expiresAt) - now)}`),
    line('Runs', `${visible(first, SHOWN.text)}        on ${resource.namespace}/${resource.name}`),
    ...more.slice(0, SHOWN.lines).map((text) => line('', visible(text, SHOWN.text))),
    ...(values.length === 0 ? [] : [line('', [...values, ...(hidden > 0 ? [`${hidden} more`] : [])].join(' · '))]),
    ...fullLine(spec.parameters, 'values'),
    ...promptCutLine(request),
    line(
      'Effect',
      [
        visible([...effects, ...(others > 0 ? [`${others} more`] : [])].join(', ')),
        ...rowsOf(request, now),
        ...transactionOf(request),
      ].join(' · '),
    ),
    ...contentLines(content),
    ...clientLine(request),
    ...recentLines(request, SHOWN.recent),
    ...(asked > 1 ? [line('Again', `the agent asked for the very same ${asked} times while it was pending`)] : []),
    line('Digest', [shortDigest(spec.digest), ...spec.rules.map((rule) => ruleText(rule, person, now))].join(' · ')),
    ...grantLines(request, grantFor, again),
    ...votesLine(request),
    ...(person.note === undefined ? [] : [line('You', visible(`${person.user}, ${person.note}`))]),
  ];
}

/** All of it, for `requests show` and [v]iew whole. */
export function wholeLines(request: AccessRequest, content: RequestContent | undefined, now: number): string[] {
  return [
    ...whoLines(request),
    ...actionLines(request, content, now),
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
    line('Asks for', `${visible(sentenceOf(request))} on ${resource.namespace}/${resource.name} (${visible(spec.protocol)})`),
  ];
}

/** The statement, its values, and what it would do. */
function actionLines(request: AccessRequest, content: RequestContent | undefined, now: number): string[] {
  const { spec } = request;
  return [
    ...linesOf(request, content?.text ?? spec.text).map((text, at) => line(at === 0 ? 'Runs' : '', visible(text))),
    ...(content?.text === undefined ? cutLine(request) : []),
    ...(spec.parameters ?? []).map((value, at) => line('', `$${at + 1} = ${visible(value)}`)),
    ...fullLine(spec.parameters, 'values'),
    ...spec.effects.map(({ verb, object, via, verdict, rule }, at) => {
      const by = rule === undefined ? '' : ` by rule "${rule}"`;
      return line(at === 0 ? 'Effects' : '', visible(`${`${verb} ${object}`.trim()} (${via}): ${verdict}${by}`));
    }),
    ...fullLine(spec.effects, 'effects'),
    ...rowsOf(request, now).map((text, at) => line(at === 0 ? metLabel(request) : '', text)),
    ...contentLines(content),
    ...changeElsewhere(request, content),
    ...clientLine(request),
    ...transactionOf(request).map((text) => line('Locks', text)),
    ...recentLines(request, Infinity),
  ];
}

function recentLines(request: AccessRequest, shown: number): string[] {
  return recentWords(request)
    .slice(-shown)
    .map((words, each) => line(each === 0 ? 'Before' : '', visible(plain(words))));
}

/** Who decides, on what, until when. */
function termLines(request: AccessRequest, now: number): string[] {
  const { metadata, spec, status } = request;
  const asked = status?.asked ?? 1;
  return [
    ...(isOpen(status?.state) ? [line('Waits', waitsWords(request))] : []),
    ...spec.rules.map((rule, at) => line(at === 0 ? 'Rules' : '', ruleText(rule, undefined, now))),
    line('Digest', `${shortDigest(spec.digest)} (${spec.digest})`),
    ...(spec.template === undefined || !(meetsRows(request) || isOfKubernetes(request))
      ? []
      : [
          line(
            'Template',
            `${shortTemplate(spec.template)}, which seals it${isOfKubernetes(request) ? ' to run again' : ' without its values'}`,
          ),
        ]),
    line('Session', `${spec.session}, action ${spec.action}`),
    line('Asked', `${metadata.creationTimestamp ?? ''}${asked > 1 ? `, ${asked} times` : ''}`),
    line('Expires', visible(spec.expiresAt)),
    ...pageLine(metadata),
  ];
}

/** What approving for some time means. */
function grantLines(request: AccessRequest, seconds: number | undefined, again: (command: string) => string): string[] {
  if (seconds === undefined) return [];
  const { metadata, spec } = request;
  const same = isOfKubernetes(request) ? 'the very same again' : 'the same again with any other values';
  const templateText = isOfKubernetes(request) ? undefined : spec.templateText;
  return [
    line('For', `${left(seconds * 1000)}: this agent may run ${same}, without anybody being asked`),
    ...(templateText === undefined ? [] : [line('', visible(templateText, SHOWN.text))]),
    line('', `what shows it: ${again('chaperone grants ls')}`),
    line('', `what ends it: ${again(`chaperone grants revoke ${metadata.name}`)}`),
  ];
}

function grantedLines(request: AccessRequest): string[] {
  const [granted, grants] = [grantedWords(request), grantWords(request)];
  return [
    ...(granted === undefined ? [] : [line('Granted', visible(plain(granted)))]),
    ...(grants === undefined ? [] : [line('Grants', visible(plain(grants)))]),
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
    ...decisions.map((answer, each) => {
      const { by, reason, at, assurance = 'kubernetes', counted: counts, why } = answer;
      const decision = isRevocation(status, answer) ? 'Revoked' : answer.decision;
      const said = reason === undefined ? '' : `: "${reason}"`;
      const not = counts ? '' : ` (does not count: ${why ?? 'it is not said why'})`;
      return line(each === 0 ? 'Answers' : '', visible(`${decision} by ${by} at ${at}${HOW[assurance]}${said}${not}`));
    }),
    ...(result === undefined ? [] : [line('Result', visible(result))]),
    ...conditions.map(({ type, message }) => line(type, visible(message))),
  ];
}

/** Without the run of kubectl, which has a line of its own. */
function sentenceOf(request: AccessRequest): string {
  const { sentence } = request.spec;
  const run = runOf(request);
  return run === undefined ? sentence : sentence.slice(0, -`: ${run}`.length);
}

/** Which run of kubectl it is of: requests of one are asked for one by one. */
function clientLine(request: AccessRequest): string[] {
  const run = runOf(request);
  return run === undefined ? [] : [line('Client', `${run}, by its own word`)];
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

function fullLine(values: readonly unknown[] = [], of: string): string[] {
  return lineOf(fullWords(values, of));
}

function lineOf(text: string | undefined): string[] {
  return text === undefined ? [] : [line('', text)];
}

function purposeOf(request: AccessRequest): string[] {
  return purposeWords(request).map(plain);
}

function transactionOf({ spec }: AccessRequest): string[] {
  return spec.transaction ? [TRANSACTION_WORDS] : [];
}

function rowsOf(request: AccessRequest, now: number): string[] {
  if (lookingMs(request, now) > 0)
    return [
      `${isOfKubernetes(request) ? 'what it changes is' : meetsRows(request) ? 'the rows that it meets are' : 'what it meets is'} ${LOOKING_WORDS}`,
    ];
  return previewWords(request).map((words) => visible(plain(words)));
}

/** What it meets, for somebody who was asked before that was known. */
export function lookedLines(request: AccessRequest, content: RequestContent | undefined, now: number): string[] {
  return [line(metLabel(request), rowsOf(request, now).join(' · ')), ...contentLines(content)];
}

/** What it changes, or some of the rows as they are before it. */
function contentLines({ columns = [], rows = [], change = [] }: RequestContent = {}): string[] {
  if (change.length > 0) return change.map((text) => line('', visible(text)));
  if (rows.length === 0) return [];
  const shown = rows.map((row) => row.map((cell) => (cell === null ? 'NULL' : cell)));
  return table(columns, shown)
    .split('\n')
    .map((text) => line('', text));
}

/** What it changes is kept with a request only while people are asked. */
function changeElsewhere(request: AccessRequest, { change = [] }: RequestContent = {}): string[] {
  const { preview, state } = request.status ?? {};
  const isTried = isOfKubernetes(request) && preview !== undefined && preview.why === undefined;
  if (!isTried || change.length > 0 || isOpen(state)) return [];
  return [line('', `the record of its session has the difference: chaperone sessions show ${request.spec.session}`)];
}

/** A request of the Kubernetes API is its first line, and its body in lines. */
function linesOf(request: AccessRequest, text: string): string[] {
  return isOfKubernetes(request) ? text.split('\n') : [text];
}

/** What is not seen of a statement is said. */
function cutLine(request: AccessRequest): string[] {
  return lineOf(cutWords(request));
}

function promptCutLine(request: AccessRequest): string[] {
  const { text } = request.spec;
  const lines = linesOf(request, text);
  const isCut = lines.length > SHOWN.lines + 1 || lines.some(({ length }) => length > SHOWN.text);
  return lineOf(cutWords(request) ?? (isCut ? `${text.length} characters; v shows all of them` : undefined));
}

/** rule "fix", generation 12 · needs 1 of group dba, you are asked */
function ruleText(rule: Approvers, person: Person | undefined, now: number): string {
  const you = person === undefined ? '' : isAsked(rule, person, now) ? ', you are asked' : ', you are not asked';
  return visible(`${plain(ruleWords(rule))}${you}`);
}

/** Of the rules that ask this person, whether one takes their word by way of the API server. */
export function takesPlainWord({ spec }: AccessRequest, person: Person, now: number): boolean {
  return spec.rules.some((rule) => isAsked(rule, person, now) && (rule.assurance ?? 'kubernetes') === 'kubernetes');
}

export function isAsked(rule: Approvers, { user, groups }: Person, now: number): boolean {
  return mayDecide(rule, { by: user, groups, at: new Date(now).toISOString() });
}

/** What somebody lacks whom no rule asks: `needs group dba; your groups: dev, oncall`. */
export function notAsked(request: AccessRequest, { user, groups }: Person): string {
  const own = groups.filter((group) => !group.startsWith('system:'));
  return `${request.metadata.name} needs ${plain(askedWords(request))}; you are ${user}, your groups: ${own.length === 0 ? 'none' : own.join(', ')}`;
}

/** What a request came to that is over, and who did it: `ar-7f3k was denied 2m ago by bob@corp ("wrong ticket")`. */
export function overText(request: AccessRequest, now: number): string {
  const at = request.status?.decidedAt;
  return plain(overWords(request, at === undefined ? undefined : age(Date.parse(at), now)));
}
