import { visible } from '@chaperone/api/text';
import type { SinkStatus } from '@chaperone/evidence';
import type { CollectorClient } from '../collector/client.ts';
import { age, counted, type Io, table, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';

/** Dead letters that a table names; `-o json` has all. */
const MAX_SHOWN = 20;

/** `sinks ls`: a row for each sink, then what each refused. */
export async function listSinks(
  client: Pick<CollectorClient, 'sinks'>,
  output: 'table' | 'text' | DocumentOutput,
  io: Io,
): Promise<void> {
  const { items } = await client.sinks();
  if (output === 'json' || output === 'yaml') return writeDocument(io, output, { items });
  if (items.length === 0) return writeLine(io.err, 'no sinks: events go nowhere but into the store');
  await writeLine(io.out, table(['NAME', 'KIND', 'STATE', 'ENTRIES', 'BEHIND', 'DELIVERED', 'DEAD', 'ERROR'], items.map(row)));
  for (const { name, deadLetters } of items) {
    for (const { id, cause, at } of deadLetters.slice(0, MAX_SHOWN))
      await writeLine(io.out, `${visible(name)}: ${visible(id)} was refused ${age(at, io.now())} ago: ${visible(cause)}`);
    const rest = deadLetters.length - MAX_SHOWN;
    if (rest > 0) await writeLine(io.out, `${visible(name)}: and ${counted(rest, 'more event')}; -o json has all`);
  }
}

function row({ name, kind = '', state, cursor, size, lagSeconds, delivered, deadLetters, error }: SinkStatus): string[] {
  const behind = lagSeconds === 0 ? '' : age(0, lagSeconds * 1_000);
  const said = error === undefined ? '' : `${error.message} (${error.code})`;
  return [name, kind, state, `${cursor}/${size}`, behind, String(delivered), String(deadLetters.length), said];
}

/** `sinks resend`: says how many are dead letters no more. */
export async function resendLetters(
  client: Pick<CollectorClient, 'resendSink'>,
  name: string,
  output: 'table' | 'text' | DocumentOutput,
  io: Io,
): Promise<void> {
  const { resent } = await client.resendSink(name);
  if (output === 'json' || output === 'yaml') return writeDocument(io, output, { sink: name, resent });
  await writeLine(io.out, `sink/${visible(name)}: ${counted(resent, 'dead letter')} sent`);
}
