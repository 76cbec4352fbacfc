import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { decodeNkey, generateSigner, verifySignature } from '@chaperone/evidence';
import {
  type ControlErrorCode,
  EnrolRequest,
  enrolmentProof,
  MAX_CONTROL_BYTES,
  type Snapshot,
  type StreamLine,
} from '@chaperone/policy';
import { eventually, temporaryDirectory, testAuthority } from '@chaperone/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Logger } from '../platform.ts';
import { type LocalAuthority, openAuthority } from './authority.ts';
import { keepOperatorCa, readOperatorCa } from './operator-ca.ts';
import { type OperatorControl, openOperatorControl } from './operator.ts';

let clockMs = 0;
const clock = { now: () => Date.now(), monotonic: () => clockMs, after: async () => undefined };
let logged: string[] = [];
const logger: Logger = Object.fromEntries(
  ['info', 'warn', 'error'].map((level) => [
    level,
    (event: string, fields: object = {}) => logged.push(`${event} ${JSON.stringify(fields)}`),
  ]),
) as unknown as Logger;
const nkey = generateSigner();

/** An operator as far as one sidecar sees it: the real protocol over real TLS, its answers set by the test. */
class Operator {
  readonly requests: { path: string; token: string; body: string }[] = [];
  readonly streams: ServerResponse[] = [];
  /** Tokens that are accepted. */
  tokens = new Set(['token-1']);
  /** Refusals that are given before anything else, first one first. */
  refusals: { status: number; code: ControlErrorCode }[] = [];
  validForMs = 60_000;
  protocols = [1];
  /** Where it is not the one that it was asked in. */
  answersIn: number | undefined;
  /** Whose certificates are trusted: told to sidecars. */
  bundle = '';
  revision = 1;
  url = '';
  leafFor: ((publicKey: string) => Promise<string>) | undefined;
  #publicKey = '';
  readonly #signer: LocalAuthority;
  readonly #sockets = new Set<Socket>();
  #close: () => void = () => undefined;
  /** Another certificate for whoever connects from now on. */
  show: (identity: { certificate: string; key: string }) => void = () => undefined;

  constructor(signer: LocalAuthority) {
    this.#signer = signer;
  }

