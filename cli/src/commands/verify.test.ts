import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createEpoch,
  encodeNkey,
  generateSigner,
  newSessionId,
  type SealedSegment,
  sealSegment,
  type SessionRecord,
  signRegistration,
  writeBundle,
  DataKey,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ended, run } from '../program.test-support.ts';

const session = newSessionId();
const enrolment = generateSigner();
const TRUST = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const agent = { namespace: 'agents', serviceAccount: 'bot' };

const stamp = (seq: number): { seq: number; at: number; mono: number } => ({ seq, at: seq, mono: seq });

/** A session of three segments: its opening, an action and its end. */
function sealedSession(): Buffer[] {
  const nkey = generateSigner();
  const registration = signRegistration({ nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 }, enrolment);
  const epoch = createEpoch({ nkey, registration }, 1, 1);
  const resource = { namespace: 'data', name: 'orders-db', protocol: 'postgres' } as const;
  const client = { address: '127.0.0.1:1', tls: false };
  const records: SessionRecord[] = [
    { ...stamp(0), type: 'session.open', session, agent, resource, purpose: 'tests', policies: [], mode: 'Enforce', client },
    {
      ...stamp(1),
      type: 'action',
      action: 0,
      text: 'select 1',
      bytes: 8,
      verdict: 'allow',
      code: 'Allowed',
      reason: '',
      effects: [],
    },
    { ...stamp(2), type: 'session.close', code: 'AgentClosed', reason: 'done', actions: 1, denied: 0, maskedValues: 0 },
  ];
  const sealed: SealedSegment[] = [];
  for (const [number, record] of records.entries()) {
    sealed.push(
      sealSegment({
        origin: 'test',
        session,
        number,
        prev: sealed.at(-1)?.link ?? null,
        policy: 'p',
        key: new DataKey(session, Buffer.alloc(32, 1)),
        epoch,
        firstSeq: number,
        registration,
        records: [Buffer.from(JSON.stringify(record))],
        clock: { wall: [number, number], mono: [number, number] },
        counters: { actions: Math.min(1, number), denied: 0, masked: 0, dropped: 0 },
        flags: number === 0 ? ['open'] : number === 2 ? ['close'] : [],
      }),
    );
  }
  return sealed.map(({ bytes }) => bytes);
}

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
const segments = sealedSession();
beforeAll(async () => {
  folder = await temporaryDirectory();
  await writeFile(join(folder.path, 'trust.json'), JSON.stringify(TRUST));
});
afterAll(() => folder[Symbol.asyncDispose]());

async function verify(kept: readonly number[], ...more: readonly string[]): Promise<Ended> {
  const entries = kept.map((number) => ({ session, number, segment: segments[number] ?? Buffer.alloc(0) }));
  const file = join(folder.path, 'bundle');
  await writeFile(file, [...writeBundle('test', entries)].join(''));
  return run(['verify', '--file', file, '--trust', join(folder.path, 'trust.json'), ...more]);
}

test.each<[string, number[], string, number, number]>([
  [
    'whole',
    [0, 1, 2],
    'complete: 3 records, 3 segments, signed for agents/bot; 1 action, 0 denied, 0 values masked; what the records say is sealed and was not looked at',
    0,
    0,
  ],
  [
    'without its end',
    [0, 1],
    'open: 2 records, 2 segments, signed for agents/bot; 1 action, 0 denied, 0 values masked; no end is seen: the session goes on, its end has not arrived, or segments after these were cut off, which these cannot tell (--complete to insist on an end); what the records say is sealed and was not looked at',
    0,
    3,
  ],
  [
    'without its middle',
    [0, 2],
    'incomplete: segment 1: segment 1 is missing; segment 2 stands in its place; all before it is intact (1 record, 1 segment) (EvidenceIncomplete)',
    3,
    3,
  ],
])('a session %s is called what it is, and --complete insists on its end', async (_what, kept, line, code, insisted) => {
  expect(await verify(kept)).toMatchObject({ code, out: `${session}  ${line}\n`, err: '' });
  expect((await verify(kept, '--complete')).code).toBe(insisted);
  expect(JSON.parse((await verify(kept, '--complete', '-o', 'json')).out)).toMatchObject({ verdict: line.split(':')[0] });
});
