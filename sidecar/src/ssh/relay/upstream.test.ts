import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { GrantedResource } from '@chaperone/policy';
import { eventually } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { aGrantedResource } from '../../capture/testdata/resource.ts';
import { type Clock, systemClock } from '../../platform.ts';
import type { OpenResult } from '../wire/channels.ts';
import { Sink } from '../wire/connection.test-support.ts';
import { signerOf } from '../wire/keys.ts';
import { type OwnServer, startOwnServer } from './peers.test-support.ts';
import { Upstream, type UpstreamError } from './upstream.ts';

const HOST = signerOf(generateKeyPairSync('ed25519').privateKey);
const STRANGER = signerOf(generateKeyPairSync('ed25519').privateKey);
const lineOf = ({ blob }: typeof HOST): string => `ssh-ed25519 ${blob.toString('base64')}`;

const resourceAt = (
  { port }: { readonly port: number },
  ssh: Partial<GrantedResource['ssh'] & object> = {},
): GrantedResource => ({
  ...aGrantedResource('web', 22, []),
  upstream: { host: '127.0.0.1', port, tls: { mode: 'disable' } },
  credentials: { username: 'deploy', password: 'hunter2' },
  ssh: { hostKeys: [lineOf(HOST)], hostAuthorities: [], authentication: ['password'], algorithms: 'default', ...ssh },
});

interface Dialled extends AsyncDisposable {
  readonly upstream: Upstream;
  readonly server: OwnServer;
  /** undefined: somebody is signed in. */
  readonly outcome: UpstreamError | undefined;
}

async function dial(ssh: Partial<GrantedResource['ssh'] & object> = {}): Promise<Dialled> {
  const server = await startOwnServer({ hostKeys: [HOST] }, (question) =>
    question.method === 'password' && question.password === 'hunter2' ? 'accept' : 'reject',
  );
  const { promise, resolve } = Promise.withResolvers<UpstreamError | undefined>();
  const upstream = new Upstream({
    resource: resourceAt(server, ssh),
    guard: { refuse: () => undefined },
    clock: systemClock,
    room: { take: () => true, free: () => undefined },
    onReady: () => resolve(undefined),
    onEnd: resolve,
  });
  const outcome = await promise;
  return { upstream, server, outcome, [Symbol.asyncDispose]: () => (upstream.end(), server[Symbol.asyncDispose]()) };
}

/** A clock that stands still until it is let go. */
function aClock(): Clock & { readonly go: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return { now: () => Date.now(), monotonic: () => 0, after: () => promise, go: () => resolve(undefined) };
}

describe('a host', () => {
  it('that says nothing is waited for no longer than one that is not there', async () => {
    const accepted = Promise.withResolvers<Socket>();
    const silent = createServer((socket) => accepted.resolve(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const clock = aClock();
    const { promise, resolve } = Promise.withResolvers<UpstreamError>();
    const upstream = new Upstream({
      resource: resourceAt(silent.address() as AddressInfo),
      guard: { refuse: () => undefined },
      clock,
      room: { take: () => true, free: () => undefined },
      onReady: () => undefined,
      onEnd: resolve,
    });
    const opened = new Promise<OpenResult>((result) => upstream.open('session', Buffer.alloc(0), new Sink(), result));
    const socket = await accepted.promise;
    const closed = once(
      socket.resume().on('error', () => undefined),
      'close',
    );
    clock.go();
    expect(await promise).toMatchObject({ code: 'UpstreamTimeout', message: 'the host did not answer in time' });
    expect(await opened).toMatchObject({ kind: 'refused' });
    await closed;
    silent.close();
  });

  it('opens nothing toward an agent, and asks nothing of it', async () => {
    await using dialled = await dial();
    const { server, upstream, outcome } = dialled;
    expect(outcome).toBeUndefined();
    const [host] = server.connections;
    const answers: unknown[] = [];
    const types = [
      'forwarded-tcpip',
      'forwarded-streamlocal@openssh.com',
      'x11',
      'auth-agent@openssh.com',
      'session',
      'tun@openssh.com',
    ];
    for (const type of types) host?.open(type, Buffer.alloc(0), new Sink(), ({ kind }) => answers.push(kind));
    for (const name of ['tcpip-forward', 'no-more-sessions@openssh.com'])
      host?.global(name, Buffer.alloc(0), (answer) => answers.push(answer.isGranted));
    await eventually('its answers', () => Promise.resolve(answers.length === types.length + 2 || undefined));
    expect(answers).toEqual([...types.map(() => 'refused'), false, false]);
    expect(upstream.error).toBeUndefined();
  });

  it.each<[string, Partial<GrantedResource['ssh'] & object>, UpstreamError['code']]>([
    ['with another key than the one that is pinned', { hostKeys: [lineOf(STRANGER)] }, 'HostKeyMismatch'],
    ['without a certificate where one is wanted', { hostKeys: [], hostAuthorities: [lineOf(HOST)] }, 'UpstreamUnreachable'],
    ['of which nothing is known', { hostKeys: [] }, 'HostKeyMismatch'],
  ])('%s is not signed in to, and hears of no credential', async (_, ssh, code) => {
    await using dialled = await dial(ssh);
    expect(dialled.outcome).toMatchObject({ code });
    expect(dialled.server.questions).toEqual([]);
  });
});
