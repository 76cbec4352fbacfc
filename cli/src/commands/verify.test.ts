import { createHash } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatVerifierKey, generateSigner, KEY_TYPE, verifierKey } from '@chaperone/evidence';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Ended, run, type Shop, startShop, Up } from '../program.test-support.ts';

const ROOT = join(import.meta.dirname, '../../..');

let shop: Shop;
let data: string;
/** Newest first. */
let names: string[];
let place: string;
/** As whom an auditor reads, beside the collector. */
let recipient: string;
const at = (name: string): string => join(place, name);

/** Two sessions, and a checkpoint that was kept between them. */
beforeAll(async () => {
  shop = await startShop();
  data = shop.path('data');
  place = (await shop.manifests()).replace(/\/shop$/, '');
  recipient = (await run(['identity', '--key', at('auditor.key'), '--new'])).out.trim();
  await using up = await Up.start(await shop.manifests(), data, '--recipient', recipient);
  for (const known of [1, 2]) {
    const agent = await connect(up.ready);
    await agent.query('select name, ssn from customers order by id');
    await agent.end();
    names = await up.over(known);
    if (known === 1) await writeFile(at('kept'), (await ask('log', 'checkpoint')).out);
  }
  const key = (await ask('log', 'key')).out;
  await writeFile(at('trust.policy'), `log ${key}quorum none\n`);
  await writeFile(at('trust.json'), await readFile(join(data, 'trust.json')));
  await up.signal('SIGTERM');
});
afterAll(() => shop[Symbol.asyncDispose]());

const ask = (...args: readonly string[]): Promise<Ended> => run([...args, '--data', data]);
/** Offline: nothing but the files beside it. */
const verify = (file: string, ...more: readonly string[]): Promise<Ended> =>
  run(['verify', at(file), '--policy', at('trust.policy'), '--trust', at('trust.json'), ...more]);

describe('an exported session', () => {
  test('is one file that proves itself offline, by both verifiers', async () => {
    const [session = ''] = names;
    const exported = await ask('export', '--session', session.slice(0, 8), '-o', at('one.evidence'));
    expect(exported).toMatchObject({ code: 0, err: '' });
    expect(exported.out).toMatch(
      /^\S+one\.evidence: 1 session, \d segments?, 0\.0 MB\nit holds the data key of 1 session: whoever has the file reads what was recorded\n$/,
    );
    expect((await stat(at('one.evidence'))).mode & 0o777).toBe(0o600);
    expect(await verify('one.evidence')).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(
        new RegExp(
          `^\\S+one\\.evidence  sound: log local/\\w+ of \\d+ entries, cosigned by no witness\n${session}  complete: .*\n$`,
        ),
      ) as string,
    });
    const other = await run([], {
      command: [
        process.execPath,
        join(ROOT, 'evidence/verifier/verify.mjs'),
        at('one.evidence'),
        '--policy',
        at('trust.policy'),
        '--trust',
        at('trust.json'),
      ],
    });
    expect(other.code).toBe(0);
    expect(JSON.parse(other.out)).toMatchObject({ sessions: [{ session, verdict: 'complete', contents: 'verified' }] });
  });

  test('is never written over what is there, and says in JSON what it is', async () => {
    const [session = ''] = names;
    const args = ['export', '--session', session, '-o', at('again.evidence'), '--output', 'json'];
    const said = JSON.parse((await ask(...args)).out) as Record<string, unknown>;
    const bytes = await readFile(at('again.evidence'));
    expect(said).toEqual({
      file: at('again.evidence'),
      bytes: bytes.length,
      sessions: 1,
      segments: expect.any(Number) as number,
      keys: 1,
      wrapped: 0,
      digest: createHash('sha256').update(bytes).digest('hex'),
    });
    expect(await ask(...args)).toMatchObject({ code: 2, err: expect.stringContaining('is there already') as string });
    expect((await readdir(place)).filter((name) => name.endsWith('.partial'))).toEqual([]);
  });

  test('goes to standard output where that is asked for', async () => {
    const ended = await ask('export', '--session', names[0] ?? '', '-o', '-');
    expect(ended.out).toMatch(/^evidence\.json\0/);
    expect(ended.err).toMatch(/^-: 1 session/);
  });
});

