// First: what is imported behind it uses the files that it records.
import { disk, writeState } from '@chaperone/testing/disk';
import { existsSync, mkdirSync } from 'node:fs';
import fsp from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom, temporaryDirectory } from '@chaperone/testing';
import { DirectoryStore } from '../src/objects/index.ts';

/*
 * node stored-at-once.ts: many store objects at once where no directory is there yet. Whatever operation is the last before the power goes,
 * what was promised is there. Prints a line of JSON for each that is not, and one that counts.
 */
const SLOW_MS = 2_000;
const NAMES = Array.from({ length: 12 }, (_, at) => `seg/${'ab'.charAt(at % 2)}/${at}`).concat('keys/one', 'keys/two');

// Who makes a directory is slow to make its name durable; who finds it there is not.
const { open } = fsp;
fsp.open = async (path, flags, mode) => {
  if (flags === 'r' && String(path).endsWith('/seg')) await sleep(SLOW_MS);
  return open(path, flags, mode);
};
syncBuiltinESMExports();

await using directory = await temporaryDirectory();
const place = join(directory.path, 'place');
mkdirSync(place);
disk.begin(place);
const store = new DirectoryStore(join(place, 'objects'));
await Promise.all(
  NAMES.map(async (name, at) => {
    if (at % 3 === 0) await store.replace(name, Buffer.from(name), 1, undefined);
    else await store.create(name, Buffer.from(name), 1);
    disk.note(name);
  }),
);
const { ops } = disk;
disk.end();
let promised = 0;
for (const [at, op] of ops.entries()) {
  if (op.kind !== 'note') continue;
  promised++;
  const left = join(directory.path, `left-${at}`);
  mkdirSync(left);
  writeState(ops, at + 1, 'lost', seededRandom(1), left);
  if (!existsSync(join(left, 'objects', String(op.note)))) process.stdout.write(`${JSON.stringify({ lost: op.note })}\n`);
}
process.stdout.write(`${JSON.stringify({ promised })}\n`);
