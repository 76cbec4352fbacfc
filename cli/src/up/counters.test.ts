import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { expect, test } from 'vitest';
import { fileCounters } from './counters.ts';

test('what the sidecars of a data directory counted is read where they keep it, and what cannot be read is left out', async () => {
  await using directory = await temporaryDirectory();
  expect(await fileCounters(directory.path).list()).toEqual([]);
  const signed = { body: '{}', signature: 's' };
  const statement = { registration: signed, certificate: signed, counter: signed };
  for (const [agent, name, text] of [
    ['agents/bot', 'counter.json', JSON.stringify(statement)],
    ['agents/torn', 'counter.json', '{'],
    ['agents/other', 'counter.json', JSON.stringify({ ...statement, more: 1 })],
    ['agents/new', 'counter.json.new', JSON.stringify(statement)],
  ] as const) {
    const run = join(directory.path, 'agents', agent, 'run');
    mkdirSync(run, { recursive: true });
    writeFileSync(join(run, name), text);
    utimesSync(join(run, name), 5, 5);
  }
  expect(await fileCounters(directory.path).list()).toEqual([{ statement, receivedAt: 5_000 }]);
});
