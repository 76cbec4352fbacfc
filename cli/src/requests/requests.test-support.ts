import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request as send } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { stripVTControlCharacters } from 'node:util';
import type { AccessRequest } from '@chaperone/api';
import { eventually } from '@chaperone/testing';
import { Client } from 'pg';
import { COMPILED, connect, type Ended, MAIN, run, type Shop, Up } from '../program.test-support.ts';

export const REFUND = 'update orders set total = 0 where id = 102';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}
export interface HttpCall {
  readonly method?: string;
  readonly path?: string;
  /** Beside the bearer token, or in place of it. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
}

/** `chaperone up` on the shop, whose rule "refund" holds updates of orders. */
export interface Held extends AsyncDisposable {
  readonly data: string;
  /** The directory of its files. */
  readonly manifests: string;
  readonly url: string;
  readonly authorization: string;
  /** Runs the program with this data directory. */
  ask(...args: readonly string[]): Promise<Ended>;
  /** Sends a statement on a connection of its own; its answer, or the words of its refusal. */
  agent(sql: string, values?: readonly unknown[]): Promise<{ readonly client: Client; readonly answer: Promise<string> }>;
  /** Sends a statement, and waits for its request. */
  held(sql?: string, values?: readonly unknown[]): Promise<{ readonly answer: Promise<string>; readonly request: AccessRequest }>;
  /** The newest request that is so. */
  request(isMeant?: (request: AccessRequest) => boolean): Promise<AccessRequest>;
  /** A request to its listener, with its token. */
  http(call?: HttpCall): Promise<HttpAnswer>;
  /** Runs the program at a terminal. */
  terminal(...args: readonly string[]): Terminal;
}

/** Waits, and somebody has looked at what it would meet. */
const isPending = ({ status }: AccessRequest): boolean => status?.state === 'Pending' && status.preview !== undefined;

/** @param approval - the rule's approval as YAML, in place of the quickstart's */
export async function startHeld(shop: Shop, approval?: string): Promise<Held> {
  const data = shop.path('data');
  const own = /approval:\n {8}approvers:.*\n {8}timeout: 5m\n/;
  const manifests = await shop.manifests({
    'policy.yaml': (policy) => (approval === undefined ? policy : policy.replace(own, `approval: {${approval}}\n`)),
  });
  const up = await Up.start(manifests, data);
  const { url, token } = JSON.parse(await readFile(join(data, 'collector.json'), 'utf8')) as { url: string; token: string };
  const [clients, terminals]: [Client[], Terminal[]] = [[], []];
  const held: Held = {
    data,
    manifests,
    url,
    authorization: `Bearer ${token}`,
    ask: (...args) => run([...args, '--data', data]),
    agent: async (sql, values) => {
      const client = await connect(up.ready);
      clients.push(client);
      const answer = client.query(sql, values === undefined ? undefined : [...values]).then(
        ({ command, rowCount }) => `${command} ${rowCount}`,
        (error: Error) => error.message,
      );
      return { client, answer };
    },
    held: async (sql = REFUND, values) => {
      const { answer } = await held.agent(sql, values);
      return { answer, request: await held.request() };
    },
    request: (isMeant = isPending) =>
      eventually('a request', async () => (await up.get<{ items: AccessRequest[] }>('/v1/requests')).items.find(isMeant)),
    http: async ({ method = 'GET', path = '/v1/requests', headers = {}, body } = {}) => {
      const all: HttpCall['headers'] = { authorization: `Bearer ${token}`, ...headers };
      const given = Object.fromEntries(Object.entries(all).filter((each): each is [string, string] => each[1] !== undefined));
      const sent = send(`${url}${path}`, { method, headers: given });
      sent.on('error', () => undefined).end(body);
      const [response] = (await once(sent, 'response')) as [NodeJS.ReadableStream & { statusCode?: number }];
      return { status: response.statusCode ?? 0, body: await text(response) };
    },
    terminal: (...args) => {
      const terminal = new Terminal([...args, '--data', data]);
      terminals.push(terminal);
      return terminal;
    },
    [Symbol.asyncDispose]: async () => {
      for (const terminal of terminals) terminal.kill();
      await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
      await up[Symbol.asyncDispose]();
    },
  };
  return held;
}

/** The program at a terminal of its own, which a test types at. */
export class Terminal {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #seen = '';

  constructor(args: readonly string[]) {
    const command = [process.execPath, MAIN, ...args].map((arg) => `'${arg}'`).join(' ');
    this.#child = spawn('script', ['-qec', command, '/dev/null'], {
      stdio: 'pipe',
      env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', TERM: 'xterm', ...COMPILED, NO_COLOR: '1', COLUMNS: '200' },
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (some: string) => (this.#seen += some));
    this.#ended = once(this.#child, 'close').then(([code]) => code as number | null);
  }

  /** What was shown so far. */
  get seen(): string {
    return stripVTControlCharacters(this.#seen).replaceAll('\r', '');
  }

  /** Types once `prompt` is shown after what was typed last. */
  async type(prompt: string, typed: string): Promise<void> {
    await eventually(`"${prompt}" in ${this.seen}`, () => (this.seen.includes(prompt) ? true : undefined));
    this.#child.stdin?.write(typed);
  }

  async end(): Promise<{ code: number | null; seen: string }> {
    return { code: await this.#ended, seen: this.seen };
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** What the database has, past the proxy. */
export async function totalOf({ postgres }: Shop, order: number): Promise<string | undefined> {
  const { host, port, superuser } = postgres;
  const client = new Client({ host, port, ...superuser, database: 'orders', ssl: { rejectUnauthorized: false } });
  await client.connect();
  const { rows } = await client.query<{ total: string }>('select total from orders where id = $1', [order]);
  await client.end();
  return rows[0]?.total;
}
