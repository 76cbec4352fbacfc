import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { allowing, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

it('a world that is disposed of ends the clients that nobody closed: idle, at work, silent, and past the proxy', async () => {
  const governed = await startGoverned({
    schema: '',
    policy: allowing({ statements: ['select'], relations: ['**'], functions: ['**'] }),
  });
  const idle = await RawClient.open(governed.port);
  const working = await RawClient.open(governed.port);
  working.send(say.query('select pg_sleep(60)'));
  const silent = connect({ port: governed.port, host: '127.0.0.1' });
  const silenced = once(
    silent.on('error', () => undefined),
    'close',
  );
  await once(silent, 'connect');
  const client = await governed.connect();
  const direct = await governed.direct();
  const unanswered = direct.query('select pg_sleep(60)');
  const refused = expect(unanswered).rejects.toThrow();

  await governed[Symbol.asyncDispose]();

  await expect.poll(() => [idle.closed, working.closed]).toEqual([true, true]);
  await Promise.all([silenced, refused, expect(client.query('select 1')).rejects.toThrow()]);
});
