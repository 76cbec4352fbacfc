import { temporaryDirectory } from '@chaperone/testing';
import { onTestFinished } from 'vitest';
import type { Identity } from '../../access.ts';
import { createCollector } from '../../collector.ts';
import { trust } from '../../evidence.fixture.ts';
import type { ProviderSignInOptions, ThroughProvider } from './sign-in.ts';

export const CONSOLE = 'https://console.example';
const STATIC = { index: { type: 'text/html', bytes: Buffer.from('page'), hashed: false }, files: new Map<string, never>() };

export interface TestConsole {
  readonly logged: string[];
  /** Whom the collector asked about. */
  readonly asked: Identity[];
  /** By how much its clock is ahead. */
  ahead: number;
  browser(): TestBrowser;
}

/** A collector with a console at {@link CONSOLE}; who is in group support may see sessions. */
export async function consoleWith(
  createSignIn: (options: Pick<ProviderSignInOptions, 'now' | 'logger'>) => ThroughProvider,
): Promise<TestConsole> {
  const directory = await temporaryDirectory();
  const logged: string[] = [];
  const asked: Identity[] = [];
  const log =
    (level: string) =>
    (message: string, fields?: object): void =>
      void logged.push(JSON.stringify({ level, message, ...fields }));
  const logger = { info: log('info'), warn: log('warn'), error: log('error') };
  const now = (): number => Date.now() + found.ahead;
  const signIn = createSignIn({ now, logger });
  const found: TestConsole = {
    logged,
    asked,
    ahead: 0,
    browser: () => new TestBrowser(signIn.way, (request) => collector.fetch(request)),
  };
  const collector = await createCollector({
    directory: directory.path,
    trust,
    access: {
      authorise: () => Promise.resolve({ refused: 'sign in' }),
      allowed: (identity) => Promise.resolve(asked.push(identity) > 0 && identity.groups.includes('support')),
    },
    logger,
    console: { files: STATIC, signIn, now },
  });
  onTestFinished(async () => {
    await collector.close();
    await directory[Symbol.asyncDispose]();
  });
  return found;
}

/** What a browser keeps and sends at the console. */
export class TestBrowser {
  readonly cookies = new Map<string, string>();
  readonly #way: ThroughProvider['way'];
  readonly #fetch: (request: Request) => Response | Promise<Response>;

  constructor(way: ThroughProvider['way'], fetch: (request: Request) => Response | Promise<Response>) {
    this.#way = way;
    this.#fetch = fetch;
  }

  async get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return this.#send(new URL(path, CONSOLE), { headers });
  }

  async post(path: string, body: unknown): Promise<Response> {
    const headers = { origin: CONSOLE, 'x-chaperone-console': '1', 'content-type': 'application/json' };
    return this.#send(new URL(path, CONSOLE), { method: 'POST', headers, body: JSON.stringify(body) });
  }

  /** What a page of another site has the browser post, and where the console sends on to. */
  async submit(path: string, form: Record<string, string> | URLSearchParams): Promise<string> {
    const headers = { origin: 'https://idp.example', 'sec-fetch-site': 'cross-site' };
    const response = await this.#send(new URL(path, CONSOLE), { method: 'POST', headers, body: new URLSearchParams(form) });
    return response.status === 303 ? (response.headers.get('location') ?? '') : `status ${response.status}`;
  }

  /** Where the console sends on to; 303 alone does. */
  async follow(path: string, headers: Record<string, string> = {}): Promise<string> {
    const response = await this.get(path, headers);
    return response.status === 303 ? (response.headers.get('location') ?? '') : `status ${response.status}`;
  }

  /** The address of the provider that the sign-in begins with. */
  start(path = '/sessions'): Promise<string> {
    return this.follow(`/auth/${this.#way}/start?${new URLSearchParams({ path }).toString()}`, {
      'sec-fetch-site': 'same-origin',
    });
  }

  async user(): Promise<string | undefined> {
    const state = (await (await this.get('/auth/state')).json()) as { user?: string };
    return state.user;
  }

  async #send(url: URL, init: Omit<RequestInit, 'headers'> & { headers: Record<string, string> }): Promise<Response> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await this.#fetch(
      new Request(url, { ...init, headers: { ...init.headers, ...(cookie === '' ? {} : { cookie }) } }),
    );
    for (const set of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
      if (set.includes('Max-Age=0')) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return response;
  }
}
