import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chartPeer, findProgram } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { generatedFiles } from '../../api/src/generate.ts';

const CHART = join(import.meta.dirname, '..');
const TESTDATA = join(import.meta.dirname, 'testdata');
const helm = findProgram('helm');
const helm3 = chartPeer('helm');

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

function template(program: string | undefined, args: readonly string[]) {
  const command = ['template', 'chaperone', CHART, '--namespace', 'chaperone-system', '--kube-version', '1.34.4', ...args];
  return spawnSync(program ?? '', command, { encoding: 'utf8', maxBuffer: 1 << 26 });
}
const rendered = (...args: string[]): string => {
  const { status, stdout, stderr } = template(helm, args);
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
};

/** Names of the NetworkPolicies that are rendered with these values. */
const policies = (...set: string[]): string[] =>
  [
    ...rendered('--set', ['crds.enabled=false', ...set].join(',')).matchAll(
      /^kind: NetworkPolicy\nmetadata:\n {2}name: (\S+)$/gm,
    ),
  ].map(([, name = '']) => name);
const hooks = (...args: string[]): string[] => [
  ...new Set(rendered('-s', 'templates/tests/installed.yaml', ...args).match(/hook: .*/g)),
];

/** Helm versions differ in blank lines and trailing spaces; objects do not. */
const tidy = (text: string): string => text.replaceAll(/[ \t]+$/gm, '').replaceAll(/\n{2,}/g, '\n');

