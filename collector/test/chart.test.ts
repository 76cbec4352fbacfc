import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { OidcEnvironment, oidcSettings } from '../src/console/oidc/settings.ts';
import { S3Environment, s3Settings } from '../src/objects/settings.ts';
import { parseSinks } from '../src/sinks/settings.ts';
import { SamlEnvironment, samlSettings } from '../src/console/saml/settings.ts';

/** The environment of the collector in a rendered chart that was reviewed. */
function rendered(name: string): Record<string, string> {
  const text = readFileSync(new URL(`../../helm/test/testdata/${name}.yaml`, import.meta.url), 'utf8');
  const found = [...text.matchAll(/- \{name: (CHAPERONE_\w+), value: (.*)\}$/gm)];
  return Object.fromEntries(
    found.map(([, key = '', value = '']) => [key, value.startsWith('"') ? (JSON.parse(value) as string) : value]),
  );
}

test('what the chart says of a provider is what the collector reads', () => {
  expect(oidcSettings(OidcEnvironment.parse(rendered('sign-in')))).toEqual({
    issuerUrl: 'https://login.corp/realms/main',
    clientId: 'chaperone "console"',
    consoleOrigin: 'https://chaperone.corp',
    scopes: ['openid', 'email', 'groups'],
    usernameClaim: 'email',
    usernamePrefix: 'oidc:',
    groupsClaim: 'groups',
    groupsPrefix: 'oidc:',
    requiredClaims: { hd: 'corp.example' },
    signingAlgs: ['RS256', 'ES256'],
    sessionMs: 3_600_000,
    clientSecretFile: '/etc/chaperone/oidc/client-secret',
    caFile: '/etc/chaperone/oidc/ca.crt',
  });
});

test('what the chart says of a bucket is what the collector reads', () => {
  expect(s3Settings(S3Environment.parse(rendered('bucket')))).toEqual({
    bucket: 'acme-evidence',
    prefix: 'prod/',
    region: 'eu-central-1',
    endpoint: 'https://s3.corp:9000',
    pathStyle: true,
    lock: { mode: 'COMPLIANCE', days: 400 },
  });
});

test('what the chart says where little is said is read too', () => {
  expect(oidcSettings(OidcEnvironment.parse(rendered('sign-in-least')))).toMatchObject({
    usernameClaim: 'sub',
    groupsPrefix: '',
  });
  expect(samlSettings(SamlEnvironment.parse(rendered('sign-in-saml')))).toMatchObject({
    entryPoint: 'https://idp.corp/sso',
    groupsClaim: 'groups',
    groupsPrefix: '',
    certificateFile: '/etc/chaperone/saml/idp.crt',
  });
});

test('what the chart says of sinks is what the collector reads, and their secrets are mounted where it looks for them', () => {
  const text = readFileSync(new URL('../../helm/test/testdata/sinks.yaml', import.meta.url), 'utf8');
  const json = JSON.parse(/^ {2}sinks\.json: (.*)$/m.exec(text)?.[1] ?? '""') as string;
  const { CHAPERONE_SINKS: path = '' } = rendered('sinks');
  const sinks = parseSinks(JSON.parse(json), path);
  expect(sinks.map(({ name }) => name)).toEqual(['siem', 'splunk', 'otel', 'hook', 'bus', 'lake']);
  expect(sinks[0]).toMatchObject({ content: 'metadata', start: 'now', syslog: { address: { host: 'siem.corp', port: 6514 } } });
  const wanted = [...JSON.stringify(sinks).matchAll(/"\w+File":"([^"]+)"/g)].map(([, file = '']) => file);
  const mounted = [...text.matchAll(/path: (\w+\/\w+)\}/g)].map(([, file = '']) => `/etc/chaperone/sinks/${file}`);
  expect(wanted.toSorted()).toEqual(mounted.toSorted());
  expect(wanted).toHaveLength(8);
  expect(text).toContain('{name: sinks, mountPath: /etc/chaperone/sinks, readOnly: true}');
});
