import {
  createEpoch,
  encodeNkey,
  encodeRecord,
  generateSigner,
  newSessionId,
  type PodIdentity,
  type RecordBody,
  sealSegment,
  type SegmentFlag,
  signRegistration,
  type StampedRecord,
  DataKey,
  encodeParcel,
  parseRecipient,
  wrapKey,
  x25519Holder,
} from '@chaperone/evidence';
import { HOSTILE_TEXTS } from '../../api/src/hostile-corpus.test-support.ts';

export const enrolment = generateSigner();
/** Who reads these sessions. */
export const reader = x25519Holder(Buffer.alloc(32, 9));
export const trust = { origin: 'test/console', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };

const HOUR = 3_600_000;

interface Told {
  readonly serviceAccount: string;
  readonly resource: string;
  readonly protocol?: string;
  readonly purpose?: string;
  /** Milliseconds before now. */
  readonly ago: number;
  /** Records of each segment after the opening one. */
  readonly segments: readonly (readonly RecordBody[])[];
  readonly end?: 'close' | 'torn' | 'none';
  /** Milliseconds between records. */
  readonly pace?: number;
}

export interface Session {
  readonly name: string;
  readonly segments: readonly Buffer[];
}

/** A session as a sidecar of the agent's pod signs it. */
export function tell(told: Told): Session {
  const { serviceAccount, resource, protocol = 'postgres', purpose = 'answer support tickets', end = 'close', pace = 900 } = told;
  const name = newSessionId();
  const agent = { namespace: 'agents', serviceAccount, pod: `${serviceAccount}-6d9f7` };
  const pod = aPod(agent);
  const epoch = createEpoch(pod, 1, 1);
  const began = Date.now() - told.ago;
  const open: RecordBody = {
    type: 'session.open',
    session: name,
    agent,
    resource: { namespace: 'data', name: resource, protocol },
    purpose,
    policies: [{ namespace: 'agents', name: 'support-agent', generation: 14 }],
    mode: 'Enforce',
    client: { address: '10.2.0.7:51234', tls: true, application: 'psycopg' },
  };
  const counters = { actions: 0, denied: 0, masked: 0, dropped: 0 };
  const sealed: { bytes: Buffer; link: string }[] = [];
  let seq = 0;
  const key = DataKey.random(name);
  const wrapped = wrapKey(key, [parseRecipient(reader.name)]);
  const all = [[open, ...(told.segments[0] ?? [])], ...told.segments.slice(1)];
  for (const [number, bodies] of all.entries()) {
    const last = number === all.length - 1;
    const whole = last && end === 'close' ? [...bodies, closing(counters)] : bodies;
    const firstSeq = seq;
    const records = whole.map((body) => {
      const stamped: StampedRecord = { ...body, seq, at: began + seq * pace, mono: seq * pace };
      seq++;
      if (stamped.type === 'action') counters.actions++;
      if (stamped.type === 'action' && stamped.verdict === 'deny') counters.denied++;
      if (stamped.type === 'done') counters.masked += stamped.maskedValues;
      return stamped;
    });
    const flags: SegmentFlag[] = [
      ...(number === 0 ? (['open'] as const) : []),
      ...(last && end === 'close' ? (['close'] as const) : []),
      ...(last && end === 'torn' ? (['torn'] as const) : []),
    ];
    sealed.push(
      sealSegment({
        origin: trust.origin,
        session: name,
        number,
        prev: sealed.at(-1)?.link ?? null,
        policy: 'p',
        key,
        epoch,
        firstSeq,
        registration: pod.registration,
        records: records.map((record) => {
          const { text, data = Buffer.alloc(0) } = encodeRecord(record);
          return Buffer.concat([Buffer.from(text), data]);
        }),
        clock: {
          wall: [began + firstSeq * pace, began + seq * pace],
          mono: [firstSeq * pace, seq * pace],
          sealed: epoch.notBefore,
        },
        counters: { ...counters },
        flags,
      }),
    );
  }
  return { name, segments: sealed.map(({ bytes }) => encodeParcel({ key: wrapped, segment: bytes })) };
}

function closing(counters: { actions: number; denied: number }): RecordBody {
  return {
    type: 'session.close',
    code: 'Closed',
    reason: 'the agent said goodbye',
    actions: counters.actions,
    denied: counters.denied,
    maskedValues: 0,
  };
}

function aPod(agent: { namespace: string; serviceAccount: string; pod: string }): PodIdentity {
  const nkey = generateSigner();
  const registration = { nkey: encodeNkey(nkey.publicKey), agent, origin: trust.origin, issuedAt: 1 };
  return { nkey, registration: signRegistration(registration, enrolment) };
}

