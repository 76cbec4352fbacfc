import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { MAX_CONTROL_REQUEST_BYTES, MAX_LOOKED_BYTES } from '@chaperone/policy';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { LargeBodies, MAX_LARGE_BODIES } from './bodies.ts';

const Text = z.object({ text: z.string() });
/** A request whose body comes when it is ended; without a length, as one is that says none. */
function arriving(length?: number): IncomingMessage {
  const request = new IncomingMessage(new Socket());
  if (length !== undefined) request.headers['content-length'] = String(length);
  return request;
}
function end(request: IncomingMessage, text: string): void {
  request.push(JSON.stringify({ text }));
  request.push(null);
}

test.each<[string, number, number | undefined, string | undefined]>([
  ['as long as other messages', MAX_CONTROL_REQUEST_BYTES, MAX_CONTROL_REQUEST_BYTES, undefined],
  ['longer', MAX_LOOKED_BYTES, MAX_LOOKED_BYTES, undefined],
  ['that does not say how long it is', MAX_LOOKED_BYTES, undefined, undefined],
  ['longer than any', MAX_LOOKED_BYTES + 1, MAX_LOOKED_BYTES + 1, 'TooLarge'],
  ['longer than it says', MAX_CONTROL_REQUEST_BYTES + 1, 10, 'TooLarge'],
])('a body %s', async (_, bytes, declared, code) => {
  const request = arriving(declared);
  const read = new LargeBodies().read('a', request, Text).then(
    () => undefined,
    (error: { code?: string }) => error.code,
  );
  end(request, 'x'.repeat(bytes - '{"text":""}'.length));
  expect(await read).toBe(code);
});

test('few large ones are read at once, and small ones do not wait for them', async () => {
  const bodies = new LargeBodies();
  const stalled = Array.from({ length: MAX_LARGE_BODIES }, () => arriving(MAX_LOOKED_BYTES));
  const reads = stalled.map((request, at) => bodies.read(`pod-${at}`, request, Text));
  await expect(bodies.read('a', arriving(MAX_LOOKED_BYTES), Text)).rejects.toMatchObject({ code: 'Busy' });
  await expect(bodies.read('a', arriving(), Text)).rejects.toMatchObject({ code: 'Busy' });
  const small = arriving(20);
  const read = bodies.read('a', small, Text);
  end(small, 'a');
  expect(await read).toEqual({ text: 'a' });
  for (const request of stalled) end(request, 'b');
  await Promise.all(reads);
  const later = arriving(MAX_LOOKED_BYTES);
  end(later, 'c');
  expect(await bodies.read('a', later, Text)).toEqual({ text: 'c' });
});

test('those of one pod that do not end are a quarter, and others’ are read', async () => {
  const bodies = new LargeBodies();
  const stalled = Array.from({ length: MAX_LARGE_BODIES / 4 }, () => arriving());
  const reads = stalled.map((request) => bodies.read('slow', request, Text));
  await expect(bodies.read('slow', arriving(), Text)).rejects.toMatchObject({ code: 'Busy' });
  const [theirs, own] = [arriving(), arriving()];
  end(theirs, 'a');
  expect(await bodies.read('other', theirs, Text)).toEqual({ text: 'a' });
  for (const request of stalled) request.destroy(new Error('too late'));
  await Promise.allSettled(reads);
  end(own, 'b');
  expect(await bodies.read('slow', own, Text)).toEqual({ text: 'b' });
});
