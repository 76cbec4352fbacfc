import { generateSigner, recipientOf } from '@chaperone/evidence';
import type { NatsAccess } from '@chaperone/policy';
import { expect, onTestFinished, test, vi } from 'vitest';
import { keepBrokerAccess } from './broker.ts';

const [first, second] = [1, 2].map((byte) => recipientOf(Buffer.alloc(32, byte))) as [string, string];

test('to whom data keys are wrapped changes with what the operator says, and stays where it says nothing or what cannot be read', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const said: string[] = [];
  const log = (message: string): void => void said.push(message);
  let next: string[] | undefined;
  const access: NatsAccess = { url: 'tls://n', jwt: 'j', expiresAt: 1 };
  const broker = keepBrokerAccess({
    first: access,
    recipients: [first],
    renew: () => Promise.resolve(next === undefined ? access : { ...access, recipients: next }),
    nkey: generateSigner(),
    logger: { info: log, warn: log, error: log },
  });
  onTestFinished(() => broker.stop());
  const names = (): string[] => broker.recipients().map(({ name }) => name);
  const renewed = async (recipients: string[] | undefined): Promise<string[]> => {
    next = recipients;
    await vi.advanceTimersByTimeAsync(30_000);
    return names();
  };
  expect(names()).toEqual([first]);
  expect(await renewed([second, first])).toEqual([second, first]);
  expect(await renewed(undefined)).toEqual([second, first]);
  expect(await renewed([first, 'x25519:none'])).toEqual([second, first]);
  expect(said).toHaveLength(1);
  expect(await renewed([second])).toEqual([second]);
});
