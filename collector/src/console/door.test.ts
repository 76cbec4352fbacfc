import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ApiError, AuthState, NewLink, SessionDetail, SignInResult } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { createTokenAccess, LOCAL_IDENTITY } from '../access.ts';
import { type Collector, createCollector } from '../collector.ts';
import { aSession, silent, readers, trust } from '../evidence.fixture.ts';
import { SIGNED_IN_MS } from './browser-sessions.ts';
import { PAGE_HEADER } from './cookies.ts';
import { isPagePath } from './page-paths.ts';
import { LINK_MS, LinkSignIn } from './sign-in.ts';
import { loadStaticFiles } from './static-files.ts';

const HOME = 'http://127.0.0.1:4711';
const SCRIPT = `export const x = ${JSON.stringify('x'.repeat(2000))};`;
const OWN = { origin: HOME, [PAGE_HEADER]: '1', 'content-type': 'application/json' };

let now = 0;
let signIn: LinkSignIn;
let collector: Collector;
const { session, sealed } = aSession();

async function aPage(): Promise<string> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  await mkdir(join(directory.path, 'assets'));
  await writeFile(join(directory.path, 'index.html'), '<!doctype html><title>page</title>');
  await writeFile(join(directory.path, 'assets/index-A1b2_C3d.js'), SCRIPT);
  await writeFile(join(directory.path, 'robots.svg'), '<svg/>');
  return directory.path;
}

beforeEach(async () => {
  now = 1_000_000;
  signIn = new LinkSignIn(() => now);
  const files = await loadStaticFiles(await aPage());
  const directory = await temporaryDirectory();
  collector = await createCollector({
    directory: directory.path,
    trust,
    readers,
    access: createTokenAccess('the-token'),
    logger: silent,
    ...(files === undefined ? {} : { console: { files, signIn, place: ' --data /srv/shop', now: () => now } }),
  });
  for (const { parcel } of sealed) await collector.ingest(parcel);
  return async () => {
    await collector.close();
    await directory[Symbol.asyncDispose]();
  };
});

const newLink = (path: string) => signIn.newLink({ identity: LOCAL_IDENTITY, path });
const ask = async (path: string, init: RequestInit = {}, base = HOME): Promise<Response> =>
  collector.fetch(new Request(`${base}${path}`, init));
const post = (path: string, body: unknown, headers: Record<string, string> = OWN, base = HOME): Promise<Response> =>
  ask(path, { method: 'POST', headers, body: JSON.stringify(body) }, base);
