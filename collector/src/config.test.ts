import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateSigner } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { readConfig } from './config.ts';

const key = generateSigner().publicKey.toString('base64url');

async function anEnvironment(keys = JSON.stringify([key])): Promise<Record<string, string>> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const file = join(directory.path, 'keys');
  writeFileSync(file, keys);
  return {
    CHAPERONE_DATA: '/data',
    CHAPERONE_ORIGIN: 'test',
    CHAPERONE_ENROLMENT_KEYS: file,
    CHAPERONE_TLS_CERTIFICATE: 'tls.crt',
    CHAPERONE_TLS_KEY: 'tls.key',
    CHAPERONE_NATS_SERVERS: 'nats://a:4222,nats://b:4222',
  };
}

test('the settings are read with their defaults', async () => {
  expect(readConfig(await anEnvironment())).toEqual({
    directory: '/data',
    retention: {},
    sinks: [],
    trust: { origin: 'test', enrolmentKeys: [key] },
    listen: { host: '0.0.0.0', port: 8443 },
    tls: { certificate: 'tls.crt', key: 'tls.key' },
    nats: { servers: ['nats://a:4222', 'nats://b:4222'] },
    stream: { replicas: 1, maxAgeMs: 604_800_000, maxBytes: -1, ackWaitMs: 15_000 },
  });
});

test('a broker whose address says TLS, or whose authority is named, is spoken to by TLS alone', async () => {
  const environment = await anEnvironment();
  const nats = (more: Record<string, string>): unknown => readConfig({ ...environment, ...more }).nats.tls;
  expect(nats({ CHAPERONE_NATS_SERVERS: 'tls://a:4222' })).toEqual({});
  expect(nats({ CHAPERONE_NATS_SERVERS: 'nats://a:4222,tls://b:4222' })).toEqual({});
  expect(nats({ CHAPERONE_NATS_CA: '/ca.crt' })).toEqual({ caFile: '/ca.crt' });
  expect(nats({})).toBeUndefined();
});

const S3 = { CHAPERONE_S3_BUCKET: 'evidence', CHAPERONE_S3_REGION: 'eu-central-1' };

test('where objects are kept is read with its defaults and with all that can be said', async () => {
  const environment = await anEnvironment();
  expect(readConfig({ ...environment, ...S3 }).s3).toEqual({
    bucket: 'evidence',
    prefix: '',
    region: 'eu-central-1',
    pathStyle: false,
  });
  const all = {
    CHAPERONE_S3_PREFIX: 'prod/evidence/',
    CHAPERONE_S3_ENDPOINT: 'https://s3.corp:9000',
    CHAPERONE_S3_PATH_STYLE: 'true',
    CHAPERONE_S3_LOCK_MODE: 'COMPLIANCE',
    CHAPERONE_S3_LOCK_DAYS: '400',
  };
  expect(readConfig({ ...environment, ...S3, ...all }).s3).toEqual({
    bucket: 'evidence',
    prefix: 'prod/evidence/',
    region: 'eu-central-1',
    endpoint: 'https://s3.corp:9000',
    pathStyle: true,
    lock: { mode: 'COMPLIANCE', days: 400 },
  });
});

test.each([
  ['CHAPERONE_S3_REGION', ''],
  ['CHAPERONE_S3_PREFIX', 'no-slash'],
  ['CHAPERONE_S3_PREFIX', '/absolute/'],
  ['CHAPERONE_S3_ENDPOINT', 'http://s3.corp'],
  ['CHAPERONE_S3_ENDPOINT', 'file:///tmp'],
  ['CHAPERONE_S3_PATH_STYLE', 'perhaps'],
  ['CHAPERONE_S3_LOCK_MODE', 'SOFT'],
  ['CHAPERONE_S3_LOCK_DAYS', '30'],
])('of a bucket, %s=%s is refused by its name', async (name, value) => {
  const environment = await anEnvironment();
  expect(() => readConfig({ ...environment, ...S3, [name]: value })).toThrow(`missing or malformed: ${name}`);
});

