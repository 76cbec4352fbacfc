import { readFileSync } from 'node:fs';
import type { Access } from '@chaperone/policy';
import { startPostgres } from '@chaperone/testing';
import { Client, type QueryArrayConfig, type QueryArrayResult } from 'pg';
import {
  type Analysis,
  analyse,
  type Catalog,
  filterError,
  judgeInference,
  judgeWrites,
  loadCatalog,
  maskRows,
  parseTree,
  planResult,
  TreeError,
} from './index.ts';

export const SENSITIVE: Access['sensitive'] = [
  { label: 'pii.ssn', columns: ['app.customers.ssn', 'app.part.ssn', 'app.kid.secret', 'app."odd name"."a.b"'] },
  { label: 'pii.email', columns: ['app.customers.email'], detector: 'email' },
  { label: 'own.view', columns: ['app.v_owner.labelled_here'] },
];

/** An agent that sees no label. */
export function anAccess(mods: Partial<Access> = {}): Access {
  return {
    resource: { namespace: 'data', name: 'db', generation: 1, protocol: 'postgres' },
    policies: [],
    digest: 'd',
    mode: 'Enforce',
    disclosure: 'full',
    purpose: 'test',
    ceiling: { statements: ['*'] },
    rules: [],
    searchPath: ['public'],
    reveal: [],
    masking: {},
    sensitive: SENSITIVE,
    inference: 'allow',
    limits: {},
    recording: { mode: 'durable', content: 'results', rows: 1, bytes: 1, retention: 'default' },
    ...mods,
  };
}

