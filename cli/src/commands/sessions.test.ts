import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { AGENT, connect, type Ended, MAIN, run, type Shop, startShop, Up } from '../program.test-support.ts';

const HOSTILE = 'select \'a\u001b[2J\u202eb\u0085c\' as "c\u001b]0;x\u0007" from customers where id = 1';

let shop: Shop;
let up: Awaited<ReturnType<typeof Up.start>>;
let data: string;
/** Newest first. */
let names: string[];
beforeAll(async () => {
  shop = await startShop();
  data = shop.path('data');
  up = await Up.start(await shop.manifests(), data);
  for (const statements of [['select name, ssn from customers order by id', 'drop table tickets'], [HOSTILE]]) {
    const agent = await connect(up.ready);
    for (const sql of statements) await agent.query(sql).catch(() => undefined);
    await agent.end();
  }
  names = await up.over(2);
});
afterAll(async () => {
  await up[Symbol.asyncDispose]();
  await shop[Symbol.asyncDispose]();
});

function ask(...args: readonly string[]): Promise<Ended> {
  return run([...args, '--data', data]);
}
const newest = (): string => names[0] ?? '';
const oldest = (): string => names[1] ?? '';

describe('sessions ls', () => {
  test('is a table that scripts can cut, with and without more', async () => {
    const { code, out, err } = await ask('sessions', 'ls');
    expect([code, err]).toEqual([0, '']);
    const rows = out
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/\s+/));
    expect(rows[0]).toEqual(['NAME', 'AGENT', 'RESOURCE', 'ACTIONS', 'DENIED', 'MASKED', 'STATE', 'EVIDENCE', 'STARTED']);
    expect(rows[2]).toEqual([
      oldest(),
      'support-agent',
      'data/orders-db',
      '2',
      '1',
      '3',
      'ended',
      'received',
      expect.stringMatching(/^\d+[sm]$/),
    ]);
    const [head, first] = (await ask('sessions', 'ls', '-o', 'wide', '-A')).out.split('\n').map((line) => line.split(/\s+/));
    expect(head).toEqual(['NAMESPACE', ...(rows[0] ?? []), 'SERVICEACCOUNT', 'PROTOCOL', 'MODE', 'ENDED', 'HELD']);
    expect(first?.slice(0, 2)).toEqual(['agents', newest()]);
    expect((await ask('sessions', 'ls', '-o', 'name')).out).toBe(`${newest()}\n${oldest()}\n`);
  });

  test('takes filters and limits, and says when there is more or nothing', async () => {
    expect(await ask('sessions', 'ls', '-o', 'name', '--limit', '1')).toEqual({
      code: 0,
      out: `${newest()}\n`,
      err: '1 of 2 shown; --limit 0 for all\n',
    });
    expect(
      (
        await ask(
          'sessions',
          'ls',
          '-o',
          'name',
          '--limit',
          '0',
          '--since',
          '1h',
          '--resource',
          'data/orders-db',
          '--agent',
          'support-agent',
        )
      ).out,
    ).toBe(`${names.join('\n')}\n`);
    expect(await ask('sessions', 'ls', '--resource', 'data/other')).toEqual({ code: 0, out: '', err: 'No sessions found.\n' });
  });

  test('is the same with NO_COLOR, and quiet where its reader goes away', async () => {
    expect((await run(['sessions', 'ls', '--data', data, '-o', 'name'], { env: { NO_COLOR: '1' } })).out).toBe(
      `${names.join('\n')}\n`,
    );
    for (const verb of ['sessions ls -o name', `sessions replay ${oldest()} -o json`, `verify ${oldest()}`]) {
      const piped = await run(['-c', `set -o pipefail; "$0" "$1" ${verb} --data "$2" | head -1`, process.execPath, MAIN, data], {
        command: ['bash'],
      });
      expect([piped.code, piped.err, piped.out.trimEnd().split('\n').length], verb).toEqual([0, '', 1]);
    }
  });
});

