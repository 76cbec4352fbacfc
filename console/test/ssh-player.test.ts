import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, findProgram, hasSshd } from '@chaperone/testing';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type SshWorld, startSshWorld, Talk } from '../../cli/src/up/ssh.test-support.ts';
import { hasChromium, launch, visit, type Visit } from './browser.test-support.ts';
import { expectInEveryWindow, expectNothingUnseen } from './page.test-support.ts';

// One real session of stock ssh, recorded by chaperone up and played by its own page: a command, a refusal, a terminal that is hostile.

const POLICY = `apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ops, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  recording: {bytes: 4Mi}
  rules:
  - {name: look, effect: Allow, resource: {namespace: data, name: host}, ssh: {commands: [sh *]}}
  - {name: repair, effect: RequireApproval, resource: {namespace: data, name: host}, ssh: {shell: true}, approval: {approvers: {groups: [ops]}, timeout: 60s}}
`;
const COLOURS = `printf '\\033[1;32mactive\\033[0m nginx\\n'; printf 'mailer: not loaded\\n' >&2; sleep 1; printf '\\033[31mfailed\\033[0m mailer\\n'; exit 3\n`;
/** What must do nothing when it is shown; the terminal that it is written to answers none of it either. */
const HOSTILE = `printf 'a\\033]52;c;aGFja2Vk\\007b\\033]8;;https://evil.example/\\033\\\\press\\033]8;;\\033\\\\c\\033P+q544e\\033\\\\d\\033]0;Approved\\007e\\033[6nf <b>bold</b>\\n'
`;
const LONG = `head -c 1000000 /dev/zero | tr '\\0' x; printf '\\nlong line over\\n'\n`;

