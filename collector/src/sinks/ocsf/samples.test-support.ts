import { createHash } from 'node:crypto';
import type { Leaf, SegmentHeader, SessionRecord } from '@chaperone/evidence';
import type { OcsfEvent } from './classes.ts';
import { mapEntry, mapErased, mapSegment, mapUnknown, mapUnreadable } from './entries.ts';
import type { Content, Opening, Subject } from './subject.ts';

/** What would leave its place in one format or another, in every field that an agent, a pod or a server fills. */
export const HOSTILE = `a\r\nb\0\u001b[31m"\\]=,;|'../../=cmd()\u2028\u{1f600}é${String.fromCharCode(0xd800)}`;
const session = 's-aaaaaaaaaaaaaaaa';
const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

function opening(protocol: string, text = ''): Opening {
  return {
    seq: 0,
    at: 1_764_500_000_000,
    mono: 0,
    type: 'session.open',
    session,
    agent: { namespace: `agents${text}`, serviceAccount: `bot${text}`, pod: `bot-1${text}`, podUid: `u-1${text}` },
    resource: { namespace: `data${text}`, name: `orders${text}`, protocol },
    purpose: `answer tickets${text}`,
    onBehalfOf: { issuer: `https://login.corp${text}`, user: `ann${text}`, groups: [`support${text}`] },
    policies: [{ namespace: 'agents', name: 'bot', generation: 3 }],
    mode: 'Enforce',
    client: { address: text === '' ? '10.0.0.7:41234' : text, tls: true },
  };
}

type Body = SessionRecord extends infer T ? (T extends SessionRecord ? Omit<T, 'seq' | 'at' | 'mono'> : never) : never;

const effect = (verb: string, object: string) => ({ verb, object, via: 'direct', verdict: 'allow', rule: 'read' }) as const;
const call = {
  verb: 'list',
  group: 'apps',
  version: 'v1',
  resource: 'deployments',
  subresource: 'scale',
  namespace: 'shop',
  name: '',
  dryRun: false,
};

/** One of every kind of record, with all that it may have; `text` is in every field that somebody else fills. */
export function records(protocol: string, text = ''): SessionRecord[] {
  const action = {
    action: 1,
    bytes: 9,
    verdict: 'allow',
    code: 'Allowed',
    rule: 'read',
    reason: `a rule allows it${text}`,
  } as const;
  const bodies: Body[] = [
    {
      type: 'action',
      ...action,
      text: `select 1${text}`,
      parameters: [`$1${text}`, null],
      effects: [effect('select', `public.t${text}`)],
    },
    {
      type: 'action',
      ...action,
      action: 2,
      verdict: 'deny',
      code: 'NoRuleAllows',
      text: `drop table t${text}`,
      effects: [effect('drop', 't')],
    },
    { type: 'action', ...action, action: 3, verdict: 'deny', code: 'MaskedValueWrite', effects: [effect('insert', 't')] },
    { type: 'action', ...action, action: 4, verdict: 'approve', code: 'ApprovalPending', effects: [effect('update', 't')] },
    {
      type: 'action',
      ...action,
      action: 5,
      effects: [effect('create', 't')],
      wouldDeny: { code: 'NoRuleAllows', reason: 'no rule' },
    },
    { type: 'action', ...action, action: 6, effects: [], kubernetes: { ...call, name: `web${text}` } },
    { type: 'action', ...action, action: 7, effects: [], kubernetes: { ...call, verb: 'delete', group: '', namespace: '' } },
    {
      type: 'approval',
      action: 4,
      request: 'ar-aaaaaaaaaaaaaaaa',
      digest: digest('x'),
      state: 'Released',
      waitedMs: 1_500.5,
      change: [`+ a${text}`],
      decisions: [
        {
          by: `dba@corp${text}`,
          decision: 'Approve',
          reason: `fine${text}`,
          at: '2026-01-01T00:00:00Z',
          assurance: 'passkey',
          via: 'page',
        },
        { by: 'eve@corp', decision: 'Deny', at: '2026-01-01T00:00:01Z' },
      ],
    },
    {
      type: 'approval',
      action: 5,
      digest: digest('y'),
      state: 'Expired',
      waitedMs: 3,
      decisions: [],
      grantedBy: 'ar-bbbbbbbbbbbbbbbb',
    },
    { type: 'approval', action: 6, digest: digest('z'), state: 'Pending', waitedMs: 3, decisions: [] },
    { type: 'columns', action: 1, columns: [{ name: `ssn${text}`, type: 25 }], masked: [] },
    { type: 'rows', action: 1, rows: [[`t:SECRET${text}`, null]] },
    {
      type: 'done',
      action: 1,
      tag: `SELECT 1${text}`,
      rows: 1,
      bytes: 12,
      digest: digest('r'),
      truncated: false,
      maskedValues: 1,
      durationMs: 2.5,
      result: {
        columns: [{ name: 'ssn', type: 25 }],
        masked: [{ column: 0, name: 'ssn', labels: [`pii.ssn${text}`], strategy: 'redact' }],
        rows: [['t:SECRET']],
      },
    },
    {
      type: 'done',
      action: 9,
      error: { code: '42601', message: `syntax error${text}` },
      rows: 0,
      bytes: 0,
      truncated: false,
      maskedValues: 0,
      durationMs: 1,
    },
    { type: 'output', action: 1, stream: 'stdout', data: `t:SECRET${text}` },
    { type: 'resize', action: 1, columns: 80, rows: 24 },
    { type: 'line', action: 1, text: `$ cat SECRET${text}` },
    {
      type: 'file',
      action: 1,
      operation: 'read',
      path: `/etc/passwd${text}`,
      to: `/tmp${text}`,
      bytes: 3,
      digest: digest('f'),
      outcome: 'ok',
    },
    { type: 'file', action: 1, operation: 'mkdir', path: '/', bytes: 0, outcome: `Failure${text}` },
    { type: 'content', action: 1, file: 0, offset: 0, bytes: 6, data: 't:SECRET' },
    { type: 'bytes', host: `api.model.corp${text}`, sent: 10, received: 20 },
    { type: 'note', code: 'ClockJumped', message: `by an hour${text}` },
    {
      type: 'session.close',
      code: 'CaptureNotProven',
      reason: `ended${text}`,
      by: `ops@corp${text}`,
      actions: 7,
      denied: 2,
      maskedValues: 1,
    },
  ];
  return [opening(protocol, text), ...bodies.map((body, at) => ({ ...body, seq: at + 1, at: 1_764_500_000_000 + at, mono: at }))];
}

