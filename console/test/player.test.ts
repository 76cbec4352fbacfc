import type { Browser, Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { hasChromium, launch, type Site, startSite, Visits } from './browser.test-support.ts';
import { windowsInTurn, expectNothingUnseen } from './page.test-support.ts';
import { HOSTILE_OUTPUT, LARGE, type Programs, recordPrograms, SEQ_OF } from './programs-world.test-support.ts';

let browser: Browser;
let site: Site;
let programs: Programs;
beforeAll(async () => {
  if (!hasChromium) return undefined;
  [browser, site] = await Promise.all([launch(), startSite()]);
  programs = await recordPrograms(site);
  return async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
  };
});

const NETWORK = { retry: { count: 3, condition: /ERR_NETWORK_CHANGED/ } };

const visits = new Visits(
  () => browser,
  () => site,
);

async function come(path: string): Promise<Page> {
  const { page } = await visits.come({ home: path });
  await page.locator('.skeleton').waitFor({ state: 'detached' });
  return page;
}

/** Waits until the player has done what it was told. */
async function settled(page: Page): Promise<void> {
  // What was told just now is drawn with the next frame.
  await page.evaluate('new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))');
  await page.locator('.player[data-busy="false"]').waitFor({ state: 'attached' });
}

async function screenOf(page: Page): Promise<string[]> {
  await settled(page);
  const rows = await page.locator('.term-row').allTextContents();
  return rows.map((row) => row.trimEnd());
}

const clock = (page: Page): Promise<string> => page.locator('.clock').innerText();
const slider = (page: Page) => page.getByRole('slider', { name: 'Moment' });
/** Goes to a moment as a pointer does, ms since the action began. */
async function seek(page: Page, to: number): Promise<void> {
  await slider(page).evaluate((element, value) => {
    const input = element as unknown as { value: string; dispatchEvent: (event: Event) => void };
    input.value = String(value);
    input.dispatchEvent(new Event('input', { bubbles: true }));
  }, to);
  await settled(page);
}

describe.runIf(hasChromium)('the page of a session of programs', NETWORK, () => {
  test('is accessible, fits every window, hides nothing and asks nobody else', async () => {
    const expectInWindow = windowsInTurn();
    const page = await come('/sessions');
    const plain = Object.values(SEQ_OF).map((seq) => `/sessions/${programs.plain}?at=${seq}`);
    const hostile = [0, 5, 7, 8].map((at) => `/sessions/${programs.hostile}?at=${1 + 4 * at}`);
    for (const path of [`/sessions/${programs.plain}`, ...plain, ...hostile]) {
      await page.goto(`${site.url}${path}`);
      await page.locator('.skeleton').waitFor({ state: 'detached' });
      if ((await page.locator('.player').count()) > 0) await settled(page);
      await expectInWindow(page, path);
      await expectNothingUnseen(page);
    }
  });

  test('lists commands with how they ended, and files with their size', async () => {
    const page = await come(`/sessions/${programs.plain}?at=${SEQ_OF.file}`);
    const rows = page.getByRole('option');
    await rows.filter({ hasText: 'rm -rf' }).getByText('RuleDenies').waitFor();
    await rows.filter({ hasText: 'is-active' }).getByText('exit 3').waitFor();
    await rows.filter({ hasText: '/etc/nginx/nginx.conf' }).getByText('2.3 kB').waitFor();
    await rows.filter({ hasText: 'old.conf' }).getByText('failed').waitFor();
    await page.locator('#entry').getByText('SHA-256').waitFor();
  });

  test('says who approved, and shows no player where nothing ran', async () => {
    const page = await come(`/sessions/${programs.plain}?at=${SEQ_OF.held}`);
    await page.getByText('maintenance window').waitFor();
    await page.goto(`${site.url}/sessions/${programs.plain}?at=${SEQ_OF.denied}`);
    await page.getByText('Nothing was sent to the resource.').waitFor();
    await expect.poll(() => page.locator('.player').count()).toBe(0);
  });

  test('is found by the words of its commands', async () => {
    const page = await come('/sessions#q=restart%20nginx');
    await page.getByText('1 session with such a command').waitFor();
    await page.locator('.sessions tbody tr').getByRole('link').first().click();
    await page.waitForURL(`${site.url}/sessions/${programs.plain}?at=${SEQ_OF.held}`);
  });
});

