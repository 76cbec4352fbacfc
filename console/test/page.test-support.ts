import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { WHOLE } from '@chaperone/testing';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
  }[];
}

/** Nothing that axe can find is wrong with what is drawn now. What it loads beforehand is for rules about media, of which there are none. */
export async function expectAccessible(page: Page, what: string): Promise<void> {
  if (!(await page.evaluate<boolean>("'axe' in window"))) await page.evaluate(AXE);
  const result = await page.evaluate<AxeResult>(
    `axe.run(document, { runOnly: ${JSON.stringify(TAGS)}, resultTypes: ['violations'], preload: false }).then(({ violations }) => ({ violations: violations.map(({ id, nodes }) => ({ id, nodes: nodes.map(({ html, failureSummary }) => ({ html, failureSummary })) })) }))`,
  );
  expect([what, result.violations]).toEqual([what, []]);
}

/** Nothing is wider than the window, so nobody scrolls sideways. */
export async function expectNoSidewaysScroll(page: Page, what: string): Promise<void> {
  const wide = await page.evaluate<string[]>(
    `(() => { const d = document.documentElement; return d.scrollWidth > d.clientWidth ? [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > d.clientWidth + 1).map((e) => e.outerHTML.slice(0, 120)).slice(0, 5) : []; })()`,
  );
  expect([what, wide]).toEqual([what, []]);
}

/** A phone and a desk, in either theme, each with a neighbour that is as wide as another; how they differ is for the style sheets alone. */
const WINDOWS = [
  { width: 320, theme: 'light', neighbour: 390 },
  { width: 1024, theme: 'dark', neighbour: 1440 },
] as const;

type Window = (typeof WINDOWS)[number];

/**
 * What is drawn now is accessible on a phone and at a desk, and fits these and wider ones. Ends at a desk.
 * @param looked - the windows that axe looks at, which takes longer than all else
 */
export async function expectInEveryWindow(page: Page, what: string, looked: readonly Window[] = WINDOWS): Promise<void> {
  for (const window of WINDOWS) {
    const { width, theme, neighbour } = window;
    await page.emulateMedia({ colorScheme: theme });
    await page.setViewportSize({ width: neighbour, height: 900 });
    await expectNoSidewaysScroll(page, `${what}, ${neighbour}`);
    await page.setViewportSize({ width, height: 900 });
    await expectNoSidewaysScroll(page, `${what}, ${width}`);
    if (looked.includes(window)) await expectAccessible(page, `${what}, ${width} ${theme}`);
  }
}

/** Many states have little of their own: axe looks at each in one window, on a phone and at a desk in turn. */
export function windowsInTurn(): (page: Page, what: string) => Promise<void> {
  let states = 0;
  return (page, what) => {
    const turn = states++ % WINDOWS.length;
    return expectInEveryWindow(page, what, WHOLE ? WINDOWS : WINDOWS.slice(turn, turn + 1));
  };
}

/** What is drawn outside of frames of recorded text hides nothing; inside, neither. */
export async function expectNothingUnseen(page: Page): Promise<void> {
  const found = await page.evaluate<string[]>(`(() => {
    const unseen = /[^\\P{C}\\n\\t]|[\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\u2800]|(?! )\\p{Zs}/u;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode())
      // An empty line is held open by a blank of ours.
      if (unseen.test(node.data) && node.data !== '\\u200b') found.push(JSON.stringify(node.data.slice(0, 80)));
    for (const element of document.querySelectorAll('[title], [aria-label]'))
      for (const name of ['title', 'aria-label']) if (unseen.test(element.getAttribute(name) ?? '')) found.push(name);
    if (unseen.test(document.title)) found.push('the title');
    return found;
  })()`);
  expect(found).toEqual([]);
}

/** What has the focus, as a reader would call it. */
export function focused(page: Page): Promise<string> {
  return page.evaluate<string>(
    `(() => { const e = document.activeElement; return (e?.id === 'entry' ? 'the chosen moment' : e?.tagName + ' ' + (e?.getAttribute('aria-label') ?? e?.closest('label')?.querySelector('span')?.textContent ?? e?.textContent ?? '').trim().replace(/\\s+/g, ' ').slice(0, 40)); })()`,
  );
}