describe('an exported period', () => {
  test('has all entries of the log in it, and says since when it is append-only', async () => {
    const args = ['export', '--from', '2026-01-01', '--since', at('kept'), '-o', at('all.evidence')];
    expect((await ask(...args)).out).toMatch(/all\.evidence: 2 sessions, \d segments, entries 0 to \d of the log, /);
    const found = await verify('all.evidence', '--since', at('kept'));
    expect(found.code).toBe(0);
    expect(found.out).toMatch(
      /every entry from 0 to \d is here, of 2\S+Z to 2\S+Z; append-only since the \d entr(?:y|ies) of the kept checkpoint; \d entr(?:y|ies) of who read evidence\n/,
    );
    expect(found.out.match(/ {2}complete: /g)).toHaveLength(2);
    const lines = (await verify('all.evidence', '--since', at('kept'), '-o', 'json')).out.trimEnd().split('\n');
    const documents = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(documents[0]).toMatchObject({
      verdict: 'sound',
      log: { quorum: 'met', since: { verdict: 'append-only' } },
    });
    expect(documents.slice(1).map(({ verdict }) => verdict)).toEqual(['complete', 'complete']);
  });

  test('has the population that a report from the collector has, and no network is used for it', async () => {
    const live = await ask('report', 'population', '--from', '2026-01-01', '-o', 'csv');
    const believed = ['--policy', at('trust.policy'), '--trust', at('trust.json')];
    const offline = await run(['report', 'population', at('all.evidence'), ...believed, '-o', 'csv']);
    expect([live.code, offline.code, offline.out]).toEqual([0, 0, live.out]);
    expect(live.out.match(/,complete,agents,support-agent,/g)).toHaveLength(2);
    const digests = /digest of these rows: \w{64}\ndigest of the population.*\w{64}\n/;
    expect(digests.exec(offline.err)?.[0]).toBe(digests.exec(live.err)?.[0]);
    const empty = await ask('report', 'gaps', '--from', '2026-01-01', '--to', '2026-01-02');
    expect([empty.code, empty.err]).toEqual([5, expect.stringContaining('nothing was stored in this time') as string]);
  });

  test('without evidence is not found', async () => {
    const none = await ask('export', '--from', '2026-01-01', '--to', '2026-01-02', '-o', at('none.evidence'));
    expect(none).toMatchObject({ code: 5, err: expect.stringContaining('nothing was stored in this time') as string });
    expect((await readdir(place)).filter((name) => name.startsWith('none'))).toEqual([]);
  });
});

test('exit codes tell what is altered from what is missing and what is not proven', async () => {
  const [session = ''] = names;
  await ask('export', '--session', session, '-o', at('whole'));
  const whole = await readFile(at('whole'));
  const changed = async (change: (bytes: Buffer) => Buffer, ...more: readonly string[]): Promise<Ended> => {
    await writeFile(at('changed'), change(Buffer.from(whole)));
    return verify('changed', ...more);
  };
  const altered = await changed((bytes) => {
    const within = bytes.indexOf('CHEVSEG') + 300;
    bytes.writeUInt8(bytes.readUInt8(within) ^ 1, within);
    return bytes;
  });
  expect([altered.code, altered.out]).toEqual([3, expect.stringContaining(`${session}  altered: segment 0: `)]);
  const cut = await changed((bytes) => bytes.subarray(0, -512));
  expect([cut.code, cut.out]).toEqual([3, expect.stringContaining('(MalformedBundle); nothing is said of its sessions')]);
  const head = whole.subarray(0, whole.indexOf(`key/${session}`));
  const empty = await changed(() => Buffer.concat([head, Buffer.alloc(1024)]));
  expect([empty.code, empty.out]).toEqual([8, expect.stringContaining('empty: it holds no evidence (EvidenceIncomplete)')]);
  expect((await verify('whole', '--since', at('kept'))).code).toBe(9);
  const key = (await readFile(at('trust.policy'), 'utf8')).split('\n')[0] ?? '';
  const witness = verifierKey('w.example', KEY_TYPE.cosignature, generateSigner().publicKey);
  await writeFile(at('stricter'), `${key}\nwitness w ${formatVerifierKey(witness)}\nquorum w\n`);
  const stricter = await run(['verify', at('whole'), '--policy', at('stricter'), '--trust', at('trust.json')]);
  expect([stricter.code, stricter.err]).toEqual([9, '']);
  expect(stricter.out).toMatch(new RegExp(`whole  not witnessed: .*\n${session}  not witnessed: `));
  const json = await run(['verify', at('whole'), '--policy', at('stricter'), '--trust', at('trust.json'), '-o', 'json']);
  expect(json.out.trimEnd().split('\n')).toEqual([
    expect.stringContaining('"not witnessed"'),
    expect.stringContaining('"not witnessed"'),
  ]);
  expect(json.out).not.toContain('sound');
});

