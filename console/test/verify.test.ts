import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { members } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import type { Browser, Page } from 'playwright-core';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { TABLE } from '../../evidence/test/corpus.ts';
import { size, tree, written } from '../../evidence/test/files.ts';
import * as world from '../../evidence/test/world.ts';
import { COMPILED } from '../../cli/src/program.test-support.ts';
import { hasChromium, launch, type Site, startSite, Visits } from './browser.test-support.ts';
import { expectInEveryWindow, expectNothingUnseen } from './page.test-support.ts';
import { ask, type Session, tell, trust } from './world.test-support.ts';

/** Other tests make network namespaces, and Chromium then drops what is on its way. That alone is no fault of the page. */
const NETWORK = { retry: { count: 3, condition: /ERR_NETWORK_CHANGED/ } };
const MAIN = join(import.meta.dirname, '../../cli/src/main.ts');
const TRUST_FILE = JSON.stringify(world.TRUST);
/** A machine that does much else takes long to verify. */
const PATIENT = { timeout: 90_000 };

const told = (): Session =>
  tell({ serviceAccount: 'support-agent', resource: 'orders-db', ago: 3_600_000, segments: [ask({ text: 'SELECT 1' })] });

let browser: Browser;
let site: Site;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let [one, two]: Session[] = [];
beforeAll(async () => {
  if (!hasChromium) return undefined;
  [browser, site, directory] = await Promise.all([launch(), startSite(), temporaryDirectory('chaperone-verify-')]);
  [one, two] = [told(), told()];
  for (const { segments } of [one, two]) for (const bytes of segments) await site.collector.ingest(bytes);
  await writeFile(path('trust.json'), TRUST_FILE);
  await writeFile(path('trust.policy'), world.POLICY);
  return async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  };
});

const path = (name: string): string => join(directory.path, name);

const visits = new Visits(
  () => browser,
  () => site,
);

async function come(to = '/evidence'): Promise<Page> {
  const { page } = await visits.come({ home: to });
  await page.locator('.skeleton').waitFor({ state: 'detached' });
  if (to === '/evidence') await page.getByRole('heading', { name: 'Verify evidence in this browser' }).click();
  return page;
}

interface Brought {
  readonly trust?: string;
  readonly policy?: string;
}
async function bring(page: Page, { trust: text = TRUST_FILE, policy = world.POLICY }: Brought = {}): Promise<void> {
  await page.getByLabel('Trust file', { exact: true }).fill(text);
  await page.getByLabel('Trust policy', { exact: true }).fill(policy);
}
const pick = (page: Page, name: string, buffer: Buffer): Promise<void> =>
  page.getByLabel('Evidence file').setInputFiles({ name, mimeType: 'application/octet-stream', buffer });
const verify = (page: Page): Promise<void> => page.getByRole('button', { name: 'Verify' }).click();

/** What is said, as lines: of the file, then of each session. */
async function said(page: Page): Promise<string[]> {
  await page.locator('.verify [role=status] .mark').first().waitFor(PATIENT);
  const file = await page.locator('.verify [role=status] p').first().innerText();
  const sessions = await page.locator('.verdicts-of li').allInnerTexts();
  // Signs stand before words for eyes alone.
  return [file, ...sessions].map((line) =>
    line
      .replaceAll(/[✓⊘⚠◌] /g, '')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  );
}

/** What the program says of the same file. */
async function toldByProgram(name: string, buffer: Buffer): Promise<string[]> {
  await writeFile(path(name), buffer);
  const args = [MAIN, 'verify', name, '--policy', 'trust.policy', '--trust', 'trust.json'];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: directory.path,
    env: { ...process.env, ...COMPILED },
  }).catch((error: { stdout: string }) => error);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(' (--complete to insist on an end)', '').replaceAll(/\s+/g, ' ').trim());
}