let action = 0;

interface Asked {
  readonly text?: string;
  readonly verdict?: 'allow' | 'deny' | 'approve';
  readonly rule?: string;
  readonly object?: string;
  readonly verb?: string;
  readonly parameters?: (string | null)[];
  readonly rows?: (string | null)[][];
  readonly columns?: string[];
  readonly masked?: { column: number; name: string; labels: string[]; strategy: 'redact' | 'partial' | 'hash' | 'null' }[];
  readonly error?: { code: string; message: string };
  readonly tag?: string;
  /** Rows in records of their own, so many in each. */
  readonly inRecords?: number;
  readonly unfinished?: boolean;
}

/** What one statement leaves in a recording. */
export function ask(asked: Asked): RecordBody[] {
  const { verdict = 'allow', rows = [], columns = [], masked = [], inRecords } = asked;
  const number = action++;
  const first = asking(asked, number);
  if (verdict === 'deny' || asked.unfinished === true) return [first];
  const shape = { columns: columns.map((name) => ({ name, type: 25 })), masked };
  const done = ending(asked, number);
  if (inRecords === undefined) return [first, { ...done, ...(columns.length === 0 ? {} : { result: { ...shape, rows } }) }];
  const parts: RecordBody[] = [];
  for (let at = 0; at < rows.length; at += inRecords)
    parts.push({ type: 'rows', action: number, rows: rows.slice(at, at + inRecords) });
  return [first, { type: 'columns', action: number, ...shape }, ...parts, done];
}

function asking({ text = 'select 1', verdict = 'allow', rule, parameters, ...asked }: Asked, number: number): RecordBody {
  const by = rule === undefined ? {} : { rule };
  const denied = verdict === 'deny';
  return {
    type: 'action',
    action: number,
    text,
    bytes: Buffer.byteLength(text),
    verdict,
    code: denied ? 'RuleDenies' : 'Allowed',
    ...by,
    reason: denied ? 'rule "never" denies dropping tables' : 'allowed by the policy',
    effects: [
      { verb: asked.verb ?? 'read', object: asked.object ?? 'public.tickets.{id,status}', via: 'direct', verdict, ...by },
    ],
    ...(parameters === undefined ? {} : { parameters }),
  };
}

function ending({ rows = [], masked = [], error, tag }: Asked, number: number): Extract<RecordBody, { type: 'done' }> {
  return {
    type: 'done',
    action: number,
    ...(error === undefined ? { tag: tag ?? `SELECT ${rows.length}` } : { error }),
    rows: rows.length,
    bytes: 40 * rows.length,
    digest: '0'.repeat(64),
    truncated: false,
    maskedValues: masked.length * rows.length,
    durationMs: 4.2,
  };
}

const CUSTOMERS = {
  text: 'SELECT id, name, email, ssn, note\nFROM customers\nWHERE region = $1\n  AND status <> $2\nORDER BY id',
  rule: 'read',
  object: 'public.customers.{email,id,name,note,region,ssn,status}',
  parameters: ['t:EU', null],
  columns: ['id', 'name', 'email', 'ssn', 'note'],
  masked: [{ column: 3, name: 'ssn', labels: ['pii.ssn'], strategy: 'partial' as const }],
  rows: [
    ['t:77', 't:Ana Ruiz', 't:ana@example.com', 't:*******1234', 't:'],
    ['t:78', 't:Ada Lovelace', null, 't:*******6789', 't:prefers letters; calls after 18:00 UTC only'],
    ['t:79', 't:שלום כהן', 't:shalom@example.com', 't:*******4411', 'b:AAEC/w=='],
  ],
};

/** A support agent's day: mostly reading, one refusal, one mistake. */
function support(more: readonly RecordBody[] = []): RecordBody[] {
  return [
    ...ask({
      text: "SELECT id, subject, status FROM tickets WHERE status = 'open' ORDER BY id LIMIT 12",
      rule: 'read',
      columns: ['id', 'subject', 'status'],
      rows: Array.from({ length: 12 }, (_, at) => [`t:${811 + at}`, `t:Invoice ${at} is wrong`, 't:open']),
    }),
    ...ask(CUSTOMERS),
    ...ask({
      text: "UPDATE tickets SET status = 'closed', note = 'done\u202e' WHERE id = 811",
      rule: 'fix',
      verb: 'write',
      object: 'public.tickets.{note,status}',
      tag: 'UPDATE 1',
    }),
    ...ask({ text: 'DROP TABLE tmp_x', verdict: 'deny', verb: 'drop', object: 'public.tmp_x' }),
    ...ask({ text: 'SELECT totl FROM orders', error: { code: '42703', message: 'column "totl" does not exist' } }),
    ...ask({
      text: 'SELECT total FROM orders WHERE customer_id = 77',
      rule: 'read',
      columns: ['total'],
      rows: [['t:129.90'], ['t:15.00']],
    }),
    ...more,
  ];
}

