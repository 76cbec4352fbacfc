import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { AccessRequest, ApprovalDecision } from '@chaperone/api';
import {
  aCopiedRequest,
  anIssuer,
  aPasskey,
  aPlainDecision,
  aSignedDecision,
  countedBy,
  type TestIssuer,
} from '@chaperone/policy/attest/test-support';
import { temporaryDirectory, testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { type Ended, run, type RunOptions } from '../program.test-support.ts';
import { RequestStore } from '../requests/api-server.test-support.ts';

const TERMS = {
  url: 'https://decide.corp',
  oidc: { issuer: 'https://login.corp', clientId: 'chaperone-decide', usernameClaim: 'email' },
};
const FLAGS = ['--issuer', 'https://login.corp', '--client-id', 'chaperone-decide', '--page', 'https://decide.corp'];

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
let issuer: TestIssuer;
let request: AccessRequest;
let jane: ApprovalDecision;
let bob: ApprovalDecision;
beforeAll(async () => {
  [folder, issuer] = await Promise.all([temporaryDirectory('chaperone-proofs-'), anIssuer()]);
  const asked = aCopiedRequest();
  jane = await aSignedDecision(asked, { issuer });
  bob = await aSignedDecision(asked, { issuer, mods: { by: 'bob@corp' }, passkey: aPasskey(), after: 1_000 });
  request = countedBy(asked, [jane, bob], { state: 'Ran', result: 'UPDATE 1' });
  await file('terms.yaml', stringify({ ...TERMS, tlsSecretName: 'decide-tls' }));
  await file('jwks.json', JSON.stringify({ keys: [issuer.jwk] }));
});
afterAll(() => folder[Symbol.asyncDispose]());

async function file(name: string, text: string): Promise<string> {
  const path = join(folder.path, name);
  await writeFile(path, text);
  return path;
}
const list = (...items: object[]): string => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
async function verify(input: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Ended> {
  const known = ['--terms', join(folder.path, 'terms.yaml'), '--keys', join(folder.path, 'jwks.json')];
  return run(['requests', 'verify', '-f', '-', ...known, ...args], { ...options, input });
}

describe('requests verify', () => {
  test('says of each decision who gave it and how sure that is, and of the request that its state follows', async () => {
    const found = await verify(list(request, jane, bob));
    expect(found).toEqual({
      code: 0,
      out: [
        `agents/${request.metadata.name}  follows: Ran, 2/2 approvals`,
        '  Approve by jane@corp (dba), signed: valid',
        '  Approve by bob@corp (dba), signed with a passkey: valid',
        '',
      ].join('\n'),
      err: '',
    });
  });

  test('says plainly of what was given with kubectl that nothing can be verified', async () => {
    const asked = aCopiedRequest({}, { minimum: 1, assurance: 'kubernetes' });
    const own = aPlainDecision(asked);
    const { code, out } = await run(['requests', 'verify', '-f', '-'], { input: list(countedBy(asked, [own]), own) });
    expect([code, out.split('\n')[1]]).toEqual([
      0,
      '  Approve by bob@corp (dba), by the API server’s word: unverifiable: nothing of it is signed, and nothing can be verified offline',
    ]);
  });

  test('ends with 3 and the code where a proof does not hold', async () => {
    const forged = { ...jane, spec: { ...jane.spec, reason: 'another' } };
    const { code, out } = await verify(list(request, forged, bob));
    expect(code).toBe(3);
    expect(out).toContain(`contradicted: it counts ${jane.metadata.name}, which is no proof (StateContradicted)\n`);
    expect(out).toContain(
      '  Approve by jane@corp (dba), signed: invalid: the signature is not of this answer (DecisionSignatureInvalid)\n',
    );
  });

  test('says what is missing, and contradicts nothing, where the decisions are not given', async () => {
    const { code, out } = await verify(list(request, bob));
    expect([code, out.split('\n')[0]]).toEqual([
      3,
      `agents/${request.metadata.name}  missing: it counts ${jane.metadata.name}, which is not here (DecisionMissing)`,
    ]);
    const { out: none } = await verify(list(request));
    expect(none).toContain(`missing: it counts ${jane.metadata.name}, which is not here, nor are 1 more (DecisionMissing)`);
  });

  test('writes a line of JSON for each request, without tokens', async () => {
    const { code, out } = await verify(list(request, jane, bob), ['-o', 'json']);
    expect([code, out.trimEnd().split('\n')]).toEqual([0, [expect.any(String)]]);
    expect(JSON.parse(out)).toMatchObject({
      namespace: 'agents',
      verdict: 'follows',
      state: 'Ran',
      outcome: 'Approved',
      votes: '2/2',
      decisions: [
        { by: 'jane@corp', decision: 'Approve', assurance: 'signed', verdict: 'valid', counted: true },
        { by: 'bob@corp', assurance: 'passkey', verdict: 'valid' },
      ],
    });
    expect(out).not.toContain(jane.spec.attestation?.idToken.slice(0, 40));
  });

  test('reads documents of YAML, several files, and one request of them by a beginning of its name', async () => {
    const other = aCopiedRequest({}, {}, `ar-${'b'.repeat(16)}`);
    const [one, two] = await Promise.all([
      file('one.yaml', [request, jane].map((each) => stringify(each)).join('---\n')),
      file('two.yaml', `${stringify(bob)}---\n---\n${stringify(other)}`),
    ]);
    const known = ['--terms', join(folder.path, 'terms.yaml'), '--keys', join(folder.path, 'jwks.json')];
    const both = await run(['requests', 'verify', '-f', one, '-f', two, ...known]);
    expect([both.code, both.out.match(/follows/g)?.length]).toEqual([0, 2]);
    const named = await run(['requests', 'verify', 'ar-bbb', '-f', one, '-f', two, ...known]);
    expect(named.out).toBe(`agents/${other.metadata.name}  follows: Pending, 0/2 approvals\n`);
    expect((await run(['requests', 'verify', 'ar-', '-f', one, '-f', two, ...known])).err).toContain('(AmbiguousName)');
    expect((await run(['requests', 'verify', 'ar-ccc', '-f', one, ...known])).code).toBe(5);
  });

  test('writes what nobody sees as escapes', async () => {
    const hostile = { ...jane, metadata: { ...jane.metadata, name: 'd\u202e' }, spec: { ...jane.spec, by: '' } };
    const { code, out } = await verify(list(request, hostile, bob));
    expect([code, out.includes('\u202e'), /202e/i.test(out)]).toEqual([3, false, true]);
  });
});

describe('the terms', () => {
  test('may be flags, which count before the file', async () => {
    const flags = [...FLAGS, '--username-claim', 'email', '--keys', join(folder.path, 'jwks.json')];
    expect((await run(['requests', 'verify', '-f', '-', ...flags], { input: list(request, jane, bob) })).code).toBe(0);
    for (const [flag, value, code] of [
      ['--client-id', 'kubernetes', 'DecisionTokenInvalid'],
      ['--issuer', 'https://evil.example', 'DecisionTokenInvalid'],
      ['--page', 'https://evil.example', 'DecisionPasskeyInvalid'],
      ['--username-claim', 'sub', 'DecisionSignatureInvalid'],
      ['--groups-claim', 'roles', 'DecisionSignatureInvalid'],
    ] as const) {
      const found = await verify(list(request, jane, bob), [flag, value]);
      expect([found.code, found.out.includes(code)], flag).toEqual([3, true]);
    }
  });

  test.each<[string, string[], string]>([
    [
      'are missing',
      [],
      '2 decisions are signed, and it is not said by which terms: add --issuer, --client-id, --page, or --terms FILE',
    ],
    ['are incomplete', ['--issuer', 'https://login.corp'], 'add --client-id, --page, or --terms FILE'],
    [
      'have an issuer that is none',
      ['--issuer', 'login.corp'],
      'the issuer is an https URL as its tokens have it; "login.corp" is not',
    ],
    ['have a page without TLS', [...FLAGS, '--page', 'http://decide.corp'], 'the page is the https URL where people decide'],
    ['are in a file that is not there', ['--terms', '/nonexistent'], '/nonexistent cannot be read'],
    ['have a field that nobody knows', ['--terms', 'oidc: {issuerUrl: x}'], 'oidc.issuerUrl is unknown; write operator.decide'],
    ['are no terms', ['--terms', '[1]'], 'it has a wrong value'],
    ['have keys that are none', [...FLAGS, '--keys', '{"keys": [7]}'], 'is no JWK set'],
    ['have a key that is nobody’s to have', [...FLAGS, '--keys', '{"keys": [{"kty": "EC", "d": "AA"}]}'], 'holds a private key'],
    ['would be fetched without TLS', [...FLAGS, '--issuer', 'http://localhost:1'], 'keys are fetched over https alone'],
  ])('are complained of where they %s', async (_, args, said) => {
    const isText = (arg: string, at: number): boolean => /^--(terms|keys)$/.test(args[at - 1] ?? '') && !arg.startsWith('/');
    const paths = await Promise.all(args.map(async (arg, at) => (isText(arg, at) ? await file(`f${at}`, arg) : arg)));
    const ended = await run(['requests', 'verify', '-f', '-', ...paths], { input: list(request, jane, bob) });
    expect([ended.code === 2 || ended.code === 5, ended.out]).toEqual([true, '']);
    expect(ended.err).toContain(said);
  });
});

describe('input that is something else', () => {
  test.each<[string, string, string]>([
    ['nothing', '', 'holds no request and no decision (RequestMissing)'],
    ['neither JSON nor YAML', '{"kind": [', 'is not valid YAML'],
    ['objects of other kinds', '{"kind": "Pod"}', 'holds no request and no decision (RequestMissing)'],
    ['YAML of 5 MiB', `a: ${'x'.repeat(5 * 1024 * 1024)}`, 'is larger than 4 MiB and no JSON'],
    ['65 MiB', 'x'.repeat(65 * 1024 * 1024), 'is larger than 64 MiB'],
    ['nested a hundred thousand times', '['.repeat(100_000), 'nested too deeply'],
    ['a bomb of aliases', `a: &a [x]\nb: &b [${'*a,'.repeat(99)}*a]\nc: [${'*b,'.repeat(99)}*b]`, 'too many aliases'],
  ])('is complained of: %s', async (_, input, said) => {
    const { code, out, err } = await verify(input);
    expect([code, out]).toEqual([3, '']);
    expect(err).toContain(said);
    expect(err).not.toMatch(/^\s+at /m);
  });

  test('is passed over where it is another object beside, and said', async () => {
    const { code, err } = await verify(list(request, jane, bob, { kind: 'Pod' }));
    expect([code, err]).toEqual([0, 'passed over 1 object of other kinds\n']);
  });

  test('is not read beside a cluster', async () => {
    expect((await verify('', ['-n', 'agents'])).err).toContain('--file is read as a whole');
  });
});

test('reads a cluster page by page, as whom the kubeconfig says', async () => {
  const { cluster, store } = await RequestStore.start();
  store.pageSize = 1;
  store.requests.set(request.metadata.name, request);
  for (const each of [jane, bob]) store.decisions.set(each.metadata.name, each);
  const known = ['--terms', join(folder.path, 'terms.yaml'), '--keys', join(folder.path, 'jwks.json')];
  const args = ['requests', 'verify', '-n', 'agents', '--kubeconfig', cluster.kubeconfig, ...known];
  expect(await run(args)).toMatchObject({ code: 0, out: expect.stringMatching(/follows: Ran[^]*jane[^]*bob/) as string });
  expect((await run([...args, '-A'])).code).toBe(0);
  cluster.state.refuse.set('GET /apis/chaperone.dev/v1alpha1/namespaces/agents/approvaldecisions', 403);
  expect(await run(args)).toMatchObject({
    code: 4,
    err: expect.stringContaining('may not list answers of namespace agents') as string,
  });
});

/** An issuer whose certificate is by an authority of its own. */
async function serve(answer: (url: string) => RequestListener): Promise<{ url: string; ca: string }> {
  const authority = await testAuthority('issuer CA');
  const { certificate, key } = await authority.issue(['localhost']);
  const server = createServer({ cert: certificate, key }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  server.on('request', answer(url));
  return { url, ca: await file('ca.pem', authority.ca) };
}
async function fetched(answer: (url: string) => RequestListener): Promise<Ended> {
  const { url, ca } = await serve(answer);
  const signed = await aSignedDecision(request, { issuer, claims: { iss: url } });
  const input = list(countedBy(aCopiedRequest({}, { minimum: 1 }), []), signed);
  return run(['requests', 'verify', '-f', '-', ...FLAGS, '--issuer', url, '--username-claim', 'email', '-o', 'json'], {
    input,
    env: { NODE_EXTRA_CA_CERTS: ca },
  });
}
const honest =
  (mods: { discovery?: object; keys?: string } = {}) =>
  (url: string): RequestListener =>
  (asked, response) => {
    const discovery = { issuer: url, jwks_uri: `${url}/jwks`, ...mods.discovery };
    response.end(asked.url === '/jwks' ? (mods.keys ?? JSON.stringify({ keys: [issuer.jwk] })) : JSON.stringify(discovery));
  };

describe('keys of the issuer itself', () => {
  test('are fetched where no file is named, and that is said', async () => {
    const { out, err } = await fetched(honest());
    expect(err).toMatch(/^keys of https:\/\/localhost:\d+ as it publishes them now; --keys FILE needs no network/);
    expect((JSON.parse(out) as { decisions: object[] }).decisions).toMatchObject([{ code: 'DecisionShownOther' }]);
  });

  test.each<[string, (url: string) => RequestListener, string]>([
    ['says that it is another issuer', honest({ discovery: { issuer: 'https://evil.example' } }), 'is not one of this issuer'],
    ['has its keys elsewhere without TLS', honest({ discovery: { jwks_uri: 'http://localhost:1/jwks' } }), 'over https alone'],
    ['publishes no keys', honest({ keys: '[]' }), 'it publishes no JWK set'],
    ['answers without end', honest({ keys: 'x'.repeat(300 * 1024) }), 'it answers with more than 256 KiB'],
    [
      'leads elsewhere',
      () => (_, response) => void response.writeHead(302, { location: 'https://evil.example' }).end(),
      'it does not answer',
    ],
    ['is broken', () => (_, response) => void response.writeHead(500).end(), 'it answers 500'],
  ])('are not taken from one that %s', async (_, answer, said) => {
    const { code, out, err } = await fetched(answer);
    expect([code === 7 || code === 2, out]).toEqual([true, '']);
    expect(err).toContain(said);
  });
});

test('the guide’s terms are those of the chart', async () => {
  const values = await readFile(join(import.meta.dirname, '../../../helm/values.yaml'), 'utf8');
  for (const name of [
    'url',
    'tlsSecretName',
    'issuer',
    'clientId',
    'secretRef',
    'scopes',
    'usernameClaim',
    'usernamePrefix',
    'groupsClaim',
    'groupsPrefix',
  ])
    expect(values).toContain(`${name}:`);
});
