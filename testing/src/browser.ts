import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium } from 'playwright-core';

/** Debian's; another one may be named. */
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
export const hasChromium = existsSync(CHROMIUM);

/**
 * A browser that asks only this machine: a provider's page names fonts of the internet, and where no name is answered it waits for them.
 * @param hosts - rules of Chromium beside, such as `MAP name:443 127.0.0.1:8443`
 */
export function launch(hosts: readonly string[] = []): Promise<Browser> {
  const rules = [...hosts, 'MAP * ~NOTFOUND', 'EXCLUDE localhost', 'EXCLUDE 127.0.0.1'];
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--font-render-hinting=none', `--host-resolver-rules=${rules.join(',')}`],
  });
}

/** Closes a context with its pages. What still carries a request of theirs somewhere else fails by that, and nobody waits for it. */
export async function leave(context: BrowserContext): Promise<void> {
  await Promise.all([context, ...context.pages()].map((routed) => routed.unrouteAll({ behavior: 'ignoreErrors' })));
  await context.close();
}
