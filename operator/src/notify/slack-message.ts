import { type AccessRequest, DECIDE_PAGE, type RequestState, shortDigest } from '@chaperone/api';
import { agentOf, stateOf } from './news.ts';
import { plain, type PlainText, slackText } from './slack-text.ts';

/** Slack's own limits (docs.slack.dev, Block Kit), in characters. */
const MAX = { header: 150, section: 3000, field: 2000, text: 500 } as const;

export const DENY_ACTION = 'chaperone_deny';
export const OPEN_ACTION = 'chaperone_open';

interface Button {
  readonly type: 'button';
  readonly text: PlainText;
  readonly action_id: string;
  readonly url?: string;
  readonly value?: string;
  readonly style?: 'danger';
}
export type Block =
  | { readonly type: 'header'; readonly text: PlainText }
  | { readonly type: 'section'; readonly text?: PlainText; readonly fields?: readonly PlainText[] }
  | { readonly type: 'actions'; readonly elements: readonly Button[] };

export interface SlackMessage {
  /** Shown where blocks are not: in notifications. */
  readonly text: string;
  readonly blocks: readonly Block[];
}

/** What a press of Deny names: this request, and the digest that the message showed. */
export interface DenyValue {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly digest: string;
}

/**
 * A request as chat shows it: who wants what, where, by which rule, until when, and what became of it. A waiting one can be denied here;
 * to approve it people open the page, which shows all of it. No statement, value or row.
 */
export function messageOf(request: AccessRequest, consoleUrl: string, now: number): SlackMessage {
  const { spec } = request;
  const state = stateOf(request);
  return {
    text: slackText(`${spec.agent.serviceAccount} ${state === 'Pending' ? 'asks' : 'asked'}: ${spec.sentence}`, MAX.text),
    blocks: [
      heading(spec.sentence),
      { type: 'section', fields: fields(request, now) },
      state === 'Pending'
        ? {
            type: 'actions',
            elements: [
              openButton(
                'Open to approve…',
                request.metadata.annotations?.[DECIDE_PAGE] ??
                  pageOf({ namespace: request.metadata.namespace ?? '', name: request.metadata.name }, consoleUrl),
              ),
              denyButton(request),
            ],
          }
        : { type: 'section', text: plain(outcomeOf(request), MAX.section) },
    ],
  };
}

/** What of a message changes it; the time that is left runs by itself. */
export function faceOf(request: AccessRequest): string {
  return JSON.stringify([stateOf(request), request.status?.votes]);
}

/** Stands for those of one agent that have no message of their own. */
export function overflowMessage(agent: string, count: number, consoleUrl: string): SlackMessage {
  const text = `${count} more of ${agent} within a minute, without a message each`;
  return {
    text: slackText(text, MAX.text),
    blocks: [
      { type: 'section', text: plain(text, MAX.section) },
      { type: 'actions', elements: [openButton('Open all', `${base(consoleUrl)}/requests`)] },
    ],
  };
}

function heading(sentence: string): Block {
  const whole = plain(sentence, MAX.section);
  return whole.text.length <= MAX.header ? { type: 'header', text: whole } : { type: 'section', text: whole };
}

function fields(request: AccessRequest, now: number): PlainText[] {
  const { metadata, spec, status } = request;
  const rules = spec.rules.map(({ policy, rule }) => `${policy.namespace}/${policy.name} · ${rule}`);
  return [
    field('Agent', agentOf(request)),
    field('Resource', `${spec.resource.namespace}/${spec.resource.name}`),
    field('Purpose', spec.agent.purpose),
    field('Rule', rules.join(', ')),
    field('Time', stateOf(request) === 'Pending' ? timeLeft(spec.expiresAt, now) : `until ${clock(spec.expiresAt)}`),
    field('Approvals', status?.votes ?? ''),
    field('Request', metadata.name),
    field('Digest', shortDigest(spec.digest)),
  ];
}

/** Our word on a line of its own: a value is one line, as all that could break it is written out. */
function field(label: string, value: string): PlainText {
  const { text, ...rest } = plain(value === '' ? '–' : value, MAX.field - label.length - 1);
  return { ...rest, text: `${label}\n${text}` };
}

function timeLeft(expiresAt: string, now: number): string {
  const seconds = Math.max(0, Math.round((Date.parse(expiresAt) - now) / 1000));
  return `${seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`} left, until ${clock(expiresAt)}`;
}

/** `12:04:07Z`: people of one channel are in several time zones. */
function clock(time: string): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? '' : `${date.toISOString().slice(11, 19)}Z`;
}

const OUTCOMES: Readonly<Record<Exclude<RequestState, 'Pending'>, (by: string) => string>> = {
  Approved: (by) => `Approved${by}. It has not run yet.`,
  Released: (by) => `Approved${by}. It runs.`,
  Ran: (by) => `Approved${by}. It ran.`,
  Failed: (by) => `Approved${by}. It ran and failed.`,
  Denied: (by) => `Denied${by}. It did not run.`,
  Expired: () => 'Expired: nobody decided in time. It never ran.',
  Withdrawn: () => 'The agent left before anybody decided. It never ran.',
  Voided: () => 'What it was about changed meanwhile. It did not run; the agent has to ask again.',
};

/** What became of a request, in a sentence; of one that waits, that it does. */
export function outcomeOf(request: AccessRequest): string {
  const state = stateOf(request);
  if (state === 'Pending') return 'It waits for a decision.';
  const answer = state === 'Denied' ? 'Deny' : 'Approve';
  const given = (request.status?.decisions ?? []).filter(({ counted, decision }) => counted && decision === answer);
  const by = given.map((each) => `${each.by} at ${clock(each.at)}`).join(', ');
  return OUTCOMES[state](by === '' ? '' : ` by ${by}`);
}

function base(consoleUrl: string): string {
  return consoleUrl.replace(/\/+$/, '');
}

export function pageOf({ namespace, name }: Pick<DenyValue, 'namespace' | 'name'>, consoleUrl: string): string {
  return `${base(consoleUrl)}/requests/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

function openButton(label: string, url: string): Button {
  return { type: 'button', text: plain(label, 75), action_id: OPEN_ACTION, url };
}

function denyButton({ metadata, spec }: AccessRequest): Button {
  const { namespace = '', name, uid = '' } = metadata;
  const value: DenyValue = { namespace, name, uid, digest: spec.digest };
  return {
    type: 'button',
    style: 'danger',
    text: plain('Deny…', 75),
    action_id: DENY_ACTION,
    value: JSON.stringify(value),
  };
}
