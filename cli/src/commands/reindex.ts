import { openStore } from '../collector/local.ts';
import { EXIT } from '../errors.ts';
import { counted, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import type { ProgramOptions } from '../program.ts';

/** `log reindex`: says what the index was made of; the exit code is set before. Throws CliError. */
export async function reindexData(
  data: string,
  output: 'table' | DocumentOutput,
  { io, exit }: Pick<ProgramOptions, 'io' | 'exit'>,
): Promise<void> {
  await using store = await openStore(data);
  const found = await store.collector.reindex();
  exit(found.damaged.length === 0 ? EXIT.ok : EXIT.checkSaysNo);
  if (output !== 'table') return writeDocument(io, output, found);
  const kept = found.conflicts === 0 ? '' : `, ${counted(found.conflicts, 'segment')} that contradict them`;
  await writeLine(io.out, `the index was built from ${counted(found.segments, 'segment')}${kept}`);
  for (const { digest, code } of found.damaged)
    await writeLine(io.out, `  objects/*/${digest.slice(0, 2)}/${digest} is damaged (${code})`);
}
