import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AccessRequest } from '@chaperone/api';
import { eventually, hasPods, kubectlOf, KUBECTLS, type Pods, startPods, temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aMember, aHeader, pax } from '../wire/tar.test-support.ts';
import { Archive } from './archive.ts';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';

const END = Buffer.alloc(1024);
const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

type Files = NonNullable<NonNullable<Spec['rules'][number]['kubernetes']>['files']>;
const rulesOf = (files: Files, effect: 'Allow' | 'RequireApproval' = 'Allow'): Spec['rules'] => [
  { name: 'look', effect: 'Allow', kubernetes: { verbs: ['get'], resources: ['pods'] } },
  {
    name: 'copy',
    effect,
    kubernetes: { verbs: ['exec'], resources: ['pods/exec'], files },
    ...(effect === 'RequireApproval' && { approval: { approvers: { groups: ['sre'] }, timeout: '30s' } as never }),
  },
];
const pending = (of: Governed): Promise<AccessRequest> =>
  eventually('a request', () => of.desk.list().find(({ status }) => status?.state === 'Pending'));

describe.skipIf(!hasPods)('kubectl cp', () => {
  let pods: Pods;
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  /** A path in the pod, and one where the agent is. */
  const inPod = (...parts: string[]): string => join(directory.path, 'pod', ...parts);
  const here = (...parts: string[]): string => join(directory.path, 'here', ...parts);
  beforeAll(async () => {
    directory = await temporaryDirectory();
    pods = await startPods();
    for (const path of [inPod('srv', 'in'), inPod('srv', 'out', 'deep'), inPod('etc'), here()])
      mkdirSync(path, { recursive: true });
  });
  afterAll(async () => {
    await pods?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });
  const start = (rules: Spec['rules']): Promise<Governed> =>
    startGoverned({ upstream: pods.address, ca: pods.ca, credential: { token: 't' }, rules });
  describe.each(KUBECTLS)('of %s', (program) => {
    const kubectl = (of: Governed, ...args: string[]): ReturnType<ReturnType<typeof kubectlOf>> =>
      kubectlOf(program, { port: of.port, ca: of.ca, directory: directory.path })(args);

    it('brings files out, each in the record with its digest', async () => {
      await using own = await start(rulesOf({ operations: ['read'], paths: [inPod('srv', '**')] }));
      const large = randomBytes(3_000_000);
      writeFileSync(inPod('srv', 'out', 'deep', 'large'), large);
      writeFileSync(inPod('srv', 'out', 'small'), 'mail ann@example.com');
      const { status, stderr } = await kubectl(own, 'cp', `web:${inPod('srv', 'out')}`, here('got'));
      expect([status, stderr.includes('rror')]).toEqual([0, false]);
      expect(readFileSync(here('got', 'deep', 'large')).equals(large)).toBe(true);
      expect(readFileSync(here('got', 'small'), 'utf8')).toBe('mail ann@example.com');
      const files = await eventually('its records', () => (own.of('file').length >= 2 ? own.of('file') : undefined));
      expect(files).toContainEqual(
        expect.objectContaining({
          operation: 'read',
          path: inPod('srv', 'out', 'deep', 'large'),
          bytes: large.length,
          digest: sha256(large),
          outcome: 'ok',
        }),
      );
      const action = own.of('action').find(({ text }) => text?.startsWith('kubectl exec'));
      expect(action?.effects[0]?.object).toBe(`pods/exec web in shop: read ${inPod('srv', 'out')}`);
      // Of tar, what it says and nothing that it holds.
      expect(own.of('output').every(({ stream }) => stream === 'stderr')).toBe(true);
    });

    it('brings files in, where kubectl looks first whether it is a directory', async () => {
      await using own = await start(rulesOf({ operations: ['write'], paths: [inPod('srv', 'in', '**')] }));
      mkdirSync(here('given', 'x'), { recursive: true });
      writeFileSync(here('given', 'x', 'a'), 'content of a');
      const { status } = await kubectl(own, 'cp', here('given'), `web:${inPod('srv', 'in')}`);
      expect(status).toBe(0);
      expect(readFileSync(inPod('srv', 'in', 'given', 'x', 'a'), 'utf8')).toBe('content of a');
      const files = await eventually('its records', () => (own.of('file').length >= 1 ? own.of('file') : undefined));
      expect(files).toContainEqual(
        expect.objectContaining({
          operation: 'write',
          path: inPod('srv', 'in', 'given', 'x', 'a'),
          digest: sha256('content of a'),
          outcome: 'ok',
        }),
      );
    });

    it('is told where it may not', async () => {
      await using own = await start(rulesOf({ operations: ['read', 'write'], paths: [inPod('srv', '**')] }));
      writeFileSync(inPod('etc', 'secret'), 'secret');
      const read = await kubectl(own, 'cp', `web:${inPod('etc', 'secret')}`, here('secret'));
      expect([existsSync(here('secret')), read.stderr.includes('NoRuleAllows')]).toEqual([false, true]);
      writeFileSync(here('mine'), 'mine');
      const written = await kubectl(own, 'cp', here('mine'), `web:${inPod('etc', 'mine')}`);
      expect([written.status, existsSync(inPod('etc', 'mine')), written.stderr.includes('NoRuleAllows')]).toEqual([
        1,
        false,
        true,
      ]);
      const around = await kubectl(own, 'cp', `web:${inPod()}`, here('all'));
      expect(around.stderr).toContain('NoRuleAllows');
      expect(own.of('file')).toEqual([]);
    });

    it('may have the one file that a rule names, and nothing else', async () => {
      writeFileSync(inPod('etc', 'one'), 'one');
      await using own = await start(rulesOf({ operations: ['read'], paths: [inPod('etc', 'one'), inPod('srv', 'out')] }));
      expect((await kubectl(own, 'cp', `web:${inPod('etc', 'one')}`, here('one'))).status).toBe(0);
      expect(readFileSync(here('one'), 'utf8')).toBe('one');
      const { stderr } = await kubectl(own, 'cp', `web:${inPod('srv', 'out')}`, here('directory'));
      expect(stderr).toContain('more than the one file');
      expect(existsSync(here('directory', 'small'))).toBe(false);
    });

    it('waits for people, who are asked once', async () => {
      await using own = await start(rulesOf({ operations: ['write'], paths: [inPod('srv', 'in', '**')] }, 'RequireApproval'));
      writeFileSync(here('asked'), 'x'.repeat(1_000_000));
      const copying = kubectl(own, 'cp', here('asked'), `web:${inPod('srv', 'in', 'asked')}`);
      const { metadata, spec } = await pending(own);
      expect(spec.text).toMatch(/^kubectl exec -n shop web -c app -i -- tar -xmf - -C /);
      own.desk.decide({
        request: metadata.name,
        requestUid: metadata.uid,
        digest: spec.digest,
        decision: 'Approve',
        by: 'jane@corp',
        groups: ['sre'],
      });
      expect((await copying).status).toBe(0);
      expect(own.desk.list()).toHaveLength(1);
      expect(readFileSync(inPod('srv', 'in', 'asked')).length).toBe(1_000_000);
    });

    it('leaves out what leads elsewhere', async () => {
      await using own = await start(rulesOf({ operations: ['read'], paths: [inPod('srv', '**')] }));
      mkdirSync(inPod('srv', 'links'), { recursive: true });
      writeFileSync(inPod('srv', 'links', 'a'), 'a');
      if (!existsSync(inPod('srv', 'links', 'b'))) symlinkSync('/etc/passwd', inPod('srv', 'links', 'b'));
      const { status } = await kubectl(own, 'cp', `web:${inPod('srv', 'links')}`, here('links'));
      expect([status, readFileSync(here('links', 'a'), 'utf8'), existsSync(here('links', 'b'))]).toEqual([0, 'a', false]);
      const files = await eventually('its records', () => (own.of('file').length >= 2 ? own.of('file') : undefined));
      expect(files).toContainEqual(
        expect.objectContaining({ operation: 'symlink', path: inPod('srv', 'links', 'b'), to: '/etc/passwd', outcome: 'denied' }),
      );
    });
  });
});

