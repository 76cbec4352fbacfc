import { readFile, readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileFindings, fileWord, parsePolicy, sessionFindings, verifyEvidence } from '@chaperone/evidence';
import { WHOLE } from '@chaperone/testing';
import type { Browser, Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { FLIPS, TABLE } from '../../evidence/test/corpus.ts';
import type { Case } from '../../evidence/test/files.ts';
import { POLICY, TRUST } from '../../evidence/test/world.ts';
import { hasChromium, launch } from './browser.test-support.ts';

/*
 * The worker, as it was built, in a browser that has nothing of Node: it says of every file of the corpus, to the letter, what the program
 * says, and of those with a bit changed for one in eight, but in `make soak`. evidence/test/verifiers.test.ts holds what the program says of
 * each against the other verifier and against what is expected.
 */
const CASES: readonly Case[] = [...TABLE, ...FLIPS.filter((_, at) => WHOLE || at % 8 === 0)];
const ASSETS = join(import.meta.dirname, '../dist/assets');
const NETWORK = { retry: { count: 3, condition: /ERR_NETWORK_CHANGED|Failed to fetch/ } };

let browser: Browser;
let page: Page;
beforeAll(async () => {
  if (!hasChromium) return undefined;
  const name = (await readdir(ASSETS)).find((each) => each.startsWith('worker-')) ?? '';
  const worker = await readFile(join(ASSETS, name));
  const server = createServer((request, response) => {
    const [, kind = '', number = ''] = (request.url ?? '').split('/');
    const each = CASES[Number(number)];
    if (kind === 'worker.js') response.writeHead(200, { 'content-type': 'text/javascript' }).end(worker);
    else if (kind === 'case') response.end(each?.bytes);
    else if (kind === 'since') response.end(each?.since);
    else response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>corpus</title>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  browser = await launch();
  page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return async () => {
    await browser.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
});

interface Told {
  readonly word: string;
  readonly findings: string;
  readonly sessions: readonly { readonly session: string; readonly word: string; readonly findings: string }[];
  readonly verdict: unknown;
}

/** What the worker answers of these cases, one after another. */
async function answersOf(numbers: readonly number[]): Promise<Told[]> {
  const asked = numbers.map((number) => ({ number, since: CASES[number]?.since !== undefined }));
  const script = `(async () => {
    const worker = new Worker('/worker.js', { type: 'module' });
    const blobOf = async (path) => (await fetch(path)).blob();
    const answers = [];
    for (const { number, since } of ${JSON.stringify(asked)}) {
      const question = { evidence: await blobOf('/case/' + number), trust: ${JSON.stringify(JSON.stringify(TRUST))}, policy: ${JSON.stringify(POLICY)}, ...(since ? { since: await blobOf('/since/' + number) } : {}) };
      answers.push(await new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => { if (data.kind !== 'progress') resolve(data); };
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage(question);
      }));
    }
    worker.terminate();
    return JSON.stringify(answers);
  })()`;
  const answers = JSON.parse(await page.evaluate<string>(script)) as { kind: string; verification: Told }[];
  expect(answers.filter(({ kind }) => kind !== 'verified')).toEqual([]);
  return answers.map(({ verification }) => verification);
}

/** The same by this program, as JSON has it. */
async function expectedOf({ bytes, since }: Case): Promise<Told> {
  const policy = parsePolicy(Buffer.from(POLICY));
  const verdict = await verifyEvidence([bytes], { ...TRUST, policy, ...(since === undefined ? {} : { since }) });
  const sessions = verdict.sessions.map((each) => ({
    session: each.session,
    word: each.verdict,
    findings: sessionFindings(each),
  }));
  return JSON.parse(JSON.stringify({ word: fileWord(verdict), findings: fileFindings(verdict), sessions, verdict })) as Told;
}

const byName = (told: Told): Told => ({
  ...told,
  sessions: told.sessions
    .map(({ session, word, findings }) => ({ session, word, findings }))
    .toSorted((a, b) => (a.session < b.session ? -1 : 1)),
});

/** Few enough for one answer of the browser. */
const BATCH = 40;
const batches = Array.from({ length: Math.ceil(CASES.length / BATCH) }, (_, at) =>
  CASES.map((_case, number) => number).slice(at * BATCH, (at + 1) * BATCH),
);

describe.runIf(hasChromium)('the worker of the page', NETWORK, () => {
  test.each(batches.map((numbers) => [numbers[0] ?? 0, numbers] as const))(
    'says of the corpus, from case %d on, what the program says',
    async (_, numbers) => {
      const found = await answersOf(numbers);
      expect(found).toHaveLength(numbers.length);
      for (const [at, number] of numbers.entries()) {
        const each = CASES[number];
        const told = found[at];
        if (each === undefined || told === undefined) throw new Error('a case is missing');
        const { word, findings, sessions, verdict } = byName(told);
        expect([each.name, { word, findings, sessions, verdict }]).toEqual([each.name, byName(await expectedOf(each))]);
      }
    },
  );

  test('has the corpus whole: of every verdict of the file and of a session there is a case', async () => {
    const verdicts = await Promise.all(TABLE.map(expectedOf));
    expect([...new Set(verdicts.map(({ word }) => word))].toSorted()).toEqual(['altered', 'empty', 'not witnessed', 'sound']);
    expect([...new Set(verdicts.flatMap(({ sessions }) => sessions.map(({ word }) => word)))].toSorted()).toEqual([
      'altered',
      'complete',
      'erased',
      'gap declared',
      'incomplete',
      'interrupted',
      'missing',
      'not exported',
      'not in the log',
      'not witnessed',
      'open',
    ]);
  });
});
