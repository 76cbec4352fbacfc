import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect as dial, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { GrantedResource, Question, RequestView } from '@chaperone/policy';
import { eventually, findProgram, temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGuard } from '../../capture/guard.ts';
import { compileDirectory } from '../../control/manifests.ts';
import type { Clock } from '../../platform.ts';
import { type HeldAction, type HoldOutcome, Holds } from '../../session/holds.ts';
import { Memory } from '../../session/memory.ts';
import { Recent } from '../../session/recent.ts';
import { UPSTREAM } from '../wire/algorithms.ts';
import type { ChannelHandler } from '../wire/channel.ts';
import { encode, parse } from '../wire/channel-messages.ts';
import type { Connection } from '../wire/connection.ts';
import { HOST_KEY, ROOM } from '../wire/connection.test-support.ts';
import { openHostKey } from './host-key.ts';
import { type OwnServer, type Ran, run as peer, runOwnClient, startOwnServer } from './peers.test-support.ts';
import { serveSsh } from './serve.ts';
import { connect } from './socket.ts';
import { Turns } from './turns.ts';

const LIMIT_BYTES = 64 * 1024 * 1024;
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const HAS_SSH = findProgram('ssh') !== undefined;
const OPTIONS = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'BatchMode=yes'].flatMap((option) => ['-o', option]);
const AGENT = { namespace: 'agents', serviceAccount: 'bot', labels: {}, annotations: {} };
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Time that passes, and in which nobody gives up: no timer of the program's own stays behind. */
const clock: Clock = { now: Date.now, monotonic: () => performance.now(), after: () => new Promise(() => undefined) };

const manifests = (port: number): string => `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: build, namespace: data}
spec:
  protocol: ssh
  hosts: [build]
  port: 22
  upstream: {address: "127.0.0.1:${port}"}
  credentials: {secretRef: {name: build-login}}
  ssh: {hostKeys: ["ssh-ed25519 ${HOST_KEY.blob.toString('base64')}"], authentication: [password]}
  grantedTo: [{namespace: agents, operations: [exec]}]
---
apiVersion: v1
kind: Secret
metadata: {name: build-login, namespace: data}
stringData: {username: deploy, password: only-for-this-test}
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ops, namespace: agents}
spec:
  agents: {serviceAccounts: [bot]}
  rules:
  - {name: look, effect: Allow, resource: {namespace: data, name: build}, ssh: {commands: [head **]}}
  - {name: ask, effect: RequireApproval, resource: {namespace: data, name: build}, ssh: {commands: [echo **]}, approval: {approvers: {groups: [ops]}, timeout: 30s}}
`;

/** People who are asked, and decide when the test says so. */
class People {
  readonly asked: Question[] = [];
  readonly ended: string[] = [];
  #tell: (view: RequestView) => void = () => undefined;

  readonly approvals = {
    ask: (question: Question) => {
      this.asked.push(question);
      return Promise.resolve(view(question, 'Pending'));
    },
    looked: () => Promise.resolve(),
    release: (request: Pick<RequestView, 'name' | 'digest'>) => Promise.resolve(view(request, 'Released')),
    ended: ({ state }: { state: string }) => {
      this.ended.push(state);
      return Promise.resolve();
    },
    onChange: (listener: (news: RequestView) => void) => {
      this.#tell = listener;
    },
  };

  decide(question: Question, state: 'Approved' | 'Denied'): void {
    this.#tell(view(question, state));
  }
}

const view = ({ name, digest }: Pick<RequestView, 'name' | 'digest'>, state: RequestView['state']): RequestView => ({
  name,
  digest,
  state,
  mode: 'hold',
  expiresInMs: 60_000,
  timeoutMs: 60_000,
  decisions: [],
});

const openSockets = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
const alive = (refs: readonly WeakRef<object>[]): number => refs.filter((ref) => ref.deref() !== undefined).length;

/** Runs a command. @returns how it ended; -1: nobody says */
function statusOf(client: Connection, command: string): Promise<number> {
  return new Promise((resolve) => {
    let status = -1;
    const handler: ChannelHandler = {
      onData: () => undefined,
      onEof: () => undefined,
      onRequest: ({ name, payload }) => {
        if (name === 'exit-status') status = parse.exitStatus(payload);
      },
      onClose: () => resolve(status),
    };
    client.open('session', Buffer.alloc(0), handler, (result) => {
      if (result.kind === 'opened') result.channel.request('exec', encode.exec(Buffer.from(command)), () => undefined);
      else resolve(status);
    });
  });
}

/** Remembers what it held without keeping it. */
class WatchedHolds extends Holds {
  readonly held: WeakRef<object>[] = [];
  override hold(action: HeldAction): Promise<HoldOutcome> {
    this.held.push(new WeakRef(action));
    return super.hold(action);
  }
}