describe.runIf(hasChromium && hasSshd && findProgram('script') !== undefined)('a real session of ssh', () => {
  let world: SshWorld;
  let browser: Browser;
  let visited: Visit;
  let page: Page;
  let session: string;
  let url: string;
  let seqOf: Record<'colours' | 'denied' | 'terminal', number>;

  beforeAll(async () => {
    [browser, world] = await Promise.all([launch(), startSshWorld(['host'], () => POLICY)]);
    await record();
    const link = new URL(world.console);
    url = link.origin;
    visited = await visit(browser, { url });
    page = visited.page;
    await page.goto(link.href);
    await page.waitForURL(`${url}/requests`);
  });
  afterAll(async () => {
    await visited?.context.close();
    await browser?.close();
    await world?.[Symbol.asyncDispose]();
  });

  /** All of it over one connection, as ControlMaster shares it. */
  async function record(): Promise<void> {
    const file = (name: string): string => join(world.sshd.directory, name);
    await Promise.all(
      Object.entries({ colours: COLOURS, hostile: HOSTILE, long: LONG }).map(([name, text]) => writeFile(file(name), text)),
    );
    const shared = ['ControlMaster=auto', `ControlPath=${join(world.folder, 'shared')}`, 'ControlPersist=30', 'BatchMode=yes'];
    const to = world.to('host', ...shared.flatMap((option) => ['-o', option]));
    expect((await new Talk('ssh', [...to, `sh ${file('colours')}`]).ended).code).toBe(3);
    expect((await new Talk('ssh', [...to, 'rm -rf /srv']).ended).code).toBe(126);
    const resize = join(world.folder, 'resize');
    const later = `(until [ -e ${resize} ]; do sleep 0.1; done; stty rows 20 cols 100 </dev/tty) &`;
    const agent = new Talk('script', ['-qfec', `stty rows 12 cols 80; ${later} exec ssh -tt ${to.join(' ')}`, '/dev/null'], {
      SHELL: '/bin/sh',
      TERM: 'xterm',
    });
    await agent.says('waiting for approval');
    await world.approve('shell');
    await agent.says('this terminal is recorded');
    agent.type(`PS1='$ '; clear; sh ${file('hostile')}\r`);
    await agent.says('</b>');
    await writeFile(resize, '');
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    agent.type(`clear; stty size; sh ${file('long')}\r`);
    await agent.says('long line over\r\n');
    agent.type('exit 0\r');
    await agent.ended;
    await new Talk('ssh', ['-O', 'exit', ...to]).ended;
    const records = await eventually('its records', async () => {
      const [newest = []] = await world.records();
      return newest.filter(({ type }) => type === 'action').length === 3 && newest.at(-1)?.['type'] === 'session.close'
        ? newest
        : undefined;
    });
    session = String(records[0]?.['session']);
    const [colours, denied, terminal] = records.filter(({ type }) => type === 'action').map(({ seq }) => Number(seq));
    seqOf = { colours: colours ?? 0, denied: denied ?? 0, terminal: terminal ?? 0 };
  }

  const settled = async (): Promise<void> => {
    await page.evaluate('new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))');
    await page.locator('.player[data-busy="false"]').waitFor({ state: 'attached', timeout: 30_000 });
  };
  const come = async (what: keyof typeof seqOf): Promise<void> => {
    await page.goto(`${url}/sessions/${session}?at=${seqOf[what]}`);
    await page.locator('.skeleton').first().waitFor({ state: 'detached' });
    if (what !== 'denied') await settled();
  };
  const screen = async (): Promise<string> => {
    await settled();
    return (await page.locator('.term-row').allTextContents()).map((row) => row.trimEnd()).join('\n');
  };
  const seek = async (key: string): Promise<void> => {
    await page.keyboard.press(key);
    await settled();
  };

  /** Goes from moment to moment until that is shown. */
  const stepTo = async (shown: () => Promise<string[]>, what: string): Promise<string> => {
    for (let steps = 0; steps < 100; steps++) {
      await seek('.');
      const text = (await shown()).join('');
      if (text.includes(what)) return text;
    }
    throw new Error(`${what} is never shown`);
  };

  test('lists what was allowed, refused and approved, with lines that were entered', async () => {
    await come('denied');
    const rows = page.getByRole('option');
    await rows.filter({ hasText: 'sh /' }).filter({ hasText: 'exit 3' }).first().waitFor();
    await rows.filter({ hasText: 'rm -rf /srv' }).getByText('NoRuleAllows').waitFor();
    await rows.filter({ hasText: 'entered, best effort' }).filter({ hasText: 'clear; stty size' }).waitFor();
    await page.getByText('Nothing was sent to the resource.').waitFor();
    await expect.poll(() => page.locator('.player').count()).toBe(0);
    await expectInEveryWindow(page, 'a refusal');
    await rows.filter({ hasText: 'entered, best effort' }).first().click();
    await page.getByText('It is not proof of what ran').waitFor();
    await expectInEveryWindow(page, 'an entered line');
  });

  test('is taken away as an asciicast that does nothing to who looks at the file', async () => {
    await come('denied');
    const taking = page.getByRole('button', { name: 'Terminal as asciicast' }).click();
    const [download] = await Promise.all([page.waitForEvent('download'), taking]);
    expect(download.suggestedFilename()).toBe(`${session}.cast`);
    const text = await readFile(await download.path(), 'utf8');
    const [head, ...events] = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(head).toMatchObject({ version: 3, title: expect.stringContaining(session) });
    expect(events).toContainEqual([expect.any(Number), 'm', 'denied: rm -rf /srv']);
    expect(events).toContainEqual([expect.any(Number), 'r', '100x20']);
    const shown = events.filter((event): event is [number, string, string] => Array.isArray(event) && event[1] === 'o');
    expect(shown.map(([, , output]) => output).join('')).toContain('long line over');
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{C}\u2028\u2029]/u);
  });

  test('plays a command with both streams, each piece at its time', async () => {
    await come('colours');
    await expect.poll(() => page.locator('.piece.stderr').innerText()).toContain('mailer: not loaded');
    expect((await page.locator('.piece.stdout').allInnerTexts()).join('')).toContain('failed');
    await seek('0');
    const before = await stepTo(() => page.locator('.piece').allInnerTexts(), 'nginx');
    expect(before).not.toContain('failed');
    await expectInEveryWindow(page, 'a command');
    await expectNothingUnseen(page);
  });

  test('plays a terminal: what was there at its time, at its size, and nothing of it acts', async () => {
    await come('terminal');
    await page.locator('#entry').getByText('approved', { exact: false }).first().waitFor();
    await seek('0');
    expect(await stepTo(async () => [await screen()], '</b>')).toContain('abpresscdef <b>bold</b>');
    const left = await page.locator('.player .hidden-note').innerText();
    for (const what of ['1 write to the clipboard', '2 links', 'window title', '2 queries that a terminal answers'])
      expect(left).toContain(what);
    await expect.poll(() => page.locator('.term-row').count()).toBe(12);
    await expectInEveryWindow(page, 'a hostile terminal');
    await seek('9');
    await come('terminal');
    const end = await screen();
    expect(end).toContain('long line over');
    await expect.poll(() => page.locator('.term-row').count()).toBe(20);
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe('');
    expect(await page.title()).not.toContain('Approved');
    expect(await page.locator('.player a').count()).toBe(0);
    await page.getByRole('checkbox', { name: 'Show input' }).check();
    await expect.poll(() => page.locator('.input').innerText()).toMatch(/•/);
    await expectInEveryWindow(page, 'a terminal of a long line');
    expect(visited.faults).toEqual([]);
  });
});
