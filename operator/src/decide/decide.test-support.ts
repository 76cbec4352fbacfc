import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { AccessRequest, ApprovalDecision } from '@chaperone/api';
import { KINDS } from '@chaperone/kube';
import type { RequestContent } from '@chaperone/policy';
import { SIGN_IN_LASTS_MS } from '@chaperone/policy/attest';
import { PAGE_CLIENT, startProvider, type TestProvider } from '@chaperone/testing';
import { hasChromium, launch, leave } from '@chaperone/testing/browser';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { anAccessRequest, REQUEST } from '../notify/request.test-support.ts';
import { DecideConfig } from './config.ts';
import { createDecide } from './server.ts';

export { hasChromium, launch, leave };

export interface Site extends AsyncDisposable {
  readonly origin: string;
  readonly config: DecideConfig;
  readonly api: FakeApiServer;
  readonly provider: TestProvider;
  /** What went wrong behind the page. */
  readonly errors: unknown[];
  readonly events: string[];
  /** What the API server says of a right or a token; undefined: rights are granted, tokens are nobody's. */
  reviews: (plural: string, spec: Record<string, unknown>) => object | undefined;
  /** Whether this replica leads. */
  leads: boolean;
  /** What is known beside the request. */
  content: RequestContent | string | undefined;
  /** Beside the clock of this machine. */
  skewMs: number;
  /** Decisions that were taken. */
  decisions(): ApprovalDecision[];
  /** The one request that there is from now on. */
  ask(mods?: Parameters<typeof anAccessRequest>[0]): void;
}

/** The operator's page on a local port, with a real issuer and a stand-in for the API server that holds one request. */
export async function startSite(
  mods: Parameters<typeof anAccessRequest>[0] = {},
  client: object = { clientId: PAGE_CLIENT },
): Promise<Site> {
  const api = await startFakeApiServer();
  const errors: unknown[] = [];
  const events: string[] = [];
  let listener: RequestListener | undefined;
  const server = createServer((request, response) => listener?.(request, response));
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  const provider = await startProvider({ pages: [`${origin}/decide/callback`] });
  const config = DecideConfig.parse({
    url: origin,
    oidc: { issuer: provider.issuer, ...client, scopes: ['openid'], usernameClaim: 'email' },
  });
  const [rule] = anAccessRequest().spec.rules;
  if (rule === undefined) throw new Error('a request has a rule');
  const rules = [{ ...rule, groups: ['support'], users: [], assurance: 'signed' as const }];
  const site: Site = {
    origin,
    config,
    api,
    provider,
    errors,
    events,
    reviews: () => undefined,
    leads: true,
    content: undefined,
    skewMs: 0,
    decisions: () =>
      api.asked.flatMap(({ method, url, body }) =>
        method === 'POST' && url.pathname.endsWith('/approvaldecisions') ? [body as unknown as ApprovalDecision] : [],
      ),
    ask: (more) => void api.put(KINDS.accessRequests, anAccessRequest({ ...more, spec: { rules, ...more?.spec } })),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await Promise.all([api.close(), provider[Symbol.asyncDispose]()]);
    },
  };
  api.intercept = ({ method, url, body }, response) => {
    const plural = url.pathname.split('/').at(-1) ?? '';
    if (method !== 'POST' || !plural.endsWith('reviews')) return false;
    const status =
      site.reviews(plural, (body?.['spec'] ?? {}) as Record<string, unknown>) ??
      (plural === 'tokenreviews' ? { authenticated: false } : { allowed: true });
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ ...body, status }));
    return true;
  };
  site.ask(mods);
  listener = createDecide({
    kube: api.kube,
    config,
    namespace: 'chaperone-system',
    events: { emit: async (_regarding, { note }) => void events.push(note) },
    leads: () => site.leads,
    contentOf: () => site.content,
    now: () => Date.now() + site.skewMs,
    onError: (error) => errors.push(error),
  });
  return site;
}