const terminal = (): string => `/sessions/${programs.plain}?at=${SEQ_OF.terminal}`;

describe.runIf(hasChromium)('a player', NETWORK, () => {
  test('shows what a real program, by its own word, had on the screen', async () => {
    const page = await come(terminal());
    // It opens at the end, when the program had left and the shell's screen was back.
    expect((await screenOf(page)).filter((row) => row !== '')).toEqual(['5 services, 1 failed']);
    const left = programs.taped.pieces.find(({ bytes }) => bytes.includes('\u001b[?1049l'));
    await seek(page, Math.floor((left?.at ?? 0) - 400));
    expect(await screenOf(page)).toEqual(programs.taped.screen);
  });

  test('shows at a moment the same, whether it is played, sought from before or from behind', async () => {
    const page = await come(terminal());
    await settled(page);
    const middle = programs.taped.pieces[Math.floor(programs.taped.pieces.length / 2)]?.at ?? 0;
    await seek(page, 0);
    await seek(page, middle);
    await expect.poll(async () => (await screenOf(page)).join('\n')).toContain('checking');
    const fromBefore = await screenOf(page);
    await page.keyboard.press('9');
    await settled(page);
    await seek(page, middle);
    await expect.poll(() => screenOf(page)).toEqual(fromBefore);
    await page.getByRole('button', { name: 'Play' }).click();
    await expect.poll(() => clock(page)).toMatch(/^(\S+) \/ \1$/);
    await expect.poll(async () => (await screenOf(page)).filter((row) => row !== '')).toEqual(['5 services, 1 failed']);
  });

  test('goes by keys: play and pause, five seconds, tenths, speed', async () => {
    const page = await come(terminal());
    await settled(page);
    await page.keyboard.press('0');
    await settled(page);
    expect(await clock(page)).toMatch(/^0:00\.0 \//);
    await page.keyboard.press('>');
    await page.keyboard.press('>');
    await expect.poll(() => page.getByLabel('Speed').inputValue()).toBe('4');
    await page.keyboard.press('<');
    await expect.poll(() => page.getByLabel('Speed').inputValue()).toBe('2');
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Play' }).waitFor();
    await page.keyboard.press('ArrowRight');
    expect((await screenOf(page)).join('')).toBe('5 services, 1 failed');
    await page.keyboard.press('ArrowLeft');
    expect((await screenOf(page)).join('')).toBe('');
    await page.keyboard.press('.');
    await settled(page);
    // A blank on a button presses that button, and nothing else.
    await page.getByRole('checkbox', { name: 'Skip silence' }).focus();
    await page.keyboard.press('Space');
    await expect.poll(() => page.getByRole('checkbox', { name: 'Skip silence' }).isChecked()).toBe(false);
    await expect.poll(() => page.getByRole('button', { name: 'Play' }).isVisible()).toBe(true);
  });

  test('tells stderr from stdout, and shows what was sent when it is asked for', async () => {
    const page = await come(`/sessions/${programs.plain}?at=${SEQ_OF.lines}`);
    await settled(page);
    await expect.poll(() => page.locator('.piece.stdout').allInnerTexts()).toEqual(['active\nactive', 'failed']);
    await expect.poll(() => page.locator('.piece.stderr').innerText()).toContain('Exec format error');
    await page.goto(`${site.url}${terminal()}`);
    await settled(page);
    await expect.poll(() => page.locator('.input').count()).toBe(0);
    await page.getByRole('checkbox', { name: 'Show input' }).check();
    await expect.poll(() => page.locator('.input .recorded').innerText()).toBe('q');
  });

  test('skips silence: what took four seconds is there at once', { retry: 3 }, async () => {
    const page = await come(`/sessions/${programs.live}?at=1`);
    await settled(page);
    await page.keyboard.press('0');
    await settled(page);
    const began = performance.now();
    await page.getByRole('button', { name: 'Play' }).click();
    await page.locator('.term-row').filter({ hasText: 'second line' }).waitFor();
    expect(performance.now() - began).toBeLessThan(3_500);
  });

  test('is a chunk of its own that no other page loads', async () => {
    const page = await come('/sessions');
    const asked: string[] = [];
    page.on('request', (request) => void asked.push(request.url()));
    await page.goto(`${site.url}/sessions/${programs.plain}?at=${SEQ_OF.denied}`);
    await page.getByText('Nothing was sent').waitFor();
    expect(asked.filter((url) => url.includes('/player-'))).toEqual([]);
    await page.goto(`${site.url}${terminal()}`);
    await settled(page);
    expect(asked.filter((url) => url.includes('/player-')).length).toBe(1);
  });
});

const shown = async (name: string): Promise<{ page: Page; rows: string[] }> => {
  const page = await come(`/sessions/${programs.hostile}?at=${1 + 4 * Object.keys(HOSTILE_OUTPUT).indexOf(name)}`);
  return { page, rows: await screenOf(page) };
};

describe.runIf(hasChromium)('hostile output', NETWORK, () => {
  test.each([
    ['clipboard', 'abc', '2 writes to the clipboard'],
    ['link', 'apressb', '2 links'],
    ['title', 'ab', '2 window titles'],
    ['device queries', 'ab', '11 queries that a terminal answers'],
    ['device control', 'abcde', '2 queries that a terminal answers, 2 sequences of other kinds'],
  ])('of %s is left out and said to be', async (name, text, said) => {
    const { page, rows } = await shown(name);
    expect(rows[0]).toBe(text);
    await expect.poll(() => page.locator('.player .hidden-note').innerText()).toContain(said);
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe('');
    expect(await page.title()).not.toContain('Approved');
  });

  test('of huge counts costs nothing and ends', async () => {
    const { rows } = await shown('huge counts');
    expect(rows[0]).toContain('ok');
  });

  test('hides nothing: concealed text, black on black, marks and what turns directions are seen', async () => {
    const { page, rows } = await shown('hidden characters');
    expect(rows[0]).toBe('usergnp.exe  x  concealed black');
    await expect.poll(() => page.locator('.term-row .unseen').first().getAttribute('title')).toBe('not seen: U+202E');
    await expect.poll(() => page.locator('.term-row .concealed').innerText()).toBe('concealed');
    const marks = await shown('many marks');
    expect(marks.rows[0]).toHaveLength(9);
  });

  test('that looks like ours, or like markup, is text that nobody can press', async () => {
    const { page, rows } = await shown('looks like ours');
    expect(rows[0]).toContain('<script>window.hacked=1</script>');
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    expect(await page.locator('.player a').count()).toBe(0);
  });
});

describe.runIf(hasChromium)('a recording of more than 50 MB', NETWORK, () => {
  test('is sought to any moment in bounded memory', { timeout: 180_000 }, async () => {
    const page = await come(`/sessions/${programs.large}?at=1`);
    await settled(page);
    const cdp = await page.context().newCDPSession(page);
    const heap = async (): Promise<number> => {
      await cdp.send('HeapProfiler.collectGarbage');
      return (await cdp.send('Runtime.getHeapUsage')).usedSize;
    };
    const before = await heap();
    const lastLineAt = async (piece: number): Promise<void> => {
      await seek(page, (piece + 1) * LARGE.everyMs);
      const [line = ''] = (await screenOf(page)).filter((row) => row !== '').slice(-1);
      expect(line.split(' ')[0]).toBe(String((piece + 1) * LARGE.linesInPiece - 1));
    };
    for (const piece of [5, LARGE.pieces - 1, 400, 401, 399]) {
      await lastLineAt(piece);
      expect((await heap()) - before).toBeLessThan(40e6);
    }
  });
});