const through = (
  verb: 'read' | 'write',
  bytes: Buffer,
  isOne = false,
): { passed: Buffer; archive: Archive; records: string[] } => {
  const records: string[] = [];
  const archive = new Archive({
    copy: { verb, path: '/srv/app', isOne },
    capture: undefined,
    record: ({ operation, path, to, outcome }) =>
      records.push([operation, path, to, outcome].filter((word) => word !== undefined).join(' ')),
  });
  const passed: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 100) passed.push(archive.push(bytes.subarray(at, at + 100)));
  archive.close();
  return { passed: Buffer.concat(passed), archive, records };
};

describe('an archive', () => {
  const FINE = aMember({ name: 'fine' }, 'fine');

  it.each<[string, Buffer]>([
    ['a name that goes back', aMember({ name: '../x' }, 'x')],
    ['a name that goes back in the middle', aMember({ name: 'a/../../x' }, 'x')],
    ['an absolute name', aMember({ name: '/etc/cron.d/x' }, 'x')],
    ['a name of nothing', aMember({ name: './' }, 'x')],
    ['a long name that goes back', Buffer.concat([aMember({ name: 'x', type: 'L' }, '../x\0'), aMember({ name: 'x' }, 'x')])],
    [
      'an attribute that goes back',
      Buffer.concat([aMember({ name: 'x', type: 'x' }, pax('path', '/x')), aMember({ name: 'x' }, 'x')]),
    ],
    [
      'a name that goes back behind an attribute that does not',
      Buffer.concat([aMember({ name: 'x', type: 'x' }, pax('path', 'x')), aMember({ name: '../x' }, 'x')]),
    ],
    ['a link to elsewhere', aHeader({ name: 'a', type: '2', target: '/etc' })],
    ['a link that goes back', aHeader({ name: 'a', type: '2', target: '../../etc' })],
    ['a link that goes back behind another', aHeader({ name: 'a', type: '2', target: 'b/../../x' })],
    ['a link that leads back from behind one to its own directory', aHeader({ name: 'k/k/k/up', type: '2', target: '../../..' })],
    ['a link to its own directory', aHeader({ name: 'k', type: '2', target: '.' })],
    ['a link to what is higher', aHeader({ name: 'a/b/c', type: '2', target: '../../d' })],
    [
      'a link that has another name, from which it leads out',
      Buffer.concat([aMember({ name: 'x', type: 'L' }, 'a/b\0'), aHeader({ name: 'b', type: '2', target: '../c/d' })]),
    ],
    ['a link to nothing', aHeader({ name: 'a', type: '2', target: '' })],
    ['a hard link, maybe to a link that lies deeper', aHeader({ name: 't', type: '1', target: 'a/b/s' })],
    ['a hard link to elsewhere', aHeader({ name: 'a', type: '1', target: '/etc/passwd' })],
    ['a hard link that goes back', aHeader({ name: 'a', type: '1', target: '../x' })],
    [
      'a link whose attribute leads elsewhere',
      Buffer.concat([aMember({ name: 'x', type: 'x' }, pax('linkpath', '/etc')), aHeader({ name: 'a', type: '2', target: 'b' })]),
    ],
    ['a device', aHeader({ name: 'a', type: '4' })],
    ['a member behind its end', Buffer.concat([Buffer.alloc(512), aMember({ name: 'a' }, 'x')])],
  ])('with %s goes into no pod, and nothing behind it', (_, member) => {
    const { passed, archive, records } = through('write', Buffer.concat([FINE, member, FINE, END]));
    expect(passed.subarray(0, FINE.length).equals(FINE)).toBe(true);
    expect(passed.length).toBeLessThanOrEqual(FINE.length + 512);
    expect(['NeverAllowed', 'NotAnalysable']).toContain(archive.refusal?.code);
    expect(records[0]).toBe('write /srv/app/fine ok');
  });

  it.each<[string, Buffer]>([
    ['a name that goes back', aMember({ name: 'srv/app/../x' }, 'x')],
    ['a name beside it', aMember({ name: 'srv/application' }, 'x')],
    ['a name that is elsewhere', aMember({ name: 'etc/passwd' }, 'x')],
  ])('with %s comes out of none', (_, member) => {
    const { passed, archive } = through('read', Buffer.concat([member, END]));
    expect([passed.length, archive.refusal?.code]).toEqual([0, 'NeverAllowed']);
  });

  it('passes links that stay within, both ways', () => {
    const links = [
      aHeader({ name: 'srv/app/a', type: '2', target: 'b/c' }),
      aHeader({ name: 'srv/app/x/a', type: '2', target: '../b/c' }),
      aHeader({ name: 'srv/app/h', type: '1', target: 'srv/app/a' }),
    ];
    const { passed, archive } = through('read', Buffer.concat([...links, END]));
    expect([passed.length, archive.refusal]).toEqual([3 * 512 + END.length, undefined]);
  });

  it('leaves out links that do not, on their way out', () => {
    const out = aHeader({ name: 'srv/app/a', type: '2', target: '/etc/passwd' });
    const { passed, records } = through('read', Buffer.concat([out, aMember({ name: 'srv/app/b' }, 'b'), END]));
    expect([passed.length, records]).toEqual([
      1024 + END.length,
      ['symlink /srv/app/a /etc/passwd denied', 'read /srv/app/b ok'],
    ]);
  });

  it('is recorded as cut off where its end did not come', () => {
    expect(through('write', FINE.subarray(0, 514)).records).toEqual(['write /srv/app/fine cut off']);
  });

  it('of one file holds that alone', () => {
    const file = aMember({ name: 'srv/app' }, 'x');
    expect(through('read', Buffer.concat([file, END]), true).archive.refusal).toBeUndefined();
    const directory = aHeader({ name: 'srv/app/', type: '5' });
    expect(through('read', Buffer.concat([directory, END]), true).archive.refusal?.code).toBe('NoRuleAllows');
  });
});
