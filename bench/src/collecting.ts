import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  createEpoch,
  DataKey,
  encodeNkey,
  encodeParcel,
  encodeRecord,
  generateSigner,
  newSessionId,
  parseRecipient,
  type RecordBody,
  sealSegment,
  signRegistration,
  wrapKey,
  x25519Holder,
} from '@chaperone/evidence';
import { type Collector, createCollector, createTokenAccess, openPostgres } from '@chaperone/collector';
import { startPostgres } from '@chaperone/testing';
import { spread } from './statistics.ts';

/*
 * node bench/src/collecting.ts [--index file|postgres] [--records N] [--statements PER-SEGMENT]: how many records a collector takes in, each segment stored, in the log
 * with its proof, and indexed; how long a search over their commands takes, and how long to build the index again. A disk below .cache.
 */
const { values } = parseArgs({
  options: {
    index: { type: 'string', default: 'file' },
    records: { type: 'string', default: '200000' },
    statements: { type: 'string', default: '250' },
  },
});
const RECORDS = Number(values.records);
/** In a segment; each is two records. */
const STATEMENTS_PER_SEGMENT = Number(values.statements);
const SEGMENTS_PER_SESSION = 4;
/** Sent and not answered yet: what a consumer has under way. */
const AT_ONCE = 64;
const SEARCHES = 200;
const ORIGIN = 'bench';
const agent = { namespace: 'agents', serviceAccount: 'bot' };
const enrolment = generateSigner();
const reader = x25519Holder(Buffer.alloc(32, 1));
const silent = {
  info: () => undefined,
  warn: () => undefined,
  error: (message: string) => void process.stderr.write(`${message}\n`),
};
const WORDS = 'orders customers invoices shipments refunds tickets ledgers returns stock prices'.split(' ');

const nkey = generateSigner();
const registration = signRegistration({ nkey: encodeNkey(nkey.publicKey), agent, origin: ORIGIN, issuedAt: 1 }, enrolment);
const epoch = createEpoch({ nkey, registration }, 1, 1);
let statements = 0;

/** What a point select leaves: its verdict, and how it ended. */
function statement(action: number): RecordBody[] {
  const table = WORDS[statements % WORDS.length] ?? '';
  const text = `SELECT balance, status FROM public.${table} WHERE id = ${statements++} AND region = 'r${statements % 97}';`;
  const effect = { verb: 'select', object: `public.${table}`, via: 'direct', verdict: 'allow', rule: 'read' } as const;
  const verdict = { verdict: 'allow', code: 'Allowed', rule: 'read', reason: 'allowed by the rule read' } as const;
  const result = { columns: [{ name: 'balance', type: 23 }], masked: [], rows: [[`t:${action}`]] };
  return [
    { type: 'action', action, text, bytes: text.length, ...verdict, effects: [effect] },
    { type: 'done', action, tag: 'SELECT 1', rows: 1, bytes: 15, truncated: false, maskedValues: 0, durationMs: 0.4, result },
  ];
}

/** The parcels of one session. */
function session(): { parcels: Buffer[]; records: number } {
  const id = newSessionId();
  const key = DataKey.random(id);
  const wrapped = wrapKey(key, [parseRecipient(reader.name)]);
  const resource = { namespace: 'data', name: 'orders-db', protocol: 'postgres' };
  const client = { address: '10.0.0.1', tls: false };
  let [seq, prev, action] = [0, null as string | null, 0];
  const parcels: Buffer[] = [];
  const stamped = (body: RecordBody): Buffer =>
    Buffer.from(encodeRecord({ ...body, seq, at: 1_790_000_000_000 + seq, mono: seq++ }).text);
  for (let number = 0; number < SEGMENTS_PER_SESSION; number++) {
    const firstSeq = seq;
    const records: Buffer[] = [];
    if (number === 0)
      records.push(
        stamped({ type: 'session.open', session: id, agent, resource, purpose: 'bench', policies: [], mode: 'Enforce', client }),
      );
    for (let each = 0; each < STATEMENTS_PER_SEGMENT; each++) for (const body of statement(action++)) records.push(stamped(body));
    const { bytes, link } = sealSegment({
      origin: ORIGIN,
      session: id,
      number,
      prev,
      policy: 'p',
      key,
      registration,
      epoch,
      firstSeq,
      records,
      clock: { wall: [1_790_000_000_000 + firstSeq, 1_790_000_000_000 + seq], mono: [firstSeq, seq], sealed: 1 },
      counters: { actions: action, denied: 0, masked: 0, dropped: 0 },
      flags: number === 0 ? ['open'] : [],
    });
    prev = link;
    parcels.push(encodeParcel({ key: wrapped, segment: bytes }));
  }
  return { parcels, records: seq };
}

