import { expect, test } from 'vitest';
import { othersReach } from './others.ts';

const AGENT = { namespace: 'agents', serviceAccount: 'bot' };

test.each<[string, boolean]>([
  ['127.0.0.1:5432', false],
  ['127.9.9.9:5432', false],
  ['localhost:5432', false],
  ['[::1]:5432', false],
  ['[::ffff:127.0.0.1]:5432', false],
  ['0.0.0.0:5432', true],
  ['[::]:5432', true],
  ['192.0.2.1:5432', true],
  ['[::ffff:192.0.2.1]:5432', true],
  ['localhost.example:5432', true],
])('%s is reached by others: %s', (address, isReached) => {
  expect(othersReach([{ resource: 'data/orders-db', address }], AGENT).map(({ message }) => message)).toEqual(
    isReached
      ? [`whoever reaches ${address} is agents/bot on data/orders-db; only a loopback address is this machine’s own`]
      : [],
  );
});
