import { expect, test } from 'vitest';
import { readConfig } from './config.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const env = { CHAPERONE_OPERATOR: 'chaperone-operator.chaperone-system.svc:8443', CHAPERONE_OPERATOR_CA: PEM };

test('what injection writes is read, and the rest has defaults', () => {
  expect(readConfig({ ...env, NODE_ADDRESSES: '10.0.0.4,fd00::4', KUBERNETES_SERVICE_HOST: '10.96.0.1' })).toMatchObject({
    operatorUrl: 'https://chaperone-operator.chaperone-system.svc:8443',
    ranges: { ipv4: '240.240.0.0/16', ipv6: '2001:2::/48' },
    denyPort: 15001,
    sshDirectory: '/run/chaperone-ssh',
    forbidden: ['10.0.0.4', 'fd00::4'],
    apiServer: ['10.96.0.1'],
    logLevel: 'info',
  });
});

test('an operator at an IPv6 address is read', () => {
  expect(readConfig({ ...env, CHAPERONE_OPERATOR: '[fd00::9]:8443' }).operatorUrl).toBe('https://[fd00::9]:8443');
});

test.each([
  ['CHAPERONE_OPERATOR', 'http://evil.example/x'],
  ['CHAPERONE_OPERATOR', undefined],
  ['CHAPERONE_OPERATOR_CA', 'CANARY'],
  ['CHAPERONE_TOKEN_FILE', 'relative/token'],
  ['CHAPERONE_SSH_DIRECTORY', 'relative/loud'],
  ['CHAPERONE_IPV4_RANGE', '0.0.0.0/0'],
  ['CHAPERONE_IPV6_RANGE', '240.240.0.0/16'],
  ['CHAPERONE_DNS_PORT', '70000'],
  ['NODE_ADDRESSES', 'node-1'],
  ['CHAPERONE_FORBIDDEN_RANGES', '10.0.0.0/99'],
  ['CHAPERONE_LOG_LEVEL', 'loud'],
])('%s = %s is an error that names the variable and not its value', (name, value) => {
  expect(() => readConfig({ ...env, [name]: value })).toThrow(
    expect.objectContaining({ code: 'ConfigurationInvalid', message: expect.stringContaining(name) as string }),
  );
  expect(() => readConfig({ ...env, [name]: value })).not.toThrow(/CANARY|evil|loud/);
});

test('all mistakes are told at once', () => {
  expect(() => readConfig({})).toThrow('CHAPERONE_OPERATOR is missing\nCHAPERONE_OPERATOR_CA is missing');
});

test('traces where it is told to, and for whom', () => {
  const tracing = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel:4318', OTEL_TRACES_SAMPLER_ARG: '0.5' };
  expect(readConfig(env).tracing).toBeUndefined();
  expect(readConfig({ ...env, ...tracing, POD_NAME: 'bot-1' })).toMatchObject({
    tracing: { endpoint: 'http://otel:4318', ratio: 0.5 },
    pod: { name: 'bot-1', namespace: undefined },
  });
  expect(() => readConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: 'CANARY' })).toThrow(
    'CHAPERONE_OPERATOR is missing\nCHAPERONE_OPERATOR_CA is missing\nOTEL_EXPORTER_OTLP_ENDPOINT is not an http or https address',
  );
});
