import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { generatedFiles } from '../../api/src/generate.ts';

const CHART = join(import.meta.dirname, '..');
const TESTDATA = join(import.meta.dirname, 'testdata');
const helm = findProgram('helm');

describe('the CRDs of the chart', () => {
  // A copy, because a chart holds its own files: npm run golden:update writes it.
  const crds = generatedFiles().filter(({ path }) => path.startsWith('crds/'));

  test.each(crds.map(({ path, text }) => [path, text]))('%s is the generated one', (path, text) => {
    const file = join(CHART, 'files', path);
    if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(file, text);
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  test('there is no other', () => {
    const names = readdirSync(join(CHART, 'files/crds')).map((name) => `crds/${name}`);
    expect(names.toSorted()).toEqual(crds.map(({ path }) => path).toSorted());
  });
});

function template(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const command = ['template', 'chaperone', CHART, '--namespace', 'chaperone-system', '--kube-version', '1.34.4', ...args];
  return spawnSync(helm ?? '', command, { encoding: 'utf8', maxBuffer: 1 << 26 });
}
const rendered = (...args: string[]): string => {
  const { status, stdout, stderr } = template(...args);
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
};

/** Helm versions differ in blank lines and trailing spaces; objects do not. */
const tidy = (text: string): string => text.replaceAll(/[ \t]+$/gm, '').replaceAll(/\n{2,}/g, '\n');

const SLACK = {
  channel: 'C0123ABCD',
  team: 'T0123ABCD',
  tokenSecretRef: { name: 'slack', key: 'token' },
  signingSecretRef: { name: 'slack', key: 'signingSecret' },
  consoleUrl: 'https://chaperone.corp',
};

describe.skipIf(helm === undefined)('the chart', () => {
  test.each<[string, string[]]>([
    ['default', ['--set', 'crds.enabled=false']],
    [
      'production',
      [
        '--set',
        'profile=production,clusterName=prod-eu,crds.enabled=false,injection.uid=1000770001,webhook.hostNetwork=true',
        '--set',
        'rbac.credentialNamespaces={data}',
        '--set',
        `sidecar.image.digest=sha256:${'a'.repeat(64)}`,
      ],
    ],
    [
      'external-nats',
      [
        '--set',
        'crds.enabled=false,nats.install=false,nats.external.url=tls://nats.corp:4222,nats.external.caSecretRef.name=nats-ca,global.imageRegistry=registry.corp',
      ],
    ],
    [
      'notify',
      [
        '-s',
        'templates/operator/deployment.yaml',
        '--set',
        'operator.extraCaCerts.name=corp-ca',
        '--set-json',
        `notify=${JSON.stringify({
          webhooks: [{ url: 'https://hooks.corp/a?b=<&>', secretRef: { name: 'hook', key: 'secret' } }],
          slack: { ...SLACK, user: 'oidc:{email}', groups: { dba: 'S0123ABCD' } },
        })}`,
      ],
    ],
  ])('renders %s as reviewed', (name, args) => {
    const file = join(TESTDATA, `${name}.yaml`);
    const text = tidy(rendered(...args));
    if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(file, text);
    expect(text).toBe(readFileSync(file, 'utf8'));
  });

  test('is what helm lint asks for', () => {
    const { status, stdout, stderr } = spawnSync(helm ?? '', ['lint', '--strict', CHART], { encoding: 'utf8' });
    expect([status, stderr], stdout).toEqual([0, '']);
    expect(stdout).toContain('1 chart(s) linted, 0 chart(s) failed');
  });

  test.each<[string, string[]]>([
    ['trial', []],
    ['production', ['--set', 'profile=production,clusterName=prod-eu']],
  ])('says what to do next after an installation with profile %s', (profile, args) => {
    const command = ['install', 'chaperone', CHART, '--namespace', 'chaperone-system', '--dry-run=client', ...args];
    const { status, stdout } = spawnSync(helm ?? '', command, { encoding: 'utf8', maxBuffer: 1 << 26 });
    expect(status).toBe(0);
    const notes = stdout.slice(stdout.indexOf('NOTES:'));
    const file = join(TESTDATA, `notes-${profile}.txt`);
    if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(file, tidy(notes));
    expect(tidy(notes)).toBe(readFileSync(file, 'utf8'));
  });

  test('keeps its CRDs at removal, or not', () => {
    expect(rendered('-s', 'templates/crds.yaml').match(/helm\.sh\/resource-policy: keep/g)).toHaveLength(
      readdirSync(join(CHART, 'files/crds')).length,
    );
    expect(rendered('-s', 'templates/crds.yaml', '--set', 'crds.keep=false')).not.toContain('resource-policy');
  });

  test('writes no field that the operator writes, and no secret', () => {
    const text = rendered('--set', 'crds.enabled=false');
    expect(text).not.toMatch(/^\s*caBundle:/m);
    expect(text).not.toMatch(/^kind: (Secret|InjectionProfile)$/m);
  });

  test('has no Service set a variable of what reads its settings from there', () => {
    for (const file of ['templates/operator/deployment.yaml', 'templates/evidence/collector.yaml'])
      expect(rendered('-s', file), file).toContain('enableServiceLinks: false');
  });

  test('has the operator believe further authorities, also where it tells nobody of requests', () => {
    const text = rendered('-s', 'templates/operator/deployment.yaml', '--set', 'operator.extraCaCerts.name=corp-ca');
    expect(text).toContain('{name: NODE_EXTRA_CA_CERTS, value: /etc/chaperone/extra-ca/ca.crt}');
    expect(text).toContain('configMap: {name: corp-ca, optional: true, items: [{key: ca.crt, path: ca.crt}]}');
  });

  test('gives nothing to the built-in roles', () => {
    expect(rendered('-s', 'templates/roles.yaml')).not.toContain('aggregate-to');
  });

  test.each<[string, string[], string]>([
    ['a mistyped value', ['--set', 'operator.replica=3'], 'replica'],
    ['a user that is root', ['--set', 'injection.uid=0'], 'uid'],
    ['a device that could be anything', ['--set', 'injection.devices={*}'], 'devices'],
    [
      'production without a name or a store',
      ['--set', 'profile=production,collector.persistence.enabled=false'],
      'missing for profile production: clusterName (goes into every record) · collector.persistence.enabled=true',
    ],
    ['a broker of one’s own without its address', ['--set', 'nats.install=false'], 'nats.external.url'],
    [
      'Slack without what it needs',
      ['--set', 'notify.slack.channel=C0123ABCD'],
      'missing for notify.slack: team · tokenSecretRef.name',
    ],
    [
      'a webhook without encryption',
      ['--set-json', 'notify.webhooks=[{"url":"http://a/","secretRef":{"name":"a","key":"b"}}]'],
      'url',
    ],
    ['a webhook without a secret', ['--set-json', 'notify.webhooks=[{"url":"https://a/"}]'], 'secretRef'],
    ['a channel by its name', ['--set', 'notify.slack.channel=#approvals'], 'channel'],
    ['one name for everybody in Slack', ['--set', 'notify.slack.user=admin'], 'user'],
    ['names of the system for people in Slack', ['--set', 'notify.slack.user=system:{email}'], 'user'],
    ['a group of the system by Slack', ['--set-json', 'notify.slack.groups={"system:masters":"S0123ABCD"}'], 'system:masters'],
    [
      'a ConfigMap whose key is a path',
      ['--set', 'operator.extraCaCerts.name=ca,operator.extraCaCerts.key=../ca.crt'],
      'extraCaCerts',
    ],
    ['a quote that would end an expression', ['--set', "admission.namespaceAdmins=x' || true || '"], 'namespaceAdmins'],
  ])('refuses %s', (_name, args, text) => {
    const { status, stderr } = template(...args);
    expect(status).not.toBe(0);
    expect(stderr).toContain(text);
  });
});
