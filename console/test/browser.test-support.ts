import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type { AccessRequest } from '@chaperone/api';
import { temporaryDirectory } from '@chaperone/testing';
import { leave } from '@chaperone/testing/browser';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { expect, onTestFinished } from 'vitest';
import {
  CONSOLE_DIRECTORY,
  type Collector,
  createCollector,
  createTokenAccess,
  LinkSignIn,
  loadStaticFiles,
  LOCAL_IDENTITY,
  RequestRefused,
} from '@chaperone/collector';
import { Policies } from '../../collector/src/policies/policies.fixture.ts';
import { Requests } from '../../collector/src/requests/requests.fixture.ts';
import { reader, trust } from './world.test-support.ts';

export { hasChromium, launch, leave } from '@chaperone/testing/browser';

export interface Site extends AsyncDisposable {
  readonly url: string;
  readonly collector: Collector;
  /** What waits for approval here; nobody but a test decides on it. */
  readonly requests: Requests;
  /** What policies and resources are known here: none, until a test writes some. */
  readonly policies: Policies;
  /** The path of a link that signs in, and leads on to another path. */
  readonly newLink: (path: string) => string;
  /** Breaks every connection off. */
  readonly cut: () => void;
  /** What the server does before it answers: nothing, unless a test wants it slow or broken. */
  before: (request: Request) => Promise<Response | undefined>;
}

function nobody(): never {
  throw new RequestRefused(400, 'Usage', 'nobody decides here');
}

/** A real collector with the built page on a local port. @param decides - whether decisions are taken here */
export async function startSite(decides = true): Promise<Site> {
  const directory = await temporaryDirectory('chaperone-console-');
  const files = await loadStaticFiles(CONSOLE_DIRECTORY);
  if (files === undefined) throw new Error('the page is not built: npm run build');
  const signIn = new LinkSignIn(Date.now);
  const policies = new Policies();
  const requests = new Requests({ user: 'maria@corp', groups: ['dba'] });
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const desk = {
    content: ({ metadata }: AccessRequest) => requests.contents.get(metadata.name) ?? {},
    decide: nobody,
    revoke: nobody,
  };
  const collector = await createCollector({
    directory: directory.path,
    trust,
    readers: [reader],
    access: createTokenAccess('token'),
    logger: silent,
    policies,
    requests: {
      list: () => requests.list(),
      watch: (tell) => requests.watch(tell),
      viewer: (identity) => requests.viewer(identity),
      ...(decides && { desk }),
    },
    console: { files, signIn, now: Date.now },
  });
  const server = createServer((request, response) => void serve(site, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const site: Site = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    collector,
    requests,
    policies,
    newLink: (path) => signIn.newLink({ identity: LOCAL_IDENTITY, path }).link,
    cut: () => server.closeAllConnections(),
    before: () => Promise.resolve(undefined),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await collector.close();
      await directory[Symbol.asyncDispose]();
    },
  };
  return site;
}

async function serve(site: Site, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const method = request.method ?? 'GET';
  const asked = new Request(new URL(request.url ?? '/', site.url), {
    method,
    headers: Object.entries(request.headers).flatMap(([name, value]) =>
      typeof value === 'string' ? [[name, value] as [string, string]] : [],
    ),
    ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
  });
  const answer = (await site.before(asked)) ?? (await site.collector.fetch(asked));
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  if (answer.body === null) response.end();
  // Who leaves ends it.
  else await pipeline(Readable.fromWeb(answer.body), response).catch(() => undefined);
}

export interface Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What must not happen: errors of the console, reports of the policy, requests to other origins. */
  readonly faults: string[];
}

export interface VisitOptions {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  readonly signedIn?: boolean;
  /** Where the link leads. */
  readonly home?: string;
  /** Where people are sent to sign in: what is wrong there is not ours. */
  readonly elsewhere?: string;
}

/** A visit for one test. */
export interface Coming extends VisitOptions {
  /** What may go wrong in it. */
  readonly expected?: RegExp;
  /** In a browser page of its own, which the next test has not: for those that give it another clock, or close it. */
  readonly alone?: boolean;
}

/** Where visits lead: a site, or what is one once it is needed. */
export type Visited = Pick<Site, 'url'> & { readonly newLink?: (path: string) => string | Promise<string> };

/**
 * Visits for one test after another, in each of which nothing goes wrong but what is expected to. They share a page of the browser where
 * they can: to start one takes longer than what most tests look at. Each begins with nothing stored but the cookie of who signed in.
 */
export class Visits {
  readonly #browser: () => Browser;
  readonly #site: () => Visited;
  #free: Visit | undefined;

  constructor(browser: () => Browser, site: () => Visited) {
    this.#browser = browser;
    this.#site = site;
  }