describe('sessions of SSH', () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  let upstream: OwnServer;
  let resource: GrantedResource;
  let stop: () => Promise<void>;
  let port: number;
  let ours: Buffer;
  const memory = new Memory(LIMIT_BYTES);
  const people = new People();
  const holds = new WatchedHolds({ approvals: people.approvals, clock, logger: silent, recent: new Recent(clock) });
  const sockets: WeakRef<Socket>[] = [];
  const served = new Set<Promise<void>>();

  beforeAll(async () => {
    folder = await temporaryDirectory('chaperone-serve-');
    upstream = await startOwnServer({ hostKeys: [HOST_KEY] }, () => 'accept');
    await writeFile(join(folder.path, 'all.yaml'), manifests(upstream.port), { mode: 0o600 });
    resource = (await compileDirectory(folder.path, AGENT)).resources[0] as GrantedResource;
    const hostKey = await openHostKey(join(folder.path, 'keys'));
    ours = Buffer.from(hostKey.knownHosts().split(' ')[2] ?? '', 'base64');
    const listener = createServer((socket) => {
      sockets.push(new WeakRef(socket));
      const session: Promise<void> = serveSsh(contextOf(socket, hostKey)).finally(() => served.delete(session));
      served.add(session);
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    port = (listener.address() as AddressInfo).port;
    stop = async () => {
      listener.close();
      await once(listener, 'close');
    };
  });
  afterAll(async () => {
    await stop?.();
    await upstream?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const contextOf = (socket: Socket, hostKey: Parameters<typeof serveSsh>[0]['hostKey']): Parameters<typeof serveSsh>[0] => ({
    socket,
    resource: () => resource,
    snapshot: () => ({ resources: [resource] }) as ReturnType<Parameters<typeof serveSsh>[0]['snapshot']>,
    open: () =>
      Promise.resolve({ session: 's-aaaaaaaaaaaaaaaa', append: () => Promise.resolve(), close: () => Promise.resolve() }),
    verify: () => Promise.reject(new Error('no tokens')),
    local: true,
    secureContext: () => undefined,
    guard: createGuard({ allowLoopback: true, forbidden: [], virtual: [] }),
    clock,
    logger: silent,
    agent: { namespace: 'agents', serviceAccount: 'bot', podUid: undefined },
    holds,
    admit: () => true,
    onEnd: () => undefined,
    leftMs: () => Infinity,
    hostKey,
    turns: new Turns(),
    reached: () => undefined,
    memory,
  });

  const run = (command: string): Promise<Ran> =>
    runOwnClient(
      port,
      { hostKey: { kind: 'pinned', keys: [ours] }, user: 'bot', credentials: [{ method: 'password', password: 'any' }] },
      command,
    );
  /** Runs commands at once by one connection. @returns how each ended */
  const onOneConnection = async (commands: readonly string[]): Promise<number[]> => {
    const connected = Promise.withResolvers<undefined>();
    const client: Connection = connect(dial(port, '127.0.0.1'), {
      role: 'client',
      room: ROOM,
      algorithms: UPSTREAM,
      hostKey: { kind: 'pinned', keys: [ours] },
      user: 'bot',
      credentials: [{ method: 'password', password: 'any' }],
      onAuthenticated: () => connected.resolve(undefined),
      onOffer: (offer) => offer.refuse({ code: 1, text: 'no' }),
      onGlobal: ({ reply }) => reply?.({ isGranted: false }),
      onEnd: () => undefined,
    });
    await connected.promise;
    const ends = await Promise.all(commands.map((command) => statusOf(client, command)));
    client.disconnect(11, 'done');
    return ends;
  };
  /** All sessions are over, and nothing of them has to be waited for. */
  const settled = async (): Promise<void> => {
    await Promise.all(served);
    await eventually('their sockets to close', () => (openSockets() === 0 ? true : undefined));
  };

  it('give back the memory that they took', async () => {
    expect((await run('head -c 5000000 /dev/zero')).stdout).toHaveLength(5_000_000);
    await settled();
    expect(memory.used).toBe(0);
  });

  it('are refused in the words of SSH where others have used up the memory', async () => {
    const left = 100_000;
    memory.take(LIMIT_BYTES - left);
    // One more has room for itself, and for no channel.
    await expect(run('head -c 1 /dev/zero')).rejects.toThrow('no memory for another channel');
    await settled();
    memory.take(left);
    await expect(run('head -c 1 /dev/zero')).rejects.toThrow('the connection ended');
    if (HAS_SSH)
      expect((await peer('ssh', ['-F', 'none', ...OPTIONS, '-p', `${port}`, 'bot@127.0.0.1', 'true'])).stderr.toString()).toMatch(
        /Received disconnect .*too many connections of this agent are open \(TooManyConnections\)/s,
      );
    expect(memory.used).toBe(LIMIT_BYTES);
    memory.free(LIMIT_BYTES);
    expect((await run('head -c 1 /dev/zero')).stdout).toHaveLength(1);
    await settled();
    expect(memory.used).toBe(0);
  });

  it('leave nothing behind of a hundred commands that people were asked about', async () => {
    sockets.length = 0;
    const before = openSockets();
    const runs = [0, 25, 50, 75].map((from) => onOneConnection(Array.from({ length: 25 }, (_, at) => `echo ${from + at}`)));
    await eventually('a hundred questions', () => (people.asked.length === 100 ? true : undefined), 30_000);
    expect(memory.used).toBeGreaterThan(0);
    for (const [at, question] of people.asked.entries()) people.decide(question, at % 2 === 0 ? 'Approved' : 'Denied');
    const results = (await Promise.all(runs)).flat();
    const count = (wanted: number): number => results.filter((status) => status === wanted).length;
    expect([count(0), count(126)]).toEqual([50, 50]);
    await settled();
    expect([memory.used, openSockets(), served.size]).toEqual([0, before, 0]);
    expect(people.ended.toSorted()).toEqual(Array.from({ length: 50 }, () => 'Ran'));
    people.asked.length = 0;
    await eventually('the garbage collector', () => {
      collectGarbage();
      return alive(holds.held) + alive(sockets) === 0 ? true : undefined;
    });
  });
});