/** A request of which the same may be approved for 30 minutes. */
export function grantable(): Partial<AccessRequest['spec']> {
  const [rule] = anAccessRequest().spec.rules;
  if (rule === undefined) throw new Error('a request has a rule');
  return {
    template: 'b'.repeat(64),
    templateText: 'update tickets set note = ?',
    rules: [{ ...rule, groups: ['support'], users: [], assurance: 'signed', grant: 1_800 }],
  };
}

/** Of the one request. */
export const PAGE = `/decide/agents/${REQUEST}`;

export interface Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What must not happen: errors of the console, reports of the policy. */
  readonly faults: string[];
}

export async function visit(browser: Browser, { origin }: Site): Promise<Visit> {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const faults: string[] = [];
  page.on('console', (message) => {
    // Chromium tells of every answer that is none of 2xx and 3xx; the page tells it too.
    const isAnswer = message.text().startsWith('Failed to load resource');
    const isOurs = message.location().url.startsWith(origin);
    if (['error', 'warning'].includes(message.type()) && isOurs && !isAnswer) faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('dialog', (dialog) => {
    faults.push('a dialog');
    void dialog.dismiss();
  });
  await page.goto(`${origin}${PAGE}`);
  return { page, context, faults };
}

/** What a person does at the page and at the issuer. */
export async function signIn({ page }: Pick<Visit, 'page'>, login = 'jane'): Promise<void> {
  await page.click('#sign-in');
  await atIssuer(page, login);
}

/** Types a name where the issuer asks for one, and agrees. */
export async function atIssuer(page: Page, login: string): Promise<void> {
  await page.waitForURL(/interaction/);
  await page.fill('input[name=login]', login);
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
  await page.waitForSelector('text=Authorize');
  await page.click('button[type=submit]');
  await page.waitForURL(/\/decide\/[^/]+\/ar-/);
}

/** Two acts, in two places. */
export async function answer({ page }: Pick<Visit, 'page'>, decision: 'approve' | 'deny', reason = ''): Promise<void> {
  await page.click(`#${decision}`);
  if (reason !== '') await page.fill('#reason', reason);
  await page.click('#send');
}

/** What a sign-in of tests is used for at most: less than it lasts. */
const SEATED_MS = SIGN_IN_LASTS_MS / 2;

/** A site where one person has signed in, for tests that begin after that: to sign in takes longer than most of them do. */
export interface Seat extends AsyncDisposable {
  readonly site: Site;
  /** Their one page. */
  readonly one: Visit;
  /** Forgets what there was, puts a request and what is known beside it, and opens the page. */
  begin(mods?: Parameters<typeof anAccessRequest>[0], beside?: Partial<Pick<Site, 'content' | 'reviews'>>): Promise<void>;
}

export async function takeSeat(browser: Browser): Promise<Seat> {
  const site = await startSite();
  const one = await visit(browser, site);
  await signIn(one);
  let signedInAt = Date.now();
  return {
    site,
    one,
    begin: async (mods = {}, beside = {}) => {
      await one.page.unrouteAll({ behavior: 'ignoreErrors' });
      await one.page.goto('about:blank');
      for (const { metadata } of site.decisions())
        site.api.forget(KINDS.approvalDecisions, { namespace: 'agents', name: metadata.name ?? '' });
      for (const heard of [site.api.asked, site.errors, site.events, one.faults]) heard.length = 0;
      Object.assign(site, { reviews: () => undefined, content: undefined, skewMs: 0, ...beside });
      site.ask(mods);
      await one.page.goto(`${site.origin}${PAGE}`);
      if (Date.now() < signedInAt + SEATED_MS) return;
      await one.context.clearCookies();
      await one.page.reload();
      await signIn(one);
      signedInAt = Date.now();
    },
    [Symbol.asyncDispose]: async () => {
      await leave(one.context);
      await site[Symbol.asyncDispose]();
    },
  };
}
