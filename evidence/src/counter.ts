import { z } from 'zod';
import { EvidenceError } from './errors.ts';
import { SESSION_ID } from './ids.ts';
import {
  type Epoch,
  type Registration,
  Signed,
  signStatement,
  type Trust,
  verifyEpochCertificate,
  verifyRegistration,
  verifyStatement,
} from './keys.ts';

const CONTEXT = 'chaperone/counter/v1\0';
/** Sessions that one statement names, so that it fits into 2,048 characters whatever they are. */
export const MAX_PENDING = 40;

const Session = z.string().regex(SESSION_ID);
const Number32 = z.int().min(0).max(0xffff_ffff);
const Count = z.int().min(0);

/**
 * What a pod's sidecar says of itself to who cannot lose its evidence: how much there is of it. `number` counts its statements, `opened` its
 * sessions, `sealed` the segments that wait for delivery or went out (after a crash at least so many), all since the pod began. `last` is the
 * newest of these, with its link. `pending` names sessions of which the sidecar has not verified a receipt for each segment, the newest of them last,
 * each with how many segments it had; `more` is how many others there are. Whatever is not pending is in the log.
 */
export const Counter = z.strictObject({
  origin: z.string().min(1).max(253),
  nkey: z.string().max(64),
  number: z.int().min(1),
  opened: Count,
  newest: Session.nullable(),
  sealed: Count,
  last: z.strictObject({ session: Session, number: Number32, link: z.string().regex(/^[0-9a-f]{64}$/) }).nullable(),
  pending: z.array(z.tuple([Session, Number32])).max(MAX_PENDING),
  more: Count,
  clock: z.strictObject({ wall: z.number(), mono: z.number() }),
});
export type Counter = z.infer<typeof Counter>;

/** A counter as the epoch key signed it, and the certificate of that key. */
export const SignedCounter = z.strictObject({ certificate: Signed, counter: Signed });
export type SignedCounter = z.infer<typeof SignedCounter>;

/** The same with who vouches for the pod: it proves itself to whoever trusts the enrolment key. */
export const CounterStatement = SignedCounter.extend({ registration: Signed });
export type CounterStatement = z.infer<typeof CounterStatement>;

/** Where a sidecar keeps its newest statement, in its run directory. */
export const COUNTER_FILE = 'counter.json';
/** ConfigMaps in which the operator keeps the newest statement of each pod; the collector may read them. */
export const COUNTER_MAPS: readonly string[] = Array.from({ length: 64 }, (_, at) => `chaperone-counters-${at.toString(16)}`);
const MAX_POLICIES = 16;
/** What such a ConfigMap has of a pod, by the pod's UID. */
export const StoredCounter = CounterStatement.extend({
  /** ms since 1970, by the clock of who keeps it. */
  receivedAt: z.number(),
  goneAt: z.number().optional(),
  /** Names of the policies that were in force for the pod. */
  policies: z.array(z.string().max(253)).max(MAX_POLICIES),
});
export type StoredCounter = z.infer<typeof StoredCounter>;

export function signCounter(counter: Counter, epoch: Pick<Epoch, 'signer' | 'certificate'>): SignedCounter {
  return { certificate: epoch.certificate, counter: signStatement(CONTEXT, Counter.parse(counter), epoch.signer) };
}

/** What was counted, and the epoch whose key said so. */
export interface Counted {
  readonly counter: Counter;
  readonly epoch: number;
}

/** The counter if a key that the pod's nkey certified signed it for this origin; throws EvidenceError CounterInvalid, CertificateInvalid, EpochExceeded, MalformedKey, OriginMismatch. */
export function verifyCounter({ certificate, counter: signed }: SignedCounter, pod: { nkey: string; origin: string }): Counted {
  const { nkey, key, epoch, notBefore, notAfter } = verifyEpochCertificate(certificate);
  if (!verifyStatement(CONTEXT, signed, Buffer.from(key, 'base64url')))
    throw new EvidenceError('CounterInvalid', 'the epoch key did not sign this counter');
  const counter = parseCounter(signed);
  if (nkey !== pod.nkey || counter.nkey !== pod.nkey)
    throw new EvidenceError('CertificateInvalid', 'the counter or its key belongs to another pod than the registration');
  const { wall } = counter.clock;
  if (wall < notBefore || wall > notAfter)
    throw new EvidenceError('EpochExceeded', 'the counter was signed outside the time of its epoch key');
  if (counter.origin !== pod.origin) throw new EvidenceError('OriginMismatch', 'the counter is of another origin');
  return { counter, epoch };
}

/** The same of a statement that nobody vouches for but its registration; throws also RegistrationUntrusted. */
export function verifyCounterStatement(
  statement: CounterStatement,
  trust: Trust,
): Counted & { readonly agent: Registration['agent'] } {
  const { nkey, agent, origin } = verifyRegistration(statement.registration, trust);
  return { ...verifyCounter(statement, { nkey, origin }), agent };
}

function parseCounter(signed: Signed): Counter {
  try {
    return Counter.parse(JSON.parse(signed.body));
  } catch (cause) {
    throw new EvidenceError('CounterInvalid', 'the counter does not have the expected shape', { cause });
  }
}

/** Whether one statement of a pod may follow another: nothing that counts goes back. */
export function countsOn(before: Counted, after: Counted): boolean {
  return (
    after.counter.number > before.counter.number &&
    after.epoch >= before.epoch &&
    after.counter.opened >= before.counter.opened &&
    after.counter.sealed >= before.counter.sealed
  );
}
