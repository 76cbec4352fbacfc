import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { jsonOfProtobuf } from '../../src/kubernetes/wire/protobuf.ts';

const PROGRAM = join(import.meta.dirname, '../../../.cache/kubernetes-peers/protobuf');
const TABLE = join(import.meta.dirname, '../../src/kubernetes/wire/protobuf-schema.ts');
const MOST = 256 * 1024 * 1024;

function protobuf(argv: readonly string[], input = ''): string[] {
  return execFileSync(PROGRAM, argv, { input, maxBuffer: MOST, encoding: 'utf8' }).trimEnd().split('\n');
}

describe.skipIf(!existsSync(PROGRAM))("Kubernetes' own modules", () => {
  it('lay objects out as the table says', () => {
    expect(protobuf(['schema'])).toEqual(readFileSync(TABLE, 'utf8').trimEnd().split('\n'));
  });

  it('read the same in JSON that we make as in the protobuf that was sent, of every kind', () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const sent = protobuf(['objects', '600', `${seed}`]);
    const pairs = sent.map((body) => `${body} ${jsonOfProtobuf(Buffer.from(body, 'base64')).replaceAll('\n', ' ')}`);
    const different = protobuf(['same'], pairs.join('\n')).filter((line) => line !== 'same');
    expect(different, `seed ${seed}`).toEqual([]);
  });
});
