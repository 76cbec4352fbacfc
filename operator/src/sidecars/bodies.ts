import type { IncomingMessage } from 'node:http';
import { MAX_CONTROL_REQUEST_BYTES, MAX_LOOKED_BYTES } from '@chaperone/policy';
import type { z } from 'zod';
import { Shares } from '../shares.ts';
import { Refusal } from './refusal.ts';

/** At once, of all pods: each takes memory before anybody knows what it says. */
export const MAX_LARGE_BODIES = 16;
/** Of them, of one pod: one that sends slowly leaves room for others. */
export const MAX_LARGE_BODIES_OF_POD = 2;

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
  #reading = 0;
  readonly #ofPod = new Shares(MAX_LARGE_BODIES_OF_POD);

  /** @throws Refusal Busy, TooLarge, Malformed */
  async read<T>(podUid: string, request: IncomingMessage, schema: z.ZodType<T>): Promise<T> {
    const declared = Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY);
    if (declared <= MAX_CONTROL_REQUEST_BYTES) return await body(request, schema);
    if (this.#reading >= MAX_LARGE_BODIES) throw new Refusal('Busy', 'too many large requests at once');
    using place = this.#ofPod.take(podUid);
    if (place === undefined) throw new Refusal('Busy', 'too many large requests of this pod at once');
    this.#reading += 1;
    try {
      return await body(request, schema, MAX_LOOKED_BYTES);
    } finally {
      this.#reading -= 1;
    }
  }
}