const OIDC = {
  CHAPERONE_CONSOLE_ORIGIN: 'https://chaperone.corp',
  CHAPERONE_OIDC_ISSUER_URL: 'https://login.corp/realms/main',
  CHAPERONE_OIDC_CLIENT_ID: 'chaperone',
};

test('who signs people in is read with the defaults of the API server', async () => {
  expect(readConfig({ ...(await anEnvironment()), ...OIDC }).oidc).toEqual({
    issuerUrl: 'https://login.corp/realms/main',
    clientId: 'chaperone',
    consoleOrigin: 'https://chaperone.corp',
    scopes: ['openid'],
    usernameClaim: 'sub',
    groupsPrefix: '',
    requiredClaims: {},
    signingAlgs: ['RS256'],
    sessionMs: 43_200_000,
  });
});

test('who signs people in is read with all that can be said', async () => {
  const all = {
    CHAPERONE_OIDC_CLIENT_SECRET_FILE: '/etc/secret',
    CHAPERONE_OIDC_CA_FILE: '/etc/ca.crt',
    CHAPERONE_OIDC_SCOPES: 'openid email groups',
    CHAPERONE_OIDC_USERNAME_CLAIM: 'email',
    CHAPERONE_OIDC_USERNAME_PREFIX: '-',
    CHAPERONE_OIDC_GROUPS_CLAIM: 'groups',
    CHAPERONE_OIDC_GROUPS_PREFIX: 'oidc:',
    CHAPERONE_OIDC_REQUIRED_CLAIMS: '{"team":"payments"}',
    CHAPERONE_OIDC_SIGNING_ALGS: 'ES256,RS256',
    CHAPERONE_OIDC_SESSION_MINUTES: '60',
  };
  expect(readConfig({ ...(await anEnvironment()), ...OIDC, ...all }).oidc).toEqual({
    issuerUrl: 'https://login.corp/realms/main',
    clientId: 'chaperone',
    clientSecretFile: '/etc/secret',
    caFile: '/etc/ca.crt',
    consoleOrigin: 'https://chaperone.corp',
    scopes: ['openid', 'email', 'groups'],
    usernameClaim: 'email',
    usernamePrefix: '-',
    groupsClaim: 'groups',
    groupsPrefix: 'oidc:',
    requiredClaims: { team: 'payments' },
    signingAlgs: ['ES256', 'RS256'],
    sessionMs: 3_600_000,
  });
});

test.each<[string, string, string]>([
  ['an issuer over plain http', 'CHAPERONE_OIDC_ISSUER_URL', 'http://login.corp'],
  ['an issuer with a query', 'CHAPERONE_OIDC_ISSUER_URL', 'https://login.corp/?a=b'],
  ['an issuer with a password', 'CHAPERONE_OIDC_ISSUER_URL', 'https://a:b@login.corp'],
  ['an issuer that is nothing', 'CHAPERONE_OIDC_ISSUER_URL', ''],
  ['no client', 'CHAPERONE_OIDC_CLIENT_ID', ''],
  ['a console over plain http', 'CHAPERONE_CONSOLE_ORIGIN', 'http://chaperone.corp'],
  ['a console with a path', 'CHAPERONE_CONSOLE_ORIGIN', 'https://chaperone.corp/'],
  ['a console that is not written as browsers do', 'CHAPERONE_CONSOLE_ORIGIN', 'https://Chaperone.corp:443'],
  ['scopes without openid', 'CHAPERONE_OIDC_SCOPES', 'email'],
  ['users of the cluster’s own', 'CHAPERONE_OIDC_USERNAME_PREFIX', 'system:'],
  ['groups of the cluster’s own', 'CHAPERONE_OIDC_GROUPS_PREFIX', 'system:serviceaccounts:'],
  ['required claims that are no JSON', 'CHAPERONE_OIDC_REQUIRED_CLAIMS', 'team=payments'],
  ['required claims that are no texts', 'CHAPERONE_OIDC_REQUIRED_CLAIMS', '{"level":1}'],
  ['tokens that nobody signs', 'CHAPERONE_OIDC_SIGNING_ALGS', 'RS256,none'],
  ['tokens signed with a shared secret', 'CHAPERONE_OIDC_SIGNING_ALGS', 'HS256'],
  ['sessions that last longer than half a day', 'CHAPERONE_OIDC_SESSION_MINUTES', '721'],
])('%s is refused, and named', async (_what, name, value) => {
  const environment = { ...(await anEnvironment()), ...OIDC, [name]: value };
  expect(() => readConfig(environment)).toThrow(`missing or malformed: ${name}`);
});

