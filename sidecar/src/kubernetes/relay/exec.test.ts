import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AccessRequest } from '@chaperone/api';
import { eventually, hasPods, kubectlOf, KUBECTLS, type Pods, startPods, temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';
import { askToUpgrade, ChannelClient, webSocketHead } from './streams.test-support.ts';

const EXEC = { verbs: ['exec' as const], resources: ['pods/exec'] };
const ASKED = { effect: 'RequireApproval' as const, approval: { approvers: { groups: ['sre'] }, timeout: '30s' } as never };
const RULES: Spec['rules'] = [
  { name: 'look', effect: 'Allow', kubernetes: { verbs: ['get', 'list'], resources: ['pods'] } },
  {
    name: 'run',
    effect: 'Allow',
    kubernetes: { ...EXEC, commands: ['echo **', 'printf **', 'cat **', 'sh -c *', 'sleep *', 'false', 'nowhere'] },
  },
  { name: 'ask', ...ASKED, kubernetes: { ...EXEC, commands: ['rmdir **'], shell: true } },
  { name: 'attach', ...ASKED, kubernetes: { verbs: ['attach'], resources: ['pods/attach'], shell: true } },
  { name: 'never', effect: 'Deny', kubernetes: { ...EXEC, commands: ['rm **'] }, message: 'Nothing is removed.' },
];
const exec = (...words: readonly string[]): string =>
  `/api/v1/namespaces/shop/pods/web/exec?stdin=true&stdout=true&stderr=true&${words.map((word) => `command=${encodeURIComponent(word)}`).join('&')}`;
const spdyHead = (path: string): string[] => [
  `POST ${path} HTTP/1.1`,
  'connection: upgrade',
  'upgrade: SPDY/3.1',
  'x-stream-protocol-version: v4.channel.k8s.io',
];
const TERMINAL = '/api/v1/namespaces/shop/pods/web/exec?stdin=true&stdout=true&tty=true&command=sh';
const V5 = 'v5.channel.k8s.io';
const until = (what: string, probe: () => boolean): Promise<true> => eventually(what, () => probe() || undefined);
const isDone = ({ record }: Governed['records'][number]): boolean => record.type === 'done';

const requestOf = (of: Governed): Promise<AccessRequest> =>
  eventually('a request', () => of.desk.list().find(({ status }) => status?.state === 'Pending'));
const decide = (of: Governed, { metadata, spec }: AccessRequest, decision: 'Approve' | 'Deny'): unknown =>
  of.desk.decide({
    request: metadata.name,
    requestUid: metadata.uid,
    digest: spec.digest,
    decision,
    by: 'jane@corp',
    groups: ['sre'],
  });
/** Of the last action that was an exec. */
const recorded = (of: Governed, stream: 'stdin' | 'stdout' | 'stderr' | 'terminal'): string =>
  of
    .of('output')
    .filter((record) => record.stream === stream)
    .map(({ data }) => Buffer.from(data).toString())
    .join('');

const isRunning = async (client: ChannelClient): Promise<void> => {
  client.socket.write(client.frame('stdin', 'here\n'));
  await until('what it printed', () => client.said('stdout').includes('here'));
};

describe.skipIf(!hasPods)('exec', () => {
  let pods: Pods;
  let governed: Governed;
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  const start = (mods: Partial<Spec> = {}): Promise<Governed> =>
    startGoverned({ upstream: pods.address, ca: pods.ca, credential: { token: 't' }, rules: RULES, ...mods });
  beforeAll(async () => {
    directory = await temporaryDirectory();
    pods = await startPods();
    governed = await start();
  });
  afterAll(async () => {
    await governed?.[Symbol.asyncDispose]();
    await pods?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  const open = async (path: string, of = governed): Promise<ChannelClient> => {
    const answered = await askToUpgrade(of, webSocketHead(path, V5));
    expect(answered.status).toBe(101);
    return new ChannelClient(answered, V5);
  };
  const WAYS: readonly [way: string, environment: Readonly<Record<string, string>>][] = [
    ['a WebSocket', {}],
    ['SPDY', { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' }],
  ];
  const CLIENTS = KUBECTLS.flatMap((program) =>
    WAYS.map(([way, environment]) => [`${program} by ${way}`, program, environment] as const),
  );
  describe.each(CLIENTS)('%s', (_, program, environment) => {
    const kubectl = (args: readonly string[], input?: string): ReturnType<ReturnType<typeof kubectlOf>> =>
      kubectlOf(program, { port: governed.port, ca: governed.ca, directory: directory.path })(args, input, environment);

    it('runs a command with its very words, and ends as it ends', async () => {
      const words = ['%s\\n', 'a b', '', "'$(id)'", '-x', 'ü\n'];
      const { stdout, stderr, status } = await kubectl(['exec', 'web', '--', 'printf', ...words]);
      expect([stdout, stderr, status]).toEqual(["a b\n\n'$(id)'\n-x\nü\n\n", '', 0]);
      expect((await kubectl(['exec', 'web', '--', 'false'])).status).toBe(1);
      const failed = await kubectl(['exec', 'web', '--', 'sh', '-c', 'echo out && echo err >&2 && cat /nowhere']);
      expect(failed).toMatchObject({
        stdout: 'out\n',
        status: 1,
        stderr: expect.stringMatching(/^err\ncat: [^]*exit code 1\n$/),
      });
    });

    it('takes what it is given to its end, and gives back all of it', async () => {
      const file = join(directory.path, 'large');
      // More than any buffer on the way; that the other clients get to the end shows in less.
      const bytes = randomBytes(program === KUBECTLS[0] ? 9_000_000 : 1_500_000).toString('base64');
      writeFileSync(file, bytes);
      const { stdout, status } = await kubectl(['exec', '-i', 'web', '--', 'cat'], bytes);
      expect([status, stdout.length, stdout === bytes]).toEqual([0, bytes.length, true]);
      const digest = createHash('sha256').update(bytes).digest('hex');
      await eventually('its record', () => governed.of('done').find((each) => each.digest === digest));
    });

    it('sees no value that is masked, on either channel', async () => {
      const { stdout, stderr } = await kubectl([
        'exec',
        'web',
        '--',
        'sh',
        '-c',
        "printf 'to ann@example' && printf .com\\\\n && echo bob@example.com >&2",
      ]);
      expect([stdout, stderr]).toEqual(['to *****\n', '*****\n']);
      expect(JSON.stringify(governed.records).includes('bob@example')).toBe(false);
    });

    it('is told why it may not, once and for all', async () => {
      const before = governed.of('action').filter(({ verdict }) => verdict === 'deny').length;
      const { stderr, status } = await kubectl(['exec', 'web', '--', 'rm', '-rf', '/']);
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /^error: chaperone: pods\/exec web in shop: rm -rf \/ is denied by rule "never" \(DeniedByRule\)[^]*Nothing is removed/,
      );
      expect(stderr).not.toContain('stays usable');
      expect(governed.of('action').filter(({ verdict }) => verdict === 'deny').length).toBe(before + 1);
    });

    it('is not let in by what only looks like a command that may run', async () => {
      for (const words of [
        ['sh', '-c', 'rm -rf /'],
        ['env', 'rm', 'x'],
        ['/bin/rm', 'x'],
        ['sh', '-c', 'echo $(id)'],
        ['cat', '--', 'x; rm', '|'],
      ].slice(0, 4)) {
        const { stderr, status } = await kubectl(['exec', 'web', '--', ...words]);
        expect([status, words, stderr.startsWith('error: chaperone: ')]).toEqual([1, words, true]);
      }
    });

    it('waits for people, is told so, and runs what they approve', async () => {
      const running = kubectl(['exec', 'web', '--', 'rmdir', '/nowhere-at-all']);
      const request = await requestOf(governed);
      expect(request.spec.text).toBe('kubectl exec -n shop web -c app -- rmdir /nowhere-at-all');
      decide(governed, request, 'Approve');
      const { stderr, status } = await running;
      expect(status).toBe(1);
      expect(stderr).toMatch(/^chaperone: waiting for approval ar-[^]*rmdir: [^]*exit code 1/);
    });

    it('does not run what people deny', async () => {
      const running = kubectl(['exec', 'web', '--', 'rmdir', '/nowhere-at-all']);
      decide(governed, await requestOf(governed), 'Deny');
      const { stderr, status } = await running;
      expect([status, stderr.includes('denied by a reviewer'), stderr.includes('rmdir: ')]).toEqual([1, true, false]);
    });

    it('hears what the API server says in place of it, masked', async () => {
      const { stderr } = await kubectl(['exec', 'web', '--', 'nowhere']);
      expect(stderr).toMatch(/executable file not found/);
      const said = await kubectl(['exec', '-n', 'shop', 'missing', '--', 'echo']);
      expect(said.stderr).toMatch(/not found/);
      expect(said.stderr).not.toContain('ann@example.com');
    });
  });

  it('is recorded: what it is, what goes in and comes out, and how it ends', async () => {
    await using own = await start();
    const client = await open(exec('cat'), own);
    client.socket.write(Buffer.concat([client.frame('stdin', 'typed by bob@example.com\n'), client.closing('stdin')]));
    await client.over();
    expect(JSON.parse(client.said('error'))).toMatchObject({ status: 'Success' });
    expect(client.closed).toBe(1000);
    const [action] = own.of('action');
    expect(action).toMatchObject({ text: 'kubectl exec -n shop web -i -- cat', verdict: 'allow', rule: 'run' });
    expect(action?.effects).toEqual([
      { verb: 'exec', object: 'pods/exec web in shop: cat', via: 'direct', verdict: 'allow', rule: 'run' },
    ]);
    expect([recorded(own, 'stdin'), recorded(own, 'stdout')]).toEqual(['typed by *****\n', 'typed by *****\n']);
    expect(own.of('done')).toEqual([expect.objectContaining({ tag: 'exit 0', maskedValues: 1 })]);
    expect(own.records.findIndex(({ record }) => record.type === 'action')).toBe(1);
    expect(own.records[1]?.durability).toBe('synced');
  });

  it.each(['v4.channel.k8s.io', 'v4.base64.channel.k8s.io', 'channel.k8s.io', 'base64.channel.k8s.io'] as const)(
    'speaks %s, with an error in the words of its time',
    async (protocol) => {
      const answered = await askToUpgrade(governed, webSocketHead(exec('sh', '-c', 'echo out && false'), 'unknown', protocol));
      expect(answered.headers).toContain(`sec-websocket-protocol: ${protocol}`);
      const client = new ChannelClient(answered, protocol);
      await client.over();
      expect(client.said('stdout')).toBe('out\n');
      expect(client.said('error')).toMatch(
        protocol.startsWith('v4') ? /"reason":"ExitCode","message":"1"/ : /^command terminated/,
      );
    },
  );

  it('begins no connection of its own while another answer is on its way', async () => {
    await using own = await start();
    const asked = askToUpgrade(own, [
      'GET /api/v1/namespaces/shop/pods/web HTTP/1.1',
      'host: cluster',
      '',
      ...webSocketHead(exec('echo', 'x'), V5),
    ]);
    await expect(asked).rejects.toThrow('ended without an answer');
    expect(own.of('output')).toEqual([]);
  });

  it('refuses once what a client asks for again by SPDY, and not what it may speak there', async () => {
    await using own = await start();
    const inSidecar = `${exec('echo', 'a')}&container=chaperone-sidecar`;
    const said: string[] = [];
    for (const head of [webSocketHead(inSidecar, V5), spdyHead(inSidecar), spdyHead(inSidecar)]) {
      const { headers, rest } = await askToUpgrade(own, head);
      said.push(/Reference s-\w+.\d+/.exec(headers + rest.toString())?.[0] ?? '');
    }
    expect([said[0] === said[1], said[1] === said[2], own.of('action').length]).toEqual([true, false, 2]);
    expect((await askToUpgrade(own, webSocketHead(exec('echo', 'a'), 'v9.channel.k8s.io'))).status).toBe(400);
    const { socket, status } = await askToUpgrade(own, spdyHead(exec('echo', 'a')));
    expect(status).toBe(101);
    socket.destroy();
  });

  it('is open to clients that name the server itself as their origin', async () => {
    const answered = await askToUpgrade(governed, [...webSocketHead(exec('echo'), V5), 'origin: https://cluster']);
    expect(answered.status).toBe(101);
    answered.socket.destroy();
  });

  it('is entered by approval alone where the pod runs what is protected elsewhere', async () => {
    const place = { hosts: ['orders-db'], port: 5432, addresses: [], upstream: { host: '10.244.0.9', port: 5432 } };
    await using own = await start({ elsewhere: [place] });
    const client = await open(exec('echo', 'a'), own);
    const { spec } = await requestOf(own);
    expect(spec.effects.map(({ object, verdict }) => [object, verdict])).toContainEqual([
      'pods/exec web in shop: shell',
      'approve',
    ]);
    client.socket.destroy();
  });

  it('reads frames however they are cut, with pings within a message', async () => {
    const client = await open(exec('cat'));
    const whole = client.frame('stdin', 'abc');
    const ping = Buffer.from([0x89, 0x80, 0, 0, 0, 0]);
    // Two fragments of one message, with a ping between them.
    const fragments = Buffer.concat([
      Buffer.from([0x02, 0x82, 0, 0, 0, 0, 0, 0x64]),
      ping,
      Buffer.from([0x80, 0x82, 0, 0, 0, 0, 0x65, 0x0a]),
    ]);
    for (const byte of Buffer.concat([whole, ping, fragments])) client.socket.write(Buffer.from([byte]));
    client.socket.write(Buffer.concat([client.frame('stdin', 'f'), client.frame('stdin', 'g\n'), client.closing('stdin')]));
    await client.over();
    expect([client.said('stdout'), client.pongs]).toEqual(['abcde\nfg\n', 2]);
  });

  it.each<[string, readonly string[]]>([
    ['a protocol that nobody knows', webSocketHead(exec('echo'), 'v6.channel.k8s.io')],
    ['no protocol', webSocketHead(exec('echo'))],
    ['another version of WebSockets', webSocketHead(exec('echo'), V5).map((line) => line.replace(': 13', ': 8'))],
    ['no key', webSocketHead(exec('echo'), V5).filter((line) => !line.startsWith('sec-websocket-key'))],
    [
      'SPDY with a protocol of WebSockets',
      [`POST ${exec('echo')} HTTP/1.1`, 'connection: upgrade', 'upgrade: SPDY/3.1', `x-stream-protocol-version: ${V5}`],
    ],
    ['a path that cannot be upgraded', webSocketHead('/api/v1/namespaces/shop/pods/web', V5)],
    ['a page of another site', [...webSocketHead(exec('echo'), V5), 'origin: https://evil.example']],
    ['what is no pod', webSocketHead('/apis/example.com/v1/namespaces/shop/machines/a/exec?command=id', V5)],
    ['the container that keeps credentials', webSocketHead(`${exec('echo')}&container=chaperone-sidecar`, V5)],
  ])('of %s is refused before anything opens', async (_, head) => {
    const before = governed.of('done').length;
    const answered = await askToUpgrade(governed, head, Buffer.from('GET /api HTTP/1.1\r\nhost: x\r\n\r\n'));
    const text = answered.headers + answered.rest.toString();
    expect(text).toMatch(/^HTTP\/1\.1 4\d\d [^]*"kind":"Status"/);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    await until('the end', () => answered.socket.destroyed || answered.socket.resume().readableEnded);
    expect(governed.of('done').length).toBe(before);
  });

  it.each([
    ['a frame without a mask', Buffer.from([0x82, 0x02, 0, 0x61])],
    ['a channel that does not exist', Buffer.from([0x82, 0x82, 0, 0, 0, 0, 9, 0x61])],
    ['a text', Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x30, 0x61])],
    ['an extension', Buffer.from([0xc2, 0x82, 0, 0, 0, 0, 0, 0x61])],
  ])('ends with %s, and leaves nothing behind', async (_, bytes) => {
    await using own = await start();
    const client = await open(exec('cat'), own);
    client.socket.write(Buffer.concat([client.frame('stdin', 'a'), bytes, client.frame('stdin', 'b')]));
    await client.over();
    expect(client.said('stdout')).not.toContain('b');
    await eventually('the record of its end', () => own.of('session.close')[0]);
    expect(own.records.filter(isDone).length).toBeLessThanOrEqual(1);
  });

  it('shows a terminal only to whom people let in, with its sizes', async () => {
    await using own = await start();
    const client = await open(TERMINAL, own);
    client.socket.write(client.frame('resize', '{"Width":100,"Height":30}\n'));
    const request = await requestOf(own);
    expect(request.spec.text).toBe('kubectl exec -n shop web -i -t -- sh');
    decide(own, request, 'Approve');
    await until('its prompt', () => client.said('stdout').includes('size 100x30'));
    client.socket.write(client.frame('resize', '{"Width":120,"Height":40}\n'));
    await until('its size', () => client.said('stdout').includes('size 120x40'));
    client.socket.write(client.frame('stdin', 'mail bob@example.com\rexit 3\r'));
    await client.over();
    expect(client.said('stdout')).toMatch(/waiting for approval ar-[^]*this terminal is recorded[^]*\$ /);
    expect(client.said('stdout')).not.toContain('bob@example.com');
    expect(client.said('error')).toContain('"message":"3"');
    const sizes = own.of('resize').map(({ columns, rows }) => `${columns}x${rows}`);
    expect(sizes.join(' ')).toMatch(/^(80x24 )?100x30 120x40$/);
    expect(recorded(own, 'terminal')).toContain('size 120x40');
    expect(JSON.stringify(own.records)).not.toContain('bob@example.com');
  });

  it('attaches as it opens a shell', async () => {
    await using own = await start();
    const client = await open('/api/v1/namespaces/shop/pods/web/attach?stdin=true&stdout=true', own);
    decide(own, await requestOf(own), 'Approve');
    await until('its prompt', () => client.said('stdout').includes('$ '));
    client.socket.write(client.frame('stdin', 'exit 0\n'));
    await client.over();
    expect(client.said('error')).toContain('Success');
    expect(own.of('action')[0]?.text).toBe('kubectl attach -n shop web -i');
  });

  it.each<[string, (own: Governed) => void, RegExp]>([
    ['the session is ended', (own) => own.end({ code: 'SessionEnded', reason: 'jane ended it' }), /jane ended it/],
    ['no rule allows it any more', (own) => own.setRules(RULES.slice(0, 1)), /the policy changed while it ran \(NoRuleAllows\)/],
    ['a record fails', (own) => own.failRecording(), /RecordingBlocked/],
  ])('ends, and says why, as soon as %s', async (_, change, expected) => {
    await using own = await start();
    const client = await open(exec('cat'), own);
    await isRunning(client);
    change(own);
    if (!client.socket.destroyed) client.socket.write(client.frame('stdin', 'more\n'));
    await client.over();
    expect(client.said('error')).toMatch(expected);
  });

  it('goes on where another rule changes', async () => {
    await using own = await start();
    const client = await open(exec('cat'), own);
    await isRunning(client);
    own.setRules(RULES.slice(0, 2));
    client.socket.write(Buffer.concat([client.frame('stdin', 'more\n'), client.closing('stdin')]));
    await client.over();
    expect(client.said('stdout')).toBe('here\nmore\n');
  });

  it.each([
    ['bytes', { bytesPerStatement: '10' }, ['echo', '0123456789'], /gave more than 10 bytes/],
    ['time', { statementDuration: '1s' }, ['sleep', '30'], /ran for longer than 1000 ms/],
  ])('stays within the limit of %s', async (_, limits, words, expected) => {
    await using own = await start({ limits });
    const client = await open(exec(...words), own);
    await client.over();
    expect(client.said('error')).toMatch(expected);
    expect(own.of('done')[0]?.error?.code).toBe('LimitReached');
  });

  it('asks nobody any more once the agent has left', async () => {
    await using own = await start();
    const client = await open(exec('rmdir', '/nowhere-at-all'), own);
    await requestOf(own);
    client.socket.destroy();
    await until('the end of the request', () => own.desk.list().every(({ status }) => status?.state !== 'Pending'));
    await eventually('the end of the session', () => own.of('session.close')[0]);
    expect(own.of('output')).toEqual([]);
  });

  it('reaches an API server that cannot say that stdin ended', async () => {
    await using old = await startPods({ WITHOUT_V5: 'yes' });
    await using own = await startGoverned({ upstream: old.address, ca: old.ca, credential: { token: 't' }, rules: RULES });
    const client = await open(exec('echo', 'a'), own);
    await client.over();
    expect([client.said('stdout'), client.said('error').includes('Success')]).toEqual(['a\n', true]);
  });
});
