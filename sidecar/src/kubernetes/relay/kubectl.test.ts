import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AccessRequest } from '@chaperone/api';
import {
  eventually,
  type Ran,
  runProgram,
  temporaryDirectory,
  type ApiServer,
  hasApiServer,
  KUBECTL,
  startApiServer,
} from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';

const ALL = { verbs: ['*' as const], resources: ['**'] };
const RULES: Spec['rules'] = [
  { name: 'all', effect: 'Allow', kubernetes: ALL },
  {
    name: 'asked',
    effect: 'RequireApproval',
    approval: { approvers: { groups: ['sre'] }, timeout: '30s' } as never,
    kubernetes: { verbs: ['delete'], resources: ['configmaps'] },
  },
  { name: 'never', effect: 'Deny', kubernetes: { verbs: ['delete'], resources: ['secrets'] }, message: 'Secrets stay.' },
];
const CONFIG_MAP = (name: string, data: object): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
const isWrite = ({ record }: Governed['records'][number]): boolean =>
  record.type === 'action' && record.effects.some(({ verb }) => verb === 'create' || verb === 'delete');

describe.skipIf(!hasApiServer)('kubectl', () => {
  let api: ApiServer;
  let governed: Governed;
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;

  const argsOf = (config: string, args: readonly string[]): string[] => [
    '--kubeconfig',
    join(directory.path, config),
    '--cache-dir',
    join(directory.path, `${config}.cache`),
    ...args,
  ];
  const kubectl = (...args: string[]): Promise<Ran> => runProgram(KUBECTL ?? '', argsOf('governed', args));
  const given = (input: string, ...args: string[]): Promise<Ran> => runProgram(KUBECTL ?? '', argsOf('governed', args), input);
  const direct = async (...args: string[]): Promise<string> => {
    const { stdout, stderr, status } = await runProgram(KUBECTL ?? '', argsOf('direct', args));
    if (status !== 0) throw new Error(stderr);
    return stdout;
  };
  const write = (name: string, server: string, ca: string | undefined, token: string): void =>
    writeFileSync(
      join(directory.path, name),
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [
          {
            name: 'c',
            cluster: { server, ...(ca !== undefined && { 'certificate-authority-data': Buffer.from(ca).toString('base64') }) },
          },
        ],
        users: [{ name: 'u', user: { token } }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'shop' } }],
        'current-context': 'x',
      }),
    );
  const pending = (): Promise<AccessRequest> =>
    eventually('a request', () => governed.desk.list().find(({ status }) => status?.state === 'Pending'));
  const decide = (request: AccessRequest, decision: 'Approve' | 'Deny'): unknown =>
    governed.desk.decide({
      request: request.metadata.name,
      requestUid: request.metadata.uid,
      digest: request.spec.digest,
      decision,
      by: 'jane@corp',
      groups: ['sre'],
    });

  beforeAll(async () => {
    directory = await temporaryDirectory();
    api = await startApiServer();
    governed = await startGoverned({ upstream: api.address, ca: api.ca, credential: { token: api.token }, rules: RULES });
    write('direct', `https://${api.address}`, api.ca, api.token);
    write('governed', `https://127.0.0.1:${governed.port}`, governed.ca, 'of-the-agent');
    await direct('create', 'namespace', 'shop');
    await direct('create', 'secret', 'generic', 'db', '--from-literal=password=hunter2');
    await direct('create', 'configmap', 'kept', '--from-literal=mail=ann@example.com');
  });
  afterAll(async () => {
    await governed?.[Symbol.asyncDispose]();
    await api?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  it('finds what there is, and what its fields are', async () => {
    expect((await kubectl('api-resources')).stdout).toContain('configmaps');
    expect((await kubectl('explain', 'configmaps.data')).stdout).toContain('FIELD: data');
    expect((await kubectl('get', '--raw', '/version')).stdout).toContain('gitVersion');
  });

  it('sees lists in pages, tables and objects, masked', async () => {
    for (let at = 0; at < 3; at++) await direct('create', 'configmap', `page-${at}`);
    const listed = await kubectl('get', 'configmaps', '--chunk-size=1');
    expect(listed.stdout).toMatch(/page-0[^]*page-1[^]*page-2/);
    for (const output of ['yaml', 'json']) {
      const { stdout } = await kubectl('get', 'secret', 'db', '-o', output);
      expect(stdout).toContain(Buffer.from('*****').toString('base64'));
      expect(stdout).not.toContain(Buffer.from('hunter2').toString('base64'));
    }
    expect((await kubectl('describe', 'secret', 'db')).stdout).toMatch(/password: +5 bytes/);
    expect((await kubectl('get', 'configmap', 'kept', '-o', 'yaml')).stdout).toContain("mail: '*****'");
  });

  it('creates by protobuf, applies by both ways, and patches', async () => {
    expect((await kubectl('create', 'configmap', 'made', '--from-literal=a=1')).status).toBe(0);
    expect((await kubectl('create', 'secret', 'generic', 'made', '--from-literal=password=hunter4')).status).toBe(0);
    expect((await given(CONFIG_MAP('made', { a: '2' }), 'apply', '-f', '-')).stderr).not.toContain('Error');
    const applied = await given(CONFIG_MAP('made', { b: '3' }), 'apply', '--server-side', '--force-conflicts', '-f', '-');
    expect(applied).toMatchObject({ status: 0 });
    expect(
      (await kubectl('patch', 'configmap', 'made', '--type=json', '-p', '[{"op":"add","path":"/data/c","value":"4"}]')).status,
    ).toBe(0);
    const stored = JSON.parse(await direct('get', 'configmap', 'made', '-o', 'json')) as { data: unknown };
    expect(stored.data).toEqual({ b: '3', c: '4' });
  });

  it('never writes back what was masked', async () => {
    const { stdout } = await kubectl('get', 'secret', 'db', '-o', 'json');
    const replaced = await given(stdout, 'replace', '-f', '-');
    expect(replaced.stderr).toContain('(MaskedValueWrite)');
    expect(replaced.stderr).toContain('a mask stands at .data.password');
    expect(await direct('get', 'secret', 'db', '-o', 'jsonpath={.data.password}')).toBe(
      Buffer.from('hunter2').toString('base64'),
    );
  });

  it('is told which rule denies, and why, and goes on', async () => {
    const denied = await kubectl('delete', 'secret', 'db');
    expect(denied.stderr).toMatch(
      /^Error from server \(Forbidden\): chaperone: DELETE on secrets db in shop is denied by rule "never" \(DeniedByRule\). Do not retry: Secrets stay\./,
    );
    expect((await kubectl('create', 'token', 'default')).stderr).toContain('(NeverAllowed)');
    expect((await kubectl('get', 'secret', 'db')).status).toBe(0);
  });

  it('deletes once a person approves, and what they approved', async () => {
    await direct('create', 'configmap', 'doomed');
    const deleting = kubectl('delete', 'configmap', 'doomed', '--wait=false');
    const request = await pending();
    expect(request.spec).toMatchObject({
      protocol: 'kubernetes',
      sentence: expect.stringMatching(/^DELETE on configmaps doomed in shop: kubectl delete, run [0-9a-f]{8}$/),
    });
    expect(request.spec.text).toMatch(/^DELETE \/api\/v1\/namespaces\/shop\/configmaps\/doomed/);
    expect(await direct('get', 'configmap', 'doomed', '-o', 'name')).toContain('doomed');
    decide(request, 'Approve');
    expect(await deleting).toMatchObject({ status: 0, stdout: expect.stringContaining('configmap "doomed" deleted') });
    await expect(direct('get', 'configmap', 'doomed')).rejects.toThrow('NotFound');
    const approval = governed.of('approval').at(-1);
    expect(approval).toMatchObject({ state: 'Released', decisions: [{ by: 'jane@corp', decision: 'Approve' }] });
  });

  it('shows by one run what one start of kubectl asks for, in requests and records', async () => {
    for (const name of ['first', 'second']) await direct('create', 'configmap', name);
    const deleting = kubectl('delete', 'configmap', 'first', 'second', '--wait=false');
    const sentences: string[] = [];
    for (const name of ['first', 'second']) {
      const request = await pending();
      sentences.push(request.spec.sentence.replace(name, 'it'));
      decide(request, 'Approve');
      await eventually(
        'its end',
        () => governed.desk.list().find(({ metadata }) => metadata.name === request.metadata.name)?.status?.result,
      );
    }
    expect(await deleting).toMatchObject({ status: 0 });
    expect(new Set(sentences).size).toBe(1);
    const calls = governed.of('action').flatMap(({ kubernetes }) => (kubernetes?.verb === 'delete' ? [kubernetes] : []));
    const [first, second] = calls.slice(-2);
    expect(first).toMatchObject({
      verb: 'delete',
      group: '',
      version: 'v1',
      resource: 'configmaps',
      subresource: '',
      namespace: 'shop',
      name: 'first',
      dryRun: false,
      userAgent: expect.stringMatching(/^kubectl/),
      command: 'kubectl delete',
      run: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(second).toEqual({ ...first, name: 'second' });
  });

  it('deletes nothing that a person denies, or that its agent gives up', async () => {
    const denied = kubectl('delete', 'configmap', 'kept', '--wait=false');
    decide(await pending(), 'Deny');
    expect((await denied).stderr).toContain('(ApprovalDenied)');
    const child = spawn(KUBECTL ?? '', argsOf('governed', ['delete', 'configmap', 'kept']), { stdio: 'ignore' });
    const request = await pending();
    child.kill('SIGKILL');
    await eventually('its record', () => governed.of('approval').find(({ state }) => state === 'Withdrawn'));
    expect(() => decide(request, 'Approve')).toThrow('Withdrawn');
    expect(await direct('get', 'configmap', 'kept', '-o', 'name')).toContain('kept');
  });

  it('watches until the policy changes', async () => {
    const child = spawn(KUBECTL ?? '', argsOf('governed', ['get', 'secrets', '-o', 'json', '--watch', '--output-watch-events']), {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let seen = '';
    child.stdout.on('data', (data: Buffer) => {
      seen += data.toString();
    });
    try {
      await eventually('the first', () => (seen.includes('"db"') ? true : undefined));
      await direct('create', 'secret', 'generic', 'late', '--from-literal=password=hunter3');
      await eventually('the event', () => (seen.includes('"late"') ? true : undefined));
      expect(seen).not.toContain(Buffer.from('hunter3').toString('base64'));
      governed.setRules([{ name: 'other', effect: 'Allow', kubernetes: { verbs: ['get'], resources: ['configmaps'] } }]);
      await eventually('its end', () => governed.of('done').find(({ error }) => error?.code === 'PolicyChanged'));
    } finally {
      child.kill('SIGKILL');
      governed.setRules(RULES);
    }
  });

  it('is refused what is done in pods where a rule of all verbs names no commands and no ports', async () => {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' }, spec: { containers: [{ name: 'app', image: 'x' }] } };
    writeFileSync(join(directory.path, 'pod.json'), JSON.stringify(pod));
    await direct('create', '-f', join(directory.path, 'pod.json'));
    // A pod that runs nowhere yet has kubectl stop by itself.
    await direct('patch', 'pod', 'web', '--subresource=status', '-p', '{"status":{"phase":"Running"}}');
    expect((await kubectl('exec', 'web', '--', 'ls')).stderr).toContain('pods/exec web in shop: ls is not covered by any rule');
    expect((await kubectl('port-forward', 'web', '0:80')).stderr).toContain('is not covered by any rule (NoRuleAllows)');
  });

  it('asks as the agent where the resource says so, with no more rights than it has', async () => {
    await using asAgent = await startGoverned({
      upstream: api.address,
      ca: api.ca,
      credential: { token: api.token },
      rules: RULES,
      kubernetes: { identity: 'agent' },
      local: true,
    });
    write('agent', `http://127.0.0.1:${asAgent.port}`, undefined, 'of-the-agent');
    const asked = await runProgram(KUBECTL ?? '', argsOf('agent', ['get', 'configmaps']));
    expect(asked.stderr).toContain('User "system:serviceaccount:agents:bot" cannot list resource "configmaps"');
    await direct('create', 'role', 'look', '--verb=list', '--resource=configmaps');
    await direct('create', 'rolebinding', 'bot', '--role=look', '--serviceaccount=agents:bot');
    expect((await runProgram(KUBECTL ?? '', argsOf('agent', ['get', 'configmaps']))).stdout).toContain('kept');
  });

  it('leaves a record of each request, before it went upstream, and no secret in it', () => {
    const [first] = governed.records;
    expect(first?.record).toMatchObject({
      type: 'session.open',
      client: { tls: true, application: expect.stringMatching(/^kubectl/) },
    });
    const created = governed.of('action').find(({ text }) => text?.startsWith('POST /api/v1/namespaces/shop/configmaps'));
    expect(created).toMatchObject({ verdict: 'allow', effects: [{ verb: 'create', object: 'configmaps made in shop' }] });
    expect(created?.text).toContain('a: "1"');
    const done = governed.of('done').find(({ action, tag }) => action === created?.action && tag?.startsWith('201'));
    expect(done?.tag).toMatch(/^201 audit-id [\w-]+$/);
    expect(new Set(governed.records.filter(isWrite).map(({ durability }) => durability))).toEqual(new Set(['synced']));
    const all = JSON.stringify([governed.records, governed.logged]);
    for (const secret of [
      'hunter2',
      'hunter4',
      ...['hunter2', 'hunter4'].map((text) => Buffer.from(text).toString('base64')),
      'admin-token',
      'of-the-agent',
      'ann@example.com',
    ])
      expect(all).not.toContain(secret);
  });
});
