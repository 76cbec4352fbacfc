import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { AccessRequest } from '@chaperone/api';
import { expect, test } from 'vitest';
import type { Io } from '../io.ts';
import { aRequest } from './api-server.test-support.ts';
import type { RequestDesk } from './desk.ts';
import { promptDecision } from './prompt.ts';

test('what it meets is told when it is known, and a letter is enough then', async () => {
  const asked = aRequest('ar-7f3kq2mzt4hcnw5e');
  const unknown: AccessRequest = { ...asked, status: { ...asked.status, preview: undefined } };
  const [input, errors] = [new PassThrough(), new PassThrough()];
  const said = text(errors);
  const desk = {
    content: ({ status }: AccessRequest) => Promise.resolve(status?.preview && { columns: ['id'], rows: [['4411']] }),
    async *watch() {
      yield unknown;
      yield asked;
      // It is told before anybody answers.
      setTimeout(() => input.write('a\n'), 10);
      await new Promise(() => undefined);
    },
  } as Partial<RequestDesk> as RequestDesk;
  const io = {
    in: input,
    err: errors,
    env: { TERM: 'dumb' },
    now: () => Date.parse('2026-01-01T12:00:01Z'),
  } as Partial<Io> as Io;
  const person = { user: 'jane@corp', groups: ['dba'] };
  const chosen = await promptDecision({ desk, request: unknown, person, io, reason: 'ok', wantsReason: false });
  expect(chosen).toMatchObject({ decision: 'Approve' });
  errors.end();
  const lines = (await said).split('\n').map((line) => line.trimEnd());
  expect(lines).toContain('Effect    update public.tickets · the rows that it meets are being looked at');
  const at = lines.indexOf('Rows      1 row matched when it was asked for');
  expect(lines.slice(at, at + 3)).toEqual([lines[at], '          id', '          4411']);
});
