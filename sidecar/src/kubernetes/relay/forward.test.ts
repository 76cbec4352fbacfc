import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { AccessRequest } from '@chaperone/api';
import { configOf, eventually, hasPods, KUBECTLS, type Pods, startPods, temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SpdyFrame, SpdyReader, SpdyWriter } from '../wire/index.ts';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';
import { type Answered, askToUpgrade, webSocketHead } from './streams.test-support.ts';

const PATH = '/api/v1/namespaces/shop/pods/web/portforward';
const TUNNEL = 'SPDY/3.1+portforward.k8s.io';
const SPDY_HEAD = [
  `POST ${PATH} HTTP/1.1`,
  'connection: upgrade',
  'upgrade: SPDY/3.1',
  'x-stream-protocol-version: portforward.k8s.io',
];

/** What a kubectl forwards to, and what it said by then. */
interface Forwarding extends AsyncDisposable {
  readonly port: number;
  readonly said: () => string;
}

/** A client of SPDY that is no kubectl. */
class SpdyClient {
  readonly frames: SpdyFrame[] = [];
  readonly socket: Answered['socket'];
  readonly #writer = new SpdyWriter();

  constructor({ socket, rest }: Answered) {
    this.socket = socket;
    const reader = new SpdyReader('server');
    this.frames.push(...reader.push(rest));
    socket.on('data', (bytes: Buffer) => this.frames.push(...reader.push(bytes))).resume();
  }