const caseOf = (name: string): Buffer => {
  const found = TABLE.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no case ${name}`);
  return found.bytes;
};
const whole = (): Buffer => caseOf('a session, whole');
const flipped = (): Buffer => {
  const bytes = Buffer.from(whole());
  const at = bytes.lastIndexOf('CHEVSEG') + 1_000;
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  return bytes;
};
const forked = (): Buffer =>
  written([members.head(world.ORIGIN), members.checkpoint(tree.checkpoint(size, { by: [world.stranger] }))]);
const erased = world.aSession({ segments: 2 });
function erasedFile(): Buffer {
  const log = new world.World();
  const places = log.addSession(erased);
  const order = world.anErasure(erased.session);
  const entry = log.addEntry(order.leaf);
  const note = log.checkpoint();
  return written([
    members.head(world.ORIGIN),
    members.checkpoint(note),
    log.proof(entry, note),
    members.erasure(erased.session, order.leaf),
    members.order(erased.session, order.text),
    ...world.sealed(
      erased,
      places.map((place) => log.proof(place, note)),
    ),
  ]);
}

describe.runIf(hasChromium)('evidence in the browser', NETWORK, () => {
  test.each<readonly [string, () => Buffer, RegExp]>([
    ['a good file', whole, /complete: \d+ records, 4 segments/],
    ['a byte that was flipped', flipped, /altered: .*\(EvidenceAltered\)/],
    ['a file that was cut', () => whole().subarray(0, 20_000), /altered: .*the file ends within/],
    ['a log of another key', forked, /altered: log\/checkpoint: .*\(NoteUnsigned\)/],
    ['a log that was rewritten', () => caseOf('proofs of the log before it was rewritten'), /not in the log/],
    ['too few witnesses', () => caseOf('a checkpoint that one witness cosigned'), /not witnessed/],
    ['an erased session', erasedFile, /erased .* by alice@shop.test: request 4711/],
    ['a gap', () => caseOf('a session that says itself that records were dropped'), /gap declared: .*3 records dropped/],
    ['an end that is not seen', () => caseOf('a session that did not end'), /open: .*no end is seen/],
  ])('%s: the page says what the program says', async (_, bytes, expected) => {
    const page = await come();
    await bring(page);
    await pick(page, 'some.evidence', bytes());
    const asked: string[] = [];
    page.on('request', (request) => asked.push(`${request.method()} ${new URL(request.url()).pathname}`));
    await verify(page);
    const lines = await said(page);
    expect(lines).toEqual(await toldByProgram('some.evidence', bytes()));
    expect(lines.join('\n')).toMatch(expected);
    // The worker's script, and what the page asks of itself: nothing of the file goes anywhere.
    expect(
      asked.filter((each) => !/^GET \/(assets\/worker-[\w-]+\.js|v1\/ledger|v1\/events|v1\/requests.*|auth\/state)$/.test(each)),
    ).toEqual([]);
  });

  test('a session is fetched and verified, and another one in its place proves nothing', async () => {
    const page = await come(`/sessions/${one?.name}`);
    await page.getByRole('link', { name: 'Verify in this browser' }).click();
    await page.waitForURL(`${site.url}/evidence?session=${one?.name}`);
    const key = await (
      await site.collector.fetch(new Request('http://collector/v1/log/key', { headers: { authorization: 'Bearer token' } }))
    ).text();
    await bring(page, { trust: JSON.stringify(trust), policy: `log ${key.trim()}\nquorum none` });
    await verify(page);
    const lines = await said(page);
    expect(lines[0]).toMatch(
      new RegExp(`^${one?.name}.evidence sound: log test/console of \\d+ entries, cosigned by no witness`),
    );
    expect(lines.slice(1)).toEqual([
      expect.stringMatching(new RegExp(`^${one?.name} complete: .*agents/support-agent`)) as string,
    ]);
    await expectInEveryWindow(page, 'a session that was verified');
    // What was said is of the policy that was there.
    await page.getByLabel('Trust policy', { exact: true }).fill(world.POLICY);
    await page.locator('.verdicts-of').waitFor({ state: 'detached' });
    await verify(page);
    expect((await said(page))[0]).toMatch(/altered: log\/checkpoint: /);

    await bring(page, { trust: JSON.stringify(trust), policy: `log ${key.trim()}\nquorum none\n` });
    site.before = async (request) => {
      const { pathname } = new URL(request.url);
      const instead = `http://collector/v1/evidence?session=${two?.name}`;
      return pathname === '/v1/evidence'
        ? site.collector.fetch(new Request(instead, { headers: { authorization: 'Bearer token' } }))
        : undefined;
    };
    onTestFinished(() => {
      site.before = () => Promise.resolve(undefined);
    });
    await verify(page);
    const [, ...sessions] = await said(page);
    expect(sessions).toHaveLength(2);
    expect(sessions).toContain(`${one?.name} missing: the file that came holds nothing of it`);
    expect(sessions).toContainEqual(expect.stringMatching(new RegExp(`^${two?.name} complete: `)));
  });

  test('what is brought to believe is read from files or as text, and what is wrong with it is said', async () => {
    const page = await come();
    const outcome = page.locator('.verify div[role=status]').last();
    expect(await page.getByRole('button', { name: 'Verify' }).isDisabled()).toBe(true);
    await pick(page, 'x.evidence', whole());
    await page.getByLabel('Trust file, from a file').setInputFiles(path('trust.json'));
    await page.getByLabel('Trust policy, from a file').setInputFiles(path('trust.policy'));
    await verify(page);
    expect((await said(page))[0]).toMatch(/^x\.evidence sound: .*cosigned by w1, w2$/);
    for (const [brought, expected] of [
      [{ trust: '{"origin": "x"}' }, 'The trust file cannot be used: it is not {"origin": "…", "enrolmentKeys": ["…"]}'],
      [{ policy: 'log x\n' }, 'The trust policy cannot be used: line 1 of the policy: '],
    ] as const) {
      await bring(page, brought);
      await verify(page);
      await expect.poll(() => outcome.innerText(), PATIENT).toContain(expected);
    }
    await bring(page);
    await page
      .getByLabel('A checkpoint that you kept')
      .setInputFiles({ name: 'kept', mimeType: '', buffer: Buffer.from('none') });
    await verify(page);
    await expect.poll(() => outcome.innerText(), PATIENT).toContain('The checkpoint that was kept cannot be used: ');
  });

  test('names and contents of files are text, on a phone too, by keys alone', async () => {
    const page = await come();
    await bring(page);
    await pick(page, '<img src=x onerror=window.hacked=1>\u202e=1+1.evidence', erasedFile());
    await page.getByLabel('A checkpoint that you kept').focus();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    const [file = ''] = await said(page);
    expect(file).toContain('<img src=x onerror=window.hacked=1>⟨U+202E RLO⟩=1+1.evidence sound: ');
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    await expectNothingUnseen(page);
    await expectInEveryWindow(page, 'a file that was verified');
  });

  test('a large file leaves the page free, says how far it is, and is cancelled; one that is larger still is refused', async () => {
    const page = await come();
    await bring(page);
    const large = largeFile();
    expect(large.length).toBeGreaterThan(50_000_000);
    await writeFile(path('large.evidence'), large);
    await page.getByLabel('Evidence file').setInputFiles(path('large.evidence'));
    await verify(page);
    await page.getByText(/Verifying: \d+\.\d MB of 5\d\.\d MB/).waitFor(PATIENT);
    // Somebody who looks away meanwhile can.
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.locator('.verify progress').waitFor({ state: 'detached' });
    expect(await page.locator('.verdicts-of').count()).toBe(0);
    await verify(page);
    const lines = await said(page);
    expect(lines).toEqual(await toldByProgram('large.evidence', large));
    expect(lines[1]).toMatch(/complete: .*what the records say is sealed and was not looked at/);
    await writeFile(path('larger.evidence'), '');
    await truncate(path('larger.evidence'), 600_000_000);
    await page.getByLabel('Evidence file').setInputFiles(path('larger.evidence'));
    await verify(page);
    await page.getByText('It is larger than the 536.9 MB that this page takes').waitFor();
  });
});

/** A session whose segments are as large as they are, without its key. */
function largeFile(): Buffer {
  const log = new world.World();
  const made = world.aSession({
    segments: 60,
    mods: (input) => ({ ...input, records: input.records.map((record, at) => (at === 0 ? randomBytes(850 * 1024) : record)) }),
  });
  const places = log.addSession(made);
  const note = log.checkpoint();
  const proofs = places.map((place) => log.proof(place, note));
  return written([members.head(world.ORIGIN), members.checkpoint(note), ...world.sealed(made, proofs)]);
}
