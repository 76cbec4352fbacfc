import { visible } from '@chaperone/api/text';
import type { OrderRequest } from '@chaperone/evidence';
import type { CollectorClient } from '../collector/client.ts';
import { type Io, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';

const DONE = {
  erasure:
    'is erased: its key is destroyed here with all that it was wrapped to, and its headers and proofs stay; who exported the key before, plain or wrapped, or has a backup of it, still reads what was recorded',
  hold: 'is on hold: it is not erased, by anybody and by time',
  release: 'is on hold no more',
} as const;

/** `erase` and `hold`: gives an order about the one session whose name begins so, and says that it is in the log. */
export async function giveOrder(
  client: CollectorClient,
  id: string,
  { kind, reason, output }: OrderRequest & { readonly output: 'text' | DocumentOutput },
  io: Io,
): Promise<void> {
  const { name } = await client.session(id);
  const given = await client.order(name, { kind, reason });
  if (output !== 'text') return writeDocument(io, output, { session: name, ...given });
  await writeLine(io.out, `session/${visible(name)} ${DONE[kind]} (entry ${given.entry} of the log)`);
}
