import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readArchive } from '../src/file/archive.ts';
import {
  formatRangeProof,
  leafHash,
  merkleRoot,
  mostOf,
  parsePolicy,
  parseRangeProof,
  RangeVerifier,
  verifyEvidence,
} from '../src/index.ts';
import { sessionFile, written } from './files.ts';
import { POLICY, TRUST } from './world.ts';

/** docs/evidence.md shows an example, to the byte. */
const DATA = join(import.meta.dirname, 'testdata');
const PAGE = join(import.meta.dirname, '../../docs/evidence.md');
const path = (name: string): string => join(DATA, name);

async function listing(): Promise<string> {
  const lines: string[] = [];
  for await (const { name, bytes } of readArchive([readFileSync(path('example.evidence'))], mostOf))
    lines.push(`${name.padEnd(32)} ${String(bytes.length).padStart(5)}  ${createHash('sha256').update(bytes).digest('hex')}`);
  return lines.join('\n');
}

test('the example of the page is what its text says, to both verifiers', async () => {
  if (process.env['UPDATE_GOLDEN'] !== undefined) {
    writeFileSync(path('example.evidence'), written(sessionFile));
    writeFileSync(path('trust.policy'), POLICY);
    writeFileSync(path('trust.json'), `${JSON.stringify(TRUST)}\n`);
    const blocks = /(Its members:\n\n```text\n)[^`]*(\n```)/;
    const page = readFileSync(PAGE, 'utf8');
    const text = await listing();
    writeFileSync(
      PAGE,
      page.replace(blocks, (_, before: string, after: string) => before + text + after),
    );
  }
  expect(readFileSync(PAGE, 'utf8')).toContain(`\`\`\`text\n${await listing()}\n\`\`\``);
  const trust = JSON.parse(readFileSync(path('trust.json'), 'utf8')) as typeof TRUST;
  const policy = parsePolicy(readFileSync(path('trust.policy')));
  const found = await verifyEvidence([readFileSync(path('example.evidence'))], { ...trust, policy });
  expect(found).toMatchObject({
    verdict: 'sound',
    log: { quorum: 'met' },
    sessions: [{ verdict: 'complete', segments: 4, contents: 'verified' }],
  });
  const args = [path('example.evidence'), '--policy', path('trust.policy'), '--trust', path('trust.json'), '--complete'];
  const out = execFileSync(process.execPath, [join(DATA, '../../verifier/verify.mjs'), ...args], { encoding: 'utf8' });
  expect(JSON.parse(out)).toMatchObject({ exit: 0, sessions: [{ verdict: 'complete', contents: 'verified' }] });
});

test('the range proof of the page proves the range that it says', () => {
  const [text = ''] = /chaperone\.dev\/log-range\/v1\nfrom 1\nto 3\n[^`]*/.exec(readFileSync(PAGE, 'utf8')) ?? [];
  const proof = parseRangeProof(Buffer.from(text));
  expect(formatRangeProof(proof).toString()).toBe(text);
  const verifier = new RangeVerifier(proof);
  for (const entry of ['b', 'c']) verifier.take(Buffer.from(entry));
  const root = merkleRoot(['a', 'b', 'c', 'd'].map((entry) => leafHash(Buffer.from(entry))));
  expect(verifier.verify({ size: 4, root })).toBe(true);
  expect(readFileSync(PAGE, 'utf8')).toContain(root.toString('base64'));
});