const jsonLines = (text: string): unknown[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

describe('outputs for programs', () => {
  test('of a list are one document, or a line for each session', async () => {
    const whole = JSON.parse((await ask('sessions', 'ls', '-o', 'json')).out) as { items: unknown[] };
    expect(whole).toEqual({
      items: names.map((name) => expect.objectContaining({ name }) as unknown),
      truncated: false,
      total: 2,
    });
    expect(parse((await ask('sessions', 'ls', '-o', 'yaml')).out)).toEqual(whole);
    expect(jsonLines((await ask('sessions', 'ls', '-o', 'jsonl')).out)).toEqual(whole.items);
    expect(await ask('sessions', 'ls', '-o', 'jsonl', '--resource', 'data/other')).toEqual({ code: 0, out: '', err: '' });
  });

  test('of one session are the same document', async () => {
    const shown = JSON.parse((await ask('sessions', 'show', oldest(), '-o', 'json')).out) as unknown;
    expect(shown).toMatchObject({ name: oldest(), highWater: expect.any(Number) });
    expect(parse((await ask('sessions', 'show', oldest(), '-o', 'yaml')).out)).toEqual(shown);
  });

  test.each([
    ['a replay', () => ['sessions', 'replay', newest()]],
    ['a verification', () => ['verify', newest()]],
  ])('of %s are a sequence of the same documents', async (_, verb) => {
    const json = await ask(...verb(), '-o', 'json');
    expect(json.code).toBe(0);
    const documents = jsonLines(json.out);
    expect(documents.length).toBeGreaterThan(0);
    expect((await ask(...verb(), '-o', 'jsonl')).out).toBe(json.out);
    const yaml = (await ask(...verb(), '-o', 'yaml')).out;
    expect(yaml).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    expect(parseAllDocuments(yaml).map((each) => each.toJS() as unknown)).toEqual(documents);
  });
});

/** Ages go on. */
const words = (text: string): string => stripVTControlCharacters(text).replaceAll(/\d+[sm]\b/g, 'AGE');

test('colour is there where it is asked for, and changes no word and no width', async () => {
  for (const verb of [
    ['sessions', 'ls'],
    ['sessions', 'show', oldest()],
    ['verify', oldest()],
  ]) {
    const [with_, without] = [await ask(...verb, '--color', 'always'), await ask(...verb)];
    expect(without.out).not.toContain('\u001b');
    expect(words(with_.out)).toBe(words(without.out));
  }
  expect((await ask('verify', oldest(), '--color', 'always')).out).toContain('  \u001b[32mcomplete\u001b[0m: ');
});

describe('a name', () => {
  test('may be any unique beginning', async () => {
    const common = Array.from(newest()).findIndex((letter, at) => letter !== oldest()[at]);
    const prefix = newest().slice(0, common + 1);
    expect((await ask('sessions', 'show', prefix)).out).toContain(`Name:      ${newest()}\n`);
  });

  test('has a link to its page, and one that fits nothing has none', async () => {
    const { code, out } = await ask('console', newest().slice(0, 14));
    expect([code, out]).toEqual([0, expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/l\/[\w-]{43}\n$/)]);
    const proof = out.trim().slice(out.trim().lastIndexOf('/') + 1);
    const signedIn = await fetch(`${up.ready.collector}/auth/sign-in`, {
      method: 'POST',
      headers: { origin: up.ready.collector, 'x-chaperone-console': '1', 'content-type': 'application/json' },
      body: JSON.stringify({ proof }),
    });
    expect(await signedIn.json()).toEqual({ path: `/sessions/${newest()}` });
    expect(await ask('console', 's-nope')).toMatchObject({ code: 5, out: '', err: expect.stringContaining('no session s-nope') });
  });

  test('that fits nothing is not found', async () => {
    const unknown = names.includes('s-aaaaaaaaaaaaaaaa') ? 's-bbbbbbbbbbbbbbbb' : 's-aaaaaaaaaaaaaaaa';
    for (const verb of [['sessions', 'show'], ['sessions', 'replay'], ['verify']]) {
      const { code, out, err } = await ask(...verb, unknown);
      expect([code, out]).toEqual([5, '']);
      expect(err).toContain(`error: no session ${unknown} that you may see (NotFound)`);
    }
    const { err } = await ask('verify', unknown, '-o', 'json');
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'NotFound' } });
  });
});