export function header(flags: SegmentHeader['flags'] = [], count = 1): SegmentHeader {
  return {
    version: 2,
    origin: 'log',
    session,
    number: 0,
    prev: null,
    certificate: { body: '', signature: '' },
    registration: digest('registration'),
    records: { first: 0, last: count - 1, count },
    root: digest('root'),
    key: { id: digest('key'), salt: '0'.repeat(32) },
    payload: { codec: 'zstd+aes-256-gcm', digest: digest('payload'), length: 1, plain: 1 },
    policy: 'p',
    clock: { wall: [1, 2], mono: [1, 2], sealed: 2 },
    counters: { actions: 1, denied: 0, masked: 0, dropped: 2 },
    flags,
  };
}

export function subjectOf(protocol: string, text = ''): Subject {
  const open = opening(protocol, text);
  return { session, agent: open.agent, open };
}

export const OPTIONS = { origin: 'log.example/1', maxText: 2_000 } as const;
export const PROTOCOLS = ['postgres', 'ssh', 'kubernetes', 'http', 'tcp', '__proto__'];

/** The events of a session of a protocol. */
export function sessionEvents(protocol: string, content: Content, text = ''): OcsfEvent[] {
  const parts = { leaf: 7, header: header(['torn']), subject: subjectOf(protocol, text) };
  return mapSegment(parts, records(protocol, text), { ...OPTIONS, content });
}

const parts = { text: Buffer.alloc(0), signature: Buffer.alloc(0) };
const order = digest('order');
const ENTRIES: readonly Exclude<Leaf, { kind: 'segment' }>[] = [
  { ...parts, kind: 'registration', statement: { nkey: 'U'.repeat(56), registration: digest('r'), issuedAt: 5 } },
  { ...parts, kind: 'erasure', statement: { session, order, at: 5 } },
  { ...parts, kind: 'hold', statement: { session, order, at: 5, state: 'hold' } },
  { ...parts, kind: 'hold', statement: { session, order, at: 5, state: 'release' } },
  { ...parts, kind: 'read', statement: { session, order, at: 5, way: 'replay' } },
  { ...parts, kind: 'read', statement: { session: null, order, at: 5, way: 'export' } },
  { ...parts, kind: 'gap', statement: { session, first: 2, last: 4, at: 5 } },
];

/** The events of everything that is no session's records. */
export function otherEvents(text = ''): OcsfEvent[] {
  const options = { ...OPTIONS, content: 'commands' } as const;
  const about = { leaf: 8, header: header(), subject: { session } };
  const words = text === '' ? {} : { by: text, reason: text };
  return [
    ...ENTRIES.map((entry, at) => mapEntry(9 + at, entry, words, options)),
    mapErased(about, options),
    mapUnreadable(about, 'SegmentMissing', options),
    mapUnknown(99, options),
    // Of a session whose first segment is not here, also where its agent is not known.
    ...mapSegment({ ...about, subject: { session } }, records('postgres').slice(1), options),
    ...mapSegment(
      { ...about, subject: { session, agent: { namespace: 'a', serviceAccount: 'b' } } },
      records('ssh').slice(1),
      options,
    ),
  ];
}