export interface World {
  readonly sessions: readonly Session[];
  readonly plain: Session;
  readonly live: Session;
  readonly gapped: Session;
  readonly torn: Session;
  readonly hostile: Session;
  readonly long: Session;
  readonly wide: Session;
  readonly columns: Session;
  readonly tcp: Session;
}

const many = (count: number): RecordBody[] =>
  Array.from({ length: count }, (_, at) =>
    ask({ text: `SELECT * FROM orders WHERE id = ${at}`, rule: 'read', columns: ['id'], rows: [[`t:${at}`]] }),
  ).flat();

/** The one of a world that is as most are. */
export function aPlainSession(): Session {
  return tell({
    serviceAccount: 'support-agent',
    resource: 'orders-db',
    ago: 2 * HOUR,
    segments: [support(), [...many(14), ...ask(CUSTOMERS)]],
  });
}

export function aWorld(): World {
  const plain = aPlainSession();
  const live = tell({
    serviceAccount: 'support-agent',
    resource: 'orders-db',
    ago: 240_000,
    end: 'none',
    pace: 4_000,
    segments: [support(ask({ text: 'SELECT pg_sleep(60)', unfinished: true }))],
  });
  const gapped = tell({
    serviceAccount: 'release-bot',
    resource: 'orders-db',
    purpose: 'nightly release',
    ago: 3 * HOUR,
    segments: [support(), many(6), support()],
  });
  // Of another day whatever the hour, with verdicts of all kinds: the widest row that there is.
  const torn = tell({
    serviceAccount: 'infra-agent',
    resource: 'metrics-db',
    ago: 26 * HOUR,
    end: 'torn',
    segments: [support(), many(5)],
  });
  const hostile = tell({
    serviceAccount: 'support-agent',
    resource: 'orders-db',
    purpose: HOSTILE_TEXTS['an image that fails'] ?? '',
    ago: 4 * HOUR,
    segments: [
      Object.values(HOSTILE_TEXTS).flatMap((text) => ask({ text })),
      ask({
        text: 'SELECT everything',
        columns: Object.values(HOSTILE_TEXTS)
          .slice(0, 12)
          .map((text) => text.slice(0, 60)),
        rows: [
          Object.values(HOSTILE_TEXTS)
            .slice(0, 12)
            .map((text) => `t:${text.slice(0, 400)}`),
        ],
      }),
    ],
  });
  const long = tell({
    serviceAccount: 'report-agent',
    resource: 'warehouse',
    ago: 5 * HOUR,
    pace: 200,
    segments: Array.from({ length: 5 }, () => many(500)),
  });
  const wide = tell({
    serviceAccount: 'report-agent',
    resource: 'warehouse',
    ago: 6 * HOUR,
    segments: [
      ask({
        text: 'SELECT * FROM facts',
        rule: 'read',
        inRecords: 2,
        columns: Array.from({ length: 24 }, (_, at) => `measure_${at}`),
        rows: Array.from({ length: 2_000 }, (_, row) => Array.from({ length: 24 }, (__, at) => `t:${row * 24 + at}`)),
      }),
    ],
  });
  const columns = tell({
    serviceAccount: 'report-agent',
    resource: 'warehouse',
    ago: 7 * HOUR,
    segments: [
      ask({
        text: 'SELECT * FROM survey',
        rule: 'read',
        columns: Array.from({ length: 1_600 }, (_, at) => `answer_${at}`),
        rows: Array.from({ length: 20 }, (_, row) => Array.from({ length: 1_600 }, (__, at) => `t:${row}.${at}`)),
      }),
    ],
  });
  const tcp = tell({
    serviceAccount: 'support-agent',
    resource: 'model-api',
    protocol: 'tcp',
    ago: 30 * HOUR,
    segments: [[{ type: 'bytes', host: 'models.example', sent: 18_200, received: 402_000 }]],
  });
  const older = Array.from({ length: 55 }, (_, at) =>
    tell({ serviceAccount: 'batch-agent', resource: 'orders-db', ago: (48 + at) * HOUR, segments: [many(1 + (at % 4))] }),
  );
  return {
    sessions: [plain, live, torn, hostile, long, wide, columns, tcp, ...older],
    plain,
    live,
    gapped,
    torn,
    hostile,
    long,
    wide,
    columns,
    tcp,
  };
}