const CHECKPOINT = 'prod/4711\n12\nMzdqO9Y+mZNwioTd/mworli4NQXdH+1xG9kk7FpiOfA=\n\n— prod/4711 AAAA\n';
const WITNESSES = [
  { name: 'security', key: 'security.corp/w+0a1b2c3d+BAAA', url: 'https://witness.security.corp' },
  { name: 'audit', key: 'audit.example/w+4e5f6071+BAAB', url: 'https://witness.audit.example/chaperone' },
];
const SINKS = [
  {
    name: 'siem',
    content: 'metadata',
    start: 'now',
    syslog: {
      address: 'siem.corp:6514',
      caSecretRef: { name: 'siem', key: 'ca.crt' },
      certificateSecretRef: { name: 'siem-client', key: 'tls.crt' },
      keySecretRef: { name: 'siem-client', key: 'tls.key' },
    },
  },
  { name: 'splunk', splunk: { url: 'https://splunk.corp:8088', tokenSecretRef: { name: 'hec', key: 'token' }, index: 'audit' } },
  {
    name: 'otel',
    maxText: 4096,
    otlp: { url: 'https://otel.corp:4318/v1/logs', headersSecretRef: { name: 'otel', key: 'headers' } },
  },
  { name: 'hook', webhook: { url: 'https://hooks.corp/a?b="<&>', secretSecretRef: { name: 'hook', key: 'secret' } } },
  {
    name: 'bus',
    nats: {
      servers: ['tls://nats.corp:4222'],
      subject: 'siem.chaperone',
      credentialsSecretRef: { name: 'bus', key: 'user.creds' },
    },
  },
  {
    name: 'lake',
    s3: {
      bucket: 'lake',
      prefix: 'chaperone/',
      region: 'eu-central-1',
      credentialsSecretRef: { name: 'lake', key: 'credentials' },
    },
  },
];
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
      'witnesses',
      [
        '-s',
        'templates/operator/deployment.yaml',
        '-s',
        'templates/evidence/collector.yaml',
        '--set-json',
        `collector.log=${JSON.stringify({ witnesses: WITNESSES, quorum: 1, witnessSeconds: 30, since: CHECKPOINT })}`,
        '--set-json',
        `collector.recipients=${JSON.stringify([`x25519:${'A'.repeat(43)}`, `x25519:${'B'.repeat(43)}`])}`,
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
    [
      'sign-in',
      [
        '-s',
        'templates/evidence/collector.yaml',
        '--set-json',
        `collector.console=${JSON.stringify({
          origin: 'https://chaperone.corp',
          oidc: {
            issuerUrl: 'https://login.corp/realms/main',
            clientId: 'chaperone "console"',
            clientSecretRef: { name: 'chaperone-oidc', key: 'clientSecret' },
            caSecretRef: { name: 'login-ca', key: 'ca.crt' },
            scopes: ['openid', 'email', 'groups'],
            usernameClaim: 'email',
            usernamePrefix: 'oidc:',
            groupsClaim: 'groups',
            groupsPrefix: 'oidc:',
            requiredClaims: { hd: 'corp.example' },
            signingAlgs: ['RS256', 'ES256'],
            sessionMinutes: 60,
          },
        })}`,
      ],
    ],
    [
      'sign-in-least',
      [
        '-s',
        'templates/evidence/collector.yaml',
        '--set',
        'collector.console.origin=https://chaperone.corp,collector.console.oidc.issuerUrl=https://login.corp,collector.console.oidc.clientId=chaperone',
      ],
    ],
    [
      'sign-in-saml',
      [
        '-s',
        'templates/evidence/collector.yaml',
        '--set-json',
        `collector.console=${JSON.stringify({
          origin: 'https://chaperone.corp',
          saml: {
            entryPoint: 'https://idp.corp/sso',
            idpIssuer: 'https://idp.corp/entity',
            certificateSecretRef: { name: 'idp', key: 'tls.crt' },
            groupsAttribute: 'groups',
          },
        })}`,
      ],
    ],
    [
      'bucket',
      [
        '-s',
        'templates/evidence/collector.yaml',
        '--set-json',
        `collector=${JSON.stringify({
          log: { keySecretRef: { name: 'evidence-log' } },
          index: { postgres: { urlSecretRef: { name: 'evidence-index' }, caSecretRef: { name: 'db-ca' } } },
          serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::123456789012:role/evidence' } },
          store: {
            s3: {
              bucket: 'acme-evidence',
              prefix: 'prod/',
              region: 'eu-central-1',
              endpoint: 'https://s3.corp:9000',
              pathStyle: true,
              lock: { mode: 'COMPLIANCE', days: 400 },
              credentialsSecretRef: { name: 'evidence-bucket' },
              caSecretRef: { name: 's3-ca' },
            },
          },
        })}`,
      ],
    ],
    ['sinks', ['-s', 'templates/evidence/collector.yaml', '--set-json', `collector.sinks=${JSON.stringify(SINKS)}`]],
    [
      'decide',
      [
        '-s',
        'templates/operator/deployment.yaml',
        '--set-json',
        `operator.decide=${JSON.stringify({
          url: 'https://decide.corp',
          tlsSecretName: 'decide-tls',
          oidc: {
            issuer: 'https://login.corp',
            clientId: 'decide',
            secretRef: { name: 'decide', key: 'secret' },
            usernameClaim: 'email',
          },
        })}`,
      ],
    ],
    [
      'node',
      [
        '-s',
        'templates/node/agent.yaml',
        '--set',
        'capture.mode=node,capture.nodeAgent.enabled=true,capture.nodeAgent.priorityClassName=system-node-critical,capture.nodeAgent.nodeSelector.pool=agents',
      ],
    ],
    [
      'vault',
      [
        '-s',
        'templates/operator/deployment.yaml',
        '--set-json',
        `operator.vault=${JSON.stringify({
          address: 'https://vault.vault.svc:8200',
          ca: { configMapName: 'vault-ca' },
          namespace: 'team/a',
          auth: { mount: 'clusters/one', role: 'chaperone' },
          paths: [
            { path: 'database/creds/orders-*', namespaces: ['data'], upstreams: ['orders.data.svc:5432', '[2001:db8::5]:5432'] },
          ],
        })}`,
      ],
    ],
    [
      'monitoring',
      [
        '-s',
        'templates/monitoring.yaml',
        '--set',
        'monitoring.monitors=true,monitoring.interval=1m,monitoring.labels.release=prom,capture.nodeAgent.enabled=true',
      ],
    ],
    [
      'tracing',
      [
        '-s',
        'templates/operator/deployment.yaml',
        '--set',
        'tracing.endpoint=http://otel-collector.observability.svc:4318,tracing.ratio=0.25',
      ],
    ],
    [
      'networks',
      [
        '-s',
        'templates/networks.yaml',
        '--set',
        'operator.vault.address=https://vault.corp,operator.vault.auth.role=r,networkPolicy.parts.cidrs={10.0.0.0/8},networkPolicy.parts.apiServerPorts={16443},capture.nodeAgent.enabled=true',
        '--set-json',
        'networkPolicy.parts.from=[{"ipBlock":{"cidr":"10.1.0.0/16"}}]',
      ],
    ],
  ])('renders %s as reviewed, by Helm 4 and Helm 3 alike', (name, args) => {
    const file = join(TESTDATA, `${name}.yaml`);
    const text = tidy(rendered(...args));
    if (helm3 !== undefined) expect(tidy(template(helm3, args).stdout)).toBe(text);
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

  test('has a value with its comment for everything that its schema knows', () => {
    interface Schema {
      readonly properties?: Readonly<Record<string, Schema>>;
    }
    const absent = ({ properties = {} }: Schema, values: unknown, path: string): string[] =>
      Object.entries(properties).flatMap(([key, schema]) => {
        const value = (values as Record<string, unknown> | null)?.[key];
        return value === undefined ? [`${path}.${key}`] : absent(schema, value, `${path}.${key}`);
      });
    const schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8')) as Schema;
    const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as unknown;
    // Kubernetes' own kind, as it is.
    expect(absent(schema, values, '').filter((path) => !path.endsWith('.resources.claims'))).toEqual([]);
  });

  test('takes every binding of its admission policies away before it is removed', () => {
    const text = rendered('--set', 'crds.enabled=false');
    const bindings = [...text.matchAll(/^kind: ValidatingAdmissionPolicyBinding\nmetadata:\n {2}name: (\S+)$/gm)].map(
      ([, name = '']) => name,
    );
    const [, removed = ''] = /resourceNames: (\["chaperone-approval-decision".*\])/.exec(text) ?? [];
    bindings.sort((one, other) => (one < other ? -1 : 1));
    expect(JSON.parse(removed)).toEqual(bindings);
  });

  test('has a NetworkPolicy for each part that is there, but for pods on the node’s network and a broker that is not its own', () => {
    expect(policies()).toEqual(['chaperone-operator', 'chaperone-collector', 'chaperone-nats']);
    expect(policies('capture.nodeAgent.enabled=true')).toContain('chaperone-node');
    expect(policies('webhook.hostNetwork=true')).toEqual(['chaperone-collector', 'chaperone-nats']);
    expect(policies('nats.install=false', 'nats.external.url=tls://a:1')).toEqual(['chaperone-operator', 'chaperone-collector']);
    expect(policies('networkPolicy.parts.enabled=false')).toEqual([]);
  });

  test('tries pods at the end of an installation where that is asked for', () => {
    expect([hooks(), hooks('--set', 'installation.check=true')]).toEqual([
      ['hook: test'],
      ['hook: test,post-install,post-upgrade'],
    ]);
  });

  test('has admission demand the shape of the namespace’s mode, and where that says nothing of the installation’s', () => {
    const policy = (...args: string[]): string => rendered('-s', 'templates/admission/pod-create.yaml', ...args);
    const node = ['--set', 'capture.mode=node,capture.nodeAgent.enabled=true'];
    expect(policy()).toContain("(variables.asked in ['pod', 'node'] ? variables.asked : 'pod') == 'node'");
    expect(policy(...node)).toContain("(variables.asked in ['pod', 'node'] ? variables.asked : 'node') == 'node'");
    expect(rendered('-s', 'templates/operator/deployment.yaml', ...node)).toContain(
      '{name: CHAPERONE_CAPTURE_MODE, value: "node"}',
    );
    expect(template(helm, ['-s', 'templates/node/agent.yaml']).stderr).toContain('could not find template');
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
    ['rules by nobody', ['--set', 'capture.mode=node'], 'capture.mode is node, which takes capture.nodeAgent.enabled=true'],
    ['another writer of rules', ['--set', 'capture.mode=none'], 'mode'],
    ['a device that could be anything', ['--set', 'injection.devices={*}'], 'devices'],
    [
      'production without a name or a store',
      ['--set', 'profile=production,collector.persistence.enabled=false'],
      'missing for profile production: clusterName (goes into every record) · collector.persistence.enabled=true',
    ],
    ['a bucket without a region', ['--set', 'collector.store.s3.bucket=evidence'], 'missing for collector.store.s3: region'],
    [
      'a quorum of more witnesses than there are',
      ['--set', 'collector.log.quorum=1'],
      'collector.log.quorum is 1, and there are 0 witnesses',
    ],
    ['a region without a bucket', ['--set', 'collector.store.s3.region=eu'], 'missing for collector.store.s3: bucket'],
    [
      'a lock without an end',
      ['--set', 'collector.store.s3.bucket=evidence,collector.store.s3.region=eu,collector.store.s3.lock.mode=GOVERNANCE'],
      'collector.store.s3.lock needs mode and days',
    ],
    [
      'a bucket without encryption on the way',
      ['--set', 'collector.store.s3.bucket=evidence,collector.store.s3.region=eu,collector.store.s3.endpoint=http://s3.corp'],
      'endpoint',
    ],
    ['a broker of one’s own without its address', ['--set', 'nats.install=false'], 'nats.external.url'],
    ['a broker without encryption', ['--set', 'nats.install=false,nats.external.url=nats://nats.corp:4222'], 'external'],
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
    [
      'a page to decide on without an issuer',
      ['--set', 'operator.decide.url=https://decide.corp'],
      'missing for operator.decide: oidc.issuer',
    ],
    [
      'a page to decide on without an address',
      ['--set', 'operator.decide.oidc.clientId=decide'],
      'missing for operator.decide: url',
    ],
    ['a page to decide on without encryption', ['--set', 'operator.decide.url=http://decide.corp'], 'url'],
    ['people by names of the system', ['--set', 'operator.decide.oidc.usernamePrefix=system:'], 'usernamePrefix'],
    ['Vault without a role', ['--set', 'operator.vault.address=https://vault.corp'], 'missing for operator.vault: auth.role'],
    ['a role of Vault without an address', ['--set', 'operator.vault.auth.role=r'], 'missing for operator.vault: address'],
    ['Vault without encryption', ['--set', 'operator.vault.address=http://vault.corp,operator.vault.auth.role=r'], 'address'],
    [
      'two authorities of Vault',
      [
        '--set',
        'operator.vault.address=https://vault.corp,operator.vault.auth.role=r,operator.vault.ca.secretName=a,operator.vault.ca.configMapName=b',
      ],
      'the authority is in one of them',
    ],
    [
      'paths of Vault for everybody',
      ['--set-json', 'operator.vault.paths=[{"path":"**","namespaces":[],"upstreams":["db:5432"]}]'],
      'namespaces',
    ],
    ['an API server without a port', ['--set-json', 'networkPolicy.parts.apiServerPorts=[]'], 'apiServerPorts'],
    ['everybody by a peer without a word', ['--set-json', 'networkPolicy.parts.from=[{}]'], 'from'],
    ['a receiver of traces that is no address', ['--set', 'tracing.endpoint=otel:4318'], 'endpoint'],
    ['a receiver of traces with a password', ['--set', 'tracing.endpoint=http://user:x@otel:4318'], 'endpoint'],
    ['more than all traces', ['--set', 'tracing.ratio=2'], 'ratio'],
    ['an interval that is no time', ['--set', 'monitoring.interval=often'], 'interval'],
    ['a channel by its name', ['--set', 'notify.slack.channel=#approvals'], 'channel'],
    ['one name for everybody in Slack', ['--set', 'notify.slack.user=admin'], 'user'],
    ['names of the system for people in Slack', ['--set', 'notify.slack.user=system:{email}'], 'user'],
    ['a group of the system by Slack', ['--set-json', 'notify.slack.groups={"system:masters":"S0123ABCD"}'], 'system:masters'],
    [
      'a provider without what it needs',
      ['--set', 'collector.console.oidc.issuerUrl=https://login.corp'],
      'missing for collector.console: oidc.clientId · origin (the provider sends people back there)',
    ],
    [
      'a client without a provider',
      ['--set', 'collector.console.oidc.clientId=chaperone,collector.console.origin=https://chaperone.corp'],
      'missing for collector.console: oidc.issuerUrl',
    ],
    [
      'SAML without what it needs',
      ['--set', 'collector.console.saml.entryPoint=https://idp.corp/sso'],
      'missing for collector.console: saml.idpIssuer · saml.certificateSecretRef.name · origin',
    ],
    [
      'two ways to sign in',
      [
        '--set-json',
        'collector.console={"origin":"https://a.corp","oidc":{"issuerUrl":"https://b.corp","clientId":"c"},"saml":{"entryPoint":"https://d.corp","idpIssuer":"d","certificateSecretRef":{"name":"d","key":"tls.crt"}}}',
      ],
      'people sign in by one of them',
    ],
    ['a provider without encryption', ['--set', 'collector.console.oidc.issuerUrl=http://login.corp'], 'issuerUrl'],
    ['a console below a path', ['--set', 'collector.console.origin=https://corp/chaperone'], 'origin'],
    ['users of the system by a prefix', ['--set', 'collector.console.oidc.usernamePrefix=system:'], 'usernamePrefix'],
    ['groups of the system by a prefix', ['--set', 'collector.console.oidc.groupsPrefix=system:'], 'groupsPrefix'],
    ['tokens that nobody signs', ['--set', 'collector.console.oidc.signingAlgs={none}'], 'signingAlgs'],
    ['scopes that bring no ID token', ['--set', 'collector.console.oidc.scopes={email}'], 'scopes'],
    ['sessions of more than half a day', ['--set', 'collector.console.oidc.sessionMinutes=1440'], 'sessionMinutes'],
    [
      'a ConfigMap whose key is a path',
      ['--set', 'operator.extraCaCerts.name=ca,operator.extraCaCerts.key=../ca.crt'],
      'extraCaCerts',
    ],
    ['a quote that would end an expression', ['--set', "admission.namespaceAdmins=x' || true || '"], 'namespaceAdmins'],
  ])('refuses %s', (_name, args, text) => {
    const { status, stderr } = template(helm, args);
    expect(status).not.toBe(0);
    expect(stderr).toContain(text);
  });
});