describe('what was recorded', () => {
  test('is told as it happened', async () => {
    const { code, out } = await ask('sessions', 'replay', oldest());
    expect(code).toBe(0);
    for (const part of [
      /open {3}agents\/support-agent on data\/orders-db \(postgres, no TLS\), purpose "answer support tickets"/,
      /ask {4}select name, ssn from customers order by id\n {12}allow {2}\[select public\.customers by "read"\]/,
      /name \| ssn \(masked\)\n {19}Ada Lovelace \| \*{7}6789\n/,
      /done {3}SELECT 3, 3 rows, 3 values masked/,
      /deny: DROP on public\.tickets is denied by rule "never" \(DeniedByRule\) {2}\[drop public\.tickets\]/,
      /close {2}.* \(AgentClosed\); 2 actions, 1 denied, 3 values masked/,
    ])
      expect(out).toMatch(part);
    expect(out).not.toMatch(/123-45-6789|CANARY/);
    const records = (await ask('sessions', 'replay', oldest(), '-o', 'json')).out
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);
    expect([records[0], records.at(-1)]).toEqual(['session.open', 'session.close']);
  });

  test('reaches no terminal with characters that it would obey, and JSON unchanged', async () => {
    for (const flags of [[], ['-o', 'json']]) {
      const { code, out } = await ask('sessions', 'replay', newest(), ...flags);
      expect(code).toBe(0);
      expect(out).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
      expect(out).toMatch(flags.length === 0 ? /select 'a\\u\{1b\}\[2J\\u\{202e\}b/ : /select 'a\\u001b\[2J\\u202eb/);
    }
    const records = (await ask('sessions', 'replay', newest(), '-o', 'json')).out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { text?: string });
    expect(records.map(({ text }) => text)).toContain(HOSTILE);
  });
});

describe('what was recorded becomes policy', () => {
  test('of a running proxy and of an evidence file alike, and a diff judges it again', async () => {
    const [file, policy, manifests] = [shop.path('shop.evidence'), shop.path('suggested.yaml'), await shop.manifests()];
    const suggest = ['policy', 'suggest', '--agent', 'agents/support-agent'];
    const [suggested] = await Promise.all([ask(...suggest, '--since', '7d'), ask('export', '--from', '2020-01-01', '-o', file)]);
    expect([suggested.code, suggested.err]).toEqual([0, '']);
    expect(parse(suggested.out)).toMatchObject({
      metadata: { name: 'support-agent-suggested', namespace: 'agents' },
      spec: { rules: [{ name: 'select', sql: { statements: ['select'], relations: ['public.customers'] } }] },
    });
    expect(suggested.out).toContain('#   1x DROP on public.tickets, on data/orders-db, the last ');
    await writeFile(policy, suggested.out);

    const diff = (...more: readonly string[]): Promise<Ended> => run(['policy', 'diff', manifests, ...more, '--evidence', file]);
    const [again, same, opened, untold, none] = await Promise.all([
      run([...suggest, '--evidence', file]),
      diff(policy, '--labels', 'app=support-agent'),
      diff(manifests, '--labels', 'app=other', '-o', 'json'),
      diff(policy),
      diff('/nonexistent'),
    ]);
    expect(again).toEqual(suggested);
    expect([same.code, same.err]).toEqual([0, '']);
    expect(same.out).toMatch(/^2 sessions: 3 actions judged alike \(.*\), 0 otherwise, .* 0 cannot be told\.\n/);
    expect([opened.code, JSON.parse(opened.out)]).toMatchObject([0, { same: 3, differences: [] }]);
    expect([untold.code, untold.out]).toMatchObject([2, expect.stringContaining('policies select by labels') as string]);
    expect([none.code, none.out, none.err]).toEqual([2, '', expect.stringContaining('(ManifestInvalid)') as string]);
  });
});

