import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, startPostgres, temporaryDirectory, testAuthority, type TestPostgres } from '@chaperone/testing';
import { Client } from 'pg';

const ROOT = join(import.meta.dirname, '../..');
/** The program that is tested: its source, where scripts/program.ts did not join that into fewer files. */
export const MAIN = process.env['CHAPERONE_PROGRAM'] ?? join(import.meta.dirname, 'main.ts');
/** Most of a start is compiling. */
export const COMPILED = { NODE_COMPILE_CACHE: join(ROOT, '.cache/compiled') } as const;
export const QUICKSTART = join(ROOT, 'examples/quickstart');
export const AGENT = ['--agent', 'agents/support-agent', '--labels', 'app=support-agent'] as const;

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
  /** Runs this in place of the program. */
  readonly command?: readonly [string, ...string[]];
}

/** A process whose output is kept. */
export class Program implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  out = '';
  err = '';

  constructor(args: readonly string[], { env = {}, input, command = [process.execPath, MAIN] }: RunOptions = {}) {
    const [file, ...before] = command;
    this.child = spawn(file, [...before, ...args], {
      stdio: 'pipe',
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: '/nonexistent',
        ...COMPILED,
        ...env,
      },
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.err += text));
    // A program that ends without reading its input is not at fault.
    this.child.stdin?.on('error', () => undefined).end(input);
    this.ended = once(this.child, 'close').then(([code]) => ({ code: code as number | null, out: this.out, err: this.err }));
  }

  /** The first line of standard output; rejects where the program ends before it. */
  async firstLine(): Promise<string> {
    const over = async (): Promise<void> => {
      const { code, err } = await this.ended;
      if (!this.out.includes('\n')) throw new Error(`ended with ${code}: ${err}`);
    };
    const ended = over();
    while (!this.out.includes('\n')) await Promise.race([once(this.child.stdout as NodeJS.ReadableStream, 'data'), ended]);
    return this.out.slice(0, this.out.indexOf('\n'));
  }

  /** Waits until standard error has that. */
  says(what: string): Promise<true> {
    return eventually(what, () => (this.err.includes(what) ? true : undefined));
  }

  async signal(name: NodeJS.Signals): Promise<Ended> {
    this.child.kill(name);
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** Runs the program to its end. */
export function run(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return new Program(args, options).ended;
}

export interface Ready {
  readonly ready: true;
  readonly resources: readonly { readonly resource: string; readonly protocol: string; readonly address: string }[];
  readonly collector: string;
  readonly console: string;
}

/** `chaperone up --output json`, ready. */
export class Up extends Program {
  readonly #data: string;

  private constructor(data: string, args: readonly string[]) {
    super(['up', ...args, '--data', data, '--output', 'json']);
    this.#data = data;
  }

  static async start(manifests: string, data: string, ...more: readonly string[]): Promise<Up & { ready: Ready }> {
    const up = new Up(data, ['--manifests', manifests, ...AGENT, ...more]);
    return Object.assign(up, { ready: JSON.parse(await up.firstLine()) as Ready });
  }

  /** What its listener answers, with its token. */
  async get<T>(path: string): Promise<T> {
    const { url, token } = JSON.parse(await readFile(join(this.#data, 'collector.json'), 'utf8')) as {
      url: string;
      token: string;
    };
    const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as T;
  }

  /** Waits until there are `count` sessions and each is over: their names, the newest first. To start a program for each look takes longer than what is waited for. */
  over(count: number): Promise<string[]> {
    return eventually(`${count} sessions that are over`, async () => {
      const { items } = await this.get<{ items: { name: string; state: string }[] }>('/v1/sessions');
      return items.length === count && items.every(({ state }) => state === 'ended') ? items.map(({ name }) => name) : undefined;
    });
  }
}

/** An agent's connection to what `up` serves. */
export async function connect(ready: Ready, password = 'whatever'): Promise<Client> {
  const [host = '', port = ''] = (ready.resources[0]?.address ?? '').split(':');
  const client = new Client({ host, port: Number(port), user: 'bot', password, database: 'orders' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** One statement by psql, as an agent would run it. */
export function psql(address: string, sql: string, password: 'sent' | 'none' = 'sent'): Promise<Ended> {
  const [host = '', port = ''] = address.split(':');
  return new Program(['-X', '-w', '-At', '-c', sql, `host=${host} port=${port} dbname=orders user=bot`], {
    command: ['psql'],
    env: { ...(password === 'sent' ? { PGPASSWORD: 'whatever' } : {}), PGCONNECT_TIMEOUT: '10' },
  }).ended;
}

export interface Shop extends AsyncDisposable {
  readonly postgres: TestPostgres;
  /** A new directory of good manifests, with changes to single files: whole texts, or what becomes of the good one. */
  manifests(changes?: Readonly<Record<string, (text: string) => string | undefined>>): Promise<string>;
  /** A path that nothing uses yet. */
  path(name: string): string;
}

/** The quickstart's shop on a real PostgreSQL with TLS. */
export async function startShop(): Promise<Shop> {
  const [folder, authority] = await Promise.all([temporaryDirectory('chaperone-cli-'), testAuthority('shop CA')]);
  const postgres = await startPostgres({ tls: await authority.issue(['localhost', '127.0.0.1']) });
  await makeShop(postgres);
  const ca = authority.ca.trimEnd().replaceAll('\n', '\n    ');
  let used = 0;
  return {
    postgres,
    path: (name) => join(folder.path, `${++used}-${name}`),
    manifests: async (changes = {}) => {
      const directory = join(folder.path, `${++used}`, 'shop');
      await mkdir(directory, { recursive: true });
      for (const name of ['policy.yaml', 'resource.yaml', 'secret.yaml']) {
        const good = (await readFile(join(QUICKSTART, name), 'utf8'))
          .replaceAll('127.0.0.1:54329', `127.0.0.1:${postgres.port}`)
          .replace('password: change-me', 'password: CANARY-credential')
          .replace(/ca\.crt: replace with .*/, `ca.crt: |\n    ${ca}`);
        const text = changes[name] === undefined ? good : changes[name](good);
        if (text !== undefined) await writeFile(join(directory, name), text);
      }
      return directory;
    },
    [Symbol.asyncDispose]: async () => {
      await postgres.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function makeShop({ host, port, superuser }: TestPostgres): Promise<void> {
  const as = async (database: string, statements: readonly string[]): Promise<void> => {
    const client = new Client({ host, port, ...superuser, database, ssl: { rejectUnauthorized: false } });
    await client.connect();
    for (const statement of statements) await client.query(statement);
    await client.end();
  };
  await as('postgres', [
    'create database orders',
    "create role support_agent login password 'CANARY-credential'",
    'alter role support_agent set log_min_messages = fatal',
  ]);
  await as('orders', [await readFile(join(QUICKSTART, 'shop.sql'), 'utf8')]);
}