const proofOf = (link: string): string => link.slice('/l/'.length);
const cookieOf = (response: Response): string => (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';

describe('the page', () => {
  test.each<[string, number]>([
    ['/', 200],
    ['/sessions', 200],
    ['/sessions/', 200],
    ['/sessions/s-x?at=3', 200],
    ['/sessions?anything="at all"', 200],
    ['/requests', 200],
    ['/requests/agents/ar-7f3kq2mzt4hcnw5e', 200],
    ['/grants', 200],
    ['/evidence', 200],
    ['/evidence/more', 404],
    ['/l/token', 200],
    ['/sign-in', 200],
    ['/sign-in/more', 404],
    ['/anything/else', 404],
    ['/sessions/s-x/more', 404],
    ['/sessions%2Fs-x', 404],
    ['/requests/agents', 404],
    ['/index.html', 404],
    ['/l/', 404],
    ['/v10', 404],
  ])('is what %s gives, with %i', async (path, status) => {
    const response = await ask(path);
    expect(response.status).toBe(status);
    expect(await response.text()).toContain('<title>page</title>');
    expect(Object.fromEntries(response.headers)).toEqual({
      'content-type': 'text/html; charset=utf-8',
      'content-length': '34',
      'cache-control': 'no-cache',
      vary: 'accept-encoding',
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types verifier",
    });
  });

  test('has files that are kept for good where their name has a hash, compressed for whoever takes that', async () => {
    const plain = await ask('/assets/index-A1b2_C3d.js');
    expect([plain.headers.get('cache-control'), plain.headers.get('content-type')]).toEqual([
      'public, max-age=31536000, immutable',
      'text/javascript; charset=utf-8',
    ]);
    expect(await plain.text()).toBe(SCRIPT);
    const packed = await ask('/assets/index-A1b2_C3d.js', { headers: { 'accept-encoding': 'br, gzip' } });
    expect(packed.headers.get('content-encoding')).toBe('gzip');
    expect(gunzipSync(Buffer.from(await packed.arrayBuffer())).toString()).toBe(SCRIPT);
    expect((await ask('/robots.svg')).headers.get('cache-control')).toBe('no-cache');
    expect((await ask('/assets/index-gone0000.js')).status, 'an old file is not the page').toBe(404);
  });

  test('answers HEAD with the headers of GET and no body, and no other method', async () => {
    const [head, get] = [await ask('/sessions', { method: 'HEAD' }), await ask('/sessions')];
    expect([head.status, Object.fromEntries(head.headers)]).toEqual([200, Object.fromEntries(get.headers)]);
    expect(await head.text()).toBe('');
    expect((await ask('/sessions', { method: 'DELETE' })).status).toBe(405);
    expect((await ask('/healthz', { method: 'HEAD' })).status).toBe(200);
  });

  test('is not served where a file of an unknown kind lies in it, and is none where nothing was built', async () => {
    const page = await aPage();
    await writeFile(join(page, 'notes.txt'), 'x');
    await expect(loadStaticFiles(page)).rejects.toThrow('unknown kind: /notes.txt');
    expect(await loadStaticFiles(join(page, 'nothing'))).toBeUndefined();
  });
});

describe('the API behind the door', () => {
  test.each(['/v1/sessions', '/v1/nothing', '/auth/state', '/auth/nothing', '/healthz'])(
    '%s is data, never the page',
    async (path) => {
      const response = await ask(path, { headers: { authorization: 'Bearer the-token' } });
      expect(await response.text()).not.toContain('<title>');
      expect(response.headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'");
      expect(response.headers.get('cache-control')).toBe('no-store');
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    },
  );

  test('is shut without a sign-in, and open to the token as before', async () => {
    expect((await ask('/v1/sessions')).status).toBe(401);
    expect((await ask('/v1/sessions', { headers: { authorization: 'Bearer the-token' } })).status).toBe(200);
  });
});

describe('a link', () => {
  test('signs in once, with a cookie that scripts and other sites do not get, and leads where it was made for', async () => {
    const { link } = newLink(`/sessions/${session}?at=2`);
    expect((await ask(link)).status, 'looking at it spends nothing').toBe(200);
    const response = await post('/auth/sign-in', { proof: proofOf(link) });
    expect(SignInResult.parse(await response.json())).toEqual({ path: `/sessions/${session}?at=2` });
    expect(response.headers.get('set-cookie')).toMatch(
      /^chaperone-4711=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    );
    const cookie = cookieOf(response);
    expect((await ask('/v1/sessions', { headers: { cookie } })).status).toBe(200);
    expect(AuthState.parse(await (await ask('/auth/state', { headers: { cookie } })).json())).toEqual({
      way: 'link',
      origin: 'test',
      requests: false,
      policies: false,
      now,
      user: 'local',
      expiresAt: now + SIGNED_IN_MS,
      place: ' --data /srv/shop',
    });
    expect(await (await ask('/auth/state')).text(), 'who is not signed in is told no path').not.toContain('/srv/shop');

    const again = await post('/auth/sign-in', { proof: proofOf(link) });
    expect([again.status, ApiError.parse(await again.json()).code]).toEqual([410, 'LinkUnusable']);
    expect(again.headers.get('set-cookie')).toBeNull();
  });

  test('is too old after ten minutes; a sign-in after twelve hours, or when it is ended', async () => {
    const [first, second] = [newLink('/sessions').link, newLink('/sessions').link];
    now += LINK_MS - 1;
    const cookie = cookieOf(await post('/auth/sign-in', { proof: proofOf(first) }));
    now += 1;
    expect((await post('/auth/sign-in', { proof: proofOf(second) })).status).toBe(410);
    now += SIGNED_IN_MS - 2;
    expect((await ask('/v1/sessions', { headers: { cookie } })).status).toBe(200);
    now += 1;
    expect((await ask('/v1/sessions', { headers: { cookie } })).status).toBe(401);

    const other = cookieOf(await post('/auth/sign-in', { proof: proofOf(newLink('/sessions').link) }));
    expect((await ask('/v1/sessions', { headers: { cookie: other } })).status).toBe(200);
    const out = await post('/auth/sign-out', {}, { ...OWN, cookie: other });
    expect([out.status, out.headers.get('set-cookie')]).toEqual([
      204,
      expect.stringContaining('chaperone-4711=; Path=/; Max-Age=0'),
    ]);
    expect((await ask('/v1/sessions', { headers: { cookie: other } })).status).toBe(401);
  });

  test('gives every sign-in an id of its own and ends the one before: a planted id is worth nothing', async () => {
    const planted = `chaperone-4711=${'A'.repeat(43)}`;
    const first = cookieOf(await post('/auth/sign-in', { proof: proofOf(newLink('/').link) }, { ...OWN, cookie: planted }));
    expect(first).not.toBe(planted);
    expect((await ask('/v1/sessions', { headers: { cookie: planted } })).status).toBe(401);
    const second = cookieOf(await post('/auth/sign-in', { proof: proofOf(newLink('/').link) }, { ...OWN, cookie: first }));
    expect(second).not.toBe(first);
    expect((await ask('/v1/sessions', { headers: { cookie: first } })).status).toBe(401);
    expect((await ask('/v1/sessions', { headers: { cookie: `${second}; ${planted}` } })).status, 'two of a name').toBe(401);
  });

  test.each<[string, string, Record<string, string>, number, string]>([
    ['over plain http from elsewhere', 'http://10.0.0.7:4711', {}, 403, ''],
    ['over TLS', 'https://console.example', {}, 200, '__Host-chaperone='],
    ['on this machine by name', 'http://localhost:4711', {}, 200, 'chaperone-4711='],
    ['on this machine over IPv6', 'http://[::1]:4711', {}, 200, 'chaperone-4711='],
  ])('%s', async (_where, base, headers, status, cookie) => {
    const proof = proofOf(newLink('/sessions').link);
    const response = await post('/auth/sign-in', { proof }, { ...OWN, origin: base, ...headers }, base);
    expect([response.status, response.headers.get('set-cookie') ?? '']).toEqual([status, expect.stringContaining(cookie)]);
    if (cookie.startsWith('__Host-')) expect(response.headers.get('set-cookie')).toMatch(/; Path=\/; .*; Secure$/);
  });

  test('is made by whoever has the token, not by a browser, and leads to pages only', async () => {
    const bearer = { authorization: 'Bearer the-token', 'content-type': 'application/json' };
    const made = NewLink.parse(await (await post('/auth/links', { path: '/sessions/s-abc?at=1' }, bearer)).json());
    const response = await post('/auth/sign-in', { proof: proofOf(made.link) });
    expect(SignInResult.parse(await response.json()).path).toBe('/sessions/s-abc?at=1');
    expect((await post('/auth/links', {}, { ...OWN, cookie: cookieOf(response) })).status).toBe(401);
    expect((await post('/auth/links', {}, { ...bearer, authorization: 'Bearer wrong' })).status).toBe(401);
    expect((await post('/auth/links', { path: 'https://evil.example/' }, bearer)).status).toBe(400);
  });
});

test.each<[string, boolean]>([
  ['/', true],
  ['/sessions', true],
  ['/sessions?agent=a&resource=data%2Forders', true],
  ['/sessions/s-abc?at=12', true],
  ['/sessions?a=1?b', false],
  ['/sessions?next=//evil.example', false],
  ['/requests', true],
  ['/requests/agents/ar-7f3kq2mzt4hcnw5e', true],
  ['/requests/agents', false],
  ['/requests//evil.example', false],
  ['/requests/../v1', false],
  ['/requests/agents/ar-7f3k/content', false],
  ['/policies', true],
  ['/policies/agents/support-agent', true],
  ['/resources?namespace=data', true],
  ['/resources/data/orders.db', true],
  ['/resources/data', false],
  ['/resources/data/../evil', false],
  ['/policies//evil.example', false],
  ['//evil.example', false],
  ['/\\evil.example', false],
  ['/sessions//evil', false],
  ['https://evil.example', false],
  ['javascript:alert(1)', false],
  ['/sessions\n', false],
  ['/sessions#x', false],
  ['/v1/sessions', false],
  ['/l/abc', false],
  ['', false],
])('a sign-in may lead to %j: %s', (path, may) => {
  expect(isPagePath(path)).toBe(may);
});

describe('a request that changes something', () => {
  const { [PAGE_HEADER]: _page, ...withoutHeader } = OWN;
  const { origin: _origin, ...withoutOrigin } = OWN;
  test.each<[string, Record<string, string>]>([
    ['without an origin', withoutOrigin],
    ['without the header of the page', withoutHeader],
    ['from another origin', { ...OWN, origin: 'http://evil.example' }],
    ['from another port', { ...OWN, origin: 'http://127.0.0.1:4712' }],
    ['from the same host over TLS', { ...OWN, origin: 'https://127.0.0.1:4711' }],
    ['from an opaque origin', { ...OWN, origin: 'null' }],
    ['from the same site, not origin', { ...OWN, 'sec-fetch-site': 'same-site' }],
  ])('%s does nothing', async (_what, headers) => {
    const { link } = newLink('/sessions');
    const response = await post('/auth/sign-in', { proof: proofOf(link) }, headers);
    expect([response.status, response.headers.get('set-cookie')]).toEqual([403, null]);
    expect((await post('/auth/sign-in', { proof: proofOf(link) })).status, 'the link is not spent').toBe(200);
  });

  test.each([{}, { proof: '' }, { proof: 7 }, { proof: 'x', path: '//evil.example' }, 'text', null, { proof: 'x'.repeat(5000) }])(
    'with %j as its body is refused',
    async (body) => {
      const { status } = await post('/auth/sign-in', body);
      expect([400, 413]).toContain(status);
    },
  );
});

describe('what somebody who is signed in reads', () => {
  test.each([
    ['of another site', 'cross-site'],
    ['of a neighbour', 'same-site'],
  ])('no page %s has them read, which would be an entry in their name', async (_what, site) => {
    const { link } = newLink('/sessions');
    const cookie = cookieOf(await post('/auth/sign-in', { proof: proofOf(link) }));
    const read = (from: string): Promise<Response> =>
      ask(`/v1/sessions/${session}/records`, { headers: { cookie, 'sec-fetch-site': from } });
    const refused = await read(site);
    expect([refused.status, ApiError.parse(await refused.json()).code]).toEqual([403, 'Forbidden']);
    const reads = async (): Promise<number> =>
      SessionDetail.parse(await (await ask(`/v1/sessions/${session}`, { headers: { cookie } })).json()).reads.length;
    expect(await reads()).toBe(0);
    for (const own of ['same-origin', 'none']) expect((await read(own)).status).toBe(200);
    expect(await reads()).toBe(1);
  });
});