  async listen(identity: { certificate: string; key: string }): Promise<void> {
    const server = createServer({ cert: identity.certificate, key: identity.key }, (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
    server.on('connection', (socket: Socket) => this.#sockets.add(socket)).on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.url = `https://localhost:${(server.address() as AddressInfo).port}`;
    this.#close = () => server.close();
    this.show = ({ certificate, key }) => server.setSecureContext({ cert: certificate, key });
  }
  close(): void {
    this.#close();
    this.dropStreams();
    for (const socket of this.#sockets) socket.destroy();
  }
  /** Which log to believe. */
  log: { readonly log?: string } = { log: 'quorum none\n' };
  dropStreams(): void {
    for (const stream of this.streams.splice(0)) stream.destroy();
  }
  say(line: StreamLine | string): void {
    for (const stream of this.streams) stream.write(typeof line === 'string' ? line : `${JSON.stringify(line)}\n`);
  }
  async snapshot(): Promise<Snapshot> {
    const certificate = await (this.leafFor ?? ((pem: string) => this.#signer.issue(createPublicKey(pem), ['orders-db'])))(
      this.#publicKey,
    );
    const agent = { namespace: 'agents', serviceAccount: 'bot', labels: {}, annotations: {} };
    const revision = `r${this.revision}`;
    return { revision, agent, resources: [], inboundPorts: [], certificate, ca: this.bundle, validForMs: this.validForMs };
  }
  calls(path: string): string[] {
    return this.requests.filter((request) => request.path === path).map(({ body }) => body);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const path = request.url ?? '';
    const token = (request.headers.authorization ?? '').replace('Bearer ', '');
    this.requests.push({ path, token, body });
    const refuse = (status: number, code: ControlErrorCode): void =>
      void response.writeHead(status).end(JSON.stringify({ code, message: `refused: ${code}` }));
    if (!this.tokens.has(token)) return refuse(401, 'Unauthenticated');
    const refusal = path === '/v1/ack' ? undefined : this.refusals.shift();
    if (refusal !== undefined) return refuse(refusal.status, refusal.code);
    if (path === '/v1/enrol') {
      const enrol = EnrolRequest.parse(JSON.parse(body));
      if (
        !verifySignature(
          decodeNkey(enrol.nkey),
          enrolmentProof(token, enrol.tlsPublicKey),
          Buffer.from(enrol.nkeyProof, 'base64'),
        )
      )
        return refuse(403, 'NkeyMismatch');
      if (!this.protocols.includes(enrol.protocol)) return refuse(400, 'ProtocolUnsupported');
      this.#publicKey = enrol.tlsPublicKey;
      const nats = { url: 'nats://x', jwt: 'jwt-1', expiresAt: Date.now() + 3_600_000, ...this.log };
      const answer = {
        protocol: this.answersIn ?? enrol.protocol,
        origin: 'log',
        registration: { body: '{}', signature: 's' },
        recipients: ['x25519:reader'],
        nats,
        snapshot: await this.snapshot(),
      };
      return void response.end(JSON.stringify(answer));
    }
    if (path === '/v1/stream') {
      response.writeHead(200);
      response.write(`${JSON.stringify({ type: 'snapshot', snapshot: await this.snapshot() })}\n`);
      this.streams.push(response);
      return undefined;
    }
    if (path === '/v1/nats')
      return void response.end(JSON.stringify({ url: 'nats://x', jwt: 'jwt-2', expiresAt: Date.now() + 3_600_000 }));
    return void response.writeHead(204).end();
  }
}

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let operator: Operator;
let ca: string;
const open: OperatorControl[] = [];

beforeEach(async () => {
  [logged, clockMs] = [[], 0];
  directory = await temporaryDirectory();
  const authority = await testAuthority('operator CA');
  ca = authority.ca;
  operator = new Operator(
    await openAuthority(join(directory.path, 'agent-leg'), {
      now: () => Date.now(),
      monotonic: () => 0,
      after: async () => undefined,
    }),
  );
  operator.bundle = ca;
  await operator.listen(await authority.issue(['localhost']));
  await writeFile(join(directory.path, 'token'), 'token-1\n');
});
afterEach(async () => {
  expect(logged.join('\n'), 'no token in a log').not.toMatch(/token-\d/);
  await Promise.all(open.splice(0).map((control) => control.stop()));
  operator.close();
  await directory[Symbol.asyncDispose]();
});

function start(mods: { ca?: string; protocols?: readonly number[]; stallMs?: number; timeoutMs?: number } = {}): OperatorControl {
  const control = openOperatorControl({
    url: operator.url,
    ca: mods.ca ?? ca,
    ...(mods.protocols && { protocols: mods.protocols }),
    onCa: (bundle) => void keepOperatorCa(directory.path, bundle),
    tokenFile: join(directory.path, 'token'),
    version: '0.1.0',
    nkey,
    clock,
    logger,
    timings: { stallMs: mods.stallMs ?? 5_000, timeoutMs: mods.timeoutMs ?? 2_000, backoffMs: { first: 20, last: 100 } },
  });
  open.push(control);
  return control;
}
async function startStreaming(mods: Parameters<typeof start>[0] = {}): Promise<OperatorControl> {
  const control = start(mods);
  await eventually('the stream', () => (operator.streams[0] !== undefined && control.problem === undefined ? true : undefined));
  return control;
}

test('it enrols with a proof of its key, takes the snapshot, follows the stream and acknowledges', async () => {
  const control = await startStreaming();
  expect((await control.enrolled()).origin).toBe('log');
  const seen: string[] = [];
  control.onSnapshot(({ revision }) => seen.push(revision));
  operator.revision = 2;
  operator.say({ type: 'snapshot', snapshot: await operator.snapshot() });
  await eventually('the second snapshot', () => (control.current()?.revision === 'r2' ? true : undefined));
  expect(seen).toEqual(['r1', 'r2']);
  await eventually('its acknowledgement', () => operator.calls('/v1/ack').find((body) => body.includes('r2')));
});

test('the private key stays here', async () => {
  const control = await startStreaming();
  const secret = control.tlsKey.split('\n')[1] ?? 'none';
  expect(operator.requests.map(({ body }) => body).join()).not.toContain(secret);
});

test('a token that was replaced is read anew, and one that is refused is tried again', async () => {
  operator.tokens = new Set(['token-2']);
  const control = start();
  await eventually('a refusal', () => (control.problem?.code === 'Unauthenticated' ? true : undefined));
  await writeFile(join(directory.path, 'token'), 'token-2');
  await eventually('the snapshot', () => control.current());
  expect(new Set(operator.requests.map(({ token }) => token))).toEqual(new Set(['token-1', 'token-2']));
});

test('an operator whose certificate another authority signed gets no request', async () => {
  const control = start({ ca: (await testAuthority('operator CA')).ca });
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(operator.requests).toEqual([]);
  expect(control.current()).toBeUndefined();
  expect(control.problem?.code).toBe('OperatorUnreachable');
  expect(logged.filter((line) => line.includes('OperatorUnreachable'))).toHaveLength(1);
});

/** The operator of another day, at the same address. */
async function replaceCertificate(by: Awaited<ReturnType<typeof testAuthority>>): Promise<void> {
  operator.show(await by.issue(['localhost']));
  operator.dropStreams();
}

/** The protocols of enrolments. */
const asked = (): number[] => operator.calls('/v1/enrol').map((body) => EnrolRequest.parse(JSON.parse(body)).protocol);

describe('sidecar and operator are of two releases', () => {
  test.each<[string, readonly number[], number[], number[]]>([
    ['the sidecar is older', [1], [1, 2], [1]],
    ['both are', [1, 2], [1, 2], [2]],
    ['the operator is older', [1, 2], [1], [2, 1]],
  ])('%s: they speak what both know', async (_which, ours, theirs, expected) => {
    operator.protocols = theirs;
    const control = await startStreaming({ protocols: ours });
    expect(asked()).toEqual(expected);
    expect(control.current()?.revision).toBe('r1');
  });

  test('an operator that was replaced meanwhile is asked in the newest again', async () => {
    await startStreaming({ protocols: [1, 2] });
    operator.protocols = [1, 2];
    operator.refusals = [{ status: 409, code: 'NotEnrolled' }];
    operator.dropStreams();
    await eventually('another enrolment', () => asked()[2]);
    expect(asked()).toEqual([2, 1, 2]);
  });

  test.each<[string, number[], number | undefined, string]>([
    ['speak nothing in common', [3], undefined, 'ProtocolUnsupported'],
    ['are answered in another protocol', [1, 2], 3, 'OperatorUnreachable'],
  ])('and nothing is granted where they %s', async (_what, theirs, answersIn, code) => {
    operator.protocols = theirs;
    operator.answersIn = answersIn;
    const control = start({ protocols: [1, 2] });
    await eventually('the refusal', () => (asked().length > 1 && control.problem?.code === code ? true : undefined));
    expect(control.current()).toBeUndefined();
    expect(operator.calls('/v1/stream')).toEqual([]);
  });
});

describe('the certificate authority of the operator is another', () => {
  test('one that was told of before it is used is trusted, also after a restart of the sidecar; the old one is not for ever', async () => {
    const control = await startStreaming();
    const next = await testAuthority('operator CA of another day');
    operator.bundle = ca + next.ca;
    operator.revision = 2;
    operator.say({ type: 'snapshot', snapshot: await operator.snapshot() });
    await eventually('what is kept', async () =>
      (await readOperatorCa(directory.path, ca)) === ca + next.ca ? true : undefined,
    );
    await replaceCertificate(next);
    await eventually('a stream by the new one', () => operator.streams[0]);
    expect(operator.calls('/v1/enrol')).toHaveLength(1);
    operator.bundle = next.ca;
    operator.revision = 3;
    operator.say({ type: 'snapshot', snapshot: await operator.snapshot() });
    await eventually('the third snapshot', () => (control.current()?.revision === 'r3' ? true : undefined));
    await control.stop();
    operator.streams.length = 0;
    await startStreaming({ ca: await readOperatorCa(directory.path, ca) });
    const old = start({ ca });
    await eventually('its refusal', () => (old.problem?.code === 'OperatorUnreachable' ? true : undefined));
    expect(old.current()).toBeUndefined();
  });

  test('one that nobody told of is not trusted', async () => {
    await startStreaming();
    await replaceCertificate(await testAuthority('operator CA'));
    await eventually('the refusal', () => logged.find((line) => line.includes('OperatorUnreachable')));
    expect(operator.calls('/v1/stream')).toHaveLength(1);
  });

  test.each(['', 'CANARY', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'])(
    'what is no authority changes nothing: %j',
    async (bundle) => {
      const control = await startStreaming();
      const [before] = operator.streams;
      operator.bundle = bundle;
      operator.revision = 2;
      operator.say({ type: 'snapshot', snapshot: await operator.snapshot() });
      await eventually('the stream to be dropped', () =>
        before?.destroyed === true || before?.socket === null ? true : undefined,
      );
      expect(control.current()?.revision).toBe('r1');
      expect(await readOperatorCa(directory.path, ca)).toBe(ca);
      expect(logged.join()).not.toContain('CANARY');
    },
  );
});

describe('time without the operator', () => {
  test('a snapshot holds for its time, then none is in force, and after the same time again sessions end, once', async () => {
    const control = await startStreaming();
    const revoked: string[] = [];
    control.onRevoke(({ code }) => revoked.push(code));
    operator.close();
    clockMs = 60_000;
    expect(control.current()?.revision).toBe('r1');
    clockMs = 60_001;
    expect(control.current()).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(revoked).toEqual([]);
    clockMs = 120_001;
    await eventually('the end of sessions', () => revoked[0]);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(revoked).toEqual(['PolicyStale']);
  });

  test('a heartbeat renews it, from when it was heard', async () => {
    const control = await startStreaming();
    clockMs = 50_000;
    operator.say({ type: 'heartbeat', validForMs: 60_000 });
    await eventually('the heartbeat', () => {
      clockMs = 70_000;
      const renewed = control.current() !== undefined;
      if (!renewed) clockMs = 50_000;
      return renewed ? true : undefined;
    });
  });

  test('an operator cannot make a snapshot hold for more than an hour', async () => {
    operator.validForMs = 1e9;
    const control = await startStreaming();
    clockMs = 3_600_001;
    expect(control.current()).toBeUndefined();
  });

  test('a stream that falls silent is opened again', async () => {
    await startStreaming({ stallMs: 200 });
    await eventually('a second stream', () => (operator.streams.length > 1 ? true : undefined));
  });

  test('a stream that breaks is opened again, without a new enrolment', async () => {
    const control = await startStreaming();
    operator.dropStreams();
    await eventually('a second stream', () => operator.streams[0]);
    expect(operator.calls('/v1/enrol')).toHaveLength(1);
    expect(control.current()).toBeDefined();
  });
});

describe('what is not in the protocol has no effect', () => {
  test.each<[string, () => string | Promise<string>]>([
    ['no JSON', () => 'hello\n'],
    ['an unknown line', () => '{"type":"grant-all"}\n'],
    ['a snapshot with a hole', () => '{"type":"snapshot","snapshot":{"revision":"r9"}}\n'],
    ['a line beyond the limit', () => `{"type":"heartbeat","validForMs":${' '.repeat(MAX_CONTROL_BYTES)}1}\n`],
    ['a line that never ends', () => 'x'.repeat(MAX_CONTROL_BYTES + 1)],
    ['an empty line', () => '\n'],
  ])('%s', async (_what, line) => {
    const control = await startStreaming();
    const [before] = operator.streams;
    operator.say(await line());
    await eventually('the stream to be dropped', () =>
      before?.destroyed === true || before?.socket === null ? true : undefined,
    );
    operator.streams.splice(0, 1);
    expect(control.current()?.revision).toBe('r1');
    await eventually('another stream', () => operator.streams[0]);
  });

  test('a certificate for somebody else is refused, whole snapshot with it', async () => {
    const foreign = createPublicKey((await testAuthority()).ca);
    const signer = await openAuthority(join(directory.path, 'agent-leg'), {
      now: () => Date.now(),
      monotonic: () => 0,
      after: async () => undefined,
    });
    operator.leafFor = () => signer.issue(foreign, ['orders-db']);
    const control = start();
    await eventually('an attempt', () => operator.calls('/v1/enrol')[1]);
    expect(control.current()).toBeUndefined();
  });

  test('an answer that never comes is given up', async () => {
    operator.leafFor = () => new Promise(() => undefined);
    const control = start({ timeoutMs: 100 });
    await eventually('a second attempt', () => operator.calls('/v1/enrol')[1]);
    expect(control.problem?.code).toBe('OperatorUnreachable');
  });
});

describe('refusals', () => {
  test('after a change of leader it enrols again with the same keys', async () => {
    const control = await startStreaming();
    operator.refusals = [{ status: 409, code: 'NotEnrolled' }];
    operator.dropStreams();
    await eventually('a second enrolment', () => operator.calls('/v1/enrol')[1]);
    const [first, second] = operator.calls('/v1/enrol').map((body) => EnrolRequest.parse(JSON.parse(body)));
    expect(second).toEqual(first);
    expect(control.current()).toBeDefined();
  });

  test('a pod that is no longer governed loses its snapshot and its sessions', async () => {
    const control = await startStreaming();
    const revoked: string[] = [];
    control.onRevoke(({ code }) => revoked.push(code));
    operator.refusals = Array.from({ length: 50 }, () => ({ status: 403, code: 'PodNotGoverned' as const }));
    operator.dropStreams();
    await eventually('the loss', () => (control.current() === undefined ? true : undefined));
    expect(revoked).toEqual(['SessionEnded']);
    expect(control.problem?.code).toBe('PodNotGoverned');
  });

  test('a revocation reaches those who listen; of one session it leaves the rest', async () => {
    const control = await startStreaming();
    const revoked: object[] = [];
    control.onRevoke((one) => revoked.push(one));
    operator.say({ type: 'revoke', code: 'SessionEnded', reason: 'killed', session: 's-1', by: 'jane@corp' });
    await eventually('it', () => revoked[0]);
    expect(revoked).toEqual([{ code: 'SessionEnded', reason: 'killed', session: 's-1', by: 'jane@corp' }]);
    expect(control.current()).toBeDefined();
  });

  test('that a session is over is told, and where it cannot be the log says so', async () => {
    const control = await startStreaming();
    control.closed?.('s-1');
    await eventually('it', () => operator.calls('/v1/closed')[0]);
    expect(operator.calls('/v1/closed')).toEqual([JSON.stringify({ session: 's-1' })]);
    operator.refusals = [{ status: 503, code: 'Busy' }];
    control.closed?.('s-2');
    await eventually('the log', () => logged.find((line) => line === 'the end of a session was not told {"code":"Busy"}'));
  });

  test('a stream that ends with a revocation of all leaves nothing in force', async () => {
    const control = await startStreaming();
    operator.refusals = Array.from({ length: 50 }, () => ({ status: 503, code: 'Unavailable' as const }));
    operator.say({ type: 'revoke', code: 'SessionEnded', reason: 'the pod was deleted' });
    for (const stream of operator.streams) stream.end();
    await eventually('nothing in force', () => (control.current() === undefined ? true : undefined));
  });
});

test('observations are told, the last one of each kind, and kept until the operator has them', async () => {
  const control = await startStreaming();
  operator.refusals = [{ status: 503, code: 'Busy' }];
  const resource = { namespace: 'data', name: 'orders-db' };
  control.report({ resource, type: 'Reachable', status: 'Unknown', reason: 'NotDialledYet', message: 'not yet' });
  control.report({ resource, type: 'Reachable', status: 'False', reason: 'UpstreamRefused', message: 'refuses' });
  const [first, second] = await eventually('two attempts', () =>
    operator.calls('/v1/report').length >= 2 ? operator.calls('/v1/report') : undefined,
  );
  expect(second).toBe(first);
  expect(JSON.parse(second ?? '')).toMatchObject({ observations: [{ reason: 'UpstreamRefused' }] });
});

test('the counter of the pod is told on a connection that is kept; what the operator says of it is its answer', async () => {
  const control = await startStreaming();
  const signed = { certificate: { body: '{}', signature: 's' }, counter: { body: '{"number":1}', signature: 't' } };
  await control.tellCounter(signed);
  await control.tellCounter({ ...signed, registration: signed.counter } as typeof signed);
  expect(operator.calls('/v1/counter')).toEqual([JSON.stringify(signed), JSON.stringify(signed)]);
  operator.refusals.push({ status: 409, code: 'CounterRefused' });
  await expect(control.tellCounter(signed)).rejects.toMatchObject({ name: 'OperatorError', code: 'CounterRefused' });
});

test('whether capture is proven is told once, as it changes, and anew to an operator that it enrols with anew', async () => {
  const control = await startStreaming();
  const told = (count: number): Promise<unknown[]> =>
    eventually(`${count} reports`, () => {
      const bodies = operator.calls('/v1/capture');
      return bodies.length >= count ? bodies.map((body) => JSON.parse(body) as unknown) : undefined;
    });
  const lost = { proven: false, message: 'a connection was not stopped' };
  control.tellCapture({ proven: true });
  await told(1);
  control.tellCapture(lost);
  expect(await told(2)).toEqual([{ proven: true }, lost]);
  operator.refusals = [{ status: 409, code: 'NotEnrolled' }];
  operator.dropStreams();
  expect(await told(3)).toEqual([{ proven: true }, lost, lost]);
});

test('broker access is asked for again as long as it does not say which log to believe', async () => {
  operator.log = {};
  const control = await startStreaming();
  expect((await control.nats()).jwt).toBe('jwt-2');
});

test('broker access is asked for again once another authority is trusted', async () => {
  const control = await startStreaming();
  expect((await control.nats()).jwt).toBe('jwt-1');
  operator.bundle = ca + (await testAuthority('operator CA')).ca;
  operator.revision = 2;
  operator.say({ type: 'snapshot', snapshot: await operator.snapshot() });
  await eventually('the second snapshot', () => (control.current()?.revision === 'r2' ? true : undefined));
  expect((await control.nats()).jwt).toBe('jwt-2');
});

test('broker access is asked for again at two thirds of its time', async () => {
  const control = await startStreaming();
  expect((await control.nats()).jwt).toBe('jwt-1');
  const real = clock.now;
  clock.now = () => Date.now() + 2_500_000;
  try {
    expect((await control.nats()).jwt).toBe('jwt-2');
  } finally {
    clock.now = real;
  }
});
