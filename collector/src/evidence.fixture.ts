import { createHash } from 'node:crypto';
import {
  createEpoch,
  DataKey,
  encodeNkey,
  encodeParcel,
  generateSigner,
  newSessionId,
  parseRecipient,
  type PodIdentity,
  readSegments,
  type SealedSegment,
  type SessionRecord,
  type SessionVerdict,
  signRegistration,
  sealSegment,
  verifyChain,
  wrapKey,
  x25519Holder,
} from '@chaperone/evidence';

export const enrolment = generateSigner();
export const trust = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
/** Who reads what these sessions recorded. */
export const reader = x25519Holder(Buffer.alloc(32, 9));
export const readers = [reader];
export const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

export function aPod(agent = { namespace: 'agents', serviceAccount: 'bot' }, by = enrolment): PodIdentity {
  const nkey = generateSigner();
  const registration = { nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 };
  return { nkey, registration: signRegistration(registration, by) };
}

export interface SessionOptions {
  readonly session?: string;
  readonly segments?: number;
  readonly pod?: PodIdentity;
  readonly agent?: { namespace: string; serviceAccount: string };
  readonly resource?: string;
  readonly close?: boolean;
  readonly startedAt?: number;
  readonly text?: string;
  readonly retention?: string;
  /** By the pod's clock, whose epoch goes from 1 to 3,600,001. */
  readonly sealedAt?: number;
  /** Under which its payloads are sealed; sessions of one id that are to fit each other have the same. */
  readonly key?: DataKey;
  readonly onBehalfOf?: { issuer: string; user: string; groups: string[] };
}

const DEFAULTS = {
  segments: 3,
  agent: { namespace: 'agents', serviceAccount: 'bot' },
  resource: 'orders-db',
  close: true,
  startedAt: 1000,
  text: 'select 1',
  sealedAt: 1,
};

/** A segment, and as it travels. */
export type FixtureSegment = SealedSegment & { readonly parcel: Buffer };

/** A session as a sidecar would send it: an opening, two actions per segment of which one is denied, and an end. */
export function aSession(options: SessionOptions = {}): {
  session: string;
  key: DataKey;
  nkey: string;
  sealed: FixtureSegment[];
} {
  const { agent, resource, segments, close, startedAt, text, sealedAt } = { ...DEFAULTS, ...options };
  const { session = newSessionId(), pod = aPod(agent) } = options;
  const epoch = createEpoch(pod, 1, 1);
  const key = options.key ?? keyOf(session);
  const wrapped = wrapKey(key, [parseRecipient(reader.name)]);
  const sealed: FixtureSegment[] = [];
  let seq = 0;
  const stamp = () => ({ seq: seq++, at: startedAt + seq, mono: seq });
  const action = (number: number): SessionRecord => ({
    ...stamp(),
    type: 'action',
    action: number,
    text,
    bytes: text.length,
    verdict: number % 2 === 0 ? 'allow' : 'deny',
    code: 'Allowed',
    reason: 'test',
    effects: [],
  });
  for (let number = 0; number < segments; number++) {
    const firstSeq = seq;
    const records: SessionRecord[] = [];
    if (number === 0)
      records.push({
        ...stamp(),
        type: 'session.open',
        session,
        agent,
        resource: { namespace: 'data', name: resource, protocol: 'postgres' },
        purpose: 'tests',
        ...(options.onBehalfOf === undefined ? {} : { onBehalfOf: options.onBehalfOf }),
        policies: [],
        mode: 'Enforce',
        ...(options.retention === undefined ? {} : { retention: options.retention }),
        client: { address: '127.0.0.1:1', tls: false },
      });
    records.push(action(number * 2), action(number * 2 + 1));
    const last = close && number === segments - 1;
    if (last)
      records.push({ ...stamp(), type: 'session.close', code: 'Closed', reason: 'done', actions: 0, denied: 0, maskedValues: 0 });
    const segment = sealSegment({
      origin: 'test',
      session,
      number,
      prev: sealed.at(-1)?.link ?? null,
      policy: 'p',
      key,
      epoch,
      firstSeq,
      registration: pod.registration,
      records: records.map((record) => Buffer.from(JSON.stringify(record))),
      clock: { wall: [startedAt + firstSeq, startedAt + seq], mono: [firstSeq, seq], sealed: sealedAt },
      counters: { actions: number * 2 + 2, denied: number + 1, masked: 0, dropped: 0 },
      flags: [...(number === 0 ? (['open'] as const) : []), ...(last ? (['close'] as const) : [])],
    });
    sealed.push({ ...segment, parcel: encodeParcel({ key: wrapped, segment: segment.bytes }) });
  }
  return { session, key, nkey: encodeNkey(pod.nkey.publicKey), sealed };
}

/** One for each session id, so that what is sealed for the same session fits. */
function keyOf(session: string): DataKey {
  return new DataKey(session, createHash('sha256').update(session).digest());
}

/** What the segments of an evidence file say of one session, whatever of its log. */
export async function judged(file: Buffer, session: string): Promise<SessionVerdict> {
  const segments: Buffer[] = [];
  for await (const each of readSegments([file]))
    if (each.session === session) {
      while (segments.length < each.number) segments.push(Buffer.alloc(0));
      segments.push(each.segment);
    }
  return verifyChain(session, segments, trust);
}
