import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { hasChromium, launch, leave } from './browser.ts';

test.skipIf(!hasChromium)('what still carries a request when its context is left fails without anybody noticing', async () => {
  const unanswered = createServer();
  await new Promise<void>((resolve) => unanswered.listen(0, '127.0.0.1', resolve));
  const browser = await launch();
  onTestFinished(async () => {
    await browser.close();
    unanswered.closeAllConnections();
    await new Promise((resolve) => unanswered.close(resolve));
  });
  const url = `http://127.0.0.1:${(unanswered.address() as AddressInfo).port}/`;
  const context = await browser.newContext();
  const page = await context.newPage();
  const ended: string[] = [];
  const carriers = [context, page].map(
    (routed) =>
      new Promise<void>((carrying) => {
        void routed.route(`${url}${routed === page ? 'page' : 'context'}`, async (route) => {
          carrying();
          // Vitest fails a run in which this rejects and nobody takes it.
          await route.fetch().finally(() => ended.push(route.request().url()));
        });
      }),
  );
  await page.setContent(`<img src="${url}page"><img src="${url}context">`, { waitUntil: 'commit' });
  await Promise.all(carriers);
  await leave(context);
  await expect.poll(() => ended).toHaveLength(2);
});
