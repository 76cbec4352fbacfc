import type { Browser, Page } from 'playwright-core';
import { launch } from '@chaperone/testing/browser';
import type { Cluster } from './cluster.ts';
import { type Forward, forward, leaderBehind } from './forward.ts';
import { SYSTEM } from './installation.ts';
import { SITES } from './login.ts';
import { OUTSIDE } from './shop.ts';

export { hasChromium } from '@chaperone/testing/browser';

/** A person's browser outside of the cluster, which finds the three sites by way of kubectl port-forward. */
export class PersonsBrowser implements AsyncDisposable {
  readonly #browser: Browser;
  readonly #forwards: readonly Forward[];

  private constructor(browser: Browser, forwards: readonly Forward[]) {
    this.#browser = browser;
    this.#forwards = forwards;
  }

  static async open(cluster: Cluster): Promise<PersonsBrowser> {
    const forwards: Forward[] = [];
    const to = async (site: string, namespace: string, target: string, port: number): Promise<string> => {
      const way = await forward(cluster, namespace, target, port);
      forwards.push(way);
      return `MAP ${site}:443 127.0.0.1:${way.port}`;
    };
    const rules = [
      await to(SITES.login, OUTSIDE, 'service/login', 443),
      await to(SITES.console, SYSTEM, 'service/chaperone-collector', 443),
      await to(SITES.decide, SYSTEM, `pod/${await leaderBehind(cluster, 'chaperone-decide')}`, 8445),
    ];
    const browser = await launch(rules);
    return new PersonsBrowser(browser, forwards);
  }

  /** A person's own profile, with one page open. Whose certificates are trusted is not what is tried here. */
  async person(): Promise<Page> {
    const context = await this.#browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    for (const way of this.#forwards) way[Symbol.dispose]();
  }
}

/** Types a name where the provider asks for one, as it does in a browser that it does not know, and agrees. */
export async function atProvider(page: Page, login: string): Promise<void> {
  await page.waitForURL(/interaction/);
  if ((await page.locator('input[name=login]').count()) > 0) {
    await page.fill('input[name=login]', login);
    await page.fill('input[name=password]', 'any');
    await page.click('button[type=submit]');
  }
  await page.waitForSelector('text=Authorize');
  await page.click('button[type=submit]');
}
