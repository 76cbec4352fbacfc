import type { IncomingMessage } from 'node:http';
import { MAX_CONTROL_REQUEST_BYTES, MAX_LOOKED_BYTES } from '@chaperone/policy';
import type { z } from 'zod';
import { Shares } from '../shares.ts';
import { Refusal } from './refusal.ts';

/** At once, shared between pods: each takes memory before anybody knows what it says, and some send slowly. */
export const MAX_LARGE_BODIES = 16;

/** A body as the protocol has it. @throws Refusal TooLarge, Malformed */
export async function body<T>(
  request: IncomingMessage,
  schema: z.ZodType<T>,
  maxBytes: number = MAX_CONTROL_REQUEST_BYTES,
): Promise<T> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new Refusal('TooLarge', `a body has at most ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new Refusal('Malformed', 'the body is not JSON');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new Refusal('Malformed', `the body is not as expected at ${parsed.error.issues[0]?.path.join('.') ?? ''}`);
  return parsed.data;
}

/** Reads what may be larger than other messages; few that are at a time. */
export class LargeBodies {
  readonly #places = new Shares(MAX_LARGE_BODIES);

  /** @throws Refusal Busy, TooLarge, Malformed */
  async read<T>(podUid: string, request: IncomingMessage, schema: z.ZodType<T>): Promise<T> {
    const declared = Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY);
    if (declared <= MAX_CONTROL_REQUEST_BYTES) return await body(request, schema);
    using place = this.#places.take(podUid);
    if (place === undefined) throw new Refusal('Busy', 'too many large requests at once');
    return await body(request, schema, MAX_LOOKED_BYTES);
  }
}
