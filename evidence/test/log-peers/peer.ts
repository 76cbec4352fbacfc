import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Built by scripts/log-peers out of x/mod, Tessera and torchwood. */
const PROGRAM = join(import.meta.dirname, '../../../.cache/log-peers/tlog');
export const HAS_PEER = existsSync(PROGRAM);

export type Answer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: string };

/** One answer for each question, in their order. Bytes go as base64, as Go writes and reads them. */
export function askPeer<T = undefined>(
  questions: readonly { readonly ask: string; readonly [word: string]: unknown }[],
): Answer<T>[] {
  const input = questions.map((question) => JSON.stringify(question, bytesAsBase64)).join('\n');
  const { stdout, stderr, status } = spawnSync(PROGRAM, { input, maxBuffer: 2 ** 30 });
  if (status !== 0) throw new Error(`the peer ended with ${status}: ${stderr.toString().slice(0, 2_000)}`);
  return stdout
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer<T>);
}

/** The value of the one answer to a question. Throws where there is none. */
export function askOne(question: { readonly ask: string; readonly [word: string]: unknown }): unknown {
  const [answer] = askPeer<unknown>([question]);
  if (answer?.ok !== true) throw new Error(`the peer answered ${answer?.error}`);
  return answer.value;
}

/** Buffers are `{type: 'Buffer', data}` by the time that they are seen here. */
function bytesAsBase64(_key: string, value: unknown): unknown {
  const isBytes = typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer' && 'data' in value;
  return isBytes ? Buffer.from(value.data as number[]).toString('base64') : value;
}
