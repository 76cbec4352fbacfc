import { readFileSync } from 'node:fs';
import type { Access } from '@chaperone/policy';
import { startPostgres } from '@chaperone/testing';
import { Client, type QueryArrayResult } from 'pg';
import { loadCatalog } from './index.ts';

export interface SessionOptions {
  readonly package?: string | undefined;
  /** File of testdata/. */
  readonly schema: string;
  readonly user: string;
  readonly sensitive: Access['sensitive'];
  /** Settings that only the superuser may give the role. */
  readonly role?: string;
  /** SQL that is run after the schema's. */
  readonly more?: string;
  /** Gets what the catalog was read from. */
  readonly onCatalog?: (rows: readonly (string | null)[][]) => void;
}
export type Rows = QueryArrayResult<(string | null)[]>;
export type Failure = Error & { readonly code?: string };

/** A server with a schema, and one session of an ordinary role that keeps the trees that are printed for it. */
export async function openSession(options: SessionOptions) {
  const server = await startPostgres(options.package === undefined ? {} : { package: options.package });
  const at = { host: server.host, port: server.port, database: 'postgres' };
  const admin = new Client({ ...at, ...server.superuser });
  await admin.connect();
  await admin.query(readFileSync(new URL(`./testdata/${options.schema}`, import.meta.url), 'utf8'));
  // Its trees are read here, not in the server's log.
  await admin.query(`alter role ${options.user} set log_min_messages = fatal`);
  if (options.role !== undefined) await admin.query(`alter role ${options.user} set ${options.role}`);
  if (options.more !== undefined) await admin.query(options.more);
  await admin.end();
  const settings = 'debug_print_rewritten=on debug_pretty_print=off client_min_messages=log statement_timeout=2000 jit=off';
  const login = { user: options.user, password: `${options.user}-password`, options: settings.replaceAll(/(^| )/g, '$1-c ') };
  const agent = new Client({ ...at, ...login });
  await agent.connect();
  const trees: string[] = [];
  agent.on('notice', (notice) => {
    const { message, routine, detail } = notice as unknown as Record<string, string>;
    if (message === 'rewritten parse tree:' && routine === 'elog_node_display') trees.push(detail ?? '');
  });
  const types = { getTypeParser: () => (value: string) => value };
  const rows = (sql: string): Promise<Rows> => agent.query<(string | null)[]>({ text: sql, rowMode: 'array', types });
  /** A query that is often asked is parsed and rewritten once. */
  const prepared = (named: string, sql: string): Promise<Rows> =>
    agent.query<(string | null)[]>({ name: named, text: sql, rowMode: 'array', types });
  const catalog = await loadCatalog(async (sql) => {
    const read = (await rows(sql)).rows;
    options.onCatalog?.(read);
    return read;
  }, options.sensitive);

  /** Runs a statement; its tree is the first one that came for it. */
  const run = async (sql: string): Promise<{ readonly result: Rows | Failure; readonly tree: string }> => {
    trees.length = 0;
    const result = await rows(sql).catch((error: unknown) => error as Failure);
    return { result, tree: trees[0] ?? '' };
  };
  return {
    major: server.major,
    catalog,
    rows,
    prepared,
    run,
    [Symbol.asyncDispose]: async (): Promise<void> => {
      await agent.end();
      await server.stop();
    },
  };
}
export type Session = Awaited<ReturnType<typeof openSession>>;