const SAML = {
  CHAPERONE_CONSOLE_ORIGIN: 'https://chaperone.corp',
  CHAPERONE_SAML_ENTRY_POINT: 'https://idp.corp/sso',
  CHAPERONE_SAML_IDP_ISSUER: 'https://idp.corp/entity',
  CHAPERONE_SAML_IDP_CERTIFICATE_FILE: '/etc/idp.crt',
};

test('people sign in by SAML in place of OpenID Connect, not beside it', async () => {
  const environment = { ...(await anEnvironment()), ...SAML };
  expect(readConfig(environment).saml).toEqual({
    issuerUrl: 'https://idp.corp/entity',
    consoleOrigin: 'https://chaperone.corp',
    entryPoint: 'https://idp.corp/sso',
    certificateFile: '/etc/idp.crt',
    entityId: 'https://chaperone.corp',
    usernameClaim: 'NameID',
    groupsPrefix: '',
    requiredClaims: {},
    sessionMs: 43_200_000,
  });
  expect(() => readConfig({ ...environment, ...OIDC })).toThrow('people sign in by one of');
  expect(() => readConfig({ ...environment, CHAPERONE_SAML_IDP_ISSUER: '', CHAPERONE_SAML_GROUPS_PREFIX: 'system:' })).toThrow(
    'missing or malformed: CHAPERONE_SAML_IDP_ISSUER, CHAPERONE_SAML_GROUPS_PREFIX',
  );
});

test('all that is missing or malformed is named at once', async () => {
  const { CHAPERONE_DATA: _, ...environment } = await anEnvironment();
  expect(() => readConfig({ ...environment, CHAPERONE_STREAM_REPLICAS: 'many' })).toThrow(
    'missing or malformed: CHAPERONE_DATA, CHAPERONE_STREAM_REPLICAS',
  );
});

test.each([
  ['nothing in it', ''],
  ['no key', '[]'],
  ['an entry that is none', JSON.stringify([key, 'not a key'])],
  ['lines in place of JSON', `${key}\n`],
])('a file of enrolment keys with %s is refused', async (_, keys) => {
  const environment = await anEnvironment(keys);
  expect(() => readConfig(environment)).toThrow(expect.objectContaining({ code: 'ConfigurationInvalid' }));
});

test('sinks are read from a file, and what is wrong with it is told by its fields', async () => {
  const environment = await anEnvironment();
  const file = `${environment['CHAPERONE_ENROLMENT_KEYS']}-sinks`;
  const read = (text: string) => {
    writeFileSync(file, text);
    return readConfig({ ...environment, CHAPERONE_SINKS: file });
  };
  const sink = { name: 'otel', otlp: { url: 'https://otel.corp/v1/logs' } };
  expect(read(JSON.stringify({ sinks: [sink] })).sinks).toEqual([
    { ...sink, content: 'commands', start: 'beginning', maxText: 8_192 },
  ]);
  expect(() => read(JSON.stringify({ sinks: [{ ...sink, name: 'A' }] }))).toThrow(/sinks\[0\]\.name: is not a name/);
  expect(() => read('{')).toThrow('the file of CHAPERONE_SINKS is not JSON');
});