describe('verify', () => {
  test('says complete, by the keys of the installation or by given ones', async () => {
    const said = `${oldest()}  complete: `;
    expect((await ask('verify', oldest())).out.startsWith(said)).toBe(true);
    expect((await ask('verify', oldest(), '--trust', join(data, 'trust.json'))).out).toMatch(
      / {2}complete: \d+ records, \d+ segments?, signed for agents\/support-agent; 2 actions, 1 denied, 3 values masked\n$/,
    );
    expect(JSON.parse((await ask('verify', oldest(), '-o', 'json')).out)).toMatchObject({
      session: oldest(),
      verdict: 'complete',
      segments: expect.any(Number),
    });
  });

  test('trusts no other keys', async () => {
    const other = join(shop.path('other'));
    const trust = JSON.parse(await readFile(join(data, 'trust.json'), 'utf8')) as { origin: string; enrolmentKeys: string[] };
    await writeFile(other, JSON.stringify({ ...trust, enrolmentKeys: [Buffer.alloc(32, 9).toString('base64url')] }));
    const { code, out } = await ask('verify', oldest(), '--trust', other);
    expect([code, out]).toEqual([3, expect.stringContaining('  altered: segment 0: ')]);
    await writeFile(other, 'x');
    expect(await ask('verify', oldest(), '--trust', other)).toMatchObject({
      code: 2,
      err: expect.stringContaining('is not a trust file') as string,
    });
  });

  test('wants more of a name that fits several sessions', async () => {
    // One more than there are letters: two begin alike.
    for (let at = 0; at < 33; at++) await (await connect(up.ready)).end();
    const all = await up.over(names.length + 33);
    const prefix = all.map((name) => name.slice(0, 3)).find((start, at, starts) => starts.indexOf(start) !== at) ?? '';
    const { code, out, err } = await ask('verify', prefix);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/fits more than one session; type more of it: s-[a-z2-7]{16}, s-.* \(AmbiguousName\)\n/);
  });

  test('finds a flipped byte in the data directory, says where, and exits 3, with and without a running proxy', async () => {
    const objects = join(data, 'evidence/objects/seg');
    for (const each of await readdir(objects, { recursive: true })) {
      const path = join(objects, each);
      const bytes = await readFile(path).catch(() => Buffer.alloc(0));
      if (bytes.length === 0) continue;
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
      await writeFile(path, bytes);
    }
    for (const running of [true, false]) {
      if (!running) expect((await up.signal('SIGTERM')).code).toBe(0);
      const { code, out, err } = await ask('verify', oldest());
      expect([code, err]).toEqual([3, '']);
      expect(out).toMatch(
        new RegExp(
          `^${oldest()} {2}altered: (record \\d+ in )?segment 0: .*; all before it is intact \\(\\d+ records, 0 segments\\) \\(EvidenceAltered\\)\n$`,
        ),
      );
      expect(await ask('sessions', 'replay', oldest())).toMatchObject({
        code: 3,
        out: '',
        err: expect.stringContaining('(EvidenceAltered)') as string,
      });
    }
  });

  test('is not kept from a store by an index that is damaged; one that cannot be made anew is named with what mends it', async () => {
    const index = join(data, 'evidence/index.sqlite');
    await writeFile(index, 'garbage '.repeat(1_000));
    expect(await ask('sessions', 'ls')).toMatchObject({ code: 0 });
    expect(await readFile(`${index}.damaged`, 'utf8')).toMatch(/^garbage/);
    await rm(index);
    await mkdir(index);
    const start = ['up', '--manifests', await shop.manifests(), ...AGENT, '--data', data];
    for (const { code, out, err } of [await ask('sessions', 'ls'), await run(start)]) {
      expect([code, out]).toEqual([1, '']);
      expect(err).toContain(`error: the index ${index} cannot be opened: `);
      expect(err).toMatch(/\(IndexUnreadable\)\n {2}why .*\n {2}fix {2}Mend what the message names/);
    }
  });
});