  write(...frames: readonly SpdyFrame[]): void {
    this.socket.write(Buffer.concat(frames.map((frame) => this.#writer.write(frame))));
  }

  /** Opens both streams of a connection, the first of which has the number. */
  connect(stream: number, port: string, request = String(stream)): void {
    const headers = (streamtype: string): ReadonlyMap<string, string[]> =>
      new Map(Object.entries({ streamtype, port, requestid: request }).map(([name, value]) => [name, [value]]));
    this.write({ kind: 'open', stream, fin: false, headers: headers('error') });
    this.write({ kind: 'open', stream: stream + 2, fin: false, headers: headers('data') });
  }

  said(stream: number): string {
    const data = this.frames.flatMap((frame) => (frame.kind === 'data' && frame.stream === stream ? [frame.data] : []));
    return Buffer.concat(data).toString();
  }
}

const until = (what: string, probe: () => boolean): Promise<true> => eventually(what, () => probe() || undefined);

const pending = (of: Governed): Promise<AccessRequest> =>
  eventually('a request', () => of.desk.list().find(({ status }) => status?.state === 'Pending'));

/** Sends all of it, then nothing more, and gives what came back by the end. */
const echoed = async (to: number, bytes: Buffer): Promise<Buffer> => {
  const socket = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => socket.destroy()).end(bytes);
  const parts: Buffer[] = [];
  for await (const part of socket as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
};

describe.skipIf(!hasPods)('port-forward', () => {
  let pods: Pods;
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let echo: Server;
  let port: number;
  let rules: Spec['rules'];
  beforeAll(async () => {
    directory = await temporaryDirectory();
    pods = await startPods();
    echo = createServer(
      { allowHalfOpen: true },
      (socket: Socket) => void socket.on('error', () => socket.destroy()).pipe(socket),
    );
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    ({ port } = echo.address() as AddressInfo);
    const forward = { verbs: ['portforward' as const], resources: ['pods/portforward'], names: ['web'] };
    rules = [
      { name: 'look', effect: 'Allow', kubernetes: { verbs: ['get'], resources: ['pods'] } },
      { name: 'echo', effect: 'Allow', kubernetes: { ...forward, ports: [port, 1] } },
      {
        name: 'ask',
        effect: 'RequireApproval',
        approval: { approvers: { groups: ['sre'] }, timeout: '30s' } as never,
        kubernetes: { ...forward, ports: [2] },
      },
    ];
  });
  afterAll(async () => {
    await pods?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
    await new Promise((resolve) => echo?.close(resolve));
  });
  const start = (mods: Partial<Spec> = {}): Promise<Governed> =>
    startGoverned({ upstream: pods.address, ca: pods.ca, credential: { token: 't' }, rules, ...mods });
  const forwarding = async (
    of: Governed,
    program: string,
    environment: Readonly<Record<string, string>>,
    pair: string,
  ): Promise<Forwarding> => {
    const config = configOf({ port: of.port, ca: of.ca, directory: directory.path });
    const child: ChildProcess = spawn(program, ['--kubeconfig', config, 'port-forward', 'pod/web', pair], {
      env: { ...process.env, ...environment },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (said += data.toString()));
    const local = await eventually('kubectl', () => /127\.0\.0\.1:(\d+) ->/.exec(said)?.[1], 20_000);
    return {
      port: Number(local),
      said: () => said,
      [Symbol.asyncDispose]: async () => {
        const closed = once(child, 'close');
        child.kill('SIGKILL');
        await closed;
      },
    };
  };
  const WAYS = [
    ['a tunnel', { KUBECTL_PORT_FORWARD_WEBSOCKETS: 'true' }],
    ['SPDY', { KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' }],
  ] as const;
  describe.each(KUBECTLS.flatMap((program) => WAYS.map(([way, env]) => [`${program} by ${way}`, program, env] as const)))(
    '%s',
    (_, program, environment) => {
      it('carries whole connections, one beside the other, to a port that a rule names', async () => {
        await using own = await start();
        await using kubectl = await forwarding(own, program, environment, `:${port}`);
        const large = randomBytes(20_000_000);
        const [first, second] = await Promise.all([echoed(kubectl.port, large), echoed(kubectl.port, Buffer.from('small'))]);
        expect([first?.equals(large), second?.toString()]).toEqual([true, 'small']);
        const bytes = await eventually('both records', () => (own.of('bytes').length === 2 ? own.of('bytes') : undefined));
        expect(bytes.map(({ sent, received }) => [sent, received]).toSorted(([a = 0], [b = 0]) => a - b)).toEqual([
          [5, 5],
          [large.length, large.length],
        ]);
        expect(own.of('action').filter(({ text }) => text === `kubectl port-forward -n shop web ${port}`)).toHaveLength(2);
      });

      it('says why a port is not to be reached, and goes on', async () => {
        await using own = await start();
        await using kubectl = await forwarding(own, program, environment, ':3');
        // kubectl may reset it.
        const got = await echoed(kubectl.port, Buffer.from('x')).catch(() => Buffer.alloc(0));
        expect(got.length).toBe(0);
        await until('what it says', () => kubectl.said().includes('pods/portforward web in shop: 3 is not covered by any rule'));
        expect(own.of('bytes')).toEqual([]);
      });

      it('is refused where no port is granted', async () => {
        await using own = await start({ rules: rules.slice(0, 1) });
        const config = configOf({ port: own.port, ca: own.ca, directory: directory.path });
        const child = spawn(program, ['--kubeconfig', config, 'port-forward', 'pod/web', `:${port}`], {
          env: { ...process.env, ...environment },
        });
        let said = '';
        child.stderr.on('data', (data: Buffer) => (said += data.toString()));
        const [status] = (await once(child, 'close')) as [number];
        expect([status, said]).toEqual([1, expect.stringContaining('NoRuleAllows')]);
        // By whichever ways kubectl asked, it is one request.
        expect(own.of('action').filter(({ verdict }) => verdict === 'deny')).toHaveLength(1);
      });
    },
  );

  const client = async (of: Governed): Promise<SpdyClient> => new SpdyClient(await askToUpgrade(of, SPDY_HEAD));
  it('waits for people where a rule asks, with what was sent meanwhile', async () => {
    await using own = await start({
      rules: rules.map((rule) => (rule.name === 'ask' ? { ...rule, kubernetes: { ...rule.kubernetes, ports: [port] } } : rule)),
    });
    const spdy = await client(own);
    spdy.connect(1, String(port));
    spdy.write({ kind: 'data', stream: 3, fin: true, data: Buffer.from('early') });
    const { metadata, spec } = await pending(own);
    expect([spec.text, spdy.said(3)]).toEqual([`kubectl port-forward -n shop web ${port}`, '']);
    own.desk.decide({
      request: metadata.name,
      requestUid: metadata.uid,
      digest: spec.digest,
      decision: 'Approve',
      by: 'jane@corp',
      groups: ['sre'],
    });
    await until('the echo', () => spdy.said(3) === 'early');
    spdy.socket.destroy();
    await eventually('the end', () => own.of('session.close')[0]);
  });

  it('opens nothing for who leaves before people decide', async () => {
    await using own = await start();
    const spdy = await client(own);
    spdy.connect(1, '2');
    await pending(own);
    spdy.socket.destroy();
    await eventually('the end', () => own.of('session.close')[0]);
    expect([own.of('bytes'), own.desk.list().filter(({ status }) => status?.state === 'Pending')]).toEqual([[], []]);
  });

  it('never reaches the upstream of a protected resource', async () => {
    const place = { hosts: ['orders-db'], port: 5432, addresses: [], upstream: { host: '10.244.0.9', port: 5432 } };
    await using own = await start({ elsewhere: [place] });
    const spdy = await client(own);
    spdy.connect(1, String(port));
    await until('why', () => spdy.said(1).includes('upstream of a protected resource'));
    expect(own.of('bytes')).toEqual([]);
  });

  it('tells what the pod answers, and lets go of that connection alone', async () => {
    await using own = await start();
    const spdy = await client(own);
    spdy.connect(1, '1');
    await until('why', () => /connection refused/.test(spdy.said(1)));
    await until('its end', () => spdy.frames.some((frame) => frame.kind === 'reset' && frame.stream === 3));
    spdy.connect(5, String(port));
    spdy.write({ kind: 'data', stream: 7, fin: false, data: Buffer.from('still') });
    await until('the echo', () => spdy.said(7) === 'still');
  });

  it('ends connections that the policy does not allow any more, and no others', async () => {
    await using own = await start();
    const spdy = await client(own);
    spdy.connect(1, String(port));
    spdy.write({ kind: 'data', stream: 3, fin: false, data: Buffer.from('a') });
    await until('the echo', () => spdy.said(3) === 'a');
    own.setRules(rules.filter(({ name }) => name !== 'look'));
    spdy.write({ kind: 'data', stream: 3, fin: false, data: Buffer.from('b') });
    await until('the echo', () => spdy.said(3) === 'ab');
    own.setRules(rules.filter(({ name }) => name !== 'echo'));
    await until('its end', () => spdy.frames.some((frame) => frame.kind === 'reset' && frame.stream === 3));
    expect(spdy.said(1)).toMatch(/the policy changed/);
  });

  it('has room for so many connections', async () => {
    await using own = await start();
    const spdy = await client(own);
    for (let each = 0; each < 101; each++) spdy.connect(1 + 4 * each, '2');
    await until('a refusal', () => spdy.frames.some((frame) => frame.kind === 'reset' && frame.stream === 401));
    expect(spdy.frames.some((frame) => frame.kind === 'reset' && frame.stream < 400)).toBe(false);
  });

  it.each<[string, (spdy: SpdyClient) => void]>([
    ['no port', (spdy) => spdy.connect(1, '')],
    ['a port that is none', (spdy) => spdy.connect(1, '70000')],
    ['two ports on one connection', (spdy) => [spdy.connect(1, '1', 'x'), spdy.connect(5, '2', 'x')]],
    ['one stream twice', (spdy) => [spdy.connect(1, '1', 'x'), spdy.connect(5, '1', 'x')]],
    [
      'a stream of another kind',
      (spdy) => spdy.write({ kind: 'open', stream: 1, fin: false, headers: new Map([['streamtype', ['stdin']]]) }),
    ],
  ])('of %s ends the connection', async (_, send) => {
    await using own = await start();
    const spdy = await client(own);
    send(spdy);
    await until('the end', () => spdy.socket.destroyed);
    await eventually('its record', () => own.of('session.close')[0]);
    expect(own.of('bytes').filter(({ sent, received }) => sent + received > 0)).toEqual([]);
  });

  it.each<[string, string[]]>([
    ['the channels of exec', webSocketHead(PATH, 'v4.channel.k8s.io')],
    ['a tunnel of something else', webSocketHead(PATH, 'SPDY/3.1+exec.k8s.io')],
    ['SPDY without a protocol', SPDY_HEAD.slice(0, -1)],
  ])('by %s is refused', async (_, head) => {
    await using own = await start();
    expect((await askToUpgrade(own, head)).status).toBe(400);
  });

  it('hears where there is no such pod, masked', async () => {
    await using own = await start({
      rules: rules.map((rule) => ({ ...rule, kubernetes: { ...rule.kubernetes, names: ['missing'] } })),
    });
    const { status, headers, rest } = await askToUpgrade(own, webSocketHead(PATH.replace('web', 'missing'), TUNNEL));
    expect(status).toBe(404);
    expect(headers + rest.toString()).toMatch(/pods .*missing.* not found, ask \*+/);
  });
});
