import type { AccessRequest } from '@chaperone/api';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Access } from '../access.ts';
import { type Collector, createCollector } from '../collector.ts';
import { PAGE_HEADER } from '../console/cookies.ts';
import { LinkSignIn } from '../console/sign-in.ts';
import { SIGNED_IN_MS } from '../console/browser-sessions.ts';
import { silent, trust } from '../evidence.fixture.ts';
import { aRequest, Requests } from './requests.fixture.ts';
import { RequestRefused, type RequestSource } from './source.ts';

const HOME = 'http://127.0.0.1:4711';
const OWN = { origin: HOME, [PAGE_HEADER]: '1', 'content-type': 'application/json' };
const file = { type: 'text/html', bytes: Buffer.from('page'), hashed: false };

let now: number;
let rights: Set<string>;
let requests: Requests;
let decided: string[];
let unanswered: number;
/** Questions about rights. */
let asked: number;
let signIn: LinkSignIn;
let collector: Collector;
let own: AccessRequest;
let other: AccessRequest;

/** Who signs in is mira, who may get what `rights` says. */
const access: Access = {
  authorise: () => Promise.resolve({ refused: 'nobody has a token here' }),
  allowed: ({ user }, verb, namespace, resource) => {
    asked++;
    if (!rights.has('broken')) return Promise.resolve(rights.has(`${user} ${verb} ${resource} ${namespace}`));
    unanswered++;
    return Promise.reject(new Error('no answer'));
  },
};

async function open(desk?: RequestSource['desk']): Promise<void> {
  const directory = await temporaryDirectory();
  const source: RequestSource = {
    list: () => requests.list(),
    watch: (tell) => requests.watch(tell),
    viewer: (identity) => identity,
    ...(desk === undefined ? {} : { desk }),
  };
  collector = await createCollector({
    directory: directory.path,
    trust,
    access,
    logger: silent,
    requests: source,
    console: { files: { index: file, files: new Map() }, signIn, now: () => now },
  });
}

beforeEach(async () => {
  now = 1_000_000;
  rights = new Set(['mira get accessrequests agents']);
  requests = new Requests();
  decided = [];
  unanswered = 0;
  asked = 0;
  signIn = new LinkSignIn(() => now);
  own = requests.put(aRequest());
  other = requests.put(aRequest({ namespace: 'secret' }));
  await open();
  return () => collector.close();
});

const ask = async (path: string, init: RequestInit = {}): Promise<Response> =>
  collector.fetch(new Request(`${HOME}${path}`, init));
async function signedIn(user = 'mira'): Promise<string> {
  const { link } = signIn.newLink({ identity: { user, groups: ['dba'] }, path: '/requests' });
  const body = JSON.stringify({ proof: link.slice('/l/'.length) });
  const response = await ask('/auth/sign-in', { method: 'POST', headers: OWN, body });
  return (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
}
const pathOf = ({ metadata }: AccessRequest): string => `/v1/requests/${metadata.namespace}/${metadata.name}`;

/** What a stream has told so far, and whether it has ended. */
async function follow(cookie: string): Promise<{ names(): string[]; text(): string; isEnded(): boolean; stop(): Promise<void> }> {
  const response = await ask('/v1/requests?watch=1', { headers: { cookie } });
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
  let [text, ended] = ['', false];
  const read = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += Buffer.from(value).toString();
    }
    ended = true;
  };
  void read();
  await eventually('what there is', () => (text.includes('event: settled') ? true : undefined));
  return {
    names: () =>
      [...text.matchAll(/^event: request\nid: .*\ndata: (.*)$/gm)].map(
        ([, json = '']) => (JSON.parse(json) as AccessRequest).metadata.name,
      ),
    text: () => text,
    isEnded: () => ended,
    stop: () => reader.cancel(),
  };
}

describe('what somebody may not get', () => {
  test('is in no list, and is not there', async () => {
    const cookie = await signedIn();
    const { items } = (await (await ask('/v1/requests', { headers: { cookie } })).json()) as { items: AccessRequest[] };
    expect(items).toEqual([own]);
    expect((await ask(pathOf(own), { headers: { cookie } })).status).toBe(200);
    const hidden = await ask(pathOf(other), { headers: { cookie } });
    const missing = await ask('/v1/requests/secret/ar-7f3kq2mzt4hcnw5e', { headers: { cookie } });
    expect([hidden.status, missing.status]).toEqual([404, 404]);
    expect(((await hidden.json()) as { message: string }).message).toBe(`no request ${other.metadata.name} is known here`);
  });

  test('is asked of each event again: a right that is taken ends what is told', async () => {
    const events = await follow(await signedIn());
    expect(events.names()).toEqual([own.metadata.name]);
    const [second, third, hidden] = [aRequest(), aRequest(), aRequest({ namespace: 'secret' })];
    requests.put(hidden);
    requests.put(second);
    await eventually('the second', () => (events.names().length === 2 ? true : undefined));
    rights.delete('mira get accessrequests agents');
    requests.put(third);
    rights.add('mira get accessrequests secret');
    requests.put(other);
    await eventually('what may be seen by now', () => (events.names().includes(other.metadata.name) ? true : undefined));
    expect(events.names()).toEqual([own.metadata.name, second.metadata.name, other.metadata.name]);
    await events.stop();
  });

  test('is not told either where nobody knows whether they may', async () => {
    const events = await follow(await signedIn());
    rights.add('broken');
    const hidden = requests.put(aRequest());
    await eventually('the question', () => (unanswered === 1 ? true : undefined));
    rights.delete('broken');
    const last = requests.put(aRequest());
    await eventually('the last', () => (events.names().includes(last.metadata.name) ? true : undefined));
    expect(events.names()).not.toContain(hidden.metadata.name);
    expect(events.text()).not.toContain('no answer');
    await events.stop();
  });
});