  async come({ expected, alone = false, ...options }: Coming = {}): Promise<Visit> {
    const { width = WIDTH, signedIn = true, elsewhere } = options;
    const shared = !alone && signedIn && elsewhere === undefined && !isPhone(width);
    const visited = await this.#begin(shared, options);
    onTestFinished(async ({ task }) => {
      // What went wrong, or was meant to, may go on for a while: nobody comes there again.
      const keeps = shared && visited.faults.length === 0 && task.result?.state !== 'fail' && this.#free === undefined;
      if (keeps) this.#free = await tidied(visited);
      if (this.#free !== visited) await leave(visited.context);
      expectNoFaults(visited.faults, expected);
    });
    return visited;
  }

  async #begin(shared: boolean, options: VisitOptions): Promise<Visit> {
    const free = shared ? this.#free : undefined;
    if (free === undefined) return visit(this.#browser(), this.#site(), options);
    this.#free = undefined;
    const { width = WIDTH, height = HEIGHT, dark = false, home = HOME } = options;
    await free.page.setViewportSize({ width, height });
    await free.page.emulateMedia({ colorScheme: dark ? 'dark' : 'light', forcedColors: null });
    await free.page.goto(`${this.#site().url}${home}`);
    // To another fragment of where it was nothing was loaded.
    if (home.includes('#')) await free.page.reload();
    return free;
  }

  async end(): Promise<void> {
    const visited = this.#free;
    this.#free = undefined;
    if (visited !== undefined) await leave(visited.context);
  }
}

function expectNoFaults(faults: readonly string[], expected?: RegExp): void {
  if (faults.some((fault) => fault.includes('ERR_NETWORK_CHANGED'))) throw new Error('ERR_NETWORK_CHANGED');
  expect(faults.filter((fault) => expected?.test(fault) !== true)).toEqual([]);
}

/** The visit as it began, but for where it is; undefined where its page is gone, or nobody is signed in any more. */
async function tidied(visited: Visit): Promise<Visit | undefined> {
  const { page, context } = visited;
  if (page.isClosed() || (await context.cookies()).length === 0) return undefined;
  for (const other of context.pages()) if (other !== page) await other.close();
  await Promise.all([context, page].map((routed) => routed.unrouteAll({ behavior: 'ignoreErrors' })));
  await page.mouse.move(0, 0);
  await page.evaluate('localStorage.clear(); sessionStorage.clear()');
  return visited;
}

/** One visit for many tests, each of which ends without a fault: to sign in takes longer than what they look at. */
export class LongVisit {
  #visit: Promise<Visit> | undefined;

  /** The page, for one test. @param begin - visits where nobody has, or after the network broke */
  async page(begin: () => Promise<Visit>): Promise<Page> {
    const { page, faults } = await (this.#visit ??= begin());
    onTestFinished(async () => {
      const found = faults.splice(0);
      if (found.some((fault) => fault.includes('ERR_NETWORK_CHANGED'))) await this.end();
      expectNoFaults(found);
    });
    return page;
  }

  async end(): Promise<void> {
    const visited = this.#visit;
    this.#visit = undefined;
    if (visited !== undefined) await leave((await visited).context);
  }
}

const [WIDTH, HEIGHT, HOME] = [1440, 900, '/sessions'];
const isPhone = (width: number): boolean => width < 600;

/** A browser page of its own at the site, signed in by a link unless told otherwise. */
export async function visit(browser: Browser, site: Visited, options: VisitOptions = {}): Promise<Visit> {
  const { width = WIDTH, height = HEIGHT, dark = false, signedIn = true, elsewhere = '-', home = HOME } = options;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: dark ? 'dark' : 'light',
    timezoneId: 'America/New_York',
    reducedMotion: 'reduce',
    hasTouch: isPhone(width),
    // Of an authority that only the test knows.
    ignoreHTTPSErrors: true,
  });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: site.url });
  const page = await context.newPage();
  // A machine that is busy is slow, which is no fault.
  page.setDefaultTimeout(90_000);
  const faults: string[] = [];
  page.on('console', (message) => {
    if (page.url().startsWith(elsewhere)) return;
    if (message.type() === 'error' || message.type() === 'warning') faults.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`thrown: ${error.message}`));
  page.on('request', (request) => {
    if (page.url().startsWith(elsewhere) || request.url().startsWith(elsewhere)) return;
    if (!request.url().startsWith(`${site.url}/`)) faults.push(`off origin: ${request.url()}`);
  });
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  if (signedIn) await enter(page, site, home);
  return { page, context, faults };
}

async function enter(page: Page, { url, newLink }: Visited, home: string): Promise<void> {
  if (newLink === undefined) return;
  await page.goto(`${url}${await newLink(home)}`);
  await page.waitForURL(`${url}${home}`);
}