export const statementsOf = (file: string, major: number): string[] =>
  readFileSync(new URL(`./testdata/${file}`, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && Number(/^\/\*(\d+)\*\//.exec(line)?.[1] ?? 0) <= major);

/** A DataRow message as a server sends it. */
export function dataRow(values: readonly (Buffer | string | null)[]): Buffer {
  const parts = values.flatMap((value) => {
    const length = Buffer.alloc(4);
    if (value === null) {
      length.writeInt32BE(-1);
      return [length];
    }
    const bytes = Buffer.from(value);
    length.writeInt32BE(bytes.length);
    return [length, bytes];
  });
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(7);
  head.write('D');
  head.writeInt32BE(body.length + 6, 1);
  head.writeInt16BE(values.length, 5);
  return Buffer.concat([head, body]);
}

export type Outcome =
  | { readonly kind: 'refused'; readonly why: string; readonly analysis: Analysis | undefined }
  | { readonly kind: 'error'; readonly shown: string; readonly raw: string; readonly analysis: Analysis | undefined }
  | {
      readonly kind: 'rows';
      readonly shown: string;
      readonly raw: string;
      readonly analysis: Analysis;
      readonly masked: number;
      /** Columns that are masked although no secret was in them. */
      readonly over: number;
    };

export interface Attempt {
  readonly binary?: boolean;
}

/** What the server said of a statement. */
export interface Ran {
  readonly result: QueryArrayResult<(string | Buffer | null)[]> | (Error & Record<string, string>);
  readonly tree: string | undefined;
  readonly binary: boolean;
}

function read(tree: string | undefined, catalog: Catalog, major: number): Analysis | undefined {
  try {
    return tree === undefined ? undefined : analyse(parseTree(tree, major), catalog, major);
  } catch (error) {
    if (error instanceof TreeError) return undefined;
    throw error;
  }
}

function refusalOf(analysis: Analysis | undefined, access: Access): string | undefined {
  if (!analysis) return 'no tree that can be read';
  if (analysis.command === 'utility') return 'a utility statement';
  return analysis.refused?.why ?? (judgeWrites(analysis, access) ?? judgeInference(analysis, access))?.reason;
}

function failed(error: Error & Record<string, string>, analysis: Analysis | undefined): Outcome {
  const fields = { C: error['code'] ?? '', M: error.message, D: error['detail'] ?? '', W: error['where'] ?? '' };
  const shown = Object.values(filterError(fields, { touchesLabelled: analysis?.touchesLabelled ?? false })).join('|');
  return { kind: 'error', shown, raw: Object.values(fields).join('|'), analysis };
}

function delivered(
  result: QueryArrayResult<(string | Buffer | null)[]>,
  analysis: Analysis,
  access: Access,
  binary: boolean,
): Outcome {
  const fields = result.fields.map((field) => ({
    name: field.name,
    tableOid: field.tableID,
    attributeNumber: field.columnID,
    typeOid: field.dataTypeID,
  }));
  const plan = planResult({ analysis, fields, access });
  if (plan.kind === 'refuse') return { kind: 'refused', why: plan.reason, analysis };
  const masked = result.rows.map((row) => maskRows(dataRow(row), plan, binary ? [1] : []));
  const column = (at: number): string => result.rows.map((row) => row[at]?.toString('latin1') ?? '').join('\n');
  return {
    kind: 'rows',
    shown: masked.map(({ bytes }) => bytes.toString('latin1')).join('\n'),
    raw: result.rows.map((row) => dataRow(row).toString('latin1')).join('\n'),
    analysis,
    masked: masked.reduce((sum, { values }) => sum + values, 0),
    over: plan.masks.filter((mask, at) => mask !== undefined && !showsSecret(column(at))).length,
  };
}

/**
 * A server with the schema of testdata/, and one session of the agent's role that prints its trees.
 * @param options - `logs`: the server's log takes them too.
 */
export async function openTestbed(options: { package?: string; logs?: boolean } = {}) {
  const server = await startPostgres(options);
  const at = { host: server.host, port: server.port, database: 'postgres' };
  const admin = new Client({ ...at, ...server.superuser });
  await admin.connect();
  await admin.query(readFileSync(new URL('./testdata/schema.sql', import.meta.url), 'utf8'));
  if (options.logs !== true) await admin.query('alter role agent set log_min_messages = fatal');
  const printing =
    '-c debug_print_rewritten=on -c debug_pretty_print=off -c client_min_messages=log -c standard_conforming_strings=on';
  const agent = new Client({ ...at, user: 'agent', password: 'agent-password', options: printing });
  await agent.connect();
  const trees: string[] = [];
  agent.on('notice', (notice) => {
    const { severity, message, routine, detail } = notice as unknown as Record<string, string>;
    if (severity === 'LOG' && message === 'rewritten parse tree:' && routine === 'elog_node_display') trees.push(detail ?? '');
  });
  const raw = { getTypeParser: () => (value: string | Buffer) => value };
  const query = async (sql: string): Promise<(string | null)[][]> =>
    (await agent.query<(string | null)[]>({ text: sql, rowMode: 'array', types: raw })).rows;
  const state: { catalog: Catalog } = { catalog: await loadCatalog(query, SENSITIVE) };

  await agent.query('begin');
  /** Runs one statement, of which nothing is left: `judge` says what an agent would be shown of it. */
  const run = async (sql: string, binary = false): Promise<Ran> => {
    trees.length = 0;
    const result = await agent
      .query<(string | Buffer | null)[]>({
        text: sql,
        rowMode: 'array',
        types: raw,
        ...(binary ? { binary: true, values: [] } : {}),
      } as QueryArrayConfig)
      .catch((error: unknown) => error as Error & Record<string, string>);
    const [tree] = trees;
    await agent.query('rollback; begin');
    return { result, tree, binary };
  };

  const treeOf = async (sql: string): Promise<string> => (await run(sql)).tree ?? '';

  /** @param as - the major as whose the tree is read. */
  const judge = ({ result, tree, binary }: Ran, access: Access, as = server.major): Outcome => {
    const analysis = read(tree, state.catalog, as);
    const why = refusalOf(analysis, access);
    if (why !== undefined && !(tree === undefined && result instanceof Error)) return { kind: 'refused', why, analysis };
    if (result instanceof Error) return failed(result, analysis);
    if (!analysis) throw new Error('no analysis');
    return delivered(result, analysis, access, binary);
  };

  /** Runs one statement and shows what an agent would be shown. */
  const attempt = async (sql: string, access: Access, { binary = false }: Attempt = {}): Promise<Outcome> =>
    judge(await run(sql, binary), access);

  return {
    major: server.major,
    admin,
    agent,
    query,
    run,
    judge,
    attempt,
    treeOf,
    get catalog(): Catalog {
      return state.catalog;
    },
    reload: async (): Promise<Catalog> => (state.catalog = await loadCatalog(query, SENSITIVE)),
    [Symbol.asyncDispose]: async (): Promise<void> => {
      await agent.end();
      await admin.end();
      await server.stop();
    },
  };
}
export type Testbed = Awaited<ReturnType<typeof openTestbed>>;

const SECRETS = ['271-82-8459', 'zebra.canary@secret.example'];
const FORMS = SECRETS.flatMap((secret) => [
  secret,
  secret.replaceAll('-', ''),
  Array.from(secret).toReversed().join(''),
  Array.from(secret.replaceAll('-', '')).toReversed().join(''),
  Buffer.from(secret).toString('hex'),
  Buffer.from(secret).toString('base64').slice(0, 12),
  secret.slice(2),
  secret.slice(0, -3),
]);
/** Whether a secret is in what was shown, in any form that the corpus can give it. */
export const showsSecret = (shown: string): boolean => {
  const lower = shown.toLowerCase();
  return FORMS.some((form) => lower.includes(form.toLowerCase()));
};
