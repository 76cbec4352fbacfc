import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Browser, Page } from 'playwright-core';
import { launch } from '@chaperone/testing/browser';
import type { Cluster } from './cluster.ts';
import { SYSTEM } from './installation.ts';
import { SITES } from './login.ts';
import { OUTSIDE } from './shop.ts';

export { hasChromium } from '@chaperone/testing/browser';
const FORWARDED = /^Forwarding from 127\.0\.0\.1:(\d+)/;

/** A person's browser outside of the cluster, which finds the three sites by way of kubectl port-forward. */
export class PersonsBrowser implements AsyncDisposable {
  readonly #browser: Browser;
  readonly #forwards: readonly ChildProcessWithoutNullStreams[];

  private constructor(browser: Browser, forwards: readonly ChildProcessWithoutNullStreams[]) {
    this.#browser = browser;
    this.#forwards = forwards;
  }

  static async open(cluster: Cluster): Promise<PersonsBrowser> {
    const forwards: ChildProcessWithoutNullStreams[] = [];
    const to = async (site: string, namespace: string, target: string, port: number): Promise<string> => {
      const child = cluster.begin(['port-forward', '-n', namespace, target, `:${port}`]);
      forwards.push(child);
      for await (const line of createInterface({ input: child.stdout })) {
        const local = FORWARDED.exec(line)?.[1];
        if (local !== undefined) return `MAP ${site}:443 127.0.0.1:${local}`;
      }
      throw new Error(`nothing is forwarded to ${target}`);
    };
    const rules = [
      await to(SITES.login, OUTSIDE, 'service/login', 443),
      await to(SITES.console, SYSTEM, 'service/chaperone-collector', 443),
      await to(SITES.decide, SYSTEM, `pod/${await leader(cluster)}`, 8445),
    ];
    const browser = await launch(rules);
    return new PersonsBrowser(browser, forwards);
  }

  /** A person's own profile, with one page open. Whose certificates are trusted is not what is tried here. */
  async person(): Promise<Page> {
    const context = await this.#browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    for (const child of this.#forwards) child.kill();
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

/** The operator's pod that serves the page: the one that leads. */
async function leader(cluster: Cluster): Promise<string> {
  const of = ['get', 'endpointslices', '-n', SYSTEM, '-l', 'kubernetes.io/service-name=chaperone-decide', '-o', 'json'];
  const { items } = JSON.parse(await cluster.demand(of)) as {
    items: { endpoints: { addresses: string[]; targetRef?: { name: string } }[] }[];
  };
  const [endpoint] = items.flatMap(({ endpoints }) => endpoints);
  if (endpoint?.targetRef !== undefined) return endpoint.targetRef.name;
  const named = `jsonpath={.items[?(@.status.podIP=="${endpoint?.addresses[0] ?? ''}")].metadata.name}`;
  return await cluster.demand(['get', 'pods', '-n', SYSTEM, '-o', named]);
}