/** Takes sessions in, so many parcels at once, and says how long that took without the making of them. */
async function takeIn(collector: Collector): Promise<{ seconds: number; cpuSeconds: number; records: number; segments: number }> {
  let [records, segments, seconds, cpuSeconds] = [0, 0, 0, 0];
  while (records < RECORDS) {
    const made = Array.from({ length: AT_ONCE / SEGMENTS_PER_SESSION }, session);
    const [from, cpu] = [performance.now(), process.cpuUsage()];
    const outcomes = await Promise.all(made.flatMap(({ parcels }) => parcels.map((parcel) => collector.ingest(parcel))));
    const { user, system } = process.cpuUsage(cpu);
    seconds += (performance.now() - from) / 1000;
    cpuSeconds += (user + system) / 1e6;
    if (outcomes.some(({ kind }) => kind !== 'stored')) throw new Error('a segment was not stored');
    records += made.reduce((sum, each) => sum + each.records, 0);
    segments += outcomes.length;
  }
  return { seconds, cpuSeconds, records, segments };
}

async function search(collector: Collector, text: string): Promise<number> {
  const from = performance.now();
  const headers = { authorization: 'Bearer t', 'content-type': 'application/json' };
  const request = new Request('http://collector/v1/sessions/search', { method: 'POST', headers, body: JSON.stringify({ text }) });
  const response = await collector.fetch(request);
  if (!response.ok) throw new Error(`the search was answered with ${response.status}`);
  await response.arrayBuffer();
  return performance.now() - from;
}

const quantile = (list: readonly number[], part: number): number =>
  list.toSorted((a, b) => a - b)[Math.floor((list.length - 1) * part)] ?? 0;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const parent = join(import.meta.dirname, '../../.cache');
await mkdir(parent, { recursive: true });
const directory = await mkdtemp(join(parent, 'collecting-'));
const postgres = values.index === 'postgres' ? await startPostgres() : undefined;
const engine = async () =>
  postgres && openPostgres({ host: postgres.host, port: postgres.port, ...postgres.superuser, database: 'postgres' }, 10_000);
try {
  const index = await engine();
  const trust = { origin: ORIGIN, enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
  const access = createTokenAccess('t');
  const collector = await createCollector({
    directory,
    trust,
    readers: [reader],
    access,
    logger: silent,
    ...(index && { index }),
  });
  const { seconds, cpuSeconds, records, segments } = await takeIn(collector);
  say(
    `${values.index}: ${records} records in ${segments} segments, ${(records / seconds).toFixed(0)} records/s, ${((cpuSeconds / records) * 1e6).toFixed(0)} µs of CPU each`,
  );
  for (const [what, text] of [
    ['a word in every tenth command', (at: number) => WORDS[at % WORDS.length] ?? ''],
    ['two words', (at: number) => `${WORDS[at % WORDS.length]} r${at % 97}`],
    ['a number that one command has', (at: number) => String((at * 7919) % statements)],
    ['the beginning of a number', (at: number) => String(100 + at)],
  ] as const) {
    const took: number[] = [];
    for (let at = 0; at < SEARCHES / 4; at++) took.push(await search(collector, text(at)));
    const { median } = spread(took) ?? { median: Number.NaN };
    say(`search over ${statements} commands, ${what}: p50 ${median.toFixed(1)} ms, p95 ${quantile(took, 0.95).toFixed(1)} ms`);
  }
  const from = performance.now();
  const again = await collector.reindex();
  if (again.segments !== segments) throw new Error('the index was not built again whole');
  say(
    `index built again: ${((performance.now() - from) / 1000).toFixed(1)} s, ${(records / ((performance.now() - from) / 1000)).toFixed(0)} records/s`,
  );
  await collector.close();
} finally {
  await postgres?.stop();
  await rm(directory, { recursive: true, force: true });
}