test('a list asks once for each namespace', async () => {
  for (let each = 0; each < 10; each++) requests.put(aRequest());
  const { items } = (await (await ask('/v1/requests', { headers: { cookie: await signedIn() } })).json()) as { items: unknown[] };
  expect([items.length, asked]).toEqual([11, 2]);
});

describe('a stream', () => {
  test('is one of eight that somebody may follow, whoever else follows how many', async () => {
    const cookie = await signedIn('nobody');
    const watch = (): Promise<Response> => ask('/v1/requests?watch=1', { headers: { cookie } });
    const streams = await Promise.all(Array.from({ length: 8 }, watch));
    expect(streams.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
    const refused = await watch();
    expect([refused.status, await refused.json()]).toEqual([
      503,
      { code: 'LimitReached', message: 'you watch in 8 places already' },
    ]);
    const events = await follow(await signedIn());
    await streams[0]?.body?.cancel();
    const next = await watch();
    expect(next.status).toBe(200);
    for (const each of [...streams.slice(1), next]) await each.body?.cancel();
    await events.stop();
    expect(requests.watchers).toBe(0);
  });

  test('begins with who listens and ends with what there is and the clock', async () => {
    const events = await follow(await signedIn());
    const kinds = [...events.text().matchAll(/^event: (.*)$/gm)].map(([, kind]) => kind);
    expect(kinds).toEqual(['viewer', 'request', 'settled']);
    expect(events.text()).toContain(`data: {"user":"mira","groups":["dba"],"decides":false,"now":${now}}`);
    await events.stop();
  });

  test('ends with signing out, at once', async () => {
    const cookie = await signedIn();
    const events = await follow(cookie);
    await ask('/auth/sign-out', { method: 'POST', headers: { ...OWN, cookie }, body: '{}' });
    await eventually('the end', () => (events.isEnded() ? true : undefined));
    expect(requests.watchers).toBe(0);
    requests.put(aRequest());
    expect(events.names()).toEqual([own.metadata.name]);
  });

  test('ends with the time of the sign-in, before anything more is told', async () => {
    const events = await follow(await signedIn());
    now += SIGNED_IN_MS;
    requests.put(aRequest());
    await eventually('the end', () => (events.isEnded() ? true : undefined));
    expect(events.names()).toEqual([own.metadata.name]);
    expect((await ask('/v1/requests')).status).toBe(401);
  });
});

const PATHS = { decisions: { decision: 'Approve' }, revocations: {} } as const;
type What = keyof typeof PATHS;

const send = async (mods: Record<string, string | undefined>, request = own, what: What = 'decisions'): Promise<Response> => {
  const all: Record<string, string | undefined> = { ...OWN, cookie: await signedIn(), ...mods };
  const headers = Object.fromEntries(Object.entries(all).filter((each): each is [string, string] => each[1] !== undefined));
  const body = JSON.stringify({ requestUid: own.metadata.uid, digest: own.spec.digest, ...PATHS[what] });
  return ask(`${pathOf(request)}/${what}`, { method: 'POST', headers, body });
};

describe.each(Object.keys(PATHS) as What[])('of %s, one', (what) => {
  const desk: RequestSource['desk'] = {
    content: () => ({}),
    decide: ({ metadata }, { decision }, { user }) => {
      decided.push(`${user} ${decision} ${metadata.name}`);
      throw new RequestRefused(410, 'RequestExpired', 'too late');
    },
    revoke: ({ metadata }, _, { user }) => {
      decided.push(`${user} Revoke ${metadata.name}`);
      throw new RequestRefused(410, 'RequestExpired', 'too late');
    },
  };
  test('that a page sends is taken as the signed-in person’s, and the desk’s no is given back', async () => {
    await collector.close();
    await open(desk);
    const response = await send({}, own, what);
    expect([response.status, await response.json()]).toEqual([410, { code: 'RequestExpired', message: 'too late' }]);
    expect(decided).toEqual([`mira ${what === 'decisions' ? 'Approve' : 'Revoke'} ${own.metadata.name}`]);
  });

  test.each<[string, Record<string, string | undefined>, number]>([
    ['without a sign-in', { cookie: undefined }, 401],
    ['with a cookie that somebody planted', { cookie: `chaperone-4711=${'A'.repeat(43)}` }, 401],
    ['without an origin', { origin: undefined }, 403],
    ['without the header of the page', { [PAGE_HEADER]: undefined }, 403],
    ['from another origin', { origin: 'http://evil.example' }, 403],
    ['from another port of this machine', { origin: 'http://127.0.0.1:4712' }, 403],
    ['from an opaque origin', { origin: 'null' }, 403],
    ['from the same site, not origin', { 'sec-fetch-site': 'same-site' }, 403],
    ['that proves itself by a token that is none', { authorization: 'Bearer x', origin: 'http://evil.example' }, 401],
    ['as a form', { 'content-type': 'application/x-www-form-urlencoded' }, 415],
    ['as a text that a form may send', { 'content-type': 'text/plain' }, 415],
  ])('%s decides nothing', async (_, headers, status) => {
    await collector.close();
    await open(desk);
    expect([(await send(headers, own, what)).status, decided]).toEqual([status, []]);
  });

  test('on what somebody may not get is about nothing', async () => {
    await collector.close();
    await open(desk);
    expect([(await send({}, other, what)).status, decided]).toEqual([404, []]);
  });

  test('is not taken where requests are only read', async () => {
    const response = await send({}, own, what);
    expect([response.status, await response.json()]).toEqual([
      404,
      { code: 'NotFound', message: 'requests are read here, and answered elsewhere' },
    ]);
  });
});
