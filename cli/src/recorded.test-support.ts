import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  encodeNkey,
  generateSigner,
  newSessionId,
  outputRecords,
  type RecordBody,
  signRegistration,
  type Signer,
  signerFromSeed,
  type Stream,
  parseRecipient,
  trustIn,
  type TrustPolicy,
} from '@chaperone/evidence';
import { type Collector, createCollector, createTokenAccess } from '@chaperone/collector';
import { createRecording } from '@chaperone/sidecar';
import { temporaryDirectory } from '@chaperone/testing';
import { dataPaths } from './up/data-directory.ts';
import { deliveryTo } from './up/delivery.ts';
import { localIdentity } from './up/identity.ts';

/** A record, and the milliseconds between it and the one before. */
export interface Step {
  readonly after: number;
  readonly body: RecordBody;
}

export interface Told {
  readonly collector: Collector;
  readonly origin: string;
  readonly enrolment: Signer;
  readonly steps: Iterable<Step>;
  readonly serviceAccount?: string;
  readonly protocol?: string;
  /** Milliseconds before now. */
  readonly ago?: number;
  readonly end?: boolean;
  /** Whose receipts are believed; default: the collector's own key, without witnesses. */
  readonly policy?: TrustPolicy;
  /** How long the collector has to give receipts. */
  readonly withinMs?: number;
}

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** A session as the sidecar's own recorder writes, seals and delivers it, on a clock that the steps move. Resolves with its name. */
export async function recordSession(told: Told): Promise<string> {
  const { collector, origin, enrolment, serviceAccount = 'infra-agent', protocol = 'ssh', ago = 3_600_000, end = true } = told;
  await using directory = await temporaryDirectory('chaperone-recorded-');
  const agent = { namespace: 'agents', serviceAccount, pod: `${serviceAccount}-7c9f4` };
  const nkey = generateSigner();
  const registration = signRegistration({ nkey: encodeNkey(nkey.publicKey), agent, origin, issuedAt: 1 }, enrolment);
  const { policy = trustIn(collector.logKey), withinMs = 20_000 } = told;
  let elapsed = 0;
  const began = Date.now() - ago;
  const recording = await createRecording({
    directory: join(directory.path, 'spool'),
    runDirectory: join(directory.path, 'run'),
    identity: { nkey, registration },
    recipients: () => collector.recipients.map(parseRecipient),
    delivery: deliveryTo(collector, encodeNkey(nkey.publicKey)),
    logPolicy: () => policy,
    tellCounter: () => Promise.resolve(),
    clock: { now: () => began + elapsed, monotonic: () => elapsed },
    logger: silent,
  });
  const session = newSessionId();
  const recorder = await recording.open(session, 'p');
  const totals = { actions: 0, denied: 0 };
  const append = async (body: RecordBody): Promise<void> => {
    if (body.type === 'action') totals.actions++;
    if (body.type === 'action' && body.verdict === 'deny') totals.denied++;
    await recorder.append(body, 'written');
  };
  await append({
    type: 'session.open',
    session,
    agent,
    resource: { namespace: 'ops', name: 'web-3', protocol },
    purpose: 'keep the web servers up',
    policies: [{ namespace: 'agents', name: 'infra-agent', generation: 3 }],
    mode: 'Enforce',
    client: { address: '10.2.0.9:40122', tls: false, application: 'OpenSSH_9.2' },
  });
  for (const { after, body } of told.steps) {
    elapsed += after;
    await append(body);
  }
  if (end) await append({ type: 'session.close', code: 'Closed', reason: 'the agent said goodbye', ...totals, maskedValues: 0 });
  await recorder.close();
  const { unacknowledged } = await recording.flush(withinMs);
  await recording.stop();
  if (unacknowledged > 0) throw new Error(`${unacknowledged} segments were not taken`);
  return session;
}

/** One more session in a data directory that nothing uses, which is made where it is not there, as `chaperone up` makes one. */
export async function recordInto(data: string, steps: Iterable<Step> = [asked({ action: 0, text: 'uname' })]): Promise<string> {
  await mkdir(data, { recursive: true });
  const agent = { namespace: 'agents', serviceAccount: 'infra-agent', labels: {}, annotations: {} };
  const { trust } = await localIdentity(data, agent, 1);
  const { evidence, keys } = dataPaths(data);
  const enrolment = signerFromSeed(await readFile(join(keys, 'enrolment.seed')));
  const access = createTokenAccess('t');
  const collector = await createCollector({ directory: evidence, trust, access, logger: silent });
  try {
    return await recordSession({ collector, origin: trust.origin, enrolment, steps });
  } finally {
    await collector.close();
  }
}

export interface Ran {
  readonly action: number;
  readonly text: string;
  readonly verdict?: 'allow' | 'deny' | 'approve';
  readonly after?: number;
}

/** A command and the verdict on it. */
export function asked({ action, text, verdict = 'allow', after = 400 }: Ran): Step {
  const denied = verdict === 'deny';
  const rule = denied ? 'never' : verdict === 'approve' ? 'restart' : 'look';
  const reason = denied
    ? 'rule "never" denies rm'
    : verdict === 'approve'
      ? 'rule "restart" asks people'
      : 'allowed by the policy';
  const code = denied ? 'RuleDenies' : verdict === 'approve' ? 'ApprovalRequired' : 'Allowed';
  const effects = [{ verb: 'exec', object: text.split(' ')[0] ?? '', via: 'direct' as const, verdict, rule }];
  return {
    after,
    body: { type: 'action', action, text, bytes: Buffer.byteLength(text), verdict, code, rule, reason, effects },
  };
}

/** A chunk of a stream as it went by. */
export function wrote(action: number, stream: Stream, chunk: Buffer | string, after = 0): Step[] {
  return outputRecords(action, stream, Buffer.from(chunk)).map((body, at) => ({ after: at === 0 ? after : 0, body }));
}

export function resized(action: number, columns: number, rows: number, after = 0): Step {
  return { after, body: { type: 'resize', action, columns, rows } };
}

export interface Finished {
  readonly bytes?: number;
  readonly truncated?: boolean;
  readonly after?: number;
}

/** How a command ended. */
export function finished(action: number, tag: string, { bytes = 0, truncated = false, after = 20 }: Finished = {}): Step {
  const digest = 'c0'.repeat(32);
  return {
    after,
    body: { type: 'done', action, tag, rows: 0, bytes, digest, truncated, maskedValues: 0, durationMs: 12 },
  };
}