describe('a file whose keys were wrapped', () => {
  test('is read by the auditor’s own key alone, and proven by everybody', async () => {
    const exported = await ask('export', '--from', '2026-01-01', '--wrapped', '-o', at('wrapped.evidence'));
    expect(exported.out).toMatch(/\nit holds the data keys of 2 sessions, wrapped: whoever they were wrapped to reads /);
    const file = await readFile(at('wrapped.evidence'), 'utf8');
    expect(file).toContain(`"recipient":"${recipient}"`);
    expect(file).not.toContain('key/s-');
    const sealed = await verify('wrapped.evidence');
    expect([sealed.code, sealed.out.match(/complete: .* sealed and was not looked at\n/g)?.length]).toEqual([0, 2]);
    const read = await verify('wrapped.evidence', '--identity', at('auditor.key'));
    expect([read.code, read.out.match(/complete: /g)?.length, read.out]).toEqual([0, 2, expect.not.stringContaining('sealed')]);
    await run(['identity', '--key', at('other.key'), '--new']);
    expect((await verify('wrapped.evidence', '--identity', at('other.key'))).out).toEqual(sealed.out);
    const report = ['report', 'access', at('wrapped.evidence'), '--policy', at('trust.policy'), '--trust', at('trust.json')];
    expect((await run(report)).out).toMatch(/not read: the records of 2 sessions/);
    const rows = await run([...report, '--identity', at('auditor.key'), '-o', 'csv']);
    expect([rows.code, rows.out]).toEqual([0, expect.stringContaining('select') as string]);
  });

  test.each([
    ['that is none', 'garbage\n', 2, 'has something else than keys'],
    ['that is empty', '\n', 2, 'has something else than keys'],
    ['that is a key of Vault without TLS', 'http://vault.corp/v1/transit/keys/a\n', 2, 'has something else than keys'],
    ['that is another place', 'https://vault.corp/v1/../sys/x\n', 2, 'a key of Vault is written'],
  ])('is not tried with a key %s, of which nothing is repeated', async (_, text, code, words) => {
    await writeFile(at('bad.key'), text);
    const ended = await verify('wrapped.evidence', '--identity', at('bad.key'));
    expect([ended.code, ended.err]).toEqual([code, expect.stringContaining(words) as string]);
    expect(ended.err).not.toContain('garbage');
  });
});

test('an erased session says who ordered it, when and why, what is proven all the same, and claims no more than it does', async () => {
  const [session = ''] = names;
  const erased = await ask('erase', session, '--reason', 'request 4711');
  expect(erased).toMatchObject({
    code: 0,
    out: expect.stringMatching(
      /destroyed here with all that it was wrapped to.* still reads what was recorded \(entry/,
    ) as string,
  });
  expect(erased.out).not.toMatch(/nobody|gone/);
  const objects = join(data, 'evidence/objects');
  expect(await readdir(join(objects, 'keys'))).not.toContain(session);
  // What left before is not reached.
  const read = await verify('wrapped.evidence', '--identity', at('auditor.key'));
  expect(read.out).toMatch(new RegExp(`${session}  complete: [^\n]* 0 denied[^\n]*(?<!not looked at)\n`));
  expect((await ask('export', '--session', session, '--wrapped', '-o', at('late'))).out).not.toContain('wrapped');
  const late = await verify('late', '--identity', at('auditor.key'));
  expect(late.out).toMatch(/erased .*: headers and counts are proven, what was recorded cannot be read from here\n/);
  const said =
    /complete: .*; erased 2\S+Z by local: request 4711 \(entry \d+ of the log\): headers and counts are proven, what was recorded cannot be read from here\n/;
  expect((await ask('verify', session)).out).toMatch(said);
  expect((await ask('export', '--session', session, '-o', at('erased'))).out).not.toContain('data key');
  expect(await verify('erased')).toMatchObject({ code: 0, err: '', out: expect.stringMatching(said) as string });
});

test('an index is built again from the store alone, and what is damaged there is named', async () => {
  const list = async (): Promise<string> => (await ask('sessions', 'ls', '-o', 'json')).out;
  const before = await list();
  await writeFile(join(data, 'evidence/index.sqlite'), '');
  expect((await ask('log', 'reindex')).out).toMatch(/^the index was built from \d segments\n$/);
  expect(await list()).toEqual(before);
  const folder = join(data, 'evidence/objects/seg');
  const [name = ''] = (await readdir(folder, { recursive: true })).filter((each) => each.length > 60);
  const bytes = await readFile(join(folder, name));
  bytes.writeUInt8(bytes.readUInt8(900) ^ 1, 900);
  await writeFile(join(folder, name), bytes);
  const { code, out } = await ask('log', 'reindex');
  expect([code, out]).toEqual([3, expect.stringContaining(`${name.slice(3)} is damaged (PayloadAltered)\n`)]);
});
